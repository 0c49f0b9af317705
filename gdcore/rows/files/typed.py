"""What the readers of Parquet and Feather share, in which Arrow says of each column what it is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from gdcore.rows import dates
from gdcore.rows.arrow import arrow, batch_of
from gdcore.rows.files.sources import File, check_names, kind_of, known

if TYPE_CHECKING:
    from gdcore._types import ArrowSchema, RecordBatch


def names_of(schema: ArrowSchema, where: str) -> dict[str, str]:
    """The columns' names, without blanks around them, and as they stand in the file."""
    check_names([name.strip() for name in schema.names], where)
    return {name.strip(): name for name in schema.names}


def index_of(schema: ArrowSchema) -> list[str]:
    """The columns that were a data frame's index: pandas says so in the metadata, which get lost, or by the name."""
    try:
        told = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError):  # something else of that name
        told = []
    names = [name for name in told if isinstance(name, str)] if isinstance(told, list) else []
    own = re.compile(r"__index_level_\d+__|__null_dask_index__")
    return [name.strip() for name in schema.names if name in names or own.fullmatch(name)]


def plain(file: File, batch: RecordBatch, start: int) -> RecordBatch:
    """The batch with text for categories, dates and times in one unit, and float64 for what is neither integer nor boolean.

    ``start`` is the number of its first row, for a message.
    """
    pa = arrow()
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        kind = file.kinds[name]
        if pa.types.is_dictionary(column.type):
            if kind_of(column.type) == "text":  # of any of Arrow's types of text, not all of which it can look up
                column = pa.DictionaryArray.from_arrays(column.indices, column.dictionary.cast(pa.string()))
            column = column.dictionary_decode()
        wanted = {"number": pa.float64(), "empty": pa.float64(), "text": pa.string()}.get(kind)
        if kind in dates.KINDS:
            if kind_of(column.type) == "text":
                column = known(column.cast(pa.string()), file.marks.na)
            column = dates.checked(column, kind, name, lambda row: file.place(start + row))
        elif wanted is not None and column.type != wanted:
            column = column.cast(wanted, safe=kind != "number")
        columns.append(column)
    return batch_of(columns, batch.schema.names)
