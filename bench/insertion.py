"""Rules a second into hardware: the driver, a blast of the same bytes, and a Ryu app.

All end with a barrier's answer, and the rules are then counted in the switch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

from bench.bed import PEER, Bed, Hardware, bed
from bench.figure import Figure, Plot, Point
from bench.frames import IPPROTO_TCP, connections
from controller.openflow import encode, messages
from controller.rules import AddEntry, Message, Owner
from offload.flow_table import FlowEntry

_RULES = 3  # a connection: its two tuples, and its age
_IDLE_S = 3600
_BLAST_EPOCH = 99
_CHUNK_BYTES = 1 << 16


def measure(quick: bool) -> Iterator[Figure | Plot]:
    """Insert the same connections in three ways."""
    count, rounds = (5_000, 1) if quick else (50_000, 3)
    blasts, drivers = [], []
    with bed(tcp_timeout_s=_IDLE_S) as net, net.hardware() as switch:
        packed = _packed(net, count)
        for _ in range(rounds):
            blasts.append(count * _RULES / _blast(switch, packed, count))
            drivers.append(count * _RULES / _driver(net, switch, count))
    blast, driver = statistics.median(blasts), statistics.median(drivers)
    few = count // 25 if quick else count // 10
    with bed(PEER) as net, net.hardware() as switch:
        app = few * _RULES / _app(net, switch, few)
    yield Figure(
        f"insertion, {count:,} connections",
        driver,
        "rules/s",
        f"packed blast {blast:,.0f}",
        driver / blast,
        ">= 0.7",
        driver / blast >= 0.7,
    )
    yield Figure(
        "insertion",
        driver,
        "rules/s",
        f"Ryu app {app:,.0f}",
        driver / app,
        ">= 10",
        driver / app >= 10,
    )
    bars: list[Point] = [
        ("packed blast", blast),
        ("driver", driver),
        ("Ryu app", app),
    ]
    yield Plot(
        "insertion",
        "Rules into the switch",
        "",
        "rules a second",
        {"": bars},
    )


def _packed(net: Bed, count: int) -> bytes:
    """What the driver would send for these connections, made beforehand."""
    flows = connections(net.end("vm1"), net.end("vm2"), IPPROTO_TCP, count)
    rules: list[Message] = [
        AddEntry(rule, _IDLE_S)
        for number, flow in enumerate(flows, 1)
        for rule in FlowEntry(number, 0, 0, 0, (flow, flow.inverted())).rules
    ]
    return messages.encoded(_BLAST_EPOCH, rules)


def _blast(switch: Hardware, packed: bytes, count: int) -> float:
    """Send the bytes; seconds until the switch has done it."""
    began_s = time.monotonic()
    for at in range(0, len(packed), _CHUNK_BYTES):
        switch.send(packed[at : at + _CHUNK_BYTES])
    switch.barrier()
    took_s = time.monotonic() - began_s
    switch.check(count)
    owned = encode.cookie(_BLAST_EPOCH, Owner.ENTRY, 0)
    mask = encode.EPOCH_MASK | encode.OWNER_MASK
    switch.send(encode.delete_by_cookie(owned, mask))
    switch.barrier()
    switch.check(0)
    return took_s


def _driver(net: Bed, switch: Hardware, count: int) -> float:
    """Have the driver offload connections that conntrack has."""
    _ask(net, "bench_track", count)
    took_s: float = _ask(net, "bench_offload", count)["wall_s"]
    switch.check(count)
    net["hv1"].must("conntrack", "-F")
    switch.wait_for(0)
    return took_s


def _app(net: Bed, switch: Hardware, count: int) -> float:
    took_s: float = _ask(net, "bench_offload", count)["wall_s"]
    switch.check(count)
    return took_s


def _ask(net: Bed, op: str, count: int) -> dict[str, Any]:
    ends = [net.end(name).address.hex() for name in ("vm1", "vm2")]
    return net.ask(op, ends=ends, proto=IPPROTO_TCP, count=count)
