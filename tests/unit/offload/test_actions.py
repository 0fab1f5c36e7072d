"""tc's own defaults, where an action names no verb or option."""

from ipaddress import IPv4Address

from offload.actions import (
    PIPE,
    STOLEN,
    Control,
    Ct,
    Mirred,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
)

ANY = IPv4Address("0.0.0.0")


def test_what_goes_on_and_what_ends() -> None:
    going_on = (Ct(), TunnelKeySet(ANY, ANY), TunnelKeyUnset())
    assert {action.control for action in going_on} == {PIPE}
    assert Mirred("vxlan0", redirect=True).control == STOLEN


def test_tunnels_have_a_checksum() -> None:
    assert TunnelKeySet(ANY, ANY).csum


def test_two_gotos_differ_by_their_chain() -> None:
    assert Control(Verb.GOTO_CHAIN, 2) != Control(Verb.GOTO_CHAIN, 3)
