"""Log loss of shares, 0 ≤ y ≤ 1: as of their rows one by one, with a proof, and no word of separation where there is none."""

import warnings

import mpmath
import numpy as np
import pytest

import gdcore
from gdcore import fit, losses, scores
from gdcore.backends import BACKENDS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)) * [1, 10, 0.1] + [0, 30, 0]
TRIALS = RNG.integers(1, 9, 40)
WINS = RNG.binomial(TRIALS, 1 / (1 + np.exp(-(X @ [0.5, 0.03, 4.0] - 1))))
Y, S = WINS / TRIALS, TRIALS.astype(np.float64)
EACH = np.repeat(X, TRIALS, axis=0)
LABELS = np.concatenate([np.arange(n) < k for n, k in zip(TRIALS, WINS, strict=True)]).astype(np.float64)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize("options", [{}, {"l2": 0.01}, {"l1": 0.01}, {"bounds": (0, 1)}, {"lr": 0.001, "epochs": 5}], ids=str)
def test_shares_are_as_their_rows_one_by_one(backend, options):
    run = fit(X, Y, loss="logistic", sample_weight=S, backend=backend, **options)
    each = fit(EACH, LABELS, loss="logistic", backend=backend, **options)
    np.testing.assert_allclose(run.model.weights, each.model.weights, rtol=1e-7, atol=1e-10)
    assert run.loss == pytest.approx(each.loss, rel=1e-12)
    assert run.status == each.status
    if "lr" not in options:
        assert run.status == "converged"
        assert 0 <= run.gap <= 1e-9 * run.loss


def deviance(model):
    """Σ s·(log(1 + e^η) − yη)/Σs in 60 digits."""
    with mpmath.workdps(60):
        total = mpmath.mpf(0)
        for x, wins, trials in zip(X.tolist(), WINS.tolist(), TRIALS.tolist(), strict=True):
            raw = mpmath.fdot(x, model.weights.tolist()) + mpmath.mpf(float(model.bias))
            total += trials * mpmath.log1p(mpmath.exp(raw)) - mpmath.mpf(trials) * mpmath.mpf(wins / trials) * raw
        return total / int(TRIALS.sum())


@pytest.mark.parametrize("l2", [0.0, 0.02])
def test_no_model_is_better_by_more_than_the_gap(l2):
    best = fit(X, Y, loss="logistic", sample_weight=S, l2=l2)
    value = deviance(best.model) + l2 / 2 * float(np.sum(best.model.weights**2))
    for size in (1e-9, 1e-6, 1e-3, 0.1, 1.0):
        moved = gdcore.Linear(best.model.weights * (1 + size * RNG.normal(size=3)), float(best.model.bias) + size)
        run = fit(X, Y, moved, loss="logistic", sample_weight=S, l2=l2, epochs=0)
        off = deviance(moved) + l2 / 2 * float(np.sum(moved.weights**2)) - value
        assert run.gap >= off - 1e-15
        assert size > 0.01 or run.gap <= 1.1 * float(off) + 1e-13  # near the end the bound is sharp


def test_the_conjugate_of_a_share():
    """ℓ*(u) = v·log v + (1 − v)·log(1 − v), v = u + y: by trying many ŷ."""
    loss, raw = losses.logistic(), np.linspace(-40, 40, 400001)
    for y, v in zip(RNG.uniform(0, 1, 20), RNG.uniform(0.01, 0.99, 20), strict=True):
        u = v - y
        wanted = np.max(u * raw - loss.value_slope(raw, np.full_like(raw, y))[0])
        found = loss.conjugate(np.array([[u]]), np.array([[y]]))[0, 0]
        assert found == pytest.approx(wanted, abs=1e-8)
    assert np.isinf(loss.conjugate(np.array([[0.6]]), np.array([[0.5]])))


def test_shares_that_a_plane_parts_have_best_weights():
    """All above a half on one side, all below on the other: no weights grow for ever, and nobody says so."""
    x = np.linspace(-1, 1, 20)[:, None]
    y = np.where(x[:, 0] > 0, 0.9, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = fit(x, y, loss="logistic")
    assert run.status == "converged"
    assert run.gap <= 1e-9 * run.loss
    mixed = np.where(x[:, 0] > 0, 1.0, 0.0)
    mixed[3] = 0.5  # one share among labels holds the weights back
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(x, mixed, loss="logistic").status == "converged"
    with pytest.warns(gdcore.SeparationWarning):
        fit(x, np.where(x[:, 0] > 0, 1.0, 0.0), loss="logistic")


def test_shares_near_one_another_are_told_apart():
    """The loss of the best constant is nearly all of the loss: what is left above it decides."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 2))
    y = 0.5 + 1e-5 * (x @ [1.0, -2.0] + rng.normal(size=200)).clip(-4, 4)
    run = fit(x, y, loss="logistic")
    slope = x.T @ (1 / (1 + np.exp(-(x @ run.model.weights + run.model.bias))) - y) / 200
    # a loss within 1e-10 of the best one would leave a slope of √(2·¼·1e-10·log 2) = 6e-6, as large as where the fit begins
    assert np.abs(slope).max() < 1e-8


def test_what_is_no_share_and_who_wants_labels():
    with pytest.raises(ValueError, match=r"Y\[0\] is 1.5: this loss wants 0 or 1, or shares between them"):
        fit(X, np.full(40, 1.5), loss="logistic")
    with pytest.raises(ValueError, match=r"wants 0 or 1, or shares"):
        fit(X, np.full(40, -0.1), loss="logistic")
    run = fit(X, Y, loss="logistic", sample_weight=S, validation=(X, Y))
    with pytest.raises(ValueError, match="logistic wants 0 or 1"):
        scores.score(run.model, X, Y)
    network = fit(X / [1, 30, 0.1], Y, gdcore.MLP([3, 1]), loss="logistic", epochs=3)
    assert np.isfinite(network.loss)


def test_rows_in_dask_may_be_shares():
    da = pytest.importorskip("dask.array")
    run = fit(da.from_array(X, chunks=(13, 3)), da.from_array(Y, chunks=13), loss="logistic")
    np.testing.assert_allclose(run.model.weights, fit(X, Y, loss="logistic").model.weights, rtol=1e-9)
