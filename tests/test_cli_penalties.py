"""`gdcore train --l1 cv`, `--l2 cv`, `--l1-ratio`: what is chosen, printed, kept and drawn is what `gdcore.path` says."""

import json

import numpy as np
import pytest

import gdcore

for module in ("pyarrow", "safetensors", "matplotlib"):
    pytest.importorskip(module)

RNG = np.random.default_rng(5)
N = 200
COLUMNS = {"a": RNG.normal(size=N), "b": 3 + 100 * RNG.normal(size=N), "c": RNG.normal(size=N), "s": RNG.integers(1, 4, N)}
COLUMNS["y"] = COLUMNS["a"] - 0.01 * COLUMNS["b"] + RNG.normal(size=N)
COLUMNS["sort"] = np.where(COLUMNS["a"] + RNG.normal(size=N) > 0.5, "new", "old")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rows = zip(*(map(str, column.tolist()) for column in COLUMNS.values()), strict=True)
    (tmp_path / "rows.csv").write_text("\n".join(map(",".join, [tuple(COLUMNS), *rows])) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


GIVEN = [
    ("y", ("--l1", "cv"), 1.0, {}),
    ("y", ("--l2", "cv"), 0.0, {}),
    ("y", ("--l1", "cv", "--l2", "cv"), 0.5, {}),
    ("y", ("--l1", "cv", "--l1-ratio", "0.8", "--weights", "s"), 0.8, {"weights": "s"}),
    ("sort", ("--l1", "cv"), 1.0, {}),
]


@pytest.mark.parametrize("target, flags, ratio, opened", GIVEN)
def test_it_is_the_path_of_the_rows_that_trained(folder, gd, target, flags, ratio, opened):
    status, out, _ = gd("train", "rows.csv", "--target", target, "--features", "a,b,c", "--json", *flags)
    assert status == 0
    table = gdcore.open_table("rows.csv", target, features=["a", "b", "c"], test_size=0.2, **opened)
    path = gdcore.path(table, loss=table.loss, l1_ratio=ratio)
    told = json.loads(out)
    assert told["rows"]["train"] == path.rows < N
    assert told["penalty"]["l1_ratio"] == ratio
    for name, i in (("best", path.best), ("one_standard_error", path.one_standard_error)):
        numbers = (path.penalties[i], path.cv_loss[i], path.cv_error[i], path.nonzero[i])
        np.testing.assert_allclose(list(told["penalty"][name].values()), numbers, rtol=1e-12)
    np.testing.assert_allclose(list(told["weights"].values()), path.weights[path.best], rtol=1e-12)
    assert told["status"] == "converged"
    assert told["method"].startswith("path: 100 penalties, 10 folds, drawn with seed 0")
    saved = gdcore.load("rows.safetensors")
    np.testing.assert_array_equal(saved.weights, path.model().weights)
    assert saved.columns == ["a", "b", "c"]
    assert gd("predict", "rows.safetensors", "rows.csv", "--out", "said.csv")[0] == 0


def test_it_is_printed_and_drawn(folder, gd):
    flags = ("--features", "a,b,c", "--l1", "cv", "--plot", "page.png", "--report", "page.html")
    status, out, _ = gd("train", "rows.csv", "--target", "y", *flags)
    assert status == 0
    table = gdcore.open_table("rows.csv", "y", features=["a", "b", "c"], test_size=0.2)
    path = gdcore.path(table)
    for line in str(path).splitlines():
        assert line in out
    assert "the model has the best penalty and trained on all these rows" in out
    assert "after 0 epochs" not in out
    page = (folder / "page.html").read_text()
    assert "Weights of 3 columns" in page
    assert "Cross-validation" in page
    assert "the best by 10 folds, drawn with seed 0" in page
    assert (folder / "page.png").stat().st_size > 10_000


def test_the_seed_draws_the_folds_and_tests_come_from_outside(folder, gd):
    def told(*flags):
        return json.loads(gd("train", "rows.csv", "--target", "y", "--features", "a,b,c", "--l1", "cv", "--json", *flags)[1])

    assert "drawn with seed 3" in told("--seed", "3")["penalty"]["folds"]
    nested = told("--cv", "3")
    assert nested["rows"]["train"] == N
    assert nested["cross-validation"]["loss"]["mean"] > 0
    balanced = json.loads(
        gd(
            "train",
            "rows.csv",
            "--target",
            "sort",
            "--features",
            "a,b,c",
            "--l1",
            "cv",
            "--class-weight",
            "balanced",
            "--json",
        )[1]
    )
    table = gdcore.open_table("rows.csv", "sort", features=["a", "b", "c"], test_size=0.2)
    X, Y, _ = table.read()
    s = (len(Y) / 2 / np.bincount(Y[:, 0].astype(int)))[Y[:, 0].astype(int)]
    path = gdcore.path(X, Y[:, 0], "logistic", sample_weight=s)
    np.testing.assert_allclose(list(balanced["weights"].values()), path.model().weights, rtol=1e-9)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--l1-ratio", "0.5"), "--l1-ratio 0.5 is how much of a penalty that is chosen is l1: give --l1 cv"),
        (("--l1", "cv", "--l2", "0.5"), "leave --l2 0.5 out"),
        (("--l2", "cv", "--lr", "0.1"), "--l2 cv finds the best linear model of each penalty by itself, and --lr has no say"),
        (("--l1", "cv", "--model", "mlp:3"), "--model has no say"),
        (("--l1", "cv", "--batch-size", "8"), "--batch-size has no say"),
        (("--l1", "cv", "--loss", "mae"), "--loss must be one with a second derivative, found 'mae'"),
        (("--l1", "cv", "--summary"), "with --l1 they are others"),
        (("--l1", "half"), "--l1 must be cv or a finite number, at least 0, found 'half'"),
        (("--l1", "cv", "--l1-ratio", "3"), "--l1-ratio must be a share, from 0 to 1, found '3'"),
    ],
)
def test_what_does_not_go_together_is_told(folder, gd, flags, told):
    status, _, error = gd("train", "rows.csv", "--target", "y", "--features", "a,b,c", *flags)
    assert status == 2
    assert told in error
    assert not (folder / "rows.safetensors").exists()
