"""Poisson, gamma and Tweedie, whose predictions are logarithms of means: against certified and published values, and edges."""

import importlib.util
import json
import warnings
from pathlib import Path

import mpmath
import numpy as np
import pytest

import gdcore
from gdcore import Linear, SeparationWarning, fit, scores
from gdcore.backends import BACKENDS

STORED = json.loads((Path(__file__).parent / "data" / "amounts.json").read_text())
TABLE = dict(zip(STORED["columns"], np.array(STORED["rows"], np.float64).T, strict=True))
X = np.column_stack([TABLE["age"], TABLE["power"], TABLE["old"]])
TARGETS = {"poisson": "counts", "gamma": "sizes", "tweedie": "claims"}
every_case = pytest.mark.parametrize("case", STORED["certified"])
every_loss = pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie:1.5", "tweedie:1.2"])


def rows(case):
    """The loss, its targets, and the rows' weights or None."""
    loss, _, weighted = case.partition(", ")
    return loss, TABLE[TARGETS[loss.partition(":")[0]]], TABLE["exposure"] if weighted else None


def coefficients(model):
    return np.append(model.weights, model.bias)


@every_case
@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_certified_coefficients_and_deviances(case, backend):
    loss, y, s = rows(case)
    stored = STORED["certified"][case]
    run = fit(X, y, loss=loss, sample_weight=s, backend=backend)
    assert run.status == "converged"
    np.testing.assert_allclose(coefficients(run.model), stored["coefficients"], rtol=1e-9)
    least = np.average(run.model.loss.least(y), weights=s)
    total = len(y) if s is None else s.sum()
    assert 2 * total * (run.loss - least) == pytest.approx(stored["deviance"], rel=1e-9)
    found = scores.score(run.model, X, y, s)
    assert found.d2 == pytest.approx(1 - stored["deviance"] / stored["null deviance"], rel=1e-9)
    assert found.baseline.scores.d2 == pytest.approx(0, abs=1e-12)
    mean = np.exp(X @ run.model.weights + run.model.bias)
    assert found.rmse == pytest.approx(np.sqrt(np.average((y - mean) ** 2, weights=s)), rel=1e-12)
    assert 0 <= run.gap <= 1e-9 * stored["null deviance"] / total


def published(name):
    """Rows that come with statsmodels, whose authors have not given them away."""
    if importlib.util.find_spec("statsmodels") is None:
        pytest.skip(f"the rows of {name} come with statsmodels, which is not installed")
    from statsmodels import datasets

    data = getattr(datasets, name).load_pandas()
    return data.exog.to_numpy(), data.endog.to_numpy()


def test_what_r_prints_of_executions():
    """glm with poisson of R, by 17 states, as statsmodels prints it in its tests."""
    exog, endog = published("cpunish")
    exog[:, 3] = np.log(exog[:, 3])  # as R's script does
    run = fit(exog, endog, loss="poisson")
    printed = [2.611017e-04, 7.781801e-02, -9.493111e-02, 2.969349e-01, 2.301183e00, -1.872207e01, -6.801480e00]
    np.testing.assert_allclose(coefficients(run.model), printed, rtol=1e-6)
    assert 2 * len(endog) * (run.loss - run.model.loss.least(endog).mean()) == pytest.approx(18.591641759528944, rel=1e-10)


@every_loss
def test_units_do_not_matter(loss):
    """Targets c times as large: the bias grows by log c, and no weight changes; columns in other units likewise."""
    _, y, _ = rows(loss)
    run = fit(X, y, loss=loss)
    for c in (1e-6, 1e6):
        other = fit(X, c * y, loss=loss)
        assert other.status == "converged"
        assert other.epochs <= run.epochs + 1
        np.testing.assert_allclose(other.model.weights, run.model.weights, rtol=1e-8)
        assert other.model.bias == pytest.approx(run.model.bias + np.log(c), rel=1e-8)
    scaled = fit(X * [1e-3, 1e4, 1.0] + [1e3, 0, -7], y, loss=loss)
    np.testing.assert_allclose(scaled.model.weights, run.model.weights / [1e-3, 1e4, 1.0], rtol=1e-6)


@every_loss
def test_tweedie_lies_between_poisson_and_gamma(loss):
    y = TABLE["sizes"]
    weights = [fit(X, y, loss=name).model.weights for name in ("poisson", loss, "gamma")]
    low, high = np.minimum(weights[0], weights[2]), np.maximum(weights[0], weights[2])
    assert ((low - 1e-9 <= weights[1]) & (weights[1] <= high + 1e-9)).all()


@every_loss
@pytest.mark.parametrize("penalties", [{"l1": 0.01}, {"l2": 0.01}, {"l1": 0.01, "l2": 0.01}], ids=str)
def test_penalties_are_proved(loss, penalties):
    _, y, _ = rows(loss)
    Z, y = (X - X.mean(axis=0)) / X.std(axis=0), y / y.mean()
    run = fit(Z, y, loss=loss, **penalties)
    assert run.status == "converged"
    raw = Z @ run.model.weights + run.model.bias
    slope = run.model.loss.value_slope(raw[:, None], y[:, None])[1][:, 0] / len(y)
    assert abs(slope.sum()) < 1e-8
    g, w = Z.T @ slope + penalties.get("l2", 0) * run.model.weights, run.model.weights
    l1 = penalties.get("l1", 0)
    left = np.where(w == 0, np.maximum(np.abs(g) - l1, 0), g + l1 * np.sign(w))
    assert np.abs(left).max() < 1e-8
    assert 0 <= run.gap < 1e-10


def exactly(loss, X, y, s, model, l1, l2):
    """The objective in 60 digits."""
    p = {"poisson": 1, "gamma": 2}.get(loss.name, mpmath.mpf(loss.parameter))
    w, b = [mpmath.mpf(float(value)) for value in model.weights], mpmath.mpf(float(model.bias))
    total = mpmath.mpf(0)
    for x, target, weight in zip(X, y, s, strict=True):
        eta = mpmath.fdot(map(mpmath.mpf, map(float, x)), w) + b
        target = mpmath.mpf(float(target))
        grows = eta if p == 2 else mpmath.exp((2 - p) * eta) / (2 - p)
        falls = target * eta if p == 1 else target * mpmath.exp((1 - p) * eta) / (1 - p)
        total += mpmath.mpf(float(weight)) * (grows - falls)
    penalty = mpmath.mpf(l1) * sum(map(abs, w)) + mpmath.mpf(l2) / 2 * sum(value * value for value in w)
    return total / mpmath.mpf(float(np.sum(s))) + penalty


@every_loss
@pytest.mark.parametrize("seed", range(12))
def test_a_gap_is_never_below_the_true_one_in_60_digits(loss, seed):
    """On the way to the best weights and there: any other point's objective convicts a gap that is too small."""
    rng = np.random.default_rng([seed, len(loss)])
    n, d = int(rng.integers(4, 25)), int(rng.integers(1, 4))
    dtype = np.float32 if seed % 4 == 3 else np.float64
    Z = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 4, d) + (1e4 if seed % 3 == 1 else 0)
    if seed % 4 == 1:
        Z = np.column_stack([Z, Z[:, 0] * 2])  # dependent
    y = np.exp(rng.normal(size=n)) * (1 if loss == "gamma" else rng.integers(0, 2, n)) * 10.0 ** rng.integers(-4, 5)
    y[0] = y.max() + 1e-3
    s = rng.uniform(0, 2, n) * (rng.random(n) > 0.2)
    s[0] = 1.0
    Z, y, s = Z.astype(dtype), y.astype(dtype), s.astype(dtype)
    l1, l2 = [(0, 0), (0, 1e-3), (1e-3, 0), (1e-2, 1e-3)][seed % 4]
    runs = []
    with mpmath.workdps(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epochs in (1, 2, 3, 5, 8, 1000):
            run = fit(Z, y, loss=loss, sample_weight=s, l1=l1, l2=l2, epochs=epochs)
            runs.append((run.gap, exactly(run.model.loss, Z, y, s, run.model, l1, l2)))
        best = min(value for _, value in runs)
        rounding = 4 * np.finfo(dtype).eps * abs(float(best))
        assert all(gap is None or gap >= value - best - rounding for gap, value in runs), runs
        assert sum(gap is not None for gap, _ in runs) >= 3, runs


@every_loss
def test_arrays_tables_threads_and_layouts_agree(loss, tmp_path):
    _, y, _ = rows(loss)
    run = fit(X, y, loss=loss, n_threads=1)
    assert fit(X, y, loss=loss, n_threads=2).model.weights.tobytes() == run.model.weights.tobytes()
    np.testing.assert_allclose(fit(np.asfortranarray(X), y, loss=loss).model.weights, run.model.weights, rtol=1e-9)
    lines = [
        ",".join(["age", "power", "old", "y"]),
        *(",".join(map(repr, map(float, row))) for row in np.column_stack([X, y])),
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    table = gdcore.open_table(tmp_path / "t.csv", "y", loss=loss)
    np.testing.assert_allclose(fit(table, loss=loss).model.weights, run.model.weights, rtol=1e-9)
    single = fit(X.astype(np.float32), y.astype(np.float32), loss=loss)
    assert single.status == "converged"
    np.testing.assert_allclose(single.model.weights, run.model.weights, rtol=1e-4)


@every_loss
def test_the_textbooks_loop_and_other_optimizers(loss):
    _, y, _ = rows(loss)
    Z, y = (X - X.mean(axis=0)) / X.std(axis=0), y / y.mean()
    best = fit(Z, y, loss=loss)
    w = gdcore.train(Z, y, np.zeros(3), 0.05, 5, loss=loss, verbose=False)
    raw = np.zeros(len(y))
    v = np.zeros(3)
    for _ in range(5):
        v = v - 0.05 * Z.T @ best.model.loss.value_slope(raw[:, None], y[:, None])[1][:, 0] / len(y)
        raw = Z @ v
    np.testing.assert_allclose(w, v, rtol=1e-10, atol=1e-14)
    for how in ({"optimizer": "adam", "lr": 0.05}, {"optimizer": "sgd", "lr": 0.1, "batch_size": 16}, {"lr": 0.1}):
        run = fit(Z, y, loss=loss, epochs=400, **how)
        assert run.loss - best.loss < 0.05 * (run.history.start - best.loss)
    assert gdcore.check_gradient(Linear([0.1, 0.2, -0.1], 0.3), Z, y, loss) < 1e-6


@every_loss
def test_a_network_predicts_means(loss):
    _, y, _ = rows(loss)
    Z, y = (X - X.mean(axis=0)) / X.std(axis=0), y / y.mean()
    run = fit(Z, y, gdcore.MLP([3, 4, 1], seed=0), loss=loss, optimizer="adam", epochs=300)
    assert run.loss < run.history.start
    np.testing.assert_allclose(run.predict(Z), np.exp(run.model.linear_predictor(Z)), rtol=1e-15)
    assert np.average(run.predict(Z)) == pytest.approx(1, rel=0.1)


def test_a_prediction_is_the_mean_and_a_linear_predictor_its_logarithm(tmp_path):
    run = fit(X, TABLE["counts"], loss="poisson")
    eta = run.model.linear_predictor(X)
    np.testing.assert_allclose(eta, X @ run.model.weights + run.model.bias, rtol=1e-12)
    np.testing.assert_array_equal(run.model.predict(X), np.exp(eta))
    assert run.predict(X).mean() == pytest.approx(TABLE["counts"].mean(), rel=1e-10)  # of a log link with Poisson, exactly
    gdcore.save(run, tmp_path / "m.safetensors")
    np.testing.assert_array_equal(gdcore.load(tmp_path / "m.safetensors").predict(X), run.predict(X))
    with pytest.raises(ValueError, match="the prediction for row 1 of X overflows float64"):
        run.model.predict([[1.0, 0, 0], [1e6 / run.model.weights[0], 0, 0]])
    with pytest.raises(ValueError, match="trained with 'poisson'"):
        run.model.predict_proba(X)


@pytest.mark.parametrize("loss, wrong, said", [
    ("poisson", -1.0, r"Y\[2\] is -1.0: this loss wants 0 or more"),
    ("tweedie", -0.5, r"Y\[2\] is -0.5: this loss wants 0 or more"),
    ("gamma", 0.0, r"Y\[2\] is 0.0: this loss wants numbers above 0"),
])  # fmt: skip
def test_targets_that_no_mean_explains(loss, wrong, said):
    y = np.ones(len(X))
    y[2] = wrong
    with pytest.raises(ValueError, match=said):
        fit(X, y, loss=loss)


@pytest.mark.parametrize("power", [1, 2, 0.5, "1.5", None, np.nan])
def test_a_power_outside_of_1_to_2(power):
    with pytest.raises((ValueError, TypeError), match="power must be"):
        gdcore.losses.tweedie(power)


def test_rows_of_zeros_that_a_column_tells_apart():
    """No best weights: the lower the prediction for these rows, the better. That is the separation of a Poisson regression."""
    y = TABLE["counts"] * (TABLE["old"] == 0)
    assert y.any()
    with pytest.warns(SeparationWarning, match=r"rows whose target is 0 are told apart, by column 2 of X: there are no best"):
        run = fit(X, y, loss="poisson")
    others = TABLE["old"] == 0
    wanted = fit(X[others, :2], y[others], loss="poisson")
    np.testing.assert_allclose(run.model.weights[:2], wanted.model.weights, rtol=1e-4)
    assert run.loss == pytest.approx(wanted.loss * others.mean(), rel=1e-6)


@pytest.mark.parametrize("loss", ["poisson", "tweedie"])
def test_all_targets_are_zero(loss):
    with pytest.warns(SeparationWarning, match="rows whose target is 0 are told apart"):
        run = fit(X, np.zeros(len(X)), loss=loss)
    assert run.loss < 1e-6


@every_loss
def test_all_targets_are_one_number(loss):
    run = fit(X, np.full(len(X), 2.5), loss=loss)
    assert run.status == "converged"
    np.testing.assert_allclose(run.predict(X), 2.5, rtol=1e-9)


@every_loss
def test_without_a_bias_and_with_dependent_columns(loss):
    _, y, _ = rows(loss)
    y = y / y.mean()
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    run = fit(Z, y, Linear(np.zeros(3)), loss=loss)
    assert run.status == "converged"
    slope = run.model.loss.value_slope((Z @ run.model.weights)[:, None], y[:, None])[1][:, 0]
    assert np.abs(Z.T @ slope).max() / len(y) < 1e-8
    with pytest.warns(gdcore.ConditionWarning, match="column 3 is a sum of 0 and 1"):
        twice = fit(np.column_stack([Z, Z[:, 0] + Z[:, 1]]), y, loss=loss)
    assert twice.loss == pytest.approx(fit(Z, y, loss=loss).loss, rel=1e-12)
    assert twice.gap <= 1e-10


@every_loss
def test_a_run_goes_on(loss):
    _, y, _ = rows(loss)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gdcore.ConvergenceWarning)
        first = fit(X, y, loss=loss, epochs=3)
        both = first.resume(X, y, epochs=2)
        whole = fit(X, y, loss=loss, epochs=5)
    assert both.model.weights.tobytes() == whole.model.weights.tobytes()


# How people meet them -------------------------------------------------------------------------------------------------------


@every_loss
def test_the_estimator_scores_as_scikit_learn(loss):
    estimators, linear_model = pytest.importorskip("gdcore.estimators"), pytest.importorskip("sklearn.linear_model")
    name, _, power = loss.partition(":")
    _, y, _ = rows(loss)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    own = estimators.GDRegressor(loss=name, power=float(power) if power else None).fit(Z, y)
    p = {"poisson": 1, "gamma": 2}.get(name) or float(power)
    other = linear_model.TweedieRegressor(power=p, link="log", alpha=0, tol=1e-10, max_iter=10_000).fit(Z, y)
    np.testing.assert_allclose(own.predict(Z), other.predict(Z), rtol=1e-3)
    assert own.score(Z, y) == pytest.approx(other.score(Z, y), rel=1e-6)
    assert own.score(Z, y, TABLE["exposure"]) == pytest.approx(other.score(Z, y, TABLE["exposure"]), rel=1e-4)


def test_the_command_line(tmp_path, monkeypatch, gd):
    monkeypatch.chdir(tmp_path)
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(TABLE).drop(columns=["sizes", "claims"]).to_csv("t.csv", index=False)
    status, out, err = gd(
        "train", "t.csv", "--target", "counts", "--weights", "exposure", "--loss", "poisson", "--test-size", "0",
        "--plot", "t.png", "--report", "t.html",
    )  # fmt: skip
    assert (status, err) == (0, "")
    stored = STORED["certified"]["poisson, weighted"]
    d2 = 1 - stored["deviance"] / stored["null deviance"]
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  D²")] == [f"{d2:.6g}"]
    assert gd("predict", "t.safetensors", "t.csv", "--out", "p.csv")[0] == 0
    *slopes, intercept = stored["coefficients"]
    np.testing.assert_allclose(pandas.read_csv("p.csv")["prediction"], np.exp(X @ slopes + intercept), rtol=1e-8)
    pandas.DataFrame(TABLE).assign(counts=-1).to_csv("n.csv", index=False)
    status, _, err = gd("train", "n.csv", "--target", "counts", "--loss", "poisson")
    assert status == 2
    assert err == "gdcore: n.csv, line 2, column counts: -1 is no target for poisson, which wants 0 or more\n"
