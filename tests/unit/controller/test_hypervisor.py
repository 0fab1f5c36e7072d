"""A hypervisor: its devices, filters, connections, and what its switch is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from controller.connections import Connection
from controller.ct_entries import EVICTED
from controller.fields import Told
from controller.openflow.decode import Counted, Failed, Removed
from controller.pipeline import port_rule, static_rules
from controller.rules import (
    AddEntry,
    AddRule,
    DeleteConnection,
    DeleteStale,
    OfferAgain,
    Owner,
    RestoreConnection,
    Rule,
    Table,
    WatchEntry,
)
from offload.conntrack import TCP_FIN, TCP_RST, Direction, FlowTuple
from offload.errors import Unsupported
from offload.flow_table import FlowEntry
from tests.unit.connections import NEW, TCP, UDP, flow_tuple, tracked
from tests.unit.controller.bed import LETTER, PORTS, REP0, REP1, VXLAN, Bed

CT = (
    "filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower %s action ct%s drop"
)


def letter(offload: bool = True) -> Bed:
    bed = Bed(offload)
    bed.add(*LETTER)
    return bed


def offered(bed: Bed, original: FlowTuple = TCP, zone: int = 0) -> FlowEntry:
    bed.hypervisor.packet(tracked(original, zone=zone), 0.0)
    bed.deliver()
    [entry] = [e for e in bed.entries() if e.tuples[0] == original and e.zone == zone]
    return entry


def connection(original: FlowTuple = TCP, told: Told = Told.OFFERED) -> Connection:
    reply = original.inverted()
    return Connection("tcp", original, reply, 0, 0, 0, "", None, told)


def owner_id(bed: Bed, whose: Owner, table: Table) -> int:
    [rule] = bed.table.rules(table, whose)
    return rule.owner_id


def failure(owner: Owner | None, id_: int = 0) -> Failed:
    return Failed(5, 1, owner, id_)


# Devices and connections to the switch.


def test_devices_are_known_by_their_ports() -> None:
    bed = Bed(connect=False)
    hypervisor = bed.hypervisor
    with pytest.raises(Unsupported, match="ens1f0_0 is not a port of the switch"):
        hypervisor.device(REP0)
    for name, port in PORTS.items():
        assert not hypervisor.ports_known
        hypervisor.port_appeared(name, port)
    assert hypervisor.ports_known
    assert hypervisor.device(VXLAN).port == PORTS[VXLAN]
    told = hypervisor.take_outbox()
    assert told == [AddRule(port_rule(port, True)) for port in PORTS.values()]
    assert not hypervisor.take_outbox()


def test_a_port_that_is_no_device_of_ours() -> None:
    bed = Bed()
    bed.hypervisor.port_appeared("br-int", 0xFFFFFFFE)
    assert not bed.hypervisor.outbox and bed.hypervisor.ports_known


def test_at_the_first_connection_everything_else_goes() -> None:
    bed = Bed(connect=False)
    bed.hypervisor.connected()
    first, *rest = bed.hypervisor.take_outbox()
    assert first == DeleteStale(None)
    assert rest == [AddRule(rule) for rule in static_rules()]
    assert bed.hypervisor.epoch == 1


def test_at_the_next_one_only_what_is_stale_and_last() -> None:
    bed = letter()
    entry = offered(bed)
    standing = {rule.place for rule in bed.hypervisor.filters.rules()}
    bed.hypervisor.connected()
    *rest, last = bed.hypervisor.take_outbox()
    assert isinstance(last, DeleteStale) and last != DeleteStale(None)
    added = [each.rule.place for each in rest if isinstance(each, AddRule)]
    assert len(added) == len(set(added)) and standing <= set(added)
    entries = [each.flow for each in rest if isinstance(each, AddEntry)]
    assert tuple(entries) == entry.rules


def test_epochs_go_round_and_are_never_zero() -> None:
    bed = Bed(connect=False)
    seen = []
    for _ in range(600):
        bed.hypervisor.connected()
        seen.append(bed.hypervisor.epoch)
        bed.hypervisor.take_outbox()
    assert set(seen) == set(range(1, 256))


def test_a_connection_lost_half_way_leaves_nothing_stale() -> None:
    """The second connection ended before the switch heard a word."""
    bed = letter()
    offered(bed)
    bed.hypervisor.forget(0, TCP)
    bed.hypervisor.connected()
    bed.hypervisor.take_outbox()
    bed.connect()
    epochs = {each.flow_mod.epoch for each in bed.table.standing.values()}
    assert epochs == {3}
    assert not bed.table.owners()[Owner.ENTRY]


def test_the_last_epoch_is_followed_by_the_first() -> None:
    bed = letter()
    offered(bed)
    there = len(bed.table.standing)
    for _ in range(252):
        bed.hypervisor.connected()
        bed.hypervisor.take_outbox()
    seen = []
    for _ in range(4):
        bed.connect()
        epochs = {each.flow_mod.epoch for each in bed.table.standing.values()}
        seen.append(epochs)
        assert len(bed.table.standing) == there
    assert seen == [{254}, {255}, {1}, {2}]


def test_a_switch_that_lost_everything_has_it_again() -> None:
    bed = letter()
    offered(bed)
    before = set(bed.table.standing)
    bed.table.standing.clear()
    bed.connect()
    bed.hypervisor.restore_connections()
    bed.deliver()
    assert set(bed.table.standing) == before
    [(key, there)] = bed.table.conntrack.connections.items()
    assert key == (0, TCP) and there.replied


# Filters and zones.


def test_the_first_ct_filter_in_hardware_registers_the_driver() -> None:
    bed = Bed()
    act_ct = bed.hypervisor.act_ct
    bed.add(CT % ("skip_hw dst_ip 10.0.0.1", ""))
    assert act_ct.tables[0].references == 1 and not act_ct.tables[0].offloaded
    entry = offered(bed)
    assert not entry.in_hardware
    bed.add(CT % ("dst_ip 10.0.0.2", ""), CT % ("dst_ip 10.0.0.3", ""))
    assert act_ct.tables[0].references == 3 and entry.in_hardware


def test_the_last_ct_filter_takes_the_flow_table_along() -> None:
    bed = Bed()
    bed.add(CT % ("dst_ip 10.0.0.2", ""), CT % ("dst_ip 10.0.0.3", ""))
    offered(bed)
    bed.add("filter del dev ens1f0_0 ingress prio 1 handle 1 flower")
    assert len(bed.entries()) == 1
    last = bed.hypervisor.filters.get(2)
    assert last is not None
    bed.hypervisor.filters.remove(last.filter)
    assert OfferAgain(0, TCP) in bed.hypervisor.outbox
    bed.deliver()
    assert not bed.entries() and not bed.hypervisor.act_ct.tables
    assert not bed.table.owners()[Owner.ENTRY]


def test_the_last_hardware_filter_leaves_the_entries_to_software() -> None:
    bed = Bed()
    bed.add(CT % ("dst_ip 10.0.0.2", ""), CT % ("skip_hw dst_ip 10.0.0.3", ""))
    entry = offered(bed)
    bed.add("filter del dev ens1f0_0 ingress prio 1 handle 1 flower")
    assert not entry.in_hardware and bed.entries() == [entry]
    assert len(bed.table.rules(Table.SW_TRACK, Owner.ENTRY)) == 1
    assert not bed.table.rules(Table.HW_CT, Owner.ENTRY)


def test_zones_are_held_apart() -> None:
    bed = Bed()
    bed.add(CT % ("dst_ip 10.0.0.2", " zone 1"), CT % ("dst_ip 10.0.0.3", " zone 2"))
    one, two = offered(bed, zone=1), offered(bed, zone=2)
    bed.add("filter del dev ens1f0_0 ingress prio 1 handle 1 flower")
    assert bed.entries() == [two] and one is not two


def test_hardware_off_and_on_for_all() -> None:
    bed = letter()
    entry = offered(bed)
    bed.hypervisor.set_offload(False)
    off = bed.deliver()
    assert not entry.in_hardware
    assert [AddRule(port_rule(port, False)) for port in PORTS.values()] == off[-3:]
    bed.hypervisor.set_offload(False)
    assert not bed.deliver(), "it is off already"
    bed.hypervisor.set_offload(True)
    on = bed.deliver()
    assert entry.in_hardware
    assert [AddRule(port_rule(port, True)) for port in PORTS.values()] == on[-3:]


def test_hardware_that_may_not_be_turned_off_goes_on() -> None:
    bed = letter()
    bed.add(CT % ("skip_sw dst_ip 10.0.0.2", ""))
    entry = offered(bed)
    before = set(bed.table.standing)
    with pytest.raises(Unsupported, match="Active offloaded tc filters"):
        bed.hypervisor.set_offload(False)
    bed.deliver()
    assert entry.in_hardware and set(bed.table.standing) == before
    assert bed.hypervisor.filters.offload


# What the switch says.


@pytest.mark.parametrize("flag", [TCP_FIN, TCP_RST])
def test_copies_are_counted_by_kind(flag: int) -> None:
    bed = letter()
    bed.hypervisor.packet(tracked(UDP, state=NEW, tcp_flags=0), 0.0)
    offered(bed)
    bed.hypervisor.packet(tracked(tcp_flags=flag), 0.0)
    assert bed.hypervisor.copies == {"offer": 2, "closing": 1}
    assert not bed.entries()


def test_a_connection_that_was_refused_is_deleted() -> None:
    bed = letter()
    refused = replace(tracked(tcp_flags=TCP_RST), unanswered=True)
    bed.hypervisor.packet(refused, 0.0)
    assert DeleteConnection(0, TCP) in bed.deliver()


def test_what_a_gone_rule_had_counted_is_kept() -> None:
    bed = letter()
    filter_id = 1
    gone = Removed(1, Owner.FILTER, filter_id, Table.SW_CHAIN, False, 3, 300, 0)
    bed.hypervisor.removed(gone, 0.0)
    bed.hypervisor.removed(gone._replace(owner_id=99), 0.0)
    installed = bed.hypervisor.filters.get(filter_id)
    assert installed is not None
    assert installed.before[Table.SW_CHAIN].packets == 3


def test_only_silence_ages_an_entry() -> None:
    bed = letter()
    entry = offered(bed)
    id_ = owner_id(bed, Owner.ENTRY, Table.CT_AGE)
    gone = Removed(1, Owner.ENTRY, id_, Table.CT_AGE, False, 0, 0, 30)
    for no_loss in (gone._replace(epoch=9), gone._replace(table=Table.SW_TRACK)):
        bed.hypervisor.removed(no_loss, 0.0)
        assert entry.in_hardware
    bed.hypervisor.removed(gone, 0.0)
    assert entry.why == EVICTED and len(bed.entries()) == 1
    assert bed.hypervisor.entries.take_refused() == [entry.id]
    bed.hypervisor.removed(gone, 0.0)
    assert not bed.hypervisor.entries.take_refused(), "it is in software already"
    bed.hypervisor.packet(tracked(), 0.0)
    assert entry.in_hardware
    bed.hypervisor.removed(gone, 0.0)
    assert entry.why == EVICTED, "a second time"
    bed.hypervisor.removed(gone._replace(idle=True), 0.0)
    assert not bed.entries()
    bed.hypervisor.removed(gone._replace(idle=True, owner=Owner.CHAIN), 0.0)


def test_what_we_removed_ourselves_was_not_evicted() -> None:
    bed = letter()
    entry = offered(bed)
    for _ in range(2):  # before the switch reports the first
        bed.hypervisor.set_offload(False)
        bed.hypervisor.set_offload(True)
    gone = Removed(1, Owner.ENTRY, entry.id << 2, Table.CT_AGE, False, 0, 0, 30)
    bed.hypervisor.removed(gone, 0.0)
    bed.hypervisor.removed(gone, 0.0)
    assert entry.in_hardware
    bed.hypervisor.removed(gone, 0.0)
    assert entry.why == EVICTED


def test_udp_that_aged_is_deleted_when_the_kernel_would() -> None:
    bed = letter()
    bed.age_out(offered(bed, UDP))
    bed.hypervisor.tick(bed.now_s + 29)
    assert not bed.deliver()
    bed.hypervisor.tick(bed.now_s + 30)
    assert bed.deliver() == [DeleteConnection(0, UDP)]


def test_a_refused_rule_sends_the_entry_back_to_software() -> None:
    bed = letter()
    entry = offered(bed)
    id_ = owner_id(bed, Owner.ENTRY, Table.CT_AGE)
    bed.hypervisor.failed(failure(Owner.ENTRY, id_))
    assert not entry.in_hardware
    told = bed.deliver()
    assert isinstance(told[-1], WatchEntry)
    assert len(bed.table.rules(Table.SW_TRACK, Owner.ENTRY)) == 1
    assert bed.table.owners()[Owner.ENTRY] == 1


def test_other_failures_are_counted() -> None:
    bed = letter()
    bed.hypervisor.failed(failure(None))
    bed.hypervisor.failed(failure(Owner.FILTER, 1))
    assert bed.hypervisor.failures == {"OpenFlow error 5/1": 2}
    assert bed.hypervisor.refused == {1: "the switch refused a rule: error 5/1"}
    assert not bed.hypervisor.outbox


def test_hardware_says_what_an_entry_counted() -> None:
    bed = letter()
    entry = offered(bed)
    bed.hypervisor.request_counts(entry)
    bed.deliver()
    assert entry.counted == ((0, 0), (0, 0))
    id_ = owner_id(bed, Owner.ENTRY, Table.CT_AGE)
    bed.hypervisor.counted(Counted(Owner.ENTRY, id_, Table.CT_AGE, 7, 700))
    assert entry.counted[Direction.ORIGINAL] == (0, 0), "the age rule's are both's"
    bed.hypervisor.forget(0, TCP)
    bed.hypervisor.counted(Counted(Owner.ENTRY, id_, Table.HW_CT, 7, 700))


# Connections deleted by others.


def test_forget_deletes_in_both_places() -> None:
    bed = letter()
    offered(bed)
    bed.hypervisor.forget(0, TCP)
    assert DeleteConnection(0, TCP) in bed.deliver()
    assert not bed.entries()
    bed.hypervisor.forget(0, TCP)


def test_what_conntrack_lost_or_saw_closing_has_no_entry() -> None:
    bed = letter()
    stays, lost, closing = TCP, UDP, flow_tuple(sport=1)
    for original in (stays, lost, closing):
        offered(bed, original)
    there = [connection(stays), connection(closing, told=Told.CLOSING)]
    assert bed.hypervisor.reconcile(list(bed.hypervisor.act_ct), there) == len(there)
    assert [entry.tuples[Direction.ORIGINAL] for entry in bed.entries()] == [stays]


def test_an_entry_that_came_while_the_list_was_read_stays() -> None:
    bed = letter()
    offered(bed)
    before = list(bed.hypervisor.act_ct)

    def read() -> Iterator[Connection]:
        bed.hypervisor.forget(0, TCP)
        offered(bed)
        yield connection(UDP, told=Told.NOTHING)

    assert bed.hypervisor.reconcile(before, read()) == 1
    assert [entry.tuples[Direction.ORIGINAL] for entry in bed.entries()] == [TCP]


def test_what_was_told_in_vain_is_to_be_told_again() -> None:
    bed = letter()
    offered(bed)
    vain, untold, closing = (
        flow_tuple(sport=1),
        flow_tuple(sport=2),
        flow_tuple(sport=3),
    )
    there = [
        connection(TCP),
        connection(vain),
        connection(untold, told=Told.NOTHING),
        connection(closing, told=Told.CLOSING),
    ]
    assert bed.hypervisor.reconcile(list(bed.hypervisor.act_ct), there) == len(there)
    assert bed.hypervisor.take_outbox() == [OfferAgain(0, vain)]


def test_a_told_connection_of_a_zone_without_a_filter() -> None:
    bed = Bed()
    there = connection()
    bed.hypervisor.reconcile(list(bed.hypervisor.act_ct), [there])
    assert bed.hypervisor.take_outbox() == [OfferAgain(0, TCP)]


def test_offloaded_connections_are_made_anew() -> None:
    bed = letter()
    offered(bed)
    bed.hypervisor.restore_connections()
    made = RestoreConnection(0, 0, 0, TCP, TCP.inverted())
    assert bed.hypervisor.take_outbox() == [made]


def test_the_device_a_filter_stands_at() -> None:
    bed = Bed()
    line = "filter add dev ens1f0_1 ingress prio 1 proto ip flower action drop"
    bed.add(line)
    ports: list[int | None] = []
    for rule in bed.hypervisor.filters.rules():
        ports.append(in_port(rule))
    assert ports == [PORTS[REP1]] * 2


def in_port(rule: Rule) -> int | None:
    return next((m.value for m in rule.matches if m.field.name == "in_port"), None)
