"""Running commands."""

from __future__ import annotations

import shlex
import subprocess

from tests.kernel.cases.outcome import Ran

TIMEOUT_S = 60
SILENT = ("add", "replace", "change", "del", "delete", "flush")
OBJECTS = ("filter", "qdisc", "chain", "action", "actions")
DONE = Ran(0, "", "")


def run(command: str) -> Ran:
    """Run a command, never through a shell."""
    try:
        return _run(shlex.split(command))
    except ValueError as error:
        return Ran(127, "", f"{error}\n")


def is_silent(command: str) -> bool:
    """Is it one of tc's that print nothing when they succeed?"""
    words = command.split()
    return (
        len(words) > 2
        and words[0] == "tc"
        and words[1] in OBJECTS
        and words[2] in SILENT
        and not set("\"'\\#") & set("".join(words))
    )


def _run(words: list[str]) -> Ran:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ran(127, "", f"{error}\n")
    return Ran(done.returncode, done.stdout, done.stderr)
