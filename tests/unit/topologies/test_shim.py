"""tc at a hypervisor: what it asks the controller, and what it does with the answer."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from topologies.shim import shim

SHIM = Path(shim.__file__)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-batch", "f"], "f"),
        (["-b", "-"], "-"),
        (["-s", "-ba", "f"], "f"),
        (["-force", "-b", "f"], "f"),
        (["-n", "ns", "-b", "f"], "f"),
        (["-br", "filter", "show"], None),
        (["-batch"], None),
        (["filter", "show", "-b", "f"], None),
        ([], None),
    ],
)
def test_batch_file(words: list[str], name: str | None) -> None:
    assert shim.batch_file(["tc", *words]) == name


@contextmanager
def controller(path: Path, answer: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Answer one request, and keep it."""
    asked: list[dict[str, Any]] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as stream:
            asked.append(json.loads(stream.readline()))
            stream.write(json.dumps(answer).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join(10)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the shim first and a tc of the system's after it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "system").mkdir()
    for tool in ("tc", "conntrack"):
        (tmp_path / "bin" / tool).symlink_to(SHIM)
    system = tmp_path / "system" / "tc"
    system.write_text('#!/bin/sh\necho "system $*"\n[ "$2" = - ] && cat\nexit 7\n')
    system.chmod(0o755)
    return tmp_path


def call(
    tools: Path, *argv: str | bytes, stdin: bytes = b"", control: str = ""
) -> subprocess.CompletedProcess[bytes]:
    environment = {
        "PATH": f"{tools / 'bin'}:{tools / 'system'}:/usr/bin:/bin",
        "CT_OFFLOAD_CONTROL": control or str(tools / "s"),
        "CT_OFFLOAD_HYPERVISOR": "hv1",
    }
    # Not by its #! line: the machine of a unit test may have no /usr/bin/python3.
    program = [sys.executable, "-IS", str(tools / "bin" / str(argv[0])), *argv[1:]]
    return subprocess.run(
        program, env=environment, input=stdin, capture_output=True, timeout=20
    )


def test_an_answer_of_the_controller(tools: Path) -> None:
    answer = {"code": 2, "stdout": "out", "stderr": "err\n"}
    with controller(tools / "s", answer) as asked:
        done = call(tools, "tc", "filter", "show")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"out", b"err\n")
    assert asked == [
        {
            "op": "exec",
            "hypervisor": "hv1",
            "argv": ["tc", "filter", "show"],
            "stdin": None,
        }
    ]


def test_the_systems_own_tool(tools: Path) -> None:
    with controller(tools / "s", {"system": True}):
        done = call(tools, "tc", "qdisc", "show")
    assert (done.returncode, done.stdout) == (7, b"system qdisc show\n")


def test_batch_from_standard_input(tools: Path) -> None:
    with controller(tools / "s", {"code": 0, "stdout": "", "stderr": ""}) as asked:
        assert call(tools, "tc", "-b", "-", stdin=b"filter show\n").returncode == 0
    assert asked[0]["stdin"] == "filter show\n"


def test_the_systems_tool_gets_the_batch_that_was_read(tools: Path) -> None:
    with controller(tools / "s", {"system": True}):
        done = call(tools, "tc", "-b", "-", stdin=b"qdisc show\n")
    assert done.stdout == b"system -b -\nqdisc show\n"


def test_a_batch_that_is_not_there(tools: Path) -> None:
    done = call(tools, "tc", "-batch", "/no/such")
    assert done.returncode == 1
    expected = b'Cannot open file "/no/such" for reading: No such file or directory\n'
    assert done.stderr == expected


@pytest.mark.parametrize(("tool", "code"), [("tc", 2), ("conntrack", 1)])
def test_no_controller(tools: Path, tool: str, code: int) -> None:
    done = call(tools, tool, "show")
    assert done.returncode == code
    assert done.stderr.count(b"\n") == 1
    assert b"the controller does not answer" in done.stderr


def test_a_refusal(tools: Path) -> None:
    with controller(tools / "s", {"ok": False, "error": "no hypervisor hv1"}):
        done = call(tools, "tc", "filter", "show")
    assert (done.returncode, done.stderr) == (2, b"tc: no hypervisor hv1\n")


def test_bytes_that_are_no_text(tools: Path) -> None:
    answer = {"code": 0, "stdout": "\udcff", "stderr": ""}
    with controller(tools / "s", answer) as asked:
        done = call(tools, "tc", b"\xfe")
    assert asked[0]["argv"] == ["tc", "\udcfe"]
    assert done.stdout == b"\xff"


def test_it_can_be_run(tools: Path) -> None:
    assert SHIM.stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("system", "ours", "both"),
    [
        ("a\n", "b\n", "a\nb\n"),
        ("", "b\n", "b\n"),
        ('[{"a":1}]\n', '[{"b":2}]\n', '[{"a":1},{"b":2}]\n'),
        ("[]\n", '[{"b":2}]\n', '[{"b":2}]\n'),
        ("", "[]\n", "[]\n"),
        ("[ {} ]\n", "[ {} ]\n", "[ {},{} ]\n"),
        ("[ ]\n", "[ ]\n", "[]\n"),
    ],
)
def test_two_answers_in_one(system: str, ours: str, both: str) -> None:
    assert shim.both(system, ours) == both


def test_the_systems_tool_answers_first_where_both_know_something(
    tools: Path,
) -> None:
    answer = {"code": 0, "stdout": "ours\n", "stderr": "", "beside": True}
    (tools / "system" / "tc").write_text('#!/bin/sh\necho "system $*"\n')
    with controller(tools / "s", answer):
        done = call(tools, "tc", "qdisc", "show")
    assert (done.returncode, done.stdout) == (0, b"system qdisc show\nours\n")


def test_a_systems_tool_that_fails_says_nothing_there(tools: Path) -> None:
    answer = {"code": 0, "stdout": "ours\n", "stderr": "", "beside": True}
    with controller(tools / "s", answer):
        done = call(tools, "tc", "qdisc", "show", "dev", "vxlan0")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ours\n", b"")
