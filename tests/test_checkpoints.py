"""Checkpoints: what is gone on with ends as if it had never been interrupted; what does not belong to a run is refused.

`python tests/kills.py` kills more often than the test here. Interrupted runs are compared with runs that nobody watched.
"""

import itertools
import os
import threading

import numpy as np
import pytest

import gdcore
from gdcore import Checkpoint, Linear, checkpoints, fit, schedules
from gdcore.optimizers import OPTIMIZERS
from gdcore.tables import Piece, Table

pytest.importorskip("safetensors")

from test_fit import InterruptAt

BACKENDS = ["kernel", "reference"]
RNG = np.random.default_rng(5)
N = 40
X = RNG.normal(size=(N, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3 + RNG.normal(size=N) / 3
Y2 = np.stack([Y, -Y + X[:, 0]], axis=1)
LABELS = (Y > 0).astype(float)
CLASSES = np.digitize(Y, [-1.0, 1.0])
VALIDATION = (X[:5] + 0.1, Y[:5])


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.enumerate()
    yield
    assert threading.enumerate() == before


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


@pytest.fixture
def no_disk(monkeypatch):
    """Nothing waits for the disk: where hundreds of files are written and no power can fail."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def bits(value):
    return None if value is None else (np.asarray(value).dtype.str, np.asarray(value).shape, np.asarray(value).tobytes())


def everything(run):
    """All that has to be the same, to the bit."""
    parameters = [bits(array) for array in run.model.parameters(np.float64)]
    history = [bits(run.history[name]) for name in gdcore.History.NAMES if name != "seconds"]
    return parameters, history, run.status, bits(run.loss), bits(run.gradient_norm), str(run.method), run.model.loss


def assert_same(run, wanted):
    for one, other in zip(everything(run), everything(wanted), strict=True):
        assert one == other


class Stop:
    """A callback that is Ctrl-C after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, epoch):
        if epoch.epoch == self.epoch:
            raise KeyboardInterrupt


def interrupted(path, epoch, *arguments, **options):
    run = fit(*arguments, **options, checkpoint=path, callback=Stop(epoch))
    assert (run.status, run.epochs) == ("interrupted", epoch)
    return run


# The same bits -------------------------------------------------------------------------------------------------------------

MODELS = {
    "no model": (None, Y),
    "bias": (Linear([0.3, 0.2, 0.1], 0.5), Y),
    "no bias": (Linear([0.3, 0.2, 0.1]), Y),
    "outputs": (Linear(np.full((3, 2), 0.1), [0.0, 1.0]), Y2),
    "network": (gdcore.MLP([3, 4, 1], "tanh", seed=2), Y),
}
ROWS = {
    "all": {},
    "shuffled": {"batch_size": 7, "seed": 4},
    "in order": {"batch_size": 7, "shuffle": False},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "momentum", "auto"])
@pytest.mark.parametrize("model", MODELS)
def test_every_kind_of_run_goes_on_to_the_same_bits(path, no_disk, model, optimizer, dtype, backend):
    start, targets = MODELS[model]
    data = X.astype(dtype), targets.astype(dtype), start
    chosen = {"momentum": gdcore.SGD(momentum=0.9), "auto": None}.get(optimizer, optimizer)
    rate = {"lr": "auto"} if optimizer == "auto" else {"lr": 0.01}
    for rows, epoch in itertools.product(ROWS, (1, 4, 8)):
        options = {"optimizer": chosen, "backend": backend, "method": "stream", "epochs": 9, "tol": 0.0, **rate, **ROWS[rows]}
        wanted = fit(*data, **options)
        if wanted.epochs > epoch:
            interrupted(path, epoch, *data, **options)
            assert_same(fit(*data, **options, checkpoint=path, resume=True), wanted)
            path.unlink()
        fit(*data, **options | {"epochs": epoch}, checkpoint=path)
        assert_same(fit(*data, **options, checkpoint=path, resume=True), wanted)
        again = fit(*data, **options, checkpoint=path, resume=True)
        assert_same(again, wanted)
        assert bits(again.history.seconds[:epoch]) != bits(wanted.history.seconds[:epoch]) or not epoch
        path.unlink()


OTHERS = {
    "huber": (Y, {"loss": "huber", "lr": "auto"}),
    "logistic with l1 and l2": (LABELS, {"loss": "logistic", "lr": "auto", "l1": 0.01, "l2": 0.1, "tol": 1e-9}),
    "softmax": (CLASSES, {"loss": "softmax", "lr": "auto", "l2": 0.01}),
    "mae": (Y, {"loss": "mae", "lr": "auto"}),
    "mae without a metric": (Y, {"loss": "mae", "lr": "auto", "optimizer": "sgd"}),
    "quantile, diagonal": (Y, {"loss": gdcore.losses.quantile(0.3), "lr": "auto", "precondition": "diagonal"}),
    "diagonal": (Y, {"lr": "auto", "precondition": "diagonal"}),
    "mse, rows": (Y, {"lr": "auto", "method": "stream", "l1": 0.1}),
    "mse": (Y, {"lr": "auto"}),
    "gram": (Y, {"lr": 0.1, "method": "gram", "optimizer": gdcore.Adam(betas=(0.8, 0.9))}),
    "gram, float32": (Y.astype("f4"), {"lr": 0.1, "method": "gram"}),
    "Nesterov at an lr": (Y, {"lr": 0.1, "optimizer": "nesterov"}),
    "schedule": (Y, {"lr": 0.1, "schedule": schedules.cosine(20)}),
    "decimals": (Y, {"lr": 0.1, "decimals": 4}),
    "weights": (Y, {"lr": 0.1, "sample_weight": np.arange(1.0, N + 1)}),
    "patience": (Y, {"lr": 0.3, "validation": VALIDATION, "patience": 2, "batch_size": 3}),
    "batches with tol": (Y, {"lr": 0.05, "batch_size": 10, "tol": 0.02}),
    "network with tol": (Y, {"lr": 0.05, "model": gdcore.MLP([3, 4, 1]), "tol": 0.5}),
    "network, its own lr": (Y, {"lr": "auto", "model": gdcore.MLP([3, 4, 1]), "tol": 0.4}),
    "network, batches, its own lr": (Y, {"lr": "auto", "model": gdcore.MLP([3, 4, 1]), "batch_size": 9}),
    "network, momentum, its own lr": (
        Y,
        {"lr": "auto", "model": gdcore.MLP([3, 4, 1]), "optimizer": gdcore.SGD(momentum=0.5)},
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OTHERS)
def test_however_it_descends(path, no_disk, name, backend):
    targets, options = OTHERS[name]
    options = {"epochs": 24, "backend": backend, **options}
    data = X.astype(targets.dtype) if targets.dtype.kind == "f" else X, targets
    wanted = fit(*data, **options)
    assert wanted.epochs >= 2
    for epoch in {1, wanted.epochs // 2, wanted.epochs - 1}:
        part = fit(*data, **options | {"epochs": epoch}, checkpoint=path)
        run = fit(*data, **options, checkpoint=path, resume=True)
        assert_same(run, wanted)
        assert_same(run, part.resume(*data, epochs=24 - epoch))
        path.unlink()
        interrupted(path, epoch, *data, **options)
        assert_same(fit(*data, **options, checkpoint=path, resume=True), fit(*data, **options, callback=Stop(0)))
        path.unlink()


@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, True)])
@pytest.mark.parametrize("how", ["number", "list"])
def test_by_formula(path, how, momentum, nesterov):
    options = {"lr": 0.1, "method": "exact", "optimizer": gdcore.SGD(momentum=momentum, nesterov=nesterov)}
    first, all_of_it = (5, 400) if how == "number" else ([1, 5], [1, 5, 77, 10**6])
    fit(X, Y, **options, epochs=first, checkpoint=path)
    wanted = fit(X, Y, **options, epochs=all_of_it)
    for _ in range(2):
        run = fit(X, Y, **options, epochs=all_of_it, checkpoint=path, resume=True)
        assert everything(run)[:-2] == everything(wanted)[:-2]
        assert run.method == "exact"
    assert run.epochs == (400 if how == "number" else 10**6)


class Pieces(Table):
    """X and Y as a table."""

    def __init__(self, X, Y, size=7):
        self.X, self.Y, self.size = X, Y, size
        self.names = list("abc")
        self.passes = 0

    def blocks(self):
        self.passes += 1
        for i in range(0, len(self.X), self.size):
            yield Piece(self.X[i : i + self.size], self.Y[i : i + self.size, None], None)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1, "epochs": 20},
        {"lr": "auto", "epochs": 20, "l1": 0.1},
        {"lr": 0.1, "epochs": 20, "method": "stream"},
        {"loss": "huber", "lr": "auto", "epochs": 12},
    ],
    ids=str,
)
def test_tables(path, options):
    wanted = fit(Pieces(X, Y), **options)
    for epoch in (1, wanted.epochs - 1):
        interrupted(path, epoch, Pieces(X, Y), **options)
        # cut in other places it is the same table
        assert_same(fit(Pieces(X, Y, size=11), **options, checkpoint=path, resume=True), wanted)
        for other in (X[::-1], X + 1e-12):
            with pytest.raises(ValueError, match="X and Y have other values than then"):
                fit(Pieces(other, Y), **options, checkpoint=path, resume=True)
        with pytest.raises(ValueError, match="X and Y were 40 × 3 of float64 with 1 target, now 39 × 3 of"):
            fit(Pieces(X[1:], Y[1:]), **options, checkpoint=path, resume=True)
        path.unlink()


@pytest.mark.parametrize("epochs", [20, 30])
def test_second_moments_of_a_table_tell_it_without_another_pass(path, epochs):
    fit(Pieces(X, Y), lr=0.1, epochs=20, checkpoint=path)
    alone, kept, more = Pieces(X, Y), Pieces(X, Y), Pieces(X, Y)
    fit(alone, lr=0.1, epochs=20)
    fit(kept, lr=0.1, epochs=20, checkpoint=f"{path}.2")
    fit(more, lr=0.1, epochs=epochs, checkpoint=path, resume=True)
    assert kept.passes == alone.passes
    assert more.passes <= alone.passes


def test_a_run_is_gone_on_with_as_often_as_one_likes(path):
    options = {"lr": 0.01, "optimizer": "adam", "batch_size": 8}
    for epochs in (0, 3, 3, 7, 20, 5):
        run = fit(X, Y, **options, epochs=epochs, checkpoint=path, resume=True)
        assert run.epochs == max(epochs, run.epochs)
    assert_same(run, fit(X, Y, **options, epochs=20))
    # and in memory: Run.resume leaves the file as it is
    before = path.read_bytes()
    assert_same(run.resume(X, Y, 4), fit(X, Y, **options, epochs=24))
    assert path.read_bytes() == before


@pytest.mark.parametrize("seconds", [0, 1e-9, 1e-3])
def test_how_calls_are_cut_changes_nothing(path, seconds):
    wanted = fit(X, Y, lr=1e-4, epochs=30_000, method="stream", optimizer=gdcore.SGD(momentum=0.9))
    options = {"lr": 1e-4, "epochs": 30_000, "method": "stream", "optimizer": gdcore.SGD(momentum=0.9)}
    assert_same(fit(X, Y, **options, checkpoint=Checkpoint(path, seconds)), wanted)
    assert_same(fit(X, Y, **options, progress=Bar), wanted)


# Signals -------------------------------------------------------------------------------------------------------------------


class InterruptAnywhere(InterruptAt):
    """The same in the lines that look between epochs and settle after a signal."""

    def __init__(self, count):
        super().__init__(count)
        self.files.add(checkpoints.__file__)

    @staticmethod
    def _in_the_loop(frame):
        while frame is not None:
            if frame.f_code.co_name in ("some_epochs", "look"):
                return True
            frame = frame.f_back
        return False


SIGNALS = {
    "stream": {"lr": 0.1, "method": "stream", "tol": 1e-3},
    "stream, patience": {"lr": 0.5, "method": "stream", "validation": VALIDATION, "patience": 1},
    "batches": {"lr": 0.1, "batch_size": 6, "tol": 1e-9, "validation": VALIDATION, "patience": 2},
    "auto": {"loss": "huber", "lr": "auto", "validation": VALIDATION, "patience": 1, "l2": 0.01},
    "auto, smoothed": {"loss": "mae", "lr": "auto", "tol": 1e-2},
    "auto, mse": {"lr": "auto", "method": "stream"},
    "network": {"model": gdcore.MLP([3, 2, 1]), "lr": "auto", "tol": 1e-3, "validation": VALIDATION, "patience": 1},
    "network in batches": {"model": gdcore.MLP([3, 2, 1]), "lr": "auto", "batch_size": 6},
    "exact": {"lr": 0.1, "method": "exact"},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SIGNALS)
def test_control_c_at_any_line_is_gone_on_from(path, no_disk, name, backend):
    x, y = X[:12], Y[:12]
    options = {"epochs": 3, "backend": backend, "n_threads": 1, **SIGNALS[name]}
    wanted = fit(x, y, **options)
    assert wanted.epochs >= 2
    broken, places = [], 0
    # The reference has many lines: every fifth.
    for count in range(0, 10_000, 1 if backend == "kernel" else 5):
        tracer = InterruptAnywhere(count)
        run = tracer.run(x, y, **options, checkpoint=Checkpoint(path, 10.0))
        if tracer.place is None:
            break
        places += 1
        try:
            assert run.status == "interrupted"
            assert_same(fit(x, y, **options, checkpoint=path, resume=True), wanted)
        except AssertionError as error:
            broken.append(f"{tracer.place} in epoch {run.epochs + 1}: {str(error)[:200]}")
        path.unlink()
    assert places > 5
    assert broken == []


# Progress ------------------------------------------------------------------------------------------------------------------


class Bar:
    """What a class like tqdm.tqdm has."""

    made = None

    def __init__(self, **options):
        type(self).made = self
        self.options, self.n, self.postfix, self.updates, self.closed = options, options["initial"], None, 0, 0

    def set_postfix(self, ordered_dict=None, refresh=True):
        self.postfix = ordered_dict

    def update(self, n):
        assert n > 0
        self.n += n
        self.updates += 1

    def close(self):
        self.closed += 1
