"""Tables in Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore.rows.arrow import TableError, arrow
from gdcore.rows.files.sources import File, Form, kind_of, rows_of
from gdcore.rows.files.typed import index_of, names_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import RecordBatch

_BUFFER = 1 << 26  # of all columns of a Parquet file together: keeps memory small whatever the row groups are


def opened(path: str, label: str, form: Form) -> File:
    """The table in such a file."""
    return Parquet(path, label)


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
