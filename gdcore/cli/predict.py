"""``gdcore predict``: a model, a table, predictions."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import schema, scores
from gdcore.cli import known, outputs
from gdcore.cli.terminal import say
from gdcore.container import write
from gdcore.models.linear import Linear, mean, probabilities
from gdcore.rows.arrow import TableError, arrow, batch_of, from_numpy, from_texts
from gdcore.rows.columns import Encoding
from gdcore.rows.files.folders import files_of
from gdcore.rows.files.opening import open_source
from gdcore.rows.files.sources import Marks
from gdcore.rows.filetable import TableWarning
from gdcore.store import files

if TYPE_CHECKING:
    from argparse import Namespace

    from gdcore._types import Array, ArrowTable, Label, RecordBatch
    from gdcore.models.mlp import MLP


_FORMULA = "^([=+@\t\r-])"  # what a cell begins with that a spreadsheet may take for a formula


def run(options: Namespace) -> int:
    """Predicts every row, in their order."""
    to_stdout = options.out == "-"
    ending = ".csv" if to_stdout else os.path.splitext(options.out)[1].lower()
    read = dict.fromkeys(files_of(options.data), "a file of the table") | {options.model: "the model"}
    replaced = [] if to_stdout else outputs.check({"--out": options.out}, read, {"--out": (".csv", ".parquet")})
    model: Any = files.load(options.model)
    source = open_source(options.data, options.delimiter, options.decimal, _marks(model, options), options.comment)
    encoding = _encoding(model, options)
    labels = encoding.target.labels if encoding.target is not None else ()
    table = known.known(encoding, source, options.unseen or encoding.unseen, options.exclude, options.keep)
    scorer = known.Scorer(model, encoding, source)
    chunks: list[RecordBatch] = []
    empty = rows = 0
    for X, keep, beside in table.matrices([*dict.fromkeys([*options.keep, *scorer.names])]):
        size, raw = len(X) if keep is None else len(keep), scores.predicted(model, X)
        scorer.add(X, keep, beside, raw)
        chunks.append(_beside(beside.select(options.keep), _predictions(model, raw, keep, size, labels)))
        rows, empty = rows + size, empty + size - len(X)
    data = _bytes(chunks, ending, source.label, options.safe_cells)
    if to_stdout:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    else:
        write(options.out, data)
    for remark in known.remarks(encoding, table, rows, empty, "their prediction is empty"):
        warnings.warn(remark, TableWarning, stacklevel=2)
    if options.quiet:
        return 0
    with contextlib.redirect_stdout(sys.stderr) if to_stdout else contextlib.nullcontext():
        target = model.card.get("target")
        if not to_stdout:
            say(f"{rows:,} predictions of {target}: {outputs.told(options.out, replaced)}")
        _show(scorer, target)
    return 0


def _show(scorer: known.Scorer, target: str) -> None:
    """The scores, where the table has the target."""
    found = scorer.sums.with_baseline(scorer.sums)
    if not found.rows:
        if scorer.unknown:
            say(f"no scores: in none of {scorer.unknown:,} rows the table has a {target} that the model knows")
        return
    say()
    rows = "1 row" if found.rows == 1 else f"{found.rows:,} rows"
    lack = "have none that the model knows" if scorer.classes else "have no number there"
    without = f", and {scorer.unknown:,} more {lack}" if scorer.unknown else ""
    say(f"scores of the {rows} whose {target} is in the table{without}")
    for line in found.lines():
        say(line)


def _marks(model: Any, options: Namespace) -> Marks:
    """What stands for a missing value: as the model keeps it, or as it is said."""
    kept = Marks()
    if "encoding" in (getattr(model, "card", None) or {}):
        kept = _known(model, options).marks
    return Marks(tuple(options.na) or kept.na, tuple(options.na_keep) or kept.keep)


def _known(model: Linear | MLP, options: Namespace) -> Encoding:
    """What the model's card says of its columns; ValueError where it says nothing of use."""
    card = model.card
    try:
        encoding = Encoding.of_card(card["encoding"])
        _check(encoding, card, model)
    except ValueError as error:
        raise ValueError(f"{options.model} cannot predict a table: {error}") from None
    return encoding


def _encoding(model: Any, options: Namespace) -> Encoding:
    """How the model wants the table; TableError where nobody knows."""
    card = getattr(model, "card", None)
    if not card or "encoding" not in card:
        raise TableError(
            f"{options.model} does not know its columns' names: it was saved from Python, where model.predict(X) predicts"
        )
    return _known(model, options)


def _check(encoding: Encoding, card: dict[str, Any], model: Linear | MLP) -> None:
    """ValueError where what the card says does not go with the model."""
    schema.optional(schema.text)(card.get("target"), "its target")
    names = [(column.name, column.part) for column in encoding.columns]
    if len(set(names)) < len(names):
        raise ValueError("its encoding has a column twice")
    weights = model.weights if isinstance(model, Linear) else model.layers[0].weights
    if len(encoding.names) != len(weights):
        raise ValueError(f"its encoding makes {len(encoding.names)} columns, and it has weights for {len(weights)}")
    labels = len(encoding.target.labels) if encoding.target is not None else 0
    outputs = math.prod(model.outputs)
    if labels not in ((0, 2) if outputs == 1 else (outputs,)):
        raise ValueError(f"its encoding has {labels} labels, and it has {outputs} outputs")


def _predictions(model: Linear | MLP, raw: Array, keep: Array | None, rows: int, labels: tuple[Label, ...]) -> RecordBatch:
    """A record batch: predictions, and probabilities where there are classes; None for rows that are not kept."""
    names = [str(label) for label in labels]
    if not labels:
        columns = {"prediction": mean(raw, model.loss).reshape(len(raw)).astype(np.float64)}
    else:
        p = probabilities(raw, model.loss).astype(np.float64)
        p = np.column_stack([1 - p[:, 0], p[:, 0]]) if p.shape[1] == 1 else p
        columns = {"prediction": p.argmax(axis=1)} | {f"probability of {name}": p[:, j] for j, name in enumerate(names)}
    made = {}
    for name, values in columns.items():
        placed = values
        if keep is not None:
            placed = np.zeros(rows, values.dtype)
            placed[keep] = values
        made[name] = from_numpy(placed, keep)
    if labels:
        made["prediction"] = from_texts(names).take(made["prediction"])
    return batch_of([*made.values()], [*made])


def _beside(kept: RecordBatch, predictions: RecordBatch) -> RecordBatch:
    """The columns that are kept, and the predictions behind them."""
    for name in kept.schema.names:
        if name in predictions.schema.names:
            raise TableError(f"--keep: column {name} has the name of a column of predictions; rename it in the table")
    pairs = [
        *zip(kept.schema.names, kept.columns, strict=True),
        *zip(predictions.schema.names, predictions.columns, strict=True),
    ]
    return batch_of([column for _, column in pairs], [name for name, _ in pairs])


def _bytes(chunks: list[RecordBatch], ending: str, label: str, safe: bool) -> bytes:
    pa = arrow()
    try:
        # The files of one table may differ in the width of an integer.
        table = pa.concat_tables([pa.Table.from_batches([chunk]) for chunk in chunks], promote_options="permissive")
        sink = io.BytesIO()
        if ending == ".parquet":
            import pyarrow.parquet as pq

            pq.write_table(table, sink)
        else:
            _write_csv(_safe(table) if safe else table, sink)
    except pa.ArrowException as error:
        raise TableError(f"the columns of {label} that are to be kept cannot be written: {error}; keep others") from None
    return sink.getvalue()


def _safe(table: ArrowTable) -> ArrowTable:
    """The table with an apostrophe before names and text that a spreadsheet would take for a formula."""
    pa = arrow()
    columns = []
    for column in table.columns:
        if pa.types.is_string(column.type):
            column = pa.compute.replace_substring_regex(column, _FORMULA, r"'\1")
        columns.append(column)
    safe: ArrowTable = pa.Table.from_arrays(columns, [re.sub(_FORMULA, r"'\1", name) for name in table.column_names])
    return safe


def _write_csv(table: ArrowTable, sink: io.BytesIO) -> None:
    """As CSV, with NaN for predicted numbers that are missing: an empty line is skipped by most who read CSV, and the rows
    behind it would move up."""
    import pyarrow.csv as pc

    pa = arrow()
    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerow(table.column_names)
    sink.write(head.getvalue().encode())
    style = "needed" if any(pa.types.is_string(field.type) for field in table.schema) else "none"  # "needed" quotes all text
    at = table.schema.get_field_index("prediction")
    column = table.column(at)
    if column.null_count and pa.types.is_floating(column.type):
        # pyarrow writes nan, which polars takes for text.
        column = pa.compute.coalesce(column.cast(pa.string()), from_texts(["NaN"])[0])
        table = table.set_column(at, "prediction", column)
    pc.write_csv(table, sink, pc.WriteOptions(include_header=False, quoting_style=style))
