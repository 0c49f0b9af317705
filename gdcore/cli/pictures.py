"""What a training came to, as a picture and as a page."""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.cli import penalties
from gdcore.cli.results import ENDS, columns, lacking, together_lines
from gdcore.container import write
from gdcore.models.linear import Linear
from gdcore.plain import number
from gdcore.report import page
from gdcore.report.labels import with_parameters

if TYPE_CHECKING:
    from argparse import Namespace

    from gdcore.cli.results import Result
    from gdcore.rows.filetable import FileTable
    from gdcore.run import History

DRAWN = 2000
"""Rows in a picture."""
_MISSING = {
    "error": "there may be none", "drop": "their rows are left out",
    "mean": "the column's mean; of text a category of its own", "median": "the column's median; of text a category of its own",
}  # fmt: skip


def prepare() -> None:
    """Imports matplotlib in a thread, while the table is read and decoded: it takes as long as drawing."""
    threading.Thread(target=_imported, name="gdcore-pictures").start()


def _imported() -> None:
    with contextlib.suppress(Exception):  # it comes again where something is drawn
        import matplotlib.backends.backend_agg
        import matplotlib.figure
        import matplotlib.style  # noqa: F401


def draw(table: FileTable, options: Namespace, result: Result, facts: dict[str, Any]) -> None:
    """Writes the picture and the page."""
    tested, run = result.test is not None, result.run
    rows = result.sample or (table.held_out if tested and table.held_out else table).seen.sample
    assert rows is not None
    model, shown = run.model, run.model.predict(rows.X)
    linear, by_hand = isinstance(model, Linear), options.lr != "auto"
    made = page.Report(
        title=f"{options.target} of {table.source.label}", loss=table.loss, history=_curves(result),
        names=table.names, weights=model.weights if linear else None, bias=model.bias if linear else None,
        targets=rows.Y[:, 0], predictions=shown if table.loss.targets == "classes" else shown.reshape(len(shown)),
        labels=[str(label) for label in table.labels] or None, held_out=tested, target=options.target,
        x=rows.X[:, 0] if len(table.names) == 1 else None, spread=run.spread if linear else None,
        lr=options.lr if by_hand else None, spectrum=result.spectrum if by_hand or options.verbose else None,
        scores={"training": result.train} | ({"test": result.test} if result.test else {}),
        rows=_rows(table, facts["rows"]), settings=_settings(table, options, result),
        columns=columns(table), folds=result.folds,
        more=[] if result.fitted.path is None else penalties.pictures(result.fitted.path),
        notes=facts["notes"], remarks=together_lines(facts), errors=None if result.errors is None else result.errors.summary(),
    )  # fmt: skip
    if options.plot:
        page.save_plot(made, options.plot)
    if options.report:
        write(options.report, page.page(made).encode())


def _curves(result: Result) -> History:
    """The losses epoch by epoch; without those of rows that decided when to stop, which are no test."""
    if not result.fitted.validated:
        return result.run.history
    history = copy.copy(result.run.history)
    history.validation_loss = np.full(len(history), np.nan)
    return history


def _rows(table: FileTable, rows: dict[str, int]) -> list[tuple[str, str]]:
    """How many there were, and which were left out."""
    told = [("training", f"{rows['train']:,}"), ("test", f"{rows['test']:,}" if rows["test"] else "none")]
    if rows["left out"]:
        most = sorted(((count, name) for name, count in table.causes.items()), reverse=True)
        where = ", ".join(f"{count:,} in {name}" for count, name in most[:4]) + (", …" if len(most) > 4 else "")
        why = f"in which {lacking(table)} is missing" + (f" ({where})" if where else "")
        told.append(("left out", f"{rows['left out']:,}, {why}"))
    return told


def _penalty(options: Namespace, result: Result) -> str:
    if result.fitted.path is not None:
        return penalties.told(result.fitted.path)
    return ", ".join(f"{name} {number(p)}" for name, p in (("l1", options.l1), ("l2", options.l2)) if p) or "none"


def _settings(table: FileTable, options: Namespace, result: Result) -> list[tuple[str, str]]:
    """How the model was trained: what was asked for, and what was chosen where nothing was."""
    run = result.run
    chosen, model = run.settings, run.model
    layers = None if isinstance(model, Linear) else " → ".join(map(str, model.sizes))
    told = {
        "model": "linear" if layers is None else f"network, {layers}, {model.activation}",
        "loss": with_parameters(table.loss),
        "penalty": _penalty(options, result),
        "weights of 0 or more": ", ".join(options.positive),
        "weights of 0 or less": ", ".join(options.negative),
        "offset": options.offset,
        "class weights": options.class_weight,
        "optimizer": chosen.optimizer,
        "learning rate": ("chosen in every epoch" if chosen.lr is None else number(chosen.lr))
        + (", by hand" if options.lr != "auto" else ""),
        "precondition": chosen.precondition or "none",
        "epochs": "" if result.fitted.path is not None else f"{run.epochs:,}: {ENDS[run.status]}",
        "patience": options.patience and f"{options.patience:,} epochs; {result.fitted.validated:,} rows decided",
        "method": str(run.method),
        "rows in a step": f"{options.batch_size:,}" if options.batch_size else "all" if layers is None else "up to 128",
        "tolerance": "none" if chosen.tol is None else number(chosen.tol),
        "missing values": _MISSING.get(options.missing or "error", options.missing),
        "test rows": result.tested or "none",
        "cross-validation": options.cv and f"{options.cv} folds" + (f", {options.repeats} times" * (options.repeats > 1)),
        "seed": str(options.seed),
    }
    return [(name, text) for name, text in told.items() if text]
