"""What a filter does: tc's actions as values.

A filter holds a tuple of these, run in order while each one's ``control`` is
``pipe``.  Addresses are ``ipaddress`` objects, marks and labels are integers;
a label's bit 0 is the lowest bit of the first byte that tc prints.
Source: include/net/tc_act/*.h, net/sched/act_*.c
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, Flag
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
    JUMP = 0x10000000
    GOTO_CHAIN = 0x20000000


@dataclass(frozen=True, slots=True)
class Control:
    """What happens after an action.

    ``chain`` belongs to ``GOTO_CHAIN``; ``JUMP`` starts the list again behind
    its first ``skip`` actions.
    """

    verb: Verb
    chain: int = 0
    skip: int = 0


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


class Header(Enum):
    """The header that a munge counts its offset from; its value is tc's name.

    NETWORK is what ``pedit`` without ``ex`` knows: the IP header, whichever.
    """

    NETWORK = "network"
    ETH = "eth"
    IP4 = "ipv4"
    IP6 = "ipv6"
    TCP = "tcp"
    UDP = "udp"


WORD_MASK = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Munge:
    """One of pedit's keys: 32 bits of a packet, ``offset`` bytes into a header.

    Set: ``word & keep ^ value``; add: ``keep`` tells the bits that stay, the
    others are ``word + value``.  ``keep`` is the mask as tc prints it.
    Source: net/sched/act_pedit.c:tcf_pedit_act
    """

    header: Header
    offset: int
    value: int
    keep: int
    add: bool = False

    @property
    def mask(self) -> int:
        """The bits that change."""
        return ~self.keep & WORD_MASK


@dataclass(frozen=True, slots=True)
class Pedit:
    """``action pedit [ex] munge ...``; checksums are left as they are."""

    munges: tuple[Munge, ...]
    extended: bool = True
    control: Control = PASS


class Checksums(Flag):
    """Which checksums ``csum`` computes.  Source: include/uapi/linux/tc_act/tc_csum.h"""

    IPV4HDR = 1
    ICMP = 2
    IGMP = 4
    TCP = 8
    UDP = 16
    UDPLITE = 32
    SCTP = 64


@dataclass(frozen=True, slots=True)
class Csum:
    """``action csum ip4h and tcp ...``."""

    checksums: Checksums
    control: Control = PASS


@dataclass(frozen=True, slots=True)
class Skbedit:
    """``action skbedit ...``: metadata of the packet, not the packet."""

    mark: Masked | None = None
    priority: int | None = None
    queue_mapping: int | None = None
    ptype: int | None = None
    inherit_dsfield: bool = False
    control: Control = PIPE


@dataclass(frozen=True, slots=True)
class VlanPush:
    """``action vlan push id V [protocol P] [priority N]``."""

    vlan_id: int
    protocol: int = 0x8100
    priority: int = 0
    control: Control = PIPE


@dataclass(frozen=True, slots=True)
class VlanPop:
    """``action vlan pop``."""

    control: Control = PIPE


@dataclass(frozen=True, slots=True)
class VlanModify:
    """``action vlan modify id V [protocol P] [priority N]``; None: as it was."""

    vlan_id: int
    protocol: int = 0x8100
    priority: int | None = None
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


Vlan = Union[VlanPush, VlanPop, VlanModify]
TunnelKey = Union[TunnelKeySet, TunnelKeyUnset]
Action = Union[Ct, TunnelKey, Pedit, Csum, Skbedit, Vlan, Mirred, Gact]

MAX_ACTIONS = 32


def as_run(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """The actions in the order they run; all but the last one go on.

    A jump starts the list again behind its first actions; a faulty one, or the
    32nd, passes the packet.  Source: net/sched/act_api.c:tcf_action_exec
    """
    return tuple(action for _, action in _as_run(actions))


def times_run(actions: tuple[Action, ...]) -> tuple[int, ...]:
    """How often each action of a list runs for one packet."""
    runs = Counter(place for place, _ in _as_run(actions))
    return tuple(runs[place] for place in range(len(actions)))


def _as_run(actions: tuple[Action, ...]) -> Iterator[tuple[int, Action]]:
    place, jumps_left = 0, MAX_ACTIONS
    while place < len(actions):
        action = actions[place]
        if action.control.verb is not Verb.JUMP:
            yield place, action
            if action.control.verb is not Verb.PIPE:
                return
            place += 1
            continue
        skip, jumps_left = action.control.skip, jumps_left - 1
        if not 0 < skip <= len(actions) or not jumps_left:
            yield place, replace(action, control=PASS)
            return
        yield place, replace(action, control=PIPE)
        place = skip
