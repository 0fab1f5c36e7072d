"""Connections as conntrack shows them to act_ct: tuples and tracked packets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from typing import NamedTuple

from offload.flower import (
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    CtState,
)

TCP_FIN = 0x01
TCP_SYN = 0x02
TCP_RST = 0x04
TCP_ACK = 0x10

PROTOCOL_NAMES = {
    IPPROTO_ICMP: "icmp",
    IPPROTO_TCP: "tcp",
    IPPROTO_UDP: "udp",
    IPPROTO_ICMPV6: "icmpv6",
}


class Direction(IntEnum):
    """Whether a packet goes the way of the connection's first one."""

    ORIGINAL = 0
    REPLY = 1


class FlowTuple(NamedTuple):
    """One direction of a connection.

    Addresses are packed bytes (4 or 16): this is the one type of which there
    are hundreds of thousands, and it goes to the wire as it is.
    """

    src: bytes
    dst: bytes
    proto: int
    sport: int
    dport: int

    def inverted(self) -> FlowTuple:
        """The tuple of the way back, were there no NAT."""
        return FlowTuple(self.dst, self.src, self.proto, self.dport, self.sport)

    def __str__(self) -> str:
        """As conntrack prints it; an ICMP message's id is its sport, type and code its dport."""
        ends = f"src={ip_address(self.src)} dst={ip_address(self.dst)}"
        if self.proto not in (IPPROTO_ICMP, IPPROTO_ICMPV6):
            return f"{ends} sport={self.sport} dport={self.dport}"
        kind, code = divmod(self.dport, 256)
        return f"{ends} type={kind} code={code} id={self.sport}"


@dataclass(frozen=True, slots=True)
class TrackedPacket:
    """A packet of a confirmed connection, as it left act_ct's lookup.

    ``tuple`` is what its own headers read after NAT, ``original`` is the
    connection's original tuple; ``tcp_flags`` is 0 for other protocols.
    ``unanswered``: it is a RST, and the only answer the connection has had, if it is one.
    """

    zone: int
    state: CtState
    mark: int
    label: int
    original: FlowTuple
    tuple: FlowTuple
    tcp_flags: int = 0
    unanswered: bool = False

    @property
    def direction(self) -> Direction:
        """Which way this packet goes."""
        return Direction.REPLY if CtState.RPL in self.state else Direction.ORIGINAL
