"""Devices, chains and filters: what ``tc filter`` commands make of them.

    Classifier --device--> Block --chain--> prio (one protocol) --handle--> Filter

Adding is in two steps, so that a filter which cannot be realised leaves no
trace: ``prepare`` checks a request and fills in what tc leaves out, ``insert``
makes it stand.  Source: net/sched/cls_api.c, net/sched/cls_flower.c
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from offload.actions import Action, Ct
from offload.errors import KernelError
from offload.flower import Match, Shape

FIRST_AUTO_PRIO = 0xC000
LOWEST_AUTO_PRIO = 0x8000


@dataclass(frozen=True, slots=True)
class Filter:
    """A flower filter as it stands.  ``id`` is unique for the classifier's life."""

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

    @property
    def protocol(self) -> int:
        """The EtherType it is for."""
        return self.match.protocol

    @property
    def zones(self) -> tuple[int, ...]:
        """The zones of its ct actions, which hold those zones' flow tables."""
        return zones_of(self.actions)


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


Chain = dict[int, Priority]


class Block:
    """The ingress chains of one device."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.chains: dict[int, Chain] = {}

    def protocol_of(self, chain: int, prio: int) -> int | None:
        """The protocol that a prio has been given."""
        priority = self.chains.get(chain, {}).get(prio)
        return None if priority is None else priority.protocol

    def auto_prio(self, chain: int) -> int:
        """The prio of a filter that names none: before all from 0x8000 on.

        Source: net/sched/cls_api.c:tc_new_tfilter, tcf_auto_prio
        """
        prios = self.chains.get(chain, {})
        late = [prio for prio in prios if prio >= LOWEST_AUTO_PRIO]
        return min(late) - 1 if late else FIRST_AUTO_PRIO

    def mask_rank(self, filter_: Filter) -> int:
        """How many masks were there before this filter's, in its prio.

        Within a prio the first-added mask wins.
        Source: net/sched/cls_flower.c:fl_mask_lookup
        """
        masks = self.chains[filter_.chain][filter_.prio].masks
        return masks[filter_.match.mask].rank

    def has_mask(self, filter_: Filter) -> bool:
        """Does a filter of that prio have this filter's mask?"""
        priority = self.chains.get(filter_.chain, {}).get(filter_.prio)
        return priority is not None and filter_.match.mask in priority.masks

    def insert(self, filter_: Filter) -> None:
        """Make a prepared filter stand."""
        chain = self.chains.setdefault(filter_.chain, {})
        priority = chain.setdefault(filter_.prio, Priority(filter_.protocol))
        priority.insert(filter_)

    def remove(self, filter_: Filter) -> None:
        """Take a filter out, with its prio and chain if it was their last."""
        chain = self.chains[filter_.chain]
        priority = chain[filter_.prio]
        priority.remove(filter_)
        if not priority.filters:
            del chain[filter_.prio]
        if not chain:
            del self.chains[filter_.chain]

    def __iter__(self) -> Iterator[Filter]:
        """All filters, in the order in which tc lists them."""
        for _, chain in sorted(self.chains.items()):
            for _, priority in sorted(chain.items()):
                yield from (
                    priority.filters[handle] for handle in sorted(priority.filters)
                )


class Classifier:
    """The blocks of all devices, and the counters that number things."""

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}
        self._last_filter = 0
        self._last_action: dict[type, int] = {}

    def block(self, device: str) -> Block:
        """The device's ingress block."""
        return self.blocks.setdefault(device, Block(device))

    def prepare(
        self,
        device: str,
        match: Match,
        actions: tuple[Action, ...],
        *,
        chain: int = 0,
        prio: int = 0,
        handle: int = 0,
        skip_sw: bool = False,
        skip_hw: bool = False,
    ) -> Filter:
        """Check a new filter against those there are, and number it.

        ``prio`` and ``handle`` 0 ask for the next free one.  Raises KernelError.
        Source: net/sched/cls_api.c:tc_new_tfilter, cls_flower.c:fl_change
        """
        block = self.block(device)
        prio = prio or block.auto_prio(chain)
        priority = block.chains.get(chain, {}).get(prio, Priority(match.protocol))
        if priority.protocol != match.protocol:
            raise KernelError("Filter with specified priority/protocol not found")
        if handle and handle in priority.filters:
            raise KernelError("Filter already exists", "File exists")
        if match in priority.keys:
            raise KernelError(errno_text="File exists")
        self._last_filter += 1
        return Filter(
            self._last_filter,
            device,
            chain,
            prio,
            handle or priority.free_handle(),
            match,
            actions,
            skip_sw,
            skip_hw,
            tuple(self._action_index(action) for action in actions),
        )

    def select(
        self,
        device: str,
        *,
        chain: int | None = None,
        prio: int = 0,
        protocol: int | None = None,
        handle: int = 0,
    ) -> list[Filter]:
        """The filters a show or delete command means, in tc's order."""
        return [
            filter_
            for filter_ in self.block(device)
            if chain in (None, filter_.chain)
            and prio in (0, filter_.prio)
            and protocol in (None, filter_.protocol)
            and handle in (0, filter_.handle)
        ]

    def to_delete(
        self,
        device: str,
        *,
        chain: int | None = None,
        prio: int = 0,
        protocol: int | None = None,
        handle: int = 0,
    ) -> list[Filter]:
        """The filters ``tc filter del`` removes.  Raises KernelError.

        Source: net/sched/cls_api.c:tc_del_tfilter
        """
        if not prio:
            if handle or protocol is not None:
                raise KernelError(
                    "Cannot flush filters with protocol, handle or kind set",
                    "No such file or directory",
                )
            return self.select(device, chain=chain or 0)
        return self.find(device, chain or 0, prio, protocol, handle)

    def find(
        self, device: str, chain: int, prio: int, protocol: int | None, handle: int
    ) -> list[Filter]:
        """The filters of one prio, or the one of that handle.  Raises KernelError.

        Source: net/sched/cls_api.c:tc_get_tfilter
        """
        block = self.block(device)
        if chain and chain not in block.chains:
            raise KernelError("Cannot find specified filter chain")
        standing = block.protocol_of(chain, prio)
        if standing is None or protocol not in (None, standing):
            raise KernelError("Filter with specified priority/protocol not found")
        chosen = self.select(device, chain=chain, prio=prio, handle=handle)
        if not chosen:
            raise KernelError("Specified filter handle not found")
        return chosen

    def _action_index(self, action: Action) -> int:
        """Actions are numbered by kind, from 1."""
        index = self._last_action.get(type(action), 0) + 1
        self._last_action[type(action)] = index
        return index
