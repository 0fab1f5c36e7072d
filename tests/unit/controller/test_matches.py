"""What a flower filter asks of a packet, in the switch's fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import fields
from controller.fields import Field
from controller.matches import MAX_RULES, alternatives, prefixes
from controller.rules import Match
from offload.errors import Unsupported
from offload.flower import (
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    CtState,
    IpFlags,
    Key,
    KeyMatch,
)
from offload.flower import Match as FlowerMatch
from offload.flower import PortRange

DEVICE = "ens1f0_0"


def match(flower: FlowerMatch) -> tuple[Match, ...]:
    """The one match that a filter is."""
    [only] = alternatives(flower, DEVICE)
    return only


def asked(
    *keys: tuple[Key, int] | tuple[Key, int, int], protocol: int = ETH_P_IP
) -> list[Match]:
    """What a filter's keys become, without what its protocol does."""
    made = tuple(
        KeyMatch(key, value, *(mask or [key.full_mask])) for key, value, *mask in keys
    )
    found = match(FlowerMatch(protocol, made))
    assert found[:2] == match(FlowerMatch(protocol))
    return list(found[2:])


@pytest.mark.parametrize("protocol", [ETH_P_IP, ETH_P_IPV6, ETH_P_ARP])
def test_a_protocol_is_an_ethertype_without_a_tag(protocol: int) -> None:
    found = match(FlowerMatch(protocol))
    assert found == (Match(fields.ETH_TYPE, protocol), Match(fields.VLAN_VID, 0))


def test_all_protocols_ask_nothing() -> None:
    assert match(FlowerMatch(ETH_P_ALL)) == ()


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [
        (ETH_P_8021AD, "protocol 802.1ad: the switch takes any tag for 802.1Q"),
        (0x0004, "protocol 0x0004: the switch matches no such"),
    ],
)
def test_protocols_the_switch_cannot_match(protocol: int, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        match(FlowerMatch(protocol))


PRESENT = fields.VLAN_PRESENT
TAGGED = Match(fields.VLAN_VID, PRESENT, PRESENT)


def test_a_tag_and_what_is_behind_it() -> None:
    ip = KeyMatch(Key.VLAN_ETHTYPE, ETH_P_IP, 0xFFFF)
    number, prio = KeyMatch(Key.VLAN_ID, 5, 0xFFF), KeyMatch(Key.VLAN_PRIO, 3, 7)
    assert match(FlowerMatch(ETH_P_8021Q)) == (TAGGED,)
    behind = match(FlowerMatch(ETH_P_8021Q, (ip,)))
    assert behind == (Match(fields.ETH_TYPE, ETH_P_IP), TAGGED)
    assert match(FlowerMatch(ETH_P_8021Q, (number, prio))) == (
        Match(fields.VLAN_VID, PRESENT | 5),
        Match(fields.VLAN_PCP, 3, None),
    )


@pytest.mark.parametrize(
    "asked",
    [
        KeyMatch(Key.VLAN_ETHTYPE, ETH_P_8021Q, 0xFFFF),
        KeyMatch(Key.CVLAN_ID, 5, 0xFFF),
    ],
)
def test_the_inner_tag_is_not_seen(asked: KeyMatch) -> None:
    with pytest.raises(Unsupported, match="the switch sees the outer tag only"):
        match(FlowerMatch(ETH_P_8021Q, (asked,)))


@pytest.mark.parametrize("key", [Key.ENC_TOS, Key.ENC_TTL])
def test_of_a_tunnel_openflow_does_not_show_all(key: Key) -> None:
    with pytest.raises(Unsupported, match=f"{key.keyword}: OpenFlow does not show"):
        asked((key, 1))


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        (Key.DST_MAC, 1, fields.ETH_DST),
        (Key.SRC_MAC, 0x248A07A52801, fields.ETH_SRC),
        (Key.ARP_OP, 1, fields.ARP_OP),
        (Key.ARP_SIP, 0x0A000001, fields.ARP_SPA),
        (Key.ARP_THA, 0x248A07A52801, fields.ARP_THA),
        (Key.IP_TTL, 64, fields.IP_TTL),
        (Key.DST_IPV4, 0x0A000001, fields.IPV4_DST),
        (Key.SRC_IPV4, 0x0A000001, fields.IPV4_SRC),
        (Key.DST_IPV6, 1, fields.IPV6_DST),
        (Key.SRC_IPV6, 1, fields.IPV6_SRC),
        (Key.ENC_DST_IPV4, 0x07070708, fields.TUN_IPV4_DST),
        (Key.ENC_SRC_IPV4, 0x07070708, fields.TUN_IPV4_SRC),
        (Key.ENC_DST_IPV6, 1, fields.TUN_IPV6_DST),
        (Key.ENC_SRC_IPV6, 1, fields.TUN_IPV6_SRC),
        (Key.ENC_KEY_ID, 98, fields.TUN_ID),
        (Key.CT_ZONE, 5, fields.CT_ZONE),
        (Key.CT_MARK, 5, fields.MARK),
    ],
)
def test_a_key_is_a_field(key: Key, value: int, field: Field) -> None:
    assert asked((key, value)) == [Match(field, value, None)]


@pytest.mark.parametrize(
    ("key", "value", "mask", "field"),
    [
        (Key.DST_IPV4, 0x0A000000, 0xFF000000, fields.IPV4_DST),
        (Key.CT_MARK, 1, 3, fields.MARK),
        (Key.CT_LABEL, 1, 3, fields.LABEL),
        (Key.TCP_FLAGS, 2, 0x17, fields.TCP_FLAGS),
    ],
)
def test_a_masked_key(key: Key, value: int, mask: int, field: Field) -> None:
    assert asked((key, value, mask)) == [Match(field, value, mask)]


def values(key: Key, value: int, mask: int) -> set[tuple[int, ...]]:
    """What the alternatives of one masked key ask, without the protocol."""
    flower = FlowerMatch(ETH_P_IP, (KeyMatch(key, value, mask),))
    return {tuple(m.value for m in each[2:]) for each in alternatives(flower, DEVICE)}


def test_a_mask_that_ovs_does_not_have_is_spelled_out() -> None:
    assert values(Key.IP_TTL, 0x40, 0xFC) == {(64,), (65,), (66,), (67,)}
    assert len(values(Key.ICMP_TYPE, 1, 1)) == 128


def test_the_tos_is_two_fields() -> None:
    assert values(Key.IP_TOS, 0xB9, 0xFF) == {(0x2E, 1)}
    assert values(Key.IP_TOS, 0xB8, 0xFC) == {(0x2E,)}, "any ECN"
    assert values(Key.IP_TOS, 2, 3) == {(2,)}, "any DSCP"
    assert values(Key.IP_TOS, 2, 2) == {(2,), (3,)}
    assert len(values(Key.IP_TOS, 0x80, 0x80)) == 32


NO, FIRST, LATER, ANY = (0, 3), (1, 3), (3, 3), (1, 1)


@pytest.mark.parametrize(
    ("value", "mask", "expected"),
    [
        (1, 1, [ANY]),
        (0, 1, [NO]),
        (2, 2, [FIRST]),
        (0, 2, [NO, LATER]),
        (3, 3, [FIRST]),
        (1, 3, [LATER]),
        (0, 3, [NO]),
        (2, 3, []),
    ],
)
def test_fragments(value: int, mask: int, expected: list[tuple[int, int]]) -> None:
    flags = KeyMatch(Key.IP_FLAGS, value, mask)
    found = alternatives(FlowerMatch(ETH_P_IP, (flags,)), DEVICE)
    asked_of = [each[-1] for each in found]
    assert [(m.value, m.mask) for m in asked_of] == expected
    assert {m.field for m in asked_of} <= {fields.IP_FRAG}
    assert IpFlags(mask) or expected


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_range_is_its_prefixes(one: int, other: int) -> None:
    low, high = sorted((one, other))
    found = list(prefixes(low, high, 16))
    assert len(found) <= 30
    at = low
    for value, mask in found:
        size = 0x10000 - mask
        assert value == at and value & ~mask == 0 and size & (size - 1) == 0
        at += size
    assert at == high + 1


def test_a_range_of_ports() -> None:
    udp = KeyMatch(Key.IP_PROTO, IPPROTO_UDP, 0xFF)
    flower = FlowerMatch(ETH_P_IP, (udp,), (PortRange(Key.DST_PORT, 1000, 1008),))
    eight, one = (each[-1] for each in alternatives(flower, DEVICE))
    assert eight == Match(fields.UDP_DST, 1000, 0xFFF8)
    assert one == Match(fields.UDP_DST, 1008)


def test_a_filter_is_only_so_many_rules() -> None:
    udp = KeyMatch(Key.IP_PROTO, IPPROTO_UDP, 0xFF)
    ttl = KeyMatch(Key.IP_TTL, 0, 1)
    ports = PortRange(Key.DST_PORT, 1, 0xFFFE)
    flower = FlowerMatch(ETH_P_IP, (udp, ttl), (ports,))
    with pytest.raises(Unsupported, match="would take 3840 rules"):
        alternatives(flower, DEVICE)
    assert MAX_RULES < 3840


def test_a_device_is_the_filters_own_or_none() -> None:
    assert match(FlowerMatch(ETH_P_IP, indev=DEVICE)) == match(FlowerMatch(ETH_P_IP))
    assert alternatives(FlowerMatch(ETH_P_IP, indev="ens1f0_1"), DEVICE) == []


def test_ct_state_is_matched_in_its_register() -> None:
    state, mask = CtState.TRK, CtState.TRK | CtState.NEW | CtState.EST
    found = asked((Key.CT_STATE, state.value, mask.value))
    assert found == [Match(fields.CT_STATE, 0x20, 0x23)]


@pytest.mark.parametrize(
    ("proto", "source", "target"),
    [
        (IPPROTO_TCP, fields.TCP_SRC, fields.TCP_DST),
        (IPPROTO_UDP, fields.UDP_SRC, fields.UDP_DST),
        (IPPROTO_SCTP, fields.SCTP_SRC, fields.SCTP_DST),
    ],
)
def test_ports_are_their_protocols(proto: int, source: Field, target: Field) -> None:
    found = asked((Key.IP_PROTO, proto), (Key.SRC_PORT, 80), (Key.DST_PORT, 8, 0xFFF8))
    assert found == [
        Match(fields.IP_PROTO, proto, None),
        Match(source, 80, None),
        Match(target, 8, 0xFFF8),
    ]


def test_ports_of_no_protocol() -> None:
    with pytest.raises(Unsupported, match="dst_port: no such field"):
        asked((Key.DST_PORT, 80))


@pytest.mark.parametrize(
    ("protocol", "proto", "type_", "code"),
    [
        (ETH_P_IP, IPPROTO_ICMP, fields.ICMPV4_TYPE, fields.ICMPV4_CODE),
        (ETH_P_IPV6, IPPROTO_ICMPV6, fields.ICMPV6_TYPE, fields.ICMPV6_CODE),
    ],
)
def test_icmp(protocol: int, proto: int, type_: Field, code: Field) -> None:
    keys = ((Key.IP_PROTO, proto), (Key.ICMP_TYPE, 8), (Key.ICMP_CODE, 0))
    found = asked(*keys, protocol=protocol)
    assert found[1:] == [Match(type_, 8, None), Match(code, 0, None)]


def test_the_tunnels_port_is_the_tunnel_devices() -> None:
    assert asked((Key.ENC_DST_PORT, 4789)) == []
    with pytest.raises(Unsupported, match="enc_dst_port: the tunnel device's is 4789"):
        asked((Key.ENC_DST_PORT, 4790))


def test_two_label_bits_are_not_the_users() -> None:
    full = Key.CT_LABEL.full_mask
    assert asked((Key.CT_LABEL, 5)) == [Match(fields.LABEL, 5, full)]
    with pytest.raises(Unsupported, match="four highest bits are the testbed's own"):
        asked((Key.CT_LABEL, 1 << 127))
    with pytest.raises(Unsupported, match="four highest bits are the testbed's own"):
        asked((Key.CT_LABEL, 1 << 124, 1 << 124))
