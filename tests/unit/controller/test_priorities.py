"""tc's order as OpenFlow priorities, whatever is added and removed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import priorities as module
from controller.priorities import HIGHEST, LOWEST, Priorities, Rank
from offload.errors import Unsupported

RANKS = st.tuples(st.integers(1, 40), st.integers(0, 3))


def in_order(priorities: Priorities, ranks: set[Rank]) -> bool:
    """Earlier ranks have higher labels, each its own, all within bounds."""
    labels = [priorities.of(rank) for rank in sorted(ranks)]
    falling = labels == sorted(set(labels), reverse=True)
    return falling and all(LOWEST <= label <= HIGHEST for label in labels)


@given(st.lists(st.tuples(st.booleans(), RANKS), max_size=80))
def test_labels_are_in_the_order_of_ranks(steps: list[tuple[bool, Rank]]) -> None:
    priorities, ranks = Priorities(), set[Rank]()
    for adds, rank in steps:
        if adds:
            priorities.add(rank)
            ranks.add(rank)
        elif rank in ranks:
            priorities.remove(rank)
            ranks.remove(rank)
        assert in_order(priorities, ranks)


@given(st.lists(RANKS, min_size=1, max_size=60, unique=True))
def test_others_keep_their_labels_unless_it_says_so(ranks: list[Rank]) -> None:
    priorities, labels = Priorities(), dict[Rank, int]()
    for rank in ranks:
        moved = priorities.add(rank)
        if not moved:
            assert {each: priorities.of(each) for each in labels} == labels
        labels = {each: priorities.of(each) for each in [*labels, rank]}


def test_a_rank_is_added_once() -> None:
    priorities = Priorities()
    priorities.add((1, 0))
    label = priorities.of((1, 0))
    assert not priorities.add((1, 0)) and priorities.of((1, 0)) == label


@pytest.mark.parametrize("step", [1, -1])
def test_at_an_end_there_is_room_for_many(step: int) -> None:
    priorities = Priorities()
    moves = [
        priorities.add((prio, 0)) for prio in range(2000, 2000 + 1000 * step, step)
    ]
    assert not any(moves)


def test_between_two_the_room_runs_out_and_all_are_spread() -> None:
    """Each rank goes between the last and the first: their gap is halved each time."""
    priorities, ranks, moved = Priorities(), set[Rank]({(0, 0)}), 0
    priorities.add((0, 0))
    for prio in range(100, 0, -1):
        ranks.add((prio, 0))
        moved += priorities.add((prio, 0))
        assert in_order(priorities, ranks)
    assert 0 < moved < 20


def test_the_ends_are_reached_and_left() -> None:
    priorities, ranks = Priorities(), set[Rank]()
    for prio in range(2100, 0, -1):
        ranks.add((prio, 0))
        priorities.add((prio, 0))
    for prio in range(2101, 4200):
        ranks.add((prio, 0))
        priorities.add((prio, 0))
    assert in_order(priorities, ranks)


def test_as_many_as_openflow_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HIGHEST", LOWEST + 4)
    priorities, ranks = Priorities(), set[Rank]()
    for prio in range(4):
        priorities.add((prio, 0))
        ranks.add((prio, 0))
        assert in_order(priorities, ranks)
    with pytest.raises(Unsupported, match="a chain holds at most 4 priorities"):
        priorities.add((9, 0))
    priorities.remove((0, 0))
    priorities.add((9, 0))
    assert in_order(priorities, (ranks | {(9, 0)}) - {(0, 0)})


@pytest.mark.parametrize(
    "prios",
    [range(0xC000, 0xC000 - 10_000, -1), [0xFFFF, *range(1, 10_001)]],
    ids=["as tc chooses them", "in front of one for the rest"],
)
def test_a_long_sequence_hardly_ever_moves_the_others(prios: Sequence[int]) -> None:
    priorities = Priorities()
    moves = [priorities.add((prio, 0)) for prio in prios]
    assert sum(moves) <= 3
    assert in_order(priorities, {(prio, 0) for prio in prios})
