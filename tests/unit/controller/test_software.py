"""A filter as rules of the software half."""

from __future__ import annotations

import pytest

from controller import fields, filters, software
from controller.rules import (
    Match,
    Output,
    Owner,
    Resubmit,
    Rule,
    SetField,
    Table,
    Track,
    TrackClear,
    Translate,
)
from offload.actions import Gact
from offload.cls_api import Filter
from offload.errors import Unsupported
from offload.flower import ETH_P_IP
from offload.profile import MLX5_6_1
from tests.unit.controller.bed import LETTER
from tests.unit.controller.made import device_of, flower, prepared

ENCAP = (
    SetField(fields.TUN_IPV4_SRC, 0),
    SetField(fields.TUN_IPV4_DST, 0x07070708),
    SetField(fields.TUN_ID, 98),
    Output(3),
)
IPV4 = (Match(fields.ETH_TYPE, 0x0800), Match(fields.VLAN_VID, 0))
FIRST_SEGMENT = Match(fields.SEGMENT, 0)
GOTO_2 = (SetField(fields.CHAIN, 2), *filters.ONE_MORE_GOTO, Resubmit(Table.SW_CHAIN))


def rules(filter_: Filter, *fte_ids: int) -> list[Rule]:
    assert software.ct_count(filter_) == len(fte_ids)
    return software.rules(filter_, 500, fte_ids, device_of)


def tracks(line: str) -> Track:
    [before, _] = rules(flower(line), 9)
    last = before.actions[-1]
    assert isinstance(last, Track)
    return last


def at(chain: int, *more: Match) -> tuple[Match, ...]:
    where = (Match(fields.IN_PORT, 1), Match(fields.CHAIN, chain))
    return (*where, FIRST_SEGMENT, *IPV4, *more)


def test_without_a_commit_a_connection_is_not_changed() -> None:
    """Source: net/sched/act_ct.c:tcf_ct_act"""
    line = "action ct zone 3 {} pipe action drop"
    for words in ("", "mark 0x42", "mark 1/1 label 42"):
        assert tracks(line.format(words)) == Track(3, table=Table.SW_TRACK)
    with pytest.raises(Unsupported, match="ct force: the switch does it only with"):
        tracks(line.format("force"))


def test_letters_first_filter_asks_conntrack_and_goes_to_chain_2() -> None:
    filter_ = prepared(LETTER[0])
    vm1 = Match(fields.ETH_SRC, 0x248A07A52801)
    untracked = Match(fields.CT_STATE, 0, 0x20)
    ask = (
        SetField(fields.FTE_ID, 9),
        SetField(fields.ZONE, 0),
        SetField(fields.OFFER, 1),
        SetField(fields.COMMIT, 0),
        SetField(fields.BINDS, 0),
        Track(0, table=Table.SW_TRACK),
    )
    mine = (Owner.FILTER, filter_.id, True)
    assert rules(filter_, 9) == [
        Rule(Table.SW_CHAIN, 500, at(0, vm1, untracked), ask, *mine),
        Rule(Table.SW_POST_CT, 10, (IPV4[0], Match(fields.FTE_ID, 9)), GOTO_2, *mine),
    ]


def test_letters_second_filter_commits_and_encapsulates() -> None:
    before, after = rules(prepared(LETTER[1]), 9)
    assert before.matches == at(2, Match(fields.CT_STATE, 0x21, 0x21))
    assert SetField(fields.OFFER, 0) in before.actions, "5.7: never on a commit"
    assert before.actions[-1] == Track(0, commit=True, table=Table.SW_TRACK)
    assert after.actions == ENCAP


def test_letters_third_filter_encapsulates() -> None:
    [rule] = rules(prepared(LETTER[2]))
    assert rule.matches == at(2, Match(fields.CT_STATE, 0x22, 0x22))
    assert (rule.table, rule.priority, rule.actions) == (Table.SW_CHAIN, 500, ENCAP)


def test_what_ct_is_told() -> None:
    told = tracks(
        "action ct commit force zone 5 mark 0x7/0xf label 0102/ffff"
        " pipe action mirred egress redirect dev ens1f0_1"
    )
    mark = SetField(fields.CONNTRACK_MARK, 7, 15)
    label = SetField(fields.CONNTRACK_LABEL, 0x0201, 0xFFFF)
    assert told == Track(5, True, True, Table.SW_TRACK, (mark, label))


def test_a_whole_label_leaves_two_bits_alone() -> None:
    [label] = tracks("action ct commit label 01 pipe action drop").sets
    assert (label.value, label.mask) == (1, (1 << 124) - 1)
    with pytest.raises(Unsupported, match="four highest bits are the testbed's own"):
        tracks(f"action ct commit label {'ff' * 16} pipe action drop")


def test_an_empty_mask_sets_nothing() -> None:
    assert tracks("action ct commit mark 0/0 pipe action drop").sets == ()


@pytest.mark.parametrize(
    ("words", "nat"),
    [
        (
            "commit nat src addr 10.0.0.9",
            Translate(True, "10.0.0.9", "10.0.0.9"),
        ),
        (
            "commit nat dst addr 10.0.0.8-10.0.0.9 port 80-90",
            Translate(False, "10.0.0.8", "10.0.0.9", 80, 90),
        ),
    ],
)
def test_nat(words: str, nat: Translate) -> None:
    assert tracks(f"action ct {words} pipe action drop").nat == nat


def test_a_reply_is_seen_before_it_is_translated() -> None:
    look = tracks("action ct zone 5 nat pipe action drop")
    assert look == Track(5, table=Table.SW_NAT)


def test_a_later_generation_offers_on_commit() -> None:
    [before, _] = software.rules(prepared(LETTER[1]), 500, [9], device_of, MLX5_6_1)
    assert SetField(fields.OFFER, 1) in before.actions
    assert SetField(fields.COMMIT, 1) in before.actions


def test_actions_before_ct_run_before_it() -> None:
    before, after = rules(
        flower(
            "action mirred egress mirror dev ens1f0_1 pipe action ct"
            " pipe action goto chain 2"
        ),
        9,
    )
    assert before.actions[0] == Output(2)
    assert after.actions == GOTO_2


def test_each_ct_has_its_own_rest() -> None:
    one, two, three = rules(
        flower("action ct zone 1 pipe action ct zone 2 pipe action drop"), 7, 8
    )
    assert (one.table, two.table, three.table) == (
        Table.SW_CHAIN,
        Table.SW_POST_CT,
        Table.SW_POST_CT,
    )
    ip = Match(fields.ETH_TYPE, ETH_P_IP)  # OVS wants it where ct() is
    assert two.matches == (ip, Match(fields.FTE_ID, 7))
    assert three.matches == (ip, Match(fields.FTE_ID, 8))
    assert SetField(fields.ZONE, 2) in two.actions


def test_clear_needs_no_lookup() -> None:
    [rule] = rules(flower("action ct clear pipe action drop"))
    assert rule.actions[0] == TrackClear()


def test_a_verdict_of_ct_itself_ends_the_list() -> None:
    filter_ = flower("action ct goto chain 2 action drop")
    _, ct, rest = software.cut_at_ct(filter_.actions)
    assert rest == (Gact(ct.control),)
    assert rules(filter_, 9)[1].actions == GOTO_2


def test_behind_a_verdict_no_ct_runs() -> None:
    [rule] = rules(flower("action drop action ct pipe action drop"))
    assert rule.actions == ()


def any_protocol(words: str) -> Filter:
    where = "filter add dev ens1f0_0 ingress prio 1 proto"
    return prepared(f"{where} {words} flower action ct pipe action drop")


def test_ct_drops_what_is_not_ip() -> None:
    arp, _ = rules(any_protocol("arp"), 9)
    assert arp.actions == ()


def test_ct_of_any_protocol_asks_whether_it_is_ip() -> None:
    four, six, first, rest = rules(any_protocol("all"), 9)
    assert first.table is Table.SW_CHAIN
    assert first.actions[-1] == Resubmit(Table.SW_LOOKUP)
    for rule, eth_type in ((four, 0x0800), (six, 0x86DD)):
        assert rule.table is Table.SW_LOOKUP
        assert rule.matches == (
            Match(fields.ETH_TYPE, eth_type),
            Match(fields.FTE_ID, 9),
        )
        assert isinstance(rule.actions[-1], Track)
    assert rest.matches == (Match(fields.FTE_ID, 9),)
