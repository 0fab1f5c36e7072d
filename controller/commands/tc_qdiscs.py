"""``tc qdisc`` at a hypervisor, for the hooks where filters hang.

Source: net/sched/sch_ingress.c
"""

from __future__ import annotations

from controller.commands.answer import Answer
from controller.commands.tc_filters import FilterCommands
from controller.hypervisor import Hypervisor
from offload import tc
from offload.cls_api import Point
from offload.errors import KernelError, Unsupported


class QdiscCommands:
    """What ``tc qdisc`` does, at one moment."""

    def __init__(
        self, hypervisor: Hypervisor, filters: FilterCommands, now_s: float
    ) -> None:
        self._classifier = hypervisor.filters.classifier
        self._hooks = self._classifier.hooks
        self._filters = filters

    def carry_out(self, command: tc.QdiscCommand) -> Answer:
        """tc adds nothing to the kernel's own words here."""
        try:
            if isinstance(command, tc.QdiscShow):
                return self._show(command)
            if command.verb == "delete":
                return self._delete(command)
            return self._add(command)
        except (KernelError, Unsupported) as error:
            return _refused(error)

    def _show(self, command: tc.QdiscShow) -> Answer:
        shown = [
            tc.ShownQdisc(device, hook.kind, hook.block)
            for device, hook in self._hooks
            if command.device in ("", device)
        ]
        return Answer(stdout=tc.answer_qdiscs(command, shown), beside_system=True)

    def _add(self, command: tc.QdiscEdit) -> Answer:
        device, block = command.device, command.ingress_block
        kind = command.kind or "clsact"
        if not self._hooks.check_add(device, command.verb, kind):
            return Answer()
        own = bool(list(self._classifier.block(Point(device))))
        if block and own:
            raise Unsupported(
                f"ingress_block {block}: {device} has filters; delete them first"
            )
        sharing = self._hooks.sharing(block) if block else ()
        if sharing:
            self._join(device, sharing[0])
        self._hooks.set(device, kind, block)
        return Answer()

    def _join(self, device: str, member: str) -> None:
        """Do what the block does, whose chains stand at one of its members."""
        block = self._classifier.block(Point(member))
        for number, chain in block.chains.items():
            if chain.explicit:
                self._classifier.block(Point(device)).add_chain(number)
        self._filters.copy(block, device)

    def _delete(self, command: tc.QdiscEdit) -> Answer:
        """With all filters and chains; those of a block with its last device."""
        device = command.device
        self._hooks.check_delete(device, command.kind)
        block = self._hooks.block_of(device)
        counts = self._filters.counts_to_keep(block)
        filters = list(self._classifier.block(Point(device)))
        leaving = list(self._classifier.block(Point(device, egress=True)))
        if block and len(self._hooks.sharing(block)) > 1:
            self._filters.remove_copies(filters, counts)
        else:
            self._filters.remove(filters, counts)
        self._filters.remove(leaving, counts)
        self._classifier.forget_chains(device)
        self._hooks.remove(device)
        return Answer()


def _refused(error: KernelError | Unsupported) -> Answer:
    if isinstance(error, Unsupported):
        error = KernelError(str(error))
    why = tc.kernel_text(error).partition("\n")[0]
    return Answer(2, stderr=f"{why}\n")
