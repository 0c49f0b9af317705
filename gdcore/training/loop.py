"""The loop behind `gdcore.fit`: checks what it is given, chooses how to descend, and goes on epoch after epoch."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses, optimizers
from gdcore.checks import integer, number
from gdcore.facts import gap, scales
from gdcore.facts.metric import Metric
from gdcore.facts.quadratic import rows_like
from gdcore.facts.spectrum import Spectrum
from gdcore.models.linear import Linear
from gdcore.models.mlp import MLP
from gdcore.optimizers import schedules
from gdcore.rows import arrays
from gdcore.run import MOST_EPOCHS, DivergenceError, Epoch, History, Method, Run
from gdcore.solvers.backtracking import Backtracking
from gdcore.solvers.closed import Closed
from gdcore.solvers.nesterov import SMOOTHING, Nesterov
from gdcore.solvers.newton import LEEWAY, Newton, Numbers
from gdcore.solvers.stream import EPOCHS_PER_CALL, Solved, Stream
from gdcore.store import fingerprints
from gdcore.training import endings, limits, observers
from gdcore.training.options import Options
from gdcore.training.problem import GRAM_COLUMNS, HESSIAN_SIZE, Problem, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array
    from gdcore.optimizers import Optimizer
    from gdcore.training.checkpoints import Keeper

_FASTER = 8  # so many times the epochs of a call the next one may have, while it is found out how many take how long
_ROUND = 1e5  # up to this condition of the scaled second moments their solution has all digits that matter
_ROW = ("loss", "gradient_norm", "seconds", "validation_loss", "lr", "epoch")  # of a piece of history


class _State:
    """What goes on from epoch to epoch beside the history: parameters, the optimizer's memory, the best model so far."""

    def __init__(self, model: Linear | MLP, dtype: Any, optimizer: Optimizer) -> None:
        self.weights, self.bias = model.parameters(dtype)
        slots = optimizer.slots
        # Nesterov's is kept in float64: its steps are made there, whatever X's dtype.
        own = isinstance(optimizer, (optimizers.Nesterov, optimizers.Newton))
        kept = np.float64 if own else dtype
        self.memory = np.full((slots, model.state_size), optimizer.initial, kept) if slots else None
        self.steps = np.zeros(1, np.int64)
        self.scalars = np.zeros(8)
        self.origin: Any = None
        self.done = 0  # epochs in this call, as the steppers in Python count them
        self.quick = math.inf  # what the last look at tol saw
        self.judged: tuple[Any, bool] | None = None  # tol, and what a look at it said of these weights; None: nobody looked
        self.best: tuple[float, Array, Array | None] = (math.inf, self.weights, self.bias)
        self.waited = 0
        self.compared = 0  # the last epoch whose validation loss was compared with the best

    def copy(self, dtype: Any = None) -> _State:
        """A copy; in another dtype where the epochs of another method, over second moments or over rows, go on in that."""
        other = _State.__new__(_State)
        own = self.weights.dtype
        dtype = own if dtype is None else dtype
        other.weights, other.bias = self.weights.astype(dtype), None if self.bias is None else self.bias.astype(dtype)
        other.memory = self.memory
        if self.memory is not None:
            other.memory = self.memory.astype(dtype if self.memory.dtype == own else self.memory.dtype)
        other.steps, other.best, other.waited = self.steps.copy(), self.best, self.waited
        other.scalars, other.origin, other.done = self.scalars.copy(), self.origin, self.done
        other.quick, other.judged, other.compared = self.quick, self.judged, self.compared
        return other

    def keep_best(self, epoch: int, validation_loss: float) -> None:
        best, waited = self.best, self.waited + 1
        if validation_loss < best[0]:
            best, waited = (validation_loss, self.weights.copy(), None if self.bias is None else self.bias.copy()), 0
        if epoch > self.compared:
            # One statement: a signal strikes before it or after it.
            self.best, self.waited, self.compared = best, waited, epoch


class Training(Problem):
    """One call of fit: a problem, how it descends, and the loop."""

    def __init__(self, X: Any, Y: Any, model: Linear | MLP | None, options: Options) -> None:
        options = options.checked()
        self.auto = isinstance(options.lr, str)
        # None: the stepper finds it
        self.lr: float | None = None if isinstance(options.lr, str) else options.lr
        self.patience, self.seed, self.decimals = options.patience, options.seed, options.decimals
        super().__init__(X, Y, model, options)
        self._choose_optimizer()
        self.tol: float | None = options.tol
        if options.tol is None and self.auto and not self.batches:
            self.tol = self.default_tol()
        looked_at = options.callback is not None or options.keep_weights or options.verbose
        self.each = looked_at or self.validation is not None

    def _choose_optimizer(self) -> None:
        """The optimizer and the metric; which of them go together."""
        given, wish = self.options.optimizer, self.options.precondition
        whole = self.linear and not self.batches and self.decimals is None
        accelerate = self.auto and whole and given is None
        self.optimizer = optimizers.get(given)
        asked = isinstance(self.optimizer, optimizers.Newton)
        serves = self.auto and whole and wish in ("auto", "gram") and self.hessian_serves
        if asked and not serves:
            raise ValueError(
                "optimizer 'newton' is for lr='auto', linear models of up to 2,048 columns, for softmax k·(columns + 1) up to "
                f"{HESSIAN_SIZE:,}, all rows at once, no decimals, and precondition 'auto' or 'gram'"
            )
        # Squared error's moments alone solve it.
        self.newton = asked or (accelerate and serves and not (self.squared and self.l1 == 0))
        if accelerate:
            self.optimizer = optimizers.Newton() if self.newton else optimizers.Nesterov()
        accelerated = isinstance(self.optimizer, optimizers.Nesterov)
        plain = isinstance(self.optimizer, optimizers.SGD) and not self.optimizer.slots
        if accelerated and not whole:
            raise ValueError("optimizer 'nesterov' is for linear models, all rows at once, and no decimals")
        if wish == "auto":
            self.precondition = None
            if self.auto and (accelerated or self.newton):
                self.precondition = "gram" if self.d <= GRAM_COLUMNS else "diagonal"
        else:
            self.precondition = wish
            if wish is not None and not (whole and (accelerated or plain or self.newton)):
                raise ValueError(
                    f"precondition={wish!r} is for linear models, all rows at once, no decimals, and the optimizers "
                    "'nesterov' and plain 'sgd'"
                )
        self.preconditioned = accelerated or self.newton or self.precondition is not None
        if self.preconditioned and self.loss_function.curvature is None and self.precondition is None:
            raise ValueError(
                f"{self.loss_function.name} has no curvature bound: optimizer 'nesterov' needs precondition 'gram' or "
                "'diagonal'"
            )
        if plain and self.precondition is not None:
            self.optimizer = optimizers.Nesterov()
        # In squared error's own metric a plain step already ends at the best weights.
        self.accelerate = accelerated and not (self.squared and self.precondition == "gram")

    def default_tol(self) -> float:
        """tol where none is given."""
        if self.loss_function.curvature is None and self.linear:
            return 1e-8 if self.newton else 1e-4
        return 1e-10 if self.X.dtype == np.float64 else 1e-6

    # How it descends ----------------------------------------------------------------------------------------------------

    def _plan(self, epochs: int, asked: list[int] | None, kept: Method | None) -> None:
        """Chooses the method, the learning rate and who runs the epochs."""
        self.schedule: Callable[[int], float] | None = self.options.schedule
        self.ceiling = math.inf
        self.method = kept if kept is not None else self._method(epochs, asked)
        if self.newton:
            self.stepper: Any = Newton(self)
        elif self.preconditioned:
            self.stepper = Nesterov(self, self.precondition, self.accelerate)
        elif self.auto and not self.linear:
            self.stepper = self._network()
        else:
            if self.auto:
                self.lr = self._rate()
            self.stepper = Closed(self, asked) if self.method == "exact" else Stream(self)
        if self.table and self.method == "stream":
            self.X.keep()
        self.passes = (self.X, self.Y, self.sample_weight)
        self.engine_now = self.backend if self.method == "gram" else self.engine
        if self.method == "gram" and self.preconditioned:
            self.engine_now = Solved(self.quadratic, self.backend)
        elif self.method == "gram":
            X, Y = rows_like(self.moments, self.has_bias)
            self.passes = (X, Y, None)

    def _method(self, epochs: int, asked: list[int] | None) -> Method:
        wish = self.options.method
        reasons = {
            "it is a network": not self.linear,
            "the loss is not mse": not self.squared,
            "it goes in batches": self.batches,
            f"X has more than {GRAM_COLUMNS:,} columns": self.d > GRAM_COLUMNS,
        }
        closed = {
            "gradients are rounded": self.decimals is not None,
            "there is an l1 penalty": self.l1 > 0,
            "the optimizer is not SGD": not isinstance(self.optimizer, optimizers.SGD),
            "the learning rate changes": self.options.schedule is not None,
            "it is preconditioned": self.preconditioned,
        }
        watched = {
            "tol is watched": self.tol is not None and not self.auto,
            "every epoch is watched": self.each,
        }
        no_gram = next((reason for reason, holds in reasons.items() if holds), None)
        no_closed = no_gram or next((reason for reason, holds in (closed | watched).items() if holds), None)
        if wish == "exact":
            if no_closed is not None:
                raise ValueError(f"method 'exact' is not for this: {no_closed}")
            if not self._trusted():
                raise ValueError(f"method 'exact' is not for this: {self._doubt()}")
            return Method("exact", f"{epochs:,} epochs by formula")
        if wish == "gram":
            if no_gram is not None:
                raise ValueError(f"method 'gram' is not for this: {no_gram}")
            if not self._trusted():
                raise ValueError(f"method 'gram' is not for this: {self._doubt()}")
            return Method("gram", f"epochs of {self.d}² multiply-adds instead of {self.n:,} · {self.d}")
        if wish == "stream":
            return Method("stream", "as asked")
        if self.preconditioned and no_gram is None and self.precondition == "gram":
            # One pass tells all, unless second moments have lost digits that a gradient from the rows brings back.
            metric = self.quadratic.metric
            condition = metric.within if metric.null.shape[1] and self.clear else metric.condition
            if condition <= _ROUND:
                return Method("gram", "few epochs on the second moments solve it")
            return Method(
                "stream", f"the scaled condition {condition:.2g} costs digits that gradients from the rows bring back"
            )
        if no_gram is not None or self.decimals is not None or self.preconditioned or self.options.callback is not None:
            why = no_gram or ("few epochs are enough" if self.preconditioned else "every epoch is needed as it is")
            return Method("stream", why)
        # The cost model, in multiply-adds: 2·n·d an epoch; n·p²/8 for the moments, which run from cache, at four times the
        # speed; 2·p² an epoch on their table; 12·p³ for the eigenvectors.
        n, d, p = self.n, self.d, self.d + self.outputs + 1
        stream = 2.0 * n * d * self.outputs * epochs
        measure = n * p * p / 8
        gram, exact = measure + 2.0 * p * p * epochs, measure + 12.0 * p**3 + 4.0 * p * min(epochs, 10_000)
        if stream < 1e8 or stream < 2 * min(gram, math.inf if no_closed else exact):
            return Method("stream", "it costs least")
        if not self._trusted():
            return Method("stream", self._doubt())
        if no_closed is None and exact < gram:
            return Method("exact", f"{epochs:,} epochs by formula cost {stream / exact:,.0f} times less than one by one")
        return Method("gram", f"{epochs:,} epochs cost {stream / gram:,.0f} times less than over {self.n:,} rows")

    def _doubt(self) -> str:
        condition = max(self.spectrum.condition or 0.0, self.quadratic.metric.condition)
        return f"the Gram matrix's condition, {condition:.2g}, is past what float64 carries"

    def _rate(self) -> float:
        """lr="auto" of an optimizer without a metric."""
        if self.optimizer.lr is not None:
            return self.optimizer.lr
        if self.loss_function.curvature is None:
            # steps that move predictions by about their mean error, decreasing
            if self.schedule is None:
                self.schedule = schedules.root()  # type: ignore[assignment]
            top = Spectrum(self.moments.of_columns(), self.has_bias, losses.mse(), 0.0).largest / 2
            spread = np.sqrt(np.diag(self.moments.scatter)[self.d :] / self.moments.total)
            size = 0.6 * float(np.mean(spread)) or 1.0
            return size / top if top > 0 else 1.0
        if self.batches:
            return self.spectrum.batch_lr(self.batch_size)
        top = self.spectrum.largest + self.spectrum.error
        return 1 / top if top > 0 else 1.0

    def _network(self) -> Any:
        """Who runs a network's epochs when the learning rate is its own matter."""
        if self.optimizer.lr is not None:
            self.lr = self.optimizer.lr
            return Stream(self)
        if self.batches or self.optimizer.slots or self.decimals is not None:
            return Stream(self, searching=True)
        if self.schedule is not None:
            raise ValueError(
                "schedule is a factor on a learning rate, and with lr='auto' a network's is found by trying in every epoch: "
                "give a number for lr"
            )
        return Backtracking(self)

    limit: limits.Limit | None = None
    """Above it the learning rate diverges; None where that is not known."""

    jump: tuple[int, float] | None = None
    """The epoch that climbed above the ceiling or left the finite numbers, and its loss."""

    kept: list[Any] | None = None
    """The models of a run that goes on, where it has kept them."""

    depth = 5
    """Of the caller's line, for warnings."""

    @property
    def stop_above(self) -> float:
        """The loss that ends the epochs: the ceiling; where a divergence is watched, what no sum over the rows holds."""
        return float(np.finfo(self.X.dtype).max) / self.n if self.options.on_divergence == "keep" else self.ceiling

    # The loop ------------------------------------------------------------------------------------------------------------

    def run(
        self, epochs: Any, history: History, state: _State | None, kept: Method | None = None, keeper: Keeper | None = None
    ) -> Run:
        """``epochs`` more epochs after those in ``history``; with a keeper so many in all, after those that it has stored."""
        asked = None
        if self.options.method == "exact" and np.ndim(epochs) == 1:
            asked = [integer(epoch, "epochs", 1) for epoch in epochs]
            if not asked or any(a >= b for a, b in itertools.pairwise(asked)):
                raise ValueError(f"epochs must be a number, or increasing numbers for method 'exact', found {epochs!r}")
            epochs = asked[-1]
        in_all = epochs = integer(epochs, "epochs", 0)
        if epochs > (most := MOST_EPOCHS - (int(history.epoch[-1]) if len(history) else 0)):
            raise ValueError(f"epochs must be at most {most}, found {epochs}")
        stored = None if keeper is None else keeper.open(self)
        if stored is not None:
            history, state, kept = stored.history, stored.state, stored.method
        self.history = history
        self.first = int(history.epoch[-1]) if len(history) else 0
        if stored is not None:
            epochs = max(0, in_all - self.first)
            asked = None if asked is None else [epoch - self.first for epoch in asked if epoch > self.first]
        # Pieces of history and how much of each is filled: what was done is read off here, wherever a signal strikes.
        self.pieces: list[tuple[Array, Array]] = []
        self.state: Any = None
        self.loss = self.norm = math.nan
        self._plan(epochs, asked, kept)
        self.state = self.fresh_state(self.method)
        if state is not None:
            self.state = state.copy(self.state.weights.dtype)
        self.state.done = 0
        self.stepper.begin()
        self.begun = self.loss
        if not self.auto:
            limits.warn(self, in_all)
        if not self.linear and not len(history):
            scales.warn_network(self)
        if stored is not None:
            self.loss, self.norm, self.ceiling = stored.loss, stored.norm, stored.ceiling
        elif self.limit is not None and self.lr is not None and self.lr > self.limit.lr:
            start = self.objective_at(self.state.weights, self.state.bias) if math.isnan(self.begun) else self.begun
            self.ceiling = max(self.objective_of_zeros(), start)
        status = "epochs"
        if stored is not None and stored.status in ("converged", "early_stopped"):
            status = stored.status
        # A start that is as good as the end: only where nothing but the gradient's norm is asked for.
        elif self.tol is not None and not isinstance(self.stepper, Closed) and not math.isnan(self.norm):
            status = "converged" if self._reached_at_start() else status
        if stored is not None and status == "epochs" and self.patience is not None and self.state.waited >= self.patience:
            status = "early_stopped"  # a signal struck before that was said
        if keeper is not None:
            keeper.begin(self, stored)
        stalled, diverged = False, None
        self.recorder, self.observers = observers.invited(self)
        try:
            status = self._descend(epochs, status, keeper)
            stalled = status == "stalled"
            status = "epochs" if stalled else status  # no step lowers the loss: rounding ends it
            if keeper is not None and status != "diverged":
                keeper.finish(self, status)
            status, diverged = self._conclude(status)
            run = self._result(status)
        except KeyboardInterrupt:
            # Whatever it struck, after the last epoch as well: what was done is the run.
            status, diverged = "interrupted", None
            self._only_whole_epochs()
            if keeper is not None:
                keeper.finish(self, "interrupted")
            run = self._result("interrupted")
        metric = self.stepper.metric if self.preconditioned and self.precondition == "gram" else None
        separating = list(self.stepper.separating.values()) if self.newton else []
        self.stepper = None  # it refers to this
        if diverged is not None:
            raise DivergenceError(diverged, run)
        if status not in ("interrupted", "diverged"):
            limits.ended(self, run)
            endings.warn(self, status, stalled, metric, separating)
        return run

    told: tuple[float, float] | None = None
    """Loss and gradient norm of the model, once the passes after the last epoch have told them."""

    def _conclude(self, status: str) -> tuple[str, str | None]:
        """The passes after the last epoch: the status, and what is to be said where the run has diverged."""
        if status == "diverged" and not self.done:
            self.check_start()  # the first epoch: the data may be to blame
        if self.batches:
            self.loss = self.objective_at(self.state.weights, self.state.bias)
            if self.tol is None:
                self.norm = math.nan
        if status == "epochs" and self.loss > self.ceiling:
            status, self.jump = "diverged", (self.first + self.done, self.loss)
        if self.method != "stream" and not self.table:
            # The last loss and gradient are those of the rows themselves.
            self.passes, self.engine_now = (self.X, self.Y, self.sample_weight), self.engine
            weights, bias = self._final(self.state.weights, self.state.bias)
            self.take(self.evaluated(weights, bias))
        if self.newton and self.X.dtype != np.float64:
            status = self._as_rounded(status)
        diverged = limits.diverged(self) if status == "diverged" and self.options.on_divergence == "raise" else None
        best = self._best()
        self.told = (self.loss, self.norm) if best is None else (self.objective_at(*best), math.nan)
        return status, diverged

    def _as_rounded(self, status: str) -> str:
        """The loss of the weights in X's dtype; where rounding makes it worse than that of weights of 0, they become 0."""
        self.loss = self.objective_at(*self._final(self.state.weights, self.state.bias))
        zeros = self.objective_of_zeros()
        if self.loss <= zeros * (1 + float(np.finfo(self.X.dtype).eps)) or not self.done:
            return status
        bias = self.state.bias
        self.state.weights, self.state.bias = 0 * self.state.weights, None if bias is None else 0 * bias
        self.loss = zeros
        return "epochs" if status == "converged" else status

    def _best(self) -> tuple[Array, Array | None] | None:
        """The best parameters on the validation data, where patience has it look for them."""
        if self.patience is None or self.state.best[0] == math.inf:
            return None
        return self._final(*self.state.best[1:])

    def fresh_state(self, method: str) -> _State:
        """The state before the first epoch."""
        # The second moments are float64 whatever X is, and so are the epochs on them.
        state = _State(self.model, np.dtype(np.float64) if method == "gram" or self.newton else self.X.dtype, self.optimizer)
        if self.newton:
            state.scalars = Numbers.fresh(1 if self.loss_function.targets == "classes" else self.outputs)
        return state

    def _descend(self, epochs: int, status: str, keeper: Keeper | None) -> str:
        """Epoch after epoch, until they are done or something ends them; the status."""
        bar = None
        if self.options.progress:
            from gdcore.training.progress import Bar

            bar = Bar(self.options.progress, self.first, self.first + epochs)
        watchers = [watcher for watcher in (keeper, bar) if watcher is not None]
        pause = min((watcher.seconds for watcher in watchers), default=math.inf)
        most = 1 if watchers else EPOCHS_PER_CALL
        try:
            while status == "epochs" and (left := epochs - self.done) > 0:
                began, before = time.perf_counter(), self.done
                # The formula does all epochs at once.
                status = self.stepper.some_epochs(left if isinstance(self.stepper, Closed) else min(left, most))
                if status == "epochs" and self.loss > self.stop_above:
                    status, self.jump = "diverged", (self.first + self.done, self.loss)
                if watchers:
                    took = max(time.perf_counter() - began, 1e-9)
                    most = max(1, min(EPOCHS_PER_CALL, _FASTER * most, int((self.done - before) * pause / took)))
                for watcher in watchers:
                    watcher.look(self)
        except KeyboardInterrupt:
            status = "interrupted"
            self._settle()
        finally:
            with contextlib.ExitStack() as all_of_them:  # whatever becomes of one
                for watcher in reversed(watchers):
                    all_of_them.callback(watcher.close, self)
        return status

    def _reached_at_start(self) -> bool:
        if self.state.judged is not None and self.state.judged[0] == self.tol:
            return bool(self.state.judged[1])  # a resumed run does not look again at what has been looked at
        if isinstance(self.stepper, Newton):
            return self.stepper.at_start() == "converged"
        if isinstance(self.stepper, Nesterov):
            return self.reached(self.stepper.metric, self.state.scalars[SMOOTHING])
        return self.reached(None)

    def _only_whole_epochs(self) -> None:
        """After a signal: the history is as long as the state is old."""
        if isinstance(self.stepper, Stream):
            self.stepper.undo()
        elif not isinstance(self.stepper, Closed):
            for columns, counted in self.pieces[-1:]:
                counted[0] = max(0, min(columns.shape[1], self.first + self.state.done - int(columns[5, 0]) + 1))
        piece = self._last_piece()
        if piece is not None:
            self.loss, self.norm = (float(v) for v in piece[0][:2, piece[1]])

    def _settle(self) -> None:
        """After a signal between two epochs: the history tells of the last epoch what it tells of others."""
        self._only_whole_epochs()
        piece = self._last_piece()
        if piece is None:
            return
        columns, at = piece
        if self.batches and self.tol is not None and math.isnan(columns[1, at]):
            self.evaluate()
            columns[0, at], columns[1, at] = self.loss, self.norm
        if self.validation is not None and math.isnan(columns[3, at]):
            self.validate(columns[:, at])
        self.loss, self.norm = (float(v) for v in columns[:2, at])

    def _last_piece(self) -> tuple[Array, int] | None:
        """The piece of history of this call's last epoch, and its place there."""
        return next(((columns, int(count[0]) - 1) for columns, count in reversed(self.pieces) if count[0]), None)

    def last(self) -> tuple[float, float]:
        """Loss and validation loss of the last epoch of this call."""
        piece = self._last_piece()
        return (math.nan, math.nan) if piece is None else (float(piece[0][0, piece[1]]), float(piece[0][3, piece[1]]))

    @property
    def done(self) -> int:
        """Epochs done in this call."""
        piece = self._last_piece()
        return 0 if piece is None else int(piece[0][5, piece[1]]) - self.first

    def piece(self, count: int, epochs: Array | None = None) -> tuple[Array, Array]:
        """Room for so many more epochs of history, and a counter of those filled in; learning rates stand already."""
        columns, counted = np.full((6, count), math.nan), np.zeros(1, np.int64)
        start = self.first + self.done
        columns[5] = np.arange(start + 1, start + count + 1) if epochs is None else epochs
        columns[4] = self._rates(start, count)
        self.pieces.append((columns, counted))
        return columns, counted

    def gradients(self) -> tuple[Array, Array | None]:
        """Copies of the gradients as they are."""
        return self.gradient.copy(), None if self.bias_gradient is None else self.bias_gradient.copy()

    def after_epoch(self, columns: Array, gradient: tuple[Array, Array | None] | None) -> bool:
        """Validation, patience, callback; True stops."""
        if self.validation is not None:
            self.validate(columns[:, 0])
        stop = self.patience is not None and self.state.waited >= self.patience
        for observer in self.observers:
            loss, norm, _, validation_loss, _, epoch = (float(value) for value in columns[:, 0])
            slopes = None if gradient is None else self.model.by_layer(*gradient)
            wish = observer(Epoch(int(epoch), loss, validation_loss, norm, self.current_model(), slopes))
            stop = stop or (isinstance(wish, (bool, np.bool_)) and bool(wish))
        return stop

    def current_model(self) -> Linear | MLP:
        """A copy of the model as it is now."""
        return self.model.with_parameters(*self._final(self.state.weights, self.state.bias))

    def validate(self, column: Array) -> None:
        """The validation loss of the epoch whose column of history that is."""
        assert self.validation is not None
        Xv, Yv, sv = self.validation
        value = self.engine.loss(
            Xv, Yv, *self._final(self.state.weights, self.state.bias), sv, self.n_threads, **self.objective
        )
        if self.patience is not None:
            self.state.keep_best(int(column[5]), float(value))
        column[3] = value

    def _rates(self, epoch: int, count: int) -> Any:
        base = 1.0 if self.lr is None or self.preconditioned else self.lr
        if self.schedule is None or self.method == "exact":
            return base
        factors = [self.schedule(e) for e in range(epoch, epoch + count)]
        return [number(base * factor, f"lr · schedule({epoch + i})") for i, factor in enumerate(factors)]

    def order(self, epoch: int) -> Array | None:
        """The order in which an epoch's batches take the rows."""
        if not self.options.shuffle:
            return None
        order = np.empty(self.n, np.int64)
        self.engine.permutation(order, self.seed, epoch)
        return order

    gradient: Array
    bias_gradient: Array | None
    norm: float

    def evaluated(self, weights: Array, bias: Array | None, smoothing: float = 0.0) -> Values:
        """Objective and gradient of all rows at some weights."""
        X, Y, s = self.passes
        more = {"smoothing": smoothing} if smoothing else {}
        with np.errstate(over="ignore", invalid="ignore"):
            loss, gradient, bias_gradient = self.engine_now.loss_gradient(
                X, Y, weights, bias, s, self.n_threads, l1=self.l1, l2=self.l2, **self.objective, **more
            )
            norm = float(self.engine_now.gradient_norm(weights, gradient, bias_gradient, self.l1))
        return Values(loss, gradient, bias_gradient, norm)

    def evaluate(self, smoothing: float = 0.0) -> None:
        """Objective and gradient of all rows at the weights as they are."""
        self.take(self.evaluated(self.state.weights, self.state.bias, smoothing))

    def take(self, values: Values) -> None:
        """Those are the values now."""
        self.loss, self.gradient, self.bias_gradient, self.norm = values

    def values(self) -> Values:
        """The values now."""
        return Values(self.loss, self.gradient, self.bias_gradient, self.norm)

    def objective_of_zeros(self) -> float:
        """Objective of the model whose parameters are all 0, and so are its predictions: X is not read, but a table's."""
        if self.table:
            weights, bias = self._final(np.zeros_like(self.state.weights), self.state.bias)
            return self.objective_at(weights, None if bias is None else np.zeros_like(bias))
        nothing = np.broadcast_to(np.zeros((), self.X.dtype), (self.n, 1))
        weights = np.zeros((1, self.outputs), self.X.dtype)
        value: float = self.backend.loss(nothing, self.Y, weights, None, self.sample_weight, self.n_threads, **self.objective)
        return value

    # When to stop ----------------------------------------------------------------------------------------------------------

    def smoothing_cost(self, smoothing: float) -> float:
        """What smoothing costs at most: h/4 (mae: h/2) for each row within h of its target, and that may be all."""
        return float((0.5 if self.loss_function.name == "mae" else 0.25) * smoothing * self.outputs)

    def smooth_enough(self, smoothing: float) -> bool:
        """Whether that is within tol."""
        tol = self.default_tol() if self.tol is None else self.tol
        return self.smoothing_cost(smoothing) <= max(tol, 1e-9) * self.loss / 2 + self._rounding

    @functools.cached_property
    def _rounding(self) -> float:
        """What of a loss like |r| is rounding: where the data lie on a line, there is nothing else."""
        if self.d > GRAM_COLUMNS:
            return 0.0
        spread = np.sqrt(np.diag(self.moments.scatter)[self.d :] / self.moments.total)
        return 100 * float(np.finfo(self.X.dtype).eps) * float(np.mean(spread))

    def reached(self, metric: Any, smoothing: float = 0.0) -> bool:
        """Whether tol says stop: by the proved gap where there is one, else by the gradient in the metric, or its norm."""
        if self.tol is None:
            return False
        quick = self.state.quick
        try:
            says = self._reached(metric, smoothing)
            self.state.judged = (self.tol, says)
        finally:
            if self.state.judged is None:
                self.state.quick = quick  # an exception: nobody has looked
        return says

    def _reached(self, metric: Any, smoothing: float) -> bool:
        assert self.tol is not None
        weights = self.state.weights
        whole = self.linear and not self.batches
        if self.squared and whole and self.d <= GRAM_COLUMNS:
            quadratic = self.quadratic
            gap_now = gap.decrement(quadratic.metric, weights, self.gradient, self.bias_gradient, self.l1)
            before, floor = self.state.quick, 16 * float(np.finfo(self.X.dtype).eps) ** 2 * quadratic.size
            if self.l1 > 0 or not self.clear:
                # What l1 makes of directions in which H is 0, or seems to be, only the rows tell; they are asked again when
                # the rest is half of what it was.
                if gap_now > min(self.tol * self.loss + floor, before / 2):
                    return False
                self.state.quick = gap_now
                proved = self._gap(weights, self.state.bias)
                return proved is not None and proved <= self.tol * self.loss + floor
            self.state.quick = gap_now
            if gap_now > self.tol * self.loss + floor:
                return False
            if gap.rounded_up(self, gap_now, self.loss, weights, self.state.bias) > LEEWAY * self.tol * self.loss + floor:
                return False
            # By default squared error goes on while an epoch still brings digits: two or three are enough.
            polishing = self.auto and self.options.tol is None and isinstance(metric, Metric)
            return not polishing or gap_now <= 1e-4 * floor or gap_now > before / 100
        if whole and self.norm == 0 and not smoothing:
            return True
        if metric is not None and isinstance(metric, Metric):
            estimate = gap.decrement(metric, weights, self.gradient, self.bias_gradient, self.l1)
            if smoothing:
                # The metric bounds a curvature that few rows have: only the proof says how much is left.
                near = estimate <= self.tol * self.loss / 2 + self._rounding and estimate <= self.state.quick / 2
                return near and self.smooth_enough(smoothing) and self._proved(estimate)
            if estimate > self.tol * self.loss:
                return False
            if self.l2 > 0:
                return self._certified(metric)
            if not self.provable:
                return True  # nothing can be proved: the gradient in the metric decides
            # A metric that bounds the Hessian from above tells too little of what is left.
            return estimate <= self.state.quick / 2 and self._proved(estimate)
        if whole and self.l2 > 0 and self.loss_function.curvature is not None:
            if self.norm**2 / (2 * self.l2) > self.tol * self.loss:
                return False
            return self._certified(None)
        return self.norm <= self.tol

    def _certified(self, metric: Metric | None) -> bool:
        # The proof costs passes: it is tried once the part of it that the gradient tells is small enough, and again only
        # when the gradient has halved. The proof moves the bias until ∇b is 0, which leaves ∇w − μ·∇b of columns with means μ.
        assert self.tol is not None
        gradient = self.gradient
        if metric is not None and self.bias_gradient is not None:
            gradient = gradient - metric.means.T * self.bias_gradient
        slope = float(np.linalg.norm(gap.subgradient(self.state.weights, gradient, self.l1)))
        if slope**2 / (2 * self.l2) > self.tol * self.loss or slope > self.state.quick / 2:
            return False
        return self._proved(slope)

    def _proved(self, quick: float) -> bool:
        """The proof, at the cost of passes; ``quick`` is what led to it."""
        assert self.tol is not None
        self.state.quick = quick
        bound = self._gap(self.state.weights, self.state.bias)
        return bound is not None and bound <= self.tol * self.loss

    def check_start(self) -> None:
        """NaN and infinity show in the first loss and gradient: find where they come from."""
        if math.isfinite(self.loss) and math.isfinite(self.norm):
            return
        if self.table:
            raise ValueError("the loss overflows before the first epoch: scale the columns of the table")
        arrays.check_finite(self.X, "X")
        arrays.check_finite(self.Y.reshape(self.n, *self.target_shape), "Y")
        if math.isnan(self.loss) and math.isfinite(self.objective_at(self.state.weights, self.state.bias)):
            return
        largest = max(float(np.max(np.abs(block))) for block in arrays.blocks(self.X))
        raise ValueError(
            f"the loss overflows {self.X.dtype} before the first epoch: X has values up to {largest:.3g}, Y up to "
            f"{float(np.max(np.abs(self.Y))):.3g}, the weights up to {float(np.max(np.abs(self.state.weights))):.3g}; "
            "scale the columns of X, or Y"
        )

    def _result(self, status: str) -> Run:
        history = self.history
        later = history_of(self.pieces)
        if len(later):
            history = history + later if len(history) else later
        best = self._best()
        weights, bias = best or self._final(self.state.weights, self.state.bias)
        told = self.told
        if told is None:
            told = (math.nan, math.nan) if self.batches or best is not None else (self.loss, self.norm)
        model: Any = self.model.with_parameters(weights, bias)
        model.loss = self.loss_function
        if self.table and (card := self.X.card()) is not None:
            model.columns, model.card = list(self.X.names), card
        self._free()
        models = None if self.recorder is None else self.recorder.up_to(self.done, self.current_model())
        return Run(model, history, status, self.method, *told, self._resume, self._facts(weights, bias), models)

    def _facts(self, weights: Array, bias: Array | None) -> dict[str, Callable[[], Any]]:
        """What a run tells when it is asked, because it costs passes."""
        known = self.loss_function.curvature is not None and self.linear
        marks = self._marks()
        anchors = self.stepper.parts(self.state) if self.newton else None

        def gap_later() -> float | None:
            self._check_unchanged(marks)
            return self._gap_later(weights, bias, anchors)

        def spectrum_later() -> Spectrum | None:
            if known and not {"spectrum", "moments"} & vars(self).keys():
                self._check_unchanged(marks)
            return self.spectrum if known else None

        return {"gap": gap_later, "spectrum": spectrum_later}

    def _marks(self) -> dict[str, Any]:
        """By what it is noticed that the caller has changed the data; files have stamps of their own, Dask's do not change."""
        if self.table:
            return {}
        return fingerprints.marks({"X": self.X, "Y": self.Y, "sample_weight": self.sample_weight})

    def _check_unchanged(self, marks: dict[str, Any]) -> None:
        """ValueError where the data are no longer those that the run was trained on."""
        now = self._marks()
        changed = [name for name in marks if marks[name] != now[name]]
        if changed:
            have = "have" if len(changed) > 1 else "has"
            raise ValueError(
                f"{' and '.join(changed)} {have} changed since the run, which was trained on other values: ask for gap and "
                "spectrum before the data are changed, or give fit a copy of them"
            )

    def _same_problem(self, other: Training) -> bool:
        """Whether rows and objective are the same; of tables whether they are as many."""
        if (self.l1, self.l2, self.objective, self.n) != (other.l1, other.l2, other.objective, other.n):
            return False
        if self.table or other.table:
            return self.table == other.table
        pairs = [(self.X, other.X), (self.Y, other.Y), (self.sample_weight, other.sample_weight)]
        return all(a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs)

    def _resume(self, run: Run, X: Any, Y: Any, epochs: int, changes: dict[str, Any]) -> Run:
        model = changes.pop("model", None)
        unknown = set(changes) - set(Options._fields)
        if unknown:
            raise TypeError(f"resume() got an unexpected keyword argument {min(unknown)!r}")
        later = Training(X, Y, run.model if model is None else model, self.options._replace(**changes))
        if later.X.dtype != self.X.dtype:
            raise TypeError(
                f"the run that shall go on is of {self.X.dtype}, but X is {later.X.dtype}: give X.astype('{self.X.dtype}'), "
                "or begin anew with fit(X, Y, run.model)"
            )
        if later.optimizer.rule != self.optimizer.rule:
            raise ValueError(
                f"the run that shall go on went by {self.optimizer!r}, whose state {later.optimizer!r} cannot go on with: "
                "begin anew with fit(X, Y, run.model, optimizer=...)"
            )
        later.depth, later.kept = 6, run.models
        keep = later.options.method == "auto" and "method" not in changes
        state = self.state.copy()
        if model is not None or not self._same_problem(later):
            state.judged = None
        if model is not None:
            state.weights, state.bias = (a if a is None else a.astype(state.weights.dtype) for a in model.parameters(X.dtype))
        return later.run(epochs, run.history, state, self.method if keep else None)


def history_of(pieces: list[tuple[Array, Array]]) -> History:
    """What is filled of pieces of history."""
    filled = [columns[:, : int(count[0])] for columns, count in pieces]
    if not any(piece.shape[1] for piece in filled):
        return History.empty()
    columns = dict(zip(_ROW, np.concatenate(filled, axis=1), strict=True))
    return History(**columns | {"epoch": columns["epoch"].astype(np.int64)})
