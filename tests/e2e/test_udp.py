"""UDP: hardware from the first reply on, and software again after a silence."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.state import (
    DEADLINE_S,
    HYPERVISORS,
    Count,
    Meter,
    any_entry,
    connections,
    entries,
    offloaded,
    status,
    until,
)
from tests.e2e.tcp_udp import End, UdpConversation
from tests.e2e.wire import Port, all_ports, inside
from topologies.testbed import Testbed

TIMEOUT_S = 2
families = pytest.mark.parametrize(
    ("client", "server", "protocol", "chain"),
    [("10.0.0.51", "10.0.0.53", "ip", 2), ("fd00::51", "fd00::53", "ipv6", 6)],
    ids=["ipv4", "ipv6"],
)


def conversation(ports: dict[str, Port], client: str, server: str) -> UdpConversation:
    """From vm1 to vm3, between addresses that no kernel answers for."""
    return UdpConversation(
        End(ports["vm1"], client, 40000), End(ports["vm3"], server, 53)
    )


def expect_no_entries(net: Testbed) -> None:
    """No trace of an offloaded connection in hardware, at any hypervisor."""
    for name in HYPERVISORS:
        for table in ("hw_ct", "hw_ct_nat", "ct_age"):
            assert entries(net[name], table) == []
        assert all(each.flag == "" for each in connections(net[name]))


@families
def test_one_way_traffic_is_not_offloaded_until_a_reply(
    net: Testbed,
    ports: dict[str, Port],
    client: str,
    server: str,
    protocol: str,
    chain: int,
) -> None:
    """Questions alone stay in software, +trk+new each; the answer makes the connection."""
    udp = conversation(ports, client, server)
    near, far = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv2"], "vxlan0")
    for _ in range(5):
        udp.say()
    for meter in (near, far):
        assert meter.used() == {
            (0, protocol, "-trk"): Count(software=5),
            (chain, protocol, "+trk+new"): Count(software=5),
        }
    expect_no_entries(net)

    udp.say(reply=True)
    offloaded(net, 1)
    near.reset()
    far.reset()
    back, back_far = Meter(net["hv1"], "vxlan0"), Meter(net["hv2"], "ens1f0_0")
    for _ in range(4):
        udp.say()
        udp.say(reply=True)
    for meter in (near, far, back, back_far):
        assert meter.used() == {
            (0, protocol, "-trk"): Count(hardware=4),
            (chain, protocol, "+trk+est"): Count(hardware=4),
        }
    for name in HYPERVISORS:
        assert len(entries(net[name], "hw_ct")) == 2
        [connection] = connections(net[name])
        assert connection.in_hw and connection.original[:2] == (client, server)


@families
def test_connections_of_one_machine_have_entries_of_their_own(
    net: Testbed,
    ports: dict[str, Port],
    client: str,
    server: str,
    protocol: str,
    chain: int,
) -> None:
    """Ten source ports, ten connections; a datagram of an eleventh is not theirs."""
    for number in range(10):
        udp = UdpConversation(
            End(ports["vm1"], client, 41000 + number), End(ports["vm3"], server, 53)
        )
        udp.say()
        udp.say(reply=True)
    offloaded(net, 10)
    meter = Meter(net["hv1"], "ens1f0_0")
    conversation(ports, client, server).say()
    assert meter.read(chain=0, protocol=protocol, ct_state="-trk") == Count(software=1)
    for name in HYPERVISORS:
        assert len(entries(net[name], "hw_ct")) == 20
        assert len(entries(net[name], "ct_age")) == 10


@pytest.mark.parametrize(
    ("address", "protocol"),
    [("10.0.0.3", "ip"), ("fd00::3", "ipv6")],
    ids=["ipv4", "ipv6"],
)
def test_sockets(net: Testbed, address: str, protocol: str) -> None:
    """Two kernels: a hundred questions of every size, each with its answer, in hardware."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        socket_on(net["vm1"], family) as near,
        socket_on(net["vm3"], family) as far,
    ):
        far.bind(("", 5353))
        near.connect((address, 5353))
        ask(near, far, b"the first question")
        offloaded(net, 1)
        meters = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv2"], "ens1f0_0")
        for length in range(0, 1400, 14):
            ask(near, far, bytes(range(256))[:1] * length)
        for meter in meters:
            assert meter.used()[0, protocol, "-trk"] == Count(hardware=100)


@contextmanager
def socket_on(node: Any, family: int) -> Iterator[socket.socket]:
    """A UDP socket in a machine's network."""
    with inside(node):
        opened = socket.socket(family, socket.SOCK_DGRAM)
    with opened:
        opened.settimeout(DEADLINE_S)
        yield opened


def ask(near: socket.socket, far: socket.socket, question: bytes) -> None:
    """A datagram there, the same one back."""
    near.send(question)
    received, sender = far.recvfrom(65535)
    assert received == question
    far.sendto(received, sender)
    assert near.recv(65535) == question


@pytest.fixture
def short_lived(fresh_net: Callable[..., Testbed]) -> Testbed:
    """A network whose UDP entries live for two seconds."""
    return fresh_net(udp_timeout_s=TIMEOUT_S)


def test_aging(short_lived: Testbed) -> None:
    """Traffic one way keeps an entry, silence ends it, and the next words bring it back."""
    net = short_lived
    with all_ports(net) as ports:
        both = {
            "ip": conversation(ports, "10.0.0.51", "10.0.0.53"),
            "ipv6": conversation(ports, "fd00::51", "fd00::53"),
        }
        for udp in both.values():
            udp.say()
            udp.say(reply=True)
        offloaded(net, 2)
        talk_one_way(net, list(both.values()), 2.5 * TIMEOUT_S)
        expect_to_age(net)
        expect_to_come_back(net, both)


def talk_one_way(
    net: Testbed, conversations: list[UdpConversation], seconds: float
) -> None:
    """Send from the first's client and the second's server alone; no entry may go."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for reply, udp in enumerate(conversations):
            udp.say(reply=bool(reply))
        for name in HYPERVISORS:
            assert status(net, name)["entries_in_hw"] == len(conversations)


def expect_to_age(net: Testbed) -> None:
    """Both hypervisors' entries go, and not before their time; the connections stay."""
    silent_since = time.monotonic()
    until(lambda: not any_entry(net), "aging")
    # What was counted last may be half a second old when OVS looks, and OVS looks once a second.
    assert time.monotonic() - silent_since > TIMEOUT_S - 1.5
    expect_no_entries(net)
    for name in HYPERVISORS:
        assert [each.proto for each in connections(net[name])] == ["udp", "udp"]


def expect_to_come_back(net: Testbed, both: dict[str, UdpConversation]) -> None:
    """One packet in software, established still, then hardware."""
    meter = Meter(net["hv1"], "ens1f0_0")
    for udp in both.values():
        udp.say()
    offloaded(net, 2)
    for protocol in both:
        assert meter.used()[0, protocol, "-trk"] == Count(software=1)
    meter.reset()
    for protocol, udp in both.items():
        udp.say()
        assert meter.used()[0, protocol, "-trk"] == Count(hardware=1)
