"""Which rows test and do not train: drawn ones, the last ones, or those that a column calls so.

Each row is decided on by its number in the table and by its own values, so that every pass decides alike, however the table is
read. What has to be known of all rows for that, a `Split` finds in one pass over the columns that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gdcore.messages import Message, Option
from gdcore.rows import dates
from gdcore.rows.arrow import TableError, arrow, as_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Array, Floats, Label, RecordBatch
    from gdcore.rows.files.sources import Source

_SIDES = {"train": False, "training": False, "test": True, "testing": True}
_CLASSES = 10_000  # past so many values a target is no classes


class Split(Protocol):
    """Which rows test.

    Attributes
    ----------
    columns : sequence of str
        The columns of the table by which rows are decided on.
    what : str
        Which rows these are, in words.
    """

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def what(self) -> str: ...

    def tests(self, start: int, batch: RecordBatch) -> Array:
        """Of the rows from number ``start`` on, which come in a RecordBatch that has the columns: which test."""


def uniform(start: int, count: int, seed: int) -> Floats:
    """A number in [0, 1) for each row from ``start`` on, by its place alone (SplitMix64: Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64((seed + 1) * 0xD1B54A32D192ED03 & 0xFFFFFFFFFFFFFFFF)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def held_out(start: int, count: int, share: float, seed: int) -> Array:
    """Which rows from ``start`` on are held out: each by its number in the table, however it is read."""
    return uniform(start, count, seed) < share


@dataclass(frozen=True)
class Drawn:
    """A share of the rows, each drawn for itself, without a look at any other."""

    share: float
    seed: int
    columns: Sequence[str] = ()

    @property
    def what(self) -> str:
        return f"drawn with seed {self.seed}"

    def tests(self, start: int, batch: RecordBatch) -> Array:
        return held_out(start, batch.num_rows, self.share, self.seed)


class Order:
    """The rows of a table in an order that is drawn; where a target's classes are told apart, class by class.

    Parameters
    ----------
    source : Source
        It is read once.
    seed : int
    target : str
        The target's column.
    classes : bool
        Whether its classes are told apart.
    """

    def __init__(self, source: Source, seed: int, target: str, classes: bool = False) -> None:
        self.seed, self.columns = seed, (target,) if classes else ()
        self._codes: dict[Label | None, int] = {}
        marks: list[list[Floats]] = []
        start = 0
        for batch in source.batches([target]):
            codes = self._classes(batch, learn=True)
            if len(self._codes) > _CLASSES:
                what = f" keeps the shares of classes, and the target {target} has more than {_CLASSES:,} values; leave it out"
                raise TableError(Message(f"{source.label}: ", Option("stratify", True), what))
            own = uniform(start, batch.num_rows, seed)
            marks += [[] for _ in range(len(self._codes) - len(marks))]
            for code in np.unique(codes):
                marks[code].append(own[codes == code])
            start += batch.num_rows
        self.rows = start
        self._marks = [np.sort(np.concatenate(parts)) for parts in marks]
        self._first = np.cumsum([0, *map(len, self._marks)])

    def places(self, start: int, batch: RecordBatch) -> Array:
        """Of the rows from number ``start`` on: their places in the order, from 0."""
        codes, own = self._classes(batch), uniform(start, batch.num_rows, self.seed)
        places = np.empty(batch.num_rows, np.int64)
        for code in np.unique(codes):
            rows = codes == code
            places[rows] = self._first[code] + np.searchsorted(self._marks[code], own[rows])
        return places

    def _classes(self, batch: RecordBatch, learn: bool = False) -> Array:
        """The rows' classes as numbers in the order in which they were met; a missing one is a class, too."""
        if not self.columns:
            if learn:
                self._codes.setdefault("all", 0)
            return np.zeros(batch.num_rows, np.intp)
        coded = batch.column(self.columns[0]).dictionary_encode()
        values = [None if value != value else value for value in coded.dictionary.to_pylist()]
        numbers = [self._codes.setdefault(value, len(self._codes)) for value in values]
        if coded.null_count:
            numbers.append(self._codes.setdefault(None, len(self._codes)))
        at = as_numpy(coded.indices, len(values))
        return np.array([*numbers, 0], np.intp)[at]


@dataclass(frozen=True)
class Share:
    """A share of an `Order`: of each class the same one, but for a row."""

    order: Order
    share: float

    @property
    def columns(self) -> Sequence[str]:
        return self.order.columns

    @property
    def what(self) -> str:
        return f"drawn with seed {self.order.seed}, of each class alike"

    def tests(self, start: int, batch: RecordBatch) -> Array:
        places = self.order.places(start, batch)
        return np.floor((places + 1) * self.share) > np.floor(places * self.share)


@dataclass(frozen=True)
class Fold:
    """One of several folds of an `Order`, which have as many rows each but for one, and as many of each class."""

    order: Order
    folds: int
    which: int

    @property
    def columns(self) -> Sequence[str]:
        return self.order.columns

    @property
    def what(self) -> str:
        return f"fold {self.which + 1} of {self.folds}, drawn with seed {self.order.seed}"

    def tests(self, start: int, batch: RecordBatch) -> Array:
        found: Array = self.order.places(start, batch) % self.folds == self.which
        return found


class Last:
    """The last rows, by a column of dates or numbers, or as they stand in the table.

    Rows of one date are not torn apart: all rows of the date that begins the share test. Rows without one train.

    Parameters
    ----------
    source : Source
        It is read once.
    share : float
    target : str
        The target's column.
    column : str, optional
        Default: the order of the rows.
    """

    def __init__(self, source: Source, share: float, target: str, column: str | None = None) -> None:
        self.columns: Sequence[str] = () if column is None else (column,)
        self.what = f"the last {100 * share:g}%" + ("" if column is None else f" by column {column}")
        self._source = source
        if column is None:
            rows = source.rows
            if rows is None:
                rows = sum(batch.num_rows for batch in source.batches([target]))
            self._from: float = rows - round(rows * share)
            return
        if source.kinds[column] not in ("date", "text", "number", "integer"):
            by, other = Option("split", f"time:{column}"), Option("split", column)
            advice = " wants dates or numbers; ", other, " is for a column that says train and test"
            raise TableError(Message(f"{source.label}: column {column} is {source.kinds[column]}, and ", by, *advice))
        found, start = [], 0
        for batch in source.batches([column]):
            found.append(self._values(batch, start))
            start += batch.num_rows
        values = np.sort(np.concatenate(found)) if found else np.empty(0)
        values = values[: np.searchsorted(values, np.inf)]  # NaN stands last
        if not len(values) or values[0] == values[-1]:
            raise TableError(f"{source.label}: column {column} has one value at most, and no row is later than another")
        self._from = values[min(len(values) - round(len(values) * share), len(values) - 1)]
        if self._from == values[0]:  # else no row would train
            self._from = values[np.searchsorted(values, values[0], side="right")]

    def tests(self, start: int, batch: RecordBatch) -> Array:
        found: Array
        if not self.columns:
            found = np.arange(start, start + batch.num_rows) >= self._from
        else:
            found = self._values(batch, start) >= self._from
        return found

    def _values(self, batch: RecordBatch, start: int) -> Floats:
        """As numbers, dates in microseconds; NaN where there is none."""
        pa, column = arrow(), batch.column(self.columns[0])
        if pa.types.is_string(column.type):
            column = dates.checked(column, "date", self.columns[0], lambda row: self._source.place(start + row))
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        return as_numpy(column.cast(pa.float64(), safe=False))


class Named:
    """The rows that a column calls so: it says train or test."""

    def __init__(self, source: Source, column: str) -> None:
        self.columns: Sequence[str] = (column,)
        self.what = f"those that column {column} calls test"
        self._source = source
        if source.kinds[column] != "text":
            by, other = Option("split", column), Option("split", f"time:{column}")
            advice = " wants one that says train and test; ", other, " takes the last rows by it"
            raise TableError(Message(f"{source.label}: column {column} is {source.kinds[column]}, and ", by, *advice))

    def tests(self, start: int, batch: RecordBatch) -> Array:
        coded = batch.column(self.columns[0]).dictionary_encode()
        said = [_SIDES.get(value.strip().lower()) for value in coded.dictionary.to_pylist()]
        at = as_numpy(coded.indices, len(said))
        wrong = np.array([side is None for side in said] + [True])[at]
        if wrong.any():
            row = int(np.argmax(wrong))
            value = batch.column(self.columns[0])[row].as_py()
            found = "a missing value" if value is None else repr(value)
            raise TableError(f"{self._source.place(start + row)}, column {self.columns[0]}: {found} is neither train nor test")
        return np.array([bool(side) for side in said] + [False])[at]


def column_of(split: str | None, source: Source) -> str | None:
    """The column that ``split`` names: time:COLUMN, COLUMN, or time where there is such a column."""
    if split is None:
        return None
    if split in source.kinds:
        return split
    kind, colon, column = split.partition(":")
    return column if kind == "time" and colon else None if split == "time" else split


def split_of(split: str | None, source: Source, share: float, seed: int, stratify: bool, target: str) -> Split | None:
    """The split that is asked for; None where no row tests.

    Parameters
    ----------
    split : str or None
        "time:COLUMN", "time" for the order of the rows, or a column that says train and test. None: rows are drawn.
    source : Source
    share : float
        Of the rows that test.
    seed : int
    stratify : bool
        Whether rows are drawn of each class of the target alike.
    target : str
    """
    column = column_of(split, source)
    by_time = split == "time" or (split is not None and split not in source.kinds)
    if split is not None and stratify:
        what = " is for rows that are drawn, and ", Option("split", split), " draws none; leave one of them out"
        raise TableError(Message(Option("stratify", True), *what))
    if split is not None and (by_time or (column is not None and source.kinds[column] == "date")):
        return Last(source, share, target, column) if share else None
    if column is not None:
        return Named(source, column)
    if not share:
        return None
    return Share(Order(source, seed, target, classes=True), share) if stratify else Drawn(share, seed)
