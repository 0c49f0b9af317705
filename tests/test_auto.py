"""lr="auto", the default: the optimum is reached, computed here in other ways; what is claimed of it is true."""

import contextlib
import functools
import itertools
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from test_nist import digits, load, residual_sd

import gdcore
from gdcore import (
    MLP,
    ConditionWarning,
    ConvergenceWarning,
    DivergenceError,
    LearningRateWarning,
    Linear,
    ScaleWarning,
    SeparationWarning,
    fit,
)
from gdcore.backends import kernel
from gdcore.facts import gap  # fmt: skip
from gdcore.losses import LOSSES, huber, quantile
from gdcore.optimizers import OPTIMIZERS
from gdcore.penalty import Box, Penalty

BACKENDS = ["kernel", "reference"]
LOSSES = {name: make for name, make in LOSSES.items() if not make().has_link}  # of amounts: test_amounts.py
SMOOTH = [name for name in LOSSES if LOSSES[name]().curvature is not None]
KINKED = [name for name in LOSSES if LOSSES[name]().curvature is None]
PENALTIES = [(0.0, 0.0), (0.02, 0.0), (0.0, 0.01), (0.02, 0.01)]
LINE = np.arange(200.0)[:, None]


def problem(name, n=90, d=3, seed=0, k=None):
    """Columns of very different spreads and means; targets of the loss's kind that no model fits."""
    rng = np.random.default_rng([seed, n, d])
    Z = rng.normal(size=(n, d)) @ (np.eye(d) + 0.4)
    kind = LOSSES[name]().targets
    raw = Z @ rng.normal(size=(d, k or 1)) + rng.normal(size=(n, k or 1)) + 0.4
    X = Z * np.geomspace(1, 100, d) + np.linspace(0, 50, d)
    if kind == "classes":
        return X, np.digitize(raw[:, 0], [-0.7, 0.9])
    Y = (raw > 0).astype(float) if kind == "binary" else raw
    return X, Y[:, 0] if k is None else Y


def weights_of(n, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 3, n)


def flat(model):
    return np.concatenate([np.ravel(model.weights), [] if model.bias is None else np.ravel(model.bias)])


# ----------------------------------------------------------------------------------------------------- optima, found otherwise


def losses_and_slopes(name, raw, Y):
    """ℓ (n,) and ∂ℓ/∂ŷ (n, k), by design.md's table."""
    if name == "softmax":
        shifted = raw - raw.max(axis=1, keepdims=True)
        total = np.log(np.exp(shifted).sum(axis=1))
        mine = np.arange(len(Y)), Y.astype(int)
        p = np.exp(shifted - total[:, None])
        p[mine] -= 1
        return total - shifted[mine], p
    Y = Y.reshape(len(Y), -1)
    r = raw - Y
    if name == "mse":
        return (r * r).sum(axis=1), 2 * r
    if name == "huber":
        size = np.abs(r)
        return np.where(size <= 1, r * r / 2, size - 0.5).sum(axis=1), np.clip(r, -1, 1)
    if name == "logistic":
        return (np.logaddexp(0, raw) - Y * raw).sum(axis=1), 1 / (1 + np.exp(-raw)) - Y
    if name == "mae":
        return np.abs(r).sum(axis=1), np.sign(r)
    assert name == "quantile", f"{name} has no formula here yet"
    return np.maximum(-r / 2, r / 2).sum(axis=1), np.sign(r) / 2


def objective(name, X, Y, W, b, l1=0.0, l2=0.0, s=None):
    W = np.asarray(W, float).reshape(X.shape[1], -1)
    values, _ = losses_and_slopes(name, X @ W + (0 if b is None else np.ravel(b)), Y)
    return np.average(values, weights=s) + l1 * np.abs(W).sum() + l2 / 2 * (W * W).sum()


def of_run(name, run, X, Y, l1=0.0, l2=0.0, s=None):
    return objective(name, np.asarray(X, float), Y, run.model.weights, run.model.bias, l1, l2, s)


def smooth_optimum(name, X, Y, l1=0.0, l2=0.0, s=None, bias=True, iterations=8000):
    """The best objective, by proximal gradient descent with acceleration (FISTA) on standardised columns; and W, b there."""
    d, k = X.shape[1], {"classes": int(np.max(Y)) + 1}.get(LOSSES[name]().targets, Y.reshape(len(Y), -1).shape[1])
    s = np.ones(len(X)) if s is None else s
    s = s / s.sum()
    mean = s @ X if bias else np.zeros(d)
    spread = np.sqrt(s @ (X - mean) ** 2)
    _, R = np.linalg.qr(np.sqrt(s)[:, None] * (X - mean) / spread)
    # Without l1 any change of variables will do, and that by R makes the data round; l1 allows a scale for each column.
    T = np.diag(1 / spread) @ (np.eye(d) if l1 else np.linalg.inv(R))
    Z = (X - mean) @ T
    c = LOSSES[name]().curvature
    step = 1 / (c * max(np.linalg.eigvalsh(Z.T * s @ Z)[-1], 1) + l2 * np.linalg.eigvalsh(T.T @ T)[-1])
    V, b = np.zeros((d, k)), np.zeros(k)
    old, old_b, t = V, b, 1.0

    for _ in range(iterations):
        slopes = s[:, None] * losses_and_slopes(name, Z @ V + b, Y)[1]
        new = V - step * (Z.T @ slopes + l2 * T.T @ (T @ V))
        if l1:
            threshold = step * l1 * np.diag(T)[:, None]
            new = np.sign(new) * np.maximum(np.abs(new) - threshold, 0)
        new_b = b - step * slopes.sum(axis=0) if bias else b
        moved = np.abs(new - V).max() + np.abs(new_b - b).max()
        if ((V - new) * (new - old)).sum() + ((b - new_b) * (new_b - old_b)).sum() > 0:
            t = 1.0
        following = (1 + math.sqrt(1 + 4 * t * t)) / 2
        V, b = new + (t - 1) / following * (new - old), new_b + (t - 1) / following * (new_b - old_b)
        old, old_b, t = new, new_b, following
        if moved < 1e-15:
            break
    W = T @ old
    b = old_b - mean @ W if bias else None
    return objective(name, X, Y, W, b, l1, l2, s), W, b


def kinked_optimum(name, x, Y, l1=0.0, l2=0.0, s=None, tau=0.5, bias=True):
    """The best objective of one column and a bias: for each w the best b is a quantile of y − x·w; over w it is convex."""
    s = np.ones(len(x)) if s is None else s
    scale = 1.0 if name == "quantile" else 2.0
    share = tau if name == "quantile" else 0.5

    def best_for(w):
        rest = Y - x * w
        order = np.argsort(rest)
        b = rest[order][np.searchsorted(np.cumsum(s[order]), share * s.sum())] if bias else 0.0
        r = rest[order] - b
        return s[order] @ (scale * np.maximum(share * r, (share - 1) * r)) / s.sum() + l1 * abs(w) + l2 / 2 * w * w

    size = 20 * np.std(Y) / np.std(x)
    low, high = -size, size
    for _ in range(250):
        left, right = low + (high - low) * 0.382, high - (high - low) * 0.382
        if best_for(left) < best_for(right):
            high = right
        else:
            low = left
    return best_for((low + high) / 2)


@functools.cache
def best(name, l1=0.0, l2=0.0, weighted=False):
    """Of `problem(name)`, for the kinked losses of its first column alone."""
    X, Y = problem(name)
    s = weights_of(len(X)) if weighted else None
    if name in KINKED:
        return kinked_optimum(name, X[:, 0], Y, l1, l2, s)
    return smooth_optimum(name, X, Y, l1, l2, s)[0]


def test_the_optima_here_are_optima():
    X, Y = problem("mse")
    Z = np.column_stack([X, np.ones(len(X))])
    wanted = np.mean((Y - Z @ np.linalg.lstsq(Z, Y)[0]) ** 2)
    assert best("mse") == pytest.approx(wanted, rel=1e-13)
    for name, (l1, l2) in itertools.product(SMOOTH, PENALTIES):
        rows, targets = problem(name)
        value, W, b = smooth_optimum(name, rows, targets, l1, l2)
        slopes = losses_and_slopes(name, rows @ W + b, targets)[1] / len(rows)
        g = rows.T @ slopes + l2 * W
        excess = np.where(W == 0, np.maximum(np.abs(g) - l1, 0), np.abs(g + l1 * np.sign(W)))
        assert excess.max() < 1e-8, (name, l1, l2)
        assert np.abs(slopes.sum(axis=0)).max() < 1e-10
        assert value == best(name, l1, l2)


# ------------------------------------------------------------------------------------------------------------------ y = 2x


def test_y_is_2x():
    run = fit(LINE, 2 * LINE[:, 0])
    assert run.model.weights[0] == pytest.approx(2, abs=1e-6)
    assert run.model.bias == pytest.approx(0, abs=1e-6)
    assert run.status == "converged"
    assert np.isfinite(run.history.lr).all()
    assert (run.history.lr > 0).all()
    assert fit(LINE, 2 * LINE[:, 0], Linear([0.0], None)).model.weights[0] == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("epochs", [3, 1000])
def test_y_is_2x_with_a_learning_rate_past_the_limit(backend, epochs):
    limit = gdcore.spectrum(LINE).lr_limit
    with (
        pytest.warns(LearningRateWarning) as warned,
        pytest.raises(DivergenceError) as caught,
    ):
        fit(LINE, 2 * LINE[:, 0], lr=0.01, epochs=epochs, backend=backend)
    text = str(warned[0].message)
    assert len(warned) == 1
    assert "0.01" in text
    assert f"{limit:.6g}" in text
    assert "column 0" in text
    text = str(caught.value)
    for part in ("epoch 1 ", "0.01", f"{limit:.6g}", "column 0", "auto"):
        assert part in text
    run = caught.value.run
    assert np.isfinite(flat(run.model)).all()
    assert math.isfinite(run.loss)
    assert np.isfinite(run.history.loss).all()


def test_the_warning_names_the_column_that_drives_the_limit():
    X, Y = problem("mse")
    limit = gdcore.spectrum(X).lr_limit
    fit(X, Y, lr=0.99 * limit, epochs=2)  # no warning
    with pytest.warns(LearningRateWarning, match=r"column 2 of X"), pytest.raises(DivergenceError, match="column 2"):
        fit(X, Y, lr=1.05 * limit, epochs=5000)


@pytest.mark.parametrize("name", SMOOTH)
def test_below_the_limit_no_loss_warns_or_climbs(name):
    X, Y = problem(name)
    run = fit(X, Y, loss=name, lr=0.999 * gdcore.spectrum(X, loss=name).lr_limit, epochs=50)
    assert (np.diff(run.history.loss) <= 1e-12 * run.history.loss[0]).all()


# ------------------------------------------------------------------------------------------------- the optimum is reached


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precondition", ["gram", "diagonal"])
@pytest.mark.parametrize("weighted", [False, True])
def test_smooth_losses_reach_the_optimum(name, backend, precondition, weighted):
    X, Y = problem(name)
    s = weights_of(len(X)) if weighted else None
    for l1, l2 in PENALTIES:
        wanted = best(name, l1, l2, weighted)
        run = fit(X, Y, loss=name, l1=l1, l2=l2, sample_weight=s, precondition=precondition, backend=backend, epochs=3000)
        reached = of_run(name, run, X, Y, l1, l2, s)
        assert run.loss == pytest.approx(reached, rel=1e-12)
        # Where nothing is proved, tol is of the gradient in the metric, to which a diagonal one does not tell all.
        proved = name == "mse" or l2 > 0 or precondition == "gram"
        assert abs(reached - wanted) <= (1e-8 if proved else 1e-7) * wanted, (l1, l2)
        assert run.status == "converged"
        assert run.method == ("gram" if name == "mse" and precondition == "gram" else "stream")
        if run.gap is not None:
            assert reached - wanted <= run.gap + 1e-13 * wanted


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precondition", ["gram", "diagonal"])
@pytest.mark.parametrize("weighted", [False, True])
def test_kinked_losses_reach_the_optimum(name, backend, precondition, weighted):
    X, Y = problem(name)
    s = weights_of(len(X)) if weighted else None
    for l1, l2 in PENALTIES:
        wanted = best(name, l1, l2, weighted)
        options = {"l1": l1, "l2": l2, "sample_weight": s, "precondition": precondition, "backend": backend, "epochs": 3000}
        run = fit(X[:, :1], Y, loss=name, **options)
        reached = of_run(name, run, X[:, :1], Y, l1, l2, s)
        assert run.loss == pytest.approx(reached, rel=1e-12)
        assert -1e-12 * wanted <= reached - wanted <= (1e-8 if precondition == "gram" else 1e-4) * wanted, (l1, l2)
        assert run.status == "converged" or precondition == "diagonal"
        assert run.gap >= reached - wanted - 1e-13 * wanted


@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES[name]().targets != "classes"])
def test_several_outputs_are_each_their_own_problem(name):
    X, Y = problem(name, k=3)
    run = fit(X, Y, loss=name, l2=0.01, epochs=2000)
    alone = [fit(X, Y[:, c], loss=name, l2=0.01, epochs=2000) for c in range(3)]
    assert run.loss == pytest.approx(sum(one.loss for one in alone), rel=1e-8 if name in SMOOTH else 1e-4)
    if name in SMOOTH:
        for c, one in enumerate(alone):
            np.testing.assert_allclose(run.model.weights[:, c], one.model.weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("bias", [True, False])
def test_with_and_without_a_bias(name, bias):
    X, Y = problem(name)
    k = 3 if name == "softmax" else None
    model = Linear(np.zeros((3, k)) if k else np.zeros(3), (np.zeros(k) if k else 0.0) if bias else None)
    wanted = smooth_optimum(name, X, Y, l2=0.01, bias=bias)[0]
    run = fit(X, Y, model, loss=name, l2=0.01)
    assert (run.model.bias is not None) == bias
    assert of_run(name, run, X, Y, l2=0.01) == pytest.approx(wanted, rel=1e-9)
    assert run.status == "converged"


@pytest.mark.parametrize("name", LOSSES)
def test_float32_agrees_with_float64(name):
    X, Y = problem(name)
    if name in KINKED:
        X = X[:, :1]
    wanted = best(name, l2=0.01) if name in SMOOTH else kinked_optimum(name, X[:, 0], Y, l2=0.01)
    Y = Y.astype(np.float32) if name != "softmax" else Y
    run = fit(X.astype(np.float32), Y, loss=name, l2=0.01)
    assert run.model.weights.dtype == np.float32
    assert of_run(name, run, X, Y, l2=0.01) == pytest.approx(wanted, rel=1e-5 if name in SMOOTH else 1e-4)
    double = fit(X, Y, loss=name, l2=0.01)
    assert run.loss == pytest.approx(double.loss, rel=1e-5 if name in SMOOTH else 1e-4)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("precondition", ["gram", "diagonal"])
def test_a_start_far_away_comes_to_the_same_place(name, precondition):
    X, Y = problem(name)
    if name in KINKED:
        X = X[:, :1]
    d, k = X.shape[1], 3 if name == "softmax" else None
    start = Linear(np.full((d, k) if k else d, 0.5), np.full(k, -3.0) if k else -3.0)
    run = fit(X, Y, start, loss=name, l2=0.01, precondition=precondition, epochs=3000)
    assert run.loss == pytest.approx(best(name, l2=0.01), rel=1e-8 if name in SMOOTH else 1e-4)


@pytest.mark.parametrize("tau", [0.5, 0.1, 0.9, 0.75])
@pytest.mark.parametrize("heavy", [False, True])
def test_quantiles_against_the_linear_program(tau, heavy):
    # An optimal line goes through two of the points: there are 300 pairs of 25.
    for seed in range(3):
        rng = np.random.default_rng([seed, heavy])
        x = rng.normal(size=25) * 3 + 10
        y = 2 * x + (rng.standard_t(1.5, 25) if heavy else rng.normal(size=25))
        wanted = math.inf
        for i, j in itertools.combinations(range(25), 2):
            w = (y[j] - y[i]) / (x[j] - x[i])
            r = w * x + (y[i] - w * x[i]) - y
            wanted = min(wanted, np.mean(np.maximum(-tau * r, (1 - tau) * r)))
        assert kinked_optimum("quantile", x, y, tau=tau) == pytest.approx(wanted, rel=1e-9)
        run = fit(x[:, None], y, loss=quantile(tau=tau), epochs=3000)
        r = run.model.predict(x[:, None]) - y
        reached = np.mean(np.maximum(-tau * r, (1 - tau) * r))
        assert -1e-12 <= reached / wanted - 1 <= 1e-4
        if tau == 0.5:
            assert fit(x[:, None], y, loss="mae", epochs=3000).loss == pytest.approx(2 * wanted, rel=1e-4)


@pytest.mark.parametrize("tau", [0.5, 0.2, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_quantiles_of_two_columns_against_the_linear_program(tau, seed):
    # An optimal plane goes through three of the points: 1,140 triples of 20.
    rng = np.random.default_rng([seed, 77])
    X = rng.normal(size=(20, 2)) * [1, 30] + [0, 100]
    y = X @ [1.0, -0.1] + rng.standard_t(2, 20)
    Z = np.column_stack([X - X.mean(axis=0), np.ones(20)])
    triples = np.array(list(itertools.combinations(range(20), 3)))
    planes = np.linalg.solve(Z[triples], y[triples][:, :, None])[:, :, 0]
    r = planes @ Z.T - y
    wanted = np.maximum(-tau * r, (1 - tau) * r).mean(axis=1).min()
    run = fit(X, y, loss=quantile(tau=tau))
    assert -1e-12 <= run.loss / wanted - 1 <= 1e-4


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("l1", "l2"), PENALTIES[1:])
@pytest.mark.parametrize("value", [7.0, 7e5])
def test_a_constant_column_beside_a_bias_gets_no_weight(name, l1, l2, value):
    # The bias does the same for nothing, so that the best loss is that without the column.
    X, Y = problem(name)
    if name in KINKED:
        X = X[:, :1]
    run = fit(np.column_stack([X, np.full(len(X), value)]), Y, loss=name, l1=l1, l2=l2)
    if run.status == "converged" or name in SMOOTH:  # a kink beside a far constant column may not be done in 1,000 epochs
        assert run.loss == pytest.approx(best(name, l1, l2), rel=1e-8 if name in SMOOTH else 1e-4)
    assert np.abs(run.model.weights[-1]).max() <= 1e-13 * max(value, 1e5)  # rounding of the column's mean


def far_columns(name):
    """Columns 10⁶ away from 0, without that distance as they are stored, and targets."""
    X, Y = problem(name)
    far = 1e6 + X / np.geomspace(1, 100, 3)
    far = far[:, :1] if name in KINKED else far
    return far, far - 1e6, Y


@pytest.mark.parametrize("name", LOSSES)
def test_far_columns_keep_eight_digits(name):
    far, near, Y = far_columns(name)
    run = fit(far, Y, loss=name, l2=0.01 if name != "mse" else 0.0, epochs=3000)
    if name in KINKED:
        assert run.loss == pytest.approx(kinked_optimum(name, near[:, 0], Y, l2=0.01), rel=1e-4)
    elif name == "mse":
        wanted = np.linalg.lstsq(np.column_stack([near, np.ones(len(near))]), Y)[0]
        np.testing.assert_allclose(run.model.weights, wanted[:3], rtol=1e-8)
        assert run.model.bias == pytest.approx(wanted[3] - 1e6 * wanted[:3].sum(), rel=1e-8)
        assert run.status == "converged"
    else:
        value, W, _ = smooth_optimum(name, near, Y, l2=0.01)
        assert run.loss == pytest.approx(value, rel=1e-8)  # 10⁶·w + b is rounded by 1e-10
        assert (run.status, run.epochs < 100) == ("converged", True)  # the proof is of columns about their means
        assert run.gap <= 1e-10 * run.loss
        # The objective is l2-strongly convex in w: l2/2·|w − W|² is at most what the run has proved, and W's own error.
        assert np.linalg.norm(run.model.weights.reshape(W.shape) - W) <= (2 * (run.gap + 1e-13 * value) / 0.01) ** 0.5


@pytest.mark.parametrize("name", [name for name in SMOOTH if name != "mse"])
def test_the_proof_of_far_columns_does_not_depend_on_how_predictions_are_rounded(name):
    # 10⁶·w + b is rounded by 1e-10, on another machine in another way, and so is the gradient of the bias.
    X, _, Y = far_columns(name)
    run = fit(X, Y, loss=name, l2=0.01)
    W, b, targets = run.model.weights.reshape(3, -1), np.ravel(run.model.bias), Y.reshape(-1, 1).astype(float)
    gradient = kernel.loss_gradient(X, targets, W, b, loss=name, parameter=LOSSES[name]().parameter, l2=0.01)[2]
    other = np.array([1e-10, -1e-10, 0])[: len(b)]
    problem = SimpleNamespace(
        X=X, Y=targets, sample_weight=None, n_threads=1, loss_function=LOSSES[name](), backend_name="kernel",
        penalty=Penalty(0.0, 0.01, Box.of(None, 3)),
    )  # fmt: skip
    for off in (0, other, -other):
        found = gap.duality_gap(problem, W, b, gradient + off)
        assert found == pytest.approx(run.gap, rel=0.05, abs=1e-14)  # ∇b itself is at least 4e-9


# ----------------------------------------------------------------------------------------------------------- weights of rows


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("precondition", ["gram", "diagonal"])
@pytest.mark.parametrize(("l1", "l2"), [(0, 0.01), (0.02, 0)])
@pytest.mark.parametrize("law", ["ones are none", "only proportions matter", "zero is removed", "two is twice"])
def test_weights_of_rows(name, precondition, l1, l2, law):
    X, Y = problem(name)
    if name in KINKED:
        X = X[:, :1]
    times = np.random.default_rng(4).integers(0, 3, len(X))
    kept = times > 0
    s = np.ones(len(X)) if law == "ones are none" else times.astype(float)
    other = {
        "ones are none": (X, Y, None),
        "only proportions matter": (X, Y, np.pi * times),
        "zero is removed": (X[kept], Y[kept], s[kept]),
        "two is twice": (np.repeat(X, times, axis=0), np.repeat(Y, times), None),
    }[law]
    options = {"loss": name, "precondition": precondition, "l1": l1, "l2": l2, "epochs": 300}
    if name in SMOOTH:
        options["tol"] = 1e-10  # by default it goes on until progress ends, which is not the same of other sums
    one, two = (fit(A, B, sample_weight=c, **options) for A, B, c in ((X, Y, s), other))
    np.testing.assert_allclose(flat(one.model), flat(two.model), rtol=1e-6, atol=1e-6 * np.abs(flat(two.model)).max())
    assert one.loss == pytest.approx(two.loss, rel=1e-9)
    assert (one.status, one.epochs) == (two.status, two.epochs)
    if one.gap is not None:
        assert one.gap == pytest.approx(two.gap, rel=1e-6, abs=1e-12 * one.loss)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("far", [100.0, 1e7])
def test_rows_of_weight_zero_are_not_there_however_far(name, far):
    X, Y = problem(name)
    if name in KINKED:
        X = X[:, :1]
    kept = np.arange(len(X)) % 9 > 0
    wanted = fit(X[kept], Y[kept], loss=name, l2=0.01, epochs=300)
    X[~kept] *= far
    if LOSSES[name]().targets == "real":
        Y[~kept] = far
    run = fit(X, Y, loss=name, l2=0.01, epochs=300, sample_weight=kept.astype(float))
    assert run.loss == pytest.approx(wanted.loss, rel=1e-9 if name in SMOOTH else 1e-4)
    assert run.status == wanted.status
    if name in SMOOTH:
        np.testing.assert_allclose(flat(run.model), flat(wanted.model), rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------------ proofs


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("l1", "l2"), PENALTIES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gap_is_never_below_the_truth(name, l1, l2, bias, weighted):
    X, Y = problem(name)
    if name in KINKED:
        X = X[:, :1]
    s = weights_of(len(X)) if weighted else None
    d, k = X.shape[1], 3 if name == "softmax" else None
    model = Linear(np.zeros((d, k)) if k else np.zeros(d), (np.zeros(k) if k else 0.0) if bias else None)
    lr = 0.9 / gdcore.spectrum(X, bias, name, l2, s).largest if name in SMOOTH else 1e-4
    if name in KINKED:
        wanted = kinked_optimum(name, X[:, 0], Y, l1, l2, s, bias=bias)
    else:
        wanted = smooth_optimum(name, X, Y, l1, l2, s, bias)[0]
    for rate, epochs in itertools.product((lr, "auto"), (0, 1, 3, 8, 30, 200)):
        run = fit(X, Y, model, loss=name, l1=l1, l2=l2, sample_weight=s, lr=rate, epochs=epochs)
        missing = of_run(name, run, X, Y, l1, l2, s) - wanted
        if run.gap is None:  # of absolute errors, far from the end
            assert name in KINKED
            assert run.status != "converged"
            continue
        # A sum over 90 rows is rounded by up to 90 eps of it, 2e-14, and so is each side of this.
        assert run.gap >= missing * (1 - 1e-12) - 1e-13 * wanted
        if name == "mse" and l1 == 0:
            assert run.gap == pytest.approx(missing, rel=1e-7, abs=1e-13 * wanted)
    assert run.status == "converged"
    assert run.gap <= (1e-10 if name in SMOOTH else 1e-8) * run.loss


@pytest.mark.parametrize("loss", ["mse", huber(delta=0.3), "logistic"], ids=str)
def test_the_gap_of_several_outputs_adds_up(loss):
    name = loss if isinstance(loss, str) else loss.name
    X, Y = problem(name, k=3)
    best_loss = sum(fit(X, Y[:, c], loss=loss, l2=0.05, tol=1e-13, epochs=3000).loss for c in range(3))
    for epochs in (0, 2, 6):
        run = fit(X, Y, loss=loss, l2=0.05, epochs=epochs)
        assert run.gap >= run.loss - best_loss - 1e-12
    assert fit(X, Y, loss=loss, l2=0.05, epochs=3000).gap <= 1e-10 * best_loss


def test_the_gap_of_columns_that_gram_cannot_tell_apart():
    # Column 2 differs from column 0 by 1e-8 of it: lstsq sees that, a Gram matrix does not. Nothing must be proved.
    rng = np.random.default_rng(0)
    for off in (1e-5, 1e-6, 1e-7, 3e-8, 1e-8, 1e-9, 1e-10):
        X = rng.normal(size=(200, 3))
        Y = X[:, 2] + rng.normal(size=200)
        X[:, 2] = X[:, 0] + off * X[:, 2]
        Z = np.column_stack([X, np.ones(200)])
        wanted = np.mean((Y - Z @ np.linalg.lstsq(Z, Y, rcond=1e-13)[0]) ** 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConditionWarning)
            run = fit(X, Y)
        missing = run.loss - wanted
        assert run.gap is None or run.gap >= missing * (1 - 1e-3) - 1e-9, off
        assert run.status != "converged" or missing <= 1e-6 * wanted, off


def test_networks_prove_nothing():
    X, Y = problem("mse")
    assert fit((X - X.mean(axis=0)) / X.std(axis=0), Y, MLP([3, 2, 1]), epochs=3).gap is None


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("tol", [1e-2, 1e-5, 1e-9])
def test_converged_is_said_only_of_a_gap_within_tol(name, tol):
    X, Y = problem(name)
    wanted = best(name, 0.0, 0.01)
    lr = 1 / gdcore.spectrum(X, loss=name, l2=0.01).largest
    seen = set()
    for rate, epochs in itertools.product(("auto", lr), (1, 2, 4, 8, 16, 64, 512)):
        run = fit(X, Y, loss=name, l2=0.01, tol=tol, lr=rate, epochs=epochs)
        seen.add(run.status)
        if run.status == "converged":
            assert run.gap <= tol * run.loss
            assert run.loss - wanted <= tol * run.loss + 1e-13
            assert run.epochs <= epochs
        else:
            assert run.status == "epochs"
            assert run.epochs == epochs
    assert "converged" in seen


@pytest.mark.parametrize("name", SMOOTH)
def test_at_a_given_lr_without_l2_converged_is_a_proof(name):
    X, Y = problem(name)
    Z = X / np.geomspace(1, 100, 3)
    run = fit(Z, Y, loss=name, lr=gdcore.spectrum(Z, loss=name).lr_best, tol=1e-4, epochs=20_000, method="stream")
    assert run.status == "converged"
    assert run.gap >= run.loss - best(name) - 1e-13 * run.loss
    assert run.gap <= 1e-4 * run.loss


UNITS = [(1.0, 1.0, 1.0), (1.0, 1e-11, 1e4), (1e-9, 1e-9, 1e-9), (1e8, 1e8, 1e8)]
"""Of columns of size 1: a gradient of 1e-11 is none of a column of size 1, and a large one of a column of size 1e-11."""
PLAIN = {
    "sgd": {"optimizer": "sgd", "tol": 1e-4, "epochs": 2000},
    "adam": {"optimizer": "adam", "tol": 1e-4, "epochs": 300},
    "nesterov": {"optimizer": "nesterov", "precondition": None, "epochs": 300},
    "batches": {"batch_size": 30, "tol": 1e-3, "epochs": 60},
}


@pytest.mark.filterwarnings("ignore::gdcore.ConvergenceWarning", "ignore::gdcore.DivergenceWarning")
@pytest.mark.parametrize("how", PLAIN)
@pytest.mark.parametrize("name", LOSSES)
def test_plain_gradients_say_converged_only_where_they_are_in_any_units(name, how):
    X, Y = problem(name)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    wanted = fit(Z, Y, loss=name)
    assert wanted.gap <= 1e-8 * wanted.loss
    seen = set()
    for units in UNITS if how != "nesterov" or name not in KINKED else []:
        run = fit(Z * units, Y, loss=name, **PLAIN[how])
        seen.add(run.status)
        if run.status == "converged":
            assert run.loss - wanted.loss <= (PLAIN[how].get("tol", 1e-10) + 1e-11) * run.loss
            assert run.gap <= (PLAIN[how].get("tol", 1e-10) + 1e-11) * run.loss
    assert "converged" in seen or how != "sgd" or name in KINKED


@pytest.mark.parametrize("name", SMOOTH)
def test_the_unit_of_all_columns_has_no_say_in_when_plain_gradients_stop(name):
    X, Y = problem(name)
    Z, weights = (X - X.mean(axis=0)) / X.std(axis=0), np.zeros((3, 3) if name == "softmax" else 3)
    runs = [fit(Z * 2.0**power, Y, Linear(weights, None), name, "sgd", tol=1e-4) for power in (-30, 0, 20)]
    assert {run.status for run in runs} == {"converged"}
    assert len({run.epochs for run in runs}) == 1


@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_separable_classes_have_no_optimum_and_none_is_claimed(name):
    X = np.concatenate([np.linspace(-2, -1, 10), np.linspace(1, 2, 10)])[:, None]
    with pytest.warns(SeparationWarning, match="by column 0 of X"):
        run = fit(X, (X[:, 0] > 0).astype(int), loss=name, epochs=200)
    # Losses come as near to 0 as one likes; each is rounded by some eps of 1.
    assert run.gap == pytest.approx(run.loss, abs=1e-15)
    assert np.isfinite(flat(run.model)).all()
    assert run.status == "converged"
    assert run.loss <= 1e-10 * np.log(2)
    penalised = fit(X, (X[:, 0] > 0).astype(int), loss=name, l2=1e-3)
    assert penalised.status == "converged"
    assert penalised.gap <= 1e-10 * penalised.loss


# --------------------------------------------------------------------------------------------------------- certified values


def powers(name):
    """As stored, but of a polynomial's x the powers that have a certified coefficient."""
    X, Y, certified = load(name)
    if name in ("wampler1", "filip"):
        X = X ** np.arange(1, len(certified["coefficients"]))
    return X, Y, certified


WANTED = {"norris": 12, "noint1": 14, "longley": 11, "wampler1": 9}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", WANTED)
def test_nist_with_default_settings(name, backend):
    X, Y, certified = powers(name)
    intercept = name != "noint1"
    run = fit(X, Y, None if intercept else Linear(np.zeros(X.shape[1]), None), backend=backend)
    found = np.append(run.model.bias, run.model.weights) if intercept else run.model.weights
    assert run.status == "converged"
    assert digits(found, certified["coefficients"]) >= WANTED[name]
    sd = residual_sd(run.model, X, Y, X.shape[1] + intercept)
    rest = np.sum((Y - run.model.predict(X)) ** 2)
    around = np.sum((Y - Y.mean()) ** 2) if intercept else np.sum(Y**2)
    assert digits(1 - rest / around, certified["r_squared"]) >= 12
    if name == "wampler1":
        assert sd <= 1e-5
    else:
        assert digits(sd, certified["residual_sd"]) >= 10


@pytest.mark.parametrize("backend", BACKENDS)
def test_filip_is_refused_honestly(backend):
    X, Y, _ = powers("filip")
    with pytest.warns(ConditionWarning, match=r"condition \d") as warned:
        run = fit(X, Y, backend=backend)
    assert [warning.category for warning in warned] == [ConditionWarning, ConvergenceWarning]
    assert run.status != "converged"
    assert run.gap is None
    assert np.isfinite(flat(run.model)).all()
    assert np.isfinite(run.history.loss).all()
    assert run.loss <= np.var(Y)


SIZES = (1, 2, 3, 5, 10, 50)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
@pytest.mark.parametrize("deficient", [False, True])
def test_stationary_as_lapack_asks_wherever_converged_is_claimed(deficient, scale, bias):
    # dqrt17: ‖RᵀA‖/(‖A‖·α·max(M, N)·ε) < 30, α = ‖B‖ where the residual is zero, else ‖R‖; 1-norms.
    claimed, rng = 0, np.random.default_rng([int(deficient), int(bias)])
    for m, n in itertools.product(SIZES, SIZES):
        rank = max(1, 3 * min(m, n) // 4) if deficient else min(m, n)
        A = scale * rng.normal(size=(m, n))
        if deficient:
            A = A[:, :rank] @ rng.normal(size=(rank, n))
        B = rng.normal(size=m)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConditionWarning)
            run = fit(A, B, Linear(np.zeros(n), 0.0 if bias else None))
        assert np.isfinite(flat(run.model)).all()
        if run.status != "converged":
            continue
        claimed += 1
        Z = np.column_stack([A, np.ones(m)]) if bias else A
        R = B - Z @ flat(run.model)
        zero = np.linalg.matrix_rank(Z) == m
        alpha = np.abs(B).sum() if zero else np.abs(R).sum()
        # Columns of one scale: that of ones beside columns of 1e±6 has a norm of its own.
        norms = [np.abs(A).sum(axis=0).max(), np.abs(np.ones(m)).sum()]
        moments = np.abs(R @ A).max() / norms[0], abs(R.sum()) / norms[1] if bias else 0.0
        assert max(moments) < 30 * alpha * max(m, n + bias) * np.finfo(float).eps, (m, n)
    assert claimed >= 30


# ------------------------------------------------------------------------------------------------ batches, other optimizers


@pytest.mark.parametrize("batch_size", [1, 8, 64])
@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_solve_an_interpolation_problem(batch_size, backend):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    run = fit(X, X @ [1.0, -2, 3, 0.5] + 1, batch_size=batch_size, epochs=150, backend=backend)
    np.testing.assert_allclose(flat(run.model), [1, -2, 3, 0.5, 1], atol=1e-6)
    s = gdcore.spectrum(X)
    np.testing.assert_allclose(run.history.lr, s.batch_lr(batch_size), rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_batches_come_near_the_optimum(name):
    X, Y = problem(name, 400)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    wanted = smooth_optimum(name, Z, Y)[0] if name in SMOOTH else fit(Z, Y, loss=name, epochs=2000).loss
    zero = fit(Z, Y, loss=name, epochs=0).loss
    run = fit(Z, Y, loss=name, batch_size=20, epochs=100)
    assert wanted * (1 - 1e-4) <= run.loss <= wanted + 0.05 * (zero - wanted)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_lowers_every_loss(name, optimizer):
    X, Y = problem(name)
    run = fit(X, Y, loss=name, optimizer=optimizer, epochs=200)
    assert run.loss < fit(X, Y, loss=name, epochs=0).loss
    assert np.isfinite(run.history.lr).all()
    if OPTIMIZERS[optimizer].lr is not None:
        np.testing.assert_array_equal(run.history.lr, OPTIMIZERS[optimizer].lr)


@pytest.mark.parametrize("name", SMOOTH)
def test_plain_descent_takes_one_over_the_largest_eigenvalue(name):
    X, Y = problem(name)
    run = fit(X, Y, loss=name, optimizer="sgd", l2=0.1, epochs=100)
    np.testing.assert_allclose(run.history.lr, 1 / gdcore.spectrum(X, loss=name, l2=0.1).largest, rtol=1e-12)
    assert (np.diff(run.history.loss) < 0).all()


@pytest.mark.parametrize("name", KINKED)
def test_plain_descent_of_kinked_losses_takes_decreasing_steps(name):
    X, Y = problem(name)
    Z = (X[:, :1] - X[:, :1].mean()) / X[:, :1].std()
    run = fit(Z, Y, loss=name, optimizer="sgd", epochs=2000)
    np.testing.assert_allclose(run.history.lr, run.history.lr[0] / np.sqrt(run.history.epoch), rtol=1e-12)
    wanted = kinked_optimum(name, Z[:, 0], Y)
    assert 0 <= run.loss - wanted <= 0.01 * wanted


# ------------------------------------------------------------------------------------------------------------------ networks


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_networks_lower_the_loss_in_every_epoch(name, activation, scale):
    X, Y = problem(name)
    Z = scale * (X - X.mean(axis=0)) / X.std(axis=0)
    model = MLP([3, 6, 3 if name == "softmax" else 1], activation=activation)
    with contextlib.nullcontext() if scale == 1 else pytest.warns(ScaleWarning, match="column 0 of X has sizes up to"):
        run = fit(Z, Y, model, loss=name, epochs=40)
        start = fit(Z, Y, model, loss=name, epochs=0)
    losses = np.append(start.loss, run.history.loss)
    assert (np.diff(losses) <= 1e-14 * losses[0]).all()
    assert losses[-1] < 0.999 * losses[0]
    assert (run.history.lr > 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_networks_in_batches_lower_the_loss(name):
    X, Y = problem(name)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    model = MLP([3, 6, 3 if name == "softmax" else 1], activation="tanh")
    run = fit(Z, Y, model, loss=name, epochs=30, batch_size=15)
    assert run.loss < fit(Z, Y, model, loss=name, epochs=0).loss


# -------------------------------------------------------------------------------------------------------------------- errors


def test_learning_rates_that_are_none():
    X, Y = problem("mse")
    for lr in ("best", "", "AUTO"):
        with pytest.raises(TypeError, match="auto"):
            fit(X, Y, lr=lr)


@pytest.mark.parametrize("precondition", ["gram", "diagonal"])
@pytest.mark.parametrize(
    "options",
    [{"batch_size": 5}, {"optimizer": "adam"}, {"decimals": 2}, {"model": MLP([3, 2, 1])}, {"optimizer": gdcore.SGD(0.9)}],
    ids=lambda options: next(iter(options)),
)
def test_what_cannot_be_preconditioned(precondition, options):
    X, Y = problem("mse")
    with pytest.raises(ValueError, match="precondition"):
        fit(X, Y, precondition=precondition, **options)


# ---------------------------------------------------------------------------------------------------- the steps, written out


@pytest.mark.parametrize("lr", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_a_preconditioned_step_takes_the_same_share_of_all_errors(lr, bias, l2):
    # W ← W − lr·H⁻¹∇ of a quadratic leaves 1 − lr of the error in every direction, (1 − lr)² of the gap.
    X, Y = problem("mse")
    start = Linear(np.zeros(3), 0.0 if bias else None)
    wanted = smooth_optimum("mse", X, Y, l2=l2, bias=bias)[0]
    first = np.mean(Y**2) - wanted
    for epochs in (1, 2, 7):
        run = fit(X, Y, start, lr=lr, precondition="gram", epochs=epochs, l2=l2)
        np.testing.assert_allclose(run.history.loss - wanted, first * (1 - lr) ** (2 * run.history.epoch), atol=1e-12 * first)
        np.testing.assert_array_equal(run.history.lr, lr)
        assert run.status == "epochs"


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_nesterov_at_a_given_lr_is_its_formula(name, l2):
    X, Y = problem(name)
    Z = X / np.geomspace(1, 100, 3)
    lr = 0.8 / gdcore.spectrum(Z, loss=name, l2=l2).largest
    model = fit(Z, Y, loss=name, epochs=0).model
    W, b = model.weights.reshape(3, -1), np.ravel(model.bias)
    x, xb, k, losses = W, b, 0, []
    for _ in range(60):
        slopes = losses_and_slopes(name, Z @ W + b, Y)[1] / len(Z)
        g, gb = Z.T @ slopes + l2 * W, slopes.sum(axis=0)
        new, new_b = W - lr * g, b - lr * gb
        if (g * (new - x)).sum() + (gb * (new_b - xb)).sum() > 0:
            k = 0
        W, b = new + k / (k + 3) * (new - x), new_b + k / (k + 3) * (new_b - xb)
        x, xb, k = new, new_b, k + 1
        losses.append(objective(name, Z, Y, W, b, l2=l2))
    run = fit(Z, Y, loss=name, optimizer="nesterov", lr=lr, l2=l2, epochs=60)
    np.testing.assert_allclose(run.history.loss, losses, rtol=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_a_number_for_lr_is_the_textbooks_step(name):
    X, Y = problem(name)
    model = fit(X, Y, loss=name, epochs=0).model
    W, b = model.weights.reshape(3, -1), np.ravel(model.bias)
    slopes = losses_and_slopes(name, X @ W + b, Y)[1] / len(X)
    run = fit(X, Y, loss=name, lr=1e-5, epochs=1)
    np.testing.assert_allclose(run.model.weights.reshape(W.shape), W - 1e-5 * X.T @ slopes, rtol=1e-12)
    np.testing.assert_allclose(np.ravel(run.model.bias), b - 1e-5 * slopes.sum(axis=0), rtol=1e-12)


# ------------------------------------------------------------------------------------------------ tables at the edge of sense


def edges():
    """Tables by name: X, and real targets."""
    rng = np.random.default_rng(9)
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=20)
    constant = X * [1, 0, 1] + [0, 7.0, 0]
    return {
        "one row": (X[:1], Y[:1]),
        "two rows": (X[:2], Y[:2]),
        "fewer rows than columns": (rng.normal(size=(4, 9)), Y[:4]),
        "all zeros": (np.zeros((20, 3)), Y),
        "a column of zeros": (X * [1, 0, 1], Y),
        "a constant column": (constant, Y),
        "a constant column far away": (constant * [1, 1e5, 1], Y),
        "the same column twice": (X[:, [0, 1, 0]], Y),
        "one column": (X[:, :1], Y),
        "targets all zero": (X, np.zeros(20)),
        "targets all one": (X, np.ones(20)),
        "targets a column": (X, X[:, 0]),
        "large": (X * 1e8, Y * 1e8),
        "small": (X * 1e-8, Y * 1e-8),
        "scales apart": (X * [1e-6, 1, 1e6], Y),
        "rows all the same": (np.ones((20, 3)), Y),
    }


DEPENDENT = [
    "one row", "two rows", "fewer rows than columns", "all zeros", "a column of zeros", "a constant column",
    "a constant column far away", "the same column twice", "rows all the same",
]  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("precondition", ["gram", "diagonal"])
@pytest.mark.parametrize("edge", edges())
def test_tables_at_the_edge_of_sense(name, precondition, edge):
    X, Y = edges()[edge]
    kind = LOSSES[name]().targets
    Y = Y if kind == "real" else (Y > 0.5).astype(int)
    for (l1, l2), backend in [*zip(PENALTIES, ["kernel"] * 4, strict=True), ((0.0, 0.0), "reference")]:
        options = {"loss": name, "l1": l1, "l2": l2, "precondition": precondition, "backend": backend}
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            # A diagonal bound on a kink's curvature asks for small steps.
            run = fit(X, Y, epochs=400 if name in KINKED and precondition == "diagonal" else 40, **options)
            start = fit(X, Y, epochs=0, **options)
        told = [warning.category for warning in warned]
        assert set(told) <= {ConditionWarning, SeparationWarning, ConvergenceWarning, gdcore.UniquenessWarning}
        # A start that is proved to be the end may make columns' dependence no matter.
        assert told.count(ConditionWarning) == (
            edge in DEPENDENT and precondition == "gram" and l1 == l2 == 0 and run.epochs > 0
        )
        assert told.count(ConvergenceWarning) == (run.status == "epochs")
        if SeparationWarning in told:
            assert kind != "real"
            assert run.status == "converged"
            # Penalties keep weights small, but no bias: there only one class separates.
            assert l1 == l2 == 0 or len(np.unique(Y)) == 1
        elif kind != "real" and precondition == "gram" and len(np.unique(Y)) == 1:
            assert run.status == "epochs"
        assert np.isfinite(flat(run.model)).all()
        assert np.isfinite(run.history.loss).all()
        assert run.loss <= start.loss * (1 + 1e-12), (l1, l2)
        assert run.status in ("converged", "epochs")
        if run.gap is not None:
            assert 0 <= run.gap < math.inf
        elif l2 > 0:
            assert name in KINKED  # with l2 a smooth loss has a proof
        if name == "mse" and run.gap is not None:
            assert run.status == "converged" or run.epochs == 40


# ------------------------------------------------------------------------------------------------------------ Newton by name


@pytest.mark.parametrize("name", LOSSES)
def test_newtons_method_by_its_name(name):
    X, Y = problem(name)
    run, named = fit(X, Y, loss=name), fit(X, Y, loss=name, optimizer="newton")
    assert named.status == "converged"
    assert named.loss == pytest.approx(run.loss, rel=1e-12)
    if name != "mse":  # which is solved from its second moments
        assert flat(named.model).tobytes() == flat(run.model).tobytes()
        assert (named.epochs, named.gap) == (run.epochs, run.gap)
    again = fit(X, Y, loss=name, optimizer=gdcore.Newton())
    assert flat(again.model).tobytes() == flat(named.model).tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"batch_size": 10},
        {"decimals": 3},
        {"precondition": None},
        {"precondition": "diagonal"},
        {"model": MLP([3, 2, 1])},
        {"loss": "softmax", "model": Linear(np.zeros((3, 600)), np.zeros(600))},
    ],
    ids=str,
)
def test_where_newtons_method_cannot_be(options):
    X, Y = problem("softmax" if "loss" in options else "mse")
    with pytest.raises(ValueError, match=r"optimizer='newton' is for lr='auto', linear models of up to 2,048 columns"):
        fit(X, Y, optimizer="newton", **options)


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_most_rows_fit_exactly_at_weights_of_zero(name, l2):
    """Then neither weights nor typical residuals say how wide a row's neighbourhood is."""
    y = np.zeros(40)
    y[:5] = 1.0, -2.0, 3.0, 1e-3, 2.0
    run = fit(np.ones((40, 1)), y, Linear(np.zeros(1), None), name, l1=5.0, l2=l2)
    wanted = np.abs(y).mean() if name == "mae" else np.abs(y).mean() / 2
    assert (run.status, run.model.weights.tolist()) == ("converged", [0.0])
    assert run.loss == pytest.approx(wanted, rel=1e-14)
    assert run.gap < 1e-12
