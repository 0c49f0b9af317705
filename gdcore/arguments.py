"""What `gdcore.fit` can be told, and how what it is told is checked."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore import losses
    from gdcore.optimizers import Optimizer
    from gdcore.run import Epoch
    from gdcore.tables import Table


class Options(NamedTuple):
    """The keyword arguments of `fit` that a resumed run keeps."""

    lr: float | str
    loss: str | losses.Loss
    optimizer: str | Optimizer | None
    batch_size: int | None
    l1: float
    l2: float
    sample_weight: Any
    validation: tuple[Any, Any] | Table | None
    schedule: Callable[[int], float] | None
    precondition: str | None
    method: str
    tol: float | None
    patience: int | None
    shuffle: bool
    seed: int
    callback: Callable[[Epoch], Any] | None
    decimals: int | None
    backend: str
    n_threads: int | None
    progress: Any


def number(value: Any, name: str) -> float:
    """A finite number of at least 0, or an error that names the argument."""
    if type(value) is float and 0 <= value < math.inf:
        return value
    try:
        if isinstance(value, (bool, str, np.bool_)) or np.ndim(value) != 0 or np.iscomplexobj(value):
            raise TypeError
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, found {value!r}") from None
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and not negative, found {value!r}")
    return number


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


def one_of(value: Any, name: str, names: tuple[Any, ...]) -> None:
    """ValueError where it is none of the names."""
    if not (value is None or isinstance(value, str)) or value not in names:
        raise ValueError(f"{name} {value!r} is unknown; there is {', '.join(map(repr, names))}")
