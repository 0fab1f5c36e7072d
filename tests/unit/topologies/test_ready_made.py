"""What all ready-made topologies have in common: they are described, and their files are there."""

import importlib
from pathlib import Path

import pytest

from topologies import FILTERS
from topologies.hypervisor import Hypervisor

NAMES = ["leaf_spine", "nat_gateway", "two_hypervisors", "two_zones"]


@pytest.mark.parametrize("name", NAMES)
def test_a_topology(name: str) -> None:
    module = importlib.import_module(f"topologies.{name}")
    [(given, described)] = module.topos.items()
    assert given == name and list(module.controllers) == ["ct_offload"]
    topo = described()
    hypervisors = [
        topo.nodeInfo(each)
        for each in topo.switches()
        if topo.nodeInfo(each)["cls"] is Hypervisor
    ]
    assert len(hypervisors) >= 2
    for field in ("dpid", "tunnel_ip", "tunnel_mac"):
        assert len({each[field] for each in hypervisors}) == len(hypervisors)
    for each in hypervisors:
        filters = each["filters"]
        text = filters.read_text() if isinstance(filters, Path) else filters
        assert "ingress prio 1 " not in text, "that is the user's"
    assert "{filters}" in module.BANNER


def test_no_file_is_left_over() -> None:
    assert {path.name.partition(".")[0] for path in FILTERS.glob("*.tc")} == {*NAMES}
