"""Entries' rules from templates: the same as if Ryu had made each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import fields
from controller.offers import READ_CONNTRACK
from controller.openflow import entries, messages
from controller.openflow.template import Template
from controller.rules import (
    AddEntry,
    CountEntry,
    DeleteEntry,
    DeleteWatch,
    Match,
    Message,
    Owner,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Table,
    Track,
    Translate,
    WatchEntry,
)
from offload.conntrack import Direction, FlowTuple
from offload.flow_table import FlowEntry, FlowRule, MangleField
from offload.flower import ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP, IPPROTO_UDP
from tests.unit.connections import TCP, TCP6, UDP, UDP6
from tests.unit.controller.read_back import flow_mod, flow_mods, plain, plain_match

PORTS = st.integers(0, 65535)


@st.composite
def tuples(draw: st.DrawFn) -> tuple[FlowTuple, FlowTuple]:
    """Both directions of a connection that NAT may have changed."""
    size = draw(st.sampled_from([4, 16]))
    proto = draw(st.sampled_from([IPPROTO_TCP, IPPROTO_UDP]))
    address = st.binary(min_size=size, max_size=size)
    one = FlowTuple(draw(address), draw(address), proto, draw(PORTS), draw(PORTS))
    there = one.inverted()
    return one, FlowTuple(
        draw(st.sampled_from([there.src, draw(address)])),
        draw(st.sampled_from([there.dst, draw(address)])),
        proto,
        draw(st.sampled_from([there.sport, draw(PORTS)])),
        draw(st.sampled_from([there.dport, draw(PORTS)])),
    )


def flow_entries() -> st.SearchStrategy[FlowEntry]:
    return st.builds(
        FlowEntry,
        st.integers(1, 2**24 - 1),
        PORTS,
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**124 - 1),
        tuples(),
    )


def headers(
    flow: FlowTuple,
) -> tuple[tuple[Match, ...], dict[MangleField, fields.Field]]:
    """What matches a tuple, and which field is which."""
    four, tcp = len(flow.src) == 4, flow.proto == IPPROTO_TCP
    src = fields.IPV4_SRC if four else fields.IPV6_SRC
    dst = fields.IPV4_DST if four else fields.IPV6_DST
    sport = fields.TCP_SRC if tcp else fields.UDP_SRC
    dport = fields.TCP_DST if tcp else fields.UDP_DST
    matches = (
        Match(fields.ETH_TYPE, ETH_P_IP if four else ETH_P_IPV6),
        Match(fields.IP_PROTO, flow.proto),
        Match(src, int.from_bytes(flow.src, "big")),
        Match(dst, int.from_bytes(flow.dst, "big")),
        Match(sport, flow.sport),
        Match(dport, flow.dport),
    )
    return matches, {
        MangleField.SRC_ADDR: src,
        MangleField.DST_ADDR: dst,
        MangleField.SRC_PORT: sport,
        MangleField.DST_PORT: dport,
    }


def meant(flow: FlowRule) -> Rule:
    """mlx5's rule of one direction."""
    matches, which = headers(flow.match)
    no_fin_rst = (Match(fields.TCP_FLAGS, 0, 5),) if flow.match.proto == 6 else ()
    state = 0x22 if flow.direction is Direction.ORIGINAL else 0x2A
    changed = {mangle.field for mangle in flow.mangles}
    state |= 0x40 * bool(changed & {MangleField.SRC_ADDR, MangleField.SRC_PORT})
    state |= 0x80 * bool(changed & {MangleField.DST_ADDR, MangleField.DST_PORT})
    actions: tuple[RuleAction, ...] = (
        SetField(fields.CT_STATE, state),
        SetField(fields.CT_ZONE, flow.zone),
        SetField(fields.MARK, flow.metadata.mark),
        SetField(fields.LABEL, flow.metadata.label),
        SetField(fields.TUPLE_ID, flow.entry_id),
        *(
            SetField(which[mangle.field], int.from_bytes(mangle.value, "big"))
            for mangle in flow.mangles
        ),
        Resubmit(Table.CT_AGE),
        Resubmit(Table.HW_POST_CT),
    )
    return Rule(
        Table.HW_CT_NAT if flow.mangles else Table.HW_CT,
        10,
        (
            *matches,
            Match(fields.ZONE, flow.zone),
            Match(fields.IP_FRAG, 0, 3),
            *no_fin_rst,
        ),
        actions,
        Owner.ENTRY,
    )


def restoring(flow: FlowRule) -> Rule:
    """What undoes a direction's NAT for software, which does it again."""
    _, which = headers(flow.match)
    own = {
        MangleField.SRC_ADDR: int.from_bytes(flow.match.src, "big"),
        MangleField.DST_ADDR: int.from_bytes(flow.match.dst, "big"),
        MangleField.SRC_PORT: flow.match.sport,
        MangleField.DST_PORT: flow.match.dport,
    }
    reply = 0x08 if flow.direction is Direction.REPLY else 0
    return Rule(
        Table.RESTORE,
        10,
        (
            *headers(flow.match)[0][:2],
            Match(fields.TUPLE_ID, flow.entry_id),
            Match(fields.CT_STATE, reply, 0x08),
        ),
        (
            *(SetField(which[each.field], own[each.field]) for each in flow.mangles),
            SetField(fields.TUPLE_ID, 0),
            Track(flow.zone, table=Table.RESTORED, nat=Translate()),
        ),
        Owner.ENTRY,
    )


def same(read: Rule, wanted: Rule) -> bool:
    """But for the id in the cookie, which is the encoder's own."""
    return plain(replace(read, owner_id=0, report_removal=False)) == plain(wanted)


@settings(max_examples=40)
@given(flow_entries(), st.integers(1, 255), st.integers(1, 65535))
def test_an_entrys_rules(entry: FlowEntry, epoch: int, idle_s: int) -> None:
    original, reply = entry.rules
    there, *restores, age = flow_mods(
        messages.encoded(epoch, [AddEntry(original, idle_s)])
    )
    back, *others = flow_mods(messages.encoded(epoch, [AddEntry(reply, idle_s)]))
    for flow, made in ((original, restores), (reply, others)):
        assert len(made) == bool(flow.mangles)
        assert all(same(each.rule, restoring(flow)) for each in made)
    assert same(there.rule, meant(original))
    assert same(back.rule, meant(reply))
    assert (there.idle_s, back.idle_s, age.idle_s) == (0, 0, idle_s)
    assert age.rule.table is Table.CT_AGE and age.rule.report_removal
    assert plain_match(age.rule.matches) == {"reg1": (entry.id, 0xFFFFFF)}
    for each in (there, back, age):
        assert each.epoch == epoch
        assert entries.entry_id_of(each.rule.owner_id) == entry.id


@settings(max_examples=40)
@given(flow_entries(), st.integers(1, 65535))
def test_a_watched_entry(entry: FlowEntry, idle_s: int) -> None:
    original = entry.tuples[Direction.ORIGINAL]
    watch = WatchEntry(entry.id, entry.zone, original, idle_s)
    [read] = flow_mods(messages.encoded(3, [watch]))
    asked = plain_match(read.rule.matches)
    four = len(original.src) == 4
    names = ("ct_nw_src", "ct_nw_dst") if four else ("ct_ipv6_src", "ct_ipv6_dst")
    assert [asked[name][0] for name in names] == [
        int.from_bytes(original.src, "big"),
        int.from_bytes(original.dst, "big"),
    ]
    assert asked["ct_tp_src"][0] == original.sport
    assert asked["ct_tp_dst"][0] == original.dport
    assert asked["ct_nw_proto"][0] == original.proto
    assert asked["ct_state"] == (0x22, 0x22)
    early = WatchEntry(entry.id, entry.zone, original, idle_s, established=False)
    [read_early] = flow_mods(messages.encoded(3, [early]))
    assert plain_match(read_early.rule.matches)["ct_state"] == (0x21, 0x21)
    assert asked["reg2"] == (entry.zone, 0xFFFF)
    assert read.idle_s == idle_s and read.rule.report_removal
    assert read.rule.table is Table.SW_TRACK
    goes_on = replace(read.rule, actions=(*READ_CONNTRACK, Resubmit(Table.SW_POST_CT)))
    assert plain(read.rule) == plain(goes_on)
    assert entries.entry_id_of(read.rule.owner_id) == entry.id


@pytest.mark.parametrize("original", [TCP, TCP6, UDP, UDP6], ids=str)
def test_each_part_is_removed_alone(original: FlowTuple) -> None:
    entry = FlowEntry(9, 5, 1, 2, (original, original.inverted()))
    parts: dict[Message, Message] = {
        AddEntry(entry.rules[0], 30): DeleteEntry(9, Direction.ORIGINAL),
        AddEntry(entry.rules[1], 30): DeleteEntry(9, Direction.REPLY),
        WatchEntry(9, 5, original, 30): DeleteWatch(9),
    }
    added = {
        each.of_cookie: removes
        for adds, removes in parts.items()
        for each in flow_mods(messages.encoded(2, [adds]))
    }
    assert len(added) == 3
    for of_cookie, removes in added.items():
        read = flow_mod(messages.encoded(2, [removes]))
        assert read.of_cookie == of_cookie
        assert read.cookie_mask == 2**64 - 1


def test_ids_of_two_entries_do_not_meet() -> None:
    told: list[Message] = [DeleteWatch(id_) for id_ in range(1, 40)]
    told += [DeleteEntry(id_, way) for id_ in range(1, 40) for way in Direction]
    cookies = {each.of_cookie for each in flow_mods(messages.encoded(1, told))}
    assert len(cookies) == 3 * 39


def test_a_template_is_cut_at_what_occurs_once() -> None:
    template = Template(b"..BB..A..", {"one": b"A", "two": b"BB"})
    assert template.holes == ["two", "one"]
    assert template.fill({"one": b"1", "two": b"22"}) == b"..22..1.."
    with pytest.raises(AssertionError, match="must occur once"):
        Template(b"A.A", {"one": b"A"})


@pytest.mark.parametrize("direction", list(Direction))
def test_counters_are_asked_of_one_directions_rules(direction: Direction) -> None:
    """Source: OpenFlow 1.3.5, struct ofp_flow_stats_request"""
    entry = FlowEntry(9, 5, 1, 2, (TCP, TCP.inverted()))
    first, *_ = flow_mods(messages.encoded(2, [AddEntry(entry.rules[direction], 30)]))
    asked = messages.encoded(2, [CountEntry(9, direction)])
    of_cookie, mask = (int.from_bytes(asked[i : i + 8], "big") for i in (32, 40))
    assert (of_cookie, mask) == (first.of_cookie, 2**64 - 1)
    assert entries.direction_of(first.rule.owner_id) is direction


def test_templates_can_be_made_beforehand() -> None:
    before = messages.encoded(1, [WatchEntry(9, 5, TCP6, 30)])
    entries.make_templates()
    assert messages.encoded(1, [WatchEntry(9, 5, TCP6, 30)]) == before
