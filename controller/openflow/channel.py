"""A switch's connection, between Open vSwitch and Ryu.

    Open vSwitch --> Channel --copies, removals, counters, errors, barriers, bundles--> deliver
                         \\--everything else--> Ryu

Ryu reads a message with two system calls and hands it over by way of a queue and
a thread switch.  What comes by the thousand is taken out of the stream before it,
and left as bytes.  It is read as soon as it is there and waits here for its turn:
what OVS has queued some hundred of, it drops.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Any

import eventlet
from ryu.ofproto import ofproto_v1_3 as ofp

from controller.openflow import bundle

_HEADER = Struct("!BBHI")
_KIND = Struct("!H")  # a multipart message's, behind the header
_READ_BYTES = 64 * 1024
_WRITE_BYTES = 64 * 1024
# As many messages as are handled before the rules they lead to are sent: more where many
# wait, whose rules then fill a bundle.
AT_A_TIME = 64, 160

_OURS = frozenset(
    (ofp.OFPT_PACKET_IN, ofp.OFPT_FLOW_REMOVED, ofp.OFPT_ERROR, ofp.OFPT_BARRIER_REPLY)
)

Deliver = Callable[[list[bytes]], None]


class Channel:
    """A Unix stream socket as Ryu wants one.

    Messages go to ``deliver`` once it is set, which is after Ryu's handshake.
    ``moved_s`` is when the switch last said something, or took it.
    """

    def __init__(self, channel: Any) -> None:
        self.deliver: Deliver | None = None
        self.moved_s = time.monotonic()
        self._channel = channel
        self._begun = b""
        self._waiting: deque[bytes] = deque()
        self._delivering = False
        self._for_ryu = bytearray()

    @property
    def busy(self) -> bool:
        """Is something being handed over?"""
        return self._delivering

    def recv(self, size: int) -> bytes:
        """Read what Ryu is to see, at most ``size`` bytes; b"" at the end."""
        while not self._for_ryu:
            piece = self._channel.recv(_READ_BYTES)
            if not piece:
                return b""
            self.moved_s = time.monotonic()
            self._sort(self._begun + piece)
        taken = bytes(self._for_ryu[:size])
        del self._for_ryu[:size]
        return taken

    def _sort(self, received: bytes) -> None:
        at, end = 0, len(received)
        while end - at >= _HEADER.size:
            _, kind, length, _ = _HEADER.unpack_from(received, at)
            length = max(length, _HEADER.size)
            if end - at < length:
                break
            message = received[at : at + length]
            at += length
            if self.deliver is not None and _is_ours(kind, message):
                self._waiting.append(message)
            else:
                self._for_ryu += message
        self._begun = received[at:]
        if self._waiting and not self._delivering:
            self._delivering = True
            eventlet.spawn_n(self._deliver_all)

    def _deliver_all(self) -> None:
        """Hand over what waits; whoever reads, sends or waits for an answer, in between."""
        try:
            while self._waiting and self.deliver is not None:
                least, most = AT_A_TIME
                waiting = len(self._waiting)
                some = min(max(waiting // 2, least), most, waiting)
                self.deliver([self._waiting.popleft() for _ in range(some)])
                eventlet.sleep(0)
        finally:
            self._delivering = False

    def sendall(self, data: bytes) -> None:
        """Send it, a piece at a time.  Raises OSError."""
        view = memoryview(data)
        for at in range(0, len(view), _WRITE_BYTES):
            self._channel.sendall(view[at : at + _WRITE_BYTES])
            self.moved_s = time.monotonic()

    def setsockopt(self, level: int, *option: Any) -> None:
        """Set an option, unless it is TCP's, which Ryu sets in vain."""
        if level != socket.IPPROTO_TCP:
            self._channel.setsockopt(level, *option)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def _is_ours(kind: int, message: bytes) -> bool:
    if kind == ofp.OFPT_MULTIPART_REPLY and len(message) >= _HEADER.size + _KIND.size:
        (about,) = _KIND.unpack_from(message, _HEADER.size)
        return bool(about == ofp.OFPMP_FLOW)
    if kind == ofp.OFPT_EXPERIMENTER:
        return message[4:8] == bundle.XID.to_bytes(4, "big")
    return kind in _OURS
