"""How a problem is descended: by which solver, at which learning rate, in which metric, over rows or over second moments.

`plan` is a function of numbers and facts of the problem and of the options, and of nothing else. What is asked for and cannot
be is an error; what is not asked for is chosen here, and ``Plan.why`` says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from gdcore import optimizers
from gdcore.checks import must_be, number
from gdcore.descent.course import piece
from gdcore.descent.problem import GRAM_COLUMNS, HESSIAN_SIZE
from gdcore.messages import Message, Option
from gdcore.optimizers import schedules
from gdcore.run import Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Floats
    from gdcore.descent.options import Options
    from gdcore.losses import Loss
    from gdcore.optimizers import Optimizer

_ROUND = 1e5  # up to this condition of the scaled second moments their solution has all digits that matter
_FREE = 1e8  # multiply-adds: epochs over the rows that take fewer are not worth a thought
_KEPT = 10_000  # epochs of which the formula tells each


class Facts(Protocol):
    """What a plan asks of a problem, in this order of cost: its sizes for nothing, the rest for a pass that is made once."""

    @property
    def n(self) -> int: ...
    @property
    def d(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def loss_function(self) -> Loss: ...
    @property
    def l1(self) -> float: ...
    @property
    def l2(self) -> float: ...
    @property
    def has_bounds(self) -> bool: ...
    @property
    def linear(self) -> bool: ...
    @property
    def squared(self) -> bool: ...
    @property
    def hessian_serves(self) -> bool: ...
    @property
    def in_pieces(self) -> bool: ...
    @property
    def condition(self) -> float: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def worst_condition(self) -> float: ...
    @property
    def steepest(self) -> float: ...
    @property
    def lr_of_kinks(self) -> float: ...
    def batch_lr(self, batch_size: int) -> float: ...


@dataclass(frozen=True)
class Choice:
    """What is chosen before any pass."""

    optimizer: Optimizer
    auto: bool
    """Whether gdcore chooses the learning rate."""
    lr: float | None
    """None: gdcore chooses it."""
    newton: bool
    metric: str | None
    """"gram" or "diagonal"."""
    preconditioned: bool
    """Whether steps are made in a metric, the identity included, by a solver in Python."""
    accelerate: bool
    batch_size: int
    """0: all rows."""
    tol: float | None
    default_tol: float
    tol_by_default: bool
    """Whether nobody has asked for a tol."""
    watched: bool
    """Whether somebody looks at every epoch."""
    decimals: int | None
    seed: int | None
    """None: batches follow the order of the rows."""

    @property
    def batches(self) -> bool:
        """Whether an epoch is of more than one update."""
        return self.batch_size > 0


@dataclass(frozen=True)
class Plan(Choice):
    """How a problem is descended."""

    solver: str
    """One of `gdcore.solvers.SOLVERS`."""
    method: Method
    """"stream", "gram" or "exact", and why."""
    schedule: Callable[[int], float] | None
    searching: bool
    """Whether the learning rate of each epoch is found by trying."""
    proves: bool
    """Of epochs over the rows: whether tol is about more than the gradient's norm, which is all that the backend knows."""
    asked: tuple[int, ...] | None
    """The epochs of this call that the formula shall tell."""

    @property
    def why(self) -> str:
        """What the method was chosen for."""
        return self.method.why

    def rates(self, epoch: int, count: int) -> float | list[float]:
        """The learning rates of some epochs; of a solver that has its own, the schedule's factors."""
        base = 1.0 if self.lr is None or self.preconditioned else self.lr
        if self.schedule is None or self.solver == "closed":
            return base
        factors = [self.schedule(e) for e in range(epoch, epoch + count)]
        return [number(base * factor, f"lr · schedule({epoch + i})") for i, factor in enumerate(factors)]

    def piece(self, done: int, count: int) -> Floats:
        """Room for the history of ``count`` epochs after ``done``."""
        return piece(self.rates(done, count), np.arange(done + 1, done + count + 1))


def choose(problem: Facts, options: Options) -> Choice:
    """The optimizer, the metric, batches and tol; which of them go together."""
    size = options.batch_size
    if size is not None and size > problem.n:
        raise ValueError(must_be("batch_size", f"between 1 and {problem.n}", f"{size}"))
    size = size or 0
    batches = 0 < size < (0 if problem.in_pieces else problem.n)
    auto = isinstance(options.lr, str)
    wish, loss = options.precondition, problem.loss_function
    optimizer = optimizers.get(options.optimizer)
    whole = problem.linear and not batches and options.decimals is None
    serves = auto and whole and wish in ("auto", "gram") and problem.hessian_serves
    free = auto and whole and options.optimizer is None and (serves or loss.bounded)
    asked = isinstance(optimizer, optimizers.Newton)
    if asked and not loss.curved:
        needs = f" needs a second derivative, which the loss {loss.name} does not tell"
        raise ValueError(Message(Option("optimizer", "newton"), needs))
    if asked and not serves:
        sizes = f", linear models of up to 2,048 columns, for softmax k·(columns + 1) up to {HESSIAN_SIZE:,}, all rows at once"
        metrics = ", no decimals, and ", Option("precondition", "auto"), " or ", Option("precondition", "gram")
        raise ValueError(Message(Option("optimizer", "newton"), " is for ", Option("lr", "auto"), sizes, *metrics))
    # Squared error's moments alone solve it.
    newton = asked or (free and serves and not (problem.squared and problem.l1 == 0 and not problem.has_bounds))
    if free:
        optimizer = optimizers.Newton() if newton else optimizers.Nesterov()
    accelerated = isinstance(optimizer, optimizers.Nesterov)
    plain = type(optimizer) is optimizers.SGD and not optimizer.slots
    if accelerated and not whole:
        wants = " is for linear models, all rows at once, and no decimals"
        raise ValueError(Message(Option("optimizer", "nesterov"), wants))
    metric = wish
    if wish == "auto":
        metric = ("gram" if problem.d <= GRAM_COLUMNS else "diagonal") if auto and (accelerated or newton) else None
    elif wish is not None and not (whole and (accelerated or plain or newton)):
        wants = " is for linear models, all rows at once, no decimals, and the optimizers 'nesterov' and plain 'sgd'"
        raise ValueError(Message(Option("precondition", wish), wants))
    preconditioned = accelerated or newton or metric is not None
    if preconditioned and not (newton or loss.bounded):
        lacks = f"{loss.name} has no curvature bound, which "
        raise ValueError(Message(lacks, Option("optimizer", "nesterov"), " and a precondition need"))
    if preconditioned and loss.curvature is None and metric is None:
        metrics = " needs ", Option("precondition", "gram"), " or ", Option("precondition", "diagonal")
        raise ValueError(Message(f"{loss.name} has no curvature bound: ", Option("optimizer", "nesterov"), *metrics))
    if plain and metric is not None:
        optimizer = optimizers.Nesterov()
    default_tol = _default_tol(problem, newton)
    return Choice(
        optimizer=optimizer,
        auto=auto,
        lr=None if isinstance(options.lr, str) else options.lr,
        newton=newton,
        metric=metric,
        preconditioned=preconditioned,
        # In squared error's own metric a plain step already ends at the best weights.
        accelerate=accelerated and not (problem.squared and metric == "gram"),
        batch_size=size if batches else 0,
        tol=default_tol if options.tol is None and auto and not batches else options.tol,
        default_tol=default_tol,
        tol_by_default=options.tol is None,
        watched=options.watched,
        decimals=options.decimals,
        seed=options.seed if options.shuffle else None,
    )


def _default_tol(problem: Facts, newton: bool) -> float:
    if problem.loss_function.kinked and problem.linear:
        return 1e-8 if newton else 1e-4
    return 1e-10 if problem.dtype == np.float64 else 1e-6


def plan(
    problem: Facts,
    options: Options,
    epochs: int,
    asked: tuple[int, ...] | None = None,
    kept: Method | None = None,
    choice: Choice | None = None,
) -> Plan:
    """How the problem is descended.

    Parameters
    ----------
    problem : Facts
        A `Problem`, or whatever has these attributes.
    options : Options
    epochs : int
        How many of them.
    asked : tuple of int, optional
        Those that the formula shall tell.
    kept : Method, optional
        Of a run that goes on: it is kept.
    choice : Choice, optional
        What `choose` gave.

    Raises
    ------
    ValueError
        What is asked for cannot be.
    """
    choice = choose(problem, options) if choice is None else choice
    method = _method(problem, options, choice, epochs) if kept is None else kept
    solver, searching = _solver(problem, options, choice, method)
    lr, schedule = choice.lr, options.schedule
    if lr is None and solver in ("stream", "batches", "closed") and not searching:
        lr = _rate(problem, choice)
        if choice.optimizer.lr is None and problem.loss_function.curvature is None and schedule is None:
            schedule = cast("Callable[[int], float]", schedules.root())
    return Plan(
        **vars(choice) | {"lr": lr},
        solver=solver,
        method=method,
        schedule=schedule,
        searching=searching,
        proves=solver == "stream" and problem.linear and choice.tol is not None,
        asked=asked,
    )


def _solver(problem: Facts, options: Options, choice: Choice, method: Method) -> tuple[str, bool]:
    """Who runs the epochs, and whether the learning rate is found by trying."""
    if choice.newton:
        return "newton", False
    if choice.preconditioned:
        return "nesterov", False
    over_rows = "batches" if choice.batches else "stream"
    if problem.linear or not choice.auto:
        return ("closed" if method == "exact" else over_rows), False
    if choice.optimizer.lr is not None:
        return over_rows, False
    if choice.batches or choice.optimizer.slots or choice.decimals is not None:
        return over_rows, True
    if options.schedule is not None:
        factor = Option("schedule"), " is a factor on a learning rate, and with ", Option("lr", "auto")
        advice = " a network's is found by trying in every epoch: give a number for ", Option("lr")
        raise ValueError(Message(*factor, *advice))
    return "backtracking", True


def _rate(problem: Facts, choice: Choice) -> float:
    """lr="auto" of an optimizer without a metric."""
    if choice.optimizer.lr is not None:
        return choice.optimizer.lr
    loss = problem.loss_function
    if loss.curvature is None and not (loss.kinked and loss.targets == "real"):
        wants = f" wants a bound of the curvature of the loss {loss.name}, or for all rows and up to {GRAM_COLUMNS:,} columns "
        advice = "its second derivative: its class tells neither, so "
        if loss.has_second:
            advice = "Newton's method, which no other optimizer, batches or precondition may be asked for beside; there is no "
            advice += "bound, so leave these out, or "
        raise ValueError(Message(Option("lr", "auto"), wants, advice, "give a number for ", Option("lr")))
    if loss.curvature is None:
        return problem.lr_of_kinks  # steps that decrease
    if choice.batches:
        return problem.batch_lr(choice.batch_size)
    top = problem.steepest
    return 1 / top if top > 0 else 1.0


def _method(problem: Facts, options: Options, choice: Choice, epochs: int) -> Method:
    no_gram, no_closed = _reasons(problem, options, choice)
    if options.method != "auto":
        return _wanted(problem, options.method, no_gram, no_closed, epochs)
    if choice.preconditioned and no_gram is None and choice.metric == "gram":
        # One pass tells all, unless second moments have lost digits that a gradient from the rows brings back.
        if problem.condition <= _ROUND:
            return Method("gram", "few epochs on the second moments solve it")
        return Method(
            "stream", f"the scaled condition {problem.condition:.2g} costs digits that gradients from the rows bring back"
        )
    if no_gram is not None or choice.decimals is not None or choice.preconditioned or options.callback is not None:
        why = no_gram or ("few epochs are enough" if choice.preconditioned else "every epoch is needed as it is")
        return Method("stream", why)
    # The cost model, in multiply-adds: 2·n·d an epoch; n·p²/8 for the moments, which run from cache, at four times the
    # speed; 2·p² an epoch on their table; 12·p³ for the eigenvectors.
    n, d, p = problem.n, problem.d, problem.d + problem.outputs + 1
    stream = 2.0 * n * d * problem.outputs * epochs
    measure = n * p * p / 8
    gram, exact = measure + 2.0 * p * p * epochs, measure + 12.0 * p**3 + 4.0 * p * min(epochs, _KEPT)
    if stream < _FREE or stream < 2 * min(gram, math.inf if no_closed else exact):
        return Method("stream", "it costs least")
    if not problem.trusted:
        return Method("stream", _doubt(problem))
    if no_closed is None and exact < gram:
        return Method("exact", f"{epochs:,} epochs by formula cost {stream / exact:,.0f} times less than one by one")
    return Method("gram", f"{epochs:,} epochs cost {stream / gram:,.0f} times less than over {n:,} rows")


def _reasons(problem: Facts, options: Options, choice: Choice) -> tuple[str | None, str | None]:
    """Why epochs cannot go over second moments, and why they cannot go by formula; None where they can."""
    no_gram = {
        "it is a network": not problem.linear,
        "the loss is not mse": not problem.squared,
        "it goes in batches": choice.batches,
        f"X has more than {GRAM_COLUMNS:,} columns": problem.d > GRAM_COLUMNS,
    }
    no_closed = no_gram | {
        "gradients are rounded": choice.decimals is not None,
        "there is an l1 penalty": problem.l1 > 0,
        "weights have bounds": problem.has_bounds,
        "the optimizer is not SGD": type(choice.optimizer) is not optimizers.SGD,
        "the learning rate changes": options.schedule is not None,
        "it is preconditioned": choice.preconditioned,
        "tol is watched": choice.tol is not None and not choice.auto,
        "every epoch is watched": choice.watched,
    }
    first, other = (next((reason for reason, holds in all_.items() if holds), None) for all_ in (no_gram, no_closed))
    return first, other


def _wanted(problem: Facts, wish: str, no_gram: str | None, no_closed: str | None, epochs: int) -> Method:
    """The method that is asked for; ValueError where it cannot be."""
    if wish == "stream":
        return Method("stream", "as asked")
    reason = no_closed if wish == "exact" else no_gram
    if reason is None and not problem.trusted:
        reason = _doubt(problem)
    if reason is not None:
        raise ValueError(Message(Option("method", wish), f" is not for this: {reason}"))
    if wish == "exact":
        return Method("exact", f"{epochs:,} epochs by formula")
    return Method("gram", f"epochs of {problem.d}² multiply-adds instead of {problem.n:,} · {problem.d}")


def _doubt(problem: Facts) -> str:
    return f"the Gram matrix's condition, {problem.worst_condition:.2g}, is past what float64 carries"
