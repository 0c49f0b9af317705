"""Dask's scheduler: who computes, where what was persisted lies, and what is told while nobody does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from gdcore.notices import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from dask.delayed import Delayed
    from distributed import Client, Future

    from gdcore._types import Add

D = TypeVar("D")

FAN = 4
"""So many sums are added by one task of the tree."""
_ALONE = 10.0  # seconds without a worker until that is told


class ClusterWarning(UserWarning):
    """The cluster has no worker, and nothing is computed until one comes."""


def current_client() -> Client | None:
    """The distributed client that Dask would use now, or None."""
    from dask.base import get_scheduler

    client = getattr(get_scheduler(), "__self__", None)
    return client if hasattr(client, "scheduler_info") else None


def places(pieces: list[Delayed]) -> list[str | None]:
    """The worker on which each persisted piece lies."""
    client = current_client()
    if client is None:
        return [None] * len(pieces)
    from distributed import futures_of

    waited(client, pieces)
    found = client.who_has(futures_of(pieces))
    return [next(iter(found.get(piece.key, ())), None) for piece in pieces]


def tree(sums: list[D], join: Callable[..., D], add: Add) -> D:
    """Lazy sums, added up: the shape depends on their number alone."""
    while len(sums) > 1:
        sums = [join(add, *sums[i : i + FAN]) for i in range(0, len(sums), FAN)]
    return sums[0]


def computed(value: Delayed | list[Delayed]) -> Any:
    """The value of a lazy one, or of a list of them."""
    client = current_client()
    if client is None:
        import dask

        return dask.compute(value)[0]
    futures = client.compute(value)
    waited(client, futures)
    return client.gather(futures)


def waited(client: Client, futures: Future | list[Future] | list[Delayed], useful: Callable[[], bool] = lambda: True) -> bool:
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


def check_workers(client: Client) -> None:
    """ImportError that names the processes of the cluster that have no gdcore, or another one: Dask would let them crash."""
    from gdcore import __version__

    # Defined here, so that it travels by value: a module that cannot be imported there could not bring it.
    def tried() -> str:
        try:
            import gdcore.rows.dask.tasks

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
