"""enc_* keys and tunnel_key: between the hypervisors over IPv4, and over IPv6.

vm1 --> hv1: tunnel_key set, redirect to vxlan0 --> hv2's vxlan0: enc_* keys --> vm3
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from scapy.all import IP, UDP

from tests.e2e.one_by_one import NOBODY, TAG, udp
from tests.e2e.state import Count, filters, until
from tests.e2e.typed import add
from tests.e2e.wire import Capture, Port, deliver, parsed
from topologies.testbed import Testbed

TO_VM3 = "action tunnel_key unset pipe action mirred egress redirect dev ens1f0_0"
VXLAN0 = "action mirred egress redirect dev vxlan0"
ECN = 0x02  # ECT(0)
MACS = {"hv1": "24:8a:07:a5:2f:01", "hv2": "24:8a:07:a5:2f:02"}


@pytest.fixture
def underlay6(net: Testbed) -> Iterator[None]:
    """fd77::7 and fd77::8 beside 7.7.7.7 and 7.7.7.8."""
    with ExitStack() as undo:
        for name, own, peer, peer_mac in (
            ("hv1", "fd77::7", "fd77::8", MACS["hv2"]),
            ("hv2", "fd77::8", "fd77::7", MACS["hv1"]),
        ):
            node, bridge = net[name], "br-ens1f0"
            off = f"net.ipv6.conf.{bridge}.disable_ipv6"
            node.must("sysctl", "-qw", f"{off}=0")
            undo.callback(node.must, "sysctl", "-qw", f"{off}=1")
            node.must("ip", "address", "add", f"{own}/64", "dev", bridge, "nodad")
            node.ovs.appctl("tnl/neigh/set", bridge, peer, peer_mac)
            routes = partial(node.ovs.appctl, "ovs/route/show")
            until(lambda: "fd77::/64" in routes(), f"{name}'s route")
        yield


@pytest.mark.parametrize(
    ("set_key", "asked", "matches"),
    [
        ("id 98", "enc_src_ip 7.7.7.7", True),
        ("id 98", "enc_src_ip 7.7.0.0/16", True),
        ("id 98", "enc_src_ip 7.7.7.9", False),
        ("id 98", "enc_dst_ip 7.7.7.8 enc_dst_port 4789", True),
        ("id 98", "enc_dst_ip 7.7.7.7", False),
        ("id 16777215", "enc_key_id 16777215", True),
        ("id 97", "enc_key_id 98", False),
        ("id 98", "enc_key_id 98 ip_proto udp dst_port 2000", True),
        ("", "enc_key_id 0", True),
    ],
)
def test_keys_of_the_tunnel(
    net: Testbed, ports: dict[str, Port], set_key: str, asked: str, matches: bool
) -> None:
    """What matches comes out at vm3, what does not meets the next filter: a drop."""
    _there_and_counted(
        net, ports, f"src_ip 7.7.7.7 dst_ip 7.7.7.8 {set_key}", asked, matches
    )


@pytest.mark.datapath("user", reason="it is told the tunnel's routes by hand")
@pytest.mark.parametrize(
    ("asked", "matches"),
    [
        ("enc_src_ip fd77::7 enc_dst_ip fd77::8 enc_key_id 99", True),
        ("enc_dst_ip fd77::/64", True),
        ("enc_src_ip fd77::9", False),
        ("enc_dst_ip 7.7.7.8", False),
    ],
)
def test_a_tunnel_over_ipv6(
    net: Testbed,
    ports: dict[str, Port],
    underlay6: None,
    asked: str,
    matches: bool,
) -> None:
    """Where the user gives the underlay addresses."""
    _there_and_counted(
        net, ports, "src_ip fd77::7 dst_ip fd77::8 id 99", asked, matches
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", (0, 64, True, 4789)),
        ("tos 0xb9", (0xB8, 64, True, 4789)),
        ("ttl 9", (0, 9, True, 4789)),
        ("nocsum", (0, 64, False, 4789)),
        ("dst_port 4790", (0, 64, True, 4790)),
        ("dst_port 4790 tos 0x20 ttl 255 nocsum", (0x20, 255, False, 4790)),
    ],
)
def test_the_outer_header(
    net: Testbed,
    ports: dict[str, Port],
    words: str,
    expected: tuple[int, int, bool, int],
) -> None:
    """As tunnel_key wants it, but for the ECN bits: those are the inner packet's."""
    tos, ttl, csum, port = expected
    mine = f"proto ip flower dst_mac {NOBODY}"
    tunnel = f"tunnel_key set src_ip 7.7.7.7 dst_ip 7.7.7.8 id 98 {words}"
    add(net["hv1"], f"ens1f0_0 {mine} action {tunnel} pipe {VXLAN0}")
    add(net["hv2"], f"vxlan0 {mine} {TO_VM3}")
    inner = udp(tos=ECN)
    with Capture(net["hv1"], "ens1f0") as uplink:
        ports["vm1"].send(inner)
        outer = parsed(uplink.take(lambda frame: TAG in frame, "a tunnelled packet"))
    assert (outer[IP].tos, outer[IP].ttl) == (tos | ECN, ttl)
    assert (bool(outer[UDP].chksum), outer[UDP].dport) == (csum, port)
    in_hardware = port == 4789  # mlx5 takes no other port
    [count] = [f.count for f in filters(net["hv1"], "ens1f0_0") if f.prio == 1]
    assert count == (Count(0, 1) if in_hardware else Count(1, 0))
    if in_hardware:
        ports["vm3"].take(bytes(inner).__eq__, "the packet that was tunnelled")


def _there_and_counted(
    net: Testbed, ports: dict[str, Port], tunnel: str, asked: str, matches: bool
) -> None:
    mine = f"proto ip flower dst_mac {NOBODY}"
    add(
        net["hv1"],
        f"ens1f0_0 {mine} action tunnel_key set {tunnel} dst_port 4789 {VXLAN0}",
    )
    add(
        net["hv2"],
        f"vxlan0 {mine} {asked} {TO_VM3}",
        "vxlan0 chain 0 proto ip flower action drop",
    )
    if matches:
        deliver(udp(), ports["vm1"], ports["vm3"])
    else:
        ports["vm1"].send(udp())
    counted = until(lambda: _counted(net), "a packet at hv2's vxlan0")
    assert counted == {matches: Count(hardware=1)}


def _counted(net: Testbed) -> dict[bool, Count]:
    """What the filter that asks and the one that drops have counted, if anything."""
    return {
        "dst_mac" in each.keys: each.count
        for each in filters(net["hv2"], "vxlan0")
        if each.prio == 1 and each.count.all
    }
