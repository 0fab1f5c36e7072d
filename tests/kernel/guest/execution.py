"""One case from its first command to what is left behind."""

from __future__ import annotations

import time

from tests.kernel.cases.case import Case, Command, Send, Step, Wait
from tests.kernel.cases.outcome import Filters, Outcome, Ran, StepOutcome
from tests.kernel.guest import ctnetlink
from tests.kernel.guest.place import Place
from tests.kernel.guest.wires import Stack, ethertypes


class Execution:
    """A case whose steps are taken one after the other."""

    def __init__(self, case: Case, place: Place) -> None:
        self._case = case
        self._place = place
        frames = [step.frame for step in case.steps if isinstance(step, Send)]
        self._stack = Stack(ethertypes(frames))

    def run(self) -> Outcome:
        """Type the commands, take the steps, and look at what is left."""
        self._place.begin()
        commands = self._place.run_all(self._case.commands)
        self._collect()
        steps = tuple(self._step(step) for step in self._case.steps)
        outcome = Outcome(commands, steps, self._filters(), ctnetlink.listing())
        self._place.end()
        return outcome

    def _step(self, step: Step) -> StepOutcome:
        ran: Ran | None = None
        try:
            if isinstance(step, Send):
                self._place.wires.send(step.port, step.frame)
            elif isinstance(step, Wait):
                time.sleep(step.seconds)
            elif isinstance(step, Command):
                (ran,) = self._place.run_all((step.command,))
        except OSError as error:
            return StepOutcome(error=str(error))
        return self._collect(ran)

    def _collect(self, ran: Ran | None = None) -> StepOutcome:
        left = self._place.wires.settle()
        return StepOutcome(
            left=left,
            stack=self._stack.pending(),
            events=ctnetlink.pending(self._place.events),
            connections=ctnetlink.listing(),
            ran=ran,
        )

    def _filters(self) -> tuple[Filters, ...]:
        places = [
            (port.name, hook)
            for port in self._case.ports
            for hook in self._hooks(port.name)
        ]
        lines = [f"filter show dev {name} {hook}" for name, hook in places]
        shown = self._place.tc.show(lines)
        return tuple(Filters(*place, show) for place, show in zip(places, shown))

    def _hooks(self, port: str) -> tuple[str, ...]:
        """Ask only for the hooks that some command names."""
        steps = (step.command for step in self._case.steps if isinstance(step, Command))
        named = " ".join((*self._case.commands, *steps)).split()
        places = set(zip(named, named[1:], named[2:]))
        return tuple(
            hook for hook in ("ingress", "egress") if ("dev", port, hook) in places
        )
