"""act_ct: a flow table a zone, and which connections may enter it.

    tracked packet --process_conn--> refused (why)  stays in software
                                 \\-> FlowTable.add --> callbacks (the driver)

    FIN, RST ------------------+
    idle for the timeout ------+--> teardown --> FlowTable.remove --> callbacks
    connection or zone gone ---+

Source: net/sched/act_ct.c
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from offload.aging import Aged, AgedConnections
from offload.conntrack import (
    PROTOCOL_NAMES,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    Direction,
    FlowTuple,
    TrackedPacket,
)
from offload.errors import Unsupported
from offload.flow_table import PENDING, FlowCallback, FlowEntry, FlowTable
from offload.flower import IPPROTO_TCP, IPPROTO_UDP, CtState
from offload.ids import IdPool
from offload.profile import DEFAULT, Profile

MAX_ENTRIES = 2**24 - 1  # mlx5's tuple_id register is 24 bits wide
UDP_STREAM_S = 2  # nf_conntrack_proto_udp.c: still active then, it is a stream
REFUSALS_KEPT = 256


@dataclass(frozen=True, slots=True)
class Refusal:
    """A connection that stays in software, and the rule that decided."""

    zone: int
    original: FlowTuple
    reason: str


class Conntrack(Protocol):
    """What act_ct asks of the switch's connection tracking."""

    def delete(self, zone: int, original: FlowTuple) -> None:
        """Remove a connection: its timeout has run out."""

    def offer_again(self, zone: int, original: FlowTuple) -> None:
        """Let the connection's next packet be offered to the flow table."""

    def watch(self, entry: FlowEntry) -> None:
        """Report (``idle``) when an entry that lives in software was silent."""

    def unwatch(self, entry: FlowEntry) -> None:
        """Stop watching an entry."""


class ActCt:
    """The zones of one network namespace, which here is one hypervisor."""

    def __init__(self, conntrack: Conntrack, profile: Profile = DEFAULT) -> None:
        self.tables: dict[int, FlowTable] = {}
        self.refusals: deque[Refusal] = deque(maxlen=REFUSALS_KEPT)
        self.refused: Counter[str] = Counter()
        self._profile = profile
        self._conntrack = conntrack
        self._entries: dict[int, FlowEntry] = {}
        self._ids = IdPool("tuple id", MAX_ENTRIES)
        self._aged = AgedConnections(profile)
        self._half: list[tuple[float, int]] = []  # until when, entry id

    def get_table(self, zone: int) -> FlowTable:
        """The zone's table, held once more.

        Source: net/sched/act_ct.c:tcf_ct_flow_table_get
        """
        table = self.tables.setdefault(zone, FlowTable(zone))
        table.references += 1
        return table

    def put_table(self, zone: int) -> None:
        """Let go of the zone's table; the last one flushes it.

        Source: net/sched/act_ct.c:tcf_ct_flow_table_put
        """
        table = self.tables[zone]
        table.references -= 1
        if table.references:
            return
        for entry in table:
            self._remove(entry)
            self._conntrack.offer_again(zone, entry.tuples[Direction.ORIGINAL])
        del self.tables[zone]

    def register(self, zone: int, callback: FlowCallback) -> None:
        """Offload the zone's entries, those there are and those to come.

        Raises AlreadyRegistered.
        """
        with self._watching(list(self.tables[zone])):
            self.tables[zone].register(callback)

    def unregister(self, zone: int, callback: FlowCallback) -> None:
        """Take the zone's entries back to software."""
        with self._watching(list(self.tables[zone])):
            self.tables[zone].unregister(callback)

    def hardware_done(self, entry_id: int) -> None:
        """An insertion that a callback took for later has been carried out."""
        entry = self._entries.get(entry_id)
        if entry is not None and entry.why == PENDING:
            with self._watching([entry]):
                entry.why = ""

    def hardware_failed(self, entry_id: int, why: str) -> FlowEntry | None:
        """A rule of an entry could not be put in: it goes on in software."""
        entry = self._entries.get(entry_id)
        if entry is None or not entry.holders:
            return None
        with self._watching([entry]):
            self.tables[entry.zone].withdraw(entry, why)
        return entry

    def try_again(self, entry_id: int) -> bool:
        """Let the next packet of an entry that hardware lacks offer it; is there one?"""
        entry = self._entries.get(entry_id)
        if entry is None or entry.holders:
            return False
        self._conntrack.offer_again(entry.zone, entry.tuples[Direction.ORIGINAL])
        return True

    def process_conn(self, packet: TrackedPacket, now_s: float) -> FlowEntry | Refusal:
        """Offer a packet's connection to its zone's flow table.

        Source: net/sched/act_ct.c:tcf_ct_flow_table_process_conn
        """
        aged = self._aged.pop((packet.zone, packet.original))
        reason = why_not(packet, self._profile)
        if reason:
            return self._refuse(packet, reason)
        table = self.tables.get(packet.zone)
        if table is None:
            self._conntrack.offer_again(packet.zone, packet.original)
            return self._refuse(packet, f"zone {packet.zone} has no ct action")
        entry = table.lookup(packet.original)
        if entry is None:
            return self._add(table, packet, aged, now_s)
        self._refresh(table, entry, packet, now_s)
        return entry

    def fin_or_rst(self, packet: TrackedPacket) -> FlowEntry | None:
        """Tear down what a FIN or RST belongs to; the entry, if there was one.

        Source: net/sched/act_ct.c:tcf_ct_flow_table_lookup
        """
        return self.connection_gone(packet.zone, packet.original)

    def lookup(self, zone: int, flow_tuple: FlowTuple) -> FlowEntry | None:
        """The entry that has a tuple as one of its two."""
        table = self.tables.get(zone)
        return table.lookup(flow_tuple) if table else None

    def connection_gone(self, zone: int, original: FlowTuple) -> FlowEntry | None:
        """Remove the entry of a connection that conntrack no longer has."""
        self._aged.pop((zone, original))
        entry = self.lookup(zone, original)
        if entry is not None:
            self._remove(entry)
        return entry

    def all_gone(self) -> None:
        """Remove every entry: conntrack has no connection any more."""
        self._aged.clear()
        for entry in self:
            self._remove(entry)

    def idle(self, entry_id: int, now_s: float, timeout_s: float) -> FlowEntry | None:
        """Age an entry out: no packet in either direction for ``timeout_s``.

        The connection itself lives on as long as the profile has conntrack keep
        it, and is offered again when it speaks.
        Source: nf_flow_table_core.c:nf_flow_offload_gc_step, flow_offload_fixup_ct
        """
        entry = self._entries.get(entry_id)
        if entry is None:
            return None
        self._remove(entry)
        original = entry.tuples[Direction.ORIGINAL]
        self._conntrack.offer_again(entry.zone, original)
        self._aged.add(entry, timeout_s, now_s)
        return entry

    def expire(self, now_s: float) -> None:
        """Delete connections whose own timeout ran out since they aged."""
        for zone, original in self._aged.expired(now_s):
            self._conntrack.delete(zone, original)

    def assure(self, now_s: float) -> None:
        """Have entries that are offloaded one way looked at again, when it is time."""
        while self._half and self._half[0][0] <= now_s:
            _, entry_id = heapq.heappop(self._half)
            entry = self._entries.get(entry_id)
            if entry is not None and not entry.bidirectional:
                original = entry.tuples[Direction.ORIGINAL]
                self._conntrack.offer_again(entry.zone, original)

    def remaining_s(self, zone: int, original: FlowTuple, now_s: float) -> int | None:
        """Until when a connection that aged is kept; None if that is conntrack's."""
        return self._aged.remaining_s((zone, original), now_s)

    def entry(self, entry_id: int) -> FlowEntry | None:
        """The live entry of that id."""
        return self._entries.get(entry_id)

    def __iter__(self) -> Iterator[FlowEntry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def _add(
        self,
        table: FlowTable,
        packet: TrackedPacket,
        aged: Aged | None,
        now_s: float,
    ) -> FlowEntry | Refusal:
        try:
            entry_id = self._ids.allocate()
        except Unsupported as full:
            return self._refuse(packet, str(full))
        entry = self._new(entry_id, packet, aged, now_s)
        if not table.add(entry):
            self._ids.release(entry_id)
            return self._refuse(packet, "its reply tuple is another connection's")
        self._entries[entry_id] = entry
        if not entry.in_hardware:
            self._conntrack.watch(entry)
        self._look_again(entry, now_s)
        return entry

    def _new(
        self, entry_id: int, packet: TrackedPacket, aged: Aged | None, now_s: float
    ) -> FlowEntry:
        tuples = (packet.original, packet.tuple.inverted())
        if packet.direction is Direction.REPLY:
            tuples = (packet.original, packet.tuple)
        entry = FlowEntry(entry_id, packet.zone, packet.mark, packet.label, tuples)
        if self._profile.udp_when_confirmed and packet.original.proto == IPPROTO_UDP:
            entry.established = CtState.EST in packet.state
            entry.bidirectional = aged is not None and aged.assured
            entry.assured_s = now_s + UDP_STREAM_S
        return entry

    def _refresh(
        self, table: FlowTable, entry: FlowEntry, packet: TrackedPacket, now_s: float
    ) -> None:
        """A packet of an entry came through software: offer what has changed or lacks.

        Source: net/sched/act_ct.c:tcf_ct_flow_table_lookup, flow_offload_refresh
        """
        assured = entry.established and now_s >= entry.assured_s
        replied = not entry.established and CtState.EST in packet.state
        if replied or not entry.holders or (assured and not entry.bidirectional):
            entry.established |= replied
            entry.bidirectional |= assured
            with self._watching([entry]):
                table.offload(entry)
        if replied and not entry.in_hardware:
            self._conntrack.unwatch(entry)  # as one that waits for a reply
            self._conntrack.watch(entry)
        self._look_again(entry, now_s)

    def _look_again(self, entry: FlowEntry, now_s: float) -> None:
        """A connection that may become assured is looked at once it has lasted."""
        if entry.established and not entry.bidirectional:
            heapq.heappush(self._half, (max(entry.assured_s, now_s), entry.id))

    @contextmanager
    def _watching(self, entries: Collection[FlowEntry]) -> Iterator[None]:
        """Have the software half watch those that hardware loses, and no others."""
        before = [entry.in_hardware for entry in entries]
        yield
        for entry, was_in_hardware in zip(entries, before, strict=True):
            if was_in_hardware and not entry.in_hardware:
                self._conntrack.watch(entry)
            elif entry.in_hardware and not was_in_hardware:
                self._conntrack.unwatch(entry)

    def _remove(self, entry: FlowEntry) -> None:
        if not entry.in_hardware:
            self._conntrack.unwatch(entry)
        self.tables[entry.zone].remove(entry)
        del self._entries[entry.id]
        self._ids.release(entry.id)

    def _refuse(self, packet: TrackedPacket, reason: str) -> Refusal:
        refusal = Refusal(packet.zone, packet.original, reason)
        self.refusals.append(refusal)
        self.refused[reason] += 1
        return refusal


def never_offloaded(proto: int) -> str:
    """Why no connection of a protocol enters a flow table, "" if some may."""
    if proto in (IPPROTO_TCP, IPPROTO_UDP):
        return ""
    name = PROTOCOL_NAMES.get(proto, f"protocol {proto}")
    return f"{name} is never offloaded: the flow table takes tcp and udp"


def why_not(packet: TrackedPacket, profile: Profile = DEFAULT) -> str:
    """The rule that keeps a packet's connection out of the table, "" if none.

    Source: net/sched/act_ct.c:tcf_ct_flow_table_process_conn
    """
    proto = packet.original.proto
    never = never_offloaded(proto)
    if never:
        return never
    unreplied = proto == IPPROTO_UDP and profile.udp_when_confirmed
    if CtState.EST not in packet.state and not unreplied:
        return "not established yet"
    if proto == IPPROTO_TCP and packet.tcp_flags & TCP_SYN:
        return "tcp handshake not finished yet"
    if proto == IPPROTO_TCP and packet.tcp_flags & (TCP_FIN | TCP_RST):
        return "tcp connection is closing"
    return ""
