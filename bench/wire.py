"""Frames put on a virtual machine's interface and taken off it, many at a time.

A socket stays in the network namespace it was made in: ``Port`` enters a node's
for as long as it takes to open one.  ``exchange`` has at most a window of frames on
their way, which is as fast as they can go with none lost.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 64 << 20
_LONGEST = 2048
WINDOW = 64
_PATIENCE_S = 20.0


class FrameLost(Exception):
    """A frame that was sent did not arrive in time."""


@contextmanager
def inside(node: Any) -> Iterator[None]:
    """Within, what this thread opens is in the node's network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (
        open("/proc/thread-self/ns/net", "rb") as own,
        open(f"/proc/{node.pid}/ns/net", "rb") as other,
    ):
        for namespace in (other, own):
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                error = ctypes.get_errno()
                raise OSError(error, os.strerror(error))
            if namespace is other:
                yield


class Port:
    """A virtual machine's interface; use as a context manager."""

    def __init__(self, node: Any, interface: str = "eth0") -> None:
        self.name = f"{node.name}'s {interface}"
        self.mac = bytes.fromhex(node.defaultIntf().MAC().replace(":", ""))
        with inside(node):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        with inside(node):
            self._socket.bind((interface, _ETH_P_ALL))
        self._socket.setblocking(False)

    def __enter__(self) -> Port:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        """Put a frame on the wire."""
        self._socket.send(frame)

    def arrived(self) -> Iterator[bytes]:
        """The frames that are there now."""
        with suppress(BlockingIOError):
            while True:
                yield self._socket.recv(_LONGEST)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a frame; False if none came."""
        return bool(select.select([self._socket], [], [], timeout_s)[0])


def exchange(
    source: Port,
    target: Port,
    frames: Iterable[bytes],
    *,
    wanted: Callable[[bytes], bool] = lambda frame: True,
    window: int = WINDOW,
    between: Callable[[], object] = lambda: None,
) -> int:
    """Send frames and take each at the other end; how many there were.

    ``between`` is called whenever half a window has arrived.  Raises FrameLost.
    """
    for _ in target.arrived():
        pass
    sent = received = 0
    waiting = iter(frames)
    more = True
    while more or received < sent:
        while more and sent - received < window:
            frame = next(waiting, None)
            if frame is None:
                more = False
                break
            source.send(frame)
            sent += 1
        received = _take(target, received, sent, wanted)
        between()
    return received


def _take(
    target: Port, received: int, sent: int, wanted: Callable[[bytes], bool]
) -> int:
    """Take frames until half a window is free again, or all have come."""
    enough = min(sent, received + WINDOW // 2)
    deadline = time.monotonic() + _PATIENCE_S
    while received < enough:
        if not target.wait(deadline - time.monotonic()):
            raise FrameLost(f"{sent - received} of {sent} frames to {target.name}")
        received += sum(map(wanted, target.arrived()))
    return received
