"""`gdcore.path` of squared error: against plain ridge and coordinate descent, fold by fold."""

import threading

import numpy as np
import pytest

import gdcore
from gdcore.backends import BACKENDS
from gdcore.paths.folds import Drawn
from gdcore.paths.squared import Squared
from gdcore.rows.moments import Moments
from gdcore.rows.tables import Piece, Table

RATIOS = (0.0, 0.5, 1.0)


def problem(n=120, d=6, seed=0, far=0.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.geomspace(0.1, 10, d) + far
    w = np.where(np.arange(d) % 2 == 0, 1.0, 0.0) / np.geomspace(0.1, 10, d)
    return X, X @ w + rng.standard_normal(n) + far


def spreads(X, s=None):
    s = np.ones(len(X)) if s is None else s
    mean = s @ X / s.sum()
    return np.sqrt(s @ (X - mean) ** 2 / s.sum())


def objective(X, y, w, b, l1, l2, sigma, s=None):
    s = np.ones(len(X)) if s is None else s
    return s @ (y - X @ w - b) ** 2 / s.sum() + l1 * np.sum(sigma * np.abs(w)) + l2 / 2 * np.sum((sigma * w) ** 2)


def solved(X, y, l1, l2, sigma, s=None):
    """The best weights and bias: ridge by a linear system, else coordinate descent on centred columns until nothing moves."""
    s = np.ones(len(X)) if s is None else s
    mean, level = s @ X / s.sum(), s @ y / s.sum()
    Z, r = (X - mean) / sigma, y - level
    A, q = 2 * (Z.T * s) @ Z / s.sum() + l2 * np.eye(X.shape[1]), 2 * Z.T @ (s * r) / s.sum()
    if l1 == 0:
        v = np.linalg.solve(A, q)
    else:
        v = np.zeros(len(q))
        for _ in range(20_000):
            before = v.copy()
            for j in range(len(v)):
                left = q[j] - A[j] @ v + A[j, j] * v[j]
                v[j] = np.sign(left) * max(abs(left) - l1, 0) / A[j, j]
            if np.abs(v - before).max() <= 1e-15 * np.abs(v).max():
                break
    w = v / sigma
    return w, level - mean @ w


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("ratio", RATIOS)
def test_every_point_is_the_best_of_its_objective(ratio, standardize):
    X, y = problem()
    sigma = spreads(X) if standardize else np.ones(X.shape[1])
    found = gdcore.path(X, y, l1_ratio=ratio, penalties=12, standardize=standardize)
    for i, penalty in enumerate(found.penalties):
        w, b = solved(X, y, penalty * ratio, penalty * (1 - ratio), sigma)
        np.testing.assert_allclose(found.weights[i] * sigma, w * sigma, rtol=0, atol=1e-11 * np.abs(y).max())
        assert found.bias[i] == pytest.approx(b, abs=1e-10 * np.abs(y).max())
        assert found.train_loss[i] == pytest.approx(np.mean((y - X @ w - b) ** 2), rel=1e-11)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("ratio", RATIOS)
def test_each_fold_is_a_fit_of_the_other_folds_rows(ratio, standardize):
    X, y = problem()
    s = np.random.default_rng(5).uniform(0.5, 2, len(X))
    found = gdcore.path(X, y, l1_ratio=ratio, penalties=8, cv=4, seed=3, sample_weight=s, standardize=standardize)
    numbers = Drawn(4, 3).of(0, len(X))
    for k in range(4):
        train, test = numbers != k, numbers == k
        sigma = spreads(X[train], s[train]) if standardize else np.ones(X.shape[1])
        again = gdcore.path(
            X[train], y[train], l1_ratio=ratio, penalties=found.penalties, standardize=standardize, sample_weight=s[train]
        )
        for i, penalty in enumerate(found.penalties):
            w, b = solved(X[train], y[train], penalty * ratio, penalty * (1 - ratio), sigma, s[train])
            np.testing.assert_allclose(again.weights[i], w, rtol=1e-9, atol=1e-9 * np.abs(w).max() + 1e-300)
            loss = s[test] @ (y[test] - X[test] @ w - b) ** 2 / s[test].sum()
            assert found.fold_loss[k, i] == pytest.approx(loss, rel=1e-9)
        assert found.fold_weight[k] == pytest.approx(s[test].sum(), rel=1e-14)


@pytest.mark.parametrize("ratio", RATIOS)
def test_points_are_what_fit_finds_with_the_same_penalties(ratio):
    X, y = problem()
    found = gdcore.path(X, y, l1_ratio=ratio, penalties=6, standardize=False)
    for i in range(6):
        run = gdcore.fit(X, y, l1=found.l1(i), l2=found.l2(i))
        np.testing.assert_allclose(found.weights[i], run.model.weights, rtol=0, atol=1e-9 * np.abs(y).max())


def test_the_mean_over_folds_and_its_error_are_by_the_folds_weights():
    X, y = problem(n=47)
    found = gdcore.path(X, y, cv=5, penalties=7)
    assert sorted(found.fold_weight) == [9, 9, 9, 10, 10]
    for i in range(7):
        mean = sum(w * v for w, v in zip(found.fold_weight, found.fold_loss[:, i], strict=True)) / 47
        square = sum(w * (v - mean) ** 2 for w, v in zip(found.fold_weight, found.fold_loss[:, i], strict=True)) / 47
        assert found.cv_loss[i] == pytest.approx(mean, rel=1e-13)
        assert found.cv_error[i] == pytest.approx(np.sqrt(square / 4), rel=1e-11)
    assert found.best == min(range(7), key=lambda i: found.cv_loss[i])
    limit = found.cv_loss[found.best] + found.cv_error[found.best]
    assert found.one_standard_error == next(i for i in range(7) if found.cv_loss[i] <= limit)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_the_first_penalty_is_the_smallest_that_leaves_no_weight(ratio, standardize):
    for seed in range(20):
        X, y = problem(seed=seed, n=40)
        found = gdcore.path(X, y, l1_ratio=ratio, penalties=3, standardize=standardize)
        assert not found.weights[0].any()
        below = gdcore.path(X, y, l1_ratio=ratio, penalties=[found.penalties[0] * (1 - 1e-13)], standardize=standardize)
        assert below.nonzero[0] == 1
        assert found.penalties[-1] == pytest.approx(found.penalties[0] * 1e-4, rel=1e-12)


def test_the_penalties_of_ridge_are_those_of_the_curvature_whatever_the_units_of_the_targets_are():
    X, y = problem()
    for target in (y, 1e6 * y):
        found = gdcore.path(X, target, l1_ratio=0)
        np.testing.assert_allclose(found.penalties, np.geomspace(2e3, 2e-4, 100), rtol=1e-12)
    largest = gdcore.path(X, y, l1_ratio=0, standardize=False).penalties[0]
    assert largest == pytest.approx(2e3 * X.var(0).max(), rel=1e-12)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_gap_is_never_below_the_truth_and_hardly_above_rounding(ratio):
    X, y = problem(far=100.0)
    sigma = spreads(X)
    found = gdcore.path(X, y, l1_ratio=ratio, penalties=10)
    null = np.mean((y - y.mean()) ** 2)
    for i, penalty in enumerate(found.penalties):
        l1, l2 = penalty * ratio, penalty * (1 - ratio)
        w, b = solved(X, y, l1, l2, sigma)
        above = objective(X, y, found.weights[i], found.bias[i], l1, l2, sigma) - objective(X, y, w, b, l1, l2, sigma)
        assert above <= found.gap[i] + 1e-14 * null * 100
        assert 0 < found.gap[i] <= 1e-10 * null


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_gap_of_models_that_are_not_the_best_covers_what_is_missing(ratio):
    X, y = problem()
    moments = Moments.of(X, y[:, None])
    of = Squared(moments, np.zeros(7), True)
    penalties = np.geomspace(1.0, 1e-3, 5)
    l1, l2 = penalties * ratio, penalties * (1 - ratio)
    best = of.solve(penalties, ratio)
    rng = np.random.default_rng(1)
    for size in (1e-6, 1e-3, 1e-1):
        V = best.weights * of.scale + size * rng.standard_normal(best.weights.shape)
        loss, gap = of.judged(V, l1, l2)
        for i in range(5):
            b = y.mean() - X.mean(0) @ (V[i] / of.scale)
            here = objective(X, y, V[i] / of.scale, b, l1[i], l2[i], of.scale)
            there = objective(X, y, best.weights[i], best.bias[i], l1[i], l2[i], of.scale)
            assert here - there <= gap[i]
            # With slopes off by D ≤ ‖Aδ‖ + l2·‖δ‖: D²/(2·l2); without l2 c is at least 1 − D/l1, and the rest D·‖v‖₁ twice.
            D = (np.linalg.norm(of.A, 2) + l2[i]) * np.linalg.norm(V[i] - best.weights[i] * of.scale)
            most = D**2 / l2[i] if l2[i] else (D / l1[i]) ** 2 * loss[i]
            assert gap[i] <= most + 3 * D * np.abs(V[i]).sum() + 1e-12
            assert loss[i] == pytest.approx(np.mean((y - X @ (V[i] / of.scale) - b) ** 2), rel=1e-10)


class Cut(Table):
    """Rows in blocks of odd sizes."""

    def __init__(self, X, Y, sizes):
        self.X, self.Y, self.sizes = X, Y, sizes
        self.names, self.dtype = [f"c{j}" for j in range(X.shape[1])], X.dtype

    def blocks(self):
        start, turn = 0, 0
        while start < len(self.X):
            stop = start + self.sizes[turn % len(self.sizes)]
            yield Piece(self.X[start:stop], self.Y[start:stop, None], None)
            start, turn = stop, turn + 1


def test_the_bits_are_the_same_for_any_cutting_and_any_number_of_threads(monkeypatch):
    monkeypatch.setattr("gdcore.paths.rows._ELEMENTS", 1200)  # pieces of 200 rows
    X, y = problem(n=1511)
    running = threading.active_count()
    found = gdcore.path(X, y, seed=2, n_threads=1)
    others = [gdcore.path(X, y, seed=2, n_threads=n) for n in (2, 3)]
    others += [gdcore.path(Cut(X, y, sizes), seed=2) for sizes in ([1511], [7, 301], [1, 2, 3])]
    others += [gdcore.path(np.asfortranarray(X), y, seed=2), gdcore.path(X, y, folds=Drawn(10, 2).of(0, 1511))]
    for other in others:
        for name in ("penalties", "weights", "bias", "train_loss", "fold_loss", "gap"):
            np.testing.assert_array_equal(getattr(found, name), getattr(other, name))
    assert threading.active_count() == running


def test_folds_are_drawn_by_row_number_each_of_k_rows_in_another():
    whole = Drawn(7, seed=4).of(0, 1000)
    for start, rows in ((0, 1), (6, 2), (7, 14), (333, 500), (999, 1)):
        np.testing.assert_array_equal(Drawn(7, seed=4).of(start, rows), whole[start : start + rows])
    for start in range(0, 994, 7):
        assert sorted(whole[start : start + 7]) == list(range(7))
    assert np.any(whole != Drawn(7, seed=5).of(0, 1000))
    first = np.bincount(whole[:994].reshape(-1, 7)[:, 0], minlength=7)  # 142 draws, 20.3 of each: 5 σ is 21
    assert first.min() > 0
    assert first.max() < 42


def test_rows_of_weight_0_are_as_if_they_were_not_there():
    X, y = problem(n=90)
    folds = np.arange(90) % 5
    s = np.where(np.arange(90) % 4 == 1, 0.0, 1.0)
    y[s == 0] = 1e6
    found = gdcore.path(X, y, folds=folds, sample_weight=s, penalties=9)
    other = gdcore.path(X[s > 0], y[s > 0], folds=folds[s > 0], penalties=9)
    np.testing.assert_allclose(found.weights, other.weights, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.fold_loss, other.fold_loss, rtol=1e-11)
    # and a fold of such rows alone is none
    s = np.where(folds == 2, 0.0, 1.0)
    assert gdcore.path(X, y, folds=folds, sample_weight=s, penalties=9).fold_loss.shape == (4, 9)


def test_a_weight_of_3_is_three_rows():
    X, y = problem(n=60)
    s = np.random.default_rng(0).integers(1, 4, 60).astype(float)
    folds, times = np.arange(60) % 3, s.astype(int)
    found = gdcore.path(X, y, folds=folds, sample_weight=s)
    other = gdcore.path(np.repeat(X, times, 0), np.repeat(y, times), folds=np.repeat(folds, times))
    np.testing.assert_allclose(found.weights, other.weights, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.cv_loss, other.cv_loss, rtol=1e-11)
    np.testing.assert_allclose(found.cv_error, other.cv_error, rtol=1e-9)


@pytest.mark.parametrize("ratio", RATIOS)
def test_constant_columns_get_no_weight_and_change_nothing(ratio):
    X, y = problem()
    wide = np.column_stack([np.full(len(X), 0.1), X, np.full(len(X), 1e6)])
    for standardize in (True, False):
        found = gdcore.path(wide, y, l1_ratio=ratio, standardize=standardize)
        other = gdcore.path(X, y, l1_ratio=ratio, standardize=standardize)
        assert not found.weights[:, [0, -1]].any()
        np.testing.assert_allclose(found.weights[:, 1:-1], other.weights, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.cv_loss, other.cv_loss, rtol=1e-10)


@pytest.mark.parametrize("ratio", RATIOS)
def test_dependent_columns_and_more_columns_than_rows_are_solved_to_rounding(ratio):
    rng = np.random.default_rng(2)
    X, y = problem(n=60)
    for wide in (np.column_stack([X, X[:, 0], X[:, 1] + 2 * X[:, 2]]), rng.standard_normal((30, 50))):
        target = y[: len(wide)]
        found = gdcore.path(wide, target, l1_ratio=ratio, cv=5)
        null = np.mean((target - target.mean()) ** 2)
        assert found.gap.max() <= 1e-12 * null
        sigma, penalty = spreads(wide), found.penalties
        for i in range(0, 100, 9):
            r = target - wide @ found.weights[i] - found.bias[i]
            assert abs(r.mean()) <= 1e-12 * np.abs(target).max()
            slope = -2 * (wide - wide.mean(0)).T @ r / len(r) / sigma + penalty[i] * (1 - ratio) * sigma * found.weights[i]
            l1 = penalty[i] * ratio
            on = found.weights[i] != 0
            rounding = 1e-11 * np.sqrt(null)
            np.testing.assert_allclose(slope[on], -l1 * np.sign(found.weights[i][on]), rtol=0, atol=rounding)
            assert np.all(np.abs(slope) <= l1 + rounding) or ratio == 0


def test_columns_far_from_0_lose_only_the_digits_that_their_numbers_have_lost():
    X, y = problem()
    moved = X + 1e7
    near = gdcore.path(moved - 1e7, y, penalties=20)  # just what is left of these numbers
    far = gdcore.path(moved, y, penalties=near.penalties)
    np.testing.assert_allclose(far.weights, near.weights, rtol=0, atol=1e-10 * np.abs(near.weights).max())
    np.testing.assert_allclose(far.cv_loss, near.cv_loss, rtol=1e-10)


def test_folds_that_lie_far_from_each_other_keep_their_digits():
    X, y = problem(n=200)
    folds = np.arange(200) // 50
    X[:, 0] += 1e5 * folds
    y = y + 3e5 * folds
    found = gdcore.path(X, y, folds=folds, penalties=5, standardize=False)
    for k in range(4):
        train, test = folds != k, folds == k
        for i, penalty in enumerate(found.penalties):
            w, b = solved(X[train], y[train], penalty, 0.0, np.ones(6))
            assert found.fold_loss[k, i] == pytest.approx(np.mean((y[test] - X[test] @ w - b) ** 2), rel=1e-6)


def test_first_rows_that_are_like_no_others_cost_no_digits():
    """The first estimate of the means, 10⁷ spreads off, leaves two digits of the second moments: the pass is made again."""
    X, y = problem(n=2000)
    s = np.where(np.arange(2000) < 600, 1e-24, 1.0)
    X[:600] += 1e7
    found = gdcore.path(X, y, cv=4, sample_weight=s, penalties=5)
    folds = Drawn(4, 0).of(0, 2000)[600:]
    other = gdcore.path(X[600:], y[600:], folds=folds, penalties=found.penalties)
    np.testing.assert_allclose(found.weights, other.weights, rtol=0, atol=1e-6 * np.abs(other.weights).max())


def test_float32_rows_are_summed_in_double_and_give_a_float32_model():
    X, y = (a.astype(np.float32) for a in problem())
    found = gdcore.path(X, y)
    other = gdcore.path(X.astype(np.float64), y.astype(np.float64))
    np.testing.assert_array_equal(found.weights, other.weights)
    np.testing.assert_array_equal(found.cv_loss, other.cv_loss)
    model = found.model()
    assert model.weights.dtype == np.float32
    assert model.predict(X).dtype == np.float32


def test_what_is_added_to_predictions_is_taken_off_the_targets():
    X, y = problem()
    offset = np.random.default_rng(0).standard_normal(len(y))
    np.testing.assert_array_equal(gdcore.path(X, y, offset=offset).weights, gdcore.path(X, y - offset).weights)


def test_the_models_are_ordinary_ones(tmp_path):
    X, y = problem()
    found = gdcore.path(X, y)
    assert found.place("best") == found.best
    assert found.place("one_standard_error") == found.one_standard_error
    for index in ("best", "one_standard_error", 17):
        model, i = found.model(index), found.place(index)
        np.testing.assert_allclose(model.predict(X), X @ found.weights[i] + found.bias[i], rtol=1e-12)
        gdcore.save(model, tmp_path / "model.safetensors")
        np.testing.assert_array_equal(gdcore.load(tmp_path / "model.safetensors").weights, model.weights)
    assert gdcore.scores.score(found.model(), X, y).r2 > 0.5


def test_a_file_gives_the_path_of_its_rows_and_its_model_knows_the_columns(tmp_path):
    X, y = problem(n=50, d=3)
    lines = ["a,b,c,y"] + [",".join(map(repr, map(float, row))) for row in np.column_stack([X, y])]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    table = gdcore.open_table(tmp_path / "table.csv", target="y")
    found, other = gdcore.path(table, cv=5), gdcore.path(X, y, cv=5)
    np.testing.assert_array_equal(found.weights, other.weights)
    np.testing.assert_array_equal(found.cv_loss, other.cv_loss)
    assert found.model().columns == ["a", "b", "c"]
    assert found.columns == ["a", "b", "c"]


def test_it_tells_of_itself_in_words():
    X, y = problem()
    told = repr(gdcore.path(X, y, cv=5, seed=7))
    assert told.startswith("mse, lasso: 100 penalties from ")
    assert "on columns in units of their spread" in told
    assert "120 rows, 5 folds, drawn with seed 7" in told
    assert "one standard error" in told
    assert "of 6" in told
    assert "elastic net, l1_ratio 0.5" in repr(gdcore.path(X, y, l1_ratio=0.5, standardize=False))
    assert "as they lie" in repr(gdcore.path(X, y, l1_ratio=0, standardize=False))
    few = gdcore.path(X, y, penalties=[1.0, 0.5])
    assert "a smaller one may be better" in repr(few)


def test_coordinate_descent_alone_does_not_end_where_columns_are_nearly_copies():
    """The support is then solved: 30 sweeps are far too few."""
    rng = np.random.default_rng(0)
    X, y = problem(n=200, d=2)
    X = np.column_stack([X, X + 1e-3 * rng.standard_normal(X.shape) * X.std(0)])
    found = gdcore.path(X, y, penalties=30)
    assert found.gap.max() <= 1e-12 * y.var()
    of = Squared(Moments.of(X, y[:, None]), np.zeros(5), True)
    v = np.zeros(4)
    BACKENDS["kernel"].lasso(of.A, of.q, v, float(found.penalties[-1]), 30)
    assert of.judged(v[None], found.penalties[-1:], np.zeros(1))[1][0] > 1e-12 * y.var()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"loss": "mae"}, "loss must be one with a second derivative"),
        ({"l1_ratio": 1.5}, "l1_ratio must be between 0 and 1, found 1.5"),
        ({"l1_ratio": -1}, "l1_ratio must be finite and not negative"),
        ({"penalties": 1}, "penalties must be at least 2"),
        ({"penalties": [1.0, 0.0]}, "penalties must be above 0, found 0"),
        ({"penalties": [[1.0]]}, r"penalties must have shape \(m,\)"),
        ({"penalties": [np.nan]}, "penalties"),
        ({"cv": 1}, "cv must be between 2 and 120"),
        ({"cv": 121}, "cv must be between 2 and 120"),
        ({"folds": np.zeros(120)}, "folds must be two or more, found 1"),
        ({"folds": np.arange(3)}, r"folds must have shape \(120,\)"),
        ({"seed": -1}, "seed must be"),
        ({"offset": np.zeros(3)}, r"offset must have shape \(120,\)"),
        ({"sample_weight": np.zeros(120)}, "sample_weight is zero for every row"),
        ({"sample_weight": np.eye(120)[0]}, "only 1 of 10 folds"),
        ({"Y": np.zeros((120, 2))}, r"Y must have shape \(n,\) or \(n, 1\)"),
        ({"Y": np.ones(120)}, "no column of X tells anything of Y"),
        ({"Y": np.where(np.arange(120) == 5, np.nan, 1.0)}, r"Y\[5\] is nan"),
    ],
)
def test_what_cannot_be_is_told(change, told):
    X, y = problem()
    with pytest.raises(ValueError, match=told):
        gdcore.path(**{"X": X, "Y": y, **change})


def test_a_value_that_is_no_number_is_told_with_its_place():
    X, y = problem()
    X[7, 3] = np.inf
    with pytest.raises(ValueError, match=r"X\[7, 3\] is inf"):
        gdcore.path(X, y)
    with pytest.raises(TypeError, match="standardize must be True or False"):
        gdcore.path(X, y, standardize=1)
    with pytest.raises(ValueError, match="index must be an index, 'best' or 'one_standard_error', found 'worst'"):
        gdcore.path(*problem()).model("worst")


def test_it_is_drawn_with_both_choices():
    import matplotlib.pyplot as plt

    X, y = problem()
    found = gdcore.path(X, y)
    left, right = found.plot()
    assert len(left.get_lines()) == 6 + 1 + 2  # columns, the 0, both choices
    np.testing.assert_allclose(left.get_lines()[3].get_ydata(), found.weights[:, 3] * X.std(0)[3], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(right.get_lines()[0].get_ydata(), found.cv_loss)
    told = [text.get_text() for text in right.get_legend().get_texts()]
    assert any(text.startswith("best: ") for text in told)
    assert any(text.startswith("one standard error: ") for text in told)
    figure, axes = plt.subplots(1, 2)
    assert found.plot(axes)[0] is axes[0]
    plt.close(left.figure)
    plt.close(figure)
