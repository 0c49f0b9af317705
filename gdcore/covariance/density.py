"""The density of a quantile's residuals at 0, by a kernel: Epanechnikov's, of Hall and Sheather's width."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gdcore.rows.tables import fold

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece, Table

    Rows: TypeAlias = tuple[Array | Table, Array | None, Array | None, int]
    """X, Y, sample_weight, and by how many threads they are read."""

_LEVEL = 0.05  # of the intervals whose coverage the width is best for


def at_zero(rows: Rows, loss: Loss, weights: Floats, bias: Floats | None) -> float:
    """f̂(0) of y − η.

    The width is min(sd(y), IQR(r)/1.34)·(Φ⁻¹(τ + h) − Φ⁻¹(τ − h)), h = n^(−⅓)·z^(⅔)·(1.5·φ(q)²/(2q² + 1))^(⅓), q = Φ⁻¹(τ), z
    that of 95 % intervals (Hall and Sheather 1988). A vector of n numbers is made.
    """
    X, Y, s, n_threads = rows
    parts: list[Floats] = fold(X, Y, s, functools.partial(_residuals, weights=weights, bias=bias), n_threads)
    r, y = np.concatenate(parts).T
    n, tau = len(r), 0.5 if loss.level is None else loss.level
    normal = NormalDist()
    q, z = normal.inv_cdf(tau), normal.inv_cdf(1 - _LEVEL / 2)
    h = n ** (-1 / 3) * z ** (2 / 3) * (1.5 * normal.pdf(q) ** 2 / (2 * q * q + 1)) ** (1 / 3)
    if not 0 < tau - h < tau + h < 1:
        raise ValueError(
            f"{n:,} rows are too few for the errors of a {tau:g}-quantile: a kernel of width {h:.2g} passes 0 or 1"
        )
    low, high = np.percentile(r, [25, 75])
    spread = min(float(np.std(y)), float(high - low) / 1.34)
    width = spread * (normal.inv_cdf(tau + h) - normal.inv_cdf(tau - h))
    if not width > 0:
        raise ValueError(
            "the residuals are all the same, so that their density at 0 has no bound: nothing is left to tell errors"
        )
    u = r / width
    inside = np.abs(u) <= 1
    return float(np.sum(0.75 * (1 - u[inside] ** 2))) / (n * width)


def _residuals(piece: Piece, n_threads: int, *, weights: Floats, bias: Floats | None) -> list[Floats]:
    """[(m, 2)], residuals and targets of the rows that have a weight."""
    eta = piece.X.astype(np.float64) @ weights + (0.0 if bias is None else bias)
    both = np.column_stack([piece.Y - eta, piece.Y])
    if not math.isfinite(float(both.sum())):
        raise ValueError("predictions or targets are not finite")
    return [both if piece.sample_weight is None else both[piece.sample_weight > 0]]
