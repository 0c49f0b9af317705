"""Whole paths of penalties with their cross-validation: gdcore.path against a fit of its own, and against scikit-learn.

The lasso for 100 penalties, 10 folds and all rows on one table, beside one default `gdcore.fit` of it, in turns: the unit of a
path is a fit. Ridge and the elastic net likewise. Then `LassoCV`, with as many folds, and `RidgeCV`, whose leave-one-out by
formula is faster than folds, with as many penalties, on as many rows as they finish in their budget: rows are trebled until
the next time would go past it. Before anything is timed the lasso of scikit-learn at one of the penalties is compared with the
path's; what the path proves stands beside its time.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Document, Row, Table, duration, flagged, number, rough
from benchmarks.rivals import Array

TARGETS: dict[str, Any] = {
    "fits": 2.0,  # the time of the lasso's path over that of a fit, at most
    "gap": 1e-12,  # of the loss of a constant, at most
}
TOLERANCE = 1e-6  # of the largest weight: what scikit-learn's own tolerance leaves
PENALTIES, FOLDS = 100, 10
KINDS = {"lasso": 1.0, "elastic net": 0.5, "ridge": 0.0}


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    rows: int
    columns: int
    rounds: int
    least_seconds: float
    budget_seconds: float  # of a rival


FULL = Sizes(1_000_000, 100, rounds=5, least_seconds=5.0, budget_seconds=120.0)
QUICK = Sizes(20_000, 20, rounds=3, least_seconds=0.2, budget_seconds=2.0)


# --------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks paths``."""
    measure.add_json_argument(parser)
    parser.add_argument("--quick", action="store_true", help="small arrays: to try the benchmark, not to judge gdcore")


def run(args: argparse.Namespace) -> None:
    """Measures everything, prints each table as soon as it is known, the shortfalls last."""
    threads = measure.usable_cpus()
    configuration = {"quick": args.quick, "threads": threads, "sizes": asdict(_sizes(args.quick)), "targets": TARGETS}
    parts = (
        (measure.in_subprocess(f"benchmarks.paths:{part}", {"quick": args.quick}, threads), paths_tables)
        for part in ("measure_paths", "measure_rivals")
    )
    measure.perform(
        args, "paths", configuration, parts, shortfalls, where, "a path of so few rows costs what its penalties cost"
    )


def _sizes(quick: bool) -> Sizes:
    return QUICK if quick else FULL


def table_of(rows: int, columns: int) -> tuple[Array, Array]:
    """X (rows, columns) of different spreads, a third of whose columns tell something of y."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, columns))
    X *= np.geomspace(0.1, 10, columns)
    w = np.where(np.arange(columns) % 3 == 0, 1.0, 0.0) / np.geomspace(0.1, 10, columns)
    return X, X @ w + 3 * rng.standard_normal(rows)


# ---------------------------------------------------------------------------------------------------------- measuring


def measure_paths(quick: bool) -> list[Row]:
    """A row for each kind of penalty; runs in a process of its own."""
    import gdcore

    sizes = _sizes(quick)
    X, y = table_of(sizes.rows, sizes.columns)
    found = gdcore.path(X, y)
    validate(X, y, found)
    tasks: dict[str, Callable[[], object]] = {"fit": lambda: gdcore.fit(X, y)}
    for kind, ratio in KINDS.items():
        tasks[kind] = lambda ratio=ratio: gdcore.path(X, y, l1_ratio=ratio)
    times = measure.interleaved(tasks, sizes.rounds, sizes.least_seconds)
    extra = measure.extra_memory(tasks["lasso"])
    rows = []
    for kind, ratio in KINDS.items():
        gap = float(gdcore.path(X, y, l1_ratio=ratio).gap.max() / np.var(y))
        rows.append(
            {
                "part": "path", "kind": kind, "rows": sizes.rows, "columns": sizes.columns,
                "seconds": statistics.median(times[kind]), "fit_seconds": statistics.median(times["fit"]),
                "fits": measure.median_ratio(times[kind], times["fit"]), "gap": gap, "extra_bytes": extra, "bytes": X.nbytes,
            }
        )  # fmt: skip
    return rows


def validate(X: Array, y: Array, path: Any) -> None:
    """SystemExit where scikit-learn finds another lasso in the middle of the path."""
    from sklearn.linear_model import Lasso

    some = slice(0, 20_000)
    import gdcore

    middle = len(path.penalties) // 2
    own = gdcore.path(X[some], y[some], penalties=path.penalties[[middle]], cv=2).weights[0]
    spread = X[some].std(axis=0)
    other = Lasso(alpha=path.penalties[middle] / 2, tol=1e-10, max_iter=100_000).fit(X[some] / spread, y[some]).coef_
    off = float(np.abs(own * spread - other).max() / np.abs(other).max())
    if not off <= TOLERANCE:
        raise SystemExit(f"the lasso of gdcore.path differs from scikit-learn's by {off:.1e} of the largest weight")


def measure_rivals(quick: bool) -> list[Row]:
    """A row for each rival, on as many rows as it finishes in its budget; runs in a process of its own."""
    from sklearn.linear_model import LassoCV, RidgeCV

    import gdcore

    sizes = _sizes(quick)
    X, y = table_of(sizes.rows, sizes.columns)
    ridges = gdcore.path(X[:1000], y[:1000], l1_ratio=0).penalties
    rivals: dict[str, tuple[float, Callable[[], Any]]] = {
        "LassoCV": (1.0, lambda: LassoCV(cv=FOLDS, eps=1e-4, n_jobs=-1)),
        "RidgeCV": (0.0, lambda: RidgeCV(ridges * sizes.rows / 2)),
    }
    rows = []
    for name, (ratio, make) in rivals.items():
        n, seconds = min(3_000, sizes.rows), 0.0
        while True:
            model, Z = make(), X[:n] / X[:n].std(axis=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seconds = measure.seconds_of(lambda model=model, Z=Z, n=n: model.fit(Z, y[:n]))
            following = min(3 * n, sizes.rows)
            if following == n or seconds * following / n > sizes.budget_seconds:
                break
            n = following
        own = measure.interleaved({"path": lambda n=n, ratio=ratio: gdcore.path(X[:n], y[:n], l1_ratio=ratio)}, 3, 0.5)["path"]
        measured = {"seconds": seconds, "path_seconds": statistics.median(own)}
        rows.append({"part": "rival", "kind": name, "rows": n, "columns": sizes.columns, **measured})
    return rows


# ---------------------------------------------------------------------------------------------------------- judging


def shortfalls(row: Row) -> list[str]:
    """What a row misses of `TARGETS`."""
    if row["part"] == "rival":
        return [f"gdcore.path takes {duration(row['path_seconds'])}"] if row["path_seconds"] > row["seconds"] else []
    found = []
    if row["kind"] == "lasso" and row["fits"] > TARGETS["fits"]:
        found.append(f"takes {number(row['fits'])} fits instead of {TARGETS['fits']:g}")
    if row["gap"] > TARGETS["gap"]:
        found.append(f"proves a gap of {rough(row['gap'])} instead of {TARGETS['gap']:g}")
    return found


def where(row: Row) -> str:
    return f"{row['kind']}, {row['rows']:,} × {row['columns']}"


def paths_tables(content: Document) -> list[Table]:
    """Paths beside a fit, and beside rivals."""
    tables = []
    own = [row for row in content["rows"] if row["part"] == "path"]
    if own:
        head = ["path", "time", "one fit", "in fits", "largest gap, of the targets' variance", ""]
        lines = [
            [
                row["kind"], duration(row["seconds"]), duration(row["fit_seconds"]),
                flagged(row["fits"], TARGETS["fits"] if row["kind"] == "lasso" else None, at_most=True), rough(row["gap"]), "",
            ]
            for row in own
        ]  # fmt: skip
        first = own[0]
        title = f"{PENALTIES} penalties × {FOLDS} folds and all rows of {first['rows']:,} × {first['columns']} float64, mse"
        share = first["extra_bytes"] / first["bytes"]
        tables.append(Table(title, head, lines, f"Extra memory: {share:.1%} of X."))
    rivals = [row for row in content["rows"] if row["part"] == "rival"]
    if rivals:
        lines = [
            [
                row["kind"], f"{row['rows']:,}", duration(row["seconds"]), duration(row["path_seconds"]),
                number(row["seconds"] / row["path_seconds"]), "",
            ]
            for row in rivals
        ]  # fmt: skip
        title = f"As many penalties with scikit-learn, on as many rows × {rivals[0]['columns']} as it finishes"
        tables.append(Table(title, ["rival", "rows", "its time", "gdcore.path", "ratio", ""], lines))
    return tables


TABLES: dict[str, Callable[[Document], list[Table]]] = {
    "paths": paths_tables,
    "paths-shortfalls": measure.shortfall_tables,
}
