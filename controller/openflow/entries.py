"""A connection's rules as bytes, packed from templates made once with Ryu.

Building a flow-mod from Ryu's objects takes a third of a millisecond, filling
the holes of a finished one a few microseconds (``template``).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from struct import Struct

from controller import fields
from controller.fields import Field
from controller.offers import READ_CONNTRACK, WATCH_PRIORITY
from controller.openflow import encode
from controller.openflow.template import (
    IPV4_BYTES,
    SENTINELS,
    Template,
    mark_of,
    marks_of,
    sentinel,
)
from controller.rules import (
    AddEntry,
    AddRule,
    CountEntry,
    DeleteEntry,
    DeleteWatch,
    Match,
    Owner,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Table,
    Track,
    Translate,
    WatchEntry,
)
from offload.conntrack import TCP_FIN, TCP_RST, Direction
from offload.flow_table import FlowRule, MangleField
from offload.flower import ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP, IPPROTO_UDP, CtState

ENTRY_PRIORITY = 10
_WHOLE_COOKIE = (1 << 64) - 1
_WATCH = 2  # beside the directions 0 and 1
_COOKIE = Struct("!Q")
_LOAD = Struct("!Q")  # a register load carries 64 bits
_PORT = Struct("!H")
_IDLE = Struct("!H")

_HIT_STATE = CtState.TRK | CtState.EST
_HITS = tuple(
    _LOAD.pack(fields.ovs_ct_state(state))
    for state in (_HIT_STATE, _HIT_STATE | CtState.RPL)
)

_MANGLED: dict[MangleField, str] = {
    MangleField.SRC_ADDR: "new_src",
    MangleField.DST_ADDR: "new_dst",
    MangleField.SRC_PORT: "new_sport",
    MangleField.DST_PORT: "new_dport",
}
_OWN: dict[MangleField, str] = {
    MangleField.SRC_ADDR: "src",
    MangleField.DST_ADDR: "dst",
    MangleField.SRC_PORT: "sport",
    MangleField.DST_PORT: "dport",
}


def make_templates() -> None:
    """Make the templates every network needs, before its first connection waits."""
    for ipv4 in (True, False):
        for proto in (IPPROTO_TCP, IPPROTO_UDP):
            _tuple_template(ipv4, proto, ())
            _watch_template(ipv4, proto, True)
    _age_template()
    _delete_template()


def entry_id_of(owner_id: int) -> int:
    """The entry that a cookie's id belongs to."""
    return owner_id >> 2


def direction_of(owner_id: int) -> Direction:
    """The direction that a cookie's id belongs to, which is not a watch's."""
    return Direction(owner_id & 1)


def _cookie(epoch: int, entry_id: int, part: int) -> bytes:
    """The cookie of a direction's rules, or of an entry's watch."""
    return _COOKIE.pack(encode.cookie(epoch, Owner.ENTRY, entry_id << 2 | part))


def add_entry(epoch: int, message: AddEntry) -> bytes:
    """The rules of one direction: its tuple and, with the original, the age."""
    flow = message.flow
    match = flow.match
    changed = tuple([mangle.field for mangle in flow.mangles])
    values = {
        "owner_id": _cookie(epoch, flow.entry_id, flow.direction),
        "src": match.src,
        "dst": match.dst,
        "sport": _PORT.pack(match.sport),
        "dport": _PORT.pack(match.dport),
        "zone": _PORT.pack(flow.zone),
        "ct_zone": _LOAD.pack(flow.zone),
        "state": _HITS[flow.direction],
        "mark": _LOAD.pack(flow.metadata.mark),
        "label": flow.metadata.label.to_bytes(16, "big"),
        "tuple_id": _LOAD.pack(flow.entry_id),
    }
    for field, value in flow.mangles:
        values[_MANGLED[field]] = value
    if changed:
        values["state"] = _translated(flow.direction, changed)
    packed = _tuple_template(len(match.src) == IPV4_BYTES, match.proto, changed).fill(
        values
    )
    if changed:
        packed += _restore(flow, changed, values)
    if flow.direction is Direction.REPLY:
        return packed
    age = {
        "owner_id": values["owner_id"],
        "tuple_id": flow.entry_id.to_bytes(3, "big"),
        "idle": _IDLE.pack(message.idle_s),
    }
    return packed + _age_template().fill(age)


@lru_cache(maxsize=None)
def _translated(direction: Direction, changed: tuple[MangleField, ...]) -> bytes:
    """The state that a hit gives, and that NAT was done, for a second ``ct nat``."""
    state = int.from_bytes(_HITS[direction], "big")
    source = {MangleField.SRC_ADDR, MangleField.SRC_PORT}
    if source & {*changed}:
        state |= fields.OVS_SNAT
    if {*changed} - source:
        state |= fields.OVS_DNAT
    return _LOAD.pack(state)


def _restore(
    flow: FlowRule, changed: tuple[MangleField, ...], values: dict[str, bytes]
) -> bytes:
    """The rule for what was translated in hardware and goes on in software."""
    before = {_MANGLED[field]: values[_OWN[field]] for field in changed}
    ipv4 = len(flow.match.src) == IPV4_BYTES
    template = _restore_template(ipv4, flow.match.proto, changed, flow.direction)
    return template.fill(
        {**values, **before, "tuple_id": flow.entry_id.to_bytes(3, "big")}
    )


def watch_entry(epoch: int, message: WatchEntry) -> bytes:
    """The rule that sees both directions of an entry which lives in software."""
    original = message.original
    values = {
        "owner_id": _cookie(epoch, message.entry_id, _WATCH),
        "src": original.src,
        "dst": original.dst,
        "sport": _PORT.pack(original.sport),
        "dport": _PORT.pack(original.dport),
        "zone": _PORT.pack(message.zone),
        "idle": _IDLE.pack(message.idle_s),
    }
    ipv4 = len(original.src) == IPV4_BYTES
    return _watch_template(ipv4, original.proto, message.established).fill(values)


def delete_entry(epoch: int, message: DeleteEntry) -> bytes:
    """Remove what one direction of an entry has in the switch."""
    of_cookie = _cookie(epoch, message.entry_id, message.direction)
    return _delete_template().fill({"owner_id": of_cookie})


def count_entry(epoch: int, message: CountEntry) -> bytes:
    """Ask for the counters of one direction of an entry."""
    of_cookie = _cookie(epoch, message.entry_id, message.direction)
    return encode.flow_stats_request(0, _COOKIE.unpack(of_cookie)[0], _WHOLE_COOKIE)


def delete_watch(epoch: int, message: DeleteWatch) -> bytes:
    """Stop watching an entry in software."""
    of_cookie = _cookie(epoch, message.entry_id, _WATCH)
    return _delete_template().fill({"owner_id": of_cookie})


def _headers(ipv4: bool, proto: int) -> dict[str, Field]:
    tcp = proto == IPPROTO_TCP
    return {
        "src": fields.IPV4_SRC if ipv4 else fields.IPV6_SRC,
        "dst": fields.IPV4_DST if ipv4 else fields.IPV6_DST,
        "sport": fields.TCP_SRC if tcp else fields.UDP_SRC,
        "dport": fields.TCP_DST if tcp else fields.UDP_DST,
    }


def _tuple_matches(
    headers: dict[str, Field], ipv4: bool, proto: int
) -> tuple[Match, ...]:
    return (
        Match(fields.ETH_TYPE, ETH_P_IP if ipv4 else ETH_P_IPV6),
        *(Match(field, sentinel(name, field)) for name, field in headers.items()),
        Match(fields.ZONE, SENTINELS["zone"]),
        Match(fields.IP_PROTO, proto),
    )


@lru_cache(maxsize=None)
def _tuple_template(
    ipv4: bool, proto: int, changed: tuple[MangleField, ...]
) -> Template:
    """One direction's rule; in hw_ct_nat if NAT changes something, else hw_ct.

    Source: mlx5 en/tc_ct.c:mlx5_tc_ct_entry_add_rule (match and mod_hdr)
    """
    headers = _headers(ipv4, proto)
    matches = _tuple_matches(headers, ipv4, proto) + (Match(fields.IP_FRAG, 0, 3),)
    if proto == IPPROTO_TCP:
        matches += (Match(fields.TCP_FLAGS, 0, TCP_FIN | TCP_RST),)
    renamed = {"new_" + name: field for name, field in headers.items()}
    holes = tuple(_MANGLED[field] for field in changed)
    actions: tuple[RuleAction, ...] = (
        SetField(fields.CT_STATE, SENTINELS["state"]),
        SetField(fields.CT_ZONE, SENTINELS["ct_zone"]),
        SetField(fields.MARK, SENTINELS["mark"]),
        SetField(fields.LABEL, SENTINELS["label"]),
        SetField(fields.TUPLE_ID, SENTINELS["tuple_id"]),
        *(
            SetField(renamed[hole], sentinel(hole, renamed[hole]), None)
            for hole in holes
        ),
        Resubmit(Table.CT_AGE),
        Resubmit(Table.HW_POST_CT),
    )
    table = Table.HW_CT_NAT if changed else Table.HW_CT
    names = (
        "owner_id",
        *headers,
        "zone",
        "ct_zone",
        "state",
        "mark",
        "label",
        "tuple_id",
        *holes,
    )
    rule = Rule(
        table, ENTRY_PRIORITY, matches, actions, Owner.PIPELINE, SENTINELS["owner_id"]
    )
    return Template(encode.add_rule(0, AddRule(rule)), marks_of(names, ipv4))


@lru_cache(maxsize=None)
def _restore_template(
    ipv4: bool,
    proto: int,
    changed: tuple[MangleField, ...],
    direction: Direction,
) -> Template:
    """Undo NAT and have conntrack do it again: its connection is the packet's then.

    Without that, a later ct() in software would not know the translated packet.
    Source: net/sched/act_ct.c:tcf_ct_flow_table_restore_skb
    """
    renamed = {"new_" + name: field for name, field in _headers(ipv4, proto).items()}
    holes = tuple(_MANGLED[field] for field in changed)
    reply = fields.ovs_ct_state(CtState.RPL)
    matches = (
        Match(fields.ETH_TYPE, ETH_P_IP if ipv4 else ETH_P_IPV6),
        Match(fields.IP_PROTO, proto),
        Match(fields.TUPLE_ID, SENTINELS["tuple_id"]),
        Match(fields.CT_STATE, reply * direction, reply),
    )
    actions: tuple[RuleAction, ...] = (
        *(SetField(renamed[hole], sentinel(hole, renamed[hole])) for hole in holes),
        SetField(fields.TUPLE_ID, 0),
        Track(SENTINELS["zone"], table=Table.RESTORED, nat=Translate()),
    )
    rule = Rule(
        Table.RESTORE,
        ENTRY_PRIORITY,
        matches,
        actions,
        Owner.PIPELINE,
        SENTINELS["owner_id"],
    )
    sizes = marks_of(("owner_id", "zone", *holes), ipv4)
    sizes["tuple_id"] = mark_of("tuple_id", 3)
    return Template(encode.add_rule(0, AddRule(rule)), sizes)


@lru_cache(maxsize=None)
def _age_template() -> Template:
    """The rule both directions pass through, and whose idleness is the entry's."""
    rule = Rule(
        Table.CT_AGE,
        ENTRY_PRIORITY,
        (Match(fields.TUPLE_ID, SENTINELS["tuple_id"]),),
        (),
        Owner.PIPELINE,
        SENTINELS["owner_id"],
    )
    holes = {
        "owner_id": mark_of("owner_id", 8),
        "tuple_id": mark_of("tuple_id", 3),
        "idle": mark_of("idle", 2),
    }
    return Template(_timed(rule), holes)


@lru_cache(maxsize=None)
def _watch_template(ipv4: bool, proto: int, established: bool) -> Template:
    """Seen after ct(), by the connection's original tuple whatever NAT did."""
    headers = {
        "src": fields.CONNTRACK_IPV4_SRC if ipv4 else fields.CONNTRACK_IPV6_SRC,
        "dst": fields.CONNTRACK_IPV4_DST if ipv4 else fields.CONNTRACK_IPV6_DST,
        "sport": fields.CONNTRACK_SPORT,
        "dport": fields.CONNTRACK_DPORT,
    }
    # UDP enters the flow table before its first reply, in a later kernel.
    seen = _HIT_STATE if established else CtState.TRK | CtState.NEW
    state = fields.ovs_ct_state(seen)
    matches = (
        *_tuple_matches(headers, ipv4, proto),
        Match(fields.CONNTRACK_PROTO, proto),
        Match(fields.CONNTRACK_STATE, state, state),
    )
    rule = Rule(
        Table.SW_TRACK,
        WATCH_PRIORITY,
        matches,
        (*READ_CONNTRACK, Resubmit(Table.SW_POST_CT)),
        Owner.PIPELINE,
        SENTINELS["owner_id"],
    )
    names = ("owner_id", *headers, "zone", "idle")
    return Template(_timed(rule), marks_of(names, ipv4))


def _timed(rule: Rule) -> bytes:
    """An add with an idle timeout that is reported."""
    reported = AddRule(replace(rule, report_removal=True))
    return encode.add_rule(0, reported, SENTINELS["idle"])


@lru_cache(maxsize=None)
def _delete_template() -> Template:
    message = encode.delete_by_cookie(SENTINELS["owner_id"], _WHOLE_COOKIE)
    return Template(message, {"owner_id": mark_of("owner_id", 8)})
