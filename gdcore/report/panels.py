"""The four panels of a report's pictures: losses, predictions, weights, learning rate. Each draws on Axes what a Report has.

A panel that has nothing to draw says so in words. Its title says what is seen, so that it is also the panel's
text for those who cannot see it.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses
from gdcore.report import plots
from gdcore.scores import measures

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.report.page import Report

BARS = 12
"""Weights, or classes, that a panel has room for."""
UNKNOWN = "□"
"""Stands for a character that the picture's font lacks."""

_FEW = 3  # epochs that are drawn as points with their values
_MANY = 1000  # epochs from which on their axis is logarithmic
_POINTS = 500  # more are drawn as one image, for a vector file that opens
_GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # behind numbers that a line may cross
_COLORS = (plots.BLUE, plots.ORANGE, "#3a8f6b", "#8c5aa8", "#b59410", plots.GREY)


def curves(report: Report, ax: Any) -> None:
    """Loss curves: training, and test where there is one."""
    from matplotlib.ticker import MaxNLocator

    history = report.history
    plots.losses(history, ax=ax)
    ax.set_yscale("linear")
    values = [history.loss, history.validation_loss]
    for line in ax.get_lines():
        if line.get_label() == "validation":
            line.set_label("test")
    tested = report.scores.get("loss", (math.nan, None))[1]
    if np.isnan(history.validation_loss).all() and tested is not None and len(history):
        ax.plot(history.epoch[-1:], [tested], "D", color=plots.ORANGE, label="test, after training", markersize=6)
        values.append(np.array([tested]))
    known = np.concatenate([v[np.isfinite(v)] for v in values])
    if not len(known):
        return words(ax, "Loss", "The run has no epoch: there is no curve.")
    low, high = float(known.min()), float(known.max())
    last = int(history.epoch[-1])  # of very many epochs the history has some
    epochs = f"{last:,} epoch{'' if last == 1 else 's'}"
    if len(history) <= _FEW:
        _points(ax, history.epoch)
    elif last >= _MANY:
        ax.set_xscale("log")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if low > 0 and high / low > 10:
        ax.set_yscale("log")
    elif not high - low > 1e-9 * max(abs(low), abs(high)):  # one value: an axis of its rounding would say nothing
        ax.set_ylim(_around(low, high))
    else:
        ax.margins(y=0.15)
    ends = f"{history.loss[0]:.4g}" if len(history) == 1 else f"{history.loss[0]:.4g} to {history.loss[-1]:.4g}"
    ax.set(title=f"Loss ({report.loss}):\n{ends} in {epochs}", ylabel=f"loss ({report.loss})")
    if len(ax.get_lines()) > 1:
        ax.legend(frameon=False)


def _points(ax: Any, epochs: Array) -> None:
    """For few epochs: points, with their values."""
    places = [(line, x, y) for line in ax.get_lines() for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
    for line, x, y in places:
        line.set(marker="D" if line.get_marker() == "D" else "o", markersize=6)
        if np.isfinite(y):
            below = all(y < other for beside, at, other in places if at == x and beside is not line and np.isfinite(other))
            place = {"xytext": (0, -9 if below else 9), "va": "top" if below else "bottom", "ha": "center"}
            text = _signed(f"{y:.4g}")
            ax.annotate(text, (x, y), textcoords="offset points", color=line.get_color(), bbox=_GROUND, **place)
    ax.set_xticks(epochs)
    ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)


def predicted(report: Report, ax: Any) -> None:
    """Predictions against targets; for classes the ROC curve, the confusion matrix, or the classes' recall."""
    m = len(report.targets)
    rows = f"{m:,} {'test' if report.held_out else 'training'} row{'' if m == 1 else 's'}"
    kind = losses.get(report.loss).targets
    if not m:
        words(ax, "Predictions", "There are no rows to compare predictions with.")
    elif kind == "binary":
        _roc(report, ax, rows)
    elif kind == "classes":
        counts = measures.confusion(report.targets, report.predictions.argmax(axis=1), report.predictions.shape[1])
        (_matrix if len(counts) <= BARS else _recall)(counts, report.outputs, ax, rows)
    else:
        _scatter(report, ax, rows)


def _scatter(report: Report, ax: Any, rows: str) -> None:
    m = len(report.targets)
    y, p = report.targets.reshape(m, -1), report.predictions.reshape(m, -1)
    both = np.concatenate([y.ravel(), p.ravel()])
    unit, power = _unit(both)
    style = {"linestyle": "", "marker": "o", "markeredgewidth": 0, "rasterized": y.size > _POINTS}
    style |= {"markersize": 5 if m <= 200 else 3, "alpha": 0.7 if m <= 200 else 0.4}
    several = y.shape[1] <= len(_COLORS)
    for c in range(y.shape[1]):
        color = _COLORS[c] if several else plots.BLUE
        ax.plot(
            y[:, c] / unit, p[:, c] / unit, color=color, label=shorten(report.outputs[c], 20) if several else None, **style
        )
    ends = _around(float(both.min()) / unit, float(both.max()) / unit)
    ax.plot(ends, ends, color="black", linewidth=1, linestyle="--", label="prediction = target", scalex=False, scaley=False)
    ax.set(xlim=ends, ylim=ends, xlabel=f"target{power}", ylabel=f"prediction{power}")
    ax.set_title(f"Predictions against targets:\n{rows}")
    handles, texts = ax.get_legend_handles_labels()
    if y.shape[1] == 1 or not several:
        handles, texts = handles[-1:], texts[-1:]
    _plain(ax.legend(handles, texts, frameon=False, loc="upper left").get_texts())
    plots.finish(ax)


def _roc(report: Report, ax: Any, rows: str) -> None:
    labels = [shorten(label, 16) for label in report.outputs]
    found = set(report.targets.tolist())
    if len(found) == 1:
        return words(ax, "ROC curve", f"All {rows} are {labels[int(found.pop())]}:\na ROC curve needs rows of both classes.")
    false, true = measures.roc(report.targets, report.predictions)
    area = measures.auc(report.targets, report.predictions)
    ax.plot([0, 1], [0, 1], color=plots.GREY, linewidth=1, linestyle="--", label="by chance: 0.5")
    ax.plot(false, true, color=plots.BLUE, linewidth=1.8, label=f"area {area:.4f}")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title=f"ROC curve:\nAUC {area:.4f}, {rows}")
    ax.set_xlabel(f"share of {labels[0]} taken for {labels[1]}", parse_math=False)
    ax.set_ylabel(f"share of {labels[1]} found", parse_math=False)
    ax.legend(frameon=False, loc="lower right")
    plots.finish(ax)


def _matrix(counts: Array, labels: list[str], ax: Any, rows: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    k = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    colors = LinearSegmentedColormap.from_list("shares", ["white", plots.BLUE])
    ax.pcolormesh(np.arange(k + 1) - 0.5, np.arange(k + 1) - 0.5, shares, cmap=colors, vmin=0, vmax=1, edgecolors="#e6e6e6")
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.7 else "black" if count else plots.GREY
        ax.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=10 if k <= 6 else 7.5)
    short = unique([shorten(label, 14) for label in labels], labels)
    size = 10 if k <= 6 else 8
    ax.set_yticks(range(k), short, parse_math=False, fontsize=size)
    upright = sum(map(len, short)) <= 40
    turn = {} if upright else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(range(k), short, parse_math=False, fontsize=size, **turn)
    ax.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), xlabel="predicted class", ylabel="class")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(f"Confusion matrix:\n{np.trace(counts) / counts.sum():.1%} of {rows} right")


def _recall(counts: Array, labels: list[str], ax: Any, rows: str) -> None:
    totals = counts.sum(axis=1)
    there = np.flatnonzero(totals)
    recall = counts.diagonal()[there] / totals[there]
    low = np.argsort(recall, kind="stable")[:BARS]
    short = unique([shorten(label, 16) for label in labels], labels)
    names = [f"{short[i]}, {totals[i]:,} row{'' if totals[i] == 1 else 's'}" for i in there[low]]
    _bars(ax, names, recall[low], [f"{recall[i]:.0%}" for i in low], plots.BLUE)
    right = np.trace(counts) / counts.sum()
    ax.axvline(right, color="black", linewidth=1, linestyle="--")
    ax.set(xlim=(0, 1.12), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel="recall: share of the class's rows that was found")
    which = f"the {BARS} lowest of {len(there):,}" if len(there) > BARS else f"{len(there)}"
    ax.set_title(f"Recall of {which} classes:\n{right:.1%} of {rows} right (dashed)")


def largest(report: Report, ax: Any) -> None:
    """The largest weights by name, times the columns' standard deviations where these are known."""
    if report.weights is None:
        return words(ax, "Weights", "A network has no weight of its own for a column.")
    values, spread = effects(report)
    if not values.any():
        why = "All weights are zero." if not report.weights.any() else "All columns with a weight are constant."
        return words(ax, "Largest weights", why)
    order = ranked(values)[:BARS]
    d, k = values.shape
    names = [report.names[i // k] for i in order]
    short = unique([shorten(name, 30 if k == 1 else 18) for name in names], names)
    if k > 1:
        ends = unique([shorten(output, 14) for output in report.outputs], report.outputs)
        short = [f"{name} → {ends[i % k]}" for name, i in zip(short, order, strict=True)]
    shown = values.ravel()[order]
    unit, power = _unit(shown)
    colors = [plots.BLUE if value > 0 else plots.ORANGE for value in shown]
    _bars(ax, short, shown / unit, [f"{value:.3g}" for value in shown], colors)
    low, high = min(0.0, float(shown.min())) / unit, max(0.0, float(shown.max())) / unit
    room = 0.22 * (high - low)  # for the numbers
    ax.set_xlim(low - (room if low < 0 else 0), high + (room if high > 0 else 0))
    ax.axvline(0, color="black", linewidth=0.8)
    ax.locator_params(axis="x", nbins=5)
    total = d * k
    which = f"The {len(order)} largest of {total:,} weights" if total > len(order) else "Weights"
    measure = "times the column's standard deviation" if spread is not None else "per unit of the column"
    ax.set_title(f"{which}:\n{measure}")
    per = (
        "change of the prediction per standard deviation"
        if spread is not None
        else "weight (change of the prediction per unit)"
    )
    if losses.get(report.loss).targets == "binary":
        no, yes = (shorten(output, 16) for output in report.outputs)
        per = f"negative: for {no}, positive: for {yes}"
    ax.set_xlabel(f"{per}{power}", parse_math=False)


def _bars(ax: Any, names: list[str], values: Floats, texts: list[str], colors: Any) -> None:
    """Horizontal bars, the first on top, with their names and their numbers."""
    places = np.arange(len(names))
    ax.barh(places, values, color=colors, height=0.7)
    for place, value, text in zip(places, values, texts, strict=True):
        side = {"xytext": (3 if value >= 0 else -3, 0), "ha": "left" if value >= 0 else "right"}
        ax.annotate(_signed(text), (value, place), textcoords="offset points", va="center", fontsize=8.5, bbox=_GROUND, **side)
    ax.set_yticks(places, names, parse_math=False, fontsize=9)
    ax.set_ylim(max(len(names), 4) - 0.5, -0.5)
    plots.finish(ax)
    ax.grid(visible=False, axis="y")


def limit(report: Report, ax: Any) -> None:
    """Epochs for three digits against the learning rate of plain gradient descent; its limit, the best, the one used."""
    spectrum = report.spectrum
    if spectrum is None:
        return words(ax, "Learning rate", no_spectrum(report))
    top, best, least, condition = spectrum.lr_limit, spectrum.lr_best, spectrum.epochs_to(1e-3), spectrum.condition
    used = None if isinstance(report.lr, str) else float(report.lr)
    said = f"used: {report.lr}" if used is None else f"used: {used:.3g}"
    if not math.isfinite(top):
        return words(ax, "Learning rate: no limit", "All eigenvalues are zero:\nany learning rate will do.")
    title = f"Learning rate: limit {top:.3g}"
    if best is None or least is None or condition is None:
        why = f"Of {spectrum.size:,} eigenvalues only the largest is known:\nno more can be drawn."
        return words(ax, title, f"Plain gradient descent diverges above {top:.3g}.\n{said}\n{why}")
    ends = [best / 100, 2 * top] + ([used / 3, 3 * used] if used else [])
    low, high = min(ends), max(ends)
    below = np.concatenate([np.geomspace(low, best, 200), top - (top - best) * np.geomspace(1, 1e-6, 60)[1:]])
    below = below[below < top]
    epochs = np.array([spectrum.epochs_to(1e-3, float(lr)) for lr in below], np.float64)  # more than an int64 may hold
    ax.plot(below, epochs, color=plots.BLUE, linewidth=1.8, label="_curve")
    ax.axvspan(top, high, color=plots.ORANGE, alpha=0.15, linewidth=0)
    ax.axvline(top, color=plots.ORANGE, linewidth=1.8, label=f"limit {top:.3g}: diverges above it")
    ax.axvline(best, color=plots.BLUE, linewidth=1.5, linestyle="--", label=f"best {best:.3g}: {_epochs(least)}")
    if used:
        needed = spectrum.epochs_to(1e-3, used) or 1
        told = "diverges" if used > top else "never" if needed == math.inf else _epochs(needed)
        ax.axvline(used, color="black", linewidth=1.8, linestyle=":", label=f"{said}: {told}")
    else:
        ax.plot([], [], linestyle="", label=shorten(said, 44))
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(0.1 * least, 3 * epochs[0]))
    ax.set(xlabel="learning rate of plain gradient descent", ylabel="epochs for 3 digits")
    number = f"{condition:.3g}" if condition < 100 else plots.count(condition)
    ax.set_title(f"{title},\ncondition number {number}")
    _plain(ax.legend(framealpha=0.9, edgecolor="none", loc="lower left", fontsize=9).get_texts())
    plots.finish(ax)


def _epochs(number: float) -> str:
    return f"{plots.count(number)} epoch{'' if number == 1 else 's'}"


def no_spectrum(report: Report) -> str:
    """Why a report has no spectrum."""
    if losses.get(report.loss).curvature is None:
        return f"{report.loss} has no curvature bound:\nits slope jumps, and no learning rate is the limit."
    if report.weights is None:
        return "A network's curvature changes as it learns:\nno learning rate is the limit."
    return "The spectrum was not computed:\nthe learning rate's limit is not known."


def words(ax: Any, title: str, text: str) -> None:
    """A panel that says why it is empty."""
    ax.clear()
    ax.set_axis_off()
    ax.set_title(title)
    ax.text(0.5, 0.5, drawable(text), transform=ax.transAxes, ha="center", va="center", parse_math=False, fontsize=11)


def effects(report: Report) -> tuple[Floats, Floats | None]:
    """(d, k) weights times the columns' standard deviations, and these (d,); where they are not known, weights and None."""
    weights = np.asarray(report.weights, np.float64).reshape(len(report.names), -1)
    moments = None if report.spectrum is None else report.spectrum.moments
    if moments is None:
        return weights, None
    scatter = moments.of_columns().scatter
    spread = np.sqrt((scatter if scatter.ndim == 1 else scatter.diagonal()) / moments.total)
    return weights * spread[:, None], spread


def ranked(values: Floats) -> Array:
    """Indices of the flattened values, the largest in size first; equals in their order."""
    return np.argsort(-np.abs(values).ravel(), kind="stable")


def shorten(name: str, length: int) -> str:
    """A name that fits: the middle is left out, for names differ at their ends.

    >>> shorten("temperature_of_the_sea_at_noon", 16), shorten("wind", 16)
    ('temperat…at_noon', 'wind')
    """
    name = drawable(name)
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def unique(short: list[str], names: list[str]) -> list[str]:
    """The shortened names, numbered where two of different names have become one.

    >>> unique(["a…z", "b", "a…z"], ["a1z", "b", "a2z"])
    ['a…z (1)', 'b', 'a…z (2)']
    """
    seen: dict[str, list[str]] = {}
    for text, name in zip(short, names, strict=True):
        if name not in seen.setdefault(text, []):
            seen[text].append(name)
    return [
        text if len(seen[text]) == 1 else f"{text} ({seen[text].index(name) + 1})"
        for text, name in zip(short, names, strict=True)
    ]


def drawable(text: str) -> str:
    """The text on the picture: what the font lacks is □, marks that are not seen and control characters are a blank."""
    known = _characters()
    return "".join(
        c if c == "\n" or (ord(c) in known and unicodedata.category(c)[0] not in "CZ") else
        " " if unicodedata.category(c)[0] in "CZ" else UNKNOWN
        for c in text
    )  # fmt: skip


@functools.cache
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def _plain(texts: Any) -> None:
    """No name is a formula, whatever dollar signs it has."""
    for text in texts:
        text.set_parse_math(False)


def _signed(number: str) -> str:
    """With the minus sign that the axes' numbers have."""
    return number.replace("-", "−")


def _around(low: float, high: float) -> tuple[float, float]:
    """An axis from low to high with a margin; around one value, or around 0, it is wide enough to be read."""
    room = 0.05 * (high - low) or 0.1 * abs(low) or 1.0
    return low - room, high + room


def _unit(values: Floats) -> tuple[float, str]:
    """A power of ten by which values are divided that the axes cannot hold, with the words that say so; mostly 1."""
    most = float(np.abs(values).max())
    if most == 0 or 1e-100 < most < 1e100:
        return 1.0, ""
    exponent = max(-307, math.floor(math.log10(most)))
    return 10.0**exponent, f", in units of 1e{exponent}"
