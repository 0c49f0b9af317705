"""A table is trained on as the options say, and scored: all rows as they stream by, in mini-batches, or by a network."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import scores
from gdcore.cli import bounds, penalties, words
from gdcore.models.mlp import MLP
from gdcore.models.scaling import Scaling
from gdcore.rows.arrow import TableError
from gdcore.rows.reweighted import Reweighted, balanced, reweighted
from gdcore.rows.split import held_out
from gdcore.rows.tables import Piece
from gdcore.train import fit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from gdcore._types import Array
    from gdcore.facts.spectrum import Spectrum
    from gdcore.paths.result import Path
    from gdcore.rows.filetable import FileTable
    from gdcore.rows.tables import Table
    from gdcore.run import Run
    from gdcore.scores import Scores, Sums

VALIDATION = 0.1
"""The share of the rows that train by which ``--patience`` decides when to stop."""
_MATRIX = 2048  # columns up to which the spectrum costs little


class Fitted(NamedTuple):
    """A training, and what it came to.

    Attributes
    ----------
    run : Run
    train : Scores
    test : Scores or None
        Of the rows that were held out, where there are any.
    constant : Sums
        What stands for the rows that trained where other rows are compared with the best constant.
    spectrum : Spectrum or None
    validated : int
        How many of the rows that train decided when to stop.
    rows : Table or None
        What trained, where rows are not at hand: as it weighs them.
    path : Path or None
        Where a penalty was chosen.
    """

    run: Run
    train: Scores
    test: Scores | None
    constant: Sums
    spectrum: Spectrum | None = None
    validated: int = 0
    rows: Table | None = None
    path: Path | None = None


def fitted(table: FileTable, options: Namespace, wish: dict[str, Any], curves: bool = False) -> Fitted:
    """Trains.

    Parameters
    ----------
    table : FileTable
    options : Namespace
        Of ``gdcore train``.
    wish : dict
        Options of `gdcore.fit`.
    curves : bool
        Whether a test loss after every epoch is wanted, where it costs no pass over a file.
    """
    wanted = penalties.ratio(options)
    if wanted is not None:
        return _chosen(table, options, wanted)
    wish = wish | bounds.of(table, options)
    if words.hidden(options.model) is not None:
        return _network(table, options, wish)
    if options.batch_size is not None or options.patience is not None:
        return _at_hand(table, options, wish)
    return _streamed(table, options, wish, curves)


def _streamed(table: FileTable, options: Namespace, wish: dict[str, Any], curves: bool) -> Fitted:
    """All rows at once, as they stream by."""
    squared, held = table.loss.squared, table.held_out
    validation = None
    if held is not None and not squared and table.kept and curves:
        for _ in table.pieces(1):  # so that it is known what rows there are
            pass
        validation = held if held.seen.moments is not None else None  # a test loss every epoch is a pass over the table
    with _enough(table):
        rows = _weighed(table, options)
        run = fit(rows, epochs=options.epochs or 1000, optimizer=options.optimizer, validation=validation, **wish)
    _go_on(run)
    spectrum = run.spectrum if len(table.names) <= _MATRIX else None
    if squared and not table.kept and (held is None or not held.seen.target_only):
        return Fitted(run, *_of_moments(table, options, run), spectrum, rows=rows)
    return Fitted(run, *_of_rows(table, run), spectrum, rows=rows)


def _chosen(table: FileTable, options: Namespace, wanted: float) -> Fitted:
    """The penalty that cross-validation chooses."""
    with _enough(table):
        rows = _weighed(table, options)
        run, path = penalties.chosen(rows, table.loss, wanted, options)
    return Fitted(run, *_of_rows(table, run), rows=rows, path=path)


def _weighed(table: FileTable, options: Namespace) -> Table:
    """The rows, weighed by their class where that is asked for."""
    if options.class_weight is None:
        return table
    return Reweighted(table, balanced(table.pieces(1), len(table.labels)))


def _at_hand(table: FileTable, options: Namespace, wish: dict[str, Any]) -> Fitted:
    """Mini-batches, and rows that decide when to stop, want all rows at hand."""
    rows, held = _read(table)
    train, validation = _validation(rows, held, options, table)
    run = fit(
        train.X, train.Y[:, 0], epochs=options.epochs or 1000, optimizer=options.optimizer, batch_size=options.batch_size,
        sample_weight=train.sample_weight, patience=options.patience,
        validation=None if validation is None else _arrays(validation),
        **wish,
    )  # fmt: skip
    _go_on(run)
    validated = 0 if options.patience is None or validation is None else len(validation.X)
    return Fitted(run, *_of_pieces(table, run, rows, held), run.spectrum, validated)


def _network(table: FileTable, options: Namespace, wish: dict[str, Any]) -> Fitted:
    """Networks want all rows at hand, and columns of one size."""
    outputs = len(table.labels) if table.loss.targets == "classes" else 1
    network = MLP([len(table.names), *(words.hidden(options.model) or []), outputs], seed=options.seed)
    rows, held = _read(table)
    train, validation = _validation(rows, held, options, table)
    scaling = Scaling(train.X, train.Y[:, 0], table.loss, train.sample_weight)

    def scaled(piece: Piece) -> Piece:
        return Piece(scaling.columns(piece.X), scaling.targets(piece.Y), piece.sample_weight)

    own = scaled(train)
    run = fit(
        own.X, own.Y[:, 0], network, optimizer=options.optimizer or "adam", epochs=options.epochs or 100,
        batch_size=options.batch_size or min(128, len(own.X)), sample_weight=own.sample_weight, patience=options.patience,
        validation=None if validation is None else _arrays(scaled(validation)), **wish | {"loss": scaling.loss},
    )  # fmt: skip
    _go_on(run)
    scaling.undo(run)
    validated = 0 if options.patience is None or validation is None else len(validation.X)
    return Fitted(run, *_of_pieces(table, run, rows, held), None, validated)


def _validation(rows: Piece, held: Piece | None, options: Namespace, table: FileTable) -> tuple[Piece, Piece | None]:
    """The rows that train, with the weights of their classes, and those by which it is watched how far: a share of them, where
    they decide when to stop, for what has chosen a model does not test it; else the rows that test."""
    weighed = rows if options.class_weight is None else reweighted(rows, balanced([rows], len(table.labels)))
    if options.patience is None:
        return weighed, None if held is None else Piece(held.X, held.Y, None)
    watched = held_out(0, len(rows.X), VALIDATION, options.seed + 1)
    train, validation = _part(weighed, ~watched), _part(weighed, watched)
    s = validation.sample_weight
    if len(train.X) < 2 or not len(validation.X) or (s is not None and not s.any()):
        what = f"of {len(rows.X):,} rows that train none can be spared to decide when to stop"
        raise TableError(f"{table.source.label}: {what}; leave --patience out")
    return train, validation


def _part(piece: Piece, rows: Array) -> Piece:
    X, Y, s = piece
    return Piece(X[rows], Y[rows], None if s is None else s[rows])


def _arrays(piece: Piece) -> tuple[Array, ...]:
    """As `gdcore.fit` takes a validation: with weights where there are some."""
    X, Y, s = piece
    return (X, Y[:, 0]) if s is None else (X, Y[:, 0], s)


# The scores -----------------------------------------------------------------------------------------------------------------


def _of_moments(table: FileTable, options: Namespace, run: Run) -> tuple[Scores, Scores | None, Sums]:
    """Scores for which no row is read, and decoded, once more."""
    penalty = options.l1 * np.abs(run.model.weights).sum() + options.l2 / 2 * np.sum(run.model.weights**2)
    own, held = table.seen.moments, table.held_out
    assert own is not None
    tested = None if held is None or held.seen.moments is None else scores.of_moments(held.seen.moments, run.model, own)
    constant, mean = scores.sums(table.loss, []), own.mean[None, :1]
    constant.add(mean, mean, None)
    return scores.of_loss(run.loss - float(penalty), own, own), tested, constant


def _of_rows(table: FileTable, run: Run) -> tuple[Scores, Scores | None, Sums]:
    """Of the rows that trained and of those that were held out, in one pass."""
    own, other = (scores.sums(table.loss, labels(table)) for _ in range(2))
    for pair in table.parts():
        for found, rows in zip((own, other), pair, strict=True):
            if rows is not None:
                found.add(scores.predicted(run.model, rows.X), rows.Y, rows.sample_weight)
    tested = other.with_baseline(own)
    return own.with_baseline(own), tested if tested.rows else None, own


def _of_pieces(table: FileTable, run: Run, rows: Piece, held: Piece | None) -> tuple[Scores, Scores | None, Sums]:
    own = scores.summed([rows], run.model, table.loss, labels(table))
    other = None if held is None else scores.summed([held], run.model, table.loss, labels(table))
    return own.with_baseline(own), None if other is None else other.with_baseline(own), own


def labels(table: FileTable) -> list[str]:
    """What the target's classes are called."""
    return [str(label) for label in table.labels]


# What goes wrong ------------------------------------------------------------------------------------------------------------


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
