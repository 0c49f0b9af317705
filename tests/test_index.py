"""A data frame's index is no column to learn from: pandas writes it into Parquet and CSV, and R its row names."""

import warnings

import numpy as np
import pytest

import gdcore
from gdcore.cli import parser
from gdcore.rows.filetable import TableWarning

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pytest.importorskip("safetensors")
import pyarrow.parquet as pq  # noqa: E402

TOLD = "the rows' index, which tells nothing, and left out; index='keep' takes it as well"


def frame(n=60):
    """Two columns, and a target that is nothing but the number of the row."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "y": np.arange(n) * 10.0})
    return table[table.index % 3 != 0]


def opened(path, **options):
    """The table, and what it warns of."""
    table = gdcore.open_table(path, "y", **options)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", TableWarning)
        rows = table.read()
    return table.names, rows, [str(warning.message) for warning in told]


def two_levels(table):
    return table.set_index([np.arange(len(table)) // 2, np.arange(len(table)) % 2])


KINDS = {
    "without a name": (lambda table: table, ["__index_level_0__"], ["index"]),
    "with a name": (lambda table: table.rename_axis("id"), ["id"], None),
    "of text": (lambda table: table.set_axis([f"row {i}" for i in range(len(table))]), ["__index_level_0__"], ["index"]),
    "of dates": (
        lambda table: table.set_axis(pd.date_range("2024-01-01", periods=len(table))), ["__index_level_0__"], ["index"],
    ),
    "two levels": (two_levels, ["__index_level_0__", "__index_level_1__"], ["index 1", "index 2"]),
    "two levels with names": (lambda table: two_levels(table).rename_axis(["k", "l"]), ["k", "l"], None),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_left_out_and_told(tmp_path, kind):
    change, in_parquet, in_csv = KINDS[kind]
    table = change(frame())
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv")
    for file, index in (("t.parquet", in_parquet), ("t.csv", in_csv)):
        if index is None:  # CSV cannot tell that a column with a name is one
            continue
        names, rows, told = opened(tmp_path / file)
        assert names == ["a", "b"]
        assert np.array_equal(rows.X, table[["a", "b"]].to_numpy())
        which = f"column {index[0]} is" if len(index) == 1 else f"columns {', '.join(index)} are"
        assert told == [f"{file}: {which} {TOLD}"]


@pytest.mark.parametrize("file", ["t.parquet", "t.csv"])
def test_an_index_that_is_kept_or_asked_for(tmp_path, file):
    table = frame()
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv")
    name = "index" if file == "t.csv" else "__index_level_0__"
    names, rows, told = opened(tmp_path / file, index="keep")
    assert (sorted(names), told) == (sorted([name, "a", "b"]), [])
    assert np.array_equal(rows.X[:, names.index(name)], table.index)
    assert opened(tmp_path / file, features=[name])[0] == [name]
    assert opened(tmp_path / file, exclude=[name])[::2] == (["a", "b"], [])
    assert opened(tmp_path / file, weights=name)[2] == []
    with pytest.raises(ValueError, match="index must be 'drop' or 'keep', found 'no'"):
        gdcore.open_table(tmp_path / file, "y", index="no")


def test_a_plain_index_and_other_metadata_are_no_matter(tmp_path):
    frame().reset_index(drop=True).to_parquet(tmp_path / "t.parquet")
    assert opened(tmp_path / "t.parquet")[::2] == (["a", "b"], [])
    columns = {"a": [1.0, 2.0, 4.0], "y": [1.0, 2.0, 3.0]}
    for told in (b"no JSON", b"[]", b'{"index_columns": 3}', b'{"index_columns": [{"kind": "range"}]}', b"\xff"):
        pq.write_table(pa.table(columns).replace_schema_metadata({b"pandas": told}), tmp_path / "t.parquet")
        assert opened(tmp_path / "t.parquet")[::2] == (["a"], [])
    bare = pa.table(columns | {"__index_level_0__": [5, 6, 7]})  # the metadata are lost, the name tells
    pq.write_table(bare, tmp_path / "t.parquet")
    assert opened(tmp_path / "t.parquet")[0] == ["a"]


def test_row_names_of_r_and_columns_that_a_spreadsheet_leaves(tmp_path):
    text = '"","a","y"\n' + "".join(f'"{i}",{i * i},{i}\n' for i in range(1, 9))
    (tmp_path / "r.csv").write_text(text)
    names, rows, told = opened(tmp_path / "r.csv")
    assert (names, told) == (["a"], [f"r.csv: column index is {TOLD}"])
    assert np.array_equal(rows.Y[:, 0], range(1, 9))
    (tmp_path / "s.csv").write_text("a,y,\n" + "".join(f"{i * i},{i},\n" for i in range(1, 9)))
    assert opened(tmp_path / "s.csv")[::2] == (["a"], ["s.csv: column 3 has neither a name nor values: left out"])
    many = '\n,,"a\nm",y,,\n' + "".join(f"{i},0,{i * i},{i},,\n\n" for i in range(1, 9))
    (tmp_path / "m.csv").write_text(many)
    names, rows, told = opened(tmp_path / "m.csv")
    assert (names, len(told)) == (["a\nm"], 2)
    assert np.array_equal(rows.X[:, 0], [i * i for i in range(1, 9)])
    (tmp_path / "m.csv").write_text(many.replace("64", "sixty"))
    with pytest.raises(gdcore.TableError, match=r"m\.csv, line 18, column a\nm: 'sixty' is not a number"):
        opened(tmp_path / "m.csv")
    (tmp_path / "n.csv").write_text(",index,y\n" + "".join(f"{i},{i * i},{i}\n" for i in range(1, 9)))
    assert opened(tmp_path / "n.csv", index="keep")[0] == ["index_", "index"]


def test_files_of_one_table_need_not_have_the_same_index(tmp_path):
    frame().to_parquet(tmp_path / "a.parquet")
    frame().reset_index(drop=True).to_parquet(tmp_path / "b.parquet")
    for files in (["a.parquet", "b.parquet"], ["b.parquet", "a.parquet"]):
        names, rows, told = opened([tmp_path / file for file in files])
        assert (names, len(rows.X)) == (["a", "b"], 80)
        assert told == [
            f"{files[0]} and 1 more: column __index_level_0__ is the rows' index in some of the files only, and is left out"
        ]
    frame().to_parquet(tmp_path / "b.parquet")
    assert opened([tmp_path / "a.parquet", tmp_path / "b.parquet"])[2] == [
        f"a.parquet and 1 more: column __index_level_0__ is {TOLD}"
    ]


def test_a_model_predicts_frames_whatever_their_index_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame().to_parquet("t.parquet")
    frame().reset_index(drop=True).to_parquet("plain.parquet")
    frame().rename_axis("id").to_parquet("named.parquet")
    frame().to_csv("t.csv")
    assert parser.main(["train", "t.parquet", "--target", "y", "--quiet"]) == 0
    found = []
    for table in ("t.parquet", "plain.parquet", "named.parquet", "t.csv"):
        assert parser.main(["predict", "t.safetensors", table, "--out", "p.csv"]) == 0
        found.append(pd.read_csv("p.csv").prediction.to_numpy())
        assert np.array_equal(found[-1], found[0])
    assert parser.main(["train", "t.parquet", "--target", "y", "--index", "keep", "--quiet"]) == 0
    assert "__index_level_0__" in gdcore.load("t.safetensors").columns
    assert parser.main(["predict", "t.safetensors", "t.parquet", "--out", "p.csv"]) == 0
    capsys.readouterr()
    assert parser.main(["predict", "t.safetensors", "plain.parquet", "--out", "p.csv"]) == 2
    assert "plain.parquet has no column __index_level_0__" in capsys.readouterr().err
