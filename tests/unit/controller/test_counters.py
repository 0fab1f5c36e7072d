"""What each half did, from what its rules were credited with."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.counters import Halves, Tally, by_action, tally
from controller.installed_filter import Count, InstalledFilter
from controller.openflow.decode import Counted
from controller.rules import Owner, Resubmit, Rule, Table
from offload.act_api import ActionName, Counters
from offload.cls_api import Classifier
from tests.unit.controller.made import prepared

ADD = "filter add dev ens1f0_0 ingress prio 1 "
CT_GOTO_2 = ADD + "proto ip flower action ct pipe action goto chain 2"
COMMIT = (
    ADD + "chain 2 proto ip flower ct_state +trk+new action ct commit pipe action drop"
)
PLAIN = ADD + "chain 2 proto ip flower ct_state +trk+est action drop"
OTHER = ADD + "chain 2 proto ip flower ct_state +trk action drop"
PUNT = Rule(Table.HW_CHAIN, 1, (), (Resubmit(Table.HW_MISS),))
BYTES = 100
PACKETS = st.integers(0, 10**6)


def installed(*lines: str) -> list[InstalledFilter]:
    classifier = Classifier()
    made = []
    for fte_id, line in enumerate(lines, 1):
        filter_ = prepared(line, classifier)
        classifier.block(filter_.point).insert(filter_)
        made.append(InstalledFilter(filter_, 0.0, (fte_id,) * len(filter_.zones)))
    return made


def counted(of: InstalledFilter, table: Table, packets: int) -> Counted:
    return Counted(Owner.FILTER, of.filter.id, table, packets, packets * BYTES)


def halves(tally_: Tally) -> tuple[int, int]:
    """(software, hardware) packets; the bytes must agree."""
    for count in (tally_.software, tally_.hardware):
        assert count.bytes == count.packets * BYTES
    return tally_.software.packets, tally_.hardware.packets


@given(PACKETS, PACKETS)
def test_without_ct_each_half_has_its_rule(software: int, hardware: int) -> None:
    [plain] = installed(PLAIN)
    rules = [
        counted(plain, Table.SW_CHAIN, software),
        counted(plain, Table.HW_CHAIN, hardware),
    ]
    assert halves(tally([plain], rules)[plain.filter.id]) == (software, hardware)


@given(PACKETS, st.integers(1, 10**6), st.data())
def test_a_ct_filter_is_exact_whoever_was_credited(
    software: int, hardware: int, data: st.DataObject
) -> None:
    """Some packets of software were credited to hardware, or the other way round."""
    wrongly = data.draw(st.integers(1 - hardware, software))
    [ct] = installed(CT_GOTO_2)
    rules = [
        counted(ct, Table.SW_CHAIN, software - wrongly),
        counted(ct, Table.HW_POST_CT, hardware + wrongly),
        counted(ct, Table.SW_POST_CT, software),
        counted(ct, Table.HW_CHAIN, hardware + software),
    ]
    found = tally([ct], rules)[ct.filter.id]
    assert halves(found) == (software, hardware)
    assert found.excess == Count(wrongly, wrongly * BYTES)


@given(PACKETS, st.integers(1, 10**6), st.data())
def test_what_was_too_much_is_taken_off_in_the_next_chain(
    software: int, hardware: int, data: st.DataObject
) -> None:
    wrongly = data.draw(st.integers(0, software))
    ct, established = installed(CT_GOTO_2, PLAIN)
    rules = [
        counted(ct, Table.SW_CHAIN, software - wrongly),
        counted(ct, Table.HW_POST_CT, hardware + wrongly),
        counted(ct, Table.SW_POST_CT, software),
        counted(established, Table.SW_CHAIN, software),
        counted(established, Table.HW_CHAIN, hardware + wrongly),
    ]
    found = tally([ct, established], rules)
    assert halves(found[established.filter.id]) == (software, hardware)


@given(PACKETS, st.integers(1, 10**6), st.data())
def test_a_filter_that_hardware_sends_on_counts_no_packet_twice(
    software: int, hardware: int, data: st.DataObject
) -> None:
    """What was credited to hardware wrongly went on from there to software's rule."""
    wrongly = data.draw(st.integers(0, software))
    ct, established = installed(CT_GOTO_2, PLAIN)
    established.why_not, established.hardware = "refused", [PUNT]
    rules = [
        counted(ct, Table.SW_CHAIN, software - wrongly),
        counted(ct, Table.HW_POST_CT, hardware + wrongly),
        counted(ct, Table.SW_POST_CT, software),
        counted(established, Table.SW_CHAIN, software + hardware + wrongly),
    ]
    found = tally([ct, established], rules)
    assert halves(found[established.filter.id]) == (software + hardware, 0)


@given(st.integers(1, 10**6), PACKETS)
def test_nor_does_one_that_tracks_again(software: int, wrongly: int) -> None:
    ct, again, other = installed(CT_GOTO_2, COMMIT, PLAIN)
    again.why_not, again.hardware = "refused", [PUNT]
    rules = [
        counted(ct, Table.HW_POST_CT, software + wrongly),
        counted(ct, Table.SW_POST_CT, wrongly),
        counted(again, Table.SW_CHAIN, software + wrongly),
        counted(again, Table.SW_POST_CT, software),
        counted(other, Table.HW_CHAIN, 5),
    ]
    found = tally([ct, again, other], rules)
    assert halves(found[again.filter.id]) == (software, 0)
    assert halves(found[other.filter.id]) == (0, 5)


@given(st.integers(1, 10**6), PACKETS, PACKETS, st.data())
def test_in_the_second_of_two_zones_it_is_software_that_has_too_much(
    software: int, hardware: int, dropped: int, data: st.DataObject
) -> None:
    """The first zone's entries came first: its hits missed in the second, and went to software."""
    wrongly = data.draw(st.integers(0, software))
    first, second = installed(CT_GOTO_2, COMMIT)

    def credited(hardware: int) -> list[Counted]:
        return [
            counted(first, Table.SW_CHAIN, software - wrongly),
            counted(first, Table.HW_POST_CT, wrongly + hardware),
            counted(first, Table.SW_POST_CT, software),
            counted(second, Table.SW_CHAIN, software + wrongly + dropped),
            counted(second, Table.SW_POST_CT, software),
            counted(second, Table.HW_POST_CT, hardware),
        ]

    before = tally([first, second], credited(0))[second.filter.id]
    assert halves(before) == (software + dropped, 0)
    after = tally([first, second], credited(hardware))[second.filter.id]
    assert (
        after.software.packets + after.hardware.packets == software + hardware + dropped
    )
    if not dropped:
        assert halves(after) == (software, hardware)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.data())
def test_spread_over_several_it_is_neither_more_nor_less(
    one: int, two: int, data: st.DataObject
) -> None:
    wrongly = data.draw(st.integers(0, one + two))
    ct, first, second = installed(CT_GOTO_2, PLAIN, OTHER)
    rules = [
        counted(ct, Table.HW_POST_CT, one + two),
        counted(ct, Table.SW_POST_CT, wrongly),
        counted(first, Table.HW_CHAIN, one),
        counted(second, Table.HW_CHAIN, two),
    ]
    found = tally([ct, first, second], rules)
    left = [found[each.filter.id].hardware.packets for each in (first, second)]
    assert sum(left) == one + two - wrongly
    assert all(packets >= 0 for packets in left)


def test_a_new_filter_has_no_part_in_what_was_before_it() -> None:
    """Of six earlier packets five were credited wrongly; then there is another filter."""
    ct, first, second = installed(CT_GOTO_2, PLAIN, OTHER)
    before = [
        counted(ct, Table.HW_POST_CT, 6),
        counted(ct, Table.SW_POST_CT, 5),
        counted(first, Table.HW_CHAIN, 6),
    ]
    assert halves(tally([ct, first], before)[first.filter.id]) == (0, 1)
    now = [
        counted(ct, Table.HW_POST_CT, 12),
        *before[1:],
        counted(second, Table.HW_CHAIN, 6),
    ]
    found = tally([ct, first, second], now)
    assert halves(found[first.filter.id]) == (0, 1)
    assert halves(found[second.filter.id]) == (0, 6)
    assert halves(tally([ct, second], now)[second.filter.id]) == (0, 6)


def test_what_turns_out_to_be_no_wrong_credit_is_given_back() -> None:
    """The counters of a moment: what stands in front of ct() was not credited yet."""
    ct, first, second = installed(CT_GOTO_2, PLAIN, OTHER)
    early = [
        counted(ct, Table.HW_POST_CT, 8),
        counted(ct, Table.SW_POST_CT, 4),
        counted(first, Table.HW_CHAIN, 4),
        counted(second, Table.HW_CHAIN, 4),
    ]
    found = tally([ct, first, second], early)
    assert halves(found[first.filter.id]) == halves(found[second.filter.id]) == (0, 2)
    found = tally([ct, first, second], [*early, counted(ct, Table.SW_CHAIN, 4)])
    assert halves(found[first.filter.id]) == halves(found[second.filter.id]) == (0, 4)


@given(PACKETS, PACKETS, PACKETS)
def test_no_count_is_below_zero(wrongly: int, hardware: int, other: int) -> None:
    """What was credited wrongly may not have reached a filter that counts it."""
    ct, first, second = installed(CT_GOTO_2, PLAIN, OTHER)
    rules = [
        counted(ct, Table.HW_POST_CT, hardware + wrongly),
        counted(ct, Table.SW_POST_CT, wrongly),
        counted(first, Table.HW_CHAIN, other),
        counted(second, Table.HW_CHAIN, other // 2),
    ]
    for each in tally([ct, first, second], rules).values():
        assert each.hardware >= Count() and each.software >= Count()
        assert each.hardware.bytes >= 0


def test_before_hardware_has_any_what_stands_in_front_counts() -> None:
    """A packet that did not come back from ct() (a fragment held) is counted too."""
    [ct] = installed(COMMIT)
    rules = [counted(ct, Table.SW_CHAIN, 5), counted(ct, Table.SW_POST_CT, 3)]
    assert halves(tally([ct], rules)[ct.filter.id]) == (5, 0)


def test_what_earlier_rules_counted_is_not_lost() -> None:
    [plain] = installed(PLAIN)
    plain.had_counted(Table.HW_CHAIN, Count(2, 200))
    plain.had_counted(Table.HW_CHAIN, Count(1, 100))
    rules = [counted(plain, Table.HW_CHAIN, 4)]
    assert halves(tally([plain], rules)[plain.filter.id]) == (0, 7)
    assert halves(tally([plain], [])[plain.filter.id]) == (0, 3)


def test_with_two_ct_actions_the_first_counts_the_filter() -> None:
    [ct] = installed(
        ADD + "proto ip flower action ct pipe action ct zone 2 pipe action drop"
    )
    rules = [
        counted(ct, Table.SW_CHAIN, 5),
        counted(ct, Table.SW_POST_CT, 4),
        counted(ct, Table.SW_POST_CT, 5),
    ]
    assert halves(tally([ct], rules)[ct.filter.id]) == (5, 0)


def test_rules_of_nobody_are_nobodys() -> None:
    [plain] = installed(PLAIN)
    stray = Counted(Owner.FILTER, 999, Table.SW_CHAIN, 5, 500)
    assert halves(tally([plain], [stray])[plain.filter.id]) == (0, 0)


def test_a_ct_filter_that_leads_to_no_chain_takes_off_nothing() -> None:
    ct, other = installed(ADD + "proto ip flower action ct pipe action drop", PLAIN)
    rules = [
        counted(ct, Table.HW_POST_CT, 5),
        counted(ct, Table.SW_POST_CT, 2),
        counted(other, Table.HW_CHAIN, 9),
    ]
    found = tally([ct, other], rules)
    assert halves(found[ct.filter.id]) == (2, 3)
    assert halves(found[other.filter.id]) == (0, 9)


def by_name(line: str) -> dict[ActionName, Halves]:
    """What each action has counted when each half's rule has seen ten packets."""
    [one] = installed(line)
    one.filter = replace(one.filter, action_indexes=(1, 2, 1, 2))
    rules = [counted(one, table, 10) for table in (Table.SW_CHAIN, Table.HW_CHAIN)]
    return by_action(tally([one], rules)[one.filter.id])


FOUR = "flower action vlan push id 5 action pass action vlan push id 5 action drop"


def test_in_software_an_action_counts_when_it_runs() -> None:
    """Twice, if the list has it twice; hardware counts all of a filter's alike."""
    hardware = Counters(20, 2000)
    assert by_name(f"{ADD} proto ip {FOUR}") == {
        ("vlan", 1): (Counters(10, 860), hardware),
        ("gact", 2): (Counters(10, 860), hardware),
    }
    twice = FOUR.replace("pass", "pipe")
    assert by_name(f"{ADD} proto ip {twice}") == {
        ("vlan", 1): (Counters(20, 1720), hardware),
        ("gact", 2): (Counters(20, 1720), hardware),
    }


def test_in_software_neither_header_nor_tag_counts() -> None:
    software, hardware = by_name(f"{ADD} proto 802.1q {FOUR}")["vlan", 1]
    assert (software, hardware) == (Counters(10, 820), Counters(20, 2000))
