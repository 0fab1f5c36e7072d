"""A case that disagrees is made small, and disagrees still."""

from __future__ import annotations

from tests.kernel.cases.case import Case, Port, Send
from tests.kernel.conformance.shrink import shrink

STEPS = tuple(Send("a", bytes([number])) for number in range(20))


def test_what_is_not_needed_goes() -> None:
    """Two steps and one command are to blame."""
    commands = tuple("abcdef")
    case = Case("big", (Port("a"),), commands, STEPS)

    def disagrees(some: Case) -> bool:
        return {STEPS[3], STEPS[17]} <= {*some.steps} and "c" in some.commands

    small = shrink(case, disagrees)
    assert (small.commands, small.steps) == (("c",), (STEPS[3], STEPS[17]))


def test_what_is_all_needed_stays() -> None:
    """Nothing goes that changes the verdict."""
    case = Case("small", (Port("a"),), ("x",), STEPS[:3])
    assert shrink(case, lambda some: some == case) == case
