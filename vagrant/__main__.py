"""``python3 -m vagrant``: an unattended run, or a command in a room with libvirt.

    test          one VM: what ``make vagrant-test`` does
    test --quick  the same without the end-to-end tests
    test --two    two VMs, a hypervisor in each
    run COMMAND   a command (vagrant up, a shell) with libvirt beside it, in vagrant/

Exit codes: 0 if all passed, 1 if something failed or cannot be had here, 130 after Ctrl-C,
143 after SIGTERM, and for ``run`` the command's.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from vagrant import host, room, steps, trial
from vagrant.errors import Unfit, VagrantError

_HERE = Path(__file__).resolve().parent
_CACHE = _HERE.parent / ".cache" / "vagrant"
_BOX_S = 1800.0
# Vagrant's copy of the box, libvirt's, and what the VM writes.
_DISK_MIB = 3000
_MARK = "CT_OFFLOAD_VAGRANT"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words."""
    words = argparse.ArgumentParser(
        prog="python3 -m vagrant",
        description="Runs the testbed in virtual machines, and leaves nothing of them behind.",
    )
    verbs = words.add_subparsers(dest="verb", required=True, metavar="VERB")
    test = verbs.add_parser("test", help="demo and tests in a VM, unattended")
    what = test.add_mutually_exclusive_group()
    what.add_argument("--two", action="store_true", help="the demo in two VMs")
    what.add_argument("--quick", action="store_true", help="no end-to-end tests")
    run = verbs.add_parser("run", help="a command, with a libvirt of its own beside it")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    return words


def main(words: Sequence[str] | None = None) -> int:
    """Do what was asked for; returns the exit code."""
    asked = parser().parse_args(words)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    began_s = time.monotonic()
    try:
        if asked.verb == "run":
            return _run(asked.command or ["bash"])
        code = _test(asked.two, asked.quick)
    except VagrantError as error:
        steps.complain(str(error))
        return 1
    except KeyboardInterrupt:
        steps.complain("interrupted; nothing is left running")
        return 130
    steps.say(f"{'FAILED' if code else 'passed'} in {time.monotonic() - began_s:.0f} s")
    return code


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _run(command: Sequence[str]) -> int:
    with _directory() as directory, room.opened(directory) as inside:
        environment = inside.environment({_MARK: str(directory)})
        argv = inside.entering(command, cwd=_HERE)
        return subprocess.run(argv, env=environment).returncode


def _test(two: bool, quick: bool) -> int:
    vms = 2 if two else 1
    _CACHE.mkdir(parents=True, exist_ok=True)
    host.check(_CACHE, vms, _memory_mib(), _DISK_MIB * vms)
    box = _box()
    before = host.state()
    with _directory() as directory:
        results = _fresh(_CACHE / f"results-{vms}")
        settings = {**_emulation(two), "TESTBED_BOX": str(box), _MARK: str(directory)}
        with room.opened(directory) as inside:
            run = trial.Trial(inside, results, settings)
            try:
                trial.two_vms(run) if two else trial.one_vm(run, quick)
            except trial.Over:
                pass
        with run.step("the machine is as it was"):
            _compare(before, directory)
    steps.say(f"results: {results}")
    return int(bool(run.failures))


def _emulation(two: bool) -> dict[str, str]:
    """Where the processor is emulated, one that counts: the second would not make it faster.

    Two VMs that count go at different speeds, and what ages on one is timed on the other.
    """
    if host.has_kvm():
        return {}
    return {"TESTBED_CPUS": "1", "TESTBED_CLOCK": "real" if two else "counted"}


def _memory_mib() -> int:
    wanted = os.environ.get("TESTBED_MEMORY") or "2048"
    if not wanted.isascii() or not wanted.isdigit():
        raise Unfit(f"TESTBED_MEMORY is {wanted!r}: it must be a number of MiB")
    return int(wanted)


def _box() -> Path:
    """Return the box of this state of the project, built if there is none."""
    steps.say("the box")
    steps.run([str(_HERE / "box" / "build")], _CACHE / "box.log", _BOX_S)
    return Path((_CACHE / "box.log").read_text().splitlines()[-1])


def _compare(before: host.State, directory: Path) -> None:
    differences = [*before.differences(host.state())]
    left = host.processes_with(_MARK, str(directory))
    differences += [f"process {pid} ({name}) is left" for pid, name in left.items()]
    if differences:
        raise VagrantError("; ".join(differences))


@contextmanager
def _directory() -> Iterator[Path]:
    """Have the directory of a run, which is alone in this project; what a dead one left goes."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with open(_CACHE / "lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unfit(f"another run is using {_CACHE}") from None
        directory = _fresh(_CACHE / "run")
        try:
            yield directory
        finally:
            shutil.rmtree(directory)


def _fresh(directory: Path) -> Path:
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
    return directory


if __name__ == "__main__":
    sys.exit(main())
