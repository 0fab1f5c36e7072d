"""NAT to ranges, of IPv6 and of ICMP errors; commit force: packet by packet.

Both directions of a connection come in at vm1's port: what tells them apart is their
tuple.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from scapy.all import ICMP, IP, UDP, Ether, ICMPv6DestUnreach, IPv6, Raw

from tests.e2e.one_by_one import NOBODY, SENDER, TAG, OneByOne
from tests.e2e.state import connections

TO_VM2 = "action mirred egress redirect dev ens1f0_1"
ETHER = Ether(src=SENDER, dst=NOBODY)
IP_OF = {4: IP, 6: IPv6}


def packet(src: str, dst: str, sport: int, dport: int) -> Any:
    """A datagram of the addresses' family."""
    network = IP_OF[ip_address(src).version](src=src, dst=dst)
    return ETHER / network / UDP(sport=sport, dport=dport) / Raw(TAG)


def translating(hv1: OneByOne, protocol: str, nat: str) -> None:
    """A new connection is translated, the others as it says."""
    mine = f"prio 1 proto {protocol} flower"
    hv1.add(
        f"ens1f0_0 {mine} ct_state -trk action ct nat goto chain 1",
        f"ens1f0_0 chain 1 {mine} ct_state +trk+new action ct commit nat {nat} {TO_VM2}",
        f"ens1f0_0 chain 1 {mine} ct_state +trk+est {TO_VM2}",
    )


def sent(hv1: OneByOne, frame: Any) -> tuple[str, str, int, int]:
    """What a frame's addresses and ports are where it comes out, at vm2."""
    [out] = hv1.through(frame).vm2
    network = out[IP] if IP in out else out[IPv6]
    checked = Ether(bytes(out))
    del checked[UDP].chksum
    assert bytes(Ether(bytes(checked))) == bytes(out), "a wrong checksum"
    return network.src, network.dst, out[UDP].sport, out[UDP].dport


@pytest.mark.parametrize(
    ("protocol", "addresses", "first", "last"),
    [
        ("ip", ("10.0.0.1", "10.0.0.2"), "10.9.0.1", "10.9.0.4"),
        ("ip", ("10.0.0.1", "10.0.0.2"), "10.9.0.1", "10.9.0.1"),
        ("ipv6", ("fd00::1", "fd00::2"), "fd09::1", "fd09::4"),
    ],
)
def test_source_range(
    hv1: OneByOne, protocol: str, addresses: tuple[str, str], first: str, last: str
) -> None:
    """Both ends of either range belong to it; a connection keeps what it was given."""
    addr = first if first == last else f"{first}-{last}"
    translating(hv1, protocol, f"src addr {addr} port 5000-5009")
    there = packet(*addresses, 1000, 2000)
    src, dst, sport, dport = sent(hv1, there)
    assert int(ip_address(first)) <= int(ip_address(src)) <= int(ip_address(last))
    assert 5000 <= sport <= 5009 and (dst, dport) == (addresses[1], 2000)
    back = packet(addresses[1], src, 2000, sport)
    assert sent(hv1, back) == (addresses[1], addresses[0], 2000, 1000)
    assert sent(hv1, there) == (src, dst, sport, dport)


def test_destination_range(hv1: OneByOne) -> None:
    """Address and port; the reply comes from where the request was sent."""
    translating(hv1, "ip", "dst addr 10.9.1.1-10.9.1.2 port 80-81")
    there = packet("10.0.0.1", "10.0.0.2", 1000, 2000)
    src, dst, sport, dport = sent(hv1, there)
    assert (src, sport) == ("10.0.0.1", 1000)
    assert dst in ("10.9.1.1", "10.9.1.2") and dport in (80, 81)
    back = packet(dst, "10.0.0.1", dport, 1000)
    assert sent(hv1, back) == ("10.0.0.2", "10.0.0.1", 2000, 1000)


def test_ports_of_a_range_are_each_anothers(hv1: OneByOne) -> None:
    """As many connections as there are ports; the next one is dropped."""
    translating(hv1, "ip", "src addr 10.9.0.1 port 5000-5003")
    flows = [packet("10.0.0.1", "10.0.0.2", 1000 + n, 2000) for n in range(4)]
    assert {sent(hv1, each)[2] for each in flows} == {5000, 5001, 5002, 5003}
    assert hv1.through(packet("10.0.0.1", "10.0.0.2", 1004, 2000)).places == []


@pytest.mark.parametrize(
    ("protocol", "mine", "prefix"),
    [("ip", "10.0.0.{0}", "10.9.0."), ("ipv6", "fd00::{0}", "fd09::")],
)
def test_all_addresses_of_a_range_serve(
    hv1: OneByOne, protocol: str, mine: str, prefix: str
) -> None:
    """Which one, a hash decides: that 64 miss one of four is less likely than 1 in 10 million."""
    translating(hv1, protocol, f"src addr {prefix}1-{prefix}4")
    here, there = mine.format(1), mine.format(2)
    given = {sent(hv1, packet(here, there, 2000 + n, 2000))[0] for n in range(64)}
    assert given == {f"{prefix}{last}" for last in range(1, 5)}


@pytest.mark.parametrize(
    ("protocol", "addresses", "nat", "error"),
    [
        ("ip", ("10.0.0.1", "10.0.0.2"), "10.9.0.1", ICMP(type=3, code=1)),
        ("ipv6", ("fd00::1", "fd00::2"), "fd09::1", ICMPv6DestUnreach(code=1)),
    ],
)
def test_an_icmp_error_is_related_and_translated(
    hv1: OneByOne, protocol: str, addresses: tuple[str, str], nat: str, error: Any
) -> None:
    """Outside and inside; one about no connection is not related to anything."""
    version = ip_address(nat).version
    translating(hv1, protocol, f"src addr {nat}")
    hv1.add(
        f"ens1f0_0 chain 1 prio 2 proto {protocol} flower ct_state +trk+rel {TO_VM2}"
    )
    _, _, sport, _ = sent(hv1, packet(*addresses, 1000, 2000))

    def about(source_port: int) -> Any:
        inner = IP_OF[version](src=nat, dst=addresses[1])
        inner /= UDP(sport=source_port, dport=2000) / Raw(TAG)
        return ETHER / IP_OF[version](src=addresses[1], dst=nat) / error / inner

    [out] = hv1.through(about(sport)).vm2
    outside = out[IP_OF[version]]
    assert (outside.src, outside.dst) == (addresses[1], addresses[0])
    expected = packet(*addresses, 1000, 2000)[IP_OF[version]]
    quoted = bytes(out)[-len(expected) :]
    inside = IP_OF[version](quoted)
    assert (inside.src, inside.dst) == addresses
    assert int.from_bytes(quoted[-len(TAG) - 8 : -len(TAG) - 6], "big") == 1000
    assert hv1.through(about(sport + 1)).vm2 == []


def test_force_turns_a_connection_round(hv1: OneByOne) -> None:
    """From the reply direction; from its own it stays."""
    mine = "prio 1 proto ip flower"
    hv1.add(
        f"ens1f0_0 {mine} src_ip 10.0.0.1 action ct commit zone 4 {TO_VM2}",
        f"ens1f0_0 {mine} src_ip 10.0.0.2 action ct commit force zone 4 {TO_VM2}",
    )

    def originator() -> str:
        [one] = [each for each in connections(hv1.hypervisor) if each.zone == 4]
        return str(one.original)

    assert hv1.through(packet("10.0.0.1", "10.0.0.2", 1000, 2000)).places == ["vm2"]
    first = originator()
    assert hv1.through(packet("10.0.0.1", "10.0.0.2", 1000, 2000)).places == ["vm2"]
    assert originator() == first
    assert hv1.through(packet("10.0.0.2", "10.0.0.1", 2000, 1000)).places == ["vm2"]
    turned = originator()
    assert turned != first
    assert hv1.through(packet("10.0.0.2", "10.0.0.1", 2000, 1000)).places == ["vm2"]
    assert originator() == turned
