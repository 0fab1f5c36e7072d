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

import sys

from mininet.topo import Topo

from topologies import FILTERS, parts
from topologies import placement as placements
from topologies import prompt
from topologies.driver import Driver
from topologies.placement import Placement
from topologies.underlay import Underlay


class TwoHypervisors(Topo):
    """hv1 with vm1 and vm2, hv2 with vm3 and vm4."""

    def build(self, placement: Placement | None = None) -> None:
        """Describe the network, here or spread over machines; nothing is made yet."""
        placed = placement or {}
        placements.check(placed, ("hv1", "hv2"))
        if not placed:
            self.addSwitch("underlay", cls=Underlay)
        for number, name in enumerate(("hv1", "hv2"), start=1):
            filters = FILTERS / f"two_hypervisors.{name}.tc"
            parts.add_hypervisor(self, name, number, filters, place=placed.get(name))
        for number, hypervisor, representor in (
            (1, "hv1", "ens1f0_0"),
            (2, "hv1", "ens1f0_1"),
            (3, "hv2", "ens1f0_0"),
            (4, "hv2", "ens1f0_1"),
        ):
            parts.add_vm(
                self,
                f"vm{number}",
                hypervisor,
                representor,
                mac=f"24:8a:07:a5:28:0{number}",
                ip=f"10.0.0.{number}/24",
                ip6=f"fd00::{number}/64",
                place=placed.get(hypervisor),
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


def main() -> int:
    """Open a prompt on the network; returns the exit code."""
    parser = prompt.parser(
        "topologies.two_hypervisors",
        "Two hypervisors with connection-tracking offload",
    )
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar=placements.FORM,
        help="put a hypervisor on a machine: SERVER is what ssh calls it (without: this one),"
        " INTERFACE the one of it that the tunnels use",
    )
    return prompt.run(
        parser,
        lambda told: TwoHypervisors(placement=placements.from_words(told.place)),
        BANNER,
    )


if __name__ == "__main__":
    sys.exit(main())
