"""Addresses on a command line, with what tc says of the wrong ones.

Source: iproute2 lib/utils.c:get_addr, get_prefix, lib/ll_addr.c:ll_addr_a2n
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import NoReturn

from offload.actions import Address
from offload.errors import Unsupported
from offload.tc import numbers
from offload.tc.numbers import Prefix
from offload.tc.words import Words

_ANY = ("default", "all", "any")
_OCTET = re.compile(r"\s*\+?(?:0[xX])?([0-9a-fA-F]+)")
_MAPPED = 0xFFFF
_FAMILIES = {None: "any valid", 4: "inet", 6: "inet6"}


def parse_address(words: Words, word: str, version: int | None = None) -> Address:
    """An address, of ``version`` if given; tc leaves if it is none."""
    found = numbers.address(_not_any(word))
    if found is None or version not in (None, found.version):
        _expected(words, "address", word, version)
    return found


def parse_prefix(words: Words, word: str, version: int | None) -> Prefix:
    """A prefix, of ``version`` if given; tc leaves if it is none."""
    found = numbers.prefix(_not_any(word))
    if found is None or version not in (None, found.address.version):
        _expected(words, "prefix", word, version)
    return found


def _expected(words: Words, what: str, word: str, version: int | None) -> NoReturn:
    family = _FAMILIES[version]
    words.leave(
        f'Error: {family} {what} is expected rather than "{word}".', exit_code=1
    )


def _not_any(word: str) -> str:
    if word.partition("/")[0] in _ANY:
        raise Unsupported(f"address {word}: not supported by the testbed")
    return word


def show_address(address: Address) -> str:
    """As glibc's inet_ntop, which ends IPv4's own ranges in dots."""
    if isinstance(address, IPv4Address):
        return str(address)
    high, low = divmod(int(address), 1 << 32)
    if high == _MAPPED:
        return f"::ffff:{IPv4Address(low)}"
    if high == 0 and low >> 16:
        return f"::{IPv4Address(low)}"
    return str(address)


def parse_mac(words: Words, word: str) -> int | None:
    """Six octets in hex, None (and said so) if not.

    Model: tc takes fewer octets and leaves the others to chance, and drops
    what follows the sixth; neither is accepted here.
    """
    octets = word.split(":")
    value = 0
    for octet in octets:
        match = _OCTET.match(octet)
        if match is None or len(match[1]) > 8 or int(match[1], 16) > 255:
            words.say(f'"{octet}" is invalid lladdr.')
            return None
        value = value << 8 | int(match[1], 16)
    if len(octets) != 6:
        words.say(f'"{word}" is invalid lladdr.')
        return None
    return value


def show_mac(value: int) -> str:
    """Six octets, two digits each."""
    return value.to_bytes(6, "big").hex(":")
