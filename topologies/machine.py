"""The machines that a run's nodes live on: this one, and others over SSH.

                 this machine                       a server
     ssh -M  ----------- one connection ------------>  agent: the run there (agent.py)
     ssh -S  ---- each command, over the same ------>  attached.py -> nsenter -> command
     hv2/db.sock, hv2/ovs-vswitchd.N.ctl  <-- forwarded --  those of hv2's Open vSwitch
     control.sock, openflow.sock  ------- forwarded ----->  where hv2 and its shims look for them

Paths are the same on all machines, so nobody needs to know where a socket really is: the
controller finds hv2's daemons, and they and hv2's ``tc`` find the controller. When the
connection ends, however it does, the agent ends the run on its machine.

The idea is that of Mininet's cluster edition (``mininet.examples.cluster``): a node is a
shell at the end of an ``ssh -tt``, and all share a connection. Its code is not used: it
merges stderr into stdout, knows no sockets to forward, and cleans up by ``mn -c``.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from topologies.errors import CommandFailed, TopologyError
from topologies.waiting import PATIENCE

PROJECT = Path(__file__).resolve().parent.parent
_ATTACHED = PROJECT / "topologies" / "shim" / "attached.py"
_END_S = 20.0 * PATIENCE
_COMMAND_S = 30.0 * PATIENCE
_CONNECT_S = 10
_READY = "ready"
_LISTENS = """\
import _socket, sys
sys.exit(_socket.socket(_socket.AF_UNIX).connect_ex(sys.argv[1]) != 0)
"""


class Machine:
    """This machine."""

    name = ""
    shell_options: str | None = None
    """What ``mnexec`` is given to start a node's shell; None is Mininet's own choice."""

    @property
    def directory(self) -> str:
        """Where commands are run."""
        return os.getcwd()

    def command(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        terminal: bool = False,
        attached: bool = False,
    ) -> list[str]:
        """Return the words that run a command on this machine.

        ``terminal`` gives it one; ``attached`` has it end when who started it does.
        """
        return list(argv)

    def place_links(self, directory: Path, links: Mapping[str, Path | str]) -> None:
        """Make a directory, if need be, and symbolic links in it."""
        directory.mkdir(mode=0o700, exist_ok=True)
        for name, target in links.items():
            (directory / name).unlink(missing_ok=True)
            (directory / name).symlink_to(target)

    def pid_of(self, started: subprocess.Popen[bytes], pidfile: Path) -> int | None:
        """Return the process id of a daemon, once it has one."""
        return started.pid

    def listens(self, path: Path) -> bool:
        """Tell whether a Unix socket takes connections."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(path)) == 0

    def bring(self, *sockets: Path) -> None:
        """Have sockets of the machine's here, at the same paths."""

    def close(self) -> None:
        """Leave the machine."""


class Server(Machine):
    """A machine at the other end of an SSH connection, with the run open on it."""

    shell_options = "-cn"  # not -d: the shell is to keep the terminal that ssh gives it
    directory = str(PROJECT)

    def __init__(self, name: str, run_directory: Path, datapath: str) -> None:
        self.name = name
        self._socket = run_directory / f"ssh.{name.rpartition('@')[2]}"
        self._brought: set[Path] = set()
        self._agent = self._connect(run_directory, datapath)
        for path in (run_directory / "control.sock", run_directory / "openflow.sock"):
            self._forward("-R", path)

    def _connect(self, run_directory: Path, datapath: str) -> subprocess.Popen[str]:
        """Open the connection, and the run at its other end."""
        argv = [sys.executable, "-m", "topologies.agent", str(run_directory), datapath]
        inside = f"cd {PROJECT} && exec {shlex.join(argv)}"
        agent = subprocess.Popen(
            ["ssh", "-T", "-M", "-S", str(self._socket)]
            + ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ControlPersist=no"]
            + ["-o", f"ConnectTimeout={_CONNECT_S * PATIENCE:.0f}"]
            + ["-o", "ServerAliveInterval=15", self.name, "--", inside],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C at the prompt is not for it
        )
        assert agent.stdout
        if agent.stdout.readline().strip() != _READY:
            _, said = agent.communicate()
            reason = (said.strip().splitlines() or ["it said nothing"])[-1]
            raise TopologyError(f"{self.name}: {reason}")
        return agent

    def command(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        terminal: bool = False,
        attached: bool = False,
    ) -> list[str]:
        """Return the words that run a command on the server, with our part of the environment."""
        own = [
            f"{name}={value}"
            for name, value in environment.items()
            if os.environ.get(name) != value
        ]
        words = ["env", *own, *([str(_ATTACHED)] if attached else []), *argv]
        return [*self._ssh("-tt" if terminal else "-T"), "--", shlex.join(words)]

    def _ssh(self, *options: str) -> list[str]:
        quiet = ["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
        return ["ssh", "-S", str(self._socket), *quiet, *options, self.name]

    def _run(self, argv: Sequence[str]) -> str:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
        )
        if done.returncode:
            raise CommandFailed(argv, done.returncode, done.stderr, self.name)
        return done.stdout

    def place_links(self, directory: Path, links: Mapping[str, Path | str]) -> None:
        """Make a directory, here too, and symbolic links in the server's."""
        directory.mkdir(mode=0o700, exist_ok=True)
        steps = [["mkdir", "-p", "-m", "700", str(directory)]]
        steps += [
            ["ln", "-sfn", str(target), str(directory / name)]
            for name, target in links.items()
        ]
        self._run([*self._ssh(), "--", " && ".join(map(shlex.join, steps))])

    def pid_of(self, started: subprocess.Popen[bytes], pidfile: Path) -> int | None:
        """Return the process id of a daemon there; it is written down here too."""
        # What was started here is the ssh that leads to it.
        try:
            pid = self._run([*self._ssh(), "--", shlex.join(["cat", str(pidfile)])])
        except CommandFailed:
            return None
        pidfile.write_text(pid)
        return int(pid)

    def listens(self, path: Path) -> bool:
        """Tell whether a Unix socket there takes connections."""
        look = ["/usr/bin/python3", "-IS", "-c", _LISTENS, str(path)]
        try:
            self._run([*self._ssh(), "--", shlex.join(look)])
        except CommandFailed:
            return False
        return True

    def bring(self, *sockets: Path) -> None:
        """Have sockets of the server's here, at the same paths."""
        for path in sockets:
            if path not in self._brought:
                self._forward("-L", path)
                self._brought.add(path)

    def _forward(self, direction: str, path: Path) -> None:
        self._run(self._ssh("-O", "forward", direction, f"{path}:{path}"))

    def close(self) -> None:
        """End the run on the server, and the connection."""
        try:
            # The end of its input is the agent's sign; the connection ends with it.
            self._agent.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._agent.kill()
            self._agent.communicate()
