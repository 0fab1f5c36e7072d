"""Frames put on a node's interface and taken off it, from inside this process.

A socket stays in the network namespace it was made in. So ``inside`` enters a node's
namespace for as long as it takes to open one, and a test holds the ends of all nodes
at the same time, with no process or thread of its own.

    vm1's eth0  Port --send--> ens1f0_0 ... ens1f0_0 --> vm3's eth0  Port --take-->
                        hypervisors' ens1f0, br-int: Capture, both directions
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.e2e.state import DEADLINE_S
from topologies.testbed import Testbed

_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_PACKET_IGNORE_OUTGOING = 23
_PACKET_AUXDATA, _TP_STATUS_VLAN_VALID = 8, 1 << 4
_AUXDATA_SPACE = 64
_BUFFER_BYTES = 256 << 20
_LONGEST = 65535


@contextmanager
def inside(node: Any) -> Iterator[None]:
    """Within, what this thread opens is in the node's network namespace."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        other = os.open(f"/proc/{node.pid}/ns/net", os.O_RDONLY)
        try:
            _enter(other)
        finally:
            os.close(other)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class _Packets:
    """A packet socket on one interface; use as a context manager."""

    def __init__(self, node: Any, interface: str, outgoing: bool) -> None:
        self.name = f"{node.name}'s {interface}"
        self.seen: list[bytes] = []
        with inside(node):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            if not outgoing:
                self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self._socket.bind((interface, _ETH_P_ALL))
        self._socket.setblocking(False)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _arrived(self) -> Iterator[bytes]:
        """What is there now; none may be lost."""
        with suppress(BlockingIOError):
            while True:
                yield _with_tag(*self._socket.recvmsg(_LONGEST, _AUXDATA_SPACE)[:2])
        lost = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        assert not struct.unpack("II", lost)[1], f"{self.name}: frames were not read"

    def take(self, wanted: Callable[[bytes], bool], what: str = "a frame") -> bytes:
        """Wait for the first frame that is wanted; those before it are in ``seen``."""
        deadline = time.monotonic() + DEADLINE_S
        self.seen = []
        while True:
            for frame in self._arrived():
                if wanted(frame):
                    return frame
                self.seen.append(frame)
            left = deadline - time.monotonic()
            assert left > 0, f"{what} did not come to {self.name}; but {self.seen!r}"
            select.select([self._socket], [], [], left)


def _with_tag(frame: bytes, beside: list[tuple[int, int, bytes]]) -> bytes:
    """A frame with the VLAN tag that Linux takes off before a socket reads it."""
    for _, kind, data in beside:
        if kind == _PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data)
            if status & _TP_STATUS_VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


class Port(_Packets):
    """A virtual machine's interface: send frames from it, take those that come to it."""

    def __init__(self, node: Any, interface: str = "eth0") -> None:
        super().__init__(node, interface, outgoing=False)
        self.mac = str(node.defaultIntf().MAC())

    def send(self, frame: Packet | bytes) -> None:
        """Put a frame on the wire, as the machine would."""
        self._socket.send(bytes(frame))


class Capture(_Packets):
    """Everything that an interface sends and receives, from now on."""

    def __init__(self, node: Any, interface: str) -> None:
        super().__init__(node, interface, outgoing=True)

    def frames(self) -> list[bytes]:
        """What was sent or received since the last call."""
        return list(self._arrived())


@contextmanager
def all_ports(net: Testbed) -> Iterator[dict[str, Port]]:
    """The interfaces of a network's virtual machines, by the machine's name."""
    with ExitStack() as stack:
        yield {node.name: stack.enter_context(Port(node)) for node in net.hosts}


def deliver(frame: Packet, source: Port, target: Port) -> bytes:
    """Send a frame and wait until the very same comes out at the other end."""
    sent = bytes(frame)
    source.send(sent)
    return target.take(sent.__eq__, f"{frame.summary()} from {source.name}")


def parsed(frame: bytes) -> Packet:
    """A frame as scapy reads it."""
    return Ether(frame)
