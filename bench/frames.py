"""Frames of UDP and TCP connections between two virtual machines, as bytes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from offload.conntrack import FlowTuple
from offload.flower import ETH_P_IP, IPPROTO_TCP, IPPROTO_UDP

_ETHERNET = Struct("!6s6sH")
_IPV4 = Struct("!BBHHHBBH4s4s")
_UDP = Struct("!HHHH")
_TCP = Struct("!HHIIBBHHH")
_FIRST_PORT = 1024
_PORTS = 60000
_TTL = 64
_WINDOW = 0xFFFF
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


@dataclass(frozen=True, slots=True)
class End:
    """A virtual machine, as frames name it."""

    mac: bytes
    address: bytes


def connections(
    here: End, there: End, proto: int, count: int, first: int = 0
) -> Iterator[FlowTuple]:
    """``count`` different connections, each by its original tuple."""
    for number in range(first, first + count):
        high, low = divmod(number, _PORTS)
        yield FlowTuple(
            here.address, there.address, proto, _FIRST_PORT + low, 7000 + high
        )


def udp(source: End, target: End, flow: FlowTuple, payload: bytes = b"") -> bytes:
    """A datagram with no checksum, as UDP over IPv4 allows."""
    length = _UDP.size + len(payload)
    head = _headers(source, target, flow, IPPROTO_UDP, length)
    return head + _UDP.pack(flow.sport, flow.dport, length, 0) + payload


def tcp(
    source: End, target: End, flow: FlowTuple, flags: int, seq: int = 0, ack: int = 0
) -> bytes:
    """A segment with no data."""
    values = [flow.sport, flow.dport, seq, ack, 0x50, flags, _WINDOW, 0, 0]
    pseudo = flow.src + flow.dst + Struct("!HH").pack(IPPROTO_TCP, _TCP.size)
    values[7] = _checksum(pseudo + _TCP.pack(*values))
    head = _headers(source, target, flow, IPPROTO_TCP, _TCP.size)
    return head + _TCP.pack(*values)


def _headers(
    source: End, target: End, flow: FlowTuple, proto: int, length: int
) -> bytes:
    values = [0x45, 0, _IPV4.size + length, 0, 0, _TTL, proto, 0]
    values[7] = _checksum(_IPV4.pack(*values, flow.src, flow.dst))
    ethernet = _ETHERNET.pack(target.mac, source.mac, ETH_P_IP)
    return ethernet + _IPV4.pack(*values, flow.src, flow.dst)


def _checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes."""
    total = sum(socket.ntohs(word) for word in memoryview(data).cast("H"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def is_ip(frame: bytes) -> bool:
    """Is it IPv4, and so one of ours?"""
    return frame[12:14] == b"\x08\x00"


__all__ = [
    "ACK",
    "FIN",
    "IPPROTO_TCP",
    "IPPROTO_UDP",
    "RST",
    "SYN",
    "End",
    "connections",
    "is_ip",
    "tcp",
    "udp",
]
