"""Rows whose categories are codes: what they are as X, their products with weights, and that passes after the first have the
rows of the first."""

import pickle

import numpy as np
import pytest

import gdcore
from gdcore.rows import coded, filetable, tables
from gdcore.rows.coded import Coded, Places
from gdcore.rows.files import kept
from gdcore.rows.open_table import open_table
from gdcore.rows.tables import Block, Piece, farthest, farthest_of

PLACES = Places((0, 4), ((1, 3), (5, 1)), 6)
VALUES = ["a", "b", "c", "d"]


def rows(m, seed=0):
    rng = np.random.default_rng(seed)
    return Coded(
        PLACES, [rng.normal(size=m), rng.random(m) < 0.5], [rng.integers(-1, 4, m), rng.integers(0, 2, m).astype(np.int32)]
    )


def plain(given):
    """X by its definition, value by value."""
    X = np.zeros((len(given), 6))
    for i in range(len(given)):
        for j, column in zip((0, 4), given.numbers, strict=True):
            X[i, j] = column[i]
        for first, column in zip((1, 5), given.codes, strict=True):
            if column[i] > 0:
                X[i, first + column[i] - 1] = 1
    return X


@pytest.mark.parametrize("m", [0, 1, 5, 1000])
def test_codes_are_expanded(m, monkeypatch):
    for name in ("_BYTES", "_WIDE"):
        monkeypatch.setattr(coded, name, 7 * 6 * 8)  # seven rows
    given = rows(m)
    X = given.expanded()
    assert (X.dtype, X.shape) == (given.dtype, given.shape)
    assert X.flags.c_contiguous
    np.testing.assert_array_equal(X, plain(given))
    np.testing.assert_array_equal(given[m // 3 : m // 2].expanded(), X[m // 3 : m // 2])
    some = np.arange(0, m, 3)
    np.testing.assert_array_equal(given[some].expanded(), X[some])
    np.testing.assert_array_equal(given[...].expanded(), X)


def test_rows_are_joined_as_codes_where_all_are():
    one, other = rows(20), rows(30, seed=1)
    together = coded.joined([one, other])
    assert isinstance(together, Coded)
    wanted = np.concatenate([one.expanded(), other.expanded()])
    np.testing.assert_array_equal(together.expanded(), wanted)
    np.testing.assert_array_equal(coded.joined([one, other.expanded()]), wanted)
    assert together.nbytes == one.nbytes + other.nbytes == 50 * (8 + 1 + 8 + 4)
    s = np.arange(50.0)
    block = Block.joined([Block(one, np.zeros((20, 1)), s[:20]), Block(other, np.ones((30, 1)), s[20:])])
    np.testing.assert_array_equal(block.sample_weight, s)
    assert block.Y.sum() == 30
    assert block.nbytes == together.nbytes + 50 * 16


@pytest.mark.parametrize("k", [1, 3])
def test_products_take_one_weight_of_a_category(k):
    given, rng = rows(500), np.random.default_rng(2)
    W, b = rng.normal(size=(6, k)), rng.normal(size=k)
    np.testing.assert_allclose(given.times(W, b), plain(given) @ W + b, rtol=0, atol=1e-14)
    np.testing.assert_allclose(given.times(W), plain(given) @ W, rtol=0, atol=1e-14)
    model = gdcore.Linear(W if k > 1 else W[:, 0], bias=b if k > 1 else b[0])
    np.testing.assert_allclose(model.predict(given), model.predict(given.expanded()), rtol=0, atol=1e-14)
    # Of each row by itself: how rows are cut does not matter.
    parts = [given[start : start + 7].times(W, b) for start in range(0, 500, 7)]
    assert np.concatenate(parts).tobytes() == np.ascontiguousarray(given.times(W, b)).tobytes()


def test_a_prediction_that_overflows_names_its_row():
    given = Coded(Places((0,), ((1, 1),), 2), [np.array([1.0, 1e10])], [np.array([1, 0])])
    with pytest.raises(ValueError, match="the prediction for row 1 of X overflows float64"):
        gdcore.Linear([1e300, 1.0], bias=0.0).predict(given)
    with pytest.raises(ValueError, match="X has 2 columns, but the model has weights for 3"):
        gdcore.Linear([1.0, 1.0, 1.0]).predict(given)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_farthest_row_has_a_weight(weighted):
    given, w, b = rows(300), np.array([[3.0], [0], [1], [0], [0], [5]]), np.array([-2.0])
    out = np.abs(plain(given) @ w + b)[:, 0]
    s = np.where(out < out.max(), 0.5, 0.0) if weighted else None
    wanted = out[out < out.max()].max() if weighted else out.max()
    Y = np.zeros((300, 1))
    assert farthest_of(Block(given, Y, s), 1, weights=w, bias=b) == pytest.approx(wanted, rel=1e-15)
    assert farthest_of(Piece(given.expanded(), Y, s), 1, weights=w, bias=b) == pytest.approx(wanted, rel=1e-15)
    assert farthest(given.expanded(), s, w, b, 1) == pytest.approx(wanted, rel=1e-15)


# Passes ----------------------------------------------------------------------------------------------------------------------


N = 3000


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    x, town = rng.normal(size=N).round(3), rng.integers(0, 4, N)
    y = (2 * x + np.array([0, 5, 1, 3])[town] + rng.normal(size=N)).round(3)
    lines = [f"{'' if i % 17 == 0 else x[i]},{VALUES[town[i]]},{y[i]}" for i in range(N)]
    (tmp_path / "t.csv").write_text("\n".join(["x,town,y", *lines, ""]))
    return tmp_path / "t.csv"


def pieces(table, multiple=1):
    """All that a pass gives, joined."""
    found = [Block(*piece) for piece in table.pieces(multiple)]
    return Block.joined(found).piece()


@pytest.mark.parametrize("test_size", [0.0, 0.25])
@pytest.mark.parametrize("missing", ["drop", "mean", "indicator"])
def test_later_passes_have_the_rows_of_the_first(path, missing, test_size, monkeypatch):
    """A table that stays in memory is made into codes once; one that does not, in every pass."""
    made = []
    original = filetable.coded
    monkeypatch.setattr(filetable, "coded", lambda *given: made.append(1) or original(*given))
    open_it = {"missing": missing, "test_size": test_size}
    table, read = open_table(path, "y", **open_it), []
    table.progress = read.append
    first, once = pieces(table), len(made)
    assert once
    assert sum(read) == N
    counts = table.dropped, dict(table.gaps)
    assert table.gaps == {"x": -(-N // 17)}
    for multiple in (1, 64):
        read.clear()
        for one, other in zip(pieces(table, multiple), first, strict=True):
            np.testing.assert_array_equal(one, other)
        assert sum(read) == N
        assert (table.dropped, table.gaps) == counts
    if table.held_out is not None:
        assert len(pieces(table.held_out).X) + len(first.X) == N - table.dropped
    assert len(made) == once
    with monkeypatch.context() as changed:
        changed.setattr(kept, "MEMORY", 0)
        other = open_table(path, "y", **open_it)
    for _ in range(2):
        for one, wanted in zip(pieces(other), first, strict=True):
            np.testing.assert_array_equal(one, wanted)
    assert len(made) > 2 * once  # its two passes


def test_a_pass_that_is_left_is_no_whole_one(path):
    table = open_table(path, "y", missing="drop")
    blocks = table.blocks()
    next(blocks)
    blocks.close()
    assert len(pieces(table).X) == N - -(-N // 17)


def test_rows_are_read_again_where_a_table_has_been_pickled(path):
    table = open_table(path, "y", missing="drop", test_size=0.2)
    first = pieces(table)
    other = pickle.loads(pickle.dumps(table))
    for one, wanted in zip(pieces(other), first, strict=True):
        np.testing.assert_array_equal(one, wanted)


def test_more_than_there_is_memory_for_is_made_again(path, monkeypatch):
    table = open_table(path, "y", missing="drop")
    monkeypatch.setattr(filetable, "MEMORY", 1000)
    first, read = pieces(table), []
    original = filetable.coded
    monkeypatch.setattr(filetable, "coded", lambda *given: read.append(1) or original(*given))
    np.testing.assert_array_equal(pieces(table).X, first.X)
    assert read


def test_no_more_of_x_is_made_at_a_time_than_stays_in_cache(path, monkeypatch):
    """However few columns of the table it comes from."""
    for name in ("_BYTES", "_WIDE"):
        monkeypatch.setattr(coded, name, 1 << 12)
    monkeypatch.setattr(tables, "_LEAST_BYTES", 1 << 11)
    sizes = []
    expanded = Coded.expanded
    monkeypatch.setattr(Coded, "expanded", lambda rows: sizes.append(8 * len(rows) * 4) or expanded(rows))
    monkeypatch.setattr(kept, "MEMORY", 0)  # so that the held-out rows' moments are made as well
    table = open_table(path, "y", missing="drop", test_size=0.4)
    for _ in range(2):
        assert sum(len(piece.X) for piece in table.pieces(8)) == len(table)
    assert table.held_out.seen.moments.columns == 4
    for X, _, _ in open_table(path, exclude=["y"], missing="drop").matrices():
        assert X.nbytes <= 1 << 12
    assert len(sizes) > 30
    assert max(sizes) <= 1 << 12
