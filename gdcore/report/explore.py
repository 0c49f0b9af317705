"""The limit, live: a page on which gradient descent on one column is watched, step by step, on either side of its limit.

Squared error of a line is a quadratic in (w, b), of which a column's mean, its variance and its covariance with the target are
all. So the page computes every epoch by formula, and its numbers are those of `gdcore.fit` on all rows; of the rows themselves
it has a sample, which is drawn. Its own sources lie in ``live/``: ``descent.js`` is the formulas, ``pictures.js`` draws, and
``controls.js`` is what is set and what follows from it.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import importlib.resources
import json
import math
import string
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.checks import check_finite, integer, must_be, must_have_shape, optional, text, texts
from gdcore.container import write
from gdcore.models.linear import Linear
from gdcore.report.markup import escaped, visible
from gdcore.rows import arrays, cluster
from gdcore.rows.glance import Glance
from gdcore.rows.moments import MOST_COLUMNS, check
from gdcore.rows.tables import Piece, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gdcore._types import Array, ArrayLike, Floats, Path
    from gdcore.rows.moments import Moments

MOST_ROWS = 300
"""Rows that are drawn."""
OFFERED = 12
"""Columns to choose from on the page."""
_BLOCK = 1 << 16  # rows looked at at a time
_CONSTANT = 64 * float(np.finfo(np.float64).eps)  # a column's deviation beside its mean, up to which it is rounding
_SCRIPTS = ("descent.js", "pictures.js", "controls.js")


def explore(
    X: ArrayLike | Table,
    Y: ArrayLike | None,
    path: Path,
    *,
    column: int | str | None = None,
    model: Linear | None = None,
    sample_weight: ArrayLike | None = None,
    names: Iterable[str] | None = None,
    target: str | None = None,
) -> None:
    """Writes a page that shows gradient descent live: the line, the loss over w and b with the path, the loss curve.

    Its slider sets the learning rate, with the limit 2/λmax drawn on it; its buttons centre and scale the column, which moves
    the limit; it has momentum, and play, step and reset. One file, which needs no network; it opens in any browser.

    Parameters
    ----------
    X : array (n, d), data frame, or Table
        As for `gdcore.fit`. The page shows lines through one column at a time; of several it offers those whose own lines tell
        most of the target, up to 12, and begins with the first of them: that with the largest weight × spread.
    Y : array (n,) or (n, 1), or None
        Targets, numbers; None beside a table, which brings them.
    path : path
        The file, written whole or not at all; one that is there is replaced.
    column : int or str, optional
        The number or the name of the column to begin with.
    model : Linear, optional
        One weight and a bias, of the column that the page begins with, where its descent starts. Default: zeros, as in fit.
    sample_weight : array (n,), optional
        Weights of the rows, as for fit.
    names : list of str, optional
        What the columns are called. Default: a frame's or a table's names, "x", or "column 0", "column 1", …
    target : str, optional
        What the target is called. Default: the name of a series or of a table's target, or "y".

    Raises
    ------
    ValueError, TypeError
        Naming the argument; where every column holds one value only, or the target is classes.
    OSError
        The file cannot be written.

    Notes
    -----
    After k epochs the page's loss, weight and bias are those of ``gdcore.fit(x, y, lr=lr, epochs=k)`` in float64, with
    momentum with ``optimizer=gdcore.SGD(momentum=momentum)``; of a column that is centred and scaled with
    ``x = (x - x.mean()) / x.std()``. The descent starts from the same line, however the column is written.

    Examples
    --------
    >>> import gdcore, pathlib, tempfile
    >>> celsius = [[0.0], [20.0], [40.0], [60.0], [80.0], [100.0]]
    >>> fahrenheit = [32.0, 68.0, 104.0, 140.0, 176.0, 212.0]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gdcore.explore(celsius, fahrenheit, f"{folder}/page.html", names=["°C"], target="°F")
    ...     "°F" in pathlib.Path(f"{folder}/page.html").read_text("utf-8")
    True
    """
    called = _names(X, names)
    named = optional(text, target, "target") or _target(X, Y)
    first = None if column is None else _place(column, called)
    start = (0.0, 0.0) if model is None else _start(model)
    weighted = X.weighted if isinstance(X, Table) else sample_weight is not None
    lines, sample = _lines(X, Y, sample_weight)
    order = lines.order(called, first)
    columns = [
        {"name": visible(called[j]), "values": _rounded(sample.X[:, j]), "start": (0.0, 0.0), **lines.facts(j)}
        for j in order[:OFFERED]
    ]
    columns[0]["start"] = start
    given = {
        "target": visible(named), "values": _rounded(sample.Y[:, 0]), "rows": lines.moments.rows, "weighted": weighted,
        "columns": columns, "left": len(order) - len(columns),
    }  # fmt: skip
    write(path, _page(given, f"{named} by {called[order[0]]}").encode("utf-8"))


# What is known of the rows ---------------------------------------------------------------------------------------------------


class _Lines(NamedTuple):
    """The best line through each column alone, from the moments of [X, Y]."""

    moments: Moments

    @property
    def squares(self) -> Floats:
        """(d,) Σ s·(x − mean)²."""
        return np.diag(self.moments.scatter)[:-1]

    @property
    def together(self) -> Floats:
        """(d,) Σ s·(x − mean)·(y − mean)."""
        return self.moments.scatter[:-1, -1]

    @property
    def varies(self) -> Array:
        """(d,) whether a column holds more than one value."""
        deviation = np.sqrt(self.squares / self.moments.total)
        return deviation > _CONSTANT * np.abs(self.moments.mean[:-1])

    def order(self, names: list[str], first: int | None) -> list[int]:
        """The columns that vary: the one that was asked for, then those whose weight × deviation is the largest."""
        varies = self.varies
        if first is not None and not varies[first]:
            raise ValueError(must_be("column", "one whose values differ", f"{names[first]!r}, which holds one value only"))
        if not varies.any():
            raise ValueError("every column of X holds one value only: no line goes through it")
        tells = np.full(len(names), -math.inf)
        np.divide(np.abs(self.together), np.sqrt(self.squares), out=tells, where=varies)
        if first is not None:
            tells[first] = math.inf
        return [int(j) for j in np.argsort(-tells, kind="stable")[: np.count_nonzero(varies)]]

    def facts(self, j: int) -> dict[str, Any]:
        """What the page computes from: mean and variance of x, slope and loss of the best line, and its value at the mean."""
        total, mean = self.moments.total, self.moments.mean
        slope = self.together[j] / self.squares[j]
        best = max(0.0, self.moments.scatter[-1, -1] - slope * self.together[j]) / total
        facts = {"mean": mean[j], "variance": self.squares[j] / total, "slope": slope, "level": mean[-1], "best": best}
        return {name: float(value) for name, value in facts.items()}


def _lines(X: ArrayLike | Table, Y: ArrayLike | None, sample_weight: ArrayLike | None) -> tuple[_Lines, Piece]:
    """What all rows tell, and a sample of them, in one pass."""
    glance = Glance()
    glance.size = MOST_ROWS
    rows = _of_table(X, Y, sample_weight) if isinstance(X, Table) else _of_arrays(X, Y, sample_weight)
    for piece in rows:
        glance.take(piece)
    if glance.moments is None or glance.sample is None:
        raise ValueError(must_be("Y", "the targets", "a table without a target"))
    check(glance.moments, None)
    return _Lines(glance.moments), glance.sample


def _of_table(table: Table, Y: ArrayLike | None, sample_weight: ArrayLike | None) -> Iterator[Piece]:
    for name, value in (("Y", Y), ("sample_weight", sample_weight)):
        if value is not None:
            raise TypeError(must_be(name, "None beside a table, which brings it", type(value).__name__))
    if table.classes is not None:
        raise ValueError(f"the target is {table.classes} classes, and the page fits lines to numbers")
    if len(table.target_shape) == 1 and table.target_shape[0] > 1:
        raise ValueError(must_be("Y", "one target", f"a table with {table.target_shape[0]}"))
    _check_width(len(table.names))
    return table.pieces(1)


def _of_arrays(X: ArrayLike, Y: ArrayLike | None, sample_weight: ArrayLike | None) -> Iterator[Piece]:
    if cluster.lazy(X):
        raise TypeError(must_be("X", "rows at hand", "rows in Dask", ": X.compute() brings them here"))
    X = arrays.table(X)
    Y = arrays.targets(Y, X)
    if Y.size != len(Y):
        raise ValueError(must_have_shape("Y", "(n,) or (n, 1)", Y.shape, ": explore the targets one by one"))
    _check_width(X.shape[1])
    check_finite(X, "X")
    check_finite(Y, "Y")
    s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, X)
    target = Y.reshape(-1, 1)
    for low in range(0, len(X), _BLOCK):
        part = slice(low, low + _BLOCK)
        yield Piece(X[part], target[part], None if s is None else s[part])


def _check_width(d: int) -> None:
    if d > MOST_COLUMNS:
        raise ValueError(must_have_shape("X", f"(n, d) with d up to {MOST_COLUMNS:,}", ("n", d), ": leave columns out"))


# What things are called ------------------------------------------------------------------------------------------------------


def _names(X: Any, names: Iterable[str] | None) -> list[str]:
    if isinstance(X, Table):
        if names is not None:
            raise TypeError(must_be("names", "None beside a table, which has names", type(names).__name__))
        return list(X.names)
    d = np.shape(X)[1] if np.ndim(X) == 2 else 1  # what is no table is told by the check of X
    if names is None:
        own = getattr(X, "columns", ["x"] if d == 1 else [f"column {j}" for j in range(d)])
        return [str(name) for name in own]
    called = texts(names, "names")
    if len(called) != d:
        raise ValueError(must_be("names", f"one for each of the {d} columns of X", f"{len(called)}"))
    return called


def _target(X: Any, Y: Any) -> str:
    if isinstance(X, Table):
        return str((X.card() or {}).get("target") or "y")
    name = getattr(Y, "name", None)  # of a series, where it has one
    return "y" if name is None else str(name) or "y"


def _place(column: Any, names: list[str]) -> int:
    """The number of the column that was asked for."""
    if isinstance(column, str):
        if column in names:
            return names.index(column)
        near = difflib.get_close_matches(column, names, 1)
        wanted = "the number or the name of a column of X"
        raise ValueError(must_be("column", wanted, repr(column), f"; there is {near[0]}" if near else ""))
    return integer(column, "column", 0, len(names) - 1)


def _start(model: Any) -> tuple[float, float]:
    """Weight and bias of a line."""
    if not isinstance(model, Linear):
        raise TypeError(must_be("model", "a Linear", type(model).__name__))
    if model.weights.size != 1 or model.bias is None:
        raise ValueError(must_be("model", "one weight and a bias, of the column that is shown", repr(model)))
    return float(model.weights.ravel()[0]), float(np.ravel(model.bias)[0])


# The page --------------------------------------------------------------------------------------------------------------------


def _rounded(values: Array) -> list[float]:
    """Of values that are drawn, digits enough to be told apart: a ten-thousandth of their range."""
    spread = float(np.ptp(values.astype(np.float64)))
    places = 4 - math.floor(math.log10(spread)) if spread > 0 else 15
    return [round(value, places) for value in values.astype(np.float64).tolist()]


def _page(given: dict[str, Any], title: str) -> str:
    """The template with everything that it needs inside. Its policy names by their hashes the script and the style that hold,
    and forbids all else; what is given is data, which no browser runs, and no text in it can end its element."""
    source = importlib.resources.files("gdcore.report") / "live"
    style, *scripts = ((source / name).read_text("utf-8") for name in ("style.css", *_SCRIPTS))
    script = "".join(scripts)
    data = json.dumps(given, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for c in "<>&\u2028\u2029":
        data = data.replace(c, f"\\u{ord(c):04x}")
    policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    return string.Template((source / "page.html").read_text("utf-8")).substitute(
        policy=policy, title=escaped(title), target=escaped(given["target"]), style=style, given=data, script=script
    )


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode('utf-8')).digest()).decode('ascii')}'"
