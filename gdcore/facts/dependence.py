"""Which columns of X are sums of others: what their weights are, the data do not say.

Columns are gone through as they lie. A column whose variance the ones before it explain wholly, but for rounding, depends on
them; a constant one depends on the bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.facts.metric import CLEAR, covariance, inverse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Floats
    from gdcore.rows.moments import Moments

_EPS = float(np.finfo(np.float64).eps)
_SHOWN = 5  # columns, and parts of one, that a message names
_PART = 1e-6  # of the largest part: what is smaller is rounding
_INFLATED = 1000.0  # the variance of a weight, by the other columns: past it the weight says little alone


class Dependent(NamedTuple):
    """A column that is a sum of others, each times a number."""

    column: int
    parts: list[int]
    """The columns before it that it is made of; none where it is constant, with a bias, or zero, without."""


def dependent(moments: Moments, bias: bool, blurred: bool = False) -> list[Dependent]:
    """The columns that depend on those before them, up to rounding; blurred: those too that are only a little clear of it.

    >>> from gdcore.rows.moments import Moments
    >>> X = np.array([[1.0, 2.0, 3.0, 7.0], [0.0, 1.0, 1.0, 7.0], [5.0, 0.0, 5.0, 7.0], [2.0, 2.0, 4.0, 7.0]])
    >>> dependent(Moments.of(X), bias=True)
    [Dependent(column=2, parts=[0, 1]), Dependent(column=3, parts=[])]
    """
    S = _scaled(moments, bias)
    zero = 16 * max(10, len(S)) * _EPS * (CLEAR if blurred else 1)
    own = np.diag(S).copy()  # of each column's variance, what the columns before it do not explain
    factor = np.empty_like(S)  # row by row, that of Cholesky
    kept: list[int] = []
    others: list[int] = []
    for j in range(len(S)):
        if own[j] <= zero:
            others.append(j)
            continue
        before = factor[: len(kept)]
        factor[len(kept)] = (S[j] - before[:, j] @ before) / np.sqrt(own[j])
        own -= factor[len(kept)] ** 2
        kept.append(j)
    return [Dependent(j, parts) for j, parts in zip(others, _parts(S, kept, others), strict=True)]


def _parts(S: Floats, kept: list[int], others: list[int]) -> list[list[int]]:
    """Of which columns that were kept each of the others is made."""
    if not kept or not others:
        return [[] for _ in others]
    shares = np.abs(np.linalg.lstsq(S[np.ix_(kept, kept)], S[np.ix_(kept, others)], rcond=None)[0])
    return [[kept[i] for i in np.flatnonzero(share > _PART * share.max())] for share in shares.T]


def alike(moments: Moments, bias: bool) -> list[int]:
    """The columns of which the others explain all but a thousandth of the variance, and that do not depend on them exactly;
    those with the least of their own first.

    A column's variance inflation factor, its variance times the inverse's diagonal, says how much less well its weight is
    known beside these others than without them (Marquardt 1970): here 1,000 times in variance, 30 times in standard error.

    >>> from gdcore.rows.moments import Moments
    >>> t = np.arange(100.0)
    >>> alike(Moments.of(np.column_stack([t, t + np.sin(t), np.cos(t)])), bias=True)
    [0, 1]
    """
    S = _scaled(moments, bias)
    found = inverse(S)
    inflation = np.where(np.diag(S) > 0, np.diag(found.matrix), 0.0)
    inside = np.abs(found.null).max(axis=1, initial=0.0) > _PART
    order = np.argsort(-inflation, kind="stable")
    return [int(j) for j in order if inflation[j] >= _INFLATED and not inside[j]]


def _scaled(moments: Moments, bias: bool) -> Floats:
    """The covariance, each column divided by its standard deviation."""
    C, _ = covariance(moments, bias)
    scale = np.sqrt(np.diag(C))
    scale = np.where(scale > 0, scale, 1.0)
    return C / scale / scale[:, None]


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
