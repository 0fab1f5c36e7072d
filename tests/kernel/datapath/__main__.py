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
# A connection from its first packet to its last, and all that the kernel's conntrack has a part in.
CORE = (
    "cover_letter.py::test_frames_on_the_underlay",
    "cover_letter.py::test_only_the_letters_filters_take_vm1",
    "tcp.py::test_fin_goes_to_software_and_tears_down[client-ipv4]",
    "tcp.py::test_rst_goes_to_software_and_tears_down[server-ipv4]",
    "tcp.py::test_a_tuple_is_used_again[ipv4]",
    "nat.py::test_source_address_and_port[TcpConversation-ipv4]",
    "nat.py::test_fin_is_translated_too",
    "udp.py::test_one_way_traffic_is_not_offloaded_until_a_reply[ipv6]",
    "miss.py::test_hit_in_hardware_then_software_filter",
    "miss.py::test_restored_state_has_all_of_it",
    "conntrack_command.py::test_delete_by_tuple",
    "conntrack_command.py::test_one_of_two_deleted_behind_our_back",
    "conntrack_command.py::test_deleted_with_the_systems_conntrack",
    "udp.py::test_aging",
)
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
    files = [] if named else [f"tests/e2e/test_{test}" for test in CORE]
    return [
        *(sys.executable, "-m", "pytest", "--datapath", "kernel"),
        *(f"--timeout={_TEST_TIMEOUT_S * patience:.0f}", f"--junit-xml={REPORT}"),
        *words,
        *files,
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
