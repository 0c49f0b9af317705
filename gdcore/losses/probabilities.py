"""Probabilities of predictions, and how far they are from others, without overflow and without cancellation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Array, Floats


def sigmoid(raw: Array) -> Array:
    """1/(1 + e^−raw).

    >>> sigmoid(np.array([-1000.0, 0.0]))
    array([0. , 0.5])
    """
    e = np.exp(-np.abs(raw))
    result: Array = np.where(raw > 0, 1, e) / (1 + e)
    return result


def both(raw: Floats) -> tuple[Floats, Floats, Floats]:
    """σ(raw), σ(−raw) and log(1 + e^−|raw|), of one exponential.

    >>> both(np.array([0.0]))[:2]
    (array([0.5]), array([0.5]))
    """
    e = np.exp(-np.abs(raw))
    return np.where(raw > 0, 1, e) / (1 + e), np.where(raw < 0, 1, e) / (1 + e), np.log1p(e)


def shares(raw: Array) -> Array:
    """softmax of each row."""
    e = np.exp(raw - raw.max(axis=1, keepdims=True))
    result: Array = e / e.sum(axis=1, keepdims=True)
    return result


def divergence(p: Floats, q: Floats, log_q: Floats) -> Floats:
    """p·log(p/q) − p + q ≥ 0, without cancellation where p is near q, which is almost everywhere.

    ``log_q`` is the logarithm of q, which tells of a q that is too small for a number.
    """
    safe = np.maximum(q, 1e-300)
    u = (p - q) / safe
    with np.errstate(over="ignore"):
        terms: Floats = safe * u * u * (0.5 + np.abs(u))
    far = np.abs(u) > 1e-5
    if far.any():
        p, q, log_q = p[far], q[far], log_q[far]
        log_p = np.log(np.maximum(p, 1e-300))
        terms[far] = np.where(p > 0, p * (log_p - log_q) - p + q, q)
    return terms


def entropy(p: Floats) -> Floats:
    """p·log p for p ≥ 0, 0 at 0; ∞ where p is negative.

    >>> entropy(np.array([-1.0, 0.0, 1.0]))
    array([inf,  0.,  0.])
    """
    return np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), np.where(p < 0, np.inf, 0.0))
