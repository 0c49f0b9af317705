"""RMSprop: each weight by the mean of its squared gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import number, yes_or_no
from gdcore.optimizers.base import Optimizer

if TYPE_CHECKING:
    from gdcore._types import Array


class RMSprop(Optimizer, compiled=True):
    """v ← α·v + (1 − α)·g²; w ← w − lr·g/(√v + eps); centered takes the variance of g instead of v; with momentum a buffer
    of g/(√v + eps).

    >>> RMSprop(centered=True)
    RMSprop(alpha=0.99, eps=1e-08, momentum=0.0, centered=True)
    """

    slots = 3
    lr = 1e-2

    def __init__(self, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0, centered: bool = False) -> None:
        super().__init__(
            alpha=number(alpha, "alpha", below=1),
            eps=number(eps, "eps"),
            momentum=number(momentum, "momentum"),
            centered=yes_or_no(centered, "centered"),
        )

    def update(self, parameters: Array, gradient: Array, lr: float, state: Array | None, number: int) -> None:
        assert state is not None
        g, p = gradient, self.parameters
        # v ← α·v + (1 − α)·g²;  centered: m ← m + (1 − α)·(g − m), and v − m² instead of v
        state[0] = p["alpha"] * state[0] + (1 - p["alpha"]) * g * g
        v = state[0]
        if p["centered"]:
            state[2] += (1 - p["alpha"]) * (g - state[2])
            v = v - state[2] * state[2]
        # w ← w − lr·g/(√v + eps), with momentum: buf ← momentum·buf + g/(√v + eps), w ← w − lr·buf
        along = g / (np.sqrt(v) + p["eps"])
        if p["momentum"] > 0:
            state[1] = along = p["momentum"] * state[1] + along
        parameters -= lr * along
