"""What ``tc filter`` and ``tc chain`` commands make of devices, chains and filters.

    Classifier --Point--> Block --chain--> prio (one protocol) --handle--> Filter

Adding is in two steps, so that a filter which cannot be realised leaves no
trace: ``prepare`` checks a request and fills in what tc leaves out, the block's
``insert`` (or ``replace``) makes it stand.
Source: net/sched/cls_api.c, net/sched/cls_flower.c
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from offload.act_api import ActionTables, HwStats
from offload.actions import Action
from offload.chains import (
    FIRST_AUTO_PRIO,
    LOWEST_AUTO_PRIO,
    Block,
    Chain,
    Filter,
    Point,
    Priority,
    zones_of,
)
from offload.errors import KernelError
from offload.flower import Match
from offload.qdisc import Hooks

__all__ = [
    "FIRST_AUTO_PRIO",
    "LOWEST_AUTO_PRIO",
    "Block",
    "Chain",
    "Change",
    "Classifier",
    "Filter",
    "Point",
    "zones_of",
]

NO_CHAIN = "Cannot find specified filter chain"
NO_PRIO = "Filter with specified priority/protocol not found"
NO_HANDLE = "Specified filter handle not found"
NOTHING_TO_CHANGE = "Need both RTM_NEWTFILTER and NLM_F_CREATE to create a new filter"
_ENOENT = "No such file or directory"


class Change(Enum):
    """How a filter is put in place: ADD must be new, CHANGE must exist."""

    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"


class Classifier:
    """The blocks of all devices, and the actions that their filters share."""

    def __init__(self, devices: Iterable[str] = ()) -> None:
        self.blocks: dict[Point, Block] = {}
        self.hooks = Hooks(devices)
        self.actions = ActionTables()
        self._last_filter = 0

    def block(self, point: Point) -> Block:
        """The chains of a point."""
        return self.blocks.setdefault(point, Block())

    def prepare(
        self,
        point: Point,
        match: Match,
        actions: tuple[Action, ...],
        *,
        change: Change = Change.ADD,
        chain: int = 0,
        prio: int = 0,
        handle: int = 0,
        skip_sw: bool = False,
        skip_hw: bool = False,
        action_indexes: tuple[int, ...] = (),
        hw_stats: tuple[HwStats, ...] = (),
    ) -> Filter:
        """Check a filter against those there are, and number it.

        ``prio`` and ``handle`` 0 ask for the next free one.  If its place is
        taken it is to replace what stands there.  Raises KernelError.
        Source: net/sched/cls_api.c:tc_new_tfilter, cls_flower.c:fl_change
        """
        block = self.block(point)
        prio = prio or block.auto_prio(chain)
        priority = block.priority(chain, prio)
        if priority is None:
            _must_be_there(change)
            priority = Priority(match.protocol)
        if priority.protocol != match.protocol:
            raise KernelError(NO_PRIO)
        _check_place(priority, handle, change)
        _check_match(priority, priority.filters.get(handle), match)
        return Filter(
            self._next_id(),
            point.device,
            chain,
            prio,
            handle or priority.free_handle(),
            match,
            actions,
            skip_sw,
            skip_hw,
            action_indexes,
            hw_stats,
            point.egress,
        )

    def copied(self, filter_: Filter, device: str) -> Filter:
        """A filter as another device of the same block has it."""
        return replace(filter_, id=self._next_id(), device=device)

    def _next_id(self) -> int:
        self._last_filter += 1
        return self._last_filter

    def to_delete(
        self,
        point: Point,
        *,
        chain: int | None = None,
        prio: int = 0,
        protocol: int | None = None,
        handle: int = 0,
    ) -> list[Filter]:
        """The filters ``tc filter del`` removes.  Raises KernelError.

        Source: net/sched/cls_api.c:tc_del_tfilter
        """
        if prio:
            return self.find(point, chain or 0, prio, protocol, handle)
        if handle or protocol is not None:
            raise KernelError(
                "Cannot flush filters with protocol, handle or kind set", _ENOENT
            )
        return list(self.block(point).chains.get(chain or 0, Chain()))

    def find(
        self, point: Point, chain: int, prio: int, protocol: int | None, handle: int
    ) -> list[Filter]:
        """The filters of one prio, or the one of that handle.  Raises KernelError.

        Source: net/sched/cls_api.c:tc_get_tfilter
        """
        block = self.block(point)
        if chain not in block.chains:
            raise KernelError(NO_CHAIN)
        priority = block.priority(chain, prio)
        if priority is None or protocol not in (None, priority.protocol):
            raise KernelError(NO_PRIO)
        if not handle:
            return [priority.filters[each] for each in sorted(priority.filters)]
        if handle not in priority.filters:
            raise KernelError(NO_HANDLE)
        return [priority.filters[handle]]

    def add_chain(self, point: Point, chain: int) -> None:
        """``tc chain add``.  Raises KernelError.

        Source: net/sched/cls_api.c:tc_ctl_chain
        """
        block = self.block(point)
        if chain in block.chains and block.chains[chain].visible:
            raise KernelError("Filter chain already exists", "File exists")
        block.add_chain(chain)

    def delete_chain(self, point: Point, chain: int) -> None:
        """Forget that a chain was added; it goes unless actions lead to it."""
        block = self.block(point)
        if chain in block.chains:
            block.delete_chain(chain)

    def forget_chains(self, device: str) -> None:
        """The device's hook goes, and with it the chains that were added."""
        for egress in (False, True):
            self.blocks.pop(Point(device, egress), None)

    def find_chain(self, point: Point, chain: int) -> Chain:
        """A chain that is more than a place actions lead to.  Raises KernelError."""
        found = self.block(point).chains.get(chain)
        if found is None or not found.visible:
            raise KernelError(NO_CHAIN)
        return found


def _must_be_there(change: Change) -> None:
    if change is Change.CHANGE:
        raise KernelError(NOTHING_TO_CHANGE, _ENOENT)


def _check_place(priority: Priority, handle: int, change: Change) -> None:
    """A handle that is taken is to be changed or replaced; no other can be."""
    if handle not in priority.filters:
        _must_be_there(change)
    elif change is Change.ADD:
        raise KernelError("Filter already exists", "File exists")


def _check_match(priority: Priority, old: Filter | None, match: Match) -> None:
    """Two filters of a prio ask different things; a replaced one keeps its mask.

    Source: net/sched/cls_flower.c:fl_check_assign_mask, fl_ht_insert_unique
    """
    if old is not None and old.match.mask != match.mask:
        raise KernelError()
    if match in priority.keys and (old is None or old.match != match):
        raise KernelError(errno_text="File exists")
