"""What topologies are put together of: a hypervisor at its underlay, a machine at its hypervisor.

vm1's eth0 --- ens1f0_0  hv1  ens1f0 --- to-hv1  underlay
"""

from __future__ import annotations

from pathlib import Path

from mininet.topo import Topo

from topologies.hypervisor import Hypervisor
from topologies.nodes import Gateway, VirtualMachine
from topologies.placement import Place
from topologies.underlay import UplinkIntf

VM_MTU = 1450
"""1500 on the underlay, less 50 bytes of VXLAN over IPv4."""


def add_hypervisor(
    topo: Topo,
    name: str,
    number: int,
    filters: Path | str,
    *,
    underlay: str = "underlay",
    place: Place | None = None,
) -> None:
    """Add hypervisor ``number``: 7.7.7.6 + number, linked to a switch unless it has a place."""
    topo.addSwitch(
        name,
        cls=Hypervisor,
        dpid=f"{number:x}",
        tunnel_ip=f"7.7.7.{6 + number}/24",
        tunnel_mac=f"24:8a:07:a5:2f:{number:02x}",
        filters=filters,
        place=place,
    )
    if place is None:
        topo.addLink(
            name,
            underlay,
            intfName1="ens1f0",
            intfName2=f"to-{name}",
            intf=UplinkIntf,
            params1={"delays": True},
        )


def add_vm(
    topo: Topo,
    name: str,
    hypervisor: str,
    representor: str,
    mac: str,
    ip: str,
    ip6: str,
    *,
    gateway: Gateway | None = None,
    place: Place | None = None,
) -> None:
    """Add a virtual machine whose ``eth0`` is a representor of its hypervisor."""
    topo.addHost(
        name,
        cls=VirtualMachine,
        ip=ip,
        ip6=ip6,
        mtu=VM_MTU,
        gateway=gateway,
        server=place.server if place else "",
    )
    topo.addLink(name, hypervisor, intfName1="eth0", intfName2=representor, addr1=mac)
