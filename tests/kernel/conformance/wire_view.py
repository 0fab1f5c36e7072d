"""A frame as it is compared: byte for byte, but for what no two senders would choose alike.

Only the outer headers of VXLAN are taken apart: its UDP source port is a hash, the IP id a counter.
Their checksums must be right, whatever they are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

ETH_P_IP = 0x0800
ETH_P_IPV6 = 0x86DD
ETH_P_VLAN = (0x8100, 0x88A8)
UDP = 17
VXLAN_PORT = 4789
ETHERNET = 14
OUTER = ETHERNET + 20 + 8 + 8  # VXLAN over IPv4
TAG = 4


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """A VXLAN frame. `flags` are IPv4's DF and MF; `checksums` says whether each is right."""

    macs: bytes
    src: bytes
    dst: bytes
    tos: int
    ttl: int
    flags: int
    dport: int
    vni: int
    checksums: tuple[bool, ...]
    inner: bytes

    def __str__(self) -> str:
        return (
            f"VXLAN {self.vni} to {self.dst.hex(':')} ttl {self.ttl} tos {self.tos} "
            f"flags {self.flags} checksums {self.checksums}: {self.inner.hex()}"
        )


def view(frame: bytes) -> bytes | Encapsulated:
    """Return what a frame is compared by."""
    return _encapsulated(frame) or _trimmed(frame)


def untagged(frame: bytes) -> bytes:
    """Take the outer VLAN tag off: a packet socket behind tc's hook gets the frame without."""
    tagged = int.from_bytes(frame[12:14], "big") in ETH_P_VLAN
    return frame[:12] + frame[16:] if tagged else frame


def _trimmed(frame: bytes) -> bytes:
    """Cut off what lies behind the IP datagram: `ct` does so in the kernel, on the way."""
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == ETH_P_IP and len(frame) >= ETHERNET + 20:
        return frame[: ETHERNET + max(int.from_bytes(frame[16:18], "big"), 20)]
    if ethertype == ETH_P_IPV6 and len(frame) >= ETHERNET + 40:
        return frame[: ETHERNET + 40 + int.from_bytes(frame[18:20], "big")]
    return frame


def is_vxlan(frame: bytes) -> bool:
    """Is it UDP over IPv4 to VXLAN's port?"""
    return (
        len(frame) >= OUTER + ETHERNET
        and frame[12:15] == b"\x08\x00\x45"
        and frame[23] == UDP
        and int.from_bytes(frame[36:38], "big") == VXLAN_PORT
    )


def _encapsulated(frame: bytes) -> Encapsulated | None:
    if not is_vxlan(frame):
        return None
    ip, udp = frame[14:34], frame[34:]
    given = int.from_bytes(udp[6:8], "big")
    pseudo = ip[12:20] + struct.pack(">HH", UDP, len(udp))
    return Encapsulated(
        macs=frame[:12],
        src=ip[12:16],
        dst=ip[16:20],
        tos=ip[1],
        ttl=ip[8],
        flags=ip[6] >> 5,
        dport=VXLAN_PORT,
        vni=int.from_bytes(udp[12:15], "big"),
        checksums=(_sum(ip) == 0xFFFF, given != 0, _sum(pseudo + udp) == 0xFFFF),
        inner=udp[16:],
    )


def _sum(data: bytes) -> int:
    """Add up 16-bit words in one's complement."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
