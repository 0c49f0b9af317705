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
    validation: tuple[Any, ...] | Table | None
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
    on_divergence: str = "raise"
    keep_weights: bool = False
    verbose: bool = False

    def checked(self) -> Options:
        """The same with every argument looked at once; ValueError or TypeError names the first that cannot be."""
        for name, names in _CHOICES.items():
            one_of(getattr(self, name), name, names)
        for name in ("callback", "schedule"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} must be callable, found {getattr(self, name)!r}")
        if not isinstance(self.progress, (bool, np.bool_)) and not callable(self.progress):
            raise TypeError(f"progress must be True, False or a class like tqdm.tqdm, found {self.progress!r}")
        if isinstance(self.lr, str) and self.lr != "auto":
            raise TypeError(f"lr must be a number, found {self.lr!r}; 'auto' lets gdcore choose")
        if self.patience is not None and self.validation is None:
            raise ValueError("patience needs validation=(Xv, Yv), the rows whose loss it watches")
        return self._replace(
            lr=self.lr if isinstance(self.lr, str) else number(self.lr, "lr"),
            l1=number(self.l1, "l1"),
            l2=number(self.l2, "l2"),
            tol=None if self.tol is None else number(self.tol, "tol"),
            batch_size=None if self.batch_size is None else integer(self.batch_size, "batch_size", 1),
            patience=None if self.patience is None else integer(self.patience, "patience", 1),
            decimals=None if self.decimals is None else integer(self.decimals, "decimals", -30, 30),
            seed=integer(self.seed, "seed", 0, (1 << 63) - 1),
            shuffle=yes_or_no(self.shuffle, "shuffle"),
            keep_weights=yes_or_no(self.keep_weights, "keep_weights"),
            verbose=yes_or_no(self.verbose, "verbose"),
        )


_CHOICES: dict[str, tuple[Any, ...]] = {
    "backend": ("kernel", "reference"),
    "method": ("auto", "stream", "gram", "exact"),
    "on_divergence": ("raise", "keep"),
    "precondition": ("auto", None, "diagonal", "gram"),
}


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


def one_of(value: Any, name: str, names: tuple[Any, ...]) -> None:
    """ValueError where it is none of the names."""
    if not (value is None or isinstance(value, str)) or value not in names:
        raise ValueError(f"{name} {value!r} is unknown; there is {', '.join(map(repr, names))}")
