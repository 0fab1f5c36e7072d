"""Any message as bytes, in order."""

from __future__ import annotations

from itertools import groupby
from typing import get_args

from controller.openflow import messages
from controller.pipeline import UNUSED_RULE
from controller.rules import (
    AddEntry,
    AddRule,
    DeleteEntry,
    DeleteRule,
    DeleteStale,
    Message,
)
from offload.conntrack import Direction
from offload.flow_table import FlowEntry
from tests.unit.connections import TCP
from tests.unit.controller import read_back

FLOW_MOD = 14


def test_every_message_has_an_encoder() -> None:
    assert set(get_args(Message)) == messages._ENCODERS.keys()


def test_they_stay_in_order() -> None:
    told: list[Message] = [
        AddRule(UNUSED_RULE),
        DeleteRule(UNUSED_RULE),
        AddRule(UNUSED_RULE),
    ]
    read = read_back.flow_mods(messages.encoded(1, told))
    assert [each.command for each in read] == [0, 4, 0]
    assert messages.encoded(1, []) == b""


def test_everything_stale() -> None:
    [all_] = read_back.flow_mods(messages.encoded(1, [DeleteStale(None)]))
    assert (all_.command, all_.of_cookie, all_.cookie_mask) == (3, 0, 0)


def entries(count: int) -> list[Message]:
    """Insertions and removals of entries."""
    told: list[Message] = []
    for number in range(count):
        [there, _] = FlowEntry(number, 0, 0, 0, (TCP, TCP.inverted())).rules
        removal = DeleteEntry(number, Direction.REPLY)
        told.append(removal if number % 3 else AddEntry(there, 30))
    return told


def test_many_entries_go_in_bundles_and_all_else_does_not() -> None:
    """In the order they were told."""
    rule: list[Message] = [AddRule(UNUSED_RULE)]
    told = [*entries(3), *rule * 20, *entries(1000), *rule, *entries(2)]
    one_by_one = messages.encoded(1, told, in_bundles=False)
    packed = messages.encoded(1, told)
    assert read_back.flow_mods(packed) == read_back.flow_mods(one_by_one)
    runs = [kind for kind, _ in groupby(each[1] for each in raw(packed))]
    assert runs == [FLOW_MOD, messages.BUNDLE, FLOW_MOD]
    assert {each[1] for each in raw(one_by_one)} == {FLOW_MOD}


def raw(data: bytes) -> list[bytes]:
    """The messages as they are."""
    found = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        found.append(data[:length])
        data = data[length:]
    return found
