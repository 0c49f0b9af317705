"""What is kept of a call: its value, what it printed, its warnings and its error, as what JSON can hold."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import re
import runpy
import sys
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import numpy as np

import gdcore

MOST = 60
"""So many numbers of an array are kept; of a longer one so many of them, evenly spaced. The digest is of all."""

_VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\dZ?)?"), "<date>"),
    (re.compile(r'"seconds": [\d.e+-]+'), '"seconds": <time>'),
    (re.compile(r"(?<= ) *\d[\d,.]*(e-?\d+)? (million samples/s|GB/s|times NumPy)"), r"<speed> \2"),
    (re.compile(r"(?<= ) *\d[\d,.]*(e-?\d+)? ?(µs|ms|s|min)\b"), "<time>"),
]


def normal(text):
    """The text without what is different each time: the folder, times, dates.

    >>> normal("mse: converged after 3 epochs, in 1.84 s")
    'mse: converged after 3 epochs, in <time>'
    """
    for folder in {os.getcwd(), os.path.realpath(os.getcwd())}:
        text = text.replace(folder, "<folder>")
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text


# Values ---------------------------------------------------------------------------------------------------------------------


@functools.singledispatch
def kept(value):
    """A value as what JSON can hold: the bits of all its numbers are in it."""
    raise TypeError(f"the recorder does not know how to keep a {type(value).__name__}")


@kept.register
def _(value: None):
    return None


@kept.register(bool)
@kept.register(int)
@kept.register(float)
def _(value):
    return value


@kept.register
def _(value: str):
    return normal(value)


@kept.register(np.generic)
@kept.register(np.ndarray)
def _(value):
    """Dtype, shape, a digest of all bytes, and the numbers themselves (see `MOST`)."""
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return [kept(item) for item in array.tolist()]
    flat = np.ascontiguousarray(array).ravel()
    chosen = flat if flat.size <= MOST else flat[np.linspace(0, flat.size - 1, MOST).astype(int)]
    digest = hashlib.sha256(flat.tobytes()).hexdigest()[:16]
    return {"dtype": array.dtype.str, "shape": list(array.shape), "digest": digest, "values": chosen.tolist()}


@kept.register(list)
@kept.register(tuple)
def _(value):
    return [kept(item) for item in value]


@kept.register
def _(value: dict):
    return {str(name): "<time>" if name == "seconds" else kept(item) for name, item in value.items()}


@kept.register
def _(value: gdcore.Linear):
    return {"weights": kept(value.weights), "bias": kept(value.bias), "loss": kept(value.loss and value.loss.name)} | _saved(
        value
    )


@kept.register
def _(value: gdcore.MLP):
    layers = [(layer.weights, layer.bias) for layer in value.layers]
    return {"network": repr(value), "layers": kept(layers), "loss": kept(value.loss and value.loss.name)} | _saved(value)


def _saved(model):
    """What a model that comes out of a file has beside its numbers."""
    told = {name: getattr(model, name) for name in ("columns", "card", "training") if hasattr(model, name)}
    if "training" in told:
        told["training"] = {name: value for name, value in told["training"].items() if name != "date"}
    return kept(told)


@kept.register
def _(value: gdcore.Run):
    """All that a run tells at once; what it finds when it is asked is `asked`."""
    return {
        "model": kept(value.model),
        "history": kept(value.history),
        "status": value.status,
        "method": value.method[:],
        "why": kept(value.method.why),
        "loss": value.loss,
        "gradient_norm": value.gradient_norm,
        "epochs": value.epochs,
        "text": kept(repr(value)),
    }


def asked(run):
    """A run, and what it finds from the data when it is asked."""
    return {"run": run, "gap": run.gap, "spectrum": run.spectrum}


@kept.register
def _(value: gdcore.History):
    return {name: kept(value[name]) for name in ("epoch", "loss", "validation_loss", "gradient_norm", "lr")}


@kept.register
def _(value: gdcore.Spectrum):
    names = ("largest", "smallest", "condition", "rank", "size", "lr_limit", "lr_best", "error", "shares", "worst_columns")
    return {name: kept(getattr(value, name)) for name in names} | {"text": kept(repr(value))}


# Calls ----------------------------------------------------------------------------------------------------------------------


def made(call):
    """What is kept of one call, in an empty folder."""
    answer = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                answer["value"] = kept(call())
            except Exception as error:
                answer["error"] = f"{type(error).__name__}: {normal(str(error))}"
                if isinstance(error, gdcore.DivergenceError):
                    answer["value"] = kept(error.run)
        answer["printed"] = normal(printed.getvalue())
        answer["warnings"] = [f"{warning.category.__name__}: {normal(str(warning.message))}" for warning in told]
    return answer


def command(*arguments):
    """``python -m gdcore`` with these arguments, in this process: exit status, stdout and stderr."""
    out, err, status = (*(io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2)), None)
    with (
        mock.patch.object(sys, "argv", ["gdcore", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            runpy.run_module("gdcore", run_name="__main__")
        except SystemExit as end:
            status = end.code
        for stream in (out, err):
            stream.flush()
    return {"status": status, "stdout": out.buffer.getvalue().decode(), "stderr": err.buffer.getvalue().decode()}


def written():
    """The files in this folder, by name: models as models, text as text, of others only that they are there."""
    found = {}
    for path in sorted(Path().rglob("*")):
        if path.suffix == ".safetensors":
            found[str(path)] = gdcore.load(path)
        elif path.suffix == ".csv":
            found[str(path)] = path.read_text()[:3000]
        elif path.suffix == ".html":
            found[str(path)] = _words(path.read_text())
        elif path.is_file():
            found[str(path)] = "there"
    return found


def _words(page):
    """What a page says, without its pictures and tags."""
    page = re.sub(r"<(svg|style|script)\b.*?</\1>|<img\b[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())
