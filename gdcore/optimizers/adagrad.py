"""Adagrad: each weight by the sum of its squared gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import number
from gdcore.optimizers.base import Optimizer

if TYPE_CHECKING:
    from gdcore._types import Array


class Adagrad(Optimizer, compiled=True):
    """sum ← sum + g²; w ← w − lr/(1 + (t − 1)·lr_decay)·g/(√sum + eps) in step t.

    >>> Adagrad()
    Adagrad(lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10)
    """

    slots = 1
    lr = 1e-2

    def __init__(self, lr_decay: float = 0.0, initial_accumulator_value: float = 0.0, eps: float = 1e-10) -> None:
        super().__init__(
            lr_decay=number(lr_decay, "lr_decay"),
            initial_accumulator_value=number(initial_accumulator_value, "initial_accumulator_value"),
            eps=number(eps, "eps"),
        )

    @property
    def initial(self) -> float:
        return float(self.parameters["initial_accumulator_value"])

    def update(self, parameters: Array, gradient: Array, lr: float, state: Array | None, number: int) -> None:
        assert state is not None
        state[0] += gradient * gradient
        rate = lr / (1 + (number - 1) * self.parameters["lr_decay"])
        parameters -= rate * gradient / (np.sqrt(state[0]) + self.parameters["eps"])
