"""Tables in Parquet and .npy files."""

from __future__ import annotations

import json
import re
import tokenize
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.rows import dates
from gdcore.rows.arrow import TableError, arrow, batch_of, from_numpy
from gdcore.rows.sources import File, Form, check_names, kind_of, known, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from gdcore._types import Array, ArrowSchema, RecordBatch

_BUFFER = 1 << 26  # of all columns of a Parquet file together: keeps memory small whatever the row groups are


def opened(path: str, label: str, form: Form) -> File:
    """The table in such a file."""
    return Parquet(path, label) if path.lower().endswith(".parquet") else Npy(path, label)


class Parquet(File):
    """A Parquet file."""

    def __init__(self, path: str, label: str) -> None:
        import pyarrow.parquet as pq

        super().__init__(path, label)
        with open(path, "rb") as file:
            magic = file.read(4)
            file.seek(max(0, self._stamp[0] - 4))
            end = file.read(4)
        if magic != b"PAR1":
            raise TableError(f"{self.label} is no Parquet file, whatever its name says; make it again")
        if end != b"PAR1" or self._stamp[0] < 12:
            raise TableError(f"{self.label} is a Parquet file that is cut off: copy or make it again")
        try:
            with pq.ParquetFile(path) as file:
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
                encoded = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        except (arrow().ArrowException, OSError, ValueError) as error:
            raise self.explain([], error) from None
        self._names = names_of(schema, self.label)
        self.kinds = {name: kind_of(schema.field(read).type) for name, read in self._names.items()}
        self.index = index_of(schema)
        if self.rows == 0:
            raise TableError(f"{self.label} has columns but no rows; a model needs some")
        self.size = max(encoded, self.rows * len(self.kinds) * 8)

    def decode(self, names: list[str]) -> Iterator[RecordBatch]:
        import pyarrow.parquet as pq

        buffer = max(1 << 12, min(1 << 20, _BUFFER // len(names)))
        with pq.ParquetFile(self.path, buffer_size=buffer, pre_buffer=False) as file:
            read = [self._names[name] for name in names]
            start = 0
            for batch in file.iter_batches(rows_of(len(names)), columns=read, use_threads=False):
                yield plain(self, batch.select(read).rename_columns(names), start)
                start += batch.num_rows

    def explain(self, names: list[str], error: Exception) -> TableError:
        return TableError(f"{self.label} is damaged{self._damage(names)}: copy or make it again")

    def _damage(self, names: list[str]) -> str:
        """Which part of it cannot be decoded, where that can be said."""
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                for group in range(file.num_row_groups):
                    for name in names:
                        try:
                            for batch in file.read_row_group(group, [self._names[name]]).to_batches():
                                plain(self, batch.rename_columns([name]), 0)
                        except (arrow().ArrowException, OSError):
                            return f" in column {name}, row group {group + 1} of {file.num_row_groups}"
        except (arrow().ArrowException, OSError, ValueError):
            return ""
        return ""


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


class Npy(File):
    """A matrix in a .npy file: its columns are named by their numbers, from 0."""

    def __init__(self, path: str, label: str) -> None:
        super().__init__(path, label)
        shape, self.fortran, self.dtype, self.start = self._header()
        if self.dtype.hasobject:
            raise TableError(f"{self.label} holds Python objects, which gdcore does not load; save a matrix of numbers")
        if len(shape) != 2:
            raise TableError(f"{self.label} has shape {shape}; save a matrix (rows, columns)")
        if self.dtype.kind not in "fiub" or self.dtype.itemsize > 8:
            raise TableError(f"{self.label} has dtype {self.dtype}; save float, integer or boolean")
        if min(shape) < 1:
            raise TableError(f"{self.label} has shape {shape}: it has no values; a model needs some")
        self.shape = shape
        missing = self.start + shape[0] * shape[1] * self.dtype.itemsize - self._stamp[0]
        if missing > 0:
            raise TableError(f"{self.label} is cut off: {missing:,} bytes of its array are missing; copy or make it again")
        self.rows = shape[0]
        kind = {"f": "number", "b": "boolean"}.get(self.dtype.kind, "integer")
        self.kinds = {str(j): kind for j in range(shape[1])}
        self.size = shape[0] * shape[1] * 8

    def _header(self) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
        """Shape, whether columns are contiguous, dtype, and where the values begin."""
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        with open(self.path, "rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise TableError(f"{self.label} is no .npy file, whatever its name says; save it with numpy.save")
            file.seek(0)
            try:
                shape, fortran, dtype = read[np.lib.format.read_magic(file)](file)
            except (ValueError, KeyError, EOFError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError,
                    tokenize.TokenError):  # fmt: skip  # NumPy has Python's parser read it
                raise TableError(f"{self.label}: the head of this .npy file is damaged; save it again") from None
            return shape, fortran, dtype, file.tell()

    def decode(self, names: list[str]) -> Iterator[RecordBatch]:
        # Read, not memory-mapped: a file that another program cuts off is then an error, and not a crash.
        native = np.dtype(np.float64) if self.dtype.kind == "f" else self.dtype.newbyteorder("=")
        step = rows_of(self.shape[1])
        with open(self.path, "rb") as file:
            for start in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - start)
                columns = self._columns(file, start, count, [int(name) for name in names])
                arrays = [from_numpy(np.ascontiguousarray(column, native)) for column in columns]
                yield batch_of(arrays, names)

    def _columns(self, file: BinaryIO, start: int, count: int, columns: list[int]) -> list[Array]:
        n, d = self.shape
        if self.fortran:
            return [self._values(file, j * n + start, count) for j in columns]
        block = self._values(file, start * d, count * d).reshape(count, d)
        return [block[:, j] for j in columns]

    def _values(self, file: BinaryIO, at: int, count: int) -> Array:
        file.seek(self.start + at * self.dtype.itemsize)
        data = file.read(count * self.dtype.itemsize)
        if len(data) != count * self.dtype.itemsize:
            raise OSError("cut off")
        return np.frombuffer(data, self.dtype)
