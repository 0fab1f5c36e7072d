"""Small integer ids for registers of limited width."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from offload.errors import Unsupported

K = TypeVar("K", bound=Hashable)


class IdPool:
    """Ids 1..``limit``, handed out in rounds so that one rests before its reuse.

    With ``grace_s``, one that was given back is free only after that time:
    packets may still carry it.
    """

    def __init__(self, what: str, limit: int, grace_s: float = 0.0) -> None:
        self.what = what
        self.limit = limit
        self._grace_s = grace_s
        self._next = 1
        self._taken: set[int] = set()
        self._released: list[int] = []
        self._resting: deque[tuple[float, list[int]]] = deque()

    def allocate(self) -> int:
        """Take an id.  Raises Unsupported when all are taken."""
        if len(self._taken) >= self.limit:
            raise Unsupported(f"no {self.what} is free: all {self.limit} are in use")
        while self._next in self._taken or self._next > self.limit:
            self._next = self._next % self.limit + 1
        taken = self._next
        self._taken.add(taken)
        self._next = taken % self.limit + 1
        return taken

    def release(self, taken: int) -> None:
        """Give an id back."""
        if self._grace_s:
            self._released.append(taken)
        else:
            self._taken.remove(taken)

    def tick(self, now_s: float) -> None:
        """Free those whose time of grace is over; to be called every now and then.

        Source: mlx5 en/mapping.c:mapping_free_item (MAPPING_GRACE_PERIOD)
        """
        while self._resting and self._resting[0][0] <= now_s:
            self._taken.difference_update(self._resting.popleft()[1])
        if self._released:
            self._resting.append((now_s + self._grace_s, self._released))
            self._released = []

    def __len__(self) -> int:
        return len(self._taken)


class Mapping(Generic[K]):
    """An id for each key that somebody holds."""

    def __init__(self, pool: IdPool) -> None:
        self.pool = pool
        self._ids: dict[K, int] = {}
        self._holders: dict[K, int] = {}

    def hold(self, key: K) -> bool:
        """Use a key once more; is it the first use?  Raises Unsupported when full."""
        first = key not in self._ids
        if first:
            self._ids[key] = self.pool.allocate()
        self._holders[key] = self._holders.get(key, 0) + 1
        return first

    def release(self, key: K) -> bool:
        """Use a key once less; was that the last use?"""
        self._holders[key] -= 1
        if self._holders[key]:
            return False
        del self._holders[key]
        self.pool.release(self._ids.pop(key))
        return True

    def __getitem__(self, key: K) -> int:
        return self._ids[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._ids)
