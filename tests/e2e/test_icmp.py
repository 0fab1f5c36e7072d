"""ICMP echo: forwarded and tracked, never offloaded, and the reason is there to see."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.state import HYPERVISORS, Count, Meter, connections, entries, status
from topologies.testbed import Testbed


@pytest.mark.parametrize(
    ("address", "protocol", "chain", "name"),
    [("10.0.0.3", "ip", 2, "icmp"), ("fd00::3", "ipv6", 6, "icmpv6")],
    ids=["ipv4", "ipv6"],
)
def test_echo_is_never_offloaded(
    net: Testbed, address: str, protocol: str, chain: int, name: str
) -> None:
    """Five echoes and their replies: all in software, at both hypervisors."""
    before = {each: status(net, each) for each in HYPERVISORS}
    near, far = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv2"], "ens1f0_0")
    said = net["vm1"].must("ping", "-c", "5", "-i", "0.01", address)
    assert "5 received" in said
    requests, replies = near.used(), far.used()
    assert requests[0, protocol, "-trk"] == Count(software=5)
    assert requests[chain, protocol, "+trk+new"] == Count(software=1)
    assert requests[chain, protocol, "+trk+est"] == Count(software=4)
    assert replies[0, protocol, "-trk"] == Count(software=5)
    assert replies[chain, protocol, "+trk+est"] == Count(software=5)
    for each in HYPERVISORS:
        expect_refusal(net, each, name, before[each])
        assert entries(net[each], "hw_ct") == entries(net[each], "ct_age") == []
        [connection] = connections(net[each])
        assert connection.proto == name and connection.flag == ""


def expect_refusal(
    net: Testbed, hypervisor: str, name: str, before: dict[str, dict[str, int]]
) -> None:
    """act_ct was asked about this connection once, and said why not."""
    now = status(net, hypervisor)
    reason = f"{name} is never offloaded: the flow table takes tcp and udp"
    assert now["refused"][reason] == before["refused"].get(reason, 0) + 1
    assert now["refusals"][-1]["reason"] == reason
    assert now["entries"] == 0


@pytest.mark.parametrize("address", ["10.0.0.3", "fd00::3"])
def test_connections_can_be_deleted(
    fresh_net: Callable[..., Testbed], address: str
) -> None:
    """``conntrack -F`` with an echo in the table: it is gone, and all works on."""
    net = fresh_net()
    net["vm1"].must("ping", "-c", "1", address)
    assert len(connections(net["hv1"])) == 1
    net["hv1"].must("conntrack", "-F")
    assert connections(net["hv1"]) == []
    assert status(net, "hv1")["connected"]
    net["vm1"].must("ping", "-c", "1", address)
