"""A learning rate found by trying: gradient descent for models without a spectrum, the networks.

    lr ← 2·lr;  while loss(W − lr·∇) > loss(W) − ½·lr·‖∇‖²:  lr ← lr/2

(Armijo 1966). Each try is a pass forward, and the one that is taken a pass back.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

RATE = 0
"""Place in a run's ``scalars`` of the last lr."""

_FEWEST = 60  # halvings before it gives up


class Backtracking:
    """Full-batch epochs of a `gdcore.training.loop.Training`."""

    def __init__(self, training: Any) -> None:
        self.t = training

    def begin(self) -> None:
        """Loss and gradient at the weights as they are."""
        t = self.t
        t.evaluate()
        t.check_start()
        if not t.state.scalars[RATE]:
            t.state.scalars[RATE] = 1.0

    def some_epochs(self, left: int) -> str:
        """One epoch."""
        t = self.t
        columns, counted = t.piece(1)
        began, gradient = time.perf_counter(), t.gradients()
        lr = search(t, 2 * t.state.scalars[RATE])
        if lr is None:
            return "stalled"
        state = t.state.copy()
        state.weights = step(t, lr)
        state.scalars[RATE] = lr
        state.done += 1
        state.judged = None
        values = t.evaluated(state.weights, None)
        columns[:3, 0] = values.loss, values.norm, time.perf_counter() - began
        columns[4, 0] = lr
        # One assignment makes the epoch a whole one, wherever a signal strikes.
        t.state = state
        counted[0] = 1
        t.take(values)
        status = "converged" if t.reached(None) else "epochs"
        stop = t.after_epoch(columns, gradient) if t.each else False
        return "early_stopped" if stop and status == "epochs" else status


def search(t: Any, lr: float) -> float | None:
    """The first of lr, lr/2, lr/4, … whose step lowers the loss by half of what the gradient promises; None: none does."""
    for _ in range(_FEWEST):
        trial = step(t, lr)
        moved = float(np.sum((trial.astype(np.float64) - t.state.weights) ** 2))
        value = t.objective_at(trial)
        if moved == 0:
            return None
        if value <= t.loss - moved / (2 * lr) + 4 * np.finfo(trial.dtype).eps * abs(t.loss):
            return lr
        lr /= 2
    return None


def step(t: Any, lr: float) -> Any:
    """The weights after a plain step of that lr."""
    weights = t.state.weights.copy()
    t.engine.advance(weights, t.gradient, lr, t.l1)
    return weights
