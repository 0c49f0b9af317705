"""``gdcore train``: a table, a model, and what it came to."""

from __future__ import annotations

import importlib.util
import os
import warnings
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gdcore import losses, optimizers
from gdcore.checks import optional
from gdcore.cli import bounds, fits, folds, known, outputs, penalties, pictures, results, terminal, words
from gdcore.cli.bars import Bars
from gdcore.cli.results import Result
from gdcore.messages import Message
from gdcore.report import page
from gdcore.rows.arrow import TableError
from gdcore.rows.files.folders import files_of
from gdcore.rows.files.opening import open_source
from gdcore.rows.files.sources import Source
from gdcore.rows.filetable import FileTable, TableWarning
from gdcore.rows.glance import Glance
from gdcore.rows.open_table import open_table
from gdcore.rows.roles import unknown
from gdcore.store import files

if TYPE_CHECKING:
    from argparse import Namespace

    from gdcore.covariance.result import Inference


def run(options: Namespace) -> int:
    """Trains, tests, saves, draws, prints."""
    words.hidden(options.model)
    loss = optional(losses.get, options.loss)
    optional(optimizers.get, options.optimizer)  # what is none is told before the table is read
    _check_tests(options)
    _check_summary(options)
    penalties.ratio(options)
    out, drawn = options.out or _stem(options.data[0]) + files.ENDING, bool(options.plot or options.report)
    replaced = _check_outputs(options, out, drawn)
    start = perf_counter()
    if drawn:
        pictures.prepare()
    with Bars(options) as bars:
        bars.reading("looking at the columns")
        table = open_table(
            options.data, options.target, loss=loss, features=options.features, exclude=options.exclude,
            weights=options.weights, categorical=options.categorical, dates=options.dates,
            missing=options.missing or "error",
            na=options.na, na_keep=options.na_keep, unseen=options.unseen or "base",
            test_size=options.test_size, seed=options.seed, split=options.split, stratify=options.stratify,
            delimiter=options.delimiter, decimal=options.decimal, comment=options.comment,
            index=options.index, cache=options.cache, progress=bars.rows,
        )  # fmt: skip
        _check_target(table, options)
        bounds.check(table, options)
        if options.test is not None:
            bars.reading("looking at the rows that test")
            _check_file(table, options)
        drawn_rows = pictures.DRAWN if drawn else 0
        for part in (table, table.held_out):
            if part is not None:
                part.seen.size = drawn_rows
        bars.reading("reading", table.source.rows)
        wish: dict[str, Any] = {
            "loss": table.loss, "lr": options.lr, "l1": options.l1, "l2": options.l2, "tol": options.tol, "seed": options.seed,
            "precondition": None if options.precondition == "none" else options.precondition, "n_threads": options.n_threads,
            "progress": bars.epochs if bars.shown else False, "checkpoint": options.checkpoint, "resume": options.resume,
        }  # fmt: skip
        with words.overheard() as warned:
            found = fits.fitted(table, options, wish, curves=drawn)
        result = Result(found, test=found.test, tested="" if table.split is None else table.split.what, warned=warned)
        if options.test is not None:
            bars.reading("testing")
            result = _on_file(result, table, options, drawn_rows)
        if options.cv is not None:
            result = result._replace(folds=folds.scored(table, options, wish, bars))
        refused: ValueError | None = None
        if options.summary:
            bars.reading("reading for the weights' errors")
            try:
                result = result._replace(errors=_errors(table, found, options))
            except ValueError as error:
                refused = error
    facts = results.facts(table, options, result, perf_counter() - start)
    model = found.run.model
    model.columns, model.card = table.names, table.card() | facts
    files.save(found.run, out)
    if drawn:
        pictures.draw(table, options, result, facts)
    if options.json:
        terminal.say_json(facts | {"model": out, "replaced": replaced})
    elif not options.quiet:
        results.show(table, options, result, facts, out, replaced)
    if refused is not None:
        raise ValueError(f"--summary: {refused}. The model is in {out}")
    return 0


def _errors(table: FileTable, found: fits.Fitted, options: Namespace) -> Inference:
    """Of the weights, by two more passes over the rows that trained."""
    from gdcore.covariance.inference import inference

    found.run.model.columns = table.names
    return inference(found.run, found.rows, cov_type=options.cov_type or "nonrobust", n_threads=options.n_threads)


def _test_source(table: FileTable, options: Namespace) -> Source:
    return open_source(options.test, options.delimiter, options.decimal, table.encoding.marks, options.comment)


def _check_file(table: FileTable, options: Namespace) -> None:
    """What is wrong with the file that tests is found before the training."""
    source = _test_source(table, options)
    other = known.known(table.encoding, source, options.unseen or "base", options.exclude)
    if not known.beside(table.encoding, source):
        what = "; it is the target, without which nothing can be tested"
        raise TableError(Message(unknown(options.target, source), what))
    for _ in other.matrices():
        pass


def _on_file(result: Result, table: FileTable, options: Namespace, drawn_rows: int) -> Result:
    """Tests on another file, of which so many rows may be drawn."""
    source = _test_source(table, options)
    glance = Glance()
    glance.size = drawn_rows
    unseen = options.unseen or "base"
    scorer, other = known.examined(result.fitted.run.model, table.encoding, source, unseen, options.exclude, glance)
    test = scorer.sums.with_baseline(result.fitted.constant)
    rows, without = test.rows + scorer.unknown + scorer.empty, scorer.empty
    for remark in known.remarks(table.encoding, other, rows, without, "are not tested"):
        warnings.warn(f"{source.label}: {remark}", TableWarning, stacklevel=2)
    if scorer.unknown:
        what = f"{scorer.unknown:,} of {rows:,} rows have no {options.target} that the model knows, and are not tested"
        warnings.warn(f"{source.label}: {what}", TableWarning, stacklevel=2)
    return result._replace(test=test if test.rows else None, tested=f"those of {source.label}", sample=glance.sample)


# What would fail after the training, before it ------------------------------------------------------------------------------


def _stem(path: str) -> str:
    name = os.path.basename(os.path.abspath(path))
    return os.path.splitext(name.removesuffix(".gz"))[0] or "model"


def _check_tests(options: Namespace) -> None:
    """What rows test is said once; the share that is held out where nothing else is said is a fifth."""
    asked = {
        "--test-size": options.test_size is not None, "--test": options.test is not None, "--split": options.split is not None,
        "--cv": options.cv is not None,
    }  # fmt: skip
    for one, other, why in (
        ("--test-size", "--test", "the rows of another file test"), ("--split", "--test", "the rows of another file test"),
        ("--test-size", "--cv", "every row tests once"), ("--split", "--cv", "every row tests once"),
    ):  # fmt: skip
        if asked[one] and asked[other]:
            raise ValueError(f"{one} and {other} exclude each other: with {other} {why}; leave one of them out")
    if options.repeats != 1 and not asked["--cv"]:
        raise ValueError("--repeats repeats a cross-validation: give --cv K, the number of its folds, too")
    if options.stratify and asked["--test"] and not asked["--cv"]:
        raise ValueError("--stratify is for rows that are drawn, and with --test the rows of another file test; leave it out")
    if options.cv is not None and options.cv < 2:
        raise ValueError("--cv 1: a fold is held out while the others train, so that at least 2 are wanted")
    if options.test_size is None:
        options.test_size = 0.0 if asked["--test"] or asked["--cv"] else 0.2
    own = options.optimizer in (None, "newton") and options.batch_size is None and options.lr == "auto"
    if options.patience is not None and options.model == "linear" and own:
        raise ValueError(
            f"--patience {options.patience} is for networks, mini-batches, or a named --optimizer or --lr, which take small "
            "steps; this fit goes to the proved best, by formula or by Newton's method, and there is nothing to wait for"
        )


def _check_summary(options: Namespace) -> None:
    """Errors are known of unpenalised linear models that all rows have trained to the best."""
    if options.cov_type is not None and not options.summary:
        raise ValueError(f"--cov-type {options.cov_type} is of the weights' errors: give --summary, which tells them, too")
    biased = {
        "--l1": options.l1 != 0, "--l2": options.l2 != 0, "--model": options.model != "linear",
        "--batch-size": options.batch_size is not None, "--patience": options.patience is not None,
        "--positive": bool(options.positive), "--negative": bool(options.negative), "--offset": options.offset is not None,
    }  # fmt: skip
    for flag, given in biased.items():
        if options.summary and given:
            raise ValueError(
                f"--summary tells the errors of a linear model's best weights, and with {flag} they are others; leave one out"
            )


def _check_target(table: FileTable, options: Namespace) -> None:
    if options.class_weight is not None and not table.labels:
        raise TableError(
            f"{table.source.label}: --class-weight is for classes, and the target {options.target} is numbers; leave it out"
        )


def _check_outputs(options: Namespace, out: str, drawn: bool) -> list[str]:
    """The files that will be replaced."""
    paths = {"--out": out, "--plot": options.plot, "--report": options.report, "--checkpoint": options.checkpoint}
    endings = {"--out": (files.ENDING,), "--plot": page.ENDINGS, "--report": (".html",)}
    read = dict.fromkeys(files_of(options.data), "a file of the table")
    read |= dict.fromkeys(files_of(options.test or []), "a file that tests")
    replaced = outputs.check(paths, read, endings)
    if options.cache is not None and not os.path.isdir(options.cache):
        raise ValueError(f"--cache {options.cache}: there is no such folder")
    if options.resume and not options.checkpoint:
        raise ValueError("--resume needs --checkpoint FILE, from which it goes on")
    for module in ("safetensors", "matplotlib") if drawn else ("safetensors",):
        if importlib.util.find_spec(module) is None:
            raise ImportError(f"this needs {module}, which is not installed: pip install 'gdcore[cli]'")
    return [path for path in replaced if path != options.checkpoint]
