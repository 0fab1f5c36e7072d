"""What the switch says, from bytes built as OpenFlow 1.3 has them."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import fields
from controller.openflow import conntrack, decode, encode, oxm
from controller.openflow.decode import Counted, Failed, Removed
from controller.rules import AddRule, Match, Owner, Rule, Table
from offload.conntrack import FlowTuple, TrackedPacket
from offload.flower import CtState
from tests.unit.connections import ESTABLISHED, TCP, TCP6, UDP, UDP6, flow_tuple

# After controller.openflow, which makes Ryu fit for it.
from ryu.ofproto import ofproto_v1_3 as ofp  # isort: skip

HEADER = bytes(8)
VLAN_AT = 12


def packet_in(
    original: FlowTuple, frame: bytes, state: CtState = ESTABLISHED, **ct: int
) -> bytes:
    """A packet-in as OVS makes it: the metadata in its match, then the frame."""
    four = len(original.src) == 4
    src = fields.CONNTRACK_IPV4_SRC if four else fields.CONNTRACK_IPV6_SRC
    dst = fields.CONNTRACK_IPV4_DST if four else fields.CONNTRACK_IPV6_DST
    zone = fields.Field("zone", "ct_zone", 16)
    matches = [
        Match(fields.IN_PORT, 1),
        Match(fields.TUN_ID, 98),
        Match(fields.ZONE, 3),
        Match(fields.CONNTRACK_STATE, fields.ovs_ct_state(state)),
        Match(zone, ct.get("zone", 0)),
        Match(fields.CONNTRACK_MARK, ct.get("mark", 0)),
        Match(fields.CONNTRACK_LABEL, ct.get("label", 0), ct.get("label_mask")),
        Match(fields.CONNTRACK_PROTO, original.proto),
        Match(src, int.from_bytes(original.src, "big")),
        Match(dst, int.from_bytes(original.dst, "big")),
        Match(fields.CONNTRACK_SPORT, original.sport),
        Match(fields.CONNTRACK_DPORT, original.dport),
    ]
    return _packet_in(oxm.match(matches), frame)


def _packet_in(match: bytes, frame: bytes) -> bytes:
    fixed = pack("!IHBBQ", ofp.OFP_NO_BUFFER, len(frame), 1, Table.SW_TRACK, 0)
    return HEADER + fixed + match + bytes(2) + frame


def tagged(frame: bytes) -> bytes:
    """The frame with a VLAN tag."""
    return frame[:VLAN_AT] + b"\x81\x00\x00\x05" + frame[VLAN_AT:]


@pytest.mark.parametrize("original", [TCP, TCP6, UDP, UDP6], ids=str)
@pytest.mark.parametrize("reply", [False, True])
@pytest.mark.parametrize("tag", [False, True])
def test_a_copy(original: FlowTuple, reply: bool, tag: bool) -> None:
    state = ESTABLISHED | CtState.RPL if reply else ESTABLISHED
    read = original.inverted() if reply else original
    frame = conntrack.frame(read)
    told = fields.Told.OFFERED << fields.TOLD.start
    copy = packet_in(
        original,
        tagged(frame) if tag else frame,
        state,
        zone=5,
        mark=7,
        label=9 | told,
    )
    flags = 0x10 if original.proto == 6 else 0
    assert decode.packet_in(copy) == TrackedPacket(
        5, state, 7, 9, original, read, flags
    )


@settings(max_examples=40)
@given(st.data())
def test_whatever_the_connection(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([4, 16]))
    address, port = st.binary(min_size=size, max_size=size), st.integers(0, 65535)
    proto = data.draw(st.sampled_from([6, 17]))
    made = st.builds(FlowTuple, address, address, st.just(proto), port, port)
    original, read = data.draw(made), data.draw(made)
    ct = {
        "zone": data.draw(port),
        "mark": data.draw(st.integers(0, 2**32 - 1)),
        "label": data.draw(st.integers(0, 2**124 - 1)),
    }
    state = CtState(data.draw(st.integers(0, 63)))
    found = decode.packet_in(packet_in(original, conntrack.frame(read), state, **ct))
    assert found is not None
    assert (found.original, found.tuple, found.state) == (original, read, state)
    assert {name: getattr(found, name) for name in ct} == ct


def test_ip_options_are_passed_over() -> None:
    frame = bytearray(conntrack.frame(TCP))
    frame[14] = 0x46
    frame[34:34] = bytes(4)
    found = decode.packet_in(packet_in(TCP, bytes(frame)))
    assert found is not None and found.tuple == TCP and found.tcp_flags == 0x10


def test_a_masked_field_of_the_metadata() -> None:
    found = decode.packet_in(
        packet_in(TCP, conntrack.frame(TCP), label=5, label_mask=7)
    )
    assert found is not None and found.label == 5


def test_what_has_no_ports_reads_as_its_connection() -> None:
    echo = flow_tuple(proto=1, sport=77, dport=8 << 8)
    frame = bytearray(conntrack.frame(TCP))
    frame[14 + 9] = 1
    found = decode.packet_in(packet_in(echo, bytes(frame)))
    assert found is not None and found.tuple == found.original == echo
    not_ip = decode.packet_in(packet_in(TCP, bytes(12) + b"\x08\x06" + bytes(28)))
    assert not_ip is not None and not_ip.tuple == TCP and not not_ip.tcp_flags


def test_without_a_tuple_it_is_nothing_to_act_ct() -> None:
    untracked = oxm.match([Match(fields.IN_PORT, 1)])
    assert decode.packet_in(_packet_in(untracked, conntrack.frame(TCP))) is None
    half = oxm.match([Match(fields.CONNTRACK_IPV4_SRC, 1)])
    assert decode.packet_in(_packet_in(half, conntrack.frame(TCP))) is None


@pytest.mark.parametrize("length", [0, 1, 13, 20, 33, 35])
def test_a_frame_cut_short_is_no_end_of_the_driver(length: int) -> None:
    """A switch copies what it gets: runts too."""
    decode.packet_in(packet_in(TCP, conntrack.frame(TCP)[:length]))


@given(
    st.integers(1, 255), st.sampled_from(Owner), st.integers(0, 2**48 - 1), st.data()
)
def test_a_removal(epoch: int, owner: Owner, id_: int, data: st.DataObject) -> None:
    table, idle_s = data.draw(st.sampled_from(Table)), data.draw(st.integers(0, 65535))
    packets, octets = (data.draw(st.integers(0, 2**64 - 1)) for _ in range(2))
    reason = data.draw(st.sampled_from([0, 1, 2]))
    of_cookie = encode.cookie(epoch, owner, id_)
    fixed = (of_cookie, 10, reason, table, 0, 0, idle_s, 0, packets, octets)
    buf = HEADER + pack("!QHBBIIHHQQ", *fixed) + bytes(8)
    idle = reason == ofp.OFPRR_IDLE_TIMEOUT
    assert decode.removed(buf) == Removed(
        epoch, owner, id_, table, idle, packets, octets, idle_s
    )


def stats(owner: Owner, id_: int, table: Table, packets: int, match: bytes) -> bytes:
    of_cookie = encode.cookie(1, owner, id_)
    fixed = (0, 0, 5, 0, 0, 0, of_cookie, packets, packets * 100)
    body = pack("!IIHHHHxxxxQQQ", *fixed) + match
    return pack("!HBx", len(body) + 4, table) + body


@pytest.mark.parametrize("more", [False, True])
def test_counters(more: bool) -> None:
    short, long = bytes.fromhex("0001000400000000"), bytes(40)
    rules = [
        stats(Owner.FILTER, 3, Table.SW_CHAIN, 5, short),
        stats(Owner.ENTRY, 2**48 - 1, Table.HW_CT, 2**40, long),
    ]
    buf = HEADER + pack("!HHxxxx", ofp.OFPMP_FLOW, more) + b"".join(rules)
    assert decode.flow_stats(buf) == (
        [
            Counted(Owner.FILTER, 3, Table.SW_CHAIN, 5, 500),
            Counted(Owner.ENTRY, 2**48 - 1, Table.HW_CT, 2**40, 2**40 * 100),
        ],
        more,
    )
    assert decode.flow_stats(HEADER + pack("!HHxxxx", ofp.OFPMP_FLOW, 0)) == ([], False)


def test_an_error_says_whose_rule_it_was() -> None:
    rule = Rule(Table.HW_CT, 1, (), (), Owner.ENTRY, 77)
    failed = encode.add_rule(9, AddRule(rule))[:64]
    assert decode.error(_error(5, 1, failed)) == Failed(5, 1, Owner.ENTRY, 77)
    other = _error(1, 2, encode.barrier_request(7))
    assert decode.error(other) == Failed(1, 2, None, 0)
    assert decode.error(_error(1, 2, b"")) == Failed(1, 2, None, 0)


def _error(kind: int, code: int, data: bytes) -> bytes:
    return HEADER + pack("!HH", kind, code) + data


def test_an_answer_names_its_request() -> None:
    assert decode.xid(encode.barrier_request(0x10000001)) == 0x10000001
