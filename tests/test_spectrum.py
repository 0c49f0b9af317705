"""The spectrum: every number that it tells against the matrix written out, and what it predicts against plain descent."""

import itertools
import math

import numpy as np
import pytest

import gdcore
from gdcore import spectrum
from gdcore.backends import BACKENDS
from gdcore.losses import LOSSES, huber
from gdcore.rows.moments import Moments
from gdcore.rows.tables import Piece, Table

CURVED = [name for name in LOSSES if LOSSES[name]().curvature is not None]
FLAT = [name for name in LOSSES if LOSSES[name]().curvature is None]
CURVATURE = {"mse": 2, "huber": 1, "logistic": 0.25, "softmax": 0.5}  # of design.md
DTYPES = [np.float64, np.float32]
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
CELSIUS = [[0.0], [20.0], [40.0], [60.0], [80.0], [100.0]]


def table(n=60, d=4, dtype=np.float64, seed=0):
    """Columns of different means and spreads, none alike."""
    rng = np.random.default_rng([seed, n, d])
    return (rng.normal(size=(n, d)) * 10 ** rng.uniform(-0.5, 0.5, d) + rng.normal(size=d)).astype(dtype)


def hessian(X, bias, c, l2=0.0, s=None):
    """c·X̃ᵀSX̃/Σs + l2·I, without l2 on the bias."""
    X = X.astype(np.float64)
    s = np.ones(len(X)) if s is None else s.astype(np.float64)
    Z = np.column_stack([X, np.ones(len(X))]) if bias else X
    penalty = np.full(Z.shape[1], float(l2))
    if bias:
        penalty[-1] = 0
    return c * (Z.T * s) @ Z / s.sum() + np.diag(penalty)


def assert_same_spectrum(one, other, rtol=1e-12):
    np.testing.assert_allclose(one.eigenvalues, other.eigenvalues, rtol=rtol, atol=rtol * other.largest)
    for name in ("largest", "lr_limit", "lr_best"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=rtol), name
    assert one.rank == other.rank


# ------------------------------------------------------------------------------------------------------------- the numbers


def test_every_curvature_is_the_designs():
    assert {name: LOSSES[name]().curvature for name in CURVED} == CURVATURE


@pytest.mark.parametrize("name", CURVED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_eigenvalues_are_those_of_the_matrix(backend, name, dtype, bias, weighted):
    engine = next(key for key, module in BACKENDS.items() if module is backend)
    s = np.random.default_rng(1).uniform(0, 3, 60).astype(dtype) if weighted else None
    for l2, d in itertools.product((0, 0.3, 1000.0), (1, 4, 20)):
        X = table(60, d, dtype)
        found = spectrum(X, bias, name, l2, s, backend=engine)
        H = hessian(X, bias, CURVATURE[name], l2, s)
        values = np.linalg.eigvalsh(H)
        np.testing.assert_allclose(found.matrix, H, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * values[-1])
        np.testing.assert_allclose(found.eigenvalues, values, rtol=0, atol=TOLERANCE[dtype] * values[-1])
        assert found.size == found.rank == d + bias
        assert found.largest == pytest.approx(values[-1], rel=TOLERANCE[dtype])
        assert found.smallest == pytest.approx(values[0], rel=1e-10 if dtype == np.float64 else 1e-4)
        assert found.condition == found.largest / found.smallest
        assert found.lr_limit == 2 / found.largest
        assert found.lr_best == 2 / (found.largest + found.smallest)
        assert found.error == 0
        top = np.linalg.eigh(H)[1][:, -1] ** 2
        np.testing.assert_allclose(found.shares, top[:d], rtol=0, atol=1e-8 if dtype == np.float64 else 1e-3)


def test_a_loss_with_a_parameter():
    X = table()
    assert_same_spectrum(spectrum(X, loss=huber(delta=3.0)), spectrum(X, loss="huber"))


def test_integers_lists_and_any_layout():
    X = np.arange(12).reshape(6, 2) ** 2
    wanted = spectrum(X.astype(float))
    for other in (X, X.tolist(), np.asfortranarray(X, float), np.repeat(X, 2, axis=0)[::2], X.astype(float)[:, ::-1][:, ::-1]):
        assert_same_spectrum(spectrum(other), wanted)


def test_it_is_the_hessian_of_mse():
    # Curvature by differences of gradients, which are linear in the weights: H·v = ∇(w + v) − ∇(w).
    X, rng = table(), np.random.default_rng(3)
    Y, w, v = rng.normal(size=60), rng.normal(size=4), rng.normal(size=5)

    def gradient(w, b):
        r = X @ w + b - Y
        return np.append(2 * X.T @ r / len(X) + 0.7 * w, 2 * r.mean())

    difference = gradient(w + v[:4], 0.5 + v[4]) - gradient(w, 0.5)
    np.testing.assert_allclose(spectrum(X, l2=0.7).matrix @ v, difference, rtol=1e-12, atol=1e-12)


def test_celsius():
    s = spectrum(CELSIUS)
    assert s.condition == pytest.approx(11528, abs=0.5)
    assert s.epochs_to(0.001 / 32, 1e-4) == pytest.approx(163_000, rel=1e-3)
    assert 2.72e-4 < s.lr_limit < 2.73e-4
    assert s.worst_columns == [0]


def test_a_small_eigenvalue_keeps_its_digits_where_the_means_are_large():
    # H = 2·[[μ² + σ², μ], [μ, 1]] has determinant 4σ², so that λmin = 4σ²/λmax, of which eigvalsh sees nothing.
    X = 1e6 + np.random.default_rng(0).normal(size=(500, 1))
    variance, mean = np.var(X - 1e6), X.mean()
    largest = 2 * (mean**2 + variance + 1)
    s = spectrum(X)
    assert s.largest == pytest.approx(largest, rel=1e-11)
    assert s.smallest == pytest.approx(4 * variance / largest, rel=1e-8)
    assert s.condition == pytest.approx(largest**2 / (4 * variance), rel=1e-8)


@pytest.mark.parametrize("bias", [True, False])
def test_dependent_columns(bias):
    X = table(40, 3)
    doubled = np.column_stack([X, X[:, 0] - 2 * X[:, 1], X[:, 2]])
    s = spectrum(doubled, bias)
    values = np.linalg.eigvalsh(hessian(doubled, bias, 2))
    assert (s.rank, s.size) == (3 + bias, 5 + bias)
    np.testing.assert_array_equal(s.eigenvalues[:2], 0)
    assert s.smallest == pytest.approx(values[2], rel=1e-9)
    assert s.condition == pytest.approx(values[-1] / values[2], rel=1e-9)
    assert f"rank {3 + bias} of {5 + bias}" in repr(s)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 3), (2, 5), (3, 3), (5, 40)])
@pytest.mark.parametrize("bias", [True, False])
def test_fewer_rows_than_columns(n, d, bias):
    X = np.random.default_rng(n).normal(size=(n, d))
    s = spectrum(X, bias)
    H = hessian(X, bias, 2)
    assert s.rank == np.linalg.matrix_rank(H, hermitian=True)
    assert s.smallest == pytest.approx(np.linalg.eigvalsh(H)[-s.rank], rel=1e-9)


def test_l2_leaves_nothing_at_zero():
    s = spectrum(np.ones((4, 3)), bias=False, l2=0.25)
    assert (s.rank, s.smallest) == (3, pytest.approx(0.25, rel=1e-12))


def test_a_table_of_zeros():
    s = spectrum(np.zeros((3, 2)), bias=False)
    assert (s.largest, s.smallest, s.rank) == (0, 0, 0)
    assert s.lr_limit == s.lr_best == s.condition == math.inf
    assert isinstance(repr(s), str)
    s = spectrum(np.zeros((3, 2)))
    assert (s.rank, s.condition) == (1, 1)
    assert s.largest == s.smallest == pytest.approx(2, rel=1e-15)


# --------------------------------------------------------------------------------------------------- facts of plain descent


def random_problems(count):
    """Padded with zeros to one shape: X̃ (count, n, p), Y (count, n, 1), 1/rows, l2 on each weight; and the spectra."""
    rng = np.random.default_rng(2024)
    Z, Y = np.zeros((count, 30, 6)), np.zeros((count, 30, 1))
    over, l2, spectra = np.zeros((count, 1, 1)), np.zeros((count, 6, 1)), []
    while len(spectra) < count:
        n, d, bias, penalty = int(rng.integers(1, 31)), int(rng.integers(1, 6)), bool(rng.integers(2)), rng.choice([0, 0.1])
        X = rng.normal(size=(n, d)) * 10 ** rng.uniform(-0.4, 0.4, d) + rng.normal(size=d) / 2
        values = np.linalg.eigvalsh(hessian(X, bias, 2, penalty))
        if values[-1] > 300 * values[values > 1e-9 * values[-1]].min():
            continue  # too many epochs for a test
        i = len(spectra)
        Z[i, :n, :d], Y[i, :n, 0], over[i], l2[i, :d] = X, rng.normal(size=n), 1 / n, penalty
        if bias:
            Z[i, :n, d] = 1
        spectra.append(spectrum(X, bias, l2=penalty))
    return Z, Y, over, l2, spectra


def test_descent_converges_below_the_limit_and_diverges_above_it():
    Z, Y, over, l2, spectra = random_problems(200)
    limit = np.array([s.lr_limit for s in spectra])[:, None, None]
    start = np.random.default_rng(5).normal(size=l2.shape) * (np.abs(Z).sum(axis=1)[:, :, None] > 0)

    def gradient(W):
        return 2 * over * (Z.transpose(0, 2, 1) @ (Z @ W - Y)) + l2 * W

    first = np.linalg.norm(gradient(start), axis=1)
    below, above = start.copy(), start.copy()
    for _ in range(4000):
        below -= 0.99 * limit * gradient(below)
        above -= 1.01 * limit * gradient(above)
    assert (np.linalg.norm(gradient(below), axis=1) < 1e-9 * first).all()
    assert (np.linalg.norm(gradient(above), axis=1) > 1e6 * first).all()


@pytest.mark.parametrize("seed", range(8))
def test_epochs_to_counts_what_descent_needs(seed):
    rng = np.random.default_rng(seed)
    n, d, bias, l2 = int(rng.integers(2, 20)), int(rng.integers(1, 5)), bool(seed % 2), 0.05 * (seed % 3)
    X = rng.normal(size=(n, d)) + 0.5
    s, H = spectrum(X, bias, l2=l2), hessian(X, bias, 2, l2)
    values, vectors = np.linalg.eigh(H)
    alive = vectors[:, values > 1e-9 * values[-1]]
    for tol, lr in itertools.product((0.1, 1e-3), (None, 0.3 * s.lr_limit, 0.5 * s.lr_limit, 0.97 * s.lr_limit)):
        told = s.epochs_to(tol, lr)
        step = 2 / (values[-1] + values[values > 1e-9 * values[-1]].min()) if lr is None else lr
        E, epochs = alive.copy(), 0  # the error, along each direction that is alive
        while np.linalg.norm(E, axis=0).max() > tol * (1 + 1e-9) and epochs < 50_000:
            E -= step * (H @ E)
            epochs += 1
        if epochs < 50_000:
            assert isinstance(told, int)
            assert abs(told - epochs) <= max(1, 0.01 * epochs)
        else:
            assert told >= 50_000 * 0.99


def test_epochs_to_at_the_edges():
    s = spectrum(CELSIUS)
    assert s.epochs_to(1e-3) == s.epochs_to(1e-3, s.lr_best)
    assert s.epochs_to() == s.epochs_to(1e-3)
    assert s.epochs_to(1e-3, 1.0001 * s.lr_limit) == math.inf
    assert s.epochs_to(1e-3, s.lr_limit) == math.inf or s.epochs_to(1e-3, s.lr_limit) > 1e12
    assert spectrum(np.ones((5, 1)), bias=False).epochs_to(1e-9) == 1  # one eigenvalue: one step
    # 1 − lr·λ is 1 in float64: ln(1/tol)/(lr·λmin), by log1p
    assert s.epochs_to(1e-3, 1e-20) == pytest.approx(math.log(1000) / (1e-20 * s.smallest), rel=1e-9)
    for tol in (0, 1, -0.1, 2, math.nan):
        with pytest.raises(ValueError, match="tol"):
            s.epochs_to(tol)
    for lr in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="lr"):
            s.epochs_to(0.1, lr)
    with pytest.raises(TypeError, match="lr must be a number"):
        s.epochs_to(0.1, "auto")


def test_batch_lr_is_expected_smoothness():
    X, n, d = table(50, 3), 50, 3
    for bias, l2, name in itertools.product((True, False), (0, 0.2), CURVED):
        s, c = spectrum(X, bias, name, l2), CURVATURE[name]
        row = c * max((X**2).sum(axis=1) + bias) + l2
        for b in (1, 2, 7, 50):
            bound = n * (b - 1) / (b * (n - 1)) * s.largest + (n - b) / (b * (n - 1)) * row
            assert s.batch_lr(b) == pytest.approx(1 / bound, rel=1e-12)
        assert s.batch_lr(n) == pytest.approx(1 / s.largest, rel=1e-12)
        assert d == X.shape[1]


# -------------------------------------------------------------------------------------------------------- sums and weights


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_two_tables_add_up_to_one(shift, weighted, bias):
    rng = np.random.default_rng(8)
    X = shift + rng.normal(size=(300, 3)) * [1, 2, 3] + np.linspace(0, 2, 300)[:, None]
    s = rng.uniform(0.1, 5, 300) if weighted else np.ones(300)
    whole = spectrum(X, bias, l2=0.01, sample_weight=s)
    # With a bias the small eigenvalues come from the centred matrix; without one H holds the means' squares beside them.
    digits = 1e-8 if bias else max(1e-8, 16 * np.finfo(float).eps * whole.condition)
    for cut in (1, 2, 117, 299):
        parts = [spectrum(X[p], bias, l2=0.01, sample_weight=s[p]) for p in (slice(cut), slice(cut, None))]
        for merged in (parts[0] + parts[1], parts[1] + parts[0]):
            assert_same_spectrum(merged, whole)
            assert merged.smallest == pytest.approx(whole.smallest, rel=digits)
            assert merged.condition == pytest.approx(whole.condition, rel=digits)
            np.testing.assert_allclose(merged.shares, whole.shares, atol=1e-9)
            assert merged.batch_lr(10) == pytest.approx(whole.batch_lr(10), rel=1e-12)
    pieces = [spectrum(X[i : i + 50], bias, l2=0.01, sample_weight=s[i : i + 50]) for i in range(0, 300, 50)]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged = merged + piece
    assert merged.smallest == pytest.approx(whole.smallest, rel=digits)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_repetition_and_only_their_proportions_matter(backend, dtype):
    engine = next(key for key, module in BACKENDS.items() if module is backend)
    X = table(40, 3, dtype)
    times = np.random.default_rng(2).integers(0, 4, 40)
    tolerance = TOLERANCE[dtype]
    repeated = spectrum(np.repeat(X, times, axis=0), backend=engine)
    weighted = spectrum(X, sample_weight=times.astype(dtype), backend=engine)
    assert_same_spectrum(weighted, repeated, tolerance)
    assert_same_spectrum(spectrum(X, sample_weight=np.ones(40, dtype), backend=engine), spectrum(X, backend=engine), tolerance)
    assert_same_spectrum(spectrum(X, sample_weight=(np.pi * times).astype(dtype), backend=engine), weighted, tolerance)


@pytest.mark.parametrize("far", [10.0, 1e4, 1e9])
def test_rows_of_weight_zero_are_not_there(backend, far):
    engine = next(key for key, module in BACKENDS.items() if module is backend)
    X, s = table(40, 3), np.random.default_rng(2).integers(0, 3, 40).astype(float)
    wanted = spectrum(X[s > 0], sample_weight=s[s > 0], backend=engine)
    X[s == 0] = far
    found = spectrum(X, sample_weight=s, backend=engine)
    assert_same_spectrum(found, wanted)
    assert found.smallest == pytest.approx(wanted.smallest, rel=1e-10)
    assert found.moments.largest_row == pytest.approx(wanted.moments.largest_row, rel=1e-12)


# ---------------------------------------------------------------------------------------------------------------- the pass


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 3, 9, 20, 40, 130])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_moments_are_the_covariance_in_both_backends(dtype, d, k):
    rng = np.random.default_rng([d, k])
    for n, order in ((1, "C"), (5, "C"), (1003, "C"), (1003, "F")):
        X = np.array(rng.normal(3, 1, (n, d)), dtype, order=order)
        Y = np.array(rng.normal(size=(n, k)), dtype) if k else None
        Z = X.astype(float) if Y is None else np.column_stack([X, Y]).astype(float)
        for s in (None, rng.uniform(0.1, 3, n).astype(dtype)):
            wanted = np.atleast_2d(np.cov(Z.T, ddof=0, aweights=s))
            unit = np.sqrt(np.outer(*[(Z**2).mean(axis=0)] * 2))
            for engine in BACKENDS:
                m = Moments.of(X, Y, s, 1, engine)
                assert m.total == pytest.approx(n if s is None else s.sum(dtype=float), rel=1e-12)
                assert (m.columns, m.rows) == (d, n)
                np.testing.assert_allclose(
                    m.mean, np.average(Z, axis=0, weights=s), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
                )
                assert np.max(np.abs(m.scatter / m.total - wanted) / unit) < TOLERANCE[dtype]
                assert m.largest_row == pytest.approx((X.astype(float) ** 2).sum(axis=1).max(), rel=TOLERANCE[dtype])
                np.testing.assert_allclose(m.scatter, m.scatter.T, rtol=1e-12, atol=1e-12 * n)


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_backends_moments_are_one_formula(backend, d, weighted):
    rng = np.random.default_rng(d)
    X, Y, shift = rng.normal(size=(500, d)), rng.normal(size=(500, 2)), rng.normal(size=d + 2)
    s = rng.uniform(size=500) if weighted else np.ones(500)
    Z, p = np.column_stack([X, Y]) - shift, d + 2
    found = backend.moments(X, Y, s if weighted else None, shift, 1)
    largest, total, sums, squares = found[0], found[1], found[2 : 2 + p], found[2 + p :].reshape(p, p)
    assert largest == pytest.approx((X**2).sum(axis=1).max(), rel=1e-12)
    assert total == pytest.approx(s.sum(), rel=1e-12)
    np.testing.assert_allclose(sums, s @ Z, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(np.triu(squares), np.triu((Z.T * s) @ Z), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_of_far_columns(dtype):
    # float32 holds 10⁶ + z to 1/32 only: it is the table as it is stored whose moments are asked for.
    X = (1e6 + np.random.default_rng(0).normal(size=(4000, 3)) * 10).astype(dtype)
    wanted = np.cov((X.astype(float) - 1e6).T, ddof=0)
    for engine in BACKENDS:
        m = Moments.of(X, backend=engine)
        np.testing.assert_allclose(m.scatter / m.total, wanted, rtol=0, atol=100 * (1e-10 if dtype == np.float64 else 1e-5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "d"), [(60_000, 6), (4000, 70), (700, 520)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_bits_for_any_number_of_threads(dtype, n, d, weighted):
    X = np.random.default_rng(0).normal(0.5, 1, (n, d)).astype(dtype)
    s = np.random.default_rng(1).uniform(0.1, 2, n).astype(dtype) if weighted else None
    found = [spectrum(X, sample_weight=s, n_threads=threads) for threads in (1, 2, 3, 4, 7)]
    for other in found[1:]:
        assert other.matrix.tobytes() == found[0].matrix.tobytes()
        if d < 10:  # the rest follows from the matrix
            assert (other.largest, other.smallest) == (found[0].largest, found[0].smallest)
            assert other.batch_lr(3) == found[0].batch_lr(3)


# -------------------------------------------------------------------------------------------------------- very many columns


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_more_than_8000_columns_by_lanczos(dtype, bias):
    rng = np.random.default_rng(0)
    n, d, l2 = 120, 8001, 0.5
    X = rng.normal(0, 1, (n, d)).astype(dtype)  # the largest eigenvalues stand close together
    s = rng.uniform(0.5, 2, n).astype(dtype)
    for more in (0.0, 1.0):
        X[:, 17] += more * 30
        s_found = spectrum(X, bias, "mse", 0.0, s)
        Z = np.column_stack([X.astype(float), np.ones(n)]) if bias else X.astype(float)
        root = np.sqrt(s.astype(float) / s.sum(dtype=float))[:, None] * Z
        truth = 2 * np.linalg.eigvalsh(root @ root.T)[-1]  # (n, n), of the same eigenvalues
        assert abs(s_found.largest - truth) <= s_found.error
        assert s_found.error < 0.05 * truth
        assert s_found.lr_limit <= 2 / truth
        assert s_found.smallest is s_found.condition is s_found.lr_best is s_found.rank is s_found.eigenvalues is None
        assert s_found.epochs_to(0.1) is None
        assert s_found.size == d + bias
        if more:
            assert s_found.worst_columns[0] == 17
        if not bias:
            with_l2 = spectrum(X, bias, "mse", l2, s)
            assert abs(with_l2.largest - truth - l2) <= with_l2.error
    assert "not known" in repr(s_found)
    with pytest.raises(ValueError, match="do not add up"):
        s_found + s_found
    with pytest.raises(ValueError, match="not known"):
        s_found.matrix  # noqa: B018


def test_8000_is_the_last_that_is_known_in_full():
    assert gdcore.spectrum(np.ones((2, 300)), bias=False).rank == 1
    assert spectrum(np.ones((1, 8001)), bias=False).largest == pytest.approx(2 * 8001, rel=1e-9)


# --------------------------------------------------------------------------------------------------------------- for people


def test_worst_columns_are_those_that_drive_the_largest_eigenvalue():
    X = np.random.default_rng(0).normal(size=(200, 6))
    X[:, 4] *= 100
    X[:, 1] = 0.7 * X[:, 4] + X[:, 1]
    s = spectrum(X)
    assert s.worst_columns == [4, 1]
    assert s.shares[4] > s.shares[1] > 0.1
    assert s.shares.shape == (6,)
    assert 0.99 < s.shares.sum() <= 1 + 1e-12
    assert len(spectrum(np.random.default_rng(0).normal(size=(50, 20))).worst_columns) <= 5


def test_repr_says_what_matters():
    s = spectrum(CELSIUS)
    text = repr(s)
    assert text.startswith("Spectrum(")
    assert "\n" not in text
    for number in (
        f"{s.smallest:.4g}",
        f"{s.largest:.4g}",
        f"{s.condition:.4g}",
        f"{s.lr_limit:.4g}",
        f"{s.epochs_to(1e-3):,}",
    ):
        assert number in text
    assert "0 (100%)" in text


def test_plot_draws_three_learning_rates():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    try:
        assert spectrum(CELSIUS).plot(ax=ax) is ax
        assert len(ax.lines) >= 3
        assert all(np.isfinite(line.get_xdata()).all() for line in ax.lines)
    finally:
        plt.close(figure)


# -------------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", FLAT)
def test_losses_without_a_curvature_bound_have_no_spectrum(name):
    with pytest.raises(ValueError, match=f"{name} has no curvature bound"):
        spectrum(CELSIUS, loss=name)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"loss": "rmse"}, ValueError, "loss must be .*, found 'rmse'"),
        ({"bias": 1}, TypeError, "bias must be True or False"),
        ({"bias": None}, TypeError, "bias must be True or False"),
        ({"bias": np.ones(2)}, TypeError, "bias must be True or False"),
        ({"l2": -1}, ValueError, "l2 must be"),
        ({"l2": math.nan}, ValueError, "l2 must be"),
        ({"l2": math.inf}, ValueError, "l2 must be"),
        ({"l2": "1"}, TypeError, "l2 must be"),
        ({"backend": "torch"}, ValueError, "backend must be 'kernel' or 'reference', found 'torch'"),
        ({"sample_weight": [1.0, 2.0]}, ValueError, "sample_weight"),
        ({"sample_weight": np.zeros(6)}, ValueError, "sample_weight"),
        ({"sample_weight": -np.ones(6)}, ValueError, "sample_weight"),
    ],
    ids=str,
)
def test_bad_arguments(options, kind, words):
    with pytest.raises(kind, match=words):
        spectrum(CELSIUS, **options)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("d", [2, 8001])
def test_values_that_are_not_finite_are_found(value, d):
    X = np.ones((5, d))
    X[3, 1] = value
    with pytest.raises(ValueError, match=r"X.*3.*1"):
        spectrum(X)


@pytest.mark.parametrize("d", [2, 8001])
def test_squares_that_overflow(d):
    X = np.ones((5, d))
    X[3, 1] = 1e200
    with pytest.raises(ValueError, match="overflow"):
        spectrum(X)


def test_spectra_of_different_problems_do_not_add_up():
    s = spectrum(CELSIUS)
    for other in (spectrum(CELSIUS, bias=False), spectrum(CELSIUS, loss="huber"), spectrum(CELSIUS, l2=0.1)):
        with pytest.raises(ValueError, match="do not add up"):
            s + other
    with pytest.raises(ValueError, match="1 and 2 columns do not add up"):
        s + spectrum(np.ones((3, 2)))
    with pytest.raises(TypeError):
        s + 1


# ------------------------------------------------------------------------------------------- far columns and rare weights


def signs(d):
    """Eight rows of d ≤ 7 columns of ±1 that are uncorrelated, with means 0."""
    H = np.array([[1.0]])
    for _ in range(3):
        H = np.block([[H, H], [H, -H]])
    return H[:, 1 : d + 1]


@pytest.mark.parametrize("offset", [0.0, 10.0, 1e5, 1e7, 1e8, 1e12, -1e8])
@pytest.mark.parametrize("bias", [True, False])
def test_means_drown_no_eigenvalue(bias, offset):
    """Four uncorrelated columns of variance 1, all with one mean m: H is 2·(I + m²·11ᵀ), beside m·1 and 1 for the bias.

    Three eigenvalues are 2, at right angles to 1; the others are 2·(1 + 4m²), or with the bias those of a matrix of trace
    2·(2 + 4m²) and determinant 4.
    """
    s, trace = spectrum(signs(4) + offset, bias), 4 * offset**2 + 1 + bias
    largest = trace + math.sqrt(max(trace**2 - 4, 0)) if bias else 2 * trace
    wanted = sorted([2, 2, 2, *([largest, 4 / largest] if bias else [largest])])
    assert (s.rank, s.size, s.clear) == (4 + bias, 4 + bias, True)
    np.testing.assert_allclose(s.eigenvalues, wanted, rtol=1e-7 if bias else 1e-12)
    assert s.condition == pytest.approx(wanted[-1] / wanted[0], rel=1e-7)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e7])
@pytest.mark.parametrize("bias", [True, False])
def test_spreads_drown_no_eigenvalue(bias, offset):
    """With spreads over eight decades; their product is the determinant: 2ᵈ·Π σ², times 2, without bias times 1 + Σ m²/σ²."""
    spreads = np.array([1e-4, 1e-2, 1, 100, 1e4])
    X, means = signs(5) * spreads + offset, np.full(5, offset)
    spreads = np.sqrt(np.mean((X - offset) ** 2, axis=0))  # as they are stored
    s = spectrum(X, bias)
    assert (s.rank, s.clear) == (5 + bias, True)
    determinant = np.sum(np.log(2 * spreads**2)) + (math.log(2) if bias else math.log1p(np.sum((means / spreads) ** 2)))
    assert np.sum(np.log(s.eigenvalues)) == pytest.approx(determinant, abs=1e-4)


@pytest.mark.parametrize("offset", [1e5, 1e8])
@pytest.mark.parametrize("bias", [True, False])
def test_far_columns_that_are_dependent(bias, offset):
    X = signs(4)
    s = spectrum(np.column_stack([X + offset, X[:, 0] - X[:, 1]]), bias)
    # The last column is the difference of the first two, and so are the means.
    assert (s.rank, s.size) == (4 + bias, 5 + bias)
    assert s.eigenvalues[0] == 0
    assert s.eigenvalues[1] > 0
    # A column that is 1 in every row is dependent with the bias, and without one it is what the bias would be.
    s = spectrum(np.column_stack([X + offset, np.ones(8)]), bias)
    assert (s.rank, s.size) == (5, 5 + bias)
    assert s.eigenvalues[-5] == pytest.approx(spectrum(X + offset).smallest * (1 + bias), rel=0.01)


def test_what_rounding_hides_is_not_told():
    X = np.random.default_rng(0).normal(size=(50, 2))
    s = spectrum(np.column_stack([X, X[:, 0] + 3e-7 * X[:, 1] ** 2]))
    assert not s.clear
    assert (s.rank, s.smallest, s.condition, s.lr_best, s.eigenvalues, s.epochs_to(1e-3)) == (None,) * 6
    assert s.lr_limit == 2 / s.largest
    assert "lost in rounding" in repr(s)


def exact_moments(X, Y, s):
    """Mean and covariance in extended precision, in two passes."""
    Z = np.column_stack([X, Y]).astype(np.longdouble)
    w = (s / s.sum()).astype(np.longdouble)[:, None]
    mean = (w * Z).sum(axis=0)
    return mean, (w * (Z - mean)).T @ (Z - mean)


@pytest.mark.parametrize("d", [1, 3, 520])
@pytest.mark.parametrize("first", [1024, 40, 0])
def test_moments_where_the_first_rows_have_next_to_no_weight(backend, d, first):
    """Their means are no estimate of the columns' means: they are zeros, and the other rows are at 1e8."""
    engine = next(key for key, module in BACKENDS.items() if module is backend)
    rng = np.random.default_rng([d, first])
    n = 3000 if d < 100 else 1300
    X = 1e8 + rng.normal(size=(n, d))
    Y = 3 * (X[:, :1] - 1e8) + rng.normal(size=(n, 1))
    X[:first], Y[:first] = 0, 0
    s = np.where(np.arange(n) < first, 1e-18, rng.uniform(0.5, 1, n))
    m = Moments.of(X, Y, s, 2, engine)
    some = [*range(min(d, 3)), d]  # columns
    mean, covariance = exact_moments(X[:, :3], Y, s)
    np.testing.assert_allclose(m.mean[some], mean.astype(float), rtol=1e-14, atol=1e-7)
    found = (m.scatter / m.total)[np.ix_(some, some)]
    np.testing.assert_allclose(found, covariance.astype(float), rtol=0, atol=1e-9 * float(covariance.max()))


def test_weights_over_eighteen_decades_train_the_right_slope():
    rng = np.random.default_rng(0)
    n = 3000
    x, s = 1e8 + rng.normal(size=n), 10.0 ** rng.permutation(np.linspace(-18, 0, n))
    y = 3 * (x - 1e8) + rng.normal(size=n)
    order = np.argsort(s)
    x, y, s = x[order], y[order], s[order]
    _, covariance = exact_moments(x[:, None], y, s)
    run = gdcore.fit(x[:, None], y, sample_weight=s)
    assert run.model.weights[0] == pytest.approx(float(covariance[0, 1] / covariance[0, 0]), rel=1e-6)


def test_a_table_in_pieces_has_the_bits_of_its_rows_where_the_pass_is_made_again():
    rng = np.random.default_rng(0)
    n, d = 60_000, 40
    X = 1e8 + rng.normal(size=(n, d))
    s = rng.uniform(size=n)
    X[:20_000], s[:200], s[200:20_000] = 0, 0, 1e-18

    class Cut(Table):
        weighted, passes = True, 0

        def __init__(self, seed):
            self.names, self.seed, self.target_shape = [str(i) for i in range(d)], seed, (0,)

        def blocks(self):
            self.passes += 1
            low, rng = 0, np.random.default_rng(self.seed)
            while low < n:
                high = low + int(rng.integers(1, 30_000))
                yield Piece(X[low:high], np.empty((len(X[low:high]), 0)), s[low:high])
                low = high

    wanted = Moments.of(X, None, s)
    for seed in range(3):
        table = Cut(seed)
        for n_threads in (1, 3):
            found = table.moments(n_threads, "kernel", False)
            assert (found.mean.tobytes(), found.scatter.tobytes()) == (wanted.mean.tobytes(), wanted.scatter.tobytes())
        assert table.passes == 4  # twice two


def test_a_piece_without_weight_is_not_there():
    X, s = table(60, 3), np.where(np.arange(60) < 20, 0.0, 1.0)
    X[:20] = 1e200
    parts = [Moments.of_each_column(X[part], s[part]) for part in (slice(20), slice(20, 40), slice(40, 60))]
    whole = parts[0] + parts[1] + parts[2]
    np.testing.assert_allclose(whole.mean, X[20:].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(whole.scatter / whole.total, X[20:].var(axis=0), rtol=1e-12)
    assert whole.largest_row == pytest.approx((X[20:] ** 2).sum(axis=1).max())
