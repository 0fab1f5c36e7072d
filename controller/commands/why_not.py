"""``why-not``: what is not in hardware, each with the rule that decided.

    why-not                filters and connections that are not in hardware
    why-not filters        every filter
    why-not connections    every connection
    why-not reasons        how often each reason was given

``-j`` prints JSON.  There is no such tool elsewhere: a driver's log and
``tc filter add ... verbose`` say a part of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from controller import why
from controller.commands.answer import Answer, Switch
from controller.connections import connections
from controller.hypervisor import Hypervisor
from controller.why import Verdict

_USAGE = "usage: why-not [-j] [filters | connections | reasons]\n"
IN_HARDWARE = "in hardware"


def run(
    hypervisor: Hypervisor,
    switch: Switch,
    argv: Sequence[str],
    stdin: str | None,
    now_s: float,
) -> Answer | None:
    """Answer a question."""
    words = [word for word in argv if word != "-j"]
    as_json = len(words) < len(argv)
    switch.caught_up()
    if words == ["reasons"]:
        counted = why.reasons(hypervisor).most_common()
        if as_json:
            return Answer(stdout=json.dumps(dict(counted)) + "\n")
        return Answer(stdout="".join(f"{n:>8} {reason}\n" for reason, n in counted))
    asked = _verdicts(hypervisor, switch, words, now_s)
    if asked is None:
        return Answer(1, stderr=_USAGE)
    if as_json:
        listed = [
            {"name": name, "in_hw": not reason, "why": reason} for name, reason in asked
        ]
        return Answer(stdout=json.dumps(listed) + "\n")
    lines = [f"{name}: {reason or IN_HARDWARE}\n" for name, reason in asked]
    return Answer(stdout="".join(lines))


def _verdicts(
    hypervisor: Hypervisor, switch: Switch, words: Sequence[str], now_s: float
) -> list[Verdict] | None:
    """What is asked for; None if that is nothing."""
    if words == ["filters"]:
        return list(why.filters(hypervisor))
    if words not in ([], ["connections"]):
        return None
    tracked = list(why.connections(hypervisor, connections(switch.appctl), now_s))
    if words:
        return tracked
    return [each for each in (*why.filters(hypervisor), *tracked) if each.why]
