"""Good actions of filters: the values they become."""

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
from offload.errors import Unsupported
from tests.unit.offload.tc.made import actions, requests

GOTO_2 = Control(Verb.GOTO_CHAIN, 2)


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
