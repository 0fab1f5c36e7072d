"""Connections that the tests of the model and of the driver speak of."""

from __future__ import annotations

from ipaddress import ip_address

from offload.conntrack import FlowTuple, TrackedPacket
from offload.flower import IPPROTO_TCP, IPPROTO_UDP, CtState

TCP_ACK = 0x10
ESTABLISHED = CtState.TRK | CtState.EST
NEW = CtState.TRK | CtState.NEW


def flow_tuple(
    src: str = "10.0.0.1",
    dst: str = "10.0.0.3",
    proto: int = IPPROTO_TCP,
    sport: int = 40000,
    dport: int = 80,
) -> FlowTuple:
    """One direction of a connection."""
    source, target = ip_address(src).packed, ip_address(dst).packed
    return FlowTuple(source, target, proto, sport, dport)


TCP = flow_tuple()
TCP6 = flow_tuple("fd00::1", "fd00::3")
UDP = flow_tuple(proto=IPPROTO_UDP, dport=53)
UDP6 = flow_tuple("fd00::1", "fd00::3", IPPROTO_UDP, dport=53)


def tracked(
    original: FlowTuple = TCP,
    read: FlowTuple | None = None,
    *,
    zone: int = 0,
    state: CtState = ESTABLISHED,
    mark: int = 0,
    label: int = 0,
    tcp_flags: int = TCP_ACK,
) -> TrackedPacket:
    """A packet of ``original``; what it reads is that, or its inverse for a reply."""
    if read is None:
        read = original.inverted() if CtState.RPL in state else original
    return TrackedPacket(zone, state, mark, label, original, read, tcp_flags)
