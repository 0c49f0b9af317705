"""Learning rates past their limit: no run ends worse than a model of zeros without a word that names the true cause."""

import contextlib
import re
import warnings

import numpy as np
import pytest

import gdcore
from gdcore import MLP, SGD, DivergenceError, DivergenceWarning, LearningRateWarning, Linear, fit, spectrum


def gaussian(n=200, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ np.arange(1.0, d + 1) + rng.normal(size=n)


def expected_smoothness(X, b, curvature=2.0):
    """L_b of a linear model with a bias, from its formula."""
    n, Z = len(X), np.column_stack([X, np.ones(len(X))])
    largest = curvature * np.linalg.eigvalsh(Z.T @ Z / n)[-1]
    row = curvature * np.max(np.sum(Z**2, axis=1))
    return n * (b - 1) / (b * (n - 1)) * largest + (n - b) / (b * (n - 1)) * row


@pytest.mark.parametrize("b", [1, 8])
def test_batches_have_a_limit_of_their_own(b):
    X, Y = gaussian()
    X[::50] *= 25
    limit = 2 / expected_smoothness(X, b)
    assert limit < 0.5 * spectrum(X).lr_limit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(X, Y, lr=0.99 * limit, batch_size=b, epochs=3)
    with pytest.warns(LearningRateWarning, match=f"past the limit of batches of {b} {limit:.6g}.*longest row"):
        fit(X, Y, lr=1.01 * limit, batch_size=b, epochs=0)


def test_batches_past_their_limit_are_ended_before_they_return_garbage():
    X, Y = gaussian(1000)
    X[::100] *= 25
    with pytest.warns(LearningRateWarning), pytest.raises(DivergenceError, match=r"climbed above .* in epoch 1 ") as caught:
        fit(X, Y, lr=0.9 * spectrum(X).lr_limit, batch_size=1, epochs=3)
    assert caught.value.run.epochs == 0
    assert not caught.value.run.model.weights.any()


def test_the_loss_of_the_start_is_found_once(monkeypatch):
    X, Y = gaussian()
    found, at = [], gdcore.descent.problem.Problem.objective_at

    def objective_at(self, weights, bias=None):
        found.append(float(np.abs(weights).sum()))
        return at(self, weights, bias)

    monkeypatch.setattr(gdcore.descent.problem.Problem, "objective_at", objective_at)
    limit = 2 / expected_smoothness(X, 8)
    with pytest.warns(LearningRateWarning):
        run = fit(X, Y, lr=1.01 * limit, batch_size=8, epochs=1)
    assert run.history.start == pytest.approx(np.mean(Y**2), rel=1e-12)
    assert [size for size in found if size == 0] == [0.0]
    assert len(found) == 2  # the other one is that of the end


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_limit_of_batches_with_momentum_is_that_of_one_column(momentum):
    # E‖error‖² of one column whose rows are drawn anew in every step: a recursion of three numbers.
    rng = np.random.default_rng(0)
    x = np.where(rng.random(400) < 0.25, 4.0, 0.0)  # rows have the curvature 32 or none, so E h² = L_1·h̄ exactly
    n, mean, square = len(x), 2 * np.mean(x**2), 4 * np.mean(x**4)
    found = n / (n - 1) * (square - mean**2)  # of one row, drawn without repetition

    def radius(lr):
        m, v = 1 + momentum - lr * mean, lr**2 * found * (n - 1) / n
        step = np.array([[m * m + v, -2 * m * momentum, momentum**2], [m, -momentum, 0], [1, 0, 0]])
        return np.max(np.abs(np.linalg.eigvals(step)))

    low, high = 0.0, 4 / mean
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if radius(middle) < 1 else (low, middle)
    with pytest.warns(LearningRateWarning, match="past the limit") as told:
        fit(x[:, None], x, Linear([0.0], None), optimizer=SGD(momentum), lr=1.5 * low, batch_size=1, epochs=0)
    limit = float(str(told[0].message).split(" of batches of 1 ")[1].split(",")[0])
    assert limit == pytest.approx(low, rel=1e-3)


def test_many_columns_are_warned_of_and_ended():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 2049), np.float32)
    Y = X[:, 0].copy()
    with pytest.warns(LearningRateWarning, match="past the limit"), pytest.raises(DivergenceError, match="above that"):
        fit(X, Y, lr=1.0, epochs=8)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "mae", "lr": 1e6},
        {"optimizer": "adam", "lr": 1e6},
        {"optimizer": "adam", "lr": 1e6, "batch_size": 16},
        {"optimizer": "rmsprop", "lr": 1e3, "epochs": 1},
        {"loss": "huber", "optimizer": "adagrad", "lr": 1e3},
        {"optimizer": SGD(0.999), "lr": 0.6, "epochs": 2},
    ],
    ids=str,
)
def test_without_a_known_limit_the_end_is_told(options):
    X, Y = gaussian()
    loss = options.get("loss", "mse")
    zeros = fit(X, Y, loss=loss, lr=0.0, epochs=0).loss
    text = re.escape(f"of a model of zeros, {zeros:.6g}: lr = {options['lr']:g} is too large")
    with pytest.warns(DivergenceWarning, match=text) as told:
        run = fit(X, Y, **{"epochs": 3} | options)
    assert told[0].filename == __file__
    assert run.loss > zeros


def test_a_run_that_is_no_worse_than_its_start_is_not_blamed():
    X, Y = gaussian()
    far = Linear([1e3, 1e3, 1e3], 0.0)
    run = fit(X, Y, far, lr=0.01, epochs=3)  # still far above a model of zeros, but on its way; no warning
    assert run.loss > np.mean(Y**2)


def test_a_network_that_ends_above_zeros_is_told():
    X, Y = gaussian()
    with pytest.warns(DivergenceWarning, match="too large"):
        fit(X, Y, MLP([3, 8, 1]), lr=30.0, epochs=3, optimizer="adam")


def test_a_number_past_2_in_a_metric():
    X, Y = gaussian()
    with (
        pytest.warns(LearningRateWarning, match=r"lr = 3 is past the limit 2, .*: in the metric H"),
        pytest.raises(DivergenceError, match=r"climbed above that of the all-zero model in epoch .* The limit is 2"),
    ):
        fit(X, Y, lr=3.0, precondition="gram", epochs=40)


def test_the_bias_is_blamed_where_it_is_to_blame():
    X, Y = gaussian()
    with pytest.warns(LearningRateWarning, match=r"the bias drives it, with \d+% of"), pytest.raises(DivergenceError):
        fit(X / 10, Y, lr=1.2, epochs=1000)


def test_the_error_tells_both_losses():
    X, Y = gaussian()
    lr = 3 * spectrum(X).lr_limit
    Z, w = np.column_stack([X, np.ones(len(X))]), np.zeros(4)
    losses = [np.mean(Y**2)]
    while losses[-1] <= losses[0]:
        w = w - lr * 2 * Z.T @ (Z @ w - Y) / len(X)
        losses.append(np.mean((Z @ w - Y) ** 2))
    with pytest.warns(LearningRateWarning), pytest.raises(DivergenceError) as caught:
        fit(X, Y, lr=lr, epochs=100)
    text = f"in epoch {len(losses) - 1} at lr = {lr:g}; it is {losses[-1]:.6g} there, after {losses[-2]:.6g}."
    assert text in str(caught.value)


def test_the_lr_that_the_schedule_made_is_told():
    X, Y = gaussian()
    with pytest.raises(DivergenceError, match=r"in epoch 3 at lr = 1e\+300;"):
        fit(X, Y, lr=0.1, epochs=5, schedule=lambda epoch: 1e301 if epoch == 2 else 1.0)


def test_no_smaller_lr_is_advised_where_gdcore_chose_it():
    X = np.array([[1e-300], [2e-300], [3e-300]])
    text = ""
    with warnings.catch_warnings(), contextlib.suppress(DivergenceError, ValueError):
        warnings.simplefilter("ignore")
        try:
            fit(X, [1.0, 2.0, 2.5])
        except Exception as error:
            text = str(error)
            raise
    assert "smaller lr" not in text


@pytest.mark.parametrize("scale", [1e-153, 1e-158, 1e-162])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "logistic"])
def test_columns_whose_squares_underflow_are_named(loss, scale):
    X, Y = gaussian()
    X[:, 1] *= scale
    with pytest.raises(ValueError, match=r"squares of column 1 of X, whose mean is .*, underflow; scale the columns"):
        fit(X, Y > 0 if loss == "logistic" else Y, loss=loss)


def test_there_are_words_for_it():
    assert issubclass(gdcore.DivergenceWarning, UserWarning)
