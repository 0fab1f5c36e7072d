"""Figures as a table and as JSON, and the machine they were measured on."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figure import Figure, Found

_HEAD = ("figure", "value", "peer", "ratio", "target", "met")


def rows(figures: list[Figure]) -> list[list[str]]:
    """The table's cells, under its head."""
    return [[*_HEAD], *(_row(figure) for figure in figures)]


def table(figures: list[Figure]) -> str:
    """All figures, one a line."""
    cells = rows(figures)
    widths = [max(len(row[at]) for row in cells) for at in range(len(_HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at in (0, 2, 5) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _row(figure: Figure) -> list[str]:
    ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}"
    met = {True: "yes", False: "NO", None: "-"}[figure.met]
    value = f"{number(figure.value)} {figure.unit}"
    return [figure.name, value, figure.peer, ratio, figure.target, met]


def number(value: float) -> str:
    """Three digits that matter, and thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write_json(path: Path, found: Found, failed: dict[str, str], quick: bool) -> None:
    """Everything, for a program."""
    report = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine(),
        "figures": [asdict(figure) for figure in found.figures],
        "plots": [asdict(plot) for plot in found.plots],
        "failed": failed,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What figures depend on."""
    said = subprocess.run(
        ["ovs-vswitchd", "--version"], capture_output=True, text=True, check=True
    )
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "ovs": said.stdout.split()[-1],
        "iperf3": shutil.which("iperf3") is not None,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
