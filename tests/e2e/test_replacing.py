"""Filters and actions that are changed, as packets see it."""

from __future__ import annotations

import json

import pytest

from tests.e2e.one_by_one import OneByOne, udp
from tests.e2e.state import refused

PLACE = "dev ens1f0_0 ingress prio 1 handle 1 proto ip flower ip_proto udp"
TO_VM1 = "action mirred egress redirect dev ens1f0_0"
TO_VM2 = "action mirred egress redirect dev ens1f0_1"


def tc(hv1: OneByOne, line: str) -> str:
    return str(hv1.hypervisor.must("tc", *line.split()))


@pytest.mark.parametrize("verb", ["change", "replace"])
def test_a_filter_in_the_place_of_another(hv1: OneByOne, verb: str) -> None:
    """The next packet meets it, and it counts from nothing."""
    tc(hv1, f"filter add {PLACE} {TO_VM2}")
    assert hv1.through(udp()).places == ["vm2"]
    tc(hv1, f"filter {verb} {PLACE} {TO_VM1}")
    assert hv1.through(udp()).places == ["vm1"]
    assert hv1.took().all == 1


def test_one_that_is_not_there(hv1: OneByOne) -> None:
    """Change wants it, replace does not."""
    failure = refused(hv1.hypervisor, *f"tc filter change {PLACE} {TO_VM1}".split())
    assert failure.code == 2 and "Error: " in failure.stderr
    assert hv1.through(udp()).places == ["stack"]
    tc(hv1, f"filter replace {PLACE} {TO_VM1}")
    assert hv1.through(udp()).places == ["vm1"]


def test_another_mask_is_refused_and_nothing_changes(hv1: OneByOne) -> None:
    """In the kernel a filter keeps its mask."""
    tc(hv1, f"filter add {PLACE} {TO_VM2}")
    line = f"tc filter replace {PLACE} dst_port 2000 {TO_VM1}"
    failure = refused(hv1.hypervisor, *line.split())
    assert "Invalid argument" in failure.stderr
    assert hv1.through(udp()).places == ["vm2"]


def test_an_action_that_two_filters_share(hv1: OneByOne) -> None:
    """A change of it is one of both, and its counter is of both, also when one goes."""
    tc(hv1, f"actions add {TO_VM2} index 900")
    try:
        hv1.add(
            "ens1f0_0 prio 1 proto ip flower ip_proto udp dst_port 2000 "
            "action mirred index 900",
            "ens1f0_0 prio 2 proto ip flower ip_proto udp action mirred index 900",
        )
        assert hv1.through(udp(), udp(dport=2001)).places == ["vm2"]
        tc(hv1, f"actions change {TO_VM1} index 900")
        assert hv1.through(udp(), udp(dport=2001)).places == ["vm1"]
        tc(hv1, "filter del dev ens1f0_0 ingress prio 1")
        assert hv1.through(udp()).places == ["vm1"]
        shown = json.loads(tc(hv1, "-s -j actions get action mirred index 900"))
        [mirred] = shown[1]["actions"]
        assert (mirred["ref"], mirred["bind"]) == (2, 1)
        assert mirred["stats"]["packets"] == 5
    finally:
        tc(hv1, "filter del dev ens1f0_0 ingress prio 2")
        tc(hv1, "actions del action mirred index 900")
