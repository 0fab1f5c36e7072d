"""Packets second by second: a row a second, of which the last one moves."""

from __future__ import annotations

import time
from collections.abc import Callable

from demo.checks import Counts, Reading, difference
from demo.screen import Screen
from demo.stage import Stage

_TICK_S = 0.25
_LABEL = 11
# What stands beside a bar: "  hv1 ", two counts, "hw", "sw" and blanks.
_BESIDE = 28


class Rows:
    """Draws what hypervisors count, as rows of bars and numbers."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bar = max(min((screen.width - _LABEL) // 2 - _BESIDE, 20), 8)

    def row(self, label: str, counted: Reading) -> str:
        """Return a row."""
        return f"  {label:<{_LABEL - 2}}" + "".join(
            f"  {name} {self._screen.bar(counts, self._bar)}{_numbers(counts)}"
            for name, counts in counted.items()
        )


def _numbers(counts: Counts) -> str:
    return f"{counts.hardware:>6,} hw{counts.software:>6,} sw"


def second_by_second(stage: Stage, is_over: Callable[[float], bool]) -> None:
    """Draw a row a second until something is over.

    ``is_over`` waits for up to the seconds it is given, and tells.
    """
    rows = Rows(stage.screen)
    began_s, second = time.monotonic(), 1
    before = stage.meter.read()
    over = False
    while not over:
        left_s = began_s + second - time.monotonic()
        over = is_over(min(max(left_s, 0), _TICK_S))
        ended = time.monotonic() - began_s >= second
        reading = stage.meter.read()
        counted = difference(before, reading)
        label = f"second {second}"
        if over or ended:
            stage.screen.settled(rows.row(label, counted))
            before, second = reading, second + 1
        else:
            stage.screen.moving(rows.row(label, counted))
