"""A case: a testbed of ports and filters, and what is done to it step by step.

A case says nothing of who carries it out. The real kernel does it in a virtual machine
(`tests.kernel.oracle`), the testbed does it on Open vSwitch; both return an `Outcome`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PortKind(Enum):
    """What a port is made of."""

    WIRE = "wire"  # frames are sent into it and taken from it
    TUNNEL = "tunnel"  # an external VXLAN device, carried by a wire with an address


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A fixed neighbour entry: no case may depend on ARP."""

    address: str
    mac: str


@dataclass(frozen=True, slots=True)
class Port:
    """A device with a clsact qdisc, named as in the testbed (ens1f0_0, vxlan0).

    A wire that has an address ("7.7.7.7/24") is an underlay; its peers are in `neighbours`.
    """

    name: str
    kind: PortKind = PortKind.WIRE
    mac: str | None = None
    address: str | None = None
    neighbours: tuple[Neighbour, ...] = ()
    mtu: int = 1500
    udp_port: int = 4789


@dataclass(frozen=True, slots=True)
class Send:
    """One frame arrives at a port."""

    port: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is sent for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Command:
    """A command typed meanwhile: `conntrack -D ...`, `tc filter del ...`."""

    command: str


Step = Send | Wait | Command


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting of the case's own network namespace, `net.netfilter.nf_conntrack_acct`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is set up, in this order: ports, sysctls, commands; and then the steps."""

    name: str
    ports: tuple[Port, ...]
    commands: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    sysctls: tuple[Sysctl, ...] = (Sysctl("net.netfilter.nf_conntrack_acct", "1"),)
