"""Dates and times become the numbers that pandas makes of them, in files of any kind; what is none is told with its place."""

import datetime
import json
import warnings

import numpy as np
import pytest

import gdcore
from gdcore.cli import parser
from gdcore.rows import dates
from gdcore.rows.columns import Encoding
from gdcore.rows.files import kept, sources

pa = pytest.importorskip("pyarrow")
pandas = pytest.importorskip("pandas")
pytest.importorskip("safetensors")
import pyarrow.feather as pf  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

N = 300


@pytest.fixture(scope="module")
def moments():
    seconds = np.random.default_rng(0).integers(-(10**9), 2 * 10**9, N)
    return pandas.Series(pandas.to_datetime(seconds, unit="s").as_unit("us"))


def expected(moments):
    """The parts, by pandas."""
    d = moments.dt
    days = (moments - pandas.Timestamp(0)) / pandas.Timedelta(days=1)
    return {"year": d.year, "month": d.month, "weekday": d.day_of_week, "hour": d.hour, "days since 1970": days}


def write(path, columns):
    if path.suffix == ".csv":
        pandas.DataFrame(columns).to_csv(path, index=False)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        pf.write_feather(pa.table(columns), str(path))
    return path


def found(table, name):
    X = table.read().X
    return {column.removeprefix(f"{name} "): X[:, j] for j, column in enumerate(table.names) if column.startswith(f"{name} ")}


def same(found, wanted):
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], np.asarray(values, float), rtol=1e-14, err_msg=name)


TYPES = {
    "csv": lambda moments: moments.dt.strftime("%Y-%m-%d %H:%M:%S"),
    "csv, T": lambda moments: moments.dt.strftime("%Y-%m-%dT%H:%M:%S"),
    "csv, UTC": lambda moments: moments.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "parquet": lambda moments: pa.array(moments),
    "parquet, ns": lambda moments: pa.array(moments.astype("datetime64[ns]")),
    "parquet, s": lambda moments: pa.array(moments.astype("datetime64[s]")),
    "parquet, text": lambda moments: pa.array(moments.dt.strftime("%Y-%m-%d %H:%M:%S")),
    "parquet, categories of text": lambda moments: pa.array(moments.dt.strftime("%Y-%m-%d %H:%M:%S")).dictionary_encode(),
    "parquet, a zone": lambda moments: pa.array(moments.dt.tz_localize("UTC").dt.tz_convert("Asia/Kolkata")),
    "feather": lambda moments: pa.array(moments),
    "feather, large text": lambda moments: pa.array(moments.dt.strftime("%Y-%m-%d %H:%M:%S"), pa.large_string()),
}


@pytest.mark.parametrize("form", TYPES)
def test_parts_are_those_of_pandas(moments, tmp_path, form):
    path = write(tmp_path / f"t.{form.split(',')[0]}", {"at": TYPES[form](moments), "y": np.arange(N)})
    zoned = moments.dt.tz_localize("UTC").dt.tz_convert("Asia/Kolkata").dt.tz_localize(None) if "zone" in form else moments
    same(found(gdcore.open_table(path, "y", dates=["at"]), "at"), expected(zoned))


@pytest.mark.parametrize("keeping", ["memory", "folder", "nothing"])
def test_dates_in_several_files_of_several_kinds(moments, tmp_path, monkeypatch, keeping):
    monkeypatch.setattr(sources, "ROWS", 37)
    if keeping != "memory":
        monkeypatch.setattr(kept, "MEMORY", 0)
    (tmp_path / "d").mkdir()
    for i, form in enumerate(("csv", "parquet", "feather", "csv, T")):
        part = moments[i * 75 : (i + 1) * 75].reset_index(drop=True)
        write(tmp_path / "d" / f"{i}.{form.split(',')[0]}", {"at": TYPES[form](part), "y": np.arange(75)})
    table = gdcore.open_table(tmp_path / "d", "y", dates=["at"], cache=tmp_path if keeping == "folder" else None)
    for _ in range(2):
        same(found(table, "at"), expected(moments))


def test_parts_that_do_not_differ_are_left_out(tmp_path):
    days = pandas.Series(pandas.date_range("2023-02-01", periods=28))
    path = write(tmp_path / "t.parquet", {"day": pa.array(days), "y": np.arange(28)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(found(gdcore.open_table(path, "y", dates=["day"]), "day"), {
            name: values for name, values in expected(days).items() if name in ("weekday", "days since 1970")
        })  # fmt: skip
    day = pa.array([datetime.date(2024, 1, 1)] * 28)
    path = write(tmp_path / "t.parquet", {"day": day, "x": np.arange(28), "y": np.arange(28)})
    table = gdcore.open_table(path, "y", dates=["day"])
    with pytest.warns(gdcore.TableWarning, match="column day days since 1970 is 19723 in every row"):
        table.read()


def test_times_of_the_day_and_durations(tmp_path):
    minutes = np.random.default_rng(1).integers(0, 1440, N)
    texts = [f"{m // 60:02d}:{m % 60:02d}" for m in minutes]
    times = pa.array([datetime.time(m // 60, m % 60) for m in minutes.tolist()])
    lasts = pa.array([datetime.timedelta(minutes=m) for m in minutes.tolist()])
    for path, kind in (
        (write(tmp_path / "t.csv", {"at": texts, "y": minutes}), "hours"),
        (write(tmp_path / "t.parquet", {"at": times, "y": minutes}), "hours"),
        (write(tmp_path / "u.parquet", {"at": lasts, "y": minutes}), "days"),
    ):
        same(found(gdcore.open_table(path, "y", dates=["at"]), "at"), {kind: minutes / (60 if kind == "hours" else 1440)})


def test_years_that_nanoseconds_do_not_reach(tmp_path):
    (tmp_path / "t.csv").write_text("at,y\n1066-10-14,1\n2023-03-01 12:00:00.123456789,2\n9999-12-31,3\n")
    parts = found(gdcore.open_table(tmp_path / "t.csv", "y", dates=["at"]), "at")
    assert parts["year"].tolist() == [1066, 2023, 9999]
    assert parts["hour"].tolist() == [0, 12, 0]


def test_missing_dates_are_filled_part_by_part(tmp_path):
    days = pandas.Series(pandas.date_range("2023-11-01", periods=40, freq="3D")).where(np.arange(40) % 4 != 1)
    path = write(tmp_path / "t.parquet", {"day": pa.array(days), "y": np.arange(40)})
    for policy, fill in (("mean", np.mean), ("median", np.median)):
        wanted = {name: v.fillna(fill(v.dropna())) for name, v in expected(days).items() if name != "hour"}
        same(found(gdcore.open_table(path, "y", dates=["day"], missing=policy), "day"), wanted)
    table = gdcore.open_table(path, "y", dates=["day"], missing="indicator")
    assert table.names.count("day is missing") == 1
    assert found(table, "day")["is missing"].tolist() == days.isna().tolist()
    for loss in (None, "mse"):
        assert len(gdcore.open_table(path, "y", dates=["day"], missing="drop", loss=loss).read().X) == 30
    with pytest.raises(gdcore.TableError, match="row 2, column day: a value is missing; missing='drop' leaves such rows out"):
        gdcore.open_table(path, "y", dates=["day"]).read()
    with pytest.raises(gdcore.TableError, match="column day holds dates, and category is for text; take missing='day=mean'"):
        gdcore.open_table(path, "y", dates=["day"], missing="day=category")


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            "2024-02-30",
            {},
            "t.csv, line 4, column at: '2024-02-30' is not a date as 2024-12-31 or 2024-12-31 18:30; write it so",
        ),
        ("31.12.2024", {}, "t.csv, line 4, column at: '31.12.2024' is not a date"),
        ("unknown", {}, "t.csv, line 4, column at: 'unknown' is not a date .*, or say by na that it is missing"),
        ("", {}, "t.csv, line 4, column at: a value is missing"),
        ("2024-01-09", {"dates": ["ay"]}, r"t.csv has no column ay \(dates\); did you mean y\?"),
        ("2024-01-09", {"dates": ["y"]}, "t.csv: column y is no feature; leave it out of dates"),
        ("2024-01-09", {"dates": ["at", "at"]}, "t.csv: column at is named twice in dates; once is enough"),
        ("2024-01-09", {"categorical": ["at"]}, "t.csv: column at is named in both categorical and dates; once is enough"),
        ("2024-01-09", {"dates": ["k"]}, "t.csv, line 2, column k: '5' is not a date as 2024-12-31"),
        ("2024-01-09", {"dates": []}, r"t.csv: column at holds dates, of which dates=\['at'\] makes numbers; leave out"),
    ],
)
def test_what_is_no_date(tmp_path, text, options, said):
    (tmp_path / "t.csv").write_text(f"at,k,y\n2024-01-05,5,1\n2024-01-07 12:30,6,2\n{text},7,4\n2024-03-01,8,9\n")
    with pytest.raises(gdcore.TableError, match=said):
        gdcore.open_table(tmp_path / "t.csv", "y", **{"dates": ["at"]} | options).read()


def test_what_parquet_says_is_no_date(tmp_path):
    path = write(
        tmp_path / "t.parquet",
        {"k": np.arange(9), "at": ["2024-01-01", "soon", None, "2024-01-02"] * 2 + ["soon"], "y": np.arange(9)},
    )
    with pytest.raises(
        gdcore.TableError, match="column k is integer, and no date; dates takes dates, times, and text such as"
    ):
        gdcore.open_table(path, "y", dates=["k"])
    with pytest.raises(gdcore.TableError, match=r"t\.parquet, row 2, column at: 'soon' is not a date"):
        gdcore.open_table(path, "y", dates=["at"])
    table = gdcore.open_table(path, "y", dates=["at"], na=["soon"], missing="median")
    assert (len(table.read().X), table.gaps) == (9, {"at": 5})
    path = write(tmp_path / "t.parquet", {"at": pa.array([datetime.date(2024, 1, 1)] * 9), "y": np.arange(9)})
    with pytest.raises(gdcore.TableError, match=r"column at holds dates or times, and no codes; dates=\['at'\] takes it"):
        gdcore.open_table(path, "y", categorical=["at"])


def test_a_model_of_dates_predicts_new_ones(moments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", {"at": TYPES["csv"](moments), "x": np.arange(N), "y": moments.dt.year * 2.0 + moments.dt.hour})
    assert parser.main(["train", "t.csv", "--target", "y", "--dates", "at", "--quiet"]) == 0
    assert "at is date" not in capsys.readouterr().err
    new = pandas.Series(pandas.to_datetime(["1999-05-05 03:00", "2031-01-31 23:00"]))
    wanted = 2 * new.dt.year + new.dt.hour
    for name, at in (("n.csv", TYPES["csv"](new)), ("n.parquet", pa.array(new)), ("m.parquet", TYPES["parquet, text"](new)),
                     ("n.feather", TYPES["feather"](new))):  # fmt: skip
        write(tmp_path / name, {"x": np.arange(2), "at": at})
        assert parser.main(["predict", "t.safetensors", name, "--out", "p.csv", "--quiet"]) == 0
        np.testing.assert_allclose(np.loadtxt("p.csv", skiprows=1), wanted, rtol=1e-9)
    write(tmp_path / "n.parquet", {"x": np.arange(2), "at": [1, 2]})
    assert parser.main(["predict", "t.safetensors", "n.parquet", "--out", "p.csv", "--quiet"]) == 2
    assert "column at is integer, and the model was trained with date" in capsys.readouterr().err
    assert parser.main(["train", "t.csv", "--target", "y", "--dates", "at"]) == 0
    assert "  at  date: year, month, weekday, hour, days since 1970\n" in capsys.readouterr().out
    assert parser.main(["inspect", "t.csv", "--target", "y", "--dates", "at", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["columns"]
    assert told["at year"]["mean"] == pytest.approx(moments.dt.year.mean())


@pytest.mark.parametrize("form", ["csv", "parquet", "parquet, text", "feather"])
def test_the_last_rows_by_a_date_that_is_a_feature_too(moments, tmp_path, form):
    path = write(tmp_path / f"t.{form.split(',')[0]}", {"at": TYPES[form](moments), "x": np.arange(N), "y": np.arange(N)})
    table = gdcore.open_table(path, "y", dates=["at"], split="time:at", test_size=0.25)
    table.read()
    last = (moments >= moments.sort_values().iloc[N - 75]).to_numpy()
    np.testing.assert_array_equal(table.held_out.read().Y[:, 0], np.arange(N)[last])
    assert [name for name in table.names if not name.startswith("at ")] == ["x"]
    assert gdcore.open_table(path, "y", split="time:at", test_size=0.25).names == ["x"]


def test_cards_of_dates(tmp_path):
    (tmp_path / "t.csv").write_text("at,y\n2024-01-05,1\n2024-02-07 12:30,2\n")
    card = gdcore.open_table(tmp_path / "t.csv", "y", dates=["at"]).encoding.card()
    assert Encoding.of_card(json.loads(json.dumps(card))).names == [f"at {part}" for part in dates.PARTS["date"][1:]]
    for change in ({"part": "hours"}, {"part": None}, {"kind": "number"}, {"kind": "time"}):
        bad = json.loads(json.dumps(card))
        bad["columns"][0] |= change
        with pytest.raises(ValueError, match="its encoding: column at of kind"):
            Encoding.of_card(bad)
