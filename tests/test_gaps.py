"""Proofs hold: `run.gap` is never less than what another model is better by, near the best weights and far from them.

Whatever solves the problems: the best that is known of each is the least objective of all models met here, in extended
precision; what is proved of a model must allow for every one of them.
"""

import functools
import itertools

import numpy as np
import pytest
from equivalence import exact
from formulas import loss_of

import gdcore

PARAMETERS = {"mse": 0.0, "mae": 0.0, "huber": 0.75, "quantile": 0.25, "logistic": 0.0, "softmax": 0.0}
PENALTIES = [(0.0, 0.0), (0.0, 0.02), (0.01, 0.0), (0.01, 0.02)]
ALL = [
    pytest.param(name, penalties, bias, id=f"{name}, l1 {penalties[0]:g}, l2 {penalties[1]:g}, {'bias' if bias else 'none'}")
    for name, penalties, bias in itertools.product(PARAMETERS, PENALTIES, (True, False))
]
SLACK = 1e-13  # of the objective, for its rounding


def loss_named(name):
    return gdcore.losses.LOSSES[name](*([PARAMETERS[name]] if PARAMETERS[name] else []))


@functools.cache
def problem(name):
    """Rows with noise, unlike columns, one far from 0, weights some of which are 0, and classes that nothing separates."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(60, 3)) * [1, 10, 0.1] + [0, 30, 0]
    raw = X @ [1.0, -0.1, 5.0] + 3 + rng.standard_t(3, size=60)
    s = rng.uniform(0.2, 3, 60) * (np.arange(60) % 11 > 0)
    Y = {"logistic": raw > np.median(raw), "softmax": np.digitize(raw, [-1, 1])}.get(name, raw)
    return X, Y.astype(np.float64), s


def objective(name, model, penalties):
    """In extended precision."""
    X, Y, s = problem(name)
    W, (l1, l2) = exact(np.asarray(model.weights).reshape(3, -1)), penalties
    raw = exact(X) @ W + (0 if model.bias is None else exact(np.atleast_1d(model.bias)))
    value, _ = loss_of(name, raw, Y[:, None], PARAMETERS[name], 0.0)
    return (exact(s) * value).sum() / exact(s).sum() + l1 * np.abs(W).sum() + l2 / 2 * (W**2).sum()


def start(name, bias):
    k = (3,) if name == "softmax" else ()
    return gdcore.Linear(np.zeros((3, *k)), (np.zeros(k) if k else 0.0) if bias else None)


@functools.cache
def solved(name, penalties, bias):
    X, Y, s = problem(name)
    l1, l2 = penalties
    return gdcore.fit(X, Y, start(name, bias), loss_named(name), sample_weight=s, l1=l1, l2=l2)


def moved(model, size, rng):
    """A model beside another: each number moved by about so much of the scale of its column."""
    shape = np.shape(model.weights)
    scale = np.array([1, 0.1, 10]).reshape(3, *[1] * (len(shape) - 1))
    weights = model.weights + size * scale * rng.normal(size=shape)
    bias = None if model.bias is None else model.bias + size * rng.normal(size=np.shape(model.bias))
    return gdcore.Linear(weights, bias if bias is None or shape[1:] else float(bias))


@pytest.mark.parametrize("name, penalties, bias", ALL)
def test_what_is_converged_is_proved(name, penalties, bias):
    run = solved(name, penalties, bias)
    assert run.status == "converged"
    assert run.gap is not None
    assert 0 <= run.gap <= 1e-7 * run.loss
    assert float(objective(name, run.model, penalties)) == pytest.approx(run.loss, rel=1e-12)


def judge(name, penalties, bias, sizes):
    X, Y, s = problem(name)
    l1, l2 = penalties
    rng = np.random.default_rng(1)
    best = solved(name, penalties, bias).model
    models = [best] + [moved(best, size, rng) for size in sizes for _ in range(2)]
    values = [objective(name, model, penalties) for model in models]
    least = min(values)
    for model, value in zip(models, values, strict=True):
        run = gdcore.fit(X, Y, model, loss_named(name), epochs=0, sample_weight=s, l1=l1, l2=l2)
        assert run.loss == pytest.approx(float(value), rel=1e-12)
        if run.gap is not None:
            assert run.gap >= float(value - least) - SLACK * run.loss
        assert run.status != "converged" or value - least <= 1e-7 * value


@pytest.mark.parametrize("name, penalties, bias", ALL)
def test_no_model_is_better_by_more_than_the_gap(name, penalties, bias):
    judge(name, penalties, bias, (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0))


@pytest.mark.parametrize("name, penalties, bias", ALL)
def test_far_off_neither(name, penalties, bias):
    """Where probabilities are smaller than any float64."""
    judge(name, penalties, bias, (10.0, 100.0, 1000.0, 1e5))
