"""Commands of a long run: their log, their last line, their deadline."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from topologies.waiting import wait_until
from vagrant import steps
from vagrant.errors import StepFailed


def test_output_is_logged_under_its_command(tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps.run(["printf", "one\ntwo\n"], log, 10)
    steps.run(["sh", "-c", "echo three >&2"], log, 10)
    assert (
        log.read_text() == "\n$ printf one\ntwo\n\none\ntwo\n"
        "\n$ sh -c echo three >&2\nthree\n"
    )


def test_a_failure_says_the_last_line_and_where_the_rest_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(StepFailed) as failed:
        steps.run(["sh", "-c", "echo first; echo no such thing; echo; exit 3"], log, 10)
    assert str(failed.value) == f"no such thing (all of it: {log})"


def test_a_silent_failure_says_its_code(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="^exit code 7 "):
        steps.run(["sh", "-c", "exit 7"], tmp_path / "log", 10)


def test_at_the_deadline_the_command_and_its_children_end(tmp_path: Path) -> None:
    began_s = time.monotonic()
    with pytest.raises(
        StepFailed, match=r"^not done in 1 s; it last said: (\d+)$"
    ) as failed:
        steps.run(
            ["sh", "-c", "sleep 60 & echo $!; wait"], tmp_path / "log", timeout_s=1
        )
    assert time.monotonic() - began_s < 30
    child = int(str(failed.value).split()[-1])
    wait_until(lambda: not _is_running(child), 10, "the end of the command's child")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_progress_is_told_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_TELL_EVERY_S", 0)
    told: list[str] = []
    steps.run(["printf", "half\rdone\n"], tmp_path / "log", 10, tell=told.append)
    assert told == ["  ... done"]


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("one\nmake: *** [Makefile:20: demo] Error 1", "one"),
        (
            "testbed: setup: cannot install Ryu: no network\nPlease read the output.",
            "testbed: setup: cannot install Ryu: no network",
        ),
        (
            "  FAIL: UDP in hardware: 40 expected, 37 seen\n43 of 44 checks ok",
            "FAIL: UDP in hardware: 40 expected, 37 seen",
        ),
        (
            "python -m demo: hv1: no such device\nGoodbye",
            "python -m demo: hv1: no such device",
        ),
    ],
)
def test_a_failure_is_told_in_the_words_of_who_knows(
    printed: str, said: str, tmp_path: Path
) -> None:
    script = f"printf '%s\n' '{printed}'; exit 1"
    with pytest.raises(StepFailed) as failed:
        steps.run(["sh", "-c", script], tmp_path / "log", 10)
    assert str(failed.value).startswith(f"{said} (all of it: ")
