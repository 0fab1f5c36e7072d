"""Bytes for a switch, read by Ryu's own parsers back to the values they say.

Ryu knows whole OVS fields only, so a rule read back and the rule it was made of
differ in how they cut registers: ``plain`` makes them comparable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from struct import Struct
from typing import Any

from controller import fields
from controller.fields import Field
from controller.openflow import encode
from controller.openflow.actions import COPY_BYTES
from controller.rules import (
    Clone,
    CopyToController,
    DecTtl,
    Match,
    Move,
    Output,
    OutputTo,
    Owner,
    PopVlan,
    PushVlan,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Table,
    Track,
    TrackClear,
    Translate,
)

# After controller.openflow, which makes Ryu fit for it.
from ryu.ofproto import ofproto_parser  # isort: skip
from ryu.ofproto import ofproto_v1_3 as ofp  # isort: skip
from ryu.ofproto import ofproto_v1_3_parser as parser  # isort: skip

_PACKET_OUT = Struct("!IIH6x")
_BUNDLE_CONTROL, _BUNDLE_ADD = (2300).to_bytes(4, "big"), (2301).to_bytes(4, "big")
_BUNDLE_HEADER_BYTES = 24
_WIDTHS = {
    field.oxm: field.width
    for field in vars(fields).values()
    if isinstance(field, Field)
}


@dataclass(frozen=True, slots=True)
class FlowMod:
    """A flow-mod.  One that removes by cookie has no rule of its own."""

    command: int
    rule: Rule
    epoch: int
    of_cookie: int
    cookie_mask: int
    flags: int
    idle_s: int


def messages(data: bytes) -> Iterator[bytes]:
    """The OpenFlow messages in a run of bytes, out of their bundles."""
    open_ = False
    while data:
        length = int.from_bytes(data[2:4], "big")
        assert length >= 8, "no OpenFlow message"
        message, data = data[:length], data[length:]
        if message[1] != ofp.OFPT_EXPERIMENTER:
            yield message
        elif message[12:16] == _BUNDLE_ADD:
            open_ = True
            yield message[_BUNDLE_HEADER_BYTES:]
        elif message[12:16] == _BUNDLE_CONTROL:
            open_ = False
    assert not open_, "a bundle that is not committed"


def flow_mods(data: bytes) -> list[FlowMod]:
    """A run of flow-mods."""
    return [flow_mod(message) for message in messages(data)]


@lru_cache(maxsize=4096)
def flow_mod(data: bytes) -> FlowMod:
    """One flow-mod."""
    header = ofproto_parser.header(data)
    assert header[1] == ofp.OFPT_FLOW_MOD and header[2] == len(data)
    message = parser.OFPFlowMod.parser(encode.PROTOCOL, *header, data)
    owner, owner_id = encode.owner_of(message.cookie)
    known = message.table_id != ofp.OFPTT_ALL
    instructed = [each.actions for each in message.instructions]
    assert len(instructed) <= 1
    rule = Rule(
        Table(message.table_id) if known else Table.PORT,
        message.priority,
        tuple(_match(name, value) for name, value in message.match.items()),
        tuple(_action(each) for each in (instructed or [[]])[0]),
        Owner(owner),
        owner_id,
        bool(message.flags & ofp.OFPFF_SEND_FLOW_REM),
    )
    return FlowMod(
        message.command,
        rule,
        message.cookie >> encode.EPOCH_SHIFT,
        message.cookie,
        message.cookie_mask,
        message.flags,
        message.idle_timeout,
    )


@dataclass(frozen=True, slots=True)
class PacketOut:
    """A packet of the controller's, and what the switch is to do with it."""

    in_port: int
    actions: tuple[RuleAction, ...]
    frame: bytes


def packet_out(data: bytes) -> PacketOut:
    """One packet-out, which Ryu can write and not read."""
    header = ofproto_parser.header(data)
    assert header[1] == ofp.OFPT_PACKET_OUT and header[2] == len(data)
    buffer_id, in_port, length = _PACKET_OUT.unpack_from(data, 8)
    assert buffer_id == ofp.OFP_NO_BUFFER
    at, actions = 8 + _PACKET_OUT.size, []
    end = at + length
    while at < end:
        action = parser.OFPAction.parser(data, at)
        actions.append(_action(action))
        at += action.len
    return PacketOut(in_port, tuple(actions), data[end:])


def plain(rule: Rule) -> tuple[object, ...]:
    """A rule in whole OVS fields, with everything of it that travels."""
    return (
        rule.table,
        rule.priority,
        tuple(sorted(plain_match(rule.matches).items())),
        plain_actions(rule.actions),
        rule.owner,
        rule.owner_id,
        rule.report_removal,
    )


def plain_match(matches: Iterable[Match]) -> dict[str, tuple[int, int]]:
    """(value, mask) of each OVS field."""
    joined: dict[str, tuple[int, int]] = {}
    for field, value, mask in matches:
        joined[field.oxm] = _joined(joined.get(field.oxm), field, value, mask)
    return joined


def plain_actions(actions: Iterable[RuleAction]) -> tuple[object, ...]:
    """Actions with neighbouring loads of one OVS field put together."""
    done: list[Any] = []
    for action in actions:
        if isinstance(action, SetField):
            field = action.field
            last = done[-1] if done and done[-1][:2] == ("set", field.oxm) else None
            before = last[2] if last else None
            new = _joined(before, field, action.value, action.mask)
            if last:
                done.pop()
            done.append(("set", field.oxm, new))
        elif isinstance(action, Move):
            ends = [(end.oxm, end.start) for end in (action.source, action.target)]
            done.append(("move", *ends, action.bits))
        elif isinstance(action, Clone):
            done.append(("clone", plain_actions(action.actions)))
        elif isinstance(action, Output):
            done.append(("output", "in_port" if action.in_port else action.port))
        elif isinstance(action, OutputTo):
            end = action.field
            done.append(("output to", end.oxm, end.start, end.bits))
        elif isinstance(action, Track):
            sets = plain_actions(action.sets)
            rest = (action.zone, action.commit, action.force, action.table, action.nat)
            done.append(("track", sets, *rest))
        else:
            done.append((action,))
    return tuple(done)


def _joined(
    before: tuple[int, int] | None, field: Field, value: int, mask: int | None
) -> tuple[int, int]:
    """A field's (value, mask) after a part of it was said."""
    shifted = (field.full_mask if mask is None else mask) << field.start
    old_value, old_mask = before or (0, 0)
    return (
        old_value & ~shifted | value << field.start & shifted,
        old_mask | shifted,
    )


def _whole(oxm: str) -> Field:
    return Field(oxm, oxm, _WIDTHS[oxm])


def _part(oxm: str, start: int, bits: int) -> Field:
    return Field(oxm, oxm, bits, start, _WIDTHS[oxm])


def _match(name: str, value: Any) -> Match:
    if isinstance(value, tuple):
        return Match(_whole(name), _number(name, value[0]), _number(name, value[1]))
    return Match(_whole(name), _number(name, value))


def _number(name: str, value: int | str) -> int:
    """Ryu writes addresses out."""
    if isinstance(value, int):
        return value
    if name.startswith(("eth_", "arp_sha", "arp_tha")):
        return int(value.replace(":", ""), 16)
    return int(ip_address(value))


def _action(action: Any) -> RuleAction:
    read: RuleAction = _READ[type(action)](action)
    return read


def _load(action: Any) -> SetField:
    start, bits = action.ofs_nbits >> 6, (action.ofs_nbits & 0x3F) + 1
    return SetField(_part(action.dst, start, bits), action.value)


def _move(action: Any) -> Move:
    bits = action.n_bits
    source = _part(action.src_field, action.src_ofs, bits)
    return Move(source, _part(action.dst_field, action.dst_ofs, bits), bits)


def _output(action: Any) -> RuleAction:
    if action.port == ofp.OFPP_CONTROLLER:
        assert action.max_len == COPY_BYTES
        return CopyToController()
    in_port = action.port == ofp.OFPP_IN_PORT
    return Output(action.port, in_port)


def _output_to(action: Any) -> OutputTo:
    start, bits = action.ofs_nbits >> 6, (action.ofs_nbits & 0x3F) + 1
    return OutputTo(_part(action.src, start, bits))


def _track(action: Any) -> Track:
    nested = [_action(each) for each in action.actions]
    sets = tuple(each for each in nested if isinstance(each, SetField))
    nats = [each for each in nested if isinstance(each, Translate)]
    if action.zone_src:
        assert (action.zone_src, action.zone_ofs_nbits) == ("reg2", 15)
    no_table = action.recirc_table == 0xFF
    return Track(
        None if action.zone_src else action.zone_ofs_nbits,
        bool(action.flags & 1),
        bool(action.flags & 2),
        None if no_table else Table(action.recirc_table),
        sets,
        nats[0] if nats else None,
    )


def _nat(action: Any) -> Any:
    family = "ipv6" if action.range_ipv6_min else "ipv4"
    return Translate(
        bool(action.flags & 1),
        getattr(action, f"range_{family}_min") or "",
        getattr(action, f"range_{family}_max") or "",
        action.range_proto_min or 0,
        action.range_proto_max or 0,
    )


def _clone(action: Any) -> Clone:
    """Ryu leaves it as it came: six bytes of padding, then actions."""
    assert action._subtype == 42
    data, at, nested = bytes(action.data), 6, []
    while at < len(data):
        each = parser.OFPAction.parser(data, at)
        nested.append(_action(each))
        at += each.len
    return Clone(tuple(nested))


_READ: dict[type, Any] = {
    parser.NXActionUnknown: _clone,
    parser.OFPActionPushVlan: lambda action: PushVlan(action.ethertype),
    parser.OFPActionPopVlan: lambda _: PopVlan(),
    parser.OFPActionDecNwTtl: lambda _: DecTtl(),
    parser.NXActionRegLoad: _load,
    parser.NXActionRegMove: _move,
    parser.NXActionResubmitTable: lambda action: Resubmit(Table(action.table_id)),
    parser.NXActionCT: _track,
    parser.NXActionCTClear: lambda _: TrackClear(),
    parser.NXActionNAT: _nat,
    parser.OFPActionOutput: _output,
    parser.NXActionOutputReg: _output_to,
    parser.OFPActionSetField: lambda action: SetField(
        _whole(action.key), _number(action.key, action.value)
    ),
}
