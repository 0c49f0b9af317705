"""How people meet gdcore: the command line, estimators, files of models, pickles."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np

import gdcore

from .arrays import D, data
from .record import command, written
from .tables import folder, gaps, homes

_PRICE = "train homes.csv --target price --exclude cheap,kind,weight"


def lines(*texts, frame=homes, write=None):
    """Command lines, one after the other in one folder, and the files that they left."""
    frame().to_csv("homes.csv", index=False)
    if write is not None:
        write(frame())
    return [[command(*text.split()) for text in texts], written()]


def calls():
    yield from _train()
    yield from _after()
    yield from _wrong()
    yield from _estimators()
    yield from _models()


def _train():
    many = {
        "": "",
        "huber": "--loss huber:2 --l2 0.1",
        "quantile": "--loss quantile:0.9",
        "mae, l1": "--loss mae --l1 0.5",
        "json": "--json",
        "network": "--model mlp:4 --epochs 5",
        "textbook": "--lr 1e-5 --epochs 20",
        "batches": "--lr auto --batch-size 20 --epochs 3 --optimizer adam",
        "no test": "--test-size 0 --seed 3",
        "quiet": "--quiet",
        "out": "--out other.safetensors --threads 1",
        "plot": "--plot homes.png --report homes.html",
        "ends early": "--loss huber:2 --epochs 1",
        "diverges": "--lr 1",
        "precondition": "--lr auto --precondition diagonal --tol 1e-4",
    }
    for name, options in many.items():
        yield f"cli train: {name or 'defaults'}", partial(lines, f"{_PRICE} {options}")
    yield (
        "cli train: classes",
        partial(lines, "train homes.csv --target cheap --l2 0.001", "train homes.csv --target town --l2 0.01 --json"),
    )
    yield (
        "cli train: weights, codes",
        partial(lines, "train homes.csv --target price --weights weight --categorical kind --exclude cheap"),
    )
    yield "cli train: missing", partial(lines, _PRICE, f"{_PRICE} --missing drop", f"{_PRICE} --missing mean", frame=gaps)
    yield "cli train: a folder", partial(lines, "train folder --target price --exclude cheap,kind,weight", write=folder)
    yield (
        "cli train: parquet",
        partial(
            lines,
            "train homes.parquet --target price --features area,rooms",
            write=lambda frame: frame.to_parquet("homes.parquet"),
        ),
    )
    kept = f"{_PRICE} --loss mae --lr 1e-4 --checkpoint homes.ckpt"
    yield (
        "cli train: checkpoint",
        partial(
            lines,
            f"{kept} --epochs 3",
            f"{kept} --epochs 6",
            f"{kept} --epochs 6 --resume",
            f"{kept} --epochs 9 --resume --l2 0.5",
        ),
    )


def _after():
    model = f"{_PRICE} --quiet"
    yield "cli predict", partial(lines, model, "predict homes.safetensors homes.csv --out there.csv")
    yield (
        "cli predict: beside, to stdout",
        partial(lines, model, "predict homes.safetensors homes.csv --out - --keep town,kind"),
    )
    yield (
        "cli predict: classes",
        partial(
            lines,
            "train homes.csv --target town --exclude price --quiet",
            "predict homes.safetensors homes.csv --out there.csv --quiet",
        ),
    )
    yield (
        "cli predict: network",
        partial(lines, f"{model} --model mlp:3 --epochs 3", "predict homes.safetensors homes.csv --out there.csv"),
    )
    yield (
        "cli predict: missing",
        partial(lines, f"{model} --missing drop", "predict homes.safetensors homes.csv --out there.csv", frame=gaps),
    )
    for unseen in ("base", "empty", "error"):
        yield (
            f"cli predict: unseen {unseen}",
            partial(
                lines,
                model,
                f"predict homes.safetensors new.csv --out there.csv --unseen {unseen}",
                write=lambda frame: frame.replace({"town": {"Kiel": "Köln"}}).to_csv("new.csv", index=False),
            ),
        )
    yield (
        "cli predict: wrong",
        partial(
            lines,
            model,
            "predict homes.safetensors few.csv --out there.csv",
            "predict homes.csv homes.csv --out there.csv",
            "predict none.safetensors homes.csv --out there.csv",
            "predict homes.safetensors homes.csv --out there.txt",
            write=lambda frame: frame[["area", "town"]].to_csv("few.csv", index=False),
        ),
    )
    yield (
        "cli inspect: a table",
        partial(lines, "inspect homes.csv --target price", "inspect homes.csv --features area,rooms,new --json"),
    )
    yield "cli inspect: gaps", partial(lines, "inspect homes.csv --loss logistic --l2 0.1", frame=gaps)
    yield (
        "cli inspect: models",
        partial(
            lines,
            model,
            "inspect homes.safetensors",
            "inspect homes.safetensors --json",
            f"{model} --model mlp:4,3 --epochs 1",
            "inspect homes.safetensors",
            "train homes.csv --target town --quiet",
            "inspect homes.safetensors",
        ),
    )
    yield "cli demo", partial(lines, "demo")
    yield "cli help", partial(lines, "--help", "train --help", "predict --help", "inspect --help", "demo --help", "--version")


def _wrong():
    given = (
        "",
        "fly",
        "train",
        "train homes.csv",
        f"{_PRICE} --speed 3",
        f"{_PRICE} --epochs 0",
        f"{_PRICE} --epochs many",
        f"{_PRICE} --lr fast",
        f"{_PRICE} --l2 -1",
        f"{_PRICE} --test-size 1",
        f"{_PRICE} --seed -1",
        f"{_PRICE} --loss rmse",
        f"{_PRICE} --loss huber:-1",
        f"{_PRICE} --loss huber:x",
        f"{_PRICE} --model tree",
        f"{_PRICE} --model mlp:0",
        f"{_PRICE} --optimizer adamax",
        f"{_PRICE} --precondition full",
        f"{_PRICE} --resume",
        f"{_PRICE} --out nowhere/m.safetensors",
        f"{_PRICE} --out m.txt",
        f"{_PRICE} --plot p.bmp",
        f"{_PRICE} --report r.txt",
        f"{_PRICE} --batch-size 1000",
        f"{_PRICE} --loss logistic",
        f"{_PRICE} --optimizer newton --lr 0.1",
        f"{_PRICE} --checkpoint nowhere/c.ckpt",
        "train none.csv --target price",
        "train homes.csv --target rent",
        "train homes.csv --target price --features aera",
        "train homes.csv --target price --weights town",
        "train homes.csv --target town --loss mse",
        "train homes.csv --target price --precondition gram --optimizer adam --lr 0.1",
        "inspect",
        "inspect none.csv",
        "inspect homes.csv --loss mae",
        "predict",
    )
    for text in given:
        yield f"cli, wrong: {text or 'nothing'}", partial(lines, text)


def _estimators():
    def fitted(kind, target, **options):
        from gdcore import estimators

        X, Y, s = data(target)
        model = getattr(estimators, kind)(**options).fit(X, Y, s)
        told = [
            model.coef_,
            model.intercept_,
            model.n_iter_,
            model.status_,
            model.gap_,
            model.history_,
            model.predict(X),
            repr(model),
        ]
        return [*told, model.predict_proba(X)] if kind == "GDClassifier" else told

    yield "estimator: regressor", partial(fitted, "GDRegressor", "mse")
    yield "estimator: regressor, quantile, l2", partial(fitted, "GDRegressor", "mse", loss="quantile", tau=0.2, l2=0.1)
    yield (
        "estimator: regressor, batches, early",
        partial(
            fitted,
            "GDRegressor",
            "mse",
            lr=0.01,
            batch_size=20,
            optimizer="adam",
            early_stopping=True,
            random_state=3,
            epochs=30,
        ),
    )
    yield "estimator: classifier", partial(fitted, "GDClassifier", "logistic")
    yield (
        "estimator: classifier, three, balanced",
        partial(fitted, "GDClassifier", "softmax", class_weight="balanced", l2=0.01),
    )
    yield "estimator: wrong loss", partial(fitted, "GDRegressor", "mse", loss="log")
    yield "estimator: verbose", partial(fitted, "GDRegressor", "mse", lr=0.01, epochs=3, verbose=True)

    def in_parts(kind, target):
        from gdcore import estimators

        X, Y, _ = data(target)
        model = getattr(estimators, kind)(random_state=0)
        for low in range(0, len(X), 100):
            here = slice(low, low + 100)
            more = {"classes": np.unique(Y)} if kind == "GDClassifier" else {}
            model.partial_fit(X[here], Y[here], **more)
        return [model.coef_, model.intercept_, model.predict(X[:5])]

    yield "estimator: regressor, in parts", partial(in_parts, "GDRegressor", "mse")
    yield "estimator: classifier, in parts", partial(in_parts, "GDClassifier", "softmax")


def _models():
    def saved(model, what=gdcore.save):
        what(model, "m.safetensors")
        model = gdcore.load("m.safetensors")
        return [model, model.predict(data()[0])]

    yield "save: Linear", lambda: saved(gdcore.Linear(np.arange(4.0), 1.0))
    yield "save: float32, no bias", lambda: saved(gdcore.Linear(np.ones((4, 2), np.float32), None))
    yield "save: network", lambda: saved(gdcore.MLP([D, 3, 2], "sigmoid", seed=1))
    yield "save: run", lambda: saved(gdcore.fit(*data("softmax")[:2], loss="softmax", l2=0.1))
    yield "save: quantile", lambda: saved(gdcore.fit(*data()[:2], loss=gdcore.losses.quantile(0.2)))

    def spoiled(place):
        gdcore.save(gdcore.Linear(np.arange(4.0), 1.0), "m.safetensors")
        with open("m.safetensors", "r+b") as file:
            file.seek(place, 2)
            byte = file.read(1)
            file.seek(place, 2)
            file.write(bytes([byte[0] ^ 1]))
        return gdcore.load("m.safetensors")

    yield "load: a changed byte", partial(spoiled, -3)

    def text():
        with open("m.safetensors", "w") as file:
            file.write("weights")
        return gdcore.load("m.safetensors")

    yield "load: text", text

    def pickled():
        run = pickle.loads(pickle.dumps(gdcore.fit(*data()[:2], lr=0.01, epochs=3)))
        return [run, run.gap]

    yield "pickle: run", pickled
