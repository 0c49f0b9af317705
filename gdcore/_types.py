"""Names for the types in signatures; imported by type checkers only."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike as ArrayLike
from numpy.typing import DTypeLike as DTypeLike
from numpy.typing import NDArray

if TYPE_CHECKING:
    import dask.array as da
    import dask.dataframe as dd

Array = NDArray[Any]
Floats = NDArray[np.float64]
Lazy: TypeAlias = "da.Array | dd.DataFrame | dd.Series"
"""Rows in Dask."""
Path = str | os.PathLike[str]
Part: TypeAlias = Callable[..., Any]
"""What a `gdcore.rows.tables.fold` makes of a piece of the rows."""
Add: TypeAlias = Callable[[Any, Any], Any]
"""How it adds two of them."""
JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]
"""What a file's metadata can hold."""


class ProgressBar(Protocol):
    """What is asked of a bar like tqdm's."""

    n: float
    total: float | None

    def set_postfix(self, ordered_dict: dict[str, str], refresh: bool) -> None: ...
    def update(self, n: int) -> object: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


Label: TypeAlias = "str | bool | int | float"
"""What a class is called in a table."""


class ArrowType(Protocol):
    """What is asked of the type of a pyarrow array."""

    tz: str | None
    value_type: "ArrowType"

    def to_pandas_dtype(self) -> Any: ...


class ArrowArray(Protocol):
    """What is asked of a pyarrow Array, which is a column of a batch; pyarrow has no types of its own."""

    type: ArrowType
    offset: int
    null_count: int
    dictionary: "ArrowArray"
    indices: "ArrowArray"

    def __len__(self) -> int: ...
    def __getitem__(self, row: int) -> Any: ...
    def buffers(self) -> list[Any]: ...
    def cast(self, target_type: ArrowType, safe: bool = ...) -> "ArrowArray": ...
    def dictionary_decode(self) -> "ArrowArray": ...
    def dictionary_encode(self) -> "ArrowArray": ...
    def drop_null(self) -> "ArrowArray": ...
    def filter(self, mask: "ArrowArray") -> "ArrowArray": ...
    def is_null(self, *, nan_is_null: bool = ...) -> "ArrowArray": ...
    def is_valid(self) -> "ArrowArray": ...
    def take(self, indices: "ArrowArray") -> "ArrowArray": ...
    def to_pylist(self) -> list[Any]: ...
    def value_counts(self) -> "ArrowArray": ...


class ArrowSchema(Protocol):
    """What is asked of a pyarrow Schema."""

    names: list[str]
    types: list[ArrowType]
    metadata: Mapping[bytes, bytes] | None

    def __iter__(self) -> Iterator[Any]: ...
    def field(self, name: str) -> Any: ...
    def get_field_index(self, name: str) -> int: ...


class RecordBatch(Protocol):
    """What is asked of a pyarrow RecordBatch: some rows of a table, column by column."""

    num_rows: int
    num_columns: int
    nbytes: int
    schema: ArrowSchema
    columns: list[ArrowArray]

    def column(self, which: str | int) -> ArrowArray: ...
    def filter(self, mask: ArrowArray) -> "RecordBatch": ...
    def rename_columns(self, names: list[str]) -> "RecordBatch": ...
    def select(self, names: list[str]) -> "RecordBatch": ...
    def set_column(self, which: int, name: str, column: ArrowArray) -> "RecordBatch": ...
    def slice(self, offset: int, length: int = ...) -> "RecordBatch": ...


class ArrowTable(Protocol):
    """What is asked of a pyarrow Table, whose columns are in chunks."""

    schema: ArrowSchema
    columns: list[ArrowArray]
    column_names: list[str]

    def column(self, which: int) -> ArrowArray: ...
    def set_column(self, which: int, name: str, column: ArrowArray) -> "ArrowTable": ...
