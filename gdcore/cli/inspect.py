"""``gdcore inspect``: what a table's spectrum tells, or what a model file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses, schema
from gdcore.cli import flags, results, terminal, usable
from gdcore.cli.terminal import say
from gdcore.facts.spectrum import spectrum
from gdcore.models.linear import Linear
from gdcore.models.mlp import MLP
from gdcore.store import files

if TYPE_CHECKING:
    from argparse import Namespace

    from gdcore.estimators import GDClassifier, GDRegressor

_COLUMNS = 60  # told of
_TOLD = ("data", "target", "rows", "labels", "train", "test", "test rows", "baseline", "cross-validation", "dependent",
         "alike")  # fmt: skip


def run(options: Namespace) -> int:
    """Of a model its card, of a table its spectrum."""
    if len(options.data) == 1 and options.data[0].endswith(files.ENDING):
        return _model(options)
    loss = losses.get(options.loss or "mse")
    table, notes = usable.opened(options)
    s = spectrum(table, loss=loss, l2=options.l2, n_threads=options.n_threads)
    assert s.moments is not None
    means, spreads = s.moments.mean.tolist(), s.moments.deviations.tolist()
    columns = list(zip(table.names, means, spreads, strict=True))
    told = results.spectrum(s, table.names) | results.together(s, table.names)
    if options.json:
        facts = {
            "data": table.source.label, "rows": table.rows, "left out": table.dropped,
            "columns": {name: {"mean": mean, "spread": spread} for name, mean, spread in columns}, "loss": loss.name, **told,
            "missing": table.gaps, "notes": [*map(flags.told, [*notes, *table.notes])],
        }  # fmt: skip
        terminal.say_json(results.plain(facts))
        return 0
    rows = f"; {table.dropped:,} more have a missing value" if table.dropped else ""
    say(f"{table.source.label}: {table.rows:,} rows{rows}; {len(columns):,} columns of numbers")
    say()
    width = min(32, max(len(name) for name in table.names))
    say(f"  {'':{width}}  {'mean':>12}  {'spread':>12}")
    for name, mean, spread in columns[:_COLUMNS]:
        say(f"  {name:{width}}  {mean:12.6g}  {spread:12.6g}")
    if len(columns) > _COLUMNS:
        say(f"  and {len(columns) - _COLUMNS:,} more")
    if table.gaps:
        say("  missing values: " + ", ".join(f"{count:,} in {name}" for name, count in table.gaps.items()))
    say()
    for line in results.spectrum_lines(s, table.names):
        say(line)
    for line in results.together_lines(told):
        say(f"  {line}")
    say("  worst columns: " + ", ".join(f"{name} ({share:.0%})" for name, share in told["worst_columns"].items()))
    for note in notes:
        say(f"  not used: {flags.told(note)}")
    return 0


def _model(options: Namespace) -> int:
    path = options.data[0]
    model: Any = files.load(path)
    if not isinstance(model, (Linear, MLP)):
        return _estimator(path, model, options.json)
    card, training = getattr(model, "card", None) or {}, getattr(model, "training", None) or {}
    schema.optional(schema.listed(schema.scalar))(card.get("labels"), f"{path}: its card's labels")
    names = getattr(model, "columns", None)
    if options.json:
        facts = {"kind": type(model).__name__, "columns": names, "card": card, "training": training}
        terminal.say_json(facts)
        return 0
    say(f"{path}: {type(model).__name__}" + (f", loss {model.loss.name}" if model.loss else ""))
    told = {name: card.get(name) for name in _TOLD} | training
    told["missing"] = (card.get("settings") or {}).get("missing")
    for name, of in (("baseline", _baseline), ("cross-validation", _folds)):
        told[name] = card.get(name) and of(card[name])
    if not isinstance(model, Linear):
        told |= {"columns": names, "layers": f"{' → '.join(map(str, model.sizes))}, {model.activation}"}
    for name, value in told.items():
        if value:
            say(f"  {name:16}  {_text(value)}")
    if isinstance(model, Linear):
        _weights(model, names or [f"column {j}" for j in range(len(model.weights))], card.get("labels") or [])
    return 0


def _estimator(path: str, estimator: GDRegressor | GDClassifier, as_json: bool) -> int:
    """What an estimator is that was saved from Python, and what its fit has told."""
    learned = estimator.learned()
    names, labels = (None if values is None else values.tolist() for values in (learned.feature_names_in, learned.classes))
    kind, training = type(estimator).__name__, {"status": learned.status, "epochs": learned.n_iter}
    if as_json:
        terminal.say_json({"kind": kind, "columns": names, "card": {"labels": labels} if labels else {}, "training": training})
        return 0
    say(f"{path}: {kind}, an estimator that was saved from Python: gdcore.load(path).predict(X) predicts")
    for name, value in {"labels": labels, "columns": names, **training}.items():
        if value:
            say(f"  {name:16}  {_text(value)}")
    return 0


def _weights(model: Linear, names: list[str], labels: list[str]) -> None:
    weights = model.weights.reshape(len(names), -1)
    heads = [str(label) for label in labels] if len(labels) == weights.shape[1] else ["weight"] * (weights.shape[1] == 1)
    width = max(len(name) for name in ["bias", *names])
    say()
    say(f"  {'':{width}}  {'  '.join(f'{results.short(head, 13):>13}' for head in heads)}".rstrip())
    rows: list[tuple[str, Any]] = [*zip(names, weights, strict=True)]
    for name, values in [*rows, *([] if model.bias is None else [("bias", np.ravel(model.bias))])]:
        say(f"  {name:{width}}  " + "  ".join(f"{value:13.7g}" for value in values))
    if model.loss is not None and len(labels) == 2 and (said := results.directions(model.loss.targets, labels)):
        say(f"  {said}")


def _baseline(told: dict[str, Any]) -> str:
    """The best constant, and its loss for the rows that test, or else for those that trained."""
    return f"{told['what']}: loss {_text((told.get('test') or told.get('train') or {}).get('loss'))}"


def _folds(told: dict[str, Any]) -> str:
    """Of each score the mean over the folds, and its standard error."""
    return ", ".join(f"{name} {found['mean']:.6g} ± {found['error']:.2g}" for name, found in told.items())


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(v)}" for name, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
