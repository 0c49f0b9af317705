"""Rows in Dask: the partitions of a dask.array or a dask.dataframe as a `gdcore.rows.tables.Table`.

A `fold` is one task for each partition, which runs the kernel where the partition lies, and a tree of additions. Its shape
depends on the number of partitions alone, so the result does not depend on the workers, their number or their threads. What
is to be summed, the weights in it, goes to each partition with its task; nothing but sums comes back, and of mae, quantile
and huber some rows near their target, no more than 2,000 + 50·(d + 1) (`gdcore.solvers.newton`). Scheduling, moving,
retrying and spilling are Dask's: all that is kept between passes are partitions persisted on the workers, which Dask makes
anew from their source where a worker is lost. A task is sent to the worker that has its partition; where that worker has
gone, the pass is done again with the partitions where Dask has them then.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import sys
import time
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from gdcore import threads
from gdcore.checks import must_be, must_have_shape
from gdcore.losses.targets import check_targets
from gdcore.notices import warn
from gdcore.rows import arrays
from gdcore.rows.moments import Moments
from gdcore.rows.tables import Piece, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from dask.delayed import Delayed
    from distributed import Client, Future

    from gdcore._types import Add, Array, ArrayLike, Floats, Lazy, Part

    Block: TypeAlias = Array | pd.DataFrame | pd.Series
    """A partition."""

T = TypeVar("T")
D = TypeVar("D")

FAN = 4
"""So many sums are added by one task of the tree."""

_LOST = object()
_ALONE = 10.0  # seconds without a worker until that is told
_RANGE = 1e-100, 1e100  # of the largest weight of a partition: sums of such weights neither overflow nor vanish


LAZY = "a dask.array or a dask.dataframe"
_ALIKE = "partitions of unknown sizes have to be those of X"


class ClusterWarning(UserWarning):
    """The cluster has no worker, and nothing is computed until one comes."""


def lazy(value: object) -> bool:
    """Whether it is Dask's, without importing Dask."""
    return hasattr(type(value), "__dask_graph__")


class Cluster(Table):
    """X, Y and sample_weight of which X at least is Dask's; all are brought into X's partitions.

    Parameters
    ----------
    X : dask.array (n, d) or dask.dataframe
        Its rows may have any chunks, also of unknown sizes; chunks of columns are joined.
    Y : dask.array, dask.dataframe, series or array; (n,) or (n, k); None: no target
    sample_weight : likewise, (n,); optional
    targets : str
        What Y holds, as `gdcore.losses.Loss` says.
    n_threads : int, optional
        Of each task; default: a worker's threads, divided among its partitions.
    label : str
        What goes before the names of the arguments in messages.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, and the partition where only that tells.
    """

    far = True
    whole = "X.compute(), Y.compute()"

    def __init__(
        self,
        X: Lazy,
        Y: Lazy | ArrayLike | None,
        sample_weight: Lazy | ArrayLike | None = None,
        targets: str = "real",
        n_threads: int | None = None,
        label: str = "",
    ) -> None:
        import dask

        if n_threads is not None:
            n_threads = threads.resolve(n_threads)
        source = _Source(X, label + "X")
        if source.width is None:
            raise ValueError(must_have_shape(f"{label}X", "(n, d), one row a sample", ("n",)))
        self.names, self.dtype = source.names, source.dtype
        if not self.names:
            raise ValueError(f"{label}X has no columns")
        self.rows = None if source.sizes is None else sum(source.sizes)
        if self.rows == 0:
            raise ValueError(f"{label}X is empty: it has no rows")
        self.n_threads, self._targets, self.weighted = n_threads, targets, sample_weight is not None
        beside = []
        for value, name, most in ((Y, "Y", 2), (sample_weight, "sample_weight", 1)):
            blocks = itertools.repeat(None) if value is None else source.align(value, label + name, most)
            beside.append(blocks)
            if value is not None and name == "Y":
                self.target_shape = source.shape_beside
        how = _Wanted(self.names, str(self.dtype), self.target_shape if Y is not None else None, targets, label)
        make = dask.delayed(_piece, pure=True)
        self._lazy = [make(i, how, x, y, s) for i, (x, y, s) in enumerate(zip(source.blocks, *beside, strict=False))]
        self._label = label
        self._pieces: list[Delayed] = self._lazy
        self._places: list[str | None] = [None] * len(self._lazy)

    def __len__(self) -> int:
        if self.rows is None:
            self._count()
        assert self.rows is not None
        return self.rows

    def fold(
        self,
        part: Part,
        n_threads: int,
        add: Add = operator.add,
        multiple: int | None = None,
    ) -> Any:
        """What `gdcore.rows.tables.fold` says: ``part`` of each partition on its worker, added up in a tree on the workers."""
        while (value := self._folded(part, add)) is _LOST:
            self._places = _places(self._pieces)
        if value is None:
            raise ValueError(f"{self._label}X is empty: no partition has rows")
        return value

    def _folded(self, part: Part, add: Add) -> Any:
        import dask

        whole, client = functools.partial(part), _client()
        if client is not None and any(self._places):
            return self._sent(client, whole, add)
        # Pure keys would hash what is new in every pass.
        run, join = dask.delayed(_run, pure=False), dask.delayed(_joined, pure=False)
        return _computed(_tree([run(whole, piece, self.n_threads, self._crowd) for piece in self._pieces], join, add))

    def _sent(self, client: Client, part: Part, add: Add) -> Any:
        """`_folded` with each task sent to the worker of its partition; `_LOST` where one of these workers has gone.

        Else an idle worker may take a task, and fetch for it a partition, which is read much faster than it is sent.
        """
        from distributed import futures_of

        made: list[Future] = []

        def submit(*arguments: Any, **options: Any) -> Future:
            made.append(client.submit(*arguments, pure=False, **options))
            return made[-1]

        try:
            sums = [
                submit(_run, part, future, self.n_threads, self._crowd, workers=None if place is None else [place])
                for future, place in zip(futures_of(self._pieces), self._places, strict=True)
            ]
            total = _tree(sums, functools.partial(submit, _joined), add)
            places = {place for place in self._places if place}
            there = _waited(client, total, lambda: places <= set(client.nthreads()))
            return total.result() if there else _LOST
        finally:
            for future in made:
                future.release()

    def moments(self, n_threads: int, backend: str, target: bool) -> Moments:
        """`Moments.of` all rows: of each partition about its own means, then added up."""
        moments: Moments = self.fold(functools.partial(_moments, backend=backend, target=target), n_threads)
        self.rows = moments.rows
        self._check_total(moments.total)
        return moments

    def keep(self) -> None:
        """Persists the partitions on the workers, checked, and counts rows and classes."""
        if self._pieces is self._lazy:
            import dask

            _ = self._crowd  # looks at the workers before they get anything
            self._pieces = list(dask.persist(*self._lazy))
            self._places = _places(self._pieces)
            self._count()

    def free(self) -> None:
        """Lets go of what was persisted."""
        self._pieces, self._places = self._lazy, [None] * len(self._lazy)

    @functools.cached_property
    def _crowd(self) -> int:
        """Partitions that share a worker's threads; workers that cannot do their part are told of before they get one."""
        client = _client()
        if client is None:
            return len(self._lazy)
        _check_workers(client)
        return math.ceil(len(self._lazy) / max(1, len(client.nthreads())))

    def _count(self) -> None:
        found = self.fold(_facts, 1, _facts_together)
        self.rows = int(found[0])
        self._check_total(found[1])
        if self._targets == "classes":
            self.classes = int(found[2]) + 1

    def _check_total(self, total: float) -> None:
        if total == 0:
            raise ValueError(arrays.no_weight(f"{self._label}sample_weight"))


# ------------------------------------------------------------------------------------------------- what Dask's collections are


class _Source:
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
    return list(_computed(values))


def _delayed(function: Callable[..., object]) -> Delayed:
    import dask

    return dask.delayed(function, pure=True)


# ---------------------------------------------------------------------------------------------------------- on the workers


class _Wanted:
    """What a partition has to be like."""

    def __init__(self, names: list[str], dtype: str, target_shape: tuple[int, ...] | None, targets: str, label: str) -> None:
        self.names, self.dtype, self.target_shape, self.targets, self.label = names, dtype, target_shape, targets, label

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return tuple(self.names), self.dtype, self.target_shape, self.targets, self.label


def _piece(number: int, wanted: _Wanted, x: Block, y: Block | None, s: Block | None) -> Piece:
    """A partition, checked; errors name it by its number, from 0."""
    before = f"in partition {number}: {wanted.label}"
    d, dtype = len(wanted.names), np.dtype(wanted.dtype)
    X = _floats(x, dtype, f"{before}X")
    if X.ndim != 2 or X.shape[1] != d:
        raise ValueError(f"{before}X has shape {X.shape}, but the others have {d} columns")
    names = [str(name) for name in getattr(x, "columns", wanted.names)]
    if names != wanted.names:
        raise ValueError(f"{before}X has the columns {', '.join(names)}, but the first has {', '.join(wanted.names)}")
    if X.dtype != dtype:
        raise TypeError(f"{before}X has dtype {X.dtype}, but the collection says {dtype}: cast it, X.astype('{dtype}')")
    arrays.check_finite(X, f"{before}X")
    Y = np.empty((len(X), 0), dtype)
    if wanted.target_shape is not None:
        Y = _floats(y, None, f"{before}Y")
        if Y.shape != (len(X), *wanted.target_shape):
            shape = f"{(len(X), *wanted.target_shape)} beside X"
            raise ValueError(must_have_shape(f"{before}Y", shape, Y.shape, f"; {_ALIKE}"))
        arrays.check_finite(Y, f"{before}Y")
        check_targets(Y, wanted.targets, None, f"{before}Y")
        Y = arrays.cast(Y, dtype, f"{before}Y").reshape(len(X), -1 if len(X) else math.prod(wanted.target_shape))
    return Piece(X, Y, None if s is None else _weights(s, X, f"{before}sample_weight"))


def _floats(block: Block, dtype: np.dtype[Any] | None, name: str) -> Array:
    """A partition as float32 or float64."""
    if hasattr(block, "to_numpy"):
        array = block.to_numpy()
        if array.dtype == object:  # pandas' own numbers, whose missing values are not floats
            array = block.to_numpy(dtype or np.float64, na_value=np.nan)
        return arrays.floating(_aligned(array), name)
    return arrays.floating(_aligned(block), name)


def _aligned(value: Any) -> Any:
    """The same; a copy of an array that has come over the network to an address that is no multiple of its item size."""
    return np.array(value) if isinstance(value, np.ndarray) and not value.flags.aligned else value


def _weights(s: Block, X: Array, name: str) -> Array:
    weights = _floats(s, None, name)
    if weights.shape != (len(X),):
        raise ValueError(must_have_shape(name, f"({len(X)},), one weight a row of X", weights.shape, f"; {_ALIKE}"))
    arrays.check_finite(weights, name)
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise ValueError(arrays.negative(name, row, weights[row]))
    largest = float(weights.max(initial=0.0))
    if largest and not _RANGE[0] <= largest <= _RANGE[1]:
        raise ValueError(f"{name} is up to {largest:.3g}: only proportions matter, divide all weights by such a number")
    return arrays.cast(weights, X.dtype, name)


def _run(part: functools.partial[Any], piece: Piece, n_threads: int | None, crowd: int) -> Any:
    """One task of a pass; None of a partition without rows."""
    if not len(piece.X):
        return None
    piece = Piece(*(_aligned(array) for array in piece))
    keywords = {name: _aligned(value) for name, value in part.keywords.items()}
    # What overflows shows in the sums.
    with np.errstate(over="ignore", invalid="ignore"):
        return part.func(piece, n_threads or max(1, _worker_threads() // crowd), **keywords)


def _worker_threads() -> int:
    """Threads of the worker that runs this task, or of this machine, where no worker does."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            return int(distributed.get_worker().state.nthreads)
        except ValueError:
            pass  # a task of another scheduler
    return threads.resolve(None)


def _joined(add: Callable[[T, T], T], *sums: T | None) -> T | None:
    """One task of the tree."""
    found = [value for value in sums if value is not None]
    return functools.reduce(add, found) if found else None


def _moments(piece: Piece, n_threads: int, *, backend: str, target: bool) -> Moments:
    y = piece.Y if target else None
    size = piece.X.shape[1] + (piece.Y.shape[1] if target else 0)
    if piece.sample_weight is not None and not piece.sample_weight.any():
        return Moments.of_nothing(piece.X.shape[1], size, len(piece.X))
    return Moments.of(piece.X, y, piece.sample_weight, n_threads, backend)


def _facts(piece: Piece, n_threads: int) -> Floats:
    """How many rows, their weight, the largest label."""
    s = piece.sample_weight
    largest = float(piece.Y.max()) if piece.Y.size else 0.0
    return np.array([len(piece.X), len(piece.X) if s is None else np.sum(s, dtype=np.float64), largest])


def _facts_together(a: Floats, b: Floats) -> Floats:
    return np.array([a[0] + b[0], a[1] + b[1], max(a[2], b[2])])


# ------------------------------------------------------------------------------------------------------ Dask's scheduler


def _client() -> Client | None:
    """The distributed client that Dask would use now, or None."""
    from dask.base import get_scheduler

    client = getattr(get_scheduler(), "__self__", None)
    return client if hasattr(client, "scheduler_info") else None


def _places(pieces: list[Delayed]) -> list[str | None]:
    """The worker on which each persisted piece lies."""
    client = _client()
    if client is None:
        return [None] * len(pieces)
    from distributed import futures_of

    _waited(client, pieces)
    found = client.who_has(futures_of(pieces))
    return [next(iter(found.get(piece.key, ())), None) for piece in pieces]


def _tree(sums: list[D], join: Callable[..., D], add: Add) -> D:
    """Lazy sums, added up: the shape depends on their number alone."""
    while len(sums) > 1:
        sums = [join(add, *sums[i : i + FAN]) for i in range(0, len(sums), FAN)]
    return sums[0]


def _computed(value: Delayed | list[Delayed]) -> Any:
    """The value of a lazy one, or of a list of them."""
    client = _client()
    if client is None:
        import dask

        return dask.compute(value)[0]
    futures = client.compute(value)
    _waited(client, futures)
    return client.gather(futures)


def _waited(client: Client, futures: Future | list[Future] | list[Delayed], useful: Callable[[], bool] = lambda: True) -> bool:
    """Waits for futures as long as that is useful; whether it was to the end. That there is no worker at all is told."""
    from distributed import wait

    told, since = False, time.monotonic()
    while True:
        try:
            with client.as_current():
                wait(futures, timeout=1)
        except TimeoutError:
            if not useful():
                return False
            if client.nthreads():
                since = time.monotonic()
            elif not told and time.monotonic() - since >= _ALONE:
                told = True
                address = client.scheduler_info().get("address", "the scheduler")
                warn(
                    f"the Dask cluster at {address} has no worker: nothing is computed until one comes; Ctrl-C gives up",
                    ClusterWarning,
                )
        else:
            return True


def _check_workers(client: Client) -> None:
    """ImportError that names the processes of the cluster that have no gdcore, or another one: Dask would let them crash."""
    from gdcore import __version__

    # Defined here, so that it travels by value: a module that cannot be imported there could not bring it.
    def tried() -> str:
        try:
            import gdcore.rows.cluster

            return str(gdcore.__version__)
        except ImportError as error:
            return f"cannot import gdcore ({error})"

    found = {f"worker {address}": said for address, said in client.run(tried).items()}
    found["the scheduler"] = client.run_on_scheduler(tried)
    wrong = [
        f"{who} {said if said.startswith('cannot') else 'has gdcore ' + said}"
        for who, said in found.items()
        if said != __version__
    ]
    if wrong:
        raise ImportError(
            f"{'; '.join(wrong)}. Every worker and the scheduler need it: pip install 'gdcore[dask]=={__version__}' there"
        )
