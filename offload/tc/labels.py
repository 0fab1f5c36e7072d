"""ct labels as hex byte strings, byte 0 first.

Source: iproute2 tc/m_ct.c:ct_parse_labels, tc/f_flower.c:flower_parse_ct_labels
"""

from __future__ import annotations

from offload.actions import LABEL_MASK
from offload.tc.numbers import hex_bytes
from offload.tc.words import Words

_LABEL_DIGITS = 32


def parse_label(words: Words, word: str, speaker: str = "") -> tuple[int, int]:
    """``HEX[/HEX]`` as value and mask; ``speaker`` starts what tc complains."""
    value_text, slash, mask_text = word.partition("/")
    if max(len(value_text), len(mask_text)) > _LABEL_DIGITS:
        why = f"{len(value_text)} Max allowed size {_LABEL_DIGITS}"
        words.wrong(value_text, why)
    value = hex_bytes(value_text)
    if value is None:
        words.wrong(value_text, f"{speaker}labels must be a hex string\n")
    mask = hex_bytes(mask_text)
    if mask is None:
        words.wrong(mask_text, f"{speaker}labels mask must be a hex string\n")
    return _number(value), _number(mask) if slash else LABEL_MASK


def _number(label: bytes) -> int:
    return int.from_bytes(label, "little")


def show_label(value: int, mask: int) -> str:
    """All sixteen bytes, and the mask's unless it has every bit."""
    text = value.to_bytes(16, "little").hex()
    return text if mask == LABEL_MASK else f"{text}/{mask.to_bytes(16, 'little').hex()}"
