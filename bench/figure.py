"""What a benchmark finds: figures for the table, curves for the plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


class Failed(Exception):
    """What was counted did not happen; there is no figure then."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    ``ratio`` is to the peer; ``target`` is stated in words and ``met`` None where
    there is none.
    """

    name: str
    value: float
    unit: str
    peer: str = "-"
    ratio: float | None = None
    target: str = "-"
    met: bool | None = None


Point = tuple[float | str, float]


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves, or bars where ``x`` are names; each curve is a list of points."""

    name: str
    title: str
    x: str
    y: str
    curves: dict[str, list[Point]]
    log_x: bool = False
    log_y: bool = False
    target: float | None = None


@dataclass(slots=True)
class Found:
    """All figures and plots of a benchmark."""

    figures: list[Figure] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)


Benchmark = Callable[[bool], Iterator[Figure | Plot]]
"""Measures, in a quick way if asked to; yields what it finds."""


def check(happened: bool, what: str) -> None:
    """Raise Failed(``what``) unless it happened."""
    if not happened:
        raise Failed(what)
