"""What mlx5's hardware does not take of a filter, in the driver's own words.

Which generation of it: ``offload.profile``.
Source: mlx5 en_tc.c:parse_cls_flower, parse_tc_fdb_actions, en/tc_ct.c
"""

from __future__ import annotations

from controller.filters import Device, DeviceKind, DeviceLookup
from controller.tunnels import VXLAN_PORT, unusual
from offload.act_api import HwStats
from offload.actions import (
    Action,
    Checksums,
    Control,
    Csum,
    Ct,
    Gact,
    Header,
    Mirred,
    Munge,
    Pedit,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
    VlanModify,
    VlanPop,
    VlanPush,
    as_run,
)
from offload.cls_api import Filter
from offload.errors import Unsupported
from offload.flower import (
    ETH_P_8021Q,
    IPPROTO_ICMP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    CtState,
    IpFlags,
    Key,
)
from offload.flower import Match as FlowerMatch
from offload.profile import DEFAULT, LabelMatch, Profile

_LOW_LABEL_BITS = 32
_NO_VERBS = (Verb.CONTINUE, Verb.RECLASSIFY, Verb.TRAP)
_REPERTOIRE = (
    *(Ct, TunnelKeySet, TunnelKeyUnset, Pedit, Csum),
    *(VlanPush, VlanPop, VlanModify),
)
_UNKNOWN_KEYS = (Key.ARP_SIP, Key.ARP_TIP, Key.ARP_OP, Key.ARP_SHA, Key.ARP_THA)
_CHECKSUMS = Checksums.IPV4HDR | Checksums.TCP | Checksums.UDP
_REWRITABLE_PROTOCOLS = (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP)


def check(filter_: Filter, device_of: DeviceLookup, profile: Profile = DEFAULT) -> None:
    """Raise Unsupported, in mlx5's words, for what its hardware does not take."""
    _check_keys(filter_)
    _check_counters(filter_)
    _check_match(filter_, profile)
    _check_ct(filter_)
    _check_verdict(filter_, device_of)
    _check_rewriting(filter_.match, filter_.actions)
    _check_tuple(filter_, profile)


def _check_keys(filter_: Filter) -> None:
    """Source: mlx5 en_tc.c:__parse_cls_flower, mlx5e_flower_parse_meta"""
    asked = filter_.match
    if asked.ranges or any(asked.get(key) for key in _UNKNOWN_KEYS):
        raise Unsupported("Unsupported key")
    flags = asked.get(Key.IP_FLAGS)
    if flags is not None and IpFlags.FIRST_FRAG in IpFlags(flags.mask):
        raise Unsupported("Match on frag first/later is not supported")
    if asked.indev and asked.indev != filter_.device:
        raise Unsupported("Can't match on the ingress filter port")


def _check_counters(filter_: Filter) -> None:
    """mlx5 counts with a delay, all actions of a filter alike.

    Source: include/net/flow_offload.h:__flow_action_hw_stats_check
    """
    if len(set(filter_.hw_stats)) > 1:
        raise Unsupported("Mixing HW stats types for actions is not supported")
    if any(HwStats.DELAYED not in each for each in filter_.hw_stats):
        raise Unsupported("Driver does not support selected HW stats type")


def _check_match(filter_: Filter, profile: Profile) -> None:
    """Source: mlx5 en/tc_ct.c:mlx5_tc_ct_parse_match"""
    state = filter_.match.get(Key.CT_STATE)
    if state is not None:
        if CtState(state.mask) & ~profile.matchable:
            raise Unsupported(profile.unmatchable)
        for flag in CtState(state.value) & profile.only_clear:
            name = str(flag.name).lower()
            raise Unsupported(f"matching on ct_state +{name} isn't supported")
    label = filter_.match.get(Key.CT_LABEL)
    if label is not None and profile.labels is LabelMatch.LOW_32_BITS:
        if label.mask >> _LOW_LABEL_BITS:
            raise Unsupported(
                "only lower 32bits of ct_labels are supported for offload"
            )


def _check_ct(filter_: Filter) -> None:
    """Source: mlx5 en/tc_ct.c:mlx5_tc_ct_parse_action"""
    cts = [action for action in filter_.actions if isinstance(action, Ct)]
    mirrors = any(isinstance(a, Mirred) and not a.redirect for a in filter_.actions)
    if len(cts) > 1:
        raise Unsupported("Multiple CT actions are not supported")
    if cts and mirrors:
        raise Unsupported("Can't offload mirroring with action ct")
    for ct in cts:
        # Model: mlx5 takes these and does not run them on a hit.
        if ct.force or ct.commit and (ct.mark or ct.label):
            raise Unsupported("ct that changes a connection is left to software")


def _check_verdict(filter_: Filter, device_of: DeviceLookup) -> None:
    """Source: mlx5 en_tc.c:parse_tc_fdb_actions

    Model: mlx5 5.7 takes an action's own verb for pipe.
    """
    actions = as_run(filter_.actions)
    goto = any(a.control.verb is Verb.GOTO_CHAIN for a in actions)
    decap = any(isinstance(action, TunnelKeyUnset) for action in actions)
    mirrors = any(isinstance(a, Mirred) and not a.redirect for a in actions)
    drops = any(a.control == Control(Verb.DROP) for a in actions)
    redirects = any(isinstance(a, Mirred) and a.redirect for a in actions)
    if goto and decap:
        raise Unsupported("Decap with goto isn't supported")
    if goto and mirrors:
        raise Unsupported("Mirroring goto chain rules isn't supported")
    if any(not _taken(action) for action in actions):
        raise Unsupported("The offload action is not supported")
    if not (goto or drops or redirects):
        raise Unsupported("Rule must have at least one forward/drop action")
    _check_tunnels(actions, device_of)


def _taken(action: Action) -> bool:
    """Is this action in mlx5's repertoire?"""
    if action.control.verb in _NO_VERBS:
        return False
    if isinstance(action, Mirred):
        return action.egress
    if isinstance(action, Gact):
        return action.control.verb in (Verb.GOTO_CHAIN, Verb.DROP)
    return isinstance(action, _REPERTOIRE)


def _check_tunnels(actions: tuple[Action, ...], device_of: DeviceLookup) -> None:
    """A tunnel device is reached only with a tunnel key, which only it takes.

    Source: mlx5 en/tc_tun_vxlan.c:mlx5e_init_encap_attr_vxlan
    """
    encap = any(isinstance(action, TunnelKeySet) for action in actions)
    targets: list[Device] = [
        device_of(action.dev) for action in actions if isinstance(action, Mirred)
    ]
    if any(target.kind is DeviceKind.TUNNEL for target in targets) and not encap:
        raise Unsupported("devices are not on same switch HW, can't offload forwarding")
    if any(outer.udp_port != VXLAN_PORT for outer in unusual(actions)):
        raise Unsupported("vxlan udp dport was not registered with the HW")


def _check_rewriting(asked: FlowerMatch, actions: tuple[Action, ...]) -> None:
    """Source: mlx5 en_tc.c:modify_header_match_supported, csum_offload_supported"""
    pedits = [action for action in actions if isinstance(action, Pedit)]
    for pedit in pedits:
        if not pedit.extended:
            raise Unsupported("legacy pedit isn't offloaded")
        for munge in pedit.munges:
            _check_munge(munge, asked)
    for action in actions:
        if isinstance(action, Csum):
            if not pedits:
                raise Unsupported("TC csum action is only offloaded with pedit")
            if action.checksums & ~_CHECKSUMS:
                raise Unsupported("can't offload TC csum action for some header/s")
        if isinstance(action, VlanModify):
            _check_vlan_rewriting(asked, action)


# In each header, the 32-bit words and the bits there that mlx5 rewrites.
_TTL, _HOP_LIMIT = (8, 0xFF000000), (4, 0xFF)
_REWRITABLE = {
    Header.ETH: dict.fromkeys((0, 4, 8), 0xFFFFFFFF),
    Header.IP4: dict.fromkeys((12, 16), 0xFFFFFFFF) | dict([_TTL]),
    Header.IP6: dict.fromkeys(range(8, 40, 4), 0xFFFFFFFF) | dict([_HOP_LIMIT]),
    Header.TCP: {0: 0xFFFFFFFF, 12: 0x00FF0000},
    Header.UDP: {0: 0xFFFFFFFF},
}
_ADDRESSES_FROM = {Header.IP4: 12, Header.IP6: 8}


def _check_munge(munge: Munge, asked: FlowerMatch) -> None:
    """Source: mlx5 en_tc.c:offload_pedit_fields, is_action_keys_supported"""
    if munge.mask & ~_REWRITABLE[munge.header].get(munge.offset, 0):
        raise Unsupported("attempt to offload an unsupported field")
    ip_proto = asked.get(Key.IP_PROTO)
    proto = ip_proto.value if ip_proto else 0
    first = _ADDRESSES_FROM.get(munge.header)
    if first is not None and munge.offset >= first:
        if proto not in _REWRITABLE_PROTOCOLS:
            raise Unsupported("can't offload re-write of non TCP/UDP")


_TUPLE = {
    Header.IP4: "ipv4 address",
    Header.IP6: "ipv6 address",
    Header.TCP: "transport header ports",
    Header.UDP: "transport header ports",
}


def rewrites_tuple(actions: tuple[Action, ...]) -> str:
    """What of a packet's addresses and ports actions write, in mlx5's words; "" if nothing."""
    for action in actions:
        for munge in action.munges if isinstance(action, Pedit) else ():
            if munge.offset >= _ADDRESSES_FROM.get(munge.header, 0):
                if munge.header in _TUPLE:
                    return _TUPLE[munge.header]
    return ""


def hides_connection(filter_: Filter, profile: Profile) -> bool:
    """Would a miss behind this filter not find the connection of its packet again?"""
    clears = any(isinstance(each, Ct) and each.clear for each in filter_.actions)
    rewritten = rewrites_tuple(filter_.actions)
    return profile.restores_by_tuple and bool(rewritten) and not clears


def _check_tuple(filter_: Filter, profile: Profile) -> None:
    """Addresses and ports are what conntrack knows a packet by, and hardware does ct first.

    Of what a filter asks, +trk alone is refused: as in the kernel, which looks no closer.
    Model: for 5.7 ``ct clear`` is a ct like any other; here it is none for both.
    Source: mlx5 en_tc.c:is_action_keys_supported, modify_tuple_supported
    """
    rewritten = rewrites_tuple(filter_.actions)
    if rewritten and any(isinstance(a, Ct) and not a.clear for a in filter_.actions):
        raise Unsupported(f"can't offload re-write of {rewritten} with action ct")
    state = filter_.match.get(Key.CT_STATE)
    only_tracked = state is not None and state.value == CtState.TRK.value
    if only_tracked and hides_connection(filter_, profile):
        raise Unsupported(
            "can't offload tuple modification with ct matches and no ct(clear) action"
        )


def _check_vlan_rewriting(asked: FlowerMatch, action: VlanModify) -> None:
    """Source: mlx5 en_tc.c:add_vlan_rewrite_action"""
    if asked.protocol != ETH_P_8021Q:
        raise Unsupported("VLAN rewrite action must have VLAN protocol match")
    prio = asked.get(Key.VLAN_PRIO)
    if (action.priority or 0) != (prio.value if prio else 0):
        raise Unsupported("Changing VLAN prio is not supported")
