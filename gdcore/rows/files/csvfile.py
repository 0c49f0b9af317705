"""Tables in CSV files: decoded by pyarrow; where it stumbles, a slow reading finds the line, the column and the reason."""

from __future__ import annotations

import csv
import io
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.messages import Message, Option
from gdcore.rows import dates
from gdcore.rows.arrow import TableError, arrow
from gdcore.rows.files import csvhead, csvtext
from gdcore.rows.files.csvlines import Lines
from gdcore.rows.files.csvtext import MISSING, damaged, not_that, reason
from gdcore.rows.files.sources import File, Form, check_names, kind_of, rows_of, shortened
from gdcore.rows.written import is_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import ArrowArray, ArrowSchema, RecordBatch

_BLOCK = 1 << 20  # bytes that are decoded at a time; a line has to fit
_TYPES = {"number": "float64", "integer": "float64", "empty": "float64", "boolean": "bool_"}


def opened(path: str, label: str, form: Form) -> File:
    """The table in such a file."""
    return Csv(path, label, form)


class Csv(File):
    """A CSV file. Blanks around column names do not count."""

    inferred = True

    def __init__(self, path: str, label: str, form: Form) -> None:
        super().__init__(path, label)
        self._missing = MISSING.union(form.marks.na).difference(form.marks.keep)
        self.form, self.decimal = form, form.decimal or "."
        self.blanks = form.delimiter == "blanks"
        tabs = self.blanks or path.lower().removesuffix(".gz").endswith(".tsv")  # see `Lines`
        self.delimiter = "\t" if tabs and form.delimiter in (None, "blanks") else form.delimiter or ","
        if self.delimiter == self.decimal:
            both = f"delimiter and decimal are both {self.decimal!r} in {self.label}; give another "
            raise ValueError(Message(both, Option("delimiter")))
        self.zipped = path.lower().endswith(".gz")
        if self.zipped and not path.endswith(".gz"):
            raise TableError(f"{self.label}: write the ending .gz in small letters")  # as pyarrow wants it
        self.size = self._stamp[0] * (16 if self.zipped else 2)
        self._newlines, self._block = False, _BLOCK  # enough for nearly all files, and fast
        self._columns: list[str | None] = []
        self._checked = False  # see `_check_quotes`
        self._given: list[str] = []  # names for pyarrow in the place of the header's
        self._skipped = 0  # lines, in that case
        header, line = self._header()
        where = f"{self.label}, line {line}"
        if sum(not name.strip() for name in header) > 1:  # which are several columns of one name
            self._given = [name if name.strip() else f"\0{j}" for j, name in enumerate(header)]
            self._skipped = next((start - 1 for start, _ in self._records() if start > line), line)
        schema = self._schema()
        if schema.names != (self._given or header):
            raise TableError(f"{where}: the quotation marks in the column names do not fit together; mend them")
        kinds = [kind_of(type_) for type_ in schema.types]
        self._columns = self._named([name.strip() for name in header], kinds)
        self._names = {}  # as pyarrow knows them
        self.kinds = {}
        for name, read, kind in zip(self._columns, schema.names, kinds, strict=True):
            if name is not None:
                self._names[name], self.kinds[name] = read, kind
        check_names([name for name in self._columns if name is not None], where)
        if "binary" in self.kinds.values():
            self._find([*self.kinds], self.kinds)
        self.zeros = self._zeros()

    def _named(self, header: list[str], kinds: list[str]) -> list[str | None]:
        """The columns' names. The first columns, where they have none, are a data frame's index, or row names; empty ones
        without a name, as spreadsheets leave them, have None."""
        named: list[str | None] = list(header)
        first = next((j for j, name in enumerate(header) if name), 0)
        for j in range(first):
            name = "index" if first == 1 else f"index {j + 1}"
            while name in header:
                name += "_"
            named[j] = name
            self.index = [*self.index, name]
        empty = [j for j in range(first, len(header)) if not header[j] and kinds[j] == "empty"]
        for j in empty:
            named[j] = None
        if empty:
            which = f"columns {', '.join(str(j + 1) for j in empty)} have" if len(empty) > 1 else f"column {empty[0] + 1} has"
            self.remarks = [*self.remarks, f"{self.label}: {which} neither a name nor values: left out"]
        return named

    # The head ---------------------------------------------------------------------------------------------------------------

    def _bytes(self) -> Any:
        stream = arrow().input_stream(self.path, compression="gzip" if self.zipped else None)
        return Lines(stream, self.form.comment, self.blanks) if self.form.comment or self.blanks else stream

    def _header(self) -> tuple[list[str], int]:
        """The column names as they stand there, and in which line."""
        with self._bytes() as stream:
            head: bytes = stream.read(_BLOCK)
        csvhead.check_bytes(head, self.label)
        if self.form.delimiter is None and csvhead.in_blanks(head, self.delimiter):
            self.blanks, self.delimiter = True, "\t"
            what = f"{self.label}: several blanks are taken for what is between the values, as "
            self.remarks = [Message(what, Option("delimiter", "blanks"), " says")]
        records = ((line, record) for line, record in self._records() if record)
        line, names = next(records, (1, []))
        where = f"{self.label}, line {line}"
        if any(damaged(name) for name in names):
            raise self._not_utf8(line, self.delimiter.join(names))
        _, second = next(records, (line, names)) if names and names[0][:1] in csvhead.COMMENTS else (line, names)
        csvhead.check_names(names, second, self.delimiter, where)
        if b"\n" not in head.strip() and len(head) < _BLOCK and self._one_record():
            raise TableError(f"{self.label} has a line of column names and no rows; a model needs some")
        return names, line

    def _zeros(self) -> dict[str, str]:
        """The columns of integers of which one begins with 0, with that one, as far as the first block tells."""
        import pyarrow.csv as pc

        names = {read: name for name, read in self._names.items() if self.kinds[name] == "integer"}
        with self._bytes() as stream:
            if not names or not csvhead.leading_zeros(stream.read(_BLOCK), self.delimiter):
                return {}
        pa = arrow()
        converting = self._converting(dict.fromkeys(names, pa.string()))
        converting.include_columns = [*names]
        with pc.open_csv(self._bytes(), self._reading(), self._parsing(), converting) as reader:
            batch = reader.read_next_batch()
        found = {}
        for read, name in names.items():
            texts = batch.column(batch.schema.get_field_index(read))
            texts = texts.filter(pa.compute.match_substring_regex(texts, r"^\s*[+-]?0[0-9]"))
            if len(texts):
                found[name] = texts[0].as_py().strip()
        return found

    def _one_record(self) -> bool:
        return sum(1 for _, record in self._records() if record) < 2

    def _schema(self) -> ArrowSchema:
        """Types from the first block."""
        import pyarrow.csv as pc

        while True:
            try:
                with pc.open_csv(self._bytes(), self._reading(), self._parsing(), self._converting()) as reader:
                    schema: ArrowSchema = reader.schema
                    return schema
            except (arrow().ArrowInvalid, UnicodeDecodeError):
                self._try_otherwise([], {})

    def look(self, names: list[str]) -> None:
        empty = [name for name in names if self.kinds[name] == "empty"]
        if not empty or (self._stamp[0] < _BLOCK and not self.zipped):
            return
        self.kinds |= dict.fromkeys(empty, "text")
        for batch in self.batches(list(empty)):
            for name in list(empty):
                values = batch.column(name).drop_null()
                if len(values):
                    self.kinds[name] = _kind_of_text(values)
                    empty.remove(name)
            if not empty:
                return
        self.kinds |= dict.fromkeys(empty, "empty")

    # The rows ---------------------------------------------------------------------------------------------------------------

    def _reading(self) -> Any:
        import pyarrow.csv as pc

        return pc.ReadOptions(block_size=self._block, column_names=self._given, skip_rows=self._skipped)

    def _parsing(self) -> Any:
        import pyarrow.csv as pc

        return pc.ParseOptions(delimiter=self.delimiter, newlines_in_values=self._newlines)

    def _converting(self, types: dict[str, Any] | None = None) -> Any:
        import pyarrow.csv as pc

        return pc.ConvertOptions(
            strings_can_be_null=True, decimal_point=self.decimal, null_values=sorted(self._missing), column_types=types
        )

    def decode(self, names: list[str]) -> Iterator[RecordBatch]:
        rows = 0
        while True:
            known = rows  # these have been handed on already
            try:
                for batch in self._decoded(names):
                    if known >= batch.num_rows:
                        known -= batch.num_rows
                        continue
                    batch = self._with_dates(batch.slice(known), rows)
                    known, rows = 0, rows + batch.num_rows
                    yield batch
                break
            except arrow().ArrowInvalid:
                self.check_unchanged()
                self._try_otherwise(names, self.kinds)
        if rows == 0:
            raise TableError(f"{self.label} has a line of column names and no rows; a model needs some")
        if not self._checked:
            self._check_quotes(rows)
        self.rows, self._checked = rows, True

    def _decoded(self, names: list[str]) -> Iterator[RecordBatch]:
        pa = arrow()
        types = {self._names[name]: getattr(pa, _TYPES.get(self.kinds[name], "string"))() for name in self._names}
        read = [self._names[name] for name in names]
        for batch in self._read(types, read):
            if batch.num_rows:
                yield batch.rename_columns(names)

    def _read(self, types: dict[str, Any], read: list[str]) -> Iterator[RecordBatch]:
        """Of the file, or of its lines where they are not as they stand in it."""
        import pyarrow.csv as pc

        converting = self._converting(types)
        converting.include_columns = read
        what = self._bytes() if self.form.comment or self.blanks else self.path
        # pyarrow.dataset reads with the same reader, and imports pandas, which takes longer than to read a small file.
        with pc.open_csv(what, self._reading(), self._parsing(), converting) as reader:
            for batch in reader:
                for start in range(0, batch.num_rows, rows_of(len(read))):
                    yield batch.slice(start, rows_of(len(read)))

    def _with_dates(self, batch: RecordBatch, start: int) -> RecordBatch:
        """The batch with dates and times for their text; an error where one is none."""
        for j, name in enumerate(batch.schema.names):
            kind = self.kinds[name]
            if kind in dates.KINDS:
                moments = dates.checked(batch.column(j), kind, name, lambda row: self.place(start + row))
                batch = batch.set_column(j, name, moments)
        return batch

    def _try_otherwise(self, names: list[str], kinds: dict[str, str]) -> None:
        """After an error: names its reason, or gets ready for quoted line ends, or longer lines, which slow the reading."""
        self._find(names, kinds)
        if not self._newlines:
            self._newlines = True
        elif self._block < csvtext.LONGEST:
            self._block *= 8
        else:
            why = f"perhaps because a line is longer than {csvtext.LONGEST >> 20} MB"
            raise TableError(f"{self.label} cannot be read as CSV, {why}; save it as Parquet")

    def _check_quotes(self, rows: int) -> None:
        """pyarrow lets a quotation mark that is never closed swallow lines, and takes "2"5 for 25: neither gets through here.

        Marks open and close in turn; a doubled one closes and opens. One that opens follows a delimiter or the end of a line,
        one that closes comes before. Where that is not so, each record is looked at, for "5 inch" written as 5" is no fault.
        """
        edges = np.zeros(256, bool)
        edges[[ord(character) for character in ('"', "\r", "\n", self.delimiter)]] = True
        count, fits, rest = 0, True, b"\n"
        with self._bytes() as stream:
            blocks = iter(lambda: stream.read(_BLOCK), b"")
            for block in itertools.chain([next(blocks).removeprefix(b"\xef\xbb\xbf")], blocks, [b"\n"]):
                codes = np.frombuffer(rest + block, np.uint8)
                if b'"' in block or b'"' in rest:
                    marks = 1 + np.flatnonzero(codes[1:-1] == ord('"'))
                    opens, closes = marks[count % 2 :: 2], marks[1 - count % 2 :: 2]
                    fits = fits and bool(edges[codes[opens - 1]].all() and edges[codes[closes + 1]].all())
                    count += len(marks)
                rest = (rest + block)[-2:]
        if not fits or count % 2:
            records = sum(1 for _, record in self._records() if record)
            if records != rows + 1:
                raise TableError(f"{self.label}: its quotation marks do not fit together; save it again as CSV, or as Parquet")

    # What is wrong ----------------------------------------------------------------------------------------------------------

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Each record with the number of the line that it begins in; for messages, not for speed."""
        with self._bytes() as stream:
            text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            line, limit = 1, csv.field_size_limit(csvtext.LONGEST)
            try:
                for record in reader:
                    yield line, record
                    line = reader.line_num + 1
            except csv.Error as error:
                raise TableError(f"{self.label}, line {line}: {reason(str(error))}") from None
            finally:
                csv.field_size_limit(limit)

    def _find(self, names: list[str], kinds: dict[str, str]) -> None:
        """Raises TableError with the first line in which something is wrong, or returns where there is none."""
        where: dict[str, int] = {}
        header, width, first = True, 0, ""
        for line, record in self._records():
            if not record:
                continue
            text = self.delimiter.join(record)
            if damaged(text):
                raise self._not_utf8(line, text)
            if "\0" in text:
                raise TableError(f"{self.label}, line {line}: a NUL byte, which text does not have: the file is damaged")
            if header:
                where = {name: j for j, name in enumerate(self._columns) if name is not None}
                width, first = len(record), record[0]
                header = False
                continue
            if not text.strip() and width > 1:
                raise TableError(f"{self.label}, line {line}: nothing but blanks; take the line out")
            if len(record) != width:
                many = f"{len(record)} value{'s' * (len(record) != 1)}, and the header has {width} name{'s' * (width != 1)}"
                less = len(record) < width
                advice = Message("add what is missing" if less else "put values with a delimiter in quotation marks")
                if text.lstrip()[:1] in csvhead.COMMENTS:
                    advice = Message(Option("comment", text.lstrip()[0]), " skips lines that begin so")
                elif width == 1:
                    advice = Message(f"if {first!r} is a title, ", Option("comment", first), " skips its line")
                raise TableError(Message(f"{self.label}, line {line}: {many}: {shortened(text)!r}; ", advice))
            for name in names:
                if kinds.get(name) in _TYPES and not self._reads(record[where[name]], kinds[name]):
                    raise self._stray(line, name, record[where[name]], kinds[name])

    def _reads(self, text: str, kind: str) -> bool:
        if text in self._missing or text.strip(" \t") in self._missing - {""}:
            return text in self._missing
        text = text.strip(" \t")
        if kind == "boolean":
            return text in ("true", "false", "0", "1", "True", "False", "TRUE", "FALSE")
        return is_number(text, self.decimal)

    def _stray(self, line: int, name: str, text: str, kind: str) -> TableError:
        wanted = "true or false" if kind == "boolean" else "a number"
        return TableError(Message(f"{self.label}, line {line}, column {name}: ", not_that(text, wanted, self.decimal)))

    def _not_utf8(self, line: int, text: str) -> TableError:
        at = next(i for i, character in enumerate(text) if damaged(character))
        near = text[max(0, at - 20) : at + 20].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        what = f"byte {ord(text[at]) - 0xDC00:02X} in {near!r} is not UTF-8"
        return TableError(f"{self.label}, line {line}: {what}; convert the file, for example with iconv -f latin1 -t utf-8")

    def place(self, row: int) -> str:
        try:
            records = (line for line, record in self._records() if record)
            return f"{self.label}, line {next(line for at, line in enumerate(records) if at == row + 1)}"
        except TableError:  # what is wrong there is another matter
            return super().place(row)


def _kind_of_text(values: ArrowArray) -> str:
    """The kind of values that pyarrow would have found, had they been in the first block."""
    pa = arrow()
    for type_, kind in ((pa.float64(), "number"), (pa.bool_(), "boolean"), (pa.timestamp("us"), "date")):
        try:
            values.cast(type_)
        except pa.ArrowInvalid:
            continue
        return kind
    return "text"
