"""Checkpoints: what is gone on with ends as if it had never been interrupted; what does not belong to a run is refused.

`python tests/kills.py` kills more often than the test here. Interrupted runs are compared with runs that nobody watched.
"""

import errno
import itertools
import json
import os
import re
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest

import gdcore
from gdcore import Checkpoint, CheckpointWarning, Linear, container, fit, schedules
from gdcore.container import FileError
from gdcore.descent.options import Options
from gdcore.optimizers import OPTIMIZERS
from gdcore.rows.tables import Piece, Table
from gdcore.solvers.stream import Stream
from gdcore.training import checkpoints, fingerprints

pytest.importorskip("safetensors")

from naming import named
from test_container import Error, Short, System
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
        assert_same(fit(*data, **options, checkpoint=path, resume=True), wanted)
        path.unlink()


OTHERS = {
    "huber": (Y, {"loss": "huber", "lr": "auto"}),
    "logistic with l1 and l2": (LABELS, {"loss": "logistic", "lr": "auto", "l1": 0.01, "l2": 0.1, "tol": 1e-9}),
    "softmax": (CLASSES, {"loss": "softmax", "lr": "auto", "l2": 0.01}),
    "mae with l2": (Y, {"loss": "mae", "lr": "auto", "l2": 0.01}),
    "mae without a metric": (Y, {"loss": "mae", "lr": "auto", "optimizer": "sgd"}),
    "quantile, diagonal": (Y, {"loss": gdcore.losses.quantile(0.3), "lr": "auto", "precondition": "diagonal"}),
    "diagonal": (Y, {"lr": "auto", "precondition": "diagonal"}),
    "mse, rows": (Y, {"lr": "auto", "method": "stream", "schedule": schedules.cosine(20)}),
    "mse with l1, diagonal": (Y, {"lr": "auto", "l1": 0.1, "precondition": "diagonal"}),
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
        {"lr": 0.1, "epochs": 20, "method": "gram"},
        {"lr": "auto", "epochs": 20, "l1": 0.1, "precondition": "diagonal"},
        {"loss": "mae", "lr": "auto", "epochs": 12, "l2": 0.01},
        {"lr": 0.1, "epochs": 20, "method": "stream"},
        {"loss": "huber", "lr": "auto", "epochs": 12},
    ],
    ids=named,
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
    fit(Pieces(X, Y), lr=0.1, method="gram", epochs=20, checkpoint=path)
    alone, kept, more = Pieces(X, Y), Pieces(X, Y), Pieces(X, Y)
    fit(alone, lr=0.1, method="gram", epochs=20)
    fit(kept, lr=0.1, method="gram", epochs=20, checkpoint=f"{path}.2")
    fit(more, lr=0.1, method="gram", epochs=epochs, checkpoint=path, resume=True)
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


def calls(monkeypatch, **options):
    """How many epochs each call of a backend was allowed."""
    allowed = []
    real = Stream.advance
    with monkeypatch.context() as patch:
        patch.setattr(
            Stream, "advance", lambda self, state, found, span: allowed.append(span.left) or real(self, state, found, span)
        )
        fit(X, Y, lr=1e-4, epochs=30_000, method="stream", **options)
    return allowed


def test_calls_become_longer_until_they_take_their_time(path, monkeypatch):
    assert calls(monkeypatch) == [30_000]
    for options in ({"progress": Bar}, {"checkpoint": path}):
        allowed = calls(monkeypatch, **options)
        assert allowed[0] == 1
        assert all(b <= 8 * a for a, b in itertools.pairwise(allowed))
        assert max(allowed) > 100
    assert set(calls(monkeypatch, checkpoint=Checkpoint(f"{path}.2", 0))) == {1}


# Signals -------------------------------------------------------------------------------------------------------------------


class InterruptAnywhere(InterruptAt):
    """The same in the lines that keep the checkpoint between epochs."""

    def __init__(self, count):
        super().__init__(count)
        self.files.add(checkpoints.__file__)


NETWORK = gdcore.MLP([3, 2, 1], "tanh", seed=3)
WORSE = {"validation": (X[:12], -Y[:12]), "patience": 1}
SIGNALS = {
    "stream": {"lr": 0.1, "method": "stream", "tol": 1e-3},
    "stream, patience": {"lr": 0.1, "method": "stream", **WORSE},
    "batches": {"lr": 0.1, "batch_size": 6, "tol": 1e-9, **WORSE},
    "auto": {"loss": gdcore.losses.huber(0.1), "lr": "auto", "l2": 0.01, "tol": 0.0, **WORSE},
    "auto, smoothed": {"loss": "mae", "l2": 1e-3, "lr": "auto", "tol": 1e-2},
    "auto, mse": {"lr": "auto", "method": "stream"},
    "network": {"model": NETWORK, "lr": "auto", "tol": "of epoch 2"},
    "network, patience": {"model": NETWORK, "lr": "auto", **WORSE},
    "network at an lr": {"model": NETWORK, "lr": 0.1, "tol": "of epoch 2"},
    "network in batches": {"model": NETWORK, "lr": "auto", "batch_size": 6},
    "network in batches with tol": {"model": NETWORK, "lr": 0.1, "batch_size": 6, "tol": "of epoch 2"},
    "exact": {"lr": 0.1, "method": "exact"},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SIGNALS)
def test_control_c_at_any_line_is_gone_on_from(path, no_disk, name, backend):
    x, y = X[:12], Y[:12]
    options = {"epochs": 3, "backend": backend, "n_threads": 1, **SIGNALS[name]}
    if options.get("tol") == "of epoch 2":
        norms = fit(x, y, **options | {"tol": 0.0}).history.gradient_norm
        assert norms[1] < norms[0]
        options |= {"tol": norms[1]}
    wanted = fit(x, y, **options)
    if "of epoch 2" in SIGNALS[name].values():
        assert (wanted.status, wanted.epochs) == ("converged", 2)
    elif "patience" in options:
        assert (wanted.status, wanted.epochs) == ("early_stopped", 2)
    else:
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


@pytest.mark.parametrize("name", ["stream", "batches", "network"])
def test_a_run_that_was_killed_between_two_writings(path, monkeypatch, name):
    # What is on the disk then is what a thread wrote while the run went on.
    options = {
        "stream": {"lr": 1e-3, "epochs": 400, "method": "stream", "callback": lambda epoch: time.sleep(1e-4)},
        "batches": {"lr": 1e-3, "epochs": 300, "batch_size": 9, "optimizer": "adam"},
        "network": {"lr": 1e-3, "epochs": 300, "model": gdcore.MLP([3, 4, 1]), "validation": VALIDATION, "patience": 300},
    }[name]
    wanted = fit(X, Y, **options)

    def killed(keeper, t, status):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Keeper, "finish", killed)
        with pytest.raises(SystemExit):
            fit(X, Y, **options, checkpoint=Checkpoint(path, 1e-3))
    _, meta = container.read(checkpoints.FORMAT, path)
    assert meta["status"] == "running"
    assert 0 < int(meta["epoch"]) <= wanted.epochs
    assert_same(fit(X, Y, **options, checkpoint=path, resume=True), wanted)


def test_kills(python):
    if not hasattr(os, "fork"):
        pytest.skip("no os.fork")
    done = python("import kills; print(kills.main(20, 12, seed=1))", timeout=300)
    assert done.stderr == ""
    counts = eval(done.stdout)
    assert counts["at random"] >= 20
    assert counts["inside"] >= 12
    assert counts["gone on from a checkpoint"] > 0


# How a run had ended -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, options",
    [
        ("epochs", {"lr": 0.1, "epochs": 6}),
        ("epochs", {"lr": 0.1, "epochs": 6, "batch_size": 8}),
        ("epochs", {"lr": 0.1, "epochs": 6, "method": "gram"}),
        ("converged", {"lr": "auto", "epochs": 60}),
        ("converged", {"lr": 0.2, "epochs": 600, "tol": 1e-3}),
        ("early_stopped", {"lr": 0.3, "epochs": 600, "validation": (X[:8], -Y[:8]), "patience": 3}),
        ("early_stopped", {"lr": 0.1, "epochs": 600, "callback": lambda epoch: epoch.epoch == 4}),
    ],
    ids=named,
)
def test_a_run_that_had_ended_is_given_back_as_it_was(path, status, options):
    wanted = fit(X, Y, **options)
    assert wanted.status == status
    fit(X, Y, **options, checkpoint=path)
    before = path.read_bytes()
    for epochs in (options["epochs"], *([] if status == "epochs" else [wanted.epochs, 10_000])):
        called = []
        again = options | {"epochs": epochs, "callback": called.append}
        assert_same(fit(X, Y, **again, checkpoint=path, resume=True), wanted)
        assert called == []
        assert path.read_bytes() == before


def test_a_run_by_formula_that_had_ended_is_given_back_as_it_was(path):
    wanted = fit(X, Y, lr=0.1, epochs=6, method="exact", checkpoint=path)
    assert_same(fit(X, Y, lr=0.1, epochs=6, method="exact", checkpoint=path, resume=True), wanted)


def test_fewer_epochs_than_it_has_change_nothing(path):
    wanted = fit(X, Y, lr=0.1, epochs=6, checkpoint=path)
    assert_same(fit(X, Y, lr=0.1, epochs=2, checkpoint=path, resume=True), wanted)


def test_a_diverging_run_is_not_kept(path):
    for checkpoint, kept in ((path, False), (Checkpoint(path, 0), True)):
        with pytest.warns(gdcore.LearningRateWarning), pytest.raises(gdcore.DivergenceError):
            fit(X, Y, lr=3.0, epochs=100_000, checkpoint=checkpoint, callback=lambda epoch: time.sleep(0.01))
        assert path.exists() == kept
        if kept:  # at a loss that was finite
            assert container.read(checkpoints.FORMAT, path)[1]["status"] == "running"


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
def test_a_run_past_its_limit_diverges_in_the_same_epoch(path):
    limit = gdcore.spectrum(X).lr_limit
    options = {"lr": 1.002 * limit, "epochs": 10_000, "method": "stream"}
    start = Linear([30.0, 30.0, 30.0], 0.0)
    with pytest.raises(gdcore.DivergenceError) as wanted:
        fit(X, Y, start, **options)
    assert wanted.value.run.epochs > 20
    interrupted(path, 12, X, Y, start, **options)
    with pytest.raises(gdcore.DivergenceError) as caught:
        fit(X, Y, start, **options, checkpoint=path, resume=True)
    assert str(caught.value) == str(wanted.value)
    assert_same(caught.value.run, wanted.value.run)


def test_a_run_gone_on_with_warns_as_it_did_at_the_start(path):
    x = np.random.default_rng(0).normal(size=(2100, 50))
    options = {"lr": 1.001 * gdcore.spectrum(x).lr_limit, "method": "stream"}
    with pytest.warns(gdcore.LearningRateWarning) as first:
        fit(x, x[:, 0], **options, epochs=20)
    with pytest.warns(gdcore.LearningRateWarning):
        interrupted(path, 15, x, x[:, 0], **options, epochs=20)
    with pytest.warns(gdcore.LearningRateWarning) as second:
        fit(x, x[:, 0], **options, epochs=20, checkpoint=path, resume=True)
    assert [str(w.message) for w in first] == [str(w.message) for w in second]
    assert [w.filename for w in second] == [__file__]


def test_without_a_file_it_starts_at_the_beginning(path):
    assert_same(fit(X, Y, lr=0.1, epochs=9, checkpoint=path, resume=True), fit(X, Y, lr=0.1, epochs=9))
    assert path.exists()
    assert os.listdir(path.parent) == [path.name]


# What is refused -----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_touched(path):
    fit(X, Y, lr=0.1, epochs=7, checkpoint=path)
    for content, error, message in (
        (path.read_bytes(), ValueError, r"is there: the checkpoint of a run at epoch 7, written 20\d\d-.*resume=True goes on"),
        (b"precious", FileError, "is there, and cannot be gone on from: it is cut off"),
        (b"", FileError, "it is empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(error, match=re.escape(str(path)) + ".*" + message):
            fit(X, Y, lr=0.1, epochs=7, checkpoint=path)
        assert path.read_bytes() == content
    with pytest.raises(FileError, match="cannot be gone on from"):
        fit(X, Y, lr=0.1, epochs=7, checkpoint=path, resume=True)
    with pytest.raises(IsADirectoryError):
        fit(X, Y, lr=0.1, checkpoint=path.parent, resume=True)


def test_a_folder_that_is_not_there_is_told_before_the_first_epoch(path):
    called = []
    with pytest.raises(FileNotFoundError, match=r"checkpoint cannot be written: there is no folder .*/no"):
        fit(X, Y, lr=0.1, checkpoint=path.parent / "no" / "run", callback=called.append)
    assert called == []


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"checkpoint": 5}, TypeError, r"checkpoint must be a path or a gdcore\.Checkpoint, found 5"),
        ({"checkpoint": True}, TypeError, "checkpoint must be a path or a gdcore"),
        ({"checkpoint": ["a"]}, TypeError, "checkpoint must be a path or a gdcore"),
        ({"checkpoint": Checkpoint}, TypeError, "checkpoint must be a path or a gdcore"),
        ({"resume": True}, ValueError, "resume=True needs checkpoint, the file to go on from"),
        ({"resume": 1}, TypeError, "resume must be True or False, found 1"),
        ({"resume": "yes"}, TypeError, "resume must be True or False, found 'yes'"),
        ({"progress": "yes"}, TypeError, "progress must be True, False or a class like tqdm.tqdm, found 'yes'"),
        ({"progress": None}, TypeError, "progress must be True, False or a class"),
        ({"progress": 1}, TypeError, "progress must be True, False or a class"),
    ],
    ids=named,
)
def test_other_kinds_are_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        fit(X, Y, lr=0.1, **arguments)


@pytest.mark.parametrize(
    "seconds, error",
    [("5", TypeError), (None, TypeError), (True, TypeError), (-1, ValueError), (np.nan, ValueError), (np.inf, ValueError)],
)
def test_seconds_are_checked(path, seconds, error):
    with pytest.raises(error, match="seconds must be"):
        Checkpoint(path, seconds)


def rate(epoch):
    return 1.0


def other_rate(epoch):
    return 1.0


BASE = {
    "model": Linear([0.1, 0.2, 0.3], 0.0), "loss": "mse", "optimizer": "adam", "lr": 0.1, "batch_size": 8, "l1": 0.0,
    "l2": 0.0, "bounds": None, "sample_weight": None, "validation": VALIDATION, "schedule": None, "precondition": "auto",
    "method": "auto", "tol": None, "patience": 100, "shuffle": True, "seed": 0, "decimals": None, "backend": "kernel",
}  # fmt: skip
CHANGES = [
    ("model", None, "Linear, weights (3,), values"),
    ("model", Linear([0.1, 0.2, 0.3]), "Linear, weights (3,), no bias"),
    ("model", gdcore.MLP([3, 1]), "MLP [3, 1], relu"),
    ("loss", "huber", "was mse, now it is huber(1.0)"),
    ("loss", gdcore.losses.huber(2.0), "huber(2.0)"),
    ("optimizer", "sgd", "was Adam(betas=(0.9, 0.999), eps=1e-08), now it is SGD(momentum=0.0, nesterov=False)"),
    ("optimizer", gdcore.Adam(eps=1e-7), "now it is Adam(betas=(0.9, 0.999), eps=1e-07)"),
    ("lr", 0.2, "was 0.1, now it is 0.2"),
    ("lr", "auto", "was 0.1, now it is 'auto'"),
    ("batch_size", 9, "was 8, now it is 9"),
    ("batch_size", None, "was 8, now it is None"),
    ("l1", 0.5, "was 0.0, now it is 0.5"),
    ("l2", 0.5, "was 0.0, now it is 0.5"),
    ("bounds", (0, 1), "was None, now it is ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))"),
    ("sample_weight", np.ones(N), f"was None, now it is {N} values"),
    ("validation", None, "the validation data were 5 × 3 of float64 with 1 target, now none"),
    ("validation", (X[:7], Y[:7]), "the validation data were 5 × 3 of float64 with 1 target, now 7 × 3 of"),
    ("validation", (X[:5], Y[:5]), "the validation data have other values than then"),
    ("schedule", schedules.cosine(10), "was None, now it is Cosine(epochs=10, end=0.0)"),
    ("schedule", rate, "was None, now it is test_checkpoints.rate"),
    ("method", "stream", "was 'auto', now it is 'stream'"),
    ("tol", 1e-3, "was None, now it is 0.001"),
    ("patience", 7, "was 100, now it is 7"),
    ("shuffle", False, "was True, now it is False"),
    ("seed", 1, "was 0, now it is 1"),
    ("decimals", 3, "was None, now it is 3"),
    ("backend", "reference", "was 'kernel', now it is 'reference'"),
]


@pytest.mark.parametrize("name, value, told", CHANGES, ids=lambda value: named(value)[:30])
def test_a_changed_option_is_refused_by_its_name(path, name, value, told):
    fit(X, Y, **BASE, epochs=3, checkpoint=path)
    before = path.read_bytes()
    changed = BASE | {name: value} | ({"patience": None} if value is None and name == "validation" else {})
    with pytest.raises(ValueError) as caught:
        fit(X, Y, **changed, epochs=6, checkpoint=path, resume=True)
    message = str(caught.value)
    kind = "on other data: the validation data" if "the validation" in told else f"with other options: {name} was"
    if changed["patience"] is not None:
        assert message.startswith(f"{path} is the checkpoint of a run {kind}")
        assert told in message
    else:
        assert "patience was 100, now it is None" in message
    assert path.read_bytes() == before
    assert fit(X, Y, **BASE, epochs=6, checkpoint=path, resume=True).epochs == 6


def test_every_option_is_looked_at():
    """What an option changes in the result is refused, or it changes nothing, and then it may change."""
    free = {"callback", "keep_weights", "n_threads", "on_divergence", "progress", "verbose"}
    assert set(Options._fields) - free == {name for name, *_ in CHANGES} - {"model"} | {"precondition"}


def test_a_changed_metric_is_refused(path):
    fit(X, Y, epochs=3, checkpoint=path)
    with pytest.raises(ValueError, match="precondition was 'gram', now it is 'diagonal'"):
        fit(X, Y, epochs=3, checkpoint=path, resume=True, precondition="diagonal")


def test_the_same_in_other_words_is_the_same(path):
    options = {"lr": 0.1, "epochs": 6}
    fit(X, Y, **options | {"epochs": 3}, checkpoint=path)
    same = [
        {"model": Linear(np.zeros(3), 0.0)}, {"loss": gdcore.losses.mse()}, {"optimizer": gdcore.SGD()}, {"seed": 9},
        {"shuffle": False}, {"batch_size": N}, {"l1": np.float32(0)}, {"n_threads": 1}, {"callback": lambda epoch: None},
        {"lr": np.float64(0.1)}, {"progress": Bar},
    ]  # fmt: skip
    before = path.read_bytes()
    for more in same:
        assert_same(fit(X, Y, **options | more, checkpoint=path, resume=True), fit(X, Y, **options))
        path.write_bytes(before)
    for layout in (np.repeat(X, 2, axis=0)[::2], X[:, ::-1].copy()[:, ::-1]):
        assert_same(fit(layout, Y, **options, checkpoint=path, resume=True), fit(X, Y, **options))
        path.write_bytes(before)
    by_columns = fit(np.asfortranarray(X), Y, **options, checkpoint=path, resume=True)
    np.testing.assert_allclose(by_columns.model.weights, fit(X, Y, **options).model.weights, rtol=1e-9)


@pytest.mark.parametrize("schedules_of", [(rate, other_rate), (schedules.step(5), schedules.step(6))], ids=named)
def test_another_schedule_is_refused(path, schedules_of):
    fit(X, Y, lr=0.1, epochs=3, schedule=schedules_of[0], checkpoint=path)
    with pytest.raises(ValueError, match="schedule was"):
        fit(X, Y, lr=0.1, epochs=3, schedule=schedules_of[1], checkpoint=path, resume=True)


def nearly(array, place):
    changed = array.copy()
    changed[place] *= 1 + 1e-12
    return changed


OTHER_DATA = {
    "a value of X": (nearly(X, (17, 1)), Y, "X and Y have other values than then"),
    "a value of Y": (X, nearly(Y, 39), "X and Y have other values than then"),
    "two rows change places": (X[[1, 0, *range(2, N)]], Y[[1, 0, *range(2, N)]], "X and Y have other values than then"),
    "two columns change places": (X[:, [1, 0, 2]], Y, "X and Y have other values than then"),
    "a row less": (X[1:], Y[1:], "X and Y were 40 × 3 of float64 with 1 target, now 39 × 3 of float64 with 1 target"),
    "a row of zeros more": (np.vstack([X, [[0, 0, 0]]]), np.append(Y, 0), "now 41 × 3"),
    "float32": (X.astype("f4"), Y.astype("f4"), "now 40 × 3 of float32"),
}


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("name", OTHER_DATA)
def test_changed_data_are_refused(path, name, batch_size):
    options = {"model": Linear([0.1, 0.2, 0.3], 0.0), "lr": 0.1, "batch_size": batch_size, "epochs": 3}
    fit(X, Y, **options, checkpoint=path)
    other_x, other_y, message = OTHER_DATA[name]
    with pytest.raises(ValueError, match=f"is the checkpoint of a run (with other options: model|on other data: .*{message})"):
        fit(other_x, other_y, **options, checkpoint=path, resume=True)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_fingerprints_are_the_same_for_any_layout_and_cut(n_threads):
    x, y = np.random.default_rng(1).normal(size=(70_000, 40)), np.random.default_rng(2).normal(size=(70_000, 1))
    wanted = fingerprints.of_rows(x, y)
    assert fingerprints.of_rows(np.asfortranarray(x), y, n_threads) == wanted
    assert fingerprints.of_rows(x[::-1].copy()[::-1], y, n_threads) == wanted

    class Long(Pieces):
        def __init__(self, size):
            super().__init__(x, y[:, 0], size)
            self.names = list(map(str, range(40)))

    assert fingerprints.of_rows(Long(999), None, n_threads) == fingerprints.of_rows(Long(20_000), None, n_threads) == wanted
    assert fingerprints.of_rows(x.astype("f4"), y.astype("f4"))["bits"] != wanted["bits"]
    # another order is seen in more than the last bits
    for order in (np.arange(70_000)[::-1], np.random.default_rng(3).permutation(70_000)):
        other = fingerprints.of_rows(x[order], y[order])
        assert fingerprints.data_changes({"X": wanted}, {"X": other}, to_the_bit=False)


def test_fingerprints_of_hopeless_numbers():
    x = np.full((5, 2), 1e200)
    found = fingerprints.of_rows(x, x[:, :1])
    assert fingerprints.data_changes({"X": found}, {"X": json.loads(json.dumps(found))}, True) == []
    assert fingerprints.data_changes({"X": found}, {"X": json.loads(json.dumps(found))}, False) == []


# Another machine -----------------------------------------------------------------------------------------------------------


def elsewhere(monkeypatch):
    monkeypatch.setattr(fingerprints, "environment", lambda: "gdcore 0.0, kernel other on z80, NumPy 9")


def test_of_another_machine_the_data_need_only_be_near(path, monkeypatch):
    options = {"lr": 0.1, "epochs": 5, "validation": VALIDATION}
    with monkeypatch.context() as patch:
        elsewhere(patch)
        fit(X, Y, **options, checkpoint=path)
    before = path.read_bytes()
    near, far = nearly(X, (17, 1)), X * (1 + 1e-5)
    for x in (X, near):
        with pytest.warns(
            CheckpointWarning, match=r"written by gdcore 0\.0, kernel other.*; this is gdcore .*no longer those"
        ) as w:
            run = fit(x, Y, **options | {"epochs": 9}, checkpoint=path, resume=True)
        assert [warning.filename for warning in w] == [__file__]
        assert run.epochs == 9
        path.write_bytes(before)
    for data, validation in (((far, Y), VALIDATION), ((X, Y), (far[:5] + 0.1, Y[:5]))):
        with pytest.raises(ValueError, match="other values than then"):
            fit(*data, **options | {"validation": validation}, checkpoint=path, resume=True)


def test_the_kernels_of_two_cpus(path, python):
    program = textwrap.dedent("""
        import sys, warnings
        import numpy as np
        import gdcore
        rng = np.random.default_rng(0)
        X = rng.normal(size=(3000, 17)).astype(sys.argv[2])
        warnings.simplefilter("ignore" if len(sys.argv) == 3 else "error")
        y = X @ np.arange(17, dtype=X.dtype) + X[:, 0] ** 2
        run = gdcore.fit(X, y, lr=0.01, epochs=4, checkpoint=sys.argv[1], resume=True)
        print(run.epochs)
    """)
    supported = gdcore.backends.kernel.supported()
    if len(supported) == 1:
        pytest.skip("this CPU runs only one kernel")
    for dtype in ("float32", "float64"):
        file = path.with_suffix("." + dtype)
        for variant, arguments, fails in ((supported[0], (), False), ("baseline", (), False), ("baseline", ("strict",), True)):
            done = python(program, file, dtype, *arguments, GDCORE_VARIANT=variant)
            assert ("CheckpointWarning" in done.stderr) == fails, done.stderr
            assert fails or done.stdout.split() == ["4"], done.stderr


# Damaged files -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "run"
    fit(X, Y, lr=0.1, epochs=2, optimizer="adam", checkpoint=path)
    return path.read_bytes()


def test_damage_is_refused(path, good):
    def refused(data):
        path.write_bytes(data)
        with pytest.raises(FileError, match="cannot be gone on from"):
            fit(X, Y, lr=0.1, epochs=4, optimizer="adam", checkpoint=path, resume=True)
        assert path.read_bytes() == data

    for size in range(0, len(good), 7):
        refused(good[:size])
    for bit in np.random.default_rng(0).integers(0, 8 * len(good), 500):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << (bit % 8)
        refused(damaged)


def remade(good, change):
    """The file with arrays and metadata changed, under a checksum that is right."""
    arrays, meta = container.parse(checkpoints.FORMAT, good)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, meta)
    return container.pack(container.Format(meta.pop("format"), meta.pop("version"), "checkpoint"), arrays, meta)


def changed_data(meta, **changes):
    """The stored facts of the data with changes to those of X and Y."""
    data = json.loads(meta["data"])
    data["X and Y"] |= changes
    return json.dumps(data)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a, m: m.update(format="gdcore"), "it is no gdcore checkpoint"),
        (lambda a, m: m.update(version="2"), "in version 2 of the format; this is gdcore .*, which reads version 1"),
        (lambda a, m: m.pop("why"), "a name missing or too many"),
        (lambda a, m: m.update(eval="1"), "a name missing or too many"),
        (lambda a, m: m.update(method="magic"), "its method 'magic' is unknown"),
        (lambda a, m: m.update(configuration="{"), "its configuration is not valid JSON"),
        (lambda a, m: m.update(data="[" * 9), "its data is not valid JSON"),
        (lambda a, m: a.pop("weights"), "weights"),
        (lambda a, m: a.pop("memory"), "memory"),
        (lambda a, m: a.update(more=np.zeros(1)), "its arrays are"),
        (lambda a, m: a.update(weights=np.zeros((4, 1))), r"weights has shape \(4, 1\) and dtype float64, not \(3, 1\)"),
        (lambda a, m: a.update(weights=np.zeros((3, 1), "f4")), "dtype float32"),
        (lambda a, m: a.update(steps=np.zeros(1)), "steps has shape"),
        (lambda a, m: a.update(numbers=np.zeros(3)), "numbers has shape"),
        (lambda a, m: a.update({"history.loss": np.zeros(3)}), "history.loss has shape"),
        (lambda a, m: a.update({"origin.facts": np.zeros(3)}), "origin"),
        (lambda a, m: m.update(status="happy"), "its status 'happy' is unknown"),
        (lambda a, m: m.update(configuration="[]"), r"its configuration must be a dict, found \[\]"),
        (lambda a, m: m.update(configuration='{"lr": 0.1}'), "its configuration: 'lr' must be a string, found 0.1"),
        (lambda a, m: m.update(data="7"), "its data must be a dict, found 7"),
        (lambda a, m: m.update(data="{}"), "its data lacks 'X and Y'"),
        (lambda a, m: m.update(data='{"X and Y": 5, "the validation data": null}'), "its data: 'X and Y' must be a dict"),
        (lambda a, m: m.update(data=changed_data(m, numbers=["1", 2, 3])), "must be a list of 3 numbers"),
        (lambda a, m: m.update(data=changed_data(m, numbers=[1.0])), "must be a list of 3 numbers"),
        (lambda a, m: m.update(data=changed_data(m, numbers=[10**400, 1, 1])), "must be a list of 3 numbers"),
        (lambda a, m: m.update(data=changed_data(m, bits=None)), "'bits' must be a string, found None"),
        (lambda a, m: m.update(data=changed_data(m, more=1)), "has the unknown name 'more'"),
        (lambda a, m: a["numbers"].__setitem__(5, np.inf), "the epochs that it has waited are inf"),
        (lambda a, m: a["history.epoch"].__setitem__(0, -1), "the epochs of its history"),
        (lambda a, m: a["history.epoch"].__setitem__(slice(None), 1), "the epochs of its history"),
        (lambda a, m: a["weights"].__setitem__((0, 0), np.nan), r"weights\[0, 0\] is nan"),
    ],
)
def test_what_is_no_state_is_refused(path, good, change, message):
    path.write_bytes(remade(good, change))
    with pytest.raises(FileError, match=f"(?s)cannot be gone on from.*{message}"):
        fit(X, Y, lr=0.1, epochs=4, optimizer="adam", checkpoint=path, resume=True)
    path.write_bytes(remade(good, lambda arrays, meta: None))
    assert fit(X, Y, lr=0.1, epochs=4, optimizer="adam", checkpoint=path, resume=True).epochs == 4


# What fails while it is written --------------------------------------------------------------------------------------------

CALLS = ["open", "write", "fsync", "replace", "close"]


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("fail", [Error(errno.EIO), Error(errno.ENOSPC), "short"], ids=["EIO", "ENOSPC", "short"])
@pytest.mark.parametrize("function", CALLS)
def test_a_writing_that_fails_at_the_end_is_a_warning(path, monkeypatch, function, fail, exists):
    if fail == "short" and function != "write":
        return
    options = {"lr": 0.1, "optimizer": "adam"}
    if exists:
        fit(X, Y, **options, epochs=3, checkpoint=path)
        before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(container, "os", System(function, 0, Short() if fail == "short" else fail))
        there = "the one there is of epoch 3" if exists else "there is none"
        message = rf"the checkpoint was not written \({there}\); the training goes on. OSError: .*unchanged"
        with pytest.warns(CheckpointWarning, match=message) as caught:
            run = fit(X, Y, **options, epochs=8, checkpoint=path, resume=True)
    assert [w.filename for w in caught] == [__file__]
    assert_same(run, fit(X, Y, **options, epochs=8))
    assert os.listdir(path.parent) == ([path.name] if exists else [])
    assert not exists or path.read_bytes() == before
    assert_same(fit(X, Y, **options, epochs=8, checkpoint=path, resume=True), run)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), MemoryError("no memory"), RuntimeError("a defect")], ids=repr
)
def test_writings_that_fail_meanwhile_are_told_once_and_at_once(path, monkeypatch, error):
    writes, epochs_warned = [], []

    def failing(*arguments):
        writes.append(threading.current_thread())
        raise error

    monkeypatch.setattr(container, "write", failing)
    monkeypatch.setattr(warnings, "warn", lambda message, *rest, **more: epochs_warned.append((len(seen), message)))
    seen = []

    def watch(epoch):
        seen.append(epoch.epoch)
        time.sleep(2e-3)

    run = fit(X, Y, lr=0.1, epochs=40, checkpoint=Checkpoint(path, 0), callback=watch)
    monkeypatch.undo()
    assert_same(run, fit(X, Y, lr=0.1, epochs=40, callback=lambda epoch: None))
    assert len(writes) > 3
    assert writes[-1] is threading.main_thread()
    assert not {threading.main_thread()} & set(writes[:-1])
    # one while the run goes on, one for the state at its end
    assert len(epochs_warned) == 2
    assert epochs_warned[0][0] < 40 == epochs_warned[1][0]
    assert all(f"{type(error).__name__}: " in message for _, message in epochs_warned)


def test_a_warning_that_is_an_error_ends_the_run_cleanly(path, monkeypatch):
    monkeypatch.setattr(container, "write", lambda *arguments: Error(errno.EIO)(None))
    with pytest.raises(CheckpointWarning):  # pyproject makes errors of warnings
        fit(X, Y, lr=0.1, epochs=10_000, checkpoint=Checkpoint(path, 0), callback=lambda epoch: time.sleep(1e-3))


def test_one_writer_at_a_time_and_never_an_older_state(path, monkeypatch):
    real, running, epochs = container.write, [], []

    def slow(file, data):
        assert not running
        running.append(1)
        time.sleep(0.02)
        real(file, data)
        epochs.append(int(container.read(checkpoints.FORMAT, path)[1]["epoch"]))
        running.clear()

    monkeypatch.setattr(container, "write", slow)
    fit(X, Y, lr=0.1, epochs=200, checkpoint=Checkpoint(path, 0), callback=lambda epoch: time.sleep(1e-3))
    assert len(epochs) > 3
    assert epochs == sorted(epochs)
    assert epochs[-1] == 200


def test_training_goes_on_while_it_is_written(path, monkeypatch):
    real, writing, meanwhile = container.write, threading.Event(), []

    def slow(file, data):
        if threading.current_thread() is not threading.main_thread():
            writing.set()
            while len(meanwhile) < 5:
                time.sleep(1e-3)
            writing.clear()
        real(file, data)

    monkeypatch.setattr(container, "write", slow)

    def watch(epoch):
        if writing.is_set():
            meanwhile.append(epoch.epoch)
        time.sleep(1e-3)
        return len(meanwhile) >= 5

    run = fit(X, Y, lr=0.1, epochs=100_000, checkpoint=Checkpoint(path, 0), callback=watch)
    assert len(meanwhile) >= 5
    assert container.read(checkpoints.FORMAT, path)[1]["epoch"] == str(run.epochs)


def test_an_exception_of_the_callback_leaves_the_last_checkpoint(path):
    def broken(epoch):
        time.sleep(2e-3)
        if epoch.epoch == 30:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(X, Y, lr=0.1, epochs=60, checkpoint=Checkpoint(path, 0), callback=broken)
    assert int(container.read(checkpoints.FORMAT, path)[1]["epoch"]) < 30
    wanted = fit(X, Y, lr=0.1, epochs=60, callback=lambda epoch: None)
    assert_same(fit(X, Y, lr=0.1, epochs=60, checkpoint=path, resume=True), wanted)


# Where it is written, and by whom -------------------------------------------------------------------------------------------


def test_a_relative_path_stays_where_it_was_at_the_start(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.chdir(first)

    def leave(epoch):
        if epoch.epoch == 5:
            os.chdir(second)
        time.sleep(1e-3)

    fit(X, Y, lr=0.1, epochs=20, checkpoint=Checkpoint("run.ckpt", 0), callback=leave)
    assert (os.listdir(first), os.listdir(second)) == (["run.ckpt"], [])


def between(epoch, work):
    """A callback that works after that epoch, when what was written meanwhile is on the disk."""

    def callback(found):
        time.sleep(2e-3)
        if found.epoch == epoch:
            for thread in threading.enumerate():
                if thread.name == "gdcore-checkpoint":
                    thread.join()
            work()

    return callback


@pytest.mark.parametrize("other", ["of another run", "of no run", "in its place from the start"])
def test_what_another_has_written_is_left_as_it_is(path, other):
    if other == "of another run":
        fit(X, Y, lr=0.2, epochs=3, checkpoint=path)
        foreign = path.read_bytes()
        path.unlink()
    else:
        foreign = b"the user's own"

    def replace():
        container.write(path, foreign)

    seconds = 1000.0 if "start" in other else 0
    with pytest.warns(CheckpointWarning, match=r"run\.ckpt is no longer the file that this run wrote") as caught:
        run = fit(X, Y, lr=0.1, epochs=30, checkpoint=Checkpoint(path, seconds), callback=between(10, replace))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert path.read_bytes() == foreign
    assert_same(run, fit(X, Y, lr=0.1, epochs=30, callback=lambda epoch: None))


def test_a_file_that_was_deleted_is_written_anew(path):
    fit(X, Y, lr=0.1, epochs=30, checkpoint=Checkpoint(path, 0), callback=between(10, path.unlink))
    assert container.read(checkpoints.FORMAT, path)[1]["epoch"] == "30"


def test_a_writing_that_was_undone_leaves_the_file_its_own(path, monkeypatch):
    """The folder could not be brought to the disk: the old file is there again, and the next writing replaces it."""
    fit(X, Y, lr=0.1, epochs=2, checkpoint=path)
    real, failed = container.write, []

    def once(file, data):
        if not failed:
            failed.append(1)
            with monkeypatch.context() as patch:
                patch.setattr(container, "os", System("fsync", 1, Error(errno.EIO)))
                real(file, data)
        real(file, data)

    monkeypatch.setattr(container, "write", once)
    with pytest.warns(CheckpointWarning, match="was not written"):
        fit(
            X, Y, lr=0.1, epochs=30, checkpoint=Checkpoint(path, 0), resume=True, callback=between(10, lambda: None)
        )  # fmt: skip
    assert container.read(checkpoints.FORMAT, path)[1]["epoch"] == "30"


def test_without_threads_it_is_written_here(path, monkeypatch):
    def none_left(thread):
        raise RuntimeError("can't start new thread")

    wanted = fit(X, Y, lr=0.1, epochs=30)
    monkeypatch.setattr(threading.Thread, "start", none_left)
    epochs, real = [], container.write

    def noted(file, data):
        real(file, data)
        epochs.append(int(container.read(checkpoints.FORMAT, path)[1]["epoch"]))

    monkeypatch.setattr(container, "write", noted)
    with pytest.warns(CheckpointWarning, match="waits for each writing of the checkpoint: can't start") as caught:
        run = fit(X, Y, lr=0.1, epochs=30, checkpoint=Checkpoint(path, 0), callback=lambda epoch: time.sleep(1e-4))
    assert len(caught) == 1
    assert epochs[0] < 30 == epochs[-1]
    assert bits(run.model.weights) == bits(wanted.model.weights)


def test_the_program_ends_while_a_daemon_thread_writes(python, tmp_path):
    program = """
import os, sys, threading, time
import numpy as np, gdcore
X = np.ones((50, 2))
def forever():
    gdcore.fit(X, X[:, 0], lr=1e-9, epochs=10**9, method="stream", checkpoint=gdcore.Checkpoint(sys.argv[1], 0))
threading.Thread(target=forever, daemon=True).start()
while not os.path.exists(sys.argv[1]):
    time.sleep(1e-3)
"""
    for name in "abc":
        assert python(program, tmp_path / name).returncode == 0
        assert container.read(checkpoints.FORMAT, tmp_path / name)[1]["status"] == "running"


def test_a_long_history_is_joined_piece_by_piece(path):
    options = {"lr": 0.01, "epochs": 3 * checkpoints._JOIN + 5, "batch_size": 30}
    wanted = fit(X, Y, **options)
    assert_same(fit(X, Y, **options, checkpoint=Checkpoint(path, 0)), wanted)
    assert_same(fit(X, Y, **options, checkpoint=path, resume=True), wanted)


def test_without_safetensors_the_extra_is_named_before_the_first_epoch(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    called = []
    with pytest.raises(ImportError, match=r"pip install 'gdcore\[files\]'"):
        fit(X, Y, lr=0.1, checkpoint=path, callback=called.append)
    assert called == []


def test_importing_gdcore_imports_neither(python):
    program = "import sys, gdcore; print([m for m in sys.modules if m.split('.')[0] in ('tqdm', 'safetensors')])"
    assert python(program).stdout.strip() == "[]"


# Progress ------------------------------------------------------------------------------------------------------------------


class Bar:
    """What a class like tqdm.tqdm has."""

    made = None

    def __init__(self, **options):
        type(self).made = self
        self.options, self.n, self.postfix, self.times, self.closed = options, options["initial"], None, [], 0

    def set_postfix(self, ordered_dict=None, refresh=True):
        self.postfix = ordered_dict

    def update(self, n):
        assert n > 0
        assert not self.closed
        self.n += n
        self.times.append(time.monotonic())

    def close(self):
        self.closed += 1


def test_progress_tells_epochs_and_losses():
    run = fit(X, Y, lr=0.1, epochs=9, validation=VALIDATION, progress=Bar)
    bar = Bar.made
    assert (bar.options["total"], bar.options["initial"], bar.options["unit"]) == (9, 0, "epoch")
    assert (bar.n, bar.closed) == (9, 1)
    told = {name: f"{run.history[name][-1]:.6g}" for name in ("loss", "validation_loss")}
    assert bar.postfix == told
    more = run.resume(X, Y, 5)
    bar = Bar.made
    assert (bar.options["total"], bar.options["initial"], bar.n, bar.closed) == (14, 9, 14, 1)
    assert_same(more, fit(X, Y, lr=0.1, epochs=14, validation=VALIDATION))
    fit(X, Y, lr=0.1, epochs=3, progress=Bar)
    assert list(Bar.made.postfix) == ["loss"]


def test_progress_of_a_run_gone_on_with(path):
    fit(X, Y, lr=0.1, epochs=4, checkpoint=path)
    fit(X, Y, lr=0.1, epochs=9, checkpoint=path, resume=True, progress=Bar)
    assert (Bar.made.options["total"], Bar.made.options["initial"], Bar.made.n) == (9, 4, 9)


def test_progress_is_shown_at_most_ten_times_a_second():
    run = fit(X, Y, lr=1e-3, epochs=400, progress=Bar, callback=lambda epoch: time.sleep(1e-3))
    times = Bar.made.times
    assert len(times) > 2
    assert all(b - a >= 0.099 for a, b in itertools.pairwise(times[:-1]))
    assert Bar.made.n == run.epochs == 400


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
@pytest.mark.parametrize("end", ["converged", "interrupted", "early_stopped", "diverged", "error", "exact", "nothing"])
def test_progress_is_closed_at_every_end(end):
    def fail(epoch):
        raise RuntimeError

    options = {
        "converged": {}, "interrupted": {"callback": Stop(3), "lr": 0.1},
        "early_stopped": {"callback": lambda epoch: True, "lr": 0.1},
        "diverged": {"lr": 9.0}, "error": {"lr": 0.1, "callback": fail}, "exact": {"lr": 0.1, "method": "exact"},
        "nothing": {"lr": 0.1, "epochs": 0},
    }[end]  # fmt: skip
    Bar.made = None
    try:
        run = fit(X, Y, **{"epochs": 300} | options, progress=Bar)
    except gdcore.DivergenceError as error:
        run = error.run
        assert end == "diverged"
    except RuntimeError:
        run = None
        assert end == "error"
    assert Bar.made.closed == 1
    assert run is None or Bar.made.n == run.epochs


def test_tqdm_on_stderr(capsys):
    pytest.importorskip("tqdm")
    run = fit(X, Y, lr=0.1, epochs=12, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "12/12" in err
    assert f"loss={run.loss:.6g}" in err
    assert err.endswith("\n")
    assert "epoch/s" in err


def test_tqdm_after_control_c(capsys):
    pytest.importorskip("tqdm")
    run = fit(X, Y, lr=0.1, epochs=12, progress=True, callback=Stop(5))
    assert run.status == "interrupted"
    _, err = capsys.readouterr()
    assert "5/12" in err
    assert err.endswith("\n")


def test_without_tqdm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"pip install 'gdcore\[cli\]'"):
        fit(X, Y, lr=0.1, progress=True)
    fit(X, Y, lr=0.1, epochs=1, progress=Bar)
