"""What `gdcore.fit` minimises: rows, a start, a loss and its penalties, checked; and what passes over the rows tell."""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gdcore import losses, threads
from gdcore.backends import BACKENDS
from gdcore.descent.objective import Engine, Evaluation, Objective
from gdcore.descent.start import model_of_table, starting_model, within
from gdcore.facts.curvature import Frame
from gdcore.facts.quadratic import Quadratic
from gdcore.facts.spectrum import Spectrum, of
from gdcore.messages import Message, Option
from gdcore.models.linear import Linear
from gdcore.models.mlp import MLP, Network
from gdcore.penalty import Box, Penalty, read
from gdcore.rows import arrays
from gdcore.rows.dask.cluster import Cluster
from gdcore.rows.dask.partitions import lazy
from gdcore.rows.moments import MOST_COLUMNS, Moments, check
from gdcore.rows.piecewise import Piecewise
from gdcore.rows.tables import Table, columns_of, farthest, fold, moments_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, ArrayLike, DTypeLike
    from gdcore.backends.backend import Backend
    from gdcore.descent.options import Options

    T = TypeVar("T")

GRAM_COLUMNS = 2048
"""Up to so many columns a d × d matrix is inverted without being asked for."""
HESSIAN_SIZE = 2049
"""d + 1, of softmax times k: up to it Hessians are made."""
_SMALL = 1 << 16  # numbers in X up to which looking at the rows again costs nothing


@dataclass(frozen=True, eq=False)
class Problem:
    """An objective over rows, and where to start. What passes tell of them is found when it is first asked for."""

    X: Array | Table
    """(n, d)."""
    Y: Array | None
    """(n, k); None of a table, which has its targets."""
    sample_weight: Array | None
    target_shape: tuple[int, ...]
    model: Linear | MLP
    """The start."""
    objective: Objective
    engine: Engine
    backend_name: str
    n_threads: int
    n_threads_asked: int | None
    """None: as many as there are."""

    @classmethod
    def of(cls, X: ArrayLike | Table, Y: ArrayLike | None, model: Linear | MLP | None, options: Options) -> Problem:
        """From the arguments of `fit`: arrays, a table that comes in pieces, or Dask's, which are such a table."""
        loss = losses.get(options.loss)
        n_threads = threads.resolve(options.n_threads)
        if lazy(X):
            if Y is None:
                raise TypeError("Y must be given beside X: found None")
            X = Cluster(X, Y, options.sample_weight, loss.admitted, options.n_threads)
        elif isinstance(X, Table):
            for name, value in (("Y", Y), ("sample_weight", options.sample_weight)):
                if value is not None:
                    raise TypeError(f"{name} comes with the table: found {type(value).__name__}")
        if options.bounds is not None and isinstance(model, MLP):
            raise ValueError(Message(Option("bounds"), " are for the weights of linear models, and the model is a network"))
        if isinstance(X, Table):
            if isinstance(model, MLP) or options.batch_size is not None:
                raise TypeError(f"networks and mini-batches want arrays: {X.whole}")
            if not loss.squared or options.method == "stream":
                X.keep()
            if len(X.names) > MOST_COLUMNS and not X.far:
                raise ValueError(f"tables have up to {MOST_COLUMNS:,} columns, found {len(X.names):,}: {X.whole}")
            objective = _objective(loss, options, len(X.names), X.dtype)
            start = within(model_of_table(model, X, loss), objective.bounds, X.dtype, model is None)
            engine: Engine = Piecewise(options.backend)
            return cls(X, None, None, X.target_shape, start, objective, engine, options.backend, n_threads, options.n_threads)
        X = arrays.table(X)
        Y = arrays.targets(Y, X)
        begun, objective = starting_model(model, X, Y, loss), _objective(loss, options, X.shape[1], X.dtype)
        if isinstance(begun, Linear):
            begun = within(begun, objective.bounds, X.dtype, model is None)
        flat = Y.reshape(len(Y), -1)
        # A loss of the caller's own makes temporaries of each row: in blocks of rows they stay small.
        blocks = isinstance(begun, Linear) and not loss.compiled
        engine = Piecewise(options.backend) if blocks else begun.engine(BACKENDS[options.backend], X.dtype)
        s = None
        if options.sample_weight is not None:
            s = arrays.weights_of_rows(options.sample_weight, X)
            if not s.all():
                # Of a row without weight the loss does not tell what is not finite.
                arrays.check_finite(Y, "Y")
        return cls(X, flat, s, Y.shape[1:], begun, objective, engine, options.backend, n_threads, options.n_threads)

    # What it is -----------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def table(self) -> Table | None:
        """The table whose rows come in pieces; None where they are an array."""
        return self.X if isinstance(self.X, Table) else None

    @functools.cached_property
    def in_memory(self) -> tuple[Array, Array]:
        """X and Y, where the rows are arrays."""
        assert not isinstance(self.X, Table)
        assert self.Y is not None
        return self.X, self.Y

    @property
    def in_pieces(self) -> bool:
        """Whether the rows are a table's."""
        return self.table is not None

    @property
    def n(self) -> int:
        """How many rows there are; of a table they are counted."""
        return len(self.X)

    @functools.cached_property
    def d(self) -> int:
        """How many columns there are."""
        return self.X.shape[1] if self.table is None else len(self.table.names)

    @functools.cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of X, Y and the model."""
        return np.dtype(self.X.dtype)

    @functools.cached_property
    def outputs(self) -> int:
        """k, of the model."""
        return math.prod(self.model.outputs)

    @property
    def backend(self) -> Backend:
        """The kernel, or the reference."""
        return BACKENDS[self.backend_name]

    @functools.cached_property
    def network(self) -> Network:
        """The engine, where it is a network's."""
        assert isinstance(self.engine, Network)
        return self.engine

    @property
    def in_batches(self) -> Callable[..., str]:
        """The engine's epoch in batches, which tables have none of."""
        return self.engine.descend_batches

    @property
    def loss_function(self) -> losses.Loss:
        return self.objective.loss

    @property
    def l1(self) -> float:
        return self.objective.l1

    @property
    def l2(self) -> float:
        return self.objective.l2

    @property
    def has_bounds(self) -> bool:
        """Whether a weight is held within bounds."""
        return self.objective.bounds is not None

    @functools.cached_property
    def penalty(self) -> Penalty:
        """What is asked of a linear model's weights beside a small loss."""
        return Penalty(self.l1, self.l2, Box.of(self.objective.bounds, self.d))

    @functools.cached_property
    def linear(self) -> bool:
        """Whether the model is linear, not a network."""
        return isinstance(self.model, Linear)

    @functools.cached_property
    def has_bias(self) -> bool:
        """Whether a linear model has a bias."""
        return isinstance(self.model, Linear) and self.model.bias is not None

    @functools.cached_property
    def squared(self) -> bool:
        """Whether the loss is a quadratic in the weights."""
        return self.linear and self.loss_function.squared

    @functools.cached_property
    def hessian_serves(self) -> bool:
        """Whether the Hessian can be made: the loss tells its second derivative, and it is small enough."""
        size = (self.d + 1) * (self.outputs if self.loss_function.targets == "classes" else 1)
        return self.loss_function.curved and self.d <= GRAM_COLUMNS and size <= HESSIAN_SIZE

    @property
    def provable(self) -> bool:
        """Whether a gap can be proved without l2: of squared error its moments do it for more columns."""
        if self.hessian_serves and self.loss_function.has_conjugate:
            return True
        return self.squared and not self.penalty.kinked and self.d <= MOST_COLUMNS

    def column(self, index: int) -> str:
        """A column, as a message calls it."""
        return f"{index} of X" if self.table is None else str(self.table.names[index])

    # What one pass over the data tells ------------------------------------------------------------------------------------

    @functools.cached_property
    def moments(self) -> Moments:
        """Second moments of X, and of Y with it where the loss is squared error."""
        real = self.loss_function.targets == "real"
        Y = self.Y if real else None
        moments = moments_of(self.X, Y, self.sample_weight, self.n_threads, self.backend_name, target=real)
        if not moments.finite:
            self.check_finite()
        check(moments, None if self.table is not None else self.in_memory[0])
        return moments

    @functools.cached_property
    def columns(self) -> Moments:
        """Second moments of X; of more than `GRAM_COLUMNS` columns their variances alone."""
        if self.d <= GRAM_COLUMNS:
            return self.moments.of_columns()
        moments = columns_of(self.X, self.sample_weight, self.n_threads)
        X = None if self.table is not None else self.in_memory[0]
        if not moments.finite:
            self.check_finite()
        check(moments, X)
        return moments

    @functools.cached_property
    def spectrum(self) -> Spectrum:
        """Of X, for this loss and these penalties."""
        bias = self.has_bias
        if self.d <= MOST_COLUMNS:
            return Spectrum(self.moments.of_columns(), bias, self.loss_function, self.l2)
        return of(self.X, self.sample_weight, bias, self.loss_function, self.l2, self.backend_name, self.n_threads)

    @property
    def spectrum_costs_nothing(self) -> bool:
        """Whether a pass has already told the spectrum."""
        return not {"moments", "spectrum"}.isdisjoint(vars(self))

    @functools.cached_property
    def quadratic(self) -> Quadratic:
        """Squared error, solved."""
        quadratic = Quadratic(self.moments, self.has_bias, self.l2)
        if self.moments.rows * self.d <= _SMALL:
            for _ in range(2):
                quadratic.refine(self.fold, self.l2)
        return quadratic

    @functools.cached_property
    def clear(self) -> bool:
        """Whether the second moments tell all directions that the rows tell.

        Where they have directions of no length, a pass over the rows says whether that is so or was lost in rounding.
        """
        metric = self.quadratic.metric
        if not metric.clear or metric.null.shape[1] == 0:
            return metric.clear
        null = metric.null / np.abs(metric.null).sum(axis=0)
        mean = metric.mean
        size = float(np.sqrt(np.max(np.diag(metric.hessian) / 2 + mean**2)))
        bias = -(mean @ null) if self.has_bias else None
        longest = farthest(self.X, self.sample_weight, null, bias, self.n_threads)
        return longest <= 64 * self.d * float(np.finfo(np.float64).eps) * max(size, float(np.sqrt(self.moments.largest_row)))

    @functools.cached_property
    def frame(self) -> Frame:
        """The coordinates that Hessians and proofs are made in."""
        return Frame(self.moments.of_columns(), self.has_bias, self.penalty)

    @property
    def condition(self) -> float:
        """Of the scaled second moments, in the directions that they have: what solving them costs in digits."""
        metric = self.quadratic.metric
        return metric.within if metric.null.shape[1] and self.clear else metric.condition

    @property
    def trusted(self) -> bool:
        """Whether the Gram matrix carries what the data's dtype can tell."""
        condition = self.spectrum.condition or math.inf
        return self.clear and condition < 0.01 / float(np.finfo(np.float64).eps)

    @property
    def worst_condition(self) -> float:
        """The larger of the Gram matrix's condition as it is and scaled."""
        return max(self.spectrum.condition or 0.0, self.quadratic.metric.condition)

    @property
    def steepest(self) -> float:
        """An upper bound on λmax."""
        return self.spectrum.most

    def batch_lr(self, batch_size: int) -> float:
        """1/L_b, the learning rate for batches of so many rows."""
        return self.spectrum.batch_lr(batch_size)

    @property
    def lr_of_kinks(self) -> float:
        """For mae and quantile a step that moves predictions by about their mean error."""
        top = Spectrum(self.moments.of_columns(), self.has_bias, losses.mse(), 0.0).largest / 2
        spread = self.moments.deviations[self.d :]
        size = 0.6 * float(np.mean(spread)) or 1.0
        return size / top if top > 0 else 1.0

    def fold(self, part: Callable[..., T], add: Callable[[Any, Any], Any] = operator.add) -> T:
        """The sum of a function of pieces over all rows."""
        result: T = fold(self.X, self.Y, self.sample_weight, part, self.n_threads, add)
        return result

    # At some weights --------------------------------------------------------------------------------------------------------

    def objective_at(self, weights: Array, bias: Array | None = None) -> float:
        """Objective of all rows at some weights."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.engine.loss(self.X, self.Y, weights, bias, self.sample_weight, self.n_threads, **self.objective.whole)

    def objective_of_zeros(self) -> float:
        """Objective of the model whose parameters are all 0, and so are its predictions: X is not read, but a table's."""
        if self.table is not None:
            weights, bias = self.model.parameters(self.dtype)
            return self.objective_at(np.zeros_like(weights), None if bias is None else np.zeros_like(bias))
        nothing = np.broadcast_to(np.zeros((), self.dtype), (self.n, 1))
        weights, (_, Y) = np.zeros((1, self.outputs), self.dtype), self.in_memory
        return self.backend.loss(nothing, Y, weights, None, self.sample_weight, self.n_threads, **self.objective.formula)

    def final(self, weights: Array, bias: Array | None) -> tuple[Array, Array | None]:
        """Parameters in X's dtype; ValueError where it does not hold one."""
        with np.errstate(over="ignore"):
            final = weights.astype(self.dtype, copy=False), None if bias is None else bias.astype(self.dtype, copy=False)
        lost = np.isinf(final[0]) & np.isfinite(weights)
        if lost.any():
            column = int(np.argmax(lost.any(axis=1) if lost.ndim == 2 else lost))
            size = float(np.max(np.abs(np.atleast_2d(weights.T)[:, column])))
            raise ValueError(
                f"the weight of column {self.column(column)} is {size:.3g}, which does not fit {self.dtype}: scale that column"
            )
        return final

    def check_finite(self) -> None:
        """ValueError with the place of a NaN or an infinity in the rows, if there is one."""
        if self.table is not None:
            self.table.check_finite()
            return
        X, Y = self.in_memory
        arrays.check_finite(X, "X")
        arrays.check_finite(Y.reshape(self.n, *self.target_shape), "Y")

    def check_start(self, weights: Array, bias: Array | None, found: Evaluation) -> None:
        """NaN and infinity show in the first loss and gradient: find where they come from."""
        if math.isfinite(found.loss) and math.isfinite(found.norm):
            return
        self.check_finite()
        if self.table is not None:
            raise ValueError("the loss overflows before the first epoch: scale the columns of the table")
        if math.isnan(found.loss) and math.isfinite(self.objective_at(weights, bias)):
            return
        X, Y = self.in_memory
        largest = max(float(np.max(np.abs(block))) for block in arrays.blocks(X))
        raise ValueError(
            f"the loss overflows {self.dtype} before the first epoch: X has values up to {largest:.3g}, Y up to "
            f"{float(np.max(np.abs(Y))):.3g}, the weights up to {float(np.max(np.abs(weights))):.3g}; "
            "scale the columns of X, or Y"
        )

    def same_as(self, other: Problem) -> bool:
        """Whether rows and objective are the same; of tables whether they are as many."""
        if self.objective != other.objective or self.n != other.n:
            return False
        if self.table is not None or other.table is not None:
            return (self.table is None) == (other.table is None)
        s, its = self.sample_weight, other.sample_weight
        if (s is None) != (its is None) or (s is not None and its is not None and not arrays.equal(s, its)):
            return False
        return all(arrays.equal(a, b) for a, b in zip(self.in_memory, other.in_memory, strict=True))

    def free(self) -> None:
        """No more passes will follow soon."""
        if self.table is not None:
            self.table.free()


def _objective(loss: losses.Loss, options: Options, columns: int, dtype: DTypeLike) -> Objective:
    return Objective(loss, options.l1, options.l2, read(options.bounds, columns, dtype))
