"""The report: when it is good, and its file: whole or not there."""

import json
from pathlib import Path

import pytest

from demo.checks import Counts, Phase, equal
from demo.errors import CannotWrite
from demo.report import JsonFile, Report


def told(*, complete: bool = True) -> Report:
    report = Report()
    report.checks.append(equal("packets", 0, 0, "hv1"))
    report.phases.append(Phase("ICMP", {"hv1": Counts(0, 10)}))
    report.complete = complete
    return report


def test_a_story_told_to_its_end_with_good_checks_is_ok() -> None:
    assert told().ok


def test_what_makes_it_not_ok() -> None:
    assert not Report().ok
    assert not told(complete=False).ok
    failed = told()
    failed.checks.append(equal("packets", 0, 1))
    assert not failed.ok
    cut_short = told()
    cut_short.error = "interrupted"
    assert not cut_short.ok


def test_for_a_program() -> None:
    said = told().as_json()
    assert said["ok"] is True and said["error"] is None
    assert said["checks"] == [
        {"name": "packets, hv1", "expected": "0", "seen": "0", "ok": True}
    ]
    counts = {"hardware_packets": 0, "software_packets": 10}
    assert said["phases"] == [{"name": "ICMP", "hypervisors": {"hv1": counts}}]
    assert said["duration_s"] >= 0


def test_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    file = JsonFile(path)
    file.probe()
    assert path.read_text() == "old"
    file.write({"ok": True})
    assert json.loads(path.read_text()) == {"ok": True}
    assert list(tmp_path.iterdir()) == [path]


def test_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "report.json")
    JsonFile(link).write({})
    assert link.is_symlink()
    assert (tmp_path / "report.json").read_text() == "{}\n"


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(TypeError):
        JsonFile(path).write({"ok": object()})
    path.mkdir()
    with pytest.raises(CannotWrite):
        JsonFile(path).write({})
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/no/such/place.json", "No such file or directory"),
        ("/", "it is a directory"),
        ("/dev/null", "it is no ordinary file"),
        ("/dev/stdout", "it is no ordinary file"),
    ],
)
def test_bad_places_are_known_before(path: str, why: str) -> None:
    with pytest.raises(CannotWrite, match=f"cannot write {path}: {why}"):
        JsonFile(Path(path)).probe()
