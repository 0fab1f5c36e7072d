"""The other ready-made topologies: all reach each other, and hardware has their connections."""

from __future__ import annotations

from functools import partial
from typing import Any

import topologies
from tests.e2e.state import Count, Meter, connections, offloaded, status, until
from tests.e2e.tcp_udp import connected, transfer
from topologies.leaf_spine import LeafSpine
from topologies.nat_gateway import NatGateway
from topologies.testbed import Testbed
from topologies.two_zones import TwoZones

DATA = bytes(range(256)) * 2000


def carry(
    net: Testbed, client: str, server: str, address: str, where: list[str]
) -> str:
    """Send data both ways, in hardware at some hypervisors; return the address the server saw."""
    with connected(net[client], net[server], address, port=80) as (near, far):
        seen: str = far.getpeername()[0]
        offloaded(net, 1, where)
        assert transfer(near, far, DATA) == DATA
        assert transfer(far, near, DATA) == DATA
        assert all(status(net, name)["entries_in_hw"] == 1 for name in where)
    for name in where:
        until(partial(_none_left, net, name), f"{name} without entries")
    return seen


def _none_left(net: Testbed, name: str) -> bool:
    return not status(net, name)["entries"]


def ping(node: Any, address: str) -> str:
    """One echo request, answered or not."""
    said: str = node.cmd(f"ping -c 1 -W 10 {address}")
    return said


def test_leaf_spine_of_8_by_4() -> None:
    """Neighbours, the next leaf, the far end; each connection in hardware where it passes."""
    with topologies.running(LeafSpine(hypervisors=8, vms=4)) as net:
        assert len(net.hosts) == 32
        for number in range(1, 9):
            there = number % 8 + 1
            address = f"10.0.{there}.{number % 4 + 1}"
            assert "1 received" in ping(net[f"vm{number}_1"], address)
            assert "1 received" in ping(net[f"vm{number}_4"], f"fd00::{there}:2")
        meter = Meter(net["hv8"], "vxlan0")
        carry(net, "vm1_1", "vm8_4", "10.0.8.4", ["hv1", "hv8"])
        assert meter.used()[0, "ip", "-trk"].hardware > 300
        carry(net, "vm3_1", "vm3_4", "10.0.3.4", ["hv3"])
        assert status(net, "hv2")["copies"].get("closing", 0) == 0, "others saw neither"


def test_nat_gateway() -> None:
    """Out as 203.0.113.1, in by port 8080 and by nothing else; in hardware at both."""
    with topologies.running(NatGateway()) as net:
        both = ["hv1", "gateway"]
        assert "1 received" in ping(net["vm1"], "203.0.113.9")
        assert "1 received" in ping(net["vm1"], "10.0.0.2")
        meter = Meter(net["gateway"], "ens1f0_0")
        assert carry(net, "vm1", "outside", "203.0.113.9", both) == "203.0.113.1"
        assert meter.used()[0, "ip", "-trk"].hardware > 300
        assert "0 received" in net["outside"].cmd("ping -c 1 -W 1 203.0.113.1")
        assert not connections(net["gateway"], "-s", "203.0.113.9"), "nor is it tracked"
        with connected(
            net["outside"], net["vm2"], "203.0.113.1", port=8080, listen=80
        ) as (near, far):
            assert far.getpeername()[0] == "203.0.113.9"
            offloaded(net, 1, both)
            assert transfer(near, far, DATA) == DATA
            assert transfer(far, near, DATA) == DATA


def test_two_zones() -> None:
    """Among tenants one connection in zone 10; to public a second one, translated, in zone 20."""
    with topologies.running(TwoZones()) as net:
        assert "1 received" in ping(net["vm1"], "10.0.0.2")
        assert "1 received" in ping(net["vm2"], "198.51.100.9")
        carry(net, "vm1", "vm2", "10.0.0.2", ["hv1"])
        there, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "vxlan0")
        with connected(net["vm1"], net["public"], "198.51.100.9") as (near, far):
            assert far.getpeername()[0] == "192.0.2.1"
            offloaded(net, 2, ["hv1"])
            zones = [
                each.zone for each in connections(net["hv1"], "-p", "tcp") if each.in_hw
            ]
            assert sorted(zones) == [10, 20]
            assert transfer(near, far, DATA) == DATA
            assert transfer(far, near, DATA) == DATA
            for meter in (there, back):
                for chain in (10, 20):
                    established = meter.used()[chain, "ip", "+trk+est"]
                    assert established.hardware > 300 > established.software
        back.reset()
        assert "0 received" in net["public"].cmd("ping -c 1 -W 1 192.0.2.1")
        assert back.read(chain=20, ct_state="+trk+new") == Count(software=1)
