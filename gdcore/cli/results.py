"""What a training came to: as facts, as text, as pictures."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import scores
from gdcore.cli import flags, outputs, penalties
from gdcore.cli.terminal import say
from gdcore.facts import dependence
from gdcore.models.linear import Linear

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from gdcore._types import Floats
    from gdcore.cli.fits import Fitted
    from gdcore.covariance.result import Inference
    from gdcore.facts.spectrum import Spectrum
    from gdcore.rows.filetable import FileTable
    from gdcore.rows.tables import Piece
    from gdcore.run import Run
    from gdcore.scores import Scores

_SHOWN = 10  # of the largest weights
_CLASSES = 6  # whose weights are shown
_COLUMNS = 40  # of the table, told of
_ROUNDING = 1e-14  # of the largest effect on a prediction: a weight that has less is 0 but for rounding
ENDS = {"converged": "converged", "epochs": "stopped", "early_stopped": "stopped early"}
_SETTINGS = ("model", "loss", "lr", "epochs", "batch_size", "l1", "l2", "l1_ratio", "positive", "negative", "offset",
             "optimizer", "precondition", "tol", "missing", "index", "test_size", "split", "stratify", "cv", "repeats",
             "class_weight", "patience", "seed")  # fmt: skip


class Result(NamedTuple):
    """A training, and what it came to.

    Attributes
    ----------
    fitted : Fitted
    test : Scores or None
        Of rows that did not train, where there are any.
    tested : str
        Which rows these are, in words.
    sample : Piece or None
        Some of them, for pictures, where the table does not have them.
    folds : list of Scores
        Of a cross-validation.
    warned : list of str
        What the training warned of, as it was told.
    errors : Inference or None
        Of the weights, where they were asked for.
    """

    fitted: Fitted
    test: Scores | None = None
    tested: str = ""
    sample: Piece | None = None
    folds: Sequence[Scores] = ()
    warned: Sequence[str] = ()
    errors: Inference | None = None

    @property
    def run(self) -> Run:
        return self.fitted.run

    @property
    def train(self) -> Scores:
        """Of the rows that trained."""
        return self.fitted.train

    @property
    def spectrum(self) -> Spectrum | None:
        return self.fitted.spectrum


# As facts -------------------------------------------------------------------------------------------------------------------


def facts(table: FileTable, options: Namespace, result: Result, seconds: float) -> dict[str, Any]:
    """All that is known of the training, as what JSON can hold."""
    run, s = result.run, result.spectrum
    told: dict[str, Any] = {
        "data": [os.path.basename(os.path.abspath(path)) for path in options.data], "target": options.target,
        "rows": {"train": table.rows, "test": result.test.rows if result.test else 0, "left out": table.dropped},
        "loss": table.loss.name, "labels": [str(label) for label in table.labels], "status": run.status,
        "epochs": run.epochs, "method": str(run.method), "seconds": round(seconds, 3),
        "train": result.train.named(), "test": result.test.named() if result.test else None,
        **_beside(result), "columns": dict(columns(table)), "notes": [*map(flags.told, table.notes), *result.warned],
        "settings": {name: getattr(options, name) for name in _SETTINGS},
    }  # fmt: skip
    if result.fitted.path is not None:
        told["penalty"] = penalties.facts(result.fitted.path)
    if s is not None:
        told |= {"spectrum": spectrum(s, table.names), **together(s, table.names)}
    if isinstance(run.model, Linear):
        told["weights"] = dict(zip(table.names, run.model.weights.tolist(), strict=True))
        told["bias"] = np.asarray(run.model.bias).tolist()
    if result.errors is not None:
        told["summary"] = _errors(result.errors)
    finite_only: dict[str, Any] = plain(told)
    return finite_only


def _errors(found: Inference) -> dict[str, Any]:
    """The weights' errors: of each parameter a number, or of classes a list."""
    ends = found.conf_int()
    columns = {
        "coef": found.params, "std err": found.bse, "t" if found.use_t else "z": found.tvalues, "p": found.pvalues,
        "low": ends[..., 0], "high": ends[..., 1],
    }  # fmt: skip
    numbers = ("nobs", "df_model", "df_resid", "scale", "condition", "llf", "aic", "bic", "rsquared", "rsquared_adj",
               "deviance", "pearson_chi2")  # fmt: skip
    return {
        "cov_type": found.cov_type, **{name: getattr(found, name) for name in numbers},
        "parameters": {
            name: {head: values[j].tolist() for head, values in columns.items()} for j, name in enumerate(found.names)
        },
    }  # fmt: skip


def _beside(result: Result) -> dict[str, Any]:
    """What stands beside the scores: the baseline, and of classes what pictures are drawn from."""
    shown, train = result.test or result.train, result.train
    told: dict[str, Any] = {"test rows": result.tested} if result.test else {}
    if shown.baseline is not None:
        told["baseline"] = {
            "what": shown.baseline.what,
            "train": train.baseline and train.baseline.scores.named(),
            "test": result.test and result.test.baseline and result.test.baseline.scores.named(),
        }
    if result.fitted.validated:
        told["validation rows"] = result.fitted.validated
    if result.folds:
        told["cross-validation"] = {
            name: found._asdict() | {"values": list(found.values)} for name, found in scores.spread(result.folds).items()
        }
    return told | shown.details()


def spectrum(s: Spectrum, names: list[str]) -> dict[str, Any]:
    """What it says."""
    return {
        "largest": s.largest, "smallest": s.smallest, "condition": s.condition, "lr_limit": s.lr_limit,
        "lr_best": s.lr_best, "epochs_for_3_digits": s.epochs_to(1e-3),
        "worst_columns": {names[j]: float(s.shares[j]) for j in s.worst_columns},
    }  # fmt: skip


def together(s: Spectrum, names: list[str]) -> dict[str, list[str]]:
    """The columns whose weights the data do not tell apart, because each is a sum of multiples of others but for rounding, and
    those of which they hardly do."""
    if s.moments is None:
        return {}
    moments, exact = s.moments.of_columns(), set[int]()
    if s.rank is not None and s.rank < s.size:
        for column, parts in dependence.dependent(moments, True):
            exact |= {column, *parts} if parts else set()
    alike = [j for j in dependence.alike(moments, True) if j not in exact]
    return {name: [names[j] for j in found] for name, found in (("dependent", sorted(exact)), ("alike", alike)) if found}


def together_lines(told: dict[str, Any]) -> list[str]:
    """What that means, for who reads weights."""
    exact, nearly = (
        ", ".join(names[:6]) + (f" and {len(names) - 6:,} more" if len(names) > 6 else "")
        for names in (told.get("dependent") or [], told.get("alike") or [])
    )
    lines = []
    if exact:
        lines.append(
            f"{exact} depend on each other exactly: the data do not tell their weights apart, only what they do together"
        )
    if nearly:
        lines.append(
            f"{nearly} say nearly what other columns say: read their weights together, for each alone is hardly known"
        )
    return lines


def directions(targets: str, labels: Sequence[Any]) -> str:
    """Which class a weight speaks for, where there are two.

    >>> directions("binary", ["no", "yes"])
    'positive weights speak for yes, negative ones for no'
    """
    return f"positive weights speak for {labels[1]}, negative ones for {labels[0]}" if targets == "binary" and labels else ""


def plain(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not have.

    >>> plain({"a": [1.0, float("inf")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def columns(table: FileTable) -> list[tuple[str, str]]:
    """What became of each column."""
    told: dict[str, str] = {}
    for column in table.encoding.columns:
        if column.part is not None and column.name in told:
            told[column.name] += f", {column.part}"
            continue
        if column.kind == "category":
            d = len(column.values)
            what = f"categories: {d} column{'s' * (d != 1)} of 0 and 1 ({_some(column.values)}); all 0: {column.base}"
            what += "" if column.gap is None else f"; {column.gap} where it is missing"
        else:
            what = {"boolean": "boolean: 0 and 1", "integer": "integer"}.get(column.kind, "number")
            if column.writing is not None:
                what += f", in {column.writing.unit}" if column.writing.unit else ", written as text"
        if column.fill is not None:
            fill = format(column.fill, ".6g") if column.part is None else {"median": "medians"}.get(column.missing, "means")
            what += f"; {fill} where it is missing"
        what += ", and a column of 0 and 1 that says where" if column.indicator else ""
        told[column.name] = what if column.part is None else f"{column.kind}{what.removeprefix('number')}: {column.part}"
    own = {} if table.encoding.weights is None else {table.encoding.weights: "the rows' weights"}
    if table.encoding.target is not None:
        own[table.encoding.target.column.name] = "the target" + (f": {_some(table.labels)}" if table.labels else "")
    return [*told.items(), *((name, own.get(name, "left out")) for name in table.encoding.others)]


def lacking(table: FileTable) -> str:
    """What is missing in the rows that are left out."""
    target = table.encoding.target
    return "the target" if target is not None and [*table.causes] == [target.column.name] else "a value"


def short(name: str, width: int = 11) -> str:
    """A name for the head of a column of numbers.

    >>> short("Iris-versicolor")
    'Iris-versi…'
    """
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _some(values: tuple[Any, ...]) -> str:
    return ", ".join(map(str, values[:4])) + (", …" if len(values) > 4 else "")


# As text --------------------------------------------------------------------------------------------------------------------


def show(table: FileTable, options: Namespace, result: Result, facts: dict[str, Any], out: str, replaced: list[str]) -> None:
    """Prints what was read, what was trained, how good it is, and where it went."""
    rows, s, run = facts["rows"], result.spectrum, result.run
    dropped = f"; {rows['left out']:,} rows left out because {lacking(table)} is missing" if rows["left out"] else ""
    say(f"{table.source.label}: {_rows(rows, options):,} rows, {len(table.source.kinds):,} columns{dropped}")
    _show_columns(columns(table))
    if s is not None and options.verbose:
        say()
        for line in spectrum_lines(s, table.names):
            say(line)
    say()
    if result.fitted.path is not None:
        for line in str(result.fitted.path).splitlines():
            say(line)
        say(f"the model has the best penalty and trained on all these rows, in {facts['seconds']:.2f} s")
    else:
        epochs = f"{run.epochs:,} epoch{'s' * (run.epochs != 1)}"
        say(f"{table.loss.name}: {ENDS[run.status]} after {epochs}, in {facts['seconds']:.2f} s")
        say(f"  ({run.method})")
    say()
    _show_scores(result, options)
    if isinstance(run.model, Linear):
        _show_weights(run.model, table, run.spread)
        said = directions(table.loss.targets, table.labels)
        for line in (said, *together_lines(facts)):
            if line:
                say(f"  {line}")
    if result.errors is not None:
        say()
        say(f"errors of the weights, from the {rows['train']:,} rows that trained")
        for line in str(result.errors.summary()).splitlines():
            say(f"  {line}".rstrip())
    say()
    say(f"model: {outputs.told(out, replaced)}")
    for name in ("plot", "report"):
        if getattr(options, name):
            say(f"{name}: {outputs.told(getattr(options, name), replaced)}")


def _rows(counts: dict[str, int], options: Namespace) -> int:
    """How many rows the table has: those of a file that tests are not among them."""
    return sum(counts.values()) - (counts["test"] if options.test else 0)


def _show_scores(result: Result, options: Namespace) -> None:
    """Of the rows that trained and of those that test, beside the best constant; of the folds, their mean."""
    train, test = result.train, result.test
    base = (test or train).baseline
    columns: dict[str, Scores | None] = {"train": train}
    if test is not None or not result.folds:
        columns["test"] = test
    if base is not None:
        columns["baseline"] = base.scores
    for line in scores.table(columns):
        say(line)
    if base is not None:
        say(f"  baseline: {base.what}")
        if not (test or train).loss < base.scores.loss:
            say(f"  no better than the baseline: {_advice(result)}")
    if test is not None:
        say(f"  test rows: {result.tested}")
    if result.fitted.validated:
        say(f"  {result.fitted.validated:,} of the rows that train decided when to stop (--patience {options.patience})")
    if result.folds:
        times = f", {options.repeats} times" if options.repeats > 1 else ""
        alike = ", of each class alike" if options.stratify else ""
        say()
        say(f"cross-validation: {options.cv} folds{times}, drawn with seed {options.seed}{alike}; the model is of all rows")
        for line in scores.spread_table(result.folds):
            say(line)


def _advice(result: Result) -> str:
    """What may make a model better than a constant."""
    if isinstance(result.run.model, Linear):
        return "these columns tell nothing of the target, or a penalty as --l2 is needed where there are many"
    return "more rows, more or fewer --epochs (--patience stops in time), another --lr, or --model linear may help"


def _show_columns(told: list[tuple[str, str]]) -> None:
    width = min(32, max(len(name) for name, _ in told))
    for name, what in told[:_COLUMNS]:
        say(f"  {name:{width}}  {what}")
    if len(told) > _COLUMNS:
        say(f"  and {len(told) - _COLUMNS:,} more")


def spectrum_lines(s: Spectrum, names: list[str]) -> list[str]:
    """What it says, in two lines."""
    condition = "" if s.condition is None else f", condition {s.condition:.3g}"
    worst = f"; column {names[s.worst_columns[0]]} keeps it low" if s.worst_columns else ""
    lines = [f"spectrum: λ up to {s.largest:.4g}{condition}: learning rates above {s.lr_limit:.4g} diverge{worst}"]
    needed = None if s.lr_best is None else s.epochs_to(1e-3)
    if needed is not None:
        epochs = f"{needed:,}" if needed < 1e6 else f"{needed:.3g}"
        lines.append(f"  at the best one, {s.lr_best:.4g}, plain descent needs {epochs} epochs for 3 digits")
    return lines


def _show_weights(model: Linear, table: FileTable, spread: Floats | None) -> None:
    """The largest, by how much they move a prediction, and the bias."""
    names, labels = table.names, [str(label) for label in table.labels]
    assert model.bias is not None
    weights, bias = model.weights.reshape(len(names), -1), np.ravel(model.bias)
    effects = np.abs(weights).max(axis=1) * (1.0 if spread is None else spread)
    order = np.argsort(-effects, kind="stable")[:_SHOWN]
    several = weights.shape[1] > 1
    heads = [short(label) for label in labels[:_CLASSES]] if several else ["weight"]
    beside = spread is not None and not several
    heads += ["× spread"] * beside + ["…"] * (weights.shape[1] > _CLASSES)
    width = max(len(names[j]) for j in order)
    say()
    say(f"  {'largest weights':{width}}  " + "  ".join(f"{head:>11}" for head in heads))
    width = max(width, len("largest weights"))
    nothing = _ROUNDING * np.max(effects, initial=0.0)
    for j in order:
        row = [*weights[j, :_CLASSES], *([weights[j, 0] * spread[j]] if beside and spread is not None else [])]
        cells = [f"{value:.5g}" if effects[j] > nothing or not value else "≈ 0" for value in row]
        say(f"  {names[j]:{width}}  " + "  ".join(f"{cell:>11}" for cell in cells))
    say(f"  {'bias':{width}}  " + "  ".join(f"{value:11.5g}" for value in bias[:_CLASSES]))
