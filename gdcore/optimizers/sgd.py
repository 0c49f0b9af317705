"""Gradient descent, plain and with momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore.checks import number, yes_or_no
from gdcore.optimizers.base import Optimizer

if TYPE_CHECKING:
    from gdcore._types import Array


class SGD(Optimizer, compiled=True):
    """w ← w − lr·g; with momentum μ: buf ← μ·buf + g, w ← w − lr·buf, with Nesterov's w ← w − lr·(g + μ·buf).

    Parameters
    ----------
    momentum : float
        μ ≥ 0.
    nesterov : bool
        Needs a momentum above 0.

    >>> SGD(momentum=0.9)
    SGD(momentum=0.9, nesterov=False)
    """

    def __init__(self, momentum: float = 0.0, nesterov: bool = False) -> None:
        momentum, nesterov = number(momentum, "momentum"), yes_or_no(nesterov, "nesterov")
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, found momentum 0")
        super().__init__(momentum=momentum, nesterov=nesterov)
        self.slots = 1 if momentum else 0

    def update(self, parameters: Array, gradient: Array, lr: float, state: Array | None, number: int) -> None:
        momentum, along = self.parameters["momentum"], gradient
        if momentum and state is not None:
            # buf ← momentum·buf + g (g at first);  w ← w − lr·buf, with Nesterov w − lr·(g + momentum·buf)
            state[0] = gradient if number == 1 else momentum * state[0] + gradient
            along = gradient + momentum * state[0] if self.parameters["nesterov"] else state[0]
        parameters -= lr * along
