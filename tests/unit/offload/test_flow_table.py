"""One zone's flow table: who is told of what."""

from __future__ import annotations

import pytest

from offload.conntrack import Direction, FlowTuple
from offload.errors import AlreadyRegistered, Unsupported
from offload.flow_table import (
    NOT_OFFERED,
    PENDING,
    Command,
    CtMetadata,
    FlowEntry,
    FlowEvent,
    FlowTable,
    Mangle,
    MangleField,
    Taken,
    mangles,
)
from tests.unit.connections import TCP, UDP, flow_tuple

BOTH = [Direction.ORIGINAL, Direction.REPLY]


class Driver:
    """A callback that remembers, and takes what it is told to take."""

    def __init__(self, *refused: Direction) -> None:
        self.events: list[FlowEvent] = []
        self._refused = refused

    def __call__(self, event: FlowEvent) -> Taken:
        self.events.append(event)
        if event.rule.direction in self._refused:
            raise Unsupported("no room")
        return Taken.NOW

    def heard(self) -> list[tuple[Command, Direction]]:
        heard = [(event.command, event.rule.direction) for event in self.events]
        self.events.clear()
        return heard


def entry(original: FlowTuple = TCP, reply: FlowTuple | None = None) -> FlowEntry:
    return FlowEntry(7, 5, 1, 2, (original, reply or original.inverted()))


def both(command: Command) -> list[tuple[Command, Direction]]:
    return [(command, direction) for direction in BOTH]


def test_an_entry_lives_and_dies_with_one_call_a_direction() -> None:
    table, driver, connection = FlowTable(5), Driver(), entry()
    table.register(driver)
    assert table.offloaded
    assert table.add(connection) and connection.in_hardware
    assert driver.heard() == both(Command.REPLACE)
    table.request_stats(connection)
    assert driver.heard() == both(Command.STATS)
    table.remove(connection)
    assert driver.heard() == both(Command.DESTROY)
    assert not connection.in_hardware and not len(table)


def test_both_tuples_lead_to_the_entry() -> None:
    table, connection = FlowTable(5), entry()
    table.add(connection)
    assert table.lookup(TCP) is table.lookup(TCP.inverted()) is connection
    assert table.lookup(UDP) is None
    assert list(table) == [connection] and len(table) == 1


def test_without_a_driver_it_stays_in_software() -> None:
    table, connection = FlowTable(5), entry()
    assert table.add(connection)
    assert not connection.in_hardware and not table.offloaded


def test_a_tuple_has_one_entry() -> None:
    table = FlowTable(5)
    table.add(entry())
    collides_on_reply = entry(flow_tuple(sport=1), TCP.inverted())
    assert not table.add(entry())
    assert not table.add(collides_on_reply)
    assert len(table) == 1 and table.lookup(flow_tuple(sport=1)) is None


def test_a_connection_to_itself_leaves_nothing() -> None:
    """Its two tuples are one: the same address and port on both sides."""
    table = FlowTable(5)
    itself = flow_tuple("10.0.0.1", "10.0.0.1", sport=9, dport=9)
    connection = entry(itself)
    if table.add(connection):
        table.remove(connection)
    assert not list(table) and table.lookup(itself) is None


def test_who_registers_late_is_told_of_what_there_is() -> None:
    table, driver, connection = FlowTable(5), Driver(), entry()
    table.add(connection)
    table.register(driver)
    assert driver.heard() == both(Command.REPLACE)
    assert connection.in_hardware


def test_nobody_registers_twice() -> None:
    table, driver = FlowTable(5), Driver()
    table.register(driver)
    with pytest.raises(AlreadyRegistered, match="zone 5"):
        table.register(driver)


@pytest.mark.parametrize("refused", BOTH)
def test_one_direction_is_not_enough(refused: Direction) -> None:
    """What was taken of it is taken back."""
    table, driver, connection = FlowTable(5), Driver(refused), entry()
    table.register(driver)
    assert table.add(connection)
    assert not connection.in_hardware
    assert driver.heard() == both(Command.REPLACE) + both(Command.DESTROY)


def test_one_driver_that_takes_it_is_enough() -> None:
    table, refusing, taking = FlowTable(5), Driver(*BOTH), Driver()
    table.register(refusing)
    table.register(taking)
    connection = entry()
    table.add(connection)
    assert connection.in_hardware
    table.unregister(refusing)
    assert connection.in_hardware
    table.unregister(taking)
    assert not connection.in_hardware
    assert taking.heard() == both(Command.REPLACE) + both(Command.DESTROY)
    assert table.lookup(TCP) is connection


def test_withdrawn_from_hardware_it_is_still_an_entry() -> None:
    table, driver, connection = FlowTable(5), Driver(), entry()
    table.register(driver)
    table.add(connection)
    driver.heard()
    table.withdraw(connection, "evicted")
    assert driver.heard() == both(Command.DESTROY)
    assert not connection.in_hardware and table.lookup(TCP) is connection


def test_a_rule_carries_the_state_that_hardware_gives() -> None:
    original, reply = entry().rules
    assert (original.match, reply.match) == (TCP, TCP.inverted())
    assert original.metadata == CtMetadata(1, 2, original=True)
    assert reply.metadata == CtMetadata(1, 2, original=False)
    assert (original.entry_id, original.zone, original.mangles) == (7, 5, ())


def test_source_nat_is_undone_on_the_way_back() -> None:
    reply = flow_tuple("10.0.0.3", "7.7.7.7", sport=80, dport=61000)
    original_rule, reply_rule = entry(TCP, reply).rules
    assert original_rule.mangles == (
        Mangle(MangleField.SRC_ADDR, bytes([7, 7, 7, 7])),
        Mangle(MangleField.SRC_PORT, (61000).to_bytes(2, "big")),
    )
    assert reply_rule.mangles == (
        Mangle(MangleField.DST_ADDR, bytes([10, 0, 0, 1])),
        Mangle(MangleField.DST_PORT, (40000).to_bytes(2, "big")),
    )


def test_destination_nat() -> None:
    reply = flow_tuple("10.0.0.4", "10.0.0.1", sport=8080, dport=40000)
    assert mangles(TCP, reply) == (
        Mangle(MangleField.DST_ADDR, bytes([10, 0, 0, 4])),
        Mangle(MangleField.DST_PORT, (8080).to_bytes(2, "big")),
    )


def test_one_that_fails_hurts_nobody_else() -> None:
    table, healthy, connection = FlowTable(5), Driver(), entry()

    def broken(event: FlowEvent) -> Taken:
        raise KeyError(event.rule.entry_id)

    table.register(broken)
    table.register(healthy)
    assert table.add(connection) and connection.in_hardware
    table.unregister(healthy)
    assert healthy.heard() == both(Command.REPLACE) + both(Command.DESTROY)
    table.offload(connection)
    assert connection.why == "KeyError: 7" and not connection.holders


def test_why_it_is_not_in_hardware_is_the_last_reason() -> None:
    table, connection = FlowTable(5), entry()
    table.add(connection)
    assert connection.why == NOT_OFFERED
    table.register(Driver(Direction.REPLY))
    assert connection.why == "no room"
    table.register(Driver())
    assert connection.why == ""
    table.remove(connection)
    assert connection.why == NOT_OFFERED


def test_when_the_last_driver_has_left_nobody_refuses() -> None:
    table, refusing, connection = FlowTable(5), Driver(*BOTH), entry()
    table.register(refusing)
    table.add(connection)
    assert connection.why == "no room"
    table.unregister(refusing)
    assert connection.why == NOT_OFFERED


def test_taken_for_later_it_is_pending() -> None:
    table, connection = FlowTable(5), entry()
    table.register(lambda _: Taken.LATER)
    table.add(connection)
    assert connection.why == PENDING and connection.holders


def test_one_way_there_is_one_rule_and_the_other_later() -> None:
    table, driver, connection = FlowTable(5), Driver(), entry(UDP)
    connection.bidirectional = False
    table.register(driver)
    table.add(connection)
    assert driver.heard() == [(Command.REPLACE, Direction.ORIGINAL)]
    connection.bidirectional = True
    table.offload(connection)
    assert driver.heard() == both(Command.REPLACE)
    assert len(connection.holders) == 1
