"""What every act is given: the network, the screen, the report, and a few verbs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from demo.checks import Check, Phase, Reading, difference
from demo.errors import NotSeen
from demo.measure import Meter
from demo.peers import DEADLINE_S
from demo.report import Report
from demo.screen import Screen, Style
from topologies.testbed import Testbed
from topologies.waiting import wait_until

_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command at a node has printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One network with the story's means; ``hardware`` is whether it is on at all."""

    net: Testbed
    screen: Screen
    report: Report
    meter: Meter
    hardware: bool
    udp_timeout_s: int

    def run(self, where: str, command: str, show: bool = True) -> Printed:
        """Run a command at a node as a user would, from a shell."""
        if show:
            self.screen.command(where, command)
        process = self.net[where].popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise NotSeen(f"{where}: not done in {DEADLINE_S:g} s: {command}") from None
        return Printed(process.returncode, out, err)

    def must(self, where: str, command: str, show: bool = True) -> str:
        """Run a command at a node and return what it printed; raise NotSeen if it fails."""
        printed = self.run(where, command, show)
        if printed.code:
            said = " ".join((printed.err or printed.out).split())
            raise NotSeen(f"{where}: {command}: exit code {printed.code}: {said}")
        return printed.out

    def phase(self, name: str, before: Reading) -> Phase:
        """Record what was counted since a reading."""
        phase = Phase(name, difference(before, self.meter.read()))
        self.report.phases.append(phase)
        return phase

    def check(self, *checks: Check) -> None:
        """Record checks; one that fails is said at once."""
        self.report.checks.extend(checks)
        for check in checks:
            if not check.ok:
                where = f", {check.where}" if check.where else ""
                said = f"{check.expected} expected, {check.seen} seen"
                self.screen.paragraph(f"FAIL: {check.name}{where}: {said}", Style.BAD)

    def pause(self) -> None:
        """Let a moment pass, between two looks at something."""
        time.sleep(_LOOK_S)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once something holds; raise NotReady at the deadline."""
        wait_until(condition, DEADLINE_S, what)

    def until_all(
        self, read: Callable[[], Mapping[str, int]], wanted: int, what: str
    ) -> None:
        """Return once a number of every hypervisor is what is wanted."""
        self.until(lambda: all(seen == wanted for seen in read().values()), what)
