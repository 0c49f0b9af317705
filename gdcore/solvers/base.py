"""What every solver does: it begins at a state, and goes on from a state by some epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from gdcore.descent.state import OwnT
from gdcore.descent.stop import Verdict

if TYPE_CHECKING:
    from gdcore._types import Floats
    from gdcore.descent.course import Advance, Span
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem
    from gdcore.descent.proof import Corner
    from gdcore.descent.state import State
    from gdcore.descent.stop import Stop
    from gdcore.facts.curvature import Part
    from gdcore.facts.metric import Metric


class Solver(Generic[OwnT]):
    """The epochs of a plan for a problem."""

    all_at_once = False
    """Whether one call does as many epochs as there are."""
    metric: Metric | None = None
    """That of the steps, where they have one that measures what is left to gain."""

    def __init__(self, problem: Problem, plan: Plan, stop: Stop) -> None:
        self.problem, self.plan, self.stop = problem, plan, stop

    def fresh(self) -> OwnT:
        """What it keeps in a state before the first epoch."""
        raise NotImplementedError

    def begin(self, state: State[OwnT], done: int) -> tuple[State[OwnT], Evaluation]:
        """Makes what all epochs share: where they begin, after ``done`` epochs, and what a pass tells there."""
        raise NotImplementedError

    def advance(self, state: State[OwnT], found: Evaluation, span: Span) -> Advance[OwnT]:
        """Goes on from a state, which stays as it is, by as many epochs as one call is good for."""
        raise NotImplementedError

    def whole(self) -> Advance[OwnT] | None:
        """The whole epochs of a call of `advance` that a signal has ended; None where it was one epoch, or none."""
        return None

    # When to stop ---------------------------------------------------------------------------------------------------------

    def smoothing(self, state: State[OwnT]) -> float:
        """The width h over which slopes are smoothed."""
        return 0.0

    def at_start(self, state: State[OwnT], found: Evaluation) -> tuple[State[OwnT], Verdict]:
        """Whether the start is as good as the end; and the state, in which that is noted."""
        return state, self.stop.at_start(state, found, self.metric, self.smoothing(state))

    def judge(self, state: State[OwnT], found: Evaluation) -> Verdict:
        """Whether the descent has converged."""
        return self.stop.judge(state, found, self.metric, self.smoothing(state))

    # What a run tells of its end ------------------------------------------------------------------------------------------

    @property
    def separating(self) -> list[Floats]:
        """Of outputs whose classes are separated: the step that goes on for ever."""
        return []

    def anchors(self, state: State[OwnT]) -> list[Part] | None:
        """Where the slopes are that prove most of the state; None: at its weights."""
        return None

    def corner(self, state: State[OwnT]) -> Corner | None:
        """What is known of a state where the loss is smallest at a corner; None: nothing."""
        return None
