"""How tables lie in files: comments, blanks, Feather, folders whose names are values, names with blanks, codes with zeros."""

import gzip
import io
import re
import warnings

import numpy as np
import pytest

import gdcore
from gdcore.cli import parser
from gdcore.rows.files import csvlines
from gdcore.rows.files.csvlines import Lines
from gdcore.rows.files.opening import open_source

pa = pytest.importorskip("pyarrow")
pandas = pytest.importorskip("pandas")
pytest.importorskip("safetensors")
import pyarrow.dataset as ds  # noqa: E402
import pyarrow.feather as pf  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

N = 120
X = np.random.default_rng(0).normal(size=N).round(3)
Y = 2 * X + np.arange(N) % 3
LINES = ["x,k,y", *(f"{x},{i % 3},{y:.3f}" for i, (x, y) in enumerate(zip(X, Y, strict=True)))]
PLAIN = "\n".join(LINES) + "\n"


def read(path, **options):
    """The rows of a table, with no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = gdcore.open_table(path, "y", **options).read()
    return np.column_stack([rows.X, rows.Y])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "t.csv"
    path.write_text(PLAIN)
    return read(path)


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """What the command line says of a mistake."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        assert parser.main([*arguments]) == 2
        return capsys.readouterr().err

    return run


# Comments and blanks ---------------------------------------------------------------------------------------------------------

COMMENTS = {
    "above": "# made by a machine\n# x, y, and z\n" + PLAIN,
    "above, with a mark": "\ufeff# made\n" + PLAIN,
    "between and below": PLAIN.replace("\n", "\n# a, b\n", 5) + "# the end",
    "with other line ends": ("# made\n" + PLAIN).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("block", [1 << 20, 100, 7])
@pytest.mark.parametrize("case", COMMENTS)
def test_comments(tmp_path, plain, monkeypatch, case, block):
    monkeypatch.setattr(csvlines, "_BLOCK", block)
    (tmp_path / "t.csv").write_text(COMMENTS[case], newline="")
    np.testing.assert_array_equal(read(tmp_path / "t.csv", comment="#"), plain)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(COMMENTS[case].replace("#", "//").encode()))
    np.testing.assert_array_equal(read(tmp_path / "t.csv.gz", comment="//"), plain)


def test_places_are_those_of_the_file(tmp_path):
    lines = ["# made", *LINES[:10], "# half", "1,two,3", *LINES[10:]]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(gdcore.TableError, match=r"t\.csv, line 13, column k: 'two' is not a number"):
        gdcore.open_table(tmp_path / "t.csv", "y", comment="#")


def test_a_comment_that_is_not_told(said, tmp_path):
    for text, line in ((COMMENTS["above"], 1), ("# only, two\n" + PLAIN, 1), (PLAIN.replace("\n", "\n% a\n", 3), 2)):
        (tmp_path / "t.csv").write_text(text)
        wanted = rf"t\.csv, line {line}: .*; --comment '{'%' if '%' in text else '#'}' skips lines that begin so\n$"
        assert re.search(wanted, said("train", "t.csv", "--target", "y"))
    (tmp_path / "t.csv").write_text(PLAIN.replace("x,k", "#x,k"))
    assert gdcore.open_table("t.csv", "y").names == ["#x", "k"]  # as many names as values: no comment
    for comment in ("", '"', "a\nb"):
        with pytest.raises(ValueError, match="comment must be what lines begin with that are none of the table"):
            gdcore.open_table("t.csv", "y", comment=comment)


def test_a_title_above_the_names(said, tmp_path, plain):
    (tmp_path / "t.csv").write_text("Report of sales\n\n" + PLAIN)
    what = "gdcore: t.csv, line 3: 3 values, and the header has 1 name: 'x,k,y'; if 'Report of sales' is a title, --comment "
    assert said("train", "t.csv", "--target", "y") == f"{what}'Report of sales' skips its line\n"
    np.testing.assert_array_equal(read(tmp_path / "t.csv", comment="Report of sales"), plain)


BLANKS = {
    "several": PLAIN.replace(",", "   "),
    "several, and at both ends": "".join(f"  {line.replace(',', '    ')}   \n" for line in LINES),
    "aligned": "".join("".join(f"{value:>9}" for value in line.split(",")) + "\n" for line in LINES),
    "tabulators too": PLAIN.replace(",", " \t "),
    "other line ends": PLAIN.replace(",", "  ").replace("\n", "\r\n"),
}


@pytest.mark.parametrize("block", [1 << 20, 100, 7])
@pytest.mark.parametrize("case", BLANKS)
def test_blanks(tmp_path, plain, monkeypatch, case, block):
    monkeypatch.setattr(csvlines, "_BLOCK", block)
    (tmp_path / "t.txt").write_text(BLANKS[case], newline="")
    np.testing.assert_array_equal(read(tmp_path / "t.txt", delimiter="blanks"), plain)
    table = gdcore.open_table(tmp_path / "t.txt", "y")
    with pytest.warns(
        gdcore.TableWarning, match=r"t.txt: several blanks are taken for what is between the values, as delimiter='blanks'"
    ):
        table.read()
    assert table.names == ["x", "k"]


def test_blanks_quotes_and_comments(tmp_path):
    (tmp_path / "t.txt").write_text('# made\ntown   y\n"Bad  Ems" 1\n Ulm\t2\n"a ""b""" 3\n' * 1)
    table = gdcore.open_table(tmp_path / "t.txt", "y", delimiter="blanks", comment="#")
    assert {table.encoding.columns[0].base, *table.encoding.columns[0].values} == {"Bad  Ems", "Ulm", 'a "b"'}


def test_blanks_that_are_not_told(said, tmp_path):
    text = PLAIN.replace(",", "  ")
    what = "t.txt, line 1: the only column would be 'x  k  y'; if blanks are between the values, say --delimiter blanks"
    for odd in ('0.5  1  "1"', "0.5  1", "0.5  1  1  1", "0,5  1  1"):
        (tmp_path / "t.txt").write_text(text.replace("\n", f"\n{odd}\n", 2))
        assert what in said("train", "t.txt", "--target", "y")
    (tmp_path / "t.txt").write_text("full name\nAda Love\nAlan T\n")  # one column of text
    assert list(open_source("t.txt").kinds) == ["full name"]


def test_one_blank_between_is_told_where_the_target_is_not_found(said, tmp_path):
    (tmp_path / "t.txt").write_text(PLAIN.replace(",", " "))
    what = "gdcore: t.txt has the column 'x k y' only (target); if blanks are between the values, say --delimiter blanks\n"
    assert said("train", "t.txt", "--target", "y") == what


@pytest.mark.parametrize("command", ["train", "inspect", "predict"])
def test_help_has_groups(capsys, command):
    with pytest.raises(SystemExit):
        parser.main([command, "--help"])
    found = capsys.readouterr().out
    groups = ["the table:", "missing values", "how CSV files are written:", "what is written:"]
    assert [found.index(f"\n{group}") for group in groups] == sorted(found.index(f"\n{group}") for group in groups)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_lines_come_in_any_portions(size, monkeypatch):
    text = b"# a\n1   2\n#\n\n 3\t4 \n5 6"
    wanted = b"\n1\t2\n\n\n3\t4\n5\t6"
    for block in (1, 3, 1000):
        monkeypatch.setattr(csvlines, "_BLOCK", block)
        stream = Lines(io.BytesIO(text), "#", True)
        assert b"".join(iter(lambda stream=stream: stream.read(size), b"")) == wanted
        assert io.BufferedReader(Lines(io.BytesIO(text), "#", True), size).read() == wanted
        stream.close()
        assert stream.stream.closed


# Feather ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"compression": "uncompressed"}, {"compression": "zstd", "chunksize": 7}], ids=str)
@pytest.mark.parametrize("ending", ["feather", "arrow"])
def test_feather(tmp_path, plain, options, ending):
    pf.write_feather(pa.table({"k": np.arange(N) % 3, "y": Y.round(3), " x ": X}), str(tmp_path / f"t.{ending}"), **options)
    np.testing.assert_array_equal(read(tmp_path / f"t.{ending}", features=["x", "k"]), plain)


def test_feather_by_pandas_and_polars(tmp_path):
    frame = pandas.DataFrame({"x": X, "town": pandas.Categorical(["Ulm", "Bonn", None] * 40), "b": X > 0, "y": Y})
    frame.to_feather(tmp_path / "t.feather")
    frame.to_parquet(tmp_path / "t.parquet")
    wanted = read(tmp_path / "t.parquet", missing="mean")
    np.testing.assert_array_equal(read(tmp_path / "t.feather", missing="mean"), wanted)
    polars = pytest.importorskip("polars")
    polars.from_pandas(frame).write_ipc(tmp_path / "p.arrow")
    np.testing.assert_array_equal(read(tmp_path / "p.arrow", missing="mean"), wanted)


def test_feather_that_cannot_be_read(tmp_path):
    sink = io.BytesIO()
    pf.write_feather(pa.table({"x": np.arange(9.0), "y": np.arange(9.0)}), sink, compression="uncompressed")
    whole = sink.getvalue()
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, pa.schema([("x", pa.int64())])):
        pass
    empty = io.BytesIO()
    pf.write_feather(pa.table({"x": pa.array([], pa.float64()), "y": pa.array([], pa.float64())}), empty)
    for data, message in (
        (whole[:-20], "t.feather is a Feather file that is cut off: copy or make it again"),
        (b"FEA1" + whole, "t.feather is a Feather file of version 1, which is no longer read; save it again"),
        (stream.getvalue(), "t.feather is no Feather file, whatever its name says; make it again, an Arrow stream as a file"),
        (empty.getvalue(), "t.feather has columns but no rows; a model needs some"),
        (whole[:100] + b"\xff" * 400 + whole[500:], "t.feather is damaged: copy or make it again"),
        (whole[:-300] + b"\xff" * 280 + whole[-20:], "t.feather is damaged: copy or make it again"),
    ):
        (tmp_path / "t.feather").write_bytes(data)
        with pytest.raises(gdcore.TableError) as caught:
            gdcore.open_table(tmp_path / "t.feather", "y").read()
        assert str(caught.value) == message
    (tmp_path / "t.csv").write_bytes(whole)
    with pytest.raises(gdcore.TableError, match=r"t.csv is a Feather file, not CSV: give it the ending .feather"):
        gdcore.open_table(tmp_path / "t.csv", "y")


# Folders ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hive(tmp_path):
    rng = np.random.default_rng(2)
    towns = rng.choice(["Ulm", "Köln a/b", None], N)
    frame = pandas.DataFrame({"x": X, "year": rng.integers(2020, 2023, N), "town": towns, "y": Y})
    frame.to_parquet(tmp_path / "hive", partition_cols=["year", "town"], index=False)
    return tmp_path / "hive"


def test_folders_whose_names_are_values(hive, tmp_path):
    wanted = ds.dataset(hive, partitioning="hive").to_table().to_pandas().sort_values(["year", "x"])
    table = gdcore.open_table(hive, "y", missing="mean")
    rows = table.read()
    assert table.source.label == "hive"
    order = np.lexsort([rows.X[:, 0], rows.X[:, table.names.index("year")]])
    X = rows.X[order]
    np.testing.assert_array_equal(X[:, table.names.index("x")], wanted.x)
    np.testing.assert_array_equal(X[:, table.names.index("year")], wanted.year)
    np.testing.assert_array_equal(rows.Y[order, 0], wanted.y)
    town = wanted.town.fillna("missing").to_numpy(object)
    for value in {"Ulm", "Köln a/b", "missing"} - {table.encoding.columns[2].base}:
        np.testing.assert_array_equal(X[:, table.names.index(f"town={value}")], town == value)
    codes = gdcore.open_table(hive, "y", missing="mean", categorical=["year"], exclude=["town", "x"])
    assert {codes.encoding.columns[0].base, *codes.encoding.columns[0].values} == {"2020", "2021", "2022"}
    assert codes.read().X.sum() == sum(wanted.year.astype(str) != codes.encoding.columns[0].base)


def test_a_model_of_such_folders(hive, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert parser.main(["train", "hive", "--target", "y", "--missing", "mean", "--quiet"]) == 0
    for command in (["--keep", "year,x"], ["--keep", "year,x", "--na", "2020"]):
        assert parser.main(["predict", "hive.safetensors", "hive", "--out", "p.csv", *command]) == 0
        told = pandas.read_csv("p.csv", keep_default_na=True)
        assert sorted(told.year.dropna().unique()) in ([2020, 2021, 2022], [2021, 2022])
        assert len(told) == N
        assert told.prediction.notna().all()


def test_days_in_folders_are_dates(tmp_path):
    days = np.random.default_rng(0).choice(["2024-01-05", "2024-02-07", "2024-03-02"], N)
    pandas.DataFrame({"x": X, "day": days, "y": Y}).to_parquet(tmp_path / "d", partition_cols=["day"], index=False)
    with pytest.raises(gdcore.TableError, match=r"d: column day holds dates, of which dates=\['day'\] makes numbers"):
        gdcore.open_table(tmp_path / "d", "y")
    table = gdcore.open_table(tmp_path / "d", "y", dates=["day"])
    assert sorted(table.read().X[:, table.names.index("day month")]) == sorted(int(day[5:7]) for day in days)


def test_folders_that_are_no_table(said, tmp_path):
    def file(path):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(PLAIN)

    file("a/b/t.csv")
    file("a/c/d/t.csv")
    assert said("train", "a", "--target", "y") == "gdcore: a has tables in folders only; give these folders: a/b a/c/d\n"
    file("h/year=1/t.csv")
    file("h/year=2/m=3/t.csv")
    assert "gdcore: year=2/m=3/t.csv and year=1/t.csv lie in folders of different depth or other names; tables that" in said(
        "train", "h", "--target", "y"
    )
    file("i/year=1/old/t.csv")
    file("i/year=1/t.csv")
    assert said("train", "i", "--target", "y") == (
        "gdcore: i/year=1: the folder old has tables, and no name such as year=2024; rename it\n"
    )
    file("k/x=1/t.csv")
    what = "x=1/t.csv: column x is in the file and in the name of its folder; rename one of them"
    assert what in said("train", "k", "--target", "y")
    file("m/t.csv")
    file("m/more/t.csv")
    table = gdcore.open_table("m", "y")
    with pytest.warns(gdcore.TableWarning, match="m: the tables of folders in it are not read; to read them as .*: m/more"):
        assert len(table.read().X) == N


# Names and codes -------------------------------------------------------------------------------------------------------------


def test_blanks_around_names_do_not_count_in_any_file(tmp_path, plain):
    columns = {" x": X, "k ": np.arange(N) % 3, " y ": Y.round(3)}
    (tmp_path / "t.csv").write_text(PLAIN.replace("x,k,y", " x,k , y "))
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    pf.write_feather(pa.table(columns), str(tmp_path / "t.feather"))
    for name in ("t.csv", "t.parquet", "t.feather"):
        np.testing.assert_array_equal(read(tmp_path / name), plain)
    pq.write_table(pa.table({"x": X, " x": X, "y": Y}), tmp_path / "t.parquet")
    with pytest.raises(gdcore.TableError, match=r"t\.parquet: columns 1 and 2 have the same name x; rename one of them"):
        gdcore.open_table(tmp_path / "t.parquet", "y")


@pytest.mark.parametrize("text", ["{}", " {}", '"{}"'])
def test_leading_zeros_are_told(tmp_path, text):
    codes = [text.format(["01234", "10115", "0"][i % 3]) for i in range(N)]
    (tmp_path / "t.csv").write_text("zip,t,y\n" + "".join(f"{code},0.5{i},{i}\n" for i, code in enumerate(codes)))
    table = gdcore.open_table(tmp_path / "t.csv", "y")
    what = "t.csv: column zip has numbers that begin with 0, such as 01234, as codes do"
    with pytest.warns(gdcore.TableWarning) as told:
        table.read()
    assert [str(one.message) for one in told] == [f"{what}; categorical=['zip'] takes them as categories"]
    read(tmp_path / "t.csv", categorical=["zip"])
    read(tmp_path / "t.csv", exclude=["zip"])
    (tmp_path / "u.csv").write_text("k,t,y\n" + "".join(f"{i % 7},0.5{i},{i}\n" for i in range(N)))
    read(tmp_path / "u.csv")  # numbers such as 0 and 0.5 are no codes
