"""Mini-batches: the kernel against the reference and a plain loop, the order of the rows, resuming, stopping."""

import itertools
import signal

import numpy as np
import pytest

from gdcore import SGD, Adagrad, DivergenceError, LearningRateWarning, Linear, RMSprop, fit
from gdcore.backends import kernel, reference
from gdcore.losses import LOSSES
from gdcore.optimizers import OPTIMIZERS

# Runs here stop when they are told to, converged or not.
pytestmark = pytest.mark.filterwarnings("ignore::gdcore.ConvergenceWarning")

BACKENDS = ["kernel", "reference"]
VARIANTS = [kind() for kind in OPTIMIZERS.values()] + [
    SGD(0.9), SGD(0.9, True), Adagrad(0.1, 0.2), RMSprop(momentum=0.8), RMSprop(0.9, momentum=0.5, centered=True)
]  # fmt: skip


def problem(loss="mse", n=45, d=4, k=1, dtype=np.float64, seed=0):
    rng = np.random.default_rng([seed, n, d, k])
    X, kind = rng.normal(0.2, 1, (n, d)), LOSSES[loss]().targets
    Y = rng.normal(1, 2, (n, k))
    if kind == "binary":
        Y = rng.integers(0, 2, (n, k))
    elif kind == "classes":
        Y = rng.integers(0, k, (n, 1))
    elif kind != "real":
        Y = np.exp(Y / 4)
    return X.astype(dtype), Y.astype(dtype), rng.uniform(0.1, 2, n).astype(dtype)


def flat(model):
    return np.concatenate([np.ravel(model.weights), np.ravel(model.bias)])


def same_bits(run, other):
    assert flat(run.model).tobytes() == flat(other.model).tobytes()
    assert run.history.loss.tobytes() == other.history.loss.tobytes()
    assert (run.loss, run.epochs, run.status) == (other.loss, other.epochs, other.status)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", VARIANTS, ids=repr)
def test_the_kernels_trajectory_is_the_references(loss, optimizer):
    chosen = LOSSES[loss]()
    k = 3 if loss == "softmax" else 2
    both = (False, True)
    for dtype, weighted, bias, size in itertools.product((np.float64, np.float32), both, both, (1, 7, 32, 45)):
        if dtype == np.float32 and (chosen.curvature is None or type(optimizer) is not SGD):
            continue
        X, Y, s = problem(loss, k=k, dtype=dtype)
        found = []
        for backend in (kernel, reference):
            W, b = np.full((4, k), 0.1, dtype), np.full(k, 0.2, dtype) if bias else None
            state = np.full((optimizer.slots, 5 * k), optimizer.initial, dtype) if optimizer.slots else None
            steps, history, done = np.zeros(1, np.int64), np.full((3, 2), np.nan), np.zeros(1, np.int64)
            for epoch in range(2):
                order = np.empty(45, np.int64)
                reference.permutation(order, 3, epoch)
                status = backend.descend_batches(
                    X, Y, W, b, 0.001 if chosen.has_link else 0.01, size, history, done, order=order,
                    sample_weight=s if weighted else None, loss=loss, parameter=chosen.parameter,
                    l1=0.01, l2=0.1, optimizer=optimizer.rule, state=state, steps=steps,
                )  # fmt: skip
                assert status == "epochs"
            assert (done[0], steps[0]) == (2, 2 * -(-45 // size))
            found.append([W, np.zeros(k) if b is None else b, history[0]])
        tolerance = 1e-9 if dtype == np.float64 else 1e-3
        for ours, wanted in zip(*found, strict=True):
            scale = max(np.abs(wanted).max(), 1e-3)
            assert np.abs(ours - wanted).max() <= tolerance * scale, (dtype, weighted, bias, size)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [1, 7, 44])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_fit_is_the_plain_loop(backend, size, shuffle, weighted):
    X, Y, s = problem()
    Y, seed, lr, l2 = Y[:, 0], 5, 0.02, 0.1
    rows_weights = s if weighted else np.ones(45)
    w, b, losses = np.zeros(4), 0.0, []
    for epoch in range(6):
        order = np.arange(45)
        if shuffle:
            reference.permutation(order, seed, epoch)
        total = 0.0
        for low in range(0, 45, size):
            rows = order[low : low + size]
            r, share = X[rows] @ w + b - Y[rows], rows_weights[rows]
            total += np.sum(share * r * r)
            w, b = w - lr * (2 * X[rows].T @ (share * r) / share.sum() + l2 * w), b - lr * 2 * share @ r / share.sum()
        losses.append(total / rows_weights.sum() + l2 / 2 * w @ w)
    run = fit(
        X, Y, lr=lr, l2=l2, epochs=6, batch_size=size, shuffle=shuffle, seed=seed, backend=backend,
        sample_weight=s if weighted else None,
    )  # fmt: skip
    np.testing.assert_allclose(flat(run.model), [*w, b], rtol=1e-11)
    np.testing.assert_allclose(run.history.loss, losses, rtol=1e-11)
    assert np.isnan(run.history.gradient_norm).all()
    final = np.average((X @ w + b - Y) ** 2, weights=rows_weights) + l2 / 2 * w @ w
    assert run.loss == pytest.approx(final, rel=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3, 100, 1001])
def test_permutations(n):
    seen = set()
    for seed, epoch in itertools.product((0, 1, 2, 2**62), (0, 1, 2)):
        orders = [np.empty(n, np.int64) for _ in range(2)]
        kernel.permutation(orders[0], seed, epoch)
        reference.permutation(orders[1], seed, epoch)
        assert orders[0].tolist() == orders[1].tolist()
        assert sorted(orders[0]) == list(range(n))
        seen.add(orders[0].tobytes())
    assert n < 100 or len(seen) == 12


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_seed_same_bits_whatever_the_threads_and_the_layout(loss, dtype):
    X, Y, s = problem(loss, n=301, d=20, k=3 if loss == "softmax" else 1, dtype=dtype)
    strided = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2]
    options = {"loss": loss, "lr": 0.01, "epochs": 3, "batch_size": 64, "seed": 9, "sample_weight": s}
    wanted = fit(X, Y[:, 0], n_threads=1, **options)
    for layout, n_threads in itertools.product((X, np.asfortranarray(X), strided), (1, 2, 3)):
        run = fit(layout, Y[:, 0], n_threads=n_threads, **options)
        assert flat(run.model).tobytes() == flat(wanted.model).tobytes()
        assert run.history.loss.tobytes() == wanted.history.loss.tobytes()
        # what is looked at in the end goes by rows or by columns
        assert run.loss == pytest.approx(wanted.loss, rel=1e-12 if dtype == np.float64 else 1e-5)
    assert flat(fit(X, Y[:, 0], **{**options, "seed": 10}).model).tobytes() != flat(wanted.model).tobytes()


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("size", [1, 2, 5, 16, 17, 64, 65])
def test_batches_of_any_size_and_layout_are_the_references(layout, size):
    """Up to 64 rows, or 16 long ones in order, a step is made by a loop of its own; above it is a pass."""
    X, Y, s = problem(n=603, d=70)
    there = {"C": X, "F": np.asfortranarray(X), "strided": np.repeat(X, 2, axis=1)[:, ::2]}[layout]
    for order in (None, np.random.default_rng(0).permutation(603)):
        found = []
        for backend, rows in ((kernel, there), (reference, X)):
            W, b, history, done = np.zeros((70, 1)), np.zeros(1), np.zeros((3, 1)), np.zeros(1, np.int64)
            backend.descend_batches(rows, Y, W, b, 0.001, size, history, done, order=order, sample_weight=s, l2=0.1)
            found.append(np.concatenate([W[:, 0], b, history[0]]))
        np.testing.assert_allclose(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_an_order_that_is_changed_meanwhile_is_never_followed_out_of_the_rows():
    """A signal's handler runs in the middle of the epoch; rows without strides make it long."""
    n = 8_000_000
    X, Y = np.broadcast_to(np.ones((1, 10)), (n, 10)), np.broadcast_to(np.ones((1, 1)), (n, 1))
    order = np.arange(n)
    W, b, history, done = np.full((10, 1), 0.5), np.full(1, 0.5), np.zeros((3, 1)), np.zeros(1, np.int64)
    before = signal.signal(signal.SIGALRM, lambda *_: order.fill(2**40))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        with pytest.raises(ValueError, match=r"order was changed meanwhile|which is none of"):
            kernel.descend_batches(X, Y, W, b, 0.001, 1, history, done, order=order)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (W == 0.5).all()
    assert (b[0], done[0]) == (0.5, 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fit_then_resume_is_fit_bit_for_bit(name, backend, dtype):
    X, Y, _ = problem(dtype=dtype)
    optimizer = SGD(0.9) if name == "sgd" else name
    for size, shuffle in itertools.product((None, 7), (False, True)):
        options = {"optimizer": optimizer, "lr": 0.01, "batch_size": size, "shuffle": shuffle, "backend": backend}
        whole = fit(X, Y[:, 0], epochs=8, **options)
        for first in (0, 1, 5):
            same_bits(fit(X, Y[:, 0], epochs=first, **options).resume(X, Y[:, 0], 8 - first), whole)


@pytest.mark.parametrize("backend", BACKENDS)
def test_converged_is_said_truthfully(backend):
    X, Y, _ = problem()
    run = fit(X, Y, lr=0.01, epochs=200, batch_size=7, tol=1e-2, backend=backend, keep_weights=True)
    residuals = [X @ model.weights + model.bias - Y for model in run.models]
    losses, best = np.array([np.mean(r * r) for r in residuals]), fit(X, Y).loss
    r = residuals[-1]
    assert (run.status, run.gradient_norm) == (
        "converged",
        pytest.approx(np.hypot(np.linalg.norm(2 * X.T @ r / 45), 2 * r.mean()), rel=1e-6),
    )
    assert run.history.loss == pytest.approx(losses[1:], rel=1e-9)
    assert (losses - best <= 1e-2 * losses).tolist() == run.epochs * [False] + [True]
    assert fit(X, Y, lr=0.01, epochs=3, batch_size=7, tol=1e-2, backend=backend).status == "epochs"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [None, 7])
def test_patience_keeps_the_best_model_and_goes_on_counting(backend, size):
    X, Y, _ = problem(n=12, d=8)
    Xv, Yv, _ = problem(n=30, d=8, seed=1)
    options = {"lr": 0.04, "batch_size": 5 if size else None, "validation": (Xv, Yv[:, 0]), "backend": backend}
    full = fit(X, Y[:, 0], epochs=400, **options).history.validation_loss
    best, waited, stop = np.inf, 0, None
    for epoch, value in enumerate(full, 1):
        best, waited = (value, 0) if value < best else (best, waited + 1)
        if waited == 4:
            stop = epoch
            break
    assert stop is not None
    run = fit(X, Y[:, 0], epochs=400, patience=4, **options)
    assert (run.status, run.epochs) == ("early_stopped", stop)
    at_best = np.mean((Xv @ run.model.weights + run.model.bias - Yv[:, 0]) ** 2)
    assert at_best == pytest.approx(full[:stop].min(), rel=1e-12)
    assert run.loss == pytest.approx(np.mean((X @ run.model.weights + run.model.bias - Y[:, 0]) ** 2), rel=1e-12)
    for first in (1, stop - 2, stop - 1):
        same_bits(fit(X, Y[:, 0], epochs=first, patience=4, **options).resume(X, Y[:, 0], 400 - first), run)


@pytest.mark.parametrize("value", [0, -1, 46, 2.5, "7"])
def test_bad_batch_sizes_are_named(value):
    kind = ValueError if isinstance(value, int) else TypeError
    X, Y, _ = problem()
    with pytest.raises(kind, match=r"batch_size must be .*found"):
        fit(X, Y, lr=0.1, batch_size=value)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_without_weight_are_passed_over(name, backend):
    X, Y, s = problem(n=42)
    s[:7] = s[21:28] = 0
    options = {"optimizer": name, "lr": 0.02, "epochs": 4, "batch_size": 7, "shuffle": False, "backend": backend}
    run = fit(X, Y, sample_weight=s, **options)
    wanted = fit(X[s > 0], Y[s > 0], sample_weight=s[s > 0], **options)
    np.testing.assert_allclose(flat(run.model), flat(wanted.model), rtol=1e-12)
    np.testing.assert_allclose(run.history.loss, wanted.history.loss, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_divergence_leaves_the_last_finite_run(backend, dtype):
    X, Y, _ = problem(dtype=dtype)
    with pytest.raises(DivergenceError, match="lr='auto'") as error, pytest.warns(LearningRateWarning):
        fit(X, Y, Linear(np.zeros((4, 1)), [0.0]), lr=3.0, epochs=500, batch_size=7, backend=backend)
    run = error.value.run
    assert np.isfinite(flat(run.model)).all()
    assert np.isfinite(run.history.loss).all()
    assert run.epochs < 500
