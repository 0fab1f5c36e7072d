"""``tc filter show`` and ``get``: filters in tc's own words.

The kernel dumps a line for each (chain, prio), then each filter in it.
Source: iproute2 tc/tc_filter.c:print_filter, tc/f_flower.c:flower_print_opt,
tc/m_action.c:tc_print_one_action, net/sched/cls_api.c:tcf_chain_dump
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from offload.actions import Action
from offload.flower import Match
from offload.tc.actions import show_actions
from offload.tc.answer import Answer, new_answer, printed
from offload.tc.command import FilterGet, FilterShow, Hook
from offload.tc.flower import show_match
from offload.tc.options import Options
from offload.tc.protocols import show_protocol
from offload.tc.stats import ActionState


@dataclass(frozen=True, slots=True)
class Shown:
    """A filter as it is shown; ``states`` has one for each action.

    ``block`` is the number of the shared block it is in, 0 if it is in none.
    """

    device: str
    chain: int
    prio: int
    protocol: int
    handle: int
    match: Match
    actions: tuple[Action, ...]
    states: tuple[ActionState, ...]
    skip_sw: bool = False
    skip_hw: bool = False
    in_hw: bool = False
    in_hw_count: int = 1
    hook: Hook = Hook.INGRESS
    block: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    """What the command said itself: tc does not repeat it."""

    hook: Hook | None = None
    block: bool = False
    prio: int | None = None
    protocol: int = 0
    chain: int | None = None


def show(
    device: str,
    entries: Sequence[Shown],
    statistics: bool = False,
    json: bool = False,
    pretty: bool = False,
) -> str:
    """What ``tc filter show dev DEVICE ingress`` prints of ``entries``."""
    options = Options(statistics=statistics, json=json, pretty=pretty)
    return answer_show(FilterShow(device, options=options), entries)


def answer_show(command: FilterShow, entries: Iterable[Shown]) -> str:
    """What tc prints for ``command`` when there are ``entries``, in their order."""
    asked = (entry for entry in entries if _is_asked(command, entry))
    known = _Known(
        command.hook,
        bool(command.block),
        command.prio,
        command.protocol,
        command.chain,
    )
    answer = new_answer(command.options)
    for _, group in groupby(asked, key=lambda entry: (entry.chain, entry.prio)):
        filters = list(group)
        with answer.object():
            _show_header(answer, filters[0], known)
            answer.newline()
        for entry in filters:
            _show_filter(answer, entry, known, command.options)
    return printed(answer, command.options)


def answer_get(command: FilterGet, entry: Shown) -> str:
    """What tc prints for ``command`` when the filter is ``entry``."""
    answer = new_answer(command.options)
    in_block = bool(command.block)
    options = replace(command.options, brief=False)
    known = _Known(command.hook if in_block else None, in_block)
    _show_filter(answer, entry, known, options)
    return printed(answer, command.options)


def _is_asked(command: FilterShow, entry: Shown) -> bool:
    return (
        command.chain in (None, entry.chain)
        and command.prio in (None, entry.prio)
        and command.protocol in (0, entry.protocol)
    )


def _show_header(answer: Answer, entry: Shown, known: _Known) -> None:
    answer.say("filter ")
    if entry.block and not known.block:
        answer.put("block", entry.block, f"block {entry.block} ")
    elif entry.hook is not known.hook:
        hook = entry.hook.name.lower()
        answer.put(hook, True, f"{hook} ")
    if not known.protocol:
        protocol = show_protocol(entry.protocol)
        answer.put("protocol", protocol, f"protocol {protocol} ")
    if not known.prio:
        answer.put("pref", entry.prio, f"pref {entry.prio} ")
    answer.put("kind", "flower", "flower ")
    if known.chain is None:
        answer.put("chain", entry.chain, f"chain {entry.chain} ")


def _show_filter(answer: Answer, entry: Shown, known: _Known, options: Options) -> None:
    with answer.object():
        _show_header(answer, entry, known)
        with answer.object("options"):
            answer.put("handle", entry.handle, f"handle {entry.handle:#x} ")
            show_match(answer, entry.match, options.brief)
            _show_flags(answer, entry)
            if entry.actions:
                show_actions(answer, entry.actions, entry.states, options)
        answer.newline()


def _show_flags(answer: Answer, entry: Shown) -> None:
    for flag, is_set in (("skip_hw", entry.skip_hw), ("skip_sw", entry.skip_sw)):
        if is_set:
            _show_flag(answer, flag)
    _show_flag(answer, "in_hw" if entry.in_hw else "not_in_hw")
    if entry.in_hw:
        count = entry.in_hw_count
        answer.put("in_hw_count", count, f" in_hw_count {count}")


def _show_flag(answer: Answer, flag: str) -> None:
    answer.newline()
    answer.put(flag, True, f"  {flag}")
