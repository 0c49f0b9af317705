"""`path`: every penalty of a path, every fold of cross-validation and the fit of all rows, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses, threads
from gdcore.checks import integer, must_be, number, yes_or_no
from gdcore.messages import Message, Option
from gdcore.paths.along import Wish, along
from gdcore.paths.folds import Drawn, Given, by_class
from gdcore.paths.ladder import given
from gdcore.paths.result import Path
from gdcore.paths.rows import numbered, rows_of

if TYPE_CHECKING:
    from gdcore._types import ArrayLike, Floats
    from gdcore.losses import Loss
    from gdcore.paths.folds import Folds
    from gdcore.rows.tables import Table


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
    Other losses take some passes for every penalty and fold, each from the penalty before.

    Parameters
    ----------
    X : array (n, d), float32 or float64; or a table
        As `gdcore.fit` takes them; a table brings Y and sample_weight with it.
    Y : array (n,) or (n, 1)
        Targets.
    loss : str or Loss
        "mse", "huber", "logistic", "softmax", "poisson", "gamma" or "tweedie", with a parameter "huber:2.0".
    l1_ratio : float
        From 0, ridge, to 1, the lasso; between them the elastic net.
    penalties : int or array (m,)
        How many, from the smallest one at which all weights are 0 down to 1e-4 of it, each by the same factor; of ridge, whose
        weights are never 0, from 1,000 times the largest curvature of a weight, which leaves about a thousandth of it, down to
        1e-4 times that. Or the penalties themselves, above 0.
    cv : int
        K, the number of folds. Each of K rows that follow each other is in another one, as ``seed`` draws it;
        of classes each of K rows of one class.
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
    if chosen.kinked or not chosen.curved:
        raise ValueError(must_be("loss", "one with a second derivative", repr(chosen.spelling), ": it knows no path as yet"))
    if offset is not None and not chosen.squared:
        raise ValueError(Message(Option("offset"), f" is for mse, not for {chosen.spelling!r}"))
    ratio = number(l1_ratio, "l1_ratio")
    if ratio > 1:
        raise ValueError(must_be("l1_ratio", "between 0 and 1", repr(l1_ratio)))
    standardize = yes_or_no(standardize, "standardize")
    if isinstance(penalties, (int, np.integer)):
        wanted: int | Floats = integer(penalties, "penalties", 2)
    else:
        wanted = given(penalties)
    seed = integer(seed, "seed", 0, (1 << 63) - 1)
    table = rows_of(X, Y, chosen, sample_weight, offset)
    wish = Wish(chosen, ratio, wanted, standardize)
    return along(table, _folds(table, chosen, cv, folds, seed), wish, threads.resolve(n_threads))


def _folds(table: Table, loss: Loss, cv: int, folds: Any, seed: int) -> Folds:
    if folds is not None:
        return Given(folds, len(table))
    cv = integer(cv, "cv", 2, None if table.rows is None else max(2, table.rows))
    if loss.numeric:
        return Drawn(cv, seed)
    labels = np.concatenate([piece.Y[:, 0] for _, piece in numbered(table)])
    return Given(by_class(labels, cv, seed), len(table), f"{cv} folds, drawn with seed {seed} of each class alike")
