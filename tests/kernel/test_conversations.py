"""What was written down of the real tc and kernel is what they say."""

from __future__ import annotations

import pytest

from tests.conversations import NAMES, comparable, recorded
from tests.conversations.record import ask
from tests.kernel.oracle.session import Oracle


@pytest.mark.parametrize("name", NAMES)
def test_the_real_one_says_so(oracle: Oracle, name: str) -> None:
    answers = ask(oracle, name)
    for (line, answer), said in zip(recorded(name), answers, strict=True):
        assert comparable(said) == comparable(answer), line.words
