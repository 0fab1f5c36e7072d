"""The programs of the virtual machines, over the loopback device."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from demo.errors import NotSeen
from demo.peers import Peer, on


class Here:
    """A node that is this machine."""

    name = "here"

    def popen(
        self, argv: list[str], **streams: int
    ) -> subprocess.Popen[bytes]:  # as Mininet's nodes have it
        return subprocess.Popen(argv, **streams)  # type: ignore[call-overload,no-any-return]


def free_port(kind: socket.SocketKind) -> str:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def transfer(size: int, over_s: str = "0") -> Iterator[tuple[Peer, Peer]]:
    port = ("--port", free_port(socket.SOCK_STREAM), "--bytes", str(size))
    with on(Here(), "sink", *port) as sink:
        sink.expect("listening")
        with on(Here(), "source", *port, "--over", over_s) as source:
            source.expect("connected")
            yield source, sink


def test_a_stream_arrives_as_it_was_sent_step_by_step() -> None:
    with transfer(100_001) as (source, sink):
        assert sink.hear(0.05) is None
        source.tell()
        sent = source.expect("sent")
        received = sink.expect("received")
        assert received["received"] == sent["sent"] == 100_001
        assert received["sha256"] == sent["sha256"]
        assert sink.hear(0.05) is None
        source.tell()
        assert sink.expect("closed")["closed"] == 100_001


def test_a_stream_can_be_spread_over_a_time() -> None:
    with transfer(100_000, "0.2") as (source, sink):
        source.tell()
        source.expect("sent")
        assert sink.expect("received")["took_s"] > 0.1


def test_datagrams_are_answered() -> None:
    port = ("--port", free_port(socket.SOCK_DGRAM))
    with on(Here(), "echo", *port) as echo:
        echo.expect("listening")
        with on(Here(), "ask", *port) as asker:
            asker.expect("bound")
            for _ in range(2):
                asker.tell()
                assert asker.expect("reply_ms")["reply_ms"] > 0


def test_what_fails_says_why() -> None:
    with on(Here(), "source", "--port", free_port(socket.SOCK_STREAM)) as source:
        with pytest.raises(NotSeen, match="here: source: not connected: .*refused"):
            source.expect("connected")


def test_who_ends_unasked_is_noticed() -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no more')"]
    pipe = subprocess.PIPE
    peer = Peer("x", subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe))
    with pytest.raises(NotSeen, match="x has ended: no more"):
        peer.expect("sent")
    peer.end()
