"""`gdcore train --summary`: what it prints, writes and keeps is what `gdcore.inference` says of the rows that trained."""

import json

import numpy as np
import pytest

import gdcore

for module in ("pyarrow", "safetensors", "matplotlib"):
    pytest.importorskip(module)

RNG = np.random.default_rng(5)
N = 150
COLUMNS = {"a": RNG.normal(size=N), "b": 3 + RNG.normal(size=N), "s": RNG.integers(1, 4, N).astype(float)}
COLUMNS["amount"] = np.round(np.exp(0.2 * COLUMNS["a"] + 0.3 * RNG.normal(size=N)), 3)
COLUMNS["y"] = COLUMNS["a"] - 0.5 * COLUMNS["b"] + RNG.normal(size=N)
COLUMNS["sort"] = np.where(COLUMNS["a"] + RNG.normal(size=N) > 0.5, "new", "old")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rows = zip(*(map(str, column.tolist()) for column in COLUMNS.values()), strict=True)
    (tmp_path / "rows.csv").write_text("\n".join(map(",".join, [tuple(COLUMNS), *rows])) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


GIVEN = [
    ("y", (), {}, {}),
    ("y", ("--loss", "huber", "--cov-type", "HC1"), {"loss": "huber"}, {"cov_type": "HC1"}),
    ("y", ("--weights", "s", "--cov-type", "HC3"), {"weights": "s"}, {"cov_type": "HC3"}),
    ("amount", ("--loss", "gamma"), {"loss": "gamma"}, {}),
    ("sort", (), {}, {}),
]


@pytest.mark.parametrize("target, flags, opened, asked", GIVEN)
def test_it_is_inference_of_the_rows_that_trained(folder, gd, target, flags, opened, asked):
    status, out, _ = gd("train", "rows.csv", "--target", target, "--features", "a,b", "--summary", "--json", *flags)
    assert status == 0
    table = gdcore.open_table("rows.csv", target, features=["a", "b"], test_size=0.2, **opened)
    wanted = gdcore.inference(gdcore.fit(table, loss=table.loss), table, **asked)
    told = json.loads(out)["summary"]
    assert told["nobs"] == table.rows < N
    assert list(told["parameters"]) == ["const", "a", "b"]
    letter = "t" if wanted.use_t else "z"
    for j, (name, numbers) in enumerate(told["parameters"].items()):
        low, high = wanted.conf_int()[j]
        columns = (wanted.params[j], wanted.bse[j], wanted.tvalues[j], wanted.pvalues[j], low, high)
        assert list(numbers) == ["coef", "std err", letter, "p", "low", "high"]
        np.testing.assert_allclose(list(numbers.values()), columns, rtol=1e-12, err_msg=name)


def test_it_is_printed_kept_and_on_the_page(folder, gd):
    status, out, _ = gd("train", "rows.csv", "--target", "y", "--features", "a,b", "--summary", "--report", "page.html")
    assert status == 0
    table = gdcore.open_table("rows.csv", "y", features=["a", "b"], test_size=0.2)
    summary = gdcore.inference(gdcore.fit(table), table).summary()
    for line in str(summary).splitlines():
        assert f"  {line}".rstrip() in out.splitlines()
    assert f"errors of the weights, from the {table.rows} rows that trained" in out
    page = (folder / "page.html").read_text()
    assert "<h2>Errors of the weights</h2>" in page
    for _, cells in summary.rows:
        for cell in cells:
            assert f">{cell}</td>" in page
    assert set(gdcore.load("rows.safetensors").card["summary"]["parameters"]) == {"const", "a", "b"}


def test_classes_have_their_names(folder, gd):
    (folder / "rows.csv").write_text((folder / "rows.csv").read_text().replace("old\n", "other\n", 20))
    status, out, _ = gd("train", "rows.csv", "--target", "sort", "--features", "a,b", "--summary")
    assert status == 0
    assert "weights are beside: new" in out
    assert [f"{name} ({label})" in out for label in ("old", "other", "new") for name in ("const", "a", "b")] == [True] * 6 + [
        False
    ] * 3


@pytest.mark.parametrize(
    "flags, said",
    [
        (
            ("--summary", "--l2", "0.1"),
            "--summary tells the errors of a linear model's best weights, and with --l2 they are others",
        ),
        (("--summary", "--l1", "0.1"), "with --l1 they are others; leave one out"),
        (("--summary", "--model", "mlp:3"), "with --model they are others"),
        (("--summary", "--batch-size", "8"), "with --batch-size they are others"),
        (("--cov-type", "HC1"), "--cov-type HC1 is of the weights' errors: give --summary"),
    ],
)
def test_what_has_no_errors_is_told_before_the_training(folder, gd, flags, said):
    status, out, err = gd("train", "rows.csv", "--target", "y", "--features", "a,b", *flags)
    assert (status, out) == (2, "")
    assert said in err
    assert not (folder / "rows.safetensors").exists()


def test_a_refusal_after_the_training_loses_no_model(folder, gd):
    (folder / "rows.csv").write_text((folder / "rows.csv").read_text().replace("a,b,s", "a,a2,b", 1))
    lines = (folder / "rows.csv").read_text().splitlines()
    lines[1:] = [
        ",".join([line.split(",")[0], repr(2 * float(line.split(",")[0])), *line.split(",")[2:]]) for line in lines[1:]
    ]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    status, out, err = gd("train", "rows.csv", "--target", "y", "--features", "a,a2,b", "--summary")
    assert status == 2
    assert "R²" in out
    last = err.splitlines()[-1]
    assert "--summary: the weights of dependent columns have no errors:" in last
    assert "The model is in rows.safetensors" in last
    assert gdcore.load("rows.safetensors").weights.shape == (3,)
