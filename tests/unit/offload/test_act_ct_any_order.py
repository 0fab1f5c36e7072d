"""act_ct under whatever happens, in any order: nothing is lost or held twice."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from offload.act_ct import ActCt
from offload.conntrack import Direction, FlowTuple
from offload.flow_table import FlowEntry
from tests.unit.connections import TCP, UDP, flow_tuple, tracked
from tests.unit.offload.fake_conntrack import FakeConntrack, FakeDriver

ZONES = st.sampled_from([0, 7])
TUPLES = st.sampled_from([TCP, UDP, flow_tuple(sport=1), flow_tuple(sport=2)])


class Life(RuleBasedStateMachine):
    """Two zones, four connections, one driver with room for two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conntrack = FakeConntrack()
        self.act_ct = ActCt(self.conntrack)
        self.driver = FakeDriver(room=5)
        self.registered: set[int] = set()
        self.now_s = 0.0

    @rule(zone=ZONES)
    def first_filter(self, zone: int) -> None:
        self.act_ct.get_table(zone)

    @rule(zone=ZONES)
    def filter_gone(self, zone: int) -> None:
        table = self.act_ct.tables.get(zone)
        if table is None:
            return
        if table.references == 1 and zone in self.registered:
            self.driver_leaves(zone)
        self.act_ct.put_table(zone)

    @rule(zone=ZONES)
    def driver_comes(self, zone: int) -> None:
        if zone in self.act_ct.tables and zone not in self.registered:
            self.registered.add(zone)
            self.act_ct.register(zone, self.driver)

    @rule(zone=ZONES)
    def driver_leaves(self, zone: int) -> None:
        if zone in self.registered:
            self.registered.remove(zone)
            self.act_ct.unregister(zone, self.driver)

    @rule(zone=ZONES, original=TUPLES)
    def packet(self, zone: int, original: FlowTuple) -> None:
        self.act_ct.process_conn(tracked(original, zone=zone), self.now_s)

    @rule(zone=ZONES, original=TUPLES)
    def fin(self, zone: int, original: FlowTuple) -> None:
        self.act_ct.fin_or_rst(tracked(original, zone=zone))

    @rule(at=st.integers(0, 3))
    def silence(self, at: int) -> None:
        entry = self.any_entry(at)
        if entry:
            self.act_ct.idle(entry.id, self.now_s, 30)

    @rule(at=st.integers(0, 3))
    def hardware_fails(self, at: int) -> None:
        entry = self.any_entry(at)
        if entry:
            self.act_ct.hardware_failed(entry.id, "broken")

    @rule(seconds=st.integers(1, 100))
    def time(self, seconds: int) -> None:
        self.now_s += seconds
        self.conntrack.calls.clear()
        self.act_ct.expire(self.now_s)
        live = {(e.zone, e.tuples[Direction.ORIGINAL]) for e in self.act_ct}
        deleted = {(zone, original) for _, zone, original in self.conntrack.calls}
        assert not live & deleted

    def any_entry(self, at: int) -> FlowEntry | None:
        entries = list(self.act_ct)
        return entries[at % len(entries)] if entries else None

    @invariant()
    def every_entry_is_in_hardware_or_watched(self) -> None:
        entries = {entry.id: entry for entry in self.act_ct}
        software = {id_ for id_, entry in entries.items() if not entry.in_hardware}
        assert self.conntrack.watched == software
        hardware = entries.keys() - software
        assert self.driver.held == {
            (id_, direction) for id_ in hardware for direction in Direction
        }

    @invariant()
    def every_entry_is_in_its_table(self) -> None:
        in_tables = [e for table in self.act_ct.tables.values() for e in table]
        assert sorted(e.id for e in in_tables) == sorted(e.id for e in self.act_ct)
        assert all(e.zone in self.act_ct.tables for e in in_tables)


Life.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestLife = Life.TestCase
