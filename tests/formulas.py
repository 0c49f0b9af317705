"""Losses, moments and optimizers against their formulas, written out in extended precision, for any backend.

Beside equivalence.py, which compares every path that rows can take with the mean squared error, this compares every formula
on few rows. Each check raises AssertionError where a backend is wrong; test_formulas.py runs them on both backends, and
test_mutation.py proves that they notice a wrong one.
"""

import itertools
from types import ModuleType
from typing import Any

import numpy as np
from equivalence import Array, close, compare_pass, exact, formula, layouts, problem

EPS = {np.float64: 2.0**-52, np.float32: 2.0**-23}
AMOUNTS = ("poisson", "gamma", "tweedie")
# Name, parameter (δ or τ) and smoothing width h.
LOSSES = [
    ("mse", 0.0, 0.0),
    ("mae", 0.0, 0.0),
    ("mae", 0.0, 0.25),
    ("huber", 0.75, 0.0),
    ("quantile", 0.125, 0.0),
    ("quantile", 0.125, 0.25),
    ("poisson", 0.0, 0.0),
    ("gamma", 0.0, 0.0),
    ("tweedie", 1.375, 0.0),
    ("logistic", 0.0, 0.0),
    ("softmax", 0.0, 0.0),
]


# -------------------------------------------------------------------------------------------------------------- the losses


def loss_of(loss: str, raw: Array, Y: Array, parameter: float, h: float) -> tuple[Array, Array]:
    """ℓ (n,) and ∂ℓ/∂ŷ (n, k) of predictions (n, k), in extended precision."""
    raw, Y = exact(raw), exact(Y)
    if loss == "softmax":
        labels = Y.astype(int)
        top = raw.max(axis=1, keepdims=True)
        odds = np.exp(raw - top)
        slope = odds / odds.sum(axis=1, keepdims=True)
        np.put_along_axis(slope, labels, np.take_along_axis(slope, labels, axis=1) - 1, axis=1)
        return np.log(odds.sum(axis=1)) + (top - np.take_along_axis(raw, labels, axis=1))[:, 0], slope
    if loss == "logistic":
        # log(1 + e^ŷ) − yŷ, by the way that loses no digits: log(1 + e^−|ŷ|) + (1 − y)·ŷ above 0, −y·ŷ below.
        e = np.exp(-np.abs(raw))
        value = np.log1p(e) + np.where(raw > 0, (1 - Y) * raw, -Y * raw)
        return value.sum(axis=1), np.where(raw > 0, (1 - Y) - e / (1 + e), e / (1 + e) - Y)
    if loss in AMOUNTS:
        p = exact(np.float64({"poisson": 1.0, "gamma": 2.0}.get(loss, parameter)))
        mean = np.exp(raw)
        grows = raw if p == 2 else mean ** (2 - p) / (2 - p)
        falls = Y * raw if p == 1 else Y * mean ** (1 - p) / (1 - p)
        return (grows - falls).sum(axis=1), mean ** (2 - p) - Y * mean ** (1 - p)
    r = raw - Y
    if loss == "mse":
        value, slope = r**2, 2 * r
    elif loss == "mae":
        value, slope = np.abs(r), np.clip(r / h, -1, 1) if h else np.sign(r)
    elif loss == "huber":
        value = np.where(np.abs(r) <= parameter, r**2 / 2, parameter * (np.abs(r) - parameter / 2))
        slope = np.clip(r, -parameter, parameter)
    else:
        value = np.where(r > 0, (1 - parameter) * r, -parameter * r)
        slope = (np.clip(r / (2 * h), -0.5, 0.5) if h else np.sign(r) / 2) + 0.5 - parameter
        slope[(r == 0) & (h == 0)] = 0
    return value.sum(axis=1), slope


def points(loss: str, dtype: Any, size: float) -> tuple[Array, Array, Array]:
    """Predictions (n, k) about ``size`` large, targets and weights of rows, with every kink among them."""
    rng = np.random.default_rng(int(size))
    n, k = 61, 4 if loss == "softmax" else 2
    raw = rng.normal(0, size, (n, k)).astype(dtype)
    weights = rng.uniform(0.5, 2, n).astype(dtype)
    weights[7] = 0
    if loss == "softmax":
        return raw, rng.integers(0, k, (n, 1)).astype(dtype), weights
    if loss in AMOUNTS:  # within the range of float32
        return np.clip(raw, -60, 60), np.exp(rng.normal(0, 1, (n, k))).astype(dtype), weights
    if loss == "logistic":
        raw[0] = 0
        return raw, rng.choice([0, 0.25, 1], (n, k)).astype(dtype), weights
    Y = rng.normal(0, size, (n, k)).astype(dtype)
    for row, r in enumerate((0, 0.25, -0.25, 0.75, -0.75, 0.125, -0.125, 0.5, -0.5)):
        Y[row] = np.round(Y[row] * 8) / 8
        raw[row] = Y[row] + dtype(r)
    return raw, Y, weights


def check_losses(backend: ModuleType) -> None:
    """Every loss, row by row; then its gradients through XW + b, with penalties and weights of rows."""
    for dtype, (loss, parameter, h), size in itertools.product(EPS, LOSSES, (1.0, 30.0, 900.0)):
        raw, Y, s = points(loss, dtype, size)
        value, slope = loss_of(loss, raw, Y, parameter, h)
        # A residual is off by the rounding of what it is the difference of, and a smoothed slope by that over its width.
        off = EPS[dtype] * (np.abs(raw).max() + np.abs(Y).max())
        size_of_loss = float(np.max(np.abs(value))) + (0 if loss in ("logistic", "softmax") else 1)
        # An exponent is off likewise, and e to it by as much of itself.
        steep = {"mse": 2.0, "huber": 1.0, **dict.fromkeys(AMOUNTS, 0.5)}.get(loss, 1 / h if h else 0.0)
        for weights in (s, None):
            out = np.full(raw.T.shape, np.nan, dtype)
            name = f"{loss}({parameter:g}, {h:g}), {np.dtype(dtype)}, size {size:g}"
            total, weight = backend.derivatives_of(
                np.ascontiguousarray(raw.T), np.ascontiguousarray(Y.T), weights, out, loss, parameter, h
            )
            factors = np.ones(len(s), np.longdouble) if weights is None else exact(weights)
            wanted = (factors * value).sum()
            # Where predictions are large the gain is of their size, not of the loss.
            scale = float((factors * (value + (0 if size == 1 else np.abs(raw).max()))).sum())
            close(f"{name}: Σ s·ℓ", total, wanted, 16 * EPS[dtype], max(scale, size_of_loss))
            close(f"{name}: Σ s", weight, factors.sum(), 16 * EPS[dtype])
            large = np.maximum(1, np.abs(factors[:, None] * slope)) if loss in AMOUNTS else 1
            close(
                f"{name}: s·∂ℓ/∂ŷ",
                out.T / large,
                factors[:, None] * slope / large,
                1.0,
                2 * (8 * EPS[dtype] + steep * 2 * off),
            )
    for dtype, (loss, parameter, h), d in itertools.product(EPS, LOSSES, (3, 40)):
        compare_objective(backend, dtype, loss, parameter, h, d)


def compare_objective(backend: ModuleType, dtype: Any, loss: str, parameter: float, h: float, d: int) -> None:
    rng = np.random.default_rng(d)
    k = 4 if loss == "softmax" else 2
    n, l1, l2 = 203, 0.0625, 0.25
    X, W, b = rng.normal(0, 1, (n, d)), rng.normal(0, 1, (d, k)) / np.sqrt(d), rng.normal(0, 1, k)
    Y = {"softmax": rng.integers(0, k, (n, 1)), "logistic": rng.integers(0, 2, (n, k))}.get(loss, rng.normal(1, 1, (n, k)))
    s = rng.uniform(0.1, 3, n) * (rng.uniform(size=n) > 0.1)
    Y = np.exp(Y / 2) if loss in AMOUNTS else Y
    X, W, b, Y, s = (np.asarray(A, dtype) for A in (X, W, b, Y, s))
    W[0, 0] = 0
    for weights in (s, None):
        raw = np.stack([(exact(X) * exact(W)[:, c]).sum(axis=1) for c in range(k)], axis=1) + exact(b)
        value, slope = loss_of(loss, raw, Y, parameter, h)
        factors = np.ones(n, np.longdouble) if weights is None else exact(weights)
        factors = factors / factors.sum()
        wanted = (factors * value).sum() + l1 * np.abs(exact(W)).sum() + l2 / 2 * (exact(W) ** 2).sum()
        along = factors[:, None] * slope
        grad = np.stack([(exact(X) * along[:, c, None]).sum(axis=0) for c in range(k)], axis=1) + l2 * exact(W)
        found, g, gb = backend.loss_gradient(X, Y, W, b, weights, 1, loss, parameter, l1, l2, h)
        name, tolerance = f"{loss}, {np.dtype(dtype)}, d = {d}", {np.float64: 1e-13, np.float32: 1e-5}[dtype]
        close(f"{name}: objective", found, wanted, tolerance)
        close(f"{name}: ∇W", g, grad, 4 * tolerance)
        close(f"{name}: ∇b", gb, along.sum(axis=0), 4 * tolerance, float(np.max(np.abs(grad))))
        alone = backend.loss(X, Y, W, b, weights, 1, loss, parameter, l1, l2)
        close(f"{name}: objective alone", alone, wanted, tolerance)
        sub = np.where(exact(W) == 0, np.maximum(np.abs(grad) - l1, 0), grad + l1 * np.sign(exact(W)))
        norm = np.sqrt((sub**2).sum() + (along.sum(axis=0) ** 2).sum())
        close(f"{name}: norm", backend.gradient_norm(W, g, gb, l1), norm, 8 * tolerance)


# ------------------------------------------------------------------------------------------------------------- the moments


SIZES = ((1, 0), (2, 1), (3, 1), (4, 1), (6, 2), (9, 0), (17, 0), (24, 1), (25, 2), (50, 0))
"""Columns of X and Y, on both sides of the edges of the kernel's tiles."""


def formula_moments(X: Array, Y: Array | None, s: Array | None, shift: Array) -> tuple[Any, Any, Array, Array]:
    z = exact(X if Y is None else np.hstack([X, Y])) - exact(shift)
    weights = np.ones(len(X), np.longdouble) if s is None else exact(s)
    lengths = (exact(X) ** 2).sum(axis=1)[weights > 0]
    return lengths.max(initial=0), weights.sum(), (weights[:, None] * z).sum(axis=0), np.einsum("n,ni,nj->ij", weights, z, z)


def check_moments(backend: ModuleType) -> None:
    """Second moments of odd and even numbers of columns, of part of a panel of rows and of several."""
    for dtype, (d, k), n in itertools.product(EPS, SIZES, (1, 127, 128, 300)):
        rng = np.random.default_rng([n, d])
        X, Y = rng.normal(3, 1, (n, d)).astype(dtype), rng.normal(-2, 1, (n, k)).astype(dtype) if k else None
        shift = np.concatenate([rng.normal(3, 1, d), rng.normal(-2, 1, k)])
        s = rng.uniform(0.1, 3, n).astype(dtype)
        if n > 1:
            s[n // 2], X[n // 2] = 0, 1000  # the longest row weighs nothing
        for weights, rows in itertools.product((s, None), layouts(X).values() if n == 127 else (X,)):
            p = d + k
            found = backend.moments(rows, Y, weights, shift, 1)
            longest, total, first, second = formula_moments(rows, Y, weights, shift)
            name = f"moments, {np.dtype(dtype)}, n = {n}, p = {p}"
            close(f"{name}: the largest ‖x‖²", found[0], longest, 1e-13)
            close(f"{name}: Σ s", found[1], total, 1e-13)
            spreads = np.sqrt(np.diag(second))
            wrong = np.abs(found[2 : 2 + p] - first) / (spreads * np.sqrt(total))
            assert np.max(wrong) <= 1e-13, f"{name}: Σ s·z off by {np.max(wrong):.3g}"
            wrong = np.triu(np.abs(found[2 + p :].reshape(p, p) - second)) / np.outer(spreads, spreads)
            assert np.max(wrong) <= 1e-13, f"{name}: Σ s·z·zᵀ off by {np.max(wrong):.3g}"
            again = backend.moments(rows, Y, weights, shift, 1, found)
            close(f"{name}: carried on", again[1:], 2 * found[1:], 1e-13)


# ---------------------------------------------------------------------------------------------------------- the optimizers

RULES = [
    ("sgd", {"momentum": 0.0, "nesterov": False}),
    ("sgd", {"momentum": 0.75, "nesterov": False}),
    ("sgd", {"momentum": 0.75, "nesterov": True}),
    ("adagrad", {"lr_decay": 0.25, "eps": 0.125}),
    ("rmsprop", {"alpha": 0.75, "momentum": 0.0, "eps": 0.125, "centered": False}),
    ("rmsprop", {"alpha": 0.75, "momentum": 0.5, "eps": 0.125, "centered": True}),
    ("adam", {"betas": (0.75, 0.875), "eps": 0.125}),
    ("adamw", {"betas": (0.75, 0.875), "eps": 0.125, "weight_decay": 0.25}),
]


def formula_steps(w: Array, gradients: Array, lr: float, name: str, p: dict[str, Any]) -> Array:
    """The parameters after every one of the gradients (steps, size), with what an optimizer remembers from one to the next."""
    w, made = exact(w), []
    first = second = mean = np.zeros_like(w)
    for t, g in enumerate(exact(gradients), 1):
        if name == "sgd":
            first = g if t == 1 else p["momentum"] * first + g
            w = w - lr * (g + p["momentum"] * first if p["nesterov"] else first)
        elif name == "adagrad":
            first = first + g**2
            w = w - lr / (1 + (t - 1) * p["lr_decay"]) * g / (np.sqrt(first) + p["eps"])
        elif name == "rmsprop":
            second = p["alpha"] * second + (1 - p["alpha"]) * g**2
            mean = p["alpha"] * mean + (1 - p["alpha"]) * g
            spread = second - mean**2 if p["centered"] else second
            first = p["momentum"] * first + g / (np.sqrt(spread) + p["eps"])
            w = w - lr * first
        else:
            (one, two), decay = p["betas"], p.get("weight_decay", 0)
            first, second = one * first + (1 - one) * g, two * second + (1 - two) * g**2
            along = (first / (1 - one**t)) / (np.sqrt(second / (1 - two**t)) + p["eps"])
            w = w * (1 - lr * decay) - lr * along
        made.append(w)
    return np.array(made)


def check_optimizers(backend: ModuleType) -> None:
    """Each optimizer's first steps, with and without rounding to decimals; the proximal step of l1."""
    for dtype, (name, parameters) in itertools.product(EPS, RULES):
        rng = np.random.default_rng(3)
        w, gradients = rng.normal(size=7).astype(dtype), rng.normal(size=(5, 7)).astype(dtype)
        wanted, state = formula_steps(w, gradients, 0.3, name, parameters), np.zeros((3, 7), dtype)
        for t, g in enumerate(gradients):
            backend.step(w, g, 0.3, (name, parameters), state, t + 1)
            close(f"{name} {parameters}, {np.dtype(dtype)}, step {t + 1}", w, wanted[t], 32 * EPS[dtype], 1.0)
    W, G = np.array([0.123456, -7.654321, 1234.5678]), np.array([0.98765, 0.12345, -98.76543])
    for decimals in (0, 2, -1):
        found = W.copy()
        backend.update(found, G, 0.25, decimals)
        wanted = np.round(W - 0.25 * np.round(G, decimals), decimals)
        assert np.array_equal(found, wanted), f"update, {decimals} decimals: {found}, not {wanted}"
    for dtype in EPS:
        compare_proximal(backend, dtype)


def compare_proximal(backend: ModuleType, dtype: Any) -> None:
    """One epoch with l1 is a step, and then every weight lr·l1 nearer to 0, but never past it."""
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(50, 6)).astype(dtype), rng.normal(size=(50, 1)).astype(dtype)
    W, b = np.array([2, 0.01, -0.01, -2, 0.3, 0])[:, None].astype(dtype), np.array([0.5], dtype)
    lr, l1 = 0.125, 0.5
    _, G, gb = backend.loss_gradient(X, Y, W, b, None, 1, "mse", 0.0, l1)
    stepped = exact(W) - lr * exact(G)
    wanted, wanted_b = np.sign(stepped) * np.maximum(np.abs(stepped) - lr * l1, 0), exact(b) - lr * exact(gb)
    assert (wanted == 0).any()
    assert (wanted > 0).any()
    assert (wanted < 0).any()
    backend.descend(X, Y, W, b, G, gb, lr, 1, np.full((3, 1), np.nan), np.zeros(1, np.intp), l1=l1)
    close(f"the proximal step, {np.dtype(dtype)}", W, wanted, 16 * EPS[dtype])
    close(f"the bias beside it, {np.dtype(dtype)}", b, wanted_b, 16 * EPS[dtype], 1.0)


# ------------------------------------------------------------------------------------------------- batches and columns


def check_batches(backend: ModuleType) -> None:
    """An epoch of small steps is the plain loop, in order and not, weighted, with what is left of a batch."""
    rules = (("sgd", {"momentum": 0.0, "nesterov": False}), ("sgd", {"momentum": 0.5, "nesterov": False}))
    for dtype, k, size, (name, p) in itertools.product(EPS, (1, 2), (1, 6), rules):
        rng = np.random.default_rng(size)
        n, d, lr, l2 = 27, 11, 0.01, 0.5
        X, Y = rng.normal(0.5, 1, (n, d)).astype(dtype), rng.normal(1, 1, (n, k)).astype(dtype)
        s, order = rng.uniform(0.5, 2, n).astype(dtype), rng.permutation(n)
        w, b = rng.normal(size=(d, k)).astype(dtype), rng.normal(size=k).astype(dtype)
        W, bias, moving, loss = exact(w), exact(b), np.zeros((d + 1, k), np.longdouble), 0
        for low in range(0, n, size):
            rows = order[low : low + size]
            r, share = exact(X[rows]) @ W + bias - exact(Y[rows]), exact(s[rows])[:, None]
            loss += (share * r * r).sum()
            slope = 2 * share * r / share.sum()
            moving = p["momentum"] * moving + np.vstack([exact(X[rows]).T @ slope + l2 * W, slope.sum(axis=0)])
            W, bias = W - lr * moving[:-1], bias - lr * moving[-1]
        loss = loss / exact(s).sum() + l2 / 2 * (W * W).sum()
        history, done, state = np.zeros((3, 1)), np.zeros(1, np.int64), np.zeros((1, (d + 1) * k), dtype)
        backend.descend_batches(
            X, Y, w, b, lr, size, history, done, order=order, sample_weight=s, l2=l2, optimizer=(name, p), state=state
        )
        close("batches: weights", w, W, 100 * EPS[dtype])
        close("batches: bias", b, bias, 100 * EPS[dtype])
        close("batches: loss", history[0, 0], loss, 100 * EPS[dtype])


def check_columns(backend: ModuleType) -> None:
    """Fortran order: whole groups of columns and what is left, whole blocks of rows and what is left."""
    for dtype, (n, d, k) in itertools.product(EPS, ((7, 3, 1), (600, 6, 2), (257, 9, 1))):
        p = problem(n, d, k, dtype)
        for X in (np.asfortranarray(p.X), np.asfortranarray(p.X[::-1])[::-1]):
            p.X = X
            compare_pass(backend, p, formula(*p.arrays()))


CHECKS = {
    "losses": check_losses,
    "moments": check_moments,
    "optimizers": check_optimizers,
    "batches": check_batches,
    "columns": check_columns,
}
