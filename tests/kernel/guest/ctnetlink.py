"""Read conntrack's own messages: the events of a namespace, and the list of its entries.

A raw netlink socket rather than `conntrack -E`: what a packet caused is in the socket when the
packet has been dealt with, and a process would have to be waited for.

Source: include/uapi/linux/netfilter/{nfnetlink_conntrack,nf_conntrack_common,nf_conntrack_tcp}.h
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

from tests.kernel.cases.outcome import (
    Connection,
    Counters,
    Event,
    EventKind,
    Tuple,
)

NETLINK_NETFILTER = 12
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
GROUPS = (1, 2, 3)  # NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY
CT_NEW, CT_GET, CT_DELETE = 0x100, 0x101, 0x102
NLM_REQUEST_DUMP = 0x301
NLM_REQUEST_ACK = 0x5
NLM_CREATE = 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
HEADER = struct.Struct("=IHHII")

STATUS = (
    *("EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT", "DST_NAT"),
    *("SEQ_ADJUST", "SRC_NAT_DONE", "DST_NAT_DONE", "DYING", "FIXED_TIMEOUT"),
    *("TEMPLATE", "UNTRACKED", "HELPER", "OFFLOAD", "HW_OFFLOAD"),
)
TCP_STATES = (
    *("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT"),
    *("LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"),
)
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_STATUS, CTA_PROTOINFO = 1, 2, 3, 4
CTA_TIMEOUT, CTA_MARK, CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY = 7, 8, 9, 10
CTA_ZONE, CTA_LABELS = 18, 22
ICMP_ID, ICMP_TYPE, ICMP_CODE = 4, 5, 6
ICMP6_ID, ICMP6_TYPE, ICMP6_CODE = 7, 8, 9

Attributes = dict[int, bytes]


def subscribe() -> socket.socket:
    """Return a socket that gets the events of the current namespace."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    events.bind((0, 0))
    events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for group in GROUPS:
        events.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    events.setblocking(False)
    return events


def pending(events: socket.socket) -> tuple[Event, ...]:
    """Return the events that came since the last call."""
    found: list[Event] = []
    while True:
        try:
            data = events.recv(1 << 16)
        except BlockingIOError:
            return tuple(found)
        for kind, flags, body in _messages(data):
            found.append(Event(_event_kind(kind, flags), connection(body)))


def listing() -> tuple[Connection, ...]:
    """Return all entries of the current namespace, in the kernel's order."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as dump:
        dump.bind((0, 0))
        dump.send(HEADER.pack(20, CT_GET, NLM_REQUEST_DUMP, 1, 0) + bytes(4))
        found: list[Connection] = []
        while True:
            for kind, _, body in _messages(dump.recv(1 << 16)):
                if kind == NLMSG_DONE:
                    return tuple(found)
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", body)[0], "conntrack dump")
                found.append(connection(body))


def flush() -> None:
    """Delete all entries of the current namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as ask:
        ask.bind((0, 0))
        ask.send(HEADER.pack(20, CT_DELETE, NLM_REQUEST_ACK, 1, 0) + bytes(4))
        ((_, _, body),) = _messages(ask.recv(1 << 16))
        if code := struct.unpack_from("=i", body)[0]:
            raise OSError(-code, "conntrack flush")


def connection(body: bytes) -> Connection:
    """Read one message's payload, nfgenmsg and attributes."""
    attributes = _attributes(body[4:])
    original, protocol = _tuple(attributes[CTA_TUPLE_ORIG])
    reply, _ = _tuple(attributes[CTA_TUPLE_REPLY])
    return Connection(
        protocol=protocol,
        original=original,
        reply=reply,
        status=_status(_be(attributes.get(CTA_STATUS, b""))),
        zone=_be(attributes.get(CTA_ZONE, b"")),
        mark=_be(attributes.get(CTA_MARK, b"")),
        label=_label(attributes.get(CTA_LABELS, b"")),
        state=_state(attributes.get(CTA_PROTOINFO)),
        timeout_s=_optional(attributes.get(CTA_TIMEOUT)),
        original_counters=_counters(attributes.get(CTA_COUNTERS_ORIG)),
        reply_counters=_counters(attributes.get(CTA_COUNTERS_REPLY)),
    )


def _event_kind(kind: int, flags: int) -> EventKind:
    if kind == CT_DELETE:
        return EventKind.DESTROY
    return EventKind.NEW if flags & NLM_CREATE else EventKind.UPDATE


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, _, _ = HEADER.unpack_from(data, offset)
        yield kind, flags, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes) -> Attributes:
    found: Attributes = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _tuple(data: bytes) -> tuple[Tuple, int]:
    """Read a CTA_TUPLE_: the direction and its protocol."""
    outer = _attributes(data)
    addresses = _attributes(outer[1])
    proto = _attributes(outer[2])
    src, dst = (addresses.get(n) or addresses[n + 2] for n in (1, 2))
    sport, dport = _ports(proto)
    return Tuple(_address(src), _address(dst), sport, dport), proto[1][0]


def _address(data: bytes) -> str:
    return str(ipaddress.ip_address(data))


def _ports(proto: Attributes) -> tuple[int, int]:
    for ident, kind, code in (
        (ICMP_ID, ICMP_TYPE, ICMP_CODE),
        (ICMP6_ID, ICMP6_TYPE, ICMP6_CODE),
    ):
        if ident in proto:
            return _be(proto[ident]), proto[kind][0] << 8 | proto[code][0]
    return _be(proto.get(2, b"")), _be(proto.get(3, b""))


def _state(data: bytes | None) -> str | None:
    """Read the TCP state, if this is TCP and the kernel tells it."""
    tcp = _attributes(data or b"").get(1)
    state = _attributes(tcp or b"").get(1)
    return None if state is None else TCP_STATES[state[0]]


def _counters(data: bytes | None) -> Counters | None:
    if data is None:
        return None
    attributes = _attributes(data)
    return Counters(_be(attributes[1]), _be(attributes[2]))


def _status(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(STATUS) if bits >> bit & 1)


def _label(data: bytes) -> str:
    """Read a label as tc writes it: 128 bits in hex, or nothing if they are all clear."""
    return data.hex() if any(data) else ""


def _optional(data: bytes | None) -> int | None:
    return None if data is None else _be(data)


def _be(data: bytes) -> int:
    return int.from_bytes(data, "big")
