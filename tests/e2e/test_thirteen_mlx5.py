"""The series patch by patch, 6 to 13: what mlx5 has of it, on real packets.

Each test has its patch's name. Patches 1 to 5 are in test_thirteen_act_ct.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.e2e.state import (
    HYPERVISORS,
    Count,
    Meter,
    connections,
    entries,
    filters,
    flows,
    offloaded,
    status,
    tags_held,
    until,
)
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation
from tests.e2e.typed import ENCAP_TO_HV2, add, delete
from tests.e2e.vm1_vm2 import (
    FROM_VM1,
    FROM_VM2,
    HV1,
    TO_VM1,
    TO_VM2,
    VM1,
    client,
    est_filter,
    exchange,
    nat_filters,
    talk,
    udp,
    zone_filters,
)
from tests.e2e.wire import Port, deliver
from topologies.testbed import Testbed

CARD = "pci/0000:03:00.0"
FROM_HV2 = "enc_src_ip 7.7.7.8 enc_dst_ip 7.7.7.7 enc_key_id 98 enc_dst_port 4789"


def test_06_global_tables(net: Testbed, ports: dict[str, Port]) -> None:
    """Connections of all ports and zones share a ct table, a ct_nat and a post_ct."""
    add(net["hv1"], *nat_filters("ip", "src addr 10.0.0.100"))
    near, far = client(ports), End(ports["vm2"], "10.0.0.52", 53)
    seen = replace(near, ip="10.0.0.100")
    translated = UdpConversation(near, far, client_seen=seen)
    through_tunnel = [
        UdpConversation(client(ports), End(ports["vm3"], "10.0.0.53", 53)),
        UdpConversation(far, End(ports["vm4"], "10.0.0.54", 53)),
    ]
    for each in (translated, *through_tunnel):
        talk(each)
    offloaded(net, 3, HV1)
    zones = [re.findall(r"reg2=(\w+)/0xffff", rule) for rule in tuples(net)]
    assert sorted(zones) == [["0"]] * 4 + [["0x5"]] * 2
    assert all(rule.endswith('resubmit(,"hw_post_ct")') for rule in tuples(net))
    meters = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    for each in (translated, *through_tunnel):
        exchange(each)
    assert [meter.used()[0, "ip", "-trk"] for meter in meters] == [
        Count(hardware=2)
    ] * 2


def tuples(net: Testbed) -> list[str]:
    """The rules of hv1's two ct tables."""
    return entries(net["hv1"], "hw_ct") + entries(net["hv1"], "hw_ct_nat")


def test_07_rules_with_no_in_port(net: Testbed, ports: dict[str, Port]) -> None:
    """A tuple offloaded from one port is hit by packets of another port, and of the tunnel."""
    datagrams = udp(ports)
    talk(datagrams)
    offloaded(net, 1, HV1)
    tables = [*tuples(net), *flows(net["hv1"], "hw_post_ct")]
    assert not any("in_port" in rule for rule in tables)
    same = datagrams.datagram()
    add(
        net["hv1"],
        f"ens1f0_1 chain 0 proto ip flower src_mac {VM1} ct_state -trk "
        "action ct pipe action goto chain 40",
        f"ens1f0_1 chain 40 proto ip flower ct_state +trk+est {TO_VM1}",
    )
    other_port = Meter(net["hv1"], "ens1f0_1")
    deliver(same, ports["vm2"], ports["vm1"])
    assert other_port.used() == {
        (0, "ip", "-trk"): Count(hardware=1),
        (40, "ip", "+trk+est"): Count(hardware=1),
    }
    tunnel = ENCAP_TO_HV2.replace("7.7.7.8", "7.7.7.7")
    add(net["hv2"], f"ens1f0_0 chain 0 proto ip flower src_mac {VM1} {tunnel}")
    uplink = Meter(net["hv1"], "vxlan0")
    deliver(same, ports["vm3"], ports["vm2"])
    assert uplink.used() == {
        (0, "ip", "-trk"): Count(hardware=1),
        (2, "ip", "+trk+est"): Count(hardware=1),
    }


@pytest.fixture
def chain_tags(net: Testbed) -> Iterator[Callable[[int], None]]:
    """Say how many chain tags hv1's card has; afterwards, as many as the register can name."""

    def resize(size: int) -> None:
        words = f"resource set {CARD} path chain_tags size {size}"
        net["hv1"].must("devlink", *words.split())

    yield resize
    resize(0xFFFF)


def test_08_getting_chain_mapping(
    net: Testbed, chain_tags: Callable[[int], None]
) -> None:
    """A tag for each chain, while any filter has it, and after 2 s for another; then no more."""
    before = tags(net)
    until(
        lambda: tags_held(net["hv1"]) == len(before),
        "no tag rests from an earlier test",
    )
    chain_tags(len(before) + 2)
    goto, drop = (
        "proto ip flower dst_ip 10.9.0.{0} action goto chain {1}",
        "action drop",
    )
    add(
        net["hv1"],
        "ens1f0_0 chain 0 " + goto.format(1, 81),
        "ens1f0_1 chain 0 " + goto.format(2, 81),
        "ens1f0_0 chain 0 " + goto.format(3, 82),
    )
    assert len(tags(net)) == len(before) + 2, "81 has one, and 82"
    refused = "Requested chain is out of supported range (no chain tag is free: all "
    said = net["hv1"].cmd(
        "tc filter add dev ens1f0_1 ingress prio 1 chain 83 proto ip flower verbose "
        f"dst_ip 10.9.0.4 {drop}"
    )
    assert refused in said
    [in_software] = [e for e in filters(net["hv1"], "ens1f0_1") if e.chain == 83]
    assert in_software.not_in_hw

    delete(net["hv1"], "ens1f0_1", chain=0)
    assert len(tags(net)) == len(before) + 2, "another filter leads to 81"
    delete(net["hv1"], "ens1f0_0", chain=0)
    assert tags(net) == before

    def taken_after_grace() -> bool:
        delete(net["hv1"], "ens1f0_1", chain=83)
        add(net["hv1"], f"ens1f0_1 chain 83 proto ip flower dst_ip 10.9.0.4 {drop}")
        return any(e.chain == 83 and e.in_hw for e in filters(net["hv1"], "ens1f0_1"))

    assert not taken_after_grace(), "packets may still carry the two tags"
    until(taken_after_grace, "a tag's grace is over")
    assert len(tags(net)) == len(before) + 1


def tags(net: Testbed) -> list[str]:
    """What hv1's hardware knows of chains: where a packet with a tag goes on in software."""
    return [rule for rule in entries(net["hv1"], "hw_miss") if "reg0=0/" not in rule]


def test_09_flow_match_ct(net: Testbed, ports: dict[str, Port]) -> None:
    """Hardware matches state, zone, mark and label under masks; other values see nothing."""
    est = "ens1f0_0 chain 30 proto ip flower ct_state +trk+est"
    add(
        net["hv1"],
        *zone_filters(3, 30, "mark 0x1234 label 0a0b0c0d"),
        "ens1f0_0 chain 30 proto ip flower ct_state +trk-est action drop",
        f"{est} ct_zone 3 ct_mark 0x1235 action drop",
        f"{est} ct_zone 4 ct_mark 0x1234 action drop",
        f"{est} ct_mark 0x1234 ct_label 0a0b0c0e/ffffffff action drop",
        f"{est} ct_zone 3 ct_mark 0x0030/0x00f0 ct_label 0a0b0c0d/ffffffff {TO_VM2}",
    )
    datagrams = udp(ports)
    talk(datagrams)
    offloaded(net, 1, HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    for _ in range(3):
        datagrams.say()
    matched = [
        (each.in_hw, each.count.hardware)
        for each in filters(net["hv1"], "ens1f0_0")
        if each.chain == 30 and "new" not in each.keys["ct_state"]
    ]
    assert matched == [(True, 0)] * 4 + [(True, 3)]
    assert meter.read(chain=0, prio=1) == Count(hardware=3)
    [connection] = connections(net["hv1"])
    assert (connection.zone, connection.mark) == (3, 0x1234)
    assert connection.in_hw and "labels=0x" in connection.line


def test_10_introduce_connection_tracking(net: Testbed, ports: dict[str, Port]) -> None:
    """pre_ct sets fte_id and zone and counts nothing; post_ct has the actions and the counter."""
    add(net["hv1"], *zone_filters(6, 60), est_filter(60))
    [pre] = [
        rule
        for rule in flows(net["hv1"], "hw_chain")
        if "0x6->NXM_NX_REG2" in rule and "ens1f0_0" in rule
    ]
    assert pre.endswith('resubmit(,"hw_ct")') and f"dl_src={VM1}" in pre
    [fte_id] = re.findall(r"load:(\w+)->NXM_NX_REG8\[]", pre)
    [post] = [r for r in flows(net["hv1"], "hw_post_ct") if f"reg8={fte_id} " in r]
    assert post.endswith('resubmit(,"hw_chain")')
    meter = Meter(net["hv1"], "ens1f0_0")
    datagrams = udp(ports)
    datagrams.say()
    datagrams.say()
    assert meter.read(chain=0, prio=1) == Count(software=2), "a miss is software's"
    datagrams.say(reply=True)
    offloaded(net, 1, HV1)
    datagrams.say()
    assert meter.read(chain=0, prio=1) == Count(software=2, hardware=1)


def test_11_offload_established_flows(net: Testbed, ports: dict[str, Port]) -> None:
    """A connection that passes two zones here and a third at the other hypervisor is in each."""
    est = "proto ip flower ct_state +trk+est"
    again = "action ct zone 4 pipe action goto chain 31"
    add(
        net["hv1"],
        f"ens1f0_0 chain 0 proto ip flower src_mac {VM1} ct_state -trk "
        "action ct zone 3 pipe action goto chain 30",
        "ens1f0_0 chain 30 proto ip flower ct_state +trk+new "
        f"action ct commit zone 3 pipe {again}",
        f"ens1f0_0 chain 30 {est} ct_zone 3 {again}",
        "ens1f0_0 chain 31 proto ip flower ct_state +trk+new ct_zone 4 "
        f"action ct commit zone 4 pipe {ENCAP_TO_HV2}",
        f"ens1f0_0 chain 31 {est} ct_zone 4 {ENCAP_TO_HV2}",
        f"vxlan0 chain 0 proto ip flower {FROM_HV2} dst_mac {VM1} ct_state -trk {again}",
        f"vxlan0 chain 31 {est} ct_zone 4 action ct zone 3 pipe action goto chain 30",
        f"vxlan0 chain 30 {est} ct_zone 3 action tunnel_key unset pipe {TO_VM1}",
    )
    tcp = TcpConversation(client(ports), End(ports["vm3"], "10.0.0.53", 80))
    tcp.say("S")
    tcp.say("SA", reply=True)
    assert not any(status(net, name)["entries"] for name in HYPERVISORS)
    tcp.say("A")
    offloaded(net, 2, HV1)
    offloaded(net, 1, ["hv2"])
    assert sorted(each.zone for each in connections(net["hv1"])) == [3, 4]
    there, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "vxlan0")
    far = Meter(net["hv2"], "vxlan0")
    for _ in range(4):
        exchange(tcp)
    for meter in (there, back):
        assert meter.used() == {
            (0, "ip", "-trk"): Count(hardware=4),
            (30, "ip", "+trk+est"): Count(hardware=4),
            (31, "ip", "+trk+est"): Count(hardware=4),
        }
    assert far.used()[0, "ip", "-trk"] == Count(hardware=4)
    tcp.say("FA")
    for name in HYPERVISORS:
        offloaded(net, 0, [name])


def test_12_handle_misses_after_executing_ct_action(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """Hardware's chain 0, software's 7 with tunnel and state, then 8; and hardware again."""
    tunnel = f"{FROM_HV2} dst_mac {VM1}"
    add(
        net["hv1"],
        f"vxlan0 chain 0 proto ip flower {tunnel} ct_state -trk "
        "action ct pipe action goto chain 7",
        f"vxlan0 chain 7 proto ip flower skip_hw {tunnel} ct_state +trk+est "
        "action goto chain 8",
        f"vxlan0 chain 8 proto ip flower {tunnel} ct_state +trk+est "
        f"action tunnel_key unset pipe {TO_VM1}",
    )
    datagrams = UdpConversation(client(ports), End(ports["vm3"], "10.0.0.53", 53))
    talk(datagrams)
    offloaded(net, 1, HV1)
    meter = Meter(net["hv1"], "vxlan0")
    for _ in range(3):
        datagrams.say(reply=True)
    assert meter.used() == {
        (0, "ip", "-trk"): Count(hardware=3),
        (7, "ip", "+trk+est"): Count(software=3),
        (8, "ip", "+trk+est"): Count(software=3),
    }
    delete(net["hv1"], "vxlan0", chain=7)
    add(
        net["hv1"],
        f"vxlan0 chain 7 proto ip flower {tunnel} ct_state +trk+est action goto chain 8",
    )
    meter.reset()
    datagrams.say(reply=True)
    assert meter.used() == {
        (0, "ip", "-trk"): Count(hardware=1),
        (7, "ip", "+trk+est"): Count(hardware=1),
        (8, "ip", "+trk+est"): Count(hardware=1),
    }


def test_13_clear_action(net: Testbed, ports: dict[str, Port]) -> None:
    """In front of ct, alone, before another zone's ct, behind all: no state is left over."""
    there, back = (
        "ens1f0_0 chain {0} proto ip flower",
        "ens1f0_1 chain {0} proto ip flower",
    )
    new, est = "ct_state +trk+new action ct commit zone", "ct_state +trk+est"
    add(
        net["hv1"],
        f"{FROM_VM1} action ct clear pipe action goto chain 50",
        f"{there.format(50)} ct_state -trk action ct zone 5 pipe action goto chain 51",
        f"{there.format(51)} {new} 5 mark 5 pipe action ct clear pipe action goto chain 52",
        f"{there.format(51)} {est} ct_mark 5 action ct clear pipe action goto chain 52",
        f"{there.format(52)} ct_state -trk action ct zone 6 pipe action goto chain 53",
        f"{there.format(53)} {new} 6 pipe {TO_VM2}",
        f"{there.format(53)} {est} action ct clear pipe {TO_VM2}",
        # Who is added last comes first.
        f"{there.format(52)} ct_state +trk action drop",
        f"{there.format(52)} ct_mark 5 action drop",
        f"{there.format(53)} ct_mark 5 action drop",
        f"{FROM_VM2} action ct zone 6 pipe action goto chain 50",
        f"{back.format(50)} {est} action ct clear pipe action goto chain 51",
        f"{back.format(51)} ct_state -trk action ct zone 5 pipe action goto chain 52",
        f"{back.format(52)} {est} ct_mark 5 {TO_VM1}",
    )
    datagrams = udp(ports)
    talk(datagrams)
    offloaded(net, 2, HV1)
    asked, answered = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    for _ in range(3):
        exchange(datagrams)
    assert asked.used() == {
        (0, "ip", "-trk"): Count(hardware=3),
        (50, "ip", "-trk"): Count(hardware=3),
        (51, "ip", "+trk+est"): Count(hardware=3),
        (52, "ip", "-trk"): Count(hardware=3),
        (53, "ip", "+trk+est"): Count(hardware=3),
    }
    assert answered.used() == {
        (0, "ip", "-trk"): Count(hardware=3),
        (50, "ip", "+trk+est"): Count(hardware=3),
        (51, "ip", "-trk"): Count(hardware=3),
        (52, "ip", "+trk+est"): Count(hardware=3),
    }
