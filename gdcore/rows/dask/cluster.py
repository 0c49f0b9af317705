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
from typing import TYPE_CHECKING, Any

from gdcore import threads
from gdcore.checks import must_have_shape
from gdcore.rows import arrays
from gdcore.rows.dask import scheduler, tasks
from gdcore.rows.dask.partitions import Source
from gdcore.rows.moments import Moments
from gdcore.rows.tables import Table

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client, Future

    from gdcore._types import Add, ArrayLike, Lazy, Part

_LOST = object()


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
        source = Source(X, label + "X")
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
        how = tasks.Wanted(self.names, str(self.dtype), self.target_shape if Y is not None else None, targets, label)
        make = dask.delayed(tasks.piece, pure=True)
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
            self._places = scheduler.places(self._pieces)
        if value is None:
            raise ValueError(f"{self._label}X is empty: no partition has rows")
        return value

    def _folded(self, part: Part, add: Add) -> Any:
        import dask

        whole, client = functools.partial(part), scheduler.current_client()
        if client is not None and any(self._places):
            return self._sent(client, whole, add)
        # Pure keys would hash what is new in every pass.
        run, join = dask.delayed(tasks.run, pure=False), dask.delayed(tasks.joined, pure=False)
        sums = [run(whole, piece, self.n_threads, self._crowd) for piece in self._pieces]
        return scheduler.computed(scheduler.tree(sums, join, add))

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
                submit(tasks.run, part, future, self.n_threads, self._crowd, workers=None if place is None else [place])
                for future, place in zip(futures_of(self._pieces), self._places, strict=True)
            ]
            total = scheduler.tree(sums, functools.partial(submit, tasks.joined), add)
            places = {place for place in self._places if place}
            there = scheduler.waited(client, total, lambda: places <= set(client.nthreads()))
            return total.result() if there else _LOST
        finally:
            for future in made:
                future.release()

    def moments(self, n_threads: int, backend: str, target: bool) -> Moments:
        """`Moments.of` all rows: of each partition about its own means, then added up."""
        moments: Moments = self.fold(functools.partial(tasks.moments, backend=backend, target=target), n_threads)
        self.rows = moments.rows
        self._check_total(moments.total)
        return moments

    def keep(self) -> None:
        """Persists the partitions on the workers, checked, and counts rows and classes."""
        if self._pieces is self._lazy:
            import dask

            _ = self._crowd  # looks at the workers before they get anything
            self._pieces = list(dask.persist(*self._lazy))
            self._places = scheduler.places(self._pieces)
            self._count()

    def free(self) -> None:
        """Lets go of what was persisted."""
        self._pieces, self._places = self._lazy, [None] * len(self._lazy)

    @functools.cached_property
    def _crowd(self) -> int:
        """Partitions that share a worker's threads; workers that cannot do their part are told of before they get one."""
        client = scheduler.current_client()
        if client is None:
            return len(self._lazy)
        scheduler.check_workers(client)
        return math.ceil(len(self._lazy) / max(1, len(client.nthreads())))

    def _count(self) -> None:
        found = self.fold(tasks.facts, 1, tasks.facts_together)
        self.rows = int(found[0])
        self._check_total(found[1])
        if self._targets == "classes":
            self.classes = int(found[2]) + 1

    def _check_total(self, total: float) -> None:
        if total == 0:
            raise ValueError(arrays.no_weight(f"{self._label}sample_weight"))
