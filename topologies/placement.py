"""Which machine a hypervisor lives on: a placement is part of a topology's description.

    TwoHypervisors(placement={
        "hv1": Place(underlay="eth1"),
        "hv2": Place(server="root@192.168.57.12", underlay="eth1"),
    })
    --place hv1=%eth1 --place hv2=root@192.168.57.12%eth1

    +- this machine ------------+           +- 192.168.57.12 -----------+
    |  controller   vm1   vm2   |           |               vm3   vm4   |
    |      |         +- hv1 -+  |   SSH     |                +- hv2 -+  |
    |      +------------ | -----+-----------+--------------------+   |  |
    |                  ens1f0   |           |                ens1f0     |
    +------------------ eth1 ---+           +----------------- eth1 ----+
                         +------- VXLAN, UDP port 4789 --------+

A hypervisor's virtual machines live where it does. There is no underlay node then: the
uplink is a macvlan of the machine's own interface, which the machine keeps the use of. So
the machines must share an Ethernet segment that lets foreign MAC addresses pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from topologies.errors import BadOption

FORM = "HYPERVISOR=[SERVER]%INTERFACE"
"""What a value of ``--place`` looks like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A machine, by what ``ssh`` calls it (empty: this one), and its interface to the others."""

    server: str = ""
    underlay: str

    def __post_init__(self) -> None:
        if not self.underlay:
            raise BadOption(f"a place needs an interface: {FORM}")
        if self.server.startswith("-"):
            raise BadOption(f"{self.server} is no server")


Placement = Mapping[str, Place]
"""The place of each hypervisor, by its name."""


def check(placement: Placement, hypervisors: Sequence[str]) -> None:
    """Raise BadOption unless every hypervisor of a topology has a place, or none has."""
    if not placement:
        return
    if unknown := sorted(set(placement) - set(hypervisors)):
        raise BadOption(
            f"there is no hypervisor {unknown[0]}: there are {', '.join(hypervisors)}"
        )
    if homeless := sorted(set(hypervisors) - set(placement)):
        raise BadOption(
            f"{homeless[0]} has no place: all hypervisors must have one, or none"
        )


def from_words(words: Sequence[str]) -> dict[str, Place]:
    """Return the placement that the values of ``--place`` describe; raises BadOption."""
    placement: dict[str, Place] = {}
    for word in words:
        hypervisor, equals, place = word.partition("=")
        server, percent, underlay = place.rpartition("%")
        if not (hypervisor and equals and percent):
            raise BadOption(f"--place {word}: it must be {FORM}")
        if hypervisor in placement:
            raise BadOption(f"--place {word}: {hypervisor} has a place already")
        placement[hypervisor] = Place(server=server, underlay=underlay)
    return placement
