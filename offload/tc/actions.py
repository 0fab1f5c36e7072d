"""The list of actions on a command line and in an answer.

Each action's module has its parser and its printer side by side; here they are
looked up by name.
Source: iproute2 tc/m_action.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from offload.actions import Action, Ct, Gact, Mirred, TunnelKeySet, TunnelKeyUnset
from offload.errors import Unsupported
from offload.tc import act_ct, act_gact, act_mirred, act_tunnel_key
from offload.tc.answer import Answer
from offload.tc.control import verb_keyword
from offload.tc.words import Declined, Words

MAX_ACTIONS = 32

_PARSERS: dict[str, Callable[[Words], Action]] = {
    "ct": act_ct.parse,
    "gact": act_gact.parse,
    "mirred": act_mirred.parse,
    "tunnel_key": act_tunnel_key.parse,
}
_NOT_YET = (
    *("bpf", "connmark", "csum", "ctinfo", "gate", "ife", "ipt", "mpls", "nat"),
    *("pedit", "police", "sample", "simple", "skbedit", "skbmod", "vlan", "xt"),
)
_OPTIONS_NOT_YET = ("cookie", "no_percpu", "skip_sw", "skip_hw")
_NEW_COMMANDS = ("change", "replace", "delete", "get", "add")


def parse_actions(words: Words) -> tuple[Action, ...]:
    """What stands after ``action``, to the end of the line or of the actions."""
    found: list[Action] = []
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
            found.append(_parse_action(words))
    if expected:
        words.say("bad action empty 1")
        _bad_value(words, words.mark())
    return tuple(found)


def _parse_action(words: Words) -> Action:
    mark = words.mark()
    name = "gact" if verb_keyword(words.word) else words.word
    if name in _NOT_YET:
        raise Unsupported(f"action {name}: not supported by the testbed yet")
    # tc takes an unknown action for gact, which then finds no verb in it.
    parser = _PARSERS.get(name, act_gact.parse)
    try:
        action = parser(words)
    except Declined:
        words.say("bad action parsing")
        _bad_value(words, mark)
    if words.matches("hw_stats") or words.left and words.word in _OPTIONS_NOT_YET:
        raise Unsupported(f"action {words.word}: not supported by the testbed yet")
    return action


def _bad_value(words: Words, mark: tuple[int, str]) -> NoReturn:
    left, word = mark
    words.decline(f"parse_action: bad value ({left}:{word})!")


def show_action(answer: Answer, action: Action) -> str:
    """Print all of an action but its index; how the index's line begins."""
    match action:
        case Ct():
            act_ct.show(answer, action)
        case Gact():
            act_gact.show(answer, action)
        case Mirred():
            act_mirred.show(answer, action)
            return "\t"
        case TunnelKeySet() | TunnelKeyUnset():
            act_tunnel_key.show(answer, action)
        case _:
            raise Unsupported(f"{type(action).__name__}: tc cannot show it yet")
    return "\t "
