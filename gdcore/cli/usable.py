"""The columns of a table that can be used, where those that cannot are left out and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore.rows.arrow import TableError
from gdcore.rows.filetable import FileTable
from gdcore.rows.open_table import open_table

if TYPE_CHECKING:
    from argparse import Namespace


def opened(options: Namespace) -> tuple[FileTable, list[str]]:
    """The table without the columns that cannot be used, and why they cannot."""
    exclude: list[str] = list(options.exclude)
    notes: list[str] = []
    while True:
        try:
            table = open_table(
                options.data, options.target, loss="mse" if options.target else None, features=options.features,
                exclude=exclude, categorical=options.categorical, dates=options.dates,
                missing=options.missing or "drop", na=options.na, na_keep=options.na_keep,
                delimiter=options.delimiter, decimal=options.decimal, comment=options.comment,
                index=options.index,
            )  # fmt: skip
        except TableError as error:
            if not error.columns or options.features:
                raise
            exclude += error.columns
            notes += error.columns.values()
        else:
            return table, notes
