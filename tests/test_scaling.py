"""Networks are trained on columns of one size, and folded back from them."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_scores import ALL, rows

import gdcore
from gdcore import losses, scores
from gdcore.models.scaling import Scaling


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
    found = scores.score(run.model, X, y, s)
    assert run.loss == pytest.approx(found.loss, rel=1e-10)
    assert run.history.loss[-1] == run.loss  # all in the units of the target
    tested = scores.score(run.model, X[:50], y[:50])
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
    history = SimpleNamespace(start=2.0, loss=np.ones(1), validation_loss=np.ones(1))
    run = SimpleNamespace(model=gdcore.MLP([4, 2, 1]), loss=0.5, history=history)
    scaling.undo(run)
    assert (run.loss, history.start, history.loss[0], history.validation_loss[0]) == (0.5, 2.0, 1.0, 1.0)


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
