"""What is told of how a run has ended, where its status alone would be read as better than it is."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from gdcore.run import ConvergenceWarning, SeparationWarning

if TYPE_CHECKING:
    from gdcore._types import Floats
    from gdcore.loop import Training

_NAMED = 5  # columns at most
_PART = 0.1  # of the largest: columns that take so much part in a separation are named


def warn(t: Training, status: str, stalled: bool, separating: list[Floats], depth: int) -> None:
    """Warns of classes that are separated, and of a run that wanted to converge and has not."""
    if separating:
        warnings.warn(
            f"the classes are separated, {_columns(t, separating)}: there are no best weights, for larger ones are always "
            "better; those of this model have grown until its loss was as good as it can become. An l2 penalty gives finite ones",
            SeparationWarning,
            stacklevel=depth,
        )
    if status != "epochs" or t.tol is None or not t.done:
        return
    done = t.first + t.done
    why = "no step lowers the loss any more: rounding ends it" if stalled else "more epochs may help"
    warnings.warn(
        f"the fit has not converged after {done:,} epoch{'s' if done > 1 else ''}: it is not proved that the loss {t.loss:.6g} "
        f"is within tol of the best one; {why}",
        ConvergenceWarning,
        stacklevel=depth,
    )


def _columns(t: Training, separating: list[Floats]) -> str:
    """By which columns."""
    moments = t.moments.of_columns()
    spread = np.sqrt(np.diag(moments.scatter) / moments.total)
    moves = np.max([np.abs(step[:, : len(spread)]).max(axis=0) * spread for step in separating], axis=0)
    order = np.argsort(-moves, kind="stable")[:_NAMED]
    found = [int(j) for j in order if moves[j] > _PART * moves[order[0]]]
    if not found:
        return "by the bias alone, as one class has all the weight"
    names = [str(t.X.names[j]) if t.table else str(j) for j in found]
    return f"by column{'s' if len(names) > 1 else ''} {', '.join(names)}{'' if t.table else ' of X'}"
