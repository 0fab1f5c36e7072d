"""A system's Open vSwitch that runs beside is not touched, nor is it in the way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import topologies
from tests.e2e.command_line import typed
from tests.e2e.leftovers import run_root
from tests.e2e.state import until
from topologies.two_hypervisors import TwoHypervisors
from topologies.waiting import PATIENCE

_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class SystemOvs:
    """Daemons as a system has them, with the usual names of sockets, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
        self.environment = dict.fromkeys(names, str(directory))
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start them in the machine's own namespace, with a bridge as ours are called."""
        database = self.directory / "conf.db"
        self.call("ovsdb-tool", "create", str(database), _SCHEMA)
        remote = f"--remote=punix:{self.directory}/db.sock"
        self._start("ovsdb-server", str(database), remote, "--pidfile")
        until((self.directory / "db.sock").exists, "the system's database")
        self.vsctl("--no-wait", "init")
        # A dummy datapath: no interface, so nothing of the machine is changed.
        self._start("ovs-vswitchd", "--enable-dummy", "--pidfile")
        bridge = ("set", "Bridge", "br-int", "datapath_type=dummy")
        self.vsctl("add-br", "br-int", "--", *bridge)
        self.call("ovs-ofctl", "add-flow", "br-int", "priority=7,actions=drop")

    def _start(self, *argv: str) -> None:
        output = subprocess.DEVNULL
        environment = {**os.environ, **self.environment}
        self.daemons.append(
            subprocess.Popen(argv, env=environment, stdout=output, stderr=output)
        )

    def call(self, *argv: str) -> str:
        """Run a tool on it."""
        environment = {**os.environ, **self.environment}
        return subprocess.check_output(
            argv, env=environment, text=True, timeout=60 * PATIENCE
        )

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl on it."""
        return self.call("ovs-vsctl", "--timeout=30", *words)

    def state(self) -> tuple[str, ...]:
        """All there is to know of it."""
        flows = self.call("ovs-ofctl", "--no-stats", "dump-flows", "br-int")
        pids = [str(daemon.pid) for daemon in self.daemons if daemon.poll() is None]
        files = sorted(path.name for path in self.directory.iterdir())
        return (self.vsctl("show"), flows, *pids, *files)

    def stop(self) -> None:
        """End both."""
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(30)


@contextmanager
def system_ovs() -> Iterator[SystemOvs]:
    """A stand-in for the system's, which may or may not run by itself."""
    with ExitStack() as stack:
        directory = stack.enter_context(run_root())
        directory.mkdir()
        ovs = SystemOvs(directory)
        stack.callback(ovs.stop)
        ovs.start()
        yield ovs


def test_it_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the environment leads Open vSwitch's tools to it."""
    with system_ovs() as ovs:
        before = ovs.state()
        for name, value in ovs.environment.items():
            monkeypatch.setenv(name, value)
        with topologies.running(TwoHypervisors()) as net:
            assert typed(net["vm1"], "ping -c 1 -W 10 10.0.0.3").code == 0
            bridges = typed(net["hv1"], "ovs-vsctl list-br").stdout.split()
            assert sorted(bridges) == ["br-ens1f0", "br-int"]
            assert ovs.state() == before
        assert ovs.state() == before
        assert len(before) > 4 and "priority=7" in before[1]
