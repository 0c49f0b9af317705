"""How many threads: asked for, else OMP_NUM_THREADS, else the CPUs that this process may use."""

from __future__ import annotations

import operator
import os
from functools import cache
from pathlib import Path

_MOST = 1024  # more than any pass is cut into


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
        try:
            asked = operator.index(n_threads)
        except TypeError:
            asked = None
        if asked is None or isinstance(n_threads, bool):
            raise TypeError(f"n_threads must be an integer or None, found {n_threads!r}")
        if asked < 1:
            raise ValueError(f"n_threads must be at least 1 or None, found {n_threads!r}")
        return min(asked, _MOST)
    digits = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip().lstrip("0")
    if digits.isdecimal():
        return min(int(digits[:8]), _MOST)  # of more digits it is above the most as well
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, _quota(cpus), _MOST))


@cache
def _quota(otherwise: int) -> int:
    """CPUs that the cgroup (version 2) of this process grants, rounded up."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return otherwise if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        return otherwise
