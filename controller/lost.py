"""Connections that somebody deleted outside, which userspace OVS tells nobody."""

from __future__ import annotations

import time

from controller.connections import connections
from controller.switch import Switch

_LIST_SHARE = 20


class LostConnections:
    """Drops the entries of one switch's connections that are gone.

    The count of connections costs the same however many there are.  The list
    is asked for when the count has changed, and for a twentieth of the time at
    most.  Model: as many deleted as made within one look goes unnoticed until
    the count changes again.
    """

    def __init__(self) -> None:
        self._count = 0
        self._suspicious = False
        self._next_s = 0.0

    def look(self, switch: Switch) -> None:
        """Look once.  Raises OvsError if the switch does not answer."""
        entries = len(switch.hypervisor.act_ct)
        if not entries:
            return
        count = int(switch.appctl("dpctl/ct-get-nconns"))
        self._suspicious |= count != self._count or count < entries
        self._count = count
        began_s = time.monotonic()
        if self._suspicious and began_s >= self._next_s:
            self._suspicious = False
            there = list(switch.hypervisor.act_ct)
            tracked = {each.key: each for each in connections(switch.appctl)}
            switch.hypervisor.reconcile(there, tracked)
            now_s = time.monotonic()
            self._next_s = now_s + _LIST_SHARE * (now_s - began_s)
