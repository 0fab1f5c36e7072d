"""What we print, read again, is what it was."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from offload.actions import Action
from offload.flower import Match
from offload.tc import ActionState, FilterAdd, Options, parse
from offload.tc.actions import show_actions
from offload.tc.answer import Answer
from offload.tc.flower import show_match
from offload.tc.protocols import show_protocol

from . import values


def pedit_as_typed(found: re.Match[str]) -> str:
    """tc prints words of 32 bits, and takes those of no header but the network's."""
    keys = re.findall(r"at (\d+): val (\w+) mask (\w+)", found[2])
    munges = (
        f"munge offset {offset} u32 set 0x{value} retain {~int(mask, 16) & 0xFFFFFFFF}"
        for offset, value, mask in keys
    )
    return f"pedit {' '.join(munges)} {found[1]}"


_AS_TYPED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\s*eth_type \S+", ""),
    (r"\[(\d+)\]", r"\1"),
    ("icmp_type", "type"),
    ("icmp_code", "code"),
    ("gact action ", "gact "),
    (r"\s*random type.*", ""),
    ("key_id", "id"),
    (r"\(Egress (\w+) to device (\w+)\)", r"egress \1 dev \2"),
    (r"\(Ingress (\w+) to device (\w+)\)", r"ingress \1 dev \2"),
    ("Redirect", "redirect"),
    ("Mirror", "mirror"),
    (" stolen", ""),
    (r"\s*action order 1:", ""),
    (r"\s*index 1 ref 1 bind 1", ""),
    (r"csum \((.*)\) action", lambda found: f"csum {found[1].replace(',', '')}"),
    (r" pedit action (.*) keys \d+([^~]*)", pedit_as_typed),
)


def as_typed(answer: Answer) -> str:
    """What a user types for what tc prints."""
    text = answer.text
    for printed, typed in _AS_TYPED:
        text = re.sub(printed, typed, text)
    return text


def words_of_match(match: Match) -> str:
    answer = Answer()
    show_match(answer, match)
    # enc_key_id is typed as it is printed.
    return as_typed(answer).replace("enc_id", "enc_key_id")


def words_of_action(action: Action) -> str:
    answer = Answer()
    show_actions(answer, (action,), (ActionState(1),), Options())
    return f" action {as_typed(answer)}"


@given(
    match=values.matches(),
    actions=st.lists(values.action_values(), max_size=5),
    handle=st.integers(1, 2**32 - 1),
)
def test_a_printed_filter_is_read_back(
    match: Match, actions: list[Action], handle: int
) -> None:
    words = words_of_match(match) + "".join(map(words_of_action, actions))
    protocol = show_protocol(match.protocol).strip("[]")
    line = f"filter add dev d ingress proto {protocol} handle {handle} flower {words}"
    command = parse(line.split())
    assert isinstance(command, FilterAdd)
    assert command.match == match
    assert tuple(each.action for each in command.actions) == tuple(actions)
    assert command.handle == handle
