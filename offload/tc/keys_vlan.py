"""flower's keys of VLAN tags: ``vlan_*`` of the outer one, ``cvlan_*`` of the next.

Source: iproute2 tc/f_flower.c:flower_parse_vlan_eth_type, flower_parse_opt
"""

from __future__ import annotations

from offload.flower import ETH_P_8021AD, ETH_P_8021Q, Key, KeyMatch, Kind
from offload.tc.answer import Answer
from offload.tc.numbers import unsigned
from offload.tc.protocols import parse_protocol, show_protocol
from offload.tc.syntax import Asked, Layers, Syntax, exact, show_line
from offload.tc.words import Words

VLAN_TYPES = (ETH_P_8021Q, ETH_P_8021AD)
_OUTER_ONLY = "if ethertype isn't 802.1Q or 802.1AD and num_of_vlans is 0"
_INNER_ONLY = (
    "if inner vlan ethertype isn't 802.1Q or 802.1AD and num_of_vlans is less than 2"
)
_INNER_TYPE_ONLY = "if ethertype isn't 802.1Q or 802.1AD and num_of_vlans less than 2"


def _check(words: Words, layers: Layers, key: Key) -> None:
    """There must be a tag that the key can be of."""
    if key in (Key.CVLAN_ID, Key.CVLAN_PRIO, Key.CVLAN_ETHTYPE):
        tagged = layers.inner in VLAN_TYPES
        why = _INNER_TYPE_ONLY if key is Key.CVLAN_ETHTYPE else _INNER_ONLY
    else:
        tagged, why = layers.protocol in VLAN_TYPES, _OUTER_ONLY
    if not tagged:
        words.decline(f'Can\'t set "{key.keyword}" {why}')


def _parse_number(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    _check(words, layers, key)
    return exact(key, unsigned(word, key.bits, 10))


def _show_number(answer: Answer, name: str, match: KeyMatch) -> None:
    answer.put_named(name, match.value)


def _parse_type(words: Words, word: str, layers: Layers, key: Key) -> Asked | None:
    _check(words, layers, key)
    protocol = parse_protocol(word)
    if protocol is None:
        words.wrong(word, "invalid vlan_ethtype")
    return exact(key, protocol)


def _show_type(answer: Answer, name: str, match: KeyMatch) -> None:
    show_line(answer, name, show_protocol(match.value))


VLAN_SYNTAX = {
    Kind.VLAN_ID: Syntax(_parse_number, _show_number),
    Kind.VLAN_PRIO: Syntax(_parse_number, _show_number),
    Kind.ETHER_TYPE: Syntax(_parse_type, _show_type),
}
