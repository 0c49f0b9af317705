"""Tables that are wrong, through the command line: what is said of each, with the place, and that nothing is left behind.

Every message is written out here, so that whoever changes one reads it as its reader will.
"""

# ruff: noqa: E501  (messages are not broken)

import datetime
import decimal
import gzip
import io
import itertools
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import gdcore
from gdcore.cli import parser
from gdcore.rows.files import csvfile, csvtext, kept, opening, sources

pa = pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")
import pyarrow.parquet as pq  # noqa: E402

N = 40
AREA = [40 + 3 * i for i in range(N)]
ROOMS = [i % 4 + 1 for i in range(N)]
TOWN = [("Ulm", "Bonn", "Trier")[i % 3] for i in range(N)]
RENT = [300 + 7 * i + (i * i) % 11 for i in range(N)]
LINES = ["area,rooms,town,rent", *(f"{a},{r},{t},{y}" for a, r, t, y in zip(AREA, ROOMS, TOWN, RENT, strict=True))]


def rents(changed=(), header=None, delimiter=",", end="\n"):
    """The clean table, with some lines, counted from 1, replaced: (line, text)."""
    lines = dict(enumerate(LINES, 1)) | dict(changed)
    lines[1] = header or lines[1]
    return "".join(lines[i].replace(",", delimiter) + end for i in sorted(lines))


CLEAN = rents()
MISSING = "--missing drop leaves such rows out, --missing mean puts the column's mean there"
MEND = "mend it, or leave out its row or its column"
NOT_UTF8 = "convert the file, for example with iconv -f latin1 -t utf-8"
AGAIN = "copy or make it again"


def with_column(name, values):
    """The clean table with one column more, in front."""
    return "\n".join(f"{value},{line}" for value, line in zip([name, *values], LINES, strict=True)) + "\n"


def parquet(**columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def npy(array, **options):
    sink = io.BytesIO()
    np.save(sink, array, **options)
    return sink.getvalue()


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def there(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder with some files: exit status, lines on stderr, the files that are new."""
    monkeypatch.chdir(tmp_path)

    def run(files, *arguments):
        write(tmp_path, files)
        before = there(tmp_path)
        status = parser.main(list(arguments))
        said = capsys.readouterr()
        after = there(tmp_path)
        assert {path: after.get(path) for path in before} == before  # what was there is as it was
        # Small tables have columns that depend on others by chance; that this is told is seen in test_dependence.py.
        lines = [line for line in said.err.splitlines() if " of X depend on others: " not in line]
        return status, lines, sorted(path.name for path in after.keys() - before.keys())

    return run


def is_refused(result, message):
    status, lines, new = result
    assert lines == [f"gdcore: {message}"]
    assert status == 2
    assert new == []


TRAIN = ("--target", "rent", "--quiet")

CSV = {
    # what is there ------------------------------------------------------------------------------------------------------------
    "no bytes": ("", "t.csv is empty: it has no bytes at all; make it again"),
    "header only": (rents()[:21], "t.csv has a line of column names and no rows; a model needs some"),
    "header only, no newline": (rents()[:20], "t.csv has a line of column names and no rows; a model needs some"),
    "blank lines only": ("\n\n\n", "t.csv, line 1: there are no column names; the first line has to name the columns"),
    "one row": ("area,rent\n1,2\n", "t.csv has one row; a model needs two"),
    "missing header": (
        "1.5,2,3\n2,2.5,4\n3,3,5.5\n",
        "t.csv, line 1: 1.5, 2, 3 are numbers; the first line has to name the columns: put one there",
    ),
    "a comment above the names": (
        "# made by a machine\n" + CLEAN,
        "t.csv, line 1: '# made by a machine' is taken for the column names; --comment '#' skips lines that begin so",
    ),
    "several blanks between, and quotes": (
        CLEAN.replace(",", "   ").replace("Ulm", '"Ulm"'),
        "t.csv, line 1: the only column would be 'area   rooms   town   rent'; if blanks are between the values, say "
        "--delimiter blanks",
    ),
    "a comment between the rows": (
        rents([(7, "# half of them")]),
        "t.csv, line 7: 1 value, and the header has 4 names: '# half of them'; --comment '#' skips lines that begin so",
    ),
    "duplicate names": (
        rents(header="area,rooms,area,rent"),
        "t.csv, line 1: columns 1 and 3 have the same name area; rename one of them",
    ),
    "duplicate names but for blanks": (
        rents(header="area,rooms, area ,rent"),
        "t.csv, line 1: columns 1 and 3 have the same name area; rename one of them",
    ),
    "blank name": (rents(header="area,,town,rent"), "t.csv, line 1: column 2 of 4 has no name; give it one"),
    "name of blanks": (rents(header="area,  ,town,rent"), "t.csv, line 1: column 2 of 4 has no name; give it one"),
    "long row": (
        rents([(7, "55,2,Trier,338,9")]),
        "t.csv, line 7: 5 values, and the header has 4 names: '55,2,Trier,338,9'; put values with a delimiter in quotation marks",
    ),
    "short row": (
        rents([(7, "55,2,Trier")]),
        "t.csv, line 7: 3 values, and the header has 4 names: '55,2,Trier'; add what is missing",
    ),
    "line of blanks": (
        rents([(7, "   ")]),
        "t.csv, line 7: nothing but blanks; take the line out",
    ),
    "short last row": (
        rents([(41, "55")]),
        "t.csv, line 41: 1 value, and the header has 4 names: '55'; add what is missing",
    ),
    "a line of another kind at the end": (
        CLEAN + "total: 40 rows\n",
        "t.csv, line 42: 1 value, and the header has 4 names: 'total: 40 rows'; add what is missing",
    ),
    "semicolons": (
        rents(delimiter=";"),
        "t.csv, line 1: the only column would be 'area;rooms;town;rent'; if ';' is between the values, say --delimiter ';'",
    ),
    "tabulators": (
        rents(delimiter="\t"),
        "t.csv, line 1: the only column would be 'area\\trooms\\ttown\\trent'; if a tabulator is between the values, say "
        "--delimiter tab",
    ),
    "bars": (
        rents(delimiter="|"),
        "t.csv, line 1: the only column would be 'area|rooms|town|rent'; if '|' is between the values, say --delimiter '|'",
    ),
    # bytes --------------------------------------------------------------------------------------------------------------------
    "UTF-16": (
        CLEAN.encode("utf-16"),
        "t.csv is UTF-16, not UTF-8: convert it, for example with iconv -f utf-16 -t utf-8",
    ),
    "UTF-32": (
        CLEAN.encode("utf-32"), "t.csv is UTF-32, not UTF-8: convert it, for example with iconv -f utf-32 -t utf-8",
    ),
    "UTF-32, the other order": (
        b"\0\0\xfe\xff" + CLEAN.encode("utf-32-be"),
        "t.csv is UTF-32, not UTF-8: convert it, for example with iconv -f utf-32 -t utf-8",
    ),
    "UTF-16 without its mark": (
        CLEAN.encode("utf-16-le"),
        "t.csv, line 1: a NUL byte, which text does not have: the file is damaged, or no CSV in UTF-8",
    ),
    "Latin-1 value": (
        rents([(7, "55,2,Köln,335")]).encode("latin1"),
        f"t.csv, line 7: byte F6 in '55,2,K\ufffdln,335' is not UTF-8; {NOT_UTF8}",
    ),
    "Latin-1 name": (
        rents(header="Fläche,rooms,town,rent").encode("latin1"),
        f"t.csv, line 1: byte E4 in 'Fl\ufffdche,rooms,town,rent' is not UTF-8; {NOT_UTF8}",
    ),
    "bad UTF-8 in a number": (
        CLEAN.encode().replace(b"55,2", b"5\xff5,2"),
        f"t.csv, line 7: byte FF in '5\ufffd5,2,Trier,338' is not UTF-8; {NOT_UTF8}",
    ),
    "NUL": (
        rents([(7, "55,2,Tri\0er,335")]),
        "t.csv, line 7: a NUL byte, which text does not have: the file is damaged, or no CSV in UTF-8",
    ),
    "lone CR": (rents(end="\r"), "t.csv: its lines end in lone CR characters; convert them, for example with tr '\\r' '\\n'"),
    "Parquet": (
        parquet(area=AREA, rent=RENT),
        "t.csv is a Parquet file, not CSV: give it the ending .parquet",
    ),
    "NumPy": (npy(np.eye(3)), "t.csv is a NumPy array, not CSV: give it the ending .npy"),
    "an Excel workbook": (
        b"PK\x03\x04" + bytes(40),
        "t.csv is a zip archive or an Excel workbook, not CSV: unpack it, or save it as CSV",
    ),
    "gzip": (gzip.compress(CLEAN.encode()), "t.csv is compressed by gzip: give it the ending .csv.gz"),
    # quotation marks ----------------------------------------------------------------------------------------------------------
    "unclosed quote": (
        rents([(7, '55,"2,Trier,338')]),
        "t.csv, line 7: a quotation mark that opens here is never closed; close it",
    ),
    "unclosed quote in the last column": (  # which swallows all lines after it
        rents([(7, '55,2,Trier,"335')]),
        "t.csv, line 7: a quotation mark that opens here is never closed; close it",
    ),
    "unclosed quote in the last line": (
        CLEAN + '1,2,Ulm,"3',
        "t.csv, line 42: a quotation mark that opens here is never closed; close it",
    ),
    "two quotes that swallow the lines between": (
        rents([(7, '55,2,Trier,"338'), (9, '61,4,Bonn,"354')]),
        "t.csv, line 7: more text follows a quotation mark that closes; a quotation mark inside of a value is written twice",
    ),
    "text after a quote": (
        rents([(7, '55,"2"0,Trier,338')]),
        "t.csv, line 7: more text follows a quotation mark that closes; a quotation mark inside of a value is written twice",
    ),
    "quotes in the names": (
        rents(header='"ar"ea,rooms,town,rent'),
        "t.csv, line 1: more text follows a quotation mark that closes; a quotation mark inside of a value is written twice",
    ),
    # values -------------------------------------------------------------------------------------------------------------------
    "missing value": (rents([(7, "55,,Trier,338")]), f"t.csv, line 7, column rooms: a value is missing; {MISSING}"),
    "NA": (rents([(7, "55,NA,Trier,338")]), f"t.csv, line 7, column rooms: a value is missing; {MISSING}"),
    "nan": (rents([(7, "55,nan,Trier,338")]), f"t.csv, line 7, column rooms: a value is missing; {MISSING}"),
    "NAN": (rents([(7, "55,NAN,Trier,338")]), f"t.csv, line 7, column rooms: a value is missing; {MISSING}"),
    "NA with a blank": (
        rents([(7, "55, NA,Trier,338")]),
        "t.csv, line 7, column rooms: ' NA' is not a number; a missing value has no blanks around it",
    ),
    "missing text": (
        rents([(7, "55,2,,335")]),
        "t.csv, line 7, column town: a value is missing; --missing drop leaves such rows out, --missing category makes it a "
        "category of its own",
    ),
    "inf": (rents([(7, "55,inf,Trier,338")]), f"t.csv, line 7, column rooms: an infinite number; {MEND}"),
    "-Infinity": (rents([(7, "55,-Infinity,Trier,338")]), f"t.csv, line 7, column rooms: an infinite number; {MEND}"),
    "1e400": (rents([(7, "55,1e400,Trier,338")]), f"t.csv, line 7, column rooms: an infinite number; {MEND}"),
    "hexadecimal": (
        rents([(7, "0x37,2,Trier,338")]),
        "t.csv, line 7, column area: '0x37' is not a number; write hexadecimal numbers as decimal ones",
    ),
    "nothing but hexadecimal": (
        with_column("code", [hex(i) for i in range(N)]),
        "t.csv, line 2, column code: '0x0' is not a number; write hexadecimal numbers as decimal ones",
    ),
    "text among numbers": (
        rents([(7, "55,two,Trier,338")]),
        f"t.csv, line 7, column rooms: 'two' is not a number; {MEND}",
    ),
    "a question mark": (rents([(7, "?,2,Trier,338")]), "t.csv, line 7, column area: '?' is not a number; --na '?' says that it is a missing value"),
    "decimal comma": (
        "area;rent\n" + "".join(f"{i},5;{i * i},25\n" for i in range(N)),
        "t.csv, line 2, column area: '0,5' is not a number; a decimal comma needs --decimal ','",
        "--delimiter", ";",
    ),
    "a decimal point among decimal commas": (
        "area;rent\n1,5;2\n2,5;3\n3.5;4\n4,5;6\n",
        f"t.csv, line 4, column area: '3.5' is not a number; with --decimal ',' a point stands between thousands only; {MEND}",
        "--delimiter", ";", "--decimal", ",",
    ),
    "thousands": (
        with_column("price", [f'"{i + 1},000"' for i in range(N)]),
        "t.csv, line 2, column price: '1,000' is not a number; a decimal comma needs --decimal ',', and commas between thousands "
        "need --decimal '.'",
    ),
    "millions, among other text": (
        with_column("price", ["on request", *(f'"{i + 1},000,000"' for i in range(N - 1))]),
        f"t.csv, line 2, column price: 'on request' is not a number; {MEND}",
    ),
    "two currencies": (
        with_column("price", [f"{'€$'[i % 2]}{i}.50" for i in range(N)]),
        "t.csv, line 2, column price: '€0.50' is not a number; write the whole column in one unit, or take out all but digits and "
        "the decimal point",
    ),
    "some in thousands": (
        with_column("price", [f"{i}K" if i % 2 else f"{i}" for i in range(N)]),
        "t.csv, line 3, column price: '1K' is not a number; write the whole column in one unit, or take out all but digits and "
        "the decimal point",
    ),
    "digits of another script": (
        rents([(7, "٥٥,2,Trier,338")]), f"t.csv, line 7, column area: '٥٥' is not a number; {MEND}",
    ),
    "too many categories": (
        with_column("tail", [f"N{i}" for i in range(N)]) + "".join(f"M{i},1,1,Ulm,{i}\n" for i in range(100)),
        "t.csv: column tail is text with 140 values, too many for categories (at most 100); leave out with "
        "--exclude tail",
    ),
    "dates": (
        with_column("day", [f"2024-01-{i % 28 + 1:02d}" for i in range(N)]),
        "t.csv: column day holds dates, of which --dates day makes numbers; leave out with "
        "--exclude day",
    ),
    "times": (
        with_column("at", [f"12:{i:02d}" for i in range(N)]),
        "t.csv: column at holds dates, of which --dates at makes numbers; leave out with "
        "--exclude at",
    ),
    "several such columns": (
        with_column("day,tail", [f"2024-01-01,N{i}" for i in range(N)]) + "".join(f"2024-01-01,M{i},1,1,Ulm,{i}\n" for i in range(90)),
        "t.csv: column day holds dates, of which --dates day makes numbers; column tail is text with 130 values, too "
        "many for categories (at most 100); leave out with --exclude day,tail",
    ),
    "nothing to learn from": ("rent\n1\n2\n3\n", "t.csv: no column is left to learn from; the table needs another than the target"),
    "nothing that differs": (
        "town,rent\n" + "".join(f"Ulm,{i}\n" for i in range(9)),
        "t.csv: every column has one value only, and tells nothing; a model needs some that differ",
    ),
    # the target ---------------------------------------------------------------------------------------------------------------
    "target misspelt": (CLEAN, "t.csv has no column rnet (target); did you mean rent?", "--target", "rnet"),
    "target in a capital": (
        "wage,lwage\n1,2\n3,5\n", "t.csv has no column Lwage (target); did you mean lwage?", "--target", "Lwage",
    ),
    "target in capitals": (CLEAN, "t.csv has no column RENT (target); did you mean rent?", "--target", "RENT"),
    "target unlike any": (
        CLEAN, "t.csv has no column price (target); there are area, rooms, town, rent", "--target", "price",
    ),
    "target missing": (
        rents([(7, "55,2,Trier,")]),
        "t.csv, line 7, column rent: the target is missing; --missing drop leaves such rows out",
    ),
    "target infinite": (rents([(7, "55,2,Trier,inf")]), f"t.csv, line 7, column rent: an infinite number; {MEND}"),
    "one class": (
        "area,rent\n" + "".join(f"{i},yes\n" for i in range(9)),
        "t.csv: the target rent has one value only, yes, so that there is nothing to learn; take another one",
    ),
    "one number": (
        "area,rent\n" + "".join(f"{i},5\n" for i in range(9)),
        "t.csv: the target rent has one value only, 5, so that there is nothing to learn; take another one",
    ),
    "no target at all": (
        "area,rent\n" + "".join(f"{i},\n" for i in range(9)),
        "t.csv: the target rent has no value at all, so that there is nothing to learn; take another one",
    ),
    "text for regression": (
        CLEAN,
        "t.csv: the target town is text, and mse wants numbers; --loss logistic and --loss softmax take labels",
        "--target", "town", "--loss", "mse",
    ),
    "one text among the targets": (
        rents([(7, "55,2,Trier,cheap")]), f"t.csv, line 7, column rent: 'cheap' is not a number; {MEND}",
    ),
    "one text among the targets, mae": (
        rents([(7, "55,2,Trier,cheap")]), f"t.csv, line 7, column rent: 'cheap' is not a number; {MEND}", "--loss", "mae",
    ),
    "targets that are dates": (
        "area,rent\n" + "".join(f"{i},2024-01-0{i + 1}\n" for i in range(9)),
        "t.csv: the target rent holds dates; make numbers of them first, days for example",
    ),
    "too many classes": (
        "area,rent\n" + "".join(f"{i},k{i}\n" for i in range(101)),
        "t.csv: the target rent has 101 values, too many for classes (at most 100); join the rare ones",
    ),
    "too many classes of numbers": (
        "area,rent\n" + "".join(f"{i},{i}\n" for i in range(101)),
        "t.csv: the target rent has 101 values, too many for classes (at most 100); --loss mse takes numbers",
        "--loss", "softmax",
    ),
    "classes that are no integers": (
        "area,rent\n" + "".join(f"{i},{i}\n" for i in range(9)) + "9,1.5\n",
        "t.csv: the target rent has numbers that are no integers, and softmax wants classes; --loss mse takes numbers",
        "--loss", "softmax",
    ),
    "three classes for two": (
        CLEAN, "t.csv: the target town has 3 classes, and logistic is for two; --loss softmax is for more",
        "--target", "town", "--loss", "logistic",
    ),
    # what is asked for --------------------------------------------------------------------------------------------------------
    "exclude misspelt": (CLEAN, "t.csv has no column romms (exclude); did you mean rooms?", "--exclude", "romms"),
    "features misspelt": (CLEAN, "t.csv has no column aera (features); did you mean area?", "--features", "aera"),
    "weights misspelt": (CLEAN, "t.csv has no column weight (weights); there are area, rooms, town, rent", "--weights", "weight"),
    "features twice": (CLEAN, "t.csv: column area is named twice in features; once is enough", "--features", "area,area"),
    "the target a feature": (
        CLEAN, "t.csv: column rent is named in both target and features; once is enough", "--features", "area,rent",
    ),
    "the target the weights": (
        CLEAN, "t.csv: column rent is named in both target and weights; once is enough", "--weights", "rent",
    ),
    "everything left out": (
        CLEAN, "t.csv: no column is left to learn from; the table needs another than the target", "--exclude", "area,rooms,town",
    ),
    "negative weight": (
        rents([(7, "55,-2,Trier,338")]), "t.csv, line 7, column rooms: a negative weight; weights are at least 0",
        "--weights", "rooms",
    ),
    "missing weight": (
        rents([(7, "55,,Trier,338")]),
        "t.csv, line 7, column rooms: the row's weight is missing; --missing drop leaves such rows out",
        "--weights", "rooms",
    ),
    "weights of text": (CLEAN, "t.csv: column town is text, and weights are numbers; give another one", "--weights", "town"),
    "one text among the weights": (
        rents([(7, "55,two,Trier,338")]), f"t.csv, line 7, column rooms: 'two' is not a number; {MEND}", "--weights", "rooms",
    ),
    "weights of zero": (
        with_column("w", [0] * N), "t.csv: column w is 0 in every row that trains; at least one weight must be positive",
        "--weights", "w",
    ),
    "a mean of nothing": (
        with_column("x", [""] * N),
        "t.csv: column x has no value in the rows that train, and so no mean; leave out with --exclude x",
        "--missing", "mean",
    ),
    "every row has a missing value": (
        with_column("x", [""] * N),
        "t.csv: every row has a missing value, 40 of them in column x; leave such columns out by --exclude x",
        "--missing", "drop",
    ),
    "no row left to train on": (
        "area,rent\n1,2\n2,3\n3,5\n", "t.csv: no row is left to train on, and a model needs two; --test-size 0 holds none out",
        "--test-size", "0.999999",
    ),
    "the wrong delimiter asked for": (
        CLEAN,
        "t.csv, line 1: the only column would be 'area,rooms,town,rent'; if ',' is between the values, say --delimiter ','",
        "--delimiter", ";",
    ),
    "delimiter and decimal the same": (
        CLEAN, "delimiter and decimal are both ',' in t.csv; give another --delimiter", "--decimal", ",",
    ),
    "a delimiter that is none": (
        CLEAN, "--delimiter must be one ASCII character, no letter, digit, sign or quote, or blanks, found '\"'", "--delimiter", '"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CSV)
def test_a_bad_csv_file(command, case):
    content, message, *arguments = CSV[case]
    is_refused(command({"t.csv": content}, "train", "t.csv", *TRAIN, *arguments), message)


def column(a, **more):
    return parquet(a=a, rent=RENT, **more)


ODD = "and neither numbers, booleans nor text; leave it out with --exclude a"
PARQUET = {
    "struct": (column([{"x": 1}] * N), f"t.parquet: column a is struct<x: int64>, {ODD}"),
    "list": (column([[1]] * N), f"t.parquet: column a is list<element: int64>, {ODD}"),
    "binary": (column([b"x"] * N), f"t.parquet: column a is binary, {ODD}"),
    "dates": (
        column([datetime.date(2024, 1, i % 28 + 1) for i in range(N)]),
        "t.parquet: column a holds dates, of which --dates a makes numbers; leave out with "
        "--exclude a",
    ),
    "durations": (
        column([datetime.timedelta(i) for i in range(N)]),
        "t.parquet: column a holds dates, of which --dates a makes numbers; leave out with "
        "--exclude a",
    ),
    "integers with nulls": (
        column([*range(N - 1), None]), f"t.parquet, row 40, column a: a value is missing; {MISSING}",
    ),
    "nothing but nulls": (column(pa.nulls(N)), f"t.parquet, row 1, column a: a value is missing; {MISSING}"),
    "booleans with nulls": (
        column([True, None, False, True] * 10), f"t.parquet, row 2, column a: a value is missing; {MISSING}",
    ),
    "categories with nulls": (
        column(pa.array(["x", "y", None, "x"] * 10).dictionary_encode()),
        "t.parquet, row 3, column a: a value is missing; --missing drop leaves such rows out, --missing category makes it a "
        "category of its own",
    ),
    "NaN": (column([*map(float, range(9)), np.nan] * 4), f"t.parquet, row 10, column a: a value is missing; {MISSING}"),
    "infinity": (column([*map(float, range(9)), np.inf] * 4), f"t.parquet, row 10, column a: an infinite number; {MEND}"),
    "both infinities": (column([np.inf, -np.inf] * 20), f"t.parquet, row 1, column a: an infinite number; {MEND}"),
    "no rows": (
        parquet(a=pa.array([], pa.float64()), rent=pa.array([], pa.float64())),
        "t.parquet has columns but no rows; a model needs some",
    ),
    "no columns": (parquet(), "t.parquet: there are no column names; give every column one"),
    "blank name": (parquet(**{" ": AREA, "rent": RENT}), "t.parquet: column 1 of 2 has no name; give it one"),
    "cut off": (column(AREA)[:-30], f"t.parquet is a Parquet file that is cut off: {AGAIN}"),
    "two magic numbers and nothing between": (b"PAR1PAR1", f"t.parquet is a Parquet file that is cut off: {AGAIN}"),
    "wrong magic": (CLEAN, "t.parquet is no Parquet file, whatever its name says; make it again"),
    "a damaged page": (
        column(AREA)[:4] + bytes(30) + column(AREA)[34:],
        f"t.parquet is damaged in column a, row group 1 of 1: {AGAIN}",
    ),
    "a damaged footer": (
        column(AREA)[:-120] + b"\xff" * 100 + column(AREA)[-20:], f"t.parquet is damaged: {AGAIN}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARQUET)
def test_a_bad_parquet_file(command, case):
    content, message, *arguments = PARQUET[case]
    is_refused(command({"t.parquet": content}, "train", "t.parquet", *TRAIN, *arguments), message)


MATRIX = np.random.default_rng(0).normal(size=(30, 3))
NPY = {
    "objects": (
        npy(np.array([[1, "x"]], object), allow_pickle=True),
        "t.npy holds Python objects, which gdcore does not load; save a matrix of numbers",
    ),
    "no dimension": (npy(np.float64(3)), "t.npy has shape (); save a matrix (rows, columns)"),
    "one dimension": (npy(MATRIX[0]), "t.npy has shape (3,); save a matrix (rows, columns)"),
    "three dimensions": (npy(MATRIX[None]), "t.npy has shape (1, 30, 3); save a matrix (rows, columns)"),
    "no rows": (npy(MATRIX[:0]), "t.npy has shape (0, 3): it has no values; a model needs some"),
    "no columns": (npy(MATRIX[:, :0]), "t.npy has shape (30, 0): it has no values; a model needs some"),
    "complex": (npy(MATRIX + 1j), "t.npy has dtype complex128; save float, integer or boolean"),
    "text": (npy(np.array([["x", "y"]])), "t.npy has dtype <U1; save float, integer or boolean"),
    "dates": (npy(np.zeros((3, 3), "M8[s]")), "t.npy has dtype datetime64[s]; save float, integer or boolean"),
    "structured": (npy(np.zeros((3, 3), [("x", "f8")])), "t.npy has dtype [('x', '<f8')]; save float, integer or boolean"),
    "cut off": (npy(MATRIX)[:-10], f"t.npy is cut off: 10 bytes of its array are missing; {AGAIN}"),
    "cut off in its head": (npy(MATRIX)[:50], "t.npy: the head of this .npy file is damaged; save it again"),
    "a version of the future": (b"\x93NUMPY\x09\x00", "t.npy: the head of this .npy file is damaged; save it again"),
    "wrong magic": (CLEAN, "t.npy is no .npy file, whatever its name says; save it with numpy.save"),
    "NaN": (npy(np.where(MATRIX[7, 1] == MATRIX, np.nan, MATRIX)), f"t.npy, row 8, column 1: a value is missing; {MISSING}"),
    "infinity": (npy(np.where(MATRIX[7, 1] == MATRIX, np.inf, MATRIX)), f"t.npy, row 8, column 1: an infinite number; {MEND}"),
}


@pytest.mark.parametrize("case", NPY)
def test_a_bad_npy_file(command, case):
    content, message = NPY[case]
    is_refused(command({"t.npy": content}, "train", "t.npy", "--target", "2", "--quiet"), message)


FILES = {
    "no such file": ({"rents.csv": CLEAN}, "rent.csv", "there is no file rent.csv; did you mean rents.csv?"),
    "no such file, and none like it": ({}, "rent.csv", "there is no file rent.csv"),
    "no such folder": ({}, "no/rent.csv", "there is no file no/rent.csv"),
    "an unknown ending": (
        {"t.xlsx": "x"}, "t.xlsx",
        "t.xlsx: gdcore reads .csv, .tsv, .txt, .parquet, .feather, .arrow, .npy files, by their ending; give it the right one",
    ),
    "a folder without tables": (
        {"d/readme.md": "x"}, "d",
        "d is a folder without a .csv, .tsv, .txt, .parquet, .feather, .arrow, .npy file: give a file, or a folder of tables",
    ),
    "a folder with hidden tables only": (
        {"d/.t.csv": CLEAN, "d/_t.csv": CLEAN}, "d",
        "d is a folder without a .csv, .tsv, .txt, .parquet, .feather, .arrow, .npy file: give a file, or a folder of tables",
    ),
    "a column that the second file lacks": (
        {"d/a.csv": CLEAN, "d/b.csv": rents(header="area,floor,town,rent")}, "d",
        "a.csv has no column floor, and b.csv has one; tables that are read as one need the same columns",
    ),
    "text in the second file": (
        {"d/a.csv": CLEAN, "d/b.csv": rents([(7, "55,two,Trier,338")])}, "d",
        f"b.csv, line 7, column rooms: 'two' is not a number; {MEND}",
    ),
    "a short row in the second file": (
        {"d/a.csv": CLEAN, "d/b.csv": rents([(7, "55,2")])}, "d",
        "b.csv, line 7: 2 values, and the header has 4 names: '55,2'; add what is missing",
    ),
    "a missing value in the second file": (
        {"d/a.csv": CLEAN, "d/b.csv": rents([(7, "55,,Trier,338")])}, "d",
        f"b.csv, line 7, column rooms: a value is missing; {MISSING}",
    ),
    "an infinite value in the third file": (
        {"d/a.csv": CLEAN, "d/b.csv": CLEAN, "d/c.csv": rents([(7, "55,inf,Trier,338")])}, "d",
        f"c.csv, line 7, column rooms: an infinite number; {MEND}",
    ),
    "an unclosed quote in the second file": (
        {"d/a.csv": CLEAN, "d/b.csv": rents([(7, '55,2,Trier,"335')])}, "d",
        "b.csv, line 7: a quotation mark that opens here is never closed; close it",
    ),
    "Parquet columns of two kinds": (
        {"d/a.parquet": column(AREA), "d/b.parquet": column(TOWN)}, "d",
        "b.parquet: column a is text, and integer in the files before; make it the same in all of them",
    ),
    "a missing value in the second Parquet file": (
        {"d/a.parquet": column(AREA), "d/b.parquet": column([*AREA[:-1], None])}, "d",
        f"b.parquet, row 40, column a: a value is missing; {MISSING}",
    ),
    "an empty file among them": ({"d/a.csv": CLEAN, "d/b.csv": ""}, "d", "b.csv is empty: it has no bytes at all; make it again"),
    "gzip that is cut off": (
        {"t.csv.gz": gzip.compress(CLEAN.encode())[:60]}, "t.csv.gz",
        "t.csv.gz cannot be read: it is damaged, or cut off; make it again",
    ),
    "gzip that is none": ({"t.csv.gz": CLEAN}, "t.csv.gz", "t.csv.gz cannot be read: it is damaged, or cut off; make it again"),
    "a fault in a compressed file": (
        {"t.csv.gz": gzip.compress(rents([(7, "55,two,Trier,338")]).encode())}, "t.csv.gz",
        f"t.csv.gz, line 7, column rooms: 'two' is not a number; {MEND}",
    ),
    "an ending in capitals": (
        {"t.CSV.GZ": gzip.compress(CLEAN.encode())}, "t.CSV.GZ", "t.CSV.GZ: write the ending .gz in small letters",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_bad_files(command, case):
    files, data, message = FILES[case]
    is_refused(command(files, "train", data, *TRAIN), message)


# Accepted, as the clean table ------------------------------------------------------------------------------------------------

ACCEPTED = {
    "no newline at the end": {"t.csv": CLEAN.rstrip("\n")},
    "blank lines at the end": {"t.csv": CLEAN + "\n\n\n"},
    "blank lines before, between and after": {"t.csv": "\n" + CLEAN.replace("\n55,", "\n\n\n55,") + "\n"},
    "a byte order mark": {"t.csv": "\ufeff" + CLEAN},
    "CRLF": {"t.csv": rents(end="\r\n")},
    "CRLF, no newline at the end": {"t.csv": rents(end="\r\n").rstrip()},
    "everything in quotes": {"t.csv": "".join('"' + line.replace(",", '","') + '"\n' for line in LINES)},
    "blanks around names": {"t.csv": rents(header=" area, rooms ,town,rent ")},
    "blanks around numbers": {"t.csv": rents([(7, " 55, 2 ,Trier,\t338")])},
    "plus signs": {"t.csv": rents([(7, "+55,2,Trier,+338")])},
    "exponents": {"t.csv": rents([(7, "5.5e1,2.,Trier,338E0")])},
    "tabulators in .tsv": {"t.tsv": rents(delimiter="\t")},
    "compressed": {"t.csv.gz": gzip.compress(CLEAN.encode())},
    "Parquet": {"t.parquet": parquet(area=AREA, rooms=ROOMS, town=TOWN, rent=RENT)},
    "Parquet, other types": {
        "t.parquet": parquet(
            area=[decimal.Decimal(area) for area in AREA],
            rooms=pa.array(np.array(ROOMS, np.float16)),
            town=pa.array(TOWN).dictionary_encode(),
            rent=pa.array(RENT, pa.uint16()),
        )
    },
    "Parquet, yet other types": {
        "t.parquet": parquet(
            area=pa.array(AREA, pa.float32()),
            rooms=pa.array(ROOMS).dictionary_encode(),
            town=pa.array(TOWN, pa.large_string()),
            rent=pa.array(RENT, pa.int8() if max(RENT) < 128 else pa.int32()),
        )
    },
    "several files": {"t/a.csv": "\n".join(LINES[:10]), "t/b.csv": "\n".join([LINES[0], *LINES[10:]])},
    "several files of several kinds": {
        "t/a.csv": "\n".join(LINES[:10]),
        "t/b.parquet": parquet(area=AREA[9:], rooms=ROOMS[9:], town=TOWN[9:], rent=RENT[9:]),
    },
    "several files, columns in another order": {
        "t/a.csv": "\n".join(LINES[:10]),
        "t/b.csv": "\n".join(",".join(line.split(",")[::-1]) for line in [LINES[0], *LINES[10:]]),
    },
}


def weights(path):
    model = gdcore.load(path)
    return model.columns, model.weights.tobytes(), np.float64(model.bias).tobytes()


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    (folder / "t.csv").write_text(CLEAN)
    assert parser.main(["train", str(folder / "t.csv"), *TRAIN, "--out", str(folder / "clean.safetensors")]) == 0
    return folder / "clean.safetensors"


@pytest.mark.parametrize("case", ACCEPTED)
def test_an_odd_table_that_is_accepted(command, clean, tmp_path, case):
    data = next(iter(ACCEPTED[case])).split("/")[0]
    assert command(ACCEPTED[case], "train", data, *TRAIN) == (0, [], ["t.safetensors"])
    assert weights(tmp_path / "t.safetensors") == weights(clean)


def test_decimal_commas_that_are_asked_for(command, clean, tmp_path):
    text = rents(delimiter=";").replace(";", ",0;", 2).replace("area,0;rooms,0", "area;rooms").replace("\n55;", "\n55,0;")
    options = ("--delimiter", ";", "--decimal", ",")
    assert command({"t.csv": text}, "train", "t.csv", *TRAIN, *options) == (0, [], ["t.safetensors"])
    assert weights(tmp_path / "t.safetensors") == weights(clean)


def test_commas_and_newlines_in_quotes(command, clean, tmp_path):
    text = CLEAN.replace("Ulm", '"Ulm, ""old""\ntown"')
    assert command({"t.csv": text}, "train", "t.csv", *TRAIN) == (0, [], ["t.safetensors"])
    names, *numbers = weights(tmp_path / "t.safetensors")
    other, *rest = weights(clean)
    assert [name.replace('Ulm, "old"\ntown', "Ulm") for name in names] == other
    assert numbers == rest


@pytest.mark.parametrize("words", [("yes", "no"), ("TRUE", "FALSE"), ("true", "false"), ("True", "False"), ("1", "0")])
def test_words_for_true_and_false(command, tmp_path, words):
    text = with_column("lift", [words[i % 3 == 0] for i in range(N)])
    assert command({"t.csv": text}, "train", "t.csv", *TRAIN) == (0, [], ["t.safetensors"])
    names, found, _ = weights(tmp_path / "t.safetensors")
    assert names[0] == ("lift=no" if words[0] == "yes" else "lift")
    assert command({"u.csv": with_column("lift", [i % 3 != 0 for i in range(N)])}, "train", "u.csv", *TRAIN)[0] == 0
    reference = np.frombuffer(weights(tmp_path / "u.safetensors")[1])
    sign = -1 if words[0] in ("yes", "TRUE", "true", "True", "1") else 1
    np.testing.assert_allclose(sign * np.frombuffer(found)[0], reference[0] * (1 if words[0] == "yes" else -1), atol=1e-9)


@pytest.mark.parametrize("labels", [("spam", "ham"), ("true", "false"), ("3", "7"), ("0", "1")])
def test_labels_of_two_classes(command, tmp_path, labels):
    text = "x,kind\n" + "".join(f"{i},{labels[i % 7 < 3]}\n" for i in range(60))
    assert command({"t.csv": text}, "train", "t.csv", "--target", "kind", "--quiet") == (0, [], ["t.safetensors"])
    model = gdcore.load(tmp_path / "t.safetensors")
    assert model.loss.name == "logistic"
    assert [str(label).lower() for label in model.card["labels"]] == sorted(labels)


def test_three_labels(command, tmp_path):
    assert command({"t.csv": CLEAN}, "train", "t.csv", "--target", "town", "--quiet") == (0, [], ["t.safetensors"])
    model = gdcore.load(tmp_path / "t.safetensors")
    assert model.loss.name == "softmax"
    assert model.card["labels"] == ["Bonn", "Trier", "Ulm"]


# Accepted with a warning -----------------------------------------------------------------------------------------------------

WARNED = {
    "a large integer": (
        rents([(7, f"{2**53 + 1},2,Trier,338")]),
        "t.csv, line 7: column area has integers past 2⁵³, which are rounded to 16 digits",
    ),
    "a large negative target": (
        rents([(7, f"55,2,Trier,{-(2**53) - 1}")]),
        "t.csv, line 7: column rent has integers past 2⁵³, which are rounded to 16 digits",
    ),
    "a constant": (with_column("c", [5] * N), "t.csv: column c is 5 in every row, and so tells nothing"),
    "a constant text": (with_column("c", ["x"] * N), "t.csv: column c is x in every row, and so tells nothing"),
    "many constants": (
        with_column("a,b,c,d,e,f,g,h", ["1,x,2,3,4,5,6,7"] * N),
        "t.csv: columns b, a, c, d, e, f and 2 more have one value each, and so tell nothing",
    ),
    "values that look alike": (
        rents([(7, "55,2, Ulm,338")]),
        "t.csv: column town has 'Ulm' and ' Ulm', which differ in blanks only, as two categories",
    ),
}


@pytest.mark.parametrize("model", ["linear", "mlp:3"])
@pytest.mark.parametrize("case", WARNED)
def test_a_table_that_is_warned_of(command, case, model):
    content, message = WARNED[case]
    arguments = ("--model", model, "--epochs", "2") if model != "linear" else ()
    status, lines, new = command({"t.csv": content}, "train", "t.csv", *TRAIN, *arguments)
    assert (status, lines, new) == (0, [f"gdcore: warning: {message}"], ["t.safetensors"])


def test_numbers_that_parquet_has_as_text(command):
    data = parquet(area=[str(area) for area in AREA], rent=RENT)
    status, lines, _ = command({"t.parquet": data}, "train", "t.parquet", *TRAIN)
    assert (status, lines) == (
        0, ["gdcore: warning: t.parquet: column area is text with numbers in it, and is taken as categories"],
    )  # fmt: skip


def test_a_column_that_is_constant_but_for_rows_that_are_left_out(command):
    text = with_column("c", [*[7] * (N - 1), 8]).rstrip("\n").rsplit(",", 1)[0] + ",\n"
    status, lines, _ = command({"t.csv": text}, "train", "t.csv", *TRAIN, "--missing", "drop")
    assert (status, lines) == (0, ["gdcore: warning: t.csv: column c is 7 in every row, and so tells nothing"])


# The place is right ----------------------------------------------------------------------------------------------------------

FAULTS = {
    "text": ("x1", "'x1' is not a number"),
    "missing": ("", "a value is missing"),
    "infinite": ("-inf", "an infinite number"),
}


@pytest.mark.parametrize("line", [2, 3, 17, 30, 40, 41])
@pytest.mark.parametrize("name", ["area", "rooms", "rent"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_place_of_a_fault_wherever_it_is(command, fault, name, line):
    values = LINES[line - 1].split(",")
    values[LINES[0].split(",").index(name)] = FAULTS[fault][0]
    text = rents([(line, ",".join(values))]).replace("Ulm", '"Ulm\nold town"')  # which moves the lines
    moved = CLEAN.split("\n")[: line - 1]
    moved = line + sum("Ulm" in one for one in moved)
    status, (told,), new = command({"t.csv": "\n\n" + text}, "train", "t.csv", *TRAIN)
    said = FAULTS[fault][1] if name != "rent" or fault != "missing" else "the target is missing"
    assert told.startswith(f"gdcore: t.csv, line {moved + 2}, column {name}: {said};")
    assert (status, new) == (2, [])


def test_the_place_is_that_of_the_file_where_rows_before_are_left_out(command):
    text = rents([(3, ",2,Ulm,300"), (4, "50,NA,Ulm,300"), (20, ",,,"), (30, "9,inf,Ulm,3"), (31, "9,-inf,,3")])
    is_refused(
        command({"t.csv": text}, "train", "t.csv", *TRAIN, "--missing", "drop"),
        f"t.csv, line 30, column rooms: an infinite number; {MEND}",
    )
    is_refused(
        command({"t.csv": rents([(3, ",2,Ulm,300"), (30, "9,inf,Ulm,3")])}, "train", "t.csv", *TRAIN, "--missing", "mean"),
        f"t.csv, line 30, column rooms: an infinite number; {MEND}",
    )


def test_a_fault_in_a_row_that_is_left_out_does_not_matter(command):
    text = rents([(31, "9,inf,,3")])
    assert command({"t.csv": text}, "train", "t.csv", *TRAIN, "--missing", "drop") == (0, [], ["t.safetensors"])


def large(changed, rows=150_000, quoted=0):
    """A CSV of more than three blocks of 1 MB; changed: {row, from 0: text}. Every ``quoted``-th row goes over two lines."""
    note = ["x" * 9, '"' + "y" * 5 + "\n" + "z" * 5 + '"']
    lines = [f"{i},{i % 13},{note[bool(quoted and i % quoted == 0)]},{2 * i + i % 7}" for i in range(rows)]
    for row, text in changed.items():
        lines[row] = text
    return "a,b,note,y\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("row", "text", "said"),
    [
        (149_000, "1,oops,x,3", "column b: 'oops' is not a number"),
        (90_000, "1,,x,3", "column b: a value is missing"),
        (149_999, "1,inf,x,3", "column b: an infinite number"),
        (149_999, "1,2,x", "3 values, and the header has 4 names: '1,2,x'"),
        (149_999, '1,2,x,"3', "a quotation mark that opens here is never closed"),
    ],
)
@pytest.mark.parametrize("quoted", [0, 3])
def test_the_place_past_the_first_block(command, row, text, said, quoted):
    content = large({row: text}, quoted=quoted)
    assert len(content) > 3 * csvfile._BLOCK
    line = row + 2 + (0 if not quoted else (row + quoted - 1) // quoted)
    status, (told,), new = command({"t.csv": content}, "train", "t.csv", "--target", "y", "--quiet")
    comma = ", " if said.startswith("column") else ": "
    assert told.startswith(f"gdcore: t.csv, line {line}{comma}{said};")
    assert (status, new) == (2, [])


def test_text_that_is_not_utf8_past_the_first_block(command):
    content = large({140_000: "1,2,K\ufffdln,3"}).encode().replace("\ufffd".encode(), b"\xf6")
    is_refused(
        command({"t.csv": content}, "train", "t.csv", "--target", "y", "--quiet"),
        f"t.csv, line 140002: byte F6 in '1,2,K\ufffdln,3' is not UTF-8; {NOT_UTF8}",
    )


def test_a_column_of_integers_that_has_decimals_later(command, tmp_path):
    changed = {row: f"{row}.25,{row % 13},x,{2 * row}" for row in range(140_000, 150_000)}
    assert command({"t.csv": large(changed)}, "train", "t.csv", "--target", "y", "--quiet", "--test-size", "0")[0] == 0
    assert abs(gdcore.load(tmp_path / "t.safetensors").weights[0] - 2) < 1e-4


@pytest.mark.parametrize(
    ("late", "message"),
    [
        ("7.5", None),
        ("true", None),
        ("Ulm", None),
        ("2024-01-01", "t.csv: column late holds dates, of which --dates late makes numbers; leave out "
         "with --exclude late"),
    ],
)  # fmt: skip
def test_a_column_whose_first_value_comes_late(command, late, message):
    lines = large({}).splitlines()
    lines = [f"late,{lines[0]}", *(f",{line}" for line in lines[1:140_000]), *(f"{late},{line}" for line in lines[140_000:])]
    content = {"t.csv": "\n".join(lines)}
    status, told, _ = command(content, "train", "t.csv", "--target", "y", "--quiet", "--missing", "drop")
    if message is None:
        assert (status, len(told)) == (0, 2)
        assert "rows are left out because a value is missing, 139,999 of them in column late;" in told.pop(0)
        assert "column note is x" in told[0] or "columns note, late have" in told[0] or "columns late, note have" in told[0]
    else:
        assert (status, told) == (2, [f"gdcore: {message}"])


@pytest.mark.parametrize("length", [100_000, 3_000_000])
def test_a_very_long_line(command, clean, tmp_path, length):
    text = with_column("note", ["short", "T" * length, '"' + "T\n" * (length // 2) + '"', *["short"] * (N - 3)])
    arguments = ("train", "t.csv", *TRAIN, "--exclude", "note")
    assert command({"t.csv": text}, *arguments) == (0, [], ["t.safetensors"])
    assert weights(tmp_path / "t.safetensors") == weights(clean)
    (tmp_path / "t.safetensors").unlink()
    text = text.replace("short,157", "short,x157")
    line = text[: text.index("x157")].count("\n") + 1
    is_refused(command({"t.csv": text}, *arguments), f"t.csv, line {line}, column area: 'x157' is not a number; {MEND}")


def test_a_quote_that_is_never_closed_in_a_long_file(command):
    text = rents([(7, '55,2,"Trier,338')]) + "x" * 200_000 + "\n"
    is_refused(
        command({"t.csv": text}, "train", "t.csv", *TRAIN),
        "t.csv, line 7: a quotation mark that opens here is never closed; close it",
    )


def test_a_hundred_thousand_columns(command):
    def text(columns):
        return ",".join(f"c{i}" for i in range(columns)) + ",rent\n" + "1," * columns + "2\n" + "2," * columns + "3\n"

    is_refused(
        command({"t.csv": text(100_000)}, "train", "t.csv", *TRAIN),
        "t.csv has 100,000 columns to learn from, and gdcore takes up to 8,000; choose with --features or --exclude",
    )
    chosen = ("--features", "c0,c9999", "--test-size", "0", "--l2", "0.1")
    assert command({"t.csv": text(10_000)}, "train", "t.csv", *TRAIN, *chosen) == (0, [], ["t.safetensors"])


def test_the_limit_of_categories_grows_with_the_rows(command, capsys):
    def text(values, rows):
        return "tail,rent\n" + "".join(f"N{i % values},{i % 17}\n" for i in range(rows))

    assert command({"t.csv": text(100, 200)}, "train", "t.csv", *TRAIN, "--out", "1.safetensors")[:2] == (0, [])
    assert command({"t.csv": text(104, 104_000)}, "train", "t.csv", *TRAIN, "--out", "2.safetensors")[:2] == (0, [])
    is_refused(
        command({"t.csv": text(104, 103_999)}, "train", "t.csv", *TRAIN),
        "t.csv: column tail is text with 104 values, too many for categories (at most 103); leave out with --exclude tail",
    )


# Files that change, that cannot be opened ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npy"])
@pytest.mark.parametrize("what", ["longer", "removed"])
def test_a_file_that_changes_between_passes(tmp_path, monkeypatch, name, what):
    monkeypatch.setattr(kept, "MEMORY", 0)
    data = {"t.csv": "a,b,y\n" + "".join(f"{i},{i % 5},{i * i}\n" for i in range(99)),
            "t.parquet": parquet(a=AREA, b=ROOMS, y=RENT), "t.npy": npy(MATRIX)}[name]  # fmt: skip
    write(tmp_path, {name: data})
    table = gdcore.open_table(tmp_path / name, "2" if name == "t.npy" else "y")
    table.read()
    if what == "longer":
        with open(tmp_path / name, "ab") as file:
            file.write(b"1,2,3\n")
    else:
        (tmp_path / name).unlink()
    with pytest.raises(gdcore.TableError) as caught:
        table.read()
    assert str(caught.value) == f"{name} was changed or removed while it was being read: leave it alone, and start again"


def test_a_file_that_is_cut_off_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MEMORY", 0)
    monkeypatch.setattr(sources, "ROWS", 10)
    for name, data in (("t.npy", npy(np.arange(300_000.0).reshape(-1, 3))), ("t.csv", large({}))):
        write(tmp_path, {name: data})
        blocks = gdcore.open_table(tmp_path / name, "2" if name == "t.npy" else "y").blocks()
        next(blocks)
        os.truncate(tmp_path / name, 100)
        with pytest.raises(gdcore.TableError, match=f"{name} was changed or removed while it was being read"):
            for _ in blocks:
                pass


def test_a_file_that_must_not_be_read(command, monkeypatch):
    opened = open

    def refuse(path, *rest, **more):
        if str(path).endswith("t.csv"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *rest, **more)

    monkeypatch.setitem(opening.__dict__, "open", refuse)
    is_refused(command({"t.csv": CLEAN}, "train", "t.csv", *TRAIN), "t.csv cannot be read: Permission denied")


def test_a_cache_that_cannot_be_written(command, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.ipc, "new_file", full)
    status, lines, new = command({"t.csv": CLEAN, "cache/x": ""}, "train", "t.csv", *TRAIN, "--cache", "cache")
    assert (status, lines) == (2, ["gdcore: the cache in cache: No space left on device; try another --cache"])
    assert new == []


def test_pyarrows_own_words_never_get_through(command, monkeypatch):
    def stumble(*arguments, **options):
        raise pa.ArrowInvalid("CSV parse error: something that only its authors understand")

    monkeypatch.setattr(csvfile.Csv, "_decoded", stumble)
    status, lines, _ = command({"t.csv": CLEAN}, "train", "t.csv", *TRAIN)
    assert (status, lines) == (
        2, ["gdcore: t.csv cannot be read as CSV, perhaps because a line is longer than 64 MB; save it as Parquet"],
    )  # fmt: skip


# Files that are none ---------------------------------------------------------------------------------------------------------

ONCE = "and a table is read more than once: write it to a file first, and give that one"


@pytest.mark.parametrize("command_name", ["train", "inspect"])
def test_a_pipe_and_the_standard_input(command, tmp_path, command_name):
    os.mkfifo(tmp_path / "pipe.csv")
    options = TRAIN if command_name == "train" else ()
    for path, what in (("-", "is no file,"), ("/dev/stdin", "is no file,"), ("pipe.csv", "is a pipe or a device,")):
        is_refused(command({"t.csv": CLEAN}, command_name, path, *options), f"{path} {what} {ONCE}")


def test_a_file_name_that_is_not_utf8(command, tmp_path):
    name = os.fsdecode(b"\xff.csv")
    try:
        (tmp_path / name).write_text(CLEAN)
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    shown = "'\\udcff.csv': the file's name is not UTF-8; give the file another name"
    is_refused(command({}, "train", name, *TRAIN), shown)
    is_refused(command({}, "inspect", name), shown)


def test_a_value_that_is_too_long(command, monkeypatch):
    monkeypatch.setattr(csvtext, "LONGEST", 1 << 20)
    long = "x" * ((1 << 20) + 1)
    for text in (long, f'"{long}"'):
        is_refused(
            command({"t.csv": f"area,rent\n1,2\n{text},1\n"}, "inspect", "t.csv"),
            "t.csv, line 3: a value longer than 1 MB, perhaps because a quotation mark that opens here is never closed; mend the "
            "line, or save the table as Parquet",
        )


def test_damaged_heads_of_npy_files(command):
    whole = npy(np.arange(120.0).reshape(30, 4))
    for before, after in (
        (b"4), ", b"4,  "),
        (b"{", b"("),
        (b"'<f8'", b"'<f\x008"),
        (b"(30", b"((("),
        (b"False", b"Fals\xff"),
    ):
        head = "t.npy: the head of this .npy file is damaged; save it again"
        is_refused(command({"t.npy": whole.replace(before, after, 1)}, "inspect", "t.npy"), head)
    status, lines, _ = command({"t.npy": whole.replace(b"(30", b"(-3", 1)}, "inspect", "t.npy")
    assert (status, lines) == (2, ["gdcore: t.npy has shape (-3, 4): it has no values; a model needs some"])


def test_a_parquet_file_that_is_damaged_and_has_row_groups_without_rows(command, monkeypatch):
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, pa.schema([("a", pa.float64()), ("y", pa.float64())])) as writer:
        for a in ([], [1.0, 2.0, 4.0], []):
            writer.write_table(pa.table({"a": pa.array(a, pa.float64()), "y": pa.array(a, pa.float64())}))
    files = {"t.parquet": sink.getvalue()}
    assert command(files, "inspect", "t.parquet")[:2] == (0, [])

    def stumble(*rest, **more):
        raise pa.ArrowInvalid("damaged")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", stumble)
    is_refused(command(files, "inspect", "t.parquet"), f"t.parquet is damaged: {AGAIN}")


# predict and inspect ---------------------------------------------------------------------------------------------------------

PREDICT = {
    "one column missing": (
        "area,town\n50,Ulm\n", "n.csv has no column rooms; there are area, town; the model was trained with it; add it",
    ),
    "one column misspelt": (
        "area,room,town\n50,2,Ulm\n", "n.csv has no column rooms; did you mean room?; the model was trained with it; add it",
    ),
    "two columns missing": (
        "town\nUlm\n", "n.csv has no column area; there are town; the model was trained with it (and 1 more); add it",
    ),
    "one column more": (
        "area,rooms,town,garden\n50,2,Ulm,1\n",
        "n.csv has column garden, which the model has never seen; --exclude garden leaves out what does not matter",
    ),
    "two columns more": (
        "area,rooms,town,garden,lift\n50,2,Ulm,1,2\n",
        "n.csv has column garden (and 1 more), which the model has never seen; --exclude garden,lift leaves out what does not "
        "matter",
    ),
    "a value that is missing": (
        "area,rooms,town\n50,2,Ulm\n50,,Ulm\n",
        "n.csv, line 3, column rooms: a value is missing; fill it in, or train with --missing drop or mean",
    ),
    "a text that is missing": (
        "area,rooms,town\n50,2,Ulm\n50,2,\n",
        "n.csv, line 3, column town: a value is missing; fill it in, or train with --missing drop or mean",
    ),
    "text for a number": ("area,rooms,town\n50,2,Ulm\n50,two,Ulm\n", f"n.csv, line 3, column rooms: 'two' is not a number; {MEND}"),
    "a date for a number": (
        "area,rooms,town\n2024-01-01,2,Ulm\n", f"n.csv, line 2, column area: '2024-01-01' is not a number; {MEND}",
    ),
    "an infinite number": ("area,rooms,town\n50,2,Ulm\ninf,2,Ulm\n", f"n.csv, line 3, column area: an infinite number; {MEND}"),
    "no rows": ("area,rooms,town\n", "n.csv has a line of column names and no rows; a model needs some"),
    "no bytes": ("", "n.csv is empty: it has no bytes at all; make it again"),
    "a short row": (
        "area,rooms,town\n50,2,Ulm\n50,2\n", "n.csv, line 3: 2 values, and the header has 3 names: '50,2'; add what is missing",
    ),
}  # fmt: skip


@pytest.fixture
def predict(command, clean):
    def run(content, *arguments):
        return command({"m.safetensors": clean.read_bytes(), "n.csv": content}, "predict", "m.safetensors", "n.csv", "--out",
                       "p.csv", "--quiet", *arguments)  # fmt: skip

    return run


@pytest.mark.parametrize("case", PREDICT)
def test_a_bad_table_to_predict(predict, case):
    content, message = PREDICT[case]
    is_refused(predict(content), message)


def test_columns_in_another_order_and_those_of_training(predict, tmp_path):
    assert predict("area,rooms,town\n50,2,Ulm\n60,3,Bonn\n") == (0, [], ["p.csv"])
    expected = (tmp_path / "p.csv").read_text()
    assert expected.count("\n") == 3
    for content, *options in (
        ("town,area,rooms\nUlm,50,2\nBonn,60,3\n",),
        ("rent,town,area,rooms\n1,Ulm,50,2\n,Bonn,60,3\n",),  # the target, even where it is missing
        ("town,area,rooms,garden\nUlm,50,2,?\nBonn,60,3,\n", "--exclude", "garden"),
        ("town , area,rooms\nUlm,50.0,2e0\nBonn,60,+3\n",),
    ):
        (tmp_path / "p.csv").unlink()
        assert predict(content, *options) == (0, [], ["p.csv"])
        assert (tmp_path / "p.csv").read_text() == expected


@pytest.fixture(scope="module")
def of_booleans(tmp_path_factory):
    """A model of a column of true and false, and a column of numbers."""
    folder = tmp_path_factory.mktemp("booleans")
    (folder / "t.csv").write_text("f,x,y\n" + "".join(f"{'true' if i % 3 else 'false'},{i},{i % 3 + i}\n" for i in range(N)))
    assert (
        parser.main(["train", str(folder / "t.csv"), "--target", "y", "--out", str(folder / "m.safetensors"), "--quiet"]) == 0
    )
    return (folder / "m.safetensors").read_bytes()


NO_BOOLEAN = f"neither true nor false, nor 1 nor 0; {MEND}"
BOOLEANS = {
    "numbers": ("f,x\n1,1\n7,1\n-3,1\n", f"n.csv, line 3, column f: {NO_BOOLEAN}"),
    "a share": ("f,x\n1,1\n0.5,1\n", f"n.csv, line 3, column f: {NO_BOOLEAN}"),
    "infinite": ("f,x\n1,1\ninf,1\n", f"n.csv, line 3, column f: {NO_BOOLEAN}"),
    "text": ("f,x\n1,1\nyes,1\n", f"n.csv, line 3, column f: 'yes' is not true or false; {MEND}"),
    "true for a number": ("f,x\n1,1\n1,true\n", f"n.csv, line 3, column x: 'true' is not a number; {MEND}"),
    "true for numbers": ("f,x\ntrue,true\nfalse,false\n", f"n.csv, line 2, column x: 'true' is not a number; {MEND}"),
}


@pytest.mark.parametrize("case", BOOLEANS)
def test_booleans_and_numbers_are_not_taken_for_each_other(command, of_booleans, case):
    content, message = BOOLEANS[case]
    is_refused(
        command({"m.safetensors": of_booleans, "n.csv": content}, "predict", "m.safetensors", "n.csv", "--out", "p.csv"),
        message,
    )


def test_booleans_and_numbers_in_parquet(command, of_booleans, tmp_path):
    arguments = ("predict", "m.safetensors", "n.parquet", "--out", "p.csv", "--quiet")
    for columns, message in (
        ({"f": [1, 7], "x": [1, 1]}, f"n.parquet, row 2, column f: {NO_BOOLEAN}"),
        ({"f": [True, False], "x": [True, True]}, "n.parquet: column x is boolean, and the model was trained with integer; make it "
         "integer in the file"),
    ):  # fmt: skip
        is_refused(command({"m.safetensors": of_booleans, "n.parquet": parquet(**columns)}, *arguments), message)
    found = []
    for f in ([True, False], [1, 0], [1.0, 0.0]):
        command({"m.safetensors": of_booleans, "n.parquet": parquet(f=f, x=[1, 2])}, *arguments)
        found.append((tmp_path / "p.csv").read_text())
        (tmp_path / "p.csv").unlink()
    assert found[0] == found[1] == found[2]


def test_a_parquet_table_of_other_types_to_predict(command, clean):
    files = {"m.safetensors": clean.read_bytes(), "n.parquet": parquet(area=["50"], rooms=[2], town=["Ulm"])}
    is_refused(
        command(files, "predict", "m.safetensors", "n.parquet", "--out", "p.csv"),
        "n.parquet: column area is text, and the model was trained with integer; make it integer in the file",
    )


@pytest.mark.parametrize("case", ["no bytes", "header only", "long row", "Latin-1 value", "unclosed quote in the last column",
                                  "text among numbers", "inf", "UTF-16", "duplicate names"])  # fmt: skip
def test_a_bad_table_to_inspect(command, case):
    content, message = CSV[case]
    is_refused(command({"t.csv": content}, "inspect", "t.csv"), message)


def test_inspect_leaves_out_what_cannot_be_used(command, capsys):
    text = with_column("day", [f"2024-01-{i % 28 + 1:02d}" for i in range(N)])
    assert command({"t.csv": text}, "inspect", "t.csv") == (0, [], [])
    is_refused(
        command({"t.csv": "day\n2024-01-01\n2024-01-02\n"}, "inspect", "t.csv"),
        "t.csv: no column is left to learn from; the table needs another than the target",
    )


# In a process of its own -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["no bytes", "unclosed quote", "Latin-1 name", "text among numbers", "too many categories"])
def test_in_a_process_of_its_own(tmp_path, case):
    content, message = CSV[case]
    write(tmp_path, {"t.csv": content})
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "gdcore", "train", "t.csv", "--target", "rent", "--plot", "p.png"],
        cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"gdcore: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_every_message_says_what_to_do():
    said = [message for _, message, *_ in itertools.chain(CSV.values(), PARQUET.values(), NPY.values(), PREDICT.values())]
    said += [message for *_, message in FILES.values()]
    assert len(said) > 130
    for message in said:
        assert len(message) < 330
        assert re.search(r"[;:] \S.{4,}|did you mean|there is no|: \w+ \w+|, found ", message), message
        assert not re.search(r"Arrow|Error|Traceback|0x[0-9a-f]{6,}|errno|None|<class", message), message
