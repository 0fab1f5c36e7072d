"""How each action prints, up to its index."""

from __future__ import annotations

import pytest

from offload.actions import Action, Control, Ct, Verb, VlanPop
from offload.errors import Unsupported
from offload.tc import FilterAdd, parse
from offload.tc.actions import show_action
from offload.tc.answer import Answer


def action(words: str) -> Action:
    command = parse(f"filter add dev d ingress flower action {words}".split())
    assert isinstance(command, FilterAdd)
    return command.actions[0]


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("ct", "ct zone 0 pipe"),
        ("ct clear", "ct clear pipe"),
        ("ct clear zone 5 mark 1", "ct clear pipe"),
        ("ct zone 5 goto chain 2", "ct zone 5 goto chain 2"),
        ("ct nat pipe", "ct zone 0 nat pipe"),
        ("ct commit force", "ct commit force zone 0 pipe"),
        ("ct commit mark 5/0xff", "ct commit mark 5/0xff zone 0 pipe"),
        ("ct commit mark 5", "ct commit mark 5 zone 0 pipe"),
        ("ct commit mark 5/0 label 01/00", "ct commit zone 0 pipe"),
        ("ct commit label 01", f"ct commit zone 0 label 01{'0' * 30} pipe"),
        (
            "ct commit nat src addr 1.1.1.1 pipe",
            "ct commit zone 0 nat src addr 1.1.1.1 pipe",
        ),
        (
            "ct commit nat dst addr ::1-::2 port 1-9",
            "ct commit zone 0 nat dst addr ::1-::2 port 1-9 pipe",
        ),
        (
            "ct commit nat dst addr ::1 port 7",
            "ct commit zone 0 nat dst addr ::1 port 7 pipe",
        ),
        ("drop", "gact action drop\n\t random type none pass val 0"),
        (
            "goto chain 7",
            "gact action goto chain 7\n\t random type none pass val 0",
        ),
        (
            "mirred egress redirect dev x",
            "mirred (Egress Redirect to device x) stolen",
        ),
        (
            "mirred ingress mirror dev x drop",
            "mirred (Ingress Mirror to device x) drop",
        ),
        ("tunnel_key unset", "tunnel_key  unset pipe"),
        (
            "tunnel_key set src_ip 1.1.1.1 dst_ip 2.2.2.2",
            "tunnel_key  set\n\tsrc_ip 1.1.1.1\n\tdst_ip 2.2.2.2\n\tcsum pipe",
        ),
        (
            "tunnel_key set src_ip ::1 dst_ip ::2 id 9 dst_port 8 nocsum tos 4 ttl 5",
            "tunnel_key  set\n\tsrc_ip ::1\n\tdst_ip ::2\n\tkey_id 9\n\tdst_port 8"
            "\n\tnocsum\n\ttos 0x4\n\tttl 5 pipe",
        ),
    ],
)
def test_text(typed: str, printed: str) -> None:
    answer = Answer()
    show_action(answer, action(typed))
    assert answer.text == printed


def test_an_action_that_has_no_words_yet() -> None:
    with pytest.raises(Unsupported, match="VlanPop: tc cannot show it yet"):
        show_action(Answer(), VlanPop())


def test_a_jump_says_how_many_actions_it_skips() -> None:
    answer = Answer()
    show_action(answer, Ct(control=Control(Verb.JUMP, skip=3)))
    assert answer.text == "ct zone 0 jump 3"
