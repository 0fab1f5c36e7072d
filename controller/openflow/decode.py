"""What the switch says, as values.

Packet copies, removals and counters come by the thousand, so they are read here
and Ryu never sees them (``channel.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from ryu.ofproto import ofproto_v1_3 as ofp

from controller.fields import LABEL_BITS, flower_ct_state
from controller.offers import CLOSING_COPY, UNANSWERED_COPY
from controller.openflow import encode
from controller.rules import Owner
from offload.conntrack import TCP_FIN, FlowTuple, TrackedPacket
from offload.flower import ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP, IPPROTO_UDP

_HEADER_BYTES = 8
_PACKET_IN = Struct(
    "!IHBBQHH"
)  # buffer, total, reason, table, cookie, match type, length
_REMOVED = Struct("!QHBBIIHHQQ")
_STATS = Struct("!HBxIIHHHHxxxxQQQ")
_MULTIPART = Struct("!HHxxxx")
_OXM = Struct("!HBB")
_PORTS = Struct("!HH")
_ERROR = Struct("!HH")
_NXM_1 = 0x0001
_IPV6_HEADER_BYTES = 40
_READ_BYTES = {IPPROTO_TCP: 14, IPPROTO_UDP: 4}

_CT_STATE = 105
_CT_ZONE = 106
_CT_MARK = 107
_CT_LABEL = 108
_CT_PROTO = 119
_CT_SRC = (120, 122)
_CT_DST = (121, 123)
_CT_SPORT = 124
_CT_DPORT = 125
_LABEL_MASK = (1 << LABEL_BITS) - 1


class Removed(NamedTuple):
    """A rule that is gone: whose it was, why, and what it had counted."""

    epoch: int
    owner: int
    owner_id: int
    table: int
    idle: bool
    packets: int
    bytes: int
    idle_timeout_s: int


class Counted(NamedTuple):
    """One rule's counters."""

    owner: int
    owner_id: int
    table: int
    packets: int
    bytes: int


class Failed(NamedTuple):
    """A message the switch refused; the rule's owner if it was a flow-mod."""

    type: int
    code: int
    owner: int | None
    owner_id: int


def packet_in(buf: bytes) -> TrackedPacket | None:
    """The tracked packet a copy is of; None for what act_ct cannot read."""
    *_, of_cookie, _, length = _PACKET_IN.unpack_from(buf, _HEADER_BYTES)
    start = _HEADER_BYTES + _PACKET_IN.size
    metadata = _nxm_fields(buf, start, start + length - 4)
    data_at = start - 4 + (length + 7) // 8 * 8 + 2
    original = _original_tuple(metadata)
    if original is None:
        return None
    copy_of = encode.owner_of(of_cookie)
    closing = copy_of == (Owner.PIPELINE, CLOSING_COPY)
    read, flags = _frame(buf[data_at:], original)
    return TrackedPacket(
        zone=_number(metadata, _CT_ZONE),
        state=flower_ct_state(_number(metadata, _CT_STATE)),
        mark=_number(metadata, _CT_MARK),
        label=_number(metadata, _CT_LABEL) & _LABEL_MASK,
        original=original,
        tuple=read,
        tcp_flags=flags | (TCP_FIN if closing else 0),
        unanswered=copy_of == (Owner.PIPELINE, UNANSWERED_COPY),
    )


def _nxm_fields(buf: bytes, at: int, end: int) -> dict[int, bytes]:
    """OVS's own fields of a match, by number."""
    found = {}
    read = _OXM.unpack_from
    while at < end:
        oxm_class, number, size = read(buf, at)
        at += 4
        if oxm_class == _NXM_1:
            # Masked, the mask follows, as long as the value.
            found[number >> 1] = buf[at : at + (size >> (number & 1))]
        at += size
    return found


def _number(found: dict[int, bytes], number: int) -> int:
    return int.from_bytes(found.get(number, b""), "big")


def _original_tuple(found: dict[int, bytes]) -> FlowTuple | None:
    src = found.get(_CT_SRC[0]) or found.get(_CT_SRC[1])
    dst = found.get(_CT_DST[0]) or found.get(_CT_DST[1])
    if src is None or dst is None:
        return None
    return FlowTuple(
        src,
        dst,
        _number(found, _CT_PROTO),
        _number(found, _CT_SPORT),
        _number(found, _CT_DPORT),
    )


def _frame(frame: bytes, original: FlowTuple) -> tuple[FlowTuple, int]:
    """A frame's own tuple and TCP flags; ``original`` where it shows no ports."""
    at = 12
    eth_type = int.from_bytes(frame[at : at + 2], "big")
    if eth_type == ETH_P_8021Q:
        at += 4
        eth_type = int.from_bytes(frame[at : at + 2], "big")
    at += 2
    header = frame[at : at + _IPV6_HEADER_BYTES].ljust(_IPV6_HEADER_BYTES, b"\0")
    if eth_type == ETH_P_IP:
        proto, src, dst = header[9], header[12:16], header[16:20]
        at += (header[0] & 0xF) * 4
    elif eth_type == ETH_P_IPV6:
        proto, src, dst = header[6], header[8:24], header[24:40]
        at += _IPV6_HEADER_BYTES
    else:
        return original, 0
    if proto not in _READ_BYTES or len(frame) < at + _READ_BYTES[proto]:
        return original, 0
    sport, dport = _PORTS.unpack_from(frame, at)
    flags = frame[at + 13] if proto == IPPROTO_TCP else 0
    return FlowTuple(src, dst, proto, sport, dport), flags


def removed(buf: bytes) -> Removed:
    """A flow-removed message."""
    of_cookie, _, reason, table, _, _, idle_s, _, packets, octets = (
        _REMOVED.unpack_from(buf, _HEADER_BYTES)
    )
    owner, owner_id = encode.owner_of(of_cookie)
    return Removed(
        of_cookie >> encode.EPOCH_SHIFT,
        owner,
        owner_id,
        table,
        reason == ofp.OFPRR_IDLE_TIMEOUT,
        packets,
        octets,
        idle_s,
    )


def flow_stats(buf: bytes) -> tuple[list[Counted], bool]:
    """The counters in one part of a reply, and whether more parts follow."""
    _, flags = _MULTIPART.unpack_from(buf, _HEADER_BYTES)
    return [*_counted(buf)], bool(flags & ofp.OFPMPF_REPLY_MORE)


def _counted(buf: bytes) -> Iterator[Counted]:
    at = _HEADER_BYTES + _MULTIPART.size
    while at < len(buf):
        length, table, *_, of_cookie, packets, octets = _STATS.unpack_from(buf, at)
        yield Counted(*encode.owner_of(of_cookie), table, packets, octets)
        at += length


def error(buf: bytes) -> Failed:
    """An error message, which quotes the beginning of the one that failed."""
    kind, code = _ERROR.unpack_from(buf, _HEADER_BYTES)
    data = buf[_HEADER_BYTES + _ERROR.size :]
    is_flow_mod = len(data) >= 16 and data[1] == ofp.OFPT_FLOW_MOD
    if not is_flow_mod:
        return Failed(kind, code, None, 0)
    owner, owner_id = encode.owner_of(int.from_bytes(data[8:16], "big"))
    return Failed(kind, code, owner, owner_id)


def xid(buf: bytes) -> int:
    """Which request a message answers."""
    return int.from_bytes(buf[4:8], "big")
