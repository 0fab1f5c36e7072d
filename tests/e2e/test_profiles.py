"""Two generations of driver and kernel: the same commands and packets, other outcomes.

net, profile    a network of each generation, which all tests share, and its name
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

import topologies
from tests.e2e.state import (
    Count,
    Meter,
    connections,
    filters,
    offloaded,
    put_back,
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
    VM1,
    VM2,
    client,
    est_filter,
    exchange,
    flags,
    nat_filters,
    talk,
    tcp,
    udp,
    zone_filters,
)
from tests.e2e.wire import Port, deliver
from topologies.errors import BadOption
from topologies.testbed import Testbed
from topologies.two_hypervisors import TwoHypervisors

CARD = "pci/0000:03:00.0"
SERIES, LATER = "mlx5-5.7", "mlx5-6.1"
WRITE = "action pedit ex munge ip dst set 10.0.0.52 pipe action csum ip4h and udp pipe"
GOTOS = {SERIES: 4, LATER: 16}


@pytest.fixture(scope="module", params=GOTOS)
def profiled(request: pytest.FixtureRequest) -> Iterator[tuple[str, Testbed]]:
    """A generation's name, and a network of it."""
    with topologies.running(TwoHypervisors(), profile=request.param) as net:
        assert status(net, "hv1")["profile"] == request.param
        yield request.param, net


@pytest.fixture
def profile(profiled: tuple[str, Testbed]) -> str:
    return profiled[0]


@pytest.fixture
def net(profiled: tuple[str, Testbed]) -> Testbed:
    put_back(profiled[1])
    return profiled[1]


def chains(length: int) -> list[str]:
    """A packet of vm1's to vm2 follows so many gotos, in software, and is delivered."""
    ours = f"flower skip_hw src_mac {VM1} dst_mac {VM2}"
    lines = [f"ens1f0_0 chain 0 proto ip {ours} action goto chain 101"]
    for chain in range(101, 100 + length):
        lines.append(
            f"ens1f0_0 chain {chain} proto ip flower skip_hw action goto chain {chain + 1}"
        )
    last = 100 + length
    return [*lines, f"ens1f0_0 chain {last} proto ip flower skip_hw {TO_VM2}"]


def test_gotos_have_a_limit(net: Testbed, ports: dict[str, Port], profile: str) -> None:
    """As many as a packet may follow, and then one more: dropped there."""
    limit = GOTOS[profile]
    datagrams = udp(ports)
    add(net["hv1"], *chains(limit))
    datagrams.say()
    meter = Meter(net["hv1"], "ens1f0_0")
    delete(net["hv1"], "ens1f0_0", chain=100 + limit)
    add(net["hv1"], *chains(limit + 1)[-2:])
    ports["vm1"].send(datagrams.datagram())
    meter.reset()
    ports["vm1"].send(datagrams.datagram())
    assert meter.read(chain=100 + limit) == Count(software=1)
    assert meter.read(chain=101 + limit) == Count()


def test_hardware_matches_replies_in_the_later_one(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """Each direction meets its own filter; the earlier one leaves that to software."""
    track = "action ct zone 3 pipe action goto chain 30"
    add(
        net["hv1"],
        f"{FROM_VM1} {track}",
        "ens1f0_0 chain 30 proto ip flower ct_state +trk+new "
        f"action ct commit zone 3 pipe {TO_VM2}",
        "ens1f0_0 chain 30 proto ip flower ct_state +trk+est+rpl action drop",
        f"ens1f0_0 chain 30 proto ip flower ct_state +trk+est-rpl {TO_VM2}",
        f"{FROM_VM2} {track}",
        "ens1f0_1 chain 30 proto ip flower ct_state +trk+est-rpl action drop",
        f"ens1f0_1 chain 30 proto ip flower ct_state +trk+est+rpl {TO_VM1}",
    )
    one = tcp(ports)
    talk(one)
    offloaded(net, 1, HV1)
    meters = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    for _ in range(3):
        exchange(one)
    three = Count(hardware=3) if profile == LATER else Count(software=3)
    asked, answered = meters
    assert asked.read(chain=30, ct_state="+trk+est-rpl") == three
    assert answered.read(chain=30, ct_state="+trk+est+rpl") == three
    assert [each.read(chain=0, prio=1) for each in meters] == [Count(hardware=3)] * 2


def test_an_unknown_one_is_refused_before_anything_is_built() -> None:
    with pytest.raises(
        BadOption, match="no profile 'mlx4': there are mlx5-5.7, mlx5-6.1"
    ):
        with topologies.running(TwoHypervisors(), profile="mlx4"):
            pass


def test_udp_is_offloaded_by_a_reply_or_step_by_step(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """Later: in the flow table by its commit, then one way, then both."""
    datagrams = udp(ports)
    there, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    datagrams.say()
    if profile == SERIES:
        assert status(net, "hv1")["entries"] == 0
        datagrams.say(reply=True)
        offloaded(net, 1, HV1)
        return
    until(lambda: status(net, "hv1")["entries"] == 1, "an entry by the commit")
    assert status(net, "hv1")["entries_in_hw"] == 0
    datagrams.say(reply=True)
    offloaded(net, 1, HV1)
    there.reset()
    back.reset()
    exchange(datagrams)
    assert there.read(chain=0, protocol="ip") == Count(hardware=1)
    assert back.read(chain=0, protocol="ip") == Count(software=1)
    assert "its replies are not: not assured yet" in net["hv1"].must("why-not")
    until(partial(reply_in_hardware, datagrams, back), "both ways in hardware")


def reply_in_hardware(datagrams: UdpConversation, back: Meter) -> bool:
    """Does another reply pass in hardware?"""
    back.reset()
    datagrams.say(reply=True)
    return back.read(chain=0, protocol="ip") == Count(hardware=1)


def test_the_later_one_takes_tcp_when_it_is_assured(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """Picked up in its middle, its first answer makes it established, the next word assured."""
    one = tcp(ports)
    one.say("PA", data=b"in the middle")
    before = status(net, "hv1")["copies"].get("offer", 0)
    one.say("PA", reply=True, data=b"established")
    if profile == LATER:
        assert status(net, "hv1")["copies"].get("offer", 0) == before
        assert "not assured yet" in net["hv1"].must("why-not")
        one.say("PA", data=b"assured")
    offloaded(net, 1, HV1)


def test_a_commit_offers_in_the_later_one(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """Filters that do nothing but commit: later kernels offload what they see established."""
    commit = "action ct commit zone 3 pipe"
    add(net["hv1"], f"{FROM_VM1} {commit} {TO_VM2}", f"{FROM_VM2} {commit} {TO_VM1}")
    one = tcp(ports)
    talk(one)
    exchange(one)
    if profile == SERIES:
        [connection] = connections(net["hv1"], "-w", "3")
        assert connection.flag == ""
        assert status(net, "hv1")["entries"] == 0
        return
    offloaded(net, 1, HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    exchange(one)
    assert meter.read(chain=0, prio=1) == Count(hardware=1)


def test_a_second_lookup_of_what_was_translated(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """The later one passes the zone's table by; for the earlier one it is another tuple."""
    there, new, est, *back = nat_filters("ip", "src addr 10.0.0.100")
    again = est.replace(TO_VM2, "action ct zone 5 nat pipe action goto chain 51")
    add(net["hv1"], there, new, again, *back)
    add(net["hv1"], est.replace("chain 50", "chain 51"))
    far = End(ports["vm2"], "10.0.0.52", 53)
    seen = replace(client(ports), ip="10.0.0.100")
    datagrams = UdpConversation(client(ports), far, client_seen=seen)
    talk(datagrams)
    offloaded(net, 1, HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    for _ in range(3):
        datagrams.say()
    hits, software = Count(hardware=3), Count(software=3)
    assert meter.read(chain=50, prio=1) == (hits if profile == LATER else software)
    assert meter.read(chain=51, prio=1) == (hits if profile == LATER else software)


def test_what_is_invalid(net: Testbed, ports: dict[str, Port], profile: str) -> None:
    """A RST of nothing: untracked behind ct in the series, later +trk+inv and with its zone."""
    chain = "ens1f0_0 chain 30 proto ip flower"
    add(
        net["hv1"],
        f"{FROM_VM1} action ct zone 3 pipe action goto chain 30",
        f"{chain} ct_state -trk {TO_VM2}",
        f"{chain} ct_state +trk+inv ct_zone 3 {TO_VM2}",
    )
    meter = Meter(net["hv1"], "ens1f0_0")
    deliver(tcp(ports).segment("R"), ports["vm1"], ports["vm2"])
    invalid = "+trk+inv" if profile == LATER else "-trk"
    assert meter.used() == {
        (0, "ip", "-trk"): Count(software=1),
        (30, "ip", invalid): Count(software=1),
    }


def test_into_another_devices_ingress(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """The series takes a packet's connection along; later it comes in without."""
    mirred = "action mirred ingress redirect dev ens1f0_1"
    add(
        net["hv1"],
        f"{FROM_VM1} action ct commit zone 3 pipe {mirred}",
        f"ens1f0_1 chain 0 proto ip flower src_mac {VM1} ct_state -trk {TO_VM2}",
        f"ens1f0_1 chain 0 proto ip flower src_mac {VM1} ct_state +trk {TO_VM2}",
    )
    meter = Meter(net["hv1"], "ens1f0_1")
    udp(ports).say()
    state = "+trk" if profile == SERIES else "-trk"
    assert meter.used() == {(0, "ip", state): Count(software=1)}


def test_a_tuple_is_not_written_where_it_is_needed(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """Beside ct by neither; of what is tracked not by the one that restores by it."""
    here = f"chain 0 proto ip flower verbose ip_proto udp src_mac {VM1}"
    beside = net["hv1"].cmd(
        f"tc filter add dev ens1f0_0 ingress prio 1 {here} dst_ip 10.9.9.8 "
        f"action ct zone 3 pipe {WRITE} {TO_VM2}"
    )
    assert "can't offload re-write of ipv4 address with action ct" in beside
    tracked = net["hv1"].cmd(
        f"tc filter add dev ens1f0_0 ingress prio 1 {here} dst_ip 10.9.9.8 "
        f"ct_state +trk {WRITE} {TO_VM2}"
    )
    refused = "can't offload tuple modification with ct matches and no ct(clear) action"
    assert (refused in tracked) == (profile == LATER)


def test_a_tracked_packet_whose_tuple_is_written(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """By a filter that does not ask for ct_state: the later one has software do it."""
    to_31 = "action goto chain 31"
    lines = [each.replace(TO_VM2, to_31) for each in zone_filters(3, 30)]
    add(
        net["hv1"],
        *[*lines, est_filter(30).replace(TO_VM2, to_31)],
        f"ens1f0_0 chain 31 proto ip flower ip_proto udp {WRITE} {TO_VM2}",
    )
    datagrams = udp(ports)
    talk(datagrams)
    offloaded(net, 1, HV1)
    [writes] = [e for e in filters(net["hv1"], "ens1f0_0") if e.chain == 31]
    assert writes.in_hw
    meter = Meter(net["hv1"], "ens1f0_0")
    for _ in range(3):
        datagrams.say()
    assert meter.read(chain=30, ct_state="+trk+est") == Count(hardware=3)
    hits, software = Count(hardware=3), Count(software=3)
    assert meter.read(chain=31) == (software if profile == LATER else hits)


LABEL = "00112233445566778899aabbccddee0f"


def test_hardware_matches_whole_labels_in_the_later_one(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """Of the series' register there are 32 bits; later each label has an id."""
    est = f"ct_state +trk+est ct_label {LABEL} {TO_VM2}"
    add(
        net["hv1"],
        *zone_filters(3, 30, f"label {LABEL}"),
        f"ens1f0_0 chain 30 proto ip flower {est}",
    )
    datagrams = udp(ports)
    talk(datagrams)
    offloaded(net, 1, HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    datagrams.say()
    once = Count(hardware=1) if profile == LATER else Count(software=1)
    assert meter.read(chain=30, ct_state="+trk+est") == once


def test_label_ids_run_out_in_the_later_one(
    net: Testbed, ports: dict[str, Port], profile: str
) -> None:
    """One id for two labels: the second connection waits in software until it is free."""
    add(
        net["hv1"],
        *zone_filters(3, 30, "label 01", match="src_ip 10.0.0.51"),
        *zone_filters(4, 40, "label 02", match="src_ip 10.0.0.61"),
        *(est_filter(30), est_filter(40)),
    )
    until(lambda: not label_ids(net), "no id rests from an earlier test")
    resize_labels(net, 1)
    far = End(ports["vm2"], "10.0.0.52", 80)
    first = TcpConversation(client(ports), far)
    second = TcpConversation(End(ports["vm1"], "10.0.0.61", 4000), far)
    talk(first)
    talk(second)
    until(lambda: status(net, "hv1")["entries"] == 2, "two entries")
    why = "no label id is free: all 1 are in use"
    assert (why in net["hv1"].must("why-not")) == (profile == LATER)
    assert flags(net["hv1"], 4) == [
        "OFFLOAD" if profile == LATER else "HW_OFFLOAD"
    ], "the series has the label itself in its register"
    first.say("FA")

    def second_is_in() -> bool:
        exchange(second)
        return flags(net["hv1"], 4) == ["HW_OFFLOAD"]

    until(second_is_in, "the label id's grace is over")
    resize_labels(net, 2**32 - 1)


def resize_labels(net: Testbed, size: int) -> None:
    words = f"devlink resource set {CARD} path label_ids size {size}"
    net["hv1"].must(*words.split())


def label_ids(net: Testbed) -> int:
    """How many label ids are in use or rest."""
    shown = net["hv1"].must("devlink", "resource", "show", CARD)
    return int(re.findall(r"name label_ids .* occ (\d+)", shown)[0])
