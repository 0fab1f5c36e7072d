"""A run's directory: made, locked, reaped and removed."""

import stat
from pathlib import Path

import pytest

from topologies.errors import CommandFailed
from topologies.options import Options
from topologies.processes import Proc
from topologies.run import Run, reap


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    # pytest's own directories are longer than a socket's path may be.
    monkeypatch.setattr("topologies.options._LONGEST_ROOT", 500)
    return Options(run_dir_root=tmp_path / "runs")


def nobody(tmp_path: Path) -> Proc:
    (tmp_path / "proc").mkdir()
    return Proc(tmp_path / "proc")


def test_open_and_close_leave_nothing(options: Options) -> None:
    run = Run.open(options)
    assert stat.S_IMODE(run.directory.stat().st_mode) == 0o700
    (run.directory / "hv1").mkdir()
    run.close()
    run.close()
    assert not options.run_dir_root.exists()


def test_two_runs_do_not_meet(options: Options) -> None:
    one, two = Run.open(options), Run.open(options)
    assert one.directory != two.directory
    assert one.directory.exists()
    one.close()
    assert two.directory.exists()
    two.close()


def test_reap_removes_what_nobody_owns_and_nothing_else(
    options: Options, tmp_path: Path
) -> None:
    run = Run.open(options)
    root = options.run_dir_root
    dead, killed_at_birth, foreign = root / "00000000", root / "11111111", root / "mine"
    for directory in (dead, killed_at_birth, foreign):
        directory.mkdir()
    (dead / "lock").touch()
    (foreign / "lock").touch()
    assert reap(root, nobody(tmp_path)) == ["00000000", "11111111"]
    assert foreign.exists() and run.directory.exists()
    run.close()


def test_environment_has_the_mark(options: Options) -> None:
    run = Run.open(options)
    assert run.environment({})["CT_OFFLOAD_RUN"] == run.id
    assert "/usr/sbin" in run.environment({})["PATH"]
    assert run.environment({"PATH": "/x"})["PATH"] == "/x"
    run.close()


def test_call(options: Options) -> None:
    run = Run.open(options)
    assert run.call(["cat"], stdin="words") == "words"
    with pytest.raises(CommandFailed, match="exit code 3: no$") as failure:
        run.call(["sh", "-c", "echo no >&2; exit 3"])
    assert failure.value.code == 3
    with pytest.raises(CommandFailed, match="no such program"):
        run.call(["/no/such/program"])
    run.close()


def test_keep_logs(options: Options, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run = Run.open(Options(run_dir_root=options.run_dir_root, keep_logs=kept))
    (run.directory / "hv1").mkdir()
    (run.directory / "hv1" / "ovs.log").write_text("said")
    run.close()
    assert (kept / run.id / "hv1" / "ovs.log").read_text() == "said"
    assert not run.directory.exists()
