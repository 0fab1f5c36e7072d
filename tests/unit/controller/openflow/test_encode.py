"""Rules as bytes: Ryu's own parser reads what was meant."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller import fields
from controller.fields import Field
from controller.openflow import actions, encode, oxm
from controller.rules import (
    AddRule,
    CopyToController,
    DeleteRule,
    Match,
    Move,
    Output,
    Owner,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Table,
    Track,
    TrackClear,
    Translate,
)
from tests.unit.controller import read_back
from tests.unit.controller.bed import LETTER, WAY_BACK, Bed
from tests.unit.controller.read_back import flow_mod, plain

# After controller.openflow, which makes Ryu fit for it.
from ryu.ofproto import ofproto_v1_3_parser as parser  # isort: skip

FIELDS = [field for field in vars(fields).values() if isinstance(field, Field)]
# Those with a prerequisite that Ryu or OVS looks at are matched in filters' tests.
SETTABLE = [f for f in FIELDS if f not in (fields.IN_PORT, fields.VLAN_VID)]
# Ryu takes its time to read a rule, and there are many fields.
FEW = settings(max_examples=5, suppress_health_check=list(HealthCheck))


def there_and_back(rule: Rule, epoch: int = 1) -> None:
    read = flow_mod(encode.add_rule(epoch, AddRule(rule)))
    assert plain(read.rule) == plain(rule)
    assert read.epoch == epoch


def with_actions(*actions: RuleAction) -> Rule:
    return Rule(Table.SW_CHAIN, 5, (Match(fields.IN_PORT, 1),), actions)


def masked(data: st.DataObject, field: Field) -> tuple[int, int | None]:
    """A value of a field, and maybe a mask."""
    mask = data.draw(st.one_of(st.none(), st.integers(1, field.full_mask)))
    full = field.full_mask if mask is None else mask
    return data.draw(st.integers(0, field.full_mask)) & full, mask


@FEW
@given(data=st.data())
def test_every_field_is_matched(data: st.DataObject) -> None:
    for field in FIELDS:
        asked = (Match(field, *masked(data, field)),)
        there_and_back(Rule(Table.SW_CHAIN, 5, asked, ()))


@FEW
@given(data=st.data())
def test_every_field_is_set(data: st.DataObject) -> None:
    for field in SETTABLE:
        there_and_back(with_actions(SetField(field, *masked(data, field))))


def test_prerequisites_come_first_as_ryu_has_them() -> None:
    """OVS refuses a match on what it does not know to be there."""
    asked = (
        Match(fields.TCP_DST, 80),
        Match(fields.IPV4_SRC, 0x0A000001, 0xFFFFFF00),
        Match(fields.IP_PROTO, 6),
        Match(fields.ETH_TYPE, 0x800),
    )
    theirs = parser.OFPMatch(
        tcp_dst=80,
        ipv4_src=("10.0.0.1", "255.255.255.0"),
        ip_proto_nxm=6,
        eth_type_nxm=0x800,
    )
    written = bytearray()
    theirs.serialize(written, 0)
    assert oxm.match(asked) == bytes(written)
    assert len(oxm.match(())) == 8


def test_parts_of_a_register_are_matched_together() -> None:
    matches = (Match(fields.ZONE, 5), Match(fields.CT_STATE, 0x22, 0x23))
    rule = Rule(Table.SW_CHAIN, 5, matches, ())
    read = flow_mod(encode.add_rule(1, AddRule(rule))).rule
    assert read_back.plain_match(read.matches) == {"reg2": (0x220005, 0x23FFFF)}


@pytest.mark.parametrize(
    "action",
    [
        Move(fields.CONNTRACK_STATE, fields.CT_STATE, 16),
        Output(7),
        Output(7, in_port=True),
        CopyToController(),
        Resubmit(Table.STACK),
        TrackClear(),
        Track(),
        Track(5, table=Table.SW_TRACK),
        Track(65535, True, True, Table.SW_TRACK),
        Track(commit=True, sets=(SetField(fields.CONNTRACK_MARK, 3, 7),)),
        Track(5, True, sets=(SetField(fields.CONNTRACK_LABEL, 1 << 127, 5 << 125),)),
        Track(5, nat=Translate()),
        Track(5, True, nat=Translate(True, "10.0.0.9", "10.0.0.9")),
        Track(5, True, nat=Translate(False, "10.0.0.8", "10.0.0.9", 80, 90)),
        Track(5, True, nat=Translate(True, "fd00::8", "fd00::9", 80, 80)),
    ],
    ids=repr,
)
def test_every_action(action: RuleAction) -> None:
    there_and_back(with_actions(action))
    assert len(actions.packed((action,))) % 8 == 0, "OVS refuses the rule otherwise"


@given(st.integers(1, 255), st.sampled_from(Owner), st.integers(0, 2**48 - 1))
def test_a_cookie_says_when_whose_and_which(epoch: int, owner: Owner, id_: int) -> None:
    of_cookie = encode.cookie(epoch, owner, id_)
    assert encode.owner_of(of_cookie) == (owner, id_)
    assert of_cookie >> encode.EPOCH_SHIFT == epoch < 2**64
    assert (
        of_cookie & encode.EPOCH_MASK | of_cookie & encode.OWNER_MASK | id_ == of_cookie
    )


def test_a_rule_is_removed_by_its_place() -> None:
    rule = with_actions(Output(1))
    read = flow_mod(encode.delete_rule(1, DeleteRule(rule)))
    assert read.command == 4, "strictly: one rule"
    assert plain(read.rule)[:3] == plain(rule)[:3]


def test_removed_by_cookie() -> None:
    read = flow_mod(encode.delete_by_cookie(5 << 56, encode.EPOCH_MASK))
    assert (read.command, read.of_cookie) == (3, 5 << 56)
    assert read.cookie_mask == encode.EPOCH_MASK and not read.rule.matches


@given(st.integers(0, 2**128 - 1))
def test_a_mask_is_cut_into_runs(mask: int) -> None:
    runs = list(actions.mask_runs(mask))
    assert sum(((1 << bits) - 1) << start for start, bits in runs) == mask
    assert all(1 <= bits <= 64 for _, bits in runs)


def test_requests_carry_their_number() -> None:
    asked = [
        encode.flow_stats_request(7, 1, 2),
        encode.barrier_request(7),
    ]
    assert [message[4:8] for message in asked] == [b"\0\0\0\x07"] * 2
    assert [message[1] for message in asked] == [18, 20]


def test_the_letters_rules_arrive_as_they_were_meant() -> None:
    bed = Bed()
    bed.add(*LETTER, *WAY_BACK)
    for rule in bed.hypervisor.filters.rules():
        there_and_back(rule, epoch=255)
