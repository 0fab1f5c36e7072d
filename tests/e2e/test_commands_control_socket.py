"""The control socket: its owner's alone, and not to be brought down by what comes in."""

from __future__ import annotations

import json
import socket
import stat
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.command_line import typed, unchanged
from tests.e2e.state import status
from topologies.testbed import Testbed
from topologies.waiting import PATIENCE

CLIENTS = 100
_PATIENCE_S = 30.0 * PATIENCE
STATUS = b'{"op": "status"}\n'

BAD = {
    "words": b"what is this\n",
    "an empty line": b"\n",
    "zeros": b"\0" * 1000 + b"\n",
    "zeros in JSON": b'{"op": "sta\0tus"}\n',
    "no text": b"\xff\xfe\xfd\n",
    "half an object": b'{"op": "stat\n',
    "no object": b"[1, 2]\n",
    "null": b"null\n",
    "an empty object": b"{}\n",
    "two objects": STATUS.strip() * 2 + b"\n",
    "a deep list": b"[" * 100_000 + b"\n",
    "a long number": b"9" * 10_000 + b"\n",
    "a deep argument": (
        b'{"op": "exec", "hypervisor": "hv1", "argv": '
        + b"[" * 500
        + b"]" * 500
        + b"}\n"
    ),
    "an unknown operation": b'{"op": "reboot"}\n',
    "an operation that is no word": b'{"op": ["status"]}\n',
    "no hypervisor": b'{"op": "exec", "argv": ["tc"]}\n',
    "an unknown hypervisor": b'{"op": "exec", "hypervisor": "hv9", "argv": ["tc"]}\n',
    "no command": b'{"op": "exec", "hypervisor": "hv1"}\n',
    "a command of numbers": b'{"op": "exec", "hypervisor": "hv1", "argv": ["tc", 1]}\n',
    "a NUL in an argument": (
        b'{"op": "exec", "hypervisor": "hv1", "argv": ["tc", "filter", "show", "dev",'
        b' "ens1f0_0\\u0000", "ingress"]}\n'
    ),
    "a batch of lists": (
        b'{"op": "exec", "hypervisor": "hv1", "argv": ["tc", "-b", "-"], "stdin": []}\n'
    ),
    "a command that is no list": b'{"op": "exec", "hypervisor": "hv1", "argv": 5}\n',
    "a batch of numbers": (
        b'{"op": "exec", "hypervisor": "hv1", "argv": ["tc", "-b", "-"], "stdin": 7}\n'
    ),
    "half an attachment": b'{"op": "attach", "hypervisor": "hv1"}\n',
    "an attachment of nonsense": (
        b'{"op": "attach", "hypervisor": "hv1", "dpid": "no", "ovs_dir": "/",'
        b' "devices": {"eth0": "toaster"}}\n'
    ),
}


@pytest.fixture
def path(module_net: Testbed) -> str:
    return str(module_net.run_.control_socket)


def test_it_is_its_owners(module_net: Testbed) -> None:
    for name, mode in (("control.sock", 0o600), (".", 0o700)):
        found = (module_net.run_.directory / name).stat()
        assert stat.S_IMODE(found.st_mode) == mode
        assert found.st_uid == 0


@pytest.mark.parametrize("request_", BAD.values(), ids=BAD.keys())
def test_nonsense_gets_one_line(
    module_net: Testbed, path: str, request_: bytes
) -> None:
    with unchanged(module_net["hv1"]):
        line = answer(path, request_)
        assert line.count(b"\n") == 1
        said = json.loads(line)
        assert said["ok"] is False
        assert said["error"] and "\n" not in said["error"]
        assert "internal error" not in said["error"]


@pytest.mark.parametrize("size", [1 << 20, 17 << 20])
def test_a_request_with_no_end(module_net: Testbed, path: str, size: int) -> None:
    with client(path) as asking:
        asking.sendall(b"x" * size)
        asking.shutdown(socket.SHUT_WR)
        said = json.loads(read(asking))
    assert said["ok"] is False
    assert ("more than 16 MiB at once" in said["error"]) == (size > 1 << 24)
    assert status(module_net, "hv1")["connected"]


@pytest.mark.parametrize(
    "begun", [b"", b'{"op": "sta', STATUS.strip(), STATUS, STATUS * 2]
)
def test_a_client_that_hangs_up(module_net: Testbed, path: str, begun: bytes) -> None:
    for _again in range(20):
        with client(path) as asking:
            asking.sendall(begun)
    assert status(module_net, "hv1")["connected"]
    assert "Traceback" not in log(module_net)


def test_clients_that_say_nothing_keep_nobody_waiting(
    module_net: Testbed, path: str
) -> None:
    with ExitStack() as stack:
        for _each in range(CLIENTS):
            stack.enter_context(client(path)).sendall(b'{"op"')
        assert typed(module_net["hv1"], "tc filter show dev vxlan0 ingress").stdout


def test_many_clients_at_once(path: str) -> None:
    show = ["tc", "-s", "filter", "show", "dev", "ens1f0_0", "ingress"]
    execute = {"op": "exec", "hypervisor": "hv1", "argv": show}
    with ExitStack() as stack:
        clients = [stack.enter_context(client(path)) for _each in range(CLIENTS)]
        for number, asking in enumerate(clients):
            request = json.dumps(execute).encode() + b"\n" if number % 2 else STATUS
            asking.sendall(request)
        answers = [json.loads(read(asking)) for asking in clients]
    for number, said in enumerate(answers):
        assert said["stdout"] and said["code"] == 0 if number % 2 else said["hv1"]


def client(path: str) -> socket.socket:
    """A connection to the control socket; use as a context manager."""
    asking = socket.socket(socket.AF_UNIX)
    asking.settimeout(_PATIENCE_S)
    asking.connect(path)
    return asking


def log(net: Testbed) -> str:
    """What the driver wrote so far."""
    return (net.run_.directory / "controller.log").read_text()


def read(asking: socket.socket) -> bytes:
    """All that the driver answers."""
    pieces: list[Any] = []
    while piece := asking.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def answer(path: str, request: bytes) -> bytes:
    """What one request gets."""
    with client(path) as asking:
        asking.sendall(request)
        return read(asking)
