"""``action mirred {egress|ingress} {redirect|mirror} dev D``.

Source: iproute2 tc/m_mirred.c
"""

from __future__ import annotations

from dataclasses import dataclass

from offload.actions import PIPE, STOLEN, Mirred
from offload.errors import KernelError, Unsupported
from offload.tc.answer import Answer
from offload.tc.control import parse_optional_control, show_control
from offload.tc.words import Words

USAGE = "Usage: mirred {egress|ingress} {mirror|redirect} dev DEVICE"
_MAX_NAME = 15


@dataclass(slots=True)
class _Draft:
    egress: bool = False
    ingress: bool = False
    mirror: bool = False
    redirect: bool = False
    dev: str = ""


def parse(words: Words) -> Mirred:
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
    if not (draft.mirror or draft.redirect):
        words.kernel_will_refuse(KernelError("act_mirred: Unknown mirred option"))
    if words.matches("index"):
        _no_index()
    return Mirred(draft.dev, draft.redirect, draft.egress, control)


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
        _no_index()
    if not draft.mirror and words.matches("mirror"):
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


def _no_index() -> None:
    raise Unsupported("mirred index: not supported by the testbed yet")


def show(answer: Answer, action: Mirred) -> None:
    """Source: print_mirred"""
    direction = "egress" if action.egress else "ingress"
    what = "redirect" if action.redirect else "mirror"
    answer.put("kind", "mirred", "mirred ")
    answer.say(f"({direction.title()} {what.title()}")
    answer.put("mirred_action", what, "")
    answer.put("direction", direction, "")
    answer.put("to_dev", action.dev, f" to device {action.dev})")
    show_control(answer, action.control, " ")
