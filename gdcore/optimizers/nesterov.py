"""Nesterov's acceleration, whose steps `gdcore.solvers.nesterov` makes."""

from __future__ import annotations

from gdcore.optimizers.base import Optimizer


class Nesterov(Optimizer, compiled=True):
    """Nesterov's acceleration with restart, for linear models and full batches.

    x' = w − lr·H⁻¹g, w ← x' + k/(k + 3)·(x' − x), H the metric that ``precondition`` names (none: the identity). Where the
    step goes uphill, g·(x' − x) > 0, k starts from 0 again (O'Donoghue and Candès 2015).

    >>> Nesterov()
    Nesterov()
    """

    slots = 1
