"""However numbers lie in memory, the kernel gives the bits that it gives for a contiguous copy of them in the same order.

Rows and columns are two orders of visiting, of which the strides decide: what lies by columns has the bits of a copy in
Fortran order, everything else those of a copy in C order, and the two agree to rounding.
"""

import equivalence
import numpy as np
import pytest
from equivalence import DTYPES, Problem, many_rows, problem

import gdcore
from gdcore.backends import kernel
from gdcore.losses import LOSSES
from gdcore.rows.moments import Moments

BY_COLUMNS = ("F", "transposed", "rows from the end, transposed")
AGREE = {np.float64: 1e-13, np.float32: 1e-5}  # relative to the scale of a result
LAYOUTS = (*equivalence.layouts(np.zeros((1, 1))), "one row, broadcast", "one column, broadcast", "read-only")
cases = pytest.mark.parametrize("d, k", [(3, 1), (20, 1), (40, 1), (3, 2), (40, 2)])
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def laid_out(X, name):
    """X in one of LAYOUTS; broadcasting repeats its first row or column."""
    if name == "one row, broadcast":
        return np.broadcast_to(X[:1], X.shape)
    if name == "one column, broadcast":
        return np.broadcast_to(X[:, :1].copy(), X.shape)
    if name == "read-only":
        X = X.copy()
        X.flags.writeable = False
        return X
    return equivalence.layouts(X)[name]


def results(p, out=None, n_threads=1):
    """Everything that a pass and an epoch compute."""
    out = np.full(p.Y.shape, np.nan, p.X.dtype) if out is None else out
    kernel.predict(p.X, p.weights, p.bias, out, n_threads)
    value, grad, bias_grad = kernel.loss_gradient(*p.arrays(), n_threads=n_threads)
    alone = kernel.loss(*p.arrays(), n_threads=n_threads)
    W, b, G, gb = np.array(p.weights, order="C"), p.bias.copy(), grad.copy(), bias_grad.copy()
    history, done, lr = np.zeros((3, 2)), np.zeros(1, np.intp), 0.003
    status = kernel.descend(p.X, p.Y, W, b, G, gb, lr, 2, history, done, sample_weight=p.sample_weight, n_threads=n_threads)
    assert (status, done[0]) == ("epochs", 2)
    return {
        "predictions": out,
        "loss": np.float64([value, alone]),
        "gradient": np.append(grad, bias_grad),
        "descend": np.append(W, b),
        "descend's gradient": np.append(G, gb),
        "history": history[:2],
    }


def differences(one, other):
    """The names of what differs in any bit."""
    return [name for name in one if one[name].tobytes() != other[name].tobytes()]


def agree(one, other, tolerance):
    """Two results but for the last digits, relative to the largest number in each."""
    for name in one:
        equivalence.close(name, one[name], other[name], tolerance)


@dtypes
@cases
@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_of_the_rows(dtype, d, k, name):
    for n in (1, 6, many_rows(d)):
        p = problem(n, d, k, dtype)
        X = laid_out(p.X, name)
        bytes_before = X.tobytes()
        there = Problem(X, p.Y, p.weights, p.bias, p.sample_weight)
        here = Problem(np.array(X, order="F" if name in BY_COLUMNS else "C"), p.Y, p.weights, p.bias, p.sample_weight)
        assert here.X.flags.writeable
        wanted = results(here)
        assert name not in BY_COLUMNS or n == 1 or here.X.flags.f_contiguous
        agree(wanted, results(Problem(np.array(X, order="C"), p.Y, p.weights, p.bias, p.sample_weight)), AGREE[dtype])
        assert differences(results(there), wanted) == [], f"{n} rows"
        assert differences(results(there, n_threads=3), wanted) == [], f"{n} rows, three threads"
        assert X.tobytes() == bytes_before


@dtypes
@pytest.mark.parametrize("d", [3, 20, 40])
@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_map(tmp_path, dtype, d, order):
    n = many_rows(d)
    p = problem(n, d, 1, dtype)
    written = np.memmap(tmp_path / "X", dtype, "w+", shape=(n, d), order=order)
    written[:] = p.X
    written.flush()
    X = np.memmap(tmp_path / "X", dtype, "r", shape=(n, d), order=order)
    assert not X.flags.writeable
    mapped = results(Problem(X, p.Y, p.weights, p.bias, p.sample_weight), n_threads=2)
    wanted = results(Problem(np.array(p.X, order=order), p.Y, p.weights, p.bias, p.sample_weight))
    assert differences(mapped, wanted) == []


@dtypes
@pytest.mark.parametrize("d, k", [(2, 1), (5, 1), (20, 3), (130, 1), (1000, 2)])
def test_columns_are_the_formulas(dtype, d, k):
    """Blocks of 256 rows and what is left of them, four columns at a time and what is left of those, several chunks."""
    for n, bias, weighted in ((2, True, False), (255, False, True), (257, True, True), (1030, True, False)):
        p = problem(n, d, k, dtype, bias, weighted)
        p.X = np.asfortranarray(p.X)
        equivalence.compare_pass(kernel, p, equivalence.formula(*p.arrays()), n_threads=2)


@dtypes
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("d", [3, 20, 700])
def test_pieces_of_whole_rows_have_the_bits_of_the_whole_in_both_orders(dtype, order, d):
    step = kernel.whole_rows(np.empty((1, d), dtype), None, 1)
    n = 2 * step + 300
    p = problem(n, d, 1, dtype)
    X = np.array(p.X, order=order)
    wanted = kernel.partial(X, p.Y, p.weights, p.bias, p.sample_weight, n_threads=3)
    for rows_of_a_piece in (step, 2 * step):
        sums = None
        for low in range(0, n, rows_of_a_piece):
            rows = slice(low, low + rows_of_a_piece)
            piece = np.array(X[rows], order=order)
            sums = kernel.partial(piece, p.Y[rows], p.weights, p.bias, p.sample_weight[rows], carried=sums)
        assert sums.tobytes() == wanted.tobytes()


@dtypes
@cases
def test_layout_of_everything_else(dtype, d, k):
    """Targets, weights, sample weights and the array that predictions are written to."""
    n = many_rows(d)
    p = problem(n, d, k, dtype)
    wanted = results(p)
    targets, weights, outs = (equivalence.layouts(A) for A in (p.Y, p.weights, np.zeros((n, k), dtype)))
    sample_weights = equivalence.layouts(p.sample_weight[:, None])
    for name, Y in targets.items():
        other = Problem(p.X, Y, weights[name], p.bias, sample_weights[name][:, 0])
        assert differences(results(other, outs[name]), wanted) == [], name


@dtypes
@cases
def test_predictions_are_written_where_they_belong_and_nowhere_else(dtype, d, k):
    n = 1003
    p = problem(n, d, k, dtype)
    wanted = np.empty((n, k), dtype)
    kernel.predict(p.X, p.weights, p.bias, wanted)
    around = np.full((2 * n + 4, 3 * k + 2), 7, dtype)
    kernel.predict(p.X, p.weights, p.bias, around[2:-2:2, 1:-1:3])
    assert np.array_equal(around[2:-2:2, 1:-1:3], wanted)
    around[2:-2:2, 1:-1:3] = 7
    assert np.all(around == 7)


@dtypes
@pytest.mark.parametrize("d", [3, 20, 40])
def test_targets_and_sample_weights_without_strides(dtype, d):
    p = problem(many_rows(d), d, 1, dtype)
    Y, s = np.broadcast_to(p.Y[:1], p.Y.shape), np.broadcast_to(p.sample_weight[:1], p.sample_weight.shape)
    there, here = Problem(p.X, Y, p.weights, p.bias, s), Problem(p.X, Y.copy(), p.weights, p.bias, s.copy())
    assert differences(results(there), results(here)) == []


@pytest.mark.parametrize("options", [{}, {"l2": 0.1}, {"precondition": "diagonal"}, {"optimizer": "sgd"}], ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_default_fit(loss, options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 20)) @ rng.normal(size=(20, 20))
    Y = (rng.normal(size=3000) > 0).astype(float)
    if LOSSES[loss]().has_link:
        Y += 0.5
        if options.keys() & {"precondition", "optimizer"}:
            return  # without a bound of the curvature
    wanted = gdcore.fit(X, Y, loss=loss, epochs=10, **options)
    by_columns = gdcore.fit(np.asfortranarray(X), Y, loss=loss, epochs=10, **options)
    for name in equivalence.layouts(X):
        run = gdcore.fit(laid_out(X, name), Y, loss=loss, epochs=10, **options)
        same = by_columns if name in BY_COLUMNS else wanted
        assert run.model.weights.tobytes() == same.model.weights.tobytes(), name
        assert run.history.loss.tobytes() == same.history.loss.tobytes(), name
        np.testing.assert_allclose(run.history.loss, wanted.history.loss, rtol=1e-9)


@dtypes
@pytest.mark.parametrize("d", [40, 511, 520])
def test_second_moments(dtype, d):
    """Of one stripe of columns, of many, with the targets in the last or in one of their own."""
    rng = np.random.default_rng(0)
    X, Y, s = rng.normal(1, 1, (700, d)).astype(dtype), rng.normal(size=(700, 2)).astype(dtype), rng.uniform(size=700)
    s = s.astype(dtype)
    wanted, columns = Moments.of(X, Y, s), Moments.of_each_column(X, s)
    for name, other in equivalence.layouts(X).items():
        found = Moments.of(other, equivalence.layouts(Y)[name], s)
        assert (found.mean.tobytes(), found.scatter.tobytes()) == (wanted.mean.tobytes(), wanted.scatter.tobytes()), name
        assert found.largest_row == wanted.largest_row, name
        found = Moments.of_each_column(other, s)
        assert (found.mean.tobytes(), found.scatter.tobytes()) == (columns.mean.tobytes(), columns.scatter.tobytes()), name
