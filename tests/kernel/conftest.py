"""One virtual machine for all tests of a run; where there can be none, a skip with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import in_ci
from tests.kernel.oracle.errors import Unavailable
from tests.kernel.oracle.machine import REAL_CLOCK, Clock
from tests.kernel.oracle.session import Oracle

HERE = Path(__file__).resolve().parent
# The first test may download a kernel and boot it.
FIRST_TIMEOUT_S = 900


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker means."""
    about = "kernel: asks the real kernel, in a virtual machine (all of tests/kernel)"
    config.addinivalue_line("markers", about)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is in tests/kernel asks the kernel."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("kernel")
            item.add_marker(pytest.mark.timeout(FIRST_TIMEOUT_S))


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
