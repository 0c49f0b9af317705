"""What `gdcore.fit` can be told, and how what it is told is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses, optimizers
from gdcore.checks import function, integer, must_be, number, one_of, optional, yes_or_no
from gdcore.messages import Message, Option
from gdcore.notices import SpeedWarning, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import ArrayLike, ProgressBar
    from gdcore.optimizers import Optimizer
    from gdcore.rows.tables import Table
    from gdcore.run import Epoch


class Options(NamedTuple):
    """The keyword arguments of `fit` that a resumed run keeps."""

    lr: float | str = "auto"
    loss: str | losses.Loss = "mse"
    optimizer: str | Optimizer | None = None
    batch_size: int | None = None
    l1: float = 0.0
    l2: float = 0.0
    sample_weight: ArrayLike | None = None
    validation: tuple[ArrayLike, ...] | Table | None = None
    schedule: Callable[[int], float] | None = None
    precondition: str | None = "auto"
    method: str = "auto"
    tol: float | None = None
    patience: int | None = None
    shuffle: bool = True
    seed: int = 0
    callback: Callable[[Epoch], Any] | None = None
    decimals: int | None = None
    backend: str = "kernel"
    n_threads: int | None = None
    progress: bool | Callable[..., ProgressBar] = False
    on_divergence: str = "raise"
    keep_weights: bool = False
    verbose: bool | str = False
    bounds: Any = None

    @property
    def traced(self) -> bool:
        """Whether every epoch is printed."""
        return self.verbose is True

    @property
    def watched(self) -> bool:
        """Whether somebody looks at every epoch."""
        return self.callback is not None or self.validation is not None or self.keep_weights or self.traced

    def checked(self) -> Options:
        """The same with every argument looked at once; ValueError or TypeError names the first that cannot be."""
        for name, names in _CHOICES.items():
            one_of(getattr(self, name), name, names)
        for name in ("callback", "schedule"):
            optional(function, getattr(self, name), name)
        if not isinstance(self.progress, (bool, np.bool_)):
            function(self.progress, "progress", "True, False or a class like tqdm.tqdm")
        if isinstance(self.lr, str) and self.lr != "auto":
            raise TypeError(must_be("lr", "a number", repr(self.lr), "; 'auto' lets gdcore choose"))
        if self.patience is not None and self.validation is None:
            raise ValueError(Message(Option("patience"), " needs validation=(Xv, Yv), the rows whose loss it watches"))
        loss, optimizer = losses.get(self.loss), optional(optimizers.get, self.optimizer)
        return self._replace(
            lr=self.lr if isinstance(self.lr, str) else number(self.lr, "lr"),
            loss=loss,
            optimizer=optimizer,
            l1=number(self.l1, "l1"),
            l2=number(self.l2, "l2"),
            tol=optional(number, self.tol, "tol"),
            batch_size=optional(integer, self.batch_size, "batch_size", 1),
            patience=optional(integer, self.patience, "patience", 1),
            decimals=optional(integer, self.decimals, "decimals", -30, 30),
            seed=integer(self.seed, "seed", 0, (1 << 63) - 1),
            shuffle=yes_or_no(self.shuffle, "shuffle"),
            keep_weights=yes_or_no(self.keep_weights, "keep_weights"),
            verbose=_verbosity(self.verbose),
            backend=self._backend(loss, optimizer),
        )

    def _backend(self, *used: losses.Loss | Optimizer | None) -> str:
        """The reference where the kernel does not know the loss or the optimizer."""
        own = [one for one in used if one is not None and not one.compiled]
        if not own or self.backend != "kernel":
            return self.backend
        known = f"the kernel does not know {' and '.join(map(repr, own))}: this runs in NumPy, several times slower; "
        warn(Message(known, Option("backend", "reference"), " says that you know"), SpeedWarning)
        return "reference"


def _verbosity(value: bool | str) -> bool | str:
    """True, False or "shapes", or an error."""
    if isinstance(value, str) and value == "shapes":
        return value
    if not isinstance(value, (bool, np.bool_)):
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(must_be("verbose", "True, False or 'shapes'", repr(value)))
    return bool(value)


_CHOICES: dict[str, tuple[Any, ...]] = {
    "backend": ("kernel", "reference"),
    "method": ("auto", "stream", "gram", "exact"),
    "on_divergence": ("raise", "keep"),
    "precondition": ("auto", None, "diagonal", "gram"),
}
