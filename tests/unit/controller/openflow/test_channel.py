"""The stream from the switch, however it is cut: ours is handed over, the rest is Ryu's."""

from __future__ import annotations

import socket
import threading
from struct import pack

import eventlet
from hypothesis import given
from hypothesis import strategies as st

from controller.openflow import bundle
from controller.openflow.channel import Channel

# After controller.openflow, which makes Ryu fit for it.
from ryu.ofproto import ofproto_v1_3 as ofp  # isort: skip


def message(kind: int, body: bytes = b"", xid: int = 7) -> bytes:
    """An OpenFlow message."""
    return pack("!BBHI", ofp.OFP_VERSION, kind, 8 + len(body), xid) + body


COUNTERS = message(ofp.OFPT_MULTIPART_REPLY, pack("!HHxxxx", ofp.OFPMP_FLOW, 0))
PORTS = message(ofp.OFPT_MULTIPART_REPLY, pack("!HHxxxx", ofp.OFPMP_PORT_DESC, 0))
OURS = [
    message(ofp.OFPT_PACKET_IN, bytes(300)),
    message(ofp.OFPT_FLOW_REMOVED, bytes(40)),
    message(ofp.OFPT_ERROR, bytes(4)),
    message(ofp.OFPT_BARRIER_REPLY),
    COUNTERS,
    message(ofp.OFPT_EXPERIMENTER, bytes(16), bundle.XID),
]
RYUS = [
    message(ofp.OFPT_ECHO_REQUEST),
    message(ofp.OFPT_PORT_STATUS, bytes(72)),
    message(ofp.OFPT_EXPERIMENTER, bytes(16)),
    PORTS,
]


class Pieces:
    """A socket that has received some pieces, and is closed then."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [piece for piece in pieces if piece]

    @property
    def left(self) -> int:
        """The pieces that were not read yet."""
        return len(self._pieces)

    def recv(self, _size: int) -> bytes:
        """The next piece."""
        return self._pieces.pop(0) if self._pieces else b""


def read(channel: Channel, size: int = 8) -> bytes:
    """All that Ryu sees, once the rest was handed over."""
    seen = b""
    while piece := channel.recv(size):
        assert len(piece) <= size
        seen += piece
    while channel.busy:
        eventlet.sleep(0)
    return seen


@given(
    st.lists(st.sampled_from(OURS + RYUS), max_size=12),
    st.lists(st.integers(0, 3000), max_size=8),
    st.integers(1, 400),
)
def test_wherever_the_stream_is_cut(
    messages: list[bytes], cuts: list[int], size: int
) -> None:
    stream = b"".join(messages)
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[a:b] for a, b in zip(places, places[1:], strict=False)]
    channel = Channel(Pieces(*pieces))
    taken: list[bytes] = []
    channel.deliver = taken.extend
    assert read(channel, size) == b"".join(m for m in messages if m in RYUS)
    assert taken == [m for m in messages if m in OURS]


def test_messages_come_as_many_at_a_time_as_are_there() -> None:
    channel = Channel(Pieces(OURS[0] * 3, OURS[1]))
    taken: list[list[bytes]] = []
    channel.deliver = taken.append
    assert read(channel) == b""
    assert taken == [[*[OURS[0]] * 3, OURS[1]]]


def test_the_socket_is_empty_before_the_second_lot_is_handled() -> None:
    waiting = Pieces(*[OURS[0] * 100] * 5)
    channel = Channel(waiting)
    lots: list[tuple[int, int]] = []
    channel.deliver = lambda messages: lots.append((len(messages), waiting.left))
    assert read(channel) == b""
    assert sum(handled for handled, _ in lots) == 500
    assert [handled for handled, _ in lots] == [160, 160, 90, 64, 26]
    assert {left for _, left in lots} == {0}


def test_after_the_connection_has_ended_nothing_is_handed_over() -> None:
    channel = Channel(Pieces(OURS[0] * 100))
    taken: list[bytes] = []

    def deliver(messages: list[bytes]) -> None:
        taken.extend(messages)
        channel.deliver = None

    channel.deliver = deliver
    assert read(channel) == b""
    assert len(taken) == 64


def test_before_the_handshake_is_over_all_is_ryus() -> None:
    channel = Channel(Pieces(OURS[0], RYUS[0]))
    assert read(channel) == OURS[0] + RYUS[0]


def test_a_length_that_cannot_be_is_passed_on() -> None:
    channel = Channel(Pieces(pack("!BBHI", 4, ofp.OFPT_HELLO, 0, 0) + RYUS[0]))
    channel.deliver = lambda messages: None
    assert read(channel) == pack("!BBHI", 4, ofp.OFPT_HELLO, 0, 0) + RYUS[0]


def test_options_of_tcp_are_set_in_vain() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        channel = Channel(here)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        assert here.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 65536
        channel.settimeout(3)
        assert here.gettimeout() == 3


def test_what_is_sent_arrives_whole_and_says_that_the_switch_takes_it() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        channel = Channel(here)
        began_s = channel.moved_s
        sent = bytes(range(256)) * 400
        received = bytearray()

        def receive() -> None:
            while piece := there.recv(1 << 16):
                received.extend(piece)

        receiver = threading.Thread(target=receive)
        receiver.start()
        channel.sendall(sent)
        here.shutdown(socket.SHUT_WR)
        receiver.join()
        assert received == sent
        assert channel.moved_s > began_s
