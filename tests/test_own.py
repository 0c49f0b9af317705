"""Losses and optimizers of one's own: they train, in NumPy and with a warning, as gdcore's do where formulas are the same."""

import pickle
import warnings

import numpy as np
import pytest
from test_registry import rows
from test_tables import Cut

import gdcore
from gdcore import MLP, Linear, SpeedWarning, fit, losses, optimizers
from gdcore.estimators import GDRegressor
from gdcore.losses import Loss
from gdcore.optimizers import Optimizer
from gdcore.rows.tables import Piece
from gdcore.scores import summed

REFERENCE = {"backend": "reference"}


class Tight(Loss):
    """log cosh r, which tells nothing but its slope."""

    def value_slope(self, raw, Y):
        size = np.abs(raw - Y)
        return size + np.log1p(np.exp(-2 * size)) - np.log(2), np.tanh(raw - Y)


class Bounded(Tight):
    curvature = 1.0


class Curved(Tight):
    def second(self, raw, Y):
        return 1 - np.tanh(raw - Y) ** 2


class Whole(Curved):
    curvature = 1.0
    nonnegative = True

    def sides(self):
        return -1.0, 1.0

    def conjugate(self, u, Y):
        inside = np.abs(u) < 1
        v = np.where(inside, u, 0)
        entropy = ((1 + v) * np.log1p(v) + (1 - v) * np.log1p(-v)) / 2
        return np.where(inside, entropy, np.where(np.abs(u) == 1, np.log(2), np.inf)) + u * Y


class Scaled(Loss):
    """c·½r², whose parameter stands in its name."""

    def __init__(self, c=1.0):
        super().__init__(c=c)

    def value_slope(self, raw, Y):
        r = raw - Y
        return self.c / 2 * r * r, self.c * r


class Counts(Loss):
    """Poisson's, whose curvature has no bound, and which can be negative."""

    def value_slope(self, raw, Y):
        e = np.exp(raw)
        return e - Y * raw, e - Y

    def second(self, raw, Y):
        return np.exp(raw)


def own(loss):
    """The same formulas in a class that the kernel does not know."""
    return type("Own", (type(loss),), {"__module__": __name__})(**loss.parameters)


@pytest.fixture
def registered():
    """What is registered in a test is forgotten after it."""
    before = dict(losses.LOSSES), dict(losses.PARAMETERS)
    yield losses.register
    for table, kept in zip((losses.LOSSES, losses.PARAMETERS), before, strict=True):
        table.clear()
        table.update(kept)


# Losses ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("penalties", [{}, {"l2": 0.1}, {"l1": 0.02}], ids=str)
def test_a_loss_with_all_its_formulas_trains_as_the_kernels(name, penalties):
    loss = losses.get(name)
    X, y = rows(loss)
    wanted, run = fit(X, y, loss=loss, **penalties), fit(X, y, loss=own(loss), **REFERENCE, **penalties)
    assert run.status == "converged"
    assert run.loss == pytest.approx(wanted.loss, rel=1e-9)
    np.testing.assert_allclose(run.model.weights, wanted.model.weights, rtol=1e-5, atol=1e-6)
    assert run.gap <= 1e-8 * abs(run.loss)


def test_one_warning_says_that_it_is_slower():
    X, y = rows(Tight())
    for options in ({"loss": Bounded()}, {"optimizer": Halving(), "lr": 0.01}, {"loss": Bounded(), "optimizer": Halving()}):
        with pytest.warns(SpeedWarning, match=r"does not know .*NumPy.*backend='reference'") as told:
            run = fit(X, y, epochs=3, **options)
        told = [one for one in told if one.category is SpeedWarning]
        assert [one.filename for one in told] == [__file__]
        run.resume(X, y, epochs=2)  # not once more
        same = fit(X, y, epochs=3, **options, **REFERENCE)
        assert same.model.weights.tobytes() == run.model.weights.tobytes()


@pytest.mark.parametrize("loss", [Bounded(), Curved(), Whole()], ids=repr)
@pytest.mark.parametrize("penalties", [{}, {"l2": 0.1}, {"l1": 0.02}, {"l1": 0.02, "l2": 0.05}], ids=str)
def test_what_a_loss_tells_is_what_is_done_with_it(loss, penalties):
    X, y = rows(loss)
    run = fit(X, y, loss=loss, **REFERENCE, **penalties)
    assert run.status == "converged"
    best = fit(X, y, loss=Whole(), tol=1e-14, **REFERENCE, **penalties)
    assert 0 <= run.loss - best.loss + 1e-15 <= 1e-9
    if loss == Whole():
        assert run.loss - best.loss <= run.gap + 1e-15 <= 1e-9
        assert run.epochs < 12
    else:
        assert run.gap is None
    assert (run.spectrum is None) == (loss.curvature is None)


def test_a_loss_that_tells_its_slope_wants_a_learning_rate():
    X, y = rows(Tight())
    with pytest.raises(ValueError, match=r"curvature of the loss tight.*second derivative.*give a number for lr"):
        fit(X, y, loss=Tight(), **REFERENCE)
    with pytest.raises(ValueError, match="optimizer='newton' needs a second derivative"):
        fit(X, y, loss=Bounded(), optimizer="newton", **REFERENCE)
    with pytest.raises(ValueError, match="counts has no curvature bound, and so no spectrum: its class tells none"):
        gdcore.spectrum(X, loss=Counts())
    with pytest.raises(ValueError, match="mae has no curvature bound, and so no spectrum: its slope jumps"):
        gdcore.spectrum(X, loss="mae")
    with pytest.raises(ValueError, match="counts has no curvature bound, which optimizer='nesterov'"):
        fit(X, np.abs(y), loss=Counts(), optimizer="nesterov", **REFERENCE)
    best = fit(X, y, loss=Whole(), **REFERENCE)
    run = fit(X, y, loss=Tight(), lr=0.2, epochs=2000, tol=1e-13, **REFERENCE)
    assert run.loss == pytest.approx(best.loss, rel=1e-12)
    np.testing.assert_allclose(run.model.weights, best.model.weights, rtol=1e-6)


def test_a_loss_without_a_bound_that_can_be_negative():
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (400, 3))
    y = rng.poisson(np.exp(X @ [0.5, -1.0, 0.2] + 1)) * 1.0
    run = fit(X, y, loss=Counts(), **REFERENCE)
    assert run.status == "converged"
    assert run.loss < 0
    residuals = np.exp(X @ run.model.weights + run.model.bias) - y
    assert np.abs(X.T @ residuals).max() < 1e-6
    assert abs(residuals.sum()) < 1e-6
    assert run.gap is None


@pytest.mark.parametrize("options", [{}, {"l1": 0.01}, {"lr": 0.1, "optimizer": "adam"}, {"lr": 0.05}], ids=str)
def test_pieces_of_a_table(options):
    X, y = rows(Whole(), n=5000)
    s = np.random.default_rng(1).uniform(0.5, 2, len(X))
    table = Cut(X, y, s, 3)
    run = fit(table, loss=Whole(), epochs=20, **REFERENCE, **options)
    whole = fit(X, y, loss=Whole(), sample_weight=s, epochs=20, **REFERENCE, **options)
    assert run.loss == pytest.approx(whole.loss, rel=1e-12)
    np.testing.assert_allclose(run.model.weights, whole.model.weights, rtol=1e-9)


def test_weights_of_rows_batches_and_networks():
    X, y = rows(Whole())
    s = np.random.default_rng(1).integers(0, 3, len(X)) * 1.0
    repeated = np.repeat(np.arange(len(X)), s.astype(int))
    one = fit(X, y, loss=Whole(), sample_weight=s, **REFERENCE)
    other = fit(X[repeated], y[repeated], loss=Whole(), **REFERENCE)
    np.testing.assert_allclose(one.model.weights, other.model.weights, rtol=1e-9)
    run = fit(X, y, loss=Tight(), lr=0.05, epochs=50, batch_size=16, **REFERENCE)
    assert run.loss < 1.1 * other.loss + 0.5
    network = fit(X, y, MLP([3, 4, 1], seed=0), loss=Tight(), epochs=200, **REFERENCE)
    assert network.loss < fit(X, y, MLP([3, 4, 1], seed=0), loss=Tight(), epochs=0, **REFERENCE).loss
    small = fit(X.astype("f4"), y.astype("f4"), loss=Whole(), **REFERENCE)
    assert small.model.weights.dtype == np.float32
    assert small.status == "converged"
    assert gdcore.train(X, y, [0.0, 0.0, 0.0], 0.01, 5, decimals=3, loss=Whole()).shape == (3,)


def test_gradients_are_checked():
    X, y = rows(Tight())
    assert gdcore.check_gradient(Linear([0.5, -1.0, 0.1], 0.2), X, y, Tight()) < 1e-8

    class Wrong(Tight):
        def value_slope(self, raw, Y):
            value, slope = super().value_slope(raw, Y)
            return value, 1.1 * slope

    assert gdcore.check_gradient(Linear([0.5, -1.0, 0.1], 0.2), X, y, Wrong()) > 0.05


def test_formulas_of_a_wrong_shape():
    class Summed(Tight):
        def value_slope(self, raw, Y):
            value, slope = super().value_slope(raw, Y)
            return value.sum(axis=1), slope

    class Nothing(Loss):
        pass

    X, y = rows(Tight())
    with pytest.raises(ValueError, match=r"losses of shape \(120,\) and slopes of shape \(120, 1\)"):
        fit(X, y, loss=Summed(), lr=0.1, **REFERENCE)
    with pytest.raises(NotImplementedError, match=r"nothing has no formula: its class must define value_slope"):
        fit(X, y, loss=Nothing(), lr=0.1, **REFERENCE)


def test_two_classes(capsys):
    class SquaredHinge(Loss):
        targets = "binary"
        curvature = 2.0
        nonnegative = True

        def value_slope(self, raw, Y):
            side = 2 * Y - 1
            short = np.maximum(1 - side * raw, 0)
            return short**2, -2 * side * short

        def second(self, raw, Y):
            return 2.0 * ((2 * Y - 1) * raw < 1)

    X, y = rows(losses.logistic())
    run = fit(X, y, loss=SquaredHinge(), **REFERENCE)
    assert run.status == "converged"
    slope = SquaredHinge().value_slope((X @ run.model.weights + run.model.bias)[:, None], y[:, None])[1]
    assert np.abs(X.T @ slope).max() < 1e-8
    assert summed([Piece(X, y[:, None], None)], run.model, SquaredHinge()).scores().loss == pytest.approx(run.loss)
    fit(X, y, loss=SquaredHinge(), epochs=1, verbose=True, **REFERENCE)
    assert "new prediction: " in capsys.readouterr().out
    apart = (X[:, 0] > 1) * 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # classes that are separated have best weights by this loss
        assert fit(X, apart, loss=SquaredHinge(), **REFERENCE).loss < 1e-10
    with pytest.raises(ValueError, match="trained with 'squaredhinge'"):
        run.model.predict_proba(X)
    with pytest.raises(ValueError, match=r"Y\[0\] is 2.0"):
        fit(X, y + 2, loss=SquaredHinge(), **REFERENCE)


def test_a_model_that_is_saved(tmp_path, registered):
    X, y = rows(Tight())
    models = [fit(X, y, loss=loss, lr=0.01, epochs=2, **REFERENCE).model for loss in (Tight(), Scaled(3.0))]
    for model in models:
        with pytest.raises(ValueError, match=r"not known by its name.*gdcore\.losses\.register"):
            gdcore.save(model, tmp_path / "model.safetensors")
        assert pickle.loads(pickle.dumps(model)).loss == model.loss
    registered(Tight)
    registered(Scaled)
    for model in models:
        path = tmp_path / f"{model.loss.name}.safetensors"
        gdcore.save(model, path)
        assert gdcore.load(path).loss == model.loss
    assert losses.get("scaled:3.0") == losses.get("scaled", c=3.0) == Scaled(3.0)
    assert fit(X, y, loss="tight", lr=0.01, epochs=2, **REFERENCE).model.weights.tobytes() == models[0].weights.tobytes()
    losses.LOSSES.pop("tight")
    with pytest.raises(gdcore.store.files.FileError, match=r"loss must be .*, found 'tight'"):
        gdcore.load(tmp_path / "tight.safetensors")


def test_what_cannot_be_registered(registered):
    class Two(Tight):
        def __init__(self, a=1.0, b=2.0):
            super().__init__(a=a, b=b)

    with pytest.raises(ValueError, match="at most one parameter, found a, b"):
        registered(Two)
    with pytest.raises(ValueError, match="gdcore has a loss 'mse'"):
        registered(type("Mse", (Tight,), {}))
    for other in (3, dict, Tight()):
        with pytest.raises(TypeError, match=r"kind must be a subclass of gdcore\.losses\.Loss, found "):
            registered(other)


def test_a_checkpoint(tmp_path):
    X, y = rows(Whole())
    path = tmp_path / "run.checkpoint"
    whole = fit(X, y, loss=Bounded(), epochs=6, **REFERENCE)
    fit(X, y, loss=Bounded(), epochs=3, checkpoint=path, **REFERENCE)
    run = fit(X, y, loss=Bounded(), epochs=6, checkpoint=path, resume=True, **REFERENCE)
    assert run.model.weights.tobytes() == whole.model.weights.tobytes()
    with pytest.raises(ValueError, match="loss"):
        fit(X, y, loss=Scaled(2.0), epochs=6, checkpoint=path, resume=True, lr="auto", **REFERENCE)


def test_an_estimator():
    X, y = rows(Whole())
    model = GDRegressor(loss=Whole(), backend="reference").fit(X, y)
    np.testing.assert_allclose(model.coef_, fit(X, y, loss=Whole(), **REFERENCE).model.weights)


# Optimizers -----------------------------------------------------------------------------------------------------------------


class Halving(Optimizer):
    """Steps of half the size every time."""

    def update(self, parameters, gradient, lr, state, number):
        parameters -= lr * gradient / 2**number


class Lion(Optimizer):
    """Steps by the sign of a momentum (Chen and others 2023)."""

    slots = 1
    lr = 1e-3

    def __init__(self, keep=0.9):
        super().__init__(keep=keep)

    def update(self, parameters, gradient, lr, state, number):
        keep = self.parameters["keep"]
        parameters -= lr * np.sign(keep * state[0] + (1 - keep) * gradient)
        state[0] = 0.99 * state[0] + 0.01 * gradient


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [None, 16])
def test_an_optimizer_with_the_same_formula_trains_as_the_kernels(name, batch_size):
    X, y = rows(losses.mse())
    kind = optimizers.OPTIMIZERS[name]
    mine = type(kind.__name__, (kind,), {})()
    options = {"lr": 0.01, "epochs": 20, "batch_size": batch_size, "method": "stream"}
    wanted, run = fit(X, y, optimizer=name, **options), fit(X, y, optimizer=mine, **options, **REFERENCE)
    assert not mine.compiled
    assert mine.rule[0] is mine
    np.testing.assert_allclose(run.model.weights, wanted.model.weights, rtol=1e-9)
    network = [fit(X, y, MLP([3, 4, 1], seed=0), optimizer=o, **options, **REFERENCE) for o in (name, mine)]
    np.testing.assert_array_equal(network[0].history.loss, network[1].history.loss)


def test_an_optimizer_by_its_formula():
    X, y = rows(losses.mse())
    run = fit(X, y, Linear(np.zeros(3), None), optimizer=Halving(), lr=0.1, epochs=3, **REFERENCE)
    w = np.zeros(3)
    for number in (1, 2, 3):
        w -= 0.1 * 2 * X.T @ (X @ w - y) / len(X) / 2**number
    np.testing.assert_allclose(run.model.weights, w, rtol=1e-12)


def test_an_optimizers_state_its_default_lr_and_going_on():
    X, y = rows(losses.mse())
    for data in ((X, y), (Cut(X, y, None, 0),)):
        whole = fit(*data, optimizer=Lion(), epochs=20, **REFERENCE)
        assert (whole.history.lr == 1e-3).all()
        half = fit(*data, optimizer=Lion(), epochs=10, **REFERENCE)
        run = half.resume(*(data if len(data) == 2 else (*data, None)), epochs=10)
        assert run.model.weights.tobytes() == whole.model.weights.tobytes()
    assert Lion(0.9) == Lion(0.9) != Lion(0.5)
    with pytest.raises(ValueError, match="state"):
        half.resume(*data, None, epochs=1, optimizer=Lion(0.5))


def test_an_optimizer_that_inherits_is_not_taken_for_its_parent():
    """A formula that differs from SGD's is neither replaced by SGD's closed form nor judged by SGD's limit."""

    class Backwards(optimizers.SGD):
        def update(self, parameters, gradient, lr, state, number):
            parameters += lr * gradient

    X, y = rows(losses.mse())
    with pytest.raises(ValueError, match="the optimizer is not SGD"):
        fit(X, y, optimizer=Backwards(), lr=1e-3, epochs=5, method="exact", **REFERENCE)
    run = fit(X, y, optimizer=Backwards(), lr=1e-6, epochs=2, **REFERENCE)
    assert (np.diff(run.history.loss) > 0).all()


def test_an_optimizer_without_a_formula():
    with pytest.raises(NotImplementedError, match=r"must define update\(parameters, gradient, lr, state, number\)"):
        fit([[1.0], [2.0]], [1.0, 2.0], optimizer=Optimizer(), lr=0.1, **REFERENCE)
