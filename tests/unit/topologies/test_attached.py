"""A command that ends when nobody can read its output any more."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

import topologies

ATTACHED = Path(topologies.__file__).parent / "shim" / "attached.py"
_DEADLINE_S = 20


def start(*argv: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([str(ATTACHED), *argv], stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)]
)
def test_the_exit_code_is_the_commands(script: str, code: int) -> None:
    with start("sh", "-c", script) as attached:
        assert attached.wait(_DEADLINE_S) == code


def test_output_and_input_are_the_commands() -> None:
    done = subprocess.run(
        [str(ATTACHED), "tr", "a-z", "A-Z"], input=b"abc", capture_output=True
    )
    assert done.stdout == b"ABC"


def test_no_such_program() -> None:
    done = subprocess.run([str(ATTACHED), "no-such-program"], capture_output=True)
    assert done.returncode == 127
    assert done.stderr == b"no-such-program: No such file or directory\n"


@pytest.mark.parametrize("stubborn", [False, True])
def test_the_command_ends_with_its_reader(stubborn: bool) -> None:
    trap = "trap '' TERM;" if stubborn else ""
    script = f"{trap} echo $$; while :; do sleep 0.1; done"
    with start("sh", "-c", script) as attached:
        assert attached.stdout
        child = os.pidfd_open(int(attached.stdout.readline()))
        try:
            attached.stdout.close()
            ended, _, _ = select.select([child], [], [], _DEADLINE_S)
            assert ended
            number = signal.SIGKILL if stubborn else signal.SIGTERM
            assert attached.wait(_DEADLINE_S) == 128 + number
        finally:
            os.close(child)
