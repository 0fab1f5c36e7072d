"""What conntrack's answer is taken for, where Open vSwitch and Linux differ.

    ct() --> sw_track --+-- invalid ------------------------> sw_post_ct, without a connection
                        +-- a FIN or RST of none: new ------> the same
                        +-- an IP header that is cut off ---> dropped
                        +-- NAT had nothing free for it ----> dropped
                        +-- TCP before an answer:
                              established in OVS -----------> new, or invalid
                        +-- a SYN-ACK of the end that opened > invalid
                        +-- a RST before an answer ---------> and a copy: the connection goes

Userspace Open vSwitch calls a connection established by the second packet of either
end.  For Linux one that nobody answered is new, and what follows a SYN invalid.  So
conntrack's ct_label keeps whether there was an answer (``ANSWERED``), and whether a
connection was picked up in its middle (``PICKED_UP``), which may close before it has one.
Source: nf_conntrack_proto_tcp.c:tcp_conntracks, nf_conntrack_core.c:resolve_normal_ct
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from controller.fields import (
    ANSWERED,
    BINDS,
    COMMIT,
    CONNTRACK_STATE,
    CT_STATE,
    CT_ZONE,
    ETH_TYPE,
    IP_PROTO,
    IP_TTL,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    LABEL,
    MARK,
    OVS_DNAT,
    OVS_SNAT,
    PICKED_UP,
    TCP_FLAGS,
    TOLD,
    Told,
    ovs_ct_state,
)
from controller.offers import CLOSES, READ_CONNTRACK, TRANSLATE, UNANSWERED_COPY
from controller.rules import (
    CopyToController,
    Match,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Table,
    Track,
)
from offload.conntrack import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from offload.flower import ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP, CtState
from offload.profile import Profile

_INVALID = 40
_UNANSWERED = 25  # below what closes, above what is offered
_FIN_FIRST, _REFUSED, _SYN_ACK = 28, 29, 30  # above what is unanswered otherwise
_CLOSES, _FIRST_ANSWER = 16, 15  # below what is offered: that was answered

_NEW = ovs_ct_state(CtState.TRK | CtState.NEW)
_EST = ovs_ct_state(CtState.TRK | CtState.EST)
_RPL = ovs_ct_state(CtState.RPL)
_INV = ovs_ct_state(CtState.TRK | CtState.INV)
# A connection picked up in its middle may close before anybody answers.
_UNANSWERED_TOLD = (Told.NOTHING, Told.CLOSING)


def rules(profile: Profile) -> Iterator[Rule]:
    """Every rule of sw_track that mends what conntrack said."""
    goes_on = _without_connection(profile)
    asked = (Match(CONNTRACK_STATE, _INV, _INV),)
    yield Rule(Table.SW_TRACK, _INVALID, asked, goes_on)
    for eth_type in (ETH_P_IP, ETH_P_IPV6):
        tcp = (Match(ETH_TYPE, eth_type), Match(IP_PROTO, IPPROTO_TCP))
        for flag in (TCP_FIN, TCP_RST):
            new = Match(CONNTRACK_STATE, _NEW, _NEW)
            ending = (*tcp, Match(TCP_FLAGS, flag, flag), new)
            yield Rule(Table.SW_TRACK, _INVALID, ending, goes_on)
        yield from _remembered(tcp)
        yield from _closes(tcp)
        yield from _unanswered(tcp, goes_on)
        yield from _refused(tcp)
        yield from _no_answer(tcp, goes_on)
    yield from _NO_IP_AT_ALL
    yield _NOTHING_FREE


def _without_connection(profile: Profile) -> tuple[RuleAction, ...]:
    """Linux 5.7 goes on without the connection that there is not.

    Source: net/sched/act_ct.c:tcf_ct_act
    """
    if profile.invalid_is_tracked:
        nothing = (SetField(CT_STATE, _INV), SetField(MARK, 0), SetField(LABEL, 0))
        return (*READ_CONNTRACK, *nothing, Resubmit(Table.SW_POST_CT))
    untracked = tuple(SetField(each, 0) for each in (CT_STATE, CT_ZONE, MARK, LABEL))
    return (*untracked, Resubmit(Table.SW_POST_CT))


def _remembered(tcp: tuple[Match, ...]) -> Iterator[Rule]:
    """The first answer, if act_ct is not told of it, and a commit in the middle."""
    reply = Match(CONNTRACK_STATE, _EST | _RPL, _EST | _RPL)
    answer = Track(commit=True, sets=(SetField(ANSWERED, 1),))
    on = (Resubmit(Table.SW_POST_CT),)
    for told in _UNANSWERED_TOLD:
        first = (*tcp, reply, Match(TOLD, told), Match(ANSWERED, 0))
        actions = (*READ_CONNTRACK, answer, *on)
        yield Rule(Table.SW_TRACK, _FIRST_ANSWER, first, actions)
        yield Rule(Table.SW_NAT, _FIRST_ANSWER, first, (answer, *TRANSLATE))
    middle = (
        Match(CONNTRACK_STATE, _NEW, _NEW),
        Match(COMMIT, 1),
        Match(TCP_FLAGS, 0, TCP_SYN),
        Match(PICKED_UP, 0),
    )
    picked_up = Track(commit=True, sets=(SetField(PICKED_UP, 1),))
    yield Rule(
        Table.SW_TRACK,
        _FIRST_ANSWER,
        (*tcp, *middle),
        (*READ_CONNTRACK, picked_up, *on),
    )


def _closes(tcp: tuple[Match, ...]) -> Iterator[Rule]:
    """A FIN of a connection that act_ct was not told of: nor will it be.

    A FIN may be the first answer. Before one, what the first end says keeps its own meaning.
    """
    fin = (*tcp, Match(TCP_FLAGS, TCP_FIN, TCP_FIN), Match(TOLD, Told.NOTHING))
    remember = (CLOSES, Resubmit(Table.SW_POST_CT))
    reply = (Match(CONNTRACK_STATE, _EST | _RPL, _EST | _RPL),)
    original = (Match(CONNTRACK_STATE, _EST, _EST | _RPL), Match(ANSWERED, 1))
    for state in (reply, original):
        actions = (*READ_CONNTRACK, *remember)
        yield Rule(Table.SW_TRACK, _CLOSES, (*fin, *state), actions)


def _unanswered(
    tcp: tuple[Match, ...], invalid: tuple[RuleAction, ...]
) -> Iterator[Rule]:
    """What the first end says before it was answered; the invalid is not translated."""
    state = (*READ_CONNTRACK, SetField(CT_STATE, _NEW))
    new = (*state, Resubmit(Table.SW_POST_CT))
    silent = (*tcp, Match(CONNTRACK_STATE, _EST, _EST | _RPL), Match(ANSWERED, 0))
    there = (*silent, Match(TOLD, Told.NOTHING))
    syn = Match(TCP_FLAGS, TCP_SYN, TCP_SYN | TCP_ACK)
    for number, asked in enumerate((syn, Match(PICKED_UP, 1))):
        priority = _UNANSWERED + 1 + number
        yield Rule(Table.SW_TRACK, priority, (*there, asked), new)
    alone = Track(commit=True, sets=(SetField(TOLD, Told.CLOSING),))
    yield Rule(
        Table.SW_TRACK,
        _FIN_FIRST,
        (*there, Match(PICKED_UP, 1), Match(TCP_FLAGS, TCP_FIN, TCP_FIN)),
        (*state, alone, Resubmit(Table.SW_POST_CT)),
    )
    closing = (*silent, Match(TOLD, Told.CLOSING), Match(PICKED_UP, 1))
    yield Rule(Table.SW_TRACK, _UNANSWERED, closing, new)
    here = (*there, Match(PICKED_UP, 0))
    yield Rule(Table.SW_TRACK, _UNANSWERED, here, invalid)
    ack = Match(TCP_FLAGS, TCP_ACK, TCP_ACK)
    yield Rule(Table.SW_NAT, _UNANSWERED, (*here, ack), invalid)


def _refused(tcp: tuple[Match, ...]) -> Iterator[Rule]:
    """A RST while nobody has answered: Linux forgets the connection at once.

    Open vSwitch keeps it for its timeout, so the controller is told to delete it. The end
    that opened acknowledges nothing, unless the connection was picked up in its middle.
    Source: nf_conntrack_proto_tcp.c:nf_conntrack_tcp_packet (nf_ct_kill_acct)
    """
    for told in _UNANSWERED_TOLD:
        yield from _refused_when((*tcp, Match(TOLD, told), Match(ANSWERED, 0)))


def _refused_when(unanswered: tuple[Match, ...]) -> Iterator[Rule]:
    original = (*unanswered, Match(CONNTRACK_STATE, _EST, _EST | _RPL))
    reply = (*unanswered, Match(CONNTRACK_STATE, _EST | _RPL, _EST | _RPL))
    rst, new = Match(TCP_FLAGS, TCP_RST, TCP_RST), (SetField(CT_STATE, _NEW),)
    no_ack = Match(TCP_FLAGS, TCP_RST, TCP_RST | TCP_ACK)
    ack = Match(TCP_FLAGS, TCP_RST | TCP_ACK, TCP_RST | TCP_ACK)
    tell = (CopyToController(), Resubmit(Table.SW_POST_CT))
    for matches, state in (
        ((*original, no_ack), new),
        ((*original, ack, Match(PICKED_UP, 1)), new),
        ((*reply, rst), ()),
    ):
        told = (*READ_CONNTRACK, *state, *tell)
        yield Rule(Table.SW_TRACK, _REFUSED, matches, told, owner_id=UNANSWERED_COPY)
    still_unanswered = (*reply, rst)
    yield Rule(Table.SW_NAT, _REFUSED, still_unanswered, TRANSLATE)


def _no_answer(
    tcp: tuple[Match, ...], invalid: tuple[RuleAction, ...]
) -> Iterator[Rule]:
    """A SYN-ACK of the end that opened, unless the connection is in the flow table or begins."""
    syn_ack = Match(TCP_FLAGS, TCP_SYN | TCP_ACK, TCP_SYN | TCP_ACK)
    here = (*tcp, syn_ack, Match(CONNTRACK_STATE, _EST, _EST | _RPL))
    unanswered = (Match(TOLD, Told.NOTHING), Match(ANSWERED, 0))
    for table, when in product(
        (Table.SW_TRACK, Table.SW_NAT), (unanswered, (Match(TOLD, Told.CLOSING),))
    ):
        yield Rule(table, _SYN_ACK, (*here, *when), invalid)


# A header that is cut off: OVS reads nothing but zeros, and act_ct drops the packet.
# Source: net/sched/act_ct.c:tcf_ct_skb_network_trim
_NO_IP_AT_ALL = tuple(
    Rule(
        Table.SW_TRACK,
        _INVALID + 1,
        (
            Match(ETH_TYPE, eth_type),
            *(Match(field, 0) for field in (IP_PROTO, IP_TTL, source, target)),
        ),
        (),
    )
    for eth_type, source, target in (
        (ETH_P_IP, IPV4_SRC, IPV4_DST),
        (ETH_P_IPV6, IPV6_SRC, IPV6_DST),
    )
)

# Of what NAT's ranges have nothing is free: userspace Open vSwitch lets the packet go on
# as it came, Linux drops it, since it cannot be confirmed.
# Source: net/netfilter/nf_conntrack_core.c:__nf_conntrack_confirm
_NOTHING_FREE = Rule(
    Table.SW_TRACK,
    _INVALID + 1,
    (
        Match(CONNTRACK_STATE, _NEW, _NEW | OVS_SNAT | OVS_DNAT),
        Match(BINDS, 1),
    ),
    (),
)
