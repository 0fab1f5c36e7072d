"""Reading the running system: counters, entries, connections, status.

Below, ``Meter`` asks; above it, functions that read what the tools print.

A phase's packets on a hypervisor are those of its *entry* filters: what the
virtual machine's representor and the tunnel take in, chain 0, IPv4. Each packet
passes one of them once. ``hw_packets`` is hardware's part of ``packets``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from demo.checks import Counts
from demo.errors import NotSeen
from topologies.control import ask

HYPERVISORS = ("hv1", "hv2")
ENTRIES = ("ens1f0_0", "vxlan0")
"""Where packets between vm1 and vm3 come in, at either hypervisor."""

_ANSWER_S = 30.0

Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One direction of a connection, as a rule of table hw_ct."""

    proto: str
    src: IPv4Address
    dst: IPv4Address
    sport: int
    dport: int
    zone: int
    ct_state: str
    mark: int
    packets: int


@dataclass(frozen=True, slots=True)
class Status:
    """What the controller says about a hypervisor."""

    entries: int
    entries_in_hw: int
    filters: int
    filters_in_hw: int
    refused: Mapping[str, int]


def filters_in(printed: str) -> list[Filter]:
    """Return the filters of a ``tc -j filter show``, without the lines that only head them."""
    try:
        return [entry for entry in json.loads(printed) if "options" in entry]
    except ValueError:
        raise NotSeen(f"tc printed no JSON: {printed.strip()[:80]}") from None


def entry_counts(filters: Iterable[Filter]) -> Counts:
    """Sum up what the IPv4 filters of chain 0 have counted."""
    # Asked for one chain, tc does not repeat its number.
    chain_0 = (filter_ for filter_ in filters if not filter_.get("chain"))
    entries = (filter_ for filter_ in chain_0 if filter_["protocol"] == "ip")
    return sum((counts_of(entry) for entry in entries), Counts())


def counts_of(filter_: Filter) -> Counts:
    """Return what a filter's first action has counted: each packet of the filter, once."""
    stats = filter_["options"]["actions"][0]["stats"]
    hardware = stats.get("hw_packets", 0)
    return Counts(hardware, stats["packets"] - hardware)


# Source: ovs-fields(7), ct_state
_STATE_BITS = {"trk": 0x20, "new": 0x01, "est": 0x02, "rel": 0x04, "rpl": 0x08}
# The registers are those of mlx5's metadata: reg2 has the zone in its low half
# and the ct_state in its high half, reg3 the mark.
_ZONE, _STATE, _MARK = "reg2", "REG2[16..31]", "REG3[]"
_LOAD = re.compile(r"load:(\w+)->NXM_NX_(REG\d+\[[^\]]*\])")


def entries_in(printed: str) -> list[Entry]:
    """Return the IPv4 entries of an ``ovs-ofctl dump-flows br-int table=hw_ct``."""
    return [entry for line in printed.splitlines() if (entry := _entry(line))]


def _entry(rule: str) -> Entry | None:
    match, _, actions = rule.partition(" actions=")
    words = [word.strip() for word in re.split("[, ]", match)]
    fields = dict(word.split("=", 1) for word in words if "=" in word)
    proto = next((word for word in words if word in ("tcp", "udp")), None)
    if proto is None or "nw_src" not in fields:
        return None
    loads = {register: int(value, 0) for value, register in _LOAD.findall(actions)}
    return Entry(
        proto=proto,
        src=IPv4Address(fields["nw_src"]),
        dst=IPv4Address(fields["nw_dst"]),
        sport=int(fields["tp_src"]),
        dport=int(fields["tp_dst"]),
        zone=int(fields[_ZONE].partition("/")[0], 0),
        ct_state=_state(loads.get(_STATE, 0)),
        mark=loads.get(_MARK, 0),
        packets=int(fields["n_packets"]),
    )


def _state(bits: int) -> str:
    return "".join(f"+{name}" for name, bit in _STATE_BITS.items() if bits & bit)


def connections_in(printed: str, proto: str, port: int) -> list[str]:
    """Return the lines of ``conntrack -L`` about connections to a port."""
    return [
        " ".join(line.split())
        for line in printed.splitlines()
        if line.startswith(f"{proto} ") and f" dport={port} " in line
    ]


class Meter:
    """Asks the controller, over the socket that the hypervisors' tc asks it over."""

    def __init__(self, control_socket: Path) -> None:
        self._socket = control_socket

    def read(self) -> dict[str, Counts]:
        """Return what each hypervisor's entry filters have counted so far."""
        return {
            hypervisor: sum(
                (entry_counts(self.filters(hypervisor, device)) for device in ENTRIES),
                Counts(),
            )
            for hypervisor in HYPERVISORS
        }

    def filters(self, hypervisor: str, device: str) -> list[Filter]:
        """Return a device's filters of chain 0, with their counters."""
        argv = ["tc", "-s", "-j", "filter", "show", "dev", device]
        request = {
            "op": "exec",
            "hypervisor": hypervisor,
            "argv": [*argv, "ingress", "chain", "0"],
        }
        answer = ask(self._socket, request, _ANSWER_S)
        if answer["code"]:
            raise NotSeen(f"{hypervisor}: tc filter show: {answer['stderr'].strip()}")
        return filters_in(answer["stdout"])

    def status(self, hypervisor: str) -> Status:
        """Return what the controller says about a hypervisor."""
        told = ask(self._socket, {"op": "status"}, _ANSWER_S)[hypervisor]
        return Status(
            told["entries"],
            told["entries_in_hw"],
            told["filters"],
            told["filters_in_hw"],
            told["refused"],
        )

    def entries(self) -> dict[str, int]:
        """Return how many connections are in each hypervisor's flow tables."""
        return {name: self.status(name).entries for name in HYPERVISORS}

    def entries_in_hw(self) -> dict[str, int]:
        """Return how many of them are in hardware."""
        return {name: self.status(name).entries_in_hw for name in HYPERVISORS}
