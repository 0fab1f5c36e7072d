"""What the two halves share in turning a tc filter into rules.

A filter's actions are cut after each ``ct``: what stands up to and with it is
one rule in the chain's table, what comes after is another, found again by the
filter's fte_id.  Each half gives the cuts its own tables (``Half``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from controller import fields
from controller.fields import Field
from controller.rules import (
    Match,
    Output,
    Resubmit,
    RuleAction,
    SetField,
    Table,
    TrackClear,
)
from offload.actions import (
    Action,
    Control,
    Ct,
    Gact,
    Mirred,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
)
from offload.errors import Unsupported
from offload.flower import (
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    CtState,
    Key,
    KeyMatch,
)
from offload.flower import Match as FlowerMatch

VXLAN_PORT = 4789


class DeviceKind(Enum):
    """What stands behind a port."""

    REPRESENTOR = "representor"
    TUNNEL = "tunnel"


@dataclass(frozen=True, slots=True)
class Device:
    """A device that tc knows at a hypervisor; ``port`` is its OpenFlow port."""

    name: str
    kind: DeviceKind
    port: int


_NOT_YET = "not supported by the testbed yet"
_KEYS_NOT_YET = (
    *(Key.VLAN_ID, Key.VLAN_PRIO, Key.VLAN_ETHTYPE),
    *(Key.CVLAN_ID, Key.CVLAN_PRIO, Key.CVLAN_ETHTYPE),
    *(Key.ARP_SIP, Key.ARP_TIP, Key.ARP_OP, Key.ARP_SHA, Key.ARP_THA),
    *(Key.ENC_TOS, Key.ENC_TTL, Key.IP_FLAGS),
)

DeviceLookup = Callable[[str], Device]


@dataclass(frozen=True, slots=True)
class Half:
    """Where one half of the pipeline goes on; ``goto`` is what each goto does besides."""

    chain_field: Field
    chain_table: Table
    goto: tuple[RuleAction, ...] = ()


_PLAIN_FIELDS: dict[Key, Field] = {
    Key.DST_MAC: fields.ETH_DST,
    Key.SRC_MAC: fields.ETH_SRC,
    Key.IP_PROTO: fields.IP_PROTO,
    Key.IP_TOS: fields.IP_TOS,
    Key.IP_TTL: fields.IP_TTL,
    Key.DST_IPV4: fields.IPV4_DST,
    Key.SRC_IPV4: fields.IPV4_SRC,
    Key.DST_IPV6: fields.IPV6_DST,
    Key.SRC_IPV6: fields.IPV6_SRC,
    Key.TCP_FLAGS: fields.TCP_FLAGS,
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

_MASKABLE_IN_OVS = frozenset(_PLAIN_FIELDS) - {Key.IP_PROTO, Key.IP_TTL, Key.IP_TOS}


def match(flower: FlowerMatch) -> tuple[Match, ...]:
    """What a filter asks of a packet, in OpenFlow's fields.  Raises Unsupported."""
    for each in flower.ranges:
        raise Unsupported(f"{each.key.keyword} range: {_NOT_YET}")
    if flower.indev:
        raise Unsupported(f"indev: {_NOT_YET}")
    matches = [] if flower.protocol == ETH_P_ALL else _protocol(flower.protocol)
    for key_match in flower.keys:
        matches.extend(_key(key_match, flower))
    return tuple(matches)


def _protocol(protocol: int) -> list[Match]:
    if protocol not in (ETH_P_IP, ETH_P_IPV6, ETH_P_ARP):
        raise Unsupported(f"protocol {protocol:#06x} cannot be matched by the switch")
    return [Match(fields.ETH_TYPE, protocol), Match(fields.VLAN_VID, 0)]


def _key(asked: KeyMatch, flower: FlowerMatch) -> list[Match]:
    key = asked.key
    if key in _KEYS_NOT_YET:
        raise Unsupported(f"{key.keyword}: {_NOT_YET}")
    mask = None if asked.mask == key.full_mask else asked.mask
    if key is Key.CT_STATE:
        state, care = CtState(asked.value), CtState(asked.mask)
        return [
            Match(
                fields.CT_STATE,
                fields.ovs_ct_state(state),
                fields.ovs_ct_state(care),
            )
        ]
    if key is Key.ENC_DST_PORT:
        if (asked.value, mask) != (VXLAN_PORT, None):
            raise Unsupported(f"enc_dst_port: the tunnel device's is {VXLAN_PORT}")
        return []
    if mask is not None and key not in _MASKABLE_IN_OVS and key not in _TRANSPORT:
        raise Unsupported(f"{key.keyword}: the switch matches no mask on it")
    if key is Key.CT_LABEL and (asked.value | asked.mask) >> fields.LABEL_BITS:
        return [_label(asked)]
    return [Match(_field(key, flower), asked.value, mask)]


_TRANSPORT = (Key.SRC_PORT, Key.DST_PORT)


def _label(asked: KeyMatch) -> Match:
    """A match on all 128 bits, two of which are not the user's and always 0."""
    if asked.value >> fields.LABEL_BITS:
        raise Unsupported("ct_label: its two highest bits are the testbed's own")
    return Match(fields.LABEL, asked.value, asked.mask)


def _field(key: Key, flower: FlowerMatch) -> Field:
    if key in _PLAIN_FIELDS:
        return _PLAIN_FIELDS[key]
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


def plain_actions(
    actions: tuple[Action, ...], half: Half, device_of: DeviceLookup, came_from: int
) -> tuple[RuleAction, ...]:
    """The rule actions of tc actions none of which looks a packet up in conntrack.

    A list that ends without a verdict passes the packet.  Raises Unsupported.
    """
    done: list[RuleAction] = []
    tunnel_set = False
    for action in actions:
        if isinstance(action, TunnelKeySet):
            done.extend(_tunnel_set(action))
            tunnel_set = True
        elif isinstance(action, TunnelKeyUnset):
            done.extend(_TUNNEL_UNSET)
            tunnel_set = False
        elif isinstance(action, Mirred):
            done.append(_mirred(action, device_of, came_from, tunnel_set))
        elif isinstance(action, Ct):
            done.extend(_ct_clear())
        elif not isinstance(action, Gact):
            raise Unsupported(f"{type(action).__name__}: {_NOT_YET}")
        if action.control.verb is not Verb.PIPE:
            return (*done, *control(action.control, half))
    return (*done, *control(Control(Verb.PASS), half))


def control(verdict: Control, half: Half) -> tuple[RuleAction, ...]:
    """How a filter's actions end.  Raises Unsupported."""
    verb = verdict.verb
    if verb in (Verb.DROP, Verb.STOLEN):
        return ()
    if verb is Verb.PASS:
        return (Resubmit(Table.STACK),)
    if verb is Verb.GOTO_CHAIN:
        return (
            SetField(half.chain_field, verdict.chain),
            *half.goto,
            Resubmit(half.chain_table),
        )
    raise Unsupported(f"{verb.name.lower()}: the testbed does not do this verb yet")


def _ct_clear() -> tuple[RuleAction, ...]:
    registers = (
        fields.CT_STATE,
        fields.CT_ZONE,
        fields.MARK,
        fields.LABEL,
        fields.TUPLE_ID,
    )
    return (TrackClear(), *(SetField(register, 0) for register in registers))


def _tunnel_set(action: TunnelKeySet) -> tuple[RuleAction, ...]:
    if action.dst_port not in (None, VXLAN_PORT):
        raise Unsupported(f"tunnel_key: dst_port: the tunnel device's is {VXLAN_PORT}")
    if not action.csum:
        raise Unsupported("tunnel_key: nocsum: the tunnel device always has a checksum")
    if action.tos is not None or action.ttl is not None:
        raise Unsupported("tunnel_key: tos and ttl: not supported by the testbed yet")
    four = isinstance(action.dst, IPv4Address)
    source = fields.TUN_IPV4_SRC if four else fields.TUN_IPV6_SRC
    target = fields.TUN_IPV4_DST if four else fields.TUN_IPV6_DST
    return (
        SetField(source, int(action.src)),
        SetField(target, int(action.dst)),
        SetField(fields.TUN_ID, action.key_id or 0),
    )


# Tunnels run over IPv4.  To clear IPv6 addresses as well would be to match both kinds, and no
# such flow gets into the kernel's datapath ("Mixed IPv4 and IPv6 tunnel attributes").
_TUNNEL_UNSET: tuple[RuleAction, ...] = tuple(
    SetField(field, 0)
    for field in (fields.TUN_IPV4_SRC, fields.TUN_IPV4_DST, fields.TUN_ID)
)


def _mirred(
    action: Mirred, device_of: DeviceLookup, came_from: int, tunnel_set: bool
) -> Output:
    device = device_of(action.dev)
    if not action.egress:
        raise Unsupported("mirred ingress: not supported by the testbed yet")
    if device.kind is DeviceKind.TUNNEL and not tunnel_set:
        raise Unsupported(
            f"mirred to {device.name}: needs tunnel_key set before it in the filter"
        )
    return Output(device.port, device.port == came_from)
