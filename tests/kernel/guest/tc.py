"""One tc for all commands of a place: under emulation, to start a process takes 50 ms.

`tc -force -batch -` goes on after a line that fails, says on stderr which, and flushes what it
prints line by line; a `show` at the end tells that all before it is done. The exit code of a line
that failed before it reached the kernel is asked of a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from tests.kernel.cases.outcome import Ran
from tests.kernel.guest.commands import DONE, run

FAILED = re.compile(rb"Command failed -:(\d+)\n")
BY_KERNEL = b"We have an error talking to the kernel\n"
KERNEL_CODE = 2
DONE_LINE = "qdisc show dev lo"


class Tc:
    """A running tc, in the namespace in which it was started."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            ["tc", "-s", "-j", "-force", "-batch", "-"],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        self._lines = 0
        self._decoder = json.JSONDecoder()

    def change(self, lines: Sequence[str]) -> list[Ran]:
        """Carry out lines that print nothing when they succeed."""
        first = self._lines + 1
        self._printed(lines)
        failed = dict(self._failures())
        return [
            _ran(line, failed.get(number)) for number, line in enumerate(lines, first)
        ]

    def show(self, lines: Sequence[str]) -> list[Any]:
        """Return the JSON that each line prints."""
        return self._printed(lines, len(lines))

    def _printed(self, lines: Sequence[str], count: int = 0) -> list[Any]:
        """Have tc take lines that print so many values; return those when all lines are done."""
        self._write("".join(f"{line}\n" for line in (*lines, DONE_LINE)))
        self._lines += len(lines) + 1
        text = ""
        found: list[Any] = []
        while len(found) <= count:
            text += self._read()
            while text := text.lstrip():
                try:
                    value, end = self._decoder.raw_decode(text)
                except ValueError:
                    break
                found.append(value)
                text = text[end:]
        return found[:count]

    def _read(self) -> str:
        assert self._process.stdout is not None
        chunk = os.read(self._process.stdout.fileno(), 1 << 16)
        if not chunk:
            raise OSError("tc has ended")
        return chunk.decode()

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def _failures(self) -> Iterable[tuple[int, bytes]]:
        assert self._process.stderr is not None
        said = self._process.stderr.read() or b""
        parts = FAILED.split(said)
        return zip(map(int, parts[1::2]), parts[0::2])


def _ran(line: str, stderr: bytes | None) -> Ran:
    if stderr is None:
        return DONE
    if stderr.endswith(BY_KERNEL):
        return Ran(KERNEL_CODE, "", stderr.decode())
    return run(f"tc {line}")
