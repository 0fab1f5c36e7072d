"""What a flower filter asks of a packet, in the switch's fields.

A rule asks for one value under one mask of each field.  What takes several (a
range of ports, a mask on a field that has none in OVS) becomes several rules
that no packet matches two of: ``alternatives``.

    dst_port 1000-1007 ip_flags nofirstfrag
        --> (1000/0xfff8, no fragment), (1000/0xfff8, a later fragment)

Source: net/sched/cls_flower.c:fl_set_key, OVS lib/meta-flow.h
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

from controller import fields
from controller.fields import Field
from controller.rules import Match
from controller.tunnels import VXLAN_PORT
from offload.errors import Unsupported
from offload.flower import (
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_ALL,
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

MAX_RULES = 1024
_FIRST_ETHER_TYPE = 0x600
_PORT_BITS = 16
_ECN_BITS = 2

Matches = tuple[Match, ...]
Options = list[Matches]

_FIELDS: dict[Key, Field] = {
    Key.VLAN_PRIO: fields.VLAN_PCP,
    Key.DST_MAC: fields.ETH_DST,
    Key.SRC_MAC: fields.ETH_SRC,
    Key.IP_PROTO: fields.IP_PROTO,
    Key.IP_TTL: fields.IP_TTL,
    Key.DST_IPV4: fields.IPV4_DST,
    Key.SRC_IPV4: fields.IPV4_SRC,
    Key.DST_IPV6: fields.IPV6_DST,
    Key.SRC_IPV6: fields.IPV6_SRC,
    Key.TCP_FLAGS: fields.TCP_FLAGS,
    Key.ARP_SIP: fields.ARP_SPA,
    Key.ARP_TIP: fields.ARP_TPA,
    Key.ARP_OP: fields.ARP_OP,
    Key.ARP_SHA: fields.ARP_SHA,
    Key.ARP_THA: fields.ARP_THA,
    Key.ENC_DST_IPV4: fields.TUN_IPV4_DST,
    Key.ENC_SRC_IPV4: fields.TUN_IPV4_SRC,
    Key.ENC_DST_IPV6: fields.TUN_IPV6_DST,
    Key.ENC_SRC_IPV6: fields.TUN_IPV6_SRC,
    Key.ENC_KEY_ID: fields.TUN_ID,
    Key.CT_ZONE: fields.CT_ZONE,
    Key.CT_MARK: fields.MARK,
    Key.CT_LABEL: fields.LABEL,
}

_PORT_FIELDS: dict[tuple[Key, int], Field] = {
    (Key.SRC_PORT, IPPROTO_TCP): fields.TCP_SRC,
    (Key.DST_PORT, IPPROTO_TCP): fields.TCP_DST,
    (Key.SRC_PORT, IPPROTO_UDP): fields.UDP_SRC,
    (Key.DST_PORT, IPPROTO_UDP): fields.UDP_DST,
    (Key.SRC_PORT, IPPROTO_SCTP): fields.SCTP_SRC,
    (Key.DST_PORT, IPPROTO_SCTP): fields.SCTP_DST,
}

_NO_MASK_IN_OVS = (Key.IP_TTL, Key.ICMP_TYPE, Key.ICMP_CODE, Key.ARP_OP)
_ETHER_TYPES = (Key.VLAN_ETHTYPE, Key.CVLAN_ETHTYPE)
_NOT_SEEN = {
    Key.ENC_TOS: "OpenFlow does not show the tunnel's tos",
    Key.ENC_TTL: "OpenFlow does not show the tunnel's ttl",
    Key.CVLAN_ID: "the switch sees the outer tag only",
    Key.CVLAN_PRIO: "the switch sees the outer tag only",
    Key.CVLAN_ETHTYPE: "the switch sees the outer tag only",
}


def alternatives(flower: FlowerMatch, device: str) -> list[Matches]:
    """The matches of a filter at a device: any of them, never two.

    None at all for what no packet can be.  Raises Unsupported.
    """
    if flower.indev and flower.indev != device:
        return []  # a packet's ingress device is the one whose filters it meets
    options = [[tuple(_protocol(flower))]]
    options += [_key(asked, flower) for asked in flower.keys]
    options += [_range(asked, flower) for asked in flower.ranges]
    rules = prod(len(each) for each in options)
    if rules > MAX_RULES:
        raise Unsupported(f"the filter would take {rules} rules of the switch")
    return [tuple(m for option in each for m in option) for each in product(*options)]


def _protocol(flower: FlowerMatch) -> Iterator[Match]:
    """The EtherType, and whether there is a tag in front of it.

    Model: OVS does not tell 802.1Q's tag from another TPID's.
    """
    if flower.protocol == ETH_P_ALL:
        return
    if flower.protocol == ETH_P_8021AD:
        raise Unsupported("protocol 802.1ad: the switch takes any tag for 802.1Q")
    tagged = flower.protocol == ETH_P_8021Q
    eth_type = flower.eth_type
    if eth_type != ETH_P_8021Q:
        if eth_type < _FIRST_ETHER_TYPE or eth_type == ETH_P_8021AD:
            raise Unsupported(f"protocol {eth_type:#06x}: the switch matches no such")
        yield Match(fields.ETH_TYPE, eth_type)
    elif Key.VLAN_ETHTYPE in {asked.key for asked in flower.keys}:
        raise Unsupported("vlan_ethtype: the switch sees the outer tag only")
    if not tagged:
        yield Match(fields.VLAN_VID, 0)
    elif flower.get(Key.VLAN_ID) is None:
        yield Match(fields.VLAN_VID, fields.VLAN_PRESENT, fields.VLAN_PRESENT)


def _key(asked: KeyMatch, flower: FlowerMatch) -> Options:
    """How one key may be fulfilled."""
    key = asked.key
    if key in _NOT_SEEN:
        raise Unsupported(f"{key.keyword}: {_NOT_SEEN[key]}")
    if key is Key.IP_FLAGS:
        return _ip_flags(IpFlags(asked.value), IpFlags(asked.mask))
    if key is Key.IP_TOS:
        return _tos(asked)
    if asked.mask != key.full_mask and key in _NO_MASK_IN_OVS:
        return [(Match(_field(key, flower), v),) for v in _values(asked, key.bits)]
    return [tuple(_simple(asked, flower))]


def _simple(asked: KeyMatch, flower: FlowerMatch) -> Iterator[Match]:
    """A key that is one match, or none."""
    key, value = asked.key, asked.value
    mask = None if asked.mask == key.full_mask else asked.mask
    if key is Key.CT_STATE:
        state, care = CtState(value), CtState(asked.mask)
        yield Match(
            fields.CT_STATE, fields.ovs_ct_state(state), fields.ovs_ct_state(care)
        )
    elif key is Key.VLAN_ID:
        yield Match(fields.VLAN_VID, fields.VLAN_PRESENT | value)
    elif key is Key.ENC_DST_PORT:
        if (value, mask) != (VXLAN_PORT, None):
            raise Unsupported(f"enc_dst_port: the tunnel device's is {VXLAN_PORT}")
    elif key is Key.CT_LABEL and (value | asked.mask) >> fields.LABEL_BITS:
        yield _label(asked)
    elif key not in _ETHER_TYPES:
        yield Match(_field(key, flower), value, mask)


def _label(asked: KeyMatch) -> Match:
    """A match on all 128 bits, two of which are not the user's and always 0."""
    if asked.value >> fields.LABEL_BITS:
        raise Unsupported("ct_label: its four highest bits are the testbed's own")
    return Match(fields.LABEL, asked.value, asked.mask)


def _field(key: Key, flower: FlowerMatch) -> Field:
    if key in _FIELDS:
        return _FIELDS[key]
    proto_match = flower.get(Key.IP_PROTO)
    proto = proto_match.value if proto_match else 0
    if key in (Key.ICMP_TYPE, Key.ICMP_CODE):
        is_type = key is Key.ICMP_TYPE
        if proto == IPPROTO_ICMPV6:
            return fields.ICMPV6_TYPE if is_type else fields.ICMPV6_CODE
        return fields.ICMPV4_TYPE if is_type else fields.ICMPV4_CODE
    if (key, proto) in _PORT_FIELDS:
        return _PORT_FIELDS[key, proto]
    raise Unsupported(f"{key.keyword}: no such field in this protocol")


def _values(asked: KeyMatch, bits: int) -> list[int]:
    """Every value of a few bits that fits a mask."""
    return [v for v in range(1 << bits) if v & asked.mask == asked.value]


def _tos(asked: KeyMatch) -> Options:
    """DSCP and ECN, which OVS knows apart and without masks."""
    options: Options = [()]
    for field, shift in ((fields.IP_DSCP, _ECN_BITS), (fields.IP_ECN, 0)):
        mask = asked.mask >> shift & field.full_mask
        if mask:
            part = KeyMatch(asked.key, asked.value >> shift & mask, mask)
            values = _values(part, field.bits)
            options = [(*o, Match(field, v)) for o in options for v in values]
    return options


_NO_FRAGMENT = (Match(fields.IP_FRAG, 0, 3),)
_FIRST_FRAGMENT = (Match(fields.IP_FRAG, 1, 3),)
_LATER_FRAGMENT = (Match(fields.IP_FRAG, 3, 3),)
_ANY_FRAGMENT = (Match(fields.IP_FRAG, 1, 1),)


def _ip_flags(value: IpFlags, mask: IpFlags) -> Options:
    """Source: net/core/flow_dissector.c (FLOW_DIS_IS_FRAGMENT, FIRST_FRAG)"""
    if mask == IpFlags.FRAG:
        return [_ANY_FRAGMENT] if value else [_NO_FRAGMENT]
    first = IpFlags.FIRST_FRAG in value
    if mask == IpFlags.FIRST_FRAG:
        return [_FIRST_FRAGMENT] if first else [_NO_FRAGMENT, _LATER_FRAGMENT]
    if IpFlags.FRAG in value:
        return [_FIRST_FRAGMENT] if first else [_LATER_FRAGMENT]
    return [] if first else [_NO_FRAGMENT]


def _range(asked: PortRange, flower: FlowerMatch) -> Options:
    """A range of ports as prefixes."""
    field = _field(asked.key, flower)
    return [
        (Match(field, value, None if mask == field.full_mask else mask),)
        for value, mask in prefixes(asked.low, asked.high, _PORT_BITS)
    ]


def prefixes(low: int, high: int, bits: int) -> Iterator[tuple[int, int]]:
    """(value, mask) of the fewest prefixes that are ``low`` to ``high``."""
    full = (1 << bits) - 1
    while low <= high:
        size = low & -low or 1 << bits
        while low + size - 1 > high:
            size >>= 1
        yield low, full & ~(size - 1)
        low += size
