"""How many threads: asked for, else OMP_NUM_THREADS, else the CPUs that this process may use."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


def resolve(n_threads: int | None) -> int:
    """The number of threads to use.

    Parameters
    ----------
    n_threads : int or None
        At least 1; None asks the environment: the variable ``OMP_NUM_THREADS`` (which joblib sets in its workers), else
        the CPUs in this process's affinity mask, at most as many as its cgroup's CPU quota.

    Examples
    --------
    >>> resolve(3)
    3
    >>> resolve(0)
    Traceback (most recent call last):
    ValueError: n_threads must be at least 1 or None, found 0
    """
    if n_threads is not None:
        if isinstance(n_threads, bool) or not hasattr(n_threads, "__index__"):
            raise TypeError(f"n_threads must be an integer or None, found {n_threads!r}")
        if int(n_threads) < 1:
            raise ValueError(f"n_threads must be at least 1 or None, found {n_threads!r}")
        return int(n_threads)
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdigit() and int(first) > 0:
        return int(first)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, _quota(cpus)))


@cache
def _quota(otherwise: int) -> int:
    """CPUs that the cgroup (version 2) of this process grants, rounded up."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return otherwise if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        return otherwise
