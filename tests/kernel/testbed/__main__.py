"""A case on the testbed, from the command line (as root).

python -m tests.kernel.testbed CASE.json [--mode on|off|refusing]

It prints the outcome; - reads the case from standard input.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.kernel.cases.case import Case
from tests.kernel.cases.codec import BadJson, decode, encode
from tests.kernel.testbed.network import Mode
from tests.kernel.testbed.nic import NotPossible
from tests.kernel.testbed.session import Testbed
from topologies.errors import TopologyError


def main(argv: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.testbed")
    parser.add_argument("case", help="a file, or - for standard input")
    modes = [mode.name.lower() for mode in Mode]
    parser.add_argument("--mode", choices=modes, default=modes[0])
    asked = parser.parse_args(argv)
    mode = Mode[asked.mode.upper()]
    try:
        case = decode(Case, json.loads(_text(asked.case)))
        with Testbed() as testbed:
            outcome = testbed.run(case, (mode,))[mode]
    except (
        *(TopologyError, NotPossible, BadJson),
        *(OSError, json.JSONDecodeError),
    ) as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    print(json.dumps(encode(outcome), indent=2))
    return 0


def _text(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
