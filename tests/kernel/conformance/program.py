"""Random programs: a seed makes a case, always the same one.

Their kinds take turns, so of any N programs a fifth goes through a tunnel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum, auto
from random import Random

from tests.kernel.cases.case import Case, Port, Send
from tests.kernel.conformance.packet import parse
from tests.kernel.conformance.policy import Nat, Policy
from tests.kernel.conformance.traffic import SCRIPTS, Conversation, End
from tests.kernel.underlay import REMOTE, TUNNEL, UPLINK, Remote

ENDS = tuple(
    End(f"ens1f0_{number}", f"24:8a:07:a5:28:0{number + 1}", f"10.0.0.{number + 1}", v6)
    for number, v6 in enumerate(("fd00::1", "fd00::2", "fd00::3"))
)
PORTS = tuple(Port(end.port) for end in ENDS)
SHARED = {False: "192.0.2.1", True: "2001:db8::1"}  # what NAT hides an end behind
CONVERSATIONS = 4
CT_AT_EGRESS = re.compile(r" egress .* action ct (?!clear)")


class Kind(Enum):
    """What a program is about, besides what all are about."""

    PLAIN = auto()
    PORT = auto()  # NAT of the server's port, too
    TUNNEL = auto()  # one of the three ends is behind vxlan0
    EGRESS = auto()  # filters for what leaves, too


KINDS = (Kind.PLAIN, Kind.PLAIN, Kind.EGRESS, Kind.PORT, Kind.TUNNEL)


def program(seed: int) -> Case:
    """Return the program of that number."""
    random = Random(seed)
    ends = random.sample(ENDS, 3)
    kind = KINDS[seed % len(KINDS)]
    remote = REMOTE if kind is Kind.TUNNEL else None
    if remote:
        _behind(random, ends, remote)
    first, second, third = ends
    v6 = random.random() < 0.2
    nat = _nat(random, second, v6, kind)
    zone = random.choice((0, 0, 7, 65535))
    policy = Policy(first.port, second.port, third.port, zone, v6, nat, remote)
    commands = policy.filters(random)
    if kind is Kind.EGRESS:
        commands += policy.leaving(random)
    talks = [
        list(_talk(random, number, first, second, policy))
        for number in range(random.randint(1, CONVERSATIONS))
    ]
    ports = (*PORTS, UPLINK, TUNNEL) if remote else PORTS
    sent = _interleaved(random, talks)
    if any(CT_AT_EGRESS.search(each) for each in commands):
        sent = (each for each in sent if not _is_piece(each.frame))
    return Case(f"program {seed}", ports, commands, tuple(sent))


def _is_piece(frame: bytes) -> bool:
    """A piece of a datagram: Linux 6.1.192 dies of it where ct puts it together at egress."""
    packet = parse(frame)
    return packet is not None and packet.fragment


def _behind(random: Random, ends: list[End], remote: Remote) -> None:
    """Let one of the ends be behind the tunnel; what it sends may be of another network."""
    which = random.choice((0, 1, 1, 2))
    sends = replace(
        remote,
        vni=remote.vni if random.random() < 0.9 else remote.vni + 1,
        checksums=random.random() < 0.8,
    )
    ends[which] = replace(ends[which], port=TUNNEL.name, remote=sends)


def _nat(random: Random, server: End, v6: bool, kind: Kind) -> Nat | None:
    if random.random() < 0.65 and kind is not Kind.PORT:
        return None
    address = server.ip6 if v6 else server.ip
    if kind is Kind.PORT:
        return Nat(False, address, random.choice((80, 443)))
    if random.random() < 0.6:
        return Nat(True, SHARED[v6])
    return Nat(False, address)


def _talk(
    random: Random, number: int, first: End, second: End, policy: Policy
) -> Iterator[Send]:
    scripts, shares = zip(*SCRIPTS)
    (script,) = random.choices(scripts, shares)
    talk = Conversation(
        client=first,
        server=second,
        sport=1000 + number,
        dport=random.choice((80, 81)),
        v6=policy.v6 if random.random() < 0.95 else not policy.v6,
    )
    if policy.nat and talk.v6 == policy.v6:
        _translate(talk, policy.nat)
    yield from script(random, talk)


def _translate(talk: Conversation, nat: Nat) -> None:
    """Let the ends know each other by the addresses that NAT gives them."""
    if nat.source:
        talk.seen = nat.address
    else:
        talk.there = SHARED[talk.v6]
        talk.there_port = talk.dport
        if nat.port:
            talk.dport = nat.port


def _interleaved(random: Random, talks: list[list[Send]]) -> Iterator[Send]:
    """One frame after the other, each conversation's in order."""
    waiting = [talk for talk in talks if talk]
    while waiting:
        talk = random.choice(waiting)
        yield talk.pop(0)
        waiting = [talk for talk in waiting if talk]
