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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

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
from offload.flow_table import FlowCallback, FlowEntry, FlowTable
from offload.flower import IPPROTO_TCP, IPPROTO_UDP, CtState
from offload.ids import IdPool
from offload.profile import DEFAULT, Profile

MAX_ENTRIES = 2**24 - 1  # mlx5's tuple_id register is 24 bits wide
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
        self._expiring: list[tuple[float, int, FlowTuple]] = []
        self._expires_s: dict[tuple[int, FlowTuple], float] = {}

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
        table = self.tables[zone]
        in_software = [entry for entry in table if not entry.in_hardware]
        table.register(callback)
        for entry in in_software:
            if entry.in_hardware:
                self._conntrack.unwatch(entry)

    def unregister(self, zone: int, callback: FlowCallback) -> None:
        """Take the zone's entries back to software."""
        table = self.tables[zone]
        in_hardware = [entry for entry in table if entry.in_hardware]
        table.unregister(callback)
        for entry in in_hardware:
            if not entry.in_hardware:
                self._conntrack.watch(entry)

    def hardware_failed(self, entry_id: int) -> FlowEntry | None:
        """The switch refused a rule of an entry: it goes on in software."""
        entry = self._entries.get(entry_id)
        if entry is None or not entry.in_hardware:
            return None
        self.tables[entry.zone].withdraw(entry)
        self._conntrack.watch(entry)
        return entry

    def process_conn(self, packet: TrackedPacket) -> FlowEntry | Refusal:
        """Offer a packet's connection to its zone's flow table.

        Source: net/sched/act_ct.c:tcf_ct_flow_table_process_conn
        """
        self._expires_s.pop((packet.zone, packet.original), None)
        reason = why_not(packet)
        if reason:
            return self._refuse(packet, reason)
        table = self.tables.get(packet.zone)
        if table is None:
            self._conntrack.offer_again(packet.zone, packet.original)
            return self._refuse(packet, f"zone {packet.zone} has no ct action")
        entry = table.lookup(packet.original)
        if entry is not None:
            return entry
        return self._add(table, packet)

    def fin_or_rst(self, packet: TrackedPacket) -> FlowEntry | None:
        """Tear down what a FIN or RST belongs to; the entry, if there was one.

        Source: net/sched/act_ct.c:tcf_ct_flow_table_lookup
        """
        return self.connection_gone(packet.zone, packet.original)

    def connection_gone(self, zone: int, original: FlowTuple) -> FlowEntry | None:
        """Remove the entry of a connection that conntrack no longer has."""
        table = self.tables.get(zone)
        entry = table.lookup(original) if table else None
        if entry is not None:
            self._remove(entry)
        return entry

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
        keep_s = self._kept_s(original.proto, timeout_s)
        if keep_s is not None:
            self._expires_s[entry.zone, original] = now_s + keep_s
            heapq.heappush(self._expiring, (now_s + keep_s, entry.zone, original))
        return entry

    def _kept_s(self, proto: int, silent_s: float) -> float | None:
        """How long conntrack keeps a connection that was silent for so long."""
        profile = self._profile
        keep_s = profile.aged_tcp_s if proto == IPPROTO_TCP else profile.aged_udp_s
        if keep_s is None or not profile.aged_counts_silence:
            return keep_s
        return max(keep_s - silent_s, 0)

    def expire(self, now_s: float) -> None:
        """Delete connections whose own timeout ran out since they aged."""
        while self._expiring and self._expiring[0][0] <= now_s:
            expires_s, zone, original = heapq.heappop(self._expiring)
            if self._expires_s.get((zone, original)) == expires_s:
                del self._expires_s[zone, original]
                self._conntrack.delete(zone, original)

    def remaining_s(self, zone: int, original: FlowTuple, now_s: float) -> int | None:
        """Until when a connection that aged is kept; None if that is conntrack's."""
        expires_s = self._expires_s.get((zone, original))
        return None if expires_s is None else max(int(expires_s - now_s), 0)

    def entry(self, entry_id: int) -> FlowEntry | None:
        """The live entry of that id."""
        return self._entries.get(entry_id)

    def __iter__(self) -> Iterator[FlowEntry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def _add(self, table: FlowTable, packet: TrackedPacket) -> FlowEntry | Refusal:
        try:
            entry_id = self._ids.allocate()
        except Unsupported as full:
            return self._refuse(packet, str(full))
        tuples = (packet.original, packet.tuple.inverted())
        if packet.direction is Direction.REPLY:
            tuples = (packet.original, packet.tuple)
        entry = FlowEntry(entry_id, table.zone, packet.mark, packet.label, tuples)
        if not table.add(entry):
            self._ids.release(entry_id)
            return self._refuse(packet, "its reply tuple is another connection's")
        self._entries[entry_id] = entry
        if not entry.in_hardware:
            self._conntrack.watch(entry)
        return entry

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


def why_not(packet: TrackedPacket) -> str:
    """The rule that keeps a packet's connection out of the table, "" if none.

    Source: net/sched/act_ct.c:tcf_ct_flow_table_process_conn (Linux 5.7)
    """
    proto = packet.original.proto
    if proto not in (IPPROTO_TCP, IPPROTO_UDP):
        name = PROTOCOL_NAMES.get(proto, f"protocol {proto}")
        return f"{name} is never offloaded: the flow table takes tcp and udp"
    if CtState.EST not in packet.state:
        return "not established yet"
    if proto == IPPROTO_TCP and packet.tcp_flags & TCP_SYN:
        return "tcp handshake not finished yet"
    if proto == IPPROTO_TCP and packet.tcp_flags & (TCP_FIN | TCP_RST):
        return "tcp connection is closing"
    return ""
