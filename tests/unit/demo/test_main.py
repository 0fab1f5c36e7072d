"""The command line: what is refused at once, and the exit codes."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from demo import __main__ as demo
from demo import story
from demo.checks import equal
from demo.report import Report
from demo.screen import Screen
from topologies import signals
from topologies.errors import TopologyError


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "exit_on_sigterm", list)


def tells(monkeypatch: pytest.MonkeyPatch, tell: Any) -> None:
    def told(_screen: Screen, report: Report, **_options: Any) -> None:
        tell(report)

    monkeypatch.setattr(story, "tell", told)


def end(error: BaseException) -> Any:
    def told(report: Report) -> None:
        report.checks.append(equal("so far", 1, 1))
        raise error

    return told


def good(report: Report) -> None:
    report.checks.append(equal("packets", 1, 1))
    report.complete = True


def bad(report: Report) -> None:
    good(report)
    report.checks.append(equal("packets", 1, 2))


@pytest.mark.parametrize(
    ("tell", "code", "ok", "interrupted", "error"),
    [
        (good, 0, True, False, None),
        (bad, 1, False, False, None),
        (end(TopologyError("no\n luck")), 1, False, False, "no luck"),
        (end(KeyboardInterrupt()), 130, False, True, "interrupted (SIGINT)"),
        (end(SystemExit(143)), 143, False, True, "interrupted (SIGTERM)"),
        (end(SystemExit(129)), 129, False, True, "interrupted (SIGHUP)"),
    ],
)
def test_exit_code_and_file_say_the_same(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tell: Any,
    code: int,
    ok: bool,
    interrupted: bool,
    error: str | None,
) -> None:
    tells(monkeypatch, tell)
    path = tmp_path / "report.json"
    assert demo.main(["--json", str(path)]) == code
    said = json.loads(path.read_text())
    assert (said["ok"], said["interrupted"], said["error"]) == (ok, interrupted, error)


def test_a_bug_is_written_down_and_not_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tells(monkeypatch, end(KeyError("x")))
    path = tmp_path / "report.json"
    with pytest.raises(KeyError):
        demo.main(["--json", str(path)])
    said = json.loads(path.read_text())
    assert said["ok"] is False and said["error"] == "internal error: KeyError('x')"


def test_a_bad_place_for_the_file_is_found_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tells(monkeypatch, lambda _report: pytest.fail("started"))
    assert demo.main(["--json", "/no/such/place.json"]) == 2
    assert capsys.readouterr() == (
        "",
        "python -m demo: cannot write /no/such/place.json: No such file or directory\n",
    )


def test_what_is_missing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert demo.main([]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "must be root" in err


@pytest.mark.parametrize("word", ["0", "31", "x", "-1", "1.5"])
def test_timeouts_that_make_no_sense(word: str) -> None:
    with pytest.raises(SystemExit) as ended:
        demo.main([f"--udp-timeout={word}"])
    assert ended.value.code == 2


def test_signal_numbers_are_as_the_shell_has_them() -> None:
    assert demo._INTERRUPTED == 130 == 128 + signal.SIGINT
