"""Actions that are numbered, shared and counted by reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest

from offload.act_api import (
    ANY_STATS,
    BUSY,
    MISMATCH,
    NO_CHAIN,
    NOT_DELETED,
    NOT_FOUND,
    ActionTables,
    HwStats,
    Request,
    kind_of,
)
from offload.actions import (
    DROP,
    Action,
    Control,
    Ct,
    Gact,
    Mirred,
    TunnelKeySet,
    Verb,
    VlanPop,
    VlanPush,
)
from offload.errors import KernelError


def ct(zone: int = 0, index: int = 0) -> Request:
    return Request(Ct(zone=zone), index)


@contextmanager
def refused(words: str) -> Iterator[None]:
    with pytest.raises(KernelError) as raised:
        yield
    assert str(raised.value) == words


def held(tables: ActionTables, kind: str = "ct") -> list[tuple[int, int, int]]:
    return [(each.index, each.ref, each.bind) for each in tables.of(kind)]


def test_kinds_number_their_actions_apart() -> None:
    tables = ActionTables()
    requests = [
        ct(),
        Request(Gact(DROP)),
        ct(),
        Request(VlanPop()),
        Request(VlanPush(1)),
    ]
    bound = tables.bind(requests, 0.0)
    assert [(each.kind, each.index) for each in bound] == [
        ("ct", 1),
        ("gact", 1),
        ("ct", 2),
        ("vlan", 1),
        ("vlan", 2),
    ]
    assert kind_of(VlanPop()) == "vlan"
    assert tables.knows("ct") and not tables.knows("police")
    assert set(map(id, tables)) == set(map(id, bound))


def test_a_filters_action_goes_with_it() -> None:
    tables = ActionTables()
    bound = tables.bind([ct()], 0.0)
    assert held(tables) == [(1, 1, 1)] and not tables.shared
    tables.unbind(bound)
    assert held(tables) == []


def test_indexes_are_given_again_the_lowest_first() -> None:
    tables = ActionTables()
    first, second, third = (tables.bind([ct()], 0.0) for _ in range(3))
    tables.bind([ct(index=9)], 0.0)
    tables.unbind(first)
    tables.unbind(second)
    indexes = [tables.bind([ct()], 0.0)[0].index for _ in range(3)]
    assert indexes == [1, 2, 4]


def test_a_freed_index_that_was_asked_for() -> None:
    tables = ActionTables()
    first, _ = (tables.bind([ct()], 0.0) for _ in range(2))
    tables.unbind(first)
    tables.bind([ct(index=1)], 0.0)
    assert tables.bind([ct()], 0.0)[0].index == 3


def test_filters_share_an_action_by_its_index() -> None:
    """Whatever else they say of it; the latest label counts."""
    tables = ActionTables()
    tables.add([Request(Ct(zone=5), 7, b"a", HwStats.DELAYED)], 0.0, replace=False)
    (one,) = tables.bind([Request(Ct(zone=9), 7, b"b")], 0.0)
    (two,) = tables.bind([ct(index=7)], 0.0)
    assert one is two and one.action == Ct(zone=5)
    assert (one.cookie, one.hw_stats) == (b"b", ANY_STATS)
    assert held(tables) == [(7, 3, 2)] and tables.shared == {("ct", 7)}
    assert one.outlives_a_filter
    tables.unbind([one])
    tables.unbind([two])
    assert held(tables) == [(7, 1, 0)] and not tables.shared
    assert not one.outlives_a_filter


def test_a_filter_may_have_an_action_twice_if_it_was_there() -> None:
    tables = ActionTables()
    tables.add([ct(index=7)], 0.0, replace=False)
    tables.bind([ct(index=7), ct(index=7)], 0.0)
    assert held(tables) == [(7, 3, 2)]
    with refused(BUSY):
        tables.bind([ct(index=8), ct(index=8)], 0.0)
    assert held(tables) == [(7, 3, 2)], "all or none"


def test_the_last_of_two_filters_takes_an_action_that_nobody_added() -> None:
    tables = ActionTables()
    one = tables.bind([ct(index=3)], 0.0)
    two = tables.bind([ct(index=3)], 0.0)
    tables.unbind(one)
    tables.unbind(two)
    assert held(tables) == []


V4, V6 = IPv4Address("1.1.1.1"), IPv6Address("::1")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (TunnelKeySet(V4, V6), "Missing either ipv4 or ipv6 src and dst"),
        (Mirred("", True), "act_mirred: Specified device does not exist"),
    ],
)
def test_actions_that_the_kernel_refuses(action: Action, words: str) -> None:
    tables = ActionTables()
    with refused(words):
        tables.bind([ct(), Request(action)], 0.0)
    assert not list(tables), "all or none"


def test_what_is_wrong_with_a_request_counts_where_it_makes_an_action() -> None:
    tables = ActionTables()
    wrong = Request(VlanPop(), 5, error=KernelError("No"))
    with refused("No"):
        tables.bind([wrong], 0.0)
    with refused("No"):
        tables.add([wrong], 0.0, replace=False)
    tables.add([Request(VlanPush(3), 5)], 0.0, replace=False)
    assert tables.bind([wrong], 0.0)[0].action == VlanPush(3)


@pytest.mark.parametrize(
    ("standalone", "asked", "fits"),
    [
        (Request(Ct(), 7), (False, False), True),
        (Request(Ct(), 7), (False, True), False),
        (Request(Ct(), 7, skip_hw=True), (False, True), True),
        (Request(Ct(), 7, skip_hw=True), (False, False), False),
    ],
)
def test_a_standalone_action_runs_where_it_says(
    standalone: Request, asked: tuple[bool, bool], fits: bool
) -> None:
    tables = ActionTables()
    tables.add([standalone], 0.0, replace=False)
    if fits:
        tables.bind([ct(index=7)], 0.0, *asked)
        return
    with refused(MISMATCH):
        tables.bind([ct(index=7)], 0.0, *asked)
    assert held(tables) == [(7, 1, 0)]


def test_a_filters_action_runs_where_the_filter_does() -> None:
    tables = ActionTables()
    (action,) = tables.bind([ct(index=7)], 0.0, skip_hw=True)
    assert action.skip_hw and not action.skip_sw
    with refused(MISMATCH):
        tables.bind([ct(index=7)], 0.0)
    with refused(MISMATCH):
        tables.bind([Request(Ct(), skip_sw=True)], 0.0)
    tables.bind([ct(index=8)], 0.0)
    (both,) = tables.bind([ct(index=8)], 0.0, skip_hw=True)
    assert both.skip_hw


def test_add_and_change() -> None:
    tables = ActionTables()
    assert tables.add([ct(1, 7)], 0.0, replace=False) == ()
    with refused("File exists"):
        tables.add([ct(2), ct(2, 7)], 0.0, replace=False)
    assert held(tables) == [(7, 1, 0)], "all or none"
    (changed,) = tables.add([ct(3), ct(2, 7)], 0.0, replace=True)
    assert changed.action == Ct(zone=2)
    assert held(tables) == [(1, 1, 0), (7, 1, 0)]
    with refused(BUSY):
        tables.add([ct(1, 9), ct(2, 9)], 0.0, replace=True)
    with refused(NO_CHAIN):
        goto = Control(Verb.GOTO_CHAIN, 3)
        tables.add([Request(Gact(goto))], 0.0, replace=False)
    with refused("Invalid argument"):
        tables.add([Request(Ct(), skip_sw=True)], 0.0, replace=False)


def test_an_index_that_a_new_action_just_got_is_busy() -> None:
    tables = ActionTables()
    with refused(BUSY):
        tables.add([ct(), ct(1, index=1)], 0, replace=True)
    assert held(tables) == []


def test_get_and_delete() -> None:
    tables = ActionTables()
    tables.add([ct(1, 7), ct(2, 8)], 0.0, replace=False)
    assert tables.get("ct", 7).action == Ct(zone=1)
    with refused(NOT_FOUND):
        tables.get("gact", 7)
    with refused("Invalid TC action index value"):
        tables.get("ct", 0)
    tables.bind([ct(index=8)], 0.0)
    with refused(NOT_DELETED):
        tables.delete([("ct", 8)])
    with refused(NOT_FOUND):
        tables.delete([("ct", 7), ("ct", 99)])
    tables.delete([("ct", 7)])
    assert held(tables) == [(8, 2, 1)]


def test_flush_goes_up_to_what_is_bound() -> None:
    tables = ActionTables()
    assert tables.flush("ct")
    tables.add([ct(0, 1), ct(0, 2), ct(0, 3)], 0.0, replace=False)
    bound = tables.bind([ct(index=2)], 0.0)
    assert not tables.flush("ct")
    assert [index for index, *_ in held(tables)] == [2, 3]
    with refused("Operation not permitted"):
        tables.flush("ct")
    tables.unbind(bound)
    assert tables.flush("ct") and not held(tables)


def test_a_use_is_dated_by_who_sees_it() -> None:
    (action,) = ActionTables().bind([ct()], 10.0)
    seen = []
    for packets, now_s in ((0, 11.0), (2, 12.0), (2, 13.0), (3, 14.0)):
        action.note_use(packets, now_s)
        seen.append((action.first_used_s, action.used_s))
    assert seen == [(None, None), (12.0, 12.0), (12.0, 12.0), (12.0, 14.0)]
