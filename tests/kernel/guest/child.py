"""The process that carries out cases, one after the other, all of one place.

Cases and outcomes cross as pickles: to take a dataclass apart in Python costs an emulated
processor a tenth of a second, and both ends are of one build.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import select
import signal
import socket
import time
import traceback
from dataclasses import dataclass

from tests.kernel.cases.case import Case
from tests.kernel.guest.execution import Execution
from tests.kernel.guest.place import Place


@dataclass(slots=True)
class Child:
    """The parent's side: a process that is in `place`, or about to be."""

    place: str
    _pid: int
    _socket: socket.socket

    @classmethod
    def start(cls, place: str) -> Child:
        """Start one."""
        near, far = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            near.close()
            _be_child(far)
        far.close()
        return cls(place, pid, near)

    def ask(self, case: str, deadline_s: float) -> bytes | None:
        """Return the answer as a line; b"" if the child died, None if it takes too long."""
        deadline = time.monotonic() + deadline_s
        self._socket.sendall(case.encode() + b"\n")
        text = b""
        while not text.endswith(b"\n"):
            left_s = max(deadline - time.monotonic(), 0)
            if not select.select([self._socket], [], [], left_s)[0]:
                return None
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                return b""
            text += chunk
        return text

    def end(self) -> None:
        """End the child and all that it started, and reap what has become ours."""
        self._socket.close()
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    return
            except ChildProcessError:
                return


def _be_child(asked: socket.socket) -> None:
    """Never returns: the parent's code is not this process's business."""
    os.setsid()
    place: Place | None = None
    with asked.makefile("rb") as lines:
        for line in lines:
            try:
                case: Case = pickle.loads(base64.b64decode(line))
                place = place or Place(case)
                outcome = pickle.dumps(Execution(case, place).run())
                answer = {"ok": True, "outcome": base64.b64encode(outcome).decode()}
            except BaseException:  # pylint: disable=broad-except
                answer = {"ok": False, "error": traceback.format_exc()}
            asked.sendall(json.dumps(answer).encode() + b"\n")
    os._exit(0)
