"""Which machine a hypervisor lives on: the words for it, and what a topology makes of them."""

import pytest

from topologies import placement
from topologies.errors import BadOption
from topologies.hypervisor import Hypervisor
from topologies.placement import Place
from topologies.two_hypervisors import TwoHypervisors

HERE = Place(underlay="eth1")
THERE = Place(server="root@192.168.57.12", underlay="eth2")


def test_words() -> None:
    words = ["hv1=%eth1", "hv2=root@192.168.57.12%eth2"]
    assert placement.from_words(words) == {"hv1": HERE, "hv2": THERE}


def test_an_ipv6_server_with_a_zone() -> None:
    assert placement.from_words(["hv2=fe80::2%eth0%eth1"]) == {
        "hv2": Place(server="fe80::2%eth0", underlay="eth1")
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hv1"], "--place hv1: it must be HYPERVISOR="),
        (["hv1=eth1"], "it must be HYPERVISOR="),
        (["=%eth1"], "it must be HYPERVISOR="),
        (["hv1=root@x%"], "a place needs an interface"),
        (["hv1=-oProxyCommand=x%eth1"], "-oProxyCommand=x is no server"),
        (["hv1=%eth1", "hv1=%eth2"], "hv1 has a place already"),
    ],
)
def test_words_that_make_no_sense(words: list[str], said: str) -> None:
    with pytest.raises(BadOption) as refused:
        placement.from_words(words)
    assert said in str(refused.value)


def test_all_hypervisors_have_a_place_or_none() -> None:
    with pytest.raises(BadOption, match="^hv2 has no place"):
        TwoHypervisors(placement={"hv1": HERE})
    with pytest.raises(BadOption, match="^there is no hypervisor hv3: there are hv1, "):
        TwoHypervisors(placement={"hv1": HERE, "hv2": HERE, "hv3": HERE})


def test_vms_live_with_their_hypervisor_and_no_underlay_is_made() -> None:
    topo = TwoHypervisors(placement={"hv1": HERE, "hv2": THERE})
    assert topo.switches() == ["hv1", "hv2"]
    assert topo.nodeInfo("hv2")["cls"] is Hypervisor
    assert topo.nodeInfo("hv2")["place"] == THERE
    assert [topo.nodeInfo(vm)["server"] for vm in topo.hosts()] == [
        "",
        "",
        THERE.server,
        THERE.server,
    ]
    assert {link[0] for link in topo.links()} == {"vm1", "vm2", "vm3", "vm4"}
