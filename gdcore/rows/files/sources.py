"""Where tables come from: one interface in front of files of any kind, read in order as batches, and what its readers share.

Decoding is pyarrow's; each kind of file has its own reader, which stands in `gdcore.rows.files.readers`.
`gdcore.rows.files.opening` finds that of a path, `gdcore.rows.files.several` joins files, and `gdcore.rows.files.kept` keeps
what has been decoded.
"""

from __future__ import annotations

import os
import types
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from gdcore import checks
from gdcore.rows import dates
from gdcore.rows.arrow import TableError, arrow, batch_of, from_numpy, from_texts
from gdcore.rows.written import is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gdcore._types import ArrowArray, ArrowType, RecordBatch


ROWS = 1 << 16  # in a batch, at most
BYTES = 1 << 25  # in a batch, about, at most: of tables with very many columns


@dataclass(frozen=True)
class Marks:
    """What stands for a missing value, beyond what files have for it themselves."""

    na: tuple[str, ...] = ()
    """Texts, and numbers as they are written, that mean it as well."""
    keep: tuple[str, ...] = ()
    """Texts that mean it in CSV by custom, and here do not."""

    @classmethod
    def of(cls, na: Iterable[str | float], keep: Iterable[str]) -> Marks:
        """From lists; a number is taken as its text.

        >>> Marks.of(["?", -999], [])
        Marks(na=('?', '-999'), keep=())
        """
        if not isinstance(na, str) and np.iterable(na):
            na = [str(mark) if isinstance(mark, Real) and not isinstance(mark, bool) else mark for mark in na]
        return cls(tuple(checks.texts(na, "na", "texts or numbers")), tuple(checks.texts(keep, "na_keep", "texts")))


NO_MARKS = Marks()
"""Nothing but that."""


@dataclass(frozen=True)
class Form:
    """How a CSV file is written, as far as somebody says so; other files say it themselves."""

    delimiter: str | None = None
    """What is between values; "blanks" for any number of them."""
    decimal: str | None = None
    """The decimal point. Of point and comma the other one may then stand between thousands."""
    comment: str | None = None
    """What lines begin with that are none of the table."""
    marks: Marks = NO_MARKS
    """What stands for a missing value, in any file."""


class Source:
    """A table on disk.

    Attributes
    ----------
    label : str
        Its name in messages.
    kinds : dict
        Of each column: "number", "integer", "boolean", "text", "date" (with a time or without), "time" (of the day),
        "duration", "empty" (nothing but missing values, as far as is known) or the name of a type that gdcore does not take.
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
    zeros : dict
        Columns of integers that are text in the file, and of which one begins with 0, with that one.
    """

    label: str
    kinds: dict[str, str]
    rows: int | None = None
    size: int = 0
    inferred = False
    decimal = "."
    declared = False
    marks = NO_MARKS
    index: Sequence[str] = ()
    remarks: Sequence[str] = ()
    zeros: Mapping[str, str] = types.MappingProxyType({})

    def batches(self, names: list[str]) -> Iterator[RecordBatch]:
        """All rows in their order, as pyarrow RecordBatches of those columns: categories as text, dates and times as
        `gdcore.rows.dates.unit` says."""
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
        """Has a column read as a model wants it: "number", "integer", "boolean", "category" or "date", "time", "duration";
        TableError where it is not.

        Numbers may stand for true and false, as long as they are 1 and 0, which `FileTable` looks at; true and false are no
        numbers. Any of the three kinds of dates and times is one where dates are asked for.
        """
        found = self.kinds[name]
        wanted = "text" if kind == "category" else kind
        numbers = {"number", "integer", "empty"}
        if found == wanted or (found in numbers and wanted in {*numbers, "boolean"}):
            return
        if (
            self.inferred
            or (wanted == "text" and found in {*numbers, "boolean"})
            or (wanted in dates.KINDS and found in ("text", "empty"))
        ):
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
    label : str
    """

    def __init__(self, path: str, label: str) -> None:
        self.path, self.label = path, label
        self._stamp = self._stat()
        self.constants: dict[str, str | None] = {}
        """Columns that are in no file, with the text of the one value that they have here."""

    def add_constant(self, name: str, kind: str, text: str | None) -> None:
        """Has a column more, of one value: that of the folder in which the file is."""
        if name in self.kinds:
            raise TableError(f"{self.label}: column {name} is in the file and in the name of its folder; rename one of them")
        self.constants[name], self.kinds[name] = text, kind

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

    def batches(self, names: list[str]) -> Iterator[RecordBatch]:
        self.check_unchanged()
        own = [name for name in names if name not in self.constants]
        own = own or [name for name in self.kinds if name not in self.constants][:1]  # which tells how many rows there are
        try:
            for batch in self.decode(own):
                if self.constants:
                    batch = self._with_constants(batch, names)
                if self.marks.na:
                    columns = [known(column, self.marks.na) for column in batch.columns]
                    batch = batch_of(columns, batch.schema.names)
                yield batch
        except (arrow().ArrowException, OSError) as error:
            self.check_unchanged()
            raise self.explain(names, error) from None
        self.check_unchanged()

    def _with_constants(self, batch: RecordBatch, names: list[str]) -> RecordBatch:
        pa = arrow()
        columns = []
        for name in names:
            if name not in self.constants:
                columns.append(batch.column(name))
                continue
            text = self.constants[name]
            value = pa.nulls(1, pa.string()) if text is None else from_texts([text])
            if self.kinds[name] in ("integer", "number"):
                value = value.cast(pa.int64() if self.kinds[name] == "integer" else pa.float64())
            elif self.kinds[name] in dates.KINDS:
                value = dates.plain(value, self.kinds[name])
            columns.append(pa.repeat(value[0], batch.num_rows))
        return batch_of(columns, names)

    def decode(self, names: list[str]) -> Iterator[RecordBatch]:
        """`batches`, with the errors of who decodes."""
        raise NotImplementedError

    def explain(self, names: list[str], error: Exception) -> TableError:
        """What to say of an error of who decodes."""
        why = getattr(error, "strerror", None) or "it is damaged, or cut off"
        return TableError(f"{self.label} cannot be read: {why}; copy or make it again")


def known(column: ArrowArray, na: tuple[str, ...]) -> ArrowArray:
    """A column with nulls for what means a missing value."""
    pa = arrow()
    marks: ArrowArray | tuple[()] = ()
    if pa.types.is_string(column.type):
        marks = from_texts(na)
    elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        numbers = [float(text) for text in na if is_number(text)]
        if pa.types.is_integer(column.type):
            low, high = np.iinfo(column.type.to_pandas_dtype()).min, np.iinfo(column.type.to_pandas_dtype()).max
            numbers = [int(number) for number in numbers if number.is_integer() and low <= number <= high]
        marks = from_numpy(np.array(numbers, column.type.to_pandas_dtype()))
    if not len(marks):
        return column
    found = pa.compute.is_in(column, value_set=marks, skip_nulls=True)
    marked: ArrowArray = pa.compute.if_else(found, pa.nulls(1, column.type)[0], column)
    return marked


def kind_of(type_: ArrowType) -> str:
    """What a column of an Arrow type is."""
    t = arrow().types
    if t.is_dictionary(type_):
        return kind_of(type_.value_type)
    for kind, tests in (
        ("integer", (t.is_integer,)),
        ("number", (t.is_floating, t.is_decimal)),
        ("boolean", (t.is_boolean,)),
        ("text", (t.is_string, t.is_large_string, t.is_string_view)),
        ("date", (t.is_date, t.is_timestamp)),
        ("time", (t.is_time,)),
        ("duration", (t.is_duration,)),
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
