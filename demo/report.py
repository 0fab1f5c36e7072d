"""The report: everything that was checked and counted, and its JSON file.

{"ok": true, "checks": [{"name", "expected", "seen", "ok"}, ...],
 "phases": [{"name", "hypervisors": {"hv1": {"hardware_packets", "software_packets"}, ...}}],
 "duration_s": 21.3, "versions": {"ovs", "kernel", "python"},
 "error": null, "interrupted": false}
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from demo.checks import Check, Phase
from demo.errors import CannotWrite


class Report:
    """Collects checks and phases; good only once the story is at its end."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.phases: list[Phase] = []
        self.versions: dict[str, str] = {}
        self.complete = False
        self.interrupted = False
        self.error: str | None = None
        self._began_s = time.monotonic()

    @property
    def ok(self) -> bool:
        """Was the story told to its end, and is every check good?"""
        told = self.complete and self.error is None
        return told and bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def duration_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began_s

    def as_json(self) -> dict[str, Any]:
        """Return the report for a program."""
        return {
            "ok": self.ok,
            "checks": [_check(check) for check in self.checks],
            "phases": [_phase(phase) for phase in self.phases],
            "duration_s": round(self.duration_s, 2),
            "versions": self.versions,
            "error": self.error,
            "interrupted": self.interrupted,
        }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": f"{check.name}, {check.where}" if check.where else check.name,
        "expected": check.expected,
        "seen": check.seen,
        "ok": check.ok,
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "hypervisors": {
            name: {
                "hardware_packets": counts.hardware,
                "software_packets": counts.software,
            }
            for name, counts in phase.hypervisors.items()
        },
    }


class JsonFile:
    """A file that is whole or not there: written beside its place, then renamed."""

    def __init__(self, path: Path) -> None:
        # The name may be a link: what it leads to is replaced, not the link.
        self._given = path
        self._path = path.resolve()
        # A rename would put a file in the place of, say, what /dev/stdout leads to.
        self._is_device = str(path.absolute()).startswith(("/dev/", "/proc/"))

    def probe(self) -> None:
        """Raise CannotWrite, in one line, if the file could not be written."""
        if self._path.is_dir():
            raise CannotWrite(f"cannot write {self._given}: it is a directory")
        if self._is_device or self._path.exists() and not self._path.is_file():
            raise CannotWrite(f"cannot write {self._given}: it is no ordinary file")
        try:
            with tempfile.TemporaryFile(dir=self._path.parent):
                pass
        except OSError as error:
            raise CannotWrite(f"cannot write {self._given}: {error.strerror}") from None

    def write(self, content: dict[str, Any]) -> None:
        """Write the file in one step; raise CannotWrite."""
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            try:
                text = json.dumps(content, indent=2) + "\n"
                beside.write_text(text, encoding="utf-8")
                beside.replace(self._path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise CannotWrite(f"cannot write {self._given}: {error.strerror}") from None
