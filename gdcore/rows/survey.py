"""What has to be known of a table before its first pass: categories, and the target's labels."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gdcore.messages import Message, Option
from gdcore.rows import dates
from gdcore.rows.arrow import TableError, arrow
from gdcore.rows.columns import Column, Target
from gdcore.rows.files.csvtext import meant_as_number, not_that
from gdcore.rows.missing import NUMBERS, one_column
from gdcore.rows.written import Writing, is_number, writing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gdcore._types import Label, RecordBatch
    from gdcore.losses import Loss
    from gdcore.rows.files.sources import Source
    from gdcore.rows.missing import Policy

CATEGORIES = 100
"""So many values a text column may have, or more where there are `ROWS_EACH` rows for each."""
ROWS_EACH = 1000
_NUMBERS = Option("loss", "mse"), " takes numbers"
_COUNTED = 100_000  # past so many values they are not counted on


class Survey:
    """Goes over batches of a table.

    Parameters
    ----------
    source : Source
    text : list of str
        The columns whose values are counted.
    target : str or None
        Whose values are looked at.
    loss : Loss or None
        What was asked for; None: the target decides.
    policy : Policy
        What becomes of missing values.
    drop : list of str
        The columns that leave a row out, which does not count then, where they have no value.
    codes : frozenset of str
        The columns of codes: categories, whatever they look like.
    """

    def __init__(
        self,
        source: Source,
        text: list[str],
        target: str | None,
        loss: Loss | None,
        policy: Policy,
        drop: list[str],
        codes: frozenset[str],
    ) -> None:
        self.source, self.loss, self.policy, self.drop, self.codes = source, loss, policy, drop, codes
        self.counts: dict[str, dict[str, int]] = {name: {} for name in text}
        self.others: dict[str, set[str]] = {name: set() for name in text}
        """Values of rows that do not count."""
        self.nulls = dict.fromkeys(text, 0)
        self.goal = target
        self.labels: dict[Label, None] = {}
        self.rows = self.all_rows = 0
        self.gaps = dict.fromkeys(drop, 0)
        """In how many rows each column that leaves rows out has no value."""
        self.wrong: dict[str, str] = {}
        """Columns that cannot be used, and why."""
        self.notes: list[str] = []
        """What is odd."""

    def add(self, batch: RecordBatch) -> None:
        """Takes a batch into account."""
        self.all_rows += batch.num_rows
        if self.drop:
            pc = arrow().compute
            for name in self.drop:
                self.gaps[name] += int(pc.sum(batch.column(name).is_null(nan_is_null=True)).as_py() or 0)
            known = (pc.invert(batch.column(name).is_null(nan_is_null=True)) for name in self.drop)
            valid = functools.reduce(pc.and_, known)
            count, every = int(pc.sum(valid).as_py() or 0), batch.num_rows
            batch = batch.select([*dict.fromkeys([*self.counts, *([] if self.goal is None else [self.goal])])])
            if count < every and batch.num_columns:
                gone = pc.invert(valid)
                for name, values in self.others.items():
                    if len(values) <= _COUNTED:
                        values.update(pc.unique(batch.column(name).filter(gone).drop_null()).to_pylist())
                batch = batch.filter(valid)
            self.rows += count
        else:
            self.rows += batch.num_rows
        for name in self.nulls:
            self.nulls[name] += batch.column(name).null_count
        for name, counts in self.counts.items():
            if len(counts) <= _COUNTED:
                for pair in batch.column(name).value_counts().to_pylist():
                    if pair["values"] is not None:
                        counts[pair["values"]] = counts.get(pair["values"], 0) + pair["counts"]
        if self.goal is not None and not self.settled:
            values = arrow().compute.unique(batch.column(self.goal)).to_pylist()
            self.labels |= dict.fromkeys(value for value in values if value is not None and value == value)

    @property
    def settled(self) -> bool:
        """Whether it is clear what the target is: with more than two numbers, and no loss asked for, it is a number."""
        assert self.goal is not None
        undecided = self.loss is None and self.source.kinds[self.goal] in ("number", "integer", "empty")
        return len(self.labels) > (2 if undecided else _COUNTED)

    @property
    def enough(self) -> bool:
        """Whether nothing more can come of it."""
        return not self.counts and (self.goal is None or self.settled)

    @property
    def most(self) -> int:
        """So many categories a column may have."""
        return max(CATEGORIES, self.all_rows // ROWS_EACH)

    # What follows ----------------------------------------------------------------------------------------------------------

    def column(self, name: str) -> Column:
        """A feature that is no date, as the model will know it; what is wrong with it is collected."""
        kind = self.source.kinds[name]
        column = self._category(name) if kind == "text" else Column(name, "number" if kind == "empty" else kind)
        return with_policy(column, self.policy, self.source.label)

    def _category(self, name: str) -> Column:
        counts = self.counts[name]
        if name not in self.codes:
            if written := self.writing(counts):
                return self._written(name, written, counts)
            self.check_meant(name, counts)
        gap = None
        if counts and self.nulls[name] and self.policy.of_column(name, text=True) == "category":
            gap = "missing"
            while gap in counts:
                gap = f"({gap})"
            counts = counts | {gap: self.nulls[name]}
        if not counts:
            self.wrong[name] = f"column {name} has no value at all"
        elif (many := len({*counts, *self.others[name]})) > self.most:  # of all rows: the same whatever leaves rows out
            several = f"{_several(many)} values, too many for categories (at most {self.most})"
            self.wrong[name] = f"column {name} is text with {several}"
        else:
            self._look_alike(name, counts)
        commonest, *others = sorted(counts, key=lambda value: (-counts[value], value)) or [""]
        return Column(name, "category", tuple(sorted(others)), commonest, gap=gap)

    def writing(self, values: Collection[str]) -> Writing | None:
        """How all values of a text column are written as numbers; None where they are not, or need no reading."""
        if all(is_number(value, self.source.decimal) for value in values):
            return None
        return writing(values, self.source.decimal, self.source.declared)

    def _written(self, name: str, writing: Writing, values: Iterable[str]) -> Column:
        """The column of numbers, with a note."""
        text = next(value for value in values if not is_number(value, self.source.decimal))
        number = f"{writing.number(text):.15g}" + (f" in {writing.unit}" if writing.unit else "")
        self.notes.append(f"{self.source.label}: column {name} has numbers written as text, and {text!r} is read as {number}")
        return Column(name, "number", writing=writing)

    def check_meant(self, name: str, values: Iterable[str]) -> None:
        """TableError with the place of what is no number in a column of text that is mostly numbers; a note where all are."""
        decimal, values = self.source.decimal, list(values)
        strays = [value for value in values if not is_number(value, decimal)]
        numbers = len(values) - len(strays) + sum(meant_as_number(value, decimal) is not None for value in strays)
        if values and not strays:
            self.notes.append(f"{self.source.label}: column {name} is text with numbers in it, and is taken as categories")
        if not strays or numbers * 2 <= len(values):
            return
        text, row = strays[0], 0
        for batch in self.source.batches([name]):
            found = arrow().compute.index(batch.column(0), text).as_py()
            if found >= 0:
                place = f"{self.source.place(row + found)}, column {name}: "
                raise TableError(Message(place, not_that(text, "a number", decimal)))
            row += batch.num_rows

    def _look_alike(self, name: str, values: Iterable[str]) -> None:
        seen: dict[str, str] = {}
        for value in values:
            other = seen.setdefault(value.strip(), value)
            if other != value:
                self.notes.append(
                    f"{self.source.label}: column {name} has {other!r} and {value!r}, which differ in blanks only, as two "
                    "categories"
                )
                return

    def target(self, name: str) -> Target:
        """The target, as numbers or as classes."""
        kind, where, loss = self.source.kinds[name], f"{self.source.label}: the target {name}", self.loss
        text = kind == "text"
        words = [str(label) for label in self.labels] if text else []
        written = self.writing(words) if text else None
        if written is not None and (loss.numeric if loss is not None else len(self.labels) > 2):
            return Target(self._written(name, written, words))
        if text and written is None:
            self.check_meant(name, words)
        if kind in dates.KINDS:
            raise TableError(f"{where} holds dates; make numbers of them first, days for example")
        if text and loss is not None and loss.numeric:
            takes = Option("loss", "logistic"), " and ", Option("loss", "softmax"), " take labels"
            raise TableError(Message(f"{where} is text, and {loss.name} wants numbers; ", *takes))
        numbers = not text and kind != "boolean"
        if self.goal is None or (loss is None and numbers and len(self.labels) > 2):
            return Target(Column(name, "number" if kind == "empty" else kind))
        # An infinite value is not a label, but an error that the first pass finds.
        labels = sorted(label for label in self.labels if not numbers or np.isfinite(label))
        whole = numbers and all(float(label).is_integer() for label in labels)
        if len(labels) < 2:
            if self.rows < 2:
                rows = "one row" if self.rows else "no row"
                rows += " without a missing value" if self.policy.rest == "drop" else ""
                raise TableError(f"{self.source.label} has {rows}; a model needs two")
            what = f"one value only, {int(labels[0]) if whole else labels[0]}" if labels else "no value at all"
            raise TableError(f"{where} has {what}, so that there is nothing to learn; take another one")
        if loss is not None and numbers and not whole:
            raise TableError(Message(f"{where} has numbers that are no integers, and {loss.name} wants classes; ", *_NUMBERS))
        if len(labels) > self.most:
            many = f"{where} has {_several(len(labels))} values, too many for classes (at most {self.most}); "
            raise TableError(Message(many, *(_NUMBERS if numbers else ("join the rare ones",))))
        if loss is not None and loss.targets == "binary" and len(labels) != 2:
            what = f"{where} has {len(labels)} classes, and {loss.name} is for two; "
            raise TableError(Message(what, Option("loss", "softmax"), " is for more"))
        if whole:
            labels = [int(label) for label in labels]
        words = sorted(words)
        column = Column(name, "category", tuple(words[1:]), words[0]) if text else Column(name, kind)
        return Target(column, tuple(labels))


def with_policy(column: Column, policy: Policy, where: str) -> Column:
    """The column with what becomes of its missing values; TableError where that is not for its kind."""
    text = column.kind == "category"
    word = policy.of_column(column.name, text)
    if text and word in NUMBERS:
        what = f"{where}: column {column.name} is text, and has no {word}; "
        advice = Option("missing", one_column(column.name, "category")), " makes a category of what is missing"
        raise TableError(Message(what, *advice))
    if not text and word == "category":
        kind = "numbers" if column.part is None else "dates"
        what = f"{where}: column {column.name} holds {kind}, and category is for text; take "
        advice = Option("missing", one_column(column.name, "mean")), ", median, indicator or drop"
        codes = (", or ", Option("categorical", [column.name])) if column.part is None else ()
        raise TableError(Message(what, *advice, *codes))
    return replace(column, missing=word)


def _several(count: int) -> str:
    return f"{count:,}" if count <= _COUNTED else f"more than {_COUNTED:,}"
