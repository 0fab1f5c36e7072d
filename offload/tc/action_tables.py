"""``tc actions add|change|replace|delete|get|list|flush ...``.

Source: iproute2 tc/m_action.c:do_action
"""

from __future__ import annotations

from collections.abc import Sequence

from offload.act_api import KINDS, Request
from offload.actions import Action
from offload.errors import Unsupported
from offload.tc.actions import NOT_OURS, parse_actions, show_actions
from offload.tc.answer import new_answer, printed
from offload.tc.command import (
    Actions,
    ActionsAdd,
    ActionsNamed,
    ActionsOfKind,
    ActionsStep,
)
from offload.tc.index import parse_index
from offload.tc.numbers import unsigned
from offload.tc.options import Options
from offload.tc.stats import ActionState
from offload.tc.words import Declined, Words

USAGE = """usage: tc actions { add | change | replace } action ACTION [ index INDEX ]
                  [ cookie HEX ] [ hw_stats TYPE ] [ skip_sw | skip_hw ]
       tc actions { get | delete } action KIND index INDEX
       tc actions { list | flush } action KIND"""
_KINDS = tuple(dict.fromkeys(KINDS.values()))
_MAX_NAME = 15


def parse_action_tables(words: Words, options: Options) -> Actions:
    """Read what stands after ``actions``: commands, one after the other."""
    steps: list[ActionsStep] = []
    while words.left:
        step = _step(words, options)
        if step is not None:
            steps.append(step)
        if isinstance(step, ActionsOfKind):
            break
    return Actions(tuple(steps))


def _step(words: Words, options: Options) -> ActionsStep | None:
    if words.matches("add"):
        return ActionsAdd(_added(words), options=options)
    if words.matches("change", "replace"):
        return ActionsAdd(_added(words), replace=True, options=options)
    if words.matches("delete"):
        return _named(words, options, deletes=True)
    if words.matches("get"):
        return _named(words, options, deletes=False)
    if words.matches("list", "show", "lst"):
        return _of_kind(words, options, flushes=False)
    if words.matches("flush"):
        return _of_kind(words, options, flushes=True)
    if words.matches("help"):
        words.leave(USAGE)
    words.leave(f'Command "{words.word}" is unknown, try "tc actions help".')


def _added(words: Words) -> tuple[Request, ...]:
    words.skip()
    try:
        if not words.left:
            words.decline()
        return parse_actions(words)
    except Declined:
        words.leave('Illegal "action"')


def _named(words: Words, options: Options, deletes: bool) -> ActionsStep | None:
    words.skip()
    after = words.word if words.left else ""
    named: list[tuple[str, int]] = []
    while words.left:
        if words.word == "action":
            words.skip()
        elif words.word == "help":
            words.leave(exit_code=0)
        else:
            named.append(_name(words))
    return ActionsNamed(tuple(named), deletes, after, options) if named else None


def _name(words: Words) -> tuple[str, int]:
    """``KIND index N``; tc takes an unknown kind for gact."""
    kind = _kind(words.word)
    words.skip()
    if not words.matches("index"):
        words.leave(f"Error: no index specified action: {kind}")
    try:
        return kind, parse_index(words)
    except Declined:
        words.leave()


def _kind(word: str) -> str:
    name = word[:_MAX_NAME]
    if name in NOT_OURS:
        raise Unsupported(f"action {name}: not supported by the testbed")
    return name if name in _KINDS else "gact"


def _of_kind(words: Words, options: Options, flushes: bool) -> ActionsOfKind:
    """What stands behind the kind is ignored, but for ``since``."""
    if words.left <= 2:
        words.leave(USAGE)
    words.place += 2
    name = words.word[:_MAX_NAME]
    if name in NOT_OURS:
        raise Unsupported(f"action {name}: not supported by the testbed")
    words.skip()
    since_ms = _since(words) if words.left and words.word == "since" else 0
    return ActionsOfKind(name, flushes, since_ms, options)


def _since(words: Words) -> int:
    word = words.next()
    since_ms = unsigned(word, 32)
    if since_ms is None:
        words.wrong(word, 'dump time "since" is invalid')
    return since_ms


def answer_actions(
    actions: Sequence[Action],
    states: Sequence[ActionState],
    options: Options,
    first: int,
) -> str:
    """What tc prints of actions; the kernel counts those of a list only."""
    answer = new_answer(options)
    total = 0 if first else len(actions)
    with answer.object():
        answer.put("total acts", total, f"total acts {total}")
        answer.newline()
    with answer.object():
        show_actions(answer, tuple(actions), tuple(states), options, first, True)
    return printed(answer, options)
