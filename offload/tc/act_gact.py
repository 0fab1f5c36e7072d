"""``action drop``, ``action goto chain 2``: a verb alone.

Source: iproute2 tc/m_gact.c
"""

from __future__ import annotations

from offload.actions import PASS, Gact
from offload.errors import Unsupported
from offload.tc.answer import Answer
from offload.tc.control import parse_control, show_control
from offload.tc.words import Words

USAGE = "Usage: ... gact drop|continue|pass|pipe|reclassify|trap|goto chain N"


def parse(words: Words) -> Gact:
    """The verb, with or without ``gact`` before it."""
    if words.matches("gact"):
        words.next()
    if words.matches("index"):
        raise Unsupported("gact index: not supported by the testbed yet")
    control = parse_control(words)
    if control is None:
        words.leave(USAGE)
    if words.matches("random", "index"):
        raise Unsupported(f"gact {words.word}: not supported by the testbed yet")
    if words.matches("help"):
        words.leave(USAGE)
    return Gact(control)


def show(answer: Answer, action: Gact) -> None:
    """Source: print_gact; the kernel has no probability set here."""
    answer.put("kind", "gact", "gact ")
    show_control(answer, action.control, "action ")
    with answer.object("prob"):
        answer.newline()
        answer.put("random_type", "none", "\t random type none")
        show_control(answer, PASS, " ")
        answer.say(" ")
        answer.put("val", 0, "val 0")
