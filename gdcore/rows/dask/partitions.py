"""What Dask's collections are: lists of partitions, which are brought to fit one another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gdcore.checks import must_be, must_have_shape
from gdcore.rows import arrays
from gdcore.rows.dask.scheduler import computed

if TYPE_CHECKING:
    from collections.abc import Callable

    from dask.delayed import Delayed

    from gdcore._types import Array, ArrayLike, Lazy
    from gdcore.rows.dask.tasks import Block

T = TypeVar("T")

LAZY = "a dask.array or a dask.dataframe"


def lazy(value: object) -> bool:
    """Whether it is Dask's, without importing Dask."""
    return hasattr(type(value), "__dask_graph__")


class Source:
    """X as partitions, and what else can be brought into them."""

    def __init__(self, X: Lazy, name: str) -> None:
        self.name = name
        self.blocks, self.sizes, meta = _partitions(X, name)
        self.width: int | None = None
        self.names: list[str] = []
        if len(meta.shape) == 2:
            self.width = meta.shape[1]
            self.names = [str(column) for column in getattr(X, "columns", range(self.width))]
        self.dtype = meta.dtype
        self.shape_beside: tuple[int, ...] = ()

    def align(self, value: Lazy | ArrayLike, name: str, most: int) -> list[Delayed]:
        """Y or sample_weight, cut as X is; its shape but for the rows is then in ``shape_beside``."""
        import dask.array as da

        if lazy(value):
            blocks, sizes, meta = _partitions(value, name)
        else:
            local = np.asarray(value)
            blocks, sizes, meta = [], [len(local)] if local.ndim else [0], local
        self.shape_beside = meta.shape[1:]
        if not 1 <= len(meta.shape) <= most or 0 in self.shape_beside:
            wanted = "(n,) or (n, k)" if most == 2 else "(n,), one weight a row of X"
            raise ValueError(must_have_shape(name, wanted, ("n", *self.shape_beside)))
        same = len(blocks) == len(self.blocks)
        if same and (sizes is None or self.sizes is None or sizes == self.sizes):
            return blocks  # where sizes are unknown the tasks compare them
        if sizes is None:
            sizes = _counted(blocks)
        if self.sizes is None:
            self.sizes = _counted(self.blocks)
        if sum(sizes) != sum(self.sizes):
            raise ValueError(f"{name} has {sum(sizes):,} rows, but {self.name} has {sum(self.sizes):,}")
        if not blocks:
            whole = da.from_array(local, chunks=(tuple(self.sizes), *meta.shape[1:]))
        else:
            parts = [
                da.from_delayed(_delayed(np.asarray)(block), (size, *meta.shape[1:]), dtype=meta.dtype)
                for block, size in zip(blocks, sizes, strict=True)
            ]
            whole = da.concatenate(parts).rechunk({0: tuple(self.sizes)})
        found = list(whole.to_delayed().ravel())
        if len(found) != len(self.blocks):
            raise ValueError(
                f"{name} cannot be cut as {self.name} is, into {len(self.blocks)} partitions: give it the same ones"
            )
        return found


def _partitions(value: Lazy, name: str) -> tuple[list[Delayed], list[int] | None, Array]:
    """Delayed partitions, their numbers of rows where they are known, and an empty array of the shape and dtype wanted."""
    kind = type(value)  # a Delayed has any attribute, its type has not
    if hasattr(kind, "chunks") and hasattr(kind, "to_delayed"):
        if value.ndim not in (1, 2):
            raise ValueError(must_have_shape(name, "(n,) or (n, k)", value.shape))
        if value.ndim == 2 and value.numblocks[1] > 1:
            value = value.rechunk({1: -1})
        sizes = None if any(math.isnan(size) for size in value.chunks[0]) else [int(size) for size in value.chunks[0]]
        if value.dtype.kind not in "iubf" or (value.dtype.kind == "f" and value.dtype.itemsize not in (4, 8)):
            raise TypeError(must_be(name, arrays.FLOATS, f"dtype {value.dtype}"))
        meta = np.empty((0, *value.shape[1:]), value.dtype if value.dtype.kind == "f" else np.float64)
        return list(value.to_delayed().ravel()), sizes, meta
    if hasattr(kind, "npartitions") and hasattr(kind, "divisions"):
        frame = value._meta
        columns = (
            [(name, frame.dtype)] if frame.ndim == 1 else [(f"column {c!r} of {name}", t) for c, t in frame.dtypes.items()]
        )
        for whose, dtype in columns:
            if getattr(dtype, "kind", "O") not in "iubf":
                raise TypeError(must_be(whose, "numbers", f"dtype {dtype}"))
        found = frame.to_numpy().dtype
        dtype = found if found.kind == "f" else np.dtype(np.float64)
        return list(value.to_delayed()), None, np.empty((0, *frame.shape[1:]), dtype)
    raise TypeError(must_be(name, LAZY, type(value).__name__))


def _counted(blocks: list[Delayed]) -> list[int]:
    """How many rows each partition has, by one task each."""
    return together([_delayed(len)(block) for block in blocks])


def each(function: Callable[[Block], T], value: Lazy, name: str) -> list[T]:
    """What a function gives for each partition of Dask's arrays and frames, labels included."""
    if not hasattr(type(value), "to_delayed"):
        raise TypeError(must_be(name, LAZY, type(value).__name__))
    return together([_delayed(function)(block) for block in np.ravel(value.to_delayed())])


def together(values: list[Delayed]) -> list[Any]:
    """Lazy values, computed at once."""
    return list(computed(values))


def _delayed(function: Callable[..., object]) -> Delayed:
    import dask

    return dask.delayed(function, pure=True)
