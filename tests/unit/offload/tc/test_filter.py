"""Good command lines: the values they become."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from offload.actions import (
    DROP,
    PASS,
    PIPE,
    STOLEN,
    Action,
    Control,
    Ct,
    Gact,
    Masked,
    Mirred,
    Nat,
    NatKind,
    TunnelKeySet,
    TunnelKeyUnset,
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
    return added(f"filter add dev d ingress flower action {words}").actions


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
        actions=(Ct(), Gact(GOTO_2)),
    )


def test_the_cover_letters_second_filter() -> None:
    filter_ = added(
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower "
        f"ct_state +trk+new action ct commit pipe {TO_VXLAN_WORDS}"
    )
    assert filter_.chain == 2
    assert filter_.match == Match(ETH_P_IP, (KeyMatch(Key.CT_STATE, 9, 9),))
    assert filter_.actions == (Ct(commit=True), *TO_VXLAN)


def test_the_cover_letters_third_filter() -> None:
    filter_ = added(
        "filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower "
        f"ct_state +trk+est {TO_VXLAN_WORDS}"
    )
    assert filter_.match == Match(ETH_P_IP, (KeyMatch(Key.CT_STATE, 10, 10),))
    assert filter_.actions == TO_VXLAN


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
        ("filter show block 7", Foreign("filter")),
        ("filter show dev other help", Foreign("filter", "other")),
        ("filter show dev other ingress", Foreign("filter", "other")),
        ("filter add dev other ingress u32 foo", Foreign("filter", "other")),
        (
            "filter get dev other ingress proto ip pref 1 u32 foo",
            Foreign("filter", "other"),
        ),
        ("filter add block 7 flower", Foreign("filter")),
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
        ("vlan_id 5", "vlan_id"),
        ("arp_op request", "arp_op"),
        ("gtp_opts 1", "gtp_opts"),
        ("ip_flags frag", "ip_flags"),
        ("src_ip any", "address any"),
        ("src_ip default/8", "address default/8"),
        ("ip_proto tcp dst_port 80-90", "dst_port range"),
        ("action pedit ex munge ip ttl set 5", "action pedit"),
        ("action skbedit mark 1", "action skbedit"),
        ("action jump 3", "jump"),
        ("action ct index 3", "ct index"),
        ("action ct helper ftp", "ct helper"),
        ("action ct cookie 00", "action cookie"),
        ("action ct hw_stats delayed", "action hw_stats"),
        ("action drop skip_sw", "action skip_sw"),
        ("action drop index 3", "gact index"),
        ("action gact index 3", "gact index"),
        ("action drop random determ drop 5", "gact random"),
        ("action tunnel_key unset index 3", "tunnel_key index"),
        ("action tunnel_key set geneve_opts 1", "tunnel_key geneve_opts"),
        ("action mirred index 3", "mirred index"),
        ("action mirred egress redirect index 3", "mirred index"),
        ("action mirred egress redirect dev lo index 3", "mirred index"),
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
        "-br filter show dev d ingress",
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
    assert added("filter change dev d ingress prio 1 flower").match == Match(ETH_P_ALL)
