"""Conversations: what two machines say to each other, each as the steps of a case.

A conversation knows both ends as each end sees the other, so NAT is only a matter of addresses:

    client (its port) says   here -> there         the server's port sees   seen -> real
    server (its port) says   real -> seen          the client's port sees   there -> here
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from scapy.all import (
    ARP,
    ICMP,
    IP,
    TCP,
    UDP,
    Dot1Q,
    Ether,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    Raw,
    fragment,
)

from tests.kernel.cases.case import Send
from tests.kernel.underlay import Remote

ISN_CLIENT, ISN_SERVER = 1000, 5000
WINDOW = 8192


@dataclass(frozen=True, slots=True)
class End:
    """One machine: where it is plugged in, and its addresses."""

    port: str
    mac: str
    ip: str
    ip6: str
    remote: Remote | None = None  # behind which the machine is, if not here

    def says(self, frame: bytes) -> Send:
        """The machine sends a frame."""
        return self.remote.sends(frame) if self.remote else Send(self.port, frame)


@dataclass(slots=True)
class Conversation:
    """Two ends and their ports, and how far a TCP connection between them has come."""

    client: End
    server: End
    sport: int
    dport: int
    v6: bool = False
    there: str = ""  # the server's address as the client knows it
    seen: str = ""  # the client's address as the server knows it
    there_port: int = 0
    vlan: int = 0
    seq: dict[bool, int] = field(
        default_factory=lambda: {True: ISN_CLIENT, False: ISN_SERVER}
    )

    def __post_init__(self) -> None:
        self.there = self.there or self._address(self.server)
        self.seen = self.seen or self._address(self.client)
        self.there_port = self.there_port or self.dport

    def tcp(self, out: bool, flags: str, data: int = 0, **fields: Any) -> Send:
        """A segment; sequence numbers follow from what was said before."""
        ack = self.seq[not out] if "A" in flags else 0
        header = TCP(flags=flags, seq=self.seq[out], ack=ack, window=WINDOW, **fields)
        self._set_ports(header, out)
        self.seq[out] += data + ("S" in flags) + ("F" in flags)
        return self.send(out, header / Raw(bytes(data)))

    def again(self, out: bool, flags: str, data: int = 0) -> Send:
        """The segment before, once more."""
        self.seq[out] -= data + ("S" in flags) + ("F" in flags)
        return self.tcp(out, flags, data)

    def udp(self, out: bool, data: int = 8, **fields: Any) -> Send:
        """A datagram."""
        header = UDP(**fields)
        self._set_ports(header, out)
        return self.send(out, header / Raw(bytes(data)))

    def echo(self, out: bool) -> Send:
        """An echo request, or the reply to it."""
        if self.v6:
            kind = ICMPv6EchoRequest if out else ICMPv6EchoReply
            return self.send(out, kind(id=self.sport, data=b"ping"))
        return self.send(out, ICMP(type=8 if out else 0, id=self.sport) / b"ping")

    def unreachable(self, data: int = 8) -> Send:
        """The server's answer to a datagram of the client's: nobody is there."""
        inside = IP(src=self.seen, dst=self._address(self.server))
        datagram = UDP(sport=self.sport, dport=self.dport) / Raw(bytes(data))
        about = bytes(inside / datagram)[:28]
        return self.send(False, ICMP(type=3, code=1) / Raw(about))

    def send(self, out: bool, payload: Any, **fields: Any) -> Send:
        """Wrap a payload."""
        here = self.client if out else self.server
        return here.says(bytes(self._frame(out, payload, **fields)))

    def fragments(self, out: bool, size: int, piece: int) -> tuple[Send, ...]:
        """A datagram in pieces."""
        header = UDP()
        self._set_ports(header, out)
        # Of an id of its own: datagrams of one id must not be in pieces at the same time.
        ident = {"id": 2 * self.sport + out}
        whole = self._frame(out, header / Raw(bytes(size)), **ident)
        # Scapy computes a checksum when it builds: before it is cut up, not after.
        whole = Ether(bytes(whole))
        here = self.client if out else self.server
        return tuple(here.says(bytes(part)) for part in fragment(whole, fragsize=piece))

    def _frame(self, out: bool, payload: Any, **fields: Any) -> Any:
        here, other = self.client, self.server
        src, dst = self._address(here), self.there
        if not out:
            here, other = other, here
            src, dst = self._address(here), self.seen
        kind = IPv6 if self.v6 else IP
        macs = Ether(src=here.mac, dst=other.mac)
        if self.vlan:
            macs = macs / Dot1Q(vlan=self.vlan)
        return macs / kind(src=src, dst=dst, **fields) / payload

    def _set_ports(self, header: Any, out: bool) -> None:
        ports = (self.sport, self.there_port) if out else (self.dport, self.sport)
        header.sport, header.dport = ports

    def _address(self, end: End) -> str:
        return end.ip6 if self.v6 else end.ip


Script = Callable[[Random, Conversation], Iterator[Send]]


def tcp_whole(random: Random, talk: Conversation) -> Iterator[Send]:
    """Handshake, some data, and an end, or none."""
    yield from handshake(random, talk)
    yield from tcp_data(random, talk)
    if random.random() < 0.6:
        yield from random.choice((tcp_close, tcp_close, tcp_reset))(random, talk)


def handshake(random: Random, talk: Conversation) -> Iterator[Send]:
    """SYN, SYN-ACK, ACK, of which some come twice."""
    yield talk.tcp(True, "S")
    if random.random() < 0.1:
        yield talk.again(True, "S")
    yield talk.tcp(False, "SA")
    if random.random() < 0.1:
        yield talk.again(False, "SA")
    yield talk.tcp(True, "A")


def tcp_data(random: Random, talk: Conversation) -> Iterator[Send]:
    """Data one way or the other, mostly acknowledged."""
    for _ in range(random.randint(0, 4)):
        out, size = random.random() < 0.6, random.choice((1, 10, 100, 1000))
        yield talk.tcp(out, "PA", size)
        if random.random() < 0.1:
            yield talk.again(out, "PA", size)
        if random.random() < 0.7:
            yield talk.tcp(not out, "A")


def tcp_close(random: Random, talk: Conversation) -> Iterator[Send]:
    """One end closes, then the other."""
    first = random.random() < 0.7
    yield talk.tcp(first, "FA")
    if random.random() < 0.5:
        yield talk.tcp(not first, "A")
    yield talk.tcp(not first, "FA")
    yield talk.tcp(first, "A")


def tcp_reset(random: Random, talk: Conversation) -> Iterator[Send]:
    """One end has had enough."""
    yield talk.tcp(random.random() < 0.5, "RA")


def tcp_reused(random: Random, talk: Conversation) -> Iterator[Send]:
    """A connection that ends, and the next one of the same ports."""
    yield from handshake(random, talk)
    yield from tcp_data(random, talk)
    yield from tcp_close(random, talk)
    talk.seq[True] += 100000
    talk.seq[False] += 100000
    yield from handshake(random, talk)
    yield from tcp_data(random, talk)


def tcp_from_the_middle(random: Random, talk: Conversation) -> Iterator[Send]:
    """A connection whose beginning nobody saw."""
    talk.seq = {True: ISN_CLIENT + 1, False: ISN_SERVER + 1}
    yield talk.tcp(True, "PA", 10)
    yield talk.tcp(False, "A")
    yield from tcp_data(random, talk)


def udp_talk(random: Random, talk: Conversation) -> Iterator[Send]:
    """Datagrams both ways, or one way only."""
    answered = random.random() < 0.8
    yield talk.udp(True)
    for _ in range(random.randint(1, 5)):
        yield talk.udp(not answered or random.random() < 0.5, random.choice((0, 8, 99)))


def udp_unreachable(random: Random, talk: Conversation) -> Iterator[Send]:
    """A datagram that is answered with an ICMP error."""
    yield from () if talk.v6 else (talk.udp(True), talk.unreachable())


def udp_fragments(random: Random, talk: Conversation) -> Iterator[Send]:
    """A datagram in pieces, each way."""
    if talk.v6:
        return
    yield from talk.fragments(True, 1000, 400)
    yield from talk.fragments(False, 700, 400)


def ping(random: Random, talk: Conversation) -> Iterator[Send]:
    """Echo requests and replies."""
    for _ in range(random.randint(1, 3)):
        yield talk.echo(True)
        if random.random() < 0.8:
            yield talk.echo(False)


def unasked(random: Random, talk: Conversation) -> Iterator[Send]:
    """What nobody has asked for."""
    yield random.choice(
        (
            lambda: talk.echo(False),
            lambda: talk.tcp(False, "SA"),
            lambda: talk.tcp(True, "R"),
            lambda: talk.tcp(True, "FA"),
            lambda: talk.tcp(True, "SF"),
            lambda: talk.tcp(True, ""),
            lambda: talk.tcp(True, "S", chksum=0x1234),
            lambda: talk.udp(True, chksum=0x1234),
        )
    )()


def odd(random: Random, talk: Conversation) -> Iterator[Send]:
    """What is no IP, or hardly."""
    client = talk.client
    macs = Ether(src=client.mac, dst=talk.server.mac)
    frame = random.choice(
        (
            macs / ARP(hwsrc=client.mac, psrc=client.ip, pdst=talk.server.ip),
            Ether(bytes(macs)[:12] + b"\x12\x34" + bytes(46)),
            Ether(bytes(macs)[:12] + b"\x08\x00" + b"\x45\x00\x00"),
        )
    )
    # Linux's vxlan drops an IP header that is cut off, before any filter; and of the unknown type
    # the guest would not know that its stack has to be asked for it: it sees the outer one.
    if client.remote is None or ARP in frame:
        yield client.says(bytes(frame))


def late(random: Random, talk: Conversation) -> Iterator[Send]:
    """A datagram in its last hop."""
    header = UDP(sport=talk.sport, dport=talk.there_port)
    hops = {"hlim": 1} if talk.v6 else {"ttl": 1}
    yield talk.udp(True)
    yield talk.udp(False)
    yield talk.send(True, header / Raw(bytes(8)), **hops)


# How often each comes, relative to the others.
SCRIPTS: tuple[tuple[Script, float], ...] = (
    (tcp_whole, 8),
    (tcp_reused, 1),
    (tcp_from_the_middle, 1),
    (udp_talk, 5),
    (udp_unreachable, 1),
    (udp_fragments, 1),
    (ping, 2),
    (unasked, 1),
    (odd, 0.5),
    (late, 0.5),
)
