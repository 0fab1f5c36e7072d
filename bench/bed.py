"""The network that benchmarks run on: two hypervisors, with a controller to be timed.

vm1 --ens1f0_0-- hv1 --ens1f0_1-- vm2        most run here: one switch
                  |
                vxlan0 ... hv2 ... vm3        where the tunnel matters
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import topologies
from bench.figure import Failed, check
from bench.frames import End
from bench.openflow import OpenFlow
from bench.wire import Port
from controller.rules import Table
from topologies import control
from topologies.driver import Driver
from topologies.two_hypervisors import TwoHypervisors

DRIVER = "bench.driver"
PEER = "bench.straightforward"
_ANSWER_S = 300.0
_NOBODYS = bytes((10, 0, 9))
_POLL_S = (0.01, 0.2)  # at first, and when it takes long: each look costs the switch


class Bed:
    """A running network and its controller."""

    def __init__(self, net: Any) -> None:
        self.net = net
        self.controller = psutil.Process(net.controllers[0].process.pid)

    def __getitem__(self, name: str) -> Any:
        return self.net[name]

    def ask(self, op: str, hypervisor: str = "hv1", **request: Any) -> dict[str, Any]:
        """Ask the controller."""
        question = {"op": op, "hypervisor": hypervisor, **request}
        return control.ask(self.net.run_.control_socket, question, _ANSWER_S)

    def switch(self, hypervisor: str = "hv1") -> psutil.Process:
        """The process of a hypervisor's ovs-vswitchd."""
        return psutil.Process(self.net[hypervisor].ovs.pid)

    def hardware(self, hypervisor: str = "hv1") -> Hardware:
        """A look at a hypervisor's hardware tables, while there is no connection."""
        return Hardware(Path(self.net[hypervisor].ovs.directory))

    def end(self, name: str) -> End:
        """A virtual machine as frames name it.

        Its address is nobody's, or the machine itself would answer: with a reset, or
        with "port unreachable".
        """
        node = self.net[name]
        mac = bytes.fromhex(node.defaultIntf().MAC().replace(":", ""))
        return End(mac, _NOBODYS + mac[-1:])

    def port(self, name: str) -> Port:
        """A virtual machine's interface."""
        return Port(self.net[name])


class Hardware(OpenFlow):
    """Counts what connections add to the tables there were when it was opened."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._before = {table: self.rules(table) for table in Table}

    @property
    def tuples(self) -> int:
        """Directions in hardware."""
        return self._more(Table.HW_CT) + self._more(Table.HW_CT_NAT)

    @property
    def ages(self) -> int:
        """Connections whose silence is watched in hardware."""
        return self._more(Table.CT_AGE)

    def _more(self, table: Table) -> int:
        return self.rules(table) - self._before[table]

    def wait_for(self, connections: int, timeout_s: float = 60.0) -> None:
        """Return when so many connections are in, both directions.  Raises Failed."""
        until(
            lambda: (self.tuples, self.ages) == (2 * connections, connections),
            f"{connections} connections in hardware",
            timeout_s,
        )

    def check(self, connections: int) -> None:
        """Raise Failed unless so many connections are in, both directions."""
        tuples, ages = self.tuples, self.ages
        check(
            (tuples, ages) == (2 * connections, connections),
            f"{tuples} tuples and {ages} ages, not of {connections} connections",
        )


@contextmanager
def bed(controller: str = DRIVER, **options: Any) -> Iterator[Bed]:
    """Run two hypervisors, under a controller that can be timed."""
    usual, Driver.module = Driver.module, controller
    try:
        with topologies.running(
            TwoHypervisors(), **{"filters": controller == DRIVER, **options}
        ) as net:
            yield Bed(net)
    finally:
        Driver.module = usual


def until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Return when the condition holds.  Raises Failed at the deadline."""
    began_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began_s
        if waited_s > timeout_s:
            raise Failed(f"{what}: not within {timeout_s:g} s")
        shortest_s, longest_s = _POLL_S
        time.sleep(min(max(shortest_s, waited_s / 10), longest_s))


__all__ = ["DRIVER", "PEER", "Bed", "bed", "check", "until"]
