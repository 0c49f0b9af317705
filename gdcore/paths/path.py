"""`path`: every penalty of a path, every fold of cross-validation and the fit of all rows, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses, threads
from gdcore.checks import integer, must_be, must_have_shape, number, yes_or_no
from gdcore.descent.start import model_of_table, starting_model
from gdcore.messages import Message, Option
from gdcore.paths.folds import Drawn, Given
from gdcore.paths.moments import of_folds, without_each
from gdcore.paths.result import Path
from gdcore.paths.rows import Lying
from gdcore.paths.squared import Squared
from gdcore.rows import arrays
from gdcore.rows.cluster import lazy
from gdcore.rows.moments import MOST_COLUMNS, check
from gdcore.rows.tables import Table

if TYPE_CHECKING:
    from gdcore._types import Array, ArrayLike, Floats
    from gdcore.losses import Loss
    from gdcore.paths.folds import Folds

_LEAST = 1e-4  # of the largest penalty: the smallest
_RIDGE = 1e-3  # without l1 no penalty makes all weights 0: the largest is then that of this l1_ratio, as glmnet has it


def path(
    X: ArrayLike | Table,
    Y: ArrayLike | None = None,
    loss: str | Loss = "mse",
    l1_ratio: float = 1.0,
    penalties: int | ArrayLike = 100,
    cv: int = 10,
    folds: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    seed: int = 0,
    standardize: bool = True,
    n_threads: int | None = None,
) -> Path:
    """Models for a whole path of penalties, with the cross-validation that chooses among them.

    The objective at a penalty λ, with columns' spreads σ where they are standardized, else 1, is

        loss + λ·l1_ratio·Σ σ|w| + λ·(1 − l1_ratio)/2·Σ σ²w².

    The bias is not penalised. Squared error takes one pass over the rows: its second moments, fold by fold, tell everything.

    Parameters
    ----------
    X : array (n, d), float32 or float64; or a table
        As `gdcore.fit` takes them; a table brings Y and sample_weight with it.
    Y : array (n,) or (n, 1)
        Targets.
    loss : str or Loss
        "mse".
    l1_ratio : float
        From 0, ridge, to 1, the lasso; between them the elastic net.
    penalties : int or array (m,)
        How many, from the smallest one at which all weights are 0 down to 1e-4 of it, each by the same factor; of ridge, whose
        weights are never 0, from 1,000 times the largest slope. Or the penalties themselves, above 0.
    cv : int
        K, the number of folds. Each of K rows that follow each other is in another one, as ``seed`` draws it.
    folds : array (n,), optional
        Which fold each row belongs to instead, as numbers or text: groups, or times.
    sample_weight : array (n,), optional
        How much each row counts: in training, and in the losses of held-out rows. Those of 0 are as if they were not there.
    offset : array (n,), optional
        Of squared error: added to each row's prediction, and so taken off its target.
    seed : int
    standardize : bool
        Penalise weights in units of their columns' spreads, of all rows or of a training part's, so that the units of columns
        do not matter. Else as they lie. ``Path.weights`` are in the data's units either way.
    n_threads : int, optional

    Returns
    -------
    Path

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was found and what is wanted.

    Notes
    -----
    glmnet's objective for gaussian targets is half of this one: its λ is half of the λ here, its α is l1_ratio; its
    standardize, ``cvm`` and ``cvsd`` are as here. The alpha of scikit-learn's ``Lasso`` and ``ElasticNet``, which standardize
    nothing, is likewise half of λ.

    With folds of a seed the result has the same bits for any number of threads, and however a table is cut into pieces.

    Examples
    --------
    >>> import numpy as np
    >>> import gdcore
    >>> x = np.random.default_rng(0).standard_normal((200, 5))
    >>> y = 3 * x[:, 0] - 2 * x[:, 1] + np.random.default_rng(1).standard_normal(200)
    >>> found = gdcore.path(x, y)
    >>> found.nonzero[[0, found.one_standard_error]]
    array([0, 2])
    >>> found.model("one_standard_error").weights.round(2)
    array([ 2.75, -1.71,  0.  ,  0.  ,  0.  ])
    """
    chosen = losses.get(loss)
    if not chosen.squared:
        raise ValueError(must_be("loss", "'mse'", repr(chosen.spelling), ", the only one as yet"))
    ratio = number(l1_ratio, "l1_ratio")
    if ratio > 1:
        raise ValueError(must_be("l1_ratio", "between 0 and 1", repr(l1_ratio)))
    standardize = yes_or_no(standardize, "standardize")
    wanted = penalties if isinstance(penalties, (int, np.integer)) else _penalties(penalties)
    if isinstance(wanted, (int, np.integer)):
        wanted = integer(wanted, "penalties", 2)
    seed = integer(seed, "seed", 0, (1 << 63) - 1)
    table = rows(X, Y, chosen, sample_weight, offset)
    parts = _folds(table, cv, folds, seed)
    return _squared(table, parts, chosen, ratio, wanted, standardize, threads.resolve(n_threads))


def rows(X: Any, Y: Any, loss: Loss, sample_weight: Any, offset: Any) -> Table:
    """The rows, checked, as a table with one target."""
    if lazy(X):
        raise TypeError("X is Dask's, whose rows are not numbered as folds need it: give X.compute(), Y.compute(), or a table")
    if isinstance(X, Table):
        for name, value in (("Y", Y), ("sample_weight", sample_weight)):
            if value is not None:
                raise TypeError(f"{name} comes with the table: found {type(value).__name__}")
        if offset is not None:
            raise TypeError(f"offset is for arrays, not for a table: found {type(offset).__name__}")
        table, shape = X, X.target_shape
        model_of_table(None, X, loss)
    else:
        if Y is None:
            raise TypeError("Y must be given beside X: found None")
        x = arrays.table(X)
        y = arrays.targets(Y, x)
        shape = y.shape[1:]
        starting_model(None, x, y, loss)
        s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, x)
        if s is not None and not s.all():
            arrays.check_finite(y, "Y")
        table = Lying(x, _without(y.reshape(len(x), -1), offset), s)
    if shape not in ((), (1,)):
        raise ValueError(must_have_shape("Y", "(n,) or (n, 1), one target", ("n", *shape), ": make a path of each by itself"))
    if len(table.names) > MOST_COLUMNS:
        raise ValueError(f"a path has up to {MOST_COLUMNS:,} columns, found {len(table.names):,}: leave some out")
    return table


def _without(Y: Array, offset: Any) -> Array:
    """The targets less what is added to predictions."""
    if offset is None:
        return Y
    off = arrays.floating(offset, "offset")
    if off.shape != (len(Y),):
        raise ValueError(must_have_shape("offset", f"({len(Y)},), one for each row", off.shape))
    arrays.check_finite(off, "offset")
    return Y - arrays.cast(off, Y.dtype, "offset")[:, None]


def _penalties(values: Any) -> Floats:
    """Penalties as they are given, decreasing."""
    found = arrays.floating(values, "penalties").astype(np.float64)
    if found.ndim != 1 or not len(found):
        raise ValueError(must_have_shape("penalties", "(m,), or how many", found.shape))
    arrays.check_finite(found, "penalties")
    if found.min() <= 0:
        raise ValueError(Message(Option("penalties"), f" must be above 0, found {found.min():g}; gdcore.fit needs none"))
    return np.sort(found)[::-1].copy()


def _folds(table: Table, cv: int, folds: Any, seed: int) -> Folds:
    n = len(table)
    if folds is not None:
        return Given(folds, n)
    return Drawn(integer(cv, "cv", 2, max(2, n)), seed)


def ladder(steepest: float, count: int, ratio: float) -> Floats:
    """Penalties (count,) from the smallest one at which an l1 keeps weights of such slopes at 0, down to 1e-4 of it."""
    if not steepest > 0:
        raise ValueError(
            "no column of X tells anything of Y, so that all weights are 0 at every penalty: give penalties of your own"
        )
    top = steepest / max(ratio, _RIDGE)
    while ratio >= _RIDGE and top * ratio < steepest:  # rounding
        top = float(np.nextafter(top, np.inf))
    found = np.geomspace(top, top * _LEAST, count)
    found[0] = top
    return found


def _squared(
    table: Table, folds: Folds, loss: Loss, ratio: float, wanted: int | Floats, standardize: bool, n_threads: int
) -> Path:
    parts, origin = of_folds(table, folds, n_threads)
    used = [k for k, part in enumerate(parts) if part.total > 0]
    if len(used) < 2:
        raise ValueError(f"only {len(used)} of {folds.what} has rows that count: cross-validation wants two")
    parts = [parts[k] for k in used]
    training = list(without_each(parts))
    whole = training[0] + parts[0]
    if not whole.finite and isinstance(table, Lying):
        arrays.check_finite(table.arrays.X, "X")
        arrays.check_finite(table.arrays.Y[:, 0], "Y")
    check(whole._replace(mean=whole.mean + origin), table.arrays.X if isinstance(table, Lying) else None)
    problem = Squared(whole, origin, standardize)
    penalties = ladder(problem.steepest, wanted, ratio) if isinstance(wanted, int) else wanted
    found = problem.solve(penalties, ratio)
    held = [
        Squared(rest, origin, standardize).solve(penalties, ratio).held_out(own)
        for rest, own in zip(training, parts, strict=True)
    ]
    card = table.card()
    return Path(
        loss, ratio, standardize, penalties, found.weights, found.bias, found.loss, found.gap, np.array(held),
        np.array([part.total for part in parts]), problem.deviations, whole.rows, folds.what, np.dtype(table.dtype),
        None if card is None else list(table.names), card,
    )  # fmt: skip
