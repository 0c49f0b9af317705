"""Second moments by tiles: of any width, layout, number of threads and pieces they are those of the formula."""

import numpy as np
import pytest

from gdcore.backends import kernel, reference

EDGES = [*range(1, 34), 63, 64, 65, 100, 250]
DTYPES = ["float32", "float64"]


def rows(n, d, k, dtype, seed=0):
    rng = np.random.default_rng([seed, n, d, k])
    X, Y = rng.normal(3, 1, (n, d)).astype(dtype), rng.normal(-2, 1, (n, k)).astype(dtype) if k else None
    return X, Y, rng.uniform(0.1, 2, n).astype(dtype), rng.normal(size=d + k)


def parts(sums, p):
    """max ‖x‖², Σ s, Σ s·z, and of Σ s·z·zᵀ what counts."""
    return sums[:2], sums[2 : 2 + p], np.triu(sums[2 + p :].reshape(p, p))


def counted(sums, p):
    return np.concatenate([part.ravel() for part in parts(sums, p)]).tobytes()


def agree(found, wanted, p, n):
    """A sum of n products, each of which two roundings went into, is off by n·ε of the sum of their sizes at most."""
    for a, b in zip(parts(found, p)[::2], parts(wanted, p)[::2], strict=True):
        sizes = np.sqrt(np.outer(np.diag(b), np.diag(b))) if a.ndim == 2 else np.abs(b)
        assert np.all(np.abs(a - b) <= 2 * (n + 4) * np.finfo(float).eps * sizes)
    spreads = np.sqrt(np.diag(wanted[2 + p :].reshape(p, p)) * wanted[1])  # Σ s·|z| is at most that
    assert np.all(np.abs(found[2 : 2 + p] - wanted[2 : 2 + p]) <= 2 * (n + 4) * np.finfo(float).eps * spreads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("d", EDGES)
def test_the_kernels_are_the_references(d, k, dtype):
    for n in (1, 129):
        X, Y, s, shift = rows(n, d, k, dtype)
        wanted = reference.moments(X, Y, s, shift)
        for x in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X[::-1].copy()[::-1]):
            agree(kernel.moments(x, Y, s, shift), wanted, d + k, n)
        agree(kernel.moments(X, Y, None, shift), reference.moments(X, Y, None, shift), d + k, n)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d, n", [(3, 180_000), (40, 14_000), (100, 9000), (1030, 4200)])
def test_threads_and_pieces_change_no_bit(d, n, dtype, order):
    X, Y, s, shift = rows(n, d, 1, dtype)
    X = np.asarray(X, order=order)
    p, wanted = d + 1, kernel.moments(X, Y, s, shift)
    agree(wanted, reference.moments(X, Y, s, shift), p, n)
    for n_threads in (2, 3, 4, 7, 8):
        assert counted(kernel.moments(X, Y, s, shift, n_threads), p) == counted(wanted, p), n_threads
    step = kernel.whole_rows(X[:1], Y[:1], moments=True)
    assert step % 128 == 0
    assert step < n / 2
    for many in (step, 2 * step):
        found = None
        for low in range(0, n, many):
            part = slice(low, low + many)
            found = kernel.moments(X[part], Y[part], s[part], shift, 1 + low % 2, found)
        assert counted(found, p) == counted(wanted, p), many


@pytest.mark.parametrize("d", [1, 8, 25])
def test_a_column_far_from_0_keeps_its_spread(d):
    """Shifts are taken off before anything is multiplied: of 10⁹ + integers nothing is lost."""
    rng = np.random.default_rng(0)
    whole = rng.integers(-8, 9, (300, d)).astype(float)
    found = kernel.moments(1e9 + whole, None, None, np.full(d, 1e9))
    assert np.array_equal(np.triu(found[2 + d :].reshape(d, d)), np.triu(whole.T @ whole))
    assert np.array_equal(found[2 : 2 + d], whole.sum(axis=0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 3, 7, 8, 9, 23, 25, 47])
def test_nothing_beside_the_rows_counts(d, dtype):
    """What lies around X and Y in memory is NaN, in both orders."""
    X, Y, s, shift = rows(130, d, 2, dtype)
    wanted = counted(kernel.moments(X, Y, s, shift), d + 2)
    for order in ("C", "F"):
        x, y = (np.full((a.shape[0] + 32, a.shape[1] + 32), np.nan, dtype, order=order) for a in (X, Y))
        x[16:-16, 16:-16], y[16:-16, 16:-16] = X, Y
        assert counted(kernel.moments(x[16:-16, 16:-16], y[16:-16, 16:-16], s, shift), d + 2) == wanted


def test_the_longest_row_is_nan_where_one_is():
    for place in (0, 4000, 9000):
        X, _, _, shift = rows(10_000, 100, 0, "float64")
        X[place, 3] = np.nan
        assert np.isnan(kernel.moments(X, None, None, shift)[0])
        assert np.isfinite(kernel.moments(X, None, (np.arange(10_000) != place) * 1.0, shift)[0])
