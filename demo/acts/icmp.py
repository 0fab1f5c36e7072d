"""Act 7: ICMP echo, which stays in software, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping

from demo.acts.progress import Rows
from demo.checks import equal
from demo.measure import HYPERVISORS
from demo.stage import Stage

_COUNT = 5
_PING = f"ping -c {_COUNT} -i 0.2 -W 5 10.0.0.3"
_RECEIVED = re.compile(r"(\d+) received")


def show(stage: Stage) -> None:
    """Ping, and ask the flow table why it did not take it."""
    refused = {name: stage.meter.status(name).refused for name in HYPERVISORS}
    before = stage.meter.read()
    printed = stage.run("vm1", _PING).out
    phase = stage.phase("ICMP", before)
    stage.screen.quote("\n".join(printed.strip().splitlines()[-2:]))
    stage.screen.line()
    stage.screen.line(Rows(stage.screen).row("ICMP", phase.hypervisors))
    stage.screen.line()
    received = _RECEIVED.search(printed)
    stage.check(equal("ICMP replies", _COUNT, int(received[1]) if received else 0))
    reasons = {
        name: _new_reason(refused[name], stage.meter.status(name).refused)
        for name in HYPERVISORS
    }
    for reason in sorted(set(reasons.values())):
        names = " and ".join(name for name in HYPERVISORS if reasons[name] == reason)
        stage.screen.paragraph(f'Why? act_ct on {names}: "{reason}".')
    for name, counts in phase.hypervisors.items():
        stage.check(
            equal("ICMP in hardware", 0, counts.hardware, name),
            equal("ICMP in software", 2 * _COUNT, counts.software, name),
            equal(
                "ICMP and the flow table",
                "refused",
                "refused" if reasons[name].startswith("icmp") else "not refused",
                name,
            ),
        )


def _new_reason(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    new = [why for why, times in after.items() if times > before.get(why, 0)]
    return "; ".join(new) or "(nothing)"
