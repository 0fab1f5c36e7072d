"""``tc qdisc ...`` as far as it is about the hooks where filters hang.

Other qdiscs of the same devices are the system's.
Source: iproute2 tc/tc_qdisc.c, tc/q_ingress.c, tc/q_clsact.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from offload.errors import Unsupported
from offload.tc.answer import Answer, new_answer, printed
from offload.tc.command import Command, Foreign, QdiscEdit, QdiscShow
from offload.tc.numbers import strtoul, unsigned
from offload.tc.options import Options
from offload.tc.parents import ROOT, parse_classid
from offload.tc.words import Words

HOOKS = ("ingress", "clsact")
_PARENT = 0xFFFFFFF1
_MAX_NAME = 15
_VERBS = ("add", "change", "replace", "link", "delete", "list", "show", "lst")


@dataclass(slots=True)
class _Draft:
    device: str = ""
    kind: str = ""
    handle: int = 0
    parent: int = 0
    ingress_block: int = 0
    egress_block: int = 0


def parse_qdisc(words: Words, options: Options, ours: Callable[[str], bool]) -> Command:
    """Read what stands after ``qdisc``; Foreign if it is about another qdisc."""
    if not words.left:
        return QdiscShow("", options)
    place = words.place
    verb = next((verb for verb in _VERBS if words.matches(verb)), None)
    device = _device(words)
    if verb is None or device and not ours(device):
        return Foreign("qdisc", device or None)
    words.place = place + 1
    if verb in ("list", "show", "lst"):
        return _show(words, options, device)
    return _edit(words, verb) if device else Foreign("qdisc")


def _device(words: Words) -> str:
    """The device that the command names, wherever it stands."""
    while words.left:
        if words.word == "dev" and words.left > 1:
            words.skip()
            return words.word[:_MAX_NAME]
        words.skip()
    return ""


def _show(words: Words, options: Options, device: str) -> Command:
    """All of a device, its hook too unless the root is asked for."""
    while words.left:
        if words.word in ("root", "help") or words.matches("help"):
            return Foreign("qdisc", device or None)
        words.skip()
    return QdiscShow(device, options)


def _edit(words: Words, verb: str) -> Command:
    draft = _Draft()
    while words.left:
        if words.word in HOOKS:
            _hook(words, draft)
            break
        if not _option(words, draft):
            break
        words.skip()
    if draft.kind not in HOOKS and draft.parent != _PARENT:
        return Foreign("qdisc", draft.device)
    if draft.egress_block:
        raise Unsupported(
            "egress_block: the testbed shares blocks of ingress hooks only"
        )
    return QdiscEdit(draft.device, verb, draft.kind, draft.ingress_block)


def _option(words: Words, draft: _Draft) -> bool:
    """Read one option; False at another qdisc's name."""
    if words.word == "dev":
        word = words.next()
        if draft.device:
            words.duplicate("dev")
        draft.device = word[:_MAX_NAME]
    elif words.word == "handle":
        _handle(words, draft)
    elif words.word in ("root", "parent"):
        _parent(words, draft)
    elif words.word in ("ingress_block", "egress_block"):
        keyword = words.word
        setattr(draft, keyword, _block(words, keyword, words.next()))
    else:
        return False
    return True


def _handle(words: Words, draft: _Draft) -> None:
    if draft.handle:
        words.duplicate("handle")
    word = words.next()
    major, rest = strtoul(word, 16) or (0, word)
    if rest not in ("", ":") or not major or major >= 1 << 16:
        words.wrong(word, "invalid qdisc ID")
    draft.handle = major << 16


def _parent(words: Words, draft: _Draft) -> None:
    if words.word == "root":
        if draft.parent:
            words.leave('Error: "root" is duplicate parent ID')
        draft.parent = ROOT
        return
    word = words.next()
    if draft.parent:
        words.duplicate("parent")
    parent = parse_classid(word)
    if parent is None:
        words.wrong(word, "invalid parent ID")
    draft.parent = parent


def _block(words: Words, keyword: str, word: str) -> int:
    block = unsigned(word, 32)
    if not block:
        hook = keyword.partition("_")[0]
        words.wrong(word, f"invalid {hook} block index value")
    return block


def _hook(words: Words, draft: _Draft) -> None:
    """The kind, which takes no options."""
    if draft.parent:
        words.leave(f'Error: "{words.word}" is a duplicate parent ID')
    draft.kind = words.word
    draft.parent = _PARENT
    words.skip()
    if words.left:
        words.leave(f'What is "{words.word}"?', f"Usage: ... {draft.kind}", exit_code=1)


@dataclass(frozen=True, slots=True)
class ShownQdisc:
    """A hook as it is shown."""

    device: str
    kind: str
    block: int = 0


def answer_qdiscs(command: QdiscShow, qdiscs: Iterable[ShownQdisc]) -> str:
    """What tc prints of hooks.  Source: print_qdisc"""
    answer = new_answer(command.options)
    for qdisc in qdiscs:
        with answer.object():
            answer.say("qdisc ")
            answer.put("kind", qdisc.kind, f"{qdisc.kind} ")
            answer.put("handle", "ffff:", "ffff: ")
            if not command.device:
                answer.put("dev", qdisc.device, f"dev {qdisc.device} ")
            answer.put("parent", "ffff:fff1", "parent ffff:fff1 ")
            if qdisc.block:
                answer.put(
                    "ingress_block", qdisc.block, f"ingress_block {qdisc.block} "
                )
            with answer.object("options"):
                answer.say("---------------- " if qdisc.kind == "ingress" else "")
            answer.newline()
            if command.options.statistics:
                _show_nothing_counted(answer)
    return printed(answer, command.options)


def _show_nothing_counted(answer: Answer) -> None:
    """Model: a hook of the testbed has no counters of its own."""
    answer.say(" Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0) ")
    answer.newline()
    answer.say(" backlog 0b 0p requeues 0")
    answer.newline()
    for key in ("bytes", "packets", "drops", "overlimits", "requeues", "backlog"):
        answer.put(key, 0, "")
    answer.put("qlen", 0, "")
