"""`gdcore.fit`, `Run` and `History`: what they promise, recomputed in plain NumPy."""

import contextlib
import itertools
import math
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import gdcore
from gdcore import MLP, DivergenceError, History, Linear, fit, threads
from gdcore.backends import reference
from gdcore.descent import course, passes, plan, state, stop
from gdcore.rows import arrays
from gdcore.solvers import backtracking, batches, closed, ends, narrowing, nesterov, newton, parts, stream
from gdcore.training import drive, observe
from gdcore.training import validation as validating

# Runs here stop when they are told to, converged or not.
pytestmark = pytest.mark.filterwarnings("ignore::gdcore.ConvergenceWarning")

BACKENDS = ["kernel", "reference"]
DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
COLUMNS = [name for name in History.NAMES if name != "seconds"]


def problem(outputs=(), dtype=np.float64, n=60, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(dtype)
    Y = (X @ rng.normal(size=(d, *outputs)) + 0.7 + 0.3 * rng.normal(size=(n, *outputs))).astype(dtype)
    return X, Y


def start(outputs=(), dtype=np.float64, d=3, seed=5):
    rng = np.random.default_rng(seed)
    return Linear(rng.normal(size=(d, *outputs)).astype(dtype), rng.normal(size=outputs).astype(dtype))


def plain_gradient(X, Y, weights, bias, sample_weight=None):
    """Loss, ∇W and ∇b in float64: loss = Σ sᵢ‖Ŷᵢ − Yᵢ‖² / Σ sᵢ."""
    X, Y = X.astype(np.float64), Y.astype(np.float64)
    s = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    difference = X @ weights + bias - Y
    weighted = (difference.T * s).T
    return (
        float((weighted * difference).sum() / s.sum()),
        2 * X.T @ weighted / s.sum(),
        2 * weighted.sum(axis=0) / s.sum(),
    )


def plain_fit(X, Y, model, lr, epochs, sample_weight=None):
    """Gradient descent in float64, epoch by epoch: the models and the losses and gradients at each."""
    weights = model.weights.astype(np.float64)
    bias = 0.0 if model.bias is None else np.float64(model.bias)
    seen = []
    for _ in range(epochs):
        _, gradient, bias_gradient = plain_gradient(X, Y, weights, bias, sample_weight)
        weights = weights - lr * gradient
        if model.bias is not None:
            bias = bias - lr * bias_gradient
        loss, gradient, bias_gradient = plain_gradient(X, Y, weights, bias, sample_weight)
        squares = np.sum(gradient**2) + (0 if model.bias is None else np.sum(bias_gradient**2))
        seen.append((weights, bias, loss, math.sqrt(squares)))
    return seen


def mean_square(model, X, Y):
    return float(np.sum((model.predict(X).astype(np.float64) - Y) ** 2) / len(Y))


def bits(value):
    return None if value is None else (np.asarray(value).dtype.str, np.asarray(value).shape, np.asarray(value).tobytes())


def assert_same_bits(run, wanted):
    assert bits(run.model.weights) == bits(wanted.model.weights)
    assert bits(run.model.bias) == bits(wanted.model.bias)
    for name in COLUMNS:
        assert bits(run.history[name]) == bits(wanted.history[name]), name
    assert (run.status, run.epochs) == (wanted.status, wanted.epochs)


# ------------------------------------------------------------------------------------------------- shapes, dtypes, the model


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [(), (1,), (4,)])
def test_default_model_is_zeros_with_a_bias_in_the_shape_of_the_data(backend, dtype, outputs):
    X, Y = problem(outputs, dtype)
    begun = fit(X, Y, lr=0.1, epochs=0, backend=backend)
    trained = fit(X, Y, lr=0.1, epochs=1, backend=backend)
    for run in (begun, trained):
        assert run.model.weights.shape == (3, *outputs)
        assert np.shape(run.model.bias) == outputs
        assert run.model.weights.dtype == dtype
        assert run.model.bias.dtype == dtype
        assert run.model.predict(X).shape == Y.shape
        assert run.model.predict(X).dtype == dtype
    assert not begun.model.weights.any()
    assert not np.any(begun.model.bias)
    # One step from zero: W = 2·lr·XᵀY/n, b = 2·lr·mean(Y).
    np.testing.assert_allclose(trained.model.weights, 0.2 * X.T @ Y / len(X), rtol=0, atol=TOLERANCE[dtype])
    np.testing.assert_allclose(trained.model.bias, 0.2 * Y.mean(axis=0), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("outputs", [(), (1,), (4,)])
def test_no_bias_stays_no_bias(backend, outputs):
    X, Y = problem(outputs)
    model = Linear(np.zeros((3, *outputs)), None)
    run = fit(X, Y, model, lr=0.1, epochs=400, backend=backend)
    assert run.model.bias is None
    assert run.resume(X, Y, epochs=1).model.bias is None
    np.testing.assert_allclose(run.model.weights, np.linalg.lstsq(X, Y, rcond=None)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("outputs", [(), (2,)])
def test_nothing_passed_in_is_changed(backend, outputs):
    X, Y = problem(outputs)
    sample_weight = np.linspace(0.5, 2, len(X))
    validation = problem(outputs, seed=1)
    model = start(outputs)
    arrays = [X, Y, sample_weight, *validation, model.weights, np.asarray(model.bias)]
    before = [array.tobytes() for array in arrays]
    run = fit(X, Y, model, lr=0.1, epochs=7, sample_weight=sample_weight, validation=validation, backend=backend)
    state = bits(run.model.weights), bits(run.model.bias), bits(run.history.loss)
    later = run.resume(X, Y, epochs=5)
    assert [array.tobytes() for array in arrays] == before
    assert model.bias is not None
    assert (bits(run.model.weights), bits(run.model.bias), bits(run.history.loss)) == state
    assert bits(later.model.weights) != bits(run.model.weights) != bits(model.weights)
    assert run.model is not model
    assert not np.shares_memory(run.model.weights, model.weights)
    assert not np.shares_memory(later.model.weights, run.model.weights)


def test_a_run_of_no_epochs_holds_a_copy_of_the_model():
    X, Y = problem()
    model = start()
    run = fit(X, Y, model, lr=0.1, epochs=0)
    assert (run.status, run.epochs, len(run.history)) == ("epochs", 0, 0)
    assert bits(run.model.weights) == bits(model.weights)
    assert bits(run.model.bias) == bits(model.bias)
    assert not np.shares_memory(run.model.weights, model.weights)
    loss, gradient, bias_gradient = plain_gradient(X, Y, model.weights, model.bias)
    assert run.loss == pytest.approx(loss, rel=1e-12)
    assert run.gradient_norm == pytest.approx(math.sqrt(np.sum(gradient**2) + bias_gradient**2), rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("others", DTYPES)
def test_the_dtype_of_X_is_the_dtype_of_the_model(backend, dtype, others):
    X, Y = problem(dtype=dtype)
    run = fit(X, Y.astype(others), start(dtype=others), lr=0.1, epochs=5, backend=backend, sample_weight=np.ones(60, others))
    assert run.model.weights.dtype == dtype
    assert run.model.bias.dtype == dtype
    assert run.history.loss.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64, np.bool_])
def test_integers_and_booleans_become_float64(dtype):
    rng = np.random.default_rng(0)
    X, Y = rng.integers(0, 2, size=(30, 3)).astype(dtype), rng.integers(0, 2, size=30).astype(dtype)
    run = fit(X, Y, lr=0.1, epochs=5)
    wanted = fit(X.astype(np.float64), Y.astype(np.float64), lr=0.1, epochs=5)
    assert run.model.weights.dtype == np.float64
    assert_same_bits(run, wanted)


def test_lists_and_tuples_are_arrays():
    X, Y = problem()
    assert_same_bits(fit(X.tolist(), tuple(Y.tolist()), lr=0.1, epochs=5), fit(X, Y, lr=0.1, epochs=5))


# ----------------------------------------------------------------------------------------------------------------- history


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_history_is_what_the_formulas_give_epoch_by_epoch(backend, dtype, outputs, bias, weighted):
    X, Y = problem(outputs, dtype)
    model = start(outputs, dtype)
    if not bias:
        model = Linear(model.weights, None)
    s = np.random.default_rng(1).uniform(0, 3, len(X)).astype(dtype) if weighted else None
    run = fit(X, Y, model, lr=0.05, epochs=12, sample_weight=s, backend=backend)
    plain = plain_fit(X, Y, model, 0.05, 12, s)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_array_equal(run.history.epoch, np.arange(1, 13))
    np.testing.assert_allclose(run.history.loss, [loss for *_, loss, _ in plain], rtol=tolerance)
    np.testing.assert_allclose(run.history.gradient_norm, [norm for *_, norm in plain], rtol=5 * tolerance)
    np.testing.assert_array_equal(run.history.lr, np.full(12, 0.05))
    assert np.isnan(run.history.validation_loss).all()
    assert (run.history.seconds >= 0).all()
    assert run.history.seconds.sum() > 0
    np.testing.assert_allclose(run.model.weights, plain[-1][0], rtol=0, atol=tolerance)
    if bias:
        np.testing.assert_allclose(run.model.bias, plain[-1][1], rtol=0, atol=tolerance)
    assert (run.status, run.epochs) == ("epochs", 12)
    assert run.loss == run.history.loss[-1]
    assert run.gradient_norm == run.history.gradient_norm[-1]


def test_history_columns_by_name():
    X, Y = problem()
    history = fit(X, Y, lr=0.05, epochs=4).history
    assert len(history) == 4
    for name in History.NAMES:
        assert history[name] is getattr(history, name)
        assert history[name].shape == (4,)
        assert history[name].dtype == (np.int64 if name == "epoch" else np.float64)
    with pytest.raises(KeyError, match=r"'accuracy'.*epoch, loss, validation_loss"):
        history["accuracy"]
    with pytest.raises(KeyError):
        history["__init__"]


def test_history_and_run_say_what_they_are():
    X, Y = problem()
    run = fit(X, Y, lr=0.05, epochs=4)
    assert repr(run) == f"Run(epochs after 4 epochs, loss {run.loss:.6g}, gradient norm {run.gradient_norm:.3g})"
    first, last = run.history.loss[[0, -1]]
    assert repr(run.history) == f"History(epochs 1 to 4, loss {first:.6g} to {last:.6g})"
    assert repr(fit(X, Y, lr=0.05, epochs=0).history) == "History(no epochs)"


def test_more_epochs_than_one_call_of_the_kernel_takes():
    # History is reserved for 65,536 epochs at a time.
    run = fit([[1.0], [2.0]], [3.0, 5.0], lr=1e-4, epochs=150_000)
    np.testing.assert_array_equal(run.history.epoch, np.arange(1, 150_001))
    assert (np.diff(run.history.loss) <= 0).all()
    assert run.loss == run.history.loss[-1]
    weights, bias = np.zeros(1), 0.0
    X, Y = np.array([[1.0], [2.0]]), np.array([3.0, 5.0])
    # The closed form, from the eigenvectors of the Hessian: θ_t = θ* + Q (1 − lr·Λ)ᵗ Qᵀ (θ₀ − θ*).
    augmented = np.hstack([X, np.ones((2, 1))])
    eigenvalues, Q = np.linalg.eigh(2 * augmented.T @ augmented / 2)
    best = np.linalg.solve(augmented, Y)
    wanted = best + Q @ ((1 - 1e-4 * eigenvalues) ** 150_000 * (Q.T @ (np.append(weights, bias) - best)))
    np.testing.assert_allclose([run.model.weights[0], run.model.bias], wanted, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [(), (2,)])
def test_validation_loss_is_the_formula_at_the_model_after_the_epoch(backend, dtype, outputs):
    X, Y = problem(outputs, dtype)
    Xv, Yv = problem(outputs, dtype, n=23, seed=1)
    models = []
    run = fit(X, Y, lr=0.05, epochs=9, validation=(Xv, Yv), backend=backend, callback=lambda epoch: models.append(epoch.model))
    wanted = [mean_square(model, Xv, Yv) for model in models]
    np.testing.assert_allclose(run.history.validation_loss, wanted, rtol=TOLERANCE[dtype])
    assert len(wanted) == 9


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_validation_rows_never_train(backend, dtype):
    X, Y = problem(dtype=dtype)
    Xv, Yv = problem(dtype=dtype, n=100, seed=1)
    plain = fit(X, Y, lr=0.05, epochs=20, backend=backend)
    for validation in ((Xv, Yv), (Xv, -100 * Yv), (X, Y)):
        run = fit(X, Y, lr=0.05, epochs=20, validation=validation, backend=backend)
        assert bits(run.model.weights) == bits(plain.model.weights)
        assert bits(run.model.bias) == bits(plain.model.bias)
        assert bits(run.history.loss) == bits(plain.history.loss)
        assert bits(run.history.gradient_norm) == bits(plain.history.gradient_norm)
        assert not np.isnan(run.history.validation_loss).any()


def test_validation_on_the_training_rows_is_the_training_loss():
    X, Y = problem()
    run = fit(X, Y, lr=0.05, epochs=10, validation=(X, Y))
    np.testing.assert_allclose(run.history.validation_loss, run.history.loss, rtol=1e-13)
    weighted = fit(X, Y, lr=0.05, epochs=10, validation=(X, Y), sample_weight=np.arange(60.0))
    # Weights belong to training rows: the validation loss counts every row once.
    wanted = mean_square(weighted.model, X, Y)
    assert weighted.history.validation_loss[-1] == pytest.approx(wanted, rel=1e-12)
    assert abs(weighted.history.loss[-1] - wanted) > 1e-3


# --------------------------------------------------------------------------------------------------------------- callbacks


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize("bias", [True, False])
def test_callback_sees_every_epoch_in_order_and_may_keep_it(backend, outputs, bias):
    X, Y = problem(outputs)
    Xv, Yv = problem(outputs, n=10, seed=1)
    model = start(outputs) if bias else Linear(start(outputs).weights, None)
    seen = []
    run = fit(X, Y, model, lr=0.05, epochs=8, validation=(Xv, Yv), callback=seen.append, backend=backend)
    assert [epoch.epoch for epoch in seen] == list(range(1, 9))
    assert [epoch.loss for epoch in seen] == run.history.loss.tolist()
    assert [epoch.validation_loss for epoch in seen] == run.history.validation_loss.tolist()
    assert [epoch.gradient_norm for epoch in seen] == run.history.gradient_norm.tolist()
    before = model
    for epoch, (weights, wanted_bias, loss, _) in zip(seen, plain_fit(X, Y, model, 0.05, 8), strict=True):
        # Kept, each is still the model of its own epoch.
        np.testing.assert_allclose(epoch.model.weights, weights, rtol=0, atol=1e-13)
        assert epoch.model.weights.shape == model.weights.shape
        assert epoch.loss == pytest.approx(loss, rel=1e-12)
        # The gradient is the one that the update went along.
        gradient, bias_gradient = epoch.gradient
        assert gradient.shape == (3, *(outputs or (1,)))
        flat = gradient.reshape(weights.shape)
        np.testing.assert_allclose(epoch.model.weights, before.weights - 0.05 * flat, rtol=0, atol=1e-15)
        if bias:
            np.testing.assert_allclose(epoch.model.bias, wanted_bias, rtol=0, atol=1e-13)
            assert np.shape(epoch.model.bias) == outputs
            stepped = before.bias - 0.05 * bias_gradient.reshape(outputs)
            np.testing.assert_allclose(epoch.model.bias, stepped, rtol=0, atol=1e-15)
        else:
            assert epoch.model.bias is None
            assert bias_gradient is None
        before = epoch.model
    for one, other in itertools.combinations([epoch.model.weights for epoch in seen] + [run.model.weights], 2):
        assert not np.shares_memory(one, other)
    assert bits(seen[-1].model.weights) == bits(run.model.weights)


def test_changing_what_a_callback_was_given_changes_nothing():
    X, Y = problem()

    def vandal(epoch):
        epoch.model.weights[:] = 1e6
        epoch.gradient[0][:] = 1e6
        epoch.gradient[1][:] = 1e6

    run, plain = fit(X, Y, lr=0.05, epochs=8, callback=vandal), fit(X, Y, lr=0.05, epochs=8)
    assert_same_bits(run, plain)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [True, np.True_], ids=["True", "np.True_"])
def test_callback_returning_true_stops(backend, value):
    X, Y = problem()
    run = fit(X, Y, lr=0.05, epochs=50, backend=backend, callback=lambda epoch: value if epoch.epoch == 6 else None)
    wanted = fit(X, Y, lr=0.05, epochs=6, backend=backend)
    assert (run.status, run.epochs, len(run.history)) == ("early_stopped", 6, 6)
    assert bits(run.model.weights) == bits(wanted.model.weights)
    assert bits(run.history.loss) == bits(wanted.history.loss)
    # It can go on, and the same callback, whose epoch 6 is over, no longer stops it.
    assert_same_bits(run.resume(X, Y, epochs=4), fit(X, Y, lr=0.05, epochs=10, backend=backend))


@pytest.mark.parametrize("value", [None, False, 0, 1, "stop", [1]], ids=repr)
def test_callback_returning_anything_else_goes_on(value):
    X, Y = problem()
    run = fit(X, Y, lr=0.05, epochs=5, callback=lambda epoch: value)
    assert (run.status, run.epochs) == ("epochs", 5)


def test_callback_stopping_at_the_last_epoch_is_still_early_stopped():
    X, Y = problem()
    assert fit(X, Y, lr=0.05, epochs=5, callback=lambda epoch: epoch.epoch == 5).status == "early_stopped"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("error", [RuntimeError("mine"), StopIteration(), SystemExit(3), GeneratorExit()])
def test_exceptions_in_callbacks_propagate(backend, error):
    X, Y = problem()
    seen = []

    def callback(epoch):
        seen.append(epoch.epoch)
        if epoch.epoch == 3:
            raise error

    with pytest.raises(type(error)) as caught:
        fit(X, Y, lr=0.05, epochs=5, callback=callback, backend=backend)
    assert caught.value is error
    assert seen == [1, 2, 3]


def test_a_callback_can_call_fit():
    X, Y = problem()
    inner = []
    run = fit(X, Y, lr=0.05, epochs=3, callback=lambda epoch: inner.append(fit(X, Y, epoch.model, lr=0.05, epochs=2)))
    assert_same_bits(run, fit(X, Y, lr=0.05, epochs=3))
    wanted = [fit(X, Y, lr=0.05, epochs=epochs + 2).model.weights for epochs in (1, 2, 3)]
    assert [bits(one.model.weights) for one in inner] == [bits(weights) for weights in wanted]


# --------------------------------------------------------------------------------------------------------------------- tol


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tol", [1e-1, 1e-3])
def test_converged_is_said_where_the_gap_is_at_most_tol_of_the_loss(backend, dtype, outputs, weighted, tol):
    X, Y = problem(outputs, dtype)
    s = np.random.default_rng(1).uniform(0, 3, len(X)).astype(dtype) if weighted else None
    run = fit(X, Y, lr=0.1, epochs=2000, tol=tol, sample_weight=s, backend=backend)
    assert run.status == "converged"
    assert 1 < run.epochs < 2000
    root = np.sqrt(np.ones(len(X)) if s is None else s.astype(np.float64))[:, None]
    Z, T = root * np.c_[X, np.ones(len(X))].astype(np.float64), root * Y.reshape(len(Y), -1)
    best = float(np.sum((T - Z @ np.linalg.lstsq(Z, T, rcond=None)[0]) ** 2) / np.sum(root**2))
    gaps = run.history.loss - best
    slack = 1e-5 if dtype == np.float32 else 1e-10
    assert gaps[-1] <= tol * run.loss + slack
    assert (gaps[:-1] > tol * run.history.loss[:-1] - slack).all()
    assert run.gap == pytest.approx(gaps[-1], abs=slack)
    # Every epoch was needed, and the model is that of a run of so many epochs.
    same = fit(X, Y, lr=0.1, epochs=run.epochs, sample_weight=s, backend=backend)
    assert same.status == "epochs"
    assert bits(same.model.weights) == bits(run.model.weights)
    assert bits(same.history.loss) == bits(run.history.loss)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"tol": 1e-9}, {"tol": 0.0}], ids=str)
def test_converged_is_not_said_otherwise(backend, options):
    X, Y = problem()
    run = fit(X, Y, lr=1e-3, epochs=20, backend=backend, **options)
    assert (run.status, run.epochs) == ("epochs", 20)
    assert run.gradient_norm > 1e-2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("look", [{}, {"callback": lambda epoch: None}, {"validation": problem(seed=1)}], ids=list)
def test_tol_is_the_same_with_a_callback_or_validation(backend, look):
    X, Y = problem()
    plain = fit(X, Y, lr=0.1, epochs=2000, tol=1e-6, backend=backend)
    run = fit(X, Y, lr=0.1, epochs=2000, tol=1e-6, backend=backend, **look)
    assert (run.status, run.epochs) == ("converged", plain.epochs)
    assert bits(run.model.weights) == bits(plain.model.weights)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_start_within_tol_has_converged_before_the_first_epoch(backend):
    X = np.array([[0.0], [1.0], [2.0]])
    run = fit(X, [1.0, 3.0, 5.0], Linear([2.0], 1.0), lr=0.1, epochs=10, tol=0.0, backend=backend)
    assert (run.status, run.epochs, run.gradient_norm, run.loss) == ("converged", 0, 0.0, 0.0)
    assert fit(X, [1.0, 3.0, 5.0], Linear([2.0], 1.0), lr=0.1, epochs=10, backend=backend).status == "epochs"


def test_a_callback_stopping_in_the_epoch_that_converges():
    X, Y = problem()
    run = fit(X, Y, lr=0.1, epochs=2000, tol=1e-3, callback=lambda epoch: epoch.gradient_norm <= 1e-3)
    assert run.status == "converged"


# ------------------------------------------------------------------------------------------------------------------ resume


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("decimals", [None, 2])
@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("first", [0, 1, 6])
def test_fit_then_resume_is_fit_bit_for_bit(backend, dtype, outputs, weighted, bias, decimals, validated, first):
    X, Y = problem(outputs, dtype, n=300, d=9)
    model = start(outputs, dtype, d=9)
    options = {
        "lr": 0.03,
        "backend": backend,
        "decimals": decimals,
        "sample_weight": np.random.default_rng(2).uniform(0, 2, 300) if weighted else None,
        "validation": problem(outputs, dtype, n=20, d=9, seed=1) if validated else None,
    }
    model = model if bias else Linear(model.weights, None)
    whole = fit(X, Y, model, epochs=13, **options)
    part = fit(X, Y, model, epochs=first, **options)
    assert part.epochs == first
    resumed = part.resume(X, Y, epochs=13 - first)
    assert_same_bits(resumed, whole)
    assert (resumed.loss, resumed.gradient_norm) == (whole.loss, whole.gradient_norm)
    assert part.epochs == first


@pytest.mark.parametrize("backend", BACKENDS)
def test_resume_as_often_as_one_likes(backend):
    X, Y = problem((), np.float32)
    run = fit(X, Y, lr=0.05, epochs=0, backend=backend)
    for epochs in (1, 0, 3, 2, 0, 5):
        run = run.resume(X, Y, epochs)
    assert_same_bits(run, fit(X, Y, lr=0.05, epochs=11, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_resuming_for_no_epochs_changes_nothing(backend, dtype):
    X, Y = problem((2,), dtype)
    run = fit(X, Y, lr=0.05, epochs=4, backend=backend)
    again = run.resume(X, Y, epochs=0)
    assert_same_bits(again, run)
    assert (again.loss, again.gradient_norm) == (run.loss, run.gradient_norm)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_resume_stops_at_tol_where_the_whole_run_stops(backend, dtype):
    X, Y = problem((), dtype)
    steps = [fit(X, Y, lr=0.05, epochs=epoch, backend=backend) for epoch in (8, 15, 22)]
    for step in steps:
        # Just below the gap of an epoch: the run must go one further, wherever it was split.
        epoch, tol = step.epochs, step.gap / step.loss * (1 - 1e-4)
        whole = fit(X, Y, lr=0.05, epochs=30, tol=tol, backend=backend)
        assert (whole.status, whole.epochs) == ("converged", epoch + 1)
        for first in (0, epoch - 1, epoch, epoch + 1):
            part = fit(X, Y, lr=0.05, epochs=first, tol=tol, backend=backend)
            assert_same_bits(part.resume(X, Y, epochs=30 - first), whole)


def test_resume_compares_rows_only_where_they_lie_elsewhere(monkeypatch):
    X, Y = problem(n=12)
    run, whole = (fit(X, Y, lr=0.05, epochs=epochs, tol=1e-3) for epochs in (3, 7))
    compared, equal = [], np.array_equal
    monkeypatch.setattr(np, "array_equal", lambda a, b: compared.append(len(a)) or equal(a, b))
    for table, wanted in ((X, []), (X.copy(), [12])):
        assert_same_bits(run.resume(table, Y, 4), whole)
        assert compared == wanted


def test_resume_keeps_the_options_and_takes_changed_ones():
    X, Y = problem()
    s = np.random.default_rng(2).uniform(0, 2, 60)
    validation = problem(seed=1)
    seen = []
    run = fit(
        X, Y, lr=0.1, epochs=3, sample_weight=s, validation=validation, callback=seen.append, decimals=3, backend="reference"
    )
    later = run.resume(X, Y, epochs=2, lr=0.02, decimals=None)
    assert [epoch.epoch for epoch in seen] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(later.history.lr, [0.1, 0.1, 0.1, 0.02, 0.02])
    wanted = fit(X, Y, run.model, lr=0.02, epochs=2, sample_weight=s, validation=validation, backend="reference")
    assert bits(later.model.weights) == bits(wanted.model.weights)
    assert bits(later.history.validation_loss[3:]) == bits(wanted.history.validation_loss)
    np.testing.assert_array_equal(run.model.weights, np.round(run.model.weights, 3))
    assert not np.array_equal(later.model.weights, np.round(later.model.weights, 3))
    # What was changed stays changed.
    last = later.resume(X, Y, epochs=1, callback=None, validation=None)
    assert last.history.lr[-1] == 0.02
    assert np.isnan(last.history.validation_loss).tolist() == 5 * [False] + [True]
    assert [epoch.epoch for epoch in seen] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(last.history.epoch, np.arange(1, 7))


@pytest.mark.parametrize("epochs", [0, 5])
def test_resume_takes_every_option_of_fit(epochs):
    X, Y = problem()
    run = fit(X, Y, lr=0.1, epochs=3)
    options = {
        "lr": 0.05,
        "loss": "mse",
        "sample_weight": np.arange(60.0),
        "validation": problem(seed=1),
        "tol": 1e-6,
        "callback": lambda epoch: None,
        "decimals": 4,
        "backend": "reference",
        "n_threads": 1,
    }
    later = run.resume(X, Y, epochs, **options)
    wanted = fit(X, Y, run.model, epochs=epochs, **options)
    assert bits(later.model.weights) == bits(wanted.model.weights)
    assert bits(later.history.loss[3:]) == bits(wanted.history.loss)


@pytest.mark.parametrize("name", ["learning_rate", "weights", "momentum", "history"])
def test_resume_refuses_unknown_options(name):
    X, Y = problem()
    run = fit(X, Y, lr=0.1, epochs=3)
    with pytest.raises(TypeError, match=rf"resume\(\) got an unexpected keyword argument '{name}'"):
        run.resume(X, Y, epochs=1, **{name: 1})


@pytest.mark.parametrize("name", ["learning_rate", "weights", "momentum"])
def test_fit_refuses_unknown_options(name):
    X, Y = problem()
    with pytest.raises(TypeError, match=rf"unexpected keyword argument '{name}'"):
        fit(X, Y, lr=0.1, epochs=1, **{name: 1})


def test_resume_goes_on_from_another_model_with_the_optimizers_state():
    X, Y = problem()
    run = fit(X, Y, Linear(np.zeros(3), None), lr=0.01, epochs=5, optimizer="adam")
    moved = Linear(run.model.weights + 1.0, None)
    found = run.resume(X, Y, epochs=1, model=moved).model.weights
    w, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    for step in range(1, 7):
        w = w + 1.0 if step == 6 else w
        g = 2 * X.T @ (X @ w - Y) / len(X)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 0.01 * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(found, w, rtol=1e-9)


def test_resume_refuses_another_dtype_and_another_optimizer():
    X, Y = problem()
    run = fit(X, Y, lr=0.01, epochs=5, optimizer="adam")
    with pytest.raises(TypeError, match=r"is of float64, but X is float32: give X.astype\('float64'\)"):
        run.resume(X.astype(np.float32), Y, epochs=1)
    for other in ("sgd", gdcore.Adam((0.9, 0.99)), None):
        with pytest.raises(ValueError, match=r"went by Adam\(.*, whose state .* cannot go on with"):
            run.resume(X, Y, epochs=1, optimizer=other)
    assert_same_bits(run.resume(X, Y, epochs=5, optimizer=gdcore.Adam()), fit(X, Y, lr=0.01, epochs=10, optimizer="adam"))


def test_resume_checks_its_data_as_fit_does():
    X, Y = problem()
    run = fit(X, Y, lr=0.1, epochs=3)
    with pytest.raises(ValueError, match="X has 2 columns, but the model has weights for 3"):
        run.resume(X[:, :2], Y)
    with pytest.raises(ValueError, match="epochs must be at least 0, found -1"):
        run.resume(X, Y, epochs=-1)
    with pytest.raises(ValueError, match="lr must be finite and not negative"):
        run.resume(X, Y, epochs=1, lr=-1)


def test_resume_on_other_rows_goes_on_from_the_model():
    X, Y = problem()
    others = problem(n=25, seed=8)
    run = fit(X, Y, lr=0.1, epochs=3)
    assert bits(run.resume(*others, epochs=4).model.weights) == bits(fit(*others, run.model, lr=0.1, epochs=4).model.weights)


# ---------------------------------------------------------------------------------------------------------- sample weights


def changes(kind, X, Y):
    """Two ways to say the same thing with sample weights."""
    rng = np.random.default_rng(4)
    n = len(X)
    s = rng.uniform(0.1, 3, n)
    drop = rng.choice(n, 17, replace=False)
    zero, counts = s.copy(), rng.integers(0, 4, n).astype(float)
    zero[drop] = 0
    return {
        "ones": ((X, Y, np.ones(n)), (X, Y, None)),
        "scaled": ((X, Y, math.pi * s), (X, Y, s)),
        "scaled far": ((X, Y, 1e200 * s), (X, Y, 1e-200 * s)),
        "zero": ((X, Y, zero), (np.delete(X, drop, 0), np.delete(Y, drop, 0), np.delete(s, drop))),
        "repeated": ((X, Y, counts), (np.repeat(X, counts.astype(int), 0), np.repeat(Y, counts.astype(int), 0), None)),
    }[kind]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("kind", ["ones", "scaled", "scaled far", "zero", "repeated"])
def test_sample_weights_mean_what_they_say(backend, outputs, d, kind):
    X, Y = problem(outputs, n=150, d=d)
    rng = np.random.default_rng(9)
    model = Linear(rng.normal(size=(d, *outputs)), rng.normal(size=outputs))
    (X1, Y1, s1), (X2, Y2, s2) = changes(kind, X, Y)
    options = {"lr": 0.05, "backend": backend, "tol": 1e-3, "epochs": 1000}
    run = fit(X1, Y1, model, sample_weight=s1, **options)
    wanted = fit(X2, Y2, model, sample_weight=s2, **options)
    plain = fit(X, Y, model, **options)
    assert (run.status, run.epochs) == (wanted.status, wanted.epochs)
    np.testing.assert_allclose(run.model.weights, wanted.model.weights, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(run.model.bias, wanted.model.bias, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(run.history.loss, wanted.history.loss, rtol=1e-11)
    np.testing.assert_allclose(run.history.gradient_norm, wanted.history.gradient_norm, rtol=1e-9)
    if kind != "ones":
        assert np.abs(run.model.weights - plain.model.weights).max() > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_one_row_with_weight_is_a_fit_to_that_row(backend):
    X, Y = problem()
    s = np.zeros(60)
    s[17] = 5.0
    run = fit(X, Y, lr=0.05, epochs=500, sample_weight=s, backend=backend)
    assert run.model.predict(X[17:18])[0] == pytest.approx(Y[17], rel=1e-12)
    assert run.loss < 1e-25


def test_sample_weights_may_be_integers_or_a_strided_view():
    X, Y = problem()
    s = np.arange(60)
    wanted = fit(X, Y, lr=0.05, epochs=5, sample_weight=s.astype(float))
    assert_same_bits(fit(X, Y, lr=0.05, epochs=5, sample_weight=s), wanted)
    assert_same_bits(fit(X, Y, lr=0.05, epochs=5, sample_weight=np.repeat(s.astype(float), 2)[::2]), wanted)
    assert_same_bits(fit(X, Y, lr=0.05, epochs=5, sample_weight=s.tolist()), wanted)


# ---------------------------------------------------------------------------------------------------- backends and threads


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_backends_learn_the_same(dtype, outputs, weighted):
    X, Y = problem(outputs, dtype, n=500, d=12)
    s = np.random.default_rng(2).uniform(0, 2, 500) if weighted else None
    kernel, plain = (
        fit(X, Y, start(outputs, dtype, d=12), lr=0.05, epochs=40, sample_weight=s, validation=(X, Y), backend=backend)
        for backend in ("kernel", "reference")
    )
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(kernel.model.weights, plain.model.weights, rtol=0, atol=tolerance)
    np.testing.assert_allclose(kernel.model.bias, plain.model.bias, rtol=0, atol=tolerance)
    np.testing.assert_allclose(kernel.history.loss, plain.history.loss, rtol=tolerance)
    np.testing.assert_allclose(kernel.history.validation_loss, plain.history.validation_loss, rtol=tolerance)
    norms = kernel.history.gradient_norm, plain.history.gradient_norm
    np.testing.assert_allclose(*norms, rtol=0, atol=tolerance * norms[1].max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [3, 40])
def test_the_same_bits_for_any_number_of_threads(dtype, d):
    X, Y = problem((), dtype, n=300_000 // d, d=d)
    wanted = fit(X, Y, lr=0.01, epochs=5, n_threads=1)
    for n_threads in (2, 3, 7, np.int64(4), None):
        assert_same_bits(fit(X, Y, lr=0.01, epochs=5, n_threads=n_threads), wanted)


@pytest.mark.parametrize(("value", "wanted"), [("1", 1), ("5", 5), (" 3 ", 3), ("4,2", 4), ("7, 1, 1", 7)])
def test_omp_num_threads_decides_the_number_of_threads(monkeypatch, value, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.resolve(None) == wanted
    assert threads.resolve(2) == 2


@pytest.mark.parametrize("value", ["", "0", "-3", "many", "2.5", ",3"])
def test_an_omp_num_threads_that_is_no_number_of_threads_is_as_good_as_none(monkeypatch, value):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    wanted = threads.resolve(None)
    assert 1 <= wanted <= (os.cpu_count() or 1)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.resolve(None) == wanted


# ------------------------------------------------------------------------------------------------------------- never copied


class Frame:
    """What pandas hands over: an object whose __array__ gives its own Fortran-ordered block."""

    def __init__(self, block):
        self.block = block
        self.asked = 0

    def __array__(self, dtype=None, copy=None):
        self.asked += 1
        return self.block if dtype is None else self.block.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_frame_is_not_copied(dtype):
    X, Y = problem((), dtype, n=200)
    frame = Frame(np.asfortranarray(X))
    assert np.shares_memory(arrays.table(frame), frame.block)
    assert arrays.table(frame).flags.f_contiguous
    frame.asked = 0
    run = fit(frame, Y, lr=0.05, epochs=5)
    assert frame.asked == 1
    assert_same_bits(run, fit(np.asfortranarray(X), Y, lr=0.05, epochs=5))
    assert bits(run.model.predict(frame)) == bits(run.model.predict(np.asfortranarray(X)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_are_taken_as_they_are(dtype):
    X, _ = problem((), dtype)
    readonly = X.copy()
    readonly.flags.writeable = False
    for array in (X, np.asfortranarray(X), X[::2], X[::-1, ::-1], X[:, 1:], readonly):
        taken = arrays.table(array)
        # a view of our own, whose shape nobody else can change
        assert taken is not array
        assert taken.__array_interface__ == array.__array_interface__


# -------------------------------------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("look", [{}, {"callback": lambda epoch: None}, {"validation": problem(seed=1)}], ids=list)
def test_divergence_is_an_error_with_the_last_finite_run(backend, dtype, bias, look):
    X, Y = problem((), dtype)
    model = Linear(np.zeros(3, dtype), dtype(0) if bias else None)
    lr = 1.1 * gdcore.spectrum(X, bias).lr_limit
    with pytest.raises(DivergenceError) as caught, pytest.warns(gdcore.LearningRateWarning, match="past the limit"):
        fit(X, Y, model, lr=lr, epochs=10_000, backend=backend, **look)
    run = caught.value.run
    assert 1 < run.epochs < 10_000
    message = str(caught.value)
    assert f"climbed above that of the all-zero model in epoch {run.epochs + 1} at lr = {lr:g}; it is " in message
    # The loss there is that of one more step.
    next_loss = float(re.search(r"it is (\S+) there", message)[1])
    w, b = run.model.weights.astype(float), 0.0 if run.model.bias is None else float(run.model.bias)
    r = X @ w + b - Y
    w, b = w - lr * 2 * X.T.astype(float) @ r / len(X), b - lr * 2 * r.mean() * bias
    assert next_loss == pytest.approx(np.mean((X @ w + b - Y) ** 2), rel=1e-3)
    assert f"there, after {run.loss:.6g}. The limit is {lr / 1.1:.6g}: " in message
    assert isinstance(caught.value, ArithmeticError)
    zeros = float(np.mean(np.square(Y, dtype=np.float64)))
    assert (run.history.loss <= zeros * (1 + 1e-6)).all()
    assert np.isfinite(run.history.gradient_norm).all()
    with pytest.warns(gdcore.LearningRateWarning):
        same = fit(X, Y, model, lr=lr, epochs=run.epochs, backend=backend)
    assert bits(run.model.weights) == bits(same.model.weights)
    assert bits(run.model.bias) == bits(same.model.bias)
    assert bits(run.history.loss) == bits(same.history.loss)
    # The run goes on from there with a smaller rate; epochs are counted on.
    with pytest.raises(DivergenceError, match=f"in epoch {run.epochs + 1} "), pytest.warns(gdcore.LearningRateWarning):
        same.resume(X, Y, epochs=10_000)
    rescued = run.resume(X, Y, epochs=3, lr=0.05)
    assert rescued.epochs == run.epochs + 3
    assert rescued.loss < run.loss


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_a_loss_that_leaves_the_finite_numbers_is_an_error(backend, optimizer):
    X, Y = problem()
    with pytest.raises(
        DivergenceError, match=r"left the finite numbers in epoch 1 at lr = .*; its last finite value was .*, after epoch 0"
    ) as caught:
        fit(X, Y, loss="mae", lr=1e308, epochs=10, optimizer=optimizer, backend=backend)
    assert (caught.value.run.epochs, caught.value.run.model.weights.any()) == (0, False)


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
@pytest.mark.parametrize("options", [{}, {"decimals": 2}, {"decimals": 2, "verbose": True}, {"verbose": True}], ids=list)
def test_divergence_is_an_error_of_train_too(options):
    X, Y = problem()
    with pytest.raises(DivergenceError, match=r"at lr = 50;"), contextlib.redirect_stdout(None):
        gdcore.train(X, Y, np.zeros(3), 50.0, 10_000, **options)


# ------------------------------------------------------------------------------------------------------------------- Ctrl-C


@contextlib.contextmanager
def control_c(after):
    """SIGINT for this process, once, ``after`` seconds after epochs began, as Python handles it by default."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main, ended = threading.get_ident(), threading.Event()

    def send():
        while not in_the_loop(sys._current_frames()[main]):
            if ended.wait(0.001):
                return
        if not ended.wait(after):
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()
        signal.signal(signal.SIGINT, before)


def in_the_loop(frame):
    """Whether a frame is of a run's epochs."""
    while frame is not None:
        if frame.f_code.co_name == "epochs" and frame.f_code.co_filename == drive.__file__:
            return True
        frame = frame.f_back
    return False


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "look",
    [{}, {"tol": 0.0, "sample_weight": np.ones(2000)}, {"callback": lambda epoch: None}],
    ids=["plain", "weighted", "callback"],
)
def test_control_c_leaves_the_last_whole_epoch(backend, look):
    X, Y = problem(n=2000, d=20)
    with control_c(0.15):
        run = fit(X, Y, lr=1e-6, epochs=10**8, backend=backend, method="stream", **look)
    assert run.status == "interrupted"
    assert 0 < run.epochs < 10**8
    assert len(run.history) == run.epochs
    same = fit(X, Y, lr=1e-6, epochs=run.epochs, backend=backend, method="stream", **look)
    assert same.status == "epochs"
    assert bits(run.model.weights) == bits(same.model.weights)
    assert bits(run.model.bias) == bits(same.model.bias)
    assert bits(run.history.loss) == bits(same.history.loss)
    assert run.loss == same.loss
    assert_same_bits(
        run.resume(X, Y, epochs=3), fit(X, Y, lr=1e-6, epochs=run.epochs + 3, backend=backend, method="stream", **look)
    )


def test_control_c_in_a_tiny_problem():
    with control_c(0.1):
        run = fit([[1.0], [2.0]], [3.0, 5.0], lr=1e-9, epochs=10**10, method="stream")
    assert run.status == "interrupted"
    assert 0 < run.epochs < 10**10
    same = fit([[1.0], [2.0]], [3.0, 5.0], lr=1e-9, epochs=run.epochs, method="stream")
    assert bits(run.model.weights) == bits(same.model.weights)


def test_control_c_is_answered_soon_on_a_large_table():
    X = np.ones((400_000, 20))
    Y = np.ones(400_000)
    with control_c(0.2):
        began = time.perf_counter()
        run = fit(X, Y, lr=1e-9, epochs=10**6, method="stream")  # an hour or so
        seconds = time.perf_counter() - began
    assert run.status == "interrupted"
    assert seconds < 10


def test_another_signals_exception_propagates():
    class Alarm(Exception):
        pass

    def handler(number, frame):
        raise Alarm

    before = signal.signal(signal.SIGALRM, handler)
    X, Y = problem(n=2000, d=20)
    try:
        with pytest.raises(Alarm):  # noqa: PT012
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            fit(X, Y, lr=1e-6, epochs=10**8, method="stream")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_whose_handler_returns_does_not_stop_the_run():
    called = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: called.append(number))
    X, Y = problem(n=2000, d=20)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        run = fit(X, Y, lr=1e-6, epochs=20_000, method="stream")  # a few hundred milliseconds
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert called
    assert (run.status, run.epochs) == ("epochs", 20_000)
    assert bits(run.model.weights) == bits(fit(X, Y, lr=1e-6, epochs=20_000, method="stream").model.weights)


SOLVERS = (backtracking, batches, closed, ends, narrowing, nesterov, newton, parts, stream)
LOOP = (course, drive, observe, passes, plan, state, stop, validating)


class InterruptAt:
    """Raises KeyboardInterrupt as line number ``count`` of the loop is about to run, counted in the order of execution.

    A signal's exception appears between any two lines of Python: this goes through them one by one.
    """

    def __init__(self, count):
        self.left = count
        self.place = None
        self.files = {reference.__file__, *(module.__file__ for module in SOLVERS + LOOP)}

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename not in self.files or not in_the_loop(frame):
            return None
        if event == "line" and self.place is None:
            self.left -= 1
            if self.left < 0:
                self.place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self

    def run(self, *arguments, **options):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            return fit(*arguments, **options)
        finally:
            sys.settrace(before)


def parameters(model):
    return b"".join(array.tobytes() for array in model.parameters(np.float64) if array is not None)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("look", ["nothing", "callback", "validation"])
@pytest.mark.parametrize(
    "how",
    [
        {"lr": 0.1},
        {"loss": gdcore.losses.huber(0.1)},
        {"loss": "huber", "precondition": "diagonal"},
        {"model": MLP([3, 2, 1])},
    ],
    ids=["stream", "auto", "diagonal", "network"],
)
def test_control_c_at_any_line_leaves_whole_epochs(backend, look, how):
    X, Y = problem(n=12)
    options = {"epochs": 3, "backend": backend, "n_threads": 1, "tol": 0.0, **how}
    if look == "callback":
        options["callback"] = lambda epoch: None
    elif look == "validation":
        options["validation"] = problem(n=4, seed=1)
    states = [parameters(fit(X, Y, **{**options, "epochs": epochs}).model) for epochs in range(4)]
    broken, places = [], 0
    # The reference has many lines: every third.
    for count in range(0, 10_000, 1 if backend == "kernel" else 3):
        tracer = InterruptAt(count)
        run = tracer.run(X, Y, **options)
        if tracer.place is None:
            break
        places += 1
        if not (
            run.status == "interrupted" and len(run.history) == run.epochs and parameters(run.model) == states[run.epochs]
        ):
            broken.append(f"{tracer.place}: {run.status}, history of {run.epochs} epochs")
    assert (run.status, run.epochs) == ("epochs", 3)
    assert places > 5
    assert broken == []


def test_a_second_control_c_while_the_first_is_answered_loses_no_epoch(monkeypatch):
    X, Y = problem(n=12)
    options = {"lr": 0.01, "epochs": 3, "batch_size": 5, "tol": 0.0}
    wanted, evaluate, calls = fit(X, Y, **options), passes.Passes.evaluate, []

    def struck(self, *arguments):
        calls.append(arguments)
        if len(calls) > 3:  # at the start and after two epochs; from then on a signal strikes every pass
            raise KeyboardInterrupt
        return evaluate(self, *arguments)

    monkeypatch.setattr(passes.Passes, "evaluate", struck)
    run = fit(X, Y, **options)
    assert (run.status, run.epochs, len(run.history)) == ("interrupted", 3, 3)
    assert parameters(run.model) == parameters(wanted.model)


# -------------------------------------------------------------------------------------------------- weights in validation


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_validation_rows_have_weights(backend, loss):
    X, Y = problem()
    Xv, Yv = problem(seed=1)
    sv = np.random.default_rng(2).uniform(0, 3, len(Xv))
    sv[:5] = 0
    run = fit(X, Y, loss=loss, lr=0.02, epochs=4, validation=(Xv, Yv, sv), backend=backend)
    r = Xv @ run.model.weights + run.model.bias - Yv
    each = {"mse": r**2, "mae": np.abs(r), "huber": np.where(np.abs(r) <= 1, r**2 / 2, np.abs(r) - 0.5)}[loss]
    assert run.history.validation_loss[-1] == pytest.approx(np.average(each, weights=sv), rel=1e-12)
    plain = fit(X, Y, loss=loss, lr=0.02, epochs=4, validation=(Xv, Yv), backend=backend)
    assert bits(plain.model.weights) == bits(run.model.weights)
    assert run.history.validation_loss[-1] != plain.history.validation_loss[-1]


def test_weights_of_validation_rows_are_copies_of_rows():
    X, Y = problem()
    Xv, Yv = problem(seed=1)
    counts = np.arange(len(Xv)) % 4
    options = {"lr": 0.2, "epochs": 200, "patience": 3}
    weighted = fit(X, Y, validation=(Xv, Yv, counts), **options)
    repeated = fit(X, Y, validation=(np.repeat(Xv, counts, axis=0), np.repeat(Yv, counts)), **options)
    assert (weighted.status, weighted.epochs) == (repeated.status, repeated.epochs)
    np.testing.assert_allclose(weighted.history.validation_loss, repeated.history.validation_loss, rtol=1e-12)
