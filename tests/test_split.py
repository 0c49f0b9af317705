"""Which rows test: by time, by a column, drawn of each class alike, and in folds; wherever the rows come in pieces."""

import numpy as np
import pytest

import gdcore
from gdcore.rows.split import Fold, Order, held_out

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")

N = 300


def frame():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=N), "town": rng.choice(["a", "b", "c"], N, p=[0.8, 0.15, 0.05])})
    table["y"] = table.x + rng.normal(size=N)
    table["day"] = rng.permutation(pd.date_range("2023-01-01", periods=N // 3, freq="D").strftime("%Y-%m-%d").repeat(3))
    table["year"] = rng.integers(2000, 2010, N)
    table["new"] = rng.random(N) < 0.5
    table["part"] = rng.choice(["train", "Test ", "TRAINING", "testing"], N)
    return table


@pytest.fixture
def path(tmp_path):
    frame().to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def open_with(path, **options):
    return gdcore.open_table(path, "y", **{"features": ["x"], "test_size": 0.2} | options)


def sides(table):
    """The values of x that test, and those that train."""
    X, _, _ = table.read()
    return table.held_out.read().X[:, 0], X[:, 0]


def same(table, rows):
    test, train = sides(table)
    x = frame().x.to_numpy()
    np.testing.assert_allclose(test, x[rows], rtol=1e-12)
    np.testing.assert_allclose(train, x[~rows], rtol=1e-12)


@pytest.mark.parametrize("ending", ["csv", "parquet", "text.parquet"])
def test_the_last_days_test_and_no_day_is_torn_apart(path, ending):
    table = frame()
    if ending != "csv":
        path = path.with_name(f"t.{ending}")
        table.assign(day=pd.to_datetime(table.day) if ending == "parquet" else table.day).to_parquet(path)
    days = np.sort(table.day.to_numpy())
    same(open_with(path, split="time:day"), (table.day >= days[int(0.8 * N)]).to_numpy())
    whole = open_with(path, split="time:day", features=None, exclude=["town", "part", "new"])
    assert whole.names == ["x", "year"]  # dates are no features, and need not be left out by hand


def test_the_last_by_a_number(path):
    years = frame().year.to_numpy()
    same(open_with(path, split="time:year"), years >= np.sort(years)[int(0.8 * N)])
    assert "year" in open_with(path, split="time:year", features=None, exclude=["town", "part", "day", "new"]).names


def test_most_rows_of_one_year_train(path):
    """Where the share begins within the first year, all of that trains."""
    table = frame()
    table["year"] = np.where(np.arange(N) < 0.9 * N, 2000, 2001)
    table.to_csv(path, index=False)
    same(open_with(path, split="time:year"), np.arange(N) >= 0.9 * N)


def test_the_last_rows_as_they_stand(path):
    same(open_with(path, split="time", test_size=0.25), np.arange(N) >= 225)


def test_a_column_called_time_is_that_column(path):
    table = frame().rename(columns={"day": "time"})
    table.to_csv(path, index=False)
    same(open_with(path, split="time"), (table.time >= np.sort(table.time.to_numpy())[int(0.8 * N)]).to_numpy())


def test_rows_without_a_date_train(path):
    table = frame()
    table.loc[::10, "year"] = np.nan
    table.to_csv(path, index=False)
    known = np.sort(table.year.dropna().to_numpy())
    same(open_with(path, split="time:year"), (table.year >= known[len(known) - round(0.2 * len(known))]).to_numpy())


def test_a_column_says_which_rows_test(path):
    same(open_with(path, split="part"), frame().part.str.strip().str.lower().isin(["test", "testing"]).to_numpy())
    assert "part" not in "".join(open_with(path, split="part", features=None, exclude=["day"]).names)


def test_missing_values_of_the_column_are_none_of_the_features(path):
    """A row in which only the split's column is missing is there."""
    table = frame()
    table.loc[0, "year"] = np.nan
    table.loc[0, "town"] = "only here"
    table.to_csv(path, index=False)
    found = open_with(path, split="time:year", features=["x", "town"], missing="drop")
    found.read()
    assert "town=only here" in found.names
    assert found.dropped == 0


@pytest.mark.parametrize("split", [None, "time:day", "part"])
def test_what_is_filled_in_is_of_the_rows_that_train(path, split):
    table = frame()
    table.loc[5::7, "x"] = np.nan
    table.to_csv(path, index=False)
    found = open_with(path, split=split, missing="mean")
    found.read()
    days = np.sort(table.day.to_numpy())
    rows = {
        None: held_out(0, N, 0.2, 0), "time:day": (table.day >= days[int(0.8 * N)]).to_numpy(),
        "part": table.part.str.strip().str.lower().isin(["test", "testing"]).to_numpy(),
    }[split]  # fmt: skip
    assert found.encoding.columns[0].fill == pytest.approx(table.x[~rows].mean(), rel=1e-12)


def test_each_class_has_its_share_of_the_rows_that_test(path):
    table = gdcore.open_table(path, "town", features=["x"], test_size=0.2, stratify=True, seed=3)
    train, test = table.read().Y[:, 0], table.held_out.read().Y[:, 0]
    counts = frame().town.value_counts().sort_index().to_numpy()
    assert abs(np.bincount(test.astype(int)) - 0.2 * counts).max() < 1
    assert len(test) == 0.2 * N
    other = gdcore.open_table(path, "town", features=["x"], test_size=0.2, stratify=True, seed=4)
    assert (other.held_out.read().X[:5] != table.held_out.read().X[:5]).any()
    assert len(train) + len(test) == N


@pytest.mark.parametrize("classes", [False, True])
def test_every_row_tests_once_in_folds_of_one_size(path, classes):
    table = gdcore.open_table(path, "town", features=["x"])
    order = Order(table.source, 5, "town", classes)
    seen = []
    for j in range(7):
        fold = table.again(Fold(order, 7, j))
        train, test = fold.read(), fold.held_out.read()
        assert abs(len(test.X) - N / 7) < 1
        assert len(train.X) + len(test.X) == N
        seen.append(test.X[:, 0])
        if classes:
            share = np.bincount(test.Y[:, 0].astype(int), minlength=3)
            assert abs(share - frame().town.value_counts().sort_index().to_numpy() / 7).max() <= 1
    np.testing.assert_allclose(np.sort(np.concatenate(seen)), np.sort(frame().x), rtol=1e-12)


def test_the_rows_that_test_do_not_depend_on_how_a_table_is_cut(tmp_path):
    table = pd.concat([frame()] * 40, ignore_index=True)
    table.to_csv(tmp_path / "t.csv", index=False)
    half = len(table) // 2
    (tmp_path / "parts").mkdir()
    table[:half].to_csv(tmp_path / "parts/a.csv", index=False)
    table[half:].to_csv(tmp_path / "parts/b.csv", index=False)
    for options in ({"split": "time:day"}, {"split": "time"}, {"split": "part"}):
        whole, parts = (sides(open_with(tmp_path / name, **options)) for name in ("t.csv", "parts"))
        for a, b in zip(whole, parts, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    options = {"target": "town", "features": ["x"], "test_size": 0.2, "stratify": True}
    whole, parts = (sides(gdcore.open_table(tmp_path / name, **options)) for name in ("t.csv", "parts"))
    np.testing.assert_allclose(whole[0], parts[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "time:dya"}, "no column dya .split.; did you mean day"),
        ({"split": "prt"}, "no column prt .split.; did you mean part"),
        ({"split": "y"}, "column y is the target, and cannot say which rows test"),
        ({"split": "year"}, "column year is integer, and split='year' wants one that says train and test; split='time:year'"),
        ({"split": "time:part"}, "line 2, column part: 'Test ' is not a date as 2024-12-31"),
        ({"split": "time:new"}, "column new is boolean, and split='time:new' wants dates or numbers"),
        ({"split": "town"}, "line 2, column town: 'b' is neither train nor test"),
        ({"split": "part", "stratify": True}, "stratify=True is for rows that are drawn, and split='part' draws none"),
        ({"stratify": True}, "stratify=True keeps the shares of classes, and the target is numbers"),
    ],
)
def test_mistakes_are_told(path, options, said):
    with pytest.raises(gdcore.TableError, match=said):
        open_with(path, **options).read()


def test_a_column_of_one_value_has_no_last_row(path):
    frame().assign(year=2000).to_csv(path, index=False)
    with pytest.raises(gdcore.TableError, match="column year has one value at most"):
        open_with(path, split="time:year")
