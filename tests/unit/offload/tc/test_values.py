"""How single values are written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from offload.actions import Address
from offload.flower import Key, KeyMatch, Match
from offload.tc.addresses import show_address
from offload.tc.answer import Answer
from offload.tc.flower import show_match
from offload.tc.numbers import ipv4, ipv6, prefix_length, strtoul, unsigned
from offload.tc.protocols import parse_protocol, show_protocol


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [
        ("10", 0, 10),
        ("010", 0, 8),
        ("0x1F", 0, 31),
        ("+7", 10, 7),
        (" \t7", 10, 7),
        ("0x1f", 16, 31),
        ("-18446744073709551615", 10, 1),
        ("65535", 10, 65535),
        ("65536", 10, None),
        ("-1", 10, None),
        ("7 ", 10, None),
        ("0x", 0, None),
        ("08", 0, None),
        ("", 0, None),
        ("1" * 5000, 10, None),
        ("0" * 5000 + "1", 10, 1),
    ],
)
def test_numbers_as_c_reads_them(text: str, base: int, value: int | None) -> None:
    assert unsigned(text, 16, base) == value


def test_strtoul_tells_what_is_left() -> None:
    assert strtoul("0x1fz", 0) == (31, "z")
    assert strtoul("z", 0) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("10.8", "10.8.0.0"),
        ("0x7f.1", "127.1.0.0"),
        ("010", "8.0.0.0"),
        ("1.2.3.4.5", None),
        ("1.2.3.256", None),
        ("1.", None),
        ("1-2", None),
        ("", None),
    ],
)
def test_ipv4(text: str, value: str | None) -> None:
    assert ipv4(text) == (None if value is None else IPv4Address(value))


def test_ipv6_has_no_zone() -> None:
    assert ipv6("fe80::1") == IPv6Address("fe80::1")
    assert ipv6("fe80::1%lo") is None
    assert ipv6("1::2::3") is None


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (IPv4Address("1.2.3.4"), "1.2.3.4"),
        (IPv6Address("fd00::1"), "fd00::1"),
        (IPv6Address("::"), "::"),
        (IPv6Address("::1"), "::1"),
        (IPv6Address("::1:0"), "::0.1.0.0"),
        (IPv6Address("::ffff:1.2.3.4"), "::ffff:1.2.3.4"),
        (IPv6Address("::fffe:1.2.3.4"), "::fffe:102:304"),
    ],
)
def test_addresses_as_glibc_writes_them(address: Address, text: str) -> None:
    assert show_address(address) == text


def test_prefix_lengths() -> None:
    assert prefix_length(0xFF000000, 32) == 8
    assert prefix_length(0xFF00FF00, 32) is None


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (KeyMatch(Key.SRC_MAC, 1, 2**48 - 1), "src_mac 00:00:00:00:00:01"),
        (KeyMatch(Key.SRC_MAC, 1 << 40, 0xFF << 40), "src_mac 01:00:00:00:00:00/8"),
        (KeyMatch(Key.SRC_MAC, 1, 1), "src_mac 00:00:00:00:00:01/00:00:00:00:00:01"),
        (KeyMatch(Key.IP_PROTO, 6, 255), "ip_proto tcp"),
        (KeyMatch(Key.IP_PROTO, 2, 255), "ip_proto 02"),
        (KeyMatch(Key.IP_TOS, 16, 0xF0), "ip_tos 16/0xf0"),
        (KeyMatch(Key.DST_IPV4, 10 << 24, 255 << 24), "dst_ip 10.0.0.0/8"),
        (KeyMatch(Key.SRC_IPV6, 1, 2**128 - 1), "src_ip ::1"),
        (KeyMatch(Key.DST_PORT, 80, 0xFFFF), "dst_port 80"),
        (KeyMatch(Key.TCP_FLAGS, 2, 0xFFF), "tcp_flags 0x2/fff"),
        (KeyMatch(Key.ICMP_TYPE, 8, 255), "icmp_type 8"),
        (KeyMatch(Key.ICMP_CODE, 1, 3), "icmp_code 1/3"),
        (KeyMatch(Key.ENC_KEY_ID, 98, 2**32 - 1), "enc_key_id 98"),
        (KeyMatch(Key.CT_STATE, 9, 0x3F), "ct_state +trk+new-est-rel-inv-rpl"),
        (KeyMatch(Key.CT_MARK, 5, 2**32 - 1), "ct_mark 5"),
        (KeyMatch(Key.CT_LABEL, 1, 2**128 - 1), f"ct_label 01{'0' * 30}"),
        (KeyMatch(Key.CT_LABEL, 1, 255), f"ct_label 01{'0' * 30}/ff{'0' * 30}"),
    ],
)
def test_keys(match: KeyMatch, text: str) -> None:
    answer = Answer()
    show_match(answer, Match(3, (match,)))
    assert answer.text == f"\n  {text}"


def test_protocols() -> None:
    assert parse_protocol("IPv6") == 0x86DD
    assert parse_protocol("802.1q") == 0x8100
    assert parse_protocol("0x88f7") == 0x88F7
    assert parse_protocol("zz") is None
    assert show_protocol(0x0800) == "ip"
    assert show_protocol(0x8100) == "802.1Q"
    assert show_protocol(0x88F7) == "[35063]"
