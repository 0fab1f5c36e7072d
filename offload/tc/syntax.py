"""How a kind of flower key is read and printed: what all kinds share.

Source: iproute2 tc/f_flower.c
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offload.flower import Key, KeyMatch
from offload.tc.answer import Answer
from offload.tc.words import Words


@dataclass(frozen=True, slots=True)
class Layers:
    """What the keys before said of the packet; some keys depend on it.

    ``protocol`` is the filter's, ``inner`` what its outer VLAN tag is before.
    """

    eth_type: int
    ip_proto: int | None = None
    protocol: int = 0
    inner: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A parsed value, its mask, and how wide the key must be.

    With ``last`` it is a range of values, from ``value`` on.
    """

    value: int
    mask: int
    bits: int | None = None
    last: int = 0


Parser = Callable[[Words, str, Layers, Key], "Asked | None"]
Printer = Callable[[Answer, str, KeyMatch], None]


@dataclass(frozen=True, slots=True)
class Syntax:
    """How one kind of key is read and printed; None is ``Illegal "KEY"``."""

    parse: Parser
    show: Printer


def show_line(answer: Answer, name: str, value: str) -> None:
    """A key's name and value, on a line of its own."""
    answer.put_named(name, value)


def asked(pair: tuple[int, int] | None) -> Asked | None:
    """A value and its mask, if there are any."""
    return None if pair is None else Asked(*pair)


def exact(key: Key, value: int | None) -> Asked | None:
    """A value of which all bits count, if there is one."""
    return None if value is None else Asked(value, key.full_mask)
