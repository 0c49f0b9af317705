"""The pictures: what is drawn is what was learned."""

import subprocess
import sys

import numpy as np
import pytest

from gdcore import History, Linear, fit, plots, spectrum

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(15, 1))
Y = 2 * X[:, 0] + 1 + 0.1 * RNG.normal(size=15)
TABLE = RNG.normal(size=(15, 3))
CELSIUS = np.arange(0.0, 101.0, 20.0)[:, None]
VALIDATION = (X[:5] + 0.1, Y[:5])


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture
def run():
    return fit(X, Y, lr=0.1, epochs=12)


def labels(ax):
    return [line.get_label() for line in ax.get_lines()]


def legend(ax):
    return None if ax.get_legend() is None else [text.get_text() for text in ax.get_legend().get_texts()]


def from_the_start(history):
    """The history's losses, with the one before the first epoch."""
    return np.append(history.start, history.loss)


def test_losses_draws_the_history_from_the_start_on(ax, run):
    assert plots.losses(run.history, ax=ax) is ax
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), range(13))
    np.testing.assert_allclose(line.get_ydata(), [np.mean(Y**2), *run.history.loss], rtol=1e-14)
    assert legend(ax) is None
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def test_losses_draws_validation_beside_it_and_tells_them_apart(ax):
    run = fit(X, Y, lr=0.1, epochs=12, validation=VALIDATION)
    plots.losses(run.history, ax=ax)
    assert labels(ax) == legend(ax) == ["training", "validation"]
    training, validation = ax.get_lines()
    np.testing.assert_array_equal(training.get_ydata(), from_the_start(run.history))
    np.testing.assert_array_equal(validation.get_ydata(), run.history.validation_loss)
    np.testing.assert_array_equal(validation.get_xdata(), run.history.epoch)
    assert training.get_color() != validation.get_color()


def test_losses_draws_validation_that_came_later(ax, run):
    resumed = run.resume(X, Y, epochs=5, validation=VALIDATION)
    plots.losses(resumed.history, ax=ax)
    _, validation = ax.get_lines()
    np.testing.assert_array_equal(validation.get_ydata(), resumed.history.validation_loss)
    assert np.isnan(validation.get_ydata()).sum() == 12
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("validation", [None, ([[0.0], [1.0]], [1.0, 3.0])])
def test_a_loss_of_zero_is_drawn_on_a_plain_axis(ax, validation):
    exact = fit([[0.0], [1.0]], [1.0, 3.0], Linear([2.0], 1.0), lr=0.1, epochs=3, validation=validation)
    assert not exact.history.loss.any()
    plots.losses(exact.history, ax=ax)
    assert ax.get_yscale() == "linear"
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), [0, 0, 0, 0])


def test_losses_of_a_history_whose_start_is_not_known_begin_at_its_first_epoch(ax, run):
    run.history.start = np.nan
    plots.losses(run.history, ax=ax)
    np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), np.column_stack([run.history.epoch, run.history.loss]))


def test_losses_of_no_epochs_is_an_empty_picture(ax):
    assert plots.losses(History.empty(), ax=ax) is ax
    assert labels(ax) == []
    ax.figure.canvas.draw()


def test_run_plot_is_losses(ax, run):
    assert run.plot(ax=ax) is ax
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), from_the_start(run.history))


@pytest.mark.parametrize(
    "draw",
    [
        lambda run: run.plot(),
        lambda run: run.spectrum.plot(),
        lambda run: plots.losses(run.history),
        lambda run: plots.predictions(X, Y, run.model),
    ],
)
def test_without_axes_a_new_figure_is_made(run, draw):
    before = pyplot.get_fignums()
    ax = draw(run)
    try:
        assert isinstance(ax, Axes)
        assert ax.figure.number not in before
        assert len(pyplot.get_fignums()) == len(before) + 1
        ax.figure.canvas.draw()
    finally:
        pyplot.close(ax.figure)


def test_with_axes_no_figure_is_made(ax, run):
    before = pyplot.get_fignums()
    run.plot(ax=ax)
    plots.predictions(X, Y, run.model, ax=Figure().subplots())
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize("targets", [Y, Y[:, None]], ids=["(n,)", "(n, 1)"])
@pytest.mark.parametrize("before", [False, True])
def test_predictions_of_one_column_are_lines_over_the_data(ax, targets, before):
    run = fit(X, targets, lr=0.1, epochs=12)
    first = Linear(np.zeros((1, *targets.shape[1:])), np.ones(targets.shape[1:]))
    assert plots.predictions(X, targets, run.model, first if before else None, ax=ax) is ax
    assert (
        labels(ax) == legend(ax) == (["data", "before training", "after training"] if before else ["data", "after training"])
    )
    order = np.argsort(X[:, 0])
    for line in ax.get_lines():
        np.testing.assert_array_equal(line.get_xdata(), X[order, 0])
    data, *lines = ax.get_lines()
    np.testing.assert_array_equal(data.get_ydata(), Y[order])
    np.testing.assert_array_equal(lines[-1].get_ydata(), run.model.predict(X).ravel()[order])
    assert lines[-1].get_linestyle() == "-"
    assert data.get_linestyle() == "None"
    if before:
        np.testing.assert_array_equal(lines[0].get_ydata(), np.ones(15))
        assert lines[0].get_color() != lines[1].get_color()
    assert ax.get_xlabel() == "x"
    ax.figure.canvas.draw()


@pytest.mark.parametrize("column", [0, 2])
def test_predictions_of_several_columns_are_points_over_one(ax, column):
    run = fit(TABLE, Y, lr=0.1, epochs=12)
    plots.predictions(TABLE, Y, run.model, column=column, ax=ax)
    order = np.argsort(TABLE[:, column])
    data, fitted = ax.get_lines()
    np.testing.assert_array_equal(fitted.get_xdata(), TABLE[order, column])
    np.testing.assert_array_equal(data.get_ydata(), Y[order])
    np.testing.assert_array_equal(fitted.get_ydata(), run.model.predict(TABLE)[order])
    assert fitted.get_linestyle() == "None"
    assert fitted.get_marker() == "."
    assert ax.get_xlabel() == f"column {column}"


def test_predictions_take_lists_and_float32(ax):
    run = fit(X.astype(np.float32), Y, lr=0.1, epochs=2)
    plots.predictions(X.astype(np.float32), Y.tolist(), run.model, ax=ax)
    assert ax.get_lines()[1].get_ydata().dtype == np.float32


def error_left(eigenvalues, lr, epoch):
    """As the formula reads, with no care for rounding."""
    return np.sqrt(np.mean([(1 - lr * value) ** (2 * int(epoch)) for value in eigenvalues]))


@pytest.mark.parametrize(
    ("table", "bias", "l2"),
    [(CELSIUS, True, 0.0), (TABLE, True, 0.1), (np.hstack([TABLE, TABLE[:, :1]]), False, 0.0), (X, False, 0.0)],
    ids=["Celsius", "a table with l2", "dependent columns", "one eigenvalue"],
)
def test_spectrum_draws_the_error_of_three_learning_rates(ax, table, bias, l2):
    found = spectrum(table, bias=bias, l2=l2)
    assert found.plot(ax=ax) is ax
    eigenvalues = [value for value in found.eigenvalues if value > 0]
    assert len(eigenvalues) == np.linalg.matrix_rank(np.c_[table, np.ones(len(table))] if bias else table)
    rates = [found.lr_best / 10, found.lr_best, 1.05 * found.lr_limit]
    names = ["too small", "best, ", "past the limit "]
    for line, lr, name in zip(ax.get_lines(), rates, names, strict=True):
        epochs, errors = line.get_data()
        assert line.get_label().startswith(f"lr = {lr:.3g}: {name}")
        assert epochs[0] == 1
        assert (epochs == np.round(epochs)).all()
        assert (np.diff(epochs) > 0).all()
        for i in range(0, len(epochs), 50):
            assert errors[i] == pytest.approx(error_left(eigenvalues, lr, epochs[i]), rel=1e-6, abs=1e-12)
    small, best, past = (line.get_ydata() for line in ax.get_lines())
    assert 1e-4 < small[-1] < 1e-3 or len(eigenvalues) == 1
    assert best[-1] < 1e-3
    assert past[-2] <= 1000 < past[-1]  # cut off where it has blown up
    assert legend(ax) == labels(ax)
    assert ax.get_title() == f"Learning rates: condition {found.condition:,.0f}"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    ax.figure.canvas.draw()


def test_spectrum_counts_the_epochs_of_the_best_learning_rate(ax):
    plots.spectrum(spectrum(CELSIUS), ax=ax)
    small, best, past = legend(ax)
    assert small == "lr = 2.73e-05: too small"
    assert best == "lr = 0.000273: best, 39,817 epochs for 3 digits"
    assert past == "lr = 0.000286: past the limit 0.000273"
    epochs, errors = ax.get_lines()[1].get_data()
    assert 0.9 < epochs[np.argmax(errors < 1e-3)] / 39_817 < 1.1
    assert ax.get_title() == "Learning rates: condition 11,528"


def test_spectrum_of_one_eigenvalue_needs_one_epoch(ax):
    plots.spectrum(spectrum([[1.0, 0.0], [0.0, 1.0]], bias=False), ax=ax)
    best = ax.get_lines()[1]
    assert best.get_label() == "lr = 1: best, 1 epoch for 3 digits"
    assert not best.get_ydata().any()


def test_spectrum_of_a_very_high_condition_is_drawn(ax):
    found = spectrum(TABLE * [1.0, 1e-5, 1.0])
    assert found.condition > 1e9
    plots.spectrum(found, ax=ax)
    assert ax.get_title() == f"Learning rates: condition {found.condition:.3g}"
    assert ax.get_lines()[0].get_ydata()[-1] < 1e-3
    ax.figure.canvas.draw()


def test_spectrum_that_is_not_known_is_not_drawn(ax):
    wide = spectrum(RNG.normal(size=(3, 8001)), bias=False)
    with pytest.raises(ValueError, match="needs all 8,001 eigenvalues, and of so many only the largest is known"):
        wide.plot(ax=ax)
    with pytest.raises(ValueError, match="all eigenvalues are zero"):
        plots.spectrum(spectrum(np.zeros((3, 2)), bias=False), ax=ax)
    assert labels(ax) == []


def test_drawing_changes_nothing(ax, run):
    arrays = [X, Y, run.model.weights, *(run.history[name] for name in History.NAMES)]
    before = [array.tobytes() for array in arrays]
    plots.losses(run.history, ax=ax)
    plots.predictions(X, Y, run.model, run.model, ax=ax)
    assert [array.tobytes() for array in arrays] == before


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "pattern"),
    [
        ((X[:, 0], Y), {}, ValueError, r"X must have shape \(n, d\)"),
        ((X, Y[:-1]), {}, ValueError, r"Y must have shape .* n = 15 rows, found shape \(14,\)"),
        ((X, np.zeros((15, 2))), {}, ValueError, "Y has 2 outputs: draw them one by one"),
        ((TABLE, Y), {}, ValueError, "X has 3 columns, but the model has weights for 1"),
        ((X, Y), {"before": Linear([1.0, 2.0], None)}, ValueError, "X has 1 columns, but the model has weights for 2"),
        ((X, Y), {"column": 1}, (ValueError, IndexError), "column"),
        ((X, Y), {"column": -2}, (ValueError, IndexError), "column"),
        ((X, Y), {"column": 0.0}, (TypeError, ValueError), "column"),
        ((X + np.nan, Y), {}, ValueError, r"X\[0, 0\] is nan"),
    ],
)
def test_predictions_refuse_what_they_cannot_draw(ax, run, arguments, options, kind, pattern):
    with pytest.raises(kind, match=pattern):
        plots.predictions(*arguments, run.model, ax=ax, **options)


def test_what_is_no_run_history_or_spectrum_is_told(run):
    for draw, wanted in (
        (lambda: plots.losses(run), "history must be a History, as run.history is, found Run"),
        (lambda: plots.spectrum(run), "spectrum must be a Spectrum, as gdcore.spectrum gives it .*, found Run"),
        (lambda: plots.path(run.model, X, Y), r"run must be what fit\(..., keep_weights=True\) gives, found Linear"),
        (lambda: plots.predictions(X, Y, 3.0), "model must be a trained model, as run.model is, found float"),
        (lambda: plots.predictions(X, Y, run.model, 3.0), "before must be a trained model"),
    ):
        with pytest.raises(TypeError, match=wanted):
            draw()
    two = fit(X, np.column_stack([Y, -Y])).model
    with pytest.raises(ValueError, match="the model after training has 2 outputs: draw them one by one"):
        plots.predictions(X, Y, two)


def test_figure_is_drawn_without_a_window():
    before = pyplot.get_fignums()
    figure, axes = plots.figure(3, "A title")
    assert isinstance(figure, Figure)
    assert len(axes) == 3
    assert all(isinstance(ax, Axes) for ax in axes)
    assert figure.get_suptitle() == "A title"
    taller, axes = plots.figure(2, rows=2)
    assert len(axes) == 4
    assert taller.get_figheight() == 2 * figure.get_figheight()
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize(
    "call",
    [
        "gdcore.fit([[0.0]], [1.0], lr=0.1, epochs=2).plot()",
        "plots.predictions([[0.0]], [1.0], gdcore.Linear([0.0], 0.0))",
        "plots.figure(1)",
        "gdcore.spectrum([[0.0], [1.0]]).plot()",
        "plots.path(gdcore.fit([[0.0], [1.0]], [1.0, 2.0], lr=0.1, epochs=2, keep_weights=True), [[0.0], [1.0]], [1.0, 2.0])",
        "gdcore.fit([[0.0], [1.0]], [1.0, 2.0], lr=0.1, epochs=2, keep_weights=True).animate('d.gif')",
        "plots.boundary(gdcore.fit([[0.0, 1.0], [1.0, 0.0]], [0, 1], loss='logistic', l2=1.0).model, [[0.0, 1.0]], [0])",
    ],
)
def test_a_missing_matplotlib_is_an_error_that_says_what_to_install(call, tmp_path):
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ImportError('no matplotlib here')\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import gdcore
from gdcore import plots
try:
    {call}
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "drawing needs matplotlib, which is not installed: pip install 'gdcore[plot]'\n"
