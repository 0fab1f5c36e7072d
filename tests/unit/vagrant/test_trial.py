"""The steps of an unattended run: a failure is noted and the run goes on, unless it cannot."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from vagrant import trial
from vagrant.errors import StepFailed
from vagrant.guest import Guest
from vagrant.room import Room
from vagrant.trial import Trial

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture
def run(tmp_path: Path) -> Trial:
    """A run in a room that nobody opened."""
    return Trial(Room(tmp_path, pid=1), tmp_path, {})


def test_a_step_that_fails_is_noted(
    run: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    with run.step("demo"):
        raise StepFailed("one check of 44")
    with run.step("destroy"):
        pass
    assert run.failures == ["demo: one check of 44"]
    told = capsys.readouterr()
    assert told.err == "vagrant-test: FAILED: demo: one check of 44\n"
    assert told.out.splitlines()[1:] == [
        "vagrant-test: destroy",
        "vagrant-test:   ok in 0 s",
    ]


def test_without_a_step_that_is_needed_the_run_is_over(run: Trial) -> None:
    with pytest.raises(trial.Over), run.step("vagrant up", needed=True):
        raise StepFailed("no box")
    assert run.failures == ["vagrant up: no box"]


def test_what_is_no_failure_of_a_step_is_not_swallowed(run: Trial) -> None:
    with pytest.raises(ZeroDivisionError), run.step("demo"):
        raise ZeroDivisionError


def test_a_command_reaches_the_vm_as_it_is(run: Trial) -> None:
    argv = ["make", "demo", "ARGS=--json '$HOME' --place hv1=%eth1"]
    words = Guest(run.room, "testbed", Path("/config"))._ssh(argv)
    inside = words[-1]
    assert words[words.index("ssh") :][:3] == ["ssh", "-F", "/config"]
    assert inside.startswith("cd /testbed && exec sudo ")
    assert shlex.split(inside)[-3:] == argv


def test_the_core_is_there() -> None:
    for test in (ROOT / trial.CORE).read_text().splitlines():
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text()
