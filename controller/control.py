"""The control socket: topologies attach hypervisors, shims run commands.

One JSON object on a line in, one out, then the connection is closed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import eventlet
from eventlet.green import socket

from controller import commands
from controller.ct_entries import Timeouts
from controller.filters import DeviceKind
from controller.hypervisor import Config
from controller.ovs import OvsError
from controller.switch import NotConnected, Switch
from offload import profile
from offload.errors import OffloadError

if TYPE_CHECKING:
    from controller.app import Driver

LOG = logging.getLogger("ct_offload")
MAX_REQUEST_BYTES = 16 * 1024 * 1024
_BACKLOG = 128

Request = dict[str, Any]
Reply = dict[str, Any]


class BadRequest(Exception):
    """A request that is not one."""


class ControlServer:
    """Listens on ``path``, which only its owner may open."""

    def __init__(self, driver: Driver, path: str) -> None:
        self.driver = driver
        self._socket = listen(path)
        self.operations: dict[str, Callable[[Request], Reply]] = {
            "attach": self._attach,
            "wait_ready": self._wait_ready,
            "exec": self._exec,
            "status": self._status,
        }

    def serve_forever(self) -> None:
        """Accept clients, each in a thread of its own."""
        while True:
            client, _ = self._socket.accept()
            eventlet.spawn_n(self._serve, client)

    def _serve(self, client: Any) -> None:
        with client:
            try:
                line = _read_line(client)
                if line:
                    client.sendall(json.dumps(self.answer(line)).encode() + b"\n")
            except OSError as error:
                LOG.debug("control client went away: %s", error)

    def answer(self, line: bytes) -> Reply:
        """The reply to one request."""
        try:
            if len(line) > MAX_REQUEST_BYTES:
                raise BadRequest(f"more than {MAX_REQUEST_BYTES >> 20} MiB at once")
            request = json.loads(line)
            operation = self.operations.get(request["op"])
            if operation is None:
                raise BadRequest(f"no such operation: {request['op']}")
            return operation(request)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            return _refused(f"bad request: {error!r}")
        except (BadRequest, NotConnected, OvsError, OffloadError) as error:
            return _refused(str(error))
        except Exception as error:  # noqa: B902 (a client must not end the driver)
            LOG.exception("control request failed")
            return _refused(f"internal error: {error!r}")

    def _attach(self, request: Request) -> Reply:
        timeouts = Timeouts(
            request.get("tcp_timeout_s") or Timeouts().tcp_s,
            request.get("udp_timeout_s") or Timeouts().udp_s,
        )
        devices = {name: DeviceKind(kind) for name, kind in request["devices"].items()}
        config = Config(
            request["hypervisor"],
            int(request["dpid"], 16),
            request["ovs_dir"],
            devices,
            request.get("uplink", ""),
            request.get("hw_tc_offload", True),
            timeouts,
            profile.named(request.get("profile", profile.DEFAULT.name)),
            request.get("netns", ""),
            tuple((name, int(size)) for name, size in request.get("card", {}).items()),
            request.get("exact_counters", False),
        )
        self.driver.attach(config)
        return {"ok": True}

    def _wait_ready(self, request: Request) -> Reply:
        switch = self.switch(request)
        name = switch.hypervisor.config.name
        missing = NotConnected(f"{name}: not ready: {_missing(switch)}")
        with eventlet.Timeout(float(request.get("timeout_s", 10)), missing):
            switch.ready.wait()
        return {"ok": True}

    def _exec(self, request: Request) -> Reply:
        switch = self.switch(request)
        argv, stdin = _words(request["argv"]), request.get("stdin")
        if not isinstance(stdin, str | None):
            raise BadRequest("stdin is no text")
        answer = commands.run(switch.hypervisor, switch, argv, stdin, time.monotonic())
        switch.flush_soon()
        if answer is None:
            return {"system": True}
        reply = {"code": answer.code, "stdout": answer.stdout, "stderr": answer.stderr}
        return {**reply, "beside": True} if answer.beside_system else reply

    def _status(self, request: Request) -> Reply:
        return {name: switch.status() for name, switch in self.driver.switches.items()}

    def switch(self, request: Request) -> Switch:
        """The switch of the hypervisor a request names.  Raises BadRequest."""
        name = request["hypervisor"]
        if name not in self.driver.switches:
            raise BadRequest(f"no such hypervisor: {name}")
        return self.driver.switches[name]


def listen(path: str) -> Any:
    """A listening Unix socket for its owner alone."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        server.bind(path)
    finally:
        os.umask(before)
    server.listen(_BACKLOG)
    return server


def _read_line(client: Any) -> bytes:
    """A line; of one that is longer than a request may be, a part that is too."""
    received, piece = bytearray(), b" "
    while piece and b"\n" not in piece:
        piece = client.recv(65536)
        if len(received) <= MAX_REQUEST_BYTES:
            received += piece
    return bytes(received)


def _words(argv: object) -> list[str]:
    """A command line, which is a list of words; no process is given a NUL in one."""
    if not isinstance(argv, list) or not all(isinstance(each, str) for each in argv):
        raise BadRequest("argv is no list of words")
    if any("\0" in each for each in argv):
        raise BadRequest("argv has a NUL in a word")
    return argv


def _refused(reason: str) -> Reply:
    return {"ok": False, "error": reason}


def _missing(switch: Switch) -> str:
    if switch.datapath is None:
        return "the switch has not connected"
    wanted = switch.hypervisor.config.devices.keys()
    missing = sorted(wanted - switch.hypervisor.devices.keys())
    return f"no port for {', '.join(missing)}" if missing else "the pipeline is not in"
