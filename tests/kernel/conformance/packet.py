"""As much of a frame as it takes to tell which connection it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from tests.kernel.cases.outcome import Tuple
from tests.kernel.conformance.wire_view import (
    ETH_P_IP,
    ETH_P_IPV6,
    ETHERNET,
    OUTER,
    is_vxlan,
    untagged,
)

FIN, SYN, RST = 0x01, 0x02, 0x04
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet. Ports and flags are 0 where there are none; `fragment`: it is one."""

    src: str
    dst: str
    protocol: int
    sport: int = 0
    dport: int = 0
    flags: int = 0
    fragment: bool = False

    @property
    def ends(self) -> Tuple:
        """What conntrack knows it by, if it has ports."""
        return Tuple(self.src, self.dst, self.sport, self.dport)


def _plain(frame: bytes) -> bytes:
    """Return what filters see: without a tunnel's headers, and without a tag."""
    return untagged(frame[OUTER:] if is_vxlan(frame) else frame)


def parse(frame: bytes) -> Packet | None:
    """Read an IP packet, or None if it is none."""
    plain = _plain(frame)
    ethertype, data = int.from_bytes(plain[12:14], "big"), plain[ETHERNET:]
    if ethertype == ETH_P_IP and len(data) >= 20:
        header = (data[0] & 15) * 4
        fragment = bool(int.from_bytes(data[6:8], "big") & 0x3FFF)
        return _packet(data[12:16], data[16:20], data[9], data[header:], fragment)
    if ethertype == ETH_P_IPV6 and len(data) >= 40:
        return _packet(data[8:24], data[24:40], data[6], data[40:], data[6] == 44)
    return None


def _packet(
    src: bytes, dst: bytes, protocol: int, rest: bytes, fragment: bool
) -> Packet:
    ends = str(ip_address(src)), str(ip_address(dst))
    if protocol not in (TCP, UDP) or len(rest) < 8:
        return Packet(*ends, protocol, fragment=fragment)
    ports = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
    flags = rest[13] if protocol == TCP and len(rest) > 13 else 0
    return Packet(*ends, protocol, *ports, flags, fragment)
