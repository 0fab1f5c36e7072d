"""Reading an outcome the way a test asks: which filter was hit, and where a frame went."""

from __future__ import annotations

from typing import Any

from tests.kernel.cases.outcome import EventKind, Outcome, StepOutcome


def filters_at(
    outcome: Outcome, port: str, hook: str = "ingress"
) -> list[dict[str, Any]]:
    """Return the filters of a port's hook, without the lines that only name a chain."""
    return [
        shown
        for place in outcome.filters
        if (place.port, place.hook) == (port, hook)
        for shown in place.filters
        if "options" in shown
    ]


def hits(
    outcome: Outcome, port: str, chain: int, pref: int, hook: str = "ingress"
) -> int:
    """Return how many packets a filter's last action took."""
    (found,) = (
        shown
        for shown in filters_at(outcome, port, hook)
        if (shown["chain"], shown["pref"]) == (chain, pref)
    )
    packets: int = found["options"]["actions"][-1]["stats"]["packets"]
    return packets


def went(step: StepOutcome) -> list[str]:
    """Return the ports that frames left by, and "stack" for each that went there."""
    return [seen.port for seen in step.left] + ["stack" for _ in step.stack]


def events(step: StepOutcome) -> list[EventKind]:
    """Return what conntrack said."""
    return [event.kind for event in step.events]


def offloaded(step: StepOutcome) -> list[bool]:
    """Which of the connections are in a flow table."""
    return ["OFFLOAD" in each.status for each in step.connections]
