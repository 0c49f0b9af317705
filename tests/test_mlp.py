"""Networks: the derived gradient, the forward pass, the start, training."""

import numpy as np
import pytest

import gdcore
from gdcore import MLP, DivergenceError, fit
from gdcore.backends import kernel
from gdcore.losses import LOSSES
from gdcore.models import mlp
from gdcore.models.mlp import ACTIVATIONS
from gdcore.optimizers import OPTIMIZERS
from gdcore.rows.tables import Piece, Table

BACKENDS = ["kernel", "reference"]
PHI = {
    "identity": lambda z: z,
    "relu": lambda z: np.where(z > 0, z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}
SLOPE = {
    "identity": lambda z: np.ones_like(z),
    "relu": lambda z: (z > 0) * 1.0,
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "sigmoid": lambda z: PHI["sigmoid"](z) * (1 - PHI["sigmoid"](z)),
}


def data(loss, k, n=23, d=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(0, 1, (n, d))
    kind = LOSSES[loss]().targets
    Y = rng.normal(1, 2, (n, k))
    if kind == "binary":
        Y = rng.integers(0, 2, (n, k))
    elif kind == "classes":
        Y = rng.integers(0, k, n)
    elif kind != "real":
        Y = np.exp(Y / 4)
    return X.astype(dtype), Y.astype(dtype), rng.uniform(0.1, 2, n).astype(dtype)


def flat(model):
    return np.concatenate([np.ravel(a) for layer in model.layers for a in (layer.weights, layer.bias)])


def forward(model, X):
    for i, layer in enumerate(model.layers):
        X = X @ layer.weights + layer.bias
        if i + 1 < len(model.layers):
            X = PHI[model.activation](X)
    return X


def test_every_activation_is_tested():
    assert set(ACTIVATIONS) == set(PHI)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [[3, 4, 2], [3, 5, 4, 1], [3, 5, 4, 3]], ids=str)
def test_the_derived_gradient_is_the_gradient(loss, activation, sizes):
    if loss == "softmax" and sizes[-1] == 1:
        sizes = [*sizes[:-1], 2]
    X, Y, s = data(loss, sizes[-1])
    model = MLP(sizes, activation, seed=4)
    for backend in BACKENDS:
        for weights in (None, s):
            for l2 in (0.0, 0.3):
                assert gdcore.check_gradient(model, X, Y, loss, sample_weight=weights, l2=l2, backend=backend) < 1e-6


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_is_that_of_plain_back_propagation(activation, backend):
    X, Y, s = data("mse", 2)
    model, lr, l2 = MLP([3, 5, 4, 2], activation, seed=2), 0.1, 0.2
    inputs, sums = [X], []
    for layer in model.layers:
        sums.append(inputs[-1] @ layer.weights + layer.bias)
        inputs.append(PHI[activation](sums[-1]))
    D = 2 * s[:, None] * (sums[-1] - Y) / s.sum()
    wanted = []
    for i in (2, 1, 0):
        layer = model.layers[i]
        wanted[:0] = [layer.weights - lr * (inputs[i].T @ D + l2 * layer.weights), layer.bias - lr * D.sum(axis=0)]
        if i:
            D = D @ layer.weights.T * SLOPE[activation](sums[i - 1])
    run = fit(X, Y, model, lr=lr, l2=l2, sample_weight=s, epochs=1, backend=backend)
    np.testing.assert_allclose(flat(run.model), np.concatenate([a.ravel() for a in wanted]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_predict_is_the_forward_pass(activation, dtype):
    model = MLP([3, 5, 4, 2], activation, seed=1, dtype=dtype)
    X = data("mse", 2, dtype=dtype)[0]
    found = model.predict(X)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, forward(model, X), rtol=1e-12 if dtype == np.float64 else 1e-4, atol=1e-6)
    assert np.isfinite(model.predict(np.full((1, 3), 1e4, dtype))).all()


def test_the_start_is_uniform_and_follows_the_seed():
    model, same, other = (MLP([100, 50, 7], seed=seed) for seed in (3, 3, 4))
    for layer in model.layers:
        bound = 1 / np.sqrt(len(layer.weights))
        for a in (layer.weights, layer.bias):
            assert np.abs(a).max() <= bound
        assert np.abs(layer.weights).max() > 0.97 * bound
        assert layer.weights.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
    assert flat(model).tobytes() == flat(same).tobytes()
    assert not np.any(flat(model) == flat(other))
    assert model.sizes == [100, 50, 7]


def test_layers_can_be_read_and_set():
    model = MLP([2, 2, 1], "relu")
    model.layers[0].weights = np.array([[1.0, -1.0], [0.0, 2.0]])
    model.layers[0].bias[:] = [0.5, 0.0]
    model.layers[1].weights[:] = [[2.0], [3.0]]
    model.layers[1].bias = np.array([-1.0])
    # relu([1.5, 3]) · [2, 3] − 1 = 11, relu([-0.5, 1]) · [2, 3] − 1 = 2
    assert model.predict([[1.0, 2.0], [-1.0, 0.0]]).tolist() == [[11.0], [2.0]]
    assert fit([[1.0, 2.0]], [11.0], model, lr=0.1, epochs=1).loss == 0.0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_size", [None, 7])
def test_the_model_passed_in_is_unchanged(backend, batch_size):
    X, Y, _ = data("mse", 2)
    model = MLP([3, 4, 2], "tanh")
    before = flat(model).tobytes()
    run = fit(X, Y, model, lr=0.05, epochs=3, backend=backend, batch_size=batch_size)
    assert flat(model).tobytes() == before != flat(run.model).tobytes()
    assert model.loss is None


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("loss", LOSSES)
def test_training_lowers_the_loss_in_both_backends_alike(name, batch_size, loss):
    X, Y, s = data(loss, 3)
    model = MLP([3, 6, 3], "tanh", seed=1)
    options = {"lr": 0.01, "epochs": 30, "batch_size": batch_size, "sample_weight": s, "l2": 0.01, "optimizer": name}
    runs = [fit(X, Y, model, loss, backend=backend, **options) for backend in BACKENDS]
    assert runs[0].loss < fit(X, Y, model, loss, lr=0.1, epochs=0, sample_weight=s, l2=0.01).loss
    np.testing.assert_allclose(flat(runs[0].model), flat(runs[1].model), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(runs[0].history.loss, runs[1].history.loss, rtol=1e-8)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_resuming_is_bit_exact(name, backend, batch_size, dtype):
    X, Y, _ = data("mse", 2, dtype=dtype)
    model = MLP([3, 4, 2], "tanh", dtype=dtype)
    options = {"optimizer": name, "lr": 0.02, "backend": backend, "batch_size": batch_size, "l1": 0.01, "l2": 0.1}
    whole = fit(X, Y, model, epochs=9, **options)
    assert flat(whole.model).dtype == dtype
    for first in (0, 1, 5):
        again = fit(X, Y, model, epochs=first, **options).resume(X, Y, 9 - first)
        assert flat(again.model).tobytes() == flat(whole.model).tobytes()
        assert again.history.loss.tobytes() == whole.history.loss.tobytes()


@pytest.mark.parametrize("batch_size", [None, 16])
def test_softmax_learns_three_classes(batch_size):
    rng = np.random.default_rng(0)
    Y = np.repeat([0, 1, 2], 40)
    X = np.array([[2.0, 0.0], [-2.0, 2.0], [-1.0, -3.0]])[Y] + rng.normal(0, 0.5, (120, 2))
    run = fit(X, Y, MLP([2, 8, 3]), "softmax", lr=0.1, epochs=300, batch_size=batch_size)
    proba = run.model.predict_proba(X)
    assert (proba.argmax(axis=1) == Y).mean() > 0.95
    assert proba.sum(axis=1) == pytest.approx(np.ones(120), rel=1e-12)
    raw = run.model.predict(X)
    np.testing.assert_allclose(proba, np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True), rtol=1e-10)


def test_probabilities_of_logistic_and_of_nothing():
    X, Y, _ = data("logistic", 1)
    model = fit(X, Y, MLP([3, 4, 1]), "logistic", lr=0.1, epochs=5).model
    np.testing.assert_allclose(model.predict_proba(X), 1 / (1 + np.exp(-model.predict(X))), rtol=1e-12)
    with pytest.raises(ValueError, match="not trained"):
        MLP([3, 4, 1]).predict_proba(X)


@pytest.mark.parametrize("sizes", [[3], [], [3, 0, 1], [3, -1], [3, 2.5, 1], [3, True], [3, "4", 1]], ids=str)
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match="sizes must be at least two positive integers"):
        MLP(sizes)


def test_other_errors():
    X, Y, _ = data("mse", 2)
    with pytest.raises(ValueError, match=r"activation must be .*, found 'gelu'") as error:
        MLP([3, 2], "gelu")
    assert all(repr(name) in str(error.value) for name in ACTIVATIONS)
    with pytest.raises(ValueError, match="3 columns, but the network has 4 inputs"):
        fit(X, Y, MLP([4, 2]), lr=0.1)
    with pytest.raises(ValueError, match="3 columns, but the network has 4 inputs"):
        MLP([4, 2]).predict(X)
    with pytest.raises(ValueError, match="Y has shape"):
        fit(X, Y, MLP([3, 5]), lr=0.1)
    with pytest.raises(ValueError, match="at least 2 outputs"):
        fit(X, np.zeros(len(X)), MLP([3, 1]), "softmax", lr=0.1)
    with pytest.raises(ValueError, match=r"classes 0 … 1"):
        fit(X, np.arange(len(X)) % 3, MLP([3, 2]), "softmax", lr=0.1)
    with pytest.raises(DivergenceError) as diverged:
        fit(X, Y, MLP([3, 4, 2], "identity"), lr=1e6, epochs=100)
    assert np.isfinite(flat(diverged.value.run.model)).all()


def test_a_schedule_acts_or_is_refused():
    X = np.linspace(-1, 1, 20)[:, None]
    with pytest.raises(ValueError, match=r"schedule is a factor on a learning rate, .* give a number for lr"):
        fit(X, X[:, 0] ** 2, MLP([1, 4, 1], seed=1), epochs=3, schedule=lambda epoch: 0.0)
    start = MLP([1, 4, 1], seed=1)
    for options in ({"lr": 0.1}, {"batch_size": 5}):
        run = fit(X, X[:, 0] ** 2, start, epochs=3, schedule=lambda epoch: 0.0, **options)
        assert flat(run.model).tobytes() == flat(start).tobytes()


RAW = {
    "column 0 of X has sizes up to 100": (np.linspace(-100, 100, 401), lambda x: (x / 100) ** 4),
    "column 0 of X has sizes up to 1e-05": (np.linspace(-1e-5, 1e-5, 101), lambda x: 1e5 * x),
    "column 0 of X lies at 10 and varies by 0.0": (10 + np.linspace(0, 0.1, 101), lambda x: 10 * (x - 10)),
    "Y has sizes up to 1e+08": (np.linspace(-1, 1, 401), lambda x: 1e8 * x**4),
    "Y has sizes up to 1e-06": (np.linspace(-1, 1, 401), lambda x: 1e-6 * x**2),
}


@pytest.mark.parametrize("text", RAW)
def test_raw_numbers_are_told_before_a_network_trains_on_them(text):
    x, formula = RAW[text]
    with pytest.warns(gdcore.ScaleWarning) as told:
        fit(x[:, None], formula(x), MLP([1, 8, 1]), lr=1e-20, epochs=1)
    assert f"size 1: {text}" in str(told[0].message)
    assert told[0].filename == __file__


def test_a_network_on_numbers_of_size_1_is_not_warned_of():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=500), rng.uniform(0, 1, 500), rng.random(500) < 0.01, np.full(500, 3.0)])
    fit(X, X[:, 0], MLP([4, 3, 1]), lr=0.01, epochs=1)
    fit(X, np.digitize(X[:, 0], [-1, 1]), MLP([4, 3, 3]), "softmax", lr=0.01, epochs=1)


class Numpy:
    """NumPy, whose new arrays lie where they are told to."""

    def __init__(self, place):
        self.place = place

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        return self.place[: np.prod(shape)].reshape(shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_do_not_depend_on_where_arrays_lie(dtype, monkeypatch):
    # A vector loop that reads just before where it writes runs number by number, and adds up in another order.
    room = np.empty(1000, dtype)
    places = {"far": room[500:], "just behind": room[5:]}
    for seed in range(100):
        X, Y = (np.random.default_rng(seed).normal(size=(5, m)).astype(dtype) for m in (3, 1))
        room[:5] = Y[:, 0]
        found = []
        for place in places.values():
            model = MLP([3, 4, 1], seed=seed, dtype=dtype)
            engine, (weights, _) = model.engine(kernel, X.dtype), model.parameters(X.dtype)
            out = engine.forward(engine.views(weights), X)[-1]
            with monkeypatch.context() as patch:
                patch.setattr(mlp, "np", Numpy(place))
                found.append(engine._derivative(out, room[:5, None], np.ones(5, dtype), "mse", 0.0)[0])
        assert found[0] == found[1]


@pytest.mark.parametrize("method", ["network", "table"])
def test_the_gradient_norm_of_an_epoch_in_python_is_that_with_l1(method):
    X, Y, _ = data("mse", 1)
    l1 = 0.05

    class InPieces(Table):
        names, rows = ["a", "b", "c"], len(X)

        def blocks(self):
            yield Piece(X, Y, None)

    if method == "table":
        run = fit(InPieces(), lr=0.01, l1=l1, epochs=3, method="stream")
        gradient = 2 * X.T @ (X @ run.model.weights + run.model.bias - Y[:, 0]) / len(X)
        bias = 2 * np.mean(X @ run.model.weights + run.model.bias - Y[:, 0])
        slopes = np.append(gradient + l1 * np.sign(run.model.weights), bias)
    else:
        run = fit(X, Y, MLP([3, 1], seed=1), lr=0.01, l1=l1, epochs=3, tol=0.0)
        (layer,) = run.model.layers
        r = X @ layer.weights + layer.bias - Y
        slopes = np.append(2 * X.T @ r / len(X) + l1 * np.sign(layer.weights), 2 * r.mean())
    np.testing.assert_allclose(run.history.gradient_norm[-1], np.linalg.norm(slopes), rtol=1e-12)
