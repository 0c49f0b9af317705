"""Matrices in .npy files."""

from __future__ import annotations

import tokenize
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.rows.arrow import TableError, batch_of, from_numpy
from gdcore.rows.files.sources import File, Form, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from gdcore._types import Array, RecordBatch


def opened(path: str, label: str, form: Form) -> File:
    """The table in such a file."""
    return Npy(path, label)


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
