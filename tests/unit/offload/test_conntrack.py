"""Tuples and tracked packets."""

from hypothesis import given
from hypothesis import strategies as st

from offload.conntrack import Direction, FlowTuple
from offload.flower import IPPROTO_ICMP, IPPROTO_ICMPV6, CtState
from tests.unit.connections import ESTABLISHED, TCP, TCP6, tracked


@given(
    st.builds(
        FlowTuple,
        st.binary(min_size=4, max_size=4),
        st.binary(min_size=4, max_size=4),
        st.integers(0, 255),
        st.integers(0, 65535),
        st.integers(0, 65535),
    )
)
def test_inverted_twice_is_itself(tuple_: FlowTuple) -> None:
    inverted = tuple_.inverted()
    assert inverted.inverted() == tuple_
    assert (inverted.src, inverted.dport) == (tuple_.dst, tuple_.sport)


def test_reads_as_conntrack_prints_it() -> None:
    assert str(TCP) == "src=10.0.0.1 dst=10.0.0.3 sport=40000 dport=80"
    assert str(TCP6) == "src=fd00::1 dst=fd00::3 sport=40000 dport=80"
    for proto in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        error = TCP._replace(proto=proto, sport=7, dport=3 << 8 | 1)
        assert str(error) == "src=10.0.0.1 dst=10.0.0.3 type=3 code=1 id=7"


def test_direction_is_in_the_state() -> None:
    assert tracked().direction is Direction.ORIGINAL
    reply = tracked(state=ESTABLISHED | CtState.RPL)
    assert reply.direction is Direction.REPLY
