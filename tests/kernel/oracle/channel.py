"""JSON objects, one a line, over a stream socket, each awaited with a deadline."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

from tests.kernel.oracle.errors import MachineDied


@dataclass(slots=True)
class Channel:
    """One end of a conversation with the guest, or with QEMU itself."""

    _socket: socket.socket
    _buffer: bytes = b""

    def send(self, message: dict[str, Any]) -> None:
        """Send an object."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise MachineDied(f"the virtual machine hung up: {error}") from error

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the next object, or raise MachineDied if there is none in time."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            self._buffer += self._chunk(deadline - time.monotonic(), timeout_s)
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _chunk(self, left_s: float, timeout_s: float) -> bytes:
        if left_s <= 0:
            raise MachineDied(f"no answer in {timeout_s:.0f} s")
        self._socket.settimeout(left_s)
        try:
            chunk = self._socket.recv(1 << 16)
        except TimeoutError as error:
            raise MachineDied(f"no answer in {timeout_s:.0f} s") from error
        except OSError as error:
            raise MachineDied(f"the virtual machine hung up: {error}") from error
        if not chunk:
            raise MachineDied("the virtual machine ended")
        return chunk
