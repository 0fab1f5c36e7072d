"""Time: what happens to connections that nobody uses, on a clock that leaps over waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.cases.case import Wait
from tests.kernel.conftest import entered
from tests.kernel.frames import SERVER_PORT, Talk
from tests.kernel.oracle.machine import LEAPING_CLOCK
from tests.kernel.oracle.session import Oracle
from tests.kernel.pair import both, pair
from tests.kernel.reading import went

TALK = Talk()


@pytest.fixture(scope="module")
def leaping() -> Iterator[Oracle]:
    """The real kernel, where a wait takes no time."""
    with entered(LEAPING_CLOCK) as running:
        yield running


def test_21_idle_for_thirty_seconds(leaping: Oracle) -> None:
    """The entry leaves the flow table, with 30 s and what has passed since off its timeout."""
    outcome = leaping.run(pair("idle", both(), *TALK.handshake(), Wait(40)))
    (connection,) = outcome.connections
    assert connection.status == ("SEEN_REPLY", "ASSURED", "CONFIRMED")
    assert connection.timeout_s
    assert 431950 <= connection.timeout_s <= 431970


def test_21_used_again_is_offloaded_again(leaping: Oracle) -> None:
    """By the next packet."""
    steps = (*TALK.handshake(), Wait(40), TALK.out("PA", 1, 1, 10))
    outcome = leaping.run(pair("again", both(), *steps))
    assert went(outcome.steps[-1]) == [SERVER_PORT]
    assert ["OFFLOAD" in c.status for c in outcome.connections] == [True]


def test_an_unanswered_syn_is_forgotten(leaping: Oracle) -> None:
    """After 120 s."""
    steps = TALK.out("S"), Wait(118), Wait(5)
    outcome = leaping.run(pair("syn", both(), *steps))
    assert outcome.connections == ()
