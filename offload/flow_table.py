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
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from offload.conntrack import Direction, FlowTuple
from offload.errors import AlreadyRegistered, Unsupported


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
    established: bool = True


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


class Taken(Enum):
    """What becomes of a direction that a callback did not refuse."""

    NOW = auto()
    LATER = auto()  # who took it says when, or that it failed


# Raises Unsupported for a direction that stays in software, with the reason.
FlowCallback = Callable[[FlowEvent], Taken]
Counted = tuple[int, int]
NOT_OFFERED = "no filter with this zone is in hardware"
PENDING = "its insertion into hardware is under way"


@dataclass(slots=True)
class FlowEntry:
    """A connection in the flow table.

    ``established``: a reply was seen; ``bidirectional``: replies are offloaded
    too, which ``assured_s`` delays.  ``holders`` are the callbacks that took it;
    while it is not in hardware ``why`` says so.  ``counted`` is what hardware
    last said (packets, bytes) of each direction.
    """

    id: int
    zone: int
    mark: int
    label: int
    tuples: tuple[FlowTuple, FlowTuple]
    established: bool = True
    bidirectional: bool = True
    assured_s: float = 0.0
    holders: tuple[FlowCallback, ...] = ()
    why: str = NOT_OFFERED
    counted: tuple[Counted, Counted] = ((0, 0), (0, 0))

    @property
    def in_hardware(self) -> bool:
        """Does hardware have all of it that it is to have?"""
        return not self.why

    @property
    def rules(self) -> tuple[FlowRule, ...]:
        """A rule a direction that is to be offloaded; two tuples say it all."""
        original = flow_rule(self, Direction.ORIGINAL)
        if not self.bidirectional:
            return (original,)
        return original, flow_rule(self, Direction.REPLY)


def mangles(own: FlowTuple, other: FlowTuple) -> tuple[Mangle, ...]:
    """What NAT makes of a packet that matches ``own``.

    Its headers become the inverse of the other direction's tuple; a field that
    is the same is left alone.
    Source: net/sched/act_ct.c:tcf_ct_flow_table_add_action_nat
    """
    target = other.inverted()
    if own == target:
        return ()
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
    original = direction is Direction.ORIGINAL
    metadata = CtMetadata(entry.mark, entry.label, original, entry.established)
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
            self._offload(entry, callback)

    def unregister(self, callback: FlowCallback) -> None:
        """Tell ``callback`` to forget its entries, and of nothing after.

        Source: nf_flow_table_core.c:nf_flow_table_offload_del_cb
        """
        self._callbacks.remove(callback)
        for entry in self:
            _tell(callback, Command.DESTROY, entry)
            _let_go(entry, callback)
            if not self._callbacks:
                entry.why = NOT_OFFERED

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
        self.offload(entry)
        return True

    def offload(self, entry: FlowEntry) -> None:
        """Offer an entry to every callback, or again: it has changed, or was refused.

        Source: net/netfilter/nf_flow_table_offload.c:flow_offload_work_add
        """
        for callback in self._callbacks:
            self._offload(entry, callback)

    def remove(self, entry: FlowEntry) -> None:
        """Tear an entry down.  Source: nf_flow_table_core.c:flow_offload_del"""
        for flow_tuple in entry.tuples:
            del self._nodes[flow_tuple]
        self.withdraw(entry, NOT_OFFERED)

    def withdraw(self, entry: FlowEntry, why: str) -> None:
        """Take an entry that hardware could not hold back to software."""
        for callback in self._callbacks:
            _tell(callback, Command.DESTROY, entry)
        entry.holders, entry.why = (), why

    def request_stats(self, entry: FlowEntry) -> None:
        """Ask the callbacks for an entry's counters."""
        for callback in self._callbacks:
            _tell(callback, Command.STATS, entry)

    def __iter__(self) -> Iterator[FlowEntry]:
        for flow_tuple, entry in list(self._nodes.items()):
            if flow_tuple is entry.tuples[Direction.ORIGINAL]:
                yield entry

    def __len__(self) -> int:
        return len(self._nodes) // 2

    @staticmethod
    def _offload(entry: FlowEntry, callback: FlowCallback) -> None:
        """REPLACE each direction; what was taken of an entry in part is taken back."""
        later, refused = _tell(callback, Command.REPLACE, entry)
        if refused:
            _tell(callback, Command.DESTROY, entry)
            _let_go(entry, callback)
            entry.why = entry.why and refused
            return
        if callback not in entry.holders:
            entry.holders += (callback,)
        entry.why = PENDING if later else ""


def _let_go(entry: FlowEntry, callback: FlowCallback) -> None:
    entry.holders = tuple(each for each in entry.holders if each != callback)
    if not entry.holders:
        entry.why = entry.why or NOT_OFFERED


def _tell(
    callback: FlowCallback, command: Command, entry: FlowEntry
) -> tuple[bool, str]:
    """One call a direction: is any done later only, and why was one refused?

    A callback that fails hurts nobody but itself.
    """
    later, refused = False, ""
    for rule in entry.rules:
        try:
            later |= callback(FlowEvent(command, rule)) is Taken.LATER
        except Unsupported as reason:
            refused = str(reason)
        except Exception as error:  # noqa: B902 (it is somebody else's code)
            refused = f"{type(error).__name__}: {error}"
    return later, refused
