"""An OpenFlow switch in memory: enough of one to walk packets through the pipeline.

A packet is a value for each OVS field; one it does not have is 0.  A rule is
found by priority, and two of one priority that both match are an error of who
made them.  ``ct()`` asks a ``FakeConntrack`` and lets a copy go on in its table.

    FakeTable.load(bytes) --Ryu's parser--> rules        walk(packet) -> Walk
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from controller import fields
from controller.fields import Field, ovs_ct_state
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
)
from offload.conntrack import FlowTuple
from offload.flower import IPPROTO_TCP, CtState
from tests.unit.controller import read_back
from tests.unit.controller.read_back import FlowMod

ADD, DELETE, DELETE_STRICT = 0, 3, 4
RESET_COUNTS = 4
_DEFAULT_BYTES = 1000

_INNER_VLAN = "inner_vlan"

Packet = dict[str, int]
Place = tuple[Table, int, tuple[tuple[str, int, int], ...]]


@dataclass(slots=True)
class Walk:
    """What became of one packet."""

    tables: list[Table] = field(default_factory=list)
    outputs: list[tuple[int, Packet]] = field(default_factory=list)
    copies: list[Packet] = field(default_factory=list)

    @property
    def ports(self) -> list[int]:
        """Where it went out, in order."""
        return [port for port, _ in self.outputs]

    @property
    def in_hardware(self) -> bool:
        """Did it leave with nothing done in software?"""
        return bool(self.outputs) and Table.HW_MISS not in self.tables


@dataclass(slots=True)
class Connection:
    """What conntrack keeps of one."""

    mark: int = 0
    label: int = 0
    replied: bool = False


class FakeConntrack:
    """Connections by (zone, original tuple)."""

    def __init__(self) -> None:
        self.connections: dict[tuple[int, FlowTuple], Connection] = {}

    def track(self, packet: Packet, track: Track) -> None:
        """Look a packet up, commit it if asked, and leave its state in it."""
        zone = get(packet, fields.ZONE) if track.zone is None else track.zone
        read = tuple_of(packet)
        original, state = read, CtState.TRK | CtState.NEW
        known = self.connections.get((zone, read))
        answered = self.connections.get((zone, read.inverted()))
        if known is not None:
            state = CtState.TRK | (CtState.EST if known.replied else CtState.NEW)
        elif answered is not None:
            answered.replied = True
            original, known = read.inverted(), answered
            state = CtState.TRK | CtState.EST | CtState.RPL
        if track.commit:
            known = self.connections.setdefault((zone, original), Connection())
            _commit(known, track.sets)
        _show(packet, zone, state, known or Connection(), original)


def _commit(connection: Connection, sets: Iterable[SetField]) -> None:
    for each in sets:
        mask = each.field.full_mask if each.mask is None else each.mask
        value, mask = each.value << each.field.start, mask << each.field.start
        if each.field.oxm == fields.CONNTRACK_MARK.oxm:
            connection.mark = connection.mark & ~mask | value
        else:
            connection.label = connection.label & ~mask | value


def _show(
    packet: Packet,
    zone: int,
    state: CtState,
    connection: Connection,
    original: FlowTuple,
) -> None:
    four = len(original.src) == 4
    source = fields.CONNTRACK_IPV4_SRC if four else fields.CONNTRACK_IPV6_SRC
    target = fields.CONNTRACK_IPV4_DST if four else fields.CONNTRACK_IPV6_DST
    packet["ct_zone"] = zone
    put(packet, fields.CONNTRACK_STATE, ovs_ct_state(state))
    put(packet, fields.CONNTRACK_MARK, connection.mark)
    put(packet, fields.CONNTRACK_LABEL, connection.label)
    put(packet, source, int.from_bytes(original.src, "big"))
    put(packet, target, int.from_bytes(original.dst, "big"))
    put(packet, fields.CONNTRACK_PROTO, original.proto)
    put(packet, fields.CONNTRACK_SPORT, original.sport)
    put(packet, fields.CONNTRACK_DPORT, original.dport)


_CONNTRACK_FIELDS = (
    fields.CONNTRACK_STATE,
    fields.CONNTRACK_MARK,
    fields.CONNTRACK_LABEL,
    fields.CONNTRACK_PROTO,
    fields.CONNTRACK_IPV4_SRC,
    fields.CONNTRACK_IPV4_DST,
    fields.CONNTRACK_IPV6_SRC,
    fields.CONNTRACK_IPV6_DST,
    fields.CONNTRACK_SPORT,
    fields.CONNTRACK_DPORT,
)


def get(packet: Packet, field_: Field) -> int:
    """A field of a packet."""
    return packet.get(field_.oxm, 0) >> field_.start & field_.full_mask


def put(packet: Packet, field_: Field, value: int, mask: int | None = None) -> None:
    """Change a field, or the part of it under a mask."""
    mask = (field_.full_mask if mask is None else mask) << field_.start
    old = packet.get(field_.oxm, 0)
    packet[field_.oxm] = old & ~mask | value << field_.start & mask


def tuple_of(packet: Packet) -> FlowTuple:
    """The tuple that a packet's headers read."""
    four = get(packet, fields.ETH_TYPE) == 0x0800
    size = 4 if four else 16
    source = fields.IPV4_SRC if four else fields.IPV6_SRC
    target = fields.IPV4_DST if four else fields.IPV6_DST
    proto = get(packet, fields.IP_PROTO)
    tcp = proto == IPPROTO_TCP
    return FlowTuple(
        get(packet, source).to_bytes(size, "big"),
        get(packet, target).to_bytes(size, "big"),
        proto,
        get(packet, fields.TCP_SRC if tcp else fields.UDP_SRC),
        get(packet, fields.TCP_DST if tcp else fields.UDP_DST),
    )


def matches(rule_matches: Iterable[Match], packet: Packet) -> bool:
    """Does a packet have what is asked?"""
    for field_, value, mask in rule_matches:
        mask = field_.full_mask if mask is None else mask
        if get(packet, field_) & mask != value:
            return False
    return True


@dataclass(slots=True)
class Standing:
    """A rule in the switch, and what it has counted."""

    flow_mod: FlowMod
    packets: int = 0
    bytes: int = 0


def legal(rule: Rule) -> bool:
    """Does Open vSwitch take it?  A connection is changed by a commit only."""
    tracks = [each for each in rule.actions if isinstance(each, Track)]
    return all(each.commit or not (each.sets or each.force) for each in tracks)


class FakeTable:
    """All tables of one switch, which takes the rules that are ``legal``.

    ``removed`` and ``refused`` are rules that it has not told of yet.
    """

    def __init__(self) -> None:
        self.standing: dict[Place, Standing] = {}
        self.conntrack = FakeConntrack()
        self.removed: list[Standing] = []
        self.refused: list[Rule] = []
        self.legal = legal

    def load(self, data: bytes) -> None:
        """Carry out flow-mods."""
        for flow_mod in read_back.flow_mods(data):
            if flow_mod.command == ADD and not self.legal(flow_mod.rule):
                self.refused.append(flow_mod.rule)
            elif flow_mod.command == ADD:
                self._add(flow_mod)
            elif flow_mod.command == DELETE_STRICT:
                self._remove([_place(flow_mod.rule)])
            else:
                assert flow_mod.command == DELETE
                self._remove(self._with_cookie(flow_mod))

    def walk(self, packet: Packet, in_table: Table = Table.PORT) -> Walk:
        """Let a packet in; it is not changed itself."""
        walk = Walk()
        self._enter(in_table, packet.copy(), walk)
        return walk

    def run(self, packet: Packet, actions: Iterable[RuleAction]) -> Walk:
        """A packet-out."""
        walk = Walk()
        self._run(actions, packet.copy(), walk)
        return walk

    def age_out(self, whose: Callable[[Rule], bool]) -> Standing:
        """The idle timeout of the one such rule that has any runs out."""
        [place] = [
            place
            for place, standing in self.standing.items()
            if standing.flow_mod.idle_s and whose(standing.flow_mod.rule)
        ]
        return self.standing.pop(place)

    def rules(self, table: Table, owner: Owner | None = None) -> list[Rule]:
        """The rules of one table."""
        rules = [standing.flow_mod.rule for standing in self.standing.values()]
        return [r for r in rules if r.table == table and owner in (None, r.owner)]

    def owners(self) -> Counter[Owner]:
        """How many rules each kind of owner has."""
        return Counter(each.flow_mod.rule.owner for each in self.standing.values())

    def _add(self, flow_mod: FlowMod) -> None:
        """One in its place is replaced, and its counters go on if not reset."""
        new, place = Standing(flow_mod), _place(flow_mod.rule)
        before = self.standing.get(place)
        if before is not None and not flow_mod.flags & RESET_COUNTS:
            new.packets, new.bytes = before.packets, before.bytes
        self.standing[place] = new

    def _remove(self, places: list[Place]) -> None:
        for place in places:
            standing = self.standing.pop(place, None)
            if standing is not None and standing.flow_mod.rule.report_removal:
                self.removed.append(standing)

    def _with_cookie(self, wanted: FlowMod) -> list[Place]:
        mask = wanted.cookie_mask
        return [
            place
            for place, standing in self.standing.items()
            if standing.flow_mod.of_cookie & mask == wanted.of_cookie & mask
        ]

    def _enter(self, table: Table, packet: Packet, walk: Walk) -> None:
        walk.tables.append(table)
        assert len(walk.tables) < 100, f"a loop: {walk.tables[-8:]}"
        found = [
            standing
            for standing in self.standing.values()
            if standing.flow_mod.rule.table == table
            and matches(standing.flow_mod.rule.matches, packet)
        ]
        if not found:
            return
        best = max(standing.flow_mod.rule.priority for standing in found)
        hits = [each for each in found if each.flow_mod.rule.priority == best]
        assert len(hits) == 1, f"ambiguous: {[each.flow_mod.rule for each in hits]}"
        hits[0].packets += 1
        hits[0].bytes += packet.get("bytes", _DEFAULT_BYTES)
        self._run(hits[0].flow_mod.rule.actions, packet, walk)

    def _run(self, actions: Iterable[RuleAction], packet: Packet, walk: Walk) -> None:
        for action in actions:
            if isinstance(action, SetField):
                put(packet, action.field, action.value, action.mask)
            elif isinstance(action, Move):
                _move(action, packet)
            elif isinstance(action, Output):
                port = packet["in_port"] if action.in_port else action.port
                blocked = port == packet["in_port"] and not action.in_port
                if not blocked:  # OpenFlow sends nothing back where it came from
                    walk.outputs.append((port, packet.copy()))
            elif isinstance(action, OutputTo):
                walk.outputs.append((get(packet, action.field), packet.copy()))
            elif isinstance(action, CopyToController):
                walk.copies.append(packet.copy())
            elif isinstance(action, Resubmit):
                self._enter(action.table, packet, walk)
            elif isinstance(action, Track):
                self._track(action, packet, walk)
            elif isinstance(action, Clone):
                self._run(action.actions, packet.copy(), walk)
            elif isinstance(action, PushVlan):
                packet[_INNER_VLAN] = get(packet, fields.VLAN_VID)
                put(packet, fields.VLAN_VID, fields.VLAN_PRESENT)
            elif isinstance(action, PopVlan):
                put(packet, fields.VLAN_VID, packet.pop(_INNER_VLAN, 0))
            elif isinstance(action, DecTtl):
                put(packet, fields.IP_TTL, get(packet, fields.IP_TTL) - 1)
            else:
                assert isinstance(action, TrackClear)
                for each in _CONNTRACK_FIELDS:
                    put(packet, each, 0)

    def _track(self, action: Track, packet: Packet, walk: Walk) -> None:
        """The copy that goes on has its state; the packet itself does not."""
        copy = packet.copy()
        self.conntrack.track(copy, action)
        if action.table is not None:
            self._enter(action.table, copy, walk)


def _place(rule: Rule) -> Place:
    asked = read_back.plain_match(rule.matches)
    flat = sorted((name, value, mask) for name, (value, mask) in asked.items())
    return rule.table, rule.priority, tuple(flat)


def _move(action: Move, packet: Packet) -> None:
    mask = (1 << action.bits) - 1
    value = packet.get(action.source.oxm, 0) >> action.source.start & mask
    shifted = mask << action.target.start
    old = packet.get(action.target.oxm, 0)
    new = old & ~shifted | value << action.target.start
    packet[action.target.oxm] = new
