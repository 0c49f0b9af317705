"""Tables in files as `gdcore.fit` takes them: read, turned into numbers, split and checked while they stream by.

Memory holds a few pieces, whatever the file's size. A thread decodes the next piece while the last one is computed with.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses
from gdcore.facts.spectrum import MOST_COLUMNS
from gdcore.rows.ahead import Reader, ahead
from gdcore.rows.columns import EXACT, KINDS, Column, Encoding, Numbers, matrix
from gdcore.rows.moments import Moments
from gdcore.rows.sources import Kept, Marks, Source, TableError, open_source
from gdcore.rows.survey import Mean, Survey, no_mean
from gdcore.rows.tables import Piece, Table
from gdcore.rows.written import MEND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gdcore._types import Array, Floats
    from gdcore.rows.sources import Path


_BYTES = 1 << 22  # of X, about, that are made at a time, and of wide tables, where each column has its own costs,
_WIDE = 1 << 25  # so many for up to `_FEW` rows
_FEW = 1 << 12
_MOMENTS = 2048  # columns up to which the held-out rows' second moments are worth their memory


class TableWarning(UserWarning):
    """Something in a table that was read as it is, and may not be what is meant."""


def open_table(
    paths: Path | Iterable[Path],
    target: str | None = None,
    *,
    loss: str | losses.Loss | None = None,
    features: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    weights: str | None = None,
    categorical: Iterable[str] = (),
    missing: str = "error",
    na: Iterable[str] = (),
    na_keep: Iterable[str] = (),
    unseen: str = "base",
    test_size: float = 0.0,
    seed: int = 0,
    delimiter: str | None = None,
    decimal: str | None = None,
    index: str = "drop",
    cache: Path | None = None,
    progress: Callable[[int], Any] | None = None,
) -> FileTable:
    """A table in CSV, Parquet or .npy files, for `fit`, `spectrum` and ``predict``; it may be larger than memory.

    Numbers stay as they are, booleans become 0 and 1, text becomes categories: a column of X for each value but the
    commonest. Text that is numbers in one writing only, as $1,200 or 70 kg or (12), becomes numbers, with a warning.

    Parameters
    ----------
    paths : path, or several
        Files whose columns are the same, or a folder of them. The columns of .npy files are named "0", "1", ….
    target : str, optional
        The column that is to be predicted.
    loss : str or Loss, optional
        What it is to be trained with. Default, `FileTable.loss`: "logistic" for a target of two values, "softmax" for one
        of more that are text, else "mse".
    features : list of str, optional
        The columns that X is made of. Default: all others.
    exclude : list of str
        Columns that are left out.
    weights : str, optional
        The column of the rows' weights.
    categorical : list of str
        Columns of codes: their numbers are names, as those of postal districts are, and become categories.
    missing : {"error", "drop", "mean"}
        What becomes of a missing value: an error, its row is left out, or the mean of the column over the training rows
        stands for it. With "mean", a missing text is a category of its own, and rows without a target are left out.
    na : list of str
        What else stands for a missing value, in text and as a number: ``["?", "-999"]``.
    na_keep : list of str
        Texts that are values and no missing ones in CSV, where by custom they are: ``["NA"]`` for Namibia.
    unseen : {"base", "empty", "error"}
        What ``gdcore predict`` does, with a model that has been trained on this table, about a category that is not in it: it
        counts as its column's commonest, its row has no prediction, or it is an error.
    test_size : float
        The share of rows that do not train, drawn by ``seed``: they are the table's ``held_out``.
    seed : int
        ≥ 0.
    delimiter, decimal : str
        Of CSV. Default: a comma (in .tsv files a tabulator), and a point. Where the decimal point is given, the other one of
        point and comma may stand between thousands: 1,234 has two meanings otherwise.
    index : {"drop", "keep"}
        What becomes of a data frame's index, which pandas writes into Parquet, and of first columns without a name in CSV,
        which are an index or row names: they are left out, unless they are asked for by their name, or kept.
    cache : path, optional
        A folder for the decoded columns, as large as the table, so that later passes do not decode again. Tables of up to
        128 MB are kept in memory.
    progress : callable, optional
        Called with the number of rows of each batch that has been read.

    Returns
    -------
    FileTable

    Raises
    ------
    TableError
        A ValueError: naming file, line and column where they are known, and what to do.
    TypeError
        Paths are none: a table in memory is trained with as it is, ``gdcore.fit(frame[columns], frame[target])``.

    Examples
    --------
    >>> import tempfile, gdcore
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/rent.csv", "w") as file:
    ...         _ = file.write("area,town,rent\\n50,Ulm,500\\n70,Ulm,700\\n60,Bonn,800\\n80,Bonn,1000\\n20,Ulm,200\\n")
    ...     table = gdcore.open_table(f"{folder}/rent.csv", "rent")
    ...     run = gdcore.fit(table)
    >>> dict(zip(table.names, run.model.weights.round(6).tolist())), bool(abs(run.model.bias) < 1e-6)
    ({'area': 10.0, 'town=Bonn': 200.0}, True)
    """
    given = None if loss is None else losses.get(loss)
    if missing not in ("error", "drop", "mean"):
        raise ValueError(f"missing must be 'error', 'drop' or 'mean', found {missing!r}")
    if unseen not in ("base", "empty", "error"):
        raise ValueError(f"unseen must be 'base', 'empty' or 'error', found {unseen!r}")
    if index not in ("drop", "keep"):
        raise ValueError(f"index must be 'drop' or 'keep', found {index!r}")
    if not 0 <= test_size < 1:
        raise ValueError(f"test_size must be at least 0 and less than 1, found {test_size}")
    source = open_source(paths, delimiter, decimal, Marks(tuple(na), tuple(na_keep)))
    features, exclude = None if features is None else list(features), list(exclude)
    codes = list(categorical)
    asked: dict[str, list[Any]] = {"target": [target], "weights": [weights], "features": features or [], "exclude": exclude}
    for name in codes:
        if name not in source.kinds:
            raise TableError(unknown(name, source, " (categorical)"))
        if name not in (target, weights, *exclude):
            source.read_as(name, "category")
    for role, names in asked.items():
        for name in names:
            if name is not None and name not in source.kinds:
                raise TableError(unknown(name, source, f" ({role})"))
    _check_roles(asked, source)
    own = [name for name in (target, weights) if name is not None]
    labels = [name for name in source.index if index == "drop" and name not in (*own, *exclude, *(features or ()))]
    left_out = {*own, *exclude, *labels}
    used = [name for name in features or source.kinds if name not in left_out]
    if not used:
        raise TableError(f"{source.label}: no column is left to learn from; the table needs another than the target")
    _check_width(source, len(used))
    source.look([*used, *own])
    for name in (*used, *own):
        if (kind := source.kinds[name]) not in KINDS:
            what = f"column {name} is {kind}, and neither numbers, booleans nor text"
            raise TableError(f"{source.label}: {what}; leave it out with --exclude {name}", {name: what})
    if weights is not None and source.kinds[weights] == "date":
        raise TableError(f"{source.label}: column {weights} holds dates, and weights are numbers; give another one")
    table = FileTable(Kept(source, [*used, *own], cache), missing, test_size, seed)
    table.notes += source.remarks
    if labels:
        which = f"column {labels[0]} is" if len(labels) == 1 else f"columns {', '.join(labels)} are"
        what = f"{which} the rows' index, which tells nothing, and left out; --index keep takes it as well"
        table.notes.append(f"{source.label}: {what}")
    table.progress = progress
    table.settle(used, target, weights, given, unseen, frozenset(codes))
    return table


def _check_width(source: Source, columns: int) -> None:
    if columns > MOST_COLUMNS:
        many = f"{columns:,} columns to learn from, and gdcore takes up to {MOST_COLUMNS:,}"
        raise TableError(f"{source.label} has {many}; choose with --features or --exclude")


def _check_roles(asked: dict[str, list[Any]], source: Source) -> None:
    """No column is two things at once."""
    roles: dict[str, str] = {}
    for role, names in asked.items():
        for name in names:
            if name is not None and name in roles:
                twice = f"named twice in {role}" if roles[name] == role else f"named in both {roles[name]} and {role}"
                raise TableError(f"{source.label}: column {name} is {twice}; once is enough")
            roles[name] = role


def unknown(name: str, source: Source, role: str = "") -> str:
    """That the table has no such column, and which it may be."""
    near = difflib.get_close_matches(name, source.kinds, 1, 0.5)
    near += [other for other in source.kinds if other.lower() == name.lower()]
    some = ", ".join(list(source.kinds)[:12]) + (", …" if len(source.kinds) > 12 else "")
    return f"{source.label} has no column {name}{role}; " + (f"did you mean {near[0]}?" if near else f"there are {some}")


class FileTable(Table):
    """A table in files. Made by `open_table`.

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
        In how many rows of the last pass each column had no value; columns without such rows are not there. Not known with
        ``missing="mean"`` of the columns that have one.
    unseen : {"base", "empty", "error"}
        What becomes of categories that `encoding` does not know: see `open_table`. The table that it is made of has none.
    strange : dict
        Of the last pass, for each column that had them: the categories that it does not know.
    notes : list of str
        What is odd in the values; it is warned of as well.
    seen : Glance
        Of the rows that train: the target's moments.
    progress : callable or None
        Called with the number of rows of each batch that has been read.
    advice : str or None
        What to do about missing values. None: what `open_table` has for them.
    """

    encoding: Encoding
    loss: losses.Loss
    advice: str | None = None

    tells_constants = True

    def __init__(self, source: Source, missing: str, test_size: float = 0.0, seed: int = 0) -> None:
        self.source, self.missing, self.test_size, self.seed = source, missing, test_size, seed
        self.held_out: HeldOut | None = HeldOut(self) if test_size else None
        self.dropped = 0
        self.gaps: dict[str, int] = {}
        self.unseen = "error"
        self.strange: dict[str, Strange] = {}
        self.notes: list[str] = []
        self.progress: Callable[[int], Any] | None = None
        self.seen = Glance(target_only=True)
        self._reader: Reader | None = None  # of the last pass
        self._warned = 0
        self._constant: dict[str, Any] | None = {}  # see `_note_constant`; None after the first pass

    def settle(
        self,
        used: list[str],
        target: str | None,
        weights: str | None,
        loss: losses.Loss | None,
        unseen: str,
        codes: frozenset[str],
    ) -> None:
        """Decides what becomes of the columns; with a pass over those that have to be seen for it, where there are any."""
        kinds, where = self.source.kinds, self.source.label
        text = [name for name in used if kinds[name] in ("text", "date")]
        real = loss is not None and loss.targets == "real"
        # A target that ought to be numbers and is text is looked at as well: it may be numbers but for one.
        goal = None if target is None or (real and kinds[target] not in ("text", "date")) else target
        counted = [*text, weights] if weights is not None and kinds[weights] == "text" else text
        drop = self.missing == "drop"
        means = [name for name in used if name not in text] if self.missing == "mean" else []
        survey = Survey(self.source, counted, goal, loss, drop, self.missing == "mean", means)
        survey.categorical = codes
        small = self.kept  # then the pass is not in vain
        every = bool(counted or goal) and (small or drop)
        if counted or goal or means:
            own = [name for name in (target, weights) if name is not None]
            start = 0
            for batch in self.source.batches(
                [*used, *own]
                if every
                else [*dict.fromkeys([*counted, *means, *([target] if target and (goal or means) else [])])]
            ):
                survey.add(batch, self._trains(batch, start, target) if means else None)
                start += batch.num_rows
                if self.progress is not None:
                    self.progress(batch.num_rows)
                if survey.enough and not small:
                    break
        if weights is not None and weights in counted:
            survey.check_meant(weights, survey.counts[weights])
            raise TableError(f"{where}: column {weights} is text, and weights are numbers; give another one")
        if drop and every and not survey.rows:
            raise self._all_missing(survey.gaps, used)
        columns, features = [survey.column(name) for name in used], set(used)
        if self.missing == "mean":
            columns = self._with_means(columns, target)
        if survey.wrong:
            advice = f"leave out with --exclude {','.join(survey.wrong)}"
            raise TableError(f"{where}: {'; '.join(survey.wrong.values())}; {advice}", survey.wrong)
        others = [name for name in kinds if name not in features]
        self.take(
            Encoding(
                columns,
                None if target is None else survey.target(target),
                weights,
                self.missing,
                others,
                unseen,
                self.source.marks,
            )
        )
        self.notes += survey.notes
        self._constant = {column.name: column.base for column in columns if column.kind == "category" and not column.values}
        _check_width(self.source, len(self.names))
        if not self.names:
            raise TableError(f"{where}: every column has one value only, and tells nothing; a model needs some that differ")
        several = len(self.labels)
        self.loss = loss or (losses.logistic() if several == 2 else losses.softmax() if several else losses.mse())
        if self.held_out is not None:
            self.held_out.seen.target_only = self.loss.name != "mse" or len(self.names) > _MOMENTS

    def _trains(self, batch: Any, start: int, target: str | None) -> Array:
        """Which rows train: they are not held out, and have a target."""
        trains = np.ones(batch.num_rows, bool)
        if self.test_size:
            trains &= ~held_out(start, batch.num_rows, self.test_size, self.seed)
        if target is not None:
            trains &= batch.column(target).is_valid().to_numpy(zero_copy_only=False)
        return trains

    def _with_means(self, columns: list[Column], target: str | None) -> list[Column]:
        """The columns with the means of those that are numbers in text, which is known only now."""
        written = {column.name: Mean(column) for column in columns if column.writing is not None}
        if not written:
            return columns
        start = 0
        for batch in self.source.batches([*written, *([] if target is None else [target])]):
            trains = self._trains(batch, start, target)
            for name, mean in written.items():
                mean.add(batch.column(name), trains)
            start += batch.num_rows
        means = {name: mean.value for name, mean in written.items()}
        for name in (name for name, mean in means.items() if mean is None):
            raise TableError(
                f"{self.source.label}: {no_mean(name)}; leave it out with --exclude {name}", {name: no_mean(name)}
            )
        return [replace(column, mean=means.get(column.name, column.mean)) for column in columns]

    def take(self, encoding: Encoding) -> None:
        """Takes an encoding as it is: `Table`'s attributes follow from it."""
        self.encoding, self.names = encoding, encoding.names
        self.labels = encoding.target.labels if encoding.target else ()
        self.classes = len(self.labels) or None
        self.target_shape = () if encoding.target else (0,)
        self.weighted = encoding.weights is not None
        self.rows = (
            None
            if self.test_size or self.missing == "drop" or (self.missing == "mean" and encoding.target)
            else self.source.rows
        )

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_reader": None}  # a thread is not pickled

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

    def blocks(self) -> Iterator[Piece]:
        """The rows that train; in the first whole pass something is noted of them, and of those that are held out."""
        held = self.held_out
        seen = [] if self.seen.complete else [self.seen] if held is None else [self.seen, held.seen]
        for glance in seen:
            glance.begin()
        any_row = any_weight = False
        for pair in self.both(test=held is not None and bool(seen)):
            for glance, piece in zip(seen, pair, strict=False):
                if piece is not None:
                    glance.take(piece)
            if pair[0] is not None and len(pair[0].X):
                any_row = True
                any_weight = any_weight or pair[0].sample_weight is None or bool(pair[0].sample_weight.any())
                yield pair[0]
        if not any_row:
            raise TableError(
                f"{self.source.label}: no row is left to train on, and a model needs two; --test-size 0 holds none out"
            )
        if not any_weight:
            what = f"column {self.encoding.weights} is 0 in every row that trains"
            raise TableError(f"{self.source.label}: {what}; at least one weight must be positive")
        for glance in seen:
            glance.complete = True

    def pieces(self, multiple: int) -> Iterator[Piece]:
        return self._read_ahead(super().pieces(multiple), self._warn)

    def _read_ahead(self, pieces: Iterator[Piece], each: Callable[[], Any] | None = None) -> Iterator[Piece]:
        """A pass; what one before, that was left, still reads ends first: both note what they see."""
        found = ahead(pieces, after=self._reader, each=each)
        self._reader = found.reader
        return found

    def read(self) -> Piece:
        whole = super().read()
        self._warn()
        return whole

    def _warn(self) -> None:
        for note in self.notes[self._warned :]:
            warnings.warn(note, TableWarning, stacklevel=3)
        self._warned = len(self.notes)

    def both(self, train: bool = True, test: bool = True) -> Iterator[tuple[Piece | None, Piece | None]]:
        """All rows in their order: those that train, and those that are held out, where they are wanted."""
        dropped = 0
        for start, numbers, keep, _ in self._numbers():
            trains = keep
            if self.test_size:
                held = held_out(start, len(numbers[0]), self.test_size, self.seed)
                trains = ~held if keep is None else keep & ~held
                held = held if keep is None else keep & held
            dropped += 0 if keep is None else int((~keep).sum())
            yield (
                self._piece(numbers, trains) if train else None,
                self._piece(numbers, held) if test and self.test_size else None,
            )
        self.dropped = dropped

    def matrices(self, beside: Iterable[str] = ()) -> Iterator[tuple[Floats, Array | None, Any]]:
        """For a table without a target: X of the rows without a missing value, which these are (None: all), and of all rows
        a RecordBatch of the columns ``beside``."""
        beside = list(beside)
        for _, numbers, keep, batch in self._numbers(beside):
            yield self._piece(numbers, keep).X, keep, batch.select(beside)

    def _numbers(self, beside: Iterable[str] = ()) -> Iterator[tuple[int, list[Floats], Array | None, Any]]:
        """For some rows at a time: the first one's number, the columns' numbers, which rows have no missing value, and the
        rows as they were read, with the columns ``beside`` among theirs."""
        encoding = self.encoding
        read = list(encoding.columns)
        read += [encoding.target.column] if encoding.target else []
        read += [Column(encoding.weights, "number")] if encoding.weights else []
        start = some = 0
        gaps = dict.fromkeys((column.name for column in read), 0)
        self.strange = {}
        for batch in self._batches([*dict.fromkeys([*(column.name for column in read), *beside])]):
            found = [column.numbers(batch.column(j)) for j, column in enumerate(read)]
            # Where features are filled, a row without a target is left out.
            targets = len(encoding.columns) if encoding.target and self.missing == "mean" else None
            gone = functools.reduce(_either, (numbers.missing for j, numbers in enumerate(found) if j != targets), None)
            if gone is not None and self.missing != "drop":
                self._report_missing(batch, read, start)
            if targets is not None:
                gone = _either(gone, found[targets].missing)
            for column, part in zip(read, found, strict=True):
                gaps[column.name] += 0 if part.missing is None else int(part.missing.sum())
            strange = self._strange(batch, read, found, gone, start)
            gone = _either(gone, strange if self.unseen == "empty" else None)
            keep = None if gone is None else ~gone
            some += batch.num_rows if keep is None else int(keep.sum())
            self._examine(batch, read, found, keep, start)
            if self.progress is not None:
                self.progress(batch.num_rows)
            yield start, [numbers.values for numbers in found], keep, batch
            start += batch.num_rows
        if start and not some and encoding.target is not None:
            raise self._all_missing(gaps, [column.name for column in encoding.columns])
        self.gaps = {name: count for name, count in gaps.items() if count}
        if self._constant is not None and encoding.target is not None and some * 2 < start:
            self._note_dropped(start - some, start)
        self._note_constants()
        self._constant = None

    def _batches(self, names: list[str]) -> Iterator[Any]:
        """Small enough that their memory is used again instead of being asked of the system anew."""
        width = 8 * len(self.names)
        rows = max(1, _BYTES // width, min(_FEW, _WIDE // width))
        batches = self.source.batches(names)
        # What is not kept is decoded, in a thread of its own.
        with contextlib.nullcontext(batches) if self.kept else contextlib.closing(ahead(batches)) as found:
            for batch in found:
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)

    def _piece(self, numbers: list[Floats], rows: Array | None) -> Piece:
        if rows is not None:
            numbers = [values[rows] for values in numbers]
        encoding = self.encoding
        d = len(encoding.columns)
        X = matrix(numbers[:d], encoding.columns)
        Y = encoding.target.classes(numbers[d])[:, None] if encoding.target else np.empty((len(X), 0))
        return Piece(X, Y.astype(np.float64, copy=False), numbers[-1].astype(np.float64) if encoding.weights else None)

    def _all_missing(self, gaps: dict[str, int], features: list[str]) -> TableError:
        where, names = _where_missing(gaps, features)
        advice = f"leave such columns out by --exclude {names}" if names else "fill it in"
        return TableError(f"{self.source.label}: every row has a missing value, {where}; {advice}")

    def _note_dropped(self, dropped: int, rows: int) -> None:
        where, names = _where_missing(self.gaps, [column.name for column in self.encoding.columns])
        what = f"{dropped:,} of {rows:,} rows are left out because a value is missing, {where}"
        self.notes.append(
            f"{self.source.label}: {what}" + (f"; --exclude {names} leaves columns out instead" if names else "")
        )

    # What is checked -------------------------------------------------------------------------------------------------------

    def _examine(self, batch: Any, read: list[Column], found: list[Numbers], keep: Array | None, start: int) -> None:
        """Every value that is used is a finite number, a known category, a label; no weight is negative."""
        encoding = self.encoding
        for j, (column, numbers) in enumerate(zip(read, found, strict=True)):
            values = numbers.values
            own = j >= len(encoding.columns)
            if column.kind == "category":
                continue
            if column.writing is not None and batch.schema.field(j).type == "string":
                self._no_number(batch, j, column, values, keep, start)
            if column.kind == "boolean" and not own and batch.schema.field(j).type != "bool":
                raw = batch.column(j).to_numpy(zero_copy_only=False)
                wrong = (raw != 0) & (raw != 1) & ~np.isnan(raw)
                self._no(wrong, keep, start, column, "neither true nor false, nor 1 nor 0; " + MEND)
            if not numbers.finite:
                self._no(~np.isfinite(values), keep, start, column, f"an infinite number; {MEND}")
            if own and column.name == encoding.weights:
                self._no(values < 0, keep, start, column, "a negative weight; weights are at least 0")
            elif own and encoding.target and encoding.target.labels:
                wrong = encoding.target.classes(values) < 0
                self._no(wrong, keep, start, column, "none of the target's classes")
            elif self._constant is not None:
                if not own:
                    self._note_constant(self._constant, column.name, values if keep is None else values[keep])
                if column.kind == "integer":
                    self._note_rounded(column, values, start)

    def _strange(self, batch: Any, read: list[Column], found: list[Numbers], gone: Array | None, start: int) -> Array | None:
        """Which rows, of those that are not gone, have a category that its column does not know; they are counted."""
        strange = None
        for j, (column, numbers) in enumerate(zip(read, found, strict=True)):
            if column.kind != "category" or not (numbers.values < 0).any():
                continue
            unknown = numbers.values < 0 if gone is None else (numbers.values < 0) & ~gone
            if not unknown.any():
                continue
            strange = _either(strange, unknown)
            value = batch.column(j)[int(np.argmax(unknown))].as_py()
            if self.unseen == "error":
                some = ", ".join([str(column.base), *column.values[:5]]) + (", …" if column.values[5:] else "")
                what = f"{value!r} is none of {some}, which the model knows; {MEND}"
                place = self.source.place(start + int(np.argmax(unknown)))
                raise TableError(f"{place}, column {column.name}: {what}, or take --unseen base or empty")
            count, value = self.strange.get(column.name, (0, value))
            self.strange[column.name] = Strange(count + int(unknown.sum()), value)
        return strange

    def _no_number(self, batch: Any, j: int, column: Column, values: Array, keep: Array | None, start: int) -> None:
        """Text that is not written as the column's numbers are."""
        wrong = np.isnan(values) if keep is None else np.isnan(values) & keep
        if wrong.any():
            row, unit = int(np.argmax(wrong)), column.writing.unit if column.writing else ""
            what = f"{batch.column(j)[row].as_py()!r} is not a number" + (f" in {unit}" if unit else "")
            raise TableError(f"{self.source.place(start + row)}, column {column.name}: {what}; {MEND}")

    def _no(self, wrong: Array, keep: Array | None, start: int, column: Column, what: str) -> None:
        wrong = wrong if keep is None else wrong & keep
        if wrong.any():
            raise TableError(f"{self.source.place(start + int(np.argmax(wrong)))}, column {column.name}: {what}")

    def _note_constants(self) -> None:
        found = [(name, value) for name, value in (self._constant or {}).items() if value is not None]
        if found:
            name, value = found[0]
            value = value if isinstance(value, str) else format(value, "g")
            what = f"column {name} is {value} in every row, and so tells nothing"
            if len(found) > 1:
                more = f" and {len(found) - 6:,} more" if len(found) > 6 else ""
                what = f"columns {', '.join(name for name, _ in found[:6])}{more} have one value each, and so tell nothing"
            self.notes.append(f"{self.source.label}: {what}")

    def _note_constant(self, constant: dict[str, Any], name: str, values: Array) -> None:
        """Of each column the one value that it has had up to here, None where there were several."""
        if len(values) and constant.setdefault(name, float(values[0])) is not None and (values != constant[name]).any():
            constant[name] = None

    def _note_rounded(self, column: Column, values: Array, start: int) -> None:
        large = np.abs(values) >= EXACT + (values.dtype.kind in "iu")
        if large.any() and not any(f"column {column.name} has" in note for note in self.notes):
            place = self.source.place(start + int(np.argmax(large)))
            self.notes.append(f"{place}: column {column.name} has integers past 2⁵³, which are rounded to 16 digits")

    def _report_missing(self, batch: Any, read: list[Column], start: int) -> None:
        """Names the first value that is missing."""
        first: tuple[int, Column] | None = None
        for j, column in enumerate(read):
            if self.missing == "mean" and self.encoding.target is not None and j == len(self.encoding.columns):
                continue
            missing = column.numbers(batch.column(j)).missing
            if missing is not None and (first is None or np.argmax(missing) < first[0]):
                first = int(np.argmax(missing)), column
        assert first is not None
        row, column = first
        feature = column in self.encoding.columns
        what = "the row's weight is missing" if column.name == self.encoding.weights else "the target is missing"
        if feature:
            what = "a value is missing" + (", and none was when the model was trained" if self.missing == "mean" else "")
        advice = "--missing drop leaves such rows out"
        if feature and self.missing == "error":
            what_else = "makes it a category of its own" if column.kind == "category" else "puts the column's mean there"
            advice += f", --missing mean {what_else}"
        raise TableError(f"{self.source.place(start + row)}, column {column.name}: {what}; {self.advice or advice}")


class Strange(NamedTuple):
    """Categories that a column does not know: in how many rows, and the first of them."""

    rows: int
    value: str


class HeldOut(Table):
    """The rows of a table that do not train.

    Attributes
    ----------
    seen : Glance
        Their columns' and target's moments, once the other rows have been read.
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

    def blocks(self) -> Iterator[Piece]:
        yield from (test for _, test in self.table.both(train=False) if test is not None and len(test.X))

    def pieces(self, multiple: int) -> Iterator[Piece]:
        return self.table._read_ahead(super().pieces(multiple))


class Glance:
    """What is noted of rows while they go by for the first time, so that nobody has to read them again for it.

    Attributes
    ----------
    moments : Moments or None
        Of [X, Y], or of Y alone.
    size : int
        How many rows to draw; 0 unless it is set.
    sample : Piece or None
        The rows that have been drawn, in their order.
    complete : bool
        Whether all rows have gone by.
    """

    def __init__(self, target_only: bool = False) -> None:
        self.target_only, self.size, self.complete = target_only, 0, False
        self.begin()

    def begin(self) -> None:
        """Forgets the rows of a pass that did not end."""
        self.moments: Moments | None = None
        self.sample: Piece | None = None
        self.marks, self.count = np.empty(0), 0

    def take(self, piece: Piece) -> None:
        """Rows that go by."""
        X, Y, s = piece
        if not len(X) or not Y.shape[1] or not (s is None or s.any()):
            return
        moments = Moments.of(Y, None, s) if self.target_only else Moments.of(X, Y, s)
        self.moments = moments if self.moments is None else self.moments + moments
        if self.size:
            self._draw(X, Y)

    def _draw(self, X: Array, Y: Array) -> None:
        marks = uniform(self.count, len(X), seed=1)
        self.count += len(X)
        if self.sample is not None:
            marks = np.concatenate([self.marks, marks])
            X, Y = np.concatenate([self.sample.X, X]), np.concatenate([self.sample.Y, Y])
        best = np.sort(np.argsort(marks, kind="stable")[: self.size])
        self.marks, self.sample = marks[best], Piece(X[best], Y[best], None)


def _where_missing(gaps: dict[str, int], features: list[str]) -> tuple[str, str]:
    """Up to three columns that have the most missing values, with their counts; the features among them, for an option."""
    most = sorted(gaps, key=lambda name: -gaps[name])[:3]
    most = [name for name in most if gaps[name] * 2 > gaps[most[0]]]
    where = ", ".join(f"{gaps[name]:,} of them in column {name}" for name in most)
    return where, ",".join(name for name in most if name in features)


def _either(one: Array | None, other: Array | None) -> Array | None:
    """Where one or the other is."""
    return other if one is None else one if other is None else one | other


def uniform(start: int, count: int, seed: int) -> Floats:
    """A number in [0, 1) for each row from ``start`` on, by its place alone (SplitMix64: Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64((seed + 1) * 0xD1B54A32D192ED03 & 0xFFFFFFFFFFFFFFFF)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
    numbers: Floats = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def held_out(start: int, count: int, share: float, seed: int) -> Array:
    """Which rows from ``start`` on are held out: each by its number in the table, however it is read."""
    return uniform(start, count, seed) < share
