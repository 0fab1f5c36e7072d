"""mlx5's words for what its hardware does not rewrite or match."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from controller import refusals
from offload.actions import (
    DROP,
    PIPE,
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
    Skbedit,
    TunnelKeySet,
    Verb,
    VlanModify,
    VlanPop,
    VlanPush,
)
from offload.cls_api import Filter
from offload.errors import Unsupported
from offload.flower import (
    ETH_P_8021Q,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    CtState,
    Key,
    KeyMatch,
    Match,
    PortRange,
)
from offload.profile import DEFAULT, PROFILES, Profile
from tests.unit.controller.made import device_of

HV2 = IPv4Address("7.7.7.8")
OUT = Mirred("ens1f0_1", redirect=True)
TCP = KeyMatch(Key.IP_PROTO, IPPROTO_TCP, 0xFF)
FIRST = KeyMatch(Key.IP_FLAGS, 2, 2)
NO_FRAG = KeyMatch(Key.IP_FLAGS, 0, 1)
PRIO_3 = KeyMatch(Key.VLAN_PRIO, 3, 7)
IP_SRC = Munge(Header.IP4, 12, 1, 0)
IP_TTL = Munge(Header.IP4, 8, 1 << 24, 0x00FFFFFF)
CSUM = Csum(Checksums.IPV4HDR | Checksums.TCP, PIPE)


def pedit(*munges: Munge, extended: bool = True) -> Pedit:
    return Pedit(munges, extended, PIPE)


def check(match: Match, *actions: Action, profile: Profile = DEFAULT) -> None:
    filter_ = Filter(1, "ens1f0_0", 0, 1, 1, match, actions)
    refusals.check(filter_, device_of, profile)


def ip(*keys: KeyMatch) -> Match:
    return Match(ETH_P_IP, keys)


@pytest.mark.parametrize(
    ("match", "actions", "reason"),
    [
        (
            Match(ETH_P_IP, (TCP,), (PortRange(Key.DST_PORT, 1, 9),)),
            [OUT],
            "Unsupported key",
        ),
        (ip(KeyMatch(Key.ARP_OP, 1, 0xFF)), [OUT], "Unsupported key"),
        (ip(FIRST), [OUT], "Match on frag first/later is not supported"),
        (Match(ETH_P_IP, indev="x"), [OUT], "Can't match on the ingress filter port"),
        (ip(), [Skbedit(priority=1), OUT], "The offload action is not supported"),
        (
            ip(),
            [TunnelKeySet(HV2, HV2, 98, 4790), Mirred("vxlan0", redirect=True)],
            "vxlan udp dport was not registered with the HW",
        ),
        (
            ip(),
            [VlanPop(Control(Verb.CONTINUE))],
            "The offload action is not supported",
        ),
        (
            ip(),
            [Pedit((IP_TTL,)), OUT],
            "Rule must have at least one forward/drop action",
        ),
        (ip(), [pedit(IP_TTL, extended=False), OUT], "legacy pedit isn't offloaded"),
        (
            ip(),
            [pedit(Munge(Header.IP4, 4, 0, 0)), OUT],
            "attempt to offload an unsupported field",
        ),
        (ip(), [pedit(IP_SRC), CSUM, OUT], "can't offload re-write of non TCP/UDP"),
        (
            ip(KeyMatch(Key.IP_PROTO, IPPROTO_SCTP, 0xFF)),
            [pedit(IP_SRC), OUT],
            "can't offload re-write of non TCP/UDP",
        ),
        (ip(TCP), [CSUM, OUT], "TC csum action is only offloaded with pedit"),
        (
            ip(TCP),
            [pedit(IP_SRC), Csum(Checksums.ICMP, PIPE), OUT],
            "can't offload TC csum action for some header/s",
        ),
        (
            ip(),
            [VlanModify(5), OUT],
            "VLAN rewrite action must have VLAN protocol match",
        ),
        (
            Match(ETH_P_8021Q, (PRIO_3,)),
            [VlanModify(5), OUT],
            "Changing VLAN prio is not supported",
        ),
        (
            Match(ETH_P_8021Q),
            [VlanModify(5, priority=3), OUT],
            "Changing VLAN prio is not supported",
        ),
    ],
)
def test_refused(match: Match, actions: list[Action], reason: str) -> None:
    with pytest.raises(Unsupported) as refused:
        check(match, *actions)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("match", "actions"),
    [
        (Match(ETH_P_IP, (NO_FRAG,), indev="ens1f0_0"), [OUT]),
        (ip(TCP), [pedit(IP_SRC, IP_TTL), CSUM, OUT]),
        (ip(TCP), [pedit(IP_SRC), Gact(DROP)]),
        (ip(), [pedit(IP_TTL), OUT]),
        (ip(), [pedit(Munge(Header.ETH, 0, 1, 0)), VlanPush(5), OUT]),
        (Match(ETH_P_8021Q, (PRIO_3,)), [VlanModify(5, priority=3), OUT]),
        (Match(ETH_P_8021Q), [VlanModify(5), VlanPop(), OUT]),
    ],
)
def test_taken(match: Match, actions: list[Action]) -> None:
    check(match, *actions)


MAC = Munge(Header.ETH, 0, 1, 0)
IP6_DST = Munge(Header.IP6, 24, 1, 0)
DPORT = Munge(Header.TCP, 0, 1, 0xFFFF0000)


def state(value: CtState, mask: CtState) -> KeyMatch:
    return KeyMatch(Key.CT_STATE, value.value, mask.value)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize(
    ("protocol", "munges", "what"),
    [
        (ETH_P_IP, [IP_TTL, MAC, IP_SRC], "ipv4 address"),
        (ETH_P_IPV6, [IP6_DST], "ipv6 address"),
        (ETH_P_IP, [MAC, DPORT], "transport header ports"),
        (ETH_P_IP, [MAC, IP_TTL], ""),
    ],
)
@pytest.mark.parametrize("clear", [False, True])
def test_a_tuple_is_not_written_beside_ct(
    profile: Profile, protocol: int, munges: list[Munge], what: str, clear: bool
) -> None:
    """Before the lookup or behind it; ct clear asks for no connection."""
    match = Match(protocol, (TCP,))
    ct = Ct(clear=clear)
    for actions in ((pedit(*munges), ct, OUT), (ct, pedit(*munges), OUT)):
        if clear or not what:
            check(match, *actions, profile=profile)
            continue
        with pytest.raises(Unsupported) as refused:
            check(match, *actions, profile=profile)
        assert str(refused.value) == f"can't offload re-write of {what} with action ct"


TRK, EST = CtState.TRK, CtState.EST


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize(
    ("asked", "refused_later"),
    [
        (state(TRK, TRK), True),
        (state(TRK, TRK | EST), True),
        (state(TRK | EST, TRK | EST), False),
        (state(CtState(0), TRK), False),
    ],
)
def test_the_tuple_of_what_is_tracked(
    profile: Profile, asked: KeyMatch, refused_later: bool
) -> None:
    """A later generation restores by it; the kernel's test for that is as narrow as this."""
    if not (refused_later and profile.restores_by_tuple):
        check(ip(TCP, asked), pedit(IP_SRC), OUT, profile=profile)
        return
    with pytest.raises(Unsupported, match=r"with ct matches and no ct\(clear\) action"):
        check(ip(TCP, asked), pedit(IP_SRC), OUT, profile=profile)
    check(ip(TCP, asked), Ct(clear=True), pedit(IP_SRC), OUT, profile=profile)
