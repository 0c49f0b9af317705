"""Pictures in the plane: the steps and the loss that are drawn are those of plain formulas, and so are classes' boundaries."""

import numpy as np
import pytest

import gdcore
from gdcore import Linear, fit, plots
from gdcore.estimators import GDClassifier, GDRegressor

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib.contour import QuadContourSet  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

RNG = np.random.default_rng(5)
X = RNG.normal(1, 1, (30, 1))
Y = 2 * X[:, 0] + 1 + 0.3 * RNG.normal(size=30)
Z = RNG.normal(size=(30, 2))
T = Z @ [1.0, -2.0]
LIMIT = 2 / np.linalg.eigvalsh(2 * np.c_[X, np.ones(30)].T @ np.c_[X, np.ones(30)] / 30)[-1]
SIDES = (Z @ [2.0, -1.0] + 0.5 * RNG.normal(size=30) > 0.3).astype(float)


@pytest.fixture
def ax():
    return Figure().subplots()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def height_lines(ax):
    """Level and points of each line of equal height."""
    lines = next(c for c in ax.collections if isinstance(c, QuadContourSet) and not c.filled)
    return [(level, path.vertices) for level, path in zip(lines.levels, lines.get_paths(), strict=True) if len(path.vertices)]


def mse(points):
    return np.mean((np.outer(points[:, 0], X[:, 0]) + points[:, 1:] - Y) ** 2, axis=1)


def test_a_path_is_the_steps_over_the_loss(ax):
    run = fit(X, Y, lr=0.9 * LIMIT, epochs=12, keep_weights=True)
    assert plots.path(run, X, Y, ax=ax) is ax
    w, steps = np.zeros(2), [np.zeros(2)]
    for _ in range(12):
        r = X[:, 0] * w[0] + w[1] - Y
        w = w - 0.9 * LIMIT * 2 * np.array([np.mean(r * X[:, 0]), np.mean(r)])
        steps.append(w)
    line, start, end = ax.get_lines()
    np.testing.assert_allclose(np.array(line.get_data()).T, steps, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.ravel(start.get_data()), steps[0])
    np.testing.assert_allclose(np.ravel(end.get_data()), steps[-1], rtol=1e-10)
    first, last = mse(np.array(steps)[[0, -1]])
    assert legend(ax) == ["12 epochs", f"start: loss {first:.4g}", f"end: loss {last:.4g}"]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("The path over the loss (mse)", "weight", "bias")
    for low, high, values in zip(*np.array([ax.get_xlim(), ax.get_ylim()]).T, np.array(steps).T, strict=True):
        assert low < values.min() < values.max() < high
    assert len(height_lines(ax)) > 5
    for level, points in height_lines(ax):
        np.testing.assert_allclose(mse(points), level, rtol=0.05, atol=0.02 * first)
    ax.figure.canvas.draw()


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_two_weights_with_their_penalty_and_weights_of_rows(ax, shape):
    s = np.arange(1.0, 31.0)
    run = fit(
        Z, T.reshape(30, *shape[1:]), Linear(np.full(shape, 3.0)), lr=0.1, epochs=9, l2=0.5, l1=0.1, sample_weight=s,
        keep_weights=True,
    )  # fmt: skip
    plots.path(run, Z, T.reshape(30, *shape[1:]), sample_weight=s, l1=0.1, l2=0.5, ax=ax)

    def objective(w):
        return (s @ (Z @ w.T - T[:, None]) ** 2) / s.sum() + 0.25 * np.sum(w**2, axis=1) + 0.1 * np.sum(np.abs(w), axis=1)

    steps = np.array(ax.get_lines()[0].get_data()).T
    np.testing.assert_array_equal(steps, [model.weights.ravel() for model in run.models])
    np.testing.assert_allclose(objective(steps)[1:], run.history.loss, rtol=1e-12)
    for level, points in height_lines(ax):
        np.testing.assert_allclose(objective(points), level, rtol=0.05, atol=0.02 * objective(steps)[0])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("weight of column 0", "weight of column 1")


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
@pytest.mark.parametrize("factor", [1.1, 1.004])
def test_a_divergence_is_followed_until_it_leaves_the_picture(ax, factor):
    run = fit(X, Y, lr=factor * LIMIT, epochs=3000, keep_weights=True, on_divergence="keep")
    plots.path(run, X, Y, ax=ax)
    steps = np.array([[model.weights[0], model.bias] for model in run.models])
    leaves = int(np.argmax(mse(steps[:1000]) > 25 * mse(steps[:2]).max()))
    assert leaves > 5
    np.testing.assert_array_equal(np.array(ax.get_lines()[0].get_data()).T, steps[: leaves + 1])
    assert ax.get_title() == f"The path over the loss (mse):\nit leaves the picture in epoch {leaves:,}"
    assert legend(ax)[0] == f"{leaves:,} of {run.epochs:,} epochs"
    assert len(legend(ax)) == 2  # there is no end
    inside = steps[:leaves]
    assert (inside[:, 0] > ax.get_xlim()[0]).all()
    assert (inside[:, 1] < ax.get_ylim()[1]).all()


@pytest.mark.parametrize("loss", ["mae", "huber:0.5", "quantile:0.8", "logistic"])
def test_a_path_of_every_loss(ax, loss):
    targets = (Y > 3).astype(float) if loss == "logistic" else Y
    run = fit(X.astype("f"), targets, loss=loss, lr=0.2, epochs=40, keep_weights=True)
    plots.path(run, X.astype("f"), targets, ax=ax)
    assert ax.get_title() == f"The path over the loss ({loss})"
    assert len(height_lines(ax)) > 5


class Quartic(gdcore.losses.Loss):
    """(ŷ − y)⁴, of which the kernel knows nothing."""

    def value_slope(self, raw, Y):
        r = raw - Y
        return r**4, 4 * r**3


def test_a_path_over_a_loss_of_ones_own(ax):
    run = fit(X, Y, loss=Quartic(), lr=1e-4, epochs=8, keep_weights=True, backend="reference")
    plots.path(run, X, Y, ax=ax)
    start = np.mean(Y**4)
    assert legend(ax) == ["8 epochs", f"start: loss {start:.4g}", f"end: loss {run.loss:.4g}"]
    assert run.loss < start


def test_a_run_of_no_epochs_and_a_loss_that_is_flat_are_drawn(ax):
    plots.path(fit(X, Y, lr=0.1, epochs=0, keep_weights=True), X, Y, ax=ax)
    assert legend(ax)[0] == "0 epochs"
    nothing = fit(np.zeros((4, 2)), np.ones(4), Linear([1.0, 1.0]), lr=0.1, epochs=2, keep_weights=True)
    plots.path(nothing, np.zeros((4, 2)), np.ones(4), ax=Figure().subplots())


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_an_exact_fit_is_drawn_in_any_unit(ax, scale):
    exact = scale * (2 * X[:, 0] + 1)
    run = fit(X, exact, keep_weights=True)
    assert run.loss < 1e-25 * scale**2
    plots.path(run, X, exact, ax=ax)
    with pytest.raises(ValueError, match="the run ends at the loss"):
        plots.path(run, X, 1.001 * exact, ax=Figure().subplots())


def test_what_no_path_can_be_drawn_of(ax):
    kept = {"lr": 0.1, "epochs": 2, "keep_weights": True}
    with pytest.raises(ValueError, match=r"the run has not kept its weights: fit\(\.\.\., keep_weights=True\) keeps them"):
        plots.path(fit(X, Y, lr=0.1, epochs=2), X, Y, ax=ax)
    with pytest.raises(ValueError, match="one weight and a bias, or two weights and no bias; found 2 weights and 1 biases"):
        plots.path(fit(Z, T, **kept), Z, T, ax=ax)
    with pytest.raises(ValueError, match=r"two weights and no bias; found MLP\(\[1, 1\]"):
        plots.path(fit(X, Y, gdcore.MLP([1, 1]), **kept), X, Y, ax=ax)
    run = fit(X, Y, l2=0.5, **kept)
    with pytest.raises(ValueError, match=r"the run ends at the loss .* and with these rows its model's is .*: give X, Y"):
        plots.path(run, X, Y, ax=ax)
    with pytest.raises(ValueError, match="the run ends at the loss"):
        plots.path(run, X, Y + 1, l2=0.5, ax=ax)
    with pytest.raises(ValueError, match=r"X has 2 columns, but the model has weights for 1"):
        plots.path(run, Z, Y, l2=0.5, ax=ax)
    assert len(ax.get_lines()) == 0


# --------------------------------------------------------------------------------------------------------------- boundaries


def rows_drawn(ax):
    return np.concatenate([np.array(line.get_data()).T for line in ax.get_lines()])


@pytest.mark.parametrize("kind", ["Linear", "Linear (d, 1)", "estimator", "frame", "MLP"])
def test_a_boundary_is_where_both_classes_are_as_probable(ax, kind):
    labels, given = SIDES, Z
    if kind in ("estimator", "frame"):
        labels = np.where(SIDES, "yes", "no")
        if kind == "frame":
            given = pytest.importorskip("pandas").DataFrame(Z, columns=["height", "$w$"])
        model = GDClassifier(l2=0.05).fit(given, labels)
        w, b = model.coef_[0], model.intercept_[0]
    elif kind == "MLP":
        model = fit(Z, SIDES, gdcore.MLP([2, 1], seed=0), loss="logistic", l2=0.05, epochs=500).model
        w, b = model.layers[0].weights[:, 0], model.layers[0].bias[0]
    else:
        model = fit(Z, SIDES[:, None] if "1" in kind else SIDES, loss="logistic", l2=0.05).model
        w, b = model.weights.ravel(), np.ravel(model.bias)[0]
    assert plots.boundary(model, given, labels, ax=ax) is ax
    [(_, points)] = height_lines(ax)
    np.testing.assert_allclose(points @ w + b, 0, atol=0.01)
    right = int(np.sum((Z @ w + b > 0) == SIDES))
    assert ax.get_title() == f"Classes:\n{right} of 30 rows get their own class"
    assert legend(ax) == (["no", "yes"] if kind in ("estimator", "frame") else ["0", "1"])
    assert [ax.get_xlabel(), ax.get_ylabel()] == (["height", "$w$"] if kind == "frame" else ["column 0", "column 1"])
    assert sorted(map(tuple, rows_drawn(ax))) == sorted(map(tuple, Z))
    rims = {line.get_markeredgecolor(): 0 for line in ax.get_lines()}
    for line in ax.get_lines():
        rims[line.get_markeredgecolor()] += len(line.get_xdata())
    assert rims == {"white": right, "black": 30 - right}
    # The tint: the share of both classes' ink in each place.
    image = ax.get_images()[0].get_array()
    p = 1 / (1 + np.exp(-(np.array([ax.get_xlim()[0], ax.get_ylim()[0]]) @ w + b)))
    blue, orange = (1 - np.array(matplotlib.colors.to_rgb(color)) for color in ("#1f5fa8", "#d1622b"))
    np.testing.assert_allclose(image[0, 0], 1 - 0.4 * ((1 - p) * blue + p * orange), atol=1e-6)
    ax.figure.canvas.draw()


def test_boundaries_of_three_classes(ax):
    classes = np.digitize(Z[:, 0], [-0.5, 0.5])
    model = fit(Z, classes, loss="softmax", l2=0.01).model
    plots.boundary(model, Z, classes, ax=ax)
    assert legend(ax) == ["0", "1", "2"]
    raw = model.predict(Z)
    assert f"{np.sum(raw.argmax(axis=1) == classes)} of 30 rows" in ax.get_title()
    lines = [points for each in ax.collections if isinstance(each, QuadContourSet) for points in each.get_paths()]
    for path in lines:
        two = np.sort(model.predict(path.vertices), axis=1)
        np.testing.assert_allclose(two[:, 2], two[:, 1], atol=0.1)


def test_a_frame_of_polars_has_its_names_too(ax):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(Z, schema=["a", "b"])
    plots.boundary(GDClassifier(l2=0.1).fit(frame, SIDES), frame, SIDES, ax=ax)
    assert [ax.get_xlabel(), ax.get_ylabel()] == ["a", "b"]


def test_what_no_boundary_can_be_drawn_of(ax):
    model = fit(Z, SIDES, loss="logistic", l2=0.1).model
    with pytest.raises(ValueError, match="probabilities need a model trained with 'logistic' or 'softmax'"):
        plots.boundary(fit(Z, T).model, Z, T, ax=ax)
    with pytest.raises(ValueError, match="classifiers, which have predict_proba; found GDRegressor"):
        plots.boundary(GDRegressor().fit(Z, T), Z, T, ax=ax)
    with pytest.raises(ValueError, match="over two columns, and X has 3"):
        plots.boundary(model, np.c_[Z, Z[:, 0]], SIDES, ax=ax)
    with pytest.raises(ValueError, match=r"Y has the label .*7.*; the model knows 0, 1"):
        plots.boundary(model, Z, SIDES + 6, ax=ax)
    with pytest.raises(ValueError, match="one class for each of the 30 rows of X, found 29"):
        plots.boundary(model, Z, SIDES[1:], ax=ax)
    assert len(ax.get_lines()) == 0
