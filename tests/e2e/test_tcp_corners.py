"""TCP as it is: it closes from both ends, half, twice or not at all, and begins again at once."""

from __future__ import annotations

import random
from functools import partial

import pytest

from tests.e2e.state import (
    HYPERVISORS,
    Count,
    Meter,
    connections,
    entries,
    offloaded,
    status,
    until,
)
from tests.e2e.tcp_udp import close_at_once, connected, transfer
from tests.e2e.vm1_vm2 import HV1, exchange, tcp
from tests.e2e.wire import Port, deliver
from topologies.testbed import Testbed


def expect_none_left(net: Testbed) -> None:
    """No entry, and nothing of one in hardware."""
    offloaded(net, 0, HV1)
    for table in ("hw_ct", "ct_age"):
        assert entries(net["hv1"], table) == []


def test_simultaneous_close(net: Testbed, ports: dict[str, Port]) -> None:
    """Both FINs are on their way before either arrives; the tuple is free afterwards."""
    both = tcp(ports)
    both.shake_hands()
    offloaded(net, 1, HV1)
    there, back = both.segment("FA"), both.segment("FA", reply=True)
    ports["vm1"].send(there)
    ports["vm2"].send(back)
    ports["vm2"].take(bytes(there).__eq__, "the client's FIN")
    ports["vm1"].take(bytes(back).__eq__, "the server's FIN")
    both.count("F", False, b"")
    both.count("F", True, b"")
    both.say("A")
    both.say("A", reply=True)
    expect_none_left(net)
    again = tcp(ports)
    again.shake_hands()
    offloaded(net, 1, HV1)


@pytest.mark.parametrize("flags", ["R", "RA"])
@pytest.mark.parametrize("reply", [False, True], ids=["client", "server"])
def test_a_reset_and_the_same_ports_at_once(
    net: Testbed, ports: dict[str, Port], reply: bool, flags: str
) -> None:
    """A RST of either end frees the tuple: the next connection is offloaded like the first."""
    for _ in range(2):
        one = tcp(ports)
        one.shake_hands()
        offloaded(net, 1, HV1)
        exchange(one)
        one.say(flags, reply=reply)
        expect_none_left(net)


def test_half_close(net: Testbed, ports: dict[str, Port]) -> None:
    """The client has no more to say; the server has, in software, until it is done as well."""
    one = tcp(ports)
    one.shake_hands()
    offloaded(net, 1, HV1)
    one.say("FA")
    expect_none_left(net)
    back = Meter(net["hv1"], "ens1f0_1")
    for _ in range(5):
        one.say("PA", reply=True, data=b"more")
        one.say("A")
    assert back.read(chain=0, protocol="ip", ct_state="-trk") == Count(software=5)
    one.say("FA", reply=True)
    one.say("A")
    expect_none_left(net)
    [connection] = connections(net["hv1"])
    assert connection.closed


def test_a_retransmitted_fin(net: Testbed, ports: dict[str, Port]) -> None:
    """It arrives each time, tears down once, and brings nothing back."""
    one = tcp(ports)
    one.shake_hands()
    offloaded(net, 1, HV1)
    before = status(net, "hv1")["copies"].get("closing", 0)
    fin = one.segment("FA")
    for _ in range(3):
        deliver(fin, ports["vm1"], ports["vm2"])
    expect_none_left(net)
    assert status(net, "hv1")["copies"]["closing"] == before + 1
    one.count("F", False, b"")
    one.say("FA", reply=True)
    one.say("A")
    deliver(fin, ports["vm1"], ports["vm2"])
    expect_none_left(net)


def test_out_of_window_after_offload(net: Testbed, ports: dict[str, Port]) -> None:
    """Nobody asks for windows then: what is far beyond passes, and a FIN there ends it."""
    one = tcp(ports)
    one.shake_hands()
    offloaded(net, 1, HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    beyond = one.segment("PA", data=b"far")
    beyond["TCP"].seq += 10**9
    deliver(beyond, ports["vm1"], ports["vm2"])
    exchange(one)
    assert meter.read(chain=0, protocol="ip", ct_state="-trk") == Count(hardware=2)
    fin = one.segment("FA")
    fin["TCP"].seq += 10**9
    deliver(fin, ports["vm1"], ports["vm2"])
    expect_none_left(net)


def test_a_syn_to_a_live_tuple(net: Testbed, ports: dict[str, Port]) -> None:
    """It matches the tuple like any packet, is delivered, and the connection stays offloaded."""
    one = tcp(ports)
    one.shake_hands()
    offloaded(net, 1, HV1)
    meter = Meter(net["hv1"], "ens1f0_0")
    syn = one.segment("S")
    deliver(syn, ports["vm1"], ports["vm2"])
    assert meter.read(chain=0, protocol="ip", ct_state="-trk") == Count(hardware=1)
    exchange(one)
    offloaded(net, 1, HV1)


@pytest.mark.parametrize("hasty", [False, True], ids=["FIN", "RST"])
def test_ports_are_used_again_by_kernels(net: Testbed, hasty: bool) -> None:
    """Sockets with the same two ports, again and again, closed either way; each in hardware."""
    data = random.Random(7).randbytes(50_000)
    for _ in range(3):
        with connected(net["vm1"], net["vm3"], "10.0.0.3", sport=45000) as (near, far):
            offloaded(net, 1)
            assert transfer(near, far, data) == data
            if hasty:
                close_at_once(near)
            else:
                far.close()
                assert near.recv(1) == b""
        offloaded(net, 0)
        if not hasty:
            until(partial(all_closed, net), "conntrack saw the end")


def all_closed(net: Testbed) -> bool:
    """Has conntrack seen both FINs acknowledged, at both hypervisors?"""
    return all(each.closed for name in HYPERVISORS for each in connections(net[name]))
