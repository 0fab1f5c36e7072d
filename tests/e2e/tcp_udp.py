"""Connections: made by hand out of frames, or by the machines' own sockets.

By hand, from addresses no machine has, so that no kernel answers on its own. Each
packet is sent when the one before it has arrived: who handled it is determined.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.e2e.state import DEADLINE_S
from tests.e2e.wire import Port, inside

_CHUNK = 1 << 16

Layer = Callable[["End", "End"], Packet]
"""Makes a transport header between two ends."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection made by hand."""

    port: Port
    ip: str
    number: int

    def packet(self, other: End, layer: Packet, data: bytes = b"") -> Packet:
        """An Ethernet frame to the other end."""
        ethernet = Ether(src=self.port.mac, dst=other.port.mac)
        network = IPv6 if ":" in self.ip else IP
        frame = ethernet / network(src=self.ip, dst=other.ip) / layer
        return frame / Raw(data) if data else frame


class Conversation:
    """A client's and a server's packets, each delivered before the next is sent.

    With NAT on the way, an end is not what the other sees of it: ``client_seen``,
    ``server_seen``. What arrives must be what was sent, with exactly that changed.
    """

    def __init__(
        self,
        client: End,
        server: End,
        client_seen: End | None = None,
        server_seen: End | None = None,
    ) -> None:
        self._own = (client, server)
        self._seen = (client_seen or client, server_seen or server)

    def sent(self, layer: Layer, reply: bool = False, data: bytes = b"") -> Packet:
        """A frame as its sender makes it."""
        sender, receiver = self._own[reply], self._seen[not reply]
        return sender.packet(receiver, layer(sender, receiver), data)

    def expected(self, layer: Layer, reply: bool = False, data: bytes = b"") -> Packet:
        """The same frame as it should arrive."""
        sender, receiver = self._seen[reply], self._own[not reply]
        return sender.packet(receiver, layer(sender, receiver), data)

    def deliver(self, layer: Layer, reply: bool, data: bytes) -> bytes:
        """Send a frame, and return it when it has arrived as expected."""
        source, target = self._own[reply].port, self._own[not reply].port
        wanted = bytes(self.expected(layer, reply, data))
        frame = self.sent(layer, reply, data)
        source.send(frame)
        return target.take(wanted.__eq__, f"{frame.summary()} from {source.name}")


class UdpConversation(Conversation):
    """UDP by hand."""

    def say(self, reply: bool = False, data: bytes = b"x") -> bytes:
        """One datagram."""
        return self.deliver(self.layer, reply, data)

    def datagram(self, reply: bool = False) -> Packet:
        """One datagram that is not sent."""
        return self.sent(self.layer, reply, b"x")

    @staticmethod
    def layer(sender: End, receiver: End) -> Packet:
        """A datagram's header."""
        return UDP(sport=sender.number, dport=receiver.number)


class TcpConversation(Conversation):
    """TCP by hand; sequence numbers are kept."""

    _sequence = (1000, 5000)

    def say(self, flags: str, reply: bool = False, data: bytes = b"") -> bytes:
        """One segment."""
        arrived = self.deliver(self.layer(flags, reply), reply, data)
        self.count(flags, reply, data)
        return arrived

    def segment(self, flags: str, reply: bool = False, data: bytes = b"") -> Packet:
        """The segment that would be next, not sent."""
        return self.sent(self.layer(flags, reply), reply, data)

    def shake_hands(self) -> None:
        """SYN, SYN-ACK, ACK."""
        self.say("S")
        self.say("SA", reply=True)
        self.say("A")

    def layer(self, flags: str, reply: bool) -> Layer:
        """What makes the header of the next segment of a direction."""
        acked = self._sequence[not reply] if "A" in flags else 0
        fields = {"flags": flags, "seq": self._sequence[reply], "ack": acked}

        def header(sender: End, receiver: End) -> Packet:
            ports = {"sport": sender.number, "dport": receiver.number}
            return TCP(**ports, **fields, window=65000)

        return header

    def count(self, flags: str, reply: bool, data: bytes) -> None:
        """Remember what of the sequence was used."""
        used = len(data) + ("S" in flags) + ("F" in flags)
        there, back = self._sequence
        self._sequence = (there, back + used) if reply else (there + used, back)


@contextmanager
def connected(
    client: Any,
    server: Any,
    address: str,
    port: int = 5001,
    sport: int = 0,
    listen: int = 0,
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection between two machines' kernels: the client's end, the server's end.

    ``listen`` is the server's port where NAT makes it another one than ``port``.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as stack:
        with inside(server):
            listening = stack.enter_context(socket.socket(family))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("", listen or port))
        listening.listen()
        listening.settimeout(DEADLINE_S)
        with inside(client):
            near = stack.enter_context(socket.socket(family))
        near.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        near.settimeout(DEADLINE_S)
        if sport:
            near.bind(("", sport))
        near.connect((address, port))
        far = stack.enter_context(listening.accept()[0])
        far.settimeout(DEADLINE_S)
        yield near, far


def close_at_once(*ends: socket.socket) -> None:
    """Have the ends closed without a FIN: a connection that conntrack lost gets none through."""
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def transfer(
    sender: socket.socket,
    receiver: socket.socket,
    data: bytes,
    halfway: Callable[[], object] = lambda: None,
) -> bytes:
    """Send data through a connection whose two ends are ours; return what came.

    ``halfway`` is called with data on its way.
    """
    half = len(data) // 2
    sender.setblocking(False)
    receiver.setblocking(False)
    received = bytearray()
    left = memoryview(data)
    with selectors.DefaultSelector() as ready:
        ready.register(sender, selectors.EVENT_WRITE)
        ready.register(receiver, selectors.EVENT_READ)
        while len(received) < len(data):
            able = ready.select(DEADLINE_S)
            assert able, f"stalled after {len(received)} of {len(data)} bytes"
            for key, _ in able:
                if key.fileobj is receiver:
                    before, received = len(received), received + receiver.recv(_CHUNK)
                    if before < half <= len(received):
                        halfway()
                    continue
                left = left[sender.send(left[:_CHUNK]) :]
                if not left:
                    ready.unregister(sender)
    for end in (sender, receiver):
        end.settimeout(DEADLINE_S)
    return bytes(received)
