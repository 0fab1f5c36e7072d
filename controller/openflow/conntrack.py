"""What is asked of the switch's conntrack: deletion, and to offer again."""

from __future__ import annotations

from ipaddress import ip_address
from struct import Struct, unpack

from ryu.ofproto import ofproto_v1_3 as ofp

from controller import fields
from controller.openflow import encode
from controller.rules import (
    AckBoth,
    DeleteConnection,
    OfferAgain,
    RestoreConnection,
    SetField,
    Table,
    Track,
    Translate,
)
from offload.conntrack import FlowTuple
from offload.flower import (
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
)

_IPV4_BYTES = 4
_MAPPED = bytes(10) + b"\xff\xff"  # IPv4 addresses travel as mapped IPv6 ones

# Source: OVS nicira-ext.h, struct nx_ct_flush (since OVS 3.1)
_NX_VENDOR = 0x2320
_NXT_CT_FLUSH = 32
_EXPERIMENTER = Struct("!BBHIIIB7x")
_PROPERTY = Struct("!HH")
_ORIGINAL_TUPLE = 0
_ZONE_ID = 2
_SRC, _DST, _SPORT, _DPORT, _ICMP_ID, _ICMP_TYPE, _ICMP_CODE = range(7)

_ETHERNET = Struct("!6s6sH")
_IPV4 = Struct("!BBHHHBBH4s4s")
_IPV6 = Struct("!IHBB16s16s")
_TCP = Struct("!HHIIBBHHH")
_UDP = Struct("!HHHH")
_MAC = bytes(6)
_TCP_ACK = 0x10
_TTL = 64


def delete_connection(message: DeleteConnection) -> bytes:
    """NXT_CT_FLUSH of one connection, by zone and original tuple."""
    original = message.original
    if original.proto == IPPROTO_ICMPV6:
        # Model: it stays until it times out.  OVS 3.1 to 3.3 abort on an ICMPv6 tuple
        # (lib/conntrack.c:tuple_to_conn_key reverses its type as if it were ICMP's).
        return b""
    ends = _address(_SRC, original.src) + _address(_DST, original.dst)
    nested = _nested(ends + _transport(original))
    return flush(original.proto, nested, message.zone)


def delete_all() -> bytes:
    """NXT_CT_FLUSH of all connections of all zones."""
    return flush(0, b"", None)


def flush(proto: int, original: bytes, zone: int | None) -> bytes:
    """NXT_CT_FLUSH; with no tuple a whole zone, with no zone everything."""
    body = original
    if zone is not None:
        body += _number(_ZONE_ID, zone)
    length = _EXPERIMENTER.size + len(body)
    header = _EXPERIMENTER.pack(
        ofp.OFP_VERSION,
        ofp.OFPT_EXPERIMENTER,
        length,
        0,
        _NX_VENDOR,
        _NXT_CT_FLUSH,
        proto,
    )
    return header + body


def _number(kind: int, value: int) -> bytes:
    """A 16-bit property; its length counts the padding."""
    return _PROPERTY.pack(kind, 8) + value.to_bytes(2, "big") + bytes(2)


def _address(kind: int, address: bytes) -> bytes:
    """An address property; its length does not count the padding."""
    value = _MAPPED + address if len(address) == _IPV4_BYTES else address
    return _PROPERTY.pack(kind, _PROPERTY.size + len(value)) + value + bytes(4)


def _byte(kind: int, value: int) -> bytes:
    """An 8-bit property; its length does not count the padding."""
    return _PROPERTY.pack(kind, 5) + bytes((value, 0, 0, 0))


def _transport(original: FlowTuple) -> bytes:
    """Ports, or what ICMP has: OVS does not survive ports for ICMP."""
    if original.proto not in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        return _number(_SPORT, original.sport) + _number(_DPORT, original.dport)
    kind, code = divmod(original.dport, 256)
    return (
        _number(_ICMP_ID, original.sport)
        + _byte(_ICMP_TYPE, kind)
        + _byte(_ICMP_CODE, code)
    )


def _nested(properties: bytes) -> bytes:
    header = _PROPERTY.pack(_ORIGINAL_TUPLE, 8 + len(properties))
    return header + bytes(4) + properties


def offer_again(message: OfferAgain) -> bytes:
    """A packet of the connection, made here, that unmarks it in conntrack."""
    return encode.packet_out(
        frame(message.original),
        (
            SetField(fields.ZONE, message.zone),
            Track(message.zone, table=Table.OFFER_AGAIN),
        ),
    )


def ack_both(message: AckBoth) -> bytes:
    """A bare ACK of each direction, made here; they never leave the switch."""
    look_up = (Track(message.zone),)
    there = encode.packet_out(frame(message.original), look_up)
    return there + encode.packet_out(frame(message.reply), look_up)


def restore(message: RestoreConnection) -> bytes:
    """A packet of each direction, made here: the first commits, the second confirms.

    TCP's reply end is established by the packet after that; till then OVS would keep
    the connection for a minute only.
    """
    label = message.label | fields.Told.OFFERED << fields.TOLD.start
    commit = Track(
        message.zone,
        commit=True,
        sets=(
            SetField(fields.CONNTRACK_MARK, message.mark),
            SetField(fields.CONNTRACK_LABEL, label),
        ),
        nat=_mapping(message.original, message.reply),
    )
    there = encode.packet_out(frame(message.original), (commit,))
    look_up = (Track(message.zone),)
    packets = there + encode.packet_out(frame(message.reply), look_up)
    if message.original.proto == IPPROTO_TCP:
        packets += encode.packet_out(frame(message.original), look_up)
    return packets


def _mapping(original: FlowTuple, reply: FlowTuple) -> Translate | None:
    """The NAT between two tuples.  Model: of one end only, as one ct() can."""
    target = reply.inverted()
    for source, before, after in (
        (True, (original.src, original.sport), (target.src, target.sport)),
        (False, (original.dst, original.dport), (target.dst, target.dport)),
    ):
        if before != after:
            address = str(ip_address(after[0]))
            return Translate(source, address, address, after[1], after[1])
    return None


def frame(original: FlowTuple) -> bytes:
    """An empty packet of a connection (a bare ACK, for TCP), checksums right."""
    if original.proto == IPPROTO_TCP:
        segment = _TCP.pack(
            original.sport, original.dport, 0, 0, 0x50, _TCP_ACK, 0, 0, 0
        )
        checksum_at = 16
    else:
        segment = _UDP.pack(original.sport, original.dport, _UDP.size, 0)
        checksum_at = 6
    length = len(segment)
    pseudo = original.src + original.dst + length.to_bytes(4, "big")
    pseudo += original.proto.to_bytes(4, "big")
    checksum = _checksum(pseudo + segment).to_bytes(2, "big")
    segment = segment[:checksum_at] + checksum + segment[checksum_at + 2 :]
    if len(original.src) == _IPV4_BYTES:
        return _ETHERNET.pack(_MAC, _MAC, ETH_P_IP) + _ipv4(original, length) + segment
    header = _IPV6.pack(
        6 << 28, length, original.proto, _TTL, original.src, original.dst
    )
    return _ETHERNET.pack(_MAC, _MAC, ETH_P_IPV6) + header + segment


def _ipv4(original: FlowTuple, length: int) -> bytes:
    values = [0x45, 0, _IPV4.size + length, 0, 0, _TTL, original.proto, 0]
    addresses = (original.src, original.dst)
    values[7] = _checksum(_IPV4.pack(*values, *addresses))
    return _IPV4.pack(*values, *addresses)


def _checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes; never 0, UDP's "none"."""
    total = sum(unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF
