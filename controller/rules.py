"""Rules, actions and messages to a switch, as values.

What is rare is a ``Rule`` built with care; what comes by the thousand (a
connection's entries) is a ``FlowRule`` that the OpenFlow room packs from
templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Union

from controller.fields import Field
from offload.conntrack import Direction, FlowTuple
from offload.flow_table import FlowRule


class Table(IntEnum):
    """The pipeline's tables; the switch is given their names in lower case."""

    PORT = 0
    HW_CHAIN = 1
    HW_CT_NAT = 2
    HW_CT = 3
    HW_POST_CT = 4
    HW_MISS = 5
    SW_CHAIN = 6
    SW_TRACK = 7
    SW_POST_CT = 8
    STACK = 9
    CT_AGE = 10
    OFFER_AGAIN = 11
    DEC_TTL = 12
    INGRESS = 13
    SW_NAT = 14
    SW_LOOKUP = 15
    RESTORE = 16
    RESTORED = 17
    EGRESS = 18
    LEAVE = 19


class Match(NamedTuple):
    """A field's value under a mask (before the field's shift)."""

    field: Field
    value: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class SetField:
    """Load ``value`` into a field, under ``mask`` if there is one."""

    field: Field
    value: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Copy ``bits`` bits of one field to another."""

    source: Field
    target: Field
    bits: int


@dataclass(frozen=True, slots=True)
class Output:
    """Send the packet out of a port, the one it came from included."""

    port: int
    in_port: bool = False


@dataclass(frozen=True, slots=True)
class OutputTo:
    """Send the packet out of the port that a field names."""

    field: Field


@dataclass(frozen=True, slots=True)
class CopyToController:
    """Send the packet's headers and metadata to the controller."""


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Go on in a table."""

    table: Table


@dataclass(frozen=True, slots=True)
class Translate:
    """NAT within ct(); without a range, apply the mapping there is."""

    source: bool = False
    addr_min: str = ""
    addr_max: str = ""
    port_min: int = 0
    port_max: int = 0


@dataclass(frozen=True, slots=True)
class Track:
    """OVS's ct(): look the packet up, maybe commit; then go on in ``table``.

    ``zone`` None takes the zone register's.
    """

    zone: int | None = None
    commit: bool = False
    force: bool = False
    table: Table | None = None
    sets: tuple[SetField, ...] = ()
    nat: Translate | None = None


@dataclass(frozen=True, slots=True)
class TrackClear:
    """OVS's ct_clear."""


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Put a tag of this protocol in front; then its fields can be set."""

    protocol: int


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Take the first tag off."""


@dataclass(frozen=True, slots=True)
class DecTtl:
    """OVS's dec_ttl, which drops what has none left."""


@dataclass(frozen=True, slots=True)
class Clone:
    """Do this to a copy of the packet, registers and all."""

    actions: tuple[RuleAction, ...]


RuleAction = Union[
    SetField,
    Move,
    Output,
    OutputTo,
    CopyToController,
    Resubmit,
    Track,
    TrackClear,
    PushVlan,
    PopVlan,
    DecTtl,
    "Clone",
]


class Owner(IntEnum):
    """Whose a rule is; part of its cookie."""

    PIPELINE = 0
    FILTER = 1
    ENTRY = 2
    CHAIN = 3
    PUNT = 4


@dataclass(frozen=True, slots=True)
class Rule:
    """One flow.  ``owner`` and ``owner_id`` make its cookie."""

    table: Table
    priority: int
    matches: tuple[Match, ...]
    actions: tuple[RuleAction, ...]
    owner: Owner = Owner.PIPELINE
    owner_id: int = 0
    report_removal: bool = False

    @property
    def place(self) -> tuple[Table, int, tuple[Match, ...]]:
        """What OpenFlow knows a rule by."""
        return self.table, self.priority, self.matches


@dataclass(frozen=True, slots=True)
class AddRule:
    """Install a rule, in the place of one that stands there already.

    It goes on with that one's counters, unless they are reset.
    """

    rule: Rule
    reset_counters: bool = False


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Remove one rule, named by table, priority and match."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class AddEntry:
    """Install one direction of an entry in hardware.

    The original direction brings the entry's age rule with it, which reports
    when no packet of either direction came for ``idle_s``.
    """

    flow: FlowRule
    idle_s: int


@dataclass(frozen=True, slots=True, eq=False)
class Later:
    """Come back to an insertion when the card has had its time for it."""

    delay_s: float
    insertion: AddEntry


@dataclass(frozen=True, slots=True)
class WatchEntry:
    """Report when an entry that lives in software was idle for ``idle_s``.

    ``established`` says which packets are seen: OVS asks for one of the states.
    """

    entry_id: int
    zone: int
    original: FlowTuple
    idle_s: int
    established: bool = True


@dataclass(frozen=True, slots=True)
class DeleteEntry:
    """Remove one direction of an entry; the age rule goes with the original."""

    entry_id: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class CountEntry:
    """Ask what one direction of an entry has counted in hardware."""

    entry_id: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class DeleteWatch:
    """Stop watching an entry in software."""

    entry_id: int


@dataclass(frozen=True, slots=True)
class DeleteConnection:
    """Remove a connection from the switch's conntrack."""

    zone: int
    original: FlowTuple


@dataclass(frozen=True, slots=True)
class DeleteConnections:
    """Remove all connections from the switch's conntrack."""


@dataclass(frozen=True, slots=True)
class OfferAgain:
    """Make conntrack forget that act_ct was told of a connection."""

    zone: int
    original: FlowTuple


@dataclass(frozen=True, slots=True)
class AckBoth:
    """Have conntrack see an ACK of each direction of a closing connection."""

    zone: int
    original: FlowTuple
    reply: FlowTuple


@dataclass(frozen=True, slots=True)
class RestoreConnection:
    """Make an established connection in the switch's conntrack."""

    zone: int
    mark: int
    label: int
    original: FlowTuple
    reply: FlowTuple


@dataclass(frozen=True, slots=True)
class DeleteStale:
    """Remove every rule that an earlier connection left; None: every rule."""

    epoch: int | None


Message = Union[
    AddRule,
    DeleteRule,
    AddEntry,
    Later,
    WatchEntry,
    DeleteEntry,
    CountEntry,
    DeleteWatch,
    DeleteConnection,
    DeleteConnections,
    OfferAgain,
    AckBoth,
    RestoreConnection,
    DeleteStale,
]
