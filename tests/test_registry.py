"""What every loss must hold: its derivatives, its curvature, its conjugate, both backends, and the best weights."""

import copy
import pickle
import types
from itertools import pairwise

import numpy as np
import pytest

import gdcore
from gdcore import backends, losses
from gdcore.backends import BACKENDS, reference
from gdcore.losses import Loss

EVERY = [losses.mse(), losses.mae(), losses.huber(), losses.huber(0.3), losses.quantile(), losses.quantile(0.9)]
EVERY += [losses.poisson(), losses.gamma(), losses.tweedie(), losses.tweedie(1.1), losses.logistic(), losses.softmax()]
SMOOTH = [loss for loss in EVERY if not loss.kinked]
every_loss = pytest.mark.parametrize("loss", EVERY, ids=repr)
smooth_loss = pytest.mark.parametrize("loss", SMOOTH, ids=repr)


def points(loss, n=400, seed=0, size=2.0):
    """Predictions (n, k) and targets (n, k), or classes (n, 1); none so near a kink that a difference goes over it."""
    rng = np.random.default_rng(seed)
    k = 3 if loss.targets == "classes" else 2
    raw = rng.normal(0, size, (n, k))
    if loss.targets == "classes":
        return raw, rng.integers(0, k, (n, 1)).astype(float)
    if loss.targets == "binary":
        return raw, rng.integers(0, 2, (n, k)).astype(float)
    Y = rng.normal(0, size, (n, k))
    if loss.has_link:
        return np.clip(raw, -4, 4), np.where(
            rng.uniform(0, 1, Y.shape) < 0.2 * (loss.targets == "nonnegative"), 0, np.exp(Y / 2)
        )
    for turn in (0.0, *np.multiply(loss.sides() if loss.flat else (), 1.0)):
        Y = np.where(np.abs(raw - Y - turn) < 0.01, Y + 0.05, Y)
    return raw, Y


def rows(loss, n=120, d=3, seed=0):
    """Rows and targets of the loss's kind that no weights fit exactly."""
    rng = np.random.default_rng(seed)
    X = rng.normal(1, 1, (n, d))
    y = X @ rng.normal(0, 1, d) + rng.standard_t(3, n)
    if loss.targets == "binary":
        return X, (y > np.median(y)) * 1.0
    if loss.has_link:
        return X, np.maximum(np.exp(y / 3) - 0.5 * (loss.targets == "nonnegative"), 0)
    return X, np.digitize(y, np.quantile(y, [0.3, 0.7])) * 1.0 if loss.targets == "classes" else y


def value(loss, raw, Y):
    return loss.value_slope(raw, Y)[0].sum(axis=1)


def along(loss, raw, Y, direction):
    """The slope and the second derivative along a direction (n, k)."""
    k = raw.shape[1]
    second, bend = loss.hessian(raw, Y), 0.0
    for a, b in loss.pairs(k):
        bend = bend + second(a, b) * direction[:, a] * direction[:, b] * (1 if a == b else -2)
    return (loss.value_slope(raw, Y)[1] * direction).sum(axis=1), bend


def difference(function, h=1e-4):
    """The derivative of a function of a number at 0, by central differences."""
    return (function(-2 * h) - 8 * function(-h) + 8 * function(h) - function(2 * h)) / (12 * h)


def test_every_loss_is_here():
    assert {loss.name for loss in EVERY} == set(losses.LOSSES)
    assert all(type(loss) is losses.LOSSES[loss.name] for loss in EVERY)


# What it is -----------------------------------------------------------------------------------------------------------------


@every_loss
def test_a_loss_is_a_value(loss):
    same = type(loss)(**loss.parameters)
    assert same == loss
    assert hash(same) == hash(loss)
    assert pickle.loads(pickle.dumps(loss)) == copy.deepcopy(loss) == loss
    assert eval(repr(loss), vars(losses)) == loss
    assert losses.get(loss.spelling) == loss
    assert [other for other in EVERY if other == loss] == [loss]
    for change in (lambda: setattr(loss, "name", "x"), lambda: setattr(loss, "delta", 2.0), lambda: delattr(loss, "delta")):
        with pytest.raises(AttributeError, match="cannot be changed"):
            change()
    assert (loss.formula, loss.derivative) > ("", "")


def test_a_loss_without_parameters_takes_none():
    with pytest.raises(TypeError, match="mse has no parameters, found delta"):
        losses.mse(delta=1.0)


@every_loss
def test_a_class_that_inherits_is_not_the_kernels(loss):
    own = type("Own", (type(loss),), {})(**loss.parameters)
    assert loss.compiled
    assert not own.compiled
    assert not own.squared
    assert own.name == "own"
    assert own != loss


# Derivatives ----------------------------------------------------------------------------------------------------------------


@every_loss
def test_the_slope_is_that_of_finite_differences(loss):
    raw, Y = points(loss)
    for c in range(raw.shape[1]):
        move = np.eye(raw.shape[1])[c]
        wanted = difference(lambda h, move=move: value(loss, raw + h * move, Y))
        np.testing.assert_allclose(loss.value_slope(raw, Y)[1][:, c], wanted, rtol=1e-7, atol=1e-9)


@every_loss
def test_the_second_derivative_is_that_of_finite_differences(loss):
    raw, Y = points(loss)
    rng = np.random.default_rng(1)
    direction = rng.normal(0, 1, raw.shape)
    wanted = difference(lambda h: along(loss, raw + h * direction, Y, direction)[0])
    np.testing.assert_allclose(along(loss, raw, Y, direction)[1], wanted, rtol=1e-7, atol=1e-9)
    diagonal = np.column_stack([loss.hessian(raw, Y)(c, c) for c in range(raw.shape[1])])
    np.testing.assert_array_equal(loss.second(raw, Y), diagonal)
    s = rng.uniform(0.1, 2, len(raw))
    summed = np.zeros((raw.shape[1], raw.shape[1]))
    for a, b in loss.pairs(raw.shape[1]):
        summed[a, b] = summed[b, a] = s @ loss.hessian(raw, Y)(a, b) * (1 if a == b else -1)
    np.testing.assert_allclose(loss.summed_second(raw, Y, s), summed, rtol=1e-12, atol=1e-12)


@every_loss
def test_a_loss_is_convex_and_no_more_curved_than_it_says(loss):
    raw, Y = points(loss)
    direction = np.random.default_rng(2).normal(0, 1, raw.shape)
    steps = np.linspace(-4, 4, 41)
    slopes = [along(loss, raw + t * direction, Y, direction)[0] for t in steps]
    most = np.inf if loss.curvature is None else loss.curvature * (direction**2).sum(axis=1) * (steps[1] - steps[0])
    for one, other in pairwise(slopes):
        assert (other - one >= -1e-12).all()
        assert (other - one <= most * (1 + 1e-9) + 1e-12).all()
    assert (along(loss, raw, Y, direction)[1] >= 0).all()
    assert (loss.kinked or loss.has_link) == (loss.curvature is None)


@pytest.mark.parametrize("loss", [loss for loss in EVERY if loss.flat], ids=repr)
@pytest.mark.parametrize("h", [0.5, 3.0])
def test_a_smoothed_loss_has_the_slope_and_the_curvature_that_it_says(loss, h):
    raw, Y = points(loss)
    inner, factor, width = loss.smoothed(h)

    def smoothed(raw):
        told, slope = inner.value_slope(raw, Y)
        added = loss.smoothing_adds(np.abs(raw - Y).ravel(), h).reshape(raw.shape)
        true = loss.value_slope(raw, Y)[0]
        np.testing.assert_allclose(factor * told, true + (0 if width else added), rtol=1e-12, atol=1e-12)
        return true + added, factor * (inner.smooth_slope(raw, Y, width) if width else slope)

    wanted = difference(lambda e: smoothed(raw + e)[0], 1e-5)
    np.testing.assert_allclose(smoothed(raw)[1], wanted, rtol=1e-5, atol=1e-5)
    near, c = np.abs(np.abs(raw - Y) - max(h, loss.parameter if width == 0 else 0)) > 1e-3, loss.hessian(raw, Y, h)
    second = np.column_stack([c(0, 0), c(1, 1)])
    wanted = difference(lambda e: smoothed(raw + e)[1], 1e-5)
    np.testing.assert_allclose(second[near], wanted[near], rtol=1e-6, atol=1e-6)
    assert second.max() == pytest.approx(loss.bound(h))


# The conjugate --------------------------------------------------------------------------------------------------------------


def slopes(loss, raw, Y, seed):
    """Slopes in the domain of the conjugate: those at other predictions, and between them."""
    rng = np.random.default_rng(seed)
    there = [loss.value_slope(raw + rng.normal(0, 3, raw.shape), Y)[1] for _ in range(2)]
    t = rng.uniform(0, 1, (len(raw), 1))
    return t * there[0] + (1 - t) * there[1]


@every_loss
def test_the_conjugate_by_fenchels_inequality_and_equality(loss):
    raw, Y = points(loss)
    for seed in range(3):
        u = slopes(loss, raw, Y, seed)
        excess = value(loss, raw, Y) + loss.conjugate(u, Y).sum(axis=1) - (u * raw).sum(axis=1)
        assert (excess >= -1e-12).all()
    u = loss.value_slope(raw, Y)[1]
    excess = value(loss, raw, Y) + loss.conjugate(u, Y).sum(axis=1) - (u * raw).sum(axis=1)
    np.testing.assert_allclose(excess, 0, atol=1e-12)


@every_loss
def test_the_conjugate_is_infinite_outside_of_its_domain(loss):
    raw, Y = points(loss)
    low, high = loss.domain(Y)
    far = 10.0 + np.abs(Y).max()
    finite = np.isfinite(loss.conjugate(np.full(raw.shape, far), Y))
    assert (finite == (loss.targets != "classes" and np.isinf(high))).all()
    if np.all(np.isfinite(low)):
        assert np.isinf(loss.conjugate(np.full(raw.shape, -far), Y)).all()


@every_loss
@pytest.mark.parametrize("damping", [0.0, 1.0])
def test_slopes_of_a_step_and_what_they_leave(loss, damping):
    raw, Y = points(loss)
    step = np.random.default_rng(4).normal(0, 0.2, raw.shape)
    dual = loss.dual(raw, step, Y, damping, 0.7 if loss.kinked else 0.0)
    for factor in (dual.room, dual.room / 3):
        scaled = loss.scaled(dual, Y, factor)
        np.testing.assert_allclose(scaled.alpha, factor * dual.alpha, rtol=1e-15)
        if factor == 0 or loss.targets == "classes":  # of classes only α as they are serve
            continue
        conjugate = loss.conjugate(scaled.alpha, Y)
        inside = np.isfinite(conjugate).all(axis=1)
        assert inside.mean() > 0.9  # but for rounding at the edge of the domain
        wanted = value(loss, raw, Y) + conjugate.sum(axis=1) - (scaled.alpha * raw).sum(axis=1)
        np.testing.assert_allclose(loss.excess(raw, scaled, Y)[inside], wanted[inside], rtol=1e-8, atol=1e-11)
        general = Loss.excess(loss, raw, scaled, Y)[inside]
        assert (general >= wanted[inside]).all()
        np.testing.assert_allclose(general, wanted[inside], rtol=1e-8, atol=1e-11)


def test_slopes_of_a_step_of_softmax():
    loss = losses.softmax()
    raw, Y = points(loss)
    dual = loss.dual(raw, np.random.default_rng(4).normal(0, 0.2, raw.shape), Y)
    assert dual.room == 1
    np.testing.assert_allclose(dual.alpha.sum(axis=1), 0, atol=1e-15)
    wanted = value(loss, raw, Y) + loss.conjugate(dual.alpha, Y)[:, 0] - (dual.alpha * raw).sum(axis=1)
    np.testing.assert_allclose(loss.excess(raw, dual, Y), wanted, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("loss", [loss for loss in EVERY if loss.mixes], ids=repr)
def test_mixed_slopes_have_a_mean_of_nothing_and_leave_what_they_say(loss):
    raw, Y = points(loss)
    mean = loss.value_slope(raw, Y)[1].mean(axis=0)
    shares = np.bincount(Y[:, 0].astype(int)) / len(Y) if loss.targets == "classes" else Y.mean(axis=0)
    dual = loss.mixed(raw, Y, loss.mixture(mean, shares))
    np.testing.assert_allclose(dual.alpha.mean(axis=0), 0, atol=1e-12)
    conjugate = loss.conjugate(dual.alpha, Y).sum(axis=1)
    wanted = value(loss, raw, Y) + conjugate - (dual.alpha * raw).sum(axis=1)
    np.testing.assert_allclose(loss.excess(raw, dual, Y), wanted, rtol=1e-8, atol=1e-11)


# Both backends, and the end -------------------------------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_kernel_has_the_same_formula(loss, dtype):
    raw, Y = (np.ascontiguousarray(a.T.astype(dtype)) for a in points(loss, size=5.0))
    told = []
    for backend in BACKENDS.values():
        out = np.empty_like(raw)
        told.append((*backend.derivatives_of(raw, Y, None, out, **loss.arguments), out))
    tight = 1e-12 if dtype == np.float64 else 1e-5
    assert told[0][0] == pytest.approx(told[1][0], rel=tight)
    np.testing.assert_allclose(told[0][2], told[1][2], rtol=tight, atol=tight)
    by_itself = np.empty_like(raw)
    assert (
        reference.derivatives_of(raw, Y, None, by_itself, loss)[0]
        == reference.derivatives_of(raw, Y, None, by_itself, **loss.arguments)[0]
    )


@every_loss
def test_the_gradient_is_zero_at_the_best_weights(loss):
    X, y = rows(loss)
    run = gdcore.fit(X, y, loss=loss)
    assert run.status == "converged"
    assert run.gap <= 1e-9 * max(abs(run.loss), 1e-3)
    W, b = run.model.weights.reshape(3, -1), np.atleast_1d(run.model.bias)
    Y = y[:, None]
    raw = X @ W + b
    if not loss.kinked:
        slope = loss.value_slope(raw, Y)[1] / len(X)
        assert np.abs(X.T @ slope).max() < 1e-9
        assert np.abs(slope.sum(axis=0)).max() < 1e-9
    best = value(loss, raw, Y).mean()
    assert run.loss == pytest.approx(best, rel=1e-12)
    rng = np.random.default_rng(5)
    for _ in range(20):
        moved = X @ (W + rng.normal(0, 1e-3, W.shape)) + b + rng.normal(0, 1e-3, b.shape)
        assert value(loss, moved, Y).mean() >= best - 1e-12


@every_loss
def test_targets_that_are_scaled(loss):
    raw, Y = points(loss)
    for size in (0.5, 8.0):
        if loss.degree == 0:
            assert loss.rescaled(size) is loss
            continue
        inner = loss.rescaled(size)
        np.testing.assert_allclose(
            value(inner, raw / size, Y / size) * size**loss.degree, value(loss, raw, Y), rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize("loss", [loss for loss in SMOOTH if not loss.has_link], ids=repr)
def test_how_steep_a_loss_is_where_it_is_so_large(loss):
    raw, Y = points(loss, size=5.0)
    each, slope = loss.value_slope(raw, Y)
    if loss.targets == "classes":
        each = np.broadcast_to(each, slope.shape)
    steep = np.array([loss.steepness(v)[0] for v in each.ravel()])
    assert (np.abs(slope.ravel()) <= 2 * steep + 1e-12).all()


# Losses of amounts ----------------------------------------------------------------------------------------------------------

LINKED = pytest.mark.parametrize("loss", [loss for loss in EVERY if loss.has_link], ids=repr)


@LINKED
def test_the_mean_and_its_link(loss):
    raw, Y = points(loss)
    np.testing.assert_allclose(loss.mean(raw), np.exp(raw), rtol=1e-15)
    np.testing.assert_allclose(loss.link(loss.mean(raw)), raw, rtol=1e-12, atol=1e-15)
    # a model that is right on average has no slope: ∂ℓ/∂ŷ is 0 where the mean is y
    some = Y > 0
    np.testing.assert_allclose(loss.value_slope(loss.link(Y[some]), Y[some])[1], 0, atol=1e-12)


@LINKED
def test_the_least_loss_of_a_target(loss):
    _, Y = points(loss)
    with np.errstate(divide="ignore"):
        best = np.maximum(np.log(Y), -300.0)  # of a target of 0, as low as one likes
    np.testing.assert_allclose(loss.least(Y), loss.value_slope(best, Y)[0], rtol=1e-12, atol=1e-12)


@LINKED
def test_a_loss_of_amounts_is_straight_in_y(loss):
    """By which the mean loss of a constant is that of one row with the mean of y."""
    rng = np.random.default_rng(0)
    raw, y, z = rng.normal(0, 1, (50, 1)), rng.uniform(0.1, 3, (50, 1)), rng.uniform(0.1, 3, (50, 1))
    mixed = loss.value_slope(raw, 0.3 * y + 0.7 * z)[0]
    np.testing.assert_allclose(
        mixed, 0.3 * loss.value_slope(raw, y)[0] + 0.7 * loss.value_slope(raw, z)[0], rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize(
    ("known", "names", "file"), [("COMPILED", {"mse", "hinge"}, "losses"), ("OPTIMIZERS", None, "optimizers")]
)
def test_a_formula_that_is_said_to_be_compiled_and_is_not_is_told_when_the_kernel_is_loaded(monkeypatch, known, names, file):
    class Lion(gdcore.optimizers.Optimizer, compiled=True):
        """Said to be the kernel's."""

    monkeypatch.setattr(backends, known, names or {"sgd": gdcore.SGD, "lion": Lion})
    with pytest.raises(ImportError, match=rf"no section for (hinge|lion): write it in backends/{file}\.pxi"):
        backends._check_complete(backends.kernel)


def test_a_kernel_of_an_older_source_is_told():
    with pytest.raises(ImportError, match="of an older source: build it again"):
        backends._check_complete(types.ModuleType("kernel"))
