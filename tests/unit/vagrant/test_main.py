"""What a run leaves in the project's cache, and who may have it."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from vagrant import __main__ as program
from vagrant.errors import Unfit


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache is a directory of the test's."""
    monkeypatch.setattr(program, "_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_what_an_interrupted_run_left_goes_and_nothing_else(cache: Path) -> None:
    (cache / "run").mkdir(parents=True)
    (cache / "run" / "disk.img").touch()
    (cache / "a.box").touch()
    with program._directory() as directory:
        assert directory == cache / "run"
        assert not [*directory.iterdir()]
    assert {left.name for left in cache.iterdir()} == {"a.box", "lock"}


def test_a_second_run_is_refused_and_disturbs_nothing(cache: Path) -> None:
    with program._directory() as directory:
        (directory / "disk.img").touch()
        with pytest.raises(Unfit, match="^another run is using "), program._directory():
            pass
        assert (directory / "disk.img").exists()


def test_a_run_that_fails_gives_its_directory_back(cache: Path) -> None:
    with pytest.raises(ZeroDivisionError), program._directory():
        raise ZeroDivisionError
    assert not (cache / "run").exists()
    with open(cache / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("wrong", ["much", "2G", "-1", "²"])
def test_memory_must_be_a_number(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_MEMORY", wrong)
    with pytest.raises(Unfit, match="^TESTBED_MEMORY is "):
        program._memory_mib()
