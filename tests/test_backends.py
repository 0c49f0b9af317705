"""The two backends agree with each other and with the formulas, to the last digit that their dtype can hold."""

import inspect
import itertools
import math
import warnings

import equivalence
import numpy as np
import pytest
from equivalence import COLUMNS, DTYPES, ROWS, TOLERANCE, close, formula, layouts, many_rows, problem

from gdcore.backends import kernel, reference

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


# ------------------------------------------------------------------------------------------------------------- signatures


def public_functions(module):
    """The names of the functions that a module defines, not of those that it imports."""
    functions = inspect.getmembers(module, inspect.isroutine)
    return {name for name, function in functions if not name.startswith("_") and function.__module__ == module.__name__}


@pytest.mark.parametrize("name", sorted(public_functions(reference)))
def test_same_signature(name):
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (kernel, reference))
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [(p.name, p.kind, p.default) for p in theirs.values()]


def test_same_functions():
    assert public_functions(reference) >= {"read", "predict", "loss", "gradient", "loss_gradient", "update", "descend"}
    assert public_functions(kernel) == public_functions(reference) | {"variant", "supported", "multiply_adds"}


# ------------------------------------------------------------------------------------------------------------ the formulas


@dtypes
@pytest.mark.parametrize("d", COLUMNS)
def test_passes_equal_the_formula(backend, dtype, d):
    rows = (*ROWS, many_rows(d))
    for n, k, bias, weighted in itertools.product(rows, (1, 3), (True, False), (True, False)):
        if n == rows[-1] and bias != weighted:
            continue
        p = problem(n, d, k, dtype, bias, weighted)
        equivalence.compare_pass(backend, p, formula(*p.arrays()), n_threads=2)


@dtypes
@pytest.mark.parametrize("k", [1, 2])
def test_a_row_wider_than_a_stream(backend, dtype, k):
    """One row of 40,000 columns takes more than the 128 KB between two streams."""
    for n in (1, 7):
        p = problem(n, 40_000, k, dtype)
        equivalence.compare_pass(backend, p, formula(*p.arrays()))


@dtypes
@pytest.mark.parametrize("d", [3, 20, 40])
@pytest.mark.parametrize("k", [1, 3])
def test_layouts_equal_the_formula(backend, dtype, d, k):
    """X, Y, weights and sample weights in every layout: the formula does not know how numbers lie in memory."""
    for n in (1, 5, 301):
        p = problem(n, d, k, dtype)
        truth = formula(*p.arrays())
        sample_weights = layouts(p.sample_weight[:, None])
        for name, X in layouts(p.X).items():
            Y, W, s = layouts(p.Y)[name], layouts(p.weights)[name], sample_weights[name][:, 0]
            equivalence.compare_pass(backend, equivalence.Problem(X, Y, W, p.bias, s), truth)
        same = np.broadcast_to(dtype(0.7), n)
        equivalence.compare_pass(
            backend, equivalence.Problem(p.X, p.Y, p.weights, p.bias, same), formula(p.X, p.Y, p.weights, p.bias, same)
        )


@dtypes
@pytest.mark.parametrize("d", COLUMNS)
def test_descend_equals_the_formula(backend, dtype, d):
    for n, k, bias, weighted in itertools.product((1, 3, 301), (1, 3), (True, False), (True, False)):
        equivalence.compare_descend(backend, problem(n, d, k, dtype, bias, weighted))
    equivalence.compare_descend(backend, problem(many_rows(d), d, 1, dtype), epochs=2, n_threads=2)


@dtypes
@pytest.mark.parametrize("d", [1, 5, 40, 1000])
def test_read_sums_every_element(backend, dtype, d):
    for n in (1, 5, 1003, 300_000 // d):
        X = problem(n, d, dtype=dtype).X
        scale = float(np.abs(X).sum(dtype=float))
        for name, other in layouts(X).items():
            total = backend.read(other, n_threads=2)
            assert isinstance(total, float), name
            close(f"read, {name}", total, math.fsum(X.ravel().tolist()), TOLERANCE[dtype], scale)


@dtypes
@pytest.mark.parametrize("n", [100_003, 524_288, 10**6])
def test_read_of_numbers_of_one_sign(backend, dtype, n):
    equivalence.compare_read(backend, dtype, n)


@dtypes
def test_update_equals_the_formula(backend, dtype):
    rng = np.random.default_rng(0)
    for shape in ((7,), (1,), (40, 1), (5, 3)):
        W, G = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
        wanted, before = W.astype(np.longdouble) - np.longdouble(0.3) * G, G.copy()
        assert backend.update(W, G, 0.3) is None
        assert W.dtype == dtype
        close("update", W, wanted, TOLERANCE[dtype])
        assert np.array_equal(G, before)


@dtypes
def test_update_reaches_weights_in_any_layout(backend, dtype):
    rng = np.random.default_rng(1)
    W, G = rng.normal(size=(6, 3)).astype(dtype), rng.normal(size=(6, 3)).astype(dtype)
    wanted = W.astype(np.longdouble) - np.longdouble(0.3) * G
    for name, weights in layouts(W).items():
        backend.update(weights, layouts(G)[name], 0.3)
        close(f"update, {name}", weights, wanted, TOLERANCE[dtype])


# ------------------------------------------------------------------------------------------------------ finite differences


@pytest.mark.parametrize("weighted", [True, False], ids=["weighted", "unweighted"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("d, k", [(3, 1), (20, 1), (40, 1), (5, 3)])
def test_gradient_is_the_slope_of_the_loss(backend, weighted, bias, seed, d, k):
    """Central differences of fourth order: (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h."""
    p, h = problem(57, d, k, np.float64, bias, weighted, seed), 1e-6
    grad, bias_grad = backend.gradient(*p.arrays())

    def slopes(array):
        found = np.empty(array.shape)
        for where in np.ndindex(array.shape):
            kept, found[where] = array[where], 0
            for step, factor in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
                array[where] = kept + step * h
                found[where] += factor * backend.loss(*p.arrays()) / (12 * h)
            array[where] = kept
        return found

    np.testing.assert_allclose(grad, slopes(p.weights), rtol=5e-6, atol=1e-10)
    if bias:
        np.testing.assert_allclose(bias_grad, slopes(p.bias), rtol=5e-6, atol=1e-10)
    else:
        assert bias_grad is None


@pytest.mark.parametrize("weighted", [True, False], ids=["weighted", "unweighted"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("d, k", [(3, 1), (20, 1), (40, 1), (5, 3)])
def test_gradient_is_zero_at_the_least_squares_solution(backend, weighted, bias, d, k):
    p = problem(500, d, k, np.float64, bias, weighted)
    design = np.column_stack([p.X, np.ones(500)]) if bias else p.X
    root = np.ones((500, 1)) if p.sample_weight is None else np.sqrt(p.sample_weight)[:, None]
    best = np.linalg.lstsq(root * design, root * p.Y)[0]
    p.weights, p.bias = best[:d].copy(), (best[d].copy() if bias else None)
    value, grad, bias_grad = backend.loss_gradient(*p.arrays())
    assert value > 0.1  # the targets are no function of X, so that residuals are left to be cancelled
    scale = 2 * np.mean(np.abs(design).max(axis=1)) * math.sqrt(value)
    close("gradient", grad, np.zeros((d, k)), 1e-13, scale)
    if bias:
        close("bias gradient", bias_grad, np.zeros(k), 1e-13, scale)


# ---------------------------------------------------------------------------------------------------------------- the bits


@dtypes
@pytest.mark.parametrize("d, k", [(1, 1), (3, 1), (3, 2), (20, 1), (40, 1), (40, 2), (300, 1)])
def test_same_bits_for_any_number_of_threads(dtype, d, k):
    """From 2¹⁸ multiply-adds on the kernel shares its work; these have twice that, or three chunks if that is more."""
    n = max(2 * (1 << 18) // d, many_rows(d)) + 5
    p = problem(n, d, k, dtype)
    lr = equivalence.stable_lr(p.X)

    def everything(n_threads):
        out = np.empty(p.Y.shape, dtype)
        kernel.predict(p.X, p.weights, p.bias, out, n_threads)
        value, grad, bias_grad = kernel.loss_gradient(*p.arrays(), n_threads=n_threads)
        W, b, G, gb, history, done = p.weights.copy(), p.bias.copy(), grad.copy(), bias_grad.copy(), np.zeros((3, 3)), [0]
        done = np.zeros(1, np.intp)
        kernel.descend(p.X, p.Y, W, b, G, gb, lr, 3, history, done, sample_weight=p.sample_weight, n_threads=n_threads)
        numbers = (kernel.read(p.X, n_threads), kernel.loss(*p.arrays(), n_threads=n_threads), value)
        arrays = (out, grad, bias_grad, W, b, G, gb, history[:2])
        return [np.float64(x).tobytes() for x in numbers] + [a.tobytes() for a in arrays]

    alone = everything(1)
    for n_threads in (2, 3, 4, 7, 8):
        assert everything(n_threads) == alone, f"{n_threads} threads"


# -------------------------------------------------------------------------------------------------------- float32 and sums


def test_float32_loss_is_summed_in_double():
    n = 10**6
    rng = np.random.default_rng(0)
    X, Y = rng.uniform(0, 1, (n, 2)).astype(np.float32), rng.uniform(1, 2, (n, 1)).astype(np.float32)
    W, b = np.array([[0.25], [-0.5]], np.float32), np.array([0.125], np.float32)
    R = X.astype(float) @ W.astype(float) + 0.125 - Y
    truth = math.fsum((R[:, 0] ** 2).tolist()) / n
    assert kernel.loss(X, Y, W, b) == pytest.approx(truth, rel=1e-6)
    assert kernel.loss_gradient(X, Y, W, b)[0] == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("d", [3, 20, 40])
def test_float32_gradient_of_many_rows(d):
    """Rows and residuals of one sign: every product adds, none cancels an error of the ones before."""
    n = 6_000_000 // d
    rng = np.random.default_rng(1)
    X, Y = rng.random((n, d), np.float32), rng.random((n, 1), np.float32) + 1
    W, b = np.full((d, 1), -1 / d, np.float32), np.zeros(1, np.float32)
    R = X.astype(float) @ W.astype(float) - Y
    grad, bias_grad = kernel.gradient(X, Y, W, b)
    close("gradient", grad, 2 * X.astype(float).T @ R / n, 1e-6)
    close("bias gradient", bias_grad, 2 * R.sum(axis=0) / n, 1e-6)


# ----------------------------------------------------------------------------------------------------------------- descend


def descend(backend, p, state, lr, epochs, **options):
    W, b, G, gb, history, done = state
    return backend.descend(p.X, p.Y, W, b, G, gb, lr, epochs, history, done, sample_weight=p.sample_weight, **options)


def copied(state):
    return [None if array is None else array.copy() for array in state]


def same_bits(one, other):
    return all((a is None and b is None) or a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


descents = pytest.mark.parametrize(
    "n, d, k, bias, weighted", [(50, 3, 1, True, True), (50, 5, 2, False, False), (50, 40, 1, True, False)]
)


@dtypes
@descents
def test_history_has_one_column_an_epoch(backend, dtype, n, d, k, bias, weighted):
    p = problem(n, d, k, dtype, bias, weighted)
    state = equivalence.start(backend, p, 9)
    W, b, G, gb, history, done = state
    for epoch in range(7):
        assert descend(backend, p, state, equivalence.stable_lr(p.X), 1) == "epochs"
        assert done[0] == epoch + 1
        value, grad, bias_grad = backend.loss_gradient(p.X, p.Y, W, b, p.sample_weight)
        squares = np.sum(grad.astype(float) ** 2) + (0 if b is None else np.sum(bias_grad.astype(float) ** 2))
        close("loss", history[0, epoch], value, TOLERANCE[dtype])
        close("gradient norm", history[1, epoch], math.sqrt(squares), TOLERANCE[dtype])
        close("gradient", G, grad, TOLERANCE[dtype])
        if bias:
            close("bias gradient", gb, bias_grad, TOLERANCE[dtype])
    assert np.all((history[2, :7] >= 0) & (history[2, :7] < 60))
    assert np.all(np.isnan(history[:, 7:]))
    assert np.all(np.diff(history[0, :7]) < 0)


@dtypes
@descents
def test_going_on_equals_not_stopping(backend, dtype, n, d, k, bias, weighted):
    p = problem(n, d, k, dtype, bias, weighted)
    whole, parts = equivalence.start(backend, p, 12), equivalence.start(backend, p, 12)
    lr = equivalence.stable_lr(p.X)
    assert descend(backend, p, whole, lr, 12) == "epochs"
    for epochs in (5, 0, 7):
        assert descend(backend, p, parts, lr, epochs) == "epochs"
    whole[4][2] = parts[4][2] = 0  # the seconds
    assert same_bits(whole, parts)
    assert whole[5][0] == 12


@dtypes
@descents
def test_no_epochs_change_nothing(backend, dtype, n, d, k, bias, weighted):
    p = problem(n, d, k, dtype, bias, weighted)
    state = equivalence.start(backend, p, 2)
    before = copied(state)
    assert descend(backend, p, state, 0.1, 0) == "epochs"
    assert same_bits(state, before)


@dtypes
@descents
def test_converged_at_the_first_gradient_within_tol(backend, dtype, n, d, k, bias, weighted):
    p = problem(n, d, k, dtype, bias, weighted)
    lr = equivalence.stable_lr(p.X)
    free = equivalence.start(backend, p, 40)
    assert descend(backend, p, free, lr, 40) == "epochs"
    norms = free[4][1]
    tol = float(norms[25])
    first = int(np.argmax(norms <= tol))
    state = equivalence.start(backend, p, 40)
    assert descend(backend, p, state, lr, 40, tol=tol) == "converged"
    assert state[5][0] == first + 1
    assert np.array_equal(state[4][:2, : first + 1], free[4][:2, : first + 1])
    assert np.all(np.isnan(state[4][:, first + 1 :]))
    assert descend(backend, p, equivalence.start(backend, p, 40), lr, 40, tol=float(norms.min()) / 2) == "epochs"


def test_a_zero_gradient_is_within_a_tol_of_zero(backend):
    p = problem(20, 3)
    p.Y[:], p.weights[:], p.bias[:] = 0, 0, 0
    state = equivalence.start(backend, p, 5)
    assert descend(backend, p, state, 0.1, 5, tol=0.0) == "converged"
    assert state[5][0] == 1
    assert descend(backend, p, equivalence.start(backend, p, 5), 0.1, 5) == "epochs"  # by default tol is off


@dtypes
@descents
def test_divergence_is_undone(backend, dtype, n, d, k, bias, weighted):
    """Weights and gradients are those of the last epoch that stayed finite, as if nobody had gone further."""
    p = problem(n, d, k, dtype, bias, weighted)
    state = equivalence.start(backend, p, 400)
    with np.errstate(all="ignore"):
        assert descend(backend, p, state, 10.0, 400) == "diverged"
    last = int(state[5][0])
    assert 1 <= last < 400
    again = equivalence.start(backend, p, 400)
    assert descend(backend, p, again, 10.0, last) == "epochs"
    state[4][2] = again[4][2] = 0  # the seconds
    assert same_bits(state, again)
    with np.errstate(all="ignore"):
        assert descend(backend, p, again, 10.0, 1) == "diverged"
    assert same_bits(state, again)


@dtypes
@descents
def test_what_descend_leaves_is_finite(backend, dtype, n, d, k, bias, weighted):
    p = problem(n, d, k, dtype, bias, weighted)
    state = equivalence.start(backend, p, 400)
    for epoch in range(400):
        with np.errstate(all="ignore"):
            status = descend(backend, p, state, 3.0, 1)
        assert all(np.all(np.isfinite(array)) for array in state[:4] if array is not None), f"epoch {epoch}"
        if status == "diverged":
            return
    pytest.fail("it did not diverge")


@dtypes
@descents
def test_both_backends_diverge_at_one_epoch(dtype, n, d, k, bias, weighted):
    """One epoch more or less in float32: which partial sum overflows first is not promised."""
    p, last = problem(n, d, k, dtype, bias, weighted), {}
    for backend in (kernel, reference):
        state = equivalence.start(backend, p, 400)
        with np.errstate(all="ignore"):
            assert descend(backend, p, state, 10.0, 400) == "diverged"
        last[backend] = int(state[5][0])
    assert abs(last[kernel] - last[reference]) <= (dtype is np.float32)


@dtypes
def test_divergence_is_reported_by_the_status_alone(backend, dtype):
    p = problem(50, 3, dtype=dtype)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert descend(backend, p, equivalence.start(backend, p, 400), 10.0, 400) == "diverged"
    assert [str(warning.message) for warning in heard] == []


def test_nan_in_the_rows_diverges_at_once(backend):
    p = problem(50, 3)
    state = equivalence.start(backend, p, 5)
    before = copied(state)
    p.X[17, 1] = np.nan
    assert descend(backend, p, state, 0.1, 5) == "diverged"
    assert same_bits(state, before)


# ---------------------------------------------------------------------------------------------------------------- decimals


def rounded_step(weights, gradient, lr, decimals):
    """The textbook's update, in NumPy."""
    return np.round(weights - lr * np.round(gradient, decimals), decimals)


@dtypes
@descents
@pytest.mark.parametrize("decimals", [3, 1, 0, -1])
def test_decimals_round_every_epoch(backend, dtype, n, d, k, bias, weighted, decimals):
    p = problem(n, d, k, dtype, bias, weighted)
    p.X *= 10
    p.Y *= 10 ** (1 - min(decimals, 0))
    p.weights *= 10 ** -min(decimals, 0)
    state = equivalence.start(backend, p, 5)
    W, b, G, gb, *_ = state
    for _ in range(5):
        lr = 2.0**-10
        wanted_W, wanted_b = rounded_step(W, G, lr, decimals), b if b is None else rounded_step(b, gb, lr, decimals)
        assert np.any(wanted_W != W - dtype(lr) * G)  # rounding matters here
        assert descend(backend, p, state, lr, 1, decimals=decimals) == "epochs"
        assert np.array_equal(W, wanted_W)
        assert b is None or np.array_equal(b, wanted_b)
        assert np.any(np.round(G, decimals) != G)  # the gradient that is handed on is the whole one


@dtypes
@pytest.mark.parametrize("decimals", [5, 3, 2, 1, 0, -1, -2])
def test_decimals_round_as_numpy_does(backend, dtype, decimals):
    """Numbers that have `decimals` decimals, as every epoch after the first has: halves are then frequent."""
    rng, unit, wrong = np.random.default_rng(7), 10.0**-decimals, []
    for lr in (0.5, 0.3, 0.1, 0.05, 0.01):
        W = np.round(rng.normal(0, 50 * unit, (3000, 1)), decimals).astype(dtype)
        G = np.concatenate([np.round(rng.normal(0, 500 * unit, (2000, 1)), decimals), rng.normal(0, 50, (1000, 1))])
        G = G.astype(dtype)
        wanted, before = rounded_step(W, G, lr, decimals), W.copy()
        backend.update(W, G, lr, decimals)
        wrong += [f"{before[i, 0]} − {lr}·{G[i, 0]} = {W[i, 0]}, not {wanted[i, 0]}" for i in np.flatnonzero(wanted != W)]
    assert not wrong, f"{len(wrong)} of 15,000 differ, the first: {wrong[0]}"


# ------------------------------------------------------------------------------------------------------------ side effects


@dtypes
@pytest.mark.parametrize("d", [3, 20, 40])
def test_inputs_are_never_changed(backend, dtype, d):
    """They are read-only as well, so that a write would be an error."""
    p = problem(301, d, 2 if d == 3 else 1, dtype)
    state = equivalence.start(backend, p, 3)
    inputs = (p.X, p.Y, p.sample_weight, p.weights, p.bias)
    for array in inputs:
        array.flags.writeable = False
    before = [array.tobytes() for array in inputs]
    backend.read(p.X)
    backend.predict(p.X, p.weights, p.bias, np.empty(p.Y.shape, dtype))
    backend.loss(*p.arrays())
    backend.gradient(*p.arrays())
    backend.loss_gradient(*p.arrays(), n_threads=2)
    G = state[2].copy()
    G.flags.writeable = False
    backend.update(p.weights.copy(), G, 0.1)
    descend(backend, p, state, 0.001, 3, decimals=2)
    assert [array.tobytes() for array in inputs] == before


# ------------------------------------------------------------------------------------- nothing outside of what was given

NO_CLASSES = (-1.0, 3.0, 0.5, 1e9, -1e9, 2.0**53, 1e30, math.nan, math.inf, -math.inf)


@dtypes
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("label", NO_CLASSES)
def test_a_class_that_is_none_is_a_loss_of_nan(backend, dtype, d, label):
    p = problem(301, d, 3, dtype)
    Y = (np.arange(301.0) % 3).astype(dtype)[:, None]
    value, *_ = backend.loss_gradient(p.X, Y, p.weights, p.bias, loss="softmax")
    assert math.isfinite(value)
    Y[137] = label
    with np.errstate(invalid="ignore"):
        value, grad, bias_grad = backend.loss_gradient(p.X, Y, p.weights, p.bias, loss="softmax")
        alone = backend.loss(p.X, Y, p.weights, p.bias, loss="softmax")
    assert math.isnan(value)
    assert math.isnan(alone)
    # The slopes are those of class 0, so that nothing else is lost.
    Y[137] = 0
    _, wanted, bias_wanted = backend.loss_gradient(p.X, Y, p.weights, p.bias, loss="softmax")
    assert grad.tobytes() == wanted.tobytes()
    assert bias_grad.tobytes() == bias_wanted.tobytes()


@dtypes
def test_an_epoch_that_meets_a_class_that_is_none_is_undone(backend, dtype):
    p = problem(50, 3, 3, dtype)
    p.Y = (np.arange(50.0) % 3).astype(dtype)[:, None]
    p.Y[7] = 3
    state = equivalence.start(backend, equivalence.Problem(p.X, p.Y.repeat(3, axis=1), p.weights, p.bias, p.sample_weight), 5)
    before = copied(state)
    with np.errstate(invalid="ignore"):
        assert descend(backend, p, state, 0.1, 5, loss="softmax") == "diverged"
        W, b, _, _, history, done = state
        batched = backend.descend_batches(
            p.X, p.Y, W, b, 0.1, 10, history, done, sample_weight=p.sample_weight, loss="softmax"
        )
    assert batched == "diverged"
    assert same_bits(state, before)


FAR = {"mse": 1e30, "mae": 1e38, "huber": 1e38, "quantile": 1e38}


@dtypes
@pytest.mark.parametrize("loss", FAR)
@pytest.mark.parametrize("n", [5, 6, 131])
@pytest.mark.parametrize("d, k", [(3, 1), (20, 1), (40, 2)])
def test_a_row_without_weight_counts_nothing_whatever_overflows_in_it(backend, dtype, loss, n, d, k):
    p = problem(n, d, k, dtype)
    p.sample_weight[::3] = 0
    counts = p.sample_weight > 0
    parameter = 0.5 if loss in ("huber", "quantile") else 0.0
    wanted = backend.loss_gradient(p.X[counts], p.Y[counts], p.weights, p.bias, p.sample_weight[counts], 1, loss, parameter)
    p.X[~counts] *= np.finfo(dtype).max / 100
    p.Y[~counts] = np.finfo(dtype).max
    with np.errstate(all="ignore"):
        found = backend.loss_gradient(*p.arrays(), 1, loss, parameter)
    for name, one, other in zip(("loss", "gradient", "bias gradient"), found, wanted, strict=True):
        close(name, one, other, TOLERANCE[dtype])


def test_padding_does_not_overflow():
    """A fifth row is visited with three of padding, whose targets are 0 and whose predictions are those of that row."""
    X, W, Y = np.ones((5, 20), np.float32), np.full((20, 1), 1e18, np.float32), np.full((5, 1), 2.1e19, np.float32)
    assert kernel.loss(X, Y, W, None) == pytest.approx(1e36, rel=1e-5)
    assert kernel.loss_gradient(X, Y, W, None)[0] == pytest.approx(1e36, rel=1e-5)


@pytest.mark.parametrize("dtype, order", [(np.float32, "C"), (np.float32, "F"), (np.float64, "C")])
@pytest.mark.parametrize("d", [1024, 1025, 300_000])
def test_long_rows_are_summed_in_double(backend, dtype, d, order):
    """0.1 added up in float32 a thousand times errs by 1e-5, 300,000 times by 1 %, in sixteen parts still by 1e-4."""
    X, W, b = np.ones((5, d), dtype, order), np.full((d, 1), 0.1, dtype), np.zeros(1, dtype)
    exact, out = d * float(dtype(0.1)), np.empty((5, 1), dtype)
    backend.predict(X, W, b, out)
    np.testing.assert_allclose(out, exact, rtol=2e-5 if dtype == np.float32 else 1e-12)
    Y = np.zeros((5, 1), dtype)
    for value in (backend.loss(X, Y, W, b), backend.loss_gradient(X, Y, W, b)[0]):
        assert value == pytest.approx(exact**2, rel=4e-5 if dtype == np.float32 else 1e-12)


def wrong_shapes():
    """Calls of the kernel, by name, each with one array of another shape; and the words that tell of it."""
    p, q = problem(20, 3, 2), problem(20, 3, 1)
    X, Y, W, b, s = p.arrays()
    C, out, shift, order = np.zeros((20, 1)), np.zeros((20, 2)), np.zeros(5), np.arange(20)
    raw = np.zeros((2, 20))
    adam = ("adam", {"betas": (0.9, 0.99), "eps": 1e-8})
    momentum = ("sgd", {"momentum": 0.9, "nesterov": False})

    def epochs(name, value, **options):
        arrays = {"X": X, "Y": Y, "weights": W.copy(), "bias": b.copy(), "gradient": W.copy(), "bias_gradient": b.copy()}
        rest = {"lr": np.full(4, 0.1), "epochs": 4, "history": np.zeros((3, 4)), "done": np.zeros(1, np.intp)}
        return lambda: kernel.descend(**{**arrays, **rest, "sample_weight": s, name: value, **options})

    def batches(name, value, **options):
        arrays = {"X": X, "Y": Y, "weights": W.copy(), "bias": b.copy(), "sample_weight": s, "order": order}
        rest = {"lr": 0.1, "batch_size": 6, "history": np.zeros((3, 1)), "done": np.zeros(1, np.intp)}
        return lambda: kernel.descend_batches(**{**arrays, **rest, name: value, **options})

    calls = {
        "predict X": ("weights", lambda: kernel.predict(np.zeros((20, 4)), W, b, out)),
        "predict bias": ("bias", lambda: kernel.predict(X, W, np.zeros(3), out)),
        "predict out": ("out", lambda: kernel.predict(X, W, b, out[:-1])),
        "predict out columns": ("out", lambda: kernel.predict(X, W, b, np.zeros((20, 1)))),
        "predict nothing": ("nothing", lambda: kernel.predict(X[:0], W, b, out[:0])),
        "read nothing": ("nothing", lambda: kernel.read(X[:0])),
        "settled": ("sums", lambda: kernel.settled(np.zeros(7), W, b)),
        "norm": ("gradient", lambda: kernel.gradient_norm(W, W[:2], b)),
        "step": ("gradient", lambda: kernel.step(np.zeros(4), np.zeros(3), 0.1, momentum, np.zeros((1, 4)), 1)),
        "step without memory": ("state", lambda: kernel.step(np.zeros(4), np.zeros(4), 0.1, momentum, None, 1)),
        "step state": ("state", lambda: kernel.step(np.zeros(4), np.zeros(4), 0.1, adam, np.zeros((1, 4)), 1)),
        "step state columns": ("state", lambda: kernel.step(np.zeros(4), np.zeros(4), 0.1, adam, np.zeros((2, 3)), 1)),
        "lasso A": ("A", lambda: kernel.lasso(np.zeros((3, 4)), np.zeros(4), np.zeros(4), 0.1)),
        "lasso q": ("q", lambda: kernel.lasso(np.zeros((4, 4)), np.zeros(3), np.zeros(4), 0.1)),
        "moments shift": ("shift", lambda: kernel.moments(X, Y, s, shift[:4])),
        "moments Y": ("Y", lambda: kernel.moments(X, Y[:-1], s, shift)),
        "moments s": ("sample_weight", lambda: kernel.moments(X, Y, s[:-1], shift)),
        "moments carried": ("carried", lambda: kernel.moments(X, Y, s, shift, carried=np.zeros(31))),
        "whole_rows": ("columns", lambda: kernel.whole_rows(np.zeros((1, 0)))),
        "derivatives_of Y": ("Y", lambda: kernel.derivatives_of(raw, raw[:1], None, raw.copy())),
        "derivatives_of classes": ("Y", lambda: kernel.derivatives_of(raw, raw, None, raw.copy(), "softmax")),
        "derivatives_of s": ("sample_weight", lambda: kernel.derivatives_of(raw, raw, s[:-1], raw.copy())),
        "derivatives_of out": ("out", lambda: kernel.derivatives_of(raw, raw, None, np.zeros((2, 19)))),
        "descend gradient": ("gradient", epochs("gradient", W[:2].copy())),
        "descend bias_gradient": ("bias", epochs("bias_gradient", np.zeros(3))),
        "descend lr": ("lr", epochs("lr", np.full(3, 0.1))),
        "descend history": ("history", epochs("history", np.zeros((3, 3)))),
        "descend history rows": ("history", epochs("history", np.zeros((2, 4)))),
        "descend done": ("history", epochs("done", np.ones(1, np.intp))),
        "descend done before": ("history", epochs("done", np.full(1, -1))),
        "descend done empty": ("done", epochs("done", np.zeros(0, np.intp))),
        "descend state": ("state", epochs("state", np.zeros((1, 8)), optimizer=adam)),
        "descend no state": ("state", epochs("state", None, optimizer=adam)),
        "batches order": ("order", batches("order", order[:-1])),
        "batches state": ("state", batches("state", np.zeros((2, 7)), optimizer=adam)),
        "batches history": ("history", batches("history", np.zeros((3, 0)))),
        "batches of none": ("batch_size", batches("batch_size", 0)),
        "batches of more": ("batch_size", batches("batch_size", 21)),
    }
    passes = {"partial": kernel.partial, "loss": kernel.loss, "loss_gradient": kernel.loss_gradient}
    for name, call in passes.items():
        for what, arrays in {
            "weights": (X[:, :2], Y, W, b, s),
            "Y": (X, Y[:-1], W, b, s),
            "Y ": (X, C, W, b, s),
            " Y": (X, np.zeros((20, 400)), W, b, s),
            "bias": (X, Y, W, b[:1], s),
            "sample_weight": (X, Y, W, b, s[:-1]),
            "nothing": (X[:0], Y[:0], W, b, None),
        }.items():
            calls[f"{name} {what}"] = (what.strip(), lambda call=call, arrays=arrays: call(*arrays))
        calls[f"{name} classes"] = ("Y", lambda call=call: call(*p.arrays(), loss="softmax"))
        calls[f"{name} None"] = ("Y", lambda call=call: call(X, None, W, b))
    calls["descend classes"] = ("Y", epochs("Y", Y, loss="softmax"))
    calls["descend X"] = ("weights", epochs("X", X[:, :2]))
    calls["batches X"] = ("weights", batches("X", X[:, :2]))
    calls["descend Y"] = ("Y", epochs("Y", q.Y))
    for wrong in (-1, 20, 2**62, -(2**62)):
        calls[f"batches order {wrong}"] = (f"order.*{wrong}", batches("order", np.where(order == 13, wrong, order)))
    return calls


@pytest.mark.parametrize("name", wrong_shapes())
def test_the_kernel_refuses_what_would_lead_it_outside(name):
    words, call = wrong_shapes()[name]
    with pytest.raises((ValueError, TypeError), match=words):
        call()
