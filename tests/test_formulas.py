"""Both backends follow the formulas of losses, moments and optimizers, in extended precision; so do the library's moments."""

import numpy as np
import pytest
from equivalence import DTYPES, close
from formulas import CHECKS, formula_moments

from gdcore.rows.moments import Moments


@pytest.mark.parametrize("check", CHECKS)
def test_a_backend_follows_the_formulas(backend, check):
    CHECKS[check](backend)


@pytest.mark.parametrize("weighted", [True, False], ids=["weighted", "unweighted"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_librarys_moments(dtype, weighted):
    """Means and centred scatter of one table, of two that are added, and of each column alone; far from 0."""
    rng = np.random.default_rng(1)
    X, Y = rng.normal(1000, 1, (300, 5)).astype(dtype), rng.normal(-50, 3, (300, 2)).astype(dtype)
    s = np.where(np.arange(300) % 7 == 0, 0, rng.uniform(0.5, 2, 300)).astype(dtype) if weighted else None
    X[0] *= 2  # the longest row weighs nothing
    X[-1] *= 1.5
    longest, total, first, second = formula_moments(X, Y, s, np.zeros(7))
    mean = first / total
    scatter = second - np.outer(mean, mean) * total
    spread = float(np.max(np.abs(scatter)))
    halves = [Moments.of(X[part], Y[part], None if s is None else s[part]) for part in (slice(0, 120), slice(120, None))]
    for name, found in {"whole": Moments.of(X, Y, s), "added": halves[0] + halves[1]}.items():
        assert found.rows == 300, name
        close(f"{name}: total", found.total, total, 1e-13)
        close(f"{name}: the longest row", found.largest_row, longest, 1e-13)
        close(f"{name}: mean", found.mean, mean, 1e-13)
        close(f"{name}: scatter", found.scatter, scatter, 1e-12, spread)
        for bias, wanted in ((True, scatter / total), (False, second / total)):
            close(f"{name}: gram, bias {bias}", found.gram(bias)[0], wanted, 1e-12)
        half = found.scaled(0.5)
        close(f"{name}: half", half.scatter / half.total, scatter / total, 1e-12)
    alone = Moments.of_each_column(X, s)
    close("each column: total", alone.total, total, 1e-6)
    close("each column: mean", alone.mean, mean[:5], 1e-12)
    close("each column: scatter", alone.scatter, np.diag(scatter)[:5], 1e-6, spread)
    close("each column: the longest row", alone.largest_row, longest, 1e-12)
