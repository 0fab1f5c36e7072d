"""What goes out of hardware: by its silence, and then out of conntrack; or all of it, when told.

fading    a network of short-lived entries, where a UDP connection is silent from the start
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

import topologies
from tests.e2e.state import (
    Count,
    Meter,
    connections,
    entries,
    offloaded,
    settle,
    status,
    until,
)
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation
from tests.e2e.typed import add
from tests.e2e.vm1_vm2 import (
    HV1,
    client,
    est_filter,
    exchange,
    flags,
    nat_filters,
    talk,
    tcp,
    udp,
    zone_filters,
)
from tests.e2e.wire import Port, all_ports
from topologies.testbed import Testbed
from topologies.two_hypervisors import TwoHypervisors
from topologies.waiting import PATIENCE

TIMEOUT_S = 2
# What is left to conntrack when an entry has aged, in the series (nf_flow_table's clamp).
UDP_LEFT_S = 30
HARDWARE = ("hw_ct", "hw_ct_nat", "ct_age", "restore")


@pytest.fixture(scope="module")
def fading() -> Iterator[tuple[Testbed, dict[str, Port], UdpConversation]]:
    with topologies.running(
        TwoHypervisors(), udp_timeout_s=TIMEOUT_S, tcp_timeout_s=TIMEOUT_S
    ) as net, all_ports(net) as ports:
        add(net["hv1"], *zone_filters(3, 30), est_filter(30))
        silent = udp(ports, 4999)
        talk(silent)
        offloaded(net, 1, HV1)
        yield net, ports, silent


def listed(net: Testbed, proto: str) -> list[str]:
    """What conntrack says of a protocol's connections in zone 3: their marks."""
    return [each.flag for each in connections(net["hv1"], "-p", proto, "-w", "3")]


def test_a_long_idle_tcp_connection_speaks_again(
    fading: tuple[Testbed, dict[str, Port], UdpConversation],
) -> None:
    """Its entry has aged; conntrack keeps it, it goes on, and is offloaded again."""
    net, ports, _ = fading
    one = tcp(ports)
    talk(one)
    exchange(one)
    until(lambda: listed(net, "tcp") == ["HW_OFFLOAD"], "TCP in hardware")
    until(lambda: not status(net, "hv1")["entries"], "silence")
    assert listed(net, "tcp") == [""]
    assert not in_hardware(net)
    meter = Meter(net["hv1"], "ens1f0_0")
    one.say("PA", data=b"after all")
    assert meter.read(chain=30, ct_state="+trk+est") == Count(software=1)
    until(lambda: listed(net, "tcp") == ["HW_OFFLOAD"], "TCP in hardware again")
    settle(net["hv1"])
    meter = Meter(net["hv1"], "ens1f0_0")
    exchange(one)
    assert meter.read(chain=30, ct_state="+trk+est") == Count(hardware=1)


DELETE = "tc filter del dev {} ingress prio 1 chain {} protocol ip"
WAYS = {
    "each protocol": ["conntrack -D -p tcp", "conntrack -D -p udp"],
    "the zone's": ["conntrack -D -w 5"],
    "all": ["conntrack -F"],
    "the filters": [
        DELETE.format(device, chain)
        for device in ("ens1f0_0", "ens1f0_1")
        for chain in (0, 50)
    ],
}


@pytest.mark.parametrize("lines", WAYS.values(), ids=WAYS)
def test_what_is_told_to_go_has_left_hardware_within_a_second(
    net: Testbed, ports: dict[str, Port], lines: list[str]
) -> None:
    """Of translated connections nothing is left: no tuple, no age, no way back."""
    hv1 = net["hv1"]
    add(hv1, *nat_filters("ip", "src addr 10.0.0.100"))
    seen = replace(client(ports), ip="10.0.0.100")
    far = End(ports["vm2"], "10.0.0.52", 53)
    for kind in (TcpConversation, UdpConversation):
        talk(kind(client(ports), far, client_seen=seen))
    offloaded(net, 2, HV1)
    assert all(entries(hv1, table) for table in ("hw_ct_nat", "ct_age", "restore"))
    for line in lines:
        hv1.must(*line.split())
    until(lambda: not in_hardware(net), "empty hardware", PATIENCE)
    assert "HW_OFFLOAD" not in flags(hv1, 5)


def in_hardware(net: Testbed) -> list[str]:
    return [rule for table in HARDWARE for rule in entries(net["hv1"], table)]


def test_after_aging_conntrack_keeps_it_for_its_own_timeout(
    fading: tuple[Testbed, dict[str, Port], UdpConversation],
) -> None:
    """The last test here: the connection was silent meanwhile.  Then its words are new."""
    net, _, silent = fading
    until(lambda: not listed(net, "udp"), "the timeout", (UDP_LEFT_S + 15) * PATIENCE)
    meter = Meter(net["hv1"], "ens1f0_0")
    silent.say()
    assert meter.read(chain=30, ct_state="+trk+new") == Count(software=1)
