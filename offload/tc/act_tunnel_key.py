"""``action tunnel_key set ...`` and ``action tunnel_key unset``.

Source: iproute2 tc/m_tunnel_key.c
"""

from __future__ import annotations

from dataclasses import dataclass

from offload.act_api import Request
from offload.actions import (
    PIPE,
    Address,
    Control,
    TunnelKey,
    TunnelKeySet,
    TunnelKeyUnset,
)
from offload.errors import KernelError, Unsupported
from offload.tc.addresses import parse_address, show_address
from offload.tc.answer import Answer
from offload.tc.control import parse_optional_control, show_control
from offload.tc.index import parse_optional_index
from offload.tc.numbers import unsigned
from offload.tc.stats import ActionState, show_index
from offload.tc.words import Words, abbreviates

USAGE = """Usage: tunnel_key unset
       tunnel_key set src_ip IP dst_ip IP [id ID] [dst_port UDP_PORT]
                      [tos TOS] [ttl TTL] [csum | nocsum]"""

# In tc's order, which decides what an abbreviation means.
_KEYWORDS = (
    *("unset", "set", "src_ip", "dst_ip", "id", "dst_port"),
    *("geneve_opts", "vxlan_opts", "erspan_opts", "tos", "ttl"),
    *("csum", "nocsum", "help"),
)
_NUMBERS = {
    "id": ("id", 32, (10,)),
    "dst_port": ("dst port", 16, (10,)),
    "tos": ("tos", 8, (10, 16)),
    "ttl": ("ttl", 8, (10, 16)),
}


@dataclass(slots=True)
class _Draft:
    mode: str = ""
    src: Address | None = None
    dst: Address | None = None
    key_id: int | None = None
    dst_port: int | None = None
    tos: int | None = None
    ttl: int | None = None
    csum: bool = True


def parse(words: Words) -> Request:
    """What stands after ``tunnel_key``."""
    words.next()
    draft = _Draft()
    while words.left and (keyword := _keyword(words.word)):
        _read(words, keyword, draft)
        words.skip()
    control = parse_optional_control(words, PIPE)
    index = parse_optional_index(words, "tunnel_key: ")
    error = None if draft.mode else KernelError("Unknown tunnel key action")
    return Request(_finish(words, draft, control), index, error=error)


def _keyword(word: str) -> str | None:
    return next((k for k in _KEYWORDS if abbreviates(word, k)), None)


def _read(words: Words, keyword: str, draft: _Draft) -> None:
    if keyword in ("set", "unset"):
        if draft.mode:
            words.say(f'unexpected "{words.word}" - action already specified')
            words.decline(USAGE)
        draft.mode = keyword
    elif keyword in ("src_ip", "dst_ip"):
        setattr(draft, keyword[:3], parse_address(words, words.next()))
    elif keyword in _NUMBERS:
        setattr(
            draft, "key_id" if keyword == "id" else keyword, _number(words, keyword)
        )
    elif keyword in ("csum", "nocsum"):
        draft.csum = keyword == "csum"
    elif keyword == "help":
        words.leave(USAGE)
    else:
        raise Unsupported(f"tunnel_key {keyword}: not supported by the testbed")


def _number(words: Words, keyword: str) -> int:
    name, bits, bases = _NUMBERS[keyword]
    word = words.next()
    for base in bases:
        number = unsigned(word, bits, base)
        if number is not None:
            return number
    words.decline(f'Illegal "{name}"')


def _finish(words: Words, draft: _Draft, control: Control) -> TunnelKey:
    """The value; without a mode, one that nobody will see."""
    if draft.mode == "set" and (draft.src is None or draft.dst is None):
        words.say("set needs tunnel_key parameters")
        words.decline(USAGE)
    if draft.src is None or draft.dst is None or draft.mode != "set":
        return TunnelKeyUnset(control)
    return TunnelKeySet(
        src=draft.src,
        dst=draft.dst,
        key_id=draft.key_id,
        dst_port=draft.dst_port,
        tos=draft.tos,
        ttl=draft.ttl,
        csum=draft.csum,
        control=control,
    )


def show(
    answer: Answer, action: TunnelKey, state: ActionState, statistics: bool
) -> None:
    """Source: print_tunnel_key, and what the kernel's tunnel_key_dump leaves out."""
    answer.put("kind", "tunnel_key", "tunnel_key ")
    if isinstance(action, TunnelKeyUnset):
        answer.put("mode", "unset", " unset")
    else:
        answer.put("mode", "set", " set")
        _show_key(answer, action)
    show_control(answer, action.control, " ")
    answer.newline()
    show_index(answer, "\t ", state, statistics)


def _show_key(answer: Answer, action: TunnelKeySet) -> None:
    _line(answer, "src_ip", show_address(action.src))
    _line(answer, "dst_ip", show_address(action.dst))
    if action.key_id is not None:
        _line(answer, "key_id", action.key_id)
    if action.dst_port:
        _line(answer, "dst_port", action.dst_port)
    answer.newline()
    flag = "csum" if action.csum else "nocsum"
    answer.put("flag", flag, f"\t{flag}")
    if action.tos:
        answer.newline()
        answer.put("tos", action.tos, f"\ttos {action.tos:#x}")
    if action.ttl:
        _line(answer, "ttl", action.ttl)


def _line(answer: Answer, key: str, value: int | str) -> None:
    answer.newline()
    answer.put(key, value, f"\t{key} {value}")
