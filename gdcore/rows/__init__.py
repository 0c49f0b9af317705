"""Where rows live: arrays, files and Dask, behind one contract, `tables.Table`, whose passes are folds over pieces of rows."""
