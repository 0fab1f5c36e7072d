"""One Open vSwitch of its own: two daemons, a database and sockets in a directory.

Nothing of the system's Open vSwitch is touched, and it may run beside: every
path is below ``directory``, and a kernel datapath belongs to its namespace.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from topologies.errors import NotReady, TopologyError
from topologies.machine import Machine
from topologies.run import Run
from topologies.waiting import PATIENCE, wait_until

_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_START_S = 10.0
_STOP_S = 3.0 * PATIENCE

Spawn = Callable[[Sequence[str], Path], subprocess.Popen[bytes]]
"""Starts a program in the hypervisor's namespace, with its output in a file."""


@dataclass(slots=True)
class OpenVSwitch:
    """The daemons of one hypervisor."""

    directory: Path
    run: Run
    spawn: Spawn
    machine: Machine = field(default_factory=Machine)
    pid: int | None = None
    """The process id of ovs-vswitchd, from when it is ready."""
    _database: subprocess.Popen[bytes] | None = None
    _switch: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What makes Open vSwitch's tools speak to this one by default."""
        names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR")
        return {name: str(self.directory) for name in names}

    @property
    def control_socket(self) -> Path:
        """Where ``ovs-appctl -t`` reaches ovs-vswitchd, under a name that stays."""
        return self.directory / "ovs-vswitchd.ctl"

    def start_database(self) -> None:
        """Start ovsdb-server on an empty database, without waiting for it."""
        self.machine.place_links(self.directory, {})
        database = self.directory / "conf.db"
        self._call("ovsdb-tool", "create", str(database), str(_SCHEMA))
        remote = f"--remote=punix:{self._database_socket}"
        self._database = self._start("ovsdb-server", str(database), remote)

    def start_switch(self) -> None:
        """Start ovs-vswitchd, without waiting for it."""
        self._switch = self._start("ovs-vswitchd", f"unix:{self._database_socket}")

    def wait_for_database(self) -> None:
        """Return once the database takes connections."""
        path = self._database_socket
        self._wait(self._database, lambda: self.machine.listens(path), "ovsdb-server")
        self.machine.bring(path)

    def wait_for_switch(self) -> None:
        """Return once the switch has done all the database says; raise if it could not."""
        self._wait(self._switch, self._switch_answers, "ovs-vswitchd")
        # ovs-appctl, on the node, looks for the name that has the process id in it.
        named = self._switch_socket
        self.machine.place_links(self.directory, {self.control_socket.name: named.name})
        self.machine.bring(named)
        # A change without --no-wait returns when ovs-vswitchd has caught up with it.
        self.vsctl("set", "Open_vSwitch", ".", "external_ids:ct-offload=up")
        columns = ("--columns=name,error", "--format=csv", "--no-headings")
        interfaces = self.vsctl(*columns, "find", "Interface", "ofport=-1")
        if interfaces:
            raise TopologyError(
                f"Open vSwitch cannot use an interface: {interfaces.strip()}"
            )

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl on this database."""
        timeout = f"--timeout={_START_S * PATIENCE:.0f}"
        return self._call(
            "ovs-vsctl", f"--db=unix:{self._database_socket}", timeout, *words
        )

    def appctl(self, *words: str) -> str:
        """Run ovs-appctl on this ovs-vswitchd."""
        return self._call("ovs-appctl", "-t", str(self.control_socket), *words)

    def _call(self, *argv: str) -> str:
        return self.run.call(argv, machine=self.machine)

    def stop_switch(self) -> None:
        """Stop ovs-vswitchd alone: its datapath, ports and flows go with it."""
        _stop(self._switch)
        self._switch = self.pid = None

    def stop(self) -> None:
        """Stop both daemons."""
        self.stop_switch()
        _stop(self._database)
        self._database = None

    @property
    def _database_socket(self) -> Path:
        return self.directory / "db.sock"

    @property
    def _switch_socket(self) -> Path:
        return self.directory / f"ovs-vswitchd.{self.pid}.ctl"

    def _switch_answers(self) -> bool:
        assert self._switch
        pidfile = self.directory / "ovs-vswitchd.pid"
        self.pid = self.machine.pid_of(self._switch, pidfile)
        return self.pid is not None and self.machine.listens(self._switch_socket)

    def _start(self, daemon: str, *words: str) -> subprocess.Popen[bytes]:
        pidfile = f"--pidfile={self.directory / daemon}.pid"
        argv = [daemon, *words, pidfile, "-vconsole:off", "-vsyslog:off", "-vfile:info"]
        log = self.directory / f"{daemon}.log"
        return self.spawn(
            [*argv, f"--log-file={log}"], self.directory / f"{daemon}.stderr.log"
        )

    def _wait(
        self,
        daemon: subprocess.Popen[bytes] | None,
        answers: Callable[[], bool],
        name: str,
    ) -> None:
        def is_ready() -> bool:
            if daemon is None or daemon.poll() is not None:
                raise NotReady(
                    f"{name} ended at its start: {last_line(self.directory, name)}"
                )
            return answers()

        wait_until(is_ready, _START_S, f"{name} in {self.directory.name}")


def last_line(directory: Path, name: str) -> str:
    """Return the last thing a process said in its logs there."""
    for log in (directory / f"{name}.stderr.log", directory / f"{name}.log"):
        if log.exists() and (
            lines := log.read_text(errors="replace").split("\n")[-2:-1]
        ):
            return lines[0]
    return "(it said nothing)"


def _stop(daemon: subprocess.Popen[bytes] | None) -> None:
    if daemon is None:
        return
    daemon.terminate()
    try:
        daemon.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
