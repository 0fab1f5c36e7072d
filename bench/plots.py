"""Plots as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from bench.figure import Plot, Point

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 (after the choice of a backend)

_SIZE_INCHES = (7.0, 4.2)
_FORMATS = ("png", "svg")
_DPI = 130


def draw(plot: Plot, folder: Path) -> None:
    """Write a plot in every format."""
    figure, axes = pyplot.subplots(figsize=_SIZE_INCHES, layout="constrained")
    for name, points in plot.curves.items():
        if isinstance(points[0][0], str):
            _bars(axes, points)
        else:
            style = "o-" if len(points) < 20 else "-"
            axes.plot(*zip(*points, strict=True), style, label=name, markersize=4)
    if plot.target is not None:
        axes.axhline(plot.target, color="grey", linestyle="--", label="target")
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    if plot.log_x:
        axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    for suffix in _FORMATS:
        figure.savefig(folder / f"{plot.name}.{suffix}", dpi=_DPI)
    pyplot.close(figure)


def _bars(axes: Any, points: list[Point]) -> None:
    names, heights = zip(*points, strict=True)
    axes.bar_label(axes.bar(names, heights, width=0.5), fmt="{:,.0f}")
