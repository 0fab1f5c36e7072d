"""Every key of flower: a packet that has the value, and one that has not."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.all import (
    ARP,
    ICMP,
    IP,
    SCTP,
    TCP,
    UDP,
    Dot1Q,
    Ether,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrFragment,
    Raw,
)

from tests.e2e.one_by_one import NOBODY, SENDER, TAG, OneByOne, udp
from tests.e2e.state import refused

TO_VM2 = "action mirred egress redirect dev ens1f0_1"
ETHER = Ether(src=SENDER, dst=NOBODY)
DATA = Raw(TAG)


def ip(payload: Any, **more: Any) -> Any:
    return ETHER / IP(**{"src": "10.0.0.1", "dst": "10.0.0.2", **more}) / payload / DATA


def ip6(payload: Any, **more: Any) -> Any:
    return ETHER / IPv6(**{"src": "fd00::1", "dst": "fd00::2", **more}) / payload / DATA


def tcp(flags: str) -> Any:
    return ip(TCP(flags=flags))


def tcp6(flags: str = "S", sport: int = 1000, dport: int = 80) -> Any:
    return ip6(TCP(sport=sport, dport=dport, flags=flags))


def from_(mac: str) -> Any:
    return Ether(src=mac, dst=NOBODY) / udp().payload


def sctp(sport: int, dport: int) -> Any:
    return ip(SCTP(sport=sport, dport=dport))


def arp(**more: Any) -> Any:
    return ETHER / ARP(**{"psrc": "10.0.0.1", "pdst": "10.0.0.2", **more}) / DATA


def tagged(vlan: int, prio: int = 0, inner: Any = None) -> Any:
    return ETHER / Dot1Q(vlan=vlan, prio=prio) / (inner or udp()).payload


def to(mac: str) -> Any:
    return Ether(src=SENDER, dst=mac) / udp().payload


def elsewhere() -> Any:
    return ETHER / IP(src="10.0.0.1", dst="10.0.0.3") / UDP() / DATA


IPV4, IPV6 = "proto ip flower", "proto ipv6 flower"
PING6 = ip6(ICMPv6EchoRequest())
FIRST6 = ip6(IPv6ExtHdrFragment(m=1, nh=17) / UDP())
FIRST = ip(UDP(), flags="MF")
LATER = ip(Raw(bytes(8)), frag=10, proto=17)


@pytest.mark.parametrize(
    ("asked", "matching", "others"),
    [
        (f"{IPV4}", [udp()], [arp(), tagged(5)]),
        (f"{IPV4} dst_mac {NOBODY}", [udp()], [to("02:00:00:00:00:98")]),
        (f"{IPV4} dst_mac {NOBODY}/44", [to("02:00:00:00:00:98")], [to("02::1:0:0:0")]),
        (
            *(f"{IPV4} dst_mac {NOBODY}/ff:00:00:00:00:ff",),
            *([to("02:7:7:7:7:99")], [to("02:00:00:00:00:98")]),
        ),
        (f"{IPV4} src_mac {SENDER}", [udp()], []),
        (f"{IPV4} src_mac {SENDER}/24", [udp()], [from_("24:8a:06:a5:28:01")]),
        (
            *(f"{IPV4} src_mac {SENDER}/00:00:00:00:ff:ff",),
            *([from_("02:00:00:00:28:01")], [from_("24:8a:07:a5:28:02")]),
        ),
        (f"{IPV4} src_mac {NOBODY}", [], [udp()]),
        (f"{IPV4} indev ens1f0_0", [udp()], []),
        (f"{IPV4} indev ens1f0_1", [], [udp()]),
        (f"{IPV4} dst_ip 10.0.0.2", [udp()], [elsewhere()]),
        (
            f"{IPV4} dst_ip 10.0.0.2/31",
            [udp(), elsewhere()],
            [ip(UDP(), dst="10.0.0.4")],
        ),
        (f"{IPV4} src_ip 10.0.0.0/30", [udp()], []),
        (f"{IPV4} src_ip 10.0.0.9", [], [udp()]),
        (f"{IPV4} ip_proto tcp", [tcp("S")], [udp()]),
        (f"{IPV4} ip_proto 0x84", [sctp(1, 2)], [udp()]),
        (f"{IPV4} ip_proto icmp type 8 code 0", [ip(ICMP())], [ip(ICMP(type=13))]),
        (
            *(f"{IPV4} ip_proto icmp type 8/12",),
            *([ip(ICMP(type=11))], [ip(ICMP(type=13))]),
        ),
        (f"{IPV4} ip_tos 0xb9", [udp(tos=0xB9)], [udp(tos=0xB8), udp()]),
        (f"{IPV4} ip_tos 0xb8/0xfc", [udp(tos=0xB8), udp(tos=0xBB)], [udp(tos=4)]),
        (f"{IPV4} ip_tos 1/0x1", [udp(tos=3), udp(tos=0xB9)], [udp(tos=2)]),
        (f"{IPV4} ip_ttl 64", [udp()], [udp(ttl=63)]),
        (f"{IPV4} ip_ttl 0x10/0xf0", [udp(ttl=16), udp(ttl=31)], [udp(ttl=32)]),
        (f"{IPV4} ip_proto udp dst_port 2000", [udp()], [udp(dport=2001)]),
        (
            *(f"{IPV4} ip_proto udp src_port 0x3e8/0xfff8",),
            *([udp(sport=1007)], [udp(sport=1008)]),
        ),
        (
            *(f"{IPV4} ip_proto udp dst_port 1999-2003",),
            *([udp(dport=1999), udp(), udp(dport=2003)],),
            [udp(dport=1998), udp(dport=2004), udp(sport=2000, dport=1)],
        ),
        (
            *(f"{IPV4} ip_proto udp src_port 1-1000 dst_port 2000-65535",),
            *([udp(sport=1), udp(dport=65535)], [udp(sport=1001), udp(dport=1999)]),
        ),
        (f"{IPV4} ip_proto sctp dst_port 2", [sctp(1, 2)], [sctp(2, 1)]),
        (f"{IPV4} ip_proto tcp tcp_flags 0x2/0x12", [tcp("S")], [tcp("SA"), tcp("A")]),
        (f"{IPV4} ip_flags frag", [FIRST, LATER], [udp()]),
        (f"{IPV4} ip_flags nofrag", [udp()], [FIRST, LATER]),
        (f"{IPV4} ip_flags firstfrag", [FIRST], [udp(), LATER]),
        (f"{IPV4} ip_flags nofirstfrag", [udp(), LATER], [FIRST]),
        (f"{IPV4} ip_flags frag/nofirstfrag", [LATER], [udp(), FIRST]),
        ("proto ipv6 flower dst_ip fd00::2", [ip6(UDP())], [udp()]),
        ("proto ipv6 flower dst_ip fd00::2", [], [ip6(UDP(), dst="fd00::3")]),
        (
            *("proto ipv6 flower src_ip fd00::/64", [ip6(UDP())]),
            [ip6(UDP(), src="fd00:0:0:1::1")],
        ),
        (f"{IPV6} ip_proto tcp dst_port 80", [tcp6()], [tcp6(dport=81), ip6(UDP())]),
        (f"{IPV6} ip_proto tcp src_port 1000", [tcp6()], [tcp6(sport=1001)]),
        (
            *(f"{IPV6} ip_proto tcp dst_port 80-89",),
            *([tcp6(), tcp6(dport=89)], [tcp6(dport=90), tcp6(dport=79)]),
        ),
        (
            *(f"{IPV6} ip_proto tcp src_port 0x3e8/0xfff8",),
            *([tcp6(sport=1007)], [tcp6(sport=1008)]),
        ),
        (f"{IPV6} ip_proto tcp tcp_flags 0x2/0x12", [tcp6()], [tcp6("SA")]),
        (f"{IPV6} ip_proto sctp", [ip6(SCTP())], [tcp6()]),
        (f"{IPV6} ip_proto icmpv6 type 128/254", [PING6], [ip6(ICMPv6ND_NS())]),
        (f"{IPV6} ip_ttl 0x40/0xf0", [ip6(UDP(), hlim=79)], [ip6(UDP(), hlim=80)]),
        (f"{IPV6} ip_tos 0xb8/0xfc", [ip6(UDP(), tc=0xBB)], [ip6(UDP(), tc=0xBC)]),
        (f"{IPV6} ip_flags frag", [FIRST6], [ip6(UDP())]),
        (f"{IPV6} ip_flags nofrag", [ip6(UDP())], [FIRST6]),
        (f"{IPV6} ip_flags firstfrag", [FIRST6], [ip6(UDP())]),
        ("proto ipv6 flower ip_ttl 9", [ip6(UDP(), hlim=9)], [ip6(UDP())]),
        ("proto ipv6 flower ip_tos 4", [ip6(UDP(), tc=4)], [ip6(UDP())]),
        (
            *("proto ipv6 flower ip_proto icmpv6 type 128 code 0",),
            *([ip6(ICMPv6EchoRequest())], [ip6(UDP())]),
        ),
        ("proto arp flower arp_op request", [arp()], [arp(op=2)]),
        ("proto arp flower arp_op reply", [arp(op=2)], [arp()]),
        ("proto arp flower arp_op 2", [arp(op=2)], [arp()]),
        ("proto arp flower arp_op 1/1", [arp(), arp(op=3)], [arp(op=2)]),
        ("proto arp flower arp_sip 10.0.0.1", [arp()], [arp(psrc="10.0.0.9")]),
        ("proto arp flower arp_sip 10.0.0.0/29", [arp()], [arp(psrc="10.0.0.9")]),
        ("proto arp flower arp_tip 10.0.0.2", [arp()], [arp(pdst="10.0.0.3")]),
        ("proto arp flower arp_tip 10.0.0.0/24", [arp()], [arp(pdst="10.0.1.2")]),
        (
            f"proto arp flower arp_sha {SENDER}",
            [arp(hwsrc=SENDER)],
            [arp(hwsrc=NOBODY)],
        ),
        (
            f"proto arp flower arp_tha {NOBODY}/24",
            [arp(hwdst=NOBODY)],
            [arp(hwdst=SENDER)],
        ),
        ("proto 802.1q flower", [tagged(5)], [udp()]),
        ("proto 802.1q flower vlan_id 5", [tagged(5)], [tagged(6), udp()]),
        ("proto 802.1q flower vlan_prio 3", [tagged(5, 3)], [tagged(5)]),
        (
            *("proto 802.1q flower vlan_ethtype ip dst_ip 10.0.0.2",),
            *([tagged(5)], [tagged(5, inner=ip6(UDP())), udp()]),
        ),
        (
            *("proto 802.1q flower vlan_ethtype ipv6 ip_proto udp",),
            *([tagged(5, inner=ip6(UDP()))], [tagged(5)]),
        ),
        (f"proto all flower src_mac {SENDER}", [udp(), arp(), tagged(5)], []),
        (
            "proto 0x88b6 flower",
            [Ether(src=SENDER, dst=NOBODY, type=0x88B6) / DATA],
            [udp()],
        ),
    ],
)
def test_key(hv1: OneByOne, asked: str, matching: list[Any], others: list[Any]) -> None:
    """Those that match come out at vm2, others find no filter; the counter says so too."""
    hv1.add(f"ens1f0_0 prio 1 {asked} {TO_VM2}")
    for packet in matching:
        out = hv1.through(packet)
        assert [bytes(each) for each in out.vm2] == [bytes(packet)], packet.summary()
    for packet in others:
        assert hv1.through(packet).places == ["stack"], packet.summary()
    assert hv1.took().all == len(matching)


def test_ranges_are_tried_as_they_were_added(hv1: OneByOne) -> None:
    """Two that overlap: the first one wins, whichever is narrower."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower ip_proto udp dst_port 2000-2005 action drop",
        f"ens1f0_0 prio 1 proto ip flower ip_proto udp dst_port 1000-3000 {TO_VM2}",
        "ens1f0_0 prio 1 proto ip flower ip_proto udp dst_port 1500-1600 action drop",
    )
    assert hv1.through(udp()).places == []
    assert hv1.through(udp(dport=2006)).places == ["vm2"]
    assert hv1.through(udp(dport=1550)).places == ["vm2"]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            "proto 802.1ad flower",
            "protocol 802.1ad: the switch takes any tag for 802.1Q",
        ),
        (
            "proto 802.1q flower vlan_ethtype 802.1q cvlan_id 5",
            "the switch sees the outer tag only",
        ),
        (
            "proto 802.1q flower vlan_ethtype 802.1q cvlan_prio 5",
            "the switch sees the outer tag only",
        ),
        (
            "proto 802.1q flower vlan_ethtype 802.1q cvlan_ethtype ip",
            "the switch sees the outer tag only",
        ),
        ("proto ip flower enc_tos 4", "enc_tos: OpenFlow does not show"),
        ("proto ip flower enc_ttl 4", "enc_ttl: OpenFlow does not show"),
        (
            "proto ip flower enc_dst_port 4790",
            "enc_dst_port: the tunnel device's is 4789",
        ),
    ],
)
def test_keys_the_switch_does_not_see(hv1: OneByOne, asked: str, reason: str) -> None:
    """Refused, with one line that says which."""
    line = f"filter add dev ens1f0_0 ingress prio 1 {asked} {TO_VM2}"
    failure = refused(hv1.hypervisor, "tc", *line.split())
    assert failure.code == 2 and reason in failure.stderr
