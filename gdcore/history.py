"""What is told of each epoch: the arrays of a run, and what a callback is given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Array, Floats

Parameters = tuple["Array", "Array | None"] | list[tuple["Array", "Array"]]
"""Weights and biases, or their gradients: of a linear model, or of a network layer by layer."""

MOST_EPOCHS = 1 << 53
"""Of a run since its first start: their numbers are whole ones in float64 up to there."""


class History:
    """Arrays of one value an epoch, and the loss before the first of them.

    Attributes
    ----------
    start : float
        The loss at the weights that the run began with, that of epoch 0, penalties included; NaN where it is not known, as in
        checkpoints of earlier versions.
    epoch : int64 array
        Numbers of the epochs, from 1.
    loss, validation_loss : float64 arrays
        After the epoch (with batches see `gdcore.fit`); validation_loss is NaN where there are no validation data.
    gradient_norm : float64 array
        Euclidean norm of the gradient of all rows, bias included, after the epoch; NaN where it was not computed.
    lr : float64 array
        The learning rate of the epoch.
    seconds : float64 array
        How long the epoch took.

    ``history["loss"]`` is ``history.loss``.
    """

    NAMES = ("epoch", "loss", "validation_loss", "gradient_norm", "lr", "seconds")

    def __init__(self, start: float = math.nan, **columns: Array) -> None:
        self.start = start
        self.epoch: Array = columns["epoch"]
        self.loss: Floats = columns["loss"]
        self.validation_loss: Floats = columns["validation_loss"]
        self.gradient_norm: Floats = columns["gradient_norm"]
        self.lr: Floats = columns["lr"]
        self.seconds: Floats = columns["seconds"]

    @classmethod
    def empty(cls, start: float = math.nan) -> History:
        return cls(start, **{name: np.empty(0, np.int64 if name == "epoch" else np.float64) for name in cls.NAMES})

    def __getitem__(self, name: str) -> Array:
        if name not in self.NAMES:
            raise KeyError(f"history has no {name!r}; it has {', '.join(self.NAMES)}")
        column: Array = getattr(self, name)
        return column

    def __len__(self) -> int:
        return len(self.epoch)

    @classmethod
    def joined(cls, parts: Sequence[History]) -> History:
        """One after the other, copied; it starts where the first one does."""
        return cls(parts[0].start, **{name: np.concatenate([part[name] for part in parts]) for name in cls.NAMES})

    def __add__(self, later: History) -> History:
        return self.joined([self, later])

    def __repr__(self) -> str:
        if not len(self):
            return "History(no epochs)"
        return f"History(epochs {self.epoch[0]} to {self.epoch[-1]}, loss {self.loss[0]:.6g} to {self.loss[-1]:.6g})"


class Epoch(NamedTuple):
    """What a callback is given after each epoch."""

    epoch: int
    loss: float
    """After the epoch's update, like `validation_loss`, `gradient_norm` and `model`."""
    validation_loss: float
    gradient_norm: float
    model: Any
    """A copy, of the kind that was given to fit: it can be kept."""
    gradient: Parameters | None
    """What the epoch's update went along, not rounded: ∇W (d, k) and ∇b (k,) or None; of a network a list with one such pair
    a layer, ∇W (inputs, outputs) and ∇b (outputs,). None where the epoch went in batches."""
