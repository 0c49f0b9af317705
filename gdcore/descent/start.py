"""Where a fit starts: the model that is given, or one of zeros in the shape of the data; and whether both go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import must_be
from gdcore.losses.targets import check_targets, count_classes
from gdcore.messages import Message, Option
from gdcore.models.linear import Linear
from gdcore.models.mlp import MLP
from gdcore.notices import LabelWarning, warn
from gdcore.penalty import Box

if TYPE_CHECKING:
    from gdcore._types import Array, DTypeLike
    from gdcore.losses import Loss
    from gdcore.penalty import Bounds
    from gdcore.rows.tables import Table


def model_of_table(model: Linear | MLP | None, X: Table, loss: Loss) -> Linear:
    """The model that is given, or zeros, for a table."""
    wanted: tuple[int, ...] = X.target_shape
    if wanted == (0,):
        raise ValueError("the table has no target: open it with the name of one")
    if X.labels and (loss.numeric or (loss.targets == "binary" and len(X.labels) > 2)):
        what = "numbers" if loss.numeric else "two classes"
        raise ValueError(f"the table's target is {len(X.labels)} classes, and {loss.name} wants {what}: give loss=table.loss")
    if loss.targets == "classes":
        if X.classes is None:
            raise ValueError("softmax wants a table whose target is classes")
        if X.target_shape:
            raise ValueError(f"softmax wants Y of shape (n,), classes, found {('n', *X.target_shape)}".replace("'", ""))
        if model is None and not X.labels and X.classes > max(2, len(X)):
            raise ValueError(f"the table says that there are {X.classes:,} classes: its {len(X):,} rows cannot hold so many")
        wanted = (max(2, X.classes),)
        if isinstance(model, Linear) and model.outputs and model.outputs[0] > wanted[0]:
            wanted = model.outputs  # classes that no row has
    if model is None:
        return Linear(np.zeros((len(X.names), *wanted)), np.zeros(wanted))
    if not isinstance(model, Linear):
        raise TypeError(must_be("model", "a gdcore.Linear or None for a table", type(model).__name__))
    if model.weights.shape != (len(X.names), *wanted):
        raise ValueError(f"the model has weights of shape {model.weights.shape}, the table wants {(len(X.names), *wanted)}")
    return model


def starting_model(model: Linear | MLP | None, X: Array, Y: Array, loss: Loss) -> Linear | MLP:
    """The model that is given, or zeros, for arrays."""
    if model is None:
        return Linear.zeros(X, _outputs(Y, loss))
    if not isinstance(model, (Linear, MLP)):
        raise TypeError(must_be("model", "a gdcore.Linear, a gdcore.MLP or None", type(model).__name__))
    check_model(model, X, Y, loss)
    return model


def within(model: Linear, bounds: Bounds | None, dtype: DTypeLike, by_default: bool) -> Linear:
    """The model, whose weights lie within the bounds: zeros become what is nearest to them; one that was given is refused."""
    if bounds is None:
        return model
    box, (weights, bias) = Box.of(bounds, len(model.weights)), model.parameters(dtype)
    inner = box.clip(weights)
    outside = np.argwhere(inner != weights)
    if not len(outside):
        return model
    if by_default:
        return model.with_parameters(inner, bias)
    j, c = (int(i) for i in outside[0])
    which = f"the model's weight of column {j} is {weights[j, c]:g}, outside of the "
    there = f" {box.low[j]:g} to {box.high[j]:g}: give a start within them, or none"
    raise ValueError(Message(which, Option("bounds"), there))


def _outputs(Y: Array, loss: Loss) -> tuple[int, ...]:
    """What a model has to predict for each row; classes are counted, and those between them that no row has are told of."""
    check_targets(Y, loss.admitted, None)
    if loss.targets != "classes":
        return Y.shape[1:]
    _check_one_column(Y)
    k = count_classes(Y)
    counts = np.bincount(Y.astype(np.intp))
    absent = np.flatnonzero(counts == 0)
    if len(absent) and np.count_nonzero(counts) > 1:
        which = ", ".join(map(str, absent[:5])) + (", …" if len(absent) > 5 else "")
        warn(
            f"no row of Y has class {which}, but the model has an output for each of 0 … {k - 1}: number the classes 0 … "
            "k − 1, or give the model that is meant",
            LabelWarning,
        )
    return (k,)


def check_model(model: Linear | MLP, X: Array, Y: Array, loss: Loss) -> None:
    """ValueError where a model, checked rows and a loss do not go together."""
    model.check_columns(X)
    if loss.targets == "classes":
        _check_one_column(Y)
        if not model.outputs or model.outputs[0] < 2:
            raise ValueError(f"softmax wants a model with at least 2 outputs, found outputs of shape {model.outputs}")
    else:
        _check_outputs(model, X, Y)
    check_targets(Y, loss.admitted, classes_of(model, loss))


def _check_one_column(Y: Array) -> None:
    """ValueError where classes are not one number a row."""
    if Y.ndim != 1:
        raise ValueError(f"softmax wants Y of shape (n,), classes, found shape {Y.shape}")


def classes_of(model: Linear | MLP, loss: Loss) -> int | None:
    """How many classes the model tells apart; None for a loss without classes."""
    return model.outputs[0] if loss.targets == "classes" else None


def _check_outputs(model: Linear | MLP, X: Array, Y: Array) -> None:
    """ValueError where the model's outputs are not of the targets' shape."""
    if model.outputs != Y.shape[1:] and not (isinstance(model, MLP) and Y.ndim == 1 and model.outputs == (1,)):
        predicts = (len(X), *model.outputs)
        whose = f"weights of shape {model.weights.shape}" if isinstance(model, Linear) else f"the outputs of {model!r}"
        raise ValueError(f"Y has shape {Y.shape}, but {whose} predict {predicts}: give both one column or both none")
