"""The largest eigenvalue of the Hessian bound where it has too many columns to be made: Lanczos steps, each one pass."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.rows import arrays
from gdcore.rows.piecewise import loss_sums
from gdcore.rows.tables import Table, fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore import losses
    from gdcore._types import Array, Floats
    from gdcore.rows.tables import Piece

_STEPS = 40  # at most


class Top(NamedTuple):
    """The largest eigenvalue."""

    value: float
    error: float
    """What it may be more at most."""
    direction: Floats


def largest_eigenvalue(
    X: Array | Table, sample_weight: Array | None, bias: bool, loss: losses.Loss, l2: float, backend: str, n_threads: int,
    steps: int = _STEPS,
) -> Top:  # fmt: skip
    """λmax of H, a bound on its error, and its direction, by Lanczos steps of one pass each.

    H·v is the gradient of mse with targets 0 at weights v, times c/2. The bound is that of the residual, ‖Hv − θv‖, plus
    rounding: an eigenvalue lies so near θ (Parlett 1980, "The Symmetric Eigenvalue Problem"); that it is the largest one is
    certain but for a start that stands at right angles to its direction.
    """
    d = len(X.names) if isinstance(X, Table) else X.shape[1]
    times = hessian_times(X, sample_weight, bias, backend, n_threads)
    half = (loss.curvature or 0.0) / 2

    def product(v: Floats) -> Floats:
        gradient, bias_gradient = times(v[:d], float(v[d]) if bias else None)
        result = half * np.concatenate([gradient, bias_gradient])
        result[:d] += l2 * v[:d]
        return result

    return lanczos(product, d + bias, float(np.finfo(X.dtype).eps), steps)


def hessian_times(
    X: Array | Table, sample_weight: Array | None, bias: bool, backend: str, n_threads: int
) -> Callable[[Floats, float | None], tuple[Floats, Floats]]:
    """mse's Hessian times (w, b), in one pass: the gradient there of mse with targets 0."""

    def times(w: Floats, b: float | None) -> tuple[Floats, Floats]:
        weights, bias_array = w[:, None].astype(X.dtype), None if b is None else np.array([b], X.dtype)
        part = functools.partial(_without_targets, backend=backend, weights=weights, bias=bias_array)
        multiple = BACKENDS[backend].whole_rows(np.empty((1, len(w)), X.dtype), None, 1)
        sums = fold(X, None, sample_weight, part, n_threads, multiple=multiple)
        _, gradient, bias_gradient = BACKENDS[backend].settled(sums, weights, bias_array)
        both = gradient[:, 0].astype(np.float64), np.zeros(0) if bias_gradient is None else bias_gradient.astype(np.float64)
        if not (np.isfinite(both[0]).all() and np.isfinite(both[1]).all()):
            if not isinstance(X, Table):
                arrays.check_finite(X, "X")
            raise ValueError(f"the squares of X overflow {X.dtype}: scale its columns")
        return both

    return times


def _without_targets(
    piece: Piece, n_threads: int, carried: Floats | None = None, *, backend: str, weights: Array, bias: Array | None
) -> Floats:
    zeros = np.broadcast_to(np.zeros((), piece.X.dtype), (len(piece.X), 1))
    return loss_sums(piece._replace(Y=zeros), n_threads, carried, backend=backend, weights=weights, bias=bias)


def lanczos(times: Callable[[Floats], Floats], size: int, eps: float, steps: int = _STEPS) -> Top:
    """The largest eigenvalue of a symmetric matrix given by its products, a bound on its error, and its direction."""
    v = np.random.default_rng(0).normal(size=size)
    v /= np.linalg.norm(v)
    basis: list[Floats] = [v]
    alphas: list[float] = []
    betas: list[float] = []
    theta = residual = math.inf
    vector = v
    for step in range(min(steps, size)):
        product = times(basis[-1])
        alphas.append(float(product @ basis[-1]))
        for _ in range(2):  # against all: rounding brings back what was taken off once
            for q in basis:
                product = product - (product @ q) * q
        betas.append(float(np.linalg.norm(product)))
        values, vectors = np.linalg.eigh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))
        theta, coordinates = float(values[-1]), vectors[:, -1]
        residual = abs(betas[-1] * float(coordinates[-1]))
        vector = np.stack(basis, axis=1) @ coordinates
        if residual <= 1e-6 * theta or step + 1 == size or betas[-1] <= 1e-12 * theta:
            break
        basis.append(product / betas[-1])
    return Top(theta, residual + 4 * eps * theta, vector / np.linalg.norm(vector))
