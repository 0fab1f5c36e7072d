"""The series patch by patch, 1 to 5: what netfilter and act_ct have of it, on real packets.

Each test has its patch's name. Callbacks beside the driver's are in test_registering.py, patches 6
to 13, the driver's, in test_thirteen_mlx5.py; docs/architecture.md says where each lives.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.e2e.state import (
    Count,
    Meter,
    connections,
    entries,
    offloaded,
    status,
    until,
)
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation
from tests.e2e.typed import add, delete
from tests.e2e.vm1_vm2 import (
    FROM_VM1,
    FROM_VM2,
    HV1,
    TO_VM1,
    TO_VM2,
    est_filter,
    exchange,
    flags,
    nat_filters,
    talk,
    tcp,
    udp,
    zone_filters,
)
from tests.e2e.wire import Port, all_ports
from topologies.testbed import Testbed

CARD = "pci/0000:03:00.0"


def test_01_api_for_registering_to_flow_table_events(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """A zone's first filter in hardware gets the entries there are; the last one takes them."""
    software = [
        line.replace("flower", "flower skip_hw") for line in zone_filters(7, 70)
    ]
    add(net["hv1"], *software, est_filter(70, "skip_hw"))
    talks = [udp(ports, sport) for sport in (4001, 4002, 4003)]
    for each in talks:
        talk(each)
    until(lambda: status(net, "hv1")["entries"] == 3, "three entries, in software")
    assert flags(net["hv1"], 7) == ["OFFLOAD"] * 3
    assert entries(net["hv1"], "hw_ct") == []

    registers = "proto ip flower dst_ip 10.9.9.9 action ct zone 7 pipe action drop"
    add(net["hv1"], f"ens1f0_1 chain 71 {registers}")
    assert flags(net["hv1"], 7) == ["HW_OFFLOAD"] * 3, "and no packet was sent"
    assert len(entries(net["hv1"], "hw_ct")) == 6
    add(net["hv1"], f"ens1f0_0 chain 71 {registers}")
    delete(net["hv1"], "ens1f0_1", chain=71)
    assert flags(net["hv1"], 7) == ["HW_OFFLOAD"] * 3, "another filter holds the zone"

    delete(net["hv1"], "ens1f0_0", chain=71)
    assert flags(net["hv1"], 7) == ["OFFLOAD"] * 3
    assert entries(net["hv1"], "hw_ct") == []
    for each in talks:
        exchange(each)


NAT = {
    "src addr {0}": ({"SRC"}, {"DST"}),
    "src addr {0} port 6000": ({"SRC", "SPORT"}, {"DST", "DPORT"}),
}
ADDRESSES = {
    "ip": ("10.0.0.51", "10.0.0.52", "10.0.0.100"),
    "ipv6": ("fd00::51", "fd00::52", "fd00::100"),
}
REWRITES = {
    "SRC": ("NXM_OF_IP_SRC", "->ipv6_src"),
    "DST": ("NXM_OF_IP_DST", "->ipv6_dst"),
    "SPORT": ("NXM_OF_UDP_SRC", "NXM_OF_TCP_SRC"),
    "DPORT": ("NXM_OF_UDP_DST", "NXM_OF_TCP_DST"),
}


@pytest.mark.parametrize("kind", [TcpConversation, UdpConversation])
@pytest.mark.parametrize("nat", NAT)
@pytest.mark.parametrize("family", ADDRESSES)
def test_02_instantiate_flow_table_entry_actions(
    net: Testbed,
    ports: dict[str, Port],
    family: str,
    nat: str,
    kind: type[TcpConversation | UdpConversation],
) -> None:
    """ct_metadata both ways, mangles of the fields that differ, and right checksums."""
    client, server, translated = ADDRESSES[family]
    add(net["hv1"], *nat_filters(family, nat.format(translated)))
    near = End(ports["vm1"], client, 4000)
    seen = replace(near, ip=translated, number=6000 if "port" in nat else 4000)
    conversation = kind(near, End(ports["vm2"], server, 8080), client_seen=seen)
    talk(conversation)
    offloaded(net, 1, HV1)
    rules = entries(net["hv1"], "hw_ct_nat")
    rewritten = [{name for name in REWRITES if rewrites(rule, name)} for rule in rules]
    assert sorted(map(sorted, rewritten)) == sorted(map(sorted, NAT[nat]))
    for rule in rules:
        for register in ("REG2[16..31]", "REG3[]", "xxreg1", "REG1[0..23]"):
            assert register in rule, "state, mark, label, tuple_id"
    there = Meter(net["hv1"], "ens1f0_0")
    for length in (0, 1, 2, 999):
        exchange(conversation, bytes(length) or b"\xff")
    assert there.read(chain=0, prio=1) == Count(hardware=4)


def rewrites(rule: str, name: str) -> bool:
    """Does a rule's action change that field?"""
    return any(field in rule.partition("actions=")[2] for field in REWRITES[name])


@pytest.mark.parametrize(
    "nat", ["", "nat src addr 10.0.0.100 port 6000"], ids=["plain", "nat"]
)
def test_03_restoring_conntrack_info(
    net: Testbed, ports: dict[str, Port], nat: str
) -> None:
    """Direction, zone, mark and label reach a later chain that is software's, NAT or not."""
    track = f"action ct zone 9 {nat[:3]} pipe action goto chain 90"
    est = "chain 90 proto ip flower ct_state +trk+est"
    state = "ct_zone 9 ct_mark 0x1234 ct_label 00112233445566778899aabbccddee0f"
    add(
        net["hv1"],
        f"{FROM_VM1} {track}",
        "ens1f0_0 chain 90 proto ip flower ct_state +trk+new action ct commit zone 9 "
        f"mark 0x1234 label 00112233445566778899aabbccddee0f {nat} pipe {TO_VM2}",
        f"ens1f0_0 {est}-rpl {state} {TO_VM2}",
        f"{FROM_VM2} {track}",
        f"ens1f0_1 {est}+rpl {state} {TO_VM1}",
    )
    datagrams = udp(ports)
    if nat:
        near = End(ports["vm1"], "10.0.0.51", 4000)
        far = End(ports["vm2"], "10.0.0.52", 53)
        seen = replace(near, ip="10.0.0.100", number=6000)
        datagrams = UdpConversation(near, far, client_seen=seen)
    talk(datagrams)
    offloaded(net, 1, HV1)
    meters = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    for _ in range(3):
        exchange(datagrams)
    for meter in meters:
        assert meter.read(chain=0, prio=1) == Count(hardware=3)
        assert meter.read(chain=90, prio=1) == Count(software=3)
    [connection] = connections(net["hv1"])
    assert connection.in_hw, "it is its own connection, and no other was made"


def test_04_refreshing_the_flow_table_entries(
    fresh_net: Callable[..., Testbed],
) -> None:
    """Hits in software, in either direction alone, keep an entry; silence ends it."""
    net = fresh_net(udp_timeout_s=2, hw_tc_offload=False)
    with all_ports(net) as ports:
        asks, answers, silent = (udp(ports, sport) for sport in (4001, 4002, 4003))
        for each in (asks, answers, silent):
            talk(each)
        until(lambda: status(net, "hv1")["entries"] == 3, "three entries")

        def silent_alone_is_gone() -> bool:
            asks.say()
            answers.say(reply=True)
            return bool(status(net, "hv1")["entries"] == 2)

        until(silent_alone_is_gone, "the silent one aged")
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert silent_alone_is_gone()
    until(lambda: not status(net, "hv1")["entries"], "all aged")


def test_04_what_hardware_lost_is_offered_again(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """An entry whose rules somebody took out of the card goes on in software, and comes back."""
    datagrams = udp(ports)
    talk(datagrams)
    offloaded(net, 1, HV1)
    net["hv1"].must(*"ovs-ofctl -O OpenFlow13 del-flows br-int table=ct_age".split())
    why = "hardware evicted it: its next packet offers it"
    until(lambda: status(net, "hv1")["refused_by_hardware"].get(why) == 1, "eviction")
    assert entries(net["hv1"], "hw_ct") == []

    def back_in_hardware() -> bool:
        exchange(datagrams)
        return bool(status(net, "hv1")["entries_in_hw"])

    until(back_in_hardware, "the connection in hardware again")
    meter = Meter(net["hv1"], "ens1f0_0")
    exchange(datagrams)
    assert meter.read(chain=0, protocol="ip", ct_state="-trk") == Count(hardware=1)


@pytest.fixture
def card(net: Testbed) -> Iterator[Callable[[str, int], None]]:
    """Set how hv1's card works; it works as before afterwards."""

    def param(name: str, value: int) -> None:
        words = f"dev param set {CARD} name {name} value {value} cmode runtime"
        net["hv1"].must("devlink", *words.split())

    yield param
    param("ct_insert_latency_us", 0)
    param("ct_insert_failure_percent", 0)


def test_05_hardware_offload_of_entries(
    net: Testbed, ports: dict[str, Port], card: Callable[[str, int], None]
) -> None:
    """Asynchronous, a call a direction, failures counted and shown; traffic never waits."""
    card("ct_insert_latency_us", 60_000_000)
    slow = tcp(ports)
    talk(slow)
    until(lambda: status(net, "hv1")["entries"] == 1, "an entry")
    meter = Meter(net["hv1"], "ens1f0_0")
    for _ in range(5):
        exchange(slow)
    assert meter.read(chain=0, protocol="ip", ct_state="-trk") == Count(software=5)
    assert flags(net["hv1"], 0) == ["OFFLOAD"]
    assert "its insertion into hardware is under way" in net["hv1"].must("why-not")

    card("ct_insert_latency_us", 0)
    card("ct_insert_failure_percent", 100)
    failing = udp(ports, 4001)
    talk(failing)
    failed = "the card failed to insert a rule"
    until(lambda: status(net, "hv1")["refused_by_hardware"].get(failed), "a failure")
    exchange(failing)
    assert failed in net["hv1"].must("why-not", "reasons")
    assert entries(net["hv1"], "hw_ct") == [], "nor the direction that did not fail"

    card("ct_insert_failure_percent", 0)
    talk(udp(ports, 4002))
    until(lambda: len(rules_of(net, 4002)) == 2, "the next one in hardware, both ways")


def rules_of(net: Testbed, port: int) -> list[str]:
    """What hv1's ct table has of a client's port."""
    return [
        rule
        for rule in entries(net["hv1"], "hw_ct")
        if re.search(rf"tp_(src|dst)={port}\b", rule)
    ]
