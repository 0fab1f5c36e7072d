"""The leaf-spine's description: its shape follows two numbers, and so do its filters."""

import pytest

from topologies.errors import BadOption
from topologies.leaf_spine import LeafSpine


def test_shape() -> None:
    topo = LeafSpine(hypervisors=5, vms=3)
    assert len(topo.hosts()) == 15
    names = ["leaf1", "leaf2", "leaf3", "spine"]
    assert [each for each in topo.switches() if "hv" not in each] == names
    assert {("hv4", "leaf2"), ("hv5", "leaf3")} <= set(topo.links())
    assert topo.nodeInfo("hv5")["tunnel_ip"] == "7.7.7.11/24"
    assert topo.nodeInfo("vm5_3")["ip"] == "10.0.5.3/16"


def test_filters() -> None:
    text = LeafSpine(hypervisors=3, vms=2).nodeInfo("hv2")["filters"]
    assert "$" not in text
    for device in ("ens1f0_0", "ens1f0_1", "vxlan0"):
        assert f"dev {device} ingress" in text
    assert "ens1f0_2" not in text and "7.7.7.10" not in text
    for line in text.splitlines():
        device = line.partition("filter add dev ")[2].partition(" ")[0]
        assert not device or f"{device} pipe" not in line
        assert not device or line.count(f"dev {device}") == 1, "nothing goes back"


@pytest.mark.parametrize(
    ("hypervisors", "vms", "said"),
    [
        (1, 2, "1 hypervisors: from 2 to 15, please"),
        (16, 2, "16 hypervisors: from 2 to 15, please"),
        (2, 0, "0 machines a hypervisor: from 1 to 16, please"),
        (15, 8, "15 x 8 is too large: a broadcast is one filter of 35 actions"),
    ],
)
def test_too_many(hypervisors: int, vms: int, said: str) -> None:
    with pytest.raises(BadOption) as refused:
        LeafSpine(hypervisors=hypervisors, vms=vms)
    assert said in str(refused.value)
