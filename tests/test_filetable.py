"""A table in files trains as its rows in memory do, to the bit; what becomes of its columns; what is noted on the way."""

import contextlib
import csv
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import gdcore
from gdcore import spectrum
from gdcore.losses import LOSSES
from gdcore.rows import tables
from gdcore.rows.columns import Encoding
from gdcore.rows.files import kept, sources
from gdcore.rows.filetable import TableWarning
from gdcore.rows.glance import Glance
from gdcore.rows.open_table import open_table
from gdcore.rows.split import held_out, uniform
from gdcore.rows.tables import Piece
from gdcore.scores import of_moments

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

N = 70_000  # more than a batch of any reader
NAMES = ["size", "age", "new", "town"]
TOWNS = ("Bonn", "Köln", "Trier", "Ulm")


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(0)
    size, age = rng.normal(50, 20, N), rng.integers(0, 90, N)
    new, town = rng.random(N) < 0.3, rng.choice(4, N, p=[0.2, 0.1, 0.3, 0.4])
    price = 3 * size - age + 20 * new + np.array([5.0, -3.0, 0.0, 9.0])[town] + rng.normal(0, 10, N)
    return {
        "size": size, "age": age, "new": new, "town": np.array(TOWNS)[town], "price": price, "dear": price > 150,
        "class": np.digitize(price, [100, 200]), "w": rng.integers(0, 5, N).astype(float), "amount": np.exp(price / 100),
    }  # fmt: skip


def target_of(loss):
    own = {"binary": "dear", "classes": "class", "positive": "amount", "nonnegative": "amount"}
    return own.get(LOSSES[loss]().targets, "price")


def encoded(columns, rows=slice(None)):
    """X by a plain loop: the commonest town has no column."""
    X = []
    for size, age, new, town in zip(*(columns[name][rows] for name in NAMES), strict=True):
        X.append([size, age, 1.0 if new else 0.0, *(1.0 if town == value else 0.0 for value in ("Bonn", "Köln", "Trier"))])
    return np.array(X)


def write_csv(path, columns):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))


def write(folder, form, columns):
    """The table in a form; what `open_table` is to be given."""
    if form == "csv":
        write_csv(folder / "t.csv", columns)
        return folder / "t.csv"
    if form.startswith("parquet"):
        options = {
            "parquet": {},
            "parquet, small groups": {"row_group_size": 1234},
            "parquet, small pages": {"data_page_size": 512},
        }
        pq.write_table(pa.table(columns), folder / "t.parquet", **options[form])
        return folder / "t.parquet"
    (folder / "d").mkdir()
    cuts = [0, 1, 30_000, 30_001, N]
    for i in range(4):
        part = {name: values[cuts[i] : cuts[i + 1]] for name, values in columns.items()}
        if i % 2:
            pq.write_table(pa.table(part), folder / "d" / f"{i}.parquet")
        else:
            write_csv(folder / "d" / f"{i}.csv", part)
    return folder / "d"


FORMS = ["csv", "parquet", "parquet, small groups", "parquet, small pages", "several files"]


@pytest.fixture(scope="module")
def files(columns, tmp_path_factory):
    return {form: write(tmp_path_factory.mktemp("files"), form, columns) for form in FORMS}


@pytest.fixture(scope="module")
def X(columns):
    return encoded(columns)


def same(one, other):
    assert one.model.weights.tobytes() == other.model.weights.tobytes()
    assert np.asarray(one.model.bias).tobytes() == np.asarray(other.model.bias).tobytes()
    assert (one.status, one.epochs) == (other.status, other.epochs)
    assert one.loss == pytest.approx(other.loss, rel=1e-10)  # of a table it may be the second moments' own


@pytest.mark.parametrize("keeping", ["memory", "folder", "nothing"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_trains_as_its_rows(files, columns, X, form, keeping, tmp_path, monkeypatch):
    if keeping != "memory":
        monkeypatch.setattr(kept, "MEMORY", 0)
    cache = tmp_path if keeping == "folder" else None
    for target, loss in (("price", "mse"), ("dear", "logistic")):
        table = open_table(files[form], target, features=NAMES, cache=cache)
        assert table.names == ["size", "age", "new", "town=Bonn", "town=Köln", "town=Trier"]
        assert table.loss.name == loss
        assert table.kept == (keeping != "nothing")
        run = gdcore.fit(table, loss=loss, epochs=8)
        same(run, gdcore.fit(X, columns[target].astype(float), loss=loss, epochs=8))
        assert table.rows == len(table) == N
        del table, run
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::gdcore.UniquenessWarning")  # targets with few values
@pytest.mark.parametrize(
    "options", [{}, {"weights": "w"}, {"test_size": 0.3, "seed": 5}, {"weights": "w", "test_size": 0.2}], ids=str
)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_as_its_rows(files, columns, X, loss, options):
    target = target_of(loss)
    table = open_table(files["parquet"], target, features=NAMES, loss=loss, **options)
    rows = ~held_out(0, N, options.get("test_size", 0.0), options.get("seed", 0))
    s = columns["w"][rows] if "weights" in options else None
    Y = columns[target].astype(float)
    run = gdcore.fit(table, loss=loss, epochs=6)
    same(run, gdcore.fit(X[rows], Y[rows], loss=loss, epochs=6, sample_weight=s))
    piece = table.read()
    np.testing.assert_array_equal(piece.X, X[rows])
    np.testing.assert_array_equal(piece.Y[:, 0], Y[rows])
    if s is not None:
        np.testing.assert_array_equal(piece.sample_weight, s)
    if "test_size" in options:
        held = table.held_out.read()
        np.testing.assert_array_equal(held.X, X[~rows])
        np.testing.assert_array_equal(held.Y[:, 0], Y[~rows])
        assert len(table.held_out) == (~rows).sum()
    else:
        assert table.held_out is None


@pytest.mark.parametrize("form", ["csv", "parquet", "several files"])
@pytest.mark.parametrize("missing", ["drop", "mean"])
@pytest.mark.parametrize("test_size", [0.0, 0.25])
def test_missing_values(columns, tmp_path, form, missing, test_size, monkeypatch):
    monkeypatch.setattr(sources, "ROWS", 10_000)
    rng = np.random.default_rng(3)
    gone = {name: rng.random(N) < 0.1 for name in ("size", "age", "new")} | {"town": rng.random(N) < 0.1 * (missing == "drop")}
    holes = {
        name: np.array([None if g else v for v, g in zip(columns[name].tolist(), gone[name], strict=True)], object)
        for name in NAMES
    }
    table = open_table(
        write(tmp_path, form, holes | {"price": columns["price"]}), "price", missing=missing, test_size=test_size, seed=2
    )
    rows = ~held_out(0, N, test_size, 2)
    if missing == "drop":
        whole = ~np.any(list(gone.values()), axis=0)
        X, rows = encoded(columns, whole), rows[whole]
        Y = columns["price"][whole]
    else:
        filled = dict(columns)
        for column in table.encoding.columns[:3]:
            known = columns[column.name][rows & ~gone[column.name]].astype(float)
            assert column.fill == pytest.approx(known.mean(), rel=1e-12)  # of the rows that train, and no others
            filled[column.name] = np.where(gone[column.name], column.fill, columns[column.name].astype(float))
        X, Y = encoded(filled), columns["price"]
        X[:, 2] = filled["new"]
    piece = table.read()
    np.testing.assert_array_equal(piece.X, X[rows])
    np.testing.assert_array_equal(piece.Y[:, 0], Y[rows])
    assert table.dropped == (N - whole.sum() if missing == "drop" else 0)
    same(gdcore.fit(table), gdcore.fit(X[rows], Y[rows]))


def test_means_do_not_depend_on_how_a_file_is_cut(columns, tmp_path, monkeypatch):
    holes = {
        "size": np.where(np.arange(N) % 7 == 0, np.nan, columns["size"] * 1e3 ** columns["size"].clip(0, 2)),
        "y": columns["price"],
    }
    means = set()
    for rows in (1 << 16, 1000, 77):
        monkeypatch.setattr(sources, "ROWS", rows)
        pq.write_table(pa.table(holes), tmp_path / "t.parquet", row_group_size=rows * 3)
        means.add(open_table(tmp_path / "t.parquet", "y", missing="mean").encoding.columns[0].fill)
    assert len(means) == 1


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f8", ">f8", "f4", "i8"])
def test_npy_trains_as_its_rows(tmp_path, order, dtype):
    array = np.asarray((np.random.default_rng(0).normal(size=(N, 5)) * 100).astype(dtype), order=order)
    np.save(tmp_path / "t.npy", array)
    table = open_table(tmp_path / "t.npy", "3")
    assert table.names == ["0", "1", "2", "4"]
    plain = array.astype(np.float64)
    same(gdcore.fit(table), gdcore.fit(np.ascontiguousarray(plain[:, [0, 1, 2, 4]]), np.ascontiguousarray(plain[:, 3])))


def test_the_spectrum_and_predictions(files, columns, X):
    for form in ("csv", "several files"):
        table = open_table(files[form], features=NAMES)
        found, wanted = spectrum(table), spectrum(X)
        assert (found.largest, found.smallest, found.lr_limit) == (wanted.largest, wanted.smallest, wanted.lr_limit)
        model = gdcore.fit(X, columns["price"]).model
        np.testing.assert_array_equal(model.predict(table), model.predict(X))
    network = gdcore.MLP([6, 3, 1])
    np.testing.assert_array_equal(network.predict(table.read().X), network.predict(X))


def test_integer_targets_and_labels(files, columns):
    table = open_table(files["parquet"], "age", features=["size"])
    assert table.labels == ()
    assert table.read().Y.dtype == np.float64
    table = open_table(files["parquet"], "class", features=["size"], loss="softmax")
    assert (table.labels, table.classes) == ((0, 1, 2), 3)
    np.testing.assert_array_equal(table.read().Y[:, 0], columns["class"])
    table = open_table(files["csv"], "town", features=["size"])
    assert (table.labels, table.classes, table.loss.name) == (TOWNS, 4, "softmax")
    np.testing.assert_array_equal(np.array(TOWNS)[table.read().Y[:, 0].astype(int)], columns["town"])
    table = open_table(files["csv"], "dear", features=["size"])
    assert (table.labels, table.loss.name) == ((False, True), "logistic")


@pytest.mark.parametrize("labels", [(3, 7), (-1.5, 2.5), (0, 1)])
def test_two_numbers_are_classes_unless_a_loss_says_otherwise(tmp_path, labels):
    y = np.array(labels)[np.arange(50) % 3 % 2]
    for name, write_it in (("t.csv", write_csv), ("t.parquet", lambda path, c: pq.write_table(pa.table(c), path))):
        write_it(tmp_path / name, {"x": np.arange(50.0), "y": y})
        table = open_table(tmp_path / name, "y")
        assert (table.labels, table.loss.name) == (labels, "logistic")
        np.testing.assert_array_equal(table.read().Y[:, 0], y == labels[1])
        table = open_table(tmp_path / name, "y", loss="mse")
        np.testing.assert_array_equal(table.read().Y[:, 0], y)


# Passes ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch):
    """How often a source has been decoded to its end, and begun."""
    counted = {"begun": 0, "ended": 0}
    original = sources.File.batches

    def batches(self, names):
        counted["begun"] += 1
        yield from original(self, names)
        counted["ended"] += 1

    monkeypatch.setattr(sources.File, "batches", batches)
    return counted


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("test_size", [0.0, 0.2])
def test_one_pass_is_all_for_squared_error(files, passes, form, test_size, monkeypatch):
    monkeypatch.setattr(kept, "MEMORY", 0)
    table = open_table(files[form], "price", features=["size", "age", "new"], loss="mse", test_size=test_size)
    run = gdcore.fit(table)
    assert run.status == "converged"
    assert table.seen.complete
    assert passes == {"begun": 1, "ended": 1}


@pytest.mark.filterwarnings("ignore::gdcore.UniquenessWarning")  # targets with few values
@pytest.mark.parametrize("loss", ["mse", "logistic", "quantile"])
def test_a_table_that_is_kept_is_decoded_once(files, passes, loss):
    table = open_table(files["csv"], target_of(loss), features=NAMES, loss=loss, test_size=0.2, missing="drop")
    gdcore.fit(table, loss=loss, epochs=5)
    table.held_out.read()
    assert passes == {"begun": 1, "ended": 1}


def test_a_pass_that_is_left_leaves_nothing(files, columns, X, monkeypatch):
    monkeypatch.setattr(kept, "MEMORY", 0)
    # So that a thread that is a few pieces ahead is not at the end.
    monkeypatch.setattr(tables, "PIECE_BYTES", 1 << 16)
    monkeypatch.setattr(tables, "_LEAST_BYTES", 1 << 16)
    table = open_table(files["csv"], "price", features=NAMES, test_size=0.2, seed=1)
    for _ in range(3):
        pieces = table.pieces(1)
        next(pieces)
        pieces.close()
        blocks = table.blocks()
        next(blocks)
        next(blocks)
        blocks.close()
        assert not table.seen.complete
        assert [thread for thread in threading.enumerate() if thread.name == "gdcore-ahead"] == []
    run = gdcore.fit(table)
    rows = ~held_out(0, N, 0.2, 1)
    same(run, gdcore.fit(X[rows], columns["price"][rows]))
    assert table.seen.moments.rows == rows.sum()
    assert table.held_out.seen.moments.rows == (~rows).sum()
    assert table.rows == rows.sum()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), gdcore.TableError("wrong here"), MemoryError()])
def test_what_goes_wrong_while_reading_arrives(files, monkeypatch, error):
    monkeypatch.setattr(kept, "MEMORY", 0)
    original = sources.File.batches

    def batches(self, names):
        for i, batch in enumerate(original(self, names)):
            if i == 1:
                raise error
            yield batch

    table = open_table(files["parquet, small groups"], "price", features=["size"], loss="mse")
    monkeypatch.setattr(sources.File, "batches", batches)
    with pytest.raises(type(error)):
        for _ in table.pieces(1):
            pass
    if isinstance(error, KeyboardInterrupt):
        with contextlib.suppress(KeyboardInterrupt):
            assert gdcore.fit(table).status == "interrupted"
    else:
        with pytest.raises(type(error)):
            gdcore.fit(table)
    assert [thread for thread in threading.enumerate() if thread.name == "gdcore-ahead"] == []


# What is noted on the way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_the_rows_that_are_held_out(files, columns, X, weighted, monkeypatch):
    monkeypatch.setattr(kept, "MEMORY", 0)  # they save another decoding: of rows that stay in memory none are made
    options = {"weights": "w"} if weighted else {}
    table = open_table(files["several files"], "price", features=NAMES, test_size=0.3, seed=4, **options)
    run = gdcore.fit(table)
    rows = held_out(0, N, 0.3, 4)
    s = columns["w"][rows] if weighted else np.ones(rows.sum())
    Z = np.column_stack([X, columns["price"]])[rows]
    mean = s @ Z / s.sum()
    moments = table.held_out.seen.moments
    assert (moments.total, moments.columns) == (s.sum(), 6)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-11)
    np.testing.assert_allclose(moments.scatter, ((Z - mean) * s[:, None]).T @ (Z - mean), rtol=1e-8, atol=1e-5)
    residual = columns["price"][rows] - run.model.predict(X[rows])
    scores = of_moments(moments, run.model)
    assert scores.loss == pytest.approx(s @ residual**2 / s.sum(), rel=1e-9)
    own = table.seen.moments
    t = columns["w"][~rows] if weighted else np.ones((~rows).sum())
    assert own.columns == 1
    assert own.mean[0] == pytest.approx(t @ columns["price"][~rows] / t.sum(), rel=1e-12)


@pytest.mark.parametrize(("target", "loss", "memory"), [("dear", "logistic", 0), ("price", "mse", kept.MEMORY)])
def test_else_the_target_only_is_noted(files, target, loss, memory, monkeypatch):
    monkeypatch.setattr(kept, "MEMORY", memory)
    table = open_table(files["parquet"], target, features=NAMES, test_size=0.3)
    gdcore.fit(table, loss=loss, epochs=2)
    assert table.held_out.seen.moments.columns == 1


def test_a_sample_does_not_depend_on_how_the_rows_come():
    X, Y = np.random.default_rng(0).normal(size=(5000, 3)), np.arange(5000.0)[:, None]
    samples = []
    for step in (5000, 1, 77, 499):
        glance = Glance()
        glance.size = 200
        for start in range(0, 5000, step):
            glance.take(Piece(X[start : start + step], Y[start : start + step], None))
        samples.append(glance.sample)
    chosen = samples[0].Y[:, 0].astype(int)
    assert len(chosen) == 200
    assert (np.diff(chosen) > 0).all()
    assert set(chosen) == set(np.argsort(uniform(0, 5000, 1))[:200])
    for sample in samples:
        np.testing.assert_array_equal(sample.Y[:, 0], chosen)
        np.testing.assert_array_equal(sample.X, X[chosen])


def test_a_sample_of_a_few_rows_is_all_of_them():
    glance = Glance()
    glance.size = 10
    glance.take(Piece(np.ones((3, 2)), np.arange(3.0)[:, None], None))
    np.testing.assert_array_equal(glance.sample.Y[:, 0], [0, 1, 2])


def test_uniform_is_the_same_however_it_is_asked_for():
    whole = uniform(0, 10_000, 3)
    for step in (1, 7, 4096):
        parts = [uniform(start, min(step, 10_000 - start), 3) for start in range(0, 10_000, step)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    far = 2**40
    np.testing.assert_array_equal(uniform(far, 10, 3)[4:], uniform(far + 4, 6, 3))


def test_uniform_is_splitmix64():
    """Its published form, in Python's integers."""
    mask, gamma = 2**64 - 1, 0x9E3779B97F4A7C15

    def number(row, seed):
        z = ((row + 1) * gamma + (seed + 1) * 0xD1B54A32D192ED03) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53

    for seed in (0, 1, 12345, 2**63):
        assert uniform(5, 20, seed).tolist() == [number(row, seed) for row in range(5, 25)]


def test_uniform_is_uniform_and_seeds_differ():
    u = np.stack([uniform(0, 100_000, seed) for seed in range(6)])
    assert u.min() >= 0
    assert u.max() < 1
    for one in u:  # the expected counts' standard deviation is 30: six of them
        assert abs(np.histogram(one, 100, (0, 1))[0] - 1000).max() < 190
    limit = 5 / np.sqrt(100_000)
    assert abs(np.corrcoef(u) - np.eye(6)).max() < limit
    assert abs(np.corrcoef(u[0, :-1], u[0, 1:])[0, 1]) < limit


def test_the_share_that_is_held_out():
    for share in (0.0, 0.01, 0.2, 0.9):
        count = held_out(0, 100_000, share, 7).sum()
        assert abs(count - share * 100_000) <= 5 * np.sqrt(100_000 * share * (1 - share))
    assert (held_out(0, 1000, 0.2, 0) <= held_out(0, 1000, 0.5, 0)).all()  # a larger share holds out more of the same


# Messages that Python's caller meets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"missing": "ignore"},
            "missing must be error, drop, mean, median, indicator or category, or COLUMN=one of them, found 'ignore'",
        ),
        ({"test_size": 1}, "test_size must be at least 0 and below 1, found 1"),
        ({"test_size": -0.1}, "test_size must be at least 0 and below 1, found -0.1"),
        ({"test_size": float("nan")}, "test_size must be at least 0 and below 1, found nan"),
        ({"loss": "hinge"}, "loss must be .*, found 'hinge'"),
        ({"delimiter": ";;"}, "delimiter must be one ASCII character"),
        ({"decimal": "5"}, "decimal must be one ASCII character"),
    ],
)
def test_options_that_are_wrong(files, options, said):
    with pytest.raises(ValueError, match=said):
        open_table(files["csv"], "price", **options)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        *(
            ({name: "size"}, TypeError, f"{name} must be a list of names, found the text 'size': write ['size']")
            for name in ("features", "exclude", "categorical", "dates")
        ),
        ({"na": "-999"}, TypeError, "na must be a list of texts or numbers, found the text '-999': write ['-999']"),
        ({"na_keep": "NA"}, TypeError, "na_keep must be a list of texts, found the text 'NA': write ['NA']"),
        ({"exclude": None}, TypeError, "exclude must be a list of names, found None"),
        ({"features": ["size", 3]}, TypeError, "features[1] must be a text, found 3"),
        ({"na": ["?", None]}, TypeError, "na[1] must be a text, found None"),
        ({"na": [True]}, TypeError, "na[0] must be a text, found True"),
        ({"target": 2}, TypeError, "target must be the name of a column, found 2"),
        ({"target": ["price"]}, TypeError, "target must be the name of a column, found ['price']"),
        ({"weights": 2}, TypeError, "weights must be the name of a column, found 2"),
        ({"split": 0.2}, TypeError, "split must be the name of a column, found 0.2"),
        ({"missing": None}, TypeError, "missing must be a text such as 'median,drop', or a dict of columns, found None"),
        ({"missing": []}, TypeError, "missing must be a text such as 'median,drop', or a dict of columns, found []"),
        ({"missing": {1: "drop"}}, TypeError, "missing must be a dict of columns by their names, found 1"),
        ({"test_size": "0.2"}, TypeError, "test_size must be a number, found '0.2'"),
        ({"test_size": None}, TypeError, "test_size must be a number, found None"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, found 1.5"),
        ({"seed": -1}, ValueError, "seed must be at least 0, found -1"),
        (
            {"delimiter": 5}, TypeError,
            "delimiter must be one ASCII character, no letter, digit, sign or quote, or blanks, found 5",
        ),
        ({"decimal": 5}, TypeError, "decimal must be one ASCII character, no letter, digit, sign or quote, found 5"),
        ({"comment": 5}, TypeError, "comment must be what lines begin with that are none of the table, as '#', found 5"),
    ],
)  # fmt: skip
def test_options_of_another_kind(files, options, error, said):
    with pytest.raises(error, match=f"^{re.escape(said)}$"):
        open_table(files["csv"], **{"target": "price"} | options)


def test_a_number_that_stands_for_a_missing_value(tmp_path):
    write_csv(tmp_path / "t.csv", {"x": np.array([1, 2, -999, 9]), "y": np.array([1, 2, 3, 9])})
    gone = [open_table(tmp_path / "t.csv", "y", missing="drop", na=na).read().X[:, 0].tolist() for na in (["-999"], [-999])]
    assert gone == [[1, 2, 9]] * 2


def test_warnings_come_once_and_to_the_caller(tmp_path):
    write_csv(tmp_path / "t.csv", {"c": np.ones(50, int), "x": np.arange(50), "y": np.arange(50) ** 2})
    table = open_table(tmp_path / "t.csv", "y")
    with pytest.warns(gdcore.TableWarning, match="column c is 1 in every row, and so tells nothing"):
        gdcore.fit(table, l2=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gdcore.fit(table, l2=1e-3)
        gdcore.fit(table)  # that the column depends on the bias is what has been told
    assert len(table.notes) == 1
    write_csv(tmp_path / "t.csv", {"z": 2 * np.arange(50) + 1, "x": np.arange(50), "y": np.arange(50) ** 2})
    with pytest.warns(gdcore.ConditionWarning, match="column x is a multiple of z and a constant") as caught:
        gdcore.fit(open_table(tmp_path / "t.csv", "y"))
    assert [warning.filename for warning in caught] == [__file__]


def test_progress_is_told(files):
    table = open_table(files["csv"], "price", features=["size"])
    told = []
    table.progress = told.append
    table.read()
    assert sum(told) == N


def test_huge_finite_values_are_no_infinities(tmp_path):
    write_csv(tmp_path / "t.csv", {"x": np.array([1e308, 1.7e308, -1e308, 1e308] * 5), "y": np.arange(20)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_table(tmp_path / "t.csv", "y").read().X[:2, 0].tolist() == [1e308, 1.7e308]


# Memory ----------------------------------------------------------------------------------------------------------------------

# VmHWM begins anew with a program; ru_maxrss would be that of the process it was started from.
_PEAK = """
import re, sys
import gdcore
path, target, loss = sys.argv[1:]
table = gdcore.open_table(path, target, loss=loss, test_size=0.1)
run = gdcore.fit(table, loss=loss, epochs=2, n_threads=2)
print(table.rows, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
"""


def peak(path, target, loss):
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path), target, loss],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    rows, size = map(int, done.stdout.split())
    return rows, size


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell a process's peak")
@pytest.mark.parametrize("form", ["one row group", "many row groups", "csv"])
def test_memory_stays_small(tmp_path, form):
    """A table that is 0.5 GB decoded: 3,000,000 × 21, of few distinct values, so that the file is quickly made."""
    rng = np.random.default_rng(0)
    count, n = 20, 3_000_000
    if form == "csv":
        n = 1_000_000
        lines = b"".join(b",".join(b"%.1f" % v for v in row) + b"\n" for row in rng.integers(0, 9, (1000, count + 1)) / 2)
        with open(tmp_path / "t.csv", "wb") as file:
            file.write(b",".join(b"x%d" % j for j in range(count)) + b",y\n")
            for _ in range(n // 1000):
                file.write(lines)
        path = tmp_path / "t.csv"
    else:
        path = tmp_path / "t.parquet"
        block = pa.table(
            {f"x{j}": np.tile(rng.integers(0, 9, 1000) / 2, 50) for j in range(count)} | {"y": np.arange(50_000.0) % 17}
        )
        options = {"compression": "none"}
        if form == "one row group":
            options["write_batch_size"] = 50_000
        with pq.ParquetWriter(path, block.schema, **options) as writer:
            if form == "one row group":
                writer.write_table(pa.concat_tables([block] * (n // 50_000)), row_group_size=n)
            else:
                for _ in range(n // 50_000):
                    writer.write_table(block)
    rows, size = peak(path, "y", "mse")
    assert abs(rows - 0.9 * n) < 5000
    assert size < 512 << 20, f"{size >> 20} MB"


# Ctrl-C, and threads that cannot be started or that end --------------------------------------------------------------------

LARGE = """
import os, random, signal, sys, threading, time, warnings
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
import gdcore, gdcore.rows.files.kept

signal.signal(signal.SIGINT, signal.default_int_handler)
gdcore.rows.files.kept.MEMORY = 1000  # as for a table larger than memory: every epoch decodes it
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(30_000, 6))
pq.write_table(pa.table({f"c{i}": X[:, i] for i in range(6)} | {"y": X[:, 0]}), "t.parquet", row_group_size=10_000)
"""

INTERRUPTED = f"""
{LARGE}
lost, ended = [], []
sys.unraisablehook = lambda found: lost.append(f"{{found.exc_value!r}} in {{found.object!r}}")
moments = random.Random(7)
gdcore.fit(gdcore.open_table("t.parquet", "y", loss="mse"))

def strike(delay, answered):
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGINT)
    if not answered.wait(30):
        lost.append("not answered")
        os.kill(os.getpid(), signal.SIGINT)

for i in range(30):
    answered = threading.Event()
    striker = threading.Thread(target=strike, args=(moments.uniform(0, 0.12), answered))
    try:
        try:
            striker.start()
            table = gdcore.open_table("t.parquet", "y", loss=("mse", "huber", "mae")[i % 3])
            run = gdcore.fit(table, lr=1e-9, epochs=10**6, method="stream")
            assert run.status == "interrupted", run
            ended.append("run")
        except KeyboardInterrupt:
            ended.append("raised")
        answered.set()
        striker.join()
    except KeyboardInterrupt:  # it came as the last one was answered
        answered.set()
        striker.join()
    until = time.monotonic() + 20
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.005)
    left = [thread.name for thread in threading.enumerate()][1:]
    assert not left, left
assert not lost, lost
print(len(ended), "run" in ended)
"""


def test_ctrl_c_leaves_no_thread_and_is_never_lost(python):
    done = python(INTERRUPTED, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "30 True\n", "")


def test_the_program_ends_while_a_daemon_thread_reads(python):
    program = f"""
{LARGE}
def forever():
    gdcore.fit(gdcore.open_table("t.parquet", "y", loss="huber"), lr=1e-9, epochs=10**6, method="stream")

for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(float(sys.argv[1]))
"""
    for seconds in (0.2, 0.3, 0.4, 0.5):
        assert python(program, seconds).returncode == 0


def test_the_program_ends_while_a_table_is_read_half(python):
    program = f"""
{LARGE}
pieces = gdcore.open_table("t.parquet", "y", loss="mse").pieces(1)
next(pieces)
"""
    done = python(program)
    assert (done.returncode, done.stderr) == (0, "")


def test_at_the_end_of_the_program_tables_are_still_read(python):
    program = f"""
import atexit
{LARGE}
atexit.register(lambda: print(gdcore.fit(gdcore.open_table("t.parquet", "y", loss="mse")).model.weights.round(6)[0]))
"""
    done = python(program)
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr


def test_without_threads_tables_are_read_here(files, monkeypatch):
    monkeypatch.setattr(kept, "MEMORY", 0)
    options = {"target": "price", "features": NAMES, "test_size": 0.2, "seed": 1}
    wanted = gdcore.fit(open_table(files["csv"], **options))

    def none_left(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    table = open_table(files["csv"], **options)
    pieces = table.pieces(1)
    next(pieces)
    pieces.close()
    same(gdcore.fit(table), wanted)
    assert table.held_out.seen.moments.rows + table.seen.moments.rows == N


def test_a_pass_ends_the_one_before_that_was_left(files, monkeypatch):
    """Both would note what they see in the same place."""
    monkeypatch.setattr(kept, "MEMORY", 0)
    monkeypatch.setattr(tables, "PIECE_BYTES", 1 << 16)
    monkeypatch.setattr(tables, "_LEAST_BYTES", 1 << 16)
    table = open_table(files["csv"], "price", features=NAMES)
    left = table.pieces(1)
    next(left)  # its thread waits for room
    rows = sum(len(piece.X) for piece in table.pieces(1))
    assert rows == table.seen.moments.rows == N
    with pytest.raises(RuntimeError, match="another pass over the table has begun"):
        list(left)


def test_a_table_that_has_been_read_is_pickled(files):
    table = open_table(files["csv"], "price", features=NAMES)
    run = gdcore.fit(table)
    same(gdcore.fit(pickle.loads(pickle.dumps(table))), run)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forked_process_is_told_that_nobody_reads(python):
    program = f"""
{LARGE}
X = np.tile(X, (10, 1))  # of 30 parts, more than are read ahead
pq.write_table(pa.table({{f"c{{i}}": X[:, i] for i in range(6)}} | {{"y": X[:, 0]}}), "t.parquet", row_group_size=10_000)
pieces = gdcore.open_table("t.parquet", "y", loss="mse").pieces(1)
next(pieces)
child = os.fork()
if not child:
    try:
        list(pieces)
    except RuntimeError as error:
        os._exit(7 if "forked" in str(error) else 1)
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(list(pieces)) > 0)
"""
    done = python(program)
    assert (done.returncode, done.stdout) == (0, "7 True\n"), done.stderr


def test_a_column_for_which_most_rows_are_left_out_is_told(tmp_path):
    rows = [("" if i % 10 else 2 * i, "" if i % 3 == 0 else i % 7, "a" if i % 2 else "", 3 * i) for i in range(400)]
    head = "x,z,k,y"

    def told(rows, **options):
        text = head + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
        (tmp_path / "t.csv").write_text(text)
        table = gdcore.open_table(tmp_path / "t.csv", "y", missing="drop", **options)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always", TableWarning)
            table.read()
            for _ in table.pieces(1):  # not told twice
                pass
        return [str(warning.message) for warning in found], table

    # x: 360 of 400; z: 134; k: 200. All known: i % 10 == 0, i % 3 != 0 and i odd: none.
    with pytest.raises(
        gdcore.TableError, match=r"every row has a missing value, 360 of them in column x, 200 of them in column k;"
    ):
        told(rows)
    known = sum(i % 10 == 0 and i % 3 != 0 for i in range(400))
    found, table = told(rows, exclude=["k"])
    gone = 400 - known
    what = f"t.csv: {gone} of 400 rows are left out because a value is missing"
    assert found == [f"{what}, 360 of them in column x; exclude=['x'] leaves columns out instead"]
    assert (table.gaps, table.dropped) == ({"x": 360, "z": 134}, gone)
    assert told(rows, exclude=["x", "k"])[0] == []  # a third of the rows: they are counted, as always
    rare = [(x, z, k, y if i % 5 == 0 else "") for i, (x, z, k, y) in enumerate(rows)]
    found, table = told(rare, exclude=["x", "k"])
    what = f"t.csv: {table.dropped} of 400 rows are left out because a value is missing"
    assert found == [f"{what}, 320 of them in column y"]


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_features_are_filled_and_rows_without_a_target_left_out(tmp_path, form, share):
    rng = np.random.default_rng(0)
    n = 300
    x, town, y = rng.normal(3, 1, n).round(6), rng.choice(["Ulm", "Bonn", "Kiel"], n), rng.normal(0, 1, n).round(6)
    has_x, has_town, has_y = (rng.random(n) > gone for gone in (0.2, 0.1, 0.15))
    path = tmp_path / f"t.{form}"
    if form == "csv":
        rows = zip(np.where(has_x, x, np.nan), np.where(has_town, town, ""), np.where(has_y, y, np.nan), strict=True)
        path.write_text("x,town,y\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    else:
        columns = {"x": pa.array(x, mask=~has_x), "town": pa.array(town, mask=~has_town), "y": pa.array(y, mask=~has_y)}
        pq.write_table(pa.table(columns), path)
    table = gdcore.open_table(path, "y", missing="mean", test_size=share)
    rows = table.read()
    trains = has_y & ~held_out(0, n, share, 0)
    mean = x[has_x & trains].mean()
    assert table.dropped == (~has_y).sum()
    assert np.array_equal(rows.Y[:, 0], y[trains])
    np.testing.assert_allclose(rows.X[:, table.names.index("x")], np.where(has_x, x, mean)[trains], rtol=1e-13)
    values = np.where(has_town, town, "missing")
    base = table.encoding.columns[1].base
    assert set(table.names) == {"x"} | {f"town={value}" for value in {"Ulm", "Bonn", "Kiel", "missing"} - {base}}
    for value in {"Ulm", "Bonn", "Kiel", "missing"} - {base}:
        assert np.array_equal(rows.X[:, table.names.index(f"town={value}")], (values == value)[trains])


def test_a_value_that_is_called_missing_is_another_category(tmp_path):
    (tmp_path / "t.csv").write_text("town,y\n" + "".join(f"{['Ulm', 'missing', '', 'Ulm'][i % 4]},{i}\n" for i in range(40)))
    table = gdcore.open_table(tmp_path / "t.csv", "y", missing="mean")
    assert table.names == ["town=(missing)", "town=missing"]
    assert table.read().X.sum(axis=0).tolist() == [10, 10]
    assert Encoding.of_card(table.encoding.card()) == table.encoding


def test_classes_that_are_missing_are_left_out_where_features_are_filled(tmp_path):
    (tmp_path / "t.csv").write_text(
        "x,y\n" + "".join(f"{i if i % 3 else ''},{['a', 'b', ''][i % 5 % 3]}\n" for i in range(50))
    )
    table = gdcore.open_table(tmp_path / "t.csv", "y", missing="mean")
    assert (table.labels, len(table.read().Y), table.dropped) == (("a", "b"), 40, 10)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_marks_that_mean_a_missing_value(tmp_path, form):
    x, k = [1.5, -999.0, 3.0, 4.0, -999.0, 7.0] * 10, ["a", "?", "b", "NA", "b", "-999"] * 10
    i, y = [7, -999, 3, 4, 5, 6] * 10, list(range(60))
    path = tmp_path / f"t.{form}"
    if form == "csv":
        path.write_text("x,k,i,y\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in zip(x, k, i, y, strict=True)))
    else:
        pq.write_table(pa.table({"x": x, "k": k, "i": pa.array(i, pa.int16()), "y": y}), path)
    table = gdcore.open_table(path, "y", missing="drop", na=["?", "-999", "1e99", "0.5"], na_keep=["NA"])
    rows = table.read()
    assert rows.Y[:, 0].tolist() == [n for n in range(60) if n % 6 in (0, 2, 3)]
    assert rows.X[:3, [table.names.index("x"), table.names.index("i")]].tolist() == [[1.5, 7], [3, 3], [4, 4]]
    column = table.encoding.columns[1]
    assert sorted([column.base, *column.values]) == ["NA", "a", "b"]
    assert table.gaps == {"x": 20, "k": 20, "i": 10}
    assert Encoding.of_card(table.encoding.card()) == table.encoding


def test_a_question_mark_among_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{'?' if n % 9 == 0 else n},{n}\n" for n in range(40)))
    assert gdcore.open_table(tmp_path / "t.csv", "y", missing="drop", na=["?"]).read().X.shape == (35, 1)
    with pytest.raises(
        gdcore.TableError, match=r"line 2, column x: '\?' is not a number; na=\['\?'\] says that it is a missing"
    ):
        gdcore.open_table(tmp_path / "t.csv", "y", missing="drop")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_codes_that_are_categories(tmp_path, form):
    zips, path = ["01234", "10115", "20095", "10115"] * 12, tmp_path / f"t.{form}"
    if form == "csv":
        path.write_text("zip,size,y\n" + "".join(f"{code},{i % 3 * 10} kg,{i}\n" for i, code in enumerate(zips)))
    else:
        sizes = [f"{i % 3 * 10} kg" for i in range(48)]
        pq.write_table(pa.table({"zip": [int(code) for code in zips], "size": sizes, "y": range(48)}), path)
        zips = [str(int(code)) for code in zips]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = gdcore.open_table(path, "y", categorical=["zip", "size"])
        rows = table.read()
    column = table.encoding.columns[0]
    assert (column.kind, column.base, column.values) == ("category", zips[1], (zips[0], zips[2]))
    for value in column.values:
        assert rows.X[:, table.names.index(f"zip={value}")].tolist() == [float(code == value) for code in zips]
    assert table.encoding.columns[1].kind == "category"
    with pytest.raises(gdcore.TableError, match=r"has no column zp \(categorical\); did you mean zip\?"):
        gdcore.open_table(path, "y", categorical=["zp"])
