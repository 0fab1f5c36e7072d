"""Filters of a block: packets of all devices that share it, and of no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.all import IP, UDP, Ether, Raw

import topologies
from tests.e2e.one_by_one import NOBODY, TAG
from tests.e2e.state import settle
from tests.e2e.wire import Capture, Port, all_ports, deliver
from topologies.testbed import Testbed
from topologies.two_hypervisors import TwoHypervisors

BLOCK = 22
MINE = f"prio 1 proto ip flower dst_mac {NOBODY}"
TO_VM2 = "action mirred egress redirect dev ens1f0_1"


def packet(dport: int = 9) -> Ether:
    """From either machine to nobody."""
    ip = IP(src="10.0.0.61", dst="10.0.0.62")
    return Ether(dst=NOBODY) / ip / UDP(dport=dport) / Raw(TAG)


@pytest.fixture(scope="module")
def bare() -> Iterator[Testbed]:
    """Two hypervisors that have no filters."""
    with topologies.running(TwoHypervisors(), filters=False) as net:
        yield net


@pytest.fixture
def ends(bare: Testbed) -> Iterator[dict[str, Port]]:
    """The virtual machines' interfaces."""
    with all_ports(bare) as opened:
        yield opened


@pytest.fixture
def hv1(bare: Testbed) -> Any:
    """hv1, both of whose representors share a block that has no filter yet."""
    node = bare["hv1"]
    for device in ("ens1f0_0", "ens1f0_1"):
        tc(node, f"qdisc del dev {device} clsact")
    for device in ("ens1f0_0", "ens1f0_1"):
        tc(node, f"qdisc add dev {device} ingress_block {BLOCK} clsact")
    return node


def tc(node: Any, line: str) -> str:
    return str(node.must("tc", *line.split()))


def counted(node: Any) -> list[tuple[int, int, int]]:
    """(in_hw_count, packets, those of hardware) of each of the block's filters."""
    shown = json.loads(tc(node, f"-s -j filter show block {BLOCK}"))
    found = []
    for each in shown:
        if "options" in each:
            stats = each["options"]["actions"][0]["stats"]
            in_hw = each["options"].get("in_hw_count", 0)
            found.append((in_hw, stats["packets"], stats.get("hw_packets", 0)))
    return found


def test_both_devices_meet_a_blocks_filter(hv1: Any, ends: dict[str, Port]) -> None:
    """It counts the packets of both, and is in hardware once for each."""
    tc(hv1, f"filter add block {BLOCK} {MINE} {TO_VM2}")
    settle(hv1)
    deliver(packet(), ends["vm1"], ends["vm2"])
    deliver(packet(), ends["vm2"], ends["vm2"])
    assert counted(hv1) == [(2, 2, 2)]
    shown = tc(hv1, "filter show dev ens1f0_1 ingress")
    assert shown == tc(hv1, "filter show dev ens1f0_0 ingress")
    assert f"filter block {BLOCK} protocol ip" in shown


def test_a_chain_of_a_block_in_both_halves(hv1: Any, ends: dict[str, Port]) -> None:
    """ct in a block: the connection is one, whichever device a packet comes from."""
    tc(hv1, f"filter add block {BLOCK} {MINE} ct_state -trk action ct goto chain 5")
    tc(
        hv1,
        f"filter add block {BLOCK} chain 5 {MINE} ct_state +trk+new skip_hw {TO_VM2}",
    )
    settle(hv1)
    deliver(packet(), ends["vm1"], ends["vm2"])
    deliver(packet(), ends["vm2"], ends["vm2"])
    assert counted(hv1) == [(2, 2, 0), (0, 2, 0)]


def test_a_device_that_leaves_meets_it_no_more(hv1: Any, ends: dict[str, Port]) -> None:
    """The other one still does, and nothing that was counted is lost."""
    tc(hv1, f"filter add block {BLOCK} {MINE} {TO_VM2}")
    settle(hv1)
    deliver(packet(), ends["vm1"], ends["vm2"])
    tc(hv1, "qdisc del dev ens1f0_0 clsact")
    with Capture(hv1, "br-int") as stack:
        ends["vm1"].send(packet(dport=10))
        stack.take(lambda frame: TAG in frame, "a packet that no filter takes")
    deliver(packet(), ends["vm2"], ends["vm2"])
    assert counted(hv1) == [(1, 2, 2)]
    tc(hv1, f"qdisc add dev ens1f0_0 ingress_block {BLOCK} clsact")
    deliver(packet(), ends["vm1"], ends["vm2"])
    assert counted(hv1) == [(2, 3, 3)]
