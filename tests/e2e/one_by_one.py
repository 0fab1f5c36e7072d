"""A hypervisor with a test's own filters and no others, and packets through it one by one.

    vm1 --frame, then a marker--> ens1f0_0   hv1   ens1f0_1 --> vm2
                                                   br-int   --> the stack

The marker is copied to every place a packet can come out at: what came before it is
what became of the frame. Frames of a test carry ``TAG``; others are not its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from scapy.all import IP, UDP, Ether, Raw
from scapy.packet import Packet

from tests.e2e.asked import asked
from tests.e2e.state import Count, filters, settle
from tests.e2e.wire import Capture, Port, parsed
from topologies.testbed import Testbed

TAG = b"one-by-one"
SENDER, NOBODY = "24:8a:07:a5:28:01", "02:00:00:00:00:99"
_MARKER_TYPE = 0x88B5  # for experiments
_MARKER = bytes(Ether(src=NOBODY, dst=NOBODY, type=_MARKER_TYPE) / Raw(bytes(50)))
_MARKER_FILTER = (
    f"filter add dev ens1f0_0 ingress prio 9999 proto {_MARKER_TYPE:#x} flower "
    "action mirred egress mirror dev ens1f0_0 pipe "
    "action mirred egress mirror dev ens1f0_1 pipe action pass"
)
_DEVICES = ("ens1f0_0", "ens1f0_1", "vxlan0")


@dataclass(slots=True)
class CameOut:
    """Where a frame came out, as what."""

    vm1: list[Packet] = field(default_factory=list)
    vm2: list[Packet] = field(default_factory=list)
    stack: list[Packet] = field(default_factory=list)

    @property
    def places(self) -> list[str]:
        """Where anything came out."""
        return [name for name in ("vm1", "vm2", "stack") if getattr(self, name)]


class OneByOne:
    """hv1, and the ends of its wires."""

    def __init__(self, net: Testbed, ends: dict[str, Any]) -> None:
        self.hypervisor = net["hv1"]
        self.offload = True
        self._ends = ends

    def add(self, *lines: str) -> None:
        """Type filters, told from their device on: ``ens1f0_0 [egress] prio 1 ... flower ...``."""
        for line in lines:
            device, rest = line.split(maxsplit=1)
            hook = "" if rest.startswith("egress ") else "ingress"
            words = f"filter add dev {device} {hook} {rest}".split()
            assert asked(self.hypervisor, "tc", *words) == ""
        settle(self.hypervisor)

    def through(self, *frames: Packet) -> CameOut:
        """Send frames in at ens1f0_0, each behind the other, and see what comes out."""
        for frame in frames:
            self._ends["vm1"].send(frame)
        self._ends["vm1"].send(_MARKER)
        out = {}
        for name, end in self._ends.items():
            end.take(lambda frame: frame == _MARKER, "the marker")
            out[name] = [parsed(frame) for frame in end.seen if TAG in frame]
        return CameOut(**out)

    def took(self, prio: int = 1) -> Count:
        """What a filter of ens1f0_0 counted; only hardware or only software has it."""
        [one] = [
            each
            for each in filters(self.hypervisor, "ens1f0_0")
            if (each.chain, each.prio) == (0, prio)
        ]
        assert not (
            one.in_hw and one.count.software
        ), "in hardware, but did not take it"
        assert self.offload or not one.in_hw
        return one.count

    def clear(self, offload: bool) -> None:
        """Remove all filters but the marker's; turn hardware on or off."""
        for where in product(_DEVICES, ("ingress", "egress")):
            for chain in sorted(self._chains(*where)):
                words = ("tc", "filter", "del", "dev", *where, "chain", str(chain))
                asked(self.hypervisor, *words)
        self.offload = offload
        state = "on" if offload else "off"
        asked(self.hypervisor, "ethtool", "-K", "ens1f0", "hw-tc-offload", state)
        self.hypervisor.must("ovs-appctl", "dpctl/flush-conntrack")
        asked(self.hypervisor, "tc", *_MARKER_FILTER.split())
        settle(self.hypervisor)

    def _chains(self, device: str, hook: str) -> set[int]:
        words = f"-j filter show dev {device} {hook}".split()
        return {
            each["chain"] for each in json.loads(asked(self.hypervisor, "tc", *words))
        }


@contextmanager
def one_by_one(net: Testbed) -> Iterator[OneByOne]:
    """hv1 of a network without filters, for a module's tests."""
    with ExitStack() as stack:
        ends = {
            "vm1": stack.enter_context(Port(net["vm1"])),
            "vm2": stack.enter_context(Port(net["vm2"])),
            "stack": stack.enter_context(Capture(net["hv1"], "br-int")),
        }
        yield OneByOne(net, ends)


def udp(sport: int = 1000, dport: int = 2000, **ip: Any) -> Packet:
    """A datagram from vm1 to nobody's MAC, so that no kernel answers it."""
    return ether() / IP(src="10.0.0.1", dst="10.0.0.2", **ip) / _udp(sport, dport)


def ether() -> Packet:
    """From vm1 to nobody, so that no kernel answers."""
    return Ether(src=SENDER, dst=NOBODY)


def _udp(sport: int, dport: int) -> Packet:
    return UDP(sport=sport, dport=dport) / Raw(TAG)
