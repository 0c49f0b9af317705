"""The reference: every formula as plain NumPy, never optimised, the truth that the kernel is tested against.

Shapes, here and in the kernel: X (n, d), one row a sample; Y (n, k), for softmax (n, 1) classes; weights (d, k); bias (k,)
or None; sample_weight s (n,) or None, which means ones. All of one dtype, float32 or float64. A function changes only the
arrays that its docstring names. ``n_threads`` is there because the kernel has it; NumPy's BLAS decides for itself.

The objective is Σ sᵢℓᵢ / Σ sᵢ + (l2/2)·‖W‖² + l1·‖W‖₁, with ``loss`` naming ℓ and ``parameter`` its δ or τ. ``bounds`` are
low and high (d,) of every column's weights, float64, ±∞ where there is none; None where there are none at all. An optimizer is
its name and its parameters by name; what it remembers is ``state``, rows over all parameters: W transposed and raveled,
then b. The formulas of the losses and the optimizers stand in their classes, `gdcore.losses` and `gdcore.optimizers`; one that
the kernel does not know comes here as itself instead of its name.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.backends import loops
from gdcore.losses import LOSSES, PARAMETERS
from gdcore.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.optimizers.base import Rule

    Ends = tuple[Floats, Floats]

_LONG = 1024  # columns of a row whose products may be summed in X's dtype, as in the kernel
_PANEL = 128  # rows that the kernel's second moments go by

PLAIN: dict[str, Any] = {"momentum": 0.0, "nesterov": False}


def read(X: Array, n_threads: int = 1) -> float:
    """Sum of all elements of X: what reading X once costs."""
    return float(X.sum())


def predict(X: Array, weights: Array, bias: Array | None, out: Array, n_threads: int = 1) -> None:
    """Forward: Ŷ (n, k) = XW + b, written to ``out``. Rows longer than 1,024 are summed in float64."""
    parts = [X[:, j : j + _LONG] @ weights[j : j + _LONG] for j in range(0, X.shape[1], _LONG)]
    out[:] = parts[0] if len(parts) == 1 else np.sum(parts, axis=0, dtype=np.float64)
    if bias is not None:
        out += bias


def moments(
    X: Array,
    Y: Array | None,
    sample_weight: Array | None,
    shift: Floats,
    n_threads: int = 1,
    carried: Floats | None = None,
) -> Floats:
    """Of the rows z = [x, y] − shift, in one array: the largest ‖x‖² with s > 0, Σ s, Σ s·z (p,), Σ s·z·zᵀ (p, p).

    Of the last the upper triangle counts. ``carried`` is what this gave for the rows before these. In blocks of rows, whose
    copies BLAS multiplies.
    """
    p = len(shift)
    out = np.zeros(2 + p + p * p) if carried is None else carried.copy()
    step = whole_rows(X, Y, moments=True)
    for low in range(0, len(X), step):
        rows = slice(low, low + step)
        # In one memory order: NumPy and BLAS add up the rows of another in another order.
        z = np.empty((len(X[rows]), p))
        z[:, : X.shape[1]] = X[rows]
        lengths = np.einsum("ij,ij->i", z[:, : X.shape[1]], z[:, : X.shape[1]])
        if Y is not None:
            z[:, X.shape[1] :] = Y[rows]
        z -= shift
        s = np.ones(len(z)) if sample_weight is None else sample_weight[rows].astype(np.float64)
        lengths = lengths[s > 0]
        out[0] = max(out[0], float(lengths.max())) if len(lengths) else out[0]
        out[1] += float(s.sum())
        out[2 : 2 + p] += s @ z
        z *= np.sqrt(s)[:, None]
        out[2 + p :] += (z.T @ z).ravel()
    return out


def whole_rows(X: Array, Y: Array | None = None, outputs: int = 1, moments: bool = False) -> int:
    """A table may come in pieces of a multiple of so many rows: its sums are then, to the bit, those of all rows at once."""
    many = (1 << 20) // int(X.shape[1] + (0 if Y is None else Y.shape[1]))
    return max(1, many // _PANEL) * _PANEL


# ------------------------------------------------------------------------------------------------------------- the losses


def _known(loss: str | Loss, parameter: float) -> Loss:
    """The loss of that name, with its parameter where it has one; or the loss itself, which brings its own."""
    if not isinstance(loss, str):
        return loss
    return LOSSES[loss](parameter) if loss in PARAMETERS else LOSSES[loss]()


def permutation(out: Array, seed: int, epoch: int) -> None:
    """Writes to ``out`` (n,) the order in which an epoch visits the rows: Fisher and Yates's shuffle.

    Its random numbers are those of splitmix64 (Steele, Lea and Flood 2014), begun anew from the seed and the epoch, so that
    a resumed run needs no generator's state.
    """
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 & mask) ^ epoch
    order = list(range(len(out)))
    for i in range(len(out) - 1, 0, -1):
        z = z + 0x9E3779B97F4A7C15 & mask
        r = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        r = (r ^ r >> 27) * 0x94D049BB133111EB & mask
        j = (r ^ r >> 31) % (i + 1)
        order[i], order[j] = order[j], order[i]
    out[:] = order


def derivatives_of(
    raw: Array,
    Y: Array,
    sample_weight: Array | None,
    out: Array,
    loss: str | Loss = "mse",
    parameter: float = 0.0,
    smoothing: float = 0.0,
) -> tuple[float, float]:
    """Of predictions as they stand: writes s·∂ℓ/∂ŷ to ``out``, returns Σ s·ℓ and Σ s.

    Transposed, unlike elsewhere: raw and out (k, n), Y (k, n) or (1, n) classes. A row with s = 0 counts nothing, whatever
    overflows in it.
    """
    chosen, s = _known(loss, parameter), np.ones(raw.shape[1], raw.dtype) if sample_weight is None else sample_weight
    nothing = s == 0
    if nothing.any():
        raw = np.where(nothing, 0, raw)
        Y = Y if chosen.targets == "classes" else np.where(nothing, 0, Y)
    value, slope = chosen.value_slope(raw.T, Y.T)
    if value.ndim != 2 or len(value) != raw.shape[1] or slope.shape != raw.T.shape:
        raise ValueError(
            f"value_slope of the loss {chosen.name} gave losses of shape {value.shape} and slopes of shape {slope.shape}: "
            f"both must have the predictions' shape {raw.T.shape}"
        )
    if smoothing > 0 and chosen.jump > 0:
        slope = chosen.smooth_slope(raw.T, Y.T, smoothing)
    out[:] = (s[:, None] * slope).T
    return float(np.sum(s * value.sum(axis=1, dtype=np.float64))), float(np.sum(s, dtype=np.float64))


# ------------------------------------------------------------------------------------------------ the objective, one batch


def loss(
    X: Array,
    Y: Array,
    weights: Array,
    bias: Array | None,
    sample_weight: Array | None = None,
    n_threads: int = 1,
    loss: str | Loss = "mse",
    parameter: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
) -> float:
    """The objective: for mse without penalties ‖Y − Ŷ‖²/n."""
    return loss_gradient(X, Y, weights, bias, sample_weight, n_threads, loss, parameter, l1, l2)[0]


def gradient(
    X: Array,
    Y: Array,
    weights: Array,
    bias: Array | None,
    sample_weight: Array | None = None,
    n_threads: int = 1,
    loss: str | Loss = "mse",
    parameter: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
) -> tuple[Array, Array | None]:
    """∇W (d, k) and ∇b (k,) or None, of the objective without its l1 term: for mse −2·Xᵀ(Y − Ŷ)/n and −2·Σ(Y − Ŷ)/n."""
    return loss_gradient(X, Y, weights, bias, sample_weight, n_threads, loss, parameter, l1, l2)[1:]


def loss_gradient(
    X: Array,
    Y: Array,
    weights: Array,
    bias: Array | None,
    sample_weight: Array | None = None,
    n_threads: int = 1,
    loss: str | Loss = "mse",
    parameter: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    smoothing: float = 0.0,
) -> tuple[float, Array, Array | None]:
    """`loss` and `gradient` from one forward; ``smoothing`` is the width h over which slopes of mae and quantile change."""
    return settled(partial(X, Y, weights, bias, sample_weight, n_threads, loss, parameter, smoothing), weights, bias, l1, l2)


def partial(
    X: Array,
    Y: Array,
    weights: Array,
    bias: Array | None,
    sample_weight: Array | None = None,
    n_threads: int = 1,
    loss: str | Loss = "mse",
    parameter: float = 0.0,
    smoothing: float = 0.0,
    carried: Floats | None = None,
) -> Floats:
    """The sums of some of a table's rows, in one array: Σ s·ℓ, Σ s, Σ s·∂ℓ/∂ŷ (k,), (Xᵀ·s·∂ℓ/∂Ŷ)ᵀ (k, d).

    ``carried`` is what this gave for the rows before these.
    """
    # forward   Ŷ = XW + b,  loss = Σ s·ℓ / Σ s + (l2/2)·‖W‖² + l1·‖W‖₁
    raw = np.empty((len(X), weights.shape[1]), X.dtype)
    predict(X, weights, bias, raw)
    slope = np.empty_like(raw)
    value, total = derivatives_of(raw.T, Y.T, sample_weight, slope.T, loss, parameter, smoothing)
    # backward  ∇W = Xᵀ·(s·∂ℓ/∂Ŷ) / Σ s + l2·W,  ∇b = Σ s·∂ℓ/∂Ŷ / Σ s
    sums = np.concatenate([[value, total], np.sum(slope, axis=0, dtype=np.float64), (X.T @ slope).T.ravel()])
    return sums if carried is None else carried + sums


def settled(
    sums: Floats, weights: Array, bias: Array | None, l1: float = 0.0, l2: float = 0.0
) -> tuple[float, Array, Array | None]:
    """Objective, ∇W (d, k) and ∇b (k,) from `partial`'s sums over all rows: means, and the penalties."""
    total, (d, k) = sums[1], weights.shape
    value = float(sums[0] / total + _penalties(weights, l1, l2))
    grad = sums[2 + k :].reshape(k, d).T / total + l2 * weights
    return (
        value,
        np.ascontiguousarray(grad, weights.dtype),
        None if bias is None else (sums[2 : 2 + k] / total).astype(weights.dtype),
    )


def _penalties(weights: Array, l1: float, l2: float) -> float:
    """(l2/2)·‖W‖² + l1·‖W‖₁."""
    w = weights.astype(np.float64)
    return float(l2 / 2 * np.sum(w * w) + l1 * np.sum(np.abs(w)))


def gradient_norm(
    weights: Array, gradient: Array, bias_gradient: Array | None, l1: float = 0.0, bounds: Ends | None = None
) -> float:
    """Norm of the gradient; with an l1 term, of the smallest subgradient: g + l1·sign(w), or g shrunk by l1 where w = 0.

    On one of its bounds, of which there are two numbers a column, a weight has no slope that would take it across.
    """
    g = gradient.astype(np.float64)
    if l1 > 0:
        g = np.where(weights == 0, np.sign(g) * np.maximum(np.abs(g) - l1, 0), g + l1 * np.sign(weights))
    if bounds is not None:
        low, high = (end[:, None] for end in bounds)
        # l1's slope is that of the side to which the weight can go
        up = gradient + l1 * np.where(weights < 0, -1, 1)
        down = gradient + l1 * np.where(weights > 0, 1, -1)
        g = np.where(weights <= low, np.where(weights >= high, 0.0, np.minimum(up, 0)), g)
        g = np.where((weights >= high) & (weights > low), np.maximum(down, 0), g)
    squares = np.sum(g * g) + (0 if bias_gradient is None else np.sum(bias_gradient.astype(np.float64) ** 2))
    return float(np.sqrt(squares))


def lasso(
    A: Floats, q: Floats, w: Floats, l1: float, sweeps: int = 1000, tol: float = 1e-14, bounds: Ends | None = None
) -> None:
    """Minimises ½·wᵀAw − q·w + l1·‖w‖₁ from w (d,) on, in place, by coordinate descent; A (d, d) symmetric, ⪰ 0.

    ``bounds``: among the weights between them. The proximal step of l1 and bounds in A's metric. Ends when no step of
    a sweep is longer than ``tol`` times the longest coordinate.
    """
    for _ in range(sweeps):
        moved = size = 0.0
        for j in range(len(w)):
            if A[j, j] <= 0:
                continue
            # minimise over w_j alone: soft threshold of what the others leave, within the bounds
            old, v = w[j], q[j] - A[j] @ w + A[j, j] * w[j]
            w[j] = np.sign(v) * max(abs(v) - l1, 0) / A[j, j]
            if bounds is not None:
                w[j] = np.clip(w[j], bounds[0][j], bounds[1][j])
            moved, size = max(moved, A[j, j] * (w[j] - old) ** 2), max(size, A[j, j] * w[j] ** 2)
        if moved <= tol * tol * size:
            break


# ---------------------------------------------------------------------------------------------------------- the optimizers


def update(weights: Array, gradient: Array, lr: float, decimals: int | None = None) -> None:
    """W ← W − lr·∇W, in ``weights``; with ``decimals`` the gradient, then the result, is rounded as np.round does."""
    step(weights, gradient, lr, ("sgd", PLAIN), None, 1, decimals)


def step(
    parameters: Array,
    gradient: Array,
    lr: float,
    optimizer: Rule,
    state: Array | None,
    number: int,
    decimals: int | None = None,
) -> None:
    """Step ``number`` (from 1) of an optimizer: changes ``parameters`` and ``state``."""
    chosen, own = optimizer
    followed = OPTIMIZERS[chosen].of(own) if isinstance(chosen, str) else chosen
    followed.update(parameters, gradient if decimals is None else np.round(gradient, decimals), lr, state, number)
    if decimals is not None:
        parameters[:] = np.round(parameters, decimals)


# ------------------------------------------------------------------------------------------------------------------ epochs


def descend(
    X: Array,
    Y: Array,
    weights: Array,
    bias: Array | None,
    gradient: Array,
    bias_gradient: Array | None,
    lr: float | Floats,
    epochs: int,
    history: Floats,
    done: Array,
    sample_weight: Array | None = None,
    tol: float = -1.0,
    decimals: int | None = None,
    n_threads: int = 1,
    loss: str | Loss = "mse",
    parameter: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    optimizer: Rule = ("sgd", PLAIN),
    state: Array | None = None,
    steps: Array | None = None,
    ceiling: float = math.inf,
    bounds: Ends | None = None,
) -> str:
    """Up to ``epochs`` epochs of full-batch descent: update, then forward and backward at the new weights.

    Changes, in place: ``weights``, ``bias`` and their gradients ``gradient`` and ``bias_gradient`` (always those of the
    current weights); the optimizer's ``state`` and ``steps`` (1,), its count of steps; ``history`` (3, …), one column an
    epoch: objective, gradient norm and seconds; ``done`` (1,), the epochs finished so far, which is also where in
    ``history`` to go on. An epoch that leaves the finite numbers, or that a signal interrupts, is undone. ``lr`` is one
    number or one for each epoch. Returns "epochs", "converged" (gradient norm ≤ ``tol``) or "diverged": not finite, or the
    objective is above ``ceiling``.
    """
    arguments = (X, Y, weights, bias, sample_weight, n_threads, loss, parameter, l1, l2)
    return loops.descend(
        lambda: loss_gradient(*arguments), lambda grad, bias_grad: gradient_norm(weights, grad, bias_grad, l1, bounds),
        lambda *how: loops.advance(step, weights, bias, gradient, bias_gradient, how, decimals, l1, bounds),
        weights, bias, gradient, bias_gradient, lr, epochs, history, done, tol, optimizer, state, steps,
        ceiling,
    )  # fmt: skip


def descend_batches(
    X: Array,
    Y: Array,
    weights: Array,
    bias: Array | None,
    lr: float,
    batch_size: int,
    history: Floats,
    done: Array,
    order: Array | None = None,
    sample_weight: Array | None = None,
    decimals: int | None = None,
    n_threads: int = 1,
    loss: str | Loss = "mse",
    parameter: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    optimizer: Rule = ("sgd", PLAIN),
    state: Array | None = None,
    steps: Array | None = None,
    bounds: Ends | None = None,
) -> str:
    """One epoch in batches of ``batch_size`` rows, the last one smaller, in the given ``order`` or as they lie.

    For each batch: forward, backward, update. Changes what `descend` changes; ``history`` gets the mean of the batches'
    losses, each at the weights that it met, with the penalties at the end, then NaN for the norm, then seconds. A batch
    whose sample weights are all 0 is passed over.
    """
    return loops.descend_batches(
        lambda rows, s: loss_gradient(X[rows], Y[rows], weights, bias, s, n_threads, loss, parameter),
        lambda grad, bias_grad, *how: loops.advance(
            step, weights, bias, grad + X.dtype.type(l2) * weights, bias_grad, how, decimals, l1, bounds
        ),
        lambda: _penalties(weights, l1, l2),
        len(X), weights, bias, lr, batch_size, history, done, order, sample_weight, optimizer, state, steps,
    )  # fmt: skip
