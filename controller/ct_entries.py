"""act_ct's entries in the switch: the driver's callback, and conntrack's part.

Source: mlx5 en/tc_ct.c:mlx5_tc_ct_block_flow_offload
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.rules import (
    AddEntry,
    CountEntry,
    DeleteConnection,
    DeleteEntry,
    DeleteWatch,
    Message,
    OfferAgain,
    RestoreConnection,
    WatchEntry,
)
from offload.conntrack import Direction, FlowTuple
from offload.errors import Unsupported
from offload.flow_table import Command, FlowEntry, FlowEvent, Taken
from offload.flower import IPPROTO_TCP

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

    def __init__(self, outbox: list[Message], timeouts: Timeouts) -> None:
        self._outbox = outbox
        self._timeouts = timeouts

    def offload(self, event: FlowEvent) -> Taken:
        """The callback registered on flow tables: put a direction in hardware."""
        rule = event.rule
        if event.command is Command.REPLACE:
            if not rule.metadata.established:
                raise Unsupported(UNREPLIED)
            idle_s = self._timeouts.of(rule.match.proto)
            self._outbox.append(AddEntry(rule, idle_s))
        elif event.command is Command.DESTROY:
            self._outbox.append(DeleteEntry(rule.entry_id, rule.direction))
        else:
            self._outbox.append(CountEntry(rule.entry_id, rule.direction))
        return Taken.NOW

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
        self._outbox.append(WatchEntry(entry.id, entry.zone, original, idle_s))

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
        for rule in entry.rules:
            self.offload(FlowEvent(Command.REPLACE, rule))
