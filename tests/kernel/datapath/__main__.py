"""The testbed inside the real kernel, from the command line.

python -m tests.kernel.datapath test [PYTEST'S ARGUMENTS]   end-to-end tests; usually their core
python -m tests.kernel.datapath run COMMAND ...             any command, in this checkout

Options come before the verb. The exit code is that of the command.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from tests.kernel.datapath.machine import ACCELERATORS, REPORT, Guest
from tests.kernel.oracle.build import CACHE, build
from tests.kernel.oracle.errors import OracleError

JUNIT = CACHE.parent / "junit-kernel-datapath.xml"
# A connection from its first packet to its last, and all that conntrack has a part in.
CORE = "@tests/e2e/core.txt"
_TEST_TIMEOUT_S = 120
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def say(line: str) -> None:
    """Tell the user what goes on; standard output is the command's."""
    print(f"kernel-datapath: {line}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = _parser().parse_args(argv)
    began_s = time.monotonic()
    try:
        code = _run(arguments)
    except OracleError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    say(f"exit code {code} after {time.monotonic() - began_s:.0f} s")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kernel.datapath",
        description="Run the testbed in a virtual machine, on Open vSwitch's kernel datapath.",
    )
    parser.add_argument(
        "--accel",
        choices=ACCELERATORS,
        default="tcg",
        help="tcg works on every machine; kvm where /dev/kvm does (default: %(default)s)",
    )
    parser.add_argument(
        "--memory", type=int, default=2048, metavar="MB", help="default: %(default)s"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="end the machine then (default: never)",
    )
    parser.add_argument("verb", choices=("test", "run"), help="pytest, or any command")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    built = build(say)
    accelerator = ACCELERATORS[arguments.accel]
    guest = Guest(built, accelerator, arguments.memory)
    command, report = list(arguments.words), None
    if arguments.verb == "test":
        command, report = _pytest(command, accelerator.patience), JUNIT
        report.unlink(missing_ok=True)
    environment = {
        "PATH": _PATH,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        "CT_OFFLOAD_PATIENCE": f"{accelerator.patience:g}",
    }
    say(f"{built.kernel} under {built.qemu} ({arguments.accel})")
    return guest.run(command, environment, arguments.timeout, report)


def _pytest(words: list[str], patience: float) -> list[str]:
    named = [word for word in words if not word.startswith("-")]
    files = [] if named else [CORE]
    return [
        *(sys.executable, "-m", "pytest", "--datapath", "kernel"),
        *(f"--timeout={_TEST_TIMEOUT_S * patience:.0f}", f"--junit-xml={REPORT}"),
        *words,
        *files,
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
