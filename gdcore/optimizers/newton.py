"""Newton's method, whose steps `gdcore.solvers.newton` makes."""

from __future__ import annotations

from gdcore.optimizers.base import Optimizer


class Newton(Optimizer, compiled=True):
    """Newton's method, for linear models, full batches and lr="auto", which picks it by itself (`gdcore.solvers.newton`).

    w ← w − H⁻¹g with H the Hessian at w; a step that does not lower the objective is shortened.

    >>> Newton()
    Newton()
    """

    slots = 1
