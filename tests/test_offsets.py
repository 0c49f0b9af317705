"""Offsets of rows: by plain formulas with them, by what another library makes of them, and what they do not go with."""

import importlib.util

import numpy as np
import pytest

import gdcore
from gdcore import Linear, fit, losses

RNG = np.random.default_rng(0)
N = 120
X = RNG.normal(size=(N, 3)) * [1, 5, 0.2] + [0, 20, 0]
RAW = X @ [0.3, -0.05, 1.0] + 0.5
OFFSET = RNG.normal(size=N) + 2
S = RNG.uniform(0.2, 3, N) * (np.arange(N) % 9 > 0)
RESIDUAL = [losses.mse(), losses.mae(), losses.huber(0.7), losses.quantile(0.3)]
AMOUNTS = [losses.poisson(), losses.gamma(), losses.tweedie(), losses.tweedie(1.2)]
every_loss = pytest.mark.parametrize("loss", RESIDUAL + AMOUNTS, ids=repr)
every_amount = pytest.mark.parametrize("loss", AMOUNTS, ids=repr)


def targets(loss):
    rng = np.random.default_rng(1)
    if loss in RESIDUAL:
        return RAW + OFFSET + rng.standard_t(3, N)
    mean = np.exp(RAW + OFFSET)
    return rng.poisson(mean).astype(float) if loss.name == "poisson" else mean * rng.gamma(2.0, 0.5, N)


def objective(loss, model, s, offset=OFFSET, l1=0.0, l2=0.0):
    """With the offsets, by the loss's own formula; and the slopes of the rows."""
    value, slope = loss.value_slope((X @ model.weights + model.bias + offset)[:, None], targets(loss)[:, None])
    w = model.weights
    return np.average(value[:, 0], weights=s) + l1 * np.abs(w).sum() + l2 / 2 * (w @ w), slope[:, 0] * s / s.sum()


@every_loss
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("options", [{}, {"l2": 0.05}, {"l1": 0.01}, {"bounds": (0, 0.5)}], ids=str)
def test_the_fit_is_that_of_the_formula_with_offsets(loss, weighted, options):
    s = S if weighted else np.ones(N)
    run = fit(X, targets(loss), loss=loss, sample_weight=S if weighted else None, offset=OFFSET, **options)
    assert run.status == "converged"
    penalties = {name: options.get(name, 0.0) for name in ("l1", "l2")}
    value, slope = objective(loss, run.model, s, **penalties)
    assert run.loss == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert run.history.loss[-1] == pytest.approx(value, rel=1e-9)
    start, _ = objective(loss, Linear(np.zeros(3), 0.0), s)
    assert run.history.start == pytest.approx(start, rel=1e-12)
    assert 0 <= run.gap <= 1e-8 * max(abs(start), abs(value))
    if not loss.kinked:
        size = np.abs(slope).sum()
        assert abs(slope.sum()) < 1e-8 * size
        if not options:
            assert np.abs(X.T @ slope).max() < 1e-8 * size * np.abs(X).max()
    rng = np.random.default_rng(2)
    for _ in range(10):  # no model near it is better by more than the gap
        w = run.model.weights + 1e-4 * rng.normal(size=3)
        w = np.clip(w, *options.get("bounds", (-np.inf, np.inf)))
        other, _ = objective(loss, Linear(w, run.model.bias + 1e-4 * rng.normal()), s, **penalties)
        assert other >= value - run.gap - 1e-13 * abs(value)


@every_amount
def test_statsmodels_says_the_same(loss):
    if importlib.util.find_spec("statsmodels") is None:
        pytest.skip("statsmodels is not installed")
    import statsmodels.api as sm

    families = {"poisson": sm.families.Poisson(), "gamma": sm.families.Gamma(sm.families.links.Log())}
    family = families.get(loss.name) or sm.families.Tweedie(sm.families.links.Log(), var_power=loss.power)
    wanted = sm.GLM(targets(loss), sm.add_constant(X), family, offset=OFFSET).fit(tol=1e-14, maxiter=200).params
    model = fit(X, targets(loss), loss=loss, offset=OFFSET).model
    np.testing.assert_allclose(np.append(model.bias, model.weights), wanted, rtol=1e-7, atol=1e-9)


def test_an_exposure_is_the_logarithm_of_an_offset():
    exposure = RNG.uniform(0.1, 2, N)
    counts = np.random.default_rng(3).poisson(exposure * np.exp(RAW)).astype(float)
    run = fit(X, counts, loss="poisson", offset=np.log(exposure))
    rates = fit(X, counts / exposure, loss="poisson", sample_weight=exposure)
    np.testing.assert_allclose(run.model.weights, rates.model.weights, rtol=1e-8)
    assert run.model.bias == pytest.approx(rates.model.bias, rel=1e-8)
    np.testing.assert_allclose(run.predict(X, offset=np.log(exposure)), exposure * run.predict(X), rtol=1e-12)
    np.testing.assert_allclose(
        run.model.linear_predictor(X, offset=OFFSET), X @ run.model.weights + run.model.bias + OFFSET, rtol=1e-12
    )


def test_the_textbooks_steps():
    Y, w, b = targets(losses.mse()), np.zeros(3), 0.0
    for _ in range(5):
        r = 2 * (X @ w + b + OFFSET - Y) / N
        w, b = w - 0.001 * X.T @ r, b - 0.001 * r.sum()
    run = fit(X, Y, lr=0.001, epochs=5, offset=OFFSET, method="stream")
    np.testing.assert_allclose(run.model.weights, w, rtol=1e-11)
    assert run.model.bias == pytest.approx(b, rel=1e-11)
    outputs = fit(X, np.column_stack([Y, Y]), offset=np.column_stack([OFFSET, 0 * OFFSET])).model
    np.testing.assert_allclose(outputs.weights[:, 0], fit(X, Y, offset=OFFSET).model.weights, rtol=1e-9)
    np.testing.assert_allclose(outputs.weights[:, 1], fit(X, Y).model.weights, rtol=1e-9)


@pytest.mark.parametrize("loss", ["huber", "poisson"])
def test_a_run_goes_on_and_is_looked_on(loss):
    Y, seen = targets(losses.get(loss)), []
    whole = fit(X, Y, loss=loss, offset=OFFSET, epochs=4, tol=0.0, callback=seen.append, keep_weights=True)
    part = fit(X, Y, loss=loss, offset=OFFSET, epochs=2, tol=0.0).resume(X, Y, 2)
    np.testing.assert_array_equal(part.model.weights, whole.model.weights)
    assert part.model.bias == whole.model.bias
    np.testing.assert_array_equal(part.history.loss, whole.history.loss)
    assert [epoch.loss for epoch in seen] == whole.history.loss.tolist()
    assert seen[-1].model.bias == whole.models[-1].bias == whole.model.bias
    other = whole.resume(X, Y, 50, offset=OFFSET + 1.0)
    assert other.model.bias == pytest.approx(fit(X, Y, loss=loss, offset=OFFSET + 1.0).model.bias, rel=1e-6)


def test_offsets_far_from_one_another_and_float32():
    far = np.where(np.arange(N) % 2, 150.0, -150.0)
    sizes = np.random.default_rng(4).gamma(2.0, 1.0, N)
    run, wanted = fit(X, sizes * np.exp(far), loss="gamma", offset=far), fit(X, sizes, loss="gamma")
    np.testing.assert_allclose(run.model.weights, wanted.model.weights, rtol=1e-7, atol=1e-10)
    with pytest.raises(ValueError, match="offset goes from -800 to 800: their exponentials are too far apart"):
        fit(X, np.ones(N), loss="poisson", offset=np.where(np.arange(N) % 2, 800.0, -800.0))
    single = fit(X.astype("f4"), targets(losses.poisson()).astype("f4"), loss="poisson", offset=OFFSET)
    assert single.model.weights.dtype == single.model.bias.dtype == np.float32
    wanted = fit(X, targets(losses.poisson()), loss="poisson", offset=OFFSET).model
    np.testing.assert_allclose(single.model.weights, wanted.weights, rtol=1e-3)


def test_errors_of_a_fit_with_offsets():
    Y = targets(losses.mse())
    run = fit(X, Y, offset=OFFSET)
    found, wanted = gdcore.inference(run, X, Y, offset=OFFSET), gdcore.inference(fit(X, Y - OFFSET), X, Y - OFFSET)
    np.testing.assert_array_equal(found.bse, wanted.bse)
    with pytest.raises(ValueError, match="not the best ones for these rows"):
        gdcore.inference(run, X, Y)
    counts = fit(X, targets(losses.poisson()), loss="poisson", offset=OFFSET)
    with pytest.raises(ValueError, match="offset is for arrays and losses of the residual, found poisson"):
        gdcore.inference(counts, X, targets(losses.poisson()), offset=OFFSET)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"offset": OFFSET[:-1]}, ValueError, r"offset must have shape \(120,\), one number a row, found shape \(119,\)"),
        ({"offset": np.where(np.arange(N) == 3, np.nan, 0.0)}, ValueError, r"offset\[3\] is nan"),
        ({"offset": "a"}, TypeError, "offset"),
        (
            {"loss": "logistic"},
            ValueError,
            "offset is for the losses mse, mae, huber, quantile, poisson, gamma, tweedie, found",
        ),
        ({"loss": "softmax"}, ValueError, "offset is for the losses .*, found softmax"),
        ({"model": gdcore.MLP([3, 1])}, ValueError, "offset is for linear models, and the model is a MLP"),
        ({"validation": (X, OFFSET)}, ValueError, "validation has no offsets of its own"),
        ({"loss": "poisson", "lr": 0.1}, ValueError, "offset of a loss with a link goes with lr='auto', and without verbose"),
        ({"loss": "poisson", "model": Linear(np.zeros(3), None)}, ValueError, "offset of poisson needs a model with a bias"),
    ],
)
def test_what_offsets_do_not_go_with(options, error, message):
    Y = np.ones(N)
    with pytest.raises(error, match=message):
        fit(X, Y, **{"offset": OFFSET} | options)


def test_offsets_are_for_arrays(tmp_path):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(X, columns=list("abc")).assign(y=RAW).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TypeError, match="offset is for arrays"):
        fit(gdcore.open_table(tmp_path / "t.csv", "y"), offset=OFFSET)
    gamma = fit(X, np.exp(RAW), Linear(np.zeros(3), None), loss="gamma", offset=OFFSET)  # no weight changes: no bias is needed
    assert gamma.status == "converged"
