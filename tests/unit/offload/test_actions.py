"""tc's own defaults, where an action names no verb or option."""

from ipaddress import IPv4Address

from offload.actions import (
    PASS,
    PIPE,
    STOLEN,
    Checksums,
    Control,
    Csum,
    Ct,
    Header,
    Mirred,
    Munge,
    Pedit,
    Skbedit,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
    VlanModify,
    VlanPop,
    VlanPush,
)

ANY = IPv4Address("0.0.0.0")


def test_what_goes_on_and_what_ends() -> None:
    going_on = (
        *(Ct(), TunnelKeySet(ANY, ANY), TunnelKeyUnset(), Skbedit()),
        *(VlanPush(5), VlanPop(), VlanModify(5)),
    )
    assert {action.control for action in going_on} == {PIPE}
    assert Mirred("vxlan0", redirect=True).control == STOLEN
    passing = (Pedit(()), Csum(Checksums.IPV4HDR))
    assert {action.control for action in passing} == {PASS}


def test_tunnels_have_a_checksum() -> None:
    assert TunnelKeySet(ANY, ANY).csum


def test_two_gotos_differ_by_their_chain() -> None:
    assert Control(Verb.GOTO_CHAIN, 2) != Control(Verb.GOTO_CHAIN, 3)


def test_a_munge_keeps_what_tc_prints_and_tells_what_changes() -> None:
    ttl = Munge(Header.IP4, 8, 0x40000000, 0x00FFFFFF)
    assert ttl.mask == 0xFF000000
    assert Munge(Header.ETH, 0, 0xFFFFFFFF, 0xFFFFFFFF).mask == 0, "inverted only"
