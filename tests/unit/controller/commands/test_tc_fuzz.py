"""Random and mutated command lines: an answer to each, and nothing half done.

CT_OFFLOAD_FUZZ is how many lines, about (``make fuzz`` says 100,000).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller import commands
from controller.commands.answer import Answer
from offload import tc
from offload.cls_api import Point
from tests.conversations import NAMES, lines
from tests.unit.controller.bed import LETTER, PORTS, WAY_BACK, Bed

LINES_A_TALK = 4
TALKS = int(os.environ.get("CT_OFFLOAD_FUZZ", "2000")) // LINES_A_TALK
CODES = (0, 1, 2, 255)
# A hundred thousand take their time, and a busy machine ten times that.
pytestmark = pytest.mark.timeout(300 + TALKS)
LINES = [
    *(shlex.split(line.words) for name in NAMES for line in lines(name)),
    *(shlex.split(line) for line in (*LETTER, *WAY_BACK)),
]
WORDS = sorted({word for line in LINES for word in line})
ODD = (
    *("", "0", "-1", "4294967296", "0x", "/", "-", ":", "::", "1/2/3", "\\", "'", '"'),
    *(
        "\0",
        "\x1b[0m",
        "\udcff",
        "é" * 40,
        "A" * 5000,
        "9" * 5000,
        "f:" * 3000,
        "[" * 2000,
    ),
    *("help", "index", "action", "flower", "dev", "block", "chain", "munge", "cookie"),
)
WORD = st.one_of(st.sampled_from(WORDS), st.sampled_from(ODD), st.text(max_size=12))


@st.composite
def mutated(draw: st.DrawFn) -> list[str]:
    """A good line of which some words are others, gone, doubled or elsewhere."""
    words = list(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(words)))
        how = draw(st.sampled_from(("other", "gone", "new", "double", "end", "swap")))
        if how == "new":
            words.insert(at, draw(WORD))
        elif how == "end":
            words = words[:at]
        elif at < len(words):
            if how == "other":
                words[at] = draw(WORD)
            elif how == "gone":
                del words[at]
            elif how == "double":
                words.insert(at, words[at])
            else:
                words[at], words[0] = words[0], words[at]
    return words


RANDOM = st.lists(WORD, max_size=15)
TALK = st.lists(st.one_of(mutated(), mutated(), RANDOM), min_size=1, max_size=8)


def state(bed: Bed) -> object:
    """What a command that failed must leave as it was."""
    standing = bed.table.standing
    rules = {place: each.flow_mod.rule.actions for place, each in standing.items()}
    classifier = bed.hypervisor.filters.classifier
    held = {(i.kind, i.index, i.ref, i.bind, i.action) for i in classifier.actions}
    points = (Point(*each) for each in product(PORTS, (False, True)))
    filters = {point: list(classifier.block(point)) for point in points}
    hooks = [(device, hook.kind, hook.block) for device, hook in classifier.hooks]
    zones = set(bed.hypervisor.act_ct.tables)
    return rules, held, filters, hooks, zones


def answered(bed: Bed, words: Sequence[str]) -> Answer | None:
    answer = commands.run(bed.hypervisor, bed.switch, ["tc", *words], "", bed.now_s)
    bed.deliver()
    return answer


def _text(raw: bytes) -> str:
    """As the shim sends what is no text."""
    return raw.decode("utf-8", "surrogateescape")


@example([["actions", "add", "action", "ct", "index", "0", "index", "1"]])
@given(talk=TALK)
@settings(
    max_examples=TALKS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_any_line_gets_an_answer_and_is_done_or_not(talk: list[list[str]]) -> None:
    bed = Bed()
    for words in talk:
        before = state(bed)
        answer = answered(bed, words)
        if answer is None:  # the system's
            continue
        assert answer.code in CODES, (words, answer)
        assert "Traceback" not in answer.stderr
        if answer.code and not _is_many(words):
            assert state(bed) == before, (words, answer)
    bed.add(
        *(f"qdisc del dev {device} {_kind(bed, device)}" for device in _hooked(bed))
    )
    assert not bed.rules_of_filters()
    assert not bed.hypervisor.act_ct.tables
    assert not any(each.bind for each in bed.hypervisor.filters.classifier.actions)


def _is_many(words: Sequence[str]) -> bool:
    """Several commands in one, of which the first may have been done."""
    return any(word and word[0] in "acd-" for word in words[:1]) and (
        "actions".startswith(words[0]) or words[0].startswith("-")
    )


def _hooked(bed: Bed) -> list[str]:
    return [device for device, _ in bed.hypervisor.filters.classifier.hooks]


def _kind(bed: Bed, device: str) -> str:
    hook = bed.hypervisor.filters.classifier.hooks.get(device)
    assert hook is not None
    return hook.kind


@given(text=st.one_of(st.text(max_size=300), st.binary(max_size=300).map(_text)))
@settings(max_examples=min(TALKS, 3000), deadline=None)
def test_any_batch_gets_an_answer(text: str) -> None:
    bed = Bed()
    answer = bed.tc("-force -batch -", text)
    assert answer.code in CODES


def test_the_words_of_the_fuzz_are_good_ones() -> None:
    """Most lines it starts from do something."""
    good = 0
    for words in LINES:
        try:
            tc.parse(words, PORTS.__contains__)
        except Exception:  # noqa: B902 (of any kind)
            continue
        good += 1
    assert good > len(LINES) // 2
