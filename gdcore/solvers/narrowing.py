"""mae and quantile, and huber far from its targets, smoothed within h: when h becomes smaller, and where it ends.

Once few rows lie near their target, the minimum over these is found exactly, all others kept on the side of their target on
which they are (`gdcore.solvers.vertex`); where the sides hold, it is that over all rows.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.stop import LEEWAY
from gdcore.rows import sizes
from gdcore.solvers import vertex
from gdcore.solvers.parts import PROVED, STUCK
from gdcore.solvers.vertex import joined, near

if TYPE_CHECKING:
    from gdcore._types import Floats
    from gdcore.descent.state import State
    from gdcore.facts.curvature import Local, Part
    from gdcore.solvers.parts import Numbers, Parts

_EPS = float(np.finfo(np.float64).eps)
_CLOSE = 0.1  # of what smoothing costs: a smoothed problem that has less to gain is solved well enough to go on
_EXACT = 1e-9  # of what smoothing costs: solved so well that a proof can be made of its slopes
_TINY = 1e-290  # h whose reciprocal is still a number
_ROUGH = 1e-7  # of the terms of a prediction: residuals so small say nothing of how wide h should be
_FEW, _CHEAP = 50, 2000  # p times the one and the other: of so many rows corners are looked for


def first_width(parts: Parts, local: Local, part: Part) -> float:
    """h within which about half of the rows are, or where these fit a little; δ of huber where it is not far below."""
    width = max(sizes.width_of_share(local.histogram, 0.5), _ROUGH * parts.frame.terms(part.weights, part.bias))
    return width if parts.kinked or width > 4 * parts.loss.parameter else parts.loss.parameter


def narrow(parts: Parts, state: State[Numbers], i: int, local: Local, step: tuple[Floats, float, float], stuck: bool) -> None:
    """Where the smoothed problem is solved, or may be left out: the corner is tried, and h becomes smaller.

    ``step`` is Newton's, what it gains, and what of that is rounding.
    """
    numbers, part = state.own, parts.at(state, i)
    delta, gain, noise = step
    n, p = parts.problem.n, parts.frame.plain.shape[0]
    typical = sizes.typical(local.histogram)
    scale = typical + parts.frame.penalty.value(part.weights)
    smallest = part.smoothing <= max(4 * _EPS * (parts.frame.terms(part.weights, part.bias) + typical), _TINY)
    enough = parts.tol * scale + noise
    few = _FEW * p + _CHEAP
    if numbers.met[i] <= noise:
        numbers.ended[i], numbers.gap[i] = PROVED, numbers.met[i]  # no loss is below 0
        return
    if n <= few and math.isnan(numbers.gap[i]) and _corner(parts, state, i, part, math.inf, typical, enough):
        return
    extra = local.smoothed - local.objective
    if gain > max(_CLOSE * abs(extra), noise) and not stuck:
        return
    width = sizes.width_below(local.histogram, few / n) if n > few else math.inf
    if width >= 4 * part.smoothing and _corner(parts, state, i, part, width, typical, enough):
        return
    if not parts.kinked:
        numbers.smoothing[i] = max(parts.loss.parameter, sizes.next_width(local.histogram, part.smoothing, p / n))
        _anew(numbers, i)
        return
    if smallest or (extra <= enough):
        if smallest and parts.plan.tol_by_default:
            enough *= LEEWAY  # where nobody asked for a tol, this is enough if rounding ends the descent
        if gain > max(_EXACT * extra, noise) and not stuck:
            return
        if _ends(parts, state, i, (part.weights, part.bias), part, delta, local.hessian, enough):
            return
    if smallest:
        numbers.ended[i] = STUCK
        return
    numbers.smoothing[i] = sizes.next_width(local.histogram, part.smoothing, p / n)
    _anew(numbers, i)


def _anew(numbers: Numbers, i: int) -> None:
    """The part goes on with another h."""
    numbers.damping[i], numbers.share[i], numbers.gain[i] = 0.0, 1.0, math.nan


def _corner(parts: Parts, state: State[Numbers], i: int, part: Part, width: float, typical: float, enough: float) -> bool:
    """Whether the minimum over the rows within a width of their target, all others on their side, ends the part."""
    numbers, problem = state.own, parts.problem
    rows: vertex.Near = problem.fold(
        functools.partial(near, part=part, mean=parts.frame.mean, width=width, loss=parts.loss), joined
    )
    found = vertex.corner(rows, part, parts.frame, parts.loss, problem.moments.total, width, typical)
    if found is None:
        return False
    there, delta = found
    [local] = parts.measured([there])
    if not parts.kinked:  # a corner of δ·|r|, near which huber's minimum lies
        numbers.gap[i] = math.inf
        return _goes_on_from(parts, state, i, there, local.objective)
    if delta is None:
        step = parts.step(local, there, 0.0)
        delta = step.delta if step.bounded else 0 * step.delta
    if not _ends(parts, state, i, (there.weights, there.bias), there, delta, local.hessian, enough):
        _goes_on_from(parts, state, i, there._replace(smoothing=part.smoothing), local.objective)
        return False
    parts.put(state, there)
    numbers.smoothing[i] = there.smoothing
    return True


def _goes_on_from(parts: Parts, state: State[Numbers], i: int, part: Part, objective: float) -> bool:
    """Whether weights are better than the model's, and so become them."""
    if not objective < state.own.met[i]:
        return False
    parts.meet(state, i, part, objective)
    parts.put(state, part)
    state.own.smoothing[i] = part.smoothing
    _anew(state.own, i)
    return True


def _ends(
    parts: Parts,
    state: State[Numbers],
    i: int,
    point: tuple[Floats, Floats | None],
    part: Part,
    delta: Floats,
    hessian: Floats,
    enough: float,
) -> bool:
    """Whether a point is proved to be the end; if so it becomes the model."""
    numbers = state.own
    proof = parts.prove(point, part, delta, hessian)
    numbers.gap[i] = math.inf if proof.gap is None else proof.gap
    enough += 2 * proof.rounding
    if numbers.gap[i] > enough or proof.objective > numbers.met[i] + enough:
        return False
    numbers.ended[i] = PROVED
    if proof.objective <= numbers.met[i]:
        parts.meet(state, i, part._replace(weights=point[0], bias=point[1]), proof.objective)
    return True
