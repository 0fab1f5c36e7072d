"""One hypervisor: its devices, its filters, its act_ct and what its switch is told.

Everything that happens comes in as a method call with the time; what the
switch is to be told collects in ``outbox``, which its ``Switch`` empties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from controller.card import INSERTION_FAILED, Card
from controller.connections import Connection
from controller.ct_entries import EVICTED, CtEntries, Timeouts
from controller.fields import Told
from controller.filters import Device, DeviceKind
from controller.installed import InstalledFilters
from controller.installed_filter import Count
from controller.leaving import Leaving
from controller.openflow.decode import Counted, Failed, Removed
from controller.openflow.entries import direction_of, entry_id_of
from controller.pipeline import port_rule, static_rules
from controller.rules import (
    AckBoth,
    AddRule,
    DeleteConnections,
    DeleteStale,
    Later,
    Message,
    Owner,
    Table,
)
from controller.tunnels import Outer
from controller.zones import Zones
from offload.act_ct import ActCt
from offload.conntrack import TCP_FIN, TCP_RST, Direction, FlowTuple, TrackedPacket
from offload.errors import Unsupported
from offload.flow_table import FlowEntry
from offload.flower import IPPROTO_TCP, IPPROTO_UDP
from offload.profile import DEFAULT, Profile

_LAST_EPOCH = 0xFF


@dataclass(frozen=True, slots=True)
class Config:
    """What the topology tells of a hypervisor.

    ``netns`` is the namespace whose conntrack the switch uses, as a path; "" where
    Open vSwitch has its own.
    """

    name: str
    dpid: int
    ovs_dir: str
    devices: dict[str, DeviceKind]
    uplink: str = ""
    hw_tc_offload: bool = True
    timeouts: Timeouts = field(default_factory=Timeouts)
    profile: Profile = DEFAULT
    netns: str = ""
    card: tuple[tuple[str, int], ...] = ()
    exact_counters: bool = False


class Hypervisor:
    """A switch's driver, act_ct and classifier.

    ``senders`` are the ports that put unusual headers around packets.
    ``epoch`` numbers the connections to the switch; ``copies`` counts the
    packets it copied to act_ct, ``failures`` the rules it refused; the filters
    whose these were are in ``refused``, each with the reason.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.outbox: list[Message] = []
        self.closing: list[AckBoth] = []
        self.devices: dict[str, Device] = {}
        self.senders: dict[Outer, int] = {}
        self.epoch = 0
        self.copies: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.refused: dict[int, str] = {}
        self.card = Card(config.profile)
        for name, value in config.card:
            self.card.set(name, value)
        self.entries = CtEntries(self.outbox, config.timeouts, self.card)
        self.act_ct = ActCt(self.entries, config.profile)
        self.filters = InstalledFilters(
            self.outbox,
            self.device,
            config.hw_tc_offload,
            self.card,
            Zones(
                *(self.outbox, self.act_ct, self.entries.offload),
                config.profile.zone_shortcut,
            ),
            config.devices,
        )
        self.leaving = Leaving()
        self._epochs_there: list[int] = []
        self._known = False

    def device(self, name: str) -> Device:
        """A device whose port is known.  Raises Unsupported."""
        if name not in self.devices:
            raise Unsupported(f"{name} is not a port of the switch")
        return self.devices[name]

    @property
    def ports_known(self) -> bool:
        """Has the switch told the port of every device?"""
        return self.devices.keys() == self.config.devices.keys()

    def port_appeared(self, name: str, port: int) -> None:
        """Learn a device's port, and let its packets in."""
        kind = self.config.devices.get(name)
        if kind is None:
            return
        self.devices[name] = Device(name, kind, port, self.senders)
        self.outbox.append(AddRule(port_rule(port, self.filters.offload)))

    def connected(self) -> None:
        """Tell a new connection all it should have; the ports come later.

        What stands is replaced in place and keeps its counters; what should
        not is told by its epoch, and removed last.
        """
        self.epoch = self.epoch % _LAST_EPOCH + 1
        stale = [epoch for epoch in self._epochs_there if epoch != self.epoch]
        self._epochs_there = [*stale, self.epoch]
        for entry_id in self.entries.abandon_pending():
            self.act_ct.hardware_failed(entry_id, "the switch went away")
        self.outbox.clear()
        self.leaving.clear()
        if not self._known:
            self.outbox.append(DeleteStale(None))
        static = static_rules(self.config.profile)
        self.outbox.extend(AddRule(rule) for rule in static)
        for device in self.devices.values():
            rule = port_rule(device.port, self.filters.offload)
            self.outbox.append(AddRule(rule))
        self.outbox.extend(AddRule(rule) for rule in self.filters.rules())
        for entry in self.act_ct:
            self.entries.restore(entry)
        self.outbox.extend(DeleteStale(epoch) for epoch in stale)

    def taken_over(self) -> None:
        """The switch has carried out all that ``connected`` told it."""
        self._epochs_there = [self.epoch]
        self._known = True

    def set_offload(self, offload: bool) -> None:
        """``ethtool -K hw-tc-offload``, for the whole switch.  Raises Unsupported."""
        if offload == self.filters.offload:
            return
        self.filters.set_offload(offload)
        for device in self.devices.values():
            self.outbox.append(AddRule(port_rule(device.port, offload)))

    def packet(self, packet: TrackedPacket, now_s: float) -> None:
        """A copy from sw_track or sw_nat."""
        if packet.unanswered:
            self.copies["closing"] += 1
            self.entries.delete(packet.zone, packet.original)
        elif packet.tcp_flags & (TCP_FIN | TCP_RST):
            self.copies["closing"] += 1
            entry = self.act_ct.fin_or_rst(packet)
            if entry is not None and packet.tcp_flags & TCP_FIN:
                self.closing.append(AckBoth(entry.zone, *entry.tuples))
        else:
            self.copies["offer"] += 1
            self.act_ct.process_conn(packet, now_s)

    def acknowledge_closing(self) -> None:
        """Make up for ACKs of a FIN that hardware took before its entry was gone.

        Conntrack would wait for them, and take a new connection with the same
        addresses and ports for the old one.  To be called once the switch no
        longer uses the entries.
        """
        self.outbox.extend(self.closing)
        self.closing.clear()

    def removed(self, removed: Removed, now_s: float) -> None:
        """A rule is gone: a filter's counters are kept, an entry has aged or was evicted."""
        if removed.owner == Owner.FILTER:
            installed = self.filters.get(removed.owner_id)
            if installed is None:
                self.leaving.removed(removed)
            else:
                count = Count(removed.packets, removed.bytes)
                installed.had_counted(removed.table, count)
        elif removed.owner == Owner.ENTRY:
            self._entry_removed(removed, now_s)

    def _entry_removed(self, removed: Removed, now_s: float) -> None:
        """What tells of an entry's age is gone: by silence, by us, or hardware lost it."""
        entry_id = entry_id_of(removed.owner_id)
        in_hardware = removed.table == Table.CT_AGE and removed.epoch == self.epoch
        if removed.idle:
            self.act_ct.idle(entry_id, now_s, removed.idle_timeout_s)
        elif not in_hardware or self.entries.was_deleted(entry_id):
            return
        elif self.act_ct.hardware_failed(entry_id, EVICTED):
            self.entries.refuse(entry_id, EVICTED)
        self.entries.was_deleted(entry_id)  # that deletes, and no rule is left

    def counted(self, counted: Counted) -> None:
        """What one direction of an entry counted, which STATS asked for."""
        if counted.table in (Table.HW_CT, Table.HW_CT_NAT):
            entry = self.act_ct.entry(entry_id_of(counted.owner_id))
            if entry is not None:
                direction = direction_of(counted.owner_id)
                count = (counted.packets, counted.bytes)
                there, back = entry.counted
                original = direction is Direction.ORIGINAL
                entry.counted = (count, back) if original else (there, count)

    def request_counts(self, entry: FlowEntry) -> None:
        """Ask hardware, if it has the entry, what it counted."""
        self.act_ct.tables[entry.zone].request_stats(entry)

    def failed(self, failed: Failed) -> None:
        """The switch refused a message; an entry's goes on in software."""
        self.failures[f"OpenFlow error {failed.type}/{failed.code}"] += 1
        why = f"the switch refused a rule: error {failed.type}/{failed.code}"
        if failed.owner == Owner.ENTRY:
            self.act_ct.hardware_failed(entry_id_of(failed.owner_id), why)
        elif failed.owner == Owner.FILTER:
            self.refused[failed.owner_id] = why

    def insertion_due(self, later: Later) -> None:
        """The card has had its time for an insertion."""
        entry_id = later.insertion.flow.entry_id
        if self.entries.insert_pending(later):
            self.act_ct.hardware_failed(entry_id, INSERTION_FAILED)
        elif not self.entries.is_pending(entry_id):
            self.act_ct.hardware_done(entry_id)

    def tick(self, now_s: float) -> None:
        """Look at connections whose time has come, and at those that may fit now."""
        self.act_ct.expire(now_s)
        self.act_ct.assure(now_s)
        self.card.tick(now_s)
        for entry_id in self.entries.take_refused():
            self.act_ct.try_again(entry_id)

    def take_outbox(self) -> list[Message]:
        """What the switch is to be told now."""
        messages = self.outbox.copy()
        self.outbox.clear()
        return messages

    def forget(self, zone: int, original: FlowTuple) -> None:
        """Delete a connection from conntrack and from the flow table."""
        self.act_ct.connection_gone(zone, original)
        self.entries.delete(zone, original)

    def forget_all(self) -> None:
        """Delete every connection from conntrack and from the flow tables."""
        self.act_ct.all_gone()
        self.outbox.append(DeleteConnections())

    def reconcile(
        self, entries: Iterable[FlowEntry], tracked: Iterable[Connection]
    ) -> int:
        """Take over what happened to connections while nobody told us; how many there are.

        ``entries`` are those there were before ``tracked`` was asked for; others may
        come and go while it is read.  What conntrack has lost, or saw closing, has no
        entry any more; what it told of in vain is to tell again.
        """
        gone = {entry.id: entry for entry in entries}
        count = 0
        for connection in tracked:
            count += 1
            entry = self.act_ct.lookup(connection.zone, connection.original)
            if entry is None and _told_in_vain(connection):
                self.entries.offer_again(connection.zone, connection.original)
            elif entry is not None and connection.told is not Told.CLOSING:
                gone.pop(entry.id, None)
        for entry in gone.values():
            if self.act_ct.entry(entry.id) is entry:
                self.act_ct.connection_gone(
                    entry.zone, entry.tuples[Direction.ORIGINAL]
                )
        return count

    def restore_connections(self) -> None:
        """Give a switch that lost its conntrack the offloaded connections back."""
        for entry in self.act_ct:
            self.entries.restore_connection(entry)


def _told_in_vain(connection: Connection) -> bool:
    """Was a connection offered that may be, which then is not in a flow table?"""
    if connection.original.proto == IPPROTO_UDP:
        return connection.told is not Told.NOTHING
    return connection.told is Told.OFFERED and connection.original.proto == IPPROTO_TCP
