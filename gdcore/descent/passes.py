"""What an epoch reads: the rows as they lie, or what stands in for them where the loss is squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.objective import Evaluation
from gdcore.facts.quadratic import rows_like

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array
    from gdcore.descent.objective import Engine
    from gdcore.descent.problem import Problem
    from gdcore.rows.tables import Table


@dataclass(frozen=True)
class Passes:
    """Rows, and the engine that goes over them for a problem."""

    problem: Problem
    engine: Engine | Solved
    X: Array | Table
    Y: Array | None
    sample_weight: Array | None

    def evaluate(self, weights: Array, bias: Array | None, smoothing: float = 0.0) -> Evaluation:
        """Objective and gradient of all rows at some weights."""
        problem, more = self.problem, {"smoothing": smoothing} if smoothing else {}
        with np.errstate(over="ignore", invalid="ignore"):
            loss, gradient, bias_gradient = self.engine.loss_gradient(
                self.X, self.Y, weights, bias, self.sample_weight, problem.n_threads, **problem.objective.whole, **more
            )
            norm = float(self.engine.gradient_norm(weights, gradient, bias_gradient, problem.l1, **problem.objective.held))
        return Evaluation(loss, norm, gradient, bias_gradient)


class Solved:
    """Squared error as its second moments tell it, in the place of an engine."""

    def __init__(self, problem: Problem) -> None:
        self.loss_gradient: Callable[..., tuple[float, Array, Array | None]] = problem.quadratic.loss_gradient
        self.gradient_norm: Callable[..., float] = problem.backend.gradient_norm


def over_rows(problem: Problem) -> Passes:
    """Passes over the rows as they lie."""
    return Passes(problem, problem.engine, problem.X, problem.Y, problem.sample_weight)


def over_moments(problem: Problem) -> Passes:
    """Passes that take no longer for many rows: loss and gradient by the second moments."""
    return Passes(problem, Solved(problem), problem.X, problem.Y, problem.sample_weight)


def over_few_rows(problem: Problem) -> tuple[Passes, Engine]:
    """Passes over d + k + 1 rows that have the same second moments, and the engine of their epochs."""
    X, Y = rows_like(problem.moments, problem.has_bias)
    return Passes(problem, problem.backend, X, Y, None), problem.backend
