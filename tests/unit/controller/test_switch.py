"""What goes to the switch first, of what came up while it was told something."""

from __future__ import annotations

import struct
import time
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest

from controller.hypervisor import Config, Hypervisor
from controller.openflow import bundle, encode, messages
from controller.rules import AddEntry, DeleteEntry, Message, OfferAgain
from controller.switch import _FIRST_XID, NotConnected, Switch
from controller.tunnels import Outer
from offload.conntrack import Direction
from offload.flow_table import FlowEntry
from tests.unit.connections import TCP

COPY = bytes((4, messages.PACKET_IN)) + bytes(30)


def add(entry_id: int) -> AddEntry:
    """The insertion of an entry's original direction."""
    entry = FlowEntry(entry_id, 0, 0, 0, (TCP, TCP.inverted()))
    return AddEntry(entry.rules[Direction.ORIGINAL], 30)


class Connected(Switch):
    """A switch that keeps what it is sent, and whose copies lead to given messages."""

    def __init__(self, *leads_to: Message, exact_counters: bool = False) -> None:
        config = Config("hv1", 1, "/nowhere", {}, exact_counters=exact_counters)
        super().__init__(Hypervisor(config))
        self.sent = b""
        self.socket: Any = None
        self.datapath = self
        self._take[messages.PACKET_IN] = lambda message: self.hypervisor.outbox.extend(
            leads_to
        )

    def send(self, sent: bytes) -> None:
        """Keep it."""
        self.sent += sent

    def flush_soon(self) -> None:
        """Not here: what stays in the outbox is looked at."""


def test_new_entries_overtake_what_waits() -> None:
    waiting, other = DeleteEntry(1, Direction.REPLY), OfferAgain(0, TCP)
    switch = Connected(other, add(2))
    switch.hypervisor.outbox.append(waiting)
    switch._received([COPY])
    assert switch.sent == messages.encoded(0, [add(2)])
    assert switch.hypervisor.outbox == [waiting, other]


def test_but_not_their_own_removal() -> None:
    waiting = DeleteEntry(2, Direction.ORIGINAL)
    switch = Connected(add(2))
    switch.hypervisor.outbox.append(waiting)
    switch._received([COPY])
    assert switch.sent == b""
    assert switch.hypervisor.outbox == [waiting, add(2)]


def test_nor_where_counters_are_to_be_exact() -> None:
    """They wait until what was counted is credited, too."""
    waiting = DeleteEntry(1, Direction.REPLY)
    switch = Connected(add(2), exact_counters=True)
    switch.hypervisor.outbox.append(waiting)
    switch._received([COPY])
    assert switch.sent == b""
    assert switch.hypervisor.outbox == [waiting, add(2)]


@pytest.fixture
def patience_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """How long a switch may be silent."""
    monkeypatch.setattr("controller.switch._TIMEOUT_S", 0.05)
    return 0.05


def test_a_switch_that_is_silent_for_long_does_not_answer(patience_s: float) -> None:
    switch = Connected()
    switch.socket = SimpleNamespace(moved_s=time.monotonic())
    with pytest.raises(NotConnected, match="does not answer"):
        switch.barrier()


def test_a_switch_that_has_much_to_do_is_waited_for(patience_s: float) -> None:
    switch = Connected()
    switch.socket = SimpleNamespace(moved_s=time.monotonic() + 3600)
    reply = (4, messages.BARRIER, 8, _FIRST_XID)
    eventlet.spawn_after(
        4 * patience_s, switch._received, [struct.pack("!BBHI", *reply)]
    )
    switch.barrier()


class Credited(Connected):
    """One at which an entry comes up while counters are credited."""

    def _credit(self, rounds: int = 1, anew: bool = False) -> None:
        self.hypervisor.outbox.append(add(3))


@pytest.mark.parametrize("exact_counters", [True, False])
def test_what_comes_up_meanwhile_goes_along_if_counters_need_not_be_exact(
    exact_counters: bool,
) -> None:
    switch = Credited(exact_counters=exact_counters)
    switch.hypervisor.outbox.append(DeleteEntry(2, Direction.REPLY))
    switch._flush_credited()
    assert (switch.hypervisor.outbox == [add(3)]) is exact_counters
    with_it = messages.encoded(0, [add(3)])
    assert switch.sent.endswith(with_it) is not exact_counters


@pytest.mark.parametrize("exact_counters", [True, False])
def test_an_insertion_that_is_taken_back_is_told_before_its_removal(
    exact_counters: bool,
) -> None:
    """The card refused the other direction: nothing of the entry may stay."""
    told: list[Message] = [add(2), DeleteEntry(2, Direction.ORIGINAL)]
    switch = Connected(*told, exact_counters=exact_counters)
    switch._received([COPY])
    assert switch.sent == b""
    assert switch.hypervisor.outbox == told


def test_an_entry_that_is_removed_and_comes_again_stays() -> None:
    told: list[Message] = [DeleteEntry(2, Direction.ORIGINAL), add(2)]
    switch = Connected(*told)
    switch._received([COPY])
    assert switch.sent == b""
    assert switch.hypervisor.outbox == told


def test_a_message_that_cannot_be_read_is_logged_and_the_next_one_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    switch = Connected(add(2))
    unknown = encode.barrier_request(7)
    switch._received([unknown, COPY])
    assert switch.sent == messages.encoded(0, [add(2)])
    assert unknown.hex() in caplog.text


def test_a_port_that_sends_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = Connected()
    made: list[Outer] = []

    def add_sender(outer: Outer) -> int:
        made.append(outer)
        return 9

    monkeypatch.setattr(switch.ovs, "add_sender", add_sender)
    for _ in range(2):
        switch.prepare_tunnel(Outer(ttl=9))
    assert made == [Outer(ttl=9)] and switch.hypervisor.senders == {Outer(ttl=9): 9}


def refusal(xid: int) -> bytes:
    """An error about an entry's flow-mod: the table is full."""
    quoted = messages.encoded(0, [add(7)])[:64]
    return struct.pack("!BBHIHH", 4, messages.ERROR, 76, xid, 5, 1) + quoted


def test_a_switch_that_refuses_a_bundle_is_told_all_again_rule_by_rule() -> None:
    """Once: what it refuses then is its own entry's failure."""
    switch = Connected()
    closed: list[bool] = []
    switch.close = lambda: closed.append(True)  # type: ignore[attr-defined]
    many = [add(number) for number in range(100)]
    switch._send(many)
    assert switch.sent == messages.encoded(0, many)
    switch._received([refusal(bundle.XID), refusal(bundle.XID)])
    assert closed == [True] and not switch.hypervisor.failures
    switch.sent = b""
    switch._send(many)
    assert switch.sent == messages.encoded(0, many, in_bundles=False)
    switch._received([refusal(0)])
    assert switch.hypervisor.failures == {"OpenFlow error 5/1": 1}


def test_a_bundle_that_was_carried_out_needs_nothing() -> None:
    switch = Connected()
    reply = struct.pack("!BBHI", 4, messages.BUNDLE, 8, bundle.XID)
    switch._received([reply])
    assert not switch.sent and not switch.hypervisor.outbox
