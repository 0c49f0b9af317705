"""``--positive`` and ``--negative``: columns whose weights keep to one side of 0; ``--offset``: one whose weight is 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.cli import penalties, words
from gdcore.rows.arrow import TableError
from gdcore.rows.roles import unknown

if TYPE_CHECKING:
    from argparse import Namespace

    from gdcore.rows.filetable import FileTable


def check(table: FileTable, options: Namespace) -> None:
    """That the columns are there, that no weight is on both sides, and that there is a weight a column."""
    asked = {"positive": options.positive, "negative": options.negative, "offset": _offset(options)}
    for flag, names in asked.items():
        if names and words.hidden(options.model) is not None:
            raise ValueError(f"--{flag} is for linear models, which have a weight a column; --model is {options.model}")
        if names and penalties.ratio(options) is not None:
            raise ValueError(f"--{flag} goes without a penalty that cross-validation chooses: give --l1 and --l2 numbers")
        for name in names:
            if not _places(table, name):
                if name in table.source.kinds:
                    raise TableError(f"{table.source.label}: column {name} is not used; leave it out of --{flag}")
                raise TableError(unknown(name, table.source, f" ({flag})"))
    held: dict[int, str] = {}
    for flag, names in asked.items():
        for name in names:
            places = _places(table, name)
            if twice := [held[place] for place in places if held.get(place, flag) != flag]:
                what = f"column {name} is named in both --{twice[0]} and --{flag}; once is enough"
                raise TableError(f"{table.source.label}: {what}")
            held |= dict.fromkeys(places, flag)
    for name in asked["offset"]:
        if table.source.kinds[name] not in ("number", "integer"):
            what = f"column {name} is {table.source.kinds[name]}, and an offset is a number"
            raise TableError(f"{table.source.label}: {what}; leave --offset out")


def of(table: FileTable, options: Namespace) -> dict[str, Any]:
    """The option of `gdcore.fit`, where there is one; a name is a column's of the table, or of one that is made of it."""
    if not (options.positive or options.negative or options.offset):
        return {}
    low, high = np.full(len(table.names), -np.inf), np.full(len(table.names), np.inf)
    for end, names in ((low, options.positive), (high, options.negative)):
        for name in names:
            end[_places(table, name)] = 0.0
    for name in _offset(options):
        low[_places(table, name)] = high[_places(table, name)] = 1.0
    return {"bounds": (low, high)}


def _offset(options: Namespace) -> list[str]:
    return [] if options.offset is None else [options.offset]


def _places(table: FileTable, name: str) -> list[int]:
    """The columns of X."""
    own = [column.name for column in table.encoding.columns for _ in column.names]
    return [place for place, pair in enumerate(zip(own, table.names, strict=True)) if name in pair]
