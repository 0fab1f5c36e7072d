"""Waiting with a deadline."""

import pytest

from topologies.errors import NotReady
from topologies.waiting import wait_until


def test_returns_when_it_holds() -> None:
    answers = iter([False, False, True])
    wait_until(lambda: next(answers), 5, "never")


def test_says_what_did_not_come() -> None:
    with pytest.raises(NotReady, match="the pipeline: not within 0 s"):
        wait_until(lambda: False, 0, "the pipeline")
