"""The losses: stored extreme values, finite differences, the kernel against the reference, weights of rows, errors."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

import gdcore
from gdcore import Linear, fit
from gdcore.backends import BACKENDS, kernel, reference
from gdcore.losses import LOSSES, Loss, get, huber, quantile

CASES = json.loads((Path(__file__).parent / "data" / "reference_cases.json").read_text())
NAMES = list(LOSSES)
TIGHT = {"rel": 1e-15, "abs": 1e-15}


def problem(name, n=40, d=3, k=1, dtype=np.float64, seed=0, bias=True, weighted=True):
    """Rows, targets of the loss's kind as (n, k) or (n, 1), weights (d, k), bias, weights of rows."""
    kind = LOSSES[name]().targets
    k = max(k, 2) if kind == "classes" else k
    rng = np.random.default_rng([seed, n, d, k])
    X = rng.normal(0.2, 1, (n, d))
    W, b = rng.normal(0, 1, (d, k)) / np.sqrt(d), rng.normal(0, 1, k)
    Y = rng.normal(1, 2, (n, k))
    if kind == "binary":
        Y = rng.integers(0, 2, (n, k))
    elif kind == "classes":
        Y = rng.integers(0, k, (n, 1))
    elif kind != "real":
        Y = np.exp(Y / 2)
    s = rng.uniform(0.1, 3, n)
    X, Y, W, b, s = (a.astype(dtype) for a in (X, Y, W, b, s))
    return X, Y, W, b if bias else None, s if weighted else None


def options(name, **more):
    loss = LOSSES[name]()
    return {"loss": loss.name, "parameter": loss.parameter, **more}


def derivatives(backend, loss, raw, y):
    """ℓ and ∂ℓ/∂ŷ of one row."""
    raw = np.array(raw, np.float64).reshape(-1, 1)
    out = np.empty_like(raw)
    value, total = backend.derivatives_of(raw, np.array([[float(y)]]), None, out, loss.name, loss.parameter)
    assert total == 1
    return value, out[:, 0]


# -------------------------------------------------------------------------------------------------- certified values


@pytest.mark.parametrize("case", CASES["half_binomial_extreme"]["cases"], ids=lambda c: f"{c['y']}-{c['raw']:g}")
def test_logistic_at_extreme_values(backend, case):
    value, slope = derivatives(backend, get("logistic"), [case["raw"]], case["y"])
    assert value == pytest.approx(case["loss"], **TIGHT)
    assert slope[0] == pytest.approx(case["gradient"], **TIGHT)


@pytest.mark.parametrize("case", CASES["multinomial_extreme"]["cases"], ids=lambda c: str(c["raw"]))
def test_softmax_at_extreme_values(backend, case):
    for y, wanted in enumerate(case["loss_per_class"]):
        value, slope = derivatives(backend, get("softmax"), case["raw"], y)
        assert value == pytest.approx(wanted, **TIGHT)
        proba = slope + (np.arange(len(slope)) == y)
        assert proba == pytest.approx(np.array(case["proba"]), rel=1e-15, abs=3e-16)
        assert proba.sum() == pytest.approx(1, rel=1e-11)


@pytest.mark.parametrize("case", CASES["pointwise_losses"]["cases"], ids=lambda c: f"{c['loss']}-{c['raw']}")
def test_losses_at_known_points(backend, case):
    known = {"half squared": (get("mse"), 2), "absolute": (get("mae"), 1), "huber delta=3": (huber(delta=3), 1)}
    loss, factor = known[case["loss"]] if case["loss"] in known else pytest.fail(f"{case['loss']} is not compared")
    value, slope = derivatives(backend, loss, [case["raw"]], case["y"])
    assert value == pytest.approx(factor * case["loss_value"], **TIGHT)
    assert slope[0] == pytest.approx(factor * case["grad"], **TIGHT)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_glmnets_logistic_coefficients(backend):
    stored = CASES["logistic_glmnet"]
    run = fit(stored["X"], stored["y_binary"], loss="logistic", l2=1.0, lr=0.5, epochs=3000, backend=backend)
    assert run.model.weights == pytest.approx(np.array(stored["binary"]["coef"]), rel=1e-5)
    assert run.model.bias == pytest.approx(stored["binary"]["intercept"], rel=1e-5)
    newton = stored["binary"]["newton_float64"]
    assert [run.model.bias, *run.model.weights] == pytest.approx(newton, rel=1e-9)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_glmnets_multinomial_coefficients(backend):
    stored = CASES["logistic_glmnet"]
    run = fit(stored["X"], stored["y_multinomial"], loss="softmax", l2=1.0, lr=0.3, epochs=5000, backend=backend)
    # A constant added to every intercept changes no probability: glmnet's sum to 0.
    coef = np.array(stored["multinomial"]["coef"])
    np.testing.assert_allclose(run.model.weights.T, coef, rtol=1e-5, atol=1e-8)
    intercept = np.array(stored["multinomial"]["intercept"])
    assert run.model.bias - run.model.bias.mean() == pytest.approx(intercept - intercept.mean(), rel=1e-5, abs=1e-8)


# ------------------------------------------------------------------------------------------------ finite differences


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 3])
def test_gradients_are_those_of_finite_differences(backend, name, k):
    eps = 1e-5  # the loss's last bits, divided by 1e-6, would pass the tolerance
    for weighted, bias, l2, seed in itertools.product((False, True), (False, True), (0.0, 0.3), range(3)):
        X, Y, W, b, s = problem(name, k=k, bias=bias, weighted=weighted, seed=seed)
        objective = options(name, l2=l2)
        _, grad, bias_grad = backend.loss_gradient(X, Y, W, b, s, **objective)
        for values, found in ((W, grad), (b, bias_grad)):
            if values is None:
                assert found is None
                continue
            wanted = np.empty_like(values)
            for place in np.ndindex(values.shape):
                start, at = values[place], {}
                for times in (-2, -1, 1, 2):
                    values[place] = start + times * eps
                    at[times] = backend.loss(X, Y, W, b, s, **objective)
                values[place] = start
                wanted[place] = (at[-2] - 8 * at[-1] + 8 * at[1] - at[2]) / (12 * eps)
            np.testing.assert_allclose(found, wanted, rtol=5e-6, atol=1e-10, err_msg=f"{weighted} {bias} {l2} {seed}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 3])
def test_float32_agrees_with_the_float64_reference(backend, name, k):
    for seed in range(3):
        X, Y, W, b, s = problem(name, n=200, d=7, k=k, dtype=np.float32, seed=seed)
        loss, grad, bias_grad = backend.loss_gradient(X, Y, W, b, s, **options(name, l2=0.25))
        assert (grad.dtype, bias_grad.dtype) == (np.float32, np.float32)
        wide = (a.astype(np.float64) for a in (X, Y, W, b, s))
        wanted = reference.loss_gradient(*wide, **options(name, l2=0.25))
        scale = max(np.abs(wanted[1]).max(), np.abs(wanted[2]).max())
        assert loss == pytest.approx(wanted[0], rel=1e-4)
        np.testing.assert_allclose(grad, wanted[1], rtol=1e-4, atol=1e-6 * scale)
        np.testing.assert_allclose(bias_grad, wanted[2], rtol=1e-4, atol=1e-6 * scale)


def test_the_gradient_is_zero_at_the_ridge_solution(backend):
    X, Y, _, _, s = problem("mse", n=50, d=4, k=3)
    l2, mean = 0.7, np.average(X, axis=0, weights=s)
    centred, Y_mean = X - mean, np.average(Y, axis=0, weights=s)
    # 2·Xᵀ·S·(XW − Y)/Σs + l2·W = 0
    A = 2 * centred.T @ (s[:, None] * centred) / s.sum() + l2 * np.eye(4)
    W = np.linalg.solve(A, 2 * centred.T @ (s[:, None] * (Y - Y_mean)) / s.sum())
    grad, bias_grad = backend.gradient(X, Y, W, Y_mean - mean @ W, s, l2=l2)
    assert np.abs(grad).max() < 1e-13
    assert np.abs(bias_grad).max() < 1e-13


# ---------------------------------------------------------------------------------------- the kernel = the reference


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("d", [3, 12, 40])
@pytest.mark.parametrize("k", [1, 3])
def test_the_kernel_is_the_reference_in_any_layout_with_any_threads(name, dtype, d, k):
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    for n, weighted, bias, (l1, l2) in itertools.product(
        (5, 1203), (False, True), (False, True), ((0.0, 0.0), (0.2, 0.0), (0.0, 0.3), (0.2, 0.3))
    ):
        arrays = X, Y, W, b, s = problem(name, n, d, k, dtype, bias=bias, weighted=weighted)
        objective = options(name, l1=l1, l2=l2)
        value, grad, bias_grad = kernel.loss_gradient(*arrays, **objective)
        wanted, wanted_grad, wanted_bias = reference.loss_gradient(*arrays, **objective)
        scale = max(np.abs(wanted_grad).max(), 0 if b is None else np.abs(wanted_bias).max())
        # Of amounts a loss may be near 0 though its terms, of about 1, are not.
        near = {"rel": tolerance, "abs": tolerance if LOSSES[name]().has_link else 0}
        assert value == pytest.approx(wanted, **near)
        assert np.abs(grad - wanted_grad).max() <= tolerance * scale
        assert (bias_grad is None) == (b is None)
        assert b is None or np.abs(bias_grad - wanted_bias).max() <= tolerance * scale
        assert kernel.loss(*arrays, **objective) == pytest.approx(wanted, **near)
        by_columns = kernel.loss_gradient(np.array(X, order="F"), Y, W, b, s, **objective)
        assert by_columns[0] == pytest.approx(value, **near)
        assert np.abs(by_columns[1] - grad).max() <= tolerance * scale
        assert b is None or np.abs(by_columns[2] - bias_grad).max() <= tolerance * scale
        for n_threads, order, same in ((2, "C", (value, grad, bias_grad)), (3, "F", by_columns)):
            again = kernel.loss_gradient(np.array(X, order=order), Y, W, b, s, n_threads=n_threads, **objective)
            assert again[0] == same[0]
            assert again[1].tobytes() == same[1].tobytes()
            assert b is None or again[2].tobytes() == same[2].tobytes()


# ---------------------------------------------------------------------------------------------- what fit makes of it


def trainable(name, n=60, k=None, seed=0):
    X, Y, *_ = problem(name, n=n, d=3, k=3 if name == "softmax" else 1, seed=seed)
    return X, Y[:, 0]


@pytest.mark.parametrize("name", NAMES)
def test_training_lowers_the_loss(backend, name):
    X, Y = trainable(name)
    run = fit(X, Y, loss=name, lr=0.05, epochs=100, backend="kernel" if backend is kernel else "reference")
    assert run.loss < 0.99 * fit(X, Y, loss=name, lr=0.05, epochs=0).loss


@pytest.mark.parametrize("name", ["logistic", "softmax"])
def test_probabilities_sum_to_one_at_decision_values_of_a_thousand(name):
    X, Y = trainable(name)
    model = fit(X, Y, loss=name, lr=0.1, epochs=3).model
    model.weights = np.zeros_like(model.weights)
    model.weights[0] = 1.0 if name == "logistic" else [1.0, -1.0, 0.5]
    model.bias = model.bias * 0
    proba = model.predict_proba(np.array([[1000.0, 0, 0], [-1000.0, 0, 0], [0.0, 0, 0]]))
    assert np.isfinite(proba).all()
    if name == "logistic":
        assert proba.tolist() == [1.0, 0.0, 0.5]
    else:
        assert proba.sum(axis=1) == pytest.approx(np.ones(3), rel=1e-11)
        assert proba.argmax(axis=1)[:2].tolist() == [0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_rows(name):
    X, Y = trainable(name)
    rng = np.random.default_rng(3)
    s = rng.integers(0, 3, len(X)).astype(float)
    # The last row of each class keeps its weight, so that the classes stay what they are.
    for value in np.unique(Y) if name in ("logistic", "softmax") else ():
        s[np.flatnonzero(value == Y)[-1]] = 1

    def trained(X, Y, s=None):
        run = fit(X, Y, loss=name, lr=0.05, epochs=60, sample_weight=s, l2=0.1)
        return np.concatenate([np.ravel(run.model.weights), np.ravel(run.model.bias), [run.loss]])

    tight = {"rel": 1e-9, "abs": 1e-12}
    assert trained(X, Y, np.ones(len(X))) == pytest.approx(trained(X, Y), **tight)
    assert trained(X, Y, np.pi * s) == pytest.approx(trained(X, Y, s), **tight)
    assert trained(X, Y, s) == pytest.approx(trained(X[s > 0], Y[s > 0], s[s > 0]), **tight)
    assert trained(X, Y, s) == pytest.approx(trained(*(np.repeat(A, s.astype(int), axis=0) for A in (X, Y))), **tight)


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "loss, Y, model, words",
    [
        ("logistic", [0.0, 2.0, 1.0], None, ["Y[1]", "2.0", "0 or 1"]),
        ("logistic", [0.0, -1.0, 1.0], None, ["Y[1]", "-1.0"]),
        ("softmax", [0.0, 3.0, 1.0], Linear(np.zeros((2, 3)), np.zeros(3)), ["Y[1]", "3.0", "0 … 2"]),
        ("softmax", [0.0, -1.0, 1.0], None, ["Y[1]", "-1.0"]),
        ("softmax", [0.0, 0.5, 1.0], None, ["Y[1]", "0.5"]),
    ],
)
def test_labels_that_a_loss_does_not_take(loss, Y, model, words):
    with pytest.raises(ValueError) as error:
        fit([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], Y, model, loss, lr=0.1, epochs=1)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("delta", [0, -1.0, float("nan"), float("inf"), "1", None])
def test_huber_wants_a_positive_delta(delta):
    error = TypeError if delta is None or isinstance(delta, str) else ValueError
    with pytest.raises(error, match=r"delta must be .*found " + re.escape(repr(delta))):
        huber(delta=delta)


@pytest.mark.parametrize("tau", [0, 1, -0.1, 1.1, float("nan"), "0.5", None])
def test_quantile_wants_tau_between_0_and_1(tau):
    error = TypeError if tau is None or isinstance(tau, str) else ValueError
    with pytest.raises(error, match=r"tau must be .*found " + re.escape(repr(tau))):
        quantile(tau=tau)


@pytest.mark.parametrize("name", ["rmse", "MSE", "", None, 3, ["mse"]])
def test_unknown_losses_list_those_that_exist(name):
    with pytest.raises(ValueError, match="loss must be ") as error:
        fit([[1.0]], [1.0], loss=name, lr=0.1, epochs=1)
    assert all(repr(known) in str(error.value) for known in LOSSES)


@pytest.mark.parametrize("name", [name for name in NAMES if LOSSES[name]().targets == "real"])
def test_probabilities_need_a_classifier(name):
    with pytest.raises(ValueError, match=f"trained with '{name}'"):
        fit([[1.0]], [1.0], loss=name, lr=0.1, epochs=1).model.predict_proba([[1.0]])
    with pytest.raises(ValueError, match="not trained"):
        gdcore.Linear([1.0]).predict_proba([[1.0]])


@pytest.mark.parametrize("name", NAMES)
def test_the_registry_holds_losses_by_name(name):
    loss = get(name)
    assert isinstance(loss, Loss)
    assert loss.name == name
    assert get(loss) is loss
