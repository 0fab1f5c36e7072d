"""``action pedit [ex] munge ...``: bits of a packet, set or added to.

A field is where it is in its header and how wide; tc makes words of 32 bits of
it, and those are what the kernel keeps and prints.
Source: iproute2 tc/m_pedit.c, tc/p_ip.c, tc/p_ip6.c, tc/p_tcp.c
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from offload.act_api import Request
from offload.actions import PASS, WORD_MASK, Header, Munge, Pedit
from offload.errors import KernelError, Unsupported
from offload.tc import numbers
from offload.tc.addresses import parse_mac
from offload.tc.answer import Answer
from offload.tc.control import parse_optional_control, show_control
from offload.tc.index import parse_optional_index
from offload.tc.numbers import signed, unsigned
from offload.tc.stats import ActionState, show_index
from offload.tc.words import Declined, Words, abbreviates

USAGE = """Usage: pedit [ex] munge MUNGE [ munge MUNGE ]... [CONTROL] [index INDEX]
Where: MUNGE is { eth | ip | ip6 | tcp | udp } FIELD COMMAND, or
                offset OFFSET { u8 | u16 | u32 } COMMAND
       COMMAND is { set VALUE | add VALUE | invert | clear | preserve } [ retain MASK ]"""

MAX_MUNGES = 128
NO_KEYS = "act_pedit: Pedit requires keys to be passed"


@dataclass(frozen=True, slots=True)
class _Field:
    """``size`` bytes at ``offset``; ``retain`` are the bits that may change.

    Six bytes are an Ethernet address, sixteen one of IPv6.
    """

    offset: int
    size: int
    retain: int = WORD_MASK
    abbreviable: bool = False
    shift: int = 0
    is_ipv4: bool = False


_IP = {
    "src": _Field(12, 4, is_ipv4=True),
    "dst": _Field(16, 4, is_ipv4=True),
    "tos": _Field(1, 1, 0xFF),
    "dsfield": _Field(1, 1, 0xFF, True),
    "ihl": _Field(0, 1, 0x0F),
    "ttl": _Field(8, 1, 0xFF),
    "protocol": _Field(9, 1, 0xFF),
    "precedence": _Field(1, 1, 0xFF, True),
    "nofrag": _Field(6, 1, 0x3F),
    "firstfrag": _Field(6, 1, 0x1F),
    "ce": _Field(6, 1, 0x80),
    "df": _Field(6, 1, 0x40),
    "mf": _Field(6, 1, 0x20),
}
# Behind an IP header of five words, which only the old form may count on.
_IP_OLD = {
    "dport": _Field(22, 2, 0xFFFF),
    "sport": _Field(20, 2, 0xFFFF),
    "icmp_type": _Field(20, 1, 0xFF),
    "icmp_code": _Field(20, 1, 0xFF),
}
_IP6 = {
    "src": _Field(8, 16),
    "dst": _Field(24, 16),
    "flow_lbl": _Field(0, 4, 0x0007FFFF),
    "payload_len": _Field(4, 2, 0xFFFF),
    "nexthdr": _Field(6, 1, 0xFF),
    "hoplimit": _Field(7, 1, 0xFF),
    "traffic_class": _Field(1, 1, 0xFF, shift=4),
}
_PORTS = {"sport": _Field(0, 2, 0xFFFF), "dport": _Field(2, 2, 0xFFFF)}
_ETH = {
    "type": _Field(12, 2, 0xFFFF),
    "dst": _Field(0, 6),
    "src": _Field(6, 6),
}
_HEADERS: dict[str, tuple[Header, dict[str, _Field]]] = {
    "eth": (Header.ETH, _ETH),
    "ip": (Header.IP4, _IP),
    "ip6": (Header.IP6, _IP6),
    "tcp": (Header.TCP, {**_PORTS, "flags": _Field(13, 1, 0xFF)}),
    "udp": (Header.UDP, _PORTS),
    "icmp": (Header.NETWORK, {}),  # a name without fields
}
_WIDTHS = {
    "u32": (4, WORD_MASK),
    "u16": (2, 0xFFFF),
    "u8": (1, 0xFF),
}
_COMMANDS = ("invert", "set", "add", "decrement", "preserve", "clear")


class _BadCommand(Declined):
    """What stands behind ``offset``: tc has gone on to it by then (internal)."""


@dataclass(slots=True)
class _Draft:
    munges: list[Munge]
    extended: bool = False


def parse(words: Words) -> Request:
    """What stands from ``pedit`` on."""
    draft, begun = _Draft([]), 0
    while words.left:
        if words.matches("pedit"):
            words.next()
            begun += 1
            if words.matches("ex"):
                if begun > 1:
                    words.decline("'ex' must be before first 'munge'", USAGE)
                draft.extended = True
                words.next()
        elif words.matches("help"):
            words.leave(USAGE)
        elif words.matches("munge"):
            words.next()
            _munge(words, draft)
            begun += 1
        else:
            break
    control = parse_optional_control(words, PASS)
    index = parse_optional_index(words, "Pedit: ")
    error = None if draft.munges else KernelError(NO_KEYS)
    action = Pedit(tuple(draft.munges), draft.extended, control)
    return Request(action, index, error=error)


def _munge(words: Words, draft: _Draft) -> None:
    """One ``munge``; on a fault tc says the word that it had come to."""
    place = words.place
    try:
        if words.matches("offset"):
            words.next()
            place = words.place
            _raw(words, draft)
        else:
            _layered(words, draft, words.word)
    except _BadCommand:
        words.decline(f"Bad pedit construct ({words.mark()[1]})", USAGE)
    except Declined:
        words.place = place
        words.decline(f"Bad pedit construct ({words.word})", USAGE)


def _layered(words: Words, draft: _Draft, name: str) -> None:
    words.next()
    try:
        if name not in _HEADERS:
            words.decline(f'Unknown action  hence option "{words.word}" is unparsable')
        header, fields = _HEADERS[name]
        if name == "ip" and not draft.extended:
            header, fields = Header.NETWORK, {**fields, **_IP_OLD}
        elif not draft.extended:
            words.decline()
        field = _field(fields, words.word)
        if words.left < 2 or field is None:
            words.decline()
        words.next()
        _pack(words, draft, header, field, _read(words, draft, field))
    except Declined:
        words.decline("bad pedit parsing")


def _field(fields: dict[str, _Field], word: str) -> _Field | None:
    for name, field in fields.items():
        if word == name or field.abbreviable and abbreviates(word, name):
            return field
    return None


def _raw(words: Words, draft: _Draft) -> None:
    """``offset OFFSET u8|u16|u32``: of the network header, whichever it is."""
    offset = signed(words.word, 32)
    if offset is None or words.left < 2:
        words.decline()
    words.skip()
    width = next((w for w in _WIDTHS if abbreviates(words.word, w)), None)
    if width is None:
        words.decline()
    words.next()
    if words.matches("at"):
        raise Unsupported("pedit at: not supported by the testbed")
    field = _Field(offset, *_WIDTHS[width])
    place = words.place
    try:
        change = _read(words, draft, field)
    except Declined:
        words.place = place
        raise _BadCommand from None
    try:
        _pack(words, draft, Header.NETWORK, field, change)
    except Declined:
        raise _BadCommand from None


@dataclass(frozen=True, slots=True)
class _Change:
    """What is done to a field; ``clears`` are the bits an ``invert`` turns."""

    value: int
    clears: int
    retain: int
    adds: bool


def _read(words: Words, draft: _Draft, field: _Field) -> _Change:
    """The command behind a field, up to its end."""
    command = next((c for c in _COMMANDS if abbreviates(words.word, c)), None)
    if command is None:
        words.decline()
    adds = command in ("add", "decrement")
    if adds and not draft.extended:
        words.decline("Non extended mode. only 'set' command is supported")
    value, clears, retain = 0, 0, field.retain
    if command in ("set", "add"):
        value = _value(words, words.next(), field)
    elif command == "invert":
        value = clears = (1 << 8 * min(field.size, 4)) - 1
    elif command == "decrement":
        value = retain
    elif command == "preserve":
        retain = 0
    words.skip()
    if words.matches("retain"):
        retain = _legal(words, unsigned(words.next(), 32))
        words.skip()
        if field.size > 4 and retain != WORD_MASK:
            words.decline("retain is not supported for fields longer the 32 bits")
    return _Change(value, clears, retain, adds)


def _pack(
    words: Words, draft: _Draft, header: Header, field: _Field, change: _Change
) -> None:
    """A change as the words of 32 bits that it is made of."""
    for offset, size, part in _parts(field, change.value):
        munge = _packed(words, header, offset, size, replace(change, value=part))
        if field.shift:
            keep = munge.keep << field.shift & WORD_MASK | (1 << field.shift) - 1
            value = munge.value << field.shift & WORD_MASK
            munge = replace(munge, value=value, keep=keep)
        if len(draft.munges) >= MAX_MUNGES:
            words.decline()
        draft.munges.append(munge)


def _value(words: Words, word: str, field: _Field) -> int:
    """The value of a field, which its size says the kind of."""
    if field.size == 6:
        return _legal(words, parse_mac(words, word))
    if field.size == 16 or field.is_ipv4:
        prefix = numbers.prefix(word)
        version = 6 if field.size == 16 else 4
        if prefix is None or prefix.address.version != version:
            words.decline()
        return int(prefix.address)
    return _legal(words, unsigned(word, 32))


def _legal(words: Words, value: int | None) -> int:
    if value is None:
        words.decline()
    return value


def _parts(field: _Field, value: int) -> list[tuple[int, int, int]]:
    """(offset, size, value) of the pieces that each lie in one word."""
    offset = field.offset
    if field.size == 16:
        return [
            (offset + 4 * at, 4, value >> 96 - 32 * at & WORD_MASK) for at in range(4)
        ]
    if field.size == 6 and offset % 4 == 0:
        return [(offset, 4, value >> 16), (offset + 4, 2, value & 0xFFFF)]
    if field.size == 6:
        return [(offset, 2, value >> 32), (offset + 2, 4, value & WORD_MASK)]
    return [(offset, field.size, value)]


def _packed(
    words: Words, header: Header, offset: int, size: int, change: _Change
) -> Munge:
    """A piece where it stands in its word.  Source: pack_key32, pack_key16, pack_key8"""
    full, at = (1 << 8 * size) - 1, offset % 4
    value, clears = change.value, change.clears
    if size == 4 and at:
        words.decline("pack_key32: 32 bit offsets must begin in 32bit boundaries")
    if size == 2 and value > full:
        words.decline("pack_key16 bad value")
    if size == 1 and value > full:
        words.decline(f"pack_key8 bad value (val {value:x} mask {clears:x}")
    if size == 2 and at == 3:
        words.decline("pack_key16 bad index value 3")
    shift = 8 * (4 - size - at)
    rest = ~(full << shift) & WORD_MASK
    keep = ((clears | ~change.retain) << shift | rest) & WORD_MASK
    shifted = (value & change.retain) << shift & WORD_MASK
    return Munge(header, offset - at, shifted, keep, change.adds)


def show(answer: Answer, action: Pedit, state: ActionState, statistics: bool) -> None:
    """Source: print_pedit"""
    answer.put("kind", "pedit", " pedit ")
    show_control(answer, action.control, "action ")
    answer.put("nkeys", len(action.munges), f" keys {len(action.munges)}")
    # These newlines are tc's own, with -oneline too.
    show_index(answer, "\n \t ", state, statistics, ends_line=False)
    with answer.array("keys"):
        for number, munge in enumerate(action.munges):
            with answer.object():
                _show_munge(answer, number, munge)
    answer.newline()


def _show_munge(answer: Answer, number: int, munge: Munge) -> None:
    answer.say(f"\n\t key #{number}  at ")
    name, offset = munge.header.value, munge.offset
    network = munge.header is Header.NETWORK
    answer.put("htype", name, "" if network else name)
    answer.put("offset", offset, f"{offset}" if network else f"{offset:+d}")
    command = "add" if munge.add else "set"
    answer.put("cmd", command, ": add " if munge.add else ": val ")
    answer.put("val", f"{munge.value:x}", f"{munge.value:08x}")
    answer.put("mask", f"{munge.keep:x}", f" mask {munge.keep:08x}")
