"""Calibration, coverage, F1, and weights of rows in all measures: against scikit-learn on the same rows."""

import re

import numpy as np
import pytest

from gdcore.scores import measures

metrics = pytest.importorskip("sklearn.metrics")


def classified(n=2000, k=2, seed=0):
    """Targets, scores whose first digit alone is kept so that many are equal, weights of which some are 0."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, k, n)
    return targets, np.round(targets + 1.5 * rng.normal(size=n), 1), rng.integers(0, 4, n) * 0.5


def test_the_roc_curve_and_its_area_count_rows_by_their_weights():
    targets, scores, s = classified()
    used = s > 0  # scikit-learn keeps thresholds that no row of any weight has
    false, true, _ = metrics.roc_curve(targets[used], scores[used], sample_weight=s[used], drop_intermediate=False)
    ours = measures.roc(targets, scores, s)
    np.testing.assert_allclose(ours, [false, true], rtol=1e-12)
    area = metrics.roc_auc_score(targets, scores, sample_weight=s)
    assert measures.auc(targets, scores, s) == pytest.approx(area, rel=1e-12)
    repeated = (2 * s).astype(int)
    assert measures.auc(np.repeat(targets, repeated), np.repeat(scores, repeated)) == pytest.approx(
        measures.auc(targets, scores, s), rel=1e-12
    )
    assert measures.auc(targets[used], scores[used], s[used]) == measures.auc(targets, scores, s)
    with pytest.raises(ValueError, match="all 2 of positive weight are of class 1"):
        measures.auc([0, 1, 1], [0.1, 0.2, 0.3], [0.0, 1.0, 1.0])


@pytest.mark.parametrize("weighted", [False, True])
def test_f1_of_each_class_is_that_of_scikit_learn(weighted):
    targets, scores, s = classified(k=4)
    s = s if weighted else None
    found = np.clip(np.round(scores), 0, 3).astype(int)
    matrix = measures.confusion(targets, found, 4, s)
    np.testing.assert_allclose(matrix, metrics.confusion_matrix(targets, found, sample_weight=s), rtol=1e-12)
    np.testing.assert_allclose(
        measures.f1(matrix), metrics.f1_score(targets, found, average=None, sample_weight=s), rtol=1e-12
    )
    assert measures.f1([[3, 1, 0], [0, 0, 0], [0, 0, 0]]).tolist() == pytest.approx([6 / 7, 0.0, np.nan], nan_ok=True)


@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_by_a_loop_over_tenths(weighted):
    rng = np.random.default_rng(1)
    p = rng.random(3000) ** 2
    p[p > 0.8] = 0.3  # two tenths are empty
    true = rng.random(3000) < p**1.3
    s = rng.integers(0, 3, 3000).astype(float) if weighted else np.ones(3000)
    found = measures.calibration(true, p, s if weighted else None)
    error = 0.0
    for j in range(10):
        rows = (p > j / 10) & (p <= (j + 1) / 10) & (s > 0)
        assert found.weight[j] == s[rows].sum()
        if not rows.any():
            assert np.isnan(found.predicted[j])
            continue
        assert found.predicted[j] == pytest.approx(np.average(p[rows], weights=s[rows]), rel=1e-12)
        assert found.observed[j] == pytest.approx(np.average(true[rows], weights=s[rows]), rel=1e-12)
        error += s[rows].sum() / s.sum() * abs(found.observed[j] - found.predicted[j])
    assert found.error == pytest.approx(error, rel=1e-12)
    if not weighted:
        from sklearn.calibration import calibration_curve

        observed, predicted = calibration_curve(true, p, n_bins=10)
        np.testing.assert_allclose(found.observed[found.weight > 0], observed, rtol=1e-12)
        np.testing.assert_allclose(found.predicted[found.weight > 0], predicted, rtol=1e-12)


def test_calibration_of_no_rows_has_no_error():
    assert np.isnan(measures.calibration([], []).error)


def test_coverage_counts_rows_by_their_weights():
    rng = np.random.default_rng(2)
    y, p, s = rng.normal(size=500), rng.normal(size=500), rng.integers(0, 4, 500)
    found = measures.coverage(y, p, s.astype(float))
    repeated = np.repeat(y <= p, s)
    assert found.share == pytest.approx(repeated.mean(), rel=1e-12)
    assert len(found.predicted) == 10
    assert (np.diff(found.predicted) > 0).all()
    plain = measures.coverage(y, p)
    assert plain.observed.mean() == pytest.approx((y <= p).mean(), rel=1e-12)  # groups of one size
    assert np.isnan(measures.coverage([], []).share)
    assert measures.coverage([1.0, 2.0], [1.0, 1.0]).share == 0.5  # at the prediction counts


A_ROW = "one value a row, found shape"
SQUARE = "a row and a column for each class, found shape"
OF_TWO = "a confusion matrix wants classes 0 … 1, for k = 2"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: measures.auc([0, 1, 1], [0.1, 0.2]), f"scores must have shape (3,), {A_ROW} (2,)"),
        (lambda: measures.roc([0, 1], [[0.1], [0.2]]), f"scores must have shape (2,), {A_ROW} (2, 1)"),
        (lambda: measures.auc([[0], [1]], [0.1, 0.2]), f"targets must have shape (n,), {A_ROW} (2, 1)"),
        (lambda: measures.auc([0, 1], [0.1, 0.2], [1]), f"sample_weight must have shape (2,), {A_ROW} (1,)"),
        (lambda: measures.auc([1, 2], [0.1, 0.2]), "targets[1] is 2.0: a ROC curve wants 0 or 1"),
        (lambda: measures.confusion([0, 1], [2, 1], 2), f"classes[0] is 2.0: {OF_TWO}"),
        (lambda: measures.confusion([0, -1], [0, 1], 2), f"targets[1] is -1.0: {OF_TWO}"),
        (lambda: measures.confusion([0, 1], [0, 1, 1], 2), f"classes must have shape (2,), {A_ROW} (3,)"),
        (lambda: measures.f1([1, 2]), f"matrix must have shape (k, k), {SQUARE} (2,)"),
        (lambda: measures.f1([[1, 2]]), f"matrix must have shape (k, k), {SQUARE} (1, 2)"),
        (lambda: measures.calibration([0, 2], [0.1, 0.9]), "true[1] is 2.0: a calibration wants 0 or 1"),
        (lambda: measures.calibration([0], [0.1, 0.9]), f"probabilities must have shape (1,), {A_ROW} (2,)"),
        (lambda: measures.coverage([0.0], [0.1, 0.9]), f"predictions must have shape (1,), {A_ROW} (2,)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_told(call, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        call()


def test_scores_without_a_sign_rank_as_they_are():
    assert measures.auc([0, 0, 1], np.array([0, 1, 2], np.uint8)) == 1.0
