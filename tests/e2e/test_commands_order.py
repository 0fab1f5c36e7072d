"""Which filter takes a packet: the lowest prio, and in it the mask that was first.

Source: net/sched/cls_api.c:tcf_classify, net/sched/cls_flower.c:fl_mask_lookup
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.e2e.command_line import (
    CHAIN,
    FINE,
    filter_add,
    flush,
    rule_lines,
    shown,
    typed,
)
from tests.e2e.state import until
from tests.e2e.wire import Port
from topologies.testbed import Testbed

FILTERS = 500
TO_CHAIN = filter_add(f"ip_proto udp dst_port 9 action goto chain {CHAIN}").replace(
    f"chain {CHAIN} prio", "chain 0 prio"
)
ANY_UDP = "ip_proto udp action drop"
ONE_PORT = "ip_proto udp dst_port 9 action drop"


@pytest.fixture
def hv1(net: Testbed) -> Iterator[Any]:
    """vm1's datagrams to port 9 come to the tests' own chain; ``net`` undoes that."""
    assert typed(net["hv1"], TO_CHAIN) == FINE
    yield net["hv1"]
    flush(net["hv1"])


def taken_by(hypervisor: Any, port: Port) -> tuple[int, int]:
    """Send a datagram; the prio and handle of the filter that took it."""
    before = _counts(hypervisor)
    frame = Ether(src=port.mac, dst="24:8a:07:a5:28:03") / IP(
        src="10.0.0.1", dst="10.0.0.3"
    )
    port.send(frame / UDP(sport=9, dport=9))

    def took() -> list[tuple[int, int]]:
        now = _counts(hypervisor)
        return [name for name, count in now.items() if count == before[name] + 1]

    [winner] = until(took, "a filter that took the datagram")
    return winner


def _counts(hypervisor: Any) -> dict[tuple[int, int], int]:
    return {
        (each["pref"], each["options"]["handle"]): each["options"]["actions"][0][
            "stats"
        ]["packets"]
        for each in shown(hypervisor)
    }


@pytest.mark.parametrize("flag", ["", "skip_hw ", "skip_sw "])
def test_the_lower_prio_wins(hv1: Any, ports: dict[str, Port], flag: str) -> None:
    typed(hv1, filter_add(flag + ANY_UDP, prio=5))
    typed(hv1, filter_add(flag + ONE_PORT, prio=7))
    assert taken_by(hv1, ports["vm1"]) == (5, 1)
    typed(hv1, filter_add(flag + ONE_PORT, prio=3))
    assert taken_by(hv1, ports["vm1"]) == (3, 1)


@pytest.mark.parametrize("flag", ["", "skip_hw "])
@pytest.mark.parametrize("order", [(ANY_UDP, ONE_PORT), (ONE_PORT, ANY_UDP)])
def test_in_a_prio_the_first_mask_wins(
    hv1: Any, ports: dict[str, Port], order: tuple[str, str], flag: str
) -> None:
    """Not the longest: seen in the kernel (kernel-observed.md, 6)."""
    for words in order:
        assert typed(hv1, filter_add(flag + words)) == FINE
    assert taken_by(hv1, ports["vm1"]) == (1, 1)
    # A mask nobody has any more is first-seen again when it comes back: last.
    typed(
        hv1, f"tc filter del dev ens1f0_0 ingress chain {CHAIN} prio 1 handle 1 flower"
    )
    typed(hv1, filter_add(flag + order[0]))
    assert taken_by(hv1, ports["vm1"]) == (1, 2)


def test_a_filter_of_software_alone_keeps_its_place(
    hv1: Any, ports: dict[str, Port]
) -> None:
    """Hardware has the other one, and must not overtake."""
    typed(hv1, filter_add(f"skip_hw {ANY_UDP}", prio=3))
    typed(hv1, filter_add(ANY_UDP, prio=5))
    assert taken_by(hv1, ports["vm1"]) == (3, 1)


def test_as_filters_go_the_next_one_takes_over(
    hv1: Any, ports: dict[str, Port]
) -> None:
    prios = random.Random(1).sample(range(1, 65536), 6)
    for prio in prios:
        assert typed(hv1, filter_add(ANY_UDP, prio=prio)) == FINE
    for prio in sorted(prios):
        assert taken_by(hv1, ports["vm1"]) == (prio, 1)
        place = f"dev ens1f0_0 ingress chain {CHAIN} prio {prio}"
        assert typed(hv1, f"tc filter del {place}") == FINE


def test_many_prios_in_any_order(hv1: Any, ports: dict[str, Port]) -> None:
    """Rules in the switch have tc's order in both halves; so have packets."""
    prios = random.Random(2).sample(range(1, 65536), FILTERS)
    adds = [
        filter_add(f"ip_proto udp dst_port {prio} action drop", prio=prio)
        for prio in prios
    ]
    batch = "\n".join(line.removeprefix("tc ") for line in adds)
    assert typed(hv1, "tc -batch -", batch) == FINE
    assert [each["pref"] for each in shown(hv1)] == sorted(prios)
    for table in ("hw_chain", "sw_chain"):
        assert in_order_of_precedence(hv1, table, set(prios)) == sorted(prios)
    median = sorted(prios)[FILTERS // 2] + 1
    for prio in (median, max(prios) + 1, min(prios) - 1):
        typed(hv1, filter_add(ANY_UDP, prio=prio))
        lowest = min(prio, median)
        assert taken_by(hv1, ports["vm1"]) == (lowest, 1)


def in_order_of_precedence(hypervisor: Any, table: str, ports: set[int]) -> list[int]:
    """The ports that a table's rules match, from the highest priority to the lowest."""
    pattern = re.compile(rf'table="?{table}"?, .*?priority=(\d+),.*tp_dst=(\d+) ')
    found = [pattern.search(line) for line in rule_lines(hypervisor)]
    ranked = [(-int(each[1]), int(each[2])) for each in found if each]
    return [port for _, port in sorted(ranked) if port in ports]
