"""What pedit, csum and vlan do to a packet, as loads into the switch's fields.

A munge is 32 bits somewhere in a header; the fields that it touches are found
by their place there, and what is in no field cannot be written.

    munge ip4+8 ff000000  --> ip_ttl        munge eth+4 0000ffff --> eth_src[32..47]

Linux leaves the checksums of what pedit wrote as they were until ``csum`` mends
them; the switch mends them with every write.  So software takes a pedit only
with the csum that makes both the same (``PacketSoFar.require_checksums``).
Source: net/sched/act_pedit.c, act_csum.c, act_vlan.c
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller import fields
from controller.fields import Field
from controller.rules import (
    Match,
    PopVlan,
    PushVlan,
    Resubmit,
    RuleAction,
    SetField,
    Table,
)
from controller.tunnels import Outer
from offload.actions import (
    WORD_MASK,
    Checksums,
    Csum,
    Header,
    Munge,
    Pedit,
    VlanModify,
    VlanPop,
    VlanPush,
)
from offload.errors import Unsupported
from offload.flower import (
    ETH_P_8021Q,
    ETH_P_ALL,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    Key,
)
from offload.flower import Match as FlowerMatch

_WORD_BITS = 32
_NO_CHECKSUMS = Checksums(0)
_DECREMENT = 255
_PCP_SHIFT = 13
_VID, _PCP = fields.VLAN_TCI.part(0, 12), fields.VLAN_TCI.part(_PCP_SHIFT)


@dataclass(slots=True)
class PacketSoFar:
    """What is known of a packet between a filter's actions; 0 or None: nothing.

    ``tagged`` is about the tag it came with, ``pushed`` counts those on top;
    ``outer`` is what its tunnel key, if it has one, wants around it.
    """

    eth_type: int = 0
    ip_proto: int = 0
    tagged: bool | None = None
    pushed: int = 0
    outer: Outer | None = None
    rewritten: bool = False
    stale: Checksums = _NO_CHECKSUMS

    @classmethod
    def of(cls, flower: FlowerMatch) -> PacketSoFar:
        """What a filter that matched tells."""
        proto = flower.get(Key.IP_PROTO)
        known = flower.protocol != ETH_P_ALL
        eth_type = flower.eth_type
        return cls(
            eth_type if known and eth_type != ETH_P_8021Q else 0,
            proto.value if proto else 0,
            flower.protocol == ETH_P_8021Q if known else None,
        )

    def prerequisites(self) -> tuple[Match, ...]:
        """What a rule must ask for before OVS lets it write what it may here."""
        asked = []
        if self.eth_type:
            asked.append(Match(fields.ETH_TYPE, self.eth_type))
        if self.ip_proto:
            asked.append(Match(fields.IP_PROTO, self.ip_proto))
        if self.pushed or self.tagged:
            present = fields.VLAN_PRESENT
            asked.append(Match(fields.VLAN_VID, present, present))
        return tuple(asked)

    def require_checksums(self) -> None:
        """Raise Unsupported where Linux would let a stale checksum out."""
        if self.stale:
            words = " and ".join(_CSUM_WORDS[each] for each in self.stale)
            raise Unsupported(
                "pedit: Linux leaves checksums stale that the switch would mend: "
                f"add action csum {words} behind it"
            )


_CSUM_WORDS = {
    Checksums.IPV4HDR: "ip4h",
    Checksums.ICMP: "icmp",
    Checksums.TCP: "tcp",
    Checksums.UDP: "udp",
}

# Checksums with a pseudo header, by IP protocol; 0 is any.
_L4 = {
    0: Checksums.TCP | Checksums.UDP,
    IPPROTO_TCP: Checksums.TCP,
    IPPROTO_UDP: Checksums.UDP,
}
_L4_OF_IPV6 = {**_L4, 0: _L4[0] | Checksums.ICMP, IPPROTO_ICMPV6: Checksums.ICMP}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a field stands in its header, in bits from the header's start."""

    start: int
    field: Field
    in_pseudo_header: bool = False


_PLACES = {
    Header.ETH: (_Place(0, fields.ETH_DST), _Place(48, fields.ETH_SRC)),
    Header.IP4: (
        _Place(8, fields.IP_DSCP),
        _Place(14, fields.IP_ECN),
        _Place(64, fields.IP_TTL),
        _Place(96, fields.IPV4_SRC, True),
        _Place(128, fields.IPV4_DST, True),
    ),
    Header.IP6: (
        _Place(4, fields.IP_DSCP),
        _Place(10, fields.IP_ECN),
        _Place(12, fields.IPV6_FLOW_LABEL),
        _Place(56, fields.IP_TTL),
        _Place(64, fields.IPV6_SRC, True),
        _Place(192, fields.IPV6_DST, True),
    ),
    Header.TCP: (_Place(0, fields.TCP_SRC), _Place(16, fields.TCP_DST)),
    Header.UDP: (_Place(0, fields.UDP_SRC), _Place(16, fields.UDP_DST)),
}
_NEEDS = {
    Header.IP4: (ETH_P_IP, 0, "protocol ip"),
    Header.IP6: (ETH_P_IPV6, 0, "protocol ipv6"),
    Header.TCP: (0, IPPROTO_TCP, "ip_proto tcp"),
    Header.UDP: (0, IPPROTO_UDP, "ip_proto udp"),
}


def pedit(action: Pedit, packet: PacketSoFar) -> Iterator[RuleAction]:
    """The loads of all munges; several into one field are put together."""
    written: dict[Field, tuple[int, int]] = {}
    for munge in action.munges:
        header = _header(munge, packet)
        if munge.add:
            yield from _loads(written)
            written.clear()
            yield from _add(munge, header)
            packet.stale |= _stale(header, _PLACES[header][0], packet)
            continue
        for place, value, mask in _parts(munge, header):
            old_value, old_mask = written.get(place.field, (0, 0))
            written[place.field] = old_value & ~mask | value, old_mask | mask
            packet.stale |= _stale(header, place, packet)
    yield from _loads(written)
    packet.rewritten = True


def csum(action: Csum, packet: PacketSoFar) -> None:
    """Nothing is left to do: writing has mended the checksums already."""
    if not packet.rewritten:
        raise Unsupported("csum: the switch mends what a pedit before it changed")
    packet.stale &= ~action.checksums


def _loads(written: dict[Field, tuple[int, int]]) -> Iterator[SetField]:
    for field, (value, mask) in written.items():
        yield SetField(field, value, None if mask == field.full_mask else mask)


def _header(munge: Munge, packet: PacketSoFar) -> Header:
    """The header that a munge is in, which the filter must have asked for."""
    header = munge.header
    if header is Header.NETWORK:
        header = Header.IP6 if packet.eth_type == ETH_P_IPV6 else Header.IP4
    eth_type, ip_proto, words = _NEEDS.get(header, (0, 0, ""))
    if eth_type not in (0, packet.eth_type) or ip_proto not in (0, packet.ip_proto):
        raise Unsupported(f"pedit {header.value}: the filter does not ask for {words}")
    return header


def _parts(munge: Munge, header: Header) -> list[tuple[_Place, int, int]]:
    """What a munge sets of each field: (place, value, mask) in the field's bits."""
    if munge.value & munge.keep:
        raise Unsupported("pedit: the switch cannot invert bits")
    begin = munge.offset * 8
    left = munge.mask
    parts = []
    for place in _PLACES[header]:
        end = place.start + place.field.bits
        shift = end - (begin + _WORD_BITS)  # how far the field ends behind the word
        if end <= begin or place.start >= begin + _WORD_BITS:
            continue
        mask = _shifted(munge.mask, shift) & place.field.full_mask
        if mask:
            parts.append((place, _shifted(munge.value, shift) & mask, mask))
            left &= ~_shifted(mask, -shift)
    if left:
        where = f"{header.value}+{munge.offset}"
        raise Unsupported(f"pedit: the switch cannot write mask {left:08x} at {where}")
    return parts


def _shifted(bits: int, left: int) -> int:
    return bits << left if left >= 0 else bits >> -left


_TTL_WORDS = {Header.IP4: (8, 24), Header.IP6: (4, 0)}  # offset, shift


def _add(munge: Munge, header: Header) -> Iterator[RuleAction]:
    """The one sum the switch can do: the TTL less one."""
    offset, shift = _TTL_WORDS.get(header, (-1, 0))
    wanted = (offset, _DECREMENT << shift, 0xFF << shift)
    if (munge.offset, munge.value, munge.mask & WORD_MASK) != wanted:
        raise Unsupported("pedit add: the switch can only add 255 to ttl or hoplimit")
    yield Resubmit(Table.DEC_TTL)


def _stale(header: Header, place: _Place, packet: PacketSoFar) -> Checksums:
    """The checksums that a write to a field makes wrong."""
    if header is Header.TCP:
        return Checksums.TCP
    if header is Header.UDP:
        return Checksums.UDP
    stale = Checksums.IPV4HDR if header is Header.IP4 else _NO_CHECKSUMS
    if place.in_pseudo_header:
        by_protocol = _L4_OF_IPV6 if header is Header.IP6 else _L4
        stale |= by_protocol.get(packet.ip_proto, _NO_CHECKSUMS)
    return stale


def vlan_push(action: VlanPush, packet: PacketSoFar) -> Iterator[RuleAction]:
    """Put a tag in front, the only one: OVS takes no second."""
    if packet.pushed or packet.tagged is not False:
        raise Unsupported("vlan push: the switch takes no second tag")
    packet.pushed += 1
    yield PushVlan(action.protocol)
    tag = action.priority << _PCP_SHIFT | fields.VLAN_PRESENT | action.vlan_id
    yield SetField(fields.VLAN_TCI, tag)


def vlan_pop(action: VlanPop, packet: PacketSoFar) -> Iterator[RuleAction]:
    """Take the first tag off; Linux lets a packet without one pass."""
    if not _has_tag(packet, "pop"):
        return
    if packet.pushed:
        packet.pushed -= 1
    else:
        # Behind the tag the filter named there may be another, or not.
        packet.tagged = False if packet.eth_type else None
    yield PopVlan()


def vlan_modify(action: VlanModify, packet: PacketSoFar) -> Iterator[RuleAction]:
    """Rewrite the first tag; Linux lets a packet without one pass."""
    if action.protocol != ETH_P_8021Q:
        raise Unsupported("vlan modify: the switch does not change a tag's protocol")
    if not _has_tag(packet, "modify"):
        return
    yield SetField(_VID, action.vlan_id)
    if action.priority is not None:
        yield SetField(_PCP, action.priority)


def _has_tag(packet: PacketSoFar, verb: str) -> bool:
    if packet.pushed:
        return True
    if packet.tagged is None:
        raise Unsupported(f"vlan {verb}: the filter does not say if there is a tag")
    return packet.tagged
