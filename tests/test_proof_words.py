"""What proves a gap, in a word: `run.proof`."""

import copy
import pickle

import numpy as np
import pytest

import gdcore
from gdcore.estimators import GDRegressor
from gdcore.facts import gap

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=80)
LABELS = (Y > 0) * 1.0


@pytest.mark.parametrize(
    "targets, options, word",
    [
        (Y, {}, "least squares"),
        (Y, {"l2": 0.1, "lr": 0.01, "epochs": 3}, "least squares"),
        (Y, {"l1": 0.1}, "duality"),
        (Y, {"bounds": (0, 1)}, "duality"),
        (Y, {"loss": "huber"}, "duality"),
        (Y, {"loss": "mae"}, "vertex"),
        (Y, {"loss": "mae", "bounds": (0, 1)}, "duality"),
        (Y, {"loss": "quantile:0.2", "l1": 0.1}, "duality"),
        (np.exp(Y), {"loss": "poisson"}, "duality"),
        (LABELS, {"loss": "logistic"}, "duality"),
        (0 * Y, {"loss": "huber", "bounds": (0, 1)}, "no loss is below 0"),
        (Y, {"model": gdcore.MLP([3, 1]), "epochs": 1}, None),
    ],
)
def test_what_proves_a_gap(targets, options, word):
    run = gdcore.fit(X, targets, **options)
    assert run.proof == word
    assert (run.gap is None) == (word is None)
    for other in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
        assert (other.proof, other.gap) == (run.proof, run.gap)


def test_strong_convexity_where_no_hessian_is_made():
    """With more columns than Hessians are made of, and without a bias."""
    wide = RNG.normal(size=(20, 2100)) / 10
    start = gdcore.Linear(np.zeros(2100), None)
    labels = (wide[:, 0] > 0) * 1.0
    run = gdcore.fit(wide, labels, start, loss="logistic", l2=1.0)
    assert run.proof in (gap.CONVEXITY, gap.DUALITY)
    slope = -wide.T @ (labels - 1 / (1 + np.exp(-wide @ run.model.weights))) / 20 + run.model.weights
    assert run.gap <= slope @ slope / 2 * (1 + 1e-9) + 1e-300


def test_a_run_that_has_no_data_has_no_proof():
    run = pickle.loads(pickle.dumps(gdcore.fit(X, Y)))
    with pytest.raises(RuntimeError, match="cannot tell its gap"):
        _ = run.proof


def test_estimators_say_it_too():
    assert GDRegressor().fit(X, Y).proof_ == "least squares"
    assert GDRegressor("huber").fit(X, Y).proof_ == "duality"
    assert GDRegressor().partial_fit(X, Y).proof_ == "least squares"
    assert GDRegressor(l1=0.1).partial_fit(X, Y).proof_ is None
