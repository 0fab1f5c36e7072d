"""The oracle's other half: process 1 of the virtual machine.

It reads requests from a virtio-serial port, one JSON object a line, and answers each with one:

    {"op": "ping"}                           {"ok": true, "kernel": "6.1.0-56-amd64"}
    {"op": "case", "place": "...", "case": "...", "deadline_s": 20}   {"ok": true, "outcome": "..."}
    {"op": "exec", "command": "..."}         {"ok": true, "ran": {"code": 0, ...}}
    anything that fails                      {"ok": false, "error": "..."}

A case runs in a child, which the next case finds again if it is about the same place: the same
ports and settings. What it leaves behind otherwise (namespaces, sockets, processes) goes with it.
Standard library only, and only what the initramfs carries.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from typing import Any

from tests.kernel.cases.codec import encode
from tests.kernel.guest.child import Child
from tests.kernel.guest.commands import run

PORT = "/dev/vport0p1"
PORT_DEADLINE_S = 30.0


class Server:
    """Answers requests; keeps the child of the last case."""

    def __init__(self) -> None:
        self._child: Child | None = None

    def answer(self, request: dict[str, Any]) -> bytes:
        """Do what is asked."""
        match request["op"]:
            case "ping":
                return _json({"ok": True, "kernel": os.uname().release})
            case "exec":
                return _json({"ok": True, "ran": encode(run(request["command"]))})
            case "case":
                return self._case(request)
            case other:
                return failure(f"no such request: {other}")

    def _case(self, request: dict[str, Any]) -> bytes:
        deadline_s = float(request["deadline_s"])
        if self._child is None or self._child.place != request["place"]:
            self._end_child()
            self._child = Child.start(request["place"])
        answer = self._child.ask(request["case"], deadline_s)
        if answer:
            return answer
        self._end_child()
        if answer is None:
            return failure(f"the case took longer than {deadline_s:.0f} s")
        return failure("the case died")

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def failure(error: str) -> bytes:
    """Return the answer that something failed."""
    return _json({"ok": False, "error": error})


def _json(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _open_port() -> int:
    """The driver makes the port a moment after it was loaded."""
    deadline = time.monotonic() + PORT_DEADLINE_S
    while True:
        try:
            return os.open(PORT, os.O_RDWR)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _write_all(port: int, data: bytes) -> None:
    while data:
        data = data[os.write(port, data) :]


def serve() -> None:
    """Answer requests until the host closes its end."""
    port = _open_port()
    server = Server()
    buffer = b""
    while True:
        chunk = os.read(port, 1 << 16)
        if not chunk:
            return
        buffer += chunk
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            try:
                result = server.answer(json.loads(line))
            except Exception:  # pylint: disable=broad-except
                result = failure(traceback.format_exc())
            _write_all(port, result)


if __name__ == "__main__":
    serve()
