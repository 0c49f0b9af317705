"""Checks of single arguments: each gives the value as it is wanted, or an error that names the argument and the place."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gdcore._types import Array

_SCAN_ELEMENTS = 1 << 20


def number(value: Any, name: str, above: float | None = None, below: float | None = None) -> float:
    """A finite number of at least 0, or above and below others, as Python's float; an error names the argument.

    Whatever is one number is taken: Python's and NumPy's, arrays of no dimension.

    >>> number(np.float32(0.5), "lr")
    0.5
    >>> number(1, "tau", above=0, below=1)
    Traceback (most recent call last):
    ValueError: tau must be above 0 and below 1, found 1
    """
    try:
        if isinstance(value, (bool, str, np.bool_)) or np.ndim(value) != 0 or np.iscomplexobj(value):
            raise TypeError
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, found {value!r}") from None
    low = number >= 0 if above is None else number > above
    if not (math.isfinite(number) and low and (below is None or number < below)):
        raise ValueError(f"{name} must be {_range(above, below)}, found {value!r}")
    return number


def _range(above: float | None, below: float | None) -> str:
    if below is None:
        return "finite and not negative" if above is None else f"finite and above {above:g}"
    return f"at least 0 and below {below:g}" if above is None else f"above {above:g} and below {below:g}"


def yes_or_no(value: Any, name: str) -> bool:
    """True or False, or an error that names the argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, found {value!r}")
    return bool(value)


def integer(value: Any, name: str, low: int, high: int | None = None) -> int:
    """An integer in a range, or an error that names the argument."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, found {value!r}") from None
    if number < low or (high is not None and number > high):
        wanted = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {wanted}, found {value!r}")
    return number


def text(value: Any, name: str, wanted: str = "a text") -> str:
    """A text, or an error that names the argument and what the text is."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be {wanted}, found {value!r}")
    return value


def texts(values: Iterable[Any], name: str, what: str = "names") -> list[str]:
    """Texts in a list of their own; one text is no list of them.

    >>> texts("area", "features")
    Traceback (most recent call last):
    TypeError: features must be a list of names, found the text 'area': write ['area']
    """
    wanted = f"a list of {what}"
    if isinstance(values, str):
        raise TypeError(f"{name} must be {wanted}, found the text {str(values)!r}: write [{str(values)!r}]")
    try:
        each = list(values)
    except TypeError:
        raise TypeError(f"{name} must be {wanted}, found {values!r}") from None
    return [text(value, f"{name}[{i}]") for i, value in enumerate(each)]


def one_of(value: Any, name: str, names: tuple[Any, ...]) -> None:
    """ValueError where it is none of the names."""
    if not (value is None or isinstance(value, str)) or value not in names:
        raise ValueError(f"{name} {value!r} is unknown; there is {', '.join(map(repr, names))}")


def check_finite(array: Array, name: str) -> None:
    """Raises ValueError with the place of the first NaN or infinity, if there is one.

    >>> check_finite(np.array([[1.0, 2.0], [np.nan, 4.0]]), "X")
    Traceback (most recent call last):
    ValueError: X[1, 0] is nan: every value must be finite
    """
    if array.ndim == 0:
        if not np.isfinite(array):
            raise ValueError(f"{name} is {array}: it must be finite")
        return
    start = 0
    for block in blocks(array):
        finite = np.isfinite(block)
        if not finite.all():
            row, *column = (int(i) for i in np.argwhere(~finite)[0])
            place = [start + row, *column]
            raise ValueError(f"{name}{place} is {block[(row, *column)]}: every value must be finite")
        start += len(block)


def blocks(array: Array) -> Iterator[Array]:
    """The array in views of consecutive rows, each small enough that a temporary of its size does not matter."""
    step = max(1, _SCAN_ELEMENTS // max(1, math.prod(array.shape[1:])))
    for start in range(0, len(array), step):
        yield array[start : start + step]
