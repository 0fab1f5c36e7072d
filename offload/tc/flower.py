"""``flower``'s keywords: what may stand after the classifier's name.

Source: iproute2 tc/f_flower.c:flower_parse_opt, net/sched/cls_flower.c:fl_set_key
"""

from __future__ import annotations

from dataclasses import dataclass, field

from offload.actions import Action
from offload.errors import Unsupported
from offload.flower import (
    ETH_P_ALL,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_TCP,
    Key,
    KeyMatch,
    Match,
)
from offload.tc.actions import parse_actions
from offload.tc.answer import Answer
from offload.tc.keys import SYNTAX, Layers
from offload.tc.numbers import unsigned
from offload.tc.words import Declined, Words, abbreviates

# In tc's order, which decides what an abbreviation means.
_KEYWORDS = (
    *("classid", "flowid", "hw_tc", "ip_flags", "verbose", "skip_hw", "skip_sw"),
    *("ct_state", "ct_zone", "ct_mark", "ct_label", "indev", "num_of_vlans"),
    *("vlan_id", "vlan_prio", "vlan_ethtype"),
    *("cvlan_id", "cvlan_prio", "cvlan_ethtype"),
    *("mpls", "mpls_label", "mpls_tc", "mpls_bos", "mpls_ttl"),
    *("dst_mac", "src_mac", "ip_proto", "ip_tos", "ip_ttl", "dst_ip", "src_ip"),
    *("dst_port", "src_port", "tcp_flags", "type", "code"),
    *("arp_tip", "arp_sip", "arp_op", "arp_tha", "arp_sha", "pppoe_sid", "ppp_proto"),
    *("enc_dst_ip", "enc_src_ip", "enc_key_id", "enc_dst_port", "enc_tos", "enc_ttl"),
    *("geneve_opts", "vxlan_opts", "erspan_opts", "gtp_opts", "action"),
)
_NEVER_ABBREVIATED = ("num_of_vlans", "pppoe_sid", "ppp_proto", "gtp_opts")
_FLAGS = ("verbose", "skip_hw", "skip_sw")
_KEYS = {
    name: tuple(key for key in Key if key.keyword == name)
    for name in dict.fromkeys(key.keyword for key in Key if key.kind in SYNTAX)
}
_ILLEGAL = {"type": "icmp type", "code": "icmp code"}
_ORDER = {key: order for order, key in enumerate(Key)}
_IP_KEYS = (Key.IP_PROTO, Key.IP_TOS, Key.IP_TTL)

USAGE = "\n".join(
    (
        "Usage: ... flower [ KEY VALUE ]... [ verbose ] [ skip_sw | skip_hw ]",
        "                  [ action ACTION ]...",
        "Where: KEY is one of",
        *(
            f"       {' '.join(list(_KEYS)[at:at + 7])}"
            for at in range(0, len(_KEYS), 7)
        ),
    )
)


@dataclass(slots=True)
class Flower:
    """A flower filter while it is read."""

    protocol: int
    handle: int | None = None
    keys: dict[Key, KeyMatch] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()
    flags: set[str] = field(default_factory=set)

    @property
    def layers(self) -> Layers:
        """What the keys so far say of the packet."""
        proto = self.keys.get(Key.IP_PROTO)
        return Layers(self.protocol, proto.value if proto else None)

    @property
    def match(self) -> Match:
        """What the kernel makes of the keys.

        It leaves out a key whose mask is empty, and without a word the keys of
        a layer that the filter does not name.
        """
        kept = (m for m in self.keys.values() if m.mask and self._is_seen(m.key))
        ordered = sorted(kept, key=lambda match: _ORDER[match.key])
        return Match(self.protocol or ETH_P_ALL, tuple(ordered))

    def _is_seen(self, key: Key) -> bool:
        if key in _IP_KEYS:
            return self.protocol in (ETH_P_IP, ETH_P_IPV6)
        return key is not Key.TCP_FLAGS or self.layers.ip_proto == IPPROTO_TCP


def parse_flower(words: Words, protocol: int, handle: str | None) -> Flower:
    """Read all that stands after ``flower``."""
    flower = Flower(protocol)
    if handle is not None:
        flower.handle = unsigned(handle, 32)
        if flower.handle is None:
            words.decline('Illegal "handle"')
    while words.left:
        keyword = _keyword(words.word)
        if keyword is None:
            _unknown(words)
        elif keyword == "action":
            _read_actions(words, flower)
        else:
            _read(words, keyword, flower)
            words.skip()
    return flower


def _keyword(word: str) -> str | None:
    if word in _NEVER_ABBREVIATED:
        return word
    candidates = (k for k in _KEYWORDS if k not in _NEVER_ABBREVIATED)
    return next((k for k in candidates if abbreviates(word, k)), None)


def _unknown(words: Words) -> None:
    if words.word != "help":
        words.say(f'What is "{words.word}"?')
    words.decline(USAGE)


def _read_actions(words: Words, flower: Flower) -> None:
    words.next()
    try:
        flower.actions = parse_actions(words)
    except Declined:
        words.decline('Illegal "action"')


def _read(words: Words, keyword: str, flower: Flower) -> None:
    if keyword in _FLAGS:
        flower.flags.add(keyword)
    elif keyword in _KEYS:
        match = _read_key(words, keyword, flower.layers)
        flower.keys[match.key] = match
    else:
        raise Unsupported(f"{keyword}: not supported by the testbed yet")


def _read_key(words: Words, keyword: str, layers: Layers) -> KeyMatch:
    keys = _KEYS[keyword]
    word = words.next()
    asked = SYNTAX[keys[0].kind].parse(words, word, layers, keys[0])
    if asked is None:
        words.decline(f'Illegal "{_ILLEGAL.get(keyword, keyword)}"')
    key = next(k for k in keys if asked.bits in (None, k.bits))
    return KeyMatch(key, asked.value & asked.mask, asked.mask)


_ETH_TYPES = {ETH_P_IP: "ipv4", ETH_P_IPV6: "ipv6", 0x0806: "arp", 0x8035: "rarp"}
_BEFORE_ETH_TYPE = (Key.DST_MAC, Key.SRC_MAC)


def show_match(answer: Answer, match: Match) -> None:
    """Print the keys, each on its line.  Source: flower_print_opt"""
    with answer.object("keys"):
        for asked in match.keys:
            if asked.key in _BEFORE_ETH_TYPE:
                _show_key(answer, asked)
        if match.protocol != ETH_P_ALL:
            name = _ETH_TYPES.get(match.protocol, f"{match.protocol:04x}")
            answer.put_named("eth_type", name)
        for asked in match.keys:
            if asked.key not in _BEFORE_ETH_TYPE:
                _show_key(answer, asked)


def _show_key(answer: Answer, asked: KeyMatch) -> None:
    SYNTAX[asked.key.kind].show(answer, asked.key.keyword, asked)
