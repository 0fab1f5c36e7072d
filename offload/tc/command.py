"""What a command line asks for, as values.

The parser is tc's and returns these; who runs them is somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Union

from offload.actions import Action
from offload.flower import ETH_P_ALL, Match


class Hook(Enum):
    """Where a filter hangs, with the parent's number; ROOT is the root qdisc."""

    ROOT = 0
    INGRESS = 0xFFFFFFF2
    EGRESS = 0xFFFFFFF3


class Change(Enum):
    """How a filter is put in place: ADD must be new, CHANGE must exist."""

    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Options:
    """tc's options, which stand before the object."""

    statistics: bool = False
    json: bool = False
    pretty: bool = False
    oneline: bool = False
    force: bool = False
    batch: str | None = None


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
    actions: tuple[Action, ...] = ()
    skip_sw: bool = False
    skip_hw: bool = False
    verbose: bool = False


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


Command = Union[FilterAdd, FilterDel, FilterShow, FilterGet, Batch, Foreign]
