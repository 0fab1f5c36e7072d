"""``action ct ...``: connection tracking.

Source: iproute2 tc/m_ct.c
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from offload.act_api import Request
from offload.actions import MARK_MASK, PIPE, Ct, Masked, Nat, NatKind
from offload.errors import Unsupported
from offload.tc.addresses import parse_address, show_address
from offload.tc.answer import Answer
from offload.tc.control import parse_optional_control, show_control
from offload.tc.labels import parse_label, show_label
from offload.tc.numbers import masked, unsigned
from offload.tc.stats import ActionState, show_index
from offload.tc.words import Words, abbreviates

T = TypeVar("T")

USAGE = """Usage: ct clear
       ct commit [force] [zone ZONE] [mark MARK[/MASK]] [label HEX[/HEX]] [nat NAT]
       ct [nat] [zone ZONE]
       ct ... [index INDEX] [CONTROL]
Where: NAT is {src|dst} addr A[-B] [port P[-Q]]"""

# In tc's order, which decides what an abbreviation means.
_KEYWORDS = (
    *("zone", "nat", "clear", "commit", "force"),
    *("index", "mark", "label", "help", "helper"),
)


@dataclass(slots=True)
class _Draft:
    index: int = 0
    zone: int = 0
    commit: bool = False
    force: bool = False
    clear: bool = False
    mark: Masked | None = None
    label: Masked | None = None
    nat: bool = False
    src: bool = False
    dst: bool = False
    spec: Nat = Nat(NatKind.RESTORE)


def parse(words: Words) -> Request:
    """What stands after ``ct``."""
    words.skip()
    draft = _Draft()
    while words.left and (keyword := _keyword(words.word)):
        _read(words, keyword, draft)
    _check(words, draft)
    action = Ct(
        zone=draft.zone,
        commit=draft.commit,
        force=draft.force,
        clear=draft.clear,
        mark=draft.mark,
        label=draft.label,
        nat=draft.spec if draft.nat else None,
        control=parse_optional_control(words, PIPE),
    )
    return Request(action, draft.index)


def _keyword(word: str) -> str | None:
    return next((k for k in _KEYWORDS if abbreviates(word, k)), None)


def _read(words: Words, keyword: str, draft: _Draft) -> None:
    """Read one option and go past it."""
    if keyword in ("clear", "commit", "force"):
        setattr(draft, keyword, True)
        words.skip()
    elif keyword == "nat":
        _read_nat(words, draft)
    elif keyword == "help":
        words.leave(USAGE)
    else:
        _read_value(words, keyword, draft)
        words.skip()


def _read_value(words: Words, keyword: str, draft: _Draft) -> None:
    word = words.next()
    if keyword == "zone":
        draft.zone = _legal(words, "zone", unsigned(word, 16))
    elif keyword == "mark":
        draft.mark = Masked(*_legal(words, "mark", masked(word, 32)))
    elif keyword == "label":
        draft.label = Masked(*parse_label(words, word, "ct: "))
    elif keyword == "index":
        draft.index = _legal(words, "index", unsigned(word, 32, 10))
    else:
        raise Unsupported(f"ct {keyword}: not supported by the testbed")


def _legal(words: Words, name: str, value: T | None) -> T:
    if value is None:
        words.decline(f'ct: Illegal "{name}"')
    return value


def _read_nat(words: Words, draft: _Draft) -> None:
    """``nat [src|dst addr RANGE [port RANGE]]``; tc wants a word after it."""
    draft.nat = True
    words.next()
    if not words.matches("src", "dst"):
        return
    kind = NatKind.SRC if words.matches("src") else NatKind.DST
    draft.src |= kind is NatKind.SRC
    draft.dst |= kind is NatKind.DST
    words.next()
    if not words.matches("addr"):
        words.leave(USAGE)
    low, dash, high = words.next().partition("-")
    first = parse_address(words, low)
    last = parse_address(words, high, first.version) if dash else first
    draft.spec = Nat(kind, first, last)
    words.next()
    if words.matches("port"):
        ports = _port_range(words.next())
        if ports is None:
            words.decline("ct: Illegal nat port range")
        draft.spec = Nat(kind, first, last, *ports)
        words.skip()


def _port_range(word: str) -> tuple[int, int] | None:
    low, dash, high = word.partition("-")
    first = unsigned(low, 16, 10)
    last = unsigned(high, 16, 10) if dash else first
    return None if first is None or last is None else (first, last)


def _check(words: Words, draft: _Draft) -> None:
    """tc's own rules; the kernel has others."""
    if draft.clear and (draft.commit or draft.force or draft.nat):
        words.decline("ct: clear can only be used alone")
    if draft.src and draft.dst:
        words.decline("ct: src and dst nat can't be used together")
    if draft.commit and draft.nat and not (draft.src or draft.dst):
        words.decline("ct: commit and nat must set src or dst")
    if not draft.commit and (draft.src or draft.dst):
        words.decline("ct: src or dst is only valid if commit is set")


def show(answer: Answer, action: Ct, state: ActionState, statistics: bool) -> None:
    """Source: print_ct; the kernel tells no more of a ``clear``."""
    answer.put("kind", "ct")
    if action.commit:
        what = "commit force" if action.force else "commit"
        answer.put("action", what, f" {what}")
    elif action.clear:
        answer.put("action", "clear", " clear")
    if not action.clear:
        _show_values(answer, action)
    show_control(answer, action.control, " ")
    answer.newline()
    show_index(answer, "\t ", state, statistics)


def _show_values(answer: Answer, action: Ct) -> None:
    if action.mark and action.mark.mask:
        answer.say(" ")
        answer.put_masked("mark", action.mark.value, action.mark.mask, MARK_MASK)
    answer.put("zone", action.zone, f" zone {action.zone}")
    if action.label and action.label.mask:
        label = show_label(action.label.value, action.label.mask)
        answer.put("label", label, f" label {label}")
    if action.nat:
        nat = _nat_words(action.nat)
        answer.put("nat", nat, f" nat {nat}" if nat else " nat")


def _nat_words(nat: Nat) -> str:
    if nat.addr_min is None or nat.addr_max is None:
        return ""
    words = f"{nat.kind.value} addr {show_address(nat.addr_min)}"
    if nat.addr_max != nat.addr_min:
        words += f"-{show_address(nat.addr_max)}"
    if nat.port_min:
        words += f" port {nat.port_min}"
        words += f"-{nat.port_max}" if nat.port_max != nat.port_min else ""
    return words
