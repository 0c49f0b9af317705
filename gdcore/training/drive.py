"""The loop: a solver does some epochs, and those who look on see them, until the epochs are done or something ends them.

Ctrl-C may strike anywhere. `guarded` is the one place that answers it: around the epochs, and again around the passes that
follow them.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

from gdcore.descent.course import Span
from gdcore.solvers.stream import EPOCHS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gdcore.descent.course import Course
    from gdcore.solvers.base import Solver
    from gdcore.training.observe import Observer, Watcher

_FASTER = 8  # so many times the epochs of a call the next one may have, while it is found out how many take how long


class Drive:
    """Goes on along a course.

    Parameters
    ----------
    solver : Solver
    course : Course
        Changed: what is done is read off here, wherever a signal strikes.
    observers : sequence of Observer
        They see every epoch, of which a call then has no more than one.
    watchers : sequence of Watcher
        They look between two calls, which become longer until they take as long as these can wait.
    above : float
        The loss that ends the epochs.
    status : str
        "epochs", or what there is to say of a start that is as good as the end.
    """

    def __init__(
        self,
        solver: Solver[Any],
        course: Course[Any],
        observers: Sequence[Observer],
        watchers: Sequence[Watcher],
        above: float,
        status: str = "epochs",
    ) -> None:
        self.solver, self.course, self.observers, self.watchers = solver, course, observers, watchers
        self.above = above
        self.status = status
        """"converged", "stalled", "early_stopped", "diverged" or "interrupted" once something has ended it."""
        self.jump: tuple[int, float] | None = None
        """Of "diverged": the epoch, and its loss; NaN, or None, where it is not known."""

    def guarded(self, work: Callable[[], None]) -> bool:
        """Whether no Ctrl-C has struck the work; if one has, the course is that of the whole epochs."""
        try:
            work()
        except KeyboardInterrupt:
            self.status = "interrupted"
            self.course.only_whole(self.solver.whole())
            return False
        return True

    def epochs(self, count: int) -> None:
        """So many epochs, or fewer."""
        course, watchers = self.course, self.watchers
        pause = min((watcher.seconds for watcher in watchers), default=math.inf)
        most = 1 if watchers else EPOCHS_PER_CALL
        try:
            while self.status == "epochs" and (left := count - course.done) > 0:
                began, before = time.perf_counter(), course.done
                self._call(left if self.solver.all_at_once else min(left, most))
                if watchers:
                    took = max(time.perf_counter() - began, 1e-9)
                    most = max(1, min(EPOCHS_PER_CALL, _FASTER * most, int((course.done - before) * pause / took)))
                for watcher in watchers:
                    watcher.look(course)
        finally:
            with contextlib.ExitStack() as all_of_them:  # whatever becomes of one
                for watcher in reversed(watchers):
                    all_of_them.callback(watcher.close, course)

    def _call(self, left: int) -> None:
        """One call of the solver: its epochs, what is said of them, and who sees them."""
        course, solver = self.course, self.solver
        before = course.now.found
        made = solver.advance(course.state, before, Span(course.epoch, left, self.above))
        course.take(made)
        status, self.jump = made.status, made.jump
        if made.piece.shape[1]:
            if status == "epochs":
                status = solver.judge(course.state, made.found).status
            seen = [observer.after(course, before) for observer in self.observers]
            if status == "epochs" and any(seen):
                status = "early_stopped"
        if status == "epochs" and made.found.loss > self.above:
            status, self.jump = "diverged", (course.epoch, made.found.loss)
        self.status = status
