"""``tc filter change`` and ``replace``: one filter in another's place."""

from __future__ import annotations

import pytest

from controller.commands.answer import Answer
from tests.unit.connections import TCP
from tests.unit.controller.bed import PORTS, REP0, REP1, VXLAN, Bed, of_connection

PLACE = f"dev {REP0} ingress prio 1 proto ip handle 1 flower"
TO_1 = f"action mirred egress redirect dev {REP1}"
TO_0 = f"action mirred egress redirect dev {REP0}"
DROP = "action drop"


def went(bed: Bed) -> list[int]:
    return bed.send(of_connection(TCP)).ports


@pytest.mark.parametrize("half", ["skip_hw", "skip_sw", ""])
@pytest.mark.parametrize("verb", ["replace", "change"])
def test_packets_meet_the_new_filter(verb: str, half: str) -> None:
    bed = Bed()
    bed.add(f"filter add {PLACE} {half} {TO_1}")
    assert went(bed) == [PORTS[REP1]]
    bed.add(f"filter {verb} {PLACE} {half} {DROP}")
    assert went(bed) == []
    assert len(bed.hypervisor.filters) == 1
    bed.add(f"filter del dev {REP0} ingress")
    assert not bed.rules_of_filters()


def test_a_replaced_filter_counts_anew() -> None:
    bed = Bed()
    bed.add(f"filter add {PLACE} {TO_1}")
    went(bed)
    bed.add(f"filter replace {PLACE} {TO_1}")
    assert bed.packets() == [0]
    went(bed)
    assert bed.packets() == [1]


def test_a_filter_that_keeps_its_action_goes_on_counting() -> None:
    bed = Bed()
    bed.add(f"filter add {PLACE} {TO_1} index 7")
    went(bed)
    bed.add(f"filter replace {PLACE} action mirred index 7")
    assert bed.packets() == [1]
    went(bed)
    assert bed.packets() == [2]


def test_another_match_of_the_same_mask() -> None:
    bed = Bed()
    bed.add(f"filter add {PLACE} dst_ip 10.0.0.3 {TO_1}")
    assert went(bed) == [PORTS[REP1]]
    bed.add(f"filter change {PLACE} dst_ip 10.0.0.9 {TO_1}")
    assert PORTS[REP1] not in went(bed)
    bed.add(
        f"filter add dev {REP0} ingress prio 1 proto ip flower dst_ip 10.0.0.3 {TO_1}"
    )
    assert went(bed) == [PORTS[REP1]]


def test_into_a_ct_filter_and_back() -> None:
    bed = Bed()
    bed.add(f"filter add {PLACE} {TO_1}")
    bed.add(f"filter replace {PLACE} action ct zone 3 pipe {TO_1}")
    assert set(bed.hypervisor.act_ct.tables) == {3}
    assert went(bed) == [PORTS[REP1]]
    bed.add(f"filter replace {PLACE} action ct zone 4 pipe {TO_1}")
    assert set(bed.hypervisor.act_ct.tables) == {4}
    bed.add(f"filter replace {PLACE} {TO_1}")
    assert not bed.hypervisor.act_ct.tables


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"replace {PLACE} src_ip 10.0.0.1 {DROP}", "Invalid argument"),
        (f"change {PLACE.replace('handle 1', 'handle 9')} {DROP}", "Need both RTM_NEW"),
        (f"change {PLACE.replace('handle 1', '')} {DROP}", "Need both RTM_NEW"),
        (f"replace {PLACE.replace('handle 1', '')} {TO_1}", "File exists"),
        (f"replace {PLACE.replace('proto ip', 'proto arp')} {DROP}", "not found"),
        (f"replace {PLACE} skip_sw action pass", "The offload action is not supported"),
        (f"replace {PLACE} action ct pipe action ct zone 70000", "Illegal"),
        (
            f"replace {PLACE} action mirred egress redirect dev {VXLAN}",
            "needs tunnel_key",
        ),
    ],
)
def test_what_cannot_be_replaced_leaves_what_there_is(line: str, said: str) -> None:
    bed = Bed()
    bed.add(f"filter add {PLACE} {TO_1}")
    before = bed.everything()
    answer = bed.tc(f"filter {line}")
    assert answer.code and said in answer.stderr
    assert bed.everything() == before
    assert went(bed) == [PORTS[REP1]]


def test_replace_makes_what_is_not_there() -> None:
    bed = Bed()
    bed.add(f"filter replace {PLACE} {TO_1}")
    assert went(bed) == [PORTS[REP1]]


def test_replacing_in_turn_ends_with_the_last() -> None:
    bed = Bed()
    bed.add(f"filter add {PLACE} {DROP}")
    for number in range(20):
        verb = "change" if number % 3 else "replace"
        action = TO_1 if number % 2 else DROP
        assert bed.tc(f"filter {verb} {PLACE} {action}") == Answer()
    assert went(bed) == [PORTS[REP1]]
    assert [action["index"] for action in bed.shown_actions()] == [1]
