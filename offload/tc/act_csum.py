"""``action csum ip4h and tcp ...``: compute checksums anew.

Source: iproute2 tc/m_csum.c
"""

from __future__ import annotations

from offload.act_api import Request
from offload.actions import PASS, Checksums, Csum
from offload.tc.answer import Answer
from offload.tc.control import parse_optional_control, show_control
from offload.tc.index import parse_optional_index
from offload.tc.stats import ActionState, show_index
from offload.tc.words import Words, abbreviates

USAGE = """Usage: csum TARGET [ and TARGET ]... [CONTROL] [index INDEX]
Where: TARGET is one of ip4h icmp igmp tcp udp udplite sctp"""

# In tc's order, which decides what an abbreviation means.
_TARGETS = {
    "iph": Checksums.IPV4HDR,
    "ip4h": Checksums.IPV4HDR,
    "ipv4h": Checksums.IPV4HDR,
    "icmp": Checksums.ICMP,
    "igmp": Checksums.IGMP,
    "tcp": Checksums.TCP,
    "udp": Checksums.UDP,
    "udplite": Checksums.UDPLITE,
    "sctp": Checksums.SCTP,
}
_FILLERS = ("and", "or", "+")
_SHOWN = {
    Checksums.IPV4HDR: "iph",
    Checksums.ICMP: "icmp",
    Checksums.IGMP: "igmp",
    Checksums.TCP: "tcp",
    Checksums.UDP: "udp",
    Checksums.UDPLITE: "udplite",
    Checksums.SCTP: "sctp",
}


def parse(words: Words) -> Request:
    """What stands after ``csum``."""
    checksums = Checksums(0)
    while words.matches("csum"):
        words.next()
        checksums |= _read_targets(words)
    if words.matches("help"):
        words.leave(USAGE)
    if not checksums:
        words.decline("Illegal csum construct, empty <UPDATE> list")
    control = parse_optional_control(words, PASS)
    index = parse_optional_index(words, illegal='Illegal "index" ({}) <csum>')
    return Request(Csum(checksums, control), index)


def _read_targets(words: Words) -> Checksums:
    found = Checksums(0)
    while words.left:
        target = next((t for t in _TARGETS if abbreviates(words.word, t)), None)
        if target is not None:
            found |= _TARGETS[target]
        elif not words.matches(*_FILLERS):
            break
        words.skip()
    return found


def show(answer: Answer, action: Csum, state: ActionState, statistics: bool) -> None:
    """Source: print_csum"""
    answer.put("kind", "csum", "csum ")
    names = ", ".join(_SHOWN[each] for each in action.checksums)
    answer.put("csum", names, f"({names}) ")
    show_control(answer, action.control, "action ")
    answer.newline()
    show_index(answer, "\t", state, statistics)
