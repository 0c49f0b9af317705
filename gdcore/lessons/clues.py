"""How each fault shows in losses, rows and the weights at the end.

- what a healthy loop has left to gain, Σ cᵢ·(1 − lr·λᵢ)²ᵏ over the eigenvalues λᵢ of the Hessian, falls ever more slowly. So
  it has fallen in the last half of the epochs by at least what a healthy loop would gain in as many from the weights at the
  end: a loop that stands still where that is much does not follow the gradient of these rows.
- at lr past 2/λmax the losses grow by (1 − lr·λmax)² an epoch in the end, with a wrong sign by (1 + lr·λmax)².
- gradients that are added up make an oscillation that nothing damps.
- the last loss that was told is that at the weights, or the sum, or, with (n, n) differences, mean (p − ȳ)² + the variance
  of Y.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.facts.spectrum import spectrum
from gdcore.lessons.faults import Diagnosis, found

if TYPE_CHECKING:
    from gdcore._types import Floats

_FEW = 10
"""Losses below which nothing is said of how they go."""
_MODES = 5
"""So many oscillations are looked for where the number of columns is not known."""
_GROWN = 2.0
"""So many times the first loss the last one is where they grow."""
_SLOW = 0.1
"""Even along λmax more than this share of the loss is left, where lr is far too small…"""
_SMALL = 1e-2
"""… and lr is below this share of its limit."""


class Seen(NamedTuple):
    """What is known of a loop and its rows."""

    losses: Floats
    """Before the first update, and on."""
    X: Floats
    Y: Floats
    weights: Floats
    bias: float | None
    whole: bool
    """Whether the weights are kept as integers."""
    lr: float | None

    @property
    def theta(self) -> Floats:
        """Weights, and the bias behind them where there is one."""
        return self.weights if self.bias is None else np.append(self.weights, self.bias)

    @property
    def Z(self) -> Floats:
        """X, and behind it a column of ones where there is a bias."""
        return self.X if self.bias is None else _with_ones(self.X)

    @property
    def predictions(self) -> Floats:
        made: Floats = self.Z @ self.theta
        return made

    @property
    def loss(self) -> float:
        """At the weights."""
        return float(np.mean((self.predictions - self.Y) ** 2))

    @property
    def slack(self) -> float:
        """How far the last loss that was told may be from that at the weights, which may be a step further on."""
        return 2 * abs(float(self.losses[-1] - self.losses[-2])) + 1e-9 * abs(float(self.losses[-1]))


def _with_ones(X: Floats) -> Floats:
    return np.column_stack([X, np.ones(len(X))])


def _best(Z: Floats, Y: Floats) -> tuple[Floats, float]:
    """The least-squares solution, and its loss."""
    theta: Floats = np.linalg.lstsq(Z, Y, rcond=None)[0].astype(np.float64)
    loss = float(np.mean((Z @ theta - Y) ** 2))
    return theta, loss if loss > 1e-24 * float(np.mean(Y**2)) else 0.0  # what is below is rounding


def limit(X: Floats, lr: float | None) -> tuple[float, float] | None:
    return None if lr is None else (lr, spectrum(X).lr_limit)


def of_losses(losses: Floats, rate: tuple[float, float] | None) -> Diagnosis:
    """Without weights: what the losses alone show."""
    if _swings(losses, 0.0, float(losses[0]), _MODES):
        return _not_reset(losses)
    if _grows(losses):
        if rate is not None and rate[0] > rate[1]:
            return found(
                "lr past the limit", f"the losses grow, and lr = {rate[0]:.3g} is past the limit 2/λmax = {rate[1]:.3g}"
            )
        return Diagnosis(
            None, f"the losses grow, from {losses[0]:.4g} to {losses[-1]:.4g}; why cannot be told from what was given",
            "Give X, Y, lr and the weights at the end, or step=",
        )  # fmt: skip
    return Diagnosis(None, "the losses show no fault; give X, Y, lr and the weights at the end, or step=, to look further", "")


# One fault after the other --------------------------------------------------------------------------------------------------


def _integers(seen: Seen) -> Diagnosis | None:
    if not seen.whole:
        return None
    return found(
        "integer weights", f"the weights are integers, {seen.weights.tolist()}: every update loses what is behind the point"
    )


def _summed(seen: Seen) -> Diagnosis | None:
    """The first loss of a start at zeros, or the last one, is n times the mean."""
    n, first, at_zeros = len(seen.Y), float(seen.losses[0]), float(np.mean(seen.Y**2))
    if n > 1 and abs(first - n * at_zeros) <= 1e-6 * first:
        return found(
            "loss summed",
            f"the first loss is {first:.6g}, {n} times the mean square of Y, {at_zeros:.6g}, and there are {n} rows",
        )
    last, mean = float(seen.losses[-1]), seen.loss
    if (
        n > 1
        and math.isfinite(last)
        and math.isfinite(mean)
        and abs(last - n * mean) <= min(seen.slack, 0.01 * last)
        and mean > 0
    ):
        return found(
            "loss summed",
            f"the last loss is {last:.6g}, {last / mean:.4g} times the mean at the weights, and there are {n} rows",
        )
    return None


def _grows(losses: Floats) -> bool:
    if not np.isfinite(losses).all():
        return True
    rising = bool((np.diff(losses) > 0).all()) and len(losses) >= 5
    return rising or bool(losses[-1] > _GROWN * losses[0] and losses[-1] >= losses.max())


def _growing(seen: Seen) -> Diagnosis | None:
    """Which of three factors the losses grow by in the end."""
    if not _grows(seen.losses) or seen.lr is None or _oscillating(seen):
        return None
    finite = seen.losses[np.isfinite(seen.losses)]
    finite = finite[: int(np.argmax(finite)) + 1]
    if len(finite) < 3 or finite[-2] <= 0:
        return None
    ratio = float(finite[-1] / finite[-2])
    s = spectrum(seen.X, bias=seen.bias is not None)
    step = seen.lr * s.largest
    uphill, past = (1 + step) ** 2, (1 - step) ** 2
    far = f"the losses grow, in the end by {ratio:.4g} an epoch"
    if step > 2 and abs(math.log(ratio / past)) <= abs(math.log(ratio / uphill)):
        why = f"{far}; lr = {seen.lr:.4g} is past the limit 2/λmax = {s.lr_limit:.4g}, and (1 − lr·λmax)² = {past:.4g}"
        return found("lr past the limit", f"{why}; worst columns of X: {s.column_names()}")
    if ratio <= 1.01 * uphill:
        why = f"{far}; uphill it is at most (1 + lr·λmax)² = {uphill:.4g}"
        return found(
            "plus for minus", f"{why}, and lr = {seen.lr:.4g} is below the limit {s.lr_limit:.4g}" if step < 2 else why
        )
    if math.isclose(math.log(ratio), 2 * math.log(abs(1 - len(seen.Y) * step)), rel_tol=0.05):
        return found("loss summed", f"{far}, as with a gradient that is {len(seen.Y)} times too long: there are so many rows")
    return None


def _regular(losses: Floats, modes: int) -> bool:
    """Whether they follow a linear recurrence, as those of so many oscillations do, and those of batches do not.

    A mode's loss is c·cos², which has the roots 1 and e^(±2iω): of m modes the recurrence has 2m + 1 terms.
    """
    order = 2 * modes + 1
    if len(losses) < 4 * order:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(losses - losses.mean(), order + 1)
    rest = windows[:, :-1] @ np.linalg.lstsq(windows[:, :-1], windows[:, -1], rcond=None)[0] - windows[:, -1]
    return float(np.sqrt(np.mean(rest**2))) < 0.01 * float(losses.std())


def _swings(losses: Floats, best: float, spread: float, modes: int) -> bool:
    """Whether they rise and fall regularly, by steps that do not become smaller, far above the best loss."""
    if len(losses) < 3 * _FEW or not np.isfinite(losses).all():
        return False
    part, steps_ = len(losses) // 3, np.diff(losses)
    early, late = float(np.mean(steps_[:part] ** 2)), float(np.mean(steps_[-part:] ** 2))
    far = float(losses[-part:].max()) - best > 0.2 * spread
    return 0.1 < float(np.mean(steps_ > 0)) < 0.9 and late > 0.1 * early and far and _regular(losses, modes)


def _oscillating(seen: Seen) -> Diagnosis | None:
    _, best = _best(seen.Z, seen.Y)
    return _not_reset(seen.losses) if _swings(seen.losses, best, float(np.var(seen.Y)), len(seen.theta)) else None


def _not_reset(losses: Floats) -> Diagnosis:
    part = len(losses) // 3
    rises = int(np.sum(np.diff(losses) > 0))
    return found(
        "gradients not reset",
        f"the losses rose in {rises} of {len(losses) - 1} epochs and do not settle: the largest of the first third is "
        f"{losses[:part].max():.4g}, of the last {losses[-part:].max():.4g}",
    )


def _broadcast(seen: Seen) -> Diagnosis | None:
    """The last loss is that of every prediction beside every target, and other weights are better."""
    (_, best), middle, spread = _best(seen.Z, seen.Y), float(seen.Y.mean()), float(np.var(seen.Y))
    last = float(seen.losses[-1])
    if best > 0.9 * spread or math.isclose(last, seen.loss, rel_tol=1e-4):
        flat = float(np.var(seen.predictions)) < 1e-3 * spread
        if best > 0.9 * spread or not (flat and _stands(seen)):
            return None
    places = [seen.theta]
    if seen.lr is not None:  # the loss may be that before the last step, which went along the gradient of all pairs
        Z, lr = seen.Z, seen.lr
        step = np.eye(Z.shape[1]) - lr * 2 * Z.T @ Z / len(Z)
        places.append(np.linalg.lstsq(step, seen.theta - lr * 2 * middle * Z.mean(axis=0), rcond=None)[0])
    if not any(math.isclose(last, float(np.mean((seen.Z @ place - middle) ** 2)) + spread, rel_tol=1e-6) for place in places):
        return None
    return found(
        "broadcasting",
        f"the last loss, {last:.6g}, is the mean over all {len(seen.Y)}² pairs of a prediction and a target; of the pairs "
        f"that belong together it is {seen.loss:.6g}, and {best:.6g} can be reached",
    )


def _left(seen: Seen, epochs: float) -> tuple[float, float]:
    """What a healthy loop has left to gain: now, and after so many more epochs."""
    assert seen.lr is not None
    values, vectors = spectrum(seen.X, bias=seen.bias is not None).decomposition
    error = vectors.T @ (seen.theta - _best(seen.Z, seen.Y)[0])
    now = 0.5 * np.maximum(values, 0) * error**2
    with np.errstate(under="ignore"):
        later = now * np.abs(1 - seen.lr * values) ** (2 * epochs)
    return float(now.sum()), float(later.sum())


def _slow(seen: Seen) -> Diagnosis | None:
    """Not even the steepest direction is done, at a small share of the limit."""
    if seen.lr is None:
        return None
    s = spectrum(seen.X, bias=seen.bias is not None)
    left = math.exp(-2 * seen.lr * s.largest * len(seen.losses))
    best = _best(seen.Z, seen.Y)[1]
    if seen.lr > _SMALL * s.lr_limit or left < _SLOW or seen.loss - best < _SLOW * (float(seen.losses[0]) - best):
        return None
    return found(
        "lr far too small",
        f"lr = {seen.lr:.3g} is {seen.lr / s.lr_limit:.1g} of the limit 2/λmax = {s.lr_limit:.3g}: after {len(seen.losses)} "
        f"epochs {left:.0%} of the loss along even the steepest direction is left",
    )


def _stands(seen: Seen) -> bool:
    """Whether the losses stand still where a healthy loop would gain more than half of what is left."""
    if seen.lr is None or len(seen.losses) < _FEW:
        return False
    half = len(seen.losses) // 2
    now, later = _left(seen, half)
    quarter = max(1, half // 4)
    fallen = float(np.mean(seen.losses[half : half + quarter]) - np.mean(seen.losses[-quarter:]))
    return later < 0.5 * now and fallen < 0.1 * (now - later)


def _mismatched(seen: Seen) -> Diagnosis | None:
    """Better weights exist, and the losses stand still far above them, or are not those of these rows."""
    spread, (_, best) = float(np.var(seen.Y)), _best(seen.Z, seen.Y)
    if spread == 0 or best > 0.8 * spread:
        return None
    able, has, last = 1 - best / spread, 1 - seen.loss / spread, float(seen.losses[-1])
    said = f"R² of the rows as they are is {has:.2f}, where {able:.2f} can be reached; "
    steady = len(seen.losses) >= _FEW and bool((np.diff(seen.losses) <= 1e-9 * last).all())
    if has < 0.5 * able and steady and _stands(seen):
        return found("targets shuffled", f"{said}the losses stand still, where a healthy loop at this lr would go on")
    # Of all rows at once, from zeros, and on the mean: then the last loss has to be that at the weights.
    from_zeros = math.isclose(float(seen.losses[0]), float(np.mean(seen.Y**2)), rel_tol=1e-9)
    if from_zeros and steady and abs(last - seen.loss) > max(10 * seen.slack, 1e-4 * seen.loss):
        return found(
            "targets shuffled", f"{said}the last loss is {last:.6g}, but at the weights that of these rows is {seen.loss:.6g}"
        )
    return None


def _without_bias(seen: Seen) -> Diagnosis | None:
    if seen.bias is not None:
        return None
    n, d = seen.X.shape
    theta, best = _best(seen.X, seen.Y)
    _, better = _best(_with_ones(seen.X), seen.Y)
    r = seen.X @ theta - seen.Y
    # How much a bias gains, in units of what chance would give it: the F statistic.
    statistic = (best - better) / better * (n - d - 1) if better > 0 and n > d + 1 else math.inf
    if not (better < 0.9 * best and statistic > 25):
        return None
    return found(
        "no bias",
        f"without a bias the best loss is {best:.6g}, and its residuals Ŷ − Y are {r.mean():.4g} in the mean; with one it is "
        f"{better:.6g}",
    )


CLUES = (_integers, _summed, _growing, _oscillating, _broadcast, _without_bias, _slow, _mismatched)
"""What is looked for, one after the other: the first that finds something has the word."""
