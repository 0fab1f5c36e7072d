"""Which packets act_ct is told of: a fixed number a connection.

    ct() ----------------> sw_track --+--------------> sw_post_ct
                                      +-> a copy to act_ct
    ct() -> sw_nat -> ct(nat) -> sw_track
              +-> a copy: a reply shows its own tuple only before NAT

What act_ct was told of a connection is kept in conntrack itself, in two bits of
its ct_label (``Told``), so each packet sees it however fast they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from controller.fields import (
    ANSWERED,
    BEGUN,
    COMMIT,
    CONNTRACK_LABEL,
    CONNTRACK_MARK,
    CONNTRACK_STATE,
    CT_STATE,
    CT_ZONE,
    ETH_TYPE,
    IP_PROTO,
    LABEL,
    LABEL_BITS,
    MARK,
    OFFER,
    OVS_DNAT,
    OVS_SNAT,
    TCP_FLAGS,
    TOLD,
    ZONE,
    Told,
    ovs_ct_state,
)
from controller.rules import (
    CopyToController,
    Match,
    Move,
    Resubmit,
    Rule,
    RuleAction,
    SetField,
    Table,
    Track,
    Translate,
)
from offload.conntrack import TCP_FIN, TCP_RST, TCP_SYN
from offload.flower import (
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    CtState,
)
from offload.profile import Profile

# ct() has run: its state moves to the registers, and is read from there only.
READ_CONNTRACK: tuple[RuleAction, ...] = (
    Move(CONNTRACK_STATE, CT_STATE, CT_STATE.bits),
    Move(ZONE, CT_ZONE, ZONE.bits),
    Move(CONNTRACK_MARK, MARK, MARK.bits),
    Move(CONNTRACK_LABEL, LABEL, LABEL_BITS),
)
TRANSLATE: tuple[RuleAction, ...] = (Track(table=Table.SW_TRACK, nat=Translate()),)
# What each table does with every packet, first and last: between them, a second
# ct() takes conntrack's own fields from the packet.
_FIRST: dict[Table, tuple[RuleAction, ...]] = {
    Table.SW_TRACK: READ_CONNTRACK,
    Table.SW_NAT: (),
}
_LAST: dict[Table, tuple[RuleAction, ...]] = {
    Table.SW_TRACK: (Resubmit(Table.SW_POST_CT),),
    Table.SW_NAT: TRANSLATE,
}

# Copies are told apart by their rules' cookies, not by what their headers show.
CLOSING_COPY = 1
UNANSWERED_COPY = 2

# What closes was answered, or it was closed by the end that is alone (``tracked``).
CLOSES = Track(commit=True, sets=(SetField(ANSWERED, 1), SetField(TOLD, Told.CLOSING)))

_CLOSING = 30
_OFFER = 20
WATCH_PRIORITY = 10
_OTHER = 1

_NEW = ovs_ct_state(CtState.TRK | CtState.NEW)
_EST = ovs_ct_state(CtState.TRK | CtState.EST)
_RPL = ovs_ct_state(CtState.RPL)
_ORIGINAL = Match(CONNTRACK_STATE, _EST, _EST | _RPL)
_REPLY = Match(CONNTRACK_STATE, _EST | _RPL, _EST | _RPL)
_REPLY_AS_IT_CAME = Match(
    CONNTRACK_STATE, _EST | _RPL, _EST | _RPL | OVS_SNAT | OVS_DNAT
)

_UNTOLD = Match(TOLD, Told.NOTHING)
_MAY_BE_TOLD = Match(TOLD, Told.NOTHING, Told.OFFERED)  # or half
_HALF = Match(TOLD, Told.HALF)

Matches = tuple[Match, ...]


def rules(profile: Profile) -> Iterator[Rule]:
    """Every rule that copies a packet, or makes conntrack remember or forget one."""
    for eth_type, icmp in ((ETH_P_IP, IPPROTO_ICMP), (ETH_P_IPV6, IPPROTO_ICMPV6)):
        family = Match(ETH_TYPE, eth_type)  # OVS takes ct() only behind it
        yield Rule(Table.SW_NAT, _OTHER, (family,), TRANSLATE)
        tcp = (family, Match(IP_PROTO, IPPROTO_TCP))
        udp = (family, Match(IP_PROTO, IPPROTO_UDP))
        yield from _closing(tcp)
        speaking = (*tcp, Match(TCP_FLAGS, 0, TCP_SYN | TCP_FIN | TCP_RST))
        if profile.needs_assured:
            yield from _when_assured(speaking)
        else:
            yield from _when_established(speaking)
        yield from _when_established(udp)
        yield from _when_established((family, Match(IP_PROTO, icmp)))
        if profile.udp_when_confirmed:
            committed = (Match(CONNTRACK_STATE, _NEW, _NEW), Match(COMMIT, 1))
            yield _offer(Table.SW_TRACK, (*udp, *committed, _UNTOLD), Told.HALF)
    yield from _offer_again()


def _closing(tcp: Matches) -> Iterator[Rule]:
    """The first FIN or RST of a connection that act_ct was told of, or is to be again."""
    for flag, told in product((TCP_FIN, TCP_RST), (Told.OFFERED, Told.HALF)):
        yield Rule(
            Table.SW_TRACK,
            _CLOSING + flag,
            (*tcp, Match(TCP_FLAGS, flag, flag), Match(TOLD, told)),
            (*READ_CONNTRACK, CopyToController(), CLOSES, Resubmit(Table.SW_POST_CT)),
            owner_id=CLOSING_COPY,
        )


def _when_established(kind: Matches) -> Iterator[Rule]:
    """The first packet after one of the other direction."""
    yield _offer(Table.SW_TRACK, (*kind, _ORIGINAL, _MAY_BE_TOLD))
    yield _offer(Table.SW_TRACK, (*kind, _REPLY_AS_IT_CAME, _MAY_BE_TOLD))
    yield _offer(Table.SW_NAT, (*kind, _REPLY, _MAY_BE_TOLD))


def _when_assured(kind: Matches) -> Iterator[Rule]:
    """The first packet that finds a reply was seen: its own is none.

    A reply that a second ct() looks up is still the same.
    Source: nf_conntrack_proto_tcp.c:nf_conntrack_tcp_packet (IPS_ASSURED)
    """
    begun = (_remember(Told.HALF), SetField(BEGUN, 1))
    yield _offer(Table.SW_TRACK, (*kind, _ORIGINAL, _MAY_BE_TOLD))
    for table, reply in ((Table.SW_TRACK, _REPLY_AS_IT_CAME), (Table.SW_NAT, _REPLY)):
        yield _offer(table, (*kind, reply, _HALF, Match(BEGUN, 0)))
        yield Rule(
            table,
            _OFFER,
            (*kind, reply, _UNTOLD),
            (*_FIRST[table], *begun, *_LAST[table]),
        )


def _offer(table: Table, matches: Matches, told: Told = Told.OFFERED) -> Rule:
    may = Match(OFFER, 1)
    return Rule(table, _OFFER, (*matches, may), _copy(table, told))


def _copy(table: Table, told: Told) -> tuple[RuleAction, ...]:
    copy = (CopyToController(), _remember(told))
    return (*_FIRST[table], *copy, *_LAST[table])


def _remember(told: Told) -> Track:
    return Track(commit=True, sets=(SetField(TOLD, told),))


def _offer_again() -> Iterator[Rule]:
    """A packet made by the controller: forget what act_ct was told.

    It never leaves the switch, and what was told of is committed: it makes
    nothing new.  TCP's connection is assured, so a reply may offer it.
    """
    for eth_type in (ETH_P_IP, ETH_P_IPV6):
        for proto, now in ((IPPROTO_TCP, Told.HALF), (IPPROTO_UDP, Told.NOTHING)):
            for told in (Told.OFFERED, Told.HALF):  # and not closing
                yield Rule(
                    Table.OFFER_AGAIN,
                    10,
                    (
                        Match(ETH_TYPE, eth_type),
                        Match(IP_PROTO, proto),
                        Match(TOLD, told),
                    ),
                    (_remember(now),),
                )
