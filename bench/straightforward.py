"""``python -m bench.straightforward``: the peer app, in the place of the controller.

It says yes to what topologies ask, and has the operations that bench/driver.py has.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench.frames import End, connections

from controller.openflow import ryu_compat  # isort: skip (before eventlet)
import eventlet

from controller.control import ControlServer

_POLL_S = 0.0005
_READY_S = 10.0


def main() -> int:
    """Serve until SIGTERM."""
    directory = Path(sys.argv[sys.argv.index("--run-dir") + 1])
    logging.basicConfig(level=logging.WARNING)
    ryu_compat.end_on_signals(signal.SIGTERM, signal.SIGINT)
    openflow = str(directory / "openflow.sock")
    apps = ryu_compat.start_app("bench.straightforward_app", openflow)
    app = apps["Straightforward"]
    server = ControlServer(app, str(directory / "control.sock"))
    server.operations = _operations(app)
    server.serve_forever()
    return 0


def _operations(app: Any) -> dict[str, Any]:
    dpids: dict[str, int] = {}

    def attach(request: dict[str, Any]) -> dict[str, Any]:
        dpids[request["hypervisor"]] = int(request["dpid"], 16)
        return {"ok": True}

    def wait_ready(request: dict[str, Any]) -> dict[str, Any]:
        with eventlet.Timeout(_READY_S):
            while dpids[request["hypervisor"]] not in app.datapaths:
                eventlet.sleep(_POLL_S)
        return {"ok": True}

    def offload(request: dict[str, Any]) -> dict[str, Any]:
        datapath = app.datapaths[dpids[request["hypervisor"]]]
        here, there = (End(b"", bytes.fromhex(end)) for end in request["ends"])
        flows = [
            (_text(flow.src), _text(flow.dst), *flow[2:])
            for flow in connections(here, there, request["proto"], request["count"])
        ]
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        for flow in flows:
            app.offload(datapath, flow)
        answered = app.barriers
        app.send_barrier(datapath)
        while app.barriers == answered:
            eventlet.sleep(_POLL_S)
        return {
            "wall_s": time.monotonic() - began_s,
            "cpu_s": time.process_time() - began_cpu_s,
        }

    return {
        "attach": attach,
        "wait_ready": wait_ready,
        "exec": lambda request: {"system": True},
        "bench_offload": offload,
    }


def _text(address: bytes) -> str:
    return ".".join(map(str, address))


if __name__ == "__main__":
    sys.exit(main())
