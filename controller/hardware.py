"""A tc filter as rules of the hardware half.

    hw_chain --pre_ct rule--> hw_ct_nat, hw_ct --hit--> hw_post_ct (by fte_id)

The post_ct rule has the filter's counter, so a filter with ct counts hits only.
What hardware takes at all is told by ``refusals``.
Source: mlx5 en_tc.c:parse_tc_fdb_actions, en/tc_ct.c
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from controller import fields, refusals
from controller.filters import (
    DeviceLookup,
    Half,
    Place,
    plain_actions,
)
from controller.matches import Matches, alternatives
from controller.rewriting import PacketSoFar
from controller.rules import (
    Match,
    Owner,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Table,
)
from controller.software import cut_at_ct
from offload.actions import Action, Control, Verb, as_run
from offload.cls_api import Filter
from offload.flower import CtState, Key, KeyMatch
from offload.profile import DEFAULT, LabelMatch, Profile

HARDWARE = Half(fields.CHAIN_TAG, Table.HW_CHAIN, False)
ChainTags = Callable[[int], int]


def chains_used(filter_: Filter) -> tuple[int, ...]:
    """The chains whose tags the filter's rules hold."""
    gotos = [
        action.control.chain
        for action in filter_.actions
        if action.control.verb is Verb.GOTO_CHAIN
    ]
    return (filter_.chain, *gotos)


def rules(
    filter_: Filter,
    priority: int,
    fte_id: int,
    device_of: DeviceLookup,
    tag_of: ChainTags,
    profile: Profile = DEFAULT,
) -> list[Rule]:
    """The rules of a filter that passed ``check``; ``fte_id`` 0 without ct."""
    device = device_of(filter_.device)
    if refusals.hides_connection(filter_, profile) and not _asks_for_trk(filter_):
        untracked, tracked = (_with_trk(filter_, trk) for trk in (False, True))
        taken = rules(untracked, priority, fte_id, device_of, tag_of, profile)
        return [*taken, *punt_rules(tracked, device.port, priority, tag_of)]
    place = Place(HARDWARE, device_of, device, profile)
    packet = PacketSoFar.of(filter_.match)
    matches = _matches(filter_, device.port, tag_of)
    if profile.labels is LabelMatch.MAPPED:
        matches = [tuple(map(_whole_label, each)) for each in matches]
    actions = tuple(_tagged(action, tag_of) for action in as_run(filter_.actions))
    if not fte_id:
        done = plain_actions(actions, place, packet)
        return [_rule(filter_, Table.HW_CHAIN, priority, m, done) for m in matches]
    before, ct, after = cut_at_ct(actions)
    pre_actions = (
        SetField(fields.FTE_ID, fte_id),
        SetField(fields.ZONE, ct.zone),
        Resubmit(Table.HW_CT_NAT if ct.nat else Table.HW_CT),
    )
    made = [_rule(filter_, Table.HW_CHAIN, priority, m, pre_actions) for m in matches]
    # What stands before ct is moved behind the lookup: a miss must leave the
    # packet as it came.
    hit = (*packet.prerequisites(), Match(fields.FTE_ID, fte_id))
    done = plain_actions((*before, *after), place, packet)
    made.append(_rule(filter_, Table.HW_POST_CT, 10, hit, done))
    return made


def punt_rules(
    filter_: Filter, port: int, priority: int, tag_of: ChainTags
) -> list[Rule]:
    """Send what a software-only filter matches to software at once.

    Model: mlx5 has no such rule, and lets a filter of a lower precedence that
    is in hardware overtake one that is not.  Here nobody can tell.
    """
    punt = (Resubmit(Table.HW_MISS),)
    return [
        Rule(Table.HW_CHAIN, priority, matches, punt, Owner.PUNT, filter_.id)
        for matches in _matches(filter_, port, tag_of)
    ]


def _asks_for_trk(filter_: Filter) -> bool:
    state = filter_.match.get(Key.CT_STATE)
    return state is not None and CtState.TRK in CtState(state.mask)


def _with_trk(filter_: Filter, trk: bool) -> Filter:
    """The filter for packets that are tracked, or are not.

    Source: mlx5 en/tc_ct.c:mlx5_tc_ct_add_no_trk_match
    """
    asked = filter_.match
    state = asked.get(Key.CT_STATE) or KeyMatch(Key.CT_STATE, 0, 0)
    bit = CtState.TRK.value
    others = tuple(each for each in asked.keys if each is not state)
    keys = (*others, KeyMatch(Key.CT_STATE, state.value | bit * trk, state.mask | bit))
    return replace(filter_, match=replace(asked, keys=keys))


def _matches(filter_: Filter, port: int, tag_of: ChainTags) -> list[Matches]:
    where = (
        Match(fields.IN_PORT, port),
        Match(fields.CHAIN_TAG, tag_of(filter_.chain)),
    )
    return [(*where, *each) for each in alternatives(filter_.match, filter_.device)]


def _whole_label(match_: Match) -> Match:
    """A label is matched by its mapping's id: the bits under no mask are 0.

    Source: mlx5 en/tc_ct.c:mlx5_tc_ct_match_add, mlx5_get_label_mapping
    """
    return match_._replace(mask=None) if match_.field is fields.LABEL else match_


def _rule(
    filter_: Filter,
    table: Table,
    priority: int,
    matches: Matches,
    actions: tuple[RuleAction, ...],
) -> Rule:
    return Rule(table, priority, matches, actions, Owner.FILTER, filter_.id, True)


def _tagged(action: Action, tag_of: ChainTags) -> Action:
    """The action with the tag of the chain it goes to in the chain's place."""
    if action.control.verb is not Verb.GOTO_CHAIN:
        return action
    return replace(
        action, control=Control(Verb.GOTO_CHAIN, tag_of(action.control.chain))
    )
