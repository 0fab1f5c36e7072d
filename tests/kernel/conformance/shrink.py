"""Make a case that disagrees as small as it gets, and still disagree in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.kernel.cases.case import Case

Disagrees = Callable[[Case], bool]
T = TypeVar("T")


def shrink(case: Case, disagrees: Disagrees) -> Case:
    """Take steps and commands away for as long as what is left disagrees."""
    while True:
        steps = _fewer(case.steps, lambda some: disagrees(replace(case, steps=some)))
        case = replace(case, steps=steps)
        small = case
        commands = _fewer(
            case.commands, lambda some: disagrees(replace(small, commands=some))
        )
        smaller = replace(case, commands=commands)
        if smaller == case:
            return case
        case = smaller


def _fewer(
    items: tuple[T, ...], enough: Callable[[tuple[T, ...]], bool]
) -> tuple[T, ...]:
    """Drop runs of items, from the end and ever shorter ones, that are not needed."""
    size = max(len(items) // 2, 1)
    while size:
        end = len(items)
        while end > 0:
            start = max(end - size, 0)
            some = _without(items, start, end)
            if enough(some):
                items = some
            end = start
        size //= 2
    return items


def _without(items: Sequence[T], start: int, end: int) -> tuple[T, ...]:
    return (*items[:start], *items[end:])
