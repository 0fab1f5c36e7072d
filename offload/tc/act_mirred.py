"""``action mirred {egress|ingress} {redirect|mirror} dev D``.

Source: iproute2 tc/m_mirred.c
"""

from __future__ import annotations

from dataclasses import dataclass

from offload.act_api import Request
from offload.actions import PIPE, STOLEN, Mirred
from offload.errors import KernelError
from offload.tc.answer import Answer
from offload.tc.control import parse_optional_control, show_control
from offload.tc.index import parse_index
from offload.tc.stats import ActionState, show_index
from offload.tc.words import Words

USAGE = "Usage: mirred {egress|ingress} {mirror|redirect} [index N] dev DEVICE"
_MAX_NAME = 15


@dataclass(slots=True)
class _Draft:
    egress: bool = False
    ingress: bool = False
    mirror: bool = False
    redirect: bool = False
    dev: str = ""
    index: int = 0


def parse(words: Words) -> Request:
    """What stands after ``mirred``; only a mirror takes a verb."""
    words.next()
    if not words.matches("egress", "ingress", "index"):
        if words.matches("help"):
            words.leave(USAGE)
        words.decline(f"mirred option not supported {words.word}")
    draft = _Draft()
    while words.left and _step(words, draft):
        pass
    if draft.dev and not words.device_exists(draft.dev):
        words.decline(f'Cannot find device "{draft.dev}"')
    control = parse_optional_control(words, PIPE) if draft.mirror else STOLEN
    if words.matches("index"):
        if draft.index:
            words.decline("mirred: Illegal double index")
        draft.index = parse_index(words, "mirred: ")
    chosen = draft.mirror or draft.redirect
    error = None if chosen else KernelError("act_mirred: Unknown mirred option")
    action = Mirred(draft.dev, draft.redirect, draft.egress, control)
    return Request(action, draft.index, error=error)


def _step(words: Words, draft: _Draft) -> bool:
    """Read one word; False when the action ends there.

    A word that fits nowhere is passed over, as tc does.
    """
    if words.matches("action"):
        words.next()
        return False
    if _direction(words, draft):
        return True
    if words.matches("index"):
        draft.index = parse_index(words)
        if not (draft.egress or draft.ingress):
            return False
        words.place -= 1
    elif not draft.mirror and words.matches("mirror"):
        draft.mirror = True
        _exclusive(words, draft.redirect, "Can't have both mirror and redir")
    elif not draft.redirect and words.matches("redirect"):
        draft.redirect = True
        _exclusive(words, draft.mirror, "Can't have both mirror and redir")
    elif (draft.redirect or draft.mirror) and words.matches("dev"):
        draft.dev = words.next()[:_MAX_NAME]
        words.skip()
        return False
    words.next()
    return True


def _direction(words: Words, draft: _Draft) -> bool:
    if not draft.egress and words.matches("egress"):
        draft.egress = True
        _exclusive(words, draft.ingress, "Can't have both egress and ingress")
    elif not draft.ingress and words.matches("ingress"):
        draft.ingress = True
        _exclusive(words, draft.egress, "Can't have both ingress and egress")
    else:
        return False
    words.next()
    return True


def _exclusive(words: Words, other: bool, why: str) -> None:
    if other:
        words.decline(why)


def show(answer: Answer, action: Mirred, state: ActionState, statistics: bool) -> None:
    """Source: print_mirred"""
    direction = "egress" if action.egress else "ingress"
    what = "redirect" if action.redirect else "mirror"
    answer.put("kind", "mirred", "mirred ")
    answer.say(f"({direction.title()} {what.title()}")
    answer.put("mirred_action", what, "")
    answer.put("direction", direction, "")
    answer.put("to_dev", action.dev, f" to device {action.dev})")
    show_control(answer, action.control, " ")
    answer.newline()
    show_index(answer, "\t", state, statistics)
