"""Talking to the programs in the virtual machines (see ``traffic``)."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from demo.errors import NotSeen

_END_S = 5.0
DEADLINE_S = 30.0
"""No step of the story takes as long, on a machine however busy."""


class Peer:
    """A program on a node: told by lines, heard as JSON objects."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._process = process
        self._heard = b""

    def tell(self) -> None:
        """Let it take its next step."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()

    def hear(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next thing it says; None if it is silent for so long."""
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._heard:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    return None
                piece = os.read(descriptor, 1 << 16)
                if not piece:
                    raise NotSeen(f"{self.name} has ended: {self._last_words()}")
                self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        words: dict[str, Any] = json.loads(line)
        return words

    def expect(self, what: str, timeout_s: float = DEADLINE_S) -> dict[str, Any]:
        """Return the next thing it says, which must have ``what``; raise NotSeen."""
        words = self.hear(timeout_s)
        if words is None:
            raise NotSeen(f"{self.name}: not {what} within {timeout_s:g} s")
        if what not in words:
            raise NotSeen(f"{self.name}: not {what}: {words}")
        return words

    def _last_words(self) -> str:
        assert self._process.stderr
        lines = self._process.stderr.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def end(self) -> None:
        """Make it end, if it has not."""
        with suppress(BrokenPipeError):
            self._process.stdin and self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            stream and stream.close()


@contextmanager
def on(node: Any, *words: str) -> Iterator[Peer]:
    """Run one of the traffic programs on a node, within the block."""
    process = node.popen(
        [sys.executable, "-m", "demo.traffic", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    peer = Peer(f"{node.name}: {words[0]}", process)
    try:
        yield peer
    finally:
        peer.end()
