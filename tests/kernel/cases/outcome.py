"""What came of a case: frames, conntrack events, what commands printed, and the final state."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class EventKind(Enum):
    """What conntrack says happened to a connection."""

    NEW = "NEW"
    UPDATE = "UPDATE"
    DESTROY = "DESTROY"


@dataclass(frozen=True, slots=True)
class Tuple:
    """One direction of a connection. For ICMP the ports are the id and type << 8 | code."""

    src: str
    dst: str
    sport: int = 0
    dport: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """What one direction carried."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Connection:
    """A conntrack entry as ctnetlink tells it.

    `status` is names of IPS_ bits; OFFLOAD is what conntrack prints as [OFFLOAD]. `state` and
    `timeout_s` are None where the kernel does not tell: an offloaded entry, or another protocol.
    """

    protocol: int
    original: Tuple
    reply: Tuple
    status: tuple[str, ...]
    zone: int = 0
    mark: int = 0
    label: str = ""
    state: str | None = None
    timeout_s: int | None = None
    original_counters: Counters | None = None
    reply_counters: Counters | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A conntrack event."""

    kind: EventKind
    connection: Connection


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame and the device it left by or, if it went to the stack, came from."""

    port: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one step caused, each in its order; `error` if the step itself could not be done.

    `connections` is conntrack's list right after it.
    """

    left: tuple[Seen, ...] = ()
    stack: tuple[Seen, ...] = ()
    events: tuple[Event, ...] = ()
    connections: tuple[Connection, ...] = ()
    ran: Ran | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """What `tc -s -j filter show dev PORT ingress` prints (of egress only if anything is there)."""

    port: str
    hook: str
    filters: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a case can be judged by: `commands` and `steps` run parallel to the case's."""

    commands: tuple[Ran, ...]
    steps: tuple[StepOutcome, ...]
    filters: tuple[Filters, ...]
    connections: tuple[Connection, ...]
