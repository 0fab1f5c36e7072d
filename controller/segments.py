"""Where the verb ``continue`` cuts a chain.

A packet that continues goes on behind the prio that told it so.  OpenFlow has
no such thing as a look-up that starts at a priority, so a chain is cut behind
each prio that has such a filter, and a register says which segment is asked:

    prio 1, prio 2 (continue) | prio 3, prio 4 (continue) | prio 5 ...
    segment 0                   segment 1                   segment 2

What finds nothing in a segment, or continues, goes on in the next one.
"""

from __future__ import annotations

from collections import Counter

from offload.actions import Verb, as_run
from offload.cls_api import Filter
from offload.errors import Unsupported

MAX_CUTS = 32  # OVS goes 64 tables deep


class Segments:
    """The cuts of one chain."""

    def __init__(self) -> None:
        self._filters: Counter[int] = Counter()

    def cut(self, prio: int) -> bool:
        """Cut behind a prio; True if that is new.  Raises Unsupported."""
        if prio not in self._filters and len(self._filters) == MAX_CUTS:
            raise Unsupported(f"continue: at most {MAX_CUTS} prios of a chain have it")
        self._filters[prio] += 1
        return self._filters[prio] == 1

    def uncut(self, prio: int) -> bool:
        """One filter less continues there; True if the cut went with it."""
        self._filters[prio] -= 1
        if self._filters[prio]:
            return False
        del self._filters[prio]
        return True

    def of(self, prio: int) -> int:
        """The segment that a prio is in."""
        return sum(cut < prio for cut in self._filters)

    def __len__(self) -> int:
        """How many cuts there are: one less than segments."""
        return len(self._filters)


def continues(filter_: Filter) -> bool:
    """Do a filter's actions end in ``continue``?"""
    run = as_run(filter_.actions)
    return bool(run) and run[-1].control.verb is Verb.CONTINUE
