"""Filters' counters: what software and hardware did, from what rules counted.

OVS credits what its datapath counted by the rules of a later moment (see
``Switch.credit``).  Packets that went through ct() are told for certain, since
they came back from it on a datapath flow of its own: sw_post_ct is exact, and
so is the sum of both halves in front of it.  A ct filter's hardware count is
therefore that sum without sw_post_ct's.  What was credited to hardware wrongly
for it was so in the chain it leads to as well, and is taken off there: from
what hardware counted, or, if the filter there sends its packets on to software,
from what that counted, where the same packets are counted a second time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from controller.installed_filter import Count, InstalledFilter
from controller.openflow.decode import Counted
from controller.rules import Table
from offload.act_api import ActionName, Counters
from offload.actions import Verb, times_run
from offload.flower import ETH_P_8021Q

_ETHERNET_HEADER_BYTES = 14

_TAG_BYTES = 4

Halves = tuple[Counters, Counters]
NOTHING: Halves = (Counters(), Counters())


@dataclass(slots=True)
class Tally:
    """One filter's two counts, and what was wrongly credited to hardware.

    ``absorbed`` is what others' wrong credits did to it that its counts do not show, and
    ``suspect`` what there may be of them in one of its counts: ``in_software`` or in hardware's.
    """

    installed: InstalledFilter
    software: Count
    hardware: Count
    suspect: Count
    in_software: bool = False
    excess: Count = field(default_factory=Count)
    absorbed: Count = field(default_factory=Count)

    def take_off(self, wrong: Count) -> None:
        """Correct the count that has wrong credits in it."""
        self.suspect = self.suspect - wrong
        if self.in_software:
            self.software = self.software - wrong
        else:
            self.hardware = self.hardware - wrong


def tally(
    filters: Iterable[InstalledFilter], counted: Iterable[Counted]
) -> dict[int, Tally]:
    """The counts of every filter of one point, by filter id."""
    by_table: dict[int, dict[int, Count]] = {}
    for rule in counted:
        tables = by_table.setdefault(rule.owner_id, {})
        count = Count(rule.packets, rule.bytes)
        seen = tables.get(rule.table, Count())
        # With two ct actions the first has the larger count, which is the filter's;
        # the rules for a range of ports see different packets.
        one_packet = rule.table == Table.SW_POST_CT
        tables[rule.table] = max(count, seen) if one_packet else count + seen
    made = {
        each.filter.id: _one(each, by_table.get(each.filter.id, {})) for each in filters
    }
    _take_off_excess(made.values())
    return made


def by_action(made: Tally) -> dict[ActionName, Halves]:
    """What each action of a filter has counted, as tc shows it.

    Software counts whenever an action runs, where the kernel has taken the tag off and,
    at ingress, the Ethernet header.  Hardware counts a filter's actions alike.
    Source: net/sched/act_api.c:tcf_action_exec, tcf_exts_hw_stats_update
    """
    filter_ = made.installed.filter
    header_bytes = 0 if filter_.egress else _ETHERNET_HEADER_BYTES
    if filter_.protocol == ETH_P_8021Q:
        header_bytes += _TAG_BYTES
    packets = made.software.packets
    software = Counters(packets, made.software.bytes - header_bytes * packets)
    hardware = Counters(made.hardware.packets, made.hardware.bytes)
    counted: dict[ActionName, Halves] = {}
    for name, times in zip(
        filter_.action_names, times_run(filter_.actions), strict=True
    ):
        before = counted.get(name, NOTHING)
        counted[name] = before[0] + software * times, before[1] + hardware
    return counted


def _one(installed: InstalledFilter, now: dict[int, Count]) -> Tally:
    def total(table: Table) -> Count:
        return now.get(table, Count()) + installed.before.get(table, Count())

    in_front = total(Table.EGRESS if installed.filter.egress else Table.SW_CHAIN)
    hits = total(Table.HW_POST_CT)
    # A rule in hardware that only sends its packets to software?
    punts = bool(installed.hardware) and not installed.in_hw
    if not installed.fte_ids:
        hardware = total(Table.HW_CHAIN)
        return Tally(
            installed, in_front, hardware, in_front if punts else hardware, punts
        )
    tracked = total(Table.SW_POST_CT)
    if hits.packets:
        hardware = (hits + in_front) - tracked
        return Tally(installed, tracked, hardware, hardware, excess=hits - hardware)
    untracked = in_front - tracked
    if punts and tracked.packets:
        return Tally(installed, tracked, Count(), Count(), absorbed=untracked)
    # It missed in hardware's ct, or is what ct() dropped or keeps.
    return Tally(installed, in_front, Count(), untracked, in_software=True)


def _take_off_excess(tallies: Iterable[Tally]) -> None:
    """Spread what each chain got too much over those it was credited to."""
    tallies = list(tallies)
    for each in tallies:
        source = each.installed
        if not (each.excess.packets or source.spread.packets):
            continue
        chain = _leads_to(source)
        there = [o for o in tallies if o.installed.filter.chain == chain]
        excess = each.excess
        for other in there:
            excess = excess - min(excess, other.absorbed)
        _take_off_again(source, excess, there)
        over = [other for other in there if other.suspect.packets > 0]
        _spread(excess - source.spread, source.filter.id, over)
        source.spread = excess


def _take_off_again(
    source: InstalledFilter, excess: Count, there: Iterable[Tally]
) -> None:
    """Take off what was before; if it has become less, all of it is to be spread anew."""
    if excess < source.spread:
        source.spread = Count()
        for other in there:
            other.installed.wrong.pop(source.filter.id, None)
    for other in there:
        other.take_off(other.installed.wrong.get(source.filter.id, Count()))


def _leads_to(installed: InstalledFilter) -> int | None:
    """The chain a filter's actions end in."""
    for action in installed.filter.actions:
        if action.control.verb is Verb.GOTO_CHAIN:
            return action.control.chain
    return None


def _spread(excess: Count, source_id: int, over: list[Tally]) -> None:
    """Take ``excess`` off, from each in proportion to what it has."""
    packets, octets = excess.packets, excess.bytes
    whole = sum(each.suspect.packets for each in over)
    whole_bytes = sum(each.suspect.bytes for each in over)
    for each in over:
        own, own_bytes = each.suspect.packets, each.suspect.bytes
        share = packets * own // whole if whole else 0
        share_bytes = octets * own_bytes // whole_bytes if whole_bytes else 0
        taken = Count(min(share, own), min(share_bytes, own_bytes))
        each.take_off(taken)
        wrong = each.installed.wrong
        wrong[source_id] = wrong.get(source_id, Count()) + taken
        packets, octets = packets - taken.packets, octets - taken.bytes
        whole, whole_bytes = whole - own, whole_bytes - own_bytes
