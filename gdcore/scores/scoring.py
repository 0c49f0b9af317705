"""Scores of a model on rows: of arrays, of tables in pieces, or of second moments."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import must_be, must_have_shape
from gdcore.losses.targets import check_targets
from gdcore.models.linear import Linear
from gdcore.models.mlp import MLP
from gdcore.plain import number
from gdcore.rows import arrays
from gdcore.rows.tables import Piece, Table
from gdcore.scores.named import Baseline, NumberScores, Scores
from gdcore.scores.sums import ClassSums, NumberSums, Sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gdcore._types import Array, ArrayLike, Label
    from gdcore.losses import Loss
    from gdcore.rows.coded import Coded
    from gdcore.rows.moments import Moments


def score(
    model: Linear | MLP,
    X: ArrayLike | Table,
    Y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    train: ArrayLike | None = None,
    labels: Sequence[Label] | None = None,
) -> Scores:
    """How good a trained model is on these rows, beside the best constant for its loss.

    Parameters
    ----------
    model : Linear or MLP
        As `gdcore.fit` has trained it: it knows its loss.
    X : array (n, d), or Table
        A table brings Y and sample_weight with it.
    Y : array (n,) or (n, k)
        As given to `gdcore.fit`; for classifiers (n,) classes 0, 1, ….
    sample_weight : array (n,), optional
        Rows count by it.
    train : array, optional
        Targets of the rows that trained, as Y: the constant is their mean, median or quantile, or their most frequent class.
        Default: that of these rows.
    labels : list, optional
        What the classes are called. Default: a table's own, or their numbers.

    Returns
    -------
    NumberScores or ClassScores
        Numbers with names; printed, they are a table.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was found and what is wanted.

    Examples
    --------
    >>> import gdcore
    >>> X, Y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 4.0, 7.0]
    >>> found = gdcore.scores.score(gdcore.fit(X, Y).model, X, Y)
    >>> round(found.rmse, 3), round(found.r2, 3)
    (0.418, 0.963)
    >>> print(found)
                           model      baseline
      rows                     4             4
      MSE                  0.175        4.6875
      RMSE               0.41833       2.16506
      MAE                   0.35          1.75
      R²                0.962667             0
    baseline: always the mean, 3.75
    """
    loss = model.loss if isinstance(model, (Linear, MLP)) else None
    if loss is None:
        raise TypeError(must_be("model", "a Linear or MLP that gdcore.fit has trained, and so knows its loss", repr(model)))
    if isinstance(X, Table):
        check_table(model, loss, X, Y, sample_weight)
        pieces, targets, own = _of_table(model, loss, X), (X.target_shape or (1,))[0], X.labels
    else:
        piece = checked(model, loss, X, Y, sample_weight, "scores compare predictions with it")
        pieces, targets, own = iter([piece]), piece.Y.shape[1], ()
    if isinstance(labels, str) or not (labels is None or hasattr(labels, "__iter__")):
        raise TypeError(f"labels must be a list of names, found {labels!r}")
    names = [str(label) for label in (own if labels is None else labels)]
    found = summed(pieces, model, loss, names, targets)
    if train is None:
        return found.with_baseline(found)
    trained = arrays.floating(train, "train")
    wanted = "(n,) or (n, 1)" if targets == 1 else f"(n, {targets})"
    if not trained.size or trained.ndim > 2 or (trained.shape[1:] != (targets,) and (targets > 1 or trained.ndim != 1)):
        raise ValueError(must_have_shape("train", f"{wanted}, as targets have", trained.shape))
    return found.with_baseline(_constant(model, loss, names, trained.reshape(-1, targets)))


def _constant(model: Linear | MLP, loss: Loss, labels: Sequence[str], Y: Array) -> Sums:
    """Sums of rows whose targets are these; what is predicted for them does not matter."""
    arrays.check_finite(Y, "train")
    k = int(np.prod(model.outputs, dtype=int))
    check_targets(Y[:, 0], loss.targets, k, "train", f"{loss.name} wants")
    found = sums(loss, labels or [str(c) for c in range(max(2, k))], Y.shape[1])
    found.add(np.zeros((len(Y), k)), Y, None)
    return found


def checked(
    model: Linear | MLP, loss: Loss, X: ArrayLike, Y: ArrayLike | None, sample_weight: ArrayLike | None, why: str
) -> Piece:
    """Rows that a trained model predicts, with errors in the words of `gdcore.fit`; ``why`` Y is wanted."""
    k = int(np.prod(model.outputs, dtype=int))
    if Y is None:
        raise TypeError(f"Y is missing: {why}")
    X = arrays.table(X)
    model.check_columns(X)
    Y = arrays.targets(Y, X).reshape(len(X), -1)
    _check_width(loss, k, Y.shape[1])
    arrays.check_finite(Y, "Y")
    check_targets(Y[:, 0], loss.targets, k, "Y", f"{loss.name} wants")
    return Piece(X, Y, None if sample_weight is None else arrays.weights_of_rows(sample_weight, X))


def _check_width(loss: Loss, k: int, found: int) -> None:
    """ValueError where a model with k outputs has no use for so many columns of targets."""
    wanted = k if loss.numeric else 1
    if found != wanted or (loss.targets == "binary" and k != 1):
        of = "column" if wanted == 1 else "columns"
        raise ValueError(f"Y must have {wanted} {of} for a model of {loss.name} with {k} outputs, found {found}")


def check_table(model: Linear | MLP, loss: Loss, X: Table, Y: ArrayLike | None, sample_weight: ArrayLike | None) -> None:
    """ValueError where the target of a table is none that the model predicts, or is given beside it."""
    if Y is not None or sample_weight is not None:
        raise ValueError("a table brings Y and sample_weight with it: leave both out")
    if X.target_shape == (0,):
        raise ValueError("the table has no target: open it with the name of one")
    if X.labels and loss.numeric:
        raise ValueError(f"the table's target is {len(X.labels)} classes, and the model predicts numbers ({loss.name})")
    _check_width(loss, int(np.prod(model.outputs, dtype=int)), (X.target_shape or (1,))[0])


def _of_table(model: Linear | MLP, loss: Loss, X: Table) -> Iterator[Piece]:
    """The rows of a table."""
    k = int(np.prod(model.outputs, dtype=int))
    for piece in X.pieces(1):
        check_targets(piece.Y[:, 0], loss.targets, k, "in a piece of the table Y", f"{loss.name} wants")
        yield piece


def sums(loss: Loss, labels: Sequence[str], targets: int = 1) -> Sums:
    """Sums of no rows yet, of the kind that fits the loss: `Sums.add` takes rows, `Sums.scores` tells what they come to.

    Parameters
    ----------
    loss : Loss
    labels : list of str
        What the classes are called, where the targets are classes.
    targets : int
        How many columns of numbers there are to predict.

    Examples
    --------
    >>> from gdcore.losses import mae
    >>> found = sums(mae(), ())
    >>> found.add(np.array([[1.0], [2.0]]), np.array([[1.5], [4.0]]), None)
    >>> found.scores().mae
    1.25
    """
    return NumberSums(loss, targets) if loss.numeric else ClassSums(loss, labels)


def summed(pieces: Iterable[Piece], model: Linear | MLP, loss: Loss, labels: Sequence[str] = (), targets: int = 1) -> Sums:
    """What `sums` are of the predictions of a model, of rows that come in pieces: one pass.

    Parameters
    ----------
    pieces : iterable of Piece
        As ``table.pieces(1)`` gives them.
    model : Linear or MLP
    loss : Loss
    labels : list of str
        What the classes are called. Default: their numbers.
    targets : int
        Columns of Y.

    Raises
    ------
    ValueError
        There is not one label for each class.

    Examples
    --------
    >>> from gdcore.losses import mse
    >>> piece = Piece(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]]), None)
    >>> summed([piece], Linear([1.0], 0.5), mse()).scores().rmse
    0.5
    """
    k = int(np.prod(model.outputs, dtype=int))
    if labels and not loss.numeric and len(labels) != max(2, k):
        raise ValueError(must_be("labels", f"{max(2, k)}, one for each class", f"{len(labels)}"))
    found = sums(loss, labels or [str(c) for c in range(max(2, k))], targets)
    for piece in pieces:
        found.add(predicted(model, piece.X), piece.Y, piece.sample_weight)
    return found


def predicted(model: Linear | MLP, X: Array | Coded) -> Array:
    """The model's predictions (m, k), before they are probabilities; of no rows too."""
    k = int(np.prod(model.outputs, dtype=int))
    return model.linear_predictor(X).reshape(len(X), k) if len(X) else np.empty((0, k))


def of_moments(moments: Moments, model: Linear, train: Moments | None = None) -> NumberScores:
    """Of squared error, from the second moments of rows [x, y]: no pass over them, and no mean absolute error.

    ⟨r²⟩ = ⟨r⟩² + vᵀCv, with r = y − xw − b, v = [−w, 1] and the covariance C of [x, y].

    Parameters
    ----------
    moments : Moments
        Of [X, Y].
    model : Linear
    train : Moments, optional
        Of Y of the rows that trained, whose mean is the baseline.

    Examples
    --------
    >>> from gdcore.rows.moments import Moments
    >>> X, Y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    >>> of_moments(Moments.of(X, Y), Linear([1.0], 0.5)).rmse
    0.5
    """
    d = moments.columns
    v = np.append(-model.weights.ravel(), 1.0)
    bias = 0.0 if model.bias is None else float(np.ravel(model.bias)[0])
    mean = float(moments.mean @ v) - bias
    loss = mean**2 + max(0.0, float(v @ moments.scatter @ v) / moments.total)
    target = moments._replace(mean=moments.mean[d:], scatter=moments.scatter[d:, d:], columns=1)
    return of_loss(loss, target, train)


def of_loss(loss: float, target: Moments, train: Moments | None = None) -> NumberScores:
    """Scores of a squared error that is known.

    Parameters
    ----------
    loss : float
        ⟨r²⟩.
    target, train : Moments
        Of Y, of these rows and of those that trained, whose mean is the baseline.

    Examples
    --------
    >>> from gdcore.rows.moments import Moments
    >>> found = of_loss(0.25, Moments.of(np.array([[1.0], [2.0], [3.0]])))
    >>> found.rmse, found.r2
    (0.5, 0.625)
    """
    variance = float(target.scatter[0, 0]) / target.total

    def scores(loss: float) -> NumberScores:
        r2 = 1 - loss / variance if variance > 0 else None
        return NumberScores("mse", target.rows, loss, rmse=float(np.sqrt(loss)), r2=r2)

    if train is None:
        return scores(loss)
    mean = float(train.mean[0])
    guessed = scores(variance + (float(target.mean[0]) - mean) ** 2)
    return replace(scores(loss), baseline=Baseline(f"always the mean, {number(mean)}", guessed))
