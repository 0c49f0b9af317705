"""The options of all commands. What is imported here is what ``gdcore --help`` needs, and no more."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from gdcore.cli import texts
from gdcore.cli.terminal import harmless

if TYPE_CHECKING:
    from collections.abc import Callable


def parser() -> Parser:
    """Of all commands."""
    top = Parser(
        prog="gdcore", epilog=texts.EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Linear models, and small networks, trained by gradient descent whose gradients\n"
        "were derived by hand: from a table on disk to a model, a picture and\npredictions.",
    )  # fmt: skip
    top.add_argument("--version", action=_Version, nargs=0, help="the version, and the kernel that this machine uses")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    _train(_command(commands, "train", "train a model on a table", texts.TRAIN, texts.TRAIN_EXAMPLES))
    _predict(_command(commands, "predict", "predict with a model", texts.PREDICT, texts.PREDICT_EXAMPLES))
    _inspect(
        _command(
            commands, "inspect", "what a table's spectrum tells, or what a model holds", texts.INSPECT, texts.INSPECT_EXAMPLES
        )
    )
    _explore(_command(commands, "explore", "a page on which descent is watched", texts.EXPLORE, texts.EXPLORE_EXAMPLES))
    _lesson(_command(commands, "lesson", "an epoch to compute by hand, with its key", texts.LESSON, texts.LESSON_EXAMPLES))
    demo = _command(commands, "demo", "train on real data and show every step", texts.DEMO)
    demo.add_argument("--plot", metavar="FILE", help="draw data, line and loss curve to FILE (.png, .svg or .pdf)")
    return top


class Parser(argparse.ArgumentParser):
    """An option's value has the name that the argument has in the library, in whose words the library speaks of it."""

    def flags(self) -> dict[str, str]:
        """How each option of all commands is written, by the name of its value."""
        found = {action.dest: action.option_strings[-1] for action in self._actions if action.option_strings}
        for action in self._actions:
            for command in action.choices.values() if isinstance(action.choices, dict) else ():
                found |= command.flags()
        return found

    def error(self, message: str) -> NoReturn:
        """One line, as all mistakes are told."""
        message = message.removeprefix("argument ").replace(": must ", " must ", 1)
        print(harmless(f"gdcore: {message}; {self.prog} --help says more"), file=sys.stderr)
        sys.exit(2)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        import gdcore
        from gdcore.backends import kernel

        print(f"gdcore {gdcore.__version__} ({kernel.variant()})")
        parser.exit()


def _command(commands: Any, name: str, what: str, description: str, examples: str = "") -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=description, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return command


# What is written after an option --------------------------------------------------------------------------------------------


def _value(kind: type, wanted: str, holds: Callable[[Any], bool]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"must be {wanted}, found {text!r}")
        return value

    return read


_COUNT = _value(int, "a whole number from 1 on", lambda value: 1 <= value < 1 << 63)
_SEED = _value(int, "a whole number from 0 on", lambda value: 0 <= value < 1 << 63)
_SHARE = _value(float, "a share, at least 0 and less than 1", lambda value: 0 <= value < 1)
_SIZE = _value(float, "a finite number, at least 0", lambda value: 0 <= value < float("inf"))
_PENALTY = _value(float, "cv or a finite number, at least 0", lambda value: 0 <= value < float("inf"))
_PART = _value(float, "a share, from 0 to 1", lambda value: 0 <= value <= 1)
_RATE = _value(float, "auto or a finite number above 0", lambda value: 0 < value < float("inf"))


def _penalty(text: str) -> float | str:
    return text if text == "cv" else float(_PENALTY(text))


def _rate(text: str) -> float | str:
    return text if text == "auto" else float(_RATE(text))


def _delimiter(text: str) -> str:
    return {"tab": "\t", "\\t": "\t"}.get(text, text)


class _Joined(argparse.Action):
    """An option that may come several times: its texts with commas between them."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *rest: Any) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, f"{before},{values}" if before else values)


def _names(text: str) -> list[str]:
    """Names between commas; one that has a comma in it stands in quotes.

    >>> _names('a, b,"c, d"')
    ['a', 'b', 'c, d']
    """
    names = next(csv.reader([text], skipinitialspace=True), [])
    if not names or not all(names):
        raise argparse.ArgumentTypeError(f"must be names of columns with commas between them, found {text!r}")
    return names


# The options ----------------------------------------------------------------------------------------------------------------


def _table_options(command: argparse.ArgumentParser, data: str, missing: str | None = None, unseen: str | None = None) -> Any:
    """Those of all commands that read tables; of ``--missing`` and ``--unseen`` the defaults, where the command has them."""
    command.add_argument("data", nargs="+", metavar="DATA", help=data)
    table = command.add_argument_group("the table").add_argument
    add = command.add_argument_group("missing values, new categories" if unseen else "missing values").add_argument
    if missing is not None:
        add(
            "--missing", action=_Joined, metavar="P,…",
            help="a missing value: error, or drop its row; of numbers mean, median or indicator (mean and a column of 0 and 1 "
            f"beside it); of text category; COLUMN=P for one column, as in mean,age=median (default: {missing})",
        )  # fmt: skip
    add("--na", type=_names, default=[], metavar="A,B,…", help="what stands for a missing value too: '?,-999'")
    add("--na-keep", type=_names, default=[], metavar="A,B,…", help="what does not, though CSV has it so: NA")
    if unseen is not None:
        add(
            "--unseen", choices=("base", "empty", "error"),
            help=f"a category that training had not: as the commonest, no prediction, or an error (default: {unseen})",
        )  # fmt: skip
    add = command.add_argument_group("how CSV files are written").add_argument
    add(
        "--delimiter", type=_delimiter, metavar="C",
        help="between values (default: a comma); or tab; or blanks: any number of them, recognised where nothing else fits",
    )  # fmt: skip
    add(
        "--decimal", metavar="C",
        help="the decimal point (default .); where it is said, the other one of . and , may stand between thousands",
    )  # fmt: skip
    add("--comment", metavar="TEXT", help="what lines begin with that are none of the table, as '#'")
    return table


def _codes_option(add: Any) -> None:
    add(
        "--categorical", type=_names, default=[], metavar="A,B,…", help="columns of codes, as zip: numbers that are categories"
    )
    add(
        "--dates", type=_names, default=[], metavar="A,B,…",
        help="columns of dates or times, as 2024-12-31 18:30: they become year, month, weekday, hour, days since 1970",
    )  # fmt: skip


def _index_option(add: Any) -> None:
    add(
        "--index", choices=("drop", "keep"), default="drop",
        help="a data frame's index in Parquet, or first columns of CSV without a name: leave out (default), or keep",
    )  # fmt: skip


def _threads_option(add: Any) -> None:
    what = "default: the CPUs that this process may use; the result is the same"
    add("--threads", dest="n_threads", type=_COUNT, metavar="N", help=what)


_TABLE = "CSV, Parquet, Feather or .npy files, or a folder of them, as one table"


def _train(train: argparse.ArgumentParser) -> None:
    train.usage = "gdcore train DATA [DATA ...] --target NAME [options]"
    add = _table_options(train, _TABLE, missing="error", unseen="base; the model keeps it")
    add("--target", required=True, metavar="NAME", help="the column to predict")
    add("--features", type=_names, metavar="A,B,…", help="the columns to predict it from (default: all others)")
    add("--exclude", type=_names, default=[], metavar="A,B,…", help="columns to leave out")
    add("--weights", metavar="COLUMN", help="the column of the rows' weights")
    _codes_option(add)
    _index_option(add)
    add("--cache", metavar="FOLDER", help="keep decoded columns there meanwhile: for large CSV files that are read many times")

    add = train.add_argument_group("what tests it").add_argument
    add("--test-size", type=_SHARE, metavar="SHARE", help="of the rows, which test and do not train (default 0.2)")
    add("--test", metavar="FILE", action="append", help="another table with the same columns, whose rows test")
    add(
        "--split", metavar="time|COLUMN",
        help="what rows test: the last as they stand (time), the last by a column of dates or numbers (time:COLUMN), or those "
        "that a column calls test, and not train",
    )  # fmt: skip
    add("--stratify", action="store_true", help="rows that test, and folds, are drawn of each class of the target alike")
    add("--cv", type=_COUNT, metavar="K", help="cross-validation: each of K folds of the rows tests a model of the others")
    add("--repeats", type=_COUNT, default=1, metavar="R", help="of the cross-validation, with other folds (default 1)")

    add = train.add_argument_group("the model").add_argument
    add(
        "--loss", metavar="NAME",
        help="mse, mae, huber[:δ], quantile[:τ], poisson, gamma, tweedie[:p], logistic, softmax (default: by the target)",
    )  # fmt: skip
    add("--model", default="linear", metavar="MODEL", help="linear (default), or mlp:64,32: a network with hidden layers")
    add("--class-weight", choices=("balanced",), help="rows weigh such that all classes weigh the same")
    add(
        "--l1", type=_penalty, default=0.0, metavar="P",
        help="penalty l1·‖W‖₁; cv: cross-validation chooses it, of columns in units of their spread",
    )  # fmt: skip
    add(
        "--l2", type=_penalty, default=0.0, metavar="P",
        help="penalty (l2/2)·‖W‖²; of a network, on its scaled columns; cv: likewise",
    )  # fmt: skip
    add(
        "--l1-ratio", type=_PART, metavar="R",
        help="how much of a penalty that is chosen is l1 (default: of --l1 cv all, of --l2 cv nothing, of both half)",
    )  # fmt: skip
    for name, side in (("--positive", "at least 0"), ("--negative", "at most 0")):
        add(name, type=_names, default=[], metavar="A,B,…", help=f"columns whose weights shall be {side}")
    add("--offset", metavar="COLUMN", help="a column that is added to what is predicted as it stands: its weight is 1")

    add = train.add_argument_group("the training").add_argument
    add("--lr", type=_rate, default="auto", metavar="RATE", help="the textbook's learning rate (default: gdcore chooses)")
    add("--epochs", type=_COUNT, metavar="N", help="at most (default 1000; networks 100)")
    add("--batch-size", type=_COUNT, metavar="N", help="rows in a step (default: all; networks 128)")
    add(
        "--optimizer", metavar="NAME",
        help="sgd, adagrad, rmsprop, adam, adamw, nesterov, newton (default: chosen; networks adam)",
    )  # fmt: skip
    add(
        "--precondition", choices=("auto", "none", "diagonal", "gram"), default="auto",
        help="the metric of the steps (default: chosen)",
    )  # fmt: skip
    add(
        "--tol", type=_SIZE, metavar="T",
        help="stop when the loss is proved to be within T of the best, relative; where nothing can be proved, when the "
        "gradient is as small",
    )  # fmt: skip
    add(
        "--patience", type=_COUNT, metavar="N",
        help="stop when the loss of a tenth of the rows that train, which are spared for it, has not fallen for N epochs; of "
        "networks, batches, or with --optimizer or --lr",
    )  # fmt: skip
    add("--seed", type=_SEED, default=0, metavar="N", help="of all that is drawn (default 0)")
    _threads_option(add)
    add("--checkpoint", metavar="FILE", help="keep the state there, from which --resume goes on after a crash")
    add("--resume", action="store_true", help="go on from the checkpoint where there is one")

    add = train.add_argument_group("what is written").add_argument
    add(
        "--summary", action="store_true", help="the weights' standard errors, p-values and intervals, as statisticians' tables"
    )
    add(
        "--cov-type", choices=("nonrobust", "HC0", "HC1", "HC2", "HC3"),
        help="of --summary: whether the loss is believed to tell the rows' variances (nonrobust, default), or not",
    )  # fmt: skip
    add("--out", metavar="MODEL", help="the model file (default: the table's name with .safetensors)")
    add("--plot", metavar="FILE", help="a picture of the training (.png, .svg or .pdf)")
    add("--report", metavar="FILE", help="a page with all of it (.html)")
    add("--verbose", action="store_true", help="tell of the spectrum too: condition, and what plain descent would need")
    add("--json", action="store_true", help="print the results as JSON, and nothing else")
    add("--quiet", action="store_true", help="print nothing but warnings")


def _predict(predict: argparse.ArgumentParser) -> None:
    predict.usage = "gdcore predict MODEL DATA [DATA ...] --out FILE [options]"
    predict.add_argument("model", metavar="MODEL", help="a model file")
    add = _table_options(predict, _TABLE, unseen="as the model keeps it, base")
    add("--exclude", type=_names, default=[], metavar="A,B,…", help="columns that the model does not know")
    add = predict.add_argument_group("what is written").add_argument
    add(
        "--out", required=True, metavar="FILE",
        help="where the predictions go (.csv or .parquet; - is the standard output, as CSV)",
    )  # fmt: skip
    add("--keep", type=_names, default=[], metavar="A,B,…", help="columns of the table that stand beside the predictions")
    add("--safe-cells", action="store_true", help="an apostrophe before text in CSV that begins with =, +, - or @")
    add("--quiet", action="store_true", help="print nothing but warnings")


def _inspect(inspect: argparse.ArgumentParser) -> None:
    inspect.usage = "gdcore inspect DATA|MODEL [DATA ...] [options]"
    add = _table_options(inspect, f"{_TABLE}; or one model file", missing="drop")
    add("--target", metavar="NAME", help="the column to predict: no feature, then")
    add("--features", type=_names, metavar="A,B,…", help="the columns to look at (default: all)")
    add("--exclude", type=_names, default=[], metavar="A,B,…", help="columns to leave out")
    _codes_option(add)
    _index_option(add)
    add = inspect.add_argument_group("the spectrum").add_argument
    add("--loss", metavar="NAME", help="whose spectrum (default mse)")
    add("--l2", type=_SIZE, default=0.0, metavar="P", help="with this penalty")
    _threads_option(add)
    inspect.add_argument_group("what is written").add_argument("--json", action="store_true", help="print it as JSON")


def _explore(explore: argparse.ArgumentParser) -> None:
    explore.usage = "gdcore explore DATA [DATA ...] --target NAME --out FILE [options]"
    add = _table_options(explore, _TABLE, missing="drop")
    add("--target", required=True, metavar="NAME", help="the column that the lines are to tell; numbers")
    add("--column", metavar="NAME", help="the column that the page begins with (default: that which tells most)")
    add("--features", type=_names, metavar="A,B,…", help="the columns to choose from (default: all others)")
    add("--exclude", type=_names, default=[], metavar="A,B,…", help="columns to leave out")
    _codes_option(add)
    _index_option(add)
    add = explore.add_argument_group("what is written").add_argument
    add("--out", required=True, metavar="FILE", help="the page (.html)")
    add("--quiet", action="store_true", help="print nothing but warnings")


def _lesson(lesson: argparse.ArgumentParser) -> None:
    lesson.add_argument("number", nargs="?", type=_COUNT, metavar="N", help="which lesson (default: list them)")
    add = lesson.add_argument_group("exercises").add_argument
    add("--sheet", action="store_true", help="print a sheet to compute by hand, and its key")
    add("--seed", type=_SEED, metavar="S", help="another seed, another sheet (default 0)")
