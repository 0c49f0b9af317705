"""What `gdcore.fit` minimises: rows, a model, a loss and its penalties, checked; and what passes over the rows tell."""

from __future__ import annotations

import functools
import math
import operator
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses, threads
from gdcore.backends import BACKENDS
from gdcore.checks import integer
from gdcore.facts import gap
from gdcore.facts.quadratic import Quadratic
from gdcore.facts.spectrum import MOST_COLUMNS, Spectrum, of
from gdcore.models.linear import Linear
from gdcore.models.mlp import MLP
from gdcore.notices import LabelWarning
from gdcore.rows import arrays, cluster
from gdcore.rows.moments import Moments, check
from gdcore.rows.tables import Piece, Piecewise, Table, fold, moments_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats
    from gdcore.training.options import Options

GRAM_COLUMNS = 2048
"""Up to so many a d × d matrix is inverted without being asked for."""
HESSIAN_SIZE = 2049
"""d + 1, of softmax times k: up to it Hessians are made."""
_SMALL = 1 << 16  # numbers in X up to which looking at the rows again costs nothing


class Values(NamedTuple):
    """What a pass tells of all rows at some weights."""

    loss: float
    gradient: Array
    bias_gradient: Array | None
    norm: float


class Problem:
    """Loss and penalties of a model over rows."""

    MOST_COLUMNS = GRAM_COLUMNS

    def __init__(self, X: Any, Y: Any, model: Linear | MLP | None, options: Options) -> None:
        self.options = options
        self.loss_function = losses.get(options.loss)
        self.l1, self.l2 = options.l1, options.l2
        self.n_threads = threads.resolve(options.n_threads)
        self._take_data(X, Y, model)
        self.linear = isinstance(self.model, Linear)
        self.has_bias = isinstance(self.model, Linear) and self.model.bias is not None
        self.squared = self.linear and self.loss_function.name == "mse"

    def _take_data(self, X: Any, Y: Any, model: Linear | MLP | None) -> None:
        """The rows: arrays, a table that comes in pieces, or Dask's, which are such a table."""
        options, size = self.options, self.options.batch_size
        if cluster.lazy(X):
            if Y is None:
                raise TypeError("Y must be given beside X: found None")
            X = cluster.Cluster(X, Y, options.sample_weight, self.loss_function.targets, options.n_threads)
        elif isinstance(X, Table):
            for name, value in (("Y", Y), ("sample_weight", options.sample_weight)):
                if value is not None:
                    raise TypeError(f"{name} comes with the table: found {type(value).__name__}")
        self.table = isinstance(X, Table)
        if isinstance(X, Table):
            if isinstance(model, MLP) or size is not None:
                raise TypeError(f"networks and mini-batches want arrays: {X.whole}")
            if self.loss_function.name != "mse" or options.method == "stream":
                X.keep()
            if len(X.names) > MOST_COLUMNS and not X.far:
                raise ValueError(f"tables have up to {MOST_COLUMNS:,} columns, found {len(X.names):,}: {X.whole}")
            self.X: Any = X
            self.d, self.target_shape = len(X.names), X.target_shape
            self.Y: Any = None
            self.model: Linear | MLP = _model_of_table(model, X, self.loss_function)
            self.backend = BACKENDS[options.backend]
            self.engine: Any = Piecewise(options.backend)
        else:
            self.X = arrays.table(X)
            self.d = self.X.shape[1]
            Y = arrays.targets(Y, self.X)
            self.model = _starting_model(model, self.X, Y, self.loss_function)
            self.Y = Y.reshape(len(Y), -1)
            self.target_shape = Y.shape[1:]
            self.backend = BACKENDS[options.backend]
            self.engine = self.model.engine(self.backend, self.X.dtype)
        self.batch_size = 0 if size is None else integer(size, "batch_size", 1, self.n)
        self.batches = 0 < self.batch_size < (0 if self.table else self.n)
        self.sample_weight = None
        if options.sample_weight is not None and not self.table:
            self.sample_weight = arrays.weights_of_rows(options.sample_weight, self.X)
            if not self.sample_weight.all():
                # Of a row without weight the loss does not tell what is not finite.
                arrays.check_finite(self.Y.reshape(self.n, *self.target_shape), "Y")
        self.validation = None if options.validation is None else self._validation(options.validation)
        self.objective: dict[str, Any] = {"loss": self.loss_function.name, "parameter": self.loss_function.parameter}

    def _validation(self, validation: Any) -> tuple[Any, Any, Any]:
        if isinstance(validation, Table):
            if not self.table or validation.names != self.X.names:
                raise ValueError("a validation table goes with a table of the same columns")
            return validation, validation, None
        try:
            Xv, Yv, *rest = validation
            (sv,) = rest or (None,)
        except (TypeError, ValueError):
            raise TypeError("validation must be a pair (Xv, Yv), or three with the rows' weights, (Xv, Yv, sv)") from None
        if cluster.lazy(Xv):
            return self._far_validation(Xv, Yv, sv)
        Xv = arrays.table(Xv, "validation X")
        Yv = arrays.targets(Yv, Xv, "validation Y", "validation X")
        if Xv.shape[1] != self.X.shape[1]:
            raise ValueError(f"validation X has {Xv.shape[1]} columns, but X has {self.X.shape[1]}")
        if Yv.shape[1:] != self.target_shape:
            raise ValueError(f"validation Y has shape {Yv.shape}, but Y has shape {(self.n, *self.target_shape)}")
        arrays.check_finite(Xv, "validation X")
        arrays.check_finite(Yv, "validation Y")
        arrays.labels(Yv, self.loss_function.targets, _classes(self.model, self.loss_function), "validation Y")
        Xv = arrays.cast(Xv, self.X.dtype, "validation X")
        Yv = arrays.cast(Yv, self.X.dtype, "validation Y").reshape(len(Yv), -1)
        return Xv, Yv, None if sv is None else arrays.weights_of_rows(sv, Xv, "validation ")

    def _far_validation(self, Xv: Any, Yv: Any, sv: Any) -> tuple[Any, Any, Any]:
        if not (self.table and self.X.far):
            raise TypeError("validation X is Dask's, but X is not: give validation as arrays, Xv.compute() and Yv.compute()")
        found = cluster.Cluster(Xv, Yv, sv, self.loss_function.targets, self.options.n_threads, "validation ")
        if found.names != self.X.names or found.dtype != self.X.dtype or found.target_shape != self.target_shape:
            wanted, has = _looks(self.X), _looks(found)
            raise ValueError(f"validation has {has}, but the training data have {wanted}")
        found.keep()
        classes = _classes(self.model, self.loss_function)
        if classes is not None and found.classes is not None and found.classes > classes:
            raise ValueError(f"validation Y has classes up to {found.classes - 1}, but the model has {classes} outputs")
        return found, found, None

    @property
    def n(self) -> int:
        """How many rows there are; of a table they are counted."""
        return len(self.X)

    @property
    def outputs(self) -> int:
        """k, of the model."""
        return math.prod(self.model.outputs)

    # What one pass over the data tells ----------------------------------------------------------------------------------

    @functools.cached_property
    def moments(self) -> Moments:
        """Second moments of X, and of Y with it where the loss is squared error."""
        real = self.loss_function.targets == "real"
        Y = self.Y if real else None
        moments = moments_of(self.X, Y, self.sample_weight, self.n_threads, self.options.backend, target=real)
        if not moments.finite and not self.table:
            arrays.check_finite(self.X, "X")
            arrays.check_finite(self.Y.reshape(self.n, *self.target_shape), "Y")
        check(moments, None if self.table else self.X)
        return moments

    @functools.cached_property
    def spectrum(self) -> Spectrum:
        """Of X, for this loss and these penalties."""
        bias = self.has_bias
        if self.d <= MOST_COLUMNS:
            return Spectrum(self.moments.of_columns(), bias, self.loss_function, self.l2)
        return of(self.X, self.sample_weight, bias, self.loss_function, self.l2, self.options.backend, self.n_threads)

    @functools.cached_property
    def quadratic(self) -> Quadratic:
        """Squared error, solved."""
        quadratic = Quadratic(self.moments, self.has_bias, self.l2)
        if self.moments.rows * self.d <= _SMALL:
            for _ in range(2):
                quadratic.refine(self._fold, self.l2)
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
        mean = metric.means[0]
        size = float(np.sqrt(np.max(np.diag(metric.hessians[0]) / 2 + mean**2)))
        longest: float = self._fold(
            functools.partial(_longest, weights=null, bias=-(mean @ null) if self.has_bias else None), max
        )
        return longest <= 64 * self.d * float(np.finfo(np.float64).eps) * max(size, float(np.sqrt(self.moments.largest_row)))

    def _trusted(self) -> bool:
        """Whether the Gram matrix carries what the data's dtype can tell."""
        condition = self.spectrum.condition or math.inf
        return self.clear and condition < 0.01 / float(np.finfo(np.float64).eps)

    def _fold(self, part: Callable[..., Any], add: Callable[[Any, Any], Any] = operator.add) -> Any:
        """The sum of a function of pieces over all rows."""
        return fold(self.X, self.Y, self.sample_weight, part, self.n_threads, add)

    # At some weights ---------------------------------------------------------------------------------------------------

    def objective_at(self, weights: Array, bias: Array | None = None) -> float:
        """Objective of all rows at some weights."""
        with np.errstate(over="ignore", invalid="ignore"):
            value: float = self.engine.loss(
                self.X, self.Y, weights, bias, self.sample_weight, self.n_threads, l1=self.l1, l2=self.l2, **self.objective
            )
        return value

    def _gap(self, weights: Array, bias: Array | None, anchors: list[Any] | None = None) -> float | None:
        """A proved bound on loss − best loss, at the cost of passes; None where nothing is proved."""
        if not self.linear or self.d > MOST_COLUMNS:
            return None
        if self.squared and self.l1 == 0 and self.clear:
            loss, gradient, bias_gradient = self.engine.loss_gradient(
                self.X, self.Y, weights, bias, self.sample_weight, self.n_threads, l2=self.l2, **self.objective
            )
            found = gap.decrement(self.quadratic.metric, weights, gradient, bias_gradient, 0.0)
            return gap.rounded_up(self, found, loss, weights, bias)
        bounds = [gap.bound(self, weights, bias, anchors)] if self.hessian_serves else []
        if self.l2 > 0 and bounds in ([], [None]):
            bounds.append(self._gap_by_slopes(weights, bias))
        return min((bound for bound in bounds if bound is not None), default=None)

    @property
    def hessian_serves(self) -> bool:
        """Whether the Hessian is small enough to be made."""
        size = (self.d + 1) * (self.outputs if self.loss_function.targets == "classes" else 1)
        return self.d <= GRAM_COLUMNS and size <= HESSIAN_SIZE

    @property
    def provable(self) -> bool:
        """Whether a gap can be proved without l2: of squared error its moments do it for more columns."""
        return self.hessian_serves or (self.squared and self.l1 == 0 and self.d <= MOST_COLUMNS)

    def _gap_by_slopes(self, weights: Array, bias: Array | None) -> float | None:
        state = self.engine.loss_gradient(
            self.X, self.Y, weights, bias, self.sample_weight, self.n_threads, l1=self.l1, l2=self.l2, **self.objective
        )
        _, gradient, bias_gradient = state
        bound = gap.duality_gap(
            self.X,
            self.Y,
            weights,
            bias,
            self.sample_weight,
            self.n_threads,
            self.loss_function,
            self.l1,
            self.l2,
            bias_gradient,
        )
        if bound is not None and bias is None:
            smallest = gap.subgradient(weights, gradient, self.l1)
            bound = min(bound, float(np.sum(smallest**2)) / (2 * self.l2))
        return bound

    def _gap_later(self, weights: Array, bias: Array | None, anchors: list[Any] | None) -> float | None:
        """`_gap` after the run: several passes."""
        if self.table and not self.squared:
            self.X.keep()
        value = self._gap(weights, bias, anchors)
        self._free()
        return value

    def _final(self, weights: Array, bias: Array | None) -> tuple[Array, Array | None]:
        """Parameters in X's dtype; ValueError where it does not hold one."""
        dtype = self.X.dtype
        with np.errstate(over="ignore"):
            final = weights.astype(dtype, copy=False), None if bias is None else bias.astype(dtype, copy=False)
        lost = np.isinf(final[0]) & np.isfinite(weights)
        if lost.any():
            column = int(np.argmax(lost.any(axis=1) if lost.ndim == 2 else lost))
            name = self.X.names[column] if self.table else f"{column} of X"
            size = float(np.max(np.abs(np.atleast_2d(weights.T)[:, column])))
            raise ValueError(f"the weight of column {name} is {size:.3g}, which does not fit {dtype}: scale that column")
        return final

    def _free(self) -> None:
        """No more passes will follow soon."""
        for rows_ in (self.X, None if self.validation is None else self.validation[0]):
            if isinstance(rows_, Table):
                rows_.free()


def _model_of_table(model: Any, X: Table, loss: losses.Loss) -> Linear:
    wanted: tuple[int, ...] = X.target_shape
    if wanted == (0,):
        raise ValueError("the table has no target: open it with the name of one")
    if X.labels and (loss.targets == "real" or (loss.targets == "binary" and len(X.labels) > 2)):
        what = "numbers" if loss.targets == "real" else "two classes"
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
        raise TypeError(f"model must be a gdcore.Linear or None for a table, found {type(model).__name__}")
    if model.weights.shape != (len(X.names), *wanted):
        raise ValueError(f"the model has weights of shape {model.weights.shape}, the table wants {(len(X.names), *wanted)}")
    return model


def _starting_model(model: Linear | MLP | None, X: Array, Y: Array, loss: losses.Loss) -> Linear | MLP:
    if model is None:
        model = Linear.zeros(X, _outputs(Y, loss))
    if not isinstance(model, (Linear, MLP)):
        raise TypeError(f"model must be a gdcore.Linear, a gdcore.MLP or None, found {type(model).__name__}")
    check_model(model, X, Y, loss)
    return model


def _outputs(Y: Array, loss: losses.Loss) -> tuple[int, ...]:
    """What a model has to predict for each row; classes are counted, and those between them that no row has are told of."""
    arrays.labels(Y, loss.targets, None)
    if loss.targets != "classes" or Y.ndim != 1:
        return Y.shape[1:]
    k = arrays.classes(Y)
    counts = np.bincount(Y.astype(np.intp))
    absent = np.flatnonzero(counts == 0)
    if len(absent) and np.count_nonzero(counts) > 1:
        which = ", ".join(map(str, absent[:5])) + (", …" if len(absent) > 5 else "")
        warnings.warn(
            f"no row of Y has class {which}, but the model has an output for each of 0 … {k - 1}: number the classes 0 … "
            "k − 1, or give the model that is meant",
            LabelWarning,
            stacklevel=7,
        )
    return (k,)


def check_model(model: Linear | MLP, X: Array, Y: Array, loss: losses.Loss) -> None:
    """ValueError where a model, checked rows and a loss do not go together."""
    model.check_columns(X)
    if loss.targets == "classes":
        if Y.ndim != 1:
            raise ValueError(f"softmax wants Y of shape (n,), classes, found shape {Y.shape}")
        if not model.outputs or model.outputs[0] < 2:
            raise ValueError(f"softmax wants a model with at least 2 outputs, found outputs of shape {model.outputs}")
    else:
        check_outputs(model, X, Y)
    arrays.labels(Y, loss.targets, _classes(model, loss))


def _classes(model: Linear | MLP, loss: losses.Loss) -> int | None:
    return model.outputs[0] if loss.targets == "classes" else None


def check_outputs(model: Linear | MLP, X: Array, Y: Array) -> None:
    model.check_columns(X)
    if model.outputs != Y.shape[1:] and not (isinstance(model, MLP) and Y.ndim == 1 and model.outputs == (1,)):
        predicts = (len(X), *model.outputs)
        whose = f"weights of shape {model.weights.shape}" if isinstance(model, Linear) else f"the outputs of {model!r}"
        raise ValueError(f"Y has shape {Y.shape}, but {whose} predict {predicts}: give both one column or both none")


def _looks(table: Table) -> str:
    """A table's columns, dtype and target, in words."""
    shown = ", ".join(table.names[:5]) + (", …" if len(table.names) > 5 else "")
    target = "n" if not table.target_shape else f"n, {table.target_shape[0]}"
    return f"columns {shown} ({len(table.names)}), {table.dtype}, Y ({target})"


def _longest(piece: Piece, n_threads: int, *, weights: Floats, bias: Floats | None) -> float:
    """The largest |Ŷ| of rows that have a weight, in float64 whatever the rows are: what they tell, it shall tell."""
    out = piece.X.astype(np.float64, order="C") @ weights + (0.0 if bias is None else bias)
    if piece.sample_weight is not None:
        out = out[piece.sample_weight > 0]
    return float(np.abs(out).max(initial=0.0))
