"""Filters of what leaves by a device, and what they do to those that send there."""

from __future__ import annotations

import pytest

from controller.rules import Owner, Table
from tests.unit.connections import TCP
from tests.unit.controller.bed import PORTS, REP0, REP1, VXLAN, Bed, of_connection

SENDS = (
    f"filter add dev {REP0} ingress prio 1 proto ip flower"
    f" action mirred egress redirect dev {REP1}"
)
LEAVES = f"filter add dev {REP1} egress prio 1 proto ip flower"
GONE = f"filter del dev {REP1} egress"
KEY = "action tunnel_key set src_ip 0.0.0.0 dst_ip 7.7.7.8 id 98 dst_port 4789"


def test_the_first_takes_senders_out_of_hardware_and_the_last_lets_them_in() -> None:
    bed = Bed()
    bed.add(SENDS)
    there = bed.everything()
    [sender] = bed.hypervisor.filters
    bed.add(f"{LEAVES} action drop", f"{LEAVES} ip_proto tcp action drop")
    assert sender.why_not == f"{REP1} has egress filters, which are software's"
    walk = bed.send(of_connection(TCP))
    assert not walk.outputs and Table.EGRESS in walk.tables
    bed.add(f"{GONE} prio 1 handle 1 flower")
    assert not bed.send(of_connection(TCP)).outputs and not sender.in_hw
    bed.add(GONE)
    assert sender.in_hw and bed.send(of_connection(TCP)).in_hardware
    assert not bed.table.rules(Table.EGRESS, Owner.FILTER)
    assert bed.everything()[1] == there[1]


def test_a_refused_one_changes_nothing() -> None:
    bed = Bed()
    bed.add(SENDS)
    before = bed.everything()
    for words in ("skip_sw action drop", "action ct force zone 3 action drop"):
        assert bed.tc(f"{LEAVES} {words}").code
    assert bed.everything() == before


@pytest.mark.parametrize("offload", [True, False])
def test_zones_stay_in_hardware_with_who_has_them(offload: bool) -> None:
    """A filter with ct that sends there leaves its zone, and comes back to it."""
    bed = Bed(offload)
    bed.add(SENDS.replace("action mirred", "action ct zone 4 pipe action mirred"))
    table = bed.hypervisor.act_ct.tables[4]
    assert table.offloaded is offload
    bed.add(f"{LEAVES} action drop")
    assert not table.offloaded and bed.hypervisor.act_ct.tables[4] is table
    bed.add(GONE)
    assert table.offloaded is offload


def test_off_and_on_again() -> None:
    """An egress filter is asked about by nobody."""
    bed = Bed()
    bed.add(f"{LEAVES} action drop", SENDS)
    for offload in (False, True):
        bed.hypervisor.set_offload(offload)
        bed.deliver()
        own, sender = bed.hypervisor.filters
        assert own.why_not == "hardware has no egress filters"
        assert not sender.in_hw and not bed.send(of_connection(TCP)).outputs


@pytest.mark.parametrize(("more", "port"), [("", PORTS[VXLAN]), (" ttl 9", 100)])
def test_a_key_that_wants_another_port(more: str, port: int) -> None:
    """Set at the tunnel's egress, its options decide which port sends."""
    bed = Bed()
    bed.add(
        SENDS.replace("action mirred", f"{KEY} action mirred").replace(REP1, VXLAN),
        f"filter add dev {VXLAN} egress prio 1 proto ip flower {KEY}{more}",
    )
    assert bed.send(of_connection(TCP)).ports == [port]


def test_a_device_that_is_left_by_where_it_came_in() -> None:
    bed = Bed()
    bed.add(
        SENDS.replace(f"dev {REP1}", f"dev {REP0}"),
        f"filter add dev {REP0} egress prio 1 proto ip flower action pass",
    )
    assert bed.send(of_connection(TCP)).ports == [PORTS[REP0]]
