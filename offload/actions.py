"""What a filter does: tc's actions as values.

A filter holds a tuple of these, run in order while each one's ``control`` is
``pipe``.  Addresses are ``ipaddress`` objects, marks and labels are integers;
a label's bit 0 is the lowest bit of the first byte that tc prints.
Source: include/net/tc_act/*.h, net/sched/act_*.c
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Union

Address = Union[IPv4Address, IPv6Address]
MARK_MASK = 2**32 - 1
LABEL_MASK = 2**128 - 1


class Verb(Enum):
    """A control verb, with the number the kernel knows it by."""

    CONTINUE = -1
    PASS = 0
    RECLASSIFY = 1
    DROP = 2
    PIPE = 3
    STOLEN = 4
    TRAP = 8
    GOTO_CHAIN = 0x20000000


@dataclass(frozen=True, slots=True)
class Control:
    """What happens after an action; ``chain`` belongs to ``GOTO_CHAIN``."""

    verb: Verb
    chain: int = 0


PIPE = Control(Verb.PIPE)
PASS = Control(Verb.PASS)
DROP = Control(Verb.DROP)
STOLEN = Control(Verb.STOLEN)


@dataclass(frozen=True, slots=True)
class Masked:
    """A value under a mask, of a mark (32 bits) or a label (128 bits)."""

    value: int
    mask: int


class NatKind(Enum):
    """Which address ``ct`` translates; RESTORE applies the mapping there is."""

    RESTORE = "nat"
    SRC = "src"
    DST = "dst"


@dataclass(frozen=True, slots=True)
class Nat:
    """``nat [src|dst addr A[-B] [port P[-Q]]]``; no ports: ``port_min`` is 0."""

    kind: NatKind
    addr_min: Address | None = None
    addr_max: Address | None = None
    port_min: int = 0
    port_max: int = 0


@dataclass(frozen=True, slots=True)
class Ct:
    """``action ct``.  Source: net/sched/act_ct.c"""

    zone: int = 0
    commit: bool = False
    force: bool = False
    clear: bool = False
    mark: Masked | None = None
    label: Masked | None = None
    nat: Nat | None = None
    control: Control = PIPE


@dataclass(frozen=True, slots=True)
class TunnelKeySet:
    """``action tunnel_key set``; ``key_id`` is the VNI."""

    src: Address
    dst: Address
    key_id: int | None = None
    dst_port: int | None = None
    tos: int | None = None
    ttl: int | None = None
    csum: bool = True
    control: Control = PIPE


@dataclass(frozen=True, slots=True)
class TunnelKeyUnset:
    """``action tunnel_key unset``."""

    control: Control = PIPE


@dataclass(frozen=True, slots=True)
class Mirred:
    """``action mirred {egress|ingress} {redirect|mirror} dev D``."""

    dev: str
    redirect: bool
    egress: bool = True
    control: Control = STOLEN


@dataclass(frozen=True, slots=True)
class Gact:
    """``action pass|drop|pipe|goto chain N|...``."""

    control: Control


Action = Union[Ct, TunnelKeySet, TunnelKeyUnset, Mirred, Gact]
