"""Learning rates past their limit: warned of before the first epoch, explained after the loss has left the finite numbers."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from gdcore import optimizers
from gdcore.problem import GRAM_COLUMNS
from gdcore.run import LearningRateWarning
from gdcore.spectrum import Spectrum, of

if TYPE_CHECKING:
    from gdcore.loop import Training

_CARRIED = "The run up to there is .run of this error."


def warn(t: Training, epochs: int) -> None:
    """Warns of a learning rate past its limit, where that can be known for less than the epochs cost."""
    curvature = t.loss_function.curvature
    if not (t.linear and curvature is not None and isinstance(t.optimizer, optimizers.SGD)) or not t.lr:
        return
    n, d = t.n, t.d
    sample, s = t.X, t.sample_weight
    far = t.table and t.X.far
    if far and d > GRAM_COLUMNS:
        return
    measured = "moments" in t.__dict__ or "spectrum" in t.__dict__ or far
    if t.table and not measured:
        piece = next(t.X.pieces(1))
        sample, s = piece.X, piece.sample_weight
        n = len(sample)
    if not measured:
        affordable = d <= GRAM_COLUMNS and n * d * d / 8 <= 0.25 * 2 * n * d * max(epochs, 1)
        if not affordable or n * d <= 100_000:
            # trace ≥ λmax: most learning rates are cleared by it; of a long table some rows tell
            step = 1 if n * d <= 100_000 else max(1, n // 1000)
            if step > 1:
                sample, s = sample[::step], None if s is None else s[::step]
            with np.errstate(over="ignore", invalid="ignore"):
                squares = np.einsum("ij,ij->i", sample, sample, dtype=np.float64)
                mean = float(squares.mean() if s is None else squares @ s / max(s.sum(), 1e-300))
            trace = curvature * (mean + 1) + t.l2
            if not math.isfinite(trace) or t.lr * trace < 2:
                return
            if sample is not t.X and d > GRAM_COLUMNS:
                return
    if measured or sample is t.X:
        spectrum = t.spectrum
    else:
        spectrum = of(sample, s, t.has_bias, t.loss_function, t.l2, t.options.backend, t.n_threads)
    _judge(t, spectrum, "" if sample is t.X else f" (estimated from {len(sample):,} rows)")


def _judge(t: Training, spectrum: Spectrum, how: str) -> None:
    momentum, nesterov = t.optimizer.parameters["momentum"], t.optimizer.parameters["nesterov"]
    t.limit = spectrum.lr_limit * (1 + momentum) / (1 + 2 * momentum if nesterov else 1)
    assert t.lr is not None
    if t.lr <= t.limit:
        return
    warnings.warn(
        f"lr = {t.lr:g} is past the limit {t.limit:.6g}{how}, above which gradient descent diverges"
        f"{_column(t, spectrum)}; lr='auto' chooses one",
        LearningRateWarning,
        stacklevel=t.depth,
    )


def _column(t: Training, spectrum: Spectrum) -> str:
    """Which column keeps the limit low."""
    if not spectrum.worst_columns:
        return ""
    worst = spectrum.worst_columns[0]
    name = f"{t.X.names[worst]}" if t.table else f"{worst} of X"
    return f": column {name} drives it, with {spectrum.shares[worst]:.0%} of λmax = {spectrum.largest:.4g}"


def diverged(t: Training) -> str:
    """What is said when the loss has left the finite numbers, or climbed above that of the all-zero model."""
    epoch, last = t.first + t.done + 1, f"its last value was {t.loss:.6g}"
    if not t.linear or t.preconditioned or t.lr is None or t.loss_function.curvature is None:
        return f"the loss left the finite numbers in epoch {epoch}; {last}. Take a smaller lr. {_CARRIED}"
    spectrum = t.spectrum
    limit = spectrum.lr_limit if t.limit is None else t.limit
    left = "climbed above that of the all-zero model" if math.isfinite(t.ceiling) else "left the finite numbers"
    best = spectrum.lr_best if spectrum.lr_best is not None else spectrum.lr_limit / 2
    advice = f"lr = {best:.4g} is the best for it, and lr='auto' chooses for you"
    if t.batches:
        advice = f"for batches of {t.batch_size} lr = {spectrum.batch_lr(t.batch_size):.4g} is right (lr='auto')"
    return (
        f"the loss {left} in epoch {epoch} at lr = {t.lr:g}; {last}. The limit is {limit:.6g}"
        f"{_column(t, spectrum)}; {advice}. {_CARRIED}"
    )
