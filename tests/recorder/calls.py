"""All calls, by their names."""

from __future__ import annotations

from . import arrays, errors, faces, tables

CALLS = {}
for _module in (arrays, errors, tables, faces):
    for _name, _call in _module.calls():
        assert _name not in CALLS, _name
        CALLS[_name] = _call

SMALL = (
    "fit mse: l1, l2, weighted",
    "fit huber: textbook, reference, weighted, l2",
    "fit logistic: defaults",
    "fit softmax: l1, l2, weighted",
    "fit quantile: nesterov",
    "layout Fortran: softmax, textbook, one thread",
    "optimizer rmsprop, centered, momentum: huber, kernel",
    "optimizer adamw: softmax, reference",
    "batches of 32, kernel: mae",
    "method exact: a list of epochs",
    "method gram, precondition diagonal: mse, l2",
    "schedule cosine",
    "patience: batches",
    "diverges: past the limit",
    "separated classes: l2",
    "resume: adam, batches",
    "network tanh: softmax, batches, adam",
    "train verbose, decimals",
    "error, exact, adam",
    "pieces: gram",
)
"""One of most kinds, whose numbers hardly depend on rounding, and which want no package beside NumPy."""
