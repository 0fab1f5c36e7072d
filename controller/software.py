"""A tc filter as rules of the software half, on OVS's own conntrack.

    sw_chain, egress --ct action--> ct() --> sw_track --> sw_post_ct (by fte_id)
        \\--> sw_lookup, if it takes any protocol: what is not IP ends there

Source: net/sched/act_ct.c:tcf_ct_act, net/sched/cls_api.c:tcf_classify
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import cast

from controller import fields
from controller.filters import DeviceLookup, Half, Place, plain_actions
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
    Track,
    Translate,
)
from offload.actions import (
    Action,
    Control,
    Ct,
    Gact,
    Masked,
    Nat,
    NatKind,
    Verb,
    as_run,
)
from offload.cls_api import Filter
from offload.errors import Unsupported
from offload.flower import ETH_P_IP, ETH_P_IPV6
from offload.profile import DEFAULT, Profile

_IP = (ETH_P_IP, ETH_P_IPV6)
SOFTWARE = Half(fields.CHAIN, Table.SW_CHAIN, True)
EGRESS = Half(fields.CHAIN, Table.EGRESS, True, Table.LEAVE, fields.LEAVES_BY)


def ct_count(filter_: Filter) -> int:
    """How many fte_ids the filter's software rules need."""
    return sum(_looks_up(action) for action in as_run(filter_.actions))


def rules(
    filter_: Filter,
    priority: int,
    fte_ids: Sequence[int],
    device_of: DeviceLookup,
    profile: Profile = DEFAULT,
    segment: int = 0,
    egress: Collection[str] = (),
) -> list[Rule]:
    """A filter's rules; one fte_id for each of its ct actions.

    ``segment`` is the one of its chain that it is in (``segments.Segments``),
    ``egress`` are the devices with filters for what leaves by them.

    Raises Unsupported with the part that the switch cannot do.
    """
    half = EGRESS if filter_.egress else SOFTWARE
    device = device_of(filter_.device)
    place = Place(half, device_of, device, profile, segment, egress)
    packet = PacketSoFar.of(filter_.match)
    where = (
        Match(half.device_field, device.port),
        Match(fields.CHAIN, filter_.chain),
        Match(fields.SEGMENT, segment),
    )
    matches = [(*where, *each) for each in _asked(filter_, device_of)]
    table, rule_priority = half.chain_table, priority
    made: list[Rule] = []
    rest = as_run(filter_.actions)
    for fte_id in fte_ids:
        before, ct, rest = cut_at_ct(rest)
        actions = _goes_on(before, place, packet)
        lookup = _ct(ct, fte_id, profile)
        if packet.eth_type in _IP:
            actions += lookup
        elif not packet.eth_type:
            actions += (SetField(fields.FTE_ID, fte_id), Resubmit(Table.SW_LOOKUP))
            made += _lookup_rules(filter_, fte_id, lookup)
        made += [_rule(filter_, table, rule_priority, m, actions) for m in matches]
        # OVS takes what writes a field only where the rule asks what it must.
        matches = [(*packet.prerequisites(), Match(fields.FTE_ID, fte_id))]
        table, rule_priority = Table.SW_POST_CT, 10
    last = plain_actions(rest, place, packet)
    made += [_rule(filter_, table, rule_priority, m, last) for m in matches]
    return made


def _asked(filter_: Filter, device_of: DeviceLookup) -> list[Matches]:
    """What a filter asks.  At egress ``indev`` is where the packet was sent from.

    Source: net/sched/act_mirred.c:tcf_mirred_act (skb_iif)
    """
    indev = filter_.match.indev
    if not (filter_.egress and indev):
        return alternatives(filter_.match, filter_.device)
    came_in = Match(fields.IN_PORT, device_of(indev).port)
    return [(came_in, *each) for each in alternatives(filter_.match, indev)]


def cut_at_ct(
    actions: tuple[Action, ...],
) -> tuple[tuple[Action, ...], Ct, tuple[Action, ...]]:
    """The actions before the first ct that looks up, it, and what follows.

    A ct with a verdict of its own ends with it.
    """
    at = next(at for at, action in enumerate(actions) if _looks_up(action))
    ct = cast(Ct, actions[at])
    rest = actions[at + 1 :]
    if ct.control.verb is not Verb.PIPE:
        rest = (Gact(ct.control),)
    return actions[:at], ct, rest


def _looks_up(action: Action) -> bool:
    return isinstance(action, Ct) and not action.clear


def _goes_on(
    before: tuple[Action, ...], place: Place, packet: PacketSoFar
) -> tuple[RuleAction, ...]:
    stolen = Gact(Control(Verb.STOLEN))
    done = plain_actions((*before, stolen), place, packet)
    packet.require_checksums()
    return done


def _lookup_rules(
    filter_: Filter, fte_id: int, lookup: tuple[RuleAction, ...]
) -> Iterator[Rule]:
    """A lookup for a filter that takes any protocol; what is not IP is dropped.

    OVS takes ct() only where the rule itself says that the packet is IP.
    """
    for eth_type in _IP:
        matches = (Match(fields.ETH_TYPE, eth_type), Match(fields.FTE_ID, fte_id))
        yield _rule(filter_, Table.SW_LOOKUP, 10, matches, lookup)


def _rule(
    filter_: Filter,
    table: Table,
    priority: int,
    matches: tuple[Match, ...],
    actions: tuple[RuleAction, ...],
) -> Rule:
    return Rule(table, priority, matches, actions, Owner.FILTER, filter_.id, True)


def _ct(ct: Ct, fte_id: int, profile: Profile) -> tuple[RuleAction, ...]:
    """Look the packet up, and say whether it may be offered.

    Without a commit no mark and no label is written.  Source: act_ct.c:tcf_ct_act
    """
    if ct.force and not ct.commit:
        raise Unsupported("ct force: the switch does it only with a commit")
    sets = (
        *_exec(fields.CONNTRACK_MARK, ct.mark),
        *_exec(fields.CONNTRACK_LABEL, ct.label),
    )
    return (
        SetField(fields.FTE_ID, fte_id),
        SetField(fields.ZONE, ct.zone),
        SetField(fields.OFFER, int(profile.offers_on_commit or not ct.commit)),
        SetField(fields.COMMIT, int(ct.commit)),
        SetField(fields.BINDS, int(_binds(ct))),
        _track(ct, sets),
    )


def _binds(ct: Ct) -> bool:
    """Does it choose an address or a port for a new connection?"""
    return ct.nat is not None and ct.nat.kind is not NatKind.RESTORE


def _track(ct: Ct, sets: tuple[SetField, ...]) -> Track:
    """Mere translation is done in sw_nat, when the packet was seen as it came."""
    if ct.nat is not None and not ct.commit:
        return Track(ct.zone, table=Table.SW_NAT)
    if not ct.commit:
        return Track(ct.zone, table=Table.SW_TRACK)
    return Track(ct.zone, True, ct.force, Table.SW_TRACK, sets, _nat(ct.nat))


def _exec(field: fields.Field, masked: Masked | None) -> tuple[SetField, ...]:
    if masked is None:
        return ()
    if field is fields.CONNTRACK_LABEL and masked.value >> fields.LABEL_BITS:
        raise Unsupported("ct: label: its four highest bits are the testbed's own")
    mask = masked.mask
    if field is fields.CONNTRACK_LABEL:
        mask &= (1 << fields.LABEL_BITS) - 1
    return (SetField(field, masked.value & mask, mask),) if mask else ()


def _nat(nat: Nat | None) -> Translate | None:
    if nat is None:
        return None
    if nat.kind is NatKind.RESTORE:
        return Translate()
    return Translate(
        nat.kind is NatKind.SRC,
        str(nat.addr_min or ""),
        str(nat.addr_max or nat.addr_min or ""),
        nat.port_min,
        nat.port_max,
    )
