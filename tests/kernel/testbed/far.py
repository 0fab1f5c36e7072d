"""The far ends of a hypervisor's wires, and the certainty that a frame has been dealt with.

All in one namespace, so that one packet socket sees what leaves, whatever the port. A rule beside
the pipeline returns markers by the port they came by. Open vSwitch reads a port in order and sends
what a batch caused before it reads the next: the second of two markers, sent when the first was
back, finds everything gone that a frame before them caused.

Source: OVS lib/dpif-netdev.c:dp_netdev_process_rxq_port
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from typing import Any

from tests.e2e.wire import inside
from tests.kernel.cases.outcome import Seen
from tests.kernel.guest.wires import (
    ETH_P_ALL,
    MARKER,
    Lost,
    drain,
    packet_socket,
    read,
)

MARKER_TYPE = 0x88B5
ROUNDS = 2
DEADLINE_S = 20.0


class Far:
    """The wires of one hypervisor; `stack` is where it hands over what no filter took."""

    def __init__(self, node: Any, hypervisor: Any, bridge: str) -> None:
        with inside(node):
            self._wires = packet_socket(ETH_P_ALL)
        with inside(hypervisor):
            self._stack = packet_socket(ETH_P_ALL)
            self._stack.bind((bridge, ETH_P_ALL))
        self._count = 0

    def send(self, port: str, frame: bytes) -> None:
        """Put a frame on a port's wire."""
        self._wires.sendto(frame, (port, 0))

    def settle(self, port: str) -> tuple[Seen, ...]:
        """Wait until all that came by a port was dealt with; return what left, in order."""
        left: list[Seen] = []
        for _ in range(ROUNDS):
            self._count += 1
            marker = MARKER + self._count.to_bytes(46, "big")
            self.send(port, marker)
            left.extend(self._until(Seen(port, marker)))
        return tuple(left)

    def stack(self) -> tuple[Seen, ...]:
        """Return what went to the stack since the last call."""
        return tuple(drain(self._stack))

    def left(self) -> tuple[Seen, ...]:
        """Return what left since the last call, without waiting."""
        return tuple(drain(self._wires))

    def close(self) -> None:
        """Close the sockets."""
        self._wires.close()
        self._stack.close()

    def _until(self, marker: Seen) -> Iterator[Seen]:
        deadline = time.monotonic() + DEADLINE_S
        while (seen := read(self._wires)) != marker:
            if seen is not None:
                yield seen
                continue
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise Lost(f"no marker from {marker.port} in {DEADLINE_S:.0f} s")
            select.select([self._wires], [], [], left_s)
