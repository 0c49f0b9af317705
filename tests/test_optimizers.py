"""The optimizers: PyTorch's trajectories, penalties, rounding, schedules, errors."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from naming import named

import gdcore
from gdcore import Linear, fit, schedules
from gdcore.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, get

# Runs here stop when they are told to, converged or not.
pytestmark = pytest.mark.filterwarnings("ignore::gdcore.ConvergenceWarning")

TORCH = json.loads((Path(__file__).parent / "data" / "torch_trajectories.json").read_text())
BACKENDS = ["kernel", "reference"]


def data(n=40, d=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(0.2, 1, (n, d))
    return X, X @ rng.normal(0, 1, d) + rng.normal(1, 0.3, n)


def flat(model):
    return np.concatenate([np.ravel(model.weights), np.ravel(model.bias)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", TORCH["cases"], ids=lambda c: f"{c['optimizer']}-{c['options']}")
def test_the_trajectory_is_pytorchs(backend, case):
    options = {name: tuple(v) if isinstance(v, list) else v for name, v in case["options"].items()}
    optimizer = OPTIMIZERS[case["optimizer"].lower()](**options)
    seen = []
    model = Linear(TORCH["weights"], TORCH["bias"])
    for callback in (lambda epoch: seen.append(flat(epoch.model)), None):
        given = {"optimizer": optimizer, "lr": case["lr"], "epochs": 50, "backend": backend, "callback": callback}
        run = fit(TORCH["X"], TORCH["Y"], model, **given)
        np.testing.assert_allclose(flat(run.model), case["steps"][-1], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(seen, case["steps"], rtol=1e-10, atol=1e-10)


def test_every_optimizer_has_a_stored_trajectory():
    assert {case["optimizer"].lower() for case in TORCH["cases"]} == set(OPTIMIZERS)


def coordinate_descent(X, Y, l1, l2):
    """min ‖Y − Xw − b‖²/n + (l2/2)·‖w‖² + l1·‖w‖₁, one coordinate after the other."""
    w, b, n = np.zeros(X.shape[1]), 0.0, len(X)
    for _ in range(3000):
        b = np.mean(Y - X @ w)
        for j in range(len(w)):
            rest = Y - b - X @ w + X[:, j] * w[j]
            pull = 2 / n * X[:, j] @ rest
            w[j] = math.copysign(max(abs(pull) - l1, 0), pull) / (2 / n * X[:, j] @ X[:, j] + l2)
    return w, b


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("l1, l2", [(0.5, 0.0), (1.5, 0.0), (0.5, 0.4), (100.0, 0.0)])
def test_l1_reaches_coordinate_descents_solution(backend, l1, l2):
    X, Y = data(d=6)
    w, b = coordinate_descent(X, Y, l1, l2)
    assert (w == 0).any()
    run = fit(X, Y, lr=0.1, epochs=2000, l1=l1, l2=l2, backend=backend)
    np.testing.assert_allclose(flat(run.model), [*w, b], atol=1e-9)
    assert ((run.model.weights == 0) == (w == 0)).all()
    objective = np.mean((Y - X @ w - b) ** 2) + l2 / 2 * w @ w + l1 * np.abs(w).sum()
    assert run.loss == pytest.approx(objective, rel=1e-12)
    assert fit(X, Y, lr=0.1, epochs=2000, l1=l1, l2=l2, backend=backend, tol=1e-6).status == "converged"


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_decimals_round_what_they_say(name, backend):
    X, Y = data()
    run = fit(X, Y, optimizer=name, lr=0.05, epochs=9, decimals=2, backend=backend)
    assert (flat(run.model) == np.round(flat(run.model), 2)).all()
    assert np.abs(flat(run.model)).max() > 0
    if name == "sgd":
        w, b = np.zeros(X.shape[1]), 0.0
        for _ in range(9):
            r = X @ w + b - Y
            w = np.round(w - 0.05 * np.round(2 * X.T @ r / len(X), 2), 2)
            b = np.round(b - 0.05 * np.round(2 * r.mean(), 2), 2)
        np.testing.assert_allclose(flat(run.model), [*w, b], atol=1e-12)


SCHEDULES = [
    (schedules.constant(), lambda t: 1.0),
    (schedules.step(4, gamma=0.5), lambda t: 0.5 ** (t // 4)),
    (schedules.step(3), lambda t: 0.1 ** (t // 3)),
    (schedules.cosine(8), lambda t: (1 + math.cos(math.pi * min(t, 8) / 8)) / 2),
    (schedules.cosine(8, end=0.1), lambda t: 0.1 + 0.9 * (1 + math.cos(math.pi * min(t, 8) / 8)) / 2),
    (schedules.inverse(0.3), lambda t: 1 / (1 + 0.3 * t)),
    (lambda t: 0.9**t, lambda t: 0.9**t),
]


@pytest.mark.parametrize("schedule, formula", SCHEDULES, ids=lambda s: named(s)[:30])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_schedules_change_the_lr_of_each_epoch(schedule, formula, batch_size):
    X, Y = data()
    run = fit(X, Y, lr=0.05, epochs=7, schedule=schedule, batch_size=batch_size).resume(X, Y, 5)
    np.testing.assert_allclose(run.history.lr, [0.05 * formula(t) for t in range(12)], rtol=1e-12, atol=1e-18)
    if batch_size is None:
        w, b = np.zeros(X.shape[1]), 0.0
        for t in range(12):
            r = X @ w + b - Y
            w, b = w - 0.05 * formula(t) * 2 * X.T @ r / len(X), b - 0.05 * formula(t) * 2 * r.mean()
        np.testing.assert_allclose(flat(run.model), [*w, b], rtol=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_by_name_by_instance_and_again(name):
    X, Y = data()
    instance = OPTIMIZERS[name]()
    for batch_size in (None, 7):
        options = {"lr": 0.03, "epochs": 6, "batch_size": batch_size}
        by_name = fit(X, Y, optimizer=name, **options)
        for optimizer in (instance, instance, name.upper(), OPTIMIZERS[name]()):
            assert flat(fit(X, Y, optimizer=optimizer, **options).model).tobytes() == flat(by_name.model).tobytes()
    assert get(instance) is instance
    assert isinstance(get(name), OPTIMIZERS[name])
    assert repr(instance).startswith(OPTIMIZERS[name].__name__)
    assert issubclass(OPTIMIZERS[name], Optimizer)


def test_none_is_plain_gradient_descent():
    X, Y = data()
    plain = fit(X, Y, optimizer=SGD(), lr=0.03, epochs=6)
    assert flat(fit(X, Y, lr=0.03, epochs=6).model).tobytes() == flat(plain.model).tobytes()
    assert get(None).parameters == {"momentum": 0.0, "nesterov": False}


BAD = [
    (SGD, "momentum"), (Adagrad, "lr_decay"), (Adagrad, "initial_accumulator_value"), (Adagrad, "eps"),
    (RMSprop, "alpha"), (RMSprop, "eps"), (RMSprop, "momentum"), (Adam, "eps"), (AdamW, "eps"), (AdamW, "weight_decay"),
]  # fmt: skip


@pytest.mark.parametrize("kind, name", BAD)
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "1", None])
def test_bad_parameters_are_named(kind, name, value):
    error = ValueError if isinstance(value, float) else TypeError
    with pytest.raises(error, match=rf"{name} must be .*found {re.escape(repr(value))}"):
        kind(**{name: value})


def test_numbers_of_numpy_are_numbers():
    """Each hyperparameter takes NumPy's scalars, and is then Python's number."""
    half = np.float32(0.5)
    made = [
        SGD(half), SGD(half, nesterov=np.True_), Adagrad(half, half, half), RMSprop(half, half, half, np.False_),
        Adam((half, half), half), AdamW((half, half), half, half),
    ]  # fmt: skip
    for optimizer in made:
        for value in optimizer.parameters.values():
            assert all(type(number) in (float, bool) for number in (value if isinstance(value, tuple) else (value,)))
    assert SGD(half).parameters == SGD(0.5).parameters
    assert schedules.step(np.int64(4), half) == schedules.step(4, 0.5)
    assert schedules.cosine(np.int32(4), np.float64(0.5)) == schedules.cosine(4, 0.5)
    assert schedules.inverse(half) == schedules.inverse(0.5)
    assert (gdcore.losses.huber(half).parameter, gdcore.losses.quantile(half).parameter) == (0.5, 0.5)
    X, Y = data()
    assert gdcore.spectrum(X, l2=half).largest == gdcore.spectrum(X, l2=0.5).largest
    assert gdcore.spectrum(X).epochs_to(half, half / 100) == gdcore.spectrum(X).epochs_to(0.5, 0.005)
    one = fit(X, Y, lr=half / 16, l2=half, tol=half, epochs=np.int64(3), batch_size=np.int16(7), shuffle=np.False_)
    assert (
        flat(one.model).tobytes() == flat(fit(X, Y, lr=1 / 32, l2=0.5, epochs=3, batch_size=7, shuffle=False).model).tobytes()
    )


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: schedules.step(0), ValueError, "step_size must be at least 1, found 0"),
        (lambda: schedules.step(2.5), TypeError, "step_size must be an integer, found 2.5"),
        (lambda: schedules.step(2, math.nan), ValueError, "gamma must be finite and not negative, found nan"),
        (lambda: schedules.cosine(0), ValueError, "epochs must be at least 1, found 0"),
        (lambda: schedules.cosine(5, -1), ValueError, "end must be finite and not negative, found -1"),
        (lambda: schedules.inverse(-1), ValueError, "k must be finite and not negative, found -1"),
        (lambda: SGD(0.9, nesterov="no"), TypeError, "nesterov must be True or False, found 'no'"),
        (lambda: RMSprop(centered=1), TypeError, "centered must be True or False, found 1"),
        (lambda: fit([[1.0]], [1.0], lr=0.1, shuffle="no"), TypeError, "shuffle must be True or False, found 'no'"),
    ],
)
def test_what_is_not_one_is_named(make, error, text):
    with pytest.raises(error, match=re.escape(text)):
        make()


@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9,), 0.9, (0.9, 0.99, 0.999)])
def test_bad_betas_are_named(kind, betas):
    with pytest.raises(ValueError, match="betas"):
        kind(betas=betas)


def test_other_bad_optimizers():
    with pytest.raises(ValueError, match="alpha must be at least 0 and below 1, found"):
        RMSprop(alpha=1.0)
    with pytest.raises(ValueError, match="nesterov needs a momentum above 0"):
        SGD(nesterov=True)
    for wrong in ("adamax", "", 3, SGD):
        with pytest.raises(ValueError, match="optimizer must be ") as error:
            fit([[1.0]], [1.0], optimizer=wrong, lr=0.1, epochs=1)
        assert all(repr(name) in str(error.value) for name in OPTIMIZERS)
    assert all(hasattr(gdcore, kind.__name__) for kind in OPTIMIZERS.values())
