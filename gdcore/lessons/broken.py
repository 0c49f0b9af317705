"""Loops that are broken on purpose: each trains on the mean squared error, and has one classic fault in one line.

The loop without a fault is `healthy`. Each takes X (n, d), Y (n,), a learning rate and a number of epochs, begins with zeros,
and gives the loss before each update and what it has learned. `gdcore.diagnose` names what is wrong with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array


class Trained(NamedTuple):
    """What a loop has done."""

    losses: list[float]
    """Before each update."""
    weights: Array
    bias: float | None
    """None: the loop has none."""
    lr: float
    """The learning rate that was used."""


def healthy(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """As it should be."""
    n, w, b, losses = len(X), np.zeros(X.shape[1]), 0.0, []
    for _ in range(epochs):
        r = X @ w + b - Y
        losses.append(float(np.mean(r * r)))
        dw, db = 2 * X.T @ r / n, 2 * np.sum(r) / n
        w, b = w - lr * dw, b - lr * db
    return Trained(losses, w, float(b), lr)


def not_reset(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """Gradients are added to those of the epochs before."""
    n, w, b, losses = len(X), np.zeros(X.shape[1]), 0.0, []
    dw, db = np.zeros(X.shape[1]), 0.0  # the fault: this belongs into the loop
    for _ in range(epochs):
        r = X @ w + b - Y
        losses.append(float(np.mean(r * r)))
        dw, db = dw + 2 * X.T @ r / n, db + 2 * np.sum(r) / n
        w, b = w - lr * dw, b - lr * db
    return Trained(losses, w, float(b), lr)


def wrong_sign(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """Steps go along the gradient, uphill."""
    n, w, b, losses = len(X), np.zeros(X.shape[1]), 0.0, []
    for _ in range(epochs):
        r = X @ w + b - Y
        losses.append(float(np.mean(r * r)))
        dw, db = 2 * X.T @ r / n, 2 * np.sum(r) / n
        w, b = w + lr * dw, b + lr * db  # the fault: + for −
    return Trained(losses, w, float(b), lr)


def broadcast(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """Every prediction is compared with every target."""
    n, w, b, losses = len(X), np.zeros(X.shape[1]), 0.0, []
    for _ in range(epochs):
        p = (X @ w + b).reshape(n, 1)
        r = p - Y  # the fault: (n, 1) − (n,) is (n, n)
        losses.append(float(np.mean(r * r)))
        dp = np.sum(2 * r / r.size, axis=1)
        dw, db = X.T @ dp, np.sum(dp)
        w, b = w - lr * dw, b - lr * db
    return Trained(losses, w, float(b), lr)


def too_fast(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """The learning rate is past its limit."""
    A = np.column_stack([X, np.ones(len(X))])
    lr = lr + 2.5 / np.linalg.eigvalsh(2 * A.T @ A / len(X))[-1]  # the fault: 2/λmax is the limit
    return healthy(X, Y, lr, epochs)


def too_slow(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """The learning rate is far too small."""
    return healthy(X, Y, lr * 1e-5, epochs)  # the fault: so small a step leads nowhere


def no_bias(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """The line has to go through the origin."""
    n, w, losses = len(X), np.zeros(X.shape[1]), []
    for _ in range(epochs):
        r = X @ w - Y  # the fault: no + b
        losses.append(float(np.mean(r * r)))
        dw = 2 * X.T @ r / n
        w = w - lr * dw
    return Trained(losses, w, None, lr)


def summed(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """Loss and gradient are sums over the rows: n times what lr was meant for."""
    w, b, losses = np.zeros(X.shape[1]), 0.0, []
    for _ in range(epochs):
        r = X @ w + b - Y
        losses.append(float(np.sum(r * r)))  # the fault: sum for mean
        dw, db = 2 * X.T @ r, 2 * np.sum(r)
        w, b = w - lr * dw, b - lr * db
    return Trained(losses, w, float(b), lr)


def integers(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """Of integer X the weights are integers too, and each update loses what is behind the point."""
    n, w, b, losses = len(X), np.zeros_like(X[0]), 0.0, []  # the fault: zeros of X's dtype
    for _ in range(epochs):
        r = X @ w + b - Y
        losses.append(float(np.mean(r * r)))
        dw, db = 2 * X.T @ r / n, 2 * np.sum(r) / n
        w[:] = w - lr * dw
        b = b - lr * db
    return Trained(losses, w, float(b), lr)


def shuffled(X: Array, Y: Array, lr: float, epochs: int) -> Trained:
    """Rows are shuffled, their targets are not."""
    X = np.random.default_rng(0).permutation(X)  # the fault: Y stays as it was
    return healthy(X, Y, lr, epochs)


LOOPS: dict[str, Callable[[Array, Array, float, int], Trained]] = {
    "gradients not reset": not_reset,
    "plus for minus": wrong_sign,
    "broadcasting": broadcast,
    "lr past the limit": too_fast,
    "lr far too small": too_slow,
    "no bias": no_bias,
    "loss summed": summed,
    "integer weights": integers,
    "targets shuffled": shuffled,
}
"""The fault, as `gdcore.diagnose` names it, and the loop that has it."""
