"""What a filter matches: flower's keys, declared once.

Each key is an integer under a mask of the key's width, whatever it prints as;
the order of declaration is the order in which ``tc filter show`` prints them.
A range of ports and the device a packet came from are no value under a mask;
they stand beside the keys.
Source: net/sched/cls_flower.c:fl_set_key, iproute2 tc/f_flower.c
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag, auto


class Kind(Enum):
    """How a key's value is written; the command language knows each one."""

    MAC = auto()
    VLAN_ID = auto()
    VLAN_PRIO = auto()
    ETHER_TYPE = auto()
    NUMBER = auto()
    TOS = auto()
    ICMP = auto()
    TUNNEL_ID = auto()
    TUNNEL_PORT = auto()
    IP_PROTO = auto()
    IPV4 = auto()
    IPV6 = auto()
    PORT = auto()
    TCP_FLAGS = auto()
    ARP_IP = auto()
    ARP_OP = auto()
    ARP_MAC = auto()
    IP_FLAGS = auto()
    CT_STATE = auto()
    CT_LABEL = auto()


class CtState(Flag):
    """``ct_state`` as flower and the kernel number it."""

    NEW = 1
    EST = 2
    REL = 4
    TRK = 8
    INV = 16
    RPL = 32


class IpFlags(Flag):
    """``ip_flags``: is it a fragment, and the first one?"""

    FRAG = 1
    FIRST_FRAG = 2


class Key(Enum):
    """(keyword, bits, kind) of each key; two keys may share a keyword."""

    VLAN_ID = ("vlan_id", 12, Kind.VLAN_ID)
    VLAN_PRIO = ("vlan_prio", 3, Kind.VLAN_PRIO)
    VLAN_ETHTYPE = ("vlan_ethtype", 16, Kind.ETHER_TYPE)
    CVLAN_ID = ("cvlan_id", 12, Kind.VLAN_ID)
    CVLAN_PRIO = ("cvlan_prio", 3, Kind.VLAN_PRIO)
    CVLAN_ETHTYPE = ("cvlan_ethtype", 16, Kind.ETHER_TYPE)
    DST_MAC = ("dst_mac", 48, Kind.MAC)
    SRC_MAC = ("src_mac", 48, Kind.MAC)
    IP_PROTO = ("ip_proto", 8, Kind.IP_PROTO)
    IP_TOS = ("ip_tos", 8, Kind.TOS)
    IP_TTL = ("ip_ttl", 8, Kind.TOS)
    DST_IPV4 = ("dst_ip", 32, Kind.IPV4)
    SRC_IPV4 = ("src_ip", 32, Kind.IPV4)
    DST_IPV6 = ("dst_ip", 128, Kind.IPV6)
    SRC_IPV6 = ("src_ip", 128, Kind.IPV6)
    DST_PORT = ("dst_port", 16, Kind.PORT)
    SRC_PORT = ("src_port", 16, Kind.PORT)
    TCP_FLAGS = ("tcp_flags", 12, Kind.TCP_FLAGS)
    ICMP_TYPE = ("type", 8, Kind.ICMP)
    ICMP_CODE = ("code", 8, Kind.ICMP)
    ARP_SIP = ("arp_sip", 32, Kind.ARP_IP)
    ARP_TIP = ("arp_tip", 32, Kind.ARP_IP)
    ARP_OP = ("arp_op", 8, Kind.ARP_OP)
    ARP_SHA = ("arp_sha", 48, Kind.ARP_MAC)
    ARP_THA = ("arp_tha", 48, Kind.ARP_MAC)
    ENC_DST_IPV4 = ("enc_dst_ip", 32, Kind.IPV4)
    ENC_SRC_IPV4 = ("enc_src_ip", 32, Kind.IPV4)
    ENC_DST_IPV6 = ("enc_dst_ip", 128, Kind.IPV6)
    ENC_SRC_IPV6 = ("enc_src_ip", 128, Kind.IPV6)
    ENC_KEY_ID = ("enc_key_id", 32, Kind.TUNNEL_ID)
    ENC_DST_PORT = ("enc_dst_port", 16, Kind.TUNNEL_PORT)
    ENC_TOS = ("enc_tos", 8, Kind.TOS)
    ENC_TTL = ("enc_ttl", 8, Kind.TOS)
    IP_FLAGS = ("ip_flags", 2, Kind.IP_FLAGS)
    CT_STATE = ("ct_state", 6, Kind.CT_STATE)
    CT_ZONE = ("ct_zone", 16, Kind.NUMBER)
    CT_MARK = ("ct_mark", 32, Kind.NUMBER)
    CT_LABEL = ("ct_label", 128, Kind.CT_LABEL)

    @property
    def keyword(self) -> str:
        """The word tc takes and prints."""
        return self.value[0]

    @property
    def bits(self) -> int:
        """The key's width."""
        return self.value[1]

    @property
    def kind(self) -> Kind:
        """How its value is written."""
        return self.value[2]

    @property
    def full_mask(self) -> int:
        """The mask of an exact match."""
        return (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class KeyMatch:
    """One key's value under a mask; ``value & ~mask`` is 0."""

    key: Key
    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class PortRange:
    """``dst_port LOW-HIGH``: a port between the two, both included."""

    key: Key
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What a match looks at, whatever the values; in the kernel, its mask."""

    keys: tuple[tuple[Key, int], ...] = ()
    ranges: tuple[Key, ...] = ()
    indev: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """All a flower filter asks of a packet; ``keys`` in declaration order.

    ``protocol`` is the EtherType of the filter, ``ETH_P_ALL`` for any.
    """

    protocol: int
    keys: tuple[KeyMatch, ...] = ()
    ranges: tuple[PortRange, ...] = ()
    indev: str = ""

    def get(self, key: Key) -> KeyMatch | None:
        """What is asked of ``key``, None if nothing."""
        for match in self.keys:
            if match.key is key:
                return match
        return None

    @property
    def eth_type(self) -> int:
        """The EtherType behind all VLAN tags that the filter names."""
        for key in (Key.CVLAN_ETHTYPE, Key.VLAN_ETHTYPE):
            asked = self.get(key)
            if asked is not None:
                return asked.value
        return self.protocol

    @property
    def mask(self) -> Shape:
        """The shape of the match: filters of one mask live in one hash table."""
        return Shape(
            tuple((match.key, match.mask) for match in self.keys),
            tuple(each.key for each in self.ranges),
            bool(self.indev),
        )


ETH_P_ALL = 0x0003
ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
ETH_P_8021Q = 0x8100
ETH_P_IPV6 = 0x86DD
ETH_P_8021AD = 0x88A8

IPPROTO_ICMP = 1
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_ICMPV6 = 58
IPPROTO_SCTP = 132
