"""``tc filter add|change|replace|delete|get|show ...``.

Source: iproute2 tc/tc_filter.c
"""

from __future__ import annotations

from collections.abc import Callable

from offload.cls_api import Change
from offload.errors import KernelError, Unsupported
from offload.flower import ETH_P_ALL
from offload.tc.command import (
    Command,
    FilterAdd,
    FilterDel,
    FilterGet,
    FilterShow,
    Foreign,
)
from offload.tc.flower import Flower, parse_flower
from offload.tc.numbers import unsigned
from offload.tc.options import Options
from offload.tc.place import (
    EITHER_AT_ONCE,
    EITHER_EXCLUSIVE,
    USAGE,
    Place,
    is_ours,
    read_place,
)
from offload.tc.words import Declined, Words, abbreviations

OTHER_KINDS = (
    *("basic", "bpf", "cgroup", "flow", "fw", "matchall", "route"),
    *("rsvp", "rsvp6", "tcindex", "u32"),
)


def parse_filter(
    words: Words, options: Options, ours: Callable[[str], bool]
) -> Command:
    """Read what stands after ``filter``."""
    if not words.left:
        return Foreign("filter")
    keyword = _MEANINGS.get(words.word)
    if keyword is not None:
        words.skip()
        return _COMMANDS[keyword](words, options, ours, keyword)
    if words.matches("help"):
        words.leave(USAGE, exit_code=0)
    words.leave(f'Command "{words.word}" is unknown, try "tc filter help".')


def _modify(
    words: Words, options: Options, ours: Callable[[str], bool], keyword: str
) -> Command:
    place = read_place(words, EITHER_EXCLUSIVE)
    if not is_ours(place, ours):
        return Foreign("filter", place.device or None)
    deletes = keyword == "delete"
    creates = keyword in ("add", "replace")
    default = ETH_P_ALL if creates else 0
    protocol = default if place.protocol is None else place.protocol
    flower = _read_kind(words, place, protocol)
    if not deletes:
        return _added(words, place, flower, Change(keyword), protocol)
    return FilterDel(
        device=place.device,
        block=place.block,
        hook=place.hook,
        chain=place.chain,
        prio=place.prio or None,
        protocol=protocol,
        handle=flower.handle,
        kind=place.kind,
    )


def _added(
    words: Words, place: Place, flower: Flower, change: Change, protocol: int
) -> FilterAdd:
    if place.kind is None:
        words.kernel_will_refuse(
            KernelError("Filter kind and protocol must be specified")
        )
    return FilterAdd(
        device=place.device,
        block=place.block,
        change=change,
        hook=place.hook,
        chain=place.chain,
        prio=place.prio or None,
        protocol=protocol,
        handle=flower.handle,
        kind=place.kind or "",
        match=flower.match,
        actions=flower.actions,
        skip_sw="skip_sw" in flower.flags,
        skip_hw="skip_hw" in flower.flags,
        verbose="verbose" in flower.flags,
    )


def _read_kind(words: Words, place: Place, protocol: int) -> Flower:
    """Read the classifier's part, if it is named; tc exits 1 when it cannot."""
    if place.kind is None:
        if place.handle is not None:
            words.leave('Must specify filter type when using "handle"')
        return Flower(protocol)
    try:
        return _read_known_kind(words, place, place.kind, protocol)
    except Declined:
        words.leave(exit_code=1)


def _read_known_kind(words: Words, place: Place, kind: str, protocol: int) -> Flower:
    if kind == "flower":
        return parse_flower(words, protocol, place.handle)
    if kind in OTHER_KINDS:
        raise Unsupported(f"filter {kind}: not supported by the testbed yet")
    if words.left:
        words.decline(
            f'Unknown filter "{kind}", hence option "{words.word}" is unparsable'
        )
    if place.handle is not None and unsigned(place.handle, 32, 16) is None:
        words.decline(f'Unparsable filter ID "{place.handle}"')
    words.kernel_will_refuse(KernelError("TC classifier not found"))
    return Flower(protocol)


def _get(
    words: Words, options: Options, ours: Callable[[str], bool], keyword: str
) -> Command:
    place = read_place(words, EITHER_EXCLUSIVE)
    if place.protocol is None:
        words.leave("Must specify filter protocol")
    if not place.prio:
        words.leave("Must specify filter priority")
    if not place.parent:
        words.leave("Must specify filter parent")
    if place.kind is None:
        words.leave("Must specify filter type")
    if not place.device and not place.block:
        words.leave('Must specify netdevice "dev" or block index "block"')
    if not is_ours(place, ours):
        return Foreign("filter", place.device or None)
    flower = _read_kind(words, place, place.protocol)
    if place.handle is None:
        words.leave('Must specify filter "handle"')
    return FilterGet(
        device=place.device,
        block=place.block,
        hook=place.hook,
        chain=place.chain,
        prio=place.prio,
        protocol=place.protocol,
        handle=flower.handle or 0,
        kind=place.kind,
        options=options,
    )


def _list(
    words: Words, options: Options, ours: Callable[[str], bool], keyword: str
) -> Command:
    place = read_place(words, EITHER_AT_ONCE, lists=True)
    if words.said and (not place.device or ours(place.device)):
        words.leave(exit_code=0)
    if not is_ours(place, ours):
        return Foreign("filter", place.device or None)
    return FilterShow(
        device=place.device,
        block=place.block,
        hook=place.hook,
        chain=place.chain,
        prio=place.prio or None,
        protocol=place.protocol or 0,
        handle=place.handle,
        options=options,
    )


# In tc's order, which decides what an abbreviation means.
_COMMANDS = {
    "add": _modify,
    "change": _modify,
    "replace": _modify,
    "delete": _modify,
    "get": _get,
    "list": _list,
    "show": _list,
    "lst": _list,
}
_MEANINGS = abbreviations(_COMMANDS)
