"""Two zones: what tenants do among themselves, and what they do in public.

    vm1 10.0.0.1   vm2 10.0.0.2              public 198.51.100.9
      |              |                           |
    ens1f0_0       ens1f0_1                    ens1f0_0
    +------- hv1 ---------+                   +--- hv2 ----+
    | zone 10, the tenant's: who may speak    | no zone,   |
    | zone 20, public: as 192.0.2.1 and 2     | no filter  |
    +---------------------+                   | with ct    |
    ens1f0 7.7.7.7, vxlan0 ---- VNI 98 ----- ens1f0 7.7.7.8

vm1's connection to vm2 is one connection, in zone 10. One to public is two, tracked in
zone 10 as vm1's and in zone 20 as 192.0.2.1's; hardware does both, one behind the other.
What public begins is dropped. Filters: ``topologies/filters/two_zones.*.tc``.

    sudo .venv/bin/python -m topologies.two_zones
"""

from __future__ import annotations

import sys

from mininet.topo import Topo

from topologies import FILTERS, parts, prompt
from topologies.driver import Driver
from topologies.nodes import Gateway
from topologies.underlay import Underlay

ROUTER_MAC = "24:8a:07:a5:2e:fe"


class TwoZones(Topo):
    """hv1 with the tenants vm1 and vm2, hv2 with public."""

    def build(self) -> None:
        """Describe the network; nothing is made yet."""
        self.addSwitch("underlay", cls=Underlay)
        for number, name in enumerate(("hv1", "hv2"), start=1):
            filters = FILTERS / f"two_zones.{name}.tc"
            parts.add_hypervisor(self, name, number, filters)
        for number in (1, 2):
            parts.add_vm(
                self,
                f"vm{number}",
                "hv1",
                f"ens1f0_{number - 1}",
                mac=f"24:8a:07:a5:28:0{number}",
                ip=f"10.0.0.{number}/24",
                ip6=f"fd00::{number}/64",
                gateway=Gateway("10.0.0.254", ROUTER_MAC),
            )
        parts.add_vm(
            self,
            "public",
            "hv2",
            "ens1f0_0",
            mac="24:8a:07:a5:28:09",
            ip="198.51.100.9/24",
            ip6="fd01::9/64",
            gateway=Gateway("198.51.100.254", ROUTER_MAC),
        )


# What mn looks for in a file given by --custom.
topos = {"two_zones": TwoZones}
controllers = {"ct_offload": Driver}

BANNER = """\
   vm1 10.0.0.1   vm2 10.0.0.2              public 198.51.100.9
   +------- hv1 ---------+ --- VNI 98 --- +--- hv2 ----+
   zone 10 (tenant), zone 20 (public, as 192.0.2.1 and 192.0.2.2)

{filters}
Try:  vm1 ping -c 2 vm2
      vm1 ping -c 2 198.51.100.9
      hv1 conntrack -L
"""


def main() -> int:
    """Open a prompt on the network; returns the exit code."""
    parser = prompt.parser(
        "topologies.two_zones", "Tenants with a zone of theirs and a public one"
    )
    return prompt.run(parser, lambda _: TwoZones(), BANNER)


if __name__ == "__main__":
    sys.exit(main())
