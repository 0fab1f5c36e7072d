"""What filters and their actions have counted, each half apart.

An action counts what the filters did that are bound to it, and what those did
that let it go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.counters import NOTHING, Halves, by_action, tally
from controller.installed import InstalledFilters
from controller.installed_filter import InstalledFilter
from controller.openflow.decode import Counted
from offload import tc
from offload.act_api import ActionName, Instance
from offload.actions import Gact, Verb
from offload.cls_api import Filter, Point

_TICK_S = 0.01


class Counts:
    """All counters of one moment, by filter and by action."""

    def __init__(self, filters: InstalledFilters, counted: Sequence[Counted]) -> None:
        self._told: dict[int, list[Counted]] = {}
        for each in counted:
            self._told.setdefault(each.owner_id, []).append(each)
        self._by_filter: dict[int, dict[ActionName, Halves]] = {}
        self._by_action: dict[ActionName, Halves] = {}
        self._in_hw: set[ActionName] = set()
        for point in filters.classifier.blocks:
            self._count(_standing(filters, point), counted)

    def _count(
        self, standing: list[InstalledFilter], counted: Sequence[Counted]
    ) -> None:
        tallies = tally(standing, counted)
        for installed in standing:
            filter_ = installed.filter
            done = self._by_filter[filter_.id] = by_action(tallies[filter_.id])
            for name, halves in done.items():
                before = self._by_action.get(name, NOTHING)
                self._by_action[name] = _sum(before, halves)
                if installed.in_hw:
                    self._in_hw.add(name)

    def state(self, instance: Instance, now_s: float) -> tc.ActionState:
        """An action as it is shown."""
        name = instance.kind, instance.index
        bound = self._by_action.get(name, NOTHING)
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
        done = self._by_filter.get(filter_.id, {})
        for instance in instances:
            halves = done.get((instance.kind, instance.index), NOTHING)
            kept = _sum((instance.software, instance.hardware), halves)
            instance.software, instance.hardware = kept

    def told(self, filter_: Filter) -> list[Counted]:
        """What the filter's rules had counted."""
        return self._told.get(filter_.id, [])


def _standing(filters: InstalledFilters, point: Point) -> list[InstalledFilter]:
    return [
        installed
        for filter_ in filters.classifier.block(point)
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
