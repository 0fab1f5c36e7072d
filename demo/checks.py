"""What was expected, what was seen: the values the story collects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """Something expected and what was seen; ``where`` is a hypervisor, or nowhere particular."""

    name: str
    expected: str
    seen: str
    ok: bool
    where: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Packets that hardware took, and packets that software took."""

    hardware: int = 0
    software: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hardware + other.hardware, self.software + other.software)

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.hardware - other.hardware, self.software - other.software)

    @property
    def total(self) -> int:
        """All of them."""
        return self.hardware + self.software

    @property
    def share(self) -> float:
        """Hardware's part, from 0 to 1; 0 of nothing."""
        return self.hardware / self.total if self.total else 0.0


Reading = Mapping[str, Counts]
"""The counts of each hypervisor."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the story, and the packets each hypervisor counted in it."""

    name: str
    hypervisors: Reading


def difference(before: Reading, after: Reading) -> dict[str, Counts]:
    """Return what was counted between two readings."""
    return {name: after[name] - before[name] for name in after}


def equal(name: str, expected: object, seen: object, where: str = "") -> Check:
    """Check that a value is what it should be."""
    return Check(name, said(expected), said(seen), expected == seen, where)


def at_least(name: str, least: int, seen: int, where: str = "") -> Check:
    """Check that a count reaches a floor."""
    return Check(name, f">= {least:,}", f"{seen:,}", seen >= least, where)


def share_at_least(name: str, least: float, seen: Counts, where: str = "") -> Check:
    """Check hardware's part of the packets; of no packets, it is not enough."""
    ok = seen.total > 0 and seen.share >= least
    return Check(name, f">= {least * 100:g} %", percent(seen), ok, where)


def percent(counts: Counts) -> str:
    """Say hardware's part, never rounded up to the whole."""
    return f"{int(counts.share * 10_000) / 100:.2f} %"


def said(value: object) -> str:
    """Say a value as the table does."""
    return f"{value:,}" if type(value) is int else str(value)
