"""Nothing depends on units: a problem told in another way has the same answer, by `gdcore.fit` and by the default estimators.

Each test tells one problem in two ways whose answers are known to be the same, and compares predictions and status. No
reference is needed for that, and none is used.

How near. By default a run is "converged" when its objective is proved to be within 1e-10 of its scale of the best (float64).
Where the losses' second derivative in ŷ is at least c, that holds predictions within √(2·1e-10/c) of the best ones, in units
of their spread, and two answers within twice that of each other: 1e-4 for c ≥ 0.08, which the data below have on average over
rows. Solutions of mae and quantile are vertices, and those of these data are single ones: a nearby objective is the same
vertex.
"""

import numpy as np
import pytest

import gdcore
from gdcore.estimators import GDClassifier, GDRegressor

NEAR = 1e-4
TAU, DELTA = 0.8, 1.0
REAL = ("mse", "mae", "huber", "quantile")
ROBUST = ("mae", "huber", "quantile")
CLASSES = ("logistic", "softmax")
PENALTIES = ({}, {"l1": 0.02}, {"l2": 0.02}, {"l1": 0.01, "l2": 0.01})
FACES = ("fit", "estimator")

every_loss = pytest.mark.parametrize("loss", [*REAL, *CLASSES])
real_losses = pytest.mark.parametrize("loss", REAL)
robust_losses = pytest.mark.parametrize("loss", ROBUST)
both_faces = pytest.mark.parametrize("face", FACES)
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=["none", "l1", "l2", "both"])


def data(loss, n=60, seed=0):
    """X (n, 4) and Y (n,) that a fit explains in part: targets around 0 with noise of size 1, classes that overlap."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    signal = X @ [1.0, -1.0, 0.5, 0.0]
    if loss == "logistic":
        return X, (signal + rng.logistic(size=n) > 0).astype(float)
    if loss == "softmax":
        return X, np.digitize(signal + rng.logistic(size=n), [-1.0, 1.0]).astype(float)
    return X, signal + 0.7 * rng.standard_t(4, n)


class Answer:
    """Predictions ŷ of rows, (n, k), and how the run ended."""

    def __init__(self, predict, status):
        self.predict, self.status = predict, status


def answer(face, loss, X, Y, s=None, *, delta=DELTA, tau=TAU, **penalties):
    """At default settings, but for the penalties."""
    if face == "fit":
        chosen = {"huber": lambda: gdcore.losses.huber(delta), "quantile": lambda: gdcore.losses.quantile(tau)}
        how = chosen.get(loss, gdcore.losses.LOSSES[loss])()
        run = gdcore.fit(X, Y, loss=how, sample_weight=s, **penalties)
        return Answer(lambda Z: raw(loss, run.model.predict(Z)), run.status)
    if loss in CLASSES:
        model = GDClassifier(**penalties).fit(X, Y, sample_weight=s)
        return Answer(lambda Z: raw(loss, model.decision_function(Z)), model.status_)
    model = GDRegressor(loss, delta=delta, tau=tau, **penalties).fit(X, Y, sample_weight=s)
    return Answer(lambda Z: raw(loss, model.predict(Z)), model.status_)


def raw(loss, predictions):
    """(n, k); softmax's are known but for a number that all classes have in common."""
    predictions = predictions.reshape(len(predictions), -1)
    return predictions - predictions.mean(axis=1, keepdims=True) if loss == "softmax" else predictions


def same(first, second, of_first, of_second, back=lambda predictions: predictions):
    """Predictions of rows as each answer knows them; ``back`` makes the second's comparable."""
    wanted, found = first.predict(of_first), back(second.predict(of_second))
    assert second.status == first.status == "converged"
    assert found.shape == wanted.shape
    off = np.abs(found - wanted).max(axis=0) / wanted.std(axis=0)
    assert np.all(off <= NEAR), f"predictions off by {off} of their spread"


# Promise: units of the columns of X change nothing -------------------------------------------------------------------------


@both_faces
@every_loss
@pytest.mark.parametrize("factors", [1e-6, 1e6, (1e-6, 1.0, 1e6, 1e3), (1e-9, 1e9, 1.0, 1.0)], ids=str)
def test_units_of_columns(face, loss, factors):
    """No penalty is given: the classifier's own does not depend on units either."""
    X, Y = data(loss)
    Z = X * factors
    same(answer(face, loss, X, Y), answer(face, loss, Z, Y), X, Z)


@every_loss
@every_penalty
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_of_all_columns_with_penalties_in_these_units(loss, penalty, factor):
    """w becomes w/a: l1·a and l2·a² are the same penalties."""
    X, Y = data(loss)
    scaled = {name: value * factor ** {"l1": 1, "l2": 2}[name] for name, value in penalty.items()}
    same(answer("fit", loss, X, Y, **penalty), answer("fit", loss, factor * X, Y, **scaled), X, factor * X)


@both_faces
@every_loss
@pytest.mark.parametrize("shift", [-1e2, 1e4])
def test_where_the_columns_zero_is(face, loss, shift):
    """With a bias, which takes the shift up."""
    X, Y = data(loss)
    Z = X + shift * np.array([1.0, 0.0, -1.0, 0.1])
    same(answer(face, loss, X, Y), answer(face, loss, Z, Y), X, Z)


# Promise: units of Y change nothing ---------------------------------------------------------------------------------------


@both_faces
@real_losses
@pytest.mark.parametrize("factor", [1e-6, 1e6, -1.0])
def test_units_of_targets(face, loss, factor):
    """Huber's δ has the units of Y; where Y is turned round τ becomes 1 − τ."""
    X, Y = data(loss)
    tau = TAU if factor > 0 else 1 - TAU
    second = answer(face, loss, X, factor * Y, delta=DELTA * abs(factor), tau=tau)
    same(answer(face, loss, X, Y), second, X, X, lambda predictions: predictions / factor)


@real_losses
@every_penalty
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_of_targets_with_penalties_in_these_units(loss, penalty, factor):
    """Where ℓ grows by aᵖ, l1 by aᵖ⁻¹ and l2 by aᵖ⁻² are the same penalties."""
    X, Y = data(loss)
    power = 2 if loss in ("mse", "huber") else 1
    scaled = {name: value * factor ** (power - {"l1": 1, "l2": 2}[name]) for name, value in penalty.items()}
    second = answer("fit", loss, X, factor * Y, delta=DELTA * factor, **scaled)
    same(answer("fit", loss, X, Y, **penalty), second, X, X, lambda predictions: predictions / factor)


@both_faces
@real_losses
@pytest.mark.parametrize("shift", [1e3, -1e6])
def test_a_constant_added_to_the_targets(face, loss, shift):
    """The bias takes it up."""
    X, Y = data(loss)
    same(answer(face, loss, X, Y), answer(face, loss, X, Y + shift), X, X, lambda predictions: predictions - shift)


@both_faces
@pytest.mark.parametrize("loss", CLASSES)
def test_names_of_classes(face, loss):
    X, Y = data(loss)
    if loss == "logistic":
        same(answer(face, loss, X, Y), answer(face, loss, X, 1 - Y), X, X, lambda predictions: -predictions)
    else:
        order = np.array([2, 0, 1])
        second = answer(face, loss, X, order[Y.astype(int)].astype(float))
        same(answer(face, loss, X, Y), second, X, X, lambda predictions: predictions[:, order])


# Promise: how far out an outlier lies changes nothing for a robust loss ---------------------------------------------------


@both_faces
@robust_losses
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("times", [10.0, 1e3, 1e7])
def test_an_outlier_further_out(face, loss, side, times):
    """The slope of ℓ at it is the same."""
    X, Y = data(loss)
    near, far = Y.copy(), Y.copy()
    near[7], far[7] = side * 1e2, side * 1e2 * times
    rest = np.arange(len(X)) != 7
    same(answer(face, loss, X, near), answer(face, loss, X, far), X[rest], X[rest])


@robust_losses
@every_penalty
def test_an_outlier_further_out_with_penalties(loss, penalty):
    X, Y = data(loss)
    near, far = Y.copy(), Y.copy()
    near[7], far[7] = 1e2, 1e6
    same(answer("fit", loss, X, near, **penalty), answer("fit", loss, X, far, **penalty), X, X)


# Promise: a target beside changes nothing ---------------------------------------------------------------------------------


@both_faces
@real_losses
@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_an_unrelated_target_beside(face, loss, factor):
    """Outputs do not meet: each has its own weights and its own part of the loss."""
    X, Y = data(loss)
    other = factor * data(loss, seed=1)[1]
    both = np.column_stack([Y, other])
    same(answer(face, loss, X, Y), answer(face, loss, X, both), X, X, lambda predictions: predictions[:, :1])
    if loss != "huber":  # whose δ is for both
        same(answer(face, loss, X, other), answer(face, loss, X, both), X, X, lambda predictions: predictions[:, 1:])


def test_unrelated_classes_beside():
    X, Y = data("logistic")
    both = np.column_stack([Y, data("logistic", seed=1)[1]])
    first, second = answer("fit", "logistic", X, Y), answer("fit", "logistic", X, both)
    same(first, second, X, X, lambda predictions: predictions[:, :1])


@robust_losses
def test_a_target_with_an_outlier_beside(loss):
    X, Y = data(loss)
    other = data(loss, seed=1)[1]
    other[3] = 1e9
    first, second = answer("fit", loss, X, Y), answer("fit", loss, X, np.column_stack([Y, other]))
    same(first, second, X, X, lambda predictions: predictions[:, :1])


# Promise: the order of rows and columns changes nothing but last bits -------------------------------------------------------


@both_faces
@every_loss
@every_penalty
def test_order_of_rows_and_columns(face, loss, penalty):
    X, Y = data(loss)
    rng = np.random.default_rng(2)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    second = answer(face, loss, X[rows][:, columns], Y[rows], **penalty)
    same(answer(face, loss, X, Y, **penalty), second, X, X[:, columns])


# Promise: weights count rows ----------------------------------------------------------------------------------------------


@both_faces
@every_loss
@every_penalty
def test_a_weight_of_two_is_a_row_twice(face, loss, penalty):
    X, Y = data(loss)
    s = np.random.default_rng(3).integers(1, 4, len(X))
    repeated = np.repeat(np.arange(len(X)), s)
    second = answer(face, loss, X[repeated], Y[repeated], **penalty)
    same(answer(face, loss, X, Y, s.astype(float), **penalty), second, X, X)


@both_faces
@every_loss
@every_penalty
@pytest.mark.parametrize("factor", [np.pi, 1e-8, 1e8])
def test_only_ratios_of_weights_count(face, loss, penalty, factor):
    X, Y = data(loss)
    s = np.random.default_rng(4).uniform(0.5, 2, len(X))
    same(answer(face, loss, X, Y, s, **penalty), answer(face, loss, X, Y, factor * s, **penalty), X, X)


@both_faces
@every_loss
@every_penalty
def test_a_weight_of_zero_is_no_row(face, loss, penalty):
    """Whatever stands in it."""
    X, Y = data(loss)
    s = np.random.default_rng(5).uniform(0.5, 2, len(X))
    s[::7] = 0
    kept = s > 0
    Z, T = X.copy(), Y.copy()
    Z[~kept] *= 1e3
    if loss in REAL:
        T[~kept] = 1e6
    second = answer(face, loss, X[kept], Y[kept], s[kept], **penalty)
    same(second, answer(face, loss, Z, T, s, **penalty), X, X)
