"""Scores and baselines against scikit-learn's, on the same rows; in pieces, by weights, and from moments as from rows."""

from itertools import pairwise

import numpy as np
import pytest

import gdcore
from gdcore import fit, losses, scores
from gdcore.rows.moments import Moments
from gdcore.rows.tables import Piece, Table

metrics = pytest.importorskip("sklearn.metrics")
from gdcore.estimators import GDClassifier, GDRegressor  # noqa: E402


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
    """The numbers by their names, by scikit-learn."""
    if loss.targets == "real":
        return certified_numbers(loss, y, X @ model.weights + model.bias, s)
    raw = model.predict(X)
    p = model.predict_proba(X)
    p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
    return certified_classes(y, p, p.argmax(axis=1), raw, s)


def certified_numbers(loss, y, found, s):
    value = {
        "mse": metrics.mean_squared_error,
        "mae": metrics.mean_absolute_error,
        "quantile": lambda *a, **k: metrics.mean_pinball_loss(*a, alpha=loss.parameter, **k),
        "huber": huber(loss.parameter),
    }[loss.name](y, found, sample_weight=s)
    told = {"loss": value, "RMSE": np.sqrt(metrics.mean_squared_error(y, found, sample_weight=s))}
    told["MAE"] = metrics.mean_absolute_error(y, found, sample_weight=s)
    if loss.name == "quantile":
        return told | {"coverage": np.average(y <= found, weights=s)}
    return told | {"R²": metrics.r2_score(y, found, sample_weight=s)}


def certified_classes(y, p, found, raw, s):
    k = p.shape[1]
    told = {"loss": metrics.log_loss(y, p, sample_weight=s), "accuracy": metrics.accuracy_score(y, found, sample_weight=s)}
    if k == 2:
        told["AUC"] = metrics.roc_auc_score(y, raw, sample_weight=s)
    each = metrics.f1_score(y, found, average=None, labels=range(k), sample_weight=s, zero_division=0)
    told["F1"] = each.mean()
    told |= {f"F1 of {c}": each[c] for c in range(k)}
    true, sure = (y == 1, p[:, 1]) if k == 2 else (y == found, p.max(axis=1))
    return told | {"calibration error": scores.calibration(true, sure, s).error}


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
    wanted = certified(loss, X, y, s, model)
    for places in ((), (1, 2, 300), (499,)):
        found = scores.summed(cut(X, y, s, *places), model, loss).scores()
        assert found.rows == 500
        assert found.named() == pytest.approx(wanted, rel=1e-11)
    whole = scores.score(model, X, y, s)
    assert (whole.rows, whole.named()) == (500, pytest.approx(wanted, rel=1e-11))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_baselines_are_the_best_constants(loss, weighted):
    """Those of the rows that trained, on other rows: DummyRegressor's and DummyClassifier's."""
    from sklearn import dummy

    X, y, s, model = rows(loss, weighted)
    train, test = slice(0, 400), slice(400, None)
    weights = [None if s is None else s[part] for part in (train, test)]
    found = scores.summed(cut(X[test], y[test], weights[1], 30), model, loss).with_baseline(
        scores.summed(cut(X[train], y[train], weights[0], 100, 101), model, loss)
    )
    if loss.targets == "real":
        strategy = {"mse": {"strategy": "mean"}, "quantile": {"strategy": "quantile", "quantile": 0.8}}
        guess = dummy.DummyRegressor(**strategy.get(loss.name, {"strategy": "median"})).fit(X[train], y[train], weights[0])
        wanted = certified_numbers(loss, y[test], guess.predict(X[test]), weights[1])
    else:
        guess = dummy.DummyClassifier(strategy="prior").fit(X[train], y[train], weights[0])
        p = guess.predict_proba(X[test])
        wanted = certified_classes(y[test], p, guess.predict(X[test]), p[:, -1], weights[1])
    # scikit-learn's quantile lies between two rows where either is as good.
    assert found.baseline.scores.named() == pytest.approx(wanted, rel=1e-11 if loss.name != "quantile" else 0.02, abs=1e-14)
    assert found.baseline.scores.rows == 100
    most = f"{guess.predict(X[:1])[0]:g}, the most frequent class (" if loss.targets != "real" else ""
    said = most or {"mse": "the mean, ", "quantile": "the 0.8-quantile, "}.get(loss.name, "the median, ")
    assert found.baseline.what.startswith(f"always {said}")


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_the_constant_may_be_that_of_rows_that_trained(loss):
    X, y, _, model = rows(loss, False)
    model.loss = loss
    found = scores.score(model, X[400:], y[400:], train=y[:400])
    wanted = scores.summed(cut(X[400:], y[400:], None), model, loss).with_baseline(
        scores.summed(cut(X[:400], y[:400], None), model, loss)
    )
    assert found.baseline.what == wanted.baseline.what
    assert found.baseline.scores.named() == wanted.baseline.scores.named()
    with pytest.raises(ValueError, match=r"train must have shape \(n,\) or \(n, 1\), as targets have, found shape \(200, 2\)"):
        scores.score(model, X, y, train=y[:400].reshape(200, 2))


def test_a_quantile_is_the_best_constant_for_its_loss():
    rng = np.random.default_rng(0)
    y = np.round(rng.exponential(size=101), 2)
    X = np.zeros((101, 1))
    for tau in (0.05, 0.5, 0.9):
        loss = losses.quantile(tau)
        model = gdcore.Linear([0.0], 0.0)
        model.loss = loss
        found = scores.score(model, X, y)
        best = min(metrics.mean_pinball_loss(y, np.full(101, c), alpha=tau) for c in np.unique(y))
        assert found.baseline.scores.loss == pytest.approx(best, rel=1e-13)


def test_pieces_without_weight_count_as_rows_and_for_nothing_else():
    X, y, s, model = rows("mse", True)
    s[:100] = 0
    y[:100] = 1e6
    found = scores.summed(cut(X, y, s, 100), model, losses.mse()).scores()
    assert found.rows == 500
    assert found.named() == pytest.approx(certified(losses.mse(), X[100:], y[100:], s[100:], model), rel=1e-11)
    none = scores.summed(cut(X, y, 0 * s), model, losses.mse())
    assert none.scores().rows == 500
    assert np.isnan(none.scores().loss)
    assert none.with_baseline(none).baseline is None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("level", [0.0, 1e6])
def test_moments_score_as_rows_do(weighted, level):
    X, y, s, model = rows("mse", weighted, level=level)
    together = scores.of_moments(
        Moments.of(X, y[:, None], s), model, Moments.of(y[:400, None], None, None if s is None else s[:400])
    )
    one_by_one = scores.summed(cut(X, y, s), model, losses.mse()).with_baseline(
        scores.summed(cut(X[:400], y[:400], None if s is None else s[:400]), model, losses.mse())
    )
    assert together.rows == one_by_one.rows == 500
    # Both lose some of the digits that the squared level has more than the loss.
    tolerance = 1e-10 if level == 0 else 1e-8
    assert together.mae is None
    wanted = certified(losses.mse(), X, y, s, model)
    assert together.named() | {"MAE": wanted["MAE"]} == pytest.approx(wanted, rel=tolerance)
    wanted = one_by_one.baseline.scores.named()
    assert together.baseline.scores.named() | {"MAE": wanted["MAE"]} == pytest.approx(wanted, rel=tolerance, abs=1e-10)
    assert together.baseline.what == one_by_one.baseline.what


def test_targets_that_are_all_the_same_have_no_r2():
    X, y, _, model = rows("mse", False)
    y[:] = 7.0
    model.loss = losses.mse()
    for found in (scores.score(model, X, y), scores.of_moments(Moments.of(X, y[:, None], None), model)):
        assert found.r2 is None
        assert found.loss == pytest.approx(np.mean((X @ model.weights + model.bias - 7) ** 2))
    assert found.named()["R²"] is None


def test_the_area_is_that_of_scores_where_probabilities_are_rounded_to_1():
    X, y, _, model = rows("logistic", False)
    large = gdcore.Linear(1000 * model.weights, 1000 * model.bias)
    model.loss = large.loss = losses.logistic()
    assert scores.score(large, X, y).auc == scores.score(model, X, y).auc
    assert abs(metrics.roc_auc_score(y, large.predict_proba(X)) - scores.score(model, X, y).auc) > 0.05


def test_several_targets_are_means_of_theirs():
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(200, 3)), rng.normal([0.0, 50.0], size=(200, 2))
    model = gdcore.fit(X, Y).model
    found, p = scores.score(model, X, Y), model.predict(X)
    assert found.loss == pytest.approx(2 * metrics.mean_squared_error(Y, p), rel=1e-12)
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(Y, p), rel=1e-12)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(Y, p), rel=1e-12)
    assert found.r2 == pytest.approx(metrics.r2_score(Y, p), rel=1e-12)
    assert found.baseline.what == "always the mean of each target"
    assert found.baseline.scores.r2 == pytest.approx(0, abs=1e-12)


def test_a_target_at_the_quantile_is_covered():
    model = gdcore.Linear([1.0], 0.0)
    model.loss = losses.quantile(0.5)
    assert scores.score(model, [[1.0], [2.0], [3.0], [4.0]], [1.0, 2.0, 3.5, 4.5]).coverage == 0.5


def test_float32_rows_score_as_float64_ones_do():
    X, y, s, model = rows("huber", True)
    model.loss = losses.huber(2.5)
    wide, narrow = (scores.score(model, X.astype(dtype), y.astype(dtype), s.astype(dtype)) for dtype in ("f8", "f4"))
    assert narrow.named() == pytest.approx(wide.named(), rel=1e-5)


def test_mistakes_are_told():
    X, y, _, model = rows("logistic", False)
    run = gdcore.fit(X, y, loss="logistic", l2=0.1)
    others = [(gdcore.Linear([1.0], 0.0), "Linear"), (GDRegressor(), "GDRegressor"), (GDClassifier(), "GDCl"), (run, "Run")]
    for other, found in others:
        with pytest.raises(TypeError, match=f"model must be a Linear or MLP that gdcore.fit has trained, .* found {found}"):
            scores.score(other, X, y)
    model.loss = losses.logistic()
    with pytest.raises(TypeError, match="Y is missing"):
        scores.score(model, X)
    with pytest.raises(ValueError, match=r"Y\[3\] is 2.0: logistic wants 0 or 1"):
        scores.score(model, X, np.where(np.arange(500) == 3, 2.0, y))
    with pytest.raises(ValueError, match="Y must have 1 column for a model of logistic with 1 outputs, found 2"):
        scores.score(model, X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="labels must be 2"):
        scores.score(model, X, y, labels=["a"])


# What is printed ------------------------------------------------------------------------------------------------------------


def test_classes_are_called_by_their_labels():
    X, y, s, model = rows("softmax", True)
    model.loss = losses.softmax()
    found = scores.score(model, X, y, s, labels=["a", "b", "c"])
    assert list(found.f1) == ["a", "b", "c"]
    lines = str(found).splitlines()
    titles = ["log loss", "accuracy", "F1 of a", "F1 of b", "F1 of c", "calibration error"]
    assert [line[2:].split("   ")[0].strip() for line in lines[2:-1]] == titles
    assert lines[-1].startswith("baseline: always c, the most frequent class (")


def test_of_many_classes_the_mean_is_shown():
    many = scores.ClassScores("softmax", 9, 1.0, f1={str(c): c / 10 for c in range(7)})
    assert many.titles()["F1"] == "F1, mean of 7"
    assert "F1 of 3" not in many.titles()
    assert many.named()["F1"] == pytest.approx(0.3)


def test_no_number_is_shown_twice():
    assert list(scores.NumberScores("mae", 1, 2.0).titles().values()) == ["RMSE", "MAE", "R²"]
    assert list(scores.NumberScores("quantile", 1, 2.0).titles().values()) == ["pinball loss", "RMSE", "MAE", "coverage"]


def test_the_spread_over_folds():
    tests = [scores.NumberScores("mse", 10, loss, rmse=loss, r2=r2) for loss, r2 in ((1.0, 0.5), (2.0, None), (4.5, 0.75))]
    found = scores.spread(tests)
    values = [1.0, 2.0, 4.5]
    assert found["loss"].mean == pytest.approx(2.5)
    assert found["loss"].error == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert found["R²"].values == (0.5, None, 0.75)
    assert found["R²"].mean == pytest.approx(0.625)
    assert (found["MAE"].mean, found["MAE"].error, found["MAE"].baseline) == (None, None, None)


def test_rounding_is_not_shown():
    same = scores.NumberScores("mse", 9, 1e-16, rmse=1e-8, mae=1234567.8, r2=8.9e-16)
    assert [line.split()[-1] for line in same.lines()[2:]] == ["1e-16", "1e-08", "1,234,568", "0"]


def test_labels_that_begin_alike_are_told_apart():
    long = [f"{'a' * 60}{c}" for c in "xy"]
    found = scores.ClassScores("logistic", 9, 1.0, f1=dict.fromkeys(long, 0.5))
    assert sum("F1 of aaaa" in line for line in found.lines()) == 2
    assert max(map(len, found.lines())) < 80


# ------------------------------------------------------------------------------------------------------------ what cannot be


class Kept(Table):
    """Rows in memory, with a target of whatever kind."""

    names = ("a", "b")

    def __init__(self, X, Y, target_shape, labels=()):
        self.X, self.Y, self.target_shape, self.labels = X, Y, target_shape, labels

    def blocks(self):
        yield Piece(self.X, self.Y, None)


def trained():
    X = np.arange(12.0).reshape(6, 2)
    y = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    classifier, numbers = fit(X, y, loss="logistic", l2=0.1).model, fit(X, np.column_stack([y, 2 - y]), l2=1.0).model
    return X, y, classifier, numbers


def test_what_cannot_be_scored_is_told_in_sentences():
    X, y, classifier, numbers = trained()
    two = np.column_stack([y, y])
    for model, rows, how, error, told in (
        (classifier, (X, y), {"labels": 5}, TypeError, "labels must be a list of names, found 5"),
        (classifier, (X, y), {"labels": "ab"}, TypeError, "labels must be a list of names, found 'ab'"),
        (
            classifier,
            (X, y),
            {"train": 3.0},
            ValueError,
            r"train must have shape \(n,\) or \(n, 1\), as targets have, found shape \(\)",
        ),
        (classifier, (X, y), {"train": []}, ValueError, r"found shape \(0,\)"),
        (numbers, (X, two), {"train": y}, ValueError, r"train must have shape \(n, 2\), as targets have, found shape \(6,\)"),
        (classifier, (Kept(X, np.empty((6, 0)), (0,)),), {}, ValueError, "the table has no target"),
        (classifier, (Kept(X, 3.5 * y[:, None], ()),), {}, ValueError, r"Y\[1\] is 3.5: logistic wants 0 or 1"),
        (numbers, (Kept(X, y[:, None], ()),), {}, ValueError, "Y must have 2 columns for a model of mse with 2 outputs"),
        (numbers, (Kept(X, y[:, None], (), ("no", "yes")),), {}, ValueError, "target is 2 classes, and the model predicts"),
    ):
        with pytest.raises(error, match=told):
            scores.score(model, *rows, **how)
    with pytest.raises(ValueError, match="tests must be one or more scores, found none"):
        scores.spread([])


def test_labels_may_be_an_array_and_train_a_column():
    X, y, classifier, numbers = trained()
    assert list(scores.score(classifier, X, y, labels=np.array(["no", "yes"])).f1) == ["no", "yes"]
    assert str(scores.score(classifier, X, y, train=y[:, None])) == str(scores.score(classifier, X, y, train=y))
    two = np.column_stack([y, 2 - y])
    assert scores.score(numbers, X, two, train=two).baseline.scores.r2 == pytest.approx(0)
    assert str(scores.score(classifier, Kept(X, y[:, None], ()))) == str(scores.score(classifier, X, y))
