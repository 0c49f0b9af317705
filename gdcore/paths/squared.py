"""Squared error with a penalty, solved for every penalty λ of a path, from second moments: no pass over rows.

In columns u = (x − μ)/σ, with σ their spreads, or 1 where columns are penalised as they lie, and with v = σ·w,

    loss = S_yy − q·v + ½·vᵀAv,   A = 2·Σ s·uᵀu/Σ s,   q = 2·Σ s·uᵀ(y − ȳ)/Σ s,
    objective = loss + λα·‖v‖₁ + λ(1 − α)/2·‖v‖²,   α the l1_ratio.

α = 0: v = (A + λ)⁻¹q for all λ from one set of eigenvectors. Else coordinate descent, each λ from the one before.

The gap is that of duality, with slopes 2c·r of the residuals r as dual numbers. With l2 = λ(1 − α) > 0, c = 1 and
g = Av − q,

    gap = Σ (l2·v − z)²/(2·l2) + l1·|v| + v·(g + z),   z = sign(−g)·(|g| − l1)₊,

and without, (1 − c)²·loss + Σ l1·|v| + c·g·v with c ≤ 1 such that c·|g| ≤ l1. To it comes what rounding may have left: of
these sums, and of predictions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.facts.lasso import lasso, solved
from gdcore.facts.metric import constant_columns

if TYPE_CHECKING:
    from gdcore._types import Floats
    from gdcore.rows.moments import Moments

_EPS = float(np.finfo(np.float64).eps)
_ROOM = 8.0  # times ε of the terms of a sum
_SWEEPS = 30


class Solved(NamedTuple):
    """The models of a path (m of them), in the data's units."""

    weights: Floats
    """(m, d)."""
    mean: Floats
    """μ (d,), beyond the origin."""
    level: float
    """ȳ, the prediction at μ, likewise."""
    origin: Floats
    """(d + 1,)."""
    loss: Floats
    """(m,) on the rows that trained, without penalties."""
    gap: Floats
    """(m,)."""

    @property
    def bias(self) -> Floats:
        """(m,)."""
        d = len(self.mean)
        found: Floats = (self.level + self.origin[d]) - self.weights @ (self.mean + self.origin[:d])
        return found

    def held_out(self, fold: Moments) -> Floats:
        """(m,) the loss on rows whose moments these are."""
        d, W = fold.columns, self.weights
        S = fold.scatter / fold.total
        off = (fold.mean[d] - self.level) - W @ (fold.mean[:d] - self.mean)
        spread = S[d, d] - 2 * (W @ S[:d, d]) + np.einsum("ij,ij->i", W @ S[:d, :d], W)
        found: Floats = off**2 + np.maximum(spread, 0.0)
        return found


class Squared:
    """The problem of some rows.

    Parameters
    ----------
    moments : Moments
        Of [X, y] − origin.
    origin : float64 array (d + 1,)
    standardize : bool
        Whether columns are penalised in units of their spreads.
    """

    def __init__(self, moments: Moments, origin: Floats, standardize: bool) -> None:
        d = self.columns = moments.columns
        self.origin = origin
        G, mean = moments.gram(True)
        self.mean = mean[:d]
        C = G[:d, :d].copy()
        constant = constant_columns(np.diag(G), mean + origin)
        still = np.flatnonzero(constant[:d])
        C[still] = C[:, still] = 0.0  # of which all is rounding
        spread = self.deviations = np.sqrt(np.maximum(np.diag(C), 0.0))
        # A constant column tells nothing, and gets no weight.
        self.scale: Floats = np.where(spread > 0, spread if standardize else 1.0, np.inf)
        self.spread = np.where(spread > 0, spread / self.scale, 0.0)
        self.level, self.variance = float(mean[d]), max(float(G[d, d]), 0.0)
        along = np.zeros(d) if constant[d] else G[:d, d]
        self.q: Floats = 2 * along / self.scale
        self.A: Floats = 2 * C / self.scale / self.scale[:, None]

    @property
    def steepest(self) -> float:
        """The largest slope of a weight where all are 0: an l1 as large keeps them there."""
        return float(np.abs(self.q).max())

    @property
    def bend(self) -> float:
        """The largest curvature of a weight."""
        return float(np.diag(self.A).max())

    def solve(self, penalties: Floats, l1_ratio: float) -> Solved:
        """The models of these penalties, decreasing ones."""
        l1, l2 = penalties * l1_ratio, penalties * (1 - l1_ratio)
        V = self._ridge(l2) if l1_ratio == 0 else self._shrunk(l1, l2)
        loss, gap = self.judged(V, l1, l2)
        return Solved(V / self.scale, self.mean, self.level, self.origin, loss, gap)

    def judged(self, V: Floats, l1: Floats, l2: Floats) -> tuple[Floats, Floats]:
        """Loss and gap (m,) of any models v (m, d), one for each of the penalties."""
        slopes = V @ self.A - self.q
        loss = np.maximum(self.variance - V @ self.q + np.einsum("ij,ij->i", V, slopes + self.q) / 2, 0.0)
        return loss, self._gap(V, slopes, loss, l1[:, None], l2[:, None])

    def _ridge(self, l2: Floats) -> Floats:
        values, vectors = np.linalg.eigh(self.A)
        bent = np.maximum(values, 0.0) + l2[:, None]
        V = (vectors.T @ self.q / bent) @ vectors.T
        left = self.q - V @ self.A - l2[:, None] * V  # digits that the eigenvectors have lost
        found: Floats = V + (left @ vectors / bent) @ vectors.T
        found[:, np.isinf(self.scale)] = 0.0
        return found

    def _shrunk(self, l1: Floats, l2: Floats) -> Floats:
        backend, v = BACKENDS["kernel"], np.zeros(self.columns)
        V, A = np.empty((len(l1), len(v))), self.A.copy()
        live = np.flatnonzero(np.isfinite(self.scale))
        for i in range(len(l1)):
            A[live, live] = self.A[live, live] + l2[i]
            backend.lasso(A, self.q, v, float(l1[i]), _SWEEPS)
            if not solved(A, self.q, v, float(l1[i])):
                lasso(A, self.q, v, float(l1[i]), backend)
            V[i] = v
        return V

    def _gap(self, V: Floats, g: Floats, loss: Floats, l1: Floats, l2: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            shrunk = np.sign(-g) * np.maximum(np.abs(g) - l1, 0.0)
            terms = np.where(l2 > 0, (l2 * V - shrunk) ** 2 / (2 * l2), 0.0) + l1 * np.abs(V) + V * (g + shrunk)
            c = np.minimum(1.0, l1[:, 0] / np.abs(g).max(axis=1))
        c = np.where((l2[:, 0] > 0) | np.isnan(c), 1.0, c)
        without = (1 - c) ** 2 * loss + np.sum(l1 * np.abs(V) + c[:, None] * g * V, axis=1)
        gap = np.maximum(np.where(l2[:, 0] > 0, terms.sum(axis=1), without), 0.0)
        sizes = np.abs(V) @ np.abs(self.A) + np.abs(self.q) + l1 + l2 * np.abs(V)
        gap += _ROOM * _EPS * np.sum(np.abs(V) * sizes, axis=1)
        W = np.abs(V / self.scale)
        d = self.columns
        size = W @ np.abs(self.mean + self.origin[:d]) + np.abs(V) @ self.spread + np.abs(self.level + self.origin[d])
        room = _ROOM * _EPS * size
        found: Floats = (np.sqrt(gap) + room) ** 2
        return found
