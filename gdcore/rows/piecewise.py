"""The backends' functions, over tables: each a fold over pieces of the rows."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses
from gdcore.backends import BACKENDS, loops
from gdcore.backends.reference import PLAIN
from gdcore.losses.targets import check_targets
from gdcore.rows.tables import Piece, Table, fold

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.optimizers.base import Rule


class Piecewise:
    """A backend for tables: the same functions, each a fold. X is the table, which has Y and sample_weight; or arrays."""

    def __init__(self, name: str) -> None:
        self.name, self.backend = name, BACKENDS[name]
        self.gradient_norm = self.backend.gradient_norm
        self.permutation, self.descend_batches = self.backend.permutation, self.backend.descend_batches  # of arrays

    def loss_gradient(
        self,
        X: Array | Table,
        Y: Array | None,
        weights: Array,
        bias: Array | None,
        sample_weight: Array | None = None,
        n_threads: int = 1,
        loss: str = "mse",
        parameter: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        smoothing: float = 0.0,
    ) -> tuple[float, Array, Array | None]:
        """The objective, ∇W and ∇b over all rows."""
        multiple = self.backend.whole_rows(np.empty((1, len(weights)), weights.dtype), None, weights.shape[1])
        part = functools.partial(
            loss_sums, backend=self.name, weights=weights, bias=bias, loss=loss, parameter=parameter, smoothing=smoothing
        )
        sums = fold(X, Y, sample_weight, part, n_threads, multiple=multiple)
        value: tuple[float, Array, Array | None] = self.backend.settled(sums, weights, bias, l1, l2)
        return value

    def loss(self, *arguments: Any, **options: Any) -> float:
        """The objective."""
        return self.loss_gradient(*arguments, **options)[0]

    def descend(
        self,
        X: Table,
        Y: Array | None,
        weights: Array,
        bias: Array | None,
        gradient: Array,
        bias_gradient: Array | None,
        lr: float | Floats,
        epochs: int,
        history: Floats,
        done: Array,
        sample_weight: Array | None = None,
        tol: float = -1.0,
        decimals: int | None = None,
        n_threads: int = 1,
        loss: str = "mse",
        parameter: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        optimizer: Rule = ("sgd", PLAIN),
        state: Array | None = None,
        steps: Array | None = None,
        ceiling: float = np.inf,
        bounds: tuple[Floats, Floats] | None = None,
    ) -> str:
        """Full-batch epochs: see `gdcore.backends.reference.descend`."""

        return loops.descend(
            lambda: self.loss_gradient(X, Y, weights, bias, sample_weight, n_threads, loss, parameter, l1, l2),
            lambda grad, bias_grad: self.gradient_norm(weights, grad, bias_grad, l1, bounds),
            lambda *how: loops.advance(self._step, weights, bias, gradient, bias_gradient, how, decimals, l1, bounds),
            weights, bias, gradient, bias_gradient, lr, epochs, history, done, tol, optimizer, state, steps, ceiling,
        )  # fmt: skip

    def _step(self, parameters: Array, along: Array, lr: float, rule: Rule, state: Array | None, *rest: Any) -> None:
        """The backend's step, which wants the state's rows side by side."""
        whole = None if state is None else np.ascontiguousarray(state)
        self.backend.step(parameters, along, lr, rule, whole, *rest)
        if state is not None and whole is not None and whole is not state:
            state[:] = whole


def loss_sums(piece: Piece, n_threads: int, carried: Floats | None = None, *, backend: str, **how: Any) -> Floats:
    """A part of a `fold`: a backend's ``partial``."""
    weights, bias = how.pop("weights"), how.pop("bias")
    targets = losses.get(how.get("loss", "mse")).admitted
    check_targets(piece.Y, targets, weights.shape[1], "in a piece of the table Y")
    sums: Floats = BACKENDS[backend].partial(
        piece.X, piece.Y, weights, bias, piece.sample_weight, n_threads, carried=carried, **how
    )
    return sums
