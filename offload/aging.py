"""Connections whose flow-table entry aged: how long conntrack is to keep them.

    entry silent for its timeout --> aged --speaks--> offered again
                                       \\--else-----> deleted when its time is up

Source: net/netfilter/nf_flow_table_core.c:flow_offload_fixup_ct
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from offload.conntrack import Direction, FlowTuple
from offload.flow_table import FlowEntry
from offload.flower import IPPROTO_TCP
from offload.profile import Profile

Key = tuple[int, FlowTuple]


@dataclass(frozen=True, slots=True)
class Aged:
    """Until when a connection is kept, and whether it had been assured."""

    expires_s: float
    assured: bool


class AgedConnections:
    """Those of one hypervisor, by zone and original tuple."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._aged: dict[Key, Aged] = {}
        self._expiring: list[tuple[float, Key]] = []

    def add(self, entry: FlowEntry, silent_s: float, now_s: float) -> None:
        """An entry is gone that was silent for so long."""
        original = entry.tuples[Direction.ORIGINAL]
        keep_s = self._kept_s(original.proto, silent_s)
        if keep_s is not None:
            key = entry.zone, original
            self._aged[key] = Aged(now_s + keep_s, entry.bidirectional)
            heapq.heappush(self._expiring, (now_s + keep_s, key))

    def pop(self, key: Key) -> Aged | None:
        """A connection spoke: what is known of it if it had aged."""
        return self._aged.pop(key, None)

    def clear(self) -> None:
        """Forget them all."""
        self._aged.clear()
        self._expiring.clear()

    def expired(self, now_s: float) -> Iterator[Key]:
        """Those whose time is up, each once."""
        while self._expiring and self._expiring[0][0] <= now_s:
            expires_s, key = heapq.heappop(self._expiring)
            aged = self._aged.get(key)
            if aged is not None and aged.expires_s == expires_s:
                del self._aged[key]
                yield key

    def remaining_s(self, key: Key, now_s: float) -> int | None:
        """How much longer one is kept; None if that is conntrack's to say."""
        aged = self._aged.get(key)
        return None if aged is None else max(int(aged.expires_s - now_s), 0)

    def _kept_s(self, proto: int, silent_s: float) -> float | None:
        profile = self._profile
        keep_s = profile.aged_tcp_s if proto == IPPROTO_TCP else profile.aged_udp_s
        if keep_s is None or not profile.aged_counts_silence:
            return keep_s
        return max(keep_s - silent_s, 0)
