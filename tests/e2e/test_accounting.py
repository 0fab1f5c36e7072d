"""Counters and accounting: what tc and conntrack counted is what was on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.e2e.asked import asked
from tests.e2e.state import Count, Meter, connections, offloaded, until
from tests.e2e.vm1_vm2 import HV1, exchange, talk, tcp, udp
from tests.e2e.wire import Port, all_ports
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
    octets = [hardware_bytes(net["hv1"], device) for device in ("ens1f0_0", "ens1f0_1")]
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
    assert there.used() == {
        (0, "ip", "-trk"): Count(software=4, hardware=sent),
        (2, "ip", "+trk+new"): Count(software=1),
        (2, "ip", "+trk+est"): Count(software=3, hardware=sent),
    }
    assert back.used() == {
        (0, "ip", "-trk"): Count(software=2, hardware=received),
        (2, "ip", "+trk+est"): Count(software=2, hardware=received),
    }
    assert hardware_bytes(net["hv1"], "ens1f0_0") - octets[0] == sent * len(question)
    assert hardware_bytes(net["hv1"], "ens1f0_1") - octets[1] == received * len(
        answered
    )


def hardware_bytes(hypervisor: Any, device: str) -> int:
    """What hardware counted of a device's first ct filter for IPv4."""
    shown = asked(hypervisor, *f"tc -s -j filter show dev {device} ingress".split())
    [stats] = [
        each["options"]["actions"][0]["stats"]
        for each in json.loads(shown)
        if (each["chain"], each["protocol"]) == (0, "ip")
        and each.get("options", {}).get("keys", {}).get("ct_state") == "-trk"
    ]
    return int(stats.get("hw_bytes", 0))


def test_conntrack_shows_what_hardware_carried(
    fresh_net: Callable[..., Testbed],
) -> None:
    """Each direction apart, to the packet and the byte."""
    net = fresh_net(exact_counters=True)
    with all_ports(net) as ports:
        one = tcp(ports)
        one.shake_hands()
        offloaded(net, 1, HV1)
        length = len(bytes(one.segment("PA", data=b"x")))
        for _ in range(20):
            exchange(one)
        one.say("PA", data=b"x")
        [connection] = connections(net["hv1"])
    counted = re.findall(r"hw_packets=(\d+) hw_bytes=(\d+)", connection.line)
    assert [tuple(map(int, each)) for each in counted] == [
        (21, 21 * length),
        (20, 20 * length),
    ]


def test_a_silent_connection_has_no_datapath_flow_and_is_still_in_hardware(
    net: Testbed, ports: dict[str, Port]
) -> None:
    """Sooner than OVS forgets by default: each flow kept is translated at each change."""
    one, hv1 = udp(ports), net["hv1"]
    talk(one)
    offloaded(net, 1, HV1)

    def has_a_flow() -> bool:
        return "src=53" in str(hv1.must("ovs-appctl", "dpctl/dump-flows"))

    def is_cached() -> bool:
        exchange(one)
        return has_a_flow()

    until(is_cached, "a flow of it")
    until(lambda: not has_a_flow(), "no flow of it", 5.0)
    there = Meter(hv1, "ens1f0_0")
    exchange(one)
    assert there.used() == {
        (0, "ip", "-trk"): Count(hardware=1),
        (2, "ip", "+trk+est"): Count(hardware=1),
    }
