"""Two generations of driver and kernel: the same commands and packets, other outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

import topologies
from tests.e2e.state import Count, Meter, filters, offloaded, status, until
from tests.e2e.tcp_udp import End, UdpConversation
from tests.e2e.typed import add
from tests.e2e.wire import Port, all_ports
from topologies.errors import BadOption
from topologies.testbed import Testbed
from topologies.two_hypervisors import TwoHypervisors

VM1, VM2 = "24:8a:07:a5:28:01", "24:8a:07:a5:28:02"
GOTOS = {"mlx5-5.7": 4, "mlx5-6.1": 16}
profiles = pytest.mark.parametrize("profile", GOTOS)


@contextmanager
def network(
    fresh_net: Callable[..., Testbed], profile: str
) -> Iterator[tuple[Testbed, dict[str, Port]]]:
    net = fresh_net(profile=profile)
    assert status(net, "hv1")["profile"] == profile
    with all_ports(net) as ports:
        yield net, ports


def chains(length: int) -> list[str]:
    """A packet of vm1's to vm2 follows so many gotos, in software, and is delivered."""
    ours = f"flower skip_hw src_mac {VM1} dst_mac {VM2}"
    lines = [f"ens1f0_0 chain 0 proto ip {ours} action goto chain 101"]
    for chain in range(101, 100 + length):
        lines.append(
            f"ens1f0_0 chain {chain} proto ip flower skip_hw action goto chain {chain + 1}"
        )
    last = 100 + length
    return [
        *lines,
        f"ens1f0_0 chain {last} proto ip flower skip_hw action mirred egress redirect dev ens1f0_1",
    ]


@profiles
def test_gotos_have_a_limit(fresh_net: Callable[..., Testbed], profile: str) -> None:
    """As many as a packet may follow, and then one more: dropped there."""
    limit = GOTOS[profile]
    with network(fresh_net, profile) as (net, ports):
        udp = UdpConversation(
            End(ports["vm1"], "10.0.0.51", 1000), End(ports["vm2"], "10.0.0.52", 53)
        )
        add(net["hv1"], *chains(limit))
        udp.say()
        meter = Meter(net["hv1"], "ens1f0_0")
        last = f"filter del dev ens1f0_0 ingress prio 1 chain {100 + limit}"
        net["hv1"].must("tc", *last.split())
        add(net["hv1"], *chains(limit + 1)[-2:])
        ports["vm1"].send(udp.datagram())
        meter.reset()
        ports["vm1"].send(udp.datagram())
        assert meter.read(chain=100 + limit) == Count(software=1)
        assert meter.read(chain=101 + limit) == Count()


@profiles
def test_hardware_matches_replies_in_the_later_one(
    fresh_net: Callable[..., Testbed], profile: str
) -> None:
    with network(fresh_net, profile) as (net, _):
        add(
            net["hv1"],
            "ens1f0_0 chain 9 proto ip flower ct_state +trk+est+rpl action drop",
        )
        [rpl] = [each for each in filters(net["hv1"], "ens1f0_0") if each.chain == 9]
        assert rpl.in_hw == (profile == "mlx5-6.1")


def test_an_unknown_one_is_refused_before_anything_is_built() -> None:
    with pytest.raises(
        BadOption, match="no profile 'mlx4': there are mlx5-5.7, mlx5-6.1"
    ):
        with topologies.running(TwoHypervisors(), profile="mlx4"):
            pass


@profiles
def test_udp_is_offloaded_by_a_reply_or_step_by_step(
    fresh_net: Callable[..., Testbed], profile: str
) -> None:
    """Later: in the flow table by its commit, then one way, then both."""
    with network(fresh_net, profile) as (net, ports):
        udp = UdpConversation(
            End(ports["vm1"], "10.0.0.51", 1000), End(ports["vm2"], "10.0.0.52", 53)
        )
        there, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "ens1f0_1")
        udp.say()
        if profile == "mlx5-5.7":
            assert status(net, "hv1")["entries"] == 0
            udp.say(reply=True)
            offloaded(net, 1, ["hv1"])
            return
        until(lambda: status(net, "hv1")["entries"] == 1, "an entry by the commit")
        assert status(net, "hv1")["entries_in_hw"] == 0
        udp.say(reply=True)
        offloaded(net, 1, ["hv1"])
        there.reset()
        back.reset()
        udp.say()
        udp.say(reply=True)
        assert there.read(chain=0, protocol="ip") == Count(hardware=1)
        assert back.read(chain=0, protocol="ip") == Count(software=1)
        until(partial(reply_in_hardware, udp, back), "both ways in hardware")


def reply_in_hardware(udp: UdpConversation, back: Meter) -> bool:
    """Does another reply pass in hardware?"""
    back.reset()
    udp.say(reply=True)
    return back.read(chain=0, protocol="ip") == Count(hardware=1)
