"""tc's own defaults, where an action names no verb or option."""

from ipaddress import IPv4Address

import pytest

from offload.actions import (
    DROP,
    MAX_ACTIONS,
    PASS,
    PIPE,
    STOLEN,
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
    TunnelKeyUnset,
    Verb,
    VlanModify,
    VlanPop,
    VlanPush,
    as_run,
    times_run,
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


def jump(skip: int) -> Gact:
    return Gact(Control(Verb.JUMP, skip=skip))


ON, STOP = VlanPop(), Gact(DROP)


@pytest.mark.parametrize(
    ("actions", "run"),
    [
        ((), ()),
        ((ON, ON), (ON, ON)),
        ((ON, STOP, ON), (ON, STOP)),
        ((ON, jump(3), STOP, ON), (ON, Gact(PIPE), ON)),
        ((jump(1), ON, STOP), (Gact(PIPE), ON, STOP)),
        ((ON, jump(2)), (ON, Gact(PIPE))),
        ((ON, jump(0), ON), (ON, Gact(PASS))),
        ((ON, jump(4), ON), (ON, Gact(PASS))),
    ],
)
def test_actions_run_in_order_and_a_jump_starts_again_behind_some(
    actions: tuple[Action, ...], run: tuple[Action, ...]
) -> None:
    assert as_run(actions) == run


def test_who_jumps_in_circles_passes_the_packet() -> None:
    circle = (Gact(PIPE), ON, jump(1))
    run = as_run(circle)
    assert run[-1] == Gact(PASS) and run.count(ON) == MAX_ACTIONS


def test_how_often_each_runs() -> None:
    assert times_run((ON, STOP, ON)) == (1, 1, 0)
    assert times_run((ON, jump(3), STOP, ON)) == (1, 1, 0, 1)
    assert times_run((Gact(PIPE), ON, jump(1))) == (1, MAX_ACTIONS, MAX_ACTIONS)
