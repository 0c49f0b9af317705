"""The epochs of one call of `fit` as they come: history in pieces, and where the descent stands after them.

A signal may strike between any two instructions. One assignment makes an epoch a whole one: that of `Course.now`, which names
the state, what a pass has told of it, and how many pieces of history belong to it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, NamedTuple

import numpy as np

from gdcore.descent.objective import Evaluation
from gdcore.descent.state import OwnT, State
from gdcore.run import History

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Array, Floats

LOSS, NORM, SECONDS, VALIDATION, LR, EPOCH = range(6)
"""Rows of a piece of history."""
TOLD = slice(LOSS, VALIDATION)
"""Loss, norm and seconds, which an epoch tells."""
_NAMES = ("loss", "gradient_norm", "seconds", "validation_loss", "lr", "epoch")


class Advance(NamedTuple, Generic[OwnT]):
    """What a solver has done when it was asked for some epochs."""

    state: State[OwnT]
    found: Evaluation
    """Of the state."""
    piece: Floats
    """(6, epochs): history; no epochs where none could be done."""
    status: str = "epochs"
    """"epochs"; "converged" or "stalled", no step lowers the loss, where the solver judges that; "diverged"."""
    jump: tuple[int, float] | None = None
    """Of "diverged": the epoch that is not done, and the loss that it would have led to, if that is known."""


class Span(NamedTuple):
    """What a solver is asked for."""

    done: int
    """Epochs since the first start."""
    left: int
    """At most so many more."""
    above: float
    """An epoch whose loss lies above this is not done."""


class Now(NamedTuple, Generic[OwnT]):
    """Where a descent stands."""

    state: State[OwnT]
    found: Evaluation
    pieces: int
    """So many pieces of history are of whole epochs."""
    epoch: int
    """The number of the last one since the first start."""


class Course(Generic[OwnT]):
    """The epochs of one call, after those that were done before it.

    Parameters
    ----------
    before : History
        Of earlier calls.
    state, found
        Where it begins, and what a pass told there.
    """

    def __init__(self, before: History, state: State[OwnT], found: Evaluation) -> None:
        self.before = before
        self.first = int(before.epoch[-1]) if len(before) else 0
        self.pieces: list[Floats] = []
        self.now = Now(state, found, 0, self.first)

    @property
    def state(self) -> State[OwnT]:
        """Where it stands."""
        return self.now.state

    @property
    def epoch(self) -> int:
        """The number of the last epoch since the first start."""
        return self.now.epoch

    @property
    def done(self) -> int:
        """Epochs done in this call."""
        return self.now.epoch - self.first

    @property
    def last(self) -> Floats | None:
        """The column of history of this call's last epoch."""
        pieces = self.now.pieces
        return self.pieces[pieces - 1][:, -1] if pieces else None

    def take(self, made: Advance[OwnT]) -> None:
        """Goes on to where a solver has come to."""
        epoch = self.now.epoch
        if made.piece.shape[1]:
            self.pieces.append(made.piece)
            epoch = int(made.piece[EPOCH, -1])
        self.now = Now(made.state, made.found, len(self.pieces), epoch)

    def find(self, found: Evaluation) -> None:
        """A later pass tells something else of where it stands."""
        self.now = self.now._replace(found=found)

    def only_whole(self, late: Advance[OwnT] | None) -> None:
        """After a signal: takes what a call that it has ended had done, and drops history that is of no whole epoch."""
        del self.pieces[self.now.pieces :]
        if late is not None and late.state is not self.now.state:
            self.take(late)
        if self.last is not None:
            loss, norm = (float(value) for value in self.last[[LOSS, NORM]])
            self.find(self.now.found._replace(loss=loss, norm=norm))

    def history(self) -> History:
        """All epochs, with those of earlier calls."""
        return self.before + history_of(self.pieces[: self.now.pieces])


def piece(rates: float | Sequence[float], numbers: Array) -> Floats:
    """Room for some epochs of history, with their numbers and learning rates."""
    room = np.full((len(_NAMES), len(numbers)), math.nan)
    room[EPOCH] = numbers
    room[LR] = rates
    return room


def history_of(pieces: Sequence[Floats]) -> History:
    """Pieces of history as one."""
    if not pieces:
        return History.empty()
    columns = dict(zip(_NAMES, np.concatenate(pieces, axis=1), strict=True))
    return History(**columns | {"epoch": columns["epoch"].astype(np.int64)})
