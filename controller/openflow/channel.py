"""A switch's connection, between Open vSwitch and Ryu.

    Open vSwitch --> Channel --copies, removals, counters, errors, barriers--> deliver
                         \\--everything else--> Ryu

Ryu reads a message with two system calls and hands it over by way of a queue and
a thread switch.  What comes by the thousand is taken out of the stream before it,
as many messages at a time as are there, and left as bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from struct import Struct
from typing import Any

import eventlet
from ryu.ofproto import ofproto_v1_3 as ofp

_HEADER = Struct("!BBHI")
_KIND = Struct("!H")  # a multipart message's, behind the header
# As many copies as are handled before the rules they lead to are sent.
_READ_BYTES = 16 * 1024

_OURS = frozenset(
    (ofp.OFPT_PACKET_IN, ofp.OFPT_FLOW_REMOVED, ofp.OFPT_ERROR, ofp.OFPT_BARRIER_REPLY)
)

Deliver = Callable[[list[bytes]], None]


class Channel:
    """A Unix stream socket as Ryu wants one.

    Messages go to ``deliver`` once it is set, which is after Ryu's handshake.
    """

    def __init__(self, channel: Any) -> None:
        self.deliver: Deliver | None = None
        self._channel = channel
        self._begun = b""
        self._for_ryu = bytearray()

    def recv(self, size: int) -> bytes:
        """Read what Ryu is to see, at most ``size`` bytes; b"" at the end."""
        while not self._for_ryu:
            piece = self._channel.recv(_READ_BYTES)
            if not piece:
                return b""
            self._sort(self._begun + piece)
        taken = bytes(self._for_ryu[:size])
        del self._for_ryu[:size]
        return taken

    def _sort(self, received: bytes) -> None:
        ours, at, end = [], 0, len(received)
        while end - at >= _HEADER.size:
            _, kind, length, _ = _HEADER.unpack_from(received, at)
            length = max(length, _HEADER.size)
            if end - at < length:
                break
            message = received[at : at + length]
            at += length
            if self.deliver is not None and _is_ours(kind, message):
                ours.append(message)
            else:
                self._for_ryu += message
        self._begun = received[at:]
        if ours and self.deliver is not None:
            self.deliver(ours)
            eventlet.sleep(0)  # whoever sends, or waits for an answer, is next

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
    return kind in _OURS
