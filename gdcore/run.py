"""What a run leaves behind: the model, the history, why it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats


class History:
    """Arrays of one value an epoch.

    Attributes
    ----------
    epoch : int64 array
        Numbers of the epochs, from 1.
    loss, validation_loss : float64 arrays
        After the epoch (with batches see `gdcore.fit`); validation_loss is NaN where there are no validation data.
    gradient_norm : float64 array
        Euclidean norm of the gradient of all rows, bias included, after the epoch; NaN where it was not computed.
    lr : float64 array
        The learning rate of the epoch.
    seconds : float64 array
        How long the epoch took.

    ``history["loss"]`` is ``history.loss``.
    """

    NAMES = ("epoch", "loss", "validation_loss", "gradient_norm", "lr", "seconds")

    def __init__(self, **columns: Array) -> None:
        self.epoch: Array = columns["epoch"]
        self.loss: Floats = columns["loss"]
        self.validation_loss: Floats = columns["validation_loss"]
        self.gradient_norm: Floats = columns["gradient_norm"]
        self.lr: Floats = columns["lr"]
        self.seconds: Floats = columns["seconds"]

    @classmethod
    def empty(cls) -> History:
        return cls(**{name: np.empty(0, np.int64 if name == "epoch" else np.float64) for name in cls.NAMES})

    def __getitem__(self, name: str) -> Array:
        if name not in self.NAMES:
            raise KeyError(f"history has no {name!r}; it has {', '.join(self.NAMES)}")
        column: Array = getattr(self, name)
        return column

    def __len__(self) -> int:
        return len(self.epoch)

    def __add__(self, later: History) -> History:
        return History(**{name: np.concatenate([self[name], later[name]]) for name in self.NAMES})

    def __repr__(self) -> str:
        if not len(self):
            return "History(no epochs)"
        return f"History(epochs {self.epoch[0]} to {self.epoch[-1]}, loss {self.loss[0]:.6g} to {self.loss[-1]:.6g})"


class Epoch(NamedTuple):
    """What a callback is given after each epoch."""

    epoch: int
    loss: float
    """After the epoch's update, like `validation_loss`, `gradient_norm` and `model`."""
    validation_loss: float
    gradient_norm: float
    model: Any
    """A copy, of the kind that was given to fit: it can be kept."""
    gradient: tuple[Array, Array | None] | None
    """∇W and ∇b that the epoch's update went along, as (d, k) and (k,), not rounded (of a network one column, ordered as
    `MLP.parameters` says, and None); None where it went in batches."""


class Run:
    """What `gdcore.fit` returns.

    Attributes
    ----------
    model : Linear or MLP
        The trained model.
    history : History
        One entry an epoch.
    status : {"epochs", "converged", "early_stopped", "interrupted"}
        Why it stopped: all epochs done, gradient norm ≤ tol, patience or the callback, Ctrl-C.
    loss : float
        Objective of `model` on the training data.
    gradient_norm : float
        Likewise; NaN where it was not computed, as with batches and without ``tol``.
    gap : float or None
        A proved bound on loss − best loss; None where nothing is proved.
    """

    def __init__(
        self,
        model: Any,
        history: History,
        status: str,
        loss: float,
        gradient_norm: float,
        resume: Callable[..., Run],
    ) -> None:
        self.model = model
        self.history = history
        self.status = status
        self.loss = loss
        self.gradient_norm = gradient_norm
        self.gap: float | None = None
        self._resume = resume

    @property
    def epochs(self) -> int:
        """Epochs done since the first start."""
        return int(self.history.epoch[-1]) if len(self.history) else 0

    def resume(self, X: Any, Y: Any, epochs: int = 1000, **options: Any) -> Run:
        """Goes on where this run stopped: ``fit(a)`` and then ``resume(b)`` equals ``fit(a + b)`` bit for bit.

        Parameters
        ----------
        X, Y : arrays
            As given to `fit`.
        epochs : int
            How many more.
        **options
            Options of `fit` that shall change; the others, sample_weight and validation included, stay as they were.

        Returns
        -------
        Run
            A new run, whose history begins with this one's; this run stays as it is.
        """
        return self._resume(self, X, Y, epochs, options)

    def plot(self, ax: Any = None) -> Any:
        """Loss curves, training and validation: see `gdcore.plots.losses`. Returns the matplotlib Axes."""
        from gdcore import plots

        return plots.losses(self.history, ax=ax)

    def __repr__(self) -> str:
        return f"Run({self.status} after {self.epochs} epochs, loss {self.loss:.6g}, gradient norm {self.gradient_norm:.3g})"


class DivergenceError(ArithmeticError):
    """Training left the finite numbers.

    Attributes
    ----------
    run : Run
        The run up to its last epoch with a finite loss.
    """

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run
