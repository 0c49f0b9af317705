"""The command line. What is imported here is what ``gdcore --help`` needs, and no more."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXAMPLES = """\
examples:
  gdcore demo
  gdcore inspect flights.csv --exclude tailnum,time_hour
  gdcore train flights.csv --target arr_delay --missing drop --exclude tailnum,time_hour --plot flights.png
  gdcore predict flights.safetensors new-flights.csv --out delays.csv

gdcore COMMAND --help says more."""
_TRAIN = """\
Text columns become categories (up to 100 values), booleans 0 and 1; dates are refused. Without --loss the target decides: two
values or text are classes, anything else is a number. Nothing needs scaling, and no learning rate has to be found.

examples:
  gdcore train houses.parquet --target price                        least squares; the model in houses.safetensors
  gdcore train houses.parquet --target price --loss mae             absolute error, for targets with outliers
  gdcore train houses.parquet --target price --loss quantile:0.9    what 9 of 10 prices stay below
  gdcore train mail.csv --target spam --l2 0.01 --report spam.html  two classes; a page with pictures
  gdcore train parts/ --target y --loss softmax                     all tables of a folder; integers as classes
  gdcore train wine.csv --target quality --model mlp:64,32          a network with two hidden layers"""


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    top = argparse.ArgumentParser(
        prog="gdcore", epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Linear models, and small networks, trained by gradient descent whose gradients were derived by hand:\n"
        "from a table on disk to a model, a picture and predictions.",
    )  # fmt: skip
    top.add_argument("--version", action=_Version, nargs=0, help="the version, and the kernel that this machine uses")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _train(commands)
    _predict(commands)
    _inspect(commands)
    demo = commands.add_parser(
        "demo", help="train on real data and show every step",
        description="Trains on NIST's Norris calibration data and compares with the certified coefficients, then shows what "
        "the Celsius to Fahrenheit lesson really learns. Needs no argument and no other package.",
    )  # fmt: skip
    demo.add_argument("--plot", metavar="FILE", help="draw data, line and loss curve to FILE (.png, .svg or .pdf)")
    return top


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        import gdcore
        from gdcore.backends import kernel

        print(f"gdcore {gdcore.__version__} ({kernel.variant()})")
        parser.exit()


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _character(text: str) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not one character")
    return text


def _table_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "data", nargs="+", metavar="DATA", help="CSV, Parquet or .npy files, or a folder of them, as one table"
    )
    command.add_argument(
        "--delimiter", type=_character, metavar="C", help="between the values of CSV (default: a comma; tab: tabulators)"
    )
    command.add_argument("--decimal", type=_character, default=".", metavar="C", help="the decimal point of CSV")
    command.add_argument("--threads", type=int, metavar="N", help="default: the CPUs that this process may use")


def _train(commands: Any) -> None:
    train = commands.add_parser(
        "train", help="train a model on a table", epilog=_TRAIN, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Trains a model on a table, and tests it on rows that it has not seen.",
    )  # fmt: skip
    _table_options(train)
    add = train.add_argument
    add("--target", required=True, metavar="NAME", help="the column to predict")
    add("--features", type=_names, metavar="A,B,…", help="the columns to predict it from (default: all others)")
    add("--exclude", type=_names, default=[], metavar="A,B,…", help="columns to leave out")
    add("--weights", metavar="COLUMN", help="the column of the rows' weights")
    add(
        "--missing", choices=("error", "drop", "mean"), default="error",
        help="a missing value: an error (default), leave its row out, or the column's mean",
    )  # fmt: skip
    add("--loss", metavar="NAME", help="mse, mae, huber[:δ], quantile[:τ], logistic, softmax (default: by the target)")
    add(
        "--model", default="linear", metavar="MODEL", help="linear (default), or mlp:64,32: a network with these hidden layers"
    )
    add("--lr", default="auto", metavar="RATE", help="the textbook's learning rate (default: gdcore chooses)")
    add("--epochs", type=int, metavar="N", help="at most (default 1000; networks 100)")
    add("--batch-size", type=int, metavar="N", help="rows in a step (default: all; networks 128)")
    add("--l1", type=float, default=0.0, metavar="P", help="penalty l1·‖W‖₁")
    add("--l2", type=float, default=0.0, metavar="P", help="penalty (l2/2)·‖W‖²")
    add("--optimizer", metavar="NAME", help="sgd, adagrad, rmsprop, adam, adamw (default: chosen; networks adam)")
    add("--precondition", choices=("auto", "none", "diagonal", "gram"), default="auto", help="the metric of the steps")
    add("--tol", type=float, metavar="T", help="stop when the loss is within T of the best, relative")
    add("--test-size", type=float, default=0.2, metavar="SHARE", help="of the rows that test and do not train (default 0.2)")
    add("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default 0)")
    add("--cache", metavar="FOLDER", help="keep decoded columns there meanwhile: for large CSV files that are read many times")
    add("--out", metavar="MODEL", help="the model file (default: the table's name with .safetensors)")
    add("--plot", metavar="FILE", help="a picture of the training (.png, .svg or .pdf)")
    add("--report", metavar="FILE", help="a page with all of it (.html)")
    add("--checkpoint", metavar="FILE", help="keep the state there, from which --resume goes on after a crash")
    add("--resume", action="store_true", help="go on from the checkpoint where there is one")
    add("--json", action="store_true", help="print the results as JSON, and nothing else")
    add("--quiet", action="store_true", help="print nothing but warnings")


def _predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict", help="predict with a model", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Predicts a table's rows. Columns are found by their names, in any order. A model trained with --missing\n"
        "mean fills in missing values, one trained with --missing drop leaves such predictions empty.",
        epilog="example:\n  gdcore predict flights.safetensors new-flights.csv --out delays.csv",
    )  # fmt: skip
    predict.add_argument("model", metavar="MODEL", help="a model file")
    _table_options(predict)
    predict.add_argument("--out", required=True, metavar="FILE", help="where the predictions go (.csv or .parquet)")
    predict.add_argument("--exclude", type=_names, default=[], metavar="A,B,…", help="columns that the model does not know")
    predict.add_argument("--quiet", action="store_true", help="print nothing but warnings")


def _inspect(commands: Any) -> None:
    inspect = commands.add_parser(
        "inspect", help="what a table's spectrum tells, or what a model file holds",
        description="Of a table: its columns, its spectrum, the largest learning rate, the worst columns. Of a model: how it "
        "was made, and its weights.",
    )  # fmt: skip
    _table_options(inspect)
    inspect.add_argument("--target", metavar="NAME", help="the column to predict: no feature, then")
    inspect.add_argument("--features", type=_names, metavar="A,B,…", help="the columns to look at (default: all)")
    inspect.add_argument("--exclude", type=_names, default=[], metavar="A,B,…", help="columns to leave out")
    inspect.add_argument("--loss", metavar="NAME", help="whose spectrum (default mse)")
    inspect.add_argument("--l2", type=float, default=0.0, metavar="P", help="with this penalty")
    inspect.add_argument("--json", action="store_true", help="print it as JSON")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 2 for a mistake of the caller's, 1 for one of ours, 130 after Ctrl-C."""
    options = parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 still gets the figures
    try:
        if options.command == "demo":
            from gdcore import demo

            demo.run(plot=options.plot)
            return 0
        from gdcore import commands

        return commands.run(options)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who reads our output has seen enough
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from gdcore.commands import explain
        from gdcore.run import DivergenceError

        if not isinstance(error, (ImportError, OSError, ValueError, MemoryError, DivergenceError)):
            raise  # not the caller's mistake but ours: Python tells where, and exits with 1
        return explain(error)
