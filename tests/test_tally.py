"""A tally: quantiles and ranks of values that come in pieces, in bounded memory."""

import numpy as np
import pytest

from gdcore.plain import number
from gdcore.scores.tally import Tally


def test_quantiles_are_those_of_the_repeated_values():
    rng = np.random.default_rng(0)
    values, weights = np.round(rng.normal(size=1000), 1), rng.integers(0, 4, 1000)
    tally = Tally()
    for part in np.array_split(np.arange(1000), 7):
        tally.add(values[part], weights[part].astype(float))
    repeated = np.repeat(values, weights)
    assert tally.quantile(0.5) == np.median(repeated)
    for tau in (0.01, 0.3, 0.77, 1.0):
        assert tally.quantile(tau) == np.quantile(repeated, tau, method="averaged_inverted_cdf")
    assert np.isnan(Tally().quantile(0.5))


def test_memory_is_bounded_and_what_is_lost_are_last_digits():
    rng = np.random.default_rng(1)
    values = rng.normal(size=40_000) * 10.0 ** rng.integers(-3, 4, 40_000)
    tally = Tally(most=2000)
    for part in np.array_split(values, 100):
        tally.add(part, np.ones(len(part)))
    assert len(tally.values) <= 2000
    assert tally.weights.sum() == 40_000
    for tau in (0.05, 0.5, 0.95):
        assert tally.quantile(tau) == pytest.approx(np.quantile(values, tau), rel=0.02, abs=1e-4)
    exact = Tally(most=40_000)
    exact.add(values, np.ones(40_000))
    np.testing.assert_array_equal(exact.values, np.unique(values))


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (81480.25, 6, "81,480.2"), (81480.25, 3, "81,480"), (-1234567.0, 6, "-1,234,567"), (999999.6, 6, "1,000,000"),
        (0.5, 6, "0.5"), (0.000012345678, 6, "0.0000123"), (0.0, 6, "0"), (-0.0, 6, "0"), (1e-9, 6, "1e-09"),
        (1e15, 6, "1e+15"), (123.0, 2, "123"), (None, 6, "–"), (float("nan"), 6, "–"), (float("-inf"), 6, "-inf"),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(value, digits, text):
    assert number(value, digits) == text


def test_rows_weigh_what_their_values_do():
    """Equal ones need not be joined; those that have been are."""
    tally = Tally(most=4)
    for values in ([3.0, 1.0, 3.0], [2.0, 2.0, 1.0], [1.0, 3.0, 3.0], [2.0]):
        tally.add(np.array(values), np.array(values) * 10)
    values, weights = tally.rows
    assert 3 < len(values) < 10
    assert np.bincount(values.astype(int), weights[:, 0]).tolist() == [0, 30, 60, 120]
    assert weights.shape == (len(values), 1)
