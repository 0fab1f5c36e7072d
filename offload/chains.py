"""Filters as they stand: in chains, by prio and handle.

    Block --chain--> Chain --prio--> Priority (one protocol) --handle--> Filter

Source: net/sched/cls_api.c, net/sched/cls_flower.c
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from offload.act_api import ActionName, HwStats, kind_of
from offload.actions import Action, Ct, Verb
from offload.flower import Match, Shape

FIRST_AUTO_PRIO = 0xC000
LOWEST_AUTO_PRIO = 0x8000


class Point(NamedTuple):
    """Where packets meet filters: as they come in at a device, or as they leave by it."""

    device: str
    egress: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A flower filter as it stands.  ``id`` is unique for the classifier's life.

    ``action_indexes`` and ``hw_stats`` run parallel to ``actions``.
    """

    id: int
    device: str
    chain: int
    prio: int
    handle: int
    match: Match
    actions: tuple[Action, ...]
    skip_sw: bool = False
    skip_hw: bool = False
    action_indexes: tuple[int, ...] = ()
    hw_stats: tuple[HwStats, ...] = ()
    egress: bool = False

    @property
    def point(self) -> Point:
        """Where it hangs."""
        return Point(self.device, self.egress)

    @property
    def protocol(self) -> int:
        """The EtherType it is for."""
        return self.match.protocol

    @property
    def action_names(self) -> tuple[ActionName, ...]:
        """What its actions are called."""
        both = zip(self.actions, self.action_indexes, strict=True)
        return tuple((kind_of(action), index) for action, index in both)

    @property
    def zones(self) -> tuple[int, ...]:
        """The zones of its ct actions, which hold those zones' flow tables."""
        return zones_of(self.actions)

    @property
    def gotos(self) -> tuple[int, ...]:
        """The chains that its actions lead to."""
        return tuple(
            action.control.chain
            for action in self.actions
            if action.control.verb is Verb.GOTO_CHAIN
        )


def zones_of(actions: tuple[Action, ...]) -> tuple[int, ...]:
    """The zones in which actions look packets up, one for each lookup."""
    return tuple(
        action.zone for action in actions if isinstance(action, Ct) and not action.clear
    )


@dataclass(slots=True)
class MaskUse:
    """When a mask was first seen in its prio, and how many filters have it."""

    rank: int
    filters: int = 0


@dataclass(slots=True)
class Priority:
    """The filters of one prio (the kernel's tcf_proto), of one protocol.

    ``freed`` is a heap of handles below ``next_handle`` that nobody has.
    """

    protocol: int
    filters: dict[int, Filter] = field(default_factory=dict)
    masks: dict[Shape, MaskUse] = field(default_factory=dict)
    keys: set[Match] = field(default_factory=set)
    freed: list[int] = field(default_factory=list)
    next_handle: int = 1
    masks_seen: int = 0

    def free_handle(self) -> int:
        """The lowest handle nobody has.  Source: cls_flower.c:fl_change"""
        while self.freed and self.freed[0] in self.filters:
            heapq.heappop(self.freed)
        return self.freed[0] if self.freed else self.next_handle

    def insert(self, filter_: Filter) -> None:
        """Take a filter in, with its mask."""
        self.filters[filter_.handle] = filter_
        self.keys.add(filter_.match)
        while self.next_handle in self.filters:
            self.next_handle += 1
        mask = filter_.match.mask
        if mask not in self.masks:
            self.masks[mask] = MaskUse(self.masks_seen)
            self.masks_seen += 1
        self.masks[mask].filters += 1

    def replace(self, old: Filter, new: Filter) -> None:
        """Put a filter of the same mask in the place of another."""
        self.keys.discard(old.match)
        self.keys.add(new.match)
        self.filters[new.handle] = new

    def remove(self, filter_: Filter) -> None:
        """Let a filter go, with its mask if it was the last one of it."""
        del self.filters[filter_.handle]
        self.keys.discard(filter_.match)
        if filter_.handle == self.next_handle - 1:
            self.next_handle -= 1
        elif filter_.handle < self.next_handle:
            heapq.heappush(self.freed, filter_.handle)
        use = self.masks[filter_.match.mask]
        use.filters -= 1
        if not use.filters:
            del self.masks[filter_.match.mask]
            self.masks_seen -= use.rank == self.masks_seen - 1


@dataclass(slots=True)
class Chain:
    """The filters of one chain; ``order`` has its prios as they rank.

    A chain lasts while it has filters, while somebody who added it has not
    deleted it, and while ``gotos`` actions lead to it.
    """

    prios: dict[int, Priority] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    explicit: bool = False
    gotos: int = 0

    @property
    def visible(self) -> bool:
        """Is it more than a place actions lead to?  Source: tcf_chain_held_by_acts_only"""
        return self.explicit or bool(self.prios)

    def auto_prio(self) -> int:
        """The prio of a filter that names none: before all from 0x8000 on.

        Source: net/sched/cls_api.c:tc_new_tfilter, tcf_auto_prio
        """
        at = bisect_left(self.order, LOWEST_AUTO_PRIO)
        return self.order[at] - 1 if at < len(self.order) else FIRST_AUTO_PRIO

    def insert(self, filter_: Filter) -> None:
        """Take a filter in, with its prio."""
        priority = self.prios.get(filter_.prio)
        if priority is None:
            priority = self.prios[filter_.prio] = Priority(filter_.protocol)
            insort(self.order, filter_.prio)
        priority.insert(filter_)

    def remove(self, filter_: Filter) -> None:
        """Let a filter go, with its prio if it was its last one."""
        priority = self.prios[filter_.prio]
        priority.remove(filter_)
        if not priority.filters:
            del self.prios[filter_.prio]
            del self.order[bisect_left(self.order, filter_.prio)]

    def __iter__(self) -> Iterator[Filter]:
        for prio in self.order:
            filters = self.prios[prio].filters
            yield from (filters[handle] for handle in sorted(filters))


class Block:
    """The chains of one point, in the order in which they were made."""

    def __init__(self) -> None:
        self.chains: dict[int, Chain] = {}

    def get(self, chain: int, prio: int, handle: int) -> Filter | None:
        """The filter of that place."""
        priority = self.priority(chain, prio)
        return None if priority is None else priority.filters.get(handle)

    def priority(self, chain: int, prio: int) -> Priority | None:
        """The filters of one prio."""
        found = self.chains.get(chain)
        return None if found is None else found.prios.get(prio)

    def auto_prio(self, chain: int) -> int:
        """The prio of a filter that names none."""
        return self.chains.get(chain, Chain()).auto_prio()

    def mask_rank(self, filter_: Filter) -> int:
        """How many masks were there before this filter's, in its prio.

        Within a prio the first-added mask wins.
        Source: net/sched/cls_flower.c:fl_mask_lookup
        """
        masks = self.chains[filter_.chain].prios[filter_.prio].masks
        return masks[filter_.match.mask].rank

    def has_mask(self, filter_: Filter) -> bool:
        """Does a filter of that prio have this filter's mask?"""
        priority = self.priority(filter_.chain, filter_.prio)
        return priority is not None and filter_.match.mask in priority.masks

    def insert(self, filter_: Filter) -> None:
        """Make a prepared filter stand."""
        self._chain(filter_.chain).insert(filter_)
        self._lead(filter_, 1)

    def replace(self, old: Filter, new: Filter) -> None:
        """Put a prepared filter in the place of another of the same mask."""
        self._lead(new, 1)
        self.chains[new.chain].prios[new.prio].replace(old, new)
        self._lead(old, -1)

    def remove(self, filter_: Filter) -> None:
        """Take a filter out, with its prio and chain if it was their last."""
        self.chains[filter_.chain].remove(filter_)
        self._lead(filter_, -1)
        self._drop_unneeded(filter_.chain)

    def add_chain(self, chain: int) -> None:
        """Keep a chain until it is deleted, with or without filters."""
        self._chain(chain).explicit = True

    def delete_chain(self, chain: int) -> None:
        """Keep a chain no longer; its filters must be gone."""
        self.chains[chain].explicit = False
        self._drop_unneeded(chain)

    def _chain(self, chain: int) -> Chain:
        return self.chains.setdefault(chain, Chain())

    def _lead(self, filter_: Filter, by: int) -> None:
        """Count where a filter's actions lead."""
        for chain in filter_.gotos:
            self._chain(chain).gotos += by
            self._drop_unneeded(chain)

    def _drop_unneeded(self, chain: int) -> None:
        found = self.chains.get(chain)
        if found is not None and not found.visible and not found.gotos:
            del self.chains[chain]

    def __iter__(self) -> Iterator[Filter]:
        """All filters, in the order in which tc lists them."""
        for chain in self.chains.values():
            yield from chain
