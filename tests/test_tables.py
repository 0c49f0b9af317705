"""A table that comes in pieces trains as its rows in memory do, to the bit, however it is cut."""

import numpy as np
import pytest

import gdcore
from gdcore import MLP, Linear, fit
from gdcore.losses import LOSSES
from gdcore.rows.tables import PIECE_BYTES, Piece, Table

N, D = 90_000, 25  # a little more than one piece


class Cut(Table):
    """Arrays, cut at random places."""

    def __init__(self, X, Y, s, seed, classes=None):
        self.X, self.Y, self.s, self.seed = X, Y, s, seed
        self.names = [f"x{i}" for i in range(X.shape[1])]
        self.target_shape, self.classes, self.weighted = Y.shape[1:], classes, s is not None
        self.passes = 0

    def blocks(self):
        self.passes += 1
        rng, low = np.random.default_rng(self.seed), 0
        while low < len(self.X):
            high = low + int(rng.integers(1, 40_000))
            Y = self.Y[low:high]
            yield Piece(self.X[low:high], Y.reshape(len(Y), -1), None if self.s is None else self.s[low:high])
            low = high


def data(name, n=N, d=D):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) * np.geomspace(0.1, 10, d) + 3
    z = (X - 3) @ rng.normal(size=d) + rng.standard_t(2, size=n)
    kind = LOSSES[name]().targets
    Y = z if kind == "real" else (z > 0).astype(float) if kind == "binary" else np.digitize(z, [-5, 5]).astype(float)
    return X, Y + (kind == "positive"), rng.uniform(0, 2, n)


def assert_same(one, other):
    assert one.model.weights.tobytes() == other.model.weights.tobytes()
    assert np.asarray(one.model.bias).tobytes() == np.asarray(other.model.bias).tobytes()
    assert (one.status, one.epochs) == (other.status, other.epochs)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, {"l2": 1e-3}, {"l1": 1e-3}], ids=str)
def test_a_table_trains_as_its_rows_do(name, weighted, options):
    X, Y, s = data(name)
    assert X.nbytes > PIECE_BYTES
    s = s if weighted else None
    whole = fit(X, Y, loss=name, sample_weight=s, epochs=12, **options)
    for seed in range(2):
        table = Cut(X, Y, s, seed, classes=3)
        run = fit(table, loss=name, epochs=12, n_threads=1 + seed, **options)
        assert_same(run, whole)
    assert table.rows == N
    if name == "mse":
        # One pass over the rows is all there is; with l1 another one proves that the best weights are reached.
        assert table.passes == (2 if "l1" in options else 1)
    assert (run.gap is None) == (whole.gap is None)
    if run.status == "converged":
        assert 0 <= run.gap <= 1e-8 * run.loss
        assert 0 <= whole.gap <= 1e-8 * run.loss


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam", "l1": 0.01}, {"optimizer": gdcore.SGD(0.9)}], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_the_textbooks_epochs_over_a_table(name, options):
    X, Y, s = data(name)
    options = {"loss": name, "lr": 1e-4, "epochs": 4, "method": "stream", **options}
    assert_same(fit(Cut(X, Y, s, 5, classes=3), **options), fit(X, Y, sample_weight=s, **options))


def test_several_targets_and_no_bias():
    X, _, s = data("mse", 5000, 4)
    Y = X[:, :2] @ [[1.0, 2.0], [3.0, 4.0]] + np.sin(X[:, :1])
    for model in (None, Linear(np.zeros((4, 2)), None)):
        assert_same(fit(Cut(X, Y, s, 1), model=model), fit(X, Y, model, sample_weight=s))


def test_the_spectrum_of_a_table_is_that_of_its_run():
    X, Y, s = data("mse", 5000, 4)
    run = fit(Cut(X, Y, s, 1))
    assert run.spectrum.largest == pytest.approx(gdcore.spectrum(X, sample_weight=s).largest, rel=1e-12)
    assert 0 <= run.gap < 1e-20


def test_pieces_are_whole_multiples():
    X, Y, _ = data("mse")
    pieces = list(Cut(X, Y, None, 3).pieces(1000))
    assert {len(piece.X) % 1000 for piece in pieces[:-1]} == {0}
    np.testing.assert_array_equal(np.concatenate([piece.X for piece in pieces]), X)
    np.testing.assert_array_equal(Cut(X, Y, None, 4).read().Y[:, 0], Y)


def test_what_a_table_does_not_go_with():
    X, Y, s = data("mse", 100, 3)
    table = Cut(X, Y, s, 0)
    with pytest.raises(TypeError, match="Y comes with the table"):
        fit(table, Y)
    with pytest.raises(TypeError, match="sample_weight comes with the table"):
        fit(table, sample_weight=s)
    for options in ({"model": MLP([3, 2, 1])}, {"batch_size": 10}):
        with pytest.raises(TypeError, match=r"want arrays: .* = table\.read\(\)"):
            fit(table, **options)
    with pytest.raises(ValueError, match="weights of shape"):
        fit(table, model=Linear([1.0, 2.0], 0.0))
    with pytest.raises(ValueError, match="target is classes"):
        fit(table, loss="softmax")


@pytest.mark.parametrize("name", ["mse", "logistic", "mae"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["X", "Y"])
def test_a_value_that_a_table_has_let_through_is_told_with_its_place(name, value, where):
    X, Y, s = data(name, 50_000, 3)
    wrong, place = (X, (41_000, 2)) if where == "X" else (Y, (41_000,))
    wrong[place] = value
    told = r"X\[41000, 2\]" if where == "X" else r"Y\[41000, 0\]"
    with pytest.raises(ValueError, match=rf"{told} is {value}"):
        fit(Cut(X, Y, s, 5), loss=name)


def test_the_spectrum_tells_such_a_value_too_and_large_ones_as_they_are():
    X, Y, s = data("mse", 1000, 3)
    X[700, 1] = np.nan
    with pytest.raises(ValueError, match=r"X\[700, 1\] is nan"):
        gdcore.spectrum(Cut(X, Y, s, 5))
    X[700, 1] = 1e300
    with pytest.raises(ValueError, match="the squares of X overflow"):
        gdcore.spectrum(Cut(X, Y, s, 5))
