"""NAT with a choice, or none: ranges, no port left, hairpin, a collision, ICMP errors, a pair."""

from __future__ import annotations

from dataclasses import replace

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
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
    client,
    exchange,
    nat_filters,
    talk,
    udp,
)
from tests.e2e.wire import Port, parsed
from topologies.testbed import Testbed


def ask(ports: dict[str, Port], sport: int) -> Packet:
    """A question from vm1's port, as it arrives at vm2."""
    question = udp(ports, sport).datagram()
    ports["vm1"].send(question)
    return parsed(ports["vm2"].take(lambda frame: frame[-1:] == b"x", "the question"))


def answer(ports: dict[str, Port], asked: Packet, sport: int) -> None:
    """vm2's answer to what it was asked; vm1 must see it come from whom it asked."""
    back = Ether(src=ports["vm2"].mac, dst=ports["vm1"].mac)
    back /= IP(src=asked[IP].dst, dst=asked[IP].src)
    back /= UDP(sport=asked[UDP].dport, dport=asked[UDP].sport) / b"y"
    ports["vm2"].send(back)
    came = parsed(ports["vm1"].take(lambda frame: frame[-1:] == b"y", "the answer"))
    assert (came[IP].src, came[IP].dst) == ("10.0.0.52", "10.0.0.51")
    assert (came[UDP].sport, came[UDP].dport) == (53, sport)


def test_ranges_of_addresses_and_ports(net: Testbed, ports: dict[str, Port]) -> None:
    """Each connection gets a pair of its own within both ranges; hardware keeps to it."""
    nat = "src addr 10.0.0.100-10.0.0.103 port 6000-6009"
    add(net["hv1"], *nat_filters("ip", nat))
    given = {}
    for sport in range(4000, 4008):
        asked = ask(ports, sport)
        given[sport] = asked[IP].src, asked[UDP].sport
        answer(ports, asked, sport)
    assert len({*given.values()}) == 8
    assert {address for address, _ in given.values()} <= {
        f"10.0.0.{last}" for last in range(100, 104)
    }
    assert {port for _, port in given.values()} <= {*range(6000, 6010)}
    offloaded(net, 8, HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    for sport, pair in given.items():
        asked = ask(ports, sport)
        assert (asked[IP].src, asked[UDP].sport) == pair
        answer(ports, asked, sport)
    assert meter.read(chain=0, prio=1) == Count(hardware=8)


def test_when_ports_run_out(net: Testbed, ports: dict[str, Port]) -> None:
    """Two ports, three connections: the third waits until a port is free."""
    add(net["hv1"], *nat_filters("ip", "src addr 10.0.0.100 port 6000-6001"))
    for sport in (4000, 4001):
        answer(ports, ask(ports, sport), sport)
    ports["vm1"].send(udp(ports, 4002).datagram())
    assert ask(ports, 4000)[UDP].sport in (6000, 6001), "the other one came through"
    assert len(connections(net["hv1"], "-w", "5")) == 2
    offloaded(net, 2, HV1)
    gone = "conntrack -D -w 5 -p udp -s 10.0.0.51 --sport 4001"
    net["hv1"].must(*gone.split())
    asked = ask(ports, 4002)
    assert asked[UDP].sport in (6000, 6001) and asked[IP].src == "10.0.0.100"
    answer(ports, asked, 4002)


def test_hairpin(net: Testbed, ports: dict[str, Port]) -> None:
    """vm1 asks vm2 by a public address and is itself translated: two zones, in hardware."""
    est = "proto ip flower ct_state +trk+est"
    new = "proto ip flower ct_state +trk+new action ct commit"
    add(
        net["hv1"],
        f"{FROM_VM1} action ct zone 5 nat pipe action goto chain 50",
        f"ens1f0_0 chain 50 {new} zone 5 nat dst addr 10.0.0.52 port 53 pipe "
        "action ct zone 6 nat pipe action goto chain 51",
        f"ens1f0_0 chain 50 {est} action ct zone 6 nat pipe action goto chain 51",
        f"ens1f0_0 chain 51 {new} zone 6 nat src addr 10.0.0.100 pipe {TO_VM2}",
        f"ens1f0_0 chain 51 {est} {TO_VM2}",
        f"{FROM_VM2} action ct zone 6 nat pipe action goto chain 50",
        f"ens1f0_1 chain 50 {est} action ct zone 5 nat pipe action goto chain 51",
        f"ens1f0_1 chain 51 {est} {TO_VM1}",
    )
    near, far = client(ports), End(ports["vm2"], "10.0.0.52", 53)
    hairpin = UdpConversation(
        near,
        far,
        client_seen=replace(near, ip="10.0.0.100"),
        server_seen=replace(far, ip="10.0.0.100", number=5353),
    )
    talk(hairpin)
    offloaded(net, 2, HV1)
    meters = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    for _ in range(3):
        exchange(hairpin)
    for meter in meters:
        assert meter.read(chain=0, prio=1) == Count(hardware=3)
        assert meter.read(chain=51, prio=1) == Count(hardware=3)


def test_two_clients_on_one_reply_tuple(net: Testbed, ports: dict[str, Port]) -> None:
    """A server is asked by two addresses: replies would be alike, so one port changes."""
    nat = "dst addr 10.0.0.52 port 8080"
    add(net["hv1"], *nat_filters("ip", nat))
    near, far = client(ports), End(ports["vm2"], "10.0.0.52", 8080)
    first = UdpConversation(near, far, server_seen=replace(far, ip="10.0.0.100"))
    talk(first)
    second = near.packet(
        replace(far, ip="10.0.0.101"), UDP(sport=4000, dport=8080), b"second"
    )

    def second_talks() -> int:
        """What its port is at the server."""
        ports["vm1"].send(second)
        came = parsed(ports["vm2"].take(lambda frame: frame.endswith(b"second"), "it"))
        port = int(came[UDP].sport)
        assert came[IP].dst == "10.0.0.52" and port != 4000
        ports["vm2"].send(far.packet(near, UDP(sport=8080, dport=port), b"back"))
        answer = ports["vm1"].take(lambda frame: frame.endswith(b"back"), "its answer")
        got = parsed(answer)
        assert (got[IP].src, got[UDP].dport) == ("10.0.0.101", 4000)
        return port

    port = second_talks()
    replies = [each.reply for each in connections(net["hv1"], "-w", "5")]
    assert len(replies) == len({*replies}) == 2
    offloaded(net, 2, HV1)
    exchange(first)
    meter = Meter(net["hv1"], "ens1f0_0")
    assert second_talks() == port
    assert meter.read(chain=0, prio=1) == Count(hardware=1)


def test_an_icmp_error_of_a_translated_connection(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """It is related, arrives at who caused it, and quotes the packet as that one sent it."""
    add(
        net["hv1"],
        *nat_filters("ip", "src addr 10.0.0.100 port 6000"),
        f"ens1f0_1 chain 50 proto ip flower ct_state +trk+rel {TO_VM1}",
    )
    near, far = client(ports), End(ports["vm2"], "10.0.0.52", 53)
    seen = replace(near, ip="10.0.0.100", number=6000)
    datagrams = UdpConversation(near, far, client_seen=seen)
    talk(datagrams)
    offloaded(net, 1, HV1)
    quoted = parsed(datagrams.say())[IP]
    error = Ether(src=ports["vm2"].mac, dst=VM1) / IP(src="10.0.0.52", dst="10.0.0.100")
    ports["vm2"].send(error / ICMP(type=3, code=3) / quoted)
    came = parsed(ports["vm1"].take(lambda frame: frame[23] == 1, "the error"))
    assert came[IP].dst == "10.0.0.51" and came[ICMP].type == 3
    inner = came[ICMP].payload
    assert (inner.src, inner.sport, inner.dport) == ("10.0.0.51", 4000, 53)
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
