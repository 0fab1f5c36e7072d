"""The list of actions on a command line and in an answer.

Each action's module has its parser and its printer side by side; here they are
looked up by name.
Source: iproute2 tc/m_action.c
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from offload.act_api import DISABLED_STATS, HwStats, Request, kind_of
from offload.actions import (
    Action,
    Csum,
    Ct,
    Gact,
    Mirred,
    Pedit,
    Skbedit,
    VlanModify,
    VlanPop,
    VlanPush,
)
from offload.errors import Unsupported
from offload.tc import (
    act_csum,
    act_ct,
    act_gact,
    act_mirred,
    act_pedit,
    act_skbedit,
    act_tunnel_key,
    act_vlan,
)
from offload.tc.answer import Answer
from offload.tc.control import verb_keyword
from offload.tc.numbers import hex_bytes
from offload.tc.options import Options
from offload.tc.stats import ActionState, show_cookie, show_labels, show_stats
from offload.tc.words import Declined, Words

_MAX_COOKIE_DIGITS = 32

PARSERS: dict[str, Callable[[Words], Request]] = {
    "csum": act_csum.parse,
    "ct": act_ct.parse,
    "gact": act_gact.parse,
    "mirred": act_mirred.parse,
    "pedit": act_pedit.parse,
    "skbedit": act_skbedit.parse,
    "tunnel_key": act_tunnel_key.parse,
    "vlan": act_vlan.parse,
}
NOT_OURS = (
    *("bpf", "connmark", "ctinfo", "gate", "ife", "ipt", "mpls", "nat"),
    *("police", "sample", "simple", "skbmod", "xt"),
)
_NEW_COMMANDS = ("change", "replace", "delete", "get", "add")
_WRITTEN = {"ct": "ct", "pedit": " pedit "}
_HW_STATS = {
    "immediate": HwStats.IMMEDIATE,
    "delayed": HwStats.DELAYED,
    "disabled": DISABLED_STATS,
}


def parse_actions(words: Words) -> tuple[Request, ...]:
    """What stands after ``action``, to the end of the line or of the actions."""
    found: list[Request] = []
    expected = False
    while words.left:
        if words.word == "action":
            words.skip()
            expected = True
        elif words.word in ("flowid", "classid"):
            break
        elif words.word == "help":
            words.decline()
        elif words.matches(*_NEW_COMMANDS):
            if not found:
                return ()
            break
        else:
            expected = False
            # tc keeps a cookie for the actions behind the one that has it.
            cookie = found[-1].cookie if found else b""
            found.append(_parse_action(words, cookie))
    if expected:
        words.say("bad action empty 1")
        _bad_value(words, words.mark())
    return tuple(found)


def _parse_action(words: Words, cookie: bytes) -> Request:
    mark = words.mark()
    name = "gact" if verb_keyword(words.word) else words.word
    if name in NOT_OURS:
        raise Unsupported(f"action {name}: not supported by the testbed")
    # tc takes an unknown action for gact, which then finds no verb in it.
    parser = PARSERS.get(name, act_gact.parse)
    try:
        request = parser(words)
    except Declined:
        words.say("bad action parsing")
        _bad_value(words, mark)
    request = _label(words, replace(request, cookie=cookie))
    if request.error is not None and not request.index:
        words.kernel_will_refuse(request.error)
    return request


def _bad_value(words: Words, mark: tuple[int, str]) -> NoReturn:
    left, word = mark
    words.decline(f"parse_action: bad value ({left}:{word})!")


def _label(words: Words, request: Request) -> Request:
    """The options that every action has, in tc's order."""
    if words.left and words.word == "cookie":
        request = replace(request, cookie=_parse_cookie(words, words.next()))
        words.skip()
    if words.matches("hw_stats"):
        request = replace(request, hw_stats=_parse_hw_stats(words, words.next()))
        words.skip()
    if words.left and words.word == "no_percpu":
        request = replace(request, no_percpu=True)
        words.skip()
    for _ in range(2):
        if words.left and words.word == "skip_sw":
            request = replace(request, skip_sw=True)
            words.skip()
        elif words.left and words.word == "skip_hw":
            request = replace(request, skip_hw=True)
            words.skip()
    return request


def _parse_cookie(words: Words, word: str) -> bytes:
    digits = len(word.encode(errors="surrogateescape"))
    if digits > _MAX_COOKIE_DIGITS:
        words.wrong(word, f"{digits} Max allowed size {_MAX_COOKIE_DIGITS}")
    cookie = None if digits % 2 else hex_bytes(word)
    if cookie is None:
        words.wrong(word, "cookie must be a hex string\n")
    return cookie


def _parse_hw_stats(words: Words, word: str) -> HwStats:
    name = next((each for each in _HW_STATS if each.startswith(word)), None)
    if name is None or not word:
        words.wrong(word, "value is invalid\n")
    return _HW_STATS[name]


def show_actions(
    answer: Answer,
    actions: tuple[Action, ...],
    states: tuple[ActionState, ...],
    options: Options,
    first: int = 1,
    standalone: bool = False,
) -> None:
    """Print actions, each with its number in the list.  Source: tc_print_action"""
    both = zip(actions, states, strict=True)
    with answer.array("actions"):
        for order, (action, state) in enumerate(both, first):
            with answer.object():
                answer.newline()
                answer.put("order", order, f"\taction order {order}: ")
                if options.brief:
                    _show_briefly(answer, action, state, options, standalone)
                    continue
                _show_action(answer, action, state, options.statistics)
                if options.statistics:
                    show_stats(answer, state)
                show_labels(answer, state, standalone)


def _show_briefly(
    answer: Answer,
    action: Action,
    state: ActionState,
    options: Options,
    standalone: bool,
) -> None:
    """What the kernel tells of it in a terse dump."""
    kind = kind_of(action)
    answer.put("kind", kind, _WRITTEN.get(kind, f"{kind} "))
    if standalone:
        answer.put("index", state.index, f"\t index {state.index}")
        answer.newline()
    if options.statistics:
        show_stats(answer, state)
    if state.cookie:
        show_cookie(answer, state)


def _show_action(
    answer: Answer, action: Action, state: ActionState, statistics: bool
) -> None:
    match action:
        case Ct():
            act_ct.show(answer, action, state, statistics)
        case Gact():
            act_gact.show(answer, action, state, statistics)
        case Mirred():
            act_mirred.show(answer, action, state, statistics)
        case Pedit():
            act_pedit.show(answer, action, state, statistics)
        case Csum():
            act_csum.show(answer, action, state, statistics)
        case Skbedit():
            act_skbedit.show(answer, action, state, statistics)
        case VlanPush() | VlanPop() | VlanModify():
            act_vlan.show(answer, action, state, statistics)
        case _:
            act_tunnel_key.show(answer, action, state, statistics)
