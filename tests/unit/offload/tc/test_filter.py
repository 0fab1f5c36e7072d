"""Good command lines: the values they become."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from offload.act_api import DISABLED_STATS, HwStats, Request
from offload.actions import (
    DROP,
    PASS,
    PIPE,
    STOLEN,
    Action,
    Checksums,
    Control,
    Csum,
    Ct,
    Gact,
    Header,
    Masked,
    Mirred,
    Munge,
    Nat,
    NatKind,
    Pedit,
    Skbedit,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
    VlanModify,
    VlanPop,
    VlanPush,
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

TO_VXLAN = (
    TunnelKeySet(IPv4Address("0.0.0.0"), IPv4Address("7.7.7.8"), 98, 4789),
    Mirred("vxlan0", redirect=True),
)
TO_VXLAN_WORDS = (
    "action tunnel_key set src_ip 0.0.0.0 dst_ip 7.7.7.8 id 98 dst_port 4789 "
    "action mirred egress redirect dev vxlan0"
)
GOTO_2 = Control(Verb.GOTO_CHAIN, 2)


def added(line: str) -> FilterAdd:
    command = parse(line.split())
    assert isinstance(command, FilterAdd)
    return command


def keys(words: str, protocol: str = "ip") -> tuple[KeyMatch, ...]:
    return added(f"filter add dev d ingress proto {protocol} flower {words}").match.keys


def actions(words: str) -> tuple[Action, ...]:
    return values_of(requests(words))


def requests(words: str) -> tuple[Request, ...]:
    return added(f"filter add dev d ingress flower action {words}").actions


def values_of(requests: tuple[Request, ...]) -> tuple[Action, ...]:
    return tuple(each.action for each in requests)


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
    ("words", "value"),
    [
        ("drop", Gact(DROP)),
        ("shot", Gact(DROP)),
        ("ok", Gact(PASS)),
        ("gact pass", Gact(PASS)),
        ("trap", Gact(Control(Verb.TRAP))),
        ("continue", Gact(Control(Verb.CONTINUE))),
        ("goto chain 268435455", Gact(Control(Verb.GOTO_CHAIN, 2**28 - 1))),
        ("ct", Ct()),
        ("ct goto chain 2", Ct(control=GOTO_2)),
        ("ct clear", Ct(clear=True)),
        ("ct zone 7 drop", Ct(zone=7, control=DROP)),
        ("ct nat zone 7", Ct(zone=7, nat=Nat(NatKind.RESTORE))),
        ("ct commit force", Ct(commit=True, force=True)),
        ("ct commit mark 5/0xff", Ct(commit=True, mark=Masked(5, 255))),
        ("ct commit mark 5", Ct(commit=True, mark=Masked(5, 2**32 - 1))),
        ("ct commit label 01", Ct(commit=True, label=Masked(1, 2**128 - 1))),
        ("ct commit label 0100/ff", Ct(commit=True, label=Masked(1, 255))),
        (
            "ct commit nat src addr 1.1.1.1 pipe",
            Ct(
                commit=True,
                nat=Nat(NatKind.SRC, IPv4Address("1.1.1.1"), IPv4Address("1.1.1.1")),
            ),
        ),
        (
            "ct commit nat dst addr fd00::1-fd00::9 port 10-20",
            Ct(
                commit=True,
                nat=Nat(
                    NatKind.DST,
                    IPv6Address("fd00::1"),
                    IPv6Address("fd00::9"),
                    10,
                    20,
                ),
            ),
        ),
        (
            "ct commit nat dst addr 1.1.1.1 port 10",
            Ct(
                commit=True,
                nat=Nat(
                    NatKind.DST, IPv4Address("1.1.1.1"), IPv4Address("1.1.1.1"), 10, 10
                ),
            ),
        ),
        ("tunnel_key unset", TunnelKeyUnset()),
        ("tunnel_key unset drop", TunnelKeyUnset(DROP)),
        (
            "tunnel_key set src_ip fd00::1 dst_ip fd00::2 tos 0x10 ttl 64 nocsum pass",
            TunnelKeySet(
                IPv6Address("fd00::1"),
                IPv6Address("fd00::2"),
                tos=16,
                ttl=64,
                csum=False,
                control=PASS,
            ),
        ),
        ("mirred egress redirect dev lo", Mirred("lo", True, True, STOLEN)),
        ("mirred ingress redirect dev lo", Mirred("lo", True, False, STOLEN)),
        ("mirred egress mirror dev lo", Mirred("lo", False, True, PIPE)),
        ("mirred egress mirror dev lo drop", Mirred("lo", False, True, DROP)),
        ("mirred egress noise redirect dev lo", Mirred("lo", True, True, STOLEN)),
    ],
)
def test_actions(words: str, value: Action) -> None:
    assert actions(words) == (value,)


def test_a_redirect_takes_no_verb() -> None:
    found = actions("mirred egress redirect dev lo pipe")
    assert found == (Mirred("lo", True), Gact(PIPE))


def test_an_action_may_lack_its_device() -> None:
    found = actions("mirred egress redirect action drop")
    assert found == (Mirred("", True), Gact(DROP))


@pytest.mark.parametrize("word", ["flowid", "classid"])
def test_the_actions_end_at_a_class(word: str) -> None:
    with pytest.raises(Unsupported, match="^(flowid|classid): not supported"):
        actions(f"drop {word} 1:1")


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
    ("words", "index"),
    [
        ("ct index 3", 3),
        ("ct zone 1 index 010 drop", 10),
        ("drop index 3", 3),
        ("gact index 3", 3),
        ("index 3", 3),
        ("tunnel_key unset index 3", 3),
        ("tunnel_key index 3", 3),
        ("mirred index 3", 3),
        ("mirred index 3 drop", 3),
        ("mirred egress index 3 redirect dev lo", 3),
        ("mirred egress mirror dev lo pipe index 3", 3),
        ("pedit index 3", 3),
        ("pedit ex munge ip ttl set 1 pipe index 3", 3),
        ("csum iph index 3", 3),
        ("skbedit index 3", 3),
        ("vlan pop index 3", 3),
    ],
)
def test_an_action_may_be_named_by_its_index(words: str, index: int) -> None:
    assert requests(words)[0].index == index


def test_the_options_of_every_action() -> None:
    words = "ct cookie 0aFF hw_stats imm no_percpu skip_hw skip_sw"
    assert requests(words) == (
        Request(
            Ct(),
            cookie=b"\x0a\xff",
            hw_stats=HwStats.IMMEDIATE,
            no_percpu=True,
            skip_sw=True,
            skip_hw=True,
        ),
    )
    (disabled,) = requests("ct hw_stats dis")
    assert disabled.hw_stats == DISABLED_STATS


def test_a_cookie_is_kept_for_the_actions_behind_it() -> None:
    found = requests("ct cookie aa action drop action pass cookie bb")
    assert [each.cookie for each in found] == [b"\xaa", b"\xaa", b"\xbb"]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("csum iph and tcp", Csum(Checksums.IPV4HDR | Checksums.TCP)),
        ("csum ip4h + udp sctp pipe", Csum(Checksums(1 | 16 | 64), PIPE)),
        ("csum iph csum udpl", Csum(Checksums.IPV4HDR | Checksums.UDPLITE)),
        ("skbedit mark 5", Skbedit(Masked(5, 2**32 - 1))),
        ("skbedit mark 5/0xf drop", Skbedit(Masked(5, 15), control=DROP)),
        ("skbedit priority 1:2 ptype other", Skbedit(priority=0x10002, ptype=3)),
        ("skbedit que 9 inherit", Skbedit(queue_mapping=9, inherit_dsfield=True)),
        ("vlan pop", VlanPop()),
        ("vlan pus id 5", VlanPush(5)),
        ("vlan push id 0x5 prot 802.1ad prio 3", VlanPush(5, 0x88A8, 3)),
        ("vlan modify id 5 pipe", VlanModify(5)),
        ("vlan modify priority 7 id 5", VlanModify(5, priority=7)),
        ("jump 3", Gact(Control(Verb.JUMP, skip=3))),
    ],
)
def test_actions_that_change_a_packet(words: str, value: Action) -> None:
    assert actions(words) == (value,)


@pytest.mark.parametrize(
    ("words", "munges"),
    [
        (
            "eth dst set 1:2:3:4:5:6",
            [("eth", 0, 0x01020304, 0), ("eth", 4, 0x05060000, 0xFFFF)],
        ),
        (
            "eth src set 1:2:3:4:5:6",
            [("eth", 4, 0x0102, 0xFFFF0000), ("eth", 8, 0x03040506, 0)],
        ),
        ("eth type set 0x800", [("eth", 12, 0x08000000, 0xFFFF)]),
        ("ip dst set 1.2.3.4", [("ipv4", 16, 0x01020304, 0)]),
        ("ip src set 1.2.3.0/24", [("ipv4", 12, 0x01020300, 0)]),
        ("ip ttl set 5", [("ipv4", 8, 0x05000000, 0x00FFFFFF)]),
        ("ip ttl add 3 retain 0xf", [("ipv4", 8, 0x03000000, 0xF0FFFFFF, True)]),
        ("ip ttl decrement", [("ipv4", 8, 0xFF000000, 0x00FFFFFF, True)]),
        ("ip ttl dec retain 15", [("ipv4", 8, 0x0F000000, 0xF0FFFFFF, True)]),
        ("ip tos set 0x10 retain 0xfc", [("ipv4", 0, 0x100000, 0xFF03FFFF)]),
        ("ip ds set 3", [("ipv4", 0, 0x30000, 0xFF00FFFF)]),
        ("ip df set 0x40", [("ipv4", 4, 0x4000, 0xFFFFBFFF)]),
        ("ip ttl invert", [("ipv4", 8, 0xFF000000, 0xFFFFFFFF)]),
        ("ip ttl preserve", [("ipv4", 8, 0, 0xFFFFFFFF)]),
        ("ip ttl clear", [("ipv4", 8, 0, 0x00FFFFFF)]),
        ("ip6 hoplimit set 3", [("ipv6", 4, 3, 0xFFFFFF00)]),
        ("ip6 flow_lbl set 5", [("ipv6", 0, 5, 0xFFF80000)]),
        ("ip6 traffic_class set 0x12", [("ipv6", 0, 0x01200000, 0xF00FFFFF)]),
        (
            "ip6 src set 1::2",
            [
                ("ipv6", 8, 0x10000, 0),
                ("ipv6", 12, 0, 0),
                ("ipv6", 16, 0, 0),
                ("ipv6", 20, 2, 0),
            ],
        ),
        ("tcp dport set 80", [("tcp", 0, 80, 0xFFFF0000)]),
        ("tcp flags set 2", [("tcp", 12, 0x20000, 0xFF00FFFF)]),
        ("udp sport add 1", [("udp", 0, 0x10000, 0xFFFF, True)]),
        ("offset 4 u32 set 3", [("network", 4, 3, 0)]),
        ("offset -14 u16 set 5", [("network", -16, 5, 0xFFFF0000)]),
        ("offset 3 u8 set 0x11 retain 0xf", [("network", 0, 1, 0xFFFFFFF0)]),
    ],
)
def test_pedit_in_words_of_the_packet(
    words: str, munges: list[tuple[Any, ...]]
) -> None:
    made = tuple(Munge(Header(header), *rest) for header, *rest in munges)
    assert actions(f"pedit ex munge {words}") == (Pedit(made),)


def test_pedit_in_its_old_form() -> None:
    found = actions("pedit munge ip dport set 80 pipe")
    keys = (Munge(Header.NETWORK, 20, 80, 0xFFFF0000),)
    assert found == (Pedit(keys, extended=False, control=PIPE),)


def test_two_pedits_in_one_are_one() -> None:
    munge = "munge ip ttl set 1"
    assert actions(f"pedit ex {munge} pedit {munge}") == actions(
        f"pedit ex {munge} {munge}"
    )


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
