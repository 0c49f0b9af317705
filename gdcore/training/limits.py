"""Learning rates past their limit: warned of before the first epoch, explained after the loss has climbed.

One rule: no run ends worse than a model of zeros without a word.

- Where a limit is known and the lr is past it, a `LearningRateWarning` comes before the first epoch, and a `DivergenceError`
  as soon as the loss lies above that of the all-zero model and that of the start.
- Where none is known, or the lr is below it, a run that ends there gets a `DivergenceWarning`: it may have been on its way
  down again, as momentum is.
- A loss that leaves the finite numbers is always a `DivergenceError`.

The limits of linear models and losses with a curvature bound c:

- all rows, plain or with momentum μ: 2/λmax · (1 + μ), Nesterov's 2/λmax · (1 + μ)/(1 + 2μ);
- batches of b rows: 2/L_b, L_b the expected smoothness of `Spectrum.batch_lr`. At 1/L_b the bound on the error falls
  fastest; up to 2/L_b it falls where some weights fit all rows, as up to 2/λmax with all rows, which 2/L_b is for b = n. With
  momentum 2/lr = λmax/(1 + μ) + (L_b − λmax)/(1 − μ): exact for one column, where a recursion of three second moments tells;
- in a metric H that bounds the curvature: 2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore import notices, optimizers
from gdcore.descent.problem import GRAM_COLUMNS
from gdcore.facts.lanczos import largest_eigenvalue
from gdcore.facts.spectrum import Spectrum, of
from gdcore.messages import Message, Option
from gdcore.rows import arrays

if TYPE_CHECKING:
    from gdcore._types import Array
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem
    from gdcore.run import Run

_SMALL = 100_000  # numbers in X up to which all rows are looked at
_STEPS = 8  # of Lanczos: its value lies below λmax, and so what is past 2 over it is past the limit
_ABOVE = 1.01  # a loss so many times another lies above it
_NOISE = 2.0  # of batches whose lr gdcore chose, which end in the noise around the best weights


class Limit(NamedTuple):
    """What is known of a learning rate's limit."""

    lr: float
    cause: str
    """What keeps it low, as a clause of a sentence."""
    best: float
    """The lr to take instead."""


# Before the first epoch ------------------------------------------------------------------------------------------------------


def warn(problem: Problem, plan: Plan, epochs: int) -> Limit | None:
    """Warns of a learning rate past its limit, where that can be known for less than the epochs cost; the limit."""
    if not plan.lr:
        return None
    limit, how = None, ""
    if plan.preconditioned:
        limit = Limit(2.0, ": in the metric H the error shrinks by 1 − lr in every epoch", 1.0)
    elif _has_limit(problem, plan):
        spectrum, how = _spectrum(problem, plan, plan.lr, epochs)
        limit = None if spectrum is None else _limit(problem, plan, spectrum)
    if limit is None or plan.lr <= limit.lr:
        return limit
    batches = f" of batches of {plan.batch_size}" if plan.batches else ""
    past = f"lr = {plan.lr:g} is past the limit{batches} {limit.lr:.6g}{how}, above which gradient descent diverges"
    notices.warn(Message(past, limit.cause, "; ", Option("lr", "auto"), " chooses one"), notices.LearningRateWarning)
    return limit


def _has_limit(problem: Problem, plan: Plan) -> bool:
    return problem.linear and problem.loss_function.curvature is not None and type(plan.optimizer) is optimizers.SGD


def _spectrum(problem: Problem, plan: Plan, lr: float, epochs: int) -> tuple[Spectrum | None, str]:
    """The spectrum, or that of some rows, and how it was found; None where lr is below the limit, or it costs too much."""
    n, d = problem.n, problem.d
    table = problem.table
    far = table is not None and table.far
    if far and d > GRAM_COLUMNS:
        return None, ""
    if problem.spectrum_costs_nothing or far:
        return problem.spectrum, ""
    if table is not None:
        sample, _, s = next(iter(table.pieces(1)))
        n = len(sample)
    else:
        sample, s = problem.in_memory[0], problem.sample_weight
    wide = d > GRAM_COLUMNS
    passes = 4 * _STEPS if wide else d / 16
    affordable = 4 * passes <= max(epochs, 1)
    if not affordable or n * d <= _SMALL:
        # The trace is at least λmax: most learning rates are cleared by it. Batches ask for the longest of all rows.
        most = max(1000, 4 * d)
        step = 1 if n * d <= _SMALL else max(1, n // most)
        every = 1 if plan.batches or step == 1 else max(1, n // 1000)
        mean, longest = _squares(sample[::every], None if s is None else s[::every])
        curvature = problem.loss_function.curvature
        assert curvature is not None
        trace, row = (curvature * (square + 1) + problem.l2 for square in (mean, longest))
        sharpest = sum(_terms(problem, plan, trace, trace + row))
        if not math.isfinite(trace) or lr < (2 / sharpest if sharpest > 0 else math.inf):
            return None, ""
        if step > 1:
            sample, s = sample[::step], None if s is None else s[::step]
    how = "" if sample is problem.X else f" (estimated from {len(sample):,} rows)"
    loss, bias, l2 = problem.loss_function, problem.has_bias, problem.l2
    if wide:
        top = largest_eigenvalue(sample, s, bias, loss, l2, problem.backend_name, problem.n_threads, _STEPS)
        return Spectrum(None, bias, loss, l2, top._replace(error=0.0)), how
    if sample is problem.X:
        return problem.spectrum, how
    return of(sample, s, bias, loss, l2, problem.backend_name, problem.n_threads), how


def _squares(X: Array, s: Array | None) -> tuple[float, float]:
    """The mean and the largest ‖x‖² of the rows."""
    total = weight = longest = 0.0
    low = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for block in arrays.blocks(X):
            squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
            part = np.ones(len(block)) if s is None else s[low : low + len(block)].astype(np.float64)
            low += len(block)
            total, weight = total + float(squares @ part), weight + float(part.sum())
            longest = max(longest, float(np.max(squares * (part > 0), initial=0.0)))
    return total / max(weight, 1e-300), longest


def _terms(problem: Problem, plan: Plan, top: float, row: float) -> tuple[float, float]:
    """What 2 is divided by: the part of all rows, and that of the batches' noise."""
    momentum, nesterov = plan.optimizer.parameters["momentum"], plan.optimizer.parameters["nesterov"]
    even, noise = top * (1 + 2 * momentum if nesterov else 1) / (1 + momentum), 0.0
    if plan.batches:
        n, b = problem.n, plan.batch_size
        noise = (n - b) / (b * (n - 1)) * max(row - top, 0.0)
    return even, noise / (1 - momentum) if momentum < 1 else math.inf


def _limit(problem: Problem, plan: Plan, spectrum: Spectrum) -> Limit:
    top = spectrum.most
    row = top
    if spectrum.moments is not None:
        row = spectrum.curvature * (spectrum.moments.largest_row + problem.has_bias) + problem.l2
    even, noise = _terms(problem, plan, top, row)
    best = spectrum.lr_best if spectrum.lr_best is not None else spectrum.lr_limit / 2
    if plan.batches:
        best = spectrum.batch_lr(plan.batch_size)
    if plan.optimizer.parameters["momentum"] >= 1:
        return Limit(
            0.0, f": momentum {plan.optimizer.parameters['momentum']:g} never comes to rest, it must be below 1", best
        )
    limit = 2 / (even + noise) if even + noise > 0 else math.inf
    if noise > even and spectrum.moments is not None:
        m = spectrum.moments.of_columns()
        mean = float(np.trace(m.scatter)) / m.total + float(m.mean @ m.mean)
        return Limit(limit, f": the longest row drives it, with ‖x‖² = {m.largest_row:.4g} where the mean is {mean:.4g}", best)
    return Limit(limit, _driver(problem, spectrum), best)


def _driver(problem: Problem, spectrum: Spectrum) -> str:
    """Which column, or the bias, has the largest share of λmax's direction."""
    if not spectrum.largest > 0:
        return ""
    shares = spectrum.shares
    bias = 1 - float(shares.sum()) if problem.has_bias else 0.0
    worst = int(np.argmax(shares)) if len(shares) else 0
    if not len(shares) or bias > shares[worst]:
        return f": the bias drives it, with {bias:.0%} of λmax = {spectrum.largest:.4g}"
    return f": column {problem.column(worst)} drives it, with {shares[worst]:.0%} of λmax = {spectrum.largest:.4g}"


# Afterwards ------------------------------------------------------------------------------------------------------------------


class Jump(NamedTuple):
    """Where a run has diverged."""

    epoch: int
    """The one that climbed above the ceiling or left the finite numbers."""
    loss: float
    """There; NaN where it is not known."""
    before: float
    """After the epoch before."""


def diverged(problem: Problem, plan: Plan, limit: Limit | None, ceiling: float, jump: Jump) -> str:
    """What is said when the loss has left the finite numbers, or climbed above that of the all-zero model."""
    epoch, value, last = jump
    at = ""
    if not plan.auto and plan.lr is not None:
        at = f" at lr = {plan.lr * (1 if plan.schedule is None else plan.schedule(epoch - 1)):g}"
    if math.isfinite(value):
        what = f"climbed above that of the all-zero model in epoch {epoch}{at}; it is {value:.6g} there, after {last:.6g}"
    elif math.isnan(value) and math.isfinite(ceiling):
        what = f"climbed above that of the all-zero model in epoch {epoch}{at}; it was {last:.6g} after epoch {epoch - 1}"
    else:
        what = f"left the finite numbers in epoch {epoch}{at}; its last finite value was {last:.6g}, after epoch {epoch - 1}"
    return Message(f"the loss {what}. ", _advice(problem, plan, limit))


def _advice(problem: Problem, plan: Plan, limit: Limit | None) -> str:
    if plan.auto or plan.lr is None:
        return Message("gdcore chose the learning rate: ", _sizes(problem))
    if limit is None and _has_limit(problem, plan):
        limit = _limit(problem, plan, problem.spectrum)
    if limit is None:
        return Message("Take a smaller ", Option("lr"), ", or ", Option("lr", "auto"))
    which = f"lr = {limit.best:.4g} is the best for it, and ", Option("lr", "auto"), " chooses for you"
    if plan.batches:
        which = f"for batches of {plan.batch_size} lr = {limit.best:.4g} is right (", Option("lr", "auto"), ")"
    return Message(f"The limit is {limit.lr:.6g}{limit.cause}; ", *which)


def _sizes(problem: Problem) -> str:
    """What of the data may be too large or too small for the dtype."""
    dtype = problem.dtype
    advice = "scale what is far from 1" + (", or give float64" if dtype == np.float32 else "")
    if problem.table is not None:
        return f"the table's numbers may be too far apart for {dtype}; {advice}"
    sizes = np.zeros(problem.d)
    X, Y = problem.in_memory
    for block in arrays.blocks(X):
        np.maximum(sizes, np.abs(block).max(axis=0), out=sizes)
    least, most = int(np.argmin(np.where(sizes > 0, sizes, np.inf))), int(np.argmax(sizes))
    text = f"X has columns of sizes from {sizes[least]:.3g} (column {least}) to {sizes[most]:.3g} (column {most})"
    text += f", Y has {float(np.max(np.abs(Y))):.3g}"
    if problem.sample_weight is not None:
        some = problem.sample_weight[problem.sample_weight > 0]
        text = Message(text, ", ", Option("sample_weight"), f" goes from {float(some.min()):.3g} to {float(some.max()):.3g}")
    return Message(text, f", which may be too far apart for {dtype}; {advice}")


def ended(problem: Problem, plan: Plan, run: Run, begun: float) -> None:
    """Warns of a run that ends above the loss of the all-zero model and above that of its start; ``begun`` is this call's."""
    margin = _NOISE if plan.auto and plan.batches else _ABOVE
    first = run.history.start
    if run.loss <= margin * begun or run.loss <= margin * first:
        return
    zeros = problem.objective_of_zeros()
    if run.loss <= margin * zeros:
        return
    if math.isnan(first) and run.loss <= margin * problem.objective_at(*problem.model.parameters(problem.dtype)):
        return
    if plan.auto:
        advice = Message("gdcore chose the learning rate: ", _sizes(problem))
    else:
        smaller = "lr or momentum" if plan.optimizer.parameters.get("momentum") else "lr"
        large = f"lr = {plan.lr:g} is too large for {plan.optimizer} and these data, unless more epochs bring it down again: "
        advice = Message(f"{large}take a smaller {smaller}, or ", Option("lr", "auto"))
    above = f"above that of its start and that of a model of zeros, {zeros:.6g}"
    notices.warn(Message(f"the run ends at the loss {run.loss:.6g}, {above}: ", advice), notices.DivergenceWarning)
