"""The loop: forward, loss, gradient, update. `fit` is the loop; `train` is fit seen through the textbook's window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses, rows, threads
from gdcore.backends import BACKENDS
from gdcore.models import Linear
from gdcore.run import DivergenceError, Epoch, History, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array

_EPOCHS_PER_CALL = 1 << 16  # bounds the memory reserved for history ahead of the epochs


def fit(
    X: Any,
    Y: Any,
    model: Linear | None = None,
    loss: str = "mse",
    *,
    lr: float,
    epochs: int = 1000,
    sample_weight: Any = None,
    validation: tuple[Any, Any] | None = None,
    tol: float | None = None,
    callback: Callable[[Epoch], Any] | None = None,
    decimals: int | None = None,
    backend: str = "kernel",
    n_threads: int | None = None,
) -> Run:
    """Trains a model by full-batch gradient descent: W ← W − lr·∇W, b ← b − lr·∇b, ``epochs`` times.

    Parameters
    ----------
    X : array (n, d), float32 or float64
        One row a sample, in any memory layout; never copied. Integers and booleans become float64.
    Y : array (n,) or (n, k)
        Targets.
    model : Linear, optional
        Where to start; it is not changed. Default: zeros, with a bias.
    loss : {"mse"}
        See `gdcore.losses`. For mse, loss = ‖Y − Ŷ‖²/n and ∇W = −2·Xᵀ(Y − Ŷ)/n.
    lr : float
        Learning rate, ≥ 0.
    epochs : int
        Passes over the data, ≥ 0.
    sample_weight : array (n,), optional
        Weights s ≥ 0 of the rows; the loss is then Σ sᵢℓᵢ / Σ sᵢ.
    validation : (Xv, Yv), optional
        Rows that do not train; their loss after each epoch is in ``history.validation_loss``.
    tol : float, optional
        Stop as soon as the gradient's norm is at most this; the status is then "converged".
    callback : callable, optional
        Called after each epoch with an `Epoch` (epoch, loss, validation_loss, gradient_norm, model, gradient);
        returning True stops, and the status is then "early_stopped".
    decimals : int, optional
        Round gradients and weights to this many decimals in every epoch, as np.round does.
    backend : {"kernel", "reference"}
        Cython or NumPy.
    n_threads : int, optional
        For the kernel; the result is the same, bit for bit, for any number. Default: see `gdcore.threads`.

    Returns
    -------
    Run
        With the trained ``model``, ``history``, ``status``. Ctrl-C ends the run after its last whole epoch, with status
        "interrupted".

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was found and what is wanted.
    DivergenceError
        The loss left the finite numbers; the run up to then is its ``.run``.

    Examples
    --------
    >>> import gdcore
    >>> X, Y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
    >>> run = gdcore.fit(X, Y, lr=0.2, epochs=500)
    >>> run
    Run(epochs after 500 epochs, loss 4.83541e-30, gradient norm 3.6e-15)
    >>> run.model.weights.round(6), round(float(run.model.bias), 6)
    (array([2.]), 1.0)
    """
    options = _Options(lr, loss, sample_weight, validation, tol, callback, decimals, backend, n_threads)
    return _Training(X, Y, model, options).run(epochs, History.empty())


def train(X: Any, Y: Any, weights: Any, lr: float, epochs: int, decimals: int | None = None, verbose: bool = False) -> Array:
    """The loop of the textbook: forward, loss, gradients = −2·Xᵀ(Y − Ŷ)/n, weights −= lr·gradients, ``epochs`` times.

    Parameters
    ----------
    X : array (n, d)
        One row a sample; for a bias, one column of ones.
    Y : array (n,) or (n, k)
        Targets, of the shape that X @ weights has.
    weights : array (d,) or (d, k)
        Where to start; not changed.
    lr : float
        Learning rate.
    epochs : int
        How often to go through the data.
    decimals : int, optional
        Round gradients and weights in every epoch, as np.round does. A value halfway between two roundings is decided by
        its last bit, so this runs on the NumPy backend, whose operations are the textbook's own.
    verbose : bool
        Print every epoch, one labelled line each: epoch; prediction, target and difference of the first five samples;
        loss; gradients; weights after the update; new prediction; new loss.

    Returns
    -------
    array
        The trained weights, in the shape of ``weights`` and the dtype of X.

    Raises
    ------
    ValueError, TypeError, DivergenceError
        As `fit`. KeyboardInterrupt on Ctrl-C.

    Examples
    --------
    >>> import gdcore
    >>> X, Y, weights = [[1.0], [2.0], [3.0]], [[2.0], [4.0], [6.0]], [[0.0]]
    >>> gdcore.train(X, Y, weights, lr=0.1, epochs=20)
    array([[2.]])
    >>> _ = gdcore.train(X, Y, weights, lr=0.1, epochs=1, decimals=3, verbose=True)
    epoch: 1
    prediction: [0. 0. 0.]
    target: [2. 4. 6.]
    difference: [2. 4. 6.]
    loss: 18.666666666666668
    gradients: [-18.667]
    weights: [1.867]
    new prediction: [1.867 3.734 5.601]
    new loss: 0.08254866666666669
    """
    X = rows.table(X)
    Y = rows.targets(Y, X)
    model = Linear(weights, None)
    backend = "kernel" if decimals is None and not verbose else "reference"
    callback = _Trace(X, Y, model, decimals) if verbose else None
    run = fit(X, Y, model, lr=lr, epochs=epochs, decimals=decimals, callback=callback, backend=backend)
    if run.status == "interrupted":
        raise KeyboardInterrupt
    return run.model.weights


class _Trace:
    """Prints an epoch as the textbook does."""

    def __init__(self, X: Array, Y: Array, model: Linear, decimals: int | None) -> None:
        self.X, self.Y, self.decimals = X[:5], Y[:5], decimals
        self.loss: float | None = None
        self.prediction = self._predict(model)
        self.before = (X, Y, model)

    def _predict(self, model: Linear) -> Array:
        prediction: Array = self.X @ model.weights.astype(self.X.dtype)
        return prediction

    def __call__(self, epoch: Epoch) -> None:
        if self.loss is None:
            self.loss = _loss_of(*self.before)
        gradients = epoch.gradient[0] if self.decimals is None else np.round(epoch.gradient[0], self.decimals)
        prediction = self._predict(epoch.model)
        print("epoch:", epoch.epoch)
        print("prediction:", _line(self.prediction))
        print("target:", _line(self.Y))
        print("difference:", _line(self.Y - self.prediction))
        print("loss:", self.loss)
        print("gradients:", _line(gradients))
        print("weights:", _line(epoch.model.weights))
        print("new prediction:", _line(prediction))
        print("new loss:", epoch.loss)
        self.loss, self.prediction = epoch.loss, prediction


def _line(values: Array) -> str:
    """An array on one line: (n, 1) as its n numbers."""
    flat = values.ravel() if values.ndim == 1 or values.shape[1] == 1 else values
    return np.array2string(flat, max_line_width=10**9).replace("\n", "")


def _loss_of(X: Array, Y: Array, model: Linear) -> float:
    weights, bias = model.parameters(X.dtype)
    value: float = BACKENDS["reference"].loss(X, Y.reshape(len(Y), -1), weights, bias)
    return value


class _Options(NamedTuple):
    """The keyword arguments of `fit` that a resumed run keeps."""

    lr: float
    loss: str
    sample_weight: Any
    validation: tuple[Any, Any] | None
    tol: float | None
    callback: Callable[[Epoch], Any] | None
    decimals: int | None
    backend: str
    n_threads: int | None


class _Training:
    """One call of fit: its checked arguments, the state between epochs, and the loop."""

    def __init__(self, X: Any, Y: Any, model: Linear | None, options: _Options) -> None:
        self.options = options
        losses.get(options.loss)
        self.lr = _number(options.lr, "lr")
        self.tol = -1.0 if options.tol is None else _number(options.tol, "tol")
        self.decimals = None if options.decimals is None else _integer(options.decimals, "decimals", low=-300)
        if options.backend not in BACKENDS:
            raise ValueError(f"backend {options.backend!r} is unknown; there is {', '.join(map(repr, BACKENDS))}")
        self.backend = BACKENDS[options.backend]
        if options.callback is not None and not callable(options.callback):
            raise TypeError(f"callback must be callable, found {options.callback!r}")
        self.n_threads = threads.resolve(options.n_threads)

        self.X = rows.table(X)
        Y = rows.targets(Y, self.X)
        self.sample_weight = None
        if options.sample_weight is not None:
            self.sample_weight = rows.weights_of_rows(options.sample_weight, self.X)
        self.model = _starting_model(model, self.X, Y)
        self.Y = Y.reshape(len(Y), -1)
        self.validation = None if options.validation is None else _validation(options.validation, self.X, Y)
        self.weights, self.bias = self.model.parameters(self.X.dtype)

    def run(self, epochs: int, history: History) -> Run:
        """``epochs`` more epochs after those in ``history``."""
        epochs = _integer(epochs, "epochs", low=0)
        self.history = history
        self.first = int(history.epoch[-1]) if len(history) else 0
        self.columns: list[Array] = []  # pieces of history, (4, …): loss, gradient norm, seconds, validation loss
        with np.errstate(over="ignore", invalid="ignore"):
            self.loss, self.gradient, self.bias_gradient = self.backend.loss_gradient(
                self.X, self.Y, self.weights, self.bias, self.sample_weight, self.n_threads
            )
            self.norm = self._gradient_norm()
        self._check_start()

        done = np.zeros(1, np.int64)
        status = "converged" if self.norm <= self.tol else "epochs"
        try:
            while status == "epochs" and done[0] < epochs:
                status = self._some_epochs(epochs, done)
        except KeyboardInterrupt:
            status = "interrupted"
        if status == "diverged":
            raise DivergenceError(self._diverged(int(done[0])), self._result("epochs"))
        return self._result(status)

    def _some_epochs(self, epochs: int, done: Array) -> str:
        """As many epochs as can be done in one call of the backend: one, where Python has to look at each."""
        callback = self.options.callback
        each = callback is not None or self.validation is not None
        count = 1 if each else min(epochs - int(done[0]), _EPOCHS_PER_CALL)
        columns = np.full((4, count), math.nan)
        stepped_along = (self.gradient.copy(), None if self.bias_gradient is None else self.bias_gradient.copy())
        counted = np.zeros(1, np.int64)
        try:
            status: str = self.backend.descend(
                self.X, self.Y, self.weights, self.bias, self.gradient, self.bias_gradient, self.lr, count, columns[:3],
                counted, self.sample_weight, self.tol, self.decimals, self.n_threads,
            )  # fmt: skip
        finally:
            # Whole epochs are kept, whatever ended the call.
            finished = int(counted[0])
            done += finished
            if finished:
                self.columns.append(columns[:, :finished])
                self.loss, self.norm = float(columns[0, finished - 1]), float(columns[1, finished - 1])
        if each and finished:
            if self.validation is not None:
                columns[3, 0] = self.backend.loss(*self.validation, self.weights, self.bias, None, self.n_threads)
            if callback is not None:
                epoch = self.first + int(done[0])
                seen = Epoch(epoch, self.loss, float(columns[3, 0]), self.norm, self._current_model(), stepped_along)
                if callback(seen) is True and status == "epochs":
                    return "early_stopped"
        return status

    def _gradient_norm(self) -> float:
        squares = [np.sum(np.square(g, dtype=np.float64)) for g in (self.gradient, self.bias_gradient) if g is not None]
        return math.sqrt(sum(squares))

    def _check_start(self) -> None:
        """NaN and infinity show in the first loss and gradient: find where they come from."""
        if math.isfinite(self.loss) and math.isfinite(self.norm):
            return
        rows.check_finite(self.X, "X")
        rows.check_finite(self.Y, "Y")
        largest = max(float(np.max(np.abs(block))) for block in rows.blocks(self.X))
        raise ValueError(
            f"the loss overflows {self.X.dtype} before the first epoch: X has values up to {largest:.3g}, Y up to "
            f"{float(np.max(np.abs(self.Y))):.3g}, the weights up to {float(np.max(np.abs(self.weights))):.3g}; "
            "scale the columns of X, or Y"
        )

    def _current_model(self) -> Linear:
        return self.model.with_parameters(self.weights, self.bias)

    def _result(self, status: str) -> Run:
        history = self.history
        if self.columns:
            loss, norm, seconds, validation_loss = np.concatenate(self.columns, axis=1)
            later = History(
                epoch=np.arange(self.first + 1, self.first + 1 + len(loss)),
                loss=loss,
                validation_loss=validation_loss,
                gradient_norm=norm,
                lr=np.full(len(loss), self.lr),
                seconds=seconds,
            )
            history = history + later if len(history) else later
        return Run(self._current_model(), history, status, self.loss, self.norm, self._resume)

    def _resume(self, run: Run, X: Any, Y: Any, epochs: int, changes: dict[str, Any]) -> Run:
        unknown = set(changes) - set(_Options._fields)
        if unknown:
            raise TypeError(f"resume() got an unexpected keyword argument {min(unknown)!r}")
        return _Training(X, Y, run.model, self.options._replace(**changes)).run(epochs, run.history)

    def _diverged(self, done: int) -> str:
        return (
            f"the loss left the finite numbers in epoch {self.first + done + 1} at lr = {self.lr:g}; its last finite value "
            f"was {self.loss:.6g}. Take a smaller lr: gradient descent diverges above 2/λmax, where λmax is the largest "
            "eigenvalue of 2·XᵀX/n, which grows with the square of X's values. The run up to there is .run of this error."
        )


def _starting_model(model: Linear | None, X: Array, Y: Array) -> Linear:
    if model is None:
        return Linear.zeros(X, Y)
    if not isinstance(model, Linear):
        raise TypeError(f"model must be a gdcore.Linear or None, found {type(model).__name__}")
    model._check_columns(X)
    if model.weights.shape[1:] != Y.shape[1:]:
        raise ValueError(
            f"Y has shape {Y.shape}, but weights of shape {model.weights.shape} predict "
            f"{(len(X), *model.weights.shape[1:])}: give both one column or both none"
        )
    return model


def _validation(validation: Any, X: Array, Y: Array) -> tuple[Array, Array]:
    try:
        Xv, Yv = validation
    except (TypeError, ValueError):
        raise TypeError("validation must be a pair (Xv, Yv)") from None
    Xv = rows.table(Xv, "validation X")
    Yv = rows.targets(Yv, Xv, "validation Y", "validation X")
    if Xv.shape[1] != X.shape[1]:
        raise ValueError(f"validation X has {Xv.shape[1]} columns, but X has {X.shape[1]}")
    if Yv.shape[1:] != Y.shape[1:]:
        raise ValueError(f"validation Y has shape {Yv.shape}, but Y has shape {Y.shape}")
    rows.check_finite(Xv, "validation X")
    rows.check_finite(Yv, "validation Y")
    return rows.cast(Xv, X.dtype, "validation X"), rows.cast(Yv, X.dtype, "validation Y").reshape(len(Yv), -1)


def _number(value: Any, name: str) -> float:
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__") or np.ndim(value) != 0 or np.iscomplexobj(value):
        raise TypeError(f"{name} must be a number, found {value!r}")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and not negative, found {value!r}")
    return float(value)


def _integer(value: Any, name: str, low: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, found {value!r}")
    if value.__index__() < low:
        raise ValueError(f"{name} must be at least {low}, found {value!r}")
    return int(value)
