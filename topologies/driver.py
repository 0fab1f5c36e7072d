"""The controller process, as Mininet's controller node.

It is started when the node is made, not when the network starts: it needs most
of a second to load, and nodes and switches can be built meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mininet.node import Controller

from topologies import ambient, control
from topologies.errors import ControlFailed, NotReady
from topologies.nodes import RunNode
from topologies.ovs import last_line
from topologies.run import Run
from topologies.waiting import PATIENCE, wait_until

_START_S = 20.0
_STOP_S = 3.0 * PATIENCE
# Longer than any deadline in a request.
_ANSWER_S = 30.0 * PATIENCE
_PROJECT = Path(__file__).resolve().parent.parent


class Driver(RunNode, Controller):
    """The driver of all hypervisors of a run.

    Under ``mn`` it begins the run as well, with options by their names in Python:
    ``--controller ct_offload,hw_tc_offload=0,udp_timeout_s=5``.
    """

    module = "controller"
    """What is started with ``python -m``; tests put another one here."""

    def __init__(self, name: str, run: Run | None = None, **words: Any) -> None:
        run = run or ambient.begin(words)
        super().__init__(name, run=run, inNamespace=False)
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        directory = self.run.directory
        environment = self.environment()
        paths = [str(_PROJECT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        with open(directory / "controller.log", "wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", self.module, "--run-dir", str(directory)],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the prompt is not for it
            )
        self.run.adopt(child)
        return child

    def checkListening(self) -> None:
        """Do nothing: Mininet would telnet to a port, and this one has a Unix socket."""

    def start(self) -> None:
        """Do nothing: the process has been started, and ``ask`` waits for it."""

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        """Ask the controller, once it takes questions; raise TopologyError if it says no."""
        wait_until(self._is_listening, _START_S, "the controller")
        try:
            return control.ask(
                self.run.control_socket, {"op": op, **request}, _ANSWER_S
            )
        except ControlFailed as failure:
            where = request.get("hypervisor", self.name)
            raise ControlFailed(f"{where}: {op}: {failure}") from None

    def _is_listening(self) -> bool:
        if self.process.poll() is not None:
            said = last_line(self.run.directory, "controller")
            raise NotReady(
                f"the controller ended with code {self.process.returncode}: {said}"
            )
        return control.is_listening(self.run.control_socket)

    def stop(self, *_args: Any, **_kwargs: Any) -> None:
        """Stop the controller, and then the node."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.terminate()
