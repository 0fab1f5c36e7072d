"""A network in a process of its own, which a test can interrupt, end or kill."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.state import DEADLINE_S

ROOT = Path(__file__).resolve().parents[2]
DEAF_TO_NOTHING = ("env", "--default-signal")
"""Before a command: the tests may run in the background, where a shell has SIGINT ignored."""
_SCRIPT = """
import signal, sys, topologies
from topologies.two_hypervisors import TwoHypervisors
with topologies.running(TwoHypervisors(), run_dir_root=sys.argv[1]) as net:
    net["vm1"].popen(["sleep", "1000"])
    net["vm2"].sendCmd("sleep 1000")
    print(net.run_.id, flush=True)
    signal.pause()
"""


@dataclass(frozen=True, slots=True)
class BackgroundRun:
    """The process and, once ``wait_until_ready`` was called, its network."""

    process: subprocess.Popen[str]

    def wait_until_ready(self) -> str:
        """Return the run's id as soon as its network is ready."""
        assert self.process.stdout
        run_id = self.process.stdout.readline().strip()
        assert run_id, self.process.communicate()[1]
        return run_id

    def end(self, number: int) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@contextmanager
def background_run(root: Path) -> Iterator[BackgroundRun]:
    """Start a network with its runs below ``root``; at the end it is gone in any case."""
    child = subprocess.Popen(
        [*DEAF_TO_NOTHING, sys.executable, "-c", _SCRIPT, str(root)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield BackgroundRun(child)
        finally:
            child.terminate()
