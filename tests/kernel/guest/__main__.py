"""The oracle's other half: process 1 of the virtual machine.

It reads requests from a virtio-serial port, one JSON object a line, and answers each with one:

    {"op": "ping"}                           {"ok": true, "kernel": "6.1.0-56-amd64"}
    {"op": "case", "case": {...}, "deadline_s": 20}   {"ok": true, "outcome": {...}}
    {"op": "exec", "command": "..."}         {"ok": true, "ran": {"code": 0, ...}}
    anything that fails                      {"ok": false, "error": "..."}

A case runs in a child, so that what it leaves behind (namespaces, sockets, processes) goes with
it. Standard library only, and only what the initramfs carries.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
from typing import Any

from tests.kernel.cases.case import Case
from tests.kernel.cases.codec import decode, encode
from tests.kernel.guest.commands import run
from tests.kernel.guest.execution import Execution

PORT = "/dev/vport0p1"
PORT_DEADLINE_S = 30.0
Answer = dict[str, Any]


def answer(request: dict[str, Any]) -> Answer:
    """Do what is asked."""
    match request["op"]:
        case "ping":
            return {"ok": True, "kernel": os.uname().release}
        case "exec":
            return {"ok": True, "ran": encode(run(request["command"]))}
        case "case":
            return _in_child(request["case"], float(request["deadline_s"]))
        case other:
            return _failure(f"no such request: {other}")


def _failure(error: str) -> Answer:
    return {"ok": False, "error": error}


def _in_child(case: dict[str, Any], deadline_s: float) -> Answer:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(case, writing)
    os.close(writing)
    try:
        text = _read_all(reading, time.monotonic() + deadline_s)
    finally:
        os.close(reading)
        _end(child)
    if text is None:
        return _failure(f"the case took longer than {deadline_s:.0f} s")
    result: Answer = json.loads(text or b'{"ok": false, "error": "the case died"}')
    return result


def _be_child(case: dict[str, Any], writing: int) -> None:
    """Never returns: the parent's code is not this process's business."""
    os.setsid()
    try:
        outcome = Execution(decode(Case, case)).run()
        result: Answer = {"ok": True, "outcome": encode(outcome)}
    except BaseException:  # pylint: disable=broad-except
        result = _failure(traceback.format_exc())
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(json.dumps(result).encode())
    os._exit(0)


def _read_all(reading: int, deadline: float) -> bytes | None:
    """Read until the child has ended, or return None if it takes too long."""
    text = b""
    while (left_s := deadline - time.monotonic()) > 0:
        if not select.select([reading], [], [], left_s)[0]:
            return None
        chunk = os.read(reading, 1 << 16)
        if not chunk:
            return text
        text += chunk
    return None


def _end(child: int) -> None:
    """End the child and all that it started, and reap what has become ours."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return


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
    buffer = b""
    while True:
        chunk = os.read(port, 1 << 16)
        if not chunk:
            return
        buffer += chunk
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            try:
                result = answer(json.loads(line))
            except Exception:  # pylint: disable=broad-except
                result = _failure(traceback.format_exc())
            _write_all(port, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    serve()
