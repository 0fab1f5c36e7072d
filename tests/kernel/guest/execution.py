"""One case from beginning to end, in a process of its own."""

from __future__ import annotations

import os
import time

from tests.kernel.cases.case import Case, Command, Send, Step, Wait
from tests.kernel.cases.outcome import Filters, Outcome, Ran, StepOutcome
from tests.kernel.guest import ctnetlink, namespaces
from tests.kernel.guest.commands import run, run_all, show_filters
from tests.kernel.guest.wires import Stack, Wires, ethertypes


class Execution:
    """A case that is set up and whose steps are taken one after the other."""

    def __init__(self, case: Case) -> None:
        # One CPU: what Wires.settle promises depends on it.
        os.sched_setaffinity(0, {0})
        self._case = case
        spaces = namespaces.make()
        self._wires = Wires.open()
        namespaces.populate(case, spaces)
        frames = [step.frame for step in case.steps if isinstance(step, Send)]
        self._stack = Stack(ethertypes(frames))
        self._events = ctnetlink.subscribe()

    def run(self) -> Outcome:
        """Type the commands, take the steps, and look at what is left."""
        qdiscs = [f"tc qdisc add dev {port.name} clsact" for port in self._case.ports]
        ran = run_all((*qdiscs, *self._case.commands))
        commands = ran[len(qdiscs) :]
        self._collect()
        steps = tuple(self._step(step) for step in self._case.steps)
        return Outcome(commands, steps, self._filters(), ctnetlink.listing())

    def _step(self, step: Step) -> StepOutcome:
        ran: Ran | None = None
        try:
            if isinstance(step, Send):
                self._wires.send(step.port, step.frame)
            elif isinstance(step, Wait):
                time.sleep(step.seconds)
            elif isinstance(step, Command):
                ran = run(step.command)
        except OSError as error:
            return StepOutcome(error=str(error))
        return self._collect(ran)

    def _collect(self, ran: Ran | None = None) -> StepOutcome:
        left = self._wires.settle()
        return StepOutcome(
            left=left,
            stack=self._stack.pending(),
            events=ctnetlink.pending(self._events),
            connections=ctnetlink.listing(),
            ran=ran,
        )

    def _filters(self) -> tuple[Filters, ...]:
        places = [
            (port.name, hook)
            for port in self._case.ports
            for hook in self._hooks(port.name)
        ]
        shown = show_filters(places)
        return tuple(Filters(*place, show) for place, show in zip(places, shown))

    def _hooks(self, port: str) -> tuple[str, ...]:
        """Ask only for the hooks that some command names: each question takes 50 ms."""
        steps = (step.command for step in self._case.steps if isinstance(step, Command))
        named = " ".join((*self._case.commands, *steps)).split()
        places = set(zip(named, named[1:], named[2:]))
        return tuple(
            hook for hook in ("ingress", "egress") if ("dev", port, hook) in places
        )
