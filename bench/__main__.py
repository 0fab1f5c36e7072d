"""``python -m bench``: how fast the driver is, beside its peers, and whether it stays so."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench import (
    filters,
    growth,
    insertion,
    latency,
    offload_rate,
    plots,
    report,
    short_connections,
    startup,
    throughput,
)
from bench.figure import Benchmark, Failed, Figure, Found, Plot
from bench.wire import FrameLost
from topologies.errors import TopologyError

BENCHMARKS: dict[str, Benchmark] = {
    "insertion": insertion.measure,
    "offloads": offload_rate.measure,
    "latency": latency.measure,
    "throughput": throughput.measure,
    "short": short_connections.measure,
    "growth": growth.measure,
    "filters": filters.measure,
    "startup": startup.measure,
}
_RESULTS = Path("results")


def main() -> int:
    """Measure, print the table, write JSON and plots; 1 if a target was missed."""
    options = _options()
    options.results.mkdir(parents=True, exist_ok=True)
    found, failed = Found(), {}
    for name in options.only or BENCHMARKS:
        began_s = time.monotonic()
        try:
            _collect(BENCHMARKS[name], options.quick, found)
        except (Failed, FrameLost, TopologyError) as error:
            failed[name] = str(error)
        took_s = time.monotonic() - began_s
        print(f"bench: {name}: {took_s:.0f} s", file=sys.stderr, flush=True)
    print(report.table(found.figures))
    for name, reason in failed.items():
        print(f"bench: {name} failed: {reason}", file=sys.stderr)
    report.write_json(options.results / "bench.json", found, failed, options.quick)
    for plot in found.plots:
        plots.draw(plot, options.results)
    print(f"bench: JSON and plots are in {options.results}/", file=sys.stderr)
    missed = any(figure.met is False for figure in found.figures)
    return 1 if failed or missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="docs/performance.md explains each figure.",
    )
    parser.add_argument(
        "only",
        nargs="*",
        metavar="NAME",
        help=f"measure only these: {', '.join(BENCHMARKS)}",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small and short, to see that it runs: the figures mean little",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=_RESULTS,
        metavar="DIR",
        help="where JSON and plots go (default: %(default)s)",
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.only) - set(BENCHMARKS)):
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    return options


def _collect(benchmark: Benchmark, quick: bool, found: Found) -> None:
    for each in benchmark(quick):
        if isinstance(each, Figure):
            found.figures.append(each)
            print(report.table([each]).splitlines()[-1], file=sys.stderr, flush=True)
        else:
            assert isinstance(each, Plot)
            found.plots.append(each)


if __name__ == "__main__":
    sys.exit(main())
