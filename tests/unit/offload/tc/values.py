"""Hypothesis strategies for the values the command language speaks of."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from offload.act_api import HwStats
from offload.actions import (
    STOLEN,
    WORD_MASK,
    Action,
    Address,
    Checksums,
    Control,
    Csum,
    Ct,
    Gact,
    Header,
    Masked,
    Mirred,
    Munge,
    Nat,
    NatKind,
    Pedit,
    Skbedit,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
    VlanModify,
    VlanPop,
    VlanPush,
)
from offload.flower import (
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    Key,
    KeyMatch,
    Match,
    PortRange,
)
from offload.tc import ActionState, Counters, Hook, Shown, Times

VERBS = [verb for verb in Verb if verb not in (Verb.STOLEN, Verb.GOTO_CHAIN, Verb.JUMP)]
OF_IP = (Key.IP_TOS, Key.IP_TTL, Key.IP_FLAGS)
OF_ARP = (Key.ARP_SIP, Key.ARP_TIP, Key.ARP_OP, Key.ARP_SHA, Key.ARP_THA)
OF_TAG = (Key.VLAN_ID, Key.VLAN_PRIO)
OF_INNER_TAG = (Key.CVLAN_ID, Key.CVLAN_PRIO)
EXACT = (Key.IP_PROTO, Key.ENC_KEY_ID, Key.ENC_DST_PORT, *OF_TAG, *OF_INNER_TAG)
ANY_PROTOCOL = (Key.DST_MAC, Key.SRC_MAC, Key.ENC_KEY_ID, Key.ENC_DST_PORT)
CT_KEYS = (Key.CT_STATE, Key.CT_ZONE, Key.CT_MARK, Key.CT_LABEL)
PREFIXES = {
    ETH_P_IP: (Key.DST_IPV4, Key.SRC_IPV4, Key.ENC_DST_IPV4, Key.ENC_SRC_IPV4),
    ETH_P_IPV6: (Key.DST_IPV6, Key.SRC_IPV6, Key.ENC_DST_IPV6, Key.ENC_SRC_IPV6),
}
PORTS = (Key.DST_PORT, Key.SRC_PORT)
ICMP = (Key.ICMP_TYPE, Key.ICMP_CODE)


def controls() -> st.SearchStrategy[Control]:
    return st.one_of(
        st.sampled_from(VERBS).map(Control),
        st.builds(Control, st.just(Verb.GOTO_CHAIN), st.integers(0, 2**28 - 1)),
        st.integers(0, 2**28 - 1).map(lambda n: Control(Verb.JUMP, skip=n)),
    )


def masked(bits: int) -> st.SearchStrategy[Masked]:
    full = 2**bits - 1
    masks = st.one_of(st.just(full), st.integers(1, full))
    return st.builds(Masked, st.integers(0, full), masks)


def ipv4() -> st.SearchStrategy[Address]:
    return st.integers(0, 2**32 - 1).map(IPv4Address)


def ipv6() -> st.SearchStrategy[Address]:
    return st.integers(0, 2**128 - 1).map(IPv6Address)


@st.composite
def nats(draw: st.DrawFn) -> Nat:
    kind = draw(st.sampled_from([NatKind.SRC, NatKind.DST]))
    addresses: list[st.SearchStrategy[Address]] = [ipv4(), ipv6()]
    address = draw(st.sampled_from(addresses))
    port = draw(st.integers(0, 65535))
    last = draw(st.integers(1, 65535)) if port else 0
    return Nat(kind, draw(address), draw(address), port, last)


@st.composite
def cts(draw: st.DrawFn) -> Ct:
    control = draw(controls())
    form = draw(st.sampled_from(["clear", "look", "commit"]))
    if form == "clear":
        return Ct(clear=True, control=control)
    commit = form == "commit"
    restore = st.one_of(st.none(), st.just(Nat(NatKind.RESTORE)))
    return Ct(
        zone=draw(st.integers(0, 65535)),
        commit=commit,
        force=commit and draw(st.booleans()),
        mark=draw(st.one_of(st.none(), masked(32))),
        label=draw(st.one_of(st.none(), masked(128))),
        nat=draw(st.one_of(st.none(), nats()) if commit else restore),
        control=control,
    )


def tunnel_key_sets() -> st.SearchStrategy[TunnelKeySet]:
    octet = st.one_of(st.none(), st.integers(1, 255))
    rest = {
        "key_id": st.one_of(st.none(), st.integers(0, 2**32 - 1)),
        "dst_port": st.one_of(st.none(), st.integers(1, 65535)),
        "tos": octet,
        "ttl": octet,
        "csum": st.booleans(),
        "control": controls(),
    }
    return st.one_of(
        st.builds(TunnelKeySet, ipv4(), ipv4(), **rest),
        st.builds(TunnelKeySet, ipv6(), ipv6(), **rest),
    )


def mirreds() -> st.SearchStrategy[Mirred]:
    return st.one_of(
        st.builds(Mirred, st.just("lo"), st.just(True), st.booleans(), st.just(STOLEN)),
        st.builds(Mirred, st.just("lo"), st.just(False), st.booleans(), controls()),
    )


def munges(extended: bool) -> st.SearchStrategy[Munge]:
    """Set ones keep no bit that they have: tc makes no others."""
    headers = [each for each in Header if each is not Header.NETWORK]
    word = st.integers(0, 2**32 - 1)
    return st.builds(
        lambda header, at, keep, value, add: Munge(
            header, 4 * at, value & ~keep & WORD_MASK, keep, add
        ),
        st.sampled_from(headers if extended else [Header.NETWORK]),
        st.integers(0, 9),
        word,
        word,
        st.booleans() if extended else st.just(False),
    )


def pedits(extended: bool) -> st.SearchStrategy[Pedit]:
    found = st.lists(munges(extended), min_size=1, max_size=5).map(tuple)
    return st.builds(Pedit, found, st.just(extended), controls())


def skbedits() -> st.SearchStrategy[Skbedit]:
    return st.builds(
        Skbedit,
        mark=st.one_of(st.none(), masked(32)),
        priority=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
        queue_mapping=st.one_of(st.none(), st.integers(0, 65535)),
        ptype=st.one_of(st.none(), st.integers(0, 3)),
        inherit_dsfield=st.just(True),
        control=controls(),
    )


def vlans() -> st.SearchStrategy[Action]:
    vlan_id, protocol = st.integers(0, 4094), st.sampled_from([0x8100, 0x88A8])
    prio = st.integers(0, 7)
    return st.one_of(
        st.builds(VlanPop, controls()),
        st.builds(VlanPush, vlan_id, protocol, prio, controls()),
        st.builds(
            VlanModify, vlan_id, protocol, st.one_of(st.none(), prio), controls()
        ),
    )


def csums() -> st.SearchStrategy[Csum]:
    return st.builds(Csum, st.integers(1, 127).map(Checksums), controls())


def action_values(extended: bool = False) -> st.SearchStrategy[Action]:
    """Any action; pedit in the old form, which tc takes as it prints it."""
    return st.one_of(
        pedits(extended),
        skbedits(),
        vlans(),
        csums(),
        cts(),
        tunnel_key_sets(),
        st.builds(TunnelKeyUnset, controls()),
        mirreds(),
        st.builds(Gact, controls()),
    )


@st.composite
def key_matches(draw: st.DrawFn, key: Key) -> KeyMatch:
    if key in EXACT:
        mask = key.full_mask
    elif key is Key.ARP_OP:
        return KeyMatch(key, draw(st.integers(1, 2)), key.full_mask)
    elif key in PREFIXES[ETH_P_IP] + PREFIXES[ETH_P_IPV6] + OF_ARP[:2]:
        length = draw(st.integers(1, key.bits))
        mask = (1 << key.bits) - (1 << (key.bits - length))
    else:
        mask = draw(st.one_of(st.just(key.full_mask), st.integers(1, key.full_mask)))
    low = 1 if key in PORTS else 0
    value = draw(st.integers(low, key.full_mask)) & mask
    if key in PORTS and not value:  # tc takes no port 0 but under a mask
        value = mask = key.full_mask
    return KeyMatch(key, value, mask)


@st.composite
def layers(draw: st.DrawFn) -> tuple[int, list[KeyMatch], int]:
    """A protocol, the tags that it says there are, and what is behind them."""
    behind = draw(st.sampled_from([ETH_P_IP, ETH_P_IPV6, ETH_P_ARP, 0x1234]))
    tags = draw(st.integers(0, 2))
    if not tags:
        return draw(st.sampled_from([behind, ETH_P_ALL])), [], behind
    outer = draw(st.sampled_from([0x8100, 0x88A8]))
    if tags == 1:
        return outer, [KeyMatch(Key.VLAN_ETHTYPE, behind, 0xFFFF)], behind
    inner = draw(st.sampled_from([0x8100, 0x88A8]))
    types = [
        KeyMatch(Key.VLAN_ETHTYPE, inner, 0xFFFF),
        KeyMatch(Key.CVLAN_ETHTYPE, behind, 0xFFFF),
    ]
    return outer, types, behind


@st.composite
def matches(draw: st.DrawFn) -> Match:
    protocol, found, behind = draw(layers())
    if protocol == ETH_P_ALL:
        behind = ETH_P_ALL
    allowed = [*ANY_PROTOCOL, *CT_KEYS, *PREFIXES.get(behind, ())]
    allowed += OF_TAG * (len(found) > 0) + OF_INNER_TAG * (len(found) > 1)
    allowed += OF_ARP * (behind == ETH_P_ARP)
    ranged: list[Key] = []
    if behind in PREFIXES:
        allowed += OF_IP
        ip_proto = draw(st.sampled_from([None, 6, 17, 132, 1, 58, 47]))
        if ip_proto == 6:
            allowed.append(Key.TCP_FLAGS)
        if ip_proto in (6, 17, 132):
            allowed += PORTS
            ranged = draw(st.lists(st.sampled_from(PORTS), unique=True))
        if (behind, ip_proto) in ((ETH_P_IP, 1), (ETH_P_IPV6, 58)):
            allowed += ICMP
        if (behind, ip_proto) in ((ETH_P_IP, 58), (ETH_P_IPV6, 1)):
            ip_proto = None
        if ip_proto is not None:
            found.append(KeyMatch(Key.IP_PROTO, ip_proto, 0xFF))
    for key in draw(st.lists(st.sampled_from(allowed), unique=True, max_size=5)):
        found.append(draw(key_matches(key)))
    order = list(Key)
    return Match(
        protocol,
        tuple(sorted(found, key=lambda m: order.index(m.key))),
        tuple(draw(port_ranges(key)) for key in PORTS if key in ranged),
        draw(st.sampled_from(["", "lo"])),
    )


@st.composite
def port_ranges(draw: st.DrawFn, key: Key) -> PortRange:
    low = draw(st.integers(1, 65534))
    return PortRange(key, low, draw(st.integers(low + 1, 65535)))


def counters() -> st.SearchStrategy[Counters]:
    return st.builds(Counters, st.integers(0, 2**30), st.integers(0, 2**60))


@st.composite
def times(draw: st.DrawFn) -> Times:
    seconds = st.one_of(st.just(0.0), st.integers(0, 10**6).map(lambda n: n / 100))
    return Times(draw(seconds), draw(seconds), draw(st.one_of(st.none(), seconds)))


@st.composite
def shown(draw: st.DrawFn) -> Shown:
    match = draw(matches())
    actions = tuple(draw(st.lists(action_values(draw(st.booleans())), max_size=4)))
    states = tuple(
        ActionState(
            index=draw(st.integers(1, 99)),
            software=draw(counters()),
            hardware=draw(st.one_of(st.just(Counters()), counters())),
            drops=draw(st.integers(0, 99)),
            times=draw(times()),
            cookie=draw(st.one_of(st.just(b""), st.binary(min_size=1, max_size=16))),
            hw_stats=HwStats(draw(st.integers(0, 3))),
            no_percpu=draw(st.booleans()),
            used_hw_stats=draw(st.booleans()),
        )
        for _ in actions
    )
    return Shown(
        device="lo",
        chain=draw(st.integers(0, 2**28 - 1)),
        prio=draw(st.integers(1, 65535)),
        protocol=match.protocol,
        handle=draw(st.integers(1, 2**32 - 1)),
        match=match,
        actions=actions,
        states=states,
        skip_sw=draw(st.booleans()),
        skip_hw=draw(st.booleans()),
        in_hw=draw(st.booleans()),
        hook=draw(st.sampled_from([Hook.INGRESS, Hook.EGRESS])),
    )
