"""Which columns of X are sums of others: what their weights are, the data do not say.

Columns are gone through as they lie. A column whose variance the ones before it explain wholly, but for rounding, depends on
them; a constant one depends on the bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.facts.metric import covariance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Floats
    from gdcore.rows.moments import Moments

_EPS = float(np.finfo(np.float64).eps)
_SHOWN = 5  # columns, and parts of one, that a message names
_PART = 1e-6  # of the largest part: what is smaller is rounding


class Dependent(NamedTuple):
    """A column that is a sum of others, each times a number."""

    column: int
    parts: list[int]
    """The columns before it that it is made of; none where it is constant, with a bias, or zero, without."""


def dependent(moments: Moments, bias: bool) -> list[Dependent]:
    """The columns that depend on those before them, up to rounding.

    >>> from gdcore.rows.moments import Moments
    >>> X = np.array([[1.0, 2.0, 3.0, 7.0], [0.0, 1.0, 1.0, 7.0], [5.0, 0.0, 5.0, 7.0], [2.0, 2.0, 4.0, 7.0]])
    >>> dependent(Moments.of(X), bias=True)
    [Dependent(column=2, parts=[0, 1]), Dependent(column=3, parts=[])]
    """
    C, _ = covariance(moments, bias)
    scale = np.sqrt(np.diag(C))
    scale = np.where(scale > 0, scale, 1.0)
    S = C / scale / scale[:, None]
    zero = 16 * max(10, len(S)) * _EPS
    left = S.copy()
    kept: list[int] = []
    found: list[Dependent] = []
    for j in range(len(S)):
        if left[j, j] > zero:
            row = left[j, j:] / np.sqrt(left[j, j])
            left[j:, j:] -= np.outer(row, row)
            kept.append(j)
        else:
            found.append(Dependent(j, _parts(S, kept, j) if S[j, j] > 0 and len(found) < _SHOWN else []))
    return found


def _parts(S: Floats, kept: list[int], j: int) -> list[int]:
    if not kept:
        return []
    shares = np.abs(np.linalg.lstsq(S[np.ix_(kept, kept)], S[kept, j], rcond=None)[0])
    return [column for column, share in zip(kept, shares, strict=True) if share > _PART * shares.max()]


def told(found: list[Dependent], bias: bool, names: Sequence[str] | None) -> str:
    """The same in words.

    >>> told([Dependent(2, [0, 1]), Dependent(3, [])], True, None)
    'column 2 is a sum of 0 and 1, column 3 is constant as the bias is'
    """

    def name(column: int) -> str:
        return str(column) if names is None else names[column]

    words = []
    for column, parts in found[:_SHOWN]:
        others = [name(part) for part in parts[:_SHOWN]] + ([f"{len(parts) - _SHOWN} more"] if len(parts) > _SHOWN else [])
        if not others:
            what = "is constant as the bias is" if bias else "is zero"
        elif len(others) == 1:
            what = f"is a multiple of {others[0]}" + (" and a constant" if bias else "")
        else:
            what = f"is a sum of {', '.join(others[:-1])} and {others[-1]}"
        words.append(f"column {name(column)} {what}")
    more = [f"{len(found) - _SHOWN} more likewise"] if len(found) > _SHOWN else []
    return ", ".join(words + more)
