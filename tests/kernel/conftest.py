"""One virtual machine and one testbed for all tests of a run; where there can be none, a skip.

    oracle   the real kernel
    compared the real kernel, and the testbed beside it: what differs fails the test

A test of `compared` marked `differs("why")` must differ: the day it agrees, the mark has to go.
One that draws lots, `differs("why", by_chance=True)`, may agree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import E2E_PROGRAMS, in_ci
from tests.kernel.cases.case import Case
from tests.kernel.cases.outcome import Outcome
from tests.kernel.conformance.verdict import judge
from tests.kernel.oracle.errors import Unavailable
from tests.kernel.oracle.machine import REAL_CLOCK, Clock
from tests.kernel.oracle.session import Oracle
from tests.kernel.testbed.session import Testbed

HERE = Path(__file__).resolve().parent
# The first test may download a kernel and boot it.
FIRST_TIMEOUT_S = 900


def pytest_configure(config: pytest.Config) -> None:
    """Say what the markers mean."""
    for about in (
        "kernel: asks the real kernel, in a virtual machine (all of tests/kernel)",
        "differs(why, by_chance=False): the testbed is known to do otherwise than the kernel here",
    ):
        config.addinivalue_line("markers", about)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is in tests/kernel asks the kernel; with the testbed, it needs what that needs."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("kernel")
            item.add_marker(pytest.mark.timeout(FIRST_TIMEOUT_S))
            if "testbed" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.requires(*E2E_PROGRAMS))


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """The real kernel, ready for cases."""
    with entered() as running:
        yield running


def entered(clock: Clock = REAL_CLOCK) -> Oracle:
    """Start an oracle, or skip; in CI, where nothing may be missing, fail."""
    started = Oracle(clock)
    try:
        return started.__enter__()
    except Unavailable as reason:
        if in_ci():
            pytest.fail(f"cannot run in CI: {reason}", pytrace=False)
        pytest.skip(f"no oracle: {reason}")


@pytest.fixture(scope="session")
def testbed() -> Iterator[Testbed]:
    """Three hypervisors, one for each mode of the card."""
    if os.geteuid() != 0:
        pytest.skip("needs root (sudo make test)")
    with Testbed() as running:
        yield running


class Compared:
    """The kernel's outcome of a case, once the testbed's has been compared with it."""

    def __init__(self, oracle: Oracle, testbed: Testbed) -> None:
        self._oracle = oracle
        self._testbed = testbed
        self.differences: list[str] = []

    def run(self, case: Case) -> Outcome:
        """Carry the case out on both; return what the kernel did."""
        outcome = self._oracle.run(case)
        verdict = judge(case, outcome, self._testbed.run(case), excepting=False)
        if not verdict.agrees:
            self.differences.append(f"{case.name}:\n{verdict}")
        return outcome


@pytest.fixture
def compared(
    oracle: Oracle, testbed: Testbed, request: pytest.FixtureRequest
) -> Iterator[Compared]:
    """The real kernel, with the testbed held against it."""
    pair = Compared(oracle, testbed)
    yield pair
    known = request.node.get_closest_marker("differs")
    if known is None:
        assert not pair.differences, "\n".join(pair.differences)
    elif not known.kwargs.get("by_chance"):
        assert pair.differences, f"no longer so: {known.args[0]}"
