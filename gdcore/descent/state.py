"""Where a descent stands: parameters, the optimizer's memory, what the solver keeps, the best model so far.

It goes on from epoch to epoch beside the history. A checkpoint holds its arrays, and a resumed run begins with a copy of it.
What a solver keeps is a type of its own, which stands beside the solver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from gdcore.rows.arrays import check_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gdcore._types import Array, Floats

    Self = TypeVar("Self", bound="Own")

MOST_WAITED = 1 << 53
_NUMBERS = 8  # that a checkpoint keeps of a solver without parts


class Own(Protocol):
    """What a solver keeps from epoch to epoch."""

    def copy(self: Self) -> Self:
        """One that shares nothing that changes."""

    def to_arrays(self) -> dict[str, Array]:
        """By the names that they have in a checkpoint."""

    def from_arrays(self: Self, arrays: Mapping[str, Array]) -> Self:
        """The one that these arrays were made of, of the kind and size of this one; ValueError where they are not."""


OwnT = TypeVar("OwnT", bound=Own)


class Best(NamedTuple):
    """The parameters with the lowest validation loss."""

    loss: float
    weights: Array
    bias: Array | None


@dataclass
class State(Generic[OwnT]):
    """Where a descent stands between two epochs."""

    weights: Array
    """(d, k), of a network one column; in X's dtype, of epochs on second moments and of Newton's method in float64."""
    bias: Array | None
    memory: Array | None
    """The optimizer's (slots, parameters)."""
    own: OwnT
    steps: Array = field(default_factory=lambda: np.zeros(1, np.int64))
    """(1,): updates done since the first start."""
    quick: float = math.inf
    """What led to the last look at tol: the next one waits until it has halved."""
    judged: tuple[float | None, bool] | None = None
    """tol, and what a look at it said of these weights; None where nobody has looked."""
    best: Best | None = None
    waited: int = 0
    """Epochs since the best one."""
    compared: int = 0
    """The last epoch whose validation loss was compared with the best."""

    def copy(self) -> State[OwnT]:
        """One that shares nothing that changes."""
        return self.in_dtype(self.weights.dtype)

    def in_dtype(self, dtype: np.dtype[Any]) -> State[OwnT]:
        """A copy whose parameters are of that dtype: epochs over second moments and over rows go on from each other."""
        memory = self.memory
        if memory is not None:
            memory = memory.astype(dtype if memory.dtype == self.weights.dtype else memory.dtype)
        bias = None if self.bias is None else self.bias.astype(dtype)
        return State(
            self.weights.astype(dtype), bias, memory, self.own.copy(), self.steps.copy(), self.quick, self.judged, self.best,
            self.waited, self.compared,
        )  # fmt: skip

    def compare(self, epoch: int, validation_loss: float) -> None:
        """Takes the parameters as the best where their validation loss is the lowest."""
        best, waited = self.best, self.waited + 1
        if validation_loss < (math.inf if best is None else best.loss):
            bias = None if self.bias is None else self.bias.copy()
            best, waited = Best(validation_loss, self.weights.copy(), bias), 0
        if epoch > self.compared:
            # One statement: a signal strikes before it or after it.
            self.best, self.waited, self.compared = best, waited, epoch

    # As arrays ------------------------------------------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, Array]:
        """By the names that they have in a checkpoint."""
        arrays = {"weights": self.weights, "bias": self.bias, "memory": self.memory, "steps": self.steps}
        if self.best is not None:
            arrays |= {"best.weights": self.best.weights, "best.bias": self.best.bias}
        return {name: array for name, array in arrays.items() if array is not None} | self.own.to_arrays()

    def numbers(self) -> list[float]:
        """What of it is single numbers: quick, the best loss, waited, tol and whether it was reached."""
        tol, reached = (math.nan, False) if self.judged is None else self.judged
        best = math.inf if self.best is None else self.best.loss
        return [self.quick, best, self.waited, math.nan if tol is None else tol, float(reached)]

    def from_arrays(self, arrays: Mapping[str, Array], numbers: list[float]) -> State[OwnT]:
        """The state that these arrays and numbers were made of, of this one's kind and size; ValueError if they are not."""
        quick, best, waited, tol, reached = numbers
        if not 0 <= waited <= MOST_WAITED:
            raise ValueError(f"the epochs that it has waited are {waited}")
        weights, steps = like(arrays, "weights", self.weights), like(arrays, "steps", self.steps)
        bias = None if self.bias is None else like(arrays, "bias", self.bias)
        memory = None if self.memory is None else like(arrays, "memory", self.memory)
        found = State(weights, bias, memory, self.own.from_arrays(arrays), steps, quick, waited=int(waited))
        if best < math.inf:
            best_bias = None if bias is None else like(arrays, "best.bias", bias)
            found.best = Best(best, like(arrays, "best.weights", weights), best_bias)
        found.judged = None if math.isnan(tol) else (tol, bool(reached))
        known = set(found.to_arrays())
        if set(arrays) != known:
            raise ValueError(f"its arrays are {sorted(arrays)}, not {sorted(known)}"[:300])
        for name in ("weights", "bias", "memory", "best.weights", "best.bias"):
            if name in arrays:
                check_finite(arrays[name], name)
        return found


def flat(weights: Array, bias: Array | None) -> Floats:
    """All parameters in a row, as the backends order them; 0 where there is no bias."""
    rest = np.zeros(weights.shape[1]) if bias is None else bias
    return np.concatenate([weights.T.ravel(), rest]).astype(np.float64)


def unflat(row: Floats, weights: Array, bias: Array | None) -> tuple[Floats, Floats | None]:
    """Parameters from such a row, in the shapes of these."""
    d, k = weights.shape
    return row[: d * k].reshape(k, d).T.copy(), None if bias is None else row[d * k :].copy()


def like(arrays: Mapping[str, Array], name: str, wanted: Array) -> Array:
    """The array of that name, if it has the shape and dtype of ``wanted``."""
    array = arrays[name]
    if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
        raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}, not {wanted.shape} and {wanted.dtype}")
    return array


def packed(*numbers: float) -> dict[str, Array]:
    """A few numbers as the array that checkpoints keep of a solver."""
    table: Floats = np.zeros(_NUMBERS)
    table[: len(numbers)] = numbers
    return {"scalars": table}


def unpacked(arrays: Mapping[str, Array]) -> list[float]:
    """The numbers that `packed` got, and zeros."""
    numbers: list[float] = like(arrays, "scalars", np.zeros(_NUMBERS)).tolist()
    return numbers


@dataclass
class Rate:
    """Of epochs over the rows: the learning rate that was found last, where one is looked for; 0 where none was."""

    lr: float = 0.0

    def copy(self) -> Rate:
        return Rate(self.lr)

    def to_arrays(self) -> dict[str, Array]:
        return packed(self.lr)

    def from_arrays(self, arrays: Mapping[str, Array]) -> Rate:
        return Rate(unpacked(arrays)[0])
