"""What is looked at in every value of a table as it goes by: whether it can be used, and whether it is odd."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.losses.targets import AMOUNTS, no_amounts
from gdcore.messages import Message, Option
from gdcore.rows.arrow import TableError, arrow, as_numpy
from gdcore.rows.columns import EXACT, Column, Encoding, Numbers
from gdcore.rows.files.sources import Source
from gdcore.rows.missing import Policy, one_column
from gdcore.rows.written import MEND

if TYPE_CHECKING:
    from collections.abc import Collection

    from gdcore._types import Array, ArrowArray, RecordBatch
    from gdcore.losses import Loss


class Strange(NamedTuple):
    """Categories that a column does not know: in how many rows, and the first of them."""

    rows: int
    value: str


class Checks:
    """Of one pass over the rows of a source.

    Parameters
    ----------
    source : Source
    encoding : Encoding
    read : list of Column
        Its columns, those of the target and of the weights behind them.
    unseen : {"base", "empty", "error"}
        What becomes of categories that a column does not know.
    advice : str or None
        What to do about missing values. None: what `gdcore.open_table` has for them.
    constant : dict or None
        Of each column the one value that it has had up to here, None where there were several; None: nobody wants to know.
    notes : list of str
        Takes what is odd.
    loss : Loss, optional
        Whose targets are looked at.
    """

    def __init__(
        self,
        source: Source,
        encoding: Encoding,
        read: list[Column],
        unseen: str,
        advice: str | None,
        constant: dict[str, str | float | None] | None,
        notes: list[str],
        loss: Loss | None = None,
    ) -> None:
        self.source, self.encoding, self.read, self.unseen, self.advice = source, encoding, read, unseen, advice
        self.constant, self.notes, self.loss = constant, notes, loss
        self.strange: dict[str, Strange] = {}
        self.gaps = dict.fromkeys((column.name for column in read), 0)
        """In how many rows each column has no value."""
        self.rows = self.kept = 0

    def take(self, batch: RecordBatch, found: list[Numbers]) -> Array | None:
        """Takes the next rows; which of them are kept, None for all. TableError where one cannot be used."""
        gone = self._left_out(batch, found)
        strange = self._strange(batch, found, gone)
        gone = either(gone, strange if self.unseen == "empty" else None)
        keep = None if gone is None else ~gone
        self._examine(batch, found, keep)
        self.kept += batch.num_rows if keep is None else int(keep.sum())
        self.rows += batch.num_rows
        return keep

    # What is missing --------------------------------------------------------------------------------------------------------

    def _left_out(self, batch: RecordBatch, found: list[Numbers]) -> Array | None:
        """The rows that are left out because a value is missing; an error for one in a row that stays and must not be."""
        pairs = list(zip(self.read, found, strict=True))
        for name, missing in {column.name: numbers.missing for column, numbers in pairs}.items():
            self.gaps[name] += 0 if missing is None else int(missing.sum())
        gone = functools.reduce(either, (numbers.missing for column, numbers in pairs if column.missing == "drop"), None)
        first: tuple[int, int] | None = None
        for j, (column, numbers) in enumerate(pairs):
            if numbers.missing is None or numbers.filled or column.missing == "drop":
                continue
            missing = numbers.missing if gone is None else numbers.missing & ~gone
            if missing.any() and (first is None or np.argmax(missing) < first[0]):
                first = int(np.argmax(missing)), j
        if first is not None:
            raise self._missing(*first)
        return gone

    def _missing(self, row: int, j: int) -> TableError:
        """That a value is missing, and what to do."""
        column, encoding = self.read[j], self.encoding
        feature = j < len(encoding.columns)
        what = "the row's weight is missing" if column.name == encoding.weights else "the target is missing"
        if feature:
            what = "a value is missing" + ("" if column.missing == "error" else ", and none was when the model was trained")
        named = Policy.of(encoding.missing).named
        advice: tuple[str | Option, ...] = _policy(column, "drop", named), " leaves such rows out"
        if feature and column.missing == "error":
            category = column.kind == "category"
            other = " makes it a category of its own" if category else " puts the column's mean there"
            advice = *advice, ", ", _policy(column, "category" if category else "mean", named), other
        return TableError(
            Message(f"{self._place(row)}, column {column.name}: {what}; ", *((self.advice,) if self.advice else advice))
        )

    def dropped(self) -> dict[str, int]:
        """`gaps` of the columns for which rows are left out."""
        names = {column.name for column in self.read if column.missing == "drop"}
        return {name: count for name, count in self.gaps.items() if name in names}

    def end(self) -> None:
        """Says that the pass is over."""
        dropped, features = self.dropped(), [column.name for column in self.encoding.columns]
        if self.encoding.target is not None:
            if self.rows and not self.kept:
                raise all_missing(self.source.label, dropped, features)
            if self.constant is not None and self.kept * 2 < self.rows:
                where, names = _where_missing(dropped, features)
                what = f"{self.rows - self.kept:,} of {self.rows:,} rows are left out because a value is missing, {where}"
                advice = ("; ", Option("exclude", names), " leaves columns out instead") if names else ()
                self.notes.append(Message(f"{self.source.label}: {what}", *advice))
        self._note_constants()

    # What is wrong ----------------------------------------------------------------------------------------------------------

    def _place(self, row: int) -> str:
        return self.source.place(self.rows + row)

    def _examine(self, batch: RecordBatch, found: list[Numbers], keep: Array | None) -> None:
        """Every value that is used is a finite number, a known category, a label; no weight is negative."""
        encoding = self.encoding
        for j, (column, numbers) in enumerate(zip(self.read, found, strict=True)):
            values = numbers.values
            own = j >= len(encoding.columns)
            if column.kind == "category":
                continue
            raw = batch.column(column.name)
            if column.writing is not None and arrow().types.is_string(raw.type):
                self._no_number(raw, column, values, keep)
            if column.kind == "boolean" and not own and not arrow().types.is_boolean(raw.type):
                flags = as_numpy(raw)
                wrong = (flags != 0) & (flags != 1) & ~np.isnan(flags)
                self._no(wrong, keep, column, "neither true nor false, nor 1 nor 0; " + MEND)
            if not numbers.finite:
                self._no(~np.isfinite(values), keep, column, f"an infinite number; {MEND}")
            if own and column.name != encoding.weights:
                self._no_target(values, keep, column)
            if own and column.name == encoding.weights:
                self._no(values < 0, keep, column, "a negative weight; weights are at least 0")
            elif own and encoding.target and encoding.target.labels:
                self._no(encoding.target.classes(values) < 0, keep, column, "none of the target's classes")
            elif self.constant is not None:
                if not own:
                    self._note_constant(self.constant, column.label, values if keep is None else values[keep])
                if column.kind == "integer":
                    self._note_rounded(column, values)

    def _strange(self, batch: RecordBatch, found: list[Numbers], gone: Array | None) -> Array | None:
        """Which rows, of those that are not gone, have a category that its column does not know; they are counted."""
        strange = None
        for column, numbers in zip(self.read, found, strict=True):
            if column.kind != "category" or not (numbers.values < 0).any():
                continue
            unknown = numbers.values < 0 if gone is None else (numbers.values < 0) & ~gone
            if not unknown.any():
                continue
            strange = either(strange, unknown)
            value = batch.column(column.name)[int(np.argmax(unknown))].as_py()
            if self.unseen == "error":
                some = ", ".join([str(column.base), *column.values[:5]]) + (", …" if column.values[5:] else "")
                what = f"{value!r} is none of {some}, which the model knows; {MEND}"
                place = self._place(int(np.argmax(unknown)))
                others = Option("unseen", "base"), " or ", Option("unseen", "empty")
                raise TableError(Message(f"{place}, column {column.name}: {what}, or take ", *others))
            count, value = self.strange.get(column.name, (0, value))
            self.strange[column.name] = Strange(count + int(unknown.sum()), value)
        return strange

    def _no_number(self, raw: ArrowArray, column: Column, values: Array, keep: Array | None) -> None:
        """Text that is not written as the column's numbers are."""
        wrong = np.isnan(values) if keep is None else np.isnan(values) & keep
        if wrong.any():
            row, unit = int(np.argmax(wrong)), column.writing.unit if column.writing else ""
            what = f"{raw[row].as_py()!r} is not a number" + (f" in {unit}" if unit else "")
            raise TableError(f"{self._place(row)}, column {column.name}: {what}; {MEND}")

    def _no_target(self, values: Array, keep: Array | None, column: Column) -> None:
        """A number that is none of the amounts which the loss wants."""
        if self.loss is None or self.loss.targets not in AMOUNTS:
            return
        wrong = no_amounts(values, self.loss.targets)
        if wrong.any():
            first = values[np.argmax(wrong if keep is None else wrong & keep)]
            self._no(
                wrong, keep, column, f"{first:g} is no target for {self.loss.name}, which wants {AMOUNTS[self.loss.targets]}"
            )

    def _no(self, wrong: Array, keep: Array | None, column: Column, what: str) -> None:
        wrong = wrong if keep is None else wrong & keep
        if wrong.any():
            raise TableError(f"{self._place(int(np.argmax(wrong)))}, column {column.name}: {what}")

    # What is odd ------------------------------------------------------------------------------------------------------------

    def _note_constants(self) -> None:
        found = [(name, value) for name, value in (self.constant or {}).items() if value is not None]
        if found:
            name, value = found[0]
            value = value if isinstance(value, str) else format(value, "g")
            what = f"column {name} is {value} in every row, and so tells nothing"
            if len(found) > 1:
                more = f" and {len(found) - 6:,} more" if len(found) > 6 else ""
                what = f"columns {', '.join(name for name, _ in found[:6])}{more} have one value each, and so tell nothing"
            self.notes.append(f"{self.source.label}: {what}")

    def _note_constant(self, constant: dict[str, str | float | None], name: str, values: Array) -> None:
        if len(values) and constant.setdefault(name, float(values[0])) is not None and (values != constant[name]).any():
            constant[name] = None

    def _note_rounded(self, column: Column, values: Array) -> None:
        large = np.abs(values) >= EXACT + (values.dtype.kind in "iu")
        if large.any() and not any(f"column {column.name} has" in note for note in self.notes):
            place = self._place(int(np.argmax(large)))
            self.notes.append(f"{place}: column {column.name} has integers past 2⁵³, which are rounded to 16 digits")


def all_missing(where: str, gaps: dict[str, int], features: list[str]) -> TableError:
    """That no row is left, by columns and how many values each lacks."""
    told, names = _where_missing(gaps, features)
    advice = ("leave such columns out by ", Option("exclude", names)) if names else ("fill it in",)
    return TableError(Message(f"{where}: every row has a missing value, {told}; ", *advice))


def _policy(column: Column, word: str, named: Collection[tuple[str, str]]) -> Option:
    """The policy for all columns; where some have their own, for this one."""
    return Option("missing", one_column(column.name, word) if named else word)


def _where_missing(gaps: dict[str, int], features: list[str]) -> tuple[str, list[str]]:
    """Up to three columns that have the most missing values, with their counts; the features among them, for an option."""
    most = sorted(gaps, key=lambda name: -gaps[name])[:3]
    most = [name for name in most if gaps[name] * 2 > gaps[most[0]]]
    where = ", ".join(f"{gaps[name]:,} of them in column {name}" for name in most)
    return where, [name for name in most if name in features]


def either(one: Array | None, other: Array | None) -> Array | None:
    """Where one or the other is."""
    return other if one is None else one if other is None else one | other
