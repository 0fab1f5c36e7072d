"""pedit, csum and vlan as loads, and what the switch cannot do of them."""

from __future__ import annotations

import pytest

from controller import fields
from controller.filters import Place, plain_actions
from controller.hardware import HARDWARE
from controller.rewriting import PacketSoFar
from controller.rules import (
    Match,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    RuleAction,
    SetField,
    Table,
)
from controller.software import SOFTWARE
from offload.actions import (
    PIPE,
    Action,
    Checksums,
    Csum,
    Header,
    Mirred,
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
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    Key,
    KeyMatch,
)
from offload.flower import Match as FlowerMatch
from tests.unit.controller.made import DEVICES, device_of

OUT = Mirred("ens1f0_1", redirect=True)
FULL = 0xFFFFFFFF


def munge(
    header: Header, offset: int, value: int, mask: int, add: bool = False
) -> Munge:
    return Munge(header, offset, value, ~mask & FULL, add)


def pedit(*munges: Munge) -> Pedit:
    return Pedit(munges, control=PIPE)


def csum(checksums: Checksums) -> Csum:
    return Csum(checksums, PIPE)


def asked(protocol: int, proto: int = 0, *more: KeyMatch) -> FlowerMatch:
    ip_proto = (KeyMatch(Key.IP_PROTO, proto, 0xFF),) if proto else ()
    return FlowerMatch(protocol, (*more, *ip_proto))


TCP4 = asked(ETH_P_IP, IPPROTO_TCP)
UDP6 = asked(ETH_P_IPV6, IPPROTO_UDP)
IP4H, TCP, UDP, ICMP = (
    *(Checksums.IPV4HDR, Checksums.TCP),
    *(Checksums.UDP, Checksums.ICMP),
)


def done(
    match: FlowerMatch, *actions: Action, hardware: bool = False
) -> list[RuleAction]:
    """What becomes of actions in front of a redirect, without that."""
    place = Place(HARDWARE if hardware else SOFTWARE, device_of, DEVICES["ens1f0_0"])
    *before, out = plain_actions((*actions, OUT), place, PacketSoFar.of(match))
    assert out == Output(2)
    return before


def refused(match: FlowerMatch, *actions: Action) -> str:
    with pytest.raises(Unsupported) as reason:
        done(match, *actions)
    return str(reason.value)


@pytest.mark.parametrize(
    ("match", "munges", "checksums", "loads"),
    [
        (
            TCP4,
            [munge(Header.IP4, 12, 0x01020304, FULL)],
            IP4H | TCP,
            [SetField(fields.IPV4_SRC, 0x01020304)],
        ),
        (
            TCP4,
            [munge(Header.IP4, 16, 0x00000500, 0xFF00)],
            IP4H | TCP,
            [SetField(fields.IPV4_DST, 0x500, 0xFF00)],
        ),
        (
            TCP4,
            [munge(Header.IP4, 8, 0x40000000, 0xFF000000)],
            IP4H,
            [SetField(fields.IP_TTL, 64)],
        ),
        (
            TCP4,
            [munge(Header.IP4, 0, 0x00B90000, 0x00FF0000)],
            IP4H,
            [SetField(fields.IP_DSCP, 0x2E), SetField(fields.IP_ECN, 1)],
        ),
        (
            TCP4,
            [munge(Header.TCP, 0, 0x00500000, 0xFFFF0000)],
            TCP,
            [SetField(fields.TCP_SRC, 80)],
        ),
        (
            UDP6,
            [munge(Header.UDP, 0, 0x00500035, FULL)],
            UDP,
            [SetField(fields.UDP_SRC, 80), SetField(fields.UDP_DST, 53)],
        ),
        (
            UDP6,
            [munge(Header.IP6, at, 0x100 + at, FULL) for at in (24, 28, 32, 36)],
            UDP,
            [SetField(fields.IPV6_DST, 0x118_0000011C_00000120_00000124)],
        ),
        (
            UDP6,
            [munge(Header.IP6, 0, 0x02E12345, 0x0FFFFFFF)],
            Checksums(0),
            [
                SetField(fields.IP_DSCP, 0x0B),
                SetField(fields.IP_ECN, 2),
                SetField(fields.IPV6_FLOW_LABEL, 0x12345),
            ],
        ),
        (
            UDP6,
            [munge(Header.IP6, 4, 7, 0xFF)],
            Checksums(0),
            [SetField(fields.IP_TTL, 7)],
        ),
        (
            asked(ETH_P_ALL),
            [
                munge(Header.ETH, 4, 0x0000AABB, 0x0000FFFF),
                munge(Header.ETH, 8, 0xCCDDEEFF, FULL),
            ],
            Checksums(0),
            [SetField(fields.ETH_SRC, 0xAABBCCDDEEFF)],
        ),
        (
            UDP6,
            [munge(Header.IP6, 4, 9, 0xFF), munge(Header.IP6, 4, 6, 0xFF)],
            Checksums(0),
            [SetField(fields.IP_TTL, 6)],
        ),
        (
            asked(ETH_P_IP, IPPROTO_ICMP),
            [munge(Header.NETWORK, 12, 0x01020304, FULL)],
            IP4H,
            [SetField(fields.IPV4_SRC, 0x01020304)],
        ),
        (
            asked(ETH_P_IPV6, IPPROTO_ICMPV6),
            [munge(Header.NETWORK, 36, 1, 0xFF)],
            ICMP,
            [SetField(fields.IPV6_DST, 1, 0xFF)],
        ),
    ],
)
def test_munges_are_loads_and_need_their_checksums(
    match: FlowerMatch,
    munges: list[Munge],
    checksums: Checksums,
    loads: list[SetField],
) -> None:
    edit = pedit(*munges)
    assert done(match, edit, csum(checksums)) == loads
    assert done(match, edit, hardware=True) == loads, "mlx5 mends as the switch does"
    for each in checksums:
        assert refused(match, edit, csum(checksums & ~each)).startswith(
            "pedit: Linux leaves checksums stale that the switch would mend"
        )


def test_what_may_carry_any_protocol_needs_all_checksums() -> None:
    source = pedit(munge(Header.IP4, 12, 1, FULL))
    assert refused(asked(ETH_P_IP), source).endswith(
        "add action csum ip4h and tcp and udp behind it"
    )
    six = pedit(munge(Header.IP6, 8, 1, FULL))
    assert refused(asked(ETH_P_IPV6), six).endswith(
        "csum icmp and tcp and udp behind it"
    )


def test_a_stale_checksum_may_be_dropped() -> None:
    place = Place(SOFTWARE, device_of, DEVICES["ens1f0_0"])
    edit = Pedit((munge(Header.IP4, 8, 0, 0xFF000000),), control=PIPE)
    with pytest.raises(Unsupported, match="csum ip4h behind it"):
        plain_actions((edit,), place, PacketSoFar.of(TCP4))


TTL_LESS_ONE = munge(Header.IP4, 8, 0xFF000000, 0xFF000000, True)


def test_the_ttl_less_one() -> None:
    edit = pedit(munge(Header.IP4, 8, 0x05000000, 0xFF000000), TTL_LESS_ONE)
    assert done(TCP4, edit, csum(IP4H)) == [
        SetField(fields.IP_TTL, 5),
        Resubmit(Table.DEC_TTL),
    ]
    hops = munge(Header.IP6, 4, 0xFF, 0xFF, True)
    assert done(UDP6, pedit(hops)) == [Resubmit(Table.DEC_TTL)]


@pytest.mark.parametrize(
    ("match", "munge_", "reason"),
    [
        (
            TCP4,
            munge(Header.IP4, 8, 0x01000000, 0xFF000000, True),
            "pedit add: the switch can only add 255 to ttl or hoplimit",
        ),
        (
            TCP4,
            munge(Header.TCP, 0, 1, 0xFFFF, True),
            "pedit add: the switch can only add 255 to ttl or hoplimit",
        ),
        (
            TCP4,
            munge(Header.IP4, 4, 0x12340000, 0xFFFF0000),
            "pedit: the switch cannot write mask ffff0000 at ipv4+4",
        ),
        (
            TCP4,
            munge(Header.ETH, 12, 0x12340000, 0xFFFF0000),
            "pedit: the switch cannot write mask ffff0000 at eth+12",
        ),
        (
            TCP4,
            Munge(Header.IP4, 12, 0xFF, 0xFFFFFFFF),
            "pedit: the switch cannot invert bits",
        ),
        (
            UDP6,
            munge(Header.IP4, 12, 0, FULL),
            "pedit ipv4: the filter does not ask for protocol ip",
        ),
        (
            TCP4,
            munge(Header.IP6, 8, 0, FULL),
            "pedit ipv6: the filter does not ask for protocol ipv6",
        ),
        (
            asked(ETH_P_IP),
            munge(Header.TCP, 0, 0, FULL),
            "pedit tcp: the filter does not ask for ip_proto tcp",
        ),
        (
            TCP4,
            munge(Header.UDP, 0, 0, FULL),
            "pedit udp: the filter does not ask for ip_proto udp",
        ),
    ],
)
def test_what_the_switch_cannot_write(
    match: FlowerMatch, munge_: Munge, reason: str
) -> None:
    assert refused(match, pedit(munge_)) == reason


def test_csum_mends_what_pedit_changed_and_nothing_else() -> None:
    assert "csum: the switch mends what" in refused(TCP4, csum(TCP))
    mac = pedit(munge(Header.ETH, 0, 0, FULL))
    assert done(TCP4, mac, csum(IP4H)) == [SetField(fields.ETH_DST, 0, FULL << 16)]


TAGGED = asked(ETH_P_8021Q)
TAGGED_IP = asked(ETH_P_8021Q, 0, KeyMatch(Key.VLAN_ETHTYPE, ETH_P_IP, 0xFFFF))
PUSHED = [PushVlan(ETH_P_8021Q), SetField(fields.VLAN_TCI, 3 << 13 | 0x1005)]
ID_5 = SetField(fields.VLAN_TCI.part(0, 12), 5)
PRIO_3 = SetField(fields.VLAN_TCI.part(13), 3)
PUSH = VlanPush(5, priority=3)


def test_tags_are_pushed_popped_and_modified() -> None:
    assert done(TCP4, PUSH) == PUSHED
    assert done(TCP4, PUSH, VlanPop()) == [*PUSHED, PopVlan()]
    assert done(TAGGED, VlanPop()) == [PopVlan()]
    assert done(TAGGED, VlanModify(5, priority=3)) == [ID_5, PRIO_3]
    assert done(TAGGED, VlanModify(5)) == [ID_5]


def test_what_has_no_tag_passes_as_in_linux() -> None:
    assert done(TCP4, VlanPop(), VlanModify(5)) == []
    assert done(TAGGED_IP, VlanPop(), VlanPop()) == [PopVlan()]


@pytest.mark.parametrize(
    ("match", "actions", "reason"),
    [
        (asked(ETH_P_ALL), [VlanPop()], "vlan pop: the filter does not say if"),
        (TAGGED, [VlanPop(), VlanModify(5)], "vlan modify: the filter does not say"),
        (TAGGED, [VlanModify(5, 0x88A8)], "vlan modify: the switch does not change"),
        (TAGGED, [PUSH], "vlan push: the switch takes no second tag"),
        (TCP4, [PUSH, PUSH], "vlan push: the switch takes no second tag"),
        (asked(ETH_P_ALL), [PUSH], "vlan push: the switch takes no second tag"),
    ],
)
def test_tags_nobody_knows_of(
    match: FlowerMatch, actions: list[Action], reason: str
) -> None:
    assert refused(match, *actions).startswith(reason)


def test_what_a_later_rule_must_ask() -> None:
    present = Match(fields.VLAN_VID, 0x1000, 0x1000)
    ip, tcp = Match(fields.ETH_TYPE, ETH_P_IP), Match(fields.IP_PROTO, IPPROTO_TCP)
    packet = PacketSoFar.of(TCP4)
    assert packet.prerequisites() == (ip, tcp)
    plain_actions((PUSH, OUT), Place(SOFTWARE, device_of, DEVICES["ens1f0_0"]), packet)
    assert packet.prerequisites() == (ip, tcp, present)
    assert PacketSoFar.of(TAGGED_IP).prerequisites() == (ip, present)
    assert PacketSoFar.of(asked(ETH_P_ALL)).prerequisites() == ()
