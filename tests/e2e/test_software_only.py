"""Everything works with hardware offload off, and then nothing is in hardware."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from tests.e2e.state import (
    DEVICES,
    HYPERVISORS,
    Count,
    Meter,
    any_entry,
    connections,
    entries,
    filters,
    flows,
    offloaded,
    status,
    until,
)
from tests.e2e.tcp_udp import connected, transfer
from topologies.testbed import Testbed

HARDWARE_TABLES = ("hw_chain", "hw_ct", "hw_ct_nat", "hw_post_ct", "ct_age")
DATA = random.Random(4).randbytes(4_000_000)


@pytest.fixture
def software_net(fresh_net: Callable[..., Testbed]) -> Testbed:
    """Two hypervisors started with hardware offload off."""
    return fresh_net(hw_tc_offload=False)


def test_a_hypervisor_without_offload(software_net: Testbed) -> None:
    """A transfer each way, TCP over both families: whole, and none of it in hardware."""
    net = software_net
    for address in ("10.0.0.3", "fd00::3"):
        with connected(net["vm1"], net["vm3"], address) as (near, far):
            assert transfer(near, far, DATA) == DATA
            assert transfer(far, near, DATA) == DATA
            expect_software_entry(net)
    until(lambda: not any_entry(net), "entries gone with their connections")
    for name in HYPERVISORS:
        assert all(
            entries(net[name], table) == [] for table in HARDWARE_TABLES
        ), f"rules in hardware at {name}"
        for device in DEVICES:
            shown = filters(net[name], device)
            assert all(each.not_in_hw and not each.in_hw for each in shown)
            assert sum((each.count for each in shown), Count()).hardware == 0
    sent = filters_total(net, "hv1", "ens1f0_0")
    assert sent.software > 2 * len(DATA) // 1450


def expect_software_entry(net: Testbed) -> None:
    """The connection is in the flow table, of software."""
    for name in HYPERVISORS:
        until(partial(has_one_entry, net, name), f"entry of {name}")
        assert status(net, name)["entries_in_hw"] == 0
        flags = [each.flag for each in connections(net[name]) if each.flag]
        assert flags == ["OFFLOAD"]


def has_one_entry(net: Testbed, name: str) -> bool:
    """Has the hypervisor one connection in its flow tables?"""
    return bool(status(net, name)["entries"] == 1)


def filters_total(net: Testbed, name: str, device: str) -> Count:
    """What all filters of a device's chain 0 counted."""
    shown = [each for each in filters(net[name], device) if each.chain == 0]
    return sum((each.count for each in shown), Count())


def test_a_device_knows_its_state(software_net: Testbed) -> None:
    """``ethtool -k`` says off; on and off again change it."""
    hypervisor = software_net["hv1"]
    assert "hw-tc-offload: off" in hypervisor.must("ethtool", "-k", "ens1f0")
    hypervisor.must("ethtool", "-K", "ens1f0", "hw-tc-offload", "on")
    assert "hw-tc-offload: on" in hypervisor.must("ethtool", "-k", "ens1f0")
    assert any(each.in_hw for each in filters(hypervisor, "ens1f0_0"))


@dataclass(frozen=True, slots=True)
class Toggle:
    """Offload at hv1, turned by ethtool; hv2 is not touched."""

    net: Testbed

    def turn(self, way: str) -> None:
        """Turn it on or off."""
        self.net["hv1"].must("ethtool", "-K", "ens1f0", "hw-tc-offload", way)

    def off(self) -> None:
        """Turn it off."""
        self.turn("off")

    def on(self) -> None:
        """Turn it on."""
        self.turn("on")


def test_offload_turned_off_and_on_in_a_transfer(net: Testbed) -> None:
    """No byte is lost; hv1's counters move to software and back, hv2's stay in hardware."""
    toggle = Toggle(net)
    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, far):
        offloaded(net, 1)
        here, there = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv2"], "vxlan0")
        assert transfer(near, far, DATA, halfway=toggle.off) == DATA
        both = tcp(here)
        assert both.hardware > 500 and both.software > 500
        expect_hv1_in_software(net)

        here.reset()
        assert transfer(near, far, DATA) == DATA
        assert tcp(here).hardware == 0 and tcp(here).software > 2000

        here.reset()
        assert transfer(near, far, DATA, halfway=toggle.on) == DATA
        both = tcp(here)
        assert both.hardware > 500 and both.software > 500
        offloaded(net, 1, ["hv1"])

        here.reset()
        assert transfer(near, far, DATA) == DATA
        assert tcp(here).software == 0 and tcp(here).hardware > 2000
        assert tcp(there).software == 0 and tcp(there).hardware > 8000
    until(lambda: not any_entry(net), "entries gone with the connection")


def tcp(meter: Meter) -> Count:
    """What entered over IPv4."""
    return meter.used().get((0, "ip", "-trk"), Count())


def expect_hv1_in_software(net: Testbed) -> None:
    """hv1's hardware is empty, its connection still in the flow table; hv2's in hardware."""
    hypervisor = net["hv1"]
    assert all(entries(hypervisor, table) == [] for table in HARDWARE_TABLES)
    assert not any(each.in_hw for each in filters(hypervisor, "ens1f0_0"))
    assert len(flows(hypervisor, "sw_chain")) > 50
    [here], [there] = connections(hypervisor), connections(net["hv2"])
    assert here.flag == "OFFLOAD" and there.flag == "HW_OFFLOAD"


SKIP_HW = (
    "filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower skip_hw "
    "src_mac 24:8a:07:a5:28:01 ct_state -trk action ct pipe action goto chain 2"
)


def test_a_filter_that_skips_hardware(net: Testbed) -> None:
    """It takes precedence over those in hardware, and what it takes is software's."""
    net["hv1"].must("tc", *SKIP_HW.split())
    shown = net["hv1"].must("tc", "filter", "show", "dev", "ens1f0_0", "ingress")
    assert shown.count("skip_hw") == 1
    here, back = Meter(net["hv1"], "ens1f0_0"), Meter(net["hv1"], "vxlan0")
    with connected(net["vm1"], net["vm3"], "10.0.0.3") as (near, far):
        offloaded(net, 1)
        assert transfer(near, far, DATA) == DATA
        taken = here.read(prio=1)
        assert taken.hardware == 0 and taken.software > 2000
        assert here.read(prio=2) == Count(here.read(prio=2).software, 0)
        assert back.read(chain=0, protocol="ip").hardware > 100
