"""``tc actions`` at a hypervisor.  Source: net/sched/act_api.c:tc_ctl_action"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from controller.commands.answer import Answer, Switch
from controller.commands.preparing import prepare
from controller.commands.tc_counts import Counts
from controller.hypervisor import Hypervisor
from controller.rules import Owner
from offload import tc
from offload.act_api import Instance
from offload.errors import KernelError


class ActionCommands:
    """What ``tc actions`` does, at one moment."""

    def __init__(self, hypervisor: Hypervisor, switch: Switch, now_s: float) -> None:
        self._hypervisor = hypervisor
        self._switch = switch
        self._now_s = now_s
        self._actions = hypervisor.filters.classifier.actions

    def carry_out(self, command: tc.Actions) -> Answer:
        """One command after the other, until one fails."""
        stdout, stderr = "", ""
        for step in command.steps:
            answer = self._step(step)
            stdout, stderr = stdout + answer.stdout, stderr + answer.stderr
            if answer.code:
                return Answer(answer.code, stdout, stderr)
        return Answer(stdout=stdout, stderr=stderr)

    def _step(self, step: tc.ActionsStep) -> Answer:
        try:
            match step:
                case tc.ActionsAdd():
                    return self._add(step)
                case tc.ActionsNamed():
                    return self._delete(step) if step.deletes else self._get(step)
                case tc.ActionsOfKind():
                    return self._flush(step) if step.flushes else self._list(step)
        except KernelError as error:
            return _refused(step, error)

    def _add(self, step: tc.ActionsAdd) -> Answer:
        prepare(self._switch, step.actions)
        with ExitStack() as undo:
            before = {id(each): each.action for each in self._actions}
            changed = self._actions.add(step.actions, self._now_s, step.replace)
            for instance in changed:
                undo.callback(setattr, instance, "action", before[id(instance)])
                self._realise(instance, undo)
            undo.pop_all()
        return Answer()

    def _realise(self, instance: Instance, undo: ExitStack) -> None:
        """Have the filters that are bound to an action do what it now is."""
        for installed in self._hypervisor.filters:
            old = installed.filter
            changed = tuple(
                instance.action if name == (instance.kind, instance.index) else action
                for name, action in zip(old.action_names, old.actions, strict=True)
            )
            if changed != old.actions:
                new = replace(old, actions=changed)
                self._hypervisor.filters.replace(old, new, self._now_s)
                undo.callback(self._hypervisor.filters.replace, new, old, self._now_s)

    def _delete(self, step: tc.ActionsNamed) -> Answer:
        self._actions.delete(step.named)
        return Answer()

    def _get(self, step: tc.ActionsNamed) -> Answer:
        found = [self._actions.get(kind, index) for kind, index in step.named]
        options = replace(step.options, brief=False)
        return Answer(stdout=self._shown(found, options, 1))

    def _list(self, step: tc.ActionsOfKind) -> Answer:
        found = self._actions.of(step.kind) if self._actions.knows(step.kind) else []
        if step.since_ms:
            after_s = self._now_s - step.since_ms / 1000
            found = [each for each in found if _last_use_s(each) >= after_s]
        if not found:
            return Answer(stdout="[]\n" if step.options.json else "")
        return Answer(stdout=self._shown(found, step.options, 0))

    def _shown(self, found: list[Instance], options: tc.Options, first: int) -> str:
        counted = self._switch.counters(Owner.FILTER)
        counts = Counts(self._hypervisor.filters, counted)
        states = [counts.state(each, self._now_s) for each in found]
        actions = [each.action for each in found]
        return tc.answer_actions(actions, states, options, first)

    def _flush(self, step: tc.ActionsOfKind) -> Answer:
        if not self._actions.knows(step.kind):
            raise KernelError("Cannot flush unknown TC action")
        if self._actions.flush(step.kind):
            return Answer()
        return Answer(stderr="Warning: Unable to flush all TC actions.\n")


def _last_use_s(instance: Instance) -> float:
    return instance.added_s if instance.used_s is None else instance.used_s


def _refused(step: tc.ActionsStep, error: KernelError) -> Answer:
    """What tc says when the kernel refused, and how it leaves then.

    Source: iproute2 tc/m_action.c:tc_action_modify, tc_action_gd
    """
    text = tc.kernel_text(error)
    match step:
        case tc.ActionsOfKind():
            why = text.partition("\n")[0]
            return Answer(1, stderr=f"{why}\nWe have an error flushing\n")
        case tc.ActionsNamed():
            text += f'\nCommand "{step.after}" is unknown, try "tc actions help".'
        case _:
            pass
    return Answer(255, stderr=f"{text}\n")
