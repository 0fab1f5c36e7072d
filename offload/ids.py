"""Small integer ids for registers of limited width."""

from __future__ import annotations

from offload.errors import Unsupported


class IdPool:
    """Ids 1..``limit``, handed out in rounds so that one rests before its reuse."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._next = 1
        self._taken: set[int] = set()

    def allocate(self) -> int:
        """Take an id.  Raises Unsupported when all are taken."""
        if len(self._taken) >= self._limit:
            raise Unsupported(f"no {self._what} is free: all {self._limit} are in use")
        while self._next in self._taken:
            self._next = self._next % self._limit + 1
        taken = self._next
        self._taken.add(taken)
        self._next = taken % self._limit + 1
        return taken

    def release(self, taken: int) -> None:
        """Give an id back."""
        self._taken.remove(taken)

    def __len__(self) -> int:
        return len(self._taken)
