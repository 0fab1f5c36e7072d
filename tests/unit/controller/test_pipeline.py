"""The rules that are always there."""

from __future__ import annotations

from collections import Counter

import pytest

from controller import fields
from controller.fields import Told
from controller.offers import READ_CONNTRACK, TRANSLATE, UNANSWERED_COPY
from controller.openflow import encode
from controller.pipeline import (
    OFPP_LOCAL,
    UNUSED_RULE,
    chain_rule,
    port_rule,
    static_rules,
)
from controller.rules import (
    AddRule,
    CopyToController,
    Match,
    Move,
    Output,
    Owner,
    Resubmit,
    Rule,
    SetField,
    Table,
    Track,
)
from offload.profile import DEFAULT, MLX5_6_1, PROFILES, Profile
from tests.unit.controller import read_back
from tests.unit.controller.fake_table import FakeTable, Packet, get, put

RULES = [*static_rules(), port_rule(1, True), port_rule(2, False), chain_rule(7, 2)]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{r.table.name}-{r.priority}")
def test_every_rule_is_packed_as_it_is_meant(rule: Rule) -> None:
    there = read_back.flow_mod(encode.add_rule(3, AddRule(rule)))
    assert read_back.plain(there.rule) == read_back.plain(rule)
    assert there.epoch == 3 and there.idle_s == 0


def test_no_rule_takes_anothers_place() -> None:
    assert max(Counter(rule.place for rule in RULES).values()) == 1


def test_every_table_has_a_miss_of_its_own() -> None:
    misses = {rule.table for rule in RULES if not rule.priority and not rule.matches}
    assert misses == set(Table)


def test_what_is_put_in_again_to_have_counters_credited_changes_nothing() -> None:
    assert UNUSED_RULE in RULES


def test_everything_matched_is_declared() -> None:
    declared = set(map(id, vars(fields).values()))
    for rule in RULES:
        assert all(id(match.field) in declared for match in rule.matches)


def test_a_packet_is_told_of_and_then_remembered() -> None:
    """In this order: what act_ct is told is the state before the mark."""
    copying = [
        rule
        for rule in RULES
        if CopyToController() in rule.actions and rule.owner_id != UNANSWERED_COPY
    ]
    assert {rule.table for rule in copying} == {Table.SW_TRACK, Table.SW_NAT}
    for rule in copying:
        *moves, _, commit, on = rule.actions
        tracked = rule.table is Table.SW_TRACK
        assert tuple(moves) == (READ_CONNTRACK if tracked else ())
        assert (on,) == ((Resubmit(Table.SW_POST_CT),) if tracked else TRANSLATE)
        assert isinstance(commit, Track) and commit.commit and commit.table is None


def test_the_state_is_read_once_into_registers() -> None:
    targets = [each.target for each in READ_CONNTRACK if isinstance(each, Move)]
    skb = [fields.CT_STATE, fields.CT_ZONE, fields.MARK, fields.LABEL]
    assert targets == skb


def test_the_labels_own_bits_are_not_the_users() -> None:
    read = READ_CONNTRACK[-1]
    assert isinstance(read, Move) and read.source is fields.CONNTRACK_LABEL
    assert read.bits <= fields.TOLD.start == 128 - fields.TOLD.bits


def test_a_port_leads_to_hardware_or_past_it() -> None:
    assert port_rule(1, True).actions == (Resubmit(Table.HW_CHAIN),)
    assert port_rule(1, False).actions == (Resubmit(Table.SW_CHAIN),)
    assert port_rule(1, True).place == port_rule(1, False).place


def test_a_chain_is_resumed_but_not_the_filter() -> None:
    rule = chain_rule(7, 2)
    assert rule.matches == (Match(fields.CHAIN_TAG, 7),)
    assert SetField(fields.CHAIN, 2) in rule.actions
    touched = {each.field for each in rule.actions if isinstance(each, SetField)}
    state = {fields.CT_STATE, fields.ZONE, fields.MARK, fields.LABEL}
    assert not touched & state
    assert (rule.owner, rule.owner_id) == (Owner.CHAIN, 7)


def pipeline(profile: Profile = DEFAULT) -> FakeTable:
    """A switch with the static rules of a profile."""
    table = FakeTable()
    rules = static_rules(profile)
    table.load(b"".join(encode.add_rule(1, AddRule(rule)) for rule in rules))
    return table


def passes(table: FakeTable, gotos: int) -> bool:
    """Does a packet that followed so many gotos go on?"""
    ones = (1 << gotos) - 1
    return table.walk({"in_port": 1, fields.GOTOS.oxm: ones}, Table.SW_CHAIN).ports == [
        OFPP_LOCAL
    ]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_packet_may_follow_so_many_gotos(profile: Profile) -> None:
    table = pipeline(profile)
    assert passes(table, 0) and passes(table, profile.gotos)
    assert not passes(table, profile.gotos + 1)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_an_invalid_packet_is_untracked_in_5_7_and_tracked_later(
    profile: Profile,
) -> None:
    table, seen = pipeline(profile), Rule(Table.SW_POST_CT, 9, (), (Output(1),))
    table.load(encode.add_rule(1, AddRule(seen)))
    packet: Packet = {"in_port": 2}
    put(packet, fields.CONNTRACK_STATE, 0x30)
    put(packet, fields.ZONE, 5)
    [(_, after)] = table.walk(packet, Table.SW_TRACK).outputs
    state = 0x30 if profile.invalid_is_tracked else 0
    assert get(after, fields.CT_STATE) == state
    assert get(after, fields.CT_ZONE) == (5 if state else 0)


@pytest.mark.parametrize(
    ("binds", "state", "goes_on"),
    [
        (1, 0x21, False),
        (1, 0x21 | fields.OVS_SNAT, True),
        (1, 0x21 | fields.OVS_DNAT, True),
        (1, 0x22, True),
        (0, 0x21, True),
    ],
)
def test_a_packet_that_nat_had_nothing_free_for(
    binds: int, state: int, goes_on: bool
) -> None:
    """Open vSwitch calls it new and leaves it as it is; Linux drops it."""
    table, seen = pipeline(), Rule(Table.SW_POST_CT, 9, (), (Output(1),))
    table.load(encode.add_rule(1, AddRule(seen)))
    packet: Packet = {"in_port": 2}
    put(packet, fields.CONNTRACK_STATE, state)
    put(packet, fields.BINDS, binds)
    assert bool(table.walk(packet, Table.SW_TRACK).outputs) == goes_on


@pytest.mark.parametrize("flags", [0x04, 0x14, 0x11])
@pytest.mark.parametrize(("state", "is_new"), [(0x21, True), (0x22, False)])
def test_a_fin_or_rst_begins_no_connection(
    flags: int, state: int, is_new: bool
) -> None:
    """Open vSwitch finds it new; to the kernel it is invalid."""
    table, seen = pipeline(MLX5_6_1), Rule(Table.SW_POST_CT, 9, (), (Output(1),))
    table.load(encode.add_rule(1, AddRule(seen)))
    packet: Packet = {"in_port": 2}
    put(packet, fields.ETH_TYPE, 0x0800)
    put(packet, fields.IP_PROTO, 6)
    put(packet, fields.IP_TTL, 64)
    put(packet, fields.TCP_FLAGS, flags)
    put(packet, fields.CONNTRACK_STATE, state)
    put(packet, fields.CONNTRACK_MARK, 7)
    put(packet, fields.ANSWERED, 1)
    put(packet, fields.ZONE, 5)
    [(_, after)] = table.walk(packet, Table.SW_TRACK).outputs
    assert get(after, fields.CT_STATE) == (0x30 if is_new else state)
    assert get(after, fields.MARK) == (0 if is_new else 7)
    assert get(after, fields.CT_ZONE) == 5


@pytest.mark.parametrize(
    ("flags", "label", "then"),
    [
        pytest.param(0x10, {}, 0x30, id="ack-after-syn"),
        pytest.param(0x11, {}, 0x30, id="fin-after-syn"),
        pytest.param(0x08, {}, 0x30, id="no-ack-after-syn"),
        pytest.param(0x04, {}, 0x21, id="rst-after-syn"),
        pytest.param(0x14, {}, 0x30, id="rst-ack-after-syn"),
        pytest.param(0x14, {fields.PICKED_UP: 1}, 0x21, id="picked-up-rst-ack"),
        pytest.param(0x02, {}, 0x21, id="syn"),
        pytest.param(0x10, {fields.PICKED_UP: 1}, 0x21, id="picked-up"),
        pytest.param(0x11, {fields.PICKED_UP: 1}, 0x21, id="picked-up-fin"),
        pytest.param(0x12, {}, 0x30, id="syn-ack"),
        pytest.param(0x12, {fields.PICKED_UP: 1}, 0x30, id="picked-up-syn-ack"),
        pytest.param(0x12, {fields.TOLD: Told.CLOSING}, 0x30, id="closing-syn-ack"),
        pytest.param(0x12, {fields.TOLD: Told.OFFERED}, 0x22, id="told-syn-ack"),
        pytest.param(0x12, {fields.ANSWERED: 1}, 0x22, id="answered-syn-ack"),
        pytest.param(0x10, {fields.ANSWERED: 1}, 0x22, id="answered"),
        pytest.param(0x10, {fields.TOLD: Told.OFFERED}, 0x22, id="told"),
    ],
)
def test_before_an_answer_tcp_is_new_or_invalid(
    flags: int, label: dict[fields.Field, int], then: int
) -> None:
    """Open vSwitch finds it established."""
    table, seen = pipeline(MLX5_6_1), Rule(Table.SW_POST_CT, 9, (), (Output(1),))
    table.load(encode.add_rule(1, AddRule(seen)))
    packet: Packet = {"in_port": 2}
    for field, value in (
        *((fields.ETH_TYPE, 0x0800), (fields.IP_PROTO, 6), (fields.IP_TTL, 64)),
        *((fields.TCP_FLAGS, flags), (fields.CONNTRACK_STATE, 0x22)),
        *label.items(),
    ):
        put(packet, field, value)
    [(_, after)] = table.walk(packet, Table.SW_TRACK).outputs
    assert get(after, fields.CT_STATE) == then


@pytest.mark.parametrize(
    ("flags", "label", "goes_on"),
    [
        (0x10, {}, True),
        (0x02, {}, False),
        (0x10, {fields.PICKED_UP: 1}, False),
        (0x12, {fields.PICKED_UP: 1}, True),
        (0x12, {fields.TOLD: Told.CLOSING}, True),
    ],
)
def test_what_is_invalid_before_an_answer_is_not_translated(
    flags: int, label: dict[fields.Field, int], goes_on: bool
) -> None:
    table, seen = pipeline(MLX5_6_1), Rule(Table.SW_POST_CT, 9, (), (Output(1),))
    table.load(encode.add_rule(1, AddRule(seen)))
    packet: Packet = {"in_port": 2}
    for field, value in (
        *((fields.ETH_TYPE, 0x0800), (fields.IP_PROTO, 6), (fields.IP_TTL, 64)),
        *((fields.TCP_FLAGS, flags), (fields.CONNTRACK_STATE, 0x22)),
        *label.items(),
    ):
        put(packet, field, value)
    walked = table.walk(packet, Table.SW_NAT).tables
    assert (walked == [Table.SW_NAT, Table.SW_POST_CT]) is goes_on


@pytest.mark.parametrize(
    ("flags", "state", "label", "copies"),
    [
        (0x04, 0x22, {}, 1),
        (0x14, 0x22, {}, 0),
        (0x14, 0x2A, {}, 1),
        (0x04, 0x2A, {}, 1),
        (0x14, 0x22, {fields.PICKED_UP: 1}, 1),
        (0x14, 0x2A, {fields.PICKED_UP: 1}, 1),
        (0x04, 0x22, {fields.ANSWERED: 1}, 0),
        (0x04, 0x2A, {fields.ANSWERED: 1}, 0),
    ],
)
def test_a_rst_before_an_answer_is_told_of(
    flags: int, state: int, label: dict[fields.Field, int], copies: int
) -> None:
    """Once, of either end; an ACK of the end that opened is invalid."""
    table, seen = pipeline(MLX5_6_1), Rule(Table.SW_POST_CT, 9, (), (Output(1),))
    table.load(encode.add_rule(1, AddRule(seen)))
    packet: Packet = {"in_port": 2}
    for field, value in (
        *((fields.ETH_TYPE, 0x0800), (fields.IP_PROTO, 6), (fields.IP_TTL, 64)),
        *((fields.TCP_FLAGS, flags), (fields.CONNTRACK_STATE, state)),
        *label.items(),
    ):
        put(packet, field, value)
    walk = table.walk(packet, Table.SW_TRACK)
    assert (len(walk.copies), walk.ports) == (copies, [1])


@pytest.mark.parametrize("table_", [Table.SW_TRACK, Table.SW_NAT])
def test_a_reply_that_is_looked_up_twice_is_one(table_: Table) -> None:
    """Only another one makes the connection assured."""
    table = pipeline(MLX5_6_1)
    packet: Packet = {"in_port": 1}
    for field, value in (
        *((fields.ETH_TYPE, 0x0800), (fields.IP_PROTO, 6), (fields.TCP_FLAGS, 0x10)),
        *((fields.CONNTRACK_STATE, RPL), (fields.TOLD, Told.HALF), (fields.OFFER, 1)),
    ):
        put(packet, field, value)
    assert table.walk(packet, table_).copies
    put(packet, fields.BEGUN, 1)
    assert not table.walk(packet, table_).copies


@pytest.mark.parametrize("ethertype", [0x0800, 0x86DD])
def test_an_ip_header_that_is_cut_off_ends_in_ct(ethertype: int) -> None:
    """Open vSwitch reads zeros from it."""
    table, seen = pipeline(MLX5_6_1), Rule(Table.SW_POST_CT, 9, (), (Output(1),))
    table.load(encode.add_rule(1, AddRule(seen)))
    packet: Packet = {"in_port": 2}
    put(packet, fields.ETH_TYPE, ethertype)
    put(packet, fields.CONNTRACK_STATE, 0x30)
    assert not table.walk(packet, Table.SW_TRACK).outputs
    put(packet, fields.IP_PROTO, 17)
    assert table.walk(packet, Table.SW_TRACK).outputs


OFFERED, CLOSING, SEEN = "offered", "closing", "seen"
BEGUN, REPLIED = "its first commit", "its first reply, remembered only"
ANSWER, MIDDLE = "an answer, remembered only", "a commit of no SYN, remembered only"
ENDED = "a FIN of what was not told of, remembered only"
ALONE = "a FIN that nobody answered"
EST, RPL, SNAT, DNAT, NEW = 0x22, 0x2A, 0x40, 0x80, 0x21
TOLD, HALF, TOLD_ALL = (
    told << fields.TOLD.start for told in (Told.OFFERED, Told.HALF, Told.CLOSING)
)
ANSW, PICKED = (1 << each.start for each in (fields.ANSWERED, fields.PICKED_UP))


@pytest.mark.parametrize(
    ("proto", "state", "flags", "label", "offer", "what"),
    [
        (6, EST, 0x10, ANSW, 1, OFFERED),
        (6, RPL, 0x10, 0, 1, OFFERED),
        (6, EST | SNAT, 0x10, ANSW, 1, OFFERED),
        (6, RPL | SNAT, 0x10, 0, 1, ANSWER),
        (6, RPL | DNAT, 0x10, ANSW, 1, SEEN),
        (6, EST, 0x10, ANSW, 0, SEEN),
        (6, EST, 0x10, 0, 1, SEEN),
        (6, NEW, 0x10, 0, 1, MIDDLE),
        (6, EST, 0x10, TOLD, 1, SEEN),
        (6, NEW, 0x02, 0, 1, SEEN),
        (6, RPL, 0x12, 0, 1, ANSWER),
        (6, RPL, 0x12, ANSW, 1, SEEN),
        (6, EST, 0x11, ANSW, 1, ENDED),
        (6, RPL, 0x11, 0, 1, ENDED),
        (6, EST, 0x11, 0, 1, SEEN),
        (6, EST, 0x11, PICKED, 1, ALONE),
        (6, EST, 0x10, PICKED | TOLD_ALL, 1, SEEN),
        (6, RPL, 0x10, PICKED | TOLD_ALL, 1, ANSWER),
        (6, EST, 0x11, TOLD, 1, CLOSING),
        (6, RPL, 0x04, TOLD, 0, CLOSING),
        (6, EST, 0x11, HALF, 1, CLOSING),
        (6, RPL, 0x15, TOLD, 0, CLOSING),
        (6, EST, 0x11, TOLD_ALL, 1, SEEN),
        (17, EST, 0, 0, 1, OFFERED),
        (17, RPL, 0, 0, 1, OFFERED),
        (17, EST, 0, TOLD, 1, SEEN),
        (17, NEW, 0, 0, 1, SEEN),
        (132, EST, 0, 0, 1, SEEN),
        (6, RPL, 0x10, HALF, 1, OFFERED),
    ],
)
@pytest.mark.parametrize("eth_type", [0x0800, 0x86DD])
def test_which_packets_act_ct_is_told_of(
    eth_type: int, proto: int, state: int, flags: int, label: int, offer: int, what: str
) -> None:
    told_of(DEFAULT, eth_type, proto, state, flags, label, offer, what)


@pytest.mark.parametrize(
    ("proto", "state", "flags", "label", "what"),
    [
        (6, EST, 0x10, ANSW, OFFERED),
        (6, EST, 0x10, HALF, OFFERED),
        (6, EST, 0x10, 0, SEEN),
        (6, RPL, 0x10, 0, REPLIED),
        (6, RPL, 0x10, HALF, OFFERED),
        (6, RPL, 0x10, TOLD, SEEN),
        (6, RPL, 0x14, HALF, CLOSING),
        (6, RPL, 0x12, 0, ANSWER),
        (17, NEW, 0, 0, BEGUN),
        (17, NEW, 0, HALF, SEEN),
        (17, RPL, 0, HALF, OFFERED),
        (17, EST, 0, 0, OFFERED),
    ],
)
@pytest.mark.parametrize("eth_type", [0x0800, 0x86DD])
def test_which_packets_act_ct_of_a_later_generation_is_told_of(
    eth_type: int, proto: int, state: int, flags: int, label: int, what: str
) -> None:
    told_of(MLX5_6_1, eth_type, proto, state, flags, label, 1, what)


def told_of(
    profile: Profile,
    eth_type: int,
    proto: int,
    state: int,
    flags: int,
    label: int,
    offer: int,
    what: str,
) -> None:
    """A packet behind ct(): is it copied, and what does conntrack remember?"""
    table = pipeline(profile)
    packet: Packet = {"in_port": 1}
    for field, value in (
        (fields.ETH_TYPE, eth_type),
        (fields.IP_PROTO, proto),
        (fields.TCP_FLAGS, flags if proto == 6 else 0),
        (fields.CONNTRACK_STATE, state),
        (fields.CONNTRACK_LABEL, label | 5),
        (fields.CONNTRACK_MARK, 9),
        (fields.OFFER, offer),
        (fields.COMMIT, 1),
    ):
        put(packet, field, value)
    walk = table.walk(packet, Table.SW_TRACK)
    assert walk.tables == [Table.SW_TRACK, Table.SW_POST_CT]
    assert len(walk.copies) == (what in (OFFERED, CLOSING, BEGUN))
    marks = [each.label for each in table.conntrack.connections.values()]
    closed = [ANSW | TOLD_ALL]
    told = {OFFERED: [TOLD], CLOSING: closed, BEGUN: [HALF], REPLIED: [HALF]}
    told |= {ANSWER: [ANSW], MIDDLE: [PICKED], ENDED: closed, ALONE: [TOLD_ALL]}
    assert marks == told.get(what, [])


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("state", [RPL, EST])
def test_a_reply_is_offered_as_it_came_before_nat(profile: Profile, state: int) -> None:
    table = pipeline(profile)
    packet: Packet = {"in_port": 1}
    for field, value in (
        (fields.ETH_TYPE, 0x0800),
        (fields.IP_PROTO, 17),
        (fields.CONNTRACK_STATE, state),
        (fields.OFFER, 1),
    ):
        put(packet, field, value)
    walk = table.walk(packet, Table.SW_NAT)
    assert walk.tables[:2] == [Table.SW_NAT, Table.SW_TRACK]
    assert len(walk.copies) == (state == RPL)
