"""Two hypervisors, two virtual machines on each, VXLAN between them.

     vm1          vm2                        vm3          vm4
      | eth0       | eth0                     | eth0       | eth0
      |            |                          |            |
   ens1f0_0    ens1f0_1                    ens1f0_0    ens1f0_1
    +-+------------+-+                      +-+------------+-+
    |      hv1       |                      |      hv2       |
    +----- ens1f0 ---+ 7.7.7.7              +----- ens1f0 ---+ 7.7.7.8
              |                                      |
              +-------------- underlay --------------+

VM number n is 24:8a:07:a5:28:0n, 10.0.0.n/24 and fd00::n/64. The filters that
connect all four are files to read: ``topologies/filters/two_hypervisors.*.tc``.

With a placement (``topologies.placement``) each hypervisor lives on a machine of its own.

    sudo .venv/bin/python -m topologies.two_hypervisors --help
    sudo .venv/bin/python $(command -v mn) --custom topologies/two_hypervisors.py \\
        --topo two_hypervisors --controller ct_offload

``mn`` executes this file by itself, with no name and no place of its own.
"""

from __future__ import annotations

import argparse
import sys

from mininet.cli import CLI
from mininet.topo import Topo

from topologies import FILTERS
from topologies import placement as placements
from topologies.driver import Driver
from topologies.errors import TopologyError
from topologies.hypervisor import Hypervisor
from topologies.nodes import VirtualMachine
from topologies.options import add_arguments, from_arguments
from topologies.placement import Placement
from topologies.testbed import running_with
from topologies.underlay import Underlay, UplinkIntf

VM_MTU = 1450
"""1500 on the underlay, less 50 bytes of VXLAN over IPv4."""


class TwoHypervisors(Topo):
    """hv1 with vm1 and vm2, hv2 with vm3 and vm4."""

    def build(self, placement: Placement | None = None) -> None:
        """Describe the network, here or spread over machines; nothing is made yet."""
        self.placement = placement or {}
        placements.check(self.placement, ("hv1", "hv2"))
        if not self.placement:
            self.addSwitch("underlay", cls=Underlay)
        self._add_hypervisor(1, "7.7.7.7/24")
        self._add_hypervisor(2, "7.7.7.8/24")
        for number, (hypervisor, representor) in enumerate(
            [
                ("hv1", "ens1f0_0"),
                ("hv1", "ens1f0_1"),
                ("hv2", "ens1f0_0"),
                ("hv2", "ens1f0_1"),
            ],
            start=1,
        ):
            self._add_vm(number, hypervisor, representor)

    def _add_hypervisor(self, number: int, tunnel_ip: str) -> None:
        name = f"hv{number}"
        self.addSwitch(
            name,
            cls=Hypervisor,
            tunnel_ip=tunnel_ip,
            tunnel_mac=f"24:8a:07:a5:2f:0{number}",
            filters=FILTERS / f"two_hypervisors.{name}.tc",
            place=self.placement.get(name),
        )
        if not self.placement:
            self.addLink(
                name,
                "underlay",
                intfName1="ens1f0",
                intfName2=f"to-{name}",
                intf=UplinkIntf,
                params1={"delays": True},
            )

    def _add_vm(self, number: int, hypervisor: str, representor: str) -> None:
        mac = f"24:8a:07:a5:28:0{number}"
        place = self.placement.get(hypervisor)
        self.addHost(
            f"vm{number}",
            cls=VirtualMachine,
            ip=f"10.0.0.{number}/24",
            ip6=f"fd00::{number}/64",
            mtu=VM_MTU,
            server=place.server if place else "",
        )
        self.addLink(
            f"vm{number}",
            hypervisor,
            intfName1="eth0",
            intfName2=representor,
            addr1=mac,
        )


# What mn looks for in a file given by --custom.
topos = {"two_hypervisors": TwoHypervisors}
controllers = {"ct_offload": Driver}


BANNER = """\
   vm1 10.0.0.1   vm2 10.0.0.2          vm3 10.0.0.3   vm4 10.0.0.4
      |              |                     |              |
   ens1f0_0       ens1f0_1              ens1f0_0       ens1f0_1
   +------- hv1 ---------+              +------- hv2 ---------+
   ens1f0 7.7.7.7, vxlan0 --- VNI 98 --- ens1f0 7.7.7.8, vxlan0

{filters}
Try:  vm1 ping -c 2 vm3
      hv1 tc -s filter show dev ens1f0_0 ingress
      hv1 conntrack -L
      hv1 ovs-ofctl -O OpenFlow13 --names dump-flows br-int
"""
WITH_FILTERS = """\
Filters are loaded (topologies/filters/); prio 1 is free for yours.
"""
WITHOUT_FILTERS = "No filters are loaded: every packet goes to the stack.\n"


class Prompt(CLI):
    """Mininet's prompt; commands from a pipe do not go into the user's history file."""

    @classmethod
    def initReadline(cls) -> None:
        """Read and keep a history where somebody is typing."""
        if sys.stdin.isatty():
            super().initReadline()


def main() -> int:
    """Open a prompt on the network; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m topologies.two_hypervisors",
        description="Two hypervisors with connection-tracking offload, and a prompt on them.",
        epilog="At the prompt: hv1 tc -s filter show dev ens1f0_0 ingress; vm1 ping -c 1 vm3; exit",
    )
    add_arguments(parser)
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar=placements.FORM,
        help="put a hypervisor on a machine: SERVER is what ssh calls it (without: this one),"
        " INTERFACE the one of it that the tunnels use",
    )
    arguments = parser.parse_args()
    try:
        options = from_arguments(arguments)
        topo = TwoHypervisors(placement=placements.from_words(arguments.place))
        with running_with(topo, options) as net:
            told = WITH_FILTERS if options.filters else WITHOUT_FILTERS
            print(BANNER.format(filters=told))
            Prompt(net)
    except TopologyError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
