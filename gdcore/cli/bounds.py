"""``--positive`` and ``--negative``: columns whose weights keep to one side of 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.cli import words
from gdcore.rows.arrow import TableError
from gdcore.rows.roles import unknown

if TYPE_CHECKING:
    from argparse import Namespace

    from gdcore.rows.filetable import FileTable


def check(table: FileTable, options: Namespace) -> None:
    """That the columns are there, that no weight is on both sides, and that there is a weight a column."""
    for flag, names in (("positive", options.positive), ("negative", options.negative)):
        if names and words.hidden(options.model) is not None:
            raise ValueError(f"--{flag} is for linear models, which have a weight a column; --model is {options.model}")
        for name in names:
            if not _places(table, name):
                if name in table.source.kinds:
                    raise TableError(f"{table.source.label}: column {name} is not used; leave it out of --{flag}")
                raise TableError(unknown(name, table.source, f" ({flag})"))
    held = {place for name in options.positive for place in _places(table, name)}
    for name in options.negative:
        if held & {*_places(table, name)}:
            raise TableError(f"{table.source.label}: column {name} is named in both --positive and --negative; once is enough")


def of(table: FileTable, options: Namespace) -> dict[str, Any]:
    """The option of `gdcore.fit`, where there is one; a name is a column's of the table, or of one that is made of it."""
    if not options.positive and not options.negative:
        return {}
    low, high = np.full(len(table.names), -np.inf), np.full(len(table.names), np.inf)
    for end, names in ((low, options.positive), (high, options.negative)):
        for name in names:
            end[_places(table, name)] = 0.0
    return {"bounds": (low, high)}


def _places(table: FileTable, name: str) -> list[int]:
    """The columns of X."""
    own = [column.name for column in table.encoding.columns for _ in column.names]
    return [place for place, pair in enumerate(zip(own, table.names, strict=True)) if name in pair]
