"""Generations of driver and kernel, by name."""

from __future__ import annotations

import pytest

from offload.profile import DEFAULT, PROFILES, UnknownProfile, named


def test_the_series_is_the_default() -> None:
    assert named("mlx5-5.7") is DEFAULT


@pytest.mark.parametrize("name", PROFILES)
def test_each_is_found_by_its_own_name(name: str) -> None:
    assert named(name).name == name


def test_an_unknown_one_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownProfile, match="no profile 'cx3': there are mlx5-5.7, "):
        named("cx3")
