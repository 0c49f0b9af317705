"""mae and quantile without a penalty end at a vertex: its rows, its proof in exact fractions, and a linear program's loss."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

import gdcore
from gdcore.rows import tables
from gdcore.rows.tables import Piece, Table
from gdcore.solvers import exact_quantile, reduction

EPS = np.finfo(float).eps


class Pieces(Table):
    """Arrays as a table that comes in small pieces."""

    weighted = True

    def __init__(self, *arrays):
        self.arrays, self.names = arrays, list("abcdefgh"[: arrays[0].shape[1]])

    def blocks(self):
        X, y, s = self.arrays
        for i in range(0, len(X), 7):
            yield Piece(X[i : i + 7], y[i : i + 7, None], s[i : i + 7])


def fitted(*arguments, **options):
    """`gdcore.fit`, whose warnings of other weights that are as good are not what is looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (gdcore.UniquenessWarning, gdcore.ConditionWarning))
        return gdcore.fit(*arguments, **options)


def small(rng, kind):
    """X, y, sample weights and τ of some kind of a small problem."""
    n, d = rng.integers(1, 41), rng.integers(1, 6)
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    if kind == "integers":
        X, y = rng.integers(-2, 3, (n, d)).astype(float), rng.integers(-2, 3, n).astype(float)
    elif kind == "ties":
        y = np.round(y)
    elif kind == "dependent":
        X[:, -1] = X[:, 0]
    elif kind == "constant":
        y[:] = 3.0
    elif kind == "repeated":
        rows = rng.integers(0, n, n)
        X, y = X[rows], np.round(y[rows], 1)
    s = rng.integers(0, 3, n).astype(float) if rng.random() < 0.5 else np.ones(n)
    s[0] = 1.0
    return X, y, s, rng.choice([0.5, 0.25, rng.uniform(0.05, 0.95)])


def least(X, y, s, tau):
    """The least loss, by HiGHS: min τ·u⁺ + (1 − τ)·u⁻ with y − Xw − b = u⁺ − u⁻."""
    n, A = len(y), np.column_stack([X, np.ones(len(y))])
    costs = np.concatenate([np.zeros(2 * A.shape[1]), s * tau, s * (1 - tau)])
    found = linprog(costs, A_eq=np.hstack([A, -A, np.eye(n), -np.eye(n)]), b_eq=y, bounds=(0, None), method="highs")
    return found.fun / s.sum()


KINDS = ["plain", "integers", "ties", "dependent", "constant", "repeated"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_a_linear_program(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(70):
        X, y, s, tau = small(rng, kind)
        run, wanted = fitted(X, y, loss=f"quantile:{tau}", sample_weight=s), least(X, y, s, tau)
        size = np.abs(y).max()  # where all rows fit, a loss of 0 is rounded as targets are
        assert run.loss == pytest.approx(wanted, rel=1e-12, abs=1e3 * EPS * size)
        assert (run.status, run.proof) == ("converged", "vertex")
        assert 0 <= run.gap <= 1e-12 * (run.loss + size)
        used = np.column_stack([X, np.ones(len(y))])[s > 0]
        assert len(run.model.interpolated) == np.linalg.matrix_rank(used)
        rows = run.model.interpolated
        assert (s[rows] > 0).all()
        np.testing.assert_allclose(run.predict(X)[rows], y[rows], rtol=0, atol=1e-12 * (1 + size))


def farthest(X, y, s, tau, best):
    """How far apart two weights can be, in some direction, whose losses are the least: by HiGHS again."""
    n, A = len(y), np.column_stack([X, np.ones(len(y))])
    costs = np.concatenate([np.zeros(A.shape[1]), s * tau, s * (1 - tau)])
    equal = np.hstack([A, np.eye(n), -np.eye(n)])
    way = np.concatenate([np.random.default_rng(0).normal(size=A.shape[1]), np.zeros(2 * n)])
    bounds = [(None, None)] * A.shape[1] + [(0, None)] * (2 * n)
    limit = {"A_ub": costs[None], "b_ub": [best * s.sum() + 1e-9], "A_eq": equal, "b_eq": y, "bounds": bounds}
    return -sum(linprog(sign * way, method="highs", **limit).fun for sign in (1, -1))


@pytest.mark.parametrize("kind", ["plain", "integers", "ties", "repeated"])
def test_what_is_said_of_other_weights_is_so(kind):
    rng, told = np.random.default_rng(5), 0
    for _ in range(25):
        X, y, s, tau = small(rng, kind)
        s = np.maximum(s, 1.0)
        if np.linalg.matrix_rank(np.column_stack([X, np.ones(len(y))])) <= X.shape[1]:
            continue
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            run = gdcore.fit(X, y, loss=f"quantile:{tau}", sample_weight=s)
        several = [warning.category for warning in warned] == [gdcore.UniquenessWarning]
        assert several or not warned
        assert (farthest(X, y, s, tau, run.loss) > 1e-4) == several
        told += several
    assert (told > 0) == (kind == "integers")


def solved(A, b):
    """A⁻¹b in fractions, by Gauss and Jordan."""
    rows = [[*row, value] for row, value in zip(A, b, strict=True)]
    for i in range(len(rows)):
        pivot = next(j for j in range(i, len(rows)) if rows[j][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(len(rows)):
            if j != i and rows[j][i] != 0:
                rows[j] = [value - rows[j][i] * own for value, own in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]


def test_the_dual_holds_in_fractions():
    """Through the rows that the model tells: no rounding anywhere, so that what is proved is the vertex itself."""
    rng = np.random.default_rng(7)
    for _ in range(25):
        X, y, s, tau = small(rng, "plain")
        A = [[*map(Fraction, row), Fraction(1)] for row in X.tolist()]
        p, y_, s_, tau_ = (
            X.shape[1] + 1,
            list(map(Fraction, y.tolist())),
            list(map(Fraction, s.tolist())),
            Fraction(float(tau)),
        )
        run = fitted(X, y, loss=f"quantile:{float(tau)!r}", sample_weight=s)
        rows = [int(row) for row in run.model.interpolated]
        if len(rows) < p:
            continue
        theta = solved([A[i] for i in rows], [y_[i] for i in rows])
        np.testing.assert_allclose([*run.model.weights, run.model.bias], [float(v) for v in theta], rtol=1e-9, atol=1e-9)
        r = [sum(a * t for a, t in zip(row, theta, strict=True)) - value for row, value in zip(A, y_, strict=True)]
        others = [i for i in range(len(y)) if i not in rows]
        assert all(r[i] != 0 for i in others if s[i] > 0)
        sides = {i: s_[i] * (1 - tau_ if r[i] > 0 else -tau_) for i in others}
        left = [-sum(sides[i] * A[i][j] for i in others) for j in range(p)]
        multipliers = solved([[A[i][j] for i in rows] for j in range(p)], left)
        assert all(-tau_ * s_[i] <= value <= (1 - tau_) * s_[i] for i, value in zip(rows, multipliers, strict=True))
        primal = sum(s_[i] * max(-tau_ * r[i], (1 - tau_) * r[i]) for i in range(len(y)))
        dual = -sum(sides[i] * y_[i] for i in others) - sum(v * y_[i] for i, v in zip(rows, multipliers, strict=True))
        assert primal == dual
        assert abs(Fraction(run.loss) - primal / sum(s_)) <= 16 * EPS * (1 + np.abs(y).max())


@pytest.fixture
def many(monkeypatch):
    """A few thousand rows are many, and solved by few of them."""
    monkeypatch.setattr(exact_quantile, "_WHOLE", 1)
    monkeypatch.setattr(tables, "_step", lambda _: 700)  # several pieces
    for module in (exact_quantile, reduction):
        monkeypatch.setattr(module, "FEW", 10)
        monkeypatch.setattr(module, "CHEAP", 50)


def heavy(n, d, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-2, 3, d) + rng.integers(-5, 6, d)
    return X, rng.standard_t(2, size=n) + X[:, 0], rng.integers(0, 4, n).astype(float)


def same(one, other):
    np.testing.assert_array_equal(one.model.weights, other.model.weights)
    assert one.model.bias == other.model.bias
    np.testing.assert_array_equal(one.model.interpolated, other.model.interpolated)


@pytest.mark.parametrize("tau", [0.5, 0.03, 0.9])
@pytest.mark.parametrize("sure", [3.0, 0.01], ids=["as it is", "too few rows at first"])
def test_many_rows_end_where_all_of_them_end(many, monkeypatch, tau, sure):
    X, y, s = heavy(4000, 4)
    monkeypatch.setattr(exact_quantile, "_SURE", sure)
    run = gdcore.fit(X, y, loss=f"quantile:{tau}", sample_weight=s)
    monkeypatch.undo()
    wanted = gdcore.fit(X, y, loss=f"quantile:{tau}", sample_weight=s)
    assert run.proof == wanted.proof == "vertex"
    same(run, wanted)
    assert run.loss == wanted.loss
    assert run.gap <= 1e-15 * run.loss


def test_ties_among_many_rows(many):
    X, y, s = heavy(4000, 3)
    X, y = np.round(X), np.round(y)
    run = fitted(X, y, loss="quantile:0.3", sample_weight=s)
    assert run.proof == "vertex"
    # The loss of a convex piecewise linear function is least where no edge from it goes down: all weights nearby are worse.
    rng = np.random.default_rng(1)
    r = X @ run.model.weights + run.model.bias - y
    np.testing.assert_allclose(run.loss, s @ np.maximum(-0.3 * r, 0.7 * r) / s.sum(), rtol=1e-13)
    for size in np.logspace(-6, 0, 200):
        away = r + size * (X / np.abs(X).max(axis=0) @ rng.normal(size=3) + rng.normal())
        assert s @ np.maximum(-0.3 * away, 0.7 * away) / s.sum() >= run.loss * (1 - 8 * EPS)


def test_bits_say_nothing_of_threads_or_pieces(many, monkeypatch):
    X, y, s = heavy(4000, 4)
    wanted = gdcore.fit(X, y, loss="mae", sample_weight=s, n_threads=1)
    same(gdcore.fit(X, y, loss="mae", sample_weight=s, n_threads=2), wanted)
    same(gdcore.fit(np.asfortranarray(X), y, loss="mae", sample_weight=s), wanted)
    same(gdcore.fit(Pieces(X, y, s), loss="mae"), wanted)
    monkeypatch.setattr(tables, "_step", lambda _: 333)
    same(gdcore.fit(X, y, loss="mae", sample_weight=s), wanted)


def test_other_weights_that_are_as_good_are_told():
    x = np.array([[0.0], [0.0], [1.0], [1.0]])
    with pytest.warns(gdcore.UniquenessWarning, match="the best weights are not unique"):
        run = gdcore.fit(x, np.array([0.0, 1.0, 5.0, 7.0]), loss="mae")
    assert run.loss == pytest.approx(3 / 4, rel=4 * EPS)
    with pytest.warns(gdcore.UniquenessWarning, match="weights of output 1 are"):
        gdcore.fit(x[:3], np.column_stack([[0.0, 0.0, 1.0], [0.0, 1.0, 2.0]]), loss="mae")


def test_a_degenerate_corner_may_be_the_only_best_one():
    """Three rows of the same x and target: the vertex is unique though more rows fit than it needs."""
    x, y = np.array([[0.0]] * 3 + [[1.0]] * 3), np.array([1.0, 1.0, 1.0, 2.0, 2.0, 9.0])
    run = gdcore.fit(x, y, loss="mae")  # a warning would be an error
    np.testing.assert_allclose([*run.model.weights, run.model.bias], [1.0, 1.0], rtol=8 * EPS)
    assert run.proof == "vertex"


def test_several_outputs_have_rows_each():
    X, y, _ = heavy(50, 2)
    run = gdcore.fit(X, np.column_stack([y, np.sin(y)]), loss="mae")
    assert run.model.interpolated.shape == (2, 3)
    for c, target in enumerate((y, np.sin(y))):
        one = gdcore.fit(X, target, loss="mae")
        np.testing.assert_array_equal(run.model.interpolated[c], one.model.interpolated)
        np.testing.assert_array_equal(run.model.weights[:, c], one.model.weights)


@pytest.mark.parametrize("size", [1.0, 1e-30])
def test_weights_of_float32_are_judged_as_they_are(size):
    X, y, _ = heavy(300, 3)
    X, y = X.astype("f4"), (size * y).astype("f4")
    run = gdcore.fit(X, y, loss="quantile:0.3")
    r = X.astype(float) @ run.model.weights.astype(float) + float(run.model.bias) - y
    loss = float(np.maximum(-0.3 * r, 0.7 * r).mean())
    best = gdcore.fit(X.astype(float), y.astype(float), loss="quantile:0.3")
    assert run.loss == pytest.approx(loss, rel=1e-5)
    assert loss - best.loss <= run.gap * (1 + 1e-6) + 1e-14 * loss
    assert run.gap <= 1e-4 * loss


def test_penalties_and_given_learning_rates_end_elsewhere():
    X, y, _ = heavy(60, 2)
    for options in ({"l1": 0.01}, {"l2": 0.01}, {"lr": 0.01, "epochs": 3}):
        run = gdcore.fit(X, y, loss="mae", **options)
        assert run.proof == "duality"
        assert run.model.interpolated is None


def test_where_no_vertex_is_found_newtons_method_goes_on(monkeypatch):
    X, y, s = heavy(500, 3)
    wanted = gdcore.fit(X, y, loss="mae", sample_weight=s)
    monkeypatch.setattr(exact_quantile, "ended", lambda *_: None)
    run = gdcore.fit(X, y, loss="mae", sample_weight=s)
    assert (run.status, run.proof) == ("converged", "duality")
    assert run.loss == pytest.approx(wanted.loss, rel=1e-9)


def test_a_run_that_goes_on_ends_at_the_same_vertex():
    X, y, s = heavy(500, 3)
    wanted = gdcore.fit(X, y, loss="mae", sample_weight=s)
    begun = gdcore.fit(X, y, loss="mae", sample_weight=s, epochs=0)
    assert (begun.proof, begun.status) == ("duality", "epochs")
    same(begun.resume(X, y), wanted)
    again = wanted.resume(X, y)
    np.testing.assert_array_equal(again.model.weights, wanted.model.weights)
    other = wanted.resume(X[:300], y[:300], sample_weight=s[:300])
    same(other, gdcore.fit(X[:300], y[:300], loss="mae", sample_weight=s[:300]))
