"""``index N``: an action by its number.

Source: iproute2 tc/m_gact.c, tc/m_mirred.c and their like
"""

from __future__ import annotations

from offload.tc.numbers import unsigned
from offload.tc.words import Words


def parse_index(words: Words, speaker: str = "", illegal: str = "") -> int:
    """Read the word and its number; ``speaker`` starts what tc complains."""
    index = unsigned(words.next(), 32, 10)
    if index is None:
        words.decline(illegal.format(words.word) or f'{speaker}Illegal "index"')
    words.skip()
    return index


def parse_optional_index(words: Words, speaker: str = "", illegal: str = "") -> int:
    """The number behind ``index`` if that is the word, 0 if not."""
    if not words.matches("index"):
        return 0
    return parse_index(words, speaker, illegal)
