"""Conversations with tc: command lines, and what the real tc on the real kernel answered.

    NAME.tc    one command line a line; "~ WHY" before one that the testbed answers otherwise
    NAME.json  [code, stdout, stderr] of each, as the oracle gave them

The devices are ens1f0_0 and ens1f0_1, with a clsact each, and no hardware.

    python -m tests.conversations.record NAME...      ask the oracle (again)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = tuple(sorted(path.stem for path in HERE.glob("*.tc")))
DEVICES = ("ens1f0_0", "ens1f0_1")

_TIMES = re.compile(r" (installed|used|firstused) \d+ sec")
_TIME_KEYS = ("installed", "last_used", "first_used")
_USAGE = re.compile(r"^(usage|Usage): .*\Z", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """What tc left behind."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Line:
    """A command line without ``tc``, and why the testbed answers otherwise, if it does."""

    words: str
    differs: str = ""


def lines(name: str) -> list[Line]:
    """The lines of a conversation."""
    found, differs = [], ""
    for text in (HERE / f"{name}.tc").read_text("utf-8").splitlines():
        if text.startswith("~ "):
            differs = text[2:]
        elif text and not text.startswith("#"):
            found.append(Line(text, differs))
            differs = ""
    return found


def recorded(name: str) -> Iterator[tuple[Line, Said]]:
    """Each line with what the real one answered."""
    answers = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    for line, answer in zip(lines(name), answers, strict=True):
        yield line, Said(*answer)


def comparable(said: Said) -> tuple[int, object, str]:
    """An answer without what no two can have in common: times, and usage texts."""
    stderr = _USAGE.sub("USAGE", said.stderr)
    if said.stdout.startswith("["):
        return said.code, _timeless(json.loads(said.stdout)), stderr
    return said.code, _TIMES.sub("", said.stdout), stderr


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in _TIME_KEYS}
    if isinstance(value, list):
        return [_timeless(each) for each in value]
    return value
