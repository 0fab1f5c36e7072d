"""A NAT gateway: private machines behind one hypervisor, the outside behind another.

    vm1 10.0.0.1   vm2 10.0.0.2              outside 203.0.113.9
      |              |                           |
    ens1f0_0       ens1f0_1                    ens1f0_0
    +------- hv1 ---------+                   +-- gateway --+  10.0.0.254 inside
    ens1f0 7.7.7.7, vxlan0 ---- VNI 98 ----- ens1f0 7.7.7.8   203.0.113.1 outside

hv1 tracks in zone 0 what its machines say; the gateway translates in zone 1: what goes
out gets the address 203.0.113.1, and port 8080 of that is vm2's port 80. The gateway is
filters alone (``topologies/filters/nat_gateway.*.tc``): nobody answers ARP or ping
for its two addresses, and the machines are told its MAC address, 24:8a:07:a5:2e:fe.

    sudo .venv/bin/python -m topologies.nat_gateway
"""

from __future__ import annotations

import sys

from mininet.topo import Topo

from topologies import FILTERS, parts, prompt
from topologies.driver import Driver
from topologies.nodes import Gateway
from topologies.underlay import Underlay

GATEWAY_MAC = "24:8a:07:a5:2e:fe"
INSIDE, OUTSIDE = "10.0.0.254", "203.0.113.1"


class NatGateway(Topo):
    """hv1 with vm1 and vm2, gateway with outside."""

    def build(self) -> None:
        """Describe the network; nothing is made yet."""
        self.addSwitch("underlay", cls=Underlay)
        for number, name in enumerate(("hv1", "gateway"), start=1):
            filters = FILTERS / f"nat_gateway.{name}.tc"
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
                gateway=Gateway(INSIDE, GATEWAY_MAC),
            )
        parts.add_vm(
            self,
            "outside",
            "gateway",
            "ens1f0_0",
            mac="24:8a:07:a5:28:09",
            ip="203.0.113.9/24",
            ip6="fd01::9/64",
            gateway=Gateway(OUTSIDE, GATEWAY_MAC),
        )


# What mn looks for in a file given by --custom.
topos = {"nat_gateway": NatGateway}
controllers = {"ct_offload": Driver}

BANNER = """\
   vm1 10.0.0.1   vm2 10.0.0.2              outside 203.0.113.9
   +------- hv1 ---------+ --- VNI 98 --- +-- gateway --+ 203.0.113.1

{filters}
Try:  vm1 ping -c 2 203.0.113.9
      gateway conntrack -L
      gateway tc -s filter show dev vxlan0 ingress
"""


def main() -> int:
    """Open a prompt on the network; returns the exit code."""
    parser = prompt.parser(
        "topologies.nat_gateway", "Two machines behind a NAT gateway"
    )
    return prompt.run(parser, lambda _: NatGateway(), BANNER)


if __name__ == "__main__":
    sys.exit(main())
