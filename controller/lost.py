"""What happened to connections and nobody was told: deleted, or a copy dropped.

OVS queues some hundred copies for the controller and drops what comes beyond, though
conntrack has it that act_ct was told.  Whoever deletes a connection behind the
driver's back leaves its entry in hardware, where conntrack does not tell.  Both are
found by comparing conntrack's list with the entries; what this room is about is when
to ask for it, since it costs OVS 5 and the driver 20 microseconds a connection.
"""

from __future__ import annotations

import time

from controller.conntrack import Doubt
from controller.switch import Switch

# A list may follow the last one when this many times its duration has passed.
_RESTS = {Doubt.SLIGHT: 1000, Doubt.GRAVE: 20, Doubt.CERTAIN: 3}
_OVERFLOWS = ("rconn_overflow", "packet_in_overflow")


class LostConnections:
    """Looks after one switch once a second; ``look`` costs the same however much there is.

    The list is asked for when copies were dropped, and when conntrack may have lost
    connections that it did not tell of.  A quarter of the time at most goes into lists
    where something is known to be lost, a twentieth where it looks like it, a thousandth
    if all that speaks for one is that something has changed.  What is known to be lost is
    looked for at once when no copies come: till then the driver is busy enough.
    """

    def __init__(self) -> None:
        self._heard = 0
        self._dropped = 0
        self._doubt = Doubt.NONE
        self._compared_s = 0.0
        self._took_s = 0.0

    def look(self, switch: Switch) -> None:
        """Look once.  Raises OvsError if the switch does not answer."""
        heard = switch.hypervisor.copies.total()
        quiet, self._heard = heard == self._heard, heard
        if not quiet:
            dropped = sum(switch.ovs.coverage(counter) for counter in _OVERFLOWS)
            if dropped != self._dropped:
                self._doubt = Doubt.CERTAIN
            self._dropped = dropped
        entries = len(switch.hypervisor.act_ct)
        found = switch.conntrack.may_have_lost(entries, quiet)
        self._doubt = max(self._doubt, found)
        at_once = quiet and self._doubt is Doubt.CERTAIN
        if at_once or (self._doubt and self._rested(_RESTS[self._doubt])):
            self.compare(switch)

    def _rested(self, times: int) -> bool:
        return time.monotonic() >= self._compared_s + times * self._took_s

    def compare(self, switch: Switch) -> None:
        """Compare now.  Raises OvsError if the switch does not answer."""
        began_s = time.monotonic()
        self._doubt = Doubt.NONE
        count = switch.compare_connections()
        switch.conntrack.was_compared(count, len(switch.hypervisor.act_ct))
        self._compared_s = time.monotonic()
        self._took_s = self._compared_s - began_s
