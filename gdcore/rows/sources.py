"""Where tables come from: one interface in front of files of any kind, several of them or a folder, read in order as batches.

Decoding is pyarrow's; each kind of file has its own reader: `gdcore.rows.csvfile` for CSV, `gdcore.rows.binary` for Parquet
and .npy.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import mmap
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.rows.written import is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Path = str | os.PathLike[str]

ROWS = 1 << 16  # in a batch, at most
BYTES = 1 << 25  # in a batch, about, at most: of tables with very many columns
MEMORY = 1 << 27  # tables of so many bytes stay in memory once they have been read
READERS = {".csv": "csvfile", ".tsv": "csvfile", ".txt": "csvfile", ".parquet": "binary", ".npy": "binary"}
"""The module that reads files with such an ending."""


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


@dataclass(frozen=True)
class Marks:
    """What stands for a missing value, beyond what files have for it themselves."""

    na: tuple[str, ...] = ()
    """Texts, and numbers as they are written, that mean it as well."""
    keep: tuple[str, ...] = ()
    """Texts that mean it in CSV by custom, and here do not."""


_NO_MARKS = Marks()


class Source:
    """A table on disk.

    Attributes
    ----------
    label : str
        Its name in messages.
    kinds : dict
        Of each column: "number", "integer", "boolean", "text", "date", "empty" (nothing but missing values, as far as is
        known) or the name of a type that gdcore does not take.
    rows : int or None
        How many rows, where that is known: beforehand, or after a whole pass.
    size : int
        About how many bytes it decodes to.
    inferred : bool
        Whether the kinds are a guess from the first values, as in CSV, where the file does not tell.
    decimal : str
        The decimal point of its texts.
    declared : bool
        Whether somebody said that it is.
    marks : Marks
        What else stands for a missing value.
    index : list of str
        The columns that are the index of a data frame, or row names, and nothing that was measured.
    remarks : list of str
        What was left out of it, to be told.
    """

    label: str
    kinds: dict[str, str]
    rows: int | None = None
    size: int = 0
    inferred = False
    decimal = "."
    declared = False
    marks = _NO_MARKS
    index: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def batches(self, names: list[str]) -> Iterator[Any]:
        """All rows in their order, as pyarrow RecordBatches of those columns, dates and categories as text."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """Where a row is, counted from 0, for a message."""
        return f"{self.label}, row {row + 1:,}"

    def look(self, names: list[str]) -> None:
        """Finds out the kind of those columns that are "empty" as far as is known."""

    def read_as_it_is(self, name: str) -> None:
        """Has a column read without a change: as the file's type where it has types, as text where it has none."""
        self.kinds[name] = "as it is"

    def read_as(self, name: str, kind: str) -> None:
        """Has a column read as a model wants it: "number", "integer", "boolean" or "category"; TableError where it is not.

        Numbers may stand for true and false, as long as they are 1 and 0, which `FileTable` looks at; true and false are no
        numbers.
        """
        found = self.kinds[name]
        wanted = "text" if kind == "category" else kind
        numbers = {"number", "integer", "empty"}
        if found == wanted or (found in numbers and wanted in {*numbers, "boolean"}):
            return
        if self.inferred or (wanted == "text" and found in {*numbers, "boolean"}):
            self.kinds[name] = wanted  # a value that is not of that kind is found with its place
            return
        raise TableError(
            f"{self.label}: column {name} is {found}, and the model was trained with {wanted}; make it {wanted} in the file"
        )


class File(Source):
    """One file.

    Attributes
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        self.path, self.label = path, os.path.basename(path)
        self._stamp = self._stat()

    def _stat(self) -> tuple[int, int, int]:
        found = os.stat(self.path)
        return found.st_size, found.st_mtime_ns, found.st_ino

    def check_unchanged(self) -> None:
        """TableError where the file is no longer the one that was opened."""
        try:
            same = self._stat() == self._stamp
        except OSError:
            same = False
        if not same:
            raise TableError(f"{self.label} was changed or removed while it was being read: leave it alone, and start again")

    def batches(self, names: list[str]) -> Iterator[Any]:
        self.check_unchanged()
        try:
            yield from (
                (_without(batch, self.marks.na) for batch in self.decode(names)) if self.marks.na else self.decode(names)
            )
        except (arrow().ArrowException, OSError) as error:
            self.check_unchanged()
            raise self.explain(names, error) from None
        self.check_unchanged()

    def decode(self, names: list[str]) -> Iterator[Any]:
        """`batches`, with the errors of who decodes."""
        raise NotImplementedError

    def explain(self, names: list[str], error: Exception) -> TableError:
        """What to say of an error of who decodes."""
        why = getattr(error, "strerror", None) or "it is damaged, or cut off"
        return TableError(f"{self.label} cannot be read: {why}; copy or make it again")


def open_source(
    paths: Path | Iterable[Path], delimiter: str | None = None, decimal: str | None = None, marks: Marks = _NO_MARKS
) -> Source:
    """The table in a file, in all tables of a folder by name, or in several files, whose columns have to be the same.

    Raises
    ------
    TableError
        It is no table that can be read.
    ValueError
        The delimiter or the decimal point cannot be one.
    ImportError
        pyarrow is missing.
    """
    arrow()
    for name, character in (("delimiter", delimiter or ","), ("decimal", decimal or ".")):
        if len(character) != 1 or not character.isascii() or character.isalnum() or character in '"\r\n\0+-':
            raise ValueError(f"{name} must be one ASCII character, no letter, digit, sign or quote, found {character!r}")
    sources = [_open(file, delimiter, decimal, marks) for file in files_of(paths)]
    if not sources:
        raise TableError("no file is given")
    return sources[0] if len(sources) == 1 else Several(sources)


def arrow() -> Any:
    """pyarrow."""
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError:
        raise ImportError("reading tables needs pyarrow, which is not installed: pip install 'gdcore[cli]'") from None
    return pyarrow


def files_of(paths: Path | Iterable[Path]) -> list[str]:
    """The paths of the files, those in a folder for a folder; whether they are there is not looked at."""
    given = _given(paths)
    if given is None:
        kind = type(paths)
        package = "" if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}."
        raise TypeError(
            f"paths must be the path of a file, or several, found {package}{kind.__name__}; a table in memory is trained with "
            "as it is: gdcore.fit(frame[columns], frame[target])"
        )
    return [file for path in given for file in _files(path)]


def _given(paths: Any) -> list[str] | None:
    """The paths; None where they are none, as of a table in memory, of which a loop may take the names for paths."""
    if isinstance(paths, (str, os.PathLike)):
        return [os.fspath(paths)]
    if isinstance(paths, Mapping) or len(getattr(paths, "shape", ())) > 1:
        return None
    try:
        return [os.fspath(path) for path in paths]
    except TypeError:
        return None


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    try:
        files = sorted(entry.path for entry in os.scandir(path) if entry.is_file() and _ending(entry.name) in READERS)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}") from None
    files = [file for file in files if not os.path.basename(file).startswith((".", "_"))]  # such are no data, by custom
    if not files:
        raise TableError(f"{path} is a folder without a {', '.join(READERS)} file: give a file, or a folder of tables")
    return files


def _ending(path: str) -> str:
    name = os.path.basename(path).lower()
    return os.path.splitext(name.removesuffix(".gz"))[1]


def _without(batch: Any, na: tuple[str, ...]) -> Any:
    """The batch with nulls for what means a missing value."""
    pa = arrow()
    columns = []
    for column in batch.columns:
        if pa.types.is_string(column.type):
            marks = pa.array(na, pa.string())
        elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            numbers = [float(text) for text in na if is_number(text)]
            if pa.types.is_integer(column.type):
                low, high = np.iinfo(column.type.to_pandas_dtype()).min, np.iinfo(column.type.to_pandas_dtype()).max
                numbers = [int(number) for number in numbers if number.is_integer() and low <= number <= high]
            marks = pa.array(numbers, column.type)
        else:
            marks = ()
        if len(marks):
            found = pa.compute.is_in(column, value_set=marks, skip_nulls=True)
            column = pa.compute.if_else(found, pa.scalar(None, column.type), column)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _open(path: str, delimiter: str | None, decimal: str | None, marks: Marks) -> Source:
    label = os.path.basename(path)
    ending = _ending(path)
    if path == "-" or path.startswith("/dev/"):
        raise TableError(f"{path} is no file, and a table is read more than once: write it to a file first, and give that one")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise TableError(f"{path!a}: the file's name is not UTF-8; give the file another name") from None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            what = "is a pipe or a device, and a table is read more than once"
            raise TableError(f"{path} {what}: write it to a file first, and give that one")
        if os.path.getsize(path) == 0:
            raise TableError(f"{label} is empty: it has no bytes at all; make it again")
        if ending not in READERS:
            raise TableError(f"{label}: gdcore reads {', '.join(READERS)} files, by their ending; give it the right one")
        with open(path, "rb"):  # whether it can be opened at all, in the system's words
            pass
        source: Source = importlib.import_module(f"gdcore.rows.{READERS[ending]}").opened(
            path, ending, delimiter, decimal or ".", marks
        )  # fmt: skip
        source.decimal, source.declared, source.marks = decimal or ".", decimal is not None, marks
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = difflib.get_close_matches(label, os.listdir(folder) if os.path.isdir(folder) else [], 1)
        raise TableError(f"there is no file {path}" + (f"; did you mean {near[0]}?" if near else "")) from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or 'it is damaged, or cut off; make it again'}") from None
    return source


# What readers share ----------------------------------------------------------------------------------------------------------


def kind_of(type_: Any) -> str:
    """What a column of an Arrow type is."""
    t = arrow().types
    if t.is_dictionary(type_):
        return kind_of(type_.value_type)
    for kind, tests in (
        ("integer", (t.is_integer,)),
        ("number", (t.is_floating, t.is_decimal)),
        ("boolean", (t.is_boolean,)),
        ("text", (t.is_string, t.is_large_string, t.is_string_view)),
        ("date", (t.is_temporal,)),
        ("empty", (t.is_null,)),
    ):
        if any(test(type_) for test in tests):
            return kind
    return str(type_)


def rows_of(columns: int) -> int:
    """How many rows of so many columns a batch may have."""
    return max(1, min(ROWS, BYTES // (8 * max(1, columns))))


def check_names(names: list[str], where: str) -> None:
    """TableError where a column has no name, or the name of another."""
    if not names:
        raise TableError(f"{where}: there are no column names; give every column one")
    seen: dict[str, int] = {}
    for j, name in enumerate(names):
        if not name.strip():
            raise TableError(f"{where}: column {j + 1} of {len(names)} has no name; give it one")
        if name in seen:
            raise TableError(f"{where}: columns {seen[name] + 1} and {j + 1} have the same name {name}; rename one of them")
        seen[name] = j


def shortened(text: str) -> str:
    """Of a value or a line, what a message has room for."""
    return text if len(text) <= 60 else f"{text[:57]}..."


# Several files, and one that is decoded once ---------------------------------------------------------------------------------


class Several(Source):
    """Files with the same columns, one after the other."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources
        first = sources[0]
        self.label = f"{first.label} and {len(sources) - 1} more"
        self._join_indexes()
        self.kinds = dict(first.kinds)
        self.size = sum(source.size for source in sources)
        self.inferred = all(source.inferred for source in sources)
        self.decimal, self.declared, self.marks = first.decimal, first.declared, first.marks
        for source in sources[1:]:
            for name in sorted({*first.kinds} ^ {*source.kinds}):
                has, lacks = (first, source) if name in first.kinds else (source, first)
                raise TableError(
                    f"{lacks.label} has no column {name}, and {has.label} has one; tables that are read as one need the "
                    "same columns"
                )
            for name, kind in source.kinds.items():
                common = _common(self.kinds[name], kind, self.inferred)
                if common is None:
                    raise TableError(
                        f"{source.label}: column {name} is {kind}, and {self.kinds[name]} in the files before; "
                        "make it the same in all of them"
                    )
                self.kinds[name] = common
        for source in sources:
            source.kinds = self.kinds

    def _join_indexes(self) -> None:
        """An index that only some of the files have is no column."""
        index = dict.fromkeys(name for source in self.sources for name in source.index)
        self.index = [name for name in index if all(name in source.kinds for source in self.sources)]
        self.remarks = [remark for source in self.sources for remark in source.remarks]
        for name in index.keys() - {*self.index}:
            self.remarks.append(f"{self.label}: column {name} is the rows' index in some of the files only, and is left out")
            for source in self.sources:
                source.kinds = {other: kind for other, kind in source.kinds.items() if other != name}

    @property
    def rows(self) -> int | None:  # type: ignore[override]
        counts = [source.rows for source in self.sources]
        return None if None in counts else sum(count for count in counts if count is not None)

    def look(self, names: list[str]) -> None:
        for source in self.sources:
            source.look(names)

    def batches(self, names: list[str]) -> Iterator[Any]:
        pa = arrow()
        for source in self.sources:
            for batch in source.batches(names):
                for j, name in enumerate(names):  # integers of one file may be wider than those of the next
                    if self.kinds[name] == "integer" and batch.column(j).type != pa.float64():
                        batch = batch.set_column(j, name, batch.column(j).cast(pa.float64(), safe=False))
                yield batch

    def place(self, row: int) -> str:
        for source in self.sources:
            if source.rows is None or row < source.rows:  # rows are not known of the file that is being read
                return source.place(row)
            row -= source.rows
        raise IndexError(row)


def _common(one: str, other: str, inferred: bool) -> str | None:
    """The kind of a column that is of one kind in one file and of another in the next; None: there is none."""
    if one == other:
        return one
    for narrow, wides in (("empty", ("number", "integer", "boolean", "text", "date")), ("integer", ("number",))):
        for wide in wides:
            if {one, other} == {wide, narrow}:
                return wide
    return "text" if inferred else None  # a number among text is found by its place, later


class Kept(Source):
    """A source that is decoded once: its batches stay in memory, or in a file of a folder, from the first whole pass on."""

    def __init__(self, source: Source, names: list[str], folder: Path | None = None) -> None:
        self.source, self.names = source, names
        self.label, self.kinds, self.decimal, self.folder = source.label, source.kinds, source.decimal, folder
        self.index, self.remarks, self.declared = source.index, source.remarks, source.declared
        self.marks = source.marks
        self.memory: list[Any] | None = None
        self.file: Any = None
        self._large = source.size > MEMORY

    @property
    def rows(self) -> int | None:  # type: ignore[override]
        return self.source.rows

    @property
    def decoded(self) -> bool:
        """Whether the first pass is over, or will be the last that decodes, as far as is known."""
        return self.folder is not None or not self._large

    def place(self, row: int) -> str:
        return self.source.place(row)

    def batches(self, names: list[str]) -> Iterator[Any]:
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

    def _held(self, names: list[str]) -> Iterator[Any]:
        batches: list[Any] = []
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

    def _stored(self, names: list[str]) -> Iterator[Any]:
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
            raise TableError(f"the cache in {os.fspath(self.folder or '')}: {why}; try another --cache FOLDER") from None
