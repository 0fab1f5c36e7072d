"""tc's order of filters as OpenFlow priorities.

tc orders by prio, then by when a mask was first seen; OpenFlow has 16 bits.
Filters of one mask exclude each other, but for those with ranges of ports: they
are tried as they were added.  Each (prio, mask, order) of a chain gets a label
between its neighbours'.  Where there is no room between two, all labels are spread
anew, with half of the free ones left at that place: filters come in sequences (tc's
own prios descend), and many more come before a long chain is spread again.
"""

from __future__ import annotations

from bisect import bisect_left

from offload.errors import Unsupported

LOWEST = 2  # what finds no filter goes on at 1
HIGHEST = 0xFFFE
_STEP = 16
_STEPS = 4096  # of a sequence, at least, before its room is used up

Rank = tuple[int, ...]


class Priorities:
    """The labels of one chain: earlier ranks have higher priorities."""

    def __init__(self) -> None:
        self._ranks: list[Rank] = []
        self._labels: dict[Rank, int] = {}
        self._last: Rank | None = None

    def of(self, rank: Rank) -> int:
        """The OpenFlow priority of a rank that has one."""
        return self._labels[rank]

    def add(self, rank: Rank) -> bool:
        """Give a rank a priority; True if the others were given new ones."""
        if rank in self._labels:
            return False
        if len(self._ranks) >= HIGHEST - LOWEST:
            raise Unsupported(f"a chain holds at most {HIGHEST - LOWEST} priorities")
        at = bisect_left(self._ranks, rank)
        self._ranks.insert(at, rank)
        label = self._between(at)
        self._last = rank
        if label is None:
            self._spread(at)
            return True
        self._labels[rank] = label
        return False

    def remove(self, rank: Rank) -> None:
        """Forget a rank no filter has any more."""
        if self._labels.pop(rank, None) is not None:
            del self._ranks[bisect_left(self._ranks, rank)]

    def __len__(self) -> int:
        return len(self._ranks)

    def _between(self, at: int) -> int | None:
        """A free label for the rank at ``at``: next to the one it follows, or midway."""
        before = self._ranks[at - 1] if at else None
        after = self._ranks[at + 1] if at + 1 < len(self._ranks) else None
        above = HIGHEST + 1 if before is None else self._labels[before]
        below = LOWEST - 1 if after is None else self._labels[after]
        room = above - below - 1
        if not room:
            return None
        step = max(1, min(_STEP, room // _STEPS))
        if before is not None and (after is None or before == self._last):
            return above - step
        if after is not None and (before is None or after == self._last):
            return below + step
        return (above + below) // 2

    def _spread(self, at: int) -> None:
        """Space all labels evenly, in half of the room; the rest is around ``at``."""
        free = HIGHEST - LOWEST + 1 - len(self._ranks)
        beside, between = free // 4, free // 2 // (len(self._ranks) + 1)
        label = HIGHEST + 1
        for place, rank in enumerate(self._ranks):
            label -= 1 + between + (beside if place in (at, at + 1) else 0)
            self._labels[rank] = label
