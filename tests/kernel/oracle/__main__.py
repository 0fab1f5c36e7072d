"""The oracle from the command line.

python -m tests.kernel.oracle build             get and make all that it boots
python -m tests.kernel.oracle run CASE.json     print a case's outcome as JSON (- reads stdin)
python -m tests.kernel.oracle shell             run commands in the guest, one a line
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from tests.kernel.cases.case import Case
from tests.kernel.cases.codec import BadJson, decode, encode
from tests.kernel.oracle import packages
from tests.kernel.oracle.build import QEMU, QEMU_PACKAGE, build
from tests.kernel.oracle.errors import CaseFailed, MachineDied, OracleError
from tests.kernel.oracle.machine import LEAPING_CLOCK, REAL_CLOCK
from tests.kernel.oracle.session import Oracle


def say(line: str) -> None:
    """Tell the user what goes on; standard output is the answer's."""
    print(line, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    arguments = _parser().parse_args(argv)
    oracle = Oracle(LEAPING_CLOCK if arguments.leap else REAL_CLOCK, say)
    try:
        if arguments.verb == "build":
            return _build(oracle, arguments.newest)
        if arguments.verb == "run":
            return _run(oracle, arguments.case)
        return _shell(oracle)
    except (OracleError, BadJson, OSError, json.JSONDecodeError) as error:
        say(f"oracle: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.oracle")
    parser.add_argument("--leap", action="store_true", help="waits take no time")
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("build", help="get and make all that it boots")
    make.add_argument(
        "--newest", action="store_true", help="ask apt for a newer kernel"
    )
    run = verbs.add_parser("run", help="print a case's outcome as JSON")
    run.add_argument("case", help="a file, or - for standard input")
    verbs.add_parser("shell", help="run commands in the guest, one a line")
    return parser


def _build(oracle: Oracle, newest: bool) -> int:
    if shutil.which(QEMU) is None:
        say(f"installing {QEMU_PACKAGE}")
        packages.install(QEMU_PACKAGE)
    built = build(say, newest)
    say(f"{built.qemu}")
    with oracle:
        say(f"{oracle.exec('cat /proc/version').stdout.strip()}")
    say(f"ready in {built.folder}")
    return 0


def _run(oracle: Oracle, name: str) -> int:
    text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    case = decode(Case, json.loads(text))
    with oracle:
        outcome = oracle.run(case)
    print(json.dumps(encode(outcome), indent=2))
    return 0


def _shell(oracle: Oracle) -> int:
    with oracle:
        for line in sys.stdin:
            if not line.strip():
                continue
            try:
                ran = oracle.exec(line)
            except (CaseFailed, MachineDied) as error:
                say(str(error))
                continue
            sys.stdout.write(ran.stdout)
            sys.stderr.write(ran.stderr)
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
