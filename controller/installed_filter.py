"""A tc filter that stands: its rules of both halves, and what rules it had before have counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

from controller.chains import Chains
from controller.rules import Rule
from offload.cls_api import Filter
from offload.ids import Mapping

Holding = tuple[Union[Chains, Mapping[Any]], Any]


@dataclass(frozen=True, slots=True, order=True)
class Count:
    """Packets and bytes."""

    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.packets + other.packets, self.bytes + other.bytes)

    def __sub__(self, other: Count) -> Count:
        return Count(self.packets - other.packets, self.bytes - other.bytes)


@dataclass(slots=True)
class InstalledFilter:
    """A filter, its rules, and by table what rules it had before have counted.

    ``why_not`` is the reason it is not in hardware, "" if it is.  ``spread`` and
    ``wrong`` are ``counters``': the wrong credits of this ct filter that have been
    taken off, and those taken off this one, by the id of the ct filter they are of.
    """

    filter: Filter
    added_s: float
    fte_ids: tuple[int, ...] = ()
    software: list[Rule] = field(default_factory=list)
    hardware: list[Rule] = field(default_factory=list)
    held: tuple[Holding, ...] = ()
    why_not: str = ""
    before: dict[int, Count] = field(default_factory=dict)
    spread: Count = Count()
    wrong: dict[int, Count] = field(default_factory=dict)

    @property
    def in_hw(self) -> bool:
        """Did hardware take it?"""
        return not self.why_not

    @property
    def rules(self) -> list[Rule]:
        """Its rules in both halves."""
        return self.software + self.hardware

    def had_counted(self, table: int, count: Count) -> None:
        """A rule of this filter is gone: keep what it counted."""
        self.before[table] = self.before.get(table, Count()) + count
