"""tc filter add, show and del at a hypervisor: what they do, say and exit with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.command_line import (
    CHAIN,
    FINE,
    Said,
    filter_add,
    flush,
    refused,
    rules,
    shown,
    system_says,
    typed,
    unchanged,
)
from topologies.testbed import Testbed

PLACE = f"dev ens1f0_0 ingress chain {CHAIN}"
NOT_THERE = refused("Filter with specified priority/protocol not found")


@pytest.fixture
def hv1(module_net: Testbed) -> Iterator[Any]:
    yield module_net["hv1"]
    flush(module_net["hv1"])


def test_added_is_shown_and_deleted_is_gone(hv1: Any) -> None:
    before = rules(hv1)
    with unchanged(hv1):
        assert typed(hv1, filter_add("dst_ip 10.9.0.1 action drop")) == FINE
        [one] = shown(hv1)
        assert one["options"]["keys"] == {"eth_type": "ipv4", "dst_ip": "10.9.0.1"}
        assert one["options"]["in_hw"] and one["options"]["in_hw_count"] == 1
        assert len(rules(hv1) - before) >= 2, "one in each half"
        assert typed(hv1, f"tc filter del {PLACE} prio 1") == FINE
        assert not shown(hv1)


def test_text_is_tcs(hv1: Any) -> None:
    typed(hv1, filter_add("dst_ip 10.9.0.1 ct_state +trk+est action goto chain 9"))
    said = typed(hv1, f"tc filter show {PLACE}")
    lines = said.stdout.splitlines()
    assert lines[:6] == [
        "filter protocol ip pref 1 flower ",
        "filter protocol ip pref 1 flower handle 0x1 ",
        "  eth_type ipv4",
        "  dst_ip 10.9.0.1",
        "  ct_state +trk+est",
        "  in_hw in_hw_count 1",
    ]
    assert lines[6] == "\taction order 1: gact action goto chain 9"
    assert "Action statistics" not in said.stdout
    assert "Sent 0 bytes 0 pkt" in typed(hv1, f"tc -s filter show {PLACE}").stdout


def test_handles_count_up_in_a_prio(hv1: Any) -> None:
    for last in (1, 2, 3):
        typed(hv1, filter_add(f"dst_ip 10.9.0.{last} action drop"))
    typed(hv1, filter_add("dst_ip 10.9.0.4 action drop", prio=2))
    found = [(each["pref"], each["options"]["handle"]) for each in shown(hv1)]
    assert found == [(1, 1), (1, 2), (1, 3), (2, 1)]


def test_a_handle_can_be_chosen(hv1: Any) -> None:
    add = f"tc filter add {PLACE} prio 1 handle 0x20 proto ip flower"
    assert typed(hv1, f"{add} dst_ip 10.9.0.1 action drop") == FINE
    assert shown(hv1)[0]["options"]["handle"] == 0x20
    with unchanged(hv1):
        said = typed(hv1, f"{add} dst_ip 10.9.0.2 action drop")
    assert said == refused("Filter already exists")


def test_a_prio_is_chosen_as_the_kernel_does(hv1: Any) -> None:
    """From 0xc000 downwards, whatever prios users have given.

    Source: net/sched/cls_api.c:tcf_chain_tp_find, tcf_auto_prio
    """
    typed(hv1, filter_add("dst_ip 10.9.0.1 action drop", prio=7))
    add = f"tc filter add {PLACE} proto ip flower"
    for last in (2, 3):
        assert typed(hv1, f"{add} dst_ip 10.9.0.{last} action drop") == FINE
    assert [each["pref"] for each in shown(hv1)] == [7, 49151, 49152]


def test_the_same_filter_twice(hv1: Any) -> None:
    add = filter_add("dst_ip 10.9.0.1 action drop")
    assert typed(hv1, add) == FINE
    with unchanged(hv1):
        assert typed(hv1, add) == refused(errno="File exists")


def test_another_protocol_in_the_same_prio(hv1: Any) -> None:
    typed(hv1, filter_add("dst_ip 10.9.0.1 action drop"))
    with unchanged(hv1):
        said = typed(hv1, filter_add("action drop", protocol="arp"))
    assert said.code == 2 and said.stderr.endswith("talking to the kernel\n")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("prio 99", NOT_THERE),
        ("prio 1 protocol ipv6", NOT_THERE),
        ("prio 1 handle 9 flower", refused("Specified filter handle not found")),
        (
            "protocol ip",
            refused("Cannot flush filters with protocol, handle or kind set"),
        ),
    ],
)
def test_deleting_what_is_not_there(hv1: Any, words: str, answer: Said) -> None:
    typed(hv1, filter_add("dst_ip 10.9.0.1 action drop"))
    with unchanged(hv1):
        assert typed(hv1, f"tc filter del {PLACE} {words}") == answer


def test_deleting_in_a_chain_that_is_not_there(hv1: Any) -> None:
    with unchanged(hv1):
        said = typed(hv1, "tc filter del dev ens1f0_0 ingress chain 99 prio 3")
    assert said == refused("Cannot find specified filter chain")


def test_one_of_two_is_deleted_by_its_handle(hv1: Any) -> None:
    for last in (1, 2):
        typed(hv1, filter_add(f"dst_ip 10.9.0.{last} action drop"))
    assert typed(hv1, f"tc filter del {PLACE} prio 1 handle 1 flower") == FINE
    assert [each["options"]["handle"] for each in shown(hv1)] == [2]


def test_a_chain_is_deleted_as_a_whole_and_alone(hv1: Any) -> None:
    with unchanged(hv1):
        for prio in (1, 2, 3):
            typed(hv1, filter_add("dst_ip 10.9.0.1 action drop", prio=prio))
        assert typed(hv1, f"tc filter del {PLACE}") == FINE
        assert not shown(hv1)


def test_all_can_be_deleted(net: Testbed) -> None:
    """On hv2, whose filters come back from their file."""
    hv2 = net["hv2"]
    for device in ("ens1f0_0", "ens1f0_1", "vxlan0"):
        for chain in (0, 2, 6):
            line = f"tc filter del dev {device} ingress chain {chain}"
            assert typed(hv2, line) == FINE
    assert typed(hv2, "tc filter show dev ens1f0_0 ingress") == FINE
    assert typed(net["vm3"], "ping -c 1 -W 1 10.0.0.4").code == 1
    assert typed(hv2, f"tc -batch {hv2.filters}") == FINE
    assert typed(net["vm3"], "ping -c 1 -W 5 10.0.0.4").code == 0


def test_json_is_json(hv1: Any) -> None:
    typed(hv1, filter_add("dst_ip 10.9.0.1 ct_state +trk+est action goto chain 9"))
    flat = typed(hv1, f"tc -s -j filter show {PLACE}").stdout
    assert flat.count("\n") == 1
    assert json.loads(typed(hv1, f"tc -s -j -p filter show {PLACE}").stdout)
    [action] = shown(hv1)[0]["options"]["actions"]
    assert action["control_action"] == {"type": "goto", "chain": 9}
    assert action["stats"]["packets"] == action["stats"]["bytes"] == 0


def test_show_takes_one_prio_or_protocol(hv1: Any) -> None:
    typed(hv1, filter_add("dst_ip 10.9.0.1 action drop", prio=1))
    typed(hv1, filter_add("ip_proto udp action drop", protocol="ipv6", prio=2))
    for words, types in (
        ("", ["ipv4", "ipv6"]),
        ("prio 2", ["ipv6"]),
        ("protocol ip", ["ipv4"]),
        ("prio 1 protocol ipv6", []),
    ):
        keys = [each["options"]["keys"] for each in shown(hv1, words=words)]
        assert [each["eth_type"] for each in keys] == types


def test_qdiscs_are_the_systems_and_the_testbeds(hv1: Any) -> None:
    """Devices have a clsact from the start; the tunnel is no device of the system."""
    clsact = "qdisc clsact ffff: parent ffff:fff1 \n"
    system = system_says(hv1, "tc qdisc show dev ens1f0_0").stdout
    said = typed(hv1, "tc qdisc show dev ens1f0_0")
    assert said == Said(0, system + clsact, "")
    assert typed(hv1, "tc qdisc show dev vxlan0") == Said(0, clsact, "")
    both = json.loads(typed(hv1, "tc -j qdisc show dev ens1f0_0").stdout)
    assert [each["kind"] for each in both] == ["noqueue", "clsact"]


@pytest.mark.parametrize(
    "line",
    [
        "tc filter add dev nosuch ingress prio 1 proto ip flower action drop",
        "tc filter show dev nosuch ingress",
        "tc filtre show dev ens1f0_0 ingress",
        "tc -V",
        "tc qdisc show dev ens1f0_0 root",
    ],
)
def test_what_is_not_the_testbeds_is_the_systems(hv1: Any, line: str) -> None:
    assert typed(hv1, line) == system_says(hv1, line)
