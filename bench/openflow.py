"""A plain OpenFlow connection to a switch, beside its controller's.

Every bridge of Open vSwitch listens on ``<bridge>.mgmt`` in its directory: a Unix
socket, as the controller's is.  Nothing here is Ryu's or the driver's, so that what
is measured against it owes them nothing.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Self

_VERSION = 4  # OpenFlow 1.3
_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY = 0, 1, 2, 3
_MULTIPART_REQUEST, _MULTIPART_REPLY = 18, 19
_BARRIER_REQUEST, _BARRIER_REPLY = 20, 21
_TABLE_COUNTS = 3
_HEADER = Struct("!BBHI")
_MULTIPART = Struct("!HHxxxx")
_TABLE = Struct("!BxxxIQQ")
_READ_BYTES = 1 << 16
_PATIENCE_S = 60.0


class SwitchRefused(Exception):
    """The switch answered with an error message."""


class OpenFlow:
    """Use as a context manager; ``bridge`` of the daemons in ``directory``."""

    def __init__(self, directory: Path, bridge: str = "br-int") -> None:
        self._path = str(directory / f"{bridge}.mgmt")
        self._xids = itertools.count(1)
        self._connect()

    def _connect(self) -> None:
        self._read = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_PATIENCE_S)
        self._socket.connect(self._path)
        self._socket.sendall(_HEADER.pack(_VERSION, _HELLO, _HEADER.size, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, messages: bytes) -> None:
        """Send finished messages."""
        self._socket.sendall(messages)

    def barrier(self) -> None:
        """Return when everything sent before is done.  Raises SwitchRefused."""
        self._answer(_BARRIER_REQUEST, _BARRIER_REPLY)

    def rules(self, table: int) -> int:
        """The number of rules in a table, which costs the switch no look at them."""
        asked = _MULTIPART.pack(_TABLE_COUNTS, 0)
        try:
            body = self._answer(_MULTIPART_REQUEST, _MULTIPART_REPLY, asked)
        except ConnectionError:  # who asks nothing for long is hung up on
            self._socket.close()
            self._connect()
            body = self._answer(_MULTIPART_REQUEST, _MULTIPART_REPLY, asked)
        counted: dict[int, int] = {
            each[0]: each[1] for each in _TABLE.iter_unpack(body[_MULTIPART.size :])
        }
        return counted.get(table, 0)

    def _answer(self, question: int, answer: int, body: bytes = b"") -> bytes:
        xid = next(self._xids)
        length = _HEADER.size + len(body)
        self._socket.sendall(_HEADER.pack(_VERSION, question, length, xid) + body)
        for kind, answered, received in self._messages():
            if kind == _ERROR:
                raise SwitchRefused(received[:4].hex())
            if kind == answer and answered == xid:
                return received
        raise ConnectionError("the switch hung up")

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, xid, body) of what comes in; echo requests are answered."""
        while True:
            while len(self._read) >= _HEADER.size:
                _, kind, length, xid = _HEADER.unpack_from(self._read)
                if len(self._read) < length:
                    break
                body = bytes(self._read[_HEADER.size : length])
                del self._read[:length]
                if kind == _ECHO_REQUEST:
                    head = _HEADER.pack(_VERSION, _ECHO_REPLY, length, xid)
                    self._socket.sendall(head + body)
                yield kind, xid, body
            piece = self._socket.recv(_READ_BYTES)
            if not piece:
                return
            self._read += piece
