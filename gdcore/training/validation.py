"""Rows that do not train: their loss after each epoch, and patience, which ends a run when it falls no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gdcore.checks import must_be
from gdcore.descent.course import EPOCH, VALIDATION
from gdcore.descent.start import classes_of
from gdcore.losses.targets import check_targets
from gdcore.rows import arrays
from gdcore.rows.dask.cluster import Cluster
from gdcore.rows.dask.partitions import lazy
from gdcore.rows.tables import Table

if TYPE_CHECKING:
    from gdcore._types import Array, ArrayLike
    from gdcore.descent.course import Course
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.problem import Problem


@dataclass(frozen=True, eq=False)
class Validation:
    """Rows whose loss is told after each epoch."""

    problem: Problem
    X: Array | Table
    Y: Array | None
    """None of a table, which has its targets."""
    sample_weight: Array | None
    patience: int | None

    @classmethod
    def of(cls, given: tuple[ArrayLike, ...] | Table, problem: Problem, patience: int | None) -> Validation:
        """From the argument of `fit`."""
        if isinstance(given, Table):
            if problem.table is None or given.names != problem.table.names:
                raise ValueError("a validation table goes with a table of the same columns")
            return cls(problem, given, None, None, patience)
        try:
            X, Y, *rest = given
            (s,) = rest or (None,)
        except (TypeError, ValueError):
            wanted = "a pair (Xv, Yv), or three with the rows' weights, (Xv, Yv, sv)"
            raise TypeError(must_be("validation", wanted, type(given).__name__)) from None
        if lazy(X):
            far = _far(X, Y, s, problem)
            return cls(problem, far, None, None, patience)
        return cls(problem, *_near(X, Y, s, problem), patience)

    def after(self, course: Course[Any], before: Evaluation) -> bool:
        """Tells the loss of the last epoch; True stops."""
        self.tell(course)
        return self.patience is not None and course.state.waited >= self.patience

    def tell(self, course: Course[Any]) -> None:
        """The validation loss of the last epoch."""
        problem, state, last = self.problem, course.state, course.last
        assert last is not None
        final = problem.final(state.weights, state.bias)
        value = problem.engine.loss(self.X, self.Y, *final, self.sample_weight, problem.n_threads, **problem.objective.formula)
        if self.patience is not None:
            state.compare(int(last[EPOCH]), float(value))
        last[VALIDATION] = value

    def free(self) -> None:
        """No more passes will follow soon."""
        if isinstance(self.X, Table):
            self.X.free()


def _near(Xv: ArrayLike, Yv: ArrayLike, sv: ArrayLike | None, problem: Problem) -> tuple[Array, Array, Array | None]:
    """Arrays, checked."""
    Xv = arrays.table(Xv, "validation X")
    Yv = arrays.targets(Yv, Xv, "validation Y", "validation X")
    if Xv.shape[1] != problem.X.shape[1]:
        raise ValueError(f"validation X has {Xv.shape[1]} columns, but X has {problem.X.shape[1]}")
    if Yv.shape[1:] != problem.target_shape:
        raise ValueError(f"validation Y has shape {Yv.shape}, but Y has shape {(problem.n, *problem.target_shape)}")
    arrays.check_finite(Xv, "validation X")
    arrays.check_finite(Yv, "validation Y")
    loss = problem.loss_function
    check_targets(Yv, loss.admitted, classes_of(problem.model, loss), "validation Y")
    Xv = arrays.cast(Xv, problem.dtype, "validation X")
    Yv = arrays.cast(Yv, problem.dtype, "validation Y").reshape(len(Yv), -1)
    return Xv, Yv, None if sv is None else arrays.weights_of_rows(sv, Xv, "validation ")


def _far(Xv: ArrayLike, Yv: ArrayLike, sv: ArrayLike | None, problem: Problem) -> Cluster:
    """Dask's, checked."""
    table, loss = problem.table, problem.loss_function
    if table is None or not table.far:
        raise TypeError("validation X is Dask's, but X is not: give validation as arrays, Xv.compute() and Yv.compute()")
    found = Cluster(Xv, Yv, sv, loss.admitted, problem.n_threads_asked, "validation ")
    if found.names != table.names or found.dtype != table.dtype or found.target_shape != problem.target_shape:
        wanted, has = _looks(table), _looks(found)
        raise ValueError(f"validation has {has}, but the training data have {wanted}")
    found.keep()
    classes = classes_of(problem.model, loss)
    if classes is not None and found.classes is not None and found.classes > classes:
        raise ValueError(f"validation Y has classes up to {found.classes - 1}, but the model has {classes} outputs")
    return found


def _looks(table: Table) -> str:
    """A table's columns, dtype and target, in words."""
    shown = ", ".join(table.names[:5]) + (", …" if len(table.names) > 5 else "")
    target = "n" if not table.target_shape else f"n, {table.target_shape[0]}"
    return f"columns {shown} ({len(table.names)}), {table.dtype}, Y ({target})"
