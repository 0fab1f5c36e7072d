"""``python -m bench``: how fast a connection gets into hardware, a network up and down."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import topologies
from bench.offload_latency import Offload, measure
from topologies.two_hypervisors import TwoHypervisors

CONNECTIONS = 30
WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table; ``target`` as issue and docs state it."""

    name: str
    value: str
    peer: str
    target: str
    met: bool


def main() -> int:
    """Measure, print a table, maybe write it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    options = parser.parse_args()
    figures = list(_figures())
    _print_table(figures)
    if options.json:
        options.json.write_text(
            json.dumps([asdict(each) for each in figures], indent=2)
        )
    return 0 if all(figure.met for figure in figures) else 1


def _figures() -> list[Figure]:
    began_s = time.monotonic()
    with topologies.running(TwoHypervisors()) as net:
        up_s = time.monotonic() - began_s
        print(f"measuring {CONNECTIONS} connections ...", file=sys.stderr)
        offloads = [measure(net, 20000 + n) for n in range(CONNECTIONS + WARM_UP)]
        ended_s = time.monotonic()
    down_s = time.monotonic() - ended_s
    return [
        *_latency_figures(offloads[WARM_UP:]),
        Figure(
            "two hypervisors, until filters are in hardware",
            f"{up_s:.2f} s",
            "-",
            "5 s",
            up_s < 5,
        ),
        Figure("taking them down", f"{down_s:.2f} s", "-", "-", True),
    ]


def _latency_figures(offloads: list[Offload]) -> list[Figure]:
    latencies_ms = sorted(each.latency_s * 1e3 for each in offloads)
    peer_ms = statistics.median(each.round_trip_s * 1e3 for each in offloads)
    worst_ms = latencies_ms[-1]
    peer = f"software round trip {peer_ms:.1f} ms"
    return [
        Figure(
            f"first eligible packet to first hardware hit, {which}",
            f"{value_ms:.1f} ms",
            peer,
            "100 ms",
            value_ms < 100,
        )
        for which, value_ms in (
            ("median", statistics.median(latencies_ms)),
            (f"worst of {len(offloads)}", worst_ms),
        )
    ]


def _print_table(figures: list[Figure]) -> None:
    head = Figure("figure", "value", "peer", "target", True)
    for row in (head, *figures):
        met = "met" if row is head else ("yes" if row.met else "NO")
        print(f"{row.name:<58} {row.value:>9}  {row.peer:<29} {row.target:>7}  {met}")


if __name__ == "__main__":
    sys.exit(main())
