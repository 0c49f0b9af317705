"""How many threads: asked for, else OMP_NUM_THREADS, else the CPUs that this process may use."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from gdcore.checks import integer

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
    ValueError: n_threads must be at least 1, found 0
    """
    if n_threads is not None:
        return min(integer(n_threads, "n_threads", 1), _MOST)
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
