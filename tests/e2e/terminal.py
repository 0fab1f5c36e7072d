"""A program at a terminal of its own, as somebody who types at it meets it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.e2e.background_run import DEAF_TO_NOTHING, ROOT
from tests.e2e.state import DEADLINE_S

_CONTROL = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]|\r")


class Terminal:
    """Type at it, and read up to its prompt."""

    def __init__(self, child: subprocess.Popen[bytes], descriptor: int) -> None:
        self._child = child
        self._descriptor = descriptor
        self._read = ""

    def type(self, line: str, prompt: str = "mininet> ") -> str:
        """Type a line; return what is printed until the next prompt."""
        os.write(self._descriptor, line.encode() + b"\n")
        said = self.read_until(prompt)
        return said.removeprefix(line).lstrip("\n")

    def press(self, key: str) -> None:
        """Press one key, such as Ctrl-C."""
        os.write(self._descriptor, key.encode())

    def read_until(self, text: str) -> str:
        """Return what is printed before a text."""
        deadline = time.monotonic() + 2 * DEADLINE_S
        while text not in self._read:
            more = self._more(deadline - time.monotonic())
            assert more, f"no {text!r} after {self._read!r}"
            self._read += more
        before, _, self._read = self._read.partition(text)
        return before

    def rest(self) -> tuple[int, str]:
        """Read to the end; the exit code, and what was printed."""
        deadline = time.monotonic() + 2 * DEADLINE_S
        while more := self._more(deadline - time.monotonic()):
            self._read += more
        return self._child.wait(DEADLINE_S), self._read

    def _more(self, timeout_s: float) -> str:
        readable, _, _ = select.select([self._descriptor], [], [], max(timeout_s, 0))
        try:
            raw = os.read(self._descriptor, 1 << 16) if readable else b""
        except OSError:
            return ""  # EIO: nobody has the terminal open any more
        return _CONTROL.sub("", raw.decode(errors="replace"))


@contextmanager
def terminal(argv: Sequence[str]) -> Iterator[Terminal]:
    """Start a program that has a terminal; at the end of the block it is ended."""
    ours, theirs = pty.openpty()
    # Wide enough that no line typed is scrolled sideways.
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 50, 1000, 0, 0))
    child = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *DEAF_TO_NOTHING, *argv],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(theirs)
    with child:
        try:
            yield Terminal(child, ours)
        finally:
            # Hangs up: the kernel sends SIGHUP to whoever has this terminal.
            os.close(ours)
            child.wait(2 * DEADLINE_S)
