"""Learning-rate schedules: small objects that say by what factor the lr of an epoch differs from the lr given.

Any function of the epoch's number, from 0, that returns a factor can stand in for one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gdcore.checks import integer, number


@dataclass(frozen=True)
class Constant:
    """Always the lr given.

    >>> constant()(1000)
    1.0
    """

    def __call__(self, epoch: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Step:
    """Times ``gamma`` every ``step_size`` epochs.

    >>> [step(10, gamma=0.5)(epoch) for epoch in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    >>> step(0)
    Traceback (most recent call last):
    ValueError: step_size must be at least 1, found 0
    """

    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        vars(self).update(step_size=integer(self.step_size, "step_size", 1), gamma=number(self.gamma, "gamma"))

    def __call__(self, epoch: int) -> float:
        return float(self.gamma ** (epoch // self.step_size))


@dataclass(frozen=True)
class Cosine:
    """From 1 down to ``end`` along half a cosine, in ``epochs`` epochs; ``end`` after that.

    >>> [round(cosine(100)(epoch), 3) for epoch in (0, 50, 100, 150)]
    [1.0, 0.5, 0.0, 0.0]
    """

    epochs: int
    end: float = 0.0

    def __post_init__(self) -> None:
        vars(self).update(epochs=integer(self.epochs, "epochs", 1), end=number(self.end, "end"))

    def __call__(self, epoch: int) -> float:
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * min(epoch / self.epochs, 1.0))) / 2


@dataclass(frozen=True)
class Inverse:
    """1/(1 + k·t) in epoch t.

    >>> [inverse(0.5)(epoch) for epoch in (0, 2)]
    [1.0, 0.5]
    """

    k: float

    def __post_init__(self) -> None:
        vars(self).update(k=number(self.k, "k"))

    def __call__(self, epoch: int) -> float:
        return 1 / (1 + self.k * epoch)


@dataclass(frozen=True)
class Root:
    """1/√(t + 1) in epoch t: for losses whose slope jumps, what lr="auto" takes without a metric.

    >>> [root()(epoch) for epoch in (0, 3)]
    [1.0, 0.5]
    """

    def __call__(self, epoch: int) -> float:
        return 1 / math.sqrt(epoch + 1)


constant, step, cosine, inverse, root = Constant, Step, Cosine, Inverse, Root
