"""The reference: every formula as plain NumPy, never optimised, the truth that the kernel is tested against.

Shapes, here and in the kernel: X (n, d), one row a sample; Y (n, k); weights (d, k); bias (k,) or None;
sample_weight (n,) or None, which means ones. All of one dtype, float32 or float64. A function changes only the arrays
that its docstring names. ``n_threads`` is there because the kernel has it; NumPy's BLAS decides for itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats


def read(X: Array, n_threads: int = 1) -> float:
    """Sum of all elements of X: what reading X once costs."""
    return float(X.sum())


def predict(X: Array, weights: Array, bias: Array | None, out: Array, n_threads: int = 1) -> None:
    """Forward: Ŷ (n, k) = XW + b, written to ``out``."""
    out[:] = X @ weights
    if bias is not None:
        out += bias


def _residual(X: Array, Y: Array, weights: Array, bias: Array | None) -> Array:
    out = np.empty_like(Y, shape=Y.shape)
    predict(X, weights, bias, out)
    out -= Y
    return out


def loss(
    X: Array, Y: Array, weights: Array, bias: Array | None, sample_weight: Array | None = None, n_threads: int = 1
) -> float:
    """Mean squared error: Σᵢ sᵢ Σ꜀ (Ŷ − Y)²ᵢ꜀ / Σᵢ sᵢ."""
    R = _residual(X, Y, weights, bias)
    squares = np.sum(R * R, axis=1, dtype=np.float64)
    return float(np.average(squares, weights=sample_weight))


def gradient(
    X: Array, Y: Array, weights: Array, bias: Array | None, sample_weight: Array | None = None, n_threads: int = 1
) -> tuple[Array, Array | None]:
    """∇W (d, k) = −2·Xᵀ(Y − Ŷ)/n and ∇b (k,) = −2·Σ(Y − Ŷ)/n; with sample weights −2·Xᵀ(s·(Y − Ŷ))/Σs and so on."""
    return loss_gradient(X, Y, weights, bias, sample_weight, n_threads)[1:]


def loss_gradient(
    X: Array, Y: Array, weights: Array, bias: Array | None, sample_weight: Array | None = None, n_threads: int = 1
) -> tuple[float, Array, Array | None]:
    """`loss` and `gradient` from one forward."""
    # forward   R = XW + b − Y,  loss = Σ s·R² / Σ s
    R = _residual(X, Y, weights, bias)
    squares = np.sum(R * R, axis=1, dtype=np.float64)
    value = float(np.average(squares, weights=sample_weight))
    # backward  ∂loss/∂Ŷ = 2·s·R / Σ s,  ∇W = Xᵀ·∂loss/∂Ŷ,  ∇b = Σ ∂loss/∂Ŷ
    if sample_weight is None:
        total = float(len(X))
    else:
        total = float(np.sum(sample_weight, dtype=np.float64))
        R *= sample_weight[:, None]
    grad = 2 * (X.T @ R) / X.dtype.type(total)
    bias_grad = None if bias is None else (2 * np.sum(R, axis=0, dtype=np.float64) / total).astype(X.dtype)
    return value, grad, bias_grad


def update(weights: Array, gradient: Array, lr: float, decimals: int | None = None) -> None:
    """W ← W − lr·∇W, in ``weights``; with ``decimals`` the gradient, then the result, is rounded as np.round does."""
    if decimals is None:
        weights -= lr * gradient
    else:
        weights -= lr * np.round(gradient, decimals)
        weights[:] = np.round(weights, decimals)


def descend(
    X: Array,
    Y: Array,
    weights: Array,
    bias: Array | None,
    gradient: Array,
    bias_gradient: Array | None,
    lr: float,
    epochs: int,
    history: Floats,
    done: Array,
    sample_weight: Array | None = None,
    tol: float = -1.0,
    decimals: int | None = None,
    n_threads: int = 1,
) -> str:
    """Up to ``epochs`` epochs of full-batch gradient descent: update, then forward and backward at the new weights.

    Changes, in place: ``weights``, ``bias`` and their gradients ``gradient`` and ``bias_gradient`` (always those of the
    current weights); ``history`` (3, …), one column an epoch: loss, gradient norm and seconds; ``done`` (1,), the epochs
    finished so far, which is also where in ``history`` to go on. An epoch that leaves the finite numbers, or that a
    signal interrupts, is undone. Returns "epochs", "converged" (gradient norm ≤ ``tol``) or "diverged".
    """
    for _ in range(epochs):
        began = time.perf_counter()
        weights_before = weights.copy()
        bias_before = None if bias is None else bias.copy()
        try:
            update(weights, gradient, lr, decimals)
            if bias is not None and bias_gradient is not None:
                update(bias, bias_gradient, lr, decimals)
            value, grad, bias_grad = loss_gradient(X, Y, weights, bias, sample_weight, n_threads)
            norm = np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in (grad, bias_grad) if g is not None))
        except KeyboardInterrupt:
            _restore(weights, bias, weights_before, bias_before)
            raise
        if not (np.isfinite(value) and np.isfinite(norm)):
            _restore(weights, bias, weights_before, bias_before)
            return "diverged"
        gradient[:] = grad
        if bias_gradient is not None and bias_grad is not None:
            bias_gradient[:] = bias_grad
        history[:, done[0]] = value, norm, time.perf_counter() - began
        done[0] += 1
        if norm <= tol:
            return "converged"
    return "epochs"


def _restore(weights: Array, bias: Array | None, weights_before: Array, bias_before: Array | None) -> None:
    weights[:] = weights_before
    if bias is not None and bias_before is not None:
        bias[:] = bias_before
