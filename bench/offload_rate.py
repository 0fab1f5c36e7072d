"""Offloads a second from end to end: packets in at a port, rules in the hardware tables.

vm1 sends a datagram on each of many UDP connections to vm2.  Then vm2 answers them,
as fast as the switch takes it: each answer is its connection's first eligible packet.
The clock stops when both directions of all are in hardware; whoever was not offloaded
by its first answer gets another, as it would from a peer that goes on talking.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.bed import DRIVER, PEER, Bed, bed
from bench.figure import Figure, Plot, Point, check
from bench.frames import IPPROTO_UDP, connections, is_ip, udp
from bench.wire import exchange

_DEADLINE_S = 60.0
_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Rate:
    """Offloads a second, how often all were answered, and entries over time."""

    per_s: float
    rounds: int
    progress: list[Point]


def measure(quick: bool) -> Iterator[Figure | Plot]:
    """The driver beside the Ryu app, with the same packets."""
    count = 2_000 if quick else 20_000
    with bed(DRIVER) as net:
        driver = rate(net, count)
    with bed(PEER) as net:
        peer = rate(net, count // 4)
    for name, target, met in (
        (f"offloads end to end, {count:,} UDP connections", 5.0, None),
        ("offloads end to end", 3_000.0, driver.per_s >= 3_000),
    ):
        ratio = driver.per_s / peer.per_s
        yield Figure(
            name,
            driver.per_s,
            "/s",
            f"Ryu app {peer.per_s:,.0f}" if met is None else "-",
            ratio if met is None else None,
            f">= {target:,.0f}" + ("" if met is None else "/s"),
            ratio >= target if met is None else met,
        )
    yield Plot(
        "offloads",
        "First eligible packets as fast as they go",
        "seconds",
        "connections in hardware",
        {"driver": driver.progress, "Ryu app": peer.progress},
    )


def rate(net: Bed, count: int) -> Rate:
    """Offload ``count`` connections between vm1 and vm2."""
    here, there = net.end("vm1"), net.end("vm2")
    flows = list(connections(here, there, IPPROTO_UDP, count))
    asks = [udp(here, there, flow, b"ask") for flow in flows]
    answers = [udp(there, here, flow.inverted(), b"answer") for flow in flows]
    progress: list[Point] = []
    with net.hardware() as switch, net.port("vm1") as vm1, net.port("vm2") as vm2:
        exchange(vm1, vm2, asks, wanted=is_ip)
        switch.check(0)
        began_s = looked_s = time.monotonic()

        def look() -> bool:
            nonlocal looked_s
            looked_s = time.monotonic()
            tuples = switch.tuples
            progress.append((looked_s - began_s, tuples / 2))
            return tuples == 2 * count

        rounds = 0
        while not look() and looked_s < began_s + _DEADLINE_S:
            rounds += 1
            exchange(
                vm2,
                vm1,
                answers,
                wanted=is_ip,
                between=lambda: time.monotonic() < looked_s + 20 * _POLL_S or look(),
            )
            settled_s = time.monotonic() + 1.0
            while not look() and looked_s < settled_s:
                time.sleep(_POLL_S)
        check(
            switch.tuples == 2 * count,
            f"{switch.tuples / 2:,.0f} of {count:,} in hardware",
        )
    return Rate(count / (looked_s - began_s), rounds, progress)
