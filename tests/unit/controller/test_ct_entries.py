"""Flow events and act_ct's wishes as messages."""

from __future__ import annotations

import pytest

from controller.card import Card
from controller.ct_entries import CtEntries, Timeouts
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
from offload.flow_table import Command, FlowEntry, FlowEvent, Taken
from offload.profile import DEFAULT
from tests.unit.connections import TCP, UDP

TIMEOUTS = Timeouts(tcp_s=40, udp_s=20)


def start() -> tuple[CtEntries, list[Message]]:
    outbox: list[Message] = []
    return CtEntries(outbox, TIMEOUTS, Card(DEFAULT)), outbox


def entry(original: FlowTuple = TCP, in_hardware: bool = False) -> FlowEntry:
    tuples = (original, original.inverted())
    return FlowEntry(9, 5, 1, 2, tuples, why="" if in_hardware else "no room")


@pytest.mark.parametrize(("original", "idle_s"), [(TCP, 40), (UDP, 20)])
def test_replace_and_destroy(original: FlowTuple, idle_s: int) -> None:
    entries, outbox = start()
    rules = entry(original).rules
    for rule in rules:
        assert entries.offload(FlowEvent(Command.REPLACE, rule)) is Taken.NOW
    assert outbox == [AddEntry(rule, idle_s) for rule in rules]
    outbox.clear()
    for rule in rules:
        assert entries.offload(FlowEvent(Command.DESTROY, rule))
    assert outbox == [DeleteEntry(9, direction) for direction in Direction]


def test_stats_are_asked_of_the_switch() -> None:
    entries, outbox = start()
    for rule in entry().rules:
        assert entries.offload(FlowEvent(Command.STATS, rule))
    assert outbox == [CountEntry(9, direction) for direction in Direction]


@pytest.mark.parametrize(("original", "idle_s"), [(TCP, 40), (UDP, 20)])
def test_watch_and_unwatch(original: FlowTuple, idle_s: int) -> None:
    entries, outbox = start()
    entries.watch(entry(original))
    entries.unwatch(entry(original))
    assert outbox == [WatchEntry(9, 5, original, idle_s), DeleteWatch(9)]


def test_conntracks_part() -> None:
    entries, outbox = start()
    entries.delete(5, TCP)
    entries.offer_again(5, UDP)
    entries.restore_connection(entry())
    assert outbox == [
        DeleteConnection(5, TCP),
        OfferAgain(5, UDP),
        RestoreConnection(5, 1, 2, TCP, TCP.inverted()),
    ]


def test_restored_where_it_was() -> None:
    entries, outbox = start()
    entries.restore(entry())
    entries.restore(entry(in_hardware=True))
    kinds = [type(message) for message in outbox]
    assert kinds == [WatchEntry, AddEntry, AddEntry]
