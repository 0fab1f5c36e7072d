"""A connected switch: requests that block their caller, and what was sent.

OVS counts packets in its datapath and credits them to rules half a second
later, by the rules of that moment.  So before rules are removed, what has been
counted is credited (``_credit``); what comes up meanwhile goes with it.  Rules
are added at once, unless exact counters are asked for: a packet more in software
costs more than a wrong credit, which ``counters.py`` mends as well as it can.

With exact counters what comes up while others wait for their credit waits for its
own, and datapath flows are made anew where an entry comes or goes.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import eventlet
import eventlet.event
import eventlet.semaphore

from controller import conntrack
from controller.connections import Connection, connections
from controller.hypervisor import Hypervisor
from controller.openflow import bundle, decode, encode, messages
from controller.openflow.decode import Counted
from controller.ovs import Ovs, OvsError
from controller.pipeline import UNUSED_RULE
from controller.rules import (
    AddEntry,
    AddRule,
    DeleteEntry,
    DeleteRule,
    Later,
    Message,
    Owner,
)
from controller.tunnels import Outer
from offload.conntrack import TCP_RST

LOG = logging.getLogger("ct_offload")
_TIMEOUT_S = 10.0
_FIRST_XID = 0x10000000
_READ_AT_A_TIME = 64
_REMOVALS = (DeleteRule, DeleteEntry)
_SURELY = 2


class NotConnected(Exception):
    """The hypervisor's switch is not there, or did not answer in time."""


class Switch:
    """One hypervisor's switch; connected while ``datapath`` is set."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor
        self.datapath: Any = None
        self.ready = eventlet.event.Event()
        self.ovs = Ovs(hypervisor.config.ovs_dir)
        self.conntrack = conntrack.behind(hypervisor, self.appctl, self.flush_soon)
        self._xids = itertools.count(_FIRST_XID)
        self._waiting: dict[int, eventlet.event.Event] = {}
        self._parts: dict[int, list[Counted]] = {}
        self._take = {
            messages.PACKET_IN: self._copy,
            messages.REMOVED: self._removed,
            messages.ERROR: self._failed,
            messages.STATS: self._counted,
            messages.BARRIER: self._answered,
            messages.BUNDLE: self._carried_out,
        }
        self._in_bundles = True
        self._zones: set[int] = set()
        self._flushing = False
        self._turn = eventlet.semaphore.Semaphore()
        self._exact = hypervisor.config.exact_counters
        self._credited = (*_REMOVALS, AddEntry) if self._exact else _REMOVALS
        self.installed = False

    def connected(self, datapath: Any) -> None:
        """A connection came up: tell it everything."""
        self.datapath = datapath
        datapath.socket.deliver = self._received
        eventlet.spawn_n(self._bring_up)

    def disconnected(self) -> None:
        """The connection is gone: nobody waits for it any longer."""
        self.datapath.socket.deliver = None
        self.datapath = None
        self.installed = False
        for waiting in list(self._waiting.values()):
            waiting.send_exception(NotConnected("the switch went away"))
        self._waiting.clear()

    def flush_soon(self) -> None:
        """Send the outbox, soon; what comes up until then goes with it."""
        if self.hypervisor.outbox and not self._flushing:
            self._flushing = True
            eventlet.spawn_n(self._flush_all)

    def flush(self) -> None:
        """Send the outbox; without a connection it is told at the next one."""
        self._send(self.hypervisor.take_outbox())

    def _send(self, told: Sequence[Message]) -> None:
        told = self.conntrack.carry_out(told)
        if told and self.datapath is not None:
            epoch = self.hypervisor.epoch
            self.datapath.send(messages.encoded(epoch, told, self._in_bundles))
            for message in told:
                if isinstance(message, Later):
                    eventlet.spawn_after(message.delay_s, self._due, message)

    def _due(self, later: Later) -> None:
        self.hypervisor.insertion_due(later)
        self.flush_soon()

    def caught_up(self) -> None:
        """Return when what the switch had to tell has been heard, and its outcome carried out.

        A barrier before: its answer is behind all copies of packets that came before it.
        """
        if self.datapath is not None:
            self.barrier()
        self._flush_credited(always=True)
        if self.datapath is not None:
            self.barrier()

    def settled(self, anew: bool = False) -> None:
        """Send the outbox and wait until packets follow it.

        After the barrier the rules are there; once OVS has been through its
        datapath flows, those that were made by older rules are gone: ``anew``,
        where filters change, for certain (``Ovs.forget_flows``).
        """
        self.caught_up()
        self._credit(_SURELY, anew)

    def _flush_credited(self, always: bool = False) -> None:
        """Send the outbox, once what was counted so far has been credited, if it matters.

        What comes up meanwhile goes with it, or waits for its own turn if counters
        are to be exact.
        """
        outbox = self.hypervisor.outbox
        with self._turn:
            count = len(outbox)
            matters = any(isinstance(each, self._credited) for each in outbox)
            if matters or (always and outbox):
                self._credit(_SURELY if self._exact else 1, matters and self._exact)
            count = count if self._exact else len(outbox)
            told = outbox[:count]
            del outbox[:count]
            self._send(told)

    def barrier(self) -> None:
        """Return when the switch has carried out all it was sent.  Raises NotConnected."""
        self._request(encode.barrier_request)

    def counters(self, owner: Owner) -> list[Counted]:
        """The counters of all rules of a kind, up to this moment."""
        self._credit(_SURELY)
        return self._counters(owner)

    def _counters(self, owner: Owner) -> list[Counted]:
        epoch = self.hypervisor.epoch
        of_cookie = encode.cookie(epoch, owner, 0)
        mask = encode.EPOCH_MASK | encode.OWNER_MASK
        counted: list[Counted] = self._request(
            lambda xid: encode.flow_stats_request(xid, of_cookie, mask)
        )
        return counted

    def appctl(self, command: str, *arguments: str) -> str:
        """What ovs-vswitchd answers to a command."""
        return self.ovs.appctl(command, *arguments)

    def compare_connections(self) -> int:
        """Have entries and conntrack's list agree; the number of connections."""
        entries = list(self.hypervisor.act_ct)
        return self.hypervisor.reconcile(entries, self._tracked())

    def _tracked(self) -> Iterator[Connection]:
        """The switch's connections; others run while they are read."""
        for number, each in enumerate(connections(self.appctl)):
            if number % _READ_AT_A_TIME == 0:
                eventlet.sleep(0)
            yield each

    def prepare_zone(self, zone: int) -> None:
        """Give a zone the kernel's conntrack timeouts, once."""
        if zone not in self._zones:
            self.ovs.prepare_zone(zone)
            self._zones.add(zone)

    def prepare_tunnel(self, outer: Outer) -> None:
        """Make the port that puts such a header around packets, once."""
        senders = self.hypervisor.senders
        if outer not in senders:
            senders[outer] = self.ovs.add_sender(outer)

    def _received(self, said: list[bytes]) -> None:
        """What came of that which comes by the thousand; new entries are sent at once.

        They overtake removals that wait for their counters, but not their own.  If
        counters are to be exact they wait for them as well, and all keeps its order.
        """
        outbox = self.hypervisor.outbox
        waiting = self.hypervisor.take_outbox()
        for message in said:
            try:
                self._take[message[1]](message)
            except Exception:  # noqa: B902 (one message must not end the connection)
                LOG.exception("%s: %s", self.hypervisor.config.name, message.hex())
        new = self.hypervisor.take_outbox()
        first: list[Message] = []
        then = waiting
        stay = {m.entry_id for m in (*then, *new) if isinstance(m, DeleteEntry)}
        for told in new:
            entering = isinstance(told, AddEntry) and told.flow.entry_id not in stay
            if entering and not self._exact:
                first.append(told)
            else:
                then.append(told)
        outbox.extend(then)
        self._send(first)
        self.flush_soon()

    def _copy(self, message: bytes) -> None:
        packet = decode.packet_in(message)
        if packet is None:
            return
        self.hypervisor.packet(packet, time.monotonic())
        if packet.tcp_flags & TCP_RST:
            of = (packet.zone, packet.original)
            if self.conntrack.is_established(*of):
                self.hypervisor.entries.offer_again(*of)

    def _removed(self, message: bytes) -> None:
        self.hypervisor.removed(decode.removed(message), time.monotonic())

    def _failed(self, message: bytes) -> None:
        failed = decode.error(message)
        LOG.error("%s: %s", self.hypervisor.config.name, failed)
        if decode.xid(message) != bundle.XID:
            self.hypervisor.failed(failed)
        elif self._in_bundles:
            self._begin_anew_one_by_one()

    def _carried_out(self, message: bytes) -> None:
        """A bundle was; nobody waits for that."""

    def _begin_anew_one_by_one(self) -> None:
        """A bundle was refused for one of its rules: tell all again, and see which."""
        self._in_bundles = False
        self.datapath.close()

    def _counted(self, message: bytes) -> None:
        """A part of the answer to ``counters``, or what an entry counted."""
        part, more = decode.flow_stats(message)
        xid = decode.xid(message)
        if not xid:
            for each in part:
                self.hypervisor.counted(each)
            return
        self._parts.setdefault(xid, []).extend(part)
        if not more:
            self._answer(xid, self._parts.pop(xid))

    def _answered(self, message: bytes) -> None:
        self._answer(decode.xid(message), None)

    def _answer(self, xid: int, answer: Any) -> None:
        """An answer to a request of ours."""
        waiting = self._waiting.pop(xid, None)
        if waiting is not None:
            waiting.send(answer)

    def _request(self, encode_with: Callable[[int], bytes]) -> Any:
        if self.datapath is None:
            raise NotConnected("the switch is not connected")
        xid = next(self._xids)
        event = self._waiting[xid] = eventlet.event.Event()
        datapath = self.datapath
        datapath.send(encode_with(xid))
        while True:
            with eventlet.Timeout(_TIMEOUT_S, False):
                return event.wait()
            # It may have much to do before: then it goes on taking what it was sent.
            if time.monotonic() > datapath.socket.moved_s + _TIMEOUT_S:
                raise NotConnected("the switch does not answer")

    def _flush_all(self) -> None:
        try:
            while self.hypervisor.outbox and self.datapath is not None:
                self._flush_credited()
                if self.hypervisor.closing:
                    self._credit()
                    self.hypervisor.acknowledge_closing()
        except NotConnected as error:
            LOG.debug("%s", error)
        finally:
            self._flushing = False

    def _credit(self, rounds: int = 1, anew: bool = False) -> None:
        """Have the datapath's counters credited to the rules there are now.

        A rule put in again as it is changes nothing, but lets OVS look at all
        its datapath flows at once; ``anew``, it is to make all of them again.
        """
        if self.datapath is None:
            return
        datapath, epoch = self.datapath, self.hypervisor.epoch
        again = messages.encoded(epoch, [AddRule(UNUSED_RULE)])
        try:
            if anew:
                self.ovs.forget_flows()
            else:
                self.ovs.credit_counters(lambda: datapath.send(again), rounds)
        except OvsError as error:
            LOG.warning("%s", error)

    def _bring_up(self) -> None:
        """Ready when the pipeline is in and every device has its port."""
        try:
            lost = self._reconcile()
            self._install()
            if lost:
                self.hypervisor.restore_connections()
            self.flush()
            self.ovs.prepare()
            self.barrier()
        except (NotConnected, OvsError) as error:
            LOG.error("%s: not ready: %s", self.hypervisor.config.name, error)
            return
        self.hypervisor.taken_over()
        self.installed = True
        self.ports_changed()

    def _reconcile(self) -> bool:
        """Catch up with a switch we knew; True if its conntrack has lost all it had."""
        if not len(self.hypervisor.act_ct):
            return False
        if not (self.conntrack.outlives_switch or self._counters(Owner.PIPELINE)):
            return True
        self.compare_connections()
        self.flush()
        return False

    def _install(self) -> None:
        self.hypervisor.connected()
        for port in self.datapath.ports.values():
            self.hypervisor.port_appeared(port.name.decode(), port.port_no)
        self.flush()

    def ports_changed(self) -> None:
        """Tell who waits for it that all devices are there."""
        known = self.hypervisor.ports_known
        if self.installed and known and not self.ready.ready():
            self.ready.send(True)

    def status(self) -> dict[str, Any]:
        """What there is to know for somebody who debugs."""
        hypervisor = self.hypervisor
        entries = list(hypervisor.act_ct)
        return {
            "connected": self.datapath is not None,
            "profile": hypervisor.config.profile.name,
            "hw_tc_offload": hypervisor.filters.offload,
            "filters": len(hypervisor.filters),
            "filters_in_hw": sum(each.in_hw for each in hypervisor.filters),
            "entries": len(entries),
            "entries_in_hw": sum(entry.in_hardware for entry in entries),
            "copies": dict(hypervisor.copies),
            "failures": dict(hypervisor.failures),
            "refused_by_hardware": dict(hypervisor.entries.refusals),
            "refused": dict(hypervisor.act_ct.refused),
            "refusals": [
                {
                    "zone": refusal.zone,
                    "connection": str(refusal.original),
                    "reason": refusal.reason,
                }
                for refusal in hypervisor.act_ct.refusals
            ],
        }
