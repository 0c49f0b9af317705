"""The picture and the page of a training: what is shown is what was learned, whatever the names and the numbers are."""

import base64
import dataclasses
import html
import os
import platform
import re
import shutil
import subprocess
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest

import gdcore
from gdcore import History, Linear, fit, losses, spectrum
from gdcore.losses import LOSSES
from gdcore.plain import number
from gdcore.report import page as pages
from gdcore.report import panels
from gdcore.report.page import Report
from gdcore.scores import Baseline, ClassScores, NumberScores, measures
from gdcore.scores.named import cell

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import image, pyplot  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402

RNG = np.random.default_rng(6)
X = RNG.normal(size=(60, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]
NAMES = ["distance", "air_time", "hour"]
Y = X @ [1.0, -0.3, 8.0] + 2 + 0.5 * RNG.normal(size=60)
TARGETS = {
    "real": Y,
    "nonnegative": np.maximum(np.round(np.exp(Y / 6) - 1), 0.0),
    "positive": np.exp(Y / 6),
    "binary": np.digitize(Y, [np.median(Y)]).astype(float),
    "classes": np.digitize(Y, np.quantile(Y, [1 / 3, 2 / 3])),
}
LONG = [f"the_{what}_{'x' * 70}_of_the_station_{what}" for what in ("temperature", "pressure", "wind")]
EVIL = '<script>document.title = "ran"</script><img src=x onerror="document.title = 1">&amp;\'"\u202e\u200f'
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def report(loss="mse", **changes):
    """Of 40 training rows and 20 test rows."""
    kind = losses.get(loss).targets
    y = TARGETS[kind]
    start = Linear(np.zeros((3, 3)), np.zeros(3)) if kind == "classes" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a run of 25 epochs has not converged is no matter here
        run = fit(X[:40], y[:40], start, loss, epochs=25, validation=(X[40:], y[40:]))
    facts = {
        "title": "arr_delay of flights.csv",
        "loss": loss,
        "history": run.history,
        "names": NAMES,
        "weights": run.model.weights,
        "bias": run.model.bias,
        "targets": y[40:],
        "predictions": run.model.predict(X[40:]),
        "labels": {"binary": ["late", "in time"], "classes": ["low", "middle", "high"]}.get(kind),
        "held_out": True,
        "target": "arr_delay",
        "spread": X[:40].std(axis=0),
        "rows": [("training", "40"), ("test", "20"), ("left out", "3, in which a value is missing")],
        "settings": [("optimizer", "Nesterov"), ("seed", "0")],
        "columns": [("distance", "a number"), ("tailnum", "left out")],
        "notes": ["3 rows had no target"],
    }
    return Report(**(facts | changes))


def by_hand(loss="mse", lr=0.001, **changes):
    """The same, with a learning rate that somebody has chosen."""
    return report(loss, **{"lr": lr, "spectrum": spectrum(X[:40], loss=loss)} | changes)


def history(loss, validation=None, start=np.nan):
    n = len(loss)
    nothing = np.full(n, np.nan)
    tested = nothing if validation is None else np.array(validation, float)
    loss = np.array(loss, float)
    return History(
        start, epoch=np.arange(1, n + 1), loss=loss, validation_loss=tested, gradient_norm=nothing, lr=nothing, seconds=nothing
    )


def labels(ax):
    return [line.get_label() for line in ax.get_lines()]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def names_of_bars(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def title(ax):
    return ax.get_title(loc="left")


def widths(ax):
    return np.array([bar.get_width() for bar in ax.patches])


@pytest.fixture
def panel():
    """Draws one panel; returns its Axes, drawn."""

    def drawn(which, of):
        with pages._style():
            ax = matplotlib.figure.Figure(figsize=(6, 4.5)).subplots()
            which(of, ax)
            ax.figure.canvas.draw()
        return ax

    return drawn


# The measures ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_roc_and_its_area_are_those_of_scikit_learn(levels):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(levels)
    targets = rng.integers(0, 2, 500)
    scores = np.round(levels * (0.3 * targets + rng.random(500))) / levels  # few levels: many equal scores
    wanted_false, wanted_true, _ = metrics.roc_curve(targets, scores, drop_intermediate=False)
    false, true = measures.roc(targets, scores)
    np.testing.assert_allclose(false, wanted_false, rtol=1e-15)
    np.testing.assert_allclose(true, wanted_true, rtol=1e-15)
    assert measures.auc(targets, scores) == pytest.approx(metrics.roc_auc_score(targets, scores), rel=1e-14)
    assert measures.auc(1 - targets, scores) == pytest.approx(1 - measures.auc(targets, scores), rel=1e-14)


def test_auc_of_scores_that_know_nothing_and_everything():
    assert measures.auc([0, 1, 0, 1], [0.5] * 4) == 0.5
    assert measures.auc([0, 0, 1], [0.1, 0.2, 0.3]) == 1.0
    assert measures.auc([1, 0, 0], [0.1, 0.2, 0.3]) == 0.0
    with pytest.raises(ValueError, match="needs rows of both classes, and all 2 are of class 1"):
        measures.roc([1, 1], [0.2, 0.3])


def test_confusion_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    targets, classes = rng.integers(0, 4, 200), rng.integers(0, 3, 200)  # nothing is taken for the last
    np.testing.assert_array_equal(measures.confusion(targets, classes, 4), metrics.confusion_matrix(targets, classes))


# The picture -----------------------------------------------------------------------------------------------------------------


def names(made):
    return [panel.__name__ for panel in panels.chosen(made)]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_picture_of_every_loss_has_panels_that_say_something(loss):
    before = pyplot.get_fignums(), dict(matplotlib.rcParams)
    made = report(loss)
    figure = pages.draw(made)
    figure.canvas.draw()
    assert (pyplot.get_fignums(), dict(matplotlib.rcParams)) == before
    wanted = {
        "logistic": ["largest", "roc", "calibration", "confusion", "loss"],
        "softmax": ["largest", "roc", "calibration", "confusion", "loss"],
        "quantile": ["largest", "predicted", "coverage", "loss"],
    }.get(loss, ["largest", "predicted", "residuals", "loss"])
    assert names(made) == wanted
    assert len(figure.axes) == len(wanted)
    head, scores = figure.get_suptitle().split("\n")
    assert head == "arr_delay of flights.csv"
    name, first = next(iter(made.shown.titles().items()))
    assert scores.startswith(f"{first} {number(made.shown.named()[name], 4)}")
    assert scores.endswith("(20 test rows)")
    assert all(title(ax) and ax.axison for ax in figure.axes)


def test_the_panels_are_chosen_by_what_there_is():
    alone = {"names": ["x"], "weights": [1.0], "spread": None, "x": X[40:, 0]}
    assert names(report(**alone)) == ["line", "residuals", "loss"]
    assert names(report("quantile", **alone)) == ["line", "coverage", "loss"]
    assert names(report("logistic", **alone)) == ["line", "roc", "calibration", "confusion", "loss"]
    network = {"weights": None, "bias": None, "spread": None}
    assert names(report(**network)) == ["predicted", "residuals", "loss"]
    assert names(report("softmax", **network)) == ["roc", "calibration", "confusion", "loss"]
    assert names(by_hand()) == ["largest", "predicted", "residuals", "loss", "limit"]
    assert names(by_hand("logistic"))[-1] == "limit"
    assert names(report(lr=0.1)) == names(report(spectrum=spectrum(X[:40]))) == names(report())
    assert names(by_hand(spectrum=spectrum(np.zeros((4, 3)), bias=False))) == names(report())  # any learning rate will do
    assert names(report(targets=[], predictions=[])) == ["largest", "loss"]


@pytest.mark.parametrize(
    ("changes", "shape"),
    [({"weights": None, "targets": [], "predictions": []}, (1, 1)), ({"targets": [], "predictions": []}, (2, 1)),
     ({"weights": None}, (3, 1)), ({}, (2, 2)), ({"lr": 0.1, "spectrum": spectrum(X[:40])}, (3, 2))],
)  # fmt: skip
def test_the_picture_has_no_hole(changes, shape):
    across, down = shape
    figure = pages.draw(report(**changes))
    assert figure.get_size_inches().tolist() == [6 * across, 4.5 * down]
    wide = {}
    for ax in figure.axes:
        box = ax.get_subplotspec().get_position(figure)
        wide[round(box.y0, 3)] = wide.get(round(box.y0, 3), 0) + len(ax.get_subplotspec().colspan)
    assert list(wide.values()) == [6] * down


# How it was learned


def test_curves_are_the_history_from_the_start_on(panel):
    many = history(np.geomspace(100, 0.1, 50), np.geomspace(200, 0.2, 50), start=150.0)
    ax = panel(panels.loss, report(history=many))
    training, test, baseline = ax.get_lines()
    np.testing.assert_array_equal(training.get_xydata(), [[0, 150], *zip(many.epoch, many.loss, strict=True)])
    np.testing.assert_array_equal(test.get_xydata(), np.column_stack([many.epoch, many.validation_loss]))
    assert baseline.get_ydata()[0] == report().shown.baseline.scores.loss
    assert legend(ax) == ["training", "test", "baseline: always the mean"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss (mse)")
    assert title(ax) == "Loss: 150 → 0.1 in 50 epochs"


def test_a_loss_that_hardly_falls_has_a_linear_axis_and_very_many_epochs_a_logarithmic_one_with_epoch_0(panel):
    of = report(history=history(np.linspace(3, 2, 10_000), start=4), scores={"test": NumberScores("mse", 20, 2.5)})
    ax = panel(panels.loss, of)
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlim()) == ("symlog", "linear", (0, 10_000))
    assert title(ax) == "Loss: 4 → 2 in 10,000 epochs"


def test_a_test_loss_that_stands_in_the_scores_alone_is_a_point_at_the_end(panel):
    scores = {"training": NumberScores("mse", 40, 1.125), "test": NumberScores("mse", 20, 1.25)}
    ax = panel(panels.loss, report(history=history([3, 2, 1.5, 1.25, 1.125], start=4), scores=scores))
    assert legend(ax) == ["training", "before training", "test, after training"]
    assert ax.get_lines()[-1].get_xydata().tolist() == [[5, 1.25]]


def test_few_epochs_are_told_beside_the_baseline(panel):
    base = Baseline("always the mean, 7", NumberScores("mse", 20, 81480.25))
    scores = {
        "training": NumberScores("mse", 40, 12000.0, baseline=base),
        "test": NumberScores("mse", 20, 13000.0, baseline=base),
    }
    ax = panel(panels.loss, report(history=history([15000, 12000], start=90000), scores=scores))
    assert title(ax) == "Loss: 81,480 → 13,000 after 2 epochs"
    assert texts(ax) == ["81,480", "12,000", "13,000"]
    assert names_of_bars(ax) == ["baseline", "training", "test"]
    np.testing.assert_array_equal(widths(ax), [81480.25, 12000, 13000])
    assert ax.get_xlabel() == "loss (mse)\nbaseline: always the mean, 7"
    assert "20,000" in [label.get_text() for label in ax.get_xticklabels()]  # not 1e4
    alone = {"training": NumberScores("mse", 40, 12000.0)}
    ax = panel(panels.loss, report(history=history([15000, 12000], start=90000), scores=alone))
    assert title(ax) == "Loss: 90,000 → 12,000 after 2 epochs"
    assert names_of_bars(ax) == ["before", "training"]


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0, 0.0], [2.0] * 5, [1e-300] * 5, [1 + 1e-16 * i for i in range(9)]])
def test_a_loss_that_stays_is_drawn_in_the_middle(panel, values):
    scores = {"training": NumberScores("mse", 40, values[0])}
    ax = panel(panels.loss, report(history=history(values), scores=scores))
    low, high = ax.get_ylim()
    assert (low + high) / 2 == pytest.approx(values[0], abs=1e-9)
    assert high - low > 1e-3 * abs(values[0])


def test_a_history_of_some_epochs_says_how_many_there_were(panel):
    run = fit(X, Y, lr=1e-3, epochs=[10, 100, 1000, 100_000], method="exact")
    ax = panel(panels.loss, report(history=run.history))
    assert title(ax).endswith(" in 100,000 epochs")
    assert ax.get_lines()[0].get_xdata().tolist() == [0, 10, 100, 1000, 100_000]


def test_a_run_without_epochs_says_so(panel):
    nothing = {"history": History.empty(), "targets": [], "predictions": []}
    assert texts(panel(panels.loss, report(**nothing))) == ["The run has no epoch, and there are no rows."]
    ax = panel(panels.loss, report(history=History.empty()))
    assert title(ax).endswith("after no epoch")


@pytest.mark.parametrize("share", [0.1, 1.5])
def test_the_learning_rates_are_marked(panel, share):
    s = spectrum(X[:40])
    lr = share * s.lr_limit
    ax = panel(panels.limit, by_hand(lr=lr))
    curve, limit, best, used = ax.get_lines()
    for rate, epochs in curve.get_xydata()[::40]:
        assert epochs == s.epochs_to(1e-3, float(rate))
    assert curve.get_ydata()[-1] > 10 * curve.get_ydata().min()  # it climbs towards the limit
    assert (limit.get_xdata()[0], best.get_xdata()[0], used.get_xdata()[0]) == (s.lr_limit, s.lr_best, lr)
    assert legend(ax) == [
        f"limit {number(s.lr_limit, 3)}: diverges above it",
        f"best {number(s.lr_best, 3)}: {s.epochs_to(1e-3):,} epochs",
        f"used {number(lr, 3)}: {'diverges' if share > 1 else f'{s.epochs_to(1e-3, lr):,} epochs'}",
    ]
    assert ax.get_xlim()[0] < lr < ax.get_xlim()[1]


def test_of_very_many_columns_the_limit_alone_is_told(panel):
    wide = spectrum(RNG.normal(size=(2, 8001)))
    many = {"names": [f"c{i}" for i in range(8001)], "weights": np.arange(8001.0), "spread": None}
    ax = panel(panels.limit, by_hand(spectrum=wide, **many))
    assert title(ax) == f"Learning rate: limit {number(wide.lr_limit, 3)}"
    assert "Of 8,002 eigenvalues only the largest is known" in texts(ax)[0]
    ax = panel(panels.largest, report(**many))
    assert title(ax) == "The 12 largest of 8,001 weights"
    assert names_of_bars(ax) == [f"c{i}" for i in range(8000, 7988, -1)]


# How good it is


def test_the_only_column_is_drawn_with_its_line(panel):
    made = report(names=["air_time"], weights=[2.5], bias=-1.25, spread=None, x=X[40:, 1], predictions=2.5 * X[40:, 1] - 1.25)
    ax = panel(panels.line, made)
    points, line = ax.get_lines()
    np.testing.assert_array_equal(points.get_xydata(), np.column_stack([X[40:, 1], made.targets]))
    order = np.argsort(X[40:, 1])
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([X[40:, 1], made.predictions])[order])
    assert title(ax) == "arr_delay = 2.5 · air_time − 1.25"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("air_time", "arr_delay")
    ax = panel(
        panels.line, report("logistic", names=["x"], weights=[1.0], bias=0.0, spread=None, x=X[40:, 0], predictions=X[40:, 0])
    )
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), 1 / (1 + np.exp(-np.sort(X[40:, 0]))))
    assert title(ax) == "probability of in time by x"


def test_predictions_stand_against_targets_and_what_is_left_against_predictions(panel):
    made = report()
    ax = panel(panels.predicted, made)
    points, diagonal = ax.get_lines()
    np.testing.assert_array_equal(points.get_xydata(), np.column_stack([made.targets, made.predictions]))
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert ax.get_xlim() == ax.get_ylim()
    assert legend(ax) == ["prediction = target"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("arr_delay", "prediction")
    assert title(panel(panels.predicted, report(held_out=False))).endswith("20 training rows")
    ax = panel(panels.residuals, made)
    np.testing.assert_array_equal(
        ax.get_lines()[0].get_xydata(), np.column_stack([made.predictions, made.targets - made.predictions])
    )
    rmse = np.sqrt(np.mean((made.targets - made.predictions) ** 2))
    assert title(ax) == f"Residuals: RMSE {number(rmse, 4)}, 20 test rows"


def test_huber_shows_how_far_it_is_squared(panel):
    ax = panel(panels.residuals, report(losses.huber(0.75)))
    assert legend(ax) == ["±δ = 0.75"]
    assert sorted(line.get_ydata()[0] for line in ax.get_lines()[2:]) == [-0.75, 0.75]


def test_a_quantile_shows_its_coverage(panel):
    rng = np.random.default_rng(0)
    p = rng.normal(size=1000)
    y = p + rng.normal(size=1000) - 1.0
    made = report(losses.quantile(0.8), targets=y, predictions=p)
    ax = panel(panels.coverage, made)
    wanted, found = ax.get_lines()
    assert wanted.get_ydata()[0] == 0.8
    groups = np.argsort(p).reshape(10, 100)
    np.testing.assert_allclose(found.get_xydata(), [[p[group].mean(), np.mean(y[group] <= p[group])] for group in groups])
    assert title(ax) == f"Coverage: {np.mean(y <= p):.1%} at or below, 80.0% wanted"


@pytest.mark.parametrize(("k", "colours"), [(2, 2), (7, 1)])
def test_of_several_outputs_a_few_have_colours(panel, k, colours):
    both = RNG.normal(size=(2, 30, k))
    made = report(weights=np.ones((3, k)), bias=None, targets=both[0], predictions=both[1])
    ax = panel(panels.predicted, made)
    assert len(ax.get_lines()) == k + 1
    assert len(legend(ax)) == (3 if k == 2 else 1)
    assert len({to_hex(line.get_color()) for line in ax.get_lines()[:k]}) == colours
    assert len(panel(panels.residuals, made).get_lines()) == k + 1


@pytest.mark.parametrize(("size", "unit"), [(1e300, "1e300"), (1e-300, "1e-300"), (1e12, None), (0.0, None)])
def test_extreme_targets_are_drawn_in_a_unit_that_the_axis_names(panel, size, unit):
    scores = {"test": NumberScores("mse", 9, 1.0)}
    made = report(targets=size * np.arange(1.0, 10), predictions=size * np.arange(9.0), scores=scores)
    for which, label in ((panels.predicted, "arr_delay"), (panels.residuals, "prediction")):
        ax = panel(which, made)
        assert ax.get_xlabel() == (label if unit is None else f"{label}, in units of {unit}")
        low, high = ax.get_xlim()
        assert low < ax.get_lines()[0].get_xdata().min() <= ax.get_lines()[0].get_xdata().max() < high


def test_the_roc_curve_is_drawn(panel):
    made = report("logistic")
    ax = panel(panels.roc, made)
    curve, _ = ax.get_lines()
    np.testing.assert_array_equal(curve.get_xydata(), np.column_stack(measures.roc(made.targets, made.predictions)))
    assert legend(ax) == [f"area {measures.auc(made.targets, made.predictions):.3f}", "by chance: 0.5"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("share of late taken for in time", "share of in time found")
    ax = panel(panels.roc, report("logistic", targets=np.ones(20)))
    assert texts(ax) == ["All 20 test rows are in time:\na ROC curve needs rows of both classes."]


def test_each_class_has_a_roc_curve_against_the_others(panel):
    made = report("softmax")
    ax = panel(panels.roc, made)
    p = np.exp(made.predictions) / np.exp(made.predictions).sum(axis=1, keepdims=True)
    for c, (curve, said) in enumerate(zip(ax.get_lines()[:3], legend(ax), strict=False)):
        np.testing.assert_allclose(curve.get_xydata(), np.column_stack(measures.roc(made.targets == c, p[:, c])))
        assert said == f"{made.labels[c]}: area {measures.auc(made.targets == c, p[:, c]):.3f}"


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_calibration_sets_what_was_predicted_against_what_came_true(panel, loss):
    made = report(loss)
    ax = panel(panels.calibration, made)
    if loss == "logistic":
        p, came = 1 / (1 + np.exp(-made.predictions)), made.targets
    else:
        e = np.exp(made.predictions - made.predictions.max(axis=1, keepdims=True))
        p, came = (e / e.sum(axis=1, keepdims=True)).max(axis=1), made.predictions.argmax(axis=1) == made.targets
    tenths = np.minimum((p * 10).astype(int), 9)
    wanted = [[p[tenths == t].mean(), came[tenths == t].mean()] for t in np.unique(tenths)]
    np.testing.assert_allclose(ax.collections[0].get_offsets(), wanted, rtol=1e-9)
    off = sum(np.sum(tenths == t) * abs(a - b) for t, (a, b) in zip(np.unique(tenths), wanted, strict=True)) / 20
    assert title(ax) == f"Calibration: off by {off:.2%} on average"


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_the_confusion_matrix_has_its_numbers_and_names(panel, loss):
    made = report(loss)
    ax = panel(panels.confusion, made)
    k, p = len(made.labels), made.predictions
    counts = measures.confusion(made.targets, p > 0 if p.ndim == 1 else p.argmax(axis=1), k)
    assert texts(ax) == [str(count) for count in counts.ravel()]
    assert [text.get_position() for text in ax.texts[: k + 1]] == [*((c, 0) for c in range(k)), (0, 1)]
    assert names_of_bars(ax) == [label.get_text() for label in ax.get_xticklabels()] == made.labels
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "class")
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, k - 0.5), (k - 0.5, -0.5))  # the first class on the left and on top
    np.testing.assert_allclose(ax.collections[0].get_array().ravel(), (counts / counts.sum(axis=1, keepdims=True)).ravel())
    assert title(ax) == f"Confusion matrix: accuracy {np.trace(counts) / 20:.1%}, 20 rows"


def test_the_matrix_is_of_all_rows_where_these_are_known(panel):
    many = ClassScores("logistic", 5000, 0.1, accuracy=0.9, confusion=np.array([[4500.0, 100.0], [400.0, 0.0]]))
    ax = panel(panels.confusion, report("logistic", scores={"test": many}))
    assert texts(ax) == ["4,500", "100", "400", "0"]
    assert title(ax) == "Confusion matrix: accuracy 90.0%, 5,000 rows"


def test_of_many_classes_the_recall_is_drawn(panel):
    k = 30
    targets = np.repeat(np.arange(k - 1), 10)  # the last class has no row
    found = np.where(np.tile(np.arange(10), k - 1) < np.minimum(targets, 10), targets, (targets + 1) % k)
    made = report(
        "softmax", labels=None, weights=np.ones((3, k)), bias=None, targets=targets, predictions=9 * np.eye(k)[found]
    )
    ax = panel(panels.confusion, made)
    assert names_of_bars(ax) == [f"{c}, 10 rows" for c in range(12)]
    np.testing.assert_allclose(widths(ax), np.minimum(np.arange(12), 10) / 10)
    right = f"{np.mean(found == targets):.1%}"
    assert title(ax) == f"Recall of the 12 lowest of 29 classes; accuracy {right} (dashed)"


def test_weights_are_those_times_the_deviation_of_their_columns(panel):
    made = report()
    ax = panel(panels.largest, made)
    wanted = made.weights * X[:40].std(axis=0)
    order = np.argsort(-np.abs(wanted))
    np.testing.assert_allclose(widths(ax), wanted[order], rtol=1e-12)
    assert names_of_bars(ax) == [NAMES[i] for i in order]
    assert texts(ax) == [number(wanted[i], 3).replace("-", "−") for i in order]
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == ["#1f5fa8" if wanted[i] > 0 else "#d1622b" for i in order]
    assert ax.get_xlabel() == "change of arr_delay per standard deviation"
    ax = panel(panels.largest, report(spread=None))
    order = np.argsort(-np.abs(made.weights))
    np.testing.assert_array_equal(widths(ax), made.weights[order])
    assert (title(ax), ax.get_xlabel()) == ("Weights", "change of arr_delay per unit")
    ax = panel(panels.largest, report("logistic"))
    assert ax.get_xlabel() == "change of the score per standard deviation\nnegative: for late, positive: for in time"


def test_weights_of_several_outputs_are_named_by_column_and_output(panel):
    ax = panel(panels.largest, report("softmax", weights=np.diag([1.0, -3.0, 2.0]), spread=None, names=LONG))
    assert names_of_bars(ax)[:3] == ["the_press…pressure → middle", "the_wind_…ion_wind → high", "the_tempe…perature → low"]
    assert widths(ax)[:3].tolist() == [-3, 2, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": np.zeros(3)}, "All weights are zero."),
        ({"spread": np.zeros(3)}, "All columns with a weight are constant."),
    ],
)
def test_no_weights_are_words(panel, changes, words):
    assert texts(panel(panels.largest, report(**changes))) == [words]


def test_names_that_are_shortened_alike_are_numbered_and_formulas_are_text(panel):
    same = ["a" * 40 + "1" + "b" * 40, "a" * 40 + "2" + "b" * 40, "$x_{1$"]
    ax = panel(panels.largest, report(names=same, weights=[3.0, 2.0, 1.0], spread=None))
    assert names_of_bars(ax) == [f"{'a' * 14}…{'b' * 13} (1)", f"{'a' * 14}…{'b' * 13} (2)", "$x_{1$"]
    assert not any(label.get_parse_math() for label in [*ax.get_yticklabels(), ax.xaxis.label, ax.title])


def test_what_the_font_lacks_is_said():
    figure = pages.draw(report(names=["日本", "tab\there", "\u202eevil"]))
    figure.canvas.draw()  # a glyph that is missing would be a warning, and so an error here
    assert sorted(names_of_bars(figure.axes[0])) == sorted(["□□", "tab here", " evil"])
    assert figure.get_supxlabel() == "□ is a character that this picture's font does not have."
    assert pages.draw(report()).get_supxlabel() == ""


def hard():
    """Reports that are hard to lay out."""
    yield "usual", report()
    yield "long", report(names=LONG, title=" of ".join(LONG), target=LONG[0])
    yield "huge", report(weights=[1e140, -1e139, 3e139], targets=1e140 * Y[40:], predictions=1e140 * Y[40:])
    yield "condition", by_hand(spectrum=spectrum(X * [1e9, 1.0, 1e-9]))
    many = [f"carrier_number_{c}_of_the_{'very_' * 8}long_list" for c in range(40)]
    for k in (12, 40):
        chosen = RNG.integers(0, k, 900)
        yield f"{k} classes", report(
            "softmax", labels=many[:k], names=LONG, weights=RNG.normal(size=(3, k)), bias=None, targets=chosen,
            predictions=5 * np.eye(k)[np.where(RNG.random(900) < 0.5, chosen, 0)],
        )  # fmt: skip
    yield "two long classes", by_hand("logistic", labels=LONG[:2])
    yield "one class", report("logistic", labels=LONG[:2], targets=np.zeros(20))
    yield (
        "outputs",
        report(weights=np.ones((3, 2)), bias=None, labels=LONG[:2], targets=np.ones((9, 2)), predictions=np.ones((9, 2))),
    )
    yield "one column", report(names=LONG[:1], weights=[-1e-12], spread=[1.0], x=1e7 * X[40:, 0], targets=1e7 * Y[40:])
    few = {name: NumberScores("mse", 20, value) for name, value in (("training", 1.2e-200), ("test", 1.1e-200))}
    yield "few epochs", report(history=history([1.23456e-200, 1.2e-200], start=1.3e-200), scores=few)
    yield "network", report(weights=None, bias=None, spread=None)


@pytest.mark.parametrize(("name", "made"), [pytest.param(*case, id=case[0]) for case in hard()])
def test_nothing_is_cut_off_and_no_panel_lies_on_another(name, made):
    figure = pages.draw(made)
    figure.canvas.draw()
    whole = figure.bbox
    boxes = [*(ax.get_tightbbox() for ax in figure.axes), figure._suptitle.get_window_extent()]
    for box in boxes:
        assert whole.x0 - 1 <= box.x0 < box.x1 <= whole.x1 + 1
        assert whole.y0 - 1 <= box.y0 < box.y1 <= whole.y1 + 1
    for i, box in enumerate(boxes):
        for other in boxes[:i]:
            assert min(box.x1, other.x1) - max(box.x0, other.x0) < 1 or min(box.y1, other.y1) - max(box.y0, other.y0) < 1
    for ax in figure.axes:
        assert ax.bbox.width > 0.13 * whole.width
        assert ax.bbox.height > 0.2 * whole.height
        for labels, side in ((ax.get_yticklabels(), 0), (ax.get_xticklabels(), 1)):
            lines = [label.get_window_extent() for label in labels if label.get_text() and not label.get_rotation() % 90]
            lines.sort(key=lambda box: (box.y0, box.x0)[side])
            for one, other in zip(lines[1:], lines, strict=False):
                assert not one.overlaps(other)


# Its file --------------------------------------------------------------------------------------------------------------------

ALWAYS = """
import sys
import numpy as np
from gdcore import History
from gdcore.report import page as reports
epochs = np.arange(1, 9)
x = np.linspace(1, 2, 700)
history = History(epoch=epochs, loss=1 / epochs, validation_loss=2 / epochs, gradient_norm=x[:8], lr=x[:8], seconds=x[:8])
made = reports.Report("t", "mse", history, ["a", "b"], [1.0, -2.0], 0.5, x, x**2, notes=["n"])
for ending in ("png", "svg", "pdf"):
    reports.save_plot(made, f"{sys.argv[1]}.{ending}")
open(sys.argv[1] + ".html", "w", encoding="utf-8").write(reports.page(made))
"""


def test_the_same_report_gives_the_same_bytes_whatever_the_settings_and_the_time(python, tmp_path):
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "matplotlibrc").write_text(
        "axes.facecolor: black\nfont.size: 30\ntext.usetex: True\nlines.linewidth: 9\nsavefig.dpi: 30\nsavefig.bbox: tight\n"
    )
    runs = {
        "a": {"PYTHONHASHSEED": "1"},
        "b": {"PYTHONHASHSEED": "2", "MATPLOTLIBRC": str(tmp_path / "settings"), "SOURCE_DATE_EPOCH": "1"},
    }
    for name, environment in runs.items():
        done = python(ALWAYS, name, timeout=300, **environment)
        assert (done.returncode, done.stderr) == (0, "")
    for ending, magic in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("html", b"<!DOCTYPE html>")):
        first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in runs)
        assert first.startswith(magic)
        assert first == second
        assert not re.search(rb"20[2-9]\d-\d\d-\d\d", first)  # no date


def test_another_ending_is_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "draw", None)
    for name in ("picture", "picture.jpg", "png", "picture.png.txt"):
        with pytest.raises(ValueError, match=rf"{name}: the picture's name must end in \.png, \.svg or \.pdf"):
            pages.save_plot(report(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "PICTURE.PNG"
    path.write_bytes(b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            pages.save_plot(report(), path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("PICTURE.PNG", b"before")]
    pages.save_plot(report(), str(path))
    assert image.imread(path).shape == (1080, 1440, 4)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("call", ["draw(made)", "page(made)", "save_plot(made, 'a.png')"])
def test_a_missing_matplotlib_is_an_error_that_says_what_to_install(call, python, tmp_path):
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ImportError('no matplotlib here')\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from gdcore import History
from gdcore.report import page as reports
made = reports.Report("t", "mse", History.empty(), ["a"], [1.0], None, [1.0], [1.0])
try:
    reports.{call}
except ImportError as error:
    print(error)
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a picture or a report needs matplotlib, which is not installed: pip install 'gdcore[cli]'\n"


@pytest.mark.parametrize(
    ("loss", "changes", "pattern"),
    [
        ("mse", {"weights": [1.0, 2.0]}, r"weights must have shape \(3,\), found shape \(2,\)"),
        ("mse", {"weights": np.ones((3, 2))}, r"weights must have shape \(3,\), found shape \(3, 2\)"),
        ("mse", {"bias": [1.0, 2.0]}, r"bias must have shape \(\), found shape \(2,\)"),
        ("mse", {"labels": ["a", "b"]}, "labels must be 1, one for each class or output, found 2"),
        ("softmax", {"weights": np.ones(3)}, r"weights must have shape \(3, 3\), found shape \(3,\)"),
        ("mse", {"weights": [1.0, np.nan, 2.0]}, "weights must be finite, found nan"),
        ("mse", {"spread": [1.0, 2.0]}, r"spread must have shape \(3,\), found shape \(2,\)"),
        ("mse", {"x": [1.0, 2.0]}, r"x must have shape \(20,\), found shape \(2,\)"),
        ("mse", {"targets": Y[:19]}, r"targets must have shape \(20,\) beside predictions \(20,\), found shape \(19,\)"),
        ("mse", {"predictions": [[[1.0]]], "targets": [[[1.0]]]}, r"predictions for mse must have shape \(m,\) or \(m, k\)"),
        ("mse", {"predictions": np.full(20, np.inf)}, "predictions must be finite, found inf"),
        (
            "logistic",
            {"predictions": np.ones((20, 2))},
            r"predictions for logistic must have shape \(m,\), found shape \(20, 2\)",
        ),
        ("logistic", {"targets": np.full(20, 0.5)}, "targets for logistic must be whole numbers from 0 to 1, found 0.5"),
        ("logistic", {"labels": ["a"]}, "labels must be 2, one for each class or output, found 1"),
        ("softmax", {"predictions": np.ones(20)}, r"predictions for softmax must have shape \(m, k\), found shape \(20,\)"),
        ("softmax", {"targets": np.full(20, 3)}, "targets for softmax must be whole numbers from 0 to 2, found 3"),
    ],
)
def test_a_report_that_does_not_fit_together_is_refused(loss, changes, pattern):
    with pytest.raises(ValueError, match=pattern):
        report(loss, **changes)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match=r"loss must be 'mse', .*, found 'rmse'"):
        Report("t", "rmse", History.empty(), ["a"], [1.0], None, [1.0], [1.0])


# The page --------------------------------------------------------------------------------------------------------------------

VOID = {"meta", "img", "wbr"}


class Page(HTMLParser):
    """What a page has: tags in order, attributes, the text of each element kind, the rows of tables."""

    def __init__(self, source):
        super().__init__()
        self.open, self.seen, self.text, self.rows = [], [], {}, []
        self.feed(source)
        assert self.open == [], "an element is not closed"

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        assert len(attributes) == len(dict(attributes))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.text[tag][-1] += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def tags(self, name):
        return [attributes for tag, attributes in self.seen if tag == name]


def asks_for(source):
    """All addresses that a page, or a picture in it, asks for."""
    found = [value for _, attributes in Page(source).seen for name, value in attributes.items() if name in ("src", "href")]
    for value in list(found):
        if value.startswith("data:image/svg+xml;base64,"):
            picture = base64.b64decode(value.partition(",")[2]).decode("utf-8")
            found += re.findall(r'href="([^"]*)"', picture) + re.findall(r"url\(([^)]*)\)", picture)
    return found + re.findall(r"url\(([^)]*)\)|@import", source)


def evil():
    return report(
        "logistic", title=EVIL, names=[EVIL, "b\x00\ud800", "日本"], labels=[EVIL, "no"], notes=[EVIL],
        settings=[(EVIL, EVIL)], columns=[(EVIL, EVIL)], rows=[(EVIL, EVIL)], target=EVIL,
    )  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_the_page_of_every_loss_has_its_numbers(loss):
    made = report(loss)
    page = Page(pages.page(made))
    assert page.text["h1"] == page.text["title"] == ["arr_delay of flights.csv"]
    assert page.text["p"][0] == "training: 40 · test: 20 · left out: 3, in which a value is missing"
    assert page.text["h2"] == ["Weights", "Scores", "Settings", "What became of each column"]  # weights first
    assert page.text["li"] == ["3 rows had no target"]
    assert ["optimizer", "Nesterov"] in page.rows
    assert ["tailnum", "left out"] in page.rows
    base = made.shown.baseline
    for name, title in made.shown.titles().items():
        assert [title, *(cell(name, of.named()[name]) for of in (made.shown, base.scores))] in page.rows
    assert f"The baseline is {base.what}." in page.text["p"]
    deviations = X[:40].std(axis=0)
    by_size = np.argsort(-np.abs(np.reshape(made.weights, (3, -1)) * deviations[:, None]).max(axis=1))
    rows = page.rows[1:5]  # below the heads
    for i, row in zip(by_size, rows, strict=False):
        weights = np.atleast_1d(made.weights[i])
        most = (weights * deviations[i])[np.abs(weights).argmax()]
        assert row == [NAMES[i], *(number(weight) for weight in weights), number(deviations[i]), number(most)]
    assert rows[3] == ["bias", *(number(b) for b in np.atleast_1d(made.bias)), "", ""]
    versions = f"gdcore {gdcore.__version__}, NumPy {np.__version__}, Python {platform.python_version()}"
    assert page.text["footer"] == [f"Made with {versions}."]
    pictures = [attributes["alt"] for attributes in page.tags("img")]
    assert len(pictures) == len(panels.chosen(made))
    assert pictures[-1].startswith("Loss: ")


def test_the_spectrum_stands_there_where_somebody_wants_it():
    s = spectrum(X[:40])
    assert "Spectrum" not in Page(pages.page(report())).text["h2"]
    page = Page(pages.page(by_hand()))
    assert page.text["h2"][-1] == "Spectrum"
    worst = ", ".join(f"{NAMES[c]} ({s.shares[c]:.0%})" for c in s.worst_columns)
    for row in (
        ["condition number, λmax/λmin", f"{s.condition:,.0f}"],
        ["largest eigenvalue, λmax", number(s.largest)],
        ["smallest eigenvalue that is not zero, λmin", number(s.smallest)],
        ["learning rate: limit, 2/λmax", number(s.lr_limit)],
        ["learning rate: best, 2/(λmax + λmin)", number(s.lr_best)],
        ["epochs for 3 digits at the best", f"{s.epochs_to(1e-3):,}"],
        ["epochs for 3 digits at the one used", f"{s.epochs_to(1e-3, 0.001):,}"],
        ["columns that keep the learning rate small (share)", worst],
    ):
        assert row in page.rows
    row = ["epochs for 3 digits at the one used", "never"]
    assert row in Page(pages.page(by_hand(lr=2 * s.lr_limit))).rows
    assert row[:1] not in [row[:1] for row in Page(pages.page(report(spectrum=s))).rows]


def test_a_share_that_is_nothing_but_rounding_is_0():
    of = report("logistic").shown
    made = report("logistic", scores={"test": dataclasses.replace(of, auc=1.11e-16)})
    assert ["AUC", "0", "0.5"] in Page(pages.page(made)).rows


def test_a_cross_validation_stands_below_the_scores():
    page = Page(pages.page(report(folds=[NumberScores("mse", 10, 1.0, rmse=1.0), NumberScores("mse", 10, 9.0, rmse=3.0)])))
    heads = ["Cross-validation", "Mean", "Standard error", "Baseline"]
    assert page.rows[page.rows.index(heads) + 1 :][:2] == [["MSE", "5", "4", "–"], ["RMSE", "2", "1", "–"]]


def test_no_line_or_point_crosses_the_words_of_a_legend(panel):
    for drawn, of in ((panels.loss, report(history=history(np.geomspace(9, 1, 30)))), (panels.predicted, report())):
        frame = panel(drawn, of).get_legend().get_frame()
        assert (frame.get_visible(), frame.get_alpha() > 0.8) == (True, True)


def test_long_tables_open_and_say_what_is_left_out():
    many = {"names": [f"c{i}" for i in range(2500)], "spread": None}
    page = Page(pages.page(report(weights=np.arange(2500.0), **many)))
    rows = [row for row in page.rows if re.fullmatch(r"c\d+", row[0])]
    assert rows == [[f"c{i}", f"{i:,}"] for i in range(2499, 499, -1)]
    assert any("500 of 2,500 columns, those with the smallest, are left out." in p for p in page.text["p"])
    assert page.text["summary"] == ["1,980 more"]
    names = [row[0] for row in page.rows]
    assert names.index("c2480") + 1 == names.index("bias") < names.index("c2479")
    k = 60
    several = {"weights": np.ones((3, k)), "bias": np.zeros(k), "targets": [3], "predictions": np.eye(k)[[3]]}
    page = Page(pages.page(report("softmax", labels=None, **several)))
    assert any(p.endswith("10 of 60 outputs are left out.") for p in page.text["p"])
    assert len(next(row for row in page.rows if row[0] == "bias")) == 1 + 50 + 2
    assert "summary" not in page.text


def test_a_page_of_a_network_and_of_nothing_else():
    empty = {"weights": None, "bias": None, "spread": None, "rows": (), "settings": (), "columns": (), "notes": ()}
    page = Page(pages.page(report(history=History.empty(), targets=[], predictions=[], **empty)))
    assert page.text["h2"] == ["Scores"]
    assert len(page.tags("img")) == 1


@pytest.mark.parametrize(
    ("name", "parts"),
    [("total_of_2021", ["total_", "of_", "2021"]), ("totalOf2021", ["total", "Of2021"]), ("a b", ["a b"]),
     ("x" * 22, ["x" * 20, "x", "x"]), ("town=Sankt Peter", ["town=", "Sankt Peter"])],
)  # fmt: skip
def test_names_break_at_words(name, parts):
    assert pages._broken(name) == "<wbr>".join(parts)


def test_what_the_user_names_is_text_and_nothing_else():
    source = pages.page(evil())
    page = Page(source)
    source.encode("utf-8")
    assert {tag for tag, _ in page.seen} <= {
        "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p", "ul", "li", "div", "table",
        "thead", "tbody", "tr", "th", "td", "bdi", "wbr", "figure", "figcaption", "img", "footer", "details", "summary",
    }  # fmt: skip
    assert len(page.tags("img")) == 5
    assert not any(name.startswith("on") for _, attributes in page.seen for name in attributes)
    shown = EVIL.replace("\u202e", "[U+202E]")
    assert page.text["h1"] == page.text["title"] == page.text["li"] == [shown]
    assert [shown, shown] in page.rows
    assert "b␀\ufffd" in [row[0] for row in page.rows]
    assert "\u202e" not in source
    assert "□ is a character that the pictures' font does not have." in page.text["figcaption"]


def test_what_the_user_names_does_not_leave_the_pictures_text():
    page = Page(pages.page(report("logistic", labels=['" onload="1', "b"], targets=np.zeros(20))))
    assert page.tags("img")[1]["alt"] == 'ROC curve: All 20 test rows are " onload="1: a ROC curve needs rows of both classes.'
    assert all(set(attributes) == {"src", "alt", "width", "height"} for attributes in page.tags("img"))


def test_the_page_asks_for_nothing():
    source = pages.page(evil())
    assert len(asks_for(source)) > 4
    assert all(address.startswith(("data:image/", "#")) for address in asks_for(source))
    assert "default-src 'none'" in Page(source).tags("meta")[1]["content"]
    assert "http://" not in source
    assert "https://" not in source


# The page in a browser -------------------------------------------------------------------------------------------------------

needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no chromium or chrome on PATH")


@pytest.fixture
def browser(tmp_path):
    """Runs a headless Chromium; returns what it prints."""

    def run(address, *options):
        done = subprocess.run(
            [
                BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}", *options, str(address),
            ],
            capture_output=True, timeout=300, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode("utf-8")

    return run


@pytest.fixture
def screenshot(browser, tmp_path):
    """Pixels of a page (height, width, 3) at a width."""

    def pixels(address, width, *options):
        picture = tmp_path / "screenshot.png"
        browser(address, f"--window-size={width},2000", f"--screenshot={picture}", *options)
        return image.imread(picture)[..., :3]

    return pixels


@needs_browser
def test_a_browser_shows_the_title_the_numbers_and_the_rows_and_runs_nothing(browser, tmp_path):
    made = evil()
    path = tmp_path / "page.html"
    path.write_text(pages.page(made), encoding="utf-8")
    dom = Page(browser(path.as_uri(), "--dump-dom").strip())
    source = Page(path.read_text(encoding="utf-8"))
    assert dom.text["title"] == dom.text["h1"] == [EVIL.replace("\u202e", "[U+202E]")]
    assert dom.rows == source.rows
    assert ["bias", number(float(made.bias)), "", ""] in dom.rows
    assert [tag for tag, _ in dom.seen] == [tag for tag, _ in source.seen]


@needs_browser
def test_a_browser_draws_the_page_light_and_dark_without_a_network(screenshot, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(pages.page(report()), encoding="utf-8")
    address = path.as_uri()
    for width in (1600, 500):
        light = screenshot(address, width, "--blink-settings=preferredColorScheme=1")
        assert light.shape == (2000, width, 3)
        assert (light[2, 2] == 1).all()
        dark = screenshot(address, width, "--blink-settings=preferredColorScheme=0")
        assert (dark[2, 2] < 0.2).all()
        for pixels in (light, dark):
            assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
            assert np.mean(np.abs(pixels - pixels[2, 2]).max(axis=2) > 0.3) > 0.01  # a page full of text and lines
        for color in ((0x1F, 0x5F, 0xA8), (0xD1, 0x62, 0x2B)):  # of both curves: the pictures are there
            assert (np.abs(light * 255 - color).max(axis=2) < 3).sum() > 50
        alone = screenshot(address, width, "--blink-settings=preferredColorScheme=1", "--host-resolver-rules=MAP * ~NOTFOUND")
        np.testing.assert_array_equal(alone, light)


@needs_browser
@pytest.mark.parametrize("name", ["usual", "long", "classes"])
def test_a_browser_needs_no_horizontal_scrolling(browser, tmp_path, name):
    made = {
        "usual": report,
        "long": lambda: by_hand(names=LONG, title="".join(LONG), notes=LONG, settings=[(LONG[0], LONG[1])]),
        "classes": lambda: report("softmax", weights=np.ones((3, 3)) / 3, labels=LONG, names=LONG),
    }[name]()
    frames = "".join(
        f'<iframe srcdoc="{html.escape(pages.page(made))}" style="width:{width}px;height:800px;border:0"></iframe>\n'
        for width in (1600, 900, 360)
    )
    measure = """<script>
    onload = () => { document.title = [...document.querySelectorAll("iframe")].map(frame => {
        const root = frame.contentDocument.documentElement;
        return [frame.clientWidth, root.scrollWidth, root.scrollHeight > 800, frame.contentDocument.images.length];
    }).join(";"); };
    </script>"""
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(f"<!DOCTYPE html>\n<meta charset='utf-8'><title></title>\n{measure}\n{frames}", encoding="utf-8")
    printed = browser(wrapper.as_uri(), "--dump-dom", "--window-size=1700,2600")
    assert re.search(r"<title>(.*?)</title>", printed)[1] == ";".join(
        f"{width},{width},true,{len(panels.chosen(made))}" for width in (1600, 900, 360)
    )
