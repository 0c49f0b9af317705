"""The eigenvalues of H = c·X̃ᵀX̃/n + l2·I with nearly all their digits, however small they are beside the largest one.

They are the squares of the singular values of a factor of H whose rows are sorted by their length: such a matrix is graded,
and its small singular values lose nothing beside the large ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gdcore._types import Floats


def eigenvalues(A: Floats, rank: int, mean: Floats, curvature: float, bias: bool, whole: int) -> Floats:
    """All of them, the smallest first.

    Parameters
    ----------
    A : array (d, d)
        c·C + l2·I, C the columns' covariance, and its ``rank``.
    mean : array (d,)
        μ, the columns' means.
    curvature : float
        c.
    bias : bool
    whole : int
        How many eigenvalues of H are not zero.
    """
    factor = _factor(A, rank, mean, curvature, bias)
    values = np.zeros(len(factor))
    if whole:
        sorted_rows = factor[np.argsort(-np.linalg.norm(factor, axis=1), kind="stable")]
        found = np.linalg.svd(np.linalg.qr(sorted_rows.T, mode="r"), compute_uv=False)
        values[len(values) - whole :] = found[:whole][::-1] ** 2
    return values


def _factor(A: Floats, rank: int, mean: Floats, curvature: float, bias: bool) -> Floats:
    """F such that FFᵀ has H's eigenvalues.

    With A = RRᵀ, H = F₀F₀ᵀ for F₀ = [R, √c·μ], and with the bias [[R, √c·μ], [0, √c]]. Large means would drown the rest,
    but that their direction can be turned into one coordinate, and this one and the bias so that only one of both has it.
    """
    R = _root(A, rank)
    d, size = len(A), float(np.linalg.norm(mean))
    if size > 0:
        # Householder's reflection that leaves of μ its last coordinate alone
        v = mean / size
        v[-1] += math.copysign(1, v[-1])
        R = R - np.outer(v, (2 / (v @ v)) * (v @ R))
    F = np.zeros((d + bias, R.shape[1] + 1))
    F[:d, :-1] = R
    whole = math.hypot(size, bias)
    F[d - 1, -1] = math.sqrt(curvature) * whole
    if bias:
        F[d, :-1] = R[d - 1] / whole
        F[d - 1, :-1] *= size / whole
    return F


def _root(A: Floats, rank: int) -> Floats:
    """R (d, rank) with RRᵀ = A, whose rows are as long as A's diagonal says: small ones lose nothing beside large ones."""
    scale = np.sqrt(np.diag(A))
    scale = np.where(scale > 0, scale, 1.0)
    S = A / scale / scale[:, None]
    if rank == len(S):
        root = np.linalg.cholesky(S)
    else:
        values, vectors = np.linalg.eigh(S)
        root = vectors[:, len(S) - rank :] * np.sqrt(values[len(S) - rank :])
    rows: Floats = scale[:, None] * root
    return rows
