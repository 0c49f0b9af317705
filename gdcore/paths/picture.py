"""A path, drawn: weights against the penalty, and the loss of held-out rows with its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gdcore import drawing
from gdcore.plain import number
from gdcore.report.axes import label
from gdcore.report.labels import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gdcore._types import Array, Floats
    from gdcore.losses import Loss

_NAMED = 8  # columns whose lines have names: more would lie on each other
_GREY_FROM = 40  # columns: so many lines are told apart by nothing but thin strokes


class Drawn(Protocol):
    """What is drawn of a `gdcore.Path`."""

    @property
    def loss(self) -> Loss: ...
    @property
    def standardize(self) -> bool: ...
    @property
    def penalties(self) -> Floats: ...
    @property
    def weights(self) -> Floats: ...
    @property
    def spread(self) -> Floats: ...
    @property
    def train_loss(self) -> Floats: ...
    @property
    def cv_loss(self) -> Floats: ...
    @property
    def cv_error(self) -> Floats: ...
    @property
    def nonzero(self) -> Array: ...
    @property
    def columns(self) -> list[str] | None: ...
    @property
    def best(self) -> int: ...
    @property
    def one_standard_error(self) -> int: ...


def draw(path: Drawn, axes: tuple[Axes, Axes] | None = None) -> Any:
    """Both panels; the Axes that they are on."""
    if axes is None:
        first = drawing.axes(None)
        figure: Any = first.figure
        first.remove()
        figure.set_size_inches(11, 4.2)
        axes = figure.subplots(1, 2)
    weights(path, axes[0])
    curve(path, axes[1])
    return np.array(axes, dtype=object)


def weights(path: Drawn, ax: Axes) -> None:
    """Every column's weight, times the column's spread, so that columns of any units can be compared."""
    effects = _effects(path)
    d = effects.shape[1]
    lines = ax.plot(path.penalties, effects, linewidth=1.5 if d <= _GREY_FROM else 0.7, alpha=0.9)
    order = np.argsort(-np.abs(effects).max(axis=0), kind="stable")[:_NAMED]
    names = path.columns or [f"column {j}" for j in range(path.weights.shape[1])]
    used = [int(j) for j in order if effects[:, j].any()]
    places = _apart(effects[-1, used], 0.045 * float(np.ptp(effects) or 1.0))
    for j, place in zip(used, places, strict=True):
        text = shorten(names[j % len(names)], 18)
        ax.annotate(
            text, (path.penalties[-1], place), (4, 0), textcoords="offset points", va="center", fontsize=8,
            color=lines[j].get_color(),
        )  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.8)
    _axis(path, ax)
    ax.set_title(f"Weights of {d:,} columns" if path.weights.ndim == 2 else f"Weights of {d:,} columns and classes")
    label(ax, _units(path), "weight × its column's spread")


def _effects(path: Drawn) -> Floats:
    """(m, d), of softmax (m, k·d)."""
    whole = path.weights if path.weights.ndim == 3 else path.weights[:, :, None]
    found: Floats = (whole * path.spread[:, None]).transpose(0, 2, 1).reshape(len(whole), -1)
    return found


def _apart(values: Floats, least: float) -> Floats:
    """The values, moved so that no two are nearer to each other than that, in their order."""
    order = np.argsort(values, kind="stable")
    moved = values[order].astype(float)
    for _ in range(200):
        gaps = np.diff(moved)
        near = gaps < least * 0.999
        if not near.any():
            break
        push = np.where(near, (least - gaps) / 2, 0.0)
        moved[:-1] -= push
        moved[1:] += push
    found = np.empty(len(values))
    found[order] = moved
    return found


def curve(path: Drawn, ax: Axes) -> None:
    """The loss of held-out rows, a band of one standard error about it, and that of the rows that trained."""
    loss, error = path.cv_loss, path.cv_error
    ax.fill_between(path.penalties, loss - error, loss + error, color=drawing.BLUE, alpha=0.18, linewidth=0)
    ax.plot(path.penalties, loss, color=drawing.BLUE, linewidth=1.8, label="held-out rows ± standard error")
    ax.plot(path.penalties, path.train_loss, color=drawing.GREY, linewidth=1.4, label="rows that trained")
    for i, name, color in _choices(path):
        told = f"{name}: {number(float(path.penalties[i]), 4)}, {int(path.nonzero[i]):,} columns"
        ax.plot(path.penalties[i], loss[i], "o", color=color, label=told)
    _axis(path, ax)
    ax.set_title("Cross-validation")
    ax.legend(fontsize=8, **drawing.LEGEND)
    label(ax, _units(path), f"{path.loss.spelling} loss")


def _axis(path: Drawn, ax: Axes) -> None:
    if len(path.penalties) > 1:
        ax.set_xscale("log")
    ax.invert_xaxis()
    for i, _, color in _choices(path):
        ax.axvline(float(path.penalties[i]), color=color, linewidth=1, linestyle="--")


def _choices(path: Drawn) -> list[tuple[int, str, str]]:
    return [
        (path.best, "best", drawing.ORANGE),
        (path.one_standard_error, "one standard error", "black"),
    ]


def _units(path: Drawn) -> str:
    return "penalty, of columns in their spreads" if path.standardize else "penalty"
