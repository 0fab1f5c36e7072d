"""What counts as a difference between two outcomes, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scapy.all import IP, UDP, VXLAN, Dot1Q, Ether, Raw

from tests.kernel.cases.outcome import (
    Connection,
    Filters,
    Outcome,
    Ran,
    Seen,
    StepOutcome,
    Tuple,
)
from tests.kernel.conformance.comparison import Scope, compare

THERE, BACK = Tuple("10.0.0.1", "10.0.0.2", 1, 2), Tuple("10.0.0.2", "10.0.0.1", 2, 1)
CONNECTION = Connection(6, THERE, BACK, ("SEEN_REPLY", "OFFLOAD"), state="ESTABLISHED")
MACS = Ether(dst="24:8a:07:a5:28:01")
DATAGRAM = IP(dst="10.0.0.1") / UDP() / Raw(b"abc")
FRAME, TAGGED = bytes(MACS / DATAGRAM), bytes(MACS / Dot1Q(vlan=5) / DATAGRAM)


def outcome(
    step: StepOutcome = StepOutcome(), protocol: str = "ip", **stats: Any
) -> Outcome:
    shown = {
        "chain": 0,
        "pref": 1,
        "protocol": protocol,
        "options": {"handle": 1, "actions": [{"stats": {"bytes": 3, **stats}}]},
    }
    filters = Filters("ens1f0_0", "ingress", [shown])
    return Outcome((Ran(0, "", ""),), (step,), (filters,), ())


def step(*left: Seen, **more: Any) -> StepOutcome:
    return StepOutcome(left=left, **more)


def differs(kernel: Outcome, testbed: Outcome) -> bool:
    return bool(compare(kernel, testbed))


def vxlan(sport: int, ident: int, vni: int = 98, **udp: Any) -> bytes:
    outer = Ether(dst="24:8a:07:a5:28:01") / IP(dst="7.7.7.8", id=ident)
    return bytes(
        outer / UDP(sport=sport, dport=4789, **udp) / VXLAN(vni=vni) / Ether(FRAME)
    )


@pytest.mark.parametrize(
    ("kernel", "testbed"),
    [
        pytest.param(step(Seen("a", FRAME)), step(), id="frame"),
        pytest.param(step(Seen("a", FRAME)), step(Seen("b", FRAME)), id="port"),
        pytest.param(step(Seen("a", FRAME)), step(Seen("a", FRAME[:-1])), id="byte"),
        pytest.param(
            step(Seen("a", FRAME), Seen("a", FRAME[:40])),
            step(Seen("a", FRAME[:40]), Seen("a", FRAME)),
            id="order",
        ),
        pytest.param(step(stack=(Seen("a", FRAME),)), step(), id="stack"),
        pytest.param(step(connections=(CONNECTION,)), step(), id="connection"),
        pytest.param(
            step(connections=(CONNECTION,)),
            step(connections=(replace(CONNECTION, mark=1),)),
            id="mark",
        ),
        pytest.param(
            step(connections=(CONNECTION,)),
            step(connections=(replace(CONNECTION, status=()),)),
            id="flow-table",
        ),
        pytest.param(step(ran=Ran(0, "", "")), step(ran=Ran(1, "", "no")), id="code"),
        pytest.param(
            step(Seen("a", vxlan(1, 1))), step(Seen("a", vxlan(1, 1, 99))), id="vni"
        ),
        pytest.param(
            step(Seen("a", vxlan(1, 1))),
            step(Seen("a", vxlan(1, 1, chksum=1))),
            id="outer-checksum",
        ),
    ],
)
def test_a_difference(kernel: StepOutcome, testbed: StepOutcome) -> None:
    """Each of these is one."""
    assert differs(outcome(kernel), outcome(testbed))


@pytest.mark.parametrize(
    ("kernel", "testbed"),
    [
        pytest.param(
            step(Seen("a", FRAME), Seen("b", FRAME)),
            step(Seen("b", FRAME), Seen("a", FRAME)),
            id="order-of-two-ports",
        ),
        pytest.param(
            step(Seen("a", FRAME)), step(Seen("a", FRAME + bytes(9))), id="padding"
        ),
        pytest.param(
            step(stack=(Seen("a", FRAME),)),
            step(stack=(Seen("br-int", TAGGED),)),
            id="stack-port-and-tag",
        ),
        pytest.param(
            step(stack=(Seen("ens1f0", vxlan(1, 1)),)), step(), id="outer-to-the-stack"
        ),
        pytest.param(
            step(Seen("a", vxlan(1, 1))), step(Seen("a", vxlan(2, 9))), id="outer-ids"
        ),
        pytest.param(
            step(connections=(CONNECTION,)),
            step(
                connections=(replace(CONNECTION, status=("HW_OFFLOAD",), state=None),)
            ),
            id="status-and-state",
        ),
    ],
)
def test_no_difference(kernel: StepOutcome, testbed: StepOutcome) -> None:
    """None of these is one."""
    assert not differs(outcome(kernel), outcome(testbed))


def test_hardware_counts_the_ethernet_header() -> None:
    """14 bytes more a packet; any other difference in bytes is one."""
    kernel = outcome(bytes=50, packets=2)
    both = outcome(bytes=64, packets=2, hw_packets=1, hw_bytes=39)
    assert not differs(kernel, both)
    assert differs(kernel, outcome(bytes=63, packets=2, hw_packets=1))


def test_hardware_counts_a_tag() -> None:
    """Four bytes more, of a filter for tagged packets only."""
    kernel = outcome(protocol="802.1Q", bytes=50, packets=2)
    both = outcome(protocol="802.1Q", bytes=68, packets=2, hw_packets=1)
    assert not differs(kernel, both)
    assert differs(outcome(bytes=50), outcome(bytes=68, hw_packets=1))


def test_a_difference_names_the_smallest_part() -> None:
    """And where it is."""
    (found,) = compare(outcome(packets=1), outcome(packets=2))
    assert found.where.endswith("actions 0: stats: packets")
    assert (found.kernel, found.testbed) == (1, 2)


def test_the_scope_ends_what_is_compared() -> None:
    """Steps from there on, and the filters that were counting meanwhile."""
    kernel, testbed = outcome(step(Seen("a", FRAME)), packets=1), outcome(packets=2)
    assert not compare(kernel, testbed, Scope(until=0))
    assert len(compare(kernel, testbed, Scope(counters=False))) == 1
