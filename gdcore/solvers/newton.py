"""Newton's method: gradient descent in the metric of the Hessian, one pass over the rows an epoch.

    w ← w + δ,   δ = argmin g·δ + ½·δᵀ(H + ν·B)δ + l1·‖w + δ‖₁

with gradient g and Hessian H at w, from the pass that told the objective there (`gdcore.facts.curvature`). The damping ν is 0
as a rule. A step that does not lower the objective by a share of what the model promised is not taken; a part of it is tried.
Where the Hessian has no minimum to offer, for few rows are curved, ν is above 0 and B is the bound of the Hessian (Levenberg
1944, Marquardt 1963). Where what is left to gain is less than the rounding of the objective, a step is taken if it lowers what
is left. Until the end is near the Hessian is of some of the rows, where there are many; loss and gradient are of all.

Losses of real targets start from the least-squares solution where that is lower, which the moments give for nothing: a huber
loss or an absolute error knows nothing of how far away its targets are.

mae and quantile are smoothed within h, solved, and solved again with a smaller h, which the sizes of the residuals choose.
Once few rows lie near their target, the minimum over these is found exactly, all others kept on the side of their target on
which they are (`gdcore.solvers.vertex`; the reduction is that of Portnoy and Koenker 1997); where the sides hold, it is that
over all rows. The model is always the best of the weights that were met, by the loss itself. A huber loss far from its targets
descends likewise, down to its own δ.

"converged" is said where `gdcore.facts.certificate` proves it on the rows.
"""

from __future__ import annotations

import functools
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.facts import certificate
from gdcore.facts.curvature import Frame, Local, Part, Step, measured
from gdcore.facts.metric import Metric
from gdcore.rows import arrays, sizes
from gdcore.solvers import vertex
from gdcore.solvers.vertex import joined, near
from gdcore.training.problem import Values

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.rows.tables import Piece

_EPS = float(np.finfo(np.float64).eps)
_SHARE = 1e-3  # of what the model promised: a step that gains less is not taken (Armijo's rule)
_LEAST_DAMPING, _MOST_DAMPING = 1e-4, 1e8
_LEAST_SHARE = 1e-9  # of a step
_CLOSE = 0.1  # of what smoothing costs: a smoothed problem that has less to gain is solved well enough to go on
_EXACT = 1e-9  # of what smoothing costs: solved so well that a proof can be made of its slopes
LEEWAY = 1000.0
"""So many times tol a gap may be that is known no better, for rounding."""
_SIXTEEN, _ROWS = 16, 64
_NEAR = 0.01  # of the loss is left to gain, or less
_DIGITS = 1e-21  # of the loss: when no more is left to gain, weights have ten digits
_SLOW = 0.25  # of what there was to gain is left: a Hessian of some of the rows tells too little
_TINY = 1e-290  # h whose reciprocal is still a number
_ROUGH = 1e-7  # of the terms of a prediction: residuals so small say nothing of how wide h should be
_UNBOUNDED = 1e300  # what a model without a minimum has to gain
_FEW, _CHEAP = 50, 2000  # p times the one and the other: of so many rows corners are looked for
_PROGRESS = 100  # times: while an epoch makes what is left to gain so much less, the descent goes on by default


class Numbers:
    """Views of the numbers that a run keeps of every part: a row of them in a checkpoint each.

    ``smoothing`` is h, ``damping`` ν; ``share`` how much of a step is taken; the Hessian
    is of every ``stride``-th row; ``gain`` what there was left to gain; ``met`` the objective of the model; ``ended`` how the
    part stands, `OPEN`, `PROVED` or `STUCK`; ``gap`` what is proved of the model.
    """

    NAMES = ("smoothing", "damping", "share", "stride", "gain", "met", "ended", "gap")
    OPEN, PROVED, STUCK = 0.0, 1.0, 2.0

    def __init__(self, table: Floats) -> None:
        self.smoothing, self.damping, self.share, self.stride, self.gain, self.met, self.ended, self.gap = table

    @classmethod
    def fresh(cls, parts: int) -> Floats:
        """The table before the first epoch."""
        table = np.zeros((len(cls.NAMES), parts))
        numbers = cls(table)
        numbers.gain[:] = numbers.met[:] = math.inf
        numbers.gap[:] = math.nan
        numbers.share[:] = numbers.stride[:] = 1.0
        return table


class Newton:
    """The epochs of a `gdcore.training.loop.Training`."""

    def __init__(self, training: Any) -> None:
        self.t = training
        self.separating: dict[int, Floats] = {}
        """Of parts whose classes are separated: the step that goes on for ever."""

    def begin(self) -> None:
        """The moments, and loss, gradient and Hessian at the weights as they are."""
        t = self.t
        t.lr = 1.0
        self.loss: Loss = t.loss_function
        self.kinked = self.loss.curvature is None
        k = t.state.weights.shape[1]
        self.outputs = [tuple(range(k))] if self.loss.targets == "classes" else [(c,) for c in range(k)]
        columns = t.moments.of_columns()
        self.frame = Frame(columns, t.state.bias is not None, t.l1, t.l2)
        self.metric = Metric([columns], [self.loss.curvature or 1.0], t.l2, t.state.bias is not None, "gram")
        self.guesses: Floats = np.zeros(k)
        self.absent: Array = np.zeros(k, bool)
        if self.loss.targets != "real":
            self.guesses, self.absent = self._guesses()
        if self._elsewhere():
            t.state.scalars, t.state.judged = Numbers.fresh(len(self.outputs)), None
        state, numbers = t.state, Numbers(t.state.scalars)
        fresh = bool(np.isinf(numbers.met).all())
        if fresh:
            state.memory[0] = _flat(state.weights, state.bias)
            numbers.stride[:] = 1.0 if self.loss.flat else self._first_stride()
        if self.loss.flat and not numbers.smoothing.all():
            numbers.smoothing[:] = 1.0  # any width will do to see how large the residuals are
            numbers.smoothing[:] = [
                self._first_width(local, part)
                for local, part in zip(self._measured(self.parts(state)), self.parts(state), strict=True)
            ]
        self.locals = self._measured(self.parts(state))
        if fresh:
            numbers.met[:] = [local.objective for local in self.locals]
        t.take(self._values(state, self.locals))
        t.check_start()

    def _elsewhere(self) -> bool:
        """Whether a run goes on with another model, other rows or another objective: what it knew is then not so any more."""
        numbers = Numbers(self.t.state.scalars)
        if np.isinf(numbers.met).all():
            return False
        models = [part._replace(weights=w, bias=b) for part, w, b in self._models(self.t.state)]
        met = zip(models, self._measured(models), numbers.met, strict=True)
        return any(not abs(found.objective - value) <= 4 * self._noise(found, part) for part, found, value in met)

    def _models(self, state: Any) -> list[tuple[Part, Floats, Floats | None]]:
        """Every part, and the model's weights and bias there."""
        return [(part, *self._model(state, i)) for i, part in enumerate(self.parts(state))]

    def _first_stride(self) -> float:
        """Of how many rows one tells the Hessian well enough until the end is near.

        The step then leaves about √(p/rows) of what is missing: with a sixteenth of the rows, and at least 64 a column, an
        eighth at most, for a sixteenth of the cost, which for many columns is nearly all of an epoch's.
        """
        p = len(self.frame.plain) * len(self.outputs[0])
        return float(max(1, min(_SIXTEEN, self.t.n // (_ROWS * p))))

    def _first_width(self, local: Local, part: Part) -> float:
        """h within which about half of the rows are, or where these fit a little; δ of huber where it is not far below."""
        width = max(sizes.width_of_share(local.histogram, 0.5), _ROUGH * self.frame.terms(part.weights, part.bias))
        return width if self.kinked or width > 4 * self.loss.parameter else self.loss.parameter

    def _guesses(self) -> tuple[Floats, Array]:
        """Of each part the loss of the best constants, and whether a class has no rows.

        By it classes' losses are measured: one that separates them ends at 0. Where all rows are of one class it is the loss
        of weights of 0.
        """
        t, k = self.t, self.t.state.weights.shape[1]
        shares = t._fold(functools.partial(_shares, classes=k if self.loss.targets == "classes" else 0))
        shares = shares[1:] / shares[0]
        rest = 1 - shares if self.loss.targets != "classes" else np.ones(k)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = -np.where(shares > 0, shares * np.log(shares), 0.0) - np.where(rest > 0, rest * np.log(rest), 0.0)
        absent = shares * (1 - shares if self.loss.targets != "classes" else 1.0) <= 0
        if self.loss.targets == "classes":
            terms, absent = np.array([terms.sum()]), np.array([absent.any()])
        return np.where(terms > 0, terms, math.log(k if self.loss.targets == "classes" else 2)), absent

    def some_epochs(self, left: int) -> str:
        """Some epochs; the status."""
        t = self.t
        count = 1 if t.each else min(left, 64)
        columns, counted = t.piece(count)
        status = self.status()
        while counted[0] < count and status == "epochs":
            done = int(counted[0])
            began = time.perf_counter()
            gradient = t.gradients() if t.each else None
            with np.errstate(all="ignore"):  # a step that leaves the finite numbers is not taken
                state, found = self._epoch()
            values = self._values(state, found)
            columns[:3, done] = values.loss, values.norm, time.perf_counter() - began
            # One assignment makes the epoch a whole one, wherever a signal strikes.
            t.state = state
            counted[0], self.locals = done + 1, found
            t.take(values)
            status = self.status()
            if t.each:
                stop = t.after_epoch(columns, gradient)
                status = "early_stopped" if stop and status == "epochs" else status
        return status

    def status(self) -> str:
        """How all parts together stand."""
        ended = Numbers(self.t.state.scalars).ended
        if (ended == Numbers.PROVED).all():
            return "converged"
        return "epochs" if (ended == Numbers.OPEN).any() else "stalled"

    def at_start(self) -> str:
        """The status before an epoch: "converged" where it is proved of the weights as they are.

        What was judged by another tol is judged anew.
        """
        state = self.t.state.copy()
        Numbers(state.scalars).ended[:] = Numbers.OPEN
        if not self.loss.flat:
            for i in range(len(self.outputs)):
                self._judge(state, i, self.locals[i], True)
        self.t.state = state
        return self.status()

    # One epoch ---------------------------------------------------------------------------------------------------------------

    def _epoch(self) -> tuple[Any, list[Local]]:
        """One epoch: the state and what the pass told."""
        t = self.t
        state = t.state.copy()
        state.done += 1
        numbers, locals_ = Numbers(state.scalars), list(self.locals)
        parts = self.parts(state)
        first = np.isinf(numbers.gain)
        trials, gains, going = [], {}, [i for i in range(len(parts)) if numbers.ended[i] == Numbers.OPEN]
        for i in going:
            if first[i] and self.loss.targets == "real" and not t.squared:
                trials.append(self._least_squares(parts[i]))
                continue
            step = self._step(locals_[i], parts[i], numbers.damping[i])
            if not step.bounded:
                numbers.damping[i] = _LEAST_DAMPING
                numbers.share[i] = 1.0
            share = numbers.share[i]
            gains[i] = step.gain * share
            trials.append(self._moved(parts[i], step.delta * share, share == 1))
        for i, trial, found in zip(going, trials, self._measured(trials), strict=True):
            before = locals_[i]
            noise = self._noise(before, parts[i])
            if i not in gains:
                taken = found.objective < before.objective
                numbers.gain[i] = math.nan
            else:
                taken = self._taken(before, found, parts[i], trial, gains[i], noise, numbers, i)
            if taken:
                locals_[i] = found
                _put(state, trial)
                if found.objective <= numbers.met[i] + (noise if gains.get(i, math.inf) <= noise else 0.0):
                    self._meet(state, i, trial, found.objective)
            if i not in gains and self.loss.flat:
                numbers.smoothing[i] = self._first_width(locals_[i], self._part(state, i))
                [locals_[i]] = self._measured([self._part(state, i)])
            elif i in gains:
                self._judge(state, i, locals_[i], taken)
                there = self._part(state, i)
                here = trial if taken else parts[i]
                if there[3:] != here[3:] or not np.array_equal(there.weights, here.weights):
                    [locals_[i]] = self._measured([self._part(state, i)])
        state.judged = t.tol, bool((numbers.ended == Numbers.PROVED).all())
        return state, locals_

    def _taken(
        self, before: Local, found: Local, part: Part, trial: Part, gain: float, noise: float, numbers: Numbers, i: int
    ) -> bool:
        """Whether the step to ``trial`` is taken; the damping of the next one follows."""
        fall = before.smoothed - found.smoothed
        taken = bool(np.isfinite(found.smoothed) and np.isfinite(found.gradient).all()) and fall >= _SHARE * gain
        if not taken and gain <= noise and -fall <= noise:
            taken = self._step(found, trial, 0.0).gain < gain / 2
            if not taken:
                numbers.share[i] = 0.0  # no step is known to be better
                return False
        if not taken and numbers.damping[i] == 0:
            shorter = self._crossing(before, found, part, trial) * numbers.share[i]
            numbers.share[i] = shorter if shorter > _LEAST_SHARE else 0.0
        elif not taken:
            numbers.damping[i] *= 8
            if numbers.damping[i] > _MOST_DAMPING:
                numbers.share[i] = 0.0
        elif numbers.damping[i] == 0:
            numbers.share[i] = min(1.0, 4 * numbers.share[i])
        elif fall > 0.75 * gain:
            numbers.damping[i] /= 8
        elif fall < 0.25 * gain and gain > noise:
            numbers.damping[i] *= 2
        return taken

    def _crossing(self, before: Local, found: Local, part: Part, trial: Part) -> float:
        """Where on the way to ``trial`` the tangents of both ends meet, as at a kink: from a millionth to a half."""
        w, b = trial.weights - part.weights, 0.0 if trial.bias is None or part.bias is None else trial.bias - part.bias
        slopes = []
        for local, there, side in ((before, part, 1.0), (found, trial, -1.0)):
            slope = float(np.sum(local.gradient * w)) + (
                0.0 if local.bias_gradient is None else float(local.bias_gradient @ b)
            )
            l1 = np.where(there.weights == 0, side * np.abs(w), np.sign(there.weights) * w)
            slopes.append(slope + self.frame.l1 * float(np.sum(l1)))
        meet = np.divide(found.smoothed - slopes[1] - before.smoothed, slopes[0] - slopes[1])
        return float(np.clip(meet, 1e-6, 0.5)) if np.isfinite(meet) else 0.25

    def _judge(self, state: Any, i: int, local: Local, taken: bool) -> None:
        """Whether a part has ended, by proof where there is one; or of mae and quantile, whether h becomes smaller."""
        numbers, part = Numbers(state.scalars), self._part(state, i)
        step = self._step(local, part, 0.0)
        gain = step.gain if step.bounded else _UNBOUNDED
        noise = self._noise(local, part)
        before, numbers.gain[i] = numbers.gain[i], gain
        stuck = numbers.share[i] == 0
        if self.kinked or part.smoothing > self.loss.parameter * self.loss.flat:
            self._narrow(state, i, local, (step.delta, gain, noise), stuck)
            return
        if numbers.met[i] <= noise and self.loss.targets == "real":
            numbers.ended[i], numbers.gap[i] = Numbers.PROVED, numbers.met[i]  # no loss is below 0
            return
        if step.bounded and numbers.damping[i] < _LEAST_DAMPING:
            numbers.damping[i] = 0.0
        scale = max(local.objective, self.guesses[i])
        if self.loss.flat:  # huber: far rows, of which one may be all of the objective, count as others do
            size, delta = sizes.typical(local.histogram), self.loss.parameter
            near = min(size, delta)
            scale = min(scale, near * (size - near / 2) + self.frame.penalty(part.weights))
        enough = self._tol() * scale + noise
        falls = not before <= gain * _PROGRESS and gain > _DIGITS * scale
        done = gain <= enough and not (self.t.options.tol is None and taken and falls)
        if numbers.stride[i] > 1:
            slow = gain < _NEAR * scale and (not taken or gain > _SLOW * before)
            if stuck or slow or gain <= enough or numbers.met[i] <= enough:
                numbers.stride[i], numbers.share[i], numbers.gain[i] = 1.0, 1.0, math.nan
            return
        if not stuck and not done and not (numbers.met[i] <= enough and self.loss.targets != "real"):
            return
        weights, bias = self._model(state, i)
        proof = self._prove((weights, bias), part, step.delta, local.hessian)
        gap = min(proof.objective, math.inf if proof.gap is None else proof.gap)  # no loss is below 0
        moving = proof.moves and not proof.separates and gain > _EPS * self.guesses[i]
        if moving and not stuck and (self.t.options.tol is None or gap > enough):
            return  # nothing is left to gain, and yet rows move: classes are about to be separated
        if stuck:
            enough *= self._leeway()
        if gap <= enough + 2 * proof.rounding or (proof.separates and gain <= enough):
            numbers.ended[i], numbers.gap[i] = Numbers.PROVED, gap
            if proof.separates or (part.bias is not None and self.absent[i]):
                away = step.delta if proof.moves else self.frame.slope(weights, bias)
                self.separating[i] = away if proof.separates else 0 * step.delta
        elif stuck:
            numbers.ended[i] = Numbers.STUCK

    def _leeway(self) -> float:
        """So many times tol, where none was asked for, is enough where rounding ends the descent."""
        return LEEWAY if self.t.options.tol is None else 1.0

    def _tol(self) -> float:
        return float(self.t.default_tol() if self.t.tol is None else self.t.tol)

    def _step(self, local: Local, part: Part, damping: float) -> Step:
        bound = self.loss.bound(part.smoothing)
        return self.frame.step(local, part.weights, bound, damping, self.t.backend)

    def _noise(self, local: Local, part: Part) -> float:
        """What of an objective is rounding: of its terms, and of the predictions, which are sums of larger terms."""
        terms = self.frame.terms(part.weights, part.bias)
        name = self.loss.name
        steep, bend = min(1.0, abs(local.objective)) if self.loss.targets != "real" else 1.0, 0.0
        if name in ("mse", "huber"):
            steep, bend = 2 * math.sqrt(max(local.objective, 0.0)), 2.0
            steep = min(steep, self.loss.parameter) if name == "huber" else steep
        return 8 * _EPS * (abs(local.smoothed) + steep * terms) + bend * (8 * _EPS * terms) ** 2

    def _prove(self, point: tuple[Floats, Floats | None], part: Part, delta: Floats, hessian: Floats) -> certificate.Proof:
        t = self.t
        return certificate.prove(
            t.X, t.Y, t.sample_weight, t.n_threads, self.loss, point, part, delta, hessian, 0.0, self.frame
        )

    def _least_squares(self, part: Part) -> Part:
        """Where squared error would end."""
        quadratic, own = self.t.quadratic, list(part.outputs)
        bias = None if quadratic.bias is None else quadratic.bias[own]
        return part._replace(weights=quadratic.weights[:, own].copy(), bias=bias)

    # mae and quantile --------------------------------------------------------------------------------------------------------

    def _narrow(self, state: Any, i: int, local: Local, step: tuple[Floats, float, float], stuck: bool) -> None:
        """Where the smoothed problem is solved, or may be left out: the corner is tried, and h becomes smaller."""
        numbers, part = Numbers(state.scalars), self._part(state, i)
        delta, gain, noise = step
        n, p = self.t.n, self.frame.plain.shape[0]
        typical, tol = sizes.typical(local.histogram), self._tol()
        scale = typical + self.frame.penalty(part.weights)
        smallest = part.smoothing <= max(4 * _EPS * (self.frame.terms(part.weights, part.bias) + typical), _TINY)
        enough = tol * scale + noise
        few = _FEW * p + _CHEAP
        if numbers.met[i] <= noise:
            numbers.ended[i], numbers.gap[i] = Numbers.PROVED, numbers.met[i]  # no loss is below 0
            return
        if n <= few and math.isnan(numbers.gap[i]) and self._corner(state, i, part, math.inf, typical, enough):
            return
        extra = local.smoothed - local.objective
        if gain > max(_CLOSE * abs(extra), noise) and not stuck:
            return
        width = sizes.width_below(local.histogram, few / n) if n > few else math.inf
        if width >= 4 * part.smoothing and self._corner(state, i, part, width, typical, enough):
            return
        if not self.kinked:
            numbers.smoothing[i] = max(self.loss.parameter, sizes.next_width(local.histogram, part.smoothing, p / n))
            numbers.damping[i], numbers.share[i], numbers.gain[i] = 0.0, 1.0, math.nan
            return
        if smallest or (extra <= enough):
            if smallest:
                enough *= self._leeway()
            if gain > max(_EXACT * extra, noise) and not stuck:
                return
            if self._ends(state, i, (part.weights, part.bias), part, delta, local.hessian, enough):
                return
        if smallest:
            numbers.ended[i] = Numbers.STUCK
            return
        numbers.smoothing[i] = sizes.next_width(local.histogram, part.smoothing, p / n)
        numbers.damping[i], numbers.share[i], numbers.gain[i] = 0.0, 1.0, math.nan

    def _corner(self, state: Any, i: int, part: Part, width: float, typical: float, enough: float) -> bool:
        """Whether the minimum over the rows within a width of their target, all others on their side, ends the part."""
        numbers = Numbers(state.scalars)
        corner = self.t._fold(functools.partial(near, part=part, mean=self.frame.mean, width=width, loss=self.loss), joined)
        found = vertex.corner(corner, part, self.frame, self.loss, self.t.moments.total, width, typical)
        if found is None:
            return False
        there, delta = found
        [local] = self._measured([there])
        if not self.kinked:  # a corner of δ·|r|, near which huber's minimum lies
            numbers.gap[i] = math.inf
            return self._goes_on_from(state, i, there, local.objective)
        if delta is None:
            step = self._step(local, there, 0.0)
            delta = step.delta if step.bounded else 0 * step.delta
        if not self._ends(state, i, (there.weights, there.bias), there, delta, local.hessian, enough):
            self._goes_on_from(state, i, there._replace(smoothing=part.smoothing), local.objective)
            return False
        _put(state, there)
        numbers.smoothing[i] = there.smoothing
        return True

    def _goes_on_from(self, state: Any, i: int, part: Part, objective: float) -> bool:
        """Whether weights are better than the model's, and so become them."""
        numbers = Numbers(state.scalars)
        if not objective < numbers.met[i]:
            return False
        self._meet(state, i, part, objective)
        _put(state, part)
        numbers.smoothing[i], numbers.damping[i], numbers.share[i], numbers.gain[i] = part.smoothing, 0.0, 1.0, math.nan
        return True

    def _ends(
        self,
        state: Any,
        i: int,
        point: tuple[Floats, Floats | None],
        part: Part,
        delta: Floats,
        hessian: Floats,
        enough: float,
    ) -> bool:
        """Whether a point is proved to be the end; if so it becomes the model."""
        numbers = Numbers(state.scalars)
        proof = self._prove(point, part, delta, hessian)
        numbers.gap[i] = math.inf if proof.gap is None else proof.gap
        enough += 2 * proof.rounding
        if numbers.gap[i] > enough or proof.objective > numbers.met[i] + enough:
            return False
        numbers.ended[i] = Numbers.PROVED
        if proof.objective <= numbers.met[i]:
            self._meet(state, i, part._replace(weights=point[0], bias=point[1]), proof.objective)
        return True

    # The state ---------------------------------------------------------------------------------------------------------------

    def _measured(self, parts: list[Part]) -> list[Local]:
        t = self.t
        if t.method == "gram":
            return [self._on_moments(part) for part in parts]
        if t.squared:
            parts = [part._replace(stride=0) for part in parts]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return measured(t.X, t.Y, t.sample_weight, t.n_threads, t.options.backend, self.loss, parts, self.frame)

    def _on_moments(self, part: Part) -> Local:
        """Squared error, as the second moments tell it."""
        frame, own = self.frame, list(part.outputs)
        loss, gradient, bias_gradient = self.t.quadratic.of_outputs(own, part.weights, part.bias)
        objective = loss + frame.l1 * float(np.sum(np.abs(part.weights)))
        hessian = frame.hessian(2 * frame.plain[None, None].copy())
        return Local(objective, objective, gradient, bias_gradient, hessian, np.zeros(0))

    def parts(self, state: Any) -> list[Part]:
        """Where every part stands."""
        return [self._part(state, i) for i in range(len(self.outputs))]

    def _part(self, state: Any, i: int) -> Part:
        w, b = _unflat(state.memory[0], state.weights, state.bias)
        own = list(self.outputs[i])
        numbers = Numbers(state.scalars)
        bias = None if b is None else b[own]
        return Part(self.outputs[i], w[:, own], bias, float(numbers.smoothing[i]), int(numbers.stride[i]))

    def _moved(self, part: Part, delta: Floats, whole: bool) -> Part:
        w, b = self.frame.away(delta)
        weights = part.weights + w
        if self.frame.l1 > 0 and whole:
            # What the step makes 0 is 0, not a rounding of it.
            weights = np.where(np.abs(weights) <= 2 * _EPS * np.abs(w), 0.0, weights)
        return part._replace(weights=weights, bias=None if part.bias is None or b is None else part.bias + b)

    def _meet(self, state: Any, i: int, part: Part, objective: float) -> None:
        """The part's weights become those of the model."""
        own = list(self.outputs[i])
        state.weights = state.weights.copy()
        state.weights[:, own] = part.weights
        if part.bias is not None:
            state.bias = state.bias.copy()
            state.bias[own] = part.bias
        Numbers(state.scalars).met[i] = objective

    def _model(self, state: Any, i: int) -> tuple[Floats, Floats | None]:
        own = list(self.outputs[i])
        return state.weights[:, own], None if state.bias is None else state.bias[own]

    def _values(self, state: Any, locals_: list[Local]) -> Values:
        """Loss and gradient of all parts."""
        t = self.t
        gradient = np.zeros(state.weights.shape)
        bias_gradient = None if state.bias is None else np.zeros(len(state.bias))
        for own, local in zip(self.outputs, locals_, strict=True):
            gradient[:, list(own)] = local.gradient
            if bias_gradient is not None:
                bias_gradient[list(own)] = local.bias_gradient
        w, _ = _unflat(state.memory[0], state.weights, state.bias)
        norm = float(t.backend.gradient_norm(np.ascontiguousarray(w), gradient, bias_gradient, t.l1))
        return Values(float(np.sum(Numbers(state.scalars).met)), gradient, bias_gradient, norm)


def _shares(piece: Piece, n_threads: int, *, classes: int) -> Floats:
    """Σ s, and for each class, or of each output, Σ s of the rows that have it."""
    s = np.ones(len(piece.Y)) if piece.sample_weight is None else piece.sample_weight.astype(np.float64)
    arrays.labels(piece.Y, "classes" if classes else "binary", classes or None, "in a piece of the table Y")
    if classes:
        sums: Array = np.bincount(piece.Y[:, 0].astype(np.intp), weights=s, minlength=classes)
    else:
        sums = s @ piece.Y.astype(np.float64)
    return np.concatenate([[s.sum()], sums])


def _put(state: Any, part: Part) -> None:
    """The part's weights become those that the descent goes on from."""
    w, b = _unflat(state.memory[0], state.weights, state.bias)
    w[:, list(part.outputs)] = part.weights
    if b is not None:
        b[list(part.outputs)] = part.bias
    state.memory[0] = _flat(w, b)


def _flat(weights: Array, bias: Array | None) -> Floats:
    """All parameters in a row, as the backends order them."""
    rest = np.zeros(weights.shape[1]) if bias is None else bias
    return np.concatenate([weights.T.ravel(), rest]).astype(np.float64)


def _unflat(flat: Floats, weights: Array, bias: Array | None) -> tuple[Floats, Floats | None]:
    d, k = weights.shape
    return flat[: d * k].reshape(k, d).T.copy(), None if bias is None else flat[d * k :].copy()
