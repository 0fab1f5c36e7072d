"""tc's order of filters as OpenFlow priorities.

tc orders by prio, then by when a mask was first seen; OpenFlow has 16 bits.
Filters of one mask exclude each other, but for those with ranges of ports: they
are tried as they were added.  Each (prio, mask, order) of a chain gets a label
between its neighbours', and the labels are spread anew when there is no room
between two of them.
"""

from __future__ import annotations

from bisect import bisect_left

from offload.errors import Unsupported

LOWEST = 2  # what finds no filter goes on at 1
HIGHEST = 0xFFFE
_STEP = 16

Rank = tuple[int, ...]


class Priorities:
    """The labels of one chain: earlier ranks have higher priorities."""

    def __init__(self) -> None:
        self._ranks: list[Rank] = []
        self._labels: dict[Rank, int] = {}

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
        if label is None:
            self._spread()
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
        """A free label for the rank at ``at``, near the middle if at an end."""
        above = self._labels[self._ranks[at - 1]] if at else None
        below = self._labels[self._ranks[at + 1]] if at + 1 < len(self._ranks) else None
        if above is None and below is None:
            return (LOWEST + HIGHEST) // 2
        if above is None and below is not None:
            above = min(below + 2 * _STEP, HIGHEST + 1)
        if below is None and above is not None:
            below = max(above - 2 * _STEP, LOWEST - 1)
        assert above is not None and below is not None
        return (above + below) // 2 if above - below > 1 else None

    def _spread(self) -> None:
        """Space all labels evenly."""
        ranks = len(self._ranks) + 1
        for at, rank in enumerate(self._ranks, 1):
            self._labels[rank] = HIGHEST - at * (HIGHEST - LOWEST) // ranks
