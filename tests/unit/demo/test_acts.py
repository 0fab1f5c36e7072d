"""The acts' own small logic: the cover letter's words, rows, reasons."""

import io
import itertools
import re
from types import SimpleNamespace
from typing import Any

import pytest

from demo.acts import filters, icmp, progress
from demo.checks import Counts
from demo.screen import Screen
from demo.stage import Printed

_ENOUGH_ROOM = 79


def screen() -> Screen:
    return Screen(
        io.StringIO(), width=_ENOUGH_ROOM, colour=False, live=False, boxes=True
    )


def test_commands_are_one_line_each_to_a_shell() -> None:
    for command in filters.COMMANDS:
        lines = command.strip().splitlines()
        assert all(line.endswith(" \\") for line in lines[:-1])
        assert not lines[-1].endswith("\\")


def test_a_row_fits_eighty_columns() -> None:
    counted = dict.fromkeys(("hv1", "hv2"), Counts(99_999, 99_999))
    row = progress.Rows(screen()).row("second 10", counted)
    assert len(row) <= _ENOUGH_ROOM
    assert re.findall(r"[\d,]+ [hs]w", row) == ["99,999 hw", "99,999 sw"] * 2


def test_a_row_a_second_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    packets = itertools.count(step=100)
    monkeypatch.setattr("time.monotonic", lambda: next(seconds) / 4)
    out = io.StringIO()
    shown = Screen(out, width=_ENOUGH_ROOM, colour=False, live=False, boxes=True)
    meter = SimpleNamespace(read=lambda: {"hv1": Counts(next(packets), 0)})
    stage: Any = SimpleNamespace(screen=shown, meter=meter)
    ends = iter([False] * 5 + [True])
    progress.second_by_second(stage, lambda _timeout_s: next(ends))
    rows = out.getvalue().splitlines()
    assert [row.split()[1] for row in rows] == [str(n + 1) for n in range(len(rows))]
    counted = [int(re.findall(r"(\d+) hw", row)[0]) for row in rows]
    assert sum(counted) == 600


def test_why_is_tcs_first_line() -> None:
    asked: list[str] = []

    def run(where: str, command: str, show: bool = True) -> Printed:
        asked.append(command)
        return Printed(2, "", "Error: no.\nWe have an error talking to the kernel\n")

    stage: Any = SimpleNamespace(run=run)
    assert filters.why_not(stage, filters.COMMANDS[1]) == "Error: no."
    assert "flower skip_sw" in asked[0] and "prio 99" in asked[0]


def test_a_reason_is_new_when_its_count_is() -> None:
    assert icmp._new_reason({"a": 1}, {"a": 1, "b": 1}) == "b"
    assert icmp._new_reason({"a": 1}, {"a": 2}) == "a"
    assert icmp._new_reason({"a": 1}, {"a": 1}) == "(nothing)"
