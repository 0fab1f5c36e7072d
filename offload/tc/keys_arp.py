"""flower's keys of ARP.  Source: iproute2 tc/f_flower.c:flower_parse_arp_op"""

from __future__ import annotations

from ipaddress import IPv4Address

from offload.flower import ETH_P_ARP, Key, KeyMatch, Kind
from offload.tc.addresses import parse_prefix, show_address
from offload.tc.answer import Answer
from offload.tc.keys_mac import parse_mac_key, show_mac_key
from offload.tc.numbers import masked
from offload.tc.syntax import Asked, Layers, Syntax, asked, exact, show_line
from offload.tc.words import Words

ETH_P_RARP = 0x8035
_PROTOCOLS = (ETH_P_ARP, ETH_P_RARP)
_OPERATIONS = {"request": 1, "reply": 2}
_OPERATION_NAMES = {number: name for name, number in _OPERATIONS.items()}


def _parse_address(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    if layers.eth_type not in _PROTOCOLS:
        return None
    prefix = parse_prefix(words, word, 4)
    return Asked(int(prefix.address), prefix.mask)


def _show_address(answer: Answer, name: str, match: KeyMatch) -> None:
    text = show_address(IPv4Address(match.value))
    length = match.mask.bit_count()
    show_line(answer, name, text if length == 32 else f"{text}/{length}")


def _parse_operation(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    """``request`` or ``reply``, or their numbers, which may have a mask."""
    if layers.eth_type not in _PROTOCOLS:
        return None
    if word in _OPERATIONS:
        return exact(key, _OPERATIONS[word])
    pair = masked(word, key.bits, 10)
    return asked(pair) if pair and pair[0] in _OPERATION_NAMES else None


def _show_operation(answer: Answer, name: str, match: KeyMatch) -> None:
    if match.mask == match.key.full_mask:
        show_line(answer, name, _OPERATION_NAMES[match.value])
    else:
        show_line(answer, name, f"{match.value}/{match.mask}")


ARP_SYNTAX = {
    Kind.ARP_IP: Syntax(_parse_address, _show_address),
    Kind.ARP_OP: Syntax(_parse_operation, _show_operation),
    Kind.ARP_MAC: Syntax(parse_mac_key, show_mac_key),
}
