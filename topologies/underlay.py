"""The network between hypervisors: a switch, and links as slow as asked for."""

from __future__ import annotations

from typing import Any

from mininet.link import TCIntf
from mininet.node import Switch

from topologies import requirements
from topologies.errors import TopologyError
from topologies.nodes import RunNode
from topologies.run import Run

_BRIDGE = "br0"
# How long a packet may wait for its turn; Mininet's own choice is ten packets.
_QUEUE_MS = 50.0


class Underlay(RunNode, Switch):
    """A learning switch: the kernel's bridge, in a namespace of its own."""

    def __init__(self, name: str, run: Run | None = None, **params: Any) -> None:
        # Mininet names a datapath after a number in the node's name; this has neither.
        super().__init__(name, run=run, **{**params, "inNamespace": True, "dpid": "0"})
        self.write_sysctls(
            ("ipv6/conf/all/disable_ipv6", 1), ("ipv6/conf/default/disable_ipv6", 1)
        )

    def start(self, _controllers: list[Any]) -> None:
        """Join all interfaces in one bridge."""
        lines = [f"link add {_BRIDGE} type bridge stp_state 0 mcast_snooping 0"]
        lines += [f"link set {name} master {_BRIDGE} up" for name in self.intfNames()]
        lines += [f"link set {_BRIDGE} up"]
        self.must("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def stop(self, deleteIntfs: bool = True) -> None:
        """Do nothing: bridge and interfaces end with the namespace."""


class UplinkIntf(TCIntf):
    """An end of a hypervisor's uplink, with the run's bandwidth and delay.

    The rate holds at both ends, for each direction. The delay is the hypervisor's
    end alone: a packet passes one such end on its way to another hypervisor.
    """

    def config(self, delays: bool = False, **params: Any) -> Any:
        """Configure as Mininet's TCIntf does, and raise if tc refuses."""
        options = self.node.run.options
        delay = f"{options.delay_ms:g}ms" if delays and options.delay_ms else None
        rate = {"bw": options.bandwidth_mbps, "use_tbf": True, "latency_ms": _QUEUE_MS}
        result = super().config(**rate, delay=delay, **params)
        if refused := "".join((result or {}).get("tcoutputs", ())).strip():
            raise TopologyError(
                f"{self.node.name}: tc cannot shape {self.name}: {refused}"
            )
        return result

    def shape_again(self) -> None:
        """Put the limits back, after Open vSwitch has put a qdisc of its own there."""
        self.config(**self.params)

    def tc(self, cmd: str, tc: str = "") -> Any:
        """Run the system's tc: on a hypervisor, the one on PATH is the testbed's."""
        return super().tc(cmd, tc=tc or requirements.find("tc") or "tc")
