"""Defines the style of the pages' plots, which are readable at column width and with color blindness."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito 2008
COLORS = {
    "plain": "#D55E00",
    "residual": "#0072B2",
    "highway": "#009E73",
    "bottleneck": "#CC79A7",
    "B": "#56B4E9",
    "C": "#E69F00",
    "paper": "#000000",
}
MARKERS = {"plain": "s", "residual": "o", "highway": "^", "bottleneck": "D", "B": "v", "C": "P", "paper": "*"}
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "legend.fontsize": 7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
}


def new_figure(columns: int = 1, rows: int = 1, height: float = 2.7, **kwargs) -> tuple[Figure, np.ndarray]:
    """Returns (a figure as wide as a page's text, its axes (rows, columns))."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.8 if columns > 1 else 4.6, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for each in axes.ravel():
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def label(axes: Axes, x: str, y: str, title: str = "", legend: str | None = "best", **limits) -> None:
    """Labels the axes, with units, and shows a legend at the location `legend`; None for no legend."""
    with matplotlib.rc_context(_STYLE):
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set(**limits)
        if title:
            axes.set_title(title)
        if legend:
            axes.legend(frameon=False, loc=legend)  # type: ignore[call-overload]


def legend_above(figure: Figure, columns: int) -> None:
    """Adds one legend for all axes above them, where it covers no curve; it lists each label once."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    with matplotlib.rc_context(_STYLE):
        figure.legend(list(named.values()), list(named), loc="outside upper center", ncols=columns, frameon=False)


def shades(count: int) -> list:
    """Returns colors for an ordered axis such as depth, from light to dark, distinguishable by lightness alone."""
    scale = matplotlib.colormaps["viridis_r"]
    return [scale(0.08 + 0.92 * i / max(count - 1, 1)) for i in range(count)]


def band(axes: Axes, x: Sequence[float], values: Sequence[Sequence[float]], **style) -> None:
    """Draws the median over seeds of values (seeds, points) as a line, and their range as a band."""
    if len(values) > 1:
        axes.fill_between(x, np.min(values, 0), np.max(values, 0), color=style.get("color"), alpha=0.18, linewidth=0)
    axes.plot(x, np.median(values, 0), **style)


def spread(axes: Axes, x: Sequence[float], values: Sequence[Sequence[float]], **style) -> None:
    """Draws the mean over seeds of values (points, seeds) as markers, and their range as bars."""
    means = np.array([np.mean(each) for each in values])
    bars = [means - [min(each) for each in values], [max(each) for each in values] - means]
    axes.errorbar(x, means, yerr=np.abs(bars), capsize=2, elinewidth=0.9, **style)


def png(figure: Figure) -> bytes:
    """Returns the figure as the content of a PNG file."""
    content = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(content, format="png", dpi=160)
    return content.getvalue()
