"""Who looks on while `gdcore.fit` trains: each is called with an `Epoch` after each one, and True of one of them stops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.models.linear import probabilities

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array
    from gdcore.run import Epoch
    from gdcore.training.loop import Training

_ROWS = 5  # that a trace shows


def invited(t: Training) -> tuple[Recorder | None, list[Callable[[Epoch], Any]]]:
    """Who keeps the models, if somebody does, and all who look on; the caller's own function comes last."""
    recorder = Recorder(t) if t.options.keep_weights else None
    trace = Trace(t) if t.options.verbose else None
    return recorder, [observer for observer in (recorder, trace, t.options.callback) if observer is not None]


class Recorder:
    """Keeps the model of the start, and that of each epoch."""

    def __init__(self, t: Training) -> None:
        former = (t.kept or [])[:-1]  # the last of them is the start
        self._before, self._models = len(former), [*former, t.current_model()]

    def __call__(self, epoch: Epoch) -> None:
        self._models.append(epoch.model)

    def up_to(self, done: int, last: Any) -> list[Any]:
        """The models of so many epochs of this call; the last one's too where a signal has struck before it was kept."""
        missing = self._before + done + 1 - len(self._models)
        return [*self._models, *[last] * missing]


class Trace:
    """Prints each epoch as the textbook does: what it predicts for the first five rows in memory, loss, gradients, weights."""

    def __init__(self, t: Training) -> None:
        self.t = t
        self.loss = t.objective_at(*t.current_model().parameters(t.X.dtype))
        self.target = None if t.table else t.Y.reshape(t.n, *t.target_shape)[:_ROWS]
        self.prediction = self._predict(t.current_model())

    def __call__(self, epoch: Epoch) -> None:
        before, self.prediction = self.prediction, self._predict(epoch.model)
        print("epoch:", epoch.epoch)
        if before is not None and self.target is not None:
            print("prediction:", _line(before))
            print("target:", _line(self.target))
            print("difference:", _line(self._difference(self.target, before)))
        print("loss:", self.loss)
        if epoch.gradient is not None:  # an epoch in batches has many
            self._print(("gradients", "bias gradient"), epoch.gradient, self._rounded)
        self._print(("weights", "bias"), epoch.model.by_layer(*epoch.model.parameters(self.t.X.dtype)))
        if self.prediction is not None:
            print("new prediction:", _line(self.prediction))
        print("new loss:", epoch.loss)
        if not math.isnan(epoch.validation_loss):
            print("validation loss:", epoch.validation_loss)
        self.loss = epoch.loss

    def _predict(self, model: Any) -> Array | None:
        """Of the first rows, in the shape of their targets; of classes the probabilities."""
        t = self.t
        if self.target is None:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            if t.linear:
                # Of all rows, then the first five: a product of five rows alone may differ in its last bit.
                raw = (t.X @ model.weights.astype(t.X.dtype))[:_ROWS] + (0 if model.bias is None else model.bias)
            else:
                raw = model.predict(t.X[:_ROWS])
        kind = t.loss_function.targets
        raw = raw if kind == "classes" else raw.reshape(self.target.shape)
        return raw if kind == "real" else probabilities(raw, t.loss_function)

    def _difference(self, target: Array, prediction: Array) -> Array:
        """Target − prediction; of classes with 1 for the row's own and 0 for the others."""
        if self.t.loss_function.targets == "classes":
            target = np.eye(self.t.outputs, dtype=prediction.dtype)[target.astype(np.intp)]
        return target - prediction

    def _rounded(self, gradient: Array) -> Array:
        return gradient if self.t.decimals is None else np.round(gradient, self.t.decimals)

    def _print(self, names: tuple[str, str], parts: Any, change: Callable[[Array], Array] = np.asarray) -> None:
        """Weights and biases, or their gradients: those of a linear model, or layer by layer."""
        for i, pair in enumerate([parts] if self.t.linear else parts):
            for name, values in zip(names, pair, strict=True):
                if values is not None:
                    print(f"{name}{'' if self.t.linear else f' of layer {i + 1}'}:", _line(change(values)))


def _line(values: Array) -> str:
    """An array on one line: (n, 1) as its n numbers."""
    flat = values.ravel() if values.ndim == 1 or values.shape[1] == 1 else values
    return np.array2string(flat, max_line_width=10**9).replace("\n", "")
