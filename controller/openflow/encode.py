"""Messages as bytes, through Ryu's classes.

One ``Encoder`` a connection: cookies carry its epoch, so that after a
reconnection everything stale can be removed by its old epoch.

    cookie: | epoch 8 | owner 8 | id 48 |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ryu.lib.mac import haddr_to_str
from ryu.ofproto import nicira_ext
from ryu.ofproto import ofproto_v1_3 as ofp
from ryu.ofproto import ofproto_v1_3_parser as parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

from controller.openflow import ryu_compat  # noqa: F401 (before Ryu)
from controller.rules import (
    AddRule,
    Clone,
    CopyToController,
    DecTtl,
    DeleteRule,
    Match,
    Move,
    Output,
    Owner,
    PopVlan,
    PushVlan,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Track,
    TrackClear,
    Translate,
)

PROTOCOL = ProtocolDesc(version=ofp.OFP_VERSION)
COPY_BYTES = 128  # Ethernet, IPv6 and TCP headers with room for a tag
_NX_CLONE = 42
_NX_CLONE_PAD = 6
_NX_CT_COMMIT = 1
_NX_CT_FORCE = 2
_NO_RECIRCULATION = 0xFF
_NAT_SRC = 1
_NAT_DST = 2
_MAX_LOAD_BITS = 64
_ID_BITS = 48

OWNER_MASK = 0xFF << _ID_BITS
EPOCH_SHIFT = 56
EPOCH_MASK = 0xFF << EPOCH_SHIFT

_MACS = frozenset(("eth_src", "eth_dst", "arp_sha", "arp_tha"))
_IPV4S = frozenset(
    (
        "ipv4_src",
        "ipv4_dst",
        "tun_ipv4_src",
        "tun_ipv4_dst",
        "ct_nw_src",
        "ct_nw_dst",
        "arp_spa",
        "arp_tpa",
    )
)
_IPV6S = frozenset(
    (
        "ipv6_src",
        "ipv6_dst",
        "tun_ipv6_src",
        "tun_ipv6_dst",
        "ct_ipv6_src",
        "ct_ipv6_dst",
    )
)


def cookie(epoch: int, owner: Owner, owner_id: int) -> int:
    """A rule's cookie."""
    return epoch << EPOCH_SHIFT | owner << _ID_BITS | owner_id


def owner_of(of_cookie: int) -> tuple[int, int]:
    """(owner, id) of a cookie."""
    return of_cookie >> _ID_BITS & 0xFF, of_cookie & ((1 << _ID_BITS) - 1)


def add_rule(epoch: int, message: AddRule) -> bytes:
    """A flow-mod that installs a rule."""
    rule = message.rule
    flags = ofp.OFPFF_SEND_FLOW_REM if rule.report_removal else 0
    if message.reset_counters:
        flags |= ofp.OFPFF_RESET_COUNTS
    return flow_mod(
        epoch,
        rule,
        command=ofp.OFPFC_ADD,
        flags=flags,
        instructions=[
            parser.OFPInstructionActions(
                ofp.OFPIT_APPLY_ACTIONS, [*actions(rule.actions)]
            )
        ],
    )


def delete_rule(epoch: int, message: DeleteRule) -> bytes:
    """A flow-mod that removes a rule by its match and priority."""
    return flow_mod(epoch, message.rule, command=ofp.OFPFC_DELETE_STRICT)


def flow_mod(epoch: int, rule: Rule, **more: Any) -> bytes:
    """A flow-mod for a rule."""
    message = parser.OFPFlowMod(
        PROTOCOL,
        cookie=cookie(epoch, rule.owner, rule.owner_id),
        table_id=rule.table,
        priority=rule.priority,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=match(rule.matches),
        **more,
    )
    return serialized(message)


def delete_by_cookie(of_cookie: int, mask: int, xid: int = 0) -> bytes:
    """A flow-mod that removes every rule whose cookie is ``of_cookie`` under ``mask``."""
    message = parser.OFPFlowMod(
        PROTOCOL,
        cookie=of_cookie,
        cookie_mask=mask,
        table_id=ofp.OFPTT_ALL,
        command=ofp.OFPFC_DELETE,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=parser.OFPMatch(),
    )
    return serialized(message, xid)


def flow_stats_request(xid: int, of_cookie: int, mask: int) -> bytes:
    """Ask for the counters of all rules whose cookie is ``of_cookie`` under ``mask``."""
    message = parser.OFPFlowStatsRequest(
        PROTOCOL,
        table_id=ofp.OFPTT_ALL,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        cookie=of_cookie,
        cookie_mask=mask,
    )
    return serialized(message, xid)


def barrier_request(xid: int) -> bytes:
    """Ask the switch to say when everything before is done."""
    return serialized(parser.OFPBarrierRequest(PROTOCOL), xid)


def packet_out(data: bytes, rule_actions: tuple[RuleAction, ...]) -> bytes:
    """Let the switch run actions on a packet of ours."""
    message = parser.OFPPacketOut(
        PROTOCOL,
        buffer_id=ofp.OFP_NO_BUFFER,
        in_port=ofp.OFPP_CONTROLLER,
        actions=[*actions(rule_actions)],
        data=data,
    )
    return serialized(message)


def serialized(message: Any, xid: int = 0) -> bytes:
    """The bytes of one of Ryu's messages."""
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def match(matches: Iterable[Match]) -> Any:
    """Ryu's match; parts of one register are put together."""
    joined: dict[str, tuple[int, int]] = {}
    full: dict[str, int] = {}
    for field, value, mask in matches:
        mask = field.full_mask if mask is None else mask
        before = joined.get(field.oxm, (0, 0))
        joined[field.oxm] = (
            before[0] | value << field.start,
            before[1] | mask << field.start,
        )
        full[field.oxm] = (1 << field.width) - 1
    return parser.OFPMatch(
        **{
            name: (
                _user_value(name, value)
                if mask == full[name]
                else (_user_value(name, value), _user_value(name, mask))
            )
            for name, (value, mask) in joined.items()
        }
    )


def _user_value(name: str, value: int) -> int | str:
    """Ryu wants some fields written out."""
    if name in _MACS:
        return str(haddr_to_str(value.to_bytes(6, "big")))
    if name in _IPV4S:
        return str(IPv4Address(value))
    if name in _IPV6S:
        return str(IPv6Address(value))
    return value


def actions(rule_actions: Iterable[RuleAction]) -> Iterator[Any]:
    """Ryu's actions."""
    for action in rule_actions:
        if isinstance(action, SetField):
            yield from _set_field(action)
        elif isinstance(action, Move):
            yield _move(action)
        elif isinstance(action, Output):
            port = ofp.OFPP_IN_PORT if action.in_port else action.port
            yield parser.OFPActionOutput(port, 0)
        elif isinstance(action, CopyToController):
            yield parser.OFPActionOutput(ofp.OFPP_CONTROLLER, COPY_BYTES)
        elif isinstance(action, Resubmit):
            yield parser.NXActionResubmitTable(table_id=action.table)
        elif isinstance(action, Track):
            yield _track(action)
        elif isinstance(action, TrackClear):
            yield parser.NXActionCTClear()
        elif isinstance(action, PushVlan):
            yield parser.OFPActionPushVlan(action.protocol)
        elif isinstance(action, PopVlan):
            yield parser.OFPActionPopVlan()
        elif isinstance(action, DecTtl):
            yield parser.OFPActionDecNwTtl()
        else:
            yield _clone(action)


def _clone(action: Clone) -> Any:
    """Ryu does not know this one.  Source: OVS lib/ofp-actions.c (NXAST_CLONE)"""
    nested = bytearray()
    for each in actions(action.actions):
        each.serialize(nested, len(nested))
    return parser.NXActionUnknown(_NX_CLONE, bytearray(_NX_CLONE_PAD) + nested)


def _move(action: Move) -> Any:
    return parser.NXActionRegMove(
        src_field=action.source.oxm,
        dst_field=action.target.oxm,
        n_bits=action.bits,
        src_ofs=action.source.start,
        dst_ofs=action.target.start,
    )


def _set_field(action: SetField) -> Iterator[Any]:
    """A load for each run of mask bits, or the whole field at once."""
    field = action.field
    if (
        action.mask is None
        and field.bits == field.width
        and field.bits > _MAX_LOAD_BITS
    ):
        value = _user_value(field.oxm, action.value)
        yield parser.OFPActionSetField(**{field.oxm: value})
        return
    mask = field.full_mask if action.mask is None else action.mask
    for start, bits in mask_runs(mask):
        yield parser.NXActionRegLoad(
            ofs_nbits=nicira_ext.ofs_nbits(
                field.start + start, field.start + start + bits - 1
            ),
            dst=field.oxm,
            value=action.value >> start & ((1 << bits) - 1),
        )


def mask_runs(mask: int) -> Iterator[tuple[int, int]]:
    """(start, bits) of each run of ones, cut to what one load can carry."""
    start = 0
    while mask >> start:
        if not mask >> start & 1:
            start += 1
            continue
        bits = 1
        while bits < _MAX_LOAD_BITS and mask >> (start + bits) & 1:
            bits += 1
        yield start, bits
        start += bits


def _track(action: Track) -> Any:
    flags = _NX_CT_COMMIT * action.commit | _NX_CT_FORCE * action.force
    nested = [load for set_field in action.sets for load in _set_field(set_field)]
    if action.nat is not None:
        nested.append(_translate(action.nat))
    zone_src, zone_bits = "", action.zone
    if action.zone is None:
        zone_src, zone_bits = "reg2", nicira_ext.ofs_nbits(0, 15)
    return parser.NXActionCT(
        flags=flags,
        zone_src=zone_src,
        zone_ofs_nbits=zone_bits,
        recirc_table=_NO_RECIRCULATION if action.table is None else action.table,
        alg=0,
        actions=nested,
    )


def _translate(nat: Translate) -> Any:
    if not (nat.addr_min or nat.port_min):
        return parser.NXActionNAT(flags=0)
    family = "ipv6" if ":" in nat.addr_min else "ipv4"
    addresses = {
        f"range_{family}_min": nat.addr_min,
        f"range_{family}_max": nat.addr_max,
    }
    ports = {}
    if nat.port_min:
        ports = {"range_proto_min": nat.port_min, "range_proto_max": nat.port_max}
    return parser.NXActionNAT(
        flags=_NAT_SRC if nat.source else _NAT_DST, **addresses, **ports
    )
