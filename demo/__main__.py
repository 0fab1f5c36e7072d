"""``python -m demo``: options, the story, the exit code.

    0    every check is ok                  2    the options make no sense
    1    a check failed, or the story       130  Ctrl-C
         was cut short                      143  SIGTERM

However the story ends, the file of ``--json`` is written.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# Only what loads in a moment: the network's modules are imported once Ctrl-C is minded.
from demo.conclusion import conclude
from demo.errors import CannotWrite, DemoError
from demo.report import JsonFile, Report
from demo.screen import Screen

_INTERRUPTED = 128 + signal.SIGINT
_MAX_UDP_TIMEOUT_S = 30


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    options = argparse.ArgumentParser(
        prog="python -m demo",
        description="Runs the cover letter from end to end, with real packets, in under a minute.",
    )
    add = options.add_argument
    add("--json", type=Path, metavar="FILE", help="write the report there, as JSON")
    add(
        "--no-hw-offload",
        action="store_true",
        help="with the hardware switched off; the checks then expect no packet in it",
    )
    add(
        "--udp-timeout",
        type=_timeout,
        default=3,
        metavar="S",
        help="flow-table timeout of UDP, in seconds (%(default)s; a kernel's is 30)",
    )
    add(
        "--place",
        action="append",
        default=[],
        metavar="HYPERVISOR=[SERVER]%INTERFACE",
        help="put a hypervisor on a machine, over SSH (see topologies/placement.py)",
    )
    add("--plain", action="store_true", help="no colour, and no line that moves")
    return options


def _timeout(word: str) -> int:
    if not word.isascii() or not word.isdigit():
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number of seconds")
    if not 1 <= int(word) <= _MAX_UDP_TIMEOUT_S:
        raise argparse.ArgumentTypeError(
            f"{word} s: it must be from 1 to {_MAX_UDP_TIMEOUT_S}"
        )
    return int(word)


def main(words: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    asked = parser().parse_args(words)
    file = JsonFile(asked.json) if asked.json else None
    try:
        if file:
            file.probe()
    except CannotWrite as error:
        return _complain(str(error), 2)
    report = Report()
    try:
        code = _run(asked, report)
    except BaseException as error:
        report.error = report.error or f"internal error: {error!r}"
        raise
    finally:
        failed = _write(file, report)
    return failed or code


def _run(asked: argparse.Namespace, report: Report) -> int:
    """Tell the story and the end of it; returns the exit code."""
    screen = Screen.of(sys.stdout, asked.plain)
    try:
        code = _tell(asked, report, screen)
        if report.checks or not report.error:
            conclude(screen, report)
        else:
            if report.interrupted:
                screen.line()
            _complain(report.error, code)
    except BrokenPipeError:
        # What is left in the buffer has nowhere to go either, and Python would say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        report.error = "nobody reads the output"
        return 1
    return code or int(not report.ok)


def _tell(asked: argparse.Namespace, report: Report, screen: Screen) -> int:
    """Tell the story, and note in the report how it was cut short, if it was."""
    try:
        return _tell_or_fail(asked, report, screen)
    except KeyboardInterrupt:
        return _interrupted(report, _INTERRUPTED)
    except SystemExit as ended:  # how topologies.signals ends a program
        return _interrupted(report, int(ended.code or 0))


def _tell_or_fail(asked: argparse.Namespace, report: Report, screen: Screen) -> int:
    from demo import story
    from topologies import placement, signals
    from topologies.errors import BadOption, TopologyError

    signals.exit_on_sigterm()
    hardware = not asked.no_hw_offload
    try:
        story.tell(
            screen,
            report,
            hardware=hardware,
            udp_timeout_s=asked.udp_timeout,
            placement=placement.from_words(asked.place),
        )
    except BadOption as error:
        report.error = str(error)
        return 2
    except (DemoError, TopologyError) as error:
        report.error = " ".join(str(error).split())
        return 1
    return 0


def _interrupted(report: Report, code: int) -> int:
    report.interrupted = True
    report.error = f"interrupted ({signal.Signals(code - 128).name})"
    return code


def _write(file: JsonFile | None, report: Report) -> int:
    try:
        if file:
            file.write(report.as_json())
    except CannotWrite as error:
        return _complain(str(error), 1)
    return 0


def _complain(what: str, code: int) -> int:
    print(f"python -m demo: {what}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
