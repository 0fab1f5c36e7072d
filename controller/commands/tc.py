"""``tc`` at a hypervisor: a command line or a batch of them, and its answer.

argv --offload.tc--> a command --> tc_filters | tc_chains | tc_actions | tc_qdiscs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller.commands.answer import Answer, Switch
from controller.commands.tc_actions import ActionCommands
from controller.commands.tc_chains import ChainCommands
from controller.commands.tc_filters import FilterCommands
from controller.commands.tc_qdiscs import QdiscCommands
from controller.hypervisor import Hypervisor
from offload import tc
from offload.errors import KernelError, TcError, Unsupported

_QUESTIONS = (tc.FilterShow, tc.FilterGet, tc.ChainShow, tc.QdiscShow)


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
        self._filters = FilterCommands(hypervisor, switch, now_s)
        self._chains = ChainCommands(hypervisor, self._filters)
        self._actions = ActionCommands(hypervisor, switch, now_s)
        self._qdiscs = QdiscCommands(hypervisor, self._filters, now_s)

    def run(self, argv: Sequence[str], stdin: str | None) -> Answer | None:
        """Answer a command line; None if it is the system tc's."""
        try:
            command = self._parse(argv)
            if isinstance(command, tc.Batch):
                return self._batch(command, stdin or "")
            answer = self._carry_out(command)
            if answer is not None and not isinstance(command, _QUESTIONS):
                self._settle()
            return answer
        except (KernelError, TcError, Unsupported) as error:
            return refused(error)

    def _settle(self) -> None:
        """Return when packets meet what was typed.

        Raises Unsupported if the switch refused a rule: that filter is gone then.
        """
        self._switch.settled(anew=True)
        why = self._filters.remove_refused()
        if why:
            self._switch.settled(anew=True)
            raise Unsupported(why)

    def _parse(self, argv: Sequence[str]) -> tc.Command:
        command = tc.parse(argv, self._is_ours, self._exists)
        tc.validate(command)
        return command

    def _is_ours(self, device: str) -> bool:
        return device in self._hypervisor.config.devices

    def _exists(self, device: str) -> bool:
        return self._is_ours(device) or device == self._hypervisor.config.uplink

    def _batch(self, command: tc.Batch, text: str) -> Answer:
        """Run lines until one fails; with -force, all of them.

        Source: iproute2 lib/utils.c:do_batch
        """
        answers: list[Answer] = []
        try:
            for number, argv in tc.batch(text):
                answer = self._line(argv)
                if not answer.code:
                    answers.append(answer)
                    continue
                failed = tc.failed(command.file, number)
                answers.append(Answer(1, answer.stdout, f"{answer.stderr}{failed}\n"))
                if not command.options.force:
                    break
        except tc.Refusal as refusal:
            answers.append(Answer(refusal.exit_code, stderr=f"{refusal}\n"))
        try:
            self._settle()
        except Unsupported as error:
            answers.append(replace(refused(error), code=1))
        return Answer(
            max((answer.code for answer in answers), default=0),
            "".join(answer.stdout for answer in answers),
            "".join(answer.stderr for answer in answers),
        )

    def _line(self, argv: Sequence[str]) -> Answer:
        try:
            command = self._parse(argv)
            answer = None
            if not isinstance(command, tc.Batch):
                answer = self._carry_out(command)
            return answer or Answer(1, stderr=_not_in_batch(argv))
        except (KernelError, TcError, Unsupported) as error:
            return refused(error)

    def _carry_out(self, command: tc.Command) -> Answer | None:
        match command:
            case tc.FilterAdd() | tc.FilterDel() | tc.FilterShow() | tc.FilterGet():
                return self._filters.carry_out(command)
            case tc.ChainEdit() | tc.ChainShow():
                return self._chains.carry_out(command)
            case tc.QdiscEdit() | tc.QdiscShow():
                return self._qdiscs.carry_out(command)
            case tc.Actions():
                return self._actions.carry_out(command)
            case _:
                return None


def refused(error: KernelError | TcError | Unsupported) -> Answer:
    """What tc says of what it, the kernel or the testbed does not do."""
    if isinstance(error, TcError):
        text = f"{error}\n" if str(error) else ""
        return Answer(error.exit_code, stderr=text)
    if isinstance(error, Unsupported):
        error = KernelError(str(error))
    return Answer(2, stderr=tc.kernel_text(error) + "\n")


def _not_in_batch(argv: Sequence[str]) -> str:
    return f"tc {' '.join(argv)}: not the testbed's, and not possible in its batch\n"
