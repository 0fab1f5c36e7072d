"""Ids for registers of limited width."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.errors import Unsupported
from offload.ids import IdPool, Mapping


def test_counts_from_one_since_zero_means_none() -> None:
    pool = IdPool("tuple id", 3)
    assert [pool.allocate() for _ in range(3)] == [1, 2, 3]


def test_full() -> None:
    pool = IdPool("tuple id", 1)
    pool.allocate()
    with pytest.raises(
        Unsupported, match="no tuple id is free: all 1 are in use"
    ) as full:
        pool.allocate()
    assert full.type is Unsupported
    pool.release(1)
    assert pool.allocate() == 1


def test_an_id_rests_before_its_reuse() -> None:
    pool = IdPool("tuple id", 3)
    first = pool.allocate()
    pool.release(first)
    assert [pool.allocate(), pool.allocate(), pool.allocate()] == [2, 3, first]


def test_an_id_in_use_is_passed_over() -> None:
    pool = IdPool("tuple id", 3)
    for _ in range(3):
        pool.allocate()
    pool.release(2)
    assert pool.allocate() == 2


@settings(max_examples=40)
@given(st.integers(1, 8), st.lists(st.integers(-1, 8), max_size=30))
def test_no_id_is_held_twice(limit: int, steps: list[int]) -> None:
    """A step is -1 to take an id, or which of those held to give back."""
    pool = IdPool("id", limit)
    held: list[int] = []
    for step in steps:
        if step < 0 and len(held) < limit:
            taken = pool.allocate()
            assert taken not in held and 1 <= taken <= limit
            held.append(taken)
        elif held:
            pool.release(held.pop(step % len(held)))
        assert len(pool) == len(held)


def test_an_id_is_free_after_its_time_of_grace() -> None:
    pool = IdPool("chain tag", 1, grace_s=2.0)
    pool.release(pool.allocate())
    for now_s in (5.0, 6.9):
        pool.tick(now_s)
        with pytest.raises(Unsupported):
            pool.allocate()
    pool.tick(7.0)
    assert pool.allocate() == 1


def test_a_limit_may_move() -> None:
    pool = IdPool("fte id", 4)
    held = [pool.allocate() for _ in range(3)]
    pool.limit = 2
    with pytest.raises(Unsupported, match="all 2 are in use"):
        pool.allocate()
    for each in held[:2]:
        pool.release(each)
    assert pool.allocate() in (1, 2)


def test_a_key_has_one_id_as_long_as_somebody_holds_it() -> None:
    mapping: Mapping[str] = Mapping(IdPool("label id", 2))
    assert mapping.hold("a") and not mapping.hold("a") and mapping.hold("b")
    assert (mapping["a"], mapping["b"], list(mapping)) == (1, 2, ["a", "b"])
    with pytest.raises(Unsupported):
        mapping.hold("c")
    assert not mapping.release("a") and mapping.release("a")
    assert mapping.hold("c") and list(mapping) == ["b", "c"]
