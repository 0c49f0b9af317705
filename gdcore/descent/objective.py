"""What is minimised, what a pass tells of it, and what carries passes out."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from gdcore.penalty import Box

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array
    from gdcore.losses import Loss
    from gdcore.penalty import Bounds


class Evaluation(NamedTuple):
    """What a pass tells at some weights: the objective, its gradient, and the norm of the smallest subgradient."""

    loss: float
    norm: float
    gradient: Array
    """(d, k), of a network one column; empty where no pass has told it."""
    bias_gradient: Array | None = None

    @classmethod
    def unknown(cls, loss: float = math.nan, norm: float = math.nan) -> Evaluation:
        """Where no pass has told a gradient."""
        return cls(loss, norm, np.empty((0, 0)))

    @property
    def known(self) -> bool:
        """Whether a pass has told it, finite or not."""
        return self.gradient.size > 0


class Engine(Protocol):
    """What carries out passes: a backend's functions, or those of a network or a table that stand in for them."""

    @property
    def loss(self) -> Callable[..., float]: ...
    @property
    def loss_gradient(self) -> Callable[..., tuple[float, Array, Array | None]]: ...
    @property
    def gradient_norm(self) -> Callable[..., float]: ...
    @property
    def permutation(self) -> Callable[[Array, int, int], None]: ...
    @property
    def descend(self) -> Callable[..., str]: ...
    @property
    def descend_batches(self) -> Callable[..., str]: ...


@dataclass(frozen=True)
class Objective:
    """The mean loss of the rows, the penalties of the weights, and their bounds."""

    loss: Loss
    l1: float
    l2: float
    bounds: Bounds | None = None

    @functools.cached_property
    def formula(self) -> dict[str, Any]:
        """The loss as the backends take it."""
        return self.loss.arguments

    @functools.cached_property
    def whole(self) -> dict[str, Any]:
        """Loss and penalties as the backends take them."""
        return {**self.formula, "l1": self.l1, "l2": self.l2}

    @functools.cached_property
    def held(self) -> dict[str, Any]:
        """The bounds as the backends' steps take them, where there are any."""
        return {} if self.bounds is None else {"bounds": Box.of(self.bounds, 0).ends}
