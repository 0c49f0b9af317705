"""Where tables come from: Parquet, CSV and .npy files, several of them or a folder, read in order as batches of columns.

Decoding is pyarrow's. What is here is the one interface in front of it, and what pyarrow does not say when it fails: which
line, which column, and what to do.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import io
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Path = str | os.PathLike[str]

ROWS = 1 << 16  # in a batch, about
MEMORY = 1 << 27  # tables of so many bytes stay in memory once they have been read
_BUFFER = 1 << 20  # of each column: keeps memory small whatever the row groups are
_MISSING = frozenset(
    [
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "n/a",
        "nan",
        "null",
    ]
)
"""What stands for a missing value in CSV: pyarrow's list."""


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
        How many rows, where that is known beforehand.
    size : int
        About how many bytes it decodes to.
    """

    label: str
    kinds: dict[str, str]
    rows: int | None = None
    size: int = 0

    def batches(self, names: list[str]) -> Iterator[Any]:
        """All rows in their order, as pyarrow RecordBatches of those columns, dates and categories as text."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """Where a row is, counted from 0, for a message."""
        return f"{self.label}, row {row + 1}"

    def read_as(self, name: str, kind: str) -> None:
        """Has a column read as a model wants it: "number", "integer", "boolean" or "category"; TableError where it is not."""
        found = self.kinds[name]
        wanted = "text" if kind == "category" else kind
        numbers = {"number", "integer", "empty"}
        if found == wanted or {found, wanted} <= numbers | {"boolean"}:
            return
        if wanted == "text" and found in (*numbers, "boolean"):
            self.kinds[name] = "text"
            return
        raise TableError(f"{self.label}: column {name} is {found}, and the model was trained with {wanted}")


def open_source(paths: Path | Iterable[Path], delimiter: str = ",", decimal: str = ".") -> Source:
    """The table in a file, in all tables of a folder by name, or in several files, whose columns have to be the same.

    Raises
    ------
    TableError
        It is no table that can be read.
    ImportError
        pyarrow is missing.
    """
    arrow()
    given = [os.fspath(paths)] if isinstance(paths, (str, os.PathLike)) else [os.fspath(path) for path in paths]
    files = [file for path in given for file in _files(path)]
    sources = [_open(file, delimiter, decimal) for file in files]
    if not sources:
        raise TableError("no file is given")
    return sources[0] if len(sources) == 1 else _Several(sources)


def arrow() -> Any:
    """pyarrow."""
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError:
        raise ImportError("reading tables needs pyarrow, which is not installed: pip install 'gdcore[cli]'") from None
    return pyarrow


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    files = sorted(entry.path for entry in os.scandir(path) if entry.is_file() and _ending(entry.name) in _ENDINGS)
    if not files:
        raise TableError(f"{path} is a folder without a {', '.join(_ENDINGS)} file")
    return files


def _ending(path: str) -> str:
    name = os.path.basename(path).lower()
    return os.path.splitext(name.removesuffix(".gz"))[1]


def _open(path: str, delimiter: str, decimal: str) -> Source:
    label = os.path.basename(path)
    opener = _ENDINGS.get(_ending(path))
    try:
        if os.path.getsize(path) == 0:
            raise TableError(f"{label} is empty: it has no bytes at all")
        if opener is None:
            raise TableError(f"{label}: gdcore reads {', '.join(_ENDINGS)} files, by their ending")
        with open(path, "rb"):  # whether it can be opened at all, in the system's words
            pass
        return opener(path, delimiter, decimal)
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = difflib.get_close_matches(label, os.listdir(folder) if os.path.isdir(folder) else [], 1)
        raise TableError(f"there is no file {path}" + (f"; did you mean {near[0]}?" if near else "")) from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}") from None


def _kind(type_: Any) -> str:
    """What a column of an Arrow type is."""
    t = arrow().types
    if t.is_dictionary(type_):
        return _kind(type_.value_type)
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


def _plain(batch: Any, kinds: dict[str, str]) -> Any:
    """The batch with text for dates and categories, and float64 for what is neither integer nor boolean."""
    pa = arrow()
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        kind = kinds[name]
        wanted = pa.string() if kind in ("text", "date") else pa.float64() if kind in ("number", "empty") else None
        if wanted is None and pa.types.is_dictionary(column.type):
            wanted = column.type.value_type
        columns.append(column if wanted is None or column.type == wanted else column.cast(wanted, safe=kind != "number"))
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


class _Parquet(Source):
    def __init__(self, path: str, delimiter: str, decimal: str) -> None:
        import pyarrow.parquet as pq

        self.path, self.label = path, os.path.basename(path)
        try:
            with pq.ParquetFile(path) as file:
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
                groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
                self.size = sum(group.total_byte_size for group in groups)
        except (arrow().ArrowInvalid, OSError) as error:
            why = " ".join(str(error).split())[:120]
            raise TableError(f"{self.label} is no Parquet file, or a damaged one, cut off perhaps: {why}") from None
        _check_names(list(schema.names), self.label)
        self.kinds = {field.name: _kind(field.type) for field in schema}
        if self.rows == 0:
            raise TableError(f"{self.label} has columns but no rows")

    def batches(self, names: list[str]) -> Iterator[Any]:
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False) as file:
                for batch in file.iter_batches(ROWS, columns=names, use_threads=False):
                    yield _plain(batch.select(names), self.kinds)
        except (arrow().ArrowException, OSError) as error:
            raise TableError(f"{self.label} is damaged: {' '.join(str(error).split())[:120]}") from None


class _Numpy(Source):
    """A matrix in a .npy file: its columns are named by their numbers, from 0."""

    def __init__(self, path: str, delimiter: str, decimal: str) -> None:
        self.label = os.path.basename(path)
        try:
            self.array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            why = "it holds Python objects" if "bject" in str(error) else str(error)[:120]
            raise TableError(f"{self.label} cannot be read as a NumPy array: {why}; save a matrix of numbers") from None
        if self.array.ndim != 2:
            raise TableError(f"{self.label} has shape {self.array.shape}: wanted a matrix (rows, columns)")
        if self.array.dtype.kind not in "fiub" or self.array.dtype.itemsize > 8:
            raise TableError(f"{self.label} has dtype {self.array.dtype}: wanted float, integer or boolean")
        self.rows, columns = self.array.shape
        if 0 in self.array.shape:
            raise TableError(f"{self.label} has shape {self.array.shape}: it has no values")
        kind = {"f": "number", "b": "boolean"}.get(self.array.dtype.kind, "integer")
        self.kinds = {str(j): kind for j in range(columns)}
        self.size = self.array.size * 8

    def batches(self, names: list[str]) -> Iterator[Any]:
        pa = arrow()
        columns = [int(name) for name in names]
        native = self.array.dtype.newbyteorder("=")
        for start in range(0, len(self.array), ROWS):
            block = self.array[start : start + ROWS].astype(np.float64 if native.kind == "f" else native)
            yield pa.RecordBatch.from_arrays([pa.array(np.ascontiguousarray(block[:, j])) for j in columns], names=names)


class _Csv(Source):
    def __init__(self, path: str, delimiter: str, decimal: str) -> None:
        self.path, self.label, self.delimiter, self.decimal = path, os.path.basename(path), delimiter, decimal
        self.size = os.path.getsize(path)
        names = self._header()
        _check_names(names, f"{self.label}, line 1")
        self.kinds = self._first_kinds(names)
        self.newlines: bool | None = None  # in quoted values: found out when it matters

    def _bytes(self) -> Any:
        return arrow().input_stream(self.path, compression="gzip" if self.path.lower().endswith(".gz") else None)

    def _header(self) -> list[str]:
        with self._bytes() as stream:
            head: bytes = stream.read(_BUFFER)
        for mark, name in (
            (b"\xff\xfe", "UTF-16"),
            (b"\xfe\xff", "UTF-16"),
            (b"PAR1", "Parquet"),
            (b"PK\x03\x04", "a zip archive"),
        ):
            if head.startswith(mark):
                raise TableError(f"{self.label} is {name}, not CSV in UTF-8: convert it, or give it its own ending")
        if b"\0" in head:
            line = head[: head.index(b"\0")].count(b"\n") + 1
            raise TableError(
                f"{self.label}, line {line}: a NUL byte, which text does not have: the file is damaged, or no CSV"
            )
        if b"\r" in head.replace(b"\r\n", b"") and b"\n" not in head:
            raise TableError(
                f"{self.label}: its lines end in lone CR characters: convert them, for example with tr '\\r' '\\n'"
            )
        try:
            names = next((record for _, record in self._records() if record), [])
        except csv.Error as error:
            raise TableError(f"{self.label}, line 1: {error}") from None
        for other in ";\t|,":
            if len(names) == 1 and other != self.delimiter and other in names[0]:
                raise TableError(
                    f"{self.label}, line 1: one column, {_short(names[0])!r}: its delimiter seems to be {other!r}: "
                    f"--delimiter {'tab' if other == chr(9) else repr(other)}"
                )
        if names and all(is_number(name) for name in names):
            raise TableError(
                f"{self.label}, line 1: {_short(', '.join(names))} are numbers: the first line has to name the columns"
            )
        return names

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Each record with the number of the line that it begins in; for messages, not for speed."""
        with self._bytes() as stream:
            text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            line = 1
            try:
                for record in reader:
                    yield line, record
                    line = reader.line_num + 1
            except csv.Error as error:
                why = str(error)
                if "unexpected end" in why or "field larger" in why:
                    why = "a quotation mark that opens is never closed"
                raise TableError(f"{self.label}, line {line}: {why}") from None

    def _read(self, names: list[str] | None, newlines: bool) -> Iterator[Any]:
        import pyarrow.csv as pc
        import pyarrow.dataset as ds

        pa = arrow()
        options: dict[str, Any] = {"strings_can_be_null": True, "decimal_point": self.decimal, "null_values": sorted(_MISSING)}
        parse = pc.ParseOptions(delimiter=self.delimiter, newlines_in_values=newlines)
        if names is None:  # types from the first block
            with pc.open_csv(self._bytes(), parse_options=parse, convert_options=pc.ConvertOptions(**options)) as reader:
                yield reader.schema
            return
        types = {name: _CSV_TYPES.get(kind, "string") for name, kind in self.kinds.items()}
        options["column_types"] = {name: getattr(pa, type_)() for name, type_ in types.items()}
        form = ds.CsvFileFormat(
            parse, convert_options=pc.ConvertOptions(**options), read_options=pc.ReadOptions(block_size=_BUFFER)
        )
        table = ds.dataset(self.path, format=form)
        yield from table.scanner(names, batch_readahead=4, fragment_readahead=1, batch_size=ROWS).to_batches()

    def _first_kinds(self, names: list[str]) -> dict[str, str]:
        for newlines in (False, True):
            try:
                schema = next(self._read(None, newlines))
                break
            except arrow().ArrowInvalid as error:
                if newlines:
                    self._explain(names, {}, error)
        return {field.name: _kind(field.type) for field in schema}

    def batches(self, names: list[str]) -> Iterator[Any]:
        # Whether quoted values have line ends in them slows the reading: tried without, as nearly all files are.
        while True:
            rows = 0
            try:
                for batch in self._read(names, bool(self.newlines)):
                    rows += batch.num_rows
                    yield batch
            except arrow().ArrowInvalid as error:
                self._explain(names, self.kinds, error)
                if self.newlines or rows:
                    raise TableError(f"{self.label} cannot be read: {' '.join(str(error).split())[:200]}") from None
                self.newlines = True
                continue
            if rows == 0:
                raise TableError(f"{self.label} has a header line and no rows")
            self.rows = rows
            return

    def _explain(self, names: list[str], kinds: dict[str, str], error: Exception) -> None:
        """Raises TableError with the line that pyarrow stumbled over, or returns where there is nothing wrong."""
        where: dict[str, int] = {}
        for line, record in self._records():
            if not record:
                continue
            text = self.delimiter.join(record)
            if any("\udc80" <= character <= "\udcff" for character in text):
                raise TableError(
                    f"{self.label}, line {line}: it is not UTF-8: {text.encode('utf-8', 'surrogateescape')[:60]!r}; convert "
                    "it, for example with iconv -f latin1 -t utf-8"
                )
            if "\0" in text:
                raise TableError(f"{self.label}, line {line}: a NUL byte, which text does not have: the file is damaged")
            if not where:
                where = {name: j for j, name in enumerate(record)}
                continue
            if len(record) != len(where):
                raise TableError(
                    f"{self.label}, line {line}: {len(record)} values, and the header has {len(where)} names: {_short(text)!r}"
                )
            for name in names:
                if kinds.get(name) in _CSV_TYPES and not self._reads(record[where[name]], kinds[name]):
                    raise TableError(
                        f"{self.label}, line {line}, column {name}: {_short(record[where[name]])!r} is not "
                        f"{_WANTED[_CSV_TYPES[kinds[name]]]}, as the lines before have; mend it, or leave the column out"
                    )

    def _reads(self, text: str, kind: str) -> bool:
        text = text.strip(" \t")
        if text in _MISSING:
            return True
        if kind == "boolean":
            return text.lower() in ("true", "false", "0", "1")
        return is_number(text.replace(self.decimal, ".") if self.decimal != "." else text)

    def place(self, row: int) -> str:
        records = (line for line, record in self._records() if record)
        return f"{self.label}, line {next(line for at, line in enumerate(records) if at == row + 1)}"


_CSV_TYPES = {"number": "float64", "integer": "float64", "empty": "float64", "boolean": "bool_"}
_WANTED = {"float64": "a number", "bool_": "true or false"}
_ENDINGS = {".csv": _Csv, ".tsv": _Csv, ".txt": _Csv, ".parquet": _Parquet, ".npy": _Numpy}


class _Several(Source):
    """Files with the same columns, one after the other."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources
        first = sources[0]
        self.label = f"{first.label} and {len(sources) - 1} more"
        self.kinds = dict(first.kinds)
        self.size = sum(source.size for source in sources)
        for source in sources[1:]:
            for name in {*first.kinds} ^ {*source.kinds}:
                has, lacks = (first, source) if name in first.kinds else (source, first)
                raise TableError(f"{has.label} has a column {name}, which {lacks.label} has not")
            for name, kind in source.kinds.items():
                self.kinds[name] = _common(self.kinds[name], kind, f"column {name} of {source.label}")
        for source in sources:
            source.kinds = self.kinds
        counts = [source.rows for source in sources]
        self.rows = None if None in counts else sum(count for count in counts if count is not None)

    def batches(self, names: list[str]) -> Iterator[Any]:
        for source in self.sources:
            yield from source.batches(names)

    def place(self, row: int) -> str:
        for source in self.sources:
            rows = source.rows
            assert rows is not None  # it has been read
            if row < rows:
                return source.place(row)
            row -= rows
        raise IndexError(row)


def _common(one: str, other: str, what: str) -> str:
    """The kind of a column that is of one kind in one file and of another in the next."""
    for wide, narrow in (
        ("number", "integer"),
        *((kind, "empty") for kind in ("number", "integer", "boolean", "text", "date")),
    ):
        if {one, other} <= {wide, narrow}:
            return wide
    if one != other:
        raise TableError(f"{what} is {other}, but {one} in the files before")
    return one


class Kept(Source):
    """A source that is decoded once: its batches stay in memory, or in a file of a folder, from the first whole pass on."""

    def __init__(self, source: Source, names: list[str], folder: Path | None = None) -> None:
        self.source, self.names = source, names
        self.label, self.kinds, self.size = source.label, source.kinds, source.size
        self.folder = folder
        self.memory: list[Any] | None = None
        self.file: Any = None

    @property
    def rows(self) -> int | None:  # type: ignore[override]
        return self.source.rows

    @property
    def decoded(self) -> bool:
        """Whether the first pass is over, or will be the last that decodes."""
        return self.folder is not None or self.size <= MEMORY

    def place(self, row: int) -> str:
        return self.source.place(row)

    def batches(self, names: list[str]) -> Iterator[Any]:
        if self.memory is not None:
            yield from (batch.select(names) for batch in self.memory)
        elif self.file is not None:
            with arrow().ipc.open_file(self.file.name) as reader:
                for i in range(reader.num_record_batches):
                    yield reader.get_batch(i).select(names)
        elif self.folder is not None:
            yield from self._stored(names)
        elif self.source.size <= MEMORY:
            batches = []
            for batch in self.source.batches(self.names):
                batches.append(batch)
                yield batch.select(names)
            self.memory = batches
        else:
            yield from self.source.batches(names)

    def _stored(self, names: list[str]) -> Iterator[Any]:
        pa = arrow()
        writer: Any = None
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".arrow", dir=self.folder))
            for batch in self.source.batches(self.names):
                if writer is None:
                    writer = stack.enter_context(pa.ipc.new_file(file.name, batch.schema))
                writer.write_batch(batch)
                yield batch.select(names)
            stack.pop_all()  # all rows are there: the file lives as long as this
            writer.close()
            self.file = file


def _check_names(names: list[str], where: str) -> None:
    if not names:
        raise TableError(f"{where}: there are no column names")
    seen: dict[str, int] = {}
    for j, name in enumerate(names):
        if not name.strip():
            raise TableError(f"{where}: column {j + 1} of {len(names)} has no name")
        if name in seen:
            raise TableError(f"{where}: two columns have the name {name!r}: the {seen[name] + 1}. and the {j + 1}.")
        seen[name] = j


def is_number(text: str) -> bool:
    """Whether the text is a number as CSV has it."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.isascii()


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
