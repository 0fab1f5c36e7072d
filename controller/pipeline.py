"""The rules that are always there: how a packet walks when nothing is special.

    port --> hw_chain --pre_ct--> hw_ct_nat -> hw_ct --hit--> hw_post_ct --> out
       \\         |                      \\        |                  \\-> hw_chain
        \\        +--------- miss --------+-------+
     (offload     v
         off)  hw_miss: chain 0 starts over, another resumes with its ct state
           \\      v
            +-> sw_chain --> ct() --> sw_track --> sw_post_ct --> out, sw_chain
                   |                      \\-> a copy to act_ct
                   +--no filter--> stack

    out of a device with egress filters: egress (as sw_chain) --> leave --> out

Source: design of mlx5 en/tc_ct.c (hardware), net/sched/cls_api.c (software)
"""

from __future__ import annotations

from collections.abc import Iterator

from controller import offers, tracked
from controller.fields import (
    CHAIN,
    CHAIN_TAG,
    CT_STATE,
    CT_ZONE,
    ETH_TYPE,
    FIRST_CHAIN,
    FTE_ID,
    GOTOS,
    IN_PORT,
    IP_TTL,
    LABEL,
    LEAVES_BY,
    MARK,
    MIRREDS,
    OF_A_CLASSIFICATION,
    OVS_DNAT,
    OVS_SNAT,
    SEGMENT,
    SENDS,
    TUPLE_ID,
    ZONE,
    ovs_ct_state,
)
from controller.offers import READ_CONNTRACK
from controller.rules import (
    DecTtl,
    Match,
    Output,
    OutputTo,
    Owner,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Table,
)
from offload.flower import ETH_P_IP, ETH_P_IPV6, CtState
from offload.profile import DEFAULT, Profile

OFPP_LOCAL = 0xFFFFFFFE

_FRESH_START = tuple(
    SetField(register, 0)
    for register in (
        *(CT_STATE, CT_ZONE, MARK, LABEL, TUPLE_ID),
        *OF_A_CLASSIFICATION,
    )
)

BELOW_ALL_FILTERS = 1
MAX_MIRREDS = 4
_FIRST = 0xFFFF


def static_rules(profile: Profile = DEFAULT) -> Iterator[Rule]:
    """Every rule that is there before the first device and filter."""
    yield from tracked.rules(profile)
    for table, actions in _TABLE_MISS.items():
        yield Rule(table, 0, (), actions)
    yield Rule(
        Table.HW_MISS,
        10,
        (Match(CHAIN_TAG, 0),),
        (*_FRESH_START, Resubmit(Table.SW_CHAIN)),
    )
    yield from _limit_rules(profile.gotos)
    yield from _dec_ttl_rules()
    yield from offers.rules(profile)


_TABLE_MISS: dict[Table, tuple[RuleAction, ...]] = {
    Table.PORT: (),
    Table.HW_CHAIN: (Resubmit(Table.HW_MISS),),
    Table.HW_CT_NAT: (Resubmit(Table.HW_CT),),
    Table.HW_CT: (Resubmit(Table.HW_MISS),),
    Table.HW_POST_CT: (),
    Table.HW_MISS: (),  # a chain tag nobody knows: dropped, as mlx5 does
    Table.SW_CHAIN: (Resubmit(Table.STACK),),
    Table.SW_LOOKUP: (),  # not IP: dropped, as act_ct does
    Table.SW_TRACK: (*READ_CONNTRACK, Resubmit(Table.SW_POST_CT)),
    Table.SW_NAT: (),
    Table.SW_POST_CT: (),
    Table.STACK: (Output(OFPP_LOCAL),),
    Table.CT_AGE: (),
    Table.OFFER_AGAIN: (),
    Table.DEC_TTL: (),
    Table.INGRESS: (Resubmit(Table.SW_CHAIN),),
    Table.EGRESS: (Resubmit(Table.LEAVE),),
    # By the port it came in by as well, which OpenFlow does only if that is unknown.
    Table.LEAVE: (SetField(IN_PORT, 0), OutputTo(SENDS)),
    Table.RESTORE: (SetField(TUPLE_ID, 0), Resubmit(Table.SW_CHAIN)),
    Table.RESTORED: (*READ_CONNTRACK, Resubmit(Table.SW_CHAIN)),
}


# Nothing goes there without matching; see Switch._credit.
UNUSED_RULE = Rule(Table.OFFER_AGAIN, 0, (), ())


def port_rule(port: int, offload: bool) -> Rule:
    """Let a device's packets in, through the hardware half or past it."""
    first = Table.HW_CHAIN if offload else Table.SW_CHAIN
    return Rule(Table.PORT, 10, (Match(IN_PORT, port),), (Resubmit(first),))


def chain_rule(tag: int, chain: int) -> Rule:
    """Resume a hardware miss in software at its chain, ct state and all."""
    return Rule(
        Table.HW_MISS,
        10,
        (Match(CHAIN_TAG, tag),),
        (
            SetField(CHAIN, chain),
            SetField(FIRST_CHAIN, chain),
            SetField(GOTOS, 0),
            SetField(SEGMENT, 0),
            SetField(FTE_ID, 0),
            Resubmit(Table.RESTORE),
        ),
        Owner.CHAIN,
        tag,
    )


def zone_rules(zone: int) -> Iterator[Rule]:
    """What was tracked in a zone, and translated if asked, passes its ct table by.

    Source: mlx5 en/tc_ct.c:mlx5_tc_ct_alloc_pre_ct_tables
    """
    here = (Match(ZONE, zone), Match(CT_ZONE, zone))
    tracked = ovs_ct_state(CtState.TRK)
    for table, priority, also in (
        (Table.HW_CT, 20, 0),
        (Table.HW_CT_NAT, 20, OVS_SNAT),
        (Table.HW_CT_NAT, 21, OVS_DNAT),
    ):
        state = Match(CT_STATE, tracked | also, tracked | also)
        yield Rule(table, priority, (*here, state), (Resubmit(Table.HW_POST_CT),))


def segment_rule(port: int, chain: int, segment: int, egress: bool = False) -> Rule:
    """What finds nothing in a segment of a chain goes on in the next one."""
    table, field = (Table.EGRESS, LEAVES_BY) if egress else (Table.SW_CHAIN, IN_PORT)
    where = (Match(field, port), Match(CHAIN, chain), Match(SEGMENT, segment))
    to_next = (SetField(SEGMENT, segment + 1), Resubmit(table))
    return Rule(table, BELOW_ALL_FILTERS, where, to_next, Owner.CHAIN)


def _limit_rules(max_gotos: int) -> Iterator[Rule]:
    """Drop what goes round in circles.

    Source: net/sched/cls_api.c:__tcf_classify, act_mirred.c:tcf_mirred_act
    """
    too_many = 1 << max_gotos
    for table in (Table.HW_CHAIN, Table.SW_CHAIN, Table.EGRESS):
        yield Rule(table, _FIRST, (Match(GOTOS, too_many, too_many),), ())
    too_many = 1 << MAX_MIRREDS
    for table in (Table.INGRESS, Table.EGRESS, Table.LEAVE):
        yield Rule(table, _FIRST - 1, (Match(MIRREDS, too_many, too_many),), ())


def _dec_ttl_rules() -> Iterator[Rule]:
    """Add 255 to a TTL, which OVS does not where the sum would be 0 or 255."""
    for eth_type in (ETH_P_IP, ETH_P_IPV6):
        ip = Match(ETH_TYPE, eth_type)
        yield Rule(Table.DEC_TTL, 10, (ip,), (DecTtl(),))
        for ttl, less_one in ((1, 0), (0, 255)):
            matches = (ip, Match(IP_TTL, ttl))
            yield Rule(Table.DEC_TTL, 20, matches, (SetField(IP_TTL, less_one),))
