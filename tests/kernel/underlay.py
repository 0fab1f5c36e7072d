"""A hypervisor's underlay: the uplink, the tunnel device, and who is at the other end.

ens1f0, 7.7.7.7 =====UDP port 4789===== 7.7.7.8, a `Remote`
   ^  vxlan0: filters see what came in, less the outer headers, and the enc_ keys
"""

from __future__ import annotations

from dataclasses import dataclass

from scapy.all import IP, UDP, VXLAN, Ether

from tests.kernel.cases.case import Neighbour, Port, PortKind, Send

ADDRESS = "7.7.7.7"
MAC = "02:00:00:00:07:07"
UDP_PORT = 4789
_SOURCE_PORT = 40000


@dataclass(frozen=True, slots=True)
class Remote:
    """A hypervisor at the other end of the tunnel, and the network both mean."""

    address: str = "7.7.7.8"
    mac: str = "02:00:00:00:07:08"
    vni: int = 98
    checksums: bool = True  # of the outer UDP header

    @property
    def key(self) -> str:
        """What an action `tunnel_key set` says to send to it, as the cover letter does."""
        where = f"src_ip 0.0.0.0 dst_ip {self.address}"
        return f"tunnel_key set {where} id {self.vni} dst_port {UDP_PORT}"

    @property
    def keys(self) -> tuple[str, ...]:
        """What a filter can ask of a packet that it sent."""
        return (
            *(f"enc_src_ip {self.address}", f"enc_dst_ip {ADDRESS}"),
            *(f"enc_key_id {self.vni}", f"enc_dst_port {UDP_PORT}"),
        )

    def sends(self, frame: bytes) -> Send:
        """A frame of a machine there arrives at the uplink."""
        outer = Ether(src=self.mac, dst=MAC) / IP(src=self.address, dst=ADDRESS)
        none = {} if self.checksums else {"chksum": 0}
        header = UDP(sport=_SOURCE_PORT, dport=UDP_PORT, **none)
        packet = outer / header / VXLAN(flags=8, vni=self.vni) / Ether(frame)
        return Send(UPLINK.name, bytes(packet))


REMOTE = Remote()
UPLINK = Port(
    "ens1f0",
    mac=MAC,
    address=f"{ADDRESS}/24",
    neighbours=(Neighbour(REMOTE.address, REMOTE.mac),),
)
TUNNEL = Port("vxlan0", PortKind.TUNNEL)
