"""Finding and ending processes by what they are, never by their name.

A process belongs to a run when the run's id is in its environment, or when the
run's directory is a mount point where it lives: each node's mount namespace has it
as one. ``sudo`` and ``env -i`` lose the variable, but not the namespace; the
controller lives in the machine's namespace, but has the variable.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from topologies.errors import NotReady

RUN_VARIABLE = "CT_OFFLOAD_RUN"
_PROC = Path("/proc")
# A process that was there a moment ago and is no more.
_GONE = OSError
_ROUNDS = 5
# From SIGKILL to the end: the kernel may have much memory to give back.
_DEATH_S = 10.0


@dataclass(frozen=True, slots=True)
class Proc:
    """Reads /proc, or a directory that looks like it (in tests)."""

    root: Path = _PROC

    def pids(self) -> Iterator[int]:
        """Return the ids of all processes there are."""
        return (int(entry) for entry in os.listdir(self.root) if entry.isdecimal())

    def run_id(self, pid: int) -> str | None:
        """Return the id of the run in the environment of a process."""
        prefix = f"{RUN_VARIABLE}=".encode()
        with suppress(_GONE):
            for variable in (
                (self.root / str(pid) / "environ").read_bytes().split(b"\0")
            ):
                if variable.startswith(prefix):
                    return variable.removeprefix(prefix).decode(errors="replace")
        return None

    def mount_points(self, pid: int) -> set[str]:
        """Return where things are mounted, as a process sees it (proc(5), mountinfo)."""
        with suppress(_GONE):
            lines = (
                (self.root / str(pid) / "mountinfo")
                .read_text(errors="replace")
                .splitlines()
            )
            return {line.split(" ", 5)[4] for line in lines}
        return set()

    def of_run(self, directory: Path) -> set[int]:
        """Return the processes of a run, which is known by its directory."""
        mine = {os.getpid()}
        return {
            pid
            for pid in self.pids()
            if self.run_id(pid) == directory.name
            or str(directory) in self.mount_points(pid)
        } - mine


def end(belonging: Callable[[], set[int]], grace_s: float) -> None:
    """Ask processes to end, make those that do not, and wait until none is left.

    ``belonging`` is asked again once each process is held by its pidfd, so that a
    process that got the number of one that ended in the meantime is not touched,
    and again at the end, for those born in the meantime.
    """
    for _round in range(_ROUNDS):
        if not (pids := belonging()):
            return
        with ExitStack() as stack:
            held = dict(_hold(pids, stack))
            still = belonging()
            descriptors = [
                descriptor for pid, descriptor in held.items() if pid in still
            ]
            _end_held(descriptors, grace_s)
    raise NotReady(f"processes that do not die: {sorted(belonging())}")


def _end_held(descriptors: list[int], grace_s: float) -> None:
    # An interactive bash (a node's shell) ends on SIGHUP alone.
    asking = (signal.SIGTERM, signal.SIGHUP)
    for numbers, patience_s in ((asking, grace_s), ((signal.SIGKILL,), _DEATH_S)):
        for descriptor, number in product(descriptors, numbers):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
        descriptors = _wait(descriptors, patience_s)


def _hold(pids: Iterable[int], stack: ExitStack) -> Iterator[tuple[int, int]]:
    for pid in pids:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            stack.callback(os.close, descriptor)
            yield pid, descriptor


def _wait(descriptors: list[int], timeout_s: float) -> list[int]:
    """Wait for processes to end (a pidfd is then readable); return those that have not."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    left = set(descriptors)
    deadline = time.monotonic() + timeout_s
    while left and (remaining_s := deadline - time.monotonic()) > 0:
        for descriptor, _event in poller.poll(remaining_s * 1000):
            poller.unregister(descriptor)
            left.discard(descriptor)
    return sorted(left)
