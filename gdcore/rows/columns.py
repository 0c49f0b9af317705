"""What becomes of a table's columns: numbers stay, booleans are 0 and 1, categories a column of zeros and ones for each value.

The commonest value of a category has no column of its own: its weight is part of the bias, and the weight of another value is
the difference from it. So the columns of X are not dependent where those of the table are not.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import schema
from gdcore.rows import dates
from gdcore.rows.arrow import arrow, as_numpy, from_texts
from gdcore.rows.coded import Coded, Places
from gdcore.rows.files.sources import Marks
from gdcore.rows.missing import POLICIES, Policy
from gdcore.rows.written import Writing

if TYPE_CHECKING:
    from gdcore._types import Array, ArrowArray, Floats, Label

KINDS = ("number", "integer", "boolean", "text", *dates.KINDS, "empty")
"""Of a table's columns, those that can be used, or of which a message knows what to do."""
EXACT = 2**53  # integers past it are rounded in float64


class Numbers(NamedTuple):
    """A column of a batch."""

    values: Array
    missing: Array | None = None
    """Where it is missing in the table; None: nowhere."""
    finite: bool = True
    """Whether all values are known to be finite."""
    filled: bool = False
    """Whether something stands for each that is missing."""


@dataclass(frozen=True)
class Column:
    """One column of the table, and the columns of X that come from it.

    Attributes
    ----------
    name : str
    kind : {"number", "integer", "boolean", "category", "date", "time", "duration"}
    values : tuple of str
        Of a category, those with a column of their own.
    base : str or None
        Of a category, its commonest value: zeros in all columns.
    writing : Writing or None
        Of a number that the table has as text: how it is written.
    part : str or None
        Of dates and times, the one of `gdcore.rows.dates.PARTS` that it is.
    missing : str
        What becomes of a missing value: one of `gdcore.rows.missing.POLICIES`.
    fill : float or None
        Of a number, what stands for a missing value.
    indicator : bool
        Whether a column of 0 and 1 beside it says where it is missing.
    gap : str or None
        Of a category, the value that stands for a missing one: a category of its own.
    """

    name: str
    kind: str
    values: tuple[str, ...] = ()
    base: str | None = None
    writing: Writing | None = None
    part: str | None = None
    missing: str = "error"
    fill: float | None = None
    indicator: bool = False
    gap: str | None = None

    @property
    def label(self) -> str:
        """Its name among others that come from the same column of the table."""
        return self.name if self.part is None else f"{self.name} {self.part}"

    @property
    def names(self) -> list[str]:
        """Of its columns in X.

        >>> Column("carrier", "category", ("AA", "UA"), base="DL").names
        ['carrier=AA', 'carrier=UA']
        >>> Column("day", "date", part="year").names, Column("age", "number", fill=30.5, indicator=True).names
        (['day year'], ['age', 'age is missing'])
        """
        if self.kind == "category":
            return [f"{self.name}={value}" for value in self.values]
        return [self.label, *([f"{self.name} is missing"] if self.indicator else [])]

    def numbers(self, column: ArrowArray) -> Numbers:
        """A batch's column as numbers; of a category codes, as `gdcore.rows.coded.Coded` has them."""
        pa = arrow()
        if self.kind == "category":
            return self._codes(column)
        if self.part is not None:
            return self._filled(dates.part(column, self.part))
        if self.writing is not None and pa.types.is_string(column.type):
            return self._read(column, self.writing)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        numbers = as_numpy(column)  # a null is NaN
        return self._filled(numbers) if numbers.dtype.kind == "f" else Numbers(numbers)

    def _filled(self, numbers: Floats) -> Numbers:
        with np.errstate(over="ignore", invalid="ignore"):
            # Not finite where one of them is not: the quickest way to see that none is.
            total = np.add.reduce(numbers)
        if np.isfinite(total):
            return Numbers(numbers)
        missing = np.isnan(numbers)
        if not missing.any():
            return Numbers(numbers, finite=False)
        if self.fill is None:
            return Numbers(numbers, missing, finite=False)
        return Numbers(np.where(missing, self.fill, numbers), missing, finite=False, filled=True)

    def _codes(self, column: ArrowArray) -> Numbers:
        pa = arrow()
        known = from_texts([str(self.base), *self.values])
        codes = pa.compute.index_in(column, value_set=known, skip_nulls=True)
        numbers = as_numpy(codes, -1)
        if not column.null_count:
            return Numbers(numbers)
        missing = as_numpy(column.is_null())
        if self.gap is None:
            return Numbers(numbers, missing)
        gap = np.int32([self.base, *self.values].index(self.gap))
        return Numbers(np.where(missing, gap, numbers), missing, filled=True)

    def _read(self, column: ArrowArray, writing: Writing) -> Numbers:
        """Text as numbers; NaN where it is none, and where it is missing and nothing stands for it."""
        coded = column.dictionary_encode()
        read = [writing.number(text) for text in coded.dictionary.to_pylist()]
        numbers = np.array([*(math.nan if number is None else number for number in read), math.nan])
        if self.fill is not None:
            numbers[-1] = self.fill
        codes = as_numpy(coded.indices, len(read))
        missing = as_numpy(column.is_null()) if column.null_count else None
        return Numbers(numbers[codes], missing, finite=False, filled=self.fill is not None)


def places_of(columns: list[Column]) -> Places:
    """Where in X what comes of them stands."""
    numbers: list[int] = []
    categories: list[tuple[int, int]] = []
    at = 0
    for column in columns:
        width = len(column.names)
        if column.kind == "category":
            categories.append((at, width))
        else:
            numbers += range(at, at + width)
        at += width
    return Places(tuple(numbers), tuple(categories), at)


def coded(found: list[Numbers], columns: list[Column], places: Places, rows: Array | None) -> Coded:
    """The rows, or some of them by their numbers, of the columns' numbers."""
    numbers: list[Array] = []
    codes: list[Array] = []
    for part, column in zip(found, columns, strict=True):
        if column.kind == "category":
            codes.append(part.values)
        else:
            numbers.append(part.values)
            if column.indicator:
                numbers.append(np.zeros(len(part.values), bool) if part.missing is None else part.missing)
    whole = Coded(places, numbers, codes)
    return whole if rows is None else whole[rows]


@dataclass(frozen=True)
class Target:
    """The target: numbers, or labels that stand for classes 0, 1, ….

    Attributes
    ----------
    column : Column
    labels : tuple
        Empty for numbers; else what the classes are called in the table: text, numbers or booleans, in order.
    """

    column: Column
    labels: tuple[Label, ...] = ()

    def classes(self, numbers: Floats) -> Floats:
        """Class numbers of what `Column.numbers` gave; −1 where it is no label."""
        if not self.labels or self.column.kind == "category":
            return numbers
        labels = np.array(self.labels, np.float64)
        at = np.searchsorted(labels, numbers).clip(max=len(labels) - 1)
        return np.where(labels[at] == numbers, at, -1.0)


@dataclass(frozen=True)
class Encoding:
    """How a table becomes numbers: what a model has to know to be used on another table."""

    columns: list[Column]
    target: Target | None = None
    weights: str | None = None
    missing: str = "error"
    """What was asked to become of missing values, as `gdcore.rows.missing.Policy` reads it; each column has its own."""
    others: list[str] = field(default_factory=list)
    """Columns of the table that the model was not to see."""
    unseen: str = "base"
    """What becomes of a category in a new table that is none of its column's: "base", it counts as the commonest; "empty", its
    row has no prediction; "error"."""
    marks: Marks = field(default_factory=Marks)
    """What else stood for a missing value."""

    @property
    def names(self) -> list[str]:
        """The columns of X."""
        return [name for column in self.columns for name in column.names]

    @functools.cached_property
    def places(self) -> Places:
        """Where in X they stand."""
        return places_of(self.columns)

    def card(self) -> dict[str, Any]:
        """As what JSON can hold."""
        card: dict[str, Any] = _plain(self)
        return card

    @classmethod
    def of_card(cls, card: Any) -> Encoding:
        """From `card`; ValueError where it is no such thing."""
        ENCODING(card, "its encoding")
        try:
            policy = Policy.of(card["missing"])
        except ValueError as error:
            raise ValueError(f"its encoding: {error}") from None
        target = card["target"]
        return cls(
            [_column(column, policy) for column in card["columns"]],
            None if target is None else Target(_column(target["column"], policy), tuple(target["labels"])),
            card["weights"], card["missing"], list(card["others"]), card.get("unseen", "base"),
            Marks(**{name: tuple(marks) for name, marks in card.get("marks", {}).items()}),
        )  # fmt: skip


_COLUMN = schema.record({
    "name": schema.text, "kind": schema.one_of("number", "integer", "boolean", "category", *dates.KINDS),
    "values": schema.listed(schema.text), "base": schema.optional(schema.text),
}, {
    "fill": schema.optional(schema.number), "mean": schema.optional(schema.number),
    "missing": schema.one_of(*POLICIES), "indicator": schema.flag, "gap": schema.optional(schema.text),
    "part": schema.optional(schema.one_of(*(part for parts in dates.PARTS.values() for part in parts))),
    "writing": schema.optional(schema.record({"decimal": schema.one_of(".", ","), "unit": schema.text})),
})  # fmt: skip
ENCODING = schema.record({
    "columns": schema.listed(_COLUMN),
    "target": schema.optional(schema.record({"column": _COLUMN, "labels": schema.listed(schema.scalar)})),
    "weights": schema.optional(schema.text), "missing": schema.text,
    "others": schema.listed(schema.text),
}, {
    "unseen": schema.one_of("base", "empty", "error"),
    "marks": schema.record({"na": schema.listed(schema.text), "keep": schema.listed(schema.text)}),
})  # fmt: skip
"""What `Encoding.card` gives."""


def _plain(value: Any) -> Any:
    """`dataclasses.asdict`, but that it copies nothing that cannot change, and has lists for tuples."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return value


def _column(card: dict[str, Any], policy: Policy) -> Column:
    card = dict(card)
    if "mean" in card:  # as version 0.1.0 has it, where means alone were filled in, and one policy was for all columns
        card["fill"] = card.pop("mean")
        card.setdefault("missing", policy.of_column(card["name"], text=card["kind"] == "category"))
    writing = card.get("writing")
    column = Column(**card | {"values": tuple(card["values"]), "writing": writing and Writing(**writing)})
    if column.part not in dates.PARTS.get(column.kind, (None,)):
        raise ValueError(f"its encoding: column {column.name} of kind {column.kind} has the part {column.part}")
    return column
