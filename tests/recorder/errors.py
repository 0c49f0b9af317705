"""What cannot be: the messages of `gdcore.fit` and its neighbours, to the letter."""

from __future__ import annotations

from functools import partial

import numpy as np

import gdcore
from gdcore import losses, optimizers, schedules

from .arrays import D, N, data

_OPTIONS = {
    "loss rmse": {"loss": "rmse"},
    "loss 3": {"loss": 3},
    "optimizer adamax": {"optimizer": "adamax"},
    "lr text": {"lr": "fast"},
    "lr negative": {"lr": -0.1},
    "lr NaN": {"lr": float("nan")},
    "lr None": {"lr": None},
    "lr True": {"lr": True},
    "lr array": {"lr": np.array([0.1, 0.2])},
    "epochs negative": {"epochs": -1},
    "epochs 1.5": {"epochs": 1.5},
    "epochs a list": {"epochs": [1, 2]},
    "epochs decreasing": {"epochs": [2, 1], "method": "exact", "lr": 0.01},
    "batch_size 0": {"batch_size": 0},
    "batch_size N + 1": {"batch_size": N + 1},
    "batch_size text": {"batch_size": "32"},
    "l1 negative": {"l1": -1},
    "l2 infinite": {"l2": float("inf")},
    "schedule": {"schedule": 0.5},
    "schedule, a text": {"schedule": lambda epoch: "half", "lr": 0.1},
    "schedule negative": {"schedule": lambda epoch: -1, "lr": 0.1},
    "precondition": {"precondition": "full"},
    "method": {"method": "fast"},
    "tol": {"tol": -1e-3},
    "patience without validation": {"patience": 3},
    "patience 0": {"patience": 0, "validation": data()[:2]},
    "shuffle": {"shuffle": "yes"},
    "seed": {"seed": -1},
    "callback": {"callback": 3},
    "decimals": {"decimals": 40},
    "backend": {"backend": "cuda"},
    "n_threads 0": {"n_threads": 0},
    "n_threads text": {"n_threads": "2"},
    "progress": {"progress": 3},
    "resume": {"resume": True},
    "resume text": {"resume": "yes"},
    "checkpoint": {"checkpoint": 3},
    "checkpoint nowhere": {"checkpoint": "nowhere/run.ckpt"},
    "validation alone": {"validation": data()[0]},
    "validation, columns": {"validation": (np.ones((5, 2)), np.ones(5))},
    "validation, rows": {"validation": (np.ones((5, D)), np.ones(4))},
    "sample_weight, rows": {"sample_weight": np.ones(3)},
    "sample_weight negative": {"sample_weight": np.full(N, -1.0)},
    "sample_weight zeros": {"sample_weight": np.zeros(N)},
    "sample_weight NaN": {"sample_weight": np.full(N, np.nan)},
    "model": {"model": "linear"},
    "model, columns": {"model": gdcore.Linear(np.zeros(D + 1), 0.0)},
    "model, outputs": {"model": gdcore.Linear(np.zeros((D, 2)), np.zeros(2))},
    "network, inputs": {"model": gdcore.MLP([2, 1])},
    "exact, mae": {"method": "exact", "loss": "mae", "lr": 0.1},
    "exact, batches": {"method": "exact", "batch_size": 3, "lr": 0.1},
    "exact, adam": {"method": "exact", "optimizer": "adam", "lr": 0.1},
    "exact, schedule": {"method": "exact", "schedule": schedules.step(2), "lr": 0.1},
    "exact, l1": {"method": "exact", "l1": 0.1, "lr": 0.1},
    "exact, decimals": {"method": "exact", "decimals": 2, "lr": 0.1},
    "exact, callback": {"method": "exact", "callback": print, "lr": 0.1},
    "exact, tol": {"method": "exact", "tol": 1e-3, "lr": 0.1},
    "gram, logistic": {"method": "gram", "loss": "huber"},
    "gram, batches": {"method": "gram", "batch_size": 3, "lr": 0.1},
    "gram, network": {"method": "gram", "model": gdcore.MLP([D, 1]), "lr": 0.1},
    "newton, lr": {"optimizer": "newton", "lr": 0.1},
    "newton, batches": {"optimizer": "newton", "batch_size": 3},
    "newton, network": {"optimizer": "newton", "model": gdcore.MLP([D, 1])},
    "nesterov, batches": {"optimizer": "nesterov", "batch_size": 3, "lr": 0.1},
    "newton, diagonal": {"optimizer": "newton", "precondition": "diagonal"},
    "precondition, adam": {"precondition": "gram", "optimizer": "adam", "lr": 0.1},
    "precondition, network": {"precondition": "gram", "model": gdcore.MLP([D, 1]), "lr": 0.1},
    "precondition, l1": {"precondition": "gram", "l1": 0.1, "lr": 0.1},
    "precondition, decimals": {"precondition": "gram", "decimals": 2},
    "network, lr auto, schedule": {"model": gdcore.MLP([D, 1]), "schedule": schedules.step(2)},
    "auto, decimals": {"decimals": 2},
}


def calls():
    X, Y, _ = data()
    for name, options in _OPTIONS.items():
        yield f"error, {name}", partial(gdcore.fit, X, Y, **options)
    yield from _rows(X, Y)
    yield from _others(X, Y)


def _rows(X, Y):
    def changed(array, place, value):
        other = array.copy()
        other[place] = value
        return other

    many = {
        "X NaN": (changed(X, (7, 2), np.nan), Y),
        "X infinite": (changed(X, (299, 0), -np.inf), Y),
        "Y NaN": (X, changed(Y, 5, np.nan)),
        "X of text": (X.astype(str), Y),
        "X of objects": (X.astype(object), Y),
        "X complex": (X + 1j, Y),
        "X float16": (X.astype("f2"), Y),
        "X big-endian": (X.astype(">f8"), Y),
        "X None": (None, Y),
        "X one dimension": (Y, Y),
        "X three dimensions": (X[None], Y),
        "X ragged": ([[1.0, 2.0], [3.0]], [1, 2]),
        "X without rows": (X[:0], Y[:0]),
        "X without columns": (X[:, :0], Y),
        "Y shorter": (X, Y[:-1]),
        "Y None": (X, None),
        "Y of text": (X, ["a"] * N),
        "Y a number": (X, 1.0),
        "Y 3d": (X, np.ones((N, 1, 1))),
        "X masked": (np.ma.masked_less(X, 0), Y),
        "X overflows": (X * 1e200, Y * 1e200),
        "Y integers past 2⁵³": (X, np.full(N, 2**53 + 1)),
    }
    for name, (rows, targets) in many.items():
        yield f"error, {name}", partial(gdcore.fit, rows, targets, epochs=5)
    yield "error, X of dates", partial(gdcore.fit, np.zeros((N, D), "M8[s]"), Y)
    yield "error, logistic of 2", partial(gdcore.fit, X, np.arange(N) % 3, loss="logistic")
    yield "error, softmax of halves", partial(gdcore.fit, X, (np.arange(N) % 3) / 2, loss="softmax")
    yield "error, softmax negative", partial(gdcore.fit, X, np.arange(N) % 3 - 1, loss="softmax")
    yield "error, softmax, one class", partial(gdcore.fit, X, np.zeros(N), loss="softmax")
    yield "error, softmax, many classes", partial(gdcore.fit, X, np.arange(N) * 10_000_000, loss="softmax")


def _others(X, Y):
    run = gdcore.fit(X, Y, lr=0.01, epochs=2)
    model = gdcore.Linear(np.ones(D), 1.0)
    many = {
        "train, lr auto": lambda: gdcore.train(X, Y, np.zeros(D), "auto", 3),
        "train, weights": lambda: gdcore.train(X, Y, np.zeros(D + 1), 0.1, 3),
        "train, outputs": lambda: gdcore.train(X, Y[:, None], np.zeros(D), 0.1, 3),
        "Linear, shape": lambda: gdcore.Linear(np.zeros((2, 2, 2))),
        "Linear, bias": lambda: gdcore.Linear([1.0, 2.0], [1.0, 2.0]),
        "Linear, NaN": lambda: gdcore.Linear([1.0, np.nan]),
        "MLP, sizes": lambda: gdcore.MLP([3]),
        "MLP, half": lambda: gdcore.MLP([3, 1.5]),
        "MLP, activation": lambda: gdcore.MLP([3, 1], "gelu"),
        "predict, columns": lambda: model.predict(X[:, :2]),
        "predict, NaN": lambda: model.predict([[1.0, 2.0, np.nan, 3.0]]),
        "predict overflows": lambda: model.predict(np.full((2, D), 1e308)),
        "predict_proba": lambda: model.predict_proba(X),
        "predict_proba, mse": lambda: run.model.predict_proba(X),
        "resume, columns": lambda: run.resume(X[:, :2], Y),
        "resume, dtype": lambda: run.resume(X.astype("f4"), Y),
        "resume, unknown": lambda: run.resume(X, Y, speed=3),
        "resume, checkpoint": lambda: run.resume(X, Y, checkpoint="run.ckpt"),
        "history": lambda: run.history["accuracy"],
        "spectrum, X": lambda: gdcore.spectrum([1.0]),
        "spectrum, bias": lambda: gdcore.spectrum(X, bias=3),
        "check_gradient": lambda: gdcore.check_gradient(model, X[:, :2], Y),
        "delta": lambda: losses.huber(0),
        "tau": lambda: losses.quantile(1),
        "delta text": lambda: losses.huber("1"),
        "momentum": lambda: optimizers.SGD(-1),
        "nesterov": lambda: optimizers.SGD(nesterov=True),
        "betas": lambda: optimizers.Adam(0.9),
        "betas of 1": lambda: optimizers.Adam((0.9, 1.0)),
        "alpha": lambda: optimizers.RMSprop(1.0),
        "step": lambda: schedules.step(0),
        "cosine": lambda: schedules.cosine(2.5),
        "inverse": lambda: schedules.inverse(-1),
        "load": lambda: gdcore.load("none.safetensors"),
        "save": lambda: gdcore.save("model", "m.safetensors"),
        "save nowhere": lambda: gdcore.save(model, "nowhere/m.safetensors"),
        "a name": lambda: gdcore.no_such_name,
        "at": lambda: losses.logistic().at(0.0, 0.5),
        "Checkpoint": lambda: gdcore.Checkpoint(3),
        "data changed": partial(_changed, X, Y),
    }
    for name, call in many.items():
        yield f"error, {name}", call


def _changed(X, Y):
    """The gap of a run whose data have changed since."""
    X = X.copy()
    run = gdcore.fit(X, Y, lr=0.01, epochs=3)
    X *= 2
    return run.gap
