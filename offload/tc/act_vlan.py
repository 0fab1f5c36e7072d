"""``action vlan push|pop|modify``: the outermost tag.

Source: iproute2 tc/m_vlan.c
"""

from __future__ import annotations

from dataclasses import dataclass

from offload.act_api import Request
from offload.actions import PIPE, Control, Vlan, VlanModify, VlanPop, VlanPush
from offload.errors import KernelError, Unsupported
from offload.flower import ETH_P_8021AD, ETH_P_8021Q
from offload.tc.answer import Answer
from offload.tc.control import parse_optional_control, show_control
from offload.tc.index import parse_optional_index
from offload.tc.numbers import unsigned
from offload.tc.protocols import parse_protocol, show_protocol
from offload.tc.stats import ActionState, show_index
from offload.tc.words import Words, abbreviates

USAGE = """Usage: vlan pop [CONTROL]
       vlan push [ protocol PROTO ] id VLANID [ priority PRIO ] [CONTROL]
       vlan modify [ protocol PROTO ] id VLANID [ priority PRIO ] [CONTROL]
Where: PROTO is 802.1Q (the default) or 802.1ad"""

# In tc's order, which decides what an abbreviation means.
_MODES = ("pop", "push", "modify", "pop_eth", "push_eth")
_WITH_TAG = ("push", "modify")
_KEYWORDS = (*_MODES, "id", "protocol", "priority", "dst_mac", "src_mac", "help")
_WRONG = {"id": "id", "protocol": "protocol", "priority": "prio"}
MAX_VLAN_ID = 4094


@dataclass(slots=True)
class _Draft:
    mode: str = ""
    id: int | None = None
    protocol: int | None = None
    priority: int | None = None


def parse(words: Words) -> Request:
    """What stands after ``vlan``."""
    words.next()
    draft = _Draft()
    while words.left and (keyword := _keyword(words.word)):
        _read(words, keyword, draft)
        words.skip()
    control = parse_optional_control(words, PIPE)
    index = parse_optional_index(words, "vlan: ")
    if draft.mode in _WITH_TAG and draft.id is None:
        words.decline(f"id needs to be set for {draft.mode}", USAGE)
    if draft.protocol not in (None, ETH_P_8021Q, ETH_P_8021AD):
        words.decline("protocol not supported", USAGE)
    return Request(_action(draft, control), index, error=_error(draft))


def _keyword(word: str) -> str | None:
    return next((k for k in _KEYWORDS if abbreviates(word, k)), None)


def _read(words: Words, keyword: str, draft: _Draft) -> None:
    if keyword == "help":
        words.leave(USAGE)
    if keyword in ("pop_eth", "push_eth", "dst_mac", "src_mac"):
        raise Unsupported(f"vlan {keyword}: not supported by the testbed")
    if keyword in _MODES:
        if draft.mode:
            words.decline(
                f'unexpected "{words.word}" - action already specified', USAGE
            )
        draft.mode = keyword
    else:
        if draft.mode not in _WITH_TAG:
            words.wrong(words.word, "only valid for push/modify")
        word = words.next()
        value = _parse(keyword, word)
        if value is None:
            words.wrong(word, f"{_WRONG[keyword]} is invalid")
        setattr(draft, keyword, value)


def _parse(keyword: str, word: str) -> int | None:
    if keyword == "id":
        return unsigned(word, 16)
    if keyword == "protocol":
        return parse_protocol(word)
    return unsigned(word, 3)


def _action(draft: _Draft, control: Control) -> Vlan:
    protocol = draft.protocol or ETH_P_8021Q
    if draft.mode == "push":
        return VlanPush(draft.id or 0, protocol, draft.priority or 0, control)
    if draft.mode == "modify":
        return VlanModify(draft.id or 0, protocol, draft.priority, control)
    return VlanPop(control)


def _error(draft: _Draft) -> KernelError | None:
    """Source: net/sched/act_vlan.c:tcf_vlan_init"""
    if not draft.mode:
        return KernelError()
    if draft.id is not None and draft.id > MAX_VLAN_ID:
        return KernelError(errno_text="Numerical result out of range")
    return None


def show(answer: Answer, action: Vlan, state: ActionState, statistics: bool) -> None:
    """Source: print_vlan, and what the kernel's tcf_vlan_dump leaves out."""
    answer.put("kind", "vlan", "vlan ")
    if isinstance(action, VlanPop):
        answer.put("vlan_action", "pop", " pop")
    else:
        mode = "push" if isinstance(action, VlanPush) else "modify"
        answer.put("vlan_action", mode, f" {mode}")
        _show_tag(answer, action)
    show_control(answer, action.control, " ")
    answer.newline()
    show_index(answer, "\t ", state, statistics)


def _show_tag(answer: Answer, action: VlanPush | VlanModify) -> None:
    answer.put("id", action.vlan_id, f" id {action.vlan_id}")
    protocol = show_protocol(action.protocol)
    answer.put("protocol", protocol, f" protocol {protocol}")
    if action.priority is not None:
        answer.put("priority", action.priority, f" priority {action.priority}")
