"""The kernel's conntrack, in the namespace of a hypervisor.

    outbox --carry_out--> ctnetlink requests --.
       '----------> the rest, by OpenFlow      conntrack
    act_ct <--connection_gone-- DESTROY events-'

Unlike Open vSwitch's own it checks TCP's windows.  So a connection becomes liberal
before hardware has it, as act_ct makes it: then sequence numbers that went by in
hardware are no matter, and neither are those of packets that the driver makes.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import eventlet
from eventlet.green import socket

from controller.conntrack import Doubt, Flush, ctnetlink
from controller.fields import TOLD, Told
from controller.hypervisor import Hypervisor
from controller.rules import (
    AddEntry,
    DeleteConnection,
    Message,
    OfferAgain,
    WatchEntry,
)
from offload.conntrack import Direction, FlowTuple
from offload.flower import IPPROTO_TCP

LOG = logging.getLogger("ct_offload")
_CLONE_NEWNET = 0x40000000
_SO_RCVBUFFORCE = 33
_EVENT_BYTES = 8 << 20
_READ_BYTES = 1 << 16
_BATCH_BYTES = 1 << 15


class KernelConntrack:
    """Asks and hears conntrack over netlink sockets that live in its namespace."""

    outlives_switch = True

    def __init__(
        self,
        hypervisor: Hypervisor,
        flush_soon: Flush,
        netns: str,
    ) -> None:
        self._hypervisor = hypervisor
        self._flush_soon = flush_soon
        self._missed = False
        with inside(netns):
            self._requests = netlink()
            self._events = netlink(1 << ctnetlink.GROUP_DESTROY - 1)
        self._requests.setblocking(False)
        self._events.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _EVENT_BYTES)
        eventlet.spawn_n(self._hear)

    def carry_out(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Ask conntrack for what is its part; the rest is OpenFlow's."""
        rest: list[Message] = []
        requests: list[bytes] = []
        for message in messages:
            if isinstance(message, DeleteConnection):
                requests.append(ctnetlink.delete(message.zone, message.original))
            elif isinstance(message, OfferAgain):
                requests.append(_offer_again(message))
            else:
                requests.extend(_for_entry(message))
                rest.append(message)
        for code in self._ask(requests):
            LOG.warning("conntrack refused a request: %s", os.strerror(code))
        return rest

    def may_have_lost(self, entries: int, quiet: bool) -> Doubt:
        """Did events come faster than they were read, since the last time?"""
        missed, self._missed = self._missed, False
        return Doubt.CERTAIN if missed else Doubt.NONE

    def is_established(self, zone: int, original: FlowTuple) -> bool:
        """A RST beyond what conntrack saw closes nothing.

        Source: nf_conntrack_proto_tcp.c:nf_conntrack_tcp_packet (TCP_CONNTRACK_CLOSE)
        """
        self._requests.send(ctnetlink.get(zone, original))
        answers = (ctnetlink.tcp_states(data) for data in self._received())
        return ctnetlink.TCP_ESTABLISHED in chain.from_iterable(answers)

    def was_compared(self, count: int, entries: int) -> None:
        """Nothing to remember: events go on."""

    def _hear(self) -> None:
        """Take deleted connections out of the flow table, for ever."""
        while True:
            try:
                data = self._events.recv(_READ_BYTES)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._missed = True
                continue
            for gone in ctnetlink.destroyed(data):
                self._forget(gone)
            self._flush_soon()

    def _forget(self, gone: ctnetlink.Gone) -> None:
        """Remove the entry of a connection that is gone, unless there is a new one like it."""
        table = self._hypervisor.act_ct.tables.get(gone.zone)
        if table is not None and table.lookup(gone.original) is not None:
            if self._ask([ctnetlink.get(*gone)], expected=()):
                self._hypervisor.act_ct.connection_gone(*gone)

    def _ask(
        self,
        requests: Sequence[bytes],
        expected: tuple[int, ...] = (errno.ENOENT,),
    ) -> list[int]:
        """Send requests; return what errors there were but the expected ones.

        The kernel has done a request when it was sent, and then its answer is there.
        """
        failures: list[int] = []
        for batch in _batches(requests):
            self._requests.send(batch)
            codes = chain.from_iterable(map(ctnetlink.failures, self._received()))
            failures += [code for code in codes if code not in expected]
        return failures

    def _received(self) -> Iterator[bytes]:
        """What the kernel has answered."""
        while True:
            try:
                yield self._requests.recv(_READ_BYTES)
            except BlockingIOError:
                return


def _offer_again(message: OfferAgain) -> bytes:
    """What the rules of ``Table.OFFER_AGAIN`` do by a packet elsewhere."""
    tcp = message.original.proto == IPPROTO_TCP
    told = (Told.HALF if tcp else Told.NOTHING) << TOLD.start
    mask = TOLD.full_mask << TOLD.start
    return ctnetlink.set_label(message.zone, message.original, told, mask)


def _for_entry(message: Message) -> Iterator[bytes]:
    """What conntrack is asked before an entry stands, in hardware or in software."""
    if isinstance(message, AddEntry):
        flow = message.flow
        if flow.direction is Direction.ORIGINAL and flow.match.proto == IPPROTO_TCP:
            yield ctnetlink.be_liberal(flow.zone, flow.match)
    elif isinstance(message, WatchEntry) and message.original.proto == IPPROTO_TCP:
        yield ctnetlink.be_liberal(message.zone, message.original)


def _batches(requests: Sequence[bytes]) -> Iterator[bytes]:
    batch = bytearray()
    for request in requests:
        batch += request
        if len(batch) >= _BATCH_BYTES:
            yield bytes(batch)
            batch.clear()
    if batch:
        yield bytes(batch)


def netlink(groups: int = 0) -> socket.socket:
    opened = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW, ctnetlink.NETLINK_NETFILTER
    )
    opened.bind((0, groups))
    return opened


@contextmanager
def inside(netns: str) -> Iterator[None]:
    """Within, sockets are made in that namespace; nothing else may run meanwhile."""
    with open("/proc/thread-self/ns/net", "rb") as own, open(netns, "rb") as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
