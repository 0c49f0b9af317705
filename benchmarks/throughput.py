"""One full-batch epoch against the speed of memory and against other libraries; small fits, memory, import time.

An epoch is forward, loss, gradient and weight update of linear regression with mean squared error, no bias. Every
shape has about the same number of bytes, 0.8 GB, meant to be far more than the caches hold; the process then needs
about 4 GB. What reading X once costs is measured beside it, by `kernel.read` with the same threads and by `X.sum()`;
the faster of the two is the limit, and the share is the limit's time over the kernel's. Each setting of threads runs
in a process of its own, where BLAS and the rivals have the same limit.
"""

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Document, Row, Table, flagged, number
from benchmarks.rivals import LABELS, RIVALS, Array, Contender, Kernel, NumPy, Reference
from gdcore.backends import reference

COLUMNS = (5, 10, 25, 50, 100, 250, 1000, 10_000)
FORTRAN_COLUMNS = (10, 100, 1000)
MOMENT_COLUMNS = (50, 100, 250, 1000, 2000)
_PEAK_ROUNDS = 1 << 22
DTYPES = ("float64", "float32")
LEARNING_RATE = 0.01
TRAIN_EPOCHS = 1000
MEMORY_COLUMNS = 100

TARGETS: dict[str, Any] = {
    # Share of the read bandwidth in C order, from this many columns on.
    "share": {
        "float64": {25: 0.90, 10: 0.75, 5: 0.60},
        "float32": {50: 0.90, 10: 0.60, 5: 0.45},
    },
    # At least this many times as fast; NumPy has a target of its own at some numbers of columns.
    "speedup": {"reference": 1.9, "numpy": 1.9, "pytorch": 2.4},
    "speedup_at_columns": {10: {"reference": 4.0, "numpy": 4.0}},
    # Second moments in C order: the share of the machine's multiply-adds.
    "moments_share": {50: 0.40, 100: 0.53, 250: 0.62, 1000: 0.62, 2000: 0.62},
    "train_speedup": 50.0,
    "extra_memory_share": 0.05,
    "import_milliseconds": 15.0,
}

# Largest error of the gradient, relative to its largest entry, and of the loss. A rival in float32 may sum tens of
# millions of rows in float32; the check is there to find a different formula, which is wrong by a factor.
KERNEL_TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
RIVAL_TOLERANCE = {"float64": 1e-10, "float32": 0.1}


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    shape_bytes: int
    memory_bytes: int
    rounds: int
    least_seconds: float  # a quick shape gets more rounds than `rounds`
    most_seconds: float  # rivals are left out where `rounds` rounds would take longer
    repetitions: int


FULL = Sizes(800_000_000, 400_000_000, rounds=7, least_seconds=3.0, most_seconds=14.0, repetitions=15)
QUICK = Sizes(8_000_000, 40_000_000, rounds=3, least_seconds=0.2, most_seconds=6.0, repetitions=5)


# --------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks throughput``."""
    measure.add_json_argument(parser)
    parser.add_argument("--quick", action="store_true", help="8 MB a shape: to try the benchmark, not to judge gdcore")
    parser.add_argument("--dtype", type=_dtypes, default=list(DTYPES), metavar="LIST", help="default: float64,float32")
    parser.add_argument(
        "--columns", type=_columns, default=list(COLUMNS), metavar="LIST", help="numbers of columns, as in 5,10,1000"
    )
    parser.add_argument(
        "--threads", type=_threads, default=_threads("1,all"), metavar="LIST", help="numbers or all; default: 1,all"
    )


def _dtypes(text: str) -> list[str]:
    wanted = text.split(",")
    if not set(wanted) <= set(DTYPES):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {', '.join(DTYPES)}")
    return wanted


def _columns(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _threads(text: str) -> list[int]:
    wanted = [measure.usable_cpus() if part == "all" else _positive(part) for part in text.split(",")]
    return list(dict.fromkeys(wanted))  # on one CPU, 1 and all are the same


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def run(args: argparse.Namespace) -> None:
    """Measures everything, prints each table as soon as it is known, the shortfalls last."""
    configuration = {
        "quick": args.quick,
        "dtypes": args.dtype,
        "columns": args.columns,
        "threads": args.threads,
        "sizes": asdict(_sizes(args.quick)),
        "targets": TARGETS,
    }
    quick = "its arrays fit in caches, and starting threads costs as much as a pass"
    measure.perform(args, "throughput", configuration, _parts(args), shortfalls, where, quick)


def _parts(args: argparse.Namespace) -> Iterator[measure.Part]:
    # What is measured, in order, each with the function that makes its tables.
    this = "benchmarks.throughput"
    quick = {"quick": args.quick}
    for threads in args.threads:
        for dtype in args.dtype:
            shapes = {"dtype": dtype, "threads": threads, "columns": args.columns} | quick
            rows = measure.in_subprocess(f"{this}:measure_shapes", shapes, threads)
            yield rows, lambda content: epoch_tables(content) + fortran_tables(content)
    for threads in args.threads:
        yield measure.in_subprocess(f"{this}:measure_moments", {"threads": threads} | quick, threads), moment_tables
    yield measure.in_subprocess(f"{this}:measure_train", quick, 1), small_tables
    memory = []
    for dtype in args.dtype:
        for order in ("C", "F"):
            measure.progress(f"memory: {dtype}, {order} order")
            memory.append(measure.in_subprocess(f"{this}:measure_memory", {"dtype": dtype, "order": order} | quick))
    yield memory, small_tables
    yield [measure_import(**quick)], small_tables


def _sizes(quick: bool) -> Sizes:
    return QUICK if quick else FULL


# ----------------------------------------------------------------------------------------------------- shapes, an epoch


def measure_shapes(dtype: str, threads: int, columns: list[int], quick: bool) -> list[Row]:
    """Every shape for one dtype and one number of threads; runs in a process with that limit."""
    sizes = _sizes(quick)
    rng = np.random.default_rng(0)
    # One buffer for all shapes, filled in place: generating 0.8 GB costs as much as several epochs.
    values = np.empty(sizes.shape_bytes // np.dtype(dtype).itemsize, dtype)
    rng.random(out=values, dtype=values.dtype)
    values -= values.dtype.type(0.5)
    shapes = [("C", d) for d in columns] + [("F", d) for d in columns if d in FORTRAN_COLUMNS]
    return [measure_shape(values, order, d, threads, sizes) for order, d in shapes]


def measure_shape(values: Array, order: str, d: int, threads: int, sizes: Sizes) -> Row:
    """One shape: validates the kernel, checks the rivals, then times all of them in turn."""
    dtype = values.dtype.name
    n = max(1, len(values) // d)
    X = values[: n * d].reshape((n, d), order="C" if order == "C" else "F")
    rng = np.random.default_rng(d)
    Y = rng.random((n, 1), dtype=X.dtype)
    weights = rng.random((d, 1), dtype=X.dtype) - X.dtype.type(0.5)
    measure.progress(f"{_setting(dtype, threads)}, {order} order, d = {d}, {n:,} rows")

    truth = true_loss_gradient(X, Y, weights)
    ours = Kernel(X, Y, weights, LEARNING_RATE, threads)
    error = error_of(ours.epoch(), ours.last_gradient(), truth)
    if not error <= KERNEL_TOLERANCE[dtype]:
        raise SystemExit(f"the kernel is wrong by {error:.1e} at {dtype}, {order} order, d = {d}, n = {n}: not timed")

    tasks: dict[str, Callable[[], object]] = {
        "kernel": ours.epoch,
        "read": lambda: Kernel.backend.read(X, threads),
        "sum": X.sum,
    }
    settle = measure.SETTLE if threads > 1 else 0.0
    rivals: dict[str, _Rival] = {}
    left_out: dict[str, str] = {}
    if order == "C":
        spent = sum(turn_seconds(measure.seconds_of(task), settle) for task in tasks.values())
        for kind in RIVALS:
            try:
                rival = _ready(kind, X, Y, weights, threads, truth)
                turn = turn_seconds(rival.seconds, settle)
                if kind is not Reference and sizes.rounds * (spent + turn) > sizes.most_seconds:
                    raise _LeftOut("too slow for the time that a shape has")
            except _LeftOut as why:
                left_out[kind.name] = str(why)
                continue
            spent += turn
            rivals[kind.name] = rival
            tasks[kind.name] = rival.contender.epoch

    times = measure.interleaved(tasks, sizes.rounds, sizes.least_seconds, settle)
    for name, rival in rivals.items():
        times[name] = [t * n / rival.contender.samples for t in times[name]]
    errors = {"kernel": error} | {name: rival.error for name, rival in rivals.items()}
    return _epoch_row(X, order, threads, times) | {"error": errors, "left_out": left_out}


def turn_seconds(seconds: float, settle: float) -> float:
    """What a task of some seconds takes in a round of `measure.interleaved`."""
    return seconds + math.ceil(settle / seconds) * seconds


class _LeftOut(Exception):
    """Why a rival is not timed."""


@dataclass(frozen=True)
class _Rival:
    contender: Contender
    seconds: float  # of its first epoch
    error: float | None  # of that epoch; None: another algorithm


def _ready(kind: type[Contender], X: Array, Y: Array, weights: Array, threads: int, truth: tuple[float, Array]) -> _Rival:
    # A rival that has done its first epoch and agrees with the truth.
    if X.dtype.name not in kind.dtypes:
        raise _LeftOut(f"measured in {', '.join(kind.dtypes)} only")
    if threads > 1 and not kind.threaded:
        raise _LeftOut("has one thread")
    try:
        contender = kind(X, Y, weights, LEARNING_RATE, threads)
    except ImportError as error:
        raise _LeftOut(f"not importable: {error}") from error
    began = time.perf_counter()
    loss = contender.epoch()
    seconds = time.perf_counter() - began
    if not kind.same_formula:
        return _Rival(contender, seconds, None)
    found = error_of(loss, contender.last_gradient(), truth)
    if not found <= RIVAL_TOLERANCE[X.dtype.name]:
        raise _LeftOut(f"disagrees: relative error {found:.1e}")
    return _Rival(contender, seconds, found)


def true_loss_gradient(X: Array, Y: Array, weights: Array) -> tuple[float, Array]:
    """Loss and gradient from the reference in float64, by blocks of rows: no second X, and no long sums in float32."""
    n, d = X.shape
    block = max(1, 1_000_000 // d)
    W = weights.astype(np.float64)
    loss, gradient = 0.0, np.zeros(W.shape)
    for start in range(0, n, block):
        rows = X[start : start + block].astype(np.float64, copy=False)
        part = reference.loss_gradient(rows, Y[start : start + block].astype(np.float64, copy=False), W, None)
        loss += part[0] * (len(rows) / n)
        gradient += part[1] * (len(rows) / n)
    return loss, gradient


def error_of(loss: Any, gradient: Array, truth: tuple[float, Array]) -> float:
    """The larger of the loss's relative error and the gradient's error relative to its largest entry."""
    loss_error = abs(float(loss) - truth[0]) / truth[0]
    gradient_error = float(np.max(np.abs(gradient - truth[1])) / np.max(np.abs(truth[1])))
    # max() would let a NaN in second place pass.
    return max(loss_error, gradient_error) if math.isfinite(loss_error + gradient_error) else math.inf


def _epoch_row(X: Array, order: str, threads: int, times: dict[str, list[float]]) -> Row:
    seconds = {name: statistics.median(values) for name, values in times.items()}
    limit = "read" if seconds["read"] <= seconds["sum"] else "sum"
    return {
        "kind": "epoch",
        "dtype": X.dtype.name,
        "order": order,
        "threads": threads,
        "columns": X.shape[1],
        "rows": X.shape[0],
        "bytes": X.nbytes,
        "rounds": len(times["kernel"]),
        "seconds": seconds,
        "fastest_seconds": {name: min(values) for name, values in times.items()},
        "samples_per_second": X.shape[0] / seconds["kernel"],
        "gigabytes_per_second": X.nbytes / seconds["kernel"] / 1e9,
        "read_gigabytes_per_second": X.nbytes / seconds[limit] / 1e9,
        "read_by": limit,
        "share": measure.median_ratio(times[limit], times["kernel"]),
        "speedup": {name: measure.median_ratio(times[name], times["kernel"]) for name in LABELS if name in times},
    }


# ------------------------------------------------------------------------------------------------------ second moments


def measure_moments(threads: int, quick: bool) -> list[Row]:
    """Second moments of n rows, n·d²/2 multiply-adds, against what a core can make of them, which is measured in turn."""
    return [measure_moment(order, d, threads, _sizes(quick)) for d in MOMENT_COLUMNS for order in ("C", "F")]


def measure_moment(order: str, d: int, threads: int, sizes: Sizes) -> Row:
    """One shape in float64: the kernel, NumPy's square product, and the multiply-adds of one core."""
    n = max(sizes.shape_bytes // 8 // d // 4, 2 * d)
    X = np.random.default_rng(d).random((n, d)).astype(np.float64, order="C" if order == "C" else "F")
    shift = np.full(d, 0.5)
    measure.progress(f"second moments, {_setting('float64', threads)}, {order} order, d = {d}, {n:,} rows")
    tasks: dict[str, Callable[[], object]] = {
        "kernel": lambda: Kernel.backend.moments(X, None, None, shift, threads),
        "numpy": lambda: X.T @ X,
        "peak": lambda: Kernel.backend.multiply_adds(_PEAK_ROUNDS),
    }
    made = Kernel.backend.multiply_adds(_PEAK_ROUNDS)
    found = tasks["kernel"]()
    wanted = (X - shift).T @ (X - shift)
    error = float(np.max(np.abs(np.triu(np.asarray(found)[2 + d :].reshape(d, d) - wanted))) / np.max(wanted))
    if not error <= KERNEL_TOLERANCE["float64"]:
        raise SystemExit(f"the kernel's second moments are wrong by {error:.1e} at {order} order, d = {d}, n = {n}")
    times = measure.interleaved(tasks, sizes.rounds, sizes.least_seconds, measure.SETTLE if threads > 1 else 0.0)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    peak = made / seconds["peak"] * threads
    return {
        "kind": "moments",
        "dtype": "float64",
        "order": order,
        "threads": threads,
        "columns": d,
        "rows": n,
        "seconds": seconds,
        "peak_multiply_adds_per_second": peak,
        "share": n * d * d / 2 / seconds["kernel"] / peak,
        "speedup": {"numpy": measure.median_ratio(times["numpy"], times["kernel"])},
    }


# -------------------------------------------------------------------------------------------- small fit, memory, import


def measure_train(quick: bool) -> list[Row]:
    """1,000 epochs of `gdcore.train` on six rows, the whole call, against two NumPy loops."""
    import gdcore

    celsius = np.arange(0.0, 101.0, 20.0)
    X = np.stack([celsius, np.ones_like(celsius)], axis=1)
    Y = 1.8 * celsius[:, None] + 32
    start, lr = np.zeros((2, 1)), 1e-4

    def preallocated() -> Array:
        rival = NumPy(X, Y, start, lr, threads=1)
        for _ in range(TRAIN_EPOCHS):
            rival.epoch()
        return rival.weights

    tasks = {
        "train": lambda: gdcore.train(X, Y, start, lr, TRAIN_EPOCHS),
        "plain": lambda: plain_loop(X, Y, start, lr, TRAIN_EPOCHS),
        "preallocated": preallocated,
    }
    results = {name: task() for name, task in tasks.items()}
    for name, result in results.items():
        if not np.allclose(result, results["plain"], rtol=1e-9, atol=0):
            raise SystemExit(f"{TRAIN_EPOCHS} epochs of {name} give {result.ravel()}, not {results['plain'].ravel()}")
    times = measure.interleaved(tasks, _sizes(quick).repetitions, seconds=1.0)
    row = {
        "kind": "train",
        "rows": len(X),
        "columns": X.shape[1],
        "epochs": TRAIN_EPOCHS,
        "rounds": len(times["train"]),
        "seconds": {name: statistics.median(values) for name, values in times.items()},
        "speedup": {name: measure.median_ratio(times[name], times["train"]) for name in ("plain", "preallocated")},
    }
    return [row]


def plain_loop(X: Array, Y: Array, weights: Array, lr: float, epochs: int) -> Array:
    """The loop of the textbook in NumPy: forward, loss, gradient, update; `gdcore.train` records the loss as well."""
    losses = []
    for _ in range(epochs):
        difference = Y - X @ weights
        losses.append(np.mean(difference**2))
        gradient = -2 * X.T @ difference / len(X)
        weights = weights - lr * gradient
    return weights


def measure_memory(dtype: str, order: str, quick: bool) -> Row:
    """Peak memory of a fit beyond what was in use before it; runs in a process of its own."""
    import gdcore

    rng = np.random.default_rng(0)
    n = _sizes(quick).memory_bytes // (MEMORY_COLUMNS * np.dtype(dtype).itemsize)
    X = np.empty((n, MEMORY_COLUMNS), dtype, order="C" if order == "C" else "F")
    # Filled in place, or the peak before the fit would hide that of the fit.
    rng.random(out=X if order == "C" else X.T, dtype=X.dtype)
    Y = rng.random((n, 1), dtype=X.dtype)
    gdcore.fit(X[:100], Y[:100], lr=1e-3, epochs=1)  # what the first call loads is not memory of the fit
    extra = measure.extra_memory(lambda: gdcore.fit(X, Y, lr=1e-3, epochs=3))
    return {
        "kind": "memory",
        "dtype": dtype,
        "order": order,
        "rows": n,
        "columns": MEMORY_COLUMNS,
        "bytes": X.nbytes,
        "extra_bytes": extra,
        "share": extra / X.nbytes,
    }


def measure_import(quick: bool) -> Row:
    """What `import gdcore` takes beyond `import numpy`, which is part of it; every import in a process of its own."""
    measure.progress("import")
    names = ("gdcore", "numpy")
    for name in names:
        _import_milliseconds(name)  # the first import compiles to bytecode and fills the file cache
    rounds = _sizes(quick).repetitions
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            times[name].append(_import_milliseconds(name))
    extra = [a - b for a, b in zip(times["gdcore"], times["numpy"], strict=True)]
    return {
        "kind": "import",
        "rounds": rounds,
        "milliseconds": {name: statistics.median(values) for name, values in times.items()},
        "extra_milliseconds": statistics.median(extra),
    }


def _import_milliseconds(module: str) -> float:
    code = f"from time import perf_counter; t = perf_counter(); import {module}; print(1e3 * (perf_counter() - t))"
    python = subprocess.run([sys.executable, "-c", code], cwd=measure.ROOT, check=True, capture_output=True, text=True)
    return float(python.stdout)


# ----------------------------------------------------------------------------------------------------------- shortfalls


def shortfalls(row: Row) -> list[str]:
    """Where a row misses its target or loses to a rival, one text each."""
    return _SHORTFALLS[row["kind"]](row)


def _epoch_shortfalls(row: Row) -> list[str]:
    found = []
    if row["order"] == "C":
        target = share_target(row["dtype"], row["columns"])
        if target is not None and row["share"] < target:
            found.append(f"share {row['share']:.2f} < {target:.2f}")
    for name, speedup in row["speedup"].items():
        target = speedup_target(name, row["columns"])
        if target is not None and speedup < target:
            found.append(f"{LABELS[name]} × {speedup:.2f} < {target:.1f}")
        elif speedup < 1:
            found.append(f"{LABELS[name]} is faster, × {speedup:.2f}")
    return found


def share_target(dtype: str, columns: int) -> float | None:
    """The target of the widest step that a shape reaches; none below the first step."""
    steps: dict[int, float] = TARGETS["share"][dtype]
    reached = [least for least in steps if columns >= least]
    return steps[max(reached)] if reached else None


def speedup_target(rival: str, columns: int) -> float | None:
    """How many times as fast as a rival the kernel is to be; None for a rival that it is only not to lose to."""
    targets: dict[str, float] = TARGETS["speedup"] | TARGETS["speedup_at_columns"].get(columns, {})
    return targets.get(rival)


def _moments_shortfalls(row: Row) -> list[str]:
    target = TARGETS["moments_share"][row["columns"]]
    return [f"share {row['share']:.2f} < {target:.2f}"] if row["order"] == "C" and row["share"] < target else []


def _train_shortfalls(row: Row) -> list[str]:
    speedup, target = row["speedup"]["plain"], TARGETS["train_speedup"]
    return [f"plain NumPy loop × {speedup:.1f} < {target:.0f}"] if speedup < target else []


def _memory_shortfalls(row: Row) -> list[str]:
    target = TARGETS["extra_memory_share"]
    return [f"extra memory {row['share']:.1%} of X, target < {target:.0%}"] if row["share"] >= target else []


def _import_shortfalls(row: Row) -> list[str]:
    extra, target = row["extra_milliseconds"], TARGETS["import_milliseconds"]
    return [f"{extra:.1f} ms beyond NumPy, target < {target:.0f} ms"] if extra >= target else []


_SHORTFALLS = {
    "epoch": _epoch_shortfalls,
    "moments": _moments_shortfalls,
    "train": _train_shortfalls,
    "memory": _memory_shortfalls,
    "import": _import_shortfalls,
}


def where(row: Row) -> str:
    """A row's name in the list of shortfalls."""
    if row["kind"] == "epoch":
        order = "" if row["order"] == "C" else ", Fortran order"
        return f"{_setting_of(row)}, d = {row['columns']}{order}"
    if row["kind"] == "moments":
        return f"second moments, {_setting_of(row)}, d = {row['columns']}, {row['order']} order"
    if row["kind"] == "memory":
        return f"memory of fit, {row['dtype']}, {row['order']} order"
    return {"train": "train on six rows", "import": "import gdcore"}[row["kind"]]


def _setting(dtype: str, threads: int) -> str:
    return f"{dtype}, {threads} thread{'' if threads == 1 else 's'}"


def _setting_of(row: Row) -> str:
    return _setting(row["dtype"], row["threads"])


# --------------------------------------------------------------------------------------------------------------- tables


def _rows(content: Document, kind: str) -> list[Row]:
    return [row for row in content["rows"] if row["kind"] == kind]


def _settings(rows: list[Row]) -> dict[str, list[Row]]:
    # Rows by dtype and threads, in the order in which they were measured.
    settings: dict[str, list[Row]] = {}
    for row in rows:
        settings.setdefault(_setting_of(row), []).append(row)
    return settings


def epoch_tables(content: Document) -> list[Table]:
    """C order: a table for each dtype and number of threads."""
    settings = _settings([row for row in _rows(content, "epoch") if row["order"] == "C"])
    return [_epoch_table(setting, rows) for setting, rows in settings.items()]


def _epoch_table(setting: str, rows: list[Row]) -> Table:
    rivals = [name for name in LABELS if any(name in row["speedup"] for row in rows)]
    head = ["d", "rows", "ms", "Msamples/s", "GB/s", "read GB/s", "share", *(f"× {LABELS[name]}" for name in rivals)]
    lines = [
        [
            f"{row['columns']:,}",
            f"{row['rows']:,}",
            number(1e3 * row["seconds"]["kernel"]),
            number(row["samples_per_second"] / 1e6),
            number(row["gigabytes_per_second"]),
            number(row["read_gigabytes_per_second"]),
            f"{row['share']:.2f}",
            *(number(row["speedup"].get(name)) for name in rivals),
            "; ".join(row["shortfalls"]),
        ]
        for row in rows
    ]
    note = "share: of the bandwidth of reading X; × a rival: its time over gdcore's, above 1 gdcore is faster."
    return Table(f"One epoch, {setting}", [*head, "short of target"], lines, note)


def fortran_tables(content: Document) -> list[Table]:
    """Fortran order: one table, a line for each dtype, number of threads and shape."""
    rows = [row for row in _rows(content, "epoch") if row["order"] == "F"]
    lines = [
        [
            _setting_of(row),
            f"{row['columns']:,}",
            f"{row['rows']:,}",
            number(1e3 * row["seconds"]["kernel"]),
            number(row["gigabytes_per_second"]),
            number(row["read_gigabytes_per_second"]),
            f"{row['share']:.2f}",
            "; ".join(row["shortfalls"]),
        ]
        for row in rows
    ]
    head = ["", "d", "rows", "ms", "GB/s", "read GB/s", "share", "short of target"]
    return [Table("One epoch, X in Fortran order", head, lines)] if rows else []


def moment_tables(content: Document) -> list[Table]:
    """Second moments: their share of the multiply-adds that the machine can make."""
    lines = [
        [
            f"{_setting_of(row)}, {row['order']} order",
            f"{row['columns']:,}",
            f"{row['rows']:,}",
            number(1e3 * row["seconds"]["kernel"]),
            number(row["peak_multiply_adds_per_second"] / 1e9),
            f"{row['share']:.2f}",
            number(row["speedup"]["numpy"]),
            "; ".join(row["shortfalls"]),
        ]
        for row in _rows(content, "moments")
    ]
    head = ["", "d", "rows", "ms", "peak, 10⁹ multiply-adds/s", "share", "× NumPy's X.T @ X", "short of target"]
    note = "share: n·d²/2 multiply-adds over the peak of so many cores, measured in turn with them."
    return [Table("Second moments", head, lines, note)] if lines else []


def small_tables(content: Document) -> list[Table]:
    """The small fit, the memory of a fit, the time of the import."""
    tables = []
    for row in _rows(content, "train"):
        names = {"train": "gdcore.train", "plain": "NumPy, plain loop", "preallocated": "NumPy, preallocated loop"}
        lines = [
            [
                label,
                number(1e3 * row["seconds"][name]),
                number(row["speedup"].get(name)),
                "; ".join(row["shortfalls"]) if name == "train" else "",
            ]
            for name, label in names.items()
        ]
        title = f"{row['epochs']:,} epochs on {row['rows']} rows of {row['columns']} columns, the whole call"
        tables.append(Table(title, ["", "ms", "× gdcore.train", "short of target"], lines))
    memory = _rows(content, "memory")
    if memory:
        lines = [
            [
                f"{row['dtype']}, {row['order']} order",
                number(row["bytes"] / 1e6),
                number(row["extra_bytes"] / 1e6),
                f"{row['share']:.1%}",
                "; ".join(row["shortfalls"]),
            ]
            for row in memory
        ]
        tables.append(
            Table("Memory of gdcore.fit beyond X and Y", ["X", "X MB", "extra MB", "of X", "short of target"], lines)
        )
    for row in _rows(content, "import"):
        milliseconds = row["milliseconds"]
        line = [number(milliseconds["gdcore"]), number(milliseconds["numpy"]), number(row["extra_milliseconds"])]
        head = ["import gdcore ms", "import numpy ms", "difference ms", "short of target"]
        tables.append(Table("Import, fresh processes", head, [[*line, "; ".join(row["shortfalls"])]]))
    return tables


def summary_tables(content: Document) -> list[Table]:
    """C order, for the README: the shares of each setting and the rivals of the first, in bold what misses its target."""
    settings = _settings([row for row in _rows(content, "epoch") if row["order"] == "C"])
    first = next(iter(settings.values()))
    rivals = [name for name in ("reference", "pytorch") if any(name in row["speedup"] for row in first)]
    lines = []
    for i, row in enumerate(first):
        cells = [f"{row['columns']:,}"]
        for rows in settings.values():
            target = share_target(rows[i]["dtype"], row["columns"])
            cells.append(flagged(rows[i]["share"], target))
        cells += [flagged(row["speedup"].get(name), speedup_target(name, row["columns"])) for name in rivals]
        lines.append([*cells, ""])
    small = []
    for row in _rows(content, "train"):
        speedup = flagged(row["speedup"]["plain"], TARGETS["train_speedup"])
        small.append(f"`train` on six rows, 1,000 epochs: {speedup} times as fast as the plain NumPy loop.")
    memory = max((row["share"] for row in _rows(content, "memory")), default=0.0)
    small.append(f"`fit` takes {memory:.1%} of X in extra memory at most.")
    for row in _rows(content, "import"):
        extra = f"{row['extra_milliseconds']:.0f} ms"
        small.append(f"`import gdcore` takes {f'**{extra}**' if row['shortfalls'] else extra} more than `import numpy`.")
    head = ["d", *settings, *(f"× {LABELS[name]}" for name in rivals), ""]
    return [
        Table(
            "Share of the read bandwidth, and how many times as fast as rivals (first setting)", head, lines, " ".join(small)
        )
    ]


TABLES: dict[str, Callable[[Document], list[Table]]] = {
    "throughput": epoch_tables,
    "throughput-summary": summary_tables,
    "throughput-fortran": fortran_tables,
    "throughput-moments": moment_tables,
    "throughput-small": small_tables,
    "throughput-shortfalls": measure.shortfall_tables,
    "throughput-environment": measure.environment_table,
}
