"""AdamW: Adam beside a decay of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore.checks import number
from gdcore.optimizers.adam import Adam

if TYPE_CHECKING:
    from gdcore._types import Array


class AdamW(Adam, compiled=True):
    """`Adam` after w ← w·(1 − lr·weight_decay); as in PyTorch the decay takes every parameter, the bias included.

    >>> AdamW()
    AdamW(betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)
    """

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2) -> None:
        super().__init__(betas, eps)
        self.parameters["weight_decay"] = number(weight_decay, "weight_decay")

    def update(self, parameters: Array, gradient: Array, lr: float, state: Array | None, number: int) -> None:
        parameters *= 1 - lr * self.parameters["weight_decay"]
        super().update(parameters, gradient, lr, state, number)
