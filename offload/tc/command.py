"""What a command line asks for, as values.

The parser is tc's and returns these; who runs them is somebody else.  A place
is a ``device`` or, where that is "", a shared ``block``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Union

from offload.act_api import Request
from offload.cls_api import Change
from offload.flower import ETH_P_ALL, Match
from offload.tc.options import Options


class Hook(Enum):
    """Where a filter hangs, with the parent's number; ROOT is the root qdisc."""

    ROOT = 0
    INGRESS = 0xFFFFFFF2
    EGRESS = 0xFFFFFFF3


@dataclass(frozen=True, slots=True)
class FilterAdd:
    """``filter add|change|replace``; no ``prio`` lets the kernel choose one."""

    device: str
    change: Change = Change.ADD
    hook: Hook = Hook.INGRESS
    chain: int | None = None
    prio: int | None = None
    protocol: int = ETH_P_ALL
    handle: int | None = None
    kind: str = "flower"
    match: Match = field(default=Match(ETH_P_ALL))
    actions: tuple[Request, ...] = ()
    skip_sw: bool = False
    skip_hw: bool = False
    verbose: bool = False
    block: int = 0


@dataclass(frozen=True, slots=True)
class FilterDel:
    """``filter del``: without ``prio``, all filters of the chain (or all)."""

    device: str
    hook: Hook = Hook.INGRESS
    chain: int | None = None
    prio: int | None = None
    protocol: int = 0
    handle: int | None = None
    kind: str | None = None
    block: int = 0


@dataclass(frozen=True, slots=True)
class FilterShow:
    """``filter show``: None and protocol 0 ask for any."""

    device: str
    hook: Hook = Hook.INGRESS
    chain: int | None = None
    prio: int | None = None
    protocol: int = 0
    handle: str | None = None
    options: Options = Options()
    block: int = 0


@dataclass(frozen=True, slots=True)
class FilterGet:
    """``filter get``: one filter, all of it given."""

    device: str
    prio: int
    protocol: int
    handle: int
    hook: Hook = Hook.INGRESS
    chain: int | None = None
    kind: str = "flower"
    options: Options = Options()
    block: int = 0


@dataclass(frozen=True, slots=True)
class ChainEdit:
    """``chain add|del``."""

    device: str
    deletes: bool
    hook: Hook = Hook.INGRESS
    chain: int | None = None
    block: int = 0


@dataclass(frozen=True, slots=True)
class ChainShow:
    """``chain show``, and ``get``, which asks for one that must be there."""

    device: str
    hook: Hook = Hook.INGRESS
    chain: int | None = None
    get: bool = False
    options: Options = Options()
    block: int = 0


@dataclass(frozen=True, slots=True)
class ActionsAdd:
    """``actions add|change|replace``."""

    actions: tuple[Request, ...]
    replace: bool = False
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class ActionsNamed:
    """``actions delete|get``; ``after`` is the word behind it.

    tc goes on with that word when the kernel refused, and does not know it.
    """

    named: tuple[tuple[str, int], ...]
    deletes: bool
    after: str = ""
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class ActionsOfKind:
    """``actions list|flush``; ``since_ms`` asks for those used since."""

    kind: str
    flushes: bool
    since_ms: int = 0
    options: Options = Options()


ActionsStep = Union[ActionsAdd, ActionsNamed, ActionsOfKind]


@dataclass(frozen=True, slots=True)
class Actions:
    """``actions``: one command after the other, until one fails."""

    steps: tuple[ActionsStep, ...]


@dataclass(frozen=True, slots=True)
class QdiscEdit:
    """``qdisc add|replace|change|delete`` of an ingress or clsact qdisc."""

    device: str
    verb: str
    kind: str
    ingress_block: int = 0


@dataclass(frozen=True, slots=True)
class QdiscShow:
    """``qdisc show``, of one device or all ("")."""

    device: str
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Batch:
    """``-batch FILE``: commands from a file, ``-`` for stdin."""

    file: str
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Foreign:
    """Not the testbed's: the system's own tc takes it."""

    object_name: str
    device: str | None = None


FilterCommand = Union[FilterAdd, FilterDel, FilterShow, FilterGet]
ChainCommand = Union[ChainEdit, ChainShow]
QdiscCommand = Union[QdiscEdit, QdiscShow]
Command = Union[FilterCommand, ChainCommand, QdiscCommand, Actions, Batch, Foreign]
