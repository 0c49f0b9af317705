"""Rows in Dask: the same fit, spectrum and predictions where a table outgrows one machine.

Loss, gradient and second moments are sums over rows: only the place of the sum changes. X, Y and sample_weight are a
dask.array or a dask.dataframe (unknown chunk sizes included); the workers are those of the `distributed.Client` that is
there, else Dask's own scheduler on this machine. ``pip install 'gdcore[dask]'``, on the workers and the scheduler as well.

mse reads every partition once, for its second moments; all epochs then go over those, here. For other losses the partitions
are persisted on the workers, and each pass is one task a partition. The result depends on how the rows are cut into
partitions, in its last bits; on the number of workers and threads it does not, nor on what failed on the way.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gdcore.checks import must_be
from gdcore.facts.spectrum import spectrum as _spectrum
from gdcore.rows.dask import partitions
from gdcore.rows.dask.cluster import Cluster
from gdcore.run import Run
from gdcore.train import fit as _fit

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from gdcore._types import Array, ArrayLike, Lazy
    from gdcore.drawing import Predicts
    from gdcore.facts.spectrum import Spectrum
    from gdcore.losses import Loss

    Block: TypeAlias = Array | pd.DataFrame | pd.Series


@functools.wraps(_fit, assigned=("__annotations__",))
def fit(X: Lazy, Y: Lazy | ArrayLike, *arguments: Any, **options: Any) -> Run:
    """`gdcore.fit` of rows in Dask, which comes here by itself when X is Dask's; networks and mini-batches excepted.

    Parameters
    ----------
    X : dask.array (n, d) or dask.dataframe
        float32 or float64 (integers and booleans become float64), in any chunks of rows; chunks of columns are joined.
    Y : dask.array, dask.dataframe, series, or array; (n,) or (n, k)
        Brought into X's partitions where it is cut in another way. Where neither tells its rows, that counts them first.
    sample_weight : likewise, (n,), optional
    validation : (Xv, Yv), optional
        Dask's, or arrays.
    n_threads : int, optional
        Of each task; default: a worker's threads, divided among its partitions.
    model, loss, optimizer, lr, epochs and all other options
        As for `gdcore.fit`.

    Returns
    -------
    Run
        As of `gdcore.fit`. The persisted partitions are let go at the end: what a run finds when it is asked, ``run.gap`` for
        example, reads the source again, unless X was persisted by its owner.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, and the partition, counted from 0.
    ImportError
        Workers, or the scheduler, have no gdcore or another version; it names them.
    DivergenceError
        As of `gdcore.fit`.

    Examples
    --------
    >>> import dask.array as da
    >>> import gdcore.distributed
    >>> X = da.arange(0.0, 100.0, chunks=25)[:, None]
    >>> run = gdcore.distributed.fit(X, 1.8 * X[:, 0] + 32)
    >>> run.model.weights.round(6), round(float(run.model.bias), 6), run.status
    (array([1.8]), 32.0, 'converged')
    """
    _check(X)
    return _fit(X, Y, *arguments, **options)


def spectrum(
    X: Lazy,
    bias: bool = True,
    loss: str | Loss = "mse",
    l2: float = 0.0,
    sample_weight: Lazy | ArrayLike | None = None,
    **how: Any,
) -> Spectrum:
    """`gdcore.spectrum` of rows in Dask: one pass over the cluster.

    >>> import dask.array as da
    >>> import gdcore.distributed
    >>> round(gdcore.distributed.spectrum(da.arange(0.0, 101.0, 20.0, chunks=2)[:, None]).condition)
    11528
    """
    _check(X)
    return _spectrum(X, bias, loss, l2, sample_weight, **how)


def predict(model: Predicts | Run, X: Lazy, method: str = "predict") -> Lazy:
    """The predictions for rows in Dask: a lazy collection with X's partitions.

    Parameters
    ----------
    model : Linear, MLP, Run or a fitted estimator
        What has a ``predict``.
    X : dask.array (n, d) or dask.dataframe
        As given to `fit`.
    method : str
        "predict_proba", for example, for probabilities instead.

    Returns
    -------
    dask.array, or a dask series or dataframe with X's index
        (n,) or (n, k). Nothing is computed yet; an error names its partition.

    Examples
    --------
    >>> import dask.array as da
    >>> import gdcore
    >>> import gdcore.distributed
    >>> lazy = gdcore.distributed.predict(gdcore.Linear([2.0], bias=1.0), da.arange(0.0, 4.0, chunks=2)[:, None])
    >>> lazy.chunks, lazy.compute()
    (((2, 2),), array([1., 3., 5., 7.]))
    """
    _check(X)
    if isinstance(model, Run):
        model = model.model
    # What one row gives tells shape and dtype.
    one = np.asarray(getattr(model, method)(one_row(X)))
    task = functools.partial(_predicted, model=model, method=method, shape=one.shape[1:], dtype=one.dtype.str)
    if not hasattr(X, "divisions"):
        if X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        if one.ndim == 1:
            return X.map_blocks(task, dtype=one.dtype, drop_axis=1, meta=np.empty(0, one.dtype))
        chunks = (X.chunks[0], (one.shape[1],))
        return X.map_blocks(task, dtype=one.dtype, chunks=chunks, meta=np.empty((0, one.shape[1]), one.dtype))
    return X.map_partitions(task, meta=_framed(np.empty((0, *one.shape[1:]), one.dtype), X._meta), enforce_metadata=False)


def _check(X: object) -> None:
    if not partitions.lazy(X):
        advice = "; gdcore.fit, gdcore.spectrum and model.predict take arrays"
        raise TypeError(must_be("X", f"{partitions.LAZY} (pip install 'gdcore[dask]')", type(X).__name__, advice))


def _predicted(
    block: Block,
    *,
    model: Predicts,
    method: str,
    shape: tuple[int, ...],
    dtype: str,
    block_id: tuple[int, ...] | None = None,
    partition_info: dict[str, int] | None = None,
) -> Block:
    """One partition's predictions."""
    number = block_id[0] if block_id else partition_info["number"] if partition_info else None
    if not len(block):
        return _framed(np.empty((0, *shape), dtype), block)
    try:
        return _framed(np.asarray(getattr(model, method)(block)), block)
    except (ValueError, TypeError) as error:
        raise type(error)(f"in partition {number}: {error}") from error


def one_row(X: Lazy) -> Block:
    """Zeros of X's width and dtype, as a data frame where X is one: estimators look at its names."""
    source = Cluster(X, None)
    row = np.zeros((1, len(source.names)), source.dtype)
    return type(X._meta)(row, columns=X._meta.columns) if hasattr(X, "divisions") else row


# ------------------------------------------------------------------------------------------------- labels, for a classifier


def classes(y: Lazy | ArrayLike) -> Array:
    """The labels that there are, by one pass."""
    if not partitions.lazy(y):
        return np.unique(np.asarray(y))
    return np.unique(np.concatenate(partitions.each(np.unique, y, "y")))


def codes(y: Lazy | ArrayLike, classes: Array, name: str = "y") -> Lazy | Block:
    """The labels' places in ``classes``, as numbers: lazy where y is."""
    return _mapped(functools.partial(_codes, classes=classes, name=name), y)


def class_totals(codes: Lazy, sample_weight: Lazy | Array | None, k: int) -> Array:
    """The weight of each class."""
    s = 1.0 if sample_weight is None else sample_weight
    totals = [((codes == c) * s).sum() for c in range(k)]
    return np.array(partitions.together(totals), np.float64)


def weighted(codes: Lazy, factors: Array, sample_weight: Lazy | Array | None) -> Lazy | Block:
    """sample_weight times the factor of each row's class."""
    s = _mapped(functools.partial(_factors, factors=factors), codes)
    return s if sample_weight is None else s * sample_weight


def _mapped(function: Callable[[Block], Block], y: Lazy) -> Lazy | Block:
    if not partitions.lazy(y):
        return function(y)
    if hasattr(y, "divisions"):
        return y.map_partitions(function, meta=(None, np.float64))
    return y.map_blocks(function, dtype=np.float64, meta=np.empty(0))


def _codes(labels: Block, *, classes: Array, name: str) -> Block:
    found = np.asarray(labels)
    places = np.minimum(np.searchsorted(classes, found), len(classes) - 1)
    if (unknown := classes[places] != found).any():
        raise ValueError(f"{name} has the label {found[unknown][:1].tolist()[0]!r}; the classes are {classes}")
    return _framed(places.astype(np.float64), labels)


def _factors(codes: Block, *, factors: Array) -> Block:
    return _framed(factors[np.asarray(codes).astype(np.intp)], codes)


def _framed(predictions: Array, block: Block) -> Block:
    """Predictions beside the rows' index, where they have one."""
    if not hasattr(block, "index"):
        return predictions
    import pandas as pd

    kind = pd.Series if predictions.ndim == 1 else pd.DataFrame
    return kind(predictions, index=block.index)
