"""What a flower filter asks, in the switch's fields; what it does, in its actions."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from controller import fields
from controller.fields import Field
from controller.filters import Device, DeviceKind, Half, match, plain_actions
from controller.rules import Match, Output, Resubmit, SetField, Table, TrackClear
from offload.actions import (
    DROP,
    PASS,
    PIPE,
    Action,
    Control,
    Ct,
    Gact,
    Mirred,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
    VlanPop,
)
from offload.errors import Unsupported
from offload.flower import (
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
    Key,
    KeyMatch,
)
from offload.flower import Match as FlowerMatch
from offload.flower import PortRange

HALF = Half(fields.CHAIN, Table.SW_CHAIN)
DEVICES = {
    "ens1f0_0": Device("ens1f0_0", DeviceKind.REPRESENTOR, 1),
    "ens1f0_1": Device("ens1f0_1", DeviceKind.REPRESENTOR, 2),
    "vxlan0": Device("vxlan0", DeviceKind.TUNNEL, 3),
}
ANY, HV2 = IPv4Address("0.0.0.0"), IPv4Address("7.7.7.8")
ENCAP = TunnelKeySet(ANY, HV2, 98, 4789)
TO_VM2 = Mirred("ens1f0_1", redirect=True)
TO_VXLAN = Mirred("vxlan0", redirect=True)


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


def done(*actions: Action, came_from: int = 1) -> list[object]:
    return list(plain_actions(actions, HALF, DEVICES.__getitem__, came_from))


@pytest.mark.parametrize("protocol", [ETH_P_IP, ETH_P_IPV6, ETH_P_ARP])
def test_a_protocol_is_an_ethertype_without_a_tag(protocol: int) -> None:
    found = match(FlowerMatch(protocol))
    assert found == (Match(fields.ETH_TYPE, protocol), Match(fields.VLAN_VID, 0))


def test_all_protocols_ask_nothing() -> None:
    assert match(FlowerMatch(ETH_P_ALL)) == ()


def test_a_protocol_the_switch_cannot_match() -> None:
    with pytest.raises(Unsupported, match="protocol 0x8100 cannot be matched"):
        match(FlowerMatch(ETH_P_8021Q))


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        (Key.DST_MAC, 1, fields.ETH_DST),
        (Key.SRC_MAC, 0x248A07A52801, fields.ETH_SRC),
        (Key.IP_TOS, 4, fields.IP_TOS),
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


@pytest.mark.parametrize("key", [Key.IP_TTL, Key.IP_TOS, Key.IP_PROTO, Key.ICMP_TYPE])
def test_masks_that_ovs_does_not_have(key: Key) -> None:
    with pytest.raises(Unsupported, match=f"{key.keyword}: the switch matches no mask"):
        asked((key, 1, 1))


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
    with pytest.raises(Unsupported, match="two highest bits are the testbed's own"):
        asked((Key.CT_LABEL, 1 << 127))
    with pytest.raises(Unsupported, match="two highest bits are the testbed's own"):
        asked((Key.CT_LABEL, 1 << 126, 1 << 126))


# Actions.


def test_a_list_without_a_verdict_passes() -> None:
    assert done() == done(Gact(PASS)) == [Resubmit(Table.STACK)]
    assert done(Gact(PIPE)) == [Resubmit(Table.STACK)]


def test_nothing_runs_after_a_verdict() -> None:
    assert done(Gact(DROP), TO_VM2) == []
    assert done(TO_VM2, TO_VM2) == [Output(2)]


def test_goto_chain() -> None:
    assert done(Gact(Control(Verb.GOTO_CHAIN, 7))) == [
        SetField(fields.CHAIN, 7),
        Resubmit(Table.SW_CHAIN),
    ]


@pytest.mark.parametrize("verb", [Verb.CONTINUE, Verb.RECLASSIFY, Verb.TRAP])
def test_verbs_that_are_not_there_yet(verb: Verb) -> None:
    with pytest.raises(Unsupported, match=f"{verb.name.lower()}: the testbed does not"):
        done(Gact(Control(verb)))


def test_encapsulation() -> None:
    tunnel_id = SetField(fields.TUN_ID, 98)
    four = [
        SetField(fields.TUN_IPV4_SRC, 0),
        SetField(fields.TUN_IPV4_DST, 0x07070708),
    ]
    assert done(ENCAP, TO_VXLAN) == [*four, tunnel_id, Output(3)]
    outer6 = TunnelKeySet(IPv6Address("::"), IPv6Address("::8"), 98)
    six = [SetField(fields.TUN_IPV6_SRC, 0), SetField(fields.TUN_IPV6_DST, 8)]
    assert done(outer6, TO_VXLAN) == [*six, tunnel_id, Output(3)]
    assert done(TunnelKeySet(ANY, HV2), TO_VXLAN)[2] == SetField(fields.TUN_ID, 0)


def test_decapsulation_clears_what_was_set() -> None:
    *cleared, last = done(TunnelKeyUnset(), TO_VM2)
    outer = (fields.TUN_IPV4_SRC, fields.TUN_IPV4_DST, fields.TUN_ID)
    assert cleared == [SetField(each, 0) for each in outer]
    assert last == Output(2)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (TunnelKeySet(ANY, HV2, dst_port=4790), "dst_port: the tunnel device's is"),
        (TunnelKeySet(ANY, HV2, csum=False), "nocsum"),
        (TunnelKeySet(ANY, HV2, tos=1), "tos and ttl"),
        (TunnelKeySet(ANY, HV2, ttl=1), "tos and ttl"),
    ],
)
def test_tunnel_options_that_are_not_there(action: Action, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        done(action, TO_VXLAN)


@pytest.mark.parametrize(
    "before", [(), (ENCAP, TunnelKeyUnset())], ids=["no key", "key unset again"]
)
def test_a_tunnel_device_needs_a_tunnel_key(before: tuple[Action, ...]) -> None:
    with pytest.raises(Unsupported, match="mirred to vxlan0: needs tunnel_key set"):
        done(*before, TO_VXLAN)


def test_mirroring_goes_on() -> None:
    mirror = Mirred("ens1f0_1", redirect=False, control=PIPE)
    assert done(mirror, ENCAP, TO_VXLAN)[0] == Output(2)
    assert done(mirror) == [Output(2), Resubmit(Table.STACK)]


def test_out_of_the_port_it_came_from() -> None:
    assert done(TO_VM2, came_from=2) == [Output(2, in_port=True)]


def test_no_ingress_of_another_device_yet() -> None:
    with pytest.raises(Unsupported, match="mirred ingress"):
        done(Mirred("ens1f0_1", redirect=True, egress=False))


def test_ct_clear_forgets_all_that_ct_knew() -> None:
    cleared = done(Ct(clear=True), TO_VM2)
    assert cleared[0] == TrackClear() and cleared[-1] == Output(2)
    gone = {each.field for each in cleared[1:-1] if isinstance(each, SetField)}
    skb = {fields.CT_STATE, fields.CT_ZONE, fields.MARK, fields.LABEL}
    assert gone == {*skb, fields.TUPLE_ID}


@pytest.mark.parametrize(
    "match_, reason",
    [
        (FlowerMatch(ETH_P_IP, ranges=(PortRange(Key.DST_PORT, 1, 9),)), "dst_port"),
        (FlowerMatch(ETH_P_IP, indev="ens1f0_0"), "indev"),
        (FlowerMatch(ETH_P_IP, (KeyMatch(Key.ENC_TOS, 1, 0xFF),)), "enc_tos"),
    ],
)
def test_matches_that_are_not_there_yet(match_: FlowerMatch, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        match(match_)


def test_actions_that_are_not_there_yet() -> None:
    with pytest.raises(Unsupported, match="VlanPop"):
        plain_actions((VlanPop(),), HALF, DEVICES.__getitem__, 1)
