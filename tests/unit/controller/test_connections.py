"""Connections as OVS prints them."""

from __future__ import annotations

from controller.connections import Connection, connections, parse
from controller.fields import Told
from offload.flower import IPPROTO_ICMP, IPPROTO_UDP
from tests.unit.connections import TCP, flow_tuple
from tests.unit.controller.ovs_lines import (
    ICMP_LINE,
    NAT_LINE,
    SCTP_LINE,
    TCP_LINE,
    TCP_TOLD_LINE,
    UDP6_LINE,
)


def parsed(line: str) -> Connection:
    connection = parse(line)
    assert connection is not None
    return connection


def test_a_tcp_connection_that_closes() -> None:
    original = flow_tuple("10.0.0.1", "10.0.0.2", sport=45236, dport=5201)
    connection = parsed(TCP_LINE)
    assert connection == Connection(
        "tcp",
        original,
        original.inverted(),
        zone=5,
        mark=0,
        label=0,
        state="FIN_WAIT_2",
        timeout_s=29,
        told=Told.CLOSING,
    )
    assert connection.key == (5, original)


def test_what_act_ct_was_told_of() -> None:
    connection = parsed(TCP_TOLD_LINE)
    assert connection.told is Told.OFFERED
    assert connection.state == "ESTABLISHED"
    assert parsed(ICMP_LINE).told is Told.NOTHING


def test_udp_over_ipv6_with_mark_and_label() -> None:
    connection = parsed(UDP6_LINE)
    assert connection.original == flow_tuple(
        "fd00::1", "fd00::3", IPPROTO_UDP, 40000, 53
    )
    assert (connection.zone, connection.mark, connection.label) == (0, 7, 0x102)
    assert (connection.state, connection.timeout_s) == ("", 86400)


def test_icmp_has_an_id_a_type_and_a_code() -> None:
    connection = parsed(ICMP_LINE)
    assert connection.original.proto == IPPROTO_ICMP
    assert (connection.original.sport, connection.original.dport) == (77, 8 << 8)
    assert connection.reply.dport == 0


def test_nat_is_in_the_reply() -> None:
    connection = parsed(NAT_LINE)
    assert connection.original == TCP
    assert connection.reply == flow_tuple("10.0.0.3", "7.7.7.7", 6, 80, 61000)


def test_a_protocol_without_a_name() -> None:
    assert parsed(SCTP_LINE).original.proto == 132
    assert parsed(SCTP_LINE.replace("132", "gre", 1)).original.proto == 0


def test_what_is_no_connection() -> None:
    assert parse("") is None
    assert parse("tcp,orig=(src=10.0.0.1,dst=10.0.0.3)") is None


def test_of_one_zone_or_all() -> None:
    asked: list[tuple[str, ...]] = []

    def appctl(*words: str) -> str:
        asked.append(words)
        return f"{TCP_LINE}\nnonsense\n{ICMP_LINE}\n"

    assert [each.proto for each in connections(appctl)] == ["tcp", "icmp"]
    assert len(list(connections(appctl, 5))) == 2
    assert asked == [
        ("dpctl/dump-conntrack", "-m", "-s"),
        ("dpctl/dump-conntrack", "-m", "-s", "zone=5"),
    ]
