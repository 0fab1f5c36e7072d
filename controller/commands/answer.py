"""What a command answers, and what it needs of the switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from controller.openflow.decode import Counted
from controller.rules import Owner
from controller.tunnels import Outer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool prints and the code it exits with.

    ``beside_system``: the system's tool is to answer too, and first.
    """

    code: int = 0
    stdout: str = ""
    stderr: str = ""
    beside_system: bool = False


class Switch(Protocol):
    """A hypervisor's connected switch.  Its methods block the caller only."""

    def counters(self, owner: Owner) -> list[Counted]:
        """The counters of all rules of a kind, up to this moment."""

    def appctl(self, command: str, *arguments: str) -> str:
        """What ovs-vswitchd answers to a command."""

    def caught_up(self) -> None:
        """Return when all that packets before gave rise to has been carried out."""

    def settled(self, anew: bool = False) -> None:
        """Return when the switch has carried out all it was told.

        ``anew``: filters changed, and every packet is to meet them as they are now.
        """

    def prepare_zone(self, zone: int) -> None:
        """Give a zone the kernel's conntrack timeouts."""

    def prepare_tunnel(self, outer: Outer) -> None:
        """Have a port that puts such a header around packets."""
