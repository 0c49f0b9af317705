"""Epochs of full-batch gradient descent by the rows, by their second moments, by formula; what the spectrum costs.

1, 10, 1,000 and 10⁹ epochs of linear regression with a bias, mean squared error, at lr = 1/λmax: what `gdcore.fit` takes
with each method against NumPy's loop, which reads X twice an epoch. NumPy's time for more than 10 epochs is that of 10,
multiplied. The unit of all times is one such epoch, measured in the same rounds. A method is left out where it would go
through every one of very many epochs. Before anything is timed the weights of all methods are compared: with those of
streaming, or at 10⁹ epochs, where nobody streams, with the solution of least squares.

`gdcore.spectrum` is timed on a long, narrow table, down to its smallest eigenvalue, against an epoch there.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Document, Row, Table, duration, flagged, number, rough
from benchmarks.rivals import Array

METHODS = ("stream", "gram", "exact", "auto")
MOST_EPOCHS = {"stream": 1000, "gram": 100_000}  # of those that go through every epoch
NUMPY_EPOCHS = 10  # measured; of more the time is multiplied
JUDGED, MANY = 1000, 10**9

TARGETS: dict[str, Any] = {
    "numpy_epochs": 5.0,  # of "auto" at JUDGED epochs, at most
    "many_over_judged": 1.2,  # the time of MANY epochs over that of JUDGED epochs, at most
    "extra_memory_share": 0.05,  # of X, at most
    "spectrum_numpy_epochs": 1.0,  # at most
}

# Largest difference of the weights and the bias, relative to the largest of them.
TOLERANCE = 1e-8
SPECTRUM_TOLERANCE = 1e-9  # of λmax


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    rows: int
    columns: int
    spectrum_rows: int
    spectrum_columns: int
    rounds: int
    least_seconds: float
    repeated_seconds: float  # a task that takes longer is timed once
    epochs: tuple[int, ...] = (1, NUMPY_EPOCHS, JUDGED, MANY)


FULL = Sizes(1_000_000, 100, 10_000_000, 10, rounds=5, least_seconds=10.0, repeated_seconds=5.0)
QUICK = Sizes(20_000, 20, 200_000, 10, rounds=3, least_seconds=0.2, repeated_seconds=0.5)


# --------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks epochs``."""
    measure.add_json_argument(parser)
    parser.add_argument("--quick", action="store_true", help="small arrays: to try the benchmark, not to judge gdcore")


def run(args: argparse.Namespace) -> None:
    """Measures everything, prints each table as soon as it is known, the shortfalls last."""
    threads = measure.usable_cpus()
    configuration = {"quick": args.quick, "threads": threads, "sizes": asdict(_sizes(args.quick)), "targets": TARGETS}
    parts = (
        (measure.in_subprocess(f"benchmarks.epochs:{part}", {"quick": args.quick}, threads), epochs_tables)
        for part in ("measure_epochs", "measure_spectrum")
    )
    quick = "its arrays fit in caches, and the call of fit costs as much as the epochs"
    measure.perform(args, "epochs", configuration, parts, shortfalls, where, quick)


def _sizes(quick: bool) -> Sizes:
    return QUICK if quick else FULL


# --------------------------------------------------------------------------------------------------------------- epochs


def table_of(rows: int, columns: int) -> Array:
    """X (rows, columns), float64: columns of different spreads and means, made in place."""
    X = np.empty((rows, columns))
    np.random.default_rng(0).random(out=X)
    X *= np.geomspace(0.1, 1.0, columns)
    return X


def numpy_loop(X: Array, y: Array, lr: float, epochs: int) -> Array:
    """Epochs from zeros in NumPy with every output allocated once; the weights and, last, the bias."""
    n, d = X.shape
    w, b, residual, gradient = np.zeros(d), 0.0, np.empty(n), np.empty(d)
    for _ in range(epochs):
        np.matmul(X, w, out=residual)
        np.subtract(residual, y, out=residual)
        np.add(residual, b, out=residual)
        _loss = np.vdot(residual, residual) / n  # an epoch has it, and the kernel computes it as well
        np.matmul(X.T, residual, out=gradient)
        np.multiply(gradient, 2 * lr / n, out=gradient)
        np.subtract(w, gradient, out=w)
        b -= lr * 2 / n * float(residual.sum())
    return np.append(w, b)


def measure_epochs(quick: bool) -> list[Row]:
    """A row for each number of epochs; runs in a process of its own."""
    import gdcore

    sizes = _sizes(quick)
    X = table_of(sizes.rows, sizes.columns)
    rng = np.random.default_rng(1)
    y = X @ rng.normal(size=sizes.columns) + 0.5 + 0.1 * rng.normal(size=sizes.rows)
    spectrum = gdcore.spectrum(X)
    lr = 1 / spectrum.largest

    def fit(epochs: int, method: str) -> Any:
        return gdcore.fit(X, y, lr=lr, epochs=epochs, method=method)

    by_epochs = {epochs: [m for m in METHODS if epochs <= MOST_EPOCHS.get(m, epochs)] for epochs in sizes.epochs}
    tasks: dict[str, Callable[[], object]] = {}
    facts: dict[int, Row] = {}
    times: dict[str, list[float]] = {}
    for epochs, methods in by_epochs.items():
        measure.progress(f"{epochs:,} epochs: {', '.join(methods)}")
        answers, chosen = {}, {}
        for method in methods:
            began = time.perf_counter()
            run = fit(epochs, method)
            times[_name(epochs, method)] = [time.perf_counter() - began]
            answers[method] = np.append(run.model.weights, run.model.bias)
            chosen[method] = str(run.method)
            tasks[_name(epochs, method)] = lambda epochs=epochs, method=method: fit(epochs, method)
        if epochs <= NUMPY_EPOCHS:
            answers["numpy"] = numpy_loop(X, y, lr, epochs)
            name = _name(epochs, "numpy")
            tasks[name] = lambda epochs=epochs: numpy_loop(X, y, lr, epochs)
            times[name] = [measure.seconds_of(tasks[name])]
        beside = answers["stream"] if "stream" in answers else least_squares(X, y)
        facts[epochs] = {
            "error": {name: difference(answer, beside) for name, answer in answers.items()},
            "chosen": chosen,
            "left_out": {m: "it would go through every epoch" for m in METHODS if m not in methods},
        }
        for name, error in facts[epochs]["error"].items():
            if not error <= TOLERANCE:
                raise SystemExit(f"{epochs:,} epochs: the weights of {name} are wrong by {error:.1e}: not timed")
    repeated = {name: task for name, task in tasks.items() if times[name][0] <= sizes.repeated_seconds}
    settle = measure.SETTLE if measure.usable_cpus() > 1 else 0.0
    measure.progress(f"timing {len(repeated)} in rounds, {len(tasks) - len(repeated)} once")
    times |= measure.interleaved(repeated, sizes.rounds, sizes.least_seconds, settle)

    rows = []
    epoch = times[_name(1, "numpy")]
    for epochs, methods in by_epochs.items():
        measure.progress(f"{epochs:,} epochs: memory")
        names = {method: _name(epochs, method) for method in ("numpy", *methods) if _name(epochs, method) in tasks}
        row = {
            "kind": "epochs",
            "epochs": epochs,
            "rows": sizes.rows,
            "columns": sizes.columns,
            "bytes": X.nbytes,
            "condition": spectrum.condition,
            "lr": lr,
            "rounds": {method: len(times[name]) for method, name in names.items()},
            "seconds": {method: statistics.median(times[name]) for method, name in names.items()},
            "numpy_measured": "numpy" in names,
            "numpy_epoch_seconds": statistics.median(epoch),
            "numpy_epochs": {method: _ratio(times[name], epoch) for method, name in names.items()},
            "extra_bytes": {method: measure.extra_memory(tasks[name]) for method, name in names.items()},
            **facts[epochs],
        }
        if "numpy" not in names:
            few = times[_name(NUMPY_EPOCHS, "numpy")]
            row["seconds"]["numpy"] = statistics.median(few) / NUMPY_EPOCHS * epochs
            row["numpy_epochs"]["numpy"] = _ratio(few, epoch) / NUMPY_EPOCHS * epochs
        if epochs == MANY:
            row["many_over_judged"] = _ratio(times[_name(MANY, "auto")], times[_name(JUDGED, "auto")])
        rows.append(row)
    return rows


def _name(epochs: int, method: str) -> str:
    return f"{method} {epochs}"


def _ratio(numerators: list[float], denominators: list[float]) -> float:
    # Round by round where both were timed in all of them.
    if len(numerators) == len(denominators):
        return measure.median_ratio(numerators, denominators)
    return statistics.median(numerators) / statistics.median(denominators)


def least_squares(X: Array, y: Array) -> Array:
    """Weights and bias of least squares, by the QR factors of blocks of rows: no squared condition, no second X."""
    n, d = X.shape
    triangle = np.empty((0, d + 2))
    for low in range(0, n, 50_000):
        rows = slice(low, low + 50_000)
        block = np.column_stack([X[rows], np.ones(len(X[rows])), y[rows]])
        triangle = np.linalg.qr(np.concatenate([triangle, block]), mode="r")
    solution: Array = np.linalg.solve(triangle[: d + 1, : d + 1], triangle[: d + 1, d + 1])
    return solution


def difference(answer: Array, beside: Array) -> float:
    """The largest difference, relative to the largest number; infinity for a NaN."""
    found = float(np.max(np.abs(answer - beside)) / np.max(np.abs(beside)))
    return found if np.isfinite(found) else float("inf")


def measure_spectrum(quick: bool) -> list[Row]:
    """The spectrum of a long, narrow table against an epoch in NumPy."""
    import gdcore

    sizes = _sizes(quick)
    measure.progress("spectrum")
    X = table_of(sizes.spectrum_rows, sizes.spectrum_columns)
    y = X.sum(axis=1)

    def all_of_it() -> tuple[float, Any]:
        spectrum = gdcore.spectrum(X)
        return spectrum.largest, spectrum.smallest

    triangle = np.empty((0, sizes.spectrum_columns + 1))
    for low in range(0, len(X), 500_000):
        block = X[low : low + 500_000]
        triangle = np.linalg.qr(np.concatenate([triangle, np.column_stack([block, np.ones(len(block))])]), mode="r")
    values = np.linalg.svd(triangle, compute_uv=False) ** 2 * 2 / len(X)
    error = max(abs(a - b) / b for a, b in zip(all_of_it(), (values[0], values[-1]), strict=True))
    if not error <= SPECTRUM_TOLERANCE:
        raise SystemExit(f"the spectrum is wrong by {error:.1e}: not timed")
    tasks = {"spectrum": all_of_it, "numpy": lambda: numpy_loop(X, y, 0.01, 1)}
    settle = measure.SETTLE if measure.usable_cpus() > 1 else 0.0
    times = measure.interleaved(tasks, sizes.rounds, sizes.least_seconds, settle)
    row = {
        "kind": "spectrum",
        "rows": sizes.spectrum_rows,
        "columns": sizes.spectrum_columns,
        "bytes": X.nbytes,
        "rounds": len(times["spectrum"]),
        "seconds": {name: statistics.median(values) for name, values in times.items()},
        "numpy_epochs": measure.median_ratio(times["spectrum"], times["numpy"]),
        "extra_bytes": measure.extra_memory(all_of_it),
        "error": error,
    }
    return [row]


# ----------------------------------------------------------------------------------------------------------- shortfalls


def shortfalls(row: Row) -> list[str]:
    """Where a row misses its target, one text each."""
    return [text for texts in _shortfalls_by_method(row).values() for text in texts]


def _shortfalls_by_method(row: Row) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}

    def more_than(value: float, name: str, text: str, method: str, target: float) -> None:
        if value > target:
            found.setdefault(method, []).append(f"{name}{text.format(value)} > {text.format(target)}")

    if row["kind"] == "spectrum":
        more_than(row["numpy_epochs"], "", "{:.2f} NumPy epochs", "spectrum", TARGETS["spectrum_numpy_epochs"])
        share = row["extra_bytes"] / row["bytes"]
        more_than(share, "extra memory ", "{:.1%} of X", "spectrum", TARGETS["extra_memory_share"])
        return found
    if row["epochs"] == JUDGED:
        more_than(row["numpy_epochs"]["auto"], "auto takes ", "{:.2f} NumPy epochs", "auto", TARGETS["numpy_epochs"])
    if "many_over_judged" in row:
        ratio, target = row["many_over_judged"], TARGETS["many_over_judged"]
        more_than(ratio, "auto takes ", f"{{:.2f}} of {JUDGED:,} epochs' time", "auto", target)
    for method in METHODS:
        if method in row["extra_bytes"]:
            share = row["extra_bytes"][method] / row["bytes"]
            more_than(share, f"{method}: extra memory ", "{:.1%} of X", method, TARGETS["extra_memory_share"])
    return found


def where(row: Row) -> str:
    """A row's name in the list of shortfalls."""
    if row["kind"] == "spectrum":
        return f"spectrum of {row['rows']:,} × {row['columns']}"
    return f"{count_text(row['epochs'])} epoch{'' if row['epochs'] == 1 else 's'}"


def count_text(count: int) -> str:
    """A number of epochs."""
    return "10⁹" if count == 10**9 else f"{count:,}"


# --------------------------------------------------------------------------------------------------------------- tables


def _rows(content: Document, kind: str) -> list[Row]:
    return [row for row in content["rows"] if row["kind"] == kind]


def epochs_tables(content: Document) -> list[Table]:
    """A line for each number of epochs and each method, and one for the spectrum."""
    tables = []
    rows = _rows(content, "epochs")
    if rows:
        lines = [line for row in rows for line in _lines(row)]
        first = rows[0]
        note = (
            f"λmax/λmin is {first['condition']:,.0f}, lr = 1/λmax. NumPy epochs: time over that of one epoch in NumPy. "
            "difference: of the weights, relative, from streaming's, and at 10⁹ epochs from the solution of least squares."
        )
        head = ["", "ms", "NumPy epochs", "× NumPy", "extra MB", "of X", "difference", "short of target"]
        tables.append(Table(f"Epochs on {first['rows']:,} × {first['columns']} float64, the whole call", head, lines, note))
    for row in _rows(content, "spectrum"):
        line = [
            f"{row['rows']:,} × {row['columns']}",
            number(1e3 * row["seconds"]["spectrum"]),
            number(1e3 * row["seconds"]["numpy"]),
            number(row["numpy_epochs"]),
            number(row["extra_bytes"] / 1e6),
            rough(row["error"]),
            "; ".join(row["shortfalls"]),
        ]
        head = ["", "ms", "ms of a NumPy epoch", "NumPy epochs", "extra MB", "error", "short of target"]
        tables.append(Table("The spectrum, down to the smallest eigenvalue", head, [line]))
    return tables


def _lines(row: Row) -> list[list[str]]:
    lines = []
    short = _shortfalls_by_method(row)
    for method in ("numpy", *METHODS):
        if method not in row["seconds"]:
            continue
        extra = row["extra_bytes"].get(method)
        label = method
        if method == "numpy":
            label = "NumPy" if row["numpy_measured"] else f"NumPy, {NUMPY_EPOCHS} epochs multiplied"
        elif method == "auto":
            label = f"auto: {row['chosen'][method].split(':')[0]}"
        error = row["error"].get(method)
        lines.append(
            [
                f"{where(row)}, {label}",
                number(1e3 * row["seconds"][method]),
                number(row["numpy_epochs"][method]),
                "–" if method == "numpy" else number(row["seconds"]["numpy"] / row["seconds"][method]),
                number(None if extra is None else extra / 1e6),
                "–" if extra is None else f"{extra / row['bytes']:.1%}",
                rough(error),
                "; ".join(short.get(method, [])),
            ]
        )
    return lines


def summary_tables(content: Document) -> list[Table]:
    """For the README: a line for each number of epochs, in bold what misses its target."""
    rows = _rows(content, "epochs")
    if not rows:
        return []
    lines = []
    for row in rows:
        cells = [count_text(row["epochs"]), duration(row["seconds"]["numpy"])]
        cells += [duration(row["seconds"].get(method)) for method in METHODS]
        target = TARGETS["numpy_epochs"] if row["epochs"] == JUDGED else None
        lines.append([*cells, flagged(row["numpy_epochs"]["auto"], target, at_most=True), ""])
    notes = [f"NumPy's time for more than {NUMPY_EPOCHS} epochs is that of {NUMPY_EPOCHS}, multiplied."]
    for row in rows:
        if "many_over_judged" in row:
            ratio = flagged(row["many_over_judged"], TARGETS["many_over_judged"], at_most=True)
            notes.append(f"10⁹ epochs take {ratio} times as long as {JUDGED:,}.")
    shares = [extra / row["bytes"] for row in rows for method, extra in row["extra_bytes"].items() if method in METHODS]
    share = max(shares)
    share_text = f"{share:.1%}"
    notes.append(f"Extra memory: {f'**{share_text}**' if share > TARGETS['extra_memory_share'] else share_text} of X at most.")
    for row in _rows(content, "spectrum"):
        cost = flagged(row["numpy_epochs"], TARGETS["spectrum_numpy_epochs"], at_most=True)
        notes.append(f"The spectrum of {row['rows']:,} × {row['columns']} costs {cost} NumPy epochs.")
    first = rows[0]
    title = f"Full-batch epochs on {first['rows']:,} × {first['columns']} float64, the whole call"
    head = ["epochs", "NumPy", *METHODS, "auto, in NumPy epochs", ""]
    return [Table(title, head, lines, " ".join(notes))]


TABLES: dict[str, Callable[[Document], list[Table]]] = {
    "epochs": epochs_tables,
    "epochs-summary": summary_tables,
    "epochs-shortfalls": measure.shortfall_tables,
}
