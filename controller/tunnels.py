"""The outer header of tunnelled packets, as far as a port of the switch makes it.

OpenFlow sets a tunnel's addresses and key; all else of the outer header is an
option of the port.  What a filter asks for beyond the tunnel device's own options
is sent by a port that only sends: it takes packets of a key that no packet has.

    tunnel_key set ... ttl 9 nocsum, redirect to vxlan0  -->  vx12b5n0009
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from offload.actions import Action, TunnelKeySet

VXLAN_PORT = 4789
_FIRST_KEY_OF_NONE = 1 << 24  # a VNI has 24 bits
_ECN_BITS = 0x03
_DEFAULT_TTL = 64  # Linux's and Open vSwitch's


@dataclass(frozen=True, slots=True)
class Outer:
    """What a port puts into the outer header.

    The ECN bits are the inner packet's.  Source: include/net/inet_ecn.h:INET_ECN_encapsulate
    """

    udp_port: int = VXLAN_PORT
    csum: bool = True
    tos: int = 0
    ttl: int = _DEFAULT_TTL

    @classmethod
    def of(cls, action: TunnelKeySet) -> Outer:
        """What a tunnel key asks for."""
        return cls(
            action.dst_port or VXLAN_PORT,
            action.csum,
            (action.tos or 0) & ~_ECN_BITS,
            action.ttl or _DEFAULT_TTL,
        )

    @property
    def port_name(self) -> str:
        """The name of the port that sends so."""
        csum = "c" if self.csum else "n"
        return f"vx{self.udp_port:x}{csum}{self.tos:02x}{self.ttl:02x}"

    @property
    def options(self) -> dict[str, str]:
        """That port's options.  Source: ovs-vswitchd.conf.db(5), Tunnel Options"""
        nobody = _FIRST_KEY_OF_NONE | self.csum << 16 | self.tos << 8 | self.ttl
        return {
            "remote_ip": "flow",
            "in_key": str(nobody),
            "out_key": "flow",
            "dst_port": str(self.udp_port),
            "csum": str(self.csum).lower(),
            "tos": str(self.tos),
            "ttl": str(self.ttl),
            "df_default": "false",
        }


ORDINARY = Outer()


def unusual(actions: Iterable[Action]) -> set[Outer]:
    """The outer headers among actions that the tunnel device itself does not make."""
    made = {Outer.of(each) for each in actions if isinstance(each, TunnelKeySet)}
    return made - {ORDINARY}
