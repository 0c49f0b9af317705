"""Several quantiles at once: each as by itself, in passes that they share."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

import gdcore
from gdcore.estimators import GDRegressor
from gdcore.rows import tables
from gdcore.rows.tables import Piece, Table
from gdcore.solvers import exact_quantile, reduction

TAUS = [0.5, 0.05, 0.9, 0.25]


class Pieces(Table):
    """Arrays as a table that comes in pieces and counts its passes."""

    def __init__(self, X, y):
        self.X, self.y, self.passes = X, y, 0
        self.names = list("abcdefgh"[: X.shape[1]])

    def blocks(self):
        self.passes += 1
        for i in range(0, len(self.X), 500):
            yield Piece(self.X[i : i + 500], self.y[i : i + 500, None], None)


def heavy(n, d, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ np.arange(1.0, d + 1) + (1 + 0.3 * np.tanh(X[:, 0])) * rng.standard_t(2, size=n)


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(exact_quantile, "_WHOLE", 1)
    monkeypatch.setattr(tables, "_step", lambda _: 700)  # several pieces
    for module in (exact_quantile, reduction):
        monkeypatch.setattr(module, "FEW", 10)
        monkeypatch.setattr(module, "CHEAP", 50)


@pytest.mark.parametrize("weighted", [False, True])
def test_each_is_what_it_is_by_itself(many, weighted):
    X, y = heavy(3000, 3)
    s = np.random.default_rng(1).integers(0, 3, len(y)).astype(float) if weighted else None
    run = gdcore.quantiles(X, y, TAUS, sample_weight=s)
    assert run.model.weights.shape == (3, 4)
    assert run.predict(X).shape == (3000, 4)
    assert (run.proof, run.status, run.gap.shape) == ("vertex", "converged", (4,))
    losses = []
    for i, tau in enumerate(TAUS):
        one = gdcore.fit(X, y, loss=f"quantile:{tau}", sample_weight=s)
        np.testing.assert_array_equal(run.model.weights[:, i], one.model.weights)
        assert run.model.bias[i] == one.model.bias
        np.testing.assert_array_equal(run.model.interpolated[i], one.model.interpolated)
        assert run.gap[i] == pytest.approx(one.gap, rel=1e-6)
        assert run.gap[i] <= 1e-15
        losses.append(one.loss)
    assert run.loss == pytest.approx(sum(losses), rel=1e-14)


def test_all_of_them_share_their_passes(many):
    X, y = heavy(3000, 3)
    one, several = Pieces(X, y), Pieces(X, y)
    gdcore.quantiles(one, None, [0.4])
    run = gdcore.quantiles(several, None, TAUS)
    assert several.passes <= one.passes + 2  # one of them may take a repair more
    np.testing.assert_array_equal(run.model.weights, gdcore.quantiles(X, y, TAUS).model.weights)


def test_float32_is_judged_as_it_is_rounded():
    X, y = (array.astype("f4") for array in heavy(300, 2))
    run = gdcore.quantiles(X, y, [0.3, 0.6])
    assert run.model.weights.dtype == np.float32
    for i, tau in enumerate([0.3, 0.6]):
        r = X.astype(float) @ run.model.weights[:, i].astype(float) + float(run.model.bias[i]) - y
        loss = np.maximum(-tau * r, (1 - tau) * r).mean()
        best = gdcore.fit(X.astype(float), y.astype(float), loss=f"quantile:{tau}").loss
        assert loss - best == pytest.approx(run.gap[i], abs=1e-14)


def test_quantiles_that_cross_are_refused_by_name():
    """The spread falls from 10 along both columns; where they are both large, which no row is, it would be below 0."""
    X = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], 3, axis=0)
    y = np.array([-10.0, 0.0, 10.0, -2.0, 0.0, 2.0, -2.0, 0.0, 2.0])
    np.testing.assert_allclose(gdcore.quantiles(X, y, [0.7, 0.3]).predict([[1.0, 1.0]]), [[-6.0, 6.0]], rtol=1e-14)
    told = r"τ = 0\.3 and τ = 0\.7 cross within the columns' ranges: at x = \(1, 1\) they are 6 and -6; non_crossing=True"
    with pytest.raises(ValueError, match=told):
        gdcore.quantiles(X, y, [0.7, 0.3], non_crossing=True)
    flat = np.where(y == 0, 0.0, np.sign(y))
    gdcore.quantiles(X, flat, [0.7, 0.3], non_crossing=True)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_rows_without_weight_make_no_range_wider(weight):
    x, y = np.array([[0.0]] * 3 + [[1.0]] * 3 + [[4.0]]), np.array([-10.0, 0.0, 10.0, -2.0, 0.0, 2.0, 0.0])
    s = np.array([100.0] * 6 + [weight])
    if not weight:
        gdcore.quantiles(x, y, [0.3, 0.7], non_crossing=True, sample_weight=s)
        return
    with pytest.raises(ValueError, match=r"at x = \(4\)"):
        gdcore.quantiles(x, y, [0.3, 0.7], non_crossing=True, sample_weight=s)


def test_dependent_columns_are_told():
    X, y = heavy(50, 2)
    with pytest.warns(gdcore.ConditionWarning, match="depend on others"):
        run = gdcore.quantiles(np.column_stack([X, X[:, 0]]), y, [0.3, 0.6])
    assert run.model.interpolated.shape == (2, 3)


def test_quantiles_in_order_are_left_as_they_are():
    X, y = heavy(2000, 2)
    taus = [0.2, 0.8]
    run = gdcore.quantiles(X, y, taus, non_crossing=True)
    np.testing.assert_array_equal(run.model.weights, gdcore.quantiles(X, y, taus).model.weights)


def test_other_weights_that_are_as_good_are_told_by_tau():
    x, y = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0.0, 1.0, 5.0, 7.0])
    with pytest.warns(gdcore.UniquenessWarning, match=r"for τ = 0\.5 the"):
        gdcore.quantiles(x, y, [0.3, 0.5])


@pytest.mark.parametrize("taus", [[], 0.5, [0.1, 0.1], "0.5", [0.0], [0.5, 1.5], [[0.5]]])
def test_taus_that_are_none(taus):
    with pytest.raises((ValueError, TypeError), match="taus"):
        gdcore.quantiles([[0.0], [1.0]], [0.0, 1.0], taus)


def test_one_target_is_wanted():
    with pytest.raises(ValueError, match=r"Y must have shape \(n,\)"):
        gdcore.quantiles([[0.0], [1.0]], [[0.0, 1.0], [1.0, 2.0]], [0.5])


def test_a_run_of_several_goes_into_a_pickle_and_no_further():
    X, y = heavy(50, 2)
    run = gdcore.quantiles(X, y, [0.3, 0.6])
    gap = run.gap
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(run)).gap, gap)
    assert repr(run).startswith("Run(converged after 0 epochs")
    with pytest.raises(RuntimeError, match="nothing to go on with"):
        run.resume(X, y)


def test_the_estimator_predicts_a_column_a_quantile():
    X, y = heavy(300, 2)
    model = GDRegressor(loss="quantile", quantile=TAUS).fit(X, y)
    run = gdcore.quantiles(X, y, TAUS)
    np.testing.assert_array_equal(model.predict(X), run.predict(X))
    np.testing.assert_array_equal(model.coef_, run.model.weights.T)
    np.testing.assert_array_equal(clone(model).fit(X, y).gap_, run.gap)
    for wrong in ({"loss": "mae"}, {"l1": 0.1}, {"early_stopping": True}, {"tau": 0.5}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be .* beside quantile"):
            GDRegressor(**{"loss": "quantile", "quantile": TAUS, **wrong}).fit(X, y)
