"""Tables in Feather files, which are Arrow's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gdcore.rows.arrow import TableError, arrow
from gdcore.rows.files.sources import File, Form, kind_of, rows_of
from gdcore.rows.files.typed import index_of, names_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import RecordBatch


def opened(path: str, label: str, form: Form) -> File:
    """The table in such a file."""
    return Feather(path, label)


class Feather(File):
    """A Feather file of version 2, or Arrow's IPC file, which is the same."""

    def __init__(self, path: str, label: str) -> None:
        super().__init__(path, label)
        with open(path, "rb") as file:
            magic = file.read(6)
            file.seek(max(0, self._stamp[0] - 6))
            end = file.read(6)
        if magic.startswith(b"FEA1"):
            raise TableError(f"{label} is a Feather file of version 1, which is no longer read; save it again")
        if magic != b"ARROW1":
            raise TableError(f"{label} is no Feather file, whatever its name says; make it again, an Arrow stream as a file")
        if end != b"ARROW1":
            raise TableError(f"{label} is a Feather file that is cut off: copy or make it again")
        try:
            with self._reader([]) as reader:
                schema, batches = reader.schema, reader.num_record_batches
        except (arrow().ArrowException, OSError, ValueError) as error:
            raise self.explain([], error) from None
        self._names = names_of(schema, label)
        self.kinds = {name: kind_of(schema.field(read).type) for name, read in self._names.items()}
        self.index = index_of(schema)
        if not batches:
            raise TableError(f"{label} has columns but no rows; a model needs some")
        self.size = 2 * self._stamp[0]  # it may be compressed

    def _reader(self, columns: list[int]) -> Any:
        """Of some columns; read, not memory-mapped: a file that another program cuts off is then an error, and not a crash."""
        ipc = arrow().ipc
        return ipc.open_file(arrow().OSFile(self.path), options=ipc.IpcReadOptions(included_fields=columns, use_threads=False))

    def decode(self, names: list[str]) -> Iterator[RecordBatch]:
        with self._reader([]) as reader:
            order = reader.schema.names
        start = 0
        with self._reader(sorted(order.index(self._names[name]) for name in names)) as reader:
            for i in range(reader.num_record_batches):
                whole = reader.get_batch(i).select([self._names[name] for name in names]).rename_columns(names)
                step = rows_of(len(names))
                for low in range(0, whole.num_rows, step):
                    batch = plain(self, whole.slice(low, step), start)
                    start += batch.num_rows
                    yield batch
        if not start:
            raise TableError(f"{self.label} has columns but no rows; a model needs some")
        self.rows = start

    def explain(self, names: list[str], error: Exception) -> TableError:
        return TableError(f"{self.label} is damaged: copy or make it again")
