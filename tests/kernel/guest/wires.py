"""The ends of a case's wires, and the certainty that a frame has been dealt with.

             namespace "far"              namespace "case"
             [ens1f0_0] =====veth===== [ens1f0_0] tc ingress -> stack
    frames ->[   .    ]                     |         |
             [   .    ]                     v         `-> read by `Stack`, per ethertype
    left   <-[ens1f0_1] =====veth===== [ens1f0_1]
             [settle0 ] =====veth===== [settle1 ]  both "far"

A packet socket of one ethertype is served after tc's ingress hook (net/core/dev.c:
__netif_receive_skb_core), so what it gets is what tc let through, on whatever device. A VLAN tag
nobody has a device for is taken off in between: what went to the stack is seen without it.

Frames are queued to a CPU's backlog; all of this runs on one CPU, so a marker sent over the
settle wire comes out after every frame queued before it. A frame may be queued again on its way
(another wire, an ingress redirect), hence as many markers one after the other.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.kernel.cases.outcome import Seen

ETH_P_ALL = 3
ETH_P_802_2 = 4
ALWAYS = (0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, ETH_P_802_2)
VLANS = (0x8100, 0x88A8)
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
AUXDATA = struct.Struct("=IIIHHHH")
VLAN_VALID, VLAN_TPID_VALID = 0x10, 0x40
PACKET_OUTGOING = 4
SETTLE = ("settle0", "settle1")
MARKER = bytes.fromhex("02000000000202000000000188b5")
HOPS = 6
SETTLE_DEADLINE_S = 10.0


class Lost(RuntimeError):
    """A marker did not come out again: the namespace no longer moves frames."""


def packet_socket(ethertype: int) -> socket.socket:
    """Return a socket that gets what comes in on any device, of one ethertype."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype))
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.setblocking(False)
    return sock


def read(sock: socket.socket) -> Seen | None:
    """Return the next frame, its VLAN tag put back where the wire has it."""
    try:
        data, extra, _, sender = sock.recvmsg(1 << 16, 64)
    except BlockingIOError:
        return None
    for level, kind, content in extra:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            data = _with_tag(data, content)
    return Seen(sender[0], data)


def _with_tag(data: bytes, auxdata: bytes) -> bytes:
    status, _, _, _, _, tci, tpid = AUXDATA.unpack(auxdata[: AUXDATA.size])
    if not status & VLAN_VALID:
        return data
    tpid = tpid if status & VLAN_TPID_VALID else VLANS[0]
    return data[:12] + struct.pack(">HH", tpid, tci) + data[12:]


def ethertypes(frames: Iterable[bytes]) -> tuple[int, ...]:
    """Return every ethertype, outer and inner, that the stack may be asked to take."""
    found = set(ALWAYS)
    for frame in frames:
        offset = 12
        while len(frame) >= offset + 2:
            ethertype = int.from_bytes(frame[offset : offset + 2], "big")
            found.add(ethertype if ethertype >= 0x600 else ETH_P_802_2)
            if ethertype not in VLANS:
                break
            offset += 4
    return tuple(sorted(found))


class Stack:
    """Made in the namespace "case": what tc let through to the stack."""

    def __init__(self, types: Iterable[int]) -> None:
        self._sockets = [packet_socket(ethertype) for ethertype in types]

    def pending(self) -> tuple[Seen, ...]:
        """Return what came since the last call."""
        return tuple(seen for sock in self._sockets for seen in drain(sock))


def drain(sock: socket.socket) -> Iterator[Seen]:
    """Read what has come."""
    while seen := read(sock):
        yield seen


@dataclass(slots=True)
class Wires:
    """Made in the namespace "far": where frames are put on a wire and come off."""

    _socket: socket.socket

    @classmethod
    def open(cls) -> Wires:
        """Listen on all devices of the current namespace, present and to come."""
        return cls(packet_socket(ETH_P_ALL))

    def send(self, port: str, frame: bytes) -> None:
        """Put a frame on the port's wire."""
        self._socket.sendto(frame, (port, 0))

    def settle(self) -> tuple[Seen, ...]:
        """Wait until every frame has been dealt with; return those that left, in order."""
        left: list[Seen] = []
        for hop in range(HOPS):
            marker = MARKER + bytes([hop]) * 46
            self.send(SETTLE[0], marker)
            left.extend(self._until(Seen(SETTLE[1], marker)))
        return tuple(left)

    def _until(self, marker: Seen) -> Iterator[Seen]:
        deadline = time.monotonic() + SETTLE_DEADLINE_S
        while (seen := read(self._socket)) != marker:
            if seen is not None:
                yield seen
            elif time.monotonic() > deadline:
                raise Lost(f"no marker in {SETTLE_DEADLINE_S:.0f} s")
