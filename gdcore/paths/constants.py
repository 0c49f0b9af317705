"""Where every training part of a path begins: the constant that its targets' mean, or the shares of their classes, tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.losses.targets import check_targets
from gdcore.paths.rows import numbered

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.rows.tables import Table


class Constants(NamedTuple):
    """Of every fold."""

    loss: Loss
    total: Floats
    """(K,) Σ s."""
    sums: Floats
    """(K, 1) Σ s·y, or of classes (K, k) Σ s of the rows of each."""

    def all_but(self, fold: int | None) -> Floats:
        """(k,) the constant of the rows outside of a fold, or of all; ValueError where there is none."""
        kept = np.arange(len(self.total)) != (-1 if fold is None else fold)
        mean = self.sums[kept].sum(axis=0) / self.total[kept].sum()
        if self.loss.numeric:
            found = self.loss.link(mean)
        else:
            with np.errstate(divide="ignore"):
                found = np.log(mean) - (np.log1p(-mean) if self.loss.targets == "binary" else 0.0)
        if not np.isfinite(found).all():
            where = "of Y" if fold is None else f"outside of fold {fold}"
            what = "are 0" if self.loss.numeric else "lack a class"
            raise ValueError(f"all targets {where} {what}, so that {self.loss.name} has no best constant for them to begin at")
        centred: Floats = found - found.mean() if self.loss.targets == "classes" else found
        return centred


def constants(table: Table, loss: Loss, folds: Array, count: int) -> Constants:
    """From a pass over the targets; ``folds`` (n,) are the rows' numbers of them."""
    classes = table.classes if loss.targets == "classes" else None
    total, sums = np.zeros(count), np.zeros((count, 1 if classes is None else max(2, classes)))
    for start, piece in numbered(table):
        own, y, s = folds[start : start + len(piece.X)].astype(np.intp), piece.Y[:, 0].astype(np.float64), piece.weights
        check_targets(piece.Y, loss.targets, classes, "in a piece of the table Y")
        total += np.bincount(own, s, minlength=count)
        if classes is None:
            sums[:, 0] += np.bincount(own, s * y, minlength=count)
        else:
            width = sums.shape[1]
            sums += np.bincount(own * width + y.astype(np.intp), s, minlength=count * width).reshape(count, width)
    return Constants(loss, total, sums)
