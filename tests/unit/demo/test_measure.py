"""Reading tc, ovs-ofctl and conntrack: the very text they print."""

import json
from ipaddress import IPv4Address
from typing import Any

import pytest

from demo.checks import Counts
from demo.errors import NotSeen
from demo.measure import Entry, connections_in, entries_in, entry_counts, filters_in

_RULES = """\
 cookie=0x102000000000004, duration=1.5s, table="hw_ct", n_packets=1996, n_bytes=2884285, \
priority=10,tcp,reg2=0x7/0xffff,nw_src=10.0.0.1,nw_dst=10.0.0.3,nw_frag=no,tp_src=59670,\
tp_dst=5201,tcp_flags=-fin-rst actions=load:0x22->NXM_NX_REG2[16..31],\
load:0->NXM_NX_REG11[0..15],load:0x2a->NXM_NX_REG3[],set_field:0->xxreg1,\
load:0x2->NXM_NX_REG1[0..23],resubmit(,"ct_age"),resubmit(,"hw_post_ct")
 cookie=0x102000000000005, duration=1.5s, table="hw_ct", n_packets=6, n_bytes=400, \
priority=10,udp,reg2=0/0xffff,nw_src=10.0.0.3,nw_dst=10.0.0.1,nw_frag=no,tp_src=53,\
tp_dst=59664 actions=load:0x2a->NXM_NX_REG2[16..31],load:0->NXM_NX_REG3[]
 cookie=0x102000000000006, duration=1.5s, table="hw_ct", n_packets=6, n_bytes=400, \
priority=10,tcp6,reg2=0/0xffff,ipv6_src=fd00::3,ipv6_dst=fd00::1,tp_src=5,tp_dst=6 actions=drop
 cookie=0x100000000000000, duration=3.0s, table="hw_ct", n_packets=4, n_bytes=296, \
priority=0 actions=resubmit(,"hw_miss")
"""
_CONNECTIONS = """\
tcp      6 src=10.0.0.1 dst=10.0.0.3 sport=48 dport=5001 src=10.0.0.3 dst=10.0.0.1 sport=5001 \
dport=48 [HW_OFFLOAD] mark=0 use=1
tcp      6 9 TIME_WAIT src=10.0.0.1 dst=10.0.0.3 sport=5001 dport=22 src=10.0.0.3 dst=10.0.0.1 \
sport=22 dport=5002 mark=0 use=1
udp     17 29 src=10.0.0.1 dst=10.0.0.3 sport=48 dport=5001 src=10.0.0.3 dst=10.0.0.1 sport=5001 \
dport=48 mark=0 use=1
conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.
"""


def filter_(protocol: str = "ip", chain: int = 0, **stats: int) -> dict[str, Any]:
    actions = [{"kind": "ct", "stats": stats}, {"kind": "gact", "stats": {}}]
    shown = {"protocol": protocol, "options": {"actions": actions}}
    return {**shown, "chain": chain} if chain else shown


def test_only_filters_with_options_are_filters() -> None:
    heading = {"protocol": "ip", "kind": "flower", "chain": 0}
    assert filters_in(json.dumps([heading, filter_(packets=1)])) == [filter_(packets=1)]


def test_no_json_is_said() -> None:
    with pytest.raises(NotSeen, match="Cannot find device"):
        filters_in('Cannot find device "x"')


def test_hardware_is_a_part_of_the_packets() -> None:
    both = filter_(packets=10, sw_packets=3, hw_packets=7)
    software_only = filter_(packets=5)
    assert entry_counts([both, software_only]) == Counts(hardware=7, software=8)


def test_only_ipv4_at_chain_0_is_an_entry() -> None:
    others = [filter_("arp", packets=1), filter_("ip", 2, packets=2)]
    assert entry_counts(others) == Counts()


def test_entries_are_read_whatever_else_a_rule_does() -> None:
    first, second = entries_in(_RULES)
    assert first == Entry(
        proto="tcp",
        src=IPv4Address("10.0.0.1"),
        dst=IPv4Address("10.0.0.3"),
        sport=59670,
        dport=5201,
        zone=7,
        ct_state="+trk+est",
        mark=42,
        packets=1996,
    )
    assert (second.proto, second.ct_state, second.zone) == ("udp", "+trk+est+rpl", 0)


def test_connections_of_a_protocol_to_a_port() -> None:
    (line,) = connections_in(_CONNECTIONS, "tcp", 5001)
    assert line.startswith("tcp 6 src=10.0.0.1 ") and "[HW_OFFLOAD]" in line
