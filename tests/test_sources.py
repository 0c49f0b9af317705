"""Files of any kind give the same rows, in their order, however they are cut, compressed, kept or read ahead."""

import csv
import gzip
import io
import itertools
import threading
import time

import numpy as np
import pytest

import gdcore
from gdcore.rows.ahead import Ahead
from gdcore.rows.arrow import TableError
from gdcore.rows.files import csvfile, csvtext, npy, sources
from gdcore.rows.files import kept as keeping
from gdcore.rows.files.csvtext import meant_as_number
from gdcore.rows.files.kept import Kept
from gdcore.rows.files.opening import open_source
from gdcore.rows.written import is_number

pa = pytest.importorskip("pyarrow")
import pyarrow.csv as pc  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

N = 70_000  # more than a batch


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(0)
    return {
        "number": rng.normal(size=N) * 10.0 ** rng.integers(-300, 300, N),
        "integer": np.arange(N),
        "boolean": rng.random(N) < 0.5,
        "text": rng.choice(["a", "", "c, d", 'e "f"', "ü", "g\nh"], N),
    }


def read(source, names=None):
    """The columns as lists."""
    names = list(source.kinds) if names is None else names
    batches = list(source.batches(names))
    assert all(batch.schema.names == names for batch in batches)
    assert all(0 < batch.num_rows <= sources.ROWS for batch in batches)
    return {name: [value for batch in batches for value in batch.column(name).to_pylist()] for name in names}


def text_of(columns, end="\n"):
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator=end)
    writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    return sink.getvalue()


def assert_are(found, columns):
    """Empty text is a missing value in CSV; integers come as floats."""
    assert list(found) == list(columns)
    for name, values in columns.items():
        wanted = [None if value == "" else value for value in values.tolist()]
        assert found[name] == wanted, name


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [1 << 12, 77_777, 1 << 20])
def test_csv_however_it_is_cut(tmp_path, monkeypatch, columns, block, end):
    monkeypatch.setattr(csvfile, "_BLOCK", block)
    (tmp_path / "t.csv").write_text(text_of(columns, end), newline="")
    source = open_source(tmp_path / "t.csv")
    assert source.kinds == {"number": "number", "integer": "integer", "boolean": "boolean", "text": "text"}
    assert source.rows is None
    for _ in range(2):
        assert_are(read(source), columns)
    assert source.rows == N
    assert read(source, ["text", "integer"])["integer"] == list(range(N))


def test_csv_that_is_compressed(tmp_path, columns):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text_of(columns).encode(), 1))
    assert_are(read(open_source(tmp_path / "t.csv.gz")), columns)


def test_quoted_newlines_at_every_place_of_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csvfile, "_BLOCK", 256)
    rows = [(i, "x" * (i % 40) + "\n" * (i % 3) + "y", i * i) for i in range(400)]
    for shift in range(0, 60, 3):
        text = "a,note,y\n" + "".join(f'{i},"{note}{"z" * shift}",{y}\n' for i, note, y in rows)
        (tmp_path / "t.csv").write_text(text)
        found = read(open_source(tmp_path / "t.csv"))
        assert list(zip(*found.values(), strict=True)) == [(i, note + "z" * shift, y) for i, note, y in rows]


def test_a_line_that_is_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csvfile, "_BLOCK", 64)
    for note in ("x" * 500, '"' + "x\n" * 250 + '"'):
        text = "a,note\n" + "".join(f"{i},{note if i == 77 else 'n'}\n" for i in range(100))
        (tmp_path / "t.csv").write_text(text)
        found = read(open_source(tmp_path / "t.csv"))
        assert found["a"] == list(range(100))
        assert found["note"][77] == note.strip('"')


def test_what_is_accepted_is_what_csv_says_it_is(tmp_path):
    """Random tables with quotation marks in odd places: the strict reader's records, or an error; never anything else."""
    rng = np.random.default_rng(1)
    alphabet = np.array(["1", "2", "a", '"', '"', '""', ",", "\n", '"\n', ',"', " "])
    accepted = 0
    for _ in range(1500):
        body = "".join(rng.choice(alphabet, rng.integers(3, 30)))
        text = f"p,q\n5,k\n{body}\n6,l\n"
        (tmp_path / "t.csv").write_text(text)
        try:
            records = [record for record in csv.reader(io.StringIO(text, newline=""), strict=True) if record]
        except csv.Error:
            records = None
        try:
            source = open_source(tmp_path / "t.csv")
            source.kinds.update(p="text", q="text")
            found = read(source)
        except TableError as error:
            assert "t.csv" in str(error)  # noqa: PT017
            assert records is None or any(len(record) != 2 for record in records), text
            continue
        assert records is not None, text
        rows = [tuple(None if value in csvtext.MISSING else value for value in record) for record in records[1:]]
        assert list(zip(*found.values(), strict=True)) == rows, text
        accepted += 1
    assert accepted > 50


NUMBERS = ["1", "-1", "+1", "1.", ".5", "-.5e-7", "1e5", "1E+05", "inf", "-Infinity", "NAN", "007", "9" * 40]
TEXTS = [
    "",
    "-",
    ".",
    "e5",
    "1e",
    "1_0",
    "0x10",
    "1,5",
    "1 2",
    "--1",
    "+-1",
    "١",
    "１",
    "1f",
    "true",
    "1e5.0",
    "½",
    "∞",
    "1\u00a0",
]


@pytest.mark.parametrize("text", NUMBERS + TEXTS)
def test_a_number_is_what_pyarrow_takes_for_one(text):
    options = pc.ConvertOptions(column_types={"a": pa.float64()}, null_values=[])
    try:
        pc.read_csv(io.BytesIO(f'a,b\n"{text}",1\n'.encode()), convert_options=options)
    except pa.ArrowInvalid:
        assert text in TEXTS
        assert not is_number(text)
    else:
        assert text in NUMBERS
        assert is_number(text)
        assert meant_as_number(text) is None


def test_numbers_with_a_decimal_comma():
    assert [is_number(text, ",") for text in ("1,5", "1", ",5e3", "1.5", "1,5,0")] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,5", "decimal comma"), ("1,500", "between thousands"), ("0,500", "decimal comma"), ("1,500,000", "all but digits"),
        ("1.500,25", "decimal comma"), ("1.500.250", "points between thousands"), ("1'500", "all but digits"),
        ("1 500", "all but digits"),
        ("€5", "all but digits"),
        ("5%", "all but digits"), ("1_000", "all but digits"), ("0xff", "hexadecimal"), (" NA", "no blanks"),
    ],
)  # fmt: skip
def test_what_was_meant_as_a_number(text, said):
    assert said in meant_as_number(text)


@pytest.mark.parametrize("text", ["Ulm", "A1", "1a", "12-34", "2024-01-01", "12:30", "-", "x,y", "1/2", "NAN?"])
def test_what_was_not(text):
    assert meant_as_number(text) is None


@pytest.mark.parametrize("options", [{}, {"row_group_size": 997}, {"data_page_size": 256, "row_group_size": 30_000},
                                     {"use_dictionary": False, "compression": "none"}], ids=str)  # fmt: skip
def test_parquet_however_it_is_cut(tmp_path, columns, options):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", **options)
    source = open_source(tmp_path / "t.parquet")
    assert source.rows == N
    assert source.kinds == {"number": "number", "integer": "integer", "boolean": "boolean", "text": "text"}
    for names in (list(columns), ["text", "number"]):
        found = read(source, names)
        assert {name: found[name] for name in names} == {name: columns[name].tolist() for name in names}


def test_parquet_types_that_become_text_and_numbers(tmp_path):
    table = pa.table(
        {
            "half": pa.array(np.array([1.5, 2.5, np.nan]), pa.float16()),
            "decimal": pa.array([1, 2, None]).cast(pa.decimal128(30, 5)),
            "category": pa.array(["x", None, "x"]).dictionary_encode(),
            "nothing": pa.nulls(3),
            "dotted.name": [1, 2, 3],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    source = open_source(tmp_path / "t.parquet")
    assert list(source.kinds.values()) == ["number", "number", "text", "empty", "integer"]
    found = read(source)
    assert found["half"][:2] == [1.5, 2.5]
    assert np.isnan(found["half"][2])
    assert found["decimal"] == [1.0, 2.0, None]
    assert found["category"] == ["x", None, "x"]
    assert found["nothing"] == [None] * 3
    assert found["dotted.name"] == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", ">f8", ">i4", "u8", "i1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, monkeypatch, dtype, order):
    monkeypatch.setattr(sources, "ROWS", 7)
    array = np.asarray(np.random.default_rng(0).integers(0, 2 if dtype == "?" else 100, (40, 3)).astype(dtype), order=order)
    np.save(tmp_path / "t.npy", array)
    source = open_source(tmp_path / "t.npy")
    assert source.rows == 40
    assert read(source) == {str(j): array[:, j].tolist() for j in range(3)}
    assert read(source, ["2", "0"]) == {"2": array[:, 2].tolist(), "0": array[:, 0].tolist()}


def test_npy_is_not_mapped_into_memory(tmp_path):
    np.save(tmp_path / "t.npy", np.arange(6.0).reshape(3, 2))
    source = open_source(tmp_path / "t.npy")
    assert isinstance(source, npy.Npy)
    assert not any(isinstance(value, np.memmap) for value in vars(source).values())


def test_wide_tables_come_in_few_rows_at_a_time():
    assert sources.rows_of(1) == sources.rows_of(20) == sources.ROWS
    assert sources.rows_of(10_000) * 10_000 * 8 <= sources.BYTES
    assert sources.rows_of(10**9) == 1


def write_several(folder, columns):
    folder.mkdir()
    cuts = [0, 10_000, 10_001, 40_000, N]
    for i, (low, high) in enumerate(itertools.pairwise(cuts)):
        part = {name: values[low:high] for name, values in columns.items()}
        if i % 2:
            pq.write_table(pa.table(part), folder / f"{i}.parquet")
        else:
            (folder / f"{i}.csv").write_text(text_of(part))


def test_several_files(tmp_path, columns):
    columns = {name: values for name, values in columns.items() if name != "text"}
    write_several(tmp_path / "d", columns)
    (tmp_path / "d" / "notes.md").write_text("no table")
    (tmp_path / "d" / ".hidden.csv").write_text("a\n1\n")
    source = open_source(tmp_path / "d")
    assert source.label == "0.csv and 3 more"
    assert source.rows is None
    assert_are(read(source), columns)
    assert source.rows == N
    assert source.place(0) == "0.csv, line 2"
    assert source.place(9_999) == "0.csv, line 10001"
    assert source.place(10_000) == "1.parquet, row 1"
    assert source.place(10_001) == "2.csv, line 2"
    assert source.place(N - 1) == "3.parquet, row 30,000"
    again = open_source([tmp_path / "d" / "3.parquet", tmp_path / "d" / "0.csv"])
    assert read(again, ["integer"])["integer"] == [*range(40_000, N), *range(10_000)]


def test_kinds_that_go_together(tmp_path):
    texts = {"1.csv": "a,b,c\n1,,true\n", "2.csv": "a,b,c\n1.5,x,\n", "3.csv": "a,b,c\n,7,false\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    source = open_source(tmp_path)
    assert source.kinds == {"a": "number", "b": "text", "c": "boolean"}
    assert read(source) == {"a": [1, 1.5, None], "b": [None, "x", "7"], "c": [True, None, False]}


# Kept ------------------------------------------------------------------------------------------------------------------------


class Counted(sources.Source):
    """A source that counts its passes, and how many are under way."""

    def __init__(self, batches=5, fails_at=None, error=None):
        self.label, self.kinds, self.size = "counted", {"a": "integer", "b": "text"}, 100
        self.count, self.fails_at, self.error = batches, fails_at, error
        self.begun = self.ended = self.open = 0

    def batches(self, names):
        self.begun += 1
        self.open += 1
        try:
            for i in range(self.count):
                if i == self.fails_at:
                    raise self.error
                columns = {"a": [i, i], "b": [str(i), None]}
                yield pa.RecordBatch.from_pydict({name: columns[name] for name in names})
            self.ended += 1
            self.rows = 2 * self.count
        finally:
            self.open -= 1


@pytest.mark.parametrize("folder", [False, True])
def test_a_kept_source_is_decoded_once(tmp_path, folder):
    source = Counted()
    kept = Kept(source, ["a", "b"], tmp_path if folder else None)
    first = read(kept, ["a", "b"])
    assert read(kept, ["b"]) == {"b": first["b"]}
    assert read(kept, ["b", "a"]) == {"b": first["b"], "a": first["a"]}
    assert source.begun == source.ended == 1
    assert kept.rows == 10
    assert list(tmp_path.iterdir()) == []  # the file there has no name, and is gone with its process, however that ends


@pytest.mark.parametrize("folder", [False, True])
def test_a_pass_that_is_left_is_not_kept(tmp_path, folder):
    source = Counted()
    kept = Kept(source, ["a", "b"], tmp_path if folder else None)
    for _ in range(3):
        batches = kept.batches(["a"])
        next(batches)
        batches.close()
    assert (source.begun, source.ended, source.open) == (3, 0, 0)
    assert list(tmp_path.iterdir()) == []
    assert read(kept, ["a"])["a"] == [i for i in range(5) for _ in range(2)]
    assert read(kept, ["a"])["a"] == [i for i in range(5) for _ in range(2)]
    assert source.begun == 4


def test_a_source_that_is_larger_than_it_seemed_is_not_kept(monkeypatch):
    source = Counted()
    source.size = 10
    monkeypatch.setattr(keeping, "MEMORY", 60)
    kept = Kept(source, ["a", "b"])
    assert kept.decoded
    for _ in range(3):
        assert read(kept, ["a"])["a"] == [i for i in range(5) for _ in range(2)]
    assert not kept.decoded
    assert kept.memory is None
    assert source.begun == 3
    assert not Kept(source, ["a"]).decoded or source.size <= 60


def test_a_failing_source_leaves_no_cache(tmp_path):
    kept = Kept(Counted(fails_at=3, error=TableError("bad")), ["a"], tmp_path)
    with pytest.raises(TableError, match="bad"):
        list(kept.batches(["a"]))
    assert list(tmp_path.iterdir()) == []


# Ahead -----------------------------------------------------------------------------------------------------------------------


def reading():
    return [thread for thread in threading.enumerate() if thread.name == "gdcore-ahead"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), MemoryError(), TableError("wrong")])
@pytest.mark.parametrize("at", [0, 3])
def test_errors_come_where_the_item_would(error, at):
    def items():
        yield from range(at)
        raise error

    found = Ahead(items())
    assert [next(found) for _ in range(at)] == list(range(at))
    with pytest.raises(type(error)):
        next(found)
    assert reading() == []


def test_no_thread_is_left_and_the_items_are_closed():
    closed = threading.Event()

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.set()

    found = Ahead(items())
    assert [next(found), next(found)] == [0, 1]
    assert len(reading()) == 1
    found.close()
    assert closed.is_set()
    assert reading() == []


def test_it_is_only_a_little_ahead():
    made = []

    def items():
        for i in range(100):
            made.append(i)
            yield i

    found = Ahead(items(), depth=2)
    next(found)
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) == 4  # the one that was taken, two that wait, one in the hand
    assert list(found) == list(range(1, 100))
    assert reading() == []


TABLE = {"a": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 7.0]}


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: pytest.importorskip("pandas").DataFrame(TABLE), "pandas.DataFrame"),
        (lambda: pytest.importorskip("pandas").Series(TABLE["a"]), "pandas.Series"),
        (lambda: pytest.importorskip("polars").DataFrame(TABLE), "polars.DataFrame"),
        (lambda: pytest.importorskip("polars").LazyFrame(TABLE), "polars.LazyFrame"),
        (lambda: pa.table(TABLE), "pyarrow.Table"),
        (lambda: pa.table(TABLE).to_batches()[0], "pyarrow.RecordBatch"),
        (lambda: pa.table(TABLE).to_reader(), "pyarrow.RecordBatchReader"),
        (lambda: np.zeros((3, 2)), "numpy.ndarray"),
        (lambda: TABLE, "dict"),
        (lambda: None, "NoneType"),
        (lambda: [3], "list"),
    ],
)
def test_a_table_in_memory_is_no_path_and_goes_to_fit(make, found):
    table = make()
    said = rf"paths must be the path of a file, or several, found {found}; a table in memory .*gdcore\.fit\(frame\[columns\]"
    with pytest.raises(TypeError, match=said):
        gdcore.open_table(table, "y")


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_what_is_said_of_a_frame_works(package):
    frame = pytest.importorskip(package).DataFrame(TABLE)
    model = gdcore.fit(frame[["a"]], frame["y"]).model
    np.testing.assert_allclose([model.weights[0], model.bias], np.polyfit(TABLE["a"], TABLE["y"], 1), rtol=1e-9)


@pytest.mark.parametrize("kind", [list, tuple, np.array, iter], ids=lambda kind: kind.__name__)
def test_several_paths_come_in_any_form(tmp_path, kind):
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text("a,y\n1,2\n2,4\n3,7\n")
    table = gdcore.open_table(kind([str(tmp_path / "one.csv"), str(tmp_path / "two.csv")]), "y")
    assert len(table) == 6
