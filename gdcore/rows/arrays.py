"""Where rows live: what comes in as X, Y and sample_weight is checked here, once, and never copied without need.

float32 and float64 are taken as they are, in any layout; integers and booleans become float64; everything else is an
error. Whether all numbers are finite is not checked beforehand, for that would read X a second time: a loss that is not
finite tells, and `check_finite` then finds the place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import blocks as blocks
from gdcore.checks import check_finite as check_finite
from gdcore.checks import must_be, must_have_shape
from gdcore.messages import Message, Option
from gdcore.notices import PrecisionWarning, warn

if TYPE_CHECKING:
    from gdcore._types import Array, ArrayLike, DTypeLike

_NATIVE = (np.dtype(np.float64), np.dtype(np.float32))
FLOATS = "float32 or float64 (integers and booleans become float64)"
_EXACT = 1 << 53  # up to it float64 holds every integer


def floating(value: ArrayLike | None, name: str) -> Array:
    """``value`` as a float32 or float64 array, without a copy where it is one.

    Always an array of our own, a view of the caller's: nobody else can change its shape, strides or dtype.

    >>> floating([1, 2], "X").dtype
    dtype('float64')
    >>> floating(["1"], "X")
    Traceback (most recent call last):
    TypeError: X must be float32 or float64 (integers and booleans become float64), found dtype <U1
    """
    if type(value) is np.ndarray:
        array: Array = value[...]
        if array.dtype in _NATIVE and array.flags.aligned:
            return array
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name} is sparse ({type(value).__name__}): gdcore takes dense arrays, for example {name}.toarray()")
    # numpy.ma is imported when it is first asked for, and takes longer than a small fit.
    if type(value) is not np.ndarray and isinstance(value, np.ndarray) and isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: decide what masked values mean first, for example {name}.filled(0)")
    try:
        array = np.asarray(value)[...]
    except ValueError as error:
        raise ValueError(f"{name} is not a rectangular table of numbers: {error}") from None
    if array.dtype.kind in "iub":
        if array.dtype.itemsize == 8:
            _warn_of_rounding(array, name)
        array = array.astype(np.float64)
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        raise TypeError(must_be(name, FLOATS, f"dtype {array.dtype}"))
    if not array.dtype.isnative:
        raise TypeError(
            f"{name} has dtype {array.dtype}, whose bytes are in the other order than this machine's: "
            f"convert it with {name}.astype('f{array.dtype.itemsize}')"
        )
    if not array.flags.aligned:
        raise ValueError(f"{name} lies at addresses that are not multiples of its item size: copy it with np.array({name})")
    return array


def _warn_of_rounding(array: Array, name: str) -> None:
    """Warns of an integer that float64 does not hold."""
    if not array.size or -_EXACT <= int(array.min()) <= int(array.max()) <= _EXACT:
        return
    first = array.reshape(-1) if array.ndim == 0 else array
    start = 0
    for block in blocks(first):
        size = np.abs(block).view(np.uint64)  # |−2⁶³| is 2⁶³ in these bits
        lowest = np.maximum(size & (~size + np.uint64(1)), np.uint64(1))
        rounded = size // lowest > _EXACT
        if rounded.any():
            row, *column = (int(i) for i in np.argwhere(rounded)[0])
            value = int(block[(row, *column)])
            where = f"{name}{[start + row, *column]}" if array.ndim else name
            warn(
                f"{where} is {value}, which float64 rounds to {int(float(value))}: subtract a number from the whole column, "
                "or leave it out where it is no more than a name",
                PrecisionWarning,
            )
            return
        start += len(block)


def table(X: ArrayLike, name: str = "X") -> Array:
    """X as an array (n, d) with at least one row and one column."""
    array = floating(X, name)
    if array.ndim != 2:
        hint = f"; one column is {name}[:, None]" if array.ndim == 1 else ""
        raise ValueError(must_have_shape(name, "(n, d), one row a sample", array.shape, hint))
    if 0 in array.shape:
        raise ValueError(f"{name} is empty: found shape {array.shape}, wanted at least one row and one column")
    return array


def targets(Y: ArrayLike | None, X: Array, name: str = "Y", table_name: str = "X") -> Array:
    """Y in X's dtype: (n,) or (n, k) with X's number of rows."""
    Y = floating(Y, name)
    if Y.ndim not in (1, 2) or len(Y) != len(X) or 0 in Y.shape:
        raise ValueError(must_have_shape(name, f"(n,) or (n, k) with {table_name}'s n = {len(X)} rows", Y.shape))
    return cast(Y, X.dtype, name)


def weights_of_rows(sample_weight: ArrayLike, X: Array, whose: str = "") -> Array:
    """sample_weight in X's dtype: (n,), none negative, not all zero; errors call both ``whose``.

    Only their proportions matter: very large or small ones are divided by the largest, so that no sum overflows.
    """
    name = f"{whose}sample_weight"
    s = floating(sample_weight, name)
    if s.shape != (len(X),):
        raise ValueError(must_have_shape(name, f"({len(X)},), one weight a row of {whose}X", s.shape))
    check_finite(s, name)
    if (s < 0).any():
        row = int(np.argmax(s < 0))
        raise ValueError(negative(name, row, s[row]))
    largest = s.max()
    if largest == 0:
        raise ValueError(no_weight(name))
    if not 1e-6 < largest < 1e6:
        s = s / largest
    return cast(s, X.dtype, name)


def offsets(offset: ArrayLike, Y: Array) -> Array:
    """Offsets in float64, in a shape that goes with Y: (n,), or (n, k) for targets of that shape."""
    o = floating(offset, "offset").astype(np.float64)
    if o.shape not in ((len(Y),), Y.shape):
        wanted = f"({len(Y)},), one number a row" + (f", or {Y.shape}" if Y.ndim == 2 else "")
        raise ValueError(must_have_shape("offset", wanted, o.shape))
    check_finite(o, "offset")
    return o if o.ndim == Y.ndim else np.broadcast_to(o[:, None], Y.shape)


def negative(name: str, row: int, weight: float) -> Message:
    """That a row's weight is below 0."""
    return Message(Option(name), f"[{row}] is {weight}: weights must not be negative")


def no_weight(name: str = "sample_weight") -> Message:
    """That all weights are 0."""
    return Message(Option(name), " is zero for every row: at least one weight must be positive")


def cast(array: Array, dtype: DTypeLike, name: str, whose: str = "the dtype of X") -> Array:
    """``array`` in another dtype; ValueError where a finite value would become infinite."""
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    lost = np.isinf(cast) & np.isfinite(array)
    if lost.any():
        place = [int(i) for i in np.argwhere(lost)[0]]
        where = f"{place}" if place else ""
        raise ValueError(f"{name}{where} is {array[tuple(place)]}, which does not fit {dtype}, {whose}")
    return cast


def equal(a: Array, b: Array) -> bool:
    """Whether arrays hold the same numbers; two views of the same memory are not read."""
    one, other = a.__array_interface__, b.__array_interface__
    if (a.shape, a.dtype, a.strides, one["data"][0]) == (b.shape, b.dtype, b.strides, other["data"][0]):
        return True
    pairs = zip(blocks(a), blocks(b), strict=True)
    return a.shape == b.shape and all(np.array_equal(one, other) for one, other in pairs)
