"""The parts of a problem that Newton's method descends side by side: each output, or of softmax all outputs together.

Where they stand is kept in the state; here it is read and written, and passes and steps are made of it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from gdcore.descent.objective import Evaluation
from gdcore.descent.state import State, flat, like, unflat
from gdcore.facts import certificate
from gdcore.facts.curvature import Local, Part, Step, measured
from gdcore.solvers.amounts import amounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gdcore._types import Array, Floats
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem
    from gdcore.facts.curvature import Frame
    from gdcore.solvers.amounts import Amounts

_EPS = float(np.finfo(np.float64).eps)
OPEN, PROVED, STUCK = 0.0, 1.0, 2.0
"""How a part stands: it goes on; its end is proved; no step is known to be better."""


@dataclass
class Numbers:
    """What Newton's method keeps of every part (parts,), in the order of a checkpoint's rows."""

    smoothing: Floats
    """h."""
    damping: Floats
    """ν."""
    share: Floats
    """How much of a step is taken."""
    stride: Floats
    """The Hessian is of every so-manieth row."""
    gain: Floats
    """What there was left to gain."""
    met: Floats
    """The objective of the model."""
    ended: Floats
    """How the part stands: `OPEN`, `PROVED` or `STUCK`."""
    gap: Floats
    """What is proved of the model."""

    @classmethod
    def fresh(cls, parts: int) -> Numbers:
        """Before the first epoch."""
        zeros, ones, far = np.zeros(parts), np.ones(parts), np.full(parts, math.inf)
        return cls(zeros, zeros, ones, ones, far, far, zeros, np.full(parts, math.nan)).copy()

    def copy(self) -> Numbers:
        return Numbers(*(getattr(self, field.name).copy() for field in fields(self)))

    def to_arrays(self) -> dict[str, Array]:
        return {"scalars": np.stack([getattr(self, field.name) for field in fields(self)])}

    def from_arrays(self, arrays: Mapping[str, Array]) -> Numbers:
        return Numbers(*like(arrays, "scalars", self.to_arrays()["scalars"])).copy()


class Parts:
    """The parts of a problem, and what their passes have in common."""

    def __init__(self, problem: Problem, plan: Plan) -> None:
        self.problem, self.plan, self.loss = problem, plan, problem.loss_function
        self.kinked = self.loss.kinked
        k = problem.outputs
        self.outputs = [tuple(range(k))] if self.loss.targets == "classes" else [(c,) for c in range(k)]
        """Of each part."""
        self.tol = plan.default_tol if plan.tol is None else plan.tol
        self.separating: dict[int, Floats] = {}
        """Of parts whose classes are separated: the step that goes on for ever."""

    @property
    def frame(self) -> Frame:
        """The coordinates of all steps, which follow from the second moments."""
        return self.problem.frame

    @functools.cached_property
    def amounts(self) -> Amounts | None:
        """What is known of targets that are amounts."""
        return amounts(self.problem) if self.loss.has_link else None

    def __len__(self) -> int:
        return len(self.outputs)

    # Where they stand -----------------------------------------------------------------------------------------------------

    def at(self, state: State[Numbers], i: int) -> Part:
        """Where a part's descent stands."""
        w, b = self._from(state)
        own = list(self.outputs[i])
        bias = None if b is None else b[own]
        return Part(self.outputs[i], w[:, own], bias, float(state.own.smoothing[i]), int(state.own.stride[i]))

    def all_at(self, state: State[Numbers]) -> list[Part]:
        """Where every part's descent stands."""
        return [self.at(state, i) for i in range(len(self))]

    def put(self, state: State[Numbers], part: Part) -> None:
        """The part's weights become those that the descent goes on from."""
        w, b = self._from(state)
        w[:, list(part.outputs)] = part.weights
        if b is not None:
            b[list(part.outputs)] = part.bias
        assert state.memory is not None
        state.memory[0] = flat(w, b)

    @staticmethod
    def _from(state: State[Numbers]) -> tuple[Floats, Floats | None]:
        """The weights and bias that the descent goes on from."""
        assert state.memory is not None
        return unflat(state.memory[0], state.weights, state.bias)

    def model(self, state: State[Numbers], i: int) -> tuple[Floats, Floats | None]:
        """The model's weights and bias of a part: the best that were met."""
        own = list(self.outputs[i])
        return state.weights[:, own], None if state.bias is None else state.bias[own]

    def meet(self, state: State[Numbers], i: int, part: Part, objective: float) -> None:
        """The part's weights become those of the model."""
        own = list(self.outputs[i])
        state.weights = state.weights.copy()
        state.weights[:, own] = part.weights
        if part.bias is not None and state.bias is not None:
            state.bias = state.bias.copy()
            state.bias[own] = part.bias
        state.own.met[i] = objective

    def moved(self, part: Part, delta: Floats, whole: bool) -> Part:
        """The part after a step."""
        w, b = self.frame.away(delta)
        weights = self.frame.landed(part.weights, w) if whole else self.frame.penalty.box.clip(part.weights + w)
        return part._replace(weights=weights, bias=None if part.bias is None or b is None else part.bias + b)

    def first(self, part: Part) -> Part | None:
        """Where to look first: where squared error would end, or of amounts at the best constant, where there is one."""
        if self.amounts is None:
            return self._least_squares(part)
        constants = self.amounts.constants[list(part.outputs)]
        if part.bias is None or not np.isfinite(constants).all():
            return None
        return part._replace(weights=self.frame.penalty.box.clip(np.zeros_like(part.weights)), bias=constants)

    def _least_squares(self, part: Part) -> Part:
        quadratic, own, penalty = self.problem.quadratic, list(part.outputs), self.frame.penalty._replace(l1=0.0)
        bias = None if quadratic.bias is None else quadratic.bias[own]
        weights, bias = quadratic.metric.prox(quadratic.weights[:, own].copy(), bias, 1.0, penalty, self.problem.backend)
        return part._replace(weights=weights, bias=bias)

    # What a pass tells ------------------------------------------------------------------------------------------------------

    def measured(self, parts: list[Part]) -> list[Local]:
        """Loss, gradient and Hessian of some parts, in one pass."""
        problem = self.problem
        if self.plan.method == "gram":
            return [self._on_moments(part) for part in parts]
        if problem.squared:
            parts = [part._replace(stride=0) for part in parts]
        rows = (problem.X, problem.Y, problem.sample_weight, problem.n_threads)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return measured(*rows, problem.backend_name, self.loss, parts, self.frame)

    def _on_moments(self, part: Part) -> Local:
        """Squared error, as the second moments tell it."""
        frame, own = self.frame, list(part.outputs)
        loss, gradient, bias_gradient = self.problem.quadratic.of_outputs(own, part.weights, part.bias)
        objective = loss + frame.penalty.l1 * float(np.sum(np.abs(part.weights)))
        hessian = frame.hessian(2 * frame.plain[None, None].copy())
        return Local(objective, objective, gradient, bias_gradient, hessian, np.zeros(0))

    def step(self, local: Local, part: Part, damping: float) -> Step:
        """The step from where a pass has told the Hessian."""
        bound = self.loss.bound(part.smoothing)
        return self.frame.step(local, part.weights, bound, damping, self.problem.backend)

    def noise(self, local: Local, part: Part) -> float:
        """What of an objective is rounding: of its terms, and of the predictions, which are sums of larger terms."""
        if self.kinked:
            return self.noise_of(part, local.smoothed)
        terms = self.frame.terms(part.weights, part.bias)
        if self.amounts is None:
            steep, bend = self.loss.steepness(local.objective)
        else:
            steep = bend = float(np.sum(self.amounts.curvature[list(part.outputs)]))
        return 8 * _EPS * (abs(local.smoothed) + steep * terms) + bend * (8 * _EPS * terms) ** 2

    def noise_of(self, part: Part, objective: float) -> float:
        """Likewise of a loss that is no steeper than 1."""
        return 8 * _EPS * (abs(objective) + self.frame.terms(part.weights, part.bias))

    def prove(self, point: tuple[Floats, Floats | None], part: Part, delta: Floats, hessian: Floats) -> certificate.Proof:
        """The bound at a point, from the step that Newton's method takes from a part."""
        problem = self.problem
        rows = (problem.X, problem.Y, problem.sample_weight, problem.n_threads)
        return certificate.prove(*rows, self.loss, point, part, delta, hessian, 0.0, self.frame)

    def evaluation(self, state: State[Numbers], locals_: list[Local]) -> Evaluation:
        """Loss and gradient of all parts."""
        gradient = np.zeros(state.weights.shape)
        bias_gradient = None if state.bias is None else np.zeros(len(state.bias))
        for own, local in zip(self.outputs, locals_, strict=True):
            gradient[:, list(own)] = local.gradient
            if bias_gradient is not None:
                bias_gradient[list(own)] = local.bias_gradient
        w, _ = self._from(state)
        norm = float(
            self.problem.backend.gradient_norm(
                np.ascontiguousarray(w), gradient, bias_gradient, self.problem.l1, **self.problem.objective.held
            )
        )
        return Evaluation(float(np.sum(state.own.met)), norm, gradient, bias_gradient)
