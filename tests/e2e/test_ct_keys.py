"""ct_state, ct_zone, ct_mark and ct_label, with and without masks: on packets, in both halves.

Three packets ask each key: the first of another connection, and one each way of a connection
that is established (with hardware on, in hardware). Both ways come in at vm1's port.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from scapy.all import IP, TCP, UDP, IPv6, Raw

from tests.e2e.one_by_one import TAG, OneByOne, ether, one_by_one
from tests.e2e.state import Count, filters, until
from topologies.testbed import Testbed

TO_VM1 = "action mirred egress redirect dev ens1f0_0"
TO_VM2 = "action mirred egress redirect dev ens1f0_1"
LABEL = "0102030405060708090a0b0c0d0e0f01"
MARK = 0x12345678


@dataclass(frozen=True, slots=True)
class Family:
    """A protocol as tc names it, its header, and two ends."""

    protocol: str
    header: type
    one: str
    other: str

    def there(self, sport: int = 1000) -> Any:
        return self._packet(self.one, self.other, sport, 2000)

    def back(self) -> Any:
        return self._packet(self.other, self.one, 2000, 1000)

    def _packet(self, src: str, dst: str, sport: int, dport: int) -> Any:
        udp = UDP(sport=sport, dport=dport) / Raw(TAG)
        return ether() / self.header(src=src, dst=dst) / udp


FAMILIES = (
    Family("ip", IP, "10.0.0.1", "10.0.0.2"),
    Family("ipv6", IPv6, "fd00::1", "fd00::2"),
)


def establish(hv1: OneByOne, family: Family) -> None:
    """A connection in zone 5 with a mark and a label; with hardware on, there."""
    mine = f"proto {family.protocol} flower"
    commit = f"action ct commit zone 5 mark {MARK:#x} label {LABEL} {TO_VM2}"
    hv1.add(
        f"ens1f0_0 prio 2 {mine} ct_state -trk action ct zone 5 goto chain 1",
        f"ens1f0_0 chain 1 prio 3 {mine} ct_state +trk+new {commit}",
        f"ens1f0_0 chain 1 prio 4 {mine} ct_state +trk+est {TO_VM2}",
    )
    for packet in (family.there(), family.back()):
        assert hv1.through(packet).places == ["vm2"]
    if hv1.offload:
        until(lambda: _in_hardware(hv1, family), "the connection in hardware")


def _in_hardware(hv1: OneByOne, family: Family) -> bool:
    """Was the next packet one of hardware's?"""
    before = _established(hv1)
    hv1.through(family.there())
    return (_established(hv1) - before).hardware == 1


def _established(hv1: OneByOne) -> Count:
    [one] = [f for f in filters(hv1.hypervisor, "ens1f0_0") if f.prio == 4]
    return one.count


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.protocol)
@pytest.mark.parametrize(
    "asked",
    [
        # what is asked: whether a new packet fits, one there, one back
        {
            "ct_state +trk": (True, True, True),
            "ct_state -trk": (False, False, False),
            "ct_state +trk+new": (True, False, False),
            "ct_state +trk-new": (False, True, True),
            "ct_state +trk+est": (False, True, True),
            "ct_state +trk-est": (True, False, False),
        },
        {
            "ct_state +trk+rpl": (False, False, True),
            "ct_state +trk-rpl": (True, True, False),
            "ct_state +trk+rel": (False, False, False),
            "ct_state +trk-rel": (True, True, True),
            "ct_state +trk+inv": (False, False, False),
            "ct_state +trk-inv": (True, True, True),
        },
        {
            "ct_zone 5": (True, True, True),
            "ct_zone 6": (False, False, False),
            "ct_zone 0x1/0x1": (True, True, True),
            "ct_zone 0x1/0x2": (True, True, True),  # the value that the mask leaves
            "ct_zone 0x2/0x2": (False, False, False),
        },
        {
            f"ct_mark {MARK:#x}": (False, True, True),
            f"ct_mark {MARK + 1:#x}": (False, False, False),
            "ct_mark 0x70/0xf0": (False, True, True),
            "ct_mark 0x60/0xf0": (False, False, False),
            "ct_mark 0/0x1": (True, True, True),
        },
        {
            f"ct_label {LABEL}": (False, True, True),
            "ct_label 01": (False, False, False),
            "ct_label 0002/00ff": (False, True, True),
            f"ct_label {'00' * 15}01/{'00' * 15}03": (False, True, True),
            "ct_label 0004/0004": (False, False, False),
            "ct_label 00/08": (True, True, True),
        },
    ],
    ids=["state", "state of the later kernel", "zone", "mark", "label"],
)
def test_ct_key(
    hv1: OneByOne, family: Family, asked: dict[str, tuple[bool, bool, bool]]
) -> None:
    """What fits goes back to vm1, what does not on to vm2; each half counts its own."""
    establish(hv1, family)
    place = "dev ens1f0_0 ingress chain 1 prio 1"
    for number, (words, fits) in enumerate(asked.items()):
        line = f"filter add {place} proto {family.protocol} flower {words} {TO_VM1}"
        hv1.hypervisor.must("tc", *line.split())
        packets = (family.there(3000 + number), family.there(), family.back())
        came_out = [hv1.through(packet).places for packet in packets]
        assert came_out == [["vm1"] if fit else ["vm2"] for fit in fits], words
        [one] = [f for f in filters(hv1.hypervisor, "ens1f0_0") if f.prio == 1]
        new, *established = fits
        in_hardware = sum(established) if one.in_hw else 0
        assert one.count == Count(sum(fits) - in_hardware, in_hardware), words
        hv1.hypervisor.must("tc", *f"filter del {place}".split())


def test_an_invalid_packet_keeps_its_zone(
    fresh_net: Callable[..., Testbed],
) -> None:
    """In the later kernel; the series' own calls it untracked."""
    reset = TCP(sport=1000, dport=80, flags="R") / Raw(TAG)
    packet = ether() / IP(src="10.0.0.1", dst="10.0.0.2") / reset
    with one_by_one(fresh_net(profile="mlx5-6.1", filters=False)) as hv1:
        hv1.clear(offload=True)
        hv1.add(
            "ens1f0_0 prio 1 proto ip flower action ct zone 5 goto chain 1",
            "ens1f0_0 chain 1 prio 1 proto ip flower ct_state +trk-inv action drop",
            "ens1f0_0 chain 1 prio 2 proto ip flower ct_state +trk+inv ct_zone 6 "
            "action drop",
            f"ens1f0_0 chain 1 prio 3 proto ip flower ct_state +trk+inv ct_zone 5 {TO_VM2}",
        )
        assert hv1.through(packet).places == ["vm2"]
