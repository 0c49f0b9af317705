"""Losses other than squared error along a path: Newton's method with the penalty in its model, from one point to the next.

At weights w and bias b a pass over the rows tells loss, gradient and Hessian, without penalties. In columns of spread 1, if
they are standardized, v = σ·w, the step minimises

    g·δ + ½·δᵀHδ + l1·‖v + δ‖₁ + l2/2·‖v + δ‖²,

a problem of d² numbers, and is shortened until the objective falls. The first step of a penalty goes by the Hessian of the
penalty before, and ends with one of its own, which serves for the others: a pass without one costs a fraction. Where the step
leaves next to nothing to gain it is the last one, and its end is the next penalty's start. So a penalty takes about one pass
with a Hessian and three without, and no row is ever copied or scaled for them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.facts import certificate
from gdcore.facts.curvature import Frame, Local, Part, Step, measured
from gdcore.paths.rows import Scaled, numbered
from gdcore.penalty import Box, Penalty
from gdcore.rows import sizes

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.rows.moments import Moments
    from gdcore.rows.tables import Table

_EPS = float(np.finfo(np.float64).eps)
_STEPS = 100
_ENOUGH = (
    1e-20  # of what the best weights explain: a step that leaves no more to gain is the last one; weights have ten digits
)
_SLOW = 0.02  # of what there was to gain is left after a step: more, and the next one ends with a Hessian of its own
_SHARE = 1e-3  # of what the model promised (Armijo's rule)
_LEAST = 1e-6  # of a step: then the model is damped
_DAMPING, _MOST_DAMPING = 1e-4, 1e8
_SLOPE = 1e-9  # of the largest slope that there can be
_NONE = 1e300  # an l1 at which every weight is 0


class Point(NamedTuple):
    """Where a path stands, and what a pass told there."""

    part: Part
    """Weights and bias in the data's units."""
    local: Local
    """Without penalties."""
    stale: bool = False
    """Whether the Hessian is that of a point near by."""


class Models(NamedTuple):
    """Those of a path."""

    weights: Floats
    """(m, d, k)."""
    bias: Floats
    """(m, k)."""
    loss: Floats
    """(m,) without penalties."""
    gap: Floats
    """(m,) proved, NaN where nothing is or nobody asked."""
    open: Array
    """(m,) whether steps ended before they had nothing left to gain."""

    def held_out(self, table: Table, held: Array, loss: Loss) -> Floats:
        """(m,) the loss on some rows of a table."""
        m, d, k = self.weights.shape
        flat = self.weights.transpose(1, 0, 2).reshape(d, m * k)
        total, weight = np.zeros(m), 0.0
        for start, piece in numbered(table):
            rows = np.flatnonzero(held[start : start + len(piece.X)])
            s = piece.weights[rows]
            rows, s = rows[s > 0], s[s > 0]
            Y = piece.Y[rows].astype(np.float64)
            raw = (piece.X[rows].astype(np.float64) @ flat).reshape(len(rows), m, k) + self.bias
            total += [float(s @ loss.value_slope(raw[:, i], Y)[0].sum(axis=1)) for i in range(m)]
            weight += float(s.sum())
        return total / weight


class Smooth:
    """The problem of some rows.

    Parameters
    ----------
    table : Table
    moments : Moments
        Of its columns.
    loss : Loss
    standardize : bool
        Whether columns are penalised in units of their spreads.
    n_threads : int
    """

    def __init__(self, table: Table, moments: Moments, loss: Loss, standardize: bool, n_threads: int) -> None:
        self.table, self.loss, self.n_threads = table, loss, n_threads
        self.engine = "kernel" if loss.compiled else "reference"
        columns = moments.of_columns()
        self.raw = Frame(columns, True, Penalty(0.0, 0.0, Box.of(None, moments.columns)))
        self.deviations: Floats = np.sqrt(np.where(self.raw.constant, 0.0, self.raw.spread))
        # A constant column tells nothing, and gets no weight.
        self.scale: Floats = np.where(self.deviations > 0, self.deviations if standardize else 1.0, np.inf)
        self.units = np.where(self.deviations > 0, self.scale, 0.0)[:, None]
        self.columns = columns._replace(
            mean=columns.mean / self.scale, scatter=columns.scatter / self.scale / self.scale[:, None]
        )

    # Along the path ----------------------------------------------------------------------------------------------------------

    def begin(self, constant: Floats) -> Point:
        """The best constant, from one near it (k,)."""
        k = len(constant)
        part = Part(tuple(range(k)), np.zeros((len(self.scale), k)), constant.copy())
        point, _ = self._descend(self._at(part), self._frame(_NONE, 0.0), 0.0)
        return point

    def steepest(self, point: Point) -> float:
        """The largest slope of a weight there."""
        local = point.local
        slope = self.raw.slope(local.gradient, local.bias_gradient)[:, :-1] / self.scale
        return float(np.abs(slope).max())

    def bend(self, point: Point) -> float:
        """The largest curvature of a weight there; of flat losses, of which few rows may be curved, the bound on it."""
        frame, k = self._frame(0.0, 0.0), len(point.part.outputs)
        hessian = frame.bound(k, self.loss.bound()) if self.loss.flat else self._local(point, frame).hessian
        return float(np.diag(hessian).reshape(k, -1)[:, :-1].max())

    def models(self, start: Point, penalties: Floats, l1_ratio: float, proved: bool) -> Models:
        """The models of these penalties, decreasing ones, from the best constant on."""
        # Where few rows are curved the model promises far too much.
        worth = 0.0 if self.loss.flat else self._step(start, self._frame(0.0, 0.0), 0.0).gain
        point, m = start, len(penalties)
        weights, bias = np.empty((m, *start.part.weights.shape)), np.empty((m, len(start.part.outputs)))
        loss, gap, unsolved = np.empty(m), np.full(m, np.nan), np.zeros(m, bool)
        for i, penalty in enumerate(penalties.tolist()):
            frame = self._frame(penalty * l1_ratio, penalty * (1 - l1_ratio))
            point, ended = self._descend(point, frame, _ENOUGH * worth)
            assert point.part.bias is not None
            weights[i], bias[i], loss[i], unsolved[i] = point.part.weights, point.part.bias, point.local.objective, not ended
            if proved:
                gap[i] = self._proved(point, frame)
        return Models(weights, bias, loss, gap, unsolved)

    def _frame(self, l1: float, l2: float) -> Frame:
        """Coordinates and penalties of v."""
        return Frame(self.columns, True, Penalty(l1, l2, self.raw.penalty.box))

    def _at(self, part: Part) -> Point:
        """One pass."""
        [local] = measured(self.table, None, None, self.n_threads, self.engine, self.loss, [part], self.raw)
        return Point(part, local)

    def _near(self, point: Point, part: Part) -> Point:
        """One pass, without the Hessian, which is that of a point near by."""
        found = self._at(part._replace(stride=0))
        return Point(part, found.local._replace(hessian=point.local.hessian), stale=True)

    # One point ---------------------------------------------------------------------------------------------------------------

    def _descend(self, point: Point, frame: Frame, enough: float) -> tuple[Point, bool]:
        """The best point of an objective, from another one; and whether it is it."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a step that leaves the numbers is not taken
            found, ended = self._steps(point, frame, enough)
            if not ended and self.loss.flat:
                # Few rows are curved: those far from their targets are brought in by a wider loss, which then narrows.
                for width in self._widths(point):
                    found, ended = self._steps(self._at(found.part._replace(smoothing=width)), frame, enough)
            return found, ended

    def _settled(self, point: Point, frame: Frame) -> bool:
        """Whether nothing to gain is no more than the word of a model without curvature: of flat losses slopes then remain."""
        if not self.loss.flat:
            return True
        local = self._local(point, frame)
        assert local.bias_gradient is not None
        left = np.append(frame.penalty.subgradient(self._v(point), local.gradient), local.bias_gradient)
        most = self.loss.sides()[1] * np.append(frame.sizes, 1.0)
        return bool(np.all(np.abs(left) <= _SLOPE * most))

    def _widths(self, point: Point) -> list[float]:
        """From the size of most residuals down to the loss's own, which is 0."""
        width, widths = 4 * sizes.typical(point.local.histogram), []
        while width > self.loss.parameter:
            widths.append(width)
            width /= 4
        return [*widths, 0.0]

    def _steps(self, point: Point, frame: Frame, enough: float) -> tuple[Point, bool]:
        damping, before = 0.0, math.inf
        for _ in range(_STEPS):
            step = self._step(point, frame, damping)
            noise, gain = self._noise(point), step.gain
            if self.loss.flat and self._settled(point, frame):
                return point, True
            if step.gain < -noise and damping < _MOST_DAMPING:  # so few rows are curved that the model is not solved
                damping = max(8 * damping, _DAMPING)
                continue
            # Each step leaves about the same share; in what is rounding of the objective, as long as the slopes tell anything.
            rest = gain * min(1.0, gain / before) if math.isfinite(before) else gain
            last = gain <= noise if self.loss.flat else rest <= enough or (gain <= noise and gain > before / 4)
            last = last and step.bounded and damping == 0
            # The first step of a penalty ends with a Hessian of its own, which serves until steps gain little.
            curved = self.loss.flat or not gain <= _SLOW * before or not math.isfinite(before)
            found = self._searched(point, step, frame, noise, curved)
            if last:
                return found or point, self._settled(found or point, frame)
            if found is not None:
                point, damping, before = found, damping / 8 if damping > _DAMPING else 0.0, gain
            elif point.stale:
                point = self._at(point.part)
            else:
                damping = max(8 * damping, _DAMPING)
                if damping > _MOST_DAMPING:
                    break
        return point, False

    def _step(self, point: Point, frame: Frame, damping: float) -> Step:
        """What minimises the model of the objective; in v."""
        return frame.step(
            self._local(point, frame), self._v(point), self.loss.bound(point.part.smoothing), damping, BACKENDS[self.engine]
        )

    def _v(self, point: Point) -> Floats:
        v: Floats = self.units * point.part.weights
        return v

    def _local(self, point: Point, frame: Frame) -> Local:
        """What a pass has told, in v and with the penalties."""
        local, v, k = point.local, self._v(point), len(point.part.outputs)
        units = np.tile(np.append(self.scale, 1.0), k)
        hessian = local.hessian / units / units[:, None]
        penalised = np.flatnonzero(np.tile(np.append(np.ones(len(v), bool), False), k))
        hessian[penalised, penalised] += frame.penalty.l2
        gradient = local.gradient / self.scale[:, None] + frame.penalty.l2 * v
        return local._replace(gradient=gradient, hessian=hessian)

    def _objective(self, point: Point, frame: Frame) -> float:
        return point.local.smoothed + frame.penalty.value(self._v(point))

    def _searched(self, point: Point, step: Step, frame: Frame, noise: float, curved: bool) -> Point | None:
        """A point on the way of a step that lies lower by a share of what was promised; None where there is none.

        ``curved``: with a Hessian of its own; else with that of the point before, which costs a fraction of a pass.
        """
        before, share = self._objective(point, frame), 1.0
        while share > _LEAST:
            part = self._moved(point.part, share * step.delta, frame)
            found = self._at(part) if curved else self._near(point, part)
            fall = before - self._objective(found, frame)
            if np.isfinite(fall) and np.isfinite(found.local.gradient).all() and fall >= _SHARE * share * step.gain - noise:
                return found
            share /= 4
        return None

    def _moved(self, part: Part, delta: Floats, frame: Frame) -> Part:
        dv, db = frame.away(delta)
        dw = dv / self.scale[:, None]
        weights = part.weights + dw
        if frame.penalty.l1 > 0:  # what a step makes 0 is 0, not a rounding of it
            weights = np.where(np.abs(weights) <= 4 * _EPS * np.abs(dw), 0.0, weights)
        assert part.bias is not None
        assert db is not None
        return part._replace(weights=weights, bias=part.bias + db)

    def _noise(self, point: Point) -> float:
        """What of an objective is rounding: of its terms, and of predictions."""
        terms, size = self.raw.terms(point.part.weights, point.part.bias), abs(point.local.objective)
        steep, bend = self.loss.steepness(point.local.objective)
        return 8 * _EPS * (size + steep * terms) + bend * (8 * _EPS * terms) ** 2

    def _proved(self, point: Point, frame: Frame) -> float:
        """By how much the objective may lie above the best one; NaN where nothing is proved."""
        if not self.loss.has_conjugate:
            return float("nan")
        local, v = self._local(point, frame), self._v(point)
        part = Part(point.part.outputs, v, point.part.bias)
        step = frame.step(local, v, self.loss.bound(), 0.0, BACKENDS[self.engine])
        rows = Scaled(self.table, self.scale), None, None, self.n_threads
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            proof = certificate.prove(*rows, self.loss, (v, part.bias), part, step.delta, local.hessian, 0.0, frame)
        return float("nan") if proof.gap is None else proof.gap
