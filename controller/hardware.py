"""A tc filter as rules of the hardware half, or mlx5's reason why not.

    hw_chain --pre_ct rule--> hw_ct_nat, hw_ct --hit--> hw_post_ct (by fte_id)

The post_ct rule has the filter's counter, so a filter with ct counts hits only.
Which generation of it: ``offload.profile``.
Source: mlx5 en_tc.c:parse_tc_fdb_actions, en/tc_ct.c
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from controller import fields
from controller.filters import (
    Device,
    DeviceKind,
    DeviceLookup,
    Half,
    match,
    plain_actions,
)
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
from offload.actions import (
    Action,
    Control,
    Ct,
    Gact,
    Mirred,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
)
from offload.cls_api import Filter
from offload.errors import Unsupported
from offload.flower import CtState, Key
from offload.profile import DEFAULT, LabelMatch, Profile

HARDWARE = Half(fields.CHAIN_TAG, Table.HW_CHAIN)
_LOW_LABEL_BITS = 32

_REPERTOIRE = (Ct, TunnelKeySet, TunnelKeyUnset)

ChainTags = Callable[[int], int]


def check(filter_: Filter, device_of: DeviceLookup, profile: Profile = DEFAULT) -> None:
    """Raise Unsupported, in mlx5's words, for what its hardware does not take."""
    _check_match(filter_, profile)
    _check_ct(filter_)
    _check_verdict(filter_, device_of)


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
    port: int,
    priority: int,
    fte_id: int,
    device_of: DeviceLookup,
    tag_of: ChainTags,
    profile: Profile = DEFAULT,
) -> list[Rule]:
    """The rules of a filter that passed ``check``; ``fte_id`` 0 without ct."""
    matches = _matches(filter_, port, tag_of)
    if profile.labels is LabelMatch.MAPPED:
        matches = tuple(_whole_label(each) for each in matches)
    actions = tuple(_tagged(action, tag_of) for action in filter_.actions)
    if not fte_id:
        return [
            _rule(filter_, Table.HW_CHAIN, priority, matches, actions, device_of, port)
        ]
    before, ct, after = cut_at_ct(actions)
    # Moved behind the lookup: a miss must leave the packet as it came.
    post = _rule(
        filter_,
        Table.HW_POST_CT,
        10,
        (Match(fields.FTE_ID, fte_id),),
        (*before, *after),
        device_of,
        port,
    )
    pre_actions: tuple[RuleAction, ...] = (
        SetField(fields.FTE_ID, fte_id),
        SetField(fields.ZONE, ct.zone),
        Resubmit(Table.HW_CT_NAT if ct.nat else Table.HW_CT),
    )
    pre = Rule(
        Table.HW_CHAIN, priority, matches, pre_actions, Owner.FILTER, filter_.id, True
    )
    return [pre, post]


def punt_rule(filter_: Filter, port: int, priority: int, tag_of: ChainTags) -> Rule:
    """Send what a software-only filter matches to software at once.

    Model: mlx5 has no such rule, and lets a filter of a lower precedence that
    is in hardware overtake one that is not.  Here nobody can tell.
    """
    matches = _matches(filter_, port, tag_of)
    return Rule(
        Table.HW_CHAIN,
        priority,
        matches,
        (Resubmit(Table.HW_MISS),),
        Owner.PUNT,
        filter_.id,
    )


def _matches(filter_: Filter, port: int, tag_of: ChainTags) -> tuple[Match, ...]:
    return (
        Match(fields.IN_PORT, port),
        Match(fields.CHAIN_TAG, tag_of(filter_.chain)),
        *match(filter_.match),
    )


def _whole_label(match_: Match) -> Match:
    """A label is matched by its mapping's id: the bits under no mask are 0.

    Source: mlx5 en/tc_ct.c:mlx5_tc_ct_match_add, mlx5_get_label_mapping
    """
    return match_._replace(mask=None) if match_.field is fields.LABEL else match_


def _rule(
    filter_: Filter,
    table: Table,
    priority: int,
    matches: tuple[Match, ...],
    actions: tuple[Action, ...],
    device_of: DeviceLookup,
    port: int,
) -> Rule:
    done = plain_actions(actions, HARDWARE, device_of, port)
    return Rule(table, priority, matches, done, Owner.FILTER, filter_.id, True)


def _tagged(action: Action, tag_of: ChainTags) -> Action:
    """The action with the tag of the chain it goes to in the chain's place."""
    if action.control.verb is not Verb.GOTO_CHAIN:
        return action
    return replace(
        action, control=Control(Verb.GOTO_CHAIN, tag_of(action.control.chain))
    )


def _check_match(filter_: Filter, profile: Profile) -> None:
    """Source: mlx5 en/tc_ct.c:mlx5_tc_ct_parse_match"""
    state = filter_.match.get(Key.CT_STATE)
    if state is not None:
        if CtState(state.mask) & ~profile.matchable:
            raise Unsupported(profile.unmatchable)
        for flag in CtState(state.value) & profile.only_clear:
            name = str(flag.name).lower()
            raise Unsupported(f"matching on ct_state +{name} isn't supported")
    label = filter_.match.get(Key.CT_LABEL)
    if label is not None and profile.labels is LabelMatch.LOW_32_BITS:
        if label.mask >> _LOW_LABEL_BITS:
            raise Unsupported(
                "only lower 32bits of ct_labels are supported for offload"
            )


def _check_ct(filter_: Filter) -> None:
    """Source: mlx5 en/tc_ct.c:mlx5_tc_ct_parse_action"""
    cts = [action for action in filter_.actions if isinstance(action, Ct)]
    mirrors = any(isinstance(a, Mirred) and not a.redirect for a in filter_.actions)
    if len(cts) > 1:
        raise Unsupported("Multiple CT actions are not supported")
    if cts and mirrors:
        raise Unsupported("Can't offload mirroring with action ct")
    for ct in cts:
        # Model: mlx5 takes these and does not run them on a hit.
        if ct.mark or ct.label or ct.force:
            raise Unsupported("ct commit that changes a connection is left to software")


def _check_verdict(filter_: Filter, device_of: DeviceLookup) -> None:
    """Source: mlx5 en_tc.c:parse_tc_fdb_actions"""
    goto = any(a.control.verb is Verb.GOTO_CHAIN for a in filter_.actions)
    decap = any(isinstance(action, TunnelKeyUnset) for action in filter_.actions)
    mirrors = any(isinstance(a, Mirred) and not a.redirect for a in filter_.actions)
    drops = any(a.control == Control(Verb.DROP) for a in filter_.actions)
    redirects = any(isinstance(a, Mirred) and a.redirect for a in filter_.actions)
    if goto and decap:
        raise Unsupported("Decap with goto isn't supported")
    if goto and mirrors:
        raise Unsupported("Mirroring goto chain rules isn't supported")
    if any(not _taken(action) for action in filter_.actions):
        raise Unsupported("The offload action is not supported")
    if not (goto or drops or redirects):
        raise Unsupported("Rule must have at least one forward/drop action")
    _check_tunnels(filter_.actions, device_of)


def _taken(action: Action) -> bool:
    """Is this action in mlx5's repertoire?"""
    if isinstance(action, Mirred):
        return action.egress
    if isinstance(action, Gact):
        return action.control.verb in (Verb.GOTO_CHAIN, Verb.DROP)
    return isinstance(action, _REPERTOIRE)


def _check_tunnels(actions: tuple[Action, ...], device_of: DeviceLookup) -> None:
    """A tunnel device is reached only with a tunnel key, which only it takes."""
    encap = any(isinstance(action, TunnelKeySet) for action in actions)
    targets: list[Device] = [
        device_of(action.dev) for action in actions if isinstance(action, Mirred)
    ]
    if any(target.kind is DeviceKind.TUNNEL for target in targets) and not encap:
        raise Unsupported("devices are not on same switch HW, can't offload forwarding")
