"""`gdcore.fit`, `train`, `spectrum` and `check_gradient` of arrays: losses, optimizers, methods, metrics, layouts, options."""

from __future__ import annotations

from functools import partial

import numpy as np

import gdcore
from gdcore import losses, optimizers, schedules

from .record import asked

N, D = 300, 4
NAMES = ("mse", "mae", "huber", "quantile", "logistic", "softmax")
STEPS = {"lr": 0.01, "epochs": 5}


def data(loss="mse", n=N, d=D, k=None):
    """Rows for a loss: columns of several sizes, targets with outliers, weights of the rows."""
    rng = np.random.default_rng(n + d)
    X = rng.normal(size=(n, d)) * np.geomspace(0.3, 3, d) + 1
    z = (X - 1) @ rng.normal(size=(d, *(() if k is None else (k,)))) + rng.standard_t(
        3, size=(n, *(() if k is None else (k,)))
    )
    if loss == "softmax":
        return X, np.digitize(z, [-1, 1]).astype(float), rng.uniform(0, 2, n)
    return X, (z > 0).astype(float) if loss == "logistic" else z, rng.uniform(0, 2, n)


def fit(loss="mse", weighted=False, k=None, n=N, d=D, **options):
    """A run, and what it finds when it is asked."""
    X, Y, s = data(loss, n, d, k)
    return asked(gdcore.fit(X, Y, loss=loss, sample_weight=s if weighted else None, **options))


def calls():
    yield from _losses()
    yield from _layouts()
    yield from _optimizers()
    yield from _batches()
    yield from _methods()
    yield from _options()
    yield from _resumed()
    yield from _networks()
    yield from _facts()


def _losses():
    """What lr="auto" makes of every loss, and the textbook's descent."""
    many = {
        "": {},
        "weighted": {"weighted": True},
        "l1": {"l1": 0.05},
        "l2": {"l2": 0.1},
        "l1, l2, weighted": {"l1": 0.02, "l2": 0.1, "weighted": True},
        "reference": {"backend": "reference"},
        "reference, l1, l2, weighted": {"backend": "reference", "l1": 0.02, "l2": 0.1, "weighted": True},
        "textbook": STEPS,
        "textbook, reference, weighted, l2": {**STEPS, "backend": "reference", "weighted": True, "l2": 0.1},
        "nesterov": {"optimizer": "nesterov", "l2": 0.01, "epochs": 200},
        "lr auto, sgd": {"optimizer": "sgd", "epochs": 20},
    }
    for loss in NAMES:
        for name, options in many.items():
            yield f"fit {loss}: {name or 'defaults'}", partial(fit, loss, **options)
    for name, loss in {"huber(0.3)": losses.huber(0.3), "quantile(0.9)": losses.quantile(0.9)}.items():
        X, Y, _ = data()
        yield f"fit {name}", lambda X=X, Y=Y, loss=loss: asked(gdcore.fit(X, Y, loss=loss))
    for loss in NAMES[:5]:
        yield f"fit {loss}: three outputs", partial(fit, loss, k=3, l2=0.01)
    yield "fit mse: many rows, three outputs", partial(fit, n=20_000, d=7, k=3)
    yield "fit logistic: many rows", partial(fit, "logistic", n=20_000, d=7)
    yield "fit mse: more columns than rows", partial(fit, n=20, d=30)
    yield "fit mae: more columns than rows", partial(fit, "mae", n=20, d=30, l2=0.1)
    yield "fit mse: no bias", lambda: asked(gdcore.fit(*data()[:2], gdcore.Linear(np.zeros(D), None)))
    yield "fit quantile: no bias, start", lambda: asked(gdcore.fit(*data()[:2], gdcore.Linear(np.ones(D), None), "quantile"))


def _layouts():
    layouts = {
        "Fortran": np.asfortranarray,
        "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
        "backwards": lambda X: X[::-1, ::-1],
        "columns of wider rows": lambda X: np.hstack([X, X])[:, :D],
        "float32": lambda X: X.astype(np.float32),
        "float32, Fortran": lambda X: np.asfortranarray(X, np.float32),
        "integers": lambda X: np.rint(10 * X).astype(int),
        "booleans": lambda X: X > 1,
        "a list": lambda X: X.tolist(),
    }

    def call(loss, change, **options):
        X, Y, s = data(loss)
        return asked(gdcore.fit(change(X), Y, loss=loss, sample_weight=s, **options))

    for name, change in layouts.items():
        for loss in ("mse", "softmax"):
            yield f"layout {name}: {loss}", partial(call, loss, change)
            yield f"layout {name}: {loss}, textbook, one thread", partial(call, loss, change, n_threads=1, **STEPS)
    for loss in ("mae", "huber", "quantile", "logistic"):
        yield f"layout float32: {loss}", partial(call, loss, layouts["float32"])

    def framed(loss):
        import pandas as pd

        X, Y, s = data(loss)
        frame = pd.DataFrame(X, columns=["area", "rooms", "age", "far"])
        return asked(gdcore.fit(frame, pd.Series(Y), loss=loss, sample_weight=pd.Series(s)))

    for loss in ("mse", "logistic"):
        yield f"layout pandas: {loss}", partial(framed, loss)


OPTIMIZERS = {
    "sgd": optimizers.SGD(),
    "momentum": optimizers.SGD(0.9),
    "nesterov momentum": optimizers.SGD(0.9, nesterov=True),
    "adagrad": optimizers.Adagrad(lr_decay=0.1),
    "rmsprop": optimizers.RMSprop(),
    "rmsprop, centered, momentum": optimizers.RMSprop(momentum=0.5, centered=True),
    "adam": optimizers.Adam((0.8, 0.99)),
    "adamw": optimizers.AdamW(weight_decay=0.1),
}


def _optimizers():
    for name, optimizer in OPTIMIZERS.items():
        for loss in ("mse", "huber", "softmax"):
            for backend in ("kernel", "reference"):
                more = {"l1": 0.01, "l2": 0.01, "weighted": True} if loss == "huber" else {}
                yield (
                    f"optimizer {name}: {loss}, {backend}",
                    partial(fit, loss, optimizer=optimizer, backend=backend, **STEPS, **more),
                )
        yield f"optimizer {name}: lr auto, batches", partial(fit, "logistic", optimizer=optimizer, batch_size=32, epochs=3)
    yield "optimizer newton: quantile", partial(fit, "quantile", optimizer="newton")
    yield "optimizer nesterov: a number for lr", partial(fit, "logistic", optimizer="nesterov", lr=0.05, epochs=30)


def _batches():
    for loss in NAMES:
        for backend in ("kernel", "reference"):
            yield (
                f"batches of 32, {backend}: {loss}",
                partial(fit, loss, batch_size=32, backend=backend, weighted=True, l2=0.01, **STEPS),
            )
    many = {
        "of 1": {"batch_size": 1},
        "of 7, in order": {"batch_size": 7, "shuffle": False},
        "of all": {"batch_size": N},
        "another seed": {"batch_size": 32, "seed": 5},
        "l1": {"batch_size": 32, "l1": 0.05},
        "decimals": {"batch_size": 32, "decimals": 2},
        "tol": {"batch_size": 32, "tol": 0.5, "epochs": 30},
        "lr auto": {"batch_size": 32, "lr": "auto", "epochs": 10},
        "lr auto, tol": {"batch_size": 32, "lr": "auto", "tol": 1e-3},
        "diagonal": {"batch_size": 32, "precondition": "diagonal", "lr": 0.1},
        "gram": {"batch_size": 32, "precondition": "gram", "lr": 0.1},
    }
    for name, options in many.items():
        for loss in ("mse", "logistic"):
            yield f"batches {name}: {loss}", partial(fit, loss, **STEPS | options)


def _methods():
    for method in ("stream", "gram", "exact"):
        for precondition in ("auto", None, "diagonal", "gram"):
            yield (
                f"method {method}, precondition {precondition}: mse, l2",
                partial(fit, method=method, precondition=precondition, l2=0.1, lr=0.05, epochs=12, weighted=True),
            )
    for precondition in (None, "diagonal", "gram"):
        for loss in ("mse", "logistic", "mae"):
            yield f"lr auto, precondition {precondition}: {loss}", partial(fit, loss, precondition=precondition, epochs=60)
    yield "method exact: a list of epochs", partial(fit, method="exact", lr=0.05, epochs=[1, 10, 10**9])
    yield "method exact: momentum", partial(fit, method="exact", optimizer=optimizers.SGD(0.9), lr=0.01, epochs=100)
    yield "method exact: lr auto", partial(fit, method="exact", optimizer="sgd", epochs=50)
    yield "method auto: very many epochs", partial(fit, lr=0.01, epochs=10**7)
    yield "method auto: 50,000 epochs, momentum", partial(fit, lr=0.01, epochs=50_000, optimizer=optimizers.SGD(0.5))
    yield "method gram: l1, adam", partial(fit, method="gram", l1=0.1, optimizer="adam", lr=0.05, epochs=20)
    yield "method gram: three outputs, float32 like", partial(fit, method="gram", k=3, lr=0.05, epochs=20)


def _options():
    many = {
        "step": schedules.step(2, 0.5),
        "cosine": schedules.cosine(5, 0.1),
        "inverse": schedules.inverse(0.5),
        "constant": schedules.constant(),
        "own": lambda epoch: 1 / (1 + epoch),
    }
    for name, schedule in many.items():
        yield f"schedule {name}", partial(fit, schedule=schedule, **STEPS)
        yield (
            f"schedule {name}: batches, adam",
            partial(fit, "logistic", schedule=schedule, batch_size=50, optimizer="adam", **STEPS),
        )
    yield "schedule step: lr auto", partial(fit, "mae", schedule=schedules.step(5), optimizer="sgd", epochs=20)

    held, (X, Y, s) = data(n=90), data("logistic", n=80)
    watched = {"validation": held[:2], "lr": 0.03, "epochs": 60}
    yield "validation: mse", partial(fit, validation=held[:2])
    yield "validation: weights, batches", partial(fit, validation=held, batch_size=32, **STEPS)
    yield "validation: logistic", partial(fit, "logistic", validation=(X, Y, s), **STEPS)
    yield "patience: mse", partial(fit, patience=2, **watched)
    yield "patience: batches", partial(fit, patience=2, batch_size=16, **watched)
    yield "patience: reference, adam", partial(fit, patience=3, backend="reference", optimizer="adam", **watched)
    yield "tol: textbook", partial(fit, tol=1e-3, lr=0.05, epochs=500)
    yield "tol: proof", partial(fit, "logistic", tol=1e-3)
    yield "tol 0", partial(fit, "huber", tol=0.0, epochs=40)
    yield "decimals 2", partial(fit, decimals=2, **STEPS)
    yield "decimals 0: reference", partial(fit, decimals=0, backend="reference", **STEPS)
    yield "epochs 0", partial(fit, epochs=0)
    yield "epochs 1: quantile", partial(fit, "quantile", epochs=1)

    def watched_by_callback(loss, **options):
        seen = []
        run = gdcore.fit(*data(loss)[:2], loss=loss, callback=lambda epoch: seen.append(epoch) or epoch.epoch == 3, **options)
        return {"run": run, "seen": [list(epoch) for epoch in seen]}

    yield "callback: mse", partial(watched_by_callback, "mse", **STEPS)
    yield "callback: logistic, lr auto", partial(watched_by_callback, "logistic")
    yield "callback: batches", partial(watched_by_callback, "mse", batch_size=100, **STEPS)

    yield "diverges: past the limit", partial(fit, lr=10.0, epochs=400)
    yield "diverges: batches", partial(fit, lr=10.0, epochs=400, batch_size=10)
    yield "diverges: huber ends above", partial(fit, "huber", lr=100.0, epochs=20)
    yield "diverges: adam", partial(fit, lr=1e5, epochs=3, optimizer="adam")
    yield "dependent columns", lambda: asked(gdcore.fit(np.c_[data()[0], data()[0].sum(axis=1)], data()[1]))
    yield "dependent columns: mae", lambda: asked(gdcore.fit(np.c_[data()[0], data()[0].sum(axis=1)], data()[1], loss="mae"))
    yield "a constant column", lambda: asked(gdcore.fit(np.c_[data()[0], np.full(N, 7.0)], data()[1]))
    yield "separated classes", lambda: asked(gdcore.fit(data()[0], data()[0][:, 0] > 1, loss="logistic"))
    yield "separated classes: l2", lambda: asked(gdcore.fit(data()[0], data()[0][:, 0] > 1, loss="logistic", l2=1e-3))
    yield (
        "a class without rows",
        lambda: asked(gdcore.fit(data()[0], 2.0 * (data()[1] > 0), gdcore.Linear(np.zeros((D, 4)), np.zeros(4)), "softmax")),
    )
    yield "raw sizes", lambda: asked(gdcore.fit(data()[0] * [1, 1e3, 1e6, 1e-6] + [0, 0, 1e9, 0], data()[1]))
    yield "raw sizes: textbook", lambda: gdcore.fit(data()[0] * [1, 1e3, 1, 1], data()[1], lr=1e-8, epochs=5)
    yield "rows of weight 0", lambda: asked(gdcore.fit(*data()[:2], sample_weight=(data()[2] > 1).astype(float), loss="mae"))


def _resumed():
    def on(loss, resumed, **options):
        X, Y, _ = data(loss)
        return gdcore.fit(X, Y, loss=loss, epochs=3, **options).resume(X, Y, epochs=4, **resumed)

    many = {
        "mse": ("mse", {}, {"lr": 0.01}),
        "adam, batches": ("logistic", {}, {"lr": 0.01, "optimizer": "adam", "batch_size": 32}),
        "another lr": ("mse", {"lr": 0.02}, {"lr": 0.01}),
        "lr auto": ("huber", {}, {}),
        "a schedule": ("mae", {}, {"lr": 0.01, "schedule": schedules.step(2)}),
        "gram": ("mse", {}, {"lr": 0.01, "method": "gram"}),
        "exact": ("mse", {}, {"lr": 0.01, "method": "exact"}),
        "nesterov": ("softmax", {}, {"optimizer": "nesterov"}),
        "another optimizer": ("mse", {"optimizer": "adam"}, {"lr": 0.01}),
    }
    for name, (loss, resumed, options) in many.items():
        yield f"resume: {name}", partial(on, loss, resumed, **options)

    def kept(loss, later=None, change=1.0, **options):
        X, Y, _ = data(loss)
        gdcore.fit(X, Y, loss=loss, epochs=3, checkpoint="run.ckpt", **options)
        return gdcore.fit(
            X * change,
            Y,
            loss=loss,
            epochs=7,
            checkpoint=gdcore.Checkpoint("run.ckpt", seconds=0),
            resume=True,
            **options | (later or {}),
        )

    many = {
        "mse": ("mse", {"lr": 0.01}),
        "defaults": ("softmax", {}),
        "batches, momentum": ("mse", {"lr": 0.01, "batch_size": 32, "optimizer": OPTIMIZERS["momentum"]}),
        "patience": ("mse", {"lr": 0.01, "validation": data(n=50)[:2], "patience": 2}),
        "exact": ("mse", {"lr": 0.01, "method": "exact"}),
        "network": ("logistic", {"lr": 0.1, "model": gdcore.MLP([D, 3, 1])}),
        "other options": ("mse", {"lr": 0.01, "later": {"l2": 0.1, "seed": 3}}),
        "other data": ("mse", {"lr": 0.01, "change": 2.0}),
    }
    for name, (loss, options) in many.items():
        yield f"checkpoint: {name}", partial(kept, loss, **options)

    def there():
        for _ in range(2):
            gdcore.fit(*data()[:2], epochs=3, lr=0.01, checkpoint="run.ckpt")

    yield "checkpoint: one is there", there


def _networks():
    def network(loss="mse", sizes=(D, 5, 1), activation="tanh", dtype="float64", weighted=False, **options):
        X, Y, s = data(loss, k=sizes[-1] if loss == "mse" else None)
        model = gdcore.MLP(list(sizes), activation, seed=3, dtype=dtype)
        X, s = X.astype(dtype), s if weighted else None
        run = gdcore.fit(X, Y, model, loss, sample_weight=s, **{"lr": 0.05, "epochs": 4} | options)
        return {"run": run, "gap": run.gap, "predictions": run.model.predict(X)}

    for activation in ("identity", "relu", "tanh", "sigmoid"):
        yield f"network {activation}: mse", partial(network, activation=activation)
        yield (
            f"network {activation}: softmax, batches, adam",
            partial(network, "softmax", (D, 5, 3), activation, batch_size=32, optimizer="adam"),
        )
    for loss in NAMES:
        yield (
            f"network {loss}: reference, weighted, l1, l2",
            partial(
                network, loss, (D, 4, 3 if loss == "softmax" else 1), weighted=True, l1=0.001, l2=0.01, backend="reference"
            ),
        )
        yield f"network {loss}: lr auto", partial(network, loss, (D, 4, 3 if loss == "softmax" else 1), lr="auto", epochs=6)
    yield "network float32: two hidden layers", partial(network, sizes=(D, 6, 5, 2), dtype="float32", batch_size=16)
    yield "network decimals", partial(network, decimals=2)
    yield "network lr auto, batches", partial(network, lr="auto", batch_size=50)
    yield "network patience", partial(network, validation=data(n=60, k=1)[:2], patience=1, epochs=30, lr=0.2)


def _facts():
    X, Y, s = data(n=8)
    W = np.zeros(D)
    many = {
        "plain": {},
        "decimals": {"decimals": 3},
        "verbose": {"verbose": True},
        "verbose, decimals": {"verbose": True, "decimals": 2},
    }
    for name, options in many.items():
        yield f"train {name}", lambda options=options: gdcore.train(X, Y, W, 0.01, 3, **options)
        yield (
            f"train {name}: columns",
            lambda options=options: gdcore.train(X, np.c_[Y, -Y], np.ones((D, 2)), 0.01, 3, **options),
        )
    yield "train diverges", lambda: gdcore.train(X, Y, W, 10.0, 2000)

    def spectrum(weighted=True, change=1.0, **options):
        X, _, s = data()
        found = gdcore.spectrum(X * change, sample_weight=s if weighted else None, **options)
        return {
            "spectrum": found,
            "eigenvalues": found.eigenvalues,
            "epochs": [found.epochs_to(1e-3), found.epochs_to(1e-3, 1e-3)],
            "batches": [found.batch_lr(1), found.batch_lr(32)],
        }

    yield "spectrum", spectrum
    yield "spectrum: no bias, not weighted", partial(spectrum, bias=False, weighted=False)
    yield "spectrum: logistic, l2", partial(spectrum, loss="logistic", l2=0.1)
    yield "spectrum: sizes", partial(spectrum, change=np.array([1, 1e5, 1e-5, 0]))
    yield "spectrum: a sum", lambda: gdcore.spectrum(data()[0][:100]) + gdcore.spectrum(data()[0][100:])
    yield "spectrum: mae", lambda: gdcore.spectrum(data()[0], loss="mae")

    for loss in NAMES:
        X, Y, s = data(loss, n=20)
        k = (3,) if loss == "softmax" else ()
        model = gdcore.Linear(0.1 * np.arange(1.0, D * (*k, 1)[0] + 1).reshape(D, *k), 0.1 * np.ones(k))
        yield (
            f"check_gradient {loss}",
            lambda X=X, Y=Y, s=s, model=model, loss=loss: [
                gdcore.check_gradient(model, X, Y, loss, sample_weight=s, l2=0.1, backend=backend) < 1e-6
                for backend in ("kernel", "reference")
            ],
        )
        yield (
            f"{loss} at a prediction",
            lambda loss=loss: [
                losses.LOSSES[loss]().at([raw, 0.5, -1.0] if loss == "softmax" else raw, 1.0)
                for raw in (-2.5, 0.0, 1.0, 3.25, 800.0)
            ],
        )
    for loss in ("logistic", "softmax"):
        yield (
            f"predict, predict_proba {loss}",
            lambda loss=loss: [
                getattr(gdcore.fit(*data(loss)[:2], loss=loss, l2=0.1).model, what)(data(loss)[0])
                for what in ("predict", "predict_proba")
            ],
        )
    yield (
        "predict: layouts",
        lambda: [
            gdcore.Linear(np.arange(4.0), 1.0).predict(X)
            for X in (data()[0], np.asfortranarray(data()[0]), data()[0].astype("f4"), [[1, 2, 3, 4]])
        ],
    )
    yield (
        "predict: threads",
        lambda: [gdcore.Linear(np.ones((7, 2)), np.ones(2)).predict(data(n=20_000, d=7)[0], n) for n in (1, 2)],
    )
