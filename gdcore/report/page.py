"""What a training leaves to look at: one picture, and one page that opens without a network."""

from __future__ import annotations

import base64
import importlib.resources
import io
import math
import os
import platform
import re
import string
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from gdcore import drawing
from gdcore.container import write
from gdcore.plain import number
from gdcore.report import panels
from gdcore.report.labels import UNKNOWN, shorten
from gdcore.report.markup import escaped
from gdcore.report.report import Report, ranked
from gdcore.scores import spread
from gdcore.scores.named import cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

__all__ = ["ENDINGS", "Report", "draw", "page", "save_plot"]

ENDINGS = (".png", ".svg", ".pdf")
FIRST = 20
"""Rows of the table of weights that stand there; the others open."""
MOST_WEIGHTS = 2000
"""All its rows."""
MOST_OUTPUTS = 50
"""Its columns of weights."""

_MISSING = "a picture or a report needs matplotlib, which is not installed: pip install 'gdcore[cli]'"
_SHORT = 28  # characters of a name that stays in a line where there is room
_WIDTH, _HEIGHT = 6.0, 4.5  # inches, of a panel


# The picture ----------------------------------------------------------------------------------------------------------------


def draw(report: Report) -> Figure:
    """The picture: the panels of `gdcore.report.panels.chosen`, up to three in a row.

    Returns
    -------
    matplotlib Figure
        pyplot knows nothing of it.

    Raises
    ------
    ImportError
        When matplotlib is missing; the message says how to install it.
    """
    with _style():
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        chosen = panels.chosen(report)
        across = 2 if len(chosen) in (2, 4) else min(3, len(chosen))
        down = -(-len(chosen) // across)
        figure = drawing.bare(_WIDTH * across, _HEIGHT * down)
        grid = figure.add_gridspec(down, 6)
        for i, panel in enumerate(chosen):
            row, column = divmod(i, across)
            width = 6 // min(across, len(chosen) - row * across)
            panel(report, figure.add_subplot(grid[row, column * width : (column + 1) * width]))
        figure.suptitle(f"{shorten(report.title, 45 * across)}\n{_summary(report, 48 * across)}", fontsize=13)
        if _lacks(figure):
            figure.supxlabel(f"{UNKNOWN} is a character that this picture's font does not have.", fontsize=9)
        # Once: a picture that is laid out whenever it is drawn, and it is drawn twice to be saved, takes twice as long.
        engine = figure.get_layout_engine()
        assert isinstance(engine, ConstrainedLayoutEngine)
        engine.set(w_pad=0.12, h_pad=0.12, wspace=0.02, hspace=0.02)
        engine.execute(figure)
        figure.set_layout_engine("none")
    return figure


def _summary(report: Report, room: int) -> str:
    """The scores in a line, as many as there is room for."""
    shown, said = report.shown, ""
    for name, title in shown.titles().items():
        more = f"{said}    {shorten(title, 30)} {number(shown.named()[name], 4)}".strip()
        said = more if len(more) <= room - 30 else said
    return f"{said}    ({shown.rows:,} {'test' if 'test' in report.scores else 'training'} rows)".strip()


def _lacks(figure: Figure) -> bool:
    from matplotlib.text import Text

    return any(isinstance(text, Text) and UNKNOWN in text.get_text() for text in figure.findobj(Text))


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


def _image(figure: Figure, kind: str) -> bytes:
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
    # No name is a formula, whatever dollar signs it has.
    own: dict[RcKeyType, object] = {
        "svg.hashsalt": "gdcore", "axes.titlesize": 11, "axes.titlelocation": "left", "text.parse_math": False,
    }  # fmt: skip
    with matplotlib.style.context("default"), matplotlib.rc_context(own):
        yield


# The page -------------------------------------------------------------------------------------------------------------------


def page(report: Report) -> str:
    """Weights, scores, the picture's panels, settings and columns as one HTML page.

    It has no script and asks for nothing from outside; its policy forbids both to whatever a name smuggles in. All names and
    texts are escaped.

    Raises
    ------
    ImportError
        When matplotlib is missing.
    """
    import gdcore

    template = string.Template((importlib.resources.files("gdcore.report") / "page.html").read_text("utf-8"))
    notes = "".join(f"<li>{_name(note)}</li>\n" for note in report.notes)
    return template.substitute(
        title=escaped(report.title),
        heading=_broken(report.title),
        notes=f'<div class="notes" role="note">\n<ul>\n{notes}</ul>\n</div>\n' if notes else "",
        rows=" · ".join(f"{_name(name)}: {_name(text)}" for name, text in report.rows),
        first=_section("Weights", _weights(report))
        + _part(
            _section("Scores", _scores(report) + _folds(report)),
            _section("Settings", _pairs(report.settings, "Setting", "Value")),
        ),
        pictures=_pictures(report),
        second=_section("Errors of the weights", _errors(report))
        + _section("What became of each column", _pairs(report.columns, "Column", "What became of it"))
        + _section("Spectrum", _spectrum(report)),
        versions=escaped(f"gdcore {gdcore.__version__}, NumPy {np.__version__}, Python {platform.python_version()}"),
    )


def _pictures(report: Report) -> str:
    """Each panel as a picture of its own: side by side where there is room, below each other on a telephone."""
    pictures, lacking = [], False
    for panel in panels.chosen(report):
        with _style():
            figure = drawing.bare(_WIDTH, _HEIGHT)
            ax = figure.subplots()
            panel(report, ax)
        data = base64.b64encode(_image(figure, "svg")).decode("ascii")
        said = [ax.get_title(loc="left"), *(text.get_text() for text in ax.texts if not ax.axison)]  # without axes: words
        alt = escaped(" ".join(": ".join(said).split()))
        pictures.append(f'<img src="data:image/svg+xml;base64,{data}" alt="{alt}" width="600" height="450">\n')
        lacking = lacking or _lacks(figure)
    caption = f"<figcaption>{UNKNOWN} is a character that the pictures' font does not have.</figcaption>\n"
    pairs = ' class="pairs"' if len(pictures) in (2, 4) else ""
    return f"<figure{pairs}>\n{''.join(pictures)}{caption if lacking else ''}</figure>\n"


def _weights(report: Report) -> str:
    if report.weights is None:
        return ""
    values, spread, (d, k) = report.effects, report.spread, report.effects.shape
    weights = np.reshape(report.weights, (d, k))
    shown = min(k, MOST_OUTPUTS)
    heads = ["Column", *(["Weight"] if k == 1 else [_name(output) for output in report.outputs[:shown]])]
    heads += [] if spread is None else ["Standard deviation", f"{'Weight' if k == 1 else 'Largest'} × deviation"]
    rows = []
    for i in ranked(np.abs(values).max(axis=1, initial=0))[:MOST_WEIGHTS]:
        beside = [] if spread is None else [spread[i], values[i, np.abs(values[i]).argmax()]]
        rows.append([_name(report.names[i]), *(number(float(value)) for value in [*weights[i, :shown], *beside])])
    if report.bias is not None:
        bias = [number(float(value)) for value in np.ravel(report.bias)[:shown]]
        rows.insert(min(FIRST, len(rows)), ["bias", *bias, *([] if spread is None else ["", ""])])
    by = "per unit of the column" if spread is None else "times the column's standard deviation"
    said = [f"The largest first, by the weight {by}."]
    if report.loss.targets == "binary":
        no, yes = (_name(output) for output in report.outputs)
        said.append(f"Positive weights speak for {yes}, negative ones for {no}.")
    said += [f"{_name(remark)}." for remark in report.remarks]
    if d > MOST_WEIGHTS:
        said.append(f"{d - MOST_WEIGHTS:,} of {d:,} columns, those with the smallest, are left out.")
    if k > shown:
        said.append(f"{k - shown:,} of {k:,} outputs are left out.")
    first, others = rows[: FIRST + 1], rows[FIRST + 1 :]
    table = _table("Weights", heads, first)
    if others:
        table += f"<details><summary>{len(others):,} more</summary>\n{_table('More weights', heads, others)}</details>\n"
    return f"<p>{' '.join(said)}</p>\n{table}"


def _errors(report: Report) -> str:
    """Standard errors, p-values and intervals, and what goes with them."""
    if report.errors is None:
        return ""
    rows = [[_name(name), *cells] for name, cells in report.errors.rows]
    first, others = rows[: FIRST + 1], rows[FIRST + 1 : MOST_WEIGHTS]
    heads = ["Column", *map(escaped, report.errors.heads)]
    table = _table("Errors of the weights", heads, first)
    if others:
        table += f"<details><summary>{len(others):,} more</summary>\n{_table('More errors', heads, others)}</details>\n"
    left = len(rows) - len(first) - len(others)
    said = f"<p>{left:,} of {len(rows):,} rows are left out.</p>\n" if left else ""
    return said + table + _pairs(report.errors.facts, "Quantity", "Value")


def _scores(report: Report) -> str:
    """Those of the rows that trained and of those that test, beside the best constant."""
    base = report.shown.baseline
    columns = {name.capitalize(): report.scores[name] for name in ("training", "test") if name in report.scores}
    columns |= {} if base is None else {"Baseline": base.scores}
    named = [scores.named() for scores in columns.values()]
    rows = [(_name(title), *(cell(name, cells.get(name)) for cells in named)) for name, title in report.shown.titles().items()]
    what = "" if base is None else f"<p>The baseline is {_name(base.what)}.</p>\n"
    return _table("Scores", ("Score", *columns), rows) + what


def _folds(report: Report) -> str:
    """Of a cross-validation: the mean of each number over the folds, and its standard error."""
    if not report.folds:
        return ""
    found, titles = spread(report.folds), report.folds[0].titles()
    rows = [
        (_name(title), *(cell(name, value) for value in (found[name].mean, found[name].error, found[name].baseline)))
        for name, title in titles.items()
    ]
    return _table("Cross-validation", ("Cross-validation", "Mean", "Standard error", "Baseline"), rows)


def _spectrum(report: Report) -> str:
    s = report.spectrum
    if s is None:
        return ""
    unknown = f"not known: of {s.size:,} eigenvalues only the largest is"
    rows = [
        ("condition number, λmax/λmin", unknown if s.condition is None else drawing.count(s.condition)),
        ("largest eigenvalue, λmax", number(s.largest) + (f" (at most {s.error:.2g} more)" if s.error else "")),
        ("smallest eigenvalue that is not zero, λmin", unknown if s.smallest is None else number(s.smallest)),
        ("eigenvalues that are not zero", unknown if s.rank is None else f"{s.rank:,} of {s.size:,}"),
        ("learning rate: limit, 2/λmax", _or_any(s.lr_limit)),
        ("learning rate: best, 2/(λmax + λmin)", unknown if s.lr_best is None else _or_any(s.lr_best)),
    ]
    rates = [("at the best", s.lr_best)] if s.smallest else []
    for which, rate in [*rates, ("at the one used", report.lr if s.smallest else None)]:
        if rate:
            needed = s.epochs_to(1e-3, rate) or 1
            rows.append((f"epochs for 3 digits {which}", "never" if needed == math.inf else drawing.count(needed)))
    worst = ", ".join(f"{report.names[c]} ({s.shares[c]:.0%})" for c in s.worst_columns)
    rows.append(("columns that keep the learning rate small (share)", worst if s.largest > 0 else "none"))
    what = "<p>Of gradient descent on all rows, without momentum or preconditioning.</p>\n"
    return what + _pairs(rows, "Quantity", "Value")


def _or_any(lr: float) -> str:
    return number(lr) if math.isfinite(lr) else "none: any will do, all eigenvalues are zero"


# Its parts ------------------------------------------------------------------------------------------------------------------


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}</section>\n" if body else ""


def _part(*sections: str) -> str:
    """Sections below each other."""
    return f"<div>\n{''.join(sections)}</div>\n" if any(sections) else ""


def _pairs(pairs: Sequence[tuple[str, str]], head: str, value: str) -> str:
    return _table(head, (head, value), ((_name(a), _name(b)) for a, b in pairs), "text") if pairs else ""


def _table(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "number") -> str:
    """Escaped cells; the first of a row is its head, the others are numbers or texts."""
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


def _name(text: str) -> str:
    """A text of the user's: what it says of the direction of writing ends with it."""
    short = ' class="short"' if len(text) <= _SHORT else ""
    return f"<bdi{short}>{_broken(text)}</bdi>"


def _broken(text: str) -> str:
    """Escaped, with places for the ends of lines in names like total_of_2021 or totalOf2021."""
    return "<wbr>".join(map(escaped, re.split(r"(?<=[_./=:;,-])(?=\w)|(?<=[a-z])(?=[A-Z])|(?<=\w{20})(?=\w)", str(text))))
