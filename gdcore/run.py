"""What a run leaves behind: the model, the history, why it stopped."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from gdcore.checks import must_be, number
from gdcore.history import MOST_EPOCHS as MOST_EPOCHS
from gdcore.history import Epoch as Epoch
from gdcore.history import History as History
from gdcore.history import Parameters as Parameters
from gdcore.notices import (  # their path of old
    CheckpointWarning as CheckpointWarning,
)
from gdcore.notices import (
    ConditionWarning as ConditionWarning,
)
from gdcore.notices import (
    ConvergenceWarning as ConvergenceWarning,
)
from gdcore.notices import (
    DivergenceWarning as DivergenceWarning,
)
from gdcore.notices import (
    LabelWarning as LabelWarning,
)
from gdcore.notices import (
    LearningRateWarning as LearningRateWarning,
)
from gdcore.notices import (
    PrecisionWarning as PrecisionWarning,
)
from gdcore.notices import (
    ScaleWarning as ScaleWarning,
)
from gdcore.notices import (
    SeparationWarning as SeparationWarning,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from gdcore._types import Array, ArrayLike, Floats, Path
    from gdcore.penalty import Bounds

    Callback = Callable[[Epoch], Any]
    """Called after each epoch; True stops."""


class Checkpoint:
    """Where `gdcore.fit` keeps a run, and how often: ``fit(..., checkpoint=Checkpoint("run.ckpt", seconds=60))``.

    Parameters
    ----------
    path : str or path
        A file, replaced whole or not at all.
    seconds : float
        ≥ 0, from one writing to the next; a path alone stands for 30.

    >>> Checkpoint("run.ckpt")
    Checkpoint('run.ckpt', seconds=30.0)
    """

    def __init__(self, path: Path, seconds: float = 30.0) -> None:
        try:
            self.path = os.fsdecode(path)
        except TypeError:
            raise TypeError(must_be("checkpoint", "a path or a gdcore.Checkpoint", repr(path))) from None
        self.seconds = number(seconds, "seconds")

    def __repr__(self) -> str:
        return f"Checkpoint({self.path!r}, seconds={self.seconds!r})"


class Method(str):
    """How a run went: "stream", "gram" or "exact", and why.

    >>> method = Method("gram", "1,000 epochs cost 300 times less than over 1,000,000 rows")
    >>> method == "gram", method.why
    (True, '1,000 epochs cost 300 times less than over 1,000,000 rows')
    >>> print(method)
    gram: 1,000 epochs cost 300 times less than over 1,000,000 rows
    """

    why: str

    def __new__(cls, name: str, why: str) -> Method:
        method = super().__new__(cls, name)
        method.why = why
        return method

    def __str__(self) -> str:
        return f"{self[:]}: {self.why}"

    def __repr__(self) -> str:
        return f"Method({self[:]!r}, {self.why!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Method, (self[:], self.why)


class Settings(NamedTuple):
    """What went with a run, chosen or given."""

    optimizer: str
    lr: float | None
    """None: another one in every epoch."""
    precondition: str | None
    """The metric of the steps, where there is one."""
    tol: float | None
    bounds: Bounds | None = None
    """low and high of every column's weights, where any is held."""


class Run:
    """What `gdcore.fit` returns.

    Attributes
    ----------
    model : Linear or MLP
        The trained model.
    history : History
        One entry an epoch; with method "exact" and very many epochs, some of them.
    status : {"epochs", "converged", "early_stopped", "interrupted", "diverged"}
        Why it stopped: all epochs done, tol reached, patience or the callback, Ctrl-C; or, where the run of a divergence is
        kept, that the next epoch has no finite loss, or that the epochs were done above the loss that ends other runs.
    method : Method
        "stream": epochs over the rows; "gram": over their second moments; "exact": by formula. ``method.why`` says why.
    loss : float
        Objective of `model` on the training data; NaN where Ctrl-C struck the pass that would have told it.
    gradient_norm : float
        Likewise; NaN where it was not computed, as with batches and without ``tol``.
    settings : Settings
        What was left to `gdcore.fit` to choose, as it was chosen.
    models : list of Linear or MLP, or None
        With ``fit(..., keep_weights=True)``: the model at the start, then after each epoch; what `gdcore.plots.path` draws.

    A run can be pickled and copied with `copy.deepcopy`: without the data, so that such a copy cannot be resumed, and knows
    `gap` and `spectrum` where they were asked for before.
    """

    def __init__(
        self,
        model: Any,
        history: History,
        status: str,
        method: Method,
        loss: float,
        gradient_norm: float,
        resume: Callable[..., Run],
        facts: dict[str, Callable[[], Any]],
        settings: Settings,
        models: list[Any] | None = None,
        proof: str | None = None,
    ) -> None:
        self.model = model
        self.history = history
        self.status = status
        self.method = method
        self.loss = loss
        self.gradient_norm = gradient_norm
        self.settings = settings
        self.models = models
        if proof is not None:
            self.proof = proof
        self._resume = resume
        self._facts = facts

    def __getstate__(self) -> dict[str, Any]:
        """All that it knows; not what it could find out from the data."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._resume = _without_data("be resumed: train on from run.model")
        self._facts = _NoFacts()

    def __copy__(self) -> Run:
        other = Run.__new__(Run)
        vars(other).update(vars(self))
        return other

    def told_as(self, model: Any, loss: float, history: History, models: list[Any] | None, resume: Callable[..., Run]) -> Run:
        """The same run, of which another knows better what it is about; what its data tell stays as it is."""
        other = self.__copy__()
        other.model, other.loss, other.history, other.models, other._resume = model, loss, history, models, resume
        return other

    @functools.cached_property
    def gap(self) -> float | None:
        """A proved bound on loss − best loss (`gdcore.facts.gap` says how); None where nothing is proved.

        Where `proof` says "vertex" the loss is the least, and the gap is what the rounding of predictions may make of that: of
        float32 weights, what rounding them has cost.

        Found when first asked for, from the data that the run was given, at the cost of one to three passes; ValueError where
        they have changed meanwhile, as far as `gdcore.training.fingerprints.marks` notices it.
        """
        found = self._facts["gap"]()
        value, proof = (None, None) if found is None else found
        vars(self).setdefault("proof", proof)
        return value

    @functools.cached_property
    def proof(self) -> str | None:
        """What proves `gap`, in a word, and found with it; None where nothing is proved.

        - "least squares": the loss is a quadratic whose Hessian is known; the gap is exact.
        - "duality": slopes of the rows bound the best loss from below, by the loss's conjugate, penalties and bounds.
        - "strong convexity": l2 bends the objective, and the gradient is small.
        - "no loss is below 0": the loss is so small that nothing else needs to be known.
        - "vertex": mae or quantile passes through the rows of ``model.interpolated``, and a dual solution of the same value is
          known.
        """
        _ = self.gap  # which brings it along
        found: str | None = vars(self).get("proof")
        return found

    @functools.cached_property
    def spectrum(self) -> Any:
        """The `Spectrum` of the data for this loss; None for networks and for losses without a curvature bound.

        Found when first asked for, at the cost of a pass, unless the run has needed it.
        """
        return self._facts["spectrum"]()

    @functools.cached_property
    def spread(self) -> Floats | None:
        """(d,) the columns' standard deviations in the rows that trained, where the run has come to know them; else None.

        What a weight moves a prediction by, where its column moves by one standard deviation, is their product.
        """
        found: Floats | None = self._facts["spread"]()
        return found

    @property
    def epochs(self) -> int:
        """Epochs done since the first start."""
        return int(self.history.epoch[-1]) if len(self.history) else 0

    def predict(self, X: ArrayLike, n_threads: int | None = None, **options: Any) -> Array:
        """``run.model.predict(X)``: see `gdcore.Linear.predict`."""
        predictions: Array = self.model.predict(X, n_threads, **options)
        return predictions

    def resume(self, X: ArrayLike, Y: ArrayLike | None, epochs: int = 1000, **options: Any) -> Run:
        """Goes on where this run stopped, by the same method.

        ``fit(a)`` and then ``resume(b)`` equals ``fit(a + b)`` bit for bit, where that goes by the same method. With
        method="auto" the number of epochs has a say in which is the cheapest: `method` tells which it was. Who wants the
        bits of one long run gives both the same ``method``.

        Parameters
        ----------
        X, Y : arrays
            As given to `fit`, X of the same dtype.
        epochs : int
            How many more.
        **options
            Options of `fit` that shall change, but for the optimizer, and a loss with its parameter in one, "huber:2.0"; the
            others, sample_weight and validation included, stay as they were. ``model``: where to go on from in the place of
            this run's, with the optimizer's state as it is.

        Returns
        -------
        Run
            A new run, whose history begins with this one's; this run stays as it is.
        """
        return self._resume(self, X, Y, epochs, options)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Loss curves, training and validation: see `gdcore.plots.losses`. Returns the matplotlib Axes."""
        from gdcore import drawing

        return drawing.losses(self.history, ax=ax)

    def animate(self, path: Path, *, frames: int = 100, fps: float = 10.0) -> None:
        """Writes a GIF for slides: the path over the loss, of models of two numbers, and the loss curve beside it.

        Parameters
        ----------
        path : path
            Ends in .gif; written whole or not at all.
        frames, fps : int and float
            How many epochs are shown at most, ≥ 2, ever sparser ones of more, and how many in a second.

        Raises
        ------
        ValueError
            Weights were not kept, or are not a weight and a bias or two weights; the data have changed; the rows are a table's
            and the loss is not squared error.
        ImportError
            When matplotlib is missing.

        Examples
        --------
        >>> import gdcore, tempfile
        >>> run = gdcore.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.5], lr=0.3, epochs=3, keep_weights=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run.animate(f"{folder}/descent.gif")
        """
        if not self.models:
            raise ValueError("the run has not kept its weights: fit(..., keep_weights=True) keeps them")
        from gdcore import animation

        optimizer, lr, *_ = self.settings
        title = f"{self.model.loss.spelling}, {optimizer}" + ("" if lr is None else f", lr = {lr:.4g}")
        animation.save(path, self.models, self._facts["losses"](), title, frames, fps)

    def __repr__(self) -> str:
        return f"Run({self.status} after {self.epochs} epochs, loss {self.loss:.6g}, gradient norm {self.gradient_norm:.3g})"


def _without_data(what: str) -> Callable[..., Any]:
    """What a run does that has come out of a pickle, where data are needed."""

    def refuse(*arguments: object) -> Any:
        raise RuntimeError(f"this run has come out of a pickle or a deep copy, and has no data: it cannot {what}")

    return refuse


class _NoFacts(dict[str, "Callable[[], Any]"]):
    def __missing__(self, name: str) -> Callable[[], Any]:
        if name == "losses":
            return _without_data("be animated: animate it before")
        return _without_data(f"tell its {name}: ask for run.{name} before, and it goes along")


class DivergenceError(ArithmeticError):
    """Training left the finite numbers, or with an lr past its limit climbed above the loss of the all-zero model.

    The message names the epoch, the lr, the limit and the column that drives it, and says what to do.

    Attributes
    ----------
    run : Run
        The run up to its last epoch with a finite loss.
    """

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run

    def __reduce__(self) -> tuple[Any, ...]:
        return DivergenceError, (str(self), self.run)
