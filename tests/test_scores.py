"""Losses, R² and accuracy against scikit-learn's; from moments as from rows; networks folded back from scaled columns."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import gdcore
from gdcore import losses
from gdcore.models import scores
from gdcore.models.scores import Scaling
from gdcore.rows.moments import Moments
from gdcore.rows.tables import Piece

metrics = pytest.importorskip("sklearn.metrics")


def rows(loss, weighted, n=500, d=4, level=0.0, seed=3):
    """Rows, and a model that predicts them neither well nor badly."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * [1.0, 20.0, 0.1, 3.0] + [0.0, 5.0, 1.0, -2.0]
    kind = losses.get(loss).targets
    if kind == "classes":
        y, W, b = rng.integers(0, 3, n).astype(float), 0.05 * rng.normal(size=(d, 3)), rng.normal(size=3)
    else:
        W, b = rng.normal(size=d), float(rng.normal())
        y = level + X @ W + 3 * rng.normal(size=n)
        y = (y > np.median(y)).astype(float) if kind == "binary" else y
    s = rng.integers(0, 4, n).astype(float) if weighted else None
    W = 0.05 * W if kind == "binary" else W  # scikit-learn clips probabilities near 0
    model = gdcore.Linear(W + 0.05, b + level)
    model.loss = loss
    return X, y, s, model


def cut(X, y, s, *places):
    """The rows in pieces."""
    edges = [0, *places, len(X)]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        yield Piece(X[part], y[part, None], None if s is None else s[part])


def certified(loss, X, y, s, model):
    """Loss and quality, by scikit-learn."""
    if loss.targets == "real":
        found = X @ model.weights + model.bias
        value = {
            "mse": metrics.mean_squared_error,
            "mae": metrics.mean_absolute_error,
            "quantile": lambda *a, **k: metrics.mean_pinball_loss(*a, alpha=loss.parameter, **k),
            "huber": huber(loss.parameter),
        }[loss.name](y, found, sample_weight=s)
        return value, metrics.r2_score(y, found, sample_weight=s)
    p = model.predict_proba(X)
    p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
    value = metrics.log_loss(y, p, sample_weight=s)
    return value, metrics.accuracy_score(y, p.argmax(axis=1), sample_weight=s)


def huber(delta):
    def value(y, found, sample_weight):
        r = abs(found - y)
        return np.average(np.where(r <= delta, r**2 / 2, delta * (r - delta / 2)), weights=sample_weight)

    return value


ALL = [losses.get(loss) for loss in ("mse", "mae", losses.huber(2.5), losses.quantile(0.8), "logistic", "softmax")]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_rows_score_as_scikit_learn_says(loss, weighted):
    X, y, s, model = rows(loss, weighted)
    for places in ((), (1, 2, 300), (499,)):
        found = scores.of_rows(cut(X, y, s, *places), model, loss)
        assert found.rows == 500
        assert (found.loss, found.quality) == pytest.approx(certified(loss, X, y, s, model), rel=1e-11)


def test_pieces_without_weight_count_as_rows_and_for_nothing_else():
    X, y, s, model = rows("mse", True)
    s[:100] = 0
    y[:100] = 1e6
    found = scores.of_rows(cut(X, y, s, 100), model, losses.mse())
    assert found.rows == 500
    assert (found.loss, found.quality) == pytest.approx(certified(losses.mse(), X[100:], y[100:], s[100:], model), rel=1e-11)
    assert scores.of_rows(cut(X, y, 0 * s), model, losses.mse()) == pytest.approx(scores.Scores(rows=500), nan_ok=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("level", [0.0, 1e6])
def test_moments_score_as_rows_do(weighted, level):
    X, y, s, model = rows("mse", weighted, level=level)
    together = scores.of_moments(Moments.of(X, y[:, None], s), model)
    one_by_one = scores.of_rows(cut(X, y, s), model, losses.mse())
    assert together.rows == one_by_one.rows == 500
    # Both lose some of the digits that the squared level has more than the loss.
    tolerance = 1e-10 if level == 0 else 1e-8
    assert together[:2] == pytest.approx(one_by_one[:2], rel=tolerance)
    assert together[:2] == pytest.approx(certified(losses.mse(), X, y, s, model), rel=tolerance)


def test_targets_that_are_all_the_same_have_no_r2():
    X, y, _, model = rows("mse", False)
    y[:] = 7.0
    for found in (
        scores.of_rows(cut(X, y, None), model, losses.mse()),
        scores.of_moments(Moments.of(X, y[:, None], None), model),
    ):
        assert found.quality is None
        assert found.loss == pytest.approx(np.mean((X @ model.weights + model.bias - 7) ** 2))
    assert found.named(losses.mse())["R²"] is None


def test_the_quality_is_called_what_it_is():
    assert scores.Scores(1.0, 0.5).named(losses.mae()) == {"loss": 1.0, "R²": 0.5}
    assert scores.Scores(1.0, 0.5).named(losses.softmax()) == {"loss": 1.0, "accuracy": 0.5}


# Networks on scaled columns ---------------------------------------------------------------------------------------------


def network(loss, weighted=False, X=None):
    """A short training as `gdcore train --model mlp` does it."""
    own, y, s, _ = rows(loss, weighted, n=200, level=0.0 if losses.get(loss).targets != "real" else 1000.0)
    X = own if X is None else X
    outputs = 3 if losses.get(loss).targets == "classes" else 1
    scaling = Scaling(X, y, losses.get(loss), s)
    start = gdcore.MLP([X.shape[1], 5, outputs], "tanh", seed=1)
    run = gdcore.fit(
        scaling.columns(X), scaling.targets(y), start, scaling.loss, "adam", 0.05, 30, sample_weight=s,
        validation=(scaling.columns(X[:50]), scaling.targets(y[:50])),
    )  # fmt: skip
    return X, y, s, scaling, run


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_a_folded_network_predicts_from_raw_columns_what_it_did_from_scaled_ones(loss, weighted):
    X, y, s, scaling, run = network(loss, weighted)
    before = run.model.predict(scaling.columns(X))
    scaling.undo(run)
    expected = before * scaling.size + scaling.level
    # Folding moves mean/spread of a column from one sum to another, here at most 10 times 16 digits.
    np.testing.assert_allclose(run.model.predict(X), expected, rtol=1e-11, atol=1e-11 * abs(expected).max())
    assert run.model.loss is loss
    found = scores.of_rows(cut(X, y, s), run.model, loss)
    assert run.loss == pytest.approx(found.loss, rel=1e-10)
    assert run.history.loss[-1] == run.loss  # all in the units of the target
    tested = scores.of_rows(cut(X[:50], y[:50], None), run.model, loss)
    assert run.history.validation_loss[-1] == pytest.approx(tested.loss, rel=1e-10)


def test_scaled_columns_have_mean_0_and_spread_1():
    X, y, _, _ = rows("mse", False)
    scaling = Scaling(X, y, losses.mse())
    for values in (scaling.columns(X), scaling.targets(y)[:, None]):
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-14)
        np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-14)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1])
def test_a_column_of_one_value_does_no_harm(value):
    """The mean of equal numbers may be rounded, and a spread of 1e-17 would make of that a column of its own."""
    X, *_ = rows("mse", False, n=200)
    X[:, 2] = value
    X, _, _, scaling, run = network("mse", X=X)
    assert (scaling.mean[2], scaling.spread[2]) == (value, 1.0)
    assert (scaling.columns(X)[:, 2] == 0).all()
    before = run.model.predict(scaling.columns(X)) * scaling.size + scaling.level
    scaling.undo(run)
    np.testing.assert_allclose(run.model.predict(X), before, rtol=1e-6)


def test_rows_without_weight_have_no_part_in_the_scaling():
    X, y, s, _ = rows("mse", True)
    spoiled, odd = X.copy(), y.copy()
    spoiled[s == 0] = 1e9
    odd[s == 0] = -1e9
    a, b = Scaling(X, y, losses.mse(), s), Scaling(spoiled, odd, losses.mse(), s)
    assert (a.mean.tolist(), a.spread.tolist(), a.level, a.size) == (b.mean.tolist(), b.spread.tolist(), b.level, b.size)
    repeated = Scaling(np.repeat(X, s.astype(int), axis=0), np.repeat(y, s.astype(int)), losses.mse())
    np.testing.assert_allclose(a.mean, repeated.mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose([*a.spread, a.level, a.size], [*repeated.spread, repeated.level, repeated.size], rtol=1e-12)


def test_classes_are_not_scaled():
    X, y, _, _ = rows("logistic", False)
    scaling = Scaling(X, y, losses.logistic())
    assert (scaling.targets(y) == y).all()
    run = SimpleNamespace(
        model=gdcore.MLP([4, 2, 1]), loss=0.5, history=SimpleNamespace(loss=np.ones(1), validation_loss=np.ones(1))
    )
    scaling.undo(run)
    assert (run.loss, run.history.loss[0], run.history.validation_loss[0]) == (0.5, 1.0, 1.0)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_huber_on_scaled_targets_is_huber(size):
    """What a network learns does not depend on the target's unit."""
    X, y, _, _ = rows("huber", False, n=200)
    weights = []
    for unit in (1.0, size):
        scaling = Scaling(X, y * unit, losses.huber(2.0 * unit))
        run = gdcore.fit(
            scaling.columns(X), scaling.targets(y * unit), gdcore.MLP([4, 3, 1], seed=0), scaling.loss, lr=0.05, epochs=20
        )
        scaling.undo(run)
        weights.append(run.model.predict(X) / unit)
    np.testing.assert_allclose(*weights, rtol=1e-9, atol=1e-9)
