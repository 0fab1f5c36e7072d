"""What a run of many programs found, for people: progress meanwhile, a report at the end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.kernel.conformance.verdict import Verdict

BAR = 30
QUIET_S = 15.0


@dataclass(slots=True)
class Report:
    """Sums over verdicts; `shown` is the file of each disagreement's case."""

    wanted: int
    programs: int = 0
    packets: int = 0
    compared: int = 0
    agreed: int = 0
    failed: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[Verdict, Path]] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count a verdict."""
        steps = len(verdict.case.steps)
        self.programs += 1
        self.packets += steps
        self.compared += verdict.cut.step if verdict.cut else steps
        self.agreed += verdict.agrees
        if verdict.cut:
            self.cuts[verdict.cut.known.name] += 1

    def lines(self) -> Iterator[str]:
        """The report."""
        for verdict, path in self.shown:
            yield f"{verdict.case.name} disagrees:"
            yield from (f"  {line}" for line in str(verdict).splitlines()[:12])
            yield f"  to see it: python -m tests.kernel.conformance case {path}"
        yield f"{self.programs} programs, {self.packets} packets, three modes each"
        yield f"{self.agreed} agree, {self.programs - self.agreed - self.failed} disagree"
        if self.failed:
            yield f"{self.failed} could not be carried out"
        yield f"{self.compared} packets compared; the others follow on an exception:"
        for name, count in self.cuts.most_common():
            yield f"  {count:5} programs: {name}"


class Progress:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._began = self._last = time.monotonic()
        self._bar = sys.stderr.isatty()

    def step(self) -> None:
        """Show how far it has come."""
        now = time.monotonic()
        if not self._bar and now - self._last < QUIET_S:
            return
        self._last = now
        report = self._report
        share = report.programs / report.wanted
        done = f"{report.programs}/{report.wanted} programs"
        bad = report.programs - report.agreed
        text = f"{done}, {report.packets} packets, {bad} disagree, {now - self._began:.0f} s"
        if self._bar:
            full = int(BAR * share)
            text = f"\r[{'#' * full}{' ' * (BAR - full)}] {text}\033[K"
        print(text, end="" if self._bar else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the bar's line."""
        if self._bar:
            print(file=sys.stderr)
