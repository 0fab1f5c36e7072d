"""act_ct's entries in the switch: the driver's callback, and conntrack's part.

Source: mlx5 en/tc_ct.c:mlx5_tc_ct_block_flow_offload
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from controller.card import INSERTION_FAILED, Card
from controller.rules import (
    AddEntry,
    CountEntry,
    DeleteConnection,
    DeleteEntry,
    DeleteWatch,
    Later,
    Message,
    OfferAgain,
    RestoreConnection,
    WatchEntry,
)
from offload.conntrack import Direction, FlowTuple
from offload.errors import Unsupported
from offload.flow_table import Command, FlowEntry, FlowEvent, FlowRule, Taken
from offload.flower import IPPROTO_TCP

_AGAIN_AT_ONCE = 1000
EVICTED = "hardware evicted it: its next packet offers it"
UNREPLIED = "no reply was seen: the ct table has established connections only"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """After how many seconds of silence an entry ages out.

    Source: net.netfilter.nf_flowtable_tcp_timeout, nf_flowtable_udp_timeout
    """

    tcp_s: int = 30
    udp_s: int = 30

    def of(self, proto: int) -> int:
        """The timeout of a protocol's entries."""
        return self.tcp_s if proto == IPPROTO_TCP else self.udp_s


class CtEntries:
    """Turns flow events and act_ct's wishes into messages."""

    def __init__(self, outbox: list[Message], timeouts: Timeouts, card: Card) -> None:
        self._outbox = outbox
        self._timeouts = timeouts
        self._card = card
        self._pending: dict[tuple[int, Direction], AddEntry] = {}
        self._refused: dict[int, None] = {}  # entries, in their order
        self._leaving: Counter[int] = Counter()  # deletions not yet reported
        self.refusals: Counter[str] = Counter()

    def offload(self, event: FlowEvent) -> Taken:
        """The callback registered on flow tables: put a direction in hardware."""
        rule = event.rule
        if event.command is Command.REPLACE:
            return self._insert(rule)
        if event.command is Command.STATS:
            self._outbox.append(CountEntry(rule.entry_id, rule.direction))
        elif self._card.give_back(rule):
            if self._pending.pop((rule.entry_id, rule.direction), None) is None:
                self._outbox.append(DeleteEntry(rule.entry_id, rule.direction))
                if rule.direction is Direction.ORIGINAL:
                    self._leaving[rule.entry_id] += 1
        return Taken.NOW

    def _insert(self, rule: FlowRule) -> Taken:
        """Put a direction in hardware, now or when the card has had its time."""
        if not rule.metadata.established:
            raise Unsupported(UNREPLIED)
        delay_s = self._card.work.ct_insert_latency_us / 1e6
        try:
            self._card.take(rule)
            if not delay_s and self._card.fails():
                raise Unsupported(INSERTION_FAILED)
        except Unsupported as why:
            self.refuse(rule.entry_id, str(why))
            raise
        insertion = AddEntry(rule, self._timeouts.of(rule.match.proto))
        if not delay_s:
            self._outbox.append(insertion)
            return Taken.NOW
        self._pending[rule.entry_id, rule.direction] = insertion
        self._outbox.append(Later(delay_s, insertion))
        return Taken.LATER

    def insert_pending(self, later: Later) -> bool:
        """Carry an insertion out whose time has come; did the card fail?

        One that was taken back meanwhile is not carried out.
        """
        rule = later.insertion.flow
        key = rule.entry_id, rule.direction
        if self._pending.get(key) is not later.insertion:
            return False
        if self._card.fails():
            self.refuse(rule.entry_id, INSERTION_FAILED)
            return True
        del self._pending[key]
        self._outbox.append(later.insertion)
        return False

    def was_deleted(self, entry_id: int) -> bool:
        """Was it we who removed an entry that the switch reports to be gone?"""
        left = self._leaving.pop(entry_id, 0)
        if left > 1:
            self._leaving[entry_id] = left - 1
        return left > 0

    def refuse(self, entry_id: int, why: str) -> None:
        """Remember an entry that did not fit, to try again; counted once a try."""
        if entry_id not in self._refused:
            self._refused[entry_id] = None
            self.refusals[why] += 1

    def is_pending(self, entry_id: int) -> bool:
        """Has an entry insertions that are under way?"""
        return any((entry_id, direction) in self._pending for direction in Direction)

    def abandon_pending(self) -> list[int]:
        """The entries whose insertions the card will never say to be done."""
        self._leaving.clear()
        entries = dict.fromkeys(entry_id for entry_id, _ in self._pending)
        self._refused.update(entries)
        return list(entries)

    def take_refused(self) -> list[int]:
        """The entries that may fit now, of those that did not."""
        some = list(islice(self._refused, min(self._card.room, _AGAIN_AT_ONCE)))
        for entry_id in some:
            del self._refused[entry_id]
        return some

    def delete(self, zone: int, original: FlowTuple) -> None:
        """Remove a connection from conntrack."""
        self._outbox.append(DeleteConnection(zone, original))

    def offer_again(self, zone: int, original: FlowTuple) -> None:
        """Unmark a connection, so that its next packet is copied."""
        self._outbox.append(OfferAgain(zone, original))

    def watch(self, entry: FlowEntry) -> None:
        """Have the software half report the entry's silence."""
        original = entry.tuples[Direction.ORIGINAL]
        idle_s = self._timeouts.of(original.proto)
        self._outbox.append(
            WatchEntry(entry.id, entry.zone, original, idle_s, entry.established)
        )

    def unwatch(self, entry: FlowEntry) -> None:
        """Stop that."""
        self._outbox.append(DeleteWatch(entry.id))

    def restore_connection(self, entry: FlowEntry) -> None:
        """Make a connection anew in a conntrack that was lost with its switch."""
        self._outbox.append(
            RestoreConnection(entry.zone, entry.mark, entry.label, *entry.tuples)
        )

    def restore(self, entry: FlowEntry) -> None:
        """Tell a switch that came back of an entry."""
        if not entry.in_hardware:
            self.watch(entry)
            return
        idle_s = self._timeouts.of(entry.tuples[Direction.ORIGINAL].proto)
        self._outbox.extend(AddEntry(rule, idle_s) for rule in entry.rules)
