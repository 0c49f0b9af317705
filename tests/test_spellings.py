"""A loss with its parameter is spelled in several ways, and every function that takes a loss takes each of them."""

import json

import numpy as np
import pytest

import gdcore
from gdcore import cli, losses
from gdcore.estimators import GDRegressor

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2))
Y = X @ [1.0, -2.0] + 3 * RNG.standard_t(2, size=60)


def pinball(r, tau):
    return float(np.mean(np.maximum(tau * r, (tau - 1) * r)))


def huber(r, delta):
    return float(np.mean(np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2))))


SPELLINGS = {
    "quantile": (0.9, pinball, [("quantile:0.9", {}), (losses.quantile(tau=0.9), {}), ("quantile", {"tau": 0.9})]),
    "huber": (2.0, huber, [("huber:2.0", {}), ("huber:2", {}), (losses.huber(delta=2.0), {}), ("huber", {"delta": 2.0})]),
}
CASES = [(name, *spelling) for name, (_, _, spellings) in SPELLINGS.items() for spelling in spellings]


@pytest.mark.parametrize(("name", "loss", "more"), CASES, ids=str)
def test_every_function_takes_every_spelling(name, loss, more, tmp_path, capsys):
    parameter, formula, _ = SPELLINGS[name]
    run = gdcore.fit(X, Y, loss=loss, **more)
    assert run.loss == pytest.approx(formula(Y - run.predict(X), parameter), rel=1e-12)
    assert run.model.loss == losses.LOSSES[name](parameter)
    assert run.loss < formula(Y - gdcore.fit(X, Y, loss=name).predict(X), parameter)  # the default's parameter is another
    estimator = GDRegressor(loss, **more).fit(X, Y)
    np.testing.assert_array_equal(estimator.coef_, run.model.weights)
    trained = gdcore.train(X, Y, [1.0, 2.0], 0.05, 1, loss=loss, **more)
    slope = formula_slope(name, X @ [1.0, 2.0] - Y, parameter)
    np.testing.assert_allclose(trained, np.array([1.0, 2.0]) - 0.05 * X.T @ slope / len(Y), rtol=1e-12)
    assert gdcore.check_gradient(gdcore.Linear([1.0, 2.0], 0.5), X, Y, loss, **more) < 1e-6
    if name == "huber":
        assert gdcore.spectrum(X, loss=loss, **more).largest == gdcore.spectrum(X, loss=losses.huber(2.0)).largest
    if not more:
        path = str(tmp_path / "t.csv")
        np.savetxt(path, np.c_[X, Y], delimiter=",", header="a,b,y", comments="", fmt="%.17g")
        table = gdcore.open_table(path, "y", loss=loss)
        assert table.loss == run.model.loss
        if isinstance(loss, str):
            told = ["--target", "y", "--loss", loss, "--test-size", "0", "--json", "--out", str(tmp_path / "t.safetensors")]
            assert cli.main(["train", path, *told]) == 0
            told = json.loads(capsys.readouterr().out)
            assert told["train"]["loss"] == pytest.approx(run.loss, rel=1e-6)


def formula_slope(name, r, parameter):
    return np.clip(r, -parameter, parameter) if name == "huber" else np.where(r > 0, 1 - parameter, -parameter)


@pytest.mark.parametrize(("name", "loss", "more"), CASES, ids=str)
def test_a_cluster_takes_every_spelling(name, loss, more):
    array = pytest.importorskip("dask.array")
    import gdcore.distributed

    rows, targets = array.from_array(X, chunks=(20, 2)), array.from_array(Y, chunks=20)
    run = gdcore.distributed.fit(rows, targets, loss=loss, **more)
    parameter, formula, _ = SPELLINGS[name]
    assert run.loss == pytest.approx(formula(Y - run.predict(X), parameter), rel=1e-9)
    if name == "huber":
        found = gdcore.distributed.spectrum(rows, loss=loss, **more)
        assert found.largest == pytest.approx(gdcore.spectrum(X, loss="huber").largest, rel=1e-12)


@pytest.mark.parametrize("make", [losses.mse, losses.mae, losses.huber, losses.quantile, losses.logistic, losses.softmax])
def test_a_loss_tells_its_spelling_and_is_read_from_it(make):
    parameters = [(), (0.1 + 0.2,)] if make.__name__ in losses.PARAMETERS else [()]
    for parameter in parameters:
        loss = make(*parameter)
        assert losses.get(loss.spelling) == loss
        assert losses.get(loss) is loss


@pytest.mark.parametrize(
    ("loss", "more", "said"),
    [
        (
            "rmse",
            {},
            "loss must be 'mse', .*'softmax', with a parameter 'huber:1.0', 'quantile:0.5' and 'tweedie:1.5', found 'rmse'",
        ),
        ("rmse:2", {}, "loss must be 'mse', .*, found 'rmse:2'"),
        ("HUBER", {}, "loss must be .*, found 'HUBER'"),
        (":2", {}, "loss must be .*, found ':2'"),
        ("mse:2", {}, "loss 'mse:2': mse has no parameter; .* as 'huber:1.0', 'quantile:0.5' and 'tweedie:1.5'"),
        ("huber:", {}, "loss 'huber:': after the colon a number is wanted, as in 'huber:1.0'"),
        ("huber:1:2", {}, "loss 'huber:1:2': after the colon a number is wanted"),
        ("huber:nan", {}, "loss 'huber:nan': delta must be finite and above 0, found nan"),
        ("quantile:90", {}, "loss 'quantile:90': tau must be above 0 and below 1, found 90.0"),
        ("quantile", {"tau": 1.5}, "loss 'quantile': tau must be above 0 and below 1, found 1.5"),
        ("mse", {"tau": 0.9}, "loss 'mse' has no tau, which is a parameter of 'quantile'"),
        ("quantile:0.9", {"delta": 2.0}, "loss 'quantile:0.9' has no delta, which is a parameter of 'huber'"),
        ("quantile:0.9", {"tau": 0.8}, "loss 'quantile:0.9' and tau=0.8 are two values for one parameter"),
        (losses.huber(2.0), {"delta": 3.0}, "loss 'huber:2.0' and delta=3.0 are two values for one parameter"),
    ],
    ids=str,
)
def test_what_is_no_loss_is_told(loss, more, said):
    for function in (losses.get, lambda loss, **more: gdcore.fit(X, Y, loss=loss, **more)):
        with pytest.raises(ValueError, match=f"^{said}"):
            function(loss, **more)


def test_the_same_parameter_may_be_told_twice():
    assert losses.get("quantile:0.9", tau=0.9) == losses.get(losses.quantile(0.9), tau=0.9) == losses.quantile(0.9)


def test_a_regressor_knows_the_parameter_of_its_own_loss_only():
    wanted = GDRegressor("quantile", tau=0.9).fit(X, Y).coef_
    np.testing.assert_array_equal(GDRegressor("quantile:0.9", delta=3.0).fit(X, Y).coef_, wanted)
    with pytest.raises(ValueError, match=r"loss 'quantile:0\.9' and tau=0\.8 are two values"):
        GDRegressor("quantile:0.9", tau=0.8).fit(X, Y)
    with pytest.raises(ValueError, match="loss 'logistic' is for classes, which GDClassifier learns"):
        GDRegressor("logistic").fit(X, Y)
