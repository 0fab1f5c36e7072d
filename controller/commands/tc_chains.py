"""``tc chain`` at a hypervisor.  Source: net/sched/cls_api.c:tc_ctl_chain"""

from __future__ import annotations

from controller.commands.answer import Answer
from controller.commands.tc_filters import NO_EGRESS, FilterCommands
from controller.hypervisor import Hypervisor
from offload import tc
from offload.errors import Unsupported


class ChainCommands:
    """What ``tc chain`` does, at one moment."""

    def __init__(self, hypervisor: Hypervisor, filters: FilterCommands) -> None:
        self._classifier = hypervisor.filters.classifier
        self._filters = filters

    def carry_out(self, command: tc.ChainCommand) -> Answer:
        """Raises KernelError, Unsupported and Refusal; then nothing is changed."""
        if isinstance(command, tc.ChainShow):
            return self._show(command)
        if command.hook is tc.Hook.EGRESS:
            raise Unsupported(NO_EGRESS)
        return self._delete(command) if command.deletes else self._add(command)

    def _add(self, command: tc.ChainEdit) -> Answer:
        for device in self._filters.devices(command.device, command.block):
            self._classifier.add_chain(device, command.chain or 0)
        return Answer()

    def _delete(self, command: tc.ChainEdit) -> Answer:
        """With the filters that are in it."""
        counts = self._filters.counts_to_keep()
        number = command.chain or 0
        devices = self._filters.devices(command.device, command.block)
        for device in devices:
            filters = list(self._classifier.find_chain(device, number))
            self._filters.remove_once(device, filters, command.block, counts)
            self._classifier.delete_chain(device, number)
        return Answer()

    def _show(self, command: tc.ChainShow) -> Answer:
        if command.get:
            device, *_ = self._filters.devices(command.device, command.block)
            self._classifier.find_chain(device, command.chain or 0)
            return Answer(stdout=tc.answer_chains(command, [command.chain or 0]))
        hooks = self._classifier.hooks
        devices = hooks.sharing(command.block) if command.block else (command.device,)
        if not devices:
            raise tc.Refusal(f'Cannot find block "{command.block}"', 1)
        if command.hook is not tc.Hook.INGRESS:
            return Answer(stdout=tc.answer_chains(command, []))
        chains = self._classifier.block(devices[0]).chains
        shown = [
            number
            for number, chain in chains.items()
            if chain.visible and command.chain in (None, number)
        ]
        return Answer(stdout=tc.answer_chains(command, shown))
