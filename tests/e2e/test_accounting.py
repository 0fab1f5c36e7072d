"""Counters and accounting: what tc and conntrack counted is what was on the wire."""

from __future__ import annotations

import re

from tests.e2e.state import Count, Meter, connections, offloaded
from tests.e2e.vm1_vm2 import HV1, exchange, tcp
from tests.e2e.wire import Port
from topologies.testbed import Testbed

ROUNDS = 5000


def test_ten_thousand_packets_with_retransmissions(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """To the packet, hardware and software apart, both directions; some are sent twice."""
    one = tcp(ports)
    there, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
    one.shake_hands()
    offloaded(net, 1, HV1)
    sent = received = 0
    for number in range(ROUNDS):
        question = bytes(one.segment("PA", data=b"q"))
        for _ in range(2 if number % 50 == 0 else 1):
            ports["vm1"].send(question)
            ports["vm2"].take(question.__eq__, "a question")
            sent += 1
        one.count("PA", False, b"q")
        answered = bytes(one.segment("PA", reply=True, data=b"a"))
        ports["vm2"].send(answered)
        ports["vm1"].take(answered.__eq__, "an answer")
        one.count("PA", True, b"a")
        received += 1
    assert sent + received > 10_000
    one.say("FA")
    offloaded(net, 0, HV1)  # till then an ACK is hardware's
    one.say("FA", reply=True)
    one.say("A")
    first = {"chain": 0, "protocol": "ip", "ct_state": "-trk"}
    assert there.read(**first) == Count(software=4, hardware=sent)
    assert back.read(**first) == Count(software=2, hardware=received)


def test_conntrack_shows_what_hardware_carried(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """Each direction apart; the handshake may be in it (OVS credits late), nothing else."""
    one = tcp(ports)
    one.shake_hands()
    offloaded(net, 1, HV1)
    for _ in range(20):
        exchange(one)
    one.say("PA", data=b"one more")
    [connection] = connections(net["hv1"])
    there, back = map(int, re.findall(r"hw_packets=(\d+)", connection.line))
    assert 21 <= there <= 23 and 20 <= back <= 21
