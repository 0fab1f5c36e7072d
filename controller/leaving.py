"""The last packets of filters that are gone, for the actions that outlive them.

A filter's actions are told what it had counted when its deletion began; what its
rules counted from then on comes with their removal, a moment later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controller.counters import Halves, by_action, tally
from controller.installed_filter import InstalledFilter
from controller.openflow.decode import Counted, Removed
from offload.act_api import ActionName, Instance


@dataclass(slots=True)
class _Leaving:
    installed: InstalledFilter
    heirs: tuple[Instance, ...]
    told: Sequence[Counted]
    rules_left: int
    counted: list[Counted] = field(default_factory=list)

    def settle(self) -> None:
        """Give the heirs what they have not been told yet."""
        in_the_end, told = self._by_action(self.counted), self._by_action(self.told)
        for heir in self.heirs:
            name = heir.kind, heir.index
            heir.software += in_the_end[name][0] - told[name][0]
            heir.hardware += in_the_end[name][1] - told[name][1]

    def _by_action(self, counted: Sequence[Counted]) -> dict[ActionName, Halves]:
        [one] = tally([self.installed], counted).values()
        return by_action(one)


class Leaving:
    """Filters of one hypervisor whose rules are being removed."""

    def __init__(self) -> None:
        self._filters: dict[int, _Leaving] = {}

    def add(
        self,
        installed: InstalledFilter,
        heirs: tuple[Instance, ...],
        told: Sequence[Counted],
    ) -> None:
        """A filter is about to go, whose ``heirs`` know what its rules ``told``."""
        rules = sum(rule.report_removal for rule in installed.rules)
        leaving = _Leaving(installed, heirs, told, rules)
        self._filters[installed.filter.id] = leaving

    def removed(self, removed: Removed) -> None:
        """A rule is gone; it may have been the last one of such a filter."""
        leaving = self._filters.get(removed.owner_id)
        if leaving is None:
            return
        leaving.counted.append(
            Counted(
                removed.owner,
                removed.owner_id,
                removed.table,
                removed.packets,
                removed.bytes,
            )
        )
        leaving.rules_left -= 1
        if not leaving.rules_left:
            del self._filters[removed.owner_id]
            leaving.settle()

    def clear(self) -> None:
        """The switch is another one, and will not tell any more."""
        self._filters.clear()
