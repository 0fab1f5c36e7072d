"""flower's keys that are Ethernet addresses.

Source: iproute2 tc/f_flower.c:flower_parse_eth_addr, flower_print_eth_addr
"""

from __future__ import annotations

from offload.flower import Key, KeyMatch
from offload.tc.addresses import parse_mac, show_mac
from offload.tc.answer import Answer
from offload.tc.numbers import prefix_length, unsigned
from offload.tc.syntax import Asked, Layers, exact, show_line
from offload.tc.words import Words


def parse_mac_key(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    """``LLADDR[/LLADDR|/BITS]``."""
    text, slash, mask_text = word.partition("/")
    value = parse_mac(words, text)
    if value is None or not slash:
        return exact(key, value)
    bits = unsigned(mask_text, 32, 10)
    mask = parse_mac(words, mask_text) if bits is None else _mac_mask(bits)
    return None if mask is None else Asked(value, mask)


def _mac_mask(bits: int) -> int:
    """tc shifts the mask in 64 bits; past 48 its first bits fall off."""
    full = (1 << 48) - 1
    return (full << (64 - bits) % 64 & (1 << 64) - 1) >> 16


def show_mac_key(answer: Answer, name: str, match: KeyMatch) -> None:
    """With its mask, unless that has every bit."""
    length = prefix_length(match.mask, 48)
    text = show_mac(match.value)
    if length is None:
        text += f"/{show_mac(match.mask)}"
    elif length < 48:
        text += f"/{length}"
    show_line(answer, name, text)
