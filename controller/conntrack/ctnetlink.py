"""Messages to and from the kernel's conntrack, as bytes.

They go by the thousand, so they are packed here (4 us) and not by pyroute2 (370 us, and 0.4 s
to import).

Source: include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_conntrack_tcp.h
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from offload.conntrack import FlowTuple
from offload.flower import IPPROTO_ICMP, IPPROTO_ICMPV6

NETLINK_NETFILTER = 12
GROUP_DESTROY = 3  # NFNLGRP_CONNTRACK_DESTROY
TCP_ESTABLISHED = 3  # TCP_CONNTRACK_ESTABLISHED

_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_NEW, _GET, _DELETE = _SUBSYSTEM, _SUBSYSTEM + 1, _SUBSYSTEM + 2
_ERROR = 2  # NLMSG_ERROR
_REQUEST = 1
_HEADER = Struct("=IHHII")
_FAMILY = Struct("!BBH")
_ATTRIBUTE = Struct("=HH")
_NUMBER = Struct("=i")
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_IPV4_BYTES = 4

_TUPLE_ORIG, _PROTOINFO, _ZONE, _LABELS, _LABELS_MASK = 1, 4, 18, 22, 23
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SRC, _IP_DST = {4: 1, 16: 3}, {4: 2, 16: 4}
_PROTO_NUM, _SPORT, _DPORT = 1, 2, 3
_ICMP = {IPPROTO_ICMP: (4, 5, 6), IPPROTO_ICMPV6: (7, 8, 9)}  # id, type, code
_PROTOINFO_TCP, _TCP_STATE, _FLAGS_ORIGINAL, _FLAGS_REPLY = 1, 1, 4, 5
_BE_LIBERAL = 0x08
_LABEL_BYTES = 16


class Gone(NamedTuple):
    """A connection that conntrack no longer has."""

    zone: int
    original: FlowTuple


def delete(zone: int, original: FlowTuple) -> bytes:
    """Remove a connection."""
    return _about(_DELETE, zone, original)


def get(zone: int, original: FlowTuple) -> bytes:
    """Ask for a connection; ``failures`` is empty if it is there, ``tcp_states`` if not."""
    return _about(_GET, zone, original)


def set_label(zone: int, original: FlowTuple, value: int, mask: int) -> bytes:
    """Set the label's bits of ``mask`` to those of ``value``."""
    bits = _attribute(_LABELS, value.to_bytes(_LABEL_BYTES, "little"))
    bits += _attribute(_LABELS_MASK, mask.to_bytes(_LABEL_BYTES, "little"))
    return _about(_NEW, zone, original, bits)


def be_liberal(zone: int, original: FlowTuple) -> bytes:
    """Let a TCP connection's sequence numbers be what they are, in both directions.

    Source: net/sched/act_ct.c:tcf_ct_flow_table_add (IP_CT_TCP_FLAG_BE_LIBERAL)
    """
    flags = bytes((_BE_LIBERAL, _BE_LIBERAL))
    both = _attribute(_FLAGS_ORIGINAL, flags) + _attribute(_FLAGS_REPLY, flags)
    tcp = _attribute(_PROTOINFO_TCP | _NESTED, both)
    return _about(_NEW, zone, original, _attribute(_PROTOINFO | _NESTED, tcp))


def failures(data: bytes) -> Iterator[int]:
    """The errors among the kernel's answers, as positive errno values."""
    for kind, body in _messages(data):
        if kind == _ERROR and (code := -_NUMBER.unpack_from(body)[0]):
            yield code


def destroyed(data: bytes) -> Iterator[Gone]:
    """The connections that events tell of."""
    for kind, body in _messages(data):
        if kind == _DELETE:
            attributes = _attributes(body[_FAMILY.size :])
            zone = int.from_bytes(attributes.get(_ZONE, b""), "big")
            yield Gone(zone, _tuple(attributes[_TUPLE_ORIG]))


def tcp_states(data: bytes) -> Iterator[int]:
    """The states of the TCP connections among the kernel's answers."""
    for kind, body in _messages(data):
        if kind == _NEW:
            info = _attributes(body[_FAMILY.size :]).get(_PROTOINFO, b"")
            tcp = _attributes(info).get(_PROTOINFO_TCP, b"")
            yield from _attributes(tcp).get(_TCP_STATE, b"")


def _about(kind: int, zone: int, original: FlowTuple, change: bytes = b"") -> bytes:
    """A request about the connection with that original tuple."""
    four = len(original.src) == _IPV4_BYTES
    family = socket.AF_INET if four else socket.AF_INET6
    body = _FAMILY.pack(family, 0, 0)
    body += _attribute(_TUPLE_ORIG | _NESTED, _tuple_attributes(original))
    body += _attribute(_ZONE, zone.to_bytes(2, "big")) + change
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, 0, 0) + body


def _tuple_attributes(original: FlowTuple) -> bytes:
    src, dst, proto, sport, dport = original
    addresses = _attribute(_IP_SRC[len(src)], src) + _attribute(_IP_DST[len(dst)], dst)
    transport = _attribute(_PROTO_NUM, bytes((proto,)))
    if proto in _ICMP:
        number, kind, code = _ICMP[proto]
        transport += _attribute(number, sport.to_bytes(2, "big"))
        transport += _attribute(kind, bytes((dport >> 8,)))
        transport += _attribute(code, bytes((dport & 0xFF,)))
    else:
        transport += _attribute(_SPORT, sport.to_bytes(2, "big"))
        transport += _attribute(_DPORT, dport.to_bytes(2, "big"))
    nested = _attribute(_TUPLE_IP | _NESTED, addresses)
    return nested + _attribute(_TUPLE_PROTO | _NESTED, transport)


def _tuple(data: bytes) -> FlowTuple:
    nested = _attributes(data)
    addresses, transport = _attributes(nested[_TUPLE_IP]), nested[_TUPLE_PROTO]
    src, dst = (addresses.get(n) or addresses[n + 2] for n in (1, 2))
    parts = {
        kind: int.from_bytes(value, "big")
        for kind, value in _attributes(transport).items()
    }
    proto = parts[_PROTO_NUM]
    if proto in _ICMP:
        number, kind, code = (parts.get(each, 0) for each in _ICMP[proto])
        return FlowTuple(src, dst, proto, number, kind << 8 | code)
    return FlowTuple(src, dst, proto, parts.get(_SPORT, 0), parts.get(_DPORT, 0))


def _attribute(kind: int, value: bytes) -> bytes:
    """An attribute; its length does not count the padding."""
    header = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind)
    return header + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        found[kind & _TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3
