"""Patch 1's API with callbacks beside the driver's, on real packets: see ``observing``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.state import DEADLINE_S, entries, offloaded, status, until
from tests.e2e.typed import add
from tests.e2e.vm1_vm2 import HV1, est_filter, exchange, flags, talk, udp, zone_filters
from tests.e2e.wire import Port, all_ports
from topologies import control
from topologies.driver import Driver
from topologies.errors import ControlFailed
from topologies.testbed import Testbed

ZONE = 7
IN_HARDWARE = "ens1f0_1 chain 71 proto ip flower dst_ip 10.9.9.9 action ct zone 7 pipe action drop"


@pytest.fixture
def observed(
    fresh_net: Callable[..., Testbed], monkeypatch: pytest.MonkeyPatch
) -> Testbed:
    """A network whose controller lets others register."""
    monkeypatch.setattr(Driver, "module", "tests.e2e.observing")
    return fresh_net()


@pytest.fixture
def their_ports(observed: Testbed) -> Iterator[dict[str, Port]]:
    """The interfaces of its virtual machines."""
    with all_ports(observed) as opened:
        yield opened


def both(command: str, *ports: int) -> list[str]:
    """A command for both directions of each entry."""
    ways = "ORIGINAL", "REPLY"
    return [f"{command} {way} {port}" for port in ports for way in ways]


def test_01_callbacks_beside_the_drivers(
    observed: Testbed, their_ports: dict[str, Port]
) -> None:
    """Late, twice, several, one that raises, and no longer."""
    net = observed

    def ask(op: str, name: str, **request: Any) -> dict[str, Any]:
        question = {"op": op, "hypervisor": "hv1", "zone": ZONE, "name": name}
        socket = net.run_.control_socket
        return control.ask(socket, {**question, **request}, DEADLINE_S)

    def told(name: str) -> list[str]:
        return list(ask("events", name)["events"])

    software = [
        line.replace("flower", "flower skip_hw") for line in zone_filters(ZONE, 70)
    ]
    add(net["hv1"], *software, est_filter(70, "skip_hw"))
    first, second, third = (udp(their_ports, sport) for sport in (4001, 4002, 4003))
    talk(first)
    until(lambda: status(net, "hv1")["entries"] == 1, "an entry in software")

    ask("register", "late")
    assert told("late") == both("REPLACE", 4001), "the entry there is, and no packet"
    with pytest.raises(ControlFailed, match="callback registered twice"):
        ask("register", "late")
    assert told("late") == [], "nothing is told twice"

    ask("register", "broken", fails=True)
    add(net["hv1"], IN_HARDWARE)
    assert len(entries(net["hv1"], "hw_ct")) == 2, "the driver, behind one that raises"
    talk(second)
    offloaded(net, 2, HV1)
    for name in ("late", "broken"):
        assert set(both("REPLACE", 4002)) <= set(told(name)), name
    assert len(entries(net["hv1"], "hw_ct")) == 4

    ask("unregister", "late")
    assert told("late") == both("DESTROY", 4001, 4002), "what it had is taken from it"
    talk(third)
    offloaded(net, 3, HV1)
    assert told("late") == [], "and it is told of nothing after"
    assert flags(net["hv1"], ZONE) == ["HW_OFFLOAD"] * 3
    for each in (first, second, third):
        exchange(each)
    net["hv1"].must("conntrack", "-F")
    assert entries(net["hv1"], "hw_ct") == [], "one that raises keeps nothing alive"
    assert set(both("DESTROY", 4001, 4002, 4003)) <= set(told("broken"))
