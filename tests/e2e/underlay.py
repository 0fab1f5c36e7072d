"""What the underlay must show: VXLAN between the hypervisors, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scapy.layers.inet import IP, UDP
from scapy.layers.vxlan import VXLAN

from tests.e2e.wire import parsed

TUNNEL_IPS = {"hv1": "7.7.7.7", "hv2": "7.7.7.8"}
VNI = 98
VXLAN_PORT = 4789
OVERHEAD_BYTES = 50


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """A frame on the underlay, taken apart."""

    source: str
    target: str
    port: int
    vni: int
    inner: bytes


def tunnelled(frames: Iterable[bytes]) -> list[Tunnelled]:
    """Take frames of the underlay apart; each must be VXLAN over UDP over IPv4."""
    return [_tunnelled(frame) for frame in frames]


def _tunnelled(frame: bytes) -> Tunnelled:
    outer = parsed(frame)
    assert outer.haslayer(VXLAN), f"not VXLAN: {outer.summary()}"
    network, datagram, vxlan = outer[IP], outer[UDP], outer[VXLAN]
    assert vxlan.flags == "Instance", "the VNI is not marked as valid"
    assert datagram.chksum, "the outer checksum is missing"
    inner = frame[OVERHEAD_BYTES:]
    return Tunnelled(network.src, network.dst, datagram.dport, vxlan.vni, inner)


def between(source: str, target: str, inner: bytes) -> Tunnelled:
    """What a machine's frame should look like from one hypervisor to the other."""
    return Tunnelled(TUNNEL_IPS[source], TUNNEL_IPS[target], VXLAN_PORT, VNI, inner)
