"""Good command lines: the values they become."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from offload.act_api import Request
from offload.actions import (
    Control,
    Ct,
    Gact,
    Mirred,
    TunnelKeySet,
    Verb,
)
from offload.errors import KernelError, Unsupported
from offload.flower import (
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    Key,
    KeyMatch,
    Match,
    PortRange,
)
from offload.tc import (
    Change,
    FilterAdd,
    FilterDel,
    FilterGet,
    FilterShow,
    Foreign,
    Hook,
    Options,
    Refusal,
    parse,
)
from tests.unit.offload.tc.made import added, keys, values_of

TO_VXLAN = (
    TunnelKeySet(IPv4Address("0.0.0.0"), IPv4Address("7.7.7.8"), 98, 4789),
    Mirred("vxlan0", redirect=True),
)
TO_VXLAN_WORDS = (
    "action tunnel_key set src_ip 0.0.0.0 dst_ip 7.7.7.8 id 98 dst_port 4789 "
    "action mirred egress redirect dev vxlan0"
)
GOTO_2 = Control(Verb.GOTO_CHAIN, 2)


def test_the_cover_letters_first_filter() -> None:
    assert added(
        "filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower "
        "src_mac 24:8a:07:a5:28:01 ct_state -trk action ct pipe action goto chain 2"
    ) == FilterAdd(
        device="ens1f0_0",
        prio=1,
        chain=0,
        protocol=ETH_P_IP,
        match=Match(
            ETH_P_IP,
            (
                KeyMatch(Key.SRC_MAC, 0x248A07A52801, 2**48 - 1),
                KeyMatch(Key.CT_STATE, 0, 8),
            ),
        ),
        actions=(Request(Ct()), Request(Gact(GOTO_2))),
    )


def test_the_cover_letters_second_filter() -> None:
    filter_ = added(
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower "
        f"ct_state +trk+new action ct commit pipe {TO_VXLAN_WORDS}"
    )
    assert filter_.chain == 2
    assert filter_.match == Match(ETH_P_IP, (KeyMatch(Key.CT_STATE, 9, 9),))
    assert values_of(filter_.actions) == (Ct(commit=True), *TO_VXLAN)


def test_the_cover_letters_third_filter() -> None:
    filter_ = added(
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower "
        f"ct_state +trk+est {TO_VXLAN_WORDS}"
    )
    assert filter_.match == Match(ETH_P_IP, (KeyMatch(Key.CT_STATE, 10, 10),))
    assert values_of(filter_.actions) == TO_VXLAN


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("filter add dev d ingress flower", FilterAdd("d")),
        ("filter add dev d egress flower", FilterAdd("d", hook=Hook.EGRESS)),
        ("filter add dev d parent ffff: flower", FilterAdd("d")),
        ("filter add dev d parent ffff:fff2 flower", FilterAdd("d")),
        ("filter add dev d parent ffff:fff3 flower", FilterAdd("d", hook=Hook.EGRESS)),
        ("filter add dev d parent none flower", FilterAdd("d", hook=Hook.ROOT)),
        ("filter add dev d parent root flower", FilterAdd("d", hook=Hook.ROOT)),
        ("filter add dev d parent 0 flower", FilterAdd("d", hook=Hook.ROOT)),
        ("filter add dev d parent :0 flower", FilterAdd("d", hook=Hook.ROOT)),
        ("filter add dev d root flower", FilterAdd("d", hook=Hook.ROOT)),
        ("filter add dev d flower", FilterAdd("d", hook=Hook.ROOT)),
        ("f a dev d ingress flower", FilterAdd("d")),
        (
            "filter add dev a_name_that_is_too_long ingress flower",
            FilterAdd("a_name_that_is_"),
        ),
        (
            "filter replace dev d ingress pref 0x10 handle 010 flower skip_hw verbose",
            FilterAdd(
                "d",
                Change.REPLACE,
                prio=16,
                handle=8,
                skip_hw=True,
                verbose=True,
            ),
        ),
        (
            "filter change dev d ingress pref 7 flower skip_sw",
            FilterAdd("d", Change.CHANGE, prio=7, protocol=0, skip_sw=True),
        ),
        ("filter del dev d ingress", FilterDel("d")),
        (
            "filter delete dev d ingress chain 3 prio 2 proto arp handle 1 flower",
            FilterDel("d", Hook.INGRESS, 3, 2, ETH_P_ARP, 1, "flower"),
        ),
        ("filter show dev d ingress", FilterShow("d")),
        (
            "filter lst dev d egress pref 70000 chain 4 proto ipv6 handle x",
            FilterShow("d", Hook.EGRESS, 4, 70000, ETH_P_IPV6, "x"),
        ),
        ("filter show dev d ingress proto 0 proto 0", FilterShow("d")),
        (
            "-s -j filter get dev d ingress chain 1 pref 2 proto ip handle 3 flower",
            FilterGet(
                "d",
                prio=2,
                protocol=ETH_P_IP,
                handle=3,
                chain=1,
                options=Options(statistics=True, json=True),
            ),
        ),
        ("filter", Foreign("filter")),
        ("filter show", Foreign("filter")),
        ("filter show block 7", FilterShow("", block=7)),
        ("filter show dev other help", Foreign("filter", "other")),
        ("filter show dev other ingress", Foreign("filter", "other")),
        ("filter add dev other ingress u32 foo", Foreign("filter", "other")),
        (
            "filter get dev other ingress proto ip pref 1 u32 foo",
            Foreign("filter", "other"),
        ),
        ("filter add block 7 flower", FilterAdd("", block=7)),
    ],
)
def test_commands(line: str, command: object) -> None:
    assert parse(line.split(), ours=lambda device: device != "other") == command


@pytest.mark.parametrize(
    ("words", "protocol", "match"),
    [
        ("dst_mac 1:2:3:4:5:6", "all", (Key.DST_MAC, 0x010203040506, 2**48 - 1)),
        ("dst_mac 1:2:3:4:5:6/8", "all", (Key.DST_MAC, 1 << 40, 0xFF << 40)),
        ("src_mac 1:2:3:4:5:6/0:0:0:0:0:f", "all", (Key.SRC_MAC, 6, 15)),
        ("ip_proto tcp", "ip", (Key.IP_PROTO, 6, 255)),
        ("ip_proto u", "ipv6", (Key.IP_PROTO, 17, 255)),
        ("ip_proto 2f", "0x0800", (Key.IP_PROTO, 47, 255)),
        ("ip_proto icmpv6", "ipv6", (Key.IP_PROTO, 58, 255)),
        ("ip_tos 16", "ip", (Key.IP_TOS, 16, 255)),
        ("ip_tos 0x10/f0", "ip", (Key.IP_TOS, 16, 0xF0)),
        ("ip_ttl 64", "ip", (Key.IP_TTL, 64, 255)),
        ("dst_ip 10.8", "ip", (Key.DST_IPV4, 0x0A080000, 2**32 - 1)),
        ("src_ip 10.1.2.3/8", "ip", (Key.SRC_IPV4, 0x0A000000, 0xFF000000)),
        ("src_ip 10.0.0.0/255.255.0.0", "ip", (Key.SRC_IPV4, 10 << 24, 0xFFFF0000)),
        ("dst_ip fd00::/8", "ipv6", (Key.DST_IPV6, 0xFD << 120, 0xFF << 120)),
        ("enc_src_ip 7.7.7.7", "all", (Key.ENC_SRC_IPV4, 0x07070707, 2**32 - 1)),
        ("enc_dst_ip ::1", "ip", (Key.ENC_DST_IPV6, 1, 2**128 - 1)),
        ("enc_key_id 98", "ip", (Key.ENC_KEY_ID, 98, 2**32 - 1)),
        ("enc_dst_port 4789", "ip", (Key.ENC_DST_PORT, 4789, 65535)),
        ("ct_state +trk-new+est", "ip", (Key.CT_STATE, 10, 11)),
        ("ct_state +trk+rel+rpl-inv", "ip", (Key.CT_STATE, 44, 60)),
        ("ct_zone 0x10/0xff", "ip", (Key.CT_ZONE, 16, 255)),
        ("ct_mark 010", "ip", (Key.CT_MARK, 8, 2**32 - 1)),
        ("ct_label 0102", "ip", (Key.CT_LABEL, 0x0201, 2**128 - 1)),
        ("ct_label FF01/0f0", "ip", (Key.CT_LABEL, 0x0F, 0x0F)),
    ],
)
def test_keys(words: str, protocol: str, match: tuple[Key, int, int]) -> None:
    assert keys(words, protocol) == (KeyMatch(*match),)


@pytest.mark.parametrize(
    ("words", "protocol", "match"),
    [
        ("ip_proto tcp dst_port 80", "ip", (Key.DST_PORT, 80, 65535)),
        ("ip_proto udp src_port 0x50/0xf0", "ip", (Key.SRC_PORT, 0x50, 0xF0)),
        ("ip_proto sctp src_port 80-0", "ip", (Key.SRC_PORT, 80, 65535)),
        ("ip_proto tcp tcp_flags 0x2/12", "ip", (Key.TCP_FLAGS, 2, 0x12)),
        ("ip_proto icmp type 8", "ip", (Key.ICMP_TYPE, 8, 255)),
        ("ip_proto icmpv6 code 3/1", "ipv6", (Key.ICMP_CODE, 1, 1)),
    ],
)
def test_keys_of_a_transport(
    words: str, protocol: str, match: tuple[Key, int, int]
) -> None:
    assert keys(words, protocol)[1:] == (KeyMatch(*match),)


@pytest.mark.parametrize("octets", ["1:2:3:4:5", "1:2:3:4:5:6:7", "1.2.3.4"])
def test_a_mac_has_six_octets(octets: str) -> None:
    with pytest.raises(Refusal) as refusal:
        keys(f"src_mac {octets}")
    assert str(refusal.value) == f'"{octets}" is invalid lladdr.\nIllegal "src_mac"'


@pytest.mark.parametrize(
    ("words", "protocol"),
    [
        ("ct_mark 5/0", "ip"),
        ("src_ip 10.0.0.0/0", "ip"),
        ("ip_tos 3", "arp"),
        ("ip_ttl 3", "all"),
        ("tcp_flags 2", "ip"),
    ],
)
def test_keys_the_kernel_leaves_out(words: str, protocol: str) -> None:
    assert keys(words, protocol) == ()


def test_the_last_of_a_repeated_key_counts() -> None:
    assert keys("ct_zone 1 ct_zone 2") == (KeyMatch(Key.CT_ZONE, 2, 65535),)


def test_keys_are_in_the_order_they_are_shown_in() -> None:
    found = [match.key for match in keys("ct_zone 1 ip_proto tcp src_mac 1:2:3:4:5:6")]
    assert found == [Key.SRC_MAC, Key.IP_PROTO, Key.CT_ZONE]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("gtp_opts 1", "gtp_opts"),
        ("num_of_vlans 1", "num_of_vlans"),
        ("classid 1:1", "classid"),
        ("hw_tc 1", "hw_tc"),
        ("mpls_label 1", "mpls_label"),
        ("geneve_opts 1", "geneve_opts"),
        ("action police rate 1", "action police"),
        ("action vlan pop_eth", "vlan pop_eth"),
        ("action vlan push_eth", "vlan push_eth"),
        ("action pedit munge offset 0 u8 at 1 0 0 set 1", "pedit at"),
        ("src_ip any", "address any"),
        ("src_ip default/8", "address default/8"),
        ("action ct helper ftp", "ct helper"),
        ("action drop random determ drop 5", "gact random"),
        ("action tunnel_key set geneve_opts 1", "tunnel_key geneve_opts"),
        ("action ct commit nat src addr any pipe", "address any"),
    ],
)
def test_what_the_testbed_lacks_has_one_clear_line(words: str, name: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        parse(f"filter add dev d ingress proto ip flower {words}".split())
    assert str(refusal.value).startswith(f"{name}: not supported by the testbed")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "line",
    [
        "filter add dev d ingress u32 match",
        "filter add dev d ingress estimator 1s 2s flower",
        "filter add dev d parent 1:2 flower",
    ],
)
def test_what_the_testbed_lacks_beside_keys_and_actions(line: str) -> None:
    with pytest.raises(Unsupported):
        parse(line.split())


@pytest.mark.parametrize(
    ("line", "extack"),
    [
        ("filter add dev d ingress foo", "TC classifier not found"),
        ("filter add dev d ingress", "Filter kind and protocol must be specified"),
        ("filter add dev d ingress handle 1 foo", "TC classifier not found"),
        (
            "filter add dev d ingress flower action tunnel_key csum pipe",
            "Unknown tunnel key action",
        ),
        (
            "filter add dev d ingress flower action mirred egress action drop",
            "act_mirred: Unknown mirred option",
        ),
    ],
)
def test_what_only_the_kernel_refuses(line: str, extack: str) -> None:
    with pytest.raises(KernelError) as refusal:
        parse(line.split())
    assert refusal.value.extack == extack


def test_protocol_all_is_the_default() -> None:
    assert added("filter add dev d ingress flower").match == Match(ETH_P_ALL)


@pytest.mark.parametrize(
    ("words", "protocol", "match"),
    [
        ("vlan_id 5", "802.1q", (Key.VLAN_ID, 5, 0xFFF)),
        ("vlan_prio 7", "802.1ad", (Key.VLAN_PRIO, 7, 7)),
        ("vlan_ethtype ip", "802.1q", (Key.VLAN_ETHTYPE, 0x800, 0xFFFF)),
        ("ip_flags frag", "ip", (Key.IP_FLAGS, 1, 1)),
        ("ip_flags nofrag/firstfrag", "ip", (Key.IP_FLAGS, 2, 3)),
        ("arp_op request", "arp", (Key.ARP_OP, 1, 255)),
        ("arp_op 2/1", "arp", (Key.ARP_OP, 0, 1)),
        ("arp_sip 1.2.3.4/8", "arp", (Key.ARP_SIP, 1 << 24, 0xFF << 24)),
        ("arp_tha 1:2:3:4:5:6/8", "rarp", (Key.ARP_THA, 1 << 40, 0xFF << 40)),
        ("enc_tos 4/0xfc", "ip", (Key.ENC_TOS, 4, 0xFC)),
        ("enc_ttl 0x40", "ip", (Key.ENC_TTL, 64, 255)),
    ],
)
def test_keys_of_tags_fragments_arp_and_tunnels(
    words: str, protocol: str, match: tuple[Key, int, int]
) -> None:
    assert keys(words, protocol) == (KeyMatch(*match),)


def test_behind_tags_are_the_keys_of_what_is_there() -> None:
    words = "vlan_ethtype 802.1q cvlan_id 6 cvlan_ethtype ip ip_proto udp dst_port 5"
    command = added(f"filter add dev d ingress proto 802.1ad flower {words}")
    assert command.match.eth_type == ETH_P_IP
    assert [each.key for each in command.match.keys][-2:] == [
        Key.IP_PROTO,
        Key.DST_PORT,
    ]


@pytest.mark.parametrize("words", ["arp_sha 1:2:3:4:5:6", "arp_tha 1:2:3:4:5:6"])
def test_arp_keys_are_of_arp(words: str) -> None:
    assert keys(words) == ()


def test_ranges_and_a_device() -> None:
    words = "indev lo ip_proto tcp src_port 9-10 dst_port 5 dst_port 80-90"
    match = added(f"filter add dev d ingress proto ip flower {words}").match
    low, high = PortRange(Key.DST_PORT, 80, 90), PortRange(Key.SRC_PORT, 9, 10)
    assert (match.ranges, match.indev) == ((low, high), "lo")
    assert match.get(Key.DST_PORT) == KeyMatch(Key.DST_PORT, 5, 65535)
