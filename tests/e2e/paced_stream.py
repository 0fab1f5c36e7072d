"""A TCP stream that goes on at a steady pace while a test does things to the network."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.state import DEADLINE_S, until
from tests.e2e.tcp_udp import connected

_PAUSE_S = 0.005
_BLOCK_BYTES = 700


class PacedStream:
    """What was sent so far, and what has arrived."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._near = near
        self._far = far
        self._stop = threading.Event()
        self._sent = hashlib.sha256()
        self._received = hashlib.sha256()
        self.bytes_received = 0
        self._ends = [
            threading.Thread(target=self._send, daemon=True),
            threading.Thread(target=self._receive, daemon=True),
        ]
        for end in self._ends:
            end.start()

    def goes_on(self) -> None:
        """Return once more has arrived than there could be on its way now."""
        there = self.bytes_received
        until(
            lambda: self.bytes_received > there + 20 * _BLOCK_BYTES,
            "more of the stream",
        )

    def finish(self) -> None:
        """End the stream, and fail unless all of it has arrived; a second time is no matter."""
        self._stop.set()
        for end in self._ends:
            end.join(DEADLINE_S)
            assert not end.is_alive(), f"stalled after {self.bytes_received} bytes"
        assert self._received.digest() == self._sent.digest()

    def _send(self) -> None:
        number = 0
        while not self._stop.wait(_PAUSE_S):
            number += 1
            block = number.to_bytes(_BLOCK_BYTES, "big")
            self._sent.update(block)
            self._near.sendall(block)
        self._near.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        while block := self._far.recv(1 << 16):
            self._received.update(block)
            self.bytes_received += len(block)


@contextmanager
def streaming(client: Any, server: Any, address: str) -> Iterator[PacedStream]:
    """A stream between two machines, which has begun to arrive."""
    with connected(client, server, address) as (near, far):
        stream = PacedStream(near, far)
        stream.goes_on()
        yield stream
        stream.finish()
