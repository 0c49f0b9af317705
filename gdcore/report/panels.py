"""The panels of a training's picture. Each draws on Axes what a `Report` has; its title says what is seen."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore import drawing
from gdcore.plain import number
from gdcore.report.axes import around, bars, label, points, within, words
from gdcore.report.labels import shorten, unique, with_parameters
from gdcore.report.report import ranked
from gdcore.scores import measures

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from gdcore._types import Array, Floats
    from gdcore.report.report import Report

    Panel = Callable[[Report, Axes], None]

BARS = 12
"""Weights, or classes, that a panel has room for."""
_FEW = 3  # epochs that make no curve
_MANY = 1000  # epochs from which on their axis is logarithmic
_COLORS = (drawing.BLUE, drawing.ORANGE, "#3a8f6b", "#8c5aa8", "#b59410", drawing.GREY)


def chosen(report: Report) -> list[Panel]:
    """The panels in which this training has something to say: what it learned first."""
    kind, rows = report.loss.targets, len(report.targets) > 0
    alone = report.x is not None and rows and report.targets.ndim == 1 and kind != "classes"
    panels: list[Panel] = [line] if alone else [largest] if report.weights is not None else []
    if rows and report.loss.numeric:
        panels += [] if alone else [predicted]
        panels.append(coverage if report.loss.level is not None else residuals)
    elif rows:
        panels += [roc, calibration, confusion]
    panels += [functools.partial(_own, draw) for draw in report.more] or [loss]
    if report.lr is not None and report.spectrum is not None and math.isfinite(report.spectrum.lr_limit):
        panels.append(limit)
    return panels


def _own(draw: Callable[[Axes], None], report: Report, ax: Axes) -> None:
    draw(ax)


# What was learned -----------------------------------------------------------------------------------------------------------


def line(report: Report, ax: Axes) -> None:
    """The only column against the target: the rows, and the line that was learned; of two classes the probability."""
    binary, (name,) = report.loss.targets == "binary", report.names
    assert report.x is not None
    y, p = report.targets, report.predictions
    (x,), beside_x = within(report.x)
    (y, p), beside_y = within(y, 1 / (1 + np.exp(-np.clip(p, -700, 700))) if binary else p)
    ax.plot(x, y, **points(len(x), drawing.GREY), label=report.drawn)
    order = np.argsort(x, kind="stable")
    ax.plot(x[order], p[order], color=drawing.BLUE, linewidth=2, label="model")
    what = f"probability of {shorten(report.outputs[1], 24)}" if binary else shorten(report.target, 30)
    ax.set_title(f"{what} by {shorten(name, 24)}")
    if report.weights is not None and not binary and not report.loss.has_link:
        bias = 0.0 if report.bias is None else float(report.bias.reshape(-1)[0])
        sign = "−" if bias < 0 else "+"
        slope = number(float(report.weights.ravel()[0]), 4)
        ax.set_title(f"{what} = {slope} · {shorten(name, 24)} {sign} {number(abs(bias), 4)}")
    label(ax, f"{shorten(name, 40)}{beside_x}", f"{what}{beside_y}")
    ax.legend(**drawing.LEGEND)


def largest(report: Report, ax: Axes) -> None:
    """The largest weights by name, times the columns' standard deviations where these are known."""
    values = report.effects
    if not values.any():
        some = report.weights is not None and report.weights.any()
        zero = "All columns with a weight are constant." if some else "All weights are zero."
        return words(ax, "Largest weights", zero)
    (d, k), order = values.shape, ranked(values)[:BARS]
    names = [report.names[i // k] for i in order]
    short = unique([shorten(name, 28 if k == 1 else 18) for name in names], names)
    if k > 1:
        ends = unique([shorten(output, 14) for output in report.outputs], report.outputs)
        short = [f"{name} → {ends[i % k]}" for name, i in zip(short, order, strict=True)]
    shown = values.ravel()[order]
    (scaled,), beside = within(shown)
    colors = [drawing.BLUE if value > 0 else drawing.ORANGE for value in shown]
    bars(ax, short, scaled, [number(float(value), 3) for value in shown], colors)
    which = f"The {len(order)} largest of {d * k:,} weights" if d * k > len(order) else "Weights"
    spread = report.spread is not None
    ax.set_title(which)
    what = shorten(report.target, 24) if report.loss.numeric else "the score"
    what = f"log {what}" if report.loss.has_link else what
    per = f"change of {what} per {'standard deviation' if spread else 'unit'}"
    if report.loss.targets == "binary":
        no, yes = (shorten(output, 16) for output in report.outputs)
        per += f"\nnegative: for {no}, positive: for {yes}"
    label(ax, f"{per}{beside}", "")


# How good it is -------------------------------------------------------------------------------------------------------------


def predicted(report: Report, ax: Axes) -> None:
    """Predictions against targets."""
    (y, p), beside = within(report.targets.reshape(len(report.targets), -1), report.predictions)
    p = p.reshape(y.shape)
    _clouds(report, ax, y, p)
    low, high = around(float(min(y.min(), p.min())), float(max(y.max(), p.max())))
    ax.plot([low, high], [low, high], color="black", linewidth=1, linestyle="--", label="prediction = target")
    ax.set(xlim=(low, high), ylim=(low, high), title=f"Predictions against targets, {report.drawn}")
    label(ax, f"{shorten(report.target, 30)}{beside}", f"prediction{beside}")
    ax.legend(**drawing.LEGEND, loc="upper left")


def residuals(report: Report, ax: Axes) -> None:
    """What is left of the targets, against the predictions; of huber with the width within which it is squared."""
    (y, p), beside = within(report.targets.reshape(len(report.targets), -1), report.predictions)
    p = p.reshape(y.shape)
    _clouds(report, ax, p, y - p)
    ax.axhline(0, color="black", linewidth=1)
    delta = report.loss.parameters.get("delta")
    if delta is not None and not beside:
        for side in (-1, 1):
            ax.axhline(side * delta, color=drawing.ORANGE, linewidth=1, linestyle="--",
                       label=f"±δ = {number(delta, 4)}" if side > 0 else None)  # fmt: skip
    ax.set_title(f"Residuals: {_score(report, 'RMSE')}, {report.drawn}")
    label(ax, f"prediction{beside}", f"{shorten(report.target, 24)} − prediction{beside}")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(**drawing.LEGEND, loc="upper left")


def coverage(report: Report, ax: Axes) -> None:
    """Of a quantile: the share of the targets at or below the prediction, along the predictions."""
    found = measures.coverage(report.targets.ravel(), report.predictions.ravel())
    tau = report.loss.parameter
    (p,), beside = within(found.predicted)
    ax.axhline(tau, color="black", linewidth=1, linestyle="--", label=f"τ = {number(tau, 4)}")
    ax.plot(p, found.observed, "o-", color=drawing.BLUE, linewidth=1.2, label="a tenth of the rows each")
    share = found.share if report.of_numbers.coverage is None else report.of_numbers.coverage
    low, high = min(tau, *found.observed), max(tau, *found.observed)
    ax.set(ylim=(max(-0.03, low - 0.1), min(1.03, high + 0.1)), title=f"Coverage: {share:.1%} at or below, {tau:.1%} wanted")
    label(ax, f"prediction{beside}", f"share of {shorten(report.target, 20)} at or below")
    ax.legend(**drawing.LEGEND, loc="best")


def roc(report: Report, ax: Axes) -> None:
    """The ROC curve; of several classes one for each against all others."""
    labels, y, raw = report.outputs, report.targets, report.predictions
    binary, sides = raw.ndim == 1, np.unique(report.targets)
    if len(sides) == 1:
        only = shorten(labels[int(sides[0])], 16)
        return words(ax, "ROC curve", f"All {report.drawn} are {only}:\na ROC curve needs rows of both classes.")
    shares = None if binary else np.exp(raw - raw.max(axis=1, keepdims=True))
    often = [1] if binary else np.argsort(-np.bincount(y, minlength=len(labels)), kind="stable")[: len(_COLORS)]
    for c, color in zip(sorted(c for c in often if c in sides or binary), _COLORS, strict=False):
        score = raw if shares is None else shares[:, c] / shares.sum(axis=1)
        false, true = measures.roc(y == c, score)
        area = report.of_classes.auc if binary and report.of_classes.auc is not None else measures.auc(y == c, score)
        said = f"area {area:.3f}" if binary else f"{shorten(labels[c], 16)}: area {area:.3f}"
        ax.plot(false, true, color=color, linewidth=1.8, label=said)
    ax.plot([0, 1], [0, 1], color=drawing.GREY, linewidth=1, linestyle="--", label="by chance: 0.5")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_title(f"ROC curve, {report.drawn}" if binary else f"ROC curves, each class against the others, {report.drawn}")
    no, yes = (shorten(label, 16) for label in labels[:2]) if binary else ("the others", "the class")
    label(ax, f"share of {no} taken for {yes}", f"share of {yes} found")
    ax.legend(**drawing.LEGEND, loc="lower right", fontsize=9)


def calibration(report: Report, ax: Axes) -> None:
    """What was predicted as so probable, and how often it came true."""
    found = report.of_classes.calibration
    some = found.weight > 0
    ax.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--", label="as predicted")
    sizes, what = 15 + 250 * found.weight[some] / found.weight.sum(), "a tenth of the scale, by its rows"
    ax.scatter(found.predicted[some], found.observed[some], sizes, color=drawing.BLUE, label=what)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=f"Calibration: off by {found.error:.2%} on average")
    two = len(report.outputs) == 2
    yes = shorten(report.outputs[1], 20) if two else ""
    label(
        ax, f"predicted probability of {yes}" if two else "probability of the predicted class",
        f"share of rows that are {yes}" if two else "share of rows that are it",
    )  # fmt: skip
    ax.legend(**drawing.LEGEND, loc="upper left", fontsize=9)


def confusion(report: Report, ax: Axes) -> None:
    """How many rows of each class were taken for each; of many classes, what share of theirs was found."""
    counts = report.of_classes.confusion
    (_matrix if len(counts) <= BARS else _recall)(report, counts, ax)


def _matrix(report: Report, counts: Array, ax: Axes) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    k = len(counts)
    size = 10 if k <= 6 else 7.5
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)
    colors = LinearSegmentedColormap.from_list("shares", ["white", drawing.BLUE])
    edges = np.arange(k + 1) - 0.5
    ax.pcolormesh(edges, edges, shares, cmap=colors, vmin=0, vmax=1, edgecolors="#e6e6e6")
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.7 else "black" if count else drawing.GREY
        ax.text(column, row, number(float(count), 4), ha="center", va="center", color=color, fontsize=size)
    short = unique([shorten(label, 14) for label in report.outputs], report.outputs)
    ax.set_yticks(range(k), short, fontsize=size)
    ax.set_xticks(range(k), short, fontsize=size)
    if sum(map(len, short)) > 36:
        for text in ax.get_xticklabels():
            text.set(rotation=40, ha="right", rotation_mode="anchor")
    ax.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), xlabel="predicted class", ylabel="class")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(f"Confusion matrix: {_score(report, 'accuracy')}, {report.shown.rows:,} rows")


def _recall(report: Report, counts: Array, ax: Axes) -> None:
    totals = counts.sum(axis=1)
    there = np.flatnonzero(totals)
    recall = counts.diagonal()[there] / totals[there]
    low = np.argsort(recall, kind="stable")[:BARS]
    short = unique([shorten(label, 16) for label in report.outputs], report.outputs)
    bars(
        ax, [f"{short[i]}, {number(float(totals[i]), 4)} row{'' if totals[i] == 1 else 's'}" for i in there[low]],
        recall[low], [f"{recall[i]:.0%}" for i in low], drawing.BLUE,
    )  # fmt: skip
    ax.axvline(report.of_classes.accuracy, color="black", linewidth=1, linestyle="--")
    ax.set(xlim=(0, 1.12), xticks=[0, 0.25, 0.5, 0.75, 1])
    label(ax, "share of the class's rows that was found", "")
    which = f"the {BARS} lowest of {len(there):,}" if len(there) > BARS else f"{len(there)}"
    ax.set_title(f"Recall of {which} classes; {_score(report, 'accuracy')} (dashed)")


# How it was learned -------------------------------------------------------------------------------------------------------


def loss(report: Report, ax: Axes) -> None:
    """The loss: of few epochs beside that of the best constant, of more along them, from the start on."""
    history, base = report.history, report.shown.baseline
    first = (history.start, "before training") if base is None else (base.scores.loss, f"baseline: {base.what}")
    ends = {name: report.scores[name].loss for name in ("training", "test") if name in report.scores}
    named = {"before" if base is None else "baseline": first[0]} | ends
    named = {name: value for name, value in named.items() if math.isfinite(value)}
    of = f"loss ({with_parameters(report.loss, 4)})"
    if len(history) > _FEW:
        return _curves(report, ax, of, named, first[1])
    if not named:
        return words(ax, "Loss", "The run has no epoch, and there are no rows.")
    (values,), beside = within(np.array(list(named.values())))
    texts = [number(value, 4) for value in named.values()]
    colors = {"training": drawing.BLUE, "test": drawing.ORANGE}
    bars(ax, list(named), values, texts, [colors.get(name, drawing.GREY) for name in named])
    epochs = f"{int(history.epoch[-1]):,} epoch{'' if history.epoch[-1] == 1 else 's'}" if len(history) else "no epoch"
    ax.set_title(f"Loss: {' → '.join([texts[0], texts[-1]][: len(texts)])} after {epochs}")
    label(ax, f"{of}{beside}" + (f"\n{shorten(first[1], 50)}" if "baseline" in named else ""), "")


def _curves(report: Report, ax: Axes, of: str, named: dict[str, float], first: str) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator

    history = report.history
    drawing.losses(history, ax=ax)
    ax.set_yscale("linear")
    for curve in ax.get_lines():
        curve.set_label("test" if curve.get_label() == "validation" else curve.get_label())
    last = int(history.epoch[-1])  # of very many epochs the history has some
    for name, value in named.items():
        if name not in ("training", "test"):
            ax.axhline(value, color=drawing.GREY, linewidth=1, linestyle="--", label=shorten(first.partition(", ")[0], 40))
        elif name == "test" and np.isnan(history.validation_loss).all():
            ax.plot([last], [value], "D", color=drawing.ORANGE, label="test, after training", clip_on=False)
    known = [*named.values(), history.start, *history.loss, *history.validation_loss]
    known = [value for value in known if math.isfinite(value)]
    low, high = min(known), max(known)
    if last >= _MANY:
        ax.set_xscale("symlog", linthresh=1)  # epoch 0 has its place
        ax.set_xlim(0, last)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if low > 0 and high / low > 10:
        ax.set_yscale("log")
        if high / low < 1000:
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    elif not high - low > 1e-9 * max(abs(low), abs(high)):  # one value: an axis of its rounding would say nothing
        ax.set_ylim(around(low, high))
    start = history.start if math.isfinite(history.start) else float(history.loss[0])
    ax.set_title(f"Loss: {number(start, 4)} → {number(float(history.loss[-1]), 4)} in {last:,} epochs")
    label(ax, "epoch", of)
    ax.legend(**drawing.LEGEND, fontsize=9)


def limit(report: Report, ax: Axes) -> None:
    """Epochs for three digits against the learning rate of plain gradient descent; its limit, the best, the one used."""
    spectrum, used = report.spectrum, report.lr
    assert spectrum is not None
    assert used is not None
    top, best, least, condition = spectrum.lr_limit, spectrum.lr_best, spectrum.epochs_to(1e-3), spectrum.condition
    title = f"Learning rate: limit {number(top, 3)}"
    if best is None or least is None or condition is None:
        why = f"Of {spectrum.size:,} eigenvalues only the largest is known:\nno more can be drawn."
        return words(ax, title, f"Plain gradient descent diverges above {number(top, 3)}.\nused: {number(used, 3)}\n{why}")
    low, high = min(best / 100, used / 3), max(2 * top, 3 * used)
    below = np.concatenate([np.geomspace(low, best, 200), top - (top - best) * np.geomspace(1, 1e-6, 60)[1:]])
    below = below[below < top]
    epochs = np.array([spectrum.epochs_to(1e-3, float(lr)) for lr in below], np.float64)  # more than an int64 may hold
    ax.plot(below, epochs, color=drawing.BLUE, linewidth=1.8, label="_curve")
    ax.axvspan(top, high, color=drawing.ORANGE, alpha=0.15, linewidth=0)
    ax.axvline(top, color=drawing.ORANGE, linewidth=1.8, label=f"limit {number(top, 3)}: diverges above it")
    ax.axvline(best, color=drawing.BLUE, linewidth=1.5, linestyle="--", label=f"best {number(best, 3)}: {_epochs(least)}")
    needed = spectrum.epochs_to(1e-3, used) or 1
    told = "diverges" if used > top else "never" if needed == math.inf else _epochs(needed)
    ax.axvline(used, color="black", linewidth=1.8, linestyle=":", label=f"used {number(used, 3)}: {told}")
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(0.1 * least, 3 * epochs[0]))
    ax.set_title(f"{title}, condition {drawing.count(condition)}")
    label(ax, "learning rate of plain gradient descent", "epochs for 3 digits")
    ax.legend(**drawing.LEGEND, loc="lower left", fontsize=9)


def _clouds(report: Report, ax: Axes, x: Floats, y: Floats) -> None:
    """Points of each output, in colours where these are few."""
    several = 1 < x.shape[1] <= len(_COLORS)
    for c in range(x.shape[1]):
        label = shorten(report.outputs[c], 20) if several else None
        ax.plot(x[:, c], y[:, c], **points(x.size, _COLORS[c] if several else drawing.BLUE), label=label)


def _score(report: Report, name: str) -> str:
    value: float | None = report.shown.named().get(name)
    return f"{name} {value:.1%}" if name == "accuracy" and value is not None else f"{name} {number(value, 4)}"


def _epochs(count: float) -> str:
    return f"{drawing.count(count)} epoch{'' if count == 1 else 's'}"
