"""NIST's certified regressions, learned by gradient descent: how many digits agree.

The digits are those of the worst number, LRE = −log10(|value − certified| / |certified|); the certified values have 15.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from gdcore import Linear, fit

DATA = Path(__file__).parent / "data"
BACKENDS = ["kernel", "reference"]


def load(name):
    problem = json.loads((DATA / f"{name}.json").read_text())
    return np.array(problem["X"]), np.array(problem["y"]), problem["certified"]


def digits(values, certified):
    """Of the worst value."""
    errors = np.abs(np.asarray(values) - certified) / np.abs(certified)
    return 15.0 if not errors.any() else -math.log10(errors.max())


def residual_sd(model, X, Y, parameters):
    return math.sqrt(np.sum((Y - model.predict(X)) ** 2) / (len(Y) - parameters))


def norris(backend):
    """Trained on (x − mean) / sd; the line is then turned back into x's own units."""
    X, Y, certified = load("norris")
    mean, sd = X.mean(), X.std()
    run = fit((X - mean) / sd, Y, lr=0.2, epochs=60, backend=backend)
    weight = run.model.weights[0] / sd
    return Linear([weight], run.model.bias - weight * mean), run, X, Y, certified


def noint1(backend):
    X, Y, certified = load("noint1")
    run = fit(X, Y, Linear([0.0], None), lr=1e-4, epochs=200, backend=backend)
    return run.model, run, X, Y, certified


@pytest.mark.parametrize("backend", BACKENDS)
def test_norris(backend):
    line, run, X, Y, certified = norris(backend)
    assert digits([line.bias, line.weights[0]], certified["coefficients"]) >= 12
    assert digits(residual_sd(line, X, Y, 2), certified["residual_sd"]) >= 10
    r_squared = 1 - np.sum((Y - line.predict(X)) ** 2) / np.sum((Y - Y.mean()) ** 2)
    assert digits(r_squared, certified["r_squared"]) >= 12
    # The loss in the history is the residual sum of squares over n, whatever the units of x.
    wanted = certified["residual_sd"] ** 2 * (len(Y) - 2) / len(Y)
    assert digits(run.loss, wanted) >= 10


@pytest.mark.parametrize("backend", BACKENDS)
def test_noint1(backend):
    line, run, X, Y, certified = noint1(backend)
    assert line.bias is None
    assert digits(line.weights, certified["coefficients"]) >= 14
    assert digits(residual_sd(line, X, Y, 1), certified["residual_sd"]) >= 10
    r_squared = 1 - np.sum((Y - line.predict(X)) ** 2) / np.sum(Y**2)  # not centred: there is no intercept
    assert digits(r_squared, certified["r_squared"]) >= 12
    assert digits(run.loss, certified["residual_sd"] ** 2 * (len(Y) - 1) / len(Y)) >= 10


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("solve", [norris, noint1])
def test_the_digits_are_no_accident_of_the_last_epoch(backend, solve):
    line, run, X, Y, _ = solve(backend)
    more = run.resume(*((X, Y) if line.bias is None else ((X - X.mean()) / X.std(), Y)), epochs=500)
    np.testing.assert_allclose(more.model.weights, run.model.weights, rtol=1e-12)
    assert (np.diff(more.history.loss) <= 1e-12 * more.history.loss[:-1]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_raw_columns_do_not_converge_and_it_is_not_claimed(backend):
    # Norris's raw columns have a Hessian of condition 7e5: sixty epochs there are far from the line, and say so.
    X, Y, certified = load("norris")
    run = fit(X, Y, lr=2e-6, epochs=60, tol=1e-6, backend=backend)
    assert run.status == "epochs"
    assert run.gradient_norm > 1e-3
    assert digits([run.model.bias, run.model.weights[0]], certified["coefficients"]) < 1
