"""A table as a model knows it: which columns it wants and how they become numbers; and scores where the target is there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gdcore import losses, scores
from gdcore.messages import Message
from gdcore.rows.arrow import TableError, arrow, as_numpy
from gdcore.rows.columns import Encoding
from gdcore.rows.filetable import FileTable
from gdcore.rows.roles import unknown
from gdcore.rows.tables import Piece
from gdcore.rows.written import Writing, is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gdcore._types import Array, ArrowArray, Floats, Label, RecordBatch
    from gdcore.models.linear import Linear
    from gdcore.models.mlp import MLP
    from gdcore.rows.columns import Target
    from gdcore.rows.files.sources import Source
    from gdcore.rows.glance import Glance

_TRUTH = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


def known(encoding: Encoding, source: Source, unseen: str, exclude: Sequence[str] = (), keep: Sequence[str] = ()) -> FileTable:
    """The table, of which `FileTable.matrices` gives what the model wants; TableError where it has not what the model wants.

    Parameters
    ----------
    encoding : Encoding
        The model's.
    source : Source
    unseen : str
        What becomes of categories that the model does not know.
    exclude : list of str
        Columns that the model need not know.
    keep : list of str
        Columns that are wanted as they are.
    """
    columns = list(encoding.columns)
    wanted = {column.name: column for column in columns}
    fine = {*wanted, *source.index, *encoding.others, *exclude, *keep}
    lacks = [name for name in wanted if name not in source.kinds]
    extra = [name for name in source.kinds if name not in fine]
    if lacks:
        raise TableError(Message(unknown(lacks[0], source), f"; the model was trained with it{_more(lacks)}; add it"))
    if extra:
        what = f"column {extra[0]}{_more(extra)}, which the model has never seen"
        raise TableError(f"{source.label} has {what}; --exclude {','.join(extra)} leaves out what does not matter")
    for j, column in enumerate(columns):
        name = column.name
        written = column.writing is not None and (source.inferred or source.kinds[name] == "text")
        source.read_as(name, "category" if written else column.kind)
        if written and column.writing is not None and source.inferred:
            columns[j] = replace(column, writing=replace(column.writing, decimal=source.decimal))
    for name in keep:
        if name not in source.kinds:
            raise TableError(unknown(name, source, " (--keep)"))
        if keep.count(name) > 1:
            raise TableError(f"--keep names column {name} twice; once is enough")
    for name in {*keep, *beside(encoding, source)} - {*wanted}:
        source.read_as_it_is(name)
    table = FileTable(source)
    table.advice = "fill it in" + (", or train with --missing drop or mean" if encoding.missing == "error" else "")
    table.take(Encoding(columns, missing=encoding.missing))
    table.unseen = unseen
    return table


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def beside(encoding: Encoding, source: Source) -> list[str]:
    """The columns by which predictions are scored: the target's, and that of the weights; none where there is no target."""
    target = encoding.target
    if target is None or target.column.name not in source.kinds:
        return []
    weights = [encoding.weights] if encoding.weights is not None and encoding.weights in source.kinds else []
    return [target.column.name, *weights]


def _scored(encoding: Encoding, batch: RecordBatch, names: Sequence[str], decimal: str) -> tuple[Floats, Floats | None]:
    """Of rows with the columns of `beside` as they are: targets, NaN where there is none that the model knows, and weights."""
    assert encoding.target is not None
    targets = _targets(encoding.target, batch.column(names[0]), decimal)
    if len(names) == 1:
        return targets, None
    weights = _numbers(batch.column(names[1]), Writing(decimal), decimal)
    with np.errstate(invalid="ignore"):
        return np.where((weights >= 0) & np.isfinite(weights), targets, np.nan), weights


def _targets(target: Target, column: ArrowArray, decimal: str) -> Floats:
    kind = target.column.kind
    if target.labels and kind == "category":
        codes = {label: float(code) for code, label in enumerate(target.labels)}
        return _each(column, lambda value: codes.get(str(value), math.nan))
    if kind == "boolean":
        found = _each(column, lambda value: _TRUTH.get(str(value).lower(), math.nan))
    else:
        writing = target.column.writing or Writing()
        found = _numbers(column, replace(writing, decimal=decimal), decimal)
    found = np.where(np.isfinite(found), found, np.nan)
    if not target.labels:
        return found
    classes = target.classes(np.where(np.isnan(found), -math.inf, found))
    return np.where(classes >= 0, classes, np.nan)


def _numbers(column: ArrowArray, writing: Writing, decimal: str) -> Floats:
    def number(value: float | str) -> float:
        if not isinstance(value, str):
            return float(value)
        if is_number(value, decimal):
            return float(value.translate({ord(decimal): "."}) if decimal != "." else value)
        read = writing.number(value)
        return math.nan if read is None else read

    return _each(column, number)


def _each(column: ArrowArray, of: Callable[[Label], float]) -> Floats:
    """What is said of each value; NaN where there is none."""
    coded = column if arrow().types.is_dictionary(column.type) else column.dictionary_encode()
    found = [math.nan if value is None else of(value) for value in coded.dictionary.to_pylist()]
    at: Array = as_numpy(coded.indices, len(found))
    return np.array([*found, math.nan])[at]


class Scorer:
    """Scores predictions where the target is there.

    Attributes
    ----------
    names : list of str
        The columns of `beside`, which batches must have; none, where there is no target and nothing to be scored.
    sums : Sums
    classes : bool
        Whether the targets are classes, of which the model knows some.
    unknown : int
        Rows with a prediction and without a target that the model knows.
    empty : int
        Rows without a prediction.
    """

    def __init__(self, model: Linear | MLP, encoding: Encoding, source: Source) -> None:
        self._model, self._encoding, self._decimal = model, encoding, source.decimal
        self.names = [] if model.loss is None else beside(encoding, source)
        labels = [] if encoding.target is None else [str(label) for label in encoding.target.labels]
        self.classes = bool(labels)
        self.sums = scores.sums(model.loss or losses.mse(), labels)
        self.unknown = self.empty = 0

    def add(self, X: Array, keep: Array | None, batch: RecordBatch, raw: Array) -> Piece | None:
        """Rows: those with a prediction, which these are of the batch, and their predictions. Gives those that are scored."""
        if not self.names:
            return None
        targets, weights = _scored(self._encoding, batch, self.names, self._decimal)
        if keep is not None:
            self.empty += len(keep) - int(keep.sum())
            targets, weights = targets[keep], None if weights is None else weights[keep]
        there = ~np.isnan(targets)
        self.unknown += len(there) - int(there.sum())
        piece = Piece(X[there], targets[there, None], None if weights is None else weights[there])
        self.sums.add(raw[there], piece.Y, piece.sample_weight)
        return piece


def examined(
    model: Linear | MLP, encoding: Encoding, source: Source, unseen: str, exclude: Sequence[str], glance: Glance
) -> tuple[Scorer, FileTable]:
    """A model that has been trained is tested on another table, of which a glance keeps some rows for pictures."""
    table, scorer = known(encoding, source, unseen, exclude), Scorer(model, encoding, source)
    for X, keep, batch in table.matrices(scorer.names):
        piece = scorer.add(X, keep, batch, scores.predicted(model, X))
        if piece is not None:
            glance.take(piece)
    return scorer, table


def remarks(encoding: Encoding, table: FileTable, rows: int, empty: int, what: str) -> list[str]:
    """What has to be told of a table that was predicted: rows without a prediction, and categories that are new."""
    told = []
    if empty:
        why = ["a missing value"] * any(column.missing == "drop" and column.name in table.gaps for column in encoding.columns)
        why += ["a category that the model does not know"] * (bool(table.strange) and table.unseen == "empty")
        told.append(f"{empty:,} of {rows:,} rows have {' or '.join(why)}, and {what}")
    for column in encoding.columns if table.unseen == "base" else []:
        if column.name in table.strange:
            count, value = table.strange[column.name]
            new = f"{count:,} of {rows:,} rows have a category in column {column.name} that the model does not know"
            told.append(
                f"{new} ({value!r}), and count as the commonest, {column.base}; --unseen empty or error decides otherwise"
            )
    return told
