"""What a run is a run of, in few bytes: its options, its start, its rows. A checkpoint of another run is known by them.

Rows are known by their loss and gradient: of squared error, at fixed weights, each row weighted by its place, in float64. One
pass of the kernel over rows in one memory order, whose bits are the same for any number of threads, tells a changed value, a
changed dtype, another order; not what gets lost in rounding, a change in the 13th digit of one value among thousands of rows.
Kernels for other CPUs differ in the last bits, so that there the numbers are compared, not the bits.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import schema
from gdcore.backends import BACKENDS, kernel
from gdcore.messages import Message, Option
from gdcore.models.linear import Linear
from gdcore.rows.tables import PIECE_BYTES, Piece, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gdcore._types import Array, DTypeLike, Floats
    from gdcore.descent.options import Options
    from gdcore.descent.plan import Choice
    from gdcore.descent.problem import Problem
    from gdcore.penalty import Bounds

_WHOLE = 1 << 19  # bytes of an array up to which all of them are looked at
_SAMPLE = 4096  # values that are looked at of a larger one
_GOLDEN = (math.sqrt(5) - 1) / 2
_NEAR = 1e-6  # relative, between the kernels of different CPUs
_SUMS = 2  # how the kernel adds up: changes with every change of its bits
_LONG = 200  # characters
_ABSENT = {"bounds": "None"}  # what files of versions before had no name for


def environment() -> str:
    """What the bits of a run depend on beside its options and its rows."""
    from gdcore import __version__

    return f"gdcore {__version__}, kernel {kernel.variant()}, sums {_SUMS}, on {os.uname().machine}, NumPy {np.__version__}"


def configuration(problem: Problem, choice: Choice, options: Options, validation_weight: Array | None) -> dict[str, str]:
    """The options that the result of a run depends on, each as text, by their names in `fit`."""
    loss, drawn = problem.loss_function, choice.batches and choice.seed is not None
    return {
        "model": _model(problem),
        "loss": f"{loss.name}({', '.join(map(repr, loss.parameters.values()))})" if loss.parameters else loss.name,
        "optimizer": repr(choice.optimizer),
        "lr": "'auto'" if choice.auto else repr(choice.lr),
        "batch_size": repr(choice.batch_size if choice.batches else None),
        "l1": repr(problem.l1),
        "l2": repr(problem.l2),
        "bounds": _bounds(problem.objective.bounds),
        "sample_weight": _weights(problem.sample_weight),
        "the weights of the validation data": _weights(validation_weight),
        "schedule": _schedule(options.schedule),
        "precondition": repr(choice.metric),
        "method": repr(options.method),
        "tol": repr(choice.tol),
        "patience": repr(options.patience),
        "shuffle": repr(drawn) if choice.batches else "None",
        "seed": repr(choice.seed) if drawn else "None",
        "decimals": repr(choice.decimals),
        "backend": repr(options.backend),
    }


def _bounds(bounds: Bounds | None) -> str:
    """Both ends of some columns, of many by their hash."""
    text = repr(bounds)
    return text if len(text) < _LONG or bounds is None else f"those of {len(bounds[0])} columns {_hash(np.array(bounds))}"


def _weights(s: Array | None) -> str:
    return "None" if s is None else f"{len(s)} values {_hash(s)}"


def _model(problem: Problem) -> str:
    model = problem.model
    sizes = f", weights {model.weights.shape}" if isinstance(model, Linear) else f" {model.sizes}, {model.activation}"
    arrays = [array for array in model.parameters(problem.dtype) if array is not None]
    bias = ", no bias" if problem.linear and not problem.has_bias else ""
    return f"{type(model).__name__}{sizes}{bias}, values {_hash(*arrays)}"


def _schedule(schedule: Callable[[int], float] | None) -> str:
    """One of gdcore's with its parameters, another's name: what it holds inside is not looked at."""
    if schedule is None or type(schedule).__module__ == "gdcore.optimizers.schedules":
        return repr(schedule)
    named = schedule if hasattr(schedule, "__qualname__") else type(schedule)
    return f"{named.__module__}.{named.__qualname__}"


def _hash(*arrays: Array) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """What of two configurations differs, in words."""
    names = [*new, *(name for name in old if name not in new)]
    old = _ABSENT | old
    return [
        Message(Option(name), f" was {old.get(name, 'unknown')}, now it is {new.get(name, 'unknown')}")
        for name in names
        if old.get(name) != new.get(name)
    ]


# Rows --------------------------------------------------------------------------------------------------------------------


_ROWS = schema.record({"rows": schema.text, "bits": schema.text, "numbers": schema.listed(schema.number, 3)})
DATA = schema.record({"X and Y": _ROWS, "the validation data": schema.optional(_ROWS)})
"""What `data` gives."""


def data(problem: Problem, method: str, validation: tuple[Array | Table, Array | None] | None) -> dict[str, Any]:
    """Of the rows that a run learns from, and of those that validate, as JSON can keep it."""
    if problem.table is not None and method != "stream" and problem.backend_name == "kernel":
        m = problem.moments  # the one pass over the table that the run takes
        sums = np.concatenate([[m.total, m.largest_row], m.mean, m.scatter.ravel()])
        size = float(np.trace(m.scatter)) / m.total
        numbers = [size, float(np.linalg.norm(m.mean)), m.total]
        found = _facts(m.rows, problem.d, problem.outputs, problem.dtype, _hash(sums), numbers)
    else:
        found = of_rows(problem.X, problem.Y, problem.n_threads)
    validates = None if validation is None else of_rows(*validation, problem.n_threads)
    return {"X and Y": found, "the validation data": validates}


def of_rows(X: Array | Table, Y: Array | None, n_threads: int = 1) -> dict[str, Any]:
    """Shape, dtype, and what a pass over the rows tells of them; of rows that are far, each partition by itself."""
    if isinstance(X, Table) and X.far:
        digests, sums = X.fold(_of_partition, n_threads, _both)
        bits = hashlib.sha256("".join(digests).encode()).hexdigest()[:32]
    else:
        bits, sums = _sums(_pieces(X, Y), n_threads)
    count, outputs, total, loss, *slopes = sums
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        numbers = [float(np.float64(loss) / total), float(np.linalg.norm(np.array(slopes) / total)), float(total)]
    columns = len(X.names) if isinstance(X, Table) else X.shape[1]
    return _facts(int(count), columns, int(outputs), X.dtype, bits, numbers)


def _sums(pieces: Iterable[Piece], n_threads: int) -> tuple[str, Floats]:
    """The bits of all pieces' loss and gradient; and rows, targets, Σ s, Σ s·loss, Σ s·gradient."""
    digest = hashlib.sha256()
    count = outputs = 0
    total, loss = 0.0, 0.0
    slopes: Floats = np.zeros(1)
    for piece in pieces:
        m, d = piece.X.shape
        outputs = piece.Y.shape[1]
        s = 0.5 + _spread(count, m)
        if piece.sample_weight is not None:
            s *= piece.sample_weight
        count += m
        # In one memory order: columns are added up in another order than rows.
        x, y = (np.ascontiguousarray(part, np.float64) for part in (piece.X, piece.Y))
        weights = (_spread(0, d * outputs) - 0.5).reshape(d, outputs)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value, gradient, bias = BACKENDS["kernel"].loss_gradient(x, y, weights, np.full(outputs, 0.25), s, n_threads)
            parts = np.concatenate([[value], gradient.ravel(), bias])
            digest.update(parts.data)
            size = float(np.sum(s))
            if size == 0:
                parts = np.zeros_like(parts)  # means of nothing
            total, loss, slopes = total + size, loss + parts[0] * size, slopes + parts[1:] * size
    return digest.hexdigest()[:32], np.concatenate([[count, outputs, total, loss], slopes])


def _of_partition(piece: Piece, n_threads: int) -> tuple[list[str], Floats]:
    bits, sums = _sums([piece], n_threads)
    return [bits], sums


def _both(a: tuple[list[str], Floats], b: tuple[list[str], Floats]) -> tuple[list[str], Floats]:
    sums = a[1] + b[1]
    sums[1] = a[1][1]  # as many targets
    return a[0] + b[0], sums


def _facts(n: int, d: int, k: int, dtype: DTypeLike, bits: str, numbers: list[float]) -> dict[str, Any]:
    return {"rows": f"{n} × {d} of {np.dtype(dtype).name} with {k} target{'s' * (k != 1)}", "bits": bits, "numbers": numbers}


def _pieces(X: Array | Table, Y: Array | None) -> Iterator[Piece]:
    """Arrays cut as tables are, so that the same rows are known as the same."""
    step = max(1, PIECE_BYTES // (8 * (len(X.names) if isinstance(X, Table) else X.shape[1])))
    if isinstance(X, Table):
        yield from X.cut(step)
        return
    assert Y is not None
    for start in range(0, len(X), step):
        yield Piece(X[start : start + step], Y[start : start + step], None)


def marks(arrays: dict[str, Array | None]) -> dict[str, tuple[Any, ...]]:
    """By what a change of arrays is noticed later, in less time than a pass over them takes.

    Of up to half a megabyte all bytes count. Of a larger array 4,096 values spread over it do: that it was scaled, sorted,
    filled or overwritten is noticed, that a few values have changed is not.
    """
    return {name: _mark(array) for name, array in arrays.items() if array is not None}


def _mark(array: Array) -> tuple[Any, ...]:
    looked_at = array
    if array.nbytes > _WHOLE:
        looked_at = array[np.unravel_index((_spread(0, _SAMPLE) * array.size).astype(np.intp), array.shape)]
    return array.shape, array.dtype.str, zlib.crc32(looked_at.ravel(order="K").data)


def _spread(start: int, count: int) -> Array:
    """Numbers from 0 to 1 that look random, the same everywhere: what multiples of the golden ratio have after the point."""
    return np.arange(start + 1, start + count + 1) * _GOLDEN % 1.0


def data_changes(old: dict[str, Any], new: dict[str, Any], to_the_bit: bool) -> list[str]:
    """What of two data differs, in words."""
    found = []
    for name, now in new.items():
        was = old.get(name)
        told, tells = ("none" if what is None else what["rows"] for what in (was, now))
        if told != tells:
            found.append(f"{name} were {told}, now {tells}")
        elif was is not None and was["bits"] != now["bits"]:
            near = np.allclose(was["numbers"], now["numbers"], rtol=_NEAR, atol=0, equal_nan=True)
            if to_the_bit or not near:
                found.append(f"{name} have other values than then")
    return found
