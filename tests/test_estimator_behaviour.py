"""What people who know scikit-learn's SGD, linear and logistic models expect of the estimators.

Each against values that somebody else certified, or a plain formula.
"""

import gc
import json
import pickle
import tracemalloc
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import Lasso, LogisticRegression, QuantileRegressor, SGDRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import _get_feature_names
from threadpoolctl import threadpool_limits

import gdcore
from gdcore.backends import BACKENDS
from gdcore.estimators import GDClassifier, GDRegressor

GLMNET = json.loads((Path(__file__).parent / "data" / "reference_cases.json").read_text())["logistic_glmnet"]
LOSSES = ["mse", "mae", "huber", "quantile"]
BATCHES = {"lr": 0.01, "optimizer": "adam", "batch_size": 16, "epochs": 5}


def regression(n=100, d=5, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ rng.normal(size=d) + 3 + noise * rng.normal(size=n)


def classes(n=120, d=4, k=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, (X @ rng.normal(size=(d, k)) + rng.gumbel(size=(n, k))).argmax(axis=1)


def least_squares(X, y, weights=None, bias=True):
    """(XᵀWX)⁻¹XᵀWy, by lstsq."""
    root = np.ones(len(X)) if weights is None else np.sqrt(weights)
    table = np.column_stack([X, np.ones(len(X))]) if bias else X
    return np.linalg.lstsq(table * root[:, None], (y.T * root).T, rcond=None)[0]


def log_loss(model, X, y, l2):
    """The objective, by the textbook's formula."""
    raw = X @ model.coef_.T + model.intercept_
    raw = np.column_stack([np.zeros(len(raw)), raw]) if raw.shape[1] == 1 else raw
    high = raw.max(axis=1)
    losses = high + np.log(np.exp(raw - high[:, None]).sum(axis=1)) - raw[np.arange(len(y)), y]
    return losses.mean() + l2 / 2 * np.sum(model.coef_**2)


# The answers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_two_points_make_a_line(backend):
    model = GDRegressor(backend=backend).fit([[1], [2]], [1, 2])
    assert model.coef_ == pytest.approx([1], abs=1e-12)
    assert model.intercept_ == pytest.approx(0, abs=1e-12)
    assert model.status_ == "converged"


def test_a_raw_column_on_which_sgd_diverges_in_silence():
    X, y = np.arange(200.0)[:, None], 2 * np.arange(200.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not abs(SGDRegressor(random_state=0).fit(X, y).coef_[0] - 2) < 1000
    model = GDRegressor().fit(X, y)
    assert model.coef_ == pytest.approx([2], rel=1e-12)
    assert model.score(X, y) == pytest.approx(1)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_weighted_fit_is_the_weighted_normal_equations(backend):
    X, y = regression()
    weights = np.random.default_rng(1).uniform(0, 3, size=len(X))
    expected = least_squares(X, y, weights)
    model = GDRegressor(backend=backend).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(np.append(model.coef_, model.intercept_), expected, rtol=1e-11)


def test_columns_of_any_scale_need_no_scaling():
    X, y = load_diabetes(return_X_y=True, scaled=False)
    X = X * 10.0 ** np.arange(-5, 5)
    expected = least_squares(X * 10.0 ** -np.arange(-5.0, 5), y)
    model = GDRegressor().fit(X, y)
    np.testing.assert_allclose(model.coef_ * 10.0 ** np.arange(-5, 5), expected[:-1], rtol=1e-8)
    assert model.status_ == "converged"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_half_a_million_correlated_rows(dtype):
    rng = np.random.default_rng(0)
    n, d = 500_000, 6
    X = (rng.normal(size=(n, 1)) + 0.1 * rng.normal(size=(n, d))).astype(dtype)
    y = (X @ np.arange(1.0, d + 1) + 5 + rng.normal(size=n)).astype(dtype)
    exact, target = X.astype(np.float64), y.astype(np.float64)
    best = least_squares(exact, target)
    model = GDRegressor().fit(X, y)
    rmse = [
        np.sqrt(np.mean((exact @ w + b - target) ** 2)) for w, b in ((best[:-1], best[-1]), (model.coef_, model.intercept_))
    ]
    assert rmse[1] - rmse[0] < 1e-6
    assert model.coef_.dtype == dtype


def test_a_million_rows_in_float32():
    rng = np.random.default_rng(0)
    X = rng.normal(10, 1, size=(1_000_000, 4)).astype(np.float32)
    y = (X @ np.array([1, -2, 3, 0.5], np.float32) + rng.normal(size=1_000_000).astype(np.float32)).astype(np.float32)
    single, double = GDRegressor().fit(X, y), GDRegressor().fit(X.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=1e-4)
    assert single.intercept_ == pytest.approx(double.intercept_, abs=1e-3)
    assert (single.coef_.dtype, single.predict(X[:5]).dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("bias", [True, False])
def test_several_targets_are_each_one_alone(bias):
    X, y = regression()
    Y = np.column_stack([y, -2 * y + X[:, 0], np.arange(len(y))])
    model = GDRegressor(bias=bias).fit(X, Y)
    expected = least_squares(X, Y, bias=bias)
    np.testing.assert_allclose(model.coef_, expected[: X.shape[1]].T, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, expected[-1] if bias else np.zeros(3), rtol=1e-9)
    assert model.predict(X).shape == Y.shape
    assert GDRegressor().fit(X, Y[:, :1]).predict(X).shape == (len(X), 1)


def test_more_columns_than_rows_interpolate():
    X, y = regression(n=10, d=30)
    with pytest.warns(gdcore.ConditionWarning, match="21 of 30 columns of X depend on others"):
        model = GDRegressor().fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-8)


def test_strong_l2_leaves_nothing():
    X, y = regression()
    assert np.abs(GDRegressor(l2=1e5).fit(X, y).coef_).max() < 1e-4
    X, y = classes()
    assert np.abs(GDClassifier(l2=1e5).fit(X, y).coef_).max() < 1e-4


def test_l2_is_ridge():
    X, y = regression()
    centred, l2, n = X - X.mean(axis=0), 0.7, len(X)
    expected = np.linalg.solve(2 * centred.T @ centred / n + l2 * np.eye(5), 2 * centred.T @ (y - y.mean()) / n)
    np.testing.assert_allclose(GDRegressor(l2=l2).fit(X, y).coef_, expected, rtol=1e-10)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_l1_is_coordinate_descents_solution(backend):
    X, y = load_diabetes(return_X_y=True)
    lasso = Lasso(alpha=0.5, tol=1e-12, max_iter=100_000).fit(X, y)  # its loss is halved
    model = GDRegressor(l1=1.0, backend=backend).fit(X, y)
    np.testing.assert_allclose(model.coef_, lasso.coef_, rtol=1e-6, atol=1e-6)
    assert (lasso.coef_ == 0).any()
    np.testing.assert_array_equal(model.coef_ == 0, lasso.coef_ == 0)


def test_huber_with_a_huge_delta_is_least_squares():
    X, y = regression()
    model, squares = GDRegressor("huber", delta=1e6).fit(X, y), GDRegressor().fit(X, y)
    np.testing.assert_allclose(model.coef_, squares.coef_, rtol=1e-5)
    assert model.intercept_ == pytest.approx(squares.intercept_, rel=1e-5)


def test_hubers_clipped_residuals_have_no_correlation_left():
    X, y = regression()
    y[::10] += 50
    model = GDRegressor("huber", delta=0.5).fit(X, y)
    residual = model.predict(X) - y
    clipped = np.clip(residual, -0.5, 0.5)  # the loss's derivative
    loss = np.mean(clipped * (residual - clipped / 2))
    ones = np.column_stack([np.ones(len(X)), X])
    curvature = np.linalg.eigvalsh(ones.T @ ones / len(X))[-1]  # at least the Hessian's anywhere
    # Training ends where ½∇ᵀH⁻¹∇ ≤ 1e-10·loss, so that |∇|² is at most twice the curvature times that.
    assert np.linalg.norm(ones.T @ clipped / len(X)) <= (2 * curvature * 1e-10 * loss) ** 0.5


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_quantile_is_the_linear_programs(tau):
    X, y = regression(n=200, noise=1)
    best = QuantileRegressor(quantile=tau, alpha=0, solver="highs").fit(X, y)

    def loss(model):
        r = y - model.predict(X)
        return np.mean(np.maximum(tau * r, (tau - 1) * r))

    assert loss(GDRegressor("quantile", tau=tau).fit(X, y)) <= loss(best) * (1 + 1e-4)


def test_mae_of_a_constant_column_is_the_median():
    y = np.random.default_rng(0).exponential(size=101)
    with pytest.warns(gdcore.ConditionWarning, match="column 0 is constant as the bias is"):
        model = GDRegressor("mae").fit(np.zeros((101, 1)), y)
    assert np.abs(y - model.intercept_).mean() <= np.abs(y - np.median(y)).mean() * (1 + 1e-4)


# Classifiers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_glmnets_binary_coefficients(backend):
    model = GDClassifier(l2=1.0, tol=1e-13, backend=backend).fit(GLMNET["X"], GLMNET["y_binary"])
    np.testing.assert_allclose(model.coef_, [GLMNET["binary"]["coef"]], rtol=1e-5)
    np.testing.assert_allclose(model.intercept_, [GLMNET["binary"]["intercept"]], rtol=1e-5)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_glmnets_coefficients_for_three_classes(backend):
    model = GDClassifier(l2=1.0, tol=1e-13, backend=backend).fit(GLMNET["X"], GLMNET["y_multinomial"])
    np.testing.assert_allclose(model.coef_, GLMNET["multinomial"]["coef"], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(model.intercept_ - model.intercept_.mean(), GLMNET["multinomial"]["intercept"], rtol=1e-5)


def test_softmax_coefficients_sum_to_zero_over_the_classes():
    X, y = load_iris(return_X_y=True)
    model = GDClassifier(l2=0.01).fit(X, y)
    assert np.abs(model.coef_.sum(axis=0)).max() < 1e-10


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_raw_data_end_below_logistic_regressions_objective(load):
    X, y = load(return_X_y=True)
    l2 = 1 / len(X)  # C = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not converge
        other = LogisticRegression(max_iter=1000).fit(X, y)
    model = GDClassifier(l2=l2).fit(X, y)
    assert log_loss(model, X, y, l2) <= log_loss(other, X, y, l2) * (1 + 1e-9)  # both may be at the best
    assert model.gap_ <= 1e-9 * log_loss(model, X, y, l2)


def test_l1_logistic_meets_the_optimality_conditions():
    X, y = load_breast_cancer(return_X_y=True)
    X, l1 = StandardScaler().fit_transform(X), 0.02
    model = GDClassifier(l1=l1, l2=0).fit(X, y)
    slope = X.T @ (model.predict_proba(X)[:, 1] - y) / len(X)
    zero = model.coef_[0] == 0
    assert 0 < zero.sum() < len(zero)
    assert np.abs(slope[zero]).max() <= l1 + 1e-6
    np.testing.assert_allclose(slope[~zero], -l1 * np.sign(model.coef_[0, ~zero]), atol=1e-5)


@pytest.mark.parametrize("k", [2, 3])
def test_probabilities_far_out(k):
    X, y = classes(k=k)
    model = GDClassifier().fit(X, y)
    model.coef_ = np.zeros_like(model.coef_)
    model.intercept_ = np.array([-1000.0] if k == 2 else [-1000.0, 0.0, 1000.0])
    p, logs = model.predict_proba(X), model.predict_log_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    assert np.isfinite(logs).all()
    assert logs.min() == pytest.approx(-1000 if k == 2 else -2000)
    np.testing.assert_array_equal(model.predict(X), model.classes_[p.argmax(axis=1)])


@pytest.mark.parametrize(
    "names",
    [["no", "yes"], [True, False], [-1, 1], [10, 3, 7], ["b", "a", "c", "ü"], [2.0, 1.0], np.array(["x", "yy"], object)],
)
def test_labels_of_any_kind(names):
    X, y = classes(k=len(names))
    names = np.asarray(names)
    model, plain = GDClassifier().fit(X, names[y]), GDClassifier().fit(X, np.argsort(np.argsort(names))[y])
    np.testing.assert_array_equal(model.classes_, np.unique(names))
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    np.testing.assert_array_equal(model.predict(X), np.sort(names)[plain.predict(X)])
    assert model.score(X, names[y]) > 0.5


def test_class_weights_are_row_weights():
    X, y = classes()
    X, y = X[(y > 0) | (np.arange(len(y)) % 3 == 0)], y[(y > 0) | (np.arange(len(y)) % 3 == 0)]
    extra = np.random.default_rng(0).uniform(1, 2, size=len(y))
    given = GDClassifier(class_weight={0: 2.0, 1: 1.0, 2: 0.5}).fit(X, y, sample_weight=extra)
    rows = GDClassifier().fit(X, y, sample_weight=extra * np.array([2, 1, 0.5])[y])
    np.testing.assert_allclose(given.coef_, rows.coef_, rtol=1e-6, atol=1e-8)
    balanced = GDClassifier(class_weight="balanced").fit(X, y)
    rows = GDClassifier().fit(X, y, sample_weight=len(y) / (3 * np.bincount(y))[y])
    np.testing.assert_allclose(balanced.coef_, rows.coef_, rtol=1e-6, atol=1e-8)


# Weights of rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [GDRegressor, GDClassifier])
def test_weights_are_rows(make):
    X, y = regression() if make is GDRegressor else classes()
    counts = np.random.default_rng(0).integers(0, 3, size=len(X))
    weighted, repeated = make().fit(X, y, sample_weight=counts), make().fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6, atol=1e-9)
    scaled = make().fit(X, y, sample_weight=np.pi * counts)
    np.testing.assert_allclose(weighted.coef_, scaled.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("make", [GDRegressor, GDClassifier])
def test_nothing_given_is_changed(make):
    X, y = regression() if make is GDRegressor else classes()
    weights = np.random.default_rng(0).uniform(size=len(X))
    given = [X, y, weights]
    before = [array.copy() for array in given]
    for array in given:
        array.setflags(write=False)
    with pytest.warns(ConvergenceWarning):
        make(**BATCHES).fit(X, y, sample_weight=weights)
    make().fit(X, y, sample_weight=weights)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("weights", [np.zeros(100), -np.ones(100)])
def test_weights_that_are_none(weights):
    X, y = regression()
    for model in (GDRegressor(), GDClassifier()):
        for train in (model.fit, clone(model).fit):
            with pytest.raises(ValueError, match=r"(?i)zero|negative"):
                train(X, y > 3, sample_weight=weights)
    with pytest.raises(ValueError, match="zero"):
        GDRegressor().partial_fit(X, y, sample_weight=np.zeros(100))


# How long, and what is said of it ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_same_seed_same_coefficients():
    X, y = regression()
    first, second, other = (GDRegressor(random_state=seed, **BATCHES).fit(X, y) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    assert (first.coef_ != other.coef_).any()


def test_a_larger_tol_takes_fewer_epochs():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    epochs = [GDClassifier(l2=1e-2, tol=tol, precondition="diagonal").fit(X, y).n_iter_ for tol in (1e-1, 1e-4, 1e-10)]
    assert epochs[0] < epochs[2]
    assert epochs[0] <= epochs[1] <= epochs[2]


def test_the_epoch_limit_warns_and_names_a_true_gap():
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"3 epochs ran out.*at most.*above the best.*more epochs") as caught:
        model = GDClassifier(l2=1e-4, epochs=3).fit(X, y)
    assert caught[0].filename == __file__
    assert (model.n_iter_, model.status_) == (3, "epochs")
    best = log_loss(GDClassifier(l2=1e-4).fit(X, y), X, y, 1e-4)
    assert 0 < log_loss(model, X, y, 1e-4) - best <= model.gap_
    with pytest.warns(ConvergenceWarning, match=r"lr='auto'"):
        GDRegressor(lr=1e-7, epochs=3).fit(X, y)


def test_epochs_that_reach_the_best_do_not_warn():
    X, y = regression()
    model = GDRegressor(lr=0.1, epochs=500).fit(X, y)  # the textbook's loop, which has no tol
    assert model.status_ == "epochs"
    np.testing.assert_allclose(np.append(model.coef_, model.intercept_), least_squares(X, y), rtol=1e-6)


def test_gap_and_spectrum():
    X, y = regression()
    with pytest.warns(ConvergenceWarning):
        model = GDRegressor(lr=0.05, epochs=20).fit(X, y)
    table, best = np.column_stack([X, np.ones(len(X))]), least_squares(X, y)
    excess = np.mean((model.predict(X) - y) ** 2) - np.mean((table @ best - y) ** 2)
    assert model.gap_ == pytest.approx(excess, rel=1e-6)
    assert model.spectrum_.condition == pytest.approx(np.linalg.cond(table) ** 2, rel=1e-6)
    assert model.spectrum_ is model.spectrum_
    assert len(model.history_) == 20
    assert not hasattr(GDRegressor(), "gap_")


@pytest.mark.parametrize("make", [GDRegressor, GDClassifier])
def test_validation_rows_do_not_train(make):
    X, y = regression() if make is GDRegressor else classes()
    alone, beside = make().fit(X[:60], y[:60]), make().fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    np.testing.assert_array_equal(alone.coef_, beside.coef_)
    raw = beside.predict(X[60:]) if make is GDRegressor else beside.predict_proba(X[60:])
    loss = np.mean((raw - y[60:]) ** 2) if make is GDRegressor else -np.log(raw[np.arange(len(raw)), y[60:]]).mean()
    assert beside.history_.validation_loss[-1] == pytest.approx(loss)


@pytest.mark.parametrize("make", [GDRegressor, GDClassifier])
def test_rows_that_are_held_out_keep_their_weights(make):
    """Rows of weight 0 say nothing, whether they train or are held out."""
    X, y = regression(n=200) if make is GDRegressor else classes(n=200)
    s = np.where(np.arange(200) % 2, 1.0, 0.0)
    spoiled = X.copy()
    spoiled[s == 0] += 10
    options = {"early_stopping": True, "lr": 0.05, "epochs": 30, "random_state": 0, "validation_fraction": 0.5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain, other = (make(**options).fit(table, y, sample_weight=s) for table in (X, spoiled))
    np.testing.assert_allclose(plain.history_.validation_loss, other.history_.validation_loss, rtol=1e-12)
    np.testing.assert_array_equal(plain.coef_, other.coef_)


def test_the_validation_fraction_is_held_out():
    X, y = regression(n=40)
    model = GDRegressor(early_stopping=True, random_state=0)
    coefficients = model.fit(X, y).coef_
    moved = [np.abs(model.fit(X, y + 100 * (np.arange(40) == row)).coef_ - coefficients).max() > 1e-6 for row in range(40)]
    assert sum(moved) == 36


def test_early_stopping_keeps_the_best_of_the_validation_rows():
    X, y = regression(n=30, d=25, noise=3)
    model = GDRegressor(lr=0.01, epochs=5000, early_stopping=True, patience=20)
    model.fit(X[:20], y[:20], X_val=X[20:], y_val=y[20:])
    assert model.status_ == "early_stopped"
    assert np.mean((model.predict(X[20:]) - y[20:]) ** 2) == pytest.approx(model.history_.validation_loss.min())
    assert model.n_iter_ < 5000


def test_warm_start_goes_on():
    X, y = load_breast_cancer(return_X_y=True)
    model = GDClassifier(l2=1e-4, warm_start=True).fit(X, y)
    first = model.n_iter_
    assert model.fit(X, y).n_iter_ < first / 2
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X, y + (np.arange(len(y)) == 0) * 5)
    two = GDRegressor(warm_start=True).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="no start"):
        two.fit(X, y)


# Chunks --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"l2": 0.3}, {"l1": 0.2}, {"bias": False}, {"backend": "reference"}])
@pytest.mark.parametrize("chunks", [1, 2, 7, 50])
def test_chunks_of_any_number_equal_one_fit(chunks, options):
    X, y = regression()
    X = X + 1000
    Y, weights = np.column_stack([y, -y]), np.random.default_rng(0).uniform(size=len(X))
    whole, parts = GDRegressor(**options).fit(X, Y, sample_weight=weights), GDRegressor(**options)
    for rows in np.array_split(np.random.default_rng(1).permutation(len(X)), chunks):
        parts.partial_fit(X[rows], Y[rows], sample_weight=weights[rows])
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(parts.intercept_, whole.intercept_, rtol=1e-7)
    assert parts.spectrum_.condition == pytest.approx(whole.spectrum_.condition, rel=1e-6)


def test_a_chunk_after_fit_adds_to_it_even_after_pickling():
    X, y = regression()
    whole, model = GDRegressor().fit(X, y), GDRegressor().fit(X[:60], y[:60])
    model = pickle.loads(pickle.dumps(model))
    model.partial_fit(X[60:], y[60:])
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-10)


def test_chunks_of_other_losses_are_epochs_of_batches():
    X, y = classes()
    steps = GDClassifier(lr=0.01, optimizer="adam", batch_size=16, random_state=3)
    for _ in range(5):
        steps.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.warns(ConvergenceWarning):
        whole = GDClassifier(**BATCHES, random_state=3).fit(X, y)
    np.testing.assert_array_equal(steps.coef_, whole.coef_)
    assert steps.n_iter_ == 5
    robust = GDRegressor("huber", optimizer="adam", lr=0.05, random_state=0)
    X, y = regression()
    for chunk in range(200):
        robust.partial_fit(X[chunk % 2 :: 2], y[chunk % 2 :: 2])
    assert robust.score(X, y) > 0.99
    again = pickle.loads(pickle.dumps(robust)).partial_fit(X, y)  # the optimizer's state is not pickled, the weights are
    assert again.score(X, y) > 0.99
    with pytest.raises(AttributeError, match="same loss"):
        robust.set_params(loss="mse").partial_fit(X, y)


UNITS = np.array([1.0, 1e3, 1e-3, 1e-7])
AWAY = np.array([0.0, 1e4, 0.0, 1e-6])


@pytest.mark.parametrize("optimizer", [None, "adam"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["logistic", "softmax", "huber", "mae", "several targets"])
def test_partial_fit_does_not_depend_on_the_columns_units(kind, bias, optimizer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 4))
    T = X @ np.array([1.0, -2.0, 0.5, 1.0]) + rng.normal(size=240)
    y = {"logistic": T > 0, "softmax": np.digitize(T, [-1, 1]), "several targets": np.column_stack([T, -T])}.get(kind, T)
    first = {} if kind not in ("logistic", "softmax") else {"classes": np.unique(y)}
    loss = kind if kind in ("huber", "mae") else "huber"
    raw = X * UNITS + (AWAY if bias else 0)
    models = []
    for table in (X, raw):
        how = {"bias": bias, "optimizer": optimizer, "random_state": 0}
        model = GDClassifier(**how) if first else GDRegressor(loss, **how)
        for rows in np.split(np.arange(240), [1, 60, 100, 164]):
            model.partial_fit(table[rows], y[rows], **first, sample_weight=1.0 + rows % 3)
        models.append(model)
    scaled, unscaled = models
    np.testing.assert_allclose(unscaled.coef_ * UNITS, scaled.coef_, rtol=1e-6, atol=1e-8)
    if bias:
        np.testing.assert_allclose(unscaled.intercept_ + unscaled.coef_ @ AWAY, scaled.intercept_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_partial_fit_on_raw_columns_comes_near_to_fit(dtype):
    X, y = classes(n=4000, k=2)
    X = (X * UNITS + AWAY).astype(dtype)
    whole, steps = GDClassifier().fit(X.astype(np.float64), y), GDClassifier(random_state=0)
    for rows in np.array_split(np.arange(4000), 60):
        steps.partial_fit(X[rows], y[rows], classes=[0, 1])
    assert steps.coef_.dtype == dtype
    assert steps.score(X, y) > whole.score(X, y) - 0.03  # the last steps are still noisy
    again = pickle.loads(pickle.dumps(steps)).partial_fit(X[:5].astype(np.float64), y[:5])
    assert again.score(X, y) > whole.score(X, y) - 0.05
    assert steps.spectrum_.largest == pytest.approx(gdcore.spectrum(X[rows], loss="logistic").largest)


def test_partial_fit_goes_on_in_the_dtype_that_it_began_with():
    X, y = classes(n=200, k=2)
    steps = GDClassifier(optimizer="adam", random_state=0).partial_fit(X, y, classes=[0, 1])
    before = steps.coef_.copy()
    steps.partial_fit(X.astype(np.float32), y)
    assert steps.coef_.dtype == np.float64
    assert 0 < np.abs(steps.coef_ - before).max() < 7 * 1e-3  # Adam goes on: seven steps of at most about lr


@pytest.mark.parametrize("options", [{"lr": 1e-9}, {"l2": 0.1}], ids=str)
def test_partial_fit_in_the_units_of_X_says_so(options):
    X, y = classes(k=2)
    GDClassifier(**options).partial_fit(X, y, classes=[0, 1])  # of size 1: no warning
    with pytest.warns(
        gdcore.ScaleWarning, match=r"partial_fit learns well .*: column 1 of X has sizes up to .* scale its columns"
    ):
        GDClassifier(**options).partial_fit(X * [1, 1e3, 1, 1], y, classes=[0, 1])


def test_what_all_classes_have_in_common_is_taken_off():
    X, y = classes()
    model = GDClassifier().fit(X, y)
    np.testing.assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-14)
    assert model.intercept_.sum() == pytest.approx(0, abs=1e-14)
    moved = GDClassifier(warm_start=True).fit(X, y)
    moved.coef_, moved.intercept_ = moved.coef_ + 5.0, moved.intercept_ - 3.0  # the same probabilities
    np.testing.assert_allclose(moved.predict_proba(X), model.predict_proba(X), rtol=1e-9)
    np.testing.assert_allclose(moved.fit(X, y).coef_, model.coef_, rtol=1e-5, atol=1e-7)


def test_nothing_is_penalised_by_default_so_that_units_do_not_matter():
    X, y = classes(n=2000, k=2)
    wanted = GDClassifier().fit(X, y)
    for unit in (1e-7, 1e-3, 1e6):
        found = GDClassifier().fit(X * unit, y)
        np.testing.assert_allclose(found.coef_ * unit, wanted.coef_, rtol=1e-5)
        np.testing.assert_array_equal(found.predict(X * unit), wanted.predict(X))


def test_what_partial_fit_of_a_classifier_wants():
    X, y = classes()
    with pytest.raises(ValueError, match="all classes"):
        GDClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="balanced"):
        GDClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    model = GDClassifier(class_weight={0: 2.0}).partial_fit(X, y, classes=[0, 1, 2])
    assert model.partial_fit(X[:1], y[:1]).predict(X).shape == (len(X),)
    with pytest.raises(ValueError, match="label 9"):
        model.partial_fit(X[:1], [9])
    with pytest.raises(ValueError, match="first call"):
        model.partial_fit(X, y, classes=[0, 1])


# Bad input -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_overflow_is_said(loss):
    X, y = regression()
    with pytest.raises(ValueError, match="overflow"):
        GDRegressor(loss).fit(X * 1e300, y)
    if loss == "mse":
        with pytest.raises(ValueError, match="overflow"):
            GDRegressor(loss).partial_fit(X * 1e300, y)


def test_overflow_is_said_of_classes_and_predictions():
    X, y = classes()
    with pytest.raises(ValueError, match="overflow"):
        GDClassifier().fit(X * 1e300, y)
    with pytest.raises(ValueError, match="overflow"):
        GDRegressor().fit(X, 1e10 * X[:, 0]).predict(X * 1e305)


@pytest.mark.parametrize("make", [GDRegressor, GDClassifier])
def test_sparse_tables_are_refused_with_advice(make):
    sparse = pytest.importorskip("scipy.sparse")
    X, y = classes()
    for table in (sparse.csr_array(X), sparse.csc_matrix(X)):
        with pytest.raises(TypeError, match=r"sparse.*toarray.*TruncatedSVD"):
            make().fit(table, y)
        with pytest.raises(TypeError, match="toarray"):
            make().fit(X, y).predict(table)


@pytest.mark.parametrize(
    ("make", "parameters", "said"),
    [
        (GDRegressor, {"loss": "hinge"}, "loss must be 'mse', 'mae', .*, found 'hinge'"),
        (GDRegressor, {"loss": "huber", "delta": 0}, "delta"),
        (GDRegressor, {"loss": "quantile", "tau": 1.0}, "tau"),
        (GDRegressor, {"l2": -1.0}, "l2"),
        (GDRegressor, {"n_threads": 0}, "n_threads"),
        (GDClassifier, {"class_weight": {5: 1.0}}, "class_weight"),
        (GDClassifier, {"optimizer": "lbfgs"}, "lbfgs"),
    ],
)
def test_parameters_that_are_wrong(make, parameters, said):
    X, y = classes()
    with pytest.raises(ValueError, match=said):
        make(**parameters).fit(X, y)


def test_labels_that_are_wrong():
    X, y = classes()
    with pytest.raises(ValueError, match="only one class"):
        GDClassifier().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="y_val has the label 7"):
        GDClassifier().fit(X, y, X_val=X[:1], y_val=[7])
    with pytest.raises(NotFittedError):
        GDClassifier().predict(X)
    with pytest.raises(ValueError, match="NaN"):
        GDRegressor().fit(np.where(np.arange(4) == 1, np.nan, X), y)


# Among other people's tools ------------------------------------------------------------------------------------------------


def test_frames_are_not_copied():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X, y = regression(n=200_000, d=8)
    plain, names = GDRegressor().fit(X, y), [f"column {i}" for i in range(8)]
    X = np.asfortranarray(X)
    for frame in (pandas.DataFrame(X, columns=names, copy=False), polars.from_numpy(X, schema=names, orient="row")):
        GDRegressor().fit(frame[:50], y[:50])  # what is imported then is not counted
        tracemalloc.start()
        model = GDRegressor().fit(frame, y)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.05 * X.nbytes, f"{type(frame)}: {peak} bytes beside {X.nbytes}"
        np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-9)
        np.testing.assert_allclose(model.predict(frame), plain.predict(X), rtol=1e-9)
        if _get_feature_names(frame) is not None:  # scikit-learn 1.6 does not see polars'
            assert list(model.feature_names_in_) == names
            with pytest.raises(ValueError, match="feature names"):
                model.predict(frame[names[::-1]])


def test_frames_of_several_types():
    pandas = pytest.importorskip("pandas")
    mixed = pandas.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.0, 0.0], "c": [True, False, True]})
    assert GDClassifier(l2=1e-4).fit(mixed, pandas.Series(["u", "v", "u"])).n_features_in_ == 3


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_pipelines_and_set_output(output):
    if output != "default":
        pytest.importorskip(output)
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), GDClassifier(l2=1e-4)).set_output(transform=output).fit(X, y)
    assert pipeline.score(X, y) > 0.95
    between = pipeline[0].transform(X)
    assert hasattr(pipeline[-1], "feature_names_in_") == (_get_feature_names(between) is not None)
    assert type(between).__module__.startswith("numpy" if output == "default" else output)


def test_grid_search_in_two_processes():
    X, y = load_breast_cancer(return_X_y=True)
    search = GridSearchCV(GDClassifier(), {"l2": [1e-4, 1e3]}, n_jobs=2, cv=3).fit(X, y)
    assert search.best_params_ == {"l2": 1e-4}
    assert search.best_score_ > 0.93
    scores = cross_val_score(GDRegressor(), *load_diabetes(return_X_y=True), cv=5, n_jobs=2)
    assert scores.mean() == pytest.approx(0.4823, abs=1e-4)  # LinearRegression's, in scikit-learn's user guide
    kept = cross_validate(GDRegressor(), X, y, cv=2, return_estimator=True, n_jobs=2)["estimator"]
    assert all(model.gap_ < 1e-12 for model in kept)


def test_one_against_the_rest():
    X, y = load_iris(return_X_y=True)
    assert OneVsRestClassifier(GDClassifier(l2=1e-4)).fit(X, y).score(X, y) > 0.9


def test_clone_and_parameters():
    model = GDRegressor("huber", delta=2.0, l1=0.1, callbacks=[print])
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert repr(twin) == repr(model)
    assert GDRegressor(optimizer=gdcore.SGD(momentum=0.5)).get_params()["optimizer"].parameters["momentum"] == 0.5
    assert clone(GDRegressor(optimizer=gdcore.SGD(momentum=0.5))).optimizer.parameters["momentum"] == 0.5


def test_pickles_hold_answers_but_no_rows():
    X, y = regression(n=5000)
    model = GDRegressor().fit(X, y)
    stored = pickle.dumps(model)
    assert len(stored) < X.nbytes / 20
    again = pickle.loads(stored)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.gap_ == model.gap_
    assert again.spectrum_.condition == model.spectrum_.condition


def test_rows_are_kept_only_until_the_facts_are_known():
    X, y = regression()
    kept = weakref.ref(X)
    model = GDRegressor().fit(X, y)
    del X
    assert kept() is not None
    pickle.dumps(model)
    gc.collect()
    assert kept() is None
    assert model.gap_ < 1e-12


def fit_there(model, X, y):
    writable = X.flags.writeable
    return writable, model._threads(), model.fit(X, y).coef_


@pytest.mark.parametrize("make", [GDRegressor, GDClassifier])
def test_joblibs_memory_maps_and_threads(make):
    X, y = classes()
    here = make().fit(X, y).coef_
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        found = joblib.Parallel(n_jobs=2, max_nbytes=1)(joblib.delayed(fit_there)(make(), X, y) for _ in range(2))
    for writable, n_threads, coefficients in found:
        assert (writable, n_threads) == (False, 1)
        np.testing.assert_array_equal(coefficients, here)


def test_threads_are_those_that_the_outer_library_leaves():
    with threadpool_limits(1):
        assert GDRegressor()._threads() == 1
    assert GDRegressor(n_threads=3)._threads() == 3
    assert GDRegressor()._threads() >= 1


def test_callbacks_and_verbose(capsys):
    X, y = load_breast_cancer(return_X_y=True)
    seen = []
    model = GDClassifier(callbacks=lambda epoch: seen.append(epoch.loss) or len(seen) == 4, verbose=True).fit(X, y)
    assert (model.status_, model.n_iter_) == ("early_stopped", 4)
    np.testing.assert_array_equal(seen, model.history_.loss)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[0].startswith("epoch 1: loss ")


def test_ctrl_c_keeps_the_weights_and_is_not_swallowed():
    X, y = load_breast_cancer(return_X_y=True)

    def press(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    model = GDClassifier(callbacks=press)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.status_ == "interrupted"
    assert model.score(X, y) > 0.5


def test_scikit_learns_callbacks():
    callback = pytest.importorskip("sklearn.callback")
    X, y = load_breast_cancer(return_X_y=True)
    names = np.array(["malign", "benign"])[y]
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = GDClassifier(l2=1e-4).set_callbacks(monitor)
    model.fit(X, names)
    scores = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == model.n_iter_
    assert scores[-1] == model.score(X, names)
    np.testing.assert_array_equal(model.coef_, GDClassifier(l2=1e-4).fit(X, names).coef_)

    class Stop:
        ended = 0

        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.ended += context.task_name == "epoch" and fitted_estimator is not None
            return self.ended == 3

    model = GDClassifier(l2=1e-4).set_callbacks(Stop()).fit(X, names)
    assert (model.status_, model.n_iter_) == ("early_stopped", 3)
    monitor = callback.ScoringMonitor(scoring="r2")
    search = GridSearchCV(GDRegressor().set_callbacks(monitor), {"l2": [0.0, 1.0]}, cv=2).fit(X, y)
    assert len(monitor.get_logs(select="all")) >= 1
    assert search.best_score_ > 0.5


def test_importing_gdcore_does_not_import_scikit_learn(python):
    result = python("import sys, gdcore; print({'sklearn', 'scipy', 'pandas'} & set(sys.modules))")
    assert result.stdout.strip() == "set()", result.stderr


def test_without_scikit_learn_the_error_says_what_to_install(python):
    result = python("import sys; sys.modules['sklearn'] = None; import gdcore.estimators")
    assert result.returncode == 1
    assert "ImportError" in result.stderr
    assert "pip install 'gdcore[sklearn]'" in result.stderr


def test_split_and_score_without_ceremony():
    X, y = load_diabetes(return_X_y=True)
    parts = train_test_split(X, y, random_state=0)
    assert GDRegressor().fit(parts[0], parts[2]).score(parts[1], parts[3]) == pytest.approx(0.3594, abs=1e-4)
