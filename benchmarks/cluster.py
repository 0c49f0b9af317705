"""Passes over a Dask cluster on this machine: overhead, bytes, passes to an answer, and what that says of larger clusters.

A pass is loss and gradient of logistic regression with a bias over rows persisted on the workers (worker processes of one
thread), against the same kernel over the same rows in one process of one thread. The overhead of a pass is its time over so
few rows that the kernel's own time does not count. Bytes are counted in two ways: what the workers say that they served to
each other and home, plus the weights in the tasks; and everything on the loopback device during a pass, which has Dask's own
messages in it, and whatever else this machine says to itself, less what it says when idle.

The model of cost, for w workers, n rows, d columns, k outputs, p partitions, float64, one pass:

    seconds  T = 8·n·d/(w·B) + a + c·p      B bytes/s of one worker's kernel, a and c measured here with tiny partitions
    bytes    p·(W + G) at most              W = 8·k·(d + 1) weights, G = W + 16 sums: all in all 2·p·W
    depth    ⌈log₄ p⌉ additions one after another

With p = 2·w, adding workers stops helping where 8·n·d/(w·B) = 2·c·w, at w = √(4·n·d/(c·B)).
"""

import argparse
import contextlib
import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import gdcore
from benchmarks import measure
from benchmarks.measure import Document, Row, Table, duration, flagged, number, rough
from benchmarks.rivals import Array

WORKERS = (1, 2)
JUDGED = 2

TARGETS: dict[str, Any] = {
    "overhead_milliseconds": 30.0,  # of a pass at JUDGED workers, at most
    "bytes_of_weights_and_gradient": 2.0,  # for each worker, at most
    "passes": 40,  # to GRADIENT, fewer
    "rival": 1.0,  # its time over ours, at least
}
GRADIENT = 1e-6
CLOSE = 1e-8  # beside the rival, whose Newton steps end about there


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    rows: int  # of the passes
    columns: int
    answer_rows: int
    rival_rows: int
    wide: int  # columns of the pass whose bytes are judged
    rounds: int


FULL = Sizes(2_000_000, 50, 10_000_000, 1_000_000, 20_000, rounds=60)
QUICK = Sizes(40_000, 20, 100_000, 20_000, 2_000, rounds=15)


# --------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks cluster``."""
    measure.add_json_argument(parser)
    parser.add_argument("--quick", action="store_true", help="few rows: to try the benchmark, not to judge gdcore")


def run(args: argparse.Namespace) -> None:
    """Measures everything, prints each table as soon as it is known, the shortfalls last."""
    configuration = {"quick": args.quick, "sizes": asdict(QUICK if args.quick else FULL), "targets": TARGETS}
    parts = (
        (measure.in_subprocess(f"benchmarks.cluster:{part}", {"quick": args.quick}, 1), cluster_tables)
        for part in ("measure_passes", "measure_answer", "measure_rival")
    )
    measure.perform(args, "cluster", configuration, parts, shortfalls, where)


# ------------------------------------------------------------------------------------------------------------- the data


@contextlib.contextmanager
def workers(count: int) -> Iterator[Any]:
    """A client of so many worker processes of one thread."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=logging.ERROR
        ) as scheduler,
        Client(scheduler) as client,
    ):
        yield client


def block(rows: int, columns: int, seed: int) -> Array:
    """[X, y] of one partition: columns of unlike scales, noisy labels."""
    rng = np.random.default_rng(seed)
    both = np.empty((rows, columns + 1))
    both[:, :-1] = rng.standard_normal((rows, columns))
    z = both[:, :-1] @ np.linspace(-1, 1, columns) / math.sqrt(columns / 3)
    both[:, :-1] *= np.geomspace(0.1, 10, columns)
    both[:, -1] = rng.random(rows) < 1 / (1 + np.exp(-2 * z))
    return both


def lazily(rows: int, columns: int, parts: int) -> tuple[Any, Any]:
    """X and y as Dask arrays, made on the workers."""
    import dask
    import dask.array as da

    make, size = dask.delayed(block), rows // parts
    blocks = [da.from_delayed(make(size, columns, seed), (size, columns + 1), float) for seed in range(parts)]
    both = da.concatenate(blocks)
    return both[:, :-1].map_blocks(np.ascontiguousarray), both[:, -1].map_blocks(np.ascontiguousarray)


def here(rows: int, columns: int, parts: int) -> tuple[Array, Array]:
    """The same in this process, y as (n, 1)."""
    whole = np.concatenate([block(rows // parts, columns, seed) for seed in range(parts)])
    return np.ascontiguousarray(whole[:, :-1]), np.ascontiguousarray(whole[:, -1:])


# ------------------------------------------------------------------------------------------------------------- a pass


def measure_passes(quick: bool) -> list[Row]:
    """Seconds, overhead and bytes of a pass with each number of workers, beside one process."""
    import psutil

    from gdcore.backends import kernel
    from gdcore.rows.dask.cluster import Cluster
    from gdcore.rows.piecewise import Piecewise

    sizes = QUICK if quick else FULL
    d, engine = sizes.columns, Piecewise("kernel")
    rng = np.random.default_rng(0)

    def weights(columns: int) -> Array:
        return rng.normal(size=(columns, 1)) * 0.01

    def timed(task: Callable[[], object]) -> list[float]:
        task()
        return [measure.seconds_of(task) for _ in range(sizes.rounds)]

    def one_process() -> list[float]:
        X, Y = here(sizes.rows, d, 4)
        return timed(lambda: kernel.loss_gradient(X, Y, weights(d), np.zeros(1), None, 1, "logistic"))

    alone = one_process()
    rows: list[Row] = []
    for count in WORKERS:
        with workers(count) as client:

            def passes(held: Any, columns: int) -> Callable[[], object]:
                return lambda: engine.loss_gradient(held, None, weights(columns), np.zeros(1), loss="logistic")

            def held(n: int, columns: int, parts: int) -> Any:
                table = Cluster(*lazily(n, columns, parts), targets="binary")
                table.keep()
                return table

            def served(client: Any = client) -> int:
                return sum(client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())

            parts = 2 * count
            overhead = {}
            for tiny in (count, 2 * count, 4 * count, 8 * count):
                table = held(100 * tiny, d, tiny)
                overhead[tiny] = timed(passes(table, d))
                table.free()
            c, a = np.polyfit(list(overhead), [statistics.median(times) for times in overhead.values()], 1)
            table = held(sizes.rows, d, parts)
            full = timed(passes(table, d))
            table.free()
            table = held(40 * parts, sizes.wide, parts)
            task, moved, everything = passes(table, sizes.wide), [], []
            for _ in range(8):
                task()
            time.sleep(1)
            idle = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
            time.sleep(2)
            idle = (psutil.net_io_counters(pernic=True)["lo"].bytes_sent - idle) / 2
            for _ in range(sizes.rounds // 3):
                before, began = served(), time.perf_counter()
                sent = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
                task()
                sent = psutil.net_io_counters(pernic=True)["lo"].bytes_sent - sent
                everything.append(sent - idle * (time.perf_counter() - began))
                moved.append(served() - before)
            table.free()
        w = 8 * (sizes.wide + 1)
        rows.append(
            {
                "kind": "pass",
                "workers": count,
                "partitions": parts,
                "rows": sizes.rows,
                "columns": d,
                "wide": sizes.wide,
                "seconds": statistics.median(full),
                "one_process": statistics.median(alone),
                "overhead": {str(p): statistics.median(times) for p, times in overhead.items()},
                "a": float(a),
                "c": float(c),
                "depth": math.ceil(math.log(parts, gdcore.rows.dask.scheduler.FAN)) if parts > 1 else 0,
                "moved": statistics.median(moved) + w * parts,
                "everything": statistics.median(everything),
                "weights_and_gradient": 2 * w + 16,
            }
        )
    return rows


# ------------------------------------------------------------------------------------------------------------ an answer


def measure_answer(quick: bool) -> list[Row]:
    """Passes and seconds until the gradient of a logistic model is at most `GRADIENT`."""
    from gdcore import distributed
    from gdcore.rows.dask import cluster

    sizes = QUICK if quick else FULL
    passes = 0
    folded = cluster.Cluster.fold

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal passes
        passes += 1
        return folded(*arguments, **options)

    with workers(JUDGED) as client:
        X, y = (a.persist() for a in lazily(sizes.answer_rows, sizes.columns, 4 * JUDGED))
        _wait(client, X, y)
        cluster.Cluster.fold = counted  # type: ignore[method-assign]
        began = time.perf_counter()
        run = distributed.fit(X, y, loss="logistic", tol=0.0, callback=lambda epoch: epoch.gradient_norm <= GRADIENT)
        seconds = time.perf_counter() - began
    size = 8 * sizes.answer_rows * sizes.columns
    row = {"kind": "answer", "rows": sizes.answer_rows, "columns": sizes.columns, "bytes": size, "workers": JUDGED}
    return [row | {"passes": passes, "epochs": run.epochs, "seconds": seconds, "gradient": run.gradient_norm}]


def _wait(client: Any, *collections: Any) -> None:
    from distributed import wait

    with client.as_current():
        wait(list(collections))


def measure_rival(quick: bool) -> list[Row]:
    """dask-ml's LogisticRegression on the same cluster, where it is installed."""
    from gdcore import distributed
    from gdcore.backends import kernel

    sizes = QUICK if quick else FULL
    row: Row = {"kind": "rival", "rows": sizes.rival_rows, "columns": sizes.columns, "workers": JUDGED, "others": {}}
    parts = 2 * JUDGED
    local, labels = here(sizes.rival_rows, sizes.columns, parts)

    def gradient(coefficients: Any, intercept: Any) -> float:
        w, b = np.reshape(coefficients, (-1, 1)).astype(float), np.reshape(intercept, 1).astype(float)
        _, g, gb = kernel.loss_gradient(local, labels, w, b, None, 1, "logistic")
        return float(np.sqrt(np.sum(g**2) + np.sum(gb**2)))

    with workers(JUDGED) as client:
        X, y = (a.persist() for a in lazily(sizes.rival_rows, sizes.columns, parts))
        _wait(client, X, y)
        began = time.perf_counter()
        run = distributed.fit(X, y, loss="logistic", tol=0.0, callback=lambda epoch: epoch.gradient_norm <= CLOSE)
        row["seconds"], row["gradient"] = time.perf_counter() - began, gradient(run.model.weights, run.model.bias)
        try:
            from dask_ml.linear_model import LogisticRegression
        except ImportError as error:
            return [row | {"missing": f"dask-ml is not here ({error})"}]
        # admm, dask-ml's default, took 481 s on 1,000,000 rows, to a gradient of 2e-04.
        for solver in ("admm", "lbfgs", "newton") if quick else ("lbfgs", "newton"):
            try:
                began = time.perf_counter()
                model = LogisticRegression(solver=solver, C=1e9).fit(X, y)
                seconds = time.perf_counter() - began
                row["others"][solver] = {"seconds": seconds, "gradient": gradient(model.coef_, model.intercept_)}
            except Exception as error:  # another project's: whatever it raises is its result
                row["others"][solver] = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"}
    return [row]


# ---------------------------------------------------------------------------------------------------------------- targets


def overhead_of(row: Row) -> float:
    """Milliseconds of a pass beside the kernel's own time, with two partitions a worker."""
    return 1e3 * float(row["overhead"][str(row["partitions"])])


def bytes_of(row: Row) -> float:
    """Bytes of a pass over (weights + gradient) × workers."""
    return float(row["moved"] / row["weights_and_gradient"] / row["workers"])


def limit_of(row: Row) -> float:
    """Workers from which on more of them do not help: see the model."""
    speed = 8 * row["rows"] * row["columns"] / row["one_process"]
    return math.sqrt(4 * row["rows"] * row["columns"] / (max(row["c"], 1e-6) * speed))


def shortfalls(row: Row) -> list[str]:
    """The targets that a row misses."""
    short = []
    if row["kind"] == "pass":
        if row["workers"] == JUDGED and overhead_of(row) >= TARGETS["overhead_milliseconds"]:
            short.append(f"overhead {number(overhead_of(row))} ms ≥ {number(TARGETS['overhead_milliseconds'])}")
        if bytes_of(row) > TARGETS["bytes_of_weights_and_gradient"]:
            short.append(f"bytes {number(bytes_of(row))} > {number(TARGETS['bytes_of_weights_and_gradient'])}")
    if row["kind"] == "answer" and (row["passes"] >= TARGETS["passes"] or row["gradient"] > GRADIENT):
        short.append(f"{row['passes']} passes to {rough(row['gradient'])}, wanted fewer than {TARGETS['passes']}")
    if row["kind"] == "rival":
        for solver, other in row["others"].items():
            if other.get("seconds", math.inf) < TARGETS["rival"] * row["seconds"]:
                short.append(f"dask-ml, {solver}: × {number(other['seconds'] / row['seconds'])} < {TARGETS['rival']}")
    return short


def where(row: Row) -> str:
    """What a row is about."""
    form = f"{row['rows']:,} × {row['columns']}"
    return f"{form}, {row['workers']} worker{'s' if row['workers'] > 1 else ''}"


# ----------------------------------------------------------------------------------------------------------------- tables


def _rows(content: Document, kind: str) -> list[Row]:
    return [row for row in content["rows"] if row["kind"] == kind]


def cluster_tables(content: Document) -> list[Table]:
    """Passes, the model with its constants, the answer, the rival."""
    tables = []
    if rows := _rows(content, "pass"):
        head = [
            "", "partitions", "ms a pass", "passes a second", "ms in one process", "ms of overhead",
            "bytes of (W + G)·w", "all, Dask's messages too", "short of target",
        ]  # fmt: skip
        lines = [
            [
                where(row), str(row["partitions"]), number(1e3 * row["seconds"]), number(1 / row["seconds"]),
                number(1e3 * row["one_process"]), number(overhead_of(row)), number(bytes_of(row)),
                number(row["everything"] / row["weights_and_gradient"] / row["workers"]), "; ".join(row["shortfalls"]),
            ]
            for row in rows
        ]  # fmt: skip
        note = f"Bytes are those of passes over {rows[0]['wide']:,} columns, W + G = {rows[0]['weights_and_gradient']:,}."
        tables.append(Table("Passes over a cluster on this machine", head, lines, note))
        head = ["", "B, GB/s", "a, ms", "c, ms a partition", "tree depth", "helps up to workers", ""]
        lines = [
            [
                where(row), number(8e-9 * row["rows"] * row["columns"] / row["one_process"]), number(1e3 * row["a"]),
                number(1e3 * row["c"]), str(row["depth"]), number(limit_of(row)), "",
            ]
            for row in rows
        ]  # fmt: skip
        note = (
            "T = 8·n·d/(w·B) + a + c·p seconds, at most 2·p·W bytes, depth ⌈log₄ p⌉; the limit is for these n and d, p = 2·w."
        )
        tables.append(Table("The model of cost", head, lines, note))
    for row in _rows(content, "answer"):
        line = [
            f"{where(row)} ({row['bytes'] / 1e9:.1f} GB)", str(row["passes"]), str(row["epochs"]), duration(row["seconds"]),
            rough(row["gradient"]), "; ".join(row["shortfalls"]),
        ]  # fmt: skip
        head = ["", "passes", "epochs", "time", "gradient", "short of target"]
        tables.append(Table(f"Logistic regression to a gradient of {GRADIENT:.0e}", head, [line]))
    for row in _rows(content, "rival"):
        lines = [["gdcore.distributed.fit", duration(row["seconds"]), "1.00", rough(row["gradient"]), ""]]
        for solver, other in row["others"].items():
            if "failed" in other:
                lines.append([f"dask-ml, {solver}", "–", "–", "–", other["failed"]])
            else:
                ratio = number(other["seconds"] / row["seconds"])
                lines.append([f"dask-ml, {solver}", duration(other["seconds"]), ratio, rough(other["gradient"]), ""])
        head = ["", "time", "× gdcore's", "gradient", ""]
        tables.append(Table(f"Logistic regression, {where(row)}", head, lines, row.get("missing", "")))
    return tables


def summary_tables(content: Document) -> list[Table]:
    """For the README: one table of what counts."""
    lines = []
    for row in _rows(content, "pass"):
        overhead = flagged(
            overhead_of(row), TARGETS["overhead_milliseconds"] if row["workers"] == JUDGED else None, at_most=True
        )
        moved = flagged(bytes_of(row), TARGETS["bytes_of_weights_and_gradient"], at_most=True)
        cells = [duration(row["seconds"]), duration(row["one_process"]), f"{overhead} ms", f"{moved}·(W + G)·w"]
        lines.append([where(row), *cells, ""])
    notes = []
    for row in _rows(content, "answer"):
        count = flagged(row["passes"], TARGETS["passes"] - 1, at_most=True)
        notes.append(f"{where(row)}: {count} passes, {duration(row['seconds'])} to a gradient of {rough(row['gradient'])}.")
    for row in _rows(content, "rival"):
        done = {solver: other for solver, other in row["others"].items() if "seconds" in other}
        for solver, other in done.items():
            ratio = flagged(other["seconds"] / row["seconds"], TARGETS["rival"])
            notes.append(f"dask-ml's {solver} takes {ratio} times as long, to a gradient of {rough(other['gradient'])}.")
    head = ["", "a pass", "in one process", "overhead", "bytes", ""]
    return [Table("Passes of logistic regression", head, lines, " ".join(notes))] if lines else []


TABLES: dict[str, Callable[[Document], list[Table]]] = {
    "cluster": cluster_tables,
    "cluster-summary": summary_tables,
    "cluster-shortfalls": measure.shortfall_tables,
}
