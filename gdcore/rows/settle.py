"""What becomes of a table's columns: decided by passes over those that have to be seen for it, where there are any."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gdcore.messages import Message, Option, joined
from gdcore.rows import dates
from gdcore.rows.arrow import TableError, as_numpy
from gdcore.rows.checks import all_missing
from gdcore.rows.columns import Column, Encoding, Target
from gdcore.rows.files.sources import Source
from gdcore.rows.fills import Fill, fill
from gdcore.rows.missing import NUMBERS
from gdcore.rows.survey import Survey, with_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, RecordBatch
    from gdcore.rows.roles import Roles
    from gdcore.rows.split import Split


class Settling:
    """The passes, and what follows from them.

    Parameters
    ----------
    source : Source
    roles : Roles
    split : Split or None
        Which rows test, and so do not tell what stands for a missing value.
    kept : bool
        Whether a pass over all columns is not in vain, since they need not be decoded again.
    progress : callable or None
        Called with the number of rows of each batch.
    """

    def __init__(
        self, source: Source, roles: Roles, split: Split | None, kept: bool, progress: Callable[[int], object] | None
    ) -> None:
        self.source, self.roles, self.split, self.progress = source, roles, split, progress
        kinds, policy = source.kinds, roles.policy
        self.dates = [name for name in roles.used if kinds[name] in dates.KINDS]
        text = [name for name in roles.used if kinds[name] == "text"]
        real = roles.loss is not None and roles.loss.numeric
        target, weights = roles.target, roles.weights
        # A target that ought to be numbers and is text is looked at as well: it may be numbers but for one.
        goal = None if target is None or (real and kinds[target] not in ("text", *dates.KINDS)) else target
        self.counted = [*text, weights] if weights is not None and kinds[weights] == "text" else text
        self.drop = [name for name in roles.used if policy.of_column(name, kinds[name] == "text") == "drop"]
        self.drop += [target] if target is not None and policy.of_target(target) == "drop" else []
        self.drop += [weights] if weights is not None and policy.of_weights(weights) == "drop" else []
        self.survey = Survey(source, self.counted, goal, roles.loss, policy, self.drop, roles.codes)
        self.spans = {name: dates.Span(kinds[name]) for name in self.dates if name in roles.moments}
        self.fills: dict[str, Fill] = {}
        """What is to stand for missing numbers, by the columns' labels."""
        self.pending = [Column(name, kinds[name]) for name in roles.used if kinds[name] not in ("text", *dates.KINDS)]
        self.pending = [column for column in self.pending if policy.of_column(column.name, text=False) in NUMBERS]
        self._pass(goal, kept)
        if weights is not None and weights in self.counted:
            self.survey.check_meant(weights, self.survey.counts[weights])
            raise TableError(f"{source.label}: column {weights} is text, and weights are numbers; give another one")
        if self.drop and self.survey.all_rows and not self.survey.rows:
            raise all_missing(source.label, self.survey.gaps, roles.used)

    def _pass(self, goal: str | None, kept: bool) -> None:
        """The first one: over what is counted, dates, and numbers of which it is known that they are numbers."""
        if not (self.counted or goal or self.spans or self.pending):
            return
        start = 0
        self._begin()
        wanted = [*self.counted, *self.spans, *self._for_fills(), *self.drop, *([goal] if goal else [])]
        for batch in self.source.batches(self.roles.read if kept else [*dict.fromkeys(wanted)]):
            self.survey.add(batch)
            for name, span in self.spans.items():
                span.add(batch.column(name))
            self._fill(batch, start)
            start += batch.num_rows
            if not kept and not self.spans and not self.pending and self.survey.enough:
                break
        self._end()

    def _for_fills(self) -> list[str]:
        """The columns that `_fill` looks at."""
        if not self.pending:
            return []
        return [*(column.name for column in self.pending), *self.drop, *(self.split.columns if self.split else ())]

    def _begin(self) -> None:
        for column in self.pending:
            if column.label not in self.fills:
                word = self.roles.policy.of_column(column.name, text=False)
                self.fills[column.label] = fill(word, column, len(self.roles.used))

    def _fill(self, batch: RecordBatch, start: int) -> None:
        """Takes some rows into account for those that are pending."""
        if self.pending:
            trains = self._trains(batch, start)
            for column in self.pending:
                self.fills[column.label].add(batch.column(column.name), trains)
        if self.progress is not None:
            self.progress(batch.num_rows)

    def _end(self) -> None:
        self.pending = [column for column in self.pending if self.fills[column.label].end()]

    def encoding(self) -> Encoding:
        """The outcome; TableError for columns that cannot be used."""
        roles, where = self.roles, self.source.label
        columns = [column for name in roles.used for column in self._columns(name)]
        columns = self._with_fills(columns)
        if wrong := self.survey.wrong:
            advice = "; leave out with ", Option("exclude", [*wrong])
            raise TableError(Message(f"{where}: ", joined("; ", wrong.values()), *advice), wrong)
        target = None
        if roles.target is not None:
            target = self.survey.target(roles.target)
            target = Target(replace(target.column, missing=roles.policy.of_target(roles.target)), target.labels)
        others = [name for name in self.source.kinds if name not in roles.used]
        return Encoding(
            columns, target, roles.weights, roles.policy.text, others, roles.unseen, self.source.marks
        )  # fmt: skip

    def _columns(self, name: str) -> list[Column]:
        """What comes from a column of the table."""
        if name not in self.dates:
            return [self.survey.column(name)]
        kind, where = self.source.kinds[name], self.source.label
        if name not in self.spans:
            what = f"column {name} holds dates, of which "
            self.survey.wrong[name] = Message(what, Option("dates", [name]), " makes numbers")
            return []
        if self.spans[name].empty:
            self.survey.wrong[name] = f"column {name} has no value at all"
        return [with_policy(Column(name, kind, part=part), self.roles.policy, where) for part in self.spans[name].parts]

    def _with_fills(self, columns: list[Column]) -> list[Column]:
        """The columns with what stands for their missing values, of the rows that train and stay."""
        filled = [column for column in columns if column.missing in NUMBERS and column.name not in self.survey.wrong]
        self.pending += [column for column in filled if column.label not in self.fills]
        while self.pending:
            self._begin()
            start = 0
            for batch in self.source.batches([*dict.fromkeys(self._for_fills())]):
                self._fill(batch, start)
                start += batch.num_rows
            self._end()
        told: set[str] = set()
        for j, column in enumerate(columns):
            if column in filled:
                one = self.fills[column.label]
                if one.value is None:
                    what = f"column {column.name} has no value in the rows that train, and so no "
                    self.survey.wrong[column.name] = what + ("median" if column.missing == "median" else "mean")
                indicator = column.missing == "indicator" and one.gaps > 0 and column.name not in told
                columns[j] = replace(column, fill=one.value, indicator=indicator)
                told.add(column.name)
        return columns

    def _trains(self, batch: RecordBatch, start: int) -> Array:
        """Which rows train: they are not held out, nor left out for a missing value."""
        trains = np.ones(batch.num_rows, bool)
        if self.split is not None:
            trains &= ~self.split.tests(start, batch)
        for name in self.drop:
            trains &= ~as_numpy(batch.column(name).is_null(nan_is_null=True))
        return trains
