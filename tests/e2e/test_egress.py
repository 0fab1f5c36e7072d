"""Filters of what leaves by a device: clsact's egress hook, which is software's alone."""

from __future__ import annotations

import pytest

from tests.e2e.asked import asked
from tests.e2e.one_by_one import OneByOne, udp
from tests.e2e.state import Count, connections, filters, refused, until
from tests.e2e.typed import add
from tests.e2e.vm1_vm2 import est_filter, exchange, talk, tcp
from tests.e2e.vm1_vm2 import udp as udp_of
from tests.e2e.vm1_vm2 import zone_filters
from tests.e2e.wire import Port
from topologies.testbed import Testbed

IP = "prio 1 proto ip flower"
LEAVES = f"ens1f0_1 egress {IP}"
LEAVES_2 = "ens1f0_1 egress prio 2 proto ip flower"
TO_VM1 = "action mirred egress redirect dev ens1f0_0"
TO_VM2 = "action mirred egress redirect dev ens1f0_1"
REMOVE = "filter del dev ens1f0_1 egress"


def tc(hv1: OneByOne, line: str) -> str:
    return asked(hv1.hypervisor, "tc", *line.split())


def leaving(hv1: OneByOne) -> list[int]:
    """What the egress filters of vm2's device counted."""
    found = filters(hv1.hypervisor, "ens1f0_1", "egress")
    assert not any(each.in_hw or each.count.hardware for each in found)
    return [each.count.software for each in found]


def of_the_first(hv1: OneByOne) -> Count:
    return filters(hv1.hypervisor, "ens1f0_0")[0].count


@pytest.mark.parametrize(
    ("action", "places"),
    [
        ("action pass", ["vm2"]),
        ("action drop", []),
        (TO_VM1, ["vm1"]),
        (TO_VM1.replace("redirect", "mirror"), ["vm1", "vm2"]),
        (f"action ct zone 9 pipe {TO_VM1}", ["vm1"]),
        ("action mirred ingress redirect dev ens1f0_1", ["stack"]),
    ],
)
def test_what_becomes_of_a_packet(
    hv1: OneByOne, action: str, places: list[str]
) -> None:
    """And of others, whom it does not ask for."""
    hv1.add(f"ens1f0_0 {IP} {TO_VM2}", f"{LEAVES} ip_proto udp dst_port 7 {action}")
    assert hv1.through(udp(dport=7)).places == places
    assert hv1.through(udp()).places == ["vm2"]
    assert leaving(hv1) == [1] and hv1.took().all == 2


def test_the_first_and_the_last(hv1: OneByOne) -> None:
    """They take what sends there out of hardware, and let it in again."""
    hv1.add(f"ens1f0_0 {IP} {TO_VM2}", f"ens1f0_0 chain 1 {IP} {TO_VM1}")
    assert hv1.through(udp()).places == ["vm2"]
    hv1.add(f"{LEAVES} action drop", f"{LEAVES_2} action pass")
    assert hv1.through(udp()).places == []
    assert of_the_first(hv1) == (Count(1, 1) if hv1.offload else Count(2))
    tc(hv1, f"{REMOVE} prio 1")
    assert hv1.through(udp()).places == ["vm2"] and leaving(hv1) == [1]
    tc(hv1, REMOVE)
    assert hv1.through(udp()).places == ["vm2"]
    assert of_the_first(hv1) == (Count(2, 2) if hv1.offload else Count(4))
    own = [f for f in filters(hv1.hypervisor, "ens1f0_0") if f.prio == 1]
    assert [each.in_hw for each in own] == [hv1.offload] * 2


def test_why_not(hv1: OneByOne) -> None:
    hv1.add(f"ens1f0_0 {IP} {TO_VM2}", f"{LEAVES} action drop")
    said = asked(hv1.hypervisor, "why-not", "filters").splitlines()
    there = "filter dev ens1f0_1 egress chain 0 pref 1 handle 0x1"
    assert f"{there}: hardware has no egress filters" in said
    sends = "filter dev ens1f0_0 chain 0 pref 1 handle 0x1"
    why = "ens1f0_1 has egress filters, which are software's"
    assert f"{sends}: {why if hv1.offload else 'hw-tc-offload is off'}" in said


def test_hardwares_own_passes_them_by(hv1: OneByOne) -> None:
    """A filter that asked for no software has none to go through."""
    only = "proto ip flower skip_sw ip_proto udp dst_port"
    if not hv1.offload:
        words = f"tc filter add dev ens1f0_0 ingress prio 1 {only} 1 {TO_VM2}".split()
        assert "hw-tc-offload is off" in refused(hv1.hypervisor, *words).stderr
        return
    hv1.add(
        f"ens1f0_0 prio 1 {only} 1 {TO_VM2}",
        f"{LEAVES} action drop",
        f"ens1f0_0 prio 2 {only} 2 {TO_VM2}",
    )
    for prio in (1, 2):
        assert hv1.through(udp(dport=prio)).places == ["vm2"]
        assert hv1.took(prio) == Count(hardware=1)
    assert leaving(hv1) == [0]


def test_every_way_to_a_device(hv1: OneByOne) -> None:
    """Filters of whatever chain and prio, added before and after."""
    hv1.add(
        f"ens1f0_0 {IP} ip_proto udp dst_port 1 {TO_VM2}",
        "ens1f0_0 prio 2 proto ip flower ip_proto udp dst_port 2 action goto chain 4",
        f"ens1f0_0 chain 4 {IP} {TO_VM2.replace('redirect', 'mirror')} drop",
        f"{LEAVES} action pass",
        f"ens1f0_0 prio 3 proto ip flower {TO_VM2}",
        f"ens1f0_0 egress {IP} {TO_VM2}",
        f"ens1f0_0 prio 9 proto ip flower {TO_VM1}",
    )
    for dport in (1, 2, 3):
        assert hv1.through(udp(dport=dport)).places == ["vm2"]
    tc(hv1, "filter del dev ens1f0_0 ingress prio 3")
    assert hv1.through(udp()).places == ["vm2"]
    assert leaving(hv1) == [4]


def test_connections_are_offloaded_through_it(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """ct there is a zone's like any other; to hardware only filters at ingress lead."""
    add(net["hv1"], *zone_filters(5, 50), est_filter(50))
    one = tcp(ports)
    talk(one)
    exchange(one)
    for line in (
        f"{IP} action ct zone 6 pipe action goto chain 1",
        f"chain 1 {IP} ct_state +trk+new action ct commit zone 6 mark 7 pipe action pass",
    ):
        for device in ("ens1f0_0", "ens1f0_1"):
            words = f"tc filter add dev {device} egress {line}"
            assert asked(net["hv1"], *words.split()) == ""
    other = tcp(ports, sport=4001)
    talk(other)
    exchange(other)
    until(
        lambda: [c.flag for c in connections(net["hv1"], "-w", "6")].count("OFFLOAD"),
        "an entry in zone 6, in software",
    )
    marks = {c.original[2]: c.mark for c in connections(net["hv1"], "-w", "6")}
    assert marks[4001] == 7


def test_they_are_told_to_a_switch_that_comes_back(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """A new ovs-vswitchd has their rules, and those that lead through them."""
    add(net["hv1"], *zone_filters(5, 50), est_filter(50))
    drops = "tc filter add dev ens1f0_1 egress prio 1 proto ip flower ip_proto udp action drop"
    asked(net["hv1"], *drops.split())
    net["hv1"].restart_switch()
    ports["vm1"].send(udp_of(ports).datagram())
    talk(tcp(ports))
    [one] = filters(net["hv1"], "ens1f0_1", "egress")
    assert one.count == Count(software=1)
