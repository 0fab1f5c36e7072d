"""One zone's flow table: established connections and who is told of them.

An entry has two nodes, one a direction.  Whoever offloads registers a
callback, and is told of each direction on its own:

    add ----------> REPLACE original, REPLACE reply ---> callbacks
    teardown -----> DESTROY original, DESTROY reply ---> callbacks
    stats --------> STATS original,   STATS reply   ---> callbacks

Source: net/netfilter/nf_flow_table_core.c, nf_flow_table_offload.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from offload.conntrack import Direction, FlowTuple
from offload.errors import AlreadyRegistered


class Command(Enum):
    """What an event asks of a callback.  Source: enum flow_cls_command"""

    REPLACE = auto()
    DESTROY = auto()
    STATS = auto()


class MangleField(Enum):
    """A header field that NAT rewrites."""

    SRC_ADDR = auto()
    DST_ADDR = auto()
    SRC_PORT = auto()
    DST_PORT = auto()


class Mangle(NamedTuple):
    """Rewrite one field; ``value`` is in wire order (4, 16 or 2 bytes)."""

    field: MangleField
    value: bytes


class CtMetadata(NamedTuple):
    """The state hardware gives to a packet that hits its tuple."""

    mark: int
    label: int
    original: bool


class FlowRule(NamedTuple):
    """One direction of an entry, as a driver is to realise it.

    ``entry_id`` with ``direction`` is the cookie of kernel events.
    Source: nf_flow_table_offload.c:nf_flow_offload_rule_alloc
    """

    entry_id: int
    direction: Direction
    zone: int
    match: FlowTuple
    metadata: CtMetadata
    mangles: tuple[Mangle, ...]


class FlowEvent(NamedTuple):
    """What a callback is called with."""

    command: Command
    rule: FlowRule


# True: taken.  False: refused, the direction stays in software.
FlowCallback = Callable[[FlowEvent], bool]


@dataclass(slots=True)
class FlowEntry:
    """A connection in the flow table.

    ``counted`` is what hardware last said (packets, bytes) of each direction.
    """

    id: int
    zone: int
    mark: int
    label: int
    tuples: tuple[FlowTuple, FlowTuple]
    in_hardware: bool = False
    counted: dict[Direction, tuple[int, int]] = field(default_factory=dict)

    @property
    def rules(self) -> tuple[FlowRule, FlowRule]:
        """Both directions; derived, since two tuples say it all."""
        return flow_rule(self, Direction.ORIGINAL), flow_rule(self, Direction.REPLY)


def mangles(own: FlowTuple, other: FlowTuple) -> tuple[Mangle, ...]:
    """What NAT makes of a packet that matches ``own``.

    Its headers become the inverse of the other direction's tuple; a field that
    is the same is left alone.
    Source: net/sched/act_ct.c:tcf_ct_flow_table_add_action_nat
    """
    target = other.inverted()
    fields = (
        (MangleField.SRC_ADDR, own.src, target.src),
        (MangleField.DST_ADDR, own.dst, target.dst),
        (
            MangleField.SRC_PORT,
            own.sport.to_bytes(2, "big"),
            target.sport.to_bytes(2, "big"),
        ),
        (
            MangleField.DST_PORT,
            own.dport.to_bytes(2, "big"),
            target.dport.to_bytes(2, "big"),
        ),
    )
    return tuple(Mangle(which, new) for which, old, new in fields if old != new)


def flow_rule(entry: FlowEntry, direction: Direction) -> FlowRule:
    """Instantiate one direction: its match, ct_metadata and mangles.

    Source: net/sched/act_ct.c:tcf_ct_flow_table_fill_actions
    """
    own, other = entry.tuples[direction], entry.tuples[1 - direction]
    metadata = CtMetadata(entry.mark, entry.label, direction is Direction.ORIGINAL)
    return FlowRule(entry.id, direction, entry.zone, own, metadata, mangles(own, other))


class FlowTable:
    """The entries of one zone.  ``references`` counts the ct actions using it."""

    def __init__(self, zone: int) -> None:
        self.zone = zone
        self.references = 0
        self._nodes: dict[FlowTuple, FlowEntry] = {}
        self._callbacks: list[FlowCallback] = []

    def register(self, callback: FlowCallback) -> None:
        """Tell ``callback`` of all entries there are and will be.

        Raises AlreadyRegistered.
        Source: nf_flow_table_core.c:nf_flow_table_offload_add_cb
        """
        if callback in self._callbacks:
            raise AlreadyRegistered(f"zone {self.zone}: callback registered twice")
        self._callbacks.append(callback)
        for entry in self:
            self._offload(entry, [callback])

    def unregister(self, callback: FlowCallback) -> None:
        """Tell ``callback`` to forget its entries, and of nothing after.

        Source: nf_flow_table_core.c:nf_flow_table_offload_del_cb
        """
        self._callbacks.remove(callback)
        for entry in self:
            self._tell(Command.DESTROY, entry, [callback])
            entry.in_hardware = entry.in_hardware and bool(self._callbacks)

    @property
    def offloaded(self) -> bool:
        """Is anybody registered?"""
        return bool(self._callbacks)

    def lookup(self, packet: FlowTuple) -> FlowEntry | None:
        """The entry that has ``packet`` as one of its two tuples."""
        return self._nodes.get(packet)

    def add(self, entry: FlowEntry) -> bool:
        """Insert an entry and offload it; False if a tuple is taken already.

        Source: nf_flow_table_core.c:flow_offload_add
        """
        original, reply = entry.tuples
        if original == reply or original in self._nodes or reply in self._nodes:
            return False
        for flow_tuple in entry.tuples:
            self._nodes[flow_tuple] = entry
        self._offload(entry, self._callbacks)
        return True

    def remove(self, entry: FlowEntry) -> None:
        """Tear an entry down.  Source: nf_flow_table_core.c:flow_offload_del"""
        for flow_tuple in entry.tuples:
            del self._nodes[flow_tuple]
        self._tell(Command.DESTROY, entry, self._callbacks)
        entry.in_hardware = False

    def withdraw(self, entry: FlowEntry) -> None:
        """Take an entry that hardware could not hold back to software."""
        self._tell(Command.DESTROY, entry, self._callbacks)
        entry.in_hardware = False

    def request_stats(self, entry: FlowEntry) -> None:
        """Ask the callbacks for an entry's counters."""
        self._tell(Command.STATS, entry, self._callbacks)

    def __iter__(self) -> Iterator[FlowEntry]:
        for flow_tuple, entry in list(self._nodes.items()):
            if flow_tuple is entry.tuples[Direction.ORIGINAL]:
                yield entry

    def __len__(self) -> int:
        return len(self._nodes) // 2

    def _offload(self, entry: FlowEntry, callbacks: list[FlowCallback]) -> None:
        """REPLACE both directions; in hardware only where both were taken."""
        taken = self._tell(Command.REPLACE, entry, callbacks)
        if not taken and callbacks:
            self._tell(Command.DESTROY, entry, callbacks)
        entry.in_hardware = entry.in_hardware or taken

    def _tell(
        self, command: Command, entry: FlowEntry, callbacks: list[FlowCallback]
    ) -> bool:
        """Call every callback for each direction; did one take both?"""
        events = [FlowEvent(command, rule) for rule in entry.rules]
        taken = [[callback(event) for event in events] for callback in callbacks]
        return any(all(directions) for directions in taken)
