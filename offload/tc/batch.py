"""Commands from a file: ``tc -batch FILE``.

Source: iproute2 lib/utils.c:getcmdline, makeargs, do_batch
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from offload.tc.words import Refusal

_SPACE = " \t\r\n"
_MAX_ARGS = 511
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def batch(text: str) -> Iterator[tuple[int, list[str]]]:
    """The commands of ``text``, each with the number of its last line.

    ``#`` starts a comment anywhere, even in quotes; a backslash before the end
    of a line joins the next one; a quote counts where a word begins.
    Raises Refusal when it comes to a line that cannot be split.
    """
    lines = _LINE.findall(text)
    number = 0
    while number < len(lines):
        line = _without_comment(lines[number])
        number += 1
        while "\\\n" in line:
            if number == len(lines):
                raise Refusal("Missing continuation line", 0)
            joined = _without_comment(lines[number])
            line = line.partition("\\\n")[0] + joined
            number += 1
        argv = split(line)
        if argv:
            yield number, argv


def failed(file: str, line_number: int) -> str:
    """What tc adds on stderr when the command of a line failed."""
    return f"Command failed {file}:{line_number}"


def _without_comment(line: str) -> str:
    return line.partition("#")[0]


def split(line: str) -> list[str]:
    """The words of one line."""
    argv: list[str] = []
    rest = line.lstrip(_SPACE)
    while rest:
        if len(argv) >= _MAX_ARGS:
            raise Refusal("Too many arguments to command", 1)
        word, rest = _word(rest)
        argv.append(word)
        rest = rest.lstrip(_SPACE)
    return argv


def _word(text: str) -> tuple[str, str]:
    quote = text[0]
    if quote in "'\"":
        word, closed, rest = text[1:].partition(quote)
        if not closed:
            raise Refusal("Unterminated quoted string", 1)
        return word, rest
    end = next((at for at, char in enumerate(text) if char in _SPACE), len(text))
    return text[:end], text[end:]
