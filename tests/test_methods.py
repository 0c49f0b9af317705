"""The three ways to run epochs of squared error, stream, gram and exact, are one descent; who is chosen, resuming, bits."""

import itertools
import math
import time

import numpy as np
import pytest
from naming import named

import gdcore
from gdcore import MLP, SGD, Linear, fit
from gdcore.losses import LOSSES
from gdcore.optimizers import OPTIMIZERS
from gdcore.optimizers.schedules import cosine

# Runs here stop when they are told to, converged or not.
pytestmark = pytest.mark.filterwarnings("ignore::gdcore.ConvergenceWarning")

THREADS = (1, 2, 3, 4, 7)


def conditioned(n, d, condition, seed=0):
    """Rows whose second moments about 0 have exactly this condition number, and a largest eigenvalue of about 1."""
    rng = np.random.default_rng([seed, n, d])
    U, _ = np.linalg.qr(rng.normal(size=(n, d)))
    V, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return math.sqrt(n) * U * np.geomspace(1, condition**-0.5, d) @ V.T


# Losses of amounts have no bound of the curvature, which a chosen learning rate and a fixed metric need.
BOUNDED = [name for name in LOSSES if not LOSSES[name]().has_link]


def trainable(name, n=80, d=4, k=None, seed=0, dtype=np.float64):
    """Rows with targets of the loss's kind, neither separable nor exactly linear."""
    rng = np.random.default_rng([seed, n, d])
    X = rng.normal(size=(n, d)) * np.geomspace(1, 20, d) + 3
    kind = LOSSES[name]().targets
    raw = (X - 3) @ (rng.normal(size=(d, k or 1)) / np.geomspace(1, 20, d)[:, None]) + 0.7 * rng.normal(size=(n, k or 1)) + 0.3
    if kind == "binary":
        Y = (raw > 0).astype(float)
    elif kind == "classes":
        Y = np.digitize(raw[:, 0], [-0.5, 0.8]).astype(float)[:, None]
    else:
        Y = raw if kind == "real" else np.exp(raw / 4)
    return X.astype(dtype), (Y[:, 0] if k is None or kind == "classes" else Y).astype(dtype)


def flat(model):
    bias = [] if getattr(model, "bias", None) is None else [np.ravel(model.bias)]
    return np.concatenate([np.ravel(model.weights), *bias])


def model_of(bias, d, k=None):
    shape = (d,) if k is None else (d, k)
    return Linear(np.zeros(shape), np.zeros(shape[1:]) if bias else None)


def bits(run):
    """Everything that a run tells but the seconds."""
    columns = [run.history[name].tobytes() for name in ("epoch", "loss", "gradient_norm", "validation_loss", "lr")]
    parts = [layer.weights for layer in run.model.layers] if isinstance(run.model, MLP) else [flat(run.model)]
    return [part.tobytes() for part in parts] + columns


def assert_same_weights(found, wanted, tolerance):
    found, wanted = flat(found.model), flat(wanted.model)
    assert np.linalg.norm(found - wanted) <= tolerance * np.linalg.norm(wanted)


# ---------------------------------------------------------------------------------------------------------- gram is stream


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("condition", [10.0, 1e6])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("k", [None, 3])
def test_gram_is_stream(name, condition, bias, k):
    X = conditioned(200, 5, condition)
    rng = np.random.default_rng(1)
    Y = X @ rng.normal(size=(5, k or 1)) + 0.5 + 0.1 * rng.normal(size=(200, k or 1))
    Y = Y[:, 0] if k is None else Y
    # RMSprop's √v → 0 at its end makes it a sign descent, which blows up the last bit to anything: stop before.
    lr, epochs = 0.3 if OPTIMIZERS[name].lr is None else 0.01, 100 if name == "rmsprop" else 200
    for (l1, l2), s in itertools.product([(0, 0), (0.03, 0), (0, 0.05), (0.03, 0.05)], [None, rng.uniform(0, 3, 200)]):
        options = {"lr": lr, "optimizer": name, "epochs": epochs, "l1": l1, "l2": l2, "sample_weight": s}
        stream = fit(X, Y, model_of(bias, 5, k), method="stream", **options)
        gram = fit(X, Y, model_of(bias, 5, k), method="gram", **options)
        assert (stream.method, gram.method) == ("stream", "gram")
        assert_same_weights(gram, stream, 1e-8)
        np.testing.assert_array_equal(gram.history.epoch, stream.history.epoch)
        np.testing.assert_array_equal(gram.history.lr, stream.history.lr)
        np.testing.assert_allclose(gram.history.loss, stream.history.loss, rtol=1e-9)
        scale = stream.history.gradient_norm.max()
        np.testing.assert_allclose(gram.history.gradient_norm, stream.history.gradient_norm, rtol=1e-8, atol=1e-10 * scale)
        # What stands in the run is taken from the data.
        assert gram.loss == pytest.approx(stream.loss, rel=1e-9)


@pytest.mark.parametrize("optimizer", [SGD(0.9), SGD(0.9, nesterov=True), None], ids=named)
@pytest.mark.parametrize("backend", ["kernel", "reference"])
@pytest.mark.parametrize("shift", [0, 100.0])
def test_gram_is_stream_with_momentum_schedules_and_far_columns(optimizer, backend, shift):
    X = conditioned(150, 3, 100.0) + shift
    Y = X @ [1.0, -2.0, 0.5] + 1 + 0.1 * np.random.default_rng(0).normal(size=150)
    options = {"lr": 0.4 * gdcore.spectrum(X).lr_limit, "optimizer": optimizer, "epochs": 300, "schedule": cosine(300, 0.2)}
    runs = [fit(X, Y, backend=backend, method=method, **options) for method in ("stream", "gram")]
    assert_same_weights(runs[1], runs[0], 1e-8)
    np.testing.assert_allclose(runs[1].history.loss, runs[0].history.loss, rtol=1e-8)


def test_gram_is_stream_from_given_weights_in_float32():
    X = conditioned(500, 4, 100.0).astype(np.float32)
    Y = (X @ [1, 2, 3, 4] + np.random.default_rng(0).normal(size=500)).astype(np.float32)
    start = Linear(np.array([9.0, -9, 9, -9]), 3.0)
    runs = [fit(X, Y, start, lr=0.3, epochs=100, method=method) for method in ("stream", "gram", "exact")]
    for run in runs[1:]:
        assert run.model.weights.dtype == np.float32
        assert_same_weights(run, runs[0], 1e-5)
        np.testing.assert_allclose(run.history.loss, runs[0].history.loss, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_gram_has_validation_and_the_callback_its_gradients(bias):
    X, Y = trainable("mse")
    seen = {"stream": [], "gram": []}
    runs = {}
    for method, epochs in seen.items():
        options = {"lr": 1e-4, "epochs": 30, "validation": (X[:20] + 1, Y[:20]), "callback": epochs.append, "method": method}
        runs[method] = fit(X, Y, model_of(bias, 4), **options)
    np.testing.assert_allclose(runs["gram"].history.validation_loss, runs["stream"].history.validation_loss, rtol=1e-9)
    for one, other in zip(seen["gram"], seen["stream"], strict=True):
        assert (one.epoch, one.loss) == (other.epoch, pytest.approx(other.loss, rel=1e-9))
        np.testing.assert_allclose(one.model.weights, other.model.weights, rtol=1e-8)
        np.testing.assert_allclose(one.gradient[0], other.gradient[0], rtol=1e-7, atol=1e-9)


def test_fewer_rows_than_columns():
    X = np.random.default_rng(0).normal(size=(3, 8))
    Y = np.array([1.0, -1.0, 2.0])
    for bias in (True, False):
        runs = [fit(X, Y, model_of(bias, 8), lr=0.05, epochs=400, method=m) for m in ("stream", "gram", "exact")]
        assert [run.method for run in runs] == ["stream", "gram", "exact"]
        for run in runs[1:]:
            assert_same_weights(run, runs[0], 1e-8)


# ----------------------------------------------------------------------------------------------------------------- exact


def plain_loops(cases, epochs):
    """All cases' descents step by step, side by side: {epoch: W (case, p, 1)}; the bias is the weight of a column of ones."""
    n, p = max(len(c["X"]) for c in cases), max(c["X"].shape[1] + c["bias"] for c in cases)
    Z, Y = np.zeros((len(cases), n, p)), np.zeros((len(cases), n, 1))
    W, lr, mu, l2 = (np.zeros((len(cases), rows, 1)) for rows in (p, 1, 1, p))
    over, nesterov = np.zeros((len(cases), 1, 1)), np.zeros((len(cases), 1, 1), bool)
    for i, c in enumerate(cases):
        rows, d = c["X"].shape
        s = c["s"] / c["s"].sum()
        Z[i, :rows, :d], Y[i, :rows, 0] = c["X"] * np.sqrt(s)[:, None], c["Y"] * np.sqrt(s)
        if c["bias"]:
            Z[i, :rows, d] = np.sqrt(s)
        W[i, : d + c["bias"], 0], lr[i], mu[i] = c["start"], c["lr"], c["momentum"]
        l2[i, :d], over[i], nesterov[i] = c["l2"], 1, c["nesterov"]
    Zt, buf, found = np.ascontiguousarray(Z.transpose(0, 2, 1)), np.zeros_like(W), {}
    momentum = mu.any()
    for epoch in range(1, max(epochs) + 1):
        g = 2 * (Zt @ (Z @ W - Y)) + l2 * W
        if momentum:
            buf = mu * buf + g
            g = np.where(nesterov, g + mu * buf, buf)
        W = W - lr * g
        if epoch in epochs:
            found[epoch] = W
    return found


def cases():
    rng = np.random.default_rng(11)
    X = {"full": rng.normal(size=(9, 4)) + 0.5, "deficient": rng.normal(size=(9, 2)) @ rng.normal(size=(2, 4)) + 0.5}
    X["one row"], X["constant column"] = X["full"][:1], X["full"] * [1, 1, 0, 1] + [0, 0, 2, 0]
    made = []
    for (kind, table), bias, l2, momentum in itertools.product(X.items(), (True, False), (0.0, 0.2), (0.0, 0.9, "nesterov")):
        if momentum == "nesterov" and kind not in ("full", "deficient"):
            continue
        mu = 0.8 if momentum == "nesterov" else momentum
        limit = gdcore.spectrum(table, bias, l2=l2).lr_limit
        made.append({
            "X": table, "Y": rng.normal(size=len(table)) + 1, "bias": bias, "l2": l2, "momentum": mu,
            "nesterov": momentum == "nesterov", "s": rng.uniform(0.5, 2, len(table)) if l2 else np.ones(len(table)),
            "start": rng.normal(size=4 + bias), "lr": float(limit * rng.choice([0.05, 0.4])),
        })  # fmt: skip
    return made


ASKED = [1, 2, 3, 10, 101, 1000, 10_000, 100_000]


def test_exact_is_the_loop_step_by_step():
    made = cases()
    truth = plain_loops(made, ASKED)
    for i, c in enumerate(made):
        d = c["X"].shape[1]
        model = Linear(c["start"][:d], c["start"][d] if c["bias"] else None)
        optimizer = SGD(c["momentum"], c["nesterov"])
        options = {"lr": c["lr"], "optimizer": optimizer, "l2": c["l2"], "sample_weight": c["s"], "method": "exact"}
        for epochs in ASKED:
            run = fit(c["X"], c["Y"], model, epochs=[epochs], **options)
            assert run.method == "exact", run.method
            wanted = truth[epochs][i, : d + c["bias"], 0]
            assert np.linalg.norm(flat(run.model) - wanted) <= 1e-9 * np.linalg.norm(wanted), (epochs, c)


@pytest.mark.parametrize("optimizer", [None, SGD(0.9), SGD(0.9, nesterov=True)], ids=named)
@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_the_history_of_exact_is_that_of_the_loop(optimizer, k, bias):
    X, Y = trainable("mse", k=k)
    options = {"lr": 0.2 * gdcore.spectrum(X, bias, l2=0.1).lr_limit, "l2": 0.1, "optimizer": optimizer}
    stream = fit(X, Y, model_of(bias, 4, k), epochs=500, method="stream", **options)
    exact = fit(X, Y, model_of(bias, 4, k), epochs=500, method="exact", **options)
    assert_same_weights(exact, stream, 1e-9)
    for name in ("epoch", "lr"):
        np.testing.assert_array_equal(exact.history[name], stream.history[name])
    np.testing.assert_allclose(exact.history.loss, stream.history.loss, rtol=1e-9)
    norms = stream.history.gradient_norm
    np.testing.assert_allclose(exact.history.gradient_norm, norms, rtol=1e-7, atol=1e-10 * norms[0])
    assert exact.loss == pytest.approx(stream.loss, rel=1e-12)
    asked = [1, 4, 77, 500]
    some = fit(X, Y, model_of(bias, 4, k), epochs=asked, method="exact", **options)
    assert some.history.epoch.tolist() == asked
    np.testing.assert_allclose(some.history.loss, stream.history.loss[np.array(asked) - 1], rtol=1e-9)
    assert_same_weights(some, exact, 1e-12)
    assert some.epochs == 500


def test_the_epochs_of_a_list_may_come_from_numpy():
    X, Y = trainable("mse")
    lr = 0.5 * gdcore.spectrum(X).lr_limit
    run = fit(X, Y, lr=lr, epochs=np.array([2, 30]), method="exact")
    assert run.method == "exact"
    assert run.history.epoch.tolist() == [2, 30]


def test_a_billion_epochs():
    X = np.array([[1.0], [2.0], [3.0]])
    w, lr, epochs = 2.5, 1e-10, 10**9
    began = time.perf_counter()
    run = fit(X, w * X[:, 0], Linear([0.0], None), lr=lr, epochs=epochs, method="exact")
    assert time.perf_counter() - began < 10  # one by one they would take minutes
    curvature = 2 * 14 / 3
    for epoch, loss in zip(run.history.epoch, run.history.loss, strict=True):
        left = w * math.exp(float(epoch) * math.log1p(-lr * curvature))
        assert loss == pytest.approx(curvature / 2 * left**2, rel=1e-9)
    assert run.model.weights[0] == pytest.approx(w - left, rel=1e-12)
    assert run.history.epoch[0] == 1
    assert run.history.epoch[-1] == run.epochs == epochs
    assert (np.diff(run.history.epoch) > 0).all()
    assert 100 <= len(run.history) <= 10_000


def test_a_billion_epochs_of_celsius_are_the_line():
    celsius = np.array([[0.0], [20.0], [40.0], [60.0], [80.0], [100.0]])
    for optimizer in (None, SGD(0.9)):
        run = fit(celsius, 1.8 * celsius[:, 0] + 32, lr=1e-4, epochs=10**9, optimizer=optimizer, method="exact")
        np.testing.assert_allclose(flat(run.model), [1.8, 32], rtol=1e-11)
    # 163,038 epochs bring b from 32 away to 0.001 away, as the spectrum says.
    told = gdcore.spectrum(celsius).epochs_to(0.001 / 32, 1e-4)
    run = fit(celsius, 1.8 * celsius[:, 0] + 32, lr=1e-4, epochs=told, method="exact")
    assert abs(run.model.bias - 32) == pytest.approx(0.001, rel=0.02)


def test_directions_without_curvature_stay_where_they_start():
    X = np.array([[1.0, 1.0], [2.0, 2.0], [-1.0, -1.0]])
    run = fit(X, 3 * X[:, 0], Linear([5.0, 1.0], None), lr=0.1, epochs=10**9, method="exact")
    np.testing.assert_allclose(run.model.weights, [3.5, -0.5], rtol=1e-12)


@pytest.mark.parametrize("method", ["stream", "gram", "exact"])
@pytest.mark.parametrize("optimizer", [None, SGD(0.5)], ids=named)
def test_past_the_limit_every_method_diverges(method, optimizer):
    X, Y = trainable("mse")
    lr = 1.7 * gdcore.spectrum(X).lr_limit
    with (
        pytest.warns(gdcore.LearningRateWarning, match="past the limit"),
        pytest.raises(gdcore.DivergenceError, match="limit") as caught,
    ):
        fit(X, Y, lr=lr, optimizer=optimizer, epochs=5000, method=method)
    run = caught.value.run
    assert run.method == method
    assert np.isfinite(flat(run.model)).all()
    assert np.isfinite(run.history.loss).all()


# ------------------------------------------------------------------------------------------------------------ what is chosen


@pytest.fixture(scope="module")
def long_table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 8)) + 1
    return X, X @ np.arange(8.0) + rng.normal(size=20_000)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, "exact"),
        ({"optimizer": SGD(0.9)}, "exact"),
        ({"l2": 0.1}, "exact"),
        ({"l1": 0.1}, "gram"),
        ({"optimizer": "adam"}, "gram"),
        ({"optimizer": "rmsprop"}, "gram"),
        ({"schedule": cosine(1000)}, "gram"),
        ({"epochs": 3}, "stream"),
        ({"decimals": 3}, "stream"),
        ({"callback": lambda epoch: epoch.epoch == 3}, "stream"),
        ({"batch_size": 10_000, "epochs": 20}, "stream"),
        ({"loss": "huber", "epochs": 20}, "stream"),
        ({"method": "stream", "epochs": 20}, "stream"),
        ({"lr": "auto"}, "gram"),
        ({"lr": "auto", "optimizer": "sgd"}, "exact"),
    ],
    ids=named,
)
def test_auto_picks_the_cheapest_and_says_why(long_table, options, wanted):
    X, Y = long_table
    run = fit(X, Y, **{"lr": 0.01, "epochs": 1000, **options})
    assert run.method == wanted
    assert isinstance(run.method.why, str)
    assert len(run.method.why) > 5
    assert str(run.method) == f"{wanted}: {run.method.why}"
    if wanted != "stream":
        epochs = f"{run.epochs:,}" if options.get("lr") != "auto" else "epochs"
        assert epochs in run.method.why
        slow = fit(X, Y, **{"lr": 0.01, "epochs": 1000, **options, "method": "stream"})
        if run.status == slow.status == "epochs" or options.get("lr") == "auto":
            assert_same_weights(run, slow, 1e-7 if options.get("lr") == "auto" else 1e-8)


def test_a_small_table_streams():
    X, Y = trainable("mse")
    run = fit(X, Y, lr=1e-4, epochs=100)
    assert run.method == "stream"


@pytest.mark.parametrize("method", ["gram", "exact"])
@pytest.mark.parametrize("off", [1e-7, 1e-8])
def test_what_float64_cannot_carry_is_an_error_that_says_so(method, off):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    X[:, 2] = X[:, 0] + off * X[:, 2]
    Y = rng.normal(size=200)
    with pytest.raises(ValueError, match=f"method='{method}' is not for this: the Gram matrix's condition, .*, is past what"):
        fit(X, Y, lr=0.1, epochs=50, method=method)


def test_a_list_of_epochs_is_not_dropped():
    X = np.array([[1e8], [1e8 + 1], [1e8 + 2]])
    with pytest.raises(ValueError, match="method='exact' is not for this: the Gram matrix's condition"):
        fit(X, [1.0, 2, 4], lr=1e-17, epochs=[1, 10**9], method="exact")


def test_a_resumed_run_keeps_its_method_and_with_it_the_bits():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 20))
    Y = X[:, 0] + rng.normal(size=2000)
    part = fit(X, Y, lr=0.01, epochs=100)
    assert part.method == "stream"
    assert fit(X, Y, lr=0.01, epochs=2000).method == "exact"  # it costs least for so many
    both = part.resume(X, Y, epochs=1900)
    whole = fit(X, Y, lr=0.01, epochs=2000, method="stream")
    assert both.method == "stream"
    assert bits(both) == bits(whole)
    exact = fit(X, Y, lr=0.01, epochs=100, method="exact").resume(X, Y, epochs=1900)
    assert flat(exact.model).tobytes() == flat(fit(X, Y, lr=0.01, epochs=2000).model).tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_momentum_is_not_forgotten_where_the_method_changes(dtype):
    X, Y = trainable("mse")
    X, Y = X.astype(dtype), Y.astype(dtype)
    options = {"lr": 0.1 * gdcore.spectrum(X).lr_limit, "optimizer": SGD(0.9)}
    whole = fit(X, Y, epochs=40, method="stream", **options)
    for first, then in (("stream", "gram"), ("gram", "stream")):
        run = fit(X, Y, epochs=20, method=first, **options).resume(X, Y, 20, method=then)
        assert run.method == then
        np.testing.assert_allclose(flat(run.model), flat(whole.model), rtol=1e-9 if dtype == np.float64 else 1e-3)


@pytest.mark.parametrize("method", ["gram", "exact"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "huber"}, "not mse"),
        ({"loss": "mae"}, "not mse"),
        ({"batch_size": 10}, "batches"),
        ({"model": MLP([4, 2, 1])}, "not"),
    ],
    ids=named,
)
def test_gram_and_exact_are_for_squared_error_and_all_rows(method, options, words):
    X, Y = trainable("mse")
    with pytest.raises(ValueError, match=f"method='{method}'.*{words}"):
        fit(X, Y, **{"lr": 1e-3, "epochs": 3, "method": method, **options})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_exact_is_for_sgd_alone(name):
    X, Y = trainable("mse")
    if name == "sgd":
        assert fit(X, Y, lr=1e-4, epochs=3, method="exact", optimizer=name).method == "exact"
    else:
        with pytest.raises(ValueError, match="method='exact'"):
            fit(X, Y, lr=1e-4, epochs=3, method="exact", optimizer=name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"l1": 0.1}, "l1"),
        ({"decimals": 3}, "rounded"),
        ({"schedule": cosine(10)}, "rate changes"),
        ({"precondition": "gram"}, "method='exact'"),
        ({"lr": "auto"}, "method='exact'"),
        ({"tol": 1e-6}, "tol"),
        ({"callback": print}, "watched"),
        ({"validation": (np.ones((2, 4)), np.ones(2))}, "watched"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_exact_says_what_it_is_not_for(options, words):
    X, Y = trainable("mse")
    with pytest.raises(ValueError, match=words):
        fit(X, Y, **{"lr": 1e-4, "epochs": 3, "method": "exact", **options})


@pytest.mark.parametrize("epochs", [[], [0, 1], [3, 2], [2, 2], [1, -1], (), np.array([5, 4])], ids=named)
def test_lists_of_epochs_that_are_none(epochs):
    X, Y = trainable("mse")
    with pytest.raises(ValueError, match="epochs"):
        fit(X, Y, lr=1e-4, epochs=epochs, method="exact")


def test_lists_of_epochs_are_integers_for_exact():
    X, Y = trainable("mse")
    with pytest.raises(TypeError, match="epochs"):
        fit(X, Y, lr=1e-4, epochs=[1.5], method="exact")
    for method in ("stream", "gram", "auto"):
        with pytest.raises(TypeError, match="epochs must be an integer"):
            fit(X, Y, lr=1e-4, epochs=[1, 2], method=method)
    with pytest.raises(ValueError, match="method must be 'auto', 'stream', 'gram' or 'exact', found 'fast'"):
        fit(X, Y, lr=1e-4, epochs=1, method="fast")


# ------------------------------------------------------------------------------------------------------------------ resuming


def assert_resumes(X, Y, splits, **options):
    for a, b in splits:
        whole = fit(X, Y, epochs=a + b, **options)
        parts = fit(X, Y, epochs=a, **options).resume(X, Y, epochs=b)
        assert (parts.method, parts.epochs) == (whole.method, whole.epochs)
        assert bits(parts) == bits(whole)
        assert parts.status == whole.status
        assert parts.loss == whole.loss


@pytest.mark.parametrize("method", ["gram", "exact"])
@pytest.mark.parametrize("bias", [True, False])
def test_resuming_gram_and_exact_is_going_on(method, bias):
    X, Y = trainable("mse", k=2)
    lr = 0.3 * gdcore.spectrum(X, bias).lr_limit
    for optimizer in (None, SGD(0.9), SGD(0.8, nesterov=True)):
        model = model_of(bias, 4, 2)
        assert_resumes(X, Y, [(1, 1), (7, 60), (60, 7)], model=model, lr=lr, optimizer=optimizer, method=method, l2=0.01)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.filterwarnings("ignore::gdcore.DivergenceWarning")
def test_resuming_gram_with_every_optimizer(name):
    X, Y = trainable("mse")
    lr = 0.3 * gdcore.spectrum(X).lr_limit if OPTIMIZERS[name].lr is None else 0.01
    assert_resumes(X, Y, [(1, 1), (7, 30)], lr=lr, optimizer=name, method="gram", l1=0.01)


def test_resuming_exact_three_times_and_far():
    X, Y = trainable("mse")
    lr = 0.3 * gdcore.spectrum(X).lr_limit
    whole = fit(X, Y, lr=lr, epochs=[5, 25, 10**6], method="exact")
    parts = fit(X, Y, lr=lr, epochs=5, method="exact").resume(X, Y, epochs=20).resume(X, Y, epochs=10**6 - 25)
    assert flat(parts.model).tobytes() == flat(whole.model).tobytes()
    assert parts.loss == whole.loss
    assert parts.epochs == 10**6


@pytest.mark.parametrize("precondition", ["auto", "gram", "diagonal"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (0, 0.01), (0.02, 0)])
def test_resuming_auto_is_going_on(name, precondition, l1, l2):
    if precondition == "diagonal" and name not in BOUNDED:
        return
    X, Y = trainable(name)
    s = np.random.default_rng(0).uniform(0.5, 2, len(X))
    splits = [(1, 1), (3, 4), (13, 40), (60, 30)]
    assert_resumes(X, Y, splits, loss=name, precondition=precondition, l1=l1, l2=l2, sample_weight=s)


@pytest.mark.parametrize("name", LOSSES)
def test_resuming_auto_with_a_callback_and_validation_is_going_on(name):
    X, Y = trainable(name)
    assert_resumes(X, Y, [(1, 1), (5, 20)], loss=name, validation=(X[:20], Y[:20]), callback=lambda epoch: None)


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "nesterov"])
@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("batch_size", [None, 16])
def test_resuming_auto_of_other_optimizers_is_going_on(name, optimizer, batch_size):
    X, Y = trainable(name)
    assert_resumes(X, Y, [(2, 5)], loss=name, optimizer=optimizer, batch_size=batch_size)


@pytest.mark.parametrize("optimizer", [None, SGD(0.9), "adam"], ids=named)
@pytest.mark.parametrize("batch_size", [None, 16])
def test_resuming_auto_of_a_network_is_going_on(optimizer, batch_size):
    X, Y = trainable("mse")
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    assert_resumes(X, Y, [(1, 1), (4, 9)], model=MLP([4, 5, 1]), optimizer=optimizer, batch_size=batch_size)


# ------------------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_auto_has_the_same_bits_for_any_number_of_threads(name, dtype):
    X, Y = trainable(name, 12_000, 6, dtype=dtype)
    for options in ({}, {"precondition": "diagonal"} if name in BOUNDED else {}, {"l2": 0.01, "tol": 0}):
        runs = [fit(X, Y, loss=name, epochs=8, n_threads=threads, **options) for threads in THREADS]
        for run in runs[1:]:
            assert bits(run) == bits(runs[0])
            assert run.gap == runs[0].gap


@pytest.mark.parametrize("method", ["gram", "exact"])
def test_gram_and_exact_have_the_same_bits_for_any_number_of_threads(method):
    X, Y = trainable("mse", 30_000, 6)
    runs = [fit(X, Y, lr=1e-4, epochs=50, method=method, n_threads=threads) for threads in THREADS]
    assert all(bits(run) == bits(runs[0]) for run in runs[1:])


@pytest.mark.parametrize("name", LOSSES)
def test_resuming_newtons_method_is_going_on(name):
    X, Y = trainable(name)
    options = {"loss": name, "tol": 1e-13}
    whole = fit(X, Y, **options)
    assert_resumes(X, Y, [(a, whole.epochs - a + 2) for a in range(whole.epochs + 2)], **options)


@pytest.mark.parametrize("name", LOSSES)
def test_resuming_with_another_tol_judges_anew(name):
    X, Y = trainable(name)
    options = {"loss": name, "l1": 0.01}
    rough = fit(X, Y, tol=0.1, **options)
    assert rough.status == "converged"
    fine = rough.resume(X, Y, tol=1e-9)
    assert fine.status == "converged"
    assert fine.gap <= 1e-9 * abs(fine.loss)
    again = fine.resume(X, Y, tol=0.1)
    assert again.status == "converged"
    assert again.epochs <= fine.epochs + 1


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("what", ["penalty", "rows", "model"])
def test_resuming_something_else_comes_to_its_own_end(name, what):
    X, Y = trainable(name)
    run = fit(X, Y, loss=name)
    moved = Linear(run.model.weights * 2, run.model.bias)
    others = (X[::2], Y[::2]) if what == "rows" else (X, Y)
    changes = {"penalty": {"l2": 0.3}, "rows": {}, "model": {"model": moved}}[what]
    later = run.resume(*others, **changes)
    wanted = fit(*others, loss=name, l2=changes.get("l2", 0.0))
    assert later.status == "converged"
    assert later.loss == pytest.approx(wanted.loss, rel=2e-8)  # each is within tol, 1e-8 of mae and quantile
    assert later.epochs > run.epochs
