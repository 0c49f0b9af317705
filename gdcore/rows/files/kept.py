"""A table that is decoded once: it stays in memory, or in a file, where that is possible."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from typing import TYPE_CHECKING, Any

from gdcore.messages import Message, Option
from gdcore.rows.arrow import TableError, arrow
from gdcore.rows.files.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Path, RecordBatch

MEMORY = 1 << 27  # tables of so many bytes stay in memory once they have been read


class Kept(Source):
    """A source that is decoded once: its batches stay in memory, or in a file of a folder, from the first whole pass on."""

    def __init__(self, source: Source, names: list[str], folder: Path | None = None) -> None:
        self.source, self.names = source, names
        self.label, self.kinds, self.decimal, self.folder = source.label, source.kinds, source.decimal, folder
        self.declared, self.marks = source.declared, source.marks
        self.memory: list[RecordBatch] | None = None
        self.file: Any = None
        self._large = source.size > MEMORY

    @property
    def rows(self) -> int | None:  # type: ignore[override]
        return self.source.rows

    @property
    def decoded(self) -> bool:
        """Whether the first pass is over, or will be the last that decodes, as far as is known."""
        return self.folder is not None or not self._large

    @property
    def small(self) -> bool:
        """Whether it stays in memory, as far as is known."""
        return self.folder is None and not self._large

    def place(self, row: int) -> str:
        return self.source.place(row)

    def batches(self, names: list[str]) -> Iterator[RecordBatch]:
        if self.memory is not None:
            yield from (batch.select(names) for batch in self.memory)
        elif self.file is not None:
            with arrow().ipc.open_file(self.file) as reader:
                for i in range(reader.num_record_batches):
                    yield reader.get_batch(i).select(names)
        elif self.folder is not None:
            yield from self._stored(names)
        elif self._large:
            yield from self.source.batches(names)
        else:
            yield from self._held(names)

    def _held(self, names: list[str]) -> Iterator[RecordBatch]:
        batches: list[RecordBatch] = []
        size = 0
        for batch in self.source.batches(self.names):
            size += batch.nbytes
            if size > MEMORY:  # more than the file's size let hope
                self._large = True
                batches.clear()
            if not self._large:
                batches.append(batch)
            yield batch.select(names)
        if not self._large:
            self.memory = batches

    def _stored(self, names: list[str]) -> Iterator[RecordBatch]:
        pa = arrow()
        writer: Any = None
        with contextlib.ExitStack() as stack:
            with self._writing():
                # It has no name, or has it for a moment: nothing is left when this process is killed.
                file = stack.enter_context(tempfile.TemporaryFile(dir=self.folder))
            for batch in self.source.batches(self.names):
                with self._writing():
                    if writer is None:
                        writer = stack.enter_context(pa.ipc.new_file(file, batch.schema))
                    writer.write_batch(batch)
                yield batch.select(names)
            with self._writing():
                writer.close()
                file.flush()
            self.file = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))  # lives as long as this

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else "it cannot be written"
            what = f"the cache in {os.fspath(self.folder or '')}: {why}; try another "
            raise TableError(Message(what, Option("cache"))) from None
