"""What the losses of amounts have in common: η is the logarithm of the mean, so that every prediction is above 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gdcore.losses.base import Loss

if TYPE_CHECKING:
    from gdcore._types import Array, Floats


class LogLink(Loss):
    """A loss of η = log μ, μ the mean of y: the family's log-likelihood, but for what does not depend on η."""

    targets: ClassVar[str] = "nonnegative"
    has_link = True

    def mean(self, raw: Array) -> Array:
        with np.errstate(over="ignore"):
            result: Array = np.exp(raw)
        return result

    def link(self, mean: Array) -> Array:
        with np.errstate(divide="ignore"):
            result: Array = np.log(mean)
        return result

    def push(self, step: Floats, Y: Floats) -> tuple[float, float]:
        down = np.where(Y == 0, -step, 0.0)  # a row of 0 is the better predicted the lower
        off = np.where(Y == 0, step, np.abs(step))
        return float(down.max(initial=0.0)), float(off.max(initial=0.0))
