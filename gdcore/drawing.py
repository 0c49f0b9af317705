"""Pictures: functions that draw on matplotlib Axes and return them. matplotlib is imported when the first one is called."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gdcore.checks import must_be
from gdcore.rows import arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gdcore._types import Array, ArrayLike, Floats

BLUE, ORANGE, GREY = "#1f5fa8", "#d1622b", "#8a8a8a"  # told apart by the colour-blind too, and in grey
LEGEND: dict[str, Any] = {"framealpha": 0.85, "edgecolor": "none"}  # points and lines behind it do not cross its words
_BLOWN_UP = 1e3  # an error that has grown so far is not followed any further
_MISSING = "drawing needs matplotlib, which is not installed: pip install 'gdcore[plot]'"


class Losses(Protocol):
    """What is drawn of a `gdcore.History`."""

    start: float
    epoch: Array
    loss: Floats
    validation_loss: Floats

    def __len__(self) -> int: ...


class Predicts(Protocol):
    """What is drawn of a `gdcore.Linear` or a `gdcore.MLP`."""

    def predict(self, X: Array) -> Array: ...


class Directions(Protocol):
    """What is drawn of a `gdcore.Spectrum`."""

    @property
    def eigenvalues(self) -> Floats | None: ...

    @property
    def size(self) -> int: ...

    @property
    def condition(self) -> float | None: ...

    @property
    def lr_best(self) -> float | None: ...

    @property
    def lr_limit(self) -> float: ...

    def epochs_to(self, tol: float, lr: float | None = None) -> float | None: ...


def losses(history: Losses, ax: Axes | None = None) -> Axes:
    """Loss curves: training, from the start on, and validation where there is one, against the epochs.

    Parameters
    ----------
    history : History
        Of a run.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib Axes
        The loss axis is logarithmic where all losses are positive.

    Raises
    ------
    ImportError
        When matplotlib is missing; the message says how to install it.
    TypeError
        It is no history.

    Examples
    --------
    >>> import gdcore
    >>> import matplotlib.pyplot as plt
    >>> run = gdcore.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.5], lr=0.1, epochs=20)
    >>> ax = gdcore.plots.losses(run.history)
    >>> ax.get_title(), [len(curve.get_xdata()) for curve in ax.get_lines()]
    ('Loss', [21])
    >>> plt.close(ax.figure)
    """
    _check(history, "history", ("epoch", "validation_loss"), "a History, as run.history is")
    ax = axes(ax)
    start = [] if math.isnan(history.start) or not len(history) else [history.start]
    curves = [
        ("training", np.append([0] * len(start), history.epoch), np.append(start, history.loss), BLUE),
        ("validation", history.epoch, history.validation_loss, ORANGE),
    ]
    curves = [curve for curve in curves if not np.isnan(curve[2]).all()]
    for label, epochs, values, color in curves:
        ax.plot(epochs, values, color=color, label=label, linewidth=1.8)
    if curves and all(np.nanmin(values) > 0 for *_, values, _ in curves):
        ax.set_yscale("log")
    if len(curves) > 1:
        ax.legend(**LEGEND)
    ax.set(xlabel="epoch", ylabel="loss", title="Loss")
    return finish(ax)


def predictions(
    X: ArrayLike, Y: ArrayLike, model: Predicts, before: Predicts | None = None, column: int = 0, ax: Axes | None = None
) -> Axes:
    """Data and predictions against one column of X, after training and, where given, before.

    Parameters
    ----------
    X : array (n, d)
    Y : array (n,) or (n, 1)
    model : Linear or MLP
        The trained model.
    before : Linear or MLP, optional
        The model before training, drawn in grey.
    column : int
        Which column of X is the horizontal axis. With several columns, predictions are points, with one they are lines.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        When matplotlib is missing.
    ValueError
        When Y or the model has several outputs (draw them one by one) or X has no such column.
    TypeError
        A model is none.

    Examples
    --------
    >>> import gdcore
    >>> import matplotlib.pyplot as plt
    >>> X, Y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.5]
    >>> ax = gdcore.plots.predictions(X, Y, gdcore.fit(X, Y).model)
    >>> [curve.get_label() for curve in ax.get_lines()]
    ['data', 'after training']
    >>> plt.close(ax.figure)
    """
    for name, given in (("model", model), ("before", before)):
        if given is not None or name == "model":
            _check(given, name, ("predict",), "a trained model, as run.model is")
    X = arrays.table(X)
    Y = arrays.targets(Y, X)
    if Y.ndim == 2 and Y.shape[1] > 1:
        raise ValueError(f"Y has {Y.shape[1]} outputs: draw them one by one")
    if isinstance(column, bool) or not isinstance(column, (int, np.integer)) or not -X.shape[1] <= column < X.shape[1]:
        raise ValueError(must_be("column", f"an integer below {X.shape[1]}, the columns of X", repr(column)))
    order = np.argsort(X[:, column], kind="stable")
    curves = []
    for label, fitted, color in (("before training", before, GREY), ("after training", model, BLUE)):
        if fitted is not None:
            values = fitted.predict(X)[order]
            if values.size != len(X):
                raise ValueError(f"the model {label} has {values.shape[1]} outputs: draw them one by one")
            curves.append((label, values.ravel(), color))
    ax = axes(ax)
    x = X[order, column]
    style = {"linewidth": 1.8} if X.shape[1] == 1 else {"linestyle": "", "marker": "."}
    ax.plot(x, Y[order].ravel(), linestyle="", marker="o", color="black", markersize=4, alpha=0.6, label="data")
    for label, values, color in curves:
        ax.plot(x, values, color=color, label=label, **style)
    ax.legend(**LEGEND)
    ax.set(xlabel="x" if X.shape[1] == 1 else f"column {column}", ylabel="y", title="Predictions")
    return finish(ax)


def spectrum(spectrum: Directions, ax: Axes | None = None) -> Axes:
    """The error against the epochs, by formula, for three learning rates: too small, the best, and past the limit.

    The error starts with equal parts in every direction that can be learned. An epoch multiplies the part along the
    eigenvalue λ by 1 − lr·λ, so that after t epochs √mean((1 − lr·λ)²ᵗ) of the error is left.

    Parameters
    ----------
    spectrum : Spectrum
        Of `gdcore.spectrum`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        With a tenth of ``spectrum.lr_best``, ``spectrum.lr_best`` and 1.05 times ``spectrum.lr_limit``, this one until the
        error is a thousand times what it was; until three digits are learned with the slowest.

    Raises
    ------
    ImportError
        When matplotlib is missing.
    ValueError
        When only the largest eigenvalue is known, or all are zero.
    TypeError
        It is no spectrum.

    Examples
    --------
    >>> import gdcore
    >>> import matplotlib.pyplot as plt
    >>> ax = gdcore.plots.spectrum(gdcore.spectrum([[0.0], [1.0], [2.0], [3.0]]))
    >>> ax.get_title()
    'Learning rates: condition 14'
    >>> plt.close(ax.figure)
    """
    _check(spectrum, "spectrum", ("eigenvalues", "lr_best"), "a Spectrum, as gdcore.spectrum gives it and run.spectrum is")
    best = spectrum.lr_best
    if spectrum.eigenvalues is None or best is None:
        raise ValueError(f"drawing needs all {spectrum.size:,} eigenvalues, and of so many only the largest is known")
    values = spectrum.eigenvalues[spectrum.eigenvalues > 0]
    if not len(values):
        raise ValueError("all eigenvalues are zero: there is nothing to draw")
    ax = axes(ax)
    small, past = best / 10, 1.05 * spectrum.lr_limit
    needed = spectrum.epochs_to(1e-3) or 1
    # Whole numbers of epochs, ever further apart.
    epochs = np.unique(np.round(np.geomspace(1, max(spectrum.epochs_to(1e-3, small) or 1, 200), 1000)))
    for lr, name, color in (
        (small, "too small", GREY),
        (best, f"best, {count(needed)} {'epoch' if needed == 1 else 'epochs'} for 3 digits", BLUE),
        (past, f"past the limit {spectrum.lr_limit:.3g}", ORANGE),
    ):
        errors = _errors(values, lr, epochs)
        until = len(errors) if lr <= spectrum.lr_limit else int(np.searchsorted(errors > _BLOWN_UP, True)) + 1
        ax.plot(epochs[:until], errors[:until], color=color, label=f"lr = {lr:.3g}: {name}", linewidth=1.8)
    ax.set(xscale="log", yscale="log", ylim=(5e-4, 1e3 * _BLOWN_UP), xlabel="epoch", ylabel="error, as a share of the first")
    ax.set_title(f"Learning rates: condition {count(spectrum.condition or 1)}")
    ax.legend(**LEGEND, loc="upper left")
    return finish(ax)


def _check(value: object, name: str, attributes: tuple[str, ...], wanted: str) -> None:
    """TypeError where a value has not what is drawn of it."""
    if not all(hasattr(value, attribute) for attribute in attributes):
        raise TypeError(f"{name} must be {wanted}, found {type(value).__name__}")


def _errors(values: Floats, lr: float, epochs: Floats) -> Floats:
    steps = lr * values
    with np.errstate(divide="ignore"):  # log 0 = −∞: learned in one epoch
        logs = np.where(steps < 1, np.log1p(-np.minimum(steps, 1)), np.log(np.abs(steps - 1)))  # log|1 − lr·λ|
    with np.errstate(over="ignore"):
        errors: Floats = np.sqrt(np.mean(np.exp(2 * epochs[:, None] * logs), axis=1))
    return errors


def count(number: float) -> str:
    """A number of epochs, or a condition."""
    return f"{number:,.0f}" if number < 1e9 else f"{number:.3g}"


def bare(width: float, height: float) -> Figure:
    """An empty figure of so many inches, drawn without a window."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(_MISSING) from None
    made = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(made)
    return made


def figure(columns: int, title: str | None = None, rows: int = 1) -> tuple[Figure, Array]:
    """A figure with that many axes side by side, in so many rows."""
    made = bare(5.2 * columns, 3.9 * rows)
    if title:
        made.suptitle(title)
    return made, made.subplots(rows, columns, squeeze=False).ravel()


def axes(ax: Axes | None) -> Axes:
    """The Axes that are given, or those of a new figure."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(_MISSING) from None
    return plt.subplots(layout="constrained")[1]


def finish(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax
