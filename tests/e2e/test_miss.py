"""Misses: what hardware cannot finish, software does, from where hardware left off."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.e2e.state import Count, Meter, connections, offloaded
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation
from tests.e2e.typed import ENCAP_TO_HV2, add, delete
from tests.e2e.wire import Capture, Port, deliver
from topologies.testbed import Testbed

VM1, VM2, NOBODY = "24:8a:07:a5:28:01", "24:8a:07:a5:28:02", "24:8a:07:a5:28:09"
TO_VM2 = "action mirred egress redirect dev ens1f0_1"


def conversation(ports: dict[str, Port]) -> TcpConversation:
    """From vm1 to vm3, between addresses that no kernel answers for."""
    return TcpConversation(
        End(ports["vm1"], "10.0.0.51", 40000), End(ports["vm3"], "10.0.0.53", 80)
    )


def test_hit_in_hardware_then_software_filter(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """Chain 0 and the lookup in hardware, chain 2 in software, with the ct state restored."""
    tcp = conversation(ports)
    tcp.shake_hands()
    offloaded(net, 1)
    add(
        net["hv1"],
        f"ens1f0_0 chain 2 proto ip flower skip_hw ct_state +trk+est {ENCAP_TO_HV2}",
    )
    meter = Meter(net["hv1"], "ens1f0_0")
    for _ in range(6):
        tcp.say("PA", data=b"half and half")
    assert meter.read(chain=0, protocol="ip") == Count(hardware=6)
    assert meter.read(chain=2, prio=1) == Count(software=6)
    assert meter.read(chain=2, prio=2) == Count()

    delete(net["hv1"], "ens1f0_0", chain=2)
    meter.reset()
    tcp.say("PA", data=b"all in hardware again")
    assert meter.used() == {
        (0, "ip", "-trk"): Count(hardware=1),
        (2, "ip", "+trk+est"): Count(hardware=1),
    }


def nobodys(port: Port, target: str, data: bytes, source: str | None = None) -> Packet:
    """A datagram between addresses that no kernel answers for."""
    ethernet = Ether(src=source or port.mac, dst=target)
    addresses = IP(src="10.0.0.51", dst="10.0.0.59")
    return ethernet / addresses / UDP(sport=1, dport=2) / Raw(data)


def expect_in_stack(stack: Capture, lost: Packet) -> None:
    """A frame comes to the stack, and no other."""
    stack.take(bytes(lost).__eq__, lost.summary())
    assert stack.seen == stack.frames() == []


def test_no_filter_in_chain_0(net: Testbed, ports: dict[str, Port]) -> None:
    """A stranger's packet goes to the stack of the hypervisor, and to no machine."""
    stranger = nobodys(ports["vm1"], ports["vm2"].mac, b"stranger", source=NOBODY)
    known = nobodys(ports["vm1"], ports["vm2"].mac, b"known")
    meter = Meter(net["hv1"], "ens1f0_0")
    with Capture(net["hv1"], "br-int") as stack:
        ports["vm1"].send(stranger)
        deliver(known, ports["vm1"], ports["vm2"])
        expect_in_stack(stack, stranger)
        assert ports["vm2"].seen == []
    assert meter.used() == {
        (0, "ip", "-trk"): Count(software=1),
        (2, "ip", "+trk+new"): Count(software=1),
    }


def test_no_filter_in_a_later_chain(net: Testbed, ports: dict[str, Port]) -> None:
    """A chain that ends with no verdict passes the packet to the stack, not back to chain 0."""
    lost = nobodys(ports["vm1"], NOBODY, b"lost")
    known = nobodys(ports["vm1"], ports["vm2"].mac, b"known")
    meter = Meter(net["hv1"], "ens1f0_0")
    with Capture(net["hv1"], "br-int") as stack:
        ports["vm1"].send(lost)
        deliver(known, ports["vm1"], ports["vm2"])
        expect_in_stack(stack, lost)
        assert ports["vm2"].seen == []
    assert meter.used() == {
        (0, "ip", "-trk"): Count(software=2),
        (2, "ip", "+trk+new"): Count(software=1),
    }
    # Nobody committed what got lost.
    assert len(connections(net["hv1"])) == 1


def test_hit_in_hardware_then_no_filter(net: Testbed, ports: dict[str, Port]) -> None:
    """An offloaded connection whose chain lost its filter ends in the stack."""
    there = f"ens1f0_0 chain 0 proto ip flower src_mac {VM1} dst_mac {VM2}"
    back = f"ens1f0_1 chain 0 proto ip flower src_mac {VM2} dst_mac {VM1}"
    add(
        net["hv1"],
        f"{there} ct_state -trk action ct zone 9 pipe action goto chain 90",
        "ens1f0_0 chain 90 proto ip flower ct_state +trk+new "
        f"action ct commit zone 9 pipe {TO_VM2}",
        f"ens1f0_0 chain 91 proto ip flower ct_state +trk+est {TO_VM2}",
        f"{back} ct_state -trk action ct zone 9 "
        "pipe action mirred egress redirect dev ens1f0_0",
    )
    udp = UdpConversation(
        End(ports["vm1"], "10.0.0.51", 4000), End(ports["vm2"], "10.0.0.52", 53)
    )
    udp.say()
    udp.say(reply=True)
    offloaded(net, 1, ["hv1"])
    meter = Meter(net["hv1"], "ens1f0_0")
    with Capture(net["hv1"], "br-int") as stack:
        lost = udp.datagram()
        ports["vm1"].send(lost)
        expect_in_stack(stack, lost)
    udp.say(reply=True)
    assert meter.used() == {(0, "ip", "-trk"): Count(hardware=1)}
