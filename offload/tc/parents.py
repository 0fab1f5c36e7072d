"""Where a filter hangs, as tc writes it.

Source: iproute2 tc/tc_util.c:get_tc_classid
"""

from __future__ import annotations

from offload.errors import Unsupported
from offload.tc.command import Hook
from offload.tc.numbers import strtoul

ROOT = 0xFFFFFFFF
_NAMED = {"root": ROOT, "none": 0}
# An ingress qdisc's own handle, ffff:, is the same hook as clsact's ffff:fff2.
_HOOKS = {
    0: Hook.ROOT,
    ROOT: Hook.ROOT,
    0xFFFF0000: Hook.INGRESS,
    Hook.INGRESS.value: Hook.INGRESS,
    Hook.EGRESS.value: Hook.EGRESS,
}


def parse_classid(word: str) -> int | None:
    """``root``, ``none`` or ``MAJOR:MINOR`` in hex."""
    if word in _NAMED:
        return _NAMED[word]
    major, rest = strtoul(word, 16) or (0, word)
    if not rest:
        return major % 2**32
    if not rest.startswith(":") or major >= 1 << 16:
        return None
    minor, rest = strtoul(rest[1:], 16) or (0, rest[1:])
    return None if rest or minor >= 1 << 16 else major << 16 | minor


def hook_of(parent: int) -> Hook:
    """The hook a parent's number means."""
    hook = _HOOKS.get(parent)
    if hook is None:
        major, minor = divmod(parent, 1 << 16)
        raise Unsupported(f"parent {major:x}:{minor:x}: not supported by the testbed")
    return hook


def show_classid(classid: int) -> str:
    """As parse_classid takes it.  Source: tc/tc_util.c:print_tc_classid"""
    if classid in (0, ROOT):
        return "none" if not classid else "root"
    major, minor = divmod(classid, 1 << 16)
    return (
        f"{major:x}:{minor:x}"
        if major and minor
        else f":{minor:x}" if minor else f"{major:x}:"
    )
