"""The metric in which data are round: H⁻¹ where gradient descent has ∇, H the Hessian of a linear model or a bound on it.

With the bias b taken at the rows' means, b' = b + μ·w, weights and bias part: H is A = c·C + l2·I for the weights, C the
rows' covariance, and c for b'. The step of both, in the user's own w and b, is

    Δw = A⁻¹(∇w − μ·∇b),   Δb = ∇b/c − μ·Δw.

"gram" inverts A, "diagonal" its diagonal alone. c is the loss's curvature bound (Böhning and Lindsay 1988).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.facts.lasso import lasso

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.backends.backend import Backend
    from gdcore.penalty import Penalty
    from gdcore.rows.moments import Moments

_EPS = float(np.finfo(np.float64).eps)
_WELL = 1e10  # below this condition an inverse is taken as it is
CLEAR = 1e4  # eigenvalues so many times above rounding are certainly not zero


class Inverse(NamedTuple):
    """A⁻¹ of a symmetric A ⪰ 0; of a singular one the inverse where it has one."""

    matrix: Floats
    condition: float
    """Of A with its diagonal scaled to 1; inf where A is singular."""
    within: float
    """The same in the directions in which A is not zero."""
    rank: int
    clear: bool
    """Whether eigenvalues that are not zero stand clear of rounding; else nothing is proved with A⁻¹."""
    null: Floats
    """(d, d − rank): directions in which A seems to be zero."""


def inverse(A: Floats) -> Inverse:
    """The inverse of a symmetric matrix that has no negative eigenvalue, scaled so that its diagonal is 1."""
    scale = np.sqrt(np.diag(A))
    scale = np.where(scale > 0, scale, 1.0)
    S = A / scale / scale[:, None]
    try:
        matrix = np.linalg.inv(S)
        condition = float(np.linalg.norm(S, 1) * np.linalg.norm(matrix, 1))
    except np.linalg.LinAlgError:
        condition = np.inf
    within = condition
    if condition < _WELL:
        rank, clear, null = len(S), True, np.empty((len(S), 0))
    else:
        values, vectors = np.linalg.eigh(S)
        zero = max(10, len(S)) * _EPS * values[-1]
        kept = values > zero
        rank, clear = int(kept.sum()), not (kept & (values < CLEAR * zero)).any()
        null = vectors[:, ~kept] / scale[:, None]
        matrix = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
        within = float(values[-1] / max(values[kept].min(initial=values[-1]), _EPS))
        condition = within if kept.all() or not clear else np.inf
    return Inverse(matrix / scale / scale[:, None], condition, within, rank, clear, null)


def constant_columns(variances: Floats, mean: Floats) -> Array:
    """Which columns hold one number: their variance is rounding.

    Differences from a shift near the mean are exact. Where all are the same their square is lost but for ε of it, and they are
    at most ε·|μ|; one row in 10⁹ that differs by ε·|μ|, the least that there is, gives a variance a thousand times larger.
    """
    return variances <= 1e-12 * (_EPS * mean) ** 2


def covariance(moments: Moments, bias: bool) -> tuple[Floats, Floats]:
    """(C, μ) of X's columns; what of a constant column's variance is rounding is 0."""
    d = moments.columns
    C, mean = moments.gram(bias)
    C, mean = (C[:d, :d] if C.ndim == 2 else C).copy(), mean[:d]
    constant = constant_columns(np.diag(C) if C.ndim == 2 else C, mean)
    C[constant] = 0
    if C.ndim == 2:
        C[:, constant] = 0
    return C, mean


class Metric:
    """H⁻¹, the same for all outputs.

    Parameters
    ----------
    moments : Moments
        Of the columns.
    curvature : float
        c.
    l2 : float
    bias : bool
    kind : {"gram", "diagonal"}
    scale : float
        Of a diagonal one: so many times the diagonal bounds H, the largest eigenvalue of the columns' correlations.
    """

    def __init__(self, moments: Moments, curvature: float, l2: float, bias: bool, kind: str, scale: float = 1.0) -> None:
        self.bias, self.kind, self.curvature = bias, kind, curvature
        C, self.mean = covariance(moments, bias)
        A = curvature * C + (l2 if C.ndim == 1 else l2 * np.eye(len(C)))
        self.condition, self.within, self.clear, self.null = 1.0, 1.0, True, np.empty((moments.columns, 0))
        if kind == "gram":
            self.hessian = A
            self.inverse, self.condition, self.within, _, self.clear, self.null = inverse(A)
        else:
            self.hessian = scale * (A if A.ndim == 1 else np.diag(A))
            self.inverse = np.divide(1, self.hessian, out=np.zeros_like(self.hessian), where=self.hessian > 0)

    def step(self, gradient: Array, bias_gradient: Array | None) -> tuple[Floats, Floats | None]:
        """H⁻¹∇: ∇w (d, k) and ∇b (k,) or None → Δw and Δb, float64."""
        g = gradient.astype(np.float64)
        if bias_gradient is None:
            return self._times(g), None
        gb = bias_gradient.astype(np.float64)
        along = self._times(self.about_means(g, gb))
        return along, gb / self.curvature - (self.mean[:, None] * along).sum(axis=0)

    def about_means(self, gradient: Floats, bias_gradient: Array) -> Floats:
        """∇w − μ·∇b (d, k), the gradient of the weights where the bias is taken at the rows' means."""
        return gradient - self.mean[:, None] * bias_gradient

    def _times(self, g: Floats) -> Floats:
        return self.inverse[:, None] * g if self.kind == "diagonal" else self.inverse @ g

    def prox(
        self, at: Floats, bias: Floats | None, lr: float, penalty: Penalty, backend: Backend
    ) -> tuple[Floats, Floats | None]:
        """The proximal step of lr·l1·‖W‖₁ and the bounds in this metric: min ½·‖W − at‖² + lr·l1·‖W‖₁, the bias following."""
        if not penalty.kinked:
            return at, bias
        A, l1, box = self.hessian, penalty.l1, penalty.box
        new = at.copy()
        for c in range(at.shape[1]):
            if self.kind == "diagonal":
                if l1 > 0:
                    threshold = lr * l1 * self.inverse
                    new[:, c] = np.where(A > 0, np.sign(at[:, c]) * np.maximum(np.abs(at[:, c]) - threshold, 0), 0)
                new[:, c] = box.clip(new[:, c])
            else:
                w = box.clip(at[:, c]).copy()
                lasso(A, A @ at[:, c], w, lr * l1, backend, box)
                new[:, c] = w
        if bias is not None:
            # b' = b + μ·w is free, and stays
            bias = bias - (self.mean[:, None] * (new - at)).sum(axis=0)
        return new, bias

    def length(self, weights: Floats, bias: Floats | None) -> float:
        """‖(w, b)‖² = wᵀAw + c·(b + μ·w)²."""
        total = 0.0
        for c in range(weights.shape[1]):
            w = weights[:, c]
            total += float(w @ (self.hessian * w if self.kind == "diagonal" else self.hessian @ w))
            if bias is not None:
                total += float(self.curvature * (bias[c] + self.mean @ w) ** 2)
        return total


class Identity:
    """The metric of plain gradient descent."""

    def prox(
        self, at: Floats, bias: Floats | None, lr: float, penalty: Penalty, backend: Backend
    ) -> tuple[Floats, Floats | None]:
        """Every weight moves lr·l1 towards 0 and stops there; and stays within its bounds."""
        l1 = penalty.l1
        return penalty.box.clip(np.sign(at) * np.maximum(np.abs(at) - lr * l1, 0) if l1 > 0 else at), bias

    def step(self, gradient: Array, bias_gradient: Array | None) -> tuple[Floats, Floats | None]:
        """∇ itself."""
        return gradient.astype(np.float64), None if bias_gradient is None else bias_gradient.astype(np.float64)
