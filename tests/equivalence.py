"""The comparison that a backend has to pass: every function against its formula, written out in extended precision.

`check(backend)` raises AssertionError where a backend is wrong. test_backends.py runs it on the two backends,
test_variants.py on each instruction set, and test_mutation.py proves that it notices a wrong gradient.
"""

import itertools
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from gdcore.backends import reference

Array = Any

DTYPES = (np.float64, np.float32)
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}  # relative to the scale of the result

# Numbers of columns, and what the kernel does with them. It turns rows of up to 64 bytes on their side (8 columns of
# float64, 16 of float32); wider rows are streamed, from 32 columns on with the gradient one block behind; 100 and 130 do
# not divide into tiles of 64; a row of 1000 is past the prefetch distance, and one of 20,000 float64 past a stream's span.
COLUMNS = (1, 3, 8, 9, 16, 17, 20, 31, 32, 40, 64, 100, 130, 1000)
# Numbers of rows: alone, fewer than the four streams, no multiple of four, a block more or less, several chunks.
ROWS = (1, 2, 3, 4, 5, 127, 129, 1003)


def many_rows(d: int) -> int:
    """Enough rows of d columns for at least two chunks in float32 and in float64, and no multiple of four."""
    return max(2 * 128, 2 * 4 * (1 << 17) // (4 * d)) * 5 // 4 // 4 * 4 + 3


@dataclass
class Problem:
    X: Array
    Y: Array
    weights: Array
    bias: Array | None
    sample_weight: Array | None

    def arrays(self) -> tuple[Array, Array, Array, Array | None, Array | None]:
        return self.X, self.Y, self.weights, self.bias, self.sample_weight


def problem(n: int, d: int, k: int = 1, dtype: Any = np.float64, bias: bool = True, weighted: bool = True, seed: int = 0):
    """Random rows with targets that are no function of them; the sample weights are all different."""
    rng = np.random.default_rng([seed, n, d, k])
    X = rng.normal(0.3, 1, (n, d)).astype(dtype)
    Y = rng.normal(2, 1, (n, k)).astype(dtype)
    W = (rng.normal(0, 1, (d, k)) / np.sqrt(d)).astype(dtype)
    b = rng.normal(0, 1, k).astype(dtype)
    s = rng.uniform(0.1, 3, n).astype(dtype)
    return Problem(X, Y, W, b if bias else None, s if weighted else None)


def layouts(A: Array) -> dict[str, Array]:
    """The same numbers, laid out differently in memory; the keys say how."""
    wide = np.full((A.shape[0], 2 * A.shape[1] + 3), np.nan, A.dtype)
    wide[:, 2 : 2 + A.shape[1]] = A
    return {
        "C": np.array(A, order="C"),
        "F": np.array(A, order="F"),
        "every second row": np.repeat(A, 2, axis=0)[::2],
        "every second column": np.repeat(A, 2, axis=1)[:, ::2],
        "rows from the end": np.array(A[::-1], order="C")[::-1],
        "columns from the end": np.array(A[:, ::-1], order="C")[:, ::-1],
        "transposed": np.array(A.T, order="C").T,
        "rows from the end, transposed": np.array(A.T[:, ::-1], order="C")[:, ::-1].T,
        "slice of a wider array": wide[:, 2 : 2 + A.shape[1]],
    }


# ------------------------------------------------------------------------------------------------------------ the formulas


def exact(array: Array | None) -> Array | None:
    return None if array is None else array.astype(np.longdouble)


def formula_predict(X, weights, bias):
    """Ŷ = XW + b."""
    out = np.stack([(exact(X) * exact(weights)[:, c]).sum(axis=1) for c in range(weights.shape[1])], axis=1)
    return out if bias is None else out + exact(bias)


def formula(X, Y, weights, bias, sample_weight):
    """loss = Σ s·(Ŷ − Y)² / Σ s, ∇W = 2·Xᵀ(s·(Ŷ − Y)) / Σ s, ∇b = 2·Σ s·(Ŷ − Y) / Σ s."""
    s = np.ones(len(X), np.longdouble) if sample_weight is None else exact(sample_weight)
    R = formula_predict(X, weights, bias) - exact(Y)
    loss = (s[:, None] * R**2).sum() / s.sum()
    slope = 2 * s[:, None] * R / s.sum()
    grad = np.stack([(exact(X) * slope[:, c, None]).sum(axis=0) for c in range(Y.shape[1])], axis=1)
    return loss, grad, None if bias is None else slope.sum(axis=0)


def formula_descend(X, Y, weights, bias, sample_weight, lr, epochs):
    """W ← W − lr·∇W, b ← b − lr·∇b; the weights, bias and (loss, gradient norm) of every epoch."""
    weights, bias, history = exact(weights), exact(bias), []
    for _ in range(epochs):
        _, grad, bias_grad = formula(X, Y, weights, bias, sample_weight)
        weights = weights - lr * grad
        bias = None if bias is None else bias - lr * bias_grad
        loss, grad, bias_grad = formula(X, Y, weights, bias, sample_weight)
        squares = (grad**2).sum() + (0 if bias is None else (bias_grad**2).sum())
        history.append((loss, np.sqrt(squares)))
    return weights, bias, np.array(history).T


def stable_lr(X) -> float:
    """A learning rate no data set with these rows diverges at: λmax ≤ 2·max(‖x‖² + 1)."""
    return float(0.5 / (1 + np.max(np.sum(X.astype(float) ** 2, axis=1))))


# --------------------------------------------------------------------------------------------------------- the comparisons


def close(name: str, found: Any, wanted: Any, tolerance: float, scale: float | None = None) -> None:
    """Every element within tolerance × scale, the largest magnitude in ``wanted`` unless told; NaN is never close."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, f"{name}: shape {found.shape}, not {wanted.shape}"
    scale = float(np.max(np.abs(wanted))) if scale is None else scale
    error = np.max(np.abs(found.astype(np.longdouble) - wanted))
    assert error <= tolerance * scale, f"{name}: off by {error:.3g} = {error / scale:.3g} of its scale"


def compare_pass(backend: ModuleType, p: Problem, truth: Any, n_threads: int = 1) -> None:
    """loss, gradient, loss_gradient and predict at one point; ``truth`` is formula(*p.arrays())."""
    dtype, tolerance = p.X.dtype, TOLERANCE[p.X.dtype.type]
    loss, grad, bias_grad = truth
    value, g, gb = backend.loss_gradient(*p.arrays(), n_threads=n_threads)
    alone = backend.gradient(*p.arrays(), n_threads=n_threads)
    assert (gb is None) == (alone[1] is None) == (p.bias is None)
    scale = float(max(np.max(np.abs(grad)), 0 if bias_grad is None else np.max(np.abs(bias_grad))))
    # Predictions and targets rounded by ε of their size y change mean(r²) by up to 2ε·√mean(r²)·√mean(y²).
    size = float(np.sum(np.average(exact(p.Y) ** 2, axis=0, weights=p.sample_weight)))
    loss_scale = max(float(loss), (float(loss) * size) ** 0.5)
    close("loss", backend.loss(*p.arrays(), n_threads=n_threads), loss, tolerance, loss_scale)
    close("loss of loss_gradient", value, loss, tolerance, loss_scale)
    # The reference's float32 sums are BLAS's. Added one by one, n roundings of up to ε/2 are a random walk that ends
    # ε/2·√(n/3) away, relative to the sum; ε·√n is 3.5 times that. The kernel's long sums are in double.
    sequential = float(np.finfo(dtype).eps) * len(p.X) ** 0.5 if backend is reference else 0.0
    for name, got in (("loss_gradient", g), ("gradient", alone[0])):
        assert got.dtype == dtype, f"{name}: {got.dtype} from {dtype}"
        close(name, got, grad, max(tolerance, sequential), scale)
    if bias_grad is not None:
        for name, got in (("loss_gradient's bias", gb), ("gradient's bias", alone[1])):
            assert got.dtype == dtype, f"{name}: {got.dtype} from {dtype}"
            close(name, got, bias_grad, tolerance, scale)
    out = np.full(p.Y.shape, np.nan, dtype)
    backend.predict(p.X, p.weights, p.bias, out, n_threads)
    wanted = formula_predict(p.X, p.weights, p.bias)
    close("predict", out, wanted, tolerance, float(max(np.max(np.abs(wanted)), np.max(np.abs(p.Y)))))


def start(backend: ModuleType, p: Problem, epochs: int):
    """Copies of what `descend` changes, at the start: weights, bias, gradient, bias gradient, history, done."""
    _, grad, bias_grad = backend.loss_gradient(*p.arrays())
    bias = None if p.bias is None else p.bias.copy()
    return p.weights.copy(), bias, grad, bias_grad, np.full((3, epochs), np.nan), np.zeros(1, np.intp)


def compare_descend(backend: ModuleType, p: Problem, epochs: int = 4, n_threads: int = 1) -> None:
    """Epochs of gradient descent: weights, bias, their gradients and the history."""
    tolerance, lr = TOLERANCE[p.X.dtype.type], stable_lr(p.X)
    W, b, G, gb, history, done = start(backend, p, epochs)
    status = backend.descend(
        p.X, p.Y, W, b, G, gb, lr, epochs, history, done, sample_weight=p.sample_weight, n_threads=n_threads
    )
    assert (status, done[0]) == ("epochs", epochs)
    wanted_W, wanted_b, wanted_history = formula_descend(*p.arrays(), lr, epochs)
    # The scale is that of the start: a loss that has come down to zero is a difference of numbers that have not.
    loss, grad, bias_grad = formula(*p.arrays())
    scale = float(np.sqrt((grad**2).sum() + (0 if bias_grad is None else (bias_grad**2).sum())))
    close("descend: weights", W, wanted_W, tolerance)
    close("descend: loss", history[0], wanted_history[0], tolerance, float(loss))
    close("descend: gradient norm", history[1], wanted_history[1], tolerance, scale)
    _, grad, bias_grad = formula(p.X, p.Y, wanted_W, wanted_b, p.sample_weight)
    close("descend: gradient", G, grad, tolerance, scale)
    if b is not None:
        close("descend: bias", b, wanted_b, tolerance)
        close("descend: bias gradient", gb, bias_grad, tolerance, scale)


def compare_read(backend: ModuleType, dtype: Any, n: int) -> None:
    """The sum of n numbers of one sign: nothing cancels, so that a sum kept in too few bits drifts away."""
    X = np.full((n, 1), 0.1, dtype)
    close("read", backend.read(X), n * float(dtype(0.1)), TOLERANCE[dtype])


def check(backend: ModuleType, dtypes: Any = DTYPES, columns: Any = (3, 20, 40, 130)) -> None:
    """A short run over every path: turned, streamed, fused; one and several outputs; one chunk and more."""
    for dtype in dtypes:
        compare_read(backend, dtype, 10**6)
    for dtype, d in itertools.product(dtypes, columns):
        for n, k, bias, weighted in (
            (1, 1, True, True),
            (1003, 1, True, False),
            (1003, 3, False, True),
            (many_rows(d), 1, True, True),
            (many_rows(d), 3, True, False),
        ):
            p = problem(n, d, k, dtype, bias, weighted)
            compare_pass(backend, p, formula(*p.arrays()))
            if n == 1003:
                compare_descend(backend, p)
