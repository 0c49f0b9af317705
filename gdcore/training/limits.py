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
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import optimizers
from gdcore.facts.spectrum import Spectrum, largest_eigenvalue, of
from gdcore.notices import DivergenceWarning, LearningRateWarning
from gdcore.rows import arrays
from gdcore.training.problem import GRAM_COLUMNS

if TYPE_CHECKING:
    from gdcore._types import Array
    from gdcore.run import Run
    from gdcore.training.loop import Training

_CARRIED = "The run up to there is .run of this error."
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


def warn(t: Training, epochs: int) -> None:
    """Warns of a learning rate past its limit, where that can be known for less than the epochs cost."""
    if not t.lr:
        return
    if t.preconditioned:
        t.limit, how = Limit(2.0, ": in the metric H the error shrinks by 1 − lr in every epoch", 1.0), ""
    elif _has_limit(t):
        spectrum, how = _spectrum(t, epochs)
        t.limit = None if spectrum is None else _limit(t, spectrum)
    if t.limit is None or t.lr <= t.limit.lr:
        return
    batches = f" of batches of {t.batch_size}" if t.batches else ""
    warnings.warn(
        f"lr = {t.lr:g} is past the limit{batches} {t.limit.lr:.6g}{how}, above which gradient descent diverges"
        f"{t.limit.cause}; lr='auto' chooses one",
        LearningRateWarning,
        stacklevel=t.depth - 1,
    )


def _has_limit(t: Training) -> bool:
    return t.linear and t.loss_function.curvature is not None and isinstance(t.optimizer, optimizers.SGD)


def _spectrum(t: Training, epochs: int) -> tuple[Spectrum | None, str]:
    """The spectrum, or that of some rows, and how it was found; None where lr is below the limit, or it costs too much."""
    n, d = t.n, t.d
    sample, s = t.X, t.sample_weight
    far = t.table and t.X.far
    if far and d > GRAM_COLUMNS:
        return None, ""
    if "moments" in t.__dict__ or "spectrum" in t.__dict__ or far:
        return t.spectrum, ""
    if t.table:
        piece = next(t.X.pieces(1))
        sample, s = piece.X, piece.sample_weight
        n = len(sample)
    wide = d > GRAM_COLUMNS
    passes = 4 * _STEPS if wide else d / 16
    affordable = 4 * passes <= max(epochs, 1)
    if not affordable or n * d <= _SMALL:
        # The trace is at least λmax: most learning rates are cleared by it. Batches ask for the longest of all rows.
        most = max(1000, 4 * d)
        step = 1 if n * d <= _SMALL else max(1, n // most)
        every = 1 if t.batches or step == 1 else max(1, n // 1000)
        mean, longest = _squares(sample[::every], None if s is None else s[::every])
        assert t.loss_function.curvature is not None
        assert t.lr is not None
        trace, row = (t.loss_function.curvature * (square + 1) + t.l2 for square in (mean, longest))
        if not math.isfinite(trace) or t.lr < _sharpest(t, trace, trace + row):
            return None, ""
        if step > 1:
            sample, s = sample[::step], None if s is None else s[::step]
    how = "" if sample is t.X else f" (estimated from {len(sample):,} rows)"
    arguments: Any = [sample, s, t.has_bias, t.loss_function, t.l2, t.options.backend, t.n_threads]
    if wide:
        arguments.append(_STEPS)
        value, _, direction = largest_eigenvalue(*arguments)
        return Spectrum(None, t.has_bias, t.loss_function, t.l2, (value, 0.0, direction)), how
    return (t.spectrum if sample is t.X else of(*arguments)), how


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


def _sharpest(t: Training, top: float, row: float) -> float:
    """The limit from λmax and the largest curvature of one row."""
    even, noise = _terms(t, top, row)
    return 2 / (even + noise) if even + noise > 0 else math.inf


def _terms(t: Training, top: float, row: float) -> tuple[float, float]:
    """What 2 is divided by: the part of all rows, and that of the batches' noise."""
    momentum, nesterov = t.optimizer.parameters["momentum"], t.optimizer.parameters["nesterov"]
    even, noise = top * (1 + 2 * momentum if nesterov else 1) / (1 + momentum), 0.0
    if t.batches:
        n, b = t.n, t.batch_size
        noise = (n - b) / (b * (n - 1)) * max(row - top, 0.0)
    return even, noise / (1 - momentum) if momentum < 1 else math.inf


def _limit(t: Training, spectrum: Spectrum) -> Limit:
    top = spectrum.largest + spectrum.error
    row = top
    if spectrum.moments is not None:
        row = spectrum.curvature * (spectrum.moments.largest_row + t.has_bias) + t.l2
    even, noise = _terms(t, top, row)
    best = spectrum.lr_best if spectrum.lr_best is not None else spectrum.lr_limit / 2
    if t.batches:
        best = spectrum.batch_lr(t.batch_size)
    if t.optimizer.parameters["momentum"] >= 1:
        return Limit(0.0, f": momentum {t.optimizer.parameters['momentum']:g} never comes to rest, it must be below 1", best)
    limit = 2 / (even + noise) if even + noise > 0 else math.inf
    if noise > even and spectrum.moments is not None:
        m = spectrum.moments.of_columns()
        mean = float(np.trace(m.scatter)) / m.total + float(m.mean @ m.mean)
        return Limit(limit, f": the longest row drives it, with ‖x‖² = {m.largest_row:.4g} where the mean is {mean:.4g}", best)
    return Limit(limit, _driver(t, spectrum), best)


def _driver(t: Training, spectrum: Spectrum) -> str:
    """Which column, or the bias, has the largest share of λmax's direction."""
    if not spectrum.largest > 0:
        return ""
    shares = spectrum.shares
    bias = 1 - float(shares.sum()) if t.has_bias else 0.0
    worst = int(np.argmax(shares)) if len(shares) else 0
    if not len(shares) or bias > shares[worst]:
        return f": the bias drives it, with {bias:.0%} of λmax = {spectrum.largest:.4g}"
    name = f"{t.X.names[worst]}" if t.table else f"{worst} of X"
    return f": column {name} drives it, with {shares[worst]:.0%} of λmax = {spectrum.largest:.4g}"


# Afterwards ------------------------------------------------------------------------------------------------------------------


def diverged(t: Training) -> str:
    """What is said when the loss has left the finite numbers, or climbed above that of the all-zero model."""
    epoch, value = t.jump if t.jump is not None else (t.first + t.done + 1, math.nan)
    at = "" if t.auto or t.lr is None else f" at lr = {t.lr * (1 if t.schedule is None else t.schedule(epoch - 1)):g}"
    if math.isfinite(value):
        what = f"climbed above that of the all-zero model in epoch {epoch}{at}; it is {value:.6g} there, after {t.loss:.6g}"
    elif math.isnan(value) and math.isfinite(t.ceiling):
        what = f"climbed above that of the all-zero model in epoch {epoch}{at}; it was {t.loss:.6g} after epoch {epoch - 1}"
    else:
        what = f"left the finite numbers in epoch {epoch}{at}; its last finite value was {t.loss:.6g}, after epoch {epoch - 1}"
    return f"the loss {what}. {_advice(t)}. {_CARRIED}"


def _advice(t: Training) -> str:
    if t.auto or t.lr is None:
        return f"gdcore chose the learning rate: {_sizes(t)}"
    if t.limit is None and _has_limit(t):
        t.limit = _limit(t, t.spectrum)
    if t.limit is None:
        return "Take a smaller lr, or lr='auto'"
    which = f"lr = {t.limit.best:.4g} is the best for it, and lr='auto' chooses for you"
    if t.batches:
        which = f"for batches of {t.batch_size} lr = {t.limit.best:.4g} is right (lr='auto')"
    return f"The limit is {t.limit.lr:.6g}{t.limit.cause}; {which}"


def _sizes(t: Training) -> str:
    """What of the data may be too large or too small for the dtype."""
    advice = "scale what is far from 1" + (", or give float64" if t.X.dtype == np.float32 else "")
    if t.table:
        return f"the table's numbers may be too far apart for {t.X.dtype}; {advice}"
    sizes = np.zeros(t.d)
    for block in arrays.blocks(t.X):
        np.maximum(sizes, np.abs(block).max(axis=0), out=sizes)
    least, most = int(np.argmin(np.where(sizes > 0, sizes, np.inf))), int(np.argmax(sizes))
    text = f"X has columns of sizes from {sizes[least]:.3g} (column {least}) to {sizes[most]:.3g} (column {most})"
    text += f", Y has {float(np.max(np.abs(t.Y))):.3g}"
    if t.sample_weight is not None:
        some = t.sample_weight[t.sample_weight > 0]
        text += f", sample_weight goes from {float(some.min()):.3g} to {float(some.max()):.3g}"
    return f"{text}, which may be too far apart for {t.X.dtype}; {advice}"


def ended(t: Training, run: Run) -> None:
    """Warns of a run that has ended above the loss of the all-zero model, and above that of its start."""
    margin = _NOISE if t.auto and t.batches else _ABOVE
    if run.status == "interrupted" or not t.done or run.loss <= margin * t.begun:
        return
    zeros = t.objective_of_zeros()
    if run.loss <= margin * zeros or run.loss <= margin * t.objective_at(*t.model.parameters(t.X.dtype)):
        return
    if t.auto:
        advice = f"gdcore chose the learning rate: {_sizes(t)}"
    else:
        smaller = "lr or momentum" if t.optimizer.parameters.get("momentum") else "lr"
        advice = (
            f"lr = {t.lr:g} is too large for {t.optimizer} and these data, unless more epochs bring it down again: take a "
        )
        advice += f"smaller {smaller}, or lr='auto'"
    above = f"above that of its start and that of a model of zeros, {zeros:.6g}"
    warnings.warn(
        f"the run ends at the loss {run.loss:.6g}, {above}: {advice}",
        DivergenceWarning,
        stacklevel=t.depth - 1,
    )
