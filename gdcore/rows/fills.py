"""What stands for a missing number: the mean or the median of a column's known values, exactly, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, ArrowArray, Floats
    from gdcore.rows.columns import Column

_BLOCK = 4096  # rows of a column that are summed at a time, wherever a file is cut
_ROOM = 1 << 24  # values that all columns together may hold in memory
_BITS = 16  # of a value's place in the order of all numbers, that are looked at in one pass


class Fill(Protocol):
    """A number of a column, from passes over its rows."""

    def add(self, column: ArrowArray, trains: Array | None) -> None:
        """Takes the next rows, of which those count that train."""

    def end(self) -> bool:
        """Says that a pass is over; whether another one is wanted."""

    @property
    def value(self) -> float | None:
        """The number; None where no row has a value."""

    @property
    def gaps(self) -> int:
        """How many rows that train have no value."""


def fill(policy: str, column: Column, columns: int) -> Fill:
    """What a policy wants of a column, one of so many that have to share memory."""
    return Median(column, max(1 << 12, _ROOM // columns)) if policy == "median" else Mean(column)


class Mean:
    """The mean, summed in blocks that do not depend on how a file is cut."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.rest: Floats = np.empty(0)
        self.sum, self.count, self.gaps = 0.0, 0, 0

    def add(self, column: ArrowArray, trains: Array | None) -> None:
        numbers = self.column.numbers(column)
        known = np.isfinite(numbers.values) if trains is None else trains & np.isfinite(numbers.values)
        self.gaps += _missing(numbers.missing, trains)
        self.count += int(known.sum())
        values = np.concatenate([self.rest, np.where(known, numbers.values, 0.0)])
        whole = len(values) // _BLOCK * _BLOCK
        for block in values[:whole].reshape(-1, _BLOCK):
            self.sum += float(block.sum())
        self.rest = values[whole:]

    def end(self) -> bool:
        return False

    @property
    def value(self) -> float | None:
        return (self.sum + float(self.rest.sum())) / self.count if self.count else None


class Median:
    """The median: of the values themselves while there is room for them, else by counting.

    Numbers are in the order of their bits, but for the sign's. The first pass counts how many have each of the highest 16 bits
    in common, which tells those of the median; each later pass counts the next 16 bits of the numbers that begin like it.
    """

    def __init__(self, column: Column, room: int = _ROOM) -> None:
        self.column, self.room = column, room
        self.count = self.gaps = 0
        self.held: list[Floats] | None = []
        self.searches: list[_Search] = []
        self._value: float | None = None

    def add(self, column: ArrowArray, trains: Array | None) -> None:
        numbers = self.column.numbers(column)
        known = np.isfinite(numbers.values) if trains is None else trains & np.isfinite(numbers.values)
        values = numbers.values[known].astype(np.float64) + 0.0  # which makes −0 a 0
        if self.searches and self.searches[0].ranked:
            for search in self.searches:
                search.add(values)
            return
        self.gaps += _missing(numbers.missing, trains)
        self.count += len(values)
        if self.held is None:
            self.searches[0].add(values)
            return
        self.held.append(values)
        if self.count > self.room:
            self.searches = [_Search()]
            for part in self.held:
                self.searches[0].add(part)
            self.held = None

    def end(self) -> bool:
        if not self.count:
            return False
        low, high = (self.count - 1) // 2, self.count // 2
        if self.held is not None:
            values = np.partition(np.concatenate(self.held), [low, high])
            self._value, self.held = _between(float(values[low]), float(values[high])), None
            return False
        if not self.searches[0].ranked:
            counts = self.searches[0].counts
            self.searches = [_Search(rank, counts) for rank in (low, high)]
        more = [search.narrow() for search in self.searches]
        if not more[0]:
            self._value = _between(*(search.value for search in self.searches))
        return more[0]

    @property
    def value(self) -> float | None:
        return self._value


class _Search:
    """The number of some rank among all, from 0, by the highest bits of its place in the order of all numbers."""

    def __init__(self, rank: int | None = None, counts: Array | None = None) -> None:
        self.rank, self.found, self.shift = rank, 0, 64 - _BITS
        self.counts = np.zeros(1 << _BITS, np.int64) if counts is None else counts

    @property
    def ranked(self) -> bool:
        return self.rank is not None

    def add(self, values: Floats) -> None:
        bits = values.view(np.uint64)
        keys = np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))
        if self.shift < 64 - _BITS:
            keys = keys[keys >> np.uint64(self.shift + _BITS) == np.uint64(self.found)]
        low = (keys >> np.uint64(self.shift)) & np.uint64((1 << _BITS) - 1)
        self.counts += np.bincount(low.astype(np.int64), minlength=1 << _BITS)

    def narrow(self) -> bool:
        """Takes the next bits from what was counted; whether there are more to find."""
        assert self.rank is not None
        below = np.cumsum(self.counts)
        at = int(np.searchsorted(below, self.rank, side="right"))
        self.rank -= int(below[at - 1]) if at else 0
        self.found = self.found << _BITS | at
        self.shift -= _BITS
        self.counts = np.zeros(1 << _BITS, np.int64)
        return self.shift >= 0

    @property
    def value(self) -> float:
        key = np.array([self.found], np.uint64)
        bits = np.where(key >> np.uint64(63), key & np.uint64((1 << 63) - 1), ~key)
        return float(bits.view(np.float64)[0])


def _between(low: float, high: float) -> float:
    return low if low == high else low / 2 + high / 2


def _missing(missing: Array | None, trains: Array | None) -> int:
    if missing is None:
        return 0
    return int((missing if trains is None else missing & trains).sum())
