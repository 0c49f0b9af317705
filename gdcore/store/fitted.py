"""Files of fitted estimators: their parameters, what they have learned, and no pickle; see `gdcore.store.files`.

The arrays of such a file are those that the estimator has learned; its parameters and all else that is learned stand as JSON
in its metadata. What would be found from the rows when it is asked for, ``gap_``, ``proof_`` and ``spectrum_``, is not in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import container, losses, optimizers, schema
from gdcore.estimators import GDClassifier, GDRegressor, Learned
from gdcore.rows.arrays import check_finite
from gdcore.run import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import JSON, Array

KINDS = {kind.__name__: kind for kind in (GDRegressor, GDClassifier)}
_META = container.COMMON | {"kind", "parameters", "learned"}
_LEARNED = schema.record(
    {
        "n_iter": schema.whole,
        "status": schema.one_of("epochs", "converged", "early_stopped", "interrupted"),
        "n_features_in": schema.whole,
    },
    {
        "feature_names_in": schema.listed(schema.text),
        "classes": schema.record({"dtype": schema.text, "values": schema.listed(schema.scalar)}),
    },
)
_LABELS = 1 << 26  # bytes that all labels may take
_PLAIN = (bool, int, float, str)
_TAGGED: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "loss": (losses.Loss, lambda loss: loss.spelling, losses.get),
    "optimizer": (optimizers.Optimizer, lambda optimizer: list(optimizer.rule), lambda rule: optimizers.made(*rule)),
    "bounds": (tuple, lambda pair: [_texts(end) for end in pair], lambda pair: tuple(map(_numbers, pair))),
    "by label": (dict, lambda factors: [[_written(label), _written(s)] for label, s in factors.items()], dict),
}
"""Parameters that JSON has no word for: by their tag the type, how it is written, and how it is read."""


def pack(estimator: GDRegressor | GDClassifier) -> bytes:
    """The bytes of the file of a `KINDS` estimator; ValueError where it would not come back as it is."""
    kind = type(estimator)
    parameters = {name: _parameter(name, value) for name, value in estimator.get_params(deep=False).items()}
    learned = estimator.learned()
    told: dict[str, Any] = {"n_iter": learned.n_iter, "status": learned.status, "n_features_in": learned.n_features_in}
    if learned.feature_names_in is not None:
        told["feature_names_in"] = learned.feature_names_in.tolist()
    if learned.classes is not None:
        told["classes"] = {"dtype": learned.classes.dtype.str, "values": learned.classes.tolist()}
    meta = {
        "kind": kind.__name__,
        "parameters": json.dumps(parameters, ensure_ascii=False, allow_nan=False),
        "learned": json.dumps(told, ensure_ascii=False, allow_nan=False),
    }
    arrays = learned.arrays | {f"history.{name}": learned.history[name] for name in History.NAMES}
    arrays["history.start"] = np.array(learned.history.start)
    return container.pack(container.MODEL, {name: container.plain(array) for name, array in arrays.items()}, meta)


def unpack(arrays: dict[str, Array], meta: dict[str, str]) -> Any:
    """The estimator of a file's arrays and metadata; ValueError or TypeError where anything is missing, too many or wrong."""
    if set(meta) != _META:
        raise ValueError("its metadata have a name missing or too many")
    parameters = container.json_of(meta["parameters"], "its parameters", schema.mapping(schema.anything))
    told = container.json_of(meta["learned"], "what it has learned", _LEARNED)
    kind = KINDS[meta["kind"]]
    estimator = kind(**{name: _read(value) for name, value in parameters.items()})
    columns = {name: arrays.pop(f"history.{name}") for name in History.NAMES if f"history.{name}" in arrays}
    if [column.dtype.kind for column in columns.values()] != ["i", *"fffff"] or len({c.shape for c in columns.values()}) != 1:
        raise ValueError("its history has a column missing, or one of another form")
    start = arrays.pop("history.start", np.array(np.nan))  # not in files of earlier versions
    if start.ndim or start.dtype != np.float64:
        raise ValueError("its history starts with what is no number")
    names, classes, d = told.get("feature_names_in"), told.get("classes"), told["n_features_in"]
    for name, array in arrays.items():
        if array.dtype not in (np.dtype("f4"), np.dtype("f8")):
            raise ValueError(f"{name} has dtype {array.dtype}")
        check_finite(array, name)
    if names is not None and len(names) != d:
        raise ValueError(f"it has {len(names)} names for {d} columns")
    estimator.become(
        Learned(
            arrays, told["n_iter"], told["status"], History(float(start), **columns), d,
            None if names is None else np.array(names, object), None if classes is None else _labels(**classes),
        )
    )  # fmt: skip
    return estimator


def _written(value: object) -> JSON:
    """A number, a text, a boolean or None as JSON has it; NumPy's become Python's, which are equal to them."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, _PLAIN) and type(value) in _PLAIN):
        return value
    raise TypeError(f"{value!r} is neither a number nor a text")


def _parameter(name: str, value: object) -> JSON:
    """A parameter as JSON has it; it comes back equal."""
    try:
        for tag, (kind, write, read) in _TAGGED.items():
            if isinstance(value, kind):
                written = write(value)
                if not _same(read(written), value):
                    raise TypeError(f"{value!r} is not one of gdcore's")
                return {tag: written}
        return _written(value)
    except (TypeError, ValueError) as error:
        advice = f"estimator.set_params({name}=None)" if name == "callbacks" else f"give {name} as a number or a text"
        raise ValueError(f"its parameter {name} does not go into a file, {error}: {advice}") from None


def _same(one: Any, other: Any) -> bool:
    """Whether parameters are equal; of bounds both ends."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(np.array_equal, one, other))
    return bool(one == other)


def _texts(end: Any) -> Any:
    """Numbers as texts, for JSON knows no infinite ones."""
    numbers = np.asarray(end, np.float64)
    return [repr(number) for number in numbers.tolist()] if numbers.ndim else repr(float(numbers))


def _numbers(end: Any) -> Any:
    return [float(text) for text in end] if isinstance(end, list) else float(end)


def _read(value: JSON) -> Any:
    """A parameter from what JSON has."""
    if type(value) is dict:
        ((tag, written),) = value.items()
        return _TAGGED[tag][2](written)
    return _written(value)


def _labels(dtype: str, values: list[Any]) -> Array:
    """classes_."""
    kind = np.dtype(dtype)
    if kind.kind not in "biufUO" or kind.itemsize * len(values) > _LABELS:
        raise ValueError(f"its labels have dtype {dtype[:20]!a}")
    labels = np.array(values, kind)
    if len(labels) < 2 or labels.tolist() != values or len({*values}) != len(values):
        raise ValueError("its labels are not different ones of one type")
    return labels
