"""What every benchmark needs: interleaved timing, facts about the machine, subprocesses, JSON files, text tables."""

import argparse
import ctypes
import gc
import importlib
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Document = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
MOST_ROUNDS = 100
# For tasks with threads. The pools of OpenBLAS and OpenMP spin for up to 30 ms after their work, on the CPUs that the
# next task needs, and a pool that was idle can take as long to find its CPUs again: a pass of 1 ms then takes 20.
SETTLE = 0.1
PACKAGES = ("torch", "jax", "scikit-learn", "scipy", "scikit-learn-intelex", "glum", "dask", "dask-ml")


# --------------------------------------------------------------------------------------------------------------- timing


def seconds_of(task: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def interleaved(
    tasks: Mapping[str, Callable[[], object]], rounds: int, seconds: float, settle: float = 0.0
) -> dict[str, list[float]]:
    """Seconds of every task in every round: at least ``rounds`` rounds, more until ``seconds`` have passed.

    The tasks take turns, so that a slow moment of the machine falls on all of them and cancels in a round's ratios.
    A turn begins with ``settle`` seconds of untimed calls; see `SETTLE`.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    end = time.perf_counter() + seconds
    for done in range(MOST_ROUNDS):
        if done >= rounds and time.perf_counter() >= end:
            break
        for name, task in tasks.items():
            settled = time.perf_counter() + settle
            while time.perf_counter() < settled:
                task()
            times[name].append(seconds_of(task))
    return times


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over the rounds of one time over another."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


# --------------------------------------------------------------------------------------------------------------- memory


def extra_memory(task: Callable[[], object]) -> int:
    """Peak bytes of a call beyond what was in use before it; call it once before, for what the first call loads."""
    gc.collect()
    _trim()
    reset_peak()
    before = peak_bytes()
    task()
    return peak_bytes() - before


def reset_peak() -> None:
    """The peak becomes what is in use now, where the system can do that: on Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        progress("memory: the peak could not be reset")


def peak_bytes() -> int:
    """The most memory that this process has used since `reset_peak`."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _trim() -> None:
    # What malloc has kept of freed memory would hide as much of a later peak; only glibc can be asked to give it back.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


# --------------------------------------------------------------------------------------------------------- subprocesses


def thread_limits(threads: int) -> dict[str, str]:
    """Environment variables that hold BLAS, OpenMP and XLA to a number of threads, read when the library loads."""
    limits = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC"), str(threads)
    )
    limits["JAX_PLATFORMS"] = "cpu"
    if threads == 1:
        # NPROC alone leaves XLA a second thread.
        limits["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    return limits


def in_subprocess(target: str, arguments: Mapping[str, Any], threads: int | None = None) -> Any:
    """``target``, written "module:function", called with keyword arguments in a fresh Python; the result is JSON."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.measure", target, json.dumps(dict(arguments)), str(result)]
        limits = {} if threads is None else thread_limits(threads)
        try:
            subprocess.run(command, cwd=ROOT, env=os.environ | limits, check=True)
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{target}({dict(arguments)}) ended with exit code {error.returncode}") from None
        return json.loads(result.read_text())


def _child(target: str, arguments: str, result: str) -> None:
    module, function = target.split(":")
    value = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    Path(result).write_text(json.dumps(value))


def progress(text: str) -> None:
    """A line for whoever waits, kept out of the output."""
    print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------------------------------- environment


def environment() -> dict[str, Any]:
    """The machine and the versions that a result belongs to."""
    import numpy as np

    import gdcore
    from gdcore.backends import kernel

    blas: Mapping[str, Any] = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    found: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": _physical_cores(),
        "threads": usable_cpus(),
        "memory_gigabytes": _memory_gigabytes(),
        "transparent_huge_pages": _huge_pages(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "gdcore": gdcore.__version__,
        "kernel": kernel.variant(),
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def usable_cpus() -> int:
    """The CPUs that this process may use, as `gdcore.fit` counts them."""
    from gdcore.threads import resolve

    return resolve(None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    if found:
        return found[1].strip()
    if sys.platform == "darwin":
        sysctl = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return sysctl.stdout.strip() or platform.processor()
    return platform.processor() or platform.machine()


def _physical_cores() -> int:
    # Two logical CPUs of one core have the same pair (physical id, core id).
    pairs = set()
    for cpu in _read("/proc/cpuinfo").split("\n\n"):
        fields = dict(re.findall(r"^(physical id|core id)\s*:\s*(\d+)$", cpu, re.MULTILINE))
        if len(fields) == 2:
            pairs.add((fields["physical id"], fields["core id"]))
    return len(pairs) or os.cpu_count() or 1


def _memory_gigabytes() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _huge_pages() -> str | None:
    chosen = re.search(r"\[(\w+)\]", _read("/sys/kernel/mm/transparent_hugepage/enabled"))
    return chosen[1] if chosen else None


# ----------------------------------------------------------------------------------------------------- files and tables


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """The option that every benchmark has."""
    parser.add_argument("--json", metavar="FILE", type=Path, help="write environment, rows and shortfalls to FILE")


def document(benchmark: str, configuration: Mapping[str, Any], rows: list[Row], shortfalls: list[str]) -> Document:
    """What a result file holds; each row has a "kind", which says what its other keys are."""
    return {
        "benchmark": benchmark,
        "format": 1,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "environment": environment(),
        "configuration": dict(configuration),
        "rows": rows,
        "shortfalls": shortfalls,
    }


def write_json(path: Path, content: Document) -> None:
    """Writes a document, indented so that a later run shows as a readable difference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Table:
    """A table of text, printed by `print_table` and rendered as Markdown by `benchmarks.tables`."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


Part = tuple[list[Row], Callable[[Document], list[Table]]]


def number(value: float | None) -> str:
    """About three significant digits, never an exponent; a dash for what was not measured."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def flagged(value: float | None, target: float | None, at_most: bool = False) -> str:
    """`number`, in bold where it is below its target, or above one that is ``at_most``."""
    short = value is not None and target is not None and (value > target if at_most else value < target)
    return f"**{number(value)}**" if short else number(value)


def rough(value: float | None) -> str:
    """One digit and an exponent, for errors; a dash for what was not measured."""
    if value is None:
        return "–"
    return "0" if value == 0 else f"{value:.0e}"


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it; a dash for what was not measured."""
    if seconds is None:
        return "–"
    for size, unit in ((365.25 * 86400, "years"), (86400, "days"), (3600, "h"), (1, "s")):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(1e3 * seconds)} ms"


def perform(
    args: argparse.Namespace,
    benchmark: str,
    configuration: Mapping[str, Any],
    parts: Iterable[Part],
    shortfalls: Callable[[Row], list[str]],
    where: Callable[[Row], str],
    quick: str = "",
) -> None:
    """Measures all parts, prints the tables of each as soon as it is known, the shortfalls last; writes ``--json``.

    ``parts`` measures as it is gone through: rows, and what makes tables of a document with them. ``where`` names a row;
    ``quick`` says what ``--quick`` is not meant for.
    """
    began = time.perf_counter()
    content = document(benchmark, configuration, [], [])
    for table in environment_table(content):
        print_table(table)
    for rows, tables in parts:
        for row in rows:
            row["shortfalls"] = shortfalls(row)
        content["rows"] += rows
        for table in tables({**content, "rows": rows}):
            print_table(table)
    content["shortfalls"] = [f"{where(row)}: {text}" for row in content["rows"] for text in row["shortfalls"]]
    content["configuration"]["seconds"] = round(time.perf_counter() - began)
    print(f"\nShortfalls: {len(content['shortfalls']) or 'none'}")
    for line in content["shortfalls"]:
        print(f"  {line}")
    if args.quick and quick:
        print(f"No target is meant for --quick: {quick}.")
    if args.json:
        write_json(args.json, content)


def shortfall_tables(content: Document) -> list[Table]:
    """Every target missed, and every rival that is faster where the benchmark says so."""
    lines = [[line] for line in content["shortfalls"]] or [["none"]]
    return [Table("Shortfalls", ["shortfall"], lines)]


def print_table(table: Table) -> None:
    """Prints a table in columns, numbers to the right, the first and the last column to the left."""
    lines = [list(table.head), *(list(row) for row in table.rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    print(f"\n{table.title}")
    for line in lines:
        middle = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        print("  ".join([line[0].ljust(widths[0]), *middle, line[-1]]).rstrip())
    if table.note:
        print(table.note)
    sys.stdout.flush()


def environment_table(content: Document) -> list[Table]:
    """The environment of a document, one line a fact."""
    facts = [[name.replace("_", " "), str(value)] for name, value in content["environment"].items() if value is not None]
    return [Table("Environment", ["", "value"], facts)]


if __name__ == "__main__":
    _child(*sys.argv[1:])
