"""Two outcomes of one case, field by field. What may differ is here, and nowhere else:

order of frames          compared by port: nobody is at two ends at once
port of a stack frame    the testbed's stack has one device, br-int
VLAN tag of a stack frame  the kernel takes it off behind tc's hook, before anyone can look
outer VXLAN frame        the kernel hands it to the stack as well, and its stack tracks it; what
                         decapsulates at the port does not
outer UDP port, IP id    wire_view.py
pieces sent twice        a datagram's, by one port: the kernel sends one copy after the other,
                         Open vSwitch one piece after the other
padding behind an IP datagram   `ct` cuts it off in the kernel, Open vSwitch leaves it
conntrack events, state, timeout, status bits but for being in a flow table
                         userspace Open vSwitch has its own, or none
in_hw and its like, ids, ages   the kernel of the oracle has no hardware; ids are anybody's
overlimits               a redirect that came round too often; the testbed does not count it
bytes of hardware        counted with the Ethernet header and a tag: 14 or 18 more a packet
order of dumps           sorted before they are compared
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from tests.kernel.cases.outcome import (
    Connection,
    Filters,
    Outcome,
    Ran,
    Seen,
    StepOutcome,
)
from tests.kernel.conformance.packet import parse
from tests.kernel.conformance.wire_view import (
    ETHERNET,
    TAG,
    UDP,
    VXLAN_PORT,
    is_vxlan,
    untagged,
    view,
)

VOLATILE = frozenset(
    (
        *("in_hw", "not_in_hw", "in_hw_count", "used_hw_stats", "index", "ref", "bind"),
        *("installed", "last_used", "first_used", "expires"),
        *("hw_packets", "hw_bytes", "sw_packets", "sw_bytes", "overlimits"),
    )
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the two saw differently."""

    where: str
    kernel: Any
    testbed: Any

    def __str__(self) -> str:
        return f"{self.where}:\n  kernel  {_text(self.kernel)}\n  testbed {_text(self.testbed)}"


@dataclass(frozen=True, slots=True)
class Scope:
    """How much of a case is compared: steps before `until`, and filters with their `counters`."""

    until: int | None = None
    counters: bool = True


ALL = Scope()


def compare(
    kernel: Outcome, testbed: Outcome, scope: Scope = ALL
) -> tuple[Difference, ...]:
    """Return all differences, in the order in which they came about."""
    return tuple(_differences(kernel, testbed, scope))


def _differences(
    kernel: Outcome, testbed: Outcome, scope: Scope
) -> Iterator[Difference]:
    for number, (one, other) in enumerate(zip(kernel.commands, testbed.commands)):
        yield from _differ(f"command {number}", _ran(one), _ran(other))
    steps = list(zip(kernel.steps, testbed.steps))[: scope.until]
    for number, (here, there) in enumerate(steps):
        for what, mine in _step(here).items():
            yield from _differ(f"step {number}: {what}", mine, _step(there)[what])
    if scope.until is None:
        mine = _filters(kernel.filters, scope.counters)
        theirs = _filters(testbed.filters, scope.counters)
        for port, shown in mine.items():
            yield from _differ_filters(port, shown, theirs.get(port, {}))


def _differ(where: str, kernel: Any, testbed: Any) -> Iterator[Difference]:
    """Return the smallest parts that differ."""
    if kernel == testbed:
        return
    if isinstance(kernel, dict) and isinstance(testbed, dict):
        for name in sorted({*kernel, *testbed}):
            there = kernel.get(name), testbed.get(name)
            yield from _differ(f"{where}: {name}", *there)
    elif isinstance(kernel, list) and isinstance(testbed, list):
        for number, pair in enumerate(zip_longest(kernel, testbed)):
            yield from _differ(f"{where} {number}", *pair)
    else:
        yield Difference(where, kernel, testbed)


def _step(step: StepOutcome) -> Mapping[str, Any]:
    ports = sorted({seen.port for seen in step.left})
    return {
        "error": step.error is not None,
        "left": {port: _frames(step.left, port) for port in ports},
        "stack": [view(untagged(s.frame)) for s in step.stack if not is_vxlan(s.frame)],
        "connections": sorted(
            _connection(c) for c in step.connections if not _is_outer(c)
        ),
        "command": _ran(step.ran),
    }


def _ran(ran: Ran | None) -> Any:
    """A list that a command prints is compared as what it lists, after the step."""
    return ran and {"code": ran.code, "stderr": ran.stderr if ran.code else ""}


def _frames(seen: Iterable[Seen], port: str) -> list[Any]:
    frames = [each.frame for each in seen if each.port == port]
    if len(set(frames)) < len(frames) and any(map(_is_piece, frames)):
        frames.sort()
    return [view(each) for each in frames]


def _is_piece(frame: bytes) -> bool:
    packet = parse(frame)
    return packet is not None and packet.fragment


def _is_outer(connection: Connection) -> bool:
    """Is it the tunnel's own?"""
    ends = connection.original.dport, connection.reply.dport
    return connection.protocol == UDP and VXLAN_PORT in ends


def _connection(connection: Connection) -> tuple[Any, ...]:
    """Return what a connection is compared by, in the order of importance for reading."""
    there, back = connection.original, connection.reply
    return (
        connection.zone,
        connection.protocol,
        (there.src, there.sport, there.dst, there.dport),
        (back.src, back.sport, back.dst, back.dport),
        f"mark {connection.mark}",
        f"label {connection.label}",
        "in a flow table" if _offloaded(connection) else "",
    )


def _offloaded(connection: Connection) -> bool:
    return any("OFFLOAD" in name for name in connection.status)


Name = tuple[int, int, str, int]


def _filters(shown: Iterable[Filters], counters: bool) -> dict[str, dict[Name, Any]]:
    left_out = VOLATILE if counters else VOLATILE | {"stats"}
    return {
        f"{place.port} {place.hook}": {
            _name(each): _filter(each, left_out, _header_bytes(each))
            for each in place.filters
        }
        for place in shown
    }


def _name(shown: Mapping[str, Any]) -> Name:
    handle = shown.get("options", {}).get("handle", 0)
    return shown["chain"], shown["pref"], shown["protocol"], handle


def _header_bytes(shown: Mapping[str, Any]) -> int:
    """Return what software does not count of a filter's packets, and hardware does."""
    return ETHERNET + (TAG if shown["protocol"] == "802.1Q" else 0)


def _filter(shown: Any, left_out: Set[str], header_bytes: int) -> Any:
    """Return a filter's JSON without what is volatile; hardware's bytes as software counts them."""
    if isinstance(shown, list):
        return [_filter(item, left_out, header_bytes) for item in shown]
    if not isinstance(shown, dict):
        return shown
    kept = {
        name: _filter(value, left_out, header_bytes)
        for name, value in shown.items()
        if name not in left_out
    }
    if "hw_packets" in shown:
        kept["bytes"] -= header_bytes * shown["hw_packets"]
    return kept


def _differ_filters(
    port: str, kernel: Mapping[Name, Any], testbed: Mapping[Name, Any]
) -> Iterator[Difference]:
    for name in sorted({*kernel, *testbed}):
        where = f"filter of {port}, chain {name[0]} prio {name[1]} handle {name[3]}"
        yield from _differ(where, kernel.get(name), testbed.get(name))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) + "}"
    return str(value)
