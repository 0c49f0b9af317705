"""Adam: momentum over the root of the mean square, both corrected for their start at 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import must_be, number
from gdcore.optimizers.base import Optimizer

if TYPE_CHECKING:
    from gdcore._types import Array


class Adam(Optimizer, compiled=True):
    """m ← m + (1 − β₁)(g − m), v ← β₂·v + (1 − β₂)g²; w ← w − lr/(1 − β₁ᵗ)·m/(√v/√(1 − β₂ᵗ) + eps) in step t.

    >>> Adam(betas=(0.9, 0.99))
    Adam(betas=(0.9, 0.99), eps=1e-08)
    """

    slots = 2
    lr = 1e-3

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        if not (isinstance(betas, (tuple, list)) and len(betas) == 2):
            raise ValueError(must_be("betas", "two numbers", repr(betas)))
        both = number(betas[0], "betas[0]", below=1), number(betas[1], "betas[1]", below=1)
        super().__init__(betas=both, eps=number(eps, "eps"))

    def update(self, parameters: Array, gradient: Array, lr: float, state: Array | None, number: int) -> None:
        assert state is not None
        g, (beta1, beta2), eps = gradient, self.parameters["betas"], self.parameters["eps"]
        state[0] += (1 - beta1) * (g - state[0])
        state[1] = beta2 * state[1] + (1 - beta2) * g * g
        parameters -= lr / (1 - beta1**number) * state[0] / (np.sqrt(state[1]) / np.sqrt(1 - beta2**number) + eps)
