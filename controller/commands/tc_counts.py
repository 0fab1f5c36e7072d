"""What filters and their actions have counted, each half apart.

An action counts what the filters did that are bound to it, and what those did
that let it go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.counters import tally
from controller.installed import Count, InstalledFilter, InstalledFilters
from controller.openflow.decode import Counted
from offload import tc
from offload.act_api import Counters, Instance, kind_of
from offload.actions import Gact, Verb
from offload.cls_api import Filter

_ETHERNET_HEADER_BYTES = 14
_TICK_S = 0.01

ActionName = tuple[str, int]
Halves = tuple[Counters, Counters]


class Counts:
    """All counters of one moment, by filter and by action."""

    def __init__(self, filters: InstalledFilters, counted: Sequence[Counted]) -> None:
        self.by_filter: dict[int, Halves] = {}
        self._by_action: dict[ActionName, Halves] = {}
        self._in_hw: set[ActionName] = set()
        for device in filters.classifier.blocks:
            self._count(_standing(filters, device), counted)

    def _count(
        self, standing: list[InstalledFilter], counted: Sequence[Counted]
    ) -> None:
        tallies = tally(standing, counted)
        for installed in standing:
            filter_ = installed.filter
            each = tallies[filter_.id]
            halves = _at_ingress(each.software), _whole(each.hardware)
            self.by_filter[filter_.id] = halves
            for name in names_of(filter_):
                before = self._by_action.get(name, (Counters(), Counters()))
                self._by_action[name] = _sum(before, halves)
                if installed.in_hw:
                    self._in_hw.add(name)

    def state(self, instance: Instance, now_s: float) -> tc.ActionState:
        """An action as it is shown."""
        name = instance.kind, instance.index
        bound = self._by_action.get(name, (Counters(), Counters()))
        software, hardware = _sum(bound, (instance.software, instance.hardware))
        packets = software.packets + hardware.packets
        instance.note_use(packets, now_s)
        return tc.ActionState(
            instance.index,
            software,
            hardware,
            drops=packets if _drops(instance) else 0,
            ref=instance.ref,
            bind=instance.bind,
            times=_times(instance, now_s),
            cookie=instance.cookie,
            hw_stats=instance.hw_stats,
            no_percpu=instance.no_percpu,
            skip_sw=instance.skip_sw,
            skip_hw=instance.skip_hw,
            used_hw_stats=name in self._in_hw,
        )

    def let_go(self, filter_: Filter, instances: Iterable[Instance]) -> None:
        """A filter lets its actions go: what it did stays with them."""
        halves = self.by_filter.get(filter_.id, (Counters(), Counters()))
        for instance in instances:
            kept = _sum((instance.software, instance.hardware), halves)
            instance.software, instance.hardware = kept


def names_of(filter_: Filter) -> list[ActionName]:
    """The kind and index of each of a filter's actions."""
    both = zip(filter_.actions, filter_.action_indexes, strict=True)
    return [(kind_of(action), index) for action, index in both]


def _standing(filters: InstalledFilters, device: str) -> list[InstalledFilter]:
    return [
        installed
        for filter_ in filters.classifier.block(device)
        if (installed := filters.get(filter_.id)) is not None
    ]


def _sum(one: Halves, other: Halves) -> Halves:
    return one[0] + other[0], one[1] + other[1]


def _drops(instance: Instance) -> bool:
    """Of all actions, gact alone counts what it drops.  Source: tcf_gact_act"""
    action = instance.action
    return isinstance(action, Gact) and action.control.verb is Verb.DROP


def _times(instance: Instance, now_s: float) -> tc.Times:
    """A use that this very look dates was a tick ago, or tc would not show it."""
    first, used = instance.first_used_s, instance.used_s
    return tc.Times(
        now_s - instance.added_s,
        max(now_s - (instance.added_s if used is None else used), _TICK_S),
        None if first is None else max(now_s - first, _TICK_S),
    )


def _at_ingress(count: Count) -> Counters:
    """Software counts where the kernel has taken the Ethernet header off."""
    return Counters(count.packets, count.bytes - _ETHERNET_HEADER_BYTES * count.packets)


def _whole(count: Count) -> Counters:
    return Counters(count.packets, count.bytes)
