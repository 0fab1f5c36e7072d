"""Numbers and addresses as tc takes them: in C's bases, with its leniency.

Every parser returns None for what it does not take; its caller says what for.
Source: iproute2 lib/utils.c, lib/ll_addr.c
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from offload.actions import Address

_ULONG = 2**64
_DIGITS = {
    8: re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-7]+)"),
    10: re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)"),
    16: re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)"),
}
_HEX_PREFIX = re.compile(r"[ \t\n\v\f\r]*[+-]?0[xX][0-9a-fA-F]")
_OCTAL_PREFIX = re.compile(r"[ \t\n\v\f\r]*[+-]?0")
_PREFIX_LENGTHS = {(2**32 - 1) << (32 - n) & (2**32 - 1): n for n in range(33)}


@dataclass(frozen=True, slots=True)
class Prefix:
    """An address and how many of its bits count."""

    address: Address
    length: int

    @property
    def mask(self) -> int:
        """The bits that count, as an integer."""
        bits = self.address.max_prefixlen
        return (1 << bits) - (1 << (bits - self.length))


def strtoul(text: str, base: int) -> tuple[int, str] | None:
    """C's strtoul: the value and the text after it; None without digits."""
    if base == 0:
        base = _base_of(text)
    match = _DIGITS[base].match(text)
    if not match:
        return None
    sign, digits = match.groups()
    value = min(int(digits.lstrip("0")[:32] or "0", base), _ULONG - 1)
    return (-value % _ULONG if sign == "-" else value), text[match.end() :]


def _base_of(text: str) -> int:
    if _HEX_PREFIX.match(text):
        return 16
    return 8 if _OCTAL_PREFIX.match(text) else 10


def unsigned(text: str, bits: int, base: int = 0) -> int | None:
    """A whole word as a number of ``bits``.  Source: get_u8, get_u16, get_u32"""
    parsed = strtoul(text, base)
    if parsed is None or parsed[1] or parsed[0] >= 1 << bits:
        return None
    return parsed[0]


def signed(text: str, bits: int) -> int | None:
    """A whole word as a signed number of ``bits``.  Source: get_integer"""
    parsed = strtoul(text, 0)
    if parsed is None or parsed[1]:
        return None
    value = parsed[0] - _ULONG if parsed[0] >= _ULONG // 2 else parsed[0]
    return value if -(1 << bits - 1) <= value < 1 << bits - 1 else None


def masked(text: str, bits: int, base: int = 0) -> tuple[int, int] | None:
    """``V[/M]``, both in ``base``; without ``/M`` all bits count."""
    value_text, slash, mask_text = text.partition("/")
    value = unsigned(value_text, bits, base)
    mask = unsigned(mask_text, bits, base) if slash else (1 << bits) - 1
    return None if value is None or mask is None else (value, mask)


def hex_bytes(text: str) -> bytes | None:
    """Pairs of hex digits; an odd last digit does not count, as in hex2mem."""
    pairs = text[: len(text) // 2 * 2]
    if re.fullmatch(r"[0-9a-fA-F]*", pairs) is None:
        return None
    return bytes.fromhex(pairs)


def ipv4(text: str) -> IPv4Address | None:
    """Octets in any base; ``10.8`` is 10.8.0.0.  Source: get_addr_ipv4"""
    octets: list[int] = []
    rest = text
    while len(octets) < 4:
        parsed = strtoul(rest, 0)
        if parsed is None or parsed[0] > 255:
            return None
        octets.append(parsed[0])
        if not parsed[1]:
            return IPv4Address(bytes(octets + [0] * (4 - len(octets))))
        if not parsed[1].startswith("."):
            return None
        rest = parsed[1][1:]
    return None


def ipv6(text: str) -> IPv6Address | None:
    """What inet_pton takes: Python's own takes a zone, which that does not."""
    try:
        address = IPv6Address(text)
    except ValueError:
        return None
    return None if address.scope_id is not None else address


def address(text: str) -> Address | None:
    """An address of either family.  Source: get_addr_1"""
    return ipv6(text) if ":" in text else ipv4(text)


def prefix(text: str) -> Prefix | None:
    """``ADDRESS[/LENGTH|/NETMASK]``.  Source: get_prefix_1"""
    address_text, slash, length_text = text.partition("/")
    found = address(address_text)
    if found is None:
        return None
    length = _prefix_length(length_text) if slash else found.max_prefixlen
    if length is None or length > found.max_prefixlen:
        return None
    return Prefix(found, length)


def _prefix_length(text: str) -> int | None:
    number = unsigned(text, 32)
    if number is not None:
        return number
    netmask = ipv4(text)
    return None if netmask is None else _PREFIX_LENGTHS.get(int(netmask))


def prefix_length(mask: int, bits: int) -> int | None:
    """How many leading bits ``mask`` has, None if it has a hole."""
    ones = mask.bit_count()
    return ones if mask == (1 << bits) - (1 << (bits - ones)) else None
