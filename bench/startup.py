"""From nothing to filters in hardware: two hypervisors, and sixteen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mininet.topo import Topo

import topologies
from bench.figure import Figure, Plot, check
from topologies.hypervisor import Hypervisor
from topologies.nodes import VirtualMachine
from topologies.parts import VM_MTU
from topologies.two_hypervisors import TwoHypervisors
from topologies.underlay import Underlay, UplinkIntf

_MANY = 16
_TARGETS_S = {2: 3.0, _MANY: 20.0}

_FILTERS = """\
filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower ct_state -trk \
action ct pipe action goto chain 2
filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower ct_state +trk+new \
action ct commit pipe action tunnel_key set src_ip 0.0.0.0 dst_ip {peer} id 98 dst_port 4789 \
action mirred egress redirect dev vxlan0
filter add dev ens1f0_0 ingress prio 1 chain 2 proto ip flower ct_state +trk+est \
action tunnel_key set src_ip 0.0.0.0 dst_ip {peer} id 98 dst_port 4789 \
action mirred egress redirect dev vxlan0
filter add dev vxlan0 ingress prio 1 chain 0 proto ip flower enc_key_id 98 ct_state -trk \
action ct pipe action goto chain 2
filter add dev vxlan0 ingress prio 1 chain 2 proto ip flower enc_key_id 98 ct_state +trk+est \
action tunnel_key unset pipe action mirred egress redirect dev ens1f0_0
"""


class Ring(Topo):
    """Hypervisors with a virtual machine each, whose tunnel leads to the next one's."""

    def build(self, count: int, folder: Path) -> None:
        """Describe the network; ``folder`` is for the filter files."""
        self.addSwitch("underlay", cls=Underlay)
        for number in range(1, count + 1):
            name, vm = f"hv{number}", f"vm{number}"
            filters = folder / f"{name}.tc"
            filters.write_text(_FILTERS.format(peer=f"7.7.7.{number % count + 1}"))
            self.addSwitch(
                name,
                cls=Hypervisor,
                tunnel_ip=f"7.7.7.{number}/24",
                tunnel_mac=f"24:8a:07:a5:2f:{number:02x}",
                filters=filters,
            )
            self.addLink(
                name,
                "underlay",
                intfName1="ens1f0",
                intfName2=f"to-{name}",
                intf=UplinkIntf,
            )
            self.addHost(
                vm,
                cls=VirtualMachine,
                ip=f"10.0.0.{number}/24",
                ip6=f"fd00::{number:x}/64",
                mtu=VM_MTU,
            )
            self.addLink(vm, name, intfName1="eth0", intfName2="ens1f0_0")


def measure(quick: bool) -> Iterator[Figure | Plot]:
    """Start both networks once each; two hypervisors a few times."""
    rounds = 1 if quick else 3
    with TemporaryDirectory() as folder:
        yield _figure(min(_start(TwoHypervisors(), 2) for _ in range(rounds)), 2)
        yield _figure(_start(Ring(_MANY, Path(folder)), _MANY), _MANY)


def _figure(took_s: float, count: int) -> Figure:
    target_s = _TARGETS_S[count]
    return Figure(
        f"start-up of {count} hypervisors, until filters are in hardware",
        took_s,
        "s",
        target=f"<= {target_s:.0f} s",
        met=took_s <= target_s,
    )


def _start(topo: Topo, count: int) -> float:
    began_s = time.monotonic()
    with topologies.running(topo) as net:
        took_s = time.monotonic() - began_s
        for number in range(1, count + 1):
            shown = net[f"hv{number}"].must(
                "tc", "-j", "filter", "show", "dev", "ens1f0_0", "ingress"
            )
            options = [
                each["options"] for each in json.loads(shown) if "options" in each
            ]
            check(
                any(each.get("in_hw") for each in options),
                f"hv{number} has no filter in hardware",
            )
    return took_s
