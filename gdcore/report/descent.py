"""Pictures in the plane: the path of a descent over the loss of two parameters, and classes over two columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.descent.start import check_model
from gdcore.drawing import BLUE, GREY, LEGEND, ORANGE, axes, finish
from gdcore.models.linear import Linear
from gdcore.rows import arrays
from gdcore.run import Run
from gdcore.surface import ground, only_pairs, pair, window

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from gdcore._types import Array, ArrayLike, Floats
    from gdcore.models.mlp import MLP

_COLORS = (BLUE, ORANGE, "#3a8f6b", "#8c5aa8", "#b59410", GREY)
_MARKERS = "os^Dvp"  # for the next six classes
_FINE = 240  # predictions along each side
_DOTS = 200  # steps that are drawn as points beside the line
_NEAR = 1e-3  # relative, between the loss of the run and that of the rows that are given


class Classifies(Protocol):
    """What is drawn of a classifier."""

    def predict_proba(self, X: ArrayLike) -> Array: ...


def path(
    run: Run, X: ArrayLike, Y: ArrayLike, *, sample_weight: ArrayLike | None = None, l1: float = 0.0, l2: float = 0.0,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """The steps of a run over the loss, for models of two numbers: a weight and a bias, or two weights.

    Parameters
    ----------
    run : Run
        Of ``fit(..., keep_weights=True)``; with ``on_divergence="keep"`` a divergence, too.
    X, Y : arrays
        The rows that it was trained with.
    sample_weight, l1, l2 : optional
        As they were given to `fit`: with them the loss is the one that was descended.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib Axes
        With the steps up to the first whose loss is 25 times the larger of the start's and the first epoch's, and past the
        picture.

    Raises
    ------
    ValueError
        The run has not kept its weights, the model has other than two numbers, or the rows are not those of the run.
    TypeError
        It is no run.
    ImportError
        When matplotlib is missing; the message says how to install it.

    Examples
    --------
    >>> import gdcore
    >>> import matplotlib.pyplot as plt
    >>> X, Y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.5]
    >>> ax = gdcore.plots.path(gdcore.fit(X, Y, lr=0.1, epochs=20, keep_weights=True), X, Y)
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_title()
    ('weight', 'bias', 'The path over the loss (mse)')
    >>> plt.close(ax.figure)
    """
    if not isinstance(run, Run):
        raise TypeError(f"run must be what fit(..., keep_weights=True) gives, found {type(run).__name__}")
    if not run.models:
        raise ValueError("the run has not kept its weights: fit(..., keep_weights=True) keeps them")
    steps, names = np.array([_pair(model) for model in run.models]), _names(run.model)
    losses = _objective(run, X, Y, sample_weight, l1, l2)
    first, end = losses(steps[[0, -1]])
    done = len(steps) - 1
    ax = axes(ax)
    far = ground(ax, steps, losses)
    shown = steps[: done + 1 if far is None else far + 1]
    marker = "." if len(shown) <= _DOTS else ""
    of = "" if far is None else f"{far:,} of "
    ax.plot(*shown.T, color=ORANGE, linewidth=1.4, label=f"{of}{done:,} epoch{'s' * (done != 1)}", marker=marker)
    ax.plot(*steps[0], "o", color=ORANGE, markerfacecolor="white", markersize=8, label=f"start: loss {first:.4g}")
    title = f"The path over the loss ({run.model.loss.spelling})"
    if far is None:
        ax.plot(*steps[-1], "D", color=ORANGE, markersize=7, label=f"end: loss {end:.4g}")
    else:
        title += f":\nit leaves the picture in epoch {far:,}"
    ax.set(xlabel=names[0], ylabel=names[1], title=title)
    ax.legend(loc="best", **LEGEND)
    finish(ax)
    ax.grid(visible=False)
    return ax


def boundary(model: Classifies, X: ArrayLike, Y: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Where a classifier of two columns decides for which class, and how surely, with the rows and their own classes.

    Parameters
    ----------
    model : Linear, MLP or a classifier of scikit-learn's kind
        Trained, with `predict_proba`.
    X : array or data frame (n, 2)
    Y : array (n,)
        The rows' classes, as they were trained with.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib Axes
        The stronger a colour, the surer its class; the lines are where two classes are as probable as each other. Rows that
        the model takes for another class than their own have a black rim.

    Raises
    ------
    ValueError
        X has not two columns, Y a label that the model does not know, or the model is no classifier.
    ImportError
        When matplotlib is missing; the message says how to install it.

    Examples
    --------
    >>> import gdcore
    >>> import matplotlib.pyplot as plt
    >>> X, Y = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]], [0.0, 0.0, 1.0, 1.0]
    >>> ax = gdcore.plots.boundary(gdcore.fit(X, Y, loss="logistic", l2=0.1).model, X, Y)
    >>> ax.get_xlabel(), ax.get_title()
    ('column 0', 'Classes:\\n4 of 4 rows get their own class')
    >>> plt.close(ax.figure)
    """
    if not hasattr(model, "predict_proba"):
        raise ValueError(f"a boundary is drawn of classifiers, which have predict_proba; found {type(model).__name__}")
    table = arrays.table(X)
    if table.shape[1] != 2:
        raise ValueError(f"a boundary is drawn over two columns, and X has {table.shape[1]}")
    columns = list(getattr(X, "columns", [])) or None
    names = [str(name) for name in columns] if columns else ["column 0", "column 1"]
    made: Callable[[dict[str, Array]], ArrayLike] = type(X)  # a frame is made of columns

    def probabilities(points: Array) -> Floats:
        """Of all classes (n, k), for points as the model was trained with them: a frame's columns have names."""
        given = made(dict(zip(columns, points.T, strict=True))) if columns else points
        found = np.asarray(model.predict_proba(given), np.float64).reshape(len(points), -1)
        return np.column_stack([1 - found, found]) if found.shape[1] == 1 else found

    fitted = probabilities(table)
    classes = np.asarray(getattr(model, "classes_", np.arange(fitted.shape[1])))
    own = _codes(Y, classes, len(table))
    low, high = window(table.astype(np.float64))
    sides = [np.linspace(low[j], high[j], _FINE) for j in (0, 1)]
    shares = probabilities(np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2).astype(table.dtype))
    shares = shares.reshape(_FINE, _FINE, -1)
    ax = axes(ax)
    _regions(ax, sides, shares)
    wrong = fitted.argmax(axis=1) != own
    for c, label in enumerate(classes):
        marker, color = _MARKERS[c // len(_COLORS) % len(_MARKERS)], _COLORS[c % len(_COLORS)]
        for which, rim, size in ((~wrong, "white", 5.5), (wrong, "black", 7)):
            rows = table[which & (own == c)]
            name = str(label) if rim == "white" else None
            ax.plot(*rows.T, marker, color=color, markeredgecolor=rim, markersize=size, label=name)
    right = int(np.count_nonzero(~wrong))
    ax.set(
        xlim=(low[0], high[0]),
        ylim=(low[1], high[1]),
        title=f"Classes:\n{right:,} of {len(own):,} rows get their own class",
    )
    ax.set_xlabel(names[0], parse_math=False)
    ax.set_ylabel(names[1], parse_math=False)
    for text in ax.legend(loc="best", **LEGEND).get_texts():
        text.set_parse_math(False)
    finish(ax)
    ax.grid(visible=False)
    return ax


def _pair(model: Linear | MLP) -> Floats:
    """The two numbers of a model."""
    if not isinstance(model, Linear):
        raise ValueError(only_pairs(repr(model)))
    return pair(*model.parameters(np.float64))


def _names(model: Linear) -> list[str]:
    """What the two numbers are."""
    if model.bias is not None:
        return ["weight", "bias"]
    return ["weight of column 0", "weight of column 1"]


def _objective(
    run: Run, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None, l1: float, l2: float
) -> Callable[[Floats], Floats]:
    """The loss of pairs of numbers (m, 2); ValueError where that of the run's model is another than the run tells."""
    model = run.model
    X = arrays.table(X)
    Y = arrays.targets(Y, X)
    check_model(model, X, Y, model.loss)
    target = Y.reshape(len(Y), -1).astype(X.dtype, copy=False)
    s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, X)
    d, loss = X.shape[1], model.loss
    engine = BACKENDS["kernel" if loss.compiled else "reference"]

    def values(pairs: Floats) -> Floats:
        found = np.empty(len(pairs))
        with np.errstate(over="ignore", invalid="ignore"):
            for i, pair in enumerate(pairs.astype(X.dtype)):
                bias = pair[d:].copy() if d == 1 else None
                found[i] = engine.loss(X, target, pair[:d, None].copy(), bias, s, 1, l1=l1, l2=l2, **loss.arguments)
        return found

    found, of_zeros = values(np.array([_pair(model), [0.0, 0.0]])).tolist()
    rounding = float(np.finfo(X.dtype).eps) * of_zeros
    if np.isfinite(run.loss) and not abs(found - run.loss) <= _NEAR * max(run.loss, found) + rounding:
        raise ValueError(
            f"the run ends at the loss {run.loss:.6g}, and with these rows its model's is {found:.6g}: give X, Y, "
            "sample_weight, l1 and l2 as they were given to fit"
        )
    return values


def _regions(ax: Axes, sides: list[Floats], shares: Floats) -> None:
    """A tint for each class, as strong as the class is probable, and lines between the classes."""
    from matplotlib.colors import to_rgb

    k = shares.shape[-1]
    inks = 1 - np.array([to_rgb(_COLORS[c % len(_COLORS)]) for c in range(k)])
    extent = (sides[0][0], sides[0][-1], sides[1][0], sides[1][-1])
    ax.imshow(1 - 0.4 * shares @ inks, origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    for c in range(1 if k == 2 else 0, k):
        margin = shares[..., c] - np.delete(shares, c, axis=-1).max(axis=-1)
        if margin.min() < 0 < margin.max():
            ax.contour(*sides, margin, levels=[0.0], colors="black", linewidths=1.2)


def _codes(Y: ArrayLike, classes: Array, n: int) -> Array:
    """The labels' places among the classes."""
    labels = np.asarray(Y).reshape(-1)
    if len(labels) != n:
        raise ValueError(f"Y must have one class for each of the {n:,} rows of X, found {len(labels):,}")
    equal = labels[:, None] == classes[None]
    if not equal.any(axis=1).all():
        unknown = labels[int(np.argmin(equal.any(axis=1)))]
        raise ValueError(f"Y has the label {unknown!r}; the model knows {', '.join(map(str, classes))}")
    codes: Array = equal.argmax(axis=1)
    return codes
