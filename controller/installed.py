"""tc filters as they stand in the switch: rules of both halves, and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress

from controller import hardware, refusals, software
from controller.card import Card
from controller.chains import Chains
from controller.filters import DeviceLookup
from controller.installed_filter import Holding, InstalledFilter
from controller.pipeline import segment_rule
from controller.priorities import Priorities, Rank
from controller.rules import AddRule, DeleteRule, Message, Rule
from controller.segments import Segments, continues
from controller.zones import Zones
from offload.actions import Mirred
from offload.cls_api import Classifier, Filter, Point
from offload.errors import KernelError, Unsupported
from offload.ids import IdPool

MAX_FTE_IDS = 0xFFFFFFFF
OFF = "hw-tc-offload is off"
SKIPPED = "skip_hw"
NO_EGRESS = "hardware has no egress filters"


class InstalledFilters:
    """All filters of one hypervisor."""

    def __init__(
        self,
        outbox: list[Message],
        device_of: DeviceLookup,
        offload: bool,
        card: Card,
        zones: Zones,
        devices: Iterable[str] = (),
    ) -> None:
        self.classifier = Classifier(devices)
        self.chains = Chains(outbox, card.chains)
        self._card = card
        self._profile = card.profile
        self.offload = offload
        self._outbox = outbox
        self._zones = zones
        self._device_of = device_of
        self._fte_ids = IdPool("fte id", MAX_FTE_IDS)
        self._priorities: dict[tuple[Point, int], Priorities] = {}
        self._segments: dict[tuple[Point, int], Segments] = {}
        self._installed: dict[int, InstalledFilter] = {}
        self._egress: Counter[str] = Counter()

    def add(self, filter_: Filter, now_s: float) -> InstalledFilter:
        """Put a prepared filter in; nothing changes if it cannot be.

        Raises Unsupported, and KernelError for ``skip_sw`` that hardware refuses.
        """
        installed = InstalledFilter(filter_, now_s)
        block = self.classifier.block(filter_.point)
        moved = False
        try:
            with ExitStack() as undo:
                block.insert(filter_)
                undo.callback(self._take_out, filter_)
                moved = self._rank(filter_)
                moved |= self._cut(filter_)
                undo.callback(self._uncut, filter_)
                undo.callback(self._release_fte_ids, installed)
                undo.callback(self._release, installed)
                self._realise(installed)
                undo.pop_all()
        finally:
            if moved:
                self._renumber(filter_, installed.rules)
        self._installed[filter_.id] = installed
        self._send(installed.rules)
        self._zones.hold(installed)
        self._leads_through(filter_, 1)
        return installed

    def replace(self, old: Filter, new: Filter, now_s: float) -> InstalledFilter:
        """Put a prepared filter in the place of another; nothing changes if it cannot be.

        Each packet meets either: the new rules stand before the old ones go.  A
        filter of the same id goes on counting.  Raises as ``add`` does.
        """
        before = self._installed[old.id]
        installed = InstalledFilter(new, now_s)
        block = self.classifier.block(new.point)
        with ExitStack() as undo:
            block.replace(old, new)
            undo.callback(block.replace, new, old)
            undo.callback(self._release, installed)
            undo.callback(self._release_fte_ids, installed)
            self._realise(installed)
            undo.pop_all()
        if new.id == old.id:
            installed.before, installed.added_s = before.before, before.added_s
            installed.spread, installed.wrong = before.spread, before.wrong
        del self._installed[old.id]
        self._installed[new.id] = installed
        self._send_instead(before.rules, installed.rules, new.id != old.id)
        self._zones.hold(installed)
        self._zones.release(before)
        self._release(before)
        self._release_fte_ids(before)
        return installed

    def remove(self, filter_: Filter) -> InstalledFilter:
        """Take a filter out of both halves."""
        installed = self._installed.pop(filter_.id)
        self._zones.release(installed)
        self._leads_through(filter_, -1)
        self._outbox.extend(DeleteRule(rule) for rule in installed.software)
        self._out_of_hardware(installed)
        self._release_fte_ids(installed)
        if self._uncut(filter_):
            self._renumber(filter_, [])
        self._take_out(filter_)
        return installed

    def set_offload(self, offload: bool) -> None:
        """Turn hardware on or off for all filters.

        Raises Unsupported while there are filters that only hardware has.
        """
        if not offload and any(each.filter.skip_sw for each in self):
            raise Unsupported(
                "Active offloaded tc filters, can't turn hw_tc_offload off"
            )
        self.offload = offload
        for installed in self:
            self._ask_hardware_again(installed)

    def get(self, filter_id: int) -> InstalledFilter | None:
        """The filter of that id."""
        return self._installed.get(filter_id)

    def rules(self) -> list[Rule]:
        """Every rule of every filter and chain."""
        made = self._zones.rules() + self.chains.rules()
        for point, chain in self._segments:
            made += self._segment_rules(point, chain)
        for installed in self:
            made += installed.rules
        return made

    def __iter__(self) -> Iterator[InstalledFilter]:
        return iter(list(self._installed.values()))

    def __len__(self) -> int:
        return len(self._installed)

    def _realise(self, installed: InstalledFilter) -> None:
        """Make a filter's rules, with the ids and chains that they need."""
        filter_ = installed.filter
        for _ in range(software.ct_count(filter_)):
            installed.fte_ids += (self._fte_ids.allocate(),)
        if not filter_.skip_sw:
            installed.software = self._software_rules(installed)
        self._into_hardware(installed)
        if filter_.skip_sw and filter_.egress:
            raise KernelError(errno_text="Operation not supported")
        if filter_.skip_sw and not installed.in_hw:
            raise KernelError(f"mlx5_core: {installed.why_not}")

    def _software_rules(self, installed: InstalledFilter) -> list[Rule]:
        filter_ = installed.filter
        segments = self._segments.get((filter_.point, filter_.chain))
        return software.rules(
            filter_,
            self._priority(filter_),
            installed.fte_ids,
            self._device_of,
            self._profile,
            segments.of(filter_.prio) if segments else 0,
            self._egress,
        )

    def _into_hardware(self, installed: InstalledFilter) -> None:
        """Offload a filter, or leave a rule that sends its packets to software.

        Source: net/core/flow_offload.c:flow_block_cb_setup_simple
        """
        if installed.filter.egress:
            installed.why_not = NO_EGRESS
            return
        if not self.offload:
            installed.why_not = OFF
            return
        try:
            self._check(installed.filter)
            self._hold(installed, self._needs(installed.filter))
            installed.why_not = ""
        except Unsupported as refused:
            installed.why_not = str(refused)
            with suppress(Unsupported):  # then nothing in hardware leads there
                self._hold(installed, [(self.chains, installed.filter.chain)])
        if installed.held:
            installed.hardware = self._hardware_rules(installed)

    def _out_of_hardware(self, installed: InstalledFilter) -> None:
        self._outbox.extend(DeleteRule(rule) for rule in installed.hardware)
        installed.hardware = []
        self._release(installed)

    @staticmethod
    def _release(installed: InstalledFilter) -> None:
        for ids, key in installed.held:
            ids.release(key)
        installed.held = ()

    def _check(self, filter_: Filter) -> None:
        if filter_.skip_hw:
            raise Unsupported(SKIPPED)
        refusals.check(filter_, self._device_of, self._profile)
        for device in self._egress:
            # Model: mlx5 would take it, and pass them by.  Here nobody can tell.
            if not filter_.skip_sw and _sends_to(filter_, device):
                raise Unsupported(f"{device} has egress filters, which are software's")

    def _needs(self, filter_: Filter) -> Iterator[Holding]:
        """The ids that hardware's registers have for a filter."""
        for chain in hardware.chains_used(filter_):
            yield self.chains, chain
        yield from self._card.needed_by(filter_)

    @staticmethod
    def _hold(installed: InstalledFilter, needs: Iterable[Holding]) -> None:
        """Hold ids for a filter: all of them, or none and Unsupported."""
        held = []
        with ExitStack() as undo:
            for ids, key in needs:
                ids.hold(key)
                undo.callback(ids.release, key)
                held.append((ids, key))
            undo.pop_all()
        installed.held = tuple(held)

    def _hardware_rules(self, installed: InstalledFilter) -> list[Rule]:
        filter_, tag_of = installed.filter, self.chains.tag
        priority = self._priority(filter_)
        if not installed.in_hw:
            port = self._device_of(filter_.device).port
            return hardware.punt_rules(filter_, port, priority, tag_of)
        fte_id = installed.fte_ids[0] if installed.fte_ids else 0
        return hardware.rules(
            filter_, priority, fte_id, self._device_of, tag_of, self._profile
        )

    def _priority(self, filter_: Filter) -> int:
        """Its rules' OpenFlow priority."""
        priorities = self._priorities[filter_.point, filter_.chain]
        return priorities.of(self._rank_of(filter_))

    def _rank_of(self, filter_: Filter) -> Rank:
        """Prio, then mask; and filters with ranges of ports as they were added."""
        block = self.classifier.block(filter_.point)
        order = filter_.id if filter_.match.ranges else 0
        return filter_.prio, block.mask_rank(filter_), order

    def _rank(self, filter_: Filter) -> bool:
        """Give a filter a priority; True if others got new ones by that."""
        place = filter_.point, filter_.chain
        priorities = self._priorities.setdefault(place, Priorities())
        return priorities.add(self._rank_of(filter_))

    def _take_out(self, filter_: Filter) -> None:
        """Out of its block, with the priority of a rank nobody has any more."""
        rank = self._rank_of(filter_)
        block = self.classifier.block(filter_.point)
        block.remove(filter_)
        place = filter_.point, filter_.chain
        unused = filter_.match.ranges or not block.has_mask(filter_)
        if place in self._priorities and unused:
            self._priorities[place].remove(rank)
            if not len(self._priorities[place]):
                del self._priorities[place]

    def _cut(self, filter_: Filter) -> bool:
        """Cut the chain behind a filter that continues; True if that is new."""
        place = filter_.point, filter_.chain
        if not continues(filter_):
            return False
        new = self._segments.setdefault(place, Segments()).cut(filter_.prio)
        if new:
            self._send(self._segment_rules(*place)[-1:])
        return new

    def _uncut(self, filter_: Filter) -> bool:
        """Undo ``_cut``; True if a cut is gone."""
        place = filter_.point, filter_.chain
        if not continues(filter_):
            return False
        last = self._segment_rules(*place)[-1]
        gone = self._segments[place].uncut(filter_.prio)
        if gone:
            self._outbox.append(DeleteRule(last))
        if not len(self._segments[place]):
            del self._segments[place]
        return gone

    def _segment_rules(self, point: Point, chain: int) -> list[Rule]:
        port = self._device_of(point.device).port
        cuts = len(self._segments[point, chain])
        return [segment_rule(port, chain, cut, point.egress) for cut in range(cuts)]

    def _renumber(self, beside: Filter, new: list[Rule]) -> None:
        """Move the filters beside one to their new priorities and segments.

        ``new`` are that one's rules, which follow.

        One may take the place of another, match and all: that one is deleted
        first, or its counters would stay there, and not after.
        """
        there = beside.point, beside.chain
        moving = [
            installed
            for installed in self
            if (installed.filter.point, installed.filter.chain) == there
        ]
        old = [rule for each in moving for rule in each.rules]
        for installed in moving:
            if installed.software:
                installed.software = self._software_rules(installed)
            if installed.hardware:
                installed.hardware = self._hardware_rules(installed)
        new = [*new, *(rule for each in moving for rule in each.rules)]
        owners = {rule.place: rule.owner_id for rule in new}
        taken = [r for r in old if owners.get(r.place, r.owner_id) != r.owner_id]
        self._outbox.extend(DeleteRule(rule) for rule in taken)
        self._send([rule for each in moving for rule in each.rules])
        gone = [rule for rule in old if rule.place not in owners]
        self._outbox.extend(DeleteRule(rule) for rule in gone)

    def _leads_through(self, filter_: Filter, by: int) -> None:
        """Count a device's egress filters, and lead through them what sends there, or no longer."""
        if not filter_.egress:
            return
        device, before = filter_.device, len(self._egress)
        self._egress[device] += by
        self._egress = +self._egress
        if len(self._egress) == before:
            return
        for installed in self:
            if installed.software and _sends_to(installed.filter, device):
                installed.software = self._software_rules(installed)
                self._send(installed.software)
                self._ask_hardware_again(installed)

    def _ask_hardware_again(self, installed: InstalledFilter) -> None:
        self._zones.leave_hardware(installed)
        self._out_of_hardware(installed)
        self._into_hardware(installed)
        self._send(installed.hardware)
        self._zones.enter_hardware(installed)

    def _release_fte_ids(self, installed: InstalledFilter) -> None:
        for fte_id in installed.fte_ids:
            self._fte_ids.release(fte_id)

    def _send_instead(self, old: list[Rule], new: list[Rule], reset: bool) -> None:
        """Put rules in the place of others, those that others lead to first."""
        for rule in sorted(new, key=lambda rule: -rule.table):
            self._outbox.append(AddRule(rule, reset))
        places = {rule.place for rule in new}
        gone = [rule for rule in old if rule.place not in places]
        self._outbox.extend(DeleteRule(rule) for rule in gone)

    def _send(self, rules: list[Rule]) -> None:
        self._outbox.extend(AddRule(rule) for rule in rules)


def _sends_to(filter_: Filter, device: str) -> bool:
    """Does one of its actions send packets out of a device?"""
    return any(
        isinstance(action, Mirred) and action.egress and action.dev == device
        for action in filter_.actions
    )
