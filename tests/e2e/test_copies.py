"""What act_ct is told costs a connection a few packets, however many it sends."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP
from scapy.packet import Packet

from tests.e2e.state import HYPERVISORS, Count, Meter, entries, status
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation
from tests.e2e.typed import ENCAP_TO_HV2, add
from tests.e2e.wire import Port
from topologies.testbed import Testbed

PACKETS = 10_000
WINDOW = 100
"""So many frames at a time: what a port's buffer surely holds."""
MOST_COPIES = 64


def copies(net: Testbed, name: str) -> int:
    """All packets a hypervisor has copied to act_ct."""
    return sum(status(net, name)["copies"].values())


def send_in_windows(frame: Packet, source: Port, target: Port, number: int) -> None:
    """Send a frame many times; the next hundred when the last have come."""
    sent = bytes(frame)
    for _ in range(number // WINDOW):
        for _ in range(WINDOW):
            source.send(sent)
        for _ in range(WINDOW):
            target.take(sent.__eq__, "one of a hundred frames")


def test_icmp_echo(net: Testbed, ports: dict[str, Port]) -> None:
    """10,000 requests and as many replies with one id."""
    here, there = End(ports["vm1"], "10.0.0.51", 0), End(ports["vm3"], "10.0.0.53", 0)
    before = {name: copies(net, name) for name in HYPERVISORS}
    near, far = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv2"], "ens1f0_0")
    for _ in range(10):
        for sender, receiver, kind in ((here, there, 8), (there, here, 0)):
            frame = sender.packet(receiver, ICMP(type=kind, id=7, seq=1))
            send_in_windows(frame, sender.port, receiver.port, PACKETS // 10)
    for meter in (near, far):
        assert meter.used()[0, "ip", "-trk"] == Count(software=PACKETS)
    for name in HYPERVISORS:
        assert 1 <= copies(net, name) - before[name] <= MOST_COPIES


SKIP_HW = (
    "ens1f0_0 chain 0 proto ip flower skip_hw src_mac 24:8a:07:a5:28:01 ct_state -trk "
    "action ct zone 7 pipe action goto chain 7",
    "ens1f0_0 chain 7 proto ip flower skip_hw ct_state +trk+new "
    f"action ct commit zone 7 pipe {ENCAP_TO_HV2}",
    f"ens1f0_0 chain 7 proto ip flower skip_hw ct_state +trk+est {ENCAP_TO_HV2}",
    "vxlan0 chain 0 proto ip flower skip_hw dst_mac 24:8a:07:a5:28:01 ct_state -trk "
    "action ct zone 7 pipe action goto chain 7",
    "vxlan0 chain 7 proto ip flower skip_hw ct_state +trk+est "
    "action tunnel_key unset pipe action mirred egress redirect dev ens1f0_0",
)
"""vm1's IPv4 in zone 7, of which no filter is in hardware."""


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_filters_that_skip_hardware(
    net: Testbed, ports: dict[str, Port], kind: str
) -> None:
    """10,000 packets of a connection that hv1 keeps in software, where it has its entry."""
    add(net["hv1"], *SKIP_HW)
    ends = (End(ports["vm1"], "10.0.0.51", 4000), End(ports["vm3"], "10.0.0.53", 80))
    before = copies(net, "hv1")
    frame = established(kind, *ends)
    meter = Meter(net["hv1"], "ens1f0_0")
    send_in_windows(frame, ports["vm1"], ports["vm3"], PACKETS)
    assert meter.used() == {
        (0, "ip", "-trk"): Count(software=PACKETS),
        (7, "ip", "+trk+est"): Count(software=PACKETS),
    }
    assert 1 <= copies(net, "hv1") - before <= MOST_COPIES
    assert entries(net["hv1"], "hw_ct") == []
    assert status(net, "hv1")["entries"] == 1
    assert status(net, "hv1")["entries_in_hw"] == 0


def established(kind: str, here: End, there: End) -> Packet:
    """Establish a connection; return a frame of its original direction."""
    if kind == "udp":
        udp = UdpConversation(here, there)
        udp.say()
        udp.say(reply=True)
        return udp.datagram()
    tcp = TcpConversation(here, there)
    tcp.shake_hands()
    return tcp.segment("A")
