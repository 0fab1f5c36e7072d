"""The end: a table of what was expected and what was seen, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from demo.checks import Check
from demo.report import Report
from demo.screen import Screen, Style


def conclude(screen: Screen, report: Report) -> None:
    """Write the table and the verdict."""
    screen.heading("Expected and seen")
    _table(screen, report.checks)
    good = sum(check.ok for check in report.checks)
    verdict = f"{good} of {len(report.checks)} checks ok, in {report.duration_s:.0f} s"
    if report.error:
        verdict += f"; cut short: {report.error}"
    screen.line()
    screen.paragraph(verdict, Style.GOOD if report.ok else Style.BAD)
    versions = [f"{name} {version}" for name, version in report.versions.items()]
    screen.lines([", ".join(versions)], Style.QUIET)


def _table(screen: Screen, checks: Sequence[Check]) -> None:
    rows = [row(group) for group in groups(checks)]
    name = max([len("check"), *(len(line.name) for line in rows)])
    wanted = max([len("expected"), *(len(line.expected) for line in rows)])
    heading = f"{'':4}  {'check':<{name}}  {'expected':<{wanted}}  seen"
    screen.lines([heading], Style.QUIET)
    for line in rows:
        style, result = (Style.GOOD, "ok  ") if line.ok else (Style.BAD, "FAIL")
        cells = f"{line.name:<{name}}  {line.expected:<{wanted}}  {line.seen}"
        screen.lines([f"{screen.paint(result, style)}  {cells}"])


def groups(checks: Iterable[Check]) -> list[list[Check]]:
    """Put checks of the same thing together, in the order of the first."""
    same: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        same.setdefault((check.name, check.expected), []).append(check)
    return list(same.values())


def row(group: Sequence[Check]) -> Check:
    """Make one line of the checks of the same thing on several hypervisors."""
    seen = "  ".join(f"{check.where} {check.seen}".strip() for check in group)
    if len(group) > 1 and len({check.seen for check in group}) == 1:
        seen = f"{group[0].seen} on each"
    ok = all(check.ok for check in group)
    return Check(group[0].name, group[0].expected, seen, ok)
