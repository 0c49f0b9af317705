"""Tables in files as `gdcore.fit` takes them: read, turned into numbers, split and checked while they stream by.

Memory holds a few pieces, whatever the file's size. A thread decodes the next piece while the last one is computed with.
"""

from __future__ import annotations

import collections
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from gdcore import losses
from gdcore.messages import Message, Option
from gdcore.notices import warn
from gdcore.rows.ahead import Ahead, Reader
from gdcore.rows.arrow import TableError
from gdcore.rows.checks import Checks, Strange
from gdcore.rows.coded import rows_at_once
from gdcore.rows.columns import Column, Encoding, Numbers, coded
from gdcore.rows.files.kept import MEMORY, Kept
from gdcore.rows.files.sources import Source
from gdcore.rows.glance import Glance
from gdcore.rows.missing import Policy
from gdcore.rows.roles import Roles, check_width
from gdcore.rows.settle import Settling
from gdcore.rows.split import Split
from gdcore.rows.tables import Block, Table, farthest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gdcore._types import Array, Floats, RecordBatch
    from gdcore.rows.tables import Piece

T = TypeVar("T")

_MOMENTS = 2048  # columns up to which the held-out rows' second moments are worth their memory


class TableWarning(UserWarning):
    """Something in a table that was read as it is, and may not be what is meant."""


class FileTable(Table):
    """A table in files. Made by `gdcore.open_table`.

    Attributes
    ----------
    encoding : Encoding
        What became of the columns.
    loss : Loss
        That was asked for, or that fits the target.
    held_out : HeldOut or None
        The rows that do not train.
    dropped : int
        How many rows the last pass left out because a value was missing.
    gaps : dict
        In how many rows of the last pass each column had no value; columns without such rows are not there.
    causes : dict
        `gaps` of the columns for which rows were left out; a column that is filled is not there.
    unseen : {"base", "empty", "error"}
        What becomes of categories that `encoding` does not know: see `gdcore.open_table`. The table that it is made of has
        none.
    strange : dict
        Of the last pass, for each column that had them: the categories that it does not know.
    notes : list of str
        What is odd in the values; it is warned of as well.
    seen : Glance
        Of the rows that train: the target's moments.
    progress : callable or None
        Called with the number of rows of each batch that has been read.
    advice : str or None
        What to do about missing values. None: what `gdcore.open_table` has for them.
    """

    encoding: Encoding
    loss: losses.Loss
    advice: str | None = None

    tells_constants = True

    def __init__(self, source: Source, split: Split | None = None) -> None:
        self.source, self.split = source, split
        self.held_out: HeldOut | None = None if split is None else HeldOut(self)
        self.dropped = 0
        self.gaps: dict[str, int] = {}
        self.causes: dict[str, int] = {}
        self.unseen = "error"
        self.strange: dict[str, Strange] = {}
        self.notes: list[str] = []
        self.progress: Callable[[int], object] | None = None
        self.seen = Glance(target_only=True)
        self._reader: Reader | None = None  # of the last pass
        self._made: list[_Made] | None = None  # all rows, of a table that stays in memory, once a pass has made them
        self._warned = 0
        self._constant: dict[str, str | float | None] | None = {}  # see `Checks`; None after the first pass

    def settle(self, roles: Roles) -> None:
        """Decides what becomes of the columns; with passes over those that have to be seen for it, where there are any."""
        self._roles = roles
        settling = Settling(self.source, roles, self.split, self.kept, self.progress)
        self.take(settling.encoding())
        self.notes += settling.survey.notes
        columns = self.encoding.columns
        self._constant = {column.name: column.base for column in columns if column.kind == "category" and not column.values}
        check_width(self.source, len(self.names))
        if not self.names:
            every = "every column has one value only, and tells nothing; a model needs some that differ"
            raise TableError(f"{self.source.label}: {every}")
        if len({*self.names}) < len(self.names):
            twice = max(self.names, key=collections.Counter(self.names).__getitem__)
            raise TableError(f"{self.source.label}: two columns of X would have the name {twice}; rename one in the table")
        several = len(self.labels)
        self.loss = roles.loss or (losses.logistic() if several == 2 else losses.softmax() if several else losses.mse())
        if self.held_out is not None:
            # Rows that stay in memory are looked at again: their columns' moments save nothing.
            self.held_out.seen.target_only = not self.loss.squared or len(self.names) > _MOMENTS or self.kept

    def again(self, split: Split) -> FileTable:
        """The same table where other rows test: what is filled in is found anew, and nothing is warned of twice."""
        other = FileTable(self.source, split)
        other.progress = self.progress
        other.settle(self._roles)
        other.notes, other._constant = [], None
        return other

    def take(self, encoding: Encoding) -> None:
        """Takes an encoding as it is: `Table`'s attributes follow from it."""
        self.encoding, self.names, self._made = encoding, encoding.names, None
        target, policy = encoding.target, Policy.of(encoding.missing)
        self._read = list(encoding.columns)
        self._read += [target.column] if target else []
        if encoding.weights:
            self._read.append(Column(encoding.weights, "number", missing=policy.of_weights(encoding.weights)))
        self.labels = target.labels if target else ()
        self.classes = len(self.labels) or None
        self.target_shape = () if target else (0,)
        self.weighted = encoding.weights is not None
        drops = any(column.missing == "drop" for column in self._read)
        self.rows = None if self.split is not None or drops else self.source.rows

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_reader": None, "_made": None}  # a thread is not pickled, and rows are read again

    def card(self) -> dict[str, Any]:
        """How the columns became numbers: a model that has been trained on this table keeps it, for ``gdcore predict``."""
        target = self.encoding.target
        return {
            "data": [self.source.label], "target": None if target is None else target.column.name,
            "encoding": self.encoding.card(),
        }  # fmt: skip

    @property
    def kept(self) -> bool:
        """Whether later passes need not decode again."""
        return isinstance(self.source, Kept) and self.source.decoded

    # The rows ---------------------------------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[Block]:
        """The rows that train; in the first whole pass something is noted of them, and of those that are held out."""
        held = self.held_out
        seen = [] if self.seen.complete else [self.seen] if held is None else [self.seen, held.seen]
        for glance in seen:
            glance.begin()
        any_row = any_weight = False
        for pair in self.both(test=held is not None and bool(seen)):
            for glance, block in zip(seen, pair, strict=False):
                if block is not None:
                    glance.take(block)
            if pair[0] is not None and len(pair[0].X):
                any_row = True
                any_weight = any_weight or pair[0].sample_weight is None or bool(pair[0].sample_weight.any())
                yield pair[0]
        if not any_row:
            what = f"{self.source.label}: no row is left to train on, and a model needs two; "
            raise TableError(Message(what, Option("test_size", 0), " holds none out"))
        if not any_weight:
            what = f"column {self.encoding.weights} is 0 in every row that trains"
            raise TableError(f"{self.source.label}: {what}; at least one weight must be positive")
        for glance in seen:
            glance.complete = True

    def pieces(self, multiple: int) -> Iterator[Piece]:
        return self._read_ahead(super().pieces(multiple), self._warn)

    def _read_ahead(self, pieces: Iterator[T], each: Callable[[], object] | None = None) -> Iterator[T]:
        """A pass; what one before, that was left, still reads ends first: both note what they see."""
        found = Ahead(pieces, after=self._reader, each=each)
        self._reader = found.reader
        return found

    def read(self) -> Piece:
        whole = super().read()
        self._warn()
        return whole

    def _warn(self) -> None:
        for note in self.notes[self._warned :]:
            warn(note, TableWarning)
        self._warned = len(self.notes)

    def farthest(self, weights: Floats, bias: Floats | None, n_threads: int) -> float:
        return max(farthest_of(block, n_threads, weights=weights, bias=bias) for block in self._read_ahead(self.blocks()))

    def both(self, train: bool = True, test: bool = True) -> Iterator[tuple[Block | None, Block | None]]:
        """All rows in their order: those that train, and those that are held out, where they are wanted."""
        if self._made is not None:
            for made in self._made:
                if self.progress is not None:
                    self.progress(made.rows)
                yield made.train if train else None, made.test if test else None
            return
        split, dropped = self.split, 0
        kept: list[_Made] | None = [] if train and (test or split is None) else None
        size = 0
        for start, numbers, keep, batch in self._numbers(
            () if split is None else split.columns, rows_at_once(len(self._read))
        ):
            trains = keep
            if split is not None:
                held = split.tests(start, batch)
                trains = ~held if keep is None else keep & ~held
                held = held if keep is None else keep & held
            dropped += 0 if keep is None else int((~keep).sum())
            trained = self._block(numbers, trains) if train else None
            tested = self._block(numbers, held) if test and split is not None else None
            size += sum(block.nbytes for block in (trained, tested) if block is not None)
            if kept is not None and isinstance(self.source, Kept) and self.source.small and size <= MEMORY:
                kept.append(_Made(batch.num_rows, trained, tested))
            else:
                kept = None
            yield trained, tested
        self.dropped, self._made = dropped, kept

    def parts(self) -> Iterator[tuple[Block | None, Block | None]]:
        """`both`, read ahead."""
        return self._read_ahead(self.both(), self._warn)

    def matrices(self, beside: Iterable[str] = ()) -> Iterator[tuple[Floats, Array | None, RecordBatch]]:
        """For a table without a target: X of the rows without a missing value, which these are (None: all), and of all rows
        a RecordBatch of the columns ``beside``."""
        beside = list(beside)
        for _, numbers, keep, batch in self._numbers(beside, rows_at_once(len(self.names))):
            yield self._block(numbers, keep).piece().X, keep, batch.select(beside)

    def _numbers(self, beside: Iterable[str], most: int) -> Iterator[tuple[int, list[Numbers], Array | None, RecordBatch]]:
        """For up to ``most`` rows at a time: the first one's number, the columns' numbers, which rows lack nothing, and the
        rows as they were read, with the columns ``beside`` among theirs."""
        read = self._read
        loss = None if self.encoding.target is None else self.loss
        checks = Checks(self.source, self.encoding, read, self.unseen, self.advice, self._constant, self.notes, loss)
        self.strange = checks.strange
        for batch in self._batches([*dict.fromkeys([*(column.name for column in read), *beside])], most):
            start = checks.rows
            found = [column.numbers(batch.column(column.name)) for column in read]
            keep = checks.take(batch, found)
            if self.progress is not None:
                self.progress(batch.num_rows)
            yield start, found, keep, batch
        checks.end()
        self.gaps = {name: count for name, count in checks.gaps.items() if count}
        self.causes = {name: count for name, count in checks.dropped().items() if count}
        self._constant = None

    def _batches(self, names: list[str], rows: int) -> Iterator[RecordBatch]:
        batches = self.source.batches(names)
        # What is not kept is decoded, in a thread of its own.
        with contextlib.nullcontext(batches) if self.kept else contextlib.closing(Ahead(batches)) as found:
            for batch in found:
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)

    def _block(self, numbers: list[Numbers], keep: Array | None) -> Block:
        encoding = self.encoding
        rows = None if keep is None else np.flatnonzero(keep)
        d = len(encoding.columns)
        X = coded(numbers[:d], encoding.columns, encoding.places, rows)
        own = [part.values if rows is None else part.values[rows] for part in numbers[d:]]
        Y = encoding.target.classes(own[0])[:, None] if encoding.target else np.empty((len(X), 0))
        s = own[-1].astype(np.float64) if encoding.weights else None
        return Block(X, Y.astype(np.float64, copy=False), s)


class _Made(NamedTuple):
    """What a pass has made of a batch."""

    rows: int
    """Of the batch."""
    train: Block | None
    test: Block | None


class HeldOut(Table):
    """The rows of a table that do not train.

    Attributes
    ----------
    seen : Glance
        Their target's moments, once the other rows have been read; and their columns', where that saves decoding them again.
    """

    def __init__(self, table: FileTable) -> None:
        self.table = table
        self.seen = Glance()

    @property
    def names(self) -> list[str]:  # type: ignore[override]
        return self.table.names

    @property
    def classes(self) -> int | None:  # type: ignore[override]
        return self.table.classes

    @property
    def weighted(self) -> bool:  # type: ignore[override]
        return self.table.weighted

    def blocks(self) -> Iterator[Block]:
        yield from (test for _, test in self.table.both(train=False) if test is not None and len(test.X))

    def pieces(self, multiple: int) -> Iterator[Piece]:
        return self.table._read_ahead(super().pieces(multiple))
