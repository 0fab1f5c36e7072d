"""Any message as bytes, in order."""

from __future__ import annotations

from typing import get_args

from controller.openflow import messages
from controller.pipeline import UNUSED_RULE
from controller.rules import AddRule, DeleteRule, DeleteStale, Message
from tests.unit.controller import read_back


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
