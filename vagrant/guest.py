"""A VM that is up: commands in it over SSH, and files brought back."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vagrant import steps
from vagrant.errors import StepFailed
from vagrant.room import Room

_FETCH_S = 120.0
PROJECT = "/testbed"


@dataclass(frozen=True, slots=True)
class Guest:
    """One of the VMs of a Vagrantfile, by its name there."""

    room: Room
    name: str
    ssh_config: Path

    def run(self, argv: Sequence[str], log: Path, timeout_s: float) -> None:
        """Run a command as root in the project's folder; raises StepFailed."""
        steps.run(self._ssh(argv), log, timeout_s)

    def fetch(self, remote: str, local: Path) -> None:
        """Bring a file back; raises StepFailed if there is none."""
        with open(local, "wb") as file:
            done = subprocess.run(
                self._ssh(["cat", remote]),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
                timeout=_FETCH_S,
            )
        if done.returncode:
            local.unlink()
            raise StepFailed(f"{self.name}: {done.stderr.strip()}")

    def _ssh(self, argv: Sequence[str]) -> list[str]:
        # Without a terminal; what it was told to do ends when the connection does.
        inside = f"cd {PROJECT} && exec sudo {shlex.join(argv)}"
        alive = ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=8"]
        ssh = ["ssh", "-F", str(self.ssh_config), *alive, self.name, "--", inside]
        return self.room.entering(ssh)
