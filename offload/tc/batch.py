"""Commands from a file: ``tc -batch FILE``.

Source: iproute2 lib/utils.c:getcmdline, makeargs, do_batch
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from offload.tc.words import Refusal

_WORDS = re.compile(r"""'([^']*)'|"([^"]*)"|(?P<open>['"])|([^ \t\r\n]+)""")
_MAX_ARGS = 511
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def batch(text: str) -> Iterator[tuple[int, list[str]]]:
    """The commands of ``text``, each with the number of its last line.

    ``#`` starts a comment anywhere, even in quotes; a backslash before the end
    of a line joins the next one; a quote counts where a word begins; a NUL ends
    a line, as it does a string of C.
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
    return line.partition("\0")[0].partition("#")[0]


def split(line: str) -> list[str]:
    """The words of one line."""
    argv: list[str] = []
    for found in _WORDS.finditer(line):
        if len(argv) >= _MAX_ARGS:
            raise Refusal("Too many arguments to command", 1)
        if found["open"]:
            raise Refusal("Unterminated quoted string", 1)
        argv.append(found[found.lastindex or 0])
    return argv
