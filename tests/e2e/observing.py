"""``python -m tests.e2e.observing``: the controller, where others register on flow tables too.

It is the driver as it is; what is added are operations on its control socket. An observer takes
every entry and keeps what it was told, or fails each time it is called.
"""

from __future__ import annotations

import sys
from typing import Any

from controller.__main__ import main
from controller.control import ControlServer
from offload.flow_table import FlowEvent, Taken


class Observer:
    """A callback as it may be registered beside the driver's."""

    def __init__(self, fails: bool) -> None:
        self._fails = fails
        self.events: list[str] = []

    def __call__(self, event: FlowEvent) -> Taken:
        """Note the command, the direction, and the client's port of the entry."""
        tuple_, direction = event.rule.match, event.rule.direction
        port = tuple_.dport if direction else tuple_.sport
        self.events.append(f"{event.command.name} {direction.name} {port}")
        if self._fails:
            raise RuntimeError("an observer that always fails")
        return Taken.NOW


def extend(server: ControlServer) -> None:
    """Add the operations."""
    observers: dict[str, Observer] = {}

    def register(request: dict[str, Any]) -> dict[str, Any]:
        name = request["name"]
        observer = observers.setdefault(name, Observer(request.get("fails", False)))
        switch = server.switch(request)
        switch.hypervisor.act_ct.register(request["zone"], observer)
        switch.flush()
        return {"ok": True}

    def unregister(request: dict[str, Any]) -> dict[str, Any]:
        switch, observer = server.switch(request), observers[request["name"]]
        switch.hypervisor.act_ct.unregister(request["zone"], observer)
        switch.flush()
        return {"ok": True}

    def events(request: dict[str, Any]) -> dict[str, Any]:
        """What an observer was told since it was last asked for."""
        observer = observers[request["name"]]
        told, observer.events = observer.events, []
        return {"events": told}

    server.operations |= {
        "register": register,
        "unregister": unregister,
        "events": events,
    }


if __name__ == "__main__":
    sys.exit(main(extend))
