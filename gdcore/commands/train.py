"""``gdcore train``: a table, a model, and what it came to."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import files, scores
from gdcore.commands import words
from gdcore.container import write
from gdcore.filetable import FileTable, open_table
from gdcore.mlp import MLP
from gdcore.models import Linear
from gdcore.scores import Scaling, Scores
from gdcore.sources import TableError
from gdcore.train import fit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from gdcore.run import Run
    from gdcore.spectrum import Spectrum

_SHOWN = 10  # of the largest weights
_COLUMNS = 40  # of the table, told of
_DRAWN = 2000  # rows in a picture
_MATRIX = 2048  # columns up to which the spectrum costs little
_SETTINGS = ("model", "loss", "lr", "epochs", "batch_size", "l1", "l2", "optimizer", "precondition", "tol", "missing",
             "test_size", "seed")  # fmt: skip


class _Result(NamedTuple):
    """A training, and what it came to."""

    run: Run
    train: Scores = Scores()
    test: Scores | None = None
    spectrum: Spectrum | None = None


def run(options: Namespace) -> int:
    """Trains, tests, saves, draws, prints."""
    lr = options.lr if options.lr == "auto" else words.number(options.lr, "--lr")
    hidden = words.hidden(options.model)
    out = options.out or _stem(options.data[0]) + files.ENDING
    _check_outputs(options, out)
    table = open_table(
        options.data, options.target, loss=options.loss and words.loss(options.loss), features=options.features,
        exclude=options.exclude, weights=options.weights, missing=options.missing, test_size=options.test_size,
        seed=options.seed, delimiter=options.delimiter, decimal=options.decimal, cache=options.cache,
    )  # fmt: skip
    if options.plot or options.report:
        (table.held_out or table).seen.size = _DRAWN
    wish: dict[str, Any] = {
        "loss": table.loss, "lr": lr, "l1": options.l1, "l2": options.l2, "tol": options.tol, "seed": options.seed,
        "n_threads": options.threads,
    }  # fmt: skip
    if options.checkpoint:
        wish |= {"checkpoint": options.checkpoint, "resume": options.resume}
    start = perf_counter()
    with _reading(table, options):
        if hidden is not None:
            result = _network(table, options, wish, hidden)
        elif options.batch_size is not None:
            result = _batches(table, options, wish)
        else:
            result = _linear(table, options, wish)
    seconds = perf_counter() - start
    if result.run.status == "interrupted":
        kept = f"; its state is in {options.checkpoint}, and --resume goes on from there" if options.checkpoint else ""
        print(f"gdcore: interrupted after epoch {result.run.epochs}{kept}", file=sys.stderr)
        return 130
    facts = _facts(table, options, result, seconds)
    model = result.run.model
    model.columns, model.card = table.names, {"encoding": table.encoding.card(), **facts}
    files.save(result.run, out)
    if options.plot or options.report:
        _draw(table, options, result, facts)
    if options.json:
        print(json.dumps(facts | {"model": out}, indent=2, ensure_ascii=False))
    elif not options.quiet:
        _print(table, options, result, facts, out)
    return 0


# The training ---------------------------------------------------------------------------------------------------------------


def _linear(table: FileTable, options: Namespace, wish: dict[str, Any]) -> _Result:
    """All rows at once, as they stream by."""
    squared = table.loss.name == "mse"
    held = table.held_out
    # A test loss every epoch is a pass over the table: for the curves, where that costs little.
    watched = held if held is not None and not squared and table.kept and (options.plot or options.report) else None
    run = fit(
        table, epochs=1000 if options.epochs is None else options.epochs, optimizer=options.optimizer, validation=watched,
        precondition=None if options.precondition == "none" else options.precondition, **wish,
    )  # fmt: skip
    _check_rows(table)
    if run.status == "interrupted":
        return _Result(run)
    if squared:  # the rows' moments tell, and nobody reads them again
        penalty = options.l1 * np.abs(run.model.weights).sum() + options.l2 / 2 * np.sum(run.model.weights**2)
        assert table.seen.moments is not None
        own = scores.of_loss(run.loss - float(penalty), table.seen.moments)
        if held is None or held.seen.moments is None:
            other = None
        elif held.seen.target_only:
            other = scores.of_rows(held.pieces(1), run.model, table.loss)
        else:
            other = scores.of_moments(held.seen.moments, run.model)
    else:
        own = scores.of_rows(table.pieces(1), run.model, table.loss)
        other = None if held is None else scores.of_rows(held.pieces(1), run.model, table.loss)
    return _Result(run, own, other if other and other.rows else None, run.spectrum if len(table.names) <= _MATRIX else None)


def _batches(table: FileTable, options: Namespace, wish: dict[str, Any]) -> _Result:
    """Mini-batches want all rows at hand."""
    rows = table.read()
    _check_rows(table)
    held = None if table.held_out is None or table.held_out.seen.moments is None else table.held_out.read()
    run = fit(
        rows.X, rows.Y[:, 0], epochs=1000 if options.epochs is None else options.epochs, optimizer=options.optimizer,
        batch_size=min(options.batch_size, len(rows.X)), sample_weight=rows.sample_weight,
        validation=None if held is None else (held.X, held.Y[:, 0]), **wish,
    )  # fmt: skip
    if run.status == "interrupted":
        return _Result(run)
    other = None if held is None else scores.of_rows([held], run.model, table.loss)
    return _Result(run, scores.of_rows([rows], run.model, table.loss), other, run.spectrum)


def _network(table: FileTable, options: Namespace, wish: dict[str, Any], hidden: list[int]) -> _Result:
    """Networks want all rows at hand, and columns of one size."""
    outputs = len(table.labels) if table.loss.targets == "classes" else 1
    network = MLP([len(table.names), *hidden, outputs], seed=options.seed)
    rows = table.read()
    _check_rows(table)
    held = None if table.held_out is None or table.held_out.seen.moments is None else table.held_out.read()
    scaling = Scaling(rows.X, rows.Y[:, 0], table.loss)
    run = fit(
        scaling.columns(rows.X), scaling.targets(rows.Y[:, 0]), network, optimizer=options.optimizer or "adam",
        epochs=100 if options.epochs is None else options.epochs, batch_size=min(options.batch_size or 128, len(rows.X)),
        sample_weight=rows.sample_weight,
        validation=None if held is None else (scaling.columns(held.X), scaling.targets(held.Y[:, 0])), **wish,
    )  # fmt: skip
    if run.status == "interrupted":
        return _Result(run)
    scaling.undo(run)
    other = None if held is None else scores.of_rows([held], run.model, table.loss)
    return _Result(run, scores.of_rows([rows], run.model, table.loss), other)


def _check_rows(table: FileTable) -> None:
    if table.rows is not None and table.rows < 2:
        rows = "one row" if table.rows else "no row"
        raise TableError(f"{table.source.label}: {rows} to train on, and a model needs two; --test-size 0 holds none out")


@contextlib.contextmanager
def _reading(table: FileTable, options: Namespace) -> Iterator[None]:
    """A bar of the rows that have been read, on a terminal."""
    if options.quiet or options.json or not sys.stderr.isatty():
        yield
        return
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError(
            "the progress bar needs tqdm, which is not installed: pip install 'gdcore[cli]', or --quiet"
        ) from None
    with tqdm(total=table.source.rows, unit=" rows", unit_scale=True, leave=False, desc="reading") as bar:
        table.progress = bar.update
        yield
        table.progress = None


# What it came to ------------------------------------------------------------------------------------------------------------


def _facts(table: FileTable, options: Namespace, result: _Result, seconds: float) -> dict[str, Any]:
    """All that is known of the training, as what JSON can hold."""
    run, s = result.run, result.spectrum
    facts: dict[str, Any] = {
        "data": [os.path.basename(os.path.normpath(path)) for path in options.data], "target": options.target,
        "rows": {"train": table.rows, "test": result.test.rows if result.test else 0, "left out": table.dropped},
        "loss": table.loss.name, "labels": [str(label) for label in table.labels], "status": run.status,
        "epochs": run.epochs, "method": str(run.method), "seconds": round(seconds, 3),
        "train": result.train.named(table.loss), "test": result.test.named(table.loss) if result.test else None,
        "notes": table.notes, "settings": {name: getattr(options, name) for name in _SETTINGS},
    }  # fmt: skip
    if s is not None:
        facts["spectrum"] = {
            "largest": s.largest, "smallest": s.smallest, "condition": s.condition, "lr_limit": s.lr_limit,
            "lr_best": s.lr_best, "epochs_for_3_digits": s.epochs_to(1e-3),
            "worst_columns": [table.names[j] for j in s.worst_columns],
        }  # fmt: skip
    if isinstance(run.model, Linear):
        facts["weights"] = dict(zip(table.names, run.model.weights.tolist(), strict=True))
        facts["bias"] = np.asarray(run.model.bias).tolist()
    return facts


def _draw(table: FileTable, options: Namespace, result: _Result, facts: dict[str, Any]) -> None:
    from gdcore import reports

    rows = (table.held_out or table).seen.sample
    if rows is None:
        raise TableError(f"{table.source.label}: no row was held out, so that nothing can be drawn: try another --test-size")
    model = result.run.model
    shown = model.predict(rows.X) if table.loss.targets == "real" else model.predict_proba(rows.X)
    shown = shown.reshape(len(shown), -1)
    test = facts["test"] or {}
    linear = isinstance(model, Linear)
    report = reports.Report(
        title=f"{options.target} of {table.source.label}", loss=table.loss.name, history=result.run.history,
        names=table.names, weights=model.weights if linear else None, bias=model.bias if linear else None,
        targets=rows.Y[:, 0], predictions=shown[:, 0] if shown.shape[1] == 1 else shown,
        labels=[str(label) for label in table.labels] or None, held_out=table.held_out is not None,
        spectrum=result.spectrum, lr=options.lr if options.lr == "auto" else float(options.lr),
        scores={name: (value, test.get(name)) for name, value in facts["train"].items() if value is not None},
        settings=[(name.replace("_", " "), "default" if v is None else str(v)) for name, v in facts["settings"].items()],
        columns=_columns(table), notes=table.notes,
    )  # fmt: skip
    if options.plot:
        reports.save_plot(report, options.plot)
    if options.report:
        write(options.report, reports.page(report).encode())


def _columns(table: FileTable) -> list[tuple[str, str]]:
    """What became of each column."""
    told = []
    for column in table.encoding.columns:
        if column.kind == "category":
            values = _some(column.values)
            what = f"text: {len(column.values)} columns of 0 and 1 ({values}); {column.base} is all 0"
        else:
            what = {"boolean": "boolean: 0 and 1", "integer": "integer"}.get(column.kind, "number")
        told.append((column.name, what + ("" if column.mean is None else f"; {column.mean:.6g} where it is missing")))
    own = {} if table.encoding.weights is None else {table.encoding.weights: "the rows' weights"}
    if table.encoding.target is not None:
        own[table.encoding.target.column.name] = "the target" + (f": {_some(table.labels)}" if table.labels else "")
    return told + [(name, own.get(name, "left out")) for name in table.encoding.others]


def _some(values: tuple[Any, ...]) -> str:
    return ", ".join(map(str, values[:4])) + (", …" if len(values) > 4 else "")


def _print(table: FileTable, options: Namespace, result: _Result, facts: dict[str, Any], out: str) -> None:
    rows, s = facts["rows"], result.spectrum
    dropped = f"; {rows['left out']:,} rows left out because a value is missing" if rows["left out"] else ""
    print(f"{table.source.label}: {sum(rows.values()):,} rows, {len(table.source.kinds):,} columns{dropped}")
    told = _columns(table)
    width = min(32, max(len(name) for name, _ in told))
    for name, what in told[:_COLUMNS]:
        print(f"  {name:{width}}  {what}")
    if len(told) > _COLUMNS:
        print(f"  and {len(told) - _COLUMNS:,} more")
    if s is not None:
        for line in spectrum_lines(s, table.names):
            print(line)
    run = result.run
    how = {"converged": "converged", "epochs": "stopped", "early_stopped": "stopped early"}[run.status]
    print(f"\n{table.loss.name}: {how} after {run.epochs:,} epoch{'s' * (run.epochs != 1)}, in {facts['seconds']:.2f} s")
    print(f"  ({run.method})\n\n  {'':12}  {'train':>12}  {'test':>12}")
    print(f"  {'rows':12}  {rows['train']:12,}  {rows['test']:12,}")
    for name, value in facts["train"].items():
        print(f"  {name:12}" + "".join(_cell(v) for v in (value, None if facts["test"] is None else facts["test"][name])))
    if isinstance(run.model, Linear):
        _print_weights(run.model, table.names, s)
    print(f"\nmodel: {out}")
    for name in ("plot", "report"):
        if getattr(options, name):
            print(f"{name}: {getattr(options, name)}")


def spectrum_lines(s: Spectrum, names: list[str]) -> list[str]:
    """What it says, in two lines."""
    condition = "" if s.condition is None else f", condition {s.condition:.3g}"
    worst = f"; column {names[s.worst_columns[0]]} keeps it low" if s.worst_columns else ""
    lines = [f"\nspectrum: λ up to {s.largest:.4g}{condition}: learning rates above {s.lr_limit:.4g} diverge{worst}"]
    if s.lr_best is not None:
        lines.append(f"  at the best one, {s.lr_best:.4g}, plain descent needs {s.epochs_to(1e-3):,} epochs for 3 digits")
    return lines


def _cell(value: float | None) -> str:
    return f"  {'–' if value is None else format(value, '.6g'):>12}"


def _print_weights(model: Linear, names: list[str], s: Spectrum | None) -> None:
    weights, bias = model.weights.reshape(len(names), -1), np.ravel(model.bias)
    spread = np.ones(len(names))
    if s is not None and s.moments is not None:
        spread = np.sqrt(np.diag(s.moments.scatter) / s.moments.total)
    order = np.argsort(-np.abs(weights).max(axis=1) * spread, kind="stable")[:_SHOWN]
    print("\nlargest weights" + ("" if s is None else ", by weight × the column's spread"))
    width = max(len(names[j]) for j in order)
    for name, row in [*((names[j], weights[j]) for j in order), ("bias", bias)]:
        print(f"  {name:{width}}  " + "  ".join(f"{w:11.5g}" for w in row[:6]) + ("  …" if len(row) > 6 else ""))


# What would fail after the training, before it ------------------------------------------------------------------------------


def _stem(path: str) -> str:
    name = os.path.basename(os.path.normpath(path))
    return os.path.splitext(name.removesuffix(".gz"))[0] or "model"


def _check_outputs(options: Namespace, out: str) -> None:
    for name, path, endings in (
        ("--out", out, (files.ENDING,)), ("--plot", options.plot, (".png", ".svg", ".pdf")),
        ("--report", options.report, (".html",)), ("--checkpoint", options.checkpoint, None),
    ):  # fmt: skip
        if path is None:
            continue
        if endings is not None and os.path.splitext(path)[1].lower() not in endings:
            raise ValueError(f"{name} {path}: the file's name must end in {' or '.join(endings)}")
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise ValueError(f"{name} {path}: there is no folder {folder}")
    if options.cache is not None and not os.path.isdir(options.cache):
        raise ValueError(f"--cache {options.cache}: there is no such folder")
    if options.resume and not options.checkpoint:
        raise ValueError("--resume needs --checkpoint FILE, from which it goes on")
    for module in ("safetensors", "matplotlib") if options.plot or options.report else ("safetensors",):
        if importlib.util.find_spec(module) is None:
            raise ImportError(f"this needs {module}, which is not installed: pip install 'gdcore[cli]'")
