"""What a rule does as bytes, through Ryu's classes.

An action is a value and many rules have the same ones: each is built once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ryu.lib.mac import haddr_to_str
from ryu.ofproto import nicira_ext
from ryu.ofproto import ofproto_v1_3 as ofp
from ryu.ofproto import ofproto_v1_3_parser as parser

from controller.fields import Field
from controller.openflow import ryu_compat  # noqa: F401 (before Ryu)
from controller.rules import (
    Clone,
    CopyToController,
    DecTtl,
    Move,
    Output,
    OutputTo,
    PopVlan,
    PushVlan,
    Resubmit,
    RuleAction,
    SetField,
    Track,
    TrackClear,
    Translate,
)

COPY_BYTES = 128  # Ethernet, IPv6 and TCP headers with room for a tag
_KEPT = 4096
_NX_CLONE = 42
_NX_CLONE_PAD = 6
_NX_CT_COMMIT = 1
_NX_CT_FORCE = 2
_NO_RECIRCULATION = 0xFF
_NAT_SRC = 1
_NAT_DST = 2
_MAX_LOAD_BITS = 64
_PADDED_TO = 8

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


def packed(rule_actions: Iterable[RuleAction]) -> bytes:
    """A list of actions."""
    return b"".join([_packed(action) for action in rule_actions])


@lru_cache(maxsize=_KEPT)
def _packed(action: RuleAction) -> bytes:
    written = bytearray()
    for each in actions((action,)):
        each.serialize(written, len(written))
        # What is last in it, a port range of NAT's say, Ryu leaves without its padding.
        written.extend(bytes(-len(written) % _PADDED_TO))
    return bytes(written)


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
        elif isinstance(action, OutputTo):
            yield _output_to(action.field)
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


def _output_to(field: Field) -> Any:
    last = field.start + field.bits - 1
    bits = nicira_ext.ofs_nbits(field.start, last)
    return parser.NXActionOutputReg(ofs_nbits=bits, src=field.oxm, max_len=0)


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
