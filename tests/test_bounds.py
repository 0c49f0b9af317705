"""Weights within bounds: against solvers of scipy's, by the conditions of the minimum, and proofs judged in 60 digits."""

import itertools
import json

import mpmath
import numpy as np
import pytest
from scipy import optimize

import gdcore
from gdcore import Linear, fit, losses
from gdcore.backends import BACKENDS
from gdcore.cli import main
from gdcore.estimators import GDClassifier, GDRegressor
from gdcore.penalty import Box, Penalty, read, smallest

INF = np.inf
EVERY = [losses.mse(), losses.huber(0.75), losses.mae(), losses.quantile(0.25), losses.poisson(), losses.gamma(),
         losses.tweedie(), losses.logistic(), losses.softmax()]  # fmt: skip
PENALTIES = [(0.0, 0.0), (0.0, 0.02), (0.01, 0.0), (0.01, 0.02)]
BOUNDS = {
    "positive": (0.0, INF),
    "between": (-0.2, 0.2),
    "each its own": (np.array([0.0, -INF, -1.0, 0.5]), np.array([INF, 0.0, 1.0, 0.5])),
    "without 0": (0.1, 0.3),
}
every_loss = pytest.mark.parametrize("loss", EVERY, ids=repr)
every_penalty = pytest.mark.parametrize("penalties", PENALTIES, ids=lambda pair: "l1 {} l2 {}".format(*pair))
every_bounds = pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)


def rows(loss, n=60, seed=0):
    """X of unlike columns, one far from 0, Y, and weights some of which are 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)) * [1, 10, 0.1, 1] + [0, 30, 0, 0]
    raw = X @ [1.0, -0.1, 5.0, 0.3] + 3 + rng.standard_t(3, size=n)
    s = rng.uniform(0.2, 3, n) * (np.arange(n) % 11 > 0)
    if loss.has_link:
        return X, np.exp(0.2 * (raw - raw.mean())), s
    Y = {"binary": raw > np.median(raw), "classes": np.digitize(raw, [-1, 1])}.get(loss.targets, raw)
    return X, Y.astype(np.float64), s


def ends(bounds, d=4):
    low, high = (np.broadcast_to(np.asarray(end, np.float64), d)[:, None] for end in bounds)
    return low, high


def kkt(loss, X, Y, s, model, l1, l2, bounds):
    """The smallest subgradient, by plain formulas, and what no step of the bias changes."""
    W, b = model.weights.reshape(X.shape[1], -1), np.atleast_1d(0.0 if model.bias is None else model.bias)
    (low, high), s = ends(bounds, X.shape[1]), np.ones(len(X)) if s is None else s
    slope = loss.value_slope(X @ W + b, Y.reshape(len(Y), -1))[1] * s[:, None] / s.sum()
    g = X.T @ slope + l2 * W
    down = np.where(high <= W, -INF, -(g + np.where(W < 0, -l1, l1)))  # by how much the objective falls upwards
    up = np.where(low >= W, -INF, g + np.where(W > 0, l1, -l1))  # and downwards
    return np.maximum(np.maximum(up, down), 0), slope.sum(axis=0)


@every_loss
@every_penalty
@every_bounds
@pytest.mark.parametrize("weighted", [True, False])
def test_the_end_is_the_minimum_within_the_bounds(loss, penalties, bounds, weighted):
    X, Y, s = rows(loss)
    (l1, l2), s = penalties, s if weighted else None
    run = fit(X, Y, loss=loss, l1=l1, l2=l2, sample_weight=s, bounds=bounds)
    W, (low, high) = run.model.weights.reshape(4, -1), ends(bounds)
    assert run.status == "converged"
    assert (low <= W).all()
    assert (high >= W).all()
    assert 0 <= run.gap <= 1e-9 * run.loss
    if not loss.kinked:
        # a gap of 1e-9 leaves a slope of √(2·1e-9·curvature) at most: the fits end far below it
        weights_slope, bias_slope = kkt(loss, X, Y, s, run.model, l1, l2, bounds)
        assert np.max(weights_slope / np.sqrt((X**2).mean(axis=0))[:, None]) < 1e-7
        assert np.abs(bias_slope).max() < 1e-7
    if penalties == (0.0, 0.0):
        other = fit(X, Y, loss=loss, sample_weight=s, bounds=bounds, backend="reference")
        assert other.loss == pytest.approx(run.loss, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_squared_error_as_scipy_solves_it(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(80, 12)), rng.normal(size=80)
    start = Linear(np.zeros(12), None)
    for method in ("auto", "stream"):
        found = fit(X, y, start, bounds=(0, INF), method=method).model.weights
        wanted, _ = optimize.nnls(X, y)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
        assert ((found == 0) == (wanted == 0)).all()
        low, high = -rng.uniform(0, 0.1, 12), rng.uniform(0, 0.1, 12)
        wanted = optimize.lsq_linear(X, y, (low, high), tol=1e-14, method="bvls").x
        np.testing.assert_allclose(
            fit(X, y, start, bounds=(low, high), method=method).model.weights, wanted, rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("tau", [0.5, 0.2])
def test_absolute_error_as_a_linear_program(tau):
    """min Σ τ·u + (1 − τ)·v, X·w + b + u − v = y, u and v ≥ 0, and w within its bounds."""
    X, y, _ = rows(losses.mae(), 40)
    low, high = BOUNDS["each its own"]
    n, d = X.shape
    A = np.hstack([X, np.ones((n, 1)), np.eye(n), -np.eye(n)])
    cost = np.concatenate([np.zeros(d + 1), np.full(n, tau), np.full(n, 1 - tau)]) / n
    limits = [*zip(low, high, strict=True), (-INF, INF), *[(0, INF)] * (2 * n)]
    wanted = optimize.linprog(cost, A_eq=A, b_eq=y, bounds=limits).fun
    run = fit(X, y, loss="mae" if tau == 0.5 else losses.quantile(tau), bounds=(low, high))
    assert run.loss / (2 if tau == 0.5 else 1) == pytest.approx(wanted, rel=1e-9)


def test_dependent_columns_and_many_active_bounds():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 30))
    X = np.hstack([X, X[:, :5], X[:, 5:10] + 1e-6 * rng.normal(size=(200, 5))])
    y = X @ rng.normal(size=40) + rng.normal(size=200)
    for loss, target in (("mse", y), ("logistic", (y > 0) * 1.0), ("mae", y)):
        run = fit(X, target, loss=loss, bounds=(-0.05, 0.3), l2=0.01 * (loss == "logistic"))
        assert run.status == "converged"
        assert run.gap <= 1e-8 * run.loss
        assert ((run.model.weights == -0.05) | (run.model.weights == 0.3)).sum() >= 5


# Proofs in 60 digits --------------------------------------------------------------------------------------------------------


def row_loss(loss, raw, y):
    """ℓ in mpmath's digits, of one row."""
    exp, name, p = mpmath.exp, loss.name, mpmath.mpf(loss.parameter)
    if name == "softmax":
        return mpmath.log(sum(map(exp, raw))) - raw[int(y)]
    (raw,), y = raw, mpmath.mpf(y)
    r = raw - y
    if name == "huber":
        return r * r / 2 if abs(r) <= p else p * (abs(r) - p / 2)
    return {
        "mse": lambda: r * r,
        "mae": lambda: abs(r),
        "quantile": lambda: max(-p * r, (1 - p) * r),
        "logistic": lambda: mpmath.log1p(exp(raw)) - y * raw,
        "poisson": lambda: exp(raw) - y * raw,
        "gamma": lambda: y * exp(-raw) + raw,
        "tweedie": lambda: exp((2 - p) * raw) / (2 - p) - y * exp((1 - p) * raw) / (1 - p),
    }[name]()


def objective(loss, X, Y, s, model, l1, l2):
    """In 60 digits, of numbers as they are."""
    with mpmath.workdps(60):
        W = [[mpmath.mpf(float(w)) for w in row] for row in model.weights.reshape(X.shape[1], -1)]
        b = [mpmath.mpf(float(value)) for value in np.atleast_1d(0.0 if model.bias is None else model.bias)]
        total = weight = mpmath.mpf(0)
        for x, y, share in zip(X.tolist(), Y.tolist(), s.tolist(), strict=True):
            raw = [mpmath.fdot(x, [w[c] for w in W]) + (b[c] if model.bias is not None else 0) for c in range(len(W[0]))]
            total, weight = total + share * row_loss(loss, raw, y), weight + mpmath.mpf(share)
        flat = [w for row in W for w in row]
        return total / weight + l1 * sum(map(abs, flat)) + mpmath.mpf(l2) / 2 * sum(w * w for w in flat)


@pytest.mark.parametrize("number", range(90))
def test_no_model_within_the_bounds_is_better_by_more_than_the_gap(number):
    """Random problems of every loss, penalty and kind of bound, far from the best weights, near them, and there."""
    rng = np.random.default_rng([7, number])
    loss = EVERY[number % len(EVERY)]
    (l1, l2), dtype = PENALTIES[rng.integers(4)], rng.choice([np.float64, np.float64, np.float32])
    X, Y, s = rows(loss, int(rng.integers(8, 25)), number)
    X, Y, s = X.astype(dtype), Y.astype(dtype), (s + (s == 0)).astype(dtype)
    low = rng.choice([-INF, -1.0, -0.1, 0.0, 0.05], 4)
    high = low + rng.choice([0.0, 0.1, 1.0], 4)
    high[np.isinf(low) | (rng.random(4) < 0.4)] = rng.choice([INF, 0.5])
    bounds, bias = (low, high), bool(rng.random() < 0.7)
    options = {"loss": loss, "l1": l1, "l2": l2, "sample_weight": s, "bounds": bounds}
    outputs = (3,) if loss.targets == "classes" else ()
    zeros = np.clip(np.zeros((4, *outputs)), *(end.astype(dtype).reshape(-1, *[1] * len(outputs)) for end in bounds))
    zeros = Linear(zeros.astype(dtype), np.zeros(outputs, dtype)[()] if bias else None)
    ended = fit(X, Y, zeros, **options)
    models, gaps = [ended.model], [ended.gap]
    for size in (1e-7, 1e-4, 1e-2, 1.0):
        W = ended.model.weights * (1 + size * rng.normal(size=zeros.weights.shape))
        W = np.clip(W, *(end.reshape(-1, *[1] * len(outputs)) for end in bounds)).astype(dtype)
        W = np.clip(W, *(end.astype(dtype).reshape(-1, *[1] * len(outputs)) for end in bounds))
        b = None if not bias else (ended.model.bias + size * rng.normal(size=outputs)).astype(dtype)[()]
        there = fit(X, Y, Linear(W, b), epochs=0, **options)
        models.append(there.model)
        gaps.append(there.gap)
    early = fit(X, Y, zeros, epochs=1, **options)
    models.append(early.model)
    gaps.append(early.gap)
    values = [objective(loss, X, Y, s, model, l1, l2) for model in models]
    best = min(values)
    eps = float(np.finfo(float).eps)
    for model, gap, value in zip(models, gaps, values, strict=True):
        if gap is not None:
            # what rounding of the best model's weights costs is not the proof's: its predictions are known to ε of their terms
            terms = np.abs(X.astype(float)) @ np.abs(model.weights.astype(float).reshape(4, -1)) + 1
            assert gap >= float(value - best) - 16 * eps * float(terms.max()) * max(1.0, float(abs(value)))
    if dtype == np.float64 and (l2 > 0 or loss.targets != "classes"):
        assert gaps[0] is not None


def test_what_a_bound_leaves_to_a_conjugate():
    """penalty*(v) by trying many u; and its excess is 0 exactly where v is a subgradient."""
    rng = np.random.default_rng(0)
    u = np.linspace(-3, 3, 60001)
    for l1, l2, (low, high) in itertools.product((0.0, 0.4), (0.0, 0.7), ((-1.0, 2.0), (0.0, 3.0), (0.5, 0.5), (-3.0, -1.0))):
        penalty = Penalty(l1, l2, Box(np.array([low]), np.array([high])))
        inside = u[(low <= u) & (high >= u)]
        for v, w in zip(rng.normal(0, 2, 20), rng.uniform(low, high, 20), strict=True):
            each = l1 * np.abs(inside) + l2 / 2 * inside**2
            wanted = l1 * abs(w) + l2 / 2 * w * w + np.max(v * inside - each) - v * w
            found = penalty.excess(np.array([w]), np.array([v]))[0]
            assert found == pytest.approx(wanted, abs=1e-4)  # the grid's step
            assert found >= -1e-15
    box = Box(np.array([0.0, 0.0, 0.0, -1.0]), np.array([1.0, 1.0, 0.0, INF]))
    w, slope = np.array([0.0, 1.0, 0.0, 0.0]), np.array([3.0, 3.0, 5.0, -0.05])
    np.testing.assert_array_equal(smallest(w, slope, 0.1, box), [0.0, 3.1, 0.0, 0.0])
    np.testing.assert_array_equal(smallest(w, -slope, 0.1, box), [-2.9, 0.0, 0.0, 0.0])


# The textbook's steps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize("batch", [None, 1, 7, 60])
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_every_step_ends_within_the_bounds(backend, batch, name):
    """Clipped after the proximal step of l1; a box is so simple that this holds in every metric that is a diagonal."""
    X, Y, s = rows(losses.mse())
    X = X / [1, 30, 0.1, 1]
    optimizer = {"sgd": gdcore.SGD(), "momentum": gdcore.SGD(momentum=0.5), "adam": gdcore.Adam()}[name]
    bounds, l1, lr = (np.array([0.0, -0.1, -INF, 0.2]), np.array([INF, 0.1, 0.0, 0.2])), 0.01, 0.02
    w, b, memory = np.clip(np.zeros(4), *bounds), 0.0, np.zeros((2, 5))
    run = fit(X, Y, optimizer=optimizer, lr=lr, epochs=3, batch_size=batch, shuffle=False, sample_weight=s, l1=l1,
              bounds=bounds, backend=backend, method="stream")  # fmt: skip
    step = 0
    for _ in range(3):
        for low in range(0, 60, batch or 60):
            part = slice(low, low + (batch or 60))
            if not s[part].any():
                continue
            step += 1
            r = 2 * s[part] * (X[part] @ w + b - Y[part]) / s[part].sum()
            both, along = np.append(w, b), np.append(X[part].T @ r, r.sum())
            optimizer.update(both, along, lr, memory if optimizer.slots else None, step)
            w, b = both[:4], both[4]
            w = np.clip(np.sign(w) * np.maximum(np.abs(w) - lr * l1, 0), *bounds)
    np.testing.assert_allclose(run.model.weights, w, rtol=1e-9, atol=1e-12)
    assert run.model.bias == pytest.approx(b, rel=1e-9)
    assert run.model.weights[3] == 0.2
    if batch is None and name == "sgd":
        found = kkt(losses.mse(), X, Y, s, run.model, l1, 0.0, bounds)
        assert run.gradient_norm == pytest.approx(np.sqrt(sum(np.sum(part**2) for part in found)), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_backends_have_the_same_formulas(dtype):
    rng = np.random.default_rng(1)
    W, g, gb = (rng.normal(size=shape).astype(dtype) for shape in ((6, 2), (6, 2), 2))
    low, high = np.array([-1, 0, -INF, 0.5, -2, 0.0]), np.array([1, INF, 0.0, 0.5, 2, 0.0])
    W = np.clip(W, low[:, None], high[:, None]).astype(dtype)
    W[4] = 0
    norms = [backend.gradient_norm(W, g, gb, 0.3, bounds=(low, high)) for backend in BACKENDS.values()]
    wanted = np.sqrt(np.sum(smallest(W, g.astype(float), 0.3, Box(low, high)) ** 2) + np.sum(gb.astype(float) ** 2))
    np.testing.assert_allclose(norms, wanted, rtol=1e-6 if dtype == np.float32 else 1e-14)
    A = rng.normal(size=(9, 6))
    solved = []
    for backend in BACKENDS.values():
        w = np.clip(np.zeros(6), low, high)
        backend.lasso(A.T @ A, A.T @ rng.permutation(9) * 0 + 1.0, w, 0.2, bounds=(low, high))
        solved.append(w)
    np.testing.assert_allclose(*solved, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="bounds"):
        BACKENDS["kernel"].gradient_norm(W, g, gb, 0.3, bounds=(low[:5], high[:5]))
    with pytest.raises(ValueError, match="bounds"):
        BACKENDS["kernel"].lasso(np.eye(6), np.zeros(6), np.zeros(6), 0.2, bounds=(low, high[:5]))


@pytest.mark.parametrize("loss", ["mse", "logistic", "softmax"])
@pytest.mark.parametrize("precondition", [None, "diagonal", "gram"])
def test_the_accelerated_descent_stays_within_too(loss, precondition):
    X, Y, s = rows(losses.get(loss))
    bounds = BOUNDS["each its own"]
    run = fit(X / 10, Y, loss=loss, optimizer="nesterov", precondition=precondition, bounds=bounds, l2=0.05, l1=0.001,
              sample_weight=s, epochs=20000, keep_weights=True)  # fmt: skip
    best = fit(X / 10, Y, loss=loss, bounds=bounds, l2=0.05, l1=0.001, sample_weight=s)
    assert run.status == "converged"
    assert run.loss == pytest.approx(best.loss, rel=1e-8)
    for model in run.models:
        assert (model.weights.reshape(4, -1) >= ends(bounds)[0]).all()
        assert (model.weights.reshape(4, -1) <= ends(bounds)[1]).all()


# The same everywhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "mae", "logistic", "poisson"])
def test_threads_and_pieces_change_no_bit(loss, tmp_path):
    pandas = pytest.importorskip("pandas")
    X, Y, _ = rows(losses.get(loss), 5000)
    wanted = fit(X, Y, loss=loss, bounds=(-0.05, 0.2), n_threads=1)
    frame = pandas.DataFrame(X, columns=list("abcd")).assign(y=Y)
    frame.to_parquet(tmp_path / "t.parquet", index=False, row_group_size=700)
    table = gdcore.open_table(tmp_path / "t.parquet", "y", loss=loss)
    for run in (fit(X, Y, loss=loss, bounds=(-0.05, 0.2), n_threads=3), fit(table, loss=loss, bounds=(-0.05, 0.2))):
        np.testing.assert_array_equal(run.model.weights, wanted.model.weights)
        assert run.model.bias == wanted.model.bias
        assert run.gap == wanted.gap


def test_float32_keeps_within_its_own_bounds():
    X, Y, _ = rows(losses.mse())
    run = fit(X.astype(np.float32), Y.astype(np.float32), bounds=(0.1, 0.3))
    assert run.model.weights.dtype == np.float32
    assert set(run.model.weights.tolist()) & {float(np.float32(0.1)), float(np.float32(0.3))}
    assert (run.model.weights >= np.float32(0.1)).all()
    assert (run.model.weights <= np.float32(0.3)).all()


def test_a_checkpoint_is_one_of_its_bounds(tmp_path):
    X, Y, _ = rows(losses.logistic())
    path, how = tmp_path / "run.ckpt", {"loss": "logistic", "lr": 0.005, "method": "stream"}
    fit(X, Y, bounds=(0, INF), epochs=5, checkpoint=path, **how)
    run = fit(X, Y, bounds=(0, INF), epochs=9, checkpoint=path, resume=True, **how)
    np.testing.assert_array_equal(run.model.weights, fit(X, Y, bounds=(0, INF), epochs=9, **how).model.weights)
    with pytest.raises(ValueError, match="bounds was"):
        fit(X, Y, bounds=(0, 1), epochs=9, checkpoint=path, resume=True, **how)
    with pytest.raises(ValueError, match=r"bounds was .*, now it is None"):
        fit(X, Y, epochs=9, checkpoint=path, resume=True, **how)


def test_a_run_goes_on_within_other_bounds():
    X, Y, _ = rows(losses.huber())
    run = fit(X, Y, loss="huber", bounds=(-1, 1))
    wider = run.resume(X, Y, bounds=(-5, 5))
    assert wider.loss == pytest.approx(fit(X, Y, loss="huber", bounds=(-5, 5)).loss, rel=1e-9)
    with pytest.raises(ValueError, match=r"the model's weight of column 0 is 1, outside of the bounds -0.5 to 0.5"):
        run.resume(X, Y, bounds=(-0.5, 0.5))


# What is refused ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds, error, message",
    [
        (1.0, TypeError, r"bounds must be a pair \(low, high\), each a number or one a column, found 1.0"),
        ((0.0, None), TypeError, r"bounds\[1\] must be a number, or 4 of them, one a column, found None; an infinite one"),
        (("0", 1), TypeError, r"bounds\[0\] must be a number"),
        ((0.0, np.nan), ValueError, r"bounds\[1\] must be a number, found nan \(column 0\)"),
        ((0.0, [1.0, 2.0]), ValueError, r"bounds\[1\] must have shape \(4,\), .*found shape \(2,\)"),
        ((0.0, [1.0, 1.0, -1.0, 1.0]), ValueError, "bounds of column 2 are 0 and -1: low must not be above high"),
        ((INF, INF), ValueError, "bounds of column 0 are inf and inf: no weight lies there"),
    ],
)
def test_bounds_that_are_none(bounds, error, message):
    X, Y, _ = rows(losses.mse())
    with pytest.raises(error, match=message):
        fit(X, Y, bounds=bounds)


def test_what_goes_without_bounds():
    X, Y, _ = rows(losses.mse())
    with pytest.raises(ValueError, match="bounds are for the weights of linear models"):
        fit(X, Y, gdcore.MLP([4, 3, 1]), bounds=(0, 1))
    with pytest.raises(ValueError, match="the model's weight of column 0 is -1, outside of the bounds 0 to 1"):
        fit(X, Y, Linear([-1.0, 0, 0, 0], 0.0), bounds=(0, 1))
    with pytest.raises(ValueError, match="method='exact' is not for this: weights have bounds"):
        fit(X, Y, lr=1e-4, method="exact", bounds=(0, 1))
    run = fit(X, Y, bounds=(-100, 100))
    assert run.settings.bounds == ((-100.0,) * 4, (100.0,) * 4)
    with pytest.raises(ValueError, match="the weights were held within bounds"):
        gdcore.inference(run, X, Y)
    assert fit(X, Y, bounds=(-INF, INF)).settings.bounds is None
    assert read(None, 3, float) is None


# Estimators and the command line ---------------------------------------------------------------------------------------------


def test_estimators(tmp_path):
    X, Y, _ = rows(losses.mse())
    wanted = fit(X, Y, bounds=(0, INF)).model
    for model in (GDRegressor(positive=True), GDRegressor(bounds=(0, INF)), GDRegressor(bounds=(np.zeros(4), INF))):
        np.testing.assert_array_equal(model.fit(X, Y).coef_, wanted.weights)
        gdcore.save(model, tmp_path / "m.safetensors")
        again = gdcore.load(tmp_path / "m.safetensors")
        assert again.positive == model.positive
        assert (again.bounds is None) == (model.bounds is None)
        if model.bounds is not None:
            assert all(map(np.array_equal, again.bounds, model.bounds))
    part = GDRegressor(positive=True)
    for half in (slice(0, 30), slice(30, None)):
        part.partial_fit(X[half], Y[half])
    np.testing.assert_allclose(part.coef_, wanted.weights, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(GDRegressor(bounds=(0.1, 0.3)).fit(X, Y).coef_, fit(X, Y, bounds=(0.1, 0.3)).model.weights)
    steps = GDRegressor("mae", positive=True, random_state=0).partial_fit(X / [1, 30, 0.1, 1], Y)
    assert steps.coef_.min() == 0
    assert steps.coef_.max() > 0
    labels = np.digitize(Y, [-1, 1])
    classes = GDClassifier(bounds=(-0.1, 0.1)).fit(X, labels)
    assert np.abs(classes.coef_).max() == 0.1
    with pytest.raises(ValueError, match=r"positive=True stands for bounds=\(0, inf\): give one of them"):
        GDRegressor(positive=True, bounds=(0, 1)).fit(X, Y)


def test_the_command_line(tmp_path, monkeypatch, capsys):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    X, Y, _ = rows(losses.mse(), 200)
    town = np.random.default_rng(0).choice(["Ulm", "Bonn", "Kiel"], 200)
    pandas.DataFrame(X, columns=list("abcd")).assign(town=town, y=Y - 2.0 * (town == "Ulm")).to_csv("t.csv", index=False)
    words = ["train", "t.csv", "--target", "y", "--test-size", "0", "--json"]
    assert main([*words, "--positive", "b,town", "--negative", "c"]) == 0
    told = json.loads(capsys.readouterr().out)
    weights = told["weights"]
    assert weights["b"] == 0
    assert weights["c"] == 0
    assert weights["a"] > 0.5
    assert min(weight for name, weight in weights.items() if name.startswith("town")) == 0
    assert told["settings"]["positive"] == ["b", "town"]
    assert main([*words, "--offset", "a", "--loss", "huber"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights"]
    places = [town == name for name in ("Bonn", "Kiel", "Ulm")]
    assert weights.pop("a") == 1.0
    known = [name for name in weights if name.startswith("town=")]
    columns = [*X[:, 1:].T, *(places[["Bonn", "Kiel", "Ulm"].index(name[5:])] for name in known)]
    wanted = fit(np.column_stack(columns), Y - 2.0 * places[2], loss="huber", offset=X[:, 0]).model
    np.testing.assert_allclose([*weights.values()], wanted.weights, rtol=1e-6, atol=1e-8)
    for more, message in (
        (["--summary", "--positive", "a"], "with --positive they are others; leave one out"),
        (["--offset", "town"], "column town is text, and an offset is a number; leave --offset out"),
        (["--offset", "a", "--positive", "a"], "column a is named in both --positive and --offset"),
        (["--positive", "e"], "has no column e (positive)"),
        (["--positive", "a", "--negative", "a"], "column a is named in both --positive and --negative"),
        (["--positive", "a", "--exclude", "a"], "column a is not used; leave it out of --positive"),
        (["--negative", "a", "--model", "mlp:3"], "--negative is for linear models"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err
