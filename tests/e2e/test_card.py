"""Hardware that is finite and slow: what does not fit or is not there yet stays in software."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.state import Count, Meter, entries, offloaded, refused, status, until
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation
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
    yield net
    resize(net, "ct_rules", 2**22)
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
    set_parameter(card, "ct_insert_latency_us", 0)
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
