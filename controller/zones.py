"""The zones that filters look packets up in: their flow tables, and those that hardware has.

    filter with ct stands           it holds its zone's flow table
      ... and hardware has it       the zone's first registers the driver

Source: net/sched/act_ct.c:tcf_ct_flow_table_get, mlx5 en/tc_ct.c:mlx5_tc_ct_add_ft_cb
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from controller.installed_filter import InstalledFilter
from controller.pipeline import zone_rules
from controller.rules import AddRule, DeleteRule, Message, Rule
from offload.act_ct import ActCt
from offload.flow_table import FlowCallback


class Zones:
    """The zones of one hypervisor's filters; ``shortcut``: see ``Profile.zone_shortcut``."""

    def __init__(
        self,
        outbox: list[Message],
        act_ct: ActCt,
        callback: FlowCallback,
        shortcut: bool,
    ) -> None:
        self._outbox = outbox
        self._act_ct = act_ct
        self._callback = callback
        self._shortcut = shortcut
        self._in_hardware: Counter[int] = Counter()

    def hold(self, installed: InstalledFilter) -> None:
        """A filter stands."""
        for zone in installed.filter.zones:
            self._act_ct.get_table(zone)
        self.enter_hardware(installed)

    def release(self, installed: InstalledFilter) -> None:
        """A filter goes; the last one of a zone takes its flow table along."""
        self.leave_hardware(installed)
        for zone in installed.filter.zones:
            self._act_ct.put_table(zone)

    def enter_hardware(self, installed: InstalledFilter) -> None:
        """Hardware was asked for a filter that stands; it may have refused."""
        for zone in installed.filter.zones if installed.in_hw else ():
            if not self._in_hardware[zone]:
                self._act_ct.register(zone, self._callback)
                self._outbox.extend(AddRule(rule) for rule in self._rules(zone))
            self._in_hardware[zone] += 1

    def leave_hardware(self, installed: InstalledFilter) -> None:
        """Hardware is to have a filter no longer, if it had it."""
        for zone in installed.filter.zones if installed.in_hw else ():
            self._in_hardware[zone] -= 1
            if not self._in_hardware[zone]:
                self._act_ct.unregister(zone, self._callback)
                self._outbox.extend(DeleteRule(rule) for rule in self._rules(zone))

    def rules(self) -> list[Rule]:
        """What the zones in hardware have of their own."""
        return [rule for zone in +self._in_hardware for rule in self._rules(zone)]

    def _rules(self, zone: int) -> Iterable[Rule]:
        return zone_rules(zone) if self._shortcut else ()
