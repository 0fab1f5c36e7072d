"""Why a filter or a connection is not in hardware: the rule that decided.

A filter keeps its reason, and so does an entry of a flow table.  A connection
without an entry is asked in the order in which act_ct would have refused it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from controller.connections import Connection
from controller.fields import Told
from controller.hypervisor import Hypervisor
from offload.act_ct import never_offloaded
from offload.flower import IPPROTO_TCP

ESTABLISHED = "ESTABLISHED"
_OPENING = ("SYN_SENT", "SYN_RECV", "SYN_SENT2")


class Verdict(NamedTuple):
    """What was asked about, and why it is not in hardware: "" if it is."""

    name: str
    why: str


def filters(hypervisor: Hypervisor) -> Iterator[Verdict]:
    """Every filter, in the order in which they were added."""
    for installed in hypervisor.filters:
        filter_ = installed.filter
        hook = " egress" if filter_.egress else ""
        name = (
            f"filter dev {filter_.device}{hook} chain {filter_.chain}"
            f" pref {filter_.prio} handle {filter_.handle:#x}"
        )
        yield Verdict(name, installed.why_not)


def connections(
    hypervisor: Hypervisor, tracked: Iterable[Connection], now_s: float
) -> Iterator[Verdict]:
    """Every connection of conntrack's, in its order."""
    refused = {
        (refusal.zone, refusal.original): refusal.reason
        for refusal in hypervisor.act_ct.refusals
    }
    for each in tracked:
        name = f"{each.proto} {each.original} zone={each.zone}"
        entry = hypervisor.act_ct.lookup(*each.key)
        if entry is None:
            why = refused.get(each.key) or _without_entry(hypervisor, each, now_s)
        elif entry.in_hardware and not entry.bidirectional:
            why = "its replies are not: not assured yet"
        else:
            why = entry.why
        yield Verdict(name, why)


def reasons(hypervisor: Hypervisor) -> Counter[str]:
    """How often each reason kept something out of hardware since the start."""
    return (
        hypervisor.act_ct.refused
        + hypervisor.entries.refusals
        + Counter(each.why for each in filters(hypervisor) if each.why)
    )


def _without_entry(hypervisor: Hypervisor, tracked: Connection, now_s: float) -> str:
    act_ct = hypervisor.act_ct
    never = never_offloaded(tracked.original.proto)
    if never:
        return never
    if tracked.zone not in act_ct.tables:
        return f"zone {tracked.zone} has no ct action"
    if act_ct.remaining_s(*tracked.key, now_s) is not None:
        return "it was silent for its timeout: its next packet offers it"
    return _untold(tracked)


def _untold(tracked: Connection) -> str:
    tcp = tracked.original.proto == IPPROTO_TCP
    if tcp and tracked.state in _OPENING:
        return f"tcp handshake not finished yet: {tracked.state}"
    if tcp and (tracked.state != ESTABLISHED or tracked.told is Told.CLOSING):
        return f"tcp connection is closing: {tracked.state}"
    if tcp and tracked.told is Told.HALF:
        return "not assured yet: its next packet offers it"
    if tracked.told is Told.OFFERED:
        return "act_ct is being told of it"
    return "not established yet, or no packet of it came since"
