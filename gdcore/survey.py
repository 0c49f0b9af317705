"""What has to be known of a table before its first pass: categories, the target's labels, the columns' means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.columns import Column, Target
from gdcore.sources import TableError, arrow, is_number

if TYPE_CHECKING:
    from gdcore._types import Array
    from gdcore.losses import Loss
    from gdcore.sources import Source

CATEGORIES = 100
"""So many values a text column may have, or more where there are `ROWS_EACH` rows for each."""
ROWS_EACH = 1000
_COUNTED = 100_000  # past so many values they are not counted on


class Survey:
    """Goes over batches of a table.

    Parameters
    ----------
    source : Source
    text : list of str
        The features whose values are counted.
    target : str or None
        Whose values are looked at.
    loss : Loss or None
        What was asked for; None: the target decides.
    drop : bool
        Rows with a missing value do not count.
    means : bool
        The numbers' means are wanted.
    """

    def __init__(
        self, source: Source, text: list[str], target: str | None, loss: Loss | None, drop: bool, means: bool
    ) -> None:
        self.source, self.loss, self.drop, self.means = source, loss, drop, means
        self.counts: dict[str, dict[str, int]] = {name: {} for name in text}
        self.goal = target
        self.labels: set[Any] = set()
        self.sums: dict[str, tuple[float, int]] = {}
        self.rows = 0
        self.wrong: dict[str, str] = {}
        """Columns that cannot be used, and why."""

    def add(self, batch: Any, trains: Array | None = None) -> None:
        """Takes a batch into account; of rows that do not train, no means."""
        if self.means:
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if self.source.kinds[name] not in ("text", "date"):
                    self._sum(name, column, trains)
        if self.drop:
            batch = batch.filter(_all_valid(batch))
        self.rows += batch.num_rows
        for name, counts in self.counts.items():
            if len(counts) <= _COUNTED:
                for pair in batch.column(name).value_counts().to_pylist():
                    if pair["values"] is not None:
                        counts[pair["values"]] = counts.get(pair["values"], 0) + pair["counts"]
        if self.goal is not None and not self.settled:
            values = arrow().compute.unique(batch.column(self.goal)).to_pylist()
            self.labels.update(value for value in values if value is not None and value == value)

    @property
    def settled(self) -> bool:
        """Whether it is clear what the target is: with more than two numbers, and no loss asked for, it is a number."""
        assert self.goal is not None
        undecided = self.loss is None and self.source.kinds[self.goal] in ("number", "integer", "empty")
        return len(self.labels) > (2 if undecided else _COUNTED)

    @property
    def enough(self) -> bool:
        """Whether nothing more can come of it."""
        return not self.counts and not self.means and (self.goal is None or self.settled)

    def _sum(self, name: str, column: Any, trains: Array | None) -> None:
        types = arrow().types
        numbers = column.cast("uint8" if types.is_boolean(column.type) else "float64").to_numpy(zero_copy_only=False)
        known = ~np.isnan(numbers) if trains is None else trains & ~np.isnan(numbers)
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = total + float(numbers[known].sum()), count + int(known.sum())

    # What follows ----------------------------------------------------------------------------------------------------------

    def column(self, name: str) -> Column:
        """A feature, as the model will know it; what is wrong with it is collected."""
        kind = self.source.kinds[name]
        if kind in ("text", "date"):
            return self._category(name, kind)
        mean = None
        if self.means:
            total, count = self.sums.get(name, (0.0, 0))
            if not count:
                self.wrong[name] = f"column {name} has no value at all, and so no mean"
            mean = total / max(count, 1)
        return Column(name, "number" if kind == "empty" else kind, mean=mean)

    def _category(self, name: str, kind: str) -> Column:
        counts = self.counts[name]
        several = f"{len(counts):,}" if len(counts) <= _COUNTED else f"more than {_COUNTED:,}"
        if kind == "text" and sum(is_number(value) for value in counts) * 2 > len(counts):
            self._stray(name, next(value for value in counts if not is_number(value)))
        if not counts:
            self.wrong[name] = f"column {name} has no value at all"
        elif kind == "date":
            self.wrong[name] = f"column {name} holds dates, {several} values: make numbers of them first, days for example"
        elif len(counts) > max(CATEGORIES, self.rows // ROWS_EACH):
            self.wrong[name] = f"column {name} is text with {several} values, too many for categories ({CATEGORIES})"
        commonest, *others = sorted(counts, key=lambda value: (-counts[value], value)) or [""]
        return Column(name, "category", tuple(sorted(others)), commonest)

    def _stray(self, name: str, text: str) -> None:
        """A column of numbers with something else among them: the place is told."""
        row = 0
        for batch in self.source.batches([name]):
            found = arrow().compute.index(batch.column(0), text).as_py()
            if found >= 0:
                comma = is_number(text.replace(",", "."))
                advice = "if that is a decimal comma: --decimal ','" if comma else "mend it, or leave the column out"
                raise TableError(f"{self.source.place(row + found)}, column {name}: {text!r} is not a number; {advice}")
            row += batch.num_rows

    def target(self, name: str) -> Target:
        """The target, as numbers or as classes."""
        if self.goal is None:
            return Target(Column(name, self.source.kinds[name]))
        loss = self.loss
        kind, where = self.source.kinds[name], f"{self.source.label}: the target {name}"
        text = kind in ("text", "date")
        if loss is None and not text and kind != "boolean" and len(self.labels) > 2:
            return Target(Column(name, kind))
        labels = sorted(self.labels)
        if kind == "date":
            raise TableError(f"{where} holds dates: make numbers of them first, days for example")
        if len(labels) < 2:
            what = f"one value only, {labels[0]!r}" if labels else "no value at all"
            raise TableError(f"{where} has {what}: there is nothing to learn")
        if len(labels) > max(CATEGORIES, self.rows // ROWS_EACH):
            many = f"{len(labels):,}" if len(labels) <= _COUNTED else f"more than {_COUNTED:,}"
            advice = "" if text else "; --loss mse takes numbers"
            raise TableError(f"{where} has {many} values, too many for classes (at most {CATEGORIES}){advice}")
        if kind == "number" and loss is not None and any(label != int(label) for label in labels):
            raise TableError(
                f"{where} has numbers that are no integers, and {loss.name} wants classes; --loss mse takes numbers"
            )
        if loss is not None and loss.targets == "binary" and len(labels) != 2:
            raise TableError(f"{where} has {len(labels)} classes, and {loss.name} is for two; --loss softmax is for more")
        if kind == "integer":
            labels = [int(label) for label in labels]  # CSV's are read as float64
        column = Column(name, "category", tuple(labels[1:]), labels[0]) if text else Column(name, kind)
        return Target(column, tuple(labels))


def _all_valid(batch: Any) -> Any:
    """The rows in which nothing is missing."""
    pa = arrow()
    valid = pa.array(np.ones(batch.num_rows, bool))
    for column in batch.columns:
        valid = pa.compute.and_(valid, pa.compute.invert(column.is_null(nan_is_null=True)))
    return valid
