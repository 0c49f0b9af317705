"""``gdcore predict``: a model, a table, predictions."""

from __future__ import annotations

import io
import math
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import files, schema
from gdcore.columns import Encoding
from gdcore.container import write
from gdcore.filetable import FileTable, unknown
from gdcore.models import Linear
from gdcore.sources import Source, TableError, arrow, open_source

if TYPE_CHECKING:
    from argparse import Namespace

    from gdcore._types import Array


def run(options: Namespace) -> int:
    """Predicts every row, in their order."""
    ending = os.path.splitext(options.out)[1].lower()
    if ending not in (".csv", ".parquet"):
        raise ValueError(f"--out {options.out}: the file's name must end in .csv or .parquet")
    model: Any = files.load(options.model)
    source = open_source(options.data, options.delimiter, options.decimal)
    encoding = _encoding(model, source, options)
    labels = encoding.target.labels if encoding.target is not None else ()
    table = FileTable(source, encoding.missing)
    table.advice = "fill it in" + (", or train with --missing drop or mean" if encoding.missing == "error" else "")
    table.take(Encoding(encoding.columns, missing=encoding.missing))
    chunks: list[Any] = []
    empty = rows = 0
    for X, keep in table.matrices():
        size = len(X) if keep is None else len(keep)
        chunks.append(_predictions(model, X, keep, size, labels))
        rows, empty = rows + size, empty + size - len(X)
    write(options.out, _bytes(arrow().Table.from_batches(chunks), ending))
    if empty:
        message = f"{empty:,} of {rows:,} rows have a missing value, and their prediction is empty"
        print(f"gdcore: warning: {message}", file=sys.stderr)
    if not options.quiet:
        print(f"{rows:,} predictions of {model.card.get('target')}: {options.out}")
    return 0


def _encoding(model: Any, source: Source, options: Namespace) -> Encoding:
    """How the model wants the table; TableError where the table has not what it wants."""
    card = getattr(model, "card", None)
    if not card or "encoding" not in card:
        raise TableError(
            f"{options.model} does not know its columns' names: it was saved from Python, where model.predict(X) predicts"
        )
    try:
        encoding = Encoding.of_card(card["encoding"])
        _check(encoding, card, model)
    except ValueError as error:
        raise ValueError(f"{options.model} cannot predict a table: {error}") from None
    wanted = {column.name: column for column in encoding.columns}
    known = {*wanted, *encoding.others, *options.exclude}
    lacks = [name for name in wanted if name not in source.kinds]
    extra = [name for name in source.kinds if name not in known]
    if lacks:
        raise TableError(f"{unknown(lacks[0], source)}; the model was trained with it{_more(lacks)}; add it")
    if extra:
        what = f"column {extra[0]}{_more(extra)}, which the model has never seen"
        raise TableError(f"{source.label} has {what}; --exclude {','.join(extra)} leaves out what does not matter")
    for name, column in wanted.items():
        source.read_as(name, column.kind)
    return encoding


def _check(encoding: Encoding, card: dict[str, Any], model: Any) -> None:
    """ValueError where what the card says does not go with the model."""
    schema.optional(schema.text)(card.get("target"), "its target")
    names = [column.name for column in encoding.columns]
    if len(set(names)) < len(names):
        raise ValueError("its encoding has a column twice")
    weights = model.weights if isinstance(model, Linear) else model.layers[0].weights
    if len(encoding.names) != len(weights):
        raise ValueError(f"its encoding makes {len(encoding.names)} columns, and it has weights for {len(weights)}")
    labels = len(encoding.target.labels) if encoding.target is not None else 0
    outputs = math.prod(model.outputs)
    if labels not in ((0, 2) if outputs == 1 else (outputs,)):
        raise ValueError(f"its encoding has {labels} labels, and it has {outputs} outputs")


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _predictions(model: Any, X: Array, keep: Array | None, rows: int, labels: tuple[Any, ...]) -> Any:
    """A record batch: predictions, and probabilities where there are classes; None for rows that are not kept."""
    pa = arrow()
    names = [str(label) for label in labels]
    columns: dict[str, Array]
    if not labels:
        columns = {"prediction": model.predict(X).reshape(len(X)) if len(X) else np.empty(0)}
    else:
        p = model.predict_proba(X).reshape(len(X), -1) if len(X) else np.empty((0, len(labels)))
        p = np.column_stack([1 - p[:, 0], p[:, 0]]) if p.shape[1] == 1 else p
        columns = {"prediction": np.array(names, object)[p.argmax(axis=1)]}
        columns |= {f"probability of {name}": p[:, j] for j, name in enumerate(names)}
    made = {}
    for name, values in columns.items():
        column = pa.array(values, pa.string() if labels and name == "prediction" else pa.float64())
        if keep is not None:
            at = np.where(keep, np.cumsum(keep) - 1, -1)
            column = column.take(pa.array(at, pa.int64(), mask=~keep)) if len(X) else pa.nulls(rows, column.type)
        made[name] = column
    return pa.RecordBatch.from_pydict(made)


def _bytes(table: Any, ending: str) -> bytes:
    sink = io.BytesIO()
    if ending == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, sink)
    else:
        import pyarrow.csv as pc

        pc.write_csv(table, sink, pc.WriteOptions(quoting_style="needed"))
    return sink.getvalue()
