"""Where the testbed cannot do as the kernel: each condition exact, and why.

A condition looks at a step of a case with the kernel's own outcome at hand. From the first step
that meets one, a case is not compared further; docs/conformance.md has the same list for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.kernel.cases.case import Case, Send
from tests.kernel.cases.outcome import Connection, Outcome, Seen, Tuple
from tests.kernel.conformance.packet import (
    FIN,
    ICMP,
    ICMPV6,
    RST,
    SYN,
    TCP,
    UDP,
    Packet,
    parse,
)
from tests.kernel.conformance.wire_view import is_vxlan
from tests.kernel.underlay import TUNNEL

MIRRORED_FIRST = re.compile(r" chain 0 .* mirror dev \S+ continue")
Applies = Callable[[Packet, "Around"], bool]


@dataclass(frozen=True, slots=True)
class Around:
    """The kernel's connections before a step and after it, and what went to its stack."""

    before: tuple[Connection, ...]
    after: tuple[Connection, ...]
    stack: tuple[Seen, ...] = ()
    commands: tuple[str, ...] = ()

    def of(self, packet: Packet) -> Iterator[Connection]:
        """Return those that the packet belonged to before, in whatever zone."""
        for each in self.before:
            ways = each.original, each.reply
            if each.protocol == packet.protocol and packet.ends in ways:
                yield each


@dataclass(frozen=True, slots=True)
class Known:
    """A condition under which the two differ, and why that cannot be mended."""

    name: str
    why: str
    applies: Applies


@dataclass(frozen=True, slots=True)
class Cut:
    """From this step on, a case is not compared."""

    step: int
    known: Known


def _answer_to_something_else(packet: Packet, around: Around) -> bool:
    keys = {
        _key(each)
        for each in around.before
        if (each.protocol, each.reply) == (TCP, packet.ends)
        and "SEEN_REPLY" not in each.status
    }
    return bool(packet.flags & RST and keys & {_key(each) for each in around.after})


def _half_a_handshake(packet: Packet, around: Around) -> bool:
    """No SYN, and an answer: Open vSwitch takes the handshake for done, Linux does not."""
    return not packet.flags & SYN and any(
        (each.protocol, each.reply) == (TCP, packet.ends)
        and each.state in ("SYN_SENT", "SYN_RECV")
        for each in around.after
    )


def _reused_under_nat(packet: Packet, around: Around) -> bool:
    return packet.flags & (SYN | RST | FIN) == SYN and any(
        _translated(each) and each.state not in ("SYN_SENT", "SYN_RECV")
        for each in around.of(packet)
    )


def _rst_that_closes_nothing(packet: Packet, around: Around) -> bool:
    if not packet.flags & RST:
        return False
    keys = {_key(each) for each in around.of(packet)}
    return any(
        _key(each) in keys and each.state in (None, "ESTABLISHED")
        for each in around.after
    )


def _drawn_port(_packet: Packet, around: Around) -> bool:
    return any(
        each.protocol in (TCP, UDP) and each.original.sport != each.reply.dport
        for each in around.after
    )


def _whole_at_the_stack(packet: Packet, around: Around) -> bool:
    """A datagram whose last piece this is."""
    arrived = [parse(seen.frame) for seen in around.stack if not is_vxlan(seen.frame)]
    return packet.fragment and any(each and not each.fragment for each in arrived)


def _copy_of_a_piece(packet: Packet, around: Around) -> bool:
    """Mirrored before ct, which then translates the datagram."""
    mirrors = (MIRRORED_FIRST.search(each) for each in around.commands)
    translates = any(" nat " in each for each in around.commands)
    return packet.fragment and translates and any(mirrors)


def _translated_id(_packet: Packet, around: Around) -> bool:
    return any(
        each.protocol in (ICMP, ICMPV6) and each.original.sport != each.reply.sport
        for each in around.after
    )


def _marked_in_hardware(packet: Packet, around: Around) -> bool:
    """Told apart by its mark or label, and changed by this packet or the one that offloads it."""
    if not any(re.search(r" ct_(mark|label) ", each) for each in around.commands):
        return False
    marks = {_key(each): (each.mark, each.label) for each in around.of(packet)}
    return any(
        "OFFLOAD" in each.status
        and marks.get(_key(each)) not in (None, (each.mark, each.label))
        for each in around.after
    )


def _key(connection: Connection) -> tuple[int, Tuple]:
    return connection.zone, connection.original


def _translated(connection: Connection) -> bool:
    there, back = connection.original, connection.reply
    return (there.src, there.dst) != (back.dst, back.src)


KNOWN = (
    Known(
        "refusal of something else",
        "a RST as the first answer that does not acknowledge the SYN is invalid in the kernel; "
        "Open vSwitch looks at no number, so the connection is deleted",
        _answer_to_something_else,
    ),
    Known(
        "half a handshake",
        "an answer that is no SYN, while conntrack has not seen the SYN-ACK or its ACK (no filter "
        "tracked it): to Open vSwitch the connection is established",
        _half_a_handshake,
    ),
    Known(
        "drawn port",
        "where two connections would be alike behind NAT the kernel draws a port at random",
        _drawn_port,
    ),
    Known(
        "ports used again under NAT",
        "userspace Open vSwitch keeps the closed connection until its timeout, and so gives the "
        "next one of the same ports another port behind NAT",
        _reused_under_nat,
    ),
    Known(
        "RST out of order",
        "the kernel's conntrack finds a RST beyond what it has seen out of the window (the data "
        "went by the fast path); Open vSwitch can check all connections' windows or none's",
        _rst_that_closes_nothing,
    ),
    Known(
        "datagram put together at the stack",
        "ct puts a datagram's pieces together; what no filter takes goes to the kernel's stack as "
        "a whole, and to the testbed's in pieces again",
        _whole_at_the_stack,
    ),
    Known(
        "copy of a piece that ct translates",
        "mirrored before ct, the last piece of a datagram leaves the kernel translated: the copy "
        "shares the bytes that NAT writes once the datagram is together",
        _copy_of_a_piece,
    ),
    Known(
        "ICMP id under NAT",
        "what NAT says of ports holds for ICMP's ids in the kernel, Open vSwitch leaves them",
        _translated_id,
    ),
    Known(
        "mark changed in hardware",
        "a filter asks for a mark or label that a commit changed when the connection was in the "
        "flow table: hardware, which the kernel has none of, keeps those of the insertion",
        _marked_in_hardware,
    ),
)


def cut(case: Case, kernel: Outcome) -> Cut | None:
    """Return where comparing has to end, if anywhere."""
    before: tuple[Connection, ...] = ()
    for number, (step, outcome) in enumerate(zip(case.steps, kernel.steps)):
        packet = parse(step.frame) if isinstance(step, Send) else None
        if packet is not None:
            after, stack = outcome.connections, outcome.stack
            around = Around(before, after, stack, case.commands)
            for known in KNOWN:
                if known.applies(packet, around):
                    return Cut(number, known)
        before = outcome.connections
    return None


def counters_are_comparable(case: Case, kernel: Outcome) -> bool:
    """Tell if no packet is lost or made within ct, where the testbed counts once for a filter.

    The kernel counts a datagram in pieces as one behind ct, Open vSwitch its pieces; and it counts
    what ct or csum drops (what is not IP, or NAT has nothing free for) in front of it only. Behind
    a filter that mirrors into a tunnel and continues, Open vSwitch counts the outer headers too.
    The fifth mirred in a row, which drops, the kernel does not count, Open vSwitch does; what
    tells of it is that one before it, of a filter at egress, could not send.
    """
    if any(f"mirror dev {TUNNEL.name} continue" in each for each in case.commands):
        return False
    packets = (parse(step.frame) for step in case.steps if isinstance(step, Send))
    if any(packet and packet.fragment for packet in packets):
        return False
    return not any(
        (place.hook == "egress" and action["stats"]["overlimits"])
        or (action["kind"] in ("ct", "csum") and action["stats"]["drops"])
        for place in kernel.filters
        for shown in place.filters
        for action in shown.get("options", {}).get("actions", ())
    )
