"""What every reader of tables needs: pyarrow, and the error that tells of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Array, ArrowArray, RecordBatch


class TableError(ValueError):
    """A table cannot be used as it is: the message names the file, the place in it, and what to do.

    Attributes
    ----------
    columns : dict
        Columns that cannot be used, and why, where it is about such.
    """

    def __init__(self, message: str, columns: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.columns = columns or {}


def arrow() -> Any:
    """pyarrow."""
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError:
        raise ImportError("reading tables needs pyarrow, which is not installed: pip install 'gdcore[cli]'") from None
    return pyarrow


def from_numpy(values: Array, known: Array | None = None) -> ArrowArray:
    """A pyarrow array of numbers or booleans, null where they are not known. pyarrow.array would import pandas, to ask whether
    they are a frame's."""
    pa = arrow()
    kept = [None if a is None else pa.py_buffer(np.packbits(a, bitorder="little") if a.dtype == bool else a)
            for a in (known, np.ascontiguousarray(values))]  # fmt: skip
    made: ArrowArray = pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), kept)
    return made


def from_texts(values: Sequence[str]) -> ArrowArray:
    """A pyarrow array of texts; see `from_numpy`."""
    pa = arrow()
    data = [text.encode() for text in values]
    ends = np.cumsum([0, *map(len, data)], dtype=np.int32)
    made: ArrowArray = pa.Array.from_buffers(pa.string(), len(data), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(data))])
    return made


def batch_of(columns: Sequence[ArrowArray], names: Sequence[str]) -> RecordBatch:
    """A pyarrow RecordBatch of such columns."""
    made: RecordBatch = arrow().RecordBatch.from_arrays(columns, names=names)
    return made


def as_numpy(column: ArrowArray, missing: float = math.nan) -> Array:
    """A pyarrow array of numbers or booleans as NumPy has it, with a number for a null. Its own to_numpy imports pandas."""
    pa = arrow()
    dtype = np.dtype(column.type.to_pandas_dtype())
    if not len(column):
        return np.empty(0, dtype)
    buffer, start = column.buffers()[1], column.offset
    if pa.types.is_boolean(column.type):
        values: Array = np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little", count=start + len(column))
        values = values[start:].view(np.bool_)
    else:
        values = np.frombuffer(buffer, dtype, len(column), start * dtype.itemsize)
    if column.null_count:
        values = values.astype(dtype if dtype.kind == "f" or math.isfinite(missing) else np.float64)
        values[as_numpy(column.is_null())] = missing
    return values
