"""``why-not`` at a hypervisor: each connection and filter, with the rule that decided."""

from __future__ import annotations

from tests.e2e.state import offloaded, status, until
from tests.e2e.tcp_udp import End, TcpConversation, UdpConversation
from tests.e2e.typed import add
from tests.e2e.vm1_vm2 import est_filter, talk, udp, zone_filters
from tests.e2e.wire import Port
from topologies.testbed import Testbed


def lines(net: Testbed, *words: str) -> dict[str, str]:
    """Reasons by the beginning of their lines, up to the zone or handle."""
    said = net["hv1"].must("why-not", *words).splitlines()
    return dict(line.split(": ", 1) for line in said)


def test_a_connection_is_asked_at_every_stage(
    net: Testbed, ports: dict[str, Port]
) -> None:
    name = "tcp src=10.0.0.51 dst=10.0.0.52 sport=4000 dport=80 zone=0"
    client = End(ports["vm1"], "10.0.0.51", 4000)
    tcp = TcpConversation(client, End(ports["vm2"], "10.0.0.52", 80))
    tcp.say("S")
    assert lines(net)[name] == "tcp handshake not finished yet: SYN_SENT"
    tcp.say("SA", reply=True)
    tcp.say("A")
    offloaded(net, 1, ["hv1"])
    assert lines(net, "connections")[name] == "in hardware"
    assert name not in lines(net)
    tcp.say("FA")
    offloaded(net, 0, ["hv1"])
    assert lines(net)[name].startswith("tcp connection is closing: ")


def test_a_ping_and_a_question(net: Testbed, ports: dict[str, Port]) -> None:
    assert "1 received" in net["vm1"].cmd("ping -c 1 10.0.0.2")
    client = End(ports["vm1"], "10.0.0.51", 4000)
    UdpConversation(client, End(ports["vm2"], "10.0.0.52", 53)).say()
    until(lambda: status(net, "hv1")["refused"], "the ping was seen")
    said = lines(net)
    [icmp] = [reason for name, reason in said.items() if name.startswith("icmp ")]
    [udp] = [reason for name, reason in said.items() if name.startswith("udp ")]
    assert icmp == "icmp is never offloaded: the flow table takes tcp and udp"
    assert udp.startswith("not established yet")
    assert icmp in net["hv1"].must("why-not", "reasons")


def test_a_zone_that_hardware_does_not_have(
    net: Testbed, ports: dict[str, Port]
) -> None:
    for line in (*zone_filters(5, 50), est_filter(50)):
        add(net["hv1"], line.replace("flower", "flower skip_hw"))
    talk(udp(ports))
    until(lambda: status(net, "hv1")["entries"] == 1, "an entry, in software")
    [reason] = [why for name, why in lines(net).items() if name.endswith("zone=5")]
    assert reason == "no filter with this zone is in hardware"


def test_every_filter_has_a_line(net: Testbed) -> None:
    said = lines(net, "filters")
    assert len(said) == status(net, "hv1")["filters"]
    in_hardware = [name for name, reason in said.items() if reason == "in hardware"]
    assert len(in_hardware) == status(net, "hv1")["filters_in_hw"]
