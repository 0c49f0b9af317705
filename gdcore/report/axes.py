"""What panels have in common: labels with numbers as people write them, bars, points, and axes that fit them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import drawing
from gdcore.plain import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from gdcore._types import Floats

_POINTS = 500  # more are drawn as one image, for a vector file that opens
_GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # behind numbers that a line may cross


def words(ax: Axes, title: str, text: str) -> None:
    """A panel that says why it is empty."""
    ax.set_axis_off()
    ax.set_title(title)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=11)


def label(ax: Axes, x: str, y: str) -> None:
    """What the axes are, with numbers as people write them."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    ax.set_xlabel(x)
    ax.set_ylabel(y)
    for axis in (ax.xaxis, ax.yaxis) if y else (ax.xaxis,):
        low, high = axis.get_view_interval()
        logarithmic, most = axis.get_scale() == "log", max(abs(low), abs(high))
        digits = 3 if logarithmic else 10
        if axis is ax.xaxis and axis.get_scale() == "linear":
            ax.locator_params(axis="x", nbins=6 if most < 1e5 else 4)
        if logarithmic or (1e-3 < most < 1e10 and high - low > 1e-6 * most):
            axis.set_major_formatter(FuncFormatter(lambda value, _, digits=digits: number(value, digits).replace("-", "−")))
        if logarithmic:
            axis.set_minor_formatter(NullFormatter())
    drawing.finish(ax)
    if not y:
        ax.grid(visible=False, axis="y")


def bars(ax: Axes, names: list[str], values: Floats, texts: list[str], colors: Sequence[str]) -> None:
    """Horizontal bars, the first on top, with their names and their numbers."""
    places = np.arange(len(names))
    ax.barh(places, values, color=colors, height=0.7)
    for place, value, text in zip(places, values, texts, strict=True):
        apart, side = (3, "left") if value >= 0 else (-3, "right")
        ax.annotate(
            text.replace("-", "−"), (value, place), (apart, 0), textcoords="offset points", ha=side, va="center", fontsize=8.5,
            bbox=_GROUND,
        )  # fmt: skip
    ax.set_yticks(places, names, fontsize=9)
    ax.set_ylim(max(len(names), 3) - 0.5, -0.5)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    room = 0.22 * (high - low) or 1.0  # for the numbers
    ax.set_xlim(low - (room if low < 0 else 0), high + (room if high > 0 or low == 0 else 0))
    ax.axvline(0, color="black", linewidth=0.8)


def points(m: int, color: str) -> dict[str, Any]:
    few = m <= 200
    return {
        "linestyle": "", "marker": "o", "markeredgewidth": 0, "color": color, "rasterized": m > _POINTS,
        "markersize": 5 if few else 3, "alpha": 0.7 if few else 0.4,
    }  # fmt: skip


def around(low: float, high: float) -> tuple[float, float]:
    """An axis from low to high with a margin; around one value, or around 0, it is wide enough to be read."""
    room = 0.05 * (high - low) or 0.1 * abs(low) or 1.0
    return low - room, high + room


def within(*values: Floats) -> tuple[list[Floats], str]:
    """Numbers that axes can hold, divided by a power of ten where they are past it, and the words that say so."""
    most = max(float(np.abs(part).max(initial=0.0)) for part in values)
    if most == 0 or 1e-100 < most < 1e100:
        return list(values), ""
    exponent = max(-307, math.floor(math.log10(most)))
    return [part / 10.0**exponent for part in values], f", in units of 1e{exponent}"
