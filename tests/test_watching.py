"""Training that is looked at while it goes on: divergence that is kept, weights that are kept, epochs that are printed."""

import ast
import contextlib
import io
import itertools
import pickle
import re
import signal

import numpy as np
import pytest

import gdcore
from gdcore import Linear, fit
from gdcore.training import observe

RNG = np.random.default_rng(11)
N, D = 40, 3
X = RNG.normal(size=(N, D))
Y = X @ [1.0, -2.0, 0.5] + 0.7 + 0.1 * RNG.normal(size=N)
LABELS = (Y > 0).astype(float)
CLASSES = np.digitize(Y, [-1.0, 1.0]).astype(float)
LIMIT = 2 / np.linalg.eigvalsh(2 * np.c_[X, np.ones(N)].T @ np.c_[X, np.ones(N)] / N)[-1]


def textbook(lr, epochs, X=X, Y=Y, loss_at=lambda r: np.mean(r**2)):
    """Losses of gradient descent from zeros with a bias, until they are done or not finite, and the last weights before."""
    Z = np.c_[X, np.ones(len(X))]
    w, losses = np.zeros(Z.shape[1]), []
    with np.errstate(all="ignore"):
        for _ in range(epochs):
            following = w - lr * 2 * Z.T @ (Z @ w - Y) / len(Z)
            loss = loss_at(Z @ following - Y)
            if not np.isfinite(loss):
                break
            w = following
            losses.append(loss)
    return np.array(losses), w


def printed(function, *arguments, **options):
    """What it prints, as lines, and what it returns."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = function(*arguments, **options)
    return out.getvalue().splitlines(), result


def numbers(line):
    """Label and numbers of a line."""
    label, values = line.split(": ")
    return label, np.array([float(word) for word in values.replace("[", " ").replace("]", " ").split()])


# --------------------------------------------------------------------------------------------------------------- divergence


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
@pytest.mark.parametrize("method", ["stream", "gram", "exact"])
@pytest.mark.parametrize("backend", ["kernel", "reference"])
def test_a_divergence_that_is_kept_goes_on_to_the_end_of_the_numbers(method, backend):
    run = fit(X, Y, lr=1.5 * LIMIT, epochs=5000, on_divergence="keep", method=method, backend=backend)
    losses, weights = textbook(1.5 * LIMIT, 5000)
    assert run.status == "diverged"
    assert 100 < run.epochs < 5000
    assert run.epochs == pytest.approx(len(losses), abs=1)
    common = min(len(losses), run.epochs)
    np.testing.assert_array_equal(run.history.epoch, np.arange(1, run.epochs + 1))
    np.testing.assert_allclose(run.history.loss[:common], losses[:common], rtol=1e-8)
    assert np.isfinite(run.history.loss).all()
    assert np.isfinite(run.history.gradient_norm).all()
    assert run.history.loss[-1] > 1e290
    assert run.loss == pytest.approx(run.history.loss[-1], rel=1e-8)
    if len(losses) == run.epochs:
        np.testing.assert_allclose(np.append(run.model.weights, run.model.bias), weights, rtol=1e-8)


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
@pytest.mark.parametrize(
    "options",
    [{}, {"validation": (X, Y)}, {"keep_weights": True}, {"batch_size": 10}, {"optimizer": gdcore.SGD(momentum=0.5)}],
    ids=lambda options: "".join(options),
)
def test_a_kept_run_begins_as_the_run_of_the_error_and_can_be_rescued(options):
    near = Linear([1.01, -2.0, 0.5], 0.7)  # so near the best that the loss takes some epochs to climb above that of zeros
    options = {"lr": 3 * LIMIT, "epochs": 4000} | options
    kept = fit(X, Y, near, on_divergence="keep", **options)
    with pytest.raises(gdcore.DivergenceError) as caught:
        fit(X, Y, near, **options)
    raised = caught.value.run
    assert kept.status == raised.status == "diverged"
    assert 0 < len(raised.history) < len(kept.history) < 4000
    np.testing.assert_array_equal(kept.history.loss[: len(raised.history)], raised.history.loss)
    assert np.isfinite([kept.loss, *kept.history.loss, *kept.model.weights]).all()
    assert kept.loss > 1e250
    rescued = kept.resume(X, Y, 2000, lr=0.1 * LIMIT)
    assert rescued.loss < 1e-10 * kept.loss


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
def test_epochs_that_end_above_the_models_of_zeros_have_diverged_too():
    few = fit(X, Y, lr=1.5 * LIMIT, epochs=30, on_divergence="keep")
    losses, _ = textbook(1.5 * LIMIT, 30)
    assert (few.status, few.epochs) == ("diverged", 30)
    np.testing.assert_allclose(few.history.loss, losses, rtol=1e-10)
    # The loss of a model of zeros is what they lie above.
    assert losses[-1] > np.mean(Y**2)
    assert fit(X, Y, lr=0.9 * LIMIT, epochs=30, on_divergence="keep").status == "epochs"
    assert fit(X, Y, on_divergence="keep").status == "converged"


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
@pytest.mark.parametrize("method", ["stream", "gram"])
def test_a_kept_divergence_in_float32(method):
    run = fit(X.astype("f"), Y.astype("f"), lr=1.5 * LIMIT, epochs=5000, on_divergence="keep", method=method)
    losses, _ = textbook(1.5 * LIMIT, 5000)
    assert run.status == "diverged"
    assert 1e34 < run.history.loss[-1] <= np.finfo("f").max
    np.testing.assert_allclose(run.history.loss[:20], losses[:20], rtol=1e-4)


def test_a_network_that_diverges_is_kept():
    network = gdcore.MLP([D, 8, 1], seed=0)
    run = fit(X, Y, network, lr=50.0, epochs=200, on_divergence="keep", keep_weights=True)
    assert run.status == "diverged"
    assert run.epochs < 200
    assert len(run.models) == run.epochs + 1
    assert np.isfinite(run.history.loss).all()


def test_rows_that_are_no_numbers_are_an_error_all_the_same():
    with pytest.raises(ValueError, match=r"X\[0, 0\] is nan"):
        fit(np.where(np.arange(N)[:, None] == 0, np.nan, X), Y, lr=0.1, on_divergence="keep")


# ------------------------------------------------------------------------------------------------------ weights of each epoch


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1, "epochs": 6},
        {"lr": 0.1, "epochs": 6, "batch_size": 8},
        {"lr": 0.1, "epochs": 6, "optimizer": "adam", "decimals": 3},
        {"loss": "huber"},
        {"loss": "huber", "optimizer": "nesterov"},
        {"loss": "mae", "l1": 0.01, "epochs": 3},
        {"epochs": 6},
        {"lr": 0.1, "epochs": 6, "validation": (X, Y), "patience": 2},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::gdcore.ConvergenceWarning")
def test_kept_weights_are_those_of_the_start_and_of_each_epoch(options):
    start, seen = Linear([0.5, 0.5, 0.5], 0.1), []
    run = fit(X, Y, start, keep_weights=True, callback=lambda epoch: seen.append(epoch.model), **options)
    assert len(run.models) == len(run.history) + 1
    for kept, wanted in zip(run.models, [start, *seen], strict=True):
        assert (kept.weights.tobytes(), kept.bias.tobytes()) == (wanted.weights.tobytes(), wanted.bias.tobytes())
    plain = fit(X, Y, start, **options)
    assert plain.models is None
    assert plain.model.weights.tobytes() == run.model.weights.tobytes()
    for one, other in itertools.combinations(run.models, 2):
        assert not np.shares_memory(one.weights, other.weights)


def test_kept_weights_are_those_of_the_textbook():
    run = fit(X, Y, lr=0.1, epochs=5, keep_weights=True)
    for epoch, model in enumerate(run.models):
        np.testing.assert_allclose(np.append(model.weights, model.bias), textbook(0.1, epoch)[1], rtol=1e-12, atol=1e-15)


def test_what_a_callback_does_to_its_model_does_not_change_what_is_kept():
    def vandal(epoch):
        epoch.model.weights[:] = 7.0
        epoch.gradient[0][:] = 7.0

    run, plain = (fit(X, Y, lr=0.1, epochs=4, keep_weights=True, callback=callback) for callback in (vandal, None))
    assert [m.weights.tobytes() for m in run.models] == [m.weights.tobytes() for m in plain.models]


def test_a_run_that_goes_on_keeps_on_and_leaves_the_first_as_it_was():
    whole, first = fit(X, Y, lr=0.1, epochs=7, keep_weights=True), fit(X, Y, lr=0.1, epochs=3, keep_weights=True)
    later = first.resume(X, Y, 4)
    assert (len(first.models), len(later.models)) == (4, 8)
    assert [m.weights.tobytes() for m in later.models] == [m.weights.tobytes() for m in whole.models]
    assert later.resume(X, Y, 1, keep_weights=False).models is None
    again = pickle.loads(pickle.dumps(later))
    assert [m.weights.tobytes() for m in again.models] == [m.weights.tobytes() for m in later.models]


def test_ctrl_c_leaves_as_many_weights_as_epochs():
    def strike(epoch):
        if epoch.epoch == 5:
            signal.raise_signal(signal.SIGINT)

    run = fit(X, Y, lr=0.1, epochs=50, keep_weights=True, callback=strike)
    assert run.status == "interrupted"
    assert len(run.models) == run.epochs + 1
    assert run.models[-1].weights.tobytes() == run.model.weights.tobytes()


@pytest.mark.parametrize(
    "options", [{"lr": 0.1}, {"lr": 0.1, "batch_size": 8}, {"loss": "huber", "optimizer": "nesterov"}], ids=str
)
def test_a_signal_between_an_epoch_and_its_keeping_loses_no_weights(options, monkeypatch):
    keep = observe.Recorder.__call__

    def struck(recorder, epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt
        keep(recorder, epoch)

    whole = fit(X, Y, epochs=3, keep_weights=True, tol=0.0, **options)
    monkeypatch.setattr(observe.Recorder, "__call__", struck)
    run = fit(X, Y, epochs=9, keep_weights=True, tol=0.0, **options)
    assert (run.status, run.epochs) == ("interrupted", 3)
    assert [m.weights.tobytes() for m in run.models] == [m.weights.tobytes() for m in whole.models]


def test_what_goes_with_kept_weights(tmp_path):
    with pytest.raises(ValueError, match="keep_weights goes without a checkpoint, whose file holds the last weights only"):
        fit(X, Y, lr=0.1, keep_weights=True, checkpoint=tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="method='exact' is not for this: every epoch is watched"):
        fit(X, Y, lr=0.1, keep_weights=True, method="exact")


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"on_divergence": "ignore"}, ValueError, "on_divergence must be 'raise' or 'keep', found 'ignore'"),
        ({"on_divergence": None}, ValueError, "on_divergence must be 'raise' or 'keep', found None"),
        ({"keep_weights": 1}, TypeError, "keep_weights must be True or False, found 1"),
        ({"verbose": 2}, TypeError, "verbose must be True, False or 'shapes', found 2"),
        ({"verbose": "shape"}, ValueError, "verbose must be True, False or 'shapes', found 'shape'"),
    ],
    ids=str,
)
def test_options_that_are_wrong(options, kind, said):
    with pytest.raises(kind, match=f"^{said}"):
        fit(X, Y, **options)


# --------------------------------------------------------------------------------------------------------- epochs in words


def test_fit_prints_what_train_prints():
    Z = np.c_[X, np.ones(N)]
    wanted, _ = printed(gdcore.train, Z, Y, np.zeros(4), 0.1, 3, verbose=True)
    lines, run = printed(fit, Z, Y, Linear(np.zeros(4)), lr=0.1, epochs=3, verbose=True, backend="reference")
    assert lines == wanted
    assert run.epochs == 3
    assert printed(fit, Z, Y, Linear(np.zeros(4)), lr=0.1, epochs=3)[0] == []


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_trace_with_a_bias_and_validation(outputs):
    y = Y if outputs == 1 else np.c_[Y, -Y]
    lines, run = printed(fit, X, y, lr=0.1, epochs=2, l2=0.3, verbose=True, validation=(X[:9], y[:9]))
    labels = [line.split(":")[0] for line in lines]
    assert labels == 2 * [
        "epoch", "prediction", "target", "difference", "loss", "gradients", "bias gradient", "weights", "bias",
        "new prediction", "new loss", "validation loss",
    ]  # fmt: skip
    told = [dict(map(numbers, lines[i : i + 12])) for i in (0, 12)]
    Z = np.c_[X, np.ones(N)]
    w = np.zeros((4, outputs))
    target = y.reshape(N, -1)
    for epoch in told:
        r = Z @ w - target
        g = 2 * Z.T @ r / N + 0.3 * w * [[1.0], [1.0], [1.0], [0.0]]
        after = w - 0.1 * g
        wanted = {
            "prediction": (Z @ w)[:5], "target": target[:5], "difference": -r[:5],
            "loss": np.sum(r**2) / N + 0.15 * np.sum(w[:3] ** 2),
            "gradients": g[:3], "bias gradient": g[3], "weights": after[:3], "bias": after[3],
            "new prediction": (Z @ after)[:5],
            "new loss": np.sum((Z @ after - target) ** 2) / N + 0.15 * np.sum(after[:3] ** 2),
            "validation loss": np.sum((Z @ after - target)[:9] ** 2) / 9,
        }  # fmt: skip
        for name, values in wanted.items():
            np.testing.assert_allclose(epoch[name], np.ravel(values), rtol=1e-6, atol=1e-7, err_msg=name)
        w = after
    assert run.epochs == 2


def test_a_trace_of_classes_has_their_probabilities():
    lines, _ = printed(fit, X, LABELS, loss="logistic", lr=0.5, epochs=2, verbose=True)
    told = dict(map(numbers, lines[9 + 2 :]))
    w = 0.5 * np.c_[X, np.ones(N)].T @ (LABELS - 0.5) / N
    p = 1 / (1 + np.exp(-np.c_[X, np.ones(N)] @ w))
    np.testing.assert_allclose(told["prediction"], p[:5], atol=1e-7)
    np.testing.assert_allclose(told["difference"], (LABELS - p)[:5], atol=1e-7)
    np.testing.assert_allclose(told["gradients"], X.T @ (p - LABELS) / N, atol=1e-7)
    lines, _ = printed(fit, X, CLASSES, loss="softmax", lr=0.5, epochs=1, verbose=True)
    told = dict(map(numbers, lines))
    np.testing.assert_array_equal(told["target"], CLASSES[:5])
    np.testing.assert_allclose(told["prediction"], np.full(15, 1 / 3), atol=1e-7)
    np.testing.assert_allclose(told["difference"], (np.eye(3)[CLASSES[:5].astype(int)] - 1 / 3).ravel(), atol=1e-7)


@pytest.mark.parametrize("y", [Y, Y[:, None]], ids=["(n,)", "(n, 1)"])
def test_a_trace_of_a_network_goes_layer_by_layer(y):
    network = gdcore.MLP([D, 4, 1], "tanh", seed=1)
    lines, run = printed(fit, X, y, network, lr=0.1, epochs=1, verbose=True, keep_weights=True)
    assert [line.split(":")[0] for line in lines] == [
        "epoch", "prediction", "target", "difference", "loss",
        "gradients of layer 1", "bias gradient of layer 1", "gradients of layer 2", "bias gradient of layer 2",
        "weights of layer 1", "bias of layer 1", "weights of layer 2", "bias of layer 2", "new prediction", "new loss",
    ]  # fmt: skip
    told = dict(map(numbers, lines))
    first, second = network.layers
    A = np.tanh(X @ first.weights + first.bias)
    r = (A @ second.weights + second.bias)[:, 0] - Y
    np.testing.assert_allclose(told["difference"], -r[:5], atol=1e-7)
    np.testing.assert_allclose(told["loss"], np.mean(r**2), rtol=1e-12)
    np.testing.assert_allclose(told["gradients of layer 2"], 2 * A.T @ r / N, rtol=1e-6)
    np.testing.assert_allclose(told["bias of layer 2"], second.bias - 0.1 * 2 * np.mean(r), rtol=1e-6)
    np.testing.assert_allclose(told["weights of layer 1"], run.model.layers[0].weights.ravel(), rtol=1e-6)
    assert len(run.models) == 2


def test_a_trace_of_batches_and_of_a_table_has_what_there_is(tmp_path):
    lines, _ = printed(fit, X, Y, lr=0.1, epochs=1, batch_size=10, verbose=True)
    assert [line.split(":")[0] for line in lines] == [
        "epoch", "prediction", "target", "difference", "loss", "weights", "bias", "new prediction", "new loss"
    ]  # fmt: skip
    np.savetxt(tmp_path / "t.csv", np.c_[X, Y], delimiter=",", header="a,b,c,y", comments="", fmt="%.17g")
    table = gdcore.open_table(tmp_path / "t.csv", "y")
    lines, _ = printed(fit, table, lr=0.1, epochs=1, verbose=True)
    assert [line.split(":")[0] for line in lines] == [
        "epoch", "loss", "gradients", "bias gradient", "weights", "bias", "new loss"
    ]  # fmt: skip
    told = dict(map(numbers, lines))
    assert told["loss"] == pytest.approx(np.mean(Y**2), rel=1e-12)
    np.testing.assert_allclose(told["gradients"], -2 * X.T @ Y / N, rtol=1e-6)


# ------------------------------------------------------------------------------------------------- gradients layer by layer


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_networks_gradient_comes_layer_by_layer(dtype):
    network, seen = gdcore.MLP([D, 5, 4, 2], "tanh", seed=2, dtype=dtype), []
    y = np.c_[Y, Y**2].astype(dtype)
    fit(X.astype(dtype), y, network, lr=0.01, epochs=1, callback=seen.append)
    (w1, b1), (w2, b2), (w3, b3) = [(layer.weights.astype(float), layer.bias.astype(float)) for layer in network.layers]
    A = np.tanh(X @ w1 + b1)
    B = np.tanh(A @ w2 + b2)
    dP = 2 * (B @ w3 + b3 - y) / N
    dB = dP @ w3.T * (1 - B**2)
    dA = dB @ w2.T * (1 - A**2)
    wanted = [(X.T @ dA, dA.sum(0)), (A.T @ dB, dB.sum(0)), (B.T @ dP, dP.sum(0))]
    tight = {"rtol": 1e-10, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-3, "atol": 1e-5}
    assert isinstance(seen[0].gradient, list)
    for (dW, db), (dW_wanted, db_wanted), before, after in zip(
        seen[0].gradient, wanted, network.layers, seen[0].model.layers, strict=True
    ):
        assert dW.dtype == db.dtype == dtype
        np.testing.assert_allclose(dW, dW_wanted, **tight)
        np.testing.assert_allclose(db, db_wanted, **tight)
        np.testing.assert_allclose(after.weights, before.weights - 0.01 * dW, **tight)
    batches = []
    fit(X, Y, gdcore.MLP([D, 2, 1]), lr=0.01, epochs=1, batch_size=10, callback=batches.append)
    assert batches[0].gradient is None


# --------------------------------------------------------------------------------------------------------------- small doors


@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize("more", [{}, {"decimals": 6}, {"verbose": True}], ids=str)
def test_train_chooses_a_learning_rate(outputs, more):
    y = Y if not outputs else np.c_[Y, -2 * Y]
    lr = 1 / np.linalg.eigvalsh(2 * X.T @ X / N)[-1]
    start = np.ones((D, *outputs))
    _, chosen = printed(gdcore.train, X, y, start, "auto", 8, **more)
    w = start
    for _ in range(8):
        w = w - lr * 2 * X.T @ (X @ w - y) / N
    np.testing.assert_allclose(chosen, w, rtol=0, atol=1e-10 if not more.get("decimals") else 1e-5)


def test_train_chooses_one_for_a_loss_without_a_curvature_too():
    def at(w):
        return np.mean(np.abs(X @ w - Y))

    best = min(at(fit(X, Y, Linear(np.zeros(D)), loss="mae").model.weights), at(np.zeros(D)))
    assert at(gdcore.train(X, Y, np.zeros(D), "auto", 2000, loss="mae")) < best + 0.01 * (at(np.zeros(D)) - best)
    with pytest.raises(TypeError, match="lr must be a number, found 'fast'; 'auto' lets gdcore choose"):
        gdcore.train(X, Y, np.zeros(D), "fast", 1)


def test_a_run_predicts():
    run = fit(X, Y)
    np.testing.assert_array_equal(run.predict(X), run.model.predict(X))
    np.testing.assert_allclose(run.predict(X), X @ run.model.weights + run.model.bias, rtol=1e-12)
    network = fit(X, Y, gdcore.MLP([D, 2, 1]), lr=0.01, epochs=1)
    np.testing.assert_array_equal(network.predict(X), network.model.predict(X))


# ------------------------------------------------------------------------------------------------------- shapes of the loop


def evaluated(text):
    """The shape that NumPy gives for the right side of a line: products are @ where one factor is a matrix."""
    if text.startswith(("mean over", "sum over")):
        what, rest = text.split(" of ")[0], text.split(" of ", 1)[1].split(" and ")
        values = np.zeros(ast.literal_eval(rest[0]))
        assert len(values) == int(what.split()[2])
        return () if what.startswith("mean") else values.sum(axis=0).shape
    terms = re.split(r" (?:\+|−|∘) ", text)
    found = []
    for term in terms:
        factors = [np.zeros(ast.literal_eval(f)) for f in re.split("[·/]", term)]
        product = factors[0]
        for factor in factors[1:]:
            inner = product.ndim == 2 and factor.ndim and product.shape[1] == factor.shape[0] and factor.shape[-1:] != (1,)
            inner = inner or (product.ndim == 2 and factor.ndim == 2 and product.shape[1] == factor.shape[0])
            product = product @ factor if inner else product * factor
        found.append(product)
    return np.broadcast_shapes(*(one.shape for one in found))


NETWORK = gdcore.MLP([3, 4, 2, 1], activation="tanh")
LOOPS = {
    "line": (Y, None, {}),
    "column": (Y[:, None], None, {}),
    "outputs": (np.c_[Y, Y, Y, Y], None, {"l2": 0.1}),
    "batches": (Y, None, {"batch_size": 7, "optimizer": "adam"}),
    "weights": (np.c_[Y, Y], None, {"sample_weight": np.ones(N), "l1": 0.1}),
    "classes": ((Y > 0).astype(int), None, {"loss": "softmax"}),
    "binary": ((Y > 0) * 1.0, None, {"loss": "logistic"}),
    "network": (Y, NETWORK, {}),
}


@pytest.mark.parametrize("name", LOOPS)
def test_the_shapes_are_those_that_numpy_gives(name):
    y, model, options = LOOPS[name]
    lines, run = printed(fit, X, y, model, lr=0.01, epochs=2, verbose="shapes", **options)
    rows = options.get("batch_size", N)
    wanted = f"shapes in a batch: {rows} of {N} rows, 3 columns" if rows < N else f"shapes in an epoch: {N} rows, 3 columns"
    assert lines[0] == wanted
    seen = {}
    for line in lines[1:]:
        formula, shapes = re.split(r" {2,}", line[10:])
        left, right = shapes.split(" = ", 1)
        assert evaluated(right) == ast.literal_eval(left), line
        seen[formula.split(" = ")[0]] = ast.literal_eval(left)
    # Of every gradient the shape is that of what it is the gradient of.
    pairs = [(name, name[1:]) for name in seen if name.startswith("∇")]
    pairs += [(name, name.removeprefix("∂L/∂")) for name in seen if name.startswith("∂L/∂")]
    assert pairs
    assert all(seen[gradient] == seen[what] for gradient, what in pairs)
    trained = run.model.layers if model is not None else [run.model]
    numbers = range(1, len(trained) + 1) if model is not None else [""]
    assert all(seen[f"W{i}"] == layer.weights.shape for i, layer in zip(numbers, trained, strict=True))
    parts = [line[:8].strip() for line in lines[1:] if line[:8].strip()]
    assert parts == ["forward", "backward", "update"]


def test_shapes_leave_the_bits_alone_and_tell_of_other_ways():
    Z = np.c_[X, np.ones(N)]
    lines, learned = printed(gdcore.train, Z, Y, np.zeros(4), 0.1, 3, verbose="shapes")
    assert np.array_equal(learned, gdcore.train(Z, Y, np.zeros(4), 0.1, 3))
    assert lines[-1] == "update    W = W − lr·∇W   (4,) = (4,) − ()·(4,)"
    lines, run = printed(fit, X, Y, lr=0.1, epochs=3, method="exact", verbose="shapes")
    assert lines[-1] == f"the same epochs by another way: {run.method}"
