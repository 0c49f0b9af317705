"""What there is to draw and to tell of one training, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gdcore import losses, scores
from gdcore.checks import must_be, must_have_shape
from gdcore.scores import ClassScores, NumberScores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes

    from gdcore._types import Array, ArrayLike, Floats
    from gdcore.covariance.result import Summary
    from gdcore.facts.spectrum import Spectrum
    from gdcore.losses import Loss
    from gdcore.run import History
    from gdcore.scores import Scores


@dataclass
class Report:
    """What is drawn and written of one training.

    Parameters
    ----------
    title : str
        As in "arr_delay of flights.csv".
    loss : str or Loss
    history : History
        Of the run; its validation loss is called test loss.
    names : list of str
        The columns of X, d of them.
    weights : array (d,) or (d, k), or None
        In the units of the columns; None for a network.
    bias : float, array (k,) or None
    targets : array (m,) or (m, k)
        Of rows that stand for all: some thousand of the test rows, or of the training rows. Classes are numbers from 0.
    predictions : array (m,) or (m, k)
        What ``model.predict`` says of these rows: of classes their scores, not their probabilities.
    labels : list of str, optional
        What the classes are called, or the k outputs.
    held_out : bool
        Whether these rows were kept from the training.
    target : str
        The name of what is predicted.
    x : array (m,), optional
        For these rows the values of the only column of X, where there is one.
    spread : array (d,), optional
        The columns' standard deviations.
    lr : float, optional
        The learning rate, where it was chosen by hand.
    spectrum : Spectrum, optional
        Of the training rows, where somebody wants to know it.
    scores : dict
        "training" and "test": `gdcore.scores.Scores` of all such rows. Default: of the rows that are drawn.
    rows, settings, columns : lists of (str, str)
        Names and texts: how many rows there were; how the model was trained; what became of each column of the file.
    notes : list of str
        Warnings.
    remarks : list of str
        What who reads the weights has to know, a sentence each without its period.
    folds : list of Scores
        Of the tests of a cross-validation.
    more : list of functions of matplotlib Axes
        Panels of their own, which stand in the place of the loss's.
    errors : Summary, optional
        Of the weights.

    Raises
    ------
    ValueError
        The shapes do not fit each other, or a number is not finite.

    Examples
    --------
    >>> import gdcore
    >>> x, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.5]
    >>> run = gdcore.fit(x, y)
    >>> report = Report("y of lines.csv", "mse", run.history, ["x"], run.model.weights, run.model.bias,
    ...                 targets=y, predictions=run.model.predict(x))
    >>> report.drawn, round(report.shown.r2, 3)
    ('3 training rows', 0.996)
    """

    title: str
    loss: Loss
    history: History
    names: Sequence[str]
    weights: Floats | None
    bias: Floats | None
    targets: Array
    predictions: Floats
    labels: Sequence[str] | None = None
    held_out: bool = False
    target: str = "target"
    x: Floats | None = None
    spread: Floats | None = None
    lr: float | None = None
    spectrum: Spectrum | None = None
    scores: Mapping[str, Scores] = field(default_factory=dict)
    rows: Sequence[tuple[str, str]] = ()
    settings: Sequence[tuple[str, str]] = ()
    columns: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()
    folds: Sequence[Scores] = ()
    errors: Summary | None = None
    more: Sequence[Callable[[Axes], None]] = ()

    def __post_init__(self) -> None:
        self.loss = losses.get(self.loss)
        kind, d = self.loss.targets, len(self.names)
        self.predictions, self.targets = _finite(self.predictions, "predictions"), _finite(self.targets, "targets")
        shape, more = self.predictions.shape, self.predictions.ndim - 1
        numeric = self.loss.numeric
        if more not in {"binary": (0,), "classes": (1,)}.get(kind, (0, 1)):
            told = {"binary": "(m,)", "classes": "(m, k)"}.get(kind, "(m,) or (m, k)")
            raise ValueError(must_have_shape(f"predictions for {self.loss.name}", told, shape))
        wanted = shape[:1] if kind == "classes" else shape
        if self.targets.shape != wanted:
            raise ValueError(must_have_shape("targets", f"{wanted} beside predictions {shape}", self.targets.shape))
        k = shape[1] if more else 1
        one = k == 1
        for name, shapes in (
            ("weights", [(d, k), (d,)][: 1 + one]), ("bias", [(k,), ()][: 1 + one]), ("spread", [(d,)]), ("x", [shape[:1]]),
        ):  # fmt: skip
            if getattr(self, name) is not None:
                array = _finite(getattr(self, name), name)
                if array.shape not in shapes:
                    raise ValueError(must_have_shape(name, str(shapes[-1]), array.shape))
                setattr(self, name, array)
        classes = 2 if kind == "binary" else k
        if self.labels is not None and len(self.labels) != classes:
            raise ValueError(must_be("labels", f"{classes}, one for each class or output", f"{len(self.labels)}"))
        if not numeric:
            wrong = ~np.isin(self.targets, np.arange(classes))
            if wrong.any():
                found = self.targets[wrong.argmax()]
                whole = f"whole numbers from 0 to {classes - 1}"
                raise ValueError(must_be(f"targets for {self.loss.name}", whole, f"{found:g}"))
            self.targets = self.targets.astype(np.int64)
        if not self.scores:
            sums = scores.sums(self.loss, () if numeric else self.outputs, k)
            m = len(self.targets)
            sums.add(
                self.loss.link(self.predictions).reshape(m, k),
                self.targets.reshape(m, k if numeric else 1).astype(np.float64),
                None,
            )
            self.scores = {"test" if self.held_out else "training": sums.with_baseline(sums)}

    @property
    def outputs(self) -> list[str]:
        """The names of the classes, or of the outputs: `labels`, where there are any."""
        if self.labels is not None:
            return list(self.labels)
        kind = self.loss.targets
        k = 2 if kind == "binary" else self.predictions.shape[1] if self.predictions.ndim == 2 else 1
        return [self.target if k == 1 else f"output {c}" if self.loss.numeric else str(c) for c in range(k)]

    @property
    def drawn(self) -> str:
        """Which rows are drawn, in words."""
        m = len(self.targets)
        return f"{m:,} {'test' if self.held_out else 'training'} row{'' if m == 1 else 's'}"

    @property
    def shown(self) -> Scores:
        """The scores of the rows that test, or, where there are none, of those that trained."""
        return self.scores.get("test") or self.scores["training"]

    @property
    def of_classes(self) -> ClassScores:
        """The same, of a target that is classes."""
        assert isinstance(self.shown, ClassScores)
        return self.shown

    @property
    def of_numbers(self) -> NumberScores:
        """The same, of a target that is numbers."""
        assert isinstance(self.shown, NumberScores)
        return self.shown

    @property
    def effects(self) -> Floats:
        """(d, k) weights times the columns' standard deviations, or the weights where these are not known."""
        assert self.weights is not None
        weights = self.weights.reshape(len(self.names), -1)
        return weights if self.spread is None else weights * self.spread[:, None]


def ranked(values: Floats) -> Array:
    """Indices of the flattened values, the largest in size first; equals in their order."""
    return np.argsort(-np.abs(values).ravel(), kind="stable")


def _finite(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).all():
        raise ValueError(must_be(name, "finite", str(array[~np.isfinite(array)][0])))
    return array
