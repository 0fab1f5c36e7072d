"""Running commands, and many of tc's in one process: under emulation, to start one takes 50 ms.

tc's batch stops at the first line that fails and says which. What a line that fails prints, and
its exit code, are then asked of a process of its own: it fails again, for the same reason.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from tests.kernel.cases.outcome import Ran

TIMEOUT_S = 60
SILENT = ("add", "replace", "change", "del", "delete", "flush")
OBJECTS = ("filter", "qdisc", "chain", "action", "actions")
FAILED_LINE = re.compile(r"Command failed -:(\d+)")
DONE = Ran(0, "", "")


def run(command: str) -> Ran:
    """Run a command, never through a shell."""
    try:
        return _run(shlex.split(command))
    except ValueError as error:
        return Ran(127, "", f"{error}\n")


def run_all(commands: Sequence[str]) -> tuple[Ran, ...]:
    """Run commands one after the other, whether they fail or not."""
    results: list[Ran] = []
    while len(results) < len(commands):
        rest = commands[len(results) :]
        batch = _batchable(rest)
        done = _batch(batch)
        results.extend([DONE] * done)
        if done == len(batch) < len(rest) or done < len(batch):
            results.append(run(rest[done]))
    return tuple(results)


def show_filters(places: Iterable[tuple[str, str]]) -> list[list[dict[str, Any]]]:
    """Return what `tc -s -j filter show dev DEVICE HOOK` prints, of each place."""
    text = "".join(f"filter show dev {name} {hook}\n" for name, hook in places)
    if not text:
        return []
    printed = _run(["tc", "-s", "-j", "-batch", "-"], text).stdout
    decoder, found, offset = json.JSONDecoder(), [], 0
    while offset < len(printed.rstrip()):
        value, offset = decoder.raw_decode(printed, offset)
        found.append(value)
        offset += len(printed[offset:]) - len(printed[offset:].lstrip())
    return found


def _batchable(commands: Sequence[str]) -> list[str]:
    """Return those at the beginning that print nothing when they succeed."""
    batch = []
    for command in commands:
        words = command.split()
        if not _silent(words):
            break
        batch.append(" ".join(words[1:]))
    return batch


def _silent(words: list[str]) -> bool:
    return (
        len(words) > 2
        and words[0] == "tc"
        and words[1] in OBJECTS
        and words[2] in SILENT
        and not set("\"'\\#") & set("".join(words))
    )


def _batch(lines: list[str]) -> int:
    """Run lines until one fails; return how many did not."""
    if not lines:
        return 0
    ran = _run(["tc", "-batch", "-"], "".join(f"{line}\n" for line in lines))
    if ran.code == 0:
        return len(lines)
    failed = FAILED_LINE.search(ran.stderr)
    if failed is None:
        raise OSError(f"tc -batch: {ran.stderr}")
    return int(failed.group(1)) - 1


def _run(words: list[str], text: str = "") -> Ran:
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ran(127, "", f"{error}\n")
    return Ran(done.returncode, done.stdout, done.stderr)
