"""Who looks on while `gdcore.fit` trains.

Some look at every epoch, and True of one of them stops: validation with its patience, and functions, each called with an
`Epoch`. Others look now and then, between two calls of the solver: the progress bar, and who keeps the checkpoint.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gdcore.models.linear import Linear, probabilities
from gdcore.run import Epoch, Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array
    from gdcore.descent.course import Course
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.options import Options
    from gdcore.descent.problem import Problem
    from gdcore.models.mlp import MLP

_ROWS = 5  # that a trace shows


class Observer(Protocol):
    """Who looks at every epoch."""

    def after(self, course: Course[Any], before: Evaluation) -> bool:
        """Sees the last epoch, and the gradient that it went along; True stops."""


class Watcher(Protocol):
    """Who looks now and then."""

    @property
    def seconds(self) -> float:
        """So often it wants to look."""

    def look(self, course: Course[Any]) -> None:
        """Sees how far it is."""

    def close(self, course: Course[Any]) -> None:
        """No more epochs will come."""


def model_at(problem: Problem, course: Course[Any]) -> Linear | MLP:
    """A copy of the model as it is now."""
    return problem.model.with_parameters(*problem.final(course.state.weights, course.state.bias))


class Functions:
    """Functions that are called after each epoch: the one that keeps the models, the one that prints, the caller's last.

    Parameters
    ----------
    former : list of models
        Those that a run that goes on has kept.
    """

    def __init__(
        self, problem: Problem, options: Options, in_batches: bool, course: Course[Any], former: list[Any] | None
    ) -> None:
        self.problem, self.in_batches = problem, in_batches
        start = None
        if options.keep_weights or options.verbose:
            start = model_at(problem, course)
        self.recorder = Recorder(start, former) if options.keep_weights else None
        trace = Trace(problem, options.decimals, start) if options.verbose and start is not None else None
        every = (self.recorder, trace, options.callback)
        self.functions: list[Callable[[Epoch], Any]] = [function for function in every if function is not None]

    def after(self, course: Course[Any], before: Evaluation) -> bool:
        """Calls them all."""
        assert course.last is not None
        loss, norm, _, validation_loss, _, epoch = course.last.tolist()
        stop = False
        for function in self.functions:
            model = model_at(self.problem, course)
            slopes = None if self.in_batches else self.problem.model.by_layer(before.gradient, before.bias_gradient)
            wish = function(Epoch(int(epoch), loss, validation_loss, norm, model, slopes))
            stop = stop or (isinstance(wish, (bool, np.bool_)) and bool(wish))
        return stop


class Recorder:
    """Keeps the model of the start, and that of each epoch."""

    def __init__(self, start: Linear | MLP | None, former: list[Any] | None) -> None:
        kept = (former or [])[:-1]  # the last of them is the start
        self._before, self._models = len(kept), [*kept, start]

    def __call__(self, epoch: Epoch) -> None:
        self._models.append(epoch.model)

    def up_to(self, done: int, last: Linear | MLP) -> list[Any]:
        """The models of so many epochs of this call; the last one's too where a signal has struck before it was kept."""
        missing = self._before + done + 1 - len(self._models)
        return [*self._models, *[last] * missing]


class Trace:
    """Prints each epoch as the textbook does: what it predicts for the first five rows in memory, loss, gradients, weights."""

    def __init__(self, problem: Problem, decimals: int | None, start: Linear | MLP) -> None:
        self.problem, self.decimals = problem, decimals
        self.loss = problem.objective_at(*start.parameters(problem.dtype))
        self.target: Array | None = None
        if problem.table is None:
            self.target = problem.in_memory[1].reshape(problem.n, *problem.target_shape)[:_ROWS]
        self.prediction = self._predict(start)

    def __call__(self, epoch: Epoch) -> None:
        before, self.prediction = self.prediction, self._predict(epoch.model)
        print("epoch:", epoch.epoch)
        if before is not None and self.target is not None:
            print("prediction:", _line(before))
            print("target:", _line(self.target))
            print("difference:", _line(self._difference(self.target, before)))
        print("loss:", self.loss)
        if epoch.gradient is not None:  # an epoch in batches has many
            self._print(
                ("gradients", "bias gradient"),
                epoch.gradient,
                lambda g: g if self.decimals is None else np.round(g, self.decimals),
            )
        self._print(("weights", "bias"), epoch.model.by_layer(*epoch.model.parameters(self.problem.dtype)))
        if self.prediction is not None:
            print("new prediction:", _line(self.prediction))
        print("new loss:", epoch.loss)
        if not math.isnan(epoch.validation_loss):
            print("validation loss:", epoch.validation_loss)
        self.loss = epoch.loss

    def _predict(self, model: Linear | MLP) -> Array | None:
        """Of the first rows, in the shape of their targets; of classes the probabilities."""
        problem = self.problem
        if self.target is None:
            return None
        X, _ = problem.in_memory
        with np.errstate(over="ignore", invalid="ignore"):
            if isinstance(model, Linear):
                # Of all rows, then the first five: a product of five rows alone may differ in its last bit.
                raw = (X @ model.weights.astype(problem.dtype))[:_ROWS] + (0 if model.bias is None else model.bias)
            else:
                raw = model.linear_predictor(X[:_ROWS])
        kind = problem.loss_function.targets
        raw = raw if kind == "classes" else raw.reshape(self.target.shape)
        return (
            probabilities(raw, problem.loss_function)
            if problem.loss_function.has_probabilities
            else problem.loss_function.mean(raw)
        )

    def _difference(self, target: Array, prediction: Array) -> Array:
        """Target − prediction; of classes with 1 for the row's own and 0 for the others."""
        if self.problem.loss_function.targets == "classes":
            target = np.eye(self.problem.outputs, dtype=prediction.dtype)[target.astype(np.intp)]
        return target - prediction

    def _print(self, names: tuple[str, str], parts: Parameters, change: Callable[[Array], Array] = np.asarray) -> None:
        """Weights and biases, or their gradients: those of a linear model, or layer by layer."""
        layers = parts if isinstance(parts, list) else [parts]
        for i, pair in enumerate(layers):
            for name, values in zip(names, pair, strict=True):
                if values is not None:
                    print(f"{name}{f' of layer {i + 1}' if layers is parts else ''}:", _line(change(values)))


def _line(values: Array) -> str:
    """An array on one line: (n, 1) as its n numbers."""
    flat = values.ravel() if values.ndim == 1 or values.shape[1] == 1 else values
    return np.array2string(flat, max_line_width=10**9).replace("\n", "")
