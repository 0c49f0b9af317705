"""`path`: every penalty of a path, every fold of cross-validation and the fit of all rows, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses, threads
from gdcore.checks import integer, must_be, must_have_shape, number, yes_or_no
from gdcore.descent.start import model_of_table, starting_model
from gdcore.messages import Message, Option
from gdcore.notices import ConvergenceWarning, warn
from gdcore.paths.constants import constants
from gdcore.paths.folds import Drawn, Given, by_class
from gdcore.paths.moments import of_folds, without_each
from gdcore.paths.result import Path
from gdcore.paths.rows import Lying, Without, numbered
from gdcore.paths.smooth import Smooth
from gdcore.paths.squared import Squared
from gdcore.rows import arrays
from gdcore.rows.cluster import lazy
from gdcore.rows.moments import MOST_COLUMNS, check
from gdcore.rows.tables import Table

if TYPE_CHECKING:
    from gdcore._types import Array, ArrayLike, Floats
    from gdcore.losses import Loss
    from gdcore.paths.folds import Folds
    from gdcore.paths.smooth import Models
    from gdcore.rows.moments import Moments

_LEAST = 1e-4  # of the largest penalty: the smallest
_ROUNDED = 1e-12
_ALMOST = 1e-3  # an l1_ratio below it is taken for it: the largest penalty then leaves weights that are hardly anything
_BENDS, _LEAST_BENDS = 1e3, 1e-4  # times the largest curvature of a weight: the penalties of ridge, whose weights are never 0


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
    wanted = penalties if isinstance(penalties, (int, np.integer)) else _penalties(penalties)
    if isinstance(wanted, (int, np.integer)):
        wanted = integer(wanted, "penalties", 2)
    seed = integer(seed, "seed", 0, (1 << 63) - 1)
    table = rows(X, Y, chosen, sample_weight, offset)
    how = _folds(table, chosen, cv, folds, seed), chosen, ratio, wanted, standardize, threads.resolve(n_threads)
    return _squared(table, *how) if chosen.squared else _smooth(table, *how)


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
        model = starting_model(None, x, y, loss)
        s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, x)
        if s is not None and not s.all():
            arrays.check_finite(y, "Y")
        table = Lying(x, _without(y.reshape(len(x), -1), offset), s)
        if loss.targets == "classes":
            table.classes = model.outputs[0]
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


def _folds(table: Table, loss: Loss, cv: int, folds: Any, seed: int) -> Folds:
    n = len(table)
    if folds is not None:
        return Given(folds, n)
    cv = integer(cv, "cv", 2, max(2, n))
    if loss.numeric:
        return Drawn(cv, seed)
    labels = np.concatenate([piece.Y[:, 0] for _, piece in numbered(table)])
    return Given(by_class(labels, cv, seed), n, f"{cv} folds, drawn with seed {seed} of each class alike")


def ladder(steepest: float, bend: float, count: int, ratio: float) -> Floats:
    """Penalties (count,) from the smallest one at which an l1 keeps weights of such slopes at 0, down to 1e-4 of it; of ridge
    by the largest curvature, for an l2 has its units, whatever those of the targets are."""
    if not steepest > 0:
        raise ValueError(
            "no column of X tells anything of Y, so that all weights are 0 at every penalty: give penalties of your own"
        )
    if ratio == 0:
        return np.geomspace(_BENDS * bend, _LEAST_BENDS * bend, count)
    top = steepest / max(ratio, _ALMOST)
    while ratio >= _ALMOST and top * ratio < steepest:  # rounding
        top = float(np.nextafter(top, np.inf))
    found = np.geomspace(top, top * _LEAST, count)
    found[0] = top
    return found


class _Parts(NamedTuple):
    """What the pass that folds have in common tells."""

    used: list[int]
    """The folds that have rows with weight."""
    folds: list[Moments]
    """Theirs, beyond the origin."""
    training: list[Moments]
    """Of the other rows, likewise."""
    whole: Moments
    origin: Floats

    @classmethod
    def of(cls, table: Table, folds: Folds, n_threads: int) -> _Parts:
        found, origin = of_folds(table, folds, n_threads)
        used = [k for k, part in enumerate(found) if part.total > 0]
        if len(used) < 2:
            raise ValueError(f"only {len(used)} of {folds.what} has rows that count: cross-validation wants two")
        parts = [found[k] for k in used]
        training = list(without_each(parts))
        whole = training[0] + parts[0]
        if not whole.finite and isinstance(table, Lying):
            arrays.check_finite(table.arrays.X, "X")
            arrays.check_finite(table.arrays.Y[:, 0], "Y")
        check(whole._replace(mean=whole.mean + origin), table.arrays.X if isinstance(table, Lying) else None)
        return cls(used, parts, training, whole, origin)


def _squared(
    table: Table, folds: Folds, loss: Loss, ratio: float, wanted: int | Floats, standardize: bool, n_threads: int
) -> Path:
    parts = _Parts.of(table, folds, n_threads)
    problem = Squared(parts.whole, parts.origin, standardize)
    penalties = ladder(problem.steepest, problem.bend, wanted, ratio) if isinstance(wanted, int) else wanted
    found = problem.solve(penalties, ratio)
    held = [
        Squared(rest, parts.origin, standardize).solve(penalties, ratio).held_out(own)
        for rest, own in zip(parts.training, parts.folds, strict=True)
    ]
    return Path(
        loss, ratio, standardize, penalties, found.weights, found.bias, found.loss, found.gap, np.array(held),
        _weights(parts), problem.deviations, parts.whole.rows, folds.what, np.dtype(table.dtype), *_known(table),
    )  # fmt: skip


def _smooth(
    table: Table, folds: Folds, loss: Loss, ratio: float, wanted: int | Floats, standardize: bool, n_threads: int
) -> Path:
    parts = _Parts.of(table, folds, n_threads)
    codes = folds.of(0, len(table))
    starts = constants(table, loss, codes, folds.count)
    every = [(table, parts.whole, starts.all_but(None))]
    every += [
        (Without(table, codes == k), rest, starts.all_but(k)) for k, rest in zip(parts.used, parts.training, strict=True)
    ]
    problems = [Smooth(rows, m._replace(mean=m.mean + parts.origin), loss, standardize, n_threads) for rows, m, _ in every]
    begun = [problem.begin(constant) for problem, (*_, constant) in zip(problems, every, strict=True)]
    # The constant is found up to rounding, and so is the penalty that keeps all weights at 0.
    penalties = wanted
    if isinstance(penalties, int):
        steepest, bend = problems[0].steepest(begun[0]), problems[0].bend(begun[0])
        penalties = ladder(steepest * (1 + _ROUNDED), bend, penalties, ratio)
    found = [
        problem.models(start, penalties, ratio, proved=i == 0)
        for i, (problem, start) in enumerate(zip(problems, begun, strict=True))
    ]
    held = [models.held_out(table, codes == k, loss) for models, k in zip(found[1:], parts.used, strict=True)]
    whole = found[0]
    _tell(found, penalties, loss)
    weights, bias = (whole.weights, whole.bias) if loss.targets == "classes" else (whole.weights[:, :, 0], whole.bias[:, 0])
    return Path(
        loss, ratio, standardize, penalties, weights, bias, whole.loss, whole.gap, np.array(held),
        _weights(parts), problems[0].deviations, parts.whole.rows, folds.what, np.dtype(table.dtype), *_known(table),
    )  # fmt: skip


def _weights(parts: _Parts) -> Floats:
    return np.array([part.total for part in parts.folds])


def _known(table: Table) -> tuple[list[str] | None, dict[str, Any] | None]:
    """What a model of the table's rows has to know of it."""
    card = table.card()
    return (None, None) if card is None else (list(table.names), card)


def _tell(found: list[Models], penalties: Floats, loss: Loss) -> None:
    """Warns of models that are not known to be the best ones."""
    unsolved = np.any([models.open for models in found], axis=0)
    unproved = loss.has_conjugate and np.isnan(found[0].gap).any()
    if unsolved.any():
        first = float(penalties[int(np.argmax(unsolved))])
        warn(
            f"at {int(unsolved.sum())} of {len(penalties)} penalties, {first:.3g} the largest of them, no step lowered the "
            f"{loss.spelling} objective any more before the best weights were reached",
            ConvergenceWarning,
        )
    elif unproved:
        count = int(np.isnan(found[0].gap).sum())
        warn(f"at {count} of {len(penalties)} penalties nothing proves how far the best weights are", ConvergenceWarning)
