"""The description of the two hypervisors: names, addresses and links."""

from topologies.hypervisor import Hypervisor
from topologies.nodes import VirtualMachine
from topologies.two_hypervisors import TwoHypervisors, controllers, topos


def test_nodes() -> None:
    topo = TwoHypervisors()
    assert topo.hosts() == ["vm1", "vm2", "vm3", "vm4"]
    assert topo.switches() == ["hv1", "hv2", "underlay"]
    assert topo.nodeInfo("hv1")["cls"] is Hypervisor
    assert topo.nodeInfo("hv2")["tunnel_ip"] == "7.7.7.8/24"


def test_addresses_of_a_vm() -> None:
    info = TwoHypervisors().nodeInfo("vm3")
    assert info["cls"] is VirtualMachine
    assert (info["ip"], info["ip6"], info["mtu"]) == ("10.0.0.3/24", "fd00::3/64", 1450)


def test_each_vm_has_its_representor() -> None:
    ends = {
        info["node1"]: (
            info["node2"],
            info["intfName2"],
            info["addr1"],
            info["intfName1"],
        )
        for _node1, _node2, info in TwoHypervisors().links(withInfo=True)
        if info["node1"].startswith("vm")
    }
    assert ends == {
        "vm1": ("hv1", "ens1f0_0", "24:8a:07:a5:28:01", "eth0"),
        "vm2": ("hv1", "ens1f0_1", "24:8a:07:a5:28:02", "eth0"),
        "vm3": ("hv2", "ens1f0_0", "24:8a:07:a5:28:03", "eth0"),
        "vm4": ("hv2", "ens1f0_1", "24:8a:07:a5:28:04", "eth0"),
    }


def test_uplinks_end_at_the_underlay() -> None:
    links = [
        (info["node1"], info["intfName1"], info["node2"])
        for _node1, _node2, info in TwoHypervisors().links(withInfo=True)
        if "underlay" in (info["node1"], info["node2"])
    ]
    assert sorted(links) == [
        ("hv1", "ens1f0", "underlay"),
        ("hv2", "ens1f0", "underlay"),
    ]


def test_filters_are_there_to_read() -> None:
    topo = TwoHypervisors()
    for name in ("hv1", "hv2"):
        assert topo.nodeInfo(name)["filters"].is_file()


def test_names_for_mn() -> None:
    assert topos == {"two_hypervisors": TwoHypervisors}
    assert list(controllers) == ["ct_offload"]
