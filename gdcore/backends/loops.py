"""The epochs in Python, for any model: the reference's, and a network's, whose products are NumPy's anyway.

What the arguments mean is said in `gdcore.backends.reference`. An epoch that leaves the finite numbers, or that an
exception ends, is undone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats
    from gdcore.optimizers.base import Rule


def advance(
    step: Callable[..., None],
    weights: Array,
    bias: Array | None,
    gradient: Array,
    bias_gradient: Array | None,
    how: tuple[float, Rule, Array | None, int],
    decimals: int | None,
    l1: float,
    bounds: tuple[Floats, Floats] | None = None,
) -> None:
    """A backend's ``step`` of weights and bias together, and the proximal step of l1 and bounds; ``how`` is `descend`'s."""
    lr, optimizer, state, number = how
    size = weights.size
    flat, along = weights.T.ravel(), gradient.T.ravel()
    step(flat, along, lr, optimizer, None if state is None else state[:, :size], number, decimals)
    if l1 > 0:
        flat = shrunk(flat, lr * l1)
    weights[:] = flat.reshape(weights.T.shape).T
    if bounds is not None:
        weights[:] = np.clip(weights, *(end[:, None] for end in bounds))
    if bias is not None and bias_gradient is not None:
        step(bias, bias_gradient, lr, optimizer, None if state is None else state[:, size:], number, decimals)


def shrunk(values: Array, by: float) -> Array:
    """The proximal step of by·‖W‖₁: every value moves so far towards 0, and stops there."""
    moved: Array = np.sign(values) * np.maximum(np.abs(values) - values.dtype.type(by), 0)
    return moved


def descend(
    evaluate: Callable[[], tuple[float, Array, Array | None]],
    measure: Callable[..., float],
    advance: Callable[..., None],
    weights: Array,
    bias: Array | None,
    gradient: Array,
    bias_gradient: Array | None,
    lr: float | Floats,
    epochs: int,
    history: Floats,
    done: Array,
    tol: float,
    optimizer: Rule,
    state: Array | None,
    steps: Array | None,
    ceiling: float = np.inf,
) -> str:
    """Full-batch epochs: ``advance`` takes a step, ``evaluate`` gives objective and gradient, ``measure`` its norm."""
    for rate in np.broadcast_to(np.asarray(lr, np.float64), epochs):
        began, start = time.perf_counter(), int(done[0])
        before = _copies(weights, bias, gradient, bias_gradient, state, steps)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                advance(float(rate), optimizer, state, 1 + (start if steps is None else int(steps[0])))
                value, grad, bias_grad = evaluate()
                norm = measure(grad, bias_grad)
            if not (np.isfinite(value) and np.isfinite(norm) and value <= ceiling):
                return "diverged"
            gradient[:] = grad
            if bias_gradient is not None and bias_grad is not None:
                bias_gradient[:] = bias_grad
            if steps is not None:
                steps[0] += 1
            history[:, start] = value, norm, time.perf_counter() - began
            done[0] = start + 1
        finally:
            # Whole epochs only: what ended this one early is undone.
            if done[0] == start:
                _restore(before, weights, bias, gradient, bias_gradient, state, steps)
        if norm <= tol:
            return "converged"
    return "epochs"


def descend_batches(
    evaluate: Callable[[Any, Array | None], tuple[float, Array, Array | None]],
    advance: Callable[..., None],
    penalties: Callable[[], float],
    n: int,
    weights: Array,
    bias: Array | None,
    lr: float,
    batch_size: int,
    history: Floats,
    done: Array,
    order: Array | None,
    sample_weight: Array | None,
    optimizer: Rule,
    state: Array | None,
    steps: Array | None,
) -> str:
    """One epoch in batches: ``evaluate`` gives loss and gradient of a batch without penalties, ``advance`` takes a step."""
    began, start = time.perf_counter(), int(done[0])
    before = _copies(weights, bias, state, steps)
    losses = totals = 0.0
    number = 1 if steps is None else int(steps[0]) + 1
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            for low in range(0, n, batch_size):
                high = min(low + batch_size, n)
                total = float(high - low)
                rows: Array | slice = slice(low, high) if order is None else order[low:high]
                s = None if sample_weight is None else sample_weight[rows]
                if s is not None:
                    total = float(np.sum(s, dtype=np.float64))
                if total == 0:
                    continue
                # forward, backward, update
                value, grad, bias_grad = evaluate(rows, s)
                advance(grad, bias_grad, lr, optimizer, state, number)
                losses += value * total
                totals += total
                number += 1
            objective = losses / totals + penalties()
        if not (np.isfinite(objective) and np.isfinite(weights).all() and (bias is None or np.isfinite(bias).all())):
            return "diverged"
        if steps is not None:
            steps[0] = number - 1
        history[:, start] = objective, np.nan, time.perf_counter() - began
        done[0] = start + 1
    finally:
        if done[0] == start:
            _restore(before, weights, bias, state, steps)
    return "epochs"


def _copies(*arrays: Array | None) -> list[Array | None]:
    return [None if array is None else array.copy() for array in arrays]


def _restore(before: list[Array | None], *arrays: Array | None) -> None:
    for array, old in zip(arrays, before, strict=True):
        if array is not None and old is not None:
            array[:] = old
