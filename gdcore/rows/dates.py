"""Dates and times as numbers: what a calendar and a clock say, and the days since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.messages import Message, Option
from gdcore.rows.arrow import TableError, arrow, as_numpy

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, ArrowArray, ArrowType, Floats

PARTS = {
    "date": ("year", "month", "weekday", "hour", "days since 1970"),
    "time": ("hours",),
    "duration": ("days",),
}
"""The numbers that a column of such a kind becomes. A weekday is 0 on Mondays; hours and days have fractions."""
KINDS = tuple(PARTS)
_DAY = 86_400_000_000  # microseconds


def unit(kind: str) -> ArrowType:
    """The Arrow type that a column of such a kind has, whatever it is in the file: microseconds."""
    pa = arrow()
    units: dict[str, ArrowType] = {"date": pa.timestamp("us"), "time": pa.time64("us"), "duration": pa.duration("us")}
    return units[kind]


def plain(column: ArrowArray, kind: str) -> ArrowArray:
    """An Arrow column of such a kind as `unit` has it: of zoned times what a clock in their zone says; text is read.

    None stands for text that is no date; that of a time with a distance from UTC is what a clock there says in UTC.
    """
    pa = arrow()
    if pa.types.is_string(column.type):
        return _read(column, kind)
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = pa.compute.local_timestamp(column)
    return column.cast(unit(kind), safe=False)


def checked(column: ArrowArray, kind: str, name: str, place: Callable[[int], str]) -> ArrowArray:
    """`plain`, or a TableError with the place of the first text that is none; ``place`` tells it of a row of the column."""
    moments = plain(column, kind)
    if moments.null_count > column.null_count:
        pc = arrow().compute
        row = pc.index(pc.and_(moments.is_null(), column.is_valid()), True).as_py()
        written = {"date": "2024-12-31 or 2024-12-31 18:30", "time": "18:30 or 18:30:59", "duration": "microseconds"}[kind]
        what = f"{column[row].as_py()!r:.60} is not a {kind} as {written}"
        advice = "; write it so, or say by ", Option("na"), " that it is missing"
        raise TableError(Message(f"{place(row)}, column {name}: {what}", *advice))
    return moments


def _read(column: ArrowArray, kind: str) -> ArrowArray:
    pa = arrow()
    coded = column.dictionary_encode()
    try:
        values = _moments(coded.dictionary, kind)
    except pa.ArrowInvalid:
        values = pa.array([_moment(text, kind) for text in coded.dictionary.to_pylist()], unit(kind))
    return values.take(coded.indices)


def _moments(texts: ArrowArray, kind: str) -> ArrowArray:
    """Of texts that are all written alike; ArrowInvalid where they are not."""
    pa = arrow()
    texts = pa.compute.utf8_trim(texts, " \t")
    if kind == "time":
        texts = pa.compute.binary_join_element_wise("1970-01-01", texts, " ")
    elif kind == "duration":
        return texts.cast(pa.int64()).cast(unit(kind))
    try:
        moments = texts.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:
        try:
            moments = texts.cast(pa.timestamp("us"))  # which goes further than the years 1677 to 2262
        except pa.ArrowInvalid:
            moments = texts.cast(pa.timestamp("us", "UTC"))
    return plain(moments, "date").cast(unit(kind))


def _moment(text: str, kind: str) -> object:
    pa = arrow()
    try:
        return _moments(pa.array([text]), kind)[0].as_py()
    except pa.ArrowInvalid:
        return None


def part(column: ArrowArray, name: str) -> Floats:
    """One of `PARTS` of a column that is `plain`; NaN where it is missing.

    >>> import pyarrow as pa
    >>> moments = plain(pa.array(["1970-01-04 12:00", "2024-02-29"]), "date")
    >>> [part(moments, name).tolist() for name in PARTS["date"]]
    [[1970.0, 2024.0], [1.0, 2.0], [6.0, 3.0], [12.0, 0.0], [3.5, 19782.0]]
    """
    pc = arrow().compute
    if name in ("year", "month", "hour"):
        found = getattr(pc, name)(column)
    elif name == "weekday":
        found = pc.day_of_week(column)
    else:
        divisor = _DAY / 24 if name == "hours" else _DAY
        found = pc.divide(column.cast(arrow().int64()).cast(arrow().float64(), safe=False), divisor)
    return as_numpy(found.cast(arrow().float64()))


class Span:
    """Which parts of a column differ from row to row; one that does not tells nothing."""

    def __init__(self, kind: str) -> None:
        self.low = dict.fromkeys(PARTS[kind], np.inf)
        self.high = dict.fromkeys(PARTS[kind], -np.inf)

    def add(self, column: ArrowArray) -> None:
        """Takes the next rows."""
        for name in self.low:
            known: Array = part(column, name)
            known = known[~np.isnan(known)]
            if len(known):
                self.low[name], self.high[name] = min(self.low[name], known.min()), max(self.high[name], known.max())

    @property
    def empty(self) -> bool:
        """Whether no row has a value."""
        return all(self.low[name] > self.high[name] for name in self.low)

    @property
    def parts(self) -> list[str]:
        """Those that differ; the last of all where none does."""
        return [name for name in self.low if self.low[name] < self.high[name]] or [list(self.low)[-1]]
