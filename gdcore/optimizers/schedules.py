"""Learning-rate schedules: small objects that say by what factor the lr of an epoch differs from the lr given.

Any function of the epoch's number, from 0, that returns a factor can stand in for one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gdcore.checks import integer, number


class Constant(NamedTuple):
    """Always the lr given."""

    def __call__(self, epoch: int) -> float:
        return 1.0


class Step(NamedTuple):
    """What `step` makes."""

    step_size: int
    gamma: float

    def __call__(self, epoch: int) -> float:
        return float(self.gamma ** (epoch // self.step_size))


class Cosine(NamedTuple):
    """What `cosine` makes."""

    epochs: int
    end: float

    def __call__(self, epoch: int) -> float:
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * min(epoch / self.epochs, 1.0))) / 2


class Inverse(NamedTuple):
    """What `inverse` makes."""

    k: float

    def __call__(self, epoch: int) -> float:
        return 1 / (1 + self.k * epoch)


class Root(NamedTuple):
    """What `root` makes."""

    def __call__(self, epoch: int) -> float:
        return 1 / math.sqrt(epoch + 1)


def constant() -> Constant:
    """Always the lr given.

    >>> constant()(1000)
    1.0
    """
    return Constant()


def step(step_size: int, gamma: float = 0.1) -> Step:
    """Times ``gamma`` every ``step_size`` epochs.

    >>> [step(10, gamma=0.5)(epoch) for epoch in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    >>> step(0)
    Traceback (most recent call last):
    ValueError: step_size must be at least 1, found 0
    """
    return Step(integer(step_size, "step_size", 1), number(gamma, "gamma"))


def cosine(epochs: int, end: float = 0.0) -> Cosine:
    """From 1 down to ``end`` along half a cosine, in ``epochs`` epochs; ``end`` after that.

    >>> [round(cosine(100)(epoch), 3) for epoch in (0, 50, 100, 150)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return Cosine(integer(epochs, "epochs", 1), number(end, "end"))


def inverse(k: float) -> Inverse:
    """1/(1 + k·t) in epoch t.

    >>> [inverse(0.5)(epoch) for epoch in (0, 2)]
    [1.0, 0.5]
    """
    return Inverse(number(k, "k"))


def root() -> Root:
    """1/√(t + 1) in epoch t: for losses whose slope jumps, what lr="auto" takes without a metric.

    >>> [root()(epoch) for epoch in (0, 3)]
    [1.0, 0.5]
    """
    return Root()
