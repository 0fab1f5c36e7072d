"""When conntrack's list is asked for, and when not (of the userspace datapath)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from controller.conntrack.userspace import UserspaceConntrack
from controller.lost import LostConnections


class FakeSwitch:
    """A switch of which a test says how many connections, entries and copies there are."""

    def __init__(self) -> None:
        self.count = 0
        self.act_ct: list[int] = []
        self.copies: Counter[str] = Counter()
        self.dropped = 0
        self.lists = 0
        self.list_takes_s = 0.0
        self.now_s = 0.0
        self.hypervisor = self
        self.ovs = self
        self.conntrack = UserspaceConntrack(self.appctl)

    def coverage(self, counter: str) -> int:
        """Copies that were dropped."""
        return self.dropped if counter == "rconn_overflow" else 0

    def appctl(self, command: str) -> str:
        """The number of connections."""
        assert command == "dpctl/ct-get-nconns"
        return str(self.count)

    def compare_connections(self) -> int:
        """Take note that it was asked for."""
        self.lists += 1
        self.now_s += self.list_takes_s
        return self.count

    def carries(self, connections: int, entries: int) -> None:
        """Have more connections, some offloaded: their copies came."""
        self.count += connections
        self.act_ct += range(entries)
        self.copies["offer"] += max(entries, 1)


@pytest.fixture
def switch() -> FakeSwitch:
    """One with nothing in it."""
    return FakeSwitch()


@pytest.fixture
def look(switch: FakeSwitch, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Looks, a second after the last time; the number of lists that it led to."""
    lost_connections: Any = LostConnections()
    monkeypatch.setattr("controller.lost.time.monotonic", lambda: switch.now_s)

    def looked() -> int:
        switch.now_s += 1
        before = switch.lists
        lost_connections.look(switch)
        return switch.lists - before

    return looked


def test_nothing_there_is_nothing_to_ask_for(look: Any) -> None:
    assert [look() for _ in range(3)] == [0, 0, 0]


def test_new_connections_are_no_reason_but_the_silence_after_them(
    switch: FakeSwitch, look: Any
) -> None:
    for _ in range(5):
        switch.carries(connections=100, entries=90)
        assert look() == 0
    assert look() == 1
    assert look() == 0


def test_fewer_others_than_there_were(switch: FakeSwitch, look: Any) -> None:
    switch.carries(100, 90)
    assert (look(), look()) == (0, 1)
    switch.carries(10, 10)
    switch.count -= 11
    assert look() == 1


def test_one_deleted_while_others_came_is_missed_when_it_is_quiet(
    switch: FakeSwitch, look: Any
) -> None:
    switch.carries(100, 90)
    assert (look(), look()) == (0, 1)
    switch.carries(4, 0)
    switch.count -= 1
    assert (look(), look(), look()) == (0, 1, 0)


def test_a_dropped_copy(switch: FakeSwitch, look: Any) -> None:
    switch.carries(100, 90)
    switch.dropped += 1
    assert look() == 1
    switch.carries(100, 100)
    assert look() == 0


def test_dropped_copies_are_worth_a_quarter_of_the_time(
    switch: FakeSwitch, look: Any
) -> None:
    switch.list_takes_s = 3.0
    looks = []
    for dropped in range(1, 30):
        switch.carries(1, 1)
        switch.dropped = dropped
        looks.append(look())
    assert sum(looks) == 4
    assert looks[0] == looks[9] == looks[18] == looks[27] == 1


def test_dropped_copies_are_looked_for_once_it_is_quiet(
    switch: FakeSwitch, look: Any
) -> None:
    switch.list_takes_s = 3.0
    for dropped, lists in ((1, 1), (2, 0), (3, 0)):
        switch.carries(1, 1)
        switch.dropped = dropped
        assert look() == lists
    assert (look(), look()) == (1, 0)


def test_fewer_connections_than_entries_is_a_loss(
    switch: FakeSwitch, look: Any
) -> None:
    switch.list_takes_s = 1.0
    switch.carries(100, 90)
    assert (look(), look()) == (0, 1)
    switch.carries(0, 0)
    switch.count = 89
    assert look() == 0
    assert look() == 1


def test_what_looks_like_a_loss_is_worth_a_twentieth(
    switch: FakeSwitch, look: Any
) -> None:
    switch.list_takes_s = 3.0
    switch.carries(1000, 800)
    assert (look(), look()) == (0, 1)
    looks = []
    for _ in range(130):
        switch.count -= 1
        switch.copies["closing"] += 1
        looks.append(look())
    assert [at for at, lists in enumerate(looks) if lists] == [59, 119]


def test_without_an_entry_there_is_nothing_to_lose(
    switch: FakeSwitch, look: Any
) -> None:
    switch.carries(100, 0)
    assert (look(), look(), look()) == (0, 0, 0)


def test_a_change_alone_is_worth_a_thousandth(switch: FakeSwitch, look: Any) -> None:
    switch.list_takes_s = 0.1
    switch.carries(100, 90)
    assert (look(), look()) == (0, 1)
    switch.carries(1, 0)
    looks = [look() for _ in range(120)]
    assert sum(looks) == 1
    assert looks.index(1) >= 99
