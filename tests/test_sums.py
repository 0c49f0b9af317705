"""Ten million numbers in float32: every long sum is within 1e-6 of the exact one (math.fsum)."""

import math

import numpy as np
import pytest

from gdcore.backends import kernel
from gdcore.rows.moments import Moments

N = 10**7


@pytest.fixture(scope="module")
def table():
    """X and Y (n, 1) of one sign, so that nothing cancels and a sum in few bits drifts away."""
    rng = np.random.default_rng(0)
    return rng.random((N, 1), np.float32), rng.random((N, 1), np.float32) + 1


def exact_sum(values):
    return math.fsum(values.ravel().tolist())


def test_read(table):
    assert kernel.read(table[0], n_threads=2) == pytest.approx(exact_sum(table[0]), rel=1e-6)


def test_loss_and_gradients(table):
    X, Y = table
    w, b = np.full((1, 1), -0.5, np.float32), np.full(1, 0.25, np.float32)
    r = -0.5 * X.astype(float) + 0.25 - Y
    loss, gradient, bias_gradient = kernel.loss_gradient(X, Y, w, b, n_threads=2)
    assert loss == pytest.approx(exact_sum(r**2) / N, rel=1e-6)
    assert gradient[0, 0] == pytest.approx(2 * exact_sum(X * r) / N, rel=1e-6)
    assert bias_gradient[0] == pytest.approx(2 * exact_sum(r) / N, rel=1e-6)


def test_moments(table):
    X, Y = table
    found = Moments.of(X, Y, n_threads=2)
    means = exact_sum(X) / N, exact_sum(Y) / N
    np.testing.assert_allclose(found.mean, means, rtol=1e-6)
    x, y = X - means[0], Y - means[1]
    assert found.scatter[0, 0] == pytest.approx(exact_sum(x**2), rel=1e-6)
    # The columns are unrelated: their product is small beside both.
    assert found.scatter[0, 1] == pytest.approx(
        exact_sum(x * y), abs=1e-6 * np.sqrt(found.scatter[0, 0] * found.scatter[1, 1])
    )
