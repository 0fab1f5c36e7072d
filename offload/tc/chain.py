"""``tc chain add|delete|get|show ...``: its words are a filter's.

Source: iproute2 tc/tc_filter.c:do_chain
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from offload.errors import KernelError, Unsupported
from offload.tc.answer import new_answer, printed
from offload.tc.command import ChainEdit, ChainShow, Command, Foreign
from offload.tc.filter import OTHER_KINDS
from offload.tc.numbers import unsigned
from offload.tc.options import Options
from offload.tc.place import (
    EITHER_AT_ONCE,
    EITHER_EXCLUSIVE,
    Place,
    is_ours,
    read_place,
)
from offload.tc.words import Words

USAGE = """Usage: tc chain { add | del } dev DEVICE ingress [ chain CHAIN ]
       tc chain { get | show } dev DEVICE ingress [ chain CHAIN ]
       tc chain ... block BLOCK [ chain CHAIN ]"""


def parse_chain(words: Words, options: Options, ours: Callable[[str], bool]) -> Command:
    """Read what stands after ``chain``."""
    if not words.left:
        return Foreign("chain")
    for keyword in _KEYWORDS:
        if words.matches(keyword):
            words.skip()
            if keyword in ("add", "delete"):
                return _edit(words, ours, keyword == "delete")
            return _show(words, options, ours, keyword == "get")
    if words.matches("help"):
        words.leave(USAGE, exit_code=0)
    words.leave(f'Command "{words.word}" is unknown, try "tc chain help".')


def _edit(words: Words, ours: Callable[[str], bool], deletes: bool) -> Command:
    place = read_place(words, EITHER_EXCLUSIVE)
    if not is_ours(place, ours):
        return Foreign("chain", place.device or None)
    if place.kind is not None:
        _template(words, place, place.kind)
    return ChainEdit(place.device, deletes, place.hook, place.chain, place.block)


def _template(words: Words, place: Place, kind: str) -> None:
    """A chain with a template takes filters of its mask only: not here."""
    if kind == "flower":
        raise Unsupported("chain template: not supported by the testbed")
    if kind not in OTHER_KINDS and words.left:
        words.say(f'Unknown filter "{kind}", hence option "{words.word}" is unparsable')
        words.leave(exit_code=1)
    if place.handle is not None and unsigned(place.handle, 32, 16) is None:
        words.leave(f'Unparsable filter ID "{place.handle}"', exit_code=1)
    words.kernel_will_refuse(KernelError("TC classifier not found"))


def _show(
    words: Words, options: Options, ours: Callable[[str], bool], get: bool
) -> Command:
    place = read_place(words, EITHER_AT_ONCE, lists=not get)
    if words.said and (not place.device or ours(place.device)):
        words.leave(exit_code=0)
    if not is_ours(place, ours):
        return Foreign("chain", place.device or None)
    if get and not place.parent:
        words.leave("Must specify filter parent")
    return ChainShow(place.device, place.hook, place.chain, get, options, place.block)


# In tc's order, which decides what an abbreviation means.
_KEYWORDS = ("add", "delete", "get", "list", "show", "lst")


def answer_chains(command: ChainShow, chains: Iterable[int], block: int = 0) -> str:
    """What tc prints of chains, in the order in which they were made, of a shared block if any."""
    answer = new_answer(command.options)
    for chain in chains:
        with answer.object():
            answer.say("chain ")
            if block and not command.block:
                answer.put("block", block, f"block {block} ")
            elif not command.block:
                answer.put("parent", "ffff:", "parent ffff: ")
            if command.get or command.chain is None:
                answer.put("chain", chain, f"chain {chain} ")
            answer.newline()
    return printed(answer, command.options)
