"""A TCP transfer from vm1 to vm3, one step at a time.

    connect     the handshake, and nothing else
    offloaded   both hypervisors have the connection in their flow tables
    send        everything is sent, and everything has arrived
    close       FIN

Between two steps the connection is silent, and the counters can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from demo.errors import NotSeen
from demo.peers import DEADLINE_S, Peer, on
from demo.stage import Stage

PORT = 5001
SIZE = 10_000_000
_TO = "10.0.0.3"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the receiver has, as it tells it."""

    received: int
    intact: bool
    took_s: float

    @property
    def rate_mbps(self) -> float:
        """Megabits a second, from the first byte to the last."""
        return self.received * 8 / 1e6 / self.took_s if self.took_s else 0.0


class Transfer:
    """A connection that is open."""

    def __init__(self, stage: Stage, source: Peer, sink: Peer, port: int) -> None:
        self._stage = stage
        self._source = source
        self._sink = sink
        self.port = port
        self._digest = ""

    def offloaded(self) -> None:
        """Wait until the connection is where it belongs on both hypervisors."""
        meter = self._stage.meter
        read = meter.entries_in_hw if self._stage.hardware else meter.entries
        self._stage.until_all(read, 1, "the connection in both flow tables")

    def begin(self) -> None:
        """Let it send."""
        self._source.tell()

    def has_sent(self, timeout_s: float) -> bool:
        """Wait for a while, and tell whether all has been sent."""
        words = self._source.hear(timeout_s)
        if words is not None and "sent" not in words:
            raise NotSeen(f"{self._source.name}: not sent: {words}")
        if words is not None:
            self._digest = words["sha256"]
        return words is not None

    def arrived(self) -> Arrived:
        """Wait until all has arrived."""
        words = self._sink.expect("received")
        intact = words["sha256"] == self._digest
        return Arrived(words["received"], intact, words["took_s"])

    def send(self) -> Arrived:
        """Send, and wait until all has arrived."""
        self.begin()
        if not self.has_sent(DEADLINE_S):
            raise NotSeen(f"{self._source.name}: not sent within {DEADLINE_S:g} s")
        return self.arrived()

    def close(self) -> int:
        """Close, and return how many bytes the receiver had at the end."""
        self._source.tell()
        return int(self._sink.expect("closed")["closed"])


@contextmanager
def connected(stage: Stage, over_s: float = 0) -> Iterator[Transfer]:
    """Open a connection; it sends over a time, or as fast as it can."""
    port = ("--port", str(PORT), "--bytes", str(SIZE))
    with on(stage.net["vm3"], "sink", *port) as sink:
        sink.expect("listening")
        words = ("source", "--host", _TO, *port, "--over", f"{over_s:g}")
        with on(stage.net["vm1"], *words) as source:
            number = source.expect("connected")["connected"]
            yield Transfer(stage, source, sink, number)
