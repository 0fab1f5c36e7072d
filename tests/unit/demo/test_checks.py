"""Checks and counts: what is enough, what is not, and how it is said."""

import pytest

from demo.checks import (
    Check,
    Counts,
    at_least,
    difference,
    equal,
    percent,
    share_at_least,
)


def test_counts_add_up() -> None:
    one, two = Counts(5, 1), Counts(7, 2)
    assert one + two == Counts(12, 3)
    assert two - one == Counts(2, 1)
    assert (one + two).total == 15


def test_difference_is_by_hypervisor() -> None:
    before = {"hv1": Counts(1, 1), "hv2": Counts(2, 0)}
    after = {"hv1": Counts(3, 1), "hv2": Counts(2, 9)}
    assert difference(before, after) == {"hv1": Counts(2, 0), "hv2": Counts(0, 9)}


def test_share_of_nothing_is_nothing() -> None:
    assert Counts().share == 0
    assert not share_at_least("x", 0.0, Counts()).ok


@pytest.mark.parametrize(
    ("counts", "ok"), [(Counts(99, 1), True), (Counts(98, 2), False)]
)
def test_share_has_a_floor(counts: Counts, ok: bool) -> None:
    assert share_at_least("x", 0.99, counts).ok is ok


def test_share_is_never_rounded_up_to_the_whole() -> None:
    assert percent(Counts(999_999, 1)) == "99.99 %"
    assert percent(Counts(1, 0)) == "100.00 %"


def test_said_as_the_table_says_it() -> None:
    assert equal("bytes", 10_000, 9_999) == Check("bytes", "10,000", "9,999", False)
    assert at_least("packets", 3, 3, "hv1") == Check(
        "packets", ">= 3", "3", True, "hv1"
    )
    assert equal("flag", "yes", "yes").ok
