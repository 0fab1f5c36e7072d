"""What is asked of the switch's conntrack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import fields
from controller.openflow import conntrack, messages
from controller.rules import (
    DeleteConnection,
    OfferAgain,
    RestoreConnection,
    SetField,
    Table,
    Track,
    Translate,
)
from offload.conntrack import FlowTuple
from offload.flower import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP
from tests.unit.connections import TCP, TCP6, UDP, UDP6, flow_tuple
from tests.unit.controller import read_back

HEADER_BYTES = 8
CONTROLLER_PORT = 0xFFFFFFFD

# What ovs-ofctl 3.1 sends for `ct-flush br-int zone=5 'ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,
# ct_nw_proto=6,ct_tp_src=45236,ct_tp_dst=5201'`, after the OpenFlow header.
FLUSH = bytes.fromhex(
    "00 00 23 20 00 00 00 20 06 00 00 00 00 00 00 00 00 00 00 48 00 00 00 00"
    "00 00 00 14 00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 00 01 00 00 00 00"
    "00 01 00 14 00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 00 02 00 00 00 00"
    "00 02 00 08 b0 b4 00 00 00 03 00 08 14 51 00 00 00 02 00 08 00 05 00 00"
)


def body(data: bytes) -> bytes:
    """What follows the header, which must tell its length."""
    assert data[:2] == b"\x04\x04", "OpenFlow 1.3, experimenter"
    assert int.from_bytes(data[2:4], "big") == len(data)
    return data[HEADER_BYTES:]


def test_a_connection_is_deleted_as_ovs_ofctl_does_it() -> None:
    original = flow_tuple("10.0.0.1", "10.0.0.2", sport=45236, dport=5201)
    assert body(messages.encoded(1, [DeleteConnection(5, original)])) == FLUSH


def test_an_ipv6_connection_is_deleted() -> None:
    deleted = body(conntrack.delete_connection(DeleteConnection(0, TCP6)))
    assert TCP6.src in deleted and TCP6.dst in deleted
    assert deleted.endswith(bytes.fromhex("00 02 00 08 00 00 00 00"))


def test_icmp_has_an_id_a_type_and_a_code_in_place_of_ports() -> None:
    """Source: OVS nicira-ext.h, enum nx_ct_flush_tuple_tlv_type"""
    echo = flow_tuple(proto=IPPROTO_ICMP, sport=77, dport=8 << 8 | 1)
    deleted = body(conntrack.delete_connection(DeleteConnection(0, echo)))
    properties = bytes.fromhex(
        "00 04 00 08 00 4d 00 00  00 05 00 05 08 00 00 00  00 06 00 05 01 00 00 00"
    )
    assert properties in deleted


def test_an_icmpv6_connection_is_not_asked_for() -> None:
    """It would end OVS 3.1."""
    echo = flow_tuple(proto=IPPROTO_ICMPV6, sport=77, dport=128 << 8)
    assert not conntrack.delete_connection(DeleteConnection(0, echo))


def test_a_zone_or_everything_is_flushed() -> None:
    fixed = bytes.fromhex("00 00 23 20 00 00 00 20 00 00 00 00 00 00 00 00")
    assert body(conntrack.flush(0, b"", None)) == fixed
    zone = bytes.fromhex("00 02 00 08 00 07 00 00")
    assert body(conntrack.flush(0, b"", 7)) == fixed + zone


def test_a_packet_that_unmarks_its_connection() -> None:
    read = read_back.packet_out(messages.encoded(1, [OfferAgain(7, TCP)]))
    assert read.in_port == CONTROLLER_PORT
    assert read_back.plain_actions(read.actions) == read_back.plain_actions(
        (SetField(fields.ZONE, 7), Track(7, table=Table.OFFER_AGAIN))
    )
    assert read.frame == conntrack.frame(TCP)


def internet_sum(data: bytes) -> int:
    """The one's complement sum: 0xffff where a checksum within is right."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(
    size=st.sampled_from([4, 16]),
    proto=st.sampled_from([6, 17]),
    ends=st.data(),
    ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
)
def test_frames_have_right_checksums(
    size: int, proto: int, ends: st.DataObject, ports: tuple[int, int]
) -> None:
    address = st.binary(min_size=size, max_size=size)
    original = FlowTuple(ends.draw(address), ends.draw(address), proto, *ports)
    frame = conntrack.frame(original)
    header = 20 if size == 4 else 40
    packet, segment = frame[14:], frame[14 + header :]
    if size == 4:
        assert internet_sum(packet[:20]) == 0xFFFF
        assert int.from_bytes(packet[2:4], "big") == len(packet)
    else:
        assert int.from_bytes(packet[4:6], "big") == len(segment)
    pseudo = original.src + original.dst + len(segment).to_bytes(4, "big")
    assert internet_sum(pseudo + proto.to_bytes(4, "big") + segment) == 0xFFFF
    checksum_at = 16 if proto == 6 else 6
    assert segment[checksum_at : checksum_at + 2] != b"\0\0", "0 would mean: none"
    assert segment[:4] == b"".join(port.to_bytes(2, "big") for port in ports)


@pytest.mark.parametrize("original", [TCP, TCP6, UDP, UDP6], ids=str)
def test_a_connection_is_made_anew_by_a_packet_each_way(original: FlowTuple) -> None:
    made = RestoreConnection(7, 3, 4, original, original.inverted())
    there, back, *again = map(
        read_back.packet_out, read_back.messages(messages.encoded(1, [made]))
    )
    told = 4 | fields.Told.OFFERED << fields.TOLD.start
    sets = (SetField(fields.CONNTRACK_MARK, 3), SetField(fields.CONNTRACK_LABEL, told))
    commit = Track(7, commit=True, sets=sets)
    assert read_back.plain_actions(there.actions) == read_back.plain_actions((commit,))
    assert back.actions == (Track(7),)
    assert there.frame == conntrack.frame(original)
    assert back.frame == conntrack.frame(original.inverted())
    third = [(each.frame, each.actions) for each in again]
    establishes = [(there.frame, (Track(7),))]
    assert third == (establishes if original.proto == IPPROTO_TCP else [])


@pytest.mark.parametrize(
    ("reply", "nat"),
    [
        (
            flow_tuple("10.0.0.3", "7.7.7.7", sport=80, dport=61000),
            Translate(True, "7.7.7.7", "7.7.7.7", 61000, 61000),
        ),
        (
            flow_tuple("10.0.0.4", "10.0.0.1", sport=8080, dport=40000),
            Translate(False, "10.0.0.4", "10.0.0.4", 8080, 8080),
        ),
    ],
)
def test_with_the_nat_it_had(reply: FlowTuple, nat: Translate) -> None:
    made = RestoreConnection(0, 0, 0, TCP, reply)
    there, *_ = map(
        read_back.packet_out, read_back.messages(messages.encoded(1, [made]))
    )
    [track] = there.actions
    assert isinstance(track, Track) and track.nat == nat
