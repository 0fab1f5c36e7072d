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
    IPPROTO_SCTP,
    IPPROTO_TCP,
    Key,
    KeyMatch,
    Match,
    PortRange,
)
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


def check(match: Match, *actions: Action) -> None:
    filter_ = Filter(1, "ens1f0_0", 0, 1, 1, match, actions)
    refusals.check(filter_, device_of)


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
