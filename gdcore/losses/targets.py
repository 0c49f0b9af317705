"""What Y holds, by its kind: real numbers, some of them only above 0, 0 and 1, shares between them, or classes 0 … k − 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import check_finite

if TYPE_CHECKING:
    from gdcore._types import Array


AMOUNTS = {"nonnegative": "0 or more", "positive": "numbers above 0"}
"""Of the kinds of targets that are amounts, what they are."""


def check_targets(
    Y: Array,
    kind: str,
    k: int | None,
    name: str = "Y",
    who: str = "this loss wants",
    why: str = "the model has {k} outputs",
) -> None:
    """Checks that Y holds what a loss needs: amounts, 0 and 1, shares, or classes 0 … k − 1; ``why`` says where k comes from.

    >>> check_targets(np.array([0.0, 2.0]), "binary", None)
    Traceback (most recent call last):
    ValueError: Y[1] is 2.0: this loss wants 0 or 1
    """
    if kind == "real":
        return
    check_finite(Y, name)
    if kind in AMOUNTS:
        wrong, wanted = no_amounts(Y, kind), AMOUNTS[kind]
    elif kind == "binary":
        wrong, wanted = (Y != 0) & (Y != 1), "0 or 1"
    elif kind == "shares":
        wrong, wanted = (Y < 0) | (Y > 1), "0 or 1, or shares between them"
    else:
        wrong = (Y < 0) | (np.floor(Y) != Y)
        wanted = "classes 0, 1, 2, …"
        if k is not None:
            wrong |= k <= Y
            wanted = f"classes 0 … {k - 1}, for {why.format(k=k)}"
    if np.any(wrong):
        place = [int(i) for i in np.argwhere(wrong)[0]]
        raise ValueError(f"{name}{place or ''} is {Y[tuple(place)]}: {who} {wanted}")


def no_amounts(Y: Array, kind: str) -> Array:
    """Where Y is none of the amounts that are wanted."""
    return Y < 0 if kind == "nonnegative" else Y <= 0


def count_classes(Y: Array, least: int = 2) -> int:
    """How many classes the checked labels Y number, but for ``least``; ValueError where they number more than there are rows.

    >>> count_classes(np.array([0.0, 2.0, 1.0]))
    3
    >>> count_classes(np.array([0.0, 7.0, 1.0]))
    Traceback (most recent call last):
    ValueError: Y[1] is 7: 3 rows cannot hold so many classes; number the classes 0 … k − 1
    """
    row = int(np.argmax(Y))
    many = int(Y[row]) + 1
    if many > max(least, len(Y)):
        raise ValueError(f"Y[{row}] is {many - 1}: {len(Y)} rows cannot hold so many classes; number the classes 0 … k − 1")
    return max(least, many)
