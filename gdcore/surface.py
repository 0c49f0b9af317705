"""The loss over two numbers as a ground on which a path is drawn: where the picture ends, and where a path leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.drawing import GREY

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from gdcore._types import Array, Floats

_GRID = 80  # losses along each side: each is a pass over the rows, but of squared error
_LOOKED_AT = 400  # steps whose loss is found out
_FOLLOWED = 25  # times the larger loss of the start and the first epoch, up to which a path is followed
_LEVELS = np.linspace(0, 1, 14)[1:] ** 2  # of the loss above the least: even steps outward where it is squared


def pair(weights: Array, bias: Array | None) -> Floats:
    """The two numbers of a model; ValueError where it has others."""
    numbers: Floats = np.append(weights, [] if bias is None else bias)
    if len(numbers) != 2:
        found = f"{weights.size} weights and {0 if bias is None else bias.size} biases"
        raise ValueError(only_pairs(found))
    return numbers


def only_pairs(found: str) -> str:
    """That a model is none whose path can be drawn."""
    return f"a path is drawn of models with one weight and a bias, or two weights and no bias; found {found}"


def ground(ax: Axes, steps: Floats, losses: Callable[[Floats], Floats]) -> int | None:
    """Draws the loss around a path, on Axes that get their limits.

    Parameters
    ----------
    ax : matplotlib Axes
    steps : float64 array (m, 2)
        The start, and where each epoch has led.
    losses : callable
        The losses (p,) of pairs of numbers (p, 2).

    Returns
    -------
    int or None
        The first step from which on the path is not followed: its loss is 25 times the larger of the start's and the first
        epoch's.
    """
    far = _leaves(steps, losses)
    low, high = window(steps[:far])
    sides = [np.linspace(low[j], high[j], _GRID) for j in (0, 1)]
    _bowl(ax, sides, losses(np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)).reshape(_GRID, _GRID))
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return far


def window(points: Floats) -> tuple[Floats, Floats]:
    """The corners of a picture that has the points well inside."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.where(high > low, 0.15 * (high - low), np.maximum(0.5 * np.abs(high), 0.5))
    return low - room, high + room


def _leaves(steps: Floats, losses: Callable[[Floats], Floats]) -> int | None:
    """The first step from which on a path is not followed; of very many, some are looked at, and then those before them."""
    highest = _FOLLOWED * losses(steps[:2]).max()
    some = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _LOOKED_AT)).astype(int))
    far = np.flatnonzero(~(losses(steps[some]) <= highest))
    if not len(far):
        return None
    between = steps[some[far[0] - 1] + 1 : some[far[0]] + 1]
    return int(some[far[0] - 1]) + 1 + int(np.argmax(~(losses(between) <= highest)))


def _bowl(ax: Axes, sides: list[Floats], surface: Floats) -> None:
    """The loss as lines of equal height, with their values, on a ground that darkens upward."""
    from matplotlib.colors import LinearSegmentedColormap

    least, most = float(surface.min()), float(surface.max())
    levels = least + (most - least) * _LEVELS
    if not (np.diff([least, *levels]) > 0).all():
        return  # it is flat
    shades = LinearSegmentedColormap.from_list("loss", ["white", "#a9c4e2"])
    ax.contourf(*sides, surface, levels=[least, *levels], cmap=shades, extend="max")
    lines = ax.contour(*sides, surface, levels=levels[:-1], colors=GREY, linewidths=0.6)
    ax.clabel(lines, list(lines.levels)[1::3], fmt="%.3g", fontsize=7)
