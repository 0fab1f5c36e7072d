"""``flower``'s keywords: what may stand after the classifier's name.

Source: iproute2 tc/f_flower.c:flower_parse_opt, net/sched/cls_flower.c:fl_set_key
"""

from __future__ import annotations

from dataclasses import dataclass, field

from offload.act_api import Request
from offload.errors import Unsupported
from offload.flower import (
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_TCP,
    Key,
    KeyMatch,
    Match,
    PortRange,
)
from offload.tc.actions import parse_actions
from offload.tc.answer import Answer
from offload.tc.keys import SYNTAX
from offload.tc.keys_arp import ETH_P_RARP
from offload.tc.keys_vlan import VLAN_TYPES
from offload.tc.numbers import unsigned
from offload.tc.syntax import Layers
from offload.tc.words import Declined, Words, abbreviations

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
_MEANINGS = abbreviations(k for k in _KEYWORDS if k not in _NEVER_ABBREVIATED)
_FLAGS = ("verbose", "skip_hw", "skip_sw")
_KEYS = {
    name: tuple(key for key in Key if key.keyword == name)
    for name in dict.fromkeys(key.keyword for key in Key if key.kind in SYNTAX)
}
_ILLEGAL = {"type": "icmp type", "code": "icmp code"}
_ORDER = {key: order for order, key in enumerate(Key)}
_IP_KEYS = (Key.IP_PROTO, Key.IP_TOS, Key.IP_TTL)
_ARP_KEYS = (Key.ARP_SIP, Key.ARP_TIP, Key.ARP_OP, Key.ARP_SHA, Key.ARP_THA)
_MAX_NAME = 15

_KEYS_HELP = (
    "indev DEVICE, {dst|src}_mac MAC[/MASK|/BITS]",
    "[c]vlan_id VID, [c]vlan_prio 0-7, [c]vlan_ethtype PROTO",
    "ip_proto {tcp|udp|sctp|icmp|icmpv6|NUMBER}, ip_{tos|ttl} N[/MASK]",
    "{dst|src}_ip PREFIX, {dst|src}_port {N[/MASK]|FIRST-LAST}",
    "tcp_flags HEX[/MASK], type N[/MASK], code N[/MASK] (icmp)",
    "ip_flags [no]{frag|firstfrag}[/...]",
    "arp_{tip|sip} PREFIX, arp_op {request|reply|N}, arp_{tha|sha} MAC[/MASK]",
    "enc_{dst|src}_ip PREFIX, enc_key_id VNI, enc_dst_port PORT, enc_{tos|ttl} N[/MASK]",
    "ct_state {+|-}{trk|new|est|rel|inv|rpl}..., ct_zone N[/MASK]",
    "ct_mark N[/MASK], ct_label HEX[/MASK]",
)
USAGE = "\n".join(
    (
        "Usage: ... flower [ KEY VALUE ]... [ verbose ] [ skip_sw | skip_hw ]",
        "                  [ action ACTION ]...",
        "Where: KEY VALUE is one of",
        *(f"       {line}" for line in _KEYS_HELP),
    )
)


@dataclass(slots=True)
class Flower:
    """A flower filter while it is read."""

    protocol: int
    handle: int | None = None
    keys: dict[Key, KeyMatch] = field(default_factory=dict)
    ranges: dict[Key, PortRange] = field(default_factory=dict)
    indev: str = ""
    actions: tuple[Request, ...] = ()
    flags: set[str] = field(default_factory=set)

    @property
    def layers(self) -> Layers:
        """What the keys so far say of the packet."""
        proto = self.keys.get(Key.IP_PROTO)
        inner = self.keys.get(Key.VLAN_ETHTYPE)
        return Layers(
            self._said.eth_type,
            proto.value if proto else None,
            self.protocol,
            inner.value if inner else 0,
        )

    @property
    def _said(self) -> Match:
        return Match(self.protocol, tuple(self.keys.values()))

    @property
    def match(self) -> Match:
        """What the kernel makes of the keys.

        It leaves out a key whose mask is empty, and without a word the keys of
        a layer that the filter does not name.
        """
        kept = (m for m in self.keys.values() if m.mask and self._is_seen(m.key))
        ordered = sorted(kept, key=lambda match: _ORDER[match.key])
        ranges = sorted(self.ranges.values(), key=lambda each: _ORDER[each.key])
        protocol = self.protocol or ETH_P_ALL
        return Match(protocol, tuple(ordered), tuple(ranges), self.indev)

    def _is_seen(self, key: Key) -> bool:
        if key in _IP_KEYS:
            return self._said.eth_type in (ETH_P_IP, ETH_P_IPV6)
        if key in _ARP_KEYS:
            return self._said.eth_type in (ETH_P_ARP, ETH_P_RARP)
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
    return word if word in _NEVER_ABBREVIATED else _MEANINGS.get(word)


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
    elif keyword == "indev":
        flower.indev = _read_indev(words, words.next())
    elif keyword in _KEYS:
        _read_key(words, keyword, flower)
    else:
        raise Unsupported(f"{keyword}: not supported by the testbed")


def _read_indev(words: Words, word: str) -> str:
    """Source: lib/utils.c:check_ifname"""
    spaces = any(char.isspace() or char == "/" for char in word)
    if not 0 < len(word) <= _MAX_NAME or spaces:
        words.wrong(word, '"indev" not a valid ifname')
    return word


def _read_key(words: Words, keyword: str, flower: Flower) -> None:
    keys = _KEYS[keyword]
    word = words.next()
    asked = SYNTAX[keys[0].kind].parse(words, word, flower.layers, keys[0])
    if asked is None:
        words.decline(f'Illegal "{_ILLEGAL.get(keyword, keyword)}"')
    key = next(k for k in keys if asked.bits in (None, k.bits))
    if asked.last:
        flower.ranges[key] = PortRange(key, asked.value, asked.last)
    else:
        flower.keys[key] = KeyMatch(key, asked.value & asked.mask, asked.mask)


_ETH_TYPES = {
    ETH_P_IP: "ipv4",
    ETH_P_IPV6: "ipv6",
    ETH_P_ARP: "arp",
    ETH_P_RARP: "rarp",
}
_NO_ETH_TYPE = (ETH_P_ALL, *VLAN_TYPES)


def show_match(answer: Answer, match: Match, brief: bool = False) -> None:
    """Print the keys, each on its line.  Source: flower_print_opt"""
    if match.indev and not brief:
        answer.put_named("indev", match.indev)
    with answer.object("keys"):
        if not brief:
            _show_keys(answer, match)


def _show_keys(answer: Answer, match: Match) -> None:
    """In the keys' own order, with what is no key where tc has it."""
    order: list[KeyMatch | PortRange] = [*match.keys, *match.ranges]
    order.sort(key=lambda each: (_place(each.key), isinstance(each, PortRange)))
    before = [each for each in order if _ORDER[each.key] <= _ORDER[Key.SRC_MAC]]
    for each in before:
        _show_key(answer, each)
    if match.eth_type not in _NO_ETH_TYPE:
        name = _ETH_TYPES.get(match.eth_type, f"{match.eth_type:04x}")
        answer.put_named("eth_type", name)
    for each in order[len(before) :]:
        _show_key(answer, each)


def _place(key: Key) -> int:
    """Both ports stand at one place: exact ones first, then ranges."""
    return _ORDER[Key.DST_PORT if key is Key.SRC_PORT else key]


def _show_key(answer: Answer, asked: KeyMatch | PortRange) -> None:
    keyword = asked.key.keyword
    if isinstance(asked, PortRange):
        answer.newline()
        answer.say(f"  {keyword} {asked.low}-{asked.high}")
        with answer.object(keyword):
            answer.put("start", asked.low, "")
            answer.put("end", asked.high, "")
    else:
        SYNTAX[asked.key.kind].show(answer, keyword, asked)
