"""What ``tc filter show`` and ``get`` print."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from offload.flower import ETH_P_ARP, ETH_P_IP, Match
from offload.tc import (
    ActionState,
    Counters,
    FilterAdd,
    FilterGet,
    FilterShow,
    Hook,
    Options,
    Shown,
    Times,
    answer_get,
    answer_show,
    parse,
    show,
)

FIRST = (
    "filter add dev ens1f0_0 ingress prio 1 chain 0 proto ip flower skip_sw "
    "src_mac 24:8a:07:a5:28:01 ct_state -trk action ct pipe action goto chain 2"
)

TEXT = """\
filter protocol ip pref 1 flower chain 0\x20
filter protocol ip pref 1 flower chain 0 handle 0x1\x20
  src_mac 24:8a:07:a5:28:01
  eth_type ipv4
  ct_state -trk
  skip_sw
  in_hw in_hw_count 1
\taction order 1: ct zone 0 pipe
\t index 1 ref 1 bind 1
\tused_hw_stats delayed

\taction order 2: gact action goto chain 2
\t random type none pass val 0
\t index 2 ref 1 bind 1
\tused_hw_stats delayed

"""

STATISTICS = """\
\taction order 1: ct zone 0 pipe
\t index 1 ref 1 bind 1 installed 9 sec used 2 sec firstused 8 sec
\tAction statistics:
\tSent 1000 bytes 12 pkt (dropped 3, overlimits 0 requeues 0)\x20
\tSent software 300 bytes 5 pkt
\tSent hardware 700 bytes 7 pkt
\tbacklog 0b 0p requeues 0
\tused_hw_stats delayed
"""

PRETTY = """\
[ {
        "protocol": "arp",
        "pref": 3,
        "kind": "flower",
        "chain": 0
    },{
        "protocol": "arp",
        "pref": 3,
        "kind": "flower",
        "chain": 0,
        "options": {
            "handle": 1,
            "keys": {
                "eth_type": "arp"
            },
            "not_in_hw": true
        }
    } ]
"""


def first() -> Shown:
    command = parse(FIRST.split())
    assert isinstance(command, FilterAdd)
    return Shown(
        device=command.device,
        chain=command.chain or 0,
        prio=command.prio or 0,
        protocol=command.protocol,
        handle=1,
        match=command.match,
        actions=tuple(each.action for each in command.actions),
        states=(
            ActionState(
                1,
                Counters(5, 300),
                Counters(7, 700),
                drops=3,
                times=Times(9, 2.5, 8),
                used_hw_stats=True,
            ),
            ActionState(2, Counters(5, 300), used_hw_stats=True),
        ),
        skip_sw=command.skip_sw,
        in_hw=True,
    )


def plain(
    chain: int = 0, prio: int = 3, handle: int = 1, protocol: int = ETH_P_ARP
) -> Shown:
    match = Match(protocol)
    return Shown("ens1f0_0", chain, prio, protocol, handle, match, (), ())


def test_text() -> None:
    assert show("ens1f0_0", [first()]) == TEXT


def test_statistics() -> None:
    assert STATISTICS in show("ens1f0_0", [first()], statistics=True)


def test_an_action_hardware_never_saw_has_no_halves() -> None:
    text = show("ens1f0_0", [first()], statistics=True)
    assert text.count("Sent hardware") == 1
    assert "\tSent 300 bytes 5 pkt (dropped 0," in text


def test_json_says_the_same() -> None:
    header, entry = json.loads(show("ens1f0_0", [first()], True, json=True))
    assert header == {"protocol": "ip", "pref": 1, "kind": "flower", "chain": 0}
    options = entry.pop("options")
    assert entry == header
    assert options["handle"] == 1
    assert options["keys"] == {
        "src_mac": "24:8a:07:a5:28:01",
        "eth_type": "ipv4",
        "ct_state": "-trk",
    }
    assert options["skip_sw"] and options["in_hw"] and options["in_hw_count"] == 1
    ct, goto = options["actions"]
    assert ct["stats"]["sw_packets"] == 5
    assert ct["stats"]["hw_bytes"] == 700
    assert ct["stats"]["packets"] == 12
    assert ct["first_used"] == 8
    assert ct["used_hw_stats"] == ["delayed"]
    assert goto["control_action"] == {"type": "goto", "chain": 2}


def test_pretty_json() -> None:
    assert show("ens1f0_0", [plain()], json=True, pretty=True) == PRETTY


def test_nothing() -> None:
    assert show("ens1f0_0", []) == ""
    assert show("ens1f0_0", [], json=True) == "[]\n"
    assert show("ens1f0_0", [], json=True, pretty=True) == "[ ]\n"


def test_oneline() -> None:
    command = FilterShow("ens1f0_0", options=Options(oneline=True))
    assert answer_show(command, [plain()]).endswith("\\  eth_type arp\\  not_in_hw\\")


def test_filters_are_listed_as_they_come_with_a_line_for_each_prio() -> None:
    entries = [plain(2, 1), plain(0, 1), plain(0, 3, 1), plain(0, 3, 2)]
    listed = json.loads(show("ens1f0_0", entries, json=True))
    order = [
        (e["chain"], e["pref"], e.get("options", {}).get("handle")) for e in listed
    ]
    assert order == [
        *((2, 1, None), (2, 1, 1)),
        *((0, 1, None), (0, 1, 1)),
        *((0, 3, None), (0, 3, 1), (0, 3, 2)),
    ]


@pytest.mark.parametrize(
    ("command", "heading"),
    [
        (FilterShow("ens1f0_0", chain=2), "filter protocol arp pref 1 flower "),
        (FilterShow("ens1f0_0", prio=3), "filter protocol arp flower chain 0 "),
        (FilterShow("ens1f0_0", protocol=ETH_P_IP), "filter pref 9 flower chain 5 "),
    ],
)
def test_what_was_asked_for_is_not_repeated(command: FilterShow, heading: str) -> None:
    entries = [plain(2, 1), plain(0, 3), plain(5, 9, protocol=ETH_P_IP)]
    lines = answer_show(command, entries).splitlines()
    assert lines[0] == heading
    assert sum(line.startswith("filter") for line in lines) == 2


def test_another_hook_than_was_asked_for_is_named() -> None:
    egress = [replace(plain(), hook=Hook.EGRESS)]
    assert show("ens1f0_0", egress).startswith("filter egress protocol arp ")
    asked = answer_show(FilterShow("ens1f0_0", Hook.EGRESS), egress)
    assert asked.startswith("filter protocol arp ")


def test_a_shared_block_is_named_where_it_was_not_asked_for() -> None:
    entry = replace(plain(), block=7)
    assert show("ens1f0_0", [entry]).startswith("filter block 7 protocol arp ")
    of_block = answer_show(FilterShow("", block=7), [entry])
    assert of_block.startswith("filter protocol arp ")
    get = FilterGet("", prio=3, protocol=ETH_P_ARP, handle=1, block=7)
    assert answer_get(get, entry).startswith("filter protocol arp pref 3 ")


def test_a_brief_answer_has_no_keys() -> None:
    brief = Options(brief=True)
    text = answer_show(FilterShow("ens1f0_0", options=brief), [first()])
    assert text.splitlines()[2:] == [
        *("  skip_sw", "  in_hw in_hw_count 1"),
        *("\taction order 1: ct", "\taction order 2: gact "),
    ]
    get = FilterGet("ens1f0_0", prio=1, protocol=ETH_P_IP, handle=1, options=brief)
    assert "src_mac" in answer_get(get, first()), "get is never brief"


def test_get() -> None:
    command = FilterGet("ens1f0_0", prio=3, protocol=ETH_P_ARP, handle=1)
    assert answer_get(command, plain()) == (
        "filter ingress protocol arp pref 3 flower chain 0 handle 0x1 \n"
        "  eth_type arp\n"
        "  not_in_hw\n"
    )


def test_a_new_filter_in_software() -> None:
    states = tuple(
        replace(each, times=Times(), used_hw_stats=False) for each in first().states
    )
    entry = replace(first(), in_hw=False, skip_sw=False, states=states)
    text = show("ens1f0_0", [entry], statistics=True)
    assert "  not_in_hw\n" in text
    assert "\t index 1 ref 1 bind 1\n\tAction statistics:\n" in text
    assert "used_hw_stats" not in text


@pytest.mark.parametrize(
    ("protocol", "words", "printed"),
    [
        ("802.1q", "vlan_id 5 vlan_prio 0", ["vlan_id 5", "vlan_prio 0"]),
        ("802.1q", "", []),
        (
            "802.1ad",
            "vlan_ethtype 802.1q cvlan_id 3 cvlan_prio 2 cvlan_ethtype ip dst_mac 1:2:3:4:5:6",
            [
                *("vlan_ethtype 802.1Q", "cvlan_id 3", "cvlan_prio 2"),
                *("cvlan_ethtype ip", "dst_mac 01:02:03:04:05:06", "eth_type ipv4"),
            ],
        ),
        (
            "802.1q",
            "vlan_ethtype 0x1234",
            ["vlan_ethtype [4660]", "eth_type 1234"],
        ),
        ("ip", "ip_flags frag", ["eth_type ipv4", "ip_flags frag"]),
        (
            "ip",
            "ip_flags nofrag/firstfrag",
            ["eth_type ipv4", "ip_flags nofrag/firstfrag"],
        ),
        ("ip", "ip_flags nofirstfrag", ["eth_type ipv4", "ip_flags nofirstfrag"]),
        (
            "arp",
            "arp_op reply arp_sip 1.2.3.4 arp_tip 1.2.0.0/16 arp_sha 1:2:3:4:5:6/8",
            [
                *("eth_type arp", "arp_sip 1.2.3.4", "arp_tip 1.2.0.0/16"),
                *("arp_op reply", "arp_sha 01:00:00:00:00:00/8"),
            ],
        ),
        ("arp", "arp_op 2/3", ["eth_type arp", "arp_op 2/3"]),
        (
            "ip",
            "indev x ip_proto tcp src_port 9 dst_port 5-6 tcp_flags 2 enc_tos 4/0xfc",
            [
                *("indev x", "eth_type ipv4", "ip_proto tcp", "src_port 9"),
                *("dst_port 5-6", "tcp_flags 0x2/fff", "enc_tos 4/0xfc"),
            ],
        ),
    ],
)
def test_keys(protocol: str, words: str, printed: list[str]) -> None:
    command = parse(f"filter add dev d ingress proto {protocol} flower {words}".split())
    assert isinstance(command, FilterAdd)
    entry = replace(plain(protocol=command.protocol), match=command.match)
    lines = show("d", [entry]).splitlines()[2:]
    assert [line.strip() for line in lines] == [*printed, "not_in_hw"]


def test_keys_that_are_objects_in_json() -> None:
    words = "ip_proto tcp dst_port 5-6 ip_flags frag/nofirstfrag"
    command = parse(f"filter add dev d ingress proto ip flower {words}".split())
    assert isinstance(command, FilterAdd)
    _, entry = json.loads(show("d", [replace(plain(), match=command.match)], json=True))
    assert entry["options"]["keys"] == {
        "eth_type": "ipv4",
        "ip_proto": "tcp",
        "dst_port": {"start": 5, "end": 6},
        "ip_flags": {"frag": True, "firstfrag": False},
    }
