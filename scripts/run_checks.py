"""Run every check and every test, go on after a failure, and say at the end what happened.

    run_checks.py [--list] [NAME ...]       all of them, or those named

Its last line is `N passed, M failed, K skipped`: a tool counts as one, a test suite as its tests.
Where CI is set in the environment a skipped test is a failure.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Check:
    """A command that passes with exit code 0; with `junit`, it counts its own tests there."""

    name: str
    about: str
    command: tuple[str, ...]
    junit: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check: how many passed and failed, and the reason of each skip."""

    check: Check
    passed: int
    failed: int
    skips: tuple[str, ...]
    took_s: float
    code: int

    def failures(self, in_ci: bool) -> int:
        """In CI nothing may be skipped, so there a skip is a failure."""
        return self.failed + (len(self.skips) if in_ci else 0)


def _module(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *words)


def _pytest(name: str, about: str, *before: str) -> Check:
    junit = CACHE / f"junit-{name}.xml"
    report = f"--junit-xml={junit}"
    command = _module(*before, "pytest", f"tests/{name}", report)
    return Check(name, about, command, junit)


# Its cache is the one thing that cannot be named in setup.cfg.
LINT_IMPORTS = (
    str(BIN / "lint-imports"),
    "--no-logo",
    f"--cache-dir={CACHE / 'import_linter'}",
)

CHECKS = (
    Check("format", "Black", _module("black", "--check", "--quiet", "--diff", ".")),
    Check("imports", "isort", _module("isort", "--check-only", "--diff", ".")),
    Check("lint", "flake8", _module("flake8")),
    Check("types", "mypy --strict", _module("mypy")),
    Check("layers", "import-linter", LINT_IMPORTS),
    _pytest("unit", "unit tests", "coverage", "run", "-m"),
    Check("coverage", "offload/ at 100 % of branches", _module("coverage", "report")),
    _pytest("e2e", "end-to-end tests"),
    _pytest("kernel", "held against the real kernel"),
)


def run(check: Check) -> Outcome:
    """Run one check with its output going straight to ours."""
    if check.junit:
        check.junit.unlink(missing_ok=True)
    began_s = time.monotonic()
    code = _exit_code(check.command)
    took_s = time.monotonic() - began_s
    if check.junit is None:
        return Outcome(check, int(code == 0), int(code != 0), (), took_s, code)
    passed, failed, skips = count(check.junit)
    # Pytest that dies, or collects nothing, has failed though no test of it has.
    failed = max(failed, int(code != 0))
    return Outcome(check, passed, failed, skips, took_s, code)


def _exit_code(command: Sequence[str]) -> int:
    """Wait for a command to end by itself, whatever reaches us meanwhile.

    Ctrl-C goes to the command too, and SIGTERM is passed on as one: it is left the time to take its
    network down, which `subprocess.run` would not give it.
    """
    with subprocess.Popen(command, cwd=ROOT) as child:

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            child.send_signal(signal.SIGINT)
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, interrupt)
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.wait()
            raise


def count(junit: Path) -> tuple[int, int, tuple[str, ...]]:
    """Tests passed, tests failed, and each skip with its reason, of a JUnit report."""
    if not junit.exists():
        return 0, 1, ()
    cases = list(ElementTree.parse(junit).iter("testcase"))
    failed = sum(_has(case, "failure", "error") for case in cases)
    skips = tuple(skip for case in cases for skip in _skips(case))
    return len(cases) - failed - len(skips), failed, skips


def _has(case: ElementTree.Element, *tags: str) -> bool:
    return any(case.find(tag) is not None for tag in tags)


def _skips(case: ElementTree.Element) -> Iterator[str]:
    skipped = case.find("skipped")
    if skipped is not None and not _has(case, "failure", "error"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
        yield f"{name}: {skipped.get('message', 'no reason given')}"


def table(outcomes: Sequence[Outcome], in_ci: bool) -> Iterator[str]:
    """The report: a line a check, the skips with their reasons, and the sum."""
    yield f"{'check':<10}{'result':<8}{'passed':>7}{'failed':>8}{'skipped':>9}{'time':>9}"
    for one in outcomes:
        result = "FAILED" if one.failures(in_ci) else "ok"
        counts = f"{one.passed:>7}{one.failed:>8}{len(one.skips):>9}"
        yield f"{one.check.name:<10}{result:<8}{counts}{one.took_s:>7.1f} s"
    for one in outcomes:
        for skip in one.skips:
            yield f"skipped {one.check.name}: {skip}{' (a failure in CI)' if in_ci else ''}"
    for one in outcomes:
        if one.failures(in_ci):
            yield f"to see {one.check.name} again: {_again(one.check)}"
    yield f"in {sum(one.took_s for one in outcomes):.0f} s:"
    passed = sum(one.passed for one in outcomes)
    failed = sum(one.failed for one in outcomes)
    yield f"{passed} passed, {failed} failed, {sum(len(one.skips) for one in outcomes)} skipped"


def _again(check: Check) -> str:
    return shlex.join(word.replace(f"{ROOT}/", "") for word in check.command)


def _chosen(names: Sequence[str]) -> tuple[Check, ...]:
    known = {check.name for check in CHECKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        wrong = ", ".join(unknown)
        raise SystemExit(f"run_checks.py: no check is called {wrong} (see --list)")
    return tuple(check for check in CHECKS if not names or check.name in names)


def _give_cache_to_owner() -> None:
    """After sudo, what the tools left in the work tree belongs to the owner of the tree."""
    owner = ROOT.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for path in (CACHE, *CACHE.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def run_all(checks: Sequence[Check]) -> list[Outcome]:
    """Run the checks one after the other, each under a heading."""
    CACHE.mkdir(exist_ok=True)
    outcomes = []
    try:
        for number, check in enumerate(checks, start=1):
            heading = f"{number}/{len(checks)} {check.name}: {check.about}"
            print(f"\n=== {heading}", flush=True)
            outcomes.append(run(check))
    finally:
        _give_cache_to_owner()
    return outcomes


def main() -> int:
    """Run the checks asked for; 0 if all passed."""
    parser = argparse.ArgumentParser(description="Run the project's checks and tests.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every check")
    parser.add_argument("--list", action="store_true", help="list the checks")
    asked = parser.parse_args()
    chosen = _chosen(asked.names)
    if asked.list:
        print("\n".join(f"{check.name:<10}{check.about}" for check in chosen))
        return 0
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
    try:
        outcomes = run_all(chosen)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    print("\n=== report\n" + "\n".join(table(outcomes, in_ci)), flush=True)
    return int(any(one.failures(in_ci) for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
