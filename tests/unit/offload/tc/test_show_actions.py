"""How each action prints."""

from __future__ import annotations

import re

import pytest

from offload.act_api import ANY_STATS, DISABLED_STATS, HwStats
from offload.actions import Action
from offload.tc import ActionState, FilterAdd, Options, parse
from offload.tc.actions import show_actions
from offload.tc.answer import Answer

INDEX = re.compile(r"\n? ?\t ?index 1 ref 1 bind 1\n?")


def action(words: str) -> Action:
    command = parse(f"filter add dev d ingress proto ip flower action {words}".split())
    assert isinstance(command, FilterAdd)
    return command.actions[0].action


def text_of(words: str, state: ActionState = ActionState(1)) -> str:
    answer = Answer()
    show_actions(answer, (action(words),), (state,), Options())
    return answer.text.removeprefix("\n\taction order 1: ")


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
    assert INDEX.split(text_of(typed), maxsplit=1)[0] == printed


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("csum iph and tcp + udp", "csum (iph, tcp, udp) action pass\n\t"),
        (
            "csum ip4h sctp icmp igmp udplite drop",
            "csum (iph, icmp, igmp, udplite, sctp) action drop\n\t",
        ),
        ("skbedit mark 5", "skbedit  mark 5 pipe\n\t "),
        ("skbedit mark 5/0xff", "skbedit  mark 5/0xff pipe\n\t "),
        (
            "skbedit queue_mapping 3 priority 1:2 ptype host inheritdsfield",
            "skbedit queue_mapping 3 priority 1:2 ptype host inheritdsfield pipe\n\t ",
        ),
        ("skbedit priority 1:", "skbedit  priority 1: pipe\n\t "),
        ("skbedit priority :1", "skbedit  priority :1 pipe\n\t "),
        ("skbedit priority root", "skbedit  priority root pipe\n\t "),
        ("skbedit priority none", "skbedit  priority none pipe\n\t "),
        ("vlan pop", "vlan  pop pipe\n\t "),
        ("vlan push id 5", "vlan  push id 5 protocol 802.1Q priority 0 pipe\n\t "),
        (
            "vlan push protocol 802.1ad id 5 priority 3 drop",
            "vlan  push id 5 protocol 802.1ad priority 3 drop\n\t ",
        ),
        ("vlan modify id 7", "vlan  modify id 7 protocol 802.1Q pipe\n\t "),
        ("ct jump 3", "ct zone 0 jump 3\n\t "),
    ],
)
def test_text_of_the_others(typed: str, printed: str) -> None:
    assert text_of(typed) == f"{printed}index 1 ref 1 bind 1\n"


def test_pedit_prints_its_words_behind_its_index() -> None:
    assert text_of("pedit ex munge ip dst set 1.2.3.4 munge udp sport add 1 pipe") == (
        " pedit action pipe keys 2\n \t index 1 ref 1 bind 1"
        "\n\t key #0  at ipv4+16: val 01020304 mask 00000000"
        "\n\t key #1  at udp+0: add 00010000 mask 0000ffff\n"
    )


@pytest.mark.parametrize(
    ("state", "printed"),
    [
        (ActionState(1, cookie=b"\xaa\x01"), "\tcookie aa01\n"),
        (ActionState(1, hw_stats=HwStats.IMMEDIATE), "\thw_stats immediate\n"),
        (ActionState(1, hw_stats=HwStats.DELAYED), "\thw_stats delayed\n"),
        (ActionState(1, hw_stats=DISABLED_STATS), "\thw_stats disabled\n"),
        (ActionState(1, hw_stats=ANY_STATS), ""),
        (ActionState(1, no_percpu=True, skip_hw=True), "\tno_percpu\n"),
        (ActionState(1, used_hw_stats=True), "\tused_hw_stats delayed\n"),
    ],
)
def test_what_stands_behind_an_action(state: ActionState, printed: str) -> None:
    plain = text_of("ct")
    assert text_of("ct", state) == plain + printed


def test_a_brief_answer_has_little_of_an_action() -> None:
    answer = Answer()
    words = ("ct", "drop", "pedit ex munge ip ttl set 1")
    states = tuple(ActionState(1, cookie=b"\xaa" * (not at)) for at in range(3))
    actions = tuple(map(action, words))
    show_actions(answer, actions, states, Options(brief=True))
    assert answer.text == (
        "\n\taction order 1: ct\tcookie aa\n"
        "\n\taction order 2: gact \n\taction order 3:  pedit "
    )
