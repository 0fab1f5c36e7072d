"""``tc filter add|change|replace|delete|get|show ...``.

Source: iproute2 tc/tc_filter.c
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from offload.errors import KernelError, Unsupported
from offload.flower import ETH_P_ALL
from offload.tc.command import (
    Change,
    Command,
    FilterAdd,
    FilterDel,
    FilterGet,
    FilterShow,
    Foreign,
    Hook,
    Options,
)
from offload.tc.flower import Flower, parse_flower
from offload.tc.numbers import unsigned
from offload.tc.parents import ROOT, hook_of, parse_classid
from offload.tc.protocols import parse_protocol
from offload.tc.words import Declined, Words

USAGE = """Usage: tc filter { add | del | change | replace } dev DEVICE
              { ingress | egress | parent CLASSID } [ pref PRIO ]
              [ protocol PROTO ] [ chain CHAIN ] [ handle HANDLE ]
              flower OPTIONS (try "tc filter add flower help")
       tc filter get dev DEVICE { ingress | egress } protocol PROTO pref PRIO
              [ chain CHAIN ] handle HANDLE flower
       tc filter show dev DEVICE { ingress | egress } [ pref PRIO ]
              [ protocol PROTO ] [ chain CHAIN ]"""

_OTHER_KINDS = (
    *("basic", "bpf", "cgroup", "flow", "fw", "matchall", "route"),
    *("rsvp", "rsvp6", "tcindex", "u32"),
)
_MAX_NAME = 15


@dataclass(slots=True)
class _Draft:
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
        return hook_of(self.parent)


_Read = Callable[[Words, _Draft], None]


def parse_filter(
    words: Words, options: Options, ours: Callable[[str], bool]
) -> Command:
    """Read what stands after ``filter``."""
    if not words.left:
        return Foreign("filter")
    for keyword, parse in _COMMANDS.items():
        if words.matches(keyword):
            words.skip()
            return parse(words, options, ours, keyword)
    if words.matches("help"):
        words.leave(USAGE, exit_code=0)
    words.leave(f'Command "{words.word}" is unknown, try "tc filter help".')


def _modify(
    words: Words, options: Options, ours: Callable[[str], bool], keyword: str
) -> Command:
    draft = _read_options(words, _EITHER_EXCLUSIVE)
    if not _is_ours(draft, ours):
        return Foreign("filter", draft.device or None)
    deletes = keyword == "delete"
    creates = keyword in ("add", "replace")
    default = ETH_P_ALL if creates else 0
    protocol = default if draft.protocol is None else draft.protocol
    flower = _read_kind(words, draft, protocol)
    if not deletes:
        return _added(words, draft, flower, Change(keyword), protocol)
    return FilterDel(
        device=draft.device,
        hook=draft.hook,
        chain=draft.chain,
        prio=draft.prio or None,
        protocol=protocol,
        handle=flower.handle,
        kind=draft.kind,
    )


def _added(
    words: Words, draft: _Draft, flower: Flower, change: Change, protocol: int
) -> FilterAdd:
    if draft.kind is None:
        words.kernel_will_refuse(KernelError("Filter kind and protocol must match"))
    return FilterAdd(
        device=draft.device,
        change=change,
        hook=draft.hook,
        chain=draft.chain,
        prio=draft.prio or None,
        protocol=protocol,
        handle=flower.handle,
        kind=draft.kind or "",
        match=flower.match,
        actions=flower.actions,
        skip_sw="skip_sw" in flower.flags,
        skip_hw="skip_hw" in flower.flags,
        verbose="verbose" in flower.flags,
    )


def _read_kind(words: Words, draft: _Draft, protocol: int) -> Flower:
    """Read the classifier's part, if it is named; tc exits 1 when it cannot."""
    if draft.kind is None:
        if draft.handle is not None:
            words.leave('Must specify filter type when using "handle"')
        return Flower(protocol)
    try:
        return _read_known_kind(words, draft, draft.kind, protocol)
    except Declined:
        words.leave(exit_code=1)


def _read_known_kind(words: Words, draft: _Draft, kind: str, protocol: int) -> Flower:
    if kind == "flower":
        return parse_flower(words, protocol, draft.handle)
    if kind in _OTHER_KINDS:
        raise Unsupported(f"filter {kind}: not supported by the testbed yet")
    if words.left:
        words.decline(
            f'Unknown filter "{kind}", hence option "{words.word}" is unparsable'
        )
    if draft.handle is not None and unsigned(draft.handle, 32, 16) is None:
        words.decline(f'Unparsable filter ID "{draft.handle}"')
    words.kernel_will_refuse(KernelError("TC classifier not found"))
    return Flower(protocol)


def _get(
    words: Words, options: Options, ours: Callable[[str], bool], keyword: str
) -> Command:
    draft = _read_options(words, _EITHER_EXCLUSIVE)
    if draft.protocol is None:
        words.leave("Must specify filter protocol")
    if not draft.prio:
        words.leave("Must specify filter priority")
    if not draft.parent:
        words.leave("Must specify filter parent")
    if draft.kind is None:
        words.leave("Must specify filter type")
    if not draft.device and not draft.block:
        words.leave('Must specify netdevice "dev" or block index "block"')
    if not _is_ours(draft, ours):
        return Foreign("filter", draft.device or None)
    flower = _read_kind(words, draft, draft.protocol)
    if draft.handle is None:
        words.leave('Must specify filter "handle"')
    return FilterGet(
        device=draft.device,
        hook=draft.hook,
        chain=draft.chain,
        prio=draft.prio,
        protocol=draft.protocol,
        handle=flower.handle or 0,
        kind=draft.kind,
        options=options,
    )


def _list(
    words: Words, options: Options, ours: Callable[[str], bool], keyword: str
) -> Command:
    draft = _read_options(words, _EITHER_AT_ONCE, lists=True)
    if words.said:
        words.leave(exit_code=0)
    if not _is_ours(draft, ours):
        return Foreign("filter", draft.device or None)
    return FilterShow(
        device=draft.device,
        hook=draft.hook,
        chain=draft.chain,
        prio=draft.prio or None,
        protocol=draft.protocol or 0,
        handle=draft.handle,
        options=options,
    )


def _is_ours(draft: _Draft, ours: Callable[[str], bool]) -> bool:
    return bool(draft.device) and ours(draft.device)


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

_EITHER_EXCLUSIVE = 'Error: "dev" and "block" are mutually exclusive'
_EITHER_AT_ONCE = 'Error: "{}" cannot be used in the same time as "{}"'
_HOOK_WORDS = {
    "root": ROOT,
    "ingress": Hook.INGRESS.value,
    "egress": Hook.EGRESS.value,
}


def _read_options(words: Words, both: str, lists: bool = False) -> _Draft:
    """Read the words that all filters share, up to the classifier's name."""
    draft = _Draft()
    while words.left:
        if words.word == "dev":
            _read_device(words, draft, both)
        elif words.matches("block"):
            _read_block(words, draft, both)
        elif words.word in _HOOK_WORDS:
            _read_hook(words, draft)
        elif words.word == "parent":
            _read_parent(words, draft, lists)
        elif words.word == "handle":
            _read_handle(words, draft)
        elif not _read_number(words, draft, lists):
            _read_last(words, draft, lists)
            if draft.kind is not None:
                break
        words.skip()
    return draft


def _read_number(words: Words, draft: _Draft, lists: bool) -> bool:
    if words.matches("preference", "priority"):
        _read_prio(words, draft, lists)
    elif words.matches("protocol"):
        _read_protocol(words, draft, lists)
    elif words.matches("chain"):
        _read_chain(words, draft)
    else:
        return False
    return True


def _read_last(words: Words, draft: _Draft, lists: bool) -> None:
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
    draft.kind = words.word[:_MAX_NAME]
    words.skip()


def _read_device(words: Words, draft: _Draft, both: str) -> None:
    word = words.next()
    if draft.device:
        words.duplicate("dev")
    if draft.block:
        words.leave(both.format("dev", "block"))
    draft.device = word[:_MAX_NAME]


def _read_block(words: Words, draft: _Draft, both: str) -> None:
    word = words.next()
    if draft.block:
        words.duplicate("block")
    if draft.device:
        words.leave(both.format("block", "dev"))
    draft.block = unsigned(word, 32) or 0
    if not draft.block:
        words.wrong(word, "invalid block index value")


def _read_hook(words: Words, draft: _Draft) -> None:
    if draft.parent:
        words.leave(f'Error: "{words.word}" is duplicate parent ID')
    draft.parent = _HOOK_WORDS[words.word]


def _read_parent(words: Words, draft: _Draft, lists: bool) -> None:
    word = words.next()
    if draft.parent:
        words.duplicate("parent")
    parent = parse_classid(word)
    if parent is None:
        words.wrong(word, "invalid parent ID" if lists else "Invalid parent ID")
    draft.parent = parent


def _read_handle(words: Words, draft: _Draft) -> None:
    word = words.next()
    if draft.handle is not None:
        words.duplicate("handle")
    draft.handle = word


def _read_prio(words: Words, draft: _Draft, lists: bool) -> None:
    word = words.next()
    if draft.prio:
        words.duplicate("priority")
    prio = unsigned(word, 32)
    if prio is None or not lists and prio > 0xFFFF:
        _wrong_prio(words, word, lists)
    draft.prio = prio


def _wrong_prio(words: Words, word: str, lists: bool) -> NoReturn:
    words.wrong(word, "invalid preference" if lists else "invalid priority value")


def _read_protocol(words: Words, draft: _Draft, lists: bool) -> None:
    word = words.next()
    if draft.protocol or draft.protocol == 0 and not lists:
        words.duplicate("protocol")
    protocol = parse_protocol(word)
    if protocol is None:
        words.wrong(word, "invalid protocol")
    draft.protocol = protocol


def _read_chain(words: Words, draft: _Draft) -> None:
    word = words.next()
    if draft.chain is not None:
        words.duplicate("chain")
    chain = unsigned(word, 32)
    if chain is None:
        words.wrong(word, "invalid chain index value")
    draft.chain = chain
