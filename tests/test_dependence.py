"""Columns that are sums of others are named: by fit, by the estimators, by the command line."""

import warnings

import numpy as np
import pytest

from gdcore import ConditionWarning, fit
from gdcore.facts.dependence import alike, dependent
from gdcore.rows.moments import Moments


def data(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)), rng.normal(size=n)


def dependent_by_ranks(X, bias):
    """The columns that do not raise the rank of those before them."""
    Z = np.column_stack([np.ones(len(X)), X]) if bias else X
    ranks = [np.linalg.matrix_rank(Z[:, : j + 1]) for j in range(Z.shape[1])]
    return [j - bias for j in range(Z.shape[1]) if ranks[j] == (ranks[j - 1] if j else 0)]


CASES = {
    "twice": lambda X: np.column_stack([X, 3 * X[:, 1]]),
    "sum": lambda X: np.column_stack([X, X[:, 0] - 2 * X[:, 2]]),
    "constant": lambda X: np.column_stack([X[:, :2], np.full(len(X), 7.0), X[:, 2:]]),
    "zero": lambda X: np.column_stack([X, 0 * X[:, 0]]),
    "far from 0": lambda X: np.column_stack([X, X[:, 0] + 1e5]),
    "other units": lambda X: np.column_stack([1e6 * X, 1e-6 * (X[:, 0] + X[:, 3])]),
    "one-hot": lambda X: np.eye(3)[np.arange(len(X)) % 3],
    "more columns than rows": lambda X: X[:3],
    "none": lambda X: X,
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_the_columns_that_do_not_raise_the_rank_are_found(name, bias):
    X = CASES[name](data()[0])
    assert [column for column, _ in dependent(Moments.of(X), bias)] == dependent_by_ranks(X, bias)


@pytest.mark.parametrize(
    "name, text",
    [
        ("twice", "1 of 5 columns of X depend on others: column 4 is a multiple of 1 and a constant."),
        ("sum", "1 of 5 columns of X depend on others: column 4 is a sum of 0 and 2."),
        ("constant", "1 of 5 columns of X depend on others: column 2 is constant as the bias is."),
        ("one-hot", "1 of 3 columns of X depend on others: column 2 is a sum of 0 and 1."),
    ],
)
def test_fit_names_them(name, text):
    X, Y = data()
    X = CASES[name](X)
    with pytest.warns(ConditionWarning) as told:
        run = fit(X, Y)
    assert str(told[0].message) == f"{text} Other weights fit as well as these; drop columns, or give l2 a value"
    Z = np.column_stack([X, np.ones(len(X))])
    best = np.mean((Z @ np.linalg.lstsq(Z, Y, rcond=None)[0] - Y) ** 2)
    assert run.loss == pytest.approx(best, rel=1e-9)


def test_a_penalty_tells_them_apart():
    X, Y = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(CASES["sum"](X), Y, l2=0.1)


def test_the_estimator_names_them():
    estimators = pytest.importorskip("gdcore.estimators")
    X, Y = data()
    with pytest.warns(ConditionWarning, match="column 4 is a sum of 0 and 2"):
        estimators.GDRegressor().fit(CASES["sum"](X), Y)


def test_the_command_line_names_them(tmp_path, python):
    X, Y = data()
    X = CASES["sum"](np.round(X * 1000))
    np.savetxt(tmp_path / "a.csv", np.column_stack([X, Y]), delimiter=",", header="a,b,c,d,e,y", comments="")
    result = python(f"from gdcore import cli; cli.main(['train', {str(tmp_path / 'a.csv')!r}, '--target', 'y'])")
    assert "column e is a sum of a and c" in result.stdout + result.stderr


@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-4])
@pytest.mark.parametrize("bias", [True, False])
def test_columns_that_others_explain_nearly_are_found(noise, bias):
    """The variance inflation factor of a column is 1/(1 − R²), R² that of a regression of it on the others."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 5)) * [1, 1e3, 1e-3, 1, 1]
    X = np.column_stack([X, X[:, 0] + 1e-3 * X[:, 1] + noise * rng.normal(size=300)])
    factors = []
    for j in range(6):
        others = np.delete(X, j, axis=1)
        Z = np.column_stack([others, np.ones(300)]) if bias else others
        Z = Z / np.linalg.norm(Z, axis=0)
        left = X[:, j] - Z @ np.linalg.lstsq(Z, X[:, j], rcond=None)[0]
        own = X[:, j] - X[:, j].mean() if bias else X[:, j]
        factors.append(own @ own / (left @ left))
    assert alike(Moments.of(X), bias) == sorted(np.flatnonzero(np.array(factors) >= 1000), key=lambda j: -factors[j])
    assert len(alike(Moments.of(X), bias)) == (3 if noise < 0.05 else 0)


def test_columns_that_rounding_hides_are_named():
    """A multiple of another to 12 digits: no proof tells them apart, but the message tells which they are."""
    X, Y = data(200)
    X = np.column_stack([X, 20 * X[:, 1] * (1 + 1e-13 * np.arange(200))])
    with pytest.warns(
        ConditionWarning, match="so nearly dependent.*: but for rounding, column 4 is a multiple of 1 and a constant. N"
    ):
        fit(X, Y)
