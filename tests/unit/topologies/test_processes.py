"""Who belongs to a run, read from a /proc of our own making; and how they end."""

import os
import signal
import subprocess
from pathlib import Path

from topologies.processes import Proc, end

RUN = Path("/run/ct-offload/0123abcd")


def process(root: Path, pid: int, environ: bytes = b"", mounts: str = "/") -> None:
    directory = root / str(pid)
    directory.mkdir()
    (directory / "environ").write_bytes(environ)
    line = f"30 29 0:26 / {mounts} rw,nosuid shared:1 - tmpfs tmpfs rw\n"
    (directory / "mountinfo").write_text(line)


def test_the_mark_in_the_environment(tmp_path: Path) -> None:
    process(tmp_path, 10, b"PATH=/bin\0CT_OFFLOAD_RUN=0123abcd\0")
    process(tmp_path, 11, b"CT_OFFLOAD_RUN=0123abcde\0")
    process(tmp_path, 12, b"NOT_CT_OFFLOAD_RUN=0123abcd\0")
    process(tmp_path, 13)
    assert Proc(tmp_path).of_run(RUN) == {10}


def test_the_mark_in_the_mount_namespace(tmp_path: Path) -> None:
    process(tmp_path, 10, mounts=str(RUN))
    process(tmp_path, 11, mounts=f"{RUN}e")
    assert Proc(tmp_path).of_run(RUN) == {10}


def test_this_process_is_never_one(tmp_path: Path) -> None:
    process(tmp_path, os.getpid(), b"CT_OFFLOAD_RUN=0123abcd\0")
    assert Proc(tmp_path).of_run(RUN) == set()


def test_a_process_that_is_gone_when_looked_at(tmp_path: Path) -> None:
    (tmp_path / "10").mkdir()
    (tmp_path / "self").mkdir()
    assert Proc(tmp_path).of_run(RUN) == set()


def sleeper(*argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv or ("sleep", "60"))


def test_end_asks_first() -> None:
    child = sleeper()
    end(lambda: {child.pid} if child.poll() is None else set(), grace_s=5)
    assert child.wait() in (-signal.SIGTERM, -signal.SIGHUP)


def test_end_kills_who_does_not_listen() -> None:
    script = "trap '' TERM HUP; echo; exec sleep 60"
    child = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout and child.stdout.readline()
    end(lambda: {child.pid} if child.poll() is None else set(), grace_s=0.05)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()


def test_a_number_that_has_got_another_owner_is_left_alone() -> None:
    child = sleeper()
    answers = iter([{child.pid}, set[int](), set[int]()])
    end(lambda: next(answers), grace_s=5)
    assert child.poll() is None
    child.kill()
    child.wait()
