"""Numbers in disguise: read where they have one reading, told where they have two, and never categories in silence."""

import warnings

import numpy as np
import pytest

import gdcore
from gdcore.cli import parser
from gdcore.rows.filetable import TableWarning
from gdcore.rows.written import Writing, advice, writing

pa = pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")
import pyarrow.parquet as pq  # noqa: E402

N = 60
NUMBERS = [((37 * i) % 89 + 1) * 101.5 for i in range(1, N + 1)]  # some below and some above a thousand, the first above


def english(number):
    return f"{number:,}"


def german(number):
    return f"{number:,}".translate(str.maketrans(",.", ".,"))


FORMS = {
    "1,234.5": (english, None),
    "1.234,5": (german, ","),
    "1 234.5, no-break space": (lambda a: english(a).replace(",", "\u00a0"), None),
    "1 234.5, thin space": (lambda a: english(a).replace(",", "\u2009"), None),
    "1 234.5, narrow space": (lambda a: english(a).replace(",", "\u202f"), None),
    "1'234.5": (lambda a: english(a).replace(",", "'"), None),
    "1\u2019234.5": (lambda a: english(a).replace(",", "\u2019"), None),
    "1,234 where it is said": (lambda a: f"{int(2 * a):,}", "."),
    "1.234 where it is said": (lambda a: german(int(2 * a)), ","),
    "70 kg": ("{} kg".format, None),
    "70kg": ("{}kg".format, None),
    "70 rooms": ("{} rooms".format, None),
    "EUR 450": ("EUR {}".format, None),
    "450 EUR": ("{} EUR".format, None),
    "$450": ("${:,}".format, None),
    "-$450": ("-${:,}".format, None),
    "$-450": ("$-{:,}".format, None),
    "Fr. 450": ("Fr. {}".format, None),
    "1,5 €": (lambda a: german(a) + " €", ","),
    "5 %": ("{} %".format, None),
    "5%": ("{}%".format, None),
    "19M": ("{}M".format, None),
    "1.5D+03": (lambda a: f"{a:.5E}".replace("E", "D"), None),
    "(123)": ("({})".format, None),
    "($1,234)": ("(${:,})".format, None),
    "123-": ("{}-".format, None),
    "\u2212123": ("\u2212{}".format, None),
    "+123 m": ("+{} m".format, None),
}
NEGATIVE = ("-$450", "$-450", "(123)", "($1,234)", "123-", "\u2212123")


def numbers(form):
    scale = 2 if "where it is said" in form else 1
    return np.array(NUMBERS) * (-scale if form in NEGATIVE else scale)


def opened(path, **options):
    """The rows, the table, and what it warns of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", TableWarning)
        table = gdcore.open_table(path, "y", **options)
        rows = table.read()
    return rows, table, [str(warning.message) for warning in told]


def write(path, x, y):
    path.write_text("x;y\n" + "".join(f"{a};{b}\n" for a, b in zip(x, y, strict=True)), encoding="utf-8")


@pytest.mark.parametrize("form", FORMS)
def test_a_number_with_one_reading_is_read_and_told(tmp_path, form):
    spell, decimal = FORMS[form]
    texts = [spell(number) for number in NUMBERS]
    write(tmp_path / "f.csv", texts, range(N))
    rows, table, told = opened(tmp_path / "f.csv", delimiter=";", decimal=decimal)
    assert table.names == ["x"]
    assert np.array_equal(rows.X[:, 0], numbers(form))
    assert told[0].startswith(
        f"f.csv: column x has numbers written as text, and {texts[0]!r} is read as {numbers(form)[0]:.15g}"
    )
    assert len(told) == 1
    write(tmp_path / "t.csv", range(N), texts)
    rows, table, told = opened(tmp_path / "t.csv", delimiter=";", decimal=decimal)
    assert (table.loss.name, table.classes) == ("mse", None)
    assert np.array_equal(rows.Y[:, 0], numbers(form))
    assert len(told) == 1


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["1,234", "5,678"], "'1,234' is not a number; a decimal comma needs decimal=',', and commas between thousands need "
         "decimal='.'"),
        (["1,2", "5,678"], "'1,2' is not a number; a decimal comma needs decimal=','"),
        (["1.234.567", "2.345.678"], "'1.234.567' is not a number; points between thousands need decimal=','"),
        (["70 kg", "150 lb"], "'70 kg' is not a number; write the whole column in one unit, or take out all but digits and "
         "the decimal point"),
        (["~123", "~125"], "'~123' is not a number; take out all but digits and the decimal point"),
        (["=123", "=125"], "'=123' is not a number; take out all but digits and the decimal point"),
        (["1,000.5+", "2,000.5+"], "'1,000.5+' is not a number; take out all but digits and the decimal point"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("role", ["feature", "target"])
def test_a_number_with_two_readings_is_told_with_its_place(tmp_path, texts, message, role):
    texts = [texts[i % 2] for i in range(N - 1)] + [texts[0].replace("3", "4", 1) + ""]  # three values: no classes
    write(tmp_path / "t.csv", *((texts, range(N)) if role == "feature" else (range(N), texts)))
    with pytest.raises(gdcore.TableError) as error:
        gdcore.open_table(tmp_path / "t.csv", "y", delimiter=";")
    assert str(error.value) == f"t.csv, line 2, column {'x' if role == 'feature' else 'y'}: {message}"


@pytest.mark.parametrize("texts", [["Room 1", "Room 12"], ["A1", "A2"], ["1st", "2nd"], ["1/2", "1/3"], ["1-2", "2-3"],
                                   ["12:3x", "11:x"], ["0176 12", "1 1"], ["v1", "v2"], ["10XL", "5XS"]], ids=str)  # fmt: skip
def test_what_is_no_number_stays_a_category(tmp_path, texts):
    write(tmp_path / "t.csv", [texts[i % 2] for i in range(N)], range(N))
    _, table, told = opened(tmp_path / "t.csv", delimiter=";")
    assert table.encoding.columns[0].kind == "category"
    assert told == []
    assert all(advice(text) is None for text in texts)


def test_codes_that_are_text_on_purpose_stay_categories(tmp_path):
    pq.write_table(pa.table({"zip": ["01234", "10115"] * 20, "y": range(40)}), tmp_path / "t.parquet")
    _, table, told = opened(tmp_path / "t.parquet")
    assert table.encoding.columns[0].kind == "category"
    assert told == ["t.parquet: column zip is text with numbers in it, and is taken as categories"]


def test_missing_values_of_numbers_in_text(tmp_path):
    texts = ["" if i % 7 == 3 else f"{a} kg" for i, a in enumerate(NUMBERS)]
    write(tmp_path / "t.csv", texts, range(N))
    known = np.array([text != "" for text in texts])
    rows, _, _ = opened(tmp_path / "t.csv", delimiter=";", missing="drop")
    assert np.array_equal(rows.X[:, 0], np.array(NUMBERS)[known])
    for share in (0.0, 0.3):
        rows, _, _ = opened(tmp_path / "t.csv", delimiter=";", missing="mean", test_size=share)
        trains = np.isin(np.arange(N), rows.Y[:, 0])
        mean = np.array(NUMBERS)[known & trains].mean()
        np.testing.assert_allclose(rows.X[:, 0], np.where(known, NUMBERS, mean)[trains], rtol=1e-14)
    with pytest.raises(gdcore.TableError, match=r"t\.csv, line 5, column x: a value is missing; missing='drop'"):
        opened(tmp_path / "t.csv", delimiter=";")


def test_classes_that_are_asked_for_stay_text(tmp_path):
    write(tmp_path / "t.csv", range(N), [("5 %", "10 %", "15 %")[i % 3] for i in range(N)])
    assert opened(tmp_path / "t.csv", delimiter=";", loss="softmax")[1].labels == ("10 %", "15 %", "5 %")
    assert opened(tmp_path / "t.csv", delimiter=";")[1].labels == ()
    write(tmp_path / "t.csv", range(N), [("5 %", "10 %")[i % 2] for i in range(N)])
    assert opened(tmp_path / "t.csv", delimiter=";")[1].labels == ("10 %", "5 %")
    assert opened(tmp_path / "t.csv", delimiter=";", loss="mse")[0].Y[:3, 0].tolist() == [5, 10, 5]


def test_a_model_reads_new_tables_likewise(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", [f"{a:,} kg" for a in NUMBERS], NUMBERS)
    assert parser.main(["train", "t.csv", "--target", "y", "--delimiter", ";", "--quiet"]) == 0
    assert gdcore.open_table("t.csv", "y", delimiter=";").encoding.columns[0].writing == Writing(".", "kg")
    pq.write_table(pa.table({"x": [1500.0, -2.5]}), "numbers.parquet")
    pq.write_table(pa.table({"x": ["1,500 kg", "-2.5"]}), "text.parquet")
    (tmp_path / "text.csv").write_text("x;z\n1,500.0 kg;1\n\u22122.5kg;1\n", encoding="utf-8")
    (tmp_path / "comma.csv").write_text("x;z\n1.500 kg;1\n-2,5 kg;1\n")
    (tmp_path / "plain.csv").write_text("x;z\n1500;1\n-2.5;1\n")
    csv = ["--delimiter", ";", "--exclude", "z"]
    for name, *options in (
        ("numbers.parquet",), ("text.parquet",), ("text.csv", *csv), ("plain.csv", *csv),
        ("comma.csv", *csv, "--decimal", ","),
    ):  # fmt: skip
        assert parser.main(["predict", "t.safetensors", name, *options, "--out", "p.csv", "--quiet"]) == 0
        found = [float(line) for line in (tmp_path / "p.csv").read_text().split()[1:]]
        np.testing.assert_allclose(found, [1500.0, -2.5], atol=1e-6)
    (tmp_path / "pounds.csv").write_text("x;z\n1500 kg;1\n70 lb;1\n")
    capsys.readouterr()
    command = ["predict", "t.safetensors", "pounds.csv", "--delimiter", ";", "--exclude", "z", "--out", "q.csv"]
    assert parser.main(command) == 2
    assert capsys.readouterr().err == (
        "gdcore: pounds.csv, line 3, column x: '70 lb' is not a number in kg; mend it, or leave out its row or its column\n"
    )


def test_long_texts_cost_nothing():
    assert writing(["1 " * 100_000, "1," * 100_000]) is None
    assert advice("1 " * 100_000) is None
