"""``gdcore train``: a table, a model, and what it came to."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import scores
from gdcore.cli import outputs, results, terminal, words
from gdcore.cli.bars import Bars
from gdcore.cli.results import Result
from gdcore.models.mlp import MLP
from gdcore.models.scaling import Scaling
from gdcore.report import page
from gdcore.rows.filetable import FileTable, open_table
from gdcore.rows.sources import TableError, files_of
from gdcore.store import files
from gdcore.train import fit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from gdcore.rows.tables import Piece
    from gdcore.run import Run
    from gdcore.scores import Scores

_MATRIX = 2048  # columns up to which the spectrum costs little


def run(options: Namespace) -> int:
    """Trains, tests, saves, draws, prints."""
    hidden = words.hidden(options.model)
    loss = options.loss and words.loss(options.loss)
    words.optimizer(options.optimizer)
    out = options.out or _stem(options.data[0]) + files.ENDING
    replaced = _check_outputs(options, out)
    start = perf_counter()
    with Bars(options) as bars:
        bars.reading("looking at the columns")
        table = open_table(
            options.data, options.target, loss=loss, features=options.features, exclude=options.exclude,
            weights=options.weights, categorical=options.categorical, missing=options.missing,
            na=options.na, na_keep=options.na_keep, unseen=options.unseen or "base",
            test_size=options.test_size, seed=options.seed,
            delimiter=options.delimiter, decimal=options.decimal, index=options.index, cache=options.cache, progress=bars.rows,
        )  # fmt: skip
        for part in (table, table.held_out):
            if part is not None:
                part.seen.size = results.DRAWN if options.plot or options.report else 0
        bars.reading("reading", table.source.rows)
        wish: dict[str, Any] = {
            "loss": table.loss, "lr": options.lr, "l1": options.l1, "l2": options.l2, "tol": options.tol, "seed": options.seed,
            "precondition": None if options.precondition == "none" else options.precondition, "n_threads": options.threads,
            "progress": bars.epochs if bars.shown else False, "checkpoint": options.checkpoint, "resume": options.resume,
        }  # fmt: skip
        if hidden is not None:
            result = _network(table, options, wish, hidden)
        elif options.batch_size is not None:
            result = _batches(table, options, wish)
        else:
            result = _linear(table, options, wish, bars)
    facts = results.facts(table, options, result, perf_counter() - start)
    model = result.run.model
    model.columns, model.card = table.names, table.card() | facts
    files.save(result.run, out)
    if options.plot or options.report:
        results.draw(table, options, result, facts)
    if options.json:
        terminal.say_json(facts | {"model": out, "replaced": replaced})
    elif not options.quiet:
        results.show(table, options, result, facts, out, replaced)
    return 0


# The training ---------------------------------------------------------------------------------------------------------------


def _linear(table: FileTable, options: Namespace, wish: dict[str, Any], bars: Bars) -> Result:
    """All rows at once, as they stream by."""
    squared = table.loss.name == "mse"
    held = table.held_out
    curves = None
    if held is not None and not squared and table.kept and (options.plot or options.report):
        for _ in table.pieces(1):  # so that it is known what rows there are
            pass
        curves = held if held.seen.moments is not None else None  # a test loss every epoch is a pass over the table
    with _enough(table):
        run = fit(table, epochs=options.epochs or 1000, optimizer=options.optimizer, validation=curves, **wish)
    _go_on(run)
    bars.reading("testing", table.source.rows)
    of_moments = squared and not table.kept and (held is None or not held.seen.target_only)
    own, other = _of_moments(table, options, run) if of_moments else _of_rows(table, run)
    return Result(run, own, other, run.spectrum if len(table.names) <= _MATRIX else None)


def _of_moments(table: FileTable, options: Namespace, run: Run) -> tuple[Scores, Scores | None]:
    """Scores for which no row is read, and decoded, once more."""
    penalty = options.l1 * np.abs(run.model.weights).sum() + options.l2 / 2 * np.sum(run.model.weights**2)
    own, held = table.seen.moments, table.held_out
    assert own is not None
    tested = None if held is None or held.seen.moments is None else scores.of_moments(held.seen.moments, run.model, own)
    return scores.of_loss(run.loss - float(penalty), own, own), tested


def _of_rows(table: FileTable, run: Run) -> tuple[Scores, Scores | None]:
    """Scores of the rows that trained and of those that were held out, in one pass."""
    own, other = (scores.sums(table.loss, [str(label) for label in table.labels]) for _ in range(2))
    for pair in table.parts():
        for found, piece in zip((own, other), pair, strict=True):
            if piece is not None:
                found.add(scores.predicted(run.model, piece.X), piece.Y, piece.sample_weight)
    tested = other.with_baseline(own)
    return own.with_baseline(own), tested if tested.rows else None


def _batches(table: FileTable, options: Namespace, wish: dict[str, Any]) -> Result:
    """Mini-batches want all rows at hand."""
    rows, held = _read(table)
    run = fit(
        rows.X, rows.Y[:, 0], epochs=options.epochs or 1000, optimizer=options.optimizer,
        batch_size=options.batch_size, sample_weight=rows.sample_weight,
        validation=None if held is None else (held.X, held.Y[:, 0]), **wish,
    )  # fmt: skip
    _go_on(run)
    return Result(run, *_of_pieces(table, run, rows, held), run.spectrum)


def _network(table: FileTable, options: Namespace, wish: dict[str, Any], hidden: list[int]) -> Result:
    """Networks want all rows at hand, and columns of one size."""
    outputs = len(table.labels) if table.loss.targets == "classes" else 1
    network = MLP([len(table.names), *hidden, outputs], seed=options.seed)
    rows, held = _read(table)
    scaling = Scaling(rows.X, rows.Y[:, 0], table.loss, rows.sample_weight)
    run = fit(
        scaling.columns(rows.X), scaling.targets(rows.Y[:, 0]), network, optimizer=options.optimizer or "adam",
        epochs=options.epochs or 100,
        batch_size=options.batch_size or min(128, len(rows.X)),
        sample_weight=rows.sample_weight,
        validation=None if held is None else (scaling.columns(held.X), scaling.targets(held.Y[:, 0])),
        **wish | {"loss": scaling.loss},
    )  # fmt: skip
    _go_on(run)
    scaling.undo(run)
    return Result(run, *_of_pieces(table, run, rows, held))


def _of_pieces(table: FileTable, run: Run, rows: Piece, held: Piece | None) -> tuple[Scores, Scores | None]:
    labels = [str(label) for label in table.labels]
    own = scores.summed([rows], run.model, table.loss, labels)
    other = None if held is None else scores.summed([held], run.model, table.loss, labels)
    return own.with_baseline(own), None if other is None else other.with_baseline(own)


def _read(table: FileTable) -> tuple[Piece, Piece | None]:
    """All rows: those that train, and those that are held out, where there are any."""
    with _enough(table):
        rows = table.read()
    held = table.held_out
    return rows, None if held is None or held.seen.moments is None else held.read()


@contextlib.contextmanager
def _enough(table: FileTable) -> Iterator[None]:
    """That too few rows are left to train on is said of the table, not of what is done with them."""
    failure: ValueError | None = None
    try:
        yield
    except ValueError as error:
        failure = error
    if table.rows is not None and table.rows < 2:
        rows = "one row is" if table.rows else "no row is"
        raise TableError(f"{table.source.label}: {rows} left to train on, and a model needs two; --test-size 0 holds none out")
    if failure is not None:
        raise failure


def _go_on(run: Run) -> None:
    if run.status == "interrupted":
        raise KeyboardInterrupt(f"after epoch {run.epochs:,}")


# What would fail after the training, before it ------------------------------------------------------------------------------


def _stem(path: str) -> str:
    name = os.path.basename(os.path.abspath(path))
    return os.path.splitext(name.removesuffix(".gz"))[0] or "model"


def _check_outputs(options: Namespace, out: str) -> list[str]:
    """The files that will be replaced."""
    paths = {"--out": out, "--plot": options.plot, "--report": options.report, "--checkpoint": options.checkpoint}
    endings = {"--out": (files.ENDING,), "--plot": page.ENDINGS, "--report": (".html",)}
    replaced = outputs.check(paths, dict.fromkeys(files_of(options.data), "a file of the table"), endings)
    if options.cache is not None and not os.path.isdir(options.cache):
        raise ValueError(f"--cache {options.cache}: there is no such folder")
    if options.resume and not options.checkpoint:
        raise ValueError("--resume needs --checkpoint FILE, from which it goes on")
    for module in ("safetensors", "matplotlib") if options.plot or options.report else ("safetensors",):
        if importlib.util.find_spec(module) is None:
            raise ImportError(f"this needs {module}, which is not installed: pip install 'gdcore[cli]'")
    return [path for path in replaced if path != options.checkpoint]
