"""The conntrack behind a switch's ct(): Open vSwitch's own, or the kernel's.

                       userspace.py                 kernel.py
    asked to change    by OpenFlow and by packets   by ctnetlink
    of deletions       their number tells           its own events
    an ovs-vswitchd
    that restarts      begins with none             finds them all

Both are listed by ovs-vswitchd (``controller.connections``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Protocol

from controller.hypervisor import Hypervisor
from controller.rules import Message
from offload.conntrack import FlowTuple


class Doubt(IntEnum):
    """How much speaks for a look at conntrack's list."""

    NONE = 0
    SLIGHT = 1  # something has changed
    GRAVE = 2  # something may be lost
    CERTAIN = 3  # something is lost


class Conntrack(Protocol):
    """What the driver asks of either."""

    outlives_switch: bool
    """Are connections still there when ovs-vswitchd was restarted?"""

    def carry_out(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Do what is not done by OpenFlow; return what is, in its order."""

    def may_have_lost(self, entries: int, quiet: bool) -> Doubt:
        """Can there be entries, of so many, whose connections went with no word of it?

        ``quiet``: no copy came since the last time.  Raises OvsError.
        """

    def is_established(self, zone: int, original: FlowTuple) -> bool:
        """Does a TCP connection go on for all that a RST of it was seen?"""

    def was_compared(self, count: int, entries: int) -> None:
        """Its list, with so many connections, and the entries were just compared."""


Flush = Callable[[], None]
"""Has the hypervisor's outbox sent."""


def behind(
    hypervisor: Hypervisor, appctl: Callable[..., str], flush_soon: Flush
) -> Conntrack:
    """The conntrack that a hypervisor's switch uses.  Raises OSError."""
    # Here and not above: each is of no use where the other is.
    if netns := hypervisor.config.netns:
        from controller.conntrack.kernel import KernelConntrack

        return KernelConntrack(hypervisor, flush_soon, netns)
    from controller.conntrack.userspace import UserspaceConntrack

    return UserspaceConntrack(appctl)
