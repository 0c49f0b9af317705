"""What is wrong with a training loop for the mean squared error: `diagnose`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import must_be, must_have_shape, number, optional
from gdcore.lessons import steps
from gdcore.lessons.broken import Trained
from gdcore.lessons.clues import CLUES, Seen, limit, of_losses
from gdcore.lessons.faults import Diagnosis
from gdcore.rows import arrays
from gdcore.run import History, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gdcore._types import Array, ArrayLike, Floats


def diagnose(
    history_or_run: Run | History | Trained | Sequence[float] | None = None,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    bias: float | None = None,
    lr: float | None = None,
    step: Callable[..., tuple[Array, float | None]] | None = None,
) -> Diagnosis:
    """Names what is wrong with a training loop for the mean squared error, with the evidence and the mend.

    Parameters
    ----------
    history_or_run : Run, History, `gdcore.lessons.broken.Trained` or losses, optional
        The losses, one an epoch, at least 2. What a run or a `Trained` knows of weights, bias and lr need not be given.
    X, Y : arrays (n, d) and (n,), optional
        The rows that were trained on. Without them only gradients that are not reset can be told from losses.
    weights : array (d,), optional
        At the end. Without them only what the losses alone show is told.
    bias : float, optional
        At the end; None: the loop has none.
    lr : float, optional
        The learning rate. Without it neither a rate that is too large or too small, nor a wrong sign, nor shuffled targets can
        be told from losses.
    step : callable, optional
        ``step(weights, bias, X, Y, lr) -> (weights, bias)``, one update of the loop: it is tried, and beside it only lr is
        looked at. Integer weights, and gradients that are kept outside of the function, cannot be told from it.

    Returns
    -------
    Diagnosis
        Its ``fault`` is None where nothing is found, or where it cannot be told, which ``evidence`` then says.

    Raises
    ------
    ValueError, TypeError
        Naming the argument.

    Notes
    -----
    Healthy loops, whether they have converged or are on their way, with batches and momentum too, are not accused. Of
    mini-batches and momentum the limit of lr is another than 2/λmax, so that an lr past it is told only where the losses grow.
    Their losses are not regular, so that gradients that are not reset and shuffled targets are told only of epochs over all
    rows. Penalties are not known.

    Examples
    --------
    >>> import numpy as np, gdcore
    >>> from gdcore.lessons import broken
    >>> X, Y = np.array([[0.0], [1.0], [2.0], [4.0]]), np.array([1.0, 3.0, 5.0, 9.0])
    >>> gdcore.diagnose(broken.wrong_sign(X, Y, lr=0.1, epochs=20), X, Y).fault
    'plus for minus'
    >>> gdcore.diagnose(broken.healthy(X, Y, lr=0.1, epochs=20), X, Y).fault is None
    True
    """
    lr = optional(number, lr, "lr", 0.0)
    if (X is None) != (Y is None):
        raise TypeError(must_be("X and Y", "given together", "one of them"))
    rows = None if X is None or Y is None else _rows(X, Y)
    if step is not None:
        return steps.tried(step, rows, lr)
    if history_or_run is None:
        raise TypeError("diagnose wants losses or a run, or a step function as step=: found neither")
    losses, weights, bias, lr = _told(history_or_run, weights, bias, lr)
    if rows is None:
        return of_losses(losses, None)
    if weights is None:
        return of_losses(losses, limit(rows[0], lr))
    kept = np.asarray(weights)
    if kept.shape != rows[0].shape[1:]:
        raise ValueError(must_have_shape("weights", f"{rows[0].shape[1:]}", kept.shape))
    seen = Seen(losses, *rows, kept.astype(np.float64), bias, kept.dtype.kind in "iu", lr)
    for look in CLUES:
        diagnosis = look(seen)
        if diagnosis is not None:
            return diagnosis
    return Diagnosis(None, "the losses, the weights and the rows agree with a healthy loop", "")


def _rows(X: ArrayLike, Y: ArrayLike) -> tuple[Floats, Floats]:
    table = arrays.table(X)
    target = np.asarray(arrays.targets(Y, table), np.float64)
    if target.ndim != 1:
        raise ValueError(must_have_shape("Y", "(n,)", target.shape))
    return np.asarray(table, np.float64), target


def _told(
    given: Run | History | Trained | Sequence[float], weights: ArrayLike | None, bias: float | None, lr: float | None
) -> tuple[Floats, ArrayLike | None, float | None, float | None]:
    """Losses, weights, bias and lr: those that are given, else what a run knows."""
    if isinstance(given, Run):
        if weights is None:
            weights = given.model.weights
            bias = None if given.model.bias is None else float(given.model.bias)
        lr = given.settings.lr if lr is None else lr
        given = given.history
    elif isinstance(given, Trained):
        if weights is None:
            weights, bias = given.weights, given.bias
        lr = given.lr if lr is None else lr
        given = given.losses
    if isinstance(given, History):
        given = [*([given.start] if math.isfinite(given.start) else []), *given.loss.tolist()]
    losses: Floats = np.asarray(given, np.float64)
    if losses.ndim != 1 or len(losses) < 2:
        raise ValueError(must_have_shape("the losses", "(epochs,) with at least 2 epochs", losses.shape))
    return losses, weights, bias, lr
