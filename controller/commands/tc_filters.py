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
from controller.installed import InstalledFilter
from controller.rules import Owner
from offload import tc
from offload.act_api import Instance
from offload.cls_api import Filter
from offload.errors import KernelError, Unsupported

NO_EGRESS = "egress: the testbed runs ingress filters only"


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

    def devices(self, device: str, block: int) -> tuple[str, ...]:
        """The devices whose filters a command changes.  Raises KernelError."""
        return self._classifier.hooks.to_edit(device, block)

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
        self._hypervisor.remove_filter(filter_)

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
        block = hooks.block_of(filter_.device)
        place = filter_.chain, filter_.prio, filter_.handle
        for device in hooks.sharing(block) if block else (filter_.device,):
            there = self._classifier.block(device).get(*place)
            if there is not None:
                self.remove_once(device, [there], block, None)

    def copy(self, filters: Iterable[Filter], device: str) -> None:
        """Have a device that joins a block do what the block does.  All or none."""
        with ExitStack() as undo:
            for filter_ in filters:
                self._insert(self._classifier.copied(filter_, device), None, undo)
            undo.pop_all()

    def _add(self, command: tc.FilterAdd) -> Answer:
        _ingress_only(command.hook)
        self.devices(command.device, command.block)
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
        first, *others = self.devices(command.device, command.block)
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
        for device in others:
            there = self._classifier.block(device).get(*place)
            self._insert(self._classifier.copied(filter_, device), there, undo)
            replaced += [] if there is None else [there]
        self._unbind(replaced, before, counts)
        return installed

    def _prepare(
        self, command: tc.FilterAdd, device: str, bound: tuple[Instance, ...]
    ) -> Filter:
        return self._classifier.prepare(
            device,
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
            installed = self._hypervisor.add_filter(filter_, self._now_s)
            undo.callback(self._hypervisor.remove_filter, filter_)
            return installed
        installed = self._hypervisor.replace_filter(old, filter_, self._now_s)
        undo.callback(self._hypervisor.replace_filter, filter_, old, self._now_s)
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
        if command.hook is tc.Hook.EGRESS:
            return self._delete_at_egress(command)
        counts = self.counts_to_keep()
        for device in self.devices(command.device, command.block):
            chosen = self._classifier.to_delete(
                device,
                chain=command.chain,
                prio=command.prio or 0,
                protocol=command.protocol or None,
                handle=command.handle or 0,
            )
            self.remove_once(device, chosen, command.block, counts)
        return Answer()

    def remove_once(
        self, device: str, chosen: list[Filter], block: int, counts: Counts | None
    ) -> None:
        """Take filters out; a block's hold their actions once for all its devices."""
        sharing = self._classifier.hooks.sharing(block) if block else (device,)
        if device == sharing[-1]:
            self.remove(chosen, counts)
        else:
            self.remove_copies(chosen, counts)

    def _delete_at_egress(self, command: tc.FilterDel) -> Answer:
        """There is nothing; one that is named is not found."""
        self.devices(command.device, 0)
        if command.prio:
            raise KernelError("Cannot find specified filter chain")
        return Answer()

    def _show(self, command: tc.FilterShow) -> Answer:
        hooks = self._classifier.hooks
        block = command.block
        if command.hook is tc.Hook.INGRESS:
            block = block or hooks.block_of(command.device)
        devices = hooks.sharing(block) if block else (command.device,)
        if not devices:
            raise tc.Refusal(f'Cannot find block "{command.block}"', 1)
        filters = list(self._classifier.block(devices[0]))
        shown = self._shown(filters, devices, block) if filters else []
        return Answer(stdout=tc.answer_show(command, shown))

    def _get(self, command: tc.FilterGet) -> Answer:
        if command.hook is tc.Hook.EGRESS:
            raise KernelError("Cannot find specified filter chain")
        devices = self.devices(command.device, command.block)
        if not command.handle:
            raise KernelError("Specified filter handle not found")
        found = self._classifier.find(
            devices[0],
            command.chain or 0,
            command.prio,
            command.protocol or None,
            command.handle,
        )
        (shown,) = self._shown(found, devices, command.block)
        return Answer(stdout=tc.answer_get(command, shown))

    def _shown(
        self, filters: list[Filter], devices: tuple[str, ...], block: int
    ) -> list[tc.Shown]:
        """Filters of the first of ``devices``, with what each half has counted."""
        counts = self.counts()  # blocks: some may be gone
        standing = [each for each in filters if self._stands(each)]
        return [self._one(each, devices, block, counts) for each in standing]

    def _stands(self, filter_: Filter) -> bool:
        return self._hypervisor.filters.get(filter_.id) is not None

    def _one(
        self, filter_: Filter, devices: tuple[str, ...], block: int, counts: Counts
    ) -> tc.Shown:
        place = filter_.chain, filter_.prio, filter_.handle
        alike = [self._classifier.block(device).get(*place) for device in devices]
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
            block=block,
        )

    def _is_in_hw(self, filter_: Filter) -> bool:
        installed = self._hypervisor.filters.get(filter_.id)
        return installed is not None and installed.in_hw


def _ingress_only(hook: tc.Hook) -> None:
    if hook is not tc.Hook.INGRESS:
        raise Unsupported(NO_EGRESS)


def _warned(command: tc.FilterAdd, installed: InstalledFilter) -> Answer:
    """Why hardware did not take a filter, for who asked with ``verbose``."""
    if command.verbose and not installed.in_hw and not command.skip_hw:
        return Answer(stderr=f"Warning: mlx5_core: {installed.why_not}.\n")
    return Answer()
