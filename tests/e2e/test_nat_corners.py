"""NAT with a choice, or none: ranges, no port left, hairpin, a collision, ICMP errors, a pair."""

from __future__ import annotations

from dataclasses import replace

from scapy.layers.inet import ICMP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach
from scapy.packet import Packet

from tests.e2e.state import Count, Meter, connections, offloaded
from tests.e2e.tcp_udp import End, UdpConversation
from tests.e2e.typed import ENCAP_TO_HV2, add
from tests.e2e.vm1_vm2 import (
    FROM_VM1,
    FROM_VM2,
    HV1,
    TO_VM1,
    TO_VM2,
    VM1,
    Family,
    client,
    exchange,
    families,
    nat_filters,
    talk,
)
from tests.e2e.wire import Port, parsed
from topologies.testbed import Testbed


def ends(ports: dict[str, Port], family: Family, server_port: int) -> tuple[End, End]:
    """The client at vm1, the server at vm2."""
    client = End(ports["vm1"], family.client, 4000)
    return client, End(ports["vm2"], family.server, server_port)


def question(ports: dict[str, Port], family: Family, sport: int) -> Packet:
    """What vm1 asks."""
    client, server = ends(ports, family, 53)
    return UdpConversation(replace(client, number=sport), server).datagram()


def ask(ports: dict[str, Port], family: Family, sport: int) -> tuple[str, int]:
    """Whom vm2 takes for the one who asked, when vm1 asks from a port."""
    ports["vm1"].send(question(ports, family, sport))
    came = ports["vm2"].take(lambda frame: frame[-1:] == b"x", "the question")
    asked = parsed(came)
    assert (asked.payload.dst, asked[UDP].dport) == (family.server, 53)
    return asked.payload.src, asked[UDP].sport


def answer(
    ports: dict[str, Port], family: Family, asker: tuple[str, int], sport: int
) -> None:
    """vm2's answer to who asked; vm1 must see it come from whom it asked."""
    client, server = ends(ports, family, 53)
    seen, own = End(ports["vm1"], *asker), replace(client, number=sport)
    answered = UdpConversation(own, server, client_seen=seen)
    answered.say(reply=True, data=b"y")


@families
def test_ranges_of_addresses_and_ports(
    net: Testbed, ports: dict[str, Port], family: Family
) -> None:
    """Each connection gets a pair of its own within both ranges; hardware keeps to it."""
    addresses = [family.translated[:-1] + last for last in "0123"]
    nat = f"src addr {addresses[0]}-{addresses[-1]} port 6000-6009"
    add(net["hv1"], *nat_filters(family.protocol, nat))
    given = {}
    for sport in range(4000, 4008):
        given[sport] = ask(ports, family, sport)
        answer(ports, family, given[sport], sport)
    assert len({*given.values()}) == 8
    assert {address for address, _ in given.values()} <= {*addresses}
    assert {port for _, port in given.values()} <= {*range(6000, 6010)}
    offloaded(net, 8, HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    for sport, pair in given.items():
        assert ask(ports, family, sport) == pair
        answer(ports, family, pair, sport)
    assert meter.read(chain=0, prio=1) == Count(hardware=8)


@families
def test_when_ports_run_out(
    net: Testbed, ports: dict[str, Port], family: Family
) -> None:
    """Two ports, three connections: the third waits until a port is free."""
    nat = f"src addr {family.translated} port 6000-6001"
    add(net["hv1"], *nat_filters(family.protocol, nat))
    both = {(family.translated, 6000), (family.translated, 6001)}
    for sport in (4000, 4001):
        answer(ports, family, ask(ports, family, sport), sport)
    ports["vm1"].send(question(ports, family, 4002))
    assert ask(ports, family, 4000) in both, "the other one came through"
    assert len(connections(net["hv1"], "-w", "5")) == 2
    offloaded(net, 2, HV1)
    gone = f"conntrack -D -w 5 -p udp -s {family.client} --sport 4001"
    net["hv1"].must(*gone.split())
    asker = ask(ports, family, 4002)
    assert asker in both
    answer(ports, family, asker, 4002)


@families
def test_hairpin(net: Testbed, ports: dict[str, Port], family: Family) -> None:
    """vm1 asks vm2 by a public address and is itself translated: two zones, in hardware."""
    mine = f"proto {family.protocol} flower"
    est = f"{mine} ct_state +trk+est"
    new = f"{mine} ct_state +trk+new action ct commit"
    from_vm1, from_vm2 = (
        each.replace("proto ip flower", mine) for each in (FROM_VM1, FROM_VM2)
    )
    add(
        net["hv1"],
        f"{from_vm1} action ct zone 5 nat pipe action goto chain 50",
        f"ens1f0_0 chain 50 {new} zone 5 nat dst addr {family.server} port 53 pipe "
        "action ct zone 6 nat pipe action goto chain 51",
        f"ens1f0_0 chain 50 {est} action ct zone 6 nat pipe action goto chain 51",
        f"ens1f0_0 chain 51 {new} zone 6 nat src addr {family.translated} pipe {TO_VM2}",
        f"ens1f0_0 chain 51 {est} {TO_VM2}",
        f"{from_vm2} action ct zone 6 nat pipe action goto chain 50",
        f"ens1f0_1 chain 50 {est} action ct zone 5 nat pipe action goto chain 51",
        f"ens1f0_1 chain 51 {est} {TO_VM1}",
    )
    near, far = ends(ports, family, 53)
    hairpin = UdpConversation(
        near,
        far,
        client_seen=replace(near, ip=family.translated),
        server_seen=replace(far, ip=family.translated, number=5353),
    )
    talk(hairpin)
    offloaded(net, 2, HV1)
    meters = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    for _ in range(3):
        exchange(hairpin)
    for meter in meters:
        assert meter.read(chain=0, prio=1) == Count(hardware=3)
        assert meter.read(chain=51, prio=1) == Count(hardware=3)


@families
def test_two_clients_on_one_reply_tuple(
    net: Testbed, ports: dict[str, Port], family: Family
) -> None:
    """A server is asked by two addresses: replies would be alike, so one port changes."""
    nat = f"dst addr {family.server} port 8080"
    add(net["hv1"], *nat_filters(family.protocol, nat))
    near, far = ends(ports, family, 8080)
    other = replace(far, ip=family.translated[:-1] + "1")
    first = UdpConversation(near, far, server_seen=replace(far, ip=family.translated))
    talk(first)
    second = near.packet(other, UDP(sport=4000, dport=8080), b"second")

    def second_talks() -> int:
        """What its port is at the server."""
        ports["vm1"].send(second)
        came = parsed(ports["vm2"].take(lambda frame: frame.endswith(b"second"), "it"))
        port = int(came[UDP].sport)
        assert came.payload.dst == family.server and port != 4000
        ports["vm2"].send(far.packet(near, UDP(sport=8080, dport=port), b"back"))
        answer = ports["vm1"].take(lambda frame: frame.endswith(b"back"), "its answer")
        got = parsed(answer)
        assert (got.payload.src, got[UDP].dport) == (other.ip, 4000)
        return port

    port = second_talks()
    replies = [each.reply for each in connections(net["hv1"], "-w", "5")]
    assert len(replies) == len({*replies}) == 2
    offloaded(net, 2, HV1)
    exchange(first)
    meter = Meter(net["hv1"], "ens1f0_0")
    assert second_talks() == port
    assert meter.read(chain=0, prio=1) == Count(hardware=1)


@families
def test_an_icmp_error_of_a_translated_connection(
    net: Testbed, ports: dict[str, Port], family: Family
) -> None:
    """It is related, arrives at who caused it, and quotes the packet as that one sent it."""
    add(
        net["hv1"],
        *nat_filters(family.protocol, f"src addr {family.translated} port 6000"),
        f"ens1f0_1 chain 50 proto {family.protocol} flower ct_state +trk+rel {TO_VM1}",
    )
    near, far = ends(ports, family, 53)
    seen = replace(near, ip=family.translated, number=6000)
    datagrams = UdpConversation(near, far, client_seen=seen)
    talk(datagrams)
    offloaded(net, 1, HV1)
    unreachable = ICMP(type=3, code=3)
    if family.protocol == "ipv6":
        unreachable = ICMPv6DestUnreach(code=4)
    arrived = bytes(parsed(datagrams.say()).payload)
    ports["vm2"].send(far.packet(seen, unreachable, arrived))
    sent = bytes(datagrams.datagram().payload)
    wanted = bytes(far.packet(near, unreachable, sent))
    ports["vm1"].take(wanted.__eq__, "the error")
    exchange(datagrams)
    offloaded(net, 1, HV1)


def test_both_sides_of_a_pair(net: Testbed, ports: dict[str, Port]) -> None:
    """hv1 translates the source, hv2 the destination: each in its own hardware."""
    est = "proto ip flower ct_state +trk+est"
    new = "proto ip flower ct_state +trk+new action ct commit zone 5"
    track = "ct_state -trk action ct zone 5 nat pipe action goto chain 50"
    back = ENCAP_TO_HV2.replace("7.7.7.8", "7.7.7.7")
    unset = "action tunnel_key unset pipe"
    add(
        net["hv1"],
        f"ens1f0_0 chain 0 proto ip flower src_mac {VM1} {track}",
        f"ens1f0_0 chain 50 {new} nat src addr 10.0.0.100 pipe {ENCAP_TO_HV2}",
        f"ens1f0_0 chain 50 {est} {ENCAP_TO_HV2}",
        f"vxlan0 chain 0 proto ip flower {tunnel('7.7.7.8', '7.7.7.7')} {track}",
        f"vxlan0 chain 50 {est} {unset} {TO_VM1}",
    )
    add(
        net["hv2"],
        f"vxlan0 chain 0 proto ip flower {tunnel('7.7.7.7', '7.7.7.8')} {track}",
        f"vxlan0 chain 50 {new} nat dst addr 10.0.0.53 port 53 pipe {unset} {TO_VM1}",
        f"vxlan0 chain 50 {est} {unset} {TO_VM1}",
        f"ens1f0_0 chain 0 proto ip flower src_mac {ports['vm3'].mac} {track}",
        f"ens1f0_0 chain 50 {est} {back}",
    )
    near, far = client(ports), End(ports["vm3"], "10.0.0.53", 53)
    datagrams = UdpConversation(
        near,
        far,
        client_seen=replace(near, ip="10.0.0.100"),
        server_seen=replace(far, ip="10.0.0.200", number=5353),
    )
    talk(datagrams)
    offloaded(net, 1)
    meters = [
        Meter(net[name], device)
        for name in ("hv1", "hv2")
        for device in ("ens1f0_0", "vxlan0")
    ]
    for _ in range(3):
        exchange(datagrams)
    assert [meter.read(chain=0, prio=1) for meter in meters] == [Count(hardware=3)] * 4


def tunnel(source: str, target: str) -> str:
    """What a packet between two hypervisors shows of its tunnel."""
    return f"enc_src_ip {source} enc_dst_ip {target} enc_key_id 98 enc_dst_port 4789"
