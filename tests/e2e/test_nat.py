"""NAT: first in software, then in hardware with the same result, checksums and all.

vm1 10.0.0.51 --ens1f0_0--> hv1 --ens1f0_1--> vm2 10.0.0.52
                   10.0.0.100 seen for the source, or asked for as the destination
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.e2e.state import Count, Meter, connections, entries, offloaded
from tests.e2e.tcp_udp import (
    Conversation,
    End,
    TcpConversation,
    UdpConversation,
    connected,
    transfer,
)
from tests.e2e.typed import add
from tests.e2e.vm1_vm2 import IPV4, VM1, Family, exchange, families, nat_filters, talk
from tests.e2e.wire import Port, parsed
from topologies.testbed import Testbed

protocols = pytest.mark.parametrize("kind", [TcpConversation, UdpConversation])


def expect_hardware_translates(net: Testbed, conversation: Conversation) -> None:
    """In software, then in hardware by hw_ct_nat; every packet as it should be."""
    there, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    talk(conversation)
    offloaded(net, 1, ["hv1"])
    asked = 2 if isinstance(conversation, TcpConversation) else 1
    assert there.read(prio=1, chain=0) == Count(software=asked)
    assert back.read(prio=1, chain=0) == Count(software=1)
    assert len(entries(net["hv1"], "hw_ct_nat")) == 2
    assert entries(net["hv1"], "hw_ct") == []
    there.reset()
    back.reset()
    for length in range(1, 21):
        exchange(conversation, bytes(range(length)))
    for meter in (there, back):
        assert meter.read(prio=1, chain=0) == Count(hardware=20)
        assert meter.read(prio=1, chain=50, ct_state="+trk+est") == Count(hardware=20)


def ends(ports: dict[str, Port], family: Family) -> tuple[End, End]:
    """The client at vm1, the server at vm2."""
    client = End(ports["vm1"], family.client, 4000)
    return client, End(ports["vm2"], family.server, 8080)


@families
@protocols
def test_source_address(
    net: Testbed,
    ports: dict[str, Port],
    family: Family,
    kind: type[TcpConversation | UdpConversation],
) -> None:
    """The server sees another address, and answers to that."""
    add(net["hv1"], *nat_filters(family.protocol, f"src addr {family.translated}"))
    client, server = ends(ports, family)
    seen = replace(client, ip=family.translated)
    expect_hardware_translates(net, kind(client, server, client_seen=seen))
    [connection] = connections(net["hv1"], "-w", "5")
    assert connection.in_hw
    assert connection.original == (family.client, family.server, 4000, 8080)
    assert connection.reply == (family.server, family.translated, 8080, 4000)


@families
@protocols
def test_source_address_and_port(
    net: Testbed,
    ports: dict[str, Port],
    family: Family,
    kind: type[TcpConversation | UdpConversation],
) -> None:
    """The port as well: a UDP header's, not a TCP header's, for UDP."""
    nat = f"src addr {family.translated} port 6000"
    add(net["hv1"], *nat_filters(family.protocol, nat))
    client, server = ends(ports, family)
    seen = replace(client, ip=family.translated, number=6000)
    expect_hardware_translates(net, kind(client, server, client_seen=seen))


@families
@protocols
def test_destination_address_and_port(
    net: Testbed,
    ports: dict[str, Port],
    family: Family,
    kind: type[TcpConversation | UdpConversation],
) -> None:
    """The client speaks to an address that is nobody's; its answers come from there."""
    nat = f"dst addr {family.server} port 8080"
    add(net["hv1"], *nat_filters(family.protocol, nat))
    client, server = ends(ports, family)
    seen = replace(server, ip=family.translated, number=80)
    expect_hardware_translates(net, kind(client, server, server_seen=seen))


@families
@pytest.mark.parametrize("nat", ["src addr {0}", "dst addr {0} port 8080"])
def test_a_reply_offers_a_translated_connection(
    net: Testbed, ports: dict[str, Port], family: Family, nat: str
) -> None:
    """A question and an answer: the answer is translated, and its tuple known."""
    away = family.translated if nat.startswith("src") else family.server
    add(net["hv1"], *nat_filters(family.protocol, nat.format(away)))
    client, server = ends(ports, family)
    udp = UdpConversation(client, server, client_seen=replace(client, ip=away))
    if nat.startswith("dst"):
        seen = replace(server, ip=family.translated, number=80)
        udp = UdpConversation(client, server, server_seen=seen)
    udp.say()
    udp.say(reply=True)
    offloaded(net, 1, ["hv1"])
    there, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    udp.say()
    udp.say(reply=True)
    for meter in (there, back):
        assert meter.read(prio=1, chain=0) == Count(hardware=1)


@families
@pytest.mark.parametrize("nat", ["src addr {0}", "dst addr {0} port 8080"])
def test_a_translated_packet_that_misses_later_has_its_connection_back(
    net: Testbed, ports: dict[str, Port], family: Family, nat: str
) -> None:
    """Hit and translated in hardware, then a filter of software's that commits a mark."""
    away = family.translated if nat.startswith("src") else family.server
    lines = nat_filters(family.protocol, nat.format(away))
    mark = "action ct commit zone 5 mark 7 pipe"
    for established in (2, 4):
        lines[established] = lines[established].replace("action", f"{mark} action", 1)
    add(net["hv1"], *lines)
    client, server = ends(ports, family)
    udp = UdpConversation(client, server, client_seen=replace(client, ip=away))
    if nat.startswith("dst"):
        seen = replace(server, ip=family.translated, number=80)
        udp = UdpConversation(client, server, server_seen=seen)
    talk(udp)
    offloaded(net, 1, ["hv1"])
    there, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    for _ in range(3):
        exchange(udp, b"data")
    for meter in (there, back):
        assert meter.read(prio=1, chain=0) == Count(hardware=3)
        assert meter.read(prio=1, chain=50, ct_state="+trk+est") == Count(software=3)
    [connection] = connections(net["hv1"], "-w", "5")
    assert connection.mark == 7 and connection.in_hw


def test_fin_is_translated_too(net: Testbed, ports: dict[str, Port]) -> None:
    """It goes to software with the entry's end, and arrives as the others did."""
    add(net["hv1"], *nat_filters("ip", "src addr 10.0.0.100"))
    client, server = ends(ports, IPV4)
    tcp = TcpConversation(client, server, client_seen=replace(client, ip="10.0.0.100"))
    tcp.shake_hands()
    offloaded(net, 1, ["hv1"])
    tcp.say("FA")
    offloaded(net, 0, ["hv1"])
    tcp.say("FA", reply=True)
    tcp.say("A")
    assert entries(net["hv1"], "hw_ct_nat") == []


def test_each_direction_is_translated_by_its_own_filter(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """A way back whose ``ct`` has no ``nat`` leaves the reply as the server sent it."""
    add(net["hv1"], *nat_filters("ip", "src addr 10.0.0.100", back="ct zone 5"))
    client, server = ends(ports, IPV4)
    seen = replace(client, ip="10.0.0.100")
    udp = UdpConversation(client, server, client_seen=seen)
    udp.say()
    for _ in range(2):
        server.port.send(server.packet(seen, UdpConversation.layer(server, seen), b"?"))
        arrived = client.port.take(lambda frame: frame.endswith(b"?"), "the reply")
        assert parsed(arrived)["IP"].dst == "10.0.0.100"
        udp.say()


def test_sockets(net: Testbed) -> None:
    """Two kernels: the server sees the translated address, and the bytes are the same."""
    add(net["hv1"], *nat_filters("ip", "src addr 10.0.0.100"))
    net["vm2"].must(
        *f"ip neigh replace 10.0.0.100 lladdr {VM1} dev eth0 nud permanent".split()
    )
    data = random.Random(5).randbytes(2_000_000)
    meter = Meter(net["hv1"], "ens1f0_0")
    with connected(net["vm1"], net["vm2"], "10.0.0.2") as (near, far):
        assert far.getpeername()[0] == "10.0.0.100"
        assert near.getsockname()[0] == "10.0.0.1"
        offloaded(net, 1, ["hv1"])
        assert transfer(near, far, data) == data
        assert transfer(far, near, data) == data
        assert meter.read(prio=1, chain=0).hardware > len(data) // 1450
        assert meter.read(prio=1, chain=0).software < 10
    offloaded(net, 0, ["hv1"])
