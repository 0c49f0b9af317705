"""Standard errors, p-values and intervals, against statsmodels on other people's data, and against plain formulas."""

import importlib.util
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

import gdcore
from gdcore import Linear, fit, inference
from gdcore.covariance import tails

STORED = json.loads((Path(__file__).parent / "data" / "amounts.json").read_text())
TABLE = dict(zip(STORED["columns"], np.array(STORED["rows"], np.float64).T, strict=True))
X = np.column_stack([TABLE["age"], TABLE["power"], TABLE["old"]])
S = TABLE["exposure"]
RNG = np.random.default_rng(3)
Y = X @ [0.5, -0.2, 10.0] + 7 + RNG.normal(size=80) * (1 + TABLE["age"] / 20)
GROUPS = np.repeat(np.arange(16), 5)
B = np.where(Y + 8 * RNG.normal(size=80) > np.median(Y), 1.0, 0.0)
CLASSES = np.digitize(Y + 8 * RNG.normal(size=80), np.quantile(Y, [0.3, 0.6])).astype(float)


@pytest.fixture
def sm():
    """statsmodels, where it is installed; it warns of its own matters."""
    if importlib.util.find_spec("statsmodels") is None:
        pytest.skip("statsmodels is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import statsmodels.api as sm

        yield sm


def without_correction(cov_type):
    """statsmodels makes no correction for the number of weights but in least squares: HC1 is HC0 there."""
    return "HC0" if cov_type == "HC1" else cov_type


def same(found, other, digits=7, corrected=False):
    """All that statsmodels tells under these names; corrected: but for HC1's n/(n − p)."""
    if corrected:
        factor = found.nobs / found.df_resid
        np.testing.assert_allclose(found.params, np.asarray(other.params), rtol=10.0**-digits)
        np.testing.assert_allclose(found.cov_params(), factor * np.asarray(other.cov_params()), rtol=10.0**-digits)
        return
    tight = {"rtol": 10.0**-digits}
    for name in ("params", "bse", "tvalues", "pvalues"):
        np.testing.assert_allclose(getattr(found, name), np.asarray(getattr(other, name)), **tight, atol=1e-14, err_msg=name)
    np.testing.assert_allclose(found.cov_params(), np.asarray(other.cov_params()), **tight, atol=1e-12)
    if found.params.ndim == 1:
        np.testing.assert_allclose(found.conf_int(0.1), np.asarray(other.conf_int(0.1)), **tight, atol=1e-9)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster"])
@pytest.mark.parametrize("weighted", [False, True])
def test_least_squares(sm, cov_type, weighted):
    s = S if weighted else None
    more = {"groups": GROUPS} if cov_type == "cluster" else {}
    found = inference(fit(X, Y, sample_weight=s), X, Y, s, cov_type, **more)
    other = sm.WLS(Y, sm.add_constant(X), 1.0 if s is None else s).fit(cov_type=cov_type, cov_kwds=more or None)
    same(found, other)
    for name in ("llf", "aic", "bic", "rsquared", "rsquared_adj", "scale", "nobs", "df_model", "df_resid"):
        assert getattr(found, name) == pytest.approx(getattr(other, name), rel=1e-9), name
    assert found.use_t == bool(other.use_t)


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC1", "cluster"])
def test_logistic(sm, cov_type):
    more = {"groups": GROUPS} if cov_type == "cluster" else {}
    found = inference(fit(X, B, loss="logistic"), X, B, cov_type=cov_type, **more)
    other = sm.Logit(B, sm.add_constant(X)).fit(
        disp=0, tol=1e-12, cov_type=without_correction(cov_type), cov_kwds=more or None
    )
    same(found, other, corrected=cov_type == "HC1")
    for name in ("llf", "aic", "bic"):
        assert getattr(found, name) == pytest.approx(getattr(other, name), rel=1e-9), name


@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC1"])
def test_softmax(sm, cov_type):
    found = inference(fit(X, CLASSES, loss="softmax"), X, CLASSES, cov_type=cov_type)
    how = without_correction(cov_type)
    other = sm.MNLogit(CLASSES, sm.add_constant(X)).fit(disp=0, tol=1e-12, method="newton", cov_type=how)
    np.testing.assert_allclose(found.params, other.params, rtol=1e-6)
    np.testing.assert_allclose(found.bse, other.bse * np.sqrt(80 / 72 if cov_type == "HC1" else 1), rtol=1e-6)
    if cov_type != "HC1":
        np.testing.assert_allclose(found.pvalues, other.pvalues, rtol=1e-5, atol=1e-12)
    assert found.llf == pytest.approx(other.llf, rel=1e-9)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
@pytest.mark.parametrize("cov_type", ["nonrobust", "HC0", "HC1", "cluster"])
@pytest.mark.parametrize("weights", [None, "precision", "frequency"])
def test_amounts(sm, loss, cov_type, weights):
    y = TABLE[{"poisson": "counts", "gamma": "sizes", "tweedie": "claims"}[loss]]
    log = sm.families.links.Log()
    family = {"poisson": sm.families.Poisson(), "gamma": sm.families.Gamma(log), "tweedie": sm.families.Tweedie(log, 1.5)}[
        loss
    ]
    s = {None: None, "precision": S, "frequency": np.ceil(4 * S)}[weights]
    if weights == "frequency" and cov_type in ("HC1", "cluster"):
        pytest.skip("statsmodels counts rows there, not what they stand for")
    more = {"groups": GROUPS} if cov_type == "cluster" else {}
    given = {} if s is None else {"freq_weights" if weights == "frequency" else "var_weights": s}
    found = inference(fit(X, y, loss=loss, sample_weight=s), X, y, s, cov_type, weights=weights or "precision", **more)
    how = {"tol": 1e-13, "maxiter": 200, "cov_type": without_correction(cov_type)}
    other = sm.GLM(y, sm.add_constant(X), family, **given).fit(**how, cov_kwds=more or None)
    if weights == "frequency" and cov_type == "HC0":  # each copy of a row is a row
        X2, y2 = np.repeat(X, s.astype(int), axis=0), np.repeat(y, s.astype(int))
        other = sm.GLM(y2, sm.add_constant(X2), family).fit(**how)
    same(found, other, 6, corrected=cov_type == "HC1")
    assert found.deviance == pytest.approx(other.deviance, rel=1e-8)
    assert found.pearson_chi2 == pytest.approx(other.pearson_chi2, rel=1e-7)
    if loss == "poisson" and weights is None:
        assert found.llf == pytest.approx(other.llf, rel=1e-9)
        assert found.aic == pytest.approx(other.aic, rel=1e-9)


@pytest.mark.parametrize("tau", [0.25, 0.5, 0.8])
def test_quantiles_have_a_kernel_sandwich(sm, tau):
    data = json.loads((Path(__file__).parent / "data" / "engel.json").read_text())
    income, food = np.array(data["rows"], np.float64).T
    run = fit(income[:, None], food, loss="quantile", tau=tau)
    found = inference(run, income[:, None], food)
    other = sm.QuantReg(food, sm.add_constant(income)).fit(q=tau, p_tol=1e-10, max_iter=5000)
    np.testing.assert_allclose(found.params, other.params, rtol=1e-4)
    # statsmodels stops near the best, and takes the rows that lie on it for rows below it: two of 235.
    np.testing.assert_allclose(found.bse, other.bse, rtol=0.02)
    assert found.use_t


def test_huber_has_hubers_own_covariance(sm):
    run = fit(X, Y, loss="huber:3.0")
    found = inference(run, X, Y)
    Z = sm.add_constant(X)
    r = Y - Z @ found.params
    psi, flat = np.clip(r, -3, 3), (np.abs(r) <= 3) * 1.0
    m = flat.mean()
    K = 1 + 4 / 80 * flat.var() / m**2
    np.testing.assert_allclose(found.cov_params(), K**2 * (psi @ psi / 76) / m**2 * np.linalg.inv(Z.T @ Z), rtol=1e-9)
    robust = inference(run, X, Y, cov_type="HC0")
    bread = np.linalg.inv(Z.T @ (Z * flat[:, None]))
    np.testing.assert_allclose(robust.cov_params(), bread @ (Z.T @ (Z * psi[:, None] ** 2)) @ bread, rtol=1e-9)


def test_leverage_of_a_generalised_model():
    """HC3 of poisson, by the plain formula."""
    run = fit(X, TABLE["counts"], loss="poisson")
    found = inference(run, X, TABLE["counts"], cov_type="HC3")
    Z = np.column_stack([np.ones(80), X])
    mu = np.exp(Z @ found.params)
    bread = np.linalg.inv(Z.T @ (Z * mu[:, None]))
    h = mu * np.einsum("ni,ij,nj->n", Z, bread, Z)
    u = (TABLE["counts"] - mu) / (1 - h)
    np.testing.assert_allclose(found.cov_params(), bread @ (Z.T @ (Z * u[:, None] ** 2)) @ bread, rtol=1e-8)


def test_columns_far_from_0_and_of_any_size():
    """The errors of the weights do not know where the columns' zeros are, and go with their units."""
    plain = inference(fit(X, Y), X, Y, cov_type="HC1")
    far = X * [1e6, 1e-6, 1.0] + [1e9, -1.0, 1e6]
    found = inference(fit(far, Y), far, Y, cov_type="HC1")
    np.testing.assert_allclose(found.bse[1:] * [1e6, 1e-6, 1.0], plain.bse[1:], rtol=1e-7)
    np.testing.assert_allclose(found.pvalues[1:], plain.pvalues[1:], rtol=1e-5)


def test_without_a_bias(sm):
    found = inference(fit(X, Y, Linear(np.zeros(3))), X, Y)
    other = sm.OLS(Y, X).fit()
    same(found, other)
    assert (found.names, found.df_model, found.rsquared) == (["x1", "x2", "x3"], 3, pytest.approx(other.rsquared, rel=1e-9))


def test_a_table_tells_the_same_and_its_names(tmp_path):
    np.savetxt(tmp_path / "t.csv", np.column_stack([X, Y]), delimiter=",", header="age,power,old,y", comments="", fmt="%.17g")
    table = gdcore.open_table(tmp_path / "t.csv", "y")
    found, wanted = inference(fit(table), table), inference(fit(X, Y), X, Y)
    np.testing.assert_allclose(found.bse, wanted.bse, rtol=1e-9)
    assert found.names == ["const", "age", "power", "old"]
    with pytest.raises(ValueError, match="cov_type 'cluster' is for arrays"):
        inference(fit(table), table, cov_type="cluster", groups=GROUPS)


def test_many_pieces_are_one():
    rng = np.random.default_rng(0)
    X, s = rng.normal(size=(300_000, 5)), rng.uniform(0, 2, 300_000)
    y = X.sum(axis=1) + rng.normal(size=300_000)
    groups = rng.integers(0, 100, 300_000)
    run = fit(X, y, sample_weight=s)
    for cov_type in ("HC3", "cluster"):
        found = inference(run, X, y, s, cov_type, groups=groups if cov_type == "cluster" else None)
        Z = np.column_stack([np.ones(len(X)), X])
        bread = np.linalg.inv(Z.T @ (Z * s[:, None]))
        u = s * (y - Z @ found.params)
        if cov_type == "HC3":
            u = u / (1 - s * np.einsum("ni,ij,nj->n", Z, bread, Z))
            meat = Z.T @ (Z * u[:, None] ** 2)
        else:
            sums = np.array([np.bincount(groups, u * column) for column in Z.T])
            meat = sums @ sums.T * 100 / 99 * (len(X) - 1) / (len(X) - 6)
        np.testing.assert_allclose(found.cov_params(), bread @ meat @ bread, rtol=1e-8, atol=1e-15)


def test_targets_that_the_columns_explain_wholly():
    """What is left is rounding, of which errors are made that are as small."""
    y = X @ [1.0, 2.0, 3.0] + 4
    found = inference(fit(X, y), X, y)
    np.testing.assert_allclose(found.params, [4, 1, 2, 3], rtol=1e-9)
    assert (found.bse < 1e-9).all()
    assert found.rsquared == pytest.approx(1, abs=1e-12)


def test_rows_in_dask():
    da = pytest.importorskip("dask.array")
    for loss, y, cov_type in (("mse", Y, "HC3"), ("logistic", B, "nonrobust"), ("mae", Y, "nonrobust")):
        run = fit(X, y, loss=loss)
        wanted = inference(run, X, y, cov_type=cov_type)
        found = inference(run, da.from_array(X, chunks=(30, 3)), da.from_array(y, chunks=30), cov_type=cov_type)
        np.testing.assert_allclose(found.bse, wanted.bse, rtol=1e-9)


# What is refused ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [{"l2": 1.0}, {"l1": 1.0}], ids=str)
def test_penalised_weights_have_no_errors(penalty):
    run = fit(X, Y, **penalty)
    with pytest.raises(ValueError, match=r"the weights are not the best ones for these rows: it is least .* standard errors"):
        inference(run, X, Y)


def test_what_is_refused():
    run = fit(X, Y)
    with pytest.raises(ValueError, match="the weights are not the best ones"):
        inference(run, X, Y + X[:, 0])
    twice = np.column_stack([X, X[:, 0] + X[:, 1]])
    with pytest.warns(gdcore.ConditionWarning):
        more = fit(twice, Y)
    with pytest.raises(ValueError, match="dependent columns have no errors: column 3 is a sum of 0 and 1"):
        inference(more, twice, Y)
    with pytest.raises(ValueError, match="4 rows tell no errors of 4 weights"):
        inference(fit(X[:4], Y[:4]), X[:4], Y[:4])
    with pytest.raises(TypeError, match="found MLP"):
        inference(gdcore.MLP([3, 1]), X, Y)
    with pytest.raises(TypeError, match="the model is not trained"):
        inference(Linear([1.0, 2.0, 3.0]), X, Y)
    with pytest.raises(ValueError, match=r"cov_type must be 'nonrobust', .* or 'cluster', found 'hc0'"):
        inference(run, X, Y, cov_type="hc0")
    with pytest.raises(ValueError, match="cov_type 'cluster' needs groups"):
        inference(run, X, Y, cov_type="cluster")
    with pytest.raises(ValueError, match="cov_type 'HC1' takes no groups"):
        inference(run, X, Y, cov_type="HC1", groups=GROUPS)
    with pytest.raises(ValueError, match=r"groups must have shape \(80,\)"):
        inference(run, X, Y, cov_type="cluster", groups=GROUPS[:-1])
    with pytest.raises(ValueError, match="for one output, found 2"):
        inference(fit(X, np.column_stack([Y, Y])), X, np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match="cov_type 'HC1' is not for quantiles"):
        inference(fit(X, Y, loss="mae"), X, Y, cov_type="HC1")
    with pytest.raises(ValueError, match="Y must have 1 column for a model of mse with 1 outputs, found 2"):
        inference(run, X, np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match=r"Y\[0\] is .*: logistic wants 0 or 1"):
        inference(fit(X, B, loss="logistic"), X, Y)
    with pytest.raises(TypeError, match="groups must be numbers, or texts, one for each row, found values of NoneType, str"):
        inference(run, X, Y, cov_type="cluster", groups=["a", None] * 40)
    alone = np.column_stack([X, np.arange(80) == 7])
    with pytest.raises(ValueError, match=r"a row has leverage 1, .* take cov_type='HC1'"):
        inference(fit(alone, Y), alone, Y, cov_type="HC3")
    with pytest.raises(TypeError, match="Y is missing"):
        inference(run, X)
    with pytest.raises(ValueError, match="alpha must be above 0 and below 1"):
        inference(run, X, Y).conf_int(0)


# The table, and the tails ---------------------------------------------------------------------------------------------------


def test_the_summary():
    found = inference(fit(X, Y), X, Y)
    text = str(found.summary())
    lines = text.splitlines()
    assert repr(found) == text
    assert "rows: 80" in lines
    assert "degrees of freedom: model 3, residuals 76" in lines
    assert lines[-5].split() == ["coef", "std", "err", "t", "P>|t|", "[0.025", "0.975]"]
    assert [line.split()[0] for line in lines[-4:]] == ["const", "x1", "x2", "x3"]
    assert float(lines[-3].split()[1]) == pytest.approx(found.params[1], rel=1e-4)
    html = found.summary(0.1)._repr_html_()
    assert "<th>[0.05</th><th>0.95]</th>" in html
    assert html.count("<tr>") == len(lines) - 1


# By mpmath, 30 digits: 2·P(T ≥ t) of ν degrees of freedom, None: normal.
TAILS = json.loads((Path(__file__).parent / "data" / "tails.json").read_text())["tails"]


@pytest.mark.parametrize("value, freedom, wanted", TAILS)
def test_tails(value, freedom, wanted):
    assert tails.two_sided(value, freedom) == pytest.approx(wanted, rel=1e-12, abs=0)
    assert tails.two_sided(-value, freedom) == tails.two_sided(value, freedom)
    if 1e-300 < wanted < 1:
        assert tails.quantile(wanted, freedom) == pytest.approx(value, rel=1e-10)


def test_the_ends_of_tails():
    assert tails.two_sided(0.0, 5) == tails.two_sided(0.0) == 1
    assert tails.two_sided(math.inf, 5) == tails.two_sided(math.inf) == 0
    assert math.isnan(tails.two_sided(math.nan, 5))
