"""An answer of tc, as text and as JSON at once.

tc prints through one set of functions that write either form, so the two say
the same; each value is put here once with its words and its JSON key.
Source: iproute2 lib/json_print.c, lib/json_writer.c
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Union

from offload.tc.options import Options

Scalar = Union[str, int, bool, None]
Json = Union[Scalar, "list[Json]", "dict[str, Json]"]


class Answer:
    """Collects what is printed; ``text`` and ``json`` give either form."""

    def __init__(self, newline: str = "\n") -> None:
        self._newline = newline
        self._words: list[str] = []
        self._root: list[Json] = []
        self._open: list[list[Json] | dict[str, Json]] = [self._root]

    def put(self, key: str | None, value: Scalar, words: str | None = None) -> None:
        """Add ``value`` under ``key``; in the text, ``words``."""
        self._add(key, value)
        self.say(str(value) if words is None else words)

    def put_named(self, key: str, value: Scalar) -> None:
        """Add ``value``; in the text on a line of its own, after its name."""
        self.newline()
        self.put(key, value, f"  {key} {value}")

    def put_masked(self, key: str, value: int, mask: int, full: int) -> None:
        """Add a number and its mask.  Source: tc/tc_util.c:print_masked_type"""
        self.put(key, value, f"{key} {value}")
        if mask != full:
            self.put(f"{key}_mask", f"{mask:x}", f"/{mask:#x}")

    def say(self, words: str) -> None:
        """Add to the text alone."""
        self._words.append(words)

    def newline(self) -> None:
        """End a line of the text (a backslash with ``-oneline``)."""
        self._words.append(self._newline)

    @contextmanager
    def object(self, key: str | None = None) -> Iterator[None]:
        """A JSON object around what is put inside."""
        inside: dict[str, Json] = {}
        self._add(key, inside)
        self._open.append(inside)
        yield
        self._open.pop()

    @contextmanager
    def array(self, key: str) -> Iterator[None]:
        """A JSON array around what is put inside."""
        inside: list[Json] = []
        self._add(key, inside)
        self._open.append(inside)
        yield
        self._open.pop()

    def _add(self, key: str | None, value: Json) -> None:
        target = self._open[-1]
        if isinstance(target, list):
            target.append(value)
        else:
            target[key or ""] = value

    @property
    def text(self) -> str:
        """What tc prints."""
        return "".join(self._words)

    def json(self, pretty: bool) -> str:
        """What ``tc -j`` prints, laid out for the eye if ``pretty``."""
        if not pretty:
            return _compact(self._root) + "\n"
        return _indented(self._root, 0) + "\n"


def new_answer(options: Options) -> Answer:
    """What an answer is collected in."""
    return Answer("\\" if options.oneline else "\n")


def printed(answer: Answer, options: Options) -> str:
    """An answer in the form that was asked for."""
    return answer.json(options.pretty) if options.json else answer.text


def _compact(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _indented(value: Json, depth: int) -> str:
    """json_writer's own layout: objects by line, arrays in line."""
    if isinstance(value, dict) and value:
        margin = "\n" + "    " * (depth + 1)
        fields = (f'{margin}"{k}": {_indented(v, depth + 1)}' for k, v in value.items())
        return "{" + ",".join(fields) + "\n" + "    " * depth + "}"
    if isinstance(value, list):
        return "[ " + ",".join(_indented(v, depth + 1) for v in value) + _end(value)
    return _compact(value)


def _end(items: list[Json]) -> str:
    return " ]" if items else "]"
