"""Commands with progress, a deadline and a log: what the user sees of a long run."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vagrant.errors import StepFailed

_TELL_EVERY_S = 15.0
_WIDTH = 100
_SAYS_NOTHING = re.compile(r"make(\[\d+\])?: \*\*\*|$").match
# What of our own scripts knows better than who ran it, and says so last.
_REASON = re.compile(r"(setup|vagrant-box): cannot |python -m \w+: |FAIL: ").search
_GRACE_S = 10.0


def say(line: str) -> None:
    """Tell the user something, at once."""
    print(f"vagrant-test: {line}", flush=True)


def run(
    argv: Sequence[str],
    log: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = say,
) -> None:
    """Run a command with its output in a log, telling its last line now and then.

    Raises StepFailed with the command's last line if it fails, or at the deadline.
    """
    with open(log, "ab") as file:
        file.write(f"\n$ {' '.join(argv)}\n".encode())
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # so that all of it can be ended
        )
        try:
            last = _follow(child, file.write, timeout_s, tell)
            code = child.wait()
        finally:
            _end(child)
    if code:
        raise StepFailed(f"{last or 'exit code ' + str(code)} (all of it: {log})")


def _follow(
    child: subprocess.Popen[bytes],
    keep: Callable[[bytes], object],
    timeout_s: float,
    tell: Callable[[str], None],
) -> str:
    """Read a command's output to its end; return why it failed, if so: mostly its last line."""
    assert child.stdout
    began_s = told_s = time.monotonic()
    rest, last, reason = b"", "", ""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while (now_s := time.monotonic()) < began_s + timeout_s:
            if not selector.select(1.0):
                continue
            piece = os.read(child.stdout.fileno(), 1 << 16)
            if not piece:
                return reason or last
            keep(piece)
            *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
            said = [line for line in map(_shown, lines) if not _SAYS_NOTHING(line)]
            last = said[-1] if said else last
            reason = next(filter(_REASON, said), reason)
            if last and now_s - told_s >= _TELL_EVERY_S:
                told_s = now_s
                tell(f"  ... {last}")
    raise StepFailed(f"not done in {timeout_s:.0f} s; it last said: {last}")


def _shown(line: bytes) -> str:
    return line.decode(errors="replace").strip()[:_WIDTH]


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a command and what it started, if it has not ended by itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            break
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
    if child.stdout:
        child.stdout.close()


def complain(line: str) -> None:
    """Tell the user what went wrong, in one line."""
    print(f"vagrant-test: {line}", file=sys.stderr, flush=True)
