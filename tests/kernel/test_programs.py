"""Random programs on the kernel and on the testbed: see docs/conformance.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.conformance.executors import Executors
from tests.kernel.conformance.program import program
from tests.kernel.oracle.session import Oracle
from tests.kernel.testbed.session import Testbed

PROGRAMS = 200


@pytest.fixture(scope="module")
def executors(oracle: Oracle, testbed: Testbed) -> Iterator[Executors]:
    """Both, and nothing that was said before."""
    running = Executors(oracle, testbed, kept=None)
    yield running
    running.close()


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_the_testbed_does_as_the_kernel(executors: Executors, seed: int) -> None:
    """In every mode of the card. `python -m tests.kernel.conformance run -n 1 --seed N` shrinks."""
    verdict = executors.verdict(program(seed))
    assert verdict.agrees, str(verdict)
