"""Where rows live: arrays, files and Dask, behind one contract, `tables.Table`, whose passes are folds over pieces of rows.

`files/` reads tables on disk, `dask/` reaches rows on a cluster; `open_table` is the way to the first, and what becomes of
their columns is decided beside it.
"""
