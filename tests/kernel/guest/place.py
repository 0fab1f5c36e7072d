"""Where cases take place: devices in two namespaces, and the sockets that watch them.

A case leaves no filter and no connection behind; the devices stay for the next.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby

from tests.kernel.cases.case import Case
from tests.kernel.cases.outcome import Ran
from tests.kernel.guest import ctnetlink, namespaces
from tests.kernel.guest.commands import is_silent, run
from tests.kernel.guest.tc import Tc
from tests.kernel.guest.wires import Wires


class Place:
    """The ports of a case, as they are before its first command."""

    def __init__(self, case: Case) -> None:
        # One CPU: what Wires.settle promises depends on it.
        os.sched_setaffinity(0, {0})
        spaces = namespaces.make()
        self.wires = Wires.open()
        namespaces.populate(case, spaces)
        self.events = ctnetlink.subscribe()
        self.tc = Tc()
        self._hooks = [f"dev {port.name} clsact" for port in case.ports]

    def begin(self) -> None:
        """Make the ports take filters."""
        self._drain()
        for ran in self.tc.change([f"qdisc add {each}" for each in self._hooks]):
            if ran.code:
                raise OSError(f"no clsact: {ran.stderr}")

    def end(self) -> None:
        """Remove what the case has left."""
        self.tc.change([f"qdisc del {each}" for each in self._hooks])
        ctnetlink.flush()

    def run_all(self, commands: Sequence[str]) -> tuple[Ran, ...]:
        """Run commands one after the other, whether they fail or not."""
        results: list[Ran] = []
        for silent, group in groupby(commands, is_silent):
            if silent:
                lines = [" ".join(command.split()[1:]) for command in group]
                results.extend(self.tc.change(lines))
            else:
                results.extend(run(command) for command in group)
        return tuple(results)

    def _drain(self) -> None:
        self.wires.settle()
        ctnetlink.pending(self.events)
