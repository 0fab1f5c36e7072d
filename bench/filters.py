"""Adding tc filters: the ten-thousandth beside the tenth, as ``tc -batch`` does it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from bench.bed import Bed, bed
from bench.figure import Figure, Plot, check

_BATCH = 100
_FILTER = (
    "filter add dev ens1f0_0 ingress {prio}proto ip flower dst_ip {address} action drop"
)
_KINDS = {"a prio each, chosen by tc": "", "one prio": "prio 5 "}


def measure(quick: bool) -> Iterator[Figure | Plot]:
    """Filters with prios of their own and with one prio; all of them in hardware."""
    count = 1_000 if quick else 10_000
    curves = {}
    for kind, prio in _KINDS.items():
        with bed(filters=False) as net:
            curves[kind] = points = list(_add(net, prio, count))
        times_s = [took_s for _, took_s in points]
        first, last = (statistics.median(some) for some in (times_s[:5], times_s[-5:]))
        rate = count / sum(times_s) / _BATCH
        yield Figure(
            f"tc filter add, {count:,}th ({kind})",
            last * 1e6,
            "us",
            f"the first hundreds {first * 1e6:.0f} us",
            last / first,
            "<= 1.2",
            last / first <= 1.2,
        )
        yield Figure(
            f"tc -batch, {count:,} filters ({kind})",
            rate,
            "/s",
            target=">= 1,000/s",
            met=rate >= 1_000,
        )
    yield Plot(
        "filters",
        "Adding one more tc filter",
        "filters there are",
        "microseconds",
        {kind: [(at, s * 1e6) for at, s in points] for kind, points in curves.items()},
    )


def _add(net: Bed, prio: str, count: int) -> Iterator[tuple[float, float]]:
    """(filters there are, seconds a filter) of each batch."""
    for first in range(0, count, _BATCH):
        lines = [
            _FILTER.format(
                prio=prio, address=f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
            )
            for n in range(first, first + _BATCH)
        ]
        began_s = time.monotonic()
        answer = net.ask(
            "exec", argv=["tc", "-batch", "-"], stdin="\n".join(lines) + "\n"
        )
        took_s = time.monotonic() - began_s
        check(answer["code"] == 0, str(answer["stderr"]))
        yield first, took_s / _BATCH
    status = net.ask("status")["hv1"]
    there = (status["filters"], status["filters_in_hw"])
    check(there == (count, count), f"{there} filters, not {count} in hardware")
