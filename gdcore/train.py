"""The loop: forward, loss, gradient, update. `fit` is the loop; `train` is fit seen through the textbook's window."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses, optimizers, rows, threads
from gdcore.backends import BACKENDS
from gdcore.mlp import MLP
from gdcore.models import Linear
from gdcore.run import DivergenceError, Epoch, History, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array
    from gdcore.optimizers import Optimizer

_EPOCHS_PER_CALL = 1 << 16  # bounds the memory reserved for history ahead of the epochs


def fit(
    X: Any,
    Y: Any,
    model: Linear | MLP | None = None,
    loss: str | losses.Loss = "mse",
    optimizer: str | Optimizer | None = None,
    *,
    lr: float,
    epochs: int = 1000,
    batch_size: int | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    sample_weight: Any = None,
    validation: tuple[Any, Any] | None = None,
    schedule: Callable[[int], float] | None = None,
    tol: float | None = None,
    patience: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    callback: Callable[[Epoch], Any] | None = None,
    decimals: int | None = None,
    backend: str = "kernel",
    n_threads: int | None = None,
) -> Run:
    """Trains a model by gradient descent: forward, loss, gradient, update, ``epochs`` times.

    Parameters
    ----------
    X : array (n, d), float32 or float64
        One row a sample, in any memory layout; never copied. Integers and booleans become float64.
    Y : array (n,) or (n, k)
        Targets; for softmax (n,) classes 0 … k − 1.
    model : Linear or MLP, optional
        Where to start; it is not changed. Default: a `Linear` of zeros with a bias, in the shape of the data.
    loss : str or Loss
        A name in `gdcore.losses.LOSSES` or, with a parameter, for example ``gdcore.losses.huber(delta=2.0)``.
    optimizer : str or Optimizer, optional
        A name in `gdcore.optimizers.OPTIMIZERS` or, with parameters, for example ``gdcore.Adam(betas=(0.9, 0.99))``.
        Default: plain gradient descent, W ← W − lr·∇W.
    lr : float
        Learning rate, ≥ 0.
    epochs : int
        Passes over the data, ≥ 0.
    batch_size : int, optional
        Rows per update, 1 … n; the last batch of an epoch may be smaller. Default: all rows.
    l1, l2 : float
        Penalties l1·‖W‖₁, by its proximal step, and (l2/2)·‖W‖²; never on a bias.
    sample_weight : array (n,), optional
        Weights s ≥ 0 of the rows; the loss is then Σ sᵢℓᵢ / Σ sᵢ.
    validation : (Xv, Yv), optional
        Rows that do not train; their loss, without penalties, after each epoch is in ``history.validation_loss``.
    schedule : callable, optional
        The factor on lr in epoch 0, 1, … since the first start (a resumed run goes on counting): see `gdcore.schedules`.
    tol : float, optional
        Stop as soon as the gradient's norm (with l1: that of the smallest subgradient) over all rows is at most this; the
        status is then "converged". With batches this costs one more pass an epoch.
    patience : int, optional
        Stop when the validation loss has not fallen for so many epochs; the status is then "early_stopped". The model
        kept is the best on the validation data, whatever ends the run.
    shuffle : bool
        Whether batches are drawn anew every epoch, by ``seed``, or follow the order of the rows.
    seed : int
        ≥ 0; the same seed gives the same bits.
    callback : callable, optional
        Called after each epoch with an `Epoch` (epoch, loss, validation_loss, gradient_norm, model, gradient);
        returning True stops, and the status is then "early_stopped".
    decimals : int, optional
        Round gradients and weights to this many decimals in every update, as np.round does.
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

    Notes
    -----
    ``history.loss`` is that of all rows after the epoch, penalties included. With batches, and without ``tol``, it is the
    mean of the batches' losses, each at the weights that it met, which costs no pass of its own; ``history.gradient_norm``
    is then NaN.

    Examples
    --------
    >>> import gdcore
    >>> X, Y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
    >>> run = gdcore.fit(X, Y, lr=0.2, epochs=500)
    >>> run.model.weights.round(6), round(float(run.model.bias), 6), run.status
    (array([2.]), 1.0, 'epochs')
    >>> gdcore.fit(X, Y, lr=0.2, epochs=500, tol=1e-6)  # doctest: +ELLIPSIS
    Run(converged after ... epochs, loss ..., gradient norm ...)
    """
    options = _Options(
        lr, loss, optimizer, batch_size, l1, l2, sample_weight, validation, schedule, tol, patience, shuffle, seed,
        callback, decimals, backend, n_threads,
    )  # fmt: skip
    return _Training(X, Y, model, options).run(epochs, History.empty(), None)


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
    >>> _ = gdcore.train(X, Y, weights, lr=0.1, epochs=1, decimals=3, verbose=True)  # doctest: +ELLIPSIS
    epoch: 1
    prediction: [0. 0. 0.]
    target: [2. 4. 6.]
    difference: [2. 4. 6.]
    loss: 18.66666666666666...
    gradients: [-18.667]
    weights: [1.867]
    new prediction: [1.867 3.734 5.601]
    new loss: 0.082548666666666...
    """
    X = rows.table(X)
    Y = rows.targets(Y, X)
    model = Linear(weights, None)
    backend = "kernel" if decimals is None and not verbose else "reference"
    _check_outputs(model, X, Y)
    callback = _Trace(X, Y, model, decimals) if verbose else None
    run = fit(X, Y, model, lr=lr, epochs=epochs, decimals=decimals, callback=callback, backend=backend)
    if run.status == "interrupted":
        raise KeyboardInterrupt
    trained: Array = run.model.weights
    return trained


class _Trace:
    """Prints an epoch as the textbook does."""

    def __init__(self, X: Array, Y: Array, model: Linear, decimals: int | None) -> None:
        self.X, self.Y, self.decimals, self.start = X, Y, decimals, model
        self.prediction: Array | None = None
        self.loss = math.nan

    def _predict(self, model: Any) -> Array:
        # Of all rows, then the first five: a product of five rows alone may differ in its last bit.
        prediction: Array = (self.X @ model.weights.astype(self.X.dtype))[:5]
        return prediction

    def __call__(self, epoch: Epoch) -> None:
        if self.prediction is None:
            weights, bias = self.start.parameters(self.X.dtype)
            self.loss = BACKENDS["reference"].loss(self.X, self.Y.reshape(len(self.Y), -1), weights, bias)
            self.prediction = self._predict(self.start)
        assert epoch.gradient is not None  # a trace is of full batches
        gradients = epoch.gradient[0] if self.decimals is None else np.round(epoch.gradient[0], self.decimals)
        prediction = self._predict(epoch.model)
        print("epoch:", epoch.epoch)
        print("prediction:", _line(self.prediction))
        print("target:", _line(self.Y[:5]))
        print("difference:", _line(self.Y[:5] - self.prediction))
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


class _Options(NamedTuple):
    """The keyword arguments of `fit` that a resumed run keeps."""

    lr: float
    loss: str | losses.Loss
    optimizer: str | Optimizer | None
    batch_size: int | None
    l1: float
    l2: float
    sample_weight: Any
    validation: tuple[Any, Any] | None
    schedule: Callable[[int], float] | None
    tol: float | None
    patience: int | None
    shuffle: bool
    seed: int
    callback: Callable[[Epoch], Any] | None
    decimals: int | None
    backend: str
    n_threads: int | None


class _State:
    """What goes on from epoch to epoch beside the history: parameters, the optimizer's memory, the best model so far."""

    def __init__(self, model: Linear | MLP, dtype: Any, optimizer: Optimizer) -> None:
        self.weights, self.bias = model.parameters(dtype)
        slots = optimizer.slots
        self.memory = np.full((slots, model.state_size), optimizer.initial, dtype) if slots else None
        self.steps = np.zeros(1, np.int64)
        self.best: tuple[float, Array, Array | None] = (math.inf, self.weights, self.bias)
        self.waited = 0

    def copy(self) -> _State:
        other = _State.__new__(_State)
        other.weights, other.bias = self.weights.copy(), None if self.bias is None else self.bias.copy()
        other.memory = None if self.memory is None else self.memory.copy()
        other.steps, other.best, other.waited = self.steps.copy(), self.best, self.waited
        return other

    def keep_best(self, validation_loss: float) -> None:
        if validation_loss < self.best[0]:
            self.best = (validation_loss, self.weights.copy(), None if self.bias is None else self.bias.copy())
            self.waited = 0
        else:
            self.waited += 1


class _Training:
    """One call of fit: its checked arguments, and the loop."""

    def __init__(self, X: Any, Y: Any, model: Linear | MLP | None, options: _Options) -> None:
        self.options = options
        self.loss_function = losses.get(options.loss)
        self.optimizer = optimizers.get(options.optimizer)
        self.lr = _number(options.lr, "lr")
        self.l1, self.l2 = _number(options.l1, "l1"), _number(options.l2, "l2")
        self.tol = None if options.tol is None else _number(options.tol, "tol")
        self.patience = None if options.patience is None else _integer(options.patience, "patience", 1)
        self.seed = _integer(options.seed, "seed", 0, (1 << 63) - 1)
        self.decimals = None if options.decimals is None else _integer(options.decimals, "decimals", -30, 30)
        if not isinstance(options.backend, str) or options.backend not in BACKENDS:
            raise ValueError(f"backend {options.backend!r} is unknown; there is {', '.join(map(repr, BACKENDS))}")
        for name in ("callback", "schedule"):
            if getattr(options, name) is not None and not callable(getattr(options, name)):
                raise TypeError(f"{name} must be callable, found {getattr(options, name)!r}")
        if self.patience is not None and options.validation is None:
            raise ValueError("patience needs validation=(Xv, Yv), the rows whose loss it watches")
        self.n_threads = threads.resolve(options.n_threads)

        self.X = rows.table(X)
        self.n = len(self.X)
        Y = rows.targets(Y, self.X)
        self.model = _starting_model(model, self.X, Y, self.loss_function)
        self.Y = Y.reshape(self.n, -1)
        self.target_shape = Y.shape[1:]
        self.engine = self.model.engine(BACKENDS[options.backend], self.X.dtype)
        self.batch_size = self.n if options.batch_size is None else _integer(options.batch_size, "batch_size", 1, self.n)
        self.sample_weight = None
        if options.sample_weight is not None:
            self.sample_weight = rows.weights_of_rows(options.sample_weight, self.X)
        self.validation = None if options.validation is None else self._validation(options.validation)
        self.objective: dict[str, Any] = {"loss": self.loss_function.name, "parameter": self.loss_function.parameter}

    def run(self, epochs: int, history: History, state: _State | None) -> Run:
        """``epochs`` more epochs after those in ``history``."""
        epochs = _integer(epochs, "epochs", 0)
        self.history = history
        self.first = int(history.epoch[-1]) if len(history) else 0
        # Pieces of history and how much of each is filled: what was done is read off here, wherever a signal strikes.
        self.pieces: list[tuple[Array, Array]] = []
        self.state = _State(self.model, self.X.dtype, self.optimizer) if state is None else state.copy()
        self.loss = self.norm = math.nan
        if self.batch_size == self.n or self.tol is not None:
            self._evaluate()
            self._check_start()
        status = "converged" if self.tol is not None and self.norm <= self.tol else "epochs"
        try:
            while status == "epochs" and (left := epochs - self._done()) > 0:
                status = self._some_epochs(left)
        except KeyboardInterrupt:
            status = "interrupted"
        if status == "diverged" and not self._done():
            self._check_start()  # the first epoch: the data may be to blame
        if self.batch_size < self.n:
            self.loss = self._objective()
        elif self._done():
            self.loss, self.norm = self._last()
        if status == "diverged":
            raise DivergenceError(self._diverged(), self._result("epochs"))
        return self._result(status)

    def _done(self) -> int:
        return sum(int(count[0]) for _, count in self.pieces)

    def _last(self) -> tuple[float, float]:
        columns, count = next(piece for piece in reversed(self.pieces) if piece[1][0])
        return float(columns[0, count[0] - 1]), float(columns[1, count[0] - 1])

    def _some_epochs(self, left: int) -> str:
        """As many epochs as one call of the backend can do: one, where something has to be done after each."""
        callback, state = self.options.callback, self.state
        batches = self.batch_size < self.n
        each = callback is not None or self.validation is not None or batches
        count = 1 if each else min(left, _EPOCHS_PER_CALL)
        epoch = self.first + self._done()
        columns, counted = np.full((5, count), math.nan), np.zeros(1, np.int64)
        columns[4] = self._rates(epoch, count)
        self.pieces.append((columns, counted))
        gradient = None
        if not batches:
            gradient = (self.gradient.copy(), None if self.bias_gradient is None else self.bias_gradient.copy())
        common: dict[str, Any] = dict(
            sample_weight=self.sample_weight, decimals=self.decimals, n_threads=self.n_threads, l1=self.l1, l2=self.l2,
            optimizer=self.optimizer.rule, state=state.memory, steps=state.steps, **self.objective,
        )  # fmt: skip
        if batches:
            status = self.engine.descend_batches(
                self.X, self.Y, state.weights, state.bias, float(columns[4, 0]), self.batch_size, columns[:3], counted,
                order=self._order(epoch), **common,
            )  # fmt: skip
            if status == "epochs" and self.tol is not None:
                self._evaluate()
                columns[0, 0], columns[1, 0] = self.loss, self.norm
                status = "converged" if self.norm <= self.tol else status
        else:
            status = self.engine.descend(
                self.X, self.Y, state.weights, state.bias, self.gradient, self.bias_gradient, columns[4], count,
                columns[:3], counted, tol=-1.0 if self.tol is None else self.tol, **common,
            )  # fmt: skip
        if each and counted[0]:
            stop = self._after_epoch(epoch + 1, columns, gradient)
            status = "early_stopped" if stop and status == "epochs" else status
        result: str = status
        return result

    def _after_epoch(self, epoch: int, columns: Array, gradient: tuple[Array, Array | None] | None) -> bool:
        """Validation, patience, callback; True stops."""
        if self.validation is not None:
            columns[3, 0] = self.engine.loss(
                *self.validation, self.state.weights, self.state.bias, None, self.n_threads, **self.objective
            )
        stop = False
        if self.patience is not None:
            self.state.keep_best(float(columns[3, 0]))
            stop = self.state.waited >= self.patience
        if self.options.callback is not None:
            loss, norm, _, validation_loss, _ = (float(value) for value in columns[:, 0])
            model = self.model.with_parameters(self.state.weights, self.state.bias)
            wish = self.options.callback(Epoch(epoch, loss, validation_loss, norm, model, gradient))
            stop = stop or (isinstance(wish, (bool, np.bool_)) and bool(wish))
        return stop

    def _rates(self, epoch: int, count: int) -> Any:
        if self.options.schedule is None:
            return self.lr
        factors = [self.options.schedule(e) for e in range(epoch, epoch + count)]
        return [_number(self.lr * factor, f"lr · schedule({epoch + i})") for i, factor in enumerate(factors)]

    def _order(self, epoch: int) -> Array | None:
        if not self.options.shuffle:
            return None
        order = np.empty(self.n, np.int64)
        self.engine.permutation(order, self.seed, epoch)
        return order

    gradient: Array
    bias_gradient: Array | None
    norm: float

    def _evaluate(self) -> None:
        """Objective and gradient of all rows at the weights as they are."""
        with np.errstate(over="ignore", invalid="ignore"):
            self.loss, self.gradient, self.bias_gradient = self.engine.loss_gradient(
                self.X, self.Y, self.state.weights, self.state.bias, self.sample_weight, self.n_threads,
                l1=self.l1, l2=self.l2, **self.objective,
            )  # fmt: skip
            self.norm = float(self.engine.gradient_norm(self.state.weights, self.gradient, self.bias_gradient, self.l1))

    def _objective(self) -> float:
        """Objective of all rows at the weights as they are."""
        with np.errstate(over="ignore", invalid="ignore"):
            value: float = self.engine.loss(
                self.X, self.Y, self.state.weights, self.state.bias, self.sample_weight, self.n_threads,
                l1=self.l1, l2=self.l2, **self.objective,
            )  # fmt: skip
        return value

    def _check_start(self) -> None:
        """NaN and infinity show in the first loss and gradient: find where they come from."""
        if math.isfinite(self.loss) and math.isfinite(self.norm):
            return
        rows.check_finite(self.X, "X")
        rows.check_finite(self.Y.reshape(self.n, *self.target_shape), "Y")
        if math.isnan(self.loss) and math.isfinite(self._objective()):
            return
        largest = max(float(np.max(np.abs(block))) for block in rows.blocks(self.X))
        raise ValueError(
            f"the loss overflows {self.X.dtype} before the first epoch: X has values up to {largest:.3g}, Y up to "
            f"{float(np.max(np.abs(self.Y))):.3g}, the weights up to {float(np.max(np.abs(self.state.weights))):.3g}; "
            "scale the columns of X, or Y"
        )

    def _validation(self, validation: Any) -> tuple[Array, Array]:
        try:
            Xv, Yv = validation
        except (TypeError, ValueError):
            raise TypeError("validation must be a pair (Xv, Yv)") from None
        Xv = rows.table(Xv, "validation X")
        Yv = rows.targets(Yv, Xv, "validation Y", "validation X")
        if Xv.shape[1] != self.X.shape[1]:
            raise ValueError(f"validation X has {Xv.shape[1]} columns, but X has {self.X.shape[1]}")
        if Yv.shape[1:] != self.target_shape:
            raise ValueError(f"validation Y has shape {Yv.shape}, but Y has shape {(self.n, *self.target_shape)}")
        rows.check_finite(Xv, "validation X")
        rows.check_finite(Yv, "validation Y")
        rows.labels(Yv, self.loss_function.targets, _classes(self.model, self.loss_function), "validation Y")
        dtype = self.X.dtype
        return rows.cast(Xv, dtype, "validation X"), rows.cast(Yv, dtype, "validation Y").reshape(len(Yv), -1)

    def _result(self, status: str) -> Run:
        history = self.history
        if self._done():
            filled = [columns[:, : int(count[0])] for columns, count in self.pieces]
            loss, norm, seconds, validation_loss, lr = np.concatenate(filled, axis=1)
            later = History(
                epoch=np.arange(self.first + 1, self.first + 1 + len(loss)),
                loss=loss,
                validation_loss=validation_loss,
                gradient_norm=norm,
                lr=lr,
                seconds=seconds,
            )
            history = history + later if len(history) else later
        weights, bias = self.state.weights, self.state.bias
        loss_now, norm_now = self.loss, self.norm
        if self.patience is not None and self.state.best[0] < math.inf:
            _, self.state.weights, self.state.bias = self.state.best
            loss_now, norm_now = self._objective(), math.nan
            self.state.weights, self.state.bias = weights, bias
            _, weights, bias = self.state.best
        model = self.model.with_parameters(weights, bias)
        model.loss = self.loss_function
        return Run(model, history, status, loss_now, norm_now, self._resume)

    def _resume(self, run: Run, X: Any, Y: Any, epochs: int, changes: dict[str, Any]) -> Run:
        unknown = set(changes) - set(_Options._fields)
        if unknown:
            raise TypeError(f"resume() got an unexpected keyword argument {min(unknown)!r}")
        later = _Training(X, Y, run.model, self.options._replace(**changes))
        same = later.X.dtype == self.X.dtype and later.optimizer.rule == self.optimizer.rule
        return later.run(epochs, run.history, self.state if same else None)

    def _diverged(self) -> str:
        return (
            f"the loss left the finite numbers in epoch {self.first + self._done() + 1} at lr = {self.lr:g}; its last finite "
            f"value was {self.loss:.6g}. Take a smaller lr: gradient descent diverges above 2/λmax, where λmax is the largest "
            "eigenvalue of the Hessian (for mse of 2·XᵀX/n), which grows with the square of X's values. "
            "The run up to there is .run of this error."
        )


def _starting_model(model: Linear | MLP | None, X: Array, Y: Array, loss: losses.Loss) -> Linear | MLP:
    if model is None:
        rows.labels(Y, loss.targets, None)
        outputs = Y.shape[1:] if loss.targets != "classes" else (max(2, int(Y.max()) + 1),)
        model = Linear.zeros(X, outputs)
    if not isinstance(model, (Linear, MLP)):
        raise TypeError(f"model must be a gdcore.Linear, a gdcore.MLP or None, found {type(model).__name__}")
    model.check_columns(X)
    if loss.targets == "classes":
        if Y.ndim != 1:
            raise ValueError(f"softmax wants Y of shape (n,), classes, found shape {Y.shape}")
        if not model.outputs or model.outputs[0] < 2:
            raise ValueError(f"softmax wants a model with at least 2 outputs, found outputs of shape {model.outputs}")
    else:
        _check_outputs(model, X, Y)
    rows.labels(Y, loss.targets, _classes(model, loss))
    return model


def _classes(model: Linear | MLP, loss: losses.Loss) -> int | None:
    return model.outputs[0] if loss.targets == "classes" else None


def _check_outputs(model: Linear | MLP, X: Array, Y: Array) -> None:
    model.check_columns(X)
    if model.outputs != Y.shape[1:] and not (isinstance(model, MLP) and Y.ndim == 1 and model.outputs == (1,)):
        predicts = (len(X), *model.outputs)
        whose = f"weights of shape {model.weights.shape}" if isinstance(model, Linear) else f"the outputs of {model!r}"
        raise ValueError(f"Y has shape {Y.shape}, but {whose} predict {predicts}: give both one column or both none")


def _number(value: Any, name: str) -> float:
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


def _integer(value: Any, name: str, low: int, high: int | None = None) -> int:
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
