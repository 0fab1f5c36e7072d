"""Where a filter is and which one: the words all filter commands share.

Source: iproute2 tc/tc_filter.c
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from offload.errors import Unsupported
from offload.tc.command import Hook
from offload.tc.numbers import unsigned
from offload.tc.parents import ROOT, hook_of, parse_classid
from offload.tc.protocols import parse_protocol
from offload.tc.words import Words

USAGE = """Usage: tc filter { add | del | change | replace } dev DEVICE
              { ingress | egress | parent CLASSID } [ pref PRIO ]
              [ protocol PROTO ] [ chain CHAIN ] [ handle HANDLE ]
              flower OPTIONS (try "tc filter add flower help")
       tc filter get dev DEVICE { ingress | egress } protocol PROTO pref PRIO
              [ chain CHAIN ] handle HANDLE flower
       tc filter show dev DEVICE { ingress | egress } [ pref PRIO ]
              [ protocol PROTO ] [ chain CHAIN ]"""

_MAX_NAME = 15
EITHER_EXCLUSIVE = 'Error: "dev" and "block" are mutually exclusive'
EITHER_AT_ONCE = 'Error: "{}" cannot be used in the same time as "{}"'
_HOOK_WORDS = {
    "root": ROOT,
    "ingress": Hook.INGRESS.value,
    "egress": Hook.EGRESS.value,
}


@dataclass(slots=True)
class Place:
    """What the words said; 0 and None are what they did not."""

    device: str = ""
    block: int = 0
    parent: int = 0
    handle: str | None = None
    prio: int = 0
    protocol: int | None = None
    chain: int | None = None
    kind: str | None = None

    @property
    def hook(self) -> Hook:
        """The hook the parent means; a block's filters hang at the block."""
        return Hook.INGRESS if self.block else hook_of(self.parent)


def read_place(words: Words, both: str, lists: bool = False) -> Place:
    """Read the words that all filters share, up to the classifier's name."""
    place = Place()
    while words.left:
        if words.word == "dev":
            _read_device(words, place, both)
        elif words.matches("block"):
            _read_block(words, place, both)
        elif words.word in _HOOK_WORDS:
            _read_hook(words, place)
        elif words.word == "parent":
            _read_parent(words, place, lists)
        elif words.word == "handle":
            _read_handle(words, place)
        elif not _read_number(words, place, lists):
            _read_last(words, place, lists)
            if place.kind is not None:
                break
        words.skip()
    return place


def _read_number(words: Words, place: Place, lists: bool) -> bool:
    if words.matches("preference", "priority"):
        _read_prio(words, place, lists)
    elif words.matches("protocol"):
        _read_protocol(words, place, lists)
    elif words.matches("chain"):
        _read_chain(words, place)
    else:
        return False
    return True


def _read_last(words: Words, place: Place, lists: bool) -> None:
    """The classifier's name, or what cannot be one."""
    if not lists and words.matches("estimator"):
        raise Unsupported("estimator: not supported by the testbed")
    if words.matches("help"):
        words.say(USAGE)
        if lists:  # tc reads on, and may find more to say
            return
        words.leave(exit_code=0)
    if lists:
        words.leave(f' What is "{words.word}"? Try "tc filter help"')
    place.kind = words.word[:_MAX_NAME]
    words.skip()


def _read_device(words: Words, place: Place, both: str) -> None:
    word = words.next()
    if place.device:
        words.duplicate("dev")
    if place.block:
        words.leave(both.format("dev", "block"))
    place.device = word[:_MAX_NAME]


def _read_block(words: Words, place: Place, both: str) -> None:
    word = words.next()
    if place.block:
        words.duplicate("block")
    if place.device:
        words.leave(both.format("block", "dev"))
    place.block = unsigned(word, 32) or 0
    if not place.block:
        words.wrong(word, "invalid block index value")


def _read_hook(words: Words, place: Place) -> None:
    if place.parent:
        words.leave(f'Error: "{words.word}" is duplicate parent ID')
    place.parent = _HOOK_WORDS[words.word]


def _read_parent(words: Words, place: Place, lists: bool) -> None:
    word = words.next()
    if place.parent:
        words.duplicate("parent")
    parent = parse_classid(word)
    if parent is None:
        words.wrong(word, "invalid parent ID" if lists else "Invalid parent ID")
    place.parent = parent


def _read_handle(words: Words, place: Place) -> None:
    word = words.next()
    if place.handle is not None:
        words.duplicate("handle")
    place.handle = word


def _read_prio(words: Words, place: Place, lists: bool) -> None:
    word = words.next()
    if place.prio:
        words.duplicate("priority")
    prio = unsigned(word, 32)
    if prio is None or not lists and prio > 0xFFFF:
        _wrong_prio(words, word, lists)
    place.prio = prio


def _wrong_prio(words: Words, word: str, lists: bool) -> NoReturn:
    words.wrong(word, "invalid preference" if lists else "invalid priority value")


def _read_protocol(words: Words, place: Place, lists: bool) -> None:
    word = words.next()
    if place.protocol or place.protocol == 0 and not lists:
        words.duplicate("protocol")
    protocol = parse_protocol(word)
    if protocol is None:
        words.wrong(word, "invalid protocol")
    place.protocol = protocol


def _read_chain(words: Words, place: Place) -> None:
    word = words.next()
    if place.chain is not None:
        words.duplicate("chain")
    chain = unsigned(word, 32)
    if chain is None:
        words.wrong(word, "invalid chain index value")
    place.chain = chain


def is_ours(place: Place, ours: Callable[[str], bool]) -> bool:
    """Is it the testbed's?  A block always is: the qdiscs that share it are."""
    return bool(place.block) or bool(place.device) and ours(place.device)
