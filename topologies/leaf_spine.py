"""A leaf-spine network: N hypervisors, M virtual machines on each, VXLAN between all.

                      spine
                 _____/   \\_____
                /               \\
             leaf1             leaf2           two hypervisors a leaf
             /   \\             /   \\
          hv1     hv2       hv3     hv4        ens1f0, 7.7.7.7 to 7.7.7.10
         /  \\    /  \\      /  \\    /  \\
     vm1_1 vm1_2 ...               vm4_2       ens1f0_0, ens1f0_1, ...

Machine m of hypervisor h is vm<h>_<m>: 24:8a:07:a6:hh:mm (in hexadecimal), 10.0.h.m/16
and fd00::h:m/64. So one filter, with a mask, finds all machines of a hypervisor. The
underlay is one Ethernet segment; a second spine would be a circle in it.

    sudo .venv/bin/python -m topologies.leaf_spine --hypervisors 8 --vms 4
    .venv/bin/python -m topologies.leaf_spine --show-filters hv1

A hypervisor's filters are put together of ``topologies/filters/leaf_spine.*.tc``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from string import Template

from mininet.topo import Topo

from topologies import FILTERS, parts, prompt
from topologies.driver import Driver
from topologies.errors import BadOption
from topologies.underlay import Underlay

_PER_LEAF = 2
_MOST_HYPERVISORS, _MOST_VMS = 15, 16
_MOST_ACTIONS = 32  # of a filter: Source: include/net/pkt_cls.h:TCA_ACT_MAX_PRIO


class LeafSpine(Topo):
    """``hypervisors`` with ``vms`` machines each; raises BadOption if that is too many."""

    def build(self, hypervisors: int = 4, vms: int = 2) -> None:
        """Describe the network; nothing is made yet."""
        self.hypervisors, self.vms = hypervisors, vms
        self._check()
        self.addSwitch("spine", cls=Underlay)
        for first in range(1, hypervisors + 1, _PER_LEAF):
            leaf = _leaf(first)
            self.addSwitch(leaf, cls=Underlay)
            self.addLink(leaf, "spine", intfName1="to-spine", intfName2=f"to-{leaf}")
        for number in self._numbers():
            name, filters = f"hv{number}", self.filters_of(number)
            underlay = _leaf(number)
            parts.add_hypervisor(self, name, number, filters, underlay=underlay)
            for vm in range(1, vms + 1):
                parts.add_vm(
                    self,
                    f"vm{number}_{vm}",
                    name,
                    _port(vm),
                    mac=_mac(number, vm),
                    ip=f"10.0.{number}.{vm}/16",
                    ip6=f"fd00::{number}:{vm}/64",
                )

    def filters_of(self, number: int) -> str:
        """Return a hypervisor's file for ``tc -batch``."""
        return "".join(self._filters_of(number))

    def _filters_of(self, number: int) -> Iterator[str]:
        vms = range(1, self.vms + 1)
        others = [each for each in self._numbers() if each != number]
        for vm in vms:
            neighbours = [each for each in vms if each != vm]
            copies = [f"egress mirror dev {_port(each)}" for each in neighbours]
            flood = [f"action mirred {each}" for each in copies]
            flood += [_tunnel_to(each, "mirror") for each in others]
            yield _fill(
                "port", port=_port(vm), mac=_mac(number, vm), flood=_last(flood)
            )
            for each in neighbours:
                yield self._to_machine(_port(vm), "", number, each)
            for each in others:
                yield _fill(
                    "forward",
                    port=_port(vm),
                    whom=f"the machines of hv{each}",
                    match=f"dst_mac {_mac(each, 0)}/ff:ff:ff:ff:ff:00",
                    forward=_tunnel_to(each, "redirect"),
                )
        tunnel = f"enc_dst_ip {_tunnel_ip(number)} enc_key_id 98 enc_dst_port 4789"
        flood = [f"action mirred egress mirror dev {_port(each)}" for each in vms]
        yield _fill("tunnel", tunnel=tunnel, flood=_last(flood))
        for vm in vms:
            yield self._to_machine(
                "vxlan0", "action tunnel_key unset pipe ", number, vm
            )

    def _to_machine(self, port: str, first: str, number: int, vm: int) -> str:
        return _fill(
            "forward",
            port=port,
            whom=f"vm{number}_{vm}",
            match=f"dst_mac {_mac(number, vm)}",
            forward=f"{first}action mirred egress redirect dev {_port(vm)}",
        )

    def _numbers(self) -> range:
        return range(1, self.hypervisors + 1)

    def _check(self) -> None:
        if not 2 <= self.hypervisors <= _MOST_HYPERVISORS:
            raise BadOption(
                f"{self.hypervisors} hypervisors: from 2 to {_MOST_HYPERVISORS}, please"
            )
        if not 1 <= self.vms <= _MOST_VMS:
            raise BadOption(
                f"{self.vms} machines a hypervisor: from 1 to {_MOST_VMS}, please"
            )
        copies = self.vms - 1 + 2 * (self.hypervisors - 1)
        if copies > _MOST_ACTIONS:
            raise BadOption(
                f"{self.hypervisors} x {self.vms} is too large: a broadcast is one filter of"
                f" {copies} actions, and tc has {_MOST_ACTIONS}"
            )


def _leaf(hypervisor: int) -> str:
    return f"leaf{(hypervisor + _PER_LEAF - 1) // _PER_LEAF}"


def _port(vm: int) -> str:
    return f"ens1f0_{vm - 1}"


def _mac(hypervisor: int, vm: int) -> str:
    return f"24:8a:07:a6:{hypervisor:02x}:{vm:02x}"


def _tunnel_ip(hypervisor: int) -> str:
    return f"7.7.7.{6 + hypervisor}"


def _tunnel_to(hypervisor: int, how: str) -> str:
    key = f"src_ip 0.0.0.0 dst_ip {_tunnel_ip(hypervisor)} id 98 dst_port 4789"
    return f"action tunnel_key set {key} action mirred egress {how} dev vxlan0"


def _last(copies: list[str]) -> str:
    """Make the last of several copies the packet itself."""
    return " ".join([*copies[:-1], copies[-1].replace("mirror", "redirect")])


def _fill(part: str, **values: str) -> str:
    text = (FILTERS / f"leaf_spine.{part}.tc").read_text()
    return Template(text).substitute(values)


# What mn looks for in a file given by --custom.
topos = {"leaf_spine": LeafSpine}
controllers = {"ct_offload": Driver}

BANNER = """\
spine - leaf1 - hv1 7.7.7.7, hv2 7.7.7.8     vm1_1 10.0.1.1 at hv1's ens1f0_0
      - leaf2 - ...                          vm1_2 10.0.1.2 at hv1's ens1f0_1, ...

{filters}
Try:  vm1_1 ping -c 2 10.0.2.1
      hv1 conntrack -L
"""


def main() -> int:
    """Open a prompt on the network, or show a hypervisor's filters; returns the exit code."""
    parser = prompt.parser(
        "topologies.leaf_spine", "A leaf-spine network of hypervisors"
    )
    parser.add_argument("--hypervisors", type=int, default=4, metavar="N")
    parser.add_argument("--vms", type=int, default=2, metavar="M", help="on each")
    parser.add_argument(
        "--show-filters", metavar="HYPERVISOR", help="and do nothing else"
    )
    told = parser.parse_args()
    if told.show_filters:
        return _show(parser, told)
    return prompt.run(parser, _described, BANNER)


def _described(told: argparse.Namespace) -> LeafSpine:
    return LeafSpine(hypervisors=told.hypervisors, vms=told.vms)


def _show(parser: argparse.ArgumentParser, told: argparse.Namespace) -> int:
    try:
        topo = _described(told)
    except BadOption as error:
        parser.error(str(error))
    if told.show_filters not in topo.g.node or "hv" not in told.show_filters:
        parser.error(f"there is no hypervisor {told.show_filters}")
    print(topo.nodeInfo(told.show_filters)["filters"], end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
