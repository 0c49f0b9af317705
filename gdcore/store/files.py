"""Model files: a model, or an estimator, in one `gdcore.container`, whose metadata say what the arrays are.

Beside what every container tells stand the kind of model, activation and loss, and, where the model has them, column names,
a card and how it was trained. `gdcore.store.fitted` says what stands in the file of an estimator.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import container, losses, schema
from gdcore.container import FileError
from gdcore.models.linear import Linear
from gdcore.models.mlp import ACTIVATIONS, MLP, Layer
from gdcore.rows.arrays import check_finite, floating
from gdcore.run import Run

if TYPE_CHECKING:
    from gdcore._types import Array, Path
    from gdcore.estimators import GDClassifier, GDRegressor

ENDING = ".safetensors"
"""Of model files, by custom."""
_PARTS = ("weights", "bias")
_ESTIMATORS = ("GDRegressor", "GDClassifier")
_REQUIRED = container.COMMON | {"kind", "loss"}
_ATTRIBUTES: dict[str, schema.Check] = {
    "columns": schema.listed(schema.text),
    "card": schema.mapping(schema.anything),
    "training": schema.mapping(schema.anything),
}


def save(model_or_run: Linear | MLP | Run | GDRegressor | GDClassifier, path: Path) -> None:
    """Saves a model or an estimator in one file: whole or not at all, see `gdcore.container.replacing`.

    Parameters
    ----------
    model_or_run : Linear, MLP, Run, or a fitted GDRegressor or GDClassifier
        Of a run the model is saved, and how it was trained. A model's own ``columns`` (list of names) and ``card`` (dict of
        what JSON can hold) go with it, where it has them. Of an estimator its parameters and what it has learned, history
        included; not what it finds from the rows when it is asked for, ``gap_`` and ``spectrum_``.
    path : str or path
        A file that is there is replaced.

    Raises
    ------
    TypeError
        It is something else.
    ValueError
        It would not come back as it is: a value that is not finite, a loss of your own, a card that JSON cannot hold, an
        estimator's callbacks. Or the estimator is not fitted.
    OSError
        The file cannot be written; what was there is unchanged.
    ImportError
        safetensors is missing; the message says how to install it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Linear([2.0], bias=1.0), f"{folder}/line.safetensors")
    ...     load(f"{folder}/line.safetensors").predict([[10.0]])
    array([21.])
    """
    model = model_or_run.model if isinstance(model_or_run, Run) else model_or_run
    known = type(model) in (Linear, MLP)
    if not known and not (hasattr(model, "get_params") and type(model) in _fitted().KINDS.values()):
        advice = ": its path_.model() is a gdcore.Linear" if hasattr(model, "path_") else ""
        raise TypeError(
            "save takes a gdcore.Linear, a gdcore.MLP or the Run of one, a GDRegressor or a GDClassifier, found "
            f"{type(model).__name__}{advice}"
        )
    try:
        data = _pack(model, model_or_run if isinstance(model_or_run, Run) else None) if known else _fitted().pack(model)
        _restored(*container.parse(container.MODEL, data))  # what is saved can be loaded
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"this {'model' if known else 'estimator'} cannot be saved: {error}") from error
    container.write(path, data)


def load(path: Path) -> Linear | MLP | GDRegressor | GDClassifier:
    """The model or the estimator that `save` wrote: it predicts the same bits.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Linear, MLP, GDRegressor or GDClassifier
        A model with its loss, with ``columns`` and ``card`` where it had them, and with ``training``, a dict, where a run was
        saved; an estimator with its parameters and what it had learned.

    Raises
    ------
    FileError
        A ValueError: it is not exactly what `save` wrote.
    OSError
        It cannot be read.
    ImportError
        safetensors is missing, or of an estimator scikit-learn.
    """
    try:
        loaded: Linear | MLP | GDRegressor | GDClassifier = _restored(*container.read(container.MODEL, path))
    except FileError as error:
        raise FileError(f"{os.fspath(path)} cannot be loaded: {error}") from None
    return loaded


def _fitted() -> Any:
    """What knows of estimators, and imports scikit-learn."""
    from gdcore.store import fitted

    return fitted


def _restored(arrays: dict[str, Array], meta: dict[str, str]) -> Any:
    """The model or the estimator; FileError where the file holds neither."""
    if meta.get("kind") not in _ESTIMATORS:
        return _model(arrays, meta)
    try:
        return _fitted().unpack(arrays, meta)
    except (ValueError, TypeError, LookupError) as error:
        raise FileError(f"it holds no estimator that works: {str(error)[:300]}") from None


def _pack(model: Linear | MLP, run: Run | None) -> bytes:
    """A model file's bytes."""
    from gdcore import __version__

    meta = {}
    if isinstance(model, Linear):
        meta["kind"] = "linear"
        arrays = {"weights": model.weights} | ({} if model.bias is None else {"bias": np.asarray(model.bias)})
    else:
        meta |= {"kind": "mlp", "activation": model.activation}
        arrays = {f"layers.{i}.{part}": getattr(layer, part) for i, layer in enumerate(model.layers) for part in _PARTS}
    arrays = {name: container.plain(floating(array, name)) for name, array in arrays.items()}
    if model.loss is not None and losses.LOSSES.get(model.loss.name) is not type(model.loss):
        raise ValueError(
            f"its loss {model.loss!r} is not known by its name to who loads the file: register its class, here and there, "
            "with gdcore.losses.register, or set the model's loss to None, without which it predicts all the same"
        )
    meta["loss"] = "" if model.loss is None else model.loss.name
    if model.loss is not None and model.loss.parameter:
        meta["parameter"] = repr(float(model.loss.parameter))
    stored: dict[str, Any] = {name: getattr(model, name, None) for name in _ATTRIBUTES}
    if run is not None:  # run.gap is not asked for: it takes passes over the data
        loss, norm = (float(value) if np.isfinite(value) else None for value in (run.loss, run.gradient_norm))
        stored["training"] = {
            "status": run.status, "epochs": run.epochs, "loss": loss, "gradient_norm": norm, "method": run.method[:],
            "why": run.method.why, "gdcore": __version__, "date": container.now(),
        }  # fmt: skip
    for name, value in stored.items():
        if value is not None:
            meta[name] = json.dumps(value, ensure_ascii=False, allow_nan=False)
            if json.loads(meta[name]) != value:
                raise ValueError(f"its {name} would come back changed from JSON, which has lists, and names that are strings")
    return container.pack(container.MODEL, arrays, meta)


def _model(arrays: dict[str, Array], meta: dict[str, str]) -> Linear | MLP:
    """The model of a file's arrays and metadata, or FileError where anything is missing, too many or wrong."""
    model: Linear | MLP
    layers = len(arrays) // 2
    linear = meta.get("kind") == "linear"
    wanted = {f"layers.{i}.{part}" for i in range(layers) for part in _PARTS}
    try:
        if meta.get("kind") not in ("linear", "mlp"):
            raise ValueError("it has no known kind")
        if not arrays or set(arrays) != ({*_PARTS[: len(arrays)]} if linear else wanted):
            raise ValueError(f"its arrays are not those of a model of kind {meta['kind']}")
        given = set(meta) - {*_ATTRIBUTES, "parameter"}
        if given != (_REQUIRED if linear else _REQUIRED | {"activation"}):
            raise ValueError("its metadata have a name missing or too many")
        if {array.dtype for array in arrays.values()} not in ({np.dtype("f4")}, {np.dtype("f8")}):
            raise ValueError("its arrays must be all float32 or all float64")
        for name, array in arrays.items():
            check_finite(array, name)
        if linear:
            model = Linear(arrays["weights"], arrays.get("bias"))
        else:
            if meta["activation"] not in ACTIVATIONS:
                raise ValueError(f"activation {meta['activation'][:40]!a} is unknown")
            model = MLP.__new__(MLP)  # MLP() would draw random numbers
            model.activation = meta["activation"]
            model.layers = [Layer(*(arrays[f"layers.{i}.{part}"] for part in _PARTS)) for i in range(layers)]
            if 0 in model.sizes or [len(layer.weights) for layer in model.layers] != model.sizes[:-1]:
                raise ValueError(f"its layers do not fit together: {model.layers}")
        model.loss = _loss(meta["loss"], meta.get("parameter"))
        for name, what in _ATTRIBUTES.items():
            if name in meta:
                setattr(model, name, container.json_of(meta[name], f"its {name}", what))
        d, columns = len(arrays["weights" if linear else "layers.0.weights"]), getattr(model, "columns", None)
        if columns is not None and len(columns) != d:
            raise ValueError(f"its columns are {len(columns)} names, and it has weights for {d} columns")
    except (ValueError, TypeError) as error:
        raise FileError(f"it holds no model that works: {str(error)[:300]}") from None
    return model


def _loss(name: str, parameter: str | None) -> losses.Loss | None:
    """The loss with the parameter that stands in a file."""
    if not name and parameter is None:
        return None
    loss = losses.get(f"{name}:{parameter}" if parameter is not None and name in losses.PARAMETERS else name)
    if (loss.name, repr(loss.parameter) if loss.parameter else None) != (name, parameter):
        raise ValueError(f"loss {name[:40]} cannot have the parameter {str(parameter)[:40]!a}")
    return loss
