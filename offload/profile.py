"""What one generation of driver and kernel does, as data: no code asks for a name.

The default is the series itself.  ``mlx5-6.1`` is what Debian 12 ships: its
act_ct takes UDP by its first commit, as kernel 6.12 does (it was seen to).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from offload.errors import OffloadError
from offload.flower import CtState


class LabelMatch(Enum):
    """What of a connection's label a hardware filter can match."""

    LOW_32_BITS = auto()  # under any mask
    MAPPED = auto()  # a whole label, which has an id; a mask leaves the rest 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many of each thing hardware can hold, or its registers can name."""

    ct_rules: int
    chains: int
    fte_ids: int
    tunnels: int
    tuple_ids: int
    zones: int
    labels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A generation.  Timeouts are seconds; None leaves one to conntrack.

    act_ct: ``offers_on_commit``, a commit offers too; ``needs_assured``, only an
    ASSURED connection is taken; ``udp_when_confirmed``, but UDP by its first
    commit, one way until it is ASSURED.
    ``aged_tcp_s``, ``aged_udp_s``: what conntrack keeps of a connection that aged,
    counted from then, or (``aged_counts_silence``) from its last packet.

    Classifier: ``gotos`` a packet may follow; ``mirred_keeps_ct`` into the next
    ingress; ``invalid_is_tracked``, as +trk+inv with its zone, else as -trk.

    Driver: ``matchable`` bits of ct_state, those it matches when clear only
    (``only_clear``), and what it says of others; ``zone_shortcut``: a packet that
    was tracked in this zone passes the ct table by; ``restores_by_tuple``: a miss is
    restored by the packet's tuple, which no filter may change in between.
    """

    name: str
    offers_on_commit: bool
    needs_assured: bool
    udp_when_confirmed: bool
    aged_tcp_s: int | None
    aged_udp_s: int
    aged_counts_silence: bool
    gotos: int
    mirred_keeps_ct: bool
    invalid_is_tracked: bool
    matchable: CtState
    only_clear: CtState
    unmatchable: str
    labels: LabelMatch
    zone_shortcut: bool
    restores_by_tuple: bool
    limits: Limits


# Source: Linux 5.7, net/sched/act_ct.c, mlx5 en/tc_ct.h (struct mlx5_ct_attr, REG_C)
MLX5_5_7 = Profile(
    name="mlx5-5.7",
    offers_on_commit=False,
    needs_assured=False,
    udp_when_confirmed=False,
    aged_tcp_s=120,
    aged_udp_s=30,
    aged_counts_silence=False,
    gotos=4,
    mirred_keeps_ct=True,
    invalid_is_tracked=False,
    matchable=CtState.TRK | CtState.EST | CtState.NEW,
    only_clear=CtState.NEW,
    unmatchable="only ct_state trk, est and new are supported for offload",
    labels=LabelMatch.LOW_32_BITS,
    zone_shortcut=False,
    restores_by_tuple=False,
    limits=Limits(
        ct_rules=2**22,
        chains=0xFFFF,
        fte_ids=2**32 - 1,
        tunnels=63,
        tuple_ids=2**24 - 1,
        zones=2**16,
        labels=2**32,
    ),
)

# Source: Linux 6.1.192 as it was seen to behave; mlx5 en/tc_ct.h (zone_restore_id)
MLX5_6_1 = Profile(
    name="mlx5-6.1",
    offers_on_commit=True,
    needs_assured=True,
    udp_when_confirmed=True,
    aged_tcp_s=None,
    aged_udp_s=120,
    aged_counts_silence=True,
    gotos=16,
    mirred_keeps_ct=False,
    invalid_is_tracked=True,
    matchable=~CtState(0),
    only_clear=CtState.NEW | CtState.REL | CtState.INV,
    unmatchable="",
    labels=LabelMatch.MAPPED,
    zone_shortcut=True,
    restores_by_tuple=True,
    limits=Limits(
        ct_rules=2**22,
        chains=0xFFFF,
        fte_ids=2**24 - 1,
        tunnels=2**23 - 1,
        tuple_ids=2**24 - 1,
        zones=2**8 - 1,
        labels=2**32 - 1,
    ),
)

PROFILES = {profile.name: profile for profile in (MLX5_5_7, MLX5_6_1)}
DEFAULT = MLX5_5_7


class UnknownProfile(OffloadError):
    """There is no such generation."""


def named(name: str) -> Profile:
    """The profile of that name.  Raises UnknownProfile."""
    if name not in PROFILES:
        raise UnknownProfile(f"no profile {name!r}: there are {', '.join(PROFILES)}")
    return PROFILES[name]
