"""Other projects' facts: what R, Stata, glmnet, scikit-learn and books print about known data, asked of gdcore's defaults.

Nothing is tuned here: no learning rate, no tolerance, no scaling. The files in tests/data say where rows and numbers come
from; make_certified.py wrote them. Printed numbers must come out to their last digit, certified ones to 8 digits.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import gdcore
from gdcore.backends import BACKENDS
from gdcore.estimators import GDClassifier, GDRegressor

DATA = Path(__file__).parent / "data"
GLMNET = json.loads((DATA / "reference_cases.json").read_text())["logistic_glmnet"]
DIGITS = 8


def facts(name):
    return json.loads((DATA / f"{name}.json").read_text())


def table(name):
    """The rows of a file as a dict of columns."""
    stored = facts(name)
    return dict(zip(stored["columns"], np.array(stored["rows"], dtype=np.float64).T, strict=True))


def from_statsmodels(name):
    """Columns and target of a data set whose rows are not stored here, because its authors keep all rights."""
    if importlib.util.find_spec("statsmodels") is None:
        pytest.skip(f"the rows of {name} come with statsmodels, which is not installed")
    from statsmodels import datasets

    data = getattr(datasets, name).load_pandas()
    return data.exog.to_numpy(), data.endog.to_numpy()


def agrees(found, stored, key=None):
    """Every number to the last digit that was printed, and to 8 digits of the certified one."""
    printed = stored["published"] if key is None else stored["published"].get(key)
    certified = np.array(stored["certified"] if key is None else stored["certified"][key])
    found = np.asarray(found)
    if printed is not None:
        texts = np.array(printed)
        # One unit in the last place: what the programs print ends where their own iterations end.
        unit = 10.0 ** -np.vectorize(lambda text: len(text.partition(".")[2]))(texts)
        off = np.abs(found - texts.astype(float)) / unit
        assert (off <= 1).all(), f"{found.tolist()} for {printed}: off by up to {off.max():.3g} units in the last place"
    worst = np.max(np.abs(found / certified - 1))
    assert worst <= 10.0**-DIGITS, f"{found.tolist()} for {certified.tolist()}: relative error {worst:.3g}"


def with_intercept_first(model):
    return np.append(model.bias, model.weights)


def with_intercept_last(model):
    return np.append(model.weights, model.bias)


# -------------------------------------------------------------------------------------------------------------- logistic


def lbw():
    columns = table("lbw")
    low = columns.pop("low")
    return np.column_stack(list(columns.values())), low, None


def spector():
    return *from_statsmodels("spector"), None


def proportions(X, successes, failures):
    """A row of successes and one of failures for each row of X, weighted by how many there were."""
    return np.vstack([X, X]), np.repeat([1.0, 0.0], len(X)), np.concatenate([successes, failures])


def beetles():
    columns = table("beetles")
    return proportions(columns["dose"][:, None], columns["killed"], columns["beetles"] - columns["killed"])


def star98():
    X, counts = from_statsmodels("star98")
    return proportions(X, counts[:, 0], counts[:, 1])


LOGITS = [lbw, spector, beetles, star98]


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize("load", LOGITS, ids=lambda load: load.__name__)
def test_logit_coefficients(load, backend):
    X, y, counts = load()
    run = gdcore.fit(X, y, loss="logistic", sample_weight=counts, backend=backend)
    assert run.status == "converged"
    agrees(with_intercept_last(run.model), facts(load.__name__))


@pytest.mark.parametrize("load", LOGITS, ids=lambda load: load.__name__)
def test_logit_coefficients_of_the_estimator(load):
    X, y, counts = load()
    model = GDClassifier(l2=0.0).fit(X, y, sample_weight=counts)
    agrees(np.append(model.coef_, model.intercept_), facts(load.__name__))


def test_the_log_likelihood_of_lbw():
    X, y, _ = lbw()
    printed = float(facts("lbw")["published_log_likelihood"])
    assert -len(X) * gdcore.fit(X, y, loss="logistic").loss == pytest.approx(printed, rel=1e-12)


def test_a_row_of_successes_is_as_many_rows():
    X, y, counts = beetles()
    rows = np.repeat(np.arange(len(X)), counts.astype(int))
    run = gdcore.fit(X[rows], y[rows], loss="logistic")
    agrees(with_intercept_last(run.model), facts("beetles"))


# --------------------------------------------------------------------------------------------------------------- softmax


def anes96():
    columns = table("anes96")
    party = columns.pop("PID")
    columns["popul"] = np.log(columns["popul"] + 0.1)
    return np.column_stack(list(columns.values())), party


def against_the_first(weights, bias):
    """What multinomial logit prints: a row a class, less that of the first class, the intercept last."""
    whole = np.column_stack([weights, bias])
    return whole[1:] - whole[0]


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_multinomial_coefficients(backend):
    run = gdcore.fit(*anes96(), loss="softmax", backend=backend)
    assert run.status == "converged"
    agrees(against_the_first(run.model.weights.T, run.model.bias), facts("anes96"))
    printed = float(facts("anes96")["published_log_likelihood"])
    assert -944 * run.loss == pytest.approx(printed, abs=1e-6)


def test_multinomial_coefficients_of_the_estimator():
    model = GDClassifier(l2=0.0).fit(*anes96())
    agrees(against_the_first(model.coef_, model.intercept_), facts("anes96"))


# --------------------------------------------------------------------------------------------------- glmnet's, with l2


def test_glmnets_coefficients_by_default():
    wanted = GLMNET["binary"]
    found = with_intercept_first(gdcore.fit(GLMNET["X"], GLMNET["y_binary"], loss="logistic", l2=1.0).model)
    np.testing.assert_allclose(found, [wanted["intercept"], *wanted["coef"]], rtol=wanted["rtol"])
    np.testing.assert_allclose(found, wanted["newton_float64"], rtol=10.0**-DIGITS)
    model = GDClassifier(l2=1.0).fit(GLMNET["X"], GLMNET["y_binary"])
    np.testing.assert_allclose(np.append(model.intercept_, model.coef_), wanted["newton_float64"], rtol=10.0**-DIGITS)


def test_glmnets_coefficients_for_three_classes_by_default():
    wanted = GLMNET["multinomial"]
    printed = np.column_stack([wanted["intercept"], wanted["coef"]])
    newton = np.array(wanted["newton_float64_rows_class_cols_intercept_coef"])
    model = gdcore.fit(GLMNET["X"], GLMNET["y_multinomial"], loss="softmax", l2=1.0).model
    estimator = GDClassifier(l2=1.0).fit(GLMNET["X"], GLMNET["y_multinomial"])
    for bias, weights in ((model.bias, model.weights.T), (estimator.intercept_, estimator.coef_)):
        # A constant added to every intercept changes no probability: glmnet's sum to 0.
        found = np.column_stack([bias - bias.mean(), weights])
        np.testing.assert_allclose(found, printed, rtol=wanted["rtol"], atol=wanted["atol"])
        np.testing.assert_allclose(found, newton, rtol=10.0**-DIGITS, atol=1e-10)


# ------------------------------------------------------------------------------------------------------------- quantiles


def engel():
    columns = table("engel")
    return columns["income"][:, None], columns["foodexp"]


def stackloss():
    columns = table("stackloss")
    loss = columns.pop("stackloss")
    return np.column_stack(list(columns.values())), loss


@pytest.mark.parametrize("tau", [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
def test_engels_quantiles(tau):
    X, y = engel()
    stored = facts("engel")
    run = gdcore.fit(X, y, loss=gdcore.losses.quantile(tau=tau))
    assert run.status == "converged"
    agrees(with_intercept_first(run.model), stored, str(tau))
    model = GDRegressor(loss="quantile", tau=tau).fit(X, y)
    agrees(np.append(model.intercept_, model.coef_), stored, str(tau))


@pytest.mark.parametrize("load", [engel, stackloss], ids=lambda load: load.__name__)
@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_absolute_errors_are_least_at_the_median(load, backend):
    X, y = load()
    run = gdcore.fit(X, y, loss="mae", backend=backend)
    assert run.status == "converged"
    agrees(with_intercept_first(run.model), facts(load.__name__), "0.5")
    half = gdcore.fit(X, y, loss="quantile", backend=backend)
    agrees(with_intercept_first(half.model), facts(load.__name__), "0.5")


@pytest.mark.parametrize("load", [engel, stackloss], ids=lambda load: load.__name__)
def test_the_mean_beside_the_quantiles(load):
    X, y = load()
    agrees(with_intercept_first(gdcore.fit(X, y).model), facts(load.__name__), "mean")
    model = GDRegressor().fit(X, y)
    agrees(np.append(model.intercept_, model.coef_), facts(load.__name__), "mean")


@pytest.mark.parametrize("load, delta", [(engel, 50), (stackloss, 2)], ids=["engel", "stackloss"])
def test_hubers_loss_on_the_same_rows(load, delta):
    X, y = load()
    run = gdcore.fit(X, y, loss=gdcore.losses.huber(delta=delta))
    assert run.status == "converged"
    agrees(with_intercept_first(run.model), facts(load.__name__), f"huber {delta}")
    model = GDRegressor(loss="huber", delta=delta).fit(X, y)
    agrees(np.append(model.intercept_, model.coef_), facts(load.__name__), f"huber {delta}")


@pytest.mark.filterwarnings("ignore::gdcore.UniquenessWarning")  # of the first one
@pytest.mark.parametrize(
    "tau, l1, intercept, slopes",
    [
        (0.5, 0.0, 1, (1, 10)),  # any slope from 1 to 10 is as good
        (0.51, 0.0, 1, (10, 10)),  # targets above cost more: the highest of them
        (0.49, 0.0, 1, (1, 1)),
        (0.5, 0.01, 1, (1, 1)),  # as with a small penalty
        (0.5, 100.0, 2, (0, 0)),  # a large one leaves the median alone
    ],
)
def test_scikit_learns_toy_quantiles(tau, l1, intercept, slopes):
    """The three rows of sklearn/linear_model/tests/test_quantile.py, whose answers can be seen."""
    X, y = [[0.0], [1.0], [1.0]], [1.0, 2.0, 11.0]
    model = gdcore.fit(X, y, loss=gdcore.losses.quantile(tau=tau), l1=l1).model
    estimator = GDRegressor(loss="quantile", tau=tau, l1=l1).fit(X, y)
    for bias, weights in ((model.bias, model.weights), (estimator.intercept_, estimator.coef_)):
        assert bias == pytest.approx(intercept, abs=1e-6)
        assert slopes[0] - 1e-6 <= weights[0] <= slopes[1] + 1e-6


@pytest.mark.filterwarnings("ignore::gdcore.ConditionWarning")  # that such a column is there
@pytest.mark.parametrize("tau, wanted", [(0.05, 1), (0.24, 3), (0.5, 6), (0.77, 9), (0.99, 11)])
@pytest.mark.parametrize("X", [np.zeros((11, 1)), np.full((11, 2), 7.0)], ids=["zeros", "sevens"])
def test_constant_columns_leave_the_quantile_of_the_targets(X, tau, wanted):
    """Of 1 … 11 the τ-quantile is the ⌈11·τ⌉-th: a column without a spread tells nothing."""
    y = np.random.default_rng(0).permutation(np.arange(1.0, 12.0))
    model = gdcore.fit(X, y, loss=gdcore.losses.quantile(tau=tau)).model
    np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-8)


@pytest.mark.filterwarnings("ignore::gdcore.ConditionWarning")
def test_weights_move_the_quantile():
    """Seven in ten of the weight lies on 5, the fifth of nine targets: every quantile from 0.2 to 0.8 is there."""
    y, weights = np.arange(1.0, 10.0), np.where(np.arange(9) == 4, 18.0, 1.0)
    for tau in (0.2, 0.5, 0.8):
        model = gdcore.fit(np.zeros((9, 1)), y, loss=gdcore.losses.quantile(tau=tau), sample_weight=weights).model
        np.testing.assert_allclose(model.predict(np.zeros((1, 1))), 5, rtol=1e-8)


@pytest.mark.parametrize("tau", [0.2, 0.5, 0.8])
def test_regression_quantiles_are_equivariant(tau):
    """Koenker (2005), Quantile Regression, 2.2.3, as scikit-learn tests it: rtol 1e-5, here 1e-7."""
    rng = np.random.default_rng(42)
    X, planted = rng.normal(size=(100, 5)), rng.uniform(10, 100, 5)
    y = X @ planted + rng.exponential(100, 100)

    def best(X, y, tau=tau):
        return with_intercept_first(gdcore.fit(X, y, loss=gdcore.losses.quantile(tau=tau)).model)

    b = best(X, y)
    np.testing.assert_allclose(best(X, 2.5 * y), 2.5 * b, rtol=1e-7)
    np.testing.assert_allclose(best(X, -2.5 * y, 1 - tau), -2.5 * b, rtol=1e-7)
    np.testing.assert_allclose(best(X, y + X @ np.arange(5.0) + 3), b + np.array([3, 0, 1, 2, 3, 4]), rtol=1e-7)
    A = rng.normal(size=(5, 5))
    mixed = best(X @ A, y)
    np.testing.assert_allclose(np.append(mixed[0], A @ mixed[1:]), b, rtol=1e-7)


@pytest.mark.parametrize("tau", [0.05, 0.5, 0.9])
def test_the_share_below_is_tau(tau):
    """At most n·τ rows lie below the plane, and at least n·τ below or on it (Koenker and Bassett 1978, theorem 3.4)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 8))
    y = X @ rng.uniform(0, 100, 8) + rng.normal(size=400)
    residuals = y - gdcore.fit(X, y, loss=gdcore.losses.quantile(tau=tau)).model.predict(X)
    on = np.abs(residuals) <= 1e-7
    assert on.sum() == 9  # as many as there are coefficients
    assert (residuals < -1e-7).sum() <= 400 * tau <= (residuals <= 1e-7).sum()
