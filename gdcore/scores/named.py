"""Scores as numbers with names, and as lines; their mean and standard error over several tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore.plain import number
from gdcore.scores.measures import Calibration, calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gdcore._types import Array

_TITLES = {
    "mse": "MSE", "mae": "", "huber": "Huber loss", "quantile": "pinball loss", "poisson": "Poisson loss",
    "gamma": "gamma loss", "tweedie": "Tweedie loss", "logistic": "log loss", "softmax": "log loss",
}  # fmt: skip
_SIZES = ("loss", "RMSE", "MAE")
_WIDEST = 40  # characters of a title
SHOWN = 6
"""Classes whose F1 is shown, each; of more, their mean."""


@dataclass(frozen=True)
class Scores:
    """How good a model is on some rows: one of `NumberScores` and `ClassScores`.

    Attributes
    ----------
    of : str
        The name of the loss.
    rows : int
        Those without weight included.
    loss : float
        The mean over the rows, without penalties; NaN where no row has a weight.
    baseline : Baseline or None
        What the best constant comes to on the same rows.
    """

    of: str
    rows: int
    loss: float
    baseline: Baseline | None = field(default=None, kw_only=True)

    def named(self) -> dict[str, float | None]:
        """The numbers by their names, the loss first; None where one is not known."""
        return {"loss": self.loss}

    def titles(self) -> dict[str, str]:
        """Of the numbers that are shown, by their names: the loss has a name of its own, and no number is shown twice."""
        loss, others = _TITLES.get(self.of, self.of), [name for name in self.named() if name != "loss"]
        return ({"loss": loss} if loss else {}) | {
            name: name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…" for name in others
        }

    def details(self) -> dict[str, object]:
        """What is more than a number, as what JSON can hold."""
        return {}

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """A table of the numbers, beside the baseline's; labels stand in it as they are."""
        columns = {"rows": self} if self.baseline is None else {"model": self, "baseline": self.baseline.scores}
        said = [] if self.baseline is None else [f"baseline: {self.baseline.what}"]
        return [*table(columns), *said]


@dataclass(frozen=True)
class NumberScores(Scores):
    """Of a target that is numbers; of several targets, the mean of theirs, and of their losses the sum.

    Attributes
    ----------
    rmse, mae, r2 : float or None
        Root mean squared error, mean absolute error, and the share of the target's variance that is explained: None where all
        targets are the same. The mae is None where it is not known without one more pass over the rows.
    d2 : float or None
        Of poisson, gamma and tweedie: the share of the deviance from the best constant of these rows that is explained.
    coverage : float or None
        Of a quantile: the share of rows whose target is at or below the prediction, which ought to be τ.
    """

    rmse: float = float("nan")
    mae: float | None = None
    r2: float | None = None
    coverage: float | None = None
    d2: float | None = None

    def named(self) -> dict[str, float | None]:
        first: dict[str, float | None] = {"loss": self.loss, "RMSE": self.rmse, "MAE": self.mae}
        explained = {} if self.d2 is None else {"D²": self.d2}
        return first | explained | ({"coverage": self.coverage} if self.of == "quantile" else {"R²": self.r2})


@dataclass(frozen=True)
class ClassScores(Scores):
    """Of a target that is classes.

    Attributes
    ----------
    accuracy : float
        The share of rows whose class was found.
    auc : float or None
        Of two classes, the area under the ROC curve, from scores and not from probabilities, which are rounded near 1; None
        where one class has no row.
    f1 : dict
        Of each class: see `gdcore.scores.measures.f1`.
    confusion : array (k, k)
        Rows of each class, by the class that they were taken for.
    calibration : Calibration
        Of two classes, of the probability of the second; of more, of that of the predicted class.
    """

    accuracy: float = float("nan")
    auc: float | None = None
    f1: Mapping[str, float] = field(default_factory=dict)
    confusion: Array = field(default_factory=lambda: np.zeros((0, 0)))
    calibration: Calibration = field(default_factory=lambda: calibration([], []))

    def named(self) -> dict[str, float | None]:
        several = [value for value in self.f1.values() if value == value]
        mean = float(np.mean(several)) if several else None
        auc = {"AUC": self.auc} if len(self.f1) == 2 else {}
        each = {f"F1 of {name}": value for name, value in self.f1.items()}
        return (
            {"loss": self.loss, "accuracy": self.accuracy}
            | auc
            | {"F1": mean}
            | each
            | {"calibration error": self.calibration.error}
        )

    def titles(self) -> dict[str, str]:
        several = len(self.f1) > SHOWN
        hidden = {f"F1 of {name}" for name in self.f1} if several else {"F1"}
        shown = {name: title for name, title in super().titles().items() if name not in hidden}
        return shown | ({"F1": f"F1, mean of {len(self.f1)}"} if several else {})

    def details(self) -> dict[str, object]:
        bins = {name: values.tolist() for name, values in self.calibration._asdict().items()}
        return {"confusion": self.confusion.tolist(), "calibration": bins}


class Baseline(NamedTuple):
    """The constant that is best for the loss on the training rows, and what it comes to.

    Attributes
    ----------
    what : str
        In words: "always the mean, 6.9".
    scores : Scores
    """

    what: str
    scores: Scores


def table(columns: Mapping[str, Scores | None]) -> list[str]:
    """Lines: a row for each number, a column for each of the scores."""
    titles = next(scores for scores in columns.values() if scores is not None).titles()
    named = [{} if scores is None else scores.named() for scores in columns.values()]
    width = max(12, *map(len, titles.values()))
    lines = [f"  {'':{width}}" + "".join(f"  {head:>12}" for head in columns)]
    counts = "".join(f"  {0 if scores is None else scores.rows:12,}" for scores in columns.values())
    lines.append(f"  {'rows':{width}}{counts}")
    for name, title in titles.items():
        lines.append(f"  {title:{width}}" + "".join(f"  {cell(name, cells.get(name)):>12}" for cells in named))
    return lines


class Spread(NamedTuple):
    """A number of several tests, as of the folds of a cross-validation.

    Attributes
    ----------
    mean, error : float or None
        The mean, and its standard error, None of one value: their standard deviation over the root of their number. Tests of
        a cross-validation share rows that train, so that the true error is rather larger.
    values : tuple
        None where a test could not tell it; both others are of the rest.
    baseline : float or None
        The mean of the baselines' values.
    """

    mean: float | None
    error: float | None
    values: tuple[float | None, ...]
    baseline: float | None


def spread(tests: Sequence[Scores]) -> dict[str, Spread]:
    """For each of the named numbers its mean over the tests, and the standard error of that.

    Parameters
    ----------
    tests : list of Scores
        One or more, all of one kind.

    Raises
    ------
    ValueError
        There are none.

    Examples
    --------
    >>> found = spread([NumberScores("mae", 10, 1.0, rmse=2.0), NumberScores("mae", 10, 2.0, rmse=6.0)])["RMSE"]
    >>> found.mean, found.error, found.values
    (4.0, 2.0, (2.0, 6.0))
    """
    if not len(tests):
        raise ValueError("tests must be one or more scores, found none")
    several = [test.named() for test in tests]
    bases = [test.baseline.scores.named() for test in tests if test.baseline is not None]
    found = {}
    for name in several[0]:
        values = tuple(_known(named.get(name)) for named in several)
        some = np.array([value for value in values if value is not None])
        guessed = [value for value in (_known(named.get(name)) for named in bases) if value is not None]
        found[name] = Spread(
            float(some.mean()) if len(some) else None,
            float(some.std(ddof=1) / np.sqrt(len(some))) if len(some) > 1 else None,
            values,
            float(np.mean(guessed)) if guessed else None,
        )
    return found


def spread_table(tests: Sequence[Scores]) -> list[str]:
    """Lines, as `table` has them: the mean of each number, its standard error, and the baseline's mean."""
    found, titles = spread(tests), tests[0].titles()
    width = max(12, *map(len, titles.values()))
    lines = [f"  {'':{width}}" + "".join(f"  {head:>14}" for head in ("mean", "standard error", "baseline"))]
    for name, title in titles.items():
        cells = found[name].mean, found[name].error, found[name].baseline
        lines.append(f"  {title:{width}}" + "".join(f"  {cell(name, value):>14}" for value in cells))
    return lines


def cell(name: str, value: float | None) -> str:
    """Shares in six decimals; what has the target's unit in six digits."""
    return number(value if value is None or name in _SIZES else round(value, 6))


def _known(value: float | None) -> float | None:
    return None if value is None or value != value else value
