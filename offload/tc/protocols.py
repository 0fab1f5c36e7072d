"""EtherTypes by name.  Source: iproute2 lib/ll_proto.c"""

from __future__ import annotations

from offload.tc.numbers import unsigned

_NAMES = {
    "loop": 0x0060,
    "pup": 0x0200,
    "pupat": 0x0201,
    "ip": 0x0800,
    "x25": 0x0805,
    "arp": 0x0806,
    "bpq": 0x08FF,
    "ieeepup": 0x0A00,
    "ieeepupat": 0x0A01,
    "dec": 0x6000,
    "dna_dl": 0x6001,
    "dna_rc": 0x6002,
    "dna_rt": 0x6003,
    "lat": 0x6004,
    "diag": 0x6005,
    "cust": 0x6006,
    "sca": 0x6007,
    "rarp": 0x8035,
    "atalk": 0x809B,
    "aarp": 0x80F3,
    "ipx": 0x8137,
    "ipv6": 0x86DD,
    "ppp_disc": 0x8863,
    "ppp_ses": 0x8864,
    "atmmpoa": 0x884C,
    "atmfate": 0x8884,
    "802_3": 0x0001,
    "ax25": 0x0002,
    "all": 0x0003,
    "802_2": 0x0004,
    "snap": 0x0005,
    "ddcmp": 0x0006,
    "wan_ppp": 0x0007,
    "ppp_mp": 0x0008,
    "localtalk": 0x0009,
    "can": 0x000C,
    "ppptalk": 0x0010,
    "tr_802_2": 0x0011,
    "mobitex": 0x0015,
    "control": 0x0016,
    "irda": 0x0017,
    "econet": 0x0018,
    "tipc": 0x88CA,
    "profinet": 0x8892,
    "aoe": 0x88A2,
    "ethercat": 0x88A4,
    "802.1Q": 0x8100,
    "802.1ad": 0x88A8,
    "mpls_uc": 0x8847,
    "mpls_mc": 0x8848,
    "teb": 0x6558,
    "LLDP": 0x88CC,
    "ipv4": 0x0800,
}
_NUMBERS = {name.lower(): number for name, number in _NAMES.items()}
_FIRST_NAMES = {number: name for name, number in reversed(_NAMES.items())}


def parse_protocol(word: str) -> int | None:
    """A name in any case, or a number in any base."""
    number = _NUMBERS.get(word.lower())
    return unsigned(word, 16) if number is None else number


def show_protocol(number: int) -> str:
    """The name tc prints, ``[N]`` where it knows none."""
    return _FIRST_NAMES.get(number, f"[{number}]")
