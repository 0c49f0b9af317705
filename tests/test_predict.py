"""`gdcore predict`: what it writes, what it carries along, and what it does not write over."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

import gdcore
from gdcore.cli import parser

pa = pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")
import pyarrow.csv as pc  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

ROWS = [(3.0 * i + 0.25, ("Ulm", "Bonn", "Kiel")[i % 3], 7 + 2.0 * i + (i % 3)) for i in range(30)]
TRAINED = "area,town,rent\n" + "".join(f"{a},{t},{y}\n" for a, t, y in ROWS)
# The first, the last and one row between cannot be predicted.
NEW = "id,area,town,day\n" + "".join(
    f"{i:03d},{'' if i in (0, 4, 7) else i + 0.5},Ulm,2024-01-0{i + 1}\n" for i in range(8)
)  # fmt: skip
GONE = [0, 4, 7]
PLAIN = ["--exclude", "id,day"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The bytes of a model of rents, and of one of towns."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "t.csv").write_text(TRAINED)
    made = {}
    for name, target in (("m.safetensors", "rent"), ("c.safetensors", "town")):
        command = ["train", folder / "t.csv", "--target", target, "--missing", "drop", "--out", folder / name, "--quiet"]
        assert parser.main([str(argument) for argument in command]) == 0
        made[name] = (folder / name).read_bytes()
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch, models):
    """A folder with a table, models of it, and one to predict."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TRAINED)
    (tmp_path / "new.csv").write_text(NEW)
    for name, data in models.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def expected(folder):
    """The predictions, by the model's formula."""
    model = gdcore.load("m.safetensors")
    at = dict(zip([*model.columns, "bias"], [*model.weights, float(model.bias)], strict=True))
    town = at.get("town=Ulm", 0.0)
    return np.array([np.nan if i in GONE else (i + 0.5) * at["area"] + town + at["bias"] for i in range(8)])


def by_pandas(path):
    pandas = pytest.importorskip("pandas")
    return pandas.read_csv(path)["prediction"].to_numpy()


def by_polars(path):
    polars = pytest.importorskip("polars")
    return polars.read_csv(path)["prediction"].to_numpy()


def by_arrow(path):
    return pc.read_csv(path)["prediction"].to_numpy()


def by_csv(path):
    with open(path, newline="") as file:
        return np.array([float(row["prediction"]) for row in csv.DictReader(file)])


def by_numpy(path):
    return np.loadtxt(path, skiprows=1)


def by_gdcore(path):
    (source,) = [gdcore.rows.files.opening.open_source(path)]
    return np.concatenate([batch.column(0).to_numpy(zero_copy_only=False) for batch in source.batches(["prediction"])])


@pytest.mark.parametrize("read", [by_pandas, by_polars, by_arrow, by_csv, by_numpy, by_gdcore])
def test_a_row_in_is_a_row_out_in_every_reader(folder, gd, read):
    status, _, err = gd("predict", "m.safetensors", "new.csv", "--out", "p.csv", *PLAIN)
    assert (status, err) == (0, "gdcore: warning: 3 of 8 rows have a missing value, and their prediction is empty\n")
    np.testing.assert_allclose(read("p.csv"), expected(folder), rtol=1e-12)


def test_a_row_in_is_a_row_out_where_there_are_classes(folder, gd):
    (folder / "n.csv").write_text("area,rent\n1,9\n,9\n3,\n4,15\n")
    assert gd("predict", "c.safetensors", "n.csv", "--out", "p.csv")[0] == 0
    (source,) = [gdcore.rows.files.opening.open_source("p.csv")]
    (batch,) = source.batches(["prediction", "probability of Ulm"])
    assert batch.column(0).is_valid().to_pylist() == batch.column(1).is_valid().to_pylist() == [True, False, False, True]
    assert gd("predict", "c.safetensors", "n.csv", "--out", "p.parquet")[0] == 0
    assert pq.read_table("p.parquet")["prediction"].is_valid().to_pylist() == [True, False, False, True]


def test_in_parquet_what_is_missing_is_null(folder, gd):
    assert gd("predict", "m.safetensors", "new.csv", "--out", "p.parquet", *PLAIN)[0] == 0
    found = pq.read_table("p.parquet")["prediction"]
    assert [i for i, valid in enumerate(found.is_valid().to_pylist()) if not valid] == GONE


def test_columns_that_are_kept_stand_beside_the_predictions_as_they_were(folder, gd):
    assert gd("predict", "m.safetensors", "new.csv", "--keep", "id,area,day", "--out", "p.csv")[0] == 0
    with open("p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "area", "day", "prediction"]
    given = list(csv.DictReader(io.StringIO(NEW)))
    assert [{name: row[name] for name in ("id", "area", "day")} for row in rows] == [
        {name: row[name] for name in ("id", "area", "day")} for row in given
    ]
    np.testing.assert_allclose([float(row["prediction"]) for row in rows], expected(folder), rtol=1e-12)


def test_columns_of_parquet_are_kept_with_their_types(folder, gd):
    table = pa.table(
        {
            "id": pa.array([1, 2, None], pa.int16()),
            "day": pa.array([0, 1, 2], pa.date32()),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
            "span": pa.array([1, 2, 3], pa.duration("s")),
            "several": [[1], [2, 3], []],
            "area": [1.0, 2.0, 3.0],
            "town": ["Ulm", "Bonn", "Kiel"],
        }
    )
    pq.write_table(table, "n.parquet")
    kept = ["id", "day", "span", "several", "town"]
    assert (
        gd("predict", "m.safetensors", "n.parquet", "--keep", ",".join(kept), "--exclude", "kind", "--out", "p.parquet")[0]
        == 0
    )
    found = pq.read_table("p.parquet")
    assert found.select(kept).equals(table.select(kept))
    status, _, err = gd(
        "predict", "m.safetensors", "n.parquet", "--keep", "several", "--exclude", "id,day,kind,span", "--out", "p.csv"
    )
    assert status == 2
    assert err.startswith("gdcore: the columns of n.parquet that are to be kept cannot be written: ")
    assert not (folder / "p.csv").exists()


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("idd", "new.csv has no column idd (--keep); did you mean id?"),
        ("id,id", "--keep names column id twice; once is enough"),
        ("prediction", "--keep: column prediction has the name of a column of predictions; rename it in the table"),
    ],
)
def test_columns_that_cannot_be_kept(folder, gd, keep, message):
    (folder / "new.csv").write_text(NEW.replace("day", "prediction"))
    status, _, err = gd("predict", "m.safetensors", "new.csv", "--keep", keep, "--exclude", "id,prediction", "--out", "p.csv")
    assert (status, err) == (2, f"gdcore: {message}\n")


def test_predictions_on_the_standard_output(folder):
    command = [
        sys.executable,
        "-m",
        "gdcore",
        "predict",
        "m.safetensors",
        "new.csv",
        "--keep",
        "id",
        "--exclude",
        "day",
        "--out",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0
    assert done.stderr == "gdcore: warning: 3 of 8 rows have a missing value, and their prediction is empty\n"
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    np.testing.assert_allclose([float(row["prediction"]) for row in rows], expected(folder), rtol=1e-12)
    assert [row["id"] for row in rows] == [f"{i:03d}" for i in range(8)]
    head = subprocess.run(
        ["bash", "-c", '"$@" | head -n 1', "bash", *command], capture_output=True, encoding="utf-8", timeout=120
    )  # fmt: skip
    assert head.stdout == "id,prediction\n"
    assert "Traceback" not in head.stderr


def links(folder):
    """Names that all lead to new.csv."""
    (folder / "soft.csv").symlink_to("new.csv")
    (folder / "hard.csv").hardlink_to("new.csv")
    return ["new.csv", str(folder / "new.csv"), "./new.csv", "soft.csv", "hard.csv"]


def test_predictions_never_go_over_what_is_read(folder, gd):
    for name in links(folder):
        status, _, err = gd("predict", "m.safetensors", "new.csv", "--out", name, *PLAIN)
        assert (status, err) == (
            2,
            f"gdcore: --out {name}: that is a file of the table, which is only read; give another name\n",
        )
    (folder / "parts").mkdir()
    (folder / "parts" / "a.csv").write_text(NEW)
    assert gd("predict", "m.safetensors", "parts", "--out", "parts/a.csv", *PLAIN)[0] == 2
    (folder / "model.csv").symlink_to("m.safetensors")
    status, _, err = gd("predict", "m.safetensors", "new.csv", "--out", "model.csv", *PLAIN)
    assert (status, err) == (2, "gdcore: --out model.csv: that is the model, which is only read; give another name\n")
    assert (folder / "new.csv").read_text() == (folder / "parts" / "a.csv").read_text() == NEW
    gdcore.load("m.safetensors")


def test_a_training_never_goes_over_what_is_read(folder, gd):
    (folder / "l.safetensors").symlink_to("t.csv")
    (folder / "l.png").symlink_to("t.csv")
    (folder / "l.html").hardlink_to("t.csv")
    for option, name in (("--out", "l.safetensors"), ("--plot", "l.png"), ("--report", "l.html"), ("--checkpoint", "t.csv")):
        status, _, err = gd("train", "t.csv", "--target", "rent", option, name)
        assert (status, err) == (
            2,
            f"gdcore: {option} {name}: that is a file of the table, which is only read; give another name\n",
        )
    assert (folder / "t.csv").read_text() == TRAINED
    (folder / "one.png").write_bytes(b"")
    (folder / "two.html").hardlink_to(folder / "one.png")
    status, _, err = gd("train", "t.csv", "--target", "rent", "--plot", "one.png", "--report", "two.html")
    assert (status, err) == (2, "gdcore: --report two.html: that is the file of --plot too\n")


def test_what_is_replaced_is_told(folder, gd):
    (folder / "t.html").write_text("a page")
    train = ["train", "t.csv", "--target", "rent", "--report", "t.html", "--missing", "drop"]
    assert gd(*train)[1].splitlines()[-2:] == ["model: t.safetensors", "report: t.html (replaced)"]
    assert json.loads(gd(*train[:4], "--json")[1])["replaced"] == ["t.safetensors"]
    predict = ["predict", "m.safetensors", "new.csv", "--out", "p.csv", *PLAIN]
    assert gd(*predict)[1] == "8 predictions of rent: p.csv\n"
    assert gd(*predict)[1] == "8 predictions of rent: p.csv (replaced)\n"


def test_cells_that_a_spreadsheet_would_take_for_formulas(folder, gd):
    texts = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\tx", "a=b", "1-2", ""]
    columns = {"=id": texts, "area": [1.0, 2, 3, 4, 5, 6, 7, -8], "town": ["Ulm"] * 8}
    pq.write_table(pa.table(columns), "n.parquet")
    command = ["predict", "m.safetensors", "n.parquet", "--keep", "=id,area", "--out", "p.csv"]

    def written(*options):
        assert gd(*command, *options)[0] == 0
        with open("p.csv", newline="") as file:
            head, *rows = csv.reader(file)
        return head, rows

    head, rows = written()
    assert (head, [row[0] for row in rows]) == (["=id", "area", "prediction"], texts)
    head, safe = written("--safe-cells")
    assert (head, [row[0] for row in safe]) == (["'=id", "area", "prediction"], [f"'{t}" for t in texts[:5]] + texts[5:])
    assert [row[1:] for row in safe] == [row[1:] for row in rows]  # numbers are numbers


TOWNS = "area,town\n1,Ulm\n2,Jena\n3,Kiel\n,Jena\n5,Gera\n6,\n7,Bonn\n"


def predictions(path="p.csv"):
    with open(path, newline="") as file:
        return [float(row["prediction"]) for row in csv.DictReader(file)]


def test_a_category_that_training_had_not(folder, gd):
    """As the commonest by default, without a prediction, or an error."""
    (folder / "n.csv").write_text(TOWNS)
    model = gdcore.load("m.safetensors")
    at = dict(zip(model.columns, model.weights, strict=True))
    base = model.card["encoding"]["columns"][1]["base"]
    towns = {"Jena": 0.0, "Gera": 0.0} | {town: at.get(f"town={town}", 0.0) for town in ("Ulm", "Bonn", "Kiel")}
    wanted = [
        float(area) * at["area"] + towns[town] + float(model.bias) if area and town else np.nan
        for area, town in (line.split(",") for line in TOWNS.split("\n")[1:-1])
    ]
    command = ["predict", "m.safetensors", "n.csv", "--out", "p.csv"]
    status, _, err = gd(*command)
    assert (status, err.splitlines()) == (
        0,
        ["gdcore: warning: 2 of 7 rows have a missing value, and their prediction is empty",
         "gdcore: warning: 2 of 7 rows have a category in column town that the model does not know ('Jena'), and count as the "
         f"commonest, {base}; --unseen empty or error decides otherwise"],
    )  # fmt: skip
    np.testing.assert_allclose(predictions(), wanted, rtol=1e-12)
    status, _, err = gd(*command, "--unseen", "empty")
    said = (
        "gdcore: warning: 4 of 7 rows have a missing value or a category that the model does not know, and their prediction is"
    )
    assert (status, err) == (0, f"{said} empty\n")
    np.testing.assert_allclose(predictions(), [np.nan if i in (1, 4) else p for i, p in enumerate(wanted)], rtol=1e-12)
    (folder / "p.csv").unlink()
    status, _, err = gd(*command, "--unseen", "error")
    known = ", ".join([base, *model.card["encoding"]["columns"][1]["values"]])
    assert (status, err) == (
        2, f"gdcore: n.csv, line 3, column town: 'Jena' is none of {known}, which the model knows; mend it, or leave out its "
        "row or its column, or take --unseen base or --unseen empty\n",
    )  # fmt: skip
    assert not (folder / "p.csv").exists()


def test_a_model_keeps_what_becomes_of_new_categories(folder, gd):
    train = ["train", "t.csv", "--target", "rent", "--quiet", "--out", "k.safetensors"]
    command = ["predict", "k.safetensors", "n.csv", "--out", "p.csv"]
    (folder / "n.csv").write_text("area,town\n1,Ulm\n2,Jena\n")
    for kept, asked, becomes in (
        ("error", None, "error"), ("error", "base", "base"), ("empty", None, "empty"), ("empty", "error", "error"),
        (None, None, "base"), (None, "empty", "empty"),
    ):  # fmt: skip
        assert gd(*train, *(["--unseen", kept] if kept else []))[0] == 0
        status = gd(*command, *(["--unseen", asked] if asked else []))[0]
        assert status == (2 if becomes == "error" else 0)
        if becomes != "error":
            assert np.isnan(predictions()).tolist() == [False, becomes == "empty"]
    with pytest.raises(ValueError, match="unseen must be 'base', 'empty' or 'error', found 'no'"):
        gdcore.open_table("t.csv", "rent", unseen="no")


def test_a_model_of_filled_columns_fills_new_ones(folder, gd):
    rows = [(a if i % 4 else "", t if i % 7 else "", y if i % 5 else "") for i, (a, t, y) in enumerate(ROWS)]
    (folder / "f.csv").write_text("area,town,rent\n" + "".join(f"{a},{t},{y}\n" for a, t, y in rows))
    status, out, err = gd("train", "f.csv", "--target", "rent", "--missing", "mean", "--test-size", "0")
    assert (status, err) == (0, "")
    assert "f.csv: 30 rows, 3 columns; 6 rows left out because the target is missing" in out
    assert "missing where it is missing" in out
    model = gdcore.load("f.safetensors")
    at = dict(zip(model.columns, model.weights, strict=True))
    mean = np.mean([a for a, _, y in rows if a != "" and y != ""])
    (folder / "n.csv").write_text("area,town\n1,Ulm\n,\n2,\n")
    assert gd("predict", "f.safetensors", "n.csv", "--out", "p.csv")[::2] == (0, "")
    towns = [at.get(f"town={town}", 0.0) for town in ("Ulm", "missing", "missing")]
    wanted = [area * at["area"] + town + float(model.bias) for area, town in zip([1, mean, 2], towns, strict=True)]
    np.testing.assert_allclose(predictions(), wanted, rtol=1e-12)
    told = json.loads(gd("inspect", "f.csv", "--target", "rent", "--json")[1])
    assert told["missing"] == {"area": 8, "town": 5, "rent": 6}
    assert "  missing values: 8 in area, 5 in town, 6 in rent\n" in gd("inspect", "f.csv", "--target", "rent")[1]
    # Without missing text in training, a model does not know what it means.
    (folder / "f.csv").write_text(
        "area,town,rent\n" + "".join(f"{a},{t},{y}\n" for a, (_, t, y) in zip(range(30), ROWS, strict=True))
    )
    assert gd("train", "f.csv", "--target", "rent", "--missing", "mean", "--quiet")[0] == 0
    status, _, err = gd("predict", "f.safetensors", "n.csv", "--out", "p.csv")
    assert (status, err) == (
        2, "gdcore: n.csv, line 3, column town: a value is missing, and none was when the model was trained; fill it in\n"
    )  # fmt: skip


def test_a_model_keeps_what_stands_for_a_missing_value(folder, gd):
    (folder / "q.csv").write_text(
        "area,town,rent\n" + "".join(f"{a if i % 5 else '?'},{t},{y}\n" for i, (a, t, y) in enumerate(ROWS))
    )
    assert gd("train", "q.csv", "--target", "rent", "--missing", "drop", "--na", "?,-1", "--quiet")[0] == 0
    (folder / "n.csv").write_text("area,town\n?,Ulm\n2,-1\n3,Ulm\n-,Ulm\n")
    status, _, err = gd("predict", "q.safetensors", "n.csv", "--out", "p.csv")
    assert (status, err.split(";")[0]) == (2, "gdcore: n.csv, line 5, column area: '-' is not a number")
    assert gd("predict", "q.safetensors", "n.csv", "--out", "p.csv", "--na", "?,-,-1")[0] == 0
    assert np.isnan(predictions()).tolist() == [True, True, False, True]
    (folder / "n.csv").write_text("area,town\n?,Ulm\n2,-1\n3,Ulm\n")
    assert gd("predict", "q.safetensors", "n.csv", "--out", "p.csv")[0] == 0
    assert np.isnan(predictions()).tolist() == [True, True, False]


def test_codes_are_categories_in_new_tables_too(folder, gd):
    codes = ["01234", "10115", "20095"]
    (folder / "z.csv").write_text("zip,rent\n" + "".join(f"{codes[i % 3]},{[5, 9, 2][i % 3]}\n" for i in range(60)))
    assert gd("train", "z.csv", "--target", "rent", "--loss", "mse", "--categorical", "zip", "--quiet")[::2] == (0, "")
    (folder / "n.csv").write_text("zip\n20095\n01234\n10115\n")
    assert gd("predict", "z.safetensors", "n.csv", "--out", "p.csv")[0] == 0
    np.testing.assert_allclose(predictions(), [2, 5, 9], rtol=1e-9)
    assert "zip=" in gd("inspect", "z.csv", "--target", "rent", "--categorical", "zip")[1]
