"""Open vSwitch's conntrack in userspace: it tells nobody of what somebody deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.conntrack import Doubt
from controller.rules import Message
from offload.conntrack import FlowTuple


class UserspaceConntrack:
    """Is asked by OpenFlow alone; the number of its connections gives deletions away.

    Either fewer connections without an entry are there than the last list had, or the
    number has changed and no copies came that could be why.
    Model: what was deleted while others came is noticed when it is quiet.
    """

    outlives_switch = False

    def __init__(self, appctl: Callable[..., str]) -> None:
        self._appctl = appctl
        self._count = 0
        self._others = 0

    def carry_out(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Leave all of it to OpenFlow."""
        return messages

    def may_have_lost(self, entries: int, quiet: bool) -> Doubt:
        """Does the number of connections look like it?"""
        if not entries:
            return Doubt.NONE
        count = int(self._appctl("dpctl/ct-get-nconns"))
        if count < entries:
            return Doubt.CERTAIN
        if count - entries < self._others:
            return Doubt.GRAVE
        return Doubt.SLIGHT if quiet and count != self._count else Doubt.NONE

    def is_established(self, zone: int, original: FlowTuple) -> bool:
        """Any RST closes it, since no sequence number is looked at."""
        return False

    def was_compared(self, count: int, entries: int) -> None:
        """Remember the numbers."""
        self._count = count
        self._others = count - entries
