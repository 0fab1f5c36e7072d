"""``tc chain``, ``tc qdisc`` and the blocks that devices share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller import commands
from controller.commands.answer import Answer
from tests.unit.connections import TCP
from tests.unit.controller.bed import PORTS, REP0, REP1, VXLAN, Bed, of_connection

AT = f"dev {REP0} ingress"
TO_1 = f"action mirred egress redirect dev {REP1}"


def kernel(words: str) -> Answer:
    text = f"Error: {words}.\nWe have an error talking to the kernel\n"
    return Answer(2, stderr=text)


def test_chains_come_and_go() -> None:
    bed = Bed()
    bed.add(f"chain add {AT} chain 5", f"chain add {AT}")
    assert bed.tc(f"chain show {AT}").stdout == (
        "chain parent ffff: chain 5 \nchain parent ffff: chain 0 \n"
    )
    assert bed.tc(f"-j chain show {AT} chain 5").stdout == '[{"parent":"ffff:"}]\n'
    assert bed.tc(f"chain get {AT} chain 5").stdout == "chain parent ffff: chain 5 \n"
    assert bed.tc(f"chain add {AT} chain 5") == kernel("Filter chain already exists")
    bed.add(f"chain del {AT} chain 5")
    assert bed.tc(f"chain del {AT} chain 5") == kernel(
        "Cannot find specified filter chain"
    )
    assert bed.tc(f"chain get {AT} chain 5") == kernel(
        "Cannot find specified filter chain"
    )


def test_a_chain_is_deleted_with_its_filters() -> None:
    bed = Bed()
    bed.add(f"filter add {AT} chain 7 proto ip flower {TO_1}")
    bed.add(f"filter add {AT} chain 8 proto ip flower action goto chain 7")
    bed.add(f"chain del {AT} chain 7")
    assert len(bed.hypervisor.filters) == 1
    assert "chain 7" not in bed.tc(f"chain show {AT}").stdout


def test_chains_are_of_a_hook() -> None:
    bed = Bed()
    bed.add(f"chain add {AT} chain 2", f"chain add dev {REP0} egress chain 3")
    assert bed.tc(f"chain show dev {REP0}") == Answer()
    assert bed.tc(f"chain show {AT}").stdout == "chain parent ffff: chain 2 \n"
    egress = bed.tc(f"chain show dev {REP0} egress").stdout
    assert egress == "chain parent ffff: chain 3 \n"
    assert bed.tc(f"chain add {AT} chain 3 flower dst_ip 0.0.0.0/32") == kernel(
        "chain template: not supported by the testbed"
    )
    assert bed.tc("chain show block 9") == Answer(1, stderr='Cannot find block "9"\n')


def qdiscs(bed: Bed, options: str = "") -> str:
    answer = bed.tc(f"{options} qdisc show dev {REP0}")
    assert answer.beside_system
    return answer.stdout


def test_a_device_has_a_hook_from_the_start() -> None:
    bed = Bed()
    assert qdiscs(bed) == "qdisc clsact ffff: parent ffff:fff1 \n"
    assert json.loads(qdiscs(bed, "-s -j")) == [
        {
            "kind": "clsact",
            "handle": "ffff:",
            "parent": "ffff:fff1",
            "options": {},
            **dict.fromkeys(("bytes", "packets", "drops", "overlimits"), 0),
            **dict.fromkeys(("requeues", "backlog", "qlen"), 0),
        }
    ]
    everywhere = bed.tc("qdisc show").stdout
    assert everywhere.count("clsact ffff: dev ") == 3


def test_adding_a_hook_takes_it_over() -> None:
    bed = Bed()
    bed.add(f"filter add {AT} proto ip flower {TO_1}")
    assert bed.tc(f"qdisc add dev {REP0} ingress") == Answer()
    assert qdiscs(bed) == "qdisc ingress ffff: parent ffff:fff1 ---------------- \n"
    assert bed.send(of_connection(TCP)).ports == [PORTS[REP1]]
    assert bed.tc(f"qdisc add dev {REP0} ingress") == Answer(
        2, stderr="Error: Exclusivity flag on, cannot modify.\n"
    )
    assert bed.tc(f"qdisc replace dev {REP0} ingress") == Answer()
    assert bed.tc(f"qdisc replace dev {REP0} clsact") == Answer(
        2, stderr="Error: Invalid qdisc name.\n"
    )


def test_without_a_hook_there_are_no_filters() -> None:
    bed = Bed()
    bed.add(f"filter add {AT} proto ip flower {TO_1}", f"chain add {AT} chain 5")
    assert bed.tc(f"qdisc del dev {REP0} clsact") == Answer()
    assert not bed.rules_of_filters()
    gone = kernel("Parent Qdisc doesn't exists")
    assert bed.tc(f"filter add {AT} proto ip flower {TO_1}") == gone
    assert bed.tc(f"filter del {AT}") == gone
    assert bed.tc(f"chain add {AT} chain 5") == gone
    assert bed.tc(f"filter show {AT}") == bed.tc(f"chain show {AT}") == Answer()
    assert qdiscs(bed) == ""
    assert bed.tc(f"qdisc del dev {REP0} clsact") == Answer(
        2, stderr="Error: Invalid handle.\n"
    )
    assert bed.tc(f"qdisc add dev {REP0} clsact") == Answer()
    bed.add(f"filter add {AT} proto ip flower {TO_1}")


def test_another_qdisc_of_the_device_is_the_systems() -> None:
    bed = Bed()
    line = ["tc", "qdisc", "add", "dev", REP0, "root", "tbf"]
    assert commands.run(bed.hypervisor, bed.switch, line, None, 0.0) is None


def shared(bed: Bed) -> None:
    bed.add(f"qdisc add dev {REP0} ingress_block 7 clsact")
    bed.add(f"qdisc add dev {VXLAN} ingress_block 7 clsact")


def of_block(bed: Bed, words: str = "") -> list[dict[str, Any]]:
    found = json.loads(bed.tc(f"-s -j filter show {words or 'block 7'}").stdout)
    return [each for each in found if "options" in each]


def test_a_filter_of_a_block_is_for_all_its_devices() -> None:
    bed = Bed()
    shared(bed)
    bed.add(f"filter add block 7 proto ip flower {TO_1}")
    for device in (REP0, VXLAN):
        packet = of_connection(TCP) | {"in_port": PORTS[device]}
        assert bed.send(packet).ports == [PORTS[REP1]]
    [filter_] = of_block(bed)
    assert filter_["options"]["in_hw_count"] == 2
    [action] = filter_["options"]["actions"]
    assert (action["bind"], action["stats"]["packets"]) == (1, 2)
    [at_device] = of_block(bed, AT)
    assert at_device["block"] == 7
    bed.add("filter del block 7")
    assert not bed.rules_of_filters() and not of_block(bed)


def test_a_block_is_edited_as_a_block() -> None:
    bed = Bed()
    shared(bed)
    bed.add(f"filter add block 7 prio 1 proto ip handle 1 flower {TO_1}")
    is_shared = kernel(
        "This filter block is shared. Please use the block index to manipulate the filters"
    )
    assert bed.tc(f"filter add {AT} proto ip flower {TO_1}") == is_shared
    assert bed.tc(f"filter del {AT}") == is_shared
    assert bed.tc(f"chain add {AT}") == is_shared
    bed.add("filter replace block 7 prio 1 proto ip handle 1 flower action drop")
    assert bed.send(of_connection(TCP)).ports == []
    get = "filter get block 7 ingress prio 1 proto ip handle 1 flower"
    assert bed.tc(get).stdout.startswith("filter protocol ip pref 1 flower chain 0 ")
    bed.add("chain add block 7 chain 5")
    assert bed.tc("chain show block 7").stdout == "chain chain 0 \nchain chain 5 \n"
    bed.add("chain del block 7 chain 5", "chain del block 7")
    assert not of_block(bed)


def test_a_device_that_joins_does_what_the_block_does() -> None:
    bed = Bed()
    bed.add(f"qdisc add dev {REP0} ingress_block 7 clsact", "chain add block 7 chain 5")
    bed.add(f"filter add block 7 proto ip flower {TO_1}")
    bed.add(f"qdisc add dev {VXLAN} ingress_block 7 ingress")
    packet = of_connection(TCP) | {"in_port": PORTS[VXLAN]}
    assert bed.send(packet).ports == [PORTS[REP1]]
    bed.add(f"qdisc del dev {REP0} clsact")
    assert bed.send(packet).ports == [PORTS[REP1]]
    assert len(of_block(bed)) == 1
    bed.add(f"qdisc del dev {VXLAN} ingress")
    assert bed.tc("filter show block 7") == Answer(1, stderr='Cannot find block "7"\n')
    assert bed.tc("filter add block 7 flower") == kernel(
        "Block of given index was not found"
    )
    assert not bed.rules_of_filters()
    assert not list(bed.hypervisor.filters.classifier.actions)


def test_what_a_device_counted_stays_when_it_leaves_the_block() -> None:
    """And what all of them counted stays with an action that outlives the filter."""
    bed = Bed()
    shared(bed)
    bed.add("actions add action gact pass index 3")
    bed.add("filter add block 7 prio 1 proto ip handle 1 flower action gact index 3")

    def packets() -> int:
        text = bed.tc("-s -j actions get action gact index 3").stdout
        return int(json.loads(text)[1]["actions"][0]["stats"]["packets"])

    for device in (REP0, VXLAN):
        bed.send(of_connection(TCP) | {"in_port": PORTS[device]})
    again = "filter replace block 7 prio 1 proto ip handle 1 flower action gact index 3"
    bed.add(again)
    assert packets() == 2
    bed.send(of_connection(TCP) | {"in_port": PORTS[REP0]})
    bed.add(f"qdisc del dev {REP0} clsact")
    assert packets() == 3
    bed.add(f"qdisc add dev {REP0} ingress_block 7 clsact")
    bed.send(of_connection(TCP) | {"in_port": PORTS[REP0]})
    bed.add("filter del block 7")
    assert packets() == 4


def test_a_filter_that_one_device_cannot_have_is_at_none() -> None:
    bed = Bed()
    shared(bed)
    before = bed.everything()
    answer = bed.tc(
        "filter add block 7 proto ip flower skip_sw"
        " action tunnel_key unset pipe action goto chain 3"
    )
    assert answer.code == 2
    assert bed.everything() == before


def test_what_cannot_share_a_block() -> None:
    bed = Bed()
    bed.add(f"filter add {AT} proto ip flower {TO_1}")
    answer = bed.tc(f"qdisc add dev {REP0} ingress_block 7 clsact")
    assert answer == Answer(
        2,
        stderr=f"Error: ingress_block 7: {REP0} has filters; delete them first.\n",
    )
    answer = bed.tc(f"qdisc add dev {REP1} egress_block 7 clsact")
    assert answer.stderr.startswith("Error: egress_block: the testbed shares")


@pytest.mark.parametrize("line", ["filter show", "chain show"])
def test_egress_shows_nothing(line: str) -> None:
    assert Bed().tc(f"{line} dev {REP0} egress") == Answer()
