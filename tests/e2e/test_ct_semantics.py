"""act_ct in software, packet by packet, where it is more than a lookup."""

from __future__ import annotations

import pytest
from scapy.all import ARP, IP, TCP, UDP, Dot1Q, Ether, IPv6, Raw, fragment

from tests.e2e.one_by_one import NOBODY, SENDER, TAG, OneByOne, udp
from tests.e2e.state import filters, refused

TO_VM2 = "action mirred egress redirect dev ens1f0_1"
MINE = f"src_mac {SENDER}"
ETHER = Ether(src=SENDER, dst=NOBODY)


def tcp(flags: str) -> Ether:
    ports = TCP(sport=1000, dport=80, flags=flags, seq=1, ack=1)
    return ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / ports / Raw(TAG)


def used(hv1: OneByOne) -> list[tuple[int, int]]:
    """The filters that have seen a packet, by chain and prio."""
    return [
        (each.chain, each.prio)
        for each in filters(hv1.hypervisor, "ens1f0_0")
        if each.count.all and each.prio < 9000
    ]


@pytest.mark.parametrize("protocol", ["all", "arp"])
def test_what_is_not_ip_is_dropped(hv1: OneByOne, protocol: str) -> None:
    """Source: net/sched/act_ct.c:tcf_ct_skb_network_trim, tcf_ct_act"""
    hv1.add(
        f"ens1f0_0 prio 1 proto {protocol} flower {MINE} action ct {TO_VM2}",
        f"ens1f0_0 prio 2 proto {protocol} flower {MINE} {TO_VM2}",
    )
    arp = ETHER / ARP(pdst="10.0.0.2") / Raw(TAG)
    assert hv1.through(arp).places == []
    assert used(hv1) == [(0, 1)]


@pytest.mark.parametrize(
    "packet",
    [udp(), ETHER / IPv6(src="fd00::1", dst="fd00::2") / UDP(dport=9) / Raw(TAG)],
    ids=["IPv4", "IPv6"],
)
def test_any_protocols_ct_takes_both_families(hv1: OneByOne, packet: Ether) -> None:
    """A filter of protocol all finds the connection of either."""
    hv1.add(
        f"ens1f0_0 prio 1 proto all flower {MINE} ct_state -trk action ct goto chain 1",
        f"ens1f0_0 chain 1 prio 1 proto all flower ct_state +trk+new {TO_VM2}",
    )
    assert hv1.through(packet).places == ["vm2"]


def test_a_tagged_packet_is_tracked(hv1: OneByOne) -> None:
    """Whether the filter says what is behind the tag or not."""
    hv1.add(
        "ens1f0_0 prio 1 proto 802.1q flower ct_state -trk action ct goto chain 1",
        f"ens1f0_0 chain 1 prio 1 proto 802.1q flower ct_state +trk+new {TO_VM2}",
    )
    inner = udp()
    tagged = ETHER / Dot1Q(vlan=5) / inner.payload
    [out] = hv1.through(tagged).vm2
    assert bytes(out) == bytes(tagged)


def test_a_reset_of_no_connection_is_not_new(hv1: OneByOne) -> None:
    """Linux 5.7 calls it untracked; OVS's conntrack would take it for new."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower action ct goto chain 1",
        f"ens1f0_0 chain 1 prio 1 proto ip flower ct_state +trk+new {TO_VM2}",
        "ens1f0_0 chain 1 prio 2 proto ip flower ct_state -trk action pass",
    )
    assert hv1.through(tcp("S")).places == ["vm2"]
    assert hv1.through(tcp("R")).places == ["stack"]
    assert hv1.through(tcp("RA")).places == ["stack"]


def test_fragments_are_tracked_and_leave_as_they_came(hv1: OneByOne) -> None:
    """As they came: within the MTU, in order, and only when the last one is there."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower ct_state -trk action ct goto chain 1",
        f"ens1f0_0 chain 1 prio 1 proto ip flower ct_state +trk+new {TO_VM2}",
    )
    datagram = IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(dport=9) / Raw(TAG * 200)
    pieces = [ETHER / each for each in fragment(datagram, 800)]
    assert hv1.through(*pieces[:-1]).places == [], "the last one is missing"
    out = hv1.through(pieces[-1])
    assert [bytes(each) for each in out.vm2] == [bytes(each) for each in pieces]


def test_zones_are_switched_and_each_finds_its_own(hv1: OneByOne) -> None:
    """What is established in one zone is new in another."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower ct_state -trk "
        "action ct commit zone 1 pipe action ct zone 2 goto chain 1",
        "ens1f0_0 chain 1 prio 1 proto ip flower ct_zone 1 action drop",
        f"ens1f0_0 chain 1 prio 2 proto ip flower ct_zone 2 ct_state +trk+new {TO_VM2}",
    )
    assert hv1.through(udp()).places == ["vm2"]


def test_clear_makes_it_untracked_again(hv1: OneByOne) -> None:
    """Neither state nor zone nor mark is left."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower ct_state -trk ct_mark 0 "
        "action ct commit zone 3 mark 7 goto chain 1",
        "ens1f0_0 chain 1 prio 1 proto ip flower ct_zone 3 ct_mark 7 ct_state +trk "
        "action ct clear goto chain 2",
        "ens1f0_0 chain 2 prio 1 proto ip flower ct_state +trk action drop",
        "ens1f0_0 chain 2 prio 2 proto ip flower ct_zone 3 action drop",
        "ens1f0_0 chain 2 prio 3 proto ip flower ct_mark 7 action drop",
        f"ens1f0_0 chain 2 prio 4 proto ip flower ct_state -trk {TO_VM2}",
    )
    assert hv1.through(udp()).places == ["vm2"]


def test_without_a_commit_neither_mark_nor_label_is_written(hv1: OneByOne) -> None:
    """It is a lookup like any other; what would need a commit is refused."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower ct_state -trk "
        "action ct zone 3 mark 0x42 label 01 goto chain 1",
        "ens1f0_0 chain 1 prio 1 proto ip flower "
        f"ct_state +trk+new ct_zone 3 ct_mark 0 ct_label 00/ff {TO_VM2}",
    )
    assert hv1.through(udp()).places == ["vm2"]
    line = "filter add dev ens1f0_0 ingress prio 2 proto ip flower action ct force"
    failure = refused(hv1.hypervisor, "tc", *line.split())
    assert "ct force: the switch does it only with a commit" in failure.stderr


def test_mark_and_label_under_masks(hv1: OneByOne) -> None:
    """The bits under the mask are set, the others stay as an earlier commit left them."""
    hv1.add(
        "ens1f0_0 prio 1 proto ip flower action ct commit mark 0xff00 label 0f0f pipe "
        "action ct commit mark 0x12/0xff label 0030/00f0 pipe action ct goto chain 1",
        "ens1f0_0 chain 1 prio 1 proto ip flower "
        f"ct_mark 0xff12 ct_label 0f3f/ffff {TO_VM2}",
    )
    assert hv1.through(udp()).places == ["vm2"]
