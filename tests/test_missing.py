"""What becomes of missing values: by the kind of a column and by its name, in training and in new tables, as scikit-learn and
pandas fill them."""

import csv
import html
import json
import re

import numpy as np
import pytest

import gdcore
from gdcore.rows import fills
from gdcore.rows.columns import Column, Encoding
from gdcore.rows.files import sources
from gdcore.rows.fills import Mean, Median
from gdcore.rows.missing import Policy
from gdcore.rows.split import Fold, Order, held_out

pa = pytest.importorskip("pyarrow")
pandas = pytest.importorskip("pandas")
pytest.importorskip("safetensors")
import pyarrow.parquet as pq  # noqa: E402

N = 240


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    age, fare = rng.integers(1, 80, N).astype(float), rng.gamma(2, 15, N).round(2)
    age[rng.random(N) < 0.2], fare[rng.random(N) < 0.1] = np.nan, np.nan
    city, deck = rng.choice(["Ulm", "Bonn", "Kiel"], N).astype(object), rng.choice(["A", "B"], N).astype(object)
    city[rng.random(N) < 0.1], deck[rng.random(N) < 0.1] = None, None
    y = rng.normal(size=N)
    y[rng.random(N) < 0.1] = np.nan
    return pandas.DataFrame({"age": age, "fare": fare, "city": city, "deck": deck, "y": y})


@pytest.fixture
def write(tmp_path):
    def write(frame, form, name="t"):
        path = tmp_path / f"{name}.{form}"
        {"csv": frame.to_csv, "parquet": frame.to_parquet, "feather": frame.to_feather}[form](
            path, **({} if form == "feather" else {"index": False})
        )
        return path

    return write


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("form", ["csv", "parquet", "feather"])
def test_columns_are_filled_as_scikit_learn_fills_them(frame, write, form, share):
    impute = pytest.importorskip("sklearn.impute").SimpleImputer
    table = gdcore.open_table(write(frame, form), "y", missing="median,age=indicator,deck=drop", test_size=share)
    rows = table.read()
    stays = frame.y.notna() & frame.deck.notna()
    trains = stays & ~held_out(0, N, share, 0)
    known = frame[trains]
    assert table.names[:3] == ["age", "age is missing", "fare"]
    filled = impute(strategy="mean", add_indicator=True).fit_transform(known[["age"]])
    np.testing.assert_allclose(rows.X[:, :2], filled, rtol=1e-13)
    np.testing.assert_array_equal(rows.X[:, 2], impute(strategy="median").fit_transform(known[["fare"]])[:, 0])
    city = known.city.fillna("missing")
    for value in {"Ulm", "Bonn", "Kiel", "missing"} - {table.encoding.columns[2].base}:
        np.testing.assert_array_equal(rows.X[:, table.names.index(f"city={value}")], city == value)
    np.testing.assert_array_equal(rows.Y[:, 0], known.y)
    assert table.dropped == N - stays.sum()
    assert table.gaps == {name: int(frame[name].isna().sum()) for name in frame}
    assert table.causes == {name: table.gaps[name] for name in ("deck", "y")}  # the others are filled
    if share:
        fit = impute(strategy="median").fit(known[["fare"]])
        held = frame[stays & held_out(0, N, share, 0)]
        np.testing.assert_array_equal(table.held_out.read().X[:, 2], fit.transform(held[["fare"]])[:, 0])


def test_a_fit_with_an_indicator_is_that_of_the_columns_in_memory(frame, write):
    table = gdcore.open_table(write(frame, "csv"), "y", features=["age", "fare"], missing="indicator")
    run = gdcore.fit(table)
    known = frame[frame.y.notna()]
    X = np.column_stack(
        [part for name in ("age", "fare") for part in (known[name].fillna(known[name].mean()), known[name].isna())]
    )
    A = np.column_stack([X, np.ones(len(X))])
    wanted = np.linalg.lstsq(A, known.y.to_numpy(), rcond=None)[0]
    np.testing.assert_allclose([*run.model.weights, float(run.model.bias)], wanted, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("asked", "age", "city", "y"),
    [
        ("error", "error", "error", "error"),
        ("drop", "drop", "drop", "drop"),
        ("mean", "mean", "category", "drop"),
        ("median", "median", "category", "drop"),
        ("mean,error", "mean", "error", "error"),
        ("drop,median", "median", "drop", "drop"),
        ("category", "error", "category", "drop"),
        ("drop,category", "drop", "category", "drop"),
        ("age=median", "median", "error", "drop"),
        ("mean, age=drop ,city=error", "drop", "error", "drop"),
        ({"age": "indicator", "y": "error"}, "indicator", "error", "error"),
        ('"age"=mean', "mean", "error", "drop"),
    ],
)
def test_policies(asked, age, city, y):
    policy = Policy.of(asked if isinstance(asked, dict) else asked.replace('"', ""))
    assert (policy.of_column("age", text=False), policy.of_column("city", text=True), policy.of_target("y")) == (age, city, y)
    assert Policy.of(policy.text) == policy or (asked, policy.text) == ("error", "error")


def test_names_with_commas_and_equal_signs():
    policy = Policy.of({"a, b": "mean", "x=y": "drop", 'q"': "median"})
    assert Policy.of(policy.text) == policy


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("zero", "missing must be error, drop, mean, median, indicator or category, or COLUMN=one of them, found 'zero'"),
        ("age=zero", "or COLUMN=one of them, found 'zero'"),
        ("mean,median", "missing has both mean and median for numbers; give some columns their own, as in COLUMN=median"),
        ("drop,error", "missing has both drop and error for all columns"),
        ("age=mean,age=drop", "missing has column age twice; once is enough"),
        ({"agge": "mean"}, r"t.csv has no column agge \(missing\); did you mean age\?"),
        (
            {"city": "median"},
            "column city is text, and has no median; missing='city=category' makes a category of what is",
        ),
        (
            {"age": "category"},
            "column age holds numbers, and category is for text; take missing='age=mean', median,",
        ),
        ({"y": "mean"}, r"missing: y is the target, whose rows are left out \(drop\) or an error, found 'mean'"),
        ({"deck": "category"}, "t.csv: column deck is not used; leave it out of missing"),
    ],
)
def test_policies_that_cannot_be(frame, write, asked, said):
    with pytest.raises(ValueError, match=said):
        gdcore.open_table(write(frame, "csv"), "y", missing=asked, exclude=["deck"])


def test_each_fold_is_filled_by_its_own_rows_that_train(frame, write):
    table = gdcore.open_table(write(frame, "csv"), "y", features=["age", "fare"], missing="median,fare=indicator")
    order = Order(table.source, 0, "y")
    known = frame.y.notna()
    for which in range(3):
        fold = Fold(order, 3, which)
        tests = np.concatenate(
            [fold.tests(start, batch) for start, batch in zip((0,), table.source.batches(["y"]), strict=True)]
        )
        again = table.again(fold)
        age, fare = again.encoding.columns
        assert age.fill == frame.age[known & ~tests].median()
        assert fare.fill == pytest.approx(frame.fare[known & ~tests].mean(), rel=1e-13)
        held = again.held_out.read()
        np.testing.assert_array_equal(held.X[:, 0], frame.age[known & tests].fillna(age.fill))
        np.testing.assert_array_equal(held.X[:, 2], frame.fare[known & tests].isna())


def test_a_missing_weight(frame, write):
    frame["w"] = np.where(np.arange(N) % 50 == 7, np.nan, 1.0)
    path = write(frame, "csv")
    with pytest.raises(gdcore.TableError, match="line 9, column w: the row's weight is missing"):
        gdcore.open_table(path, "y", missing="mean", weights="w").read()
    table = gdcore.open_table(path, "y", missing="mean,w=drop", weights="w")
    assert len(table.read().X) == (frame.y.notna() & frame.w.notna()).sum()
    with pytest.raises(ValueError, match=r"missing: w is the weights, whose rows are left out \(drop\) or an error"):
        gdcore.open_table(path, "y", missing="w=mean", weights="w")


def test_the_first_value_that_must_not_be_missing_is_named_with_its_own_option(frame, write):
    path = write(frame, "csv")
    row = int(np.argmax((frame.fare.isna() & frame.y.notna()).to_numpy()))
    said = "column fare: a value is missing; missing='fare=drop' leaves such rows out, missing='fare=mean' puts"
    with pytest.raises(gdcore.TableError, match=f"line {row + 2}, {said}"):
        gdcore.open_table(path, "y", missing="age=mean", exclude=["city", "deck"]).read()


def test_two_columns_of_one_name(tmp_path):
    (tmp_path / "t.csv").write_text("a,a is missing,y\n" + "".join(f"{i if i % 3 else ''},{i % 5},{i}\n" for i in range(30)))
    with pytest.raises(gdcore.TableError, match="two columns of X would have the name a is missing; rename one in the table"):
        gdcore.open_table(tmp_path / "t.csv", "y", missing="indicator")


# The median ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [1 << 20, 100, 1])
@pytest.mark.parametrize("n", [1, 2, 5, 1000, 1001])
@pytest.mark.parametrize("kind", ["normal", "integers", "signs", "extremes", "one value"])
def test_a_median_is_exact_whatever_room_there_is(room, n, kind):
    rng = np.random.default_rng(n)
    values = {
        "normal": rng.normal(0, 1e3, n), "integers": rng.integers(-3, 4, n).astype(float), "one value": np.full(n, -2.5),
        "signs": np.where(rng.random(n) < 0.5, 0.0, -0.0),
        "extremes": rng.choice([1.7e308, -1.7e308, 5e-324, -5e-324, 0.1, np.nextafter(0.1, 1)], n),
    }[kind]  # fmt: skip
    trains = rng.random(n) < 0.7 if n > 5 else np.ones(n, bool)
    one, passes, more = Median(Column("x", "number"), room), 0, True
    while more:
        for start in range(0, n, 300):
            part = np.where(np.arange(n) % 7 == 6, np.nan, values)[start : start + 300]
            one.add(pa.array(part, from_pandas=True), trains[start : start + 300])
        more, passes = one.end(), passes + 1
    known = np.sort(values[trains & (np.arange(n) % 7 != 6)])
    low, high = known[(len(known) - 1) // 2], known[len(known) // 2]
    assert one.value == (low if low == high else low / 2 + high / 2)
    assert one.gaps == (trains & (np.arange(n) % 7 == 6)).sum()
    assert passes == (1 if len(known) <= room else 4)


def test_nothing_has_neither_mean_nor_median():
    for one in (Mean(Column("x", "number")), Median(Column("x", "number"))):
        one.add(pa.array([None, None], pa.float64()), None)
        assert (one.end(), one.value, one.gaps) == (False, None, 2)


def test_fills_do_not_depend_on_how_a_file_is_cut_nor_on_what_is_kept(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    x = np.where(rng.random(5000) < 0.1, np.nan, rng.normal(size=5000) * 1e3)
    text = np.array([f"{v:.3f} kg" for v in np.nan_to_num(x)], object)
    text[np.isnan(x)] = None
    found = set()
    for rows, room in ((1 << 16, 1 << 24), (1000, 1 << 24), (77, 0)):
        monkeypatch.setattr(sources, "ROWS", rows)
        monkeypatch.setattr(fills, "_ROOM", room)
        monkeypatch.setattr(gdcore.rows.files.kept, "MEMORY", room)
        pq.write_table(pa.table({"x": x, "t": text, "y": x}), tmp_path / "t.parquet", row_group_size=3 * rows)
        table = gdcore.open_table(tmp_path / "t.parquet", "y", missing="median", test_size=0.2)
        found.add(tuple(column.fill for column in table.encoding.columns))
    ((one, other),) = found
    known = ~np.isnan(x) & ~held_out(0, 5000, 0.2, 0)
    assert one == np.median(x[known])
    assert other == np.median(x[known].round(3))


# New tables ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def gd(gd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return gd


@pytest.mark.parametrize(("asked", "lacks", "where"), [("mean", "the target", ["y"]), ("drop", "a value", [*"y", "age"])])
def test_what_is_missing_in_the_rows_that_are_left_out_is_told(frame, write, gd, tmp_path, asked, lacks, where):
    pytest.importorskip("matplotlib")
    write(frame[["age", "y"]], "csv")
    status, out, _ = gd("train", "t.csv", "--target", "y", "--missing", asked, "--report", "t.html")
    gone = int(frame[where].isna().any(axis=1).sum())
    assert (status, out.splitlines()[0]) == (0, f"t.csv: 240 rows, 2 columns; {gone} rows left out because {lacks} is missing")
    counts = ", ".join(
        f"{n} in {name}" for n, name in sorted(((frame[name].isna().sum(), name) for name in where), reverse=True)
    )
    page = html.unescape(re.sub("<.*?>", "", (tmp_path / "t.html").read_text()))
    assert f"left out: {gone}, in which {lacks} is missing ({counts})" in page


def test_a_model_keeps_its_policy_and_its_fills(frame, write, gd):
    write(frame, "csv")
    asked = ["--missing", "median", "--missing", "age=indicator", "--missing", "deck=drop"]
    assert gd("train", "t.csv", "--target", "y", *asked, "--test-size", "0", "--quiet")[0] == 0
    model = gdcore.load("t.safetensors")
    assert model.card["encoding"]["missing"] == "median,age=indicator,deck=drop"
    assert model.card["settings"]["missing"] == "median,age=indicator,deck=drop"
    city, deck = ["Ulm", None, "Bonn", "Kiel"], ["A", "B", None, "A"]
    new = pandas.DataFrame({"age": [20.0, None, 40.0, None], "fare": [None, 5.0, 6.0, 7.0], "city": city, "deck": deck})
    for form in ("csv", "parquet"):
        write(new, form, "n")
        status, _, err = gd("predict", "t.safetensors", f"n.{form}", "--out", "p.csv")
        assert (status, err) == (0, "gdcore: warning: 1 of 4 rows have a missing value, and their prediction is empty\n")
        with open("p.csv", newline="") as file:
            found = [float(row["prediction"]) for row in csv.DictReader(file)]
        known = frame[frame.y.notna() & frame.deck.notna()]
        at = dict(zip(model.columns, model.weights, strict=True))
        wanted = [
            np.nan if cabin is None else
            (known.age.mean() if np.isnan(age) else age) * at["age"] + np.isnan(age) * at["age is missing"]
            + (known.fare.median() if np.isnan(fare) else fare) * at["fare"] + at.get(f"city={town or 'missing'}", 0.0)
            + at.get(f"deck={cabin}", 0.0) + float(model.bias)
            for age, fare, town, cabin in zip(new.age, new.fare, city, deck, strict=True)
        ]  # fmt: skip
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_an_indicator_that_training_did_not_need(gd, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(30)))
    assert gd("train", "t.csv", "--target", "y", "--missing", "indicator", "--test-size", "0", "--quiet")[0] == 0
    assert gdcore.load("t.safetensors").columns == ["x"]
    (tmp_path / "n.csv").write_text("x,z\n,1\n3,1\n")
    assert gd("predict", "t.safetensors", "n.csv", "--out", "p.csv", "--exclude", "z")[0] == 0
    found = [float(line) for line in (tmp_path / "p.csv").read_text().split()[1:]]
    np.testing.assert_allclose(found, [29, 6], rtol=1e-9)


def test_inspect_and_train_say_the_same_of_text_with_many_values(gd, tmp_path):
    rows = [f"N{i},{i if i % 3 else ''},{i}" for i in range(150)]
    (tmp_path / "t.csv").write_text("tail,x,y\n" + "\n".join(rows) + "\n")
    what = "column tail is text with 150 values, too many for categories (at most 100)"
    for missing in ([], ["--missing", "mean"]):
        assert f"  not used: {what}\n" in gd("inspect", "t.csv", "--target", "y", *missing)[1]
    for missing in ([], ["--missing", "mean"], ["--missing", "drop"]):
        found = gd("train", "t.csv", "--target", "y", *missing)
        assert found == (2, "", f"gdcore: t.csv: {what}; leave out with --exclude tail\n")


def test_a_cross_validation_with_filled_columns(frame, write, gd):
    write(frame, "csv")
    asked = ["--missing", "median,age=indicator", "--cv", "3", "--json"]
    told = json.loads(gd("train", "t.csv", "--target", "y", *asked)[1])
    known = frame[frame.y.notna()]
    assert told["rows"]["train"] == len(known)
    assert told["settings"]["missing"] == "median,age=indicator"


def test_inspect_fills_as_it_is_told(frame, write, gd):
    write(frame, "csv")
    known = frame[frame.y.notna()]
    told = json.loads(gd("inspect", "t.csv", "--target", "y", "--missing", "indicator", "--json")[1])
    assert (told["rows"], told["left out"]) == (len(known), N - len(known))
    assert told["columns"]["age is missing"]["mean"] == pytest.approx(known.age.isna().mean())
    assert told["columns"]["age"]["mean"] == pytest.approx(known.age.mean())


def test_what_became_of_columns_is_told(frame, write, gd):
    write(frame, "csv")
    out = gd("train", "t.csv", "--target", "y", "--missing", "median,age=indicator")[1]
    assert "age   number; " in out
    assert " where it is missing, and a column of 0 and 1 that says where\n" in out


def test_cards_hold_all_of_it(frame, write):
    table = gdcore.open_table(write(frame, "csv"), "y", missing="median,age=indicator")
    assert Encoding.of_card(json.loads(json.dumps(table.encoding.card()))) == table.encoding
    for change, said in (
        ({"missing": "zero"}, "its encoding: missing must be"),
        ({"missing": 5}, "'missing' must be a string"),
    ):
        with pytest.raises(ValueError, match=said):
            Encoding.of_card(table.encoding.card() | change)
    card = table.encoding.card()
    card["columns"][0] |= {"indicator": 1}
    with pytest.raises(ValueError, match="'indicator' must be true or false, found 1"):
        Encoding.of_card(card)
