"""What the rows tell of a fitted model's weights: one pass, in the coordinates z = [1, x − μ], in which weights and bias part.

For a loss ℓ of η with weights of rows s, at the weights as they are:

    bread  B = Σ s·ℓ̄''·z·zᵀ,   ℓ̄'' the second derivative: as observed, or as the model expects, at y = mean(η)
    meat   M = Σ s²·ℓ'²·z·zᵀ,  or of groups Σ u·uᵀ, u = Σ s·ℓ'·z over a group's rows
    score  g = Σ s·ℓ'·z,       which is 0 at the best weights

Of classes the blocks of both are those of classes 1 … k − 1, beside class 0.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.messages import Message, Option
from gdcore.rows.tables import fold

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece, Table


_ALONE = 1e-10  # of a row's own weight in its prediction, what others leave: less is rounding


@dataclass(frozen=True)
class Sums:
    """Of some rows."""

    rows: float
    """How many have a weight."""
    total: float
    """Σ s."""
    loss: float
    """Σ s·ℓ."""
    pearson: float
    """Σ s·ℓ'²/ℓ̄'': of squared error twice the sum of squares, of amounts Pearson's statistic."""
    slopes: float
    """Σ s·ℓ'²."""
    curvatures: Floats
    """Σ s·ℓ'' and Σ s·ℓ''²."""
    targets: Floats
    """Σ s·(y − c) and Σ s·(y − c)², c as it was given, of one target."""
    least: float
    """Σ s·min ℓ."""
    base: float | None
    """Σ s of what −ℓ lacks of a log-likelihood, where that is known."""
    logs: float
    """Σ log s."""
    score: Floats
    bread: Floats
    meat: Floats

    def __add__(self, other: Sums) -> Sums:
        added: list[Any] = [
            None if mine is None else mine + more for mine, more in zip(vars(self).values(), vars(other).values(), strict=True)
        ]
        return Sums(*added)


def measured(
    X: Array | Table, Y: Array | None, s: Array | None, n_threads: int, loss: Loss, weights: Floats, bias: Floats | None,
    mean: Floats, centre: float, counts: bool, expected: bool, constant: float | None = None,
    leverage: tuple[Floats, int] | None = None, groups: tuple[Array, int] | None = None,
) -> Sums:  # fmt: skip
    """One pass.

    ``centre``: c. ``constant``: stands in the place of ℓ̄''. ``counts``: weights of rows are how often they occur.
    ``leverage``: B⁻¹ and a power m: each ℓ'² is divided by (1 − h)ᵐ, h = s·ℓ̄''·zᵀB⁻¹z. ``groups``: each row's group, by
    number, and how many there are.
    """
    place = [0]
    part = functools.partial(
        _of_piece, loss=loss, weights=weights, bias=bias, mean=mean, centre=centre, counts=counts, expected=expected,
        constant=constant, leverage=leverage, groups=groups, place=place,
    )  # fmt: skip
    found: Sums = fold(X, Y, s, part, n_threads)
    if groups is not None:
        u = found.meat
        return Sums(**{**vars(found), "meat": u.T @ u})
    return found


def _of_piece(
    piece: Piece, n_threads: int, *, loss: Loss, weights: Floats, bias: Floats | None, mean: Floats,
    centre: float, counts: bool, expected: bool, constant: float | None, leverage: tuple[Floats, int] | None,
    groups: tuple[Array, int] | None, place: list[int],
) -> Sums:  # fmt: skip
    start = place[0]
    place[0] += len(piece.X)
    s = piece.weights
    Y, z = piece.Y.astype(np.float64), np.subtract(piece.X, mean, order="C", dtype=np.float64)
    used = s > 0
    if not used.all():
        z, Y, s = z[used], Y[used], s[used]
    eta = z @ weights + (mean @ weights + (0.0 if bias is None else bias))
    if bias is not None:
        z = np.column_stack([np.ones(len(z)), z])
    value, slope = loss.value_slope(eta, Y)
    first = 1 if loss.targets == "classes" else 0
    slope = slope[:, first:]
    k, p = slope.shape[1], z.shape[1]
    second = loss.hessian(eta, loss.mean(eta) if loss.has_link and expected else Y)
    if constant is not None:
        ones = np.full(len(z), constant)
        second = lambda a, b: ones  # noqa: E731
    bread, own = np.zeros((k, p, k, p)), np.empty((len(z), k))
    for a, b in loss.pairs(eta.shape[1]):
        if a < first:
            continue
        c = s * second(a, b) * (1 if a == b else -1)
        bread[a - first, :, b - first] = (z * c[:, None]).T @ z
        bread[b - first, :, a - first] = bread[a - first, :, b - first]
        if a == b:
            own[:, a - first] = second(a, a)
    u = s[:, None] * slope
    pearson = 0.0
    if loss.numeric and not loss.kinked:
        variance = loss.second(eta, loss.mean(eta) if loss.has_link else Y)
        pearson = float(np.sum(u * slope / np.where(variance > 0, variance, np.inf)))
    if leverage is not None:
        inverse, power = leverage
        rest = 1 - s * own[:, 0] * np.einsum("ni,ij,nj->n", z, inverse, z)
        if (rest < _ALONE).any():
            what = "a row has leverage 1, as one that alone tells a weight has, and its residual tells nothing; take "
            raise ValueError(Message(what, Option("cov_type", "HC1")))
        slope = slope / np.sqrt(rest**power)[:, None]
        u = s[:, None] * slope
    if groups is None:
        v = np.sqrt(s)[:, None] * slope if counts else u
        blocks = np.zeros((k, p, k, p))
        for a in range(k):
            for b in range(k):
                blocks[a, :, b] = (z * (v[:, a] * v[:, b])[:, None]).T @ z
        meat = blocks.reshape(k * p, k * p)
    else:
        codes, count = groups
        meat = np.zeros((count, k * p))
        own_codes = codes[start : start + len(piece.X)][used]
        np.add.at(meat, own_codes, (u[:, :, None] * z[:, None, :]).reshape(len(z), k * p))
    y = Y[:, 0] - centre
    base = loss.log_base(Y)
    bent = np.zeros(len(z)) if loss.kinked or k > 1 else loss.second(eta, Y)[:, 0]
    return Sums(
        float(len(z)), float(s.sum()), float(s @ value.sum(axis=1)), pearson,
        float(np.sum(u * slope)), np.array([s @ bent, s @ bent**2]), np.array([s @ y, s @ y**2]),
        float(s @ loss.least(Y)[:, 0]), None if base is None else float(s @ base[:, 0]), float(np.log(s).sum()),
        (u.T @ z).ravel(), bread.reshape(k * p, k * p), meat,
    )  # fmt: skip
