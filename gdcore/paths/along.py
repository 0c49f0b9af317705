"""From rows, folds and penalties to a `Path`: the models of all rows, and of all but each fold's, by moments or by passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.checks import must_be
from gdcore.notices import ConvergenceWarning, warn
from gdcore.paths.constants import constants
from gdcore.paths.ladder import ladder
from gdcore.paths.moments import of_folds, without_each
from gdcore.paths.result import Path
from gdcore.paths.rows import Lying, Without
from gdcore.paths.smooth import Smooth
from gdcore.paths.squared import Squared
from gdcore.rows import arrays
from gdcore.rows.moments import check

if TYPE_CHECKING:
    from gdcore._types import Floats
    from gdcore.losses import Loss
    from gdcore.paths.folds import Folds
    from gdcore.paths.smooth import Models
    from gdcore.rows.moments import Moments
    from gdcore.rows.tables import Table

_ROUNDED = 1e-12


class Wish(NamedTuple):
    """What was asked for, checked."""

    loss: Loss
    l1_ratio: float
    penalties: int | Floats
    """How many, or which, decreasing."""
    standardize: bool


class _Found(NamedTuple):
    """The models of a path."""

    penalties: Floats
    weights: Floats
    bias: Floats
    train_loss: Floats
    gap: Floats
    fold_loss: Floats
    spread: Floats


def along(table: Table, folds: Folds, wish: Wish, n_threads: int) -> Path:
    """The path."""
    parts = Parts.of(table, folds, n_threads)
    found = _by_moments(parts, wish) if wish.loss.squared else _by_passes(table, folds, parts, wish, n_threads)
    card = table.card()
    return Path(
        loss=wish.loss, l1_ratio=wish.l1_ratio, standardize=wish.standardize, **found._asdict(),
        fold_weight=np.array([part.total for part in parts.folds]), rows=parts.whole.rows, folds=folds.what,
        dtype=np.dtype(table.dtype), columns=None if card is None else list(table.names), card=card,
    )  # fmt: skip


class Parts(NamedTuple):
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
    def of(cls, table: Table, folds: Folds, n_threads: int) -> Parts:
        found, origin = of_folds(table, folds, n_threads)
        used = [k for k, part in enumerate(found) if part.total > 0]
        if table.rows is not None and table.rows < folds.count:
            raise ValueError(must_be("cv", f"between 2 and {table.rows}, the number of rows", f"{folds.count}"))
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


def _by_moments(parts: Parts, wish: Wish) -> _Found:
    """Of squared error: no row is read."""
    ratio = wish.l1_ratio
    problem = Squared(parts.whole, parts.origin, wish.standardize)
    penalties = wish.penalties
    if isinstance(penalties, int):
        penalties = ladder(problem.steepest, problem.bend, penalties, ratio)
    found = problem.solve(penalties, ratio)
    held = []
    for rest, own in zip(parts.training, parts.folds, strict=True):
        held.append(Squared(rest, parts.origin, wish.standardize).solve(penalties, ratio).held_out(own))
    return _Found(penalties, found.weights, found.bias, found.loss, found.gap, np.array(held), problem.deviations)


def _by_passes(table: Table, folds: Folds, parts: Parts, wish: Wish, n_threads: int) -> _Found:
    """Of the other losses."""
    loss, ratio, codes = wish.loss, wish.l1_ratio, folds.of(0, len(table))
    starts = constants(table, loss, codes, folds.count)
    every = [(table, parts.whole, starts.all_but(None))]
    for k, rest in zip(parts.used, parts.training, strict=True):
        every.append((Without(table, codes == k), rest, starts.all_but(k)))
    problems = [
        Smooth(rows, m._replace(mean=m.mean + parts.origin), loss, wish.standardize, n_threads) for rows, m, _ in every
    ]
    begun = [problem.begin(constant) for problem, (*_, constant) in zip(problems, every, strict=True)]
    penalties = wish.penalties
    if isinstance(penalties, int):
        # The constant is found up to rounding, and so is the penalty that keeps all weights at 0.
        steepest, bend = problems[0].steepest(begun[0]) * (1 + _ROUNDED), problems[0].bend(begun[0])
        penalties = ladder(steepest, bend, penalties, ratio)
    whole = problems[0].models(begun[0], penalties, ratio, proved=True)
    others = [
        problem.models(start, penalties, ratio, proved=False) for problem, start in zip(problems[1:], begun[1:], strict=True)
    ]
    _tell([whole, *others], penalties, loss)
    held = [models.held_out(table, codes == k, loss) for models, k in zip(others, parts.used, strict=True)]
    weights, bias = (whole.weights, whole.bias) if loss.targets == "classes" else (whole.weights[:, :, 0], whole.bias[:, 0])
    return _Found(penalties, weights, bias, whole.loss, whole.gap, np.array(held), problems[0].deviations)


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
