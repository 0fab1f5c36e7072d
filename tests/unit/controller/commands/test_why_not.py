"""why-not: one line for what is not in hardware, with the rule that decided."""

from __future__ import annotations

import json

import pytest

from offload.conntrack import TCP_SYN
from offload.profile import MLX5_6_1
from tests.unit.connections import NEW, TCP, UDP, flow_tuple, tracked
from tests.unit.controller.bed import LETTER, WAY_BACK, Bed
from tests.unit.controller.ovs_lines import ICMP_LINE, NAT_LINE, SCTP_LINE, TCP_LINE

TCP_HERE = NAT_LINE.replace("dst=7.7.7.7", "dst=10.0.0.1").replace("61000", "40000")
UDP_HERE = (
    "udp,orig=(src=10.0.0.1,dst=10.0.0.3,sport=40000,dport=53),"
    "reply=(src=10.0.0.3,dst=10.0.0.1,sport=53,dport=40000),id=0,status=0,timeout=30"
)
NAMED = "tcp src=10.0.0.1 dst=10.0.0.3 sport=40000 dport=80 zone=0"


def bed(*lines: str) -> Bed:
    made = Bed()
    made.add(*LETTER, *WAY_BACK)
    made.switch.dump = "\n".join(lines)
    return made


def why(made: Bed) -> str:
    """The reason of the only connection."""
    [line] = made.run("why-not connections").stdout.splitlines()
    return line.partition(": ")[2]


def told(line: str, number: int) -> str:
    return f"{line},labels={number << 126:#x}"


def test_a_filter_says_which_rule_refused_it() -> None:
    lines = bed().run("why-not filters").stdout.splitlines()
    assert lines[:2] == [
        "filter dev ens1f0_0 chain 0 pref 1 handle 0x1: in hardware",
        "filter dev ens1f0_0 chain 2 pref 1 handle 0x1:"
        " matching on ct_state +new isn't supported",
    ]


def test_only_what_is_not_in_hardware_unless_asked() -> None:
    made = bed(TCP_HERE, ICMP_LINE)
    made.hypervisor.packet(tracked(TCP), 0.0)
    lines = made.run("why-not").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["filter", "icmp"]
    assert f"{NAMED}: in hardware" in made.run("why-not connections").stdout


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (ICMP_LINE, "icmp is never offloaded: the flow table takes tcp and udp"),
        (
            SCTP_LINE,
            "protocol 132 is never offloaded: the flow table takes tcp and udp",
        ),
        (TCP_LINE, "zone 5 has no ct action"),
        (TCP_LINE.replace("zone=5,", ""), "tcp connection is closing: FIN_WAIT_2"),
        (
            TCP_HERE.replace("ESTABLISHED", "SYN_SENT"),
            "tcp handshake not finished yet: SYN_SENT",
        ),
        (told(TCP_HERE, 2), "not assured yet: its next packet offers it"),
        (told(TCP_HERE, 3), "tcp connection is closing: ESTABLISHED"),
        (told(TCP_HERE, 1), "act_ct is being told of it"),
        (UDP_HERE, "not established yet, or no packet of it came since"),
    ],
)
def test_a_connection_without_an_entry(line: str, reason: str) -> None:
    assert why(bed(line)) == reason


def test_what_act_ct_said_is_remembered() -> None:
    made = bed(UDP_HERE)
    made.hypervisor.packet(tracked(UDP, state=NEW), 0.0)
    assert why(made) == "not established yet"


def test_an_entry_that_found_no_room() -> None:
    made = bed(TCP_HERE)
    made.hypervisor.card.set("ct_rules", 0)
    made.hypervisor.packet(tracked(TCP), 0.0)
    assert why(made) == "no room: all 0 ct_rules are in use"
    made.run("ethtool -K ens1f0 hw-tc-offload off")
    assert why(made) == "no filter with this zone is in hardware"


def test_one_that_aged() -> None:
    made = bed(TCP_HERE)
    made.hypervisor.packet(tracked(TCP), 0.0)
    made.deliver()
    made.age_out(made.entries()[0])
    assert why(made) == "it was silent for its timeout: its next packet offers it"


def test_one_way_in_hardware() -> None:
    made = Bed(profile=MLX5_6_1)
    made.add(*LETTER)
    made.switch.dump = UDP_HERE
    made.hypervisor.packet(tracked(UDP), 0.0)
    assert why(made) == "its replies are not: not assured yet"


def test_reasons_are_counted() -> None:
    made = bed()
    for port in range(3):
        packet = tracked(flow_tuple(sport=port), tcp_flags=TCP_SYN)
        made.hypervisor.packet(packet, 0.0)
    made.hypervisor.card.set("ct_rules", 0)
    made.hypervisor.packet(tracked(TCP), 0.0)
    assert made.run("why-not reasons").stdout.splitlines() == [
        "       3 tcp handshake not finished yet",
        "       1 no room: all 0 ct_rules are in use",
        "       1 matching on ct_state +new isn't supported",
    ]
    counted = json.loads(made.run("why-not -j reasons").stdout)
    assert counted["tcp handshake not finished yet"] == 3


def test_json() -> None:
    listed = json.loads(bed(ICMP_LINE).run("why-not -j").stdout)
    assert [each["in_hw"] for each in listed] == [False, False]
    assert listed[1]["why"].startswith("icmp is never offloaded")


def test_nonsense() -> None:
    answer = bed().run("why-not flters")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("usage: why-not")
