"""``action skbedit ...``: what the kernel notes beside a packet.

Source: iproute2 tc/m_skbedit.c
"""

from __future__ import annotations

from dataclasses import dataclass

from offload.act_api import Request
from offload.actions import MARK_MASK, PIPE, Masked, Skbedit
from offload.errors import KernelError
from offload.tc.answer import Answer
from offload.tc.control import parse_optional_control, show_control
from offload.tc.index import parse_optional_index
from offload.tc.numbers import unsigned
from offload.tc.parents import parse_classid, show_classid
from offload.tc.stats import ActionState, show_index
from offload.tc.words import Words, abbreviates

USAGE = """Usage: skbedit [ queue_mapping QUEUE ] [ priority CLASSID ] [ mark MARK[/MASK] ]
               [ ptype TYPE ] [ inheritdsfield ] [CONTROL] [index INDEX]
Where: TYPE is one of host otherhost broadcast multicast"""

# In tc's order, which decides what an abbreviation means.
_KEYWORDS = (*("queue_mapping", "priority", "mark", "ptype", "inheritdsfield", "help"),)
_PTYPES = {"host": 0, "broadcast": 1, "multicast": 2, "otherhost": 3}
_PTYPE_NAMES = {number: name for name, number in _PTYPES.items()}


@dataclass(slots=True)
class _Draft:
    mark: Masked | None = None
    priority: int | None = None
    queue_mapping: int | None = None
    ptype: int | None = None
    inherit_dsfield: bool = False
    said: bool = False


def parse(words: Words) -> Request:
    """What stands after ``skbedit``."""
    words.next()
    draft = _Draft()
    while words.left and (keyword := _keyword(words.word)):
        _read(words, keyword, draft)
        draft.said = True
        words.skip()
    control = parse_optional_control(words, PIPE)
    names_index = words.matches("index")
    index = parse_optional_index(words, "skbedit: ")
    if not draft.said and not names_index:
        words.decline(USAGE)
    action = Skbedit(
        draft.mark,
        draft.priority,
        draft.queue_mapping,
        draft.ptype,
        draft.inherit_dsfield,
        control,
    )
    return Request(action, index, error=None if draft.said else KernelError())


def _keyword(word: str) -> str | None:
    return next((k for k in _KEYWORDS if abbreviates(word, k)), None)


def _read(words: Words, keyword: str, draft: _Draft) -> None:
    if keyword == "help":
        words.leave(USAGE)
    if keyword == "inheritdsfield":
        draft.inherit_dsfield = True
        return
    word = words.next()
    if keyword == "queue_mapping":
        draft.queue_mapping = _legal(words, keyword, unsigned(word, 16, 10))
    elif keyword == "priority":
        draft.priority = _legal(words, keyword, parse_classid(word))
    elif keyword == "mark":
        draft.mark = _parse_mark(words, word)
    else:
        name = next((each for each in _PTYPES if abbreviates(word, each)), None)
        if name is None:
            words.decline(f"Illegal ptype ({word})")
        draft.ptype = _PTYPES[name]


def _parse_mark(words: Words, word: str) -> Masked:
    value_text, slash, mask_text = word.partition("/")
    value = _legal(words, "mark", unsigned(value_text, 32))
    if not slash:
        return Masked(value, MARK_MASK)
    return Masked(value, _legal(words, "mask", unsigned(mask_text, 32)))


def _legal(words: Words, name: str, value: int | None) -> int:
    if value is None:
        words.decline(f"Illegal {name}")
    return value


def show(answer: Answer, action: Skbedit, state: ActionState, statistics: bool) -> None:
    """Source: print_skbedit"""
    answer.put("kind", "skbedit", "skbedit ")
    if action.queue_mapping is not None:
        queue = action.queue_mapping
        answer.put("queue_mapping", queue, f"queue_mapping {queue}")
    if action.priority is not None:
        classid = show_classid(action.priority)
        answer.put("priority", classid, f" priority {classid}")
    if action.mark is not None:
        _show_mark(answer, action.mark)
    if action.ptype is not None:
        ptype = _PTYPE_NAMES[action.ptype]
        answer.put("ptype", ptype, f" ptype {ptype}")
    if action.inherit_dsfield:
        answer.put("inheritdsfield", None, " inheritdsfield")
    show_control(answer, action.control, " ")
    answer.newline()
    show_index(answer, "\t ", state, statistics)


def _show_mark(answer: Answer, mark: Masked) -> None:
    answer.put("mark", mark.value, f" mark {mark.value}")
    if mark.mask != MARK_MASK:
        answer.put("mask", f"{mark.mask:x}", f"/{mark.mask:#x}")
