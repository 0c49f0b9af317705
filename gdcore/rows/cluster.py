"""Paths of old: `gdcore.rows.dask.cluster` and `gdcore.rows.dask.partitions`."""

from gdcore.rows.dask.cluster import Cluster
from gdcore.rows.dask.partitions import lazy

__all__ = ["Cluster", "lazy"]
