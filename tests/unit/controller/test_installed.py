"""Filters in both halves: put in, taken out, moved, and failing without a trace."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller import installed, priorities
from controller.installed_filter import Count
from controller.rules import Owner, Table
from offload.errors import KernelError, Unsupported
from offload.profile import MLX5_6_1
from tests.unit.controller.bed import LETTER, REP0, Bed
from tests.unit.controller.made import prepared
from tests.unit.controller.read_back import plain

ADD = "filter add dev ens1f0_0 ingress "
REDIRECT = "action mirred egress redirect dev ens1f0_1"
# What goes up with each attempt, whatever comes of it.
COUNTERS = (
    "_last",
    "_next",
    "_last_filter",
    "_last_action",
    "masks_seen",
    "next_handle",
    "_outbox",
    "_card",
)


def state(value: Any) -> Any:
    """All that an object keeps, but for counters and what is empty."""
    if isinstance(value, dict):
        kept = {key: state(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each}
    if isinstance(value, list | tuple | set):
        return [state(each) for each in value]
    if callable(value):
        return None
    names = [*getattr(value, "__dict__", ()), *getattr(value, "__slots__", ())]
    if not names or isinstance(value, str | int | Enum):
        return value
    return state({n: getattr(value, n) for n in names if n not in COUNTERS})


def kept(bed: Bed) -> Any:
    """All that filters keep, once released ids have rested."""
    for now_s in (0.0, 9.0):
        bed.hypervisor.card.tick(now_s)
    return state(bed.hypervisor.filters)


def rules(bed: Bed) -> set[object]:
    """What the switch has of filters and chains."""
    return {
        plain(each.flow_mod.rule)
        for each in bed.table.standing.values()
        if each.flow_mod.rule.owner != Owner.PIPELINE
    }


def unchanged_by(bed: Bed, line: str) -> str:
    """What a command fails with; nothing may have changed."""
    bed.filters()  # knows the device from here on
    before, there = kept(bed), rules(bed)
    answer = bed.tc(line)
    assert answer.code, "it was to fail"
    assert rules(bed) == there
    assert kept(bed) == before
    return answer.stderr


def test_a_filter_comes_and_goes() -> None:
    bed = Bed()
    bed.filters()  # knows the device from here on
    before, there = kept(bed), rules(bed)
    bed.add(*LETTER)
    assert len(bed.hypervisor.filters) == 3
    in_hw = [each.in_hw for each in bed.hypervisor.filters]
    assert in_hw == [True, False, True]
    bed.add(
        "filter del dev ens1f0_0 ingress chain 2", "filter del dev ens1f0_0 ingress"
    )
    assert rules(bed) == there == set()
    assert kept(bed) == before


def test_the_switch_has_what_is_to_be_there() -> None:
    bed = Bed()
    bed.add(*LETTER)
    assert rules(bed) == {plain(each) for each in bed.hypervisor.filters.rules()}


@pytest.mark.parametrize(
    "line",
    [
        # hardware refuses, and software may not
        "prio 1 chain 3 proto ip flower skip_sw ct_state +trk+new action goto chain 2",
        # neither half can do this
        f"prio 1 chain 3 proto ip flower enc_tos 3 {REDIRECT}",
        "prio 1 chain 3 proto ip flower enc_tos 3 action drop",
        # the same, where only hardware is to have it
        f"prio 1 chain 3 proto ip flower skip_sw enc_tos 3 {REDIRECT}",
        "prio 1 chain 3 proto ip flower skip_sw action tunnel_key set src_ip 0.0.0.0"
        " dst_ip 7.7.7.8 id 98 dst_port 9 action mirred egress redirect dev vxlan0",
        # it is there already
        "prio 1 chain 2 proto ip flower ct_state +trk+est action drop",
        # another protocol's prio
        "prio 1 chain 2 proto ipv6 flower action drop",
    ],
)
def test_a_failed_add_leaves_no_trace(line: str) -> None:
    bed = Bed()
    bed.add(*LETTER)
    unchanged_by(bed, ADD + line)


def test_a_failed_add_between_two_prios_leaves_their_order() -> None:
    """It may have spread the labels of its chain anew before it failed."""
    bed = Bed()
    for prio in range(1000, 990, -1):
        bed.add(
            f"{ADD}prio {prio} proto ip flower dst_ip 10.0.0.{prio - 990} {REDIRECT}"
        )
    bed.add(f"{ADD}prio 1 proto ip flower dst_ip 10.0.0.99 {REDIRECT}")
    for prio in range(900, 850, -1):
        assert bed.tc(f"{ADD}prio {prio} proto ip flower enc_tos 3 {REDIRECT}").code
        in_order(bed)
        bed.add(
            f"{ADD}prio {prio} proto ip flower dst_ip 10.0.1.{prio - 800} {REDIRECT}"
        )
    in_order(bed)


def in_order(bed: Bed, device: str = REP0) -> None:
    """In each half and chain, earlier prios stand higher."""
    prios = {each.filter.id: each.filter.prio for each in bed.hypervisor.filters}
    for table in (Table.SW_CHAIN, Table.HW_CHAIN):
        standing = [
            (rule.priority, prios[rule.owner_id])
            for owner in (Owner.FILTER, Owner.PUNT)
            for rule in bed.table.rules(table, owner)
        ]
        assert len(standing) == len(prios)
        by_priority = [prio for _, prio in sorted(standing, reverse=True)]
        assert by_priority == sorted(by_priority), table


def test_no_room_between_two_prios_moves_them_all() -> None:
    bed = Bed()
    moves = 0
    bed.add(f"{ADD}prio 1 proto ip flower dst_ip 10.0.9.9 {REDIRECT}")
    for prio in range(100, 50, -1):
        skip = "skip_hw" if prio % 3 else ""
        before = rules(bed)
        bed.add(
            f"{ADD}prio {prio} proto ip flower {skip} dst_ip 10.0.0.{prio} {REDIRECT}"
        )
        moves += bool(before - rules(bed))
        in_order(bed)
    assert moves, "the test needs a smaller gap"
    in_order(bed)


def test_a_filter_that_moves_keeps_what_it_counted() -> None:
    """The rule it had before is reported with its counters when it goes."""
    bed = Bed()
    bed.add(f"{ADD}prio 1 proto ip flower {REDIRECT}")
    [rule] = [
        each
        for each in bed.table.standing.values()
        if each.flow_mod.rule.table == Table.HW_CHAIN
        and each.flow_mod.rule.owner == Owner.FILTER
    ]
    rule.packets, rule.bytes = 7, 700
    for prio in range(100, 50, -1):
        bed.add(f"{ADD}prio {prio} proto ip flower dst_ip 10.0.0.{prio} {REDIRECT}")
    first = bed.filters()[0]["options"]["actions"][0]["stats"]
    assert (first["hw_packets"], first["hw_bytes"]) == (7, 700)


@settings(max_examples=10)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 30), st.booleans()), max_size=25)
)
def test_whatever_is_added_and_removed(steps: list[tuple[bool, int, bool]]) -> None:
    bed, there = Bed(), set[int]()
    for adds, prio, software in steps:
        if adds and prio not in there:
            skip = "skip_hw" if software else ""
            key = f"dst_ip 10.0.0.{prio}" if prio % 2 else f"src_ip 10.0.0.{prio}"
            bed.add(f"{ADD}prio {prio} proto ip flower {skip} {key} {REDIRECT}")
            there.add(prio)
        elif not adds and prio in there:
            bed.add(f"filter del dev ens1f0_0 ingress prio {prio}")
            there.remove(prio)
    in_order(bed)
    assert rules(bed) == {plain(each) for each in bed.hypervisor.filters.rules()}


def test_chains_have_tags_as_long_as_hardware_uses_them() -> None:
    bed = Bed()
    bed.add(*LETTER)
    assert bed.table.owners()[Owner.CHAIN] == 1
    bed.add("filter del dev ens1f0_0 ingress prio 1 chain 2")
    assert bed.table.owners()[Owner.CHAIN] == 1, "chain 0 goes there"
    bed.add("filter del dev ens1f0_0 ingress prio 1")
    assert bed.table.owners()[Owner.CHAIN] == 0


def test_more_chains_than_hardware_has_stay_in_software() -> None:
    """As for mlx5: the filter stands, and says why it is not in hardware."""
    bed = Bed()
    bed.hypervisor.card.set("chain_tags", 1)
    bed.add(LETTER[0])
    line = f"{ADD}prio 1 chain 5 proto ip flower verbose action drop"
    answer = bed.tc(line)
    assert answer.code == 0
    assert "Requested chain is out of supported range" in answer.stderr
    refused = unchanged_by(bed, line.replace("verbose", "skip_sw dst_ip 1.1.1.1"))
    assert "Requested chain is out of supported range" in refused


def test_ids_run_out_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "MAX_FTE_IDS", 1)
    bed = Bed()
    two = f"{ADD}prio 1 proto ip flower action ct pipe action ct zone 2 pipe {REDIRECT}"
    unchanged_by(bed, two)
    bed.add(LETTER[0])


@pytest.mark.parametrize(
    ("resource", "line"),
    [
        ("fte_ids", f"chain 0 proto ip flower src_ip %s action ct pipe {REDIRECT}"),
        ("zone_ids", f"chain 0 proto ip flower action ct zone %d pipe {REDIRECT}"),
        ("tunnel_ids", "chain 0 proto ip flower enc_key_id %d action drop"),
        ("label_ids", "chain 0 proto ip flower ct_label 0%d action drop"),
    ],
)
def test_ids_of_the_card_run_out(resource: str, line: str) -> None:
    """The filter stands, in software; with the other gone it may come in."""
    bed = Bed(profile=MLX5_6_1)
    bed.hypervisor.card.set(resource, 1)
    one, other = (
        f"{ADD}prio {n} " + line.replace("%d", str(n)).replace("%s", f"10.0.0.{n}")
        for n in (1, 2)
    )
    bed.add(one)
    answer = bed.tc(other.replace("flower", "flower verbose"))
    what = resource[:-1].replace("_", " ")
    assert answer.code == 0
    assert f"no {what} is free: all 1 are in use" in answer.stderr
    bed.add("filter del dev ens1f0_0 ingress prio 1")
    bed.hypervisor.card.tick(0.0)
    bed.hypervisor.card.tick(2.0)
    bed.add("filter del dev ens1f0_0 ingress prio 2", other)
    assert [each.in_hw for each in bed.hypervisor.filters] == [True]


def test_off_is_a_reason_and_so_is_skip_hw() -> None:
    filters = Bed().hypervisor.filters
    line = f"{ADD}prio 1 proto ip flower %s {REDIRECT}"
    assert filters.add(prepared(line % "skip_hw"), 0.0).why_not == installed.SKIPPED
    off = Bed(offload=False).hypervisor.filters
    there = off.add(prepared(line % ""), 0.0)
    assert there.why_not == installed.OFF and not there.hardware
    assert off.get(there.filter.id) is there
    assert off.get(77) is None
    with pytest.raises(KernelError, match="mlx5_core: hw-tc-offload is off"):
        off.add(prepared(line.replace("prio 1", "prio 2") % "skip_sw"), 0.0)


def test_hardware_is_not_turned_off_under_filters_that_have_only_that() -> None:
    filters = Bed().hypervisor.filters
    only = filters.add(prepared(f"{ADD}prio 1 proto ip flower skip_sw {REDIRECT}"), 0.0)
    assert not only.software and only.in_hw
    with pytest.raises(Unsupported, match="Active offloaded tc filters"):
        filters.set_offload(False)
    assert filters.offload and only.in_hw and only.hardware


def test_off_and_on_again() -> None:
    bed = Bed()
    bed.add(*LETTER)
    there, before = rules(bed), kept(bed)
    bed.hypervisor.set_offload(False)
    bed.deliver()
    assert not bed.table.rules(Table.HW_CHAIN, Owner.FILTER)
    assert bed.table.owners()[Owner.CHAIN] == bed.table.owners()[Owner.PUNT] == 0
    assert {each.why_not for each in bed.hypervisor.filters} == {installed.OFF}
    bed.hypervisor.set_offload(True)
    bed.deliver()
    # The chain may have another tag now; all else is as it was.
    assert len(rules(bed)) == len(there)
    assert [each.in_hw for each in bed.hypervisor.filters] == [True, False, True]
    assert len(kept(bed)) == len(before)


def test_counts_add_up() -> None:
    assert Count(3, 300) - Count(1, 100) + Count(1, 1) == Count(3, 201)
    assert Count(2, 0) > Count(1, 9)


@settings(max_examples=5)
@example([*range(1, 13)])
@example([*range(12, 0, -1)])
@given(st.permutations(range(1, 13)))
def test_one_match_in_many_prios_with_little_room(prios: list[int]) -> None:
    """A filter may be given the place that another one is about to leave."""
    bed = Bed()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(priorities, "HIGHEST", 16)
        for prio in prios:
            bed.add(f"{ADD}prio {prio} proto ip flower dst_ip 10.0.0.1 {REDIRECT}")
            in_order(bed)
    assert rules(bed) == {plain(each) for each in bed.hypervisor.filters.rules()}


@pytest.mark.parametrize(
    ("skip", "offload"),
    [("skip_sw", True), ("skip_hw", True), ("skip_hw", False), ("", False)],
)
def test_only_the_halves_a_filter_has_are_moved(skip: str, offload: bool) -> None:
    bed = Bed(offload)
    bed.add(f"{ADD}prio 1 proto ip flower dst_ip 10.0.9.9 {REDIRECT}")
    for prio in range(100, 85, -1):
        bed.add(
            f"{ADD}prio {prio} proto ip flower {skip} dst_ip 10.0.0.{prio} {REDIRECT}"
        )
    assert rules(bed) == {plain(each) for each in bed.hypervisor.filters.rules()}
    halves = {rule.table for rule in bed.hypervisor.filters.rules()}
    assert (Table.HW_CHAIN in halves) == offload
