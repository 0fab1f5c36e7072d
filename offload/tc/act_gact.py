"""``action drop``, ``action goto chain 2``: a verb alone.

Source: iproute2 tc/m_gact.c
"""

from __future__ import annotations

from offload.act_api import Request
from offload.actions import PASS, Gact
from offload.errors import Unsupported
from offload.tc.answer import Answer
from offload.tc.control import parse_control, show_control
from offload.tc.index import parse_index, parse_optional_index
from offload.tc.stats import ActionState, show_index
from offload.tc.words import Words

USAGE = "Usage: ... gact drop|continue|pass|pipe|reclassify|trap|goto chain N"


def parse(words: Words) -> Request:
    """The verb, with or without ``gact`` before it, or only an index."""
    if words.matches("gact"):
        words.next()
    if words.matches("index"):
        return Request(Gact(PASS), parse_index(words))
    control = parse_control(words)
    if control is None:
        words.leave(USAGE)
    if words.matches("random"):
        raise Unsupported("gact random: not supported by the testbed")
    index = parse_optional_index(words)
    if words.matches("help"):
        words.leave(USAGE)
    return Request(Gact(control), index)


def show(answer: Answer, action: Gact, state: ActionState, statistics: bool) -> None:
    """Source: print_gact; the kernel has no probability set here."""
    answer.put("kind", "gact", "gact ")
    show_control(answer, action.control, "action ")
    with answer.object("prob"):
        answer.newline()
        answer.put("random_type", "none", "\t random type none")
        show_control(answer, PASS, " ")
        answer.say(" ")
        answer.put("val", 0, "val 0")
    answer.newline()
    show_index(answer, "\t ", state, statistics)
