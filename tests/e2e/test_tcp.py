"""TCP: the handshake in software, the bulk in hardware, FIN and RST in software again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

import pytest

from tests.e2e.state import (
    HYPERVISORS,
    Count,
    Meter,
    connections,
    entries,
    offloaded,
    status,
    until,
)
from tests.e2e.tcp_udp import End, TcpConversation, connected, transfer
from tests.e2e.wire import Port
from topologies.testbed import Testbed


@dataclass(frozen=True, slots=True)
class Family:
    """An address family: two addresses of nobody's, a machine's own, and the filters' names."""

    client: str
    server: str
    vm1: str
    vm3: str
    protocol: str
    chain: int


IPV4 = Family("10.0.0.51", "10.0.0.53", "10.0.0.1", "10.0.0.3", "ip", 2)
IPV6 = Family("fd00::51", "fd00::53", "fd00::1", "fd00::3", "ipv6", 6)
families = pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])


def conversation(ports: dict[str, Port], family: Family) -> TcpConversation:
    """From vm1 to vm3, between addresses that no kernel answers for."""
    return TcpConversation(
        End(ports["vm1"], family.client, 40000), End(ports["vm3"], family.server, 80)
    )


class Meters:
    """Both directions at both hypervisors: what chain 0 and the chain after ct counted."""

    def __init__(self, net: Testbed, family: Family) -> None:
        self.family = family
        there = [Meter(net["hv1"], "ens1f0_0"), Meter(net["hv2"], "vxlan0")]
        back = [Meter(net["hv2"], "ens1f0_0"), Meter(net["hv1"], "vxlan0")]
        self.directions = (there, back)

    def reset(self) -> None:
        """Count from here."""
        for meter in (*self.directions[0], *self.directions[1]):
            meter.reset()

    def expect(self, there: Count, back: Count) -> None:
        """Compare chain 0's counters, at each hypervisor on the way."""
        for meters, expected in zip(self.directions, (there, back), strict=True):
            for meter in meters:
                counted = meter.used()
                assert (
                    counted.get((0, self.family.protocol, "-trk"), Count()) == expected
                )

    def expect_established(self, there: Count, back: Count) -> None:
        """Compare the counters of +trk+est."""
        for meters, expected in zip(self.directions, (there, back), strict=True):
            for meter in meters:
                name = (self.family.chain, self.family.protocol, "+trk+est")
                assert meter.used().get(name, Count()) == expected


def copies(net: Testbed) -> list[dict[str, int]]:
    """The packets that each hypervisor has copied to act_ct."""
    return [dict(status(net, name)["copies"]) for name in HYPERVISORS]


def expect_no_entries(net: Testbed) -> None:
    """No trace of an offloaded connection, anywhere."""
    for name in HYPERVISORS:
        for table in ("hw_ct", "hw_ct_nat", "ct_age"):
            assert entries(net[name], table) == []
        assert [each.flag for each in connections(net[name])] in ([], [""])
        assert status(net, name)["entries"] == 0


def expect_entry(net: Testbed, family: Family) -> None:
    """One connection in hardware, at both hypervisors: two rules, one age, one flag."""
    for name in HYPERVISORS:
        rules = entries(net[name], "hw_ct")
        assert len(rules) == 2
        assert all("tcp_flags=-fin-rst" in rule for rule in rules)
        assert sum(f"tp_src={40000}" in rule for rule in rules) == 1
        assert sum(f"tp_dst={40000}" in rule for rule in rules) == 1
        assert entries(net[name], "hw_ct_nat") == []
        assert len(entries(net[name], "ct_age")) == 1
        [connection] = connections(net[name])
        assert connection.in_hw
        assert connection.original == (family.client, family.server, 40000, 80)
        assert connection.reply == (family.server, family.client, 80, 40000)


@families
def test_only_the_handshakes_last_ack_offloads(
    net: Testbed, ports: dict[str, Port], family: Family
) -> None:
    """SYN and SYN-ACK do not; what follows the ACK is hardware's, in both directions."""
    tcp, meters, before = conversation(ports, family), Meters(net, family), copies(net)
    tcp.say("S")
    tcp.say("SA", reply=True)
    meters.expect(there=Count(software=1), back=Count(software=1))
    expect_no_entries(net)
    assert copies(net) == before

    tcp.say("A")
    offloaded(net, 1)
    expect_entry(net, family)
    meters.expect(there=Count(software=2), back=Count(software=1))

    meters.reset()
    for number in range(5):
        tcp.say("PA", data=b"question %d" % number)
        tcp.say("PA", reply=True, data=b"answer")
        tcp.say("A")
    meters.expect(there=Count(hardware=10), back=Count(hardware=5))
    meters.expect_established(there=Count(hardware=10), back=Count(hardware=5))


@families
@pytest.mark.parametrize("reply", [False, True], ids=["client", "server"])
def test_fin_goes_to_software_and_tears_down(
    net: Testbed, ports: dict[str, Port], family: Family, reply: bool
) -> None:
    """The first FIN ends the entries; the rest of the closing is software's."""
    tcp = conversation(ports, family)
    tcp.shake_hands()
    offloaded(net, 1)
    meters = Meters(net, family)
    tcp.say("FA", reply=reply)
    offloaded(net, 0)
    expect_no_entries(net)
    tcp.say("FA", reply=not reply)
    tcp.say("A", reply=reply)
    two, one = Count(software=2), Count(software=1)
    meters.expect(there=one if reply else two, back=two if reply else one)
    for name in HYPERVISORS:
        [connection] = connections(net[name])
        assert connection.closed


@families
@pytest.mark.parametrize("reply", [False, True], ids=["client", "server"])
def test_rst_goes_to_software_and_tears_down(
    net: Testbed, ports: dict[str, Port], family: Family, reply: bool
) -> None:
    """The RST arrives, and no entry is left."""
    tcp = conversation(ports, family)
    tcp.shake_hands()
    offloaded(net, 1)
    meters = Meters(net, family)
    tcp.say("RA", reply=reply)
    offloaded(net, 0)
    expect_no_entries(net)
    once, never = Count(software=1), Count()
    meters.expect(there=never if reply else once, back=once if reply else never)


@pytest.mark.datapath("kernel", reason="Open vSwitch's conntrack closes by any RST")
def test_a_rst_beyond_what_conntrack_saw_closes_nothing(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """Hardware had the data before it: conntrack keeps the connection, which is offered again."""
    tcp = conversation(ports, IPV4)
    tcp.shake_hands()
    offloaded(net, 1)
    for _ in range(3):
        tcp.say("PA", data=b"only hardware sees this")
    tcp.say("RA")
    offloaded(net, 0)
    tcp.say("PA", data=b"on it goes")
    offloaded(net, 1)
    tcp.say("FA")
    offloaded(net, 0)


@families
def test_data_after_fin_stays_in_software(
    net: Testbed, ports: dict[str, Port], family: Family
) -> None:
    """A half-closed connection still carries data, and is not offered again."""
    tcp = conversation(ports, family)
    tcp.shake_hands()
    offloaded(net, 1)
    tcp.say("FA")
    offloaded(net, 0)
    meters = Meters(net, family)
    for _ in range(5):
        tcp.say("PA", reply=True, data=b"still here")
        tcp.say("A")
    meters.expect(there=Count(software=5), back=Count(software=5))
    expect_no_entries(net)


@families
def test_a_tuple_is_used_again(
    net: Testbed, ports: dict[str, Port], family: Family
) -> None:
    """After it closed, a connection of the same addresses and ports is offloaded as the first."""
    tcp = conversation(ports, family)
    for _ in range(3):
        tcp.shake_hands()
        offloaded(net, 1)
        meters = Meters(net, family)
        tcp.say("PA", data=b"again")
        meters.expect(there=Count(hardware=1), back=Count())
        tcp.say("FA")
        offloaded(net, 0)
        tcp.say("FA", reply=True)
        tcp.say("A")
        expect_no_entries(net)


@families
def test_content_arrives_whole_both_ways(net: Testbed, family: Family) -> None:
    """Two kernels, their sockets, 2 MB each way over one connection."""
    source = random.Random(1)
    question, answer = source.randbytes(2_000_000), source.randbytes(2_000_000)
    meters = Meters(net, family)
    with connected(net["vm1"], net["vm3"], family.vm3) as (near, far):
        assert transfer(near, far, question) == question
        assert transfer(far, near, answer) == answer
        offloaded(net, 1)
        for meter in (*meters.directions[0], *meters.directions[1]):
            counted = meter.used()[0, family.protocol, "-trk"]
            assert counted.hardware > 500
    offloaded(net, 0)


@families
def test_a_socket_uses_its_port_again(net: Testbed, family: Family) -> None:
    """The same five-tuple three times, as kernels do it."""
    for number in range(3):
        word = b"hello %d" % number
        with connected(net["vm1"], net["vm3"], family.vm3, sport=45000) as (near, far):
            assert transfer(near, far, word) == word
            offloaded(net, 1)
            assert transfer(far, near, word) == word
            far.close()
            assert near.recv(1) == b""
        until(partial(closed, net), "conntrack at both hypervisors saw the closing")
        offloaded(net, 0)


def closed(net: Testbed) -> bool:
    """Has conntrack seen both FINs and both their ACKs, whoever carried them?"""
    listed = [each for name in HYPERVISORS for each in connections(net[name])]
    return [each.closed for each in listed] == [True, True]
