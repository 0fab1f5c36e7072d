"""tc's actions as things of their own: numbered, counted, shared by filters.

    ActionTables --kind, index--> Instance <--bind-- filters

A filter's action is an instance that lives as long as it is bound; one that
``tc actions add`` made also lives for itself, until it is deleted.
Source: net/sched/act_api.c
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Flag

from offload.actions import (
    Action,
    Csum,
    Ct,
    Gact,
    Mirred,
    Pedit,
    Skbedit,
    TunnelKeySet,
    TunnelKeyUnset,
    Verb,
    VlanModify,
    VlanPop,
    VlanPush,
)
from offload.errors import KernelError

KINDS: dict[type, str] = {
    Ct: "ct",
    Gact: "gact",
    Mirred: "mirred",
    TunnelKeySet: "tunnel_key",
    TunnelKeyUnset: "tunnel_key",
    Pedit: "pedit",
    Csum: "csum",
    Skbedit: "skbedit",
    VlanPush: "vlan",
    VlanPop: "vlan",
    VlanModify: "vlan",
}
NOT_FOUND = "TC action with specified index not found"
NOT_DELETED = "Failed to delete TC action"
NO_CHAIN = "can't goto NULL proto/chain"
BUSY = "Resource temporarily unavailable"
MISMATCH = "Mismatch between action and filter offload flags"

ActionName = tuple[str, int]
"""Kind and index."""


def kind_of(action: Action) -> str:
    """The name of an action's kind, which numbers its instances."""
    return KINDS[type(action)]


class HwStats(Flag):
    """Which counters hardware may have: ``hw_stats``; 0 is ``disabled``."""

    IMMEDIATE = 1
    DELAYED = 2


ANY_STATS = HwStats.IMMEDIATE | HwStats.DELAYED
DISABLED_STATS = HwStats(0)


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets and their bytes."""

    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(self.packets + other.packets, self.bytes + other.bytes)

    def __sub__(self, other: Counters) -> Counters:
        return Counters(self.packets - other.packets, self.bytes - other.bytes)

    def __mul__(self, times: int) -> Counters:
        return Counters(self.packets * times, self.bytes * times)


@dataclass(frozen=True, slots=True)
class Request:
    """An action as a command line has it; index 0 asks for a free one.

    A request that names an index that is there means that instance, whatever
    else it says.  ``error`` is what the kernel answers if it is not there.
    """

    action: Action
    index: int = 0
    cookie: bytes = b""
    hw_stats: HwStats = ANY_STATS
    no_percpu: bool = False
    skip_sw: bool = False
    skip_hw: bool = False
    error: KernelError | None = field(default=None, compare=False)


@dataclass(slots=True)
class Instance:
    """An action that is there.  ``ref`` counts who holds it, ``bind`` the filters.

    ``software`` and ``hardware`` are what filters counted that let it go since.
    """

    kind: str
    index: int
    action: Action
    cookie: bytes
    hw_stats: HwStats
    no_percpu: bool
    skip_sw: bool
    skip_hw: bool
    added_s: float
    standalone: bool
    ref: int = 1
    bind: int = 0
    software: Counters = Counters()
    hardware: Counters = Counters()
    used_s: float | None = None
    first_used_s: float | None = None
    seen_packets: int = 0

    @property
    def outlives_a_filter(self) -> bool:
        """Will it be there when one of its filters is gone?"""
        return self.ref > 1

    def note_use(self, packets: int, now_s: float) -> None:
        """Model: a use is dated by the first look that sees it."""
        if packets > self.seen_packets:
            self.used_s = now_s
            if self.first_used_s is None:
                self.first_used_s = now_s
        self.seen_packets = packets


class _Table:
    """The instances of one kind.  ``freed`` is a heap of indexes nobody has."""

    def __init__(self) -> None:
        self.instances: dict[int, Instance] = {}
        self._freed: list[int] = []
        self._next = 1

    def free_index(self) -> int:
        """The lowest index nobody has."""
        while self._freed and self._freed[0] in self.instances:
            heapq.heappop(self._freed)
        return self._freed[0] if self._freed else self._next

    def insert(self, instance: Instance) -> None:
        """Take an instance in."""
        self.instances[instance.index] = instance
        while self._next in self.instances:
            self._next += 1

    def remove(self, index: int) -> None:
        """Let an instance go."""
        del self.instances[index]
        if index == self._next - 1:
            self._next -= 1
        elif index < self._next:
            heapq.heappush(self._freed, index)
        if not self.instances:
            self._freed.clear()
            self._next = 1


class ActionTables:
    """The instances of every kind; ``shared`` has the names of those held twice."""

    def __init__(self) -> None:
        self.shared: set[ActionName] = set()
        self._tables = {kind: _Table() for kind in KINDS.values()}

    def knows(self, kind: str) -> bool:
        """Is there such a kind?"""
        return kind in self._tables

    def of(self, kind: str) -> list[Instance]:
        """A kind's instances, in tc's order."""
        instances = self._tables[kind].instances
        return [instances[index] for index in sorted(instances)]

    def get(self, kind: str, index: int) -> Instance:
        """The instance of that index.  Raises KernelError."""
        if not index:
            raise KernelError("Invalid TC action index value")
        found = self._tables[kind].instances.get(index)
        if found is None:
            raise KernelError(NOT_FOUND, "No such file or directory")
        return found

    def bind(
        self,
        requests: Iterable[Request],
        now_s: float,
        skip_sw: bool = False,
        skip_hw: bool = False,
    ) -> tuple[Instance, ...]:
        """What a filter's actions are: instances there are, or new ones.

        All or, with a KernelError, none.  ``skip_sw`` and ``skip_hw`` are the filter's.
        """
        bound: list[Instance] = []
        made: list[Instance] = []
        with ExitStack() as undo:
            for request in requests:
                there = self._there(request)
                if there in made:
                    raise KernelError(errno_text=BUSY)
                instance = self._bound(request, there, now_s)
                undo.callback(self.unbind, (instance,))
                bound.append(instance)
                made += [instance] if there is None else []
                _share_flags(instance, skip_sw, skip_hw)
            undo.pop_all()
        return tuple(bound)

    def unbind(self, instances: Iterable[Instance]) -> None:
        """A filter is gone: its actions go, unless somebody else holds them."""
        for instance in instances:
            instance.bind -= 1
            self._put(instance)

    def add(
        self, requests: Iterable[Request], now_s: float, replace: bool
    ) -> tuple[Instance, ...]:
        """``tc actions add`` and, with ``replace``, ``change``: all or none.

        Returns those that were changed.  Raises KernelError.
        """
        requests = tuple(requests)
        self._check(requests, replace)
        made: list[Instance] = []
        changed: list[tuple[Instance, Request]] = []
        with ExitStack() as undo:
            for request in requests:
                there = self._there(request)
                if there in made:  # one that named no index got this one's
                    raise KernelError(errno_text=BUSY)
                if there is None:
                    made.append(self._make(request, now_s, standalone=True))
                    undo.callback(self._put, made[-1])
                else:
                    changed.append((there, request))
            undo.pop_all()
        for there, request in changed:
            _change(there, request)
        return tuple(there for there, _ in changed)

    def delete(self, named: Iterable[ActionName]) -> None:
        """``tc actions delete``: an action that filters are bound to stays.

        Those before it are gone by then, as in the kernel.  Raises KernelError.
        """
        found = [self.get(kind, index) for kind, index in named]
        for instance in found:
            if instance.bind:
                raise KernelError(NOT_DELETED, "Operation not permitted")
            self._put(instance)

    def flush(self, kind: str) -> bool:
        """Delete a kind's instances up to the first that is bound; False if one was.

        Raises KernelError if that was the first of all.
        Source: net/sched/act_api.c:tcf_del_walker
        """
        for number, instance in enumerate(self.of(kind)):
            if instance.bind:
                if not number:
                    raise KernelError(errno_text="Operation not permitted")
                return False
            self._put(instance)
        return True

    def __iter__(self) -> Iterator[Instance]:
        for table in self._tables.values():
            yield from table.instances.values()

    def _there(self, request: Request) -> Instance | None:
        table = self._tables[kind_of(request.action)]
        return table.instances.get(request.index)

    def _bound(
        self, request: Request, there: Instance | None, now_s: float
    ) -> Instance:
        instance = there or self._make(request, now_s, standalone=False)
        if there is not None:
            instance.ref += 1
            self.shared.add((instance.kind, instance.index))
            _label(instance, request)
        instance.bind += 1
        return instance

    def _make(self, request: Request, now_s: float, standalone: bool) -> Instance:
        _check_action(request)
        kind = kind_of(request.action)
        table = self._tables[kind]
        index = request.index or table.free_index()
        instance = Instance(
            kind,
            index,
            request.action,
            request.cookie,
            request.hw_stats,
            request.no_percpu,
            request.skip_sw,
            request.skip_hw,
            now_s,
            standalone,
        )
        table.insert(instance)
        return instance

    def _put(self, instance: Instance) -> None:
        instance.ref -= 1
        if instance.ref == 1:
            self.shared.remove((instance.kind, instance.index))
        if not instance.ref:
            self._tables[instance.kind].remove(instance.index)

    def _check(self, requests: tuple[Request, ...], replace: bool) -> None:
        """Raise what the kernel would of any of them, before one is carried out."""
        named: set[ActionName] = set()
        for request in requests:
            name = kind_of(request.action), request.index
            if name in named:
                raise KernelError(errno_text=BUSY)
            if self._there(request) is not None and not replace:
                raise KernelError(errno_text="File exists")
            _check_action(request)
            if request.action.control.verb is Verb.GOTO_CHAIN:
                raise KernelError(NO_CHAIN)
            if request.skip_sw:  # no driver here takes an action alone
                raise KernelError()
            if request.index:
                named.add(name)


def _check_action(request: Request) -> None:
    """Raise what the kernel says of an action itself."""
    if request.error is not None:
        raise request.error
    match request.action:
        case TunnelKeySet(src, dst) if src.version != dst.version:
            raise KernelError("Missing either ipv4 or ipv6 src and dst")
        case Mirred(dev=""):
            raise KernelError("act_mirred: Specified device does not exist")
        case _:
            pass


def _share_flags(instance: Instance, skip_sw: bool, skip_hw: bool) -> None:
    """An action runs where its filter does.  Raises KernelError.

    Source: net/sched/act_api.c:tcf_action_init
    """
    if instance.standalone:
        differ = (instance.skip_sw, instance.skip_hw) != (skip_sw, skip_hw)
    else:
        differ = instance.skip_sw and not skip_sw or instance.skip_hw and not skip_hw
    if differ:
        raise KernelError(MISMATCH)
    if not instance.standalone:
        instance.skip_sw |= skip_sw
        instance.skip_hw |= skip_hw


def _change(instance: Instance, request: Request) -> None:
    instance.action = request.action
    _label(instance, request)


def _label(instance: Instance, request: Request) -> None:
    """What the latest to name an action says of it.  Source: tcf_action_init_1"""
    instance.cookie = request.cookie or instance.cookie
    instance.hw_stats = request.hw_stats
