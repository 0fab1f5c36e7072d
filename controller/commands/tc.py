"""``tc filter`` at a hypervisor.

Source: net/sched/cls_api.c:tc_new_tfilter, tc_del_tfilter, tc_dump_tfilter
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.commands.answer import Answer, Switch
from controller.counters import Tally, tally
from controller.hypervisor import Hypervisor
from controller.installed import Count, InstalledFilter
from controller.rules import Owner
from offload import tc
from offload.cls_api import zones_of
from offload.errors import KernelError, TcError, Unsupported

_ETHERNET_HEADER_BYTES = 14
_QUESTIONS = (tc.FilterShow, tc.FilterGet)


def run(
    hypervisor: Hypervisor,
    switch: Switch,
    argv: Sequence[str],
    stdin: str | None,
    now_s: float,
) -> Answer | None:
    """One tc command line, or a batch of them."""
    return _Session(hypervisor, switch, now_s).run(argv, stdin)


class _Session:
    """A tc process: what its commands share is the hypervisor and the time."""

    def __init__(self, hypervisor: Hypervisor, switch: Switch, now_s: float) -> None:
        self._hypervisor = hypervisor
        self._switch = switch
        self._now_s = now_s

    def run(
        self, argv: Sequence[str], stdin: str | None, in_batch: bool = False
    ) -> Answer | None:
        """Answer a command line; None if it is the system tc's."""
        try:
            command = tc.parse(argv, self._is_ours, self._exists)
            if isinstance(command, tc.Foreign):
                self._refuse_ours(command)
                return None
            if isinstance(command, tc.Batch):
                return self._batch(command, stdin or "")
            tc.validate(command)
            answer = self._carry_out(command)
            if not in_batch and not isinstance(command, _QUESTIONS):
                self._switch.settled()
            return answer
        except KernelError as error:
            return Answer(2, stderr=tc.kernel_text(error) + "\n")
        except TcError as error:
            text = f"{error}\n" if str(error) else ""
            return Answer(error.exit_code, stderr=text)
        except Unsupported as error:
            return Answer(2, stderr=tc.kernel_text(KernelError(str(error))) + "\n")

    def _is_ours(self, device: str) -> bool:
        return device in self._hypervisor.config.devices

    def _exists(self, device: str) -> bool:
        return self._is_ours(device) or device == self._hypervisor.config.uplink

    def _refuse_ours(self, command: tc.Foreign) -> None:
        """The system's tc would do this somewhere else: better not at all."""
        ours = command.device is not None and self._is_ours(command.device)
        if command.object_name == "actions" or (
            command.object_name == "chain" and ours
        ):
            raise Unsupported(
                f"{command.object_name}: not supported by the testbed yet"
            )

    def _batch(self, command: tc.Batch, text: str) -> Answer:
        """Run lines until one fails; with -force, all of them.

        Source: iproute2 lib/utils.c:do_batch
        """
        stdout, stderr, code = [], [], 0
        try:
            for number, argv in tc.batch(text):
                answer = self.run(argv, None, True) or Answer(
                    1, "", _not_in_batch(argv)
                )
                stdout.append(answer.stdout)
                stderr.append(answer.stderr)
                if answer.code:
                    code = 1
                    stderr.append(tc.failed(command.file, number) + "\n")
                    if not command.options.force:
                        break
        except tc.Refusal as refusal:
            code = refusal.exit_code
            stderr.append(f"{refusal}\n")
        self._switch.settled()
        return Answer(code, "".join(stdout), "".join(stderr))

    def _carry_out(self, command: tc.Command) -> Answer:
        if isinstance(command, tc.FilterAdd):
            return self._add(command)
        if isinstance(command, tc.FilterDel):
            return self._delete(command)
        if isinstance(command, tc.FilterShow):
            _ingress_only(command.hook)
            shown = self._shown(command.device)
            return Answer(stdout=tc.answer_show(command, shown))
        assert isinstance(command, tc.FilterGet)
        return self._get(command)

    def _get(self, command: tc.FilterGet) -> Answer:
        _ingress_only(command.hook)
        if not command.handle:
            raise KernelError("Specified filter handle not found")
        classifier = self._hypervisor.filters.classifier
        (wanted,) = classifier.find(
            command.device,
            command.chain or 0,
            command.prio,
            command.protocol or None,
            command.handle,
        )
        shown = next(
            each
            for each in self._shown(command.device)
            if (each.chain, each.prio, each.handle)
            == (wanted.chain, wanted.prio, wanted.handle)
        )
        return Answer(stdout=tc.answer_get(command, shown))

    def _add(self, command: tc.FilterAdd) -> Answer:
        _ingress_only(command.hook)
        if command.change is not tc.Change.ADD:
            raise Unsupported(
                f"filter {command.change.value}: not supported by the testbed yet"
            )
        for zone in zones_of(command.actions):
            self._switch.prepare_zone(zone)  # blocks: nothing may be half done
        classifier = self._hypervisor.filters.classifier
        filter_ = classifier.prepare(
            command.device,
            command.match,
            command.actions,
            chain=command.chain or 0,
            prio=command.prio or 0,
            handle=command.handle or 0,
            skip_sw=command.skip_sw,
            skip_hw=command.skip_hw,
        )
        installed = self._hypervisor.add_filter(filter_, self._now_s)
        if command.verbose and not installed.in_hw and not filter_.skip_hw:
            warning = f"Warning: mlx5_core: {installed.why_not}.\n"
            return Answer(stderr=warning)
        return Answer()

    def _delete(self, command: tc.FilterDel) -> Answer:
        _ingress_only(command.hook)
        chosen = self._hypervisor.filters.classifier.to_delete(
            command.device,
            chain=command.chain,
            prio=command.prio or 0,
            protocol=command.protocol or None,
            handle=command.handle or 0,
        )
        for filter_ in chosen:
            self._hypervisor.remove_filter(filter_)
        return Answer()

    def _shown(self, device: str) -> list[tc.Shown]:
        """The device's filters with what each half has counted."""
        filters = self._hypervisor.filters
        standing = [
            installed
            for filter_ in filters.classifier.block(device)
            if (installed := filters.get(filter_.id)) is not None
        ]
        tallies = tally(standing, self._switch.counters(Owner.FILTER))
        return [self._one(tallies[each.filter.id]) for each in standing]

    def _one(self, tally_: Tally) -> tc.Shown:
        installed, filter_ = tally_.installed, tally_.installed.filter
        software, hardware = _at_ingress(tally_.software), _whole(tally_.hardware)
        self._note_use(installed, software.packets + hardware.packets)
        states = tuple(
            tc.ActionState(index, software, hardware)
            for index in filter_.action_indexes
        )
        return tc.Shown(
            filter_.device,
            filter_.chain,
            filter_.prio,
            filter_.protocol,
            filter_.handle,
            filter_.match,
            filter_.actions,
            states,
            filter_.skip_sw,
            filter_.skip_hw,
            installed.in_hw,
            times=self._times(installed),
        )

    def _note_use(self, installed: InstalledFilter, packets: int) -> None:
        """Model: a use is dated by the first look that sees it."""
        if packets > installed.seen_packets:
            installed.seen_packets = packets
            installed.used_s = self._now_s
            installed.first_used_s = installed.first_used_s or self._now_s

    def _times(self, installed: InstalledFilter) -> tc.Times:
        first = installed.first_used_s
        return tc.Times(
            self._now_s - installed.added_s,
            self._now_s - (installed.used_s or installed.added_s),
            self._now_s - first if first else None,
        )


def _at_ingress(count: Count) -> tc.Counters:
    """Software counts where the kernel has taken the Ethernet header off."""
    return tc.Counters(
        count.packets, count.bytes - _ETHERNET_HEADER_BYTES * count.packets
    )


def _whole(count: Count) -> tc.Counters:
    return tc.Counters(count.packets, count.bytes)


def _ingress_only(hook: tc.Hook) -> None:
    if hook is not tc.Hook.INGRESS:
        raise Unsupported("only ingress filters: not supported by the testbed yet")


def _not_in_batch(argv: Sequence[str]) -> str:
    return f"tc {' '.join(argv)}: not the testbed's, and not possible in its batch\n"
