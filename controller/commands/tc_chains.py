"""``tc chain`` at a hypervisor.  Source: net/sched/cls_api.c:tc_ctl_chain"""

from __future__ import annotations

from controller.commands.answer import Answer
from controller.commands.tc_filters import FilterCommands
from controller.hypervisor import Hypervisor
from offload import tc


class ChainCommands:
    """What ``tc chain`` does, at one moment."""

    def __init__(self, hypervisor: Hypervisor, filters: FilterCommands) -> None:
        self._classifier = hypervisor.filters.classifier
        self._filters = filters

    def carry_out(self, command: tc.ChainCommand) -> Answer:
        """Raises KernelError, Unsupported and Refusal; then nothing is changed."""
        if isinstance(command, tc.ChainShow):
            return self._show(command)
        return self._delete(command) if command.deletes else self._add(command)

    def _add(self, command: tc.ChainEdit) -> Answer:
        for point in self._filters.points(command):
            self._classifier.add_chain(point, command.chain or 0)
        return Answer()

    def _delete(self, command: tc.ChainEdit) -> Answer:
        """With the filters that are in it."""
        counts = self._filters.counts_to_keep()
        number = command.chain or 0
        for point in self._filters.points(command):
            filters = list(self._classifier.find_chain(point, number))
            self._filters.remove_once(point, filters, command.block, counts)
            self._classifier.delete_chain(point, number)
        return Answer()

    def _show(self, command: tc.ChainShow) -> Answer:
        if command.get:
            point, *_ = self._filters.points(command)
            self._classifier.find_chain(point, command.chain or 0)
            return Answer(stdout=tc.answer_chains(command, [command.chain or 0]))
        if command.hook is tc.Hook.ROOT:
            return Answer(stdout=tc.answer_chains(command, []))
        points, block = self._filters.shown_points(command)
        chains = self._classifier.block(points[0]).chains
        shown = [
            number
            for number, chain in chains.items()
            if chain.visible and command.chain in (None, number)
        ]
        return Answer(stdout=tc.answer_chains(command, shown, block))
