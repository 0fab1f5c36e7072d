"""``mirred ingress``: a packet comes in at another device, as if it were new."""

from __future__ import annotations

from tests.e2e.one_by_one import OneByOne, udp
from tests.e2e.state import filters

IP = "prio 1 proto ip flower"
TO_VM2 = "action mirred egress redirect dev ens1f0_1"
TO_VM1 = "action mirred egress redirect dev ens1f0_0"
INTO_1 = "action mirred ingress redirect dev ens1f0_1"


def used(hv1: OneByOne, device: str) -> dict[tuple[int, int], int]:
    """Packets of the filters that have seen any, by chain and prio."""
    return {
        (each.chain, each.prio): each.count.all
        for each in filters(hv1.hypervisor, device)
        if each.count.all and each.prio < 9000
    }


def test_the_other_devices_filters_decide(hv1: OneByOne) -> None:
    """Also to send it out of the port it is said to have come from, or back."""
    hv1.add(f"ens1f0_0 {IP} {INTO_1}", f"ens1f0_1 {IP} {TO_VM2}")
    assert hv1.through(udp()).places == ["vm2"]
    assert used(hv1, "ens1f0_1") == {(0, 1): 1}
    hv1.hypervisor.must(*"tc filter del dev ens1f0_1 ingress".split())
    assert hv1.through(udp()).places == ["stack"], "no filter there"
    hv1.add(f"ens1f0_1 {IP} {TO_VM1}")
    assert hv1.through(udp()).places == ["vm1"]


def test_it_begins_at_chain_0(hv1: OneByOne) -> None:
    """Wherever in its own device's chains it was."""
    hv1.add(
        f"ens1f0_0 {IP} action goto chain 7",
        f"ens1f0_0 chain 7 {IP} {INTO_1}",
        f"ens1f0_1 chain 7 {IP} action drop",
        f"ens1f0_1 {IP} {TO_VM2}",
    )
    assert hv1.through(udp()).places == ["vm2"]


def test_a_mirror_leaves_the_packet_as_it_was(hv1: OneByOne) -> None:
    """Chain, device and all: the copy's walk is its own."""
    hv1.add(
        f"ens1f0_0 {IP} action mirred ingress mirror dev ens1f0_1 goto chain 3",
        f"ens1f0_0 chain 3 {IP} {TO_VM1}",
        f"ens1f0_1 {IP} action goto chain 4",
        f"ens1f0_1 chain 4 {IP} {TO_VM2}",
        f"ens1f0_1 chain 3 {IP} action drop",
    )
    assert hv1.through(udp()).places == ["vm1", "vm2"]


def test_into_itself_it_goes_four_times(hv1: OneByOne) -> None:
    """Source: the kernel, observed; mirred's own limit of recursion."""
    hv1.add(
        f"ens1f0_0 {IP} action mirred egress mirror dev ens1f0_1 pipe "
        "action mirred ingress redirect dev ens1f0_0"
    )
    out = hv1.through(udp())
    assert out.places == ["vm2"] and used(hv1, "ens1f0_0") == {(0, 1): 5}
