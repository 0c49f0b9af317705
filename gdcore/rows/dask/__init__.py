"""Rows in Dask: `cluster.Cluster` is the table; `partitions` knows Dask's collections, `tasks` run where partitions lie,
`scheduler` asks for them and waits. Dask is imported when a collection is there, and not before."""
