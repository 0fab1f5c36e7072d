"""pedit, csum and vlan on packets: the bytes that come out, in both halves."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.all import IP, TCP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, IPv6, Raw

from tests.e2e.one_by_one import NOBODY, SENDER, TAG, OneByOne, udp
from tests.e2e.state import Count, filters, refused

TO_VM2 = "action mirred egress redirect dev ens1f0_1"
ETHER = Ether(src=SENDER, dst=NOBODY)
IPV4 = ETHER / IP(src="10.0.0.1", dst="10.0.0.2", tos=1)
IPV6 = ETHER / IPv6(src="fd00::1", dst="fd00::2")
DATA = Raw(TAG)


def tcp(below: Any) -> Any:
    return below / TCP(sport=1000, dport=2000, flags="PA", seq=1, ack=1) / DATA


def datagram(below: Any) -> Any:
    return below / UDP(sport=1000, dport=2000) / DATA


def right(packet: Any) -> bytes:
    """The packet's bytes with every checksum as it should be."""
    fresh = packet.copy()
    layers = ((IP, "chksum"), (TCP, "chksum"), (UDP, "chksum"))
    for layer, name in (*layers, (ICMPv6EchoRequest, "cksum")):
        if layer in fresh:
            delattr(fresh[layer], name)
    return bytes(fresh)


@pytest.mark.parametrize(
    ("packet", "keys", "munge", "csum", "layer", "field", "value"),
    [
        (
            udp(),
            "",
            "eth dst set 02:11:22:33:44:55",
            "",
            Ether,
            "dst",
            "02:11:22:33:44:55",
        ),
        (
            udp(),
            "",
            "eth src set 02:11:22:33:44:55",
            "",
            Ether,
            "src",
            "02:11:22:33:44:55",
        ),
        (
            *(tcp(IPV4), "ip_proto tcp", "ip src set 1.2.3.4", "ip4h and tcp"),
            *(IP, "src", "1.2.3.4"),
        ),
        (
            *(udp(), "ip_proto udp", "ip dst set 1.2.3.4", "ip4h and udp"),
            *(IP, "dst", "1.2.3.4"),
        ),
        (udp(), "", "ip ttl set 9", "ip4h", IP, "ttl", 9),
        (udp(), "", "ip ttl add 255", "ip4h", IP, "ttl", 63),
        (udp(ttl=1), "", "ip ttl add 255", "ip4h", IP, "ttl", 0),
        (udp(ttl=0), "", "ip ttl add 255", "ip4h", IP, "ttl", 255),
        (udp(tos=1), "", "ip tos set 0xb8", "ip4h", IP, "tos", 0xB8),
        (tcp(IPV4), "ip_proto tcp", "tcp sport set 7", "tcp", TCP, "sport", 7),
        (tcp(IPV4), "ip_proto tcp", "tcp dport set 7", "tcp", TCP, "dport", 7),
        (udp(), "ip_proto udp", "udp sport set 7", "udp", UDP, "sport", 7),
        (udp(), "ip_proto udp", "udp dport set 7", "udp", UDP, "dport", 7),
        (
            *(tcp(IPV6), "ip_proto tcp", "ip6 src set fd00::9", "tcp"),
            *(IPv6, "src", "fd00::9"),
        ),
        (
            *(datagram(IPV6), "ip_proto udp", "ip6 dst set 2001:db8::9", "udp"),
            *(IPv6, "dst", "2001:db8::9"),
        ),
        (datagram(IPV6), "", "ip6 hoplimit set 9", "", IPv6, "hlim", 9),
        (datagram(IPV6), "", "ip6 hoplimit add 255", "", IPv6, "hlim", 63),
        (datagram(IPV6), "ip_proto udp", "udp dport set 7", "udp", UDP, "dport", 7),
    ],
)
def test_pedit(
    hv1: OneByOne,
    packet: Any,
    keys: str,
    munge: str,
    csum: str,
    layer: type,
    field: str,
    value: Any,
) -> None:
    """One field changes, the checksums over it with it, and nothing else."""
    protocol = "ipv6" if IPv6 in packet else "ip"
    mend = f"pipe action csum {csum}" if csum else ""
    hv1.add(
        f"ens1f0_0 prio 1 proto {protocol} flower {keys} "
        f"action pedit ex munge {munge} {mend} pipe {TO_VM2}"
    )
    [out] = hv1.through(packet).vm2
    expected = Ether(bytes(packet))
    setattr(expected[layer], field, value)
    assert bytes(out) == right(expected)
    in_hardware = hv1.offload and field != "tos"  # mlx5 5.7 does not write that
    assert hv1.took() == (Count(0, 1) if in_hardware else Count(1, 0))


PING6 = IPV6 / ICMPv6EchoRequest(data=TAG)


@pytest.mark.parametrize(
    ("packet", "munges", "csum", "layer", "field", "value"),
    [
        (udp(tos=1), "ex munge ip dsfield set 0xb8", "ip4h", IP, "tos", 0xB8),
        (udp(tos=1), "ex munge ip precedence set 0xe0", "ip4h", IP, "tos", 0xE0),
        (udp(tos=1), "ex munge ip tos set 0xff retain 0x30", "ip4h", IP, "tos", 0x31),
        (udp(), "ex munge ip ttl preserve", "ip4h", IP, "ttl", 64),
        (udp(), "ex munge ip ttl clear", "iph", IP, "ttl", 0),
        (udp(), "ex munge ip ttl decrement", "ipv4h", IP, "ttl", 63),
        (udp(), "munge ip ttl set 9", "ip4h", IP, "ttl", 9),
        (udp(), "munge offset 8 u8 set 9", "ip4h", IP, "ttl", 9),
        (udp(), "munge offset 18 u16 set 9", "ip4h and udp", IP, "dst", "10.0.0.9"),
        (
            *(udp(), "munge offset 16 u32 set 0x01020304", "ip4h and udp"),
            *(IP, "dst", "1.2.3.4"),
        ),
        (datagram(IPV6), "ex munge ip6 traffic_class set 0xb8", "", IPv6, "tc", 0xB8),
        (datagram(IPV6), "ex munge ip6 flow_lbl set 0x12345", "", IPv6, "fl", 0x12345),
        (PING6, "ex munge ip6 dst set fd00::9", "icmp", IPv6, "dst", "fd00::9"),
        (
            *(udp(), "ex munge udp dport set 7"),
            *("igmp and udplite and sctp and udp", UDP, "dport", 7),
        ),
    ],
)
def test_other_words_of_pedit_and_csum(
    hv1: OneByOne,
    packet: Any,
    munges: str,
    csum: str,
    layer: type,
    field: str,
    value: Any,
) -> None:
    """Other fields and commands, the form before ``ex``, and checksums that are right already."""
    protocol = "ipv6" if IPv6 in packet else "ip"
    kind = "udp" if UDP in packet else "icmpv6"
    mend = f"pipe action csum {csum}" if csum else ""
    hv1.add(
        f"ens1f0_0 prio 1 proto {protocol} flower ip_proto {kind} "
        f"action pedit {munges} {mend} pipe {TO_VM2}"
    )
    [out] = hv1.through(packet).vm2
    expected = Ether(bytes(packet))
    setattr(expected[layer], field, value)
    assert bytes(out) == right(expected)


def test_several_munges_of_one_pedit(hv1: OneByOne) -> None:
    """A small router: other MACs, one hop less, another address and port."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower ip_proto udp action pedit ex "
        "munge eth src set 02:00:00:00:00:01 munge eth dst set 02:00:00:00:00:02 "
        "munge ip ttl add 255 munge ip dst set 10.9.9.9 munge udp dport set 53 pipe "
        f"action csum ip4h and udp pipe {TO_VM2}"
    )
    [out] = hv1.through(udp()).vm2
    expected = Ether(bytes(udp()))
    expected.src, expected.dst = "02:00:00:00:00:01", "02:00:00:00:00:02"
    expected[IP].ttl, expected[IP].dst, expected[UDP].dport = 63, "10.9.9.9", 53
    assert bytes(out) == right(expected)


def test_a_mirror_shows_the_packet_as_it_is_then(hv1: OneByOne) -> None:
    """Before the pedit, between two, and behind both."""
    mirror = "action mirred egress mirror dev ens1f0_1 pipe"
    ttl = "action pedit ex munge ip ttl set {} pipe action csum ip4h pipe"
    hv1.add(
        f"ens1f0_0 prio 1 proto ip flower {mirror} {ttl.format(9)} {mirror} "
        f"{ttl.format(5)} {TO_VM2}"
    )
    out = hv1.through(udp()).vm2
    assert [each[IP].ttl for each in out] == [64, 9, 5]


def test_the_next_chain_sees_what_was_written(hv1: OneByOne) -> None:
    """And ct sees it too."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower ip_proto udp action pedit ex munge ip src set "
        "10.9.9.9 pipe action csum ip4h and udp pipe action ct commit goto chain 1",
        "ens1f0_0 chain 1 prio 1 proto ip flower "
        f"src_ip 10.9.9.9 ct_state +trk+new {TO_VM2}",
    )
    assert hv1.through(udp()).places == ["vm2"]
    tracked = hv1.hypervisor.must("ovs-appctl", "dpctl/dump-conntrack")
    assert "src=10.9.9.9" in tracked


def test_a_csum_that_linux_would_need_is_asked_for(hv1: OneByOne) -> None:
    """Linux would send the packet with a wrong checksum: the switch cannot, and says so."""
    words = "ip_proto udp action pedit ex munge ip src set 1.2.3.4 pipe"
    line = f"filter add dev ens1f0_0 ingress prio 1 proto ip flower {words} {TO_VM2}"
    failure = refused(hv1.hypervisor, "tc", *line.split())
    assert failure.code == 2
    assert "add action csum ip4h and udp behind it" in failure.stderr
    assert [each.prio for each in filters(hv1.hypervisor, "ens1f0_0")] == [9999]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("action pedit ex munge ip ttl add 1", "can only add 255 to ttl or hoplimit"),
        ("action pedit ex munge ip protocol set 7", "cannot write mask"),
        ("action pedit ex munge eth type set 0x0800", "cannot write mask"),
        ("action pedit ex munge tcp dport set 7", "does not ask for ip_proto tcp"),
        *(
            (f"action pedit ex munge ip {field} set 1", "cannot write mask")
            for field in ("ihl", "nofrag", "firstfrag", "ce", "df", "mf")
        ),
        ("action pedit ex munge ip ttl invert", "the switch cannot invert bits"),
        ("action pedit munge ip dport set 7", "cannot write mask"),
        ("action pedit munge ip sport set 7", "cannot write mask"),
        ("action pedit munge ip icmp_type set 7", "cannot write mask"),
        ("action pedit munge ip icmp_code set 7", "cannot write mask"),
        ("ip_proto tcp action pedit ex munge tcp flags set 1", "cannot write mask"),
        ("action pedit munge offset 8 u8 at 0 0 0 set 1", "pedit at: not supported"),
        ("action skbedit inheritdsfield", "skbedit: nothing on this datapath"),
        ("action csum ip4h", "csum: the switch mends what a pedit before it changed"),
        ("action skbedit mark 1", "skbedit: nothing on this datapath carries it"),
        ("action skbedit ptype host", "skbedit: nothing on this datapath carries it"),
        ("action skbedit queue_mapping 3", "skbedit: nothing on this datapath carries"),
        ("action skbedit priority 1:1", "skbedit: nothing on this datapath carries it"),
        ("enc_tos 4 action drop", "enc_tos: OpenFlow does not show the tunnel's tos"),
        ("enc_ttl 4 action drop", "enc_ttl: OpenFlow does not show the tunnel's ttl"),
    ],
)
def test_what_the_switch_cannot_do_is_refused(
    hv1: OneByOne, words: str, reason: str
) -> None:
    """With one line, and nothing is changed."""
    line = f"filter add dev ens1f0_0 ingress prio 1 proto ip flower {words}"
    failure = refused(hv1.hypervisor, "tc", *line.split())
    assert failure.code == 2 and reason in failure.stderr
    assert [each.prio for each in filters(hv1.hypervisor, "ens1f0_0")] == [9999]


@pytest.mark.parametrize("field", ["payload_len", "nexthdr"])
def test_lengths_of_ipv6_are_refused(hv1: OneByOne, field: str) -> None:
    """As what an IPv4 header says of itself is."""
    munge = f"action pedit ex munge ip6 {field} set 1"
    line = f"filter add dev ens1f0_0 ingress prio 1 proto ipv6 flower {munge}"
    failure = refused(hv1.hypervisor, "tc", *line.split())
    assert failure.code == 2 and "cannot write mask" in failure.stderr


TAGGED = ETHER / Dot1Q(vlan=5, prio=3) / udp().payload


@pytest.mark.parametrize(
    ("packet", "protocol", "action", "expected"),
    [
        (udp(), "ip", "push id 5 priority 3", TAGGED),
        (udp(), "ip", "push id 5", ETHER / Dot1Q(vlan=5) / udp().payload),
        (
            *(udp(), "ip", "push id 5 protocol 802.1ad"),
            Ether(src=SENDER, dst=NOBODY, type=0x88A8) / Dot1Q(vlan=5) / udp().payload,
        ),
        (TAGGED, "802.1q", "pop", udp()),
        (udp(), "ip", "pop", udp()),
        (
            *(TAGGED, "802.1q", "modify id 7"),
            ETHER / Dot1Q(vlan=7, prio=3) / udp().payload,
        ),
        (
            *(TAGGED, "802.1q", "modify id 7 priority 1"),
            ETHER / Dot1Q(vlan=7, prio=1) / udp().payload,
        ),
    ],
)
def test_vlan(
    hv1: OneByOne, packet: Any, protocol: str, action: str, expected: Any
) -> None:
    """The tag and nothing else."""
    hv1.add(f"ens1f0_0 prio 1 proto {protocol} flower action vlan {action} {TO_VM2}")
    [out] = hv1.through(packet).vm2
    assert bytes(out) == bytes(expected)
    in_hardware = hv1.offload and action != "modify id 7 priority 1"
    assert hv1.took() == (Count(0, 1) if in_hardware else Count(1, 0))


def test_the_next_chain_sees_the_tag(hv1: OneByOne) -> None:
    """A filter for IP no longer meets the packet, one for 802.1q does."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower action vlan push id 5 goto chain 1",
        "ens1f0_0 chain 1 prio 1 proto ip flower action drop",
        f"ens1f0_0 chain 1 prio 2 proto 802.1q flower vlan_id 5 vlan_ethtype ip {TO_VM2}",
    )
    assert hv1.through(udp()).places == ["vm2"]


def test_ct_between_pop_and_push(hv1: OneByOne) -> None:
    """What OVS must be told again behind a lookup, it is."""
    hv1.add(
        "ens1f0_0 prio 1 proto 802.1q flower vlan_ethtype ip ct_state -trk "
        f"action ct pipe action vlan modify id 7 pipe {TO_VM2}"
    )
    [out] = hv1.through(TAGGED).vm2
    assert bytes(out) == bytes(ETHER / Dot1Q(vlan=7, prio=3) / udp().payload)


def test_two_tags_are_refused(hv1: OneByOne) -> None:
    """OVS takes no second tag here."""
    words = "action vlan push id 5 pipe action vlan push id 6 pipe"
    line = f"filter add dev ens1f0_0 ingress prio 1 proto ip flower {words} {TO_VM2}"
    failure = refused(hv1.hypervisor, "tc", *line.split())
    assert "vlan push: the switch takes no second tag" in failure.stderr
