"""``--l1 cv``, ``--l2 cv``, ``--l1-ratio``: cross-validation chooses the penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from gdcore.paths import picture
from gdcore.paths.path import path
from gdcore.plain import number
from gdcore.run import History, Method, Run, Settings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from gdcore.losses import Loss
    from gdcore.paths.result import Path
    from gdcore.rows.tables import Table

FOLDS = 10
_NO_SAY: dict[str, Any] = {
    "model": "linear", "lr": "auto", "epochs": None, "batch_size": None, "optimizer": None, "precondition": "auto",
    "tol": None, "patience": None, "checkpoint": None, "resume": False,
}  # fmt: skip
"""Options of how one fit descends, with their defaults."""


def ratio(options: Namespace) -> float | None:
    """How much of the penalty that shall be chosen is l1; None where none shall be.

    Raises
    ------
    ValueError
        Options do not go together.
    """
    asked = [name for name in ("l1", "l2") if getattr(options, name) == "cv"]
    wanted: float | None = options.l1_ratio
    if not asked:
        if wanted is not None:
            raise ValueError(
                f"--l1-ratio {wanted:g} is how much of a penalty that is chosen is l1: give --l1 cv, which chooses it, too"
            )
        return None
    flag = f"--{asked[0]} cv"
    for name in ("l1", "l2"):
        if getattr(options, name) not in ("cv", 0.0):
            what = f"{flag} chooses the whole penalty, of which --l1-ratio R says how much is l1"
            raise ValueError(f"{what}; leave --{name} {getattr(options, name):g} out")
    for name, default in _NO_SAY.items():
        if getattr(options, name) != default:
            what = f"{flag} finds the best linear model of each penalty by itself, and --{name.replace('_', '-')} has no say"
            raise ValueError(f"{what}; leave one of them out")
    if wanted is not None:
        return wanted
    return 0.5 if len(asked) == 2 else float(asked == ["l1"])


def chosen(rows: Table, loss: Loss, wanted: float, options: Namespace) -> tuple[Run, Path]:
    """The path of a table's rows, and the model of its best penalty as a run whose history is empty."""
    folds = FOLDS if rows.rows is None else max(2, min(FOLDS, rows.rows))
    found = path(rows, loss=loss, l1_ratio=wanted, cv=folds, seed=options.seed, n_threads=options.n_threads)
    i = found.best
    effects = found.weights[i].T * found.spread
    penalty = found.l1(i) * float(np.abs(effects).sum()) + found.l2(i) / 2 * float((effects**2).sum())
    how = "from the second moments of each fold" if loss.squared else "by Newton's method, each from the one before"
    method = Method("path", f"{len(found.penalties)} penalties, {found.folds}, {how}")
    facts: dict[str, Callable[[], Any]] = {
        "gap": lambda: float(found.gap[i]), "spectrum": lambda: None, "spread": lambda: found.spread,
    }  # fmt: skip
    loss_there = float(found.train_loss[i]) + penalty
    settings = Settings("newton", None, "gram", None)
    return Run(found.model(i), History.empty(), "converged", method, loss_there, 0.0, _no_more, facts, settings), found


def _no_more(*arguments: object) -> NoReturn:
    raise RuntimeError("the model of a path has reached the best of its objective: there is nothing to go on with")


def facts(found: Path) -> dict[str, Any]:
    """What was chosen, as what JSON can hold."""
    return {
        "l1_ratio": found.l1_ratio,
        "standardized": found.standardize,
        "folds": found.folds,
        "largest": float(found.penalties[0]),
        "smallest": float(found.penalties[-1]),
        **{
            name: {
                "penalty": float(found.penalties[i]), "cv_loss": float(found.cv_loss[i]),
                "cv_error": float(found.cv_error[i]), "columns": int(found.nonzero[i]),
            }
            for name, i in (("best", found.best), ("one_standard_error", found.one_standard_error))
        },
    }  # fmt: skip


def told(found: Path) -> str:
    """The penalty that was chosen, in a line."""
    i = found.best
    parts = [f"{name} {number(value, 5)}" for name, value in (("l1", found.l1(i)), ("l2", found.l2(i))) if value]
    return f"{', '.join(parts)}, on columns in units of their spread: the best by {found.folds}"


def pictures(found: Path) -> list[Callable[[Axes], None]]:
    """Weights against the penalty, and the loss of held-out rows."""
    return [lambda ax: picture.weights(found, ax), lambda ax: picture.curve(found, ax)]
