"""Asking the controller."""

import socket
import threading
from pathlib import Path

import pytest

from topologies import control
from topologies.errors import ControlFailed


def answering(path: Path, line: bytes) -> threading.Thread:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with server, connection, connection.makefile("rb") as stream:
            stream.readline()
            connection.sendall(line)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_yes(tmp_path: Path) -> None:
    thread = answering(tmp_path / "s", b'{"ok": true, "x": 1}\n')
    assert control.ask(tmp_path / "s", {"op": "status"}, 5)["x"] == 1
    thread.join(5)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"ok": false, "error": "no port vxlan0"}\n', "no port vxlan0"),
        (b"", "the controller did not answer status: it hung up"),
    ],
)
def test_no(tmp_path: Path, line: bytes, said: str) -> None:
    thread = answering(tmp_path / "s", line)
    with pytest.raises(ControlFailed, match=said):
        control.ask(tmp_path / "s", {"op": "status"}, 5)
    thread.join(5)


def test_nobody(tmp_path: Path) -> None:
    assert not control.is_listening(tmp_path / "s")
    with pytest.raises(ControlFailed, match="did not answer"):
        control.ask(tmp_path / "s", {"op": "status"}, 5)
