"""How flower's keys are written, each kind's parser and printer side by side.

Source: iproute2 tc/f_flower.c, tc/tc_util.c:print_masked_type
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from offload.flower import (
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    CtState,
    IpFlags,
    Key,
    KeyMatch,
    Kind,
)
from offload.tc.addresses import parse_prefix, show_address
from offload.tc.answer import Answer
from offload.tc.keys_arp import ARP_SYNTAX
from offload.tc.keys_mac import parse_mac_key, show_mac_key
from offload.tc.keys_vlan import VLAN_SYNTAX
from offload.tc.labels import parse_label, show_label
from offload.tc.numbers import masked, unsigned
from offload.tc.syntax import Asked, Layers, Syntax, asked, exact, show_line
from offload.tc.words import Words, abbreviates

ENDPOINT_PROTOCOLS = (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP)
_IP_PROTOCOLS = {
    "tcp": (IPPROTO_TCP, (ETH_P_IP, ETH_P_IPV6)),
    "udp": (IPPROTO_UDP, (ETH_P_IP, ETH_P_IPV6)),
    "sctp": (IPPROTO_SCTP, (ETH_P_IP, ETH_P_IPV6)),
    "icmp": (IPPROTO_ICMP, (ETH_P_IP,)),
    "icmpv6": (IPPROTO_ICMPV6, (ETH_P_IPV6,)),
}
_IP_PROTOCOL_NAMES = {number: name for name, (number, _) in _IP_PROTOCOLS.items()}
_ICMP = ((ETH_P_IP, IPPROTO_ICMP), (ETH_P_IPV6, IPPROTO_ICMPV6))
# In tc's order, which is also the order it prints them in.
_CT_STATES = {
    "trk": CtState.TRK,
    "new": CtState.NEW,
    "est": CtState.EST,
    "rel": CtState.REL,
    "inv": CtState.INV,
    "rpl": CtState.RPL,
}


def _parse_number(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    return asked(masked(word, key.bits))


def _show_number(answer: Answer, name: str, match: KeyMatch) -> None:
    answer.newline()
    answer.say("  ")
    answer.put_masked(name, match.value, match.mask, match.key.full_mask)


def _parse_tos(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    text, slash, mask_text = word.partition("/")
    value = unsigned(text, 8, 10)
    value = unsigned(text, 8, 16) if value is None else value
    mask = unsigned(mask_text, 8, 16) if slash else key.full_mask
    return None if value is None or mask is None else Asked(value, mask)


def _parse_icmp(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    if (layers.eth_type, layers.ip_proto) not in _ICMP:
        return None
    return asked(masked(word, 8, 10))


def _show_icmp(answer: Answer, name: str, match: KeyMatch) -> None:
    mask = "" if match.mask == match.key.full_mask else f"/{match.mask}"
    show_line(answer, f"icmp_{name}", f"{match.value}{mask}")


def _parse_tunnel(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    return exact(key, unsigned(word, key.bits, 10))


def _show_tunnel_id(answer: Answer, name: str, match: KeyMatch) -> None:
    answer.put_named(name, match.value)


def _parse_ip_proto(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    known = next((k for k in _IP_PROTOCOLS if abbreviates(word, k)), None)
    number, eth_types = _IP_PROTOCOLS.get(
        known or "", (unsigned(word, 8, 16), (ETH_P_IP, ETH_P_IPV6))
    )
    if layers.eth_type not in eth_types:
        words.say('Illegal "eth_type" for ip proto')
        return None
    return exact(key, number)


def _show_ip_proto(answer: Answer, name: str, match: KeyMatch) -> None:
    known = _IP_PROTOCOL_NAMES.get(match.value, f"{match.value:02x}")
    show_line(answer, name, known)


def _parse_address(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    versions = {ETH_P_IP: 4, ETH_P_IPV6: 6, 0: None}
    eth_type = 0 if key.keyword.startswith("enc_") else layers.eth_type
    if eth_type not in versions:
        return None
    prefix = parse_prefix(words, word, versions[eth_type])
    return Asked(int(prefix.address), prefix.mask, prefix.address.max_prefixlen)


def _show_address(answer: Answer, name: str, match: KeyMatch) -> None:
    make = IPv4Address if match.key.kind is Kind.IPV4 else IPv6Address
    length = match.mask.bit_count()
    text = show_address(make(match.value))
    if length < match.key.bits:
        text += f"/{length}"
    show_line(answer, name, text)


def _parse_port(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    """``P``, ``V/M`` or ``P-Q``; port 0 only under a mask.

    What stands behind the dash does not count with a mask, nor if it is 0.
    """
    low, dash, high = word.partition("-")
    first = unsigned(low, 16, 10)
    last = unsigned(high, 16, 10) if dash else 0
    if first is None or last is None:
        pair = masked(low, 16) if "/" in low else None
        return asked(pair) if layers.ip_proto in ENDPOINT_PROTOCOLS else None
    if first and last:
        return _range(words, first, last, layers, key)
    legal = first and layers.ip_proto in ENDPOINT_PROTOCOLS
    return exact(key, first) if legal else None


def _range(
    words: Words, first: int, last: int, layers: Layers, key: Key
) -> Asked | None:
    if last <= first:
        words.decline(
            "max value should be greater than min value", f'Illegal "{key.keyword}"'
        )
    legal = layers.ip_proto in ENDPOINT_PROTOCOLS
    return Asked(first, key.full_mask, last=last) if legal else None


def _parse_tcp_flags(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    return asked(masked(word, key.bits, 16))


def _show_tcp_flags(answer: Answer, name: str, match: KeyMatch) -> None:
    show_line(answer, name, f"{match.value:#x}/{match.mask:x}")


def _parse_ct_state(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    value = mask = 0
    for at in range(0, len(word), 4):
        sign, flag = word[at], _CT_STATES.get(word[at + 1 : at + 4])
        if sign not in "+-" or flag is None:
            return None
        mask |= flag.value
        value |= flag.value if sign == "+" else 0
    return Asked(value, mask)


def show_ct_state(value: int, mask: int) -> str:
    """A run of flags with their signs, as tc prints them."""
    return "".join(
        f"{'+' if value & flag.value else '-'}{name}"
        for name, flag in _CT_STATES.items()
        if mask & flag.value
    )


def _show_ct_state(answer: Answer, name: str, match: KeyMatch) -> None:
    show_line(answer, name, show_ct_state(match.value, match.mask))


def _parse_label(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    return Asked(*parse_label(words, word))


def _show_label(answer: Answer, name: str, match: KeyMatch) -> None:
    show_line(answer, name, show_label(match.value, match.mask))


_IP_FLAGS = {"frag": IpFlags.FRAG, "firstfrag": IpFlags.FIRST_FRAG}


def _parse_ip_flags(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    """``[no]frag/[no]firstfrag``, in any number."""
    value = mask = 0
    for each in filter(None, word.split("/")):
        name = each.removeprefix("no")
        if name not in _IP_FLAGS:
            return None
        flag = _IP_FLAGS[name].value
        mask |= flag
        value |= flag if each == name else 0
    return Asked(value, mask)


def _show_ip_flags(answer: Answer, name: str, match: KeyMatch) -> None:
    asked_for = {
        name: bool(match.value & flag.value)
        for name, flag in _IP_FLAGS.items()
        if match.mask & flag.value
    }
    answer.newline()
    answer.say(f"  {name} ")
    answer.say("/".join(k if is_set else f"no{k}" for k, is_set in asked_for.items()))
    with answer.object(name):
        for flag, is_set in asked_for.items():
            answer.put(flag, is_set, "")


SYNTAX = {
    **VLAN_SYNTAX,
    **ARP_SYNTAX,
    Kind.IP_FLAGS: Syntax(_parse_ip_flags, _show_ip_flags),
    Kind.MAC: Syntax(parse_mac_key, show_mac_key),
    Kind.NUMBER: Syntax(_parse_number, _show_number),
    Kind.TOS: Syntax(_parse_tos, _show_number),
    Kind.ICMP: Syntax(_parse_icmp, _show_icmp),
    Kind.TUNNEL_ID: Syntax(_parse_tunnel, _show_tunnel_id),
    Kind.TUNNEL_PORT: Syntax(_parse_tunnel, _show_number),
    Kind.IP_PROTO: Syntax(_parse_ip_proto, _show_ip_proto),
    Kind.IPV4: Syntax(_parse_address, _show_address),
    Kind.IPV6: Syntax(_parse_address, _show_address),
    Kind.PORT: Syntax(_parse_port, _show_number),
    Kind.TCP_FLAGS: Syntax(_parse_tcp_flags, _show_tcp_flags),
    Kind.CT_STATE: Syntax(_parse_ct_state, _show_ct_state),
    Kind.CT_LABEL: Syntax(_parse_label, _show_label),
}
