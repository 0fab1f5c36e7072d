"""Three hypervisors of the same ports and addresses: one for each mode of the card."""

from __future__ import annotations

from enum import Enum
from typing import Any

from mininet.node import Host
from mininet.topo import Topo

from topologies.hypervisor import Hypervisor
from topologies.nodes import RunNode

WIRES = ("ens1f0_0", "ens1f0_1", "ens1f0_2")
UPLINK = "ens1f0"
TUNNEL = "vxlan0"
TUNNEL_ADDRESS = "7.7.7.7/24"
UPLINK_MAC = "02:00:00:00:07:07"


class Mode(Enum):
    """What the card does with filters and connections; nobody may see it in a frame."""

    ON = "hv1"  # takes what it can
    OFF = "hv2"  # takes nothing: hw-tc-offload is off
    REFUSING = "hv3"  # takes what it can, but now and then refuses


class FarEnd(RunNode, Host):
    """Where the wires of a hypervisor end: a namespace that says nothing by itself."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.write_sysctls(
            ("ipv6/conf/all/disable_ipv6", 1), ("ipv6/conf/default/disable_ipv6", 1)
        )

    def config(self, **_params: Any) -> dict[str, Any]:
        """Bring the wires up; none has an address."""
        lines = [f"link set {name} up arp off" for name in self.intfNames()]
        self.must("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
        for name in self.intfNames():
            self.must("ethtool", "-K", name, "tx", "off")
        return {}


class Nic(Hypervisor):
    """A hypervisor whose peers are the neighbours of the case."""

    def configure_switch(self) -> None:
        """Do as every hypervisor, with nobody in reach."""
        self.peers = ()
        super().configure_switch()


class ThreeNics(Topo):
    """hv1, hv2, hv3, each with its far end."""

    def build(self) -> None:
        """Describe the network."""
        for mode in Mode:
            self._add(mode.value)

    def _add(self, name: str) -> None:
        far = far_of(name)
        self.addSwitch(name, cls=Nic, tunnel_ip=TUNNEL_ADDRESS, tunnel_mac=UPLINK_MAC)
        self.addHost(far, cls=FarEnd)
        for wire in (*WIRES, UPLINK):
            self.addLink(far, name, intfName1=wire, intfName2=wire)


def far_of(name: str) -> str:
    """Return the name of a hypervisor's far end."""
    return name.replace("hv", "far")
