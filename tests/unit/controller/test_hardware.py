"""A filter as rules of the hardware half, or mlx5's words for why not."""

from __future__ import annotations

import pytest

from controller import fields, hardware, refusals
from controller.filters import ONE_MORE_GOTO
from controller.rules import (
    Match,
    Output,
    Owner,
    Resubmit,
    Rule,
    SetField,
    Table,
    TrackClear,
)
from offload.cls_api import Filter
from offload.errors import Unsupported
from offload.profile import MLX5_5_7, MLX5_6_1, Profile
from tests.unit.controller.bed import LETTER
from tests.unit.controller.made import device_of, flower, prepared

TAGS = {0: 0, 2: 41, 3: 42}
ENCAP = (
    SetField(fields.TUN_IPV4_SRC, 0),
    SetField(fields.TUN_IPV4_DST, 0x07070708),
    SetField(fields.TUN_ID, 98),
    Output(3),
)
IPV4 = (Match(fields.ETH_TYPE, 0x0800), Match(fields.VLAN_VID, 0))
SET = "action tunnel_key set src_ip 0.0.0.0 dst_ip 7.7.7.8 id 98"
REDIRECT = "action mirred egress redirect dev ens1f0_1"
MIRROR = "action mirred egress mirror dev ens1f0_1"


def rules(filter_: Filter, fte_id: int = 0) -> list[Rule]:
    refusals.check(filter_, device_of)
    return hardware.rules(filter_, 500, fte_id, device_of, TAGS.__getitem__)


def at(tag: int, *more: Match) -> tuple[Match, ...]:
    where = (Match(fields.IN_PORT, 1), Match(fields.CHAIN_TAG, tag))
    return (*where, *IPV4, *more)


def test_letters_first_filter_is_a_pre_ct_and_a_post_ct_rule() -> None:
    filter_ = prepared(LETTER[0])
    vm1 = Match(fields.ETH_SRC, 0x248A07A52801)
    untracked = Match(fields.CT_STATE, 0, 0x20)
    to_ct = (
        SetField(fields.FTE_ID, 9),
        SetField(fields.ZONE, 0),
        Resubmit(Table.HW_CT),
    )
    tag = SetField(fields.CHAIN_TAG, TAGS[2])
    goto_2 = (tag, *ONE_MORE_GOTO, Resubmit(Table.HW_CHAIN))
    hit = (IPV4[0], Match(fields.FTE_ID, 9))
    mine = (Owner.FILTER, filter_.id, True)
    assert rules(filter_, 9) == [
        Rule(Table.HW_CHAIN, 500, at(0, vm1, untracked), to_ct, *mine),
        Rule(Table.HW_POST_CT, 10, hit, goto_2, *mine),
    ]
    assert hardware.chains_used(filter_) == (0, 2)


def test_letters_second_filter_is_for_software() -> None:
    with pytest.raises(Unsupported, match="matching on ct_state .new isn't supported"):
        rules(prepared(LETTER[1]), 9)


def test_letters_third_filter_is_one_rule() -> None:
    filter_ = prepared(LETTER[2])
    [rule] = rules(filter_)
    assert rule.matches == at(TAGS[2], Match(fields.CT_STATE, 0x22, 0x22))
    assert (rule.table, rule.priority, rule.actions) == (Table.HW_CHAIN, 500, ENCAP)
    assert hardware.chains_used(filter_) == (2,)


def test_nat_has_its_own_table() -> None:
    pre, _ = rules(flower(f"action ct zone 5 nat pipe {REDIRECT}"), 9)
    assert pre.actions[1:] == (SetField(fields.ZONE, 5), Resubmit(Table.HW_CT_NAT))


def test_decap_waits_for_a_hit() -> None:
    """A miss must leave the packet as it came."""
    pre, post = rules(
        flower(f"action tunnel_key unset pipe action ct pipe {REDIRECT}"), 9
    )
    assert SetField(fields.TUN_ID, 0) not in pre.actions
    assert SetField(fields.TUN_ID, 0) in post.actions


def test_clear_is_one_rule() -> None:
    [rule] = rules(flower(f"action ct clear pipe {REDIRECT}"))
    assert rule.actions[0] == TrackClear() and rule.actions[-1] == Output(2)


def test_a_goto_of_any_actions_verb_is_tagged() -> None:
    _, post = rules(flower("action ct goto chain 3"), 9)
    assert post.actions[0] == SetField(fields.CHAIN_TAG, TAGS[3])


def test_a_software_filter_leaves_a_punt_rule() -> None:
    filter_ = prepared(LETTER[1])
    [punt] = hardware.punt_rules(filter_, 1, 500, TAGS.__getitem__)
    assert punt.matches == at(TAGS[2], Match(fields.CT_STATE, 0x21, 0x21))
    assert punt.actions == (Resubmit(Table.HW_MISS),)
    assert (punt.owner, punt.owner_id) == (Owner.PUNT, filter_.id)
    assert not punt.report_removal, "it counts for nobody"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            f"ct_state +trk+rel {REDIRECT}",
            "only ct_state trk, est and new are supported for offload",
        ),
        (
            f"ct_state +trk+inv {REDIRECT}",
            "only ct_state trk, est and new are supported for offload",
        ),
        (
            f"ct_state +trk+est-rpl {REDIRECT}",
            "only ct_state trk, est and new are supported for offload",
        ),
        (
            f"ct_state +trk+new {REDIRECT}",
            "matching on ct_state +new isn't supported",
        ),
        (
            f"ct_label 0000000001 {REDIRECT}",
            "only lower 32bits of ct_labels are supported for offload",
        ),
        (
            f"action ct clear pipe action ct pipe {REDIRECT}",
            "Multiple CT actions are not supported",
        ),
        (
            f"action ct pipe {MIRROR} pipe {REDIRECT}",
            "Can't offload mirroring with action ct",
        ),
        (
            f"action ct commit mark 1 pipe {REDIRECT}",
            "ct that changes a connection is left to software",
        ),
        (
            f"action ct commit label 01 pipe {REDIRECT}",
            "ct that changes a connection is left to software",
        ),
        (
            f"action ct force pipe {REDIRECT}",
            "ct that changes a connection is left to software",
        ),
        (
            f"action ct commit force pipe {REDIRECT}",
            "ct that changes a connection is left to software",
        ),
        (
            "action tunnel_key unset pipe action goto chain 2",
            "Decap with goto isn't supported",
        ),
        (
            f"{MIRROR} pipe action goto chain 2",
            "Mirroring goto chain rules isn't supported",
        ),
        ("action pass", "The offload action is not supported"),
        ("action trap", "The offload action is not supported"),
        (
            f"{MIRROR.replace('egress', 'ingress')} pipe {REDIRECT}",
            "The offload action is not supported",
        ),
        ("action ct", "Rule must have at least one forward/drop action"),
        (MIRROR, "Rule must have at least one forward/drop action"),
        (
            "action mirred egress redirect dev vxlan0",
            "devices are not on same switch HW, can't offload forwarding",
        ),
    ],
)
def test_what_hardware_refuses_in_mlx5s_words(line: str, reason: str) -> None:
    with pytest.raises(Unsupported) as refused:
        refusals.check(flower(line), device_of)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    "line",
    [
        f"ct_state -trk {REDIRECT}",
        f"ct_state +trk-new {REDIRECT}",
        f"ct_label 01020304/ffffffff {REDIRECT}",
        f"ct_mark 5 ct_zone 3 {REDIRECT}",
        "action drop",
        "action goto chain 2",
        "action ct commit pipe action drop",
        "action ct mark 1 label 01 pipe action drop",
        f"{SET} pipe action mirred egress redirect dev vxlan0",
        f"{MIRROR} pipe {SET} pipe action mirred egress redirect dev vxlan0",
    ],
)
def test_what_hardware_takes(line: str) -> None:
    refusals.check(flower(line), device_of)


@pytest.mark.parametrize(
    "line",
    [
        f"ct_state +trk+est+rpl {REDIRECT}",
        f"ct_state +trk-rel-inv-new {REDIRECT}",
        f"ct_label 0000000001 {REDIRECT}",
    ],
)
def test_what_a_later_generation_takes(line: str) -> None:
    refusals.check(flower(line), device_of, MLX5_6_1)


@pytest.mark.parametrize("flag", ["new", "rel", "inv"])
def test_what_a_later_generation_refuses(flag: str) -> None:
    with pytest.raises(Unsupported) as refused:
        refusals.check(flower(f"ct_state +trk+{flag} {REDIRECT}"), device_of, MLX5_6_1)
    assert str(refused.value) == f"matching on ct_state +{flag} isn't supported"


@pytest.mark.parametrize(
    ("profile", "mask"), [(MLX5_5_7, 0xFF), (MLX5_6_1, None)], ids=["5.7", "6.1"]
)
def test_a_mapped_label_is_matched_as_a_whole(
    profile: Profile, mask: int | None
) -> None:
    filter_ = flower(f"ct_label 05/ff {REDIRECT}")
    [rule] = hardware.rules(filter_, 500, 0, device_of, TAGS.__getitem__, profile)
    assert rule.matches[-1] == Match(fields.LABEL, 5, mask)


def test_what_a_tuple_is_written_of_is_untracked_in_the_later_one() -> None:
    """A tracked packet goes on in software, where its connection is not lost."""
    dnat = (
        "action pedit ex munge ip dst set 10.9.9.9 pipe action csum ip4h and tcp pipe"
    )
    filter_ = flower(f"ip_proto tcp ct_state -est {dnat} {REDIRECT}")
    made = hardware.rules(filter_, 500, 0, device_of, TAGS.__getitem__, MLX5_6_1)
    state = {rule.owner: _ct_state(rule) for rule in made}
    assert state == {Owner.FILTER: (0, 0x22), Owner.PUNT: (0x20, 0x22)}
    assert len(made) == 2
    [as_asked] = hardware.rules(filter_, 500, 0, device_of, TAGS.__getitem__)
    assert _ct_state(as_asked) == (0, 0x2)


def _ct_state(rule: Rule) -> tuple[int, int | None]:
    [asked] = [match for match in rule.matches if match.field is fields.CT_STATE]
    return asked.value, asked.mask
