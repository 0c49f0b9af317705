"""What a training leaves to look at: one picture, and one page that opens without a network."""

from __future__ import annotations

import base64
import html
import io
import math
import os
import platform
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses
from gdcore.report import panels, plots
from gdcore.store.container import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gdcore.facts.spectrum import Spectrum
    from gdcore.run import History

ENDINGS = (".png", ".svg", ".pdf")
MOST_WEIGHTS = 2000
"""Rows of the page's table of weights."""
MOST_OUTPUTS = 50
"""Its columns of weights."""

_MISSING = "a picture or a report needs matplotlib, which is not installed: pip install 'gdcore[cli]'"
_PANELS = (panels.curves, panels.predicted, panels.largest, panels.limit)


@dataclass
class Report:
    """What is drawn and written of one training.

    Parameters
    ----------
    title : str
        As in "arr_delay of flights.csv".
    loss : str
        Name of the loss.
    history : History
        Of the run; its validation loss is called test loss.
    names : list of str
        The columns of X, d of them.
    weights : array (d,) or (d, k), or None
        In the units of the columns; None for a network.
    bias : float, array (k,) or None
    targets : array (m,) or (m, k)
        Of rows that stand for all: some thousand of the test rows, or of the training rows. logistic: 0 and 1; softmax: whole
        numbers from 0.
    predictions : array (m,) or (m, k)
        For these rows. logistic: scores (m,), the higher the more likely 1: ``predict``'s, for probabilities near 1 are
        rounded and no longer tell which is higher; softmax: probabilities (m, k).
    labels : list of str, optional
        What the classes are called, or the k outputs.
    held_out : bool
        Whether these rows were kept from the training.
    spectrum : Spectrum, optional
        Of the training rows; None where the loss or the model has none.
    lr : float or str
        The learning rate, or what stands for it.
    scores : dict
        Name: (of the training rows, of the test rows or None). The test loss stands in "loss".
    settings, columns : lists of (str, str)
        Names and texts: how it was trained; what became of each column of the file.
    notes : list of str
        Warnings.

    Raises
    ------
    ValueError
        The shapes do not fit each other, or a number is not finite.

    Examples
    --------
    >>> import gdcore
    >>> x, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
    >>> run = gdcore.fit(x, y)
    >>> report = Report("y of lines.csv", "mse", run.history, ["x"], run.model.weights, run.model.bias,
    ...                 targets=y, predictions=run.model.predict(x), spectrum=run.spectrum)
    >>> report.targets, report.held_out
    (array([1., 3., 5.]), False)
    """

    title: str
    loss: str
    history: History
    names: Sequence[str]
    weights: Any
    bias: Any
    targets: Any
    predictions: Any
    labels: list[str] | None = None
    held_out: bool = False
    spectrum: Spectrum | None = None
    lr: float | str = "auto"
    scores: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    settings: Sequence[tuple[str, str]] = ()
    columns: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        kind, d = losses.get(self.loss).targets, len(self.names)
        self.predictions, self.targets = _finite(self.predictions, "predictions"), _finite(self.targets, "targets")
        shape, more = self.predictions.shape, self.predictions.ndim - 1
        if more not in {"binary": (0,), "classes": (1,), "real": (0, 1)}[kind]:
            wanted = {"binary": "(m,)", "classes": "(m, k)", "real": "(m,) or (m, k)"}[kind]
            raise ValueError(f"predictions for {self.loss} must have shape {wanted}, found {shape}")
        wanted = shape[:1] if kind == "classes" else shape
        if self.targets.shape != wanted:
            raise ValueError(f"targets must have shape {wanted} beside predictions {shape}, found {self.targets.shape}")
        k = shape[1] if more else 1
        if self.weights is not None:
            self.weights = _finite(self.weights, "weights")
            if self.weights.shape not in ((d,), (d, k)) or self.weights.size != d * k:
                wanted, outputs = f"({d}, {k})" if k > 1 else f"({d},)", f"{k} output{'' if k == 1 else 's'}"
                raise ValueError(f"weights must have shape {wanted}: {d} names, {outputs}; found {self.weights.shape}")
        if self.bias is not None:
            self.bias = _finite(self.bias, "bias").reshape(-1)
            if len(self.bias) != k:
                raise ValueError(
                    f"bias must have {k} value{'' if k == 1 else 's'}, one for each output, found {len(self.bias)}"
                )
        moments = None if self.spectrum is None else self.spectrum.moments
        if moments is not None and moments.columns != d:
            raise ValueError(f"spectrum is one of {moments.columns} columns, names are {d}")
        classes = 2 if kind == "binary" else k
        if self.labels is not None and len(self.labels) != classes:
            raise ValueError(f"labels must be {classes}, one for each class or output, found {len(self.labels)}")
        if kind != "real":
            wrong = ~np.isin(self.targets, np.arange(classes))
            if wrong.any():
                found = self.targets[wrong.argmax()]
                raise ValueError(f"targets for {self.loss} must be whole numbers from 0 to {classes - 1}, found {found:g}")
            self.targets = self.targets.astype(np.int64)

    @property
    def outputs(self) -> list[str]:
        """The names of the classes, or of the outputs: `labels`, where there are any."""
        if self.labels is not None:
            return list(self.labels)
        kind = losses.get(self.loss).targets
        k = 2 if kind == "binary" else self.predictions.shape[1] if self.predictions.ndim == 2 else 1
        return [f"output {c}" if kind == "real" else str(c) for c in range(k)]


def _finite(values: Any, name: str) -> Any:
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, found {array[~np.isfinite(array)][0]}")
    return array


def draw(report: Report) -> Any:
    """The picture: loss curves, predictions against targets, the largest weights, the learning rate's limit.

    Returns
    -------
    matplotlib Figure
        With four Axes, in that order. pyplot knows nothing of it.

    Raises
    ------
    ImportError
        When matplotlib is missing; the message says how to install it.
    """
    with _style():
        figure, axes = plots.figure(2, rows=2)
        figure.set_size_inches(12, 9)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.02, hspace=0.02)
        for panel, ax in zip(_PANELS, axes, strict=True):
            panel(report, ax)
        head = panels.shorten(report.title, 90)
        scores = ""
        for name, pair in report.scores.items():  # as many as there is room for
            more = f"{scores}    {panels.shorten(name, 30)} {_pair(pair)}".strip()
            scores = more if len(more) <= 95 else scores
        figure.suptitle(f"{head}\n{scores}" if scores else head, fontsize=13, parse_math=False)
        if _lacks(figure):
            figure.supxlabel(f"{panels.UNKNOWN} is a character that this picture's font does not have.", fontsize=9)
    return figure


def _lacks(figure: Any) -> bool:
    return any(panels.UNKNOWN in text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def _pair(pair: tuple[float, float | None]) -> str:
    train, test = pair
    return f"{train:.4g} training" + ("" if test is None else f", {test:.4g} test")


def save_plot(report: Report, path: str | os.PathLike[str]) -> None:
    """Writes `draw`'s picture, whole or not at all: the same report gives the same bytes.

    Parameters
    ----------
    report : Report
    path : str or path
        Ends in .png, .svg or .pdf. A file that is there is replaced.

    Raises
    ------
    ValueError
        Another ending.
    ImportError
        When matplotlib is missing.
    OSError
        The file cannot be written; what was there is unchanged.
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in ENDINGS:
        raise ValueError(f"{os.fspath(path)}: the picture's name must end in .png, .svg or .pdf")
    write(path, _image(draw(report), ending[1:]))


def _image(figure: Any, kind: str) -> bytes:
    # Without dates and versions, and with ids that are no random numbers.
    metadata = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }[kind]
    buffer = io.BytesIO()
    with _style():
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """matplotlib as it comes, whatever the user's own settings are."""
    try:
        import matplotlib
        import matplotlib.style
    except ImportError:
        raise ImportError(_MISSING) from None
    with matplotlib.style.context("default"), matplotlib.rc_context({"svg.hashsalt": "gdcore"}):
        yield


def page(report: Report) -> str:
    """The picture's panels, the scores, settings, spectrum, columns and weights as one HTML page.

    It has no script and asks for nothing from outside; its policy forbids both to whatever a name smuggles in. All names and
    texts are escaped.

    Raises
    ------
    ImportError
        When matplotlib is missing.
    """
    title = _text(report.title)
    parts = [
        _HEAD.format(title=title, style=_CSS),
        f"<h1><bdi>{title}</bdi></h1>\n",
        _notes(report.notes),
        _section("Scores", _scores(report)),
        _pictures(report),
        _section("Settings", _pairs(report.settings, "Setting", "Value")),
        _section("Spectrum", _spectrum(report)),
        _section("Weights", _weights(report)),
        _section("What became of each column", _pairs(report.columns, "Column", "What became of it")),
        _versions(),
        "</main>\n</body>\n</html>\n",
    ]
    return "".join(parts)


_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
"""

_CSS = """:root { color-scheme: light dark; }
:root { --text: #1c1c1c; --ground: #ffffff; --line: #d8d8d8; --soft: #5c5c5c; --note: #fff4e5; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8e8; --ground: #181818; --line: #444444; --soft: #a8a8a8; --note: #3a2c14; }
  figure img { filter: invert(0.91) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.25; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; }
h2 { font-size: 1.25rem; margin: 2rem 0 0.5rem; }
figure { margin: 1.5rem 0; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
figure img { display: block; width: 100%; height: auto; background: #ffffff; }
figcaption { color: var(--soft); grid-column: 1 / -1; }
.notes { background: var(--note); border-left: 4px solid #d1622b; padding: 0.5rem 1rem; overflow-wrap: anywhere; }
.notes ul { margin: 0; padding-left: 1.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 1.2rem 0.3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody th, td.text { font-weight: normal; overflow-wrap: anywhere; min-width: 8rem; max-width: 45rem; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; }
p { max-width: 45rem; }
footer { margin-top: 2rem; color: var(--soft); font-size: 0.9rem; }
@media print {
  :root { --text: #000000; --ground: #ffffff; --line: #bbbbbb; --soft: #444444; --note: #ffffff; }
  figure img { filter: none; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  figure { grid-template-columns: 1fr 1fr; }
  figure, tr, .notes { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""


def _pictures(report: Report) -> str:
    """Each panel as a picture of its own: side by side where there is room, below each other on a telephone."""
    pictures, lacking = [], False
    for panel in _PANELS:
        with _style():
            figure, (ax,) = plots.figure(1)
            figure.set_size_inches(6, 4.5)
            panel(report, ax)
        data = base64.b64encode(_image(figure, "svg")).decode("ascii")
        said = [ax.get_title(), *(text.get_text() for text in ax.texts if not ax.axison)]  # without axes: words
        alt = _text(" ".join(": ".join(said).split()))
        pictures.append(f'<img src="data:image/svg+xml;base64,{data}" alt="{alt}" width="600" height="450">\n')
        lacking = lacking or _lacks(figure)
    caption = f"<figcaption>{panels.UNKNOWN} is a character that the pictures' font does not have.</figcaption>\n"
    return f"<figure>\n{''.join(pictures)}{caption if lacking else ''}</figure>\n"


def _text(text: str) -> str:
    """Escaped for text and attributes. Control characters and lone surrogates, which HTML forbids, and marks that turn the
    direction of what follows become signs that are seen."""
    return html.escape("".join(map(_seen, str(text))), quote=True)


def _seen(c: str) -> str:
    code = ord(c)
    if code < 32:
        return chr(0x2400 + code)  # ␀ … ␟
    if 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return f"[U+{code:04X}]"
    return "\ufffd" if 127 <= code < 160 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE else c


def _name(text: str) -> str:
    """A text of the user's: what it says of the direction of writing ends with it."""
    return f"<bdi>{_text(text)}</bdi>"


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}</section>\n" if body else ""


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{_name(note)}</li>\n" for note in notes)
    return f'<div class="notes" role="note">\n<ul>\n{items}</ul>\n</div>\n' if items else ""


def _table(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = True) -> str:
    """Escaped cells; the first of a row is its head, the others are numbers or texts."""
    kind = "number" if numbers else "text"
    first, *others = heads
    top = f'<th scope="col">{first}</th>' + "".join(f'<th scope="col" class="{kind}">{head}</th>' for head in others)
    body = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f'<td class="{kind}">{cell}</td>' for cell in cells) + "</tr>\n"
        for first, *cells in rows
    )
    return (
        f'<div class="wide" role="region" aria-label="{label}" tabindex="0">\n<table>\n'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _pairs(pairs: Sequence[tuple[str, str]], head: str, value: str) -> str:
    return _table(head, (head, value), ((_name(a), _name(b)) for a, b in pairs), numbers=False) if pairs else ""


def _scores(report: Report) -> str:
    if not report.scores:
        return ""
    rows = [
        (_name(name), f"{train:.6g}", "not measured" if test is None else f"{test:.6g}")
        for name, (train, test) in report.scores.items()
    ]
    return _table("Scores", ("Score", "Training", "Test"), rows)


def _spectrum(report: Report) -> str:
    s = report.spectrum
    if s is None:
        return f"<p>{_text(' '.join(panels.no_spectrum(report).split()))}</p>\n"
    unknown = f"not known: of {s.size:,} eigenvalues only the largest is"
    used = report.lr if isinstance(report.lr, str) else f"{report.lr:.6g}"
    rows = [
        ("condition number, λmax/λmin", unknown if s.condition is None else f"{s.condition:.6g}"),
        ("largest eigenvalue, λmax", f"{s.largest:.6g}" + (f" (at most {s.error:.2g} more)" if s.error else "")),
        ("smallest eigenvalue that is not zero, λmin", unknown if s.smallest is None else f"{s.smallest:.6g}"),
        ("eigenvalues that are not zero", unknown if s.rank is None else f"{s.rank:,} of {s.size:,}"),
        ("learning rate: limit, 2/λmax", _or_any(s.lr_limit)),
        ("learning rate: best, 2/(λmax + λmin)", unknown if s.lr_best is None else _or_any(s.lr_best)),
        ("learning rate: used", used),
    ]
    if s.smallest and s.lr_best is not None:
        rows.append(("epochs for 3 digits at the best", plots.count(s.epochs_to(1e-3) or 1)))
        if not isinstance(report.lr, str) and report.lr > 0:
            needed = s.epochs_to(1e-3, float(report.lr)) or 1
            rows.append(("epochs for 3 digits at the one used", "never" if needed == math.inf else plots.count(needed)))
    worst = ", ".join(f"{report.names[c]} ({s.shares[c]:.0%})" for c in s.worst_columns)
    rows.append(("columns that keep the learning rate small (share)", worst if s.largest > 0 else "none"))
    what = "<p>Of gradient descent on all rows, without momentum or preconditioning.</p>\n"
    return what + _pairs(rows, "Quantity", "Value")


def _or_any(lr: float) -> str:
    return f"{lr:.6g}" if math.isfinite(lr) else "none: any will do, all eigenvalues are zero"


def _weights(report: Report) -> str:
    if report.weights is None:
        return "<p>A network has no weight of its own for a column.</p>\n"
    weights = report.weights.reshape(len(report.names), -1)
    values, spread = panels.effects(report)
    d, k = weights.shape
    shown = min(k, MOST_OUTPUTS)
    order = panels.ranked(np.abs(values).max(axis=1, initial=0))[:MOST_WEIGHTS]
    outputs = ["weight"] if k == 1 else [_name(output) for output in report.outputs[:shown]]
    heads = ["Column", *outputs]
    if spread is not None:
        heads += ["standard deviation", "weight × standard deviation" if k == 1 else "largest weight × standard deviation"]
    rows = []
    for i in order:
        row = [_name(report.names[i]), *(f"{weight:.6g}" for weight in weights[i, :shown])]
        if spread is not None:
            most = values[i, np.abs(values[i]).argmax()] if k else 0.0
            row += [f"{spread[i]:.6g}", f"{most:.6g}"]
        rows.append(row)
    if report.bias is not None:
        rows.append(["bias", *(f"{value:.6g}" for value in report.bias[:shown]), *([""] * (0 if spread is None else 2))])
    by = "the weight times the column's standard deviation" if spread is not None else "the weight per unit of the column"
    said = [f"Sorted by the size of {by}, the largest first."]
    if losses.get(report.loss).targets == "binary":
        no, yes = (_name(output) for output in report.outputs)
        said.append(f"Positive weights speak for {yes}, negative ones for {no}.")
    if d > len(order):
        said.append(f"{d - len(order):,} of {d:,} columns, those with the smallest, are left out.")
    if k > shown:
        said.append(f"{k - shown:,} of {k:,} outputs are left out.")
    return f"<p>{' '.join(said)}</p>\n" + _table("Weights", heads, rows)


def _versions() -> str:
    import gdcore

    versions = f"gdcore {gdcore.__version__}, NumPy {np.__version__}, Python {platform.python_version()}"
    return f"<footer><p>Made with {_text(versions)}.</p></footer>\n"
