"""`gdcore.path` of the other smooth losses: conditions of the minimum by plain formulas, and fits of the training rows."""

import numpy as np
import pytest
from formulas import loss_of

import gdcore
from gdcore.notices import ConvergenceWarning
from gdcore.paths.folds import Drawn, by_class
from gdcore.rows.tables import Piece, Table

LOSSES = {
    "logistic": ("logistic", 0.0),
    "softmax": ("softmax", 0.0),
    "poisson": ("poisson", 0.0),
    "gamma": ("gamma", 0.0),
    "tweedie:1.375": ("tweedie", 1.375),
    "huber:0.75": ("huber", 0.75),
}
RATIOS = (0.0, 0.5, 1.0)


def problem(loss, n=150, d=5, seed=0):
    rng = np.random.default_rng(seed)
    units = np.geomspace(0.1, 10, d)
    Z = rng.standard_normal((n, d))
    eta = Z @ np.where(np.arange(d) % 2 == 0, 0.5, 0.0) + 0.3
    name = LOSSES[loss][0]
    y = {
        "logistic": lambda: rng.random(n) < 1 / (1 + np.exp(-eta)),
        "softmax": lambda: rng.integers(0, 2, n) + (eta > 0),
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "gamma": lambda: rng.gamma(2, np.exp(eta) / 2),
        "tweedie": lambda: rng.poisson(np.exp(eta)) * rng.gamma(2, 1, n),
        "huber": lambda: 20 * eta + rng.standard_t(2, n),
    }[name]()
    return Z * units + 2.0, y.astype(float)


def parts(loss, X, y, w, b, s=None):
    """Mean loss, ∇w (d, k) and ∇b (k,), by formula in extended precision."""
    name, parameter = LOSSES[loss]
    s = np.ones(len(X)) if s is None else s
    w = w.reshape(X.shape[1], -1)
    value, slope = loss_of(name, X @ w + b, y[:, None], parameter, 0.0)
    slope = (slope * s[:, None] / s.sum()).astype(float)
    return float(s @ value / s.sum()), X.T @ slope, slope.sum(axis=0)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_conditions_of_the_minimum_hold_at_every_point(loss, ratio, standardize):
    X, y = problem(loss)
    s = np.random.default_rng(3).uniform(0.5, 2, len(y))
    found = gdcore.path(X, y, loss, l1_ratio=ratio, penalties=6, cv=2, sample_weight=s, standardize=standardize, n_threads=1)
    mean = s @ X / s.sum()
    sigma = np.sqrt(s @ (X - mean) ** 2 / s.sum()) if standardize else np.ones(X.shape[1])
    steep = gdcore.path(X, y, loss, penalties=2, cv=2, sample_weight=s, standardize=standardize).penalties[0]
    for i, penalty in enumerate(found.penalties):
        value, g, gb = parts(loss, X, y, found.weights[i], found.bias[i], s)
        assert found.train_loss[i] == pytest.approx(value, rel=1e-11)
        v = found.weights[i].reshape(len(sigma), -1) * sigma[:, None]
        slope = (g - np.outer(mean, gb)) / sigma[:, None] + penalty * (1 - ratio) * v
        # Weights with nine digits: H·1e-9 is left of a slope whose largest is that of the first penalty.
        np.testing.assert_allclose(gb, 0, atol=1e-8 * np.abs(y).max())
        np.testing.assert_allclose(slope[v != 0], -penalty * ratio * np.sign(v[v != 0]), rtol=0, atol=1e-8 * steep)
        assert np.abs(slope[v == 0]).max(initial=0.0) <= penalty * ratio + 1e-8 * steep
        assert 0 <= found.gap[i] <= 1e-12 * max(1.0, abs(value))
    if ratio:
        assert not found.weights[0].any()
        below = gdcore.path(
            X, y, loss, l1_ratio=ratio, penalties=[found.penalties[0] * 0.999], cv=2, sample_weight=s, standardize=standardize
        )
        assert below.nonzero[0] == 1
    assert found.penalties[-1] == pytest.approx((1e-4 if ratio else 1e-7) * found.penalties[0], rel=1e-12)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("loss", LOSSES)
def test_each_fold_is_a_fit_of_the_other_folds_rows(loss, ratio):
    X, y = problem(loss)
    found = gdcore.path(X, y, loss, l1_ratio=ratio, penalties=4, cv=3, seed=1, standardize=False)
    numbers = Drawn(3, 1).of(0, len(y)) if loss not in ("logistic", "softmax") else by_class(y, 3, 1)
    for k in range(3):
        train, test = numbers != k, numbers == k
        for i in (2, 3):
            run = gdcore.fit(X[train], y[train], loss=loss, l1=found.l1(i), l2=found.l2(i))
            value, *_ = parts(loss, X[test], y[test], run.model.weights, run.model.bias)
            assert found.fold_loss[k, i] == pytest.approx(value, rel=1e-9)
        again = gdcore.path(X[train], y[train], loss, l1_ratio=ratio, penalties=found.penalties, cv=2, standardize=False)
        value, *_ = parts(loss, X[test], y[test], again.weights[3], again.bias[3])
        assert found.fold_loss[k, 3] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_standardizing_is_dividing_by_the_spreads(loss):
    X, y = problem(loss)
    found = gdcore.path(X, y, loss, penalties=5, cv=2)
    scaled = gdcore.path(X / X.std(0), y, loss, penalties=found.penalties, cv=2, standardize=False)
    sigma = X.std(0) if loss != "softmax" else X.std(0)[:, None]
    np.testing.assert_allclose(found.weights * sigma, scaled.weights, rtol=0, atol=1e-8 * np.abs(scaled.weights).max())


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gap_covers_what_is_missing(loss):
    """Of a path whose steps end early, against one whose steps do not."""
    X, y = problem(loss)
    best = gdcore.path(X, y, loss, l1_ratio=0.5, penalties=5, cv=2, standardize=False)
    early = pytest.MonkeyPatch()
    early.setattr("gdcore.paths.smooth._ENOUGH", 0.5)
    early.setattr("gdcore.paths.smooth._SHARE", 0.0)
    found = gdcore.path(X, y, loss, l1_ratio=0.5, penalties=best.penalties, cv=2, standardize=False)
    early.undo()

    def objectives(path):
        w = path.weights.reshape(5, -1)
        l1, l2 = path.penalties / 2, path.penalties / 2
        return path.train_loss + l1 * np.abs(w).sum(axis=1) + l2 / 2 * (w**2).sum(axis=1)

    above = objectives(found) - objectives(best)
    assert above.max() > 1e-7 or loss == "huber:0.75"  # whose steps end exactly
    proved = ~np.isnan(found.gap)
    assert np.all(above[proved] <= found.gap[proved] + 1e-14 * np.abs(objectives(best)[proved]))


class Cut(Table):
    """Rows in blocks of odd sizes."""

    def __init__(self, X, Y, classes=None):
        self.X, self.Y, self.classes = X, Y, classes
        self.names, self.dtype = [f"c{j}" for j in range(X.shape[1])], X.dtype

    def blocks(self):
        for start in range(0, len(self.X), 37):
            yield Piece(self.X[start : start + 37], self.Y[start : start + 37, None], None)


@pytest.mark.parametrize(("loss", "classes"), [("poisson", None), ("softmax", 3)])
def test_the_bits_are_the_same_for_any_cutting_and_any_number_of_threads(loss, classes):
    X, y = problem(loss)
    found = gdcore.path(X, y, loss, penalties=4, cv=3, n_threads=1)
    for other in (
        gdcore.path(X, y, loss, penalties=4, cv=3, n_threads=2),
        gdcore.path(Cut(X, y, classes), loss=loss, penalties=4, cv=3),
    ):
        for name in ("penalties", "weights", "bias", "train_loss", "fold_loss"):
            np.testing.assert_array_equal(getattr(found, name), getattr(other, name))


def test_rows_of_weight_0_and_constant_columns_change_nothing():
    X, y = problem("poisson")
    folds, s = np.arange(len(y)) % 3, np.where(np.arange(len(y)) % 4 == 1, 0.0, 1.0)
    wide = np.column_stack([np.full(len(y), 0.1), X])
    y[s == 0] = 1e6
    found = gdcore.path(wide, y, "poisson", penalties=5, folds=folds, sample_weight=s)
    other = gdcore.path(X[s > 0], y[s > 0], "poisson", penalties=5, folds=folds[s > 0])
    assert not found.weights[:, 0].any()
    np.testing.assert_allclose(found.weights[:, 1:], other.weights, rtol=0, atol=1e-9 * np.abs(other.weights).max())
    np.testing.assert_allclose(found.cv_loss, other.cv_loss, rtol=1e-9)


def test_targets_far_from_the_start_are_reached():
    """Counts of a million, residuals of a thousand δ, and one event in a thousand rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 3))
    for loss, y in (
        ("poisson", rng.poisson(1e6 * np.exp(X[:, 0])).astype(float)),
        ("huber:0.01", 10 * X[:, 0] + 10 * rng.standard_normal(1000)),
        ("logistic", np.where(np.arange(1000) % 250 == 0, 1.0, 0.0)),
    ):
        found = gdcore.path(X, y, loss, penalties=10, cv=3)
        scale = found.train_loss.max() - found.train_loss.min()
        assert np.all(found.gap <= 1e-9 * max(scale, abs(found.train_loss[0]) * 1e-6))
    assert found.place("best") >= 0


def test_float32_rows_give_a_float32_classifier():
    X, y = problem("softmax")
    found = gdcore.path(X.astype(np.float32), y, "softmax", penalties=5, cv=3)
    model = found.model(3)
    assert model.weights.dtype == np.float32
    assert model.weights.shape == (5, 3)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert "softmax" in repr(found)
    assert "of each class alike" in repr(found)


def test_folds_of_classes_have_as_many_rows_of_each():
    y = np.repeat([0.0, 1.0, 2.0], [40, 7, 3])
    folds = by_class(y, 4, seed=0)
    for c in range(3):
        counts = np.bincount(folds[y == c], minlength=4)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("loss", "change", "told"),
    [
        ("poisson", {"loss": "mae"}, "loss must be one with a second derivative, found 'mae'"),
        ("poisson", {"loss": "quantile:0.2"}, "loss must be one with a second derivative"),
        ("poisson", {"offset": np.ones(150)}, "offset is for mse, not for 'poisson'"),
        ("poisson", {"Y": np.zeros(150)}, "all targets of Y are 0, so that poisson has no best constant"),
        ("poisson", {"Y": -np.ones(150)}, "Y"),
        ("logistic", {"Y": np.ones(150)}, "all targets of Y lack a class"),
        (
            "logistic",
            {"Y": np.arange(150.0) < 50, "folds": np.arange(150) // 50},
            "all targets outside of fold 0 lack a class",
        ),
        ("logistic", {"Y": np.full(150, 2.0)}, "0 or 1"),
    ],
)
def test_what_cannot_be_is_told(loss, change, told):
    X, y = problem(loss)
    with pytest.raises(ValueError, match=told):
        gdcore.path(**{"X": X, "Y": y, "loss": loss, "cv": 3, **change})


def test_that_steps_ended_too_early_is_told(monkeypatch):
    X, y = problem("poisson")
    monkeypatch.setattr("gdcore.paths.smooth._STEPS", 1)
    with pytest.warns(ConvergenceWarning, match="of 5 penalties, .* the largest of them"):
        gdcore.path(X, y, "poisson", penalties=5, cv=2)
