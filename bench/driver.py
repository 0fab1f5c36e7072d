"""``python -m bench.driver``: the controller, which can also be timed from inside.

It is the driver as it is; what is added are operations on its control socket.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import eventlet

from bench.frames import End, connections
from controller.__main__ import main
from controller.control import ControlServer
from controller.openflow.channel import AT_A_TIME
from controller.rules import RestoreConnection
from controller.switch import Switch
from offload.conntrack import FlowTuple, TrackedPacket
from offload.flower import CtState

_BATCH = max(AT_A_TIME)  # packet-ins that are handled at a time where many wait
_ESTABLISHED = CtState.TRK | CtState.EST


@dataclass(slots=True)
class Handling:
    """What was done with that which the switch had to tell, beside reading it."""

    batches: int = 0
    cpu_s: float = 0.0

    def timed(
        self, deliver: Callable[[list[bytes]], None]
    ) -> Callable[[list[bytes]], None]:
        """Have each batch of messages counted and timed."""

        def take(said: list[bytes]) -> None:
            began_s = time.process_time()
            deliver(said)
            self.cpu_s += time.process_time() - began_s
            self.batches += 1

        return take


def extend(server: ControlServer) -> None:
    """Add the operations."""
    handling = Handling()

    def time_handling(request: dict[str, Any]) -> dict[str, Any]:
        """Time from here on what is done with that which a switch tells."""
        told = server.switch(request).datapath.socket
        told.deliver = handling.timed(told.deliver)
        return {"ok": True}

    def track(request: dict[str, Any]) -> dict[str, Any]:
        _track(server.switch(request), _flows(request))
        return {"ok": True}

    def offload(request: dict[str, Any]) -> dict[str, Any]:
        switch, flows = server.switch(request), list(_flows(request))
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        _offload(switch, flows)
        switch.barrier()
        return {
            "wall_s": time.monotonic() - began_s,
            "cpu_s": time.process_time() - began_cpu_s,
        }

    def compare(request: dict[str, Any]) -> dict[str, Any]:
        """Have done what would come up at some time: connections here have no copies."""
        switch = server.switch(request)
        server.driver.lost[switch].compare(switch)
        return {"ok": True}

    def barriers(request: dict[str, Any]) -> dict[str, Any]:
        switch, took_s = server.switch(request), []
        ends_s = time.monotonic() + request["seconds"]
        while time.monotonic() < ends_s:
            began_s = time.monotonic()
            switch.barrier()
            took_s.append(time.monotonic() - began_s)
            eventlet.sleep(request["every_s"])
        return {"took_s": took_s}

    server.operations |= {
        "bench_track": track,
        "bench_offload": offload,
        "bench_compare": compare,
        "bench_barriers": barriers,
        "bench_time_handling": time_handling,
        "bench_cpu": lambda request: {
            "cpu_s": time.process_time(),
            "handled_s": handling.cpu_s,
            "batches": handling.batches,
        },
    }


def _flows(request: dict[str, Any]) -> Iterator[FlowTuple]:
    here, there = (End(b"", bytes.fromhex(end)) for end in request["ends"])
    return connections(
        here, there, request["proto"], request["count"], request.get("first", 0)
    )


def _track(switch: Switch, flows: Iterator[FlowTuple]) -> None:
    """Make connections in the switch's conntrack, as after a restart."""
    while batch := list(islice(flows, _BATCH)):
        switch.hypervisor.outbox.extend(
            RestoreConnection(0, 0, 0, flow, flow.inverted()) for flow in batch
        )
        switch.flush()
    switch.barrier()


def _offload(switch: Switch, flows: list[FlowTuple]) -> None:
    """Offer connections to act_ct as their copies would, a batch at a time."""
    packet = switch.hypervisor.packet
    for at in range(0, len(flows), _BATCH):
        for flow in flows[at : at + _BATCH]:
            packet(TrackedPacket(0, _ESTABLISHED, 0, 0, flow, flow), time.monotonic())
        switch.flush()


if __name__ == "__main__":
    sys.exit(main(extend))
