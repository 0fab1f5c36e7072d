"""Marks, labels and zones: what hardware restores is what the commit put there."""

from __future__ import annotations

import random

from tests.e2e.state import (
    Count,
    Meter,
    connections,
    entries,
    filters,
    offloaded,
    status,
)
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation, connected, transfer
from tests.e2e.typed import ENCAP_TO_HV2, add, delete
from tests.e2e.vm1_vm2 import (
    TO_VM1,
    TO_VM2,
    VM1,
    VM2,
    exchange,
    talk,
    udp,
    zone_filters,
)
from tests.e2e.wire import Capture, Port
from topologies.testbed import Testbed


def test_two_zones_do_not_mix(net: Testbed, ports: dict[str, Port]) -> None:
    """One packet, two zones one after the other: two connections, two marks, both in hardware."""
    est = "ens1f0_0 chain 30 proto ip flower ct_state +trk+est ct_zone 3 ct_mark 0x3"
    there = "ens1f0_0 chain 31 proto ip flower ct_state"
    back = f"ens1f0_1 chain 0 proto ip flower src_mac {VM2} dst_mac {VM1} ct_state -trk"
    add(
        net["hv1"],
        f"ens1f0_0 chain 0 proto ip flower src_mac {VM1} dst_mac {VM2} ct_state -trk "
        "action ct zone 3 pipe action goto chain 30",
        "ens1f0_0 chain 30 proto ip flower ct_state +trk+new action ct commit zone 3 "
        "mark 0x3 pipe action ct zone 4 pipe action goto chain 31",
        f"{est} action ct zone 4 pipe action goto chain 31",
        f"{there} +trk+new ct_zone 4 action ct commit zone 4 mark 0x4 pipe {TO_VM2}",
        f"{there} +trk+est ct_zone 4 ct_mark 0x4 {TO_VM2}",
        f"{back} action ct zone 4 pipe action goto chain 30",
        "ens1f0_1 chain 30 proto ip flower ct_state +trk+est ct_mark 0x4 "
        "action ct zone 3 pipe action goto chain 31",
        f"ens1f0_1 chain 31 proto ip flower ct_state +trk+est ct_mark 0x3 {TO_VM1}",
    )
    datagrams = udp(ports)
    talk(datagrams)
    datagrams.say()
    offloaded(net, 2, ["hv1"])
    listed = {each.zone: each for each in connections(net["hv1"])}
    assert {zone: each.mark for zone, each in listed.items()} == {3: 3, 4: 4}
    assert listed[3].original == listed[4].original
    meters = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    for _ in range(3):
        exchange(datagrams)
    for meter in meters:
        used = meter.used()
        assert used == {
            (0, "ip", "-trk"): Count(hardware=3),
            (30, "ip", "+trk+est"): Count(hardware=3),
            (31, "ip", "+trk+est"): Count(hardware=3),
        }


def test_last_ct_filter_takes_its_zones_entries_along(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """Only that zone's: the other zone's connection stays in hardware."""
    other = End(ports["vm1"], "10.0.0.61", 4000), End(ports["vm2"], "10.0.0.52", 53)
    est = f"proto ip flower ct_state +trk+est {TO_VM2}"
    add(
        net["hv1"],
        *zone_filters(3, 30, match="src_ip 10.0.0.51"),
        *zone_filters(4, 40, match="src_ip 10.0.0.61"),
        f"ens1f0_0 chain 30 {est}",
        f"ens1f0_0 chain 40 {est}",
    )
    talk(udp(ports))
    talk(UdpConversation(*other))
    offloaded(net, 2, ["hv1"])
    for device in ("ens1f0_0", "ens1f0_1"):
        for each in filters(net["hv1"], device):
            if each.prio == 1 and "10.0.0.51" in each.keys.values():
                words = f"filter del dev {device} ingress prio 1 chain 0 protocol ip"
                words += f" handle {each.handle} flower"
                net["hv1"].must("tc", *words.split())
    # The filter that commits in zone 3 holds its table still.
    assert status(net, "hv1")["entries"] == 2
    delete(net["hv1"], "ens1f0_0", chain=30)
    left = status(net, "hv1")
    assert (left["entries"], left["entries_in_hw"]) == (1, 1)
    rules = entries(net["hv1"], "hw_ct")
    assert len(rules) == 2 and all("10.0.0.61" in rule for rule in rules)
    assert {each.zone: each.flag for each in connections(net["hv1"])} == {
        3: "",
        4: "HW_OFFLOAD",
    }
    meter = Meter(net["hv1"], "ens1f0_0")
    UdpConversation(*other).say()
    assert meter.read(chain=40, prio=1, ct_state="+trk+est") == Count(hardware=1)


def test_deleting_a_filter_under_traffic(net: Testbed) -> None:
    """Filters are typed over those that carry a transfer, and removed; no byte is lost."""
    data = random.Random(6).randbytes(4_000_000)
    lines = (
        f"ens1f0_0 chain 0 proto ip flower src_mac {VM1} ct_state -trk "
        "action ct pipe action goto chain 2",
        f"ens1f0_0 chain 2 proto ip flower ct_state +trk+est {ENCAP_TO_HV2}",
    )
    meter = Meter(net["hv1"], "ens1f0_0")

    def delete_both() -> None:
        assert meter.read(prio=1, chain=2).hardware > 500
        for chain in (2, 0):
            delete(net["hv1"], "ens1f0_0", chain)
        meter.reset()

    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, far):
        offloaded(net, 1)
        add(net["hv1"], *lines)
        assert transfer(near, far, data, halfway=delete_both) == data
        assert meter.read(prio=2, chain=2, ct_state="+trk+est").hardware > 500
        assert not [e for e in filters(net["hv1"], "ens1f0_0") if e.prio == 1]
        offloaded(net, 1)


def test_deleted_filter_takes_no_more(net: Testbed, ports: dict[str, Port]) -> None:
    """The packet after the deletion of the only filter of its chain is the stack's."""
    add(net["hv1"], *zone_filters(3, 30))
    add(net["hv1"], f"ens1f0_0 chain 31 proto ip flower {TO_VM2}")
    tcp = TcpConversation(
        End(ports["vm1"], "10.0.0.51", 4000), End(ports["vm2"], "10.0.0.52", 80)
    )
    tcp.say("S")
    delete(net["hv1"], "ens1f0_0", chain=30)
    meter = Meter(net["hv1"], "ens1f0_0")
    with Capture(net["hv1"], "br-int") as stack:
        lost = tcp.segment("A")
        ports["vm1"].send(lost)
        stack.take(bytes(lost).__eq__, "a packet that no filter takes")
    assert meter.used() == {(0, "ip", "-trk"): Count(software=1)}
