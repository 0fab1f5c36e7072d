"""The testbed held against the real kernel, from the command line (as root).

python -m tests.kernel.conformance run [-n N] [--seed S]   N random programs from number S on;
                                                           -x stops at the first disagreement,
                                                           --whole does not make them small
python -m tests.kernel.conformance case CASE.json          a case; what differs (- reads stdin)
python -m tests.kernel.conformance program SEED            print a random program as a case
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from tests.kernel.cases.case import Case
from tests.kernel.cases.codec import BadJson, decode, encode
from tests.kernel.conformance.executors import Executors, Running
from tests.kernel.conformance.program import program
from tests.kernel.conformance.report import Progress, Report
from tests.kernel.conformance.shrink import shrink
from tests.kernel.conformance.verdict import Verdict
from tests.kernel.oracle.build import CACHE
from tests.kernel.oracle.errors import CaseFailed, MachineDied, OracleError
from tests.kernel.testbed.nic import NotPossible
from topologies.errors import TopologyError

DISAGREEMENTS = CACHE.parent / "conformance"
SHRUNK = 10  # to make a case small takes a minute; of more disagreements the case is kept as it is


def say(line: str) -> None:
    """Tell the user what goes on; standard output is the answer's."""
    print(line, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    asked = _parser().parse_args(argv)
    try:
        if asked.verb == "program":
            print(json.dumps(encode(program(asked.seed)), indent=2))
            return 0
        with Running(say, keep=not asked.fresh) as executors:
            if asked.verb == "case":
                return _case(executors, asked.case)
            small = 0 if asked.whole else SHRUNK
            return _run(executors, asked.number, asked.seed, asked.x, small)
    except (
        *(OracleError, TopologyError, NotPossible, BadJson),
        *(OSError, json.JSONDecodeError),
    ) as error:
        say(f"conformance: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.conformance")
    parser.add_argument(
        "--fresh", action="store_true", help="ask the kernel anew what it said before"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="random programs")
    run.add_argument("-n", "--number", type=int, default=200, help="how many (200)")
    run.add_argument("--seed", type=int, default=0, help="number of the first one (0)")
    run.add_argument("-x", action="store_true", help="stop at the first disagreement")
    run.add_argument(
        "--whole", action="store_true", help="keep disagreements as large as they are"
    )
    case = verbs.add_parser("case", help="a case, and what differs")
    case.add_argument("case", help="a file, or - for standard input")
    one = verbs.add_parser("program", help="print a random program as a case")
    one.add_argument("seed", type=int)
    return parser


def _case(executors: Executors, name: str) -> int:
    text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    verdict = executors.verdict(decode(Case, json.loads(text)))
    print(verdict)
    if verdict.cut:
        print(f"compared up to step {verdict.cut.step}: {verdict.cut.known.why}")
    return int(not verdict.agrees)


def _run(executors: Executors, number: int, seed: int, stop: bool, small: int) -> int:
    report = Report(number)
    progress = Progress(report)
    todo = list(range(seed, seed + number))
    again: set[int] = set()
    try:
        while todo:
            cases = (program(each) for each in tuple(todo))
            try:
                for verdict in executors.verdicts(cases):
                    todo.pop(0)
                    report.add(verdict)
                    if not verdict.agrees:
                        shown = _shown(executors, verdict, len(report.shown) < small)
                        report.shown.append(shown)
                        say(f"{verdict.case.name} disagrees: {shown[1]}")
                        say(f"  {shown[0].findings[0]}")
                    progress.step()
                    if stop and report.shown:
                        todo.clear()
                        break
            except (CaseFailed, MachineDied, NotPossible) as error:
                failed = todo.pop(0)
                say(f"program {failed}: {error}")
                if failed in again:
                    report.programs += 1
                    report.failed += 1
                else:  # the machine may have been too busy for it
                    again.add(failed)
                    todo.append(failed)
    except KeyboardInterrupt:
        say("interrupted")
    progress.end()
    print("\n".join(report.lines()))
    return int(report.agreed < number)


def _shown(
    executors: Executors, verdict: Verdict, make_small: bool
) -> tuple[Verdict, Path]:
    """Make a disagreement's case small, and write it to a file."""
    kind = _kind(verdict)

    def disagrees(case: Case) -> bool:
        try:
            return _kind(executors.verdict(case)) == kind
        except (CaseFailed, MachineDied, NotPossible):
            return False

    if make_small:
        small = executors.verdict(shrink(verdict.case, disagrees))
        verdict = verdict if small.agrees else small
    DISAGREEMENTS.mkdir(parents=True, exist_ok=True)
    path = DISAGREEMENTS / f"{verdict.case.name.replace(' ', '-')}.json"
    path.write_text(json.dumps(encode(verdict.case), indent=2) + "\n", "utf-8")
    return verdict, path


def _kind(verdict: Verdict) -> str:
    """Say what a disagreement is about, whatever the step."""
    if verdict.agrees:
        return ""
    return re.sub(r"\d+", "", verdict.findings[0].difference.where)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
