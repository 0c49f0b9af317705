"""When a part of Newton's method has ended: by proof where there is one."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.stop import LEEWAY
from gdcore.losses.targets import check_targets
from gdcore.rows import sizes
from gdcore.solvers import narrowing
from gdcore.solvers.parts import PROVED, STUCK, Numbers, Parts

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.descent.state import State
    from gdcore.facts.curvature import Local
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece

_EPS = float(np.finfo(np.float64).eps)
LEAST_DAMPING = 1e-4
_NEAR = 0.01  # of the loss is left to gain, or less
_DIGITS = 1e-21  # of the loss: when no more is left to gain, weights have ten digits
_SLOW = 0.25  # of what there was to gain is left: a Hessian of some of the rows tells too little
_UNBOUNDED = 1e300  # what a model without a minimum has to gain
_PROGRESS = 100  # times: while an epoch makes what is left to gain so much less, the descent goes on by default


class Judge:
    """Judges the parts of one problem."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        k = parts.problem.outputs
        self.guesses: Floats = np.zeros(k)
        """Of each part how far the loss of the best constants lies above the least that the targets allow."""
        self.least: Floats = np.zeros(k)
        """That least, which is 0 but for amounts and shares."""
        self.absent: Array = np.zeros(k, bool)
        if not parts.loss.numeric:
            self.guesses, self.absent, self.least = _guesses(parts)
        elif parts.amounts is not None:
            self.guesses, self.least = parts.amounts.above, parts.amounts.least
            self.absent = np.isneginf(parts.amounts.constants)

    def judge(self, state: State[Numbers], i: int, local: Local, taken: bool) -> None:
        """Whether a part has ended; or of mae and quantile, whether h becomes smaller."""
        parts, numbers = self.parts, state.own
        loss, frame, by_default = parts.loss, parts.frame, parts.plan.tol_by_default
        part = parts.at(state, i)
        step = parts.step(local, part, 0.0)
        gain = step.gain if step.bounded else _UNBOUNDED
        noise = parts.noise(local, part)
        before, numbers.gain[i] = float(numbers.gain[i]), gain
        stuck = bool(numbers.share[i] == 0)
        if parts.kinked or part.smoothing > loss.parameter * loss.flat:
            narrowing.narrow(parts, state, i, local, (step.delta, gain, noise), stuck)
            return
        above = numbers.met[i] - self.least[i]
        if above <= noise and loss.numeric and (loss.nonnegative or loss.has_link):
            numbers.ended[i], numbers.gap[i] = PROVED, max(above, 0.0)  # no loss is below the least
            return
        if step.bounded and numbers.damping[i] < LEAST_DAMPING:
            numbers.damping[i] = 0.0
        scale = max(local.objective - self.least[i], float(self.guesses[i]))
        if loss.flat:  # huber: far rows, of which one may be all of the objective, count as others do
            far, _ = loss.at(sizes.typical(local.histogram), y=0.0)
            scale = min(scale, far + frame.penalty.value(part.weights))
        enough = parts.tol * scale + noise
        falls = not before <= gain * _PROGRESS and gain > _DIGITS * scale
        done = gain <= enough and not (by_default and taken and falls)
        if numbers.stride[i] > 1:
            slow = gain < _NEAR * scale and (not taken or gain > _SLOW * before)
            if stuck or slow or gain <= enough or above <= enough:
                numbers.stride[i], numbers.share[i], numbers.gain[i] = 1.0, 1.0, math.nan
            return
        if not stuck and not done and not (above <= enough and not loss.numeric):
            return
        if not loss.has_conjugate:  # nothing can be proved: what the model has to gain decides
            if stuck or done:
                ended = gain <= enough * (LEEWAY if stuck and by_default else 1.0)
                numbers.ended[i] = PROVED if ended else STUCK
            return
        weights, bias = parts.model(state, i)
        proof = parts.prove((weights, bias), part, step.delta, local.hessian)
        gap = min(proof.ceiling, math.inf if proof.gap is None else proof.gap)
        moving = proof.moves and not proof.separates and gain > _EPS * self.guesses[i]
        if moving and not stuck and (by_default or gap > enough):
            return  # nothing is left to gain, and yet rows move: classes are about to be separated
        if stuck and by_default:
            enough *= LEEWAY  # where nobody asked for a tol, this is enough if rounding ends the descent
        if gap <= enough + 2 * proof.rounding or (proof.separates and gain <= enough):
            numbers.ended[i], numbers.gap[i] = PROVED, gap
            if proof.separates or (part.bias is not None and self.absent[i]):
                away = step.delta if proof.moves else frame.slope(weights, bias)
                parts.separating[i] = away if proof.separates else 0 * step.delta
        elif stuck:
            numbers.ended[i] = STUCK


def _guesses(parts: Parts) -> tuple[Floats, Array, Floats]:
    """Of each part the loss of the best constants above the least, whether a class has no rows, and that least.

    By it classes' losses are measured: one that separates them ends at 0. Where all rows are of one class it is the loss of
    weights of 0.
    """
    k, of_classes = parts.problem.outputs, parts.loss.targets == "classes"
    sums: Floats = parts.problem.fold(functools.partial(_shares, classes=k if of_classes else 0, loss=parts.loss))
    shares, least = sums[1 : 1 + k] / sums[0], sums[1 + k :] / sums[0]
    rest = 1 - shares if not of_classes else np.ones(k)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = -np.where(shares > 0, shares * np.log(shares), 0.0) - np.where(rest > 0, rest * np.log(rest), 0.0)
    absent = shares * (1 - shares if not of_classes else 1.0) <= 0
    if of_classes:
        terms, absent = np.array([terms.sum()]), np.array([absent.any()])
    terms = terms - least[: len(terms)]
    return np.where(terms > 0, terms, math.log(k if of_classes else 2)), absent, least


def _shares(piece: Piece, n_threads: int, *, classes: int, loss: Loss) -> Floats:
    """Σ s, for each class, or of each output, Σ s of the rows that have it, and Σ s of the least loss (k,)."""
    s = piece.weights
    check_targets(piece.Y, loss.admitted, classes or None, "in a piece of the table Y")
    if classes:
        sums: Array = np.bincount(piece.Y[:, 0].astype(np.intp), weights=s, minlength=classes)
    else:
        sums = s @ piece.Y.astype(np.float64)
    return np.concatenate([[s.sum()], sums, s @ loss.least(piece.Y.astype(np.float64))])
