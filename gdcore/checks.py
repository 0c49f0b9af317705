"""Checks of single arguments: each gives the value as it is wanted, or an error that names the argument and the place.

What is wanted is told in one sentence, `must_be` or of arrays `must_have_shape`, by these checks and by whoever checks more.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gdcore.messages import Message, Option

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from gdcore._types import Array

T = TypeVar("T")

_SCAN_ELEMENTS = 1 << 20
_QUOTE = "'"


def must_be(name: str, wanted: str, found: str, advice: str = "") -> Message:
    """What an argument is to be, what was found, and behind it what to do, where that is not plain.

    >>> must_be("epochs", "at least 0", "-1")
    'epochs must be at least 0, found -1'
    """
    return Message(Option(name), f" must be {wanted}, found {found}", advice)


def must_have_shape(name: str, wanted: str, found: tuple[int | str, ...], advice: str = "") -> Message:
    """`must_be` of an array's shape, in which a length that is not known is a letter.

    >>> must_have_shape("Y", "(n,)", (3, 2))
    'Y must have shape (n,), found shape (3, 2)'
    """
    return Message(Option(name), f" must have shape {wanted}, found shape {str(found).replace(_QUOTE, '')}", advice)


def optional(check: Callable[..., T], value: Any, *more: Any) -> T | None:
    """What a check gives; None stays None.

    >>> optional(integer, None, "patience", 1), optional(integer, 3, "patience", 1)
    (None, 3)
    """
    return None if value is None else check(value, *more)


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
        raise TypeError(must_be(name, "a number", repr(value))) from None
    low = number >= 0 if above is None else number > above
    if not (math.isfinite(number) and low and (below is None or number < below)):
        raise ValueError(must_be(name, _range(above, below), repr(value)))
    return number


def _range(above: float | None, below: float | None) -> str:
    if below is None:
        return "finite and not negative" if above is None else f"finite and above {above:g}"
    return f"at least 0 and below {below:g}" if above is None else f"above {above:g} and below {below:g}"


def yes_or_no(value: object, name: str) -> bool:
    """True or False, or an error that names the argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(must_be(name, "True or False", repr(value)))
    return bool(value)


def integer(value: Any, name: str, low: int, high: int | None = None) -> int:
    """An integer in a range, or an error that names the argument."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(must_be(name, "an integer", repr(value))) from None
    if number < low or (high is not None and number > high):
        wanted = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(must_be(name, wanted, repr(value)))
    return number


def text(value: object, name: str, wanted: str = "a text") -> str:
    """A text, or an error that names the argument and what the text is."""
    if not isinstance(value, str):
        raise TypeError(must_be(name, wanted, repr(value)))
    return value


def texts(values: Iterable[object], name: str, what: str = "names") -> list[str]:
    """Texts in a list of their own; one text is no list of them.

    >>> texts("area", "features")
    Traceback (most recent call last):
    TypeError: features must be a list of names, found the text 'area': write ['area']
    """
    wanted = f"a list of {what}"
    if isinstance(values, str):
        raise TypeError(must_be(name, wanted, f"the text {str(values)!r}", f": write [{str(values)!r}]"))
    try:
        each = list(values)
    except TypeError:
        raise TypeError(must_be(name, wanted, repr(values))) from None
    return [text(value, f"{name}[{i}]") for i, value in enumerate(each)]


def one_of(value: T, name: str, choices: Collection[str | None]) -> T:
    """One of some names, or None where it is among them.

    >>> one_of("GPU", "backend", ("kernel", "reference"))
    Traceback (most recent call last):
    ValueError: backend must be 'kernel' or 'reference', found 'GPU'
    """
    if not (value is None or isinstance(value, str)) or value not in choices:
        raise ValueError(must_be(name, either(choices), repr(value)))
    return value


def either(choices: Collection[str | None]) -> str:
    """Choices as they are listed in a sentence.

    >>> either(["drop", "keep", None])
    "'drop', 'keep' or None"
    """
    *most, last = map(repr, choices)
    return f"{', '.join(most)} or {last}" if most else last


def function(value: T, name: str, wanted: str = "callable") -> T:
    """Whatever can be called."""
    if not callable(value):
        raise TypeError(must_be(name, wanted, repr(value)))
    return value


def check_finite(array: Array, name: str, start: int = 0) -> None:
    """Raises ValueError with the place of the first NaN or infinity, if there is one; rows count from ``start``.

    >>> check_finite(np.array([[1.0, 2.0], [np.nan, 4.0]]), "X")
    Traceback (most recent call last):
    ValueError: X[1, 0] is nan: every value must be finite
    """
    if array.ndim == 0:
        if not np.isfinite(array):
            raise ValueError(f"{name} is {array}: it must be finite")
        return
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
