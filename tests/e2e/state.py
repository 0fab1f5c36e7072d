"""What a hypervisor says of itself: filters and counters, connections, tables, status.

Everything is what a user is told: by tc, conntrack and ovs-ofctl at the hypervisor, but
for ``status``, which is the controller's own word for what no tool shows.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from tests.e2e.asked import asked
from topologies import control
from topologies.errors import CommandFailed
from topologies.testbed import Testbed
from topologies.waiting import PATIENCE

HYPERVISORS = ("hv1", "hv2")
DEVICES = ("ens1f0_0", "ens1f0_1", "vxlan0")
TYPED_PRIO = 1
"""What tests type is of this prio, which the ready-made filters leave free."""
DEADLINE_S = 30.0 * PATIENCE
_POLL_S = 0.01
_SWITCH = ("ovs-ofctl", "-O", "OpenFlow13", "--names", "--no-stats")

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, timeout_s: float = DEADLINE_S) -> T:
    """Return the condition's first true value; fail, naming ``what``, at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert (
            time.monotonic() < deadline
        ), f"{what}: not within {timeout_s:g} s; last seen: {value!r}"
        time.sleep(_POLL_S)
    return value


@dataclass(frozen=True, slots=True)
class Count:
    """Packets of a filter, by who handled them."""

    software: int = 0
    hardware: int = 0

    def __sub__(self, other: Count) -> Count:
        return Count(self.software - other.software, self.hardware - other.hardware)

    def __add__(self, other: Count) -> Count:
        return Count(self.software + other.software, self.hardware + other.hardware)

    @property
    def all(self) -> int:
        """Packets, whoever handled them."""
        return self.software + self.hardware


@dataclass(frozen=True, slots=True)
class Filter:
    """A line of ``tc -s -j filter show``; counts are its first action's."""

    device: str
    chain: int
    prio: int
    protocol: str
    handle: int
    keys: Mapping[str, Any]
    in_hw: bool
    not_in_hw: bool
    count: Count

    @property
    def name(self) -> tuple[str, int, int, str, int]:
        """What no other filter of the hypervisor has."""
        return self.device, self.chain, self.prio, self.protocol, self.handle


def filters(hypervisor: Any, device: str, hook: str = "ingress") -> list[Filter]:
    """All filters of a device's hook, with their counters."""
    shown = asked(hypervisor, *f"tc -s -j filter show dev {device} {hook}".split())
    return [
        _filter(device, entry)
        for entry in json.loads(shown)
        if "handle" in entry.get("options", {})
    ]


def _filter(device: str, shown: Mapping[str, Any]) -> Filter:
    options = shown["options"]
    stats = options["actions"][0]["stats"]
    # Without any in hardware, tc shows the sum only.
    hardware = stats.get("hw_packets", 0)
    assert stats["packets"] == hardware + stats.get("sw_packets", stats["packets"])
    return Filter(
        device,
        shown["chain"],
        shown["pref"],
        shown["protocol"],
        options["handle"],
        options.get("keys", {}),
        options.get("in_hw", False),
        options.get("not_in_hw", False),
        Count(stats["packets"] - hardware, hardware),
    )


class Meter:
    """What filters of one device counted since the meter was made or last reset."""

    def __init__(self, hypervisor: Any, device: str) -> None:
        self._hypervisor = hypervisor
        self._device = device
        self._before: dict[tuple[str, int, int, str, int], Count] = {}
        self.reset()

    def reset(self) -> None:
        """Count from here."""
        self._before = {
            each.name: each.count for each in filters(self._hypervisor, self._device)
        }

    def read(self, **wanted: Any) -> Count:
        """The count of the filters wanted: by chain, prio, protocol, or keys of the match."""
        found = [each for each in self._now() if _is(each, wanted)]
        assert found, f"no filter of {self._device} with {wanted}"
        return sum((self._since(each) for each in found), Count())

    def used(self) -> dict[tuple[int, str, str], Count]:
        """What filters that counted anything did, by chain, protocol and ct_state."""
        counted: dict[tuple[int, str, str], Count] = {}
        for each in self._now():
            name = each.chain, each.protocol, each.keys.get("ct_state", "")
            if self._since(each).all:
                counted[name] = counted.get(name, Count()) + self._since(each)
        return counted

    def _now(self) -> list[Filter]:
        return filters(self._hypervisor, self._device)

    def _since(self, filter_: Filter) -> Count:
        return filter_.count - self._before.get(filter_.name, Count())


def _is(filter_: Filter, wanted: Mapping[str, Any]) -> bool:
    own = {"chain": filter_.chain, "prio": filter_.prio, "protocol": filter_.protocol}
    has = {**filter_.keys, **own}
    return all(has.get(key) == value for key, value in wanted.items())


@dataclass(frozen=True, slots=True)
class Connection:
    """A line of ``conntrack -L``: both tuples, and what is beside them."""

    proto: str
    original: tuple[str, str, int, int]
    reply: tuple[str, str, int, int]
    zone: int
    mark: int
    flag: str
    line: str

    @property
    def in_hw(self) -> bool:
        """Is it in hardware?"""
        return self.flag == "HW_OFFLOAD"

    @property
    def closed(self) -> bool:
        """Were both ends' FINs acknowledged? OVS's conntrack and the kernel's call it so."""
        return "FIN_WAIT_2" in self.line or "TIME_WAIT" in self.line


def connections(hypervisor: Any, *options: str) -> list[Connection]:
    """What conntrack lists."""
    listed = asked(hypervisor, "conntrack", "-L", *options)
    return [_connection(line) for line in listed.splitlines()]


def _connection(line: str) -> Connection:
    words = line.split()
    pairs = [word.split("=", 1) for word in words if "=" in word]
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    ports = "sport" in values
    tuples = [
        (
            values["src"][way],
            values["dst"][way],
            int(values["sport"][way] if ports else values["id"][way]),
            int(values["dport"][way] if ports else values["id"][way]),
        )
        for way in (0, 1)
    ]
    flags = [word.strip("[]") for word in words if word.startswith("[")]
    return Connection(
        words[0],
        tuples[0],
        tuples[1],
        int(values.get("zone", ["0"])[0]),
        int(values["mark"][0]),
        next((flag for flag in flags if "OFFLOAD" in flag), ""),
        line,
    )


def flows(hypervisor: Any, table: str) -> list[str]:
    """The rules of a table of the hypervisor's br-int, as ovs-ofctl prints them."""
    dumped = hypervisor.must(*_SWITCH, "dump-flows", "br-int", f"table={table}")
    return [line.strip() for line in dumped.splitlines() if "actions=" in line]


def entries(hypervisor: Any, table: str) -> list[str]:
    """The rules of a table that are there for filters or connections, not always."""
    always = ("priority=0", "priority=65535")
    return [
        rule
        for rule in flows(hypervisor, table)
        if not any(each in rule for each in always)
    ]


def status(net: Testbed, name: str) -> dict[str, Any]:
    """What the controller says of a hypervisor."""
    answer = control.ask(net.run_.control_socket, {"op": "status"}, DEADLINE_S)
    shown: dict[str, Any] = answer[name]
    return shown


def tags_held(hypervisor: Any) -> int:
    """How many chain tags of the card are in use or rest."""
    return resources(hypervisor)["chain_tags"][1]


def resources(hypervisor: Any) -> dict[str, tuple[int, int]]:
    """How much the card has of each thing, and how much of it is in use."""
    shown = asked(hypervisor, "devlink", "resource", "show", "pci/0000:03:00.0")
    found = re.findall(r"name (\w+) size (\d+) occ (\d+)", shown)
    return {name: (int(size), int(occ)) for name, size, occ in found}


def settle(hypervisor: Any) -> None:
    """Wait until the packets follow the rules there are.

    A switch has rules some milliseconds before its datapath goes by them; a command that
    shows counters waits for that.
    """
    filters(hypervisor, DEVICES[0])


def offloaded(
    net: Testbed, number: int, hypervisors: Sequence[str] = HYPERVISORS
) -> None:
    """Wait until so many connections are in the hardware of each hypervisor, and used there."""
    for name in hypervisors:
        reached = partial(_has_in_hardware, net, name, number)
        until(reached, f"{number} connections in hardware at {name}")
        settle(net[name])


def _has_in_hardware(net: Testbed, name: str, number: int) -> bool:
    return bool(status(net, name)["entries_in_hw"] == number)


def any_entry(net: Testbed) -> bool:
    """Is any connection in a flow table, in hardware or not, at any hypervisor?"""
    return any(status(net, name)["entries"] for name in HYPERVISORS)


def put_back(net: Testbed) -> None:
    """Remove what tests leave in a network: typed filters, connections, entries, switches."""
    for name in HYPERVISORS:
        hypervisor = net[name]
        for device in DEVICES:
            for hook in ("ingress", "egress"):
                _delete_typed(hypervisor, device, hook)
        if not status(net, name)["hw_tc_offload"]:
            asked(hypervisor, "ethtool", "-K", "ens1f0", "hw-tc-offload", "on")
    for name in HYPERVISORS:
        until(partial(_forgotten, net, name), f"{name} without connections")


def _delete_typed(hypervisor: Any, device: str, hook: str) -> None:
    shown = asked(hypervisor, *f"tc -j filter show dev {device} {hook}".split())
    typed = {
        (each["chain"], each["protocol"])
        for each in json.loads(shown)
        if each["pref"] == TYPED_PRIO
    }
    for chain, protocol in sorted(typed):
        words = (
            f"dev {device} {hook} prio {TYPED_PRIO} chain {chain} protocol {protocol}"
        )
        asked(hypervisor, "tc", "filter", "del", *words.split())


def _forgotten(net: Testbed, name: str) -> bool:
    """Delete what there is, and see whether that was all: a packet may have been on its way."""
    asked(net[name], "conntrack", "-F")
    left = int(asked(net[name], "conntrack", "-C"))
    return not left and not status(net, name)["entries"]


def refused(hypervisor: Any, *argv: str) -> CommandFailed:
    """Run a command that must fail; return its failure."""
    try:
        hypervisor.must(*argv)
    except CommandFailed as failure:
        return failure
    raise AssertionError(f"{' '.join(argv)} was expected to fail")
