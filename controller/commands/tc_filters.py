"""``tc filter`` at a hypervisor.

A filter of a shared block stands once for each device of the block, as mlx5
takes it; the devices' chains are alike.
Source: net/sched/cls_api.c:tc_new_tfilter, tc_del_tfilter, tc_dump_tfilter
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from controller.commands.answer import Answer, Switch
from controller.commands.preparing import prepare
from controller.commands.tc_counts import Counts
from controller.hypervisor import Hypervisor
from controller.installed_filter import InstalledFilter
from controller.rules import Owner
from offload import tc
from offload.act_api import Instance
from offload.cls_api import Filter, Point
from offload.errors import KernelError

AtPoint = tc.FilterAdd | tc.FilterDel | tc.FilterGet | tc.ChainEdit | tc.ChainShow


class FilterCommands:
    """What ``tc filter`` does, at one moment."""

    def __init__(self, hypervisor: Hypervisor, switch: Switch, now_s: float) -> None:
        self._hypervisor = hypervisor
        self._switch = switch
        self._now_s = now_s
        self._classifier = hypervisor.filters.classifier

    def carry_out(self, command: tc.FilterCommand) -> Answer:
        """Raises KernelError, Unsupported and Refusal; then nothing is changed."""
        match command:
            case tc.FilterAdd():
                return self._add(command)
            case tc.FilterDel():
                return self._delete(command)
            case tc.FilterShow():
                return self._show(command)
            case tc.FilterGet():
                return self._get(command)

    def counts(self) -> Counts:
        """What has been counted up to now.  Blocks its caller."""
        counted = self._switch.counters(Owner.FILTER)
        return Counts(self._hypervisor.filters, counted)

    def points(self, command: AtPoint) -> tuple[Point, ...]:
        """The points whose filters a command is about.  Raises KernelError."""
        egress = command.hook is tc.Hook.EGRESS
        hooks = self._classifier.hooks
        return hooks.to_edit(command.device, command.block, egress)

    def shown_points(
        self, command: tc.FilterShow | tc.ChainShow
    ) -> tuple[tuple[Point, ...], int]:
        """The points that a command shows, and the block they share if any.  Raises Refusal."""
        hooks = self._classifier.hooks
        point = hooks.point(command.device, command.hook is tc.Hook.EGRESS)
        own = 0 if point.egress else hooks.block_of(command.device)
        block = command.block or own
        points = tuple(map(Point, hooks.sharing(block))) if block else (point,)
        if not points:
            raise tc.Refusal(f'Cannot find block "{command.block}"', 1)
        return points, block

    def remove(self, filters: Iterable[Filter], counts: Counts | None) -> None:
        """Take filters out, with the actions that nobody else holds."""
        for filter_ in filters:
            instances = self.instances(filter_)
            heirs = tuple(each for each in instances if each.outlives_a_filter)
            self._take_out(filter_, heirs, counts)
            self._classifier.actions.unbind(instances)

    def remove_copies(self, filters: Iterable[Filter], counts: Counts | None) -> None:
        """Take filters out that stand elsewhere too, and hold their actions there."""
        for filter_ in filters:
            self._take_out(filter_, self.instances(filter_), counts)

    def _take_out(
        self, filter_: Filter, heirs: tuple[Instance, ...], counts: Counts | None
    ) -> None:
        """``heirs`` are those of its actions that will be there when it is gone."""
        installed = self._hypervisor.filters.get(filter_.id)
        if counts is not None and installed is not None and heirs:
            counts.let_go(filter_, heirs)
            self._hypervisor.leaving.add(installed, heirs, counts.told(filter_))
        self._hypervisor.filters.remove(filter_)

    def counts_to_keep(self, block: int = 0) -> Counts | None:
        """What actions that outlive their filters must be told.  Blocks its caller."""
        keeps = block or self._classifier.actions.shared
        return self.counts() if keeps else None

    def instances(self, filter_: Filter) -> tuple[Instance, ...]:
        """What a filter's actions are."""
        actions = self._classifier.actions
        return tuple(actions.get(kind, index) for kind, index in filter_.action_names)

    def remove_refused(self) -> str:
        """Take filters out of which the switch refused a rule; why, if there were any."""
        refused, told = self._hypervisor.refused, ""
        while refused:
            filter_id, why = refused.popitem()
            installed = self._hypervisor.filters.get(filter_id)
            if installed is not None:
                self._remove_everywhere(installed.filter)
                told = why
        return told

    def _remove_everywhere(self, filter_: Filter) -> None:
        hooks = self._classifier.hooks
        block = 0 if filter_.egress else hooks.block_of(filter_.device)
        place = filter_.chain, filter_.prio, filter_.handle
        for device in hooks.sharing(block) if block else (filter_.device,):
            point = filter_.point._replace(device=device)
            there = self._classifier.block(point).get(*place)
            if there is not None:
                self.remove_once(point, [there], block, None)

    def copy(self, filters: Iterable[Filter], device: str) -> None:
        """Have a device that joins a block do what the block does.  All or none."""
        with ExitStack() as undo:
            for filter_ in filters:
                self._insert(self._classifier.copied(filter_, device), None, undo)
            undo.pop_all()

    def _add(self, command: tc.FilterAdd) -> Answer:
        self.points(command)
        prepare(self._switch, command.actions)
        counts = None
        if command.change is not tc.Change.ADD:
            keeps = any(request.index for request in command.actions)
            counts = self.counts() if keeps else self.counts_to_keep()
        with ExitStack() as undo:
            installed = self._put(command, counts, undo)
            undo.pop_all()
        return _warned(command, installed)

    def _put(
        self, command: tc.FilterAdd, counts: Counts | None, undo: ExitStack
    ) -> InstalledFilter:
        """Make a filter stand at every device it is for, or leave that to ``undo``."""
        first, *others = self.points(command)
        actions = self._classifier.actions
        bound = actions.bind(
            command.actions, self._now_s, command.skip_sw, command.skip_hw
        )
        undo.callback(actions.unbind, bound)
        filter_ = self._prepare(command, first, bound)
        place = filter_.chain, filter_.prio, filter_.handle
        old = self._classifier.block(first).get(*place)
        before = () if old is None else self.instances(old)
        installed = self._insert(filter_, old, undo)
        replaced = [] if old is None else [old]
        for point in others:
            there = self._classifier.block(point).get(*place)
            copy = self._classifier.copied(filter_, point.device)
            self._insert(copy, there, undo)
            replaced += [] if there is None else [there]
        self._unbind(replaced, before, counts)
        return installed

    def _prepare(
        self, command: tc.FilterAdd, point: Point, bound: tuple[Instance, ...]
    ) -> Filter:
        return self._classifier.prepare(
            point,
            command.match,
            tuple(instance.action for instance in bound),
            change=command.change,
            chain=command.chain or 0,
            prio=command.prio or 0,
            handle=command.handle or 0,
            skip_sw=command.skip_sw,
            skip_hw=command.skip_hw,
            action_indexes=tuple(instance.index for instance in bound),
            hw_stats=tuple(instance.hw_stats for instance in bound),
        )

    def _insert(
        self, filter_: Filter, old: Filter | None, undo: ExitStack
    ) -> InstalledFilter:
        if old is None:
            installed = self._hypervisor.filters.add(filter_, self._now_s)
            undo.callback(self._hypervisor.filters.remove, filter_)
            return installed
        installed = self._hypervisor.filters.replace(old, filter_, self._now_s)
        undo.callback(self._hypervisor.filters.replace, filter_, old, self._now_s)
        return installed

    def _unbind(
        self,
        replaced: list[Filter],
        instances: tuple[Instance, ...],
        counts: Counts | None,
    ) -> None:
        """A filter's actions go, one of a block in all its copies."""
        heirs = [each for each in instances if each.outlives_a_filter]
        if counts is not None:
            for filter_ in replaced:
                counts.let_go(filter_, heirs)
        self._classifier.actions.unbind(instances)

    def _delete(self, command: tc.FilterDel) -> Answer:
        counts = self.counts_to_keep()
        for point in self.points(command):
            chosen = self._classifier.to_delete(
                point,
                chain=command.chain,
                prio=command.prio or 0,
                protocol=command.protocol or None,
                handle=command.handle or 0,
            )
            self.remove_once(point, chosen, command.block, counts)
        return Answer()

    def remove_once(
        self, point: Point, chosen: list[Filter], block: int, counts: Counts | None
    ) -> None:
        """Take filters out; a block's hold their actions once for all its devices."""
        sharing = self._classifier.hooks.sharing(block) if block else (point.device,)
        if point.device == sharing[-1]:
            self.remove(chosen, counts)
        else:
            self.remove_copies(chosen, counts)

    def _show(self, command: tc.FilterShow) -> Answer:
        if command.hook is tc.Hook.ROOT:
            return Answer(stdout=tc.answer_show(command, []))
        points, block = self.shown_points(command)
        filters = list(self._classifier.block(points[0]))
        shown = self._shown(filters, points, block) if filters else []
        return Answer(stdout=tc.answer_show(command, shown))

    def _get(self, command: tc.FilterGet) -> Answer:
        points = self.points(command)
        if not command.handle:
            raise KernelError("Specified filter handle not found")
        found = self._classifier.find(
            points[0],
            command.chain or 0,
            command.prio,
            command.protocol or None,
            command.handle,
        )
        (shown,) = self._shown(found, points, command.block)
        return Answer(stdout=tc.answer_get(command, shown))

    def _shown(
        self, filters: list[Filter], points: tuple[Point, ...], block: int
    ) -> list[tc.Shown]:
        """Filters of the first of ``points``, with what each half has counted."""
        counts = self.counts()  # blocks: some may be gone
        standing = [each for each in filters if self._stands(each)]
        return [self._one(each, points, block, counts) for each in standing]

    def _stands(self, filter_: Filter) -> bool:
        return self._hypervisor.filters.get(filter_.id) is not None

    def _one(
        self, filter_: Filter, points: tuple[Point, ...], block: int, counts: Counts
    ) -> tc.Shown:
        place = filter_.chain, filter_.prio, filter_.handle
        alike = [self._classifier.block(point).get(*place) for point in points]
        in_hw_count = sum(self._is_in_hw(each) for each in alike if each is not None)
        return tc.Shown(
            filter_.device,
            filter_.chain,
            filter_.prio,
            filter_.protocol,
            filter_.handle,
            filter_.match,
            filter_.actions,
            tuple(counts.state(i, self._now_s) for i in self.instances(filter_)),
            filter_.skip_sw,
            filter_.skip_hw,
            in_hw_count > 0,
            in_hw_count,
            tc.Hook.EGRESS if filter_.egress else tc.Hook.INGRESS,
            block,
        )

    def _is_in_hw(self, filter_: Filter) -> bool:
        installed = self._hypervisor.filters.get(filter_.id)
        return installed is not None and installed.in_hw


def _warned(command: tc.FilterAdd, installed: InstalledFilter) -> Answer:
    """Why hardware did not take a filter, for who asked with ``verbose``.

    Of egress filters the driver is not told, so it has nothing to say.
    """
    asked = not (command.skip_hw or installed.filter.egress)
    if command.verbose and asked and not installed.in_hw:
        return Answer(stderr=f"Warning: mlx5_core: {installed.why_not}.\n")
    return Answer()
