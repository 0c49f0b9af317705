"""Intervals of predictions: of means and targets by plain formulas, of new rows by counting ranks."""

import math

import numpy as np
import pytest

import gdcore
from gdcore import MLP, fit, inference
from gdcore.covariance import tails

RNG = np.random.default_rng(12)
X = RNG.normal(size=(60, 3)) * [1.0, 20.0, 0.1]
Y = X @ [1.0, -0.2, 4.0] + 5 + RNG.normal(size=60)
NEW = RNG.normal(size=(7, 3)) * [1.0, 30.0, 0.2]
COUNTS = RNG.poisson(np.exp(0.3 * X[:, 0] + 0.5)).astype(float)
ONES = (X[:, 0] + RNG.normal(size=60) > 0).astype(float)


def designed(rows):
    return np.column_stack([np.ones(len(rows)), rows])


# Of means and targets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("of", ["mean", "target"])
def test_least_squares(of, level):
    """ŷ ± t·√(x̃ᵀ(Z̃ᵀZ̃)⁻¹x̃·σ² + σ²), the textbook's."""
    Z, new = designed(X), designed(NEW)
    B = np.linalg.inv(Z.T @ Z)
    weights = B @ Z.T @ Y
    variance = np.sum((Y - Z @ weights) ** 2) / (60 - 4)
    spread = np.sqrt(variance * (np.sum(new @ B * new, axis=1) + (of == "target")))
    away = tails.quantile(1 - level, 56) * spread
    found = inference(fit(X, Y), X, Y).predict(NEW, level, of=of)
    np.testing.assert_allclose(found.prediction, new @ weights, rtol=1e-11)
    np.testing.assert_allclose(found.low, new @ weights - away, rtol=1e-10)
    np.testing.assert_allclose(found.high, new @ weights + away, rtol=1e-10)


def test_columns_far_from_zero_take_no_digits():
    """b and w have errors of 1e9 and 1 there, which take each other away."""
    near, far = inference(fit(X, Y), X, Y).predict(NEW), inference(fit(X + 2.0**27, Y), X + 2.0**27, Y).predict(NEW + 2.0**27)
    np.testing.assert_allclose(far.high - far.low, near.high - near.low, rtol=1e-5)  # X itself is rounded to 2⁻²⁶ there


def test_without_a_bias():
    found = inference(fit(X, Y, gdcore.Linear(np.zeros(3), bias=None)), X, Y).predict(NEW, 0.9)
    B = np.linalg.inv(X.T @ X)
    weights = B @ X.T @ Y
    variance = np.sum((Y - X @ weights) ** 2) / 57
    half = tails.quantile(1 - 0.9, 57) * np.sqrt(variance * np.sum(NEW @ B * NEW, axis=1))
    np.testing.assert_allclose(found.high - found.low, 2 * half, rtol=1e-9)


@pytest.mark.parametrize(
    "loss, targets, link", [("poisson", COUNTS, np.exp), ("logistic", ONES, lambda v: 1 / (1 + np.exp(-v)))]
)
def test_means_behind_a_link(loss, targets, link):
    """g(η ± z·√(x̃ᵀ(Z̃ᵀDZ̃)⁻¹x̃)), D the second derivatives."""
    run = fit(X, targets, loss=loss)
    eta, new = run.model.linear_predictor(X), designed(NEW)
    D = np.exp(eta) if loss == "poisson" else 1 / (2 + np.exp(eta) + np.exp(-eta))
    C = np.linalg.inv(designed(X).T @ (D[:, None] * designed(X)))
    at, half = run.model.linear_predictor(NEW), 1.959963984540054 * np.sqrt(np.sum(new @ C * new, axis=1))
    found = inference(run, X, targets).predict(NEW)
    for values, wanted in zip(found, (at, at - half, at + half), strict=True):
        np.testing.assert_allclose(values, link(wanted), rtol=1e-6)


def test_robust_covariances_are_those_of_means():
    found = inference(fit(X, Y), X, Y, cov_type="HC0")
    C, new = found.cov_params(), designed(NEW)
    half = 1.959963984540054 * np.sqrt(np.sum(new @ C * new, axis=1))
    np.testing.assert_allclose(np.ptp([found.predict(NEW).low, found.predict(NEW).high], axis=0), 2 * half, rtol=1e-9)


def test_what_cannot_be_told_is_refused():
    robust = inference(fit(X, Y), X, Y, cov_type="HC1")
    with pytest.raises(
        ValueError, match=r"of='target' is for mse and cov_type 'nonrobust'.* found mse and 'HC1': gdcore.conformal"
    ):
        robust.predict(NEW, of="target")
    with pytest.raises(ValueError, match="found poisson and 'nonrobust'"):
        inference(fit(X, COUNTS, loss="poisson"), X, COUNTS).predict(NEW, of="target")
    with pytest.raises(ValueError, match="of must be 'mean' or 'target'"):
        robust.predict(NEW, of="row")
    with pytest.raises(ValueError, match="interval must be above 0 and below 1, found 95"):
        robust.predict(NEW, 95)
    with pytest.raises(ValueError, match="2 columns"):
        robust.predict(NEW[:, :2])
    with pytest.raises(ValueError, match="X"):
        robust.predict(np.full((1, 3), math.nan))
    classes = np.arange(60.0) % 3
    with pytest.raises(ValueError, match="softmax has one a class"):
        inference(fit(X, classes, loss="softmax"), X, classes).predict(NEW)


# Of new rows, whatever the model is -----------------------------------------------------------------------------------------

CLASSES = RNG.integers(3, size=60).astype(float)
MODELS = {
    "mse": (fit(X, Y), Y),
    "mae": (fit(X, Y, loss="mae"), Y),
    "quantile": (fit(X, Y, loss="quantile:0.8"), Y),
    "huber": (fit(X, Y, loss="huber"), Y),
    "poisson": (fit(X, COUNTS, loss="poisson"), COUNTS),
    "gamma": (fit(X, COUNTS + 0.5, loss="gamma"), COUNTS + 0.5),
    "tweedie": (fit(X, COUNTS, loss="tweedie:1.3"), COUNTS),
    "logistic": (fit(X, ONES, loss="logistic"), ONES),
    "softmax": (fit(X, CLASSES, loss="softmax"), CLASSES),
    "network": (fit(X, Y, MLP([3, 4, 1], seed=0), epochs=3), Y),
}


def score(name, run, rows, targets):
    """How far off each row is, by the formula at the head of the module."""
    if name in ("logistic", "softmax"):
        p = run.model.predict_proba(rows)
        p = np.column_stack([1 - p, p]) if name == "logistic" else p
        return 1 - p[np.arange(len(rows)), targets.astype(int)]
    mu = np.ravel(run.model.predict(rows))
    power = {"poisson": 1.0, "gamma": 2.0, "tweedie": 1.3}.get(name, 0.0)
    return np.abs(targets - mu) / mu**power if power == 0 else np.abs(targets - mu) / mu ** (power / 2)


def covers(found, row, target):
    if not found.model.loss.numeric:
        return found.classes(row)[0, int(target)]
    _, low, high = found.predict(row)
    size = 1e-12 * max(abs(low[0]), abs(high[0]))
    return low[0] - size <= target <= high[0] + size


@pytest.mark.parametrize("alpha", [0.1, 0.35])
@pytest.mark.parametrize("name", MODELS)
def test_of_rows_in_any_order_the_share_is_exact(name, alpha):
    """Each of n + 1 rows is new once, and the others calibrate: as many are covered as have a rank of ⌈(n + 1)(1 − α)⌉ at
    most, which is the promise, counted; more only where scores are equal."""
    run, targets = MODELS[name]
    rows = X[:21], targets[:21]
    scores = score(name, run, *rows)
    rank = math.ceil(21 * (1 - alpha) - 1e-9)
    covered = 0
    for i in range(21):
        others = np.arange(21) != i
        found = gdcore.conformal(run, rows[0][others], rows[1][others], alpha)
        wanted = np.sort(scores[others])[rank - 1]
        assert found.score == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        covered += covers(found, rows[0][[i]], rows[1][i])
    assert covered == np.sum(scores <= np.sort(scores)[rank - 1] * (1 + 1e-9))
    assert covered >= rank


def test_amounts_are_never_below_zero():
    run, targets = MODELS["poisson"]
    _, low, high = gdcore.conformal(run, X, targets, 0.02).predict(NEW)
    assert (low >= 0).all()
    assert (low == 0).any()
    assert (high > low).all()


def test_a_table_calibrates_as_arrays_do(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c,y\n" + "".join(",".join(map(repr, map(float, row))) + "\n" for row in np.column_stack([X, Y])))
    run, table = fit(X, Y), gdcore.open_table(path, "y")
    assert gdcore.conformal(run, table).score == gdcore.conformal(run, X, Y).score


def test_as_many_rows_as_the_promise_needs():
    run, targets = MODELS["mse"]
    assert gdcore.conformal(run, X[:9], targets[:9], 0.1).score == np.abs(targets[:9] - run.predict(X[:9])).max()
    with pytest.raises(ValueError, match=r"8 rows are too few to calibrate with alpha 0.1: at least 9 are needed"):
        gdcore.conformal(run, X[:8], targets[:8], 0.1)


def test_mistakes_are_told(tmp_path):
    run, targets = MODELS["mse"]
    with pytest.raises(TypeError, match="Y is missing"):
        gdcore.conformal(run, X)
    with pytest.raises(TypeError, match="run must be a Run, a Linear or an MLP, found str"):
        gdcore.conformal("mse", X, targets)
    with pytest.raises(TypeError, match="not trained"):
        gdcore.conformal(gdcore.Linear([1.0, 2.0, 3.0], 0.0), X, targets)
    with pytest.raises(ValueError, match="alpha must be above 0 and below 1"):
        gdcore.conformal(run, X, targets, 90)
    with pytest.raises(ValueError, match="one output, found 2"):
        gdcore.conformal(fit(X, np.column_stack([Y, Y])), X, Y)
    with pytest.raises(ValueError, match=r"call classes\(X\)"):
        gdcore.conformal(MODELS["logistic"][0], X, ONES).predict(X)
    with pytest.raises(ValueError, match=r"call predict\(X\)"):
        gdcore.conformal(run, X, targets).classes(X)
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c,s,y\n" + "".join(f"{i},{i % 3},{i % 5},1,{i * 1.5}\n" for i in range(40)))
    with pytest.raises(ValueError, match="X_cal must be rows without weights"):
        gdcore.conformal(run, gdcore.open_table(path, "y", weights="s"))
