"""Errors and warnings name arguments as Python has them; on the command line the same ones name its flags."""

import pickle
import re
import warnings

import numpy as np
import pytest

import gdcore
from gdcore import checks
from gdcore.cli import flags
from gdcore.cli.options import parser
from gdcore.messages import Message, Option, joined, said

ROWS = "".join(f"{i},{i * i % 7},{3 * i + i % 2}\n" for i in range(40))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(f"a,b,y\n{ROWS}")
    (tmp_path / "holes.csv").write_text(f"a,b,y\n,1,2\n{ROWS}")
    (tmp_path / "dates.csv").write_text("a,day,y\n" + "".join(f"{i},2024-01-{i + 1:02},{i}\n" for i in range(30)))
    (tmp_path / "wide.csv").write_text("a;b;y\n" + ROWS.replace(",", ";"))
    (tmp_path / "text.csv").write_text("a,y\n" + "".join(f'{i},"{"abc"[i % 3]} {i % 3}"\n' for i in range(40)))
    return tmp_path


def test_parts_survive_what_carries_them():
    message = Message("give ", Option("l2"), " a value, as ", Option("l2", 0.01))
    assert (str(message), message) == ("give l2 a value, as l2=0.01",) * 2
    for carried in (gdcore.TableError(message, {"a": "b"}), ValueError(message), gdcore.ConditionWarning(message)):
        assert said(carried).parts == message.parts
        assert said(pickle.loads(pickle.dumps(carried))).parts == message.parts
    with pytest.warns(UserWarning, match="give l2 a value") as caught:
        warnings.warn(message, UserWarning, stacklevel=1)
    assert said(caught[0].message).parts == message.parts
    assert Message("see: ", message).parts == ("see: ", *message.parts)
    assert joined("; ", ["one", message]).parts == ("one", "; ", *message.parts)
    assert joined("; ", []) == ""
    assert said(OSError(2, "no such file")) == "[Errno 2] no such file"
    assert said(ValueError()) == ""


@pytest.mark.parametrize(
    ("check", "wanted"),
    [
        (lambda: checks.number("1", "tol"), "tol must be a number, found '1'"),
        (lambda: checks.number(-1, "l2"), "l2 must be finite and not negative, found -1"),
        (lambda: checks.integer(0, "batch_size", 1), "batch_size must be at least 1, found 0"),
        (lambda: checks.integer(1.0, "seed", 0), "seed must be an integer, found 1.0"),
        (lambda: checks.yes_or_no(1, "resume"), "resume must be True or False, found 1"),
        (lambda: checks.text(1, "target", "the name of a column"), "target must be the name of a column, found 1"),
        (lambda: checks.one_of("x", "index", ("drop", "keep")), "index must be 'drop' or 'keep', found 'x'"),
        (lambda: checks.one_of(["x"], "index", ("drop", None)), "index must be 'drop' or None, found ['x']"),
        (lambda: checks.function(3, "callback"), "callback must be callable, found 3"),
        (lambda: checks.texts("a", "na"), "na must be a list of names, found the text 'a': write ['a']"),
    ],
)
def test_every_check_says_it_alike_and_names_its_argument(check, wanted):
    with pytest.raises((TypeError, ValueError)) as error:
        check()
    assert str(error.value) == wanted
    assert said(error.value).parts[0] == Option(wanted.split()[0])


def test_what_is_told_with_flags():
    known = parser().flags()
    assert known["batch_size"] == "--batch-size"
    assert known["na_keep"] == "--na-keep"
    assert known["n_threads"] == "--threads"
    for option, wanted in (
        (Option("batch_size"), "--batch-size"),
        (Option("sample_weight"), "--weights"),
        (Option("lr", "auto"), "--lr auto"),
        (Option("precondition", None), "--precondition none"),
        (Option("l2", 0.01), "--l2 0.01"),
        (Option("test_size", 0), "--test-size 0"),
        (Option("resume", True), "--resume"),
        (Option("delimiter", "\t"), "--delimiter tab"),
        (Option("comment", "#"), "--comment '#'"),
        (Option("exclude", ["a", "b"]), "--exclude a,b"),
        (Option("exclude", ["a, b", "it's"]), """--exclude '"a, b",it'"'"'s'"""),
        (Option("schedule"), "schedule"),
        (Option("backend", "reference"), "backend='reference'"),
    ):
        assert flags.written(option) == wanted
    assert parser().parse_args(["train", "t", "--target", "y", "--exclude", '"a, b",it\'s']).exclude == ["a, b", "it's"]


@pytest.mark.parametrize(
    ("call", "arguments", "python", "flagged"),
    [
        (
            lambda: gdcore.open_table("holes.csv", "y").read(),
            "holes.csv",
            "missing='drop' leaves such rows out, missing='mean' puts the column's mean there",
            "--missing drop leaves such rows out, --missing mean puts the column's mean there",
        ),
        (
            lambda: gdcore.open_table("dates.csv", "y"),
            "dates.csv",
            "of which dates=['day'] makes numbers; leave out with exclude=['day']",
            "of which --dates day makes numbers; leave out with --exclude day",
        ),
        (lambda: gdcore.open_table("wide.csv", "y"), "wide.csv", "say delimiter=';'", "say --delimiter ';'"),
        (
            lambda: gdcore.open_table("text.csv", "y", loss="mse"),
            "text.csv --loss mse",
            "loss='logistic' and loss='softmax' take labels",
            "--loss logistic and --loss softmax take labels",
        ),
        (
            lambda: gdcore.open_table("t.csv", "y", split="a"),
            "t.csv --split a",
            "column a is integer, and split='a' wants one that says train and test; split='time:a' takes",
            "column a is integer, and --split a wants one that says train and test; --split time:a takes",
        ),
        (
            lambda: gdcore.open_table("t.csv", "y", missing="a=category"),
            "t.csv --missing a=category",
            "take missing='a=mean', median, indicator or drop, or categorical=['a']",
            "take --missing a=mean, median, indicator or drop, or --categorical a",
        ),
        (
            lambda: gdcore.open_table("t.csv", "y", decimal="x"),
            "t.csv --decimal x",
            "decimal must be one ASCII character",
            "--decimal must be one ASCII character",
        ),
        (
            lambda: gdcore.fit(np.ones((4, 1)), np.ones(4), lr=0.1, batch_size=40),
            "t.csv --batch-size 400",
            "batch_size must be between 1 and 4, found 40",
            "--batch-size must be between 1 and 36, found 400",
        ),
        (
            lambda: gdcore.fit(np.arange(8.0)[:, None], np.ones(8), lr=0.1, optimizer="newton"),
            "t.csv --optimizer newton --lr 0.1",
            "optimizer='newton' is for lr='auto', linear models of up to 2,048 columns",
            "--optimizer newton is for --lr auto, linear models of up to 2,048 columns",
        ),
    ],
    ids=lambda value: value.split(" ")[0] if isinstance(value, str) else "",
)
def test_the_same_fault_in_both_words(folder, gd, call, arguments, python, flagged):
    with pytest.raises(ValueError, match=re.escape(python)):
        call()
    status, out, err = gd("train", *arguments.split(), "--target", "y")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert flagged in err


def test_warnings_and_notes_in_both_words(folder, gd):
    (folder / "t.csv").write_text("a,zip,b,y\n" + "".join(f"{i},{i % 7:03},{2 * i},{i % 5}\n" for i in range(40)))
    table = gdcore.open_table("t.csv", "y")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gdcore.fit(table)
    told = [str(warning.message) for warning in caught]
    assert any(text.endswith("as codes do; categorical=['zip'] takes them as categories") for text in told)
    assert any(text.endswith("drop columns, or give l2 a value") for text in told)
    status, _, err = gd("train", "t.csv", "--target", "y", "--json")
    assert status == 0
    told = err.splitlines()
    assert any(line.endswith("as codes do; --categorical zip takes them as categories") for line in told)
    assert any(line.endswith("drop columns, or give --l2 a value") for line in told)
    notes = gdcore.load("t.safetensors").card["notes"]  # which the page shows too
    assert notes == [line.removeprefix("gdcore: warning: ") for line in told]


def test_columns_that_look_like_options_are_left_alone(folder, gd):
    (folder / "t.csv").write_text(
        "batch_size,lr='auto',n_threads,sample_weight,l2=0.01,give l2 a value,y\n"
        + "".join(f"{i},{i % 3},{i % 5},{i % 7},{i % 2},{i % 11},{i}\n" for i in range(40))
        + "1,1,1,1,1,,4\n"
    )
    status, _, err = gd("train", "t.csv", "--target", "y")
    assert (status, err) == (
        2,
        "gdcore: t.csv, line 42, column give l2 a value: a value is missing; --missing drop leaves such rows out, "
        "--missing mean puts the column's mean there\n",
    )
    for name in ("batch_size", "lr='auto'", "n_threads", "sample_weight", "l2=0.01"):
        status, _, err = gd("train", "t.csv", "--target", "y", "--features", name, "--exclude", name)
        assert (status, err) == (2, f"gdcore: t.csv: column {name} is named in both features and exclude; once is enough\n")


def test_where_the_run_is_after_a_divergence_is_said_to_python_alone(folder, gd):
    with pytest.warns(gdcore.LearningRateWarning), pytest.raises(gdcore.DivergenceError) as error:
        gdcore.fit(gdcore.open_table("t.csv", "y"), lr=10.0, epochs=5000)
    assert error.value.__notes__ == ["The run up to there is .run of this error."]
    assert str(error.value).endswith("is the best for it, and lr='auto' chooses for you")
    status, _, err = gd("train", "t.csv", "--target", "y", "--lr", "10", "--epochs", "5000")
    assert status == 2
    assert err.endswith("is the best for it, and --lr auto chooses for you\n")
