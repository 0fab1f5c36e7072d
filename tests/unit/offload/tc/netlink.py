"""The kernel's dump of a filter as netlink bytes, for the system's tc to print.

``tc monitor file FILE`` prints messages from a file, so tc's own printers can
be asked about filters that the running kernel cannot hold.
Source: include/uapi/linux/pkt_cls.h, include/uapi/linux/tc_act/*.h
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address

from offload.act_api import ANY_STATS
from offload.actions import (
    MARK_MASK,
    Action,
    Csum,
    Ct,
    Gact,
    Header,
    Mirred,
    NatKind,
    Pedit,
    Skbedit,
    TunnelKeySet,
    Verb,
    Vlan,
    VlanModify,
    VlanPop,
    VlanPush,
)
from offload.flower import (
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_ALL,
    ETH_P_IP,
    Key,
    KeyMatch,
)
from offload.tc import Counters, Shown
from offload.tc.stats import ActionState

RTM_NEWTFILTER = 44
LOOPBACK = 1

_KEYS = {
    Key.VLAN_ID: (23, None),
    Key.VLAN_PRIO: (24, None),
    Key.VLAN_ETHTYPE: (25, None),
    Key.CVLAN_ETHTYPE: (79, None),
    Key.CVLAN_ID: (77, None),
    Key.CVLAN_PRIO: (78, None),
    Key.ARP_SIP: (57, 58),
    Key.ARP_TIP: (59, 60),
    Key.ARP_OP: (61, 62),
    Key.ARP_SHA: (63, 64),
    Key.ARP_THA: (65, 66),
    Key.ENC_TOS: (80, 81),
    Key.ENC_TTL: (82, 83),
    Key.IP_FLAGS: (47, 48),
    Key.DST_MAC: (4, 5),
    Key.SRC_MAC: (6, 7),
    Key.IP_PROTO: (9, None),
    Key.SRC_IPV4: (10, 11),
    Key.DST_IPV4: (12, 13),
    Key.SRC_IPV6: (14, 15),
    Key.DST_IPV6: (16, 17),
    Key.ENC_KEY_ID: (26, None),
    Key.ENC_SRC_IPV4: (27, 28),
    Key.ENC_DST_IPV4: (29, 30),
    Key.ENC_SRC_IPV6: (31, 32),
    Key.ENC_DST_IPV6: (33, 34),
    Key.ENC_DST_PORT: (45, 46),
    Key.TCP_FLAGS: (71, 72),
    Key.IP_TOS: (73, 74),
    Key.IP_TTL: (75, 76),
    Key.CT_STATE: (91, 92),
    Key.CT_ZONE: (93, 94),
    Key.CT_MARK: (95, 96),
    Key.CT_LABEL: (97, 98),
}
_LITTLE = (
    *(Key.CT_STATE, Key.CT_ZONE, Key.CT_MARK, Key.CT_LABEL),
    *(Key.VLAN_ID, Key.CVLAN_ID),
)
_SIZES = {Key.CT_STATE: 2, Key.IP_FLAGS: 4}
_RANGES = {Key.SRC_PORT: (87, 88), Key.DST_PORT: (89, 90)}
_HEADERS = {Header.NETWORK: 0, Header.ETH: 1, Header.IP4: 2, Header.IP6: 3}
_HEADERS |= {Header.TCP: 4, Header.UDP: 5}
_PORTS = {6: ((18, 35), (19, 36)), 17: ((20, 37), (21, 38)), 132: ((41, 39), (42, 40))}
_ICMP = {True: ((51, 52), (49, 50)), False: ((55, 56), (53, 54))}


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    size = len(payload) + 4
    return struct.pack("HH", size, kind) + payload + b"\0" * (-size % 4)


def nest(kind: int, parts: Iterable[bytes]) -> bytes:
    """Attributes in one."""
    return attr(kind, b"".join(parts))


def u16(number: int) -> bytes:
    return struct.pack("H", number)


def u32(number: int) -> bytes:
    return struct.pack("I", number)


def be16(number: int) -> bytes:
    return struct.pack(">H", number)


def dump(entries: Iterable[Shown]) -> bytes:
    """A header for each (chain, prio), then its filters."""
    out = b""
    last = None
    for entry in entries:
        if (entry.chain, entry.prio) != last:
            out += _message(entry, 0, b"")
        last = (entry.chain, entry.prio)
        out += _message(entry, entry.handle, nest(2, _options(entry)))
    return out


def _message(entry: Shown, handle: int, options: bytes) -> bytes:
    info = entry.prio << 16 | socket.htons(entry.protocol)
    tcmsg = struct.pack("BxxxiIII", 0, LOOPBACK, handle, entry.hook.value, info)
    body = tcmsg + attr(1, b"flower\0") + attr(11, u32(entry.chain)) + options
    return struct.pack("IHHII", 16 + len(body), RTM_NEWTFILTER, 0, 0, 0) + body


def _options(entry: Shown) -> Iterable[bytes]:
    for asked in entry.match.keys:
        yield from _key(entry, asked)
    for each in entry.match.ranges:
        low, high = _RANGES[each.key]
        yield attr(low, be16(each.low)) + attr(high, be16(each.high))
    if entry.match.indev:
        yield attr(2, entry.match.indev.encode() + b"\0")
    if entry.match.eth_type not in (ETH_P_ALL, ETH_P_8021Q, ETH_P_8021AD):
        yield attr(8, be16(entry.match.eth_type))
    flags = entry.skip_hw | entry.skip_sw << 1
    yield attr(22, u32(flags | (4 if entry.in_hw else 8)))
    if entry.in_hw:
        yield attr(86, u32(entry.in_hw_count))
    both = enumerate(zip(entry.actions, entry.states, strict=True), 1)
    if entry.actions:
        yield nest(3, (_action(n, a, s) for n, (a, s) in both))


def _key(entry: Shown, asked: KeyMatch) -> Iterable[bytes]:
    proto = entry.match.get(Key.IP_PROTO)
    table = dict(_KEYS)
    if proto and proto.value in _PORTS:
        table[Key.SRC_PORT], table[Key.DST_PORT] = _PORTS[proto.value]
    icmp = _ICMP[entry.match.eth_type == ETH_P_IP]
    table[Key.ICMP_TYPE], table[Key.ICMP_CODE] = icmp
    value_attr, mask_attr = table[asked.key]
    size = _SIZES.get(asked.key, (asked.key.bits + 7) // 8)
    order = "little" if asked.key in _LITTLE else "big"
    yield attr(value_attr, asked.value.to_bytes(size, order))  # type: ignore[arg-type]
    if mask_attr is not None:
        mask = asked.mask.to_bytes(size, order)  # type: ignore[arg-type]
        yield attr(mask_attr, mask)


def _action(number: int, action: Action, state: ActionState) -> bytes:
    kind, options = _action_options(action, state)
    labels = [
        attr(6, state.cookie) if state.cookie else b"",
        attr(7, struct.pack("II", 1, 1)) if state.no_percpu else b"",
        attr(9, struct.pack("II", 2, 3)) if state.used_hw_stats else b"",
    ]
    if state.hw_stats != ANY_STATS:
        labels.append(attr(8, struct.pack("II", state.hw_stats.value, 3)))
    described = (attr(1, kind.encode() + b"\0"), nest(2, options))
    return nest(number, (*described, nest(4, _stats(state)), *labels))


def _stats(state: ActionState) -> Iterable[bytes]:
    yield attr(1, _counters(state.software + state.hardware))
    yield attr(7, _counters(state.hardware))
    yield attr(3, struct.pack("IIIII", 0, 0, state.drops, 0, state.overlimits))


def _counters(counters: Counters) -> bytes:
    return struct.pack("QIxxxx", counters.bytes, counters.packets)


def _generic(state: ActionState, action: Action) -> bytes:
    control = action.control
    verb = control.verb.value | control.chain | control.skip
    return struct.pack("IIiii", state.index, 0, verb, state.ref, state.bind)


def _times(state: ActionState) -> bytes:
    times = state.times
    seconds = (times.installed_s, times.used_s, 0, times.firstused_s or 0)
    return struct.pack("QQQQ", *(int(s * 100) for s in seconds))


def _action_options(action: Action, state: ActionState) -> tuple[str, list[bytes]]:
    generic, times = _generic(state, action), _times(state)
    match action:
        case Ct():
            return "ct", [attr(1, generic), attr(2, times), *_ct(action)]
        case Gact():
            return "gact", [attr(2, generic), attr(1, times)]
        case Mirred():
            which = {(True, True): 1, (False, True): 2, (True, False): 3}
            eaction = which.get((action.redirect, action.egress), 4)
            parms = generic + struct.pack("iI", eaction, LOOPBACK)
            return "mirred", [attr(2, parms), attr(1, times)]
        case Pedit():
            return "pedit", [*_pedit(action, generic), attr(1, times)]
        case Csum():
            parms = generic + u32(action.checksums.value)
            return "csum", [attr(1, parms), attr(2, times)]
        case Skbedit():
            return "skbedit", [attr(2, generic), attr(1, times), *_skbedit(action)]
        case VlanPop() | VlanPush() | VlanModify():
            return "vlan", [*_vlan(action, generic), attr(1, times)]
        case TunnelKeySet():
            parms = generic + struct.pack("i", 1)
            return "tunnel_key", [attr(2, parms), attr(1, times), *_tunnel(action)]
        case _:
            parms = generic + struct.pack("i", 2)
            return "tunnel_key", [attr(2, parms), attr(1, times)]


def _pedit(action: Pedit, generic: bytes) -> Iterable[bytes]:
    keys = b"".join(
        struct.pack(">II", munge.keep, munge.value)
        + struct.pack("IIII", munge.offset, 0, 0, 0)
        for munge in action.munges
    )
    sel = generic + struct.pack("BBxx", len(action.munges), 0) + keys
    yield attr(4 if action.extended else 2, sel)
    if action.extended:
        headers = ((_HEADERS[m.header], m.add) for m in action.munges)
        yield nest(5, (nest(6, (attr(1, u16(h)), attr(2, u16(a)))) for h, a in headers))


def _skbedit(action: Skbedit) -> Iterable[bytes]:
    if action.priority is not None:
        yield attr(3, u32(action.priority))
    if action.queue_mapping is not None:
        yield attr(4, u16(action.queue_mapping))
    if action.mark is not None:
        yield attr(5, u32(action.mark.value))
        if action.mark.mask != MARK_MASK:
            yield attr(8, u32(action.mark.mask))
    if action.ptype is not None:
        yield attr(7, u16(action.ptype))
    if action.inherit_dsfield:
        yield attr(9, struct.pack("Q", 0x20))


def _vlan(action: Vlan, generic: bytes) -> Iterable[bytes]:
    modes = {VlanPop: 1, VlanPush: 2, VlanModify: 3}
    yield attr(2, generic + u32(modes[type(action)]))
    if not isinstance(action, VlanPop):
        yield attr(3, u16(action.vlan_id)) + attr(4, be16(action.protocol))
        if action.priority is not None:
            yield attr(6, bytes([action.priority]))


def _tunnel(action: TunnelKeySet) -> Iterable[bytes]:
    v6 = isinstance(action.src, IPv6Address)
    yield attr(5 if v6 else 3, action.src.packed)
    yield attr(6 if v6 else 4, action.dst.packed)
    if action.key_id is not None:
        yield attr(7, struct.pack(">I", action.key_id))
    if action.dst_port:
        yield attr(9, be16(action.dst_port))
    yield attr(10, bytes([not action.csum]))
    if action.tos:
        yield attr(12, bytes([action.tos]))
    if action.ttl:
        yield attr(13, bytes([action.ttl]))


def _ct(action: Ct) -> Iterable[bytes]:
    flags = action.commit | action.force << 1 | action.clear << 2
    nat = action.nat
    if nat:
        kinds = {NatKind.RESTORE: 8, NatKind.SRC: 24, NatKind.DST: 40}
        flags |= kinds[nat.kind]
    yield attr(3, u16(flags))
    if action.clear:
        return
    if action.mark and action.mark.mask:
        yield attr(5, u32(action.mark.value)) + attr(6, u32(action.mark.mask))
    if action.label and action.label.mask:
        yield attr(7, action.label.value.to_bytes(16, "little"))
        yield attr(8, action.label.mask.to_bytes(16, "little"))
    yield attr(4, u16(action.zone))
    if nat and nat.addr_min and nat.addr_max:
        first = 11 if isinstance(nat.addr_min, IPv6Address) else 9
        yield attr(first, nat.addr_min.packed) + attr(first + 1, nat.addr_max.packed)
    if nat and nat.port_min:
        yield attr(13, be16(nat.port_min)) + attr(14, be16(nat.port_max))


assert Verb.GOTO_CHAIN.value == 2 << 28
