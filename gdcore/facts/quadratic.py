"""Squared error, solved: a quadratic in the weights, of which the moments of [X, Y] are all there is to know.

    loss(W, b) = best + ½·‖(W, b) − (W*, b*)‖²,  ‖·‖ the metric of H

From it follow: the best weights, by how much a loss exceeds the best (half the squared length of what is missing, or of
H⁻¹∇); any number of epochs in closed form; and a table of d + k + 1 rows that no full-batch epoch can tell from X and Y.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.facts.metric import Metric, covariance

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats
    from gdcore.facts.spectrum import Spectrum
    from gdcore.rows.moments import Moments
    from gdcore.rows.tables import Piece


class Quadratic:
    """mse with an l2 penalty, from the moments of [X, Y].

    Attributes
    ----------
    weights, bias : float64 arrays (d, k) and (k,) or None
        W* and b*, where the objective is smallest.
    bests : float64 array (k,)
        The objective there, of each output.
    metric : Metric
        H.
    """

    def __init__(self, moments: Moments, bias: bool, l2: float) -> None:
        d = moments.columns
        G, mean = moments.gram(bias)
        self.metric = Metric(moments, 2.0, l2, bias, "gram")
        self.columns = d
        inverse = 2 * self.metric.inverse
        self.weights: Floats = inverse @ G[:d, d:]
        # One step of refinement brings back digits that a large condition number cost.
        C, _ = covariance(moments, bias)
        self.weights += inverse @ (G[:d, d:] - C @ self.weights - l2 / 2 * self.weights)
        self.bias: Floats | None = mean[d:] - mean[:d] @ self.weights if bias else None
        # ‖Y − Ŷ‖²/n + (l2/2)·‖W‖² = tr(C_yy − 2·C_yx·W + WᵀC_xx·W) + …, no cancellation but the data's own
        residual = G[d:, d:] - self.weights.T @ G[:d, d:] - G[d:, :d] @ self.weights + self.weights.T @ C @ self.weights
        self.bests: Floats = np.maximum(np.diag(residual) + l2 / 2 * np.sum(self.weights**2, axis=0), 0.0)
        self.size = max(float(np.trace(G[d:, d:])) + float(np.sum(mean[d:] ** 2)), 0.0)  # of targets, squared

    def refine(self, fold: Callable[[Callable[..., Any]], Any], l2: float) -> None:
        """A step from the residuals of the rows themselves, less their means: digits that the second moments have lost.

        r = y − b' − (x − μ)·w,  Δw = H⁻¹(2·Σ s·(x − μ)ᵀr/Σ s − l2·w),  Δb' = Σ s·r/Σ s,  b' = b + μ·w.

        ``fold`` adds up what a function gives for each piece of the rows.
        """
        mean = self.metric.mean
        level = np.zeros(self.weights.shape[1]) if self.bias is None else self.bias + mean @ self.weights
        sums = fold(functools.partial(_residuals, mean=mean, level=level, weights=self.weights))
        k = len(level)
        total, squares, rest = float(sums[0]), sums[1 : 1 + k], sums[1 + k : 1 + 2 * k]
        slope = sums[1 + 2 * k :].reshape(self.weights.shape)
        self.bests = squares / total + l2 / 2 * np.sum(self.weights**2, axis=0)
        self.weights = self.weights + self.metric.inverse @ (2 * slope / total - l2 * self.weights)
        if self.bias is not None:
            self.bias = level + rest / total - mean @ self.weights

    @property
    def best(self) -> float:
        """The objective of all outputs at W* and b*."""
        return float(self.bests.sum())

    def of_outputs(self, outputs: list[int], weights: Floats, bias: Floats | None) -> tuple[float, Floats, Floats | None]:
        """Objective, ∇W and ∇b of some outputs, at weights of theirs."""
        away = weights - self.weights[:, outputs]
        bias_away = None if bias is None or self.bias is None else bias - self.bias[outputs]
        metric = self.metric
        gradient = metric.hessian @ away
        loss = float(self.bests[outputs].sum()) + metric.length(away, bias_away) / 2
        if bias_away is None:
            return loss, gradient, None
        along = metric.curvature * (bias_away + metric.mean @ away)
        return loss, gradient + np.outer(metric.mean, along), along

    def missing(self, weights: Array, bias: Array | None) -> tuple[Floats, Floats | None]:
        """(W, b) − (W*, b*)."""
        away = weights.astype(np.float64) - self.weights
        return away, None if bias is None or self.bias is None else bias.astype(np.float64) - self.bias

    def loss_gradient(
        self, X: object, Y: object, weights: Array, bias: Array | None, *rest: object, l1: float = 0.0, **more: object
    ) -> tuple[float, Array, Array | None]:
        """Objective and gradient H·((W, b) − (W*, b*)), as the backends give them, without X and Y."""
        outputs, b = list(range(self.weights.shape[1])), None if bias is None else bias.astype(np.float64)
        loss, gradient, bias_gradient = self.of_outputs(outputs, weights.astype(np.float64), b)
        return loss + l1 * float(np.sum(np.abs(weights))), gradient, bias_gradient

    def gap(self, weights: Array, bias: Array | None) -> float:
        """loss − best loss."""
        return self.metric.length(*self.missing(weights, bias)) / 2


def _residuals(piece: Piece, n_threads: int, *, mean: Floats, level: Floats, weights: Floats) -> Floats:
    """Σ s, Σ s·r² (k,), Σ s·r (k,), Σ s·(x − μ)ᵀr (d, k)."""
    x = piece.X.astype(np.float64, order="C") - mean  # in one memory order, for the same bits
    r = piece.Y.astype(np.float64, order="C") - level - x @ weights
    s = piece.weights
    weighted = s[:, None] * r
    sums = [[s.sum()], np.sum(weighted * r, axis=0), weighted.sum(axis=0), (x.T @ weighted).ravel()]
    return np.concatenate(sums)


def rows_like(moments: Moments, bias: bool) -> tuple[Floats, Floats]:
    """A table X (m, d), Y (m, k) with the same ZᵀZ/n, Z = [X, Y], and with a bias the same means: m = d + k (+ 1) rows.

    Every full-batch epoch of squared error is the same on it: predictions enter only by their second moments. With a bias
    the rows are the means plus √m·Q·R, R a square root of the covariance and Q (m, m − 1) columns of length 1 at right
    angles to (1, …, 1) (Helmert 1876); without one just √m·R.
    """
    G, mean = moments.gram(bias)
    root = _square_root(G)
    p = len(root)
    if bias:
        m = p + 1
        i = np.arange(1, m)
        Q = np.triu(np.ones((m, p)), 0) / np.sqrt(i * (i + 1))
        Q[i, i - 1] = -i / np.sqrt(i * (i + 1))
        table = mean + np.sqrt(m) * (Q @ root)
    else:
        table = np.sqrt(p) * root
    return np.ascontiguousarray(table[:, : moments.columns]), np.ascontiguousarray(table[:, moments.columns :])


def _square_root(G: Floats) -> Floats:
    """R with RᵀR = G."""
    scale = np.sqrt(np.diag(G))
    scale = np.where(scale > 0, scale, 1.0)
    S = G / scale / scale[:, None]
    try:
        root = np.asarray(np.linalg.cholesky(S).T, np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(S)
        root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    return root * scale


_TABLE = 256  # powers that are kept


class Epochs:
    """Epochs of gradient descent with a constant lr in closed form, from starting weights on.

    Along an eigenvector of H with eigenvalue λ, δ = (W, b) − (W*, b*) follows δ ← (1 − lr·λ)·δ, so after t epochs it is
    (1 − lr·λ)ᵗ·δ₀: a billion epochs cost what one costs. With momentum μ, u = lr·buf beside it,

        u ← μ·u + lr·λ·δ,   δ ← δ − u   (Nesterov's: δ − μ·u − lr·λ·δ of the old δ)

    is a 2 × 2 matrix for each λ, whose t-th power takes log₂ t squarings.
    """

    def __init__(self, quadratic: Quadratic, spectrum: Spectrum, lr: float, momentum: float, nesterov: bool) -> None:
        self.quadratic, self.lr, self.momentum, self.nesterov = quadratic, lr, momentum, nesterov
        values = spectrum.eigenvalues
        assert values is not None
        self.values, self.vectors = values, spectrum.decomposition[1]

    def start(self, weights: Array, bias: Array | None, buffer: Floats | None) -> tuple[Floats, Floats]:
        """δ₀ and u₀ in H's eigenvectors, (p, k); ``buffer`` as the optimizer's state keeps it."""
        away, bias_away = self.quadratic.missing(weights, bias)
        delta = away if bias_away is None else np.vstack([away, bias_away])
        u = np.zeros_like(delta)
        if buffer is not None:
            d, k = away.shape
            whole = buffer.astype(np.float64)
            parts = whole[: d * k].reshape(k, d).T
            u = self.lr * (parts if bias_away is None else np.vstack([parts, whole[d * k :]]))
        return self.vectors.T @ delta, self.vectors.T @ u

    def after(self, epochs: int, start: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """δ and u (p, k) after ``epochs`` epochs from ``start``."""
        delta, u = self._after(np.array([epochs]), start)
        return delta[0], u[0]

    def course(self, epochs: Array, start: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """The objective, best + ½·Σ λ·δ², and the gradient's norm, ‖λ·δ‖, after each of some numbers of epochs."""
        losses, norms = np.empty(len(epochs)), np.empty(len(epochs))
        step = max(1, (1 << 18) // max(1, start[0].size))
        with np.errstate(over="ignore", invalid="ignore"):
            for low in range(0, len(epochs), step):
                part = slice(low, low + step)
                delta, _ = self._after(epochs[part], start)
                slope = self.values[:, None] * delta
                losses[part] = self.quadratic.best + 0.5 * np.sum(slope * delta, axis=(1, 2))
                norms[part] = np.sqrt(np.sum(slope * slope, axis=(1, 2)))
        return losses, norms

    def _after(self, epochs: Array, start: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        delta, u = start
        step = self.lr * self.values
        t = epochs.astype(np.float64)[:, None]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            if self.momentum == 0:
                size = np.where(step < 1, np.exp(t * np.log1p(-np.minimum(step, 1))), np.abs(step - 1) ** t)
                sign = np.where((step > 1) & (t % 2 == 1), -1.0, 1.0)
                return (sign * size)[:, :, None] * delta, np.broadcast_to(u, (len(epochs), *u.shape))
            P = self._powers(epochs)
            first = P[:, 0, 0, :, None] * delta + P[:, 0, 1, :, None] * u
            return first, P[:, 1, 0, :, None] * delta + P[:, 1, 1, :, None] * u

    def _powers(self, epochs: Array) -> Floats:
        """The matrices' powers (…, 2, 2, p): Mᵗ = (M²⁵⁶)^(t // 256) · M^(t % 256), whatever epochs are asked for."""
        powers = np.empty((len(epochs), 2, 2, len(self.values)))
        known: dict[int, Floats] = {}
        for i, epoch in enumerate(epochs.tolist()):
            many, few = divmod(epoch, _TABLE)
            if many not in known:
                known[many] = _power(self._table[_TABLE], many)
            powers[i] = np.einsum("ijp,jkp->ikp", known[many], self._table[few])
        return powers

    @functools.cached_property
    def _table(self) -> Floats:
        step, mu = self.lr * self.values, self.momentum
        first = 1 - step * (1 + mu) if self.nesterov else 1 - step
        second = np.full_like(step, -mu * mu if self.nesterov else -mu)
        M = np.array([[first, second], [step, np.full_like(step, mu)]])
        table = np.empty((_TABLE + 1, *M.shape))
        table[0] = 0
        table[0, 0, 0] = table[0, 1, 1] = 1
        with np.errstate(over="ignore", invalid="ignore"):
            for i in range(_TABLE):
                table[i + 1] = np.einsum("ijp,jkp->ikp", M, table[i])
        return table

    def parameters(self, delta: Floats) -> tuple[Floats, Floats | None]:
        """W and b at δ."""
        whole = self.vectors @ delta
        d = self.quadratic.columns
        bias = None if self.quadratic.bias is None else self.quadratic.bias + whole[d]
        return self.quadratic.weights + whole[:d], bias

    def buffer(self, u: Floats) -> Floats:
        """The optimizer's state at u: buf, ordered as the backends order parameters."""
        whole = self.vectors @ u / self.lr if self.lr > 0 else np.zeros_like(u)
        d, k = self.quadratic.columns, u.shape[1]
        bias = whole[d] if len(whole) > d else np.zeros(k)
        return np.concatenate([whole[:d].T.ravel(), bias])


def _power(M: Floats, exponent: int) -> Floats:
    """M (2, 2, p) to a power, for each of the p."""
    result = np.zeros_like(M)
    result[0, 0] = result[1, 1] = 1
    while exponent:
        if exponent & 1:
            result = np.einsum("ijp,jkp->ikp", result, M)
        M = np.einsum("ijp,jkp->ikp", M, M)
        exponent >>= 1
    return result
