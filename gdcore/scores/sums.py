"""What is kept of rows that go by so that they can be scored: sums, a confusion matrix, and, for ranks and quantiles, tallies.

Nothing here knows a model: rows are predictions, targets and weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.models.linear import probabilities
from gdcore.plain import number
from gdcore.scores.measures import BINS, area, calibrated, calibration_sums, confusion, f1
from gdcore.scores.named import Baseline, ClassScores, NumberScores
from gdcore.scores.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.scores.named import Scores


class Sums(Protocol):
    """Of rows that are scored."""

    def add(self, raw: Array, Y: Array, s: Array | None) -> None:
        """Rows: predictions (m, k) before they are probabilities, targets (m, k) or (m, 1) classes, weights (m,)."""

    def scores(self) -> Scores:
        """Of all rows up to here."""

    def with_baseline(self, train: Self) -> Scores:
        """The same, beside what the best constant of the rows that trained comes to here."""


class ClassSums:
    """Of classes.

    Parameters
    ----------
    loss : Loss
        logistic or softmax.
    labels : list of str
        What the classes are called.
    """

    def __init__(self, loss: Loss, labels: Sequence[str]) -> None:
        self.loss, self.labels, self.rows = loss, list(labels), 0
        self.total = self.lost = 0.0
        self.confusion: Array = np.zeros((len(labels), len(labels)))
        self.bins: Floats = np.zeros((3, BINS))
        self.ranks = Tally(2)

    def add(self, raw: Array, Y: Array, s: Array | None) -> None:
        """See `Sums`."""
        self.rows += len(raw)
        raw, Y, weights = _weighing(raw, Y, s)
        if not len(raw):
            return
        lost, total = _lost(self.loss, raw, Y, weights)
        self.lost, self.total = self.lost + lost, self.total + total
        y, binary = Y[:, 0].astype(np.intp), self.loss.targets == "binary"
        found = (raw[:, 0] > 0).astype(np.intp) if binary else raw.argmax(axis=1)
        self.confusion += confusion(y, found, len(self.labels), weights)
        two = len(self.labels) == 2
        if self.loss.has_probabilities:
            p = probabilities(raw, self.loss)
            self.bins += (
                calibration_sums(y, p[:, -1], weights) if two else calibration_sums(y == found, p.max(axis=1), weights)
            )
        if not two:
            return
        # Not probabilities, which are rounded near 1 and no longer tell which is higher.
        self.ranks.add(raw[:, 0] if binary else raw[:, 1] - raw[:, 0], weights[:, None] * (y[:, None] == [0, 1]))

    def scores(self) -> ClassScores:
        """See `Sums`."""
        if not self.total:
            return ClassScores(self.loss.name, self.rows, float("nan"))
        return ClassScores(
            self.loss.name, self.rows, self.lost / self.total, accuracy=float(np.trace(self.confusion)) / self.total,
            auc=self._area(), f1=dict(zip(self.labels, f1(self.confusion).tolist(), strict=True)),
            confusion=self.confusion, calibration=calibrated(self.bins),
        )  # fmt: skip

    def _area(self) -> float | None:
        """Under the ROC curve, where there are two classes and rows of both."""
        zeros, ones = np.append(np.zeros((1, 2)), np.cumsum(self.ranks.weights[::-1], axis=0), axis=0).T
        return area(zeros, ones) if zeros[-1] and ones[-1] else None

    def with_baseline(self, train: ClassSums) -> ClassScores:
        """The constant's probabilities are the classes' shares of the training rows: no other constant has a smaller loss. A
        loss that knows no probabilities has no such constant."""
        weights = train.confusion.sum(axis=1)
        if not weights.any() or not self.total or not self.loss.has_probabilities:
            return self.scores()
        shares, k = weights / weights.sum(), len(weights)
        logs = np.log(np.maximum(shares, np.finfo(np.float64).tiny))
        raw = logs[1:] - logs[:1] if self.loss.targets == "binary" else logs
        guessed = ClassSums(self.loss, self.labels)
        guessed.add(np.tile(raw, (k, 1)), np.arange(float(k))[:, None], self.confusion.sum(axis=1))
        guessed.rows = self.rows
        most = int(np.argmax(weights))
        what = f"always {self.labels[most]}, the most frequent class ({number(100 * float(shares[most]), 3)}%)"
        return replace(self.scores(), baseline=Baseline(what, guessed.scores()))


class NumberSums:
    """Of one target, or several, that are numbers."""

    def __init__(self, loss: Loss, targets: int = 1) -> None:
        self.loss, self.each = loss, [_Target(loss) for _ in range(targets)]

    def add(self, raw: Array, Y: Array, s: Array | None) -> None:
        """See `Sums`."""
        for j, target in enumerate(self.each):
            target.add(raw[:, j : j + 1], Y[:, j : j + 1], s)

    def scores(self) -> NumberScores:
        """See `Sums`."""
        return _together([target.scores() for target in self.each])

    def with_baseline(self, train: NumberSums) -> NumberScores:
        """See `Sums`."""
        constants = [target.best() for target in train.each]
        if not self.each[0].total or not train.each[0].total:
            return self.scores()
        guessed = [target.of_constant(constant) for target, constant in zip(self.each, constants, strict=True)]
        what = f"always {train.each[0].name}" + (f", {number(constants[0])}" if len(constants) == 1 else " of each target")
        return replace(self.scores(), baseline=Baseline(what, _together(guessed)))


class _Target:
    """Of one target that is numbers."""

    def __init__(self, loss: Loss) -> None:
        self.loss, self.rows = loss, 0
        self.total = self.lost = self.first = self.second = self.squares = self.absolute = self.covered = self.least = 0.0
        self.shift: float | None = None
        self.targets = Tally()
        self.tau = 0.5 if loss.level is None else loss.level
        self.of_mean = loss.squared or loss.has_link
        self.name = "the mean" if self.of_mean else "the median" if self.tau == 0.5 else f"the {self.tau:g}-quantile"

    def add(self, raw: Array, Y: Array, s: Array | None) -> None:
        self.rows += len(raw)
        raw, Y, weights = _weighing(raw, Y, s)
        if not len(raw):
            return
        lost, total = _lost(self.loss, raw, Y, weights)
        self.lost, self.total = self.lost + lost, self.total + total
        y, apart = Y[:, 0], Y[:, 0] - self.loss.mean(raw)[:, 0]
        self.least += float(weights @ self.loss.least(Y)[:, 0])
        self.shift = float(y[0]) if self.shift is None else self.shift  # so that large targets keep their digits
        self.first += float(weights @ (y - self.shift))
        self.second += float(weights @ (y - self.shift) ** 2)
        self.squares += float(weights @ apart**2)
        self.absolute += float(weights @ np.abs(apart))
        self.covered += float(weights @ (apart <= 0))
        self.targets.add(y, weights)

    def scores(self) -> NumberScores:
        if not self.total:
            return NumberScores(self.loss.name, self.rows, float("nan"))
        n, variance = self.total, self.second - self.first**2 / self.total
        return NumberScores(
            self.loss.name, self.rows, self.lost / n, rmse=float(np.sqrt(self.squares / n)), mae=self.absolute / n,
            r2=1 - self.squares / variance if variance > 0 else None,
            coverage=self.covered / n if self.loss.level is not None else None,
            d2=self._explained() if self.loss.has_link else None,
        )  # fmt: skip

    def _explained(self) -> float | None:
        """1 − deviance/deviance of the mean of these rows, as these losses are straight in y."""
        mean = np.array([[self.best()]])
        constant = float(self.loss.value_slope(self.loss.link(mean), mean)[0][0, 0]) * self.total
        above = constant - self.least
        return 1 - (self.lost - self.least) / above if above > 0 else None

    def best(self) -> float:
        """The constant that a person without a model would take: the mean, the median, the τ-quantile."""
        if not self.of_mean or self.shift is None:
            return self.targets.quantile(self.tau)
        return self.first / self.total + self.shift

    def of_constant(self, constant: float) -> NumberScores:
        """What such a constant comes to."""
        guessed = _Target(self.loss)
        values = self.targets.values[:, None]
        raw = float(self.loss.link(np.array(constant)))
        guessed.add(np.full(values.shape, raw), values, self.targets.weights[:, 0])
        guessed.rows = self.rows
        return guessed.scores()


def _together(each: Sequence[NumberScores]) -> NumberScores:
    """Of several targets: means, and of the losses the sum."""
    if len(each) == 1:
        return each[0]
    return NumberScores(
        each[0].of, each[0].rows, sum(scores.loss for scores in each), rmse=float(np.mean([scores.rmse for scores in each])),
        mae=_mean([scores.mae for scores in each]), r2=_mean([scores.r2 for scores in each]),
        coverage=_mean([scores.coverage for scores in each]),
    )  # fmt: skip


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _weighing(raw: Array, Y: Array, s: Array | None) -> tuple[Floats, Floats, Floats]:
    """The rows that have a weight, in float64, and their weights."""
    if s is None:
        return raw.astype(np.float64, copy=False), Y.astype(np.float64, copy=False), np.ones(len(raw))
    some = s > 0
    return raw[some].astype(np.float64), Y[some].astype(np.float64), s[some].astype(np.float64)


def _lost(loss: Loss, raw: Floats, Y: Floats, weights: Floats) -> tuple[float, float]:
    """Σ s·ℓ and Σ s."""
    out = np.empty(raw.shape[::-1])
    found: tuple[float, float] = BACKENDS["kernel" if loss.compiled else "reference"].derivatives_of(
        np.ascontiguousarray(raw.T), np.ascontiguousarray(Y.T), weights, out, **loss.arguments
    )
    return found
