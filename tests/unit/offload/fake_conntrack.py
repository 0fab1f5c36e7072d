"""What act_ct asks of the switch, remembered."""

from __future__ import annotations

from offload.conntrack import Direction, FlowTuple
from offload.errors import Unsupported
from offload.flow_table import Command, FlowEntry, FlowEvent, Taken


class FakeConntrack:
    """``calls`` is everything asked; ``watched`` the entries in software."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, FlowTuple]] = []
        self.watched: set[int] = set()
        self.watches: list[bool] = []  # was each established?

    def delete(self, zone: int, original: FlowTuple) -> None:
        self.calls.append(("delete", zone, original))

    def offer_again(self, zone: int, original: FlowTuple) -> None:
        self.calls.append(("offer again", zone, original))

    def watch(self, entry: FlowEntry) -> None:
        assert entry.id not in self.watched
        self.watched.add(entry.id)
        self.watches.append(entry.established)

    def unwatch(self, entry: FlowEntry) -> None:
        self.watched.remove(entry.id)


class FakeDriver:
    """A callback; ``held`` is what its hardware holds, ``room`` for how many."""

    def __init__(self, room: int = 1000) -> None:
        self.held: set[tuple[int, Direction]] = set()
        self._room = room

    def __call__(self, event: FlowEvent) -> Taken:
        key = event.rule.entry_id, event.rule.direction
        if event.command is Command.DESTROY:
            self.held.discard(key)
        elif event.command is Command.REPLACE:
            if len(self.held) >= self._room:
                raise Unsupported("no room")
            self.held.add(key)
        return Taken.NOW
