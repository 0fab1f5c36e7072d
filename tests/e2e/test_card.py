"""Hardware that is finite and slow: what does not fit or is not there yet stays in software."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.state import (
    Count,
    Meter,
    connections,
    entries,
    filters,
    offloaded,
    refused,
    resources,
    status,
    until,
)
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation
from tests.e2e.typed import add, delete
from tests.e2e.wire import Port, all_ports
from topologies.errors import ControlFailed
from topologies.testbed import Testbed

CARD = "pci/0000:03:00.0"
HV1 = ["hv1"]


def resize(net: Testbed, name: str, size: int) -> None:
    words = f"devlink resource set {CARD} path {name} size {size}"
    assert net["hv1"].must(*words.split()) == ""


def set_parameter(net: Testbed, name: str, value: int) -> None:
    words = f"devlink dev param set {CARD} name {name} value {value} cmode runtime"
    assert net["hv1"].must(*words.split()) == ""


@pytest.fixture
def card(net: Testbed) -> Iterator[Testbed]:
    """The module's network, whose card is put back afterwards."""
    before = resources(net["hv1"])
    yield net
    for name, (size, _) in resources(net["hv1"]).items():
        if size != before[name][0]:
            resize(net, name, before[name][0])
    set_parameter(net, "ct_insert_latency_us", 0)
    set_parameter(net, "ct_insert_failure_percent", 0)


def conversation(ports: dict[str, Port], number: int) -> UdpConversation:
    """From vm1 to vm2, which one hypervisor sees."""
    client = End(ports["vm1"], "10.0.0.51", 40000 + number)
    return UdpConversation(client, End(ports["vm2"], "10.0.0.52", 53))


def talk(udp: UdpConversation) -> None:
    udp.say()
    udp.say(reply=True)


def test_a_full_table_and_then_room_again(
    card: Testbed, ports: dict[str, Port]
) -> None:
    """Three connections, room for two: the third comes in when a fourth of the room is back."""
    resize(card, "ct_rules", 4)
    talks = [conversation(ports, number) for number in range(3)]
    for udp in talks:
        talk(udp)
    until(lambda: status(card, "hv1")["entries"] == 3, "three entries")
    offloaded(card, 2, HV1)
    assert len(entries(card["hv1"], "hw_ct")) == 4
    meter = Meter(card["hv1"], "ens1f0_0")
    talk(talks[2])
    assert meter.read(chain=0, protocol="ip", ct_state="-trk") == Count(software=1)
    resize(card, "ct_rules", 6)

    def third_is_in() -> bool:
        talk(talks[2])
        return bool(status(card, "hv1")["entries_in_hw"] == 3)

    until(third_is_in, "the third connection in hardware")
    meter.reset()
    talk(talks[2])
    assert meter.read(chain=0, protocol="ip", ct_state="-trk") == Count(hardware=1)


def test_one_direction_refused_is_rolled_back(
    card: Testbed, ports: dict[str, Port]
) -> None:
    resize(card, "ct_rules", 1)
    talk(conversation(ports, 0))
    until(lambda: status(card, "hv1")["entries"] == 1, "an entry")
    for table in ("hw_ct", "hw_ct_nat", "ct_age"):
        assert entries(card["hv1"], table) == []
    refusals = status(card, "hv1")["refused_by_hardware"]
    assert refusals["no room: all 1 ct_rules are in use"] == 1


@pytest.mark.parametrize("closing", ["FA", "RA"])
def test_slow_insertion_leaves_nothing_stale(
    card: Testbed, ports: dict[str, Port], closing: str
) -> None:
    """200 ms pass while data and a FIN or RST fly by: nothing is lost, nothing is left."""
    set_parameter(card, "ct_insert_latency_us", 200_000)
    client = End(ports["vm1"], "10.0.0.51", 4000)
    tcp = TcpConversation(client, End(ports["vm2"], "10.0.0.52", 80))
    tcp.shake_hands()
    for _ in range(5):
        tcp.say("PA", data=b"there")
        tcp.say("PA", reply=True, data=b"back")
    tcp.say(closing)
    until(lambda: status(card, "hv1")["copies"].get("closing"), "the end was seen")
    # Its insertion is due behind the other's.
    lasting = conversation(ports, 9)
    talk(lasting)
    offloaded(card, 1, HV1)
    assert len(entries(card["hv1"], "hw_ct")) == 2, "of the other connection"


def test_slow_insertion_is_used_when_it_is_there(
    card: Testbed, ports: dict[str, Port]
) -> None:
    set_parameter(card, "ct_insert_latency_us", 200_000)
    udp = conversation(ports, 0)
    talk(udp)
    offloaded(card, 1, HV1)
    meter = Meter(card["hv1"], "ens1f0_0")
    talk(udp)
    assert meter.read(chain=0, protocol="ip", ct_state="-trk") == Count(hardware=1)


def test_failed_insertions_are_tried_again(
    card: Testbed, ports: dict[str, Port]
) -> None:
    set_parameter(card, "ct_insert_failure_percent", 100)
    udp = conversation(ports, 0)
    talk(udp)
    until(lambda: status(card, "hv1")["refused_by_hardware"], "a failure")
    assert status(card, "hv1")["entries_in_hw"] == 0
    set_parameter(card, "ct_insert_failure_percent", 0)

    def in_hardware() -> bool:
        talk(udp)
        return bool(status(card, "hv1")["entries_in_hw"] == 1)

    until(in_hardware, "the connection in hardware")


IDS = {
    "tunnel_ids": "vxlan0 chain 0 proto ip flower enc_src_ip 7.7.7.8 enc_dst_ip 7.7.7.7 "
    "enc_key_id {0} enc_dst_port 4789 {1} action drop",
    "zone_ids": "ens1f0_0 chain 0 proto ip flower dst_ip 10.9.0.{0} {1} "
    "action ct zone 9{0} pipe action drop",
    "fte_ids": "ens1f0_0 chain 0 proto ip flower dst_ip 10.9.0.{0} {1} "
    "action ct zone 9 pipe action drop",
}


@pytest.mark.parametrize("resource", IDS)
def test_ids_run_out_and_there_is_room_again(card: Testbed, resource: str) -> None:
    """Two filters that need an id each, and one is free; the second fits when the first is gone."""
    hv1, line = card["hv1"], IDS[resource]
    device = line.partition(" ")[0]
    _, held = resources(card["hv1"])[resource]
    resize(card, resource, held + 1)
    add(hv1, line.format(1, ""))
    second = line.format(2, "verbose").removeprefix(device)
    said = hv1.cmd(f"tc filter add dev {device} ingress prio 1 {second}")
    what = resource.removesuffix("s").replace("_", " ")
    assert f"no {what} is free: all {held + 1} are in use" in said
    in_hw = [each.in_hw for each in filters(hv1, device) if each.prio == 1]
    assert in_hw == [True, False]

    def fits() -> bool:
        delete(hv1, device, chain=0)
        add(hv1, line.format(2, ""))
        return all(each.in_hw for each in filters(hv1, device) if each.prio == 1)

    until(fits, "the first one's id is free again")


def test_tuple_ids_run_out(card: Testbed, ports: dict[str, Port]) -> None:
    """A direction takes one; a connection that finds none stays in software until there is."""
    _, held = resources(card["hv1"])["tuple_ids"]
    resize(card, "tuple_ids", held + 2)
    first, second = conversation(ports, 0), conversation(ports, 1)
    talk(first)
    offloaded(card, 1, HV1)
    talk(second)
    full = f"no room: all {held + 2} tuple_ids are in use"
    until(lambda: full in card["hv1"].must("why-not"), "the second one is refused")
    gone = "conntrack -D -p udp -s 10.0.0.51 --sport 40000"
    card["hv1"].must(*gone.split())

    def second_is_in() -> bool:
        talk(second)
        return [each.in_hw for each in connections(card["hv1"])] == [True]

    until(second_is_in, "the second one in hardware")


def test_nonsense_is_refused(net: Testbed) -> None:
    words = f"devlink resource set {CARD} path ct_rulez size 4"
    failure = refused(net["hv1"], *words.split())
    assert "the card has no ct_rulez: there are ct_rules, " in str(failure)


def test_a_card_may_be_small_from_the_start(
    fresh_net: Callable[..., Testbed],
) -> None:
    net = fresh_net(card={"ct_rules": 2})
    with all_ports(net) as ports:
        for number in range(2):
            talk(conversation(ports, number))
        until(lambda: status(net, "hv1")["entries"] == 2, "two entries")
        assert status(net, "hv1")["entries_in_hw"] == 1


def test_a_card_of_nonsense_is_no_network(fresh_net: Callable[..., Testbed]) -> None:
    with pytest.raises(ControlFailed, match="the card has no rules: there are"):
        fresh_net(card={"rules": 2})
