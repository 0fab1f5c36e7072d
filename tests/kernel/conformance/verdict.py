"""What came of a case on both: each difference once, with the modes of the card that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.kernel.cases.case import Case
from tests.kernel.cases.outcome import Outcome
from tests.kernel.conformance.comparison import Difference, Scope, compare
from tests.kernel.conformance.exceptions import (
    Cut,
    counters_are_comparable,
    cut,
)
from tests.kernel.testbed.network import Mode


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference, and in which modes it was."""

    modes: tuple[Mode, ...]
    difference: Difference

    def __str__(self) -> str:
        return f"[{', '.join(mode.name for mode in self.modes)}] {self.difference}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A case and all that the testbed did otherwise than the kernel."""

    case: Case
    findings: tuple[Finding, ...]
    cut: Cut | None = None

    @property
    def agrees(self) -> bool:
        """Did every mode do as the kernel?"""
        return not self.findings

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or "no difference"


def judge(
    case: Case,
    kernel: Outcome,
    testbed: Mapping[Mode, Outcome],
    excepting: bool = True,
) -> Verdict:
    """Compare each mode's outcome with the kernel's.

    Args:
        excepting: up to the first step that an exception is known for; else to the end.
    """
    end = cut(case, kernel) if excepting else None
    until, counters = end.step if end else None, counters_are_comparable(case, kernel)
    scope = Scope(until, counters)
    by_text: dict[str, Finding] = {}
    for mode, outcome in testbed.items():
        for difference in compare(kernel, outcome, scope):
            before = by_text.get(str(difference))
            modes = (*before.modes, mode) if before else (mode,)
            by_text[str(difference)] = Finding(modes, difference)
    return Verdict(case, tuple(by_text.values()), end)
